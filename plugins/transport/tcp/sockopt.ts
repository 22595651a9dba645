/**
 * Options of level SOL_TCP. Linux: do_tcp_setsockopt(), do_tcp_getsockopt(), net/ipv4/tcp.c.
 */
import * as core from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import { tcpMaxPacingRate, tcpSetCongestionControl } from "./cong.ts";
import * as contract from "./contract.ts";
import { tcpFastopenKey, tcpFastopenQueueTune } from "./fastopen.ts";
import { foOf, TFO_CLIENT_ENABLE } from "./fastopen_sock.ts";
import { skStreamWriteSpace } from "./memory.ts";
import { tcpSyncMss } from "./mss.ts";
import { tcpPushNodelay, tcpPushPendingFrames } from "./output.ts";
import { tcpCleanupRbuf, tcpDataReady, tcpSetWindowClamp } from "./receive_queue.ts";
import * as tcpSock from "./tcp_sock.ts";
import { optOf, tcpSk, type TcpSock } from "./tcp_sock.ts";
import { tcpResetKeepaliveTimer, tcpSetKeepalive } from "./timer.ts";
import { tcpSpaceFromWin } from "./window.ts";

const { ERRNO } = core;
const {
  IP_OPTIONS,
  ipGetsockopt,
  ipSetsockopt,
  SO_KEEPALIVE,
  SO_MAX_PACING_RATE,
  SO_RCVLOWAT,
  SO_SNDBUF,
  SO_TIMESTAMPING,
  SOCK_MIN_RCVBUF,
  SOCK_RCVBUF_LOCK,
  SOF_TIMESTAMPING_OPT_ID_TCP,
  SOL_IP,
} = sock;
const {
  SOL_TCP,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_ESTABLISHED,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
  TCP_FASTOPEN_KEY,
  TCP_FASTOPEN_NO_COOKIE,
  TCP_INQ,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_LISTEN,
  TCP_MAXSEG,
  TCP_NAGLE_CORK,
  TCP_NAGLE_OFF,
  TCP_NAGLE_PUSH,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_QUICKACK,
  TCP_RTO_MAX_MS,
  TCP_SYNCNT,
  TCP_THIN_DUPACK,
  TCP_THIN_LINEAR_TIMEOUTS,
  TCP_TIMESTAMP,
  TCP_USER_TIMEOUT,
  TCP_WINDOW_CLAMP,
} = contract;
const { ICSK_ACK_PUSHED, ICSK_ACK_SCHED, MAX_TCP_WINDOW, TCP_MIN_MSS, tcpTimeStampMs } = tcpSock;

const EINVAL = -ERRNO.EINVAL;
const ENOPROTOOPT = -ERRNO.ENOPROTOOPT;
const EOPNOTSUPP = -ERRNO.EOPNOTSUPP;
const MAX_TCP_KEEPIDLE = 32767;
const MAX_TCP_KEEPINTVL = 32767;
const MAX_TCP_KEEPCNT = 127;
const MAX_TCP_SYNCNT = 127;
/** Longest FIN-WAIT-2 that may be asked for, seconds. */
const TCP_FIN_TIMEOUT_MAX = 120;
/** First and longest timeout of the SYN-ACK, seconds. */
const TIMEOUT_INIT = 1, RTO_MAX = 120;

/** 0 or a negative errno. */
export function tcpSetsockopt(sk: Sock, level: number, name: number, value: number, value2: number): number {
  if (level === SOL_IP) return ipSetsockopt(sk, name, value, value2);
  if (level !== SOL_TCP) return ENOPROTOOPT;
  const tp = tcpSk(sk);
  switch (name) {
    case TCP_NODELAY:
      return setNodelay(tp, value !== 0);
    case TCP_CORK:
      return setCork(tp, value !== 0);
    case TCP_QUICKACK:
      return setQuickack(tp, value);
    case TCP_WINDOW_CLAMP:
      return setWindowClamp(tp, value);
    case TCP_KEEPIDLE:
      return setKeepidle(tp, value);
    case TCP_MAXSEG:
      if (value !== 0 && (value < TCP_MIN_MSS || value > MAX_TCP_WINDOW)) return EINVAL;
      optOf(tp).userMss = value;
      return 0;
    case TCP_NOTSENT_LOWAT:
      optOf(tp).notsentLowat = value >>> 0;
      skStreamWriteSpace(tp);
      return 0;
    case TCP_TIMESTAMP:
      return -ERRNO.EPERM;
    case TCP_FASTOPEN:
      if (value < 0 || (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN)) return EINVAL;
      tcpFastopenQueueTune(tp, value);
      return 0;
    case TCP_FASTOPEN_CONNECT:
      if (value < 0 || value > 1) return EINVAL;
      if ((tp.st.sysctl.fastopen & TFO_CLIENT_ENABLE) === 0) return EOPNOTSUPP;
      if (sk.state !== TCP_CLOSE) return EINVAL;
      foOf(tp).connect = value === 1;
      return 0;
    case TCP_FASTOPEN_NO_COOKIE:
      if (value < 0 || value > 1 || (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN)) return EINVAL;
      foOf(tp).noCookie = value === 1;
      return 0;
  }
  return setNumber(tp, name, value);
}

/** Those that only keep a number. */
function setNumber(tp: TcpSock, name: number, value: number): number {
  const within = (least: number, most: number): boolean => Number.isInteger(value) && value >= least && value <= most;
  switch (name) {
    case TCP_KEEPINTVL:
      if (!within(1, MAX_TCP_KEEPINTVL)) return EINVAL;
      optOf(tp).keepaliveIntvl = value * 1000;
      return 0;
    case TCP_KEEPCNT:
      if (!within(1, MAX_TCP_KEEPCNT)) return EINVAL;
      optOf(tp).keepaliveProbes = value;
      return 0;
    case TCP_SYNCNT:
      if (!within(1, MAX_TCP_SYNCNT)) return EINVAL;
      optOf(tp).synRetries = optOf(tp).synackRetries = value;
      return 0;
    case TCP_LINGER2:
      optOf(tp).linger2 = value < 0 ? -1 : Math.min(value, TCP_FIN_TIMEOUT_MAX) * 1000;
      return 0;
    case TCP_DEFER_ACCEPT:
      optOf(tp).deferAccept = secsToRetrans(value);
      return 0;
    case TCP_USER_TIMEOUT:
      if (value < 0) return EINVAL;
      optOf(tp).userTimeout = value;
      return 0;
    case TCP_INQ:
      if (!within(0, 1)) return EINVAL;
      optOf(tp).inq = value === 1;
      return 0;
    case TCP_THIN_DUPACK:
      return within(0, 1) ? 0 : EINVAL;
    case TCP_THIN_LINEAR_TIMEOUTS:
      if (!within(0, 1)) return EINVAL;
      optOf(tp).thinLto = value === 1;
      return 0;
    case TCP_RTO_MAX_MS:
      if (!within(1000, RTO_MAX * 1000)) return EINVAL;
      optOf(tp).rtoMax = value;
      return 0;
    default:
      return ENOPROTOOPT;
  }
}

/** Linux: __tcp_sock_set_nodelay(). */
function setNodelay(tp: TcpSock, on: boolean): number {
  if (on) {
    tp.nonagle |= TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
    tcpPushNodelay(tp);
  } else tp.nonagle &= ~TCP_NAGLE_OFF;
  return 0;
}

/** Linux: __tcp_sock_set_cork(). */
function setCork(tp: TcpSock, on: boolean): number {
  if (on) {
    tp.nonagle |= TCP_NAGLE_CORK;
    return 0;
  }
  tp.nonagle &= ~TCP_NAGLE_CORK;
  if ((tp.nonagle & TCP_NAGLE_OFF) !== 0) tp.nonagle |= TCP_NAGLE_PUSH;
  tcpPushPendingFrames(tp);
  return 0;
}

/** Linux: __tcp_sock_set_quickack(). */
function setQuickack(tp: TcpSock, value: number): number {
  if (value === 0) {
    tp.ackPingpong = 1;
    return 0;
  }
  tp.ackPingpong = 0;
  const state = tp.sk.state;
  if ((state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT) && (tp.ackPending & ICSK_ACK_SCHED) !== 0) {
    tp.ackPending |= ICSK_ACK_PUSHED;
    tcpCleanupRbuf(tp, 1);
    if ((value & 1) === 0) tp.ackPingpong = 1;
  }
  return 0;
}

/** Linux: tcp_set_window_clamp(). */
function setWindowClamp(tp: TcpSock, value: number): number {
  if (value === 0) {
    if (tp.sk.state !== TCP_CLOSE) return EINVAL;
    tp.windowClamp = 0;
    return 0;
  }
  optOf(tp).windowClamp = Math.max(value, SOCK_MIN_RCVBUF / 2);
  tcpSetWindowClamp(tp, optOf(tp).windowClamp);
  return 0;
}

/** Linux: tcp_sock_set_keepidle_locked(). */
function setKeepidle(tp: TcpSock, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > MAX_TCP_KEEPIDLE) return EINVAL;
  const time = value * 1000;
  optOf(tp).keepaliveTime = time;
  const state = tp.sk.state;
  if (!tp.sk.keepopen || state === TCP_CLOSE || state === TCP_LISTEN) return 0;
  const now = tp.st.machine.jiffies;
  const idle = Math.min((now - tp.ackLrcvtime) >>> 0, (now - tp.rcvTstamp) >>> 0);
  tcpResetKeepaliveTimer(tp, Math.max(0, time - idle));
  return 0;
}

/** How many SYN-ACKs go in so many seconds. Linux: secs_to_retrans(). */
function secsToRetrans(seconds: number): number {
  let n = 0;
  if (seconds <= 0) return 0;
  n = 1;
  for (let period = TIMEOUT_INIT, timeout = TIMEOUT_INIT; seconds > period && n < 255; n++) {
    timeout = Math.min(timeout << 1, RTO_MAX);
    period += timeout;
  }
  return n;
}

/** In how many seconds they go. Linux: retrans_to_secs(). */
function retransToSecs(n: number): number {
  if (n <= 0) return 0;
  let period = TIMEOUT_INIT;
  for (let timeout = TIMEOUT_INIT; --n > 0;) {
    timeout = Math.min(timeout << 1, RTO_MAX);
    period += timeout;
  }
  return period;
}

/** The value or a negative errno. */
export function tcpGetsockopt(sk: Sock, level: number, name: number): number {
  if (level === SOL_IP) return ipGetsockopt(sk, name);
  if (level !== SOL_TCP) return EOPNOTSUPP;
  const tp = tcpSk(sk);
  const { opt } = tp;
  switch (name) {
    case TCP_MAXSEG:
      return opt.userMss !== 0 && (sk.state === TCP_CLOSE || sk.state === TCP_LISTEN) ? opt.userMss : tp.mssCache;
    case TCP_NODELAY:
      return (tp.nonagle & TCP_NAGLE_OFF) !== 0 ? 1 : 0;
    case TCP_CORK:
      return (tp.nonagle & TCP_NAGLE_CORK) !== 0 ? 1 : 0;
    case TCP_KEEPIDLE:
      return Math.floor(opt.keepaliveTime / 1000);
    case TCP_KEEPINTVL:
      return Math.floor(opt.keepaliveIntvl / 1000);
    case TCP_KEEPCNT:
      return opt.keepaliveProbes;
    case TCP_SYNCNT:
      return opt.synRetries;
    case TCP_LINGER2:
      return opt.linger2 < 0 ? -1 : Math.floor((opt.linger2 !== 0 ? opt.linger2 : tp.st.sysctl.finTimeout) / 1000);
    case TCP_DEFER_ACCEPT:
      return retransToSecs(opt.deferAccept);
    case TCP_WINDOW_CLAMP:
      return tp.windowClamp;
    case TCP_QUICKACK:
      return tp.ackPingpong === 0 ? 1 : 0;
    case TCP_USER_TIMEOUT:
      return opt.userTimeout;
    case TCP_NOTSENT_LOWAT:
      return opt.notsentLowat;
    case TCP_INQ:
      return opt.inq ? 1 : 0;
    case TCP_FASTOPEN:
      return tp.fo === null ? 0 : tp.fo.maxQlen;
    case TCP_FASTOPEN_CONNECT:
      return tp.fo !== null && tp.fo.connect ? 1 : 0;
    case TCP_FASTOPEN_NO_COOKIE:
      return tp.fo !== null && tp.fo.noCookie ? 1 : 0;
    case TCP_THIN_DUPACK:
      return 0;
    case TCP_THIN_LINEAR_TIMEOUTS:
      return opt.thinLto ? 1 : 0;
    case TCP_RTO_MAX_MS:
      return opt.rtoMax;
    case TCP_TIMESTAMP:
      return (tcpTimeStampMs(tp.st.machine) + tp.tsoffset) >>> 0;
    default:
      return ENOPROTOOPT;
  }
}

/** TCP_CONGESTION. */
export function tcpSetsockoptString(sk: Sock, level: number, name: number, value: string): number {
  if (level === SOL_TCP && name === TCP_FASTOPEN_KEY) {
    const key = tcpFastopenKey(value);
    if (key === null) return EINVAL;
    foOf(tcpSk(sk)).key = key;
    return 0;
  }
  if (level !== SOL_TCP || name !== TCP_CONGESTION) return ENOPROTOOPT;
  return tcpSetCongestionControl(tcpSk(sk), value);
}

/** TCP_CONGESTION. */
export function tcpGetsockoptString(sk: Sock, level: number, name: number): string | number {
  if (level !== SOL_TCP && level !== SOL_IP) return EOPNOTSUPP;
  if (level !== SOL_TCP || name !== TCP_CONGESTION) return ENOPROTOOPT;
  return tcpSk(sk).icskCaOps.name;
}

/** IP_OPTIONS: from here on, and a source route leads elsewhere. Linux: do_ip_setsockopt(). */
export function tcpSetsockoptBytes(sk: Sock, level: number, name: number, value: Uint8Array): number {
  if (level !== SOL_IP || name !== IP_OPTIONS) return ENOPROTOOPT;
  const tp = tcpSk(sk);
  const options = tp.st.ipv4.optionsGet(value);
  if (options === null) return EINVAL;
  sk.ipOptions = options.data.length === 0 ? null : options;
  sk.dst = null;
  if (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN) tcpSyncMss(tp, tp.pmtuCookie);
  return 0;
}

/** IP_OPTIONS as they were given, padded. */
export function tcpGetsockoptBytes(sk: Sock, level: number, name: number): Uint8Array | number {
  if (level !== SOL_IP || name !== IP_OPTIONS) return ENOPROTOOPT;
  return sk.ipOptions === null ? new Uint8Array(0) : tcpSk(sk).st.ipv4.optionsUndo(sk.ipOptions);
}

/** SOL_SOCKET options that more than a field depends on. */
export function tcpSockoptChanged(sk: Sock, name: number): void {
  const tp = tcpSk(sk);
  if (name === SO_KEEPALIVE) tcpSetKeepalive(tp, sk.keepopen);
  else if (name === SO_SNDBUF) skStreamWriteSpace(tp);
  else if (name === SO_MAX_PACING_RATE) tcpMaxPacingRate(tp);
  else if (name === SO_TIMESTAMPING) {
    // Numbers count from here: what was written, or what is not acknowledged yet.
    sk.tskey = (sk.tsflags & SOF_TIMESTAMPING_OPT_ID_TCP) !== 0 ? tp.writeSeq : tp.sndUna;
  } else if (name === SO_RCVLOWAT) setRcvlowat(tp);
}

/** At most half of the buffer; the buffer grows for it where the user did not fix its size. Linux: tcp_set_rcvlowat(). */
function setRcvlowat(tp: TcpSock): void {
  const sk = tp.sk;
  const locked = (sk.userlocks & SOCK_RCVBUF_LOCK) !== 0;
  sk.rcvlowat = Math.max(1, Math.min(sk.rcvlowat, (locked ? sk.rcvbuf : tp.st.sysctl.rmem[2]) >> 1));
  tcpDataReady(tp);
  const space = tcpSpaceFromWin(tp, sk.rcvlowat);
  if (locked || space <= sk.rcvbuf) return;
  sk.rcvbuf = space;
  if (tp.windowClamp !== 0 && tp.windowClamp < sk.rcvlowat) tcpSetWindowClamp(tp, sk.rcvlowat);
}
