/**
 * Reno, and the parts of it that other congestion controls use. RFC 5681; Linux: net/ipv4/tcp_cong.c.
 *
 * A leaf: it imports the contract only, so that anything may import it.
 *
 * @module
 */
import type { TcpCongestionOps, TcpCongestionSock } from "./contract.ts";

/** The window is below the threshold: it may double per round trip. Linux: tcp_in_slow_start(). */
export function tcpInSlowStart(tp: TcpCongestionSock): boolean {
  return tp.sndCwnd < tp.sndSsthresh;
}

/**
 * Whether the window, not the application, limits what is sent; a window that is not used must not grow (RFC 7661). In
 * slow start it grows to twice what was in flight. Linux: tcp_is_cwnd_limited().
 */
export function tcpIsCwndLimited(tp: TcpCongestionSock): boolean {
  if (tp.isCwndLimited) return true;
  return tp.sndCwnd < tp.sndSsthresh && tp.sndCwnd < 2 * tp.maxPacketsOut;
}

/**
 * Slow start with appropriate byte counting: the window grows by what was acknowledged, up to the threshold. What is
 * left of `acked` is returned, for congestion avoidance. RFC 3465; Linux: tcp_slow_start().
 */
export function tcpSlowStart(tp: TcpCongestionSock, acked: number): number {
  const cwnd = Math.min(tp.sndCwnd + acked, tp.sndSsthresh);
  acked -= cwnd - tp.sndCwnd;
  tp.sndCwnd = Math.min(cwnd, tp.sndCwndClamp);
  return acked;
}

/** One packet more for each `w` acknowledged, on average. Linux: tcp_cong_avoid_ai(). */
export function tcpCongAvoidAi(tp: TcpCongestionSock, w: number, acked: number): void {
  // Credit from a time when w was larger is given out gently.
  if (tp.sndCwndCnt >= w) {
    tp.sndCwndCnt = 0;
    tp.sndCwnd++;
  }
  tp.sndCwndCnt += acked;
  if (tp.sndCwndCnt >= w) {
    const delta = Math.trunc(tp.sndCwndCnt / w);
    tp.sndCwndCnt -= delta * w;
    tp.sndCwnd += delta;
  }
  if (tp.sndCwnd > tp.sndCwndClamp) tp.sndCwnd = tp.sndCwndClamp;
}

/** Slow start, then one packet per round trip. Linux: tcp_reno_cong_avoid(). */
export function tcpRenoCongAvoid(tp: TcpCongestionSock, _ack: number, acked: number): void {
  if (!tcpIsCwndLimited(tp)) return;
  if (tp.sndCwnd < tp.sndSsthresh) {
    acked = tcpSlowStart(tp, acked);
    if (acked === 0) return;
  }
  tcpCongAvoidAi(tp, tp.sndCwnd, acked);
}

/** Half of the window, at least 2. Linux: tcp_reno_ssthresh(). */
export function tcpRenoSsthresh(tp: TcpCongestionSock): number {
  return Math.max(tp.sndCwnd >> 1, 2);
}

/** The window from before the reduction. Linux: tcp_reno_undo_cwnd(). */
export function tcpRenoUndoCwnd(tp: TcpCongestionSock): number {
  return Math.max(tp.sndCwnd, tp.priorCwnd);
}

/** What a control does that does not care. */
export function nothing(): void {}

/** Reno. */
export const reno: TcpCongestionOps = {
  name: "reno",
  needsEcn: false,
  init: nothing,
  release: nothing,
  ssthresh: tcpRenoSsthresh,
  congAvoid: tcpRenoCongAvoid,
  setState: nothing,
  cwndEvent: nothing,
  inAckEvent: nothing,
  pktsAcked: nothing,
  undoCwnd: tcpRenoUndoCwnd,
  congControl: null,
};
