/**
 * The life of a TCP socket: made, bound, connected, listening, closing, gone. Linux: net/ipv4/tcp.c, net/ipv4/af_inet.c,
 * net/ipv4/inet_connection_sock.c.
 */
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import * as fib from "../../network/fib/contract.ts";
import type { Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as bind from "./bind.ts";
import * as cong from "./cong.ts";
import type { TcpCa } from "./cong.ts";
import * as contract from "./contract.ts";
import * as control from "./control.ts";
import * as fastopen from "./fastopen.ts";
import * as fastopenClient from "./fastopen_client.ts";
import * as memory from "./memory.ts";
import * as minisocks from "./minisocks.ts";
import * as ofo from "./ofo.ts";
import * as mss from "./mss.ts";
import * as request from "./request.ts";
import * as tcpSock from "./tcp_sock.ts";
import { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timer from "./timer.ts";
import * as timewait from "./timewait.ts";
import * as tsq from "./tsq.ts";
import * as txStatus from "./tx_status.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpGetPort, tcpHashConnect } = bind;
const { tcpCleanupCongestionControl } = cong;
const { tcpConnect, tcpSendActiveReset, tcpSendFin } = control;
const { tcpFastopenListen, tcpFastopenRemove } = fastopen;
const { tcpFastopenDeferConnect } = fastopenClient;
const { skMemReclaimFinal, skStreamIsWriteable, tcpCheckOom, tcpWmemFreeSkb } = memory;
const { acceptqLen, inetCskReqskQueueRemove } = minisocks;
const { tcpOfoPurge } = ofo;
const { tcpFirstHop } = mss;
const { tcpRequestsPurge } = request;
const { tcpClearXmitTimers, tcpDeleteKeepaliveTimer, tcpResetKeepaliveTimer, tcpWriteTimer } = timer;
const { tcpTimeWait } = timewait;
const { tcpPacingStop } = tsq;
const { tcpTxPurge } = txStatus;
const { tcpReceiveWindow } = win;
const { DROP, ERRNO, G_SOCK } = core;
const { RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } = fib;
const {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  RCV_SHUTDOWN,
  SEND_SHUTDOWN,
  skErrorReport,
  SOCK_BINDADDR_LOCK,
  SOCK_BINDPORT_LOCK,
  sockError,
} = sock;
const {
  TCP_CA_OPEN,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
} = contract;
const {
  CB_END_SEQ,
  CB_FLAGS,
  SS_CONNECTED,
  SS_CONNECTING,
  SS_DISCONNECTING,
  SS_UNCONNECTED,
  after,
  TCP_INFINITE_SSTHRESH,
  TCP_INIT_CWND,
  TCP_MSS_DEFAULT,
  TCP_TIMEOUT_INIT,
  TCP_TIMEWAIT_LEN,
  TCPHDR_FIN,
  tcpSk,
} = tcpSock;

const BOTH = RCV_SHUTDOWN | SEND_SHUTDOWN;
const INADDR_LOOPBACK = 0x7f000001;
const IPTOS_RT_MASK = 0x1c;
/** urgData: the byte is here. Linux: TCP_URG_VALID. */
const TCP_URG_VALID = 0x0100;

// ---- made

function onWriteTimer(timer: core.Timer): void {
  tcpWriteTimer(timer.owner as TcpSock);
}

/** TCP's part of a socket. */
export function tcpNewSock(st: TcpState, sk: Sock, ca: TcpCa): TcpSock {
  st.socketsAllocated++;
  return new TcpSock(st, sk, ca, onWriteTimer);
}

/** A socket of the user's. Linux: tcp_v4_init_sock(), tcp_init_sock(). */
export function tcpInitSock(st: TcpState, sk: Sock): number {
  const tp = tcpNewSock(st, sk, st.defaultCongestion);
  sk.proto = tp;
  sk.sndbuf = st.sysctl.wmem[1];
  sk.rcvbuf = st.sysctl.rmem[1];
  tp.reordering = st.sysctl.reordering;
  return 0;
}

/** The state changes: counters, tables, traces. Linux: tcp_set_state(). */
export function tcpSetState(tp: TcpSock, state: number): void {
  const sk = tp.sk;
  const st = tp.st;
  const old = sk.state;
  const mib = st.mib.tcp;
  const was = old === TCP_ESTABLISHED || old === TCP_CLOSE_WAIT;
  if (state === TCP_ESTABLISHED) {
    if (old !== TCP_ESTABLISHED) mib.CurrEstab++;
  } else if (state === TCP_CLOSE_WAIT) {
    if (old === TCP_SYN_RECV) mib.CurrEstab++;
  } else {
    if (was) mib.CurrEstab--;
    if (state === TCP_CLOSE) {
      if (was) mib.EstabResets++;
      st.tables.unhash(tp);
      if ((sk.userlocks & SOCK_BINDPORT_LOCK) === 0) st.tables.putPort(tp);
    }
  }
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.setState, null, old, state, sk);
  sk.state = state;
}

// ---- bound, connected, listening

/** 0, -EINVAL: bound already; -EADDRNOTAVAIL: not an address of this host; -EADDRINUSE. Linux: inet_bind(). */
export function tcpBind(st: TcpState, sk: Sock, addr: number, port: number): number {
  if (port < 0 || port > 0xffff) return -ERRNO.EINVAL;
  const tp = tcpSk(sk);
  const type = addr === 0 ? RTN_LOCAL : st.fib.addrType(addr);
  const ours = type === RTN_LOCAL || type === RTN_BROADCAST || type === RTN_MULTICAST;
  if (!ours && !sk.freebind) return -ERRNO.EADDRNOTAVAIL;
  if (sk.state !== TCP_CLOSE || tp.bind !== null) return -ERRNO.EINVAL;
  sk.saddr = addr;
  sk.srcAddr = type === RTN_BROADCAST || type === RTN_MULTICAST ? 0 : addr;
  const err = tcpGetPort(st, tp, port);
  if (err < 0) {
    sk.saddr = sk.srcAddr = 0;
    return err;
  }
  if (addr !== 0) sk.userlocks |= SOCK_BINDADDR_LOCK;
  if (port !== 0) sk.userlocks |= SOCK_BINDPORT_LOCK;
  sk.daddr = sk.dport = 0;
  sk.dst = null;
  return 0;
}

/**
 * 0: connected; -EINPROGRESS: under way; -EALREADY: it still is; -EISCONN; or why not. Linux: __inet_stream_connect().
 */
export function inetStreamConnect(st: TcpState, sk: Sock, addr: number, port: number, isSendmsg = false): number {
  const tp = tcpSk(sk);
  if (tp.ssState === SS_CONNECTED) return -ERRNO.EISCONN;
  if (tp.ssState === SS_DISCONNECTING) return -ERRNO.EINVAL;
  let err = -ERRNO.EALREADY;
  if (tp.fo !== null && tp.fo.deferConnect) err = isSendmsg ? -ERRNO.EINPROGRESS : -ERRNO.EISCONN;
  if (tp.ssState === SS_UNCONNECTED) {
    if (sk.state !== TCP_CLOSE) return -ERRNO.EISCONN;
    err = tcpV4Connect(st, tp, addr, port);
    if (err < 0) return err;
    tp.ssState = SS_CONNECTING;
    // The SYN waits for the first write.
    if (tp.fo !== null && tp.fo.deferConnect) return 0;
    err = -ERRNO.EINPROGRESS;
  }
  if (sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV) return err;
  if (sk.state === TCP_CLOSE) {
    tp.ssState = SS_UNCONNECTED;
    const pending = sockError(sk);
    tcpDisconnect(tp);
    sk.err = 0;
    return pending !== 0 ? pending : -ERRNO.ECONNABORTED;
  }
  tp.ssState = SS_CONNECTED;
  return 0;
}

/** Route, source, port, then the SYN. 0 or a negative errno. Linux: tcp_v4_connect(), net/ipv4/tcp_ipv4.c. */
function tcpV4Connect(st: TcpState, tp: TcpSock, addr: number, port: number): number {
  if (port < 0 || port > 0xffff) return -ERRNO.EINVAL;
  const sk = tp.sk;
  const daddr = addr !== 0 ? addr : sk.srcAddr !== 0 ? sk.srcAddr : INADDR_LOOPBACK;
  if (addr === 0 && sk.ipOptions !== null && sk.ipOptions.faddr !== 0) return -ERRNO.EINVAL;
  const firstHop = tcpFirstHop(sk.ipOptions, daddr);
  const dst = st.fib.routeOutput(firstHop, sk.srcAddr, sk.boundDevIf, sk.tos & IPTOS_RT_MASK);
  if (dst === null) {
    if (st.fib.errno === -ERRNO.ENETUNREACH) st.mib.ip.OutNoRoutes++;
    return st.fib.errno;
  }
  if (dst.type === RTN_MULTICAST || dst.type === RTN_BROADCAST) return -ERRNO.ENETUNREACH;
  if (sk.srcAddr === 0) sk.srcAddr = sk.saddr = dst.prefsrc;
  if (tp.tsRecentStamp !== 0 && sk.daddr !== daddr) {
    tp.tsRecent = tp.tsRecentStamp = 0;
    tp.writeSeq = 0;
  }
  sk.dport = port;
  sk.daddr = daddr;
  tp.mssClamp = TCP_MSS_DEFAULT;
  tcpSetState(tp, TCP_SYN_SENT);
  let err = tcpHashConnect(st, tp);
  if (err === 0) err = sendSyn(st, tp, dst);
  if (err === 0) return 0;
  tcpSetState(tp, TCP_CLOSE);
  resetSaddr(sk);
  sk.dst = null;
  sk.dport = 0;
  return err;
}

function sendSyn(st: TcpState, tp: TcpSock, dst: Dst): number {
  const sk = tp.sk;
  sk.dst = dst;
  const isn = st.keys.isn(sk.saddr, sk.daddr, sk.sport, sk.dport, st.machine.now);
  tp.tsoffset = st.keys.lastTsOffset;
  if (tp.writeSeq === 0) tp.writeSeq = isn;
  sk.inetId = st.keys.random() & 0xffff;
  if (tp.fo === null || !tp.fo.connect) return tcpConnect(tp);
  if (tcpFastopenDeferConnect(tp)) return 0;
  const err = tcpConnect(tp);
  if (tp.fo.request !== null && tp.fo.request.msg === null) tp.fo.request = null;
  return err;
}

/** An address that the user did not choose goes with the connection. Linux: inet_bhash2_reset_saddr(). */
function resetSaddr(sk: Sock): void {
  if ((sk.userlocks & SOCK_BINDADDR_LOCK) === 0) sk.saddr = sk.srcAddr = 0;
}

/** 0, -EINVAL: it is connected; -EADDRINUSE. Again, it changes the backlog. Linux: inet_listen(). */
export function inetListen(st: TcpState, sk: Sock, backlog: number): number {
  const tp = tcpSk(sk);
  if (tp.ssState !== SS_UNCONNECTED || (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN)) return -ERRNO.EINVAL;
  tp.maxAckBacklog = Math.min(backlog >>> 0, st.socks.limits.somaxconn);
  if (sk.state === TCP_LISTEN) return 0;
  // The port is checked again, in the new state: others may have it by SO_REUSEADDR, but only one may listen.
  tcpFastopenListen(tp, backlog);
  tp.acceptQueue = [];
  tp.acceptFirst = tp.acceptEnd = 0;
  tp.ackPending = tp.ackQuick = tp.ackPingpong = 0;
  tcpSetState(tp, TCP_LISTEN);
  const err = tcpGetPort(st, tp, tp.bind === null ? 0 : sk.sport);
  if (err === 0) {
    sk.dst = null;
    st.tables.listen(tp);
    return 0;
  }
  // The port stays bound.
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.setState, null, TCP_LISTEN, TCP_CLOSE, sk);
  sk.state = TCP_CLOSE;
  tp.acceptQueue = null;
  return err;
}

/** The next connection, or null with sk.acceptError. Linux: inet_csk_accept(). */
export function inetCskAccept(sk: Sock): Sock | null {
  const tp = tcpSk(sk);
  sk.acceptError = -ERRNO.EINVAL;
  if (sk.state !== TCP_LISTEN) return null;
  sk.acceptError = -ERRNO.EAGAIN;
  const child = inetCskReqskQueueRemove(tp);
  if (child === null) return null;
  const ctp = tcpSk(child);
  ctp.inAcceptQueue = false;
  ctp.listener = null;
  ctp.ssState = SS_CONNECTED;
  return child;
}

// ---- closing

/** What closing our half leads to. The last column: a FIN is to be sent. Linux: new_state[]. */
function closeState(state: number): number {
  switch (state) {
    case TCP_ESTABLISHED:
    case TCP_SYN_RECV:
      return TCP_FIN_WAIT1;
    case TCP_CLOSE_WAIT:
      return TCP_LAST_ACK;
    case TCP_FIN_WAIT1:
    case TCP_FIN_WAIT2:
    case TCP_LAST_ACK:
    case TCP_CLOSING:
      return state;
    default:
      return TCP_CLOSE;
  }
}

/** Closes our half; true: a FIN is to be sent. Linux: tcp_close_state(). */
function tcpCloseState(tp: TcpSock): boolean {
  const old = tp.sk.state;
  const next = closeState(old);
  tcpSetState(tp, next);
  return next !== old && (next === TCP_FIN_WAIT1 || next === TCP_LAST_ACK);
}

/** No more is sent: the FIN goes behind what is queued. Linux: tcp_shutdown(). */
export function tcpShutdown(tp: TcpSock, how: number): void {
  if ((how & SEND_SHUTDOWN) === 0) return;
  const state = tp.sk.state;
  const open = state === TCP_ESTABLISHED || state === TCP_SYN_SENT || state === TCP_CLOSE_WAIT;
  if (open && tcpCloseState(tp)) tcpSendFin(tp);
}

/** SHUT_*; 0, -EINVAL or -ENOTCONN. Linux: inet_shutdown(). */
export function inetShutdown(sk: Sock, how: number): number {
  if (how < 0 || how > 2) return -ERRNO.EINVAL;
  const tp = tcpSk(sk);
  const bits = how + 1;
  if (tp.ssState === SS_CONNECTING) {
    const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV || sk.state === TCP_CLOSE;
    tp.ssState = opening ? SS_DISCONNECTING : SS_CONNECTED;
  }
  let err = 0;
  if (sk.state === TCP_SYN_SENT || (sk.state === TCP_LISTEN && (bits & RCV_SHUTDOWN) !== 0)) {
    tcpDisconnect(tp);
    tp.ssState = SS_UNCONNECTED;
  } else if (sk.state !== TCP_LISTEN) {
    if (sk.state === TCP_CLOSE) err = -ERRNO.ENOTCONN;
    sk.shutdown |= bits;
    tcpShutdown(tp, bits);
  }
  if (!sk.dead) sk.machine.wakeLater(sk);
  return err;
}

/**
 * The user is done with it. What was not read makes it a RST (RFC 2525 section 2.17), and so does SO_LINGER with time 0;
 * else the FIN goes behind what is queued, and the socket lives on without an owner. Linux: __tcp_close().
 */
export function tcpClose(sk: Sock): void {
  const tp = tcpSk(sk);
  const st = tp.st;
  sk.shutdown = BOTH;
  if (sk.state === TCP_LISTEN) {
    tcpSetState(tp, TCP_CLOSE);
    listenStop(tp);
  } else {
    const unread = purgeReceived(tp);
    if (sk.state !== TCP_CLOSE) {
      if (unread) {
        st.mib.tcpExt.TCPAbortOnClose++;
        tcpSetState(tp, TCP_CLOSE);
        tcpSendActiveReset(tp);
      } else if (sk.linger && sk.lingertime === 0) {
        tcpDisconnect(tp);
        st.mib.tcpExt.TCPAbortOnData++;
      } else if (tcpCloseState(tp)) tcpSendFin(tp);
    }
  }
  adjudgeToDeath(tp);
}

/** Frees what was not read; true: there was some. */
function purgeReceived(tp: TcpSock): boolean {
  const st = tp.st;
  const queue = tp.sk.receiveQueue;
  const c = st.cb;
  let unread = false;
  for (let skb = queue.dequeue(); skb !== null; skb = queue.dequeue()) {
    const fin = (skb.cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0 ? 1 : 0;
    if (after((skb.cb[c + CB_END_SEQ] - fin) | 0, tp.copiedSeq)) unread = true;
    st.net.drop(skb, DROP.SOCKET_CLOSE);
  }
  return unread;
}

/** Nobody owns it any more. Linux: the adjudge_to_death label of __tcp_close(). */
function adjudgeToDeath(tp: TcpSock): void {
  const st = tp.st;
  const sk = tp.sk;
  if (tp.destroyed) return;
  tp.orphan = true;
  st.orphans++;
  if (sk.state === TCP_FIN_WAIT2) {
    if (tp.opt.linger2 < 0) {
      tcpSetState(tp, TCP_CLOSE);
      tcpSendActiveReset(tp);
      st.mib.tcpExt.TCPAbortOnLinger++;
    } else {
      const rto = tp.icskRto;
      const time = Math.max(tp.opt.linger2 !== 0 ? tp.opt.linger2 : st.sysctl.finTimeout, (rto << 2) - (rto >> 1));
      if (time > TCP_TIMEWAIT_LEN) tcpResetKeepaliveTimer(tp, time - TCP_TIMEWAIT_LEN);
      else {
        tcpTimeWait(tp, TCP_FIN_WAIT2, time);
        return;
      }
    }
  }
  if (sk.state !== TCP_CLOSE && tcpCheckOom(tp, 0)) {
    tcpSetState(tp, TCP_CLOSE);
    tcpSendActiveReset(tp);
    st.mib.tcpExt.TCPAbortOnMemory++;
  }
  if (sk.state === TCP_CLOSE) inetCskDestroySock(tp);
}

/** The connection is over. Linux: tcp_done(). */
export function tcpDone(tp: TcpSock): void {
  const sk = tp.sk;
  if (sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV) tp.st.mib.tcp.AttemptFails++;
  tcpSetState(tp, TCP_CLOSE);
  tcpClearXmitTimers(tp);
  if (tp.fastopenRsk !== null) tcpFastopenRemove(tp, false);
  sk.shutdown = BOTH;
  if (!sk.dead) sk.machine.wakeLater(sk);
  else if (tp.orphan) inetCskDestroySock(tp);
}

/** A listener ends: requests and connections that nobody accepted end with it. Linux: inet_csk_listen_stop(). */
function listenStop(tp: TcpSock): void {
  tcpRequestsPurge(tp);
  for (let child = inetCskReqskQueueRemove(tp); child !== null; child = inetCskReqskQueueRemove(tp)) {
    inetChildForget(tcpSk(child));
  }
  tp.acceptQueue = null;
  tp.acceptFirst = tp.acceptEnd = 0;
}

/** A connection that nobody accepted ends with a RST. Linux: inet_child_forget(). */
export function inetChildForget(child: TcpSock): void {
  tcpDisconnect(child);
  child.sk.dead = true;
  child.orphan = true;
  child.st.orphans++;
  child.inAcceptQueue = false;
  child.listener = null;
  inetCskDestroySock(child);
}

/** Whether the peer must be told that it is over. Linux: tcp_need_reset(). */
function needReset(state: number): boolean {
  return state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT || state === TCP_FIN_WAIT1 || state === TCP_FIN_WAIT2 ||
    state === TCP_SYN_RECV;
}

/** Aborts the connection; the socket is as new, but for its settings. Linux: tcp_disconnect(). */
export function tcpDisconnect(tp: TcpSock): number {
  const st = tp.st;
  const sk = tp.sk;
  const old = sk.state;
  if (old !== TCP_CLOSE) tcpSetState(tp, TCP_CLOSE);
  let err = 0;
  if (old === TCP_LISTEN) listenStop(tp);
  else if (needReset(old) || (tp.sndNxt !== tp.writeSeq && (old === TCP_CLOSING || old === TCP_LAST_ACK))) {
    tcpSendActiveReset(tp);
    err = ERRNO.ECONNRESET;
  } else if (old === TCP_SYN_SENT) err = ERRNO.ECONNRESET;
  tcpClearXmitTimers(tp);
  for (let skb = sk.receiveQueue.dequeue(); skb !== null; skb = sk.receiveQueue.dequeue()) {
    st.net.drop(skb, DROP.SOCKET_CLOSE);
  }
  tcpWriteQueuePurge(tp);
  tcpOfoPurge(tp);
  forget(tp);
  sk.dport = 0;
  resetSaddr(sk);
  sk.shutdown = 0;
  sk.dst = null;
  tp.ssState = SS_UNCONNECTED;
  if (err !== 0) sk.err = err;
  if (!sk.dead) skErrorReport(sk, sk.err);
  return 0;
}

/** What was learnt of the peer and of the path. */
function forget(tp: TcpSock): void {
  tcpCleanupCongestionControl(tp);
  tcpPacingStop(tp);
  if (tp.fastopenRsk !== null) tcpFastopenRemove(tp, false);
  if (tp.fo !== null) {
    tp.fo.request = null;
    tp.fo.deferConnect =
      tp.fo.synFastopen =
      tp.fo.synFastopenExp =
      tp.fo.synData =
      tp.fo.synDataAcked =
        false;
    tp.fo.clientFail = 0;
  }
  tp.copiedSeq = tp.rcvNxt;
  tp.urgData = 0;
  tp.sockDone = false;
  // The next connection begins behind whatever the peer may still have of this one.
  tp.writeSeq = (tp.writeSeq + tp.maxWindow + 2) | 0 || 1;
  tp.srttUs =
    tp.mdevUs =
    tp.mdevMaxUs =
    tp.rttvarUs =
      0;
  tp.rttMinUs = -1;
  tp.icskRto = TCP_TIMEOUT_INIT;
  tp.icskBackoff =
    tp.icskProbesOut =
    tp.icskProbesTstamp =
    tp.icskRetransmits =
      0;
  tp.sndSsthresh = TCP_INFINITE_SSTHRESH;
  tp.sndCwnd = TCP_INIT_CWND;
  tp.sndCwndCnt =
    tp.sndCwndUsed =
    tp.priorCwnd =
    tp.maxPacketsOut =
      0;
  tp.isCwndLimited = false;
  tp.icskCaState = TCP_CA_OPEN;
  tp.windowClamp = 0;
  tp.ackPending =
    tp.ackQuick =
    tp.ackPingpong =
    tp.ackRetry =
    tp.ackAto =
      0;
  tp.predFlags = 0;
  tp.numSacks = 0;
  tp.hasDsack = false;
  tp.sackOk =
    tp.tstampOk =
    tp.wscaleOk =
    tp.sawTstamp =
      false;
  tp.sndWscale = tp.rcvWscale = 0;
  tp.tsRecent = tp.tsRecentStamp = 0;
  tp.mssClamp = TCP_MSS_DEFAULT;
  tp.retransStamp =
    tp.undoMarker =
    tp.undoRetrans =
    tp.totalRetrans =
    tp.reordSeen =
      0;
  tp.retransOut =
    tp.sackedOut =
    tp.lostOut =
    tp.packetsOut =
      0;
  tp.tlpHighSeq = 0;
  tp.frto = false;
  tp.rackMstamp = tp.rackRttUs = 0;
  tp.rackAdvanced = tp.rackDsackSeen = false;
  tp.rackReoWndSteps = 1;
  tp.rackReoWndPersist = tp.rackLastDelivered = 0;
  tp.delivered =
    tp.deliveredCe =
    tp.lost =
    tp.appLimited =
    tp.rateDelivered =
    tp.rateIntervalUs =
      0;
  tp.rcvRttUs =
    tp.rcvRttSeq =
    tp.rcvRttTime =
    tp.rcvqSpace =
      0;
  tp.ecnFlags = 0;
  tp.pmtuCookie = 0;
  tp.scalingRatio = 128;
  tp.segsIn =
    tp.dataSegsIn =
    tp.segsOut =
    tp.dataSegsOut =
      0;
  tp.bytesReceived =
    tp.bytesAcked =
    tp.bytesSent =
    tp.bytesRetrans =
    tp.rcvOooPack =
    tp.dsackDups =
      0;
}

/** Frees both queues of what is sent. Linux: tcp_write_queue_purge(). */
export function tcpWriteQueuePurge(tp: TcpSock): void {
  if (tp.txNotes !== null) tcpTxPurge(tp);
  for (let skb = tp.writeHead; skb !== null;) {
    const next: core.SkBuff | null = skb.next;
    skb.next = null;
    tcpWmemFreeSkb(tp, skb);
    skb = next;
  }
  tp.writeHead = tp.writeTail = null;
  if (tp.rtx !== null) { for (let skb = tp.rtx.shift(); skb !== null; skb = tp.rtx.shift()) tcpWmemFreeSkb(tp, skb); }
  tp.packetsOut =
    tp.sackedOut =
    tp.lostOut =
    tp.retransOut =
      0;
  tp.icskBackoff = 0;
}

/** Gives back all that it holds; the last of it. Linux: inet_csk_destroy_sock(), tcp_v4_destroy_sock(). */
export function inetCskDestroySock(tp: TcpSock): void {
  if (tp.destroyed) return;
  const st = tp.st;
  const sk = tp.sk;
  tp.destroyed = true;
  tcpClearXmitTimers(tp);
  if (tp.fastopenRsk !== null) tcpFastopenRemove(tp, false);
  tcpDeleteKeepaliveTimer(tp);
  tcpPacingStop(tp);
  tcpCleanupCongestionControl(tp);
  tcpWriteQueuePurge(tp);
  tcpOfoPurge(tp);
  st.tables.unhash(tp);
  st.tables.putPort(tp);
  for (let skb = sk.receiveQueue.dequeue(); skb !== null; skb = sk.receiveQueue.dequeue()) {
    st.net.drop(skb, DROP.SOCKET_CLOSE);
  }
  skMemReclaimFinal(tp);
  st.socketsAllocated--;
  if (tp.orphan) st.orphans--;
  tp.orphan = false;
  st.socks.destroy(sk);
}

/** POLL* bits. Linux: tcp_poll(). */
export function tcpPoll(sk: Sock): number {
  const tp = tcpSk(sk);
  const state = sk.state;
  if (state === TCP_LISTEN) return acceptqLen(tp) > 0 ? POLLIN : 0;
  let mask = 0;
  const shutdown = sk.shutdown;
  if (shutdown === BOTH || state === TCP_CLOSE) mask |= POLLHUP;
  if ((shutdown & RCV_SHUTDOWN) !== 0) mask |= POLLIN | POLLRDHUP;
  if (state !== TCP_SYN_SENT && (state !== TCP_SYN_RECV || tp.fastopenRsk !== null)) {
    let target = sk.rcvlowat;
    if (tp.urgSeq === tp.copiedSeq && !sk.urginline && tp.urgData !== 0) target++;
    if (tcpStreamIsReadable(tp, target)) mask |= POLLIN;
    if ((shutdown & SEND_SHUTDOWN) !== 0 || skStreamIsWriteable(tp)) mask |= POLLOUT;
    else sk.nospace = true;
    if ((tp.urgData & TCP_URG_VALID) !== 0) mask |= POLLPRI;
  } else if (tp.fo !== null && tp.fo.deferConnect) mask |= POLLOUT;
  if (sk.err !== 0 || sk.errorQueue.qlen !== 0) mask |= POLLERR;
  return mask;
}

/** Linux: tcp_stream_is_readable(). */
function tcpStreamIsReadable(tp: TcpSock, target: number): boolean {
  const avail = (tp.rcvNxt - tp.copiedSeq) | 0;
  if (avail <= 0) return false;
  if (avail >= target) return true;
  const sk = tp.sk;
  // More cannot come: memory is short, the buffer is nearly full, or the window is less than a segment.
  if (tp.st.memoryPressure || sk.rmemAlloc > sk.rcvbuf - (sk.rcvbuf >> 3)) return true;
  return tcpReceiveWindow(tp) <= tp.ackRcvMss;
}
