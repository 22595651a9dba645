/**
 * Taking a reduction of the window back, when it turns out that nothing was lost: the peer tells of duplicates (D-SACK,
 * RFC 3708), or echoes a timestamp from before the retransmission (Eifel, RFC 3522 and RFC 4015). Linux: tcp_try_undo_*(),
 * net/ipv4/tcp_input.c.
 */
import * as contract from "./contract.ts";
import * as cong from "./cong.ts";
import * as recovery from "./recovery.ts";
import * as sack from "./sack.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { TCP_CA_CWR, TCP_CA_DISORDER, TCP_CA_LOSS, TCP_CA_OPEN, TCP_SYN_SENT } = contract;
const { tcpSetCaState } = cong;
const { tcpEnterCwr } = recovery;
const { tcpCheckSackReordering } = sack;
const { before, CB_FLAGS, TCP_ECN_QUEUE_CWR, TCPCB_EVER_RETRANS, TCPCB_LOST } = tcpSock;

/** Recoveries for which a widened reordering window stays. Linux: TCP_RACK_RECOVERY_THRESH. */
const TCP_RACK_RECOVERY_THRESH = 16;

/** Whether anything in flight was ever sent again, as far as that matters. Linux: tcp_any_retrans_done(). */
export function tcpAnyRetransDone(tp: TcpSock): boolean {
  if (tp.retransOut !== 0) return true;
  const head = tp.rtx === null ? null : tp.rtx.head;
  return head !== null && (head.cb[tp.st.cb + CB_FLAGS] & TCPCB_EVER_RETRANS) !== 0;
}

/** The clock of retransmissions starts with the next, unless one is in flight. Linux: tcp_retrans_stamp_cleanup(). */
export function tcpRetransStampCleanup(tp: TcpSock): void {
  if (!tcpAnyRetransDone(tp)) tp.retransStamp = 0;
}

/**
 * The ACK is for the original: it echoes a timestamp from before the first retransmission, or nothing went again at all.
 * Linux: tcp_packet_delayed().
 */
function tcpPacketDelayed(tp: TcpSock): boolean {
  if (tp.retransStamp === 0) {
    // Two that forget the time of what did go again: nonSackPreventsReopen(), and the ACK of a SYN.
    if (!tp.sackOk && !before(tp.sndUna, tp.highSeq)) return false;
    return tp.sk.state !== TCP_SYN_SENT;
  }
  return tp.sawTstamp && tp.rcvTsecr !== 0 && before(tp.rcvTsecr, tp.retransStamp);
}

/** Linux: tcp_may_undo(). */
function tcpMayUndo(tp: TcpSock): boolean {
  return tp.undoMarker !== 0 && (tp.undoRetrans === 0 || tcpPacketDelayed(tp));
}

/**
 * Window and threshold as they were before. `unmark`: nothing in flight counts as lost any more. Linux:
 * tcp_undo_cwnd_reduction().
 */
function undoCwndReduction(tp: TcpSock, unmark: boolean): void {
  if (unmark) {
    const rtx = tp.rtx;
    const flags = tp.st.cb + CB_FLAGS;
    if (rtx !== null && tp.lostOut !== 0) {
      for (let i = 0; i < rtx.length; i++) rtx.at(i).cb[flags] &= ~TCPCB_LOST;
    }
    tp.lostOut = 0;
    tp.hasRetransmitHint = false;
  }
  if (tp.priorSsthresh !== 0) {
    tp.sndCwnd = tp.icskCaOps.undoCwnd(tp);
    if (tp.priorSsthresh > tp.sndSsthresh) {
      tp.sndSsthresh = tp.priorSsthresh;
      tp.ecnFlags &= ~TCP_ECN_QUEUE_CWR;
    }
  }
  tp.sndCwndStamp = tp.st.machine.jiffies;
  tp.undoMarker = 0;
  // RACK judges all again.
  tp.rackAdvanced = true;
  tp.rackScanSeq = tp.sndUna;
}

/**
 * Without SACK duplicate ACKs of what was sent again would look like a new loss: the state stays until something beyond
 * is acknowledged. RFC 6582 section 3.2 step 1; Linux: tcp_is_non_sack_preventing_reopen().
 */
function nonSackPreventsReopen(tp: TcpSock): boolean {
  if (tp.sndUna !== tp.highSeq || tp.sackOk) return false;
  tcpRetransStampCleanup(tp);
  return true;
}

/** All that was in flight at the onset is acknowledged: the recovery ends. True: it goes on. Linux: tcp_try_undo_recovery(). */
export function tcpTryUndoRecovery(tp: TcpSock): boolean {
  if (tcpMayUndo(tp)) {
    const ext = tp.st.mib.tcpExt;
    undoCwndReduction(tp, false);
    if (tp.icskCaState === TCP_CA_LOSS) ext.TCPLossUndo++;
    else ext.TCPFullUndo++;
  } else if (tp.rackReoWndPersist !== 0) tp.rackReoWndPersist--;
  if (nonSackPreventsReopen(tp)) return true;
  tcpSetCaState(tp, TCP_CA_OPEN);
  tp.isSackReneg = false;
  return false;
}

/** Every retransmission arrived twice: none was needed. Linux: tcp_try_undo_dsack(). */
export function tcpTryUndoDsack(tp: TcpSock): boolean {
  if (tp.undoMarker === 0 || tp.undoRetrans !== 0) return false;
  tp.rackReoWndPersist = Math.min(TCP_RACK_RECOVERY_THRESH, tp.rackReoWndPersist + 1);
  undoCwndReduction(tp, false);
  tp.st.mib.tcpExt.TCPDSACKUndo++;
  return true;
}

/** The timeout was spurious, as F-RTO or the ACK itself shows. Linux: tcp_try_undo_loss(). */
export function tcpTryUndoLoss(tp: TcpSock, byFrto: boolean): boolean {
  if (!byFrto && !tcpMayUndo(tp)) return false;
  const ext = tp.st.mib.tcpExt;
  undoCwndReduction(tp, true);
  ext.TCPLossUndo++;
  if (byFrto) ext.TCPSpuriousRTOs++;
  tp.icskRetransmits = 0;
  if (nonSackPreventsReopen(tp)) return true;
  if (byFrto || tp.sackOk) {
    tcpSetCaState(tp, TCP_CA_OPEN);
    tp.isSackReneg = false;
  }
  return true;
}

/**
 * A hole was filled, by the original as it seems: reordering. True: what was sent again is in flight still, nothing more
 * is done. Linux: tcp_try_undo_partial().
 */
export function tcpTryUndoPartial(tp: TcpSock, priorUna: number): boolean {
  if (tp.undoMarker === 0 || !tcpPacketDelayed(tp)) return false;
  tcpCheckSackReordering(tp, priorUna, true);
  if (tp.retransOut !== 0) return true;
  tcpRetransStampCleanup(tp);
  undoCwndReduction(tp, true);
  tp.st.mib.tcpExt.TCPPartialUndo++;
  tcpTryKeepOpen(tp);
  return false;
}

/**
 * The SYN or SYN-ACK that timed out had arrived: its timestamp is the one echoed. The connection then begins with the
 * usual window. Linux: tcp_try_undo_spurious_syn().
 */
export function tcpTryUndoSpuriousSyn(tp: TcpSock): void {
  if (tp.undoMarker !== 0 && tp.retransStamp !== 0 && tp.sawTstamp && tp.retransStamp === tp.rcvTsecr) {
    tp.undoMarker = 0;
  }
}

/** Open, or Disorder while anything is SACKed or lost. Linux: tcp_try_keep_open(). */
export function tcpTryKeepOpen(tp: TcpSock): void {
  const state = tp.sackedOut + tp.lostOut !== 0 || tcpAnyRetransDone(tp) ? TCP_CA_DISORDER : TCP_CA_OPEN;
  if (tp.icskCaState === state) return;
  tcpSetCaState(tp, state);
  tp.highSeq = tp.sndNxt;
}

/** Nothing is lost: Open, Disorder, or CWR where a mark was echoed. Linux: tcp_try_to_open(). */
export function tcpTryToOpen(tp: TcpSock, ece: boolean): void {
  tcpRetransStampCleanup(tp);
  if (ece) tcpEnterCwr(tp);
  if (tp.icskCaState !== TCP_CA_CWR) tcpTryKeepOpen(tp);
}
