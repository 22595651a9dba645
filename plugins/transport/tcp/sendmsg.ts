/**
 * The way down, first step: the one copy from the user into the write queue. Linux: tcp_sendmsg(), net/ipv4/tcp.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import type { MsgHdr, Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as cwndUsage from "./cwnd_usage.ts";
import * as fastopenClient from "./fastopen_client.ts";
import * as memory from "./memory.ts";
import * as mss from "./mss.ts";
import * as output from "./output.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as txStatus from "./tx_status.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpSlowStartAfterIdleCheck } = cwndUsage;
const { tcpSendmsgFastopen } = fastopenClient;
const { skForcedMemSchedule, skMemCharge, skStreamMemoryFree, skWmemSchedule, tcpWmemFreeSkb, tcpWmemSchedule } =
  memory;
const { tcpBoundToHalfWnd, tcpCurrentMss } = mss;
const { __tcpPushPendingFrames, tcpAddWriteQueueTail, tcpForcedPush, tcpMarkPush, tcpPush, tcpPushOne } = output;
const { tcpSk } = tcpSock;
const { tcpTxCopied, tcpTxNote } = txStatus;
const { copyFromUser, ERRNO, G_SOCK, MAX_SKB_FRAGS, NET_SKB_PAD, NETIF_F_HW_CSUM, NETIF_F_SG, NETIF_F_TSO } = core;
const { skbTruesize, SLOT_LARGE, SLOT_SIZE } = core;
const { MSG_EOR, MSG_FASTOPEN, MSG_MORE, MSG_OOB, MSG_ZEROCOPY, SEND_SHUTDOWN, sockError } = sock;
const { TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_NAGLE_PUSH, TCP_SYN_RECV, TCP_SYN_SENT } = contract;
const { CB_END_SEQ, CB_F_EOR, CB_F_ZEROCOPY, CB_FLAGS, CB_PCOUNT, CB_SEQ, tcpMstampRefresh, TCPHDR_ACK, TCPHDR_PSH } =
  tcpSock;

const EAGAIN = -ERRNO.EAGAIN;
const EPIPE = -ERRNO.EPIPE;
const PAGE = SLOT_SIZE[SLOT_LARGE];
/** Features that a device needs to take a super-packet. */
const GSO = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
/** Longest super-packet: what an IPv4 header can say, less the room for headers. Linux: GSO_LEGACY_MAX_SIZE. */
const GSO_MAX_SIZE = 65536 - 1 - 320;
/** What an empty segment costs: Linux's head of MAX_TCP_HEADER bytes. */
const SKB_TRUESIZE = skbTruesize(320);
const U32_MAX = 0xffffffff;

/**
 * Takes bytes to be sent; how many, or a negative errno: -EAGAIN (no room), -EPIPE, or the pending error. Nothing waits.
 * Linux: tcp_sendmsg_locked(), net/ipv4/tcp.c.
 */
export function tcpSendmsg(st: TcpState, sk: Sock, msg: MsgHdr, flags: number): number {
  const tp = tcpSk(sk);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpSendmsg, null, msg.len, flags, sk);
  if ((flags & MSG_FASTOPEN) !== 0 || (tp.fo !== null && tp.fo.deferConnect)) {
    const rc = tcpSendmsgFastopen(tp, msg);
    // What went with the SYN was copied, and is free already.
    if (rc > 0 && (flags & MSG_ZEROCOPY) !== 0 && sk.zerocopy) tcpTxCopied(tp);
    if (rc !== 0) return rc;
  }
  const state = sk.state;
  if (state !== TCP_ESTABLISHED && state !== TCP_CLOSE_WAIT && tp.fastopenRsk === null) {
    if (sk.err !== 0) return sockError(sk);
    if (state !== TCP_SYN_SENT && state !== TCP_SYN_RECV) return EPIPE;
    // Not connected yet: whoever waits for room is woken then.
    sk.nospace = true;
    return EAGAIN;
  }
  if (sk.err !== 0) return sockError(sk);
  if ((sk.shutdown & SEND_SHUTDOWN) !== 0) return EPIPE;
  tcpMstampRefresh(tp);
  const mss = tcpCurrentMss(tp);
  const goal = (flags & MSG_OOB) !== 0 ? mss : tcpXmitSizeGoal(tp, mss);
  const zerocopy = (flags & MSG_ZEROCOPY) !== 0 && sk.zerocopy;
  const copied = copyIn(st, tp, msg, flags, mss, goal, zerocopy);
  if (copied < msg.len) sk.nospace = true;
  if (copied !== 0 && (zerocopy || sk.tsflags !== 0)) tcpTxNote(tp, zerocopy);
  if (copied === 0) return msg.len === 0 ? 0 : EAGAIN;
  if (copied === msg.len) {
    if ((flags & MSG_EOR) !== 0 && tp.writeTail !== null) tp.writeTail.cb[st.cb + CB_FLAGS] |= CB_F_EOR;
    tcpPush(tp, flags, mss, tp.nonagle, goal);
  } else tcpPush(tp, flags & ~MSG_MORE, mss, TCP_NAGLE_PUSH, goal);
  return copied;
}

/** Bytes of one skb: a segment, or of a super-packet as many whole segments as go. Linux: tcp_xmit_size_goal(). */
function tcpXmitSizeGoal(tp: TcpSock, mss: number): number {
  const dst = tp.sk.dst as Dst | null;
  // A probe of the path MTU is made of what one write leaves behind it: as large as where super-packets go.
  const probes = tp.mtup !== null && tp.mtup.enabled;
  if (dst === null || ((dst.dev.features & GSO) !== GSO && !probes)) return mss;
  const most = tcpBoundToHalfWnd(tp, GSO_MAX_SIZE);
  return Math.max(Math.floor(most / mss), 1) * mss;
}

/** Fills the last segment, then new ones, while there is room. Bytes taken. */
function copyIn(
  st: TcpState,
  tp: TcpSock,
  msg: MsgHdr,
  flags: number,
  mss: number,
  goal: number,
  zerocopy: boolean,
): number {
  const c = st.cb;
  const len = msg.len;
  let copied = 0;
  let full = false;
  if (zerocopy && tp.writeTail !== null && (tp.writeTail.cb[c + CB_FLAGS] & CB_F_ZEROCOPY) !== 0) {
    // One message a segment: what is done with it is told at its end.
    tcpMarkPush(tp, tp.writeTail);
    full = true;
  }
  st.fragAhead = 0;
  while (copied < len) {
    let skb = tp.writeTail;
    let room = skb === null ? 0 : goal - skb.len;
    if (room <= 0 || full || (skb!.cb[c + CB_FLAGS] & CB_F_EOR) !== 0) {
      skb = newSegment(st, tp);
      if (skb === null) return copied;
      room = goal;
      full = false;
    }
    const piece = zerocopy ? pieceLeft(msg, copied) : 0;
    if (piece !== 0) skb!.cb[c + CB_FLAGS] |= CB_F_ZEROCOPY;
    const want = Math.min(room, piece !== 0 ? Math.abs(piece) : len - copied);
    const n = append(st, tp, skb!, msg, copied, want, goal, piece >= 0);
    if (n <= 0) {
      if (skb!.len === 0) removeEmpty(tp, skb!);
      if (n < 0) return copied;
      // Out of frags: what is there is pushed, and a new one begins.
      tcpMarkPush(tp, skb!);
      full = true;
      continue;
    }
    if (copied === 0) skb!.cb[c + CB_FLAGS] &= ~TCPHDR_PSH;
    copied += n;
    if (copied === len || skb!.len < goal || (flags & MSG_OOB) !== 0) continue;
    if (tcpForcedPush(tp)) {
      tcpMarkPush(tp, skb!);
      __tcpPushPendingFrames(tp, mss, TCP_NAGLE_PUSH);
    } else if (skb === tp.writeHead) tcpPushOne(tp, mss);
  }
  return copied;
}

/**
 * Bytes left of the buffer that byte `at` of a message is in, negative where it is the first of it: each buffer has frags
 * of its own. Linux: __zerocopy_sg_from_iter().
 */
function pieceLeft(msg: MsgHdr, at: number): number {
  const iov = msg.iov;
  if (iov === undefined) return at === 0 ? -msg.len : msg.len - at;
  let from = 0;
  for (let i = 0; i < iov.length; i++) {
    const end = from + iov[i];
    if (at < end) return at === from ? at - end : end - at;
    from = end;
  }
  return msg.len - at;
}

/** An empty segment at the end of the write queue; null: no room, or no memory. Linux: tcp_stream_alloc_skb(). */
function newSegment(st: TcpState, tp: TcpSock): SkBuff | null {
  if (!skStreamMemoryFree(tp)) return null;
  const skb = st.skbs.alloc(NET_SKB_PAD, SKB_TRUESIZE);
  if (skb === null) return null;
  // The first one always: a socket with nothing queued has no ACK to wait for that would make room.
  if (tp.writeHead === null && (tp.rtx === null || tp.rtx.length === 0)) skForcedMemSchedule(tp, skb.truesize);
  else if (!skWmemSchedule(tp, skb.truesize)) {
    skb.consume();
    return null;
  }
  skb.reserve(NET_SKB_PAD);
  const c = st.cb;
  skb.cb[c + CB_SEQ] = skb.cb[c + CB_END_SEQ] = tp.writeSeq;
  skb.cb[c + CB_FLAGS] = TCPHDR_ACK;
  skb.cb[c + CB_PCOUNT] = 0;
  tcpAddWriteQueueTail(tp, skb);
  tp.wmemQueued += skb.truesize;
  skMemCharge(tp, skb.truesize);
  // Linux: tcp_skb_entail().
  tcpSlowStartAfterIdleCheck(tp);
  tp.nonagle &= ~TCP_NAGLE_PUSH;
  return skb;
}

/** A new segment that got no byte goes again. Linux: tcp_remove_empty_skb(). Takes ownership of `skb`. */
function removeEmpty(tp: TcpSock, skb: SkBuff): void {
  let before: SkBuff | null = null;
  for (let s = tp.writeHead; s !== null && s !== skb; s = s.next) before = s;
  if (before === null) tp.writeHead = null;
  else before.next = null;
  tp.writeTail = before;
  tcpWmemFreeSkb(tp, skb);
}

/**
 * How many bytes are copied at once, `n` of them for the segment at hand: as many as the page has room for, and as the
 * following segments will take for sure. `left` bytes are to be sent.
 */
function copyAhead(st: TcpState, tp: TcpSock, n: number, left: number, goal: number): number {
  if (n === left || tp.opt.notsentLowat !== 0 || st.memoryAllocated >= st.sysctl.mem[0] * 2048) return n;
  if (st.sysctl.notsentLowat !== U32_MAX) return n;
  const room = tp.sk.sndbuf - tp.wmemQueued - n;
  const following = room <= 0 ? 0 : Math.ceil(room / (SKB_TRUESIZE + goal)) * goal;
  return Math.min(st.fragPage + PAGE - st.fragOffset, left, n + following);
}

/**
 * Copies up to `want` bytes behind what the segment has, `joins`: into its last frag where that goes. How many; 0: it has
 * no frag left; -1: no memory. Borrows `skb`.
 */
function append(
  st: TcpState,
  tp: TcpSock,
  skb: SkBuff,
  msg: MsgHdr,
  from: number,
  want: number,
  goal: number,
  joins: boolean,
): number {
  if (st.fragSlab === null || st.fragOffset === st.fragPage + PAGE) { if (!refill(st)) return -1; }
  const slab = st.fragSlab!;
  const at = st.fragOffset;
  let n = Math.min(want, st.fragPage + PAGE - at);
  if (st.fragAhead !== 0 && n > st.fragAhead) n = st.fragAhead;
  const last = skb.nrFrags === 0 ? null : skb.frags[skb.nrFrags - 1];
  const merge = joins && last !== null && last.slab === slab && last.page === st.fragPage &&
    last.offset + last.size === at;
  if (!merge && skb.nrFrags === MAX_SKB_FRAGS) return 0;
  n = tcpWmemSchedule(tp, n);
  if (n <= 0) return -1;
  if (st.fragAhead === 0) {
    st.fragAhead = copyAhead(st, tp, n, msg.len - from, goal);
    copyFromUser(st.ledger, st.siteSendmsg, slab, at, msg.buf, msg.off + from, st.fragAhead);
  }
  st.fragAhead -= n;
  st.fragOffset = at + n;
  if (merge) {
    last.size += n;
    skb.len += n;
    skb.dataLen += n;
  } else {
    slab.get(st.fragPage);
    skb.addFrag(slab, st.fragPage, at, n);
  }
  skb.truesize += n;
  tp.wmemQueued += n;
  skMemCharge(tp, n);
  tp.writeSeq = (tp.writeSeq + n) | 0;
  const c = st.cb;
  skb.cb[c + CB_END_SEQ] = tp.writeSeq;
  skb.cb[c + CB_PCOUNT] = 0;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpSendmsgCopy, skb, n, skb.cb[c + CB_SEQ], tp.sk);
  return n;
}

/** A new page to fill. The old one lives on in its frags. Linux: skb_page_frag_refill(). */
function refill(st: TcpState): boolean {
  const pages = st.skbs.pages;
  // Nobody else has it: it is filled again from its start.
  if (st.fragSlab !== null && st.fragSlab.refCount(st.fragPage) === 1) {
    st.fragOffset = st.fragPage;
    return true;
  }
  tcpFragRelease(st);
  const page = pages.alloc(SLOT_LARGE);
  if (page < 0) return false;
  st.fragSlab = pages.slab;
  st.fragPage = st.fragOffset = page;
  return true;
}

/** Gives the page that is being filled back: at the end of the net. */
export function tcpFragRelease(st: TcpState): void {
  if (st.fragSlab !== null) st.fragSlab.put(st.fragPage);
  st.fragSlab = null;
}
