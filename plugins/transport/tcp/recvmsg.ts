/**
 * The way up, last step: the one copy from the receive queue to the reader. Linux: tcp_recvmsg(), net/ipv4/tcp.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { MsgHdr, Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as receiveQueue from "./receive_queue.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpCleanupRbuf, tcpRcvSpaceAdjust } = receiveQueue;
const { ERRNO, G_SOCK } = core;
const { ipRecvError, MSG_ERRQUEUE, MSG_OOB, MSG_PEEK, MSG_TRUNC, RCV_SHUTDOWN, skbCopyDatagramMsg, sockError } = sock;
const { TCP_CLOSE, TCP_LISTEN } = contract;
const { before, CB_FLAGS, CB_SEQ, tcpFastPathCheck, TCPHDR_FIN, TCPHDR_SYN, TCP_URG_READ, TCP_URG_VALID, tcpSk } =
  tcpSock;

const EAGAIN = -ERRNO.EAGAIN;
const ENOTCONN = -ERRNO.ENOTCONN;
const EINVAL = -ERRNO.EINVAL;

/**
 * Copies what is there into the caller's record; how many bytes, 0: the peer closed its half, or a negative errno.
 * MSG_PEEK leaves it there, MSG_TRUNC throws it away uncopied. Nothing waits, so MSG_WAITALL gives what there is.
 * Linux: tcp_recvmsg_locked(), net/ipv4/tcp.c.
 */
export function tcpRecvmsg(st: TcpState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((flags & MSG_ERRQUEUE) !== 0) return ipRecvError(sk, msg, st.siteRecvmsg);
  if (sk.state === TCP_LISTEN) return ENOTCONN;
  const tp = tcpSk(sk);
  if ((flags & MSG_OOB) !== 0) return recvUrg(tp, msg, flags);
  const peek = (flags & MSG_PEEK) !== 0;
  const copied = copyOut(st, tp, msg, flags, peek);
  msg.flags = 0;
  if (copied > 0) {
    if (!peek) tcpCleanupRbuf(tp, copied);
    if (msg.inq !== undefined && tp.opt.inq) msg.inq = inqHint(tp);
    if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpRecvmsg, null, copied, msg.len, sk);
    return copied;
  }
  // No room, but something to read: 0.
  const left = msg.len === 0 && ((tp.rcvNxt - tp.copiedSeq) | 0) > 0 && sk.receiveQueue.head !== null;
  const result = left ? 0 : nothing(tp);
  if (result === 0 && msg.inq !== undefined && tp.opt.inq) msg.inq = inqHint(tp);
  return result;
}

/** Why nothing is there. */
function nothing(tp: TcpSock): number {
  const sk = tp.sk;
  if (tp.sockDone) return 0;
  if (sk.err !== 0) return sockError(sk);
  if ((sk.shutdown & RCV_SHUTDOWN) !== 0) return 0;
  // A connection that was never made, or that ended while nobody looked.
  if (sk.state === TCP_CLOSE) return ENOTCONN;
  return EAGAIN;
}

/** Bytes that are left to read, the FIN counted as one; 1 at the end of the stream. Linux: tcp_inq_hint(). */
function inqHint(tp: TcpSock): number {
  const inq = (tp.rcvNxt - tp.copiedSeq) | 0;
  return inq === 0 && tp.sockDone ? 1 : inq;
}

/** Walks the receive queue. Bytes copied; with MSG_PEEK nothing moves. */
function copyOut(st: TcpState, tp: TcpSock, msg: MsgHdr, flags: number, peek: boolean): number {
  const sk = tp.sk;
  const c = st.cb;
  const queue = sk.receiveQueue;
  const off = msg.off;
  let seq = tp.copiedSeq;
  let copied = 0;
  let skb = queue.head;
  while (skb !== null && copied < msg.len) {
    const cb = skb.cb;
    let offset = (seq - cb[c + CB_SEQ]) | 0;
    if ((cb[c + CB_FLAGS] & TCPHDR_SYN) !== 0) offset--;
    if (offset < skb.len) {
      let used = Math.min(skb.len - offset, msg.len - copied);
      if (tp.urgData !== 0) {
        // A read ends at the mark.
        if (tp.urgSeq === seq && copied !== 0) break;
        used = beforeUrgent(tp, seq, used);
        if (used < 0) {
          // The urgent byte stands here and is not part of the stream.
          seq = (seq + 1) | 0;
          if (!peek) tp.copiedSeq = seq;
          continue;
        }
      }
      if ((flags & MSG_TRUNC) === 0) {
        msg.off = off + copied;
        skbCopyDatagramMsg(skb, offset, msg, used, st.siteRecvmsg);
      }
      seq = (seq + used) | 0;
      copied += used;
      if (!peek) {
        tp.copiedSeq = seq;
        tcpRcvSpaceAdjust(tp);
      }
      if (tp.urgData !== 0) pastUrgent(tp);
      if (offset + used < skb.len) continue;
    }
    const fin = (cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0;
    if (fin) {
      seq = (seq + 1) | 0;
      if (!peek) tp.copiedSeq = seq;
    }
    const next: SkBuff | null = skb.next;
    if (!peek) eat(tp, skb);
    if (fin) break;
    skb = next;
  }
  msg.off = off;
  return copied;
}

/** Frees the first of the queue, all of which was read. Linux: tcp_eat_recv_skb(). Takes ownership of `skb`. */
function eat(tp: TcpSock, skb: SkBuff): void {
  tp.sk.receiveQueue.dequeue();
  skb.consume();
}

/** How many bytes may be read before the urgent one: all, or some; -1: it is the next, and left out. */
function beforeUrgent(tp: TcpSock, seq: number, used: number): number {
  const ahead = (tp.urgSeq - seq) | 0;
  if (ahead < 0 || ahead >= used) return used;
  if (ahead > 0) return ahead;
  return tp.sk.urginline ? used : -1;
}

/** The urgent byte was passed: the short way is open again. */
function pastUrgent(tp: TcpSock): void {
  if (!before(tp.urgSeq, tp.copiedSeq)) return;
  tp.urgData = 0;
  tcpFastPathCheck(tp);
}

/** MSG_OOB: the urgent byte. -EINVAL: none, or it was read; -EAGAIN: announced, not here yet. Linux: tcp_recv_urg(). */
function recvUrg(tp: TcpSock, msg: MsgHdr, flags: number): number {
  const sk = tp.sk;
  if (sk.urginline || tp.urgData === 0 || tp.urgData === TCP_URG_READ) return EINVAL;
  if (sk.state === TCP_CLOSE && !tp.sockDone) return ENOTCONN;
  if ((tp.urgData & TCP_URG_VALID) !== 0) {
    const byte = tp.urgData & 0xff;
    if ((flags & MSG_PEEK) === 0) tp.urgData = TCP_URG_READ;
    msg.flags = MSG_OOB;
    if (msg.len === 0) {
      msg.flags |= MSG_TRUNC;
      return 0;
    }
    if ((flags & MSG_TRUNC) === 0) msg.buf[msg.off] = byte;
    return 1;
  }
  if (sk.state === TCP_CLOSE || (sk.shutdown & RCV_SHUTDOWN) !== 0) return 0;
  return EAGAIN;
}
