/**
 * SYN cookies: under a flood the SYN-ACK's sequence number, and its timestamp, remember the request instead of memory.
 * Linux: net/ipv4/syncookies.c.
 *
 * A cookie is a keyed hash of the four-tuple and the peer's number, plus the minute and, hidden by a second hash of that
 * minute, an index of the MSS. It is good for two minutes. Options are in the low six bits of our timestamp, which is
 * shifted by a secret offset per four-tuple. RFC 4987 section 3.6.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as header from "./header.ts";
import { inetCskReqskQueueAdd, tcpV4SynRecvSock } from "./minisocks.ts";
import { tcpParseOptions } from "./options.ts";
import { tcpDstEcn } from "./route_metrics.ts";
import {
  routeReq,
  selectRwin,
  tcpRequestAlloc,
  tcpRequestFree,
  type TcpRequestSock,
  tcpSaveOptions,
} from "./request.ts";
import { tcpSynackRttMeas } from "./rtt.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import { tcpFullSpace } from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { TCP_DEST, TCP_FLAG_WORD, TCP_SOURCE } = header;
const { CB_ACK, CB_SEQ, TCPHDR_ACK, TCPHDR_RST, TCPHDR_SYN } = tcpSock;

/** Jiffies of a period. */
const TCP_SYNCOOKIE_PERIOD = 60_000;
/** Periods that a cookie is good for. */
const MAX_SYNCOOKIE_AGE = 2;
/** Jiffies after a flood for which an ACK may carry a cookie. */
const TCP_SYNCOOKIE_VALID = MAX_SYNCOOKIE_AGE * TCP_SYNCOOKIE_PERIOD;
const COOKIEBITS = 24;
const COOKIEMASK = 0xffffff;
/** The most common MSS values; one is as good as remembered. */
const MSS_TABLE: readonly number[] = [536, 1300, 1440, 1460];

/** Timestamp: shift of the peer's windows, 15: no scaling. */
const TS_OPT_WSCALE_MASK = 0xf;
/** Timestamp: SACK. */
const TS_OPT_SACK = 1 << 4;
/** Timestamp: ECN. */
const TS_OPT_ECN = 1 << 5;
const TSBITS = 6;

const IP_SADDR = 12;
const IP_DADDR = 16;
const IP_TOS_AT = 1;

/** Linux: tcp_cookie_time(). */
function cookieTime(st: TcpState): number {
  return Math.floor((st.machine.jiffies >>> 0) / TCP_SYNCOOKIE_PERIOD);
}

/** The first MSS of the table that is not larger, and its index. */
function mssIndex(mss: number): number {
  let i = MSS_TABLE.length - 1;
  while (i > 0 && mss < MSS_TABLE[i]) i--;
  return i;
}

/**
 * The sequence number of the SYN-ACK that stands for `req`, whose MSS is rounded to what the cookie can tell.
 * Linux: cookie_init_sequence(), secure_tcp_syn_cookie().
 */
export function cookieInitSequence(tp: TcpSock, req: TcpRequestSock): number {
  const st = tp.st;
  synqOverflow(tp);
  st.mib.tcpExt.SyncookiesSent++;
  const i = mssIndex(req.mss);
  req.mss = MSS_TABLE[i];
  const { keys } = st;
  const count = cookieTime(st);
  const first = keys.cookie(req.daddr, req.saddr, req.dport, req.sport, 0, 0);
  const second = keys.cookie(req.daddr, req.saddr, req.dport, req.sport, count, 1);
  return (first + req.rcvIsn + (count << COOKIEBITS) + ((second + i) & COOKIEMASK)) | 0;
}

/** The MSS that a cookie tells, 0: it is none, or too old. Linux: check_tcp_syn_cookie(), __cookie_v4_check(). */
export function cookieCheck(
  st: TcpState,
  saddr: number,
  daddr: number,
  sport: number,
  dport: number,
  rcvIsn: number,
  cookie: number,
): number {
  const { keys } = st;
  const count = cookieTime(st);
  cookie = (cookie - keys.cookie(saddr, daddr, sport, dport, 0, 0) - rcvIsn) | 0;
  const age = (count - (cookie >>> COOKIEBITS)) & (0xff);
  if (age >= MAX_SYNCOOKIE_AGE) return 0;
  const index = (cookie - keys.cookie(saddr, daddr, sport, dport, count - age, 1)) & COOKIEMASK;
  return index < MSS_TABLE.length ? MSS_TABLE[index] : 0;
}

/** A flood was met: ACKs may carry cookies from now on. Linux: tcp_synq_overflow(). */
function synqOverflow(tp: TcpSock): void {
  const now = tp.st.machine.jiffies || 1;
  if (!tp.synOverflowSeen || ((now - tp.synOverflowStamp) | 0) > 1000) tp.synOverflowStamp = now;
  tp.synOverflowSeen = true;
}

/** Whether no cookie can be under way. Linux: tcp_synq_no_recent_overflow(). */
function noRecentOverflow(tp: TcpSock): boolean {
  if (!tp.synOverflowSeen) return true;
  return ((tp.st.machine.jiffies - tp.synOverflowStamp) | 0) > TCP_SYNCOOKIE_VALID;
}

/**
 * The timestamp of a SYN-ACK with a cookie, without our offset, at `now` ms: the options are in its low bits, and it is
 * never ahead of the clock. Linux: cookie_init_timestamp().
 */
export function cookieInitTimestamp(req: TcpRequestSock, now: number): number {
  let options = req.wscaleOk ? req.sndWscale : TS_OPT_WSCALE_MASK;
  if (req.sackOk) options |= TS_OPT_SACK;
  if (req.ecnOk) options |= TS_OPT_ECN;
  const ts = (now >>> TSBITS << TSBITS) | options;
  return ((ts - now) | 0) > 0 ? (ts - (1 << TSBITS)) | 0 : ts;
}

/**
 * A segment for a listener that no request is known of: the socket that is to have it. A good cookie in its ACK makes a
 * child; null: drop it; else the listener itself. Linux: tcp_v4_cookie_check(), cookie_v4_check(). Borrows `skb`.
 */
export function cookieV4Check(tp: TcpSock, skb: SkBuff): TcpSock | null {
  const st = tp.st;
  const view = skb.view;
  const th = skb.transportHeader;
  const flags = view.getInt32(th + TCP_FLAG_WORD) >>> 16;
  if ((flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)) !== TCPHDR_ACK) return tp;
  if (st.sysctl.syncookies === 0 || noRecentOverflow(tp)) return tp;
  const peer = view.getInt32(skb.networkHeader + IP_SADDR);
  const local = view.getInt32(skb.networkHeader + IP_DADDR);
  const sport = view.getUint16(th + TCP_SOURCE);
  const dport = view.getUint16(th + TCP_DEST);
  const rcvIsn = (skb.cb[st.cb + CB_SEQ] - 1) | 0;
  const cookie = (skb.cb[st.cb + CB_ACK] - 1) | 0;
  const mss = cookieCheck(st, peer, local, sport, dport, rcvIsn, cookie);
  if (mss === 0) {
    st.mib.tcpExt.SyncookiesFailed++;
    return tp;
  }
  st.mib.tcpExt.SyncookiesRecv++;
  const req = tcpRequestAlloc(tp);
  req.daddr = peer;
  req.saddr = local;
  req.dport = sport;
  req.sport = dport;
  req.rcvIsn = rcvIsn;
  req.rcvNxt = (rcvIsn + 1) | 0;
  req.sntIsn = cookie;
  req.mss = mss;
  req.boundDevIf = tp.sk.boundDevIf;
  req.synTos = view.getUint8(skb.networkHeader + IP_TOS_AT);
  req.ipOptions = tcpSaveOptions(st, skb);
  const child = decode(st, req, skb) ? makeChild(tp, req, skb) : null;
  tcpRequestFree(st, req);
  return child;
}

/** What the echoed timestamp tells of the options. False: they are not allowed any more. Linux: cookie_timestamp_decode(). */
function decode(st: TcpState, req: TcpRequestSock, skb: SkBuff): boolean {
  const opt = st.rxOpt;
  tcpParseOptions(st, skb, opt, false);
  req.tstampOk = opt.sawTstamp;
  req.tsRecent = opt.sawTstamp ? opt.rcvTsval : 0;
  req.sackOk = req.wscaleOk = req.ecnOk = false;
  req.sndWscale = 0;
  if (!opt.sawTstamp) return true;
  const s = st.sysctl;
  if (s.timestamps === 0) return false;
  req.tsOff = st.keys.tsOffset(req.saddr, req.daddr, req.sport, req.dport);
  const options = opt.rcvTsecr === 0 ? 0 : (opt.rcvTsecr - req.tsOff) | 0;
  req.sackOk = (options & TS_OPT_SACK) !== 0;
  if (req.sackOk && s.sack === 0) return false;
  req.ecnOk = (options & TS_OPT_ECN) !== 0;
  const shift = options & TS_OPT_WSCALE_MASK;
  if (shift === TS_OPT_WSCALE_MASK) return true;
  req.wscaleOk = true;
  req.sndWscale = Math.min(shift, 14);
  return s.windowScaling !== 0;
}

/** Linux: tcp_get_cookie_sock(). Borrows `skb`. */
function makeChild(tp: TcpSock, req: TcpRequestSock, skb: SkBuff): TcpSock | null {
  const st = tp.st;
  const dst = routeReq(st, tp, req);
  if (dst === null) return null;
  // Linux: cookie_ecn_ok().
  if (st.sysctl.ecn === 0 && !tcpDstEcn(dst)) req.ecnOk = false;
  selectRwin(tp, req, tcpFullSpace(tp), req.mss, dst);
  const child = tcpV4SynRecvSock(tp, skb, req);
  if (child === null) return null;
  tcpSynackRttMeas(child, req);
  return inetCskReqskQueueAdd(tp, child) ? child : null;
}
