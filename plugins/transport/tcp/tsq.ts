/**
 * How much of a connection is in the queues below it: what is more waits until a transmitted packet is freed, so that a
 * bulk transfer does not fill the qdisc for everybody (TSQ); and sending at a given rate (pacing).
 * Linux: tcp_small_queue_check(), tcp_wfree(), tcp_tasklet_func(), tcp_pacing_check(), net/ipv4/tcp_output.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as contract from "./contract.ts";
import * as output from "./output.ts";
import * as retransmit from "./retransmit.ts";
import type { TcpPacing, TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpWriteXmit } = output;
const { tcpXmitRetransmitQueue } = retransmit;
const { HrTimer, Napi } = core;
const { TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_NAGLE_OFF } =
  contract;
const { tcpMstampRefresh, tcpPacketsInFlight } = tcpSock;

/** sk_pacing_shift: about a millisecond of the rate may be below. */
const PACING_SHIFT = 10;
/** Segments that go before pacing begins. */
const PACING_MIN_SEGS = 10;
/** Lateness of a timer that is made up for, ns. */
const PACING_MAX_LATE = 10e6;

/** Bytes per second that the window gives, or the user or the control allows; 0: not known. Linux: sk_pacing_rate. */
export function tcpPacingRate(tp: TcpSock): number {
  return tp.pacingRate !== 0 ? tp.pacingRate : tp.skPacingRate;
}

/**
 * Whether `skb` must wait because enough is below. `factor`: 1 for retransmissions, which may have twice as much.
 * Linux: tcp_small_queue_check(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function tcpSmallQueueCheck(tp: TcpSock, skb: SkBuff, factor: number): boolean {
  const below = tp.sk.wmemAlloc;
  if (below <= 2 * skb.truesize) return false;
  const rate = tcpPacingRate(tp);
  let limit = tp.st.sysctl.limitOutputBytes;
  if (rate !== 0) limit = Math.min(limit, Math.max(2 * skb.truesize, rate / (1 << PACING_SHIFT)));
  if (below <= limit * (1 << factor)) return false;
  // Where hardly anything is in flight it goes: completions may be slow.
  if (tp.rtx === null || tp.rtx.length <= 1) return false;
  tp.tsqThrottled = true;
  return true;
}

/** A transmitted packet of the connection was freed. Linux: tcp_wfree(), net/ipv4/tcp_output.c. */
export function tcpWfree(tp: TcpSock): void {
  if (!tp.tsqThrottled || tp.tsqQueued) return;
  const st = tp.st;
  tp.tsqThrottled = false;
  tp.tsqQueued = true;
  if (st.tsqTail === null) st.tsqHead = tp;
  else st.tsqTail.tsqNext = tp;
  st.tsqTail = tp;
  (st.tsqNapi ?? makeNapi(st)).schedule();
}

/** In a function of its own: what makes a closure allocates a context at each call. */
function makeNapi(st: TcpState): core.Napi {
  return st.tsqNapi = new Napi(st.machine, null, (napi, budget) => tsqPoll(st, napi, budget));
}

/** Lets throttled connections go on, in softirq. Linux: tcp_tasklet_func(). */
function tsqPoll(st: TcpState, napi: core.Napi, budget: number): number {
  let work = 0;
  while (work < budget) {
    const tp = st.tsqHead;
    if (tp === null) break;
    st.tsqHead = tp.tsqNext;
    if (st.tsqHead === null) st.tsqTail = null;
    tp.tsqNext = null;
    tp.tsqQueued = false;
    work++;
    tsqWrite(tp);
  }
  if (work < budget) napi.complete(work);
  return work;
}

function maySend(state: number): boolean {
  return state === TCP_ESTABLISHED || state === TCP_FIN_WAIT1 || state === TCP_CLOSING || state === TCP_CLOSE_WAIT ||
    state === TCP_LAST_ACK;
}

/** Linux: tcp_tsq_write(). */
function tsqWrite(tp: TcpSock): void {
  if (tp.destroyed || !maySend(tp.sk.state)) return;
  if (tp.lostOut > tp.retransOut && tp.sndCwnd > tcpPacketsInFlight(tp)) {
    tcpMstampRefresh(tp);
    tcpXmitRetransmitQueue(tp);
  }
  tcpWriteXmit(tp, tp.nonagle, 0);
}

/** The timer of a paced connection, made at its first use. */
function pacingOf(tp: TcpSock): TcpPacing {
  return tp.pacing ??= { wstampNs: tp.st.machine.now, lateAt: -1, timer: new HrTimer(() => pacingTimer(tp)) };
}

/** Linux: tcp_pace_kick(), tcp_tsq_handler(). */
function pacingTimer(tp: TcpSock): void {
  tp.pacing!.lateAt = tp.st.machine.now;
  if (!tp.destroyed && tp.sk.state !== TCP_CLOSE) {
    if (maySend(tp.sk.state)) tsqWrite(tp);
    else tcpWriteXmit(tp, TCP_NAGLE_OFF, 0);
  }
}

/** Whether the rate says: later; its timer is armed then. Linux: tcp_pacing_check(). */
export function tcpPacingCheck(tp: TcpSock): boolean {
  const pacing = tp.pacing;
  if (pacing === null || pacing.wstampNs <= tp.st.machine.now) return false;
  if (!pacing.timer.pending) tp.st.machine.hrtimers.start(pacing.timer, pacing.wstampNs);
  return true;
}

/**
 * A segment of `len` bytes was sent: when the next may follow. Linux: tcp_update_skb_after_send().
 *
 * Timers of a host's event loop come a millisecond or more after their time, where the kernel's are exact: what was due
 * meanwhile goes at once, or a segment per millisecond would be the highest rate.
 */
export function tcpPacingSent(tp: TcpSock, len: number): void {
  const pacing = pacingOf(tp);
  const now = tp.st.machine.now;
  const prior = pacing.wstampNs;
  // The timer is due, and something else came first.
  if (pacing.timer.pending && pacing.timer.expires <= now) pacing.lateAt = now;
  const from = pacing.lateAt === now ? now - PACING_MAX_LATE : now;
  if (pacing.wstampNs < from) pacing.wstampNs = from;
  if (tp.dataSegsOut < PACING_MIN_SEGS) return;
  const ns = len * 1e9 / tp.pacingRate;
  // Time that passed unused is given back, half of the gap at most.
  pacing.wstampNs += ns - Math.min(ns / 2, pacing.wstampNs - prior);
}

/** Jiffies until the rate lets something go: timers of retransmission wait for it. Linux: tcp_pacing_delay(). */
export function tcpPacingDelay(tp: TcpSock): number {
  const pacing = tp.pacing;
  if (pacing === null) return 0;
  const ns = pacing.wstampNs - tp.st.machine.now;
  return ns > 0 ? Math.ceil(ns / 1e6) : 0;
}

/** The connection ends: nothing goes on later. */
export function tcpPacingStop(tp: TcpSock): void {
  if (tp.pacing !== null) tp.st.machine.hrtimers.cancel(tp.pacing.timer);
}
