/**
 * TIME-WAIT, and FIN-WAIT-2 that nobody waits for: small records instead of sockets. Linux: struct tcp_timewait_sock,
 * net/ipv4/inet_timewait_sock.c, tcp_timewait_state_process().
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as header from "./header.ts";
import * as options from "./options.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as socket from "./socket.ts";
import * as state from "./state.ts";
import type { EhashNode, TcpEntry } from "./table.ts";
import * as tcpSock from "./tcp_sock.ts";
import { TCP_KIND_TIMEWAIT, type TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpParseOptions } = options;
const { tcpUpdateMetrics } = routeMetrics;
const { tcpDone } = socket;
const { tcpOowRateLimited, tcpPawsReject } = state;
const { tcpReceiveWindow } = win;
const { Timer } = core;
const { SOCK_CONNECT_BIND } = sock;
const { TCP_FIN_WAIT2, TCP_TIME_WAIT } = contract;
const { TCP_FLAG_WORD } = header;
const {
  after,
  before,
  CB_END_SEQ,
  CB_SEQ,
  TCP_TIMEWAIT_LEN,
  TCP_TW_ACK,
  TCP_TW_RST,
  TCP_TW_SUCCESS,
  TCP_TW_SYN,
  TCPHDR_ACK,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpTimeStampMs,
} = tcpSock;

/** Records that are kept for reuse. */
const SPARE_MAX = 8192;
/** Records that end so soon count as killed. Linux: inet_twsk_schedule(). */
const KILL_TIME = 4000;

/** One record. Pooled. "Local" and "peer" as this host sees them. */
export class TcpTimewaitSock {
  /** Tells entries of the table apart. */
  readonly kind = TCP_KIND_TIMEWAIT;
  /** Place in the table of connections. */
  declare readonly ehash: EhashNode;
  /** Place among the owners of its port. */
  declare readonly bind: EhashNode;
  /** Jiffy of its end. */
  expires = 0;
  /** Neighbours in the `TcpDeathRow`; both null: alone in it, or not in it. */
  next: TcpTimewaitSock | null = null;
  /** See {@linkcode next}. */
  prev: TcpTimewaitSock | null = null;
  /** Its end where that is not a TIME-WAIT's length away: FIN-WAIT-2. Null until needed. */
  timer: core.Timer | null = null;
  /** Local address, int32. */
  saddr = 0;
  /** Local port. */
  sport = 0;
  /** Peer's address, int32. */
  daddr = 0;
  /** Peer's port. */
  dport = 0;
  /** Device that it is bound to; 0: any. */
  boundDevIf = 0;
  /** TCP_TIME_WAIT or TCP_FIN_WAIT2. */
  substate = 0;
  /** Next byte expected. */
  rcvNxt = 0;
  /** Next byte to send. */
  sndNxt = 0;
  /** Window that is told. */
  rcvWnd = 0;
  /** Its shift. */
  rcvWscale = 0;
  /** Peer's last timestamp. */
  tsRecent = 0;
  /** When it came, seconds; 0: timestamps are not in use. */
  tsRecentStamp = 0;
  /** Added to our clock in timestamps. */
  tsOffset = 0;
  /** When TIME-WAIT began, milliseconds of the clock, int32. */
  entryStamp = 0;
  /** Last answer to a segment out of window, jiffies. */
  lastOowAckTime = 0;
  /** Type of service of the answers. */
  tos = 0;
  /** SO_PRIORITY. */
  priority = 0;
  /** SO_MARK. */
  mark = 0;
  /** SO_REUSEADDR. */
  reuse = false;
  /** SO_REUSEPORT. */
  reuseport = false;
  /** connect() chose its port. */
  connectBind = false;

  /** An empty one. */
  constructor() {
    this.ehash = new sock.HashNode<TcpEntry>(this);
    this.bind = new sock.HashNode<TcpEntry>(this);
  }
}

/** TIME-WAIT begins, or begins anew. Linux: inet_twsk_schedule(), inet_twsk_reschedule(). */
function scheduleTimewait(st: TcpState, tw: TcpTimewaitSock): void {
  const row = st.tables.deathRow;
  if (tw.timer !== null) st.machine.delTimer(tw.timer);
  row.remove(tw);
  tw.expires = (st.machine.jiffies + TCP_TIMEWAIT_LEN) | 0;
  row.push(tw);
  const timer = row.timer ??= new Timer(() => deathRowTimer(st));
  if (!timer.pending) st.machine.modTimer(timer, TCP_TIMEWAIT_LEN);
}

/** A record in FIN-WAIT-2 ends in `timeo` jiffies. */
function scheduleFinWait2(st: TcpState, tw: TcpTimewaitSock, timeo: number): void {
  tw.timer ??= new Timer(() => inetTwskKill(st, tw));
  st.machine.modTimer(tw.timer, timeo);
}

/** Ends the records whose time has come. Linux: tw_timer_handler(). */
function deathRowTimer(st: TcpState): void {
  const row = st.tables.deathRow;
  const now = st.machine.jiffies;
  for (let tw = row.first; tw !== null; tw = row.first) {
    const left = (tw.expires - now) | 0;
    if (left > 0) {
      st.machine.modTimer(row.timer!, left);
      return;
    }
    inetTwskKill(st, tw);
  }
}

/** The clock in seconds, never 0, which stands for "no timestamps". Linux: ktime_get_seconds(). */
function nowSeconds(st: TcpState): number {
  return Math.floor(st.machine.now / 1e9) || 1;
}

/**
 * A connection is over but for late segments: a record takes its place for `timeo` jiffies, and the socket ends. `state`
 * TCP_FIN_WAIT2: the peer's FIN is still to come. When there are too many records there is none. Linux: tcp_time_wait().
 */
export function tcpTimeWait(tp: TcpSock, state: number, timeo: number): void {
  const st = tp.st;
  if (st.tables.timewaits < st.sysctl.maxTwBuckets) {
    const tw = st.spareTimewaits.pop() ?? new TcpTimewaitSock();
    fill(tw, tp, state);
    const rto = (tp.icskRto << 2) - (tp.icskRto >> 1);
    if (timeo < rto) timeo = rto;
    if (state === TCP_TIME_WAIT) timeo = TCP_TIMEWAIT_LEN;
    hashdance(st, tw, tp);
    if (timeo <= KILL_TIME) st.mib.tcpExt.TWKilled++;
    else st.mib.tcpExt.TW++;
    if (state === TCP_TIME_WAIT) scheduleTimewait(st, tw);
    else scheduleFinWait2(st, tw, timeo);
  } else st.mib.tcpExt.TCPTimeWaitOverflow++;
  tcpUpdateMetrics(tp);
  tcpDone(tp);
}

function fill(tw: TcpTimewaitSock, tp: TcpSock, state: number): void {
  const sk = tp.sk;
  tw.saddr = sk.saddr;
  tw.sport = sk.sport;
  tw.daddr = sk.daddr;
  tw.dport = sk.dport;
  tw.boundDevIf = sk.boundDevIf;
  tw.substate = state;
  tw.rcvNxt = tp.rcvNxt;
  tw.sndNxt = tp.sndNxt;
  tw.rcvWnd = tcpReceiveWindow(tp);
  tw.rcvWscale = tp.rcvWscale;
  tw.tsRecent = tp.tsRecent;
  tw.tsRecentStamp = tp.tsRecentStamp;
  tw.tsOffset = tp.tsoffset;
  tw.entryStamp = tcpTimeStampMs(tp.st.machine);
  tw.lastOowAckTime = 0;
  tw.tos = sk.tos;
  tw.priority = sk.owner.priority;
  tw.mark = sk.owner.mark;
  tw.reuse = sk.reuseaddr;
  tw.reuseport = sk.reuseport;
  tw.connectBind = (sk.userlocks & SOCK_CONNECT_BIND) !== 0;
}

/** The record takes the socket's places. Linux: inet_twsk_hashdance_schedule(). */
function hashdance(st: TcpState, tw: TcpTimewaitSock, tp: TcpSock): void {
  const tables = st.tables;
  if (tp.bind !== null) {
    tables.bound.replace(tp.bind, tw.bind);
    tp.bind = null;
  }
  tables.established.replace(tp.ehash!, tw.ehash);
  tp.ehash = null;
  tables.connections--;
  tables.timewaits++;
}

/** Ends a record. Linux: inet_twsk_kill(). */
function inetTwskKill(st: TcpState, tw: TcpTimewaitSock): void {
  const tables = st.tables;
  if (!tw.ehash.linked) return;
  tables.deathRow.remove(tw);
  tables.established.remove(tw.ehash);
  tables.timewaits--;
  tables.removeOwner(tw.bind, tw.connectBind);
  if (st.spareTimewaits.length < SPARE_MAX) st.spareTimewaits.push(tw);
}

/** Ends a record before its time. Linux: inet_twsk_deschedule_put(). */
export function inetTwskDeschedulePut(st: TcpState, tw: TcpTimewaitSock): void {
  if (tw.timer !== null) st.machine.delTimer(tw.timer);
  inetTwskKill(st, tw);
  // Nothing is left to wait for: virtual time does not go on for it.
  const row = st.tables.deathRow;
  if (row.first === null && row.timer !== null) st.machine.delTimer(row.timer);
}

/**
 * A segment for a record, whose control block is filled: TCP_TW_*. After TCP_TW_SUCCESS, TCP_TW_RST and TCP_TW_SYN the
 * record may be gone; of the last two the caller ends it. RFC 9293 section 3.10.7.4, RFC 1122 section 4.2.2.13, RFC 6191.
 * Linux: tcp_timewait_state_process(), net/ipv4/tcp_minisocks.c. Borrows `skb`.
 */
export function tcpTimewaitStateProcess(st: TcpState, tw: TcpTimewaitSock, skb: SkBuff): number {
  const cb = st.cb;
  const seq = skb.cb[cb + CB_SEQ];
  const endSeq = skb.cb[cb + CB_END_SEQ];
  const word = skb.view.getInt32(skb.transportHeader + TCP_FLAG_WORD);
  const flags = word >>> 16 & 0xff;
  const opt = st.rxOpt;
  opt.sawTstamp = false;
  let pawsReject = false;
  if (word >>> 28 > 5 && tw.tsRecentStamp !== 0) {
    tcpParseOptions(st, skb, opt, false);
    if (opt.sawTstamp) {
      const rst = (flags & TCPHDR_RST) !== 0;
      pawsReject = tcpPawsReject(tw.tsRecent, tw.tsRecentStamp, opt.rcvTsval, nowSeconds(st), rst);
    }
  }
  if (tw.substate === TCP_FIN_WAIT2) return finWait2(st, tw, seq, endSeq, flags, pawsReject);
  return timeWait(st, tw, seq, endSeq, flags, pawsReject);
}

/** The peer's FIN is awaited. */
function finWait2(
  st: TcpState,
  tw: TcpTimewaitSock,
  seq: number,
  endSeq: number,
  flags: number,
  pawsReject: boolean,
): number {
  if (pawsReject || !tcpInWindow(seq, endSeq, tw.rcvNxt, (tw.rcvNxt + tw.rcvWnd) | 0)) {
    if (!oowAck(st, tw, seq !== endSeq, flags)) return TCP_TW_ACK;
    st.mib.tcpExt.TCPACKSkippedFinWait2++;
    return TCP_TW_SUCCESS;
  }
  if ((flags & TCPHDR_RST) !== 0) {
    inetTwskDeschedulePut(st, tw);
    return TCP_TW_SUCCESS;
  }
  if ((flags & TCPHDR_SYN) !== 0 && !before(seq, tw.rcvNxt)) return TCP_TW_RST;
  if ((flags & TCPHDR_ACK) === 0 || !after(endSeq, tw.rcvNxt) || endSeq === seq) return TCP_TW_SUCCESS;
  // Data that nobody will read.
  if ((flags & TCPHDR_FIN) === 0 || endSeq !== ((tw.rcvNxt + 1) | 0)) return TCP_TW_RST;
  tw.substate = TCP_TIME_WAIT;
  tw.rcvNxt = endSeq;
  if (st.rxOpt.sawTstamp) {
    tw.entryStamp = tcpTimeStampMs(st.machine);
    tw.tsRecentStamp = nowSeconds(st);
    tw.tsRecent = st.rxOpt.rcvTsval;
  }
  scheduleTimewait(st, tw);
  return TCP_TW_ACK;
}

/** Both sides are done. */
function timeWait(
  st: TcpState,
  tw: TcpTimewaitSock,
  seq: number,
  endSeq: number,
  flags: number,
  pawsReject: boolean,
): number {
  const opt = st.rxOpt;
  const rst = (flags & TCPHDR_RST) !== 0;
  const ack = (flags & TCPHDR_ACK) !== 0;
  if (!pawsReject && seq === tw.rcvNxt && (seq === endSeq || rst)) {
    if (rst && st.sysctl.rfc1337 === 0) {
      inetTwskDeschedulePut(st, tw);
      return TCP_TW_SUCCESS;
    }
    if (!rst) scheduleTimewait(st, tw);
    if (opt.sawTstamp) {
      tw.tsRecent = opt.rcvTsval;
      tw.tsRecentStamp = nowSeconds(st);
    }
    return TCP_TW_SUCCESS;
  }
  if ((flags & TCPHDR_SYN) !== 0 && !rst && !ack && !pawsReject) {
    const newer = after(seq, tw.rcvNxt) || (opt.sawTstamp && ((tw.tsRecent - opt.rcvTsval) | 0) < 0);
    if (newer) {
      st.twIsn = (tw.sndNxt + 0xffff + 2) | 0 || 1;
      return TCP_TW_SYN;
    }
  }
  if (pawsReject) st.mib.tcpExt.PAWSTimewait++;
  if (rst) return TCP_TW_SUCCESS;
  if (pawsReject || ack) scheduleTimewait(st, tw);
  if (!oowAck(st, tw, seq !== endSeq, flags)) return TCP_TW_ACK;
  st.mib.tcpExt.TCPACKSkippedTimeWait++;
  return TCP_TW_SUCCESS;
}

/**
 * Whether an answer now would come too soon. What has `text`, a FIN too, is answered always, as an ACK storm has none.
 * Linux: tcp_timewait_check_oow_rate_limit().
 */
function oowAck(st: TcpState, tw: TcpTimewaitSock, text: boolean, flags: number): boolean {
  if (text && (flags & TCPHDR_SYN) === 0) return false;
  const now = st.machine.jiffies;
  if (tcpOowRateLimited(tw.lastOowAckTime, now, st.sysctl.invalidRatelimit)) return true;
  tw.lastOowAckTime = now || -1;
  return false;
}

/** Whether a segment touches the window [first, last). Linux: tcp_in_window(). */
export function tcpInWindow(seq: number, endSeq: number, first: number, last: number): boolean {
  if (seq === first) return true;
  if (after(endSeq, first) && before(seq, last)) return true;
  return seq === last && seq === endSeq;
}

/** The net ends: so do all records. */
export function tcpTimewaitPurge(st: TcpState): void {
  for (const entry of st.tables.established.list()) {
    if (entry.kind === TCP_KIND_TIMEWAIT) inetTwskDeschedulePut(st, entry);
  }
}
