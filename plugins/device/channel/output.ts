/**
 * Transmit: the frame becomes the tester's bytes.
 *
 * @module
 */
import { copyToUser, G_NET, NETDEV_TX_BUSY, NETDEV_TX_OK, netifTxStopQueue, type SkBuff } from "../../../core/mod.ts";
import type { Channel } from "./state.ts";

/**
 * A driver's ndo_start_xmit: copies the frame out, stops the queue when the tester does not read.
 * Takes ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function channelXmit(ch: Channel, skb: SkBuff): number {
  const txq = ch.dev.txq[0];
  if (ch.queued >= ch.limit) {
    netifTxStopQueue(txq);
    return NETDEV_TX_BUSY;
  }
  if ((ch.bus.mask & G_NET) !== 0) ch.bus.hit(ch.tpXmit, skb, skb.len, ch.queued, ch.dev);
  const frame = new Uint8Array(skb.len);
  copyOut(ch, skb, frame, 0);
  ch.dev.stats.txPackets++;
  ch.dev.stats.txBytes += frame.length;
  skb.consume();
  ch.push(frame);
  if (ch.queued >= ch.limit) netifTxStopQueue(txq);
  return NETDEV_TX_OK;
}

/** Copies all bytes from `data` on; returns where it ended. Borrows `skb`. */
function copyOut(ch: Channel, skb: SkBuff, to: Uint8Array<ArrayBuffer>, at: number): number {
  const ledger = ch.net.machine.ledger;
  copyToUser(ledger, ch.site, skb.slab, skb.data, to, at, skb.tail - skb.data);
  at += skb.tail - skb.data;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    copyToUser(ledger, ch.site, frag.slab, frag.offset, to, at, frag.size);
    at += frag.size;
  }
  for (let part = skb.fragList; part !== null; part = part.next) at = copyOut(ch, part, to, at);
  return at;
}
