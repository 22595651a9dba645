/**
 * Segments that only control: ACK, FIN, RST, SYN, SYN-ACK, and probes. They carry no payload and go without a clone.
 * RFC 9293 sections 3.5 to 3.8.6. Linux: net/ipv4/tcp_output.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import * as inet from "../../network/inet/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as fastopenClient from "./fastopen_client.ts";
import * as memory from "./memory.ts";
import * as mss from "./mss.ts";
import * as optionsWrite from "./options_write.ts";
import * as output from "./output.ts";
import * as receiveQueue from "./receive_queue.ts";
import type { TcpRequestSock } from "./request.ts";
import * as retransmit from "./retransmit.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as socket from "./socket.ts";
import * as syncookies from "./syncookies.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timer from "./timer.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpSendSynData } = fastopenClient;
const { skForcedMemSchedule, skMemCharge } = memory;
const { tcpCurrentMss, tcpDstAdvmss, tcpFirstHop, tcpMssClamp, tcpMtupInit, tcpSkRoute, tcpSyncMss } = mss;
const { tcpSynackOptionsSize, tcpSynackOptionsWrite } = optionsWrite;
const {
  __tcpPushPendingFrames,
  __tcpTransmitSkb,
  tcpAddWriteQueueTail,
  tcpEventNewDataSent,
  tcpRtxQueue,
  tcpSendCheck,
  tcpWndEnd,
} = output;
const { tcpInitializeRcvMss } = receiveQueue;
const { tcpFragment, tcpSetSkbTsoSegs } = retransmit;
const { tcpCaDstInit, tcpDstEcn, tcpMetricsOf, tcpRtoMinUs } = routeMetrics;
const { tcpWriteQueuePurge } = socket;
const { cookieInitTimestamp } = syncookies;
const { tcpClampProbe0ToUserTimeout, tcpDelackTimerOf, tcpProbe0When, tcpResetXmitTimer } = timer;
const { tcpFullSpace, tcpSelectInitialWindow } = win;
const { ERRNO, G_SOCK, NET_SKB_PAD, NET_XMIT_CN, skbTruesize } = core;
const { IPPROTO_TCP } = inet;
const { IP_PMTUDISC_DO, IP_PMTUDISC_WANT } = ipv4;
const { SOCK_RCVBUF_LOCK } = sock;
const { TCP_CLOSE, TCP_ESTABLISHED, TCP_NAGLE_OFF } = contract;
const {
  before,
  between,
  CB_END_SEQ,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  ICSK_ACK_SCHED,
  ICSK_ACK_TIMER,
  ICSK_ACK_PUSHED,
  ICSK_TIME_PROBE0,
  ICSK_TIME_RETRANS,
  TCP_ATO_MIN,
  TCP_DELACK_MAX,
  TCP_DELACK_MIN,
  TCP_ECN_OK,
  TCP_MSS_DEFAULT,
  TCP_TIMEOUT_INIT,
  tcpMstampRefresh,
  TCPHDR_ACK,
  TCPHDR_CWR,
  TCPHDR_ECE,
  TCPHDR_FIN,
  TCPHDR_PSH,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpTimeStampMs,
} = tcpSock;

const ECONNREFUSED = -ERRNO.ECONNREFUSED;
const EFAULT = -ERRNO.EFAULT;
const EHOSTUNREACH = -ERRNO.EHOSTUNREACH;
const ENOBUFS = -ERRNO.ENOBUFS;
const TCP_HLEN = 20;
const TSTAMP_ALIGNED = 12;
const U16_MAX = 65535;
const INET_ECN_MASK = 3;
/** What a pure ACK costs: next to nothing, or ACKs would hold back data. Linux: skb_set_tcp_pure_ack(). */
const PURE_ACK_TRUESIZE = 2;
/** MAX_TCP_HEADER on x86-64: what Linux reserves for headers. */
const MAX_TCP_HEADER = 320;
/** Jiffies between probes while memory is short. */
const TCP_RESOURCE_PROBE_INTERVAL = 500;
/** Longest delay of an ACK where the round trip is not known, jiffies. */
const MAX_ATO = 500;

/** An empty segment that counts `flags`; null: no memory. Linux: tcp_init_nondata_skb(). */
function nondataSkb(tp: TcpSock, seq: number, flags: number, truesize: number): SkBuff | null {
  const st = tp.st;
  const skb = st.skbs.alloc(NET_SKB_PAD, truesize);
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD);
  const c = st.cb;
  skb.cb[c + CB_SEQ] = seq;
  skb.cb[c + CB_END_SEQ] = (flags & (TCPHDR_SYN | TCPHDR_FIN)) !== 0 ? (seq + 1) | 0 : seq;
  skb.cb[c + CB_FLAGS] = flags;
  skb.cb[c + CB_PCOUNT] = 1;
  return skb;
}

/**
 * The sequence number of a segment without data: what comes next, unless the peer took back the window that it is in, and
 * would refuse it. Linux: tcp_acceptable_seq().
 */
function acceptableSeq(tp: TcpSock): number {
  const beyond = (tp.sndNxt - tcpWndEnd(tp)) | 0;
  if (beyond <= 0 || (tp.wscaleOk && beyond < 1 << tp.rcvWscale)) return tp.sndNxt;
  return tcpWndEnd(tp);
}

// ---- ACK

/** Acknowledges now. Linux: tcp_send_ack(), net/ipv4/tcp_output.c. */
export function tcpSendAck(tp: TcpSock): void {
  tcpSendAckSeq(tp, tp.rcvNxt);
}

/** Acknowledges up to `rcvNxt`. Linux: __tcp_send_ack(). */
export function tcpSendAckSeq(tp: TcpSock, rcvNxt: number): void {
  if (tp.sk.state === TCP_CLOSE) return;
  const skb = nondataSkb(tp, acceptableSeq(tp), TCPHDR_ACK, PURE_ACK_TRUESIZE);
  if (skb === null) ackLater(tp);
  else __tcpTransmitSkb(tp, skb, false, rcvNxt);
}

/** No memory for it: again in a while, longer each time. */
function ackLater(tp: TcpSock): void {
  const delay = TCP_DELACK_MAX * 2 ** tp.ackRetry;
  if (delay < tp.opt.rtoMax) tp.ackRetry++;
  tp.ackPending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER;
  tp.ackAto = TCP_ATO_MIN;
  armDelack(tp, Math.min(delay, tp.opt.rtoMax));
}

/** The timer that runs is left alone where it fires sooner: its handler looks at `ackTimeout`. */
function armDelack(tp: TcpSock, delay: number): void {
  const machine = tp.st.machine;
  const at = (machine.jiffies + delay) | 0;
  tp.ackTimeout = at;
  const timer = tcpDelackTimerOf(tp);
  if (!timer.pending || ((timer.expires - at) | 0) > 0) machine.modTimer(timer, delay);
}

/**
 * Acknowledges later: an answer may take the ACK with it. The delay follows the gaps between what comes, from 40 ms on,
 * and is never longer than a round trip. Linux: tcp_send_delayed_ack(), net/ipv4/tcp_output.c.
 */
export function tcpSendDelayedAck(tp: TcpSock): void {
  let ato = tp.ackAto;
  if (ato > TCP_DELACK_MIN) {
    let most = tp.ackPingpong !== 0 || (tp.ackPending & ICSK_ACK_PUSHED) !== 0 ? TCP_DELACK_MAX : MAX_ATO;
    if (tp.srttUs !== 0) most = Math.min(most, Math.max(TCP_DELACK_MIN, Math.ceil((tp.srttUs >> 3) / 1000)));
    if (ato > most) ato = most;
  }
  // Never later than the peer's least RTO, which is taken to be ours.
  const least = Math.max(Math.ceil(tcpRtoMinUs(tp) / 1000), 2) - 1;
  if (ato > least) ato = Math.min(least, TCP_DELACK_MAX);
  const pending = tp.ackPending;
  if ((pending & ICSK_ACK_TIMER) !== 0) {
    const left = (tp.ackTimeout - tp.st.machine.jiffies) | 0;
    // It is about to fire.
    if (left <= ato >> 2) {
      tcpSendAck(tp);
      return;
    }
    if (left < ato) ato = left;
  }
  tp.ackPending = pending | ICSK_ACK_SCHED | ICSK_ACK_TIMER;
  armDelack(tp, ato);
}

// ---- FIN and RST

/**
 * Our half is closed: the FIN goes with the last data that waits, or alone. Linux: tcp_send_fin(),
 * net/ipv4/tcp_output.c.
 */
export function tcpSendFin(tp: TcpSock): void {
  const st = tp.st;
  const c = st.cb;
  let last = tp.writeTail;
  // Memory is short: it goes with the next retransmission.
  if (last === null && st.memoryPressure && tp.rtx !== null) last = tp.rtx.tail;
  if (last !== null) {
    last.cb[c + CB_FLAGS] |= TCPHDR_FIN;
    last.cb[c + CB_END_SEQ] = (last.cb[c + CB_END_SEQ] + 1) | 0;
    tp.writeSeq = (tp.writeSeq + 1) | 0;
    if (tp.writeTail === null) {
      tp.sndNxt = (tp.sndNxt + 1) | 0;
      return;
    }
  } else {
    const skb = nondataSkb(tp, tp.writeSeq, TCPHDR_ACK | TCPHDR_FIN, skbTruesize(MAX_TCP_HEADER));
    if (skb === null) return;
    skForcedMemSchedule(tp, skb.truesize);
    queueSkb(tp, skb);
  }
  __tcpPushPendingFrames(tp, tcpCurrentMss(tp), TCP_NAGLE_OFF);
}

/** Linux: tcp_queue_skb(). Takes ownership of `skb`. */
function queueSkb(tp: TcpSock, skb: SkBuff): void {
  tp.writeSeq = skb.cb[tp.st.cb + CB_END_SEQ];
  tcpAddWriteQueueTail(tp, skb);
  tp.wmemQueued += skb.truesize;
  skMemCharge(tp, skb.truesize);
}

/**
 * We give the connection up. RFC 2525 section 2.17, RFC 9293 section 3.10.5. Linux: tcp_send_active_reset(),
 * net/ipv4/tcp_output.c.
 */
export function tcpSendActiveReset(tp: TcpSock): void {
  const st = tp.st;
  st.mib.tcp.OutRsts++;
  const skb = nondataSkb(tp, acceptableSeq(tp), TCPHDR_ACK | TCPHDR_RST, skbTruesize(MAX_TCP_HEADER));
  if (skb === null) {
    st.mib.tcpExt.TCPAbortFailed++;
    return;
  }
  tcpMstampRefresh(tp);
  if (__tcpTransmitSkb(tp, skb, false, tp.rcvNxt) !== 0) st.mib.tcpExt.TCPAbortFailed++;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpSendReset, null, 0, 0, tp.sk);
}

// ---- SYN-ACK

/** Both SYNs crossed: our SYN becomes a SYN-ACK. 0 or a negative errno. Linux: tcp_send_synack(). */
export function tcpSendSynackTp(tp: TcpSock): number {
  const skb = tp.rtx === null ? null : tp.rtx.head;
  const c = tp.st.cb;
  if (skb === null || (skb.cb[c + CB_FLAGS] & TCPHDR_SYN) === 0) return EFAULT;
  let flags = skb.cb[c + CB_FLAGS];
  if ((flags & TCPHDR_ACK) === 0) {
    flags = (flags | TCPHDR_ACK) & ~TCPHDR_CWR;
    if ((tp.ecnFlags & TCP_ECN_OK) === 0) flags &= ~TCPHDR_ECE;
    skb.cb[c + CB_FLAGS] = flags;
  }
  return __tcpTransmitSkb(tp, skb, true, tp.rcvNxt);
}

/**
 * Builds and sends the SYN-ACK of a request; `tp` is its listener. 0 or a negative errno. Linux: tcp_make_synack(),
 * tcp_v4_send_synack().
 */
export function tcpSendSynack(st: TcpState, req: TcpRequestSock, tp: TcpSock): number {
  const sk = tp.sk;
  const dst = req.dst !== null && !req.dst.obsolete
    ? req.dst
    : st.fib.routeOutput(tcpFirstHop(req.ipOptions, req.daddr), req.saddr, req.boundDevIf, sk.tos);
  if (dst === null) return EHOSTUNREACH;
  req.dst = dst;
  const skb = st.skbs.alloc(NET_SKB_PAD);
  if (skb === null) return ENOBUFS;
  const header = TCP_HLEN + tcpSynackOptionsSize(req);
  skb.reserve(NET_SKB_PAD);
  const th = skb.push(header);
  skb.transportHeader = th;
  skb.dst = dst;
  skb.mark = sk.owner.mark;
  skb.priority = sk.owner.priority;
  const flags = TCPHDR_SYN | TCPHDR_ACK | (req.ecnOk ? TCPHDR_ECE : 0);
  const view = skb.view;
  view.setInt32(th, (req.sport << 16) | req.dport);
  view.setInt32(th + 4, req.sntIsn);
  view.setInt32(th + 8, req.rcvNxt);
  // RFC 7323 section 2.2: the window of a SYN is never scaled.
  view.setInt32(th + 12, (header << 26) | (flags << 16) | Math.min(req.rskRcvWnd, U16_MAX));
  view.setInt32(th + 16, 0);
  tcpSynackOptionsWrite(req, view, th + TCP_HLEN, tcpMssClamp(tp, tcpDstAdvmss(st, dst)), synackTsval(st, req));
  tcpSendCheck(skb, req.saddr, req.daddr, header, dst);
  st.mib.tcp.OutSegs++;
  const tos = st.sysctl.reflectTos !== 0 ? (req.synTos & ~INET_ECN_MASK) | (sk.tos & INET_ECN_MASK) : sk.tos;
  const df = dontFragment(sk.pmtudisc, dst);
  const err = req.ipOptions === null
    ? st.ipv4.queueXmit(skb, req.saddr, req.daddr, IPPROTO_TCP, tos, sk.ttl, df)
    : st.ipv4.queueXmitOptions(skb, req.saddr, req.daddr, IPPROTO_TCP, tos, sk.ttl, df, -1, req.ipOptions);
  return err === NET_XMIT_CN ? 0 : err;
}

/** What goes out while the path MTU is looked for carries DF. Linux: ip_dont_fragment(). */
function dontFragment(pmtudisc: number, dst: Dst): boolean {
  return pmtudisc === IP_PMTUDISC_DO || (pmtudisc === IP_PMTUDISC_WANT && dst.pmtuLocked !== true);
}

/** The timestamp of a SYN-ACK. What was sent first and last bounds the echo that is believed. */
function synackTsval(st: TcpState, req: TcpRequestSock): number {
  const machine = st.machine;
  let now = tcpTimeStampMs(machine);
  if (req.syncookie && req.tstampOk) now = cookieInitTimestamp(req, now);
  else if (req.sntSynack === 0) req.sntSynack = tcpSock.tcpClockUs(machine) || 1;
  const tsval = (now + req.tsOff) | 0;
  if (req.sntTsvalFirst === 0) req.sntTsvalFirst = tsval;
  req.sntTsvalLast = tsval;
  return tsval;
}

// ---- SYN

/** What a new connection begins with. Linux: tcp_connect_init(). */
function connectInit(tp: TcpSock, dst: Dst): void {
  const st = tp.st;
  const sk = tp.sk;
  tp.tcpHeaderLen = TCP_HLEN + (st.sysctl.timestamps !== 0 ? TSTAMP_ALIGNED : 0);
  tp.mssClamp = tp.opt.userMss !== 0 ? tp.opt.userMss : TCP_MSS_DEFAULT;
  tp.maxWindow = 0;
  tcpMtupInit(tp);
  tcpSyncMss(tp, st.fib.mtu(dst));
  tcpCaDstInit(tp, dst);
  const metrics = tcpMetricsOf(dst);
  if (tp.windowClamp === 0 && metrics !== null) tp.windowClamp = metrics.window;
  tp.advmss = tcpMssClamp(tp, tcpDstAdvmss(st, dst));
  tcpInitializeRcvMss(tp);
  const space = tcpFullSpace(tp);
  const locked = (sk.userlocks & SOCK_RCVBUF_LOCK) !== 0;
  if (locked && (tp.windowClamp > space || tp.windowClamp === 0)) tp.windowClamp = space;
  const win = st.initialWindow;
  win.windowClamp = tp.windowClamp;
  const stamp = tp.tsRecentStamp !== 0 ? tp.tcpHeaderLen - TCP_HLEN : 0;
  const scaling = st.sysctl.windowScaling !== 0;
  tcpSelectInitialWindow(st, space, tp.advmss - stamp, scaling, metrics?.initrwnd ?? 0, st.socks.limits.rmemMax, win);
  tp.rcvWnd = tp.rcvSsthresh = win.rcvWnd;
  tp.windowClamp = win.windowClamp;
  tp.rcvWscale = win.rcvWscale;
  sk.err = 0;
  tp.sockDone = false;
  tp.sndWnd = 0;
  tp.sndWl1 = 0;
  tcpWriteQueuePurge(tp);
  tp.sndUna =
    tp.sndSml =
    tp.sndUp =
    tp.sndNxt =
      tp.writeSeq;
  tp.rcvNxt = tp.rcvWup = tp.copiedSeq = 0;
  tp.icskRto = TCP_TIMEOUT_INIT;
  tp.icskRetransmits = 0;
  tp.retransOut =
    tp.lostOut =
    tp.sackedOut =
    tp.undoRetrans =
    tp.undoMarker =
      0;
}

/** Sends the SYN. 0 or a negative errno. Linux: tcp_connect(), net/ipv4/tcp_output.c. */
export function tcpConnect(tp: TcpSock): number {
  const st = tp.st;
  const dst = tcpSkRoute(tp);
  if (dst === null) return EHOSTUNREACH;
  connectInit(tp, dst);
  const ecn = st.sysctl.ecn === 1 || tp.icskCaOps.needsEcn || tcpDstEcn(dst);
  tp.ecnFlags = ecn ? TCP_ECN_OK : 0;
  const flags = ecn ? TCPHDR_SYN | TCPHDR_ECE | TCPHDR_CWR : TCPHDR_SYN;
  const skb = nondataSkb(tp, tp.writeSeq, flags, skbTruesize(MAX_TCP_HEADER));
  if (skb === null) return ENOBUFS;
  tcpMstampRefresh(tp);
  tp.retransStamp = tcpTimeStampMs(st.machine) || 1;
  tp.writeSeq = skb.cb[st.cb + CB_END_SEQ];
  skForcedMemSchedule(tp, skb.truesize);
  tp.wmemQueued += skb.truesize;
  skMemCharge(tp, skb.truesize);
  tcpRtxQueue(tp).push(skb);
  tp.packetsOut += 1;
  const fast = tp.fo !== null && tp.fo.request !== null;
  const err = fast ? tcpSendSynData(tp, skb) : __tcpTransmitSkb(tp, skb, true, 0);
  if (err === ECONNREFUSED) return err;
  // It counts as sent, and is sent again, whatever became of it.
  if (err !== 0) skb.cb[st.cb + CB_MSTAMP] = tp.tcpMstamp || 1;
  tp.sndNxt = tp.pushedSeq = tp.writeSeq;
  st.mib.tcp.ActiveOpens++;
  tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, tp.icskRto);
  return 0;
}

// ---- probes

/** What a probe is sent for: the counter that it is counted by. */
export type TcpProbeKind = "TCPKeepAlive" | "TCPWinProbe";

/**
 * A segment without data whose sequence number was acknowledged before: the peer must answer. `urgent` 1: one that shows
 * the urgent pointer. Linux: tcp_xmit_probe_skb().
 */
function xmitProbeSkb(tp: TcpSock, urgent: number, mib: TcpProbeKind): number {
  const skb = nondataSkb(tp, (tp.sndUna - 1 + urgent) | 0, TCPHDR_ACK, skbTruesize(MAX_TCP_HEADER));
  if (skb === null) return -1;
  tp.st.mib.tcpExt[mib]++;
  return __tcpTransmitSkb(tp, skb, false, tp.rcvNxt);
}

/** The window is asked for without data. Linux: tcp_send_window_probe(). */
export function tcpSendWindowProbe(tp: TcpSock): void {
  if (tp.sk.state !== TCP_ESTABLISHED) return;
  tp.sndWl1 = (tp.rcvNxt - 1) | 0;
  tcpMstampRefresh(tp);
  xmitProbeSkb(tp, 0, "TCPWinProbe");
}

/**
 * A keepalive or a window probe: data that the window has room for, else an empty segment. 0, a NET_XMIT_* code or a
 * negative number. RFC 9293 section 3.8.6.1. Linux: tcp_write_wakeup(), net/ipv4/tcp_output.c.
 */
export function tcpWriteWakeup(tp: TcpSock, mib: TcpProbeKind): number {
  if (tp.sk.state === TCP_CLOSE) return -1;
  const c = tp.st.cb;
  const skb = tp.writeHead;
  if (skb === null || !before(skb.cb[c + CB_SEQ], tcpWndEnd(tp))) {
    if (between(tp.sndUp, (tp.sndUna + 1) | 0, (tp.sndUna + U16_MAX) | 0)) xmitProbeSkb(tp, 1, mib);
    return xmitProbeSkb(tp, 0, mib);
  }
  const mss = tcpCurrentMss(tp);
  const endSeq = skb.cb[c + CB_END_SEQ];
  let size = (tcpWndEnd(tp) - skb.cb[c + CB_SEQ]) | 0;
  if (before(tp.pushedSeq, endSeq)) tp.pushedSeq = endSeq;
  if (size < ((endSeq - skb.cb[c + CB_SEQ]) | 0) || skb.len > mss) {
    size = Math.min(size, mss);
    skb.cb[c + CB_FLAGS] |= TCPHDR_PSH;
    if (size < skb.len && tcpFragment(tp, "write", skb, size, mss) !== 0) return -1;
  } else tcpSetSkbTsoSegs(tp, skb, mss);
  skb.cb[c + CB_FLAGS] |= TCPHDR_PSH;
  const err = __tcpTransmitSkb(tp, skb, true, tp.rcvNxt);
  if (err === 0) tcpEventNewDataSent(tp, skb);
  return err;
}

/** Asks for the window, and sets the timer of the next time. Linux: tcp_send_probe0(), net/ipv4/tcp_output.c. */
export function tcpSendProbe0(tp: TcpSock): void {
  const err = tcpWriteWakeup(tp, "TCPWinProbe");
  if (tp.packetsOut !== 0 || tp.writeHead === null) {
    tp.icskProbesOut = 0;
    tp.icskBackoff = 0;
    tp.icskProbesTstamp = 0;
    return;
  }
  tp.icskProbesOut++;
  let timeout = TCP_RESOURCE_PROBE_INTERVAL;
  if (err <= 0) {
    if (tp.icskBackoff < tp.st.sysctl.retries2) tp.icskBackoff++;
    timeout = tcpProbe0When(tp);
  }
  tcpResetXmitTimer(tp, ICSK_TIME_PROBE0, tcpClampProbe0ToUserTimeout(tp, timeout));
}
