/**
 * Timers of a connection: retransmission, zero-window probe, tail loss probe, reordering; delayed ACK; keepalive.
 * RFC 6298, RFC 8985 section 7, RFC 9293 sections 3.8.3, 3.8.4, 3.8.6.1, RFC 5482. Linux: net/ipv4/tcp_timer.c,
 * inet_csk_reset_xmit_timer().
 *
 * `icskPending` says what the retransmission timer is for and `icskTimeout` when. The wheel is only told of what is
 * earlier: a timer that fires too soon looks at `icskTimeout` and goes on. So that arming for each segment costs nothing.
 */
import * as core from "../../../core/mod.ts";
import * as ack from "./ack.ts";
import * as ackSend from "./ack_send.ts";
import * as contract from "./contract.ts";
import * as fastopen from "./fastopen.ts";
import * as fastopenClient from "./fastopen_client.ts";
import * as input from "./input.ts";
import * as memory from "./memory.ts";
import * as mss from "./mss.ts";
import * as output from "./output.ts";
import * as rack from "./rack.ts";
import * as recovery from "./recovery.ts";
import * as retransmit from "./retransmit.ts";
import * as rtt from "./rtt.ts";
import * as socket from "./socket.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as timewait from "./timewait.ts";
import * as tsq from "./tsq.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpRearmRto } = ack;
const { tcpSackCompressSendAck } = ackSend;
const { tcpFastopenSynackTimer } = fastopen;
const { tcpFastopenActiveDisable } = fastopenClient;
const { tcpDoneWithError } = input;
const { tcpCheckOom } = memory;
const { tcpCurrentMss, tcpMssToMtu, tcpMtup, tcpMtuToMss, tcpSyncMss } = mss;
const { tcpSendAck, tcpSendActiveReset, tcpSendProbe0, tcpSndWndTest, tcpWriteWakeup, tcpWriteXmitMss } = output;
const { tcpRackReoTimeout } = rack;
const { tcpEnterLoss } = recovery;
const { __tcpRetransmitSkb, tcpFragment, tcpRetransmitSkb } = retransmit;
const { tcpBoundRto, tcpSetRto } = rtt;
const { tcpDone } = socket;
const { tcpRtoMinUs } = routeMetrics;
const { tcpTimeWait } = timewait;
const { tcpPacingDelay, tcpPacingStop } = tsq;
const { ERRNO, Timer } = core;
const {
  TCP_CA_CWR,
  TCP_CA_DISORDER,
  TCP_CA_LOSS,
  TCP_CA_OPEN,
  TCP_CA_RECOVERY,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT2,
  TCP_LISTEN,
  TCP_NAGLE_OFF,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
} = contract;
const {
  CB_MSTAMP,
  CB_PCOUNT,
  ICSK_ACK_SCHED,
  ICSK_ACK_TIMER,
  ICSK_TIME_LOSS_PROBE,
  ICSK_TIME_NONE,
  ICSK_TIME_PROBE0,
  ICSK_TIME_REO_TIMEOUT,
  ICSK_TIME_RETRANS,
  TCP_ATO_MIN,
  TCP_INFINITE_SSTHRESH,
  TCP_RTO_MIN,
  TCP_TIMEOUT_INIT,
  TCP_TIMEWAIT_LEN,
  tcpMstampRefresh,
  tcpTimeStampMs,
} = tcpSock;

/** Jiffies between tries while a queue of ours is full. Linux: TCP_RESOURCE_PROBE_INTERVAL. */
const TCP_RESOURCE_PROBE_INTERVAL = 500;
/** Linux: TCP_TIMEOUT_MIN_US. */
const TCP_TIMEOUT_MIN_US = 2000;
/** Retransmissions that stay linear where few segments are in flight. Linux: TCP_THIN_LINEAR_RETRIES. */
const TCP_THIN_LINEAR_RETRIES = 6;
/** Retransmissions of who is closed and is answered still. */
const ORPHAN_RETRIES = 8;
/** net.ipv4.tcp_mtu_probe_floor. */
const MTU_PROBE_FLOOR = 48;

// ---- arming

/** Arms the timer for `what` in `when` jiffies. Linux: tcp_reset_xmit_timer(), inet_csk_reset_xmit_timer(). */
export function tcpResetXmitTimer(tp: TcpSock, what: number, when: number): void {
  const machine = tp.st.machine;
  if (tp.pacing !== null) when += tcpPacingDelay(tp);
  const most = tp.opt.rtoMax;
  if (when > most) when = most;
  else if (when < 1) when = 1;
  const at = (machine.jiffies + when) | 0;
  tp.icskPending = what;
  tp.icskTimeout = at;
  const timer = tp.retransmitTimer;
  if (!timer.pending || ((timer.expires - at) | 0) > 0) machine.modTimer(timer, when);
}

/** Nothing to wait for. The wheel is not told: its timer finds nothing. Linux: inet_csk_clear_xmit_timer(). */
export function tcpClearXmitTimer(tp: TcpSock): void {
  tp.icskPending = ICSK_TIME_NONE;
}

/** The connection ends: no timer fires any more. Linux: tcp_clear_xmit_timers(). */
export function tcpClearXmitTimers(tp: TcpSock): void {
  const machine = tp.st.machine;
  tp.icskPending = ICSK_TIME_NONE;
  tp.ackPending = 0;
  machine.delTimer(tp.retransmitTimer);
  if (tp.delackTimer !== null) machine.delTimer(tp.delackTimer);
  tcpDeleteKeepaliveTimer(tp);
  tcpPacingStop(tp);
  if (tp.compressedAckTimer !== null) machine.hrtimers.cancel(tp.compressedAckTimer);
}

/** Arms the keepalive timer. It keeps nothing awake by itself. Linux: tcp_reset_keepalive_timer(). */
export function tcpResetKeepaliveTimer(tp: TcpSock, len: number): void {
  tp.st.machine.modTimer(tp.keepaliveTimer ?? makeKeepalive(tp), len);
}

function makeKeepalive(tp: TcpSock): core.Timer {
  return tp.keepaliveTimer = new Timer(onKeepaliveTimer, true, tp);
}

function onKeepaliveTimer(timer: core.Timer): void {
  tcpKeepaliveTimer(timer.owner as TcpSock);
}

/** Disarms it. Linux: tcp_delete_keepalive_timer(). */
export function tcpDeleteKeepaliveTimer(tp: TcpSock): void {
  if (tp.keepaliveTimer !== null) tp.st.machine.delTimer(tp.keepaliveTimer);
}

/** SO_KEEPALIVE was set or cleared; one that runs already goes on. Linux: tcp_set_keepalive(). */
export function tcpSetKeepalive(tp: TcpSock, on: boolean): void {
  const state = tp.sk.state;
  if (state === TCP_CLOSE || state === TCP_LISTEN) return;
  if (!on) tcpDeleteKeepaliveTimer(tp);
  else if (tp.keepaliveTimer === null || !tp.keepaliveTimer.pending) tcpResetKeepaliveTimer(tp, tp.opt.keepaliveTime);
}

// ---- delayed ACK

/** The timer of the delayed ACK, made at its first use. */
export function tcpDelackTimerOf(tp: TcpSock): core.Timer {
  return tp.delackTimer ??= new Timer(onDelackTimer, false, tp);
}

function onDelackTimer(timer: core.Timer): void {
  tcpDelackTimer(timer.owner as TcpSock);
}

/** The delayed ACK is due. Linux: tcp_delack_timer_handler(), net/ipv4/tcp_timer.c. */
export function tcpDelackTimer(tp: TcpSock): void {
  const state = tp.sk.state;
  if (tp.destroyed || state === TCP_CLOSE || state === TCP_LISTEN) return;
  const machine = tp.st.machine;
  if (tp.compressedAck !== 0) {
    tcpMstampRefresh(tp);
    tcpSackCompressSendAck(tp);
    return;
  }
  if ((tp.ackPending & ICSK_ACK_TIMER) === 0) return;
  const left = (tp.ackTimeout - machine.jiffies) | 0;
  if (left > 0) {
    machine.modTimer(tcpDelackTimerOf(tp), left);
    return;
  }
  tp.ackPending &= ~ICSK_ACK_TIMER;
  if ((tp.ackPending & ICSK_ACK_SCHED) === 0) return;
  // The answer that the ACK waited for did not come.
  if (tp.ackPingpong === 0) tp.ackAto = Math.min(tp.ackAto << 1, tp.icskRto);
  else {
    tp.ackPingpong = 0;
    tp.ackAto = TCP_ATO_MIN;
  }
  tcpMstampRefresh(tp);
  tcpSendAck(tp);
  tp.st.mib.tcpExt.DelayedACKs++;
}

// ---- retransmission timer

/** The timer fired. Linux: tcp_write_timer_handler(), net/ipv4/tcp_timer.c. */
export function tcpWriteTimer(tp: TcpSock): void {
  const state = tp.sk.state;
  const what = tp.icskPending;
  if (tp.destroyed || what === ICSK_TIME_NONE || state === TCP_CLOSE || state === TCP_LISTEN) return;
  const machine = tp.st.machine;
  const left = (tp.icskTimeout - machine.jiffies) | 0;
  if (left > 0) {
    machine.modTimer(tp.retransmitTimer, left);
    return;
  }
  tcpMstampRefresh(tp);
  if (what === ICSK_TIME_RETRANS) {
    tp.icskPending = ICSK_TIME_NONE;
    tcpRetransmitTimer(tp);
  } else if (what === ICSK_TIME_LOSS_PROBE) tcpSendLossProbe(tp);
  else if (what === ICSK_TIME_REO_TIMEOUT) tcpRackReoTimeout(tp);
  else if (what === ICSK_TIME_PROBE0) {
    tp.icskPending = ICSK_TIME_NONE;
    tcpProbeTimer(tp);
  }
}

/** Nobody answers. Linux: tcp_write_err(). */
export function tcpWriteErr(tp: TcpSock): void {
  tcpDoneWithError(tp, tp.sk.errSoft !== 0 ? tp.sk.errSoft : ERRNO.ETIMEDOUT);
  tp.st.mib.tcpExt.TCPAbortOnTimeout++;
}

/** The RTO, or what is left of TCP_USER_TIMEOUT. Linux: tcp_clamp_rto_to_user_timeout(). */
function clampRtoToUserTimeout(tp: TcpSock): number {
  const user = tp.opt.userTimeout;
  if (user === 0) return tp.icskRto;
  const left = user - ((tcpTimeStampMs(tp.st.machine) - tp.retransStamp) | 0);
  return left <= 0 ? 1 : Math.min(tp.icskRto, left);
}

/** Jiffies that `boundary` retransmissions take where the RTO begins at `base`. Linux: tcp_model_timeout(). */
function modelTimeout(tp: TcpSock, boundary: number, base: number): number {
  const most = tp.opt.rtoMax;
  const linear = 31 - Math.clz32(Math.floor(most / base));
  if (boundary <= linear) return (2 * 2 ** boundary - 1) * base;
  return (2 * 2 ** linear - 1) * base + (boundary - linear) * most;
}

/**
 * Whether as much time passed as `boundary` retransmissions take, or `timeout` jiffies where that is not 0: by the clock, so
 * that a short RTO does not end a connection early. RFC 1122 section 4.2.3.5. Linux: retransmits_timed_out().
 */
function retransmitsTimedOut(tp: TcpSock, boundary: number, timeout: number): boolean {
  if (tp.icskRetransmits === 0) return false;
  if (timeout === 0) {
    const state = tp.sk.state;
    const syn = state === TCP_SYN_SENT || state === TCP_SYN_RECV;
    timeout = modelTimeout(tp, boundary, syn ? TCP_TIMEOUT_INIT : TCP_RTO_MIN);
  }
  return ((tcpTimeStampMs(tp.st.machine) - tp.retransStamp) | 0) >= timeout;
}

/** How often a socket that nobody owns tries. Linux: tcp_orphan_retries(). */
function orphanRetries(tp: TcpSock, alive: boolean): number {
  let retries = tp.st.sysctl.orphanRetries;
  if (tp.sk.errSoft !== 0 && !alive) retries = 0;
  return retries === 0 && alive ? ORPHAN_RETRIES : retries;
}

/** True: there are too many sockets that nobody owns, and this one ended. Linux: tcp_out_of_resources(). */
function outOfResources(tp: TcpSock, doReset: boolean): boolean {
  const st = tp.st;
  const silent = (st.machine.jiffies - tp.lsndtime) | 0;
  let shift = 0;
  if (silent > 2 * tp.opt.rtoMax || !doReset) shift++;
  if (tp.sk.errSoft !== 0) shift++;
  if (!tcpCheckOom(tp, shift)) return false;
  if (silent <= TCP_TIMEWAIT_LEN || (tp.sndWnd === 0 && tp.packetsOut === 0)) doReset = true;
  if (doReset) tcpSendActiveReset(tp);
  tcpDone(tp);
  st.mib.tcpExt.TCPAbortOnMemory++;
  return true;
}

/** The route may be a bad one: look for another. Linux: __dst_negative_advice(), __sk_dst_reset(). */
function dstReset(tp: TcpSock): void {
  tp.sk.dst = null;
}

/** Retransmissions fail: perhaps the path lost the ability to carry large packets. RFC 4821. Linux: tcp_mtu_probing(). */
function mtuProbing(tp: TcpSock): void {
  const s = tp.st.sysctl;
  if (s.mtuProbing === 0) return;
  const mtup = tcpMtup(tp);
  if (!mtup.enabled) {
    mtup.enabled = true;
    mtup.probeTimestamp = tp.st.machine.jiffies;
  } else {
    const mss = Math.min(s.baseMss, tcpMtuToMss(tp, mtup.searchLow) >> 1);
    mtup.searchLow = tcpMssToMtu(tp, Math.max(mss, MTU_PROBE_FLOOR, s.minSndMss));
  }
  tcpSyncMss(tp, tp.pmtuCookie);
}

/** True: it took too long, the connection ended. Linux: tcp_write_timeout(), net/ipv4/tcp_timer.c. */
function tcpWriteTimeout(tp: TcpSock): boolean {
  const s = tp.st.sysctl;
  const state = tp.sk.state;
  let expired = false;
  let retries: number;
  if (state === TCP_SYN_SENT || state === TCP_SYN_RECV) {
    if (tp.icskRetransmits !== 0) dstReset(tp);
    retries = tp.opt.synRetries;
    expired = tp.icskRetransmits >= retries + (state === TCP_SYN_SENT ? s.linearTimeouts : 0);
  } else {
    if (retransmitsTimedOut(tp, s.retries1, 0)) {
      mtuProbing(tp);
      dstReset(tp);
    }
    retries = s.retries2;
    if (tp.sk.dead) {
      const alive = tp.icskRto < tp.opt.rtoMax;
      retries = orphanRetries(tp, alive);
      if (outOfResources(tp, alive || !retransmitsTimedOut(tp, retries, 0))) return true;
    }
  }
  if (!expired) expired = retransmitsTimedOut(tp, retries, tp.opt.userTimeout);
  const fo = tp.fo;
  if (fo !== null && (fo.synFastopen || fo.synData || fo.synDataAcked)) {
    const n = tp.icskRetransmits;
    if (n === 2 || (n < 2 && expired)) tcpFastopenActiveDisable(tp);
  }
  if (expired) tcpWriteErr(tp);
  return expired;
}

/** The peer took its window back: retransmissions are probes, and it has twice the longest RTO. Linux: tcp_rtx_probe0_timed_out(). */
function rtxProbe0TimedOut(tp: TcpSock, age: number): boolean {
  const user = tp.opt.userTimeout;
  let timeout = 2 * tp.opt.rtoMax;
  if (user !== 0) {
    if (age > user) return true;
    timeout = Math.min(timeout, user);
  }
  return ((tp.icskTimeout - tp.rcvTstamp) | 0) > timeout && age > timeout;
}

/** A timeout that is the first in a row: in what state it met us. */
function countFirstTimeout(tp: TcpSock): void {
  const ext = tp.st.mib.tcpExt;
  const state = tp.icskCaState;
  if (state === TCP_CA_RECOVERY) {
    if (tp.sackOk) ext.TCPSackRecoveryFail++;
    else ext.TCPRenoRecoveryFail++;
  } else if (state === TCP_CA_LOSS) ext.TCPLossFailures++;
  else if (state === TCP_CA_DISORDER || tp.sackedOut !== 0) {
    if (tp.sackOk) ext.TCPSackFailures++;
    else ext.TCPRenoFailures++;
  }
}

/**
 * No ACK came for an RTO: all that is in flight is lost; the first segment goes again, and the RTO doubles. RFC 6298
 * section 5. Linux: tcp_retransmit_timer(), net/ipv4/tcp_timer.c.
 */
export function tcpRetransmitTimer(tp: TcpSock): void {
  const st = tp.st;
  const sk = tp.sk;
  const state = sk.state;
  const head = tp.rtx === null ? null : tp.rtx.head;
  if (tp.fastopenRsk !== null) {
    // Nothing else goes again before the handshake is complete.
    tcpFastopenSynackTimer(tp);
    return;
  }
  if (tp.packetsOut === 0 || head === null) return;
  if (tp.sndWnd === 0 && !sk.dead && state !== TCP_SYN_SENT && state !== TCP_SYN_RECV) {
    const sent = head.cb[st.cb + CB_MSTAMP];
    const age = tp.retransStamp !== 0
      ? (tcpTimeStampMs(st.machine) - tp.retransStamp) | 0
      : Math.floor(((tp.tcpMstamp - sent) | 0) / 1000);
    if (rtxProbe0TimedOut(tp, age)) {
      tcpWriteErr(tp);
      return;
    }
    tcpEnterLoss(tp);
    tcpRetransmitSkb(tp, head, 1);
    dstReset(tp);
    backOff(tp);
    return;
  }
  st.mib.tcpExt.TCPTimeouts++;
  if (tcpWriteTimeout(tp)) return;
  if (tp.icskRetransmits === 0) countFirstTimeout(tp);
  tcpEnterLoss(tp);
  if (tp.icskRetransmits === 0) {
    tp.totalRtoRecoveries++;
    tp.rtoStamp = tcpTimeStampMs(st.machine) || 1;
  }
  tp.icskRetransmits++;
  tp.totalRto++;
  const first = tp.rtx === null ? null : tp.rtx.head;
  if (first !== null && tcpRetransmitSkb(tp, first, 1) > 0) {
    // A queue of ours is full: no reason to back off.
    tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, TCP_RESOURCE_PROBE_INTERVAL);
    return;
  }
  backOff(tp);
}

/** Few are in flight, and slow start is over: duplicate ACKs will not come. Linux: tcp_stream_is_thin(). */
function streamIsThin(tp: TcpSock): boolean {
  return tp.packetsOut < 4 && tp.sndSsthresh < TCP_INFINITE_SSTHRESH;
}

/** The next timeout. Linux: the out_reset_timer part of tcp_retransmit_timer(). */
function backOff(tp: TcpSock): void {
  const s = tp.st.sysctl;
  const state = tp.sk.state;
  if (
    state === TCP_ESTABLISHED && (tp.opt.thinLto || s.thinLinearTimeouts !== 0) && streamIsThin(tp) &&
    tp.icskRetransmits <= TCP_THIN_LINEAR_RETRIES
  ) {
    tp.icskBackoff = 0;
    tcpSetRto(tp);
  } else if (state !== TCP_SYN_SENT || tp.totalRto > s.linearTimeouts) {
    tp.icskBackoff++;
    tp.icskRto *= 2;
    tcpBoundRto(tp);
  }
  tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, clampRtoToUserTimeout(tp));
  if (retransmitsTimedOut(tp, s.retries1 + 1, 0)) dstReset(tp);
}

// ---- tail loss probe

/** Microseconds until the first in flight has waited for an RTO. Linux: tcp_rto_delta_us(). */
function rtoDeltaUs(tp: TcpSock): number {
  const head = tp.rtx === null ? null : tp.rtx.head;
  const rto = tp.icskRto * 1000;
  if (head === null) return rto;
  return rto - ((tp.tcpMstamp - head.cb[tp.st.cb + CB_MSTAMP]) | 0);
}

/**
 * Arms the probe that finds the loss of the last segments without waiting for the RTO; true: it is armed. `advancingRto`:
 * the RTO counts from now. RFC 8985 section 7.2. Linux: tcp_schedule_loss_probe(), net/ipv4/tcp_output.c.
 */
export function tcpScheduleLossProbe(tp: TcpSock, advancingRto: boolean): boolean {
  const state = tp.icskCaState;
  if (tp.packetsOut === 0 || !tp.sackOk || (state !== TCP_CA_OPEN && state !== TCP_CA_CWR)) return false;
  if (tp.fastopenRsk !== null) return false;
  const s = tp.st.sysctl;
  if (s.earlyRetrans !== 3 && s.earlyRetrans !== 4) return false;
  let timeout = TCP_TIMEOUT_INIT;
  if (tp.srttUs !== 0) {
    // With one in flight the peer may delay its ACK.
    const us = (tp.srttUs >>> 2) + (tp.packetsOut === 1 ? tcpRtoMinUs(tp) : TCP_TIMEOUT_MIN_US);
    timeout = ((us + 999) / 1000) | 0;
  }
  const rtoUs = advancingRto ? tp.icskRto * 1000 : rtoDeltaUs(tp);
  if (rtoUs > 0) {
    const rto = ((rtoUs + 999) / 1000) | 0;
    if (rto < timeout) timeout = rto;
  }
  tcpResetXmitTimer(tp, ICSK_TIME_LOSS_PROBE, timeout);
  return true;
}

/**
 * Sends new data, or the last segment again: its ACK shows what is missing. RFC 8985 section 7.3. Linux:
 * tcp_send_loss_probe(), net/ipv4/tcp_output.c.
 */
export function tcpSendLossProbe(tp: TcpSock): void {
  if (tp.tlpHighSeq === 0) {
    tp.tlpRetrans = false;
    const what = sendProbe(tp, tcpCurrentMss(tp));
    if (what < 0) return;
    if (what > 0) {
      // Where 0 means none, the one before stands for it.
      tp.tlpHighSeq = tp.sndNxt || -1;
      tp.st.mib.tcpExt.TCPLossProbes++;
      // Or tcpRearmRto() would count from the last transmission.
      tp.icskPending = ICSK_TIME_NONE;
    }
  }
  tcpRearmRto(tp);
}

/** 1: a probe was sent, 0: none could be, -1: nothing is in flight. */
function sendProbe(tp: TcpSock, mss: number): number {
  const c = tp.st.cb;
  const next = tp.writeHead;
  if (next !== null && tcpSndWndTest(tp, next, mss)) {
    const before = tp.packetsOut;
    tcpWriteXmitMss(tp, mss, TCP_NAGLE_OFF, 2);
    return tp.packetsOut > before ? 1 : 0;
  }
  const rtx = tp.rtx;
  let skb = rtx === null ? null : rtx.tail;
  if (skb === null) {
    tp.icskPending = ICSK_TIME_NONE;
    return -1;
  }
  const pcount = skb.cb[c + CB_PCOUNT];
  if (pcount > 1 && skb.len > (pcount - 1) * mss) {
    if (tcpFragment(tp, "rtx", skb, (pcount - 1) * mss, mss) !== 0) return 0;
    skb = rtx!.tail!;
  }
  if (__tcpRetransmitSkb(tp, skb, 1) !== 0) return 0;
  tp.tlpRetrans = true;
  return 1;
}

// ---- zero window

/** Jiffies until the first probe. Linux: tcp_probe0_base(). */
export function tcpProbe0Base(tp: TcpSock): number {
  return Math.max(tp.icskRto, TCP_RTO_MIN);
}

/** Jiffies until the next. Linux: tcp_probe0_when(). */
export function tcpProbe0When(tp: TcpSock): number {
  const most = 31 - Math.clz32(Math.floor(tp.opt.rtoMax / TCP_RTO_MIN)) + 1;
  return Math.min(tcpProbe0Base(tp) * 2 ** Math.min(most, tp.icskBackoff), tp.opt.rtoMax);
}

/** `when`, or what is left of TCP_USER_TIMEOUT. Linux: tcp_clamp_probe0_to_user_timeout(). */
export function tcpClampProbe0ToUserTimeout(tp: TcpSock, when: number): number {
  const user = tp.opt.userTimeout;
  if (user === 0 || tp.icskProbesTstamp === 0) return when;
  const elapsed = Math.max(0, (tp.st.machine.jiffies - tp.icskProbesTstamp) | 0);
  return Math.min(Math.max(user - elapsed, 2), when);
}

/** The window is closed, and data waits. RFC 9293 section 3.8.6.1. Linux: tcp_probe_timer(), net/ipv4/tcp_timer.c. */
export function tcpProbeTimer(tp: TcpSock): void {
  const now = tp.st.machine.jiffies;
  if (tp.packetsOut !== 0 || tp.writeHead === null) {
    tp.icskProbesOut = 0;
    tp.icskProbesTstamp = 0;
    return;
  }
  if (tp.icskProbesTstamp === 0) tp.icskProbesTstamp = now || 1;
  else if (tp.opt.userTimeout !== 0 && ((now - tp.icskProbesTstamp) | 0) >= tp.opt.userTimeout) {
    tcpWriteErr(tp);
    return;
  }
  let most = tp.st.sysctl.retries2;
  if (tp.sk.dead) {
    const alive = tp.icskRto * 2 ** tp.icskBackoff < tp.opt.rtoMax;
    most = orphanRetries(tp, alive);
    if (!alive && tp.icskBackoff >= most) {
      tcpWriteErr(tp);
      return;
    }
    if (outOfResources(tp, true)) return;
  }
  if (tp.icskProbesOut >= most) tcpWriteErr(tp);
  else tcpSendProbe0(tp);
}

// ---- keepalive

/** Jiffies since anything came. Linux: keepalive_time_elapsed(). */
function keepaliveElapsed(tp: TcpSock): number {
  const now = tp.st.machine.jiffies;
  return Math.min((now - tp.ackLrcvtime) >>> 0, (now - tp.rcvTstamp) >>> 0);
}

/** How long an orphan may be in FIN-WAIT-2. Linux: tcp_fin_time(). */
function finTime(tp: TcpSock): number {
  const rto = tp.icskRto;
  return Math.max(tp.opt.linger2 !== 0 ? tp.opt.linger2 : tp.st.sysctl.finTimeout, (rto << 2) - (rto >> 1));
}

/**
 * An orphan in FIN-WAIT-2 waited long enough; or an idle connection asks whether the peer is there. RFC 9293 section 3.8.4.
 * Linux: tcp_keepalive_timer(), net/ipv4/tcp_timer.c.
 */
export function tcpKeepaliveTimer(tp: TcpSock): void {
  const sk = tp.sk;
  const state = sk.state;
  if (tp.destroyed || state === TCP_LISTEN) return;
  tcpMstampRefresh(tp);
  if (state === TCP_FIN_WAIT2 && sk.dead) {
    const left = tp.opt.linger2 < 0 ? 0 : finTime(tp) - TCP_TIMEWAIT_LEN;
    if (left > 0) {
      tcpTimeWait(tp, TCP_FIN_WAIT2, left);
      return;
    }
    tcpSendActiveReset(tp);
    tcpDone(tp);
    return;
  }
  if (!sk.keepopen || state === TCP_CLOSE || state === TCP_SYN_SENT) return;
  const time = tp.opt.keepaliveTime;
  if (tp.packetsOut !== 0 || tp.writeHead !== null) {
    tcpResetKeepaliveTimer(tp, time);
    return;
  }
  const idle = keepaliveElapsed(tp);
  if (idle < time) tcpResetKeepaliveTimer(tp, time - idle);
  else keepaliveProbe(tp, idle);
}

function keepaliveProbe(tp: TcpSock, idle: number): void {
  const user = tp.opt.userTimeout;
  const over = user !== 0
    ? idle >= user && tp.icskProbesOut > 0
    : tp.icskProbesOut >= (tp.opt.keepaliveProbes || tp.st.sysctl.keepaliveProbes);
  if (over) {
    tcpSendActiveReset(tp);
    tcpWriteErr(tp);
    return;
  }
  let next = TCP_RESOURCE_PROBE_INTERVAL;
  if (tcpWriteWakeup(tp, "TCPKeepAlive") <= 0) {
    tp.icskProbesOut++;
    next = tp.opt.keepaliveIntvl;
  }
  tcpResetKeepaliveTimer(tp, next);
}
