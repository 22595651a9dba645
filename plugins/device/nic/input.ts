/**
 * The driver's receive half: NAPI polls the ring, builds an skb around each buffer and hands it up.
 *
 * @module
 */
import type { Napi, NetDevice, SkbPool, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as output from "./output.ts";
import { NIC_CSUM, NIC_GSO, NIC_JUMBO, type NicQueue, type NicRing } from "./queue.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { nicCleanTx } = output;
const {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  DESC_ADDR,
  DESC_CAUSE,
  DESC_CSUM_OK,
  DESC_EOP,
  DESC_FCS_ERROR,
  DESC_FLAGS,
  DESC_ID,
  DESC_LEN,
  DESC_ORDER,
  DESC_PAGE,
  DESC_WORDS,
  DROP,
  G_NAPI,
  SLOT_BUFFER,
  SLOT_LARGE,
  SLOT_SIZE,
} = core;

const BUFFER = SLOT_SIZE[SLOT_BUFFER];
const LARGE = SLOT_SIZE[SLOT_LARGE];

/**
 * Linux: a driver's NAPI poll, e.g. igb_poll(), drivers/net/ethernet/intel/igb/igb_main.c.
 * Cleans what was sent, then takes at most `budget` received frames; unmasks when it ran dry.
 */
export function nicPoll(queue: NicQueue, napi: Napi, budget: number): number {
  // Reading the cause register acknowledges what is in the rings now: only what comes later interrupts again.
  queue.rxIrq.latched = false;
  queue.txIrq.latched = false;
  const { tx, rx, dev } = queue;
  if (tx.nextToClean !== tx.nextToDevice || dev.txq[queue.index].stopped) nicCleanTx(queue);
  // Nothing came, and all descriptors have their buffer.
  const quiet = rx.nextToClean === rx.nextToDevice && rx.unused === 0;
  const work = quiet ? 0 : nicCleanRx(queue, napi, budget);
  if (work < budget && napi.complete(work) && queue.nic.opened) {
    queue.rxIrq.unmask();
    queue.txIrq.unmask();
  }
  return work;
}

/** Linux: a driver's receive loop, e.g. igb_clean_rx_irq(). Returns the frames it took. */
export function nicCleanRx(queue: NicQueue, napi: Napi, budget: number): number {
  const { rx, dev, nic, bus, stats } = queue;
  const words = rx.words;
  const pool = queue.machine.skbs;
  const several = nic.queues.length > 1;
  let work = 0;
  let packets = 0;
  let bytes = 0;
  // A packet may have the ring replaced under the loop.
  while (work < budget && rx.nextToClean !== rx.nextToDevice && queue.rx === rx) {
    const i = rx.nextToClean & rx.mask;
    const flags = words[i * DESC_WORDS + DESC_FLAGS];
    const plain = (flags & DESC_EOP) !== 0 && words[i * DESC_WORDS + DESC_ORDER] === 0;
    const skb = plain ? takeBuffer(pool, dev, rx, i) : nicTakeFrame(queue, rx);
    work++;
    if ((flags & DESC_FCS_ERROR) !== 0) {
      badFcs(dev, skb);
      continue;
    }
    packets++;
    bytes += skb.len;
    if ((flags & DESC_CSUM_OK) !== 0) skb.ipSummed = CHECKSUM_UNNECESSARY;
    if (several) {
      skb.hash = rx.hash[i];
      skb.queueMapping = queue.index + 1;
    }
    if ((bus.mask & G_NAPI) !== 0) bus.hit(queue.tp.rxFrame, skb, 1 + skb.nrFrags, work, nic);
    const reason = dev.headerOps.parse(skb, dev);
    if (reason === 0) napi.groReceive(skb);
    else badHeader(dev, skb, reason);
  }
  dev.stats.rxPackets += packets;
  dev.stats.rxBytes += bytes;
  stats.rxPackets += packets;
  stats.rxBytes += bytes;
  if (nic.opened && queue.rx === rx) nic.allocRxBuffers(queue);
  return work;
}

/** The wire changed it. Takes ownership of `skb`. */
function badFcs(dev: NetDevice, skb: SkBuff): void {
  dev.stats.rxErrors++;
  dev.stats.rxCrcErrors++;
  dev.net.drop(skb, DROP.FCS_ERROR);
}

/** Takes ownership of `skb`. */
function badHeader(dev: NetDevice, skb: SkBuff, reason: number): void {
  dev.stats.rxErrors++;
  dev.net.drop(skb, reason);
}

/** An skb around the buffers of the next received frame; the ring's references become its own. Linux: igb_build_skb(). */
export function nicTakeFrame(queue: NicQueue, rx: NicRing): SkBuff {
  const i = rx.nextToClean & rx.mask;
  const d = i * DESC_WORDS;
  const order = rx.words[d + DESC_ORDER];
  const eop = (rx.words[d + DESC_FLAGS] & DESC_EOP) !== 0;
  const skb = takeBuffer(queue.machine.skbs, queue.dev, rx, i);
  if ((order & NIC_GSO) !== 0) takeOffload(rx, i, skb, order);
  if ((order & NIC_JUMBO) !== 0) takeJumbo(queue, skb, rx.parts[i]);
  else if (!eop) takeRest(rx, skb);
  return skb;
}

/** An skb around the buffer of descriptor `i`, the next to clean: a whole frame, or its beginning. */
function takeBuffer(pool: SkbPool, dev: NetDevice, rx: NicRing, i: number): SkBuff {
  const words = rx.words;
  const d = i * DESC_WORDS;
  const skb = pool.build(rx.slab[i]!, words[d + DESC_PAGE], BUFFER);
  const at = words[d + DESC_ADDR];
  const len = words[d + DESC_LEN];
  skb.data = at;
  skb.tail = at + len;
  skb.len = len;
  skb.dev = dev;
  // A frame that no skb of this machine sent keeps the number that it was given here.
  if (words[d + DESC_ID] !== 0) {
    skb.id = words[d + DESC_ID];
    skb.cause = words[d + DESC_CAUSE];
  }
  rx.clean();
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
    eop = (rx.get(rx.nextToClean & rx.mask, DESC_FLAGS) & DESC_EOP) !== 0;
    const j = rx.clean();
    skb.addFrag(rx.slab[j]!, rx.get(j, DESC_PAGE), rx.get(j, DESC_ADDR), rx.get(j, DESC_LEN));
    skb.truesize += BUFFER;
  }
}

/** The rest of a frame that went on in the jumbo ring. */
function takeJumbo(queue: NicQueue, skb: SkBuff, parts: number): void {
  const jumbo = queue.jumbo!;
  for (let n = 0; n < parts; n++) {
    const j = jumbo.clean();
    skb.addFrag(jumbo.slab[j]!, jumbo.get(j, DESC_PAGE), jumbo.get(j, DESC_ADDR), jumbo.get(j, DESC_LEN));
    skb.truesize += LARGE;
  }
}
