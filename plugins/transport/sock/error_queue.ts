/**
 * The error queue: what ICMP errors and local refusals were about, for IP_RECVERR. Linux: net/ipv4/ip_sockglue.c.
 *
 * The packet in the queue has left the path, so that all words of its control block are the queue's, as in Linux.
 *
 * @module
 */
import { ERRNO, SkbQueue, type SkBuff } from "../../../core/mod.ts";
import { MSG_ERRQUEUE, MSG_TRUNC, type MsgHdr, skbSetOwnerR, skErrorReport, type Sock } from "./contract.ts";
import { skbCopyDatagramMsg } from "./queue.ts";
import { NO_ERRORS } from "./sock_base.ts";

/** This host refused: too big. */
export const SO_EE_ORIGIN_LOCAL = 1;
/** An ICMP error. */
export const SO_EE_ORIGIN_ICMP = 2;
/** The moment of a transmission: SO_TIMESTAMPING. */
export const SO_EE_ORIGIN_TIMESTAMPING = 4;
/** Messages with MSG_ZEROCOPY are done. */
export const SO_EE_ORIGIN_ZEROCOPY = 5;
/** `code` of SO_EE_ORIGIN_ZEROCOPY: they were copied after all. */
export const SO_EE_CODE_ZEROCOPY_COPIED = 1;

const CB_ERRNO = 0;
const CB_ORIGIN = 1;
const CB_TYPE = 2;
const CB_INFO = 3;
const CB_OFFENDER = 4;
const CB_ADDR = 5;
const CB_PORT = 6;
const CB_DATA = 7;
/** Time in ns: high and low word; both 0: none. */
const CB_TSTAMP_HIGH = 8, CB_TSTAMP_LOW = 9;

const EAGAIN = -ERRNO.EAGAIN;
/** What a time stamp comes with: no message of the stream is meant. */
const ENOMSG = 42;

/** Errno of an unreachable by code, and whether a connected socket without IP_RECVERR hears of it (fatal = 1). */
const UNREACH: readonly number[] = [
  ERRNO.ENETUNREACH,
  ERRNO.EHOSTUNREACH,
  ERRNO.ENOPROTOOPT | 0x100,
  ERRNO.ECONNREFUSED | 0x100,
  ERRNO.EMSGSIZE | 0x100,
  ERRNO.EOPNOTSUPP,
  ERRNO.ENETUNREACH | 0x100,
  ERRNO.EHOSTDOWN | 0x100,
  ERRNO.ENONET | 0x100,
  ERRNO.ENETUNREACH | 0x100,
  ERRNO.EHOSTUNREACH | 0x100,
  ERRNO.ENETUNREACH,
  ERRNO.EHOSTUNREACH,
  ERRNO.EHOSTUNREACH | 0x100,
  ERRNO.EHOSTUNREACH | 0x100,
  ERRNO.EHOSTUNREACH | 0x100,
];
const HARD = 0x100;

/**
 * The errno of an ICMP error, with {@linkcode icmpIsHard}'s bit; 0: a socket does not hear of it (source quench, codes
 * that nobody defined). Linux: icmp_err_convert[], RFC 1122 section 3.2.2.
 */
export function icmpErrConvert(type: number, code: number): number {
  if (type === 3) return code < UNREACH.length ? UNREACH[code] : 0;
  if (type === 12) return ERRNO.EPROTO | HARD;
  if (type === 11) return ERRNO.EHOSTUNREACH;
  return 0;
}

/** Whether the answer of {@linkcode icmpErrConvert} ends a conversation (a hard error). */
export function icmpIsHard(converted: number): boolean {
  return (converted & HARD) !== 0;
}

/** The errno in the answer of {@linkcode icmpErrConvert}. */
export function icmpErrno(converted: number): number {
  return converted & 0xff;
}

/**
 * Tells a socket of an ICMP error: queues what the error quotes where IP_RECVERR asks for it, and sets the pending
 * error. `data` is at the quoted IP header, `payload` bytes of headers precede the quoted payload. A socket without
 * IP_RECVERR hears of it only if it is connected and the error is hard. Linux: __udp4_lib_err(). Borrows `skb`.
 */
export function sockIcmpError(
  sk: Sock,
  skb: SkBuff,
  converted: number,
  type: number,
  code: number,
  info: number,
  headers: number,
  port: number,
): void {
  const errno = icmpErrno(converted);
  if (sk.recverr) ipIcmpError(sk, skb, errno, type, code, info, headers, port);
  else if (!icmpIsHard(converted) || sk.state !== 1) return;
  skErrorReport(sk, errno);
}

/** Linux: ip_icmp_error(), net/ipv4/ip_sockglue.c. Borrows `skb`. */
export function ipIcmpError(
  sk: Sock,
  skb: SkBuff,
  errno: number,
  type: number,
  code: number,
  info: number,
  headers: number,
  port: number,
): void {
  const quote = skb.clone();
  if (quote === null) return;
  const outer = skb.networkHeader;
  quote.cb[CB_OFFENDER] = outer >= 0 && outer < skb.data ? skb.view.getInt32(outer + 12) : 0;
  quote.cb[CB_ADDR] = skb.view.getInt32(skb.data + 16);
  quote.cb[CB_PORT] = port;
  quote.cb[CB_ERRNO] = errno;
  quote.cb[CB_ORIGIN] = SO_EE_ORIGIN_ICMP;
  quote.cb[CB_TYPE] = (type << 8) | code;
  quote.cb[CB_INFO] = info;
  quote.cb[CB_DATA] = quote.cb[CB_TSTAMP_HIGH] = quote.cb[CB_TSTAMP_LOW] = 0;
  if (quote.mayPull(headers)) quote.pull(headers);
  queueErr(sk, quote);
}

/** A datagram was refused here: too big for a path that must not fragment it. Linux: ip_local_error(). */
export function ipLocalError(sk: Sock, errno: number, daddr: number, dport: number, info: number): void {
  if (!sk.recverr) return;
  const skb = sk.machine.skbs.alloc(0);
  if (skb === null) return;
  skb.cb[CB_ERRNO] = errno;
  skb.cb[CB_ORIGIN] = SO_EE_ORIGIN_LOCAL;
  skb.cb[CB_TYPE] = 0;
  skb.cb[CB_INFO] = info;
  skb.cb[CB_OFFENDER] = 0;
  skb.cb[CB_ADDR] = daddr;
  skb.cb[CB_PORT] = dport;
  skb.cb[CB_DATA] = skb.cb[CB_TSTAMP_HIGH] = skb.cb[CB_TSTAMP_LOW] = 0;
  queueErr(sk, skb);
}

/**
 * A moment of a transmission: `what` is SCM_TSTAMP_*, `key` the number of the byte. With the packet `skb`, of which the
 * payload is told; null: without. Linux: __skb_tstamp_tx(), __skb_complete_tx_timestamp(). Borrows `skb`.
 */
export function sockTxTimestamp(sk: Sock, skb: SkBuff | null, what: number, key: number): void {
  const quote = skb === null ? sk.machine.skbs.alloc(0) : skb.pskbCopy();
  if (quote === null) return;
  clearWords(quote);
  quote.cb[CB_ERRNO] = ENOMSG;
  quote.cb[CB_ORIGIN] = SO_EE_ORIGIN_TIMESTAMPING;
  quote.cb[CB_INFO] = what;
  quote.cb[CB_DATA] = key;
  const now = sk.machine.now;
  quote.cb[CB_TSTAMP_HIGH] = Math.floor(now / 0x100000000);
  quote.cb[CB_TSTAMP_LOW] = now | 0;
  queueErr(sk, quote);
}

/**
 * Message `id` with MSG_ZEROCOPY is done with; what follows the last entry is told with it. Linux:
 * __msg_zerocopy_callback(), skb_zerocopy_notify_extend(), net/core/skbuff.c.
 */
export function sockZerocopyDone(sk: Sock, id: number, code: number): void {
  if (sk.dead) return;
  const tail = sk.errorQueue.tail;
  if (tail !== null && tail.cb[CB_ORIGIN] === SO_EE_ORIGIN_ZEROCOPY && ((tail.cb[CB_DATA] + 1) | 0) === (id | 0)) {
    tail.cb[CB_DATA] = id;
    sk.machine.wakeLater(sk);
    return;
  }
  const skb = sk.machine.skbs.alloc(0);
  if (skb === null) return;
  clearWords(skb);
  skb.cb[CB_ORIGIN] = SO_EE_ORIGIN_ZEROCOPY;
  skb.cb[CB_TYPE] = code;
  skb.cb[CB_INFO] = skb.cb[CB_DATA] = id;
  queueErr(sk, skb);
}

function clearWords(skb: SkBuff): void {
  for (let i = 0; i <= CB_TSTAMP_LOW; i++) skb.cb[i] = 0;
}

/** Errors share the receive buffer; what does not fit is lost. Linux: sock_queue_err_skb(). Takes ownership of `skb`. */
function queueErr(sk: Sock, skb: SkBuff): void {
  if (sk.rmemAlloc + skb.truesize >= sk.rcvbuf) {
    skb.consume();
    return;
  }
  if (skb.owner !== null) skb.orphan();
  skbSetOwnerR(skb, sk);
  skb.dst = null;
  if (sk.errorQueue === NO_ERRORS) sk.errorQueue = new SkbQueue();
  sk.errorQueue.enqueue(skb);
  if (!sk.dead) sk.machine.wakeLater(sk);
}

/**
 * recvmsg() with MSG_ERRQUEUE: the quoted payload, the peer it was sent to, and `msg.err`. Returns the bytes, or
 * -EAGAIN. The pending error becomes that of the next ICMP error in the queue. Linux: ip_recv_error().
 */
export function ipRecvError(sk: Sock, msg: MsgHdr, site: number): number {
  const skb = sk.errorQueue.dequeue();
  if (skb === null) return EAGAIN;
  const n = Math.min(msg.len, skb.len);
  if (n > 0) skbCopyDatagramMsg(skb, 0, msg, n, site);
  msg.flags = MSG_ERRQUEUE | (n < skb.len ? MSG_TRUNC : 0);
  msg.addr = skb.cb[CB_ADDR];
  msg.port = skb.cb[CB_PORT];
  const err = msg.err;
  if (err !== undefined) {
    err.errno = skb.cb[CB_ERRNO];
    err.origin = skb.cb[CB_ORIGIN];
    err.type = skb.cb[CB_TYPE] >>> 8;
    err.code = skb.cb[CB_TYPE] & 0xff;
    err.info = skb.cb[CB_INFO];
    err.offender = skb.cb[CB_OFFENDER];
    err.data = skb.cb[CB_DATA];
  }
  const tstamp = skb.cb[CB_TSTAMP_HIGH] * 0x100000000 + (skb.cb[CB_TSTAMP_LOW] >>> 0);
  if (tstamp !== 0) msg.tstamp = tstamp;
  const next = sk.errorQueue.head;
  if (next !== null && next.cb[CB_ORIGIN] === SO_EE_ORIGIN_ICMP) sk.err = next.cb[CB_ERRNO];
  else if (skb.cb[CB_ORIGIN] === SO_EE_ORIGIN_ICMP) sk.err = 0;
  skb.consume();
  return n;
}
