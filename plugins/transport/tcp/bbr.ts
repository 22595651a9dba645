/**
 * BBR, version 1: the rate and the window follow a model of the path, its bottleneck's bandwidth and its round trip
 * without queues, and not the losses. draft-cardwell-iccrg-bbr-congestion-control-00, whose names are in the comments;
 * Linux: net/ipv4/tcp_bbr.c.
 *
 * - *Bandwidth* is the largest delivery rate of the last 10 round trips, *round trip* the least of the last 10 seconds.
 * - *Startup* doubles the rate per round trip until three of them brought no quarter more; *drain* empties the queue that
 *   this made; *probe bandwidth* cycles through eight phases of a round trip each: faster, slower, six steady ones; *probe
 *   RTT* lets the queue run dry for 200 ms where no lower round trip was seen for 10 seconds.
 *
 * - ACKs that come in bursts (Wi-Fi, busy receivers, late timers) leave gaps between them: the window has room for as much
 *   more as lately came beyond the bandwidth.
 *
 * Different from Linux: rate limiters on the path are not looked for.
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import {
  CA_EVENT_TX_START,
  type RateSample,
  TCP,
  TCP_CA_LOSS,
  TCP_CA_OPEN,
  TCP_CA_RECOVERY,
  type TcpCongestionInit,
  type TcpCongestionSock,
  tcpRegisterCongestionControl,
} from "./contract.ts";

const STARTUP = 0, DRAIN = 1, PROBE_BW = 2, PROBE_RTT = 3;
/** 2 / ln 2: the least gain that doubles the rate per round trip. */
const HIGH_GAIN = 2.885;
const CWND_GAIN = 2;
const PACING_GAINS: readonly number[] = [1.25, 0.75, 1, 1, 1, 1, 1, 1];
/** Round trips that a bandwidth counts. */
const BW_ROUNDS = 10;
const MIN_RTT_WINDOW_MS = 10_000;
const PROBE_RTT_MS = 200;
/** Packets with which a path is kept busy at least, delayed ACKs included. */
const MIN_CWND = 4;
/** The path is full when the bandwidth grew by less than this, in so many round trips. */
const FULL_BW_GROWTH = 1.25, FULL_BW_ROUNDS = 3;
/** A hundredth less than the bandwidth is sent: the queue drains. */
const MARGIN = 0.99;
/** From here on bursts are two packets, not one. Bytes per second. */
const MIN_TSO_RATE = 150_000;
const TSO_MAX_BYTES = 0x7fff;
/** How long what came beyond the bandwidth counts: the larger of two windows of so many round trips. */
const EXTRA_ROUNDS = 5;
/** At most what the bandwidth gives in this time, microseconds. */
const EXTRA_MAX_US = 100_000;
/** Packets of one burst; a longer one begins anew. */
const EPOCH_MAX = 0xfffff;

/** What a connection remembers. */
class BbrState {
  mode = STARTUP;
  pacingGain = HIGH_GAIN;
  cwndGain = HIGH_GAIN;
  /** The largest rate of a round trip, packets per microsecond, and which one that was, by its number modulo 10. */
  readonly rates: Float64Array = new Float64Array(BW_ROUNDS);
  readonly rateRounds: Int32Array = new Int32Array(BW_ROUNDS);
  /** The last round trip that said anything: without news the old is not forgotten. */
  rateRound = 0;
  /** Round trips so far, and the packet count at which the one at hand ends. */
  rounds = 0;
  nextRoundDelivered = 0;
  roundStart = false;
  /** Least round trip in microseconds, and the jiffy of it; -1: none. */
  minRttUs = -1;
  minRttStamp = 0;
  /** Bandwidth that counts as reached, and round trips without more. */
  fullBw = 0;
  fullBwRounds = 0;
  fullBwReached = false;
  /** Phase of the cycle, and when it began, microseconds int32. */
  cycle = 0;
  cycleMstamp = 0;
  /** Probe RTT: the jiffy at which it is over, -1: the queue is not empty yet; a round trip passed in it. */
  probeRttDone = -1;
  probeRttRound = false;
  /** The window before recovery or probe RTT. */
  priorCwnd = 0;
  prevCaState = TCP_CA_OPEN;
  packetConservation = false;
  restoreCwnd = false;
  idleRestart = false;
  hasSeenRtt = false;
  /** Most packets that came beyond the bandwidth, in this window and the one before; round trips of this one. */
  extra = 0;
  extraBefore = 0;
  extraRounds = 0;
  /** The burst at hand: when it began, microseconds int32, and its packets. */
  epochMstamp = 0;
  epochAcked = 0;
}

function stateOf(tp: TcpCongestionSock): BbrState {
  return tp.icskCaPriv instanceof BbrState ? tp.icskCaPriv : tp.icskCaPriv = begin(tp);
}

function begin(tp: TcpCongestionSock): BbrState {
  const ca = new BbrState();
  tp.icskCaPriv = ca;
  ca.minRttUs = tp.rttMinUs;
  ca.minRttStamp = jiffies(tp);
  ca.cycleMstamp = ca.epochMstamp = tp.tcpMstamp;
  ca.nextRoundDelivered = tp.delivered;
  tp.sndSsthresh = 0x7fffffff;
  initPacing(tp, ca);
  return ca;
}

function jiffies(tp: TcpCongestionSock): number {
  return tp.sk.machine.jiffies;
}

function inFlight(tp: TcpCongestionSock): number {
  return tp.packetsOut - tp.sackedOut - tp.lostOut + tp.retransOut;
}

/** Packets per microsecond. BBR.BtlBw. */
function bandwidth(ca: BbrState): number {
  let most = 0;
  for (let i = 0; i < BW_ROUNDS; i++) {
    if (ca.rates[i] > most && ca.rateRound - ca.rateRounds[i] < BW_ROUNDS) most = ca.rates[i];
  }
  return most;
}

// ---- what is sent

/** Before anything is known: the first window per round trip. BBRInitPacingRate(). */
function initPacing(tp: TcpCongestionSock, ca: BbrState): void {
  if (tp.srttUs !== 0) ca.hasSeenRtt = true;
  const rttUs = tp.srttUs !== 0 ? Math.max(tp.srttUs >> 3, 1) : 1000;
  tp.pacingRate = pacingOf(tp, tp.sndCwnd / rttUs, HIGH_GAIN);
}

/** Bytes per second; never 0, which is no pacing. */
function pacingOf(tp: TcpCongestionSock, bw: number, gain: number): number {
  return Math.max(1, Math.floor(bw * tp.mssCache * gain * 1e6 * MARGIN));
}

/** Until the path is known to be full the rate only grows. BBRSetPacingRate(). */
function setPacing(tp: TcpCongestionSock, ca: BbrState, bw: number): void {
  if (!ca.hasSeenRtt && tp.srttUs !== 0) initPacing(tp, ca);
  const rate = pacingOf(tp, bw, ca.pacingGain);
  if (ca.fullBwReached || rate > tp.pacingRate) tp.pacingRate = rate;
}

/** Packets that the path holds at a bandwidth, times a gain. BBRInflight(). */
function bdp(ca: BbrState, bw: number, gain: number): number {
  if (ca.minRttUs < 0) return 10;
  return Math.ceil(bw * ca.minRttUs * gain);
}

/** Three bursts more than that, and `extra`: one in each host and one on the way; an even number for delayed ACKs. */
function inflightOf(tp: TcpCongestionSock, ca: BbrState, bw: number, gain: number, extra: number = 0): number {
  const least = tp.pacingRate < MIN_TSO_RATE ? 1 : 2;
  const burst = Math.max(least, Math.trunc(Math.min(tp.pacingRate / 1024, TSO_MAX_BYTES) / tp.mssCache));
  let cwnd = bdp(ca, bw, gain) + extra + 3 * burst;
  cwnd = (cwnd + 1) & ~1;
  return ca.mode === PROBE_BW && ca.cycle === 0 ? cwnd + 2 : cwnd;
}

/** BBRSetCwnd(). */
function setCwnd(tp: TcpCongestionSock, ca: BbrState, rs: RateSample, bw: number): void {
  const acked = rs.ackedSacked;
  if (acked !== 0 && !recoveryCwnd(tp, ca, rs)) {
    const extra = ca.fullBwReached ? Math.min(Math.max(ca.extra, ca.extraBefore), Math.floor(bw * EXTRA_MAX_US)) : 0;
    const target = inflightOf(tp, ca, bw, ca.cwndGain, extra);
    let cwnd = tp.sndCwnd;
    if (ca.fullBwReached) cwnd = Math.min(cwnd + acked, target);
    else if (cwnd < target || tp.delivered < 10) cwnd += acked;
    tp.sndCwnd = Math.max(cwnd, MIN_CWND);
  }
  tp.sndCwnd = Math.min(tp.sndCwnd, tp.sndCwndClamp);
  if (ca.mode === PROBE_RTT) tp.sndCwnd = Math.min(tp.sndCwnd, MIN_CWND);
}

/** In the first round trip of a recovery only what left the network is replaced. True: the window is set. */
function recoveryCwnd(tp: TcpCongestionSock, ca: BbrState, rs: RateSample): boolean {
  const { prevCaState } = ca;
  const state = tp.icskCaState;
  if (rs.losses > 0) tp.sndCwnd = Math.max(tp.sndCwnd - rs.losses, 1);
  if (state === TCP_CA_RECOVERY && prevCaState !== TCP_CA_RECOVERY) {
    ca.packetConservation = true;
    ca.nextRoundDelivered = tp.delivered;
    tp.sndCwnd = inFlight(tp) + rs.ackedSacked;
  } else if (prevCaState >= TCP_CA_RECOVERY && state < TCP_CA_RECOVERY) {
    tp.sndCwnd = Math.max(tp.sndCwnd, ca.priorCwnd);
    ca.packetConservation = false;
  }
  ca.prevCaState = state;
  if (!ca.packetConservation) return false;
  tp.sndCwnd = Math.max(tp.sndCwnd, inFlight(tp) + rs.ackedSacked);
  return true;
}

/** BBRSaveCwnd(). */
function saveCwnd(tp: TcpCongestionSock, ca: BbrState): void {
  const calm = ca.prevCaState < TCP_CA_RECOVERY && ca.mode !== PROBE_RTT;
  ca.priorCwnd = calm ? tp.sndCwnd : Math.max(ca.priorCwnd, tp.sndCwnd);
}

// ---- what is known of the path

/** BBRUpdateBtlBw(). */
function updateBandwidth(tp: TcpCongestionSock, ca: BbrState, rs: RateSample): void {
  ca.roundStart = false;
  if (rs.delivered < 0 || rs.intervalUs <= 0) return;
  if (((rs.priorDelivered - ca.nextRoundDelivered) | 0) >= 0) {
    ca.nextRoundDelivered = tp.delivered;
    ca.rounds++;
    ca.roundStart = true;
    ca.packetConservation = false;
  }
  const bw = rs.delivered / rs.intervalUs;
  // A sender that had nothing to send says little, unless it was fast.
  if (rs.isAppLimited && bw < bandwidth(ca)) return;
  const at = ca.rounds % BW_ROUNDS;
  if (bw > ca.rates[at] || ca.rateRounds[at] !== ca.rounds) ca.rates[at] = bw;
  ca.rateRounds[at] = ca.rateRound = ca.rounds;
}

/**
 * How many packets came beyond what the bandwidth gives, since ACKs were last no faster than it.
 * BBRUpdateACKAggregation() of draft-cardwell-iccrg-bbr-congestion-control-02.
 */
function updateExtra(tp: TcpCongestionSock, ca: BbrState, rs: RateSample): void {
  const acked = rs.ackedSacked;
  if (acked <= 0 || rs.delivered < 0 || rs.intervalUs <= 0) return;
  if (ca.roundStart && ++ca.extraRounds >= EXTRA_ROUNDS) {
    ca.extraRounds = 0;
    ca.extraBefore = ca.extra;
    ca.extra = 0;
  }
  let expected = Math.floor(bandwidth(ca) * ((tp.tcpMstamp - ca.epochMstamp) >>> 0));
  if (ca.epochAcked <= expected || ca.epochAcked + acked >= EPOCH_MAX) {
    ca.epochAcked = expected = 0;
    ca.epochMstamp = tp.tcpMstamp;
  }
  ca.epochAcked += acked;
  ca.extra = Math.max(ca.extra, Math.min(ca.epochAcked - expected, tp.sndCwnd));
}

/** BBRCheckFullPipe(). */
function checkFull(ca: BbrState, rs: RateSample): void {
  if (ca.fullBwReached || !ca.roundStart || rs.isAppLimited) return;
  const bw = bandwidth(ca);
  if (bw >= ca.fullBw * FULL_BW_GROWTH) {
    ca.fullBw = bw;
    ca.fullBwRounds = 0;
    return;
  }
  ca.fullBwReached = ++ca.fullBwRounds >= FULL_BW_ROUNDS;
}

/** BBRCheckDrain(). */
function checkDrain(tp: TcpCongestionSock, ca: BbrState): void {
  if (ca.mode === STARTUP && ca.fullBwReached) {
    ca.mode = DRAIN;
    tp.sndSsthresh = inflightOf(tp, ca, bandwidth(ca), 1);
  }
  if (ca.mode === DRAIN && inFlight(tp) <= inflightOf(tp, ca, bandwidth(ca), 1)) enterProbeBw(tp, ca);
}

/** Any phase but the one that drains: flows that begin together must not probe together. BBREnterProbeBW(). */
function enterProbeBw(tp: TcpCongestionSock, ca: BbrState): void {
  ca.mode = PROBE_BW;
  const random = (tp.sk.machine.platform.random() >>> 0) % (PACING_GAINS.length - 1);
  ca.cycle = PACING_GAINS.length - 1 - random;
  nextPhase(tp, ca);
}

function nextPhase(tp: TcpCongestionSock, ca: BbrState): void {
  ca.cycle = (ca.cycle + 1) % PACING_GAINS.length;
  ca.cycleMstamp = tp.tcpMstamp;
}

/** BBRIsNextCyclePhase(). */
function phaseIsOver(tp: TcpCongestionSock, ca: BbrState, rs: RateSample): boolean {
  const full = ((tp.tcpMstamp - ca.cycleMstamp) | 0) > ca.minRttUs;
  const gain = PACING_GAINS[ca.cycle];
  if (gain === 1) return full;
  const bw = bandwidth(ca);
  // The faster one lasts until the path holds more, or lost some of it; the slower one until the queue is gone.
  if (gain > 1) return full && (rs.losses !== 0 || rs.priorInFlight >= inflightOf(tp, ca, bw, gain));
  return full || rs.priorInFlight <= inflightOf(tp, ca, bw, 1);
}

/** BBRUpdateRTprop(), BBRCheckProbeRTT(). */
function updateMinRtt(tp: TcpCongestionSock, ca: BbrState, rs: RateSample): void {
  const now = jiffies(tp);
  const expired = ((now - ca.minRttStamp) | 0) > MIN_RTT_WINDOW_MS;
  if (rs.rttUs >= 0 && (ca.minRttUs < 0 || rs.rttUs < ca.minRttUs || (expired && !rs.isAckDelayed))) {
    ca.minRttUs = rs.rttUs;
    ca.minRttStamp = now;
  }
  if (expired && !ca.idleRestart && ca.mode !== PROBE_RTT) {
    ca.mode = PROBE_RTT;
    saveCwnd(tp, ca);
    ca.probeRttDone = -1;
  }
  if (ca.mode === PROBE_RTT) probeRtt(tp, ca, now);
  // What comes after a pause counts from its own beginning.
  if (rs.delivered > 0) ca.idleRestart = false;
}

function probeRtt(tp: TcpCongestionSock, ca: BbrState, now: number): void {
  // What is delivered now is slow because it is to be.
  tp.appLimited = (tp.delivered + inFlight(tp)) || 1;
  if (ca.probeRttDone < 0) {
    if (inFlight(tp) > MIN_CWND) return;
    ca.probeRttDone = (now + PROBE_RTT_MS) & 0x7fffffff;
    ca.probeRttRound = false;
    ca.nextRoundDelivered = tp.delivered;
    return;
  }
  if (ca.roundStart) ca.probeRttRound = true;
  if (!ca.probeRttRound || (((now & 0x7fffffff) - ca.probeRttDone) | 0) < 0) return;
  ca.minRttStamp = now;
  tp.sndCwnd = Math.max(tp.sndCwnd, ca.priorCwnd);
  if (ca.fullBwReached) enterProbeBw(tp, ca);
  else ca.mode = STARTUP;
}

function setGains(ca: BbrState): void {
  const { mode } = ca;
  ca.pacingGain = mode === STARTUP ? HIGH_GAIN : mode === DRAIN ? 1 / HIGH_GAIN : 1;
  if (mode === PROBE_BW) ca.pacingGain = PACING_GAINS[ca.cycle];
  ca.cwndGain = mode === PROBE_BW ? CWND_GAIN : mode === PROBE_RTT ? 1 : HIGH_GAIN;
}

// ---- the control

function congControl(tp: TcpCongestionSock, _ack: number, _flag: number, rs: RateSample): void {
  const ca = stateOf(tp);
  updateBandwidth(tp, ca, rs);
  updateExtra(tp, ca, rs);
  if (ca.mode === PROBE_BW && phaseIsOver(tp, ca, rs)) nextPhase(tp, ca);
  checkFull(ca, rs);
  checkDrain(tp, ca);
  updateMinRtt(tp, ca, rs);
  setGains(ca);
  const bw = bandwidth(ca);
  setPacing(tp, ca, bw);
  setCwnd(tp, ca, rs, bw);
}

/** BBR. Linux: struct tcp_congestion_ops tcp_bbr_cong_ops. */
export function bbrOps(): TcpCongestionInit {
  return {
    name: "bbr",
    init: (tp) => {
      begin(tp);
    },
    release: (tp) => {
      tp.pacingRate = 0;
    },
    // A loss says nothing of the bandwidth: the window is kept for its end.
    ssthresh: (tp) => {
      saveCwnd(tp, stateOf(tp));
      return tp.sndSsthresh;
    },
    setState: (tp, state) => {
      if (state !== TCP_CA_LOSS) return;
      const ca = stateOf(tp);
      ca.prevCaState = TCP_CA_LOSS;
      ca.fullBw = 0;
      ca.roundStart = true;
    },
    cwndEvent: (tp, event) => {
      if (event !== CA_EVENT_TX_START || inFlight(tp) > 0) return;
      const ca = stateOf(tp);
      ca.idleRestart = true;
      ca.cycleMstamp = ca.epochMstamp = tp.tcpMstamp;
      ca.epochAcked = 0;
      // After a pause there is no queue to drain and none to probe.
      if (ca.mode === PROBE_BW) tp.pacingRate = pacingOf(tp, bandwidth(ca), 1);
    },
    undoCwnd: (tp) => {
      const ca = stateOf(tp);
      ca.fullBw = 0;
      ca.fullBwRounds = 0;
      return Math.max(tp.sndCwnd, 2);
    },
    congControl,
  };
}

/**
 * The plugin: registers `bbr`; connections choose it by TCP_CONGESTION.
 *
 * @example
 * ```ts
 * import { createHost } from "@netpath/stack";
 * import { bbr, TCP } from "@netpath/stack/tcp";
 *
 * using host = createHost({ name: "a", plugins: [bbr()] });
 * host.net.get(TCP).setDefaultCongestionControl("bbr");
 * ```
 */
export function bbr(): Plugin {
  return { name: "bbr", api: 1, requires: [TCP], setup: (net: Net) => tcpRegisterCongestionControl(net, bbrOps()) };
}
