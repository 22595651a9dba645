/**
 * The driver's receive half: NAPI polls the ring, builds an skb around each buffer and hands it up.
 *
 * @module
 */
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  DESC_CSUM_OK,
  DESC_EOP,
  DESC_FCS_ERROR,
  DROP,
  G_NAPI,
  type Napi,
  type SkBuff,
  SLOT_BUFFER,
  SLOT_LARGE,
  SLOT_SIZE,
} from "../../../core/mod.ts";
import { nicCleanTx } from "./output.ts";
import { type Nic, NIC_CSUM, NIC_GSO, NIC_JUMBO, type NicRing } from "./state.ts";

const BUFFER = SLOT_SIZE[SLOT_BUFFER];
const LARGE = SLOT_SIZE[SLOT_LARGE];

/**
 * Linux: a driver's NAPI poll, e.g. igb_poll(), drivers/net/ethernet/intel/igb/igb_main.c.
 * Cleans what was sent, then takes at most `budget` received frames; unmasks when it ran dry.
 */
export function nicPoll(nic: Nic, napi: Napi, budget: number): number {
  // Reading the cause register acknowledges what is in the rings now: only what comes later interrupts again.
  nic.rxIrq.latched = false;
  nic.txIrq.latched = false;
  nicCleanTx(nic);
  const work = nicCleanRx(nic, napi, budget);
  if (work < budget && napi.complete(work) && nic.opened) {
    nic.rxIrq.unmask();
    nic.txIrq.unmask();
  }
  return work;
}

/** Linux: a driver's receive loop, e.g. igb_clean_rx_irq(). Returns the frames it took. */
export function nicCleanRx(nic: Nic, napi: Napi, budget: number): number {
  const rx = nic.rx;
  const dev = nic.dev;
  let work = 0;
  // A packet may have the ring replaced under the loop.
  while (work < budget && rx.nextToClean !== rx.nextToDevice && nic.rx === rx) {
    const flags = rx.flags[rx.nextToClean & rx.mask];
    const skb = nicTakeFrame(nic, rx);
    work++;
    if ((flags & DESC_FCS_ERROR) !== 0) {
      dev.stats.rxErrors++;
      dev.stats.rxCrcErrors++;
      nic.net.drop(skb, DROP.FCS_ERROR);
      continue;
    }
    dev.stats.rxPackets++;
    dev.stats.rxBytes += skb.len;
    if ((flags & DESC_CSUM_OK) !== 0) skb.ipSummed = CHECKSUM_UNNECESSARY;
    if ((nic.bus.mask & G_NAPI) !== 0) nic.bus.hit(nic.tp.rxFrame, skb, 1 + skb.nrFrags, work, nic);
    const reason = dev.headerOps.parse(skb, dev);
    if (reason !== 0) {
      dev.stats.rxErrors++;
      nic.net.drop(skb, reason);
    } else napi.groReceive(skb);
  }
  if (nic.opened) nic.allocRxBuffers();
  return work;
}

/** An skb around the buffers of the next received frame; the ring's references become its own. Linux: igb_build_skb(). */
export function nicTakeFrame(nic: Nic, rx: NicRing): SkBuff {
  const i = rx.nextToClean & rx.mask;
  const page = rx.page[i];
  const skb = nic.machine.skbs.build(rx.slab[i]!, page, BUFFER);
  skb.data = skb.tail = rx.addr[i];
  skb.put(rx.len[i]);
  skb.dev = nic.dev;
  // A frame that no skb of this machine sent keeps the number that it was given here.
  if (rx.id[i] !== 0) {
    skb.id = rx.id[i];
    skb.cause = rx.cause[i];
  }
  const order = rx.order[i];
  const eop = (rx.flags[i] & DESC_EOP) !== 0;
  if ((order & NIC_GSO) !== 0) takeOffload(rx, i, skb, order);
  rx.clean();
  if ((order & NIC_JUMBO) !== 0) takeJumbo(nic, skb, rx.parts[i]);
  else if (!eop) takeRest(rx, skb);
  return skb;
}

/** A super-packet that both ends left whole: its checksum is still partial. */
function takeOffload(rx: NicRing, i: number, skb: SkBuff, order: number): void {
  skb.gsoSize = rx.gsoSize[i];
  skb.gsoType = rx.gsoType[i];
  skb.gsoSegs = rx.gsoSegs[i];
  if ((order & NIC_CSUM) === 0) return;
  skb.ipSummed = CHECKSUM_PARTIAL;
  skb.csumStart = skb.data + (rx.csum[i] & 0xffff);
  skb.csumOffset = rx.csum[i] >>> 16;
}

/** The other buffers of a long frame, as frags. Linux: skb_add_rx_frag(). */
function takeRest(rx: NicRing, skb: SkBuff): void {
  for (let eop = false; !eop;) {
    eop = (rx.flags[rx.nextToClean & rx.mask] & DESC_EOP) !== 0;
    const j = rx.clean();
    skb.addFrag(rx.slab[j]!, rx.page[j], rx.addr[j], rx.len[j]);
    skb.truesize += BUFFER;
  }
}

/** The rest of a frame that went on in the jumbo ring. */
function takeJumbo(nic: Nic, skb: SkBuff, parts: number): void {
  const jumbo = nic.jumbo!;
  for (let n = 0; n < parts; n++) {
    const j = jumbo.clean();
    skb.addFrag(jumbo.slab[j]!, jumbo.page[j], jumbo.addr[j], jumbo.len[j]);
    skb.truesize += LARGE;
  }
}
