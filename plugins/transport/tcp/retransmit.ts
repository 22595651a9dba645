/**
 * Sending again, and the surgery on queued segments that it needs: cutting, trimming, merging. Payload bytes are shared,
 * never copied. RFC 9293 section 3.8.1, RFC 6298. Linux: net/ipv4/tcp_output.c.
 *
 * Different from Linux: a segment whose last transmission is still in a queue of ours is sent again all the same
 * (skb_still_in_host_queue()); the small queue limit bounds how many.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import { tcpInCwndReduction } from "./cwnd_usage.ts";
import * as contract from "./contract.ts";
import { skMemCharge, skMemUncharge } from "./memory.ts";
import { tcpCurrentMss, tcpSkRoute } from "./mss.ts";
import { __tcpTransmitSkb, tcpTsoSegs, tcpWndEnd } from "./output.ts";
import { tcpSackRunEnd } from "./sack.ts";
import type { SkbRing } from "./skb_ring.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import { tcpResetXmitTimer } from "./timer.ts";
import { tcpPacingCheck, tcpSmallQueueCheck } from "./tsq.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO, G_SOCK, MAX_SKB_FRAGS, NET_SKB_PAD, SKB_CB_WORDS, SKB_GSO_TCPV4, skbTruesize } = core;
const { TCP_CA_LOSS } = contract;
const {
  after,
  before,
  CB_END_SEQ,
  CB_F_EOR,
  CB_F_ZEROCOPY,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  ICSK_TIME_REO_TIMEOUT,
  ICSK_TIME_RETRANS,
  TCP_ECN_OK,
  TCPCB_EVER_RETRANS,
  TCPCB_LOST,
  TCPCB_RETRANS,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
  TCPHDR_ACK,
  TCPHDR_CWR,
  TCPHDR_ECE,
  TCPHDR_FIN,
  TCPHDR_PSH,
  TCPHDR_SYN,
} = tcpSock;

const EAGAIN = -ERRNO.EAGAIN;
const EHOSTUNREACH = -ERRNO.EHOSTUNREACH;
const EINVAL = -ERRNO.EINVAL;
const ENOMEM = -ERRNO.ENOMEM;
const MAX_TCP_HEADER = 320;
/** SKB_TRUESIZE(GSO_LEGACY_MAX_SIZE): two of them may be queued above the send buffer by cutting. */
const TRUESIZE_GSO = 65536 + 576;

// ---- surgery

/** Segments that `skb` makes at `mss`: notes it in the skb, and gives it. Linux: tcp_set_skb_tso_segs(). Borrows `skb`. */
export function tcpSetSkbTsoSegs(tp: TcpSock, skb: SkBuff, mss: number): number {
  if (skb.len <= mss) {
    skb.gsoSize = 0;
    skb.cb[tp.st.cb + CB_PCOUNT] = 1;
    return 1;
  }
  const segs = Math.ceil(skb.len / mss);
  skb.gsoSize = mss;
  skb.gsoSegs = segs;
  skb.gsoType = SKB_GSO_TCPV4;
  skb.cb[tp.st.cb + CB_PCOUNT] = segs;
  return segs;
}

/** `skb` counts for `decr` segments less. Linux: tcp_adjust_pcount(). Borrows `skb`. */
function adjustPcount(tp: TcpSock, skb: SkBuff, decr: number): void {
  const flags = skb.cb[tp.st.cb + CB_FLAGS];
  tp.packetsOut -= decr;
  if ((flags & TCPCB_SACKED_ACKED) !== 0) tp.sackedOut -= decr;
  if ((flags & TCPCB_SACKED_RETRANS) !== 0) tp.retransOut -= decr;
  if ((flags & TCPCB_LOST) !== 0) tp.lostOut -= decr;
  // Without SACK the number of duplicate ACKs stands for it.
  if (!tp.sackOk && decr > 0) tp.sackedOut -= Math.min(tp.sackedOut, decr);
}

/**
 * Cuts `skb` of one of the queues at `len` bytes: what is behind becomes a segment of its own, next in the queue. 0 or a
 * negative errno. Linux: tcp_fragment(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function tcpFragment(tp: TcpSock, queue: "rtx" | "write", skb: SkBuff, len: number, mss: number): number {
  const st = tp.st;
  const c = st.cb;
  if (len <= 0 || len >= skb.len) return EINVAL;
  const rtx = tp.rtx;
  // A peer that SACKs bytes here and there may not make us hold more than twice of what was written. CVE-2019-11478.
  if (
    queue === "rtx" && rtx !== null && tp.wmemQueued >> 1 > tp.sk.sndbuf + 2 * TRUESIZE_GSO && skb !== rtx.head &&
    skb !== rtx.tail
  ) {
    st.mib.tcpExt.TCPWqueueTooBig++;
    return ENOMEM;
  }
  const rest = st.skbs.alloc(NET_SKB_PAD, skbTruesize(MAX_TCP_HEADER));
  if (rest === null) return ENOMEM;
  rest.reserve(NET_SKB_PAD);
  rest.id = skb.id;
  tp.wmemQueued += rest.truesize;
  skMemCharge(tp, rest.truesize);
  const moved = skb.len - len;
  rest.truesize += moved;
  skb.truesize -= moved;
  const words = skb.cb;
  for (let i = 0; i < SKB_CB_WORDS; i++) rest.cb[i] = words[i];
  const flags = words[c + CB_FLAGS];
  words[c + CB_FLAGS] = flags & ~(TCPHDR_FIN | TCPHDR_PSH | CB_F_EOR);
  rest.cb[c + CB_FLAGS] = flags & ~TCPHDR_CWR;
  rest.cb[c + CB_SEQ] = words[c + CB_END_SEQ] = (words[c + CB_SEQ] + len) | 0;
  splitFrags(skb, rest, len);
  const old = words[c + CB_PCOUNT];
  tcpSetSkbTsoSegs(tp, skb, mss);
  tcpSetSkbTsoSegs(tp, rest, mss);
  if (queue === "write") {
    rest.next = skb.next;
    skb.next = rest;
    if (tp.writeTail === skb) tp.writeTail = rest;
    return 0;
  }
  const diff = old - words[c + CB_PCOUNT] - rest.cb[c + CB_PCOUNT];
  if (diff !== 0) adjustPcount(tp, skb, diff);
  (rtx as SkbRing).insert((rtx as SkbRing).find(words[c + CB_SEQ]) + 1, rest);
  return 0;
}

/** What is behind `len` bytes moves to `rest`; a frag on the border is shared. Linux: skb_split(). Borrows both. */
function splitFrags(skb: SkBuff, rest: SkBuff, len: number): void {
  let at = 0;
  let kept = 0;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    const size = frag.size;
    if (at >= len) rest.addFrag(frag.slab, frag.page, frag.offset, size);
    else {
      kept++;
      const here = len - at;
      if (size > here) {
        frag.slab.get(frag.page);
        rest.addFrag(frag.slab, frag.page, frag.offset + here, size - here);
        frag.size = here;
      }
    }
    at += size;
  }
  skb.nrFrags = kept;
  skb.len = skb.dataLen = len;
}

/** Takes `n` bytes off the front. Borrows `skb`. Linux: __pskb_trim_head(). */
function dropFront(skb: SkBuff, n: number): void {
  skb.len -= n;
  skb.dataLen -= n;
  let gone = 0;
  while (n > 0) {
    const frag = skb.frags[gone];
    if (frag.size > n) {
      frag.offset += n;
      frag.size -= n;
      break;
    }
    n -= frag.size;
    frag.slab.put(frag.page);
    gone++;
  }
  if (gone === 0) return;
  for (let i = gone; i < skb.nrFrags; i++) {
    const empty = skb.frags[i - gone];
    skb.frags[i - gone] = skb.frags[i];
    skb.frags[i] = empty;
  }
  skb.nrFrags -= gone;
}

/** The first `len` bytes of `skb` are acknowledged. Linux: tcp_trim_head(), net/ipv4/tcp_output.c. Borrows `skb`. */
export function tcpTrimHead(tp: TcpSock, skb: SkBuff, len: number): void {
  const c = tp.st.cb;
  dropFront(skb, len);
  skb.cb[c + CB_SEQ] = (skb.cb[c + CB_SEQ] + len) | 0;
  skb.truesize -= len;
  tp.wmemQueued -= len;
  skMemUncharge(tp, len);
  if (skb.cb[c + CB_PCOUNT] > 1) tcpSetSkbTsoSegs(tp, skb, skb.gsoSize);
}

/** Frags of `from` that fit move behind those of `to`; false: they do not. Linux: tcp_skb_shift(). Borrows both. */
function shiftAll(to: SkBuff, from: SkBuff): boolean {
  const last = to.nrFrags === 0 ? null : to.frags[to.nrFrags - 1];
  const first = from.nrFrags === 0 ? null : from.frags[0];
  const joins = last !== null && first !== null && last.slab === first.slab && last.page === first.page &&
    last.offset + last.size === first.offset;
  if (to.nrFrags + from.nrFrags - (joins ? 1 : 0) > MAX_SKB_FRAGS) return false;
  let i = 0;
  if (joins) {
    last!.size += first!.size;
    to.len += first!.size;
    to.dataLen += first!.size;
    first!.slab.put(first!.page);
    i = 1;
  }
  for (; i < from.nrFrags; i++) {
    const frag = from.frags[i];
    to.addFrag(frag.slab, frag.page, frag.offset, frag.size);
  }
  to.truesize += from.len;
  from.truesize -= from.len;
  from.nrFrags = from.len = from.dataLen = 0;
  return true;
}

/**
 * The head of the write queue is filled up to `room` more bytes with what follows, so that a super-packet goes full.
 * Linux: tcp_grow_skb(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function tcpGrowSkb(tp: TcpSock, skb: SkBuff, room: number): void {
  const c = tp.st.cb;
  const next = skb.next as SkBuff;
  if (((skb.cb[c + CB_FLAGS] | next.cb[c + CB_FLAGS]) & (CB_F_EOR | CB_F_ZEROCOPY)) !== 0 || next.len === 0) return;
  if (next.len <= room) {
    if (!shiftAll(skb, next)) return;
    skb.cb[c + CB_FLAGS] |= next.cb[c + CB_FLAGS];
    skb.cb[c + CB_END_SEQ] = next.cb[c + CB_END_SEQ];
    skb.next = next.next;
    next.next = null;
    if (tp.writeTail === next) tp.writeTail = skb;
    freeShifted(tp, next);
    return;
  }
  if (skb.nrFrags + next.nrFrags > MAX_SKB_FRAGS) return;
  for (let i = 0, left = room; left > 0; i++) {
    const frag = next.frags[i];
    const n = Math.min(left, frag.size);
    appendShared(skb, frag, n);
    left -= n;
  }
  dropFront(next, room);
  skb.truesize += room;
  next.truesize -= room;
  skb.cb[c + CB_END_SEQ] = next.cb[c + CB_SEQ] = (next.cb[c + CB_SEQ] + room) | 0;
}

/** `n` bytes of a frag of another skb, by reference. Borrows `skb`. */
function appendShared(skb: SkBuff, frag: core.SkbFrag, n: number): void {
  const last = skb.nrFrags === 0 ? null : skb.frags[skb.nrFrags - 1];
  if (last !== null && last.slab === frag.slab && last.page === frag.page && last.offset + last.size === frag.offset) {
    last.size += n;
    skb.len += n;
    skb.dataLen += n;
    return;
  }
  frag.slab.get(frag.page);
  skb.addFrag(frag.slab, frag.page, frag.offset, n);
}

/** One whose payload moved to its neighbour ends. Takes ownership of `skb`. */
function freeShifted(tp: TcpSock, skb: SkBuff): void {
  tp.wmemQueued -= skb.truesize;
  skMemUncharge(tp, skb.truesize);
  skb.consume();
}

/** Whether `skb` may be merged into what is before it. Linux: tcp_can_collapse(), tcp_skb_can_collapse(). Borrows both. */
function canCollapse(tp: TcpSock, to: SkBuff, skb: SkBuff): boolean {
  const c = tp.st.cb;
  const flags = skb.cb[c + CB_FLAGS];
  if (skb.cb[c + CB_PCOUNT] > 1 || to.cb[c + CB_PCOUNT] > 1) return false;
  if (((flags | to.cb[c + CB_FLAGS]) & CB_F_ZEROCOPY) !== 0) return false;
  return (flags & TCPCB_SACKED_ACKED) === 0 && (to.cb[c + CB_FLAGS] & CB_F_EOR) === 0;
}

/**
 * Small segments behind one that goes again are merged into it, up to `space` bytes. Linux: tcp_retrans_try_collapse(),
 * tcp_collapse_retrans(), net/ipv4/tcp_output.c. Borrows `to`.
 */
function retransTryCollapse(tp: TcpSock, to: SkBuff, space: number): void {
  const c = tp.st.cb;
  const rtx = tp.rtx as SkbRing;
  if (tp.st.sysctl.retransCollapse === 0 || (to.cb[c + CB_FLAGS] & (TCPHDR_SYN | TCPCB_SACKED_ACKED)) !== 0) return;
  const at = rtx.find(to.cb[c + CB_SEQ]);
  space -= to.len;
  while (at + 1 < rtx.length) {
    const skb = rtx.at(at + 1);
    if (!canCollapse(tp, to, skb)) return;
    space -= skb.len;
    if (space < 0 || after(skb.cb[c + CB_END_SEQ], tcpWndEnd(tp))) return;
    if (!shiftAll(to, skb)) return;
    const flags = skb.cb[c + CB_FLAGS];
    to.cb[c + CB_END_SEQ] = skb.cb[c + CB_END_SEQ];
    // Of the scoreboard only that it was sent more than once.
    to.cb[c + CB_FLAGS] |= flags & (0xffff | CB_F_EOR | TCPCB_EVER_RETRANS);
    adjustPcount(tp, skb, skb.cb[c + CB_PCOUNT]);
    rtx.removeAt(at + 1);
    freeShifted(tp, skb);
  }
}

// ---- again

/**
 * Sends `skb` of the retransmission queue again, at most `segs` segments of it. 0, a NET_XMIT_* code or a negative errno.
 * Linux: __tcp_retransmit_skb(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function __tcpRetransmitSkb(tp: TcpSock, skb: SkBuff, segs: number): number {
  const st = tp.st;
  const c = st.cb;
  const words = skb.cb;
  // With a loss in flight a probe of the path MTU tells nothing.
  if (tp.mtup !== null) tp.mtup.probeSize = 0;
  if (before(words[c + CB_SEQ], tp.sndUna)) {
    if ((words[c + CB_FLAGS] & TCPHDR_SYN) !== 0) {
      words[c + CB_FLAGS] &= ~TCPHDR_SYN;
      words[c + CB_SEQ] = (words[c + CB_SEQ] + 1) | 0;
    }
    const acked = (tp.sndUna - words[c + CB_SEQ]) | 0;
    if (acked > skb.len) return EINVAL;
    if (acked > 0) tcpTrimHead(tp, skb, acked);
  }
  if (tcpSkRoute(tp) === null) return EHOSTUNREACH;
  const mss = tcpCurrentMss(tp);
  let room = (tcpWndEnd(tp) - words[c + CB_SEQ]) | 0;
  if (room <= 0) {
    // The peer took its window back: only the first segment goes, as a probe.
    if (words[c + CB_SEQ] !== tp.sndUna) return EAGAIN;
    room = mss;
  }
  // Of a super-packet all segments would have the first one's urgent pointer.
  let len = mss * (tp.sndUna !== tp.sndUp ? 1 : segs);
  if (len > room) len = room - room % mss || room;
  if (skb.len > len) { if (tcpFragment(tp, "rtx", skb, len, mss) !== 0) return ENOMEM; }
  else {
    const diff = words[c + CB_PCOUNT] - tcpSetSkbTsoSegs(tp, skb, mss);
    if (diff !== 0) adjustPcount(tp, skb, diff);
    room = Math.min(room, mss);
    if (skb.len < room) retransTryCollapse(tp, skb, room);
  }
  // RFC 3168 section 6.1.1.1: who drops SYNs that ask for ECN gets one that does not.
  const flags = words[c + CB_FLAGS];
  if ((flags & (TCPHDR_SYN | TCPHDR_ACK | TCPHDR_ECE | TCPHDR_CWR)) === (TCPHDR_SYN | TCPHDR_ECE | TCPHDR_CWR)) {
    if (st.sysctl.ecnFallback !== 0) {
      words[c + CB_FLAGS] = flags & ~(TCPHDR_ECE | TCPHDR_CWR);
      tp.ecnFlags &= ~TCP_ECN_OK;
    }
  }
  return sendAgain(tp, skb);
}

/** Counts and sends. Borrows `skb`. */
function sendAgain(tp: TcpSock, skb: SkBuff): number {
  const st = tp.st;
  const c = st.cb;
  const words = skb.cb;
  const pcount = words[c + CB_PCOUNT];
  st.mib.tcp.RetransSegs += pcount;
  if ((words[c + CB_FLAGS] & TCPHDR_SYN) !== 0) st.mib.tcpExt.TCPSynRetrans++;
  tp.totalRetrans += pcount;
  tp.bytesRetrans += skb.len;
  // Before it is sent: its stamps say that it is not the first time. Also where it fails, its round trip tells nothing.
  words[c + CB_FLAGS] |= TCPCB_EVER_RETRANS;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpRetransmitSkb, skb, words[c + CB_SEQ], skb.len, tp.sk);
  const err = __tcpTransmitSkb(tp, skb, true, tp.rcvNxt);
  if (err !== 0) st.mib.tcpExt.TCPRetransFail += pcount;
  return err;
}

/**
 * The same, and notes that it is in flight again. Linux: tcp_retransmit_skb(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function tcpRetransmitSkb(tp: TcpSock, skb: SkBuff, segs: number): number {
  const err = __tcpRetransmitSkb(tp, skb, segs);
  const words = skb.cb;
  const c = tp.st.cb;
  const pcount = words[c + CB_PCOUNT];
  if (err === 0) {
    // Undoing takes the mark of loss from it, not the one of its retransmission: at a timeout it is in flight once still.
    if ((words[c + CB_FLAGS] & TCPCB_SACKED_RETRANS) === 0) tp.retransOut += pcount;
    words[c + CB_FLAGS] |= TCPCB_RETRANS;
  }
  if (tp.retransStamp === 0) tp.retransStamp = stampMs(tp, words[c + CB_MSTAMP]);
  if (tp.undoRetrans < 0) tp.undoRetrans = 0;
  tp.undoRetrans += pcount;
  return err;
}

/** The timestamp in ms of what was sent at `mstamp` microseconds, for a clock of 32 bits that wraps. */
function stampMs(tp: TcpSock, mstamp: number): number {
  const ago = (tp.tcpMstamp - mstamp) | 0;
  return Math.floor((tp.st.machine.now - ago * 1000) / 1e6) | 0 || 1;
}

/**
 * Sends again what is marked lost, as the congestion window lets it go. Linux: tcp_xmit_retransmit_queue(),
 * net/ipv4/tcp_output.c.
 */
export function tcpXmitRetransmitQueue(tp: TcpSock): void {
  const rtx = tp.rtx;
  if (tp.packetsOut === 0 || rtx === null) return;
  const st = tp.st;
  const c = st.cb;
  const maxSegs = tcpTsoSegs(tp, tcpCurrentMss(tp));
  let rearm = false;
  // The hint stays at the first that could be sent again by a later loss.
  let hole = false;
  let i = tp.hasRetransmitHint ? Math.max(0, rtx.find(tp.retransmitHint)) : 0;
  for (; i < rtx.length; i++) {
    if (tp.pacing !== null && tcpPacingCheck(tp)) break;
    const skb = rtx.at(i);
    const words = skb.cb;
    if (!hole) {
      tp.retransmitHint = words[c + CB_SEQ];
      tp.hasRetransmitHint = true;
    }
    const quota = tp.sndCwnd - (tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut);
    if (quota <= 0 || tp.retransOut >= tp.lostOut) break;
    const flags = words[c + CB_FLAGS];
    if ((flags & TCPCB_SACKED_ACKED) !== 0) {
      i = tcpSackRunEnd(tp, rtx, i) - 1;
      continue;
    }
    if ((flags & TCPCB_LOST) === 0) {
      if ((flags & TCPCB_SACKED_RETRANS) === 0) hole = true;
      continue;
    }
    if ((flags & TCPCB_SACKED_RETRANS) !== 0) continue;
    if (tcpSmallQueueCheck(tp, skb, 1)) break;
    if (tcpRetransmitSkb(tp, skb, Math.min(quota, maxSegs)) !== 0) break;
    const pcount = words[c + CB_PCOUNT];
    if (tp.icskCaState === TCP_CA_LOSS) st.mib.tcpExt.TCPSlowStartRetrans += pcount;
    else st.mib.tcpExt.TCPFastRetrans += pcount;
    if (tcpInCwndReduction(tp)) tp.prrOut += pcount;
    if (i === 0 && tp.icskPending !== ICSK_TIME_REO_TIMEOUT) rearm = true;
  }
  if (rearm) tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, tp.icskRto);
}
