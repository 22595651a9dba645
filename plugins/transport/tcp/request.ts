/**
 * Requests: connections that are no sockets yet. Linux: struct tcp_request_sock, net/ipv4/inet_connection_sock.c,
 * tcp_conn_request(), tcp_check_req().
 *
 * A SYN makes a request in the table of connections and in its listener's SYN queue; its timer sends the SYN-ACK again;
 * the ACK makes a socket of it (`minisocks.ts`). When the SYN queue is full, cookies stand for requests
 * (`syncookies.ts`). Requests are pooled: a flood allocates nothing, and their number is bounded by the backlogs.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import type { IpOptions } from "../../network/ipv4/contract.ts";
import * as fib from "../../network/fib/contract.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as fastopen from "./fastopen.ts";
import type { TcpFastopenCookie } from "./fastopen_sock.ts";
import * as header from "./header.ts";
import * as ipv4 from "./ipv4.ts";
import * as minisocks from "./minisocks.ts";
import * as mss from "./mss.ts";
import type { TcpOptionsReceived } from "./options.ts";
import * as options from "./options.ts";
import * as output from "./output.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as rtt from "./rtt.ts";
import * as state from "./state.ts";
import * as syncookies from "./syncookies.ts";
import type { EhashNode, TcpEntry } from "./table.ts";
import * as tcpSock from "./tcp_sock.ts";
import { TCP_KIND_REQUEST, type TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timewait from "./timewait.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpFastopenDeliver, tcpTryFastopen } = fastopen;
const { tcpV4SendAck, tcpV4SendReset } = ipv4;
const { acceptqFull, inetCskReqskQueueAdd, tcpV4SynRecvSock } = minisocks;
const { tcpDstAdvmss, tcpFirstHop, tcpMssClamp } = mss;
const { tcpParseOptions } = options;
const { tcpSendSynack } = output;
const { tcpDstEcn, tcpMetricsOf, tcpPeerIsProven } = routeMetrics;
const { tcpSynackRttMeas } = rtt;
const { tcpOowRateLimited, tcpPawsReject } = state;
const { cookieInitSequence } = syncookies;
const { tcpInWindow } = timewait;
const { tcpFullSpace, tcpSelectInitialWindow } = win;
const { ERRNO, Timer } = core;
const { RTN_BROADCAST, RTN_MULTICAST, skbDst } = fib;
const { SOCK_RCVBUF_LOCK } = sock;
const { TCP_LISTEN } = contract;
const { TCP_DEST, TCP_FLAG_WORD, TCP_SOURCE, TCPOLEN_TSTAMP_ALIGNED } = header;
const {
  after,
  before,
  between,
  CB_ACK,
  CB_END_SEQ,
  CB_SEQ,
  TCP_MSS_DEFAULT,
  TCP_TIMEOUT_INIT,
  TCPHDR_ACK,
  TCPHDR_CWR,
  TCPHDR_ECE,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpTimeStampMs,
} = tcpSock;

const ENETUNREACH = -ERRNO.ENETUNREACH;
const IP_TOS_AT = 1;
const IP_SADDR = 12;
const IP_DADDR = 16;
const IPTOS_RT_MASK = 0x1c;
const INET_ECN_MASK = 3;
/** Bits 9 to 11 of the flag word of a header: reserved, and AE. */
const RESERVED = 0x0f000000;
/** Requests that are kept for reuse. */
const SPARE_MAX = 4096;
/** Flags that decide what a segment is. */
const FLAGS = TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK;

/** One request. Pooled: see `tcpRequestAlloc()`. "Local" and "peer" as this host sees them. */
export class TcpRequestSock {
  /** Tells entries of the table apart. */
  readonly kind = TCP_KIND_REQUEST;
  /** Whose SYN queue it is in. */
  listener: TcpSock | null = null;
  /** Place in the table of connections. */
  declare readonly ehash: EhashNode;
  /** SYN-ACK retransmission. */
  declare readonly timer: core.Timer;
  /** Neighbours in the listener's list. */
  next: TcpRequestSock | null = null;
  /** Neighbours in the listener's list. */
  prev: TcpRequestSock | null = null;
  /** Local address, int32. */
  saddr = 0;
  /** Local port. */
  sport = 0;
  /** Peer's address, int32. */
  daddr = 0;
  /** Peer's port. */
  dport = 0;
  /** Device that the connection will be bound to; 0: any. Linux: ir_iif. */
  boundDevIf = 0;
  /** The peer's initial sequence number. */
  rcvIsn = 0;
  /** Ours. */
  sntIsn = 0;
  /** Next byte expected. */
  rcvNxt = 0;
  /** Peer's timestamp, to be echoed. */
  tsRecent = 0;
  /** Added to our clock in timestamps. */
  tsOff = 0;
  /** The peer's MSS, clamped. */
  mss = 0;
  /** Window that we offer. */
  rskRcvWnd = 0;
  /** Its upper bound. */
  rskWindowClamp = 0;
  /** Shift of the peer's windows. */
  sndWscale = 0;
  /** Shift of ours. */
  rcvWscale = 0;
  /** Timestamps agreed. */
  tstampOk = false;
  /** SACK agreed. */
  sackOk = false;
  /** Window scaling agreed. */
  wscaleOk = false;
  /** ECN agreed. */
  ecnOk = false;
  /** The ACK came, but the connection could not be made yet. */
  acked = false;
  /** It is answered by a cookie: kept nowhere. */
  syncookie = false;
  /** Times that its timer fired. */
  numTimeout = 0;
  /** SYN-ACKs sent again. */
  numRetrans = 0;
  /** When the first SYN-ACK was sent, microseconds int32; 0: never. */
  sntSynack = 0;
  /** Timestamp in the first SYN-ACK, with offset. */
  sntTsvalFirst = 0;
  /** Timestamp in the last one. */
  sntTsvalLast = 0;
  /** Last answer to a segment out of window, jiffies. */
  lastOowAckTime = 0;
  /** Type of service of the SYN. */
  synTos = 0;
  /** What answers carry of the SYN's IP options, its source route reversed; null: nothing. Linux: ireq_opt. */
  ipOptions: IpOptions | null = null;
  /** The route to the peer. */
  dst: Dst | null = null;
  /** Fast Open: the cookie that the SYN-ACK gives; null: none. */
  foc: TcpFastopenCookie | null = null;

  /** An empty one; `onTimer` is called when its SYN-ACK was not answered. */
  constructor(onTimer: (req: TcpRequestSock) => void) {
    this.ehash = new sock.HashNode<TcpEntry>(this);
    this.timer = new Timer(() => onTimer(this));
  }
}

/** An empty request of `listener`. Linux: inet_reqsk_alloc(). */
export function tcpRequestAlloc(listener: TcpSock): TcpRequestSock {
  const st = listener.st;
  const req = st.spareRequests.pop() ?? new TcpRequestSock((r) => reqskTimer(st, r));
  req.listener = listener;
  req.acked = req.ecnOk = req.syncookie = false;
  req.numTimeout = req.numRetrans = 0;
  req.sntSynack =
    req.sntTsvalFirst =
    req.sntTsvalLast =
    req.lastOowAckTime =
      0;
  req.tsOff = 0;
  req.foc = null;
  return req;
}

/** Gives a request back that is in no queue. Linux: reqsk_free(). */
export function tcpRequestFree(st: TcpState, req: TcpRequestSock): void {
  req.listener = null;
  req.dst = null;
  if (st.spareRequests.length < SPARE_MAX) st.spareRequests.push(req);
}

/** Linux: reqsk_queue_added(), inet_csk_reqsk_queue_hash_add(). */
function hashAdd(st: TcpState, listener: TcpSock, req: TcpRequestSock): void {
  const first = listener.requestList;
  req.next = first;
  req.prev = null;
  if (first !== null) first.prev = req;
  listener.requestList = req;
  listener.requests++;
  listener.requestsYoung++;
  st.tables.requests++;
  st.tables.established.add(req.ehash, req.saddr, req.daddr, (req.sport << 16) | req.dport, true);
  st.machine.modTimer(req.timer, TCP_TIMEOUT_INIT);
}

/** A request leaves its queues and ends. Linux: inet_csk_reqsk_queue_drop(). */
export function inetCskReqskQueueDrop(st: TcpState, req: TcpRequestSock): void {
  const listener = req.listener;
  if (listener === null || !req.ehash.linked) return;
  st.machine.delTimer(req.timer);
  st.tables.established.remove(req.ehash);
  st.tables.requests--;
  if (req.prev === null) listener.requestList = req.next;
  else req.prev.next = req.next;
  if (req.next !== null) req.next.prev = req.prev;
  req.next = req.prev = null;
  listener.requests--;
  if (req.numTimeout === 0) listener.requestsYoung--;
  tcpRequestFree(st, req);
}

/** A listener ends: so do its requests. */
export function tcpRequestsPurge(listener: TcpSock): void {
  while (listener.requestList !== null) inetCskReqskQueueDrop(listener.st, listener.requestList);
}

/** A SYN was dropped. Linux: tcp_listendrop(). */
export function tcpListendrop(tp: TcpSock): void {
  tp.sk.drops++;
  tp.st.mib.tcpExt.ListenDrops++;
}

/**
 * A SYN for a listener: answers it, and remembers it in a request or in the cookie of the answer. 0, or why nothing was
 * answered. RFC 9293 section 3.10.7.2; RFC 4987. Linux: tcp_v4_conn_request(), tcp_conn_request(). Borrows `skb`.
 */
export function tcpConnRequest(tp: TcpSock, skb: SkBuff): number {
  const st = tp.st;
  const twIsn = st.twIsn;
  st.twIsn = 0;
  const dst = skbDst(skb) as Dst | null;
  if (dst !== null && (dst.type === RTN_BROADCAST || dst.type === RTN_MULTICAST)) {
    return dropSyn(tp, st.reason.TCP_LISTEN_OVERFLOW);
  }
  let wantCookie = false;
  // A request that replaces TIME-WAIT comes from a peer that is evidently real.
  if ((st.sysctl.syncookies === 2 || reqskQueueFull(tp)) && twIsn === 0) {
    wantCookie = tcpSynFloodAction(tp);
    if (!wantCookie) return dropSyn(tp, st.reason.TCP_REQQ_FULL);
  }
  if (acceptqFull(tp)) {
    st.mib.tcpExt.ListenOverflows++;
    return dropSyn(tp, st.reason.TCP_LISTEN_OVERFLOW);
  }
  const req = tcpRequestAlloc(tp);
  req.syncookie = wantCookie;
  const opt = st.rxOpt;
  tcpParseOptions(st, skb, opt, false);
  if (wantCookie && !opt.sawTstamp) opt.sackOk = opt.wscaleOk = false;
  tcpOpenreqInit(req, tp, skb, opt);
  const route = routeReq(st, tp, req);
  if (route === null || !finishRequest(tp, req, skb, opt, route, twIsn)) {
    tcpRequestFree(st, req);
    return dropSyn(tp, st.reason.TCP_REQQ_FULL);
  }
  if (wantCookie) {
    tcpSendSynack(st, req, tp);
    tcpRequestFree(st, req);
    return 0;
  }
  const child = tcpTryFastopen(tp, skb, req);
  if (child !== null) {
    tcpFastopenDeliver(tp, child, inetCskReqskQueueAdd);
    return 0;
  }
  hashAdd(st, tp, req);
  tcpSendSynack(st, req, tp);
  return 0;
}

function dropSyn(tp: TcpSock, reason: number): number {
  tcpListendrop(tp);
  return reason;
}

/** Linux: inet_csk_reqsk_queue_is_full(). */
function reqskQueueFull(tp: TcpSock): boolean {
  return tp.requests > tp.maxAckBacklog;
}

/** The SYN queue is full: whether cookies help. Linux: tcp_syn_flood_action(). */
function tcpSynFloodAction(tp: TcpSock): boolean {
  const st = tp.st;
  const want = st.sysctl.syncookies !== 0;
  if (want) st.mib.tcpExt.TCPReqQFullDoCookies++;
  else st.mib.tcpExt.TCPReqQFullDrop++;
  if (st.sysctl.syncookies !== 2) tp.synFloodWarned = true;
  return want;
}

/** What the SYN says. Linux: tcp_openreq_init(), tcp_v4_init_req(). Borrows `skb`. */
function tcpOpenreqInit(req: TcpRequestSock, tp: TcpSock, skb: SkBuff, opt: TcpOptionsReceived): void {
  const view = skb.view;
  const th = skb.transportHeader;
  const seq = skb.cb[tp.st.cb + CB_SEQ];
  req.rcvIsn = seq;
  req.rcvNxt = (seq + 1) | 0;
  const user = tp.opt.userMss;
  req.mss = opt.mss === 0 ? TCP_MSS_DEFAULT : user !== 0 && user < opt.mss ? user : opt.mss;
  req.tsRecent = opt.sawTstamp ? opt.rcvTsval : 0;
  req.tstampOk = opt.sawTstamp;
  req.sackOk = opt.sackOk;
  req.wscaleOk = opt.wscaleOk;
  req.sndWscale = opt.wscaleOk ? opt.sndWscale : 0;
  req.daddr = view.getInt32(skb.networkHeader + IP_SADDR);
  req.saddr = view.getInt32(skb.networkHeader + IP_DADDR);
  req.dport = view.getUint16(th + TCP_SOURCE);
  req.sport = view.getUint16(th + TCP_DEST);
  req.boundDevIf = tp.sk.boundDevIf;
  req.synTos = view.getUint8(skb.networkHeader + IP_TOS_AT);
  req.ipOptions = tcpSaveOptions(tp.st, skb);
}

/** The IP options that answers to a packet carry. Linux: tcp_v4_save_options(). Borrows `skb`. */
export function tcpSaveOptions(st: TcpState, skb: SkBuff): IpOptions | null {
  return (skb.view.getUint8(skb.networkHeader) & 15) === 5 ? null : st.ipv4.optionsSave(skb);
}

/**
 * The way to the peer; null: none, or the peer is a broadcast address: RFC 1122 section 4.2.3.10 forbids to answer it, or
 * one SYN would bring six SYN-ACKs to all. Linux: inet_csk_route_req(), which answers unless rp_filter is set.
 */
export function routeReq(st: TcpState, tp: TcpSock, req: TcpRequestSock): Dst | null {
  const to = tcpFirstHop(req.ipOptions, req.daddr);
  const dst = st.fib.routeOutput(to, req.saddr, req.boundDevIf, tp.sk.tos & IPTOS_RT_MASK);
  if (dst === null && st.fib.errno === ENETUNREACH) st.mib.ip.OutNoRoutes++;
  return req.dst = dst !== null && dst.type === RTN_BROADCAST ? null : dst;
}

/** What we answer: sequence number, offset, ECN, window. False: drop the SYN. Borrows `skb`. */
function finishRequest(
  tp: TcpSock,
  req: TcpRequestSock,
  skb: SkBuff,
  opt: TcpOptionsReceived,
  dst: Dst,
  twIsn: number,
): boolean {
  const st = tp.st;
  const isn = st.keys.isn(req.saddr, req.daddr, req.sport, req.dport, st.machine.now);
  if (opt.sawTstamp) req.tsOff = st.keys.lastTsOffset;
  let snt = twIsn;
  if (!req.syncookie && twIsn === 0) {
    // Without cookies the last quarter of the queue is for peers that are known to be alive.
    const backlog = st.sysctl.maxSynBacklog;
    if (
      st.sysctl.syncookies === 0 && backlog - tp.requests < backlog >> 2 &&
      !tcpPeerIsProven(st, req.saddr, req.daddr, dst)
    ) return false;
    snt = isn;
  }
  ecnCreateRequest(tp, req, skb, dst);
  if (req.syncookie) {
    snt = cookieInitSequence(tp, req);
    if (!req.tstampOk) req.ecnOk = false;
  }
  req.sntIsn = snt;
  tcpOpenreqInitRwin(tp, req, dst);
  return true;
}

/** A SYN with ECE and CWR asks for ECN. Linux: tcp_ecn_create_request(). Borrows `skb`. */
function ecnCreateRequest(tp: TcpSock, req: TcpRequestSock, skb: SkBuff, dst: Dst): void {
  const word = skb.view.getInt32(skb.transportHeader + TCP_FLAG_WORD);
  const asks = TCPHDR_ECE | TCPHDR_CWR;
  if ((word >>> 16 & asks) !== asks) return;
  const ect = (req.synTos & INET_ECN_MASK) !== 0;
  const enabled = tp.st.sysctl.ecn !== 0 || tcpDstEcn(dst);
  req.ecnOk = (enabled && (!ect || (word & RESERVED) !== 0)) || tp.icskCaOps.needsEcn || dstNeedsEcn(tp.st, dst);
}

/** The route's congestion control has no meaning without ECN. Linux: DST_FEATURE_ECN_CA. */
function dstNeedsEcn(st: TcpState, dst: Dst): boolean {
  const m = tcpMetricsOf(dst);
  return m !== null && m.congctl !== "" && st.congestion.get(m.congctl)?.needsEcn === true;
}

/** The window that the SYN-ACK offers. Linux: tcp_openreq_init_rwin(). */
export function tcpOpenreqInitRwin(tp: TcpSock, req: TcpRequestSock, dst: Dst): void {
  const st = tp.st;
  const space = tcpFullSpace(tp);
  const mss = tcpMssClamp(tp, tcpDstAdvmss(st, dst));
  selectRwin(tp, req, space, mss - (req.tstampOk ? TCPOLEN_TSTAMP_ALIGNED : 0), dst);
}

/** The same for a given segment size: of a cookie the SYN's is not known any more. */
export function selectRwin(tp: TcpSock, req: TcpRequestSock, space: number, mss: number, dst: Dst): void {
  const st = tp.st;
  const win = st.initialWindow;
  const metrics = tcpMetricsOf(dst);
  win.windowClamp = tp.windowClamp;
  if (win.windowClamp === 0 && metrics !== null) win.windowClamp = metrics.window;
  const locked = (tp.sk.userlocks & SOCK_RCVBUF_LOCK) !== 0;
  if (locked && (win.windowClamp > space || win.windowClamp === 0)) win.windowClamp = space;
  tcpSelectInitialWindow(st, space, mss, req.wscaleOk, metrics?.initrwnd ?? 0, st.socks.limits.rmemMax, win);
  req.rskRcvWnd = win.rcvWnd;
  req.rskWindowClamp = win.windowClamp;
  req.rcvWscale = win.rcvWscale;
}

// ---- the timer

/** Jiffies until the next SYN-ACK. Linux: tcp_reqsk_timeout(). */
function reqskTimeout(req: TcpRequestSock): number {
  return Math.min(TCP_TIMEOUT_INIT * 2 ** req.numTimeout, req.listener!.opt.rtoMax);
}

/**
 * No answer to the SYN-ACK: again, or the end. Half of the queue is kept for young requests; old ones are given up early
 * when they fill it. Linux: reqsk_timer_handler(), syn_ack_recalc().
 */
function reqskTimer(st: TcpState, req: TcpRequestSock): void {
  const listener = req.listener!;
  if (listener.sk.state !== TCP_LISTEN) return inetCskReqskQueueDrop(st, req);
  let retries = listener.opt.synackRetries !== 0 ? listener.opt.synackRetries : st.sysctl.synackRetries;
  if (listener.requests << 1 > Math.max(8, listener.maxAckBacklog)) {
    for (let young = listener.requestsYoung << 1; retries > 2 && listener.requests >= young; young <<= 1) retries--;
  }
  const defer = listener.opt.deferAccept;
  let expire = req.numTimeout >= retries;
  let resend = true;
  if (defer !== 0) {
    expire = expire && (!req.acked || req.numTimeout >= defer);
    // While data is waited for after the ACK nothing is sent; the last one gives a last chance.
    resend = !req.acked || req.numTimeout >= defer - 1;
  }
  st.mib.tcpExt.TCPTimeouts++;
  if (expire || (resend && tcpRtxSynack(st, req, listener) !== 0 && !req.acked)) return inetCskReqskQueueDrop(st, req);
  if (req.numTimeout++ === 0) listener.requestsYoung--;
  st.machine.modTimer(req.timer, reqskTimeout(req));
}

/** Sends a SYN-ACK again; 0, or an error. Linux: tcp_rtx_synack(). */
export function tcpRtxSynack(st: TcpState, req: TcpRequestSock, listener: TcpSock): number {
  const err = tcpSendSynack(st, req, listener);
  if (err !== 0) return err;
  st.mib.tcp.RetransSegs++;
  st.mib.tcpExt.TCPSynRetrans++;
  req.numRetrans++;
  // A connection that a SYN with data made has a socket already, which counts it.
  if (listener.fastopenRsk === req) listener.totalRetrans++;
  return 0;
}

// ---- a segment for a request

/**
 * A segment for a request, whose control block is filled. The socket that is to have it: the child that was made
 * (`tcpChildProcess()` is next), or the listener; null: drop it, for the reason in `st.checkReqReason`. RFC 9293 section
 * 3.10.7.4, SYN-RECEIVED. Linux: tcp_check_req(), net/ipv4/tcp_minisocks.c. Borrows `skb`.
 */
export function tcpCheckReq(st: TcpState, skb: SkBuff, req: TcpRequestSock): TcpSock | null {
  const cb = st.cb;
  const seq = skb.cb[cb + CB_SEQ];
  const endSeq = skb.cb[cb + CB_END_SEQ];
  const word = skb.view.getInt32(skb.transportHeader + TCP_FLAG_WORD);
  let flags = word >>> 16 & FLAGS;
  const rst = (flags & TCPHDR_RST) !== 0;
  const listener = req.listener!;
  st.checkReqReason = st.reason.TCP_FLAGS;
  const opt = st.rxOpt;
  opt.sawTstamp = false;
  let pawsReject = false;
  let tsecrReject = false;
  if (word >>> 28 > 5) {
    tcpParseOptions(st, skb, opt, false);
    if (opt.sawTstamp) {
      if (opt.rcvTsecr !== 0 && req.tstampOk) {
        tsecrReject = !between(opt.rcvTsecr, req.sntTsvalFirst, req.sntTsvalLast);
      }
      // When its timestamp came is not kept, but about a timeout ago.
      const stamp = Math.floor(st.machine.now / 1e9) - Math.floor(reqskTimeout(req) / 1000);
      pawsReject = tcpPawsReject(req.tsRecent, stamp, opt.rcvTsval, Math.floor(st.machine.now / 1e9), rst);
    }
  }
  if (seq === req.rcvIsn && flags === TCPHDR_SYN && !pawsReject) {
    // The SYN again: so is the SYN-ACK, at a limited rate.
    if (!oowLimited(st, skb, req) && tcpRtxSynack(st, req, listener) === 0) {
      st.machine.modTimer(req.timer, reqskTimeout(req));
    }
    return null;
  }
  if (!rst && (flags & TCPHDR_ACK) !== 0 && skb.cb[cb + CB_ACK] !== ((req.sntIsn + 1) | 0)) return listener;
  const window = Math.min(req.rskRcvWnd, 0xffff);
  if (pawsReject || tsecrReject || !tcpInWindow(seq, endSeq, req.rcvNxt, (req.rcvNxt + window) | 0)) {
    outOfWindow(st, skb, req, rst, window, pawsReject, tsecrReject);
    return null;
  }
  if (rst && seq !== req.rcvNxt) {
    // RFC 5961 section 3.2: the true peer sends another one, which fits.
    st.checkReqReason = st.reason.TCP_RESET;
    if (!oowLimited(st, skb, req)) ackRequest(st, skb, req, window);
    return null;
  }
  if (seq === req.rcvIsn) flags &= ~TCPHDR_SYN;
  if ((flags & (TCPHDR_RST | TCPHDR_SYN)) !== 0) {
    st.mib.tcp.AttemptFails++;
    embryonicReset(st, skb, req, flags);
    return null;
  }
  if ((flags & TCPHDR_ACK) === 0) return null;
  if (req.numTimeout < listener.opt.deferAccept && endSeq === ((req.rcvIsn + 1) | 0)) {
    req.acked = true;
    st.mib.tcpExt.TCPDeferAcceptDrop++;
    return null;
  }
  return makeChild(st, skb, req, listener, seq);
}

/** The ACK is good. Borrows `skb`. */
function makeChild(st: TcpState, skb: SkBuff, req: TcpRequestSock, listener: TcpSock, seq: number): TcpSock | null {
  const sawTstamp = st.rxOpt.sawTstamp;
  const tsval = st.rxOpt.rcvTsval;
  const child = tcpV4SynRecvSock(listener, skb, req);
  if (child === null) {
    st.checkReqReason = st.reason.TCP_LISTEN_OVERFLOW;
    if (st.sysctl.abortOnOverflow === 0) req.acked = true;
    else embryonicReset(st, skb, req, 0);
    return null;
  }
  if (sawTstamp && !after(seq, req.rcvNxt)) child.tsRecent = tsval;
  tcpSynackRttMeas(child, req);
  inetCskReqskQueueDrop(st, req);
  return inetCskReqskQueueAdd(listener, child) ? child : null;
}

/** Linux: the embryonic_reset label of tcp_check_req(). Borrows `skb`. */
function embryonicReset(st: TcpState, skb: SkBuff, req: TcpRequestSock, flags: number): void {
  if ((flags & TCPHDR_RST) === 0) tcpV4SendReset(st, skb, null);
  else st.checkReqReason = st.reason.TCP_RESET;
  inetCskReqskQueueDrop(st, req);
  st.mib.tcpExt.EmbryonicRsts++;
}

/** Tells the peer where we are. Linux: tcp_v4_reqsk_send_ack(). Borrows `skb`. */
function ackRequest(st: TcpState, skb: SkBuff, req: TcpRequestSock, window: number): void {
  tcpV4SendAck(
    st,
    req.saddr,
    req.sport,
    req.daddr,
    req.dport,
    (req.sntIsn + 1) | 0,
    req.rcvNxt,
    window >> req.rcvWscale,
    req.tstampOk ? (tcpTimeStampMs(st.machine) + req.tsOff) | 0 : 0,
    req.tsRecent,
    req.boundDevIf,
    skb.view.getUint8(skb.networkHeader + IP_TOS_AT),
  );
}

/** Answers at a limited rate, and says why. Borrows `skb`. */
function outOfWindow(
  st: TcpState,
  skb: SkBuff,
  req: TcpRequestSock,
  rst: boolean,
  window: number,
  pawsReject: boolean,
  tsecrReject: boolean,
): void {
  if (!rst && !oowLimited(st, skb, req)) ackRequest(st, skb, req, window);
  if (pawsReject) {
    st.checkReqReason = st.reason.TCP_RFC7323_PAWS;
    st.mib.tcpExt.PAWSEstab++;
  } else if (tsecrReject) {
    st.checkReqReason = st.reason.TCP_RFC7323_TSECR;
    st.mib.tcpExt.TSEcrRejected++;
  } else st.checkReqReason = st.reason.TCP_OVERWINDOW;
}

/** Whether an answer now would come too soon. Data without SYN is no part of a loop. Borrows `skb`. */
function oowLimited(st: TcpState, skb: SkBuff, req: TcpRequestSock): boolean {
  const cb = st.cb;
  const syn = (skb.view.getInt32(skb.transportHeader + TCP_FLAG_WORD) >>> 16 & TCPHDR_SYN) !== 0;
  if (!syn && before(skb.cb[cb + CB_SEQ], skb.cb[cb + CB_END_SEQ])) return false;
  const now = st.machine.jiffies;
  if (tcpOowRateLimited(req.lastOowAckTime, now, st.sysctl.invalidRatelimit)) {
    st.mib.tcpExt.TCPACKSkippedSynRecv++;
    return true;
  }
  req.lastOowAckTime = now || -1;
  return false;
}
