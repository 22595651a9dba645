/**
 * Segments of a connection that is not, or no longer, ESTABLISHED: listening, opening, closing. RFC 9293 section 3.10.7;
 * Linux: tcp_rcv_state_process(), net/ipv4/tcp_input.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as fib from "../../network/fib/contract.ts";
import * as sock from "../sock/contract.ts";
import * as ackFile from "./ack.ts";
import * as ackSend from "./ack_send.ts";
import * as ackState from "./ack_state.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as fastopen from "./fastopen.ts";
import * as fastopenClient from "./fastopen_client.ts";
import * as input from "./input.ts";
import * as mss from "./mss.ts";
import * as opts from "./options.ts";
import * as output from "./output.ts";
import * as receiveQueue from "./receive_queue.ts";
import * as request from "./request.ts";
import * as routeMetrics from "./route_metrics.ts";
import * as rtt from "./rtt.ts";
import * as sockets from "./socket.ts";
import * as state from "./state.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import * as timer from "./timer.ts";
import * as timewait from "./timewait.ts";
import * as undo from "./undo.ts";
import * as urg from "./urg.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { dstConfirm } = fib;
const { RCV_SHUTDOWN, SEND_SHUTDOWN } = sock;
const { tcpAck, tcpRearmRto } = ackFile;
const { tcpAckSndCheck, tcpEnterQuickackMode } = ackSend;
const { FLAG_NO_CHALLENGE_ACK, FLAG_SLOWPATH, FLAG_UPDATE_TS_RECENT } = ackState;
const { tcpCongInit, tcpUpdatePacingRate } = cong;
const { tcpDataSndCheck, tcpReset, tcpSendChallengeAck, tcpStoreTsRecent, tcpValidateIncoming } = input;
const { tcpFastopenCheckReq, tcpFastopenRemove } = fastopen;
const { tcpRcvFastopenSynack } = fastopenClient;
const { tcpMtupInit, tcpSyncMss } = mss;
const { tcpParseOptions } = opts;
const { tcpSendAck, tcpSendSynackTp } = output;
const { tcpDataQueue, tcpEcnAcceptCwr, tcpInitBufferSpace, tcpInitializeRcvMss } = receiveQueue;
const { tcpConnRequest } = request;
const { tcpSynackRttMeas } = rtt;
const { tcpInitCwnd, tcpInitMetrics, tcpUpdateMetrics } = routeMetrics;
const { tcpDone, tcpSetState, tcpShutdown } = sockets;
const {
  LISTEN_RESET,
  LISTEN_SYN,
  SYNSENT_ACCEPT,
  SYNSENT_CROSSED,
  SYNSENT_DROP_FLAGS,
  SYNSENT_DROP_RST,
  SYNSENT_REFUSED,
  SYNSENT_RESET_ACK,
  SYNSENT_RESET_TSTAMP,
  tcpListenDisposition,
  tcpPawsReject,
  tcpSynSentDisposition,
} = state;
const { tcpResetKeepaliveTimer, tcpResetXmitTimer } = timer;
const { tcpTimeWait } = timewait;
const { tcpRetransStampCleanup, tcpTryUndoRecovery, tcpTryUndoSpuriousSyn } = undo;
const { tcpUrg } = urg;
const {
  after,
  before,
  CB_ACK,
  CB_END_SEQ,
  CB_FLAGS,
  CB_SEQ,
  ICSK_ACK_SCHED,
  ICSK_ACK_TIMER,
  ICSK_TIME_RETRANS,
  TCP_DELACK_MAX,
  TCP_ECN_OK,
  TCP_MAX_QUICKACKS,
  TCP_TIMEWAIT_LEN,
  tcpFastPathOn,
  TCPHDR_ACK,
  TCPHDR_CWR,
  TCPHDR_ECE,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpMstampRefresh,
  tcpSeconds,
  tcpTimeStampMs,
} = tcpSock;
const {
  TCP_CA_LOSS,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} = contract;

/** Bytes of the header, and with timestamps. */
const HLEN = 20, HLEN_TSTAMP = 32, TSTAMP_ALIGNED = 12;
/** Jiffies: the least that a timer waits. Linux: TCP_TIMEOUT_MIN. */
const TCP_TIMEOUT_MIN = 2;
const U16_MAX = 65535;
/** A segment is kept for its text. */
const GO_ON = -1;

/**
 * A segment for a socket in any state but ESTABLISHED and TIME-WAIT; `data` is at the header, the control block is filled.
 * 0, or why it is refused: the caller answers with a RST. Linux: tcp_rcv_state_process(), net/ipv4/tcp_input.c.
 * Takes ownership of `skb` unless it returns a reason.
 */
export function tcpRcvStateProcess(tp: TcpSock, skb: SkBuff): number {
  const st = tp.st;
  const flags = skb.cb[st.cb + CB_FLAGS];
  switch (tp.sk.state) {
    case TCP_CLOSE:
      st.net.drop(skb, st.reason.TCP_CLOSE);
      return 0;
    case TCP_LISTEN:
      return rcvListen(tp, skb, flags);
    case TCP_SYN_SENT: {
      tp.sawTstamp = false;
      tcpMstampRefresh(tp);
      const reason = tcpRcvSynsentStateProcess(tp, skb);
      if (reason !== GO_ON) return reason;
      tcpUrg(tp, skb);
      skb.consume();
      tcpDataSndCheck(tp);
      return 0;
    }
  }
  tcpMstampRefresh(tp);
  tp.sawTstamp = false;
  if (tp.fastopenRsk !== null) {
    const reason = tcpFastopenCheckReq(tp, skb);
    if (reason !== 0) {
      st.net.drop(skb, reason);
      return 0;
    }
  }
  if ((flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)) === 0) {
    st.net.drop(skb, st.reason.TCP_FLAGS);
    return 0;
  }
  if (!tcpValidateIncoming(tp, skb, false)) return 0;
  return rcvAcceptable(tp, skb, flags);
}

/** Linux: the TCP_LISTEN case of tcp_rcv_state_process(). Takes ownership of `skb` unless it returns a reason. */
function rcvListen(tp: TcpSock, skb: SkBuff, flags: number): number {
  const st = tp.st;
  const what = tcpListenDisposition(flags);
  if (what === LISTEN_RESET) return st.reason.TCP_FLAGS;
  if (what === LISTEN_SYN) {
    const reason = tcpConnRequest(tp, skb);
    if (reason === 0) skb.consume();
    else st.net.drop(skb, reason);
  } else st.net.drop(skb, (flags & TCPHDR_RST) !== 0 ? st.reason.TCP_RESET : st.reason.TCP_FLAGS);
  return 0;
}

/** Steps 5 to 8: ACK, URG, text, FIN. Takes ownership of `skb` unless it returns a reason. */
function rcvAcceptable(tp: TcpSock, skb: SkBuff, flags: number): number {
  const st = tp.st;
  const sk = tp.sk;
  const acked = tcpAck(tp, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT | FLAG_NO_CHALLENGE_ACK);
  if (acked <= 0) {
    if (sk.state === TCP_SYN_RECV) return acked === 0 ? st.reason.TCP_OLD_ACK : -acked;
    // Old ACKs are taken while closing; impossible ones are not.
    if (acked < 0) {
      tcpSendChallengeAck(tp, false);
      st.net.drop(skb, -acked);
      return 0;
    }
  }
  switch (sk.state) {
    case TCP_SYN_RECV:
      rcvSynRecv(tp, skb);
      break;
    case TCP_FIN_WAIT1: {
      if (tp.fastopenRsk !== null) synRecvFastopen(tp);
      if (tp.sndUna !== tp.writeSeq) break;
      const reason = rcvFinWait1(tp, skb, flags);
      if (reason !== GO_ON) return reason;
      break;
    }
    case TCP_CLOSING:
      if (tp.sndUna !== tp.writeSeq) break;
      tcpTimeWait(tp, TCP_TIME_WAIT, 0);
      skb.consume();
      return 0;
    case TCP_LAST_ACK:
      if (tp.sndUna !== tp.writeSeq) break;
      tcpUpdateMetrics(tp);
      tcpDone(tp);
      skb.consume();
      return 0;
  }
  tcpEcnAcceptCwr(tp, skb);
  tcpUrg(tp, skb);
  return rcvText(tp, skb, flags);
}

/** The handshake of a socket that is in use already is complete. Linux: tcp_rcv_synrecv_state_fastopen(). */
function synRecvFastopen(tp: TcpSock): void {
  if (tp.icskCaState === TCP_CA_LOSS && tp.packetsOut === 0) tcpTryUndoRecovery(tp);
  tp.icskRetransmits = 0;
  tcpRetransStampCleanup(tp);
  tcpFastopenRemove(tp, false);
  tcpRearmRto(tp);
}

/** The handshake is complete: a child's, or that of a simultaneous open. Borrows `skb`. */
function rcvSynRecv(tp: TcpSock, skb: SkBuff): void {
  const sk = tp.sk;
  const cb = skb.cb;
  const c = tp.st.cb;
  tp.delivered++;
  if (tp.srttUs === 0) tcpSynackRttMeas(tp, tp.fastopenRsk);
  if (tp.fastopenRsk !== null) synRecvFastopen(tp);
  else {
    tcpTryUndoSpuriousSyn(tp);
    tp.retransStamp = 0;
    tcpInitTransfer(tp);
    tp.copiedSeq = tp.rcvNxt;
  }
  tcpSetState(tp, TCP_ESTABLISHED);
  if (!sk.dead && !tp.inAcceptQueue) sk.machine.wakeLater(sk);
  tp.sndUna = cb[c + CB_ACK];
  tp.sndWnd = skb.view.getUint16(skb.transportHeader + 14) << tp.sndWscale;
  tp.sndWl1 = cb[c + CB_SEQ];
  if (tp.tstampOk) tp.advmss -= TSTAMP_ALIGNED;
  if (tp.icskCaOps.congControl === null) tcpUpdatePacingRate(tp);
  tp.lsndtime = tp.st.machine.jiffies;
  tcpInitializeRcvMss(tp);
  if ((sk.shutdown & SEND_SHUTDOWN) !== 0) tcpShutdown(tp, SEND_SHUTDOWN);
  tcpFastPathOn(tp);
}

/**
 * Our FIN is acknowledged: FIN-WAIT-2; of a socket that its user closed, a TIME-WAIT record takes over. Returns GO_ON, 0,
 * or a reason for a RST. Takes ownership of `skb` if it returns 0.
 */
function rcvFinWait1(tp: TcpSock, skb: SkBuff, flags: number): number {
  const st = tp.st;
  const sk = tp.sk;
  tcpSetState(tp, TCP_FIN_WAIT2);
  sk.shutdown |= SEND_SHUTDOWN;
  if (sk.dst !== null) dstConfirm(sk.dst, st.neigh.confirm);
  if (!tp.orphan) {
    sk.machine.wakeLater(sk);
    return GO_ON;
  }
  if (tp.opt.linger2 < 0 || hasNewText(tp, skb, flags)) {
    tcpDone(tp);
    st.mib.tcpExt.TCPAbortOnData++;
    return st.reason.TCP_ABORT_ON_DATA;
  }
  // Not shorter than what a lost FIN and its repetition need. Linux: tcp_fin_time().
  const rto = tp.icskRto;
  const time = Math.max(tp.opt.linger2 !== 0 ? tp.opt.linger2 : st.sysctl.finTimeout, (rto << 2) - (rto >> 1));
  if (time > TCP_TIMEWAIT_LEN) tcpResetKeepaliveTimer(tp, time - TCP_TIMEWAIT_LEN);
  else if ((flags & TCPHDR_FIN) !== 0) tcpResetKeepaliveTimer(tp, time);
  else {
    tcpTimeWait(tp, TCP_FIN_WAIT2, time);
    skb.consume();
    return 0;
  }
  return GO_ON;
}

/** Whether it has text that was not received yet. Borrows `skb`. */
function hasNewText(tp: TcpSock, skb: SkBuff, flags: number): boolean {
  const c = tp.st.cb;
  const endSeq = skb.cb[c + CB_END_SEQ];
  if (endSeq === skb.cb[c + CB_SEQ]) return false;
  return after((endSeq - ((flags & TCPHDR_FIN) !== 0 ? 1 : 0)) | 0, tp.rcvNxt);
}

/** Steps 7 and 8. Takes ownership of `skb` unless it returns a reason. */
function rcvText(tp: TcpSock, skb: SkBuff, flags: number): number {
  const st = tp.st;
  const sk = tp.sk;
  const now = sk.state;
  const finSeen = now === TCP_CLOSE_WAIT || now === TCP_CLOSING || now === TCP_LAST_ACK;
  // Behind the peer's FIN there is nothing; what begins before it repeats something, or is a mistake.
  const takes = finSeen
    ? before(skb.cb[st.cb + CB_SEQ], tp.rcvNxt)
    : now === TCP_ESTABLISHED || now === TCP_FIN_WAIT1 || now === TCP_FIN_WAIT2;
  if (takes) {
    // Nobody will read it: RFC 1122 section 4.2.2.13 asks for a RST.
    if (now !== TCP_ESTABLISHED && (sk.shutdown & RCV_SHUTDOWN) !== 0 && hasNewText(tp, skb, flags)) {
      st.mib.tcpExt.TCPAbortOnData++;
      tcpReset(tp, skb);
      return st.reason.TCP_ABORT_ON_DATA;
    }
    tcpDataQueue(tp, skb);
  }
  if (sk.state !== TCP_CLOSE) {
    tcpDataSndCheck(tp);
    tcpAckSndCheck(tp);
  }
  // Acceptable, and nothing in it that this state takes.
  if (!takes) skb.consume();
  return 0;
}

// ---- SYN-SENT

/**
 * The answer to our SYN. GO_ON (-1): accepted, the caller does the rest; 0; or why it is refused with a RST. RFC 9293
 * section 3.10.7.3. Linux: tcp_rcv_synsent_state_process(), net/ipv4/tcp_input.c. Takes ownership of `skb`
 * unless it returns something else than 0.
 */
export function tcpRcvSynsentStateProcess(tp: TcpSock, skb: SkBuff): number {
  const st = tp.st;
  const c = st.cb;
  const opt = st.rxOpt;
  const flags = skb.cb[c + CB_FLAGS];
  tcpParseOptions(st, skb, opt, false);
  const tsecr = opt.sawTstamp && opt.rcvTsecr !== 0 ? (opt.rcvTsecr - tp.tsoffset) | 0 : 0;
  const pawsOld = tp.tsRecentStamp !== 0 && opt.sawTstamp &&
    tcpPawsReject(tp.tsRecent, tp.tsRecentStamp, opt.rcvTsval, tcpSeconds(st.machine), false);
  const what = tcpSynSentDisposition(
    flags,
    skb.cb[c + CB_ACK],
    tp.sndUna,
    tp.sndNxt,
    tsecr,
    tp.retransStamp,
    tcpTimeStampMs(st.machine),
    pawsOld,
  );
  switch (what) {
    case SYNSENT_ACCEPT:
      return synSentAccept(tp, skb, flags, tsecr);
    case SYNSENT_CROSSED:
      synSentCrossed(tp, skb, flags);
      skb.consume();
      return 0;
    case SYNSENT_REFUSED:
      tcpReset(tp, skb);
      st.net.drop(skb, st.reason.TCP_RESET);
      return 0;
    case SYNSENT_RESET_ACK:
      // A connection of an earlier life may be there: its answer to our RST is no, and our SYN goes again soon.
      if (tp.icskRetransmits === 0) tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, TCP_TIMEOUT_MIN);
      return st.reason.TCP_INVALID_ACK_SEQUENCE;
    case SYNSENT_RESET_TSTAMP:
      st.mib.tcpExt.PAWSActive++;
      return st.reason.TCP_RFC7323_PAWS;
    case SYNSENT_DROP_RST:
      st.net.drop(skb, st.reason.TCP_RESET);
      return 0;
    case SYNSENT_DROP_FLAGS:
      st.net.drop(skb, st.reason.TCP_FLAGS);
      return 0;
  }
  st.net.drop(skb, st.reason.TCP_RFC7323_PAWS);
  return 0;
}

/** What the peer's SYN agrees to. */
function takeOptions(tp: TcpSock): void {
  const opt = tp.st.rxOpt;
  const user = tp.opt.userMss;
  if (opt.mss !== 0) tp.mssClamp = user !== 0 && user < opt.mss ? user : opt.mss;
  tp.sackOk = opt.sackOk;
  tp.wscaleOk = opt.wscaleOk;
  tp.sndWscale = opt.sndWscale;
  tp.sawTstamp = opt.sawTstamp;
  tp.rcvTsval = opt.rcvTsval;
  tp.rcvTsecr = opt.sawTstamp && opt.rcvTsecr !== 0 ? (opt.rcvTsecr - tp.tsoffset) | 0 : 0;
  tp.tstampOk = opt.sawTstamp;
  tp.tcpHeaderLen = opt.sawTstamp ? HLEN_TSTAMP : HLEN;
}

/** ESTABLISHED. Takes ownership of `skb` if it returns 0. */
function synSentAccept(tp: TcpSock, skb: SkBuff, flags: number, tsecr: number): number {
  const st = tp.st;
  const sk = tp.sk;
  const seq = skb.cb[st.cb + CB_SEQ];
  takeOptions(tp);
  tp.rcvTsecr = tsecr;
  // RFC 3168 section 6.1.1: ECE alone agrees.
  if ((flags & (TCPHDR_ECE | TCPHDR_CWR)) !== TCPHDR_ECE) tp.ecnFlags &= ~TCP_ECN_OK;
  tp.sndWl1 = seq;
  tcpTryUndoSpuriousSyn(tp);
  tcpAck(tp, skb, FLAG_SLOWPATH);
  tp.rcvNxt = tp.rcvWup = (seq + 1) | 0;
  // RFC 7323 section 2.2: the window of a SYN is never scaled.
  tp.sndWnd = skb.view.getUint16(skb.transportHeader + 14);
  if (!tp.wscaleOk) {
    tp.sndWscale = tp.rcvWscale = 0;
    tp.windowClamp = Math.min(tp.windowClamp, U16_MAX);
  }
  if (tp.tstampOk) {
    tp.advmss -= TSTAMP_ALIGNED;
    tcpStoreTsRecent(tp);
  }
  tcpSyncMss(tp, tp.pmtuCookie);
  tcpInitializeRcvMss(tp);
  tp.copiedSeq = tp.rcvNxt;
  tcpFinishConnect(tp, skb);
  const fo = tp.fo;
  const resent = fo !== null && (fo.synFastopen || fo.synData) && tcpRcvFastopenSynack(tp, skb);
  if (!sk.dead) sk.machine.wakeLater(sk);
  if (resent) return GO_ON;
  if (sk.writePending !== 0 || tp.opt.deferAccept !== 0 || tp.ackPingpong !== 0) {
    // Data is about to go, and takes the ACK with it.
    tp.ackPending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER;
    tcpEnterQuickackMode(tp, TCP_MAX_QUICKACKS);
    tp.ackTimeout = (st.machine.jiffies + TCP_DELACK_MAX) | 0;
    st.machine.modTimer(timer.tcpDelackTimerOf(tp), TCP_DELACK_MAX);
    skb.consume();
    return 0;
  }
  tcpSendAck(tp);
  return GO_ON;
}

/** Both SYNs crossed: SYN-RECV. RFC 9293 section 3.5, MUST-10. Borrows `skb`. */
function synSentCrossed(tp: TcpSock, skb: SkBuff, flags: number): void {
  const seq = skb.cb[tp.st.cb + CB_SEQ];
  takeOptions(tp);
  if (!tp.wscaleOk) tp.rcvWscale = 0;
  tcpSetState(tp, TCP_SYN_RECV);
  if (tp.tstampOk) tcpStoreTsRecent(tp);
  tp.rcvNxt = tp.copiedSeq = tp.rcvWup = (seq + 1) | 0;
  tp.sndWnd = tp.maxWindow = skb.view.getUint16(skb.transportHeader + 14);
  tp.sndWl1 = seq;
  if ((flags & (TCPHDR_ECE | TCPHDR_CWR)) !== (TCPHDR_ECE | TCPHDR_CWR)) tp.ecnFlags &= ~TCP_ECN_OK;
  tcpMtupInit(tp);
  tcpSyncMss(tp, tp.pmtuCookie);
  tcpInitializeRcvMss(tp);
  tcpSendSynackTp(tp);
}

/** Our connect() succeeded. Linux: tcp_finish_connect(). Borrows `skb`. */
export function tcpFinishConnect(tp: TcpSock, _skb: SkBuff | null): void {
  const now = tp.st.machine.jiffies;
  tcpSetState(tp, TCP_ESTABLISHED);
  tp.ackLrcvtime = now;
  tcpInitTransfer(tp);
  tp.lsndtime = now;
  if (tp.sk.keepopen) tcpResetKeepaliveTimer(tp, tp.opt.keepaliveTime);
  if (tp.sndWscale === 0) tcpFastPathOn(tp);
  else tp.predFlags = 0;
}

/**
 * Sending may begin: window, congestion control, buffers. RFC 5681 section 3.1: a single segment when the SYN was lost
 * more than once. Linux: tcp_init_transfer().
 */
export function tcpInitTransfer(tp: TcpSock): void {
  tcpMtupInit(tp);
  tcpInitMetrics(tp);
  tp.sndCwnd = tp.totalRetrans > 1 && tp.undoMarker !== 0 ? 1 : tcpInitCwnd(tp);
  tp.sndCwndStamp = tp.st.machine.jiffies;
  if (!tp.caInitialized) tcpCongInit(tp);
  tcpInitBufferSpace(tp);
}
