/**
 * The receive queue of a datagram socket and the copy to the reader. Linux: net/core/sock.c, net/core/datagram.c.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import { type MsgHdr, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, RCV_SHUTDOWN, SEND_SHUTDOWN } from "./contract.ts";
import type { Sock } from "./contract.ts";
import * as contract from "./contract.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { skbSetOwnerR } = contract;
const { copyToUser, DROP } = core;

/**
 * Puts a received datagram into the receive buffer and charges its truesize. Returns 0, or SOCKET_RCVBUFF: no room.
 * One packet is taken whatever its size while the buffer is empty. The reader is not woken: call `skDataReady()`.
 * Linux: __udp_enqueue_schedule_skb(), net/ipv4/udp.c. Takes ownership of `skb` unless it returns a drop reason.
 */
export function sockQueueRcvSkb(sk: Sock, skb: SkBuff): number {
  const rmem = sk.rmemAlloc;
  if (rmem !== 0 && rmem + skb.truesize > sk.rcvbuf) {
    sk.drops++;
    return DROP.SOCKET_RCVBUFF;
  }
  if (skb.owner !== null) skb.orphan();
  skbSetOwnerR(skb, sk);
  skb.dst = null;
  sk.receiveQueue.enqueue(skb);
  return 0;
}

/**
 * Copies `len` bytes from offset `from` of a packet to the place that `msg` names: the one copy of the way up.
 * Linux: skb_copy_datagram_msg(). Borrows `skb`.
 */
export function skbCopyDatagramMsg(skb: SkBuff, from: number, msg: MsgHdr, len: number, site: number): void {
  if (skb.dataLen === 0) copyToUser(skb.pool.ledger, site, skb.slab, skb.data + from, msg.buf, msg.off, len);
  else copyParts(skb, from, msg.buf, msg.off, len, site);
}

function copyParts(skb: SkBuff, from: number, buf: Uint8Array, off: number, len: number, site: number): void {
  const ledger = skb.pool.ledger;
  const head = skb.tail - skb.data;
  if (from < head) {
    const n = Math.min(len, head - from);
    copyToUser(ledger, site, skb.slab, skb.data + from, buf, off, n);
    off += n, len -= n, from += n;
  }
  let start = head;
  for (let i = 0; len > 0 && i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    if (from < start + frag.size) {
      const n = Math.min(len, start + frag.size - from);
      copyToUser(ledger, site, frag.slab, frag.offset + from - start, buf, off, n);
      off += n, len -= n, from += n;
    }
    start += frag.size;
  }
  for (let part = skb.fragList; len > 0 && part !== null; part = part.next) {
    if (from < start + part.len) {
      const n = Math.min(len, start + part.len - from);
      copyParts(part, from - start, buf, off, n, site);
      off += n, len -= n, from += n;
    }
    start += part.len;
  }
}

/** Whether a sender finds room: less than half of the send buffer is on its way. Linux: sock_writeable(). */
export function sockWriteable(sk: Sock): boolean {
  return sk.wmemAlloc < sk.sndbuf >> 1;
}

/** The pending error, negated, which is cleared by it; 0: none. Linux: sock_error(). */
export function sockError(sk: Sock): number {
  const err = sk.err;
  // Not -err alone: -0 is a double.
  if (err === 0) return 0;
  sk.err = 0;
  return -err;
}

/** POLL* bits of a datagram socket. A caller that cannot write is woken when it can. Linux: datagram_poll(). */
export function datagramPoll(sk: Sock): number {
  let mask = 0;
  if (sk.err !== 0 || sk.errorQueue.qlen !== 0) mask |= POLLERR;
  if ((sk.shutdown & RCV_SHUTDOWN) !== 0) mask |= POLLIN | POLLRDHUP;
  if (sk.shutdown === (RCV_SHUTDOWN | SEND_SHUTDOWN)) mask |= POLLHUP;
  if (sk.receiveQueue.qlen !== 0) mask |= POLLIN;
  if (sockWriteable(sk)) mask |= POLLOUT;
  else sk.nospace = true;
  return mask;
}
