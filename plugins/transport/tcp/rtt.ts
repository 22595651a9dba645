/**
 * Round trips and the retransmission timeout. RFC 6298, RFC 7323 section 4; Linux: tcp_rtt_estimator() and around,
 * net/ipv4/tcp_input.c.
 */
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import type { TcpRequestSock } from "./request.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpRtoMinUs } = routeMetrics;
const { FLAG_ACK_MAYBE_DELAYED, FLAG_ACKED, FLAG_SYN_ACKED } = ackState;
const { tcpMstampRefresh, tcpTimeStampMs } = tcpSock;

const USEC_PER_JIFFY = 1000;

/** Least round trip in a while, microseconds; "never measured" is larger than any. Linux: tcp_min_rtt(). */
export function tcpMinRtt(tp: TcpSock): number {
  return tp.rttMinUs < 0 ? 0xffffffff : tp.rttMinUs;
}

/**
 * A sample of `mrttUs` microseconds: Jacobson's estimator, with the deviation taken as its maximum over a round trip,
 * and not raised by a round trip that becomes shorter. Linux: tcp_rtt_estimator().
 */
export function tcpRttEstimator(tp: TcpSock, mrttUs: number): void {
  const rtoMin = tcpRtoMinUs(tp);
  let srtt = tp.srttUs;
  if (srtt === 0) {
    srtt = mrttUs << 3;
    tp.mdevUs = mrttUs << 1;
    tp.rttvarUs = Math.max(tp.mdevUs, rtoMin);
    tp.mdevMaxUs = tp.rttvarUs;
    tp.rttSeq = tp.sndNxt;
  } else {
    let m = mrttUs - (srtt >> 3);
    srtt += m;
    if (m < 0) {
      m = -m - (tp.mdevUs >> 2);
      if (m > 0) m >>= 3;
    } else m -= tp.mdevUs >> 2;
    tp.mdevUs += m;
    if (tp.mdevUs > tp.mdevMaxUs) {
      tp.mdevMaxUs = tp.mdevUs;
      if (tp.mdevMaxUs > tp.rttvarUs) tp.rttvarUs = tp.mdevMaxUs;
    }
    if (((tp.sndUna - tp.rttSeq) | 0) > 0) {
      if (tp.mdevMaxUs < tp.rttvarUs) tp.rttvarUs -= (tp.rttvarUs - tp.mdevMaxUs) >> 2;
      tp.rttSeq = tp.sndNxt;
      tp.mdevMaxUs = rtoMin;
    }
  }
  tp.srttUs = Math.max(1, srtt);
}

/** The RTO from the estimate, rounded up to jiffies. Linux: tcp_set_rto(). */
export function tcpSetRto(tp: TcpSock): void {
  tp.icskRto = Math.ceil(((tp.srttUs >> 3) + tp.rttvarUs) / USEC_PER_JIFFY);
  tcpBoundRto(tp);
}

/** Never more than the upper bound. The lower one stands in the deviation already. Linux: tcp_bound_rto(). */
export function tcpBoundRto(tp: TcpSock): void {
  if (tp.icskRto > tp.opt.rtoMax) tp.icskRto = tp.opt.rtoMax;
}

/**
 * Keeps the least round trip of the last net.ipv4.tcp_min_rtt_wlen seconds, with a second and a third choice from later
 * parts of that time, so that the window may slide without a list of samples. A delayed ACK does not raise it.
 * Linux: tcp_update_rtt_min(), minmax_running_min(), lib/win_minmax.c.
 */
export function tcpUpdateRttMin(tp: TcpSock, rttUs: number, flag: number): void {
  if ((flag & FLAG_ACK_MAYBE_DELAYED) !== 0 && (rttUs > tp.rttMinUs && tp.rttMinUs >= 0)) return;
  const us = rttUs === 0 ? USEC_PER_JIFFY : rttUs;
  const win = tp.st.sysctl.minRttWlen * 1000;
  const now = tp.st.machine.jiffies;
  if (tp.rttMinUs < 0 || us <= tp.rttMinUs || ((now - tp.rttMin3Stamp) >>> 0) > win) {
    tp.rttMinUs = tp.rttMin2Us = tp.rttMin3Us = us;
    tp.rttMinStamp = tp.rttMin2Stamp = tp.rttMin3Stamp = now;
    return;
  }
  if (us <= tp.rttMin2Us) {
    tp.rttMin2Us = tp.rttMin3Us = us;
    tp.rttMin2Stamp = tp.rttMin3Stamp = now;
  } else if (us <= tp.rttMin3Us) {
    tp.rttMin3Us = us;
    tp.rttMin3Stamp = now;
  }
  slideRttMin(tp, us, now, win);
}

function slideRttMin(tp: TcpSock, us: number, now: number, win: number): void {
  const dt = (now - tp.rttMinStamp) >>> 0;
  if (dt > win) {
    nextRttMin(tp, us, now);
    if (((now - tp.rttMinStamp) >>> 0) > win) nextRttMin(tp, us, now);
  } else if (tp.rttMin2Stamp === tp.rttMinStamp && dt > win / 4) {
    tp.rttMin2Us = tp.rttMin3Us = us;
    tp.rttMin2Stamp = tp.rttMin3Stamp = now;
  } else if (tp.rttMin3Stamp === tp.rttMin2Stamp && dt > win / 2) {
    tp.rttMin3Us = us;
    tp.rttMin3Stamp = now;
  }
}

function nextRttMin(tp: TcpSock, us: number, now: number): void {
  tp.rttMinUs = tp.rttMin2Us;
  tp.rttMinStamp = tp.rttMin2Stamp;
  tp.rttMin2Us = tp.rttMin3Us;
  tp.rttMin2Stamp = tp.rttMin3Stamp;
  tp.rttMin3Us = us;
  tp.rttMin3Stamp = now;
}

/** Round trip by the echoed timestamp in microseconds, -1: absurd. Millisecond clock: at least one. Linux: tcp_rtt_tsopt_us(). */
export function tcpRttTsoptUs(tp: TcpSock): number {
  const delta = (tcpTimeStampMs(tp.st.machine) - tp.rcvTsecr) >>> 0;
  if (delta >= 0x7fffffff / 1000) return -1;
  return Math.max(1, delta) * 1000;
}

/**
 * The samples of an ACK become the estimate. `seqRttUs`: from the first segment acknowledged, `sackRttUs`: from the first
 * SACKed, `caRttUs`: from the last of either; -1 each: none. Karn: what was retransmitted gives none, but a timestamp
 * does. True: the estimate was updated. Linux: tcp_ack_update_rtt().
 */
export function tcpAckUpdateRtt(
  tp: TcpSock,
  flag: number,
  seqRttUs: number,
  sackRttUs: number,
  caRttUs: number,
  ss: TcpAckState,
): boolean {
  if (seqRttUs < 0) seqRttUs = sackRttUs;
  if (seqRttUs < 0 && tp.sawTstamp && tp.rcvTsecr !== 0 && (flag & FLAG_ACKED) !== 0) {
    seqRttUs = caRttUs = tcpRttTsoptUs(tp);
  }
  ss.rttUs = caRttUs;
  if (seqRttUs < 0) return false;
  tcpUpdateRttMin(tp, caRttUs, flag);
  tcpRttEstimator(tp, seqRttUs);
  tcpSetRto(tp);
  // RFC 6298 section 5: only a valid sample ends the back-off.
  tp.icskBackoff = 0;
  return true;
}

/** The three-way handshake is the first sample, unless the SYN-ACK was sent again. Linux: tcp_synack_rtt_meas(). */
export function tcpSynackRttMeas(tp: TcpSock, req: TcpRequestSock | null): void {
  let rtt = -1;
  if (req !== null && req.numRetrans === 0 && req.sntSynack !== 0) {
    // A child that was just made has no time yet.
    tcpMstampRefresh(tp);
    rtt = (tp.tcpMstamp - req.sntSynack) | 0;
  }
  const ss = tp.st.ackState;
  tcpAckUpdateRtt(tp, FLAG_SYN_ACKED, rtt, -1, rtt, ss);
}
