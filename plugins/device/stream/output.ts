/**
 * Transmit: frames wait in a ring until the doorbell gives them to the link.
 *
 * @module
 */
import {
  copyToUser,
  DROP,
  G_NET,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  netifTxStopQueue,
  netifTxWakeQueue,
  type SkBuff,
} from "../../../core/mod.ts";
import type { Stream } from "./state.ts";

/** Bytes of a length in front of a frame. */
const LENGTH = 4;

/**
 * A driver's ndo_start_xmit: queues the frame. A full ring stops the queue until the link has taken half of it. Takes
 * ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function streamXmit(s: Stream, skb: SkBuff, more: boolean): number {
  if (!s.dev.carrier || s.ended) {
    s.dev.stats.txErrors++;
    s.net.drop(skb, DROP.LINK_DOWN);
    return NETDEV_TX_OK;
  }
  const txq = s.dev.txq[0];
  if (s.tx.qlen >= s.txLimit) {
    netifTxStopQueue(txq);
    return NETDEV_TX_BUSY;
  }
  s.tx.enqueue(skb);
  if (s.tx.qlen >= s.txLimit) streamFlush(s);
  if (s.tx.qlen >= s.txLimit) netifTxStopQueue(txq);
  if (s.busy || s.tx.head === null) return NETDEV_TX_OK;
  if (!more && s.machine.depth === 0) streamFlush(s);
  else s.machine.wakeLater(s.doorbell);
  return NETDEV_TX_OK;
}

/** The doorbell: gives the link what waits, until it has its fill. */
export function streamFlush(s: Stream): void {
  if (s.flushing) return;
  s.flushing = true;
  try {
    while (!s.busy && !s.ended && s.tx.head !== null) {
      const bytes = s.link.batch > 0 ? gather(s) : message(s);
      s.counters.txBatches++;
      if (!s.link.send(bytes)) s.busy = true;
    }
  } catch (error) {
    s.fail(error);
  }
  s.flushing = false;
  if (s.tx.qlen <= s.txLimit >> 1) netifTxWakeQueue(s.dev.txq[0]);
}

/** The next frame. */
function message(s: Stream): Uint8Array<ArrayBuffer> {
  const skb = s.tx.dequeue()!;
  const bytes = new Uint8Array(skb.len);
  sent(s, skb, bytes, 0);
  return bytes;
}

/** The next frames, as many as one send takes and at least one, each behind its length. */
function gather(s: Stream): Uint8Array<ArrayBuffer> {
  let size = 0;
  let n = 0;
  for (let skb = s.tx.head; skb !== null; skb = skb.next) {
    if (n > 0 && size + LENGTH + skb.len > s.link.batch) break;
    size += LENGTH + skb.len;
    n++;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (let at = 0; n > 0; n--) {
    const skb = s.tx.dequeue()!;
    view.setUint32(at, skb.len);
    at = sent(s, skb, bytes, at + LENGTH);
  }
  return bytes;
}

/** Copies a frame out, head and frags, and counts it; where it ended. Takes ownership of `skb`. */
function sent(s: Stream, skb: SkBuff, to: Uint8Array<ArrayBuffer>, at: number): number {
  const { ledger } = s.machine;
  const { stats } = s.dev;
  const head = skb.tail - skb.data;
  stats.txPackets++;
  stats.txBytes += skb.len;
  if ((s.bus.mask & G_NET) !== 0) s.bus.hit(s.tpWrite, skb, skb.len, 1 + skb.nrFrags, s.dev);
  copyToUser(ledger, s.siteWrite, skb.slab, skb.data, to, at, head);
  at += head;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    copyToUser(ledger, s.siteWrite, frag.slab, frag.offset, to, at, frag.size);
    at += frag.size;
  }
  skb.consume();
  return at;
}
