/**
 * The states of congestion: what an ACK that is not ordinary means, when recovery begins and ends, what counts as lost,
 * and how the window shrinks meanwhile. RFC 5681, RFC 6582 (without SACK), RFC 8985 (with), RFC 6937 (PRR), RFC 5682
 * (F-RTO), RFC 3168. Linux: tcp_fastretrans_alert() and around, net/ipv4/tcp_input.c.
 *
 * Open: nothing special. Disorder: something is SACKed. CWR: the window shrinks without a loss. Recovery: something is
 * lost and goes again. Loss: the timer fired, all in flight is lost.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as cwndUsage from "./cwnd_usage.ts";
import * as mss from "./mss.ts";
import * as output from "./output.ts";
import * as rack from "./rack.ts";
import * as retransmit from "./retransmit.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as timer from "./timer.ts";
import * as undo from "./undo.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  FLAG_DATA_SACKED,
  FLAG_ECE,
  FLAG_LOST_RETRANS,
  FLAG_ORIG_SACK_ACKED,
  FLAG_SACK_RENEGING,
  FLAG_SET_XMIT_TIMER,
  FLAG_SND_UNA_ADVANCED,
  REXMIT_LOST,
  REXMIT_NEW,
} = ackState;
const { tcpCaEvent, tcpSetCaState } = cong;
const {
  CA_EVENT_COMPLETE_CWR,
  CA_EVENT_LOSS,
  TCP_CA_CWR,
  TCP_CA_DISORDER,
  TCP_CA_LOSS,
  TCP_CA_OPEN,
  TCP_CA_RECOVERY,
  TCP_SYN_SENT,
} = contract;
const { tcpCurrentSsthresh, tcpInCwndReduction } = cwndUsage;
const { tcpCurrentMss, tcpMssToMtu, tcpSyncMss } = mss;
const { tcpWndEnd } = output;
const { tcpRackMarkLost, tcpRackSkbTimeout } = rack;
const { tcpFragment, tcpXmitRetransmitQueue } = retransmit;
const { tcpResetXmitTimer } = timer;
const {
  tcpRetransStampCleanup,
  tcpTryKeepOpen,
  tcpTryToOpen,
  tcpTryUndoDsack,
  tcpTryUndoLoss,
  tcpTryUndoPartial,
  tcpTryUndoRecovery,
} = undo;
const {
  after,
  before,
  CB_FLAGS,
  CB_PCOUNT,
  CB_SEQ,
  ICSK_TIME_RETRANS,
  TCP_ECN_OK,
  TCP_ECN_QUEUE_CWR,
  TCP_INFINITE_SSTHRESH,
  TCPCB_LOST,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
  tcpPacketsInFlight,
  tcpTimeStampMs,
} = tcpSock;

/** Least time that a receiver gets to SACK again what it seems to have forgotten, jiffies. */
const RENEGING_DELAY = 10;

export { tcpTryKeepOpen, tcpTryToOpen };

// ---- the machine

/**
 * An ACK that is not ordinary, or that comes in a state that is not Open. Moves the state, decides what is lost, and
 * leaves in `ss.rexmit` what is to be sent again. `dupAcks`: duplicate ACKs that the segment stands for. The flags.
 * Linux: tcp_fastretrans_alert(), net/ipv4/tcp_input.c.
 */
export function tcpFastretransAlert(
  tp: TcpSock,
  priorUna: number,
  dupAcks: number,
  flag: number,
  ss: TcpAckState,
): number {
  const ece = (flag & FLAG_ECE) !== 0;
  const advanced = (flag & FLAG_SND_UNA_ADVANCED) !== 0;
  if (tp.packetsOut === 0 && tp.sackedOut !== 0) tp.sackedOut = 0;
  // A mark is not disproved by anything.
  if (ece) tp.priorSsthresh = 0;
  if ((flag & FLAG_SACK_RENEGING) !== 0 && advanced) {
    const delay = Math.max(Math.ceil((tp.srttUs >>> 4) / 1000), RENEGING_DELAY);
    tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, delay);
    return flag & ~FLAG_SET_XMIT_TIMER;
  }
  if (tp.icskCaState === TCP_CA_OPEN) tp.retransStamp = 0;
  else if (!before(tp.sndUna, tp.highSeq) && leaveState(tp)) return flag;

  switch (tp.icskCaState) {
    case TCP_CA_RECOVERY:
      if (!advanced) { if (!tp.sackOk) addRenoSacks(tp, dupAcks, ece); }
      else if (tcpTryUndoPartial(tp, priorUna)) return flag;
      if (tcpTryUndoDsack(tp)) tcpTryToOpen(tp, ece);
      flag = identifyPacketLoss(tp, flag);
      if (caState(tp) !== TCP_CA_RECOVERY) {
        // It was undone. With a loss that is evident another one begins.
        if (tp.lostOut === 0) return flag;
        tcpEnterRecovery(tp, ece);
      }
      ss.rexmit = REXMIT_LOST;
      return flag;
    case TCP_CA_LOSS:
      if (tcpProcessLoss(tp, flag, dupAcks, ss) !== TCP_CA_LOSS) updateRtoTime(tp);
      flag = identifyPacketLoss(tp, flag);
      if (caState(tp) !== TCP_CA_OPEN && (flag & FLAG_LOST_RETRANS) === 0) return flag;
      break;
  }
  if (!tp.sackOk) {
    if (advanced) tp.sackedOut = 0;
    addRenoSacks(tp, dupAcks, ece);
  }
  if (tp.icskCaState <= TCP_CA_DISORDER) tcpTryUndoDsack(tp);
  flag = identifyPacketLoss(tp, flag);
  if (tp.lostOut === 0) {
    tcpTryToOpen(tp, ece);
    return flag;
  }
  const mtup = tp.mtup;
  if (tp.icskCaState < TCP_CA_CWR && mtup !== null && mtup.probeSize !== 0 && tp.sndUna === mtup.seqStart) {
    // The probe was too large: no congestion.
    mtup.searchHigh = mtup.probeSize - 1;
    mtup.probeSize = 0;
    tp.st.mib.tcpExt.TCPMTUPFail++;
    tp.sndCwnd++;
    tcpSimpleRetransmit(tp);
    return flag;
  }
  tcpEnterRecovery(tp, ece);
  ss.rexmit = REXMIT_LOST;
  return flag;
}

/** What was in flight at the onset is acknowledged. True: nothing more is to be done with this ACK. */
function leaveState(tp: TcpSock): boolean {
  switch (tp.icskCaState) {
    case TCP_CA_CWR:
      // Until something beyond is acknowledged: the peer must have seen CWR.
      if (tp.sndUna !== tp.highSeq) {
        tcpEndCwndReduction(tp);
        tcpSetCaState(tp, TCP_CA_OPEN);
      }
      return false;
    case TCP_CA_RECOVERY:
      if (!tp.sackOk) tp.sackedOut = 0;
      if (tcpTryUndoRecovery(tp)) return true;
      tcpEndCwndReduction(tp);
  }
  return false;
}

/** Marks what is lost by now; the flags. Linux: tcp_identify_packet_loss(). */
function identifyPacketLoss(tp: TcpSock, flag: number): number {
  const rtx = tp.rtx;
  if (rtx === null || rtx.length === 0) return flag;
  if (!tp.sackOk) {
    newrenoMarkLost(tp, (flag & FLAG_SND_UNA_ADVANCED) !== 0);
    return flag;
  }
  const retrans = tp.retransOut;
  if (tcpRackMarkLost(tp)) flag &= ~FLAG_SET_XMIT_TIMER;
  if (retrans > tp.retransOut) flag |= FLAG_LOST_RETRANS;
  return flag;
}

/**
 * Without SACK the first segment is lost after enough duplicate ACKs, and with each ACK in recovery that does not end it
 * the next one is. RFC 6582. Linux: tcp_newreno_mark_lost().
 */
function newrenoMarkLost(tp: TcpSock, advanced: boolean): void {
  const state = tp.icskCaState;
  if (!((state < TCP_CA_RECOVERY && tp.sackedOut >= tp.reordering) || (state === TCP_CA_RECOVERY && advanced))) return;
  const head = tp.rtx!.head!;
  const c = tp.st.cb;
  if ((head.cb[c + CB_FLAGS] & TCPCB_LOST) !== 0) return;
  const size = head.gsoSize;
  if (head.cb[c + CB_PCOUNT] > 1 && head.len > size) tcpFragment(tp, "rtx", head, size, size);
  tcpMarkSkbLost(tp, head);
}

/**
 * An ACK after a timeout. F-RTO: if new data is acknowledged that was not sent again, the timeout was spurious. The state.
 * RFC 5682 section 3.1. Linux: tcp_process_loss().
 */
function tcpProcessLoss(tp: TcpSock, flag: number, dupAcks: number, ss: TcpAckState): number {
  const advanced = (flag & FLAG_SND_UNA_ADVANCED) !== 0;
  const recovered = !before(tp.sndUna, tp.highSeq);
  if (advanced && tcpTryUndoLoss(tp, false)) return tp.icskCaState;
  if (tp.frto) {
    if ((flag & FLAG_ORIG_SACK_ACKED) !== 0 && tcpTryUndoLoss(tp, true)) return tp.icskCaState;
    if (after(tp.sndNxt, tp.highSeq)) {
      if ((flag & FLAG_DATA_SACKED) !== 0 || dupAcks !== 0) tp.frto = false;
    } else if (advanced && !recovered) {
      tp.highSeq = tp.sndNxt;
      if (tp.writeHead !== null && after(tcpWndEnd(tp), tp.sndNxt)) {
        ss.rexmit = REXMIT_NEW;
        return TCP_CA_LOSS;
      }
      tp.frto = false;
    }
  }
  if (recovered) {
    tcpTryUndoRecovery(tp);
    return tp.icskCaState;
  }
  if (!tp.sackOk) {
    if (after(tp.sndNxt, tp.highSeq) && dupAcks !== 0) addRenoSacks(tp, dupAcks, (flag & FLAG_ECE) !== 0);
    else if (advanced) tp.sackedOut = 0;
  }
  ss.rexmit = REXMIT_LOST;
  return TCP_CA_LOSS;
}

/** The state, which functions called meanwhile may have changed. */
function caState(tp: TcpSock): number {
  return tp.icskCaState;
}

/** The recovery from timeouts is over. Linux: tcp_update_rto_time(). */
function updateRtoTime(tp: TcpSock): void {
  if (tp.rtoStamp === 0) return;
  tp.totalRtoTime += (tcpTimeStampMs(tp.st.machine) - tp.rtoStamp) | 0;
  tp.rtoStamp = 0;
}

// ---- entering

/** What is sent again from here on may be disproved. Linux: tcp_init_undo(). */
function initUndo(tp: TcpSock): void {
  tp.undoMarker = tp.sndUna;
  // What is in flight already may bring a D-SACK as well, the loss probe too.
  tp.undoRetrans = tp.retransOut + (tp.tlpHighSeq !== 0 && tp.tlpRetrans ? 1 : 0);
  if (tp.undoRetrans === 0) tp.undoRetrans = -1;
}

/** Something is lost. RFC 5681 section 3.2. Linux: tcp_enter_recovery(). */
export function tcpEnterRecovery(tp: TcpSock, ece: boolean): void {
  const ext = tp.st.mib.tcpExt;
  tcpRetransStampCleanup(tp);
  if (tp.sackOk) ext.TCPSackRecovery++;
  else ext.TCPRenoRecovery++;
  tp.priorSsthresh = 0;
  initUndo(tp);
  if (!tcpInCwndReduction(tp)) {
    if (!ece) tp.priorSsthresh = tcpCurrentSsthresh(tp);
    tcpInitCwndReduction(tp);
  }
  tcpSetCaState(tp, TCP_CA_RECOVERY);
}

/** A mark was echoed, or a queue of ours is full: the window shrinks, nothing goes again. Linux: tcp_enter_cwr(). */
export function tcpEnterCwr(tp: TcpSock): void {
  tp.priorSsthresh = 0;
  if (tp.icskCaState >= TCP_CA_CWR) return;
  tp.undoMarker = 0;
  tcpInitCwndReduction(tp);
  tcpSetCaState(tp, TCP_CA_CWR);
}

/** The retransmission timer fired: slow start from one segment. RFC 5681 section 3.1. Linux: tcp_enter_loss(). */
export function tcpEnterLoss(tp: TcpSock): void {
  const state = tp.icskCaState;
  const s = tp.st.sysctl;
  const fresh = state < TCP_CA_RECOVERY;
  timeoutMarkLost(tp);
  // Once per window, whatever happens in it.
  if (
    state <= TCP_CA_DISORDER || !after(tp.highSeq, tp.sndUna) || (state === TCP_CA_LOSS && tp.icskRetransmits === 0)
  ) {
    tp.priorSsthresh = tcpCurrentSsthresh(tp);
    tp.priorCwnd = tp.sndCwnd;
    tp.sndSsthresh = tp.icskCaOps.ssthresh(tp);
    tcpCaEvent(tp, CA_EVENT_LOSS);
    initUndo(tp);
  }
  tp.sndCwnd = tcpPacketsInFlight(tp) + 1;
  tp.sndCwndCnt = 0;
  tp.sndCwndStamp = tp.st.machine.jiffies;
  // Many duplicates, and yet a timeout: reordering is less than it was believed to be.
  if (state <= TCP_CA_DISORDER && tp.sackedOut >= s.reordering && tp.reordering > s.reordering) {
    tp.reordering = s.reordering;
  }
  tcpSetCaState(tp, TCP_CA_LOSS);
  tp.highSeq = tp.sndNxt;
  tp.tlpHighSeq = 0;
  tcpEcnQueueCwr(tp);
  tp.frto = s.frto !== 0 && (fresh || tp.icskRetransmits !== 0) && (tp.mtup === null || tp.mtup.probeSize === 0);
}

/**
 * After a timeout all is lost but what was sent a moment ago. A receiver that had SACKed the first segment has forgotten
 * it: nothing it said counts. RFC 2018 section 8. Linux: tcp_timeout_mark_lost().
 */
function timeoutMarkLost(tp: TcpSock): void {
  const rtx = tp.rtx;
  const head = rtx === null ? null : rtx.head;
  const flags = tp.st.cb + CB_FLAGS;
  const reneg = head !== null && (head.cb[flags] & TCPCB_SACKED_ACKED) !== 0;
  if (reneg) {
    tp.st.mib.tcpExt.TCPSACKReneging++;
    tp.sackedOut = 0;
    tp.isSackReneg = true;
  } else if (!tp.sackOk) tp.sackedOut = 0;
  if (rtx !== null) {
    for (let i = 0; i < rtx.length; i++) {
      const skb = rtx.at(i);
      if (reneg) skb.cb[flags] &= ~TCPCB_SACKED_ACKED;
      else if (i !== 0 && tcpRackSkbTimeout(tp, skb, 0) > 0) continue;
      tcpMarkSkbLost(tp, skb);
    }
  }
  tp.hasRetransmitHint = false;
}

/** `skb` is lost; if it was sent again, that is lost too. Linux: tcp_mark_skb_lost(). Borrows `skb`. */
export function tcpMarkSkbLost(tp: TcpSock, skb: SkBuff): void {
  const cb = skb.cb;
  const c = tp.st.cb;
  const flags = cb[c + CB_FLAGS];
  if ((flags & TCPCB_SACKED_ACKED) !== 0) return;
  const seq = cb[c + CB_SEQ];
  const pcount = cb[c + CB_PCOUNT];
  if (tp.hasRetransmitHint ? before(seq, tp.retransmitHint) : tp.retransOut >= tp.lostOut) {
    tp.retransmitHint = seq;
    tp.hasRetransmitHint = true;
  }
  if ((flags & TCPCB_LOST) !== 0) {
    if ((flags & TCPCB_SACKED_RETRANS) === 0) return;
    cb[c + CB_FLAGS] = flags & ~TCPCB_SACKED_RETRANS;
    tp.retransOut -= pcount;
    tp.st.mib.tcpExt.TCPLostRetransmit += pcount;
  } else {
    tp.lostOut += pcount;
    cb[c + CB_FLAGS] = flags | TCPCB_LOST;
  }
  tp.lost += pcount;
}

/**
 * The path MTU fell: what is larger is lost, though not by congestion, and goes again at once. RFC 1191 section 6.5.
 * Linux: tcp_simple_retransmit().
 */
export function tcpSimpleRetransmit(tp: TcpSock): void {
  const rtx = tp.rtx;
  if (rtx === null || rtx.length === 0) return;
  const c = tp.st.cb;
  // A SYN with data is two segments in the queue and was one packet: all of it is lost.
  const size = tp.fo !== null && tp.fo.synData && tp.sk.state === TCP_SYN_SENT ? -1 : tcpCurrentMss(tp);
  for (let i = 0; i < rtx.length; i++) {
    const skb = rtx.at(i);
    if ((skb.cb[c + CB_PCOUNT] === 1 ? skb.len : skb.gsoSize) > size) tcpMarkSkbLost(tp, skb);
  }
  if (tp.lostOut === 0) return;
  if (!tp.sackOk) limitRenoSacked(tp);
  tcpNonCongestionLossRetransmit(tp);
}

/** What is lost goes again with the window as it is. Linux: tcp_non_congestion_loss_retransmit(). */
export function tcpNonCongestionLossRetransmit(tp: TcpSock): void {
  if (tp.icskCaState !== TCP_CA_LOSS) {
    tp.highSeq = tp.sndNxt;
    tp.sndSsthresh = tcpCurrentSsthresh(tp);
    tp.priorSsthresh = 0;
    tp.undoMarker = 0;
    tcpSetCaState(tp, TCP_CA_LOSS);
  }
  tcpXmitRetransmitQueue(tp);
}

// ---- the window meanwhile

/** Tells the peer once that the window was reduced. RFC 3168 section 6.1.2. Linux: tcp_ecn_queue_cwr(). */
function tcpEcnQueueCwr(tp: TcpSock): void {
  if ((tp.ecnFlags & TCP_ECN_OK) !== 0) tp.ecnFlags |= TCP_ECN_QUEUE_CWR;
}

/** A reduction begins: the threshold is set, the window follows with the ACKs. Linux: tcp_init_cwnd_reduction(). */
export function tcpInitCwndReduction(tp: TcpSock): void {
  tp.highSeq = tp.sndNxt;
  tp.tlpHighSeq = 0;
  tp.sndCwndCnt = 0;
  tp.priorCwnd = tp.sndCwnd;
  tp.prrDelivered = 0;
  tp.prrOut = 0;
  tp.sndSsthresh = tp.icskCaOps.ssthresh(tp);
  tcpEcnQueueCwr(tp);
}

/**
 * Proportional rate reduction: sends in the proportion that the new window has to the old one, and below the new one as
 * much as was delivered, one more where the ACK shows no further loss. RFC 6937. Linux: tcp_cwnd_reduction().
 */
export function tcpCwndReduction(tp: TcpSock, acked: number, lost: number, flag: number): void {
  if (acked <= 0 || tp.priorCwnd === 0) return;
  const inFlight = tcpPacketsInFlight(tp);
  const delta = tp.sndSsthresh - inFlight;
  let count: number;
  tp.prrDelivered += acked;
  if (delta < 0) {
    count = Math.floor((tp.sndSsthresh * tp.prrDelivered + tp.priorCwnd - 1) / tp.priorCwnd) - tp.prrOut;
  } else {
    count = Math.max(tp.prrDelivered - tp.prrOut, acked);
    if ((flag & FLAG_SND_UNA_ADVANCED) !== 0 && lost === 0) count++;
    count = Math.min(delta, count);
  }
  // The first retransmission always goes.
  count = Math.max(count, tp.prrOut !== 0 ? 0 : 1);
  tp.sndCwnd = inFlight + count;
}

/** The reduction ends at the threshold, unless it was undone. Linux: tcp_end_cwnd_reduction(). */
export function tcpEndCwndReduction(tp: TcpSock): void {
  if (tp.icskCaOps.congControl !== null) return;
  if (tp.sndSsthresh < TCP_INFINITE_SSTHRESH && (tp.icskCaState === TCP_CA_CWR || tp.undoMarker !== 0)) {
    tp.sndCwnd = tp.sndSsthresh;
    tp.sndCwndStamp = tp.st.machine.jiffies;
  }
  tcpCaEvent(tp, CA_EVENT_COMPLETE_CWR);
}

/** The larger packet arrived: the path takes it. RFC 4821 section 7.6.1. Linux: tcp_mtup_probe_success(). */
export function tcpMtupProbeSuccess(tp: TcpSock): void {
  const mtup = tp.mtup!;
  tp.priorSsthresh = tcpCurrentSsthresh(tp);
  tp.sndCwnd = Math.max(1, Math.floor(tp.sndCwnd * tcpMssToMtu(tp, tp.mssCache) / mtup.probeSize));
  tp.sndCwndCnt = 0;
  tp.sndCwndStamp = tp.st.machine.jiffies;
  tp.sndSsthresh = tcpCurrentSsthresh(tp);
  mtup.searchLow = mtup.probeSize;
  mtup.probeSize = 0;
  tcpSyncMss(tp, tp.pmtuCookie);
  tp.st.mib.tcpExt.TCPMTUPSuccess++;
}

// ---- without SACK: duplicate ACKs stand for SACKed segments

/** Never more than are in flight besides the lost ones. True: it was too many. Linux: tcp_limit_reno_sacked(). */
function limitRenoSacked(tp: TcpSock): boolean {
  const holes = Math.min(Math.max(tp.lostOut, 1), tp.packetsOut);
  if (tp.sackedOut + holes <= tp.packetsOut) return false;
  tp.sackedOut = tp.packetsOut - holes;
  return true;
}

/** More duplicate ACKs than there are segments: some were reordered. Linux: tcp_check_reno_reordering(). */
function checkRenoReordering(tp: TcpSock, addend: number): void {
  if (!limitRenoSacked(tp)) return;
  tp.reordering = Math.min(tp.packetsOut + addend, tp.st.sysctl.maxReordering);
  tp.reordSeen++;
  tp.st.mib.tcpExt.TCPRenoReorder++;
}

/** Duplicate ACKs came. Linux: tcp_add_reno_sack(). */
function addRenoSacks(tp: TcpSock, dupAcks: number, ece: boolean): void {
  if (dupAcks === 0) return;
  const prior = tp.sackedOut;
  tp.sackedOut += dupAcks;
  checkRenoReordering(tp, 0);
  const delivered = tp.sackedOut - prior;
  if (delivered <= 0) return;
  tp.delivered += delivered;
  if (ece) tp.deliveredCe += delivered;
}

/** Segments were acknowledged: one of them filled the hole, the others had made duplicates. Linux: tcp_remove_reno_sacks(). */
export function tcpRemoveRenoSacks(tp: TcpSock, acked: number): void {
  if (acked > 0) {
    // Marks are counted by the caller, for all that this ACK delivered.
    tp.delivered += Math.max(acked - tp.sackedOut, 1);
    if (acked - 1 >= tp.sackedOut) tp.sackedOut = 0;
    else tp.sackedOut -= acked - 1;
  }
  checkRenoReordering(tp, acked);
}
