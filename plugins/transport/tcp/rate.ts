/**
 * How fast the network delivers: a sample per ACK, from what was delivered between sending a packet and its ACK. Linux:
 * net/ipv4/tcp_rate.c; draft-cheng-iccrg-delivery-rate-estimation.
 */
import type { SkBuff } from "../../../core/mod.ts";
import type { TcpAckState } from "./ack_state.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  CB_DELIVERED,
  CB_DELIVERED_MSTAMP,
  CB_END_SEQ,
  CB_F_APP_LIMITED,
  CB_FIRST_TX_MSTAMP,
  CB_FLAGS,
  CB_MSTAMP,
  CB_SEQ,
  TCPCB_RETRANS,
  TCPCB_SACKED_ACKED,
  tcpPacketsInFlight,
} = tcpSock;

/**
 * A packet is sent; `tp.tcpMstamp` stands in its CB_MSTAMP. With nothing in flight a new interval begins here, for the
 * time before was idle. Linux: tcp_rate_skb_sent(). Borrows `skb`.
 */
export function tcpRateSkbSent(tp: TcpSock, skb: SkBuff): void {
  const cb = skb.cb;
  const c = tp.st.cb;
  if (tp.packetsOut === 0) tp.firstTxMstamp = tp.deliveredMstamp = cb[c + CB_MSTAMP];
  cb[c + CB_FIRST_TX_MSTAMP] = tp.firstTxMstamp;
  cb[c + CB_DELIVERED_MSTAMP] = tp.deliveredMstamp;
  cb[c + CB_DELIVERED] = tp.delivered;
  if (tp.appLimited !== 0) cb[c + CB_FLAGS] |= CB_F_APP_LIMITED;
  else cb[c + CB_FLAGS] &= ~CB_F_APP_LIMITED;
  // Sent before: RACK looks at it again.
  if (((cb[c + CB_SEQ] - tp.sndNxt) | 0) < 0) sentAgain(tp, cb[c + CB_SEQ], cb[c + CB_END_SEQ]);
}

/** Notes where RACK finds what was sent more than once, and whether it went in order of sequence numbers. */
function sentAgain(tp: TcpSock, seq: number, end: number): void {
  const known = tp.rackRetransEnd;
  if (((known - tp.sndUna) | 0) <= 0 || ((known - tp.sndNxt) | 0) > 0) {
    tp.rackRetransStart = seq;
    tp.rackRetransEnd = end;
    tp.rackRetransSorted = true;
    return;
  }
  if (((end - known) | 0) > 0) tp.rackRetransEnd = end;
  else tp.rackRetransSorted = false;
  if (((seq - tp.rackRetransStart) | 0) < 0) tp.rackRetransStart = seq;
}

/**
 * A packet was acknowledged or SACKed: the one sent last makes the sample. Linux: tcp_rate_skb_delivered(). Borrows `skb`.
 */
export function tcpRateSkbDelivered(tp: TcpSock, skb: SkBuff, ss: TcpAckState): void {
  const cb = skb.cb;
  const c = tp.st.cb;
  const deliveredMstamp = cb[c + CB_DELIVERED_MSTAMP];
  if (deliveredMstamp === 0) return;
  const sent = cb[c + CB_MSTAMP];
  const end = cb[c + CB_END_SEQ];
  const newer = (sent - tp.firstTxMstamp) | 0;
  const flags = cb[c + CB_FLAGS];
  if (ss.priorDelivered === 0 || newer > 0 || (newer === 0 && ((end - ss.lastEndSeq) | 0) > 0)) {
    ss.priorDelivered = cb[c + CB_DELIVERED];
    ss.priorMstamp = deliveredMstamp;
    ss.isAppLimited = (flags & CB_F_APP_LIMITED) !== 0;
    ss.isRetrans = (flags & TCPCB_RETRANS) !== 0;
    ss.lastEndSeq = end;
    tp.firstTxMstamp = sent;
    ss.intervalUs = (sent - cb[c + CB_FIRST_TX_MSTAMP]) | 0;
  }
  // SACKed now, acknowledged later: it counts once.
  if ((flags & TCPCB_SACKED_ACKED) !== 0) cb[c + CB_DELIVERED_MSTAMP] = 0;
}

/**
 * Completes the sample of an ACK: `delivered` packets were delivered and `lost` marked lost by it. The interval is the
 * longer one of the sending and of the acknowledging phase, so that compressed ACKs do not feign a rate.
 * Linux: tcp_rate_gen().
 */
export function tcpRateGen(tp: TcpSock, delivered: number, lost: number, isSackReneg: boolean, ss: TcpAckState): void {
  if (tp.appLimited !== 0 && ((tp.delivered - tp.appLimited) | 0) > 0) tp.appLimited = 0;
  if (delivered !== 0) tp.deliveredMstamp = tp.tcpMstamp || 1;
  ss.ackedSacked = delivered;
  ss.losses = lost;
  if (ss.priorMstamp === 0 || isSackReneg) {
    ss.delivered = -1;
    ss.intervalUs = -1;
    return;
  }
  ss.delivered = (tp.delivered - ss.priorDelivered) | 0;
  const acked = (tp.tcpMstamp - ss.priorMstamp) | 0;
  const interval = Math.max(ss.intervalUs, acked);
  // Shorter than any round trip: ambiguous, from a packet that was sent more than once.
  if (interval < tp.rttMinUs || tp.rttMinUs < 0) {
    ss.intervalUs = -1;
    return;
  }
  ss.intervalUs = interval;
  if (!ss.isAppLimited || ss.delivered * tp.rateIntervalUs >= tp.rateDelivered * interval) {
    tp.rateDelivered = ss.delivered;
    tp.rateIntervalUs = interval;
    tp.rateAppLimited = ss.isAppLimited;
  }
}

/**
 * The application left room: samples until what is in flight now is delivered say nothing of the network. `limited`
 * is asked before anything is sent. Linux: tcp_rate_check_app_limited().
 */
export function tcpRateCheckAppLimited(tp: TcpSock): void {
  if (
    ((tp.writeSeq - tp.sndNxt) | 0) < tp.mssCache && tp.sk.wmemAlloc < 2048 && tcpPacketsInFlight(tp) < tp.sndCwnd &&
    tp.lostOut <= tp.retransOut
  ) {
    tp.appLimited = (tp.delivered + tcpPacketsInFlight(tp)) || 1;
  }
}
