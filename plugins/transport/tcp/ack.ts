/**
 * An acknowledgement: what it frees, what it tells of the network, and what may be sent for it. RFC 9293 section
 * 3.10.7.4 step 5, RFC 5681, RFC 6298. Linux: tcp_ack() and around, net/ipv4/tcp_input.c.
 *
 * The common ACK moves SND.UNA, frees the first segments of the retransmission queue, makes a round trip sample, and
 * lets the window grow: it allocates nothing, and its work is the segments that it frees. All else (SACK, ECN,
 * duplicates, a state that is not Open) goes through `tcpFastretransAlert()` in `recovery.ts`.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as fib from "../../network/fib/contract.ts";
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as cwndUsage from "./cwnd_usage.ts";
import * as input from "./input.ts";
import * as memory from "./memory.ts";
import * as mss from "./mss.ts";
import * as output from "./output.ts";
import * as rack from "./rack.ts";
import * as rate from "./rate.ts";
import * as recovery from "./recovery.ts";
import * as retransmit from "./retransmit.ts";
import * as rtt from "./rtt.ts";
import * as sack from "./sack.ts";
import type { SkbRing } from "./skb_ring.ts";
import * as state from "./state.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as timer from "./timer.ts";

export * from "./ack_state.ts";
export { tcpSynackRttMeas } from "./rtt.ts";
import * as txStatus from "./tx_status.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_SOCK } = core;
const { dstConfirm } = fib;
const {
  CA_ACK_ECE,
  CA_ACK_SLOWPATH,
  CA_ACK_WIN_UPDATE,
  FLAG_ACK_MAYBE_DELAYED,
  FLAG_ACKED,
  FLAG_CA_ALERT,
  FLAG_DATA,
  FLAG_DATA_ACKED,
  FLAG_DSACKING_ACK,
  FLAG_ECE,
  FLAG_FORWARD_PROGRESS,
  FLAG_NO_CHALLENGE_ACK,
  FLAG_NOT_DUP,
  FLAG_ORIG_SACK_ACKED,
  FLAG_RETRANS_DATA_ACKED,
  FLAG_SACK_RENEGING,
  FLAG_SET_XMIT_TIMER,
  FLAG_SLOWPATH,
  FLAG_SND_UNA_ADVANCED,
  FLAG_SYN_ACKED,
  FLAG_UPDATE_TS_RECENT,
  FLAG_WIN_UPDATE,
  REXMIT_NEW,
  REXMIT_NONE,
} = ackState;
const { tcpCaInAck, tcpCaPktsAcked, tcpCongControl } = cong;
const { TCP_CA_OPEN, TCP_NAGLE_OFF, TCP_SYN_SENT } = contract;
const { tcpChronoStop, tcpSlowStartAfterIdleCheck } = cwndUsage;
const { tcpSendChallengeAck, tcpStoreTsRecent } = input;
const { tcpWmemFreeSkb } = memory;
const { tcpCurrentMss, tcpSyncMss } = mss;
const { __tcpPushPendingFrames, tcpWndEnd } = output;
const { tcpProcessTlpAck, tcpRackAdvance, tcpRackUpdateReoWnd } = rack;
const { tcpRateGen, tcpRateSkbDelivered } = rate;
const { tcpFastretransAlert, tcpMtupProbeSuccess, tcpRemoveRenoSacks } = recovery;
const { tcpTrimHead, tcpXmitRetransmitQueue } = retransmit;
const { tcpAckUpdateRtt } = rtt;
const { tcpCheckSackReordering, tcpHighestSackSeq, tcpSacktagWriteQueue } = sack;
const { tcpPawsCheck } = state;
const { tcpTxAcked } = txStatus;
const { tcpClampProbe0ToUserTimeout, tcpProbe0When, tcpResetXmitTimer, tcpScheduleLossProbe } = timer;
const {
  after,
  before,
  between,
  CB_ACK,
  CB_END_SEQ,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  ICSK_TIME_LOSS_PROBE,
  ICSK_TIME_NONE,
  ICSK_TIME_PROBE0,
  ICSK_TIME_REO_TIMEOUT,
  ICSK_TIME_RETRANS,
  TCP_CHRONO_BUSY,
  TCP_ECN_OK,
  TCPCB_LOST,
  TCPCB_RETRANS,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
  tcpFastPathCheck,
  TCPHDR_ECE,
  TCPHDR_SYN,
  tcpPacketsInFlight,
  tcpSeconds,
} = tcpSock;

/** Offset of the window in the header. */
const TCP_WINDOW = 14;

/**
 * Takes the acknowledgement of a segment whose sequence number is acceptable. 1: it was taken, 0: it is old, negative: it
 * cannot be, and the segment is to be dropped for that reason. `flag`: FLAG_SLOWPATH and its like from the caller.
 * Linux: tcp_ack(), net/ipv4/tcp_input.c. Borrows `skb`.
 */
export function tcpAck(tp: TcpSock, skb: SkBuff, flag: number): number {
  const st = tp.st;
  const c = st.cb;
  const cb = skb.cb;
  const ack = cb[c + CB_ACK];
  const una = tp.sndUna;
  const advance = (ack - una) | 0;
  if (advance < 0) return oldAck(tp, skb, flag, una, ack);
  if (((tp.sndNxt - ack) | 0) < 0) {
    if ((flag & FLAG_NO_CHALLENGE_ACK) === 0) tcpSendChallengeAck(tp, false);
    return -st.reason.TCP_ACK_UNSENT_DATA;
  }
  if (advance !== 0) {
    flag |= FLAG_SND_UNA_ADVANCED;
    tp.icskRetransmits = 0;
  }
  const ss = st.ackState;
  ss.reset();
  const prior = tp.packetsOut;
  const priorFack = tp.sackedOut !== 0 && tp.sackOk ? tcpHighestSackSeq(tp) : una;
  const priorDelivered = tp.delivered;
  const priorLost = tp.lost;
  const wasReneg = tp.isSackReneg;
  ss.priorInFlight = tcpPacketsInFlight(tp);
  if ((flag & FLAG_UPDATE_TS_RECENT) !== 0) tcpReplaceTsRecent(tp, cb[c + CB_SEQ]);
  if ((flag & (FLAG_SLOWPATH | FLAG_SND_UNA_ADVANCED)) === FLAG_SND_UNA_ADVANCED) {
    // Header prediction: the window is the same.
    tp.sndWl1 = cb[c + CB_SEQ];
    tp.bytesAcked += advance;
    tp.sndUna = ack;
    flag |= FLAG_WIN_UPDATE;
    st.mib.tcpExt.TCPHPAcks++;
  } else flag = slowAck(tp, skb, flag, una, ss);

  tp.sk.errSoft = 0;
  tp.icskProbesOut = 0;
  tp.rcvTstamp = st.machine.jiffies;
  if (prior === 0) return nothingQueued(tp, ack, flag, una, priorDelivered, ss);

  flag = tcpCleanRtxQueue(tp, flag, priorFack, una, ss);
  if ((flag & FLAG_ECE) !== 0) tp.deliveredCe += tp.delivered - priorDelivered;
  tcpRackUpdateReoWnd(tp, ss);
  inAckEvent(tp, flag);
  if (tp.tlpHighSeq !== 0) tcpProcessTlpAck(tp, ack, flag);
  if ((flag & FLAG_NOT_DUP) === 0 || (flag & FLAG_CA_ALERT) !== 0 || tp.icskCaState !== TCP_CA_OPEN) {
    flag = tcpFastretransAlert(tp, una, dupAcks(skb, flag), flag, ss);
  }
  if ((flag & FLAG_SET_XMIT_TIMER) !== 0 && !tcpScheduleLossProbe(tp, true)) tcpRearmRto(tp);
  if ((flag & FLAG_FORWARD_PROGRESS) !== 0 || (flag & FLAG_NOT_DUP) === 0) {
    const dst = tp.sk.dst;
    if (dst !== null) dstConfirm(dst, st.neigh.confirm);
  }
  const delivered = newlyDelivered(tp, priorDelivered, flag);
  ss.isAckDelayed = (flag & FLAG_ACK_MAYBE_DELAYED) !== 0;
  tcpRateGen(tp, delivered, (tp.lost - priorLost) | 0, wasReneg, ss);
  tcpCongControl(tp, ack, delivered, flag, ss);
  if (ss.rexmit !== REXMIT_NONE) tcpXmitRecovery(tp, ss.rexmit);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpAck, skb, ack, tcpPacketsInFlight(tp), tp.sk);
  return 1;
}

/** Duplicate ACKs that this segment counts for: it acknowledges nothing new, and says nothing else. Borrows `skb`. */
function dupAcks(skb: SkBuff, flag: number): number {
  if ((flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DSACKING_ACK)) !== 0) return 0;
  return (flag & FLAG_DATA) === 0 && skb.gsoSegs > 1 ? skb.gsoSegs : 1;
}

/** Window, SACK and marks of an ACK that was not predicted; the flags. Borrows `skb`. */
function slowAck(tp: TcpSock, skb: SkBuff, flag: number, una: number, ss: TcpAckState): number {
  const st = tp.st;
  const cb = skb.cb;
  const c = st.cb;
  const seq = cb[c + CB_SEQ];
  if (cb[c + CB_END_SEQ] !== seq) flag |= FLAG_DATA;
  else st.mib.tcpExt.TCPPureAcks++;
  flag |= tcpAckUpdateWindow(tp, skb, cb[c + CB_ACK], seq);
  // What prediction took has no SACK option; the record is another segment's then.
  if ((flag & FLAG_SLOWPATH) !== 0 && st.rxOpt.numSacks !== 0) {
    tcpSacktagWriteQueue(tp, skb, una, ss);
    flag |= ss.flag;
  }
  if ((tp.ecnFlags & TCP_ECN_OK) !== 0 && (cb[c + CB_FLAGS] & (TCPHDR_ECE | TCPHDR_SYN)) === TCPHDR_ECE) {
    flag |= FLAG_ECE;
  }
  return flag;
}

/** Nothing was in flight: it opens a window, or tells of a duplicate. */
function nothingQueued(
  tp: TcpSock,
  ack: number,
  flag: number,
  una: number,
  priorDelivered: number,
  ss: TcpAckState,
): number {
  inAckEvent(tp, flag);
  if ((flag & FLAG_DSACKING_ACK) !== 0) {
    tcpFastretransAlert(tp, una, 0, flag, ss);
    newlyDelivered(tp, priorDelivered, flag);
  }
  tcpAckProbe(tp);
  if (tp.tlpHighSeq !== 0) tcpProcessTlpAck(tp, ack, flag);
  return 1;
}

/**
 * An ACK that a later one overtook: it may still tell what the peer has. One that is older than any window was is no ACK
 * of this connection: RFC 5961 section 5.2. Borrows `skb`.
 */
function oldAck(tp: TcpSock, skb: SkBuff, flag: number, una: number, ack: number): number {
  const st = tp.st;
  const window = Math.min(tp.maxWindow, tp.bytesAcked);
  if (before(ack, (una - window) | 0)) {
    if ((flag & FLAG_NO_CHALLENGE_ACK) === 0) tcpSendChallengeAck(tp, false);
    return -st.reason.TCP_TOO_OLD_ACK;
  }
  // What it carries may fill a gap, and then it is its timestamp that is echoed.
  if ((flag & FLAG_UPDATE_TS_RECENT) !== 0) tcpReplaceTsRecent(tp, skb.cb[st.cb + CB_SEQ]);
  if ((flag & FLAG_SLOWPATH) === 0 || st.rxOpt.numSacks === 0) return 0;
  const ss = st.ackState;
  ss.reset();
  const priorDelivered = tp.delivered;
  tcpSacktagWriteQueue(tp, skb, una, ss);
  flag = tcpFastretransAlert(tp, una, 0, flag | ss.flag, ss);
  newlyDelivered(tp, priorDelivered, flag);
  if (ss.rexmit !== REXMIT_NONE) tcpXmitRecovery(tp, ss.rexmit);
  return 0;
}

/** Counts what this ACK delivered, and gives it. Linux: tcp_newly_delivered(). */
function newlyDelivered(tp: TcpSock, prior: number, flag: number): number {
  const delivered = (tp.delivered - prior) | 0;
  const ext = tp.st.mib.tcpExt;
  ext.TCPDelivered += delivered;
  if ((flag & FLAG_ECE) !== 0) ext.TCPDeliveredCE += delivered;
  return delivered;
}

/** Tells the congestion control that an ACK came. Linux: tcp_in_ack_event(). */
function inAckEvent(tp: TcpSock, flag: number): void {
  let event = (flag & FLAG_WIN_UPDATE) !== 0 ? CA_ACK_WIN_UPDATE : 0;
  if ((flag & FLAG_SLOWPATH) !== 0) {
    event |= CA_ACK_SLOWPATH;
    if ((flag & FLAG_ECE) !== 0) event |= CA_ACK_ECE;
  }
  tcpCaInAck(tp, event);
}

/**
 * TS.Recent: from segments that begin at or before what was acknowledged last, so that a delayed ACK echoes the first.
 * RFC 7323 section 4.3. Linux: tcp_replace_ts_recent().
 */
function tcpReplaceTsRecent(tp: TcpSock, seq: number): void {
  if (!tp.sawTstamp || after(seq, tp.rcvWup)) return;
  if (tcpPawsCheck(tp.tsRecent, tp.tsRecentStamp, tp.rcvTsval, tcpSeconds(tp.st.machine), 0)) tcpStoreTsRecent(tp);
}

/**
 * The window that the segment tells, if it is newer than the one known: RFC 9293 section 3.10.7.4. Of two that say the
 * same, the larger one counts, or 0. Returns FLAG_WIN_UPDATE or 0. Linux: tcp_ack_update_window(). Borrows `skb`.
 */
function tcpAckUpdateWindow(tp: TcpSock, skb: SkBuff, ack: number, seq: number): number {
  let window = skb.view.getUint16(skb.transportHeader + TCP_WINDOW);
  if ((skb.cb[tp.st.cb + CB_FLAGS] & TCPHDR_SYN) === 0) window <<= tp.sndWscale;
  let flag = 0;
  if (
    after(ack, tp.sndUna) || after(seq, tp.sndWl1) ||
    (seq === tp.sndWl1 && (window > tp.sndWnd || window === 0))
  ) {
    flag = FLAG_WIN_UPDATE;
    tp.sndWl1 = seq;
    if (tp.sndWnd !== window) {
      tp.sndWnd = window;
      tp.predFlags = 0;
      tcpFastPathCheck(tp);
      if (tp.writeHead !== null) tcpSlowStartAfterIdleCheck(tp);
      if (window > tp.maxWindow) {
        tp.maxWindow = window;
        tcpSyncMss(tp, tp.pmtuCookie);
      }
    }
  }
  tp.bytesAcked += (ack - tp.sndUna) | 0;
  tp.sndUna = ack;
  return flag;
}

/**
 * Frees what is acknowledged, and takes its round trip. `priorFack`: the end of the highest SACKed segment before this
 * ACK. The flags. Linux: tcp_clean_rtx_queue(), net/ipv4/tcp_input.c.
 */
export function tcpCleanRtxQueue(
  tp: TcpSock,
  flag: number,
  priorFack: number,
  priorUna: number,
  ss: TcpAckState,
): number {
  const rtx = tp.rtx;
  if (rtx === null) return flag;
  const c = tp.st.cb;
  const una = tp.sndUna;
  const now = tp.tcpMstamp;
  const priorSacked = tp.sackedOut;
  flag = freeAcked(tp, rtx, flag, ss);
  const skb = rtx.head;
  if (skb === null) tcpChronoStop(tp, TCP_CHRONO_BUSY);
  else if ((skb.cb[c + CB_FLAGS] & TCPCB_SACKED_ACKED) !== 0) flag |= FLAG_SACK_RENEGING;
  if (between(tp.sndUp, priorUna, una)) tp.sndUp = una;
  // A hint that points far back would point ahead when the sequence numbers have gone half around.
  if (tp.hasRetransmitHint && before(tp.retransmitHint, una)) tp.hasRetransmitHint = false;

  let seqRtt = -1;
  let sackRtt = -1;
  let caRtt = -1;
  if (ss.firstAckt !== 0 && (flag & FLAG_RETRANS_DATA_ACKED) === 0) {
    seqRtt = (now - ss.firstAckt) | 0;
    caRtt = (now - ss.lastAckt) | 0;
    // A lone small segment over a whole round trip: its ACK was delayed, it seems.
    if (
      ss.pktsAcked === 1 && priorSacked === 0 && ((una - priorUna) | 0) < tp.mssCache && ss.whole &&
      ((ss.priorDelivered + 1) | 0) === tp.delivered && (flag & (FLAG_CA_ALERT | FLAG_SYN_ACKED)) === 0
    ) flag |= FLAG_ACK_MAYBE_DELAYED;
  }
  if (ss.firstSackt !== 0) {
    sackRtt = (now - ss.firstSackt) | 0;
    caRtt = (now - ss.lastSackt) | 0;
  }
  const updated = tcpAckUpdateRtt(tp, flag, seqRtt, sackRtt, caRtt, ss);
  if ((flag & FLAG_ACKED) !== 0) flag = cleaned(tp, flag, priorFack, ss);
  else if (updated && sackRtt >= 0 && skb !== null && sackRtt > ((now - skb.cb[c + CB_MSTAMP]) | 0)) {
    // Of what was sent before the first one went last: that must not put the timeout off again and again.
    flag |= FLAG_SET_XMIT_TIMER;
  }
  tcpCaPktsAcked(tp, ss.pktsAcked, ss.rttUs);
  return flag;
}

/**
 * The loop of {@linkcode tcpCleanRtxQueue}: scoreboard, RACK and rate sample hear of each segment, then it is freed.
 * `ss` tells how many, when they were sent, and the lowest that was sent once. The flags.
 */
function freeAcked(tp: TcpSock, rtx: SkbRing, flag: number, ss: TcpAckState): number {
  const st = tp.st;
  const c = st.cb;
  const una = tp.sndUna;
  const sackOk = tp.sackOk;
  let firstAckt = 0;
  let lastAckt = 0;
  let lowest = tp.sndNxt;
  let pktsAcked = 0;
  ss.whole = true;
  for (let skb = rtx.head; skb !== null; skb = rtx.head) {
    const cb = skb.cb;
    const seq = cb[c + CB_SEQ];
    const endSeq = cb[c + CB_END_SEQ];
    const flags = cb[c + CB_FLAGS];
    let pcount = cb[c + CB_PCOUNT];
    if (((una - endSeq) | 0) < 0) {
      // Some segments of a super-packet.
      if (pcount === 1 || ((una - seq) | 0) <= 0) break;
      tcpTrimHead(tp, skb, (una - seq) | 0);
      pcount -= cb[c + CB_PCOUNT];
      if (pcount === 0) break;
      ss.whole = false;
    }
    const sent = cb[c + CB_MSTAMP];
    if ((flags & TCPCB_RETRANS) !== 0) {
      if ((flags & TCPCB_SACKED_RETRANS) !== 0) tp.retransOut -= pcount;
      flag |= FLAG_RETRANS_DATA_ACKED;
    } else if ((flags & TCPCB_SACKED_ACKED) === 0) {
      lastAckt = sent;
      if (firstAckt === 0) firstAckt = sent;
      if (((seq - lowest) | 0) < 0) lowest = seq;
      if (((endSeq - tp.highSeq) | 0) <= 0) flag |= FLAG_ORIG_SACK_ACKED;
    }
    if ((flags & TCPCB_SACKED_ACKED) !== 0) tp.sackedOut -= pcount;
    else if (sackOk) {
      tp.delivered += pcount;
      if (!spuriousRetrans(tp, flags, sent)) tcpRackAdvance(tp, flags, endSeq, sent);
    }
    if ((flags & TCPCB_LOST) !== 0) tp.lostOut -= pcount;
    tp.packetsOut -= pcount;
    pktsAcked += pcount;
    tcpRateSkbDelivered(tp, skb, ss);
    if ((flags & TCPHDR_SYN) === 0) flag |= FLAG_DATA_ACKED;
    else {
      flag |= FLAG_SYN_ACKED;
      tp.retransStamp = 0;
    }
    if (!ss.whole) break;
    if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpCleanRtxQueue, skb, seq, skb.len, tp.sk);
    if (tp.txNotes !== null) tcpTxAcked(tp, skb);
    rtx.shift();
    tcpWmemFreeSkb(tp, skb);
  }
  ss.firstAckt = firstAckt;
  ss.lastAckt = lastAckt;
  ss.lowest = lowest;
  ss.pktsAcked = pktsAcked;
  return flag;
}

/** Something was freed. The flags. */
function cleaned(tp: TcpSock, flag: number, priorFack: number, ss: TcpAckState): number {
  flag |= FLAG_SET_XMIT_TIMER;
  const mtup = tp.mtup;
  if (mtup !== null && mtup.probeSize !== 0 && !after(mtup.seqEnd, tp.sndUna)) tcpMtupProbeSuccess(tp);
  if (!tp.sackOk) {
    tcpRemoveRenoSacks(tp, ss.pktsAcked);
    // Without SACK the original cannot be told from its repetition.
    if ((flag & FLAG_RETRANS_DATA_ACKED) !== 0) flag &= ~FLAG_ORIG_SACK_ACKED;
  } else if (before(ss.lowest, priorFack)) tcpCheckSackReordering(tp, ss.lowest, false);
  return flag;
}

/** A retransmission that the echoed timestamp shows not to have caused this ACK. Linux: tcp_skb_spurious_retrans(). */
function spuriousRetrans(tp: TcpSock, flags: number, sent: number): boolean {
  if ((flags & TCPCB_RETRANS) === 0 || !tp.sawTstamp || tp.rcvTsecr === 0) return false;
  const ago = (tp.tcpMstamp - sent) | 0;
  return before(tp.rcvTsecr, Math.floor((tp.st.machine.now - ago * 1000) / 1e6) | 0);
}

// ---- what is to be done later

/** The retransmission timer, from now on; what a probe or RACK waited for counts. Linux: tcp_rearm_rto(). */
export function tcpRearmRto(tp: TcpSock): void {
  // The timer is that of a SYN-ACK.
  if (tp.fastopenRsk !== null) return;
  if (tp.packetsOut === 0) {
    tp.icskPending = ICSK_TIME_NONE;
    return;
  }
  let rto = tp.icskRto;
  const pending = tp.icskPending;
  if (pending === ICSK_TIME_REO_TIMEOUT || pending === ICSK_TIME_LOSS_PROBE) {
    const head = tp.rtx === null ? null : tp.rtx.head;
    if (head !== null) {
      const left = rto * 1000 - ((tp.tcpMstamp - head.cb[tp.st.cb + CB_MSTAMP]) | 0);
      rto = Math.ceil(Math.max(left, 1) / 1000);
    }
  }
  tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, rto);
}

/** A window was told while nothing is in flight: is it open? Linux: tcp_ack_probe(). */
function tcpAckProbe(tp: TcpSock): void {
  const head = tp.writeHead;
  if (head === null) return;
  if (!after(head.cb[tp.st.cb + CB_END_SEQ], tcpWndEnd(tp))) {
    tp.icskBackoff = 0;
    tp.icskProbesTstamp = 0;
    if (tp.icskPending === ICSK_TIME_PROBE0) tp.icskPending = ICSK_TIME_NONE;
  } else tcpResetXmitTimer(tp, ICSK_TIME_PROBE0, tcpClampProbe0ToUserTimeout(tp, tcpProbe0When(tp)));
}

/**
 * What recovery decided is sent, now that the window is known. F-RTO sends new data first: if it cannot, what is lost.
 * Linux: tcp_xmit_recovery().
 */
export function tcpXmitRecovery(tp: TcpSock, rexmit: number): void {
  if (rexmit === REXMIT_NONE || tp.sk.state === TCP_SYN_SENT) return;
  if (rexmit === REXMIT_NEW) {
    __tcpPushPendingFrames(tp, tcpCurrentMss(tp), TCP_NAGLE_OFF);
    if (after(tp.sndNxt, tp.highSeq)) return;
    tp.frto = false;
  }
  tcpXmitRetransmitQueue(tp);
}
