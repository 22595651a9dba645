/**
 * Congestion controls of a net by name, and what a connection tells its own. Linux: net/ipv4/tcp_cong.c.
 */
import * as core from "../../../core/mod.ts";
import {
  CA_EVENT_LOSS,
  TCP_CA_CWR,
  TCP_CA_RECOVERY,
  type TcpCongestionInit,
  type TcpCongestionOps,
} from "./contract.ts";
import type { RateSample, TcpCongestionSock } from "./contract.ts";
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import * as renoCc from "./reno.ts";
import * as recovery from "./recovery.ts";
import * as routeMetrics from "./route_metrics.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

export {
  tcpCongAvoidAi,
  tcpInSlowStart,
  tcpIsCwndLimited,
  tcpRenoCongAvoid,
  tcpRenoSsthresh,
  tcpRenoUndoCwnd,
  tcpSlowStart,
} from "./reno.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpCwndReduction } = recovery;
const { tcpCaDstLocked } = routeMetrics;
const { ERRNO, G_SOCK } = core;
const { FLAG_DATA_ACKED, FLAG_FORWARD_PROGRESS } = ackState;
const { nothing, reno, tcpRenoSsthresh } = renoCc;
const CWR = TCP_CA_CWR;
const RECOVERY = TCP_CA_RECOVERY;

/** Largest window that a control may ask for, packets. */
const MAX_CWND = 0x3fffffff;
const INET_ECN_MASK = 3;
const INET_ECN_ECT_0 = 2;

/**
 * Registers a control; what it leaves out is Reno's. The same name again takes the place of the old one, in connections
 * that live too: the record is overwritten in place, their private state is made anew at the next change of control.
 * The function that is returned undoes it. Linux: tcp_register_congestion_control().
 */
export function tcpRegisterCc(st: TcpState, init: TcpCongestionInit): () => void {
  const name = init.name;
  if (typeof name !== "string" || name === "" || name.length > 15) {
    throw new TypeError("Cannot register a congestion control: its name has 1 to 15 characters");
  }
  const ops = guarded(st, init);
  let layers = st.congestionLayers.get(name);
  if (layers === undefined) st.congestionLayers.set(name, layers = []);
  layers.push(ops);
  const known = st.congestion.get(name) ?? st.congestionGone.get(name);
  if (known === undefined) st.congestion.set(name, { ...ops });
  else {
    Object.assign(known, ops);
    st.congestion.set(name, known);
    st.congestionGone.delete(name);
    if (st.congestionWanted === known) st.defaultCongestion = known;
  }
  return () => unregister(st, ops, layers);
}

/**
 * What was registered before takes its place again; connections that used it alone go on with Reno, until the name comes
 * back: a swap takes the old plugin off before it puts the new one on.
 */
function unregister(st: TcpState, ops: TcpCa, layers: TcpCa[]): void {
  const at = layers.indexOf(ops);
  const record = st.congestion.get(ops.name);
  if (at < 0 || record === undefined) return;
  layers.splice(at, 1);
  const below = layers.length === 0 ? null : layers[layers.length - 1];
  if (below !== null) Object.assign(record, below);
  else if (ops.name === "reno") Object.assign(record, reno, { self: reno });
  else {
    Object.assign(record, reno, { name: ops.name, self: reno });
    st.congestion.delete(ops.name);
    st.congestionGone.set(ops.name, record);
    st.congestionLayers.delete(ops.name);
    if (st.defaultCongestion === record) st.defaultCongestion = st.congestion.get("reno")!;
  }
}

/** A control as connections have it: of one shape. What an ACK calls are the control's own functions. */
export interface TcpCa extends TcpCongestionOps {
  /** What they find as `this`. */
  readonly self: TcpCongestionInit;
}

/**
 * A full record of one shape. What a user's control throws is recorded, and Reno's answer is taken; what it sets is kept
 * in range: the packet path neither throws nor computes with a window that is no number. What is called for each ACK is
 * guarded where it is called: a closure around each function would cost more than the function.
 */
function guarded(st: TcpState, init: TcpCongestionInit): TcpCa {
  const fail = (error: unknown): void => st.machine.fault(`the congestion control ${init.name}`, error);
  const quiet =
    (fn: ((tp: TcpCongestionSock, a: number) => void) | undefined) => (tp: TcpCongestionSock, a: number = 0): void => {
      if (fn === undefined) return;
      try {
        fn.call(init, tp, a);
      } catch (error) {
        fail(error);
      }
    };
  const value =
    (fn: (tp: TcpCongestionSock) => number, other: (tp: TcpCongestionSock) => number) =>
    (tp: TcpCongestionSock): number => {
      try {
        return inRange(fn.call(init, tp), 2);
      } catch (error) {
        fail(error);
        return other(tp);
      }
    };
  const control = init.congControl ?? null;
  return {
    name: init.name,
    needsEcn: init.needsEcn ?? false,
    init: quiet(init.init),
    release: quiet(init.release),
    ssthresh: value(init.ssthresh ?? tcpRenoSsthresh, tcpRenoSsthresh),
    congAvoid: init.congAvoid ?? reno.congAvoid,
    setState: quiet(init.setState),
    cwndEvent: init.cwndEvent ?? nothing,
    inAckEvent: init.inAckEvent ?? nothing,
    pktsAcked: init.pktsAcked ?? nothing,
    undoCwnd: value(init.undoCwnd ?? reno.undoCwnd, reno.undoCwnd),
    congControl: control === null ? null : (tp, ack, flag, rs) => {
      try {
        control.call(init, tp, ack, flag, rs);
      } catch (error) {
        fail(error);
      }
      tp.sndCwnd = inRange(tp.sndCwnd, 1);
    },
    self: init,
  };
}

/** It threw. */
function caFailed(tp: TcpSock, error: unknown): void {
  tp.st.machine.fault(`the congestion control ${tp.icskCaOps.name}`, error);
}

function inRange(n: number, least: number): number {
  return n >= least ? Math.min(Math.trunc(n), MAX_CWND) : least;
}

/** A connection begins to use its control. Linux: tcp_init_congestion_control(). */
export function tcpCongInit(tp: TcpSock): void {
  const ops = tp.icskCaOps;
  tp.priorSsthresh = 0;
  tp.icskCaPriv = null;
  ops.init(tp);
  tp.sk.tos = (tp.sk.tos & ~INET_ECN_MASK) | (ops.needsEcn ? INET_ECN_ECT_0 : 0);
  tp.caInitialized = true;
}

/**
 * A child of a listener: its control is the listener's where that one was chosen by its user, else the default.
 * Linux: tcp_ca_openreq_child().
 */
export function tcpCongInherit(child: TcpSock, listener: TcpSock): void {
  child.caChosen = listener.caChosen;
  child.icskCaOps = listener.caChosen ? listener.icskCaOps : listener.st.defaultCongestion;
}

/** The connection ends. Linux: tcp_cleanup_congestion_control(). */
export function tcpCleanupCongestionControl(tp: TcpSock): void {
  if (tp.caInitialized) tp.icskCaOps.release(tp);
  tp.caInitialized = false;
  tp.icskCaPriv = null;
}

/**
 * TCP_CONGESTION: chooses a control by name. 0, or -ENOENT. One that is in use already is not started anew.
 * Linux: tcp_set_congestion_control(), tcp_reinit_congestion_control().
 */
export function tcpSetCongestionControl(tp: TcpSock, name: string): number {
  const ops = tp.st.congestion.get(name);
  if (tcpCaDstLocked(tp)) return -ERRNO.EPERM;
  if (ops === undefined) return -ERRNO.ENOENT;
  tp.caChosen = true;
  if (ops === tp.icskCaOps) return 0;
  const started = tp.caInitialized;
  tcpCleanupCongestionControl(tp);
  tp.icskCaOps = ops;
  // Who is paced goes on to be, by the rate that the window gives. Linux: sk_pacing_status is never taken back.
  if (tp.pacingRate !== 0) tp.sk.pacing = true;
  if (started) tcpCongInit(tp);
  return 0;
}

/** net.ipv4.tcp_congestion_control: that of new connections. False: no such one. */
export function tcpSetDefaultCongestionControl(st: TcpState, name: string): boolean {
  const ops = st.congestion.get(name);
  if (ops === undefined) return false;
  st.defaultCongestion = st.congestionWanted = ops;
  return true;
}

/** Names, the default first. Linux: tcp_get_available_congestion_control(). */
export function tcpCongestionControls(st: TcpState): string[] {
  const first = st.defaultCongestion.name;
  return [first, ...[...st.congestion.keys()].filter((name) => name !== first)];
}

/** The congestion state changes. Linux: tcp_set_ca_state(). */
export function tcpSetCaState(tp: TcpSock, state: number): void {
  const st = tp.st;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.congStateSet, null, tp.icskCaState, state, tp.sk);
  tp.icskCaOps.setState(tp, state);
  tp.icskCaState = state;
}

/** Tells the control of an event, CA_EVENT_*. Linux: tcp_ca_event(). */
export function tcpCaEvent(tp: TcpSock, event: number): void {
  const ops = tp.icskCaOps;
  const hears = ops.cwndEvent;
  if (hears === nothing) return;
  try {
    hears.call(ops.self, tp, event);
  } catch (error) {
    caFailed(tp, error);
  }
}

/** A timeout: the control hears of it before the window is cut. */
export function tcpCaLoss(tp: TcpSock): void {
  tcpCaEvent(tp, CA_EVENT_LOSS);
}

/** Tells the control that an ACK came, CA_ACK_*. */
export function tcpCaInAck(tp: TcpSock, event: number): void {
  const ops = tp.icskCaOps;
  const hears = ops.inAckEvent;
  if (hears === nothing) return;
  try {
    hears.call(ops.self, tp, event);
  } catch (error) {
    caFailed(tp, error);
  }
}

/** Tells the control what an ACK acknowledged; `rttUs` -1: no sample. */
export function tcpCaPktsAcked(tp: TcpSock, acked: number, rttUs: number): void {
  const ops = tp.icskCaOps;
  const hears = ops.pktsAcked;
  if (hears === nothing) return;
  try {
    hears.call(ops.self, tp, acked, rttUs);
  } catch (error) {
    caFailed(tp, error);
  }
}

/** Lets the control grow the window. Linux: tcp_cong_avoid(). */
function tcpCongAvoid(tp: TcpSock, ack: number, acked: number): void {
  const ops = tp.icskCaOps;
  try {
    ops.congAvoid.call(ops.self, tp, ack, acked);
  } catch (error) {
    caFailed(tp, error);
  }
  const cwnd = tp.sndCwnd;
  if ((cwnd | 0) !== cwnd || cwnd < 1 || cwnd > MAX_CWND) tp.sndCwnd = inRange(cwnd, 1);
  tp.sndCwndStamp = tp.st.machine.jiffies;
}

/**
 * What an ACK does to the window: PRR while it is being reduced, growth otherwise. `acked` packets were delivered.
 * Linux: tcp_cong_control().
 */
export function tcpCongControl(tp: TcpSock, ack: number, acked: number, flag: number, ss: TcpAckState): void {
  const ops = tp.icskCaOps;
  if (ops.congControl !== null) {
    ops.congControl(tp, ack, flag, ss as RateSample);
    if (tp.pacingRate !== 0) {
      const most = tp.sk.maxPacingRate;
      if (most >= 0 && tp.pacingRate > most) tp.pacingRate = most;
      tp.skPacingRate = tp.pacingRate;
    } else tcpUpdatePacingRate(tp);
    return;
  }
  const state = tp.icskCaState;
  if (state === CWR || state === RECOVERY) tcpCwndReduction(tp, acked, ss.losses, flag);
  else if (tcpMayRaiseCwnd(tp, flag)) tcpCongAvoid(tp, ack, acked);
  tcpUpdatePacingRate(tp);
}

/**
 * The window grows when data is acknowledged in order (RFC 5681); where much reordering was seen, whenever data is
 * delivered. Linux: tcp_may_raise_cwnd().
 */
function tcpMayRaiseCwnd(tp: TcpSock, flag: number): boolean {
  if (tp.reordering > tp.st.sysctl.reordering) return (flag & FLAG_FORWARD_PROGRESS) !== 0;
  return (flag & FLAG_DATA_ACKED) !== 0;
}

/**
 * The rate that the window allows: a window per round trip, times tcp_pacing_ss_ratio while it is less than half of the
 * threshold, tcp_pacing_ca_ratio after. Linux: tcp_update_pacing_rate().
 */
export function tcpUpdatePacingRate(tp: TcpSock): void {
  const s = tp.st.sysctl;
  const ratio = tp.sndCwnd < tp.sndSsthresh >>> 1 ? s.pacingSsRatio : s.pacingCaRatio;
  const rate = tp.mssCache * 80_000 * ratio * Math.max(tp.sndCwnd, tp.packetsOut);
  const bytes = tp.srttUs === 0 ? rate : Math.floor(rate / tp.srttUs);
  const most = tp.sk.maxPacingRate;
  setRate(tp, most >= 0 && bytes > most ? most : bytes);
}

/** A rate of 0 makes the smallest super-packets, and is not kept to: as on Linux. Here 0 means "not known". */
function setRate(tp: TcpSock, rate: number): void {
  tp.skPacingRate = rate === 0 && tp.sk.maxPacingRate === 0 ? 1 : rate;
  if (tp.sk.pacing) tp.pacingRate = rate;
}

/** SO_MAX_PACING_RATE was set: the rate is not above it, and what is sent from now on keeps to it. */
export function tcpMaxPacingRate(tp: TcpSock): void {
  const most = tp.sk.maxPacingRate;
  const now = tp.pacingRate !== 0 ? tp.pacingRate : tp.skPacingRate;
  setRate(tp, now === 0 || now > most ? most : now);
}
