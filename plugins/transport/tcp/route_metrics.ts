/**
 * What a route says about the paths over it, as far as TCP asks: `ip route ... initcwnd 30 advmss 1300 quickack 1`.
 * Linux: dst_metric(), dst_feature(), and their users in net/ipv4/tcp_*.c. And what was learnt of peers before:
 * net/ipv4/tcp_metrics.c.
 *
 * Theory of operation. A connection that ends in order leaves its round trip, its threshold, its window and the reordering
 * it saw to the next one between the same addresses; an hour later it is forgotten. What a route locks is not replaced.
 * Different from Linux: 1,024 pairs are kept, the oldest goes (Linux: a hash by the size of the memory); Fast Open's
 * cookies have a store of their own.
 */
import * as fib from "../../network/fib/contract.ts";
import type { Dst, DstMetrics } from "../../network/fib/contract.ts";
import { TCP_CA_OPEN } from "./contract.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  RTAX_CC_ALGO,
  RTAX_CWND,
  RTAX_FEATURE_ECN,
  RTAX_REORDERING,
  RTAX_RTO_MIN,
  RTAX_RTT,
  RTAX_RTTVAR,
  RTAX_SSTHRESH,
} = fib;
const { TCP_INFINITE_SSTHRESH, TCP_INIT_CWND, TCP_TIMEOUT_FALLBACK } = tcpSock;

/** Pairs of addresses that are remembered. */
const METRICS_MAX = 1024;
/** How long, jiffies. Linux: TCP_METRICS_TIMEOUT. */
const METRICS_TIMEOUT = 3_600_000;
const USEC_PER_MSEC = 1000;

/** What a way says; null: nothing. */
export function tcpMetricsOf(dst: Dst | null): DstMetrics | null {
  return dst === null ? null : dst.metrics ?? null;
}

/** Whether a route locks a metric, RTAX_*. Linux: dst_metric_locked(). */
function locked(m: DstMetrics | null, index: number): boolean {
  return m !== null && (m.lock & 1 << index) !== 0;
}

/** The window that a connection begins with, packets. Linux: tcp_init_cwnd(). */
export function tcpInitCwnd(tp: TcpSock): number {
  const m = tcpMetricsOf(tp.sk.dst);
  const cwnd = m !== null && m.initcwnd !== 0 ? m.initcwnd : TCP_INIT_CWND;
  return Math.min(cwnd, tp.sndCwndClamp);
}

/** The least RTO, microseconds. Linux: tcp_rto_min_us(). */
export function tcpRtoMinUs(tp: TcpSock): number {
  const m = tcpMetricsOf(tp.sk.dst);
  return locked(m, RTAX_RTO_MIN) ? m!.rtoMin * USEC_PER_MSEC : tp.st.sysctl.rtoMinUs;
}

/** Whether the route wants ECN, whatever net.ipv4.tcp_ecn says. Linux: dst_feature(dst, RTAX_FEATURE_ECN). */
export function tcpDstEcn(dst: Dst | null): boolean {
  const m = tcpMetricsOf(dst);
  return m !== null && (m.features & RTAX_FEATURE_ECN) !== 0;
}

/**
 * The congestion control that the route chooses, before the socket's own choice; locked: the socket may not choose
 * another. Linux: tcp_ca_dst_init(), tcp_ca_openreq_child().
 */
export function tcpCaDstInit(tp: TcpSock, dst: Dst): void {
  const m = tcpMetricsOf(dst);
  if (m === null || m.congctl === "") return;
  const ops = tp.st.congestion.get(m.congctl);
  if (ops !== undefined) tp.icskCaOps = ops;
}

/** Whether the route forbids to choose another congestion control. Linux: icsk_ca_dst_locked. */
export function tcpCaDstLocked(tp: TcpSock): boolean {
  const m = tcpMetricsOf(tp.sk.dst);
  return m !== null && m.congctl !== "" && locked(m, RTAX_CC_ALGO);
}

// ---- what was learnt

/** Of one pair of addresses. Linux: struct tcp_metrics_block. */
export interface TcpMetricsBlock {
  /** Ours. */
  readonly saddr: number;
  /** The peer's. */
  readonly daddr: number;
  /** Jiffy of the last news. */
  stamp: number;
  /** Bits 1 << RTAX_*: from the route, not to be replaced. */
  lock: number;
  /** Round trip, eighths of a microsecond as {@linkcode TcpSock.srttUs}; 0: not known. */
  rtt: number;
  /** Its deviation, quarters of a microsecond. */
  rttvar: number;
  /** Threshold, packets; 0: none. */
  ssthresh: number;
  /** Window, packets. */
  cwnd: number;
  /** Reordering, packets. */
  reordering: number;
  /** Another pair with the same peer. */
  next: TcpMetricsBlock | null;
}

/** All of a net. Linux: tcp_metrics_hash. */
export class TcpMetricsCache {
  /** By the peer's address. */
  readonly #byPeer: Map<number, TcpMetricsBlock> = new Map();
  #size = 0;

  /** The pair, if it is known. */
  find(saddr: number, daddr: number): TcpMetricsBlock | null {
    let m = this.#byPeer.get(daddr) ?? null;
    while (m !== null && m.saddr !== saddr) m = m.next;
    return m;
  }

  /** A new one. */
  add(saddr: number, daddr: number): TcpMetricsBlock {
    while (this.#size >= METRICS_MAX) {
      const [oldest] = this.#byPeer.keys();
      for (let m = this.#byPeer.get(oldest) ?? null; m !== null; m = m.next) this.#size--;
      this.#byPeer.delete(oldest);
    }
    const next = this.#byPeer.get(daddr) ?? null;
    const m = { saddr, daddr, stamp: 0, lock: 0, rtt: 0, rttvar: 0, ssthresh: 0, cwnd: 0, reordering: 0, next };
    this.#byPeer.set(daddr, m);
    this.#size++;
    return m;
  }

  /** All. */
  list(): TcpMetricsBlock[] {
    const out: TcpMetricsBlock[] = [];
    for (const head of this.#byPeer.values()) {
      for (let m: TcpMetricsBlock | null = head; m !== null; m = m.next) out.push(m);
    }
    return out;
  }

  /** Linux: `ip tcp_metrics flush all`. */
  clear(): void {
    this.#byPeer.clear();
    this.#size = 0;
  }
}

/** Begins with what the route says. Linux: tcpm_suck_dst(). */
function fromRoute(block: TcpMetricsBlock, m: DstMetrics | null, now: number): void {
  block.stamp = now;
  block.lock = m === null ? 0 : m.lock;
  block.rtt = m === null ? 0 : m.rtt * 8 * USEC_PER_MSEC;
  block.rttvar = m === null ? 0 : m.rttvar * 4 * USEC_PER_MSEC;
  block.ssthresh = m === null ? 0 : m.ssthresh;
  block.cwnd = m === null ? 0 : m.cwnd;
  block.reordering = m === null ? 0 : m.reordering;
}

/** What is known of the pair; `create`: made if it is not. Linux: tcp_get_metrics(). */
function metricsOf(st: TcpState, saddr: number, daddr: number, dst: Dst, create: boolean): TcpMetricsBlock | null {
  const now = st.machine.jiffies;
  let block = st.metrics.find(saddr, daddr);
  if (block === null && create) {
    block = st.metrics.add(saddr, daddr);
    fromRoute(block, tcpMetricsOf(dst), now);
  } else if (block !== null && ((now - block.stamp) | 0) > METRICS_TIMEOUT) fromRoute(block, tcpMetricsOf(dst), now);
  return block;
}

/** A connection with the peer ended in order not long ago: it is no forged address. Linux: tcp_peer_is_proven(). */
export function tcpPeerIsProven(st: TcpState, saddr: number, daddr: number, dst: Dst): boolean {
  const block = metricsOf(st, saddr, daddr, dst, false);
  return block !== null && block.rtt !== 0;
}

/**
 * A connection begins: threshold, reordering and RTO from what is known of the peer. Without a sample from the handshake
 * (its SYN was sent again) the RTO is 3 seconds, and the threshold that the handshake may have lowered is undone. RFC 6298
 * section 5.7; Linux: tcp_init_metrics().
 */
export function tcpInitMetrics(tp: TcpSock): void {
  const { sk, st } = tp;
  tp.sndSsthresh = TCP_INFINITE_SSTHRESH;
  const block = sk.dst === null ? null : metricsOf(st, sk.saddr, sk.daddr, sk.dst, false);
  if (block !== null) {
    if ((block.lock & 1 << RTAX_CWND) !== 0) tp.sndCwndClamp = block.cwnd;
    if (block.ssthresh !== 0 && st.sysctl.noSsthreshMetricsSave === 0) {
      tp.sndSsthresh = Math.min(block.ssthresh, tp.sndCwndClamp);
    }
    if (block.reordering !== 0) tp.reordering = block.reordering;
    if (block.rtt > tp.srttUs) {
      // The handshake's packets are small: the RTO of the data is that of the last connection, the estimate is not.
      const rtt = Math.floor(block.rtt / (8 * USEC_PER_MSEC));
      tp.icskRto = rtt + Math.max(2 * rtt, Math.ceil(tcpRtoMinUs(tp) / USEC_PER_MSEC));
      return;
    }
  }
  if (tp.srttUs !== 0) return;
  tp.rttvarUs = TCP_TIMEOUT_FALLBACK * USEC_PER_MSEC;
  tp.mdevUs = tp.mdevMaxUs = tp.rttvarUs;
  tp.icskRto = TCP_TIMEOUT_FALLBACK;
}

/** A connection ended in order: what it learnt. Linux: tcp_update_metrics(). */
export function tcpUpdateMetrics(tp: TcpSock): void {
  const { sk, st } = tp;
  const dst = sk.dst;
  if (st.sysctl.noMetricsSave !== 0 || dst === null) return;
  const estimated = tp.icskBackoff === 0 && tp.srttUs !== 0;
  const block = metricsOf(st, sk.saddr, sk.daddr, dst, estimated);
  if (block === null) return;
  if (!estimated) {
    // The RTO was all wrong: nothing is better than what is stored.
    if ((block.lock & 1 << RTAX_RTT) === 0) block.rtt = 0;
    return;
  }
  updateRtt(tp, block);
  updateWindow(tp, block);
  block.stamp = st.machine.jiffies;
}

/** A longer round trip counts at once, a shorter one by and by: too long is better than too short. */
function updateRtt(tp: TcpSock, block: TcpMetricsBlock): void {
  const shorter = block.rtt - tp.srttUs;
  if ((block.lock & 1 << RTAX_RTT) === 0) block.rtt = shorter <= 0 ? tp.srttUs : block.rtt - (shorter >> 3);
  if ((block.lock & 1 << RTAX_RTTVAR) !== 0) return;
  const dev = Math.max(Math.abs(shorter) >> 1, tp.mdevUs);
  block.rttvar = dev >= block.rttvar ? dev : block.rttvar - ((block.rttvar - dev) >> 2);
}

/** By how far the connection came: its first slow start, congestion avoidance, or anything else. */
function updateWindow(tp: TcpSock, block: TcpMetricsBlock): void {
  const threshold = tp.st.sysctl.noSsthreshMetricsSave === 0 && (block.lock & 1 << RTAX_SSTHRESH) === 0;
  const window = (block.lock & 1 << RTAX_CWND) === 0;
  const cwnd = tp.sndCwnd;
  if (tp.sndSsthresh >= TCP_INFINITE_SSTHRESH) {
    if (threshold && block.ssthresh !== 0 && cwnd >> 1 > block.ssthresh) block.ssthresh = cwnd >> 1;
    if (window && cwnd > block.cwnd) block.cwnd = cwnd;
  } else if (cwnd >= tp.sndSsthresh && tp.icskCaState === TCP_CA_OPEN) {
    if (threshold) block.ssthresh = Math.max(cwnd >> 1, tp.sndSsthresh);
    if (window) block.cwnd = (block.cwnd + cwnd) >> 1;
  } else {
    if (window) block.cwnd = (block.cwnd + tp.sndSsthresh) >> 1;
    if (threshold && block.ssthresh !== 0 && tp.sndSsthresh > block.ssthresh) block.ssthresh = tp.sndSsthresh;
    // Only here, observed of Linux 6.18 too: reordering that cost nothing is not remembered.
    const seen = tp.reordering !== tp.st.sysctl.reordering && tp.reordering > block.reordering;
    if (seen && (block.lock & 1 << RTAX_REORDERING) === 0) block.reordering = tp.reordering;
  }
}
