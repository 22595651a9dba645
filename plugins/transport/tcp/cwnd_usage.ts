/**
 * Whether the window is used at all: what was not used must not be kept (RFC 9293's RFC 7661), and a connection that was
 * idle starts again. And what the time goes by with, for TCP_INFO. Linux: tcp_cwnd_validate(), tcp_cwnd_restart(),
 * tcp_chrono_start(), net/ipv4/tcp_output.c.
 */
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as routeMetrics from "./route_metrics.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpCaEvent } = cong;
const { tcpInitCwnd } = routeMetrics;
const { CA_EVENT_CWND_RESTART, TCP_CA_CWR, TCP_CA_OPEN, TCP_CA_RECOVERY, TCP_CLOSE_WAIT, TCP_ESTABLISHED } = contract;
const {
  before,
  TCP_CHRONO_BUSY,
  TCP_CHRONO_RWND_LIMITED,
  TCP_CHRONO_SNDBUF_LIMITED,
  TCP_CHRONO_UNSPEC,
} = tcpSock;

/** The window is being reduced. Linux: tcp_in_cwnd_reduction(). */
export function tcpInCwndReduction(tp: TcpSock): boolean {
  return tp.icskCaState === TCP_CA_CWR || tp.icskCaState === TCP_CA_RECOVERY;
}

/** Threshold that the window in use is worth. Linux: tcp_current_ssthresh(). */
export function tcpCurrentSsthresh(tp: TcpSock): number {
  if (tcpInCwndReduction(tp)) return tp.sndSsthresh;
  return Math.max(tp.sndSsthresh, (tp.sndCwnd >> 1) + (tp.sndCwnd >> 2));
}

/** RFC 2861: nothing was sent for `delta` jiffies; the window is halved for each RTO. Linux: tcp_cwnd_restart(). */
export function tcpCwndRestart(tp: TcpSock, delta: number): void {
  const restart = Math.min(tcpInitCwnd(tp), tp.sndCwnd);
  let cwnd = tp.sndCwnd;
  tcpCaEvent(tp, CA_EVENT_CWND_RESTART);
  tp.sndSsthresh = tcpCurrentSsthresh(tp);
  for (delta -= tp.icskRto; delta > 0 && cwnd > restart; delta -= tp.icskRto) cwnd >>= 1;
  tp.sndCwnd = Math.max(cwnd, restart);
  tp.sndCwndStamp = tp.st.machine.jiffies;
  tp.sndCwndUsed = 0;
}

/** Before data is written to an idle connection. Linux: tcp_slow_start_after_idle_check(). */
export function tcpSlowStartAfterIdleCheck(tp: TcpSock): void {
  if (tp.packetsOut !== 0 || tp.st.sysctl.slowStartAfterIdle === 0 || tp.icskCaOps.congControl !== null) return;
  const delta = (tp.st.machine.jiffies - tp.lsndtime) | 0;
  if (delta > tp.icskRto) tcpCwndRestart(tp, delta);
}

/** The application did not fill the window for an RTO. RFC 2861. Linux: tcp_cwnd_application_limited(). */
function applicationLimited(tp: TcpSock): void {
  if (tp.icskCaState === TCP_CA_OPEN && !tp.sk.nospace) {
    const used = Math.max(tp.sndCwndUsed, tcpInitCwnd(tp));
    if (used < tp.sndCwnd) {
      tp.sndSsthresh = tcpCurrentSsthresh(tp);
      tp.sndCwnd = (tp.sndCwnd + used) >> 1;
    }
    tp.sndCwndUsed = 0;
  }
  tp.sndCwndStamp = tp.st.machine.jiffies;
}

/** After sending: notes how much of the window is used. Linux: tcp_cwnd_validate(), net/ipv4/tcp_output.c. */
export function tcpCwndValidate(tp: TcpSock, isCwndLimited: boolean): void {
  if (
    !before(tp.sndUna, tp.cwndUsageSeq) || isCwndLimited || (!tp.isCwndLimited && tp.packetsOut > tp.maxPacketsOut)
  ) {
    tp.isCwndLimited = isCwndLimited;
    tp.maxPacketsOut = tp.packetsOut;
    tp.cwndUsageSeq = tp.sndNxt;
  }
  const now = tp.st.machine.jiffies;
  if (tp.isCwndLimited || (tp.sndCwnd < tp.sndSsthresh && tp.sndCwnd < 2 * tp.maxPacketsOut)) {
    tp.sndCwndUsed = 0;
    tp.sndCwndStamp = now;
    return;
  }
  if (tp.packetsOut > tp.sndCwndUsed) tp.sndCwndUsed = tp.packetsOut;
  if (
    tp.st.sysctl.slowStartAfterIdle !== 0 && ((now - tp.sndCwndStamp) | 0) >= tp.icskRto &&
    tp.icskCaOps.congControl === null
  ) applicationLimited(tp);
  // All was sent, the window has room, and the writer waits for the buffer: that is what limits.
  if (tp.sk.nospace && tp.writeHead === null) {
    const state = tp.sk.state;
    if (state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT) tcpChronoStart(tp, TCP_CHRONO_SNDBUF_LIMITED);
  }
}

function chronoSet(tp: TcpSock, type: number): void {
  const now = tp.st.machine.jiffies;
  const spent = (now - tp.chronoStart) | 0;
  if (tp.chronoType === TCP_CHRONO_BUSY) tp.chronoBusy += spent;
  else if (tp.chronoType === TCP_CHRONO_RWND_LIMITED) tp.chronoRwnd += spent;
  else if (tp.chronoType === TCP_CHRONO_SNDBUF_LIMITED) tp.chronoSndbuf += spent;
  tp.chronoStart = now;
  tp.chronoType = type;
}

/** Something more interesting begins to be timed. Linux: tcp_chrono_start(). */
export function tcpChronoStart(tp: TcpSock, type: number): void {
  if (type > tp.chronoType) chronoSet(tp, type);
}

/** It ends; while data is outstanding the connection is busy. Linux: tcp_chrono_stop(). */
export function tcpChronoStop(tp: TcpSock, type: number): void {
  if (tp.writeHead === null && (tp.rtx === null || tp.rtx.length === 0)) {
    if (tp.chronoType !== TCP_CHRONO_UNSPEC) chronoSet(tp, TCP_CHRONO_UNSPEC);
  } else if (type === tp.chronoType) chronoSet(tp, TCP_CHRONO_BUSY);
}
