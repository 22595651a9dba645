/**
 * RACK-TLP: what was sent before something that was delivered, and is late by more than reordering explains, is lost.
 * RFC 8985; Linux: net/ipv4/tcp_recovery.c, tcp_process_tlp_ack().
 *
 * Linux keeps all that is in flight in a list by time of sending. Here what was sent once stands in that order in the
 * retransmission queue already, and is judged once, from `rackScanSeq` on; what was sent more than once lies between
 * `rackRetransStart` and `rackRetransEnd`, mostly in order as well. SACKed runs are jumped over.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as ack from "./ack.ts";
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import * as cong from "./cong.ts";
import { TCP_CA_CWR, TCP_CA_RECOVERY } from "./contract.ts";
import * as recovery from "./recovery.ts";
import * as retransmit from "./retransmit.ts";
import * as rtt from "./rtt.ts";
import * as sack from "./sack.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as timer from "./timer.ts";
import * as undo from "./undo.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpRearmRto } = ack;
const { tcpXmitRetransmitQueue } = retransmit;
const { tcpMinRtt } = rtt;
const { tcpSackRunEnd } = sack;
const { tcpResetXmitTimer } = timer;
const { tcpTryKeepOpen } = undo;
const { FLAG_DATA_SACKED, FLAG_DSACK_TLP, FLAG_NOT_DUP, FLAG_SND_UNA_ADVANCED } = ackState;
const { tcpSetCaState } = cong;
const { tcpCwndReduction, tcpEndCwndReduction, tcpEnterRecovery, tcpInitCwndReduction, tcpMarkSkbLost } = recovery;
const {
  after,
  before,
  CB_END_SEQ,
  CB_FLAGS,
  CB_MSTAMP,
  CB_SEQ,
  ICSK_TIME_REO_TIMEOUT,
  ICSK_TIME_RETRANS,
  TCPCB_EVER_RETRANS,
  TCPCB_LOST,
  TCPCB_RETRANS,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
  tcpPacketsInFlight,
} = tcpSock;

/** Bits of net.ipv4.tcp_recovery: the reordering window is fixed. */
const TCP_RACK_STATIC_REO_WND = 2;
/** Duplicate ACKs do not close the window. */
const TCP_RACK_NO_DUPTHRESH = 4;
/** Recoveries for which a widened window stays. */
export const TCP_RACK_RECOVERY_THRESH = 16;
/** Slack of timers, jiffies. Linux: TCP_TIMEOUT_MIN_US. */
const TCP_TIMEOUT_MIN = 2;

/** Sent later, or at the same time behind. Linux: tcp_skb_sent_after(). */
function sentAfter(t1: number, t2: number, seq1: number, seq2: number): boolean {
  const d = (t1 - t2) | 0;
  return d > 0 || (d === 0 && after(seq1, seq2));
}

/**
 * A segment was delivered: is it the one sent last of all that were? A retransmission that is delivered sooner than any
 * round trip was the original. Linux: tcp_rack_advance().
 */
export function tcpRackAdvance(tp: TcpSock, flags: number, endSeq: number, sent: number): void {
  const rtt = (tp.tcpMstamp - sent) | 0;
  if ((flags & TCPCB_RETRANS) !== 0 && rtt < tcpMinRtt(tp)) return;
  tp.rackAdvanced = true;
  tp.rackRttUs = rtt;
  const d = (sent - tp.rackMstamp) | 0;
  if (d > 0 || (d === 0 && ((endSeq - tp.rackEndSeq) | 0) > 0)) {
    tp.rackMstamp = sent;
    tp.rackEndSeq = endSeq;
  }
}

/**
 * How long the network may reorder, microseconds: a quarter of the least round trip, more where D-SACKs showed that
 * it was not enough; nothing where no reordering was ever seen and duplicate ACKs make a loss evident.
 * Linux: tcp_rack_reo_wnd().
 */
function tcpRackReoWnd(tp: TcpSock): number {
  if (tp.reordSeen === 0) {
    if (tp.icskCaState >= TCP_CA_RECOVERY) return 0;
    if (tp.sackedOut >= tp.reordering && (tp.st.sysctl.recovery & TCP_RACK_NO_DUPTHRESH) === 0) return 0;
  }
  return Math.min((tcpMinRtt(tp) >>> 2) * tp.rackReoWndSteps, tp.srttUs >> 3);
}

/** Microseconds that `skb` may still be late; 0 or less: none. Linux: tcp_rack_skb_timeout(). Borrows `skb`. */
export function tcpRackSkbTimeout(tp: TcpSock, skb: SkBuff, reoWnd: number): number {
  return tp.rackRttUs + reoWnd - ((tp.tcpMstamp - skb.cb[tp.st.cb + CB_MSTAMP]) | 0);
}

/** Marks what is late; returns the microseconds until the next may be, 0: none. Linux: tcp_rack_detect_loss(). */
function tcpRackDetectLoss(tp: TcpSock): number {
  const rtx = tp.rtx;
  if (rtx === null || rtx.length === 0) return 0;
  const reoWnd = tcpRackReoWnd(tp);
  return Math.max(detectRetransmitted(tp, reoWnd), detectOriginals(tp, reoWnd));
}

/** Of what was sent more than once. */
function detectRetransmitted(tp: TcpSock, reoWnd: number): number {
  const rtx = tp.rtx!;
  const c = tp.st.cb;
  const end = tp.rackRetransEnd;
  let timeout = 0;
  if (!after(end, tp.sndUna) || after(end, tp.sndNxt)) return 0;
  for (let i = Math.max(0, rtx.find(tp.rackRetransStart)); i < rtx.length;) {
    const skb = rtx.at(i);
    const cb = skb.cb;
    if (!before(cb[c + CB_SEQ], end)) break;
    const flags = cb[c + CB_FLAGS];
    if ((flags & TCPCB_SACKED_ACKED) !== 0) {
      i = tcpSackRunEnd(tp, rtx, i);
      continue;
    }
    i++;
    if ((flags & TCPCB_EVER_RETRANS) === 0 || (flags & (TCPCB_LOST | TCPCB_SACKED_RETRANS)) === TCPCB_LOST) continue;
    if (!sentAfter(tp.rackMstamp, cb[c + CB_MSTAMP], tp.rackEndSeq, cb[c + CB_END_SEQ])) {
      if (tp.rackRetransSorted) break;
      continue;
    }
    const remaining = tcpRackSkbTimeout(tp, skb, reoWnd);
    if (remaining <= 0) tcpMarkSkbLost(tp, skb);
    else if (remaining > timeout) timeout = remaining;
  }
  return timeout;
}

/** Of what was sent once: in order of sending, so that the first that is not late ends it. */
function detectOriginals(tp: TcpSock, reoWnd: number): number {
  const rtx = tp.rtx!;
  const c = tp.st.cb;
  const from = tp.rackScanSeq;
  let timeout = 0;
  let resume = true;
  const known = !before(from, tp.sndUna) && !after(from, tp.sndNxt);
  let i = known ? Math.max(0, rtx.find(from)) : 0;
  let seen = known ? from : tp.sndUna;
  while (i < rtx.length) {
    const skb = rtx.at(i);
    const cb = skb.cb;
    const flags = cb[c + CB_FLAGS];
    if ((flags & TCPCB_SACKED_ACKED) !== 0) {
      i = tcpSackRunEnd(tp, rtx, i);
      if (resume) seen = rtx.at(i - 1).cb[c + CB_END_SEQ];
      continue;
    }
    if ((flags & (TCPCB_EVER_RETRANS | TCPCB_LOST)) === 0) {
      if (!sentAfter(tp.rackMstamp, cb[c + CB_MSTAMP], tp.rackEndSeq, cb[c + CB_END_SEQ])) break;
      const remaining = tcpRackSkbTimeout(tp, skb, reoWnd);
      if (remaining <= 0) tcpMarkSkbLost(tp, skb);
      else {
        // It is judged again; what was judged before it is not.
        resume = false;
        if (remaining > timeout) timeout = remaining;
      }
    }
    if (resume) seen = cb[c + CB_END_SEQ];
    i++;
  }
  tp.rackScanSeq = seen;
  return timeout;
}

/** After an ACK: true when the reordering timer was set, because something may be late soon. Linux: tcp_rack_mark_lost(). */
export function tcpRackMarkLost(tp: TcpSock): boolean {
  if (!tp.rackAdvanced) return false;
  tp.rackAdvanced = false;
  const timeout = tcpRackDetectLoss(tp);
  if (timeout === 0) return false;
  tcpResetXmitTimer(tp, ICSK_TIME_REO_TIMEOUT, Math.ceil(timeout / 1000) + TCP_TIMEOUT_MIN);
  return true;
}

/** The reordering timer: what it waited for is lost now. Linux: tcp_rack_reo_timeout(). */
export function tcpRackReoTimeout(tp: TcpSock): void {
  const lost = tp.lost;
  const prior = tcpPacketsInFlight(tp);
  tcpRackDetectLoss(tp);
  if (prior !== tcpPacketsInFlight(tp)) {
    if (tp.icskCaState !== TCP_CA_RECOVERY) {
      tcpEnterRecovery(tp, false);
      if (tp.icskCaOps.congControl === null) tcpCwndReduction(tp, 1, tp.lost - lost, 0);
    }
    tcpXmitRetransmitQueue(tp);
  }
  if (tp.icskPending !== ICSK_TIME_RETRANS) tcpRearmRto(tp);
}

/**
 * A round trip with a D-SACK widens the reordering window by a step, for 16 recoveries. Linux: tcp_rack_update_reo_wnd().
 */
export function tcpRackUpdateReoWnd(tp: TcpSock, ss: TcpAckState): void {
  if (ss.priorDelivered === 0 || (tp.st.sysctl.recovery & TCP_RACK_STATIC_REO_WND) !== 0) return;
  if (before(ss.priorDelivered, tp.rackLastDelivered)) tp.rackDsackSeen = false;
  if (tp.rackDsackSeen) {
    tp.rackReoWndSteps = Math.min(0xff, tp.rackReoWndSteps + 1);
    tp.rackDsackSeen = false;
    tp.rackLastDelivered = tp.delivered;
    tp.rackReoWndPersist = TCP_RACK_RECOVERY_THRESH;
  } else if (tp.rackReoWndPersist === 0) tp.rackReoWndSteps = 1;
}

/**
 * An ACK while a tail loss probe is out: was the probe needed? If it repaired a loss, that loss counts as congestion.
 * RFC 8985 section 7.4; Linux: tcp_process_tlp_ack().
 */
export function tcpProcessTlpAck(tp: TcpSock, ack: number, flag: number): void {
  if (before(ack, tp.tlpHighSeq)) return;
  if (!tp.tlpRetrans || (flag & FLAG_DSACK_TLP) !== 0) tp.tlpHighSeq = 0;
  else if (after(ack, tp.tlpHighSeq)) {
    tcpInitCwndReduction(tp);
    tcpSetCaState(tp, TCP_CA_CWR);
    tcpEndCwndReduction(tp);
    tcpTryKeepOpen(tp);
    tp.st.mib.tcpExt.TCPLossProbeRecovery++;
  } else if ((flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DATA_SACKED)) === 0) {
    // A bare duplicate: both the original and the probe came.
    tp.tlpHighSeq = 0;
  }
}
