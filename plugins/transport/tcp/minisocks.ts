/**
 * From a request to a socket. Linux: net/ipv4/tcp_minisocks.c, tcp_v4_syn_recv_sock().
 */
import type { SkBuff } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as header from "./header.ts";
import * as input from "./input.ts";
import * as mss from "./mss.ts";
import * as receiveQueue from "./receive_queue.ts";
import type { TcpRequestSock } from "./request.ts";
import * as request from "./request.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as socket from "./socket.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as timer from "./timer.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpCongInherit } = cong;
const { tcpRcvStateProcess } = input;
const { tcpDstAdvmss, tcpFirstHop, tcpMssClamp, tcpSyncMss } = mss;
const { tcpInitializeRcvMss } = receiveQueue;
const { tcpListendrop } = request;
const { tcpCaDstInit } = routeMetrics;
const { inetChildForget, tcpNewSock, tcpSetState } = socket;
const { tcpResetKeepaliveTimer } = timer;
const { skDataReady } = sock;
const { TCP_LISTEN, TCP_SYN_RECV } = contract;
const { TCP_HLEN, TCP_WINDOW, TCPOLEN_TSTAMP_ALIGNED } = header;
const { CB_END_SEQ, CB_SEQ, TCP_ECN_OK, TCP_MSS_DEFAULT } = tcpSock;

const INET_ECN_MASK = 3;

/** Connections that wait for accept(). Linux: sk_ack_backlog. */
export function acceptqLen(tp: TcpSock): number {
  return tp.acceptQueue === null ? 0 : tp.acceptEnd - tp.acceptFirst;
}

/** Linux: sk_acceptq_is_full(). */
export function acceptqFull(tp: TcpSock): boolean {
  return acceptqLen(tp) > tp.maxAckBacklog;
}

/**
 * A socket in SYN-RECV for a request whose handshake the segment completes, in the table in the request's place; null:
 * the accept queue is full, or there is no route. Linux: tcp_v4_syn_recv_sock(), net/ipv4/tcp_ipv4.c. Borrows `skb`.
 */
export function tcpV4SynRecvSock(listener: TcpSock, skb: SkBuff, req: TcpRequestSock): TcpSock | null {
  const st = listener.st;
  if (acceptqFull(listener)) {
    st.mib.tcpExt.ListenOverflows++;
    tcpListendrop(listener);
    return null;
  }
  let dst = req.dst;
  if (dst === null || dst.obsolete) {
    const to = tcpFirstHop(req.ipOptions, req.daddr);
    dst = st.fib.routeOutput(to, req.saddr, req.boundDevIf, listener.sk.tos);
  }
  if (dst === null) {
    tcpListendrop(listener);
    return null;
  }
  const child = tcpCreateOpenreqChild(listener, req, skb);
  const sk = child.sk;
  sk.inetId = st.keys.random() & 0xffff;
  if (st.sysctl.reflectTos !== 0) sk.tos = req.synTos & ~INET_ECN_MASK;
  sk.dst = dst;
  tcpCongInherit(child, listener);
  tcpCaDstInit(child, dst);
  tcpSyncMss(child, st.fib.mtu(dst));
  child.advmss = tcpMssClamp(listener, tcpDstAdvmss(st, dst));
  tcpInitializeRcvMss(child);
  st.tables.bindPort(child, sk.sport);
  // The request leaves the table by and by; a look-up finds the newer entry first.
  st.tables.hash(child);
  return child;
}

/** Linux: tcp_create_openreq_child(), inet_csk_clone_lock(). Borrows `skb`. */
function tcpCreateOpenreqChild(listener: TcpSock, req: TcpRequestSock, skb: SkBuff): TcpSock {
  const st = listener.st;
  const sk = st.socks.clone(listener.sk);
  sk.saddr = sk.srcAddr = req.saddr;
  sk.sport = req.sport;
  sk.daddr = req.daddr;
  sk.dport = req.dport;
  sk.boundDevIf = req.boundDevIf;
  sk.ipOptions = req.ipOptions;
  const tp = tcpNewSock(st, sk, listener.icskCaOps);
  sk.proto = tp;
  tcpSetState(tp, TCP_SYN_RECV);
  if (listener.opt !== st.settings) tp.opt = { ...listener.opt, deferAccept: 0, synackRetries: 0 };
  tp.listener = listener;
  tp.inAcceptQueue = true;
  tp.nonagle = listener.nonagle;
  tp.scalingRatio = listener.scalingRatio;
  tp.pacingRate = listener.pacingRate;
  initReceive(tp, req);
  initSend(tp, req, skb);
  const payload = skb.len - tp.tcpHeaderLen;
  if (skb.len >= TCP_MSS_DEFAULT + tp.tcpHeaderLen) tp.ackLastSegSize = payload;
  if (sk.keepopen) tcpResetKeepaliveTimer(tp, tp.opt.keepaliveTime);
  st.mib.tcp.PassiveOpens++;
  return tp;
}

function initReceive(tp: TcpSock, req: TcpRequestSock): void {
  const st = tp.st;
  const now = st.machine.jiffies;
  tp.rcvWup = tp.copiedSeq = tp.rcvNxt = (req.rcvIsn + 1) | 0;
  tp.segsIn = 1;
  tp.sndWl1 = req.rcvIsn;
  tp.rttMinStamp = tp.ackLrcvtime = tp.lsndtime = now;
  tp.tstampOk = req.tstampOk;
  tp.sackOk = req.sackOk;
  tp.windowClamp = req.rskWindowClamp;
  tp.rcvSsthresh = tp.rcvWnd = req.rskRcvWnd;
  tp.wscaleOk = req.wscaleOk;
  if (req.wscaleOk) {
    tp.sndWscale = req.sndWscale;
    tp.rcvWscale = req.rcvWscale;
  } else {
    tp.sndWscale = tp.rcvWscale = 0;
    tp.windowClamp = Math.min(tp.windowClamp, 0xffff);
  }
  tp.tcpHeaderLen = TCP_HLEN;
  if (req.tstampOk) {
    tp.tsRecent = req.tsRecent;
    tp.tsRecentStamp = Math.floor(st.machine.now / 1e9) || 1;
    tp.tcpHeaderLen = TCP_HLEN + TCPOLEN_TSTAMP_ALIGNED;
  }
  tp.tsoffset = req.tsOff;
  tp.mssClamp = req.mss;
  tp.ecnFlags = req.ecnOk ? TCP_ECN_OK : 0;
}

function initSend(tp: TcpSock, req: TcpRequestSock, skb: SkBuff): void {
  tp.sndSml =
    tp.sndUna =
    tp.sndNxt =
    tp.sndUp =
    tp.writeSeq =
    tp.pushedSeq =
      (req.sntIsn + 1) | 0;
  tp.sndWnd = tp.maxWindow = skb.view.getUint16(skb.transportHeader + TCP_WINDOW) << tp.sndWscale;
  tp.totalRetrans = req.numRetrans;
  if (req.numTimeout === 0) return;
  tp.undoMarker = req.sntIsn;
  // The clock of retransStamp counts milliseconds.
  tp.retransStamp = Math.floor((req.sntSynack >>> 0) / 1000) || 1;
}

/**
 * A child waits for accept(), though its handshake is just being completed. False: its listener does not listen any more,
 * and it ended. Linux: inet_csk_reqsk_queue_add().
 */
export function inetCskReqskQueueAdd(listener: TcpSock, child: TcpSock): boolean {
  if (listener.sk.state !== TCP_LISTEN || listener.acceptQueue === null) {
    inetChildForget(child);
    return false;
  }
  listener.acceptQueue[listener.acceptEnd++] = child.sk;
  return true;
}

/** The first connection that waits, or null. Linux: reqsk_queue_remove(). */
export function inetCskReqskQueueRemove(listener: TcpSock): Sock | null {
  const queue = listener.acceptQueue;
  const first = listener.acceptFirst;
  if (queue === null || first === listener.acceptEnd) return null;
  const sk = queue[first];
  queue[first] = null;
  if (first + 1 === listener.acceptEnd) listener.acceptFirst = listener.acceptEnd = 0;
  else if (first >= 64 && 2 * first >= listener.acceptEnd) {
    // The places of those that left are given back when they are half of all.
    queue.splice(0, first + 1);
    listener.acceptEnd -= first + 1;
    listener.acceptFirst = 0;
  } else listener.acceptFirst = first + 1;
  return sk;
}

/**
 * The segment that made a child is its first; the listener is woken when that established it. 0, or why it was dropped,
 * which the caller answers with a RST. Linux: tcp_child_process(). Takes ownership of `skb` unless it returns a reason.
 */
export function tcpChildProcess(parent: TcpSock, child: TcpSock, skb: SkBuff): number {
  const sk = child.sk;
  const before = sk.state;
  child.segsIn++;
  if (skb.cb[child.st.cb + CB_END_SEQ] !== skb.cb[child.st.cb + CB_SEQ]) child.dataSegsIn++;
  const reason = tcpRcvStateProcess(child, skb);
  if (before === TCP_SYN_RECV && sk.state !== before && parent.sk.state === TCP_LISTEN) skDataReady(parent.sk);
  return reason;
}
