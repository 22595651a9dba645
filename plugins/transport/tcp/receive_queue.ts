/**
 * The way of payload into the receive queue, and what is learnt on it: the peer's segment size, the round trip as a
 * receiver sees it, how large a window is worth its memory. RFC 9293 section 3.10.7.4 step 7, RFC 3168; Linux:
 * net/ipv4/tcp_input.c.
 *
 * - *Memory* is counted in truesize: `scalingRatio` is the share of it that is payload, learnt from full segments.
 * - *Window* (`rcvSsthresh`) grows with each full segment while the buffer could hold what the sender is about to send.
 * - *Buffer* (`rcvbuf`) grows to twice what the reader takes per round trip, and ahead of a sender in slow start.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as ackSend from "./ack_send.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as input from "./input.ts";
import * as memory from "./memory.ts";
import * as ofo from "./ofo.ts";
import * as output from "./output.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, G_SOCK, MAX_SKB_FRAGS } = core;
const { RCV_SHUTDOWN, skbSetOwnerR, skDataReady, SOCK_MIN_RCVBUF, SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK } = sock;
const { tcpEnterQuickackMode, tcpIncrQuickack } = ackSend;
const { tcpCaEvent } = cong;
const { CA_EVENT_ECN_IS_CE, CA_EVENT_ECN_NO_CE, SKB_HEAD_LOCKED } = contract;
const { tcpFin } = input;
const { skForcedMemSchedule, skRmemSchedule, tcpSndbufExpand } = memory;
const { tcpDataQueueOfo, tcpDsackSet, tcpOfoQueue, tcpSackRemove, tcpTryRmemSchedule } = ofo;
const { tcpSendAck } = output;
const { __tcpSelectWindow, tcpFullSpace, tcpReceiveWindow, tcpSpace, tcpSpaceFromWin, tcpWinFromSpace } = win;
const {
  after,
  before,
  CB_END_SEQ,
  CB_F_ECN_SHIFT,
  CB_FLAGS,
  CB_SEQ,
  ICSK_ACK_NOMEM,
  ICSK_ACK_NOW,
  ICSK_ACK_PUSHED,
  ICSK_ACK_PUSHED2,
  ICSK_ACK_SCHED,
  TCP_ATO_MIN,
  TCP_ECN_DEMAND_CWR,
  TCP_ECN_OK,
  TCP_ECN_SEEN,
  TCP_INIT_CWND,
  TCP_MAX_QUICKACKS,
  TCP_MIN_MSS,
  TCP_MSS_DEFAULT,
  tcpFastPathCheck,
  TCPHDR_CWR,
  TCPHDR_FIN,
  TCPHDR_PSH,
  TCPHDR_SYN,
  TCPHDR_URG,
  tcpMstampRefresh,
  tcpTimeStampMs,
} = tcpSock;

/** Bytes of the header without options. */
const TCP_HLEN = 20;
/** SKB_DATA_ALIGN(sizeof(struct sk_buff)): what a buffer that hangs on another does not cost. */
const SIZEOF_SK_BUFF = 256;
/** ECN field of the IP header: not capable, congestion experienced. RFC 3168 section 5. */
const INET_ECN_NOT_ECT = 0, INET_ECN_CE = 3;
/** A segment without one of these should be full: the sender had more. Linux: TCP_REMNANT. */
const REMNANT = TCPHDR_FIN | TCPHDR_URG | TCPHDR_SYN | TCPHDR_PSH;

// ---- queueing

/** Charges a received segment to the socket and its reserve. Linux: skb_set_owner_r(). Borrows `skb`. */
export function tcpSetOwnerR(tp: TcpSock, skb: SkBuff): void {
  if (skb.owner !== null) skb.orphan();
  skbSetOwnerR(skb, tp.sk);
  tp.forwardAlloc -= skb.truesize;
}

/**
 * Hangs the bytes of `skb` behind those of `to`, where they follow: its head's slot becomes a frag, nothing is copied.
 * True: done, the rest of `skb` is to be consumed. Linux: tcp_try_coalesce(). Borrows `skb`.
 */
export function tcpTryCoalesce(tp: TcpSock, to: SkBuff, skb: SkBuff): boolean {
  const c = tp.st.cb;
  if (skb.cb[c + CB_SEQ] !== to.cb[c + CB_END_SEQ] || (to.cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0) return false;
  const linear = skb.tail - skb.data;
  const added = skb.nrFrags + (linear !== 0 ? 1 : 0);
  if (linear !== 0 && (skb.flags & SKB_HEAD_LOCKED) !== 0) return false;
  if (to.nrFrags + added > MAX_SKB_FRAGS || to.fragList !== null || skb.fragList !== null) return false;
  // Of a FIN alone nothing is kept.
  const delta = added === 0 ? 0 : skb.truesize - SIZEOF_SK_BUFF;
  if (delta > tp.forwardAlloc && !skRmemSchedule(tp, delta)) return false;
  if (linear !== 0) {
    skb.slab.get(skb.head);
    to.addFrag(skb.slab, skb.head, skb.data, linear);
  }
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    frag.slab.get(frag.page);
    to.addFrag(frag.slab, frag.page, frag.offset, frag.size);
  }
  to.truesize += delta;
  if (to.owner !== null) {
    tp.sk.rmemAlloc += delta;
    tp.forwardAlloc -= delta;
  }
  to.cb[c + CB_END_SEQ] = skb.cb[c + CB_END_SEQ];
  to.cb[c + CB_FLAGS] |= skb.cb[c + CB_FLAGS] & 0x1ff;
  tp.st.mib.tcpExt.TCPRcvCoalesce++;
  return true;
}

/**
 * Into the receive queue: `rcvNxt` moves. True: its bytes hang on the last one, the caller consumes the rest.
 * Linux: tcp_queue_rcv(). Takes ownership of `skb` unless it returns true.
 */
export function tcpQueueRcv(tp: TcpSock, skb: SkBuff): boolean {
  const st = tp.st;
  const queue = tp.sk.receiveQueue;
  const endSeq = skb.cb[st.cb + CB_END_SEQ];
  const tail = queue.tail;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpQueueRcv, skb, skb.len, endSeq, tp.sk);
  const eaten = tail !== null && tcpTryCoalesce(tp, tail, skb);
  tp.bytesReceived += (endSeq - tp.rcvNxt) | 0;
  tp.rcvNxt = endSeq;
  if (!eaten) {
    tcpSetOwnerR(tp, skb);
    queue.enqueue(skb);
  }
  return eaten;
}

/**
 * Text of a segment that is acceptable, `data` at its header: in order into the receive queue, else out of order, else
 * dropped with an ACK. Linux: tcp_data_queue(), net/ipv4/tcp_input.c. Takes ownership of `skb`.
 */
export function tcpDataQueue(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const c = st.cb;
  const seq = skb.cb[c + CB_SEQ];
  const endSeq = skb.cb[c + CB_END_SEQ];
  if (seq === endSeq) {
    skb.consume();
    return;
  }
  skb.dst = null;
  skb.pull(skb.view.getUint8(skb.transportHeader + 12) >> 4 << 2);
  tp.hasDsack = false;
  const window = tcpReceiveWindow(tp);
  if (seq === tp.rcvNxt) {
    // A FIN needs no room.
    if (window === 0 && (skb.len !== 0 || (skb.cb[c + CB_FLAGS] & TCPHDR_FIN) === 0)) {
      st.mib.tcpExt.TCPZeroWindowDrop++;
      outOfWindow(tp, skb, st.reason.TCP_ZEROWINDOW);
    } else dataQueueIn(tp, skb);
  } else if (!after(endSeq, tp.rcvNxt)) {
    st.mib.tcpExt.DelayedACKLost++;
    tcpDsackSet(tp, seq, endSeq);
    outOfWindow(tp, skb, st.reason.TCP_OLD_DATA);
  } else if (!before(seq, (tp.rcvNxt + window) | 0)) {
    outOfWindow(tp, skb, st.reason.TCP_OVERWINDOW);
  } else if (before(seq, tp.rcvNxt)) {
    tcpDsackSet(tp, seq, tp.rcvNxt);
    if (window === 0) {
      st.mib.tcpExt.TCPZeroWindowDrop++;
      outOfWindow(tp, skb, st.reason.TCP_ZEROWINDOW);
    } else dataQueueIn(tp, skb);
  } else tcpDataQueueOfo(tp, skb);
}

/** Dropped; the sender must hear of it at once, and of the next ones. Takes ownership of `skb`. */
function outOfWindow(tp: TcpSock, skb: SkBuff, reason: number): void {
  tcpEnterQuickackMode(tp, TCP_MAX_QUICKACKS);
  tp.ackPending |= ICSK_ACK_SCHED;
  tp.st.net.drop(skb, reason);
}

/** In order, in the window, by the slow path. Takes ownership of `skb`. */
function dataQueueIn(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const sk = tp.sk;
  if (!tcpTryRmemSchedule(tp, skb)) {
    tp.ackPending |= ICSK_ACK_NOMEM | ICSK_ACK_NOW | ICSK_ACK_SCHED;
    skDataReady(sk);
    if (sk.receiveQueue.head !== null && skb.len !== 0) {
      st.mib.tcpExt.TCPRcvQDrop++;
      sk.drops++;
      st.net.drop(skb, DROP.PROTO_MEM);
      return;
    }
    skForcedMemSchedule(tp, skb.truesize);
  }
  const fin = (skb.cb[st.cb + CB_FLAGS] & TCPHDR_FIN) !== 0;
  const eaten = tcpQueueRcv(tp, skb);
  if (skb.len !== 0) tcpEventDataRecv(tp, skb);
  if (fin) tcpFin(tp);
  if (tp.ofo !== null && tp.ofo.length !== 0) {
    tcpOfoQueue(tp);
    // RFC 5681 section 4.2: the sender waits for the news that a gap is filled.
    if (tp.ofo.length === 0) tp.ackPending |= ICSK_ACK_NOW;
  }
  if (tp.numSacks !== 0) tcpSackRemove(tp);
  tcpFastPathCheck(tp);
  if (eaten) skb.consume();
  tcpDataReady(tp);
}

/** Wakes the reader if there is as much as it waits for, or memory or window are short. Linux: tcp_data_ready(). */
export function tcpDataReady(tp: TcpSock): void {
  const sk = tp.sk;
  const avail = (tp.rcvNxt - tp.copiedSeq) | 0;
  if (
    avail >= sk.rcvlowat || (sk.shutdown & RCV_SHUTDOWN) !== 0 || sk.rmemAlloc > sk.rcvbuf - (sk.rcvbuf >> 3) ||
    tp.st.memoryPressure || tcpReceiveWindow(tp) <= tp.ackRcvMss
  ) {
    const st = tp.st;
    if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.skDataReady, null, sk.rmemAlloc, 0, sk);
    skDataReady(sk);
  }
}

// ---- what a segment with data teaches

/** Payload came in order: schedules its ACK and learns. Linux: tcp_event_data_recv(). Borrows `skb`. */
export function tcpEventDataRecv(tp: TcpSock, skb: SkBuff): void {
  tp.ackPending |= ICSK_ACK_SCHED;
  tcpMeasureRcvMss(tp, skb);
  tcpRcvRttMeasure(tp);
  const now = tp.st.machine.jiffies;
  if (tp.ackAto === 0) {
    tcpIncrQuickack(tp, TCP_MAX_QUICKACKS);
    tp.ackAto = TCP_ATO_MIN;
  } else {
    const since = (now - tp.ackLrcvtime) | 0;
    if (since <= TCP_ATO_MIN >> 1) tp.ackAto = (tp.ackAto >> 1) + (TCP_ATO_MIN >> 1);
    else if (since < tp.ackAto) tp.ackAto = Math.min((tp.ackAto >> 1) + since, tp.icskRto);
    // A long silence: the sender starts anew, and must not wait for delayed ACKs.
    else if (since > tp.icskRto) tcpIncrQuickack(tp, TCP_MAX_QUICKACKS);
  }
  tp.ackLrcvtime = now;
  if ((tp.ecnFlags & TCP_ECN_OK) !== 0) tcpEcnCheckCe(tp, skb);
  if (skb.len >= 128) tcpGrowWindow(tp, skb, false);
}

/**
 * Learns the size of the peer's full segments, and how much of their memory is payload. Small segments are pushed ones:
 * whoever sent them may wait for an ACK. Linux: tcp_measure_rcv_mss(). Borrows `skb`.
 */
export function tcpMeasureRcvMss(tp: TcpSock, skb: SkBuff): void {
  const lastSize = tp.ackLastSegSize;
  tp.ackLastSegSize = 0;
  let len = skb.gsoSize !== 0 ? skb.gsoSize : skb.len;
  if (len >= tp.ackRcvMss) {
    if (len !== tp.ackRcvMss) rescale(tp, skb);
    tp.ackRcvMss = Math.min(len, tp.advmss);
    if ((skb.cb[tp.st.cb + CB_FLAGS] & TCPHDR_PSH) !== 0) tp.ackPending |= ICSK_ACK_PUSHED;
    return;
  }
  // SACK blocks take from a full segment's payload: with its header it is as long as ever.
  len += skb.data - skb.transportHeader;
  if (
    len >= TCP_MSS_DEFAULT + TCP_HLEN ||
    (len >= TCP_MIN_MSS + TCP_HLEN && (skb.cb[tp.st.cb + CB_FLAGS] & REMNANT) === 0)
  ) {
    len -= tp.tcpHeaderLen;
    tp.ackLastSegSize = len;
    if (len === lastSize) {
      tp.ackRcvMss = len;
      return;
    }
  }
  if ((tp.ackPending & ICSK_ACK_PUSHED) !== 0) tp.ackPending |= ICSK_ACK_PUSHED2;
  tp.ackPending |= ICSK_ACK_PUSHED;
}

/** Full segments have a new size: so has the payload share of memory. Borrows `skb`. */
function rescale(tp: TcpSock, skb: SkBuff): void {
  const ratio = Math.min(255, Math.max(1, Math.floor(skb.len * 256 / skb.truesize)));
  if (ratio === tp.scalingRatio) return;
  tp.scalingRatio = ratio;
  tcpSetWindowClamp(tp, tcpWinFromSpace(tp, tp.sk.rcvbuf));
  if (tp.windowClamp < tp.rcvqSpace) tp.rcvqSpace = tp.windowClamp;
}

/** A new bound of the window, bytes; the window follows down at once, up as it was told. Linux: tcp_set_window_clamp(). */
export function tcpSetWindowClamp(tp: TcpSock, clamp: number): void {
  const old = tp.windowClamp;
  const now = Math.max(SOCK_MIN_RCVBUF >> 1, clamp);
  if (now === old) return;
  tp.windowClamp = now;
  if (now < old) tp.rcvSsthresh = Math.min(tp.rcvSsthresh, now);
  else tp.rcvSsthresh = Math.max(tp.rcvSsthresh, Math.min(tp.rcvWnd, now));
}

/** The size of full segments before any came. Linux: tcp_initialize_rcv_mss(). */
export function tcpInitializeRcvMss(tp: TcpSock): void {
  const hint = Math.min(tp.advmss, tp.mssCache, tp.rcvWnd >> 1, TCP_MSS_DEFAULT);
  tp.ackRcvMss = Math.max(hint, TCP_MIN_MSS);
}

/**
 * The window may grow by two segments if the buffer will hold what comes: at once when this segment uses its memory
 * well, else as long as the window is small against the largest buffer. `coalesced`: its bytes hang on another's, its
 * head is freed; a FIN alone then costs nothing. Linux: tcp_grow_window(), truesize_adjust(). Borrows `skb`.
 */
export function tcpGrowWindow(tp: TcpSock, skb: SkBuff, coalesced: boolean): void {
  const room = Math.min(tp.windowClamp, tcpSpace(tp)) - tp.rcvSsthresh;
  if (room <= 0) return;
  if (tp.st.memoryPressure) {
    tp.rcvSsthresh = Math.min(tp.rcvSsthresh, 4 * tp.advmss);
    return;
  }
  let grow = 0;
  const cost = coalesced && skb.len === 0 ? 0 : tcpWinFromSpace(tp, skb.truesize);
  if (cost <= skb.len) grow = 2 * tp.advmss;
  else {
    let truesize = cost >> 1;
    let window = tcpWinFromSpace(tp, tp.st.sysctl.rmem[2]) >> 1;
    while (tp.rcvSsthresh <= window) {
      if (truesize <= skb.len) {
        grow = 2 * tp.ackRcvMss;
        break;
      }
      truesize >>= 1;
      window >>= 1;
    }
  }
  if (grow === 0) return;
  tp.rcvSsthresh += Math.min(room, Math.max(grow, 2 * skb.len));
  tp.ackQuick |= 1;
}

// ---- ECN as a receiver. RFC 3168 section 6.1.3.

/** Congestion marks: the next ACKs carry ECE until the sender answers with CWR. Linux: tcp_data_ecn_check(). Borrows `skb`. */
export function tcpEcnCheckCe(tp: TcpSock, skb: SkBuff): void {
  if ((tp.ecnFlags & TCP_ECN_OK) === 0) return;
  const field = skb.cb[tp.st.cb + CB_FLAGS] >>> CB_F_ECN_SHIFT & 3;
  if (field === INET_ECN_NOT_ECT) {
    // Retransmissions are not ECN capable: the sender is in trouble, and waits for ACKs.
    if ((tp.ecnFlags & TCP_ECN_SEEN) !== 0) tcpEnterQuickackMode(tp, 2);
    return;
  }
  if (tp.icskCaOps.needsEcn) tcpCaEvent(tp, field === INET_ECN_CE ? CA_EVENT_ECN_IS_CE : CA_EVENT_ECN_NO_CE);
  if (field === INET_ECN_CE && (tp.ecnFlags & TCP_ECN_DEMAND_CWR) === 0) {
    tcpEnterQuickackMode(tp, 2);
    tp.ecnFlags |= TCP_ECN_DEMAND_CWR;
  }
  tp.ecnFlags |= TCP_ECN_SEEN;
}

/** The sender reduced its window: marks are answered. Linux: tcp_ecn_accept_cwr(). Borrows `skb`. */
export function tcpEcnAcceptCwr(tp: TcpSock, skb: SkBuff): void {
  const c = tp.st.cb;
  // Without ECN the bit says nothing.
  if ((skb.cb[c + CB_FLAGS] & TCPHDR_CWR) === 0 || (tp.ecnFlags & TCP_ECN_OK) === 0) return;
  tp.ecnFlags &= ~TCP_ECN_DEMAND_CWR;
  // Its window may be a single packet now: it must not wait for a second one.
  if (skb.cb[c + CB_SEQ] !== skb.cb[c + CB_END_SEQ]) tp.ackPending |= ICSK_ACK_NOW;
}

// ---- round trip of a receiver

/** A sample, microseconds; `windowed`: over a whole window, which may be too long. Linux: tcp_rcv_rtt_update(). */
function tcpRcvRttUpdate(tp: TcpSock, sample: number, windowed: boolean): void {
  const old = tp.rcvRttUs;
  const eighths = sample * 8;
  if (old === 0 || eighths < old) tp.rcvRttUs = eighths;
  else if (!windowed) tp.rcvRttUs = old - (old >> 3) + sample;
}

/** Without timestamps: the time in which one window comes. Linux: tcp_rcv_rtt_measure(). */
function tcpRcvRttMeasure(tp: TcpSock): void {
  if (tp.rcvRttTime !== 0) {
    if (before(tp.rcvNxt, tp.rcvRttSeq)) return;
    tcpRcvRttUpdate(tp, ((tp.tcpMstamp - tp.rcvRttTime) | 0) || 1, true);
  }
  tp.rcvRttSeq = (tp.rcvNxt + tp.rcvWnd) | 0;
  tp.rcvRttTime = tp.tcpMstamp || 1;
}

/** With them: our timestamp that a full segment echoes. Linux: tcp_rcv_rtt_measure_ts(). Borrows `skb`. */
export function tcpRcvRttMeasureTs(tp: TcpSock, skb: SkBuff): void {
  if (tp.rcvTsecr === tp.rcvRttLastTsecr) return;
  const c = tp.st.cb;
  tp.rcvRttLastTsecr = tp.rcvTsecr;
  if (((skb.cb[c + CB_END_SEQ] - skb.cb[c + CB_SEQ]) | 0) < tp.ackRcvMss) return;
  const delta = (tcpTimeStampMs(tp.st.machine) - tp.rcvTsecr) | 0;
  if (delta > 0 && delta < 0x7fffffff / 1000) tcpRcvRttUpdate(tp, delta * 1000, false);
}

// ---- the size of the buffer

/** The buffer as the connection begins. Linux: tcp_init_buffer_space(). */
export function tcpInitBufferSpace(tp: TcpSock): void {
  const appWin = tp.st.sysctl.appWin;
  if ((tp.sk.userlocks & SOCK_SNDBUF_LOCK) === 0) tcpSndbufExpand(tp);
  tcpMstampRefresh(tp);
  tp.rcvqTime = tp.tcpMstamp;
  tp.rcvqSeq = tp.copiedSeq;
  const most = tcpFullSpace(tp);
  if (tp.windowClamp >= most) {
    tp.windowClamp = most;
    if (appWin !== 0 && most > 4 * tp.advmss) {
      tp.windowClamp = Math.max(most - (most >> appWin), 4 * tp.advmss);
    }
  }
  // One segment is kept in reserve.
  if (appWin !== 0 && tp.windowClamp > 2 * tp.advmss && tp.windowClamp + tp.advmss > most) {
    tp.windowClamp = Math.max(2 * tp.advmss, most - tp.advmss);
  }
  tp.rcvSsthresh = Math.min(tp.rcvSsthresh, tp.windowClamp);
  tp.sndCwndStamp = tp.st.machine.jiffies;
  tp.rcvqSpace = Math.min(tp.rcvSsthresh, tp.rcvWnd, TCP_INIT_CWND * tp.advmss);
}

/** The buffer overflows: it grows to what is used if it may, else the window shrinks to two segments. Linux: tcp_clamp_window(). */
export function tcpClampWindow(tp: TcpSock): void {
  const st = tp.st;
  const sk = tp.sk;
  const most = st.sysctl.rmem[2];
  tp.ackQuick = 0;
  if (
    sk.rcvbuf < most && (sk.userlocks & SOCK_RCVBUF_LOCK) === 0 && !st.memoryPressure &&
    st.memoryAllocated < st.sysctl.mem[0] * 4096
  ) sk.rcvbuf = Math.min(sk.rmemAlloc, most);
  if (sk.rmemAlloc > sk.rcvbuf) tp.rcvSsthresh = Math.min(tp.windowClamp, 2 * tp.advmss);
}

/** The reader took data: once per round trip the buffer is fitted to its pace. Linux: tcp_rcv_space_adjust(). */
export function tcpRcvSpaceAdjust(tp: TcpSock): void {
  tcpMstampRefresh(tp);
  const time = (tp.tcpMstamp - tp.rcvqTime) | 0;
  if (tp.rcvRttUs === 0 || time < tp.rcvRttUs >> 3) return;
  const queued = (tp.rcvNxt - tp.copiedSeq) | 0;
  const copied = ((tp.copiedSeq - tp.rcvqSeq) | 0) - queued;
  if (copied > tp.rcvqSpace) tcpRcvbufGrow(tp, copied);
  tp.rcvqSeq = tp.copiedSeq;
  tp.rcvqTime = tp.tcpMstamp;
}

/**
 * The reader takes `space` bytes per round trip: the buffer must hold twice that, as all of this is a round trip late,
 * and more while the pace still grows or a gap is filled. Linux: tcp_rcvbuf_grow().
 */
export function tcpRcvbufGrow(tp: TcpSock, space: number): void {
  const sk = tp.sk;
  const old = tp.rcvqSpace;
  tp.rcvqSpace = space;
  if (tp.st.sysctl.moderateRcvbuf === 0 || (sk.userlocks & SOCK_RCVBUF_LOCK) !== 0) return;
  let window = 2 * space;
  if (old > 0) window += 2 * Math.floor(window * (space - old) / old);
  const last = tp.ofo !== null ? tp.ofo.tail : null;
  if (last !== null) window += (last.cb[tp.st.cb + CB_END_SEQ] - tp.rcvNxt) | 0;
  const wanted = Math.min(tcpSpaceFromWin(tp, window), tp.st.sysctl.rmem[2]);
  if (wanted <= sk.rcvbuf) return;
  sk.rcvbuf = wanted;
  tp.windowClamp = tcpWinFromSpace(tp, wanted);
}

/**
 * The reader took `copied` bytes: is an ACK due, because one was put off or the window opened? Linux: tcp_cleanup_rbuf(),
 * net/ipv4/tcp.c.
 */
export function tcpCleanupRbuf(tp: TcpSock, copied: number): void {
  const sk = tp.sk;
  const pending = tp.ackPending;
  let due = false;
  if ((pending & ICSK_ACK_SCHED) !== 0) {
    // Data stood between two ACKs of input; or this read emptied the queue, and the peer's last segment was small.
    due = ((tp.rcvNxt - tp.rcvWup) | 0) > tp.ackRcvMss ||
      (copied > 0 && sk.rmemAlloc === 0 &&
        ((pending & ICSK_ACK_PUSHED2) !== 0 || ((pending & ICSK_ACK_PUSHED) !== 0 && tp.ackPingpong === 0)));
  }
  if (!due && copied > 0 && (sk.shutdown & RCV_SHUTDOWN) === 0) {
    const now = tcpReceiveWindow(tp);
    if (2 * now <= tp.windowClamp) {
      const next = __tcpSelectWindow(tp);
      due = next !== 0 && next >= 2 * now;
    }
  }
  if (!due) return;
  tcpMstampRefresh(tp);
  tcpSendAck(tp);
}
