/**
 * CUBIC with HyStart: after a loss the window grows as a cubic function of the time since, fast at first, slowly around
 * the window at which the loss was, and fast again beyond it; never slower than Reno would. RFC 9438; HyStart ends slow
 * start before the queue overflows, by the spacing of ACKs and by the delay. Linux: net/ipv4/tcp_cubic.c.
 *
 * Different from Linux: the cube root is exact, where Linux's is about 0.2 % off.
 *
 * @example The default of a host; a connection may choose another one
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { TCP } from "@netpath/stack/tcp";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * assertEquals(net.get(TCP).congestionControls(), ["cubic", "reno"]);
 * ```
 *
 * @module
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import { INET, type SnmpMib } from "../../network/inet/contract.ts";
import * as contract from "./contract.ts";
import { TCP, type TcpCongestionInit, type TcpCongestionSock } from "./contract.ts";
import * as reno from "./reno.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CA_EVENT_TX_START, TCP_CA_LOSS, tcpRegisterCongestionControl } = contract;
const { tcpCongAvoidAi, tcpIsCwndLimited, tcpSlowStart } = reno;

/** Unit of the fractions below. Linux: BICTCP_BETA_SCALE. */
const BETA_SCALE = 1024;
/** What a loss leaves of the window, of 1024: 0.7. */
const BETA = 717;
/** Bits of a second in the cubic function's unit of time. Linux: BICTCP_HZ. */
const BICTCP_HZ = 10;
/** C of RFC 9438 section 4.2, 0.4, in the function's units. Linux: cube_rtt_scale. */
const CUBE_RTT_SCALE = 410;
/** Its inverse: 2^40 / 410. Linux: cube_factor. */
const CUBE_FACTOR = Math.floor(2 ** (10 + 3 * BICTCP_HZ) / CUBE_RTT_SCALE);
/** Packets that Reno needs for one more, per packet of the window, times 8: RFC 9438 section 4.3. Linux: beta_scale. */
const RENO_SCALE = Math.floor(Math.floor(8 * (BETA_SCALE + BETA) / 3) / (BETA_SCALE - BETA));
/** Jiffies. */
const HZ = 1000;

/** Window at which HyStart begins to look. */
const HYSTART_LOW_WINDOW = 16;
/** ACKs that are nearer than this are of one train, microseconds. */
const HYSTART_ACK_DELTA = 2000;
/** Samples of a round trip. */
const HYSTART_MIN_SAMPLES = 8;
/** Bounds of the increase of delay that ends slow start, microseconds. */
const HYSTART_DELAY_MIN = 4000, HYSTART_DELAY_MAX = 16_000;
/** Payload of the largest super-packet. */
const GSO_MAX_SIZE = 65536;

/** CUBIC's state of a connection. Linux: struct bictcp. */
export class Bictcp {
  /** Packets acknowledged per packet more. */
  cnt = 0;
  /** Window at the last loss. */
  lastMaxCwnd = 0;
  /** Window at the last computation. */
  lastCwnd = 0;
  /** When that was, jiffies. */
  lastTime = 0;
  /** Where the curve is flat. */
  originPoint = 0;
  /** When it is there, in 1/1024 seconds from the begin of the epoch. */
  k = 0;
  /** Least delay, microseconds. */
  delayMin = 0;
  /** Begin of the epoch, jiffies; 0: none. */
  epochStart = 0;
  /** Packets acknowledged since. */
  ackCnt = 0;
  /** Window that Reno would have. */
  tcpCwnd = 0;
  /** HyStart found the end of slow start. */
  found = false;
  /** HyStart: when the round began, microseconds. */
  roundStart = 0;
  /** What ends it. */
  endSeq = 0;
  /** When the last ACK of the train came. */
  lastAck = 0;
  /** Least round trip of this round. */
  currRtt = 0x7fffffff;
  /** Samples in this round. */
  sampleCnt = 0;

  /** All as new. Linux: bictcp_reset(). */
  reset(): void {
    this.cnt =
      this.lastMaxCwnd =
      this.lastCwnd =
      this.lastTime =
      this.originPoint =
      this.k =
        0;
    this.delayMin =
      this.epochStart =
      this.ackCnt =
      this.tcpCwnd =
        0;
    this.found = false;
  }

  /** A round begins. Linux: bictcp_hystart_reset(). */
  startRound(tp: TcpCongestionSock): void {
    this.roundStart = this.lastAck = tp.tcpMstamp;
    this.endSeq = tp.sndNxt;
    this.currRtt = 0x7fffffff;
    this.sampleCnt = 0;
  }
}

/**
 * The state; of a connection that another implementation of the name left, a new one. Until a window is large enough for
 * HyStart, or grew or was lost, it is the least delay alone, a number: most connections are short.
 */
function stateOf(tp: TcpCongestionSock): Bictcp {
  const ca = tp.icskCaPriv;
  if (ca instanceof Bictcp) return ca;
  const fresh = new Bictcp();
  fresh.startRound(tp);
  if (typeof ca === "number") fresh.delayMin = ca;
  tp.icskCaPriv = fresh;
  return fresh;
}

/**
 * How many packets must be acknowledged for one more: from where the curve will be a round trip from now. RFC 9438
 * sections 4.2 to 4.5. Linux: bictcp_update().
 */
function bictcpUpdate(ca: Bictcp, cwnd: number, acked: number, now: number): void {
  ca.ackCnt += acked;
  if (ca.lastCwnd === cwnd && ((now - ca.lastTime) | 0) <= HZ / 32) return;
  // Once per jiffy is enough.
  if (ca.epochStart === 0 || now !== ca.lastTime) {
    ca.lastCwnd = cwnd;
    ca.lastTime = now;
    if (ca.epochStart === 0) beginEpoch(ca, cwnd, acked, now);
    // In 1/1024 seconds.
    const t = Math.floor((((now - ca.epochStart) | 0) + Math.ceil(ca.delayMin / 1000)) * (1 << BICTCP_HZ) / HZ);
    const off = Math.abs(t - ca.k);
    const delta = Math.floor(CUBE_RTT_SCALE * off * off * off / 2 ** (10 + 3 * BICTCP_HZ));
    const target = t < ca.k ? ca.originPoint - delta : ca.originPoint + delta;
    ca.cnt = target > cwnd ? Math.floor(cwnd / (target - cwnd)) : 100 * cwnd;
    // Nothing is known of the path yet: not too shy.
    if (ca.lastMaxCwnd === 0 && ca.cnt > 20) ca.cnt = 20;
  }
  renoFriendly(ca, cwnd);
  // At most half as much again per round trip.
  if (ca.cnt < 2) ca.cnt = 2;
}

function beginEpoch(ca: Bictcp, cwnd: number, acked: number, now: number): void {
  ca.epochStart = now || 1;
  ca.ackCnt = acked;
  ca.tcpCwnd = cwnd;
  if (ca.lastMaxCwnd <= cwnd) {
    ca.k = 0;
    ca.originPoint = cwnd;
  } else {
    ca.k = Math.floor(Math.cbrt(CUBE_FACTOR * (ca.lastMaxCwnd - cwnd)));
    ca.originPoint = ca.lastMaxCwnd;
  }
}

/** Not slower than Reno with CUBIC's decrease would be. RFC 9438 section 4.3. */
function renoFriendly(ca: Bictcp, cwnd: number): void {
  const delta = (cwnd * RENO_SCALE) >> 3;
  if (delta > 0 && ca.ackCnt > delta) {
    const more = Math.ceil(ca.ackCnt / delta) - 1;
    ca.ackCnt -= more * delta;
    ca.tcpCwnd += more;
  }
  if (ca.tcpCwnd > cwnd) {
    const most = Math.floor(cwnd / (ca.tcpCwnd - cwnd));
    if (ca.cnt > most) ca.cnt = most;
  }
}

/** Linux: cubictcp_cong_avoid(). */
function congAvoid(tp: TcpCongestionSock, _ack: number, acked: number): void {
  if (!tcpIsCwndLimited(tp)) return;
  if (tp.sndCwnd < tp.sndSsthresh) {
    acked = tcpSlowStart(tp, acked);
    if (acked === 0) return;
  }
  const ca = stateOf(tp);
  bictcpUpdate(ca, tp.sndCwnd, acked, tp.sk.machine.jiffies);
  tcpCongAvoidAi(tp, ca.cnt, acked);
}

/**
 * 0.7 of the window; and the window of this loss is remembered, less of it where it was smaller than the one before: a
 * newcomer needs room. RFC 9438 sections 4.6 and 4.7. Linux: cubictcp_recalc_ssthresh().
 */
function ssthresh(tp: TcpCongestionSock): number {
  const ca = stateOf(tp);
  const cwnd = tp.sndCwnd;
  ca.epochStart = 0;
  ca.lastMaxCwnd = cwnd < ca.lastMaxCwnd ? Math.floor(cwnd * (BETA_SCALE + BETA) / (2 * BETA_SCALE)) : cwnd;
  return Math.max(Math.floor(cwnd * BETA / BETA_SCALE), 2);
}

/** The time without anything to send does not count for the curve. Linux: cubictcp_cwnd_event(). */
function cwndEvent(tp: TcpCongestionSock, event: number): void {
  const ca = tp.icskCaPriv;
  if (event !== CA_EVENT_TX_START || !(ca instanceof Bictcp)) return;
  const now = tp.sk.machine.jiffies;
  const idle = (now - tp.lsndtime) | 0;
  if (ca.epochStart === 0 || idle <= 0) return;
  ca.epochStart = (ca.epochStart + idle) | 0 || 1;
  if (((ca.epochStart - now) | 0) > 0) ca.epochStart = now || 1;
}

function setState(tp: TcpCongestionSock, state: number): void {
  if (state !== TCP_CA_LOSS) return;
  const ca = stateOf(tp);
  ca.reset();
  ca.startRound(tp);
}

/** Time that four of the largest packets take: an ACK may be late by that. Linux: hystart_ack_delay(). */
function hystartAckDelay(tp: TcpCongestionSock): number {
  const rate = tp.skPacingRate;
  return rate === 0 ? 0 : Math.min(1000, Math.floor(GSO_MAX_SIZE * 4 * 1e6 / rate));
}

/**
 * Whether slow start should end: the ACKs of one window come over more than half of the least round trip, so that the
 * window fills the path; or the round trip grew, so that a queue stands. Linux: hystart_update().
 */
function hystartUpdate(
  tp: TcpCongestionSock,
  ca: Bictcp,
  delay: number,
  ext: SnmpMib["tcpExt"],
  detect: number,
): void {
  if (((tp.sndUna - ca.endSeq) | 0) > 0) ca.startRound(tp);
  const now = tp.tcpMstamp;
  if ((detect & 1) !== 0 && ((now - ca.lastAck) | 0) <= HYSTART_ACK_DELTA) {
    ca.lastAck = now;
    let threshold = ca.delayMin + hystartAckDelay(tp);
    if (tp.pacingRate === 0) threshold >>= 1;
    if (((now - ca.roundStart) | 0) > threshold) {
      ca.found = true;
      ext.TCPHystartTrainDetect++;
      ext.TCPHystartTrainCwnd += tp.sndCwnd;
      tp.sndSsthresh = tp.sndCwnd;
    }
  }
  if ((detect & 2) === 0) return;
  if (ca.currRtt > delay) ca.currRtt = delay;
  if (ca.sampleCnt < HYSTART_MIN_SAMPLES) {
    ca.sampleCnt++;
    return;
  }
  if (ca.currRtt > ca.delayMin + Math.min(Math.max(ca.delayMin >> 3, HYSTART_DELAY_MIN), HYSTART_DELAY_MAX)) {
    ca.found = true;
    ext.TCPHystartDelayDetect++;
    ext.TCPHystartDelayCwnd += tp.sndCwnd;
    tp.sndSsthresh = tp.sndCwnd;
  }
}

/** A round trip sample. Linux: cubictcp_acked(). */
function acked(tp: TcpCongestionSock, rttUs: number, ext: SnmpMib["tcpExt"], knobs: CubicKnobs): void {
  if (rttUs < 0) return;
  const known = tp.icskCaPriv;
  if (!(known instanceof Bictcp) && tp.sndCwnd < HYSTART_LOW_WINDOW) {
    const delay = rttUs === 0 ? 1 : rttUs;
    if (typeof known !== "number" || known > delay) tp.icskCaPriv = delay;
    return;
  }
  const ca = stateOf(tp);
  // Right after a recovery delays are not those of a queue that stands.
  if (ca.epochStart !== 0 && ((tp.sk.machine.jiffies - ca.epochStart) | 0) < HZ) return;
  const delay = rttUs === 0 ? 1 : rttUs;
  if (ca.delayMin === 0 || ca.delayMin > delay) ca.delayMin = delay;
  if (knobs.hystart === 0 || ca.found || tp.sndCwnd >= tp.sndSsthresh || tp.sndCwnd < HYSTART_LOW_WINDOW) return;
  hystartUpdate(tp, ca, delay, ext, knobs.hystartDetect);
}

/** Knobs of all connections. Linux: module parameters of tcp_cubic. */
export interface CubicKnobs {
  /** HyStart at all. */
  hystart: number;
  /** What it looks at: 1 trains of ACKs, 2 the delay. */
  hystartDetect: number;
}

/** The record with what its functions need as `this`: a closure per net is not known to V8 by identity. */
interface Cubic extends TcpCongestionInit {
  readonly ext: SnmpMib["tcpExt"];
  readonly knobs: CubicKnobs;
}

function pktsAcked(this: Cubic, tp: TcpCongestionSock, _pkts: number, rttUs: number): void {
  acked(tp, rttUs, this.ext, this.knobs);
}

/** CUBIC that counts in `ext`. Linux: struct tcp_congestion_ops cubictcp. */
export function cubicOps(
  ext: SnmpMib["tcpExt"],
  knobs: CubicKnobs = { hystart: 1, hystartDetect: 3 },
): TcpCongestionInit {
  const ops: Cubic = {
    name: "cubic",
    ext,
    knobs,
    init: (tp) => {
      // Its state is made when it is needed.
      tp.icskCaPriv = null;
    },
    ssthresh,
    congAvoid,
    setState,
    cwndEvent,
    pktsAcked,
  };
  return ops;
}

/** The plugin: registers `cubic`, and makes it the default where that is Reno. */
export function cubic(): Plugin {
  return { name: "cubic", api: 1, requires: [TCP, INET], setup };
}

function setup(net: Net): void {
  const knobs: CubicKnobs = { hystart: 1, hystartDetect: 3 };
  tcpRegisterCongestionControl(net, cubicOps(net.get(INET).mib.tcpExt, knobs));
  const tcp = net.get(TCP);
  if (tcp.congestionControls()[0] === "reno") tcp.setDefaultCongestionControl("cubic");
  // Linux has them under /sys/module/tcp_cubic/parameters.
  net.sysctl.define("module.tcp_cubic.hystart", { value: 1, min: 0, max: 1, apply: (v) => knobs.hystart = v });
  net.sysctl.define("module.tcp_cubic.hystart_detect", {
    value: 3,
    min: 0,
    max: 3,
    apply: (v) => knobs.hystartDetect = v,
  });
}
