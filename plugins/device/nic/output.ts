/**
 * The driver's transmit half: descriptors, DMA mapping, doorbell; and cleaning after the completion interrupt.
 *
 * @module
 */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../../link/ethernet/header.ts";
import { NIC_CSUM, NIC_GSO, type NicQueue, type NicRing } from "./queue.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  CHECKSUM_PARTIAL,
  DESC_CAUSE,
  DESC_EOP,
  DESC_ID,
  DESC_ORDER,
  DESC_WORDS,
  DROP,
  G_NAPI,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  netifTxStopQueue,
  netifTxWakeQueue,
} = core;
const { ETH_ZLEN } = ethernetHeader;

/**
 * Linux: a driver's ndo_start_xmit, e.g. igb_xmit_frame(), drivers/net/ethernet/intel/igb/igb_main.c.
 * Maps head and frags for DMA, one descriptor each, and rings the doorbell unless another packet follows at once.
 * Takes ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function nicStartXmit(queue: NicQueue, skb: SkBuff, more: boolean): number {
  const { dev, tx, nic, machine, bus } = queue;
  if (nic.peer === null) return refuse(dev, skb, DROP.LINK_DOWN);
  if (skb.len < ETH_ZLEN && !machine.skbs.padTo(skb, ETH_ZLEN)) return refuse(dev, skb, DROP.NOMEM);
  const room = (tx.size - ((tx.nextToUse - tx.nextToClean) | 0) - 1 - skb.nrFrags) | 0;
  if (room < 0) return busy(queue);
  const len = skb.len;
  const stats = dev.stats;
  stats.txPackets++;
  stats.txBytes += len;
  queue.stats.txPackets++;
  queue.stats.txBytes += len;
  postTx(tx, skb);
  if ((bus.mask & G_NAPI) !== 0) bus.hit(queue.tp.txPost, skb, 1 + skb.nrFrags, tx.size - room, nic);
  if (room < nic.txNeeded) netifTxStopQueue(dev.txq[queue.index]);
  else if (more || machine.batching !== 0) {
    if (!queue.ready) machine.wakeLater(queue);
    return NETDEV_TX_OK;
  }
  nic.wire!.doorbell(queue);
  return NETDEV_TX_OK;
}

/** No room: what waits in the ring goes out, and its completion wakes the queue. */
function busy(queue: NicQueue): number {
  netifTxStopQueue(queue.dev.txq[queue.index]);
  if (queue.tx.pending > 0) queue.nic.wire!.doorbell(queue);
  return NETDEV_TX_BUSY;
}

function refuse(dev: NetDevice, skb: SkBuff, reason: number): number {
  dev.stats.txErrors++;
  dev.net.drop(skb, reason);
  return NETDEV_TX_OK;
}

/** Linux: dma_map_single() for the head, skb_frag_dma_map() for each frag. The skb is remembered at the last descriptor. */
function postTx(tx: NicRing, skb: SkBuff): void {
  const first = tx.post(skb.slab, skb.head, skb.data, skb.tail - skb.data, skb.nrFrags === 0 ? DESC_EOP : 0);
  const words = tx.words;
  const d = first * DESC_WORDS;
  words[d + DESC_ID] = skb.id;
  words[d + DESC_CAUSE] = skb.cause;
  const plain = skb.ipSummed !== CHECKSUM_PARTIAL && skb.gsoSize === 0;
  words[d + DESC_ORDER] = plain ? 0 : orders(tx, skb, first);
  if (skb.nrFrags === 0) tx.skb[first] = skb;
  else postFrags(tx, skb);
}

function postFrags(tx: NicRing, skb: SkBuff): void {
  const frags = skb.nrFrags;
  for (let n = 0; n < frags; n++) {
    const frag = skb.frags[n];
    const i = tx.post(frag.slab, frag.page, frag.offset, frag.size, n === frags - 1 ? DESC_EOP : 0);
    if (n === frags - 1) tx.skb[i] = skb;
  }
}

/** What the device is to do, as a context descriptor would say it. Returns NIC_*. */
function orders(tx: NicRing, skb: SkBuff, i: number): number {
  let order = 0;
  if (skb.ipSummed === CHECKSUM_PARTIAL) {
    order |= NIC_CSUM;
    tx.csum[i] = (skb.csumStart - skb.data) | (skb.csumOffset << 16);
  }
  if (skb.gsoSize !== 0) {
    order |= NIC_GSO;
    tx.gsoSize[i] = skb.gsoSize;
    tx.gsoType[i] = skb.gsoType;
    tx.gsoSegs[i] = skb.gsoSegs;
  }
  return order;
}

/**
 * Linux: a driver's transmit cleaning, e.g. igb_clean_tx_irq(). Unmaps what the device is done with and frees the skbs,
 * which gives the sender its send buffer back; wakes the queue when there is room for two full packets.
 */
export function nicCleanTx(queue: NicQueue): void {
  const { tx, nic, bus } = queue;
  while (tx.nextToClean !== tx.nextToDevice) {
    const i = tx.clean();
    const skb = tx.skb[i];
    if (skb === null) continue;
    tx.skb[i] = null;
    if ((bus.mask & G_NAPI) !== 0) bus.hit(queue.tp.txClean, skb, skb.len, 0, nic);
    skb.consume();
  }
  const txq = queue.dev.txq[queue.index];
  if (txq.stopped && nic.opened && tx.unused >= Math.min(nic.txNeeded * 2, tx.size)) netifTxWakeQueue(txq);
}
