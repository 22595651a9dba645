/**
 * A segment of a connection, from its header on: the fast path for what was predicted, the long way of RFC 9293 section
 * 3.10.7 for the rest, the opening, the end. What a segment means is decided in `state.ts`; here it is done.
 * Linux: net/ipv4/tcp_input.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as ackFile from "./ack.ts";
import * as ackSend from "./ack_send.ts";
import * as ackState from "./ack_state.ts";
import * as contract from "./contract.ts";
import * as header from "./header.ts";
import * as memory from "./memory.ts";
import * as ofo from "./ofo.ts";
import * as opts from "./options.ts";
import * as output from "./output.ts";
import * as receiveQueue from "./receive_queue.ts";
import * as sockets from "./socket.ts";
import * as state from "./state.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timewait from "./timewait.ts";
import * as urg from "./urg.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO, G_SOCK } = core;
const { RCV_SHUTDOWN, skErrorReport } = sock;
const { tcpAck } = ackFile;
const { __tcpAckSndCheck, tcpAckSndCheck, tcpSendDupack } = ackSend;
const { FLAG_DATA, FLAG_SLOWPATH, FLAG_UPDATE_TS_RECENT } = ackState;
const { TCP_TSTAMP_WORD } = header;
const { skRmemSchedule, tcpCheckSpace } = memory;
const { tcpOfoPurge, tcpSackReset } = ofo;
const { tcpFastParseOptions } = opts;
const { tcpPushPendingFrames, tcpSendAck } = output;
const { tcpDataQueue, tcpDataReady, tcpEcnAcceptCwr, tcpEventDataRecv, tcpQueueRcv, tcpRcvRttMeasureTs } = receiveQueue;
const { tcpDone, tcpSetState, tcpWriteQueuePurge } = sockets;
const {
  CHALLENGE_RST,
  CHALLENGE_SYN,
  INVALID_PAWS,
  INVALID_PAWS_ACK,
  INVALID_SEQ_BEYOND,
  INVALID_SEQ_OLD,
  INVALID_SEQ_RST,
  SEQ_BEYOND,
  SEQ_OLD,
  tcpOowRateLimited,
  tcpSequence,
  tcpValidate,
  VALID,
  VALID_RST,
} = state;
const {
  CB_ACK,
  CB_END_SEQ,
  CB_FLAGS,
  CB_SEQ,
  ICSK_ACK_SCHED,
  TCPHDR_ACK,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpMstampRefresh,
  tcpSeconds,
} = tcpSock;
const { tcpTimeWait } = timewait;
const { tcpUrg } = urg;
const {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} = contract;

export * from "./connect_input.ts";
export * from "./urg.ts";

/** Bits of the third word that prediction compares: all but the reserved ones and PSH. Linux: TCP_HP_BITS. */
const HP_BITS = ~(0x0e000000 | 0x00080000);
/** Offsets in the header. */
const FLAG_WORD = 12, TSTAMP_WORD = 20;
const HLEN_TSTAMP = 32;
/** A challenge ACK's budget is unlimited by default, as a global one could be counted by others (CVE-2016-5696). */
const INT_MAX = 0x7fffffff;

/**
 * A segment of a connection in ESTABLISHED, its header whole and its control block filled.
 *
 * What is predicted, that is next in order, acknowledges nothing unsent, has the same window and the same options as
 * ever, goes one of two short ways: a pure ACK to `tcpAck()`, data to the receive queue. Linux: tcp_rcv_established(),
 * net/ipv4/tcp_input.c. Takes ownership of `skb`.
 */
export function tcpRcvEstablished(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const view = skb.view;
  const at = skb.data;
  const cb = skb.cb;
  const c = st.cb;
  tcpMstampRefresh(tp);
  tp.sawTstamp = false;
  if (
    (view.getInt32(at + FLAG_WORD) & HP_BITS) !== tp.predFlags || cb[c + CB_SEQ] !== tp.rcvNxt ||
    ((tp.sndNxt - cb[c + CB_ACK]) | 0) < 0 || ((cb[c + CB_ACK] - tp.sndUna) | 0) < 0
  ) {
    // Data under an ACK that is too old may be injected: RFC 5961 section 5.2.
    rcvSlow(tp, skb);
    return;
  }
  const hlen = tp.tcpHeaderLen;
  if (hlen === HLEN_TSTAMP) {
    if (view.getInt32(at + TSTAMP_WORD) !== TCP_TSTAMP_WORD) {
      rcvSlow(tp, skb);
      return;
    }
    const tsval = view.getInt32(at + TSTAMP_WORD + 4);
    const ecr = view.getInt32(at + TSTAMP_WORD + 8);
    tp.sawTstamp = true;
    tp.rcvTsval = tsval;
    tp.rcvTsecr = ecr !== 0 ? (ecr - tp.tsoffset) | 0 : 0;
    // PAWS' tolerance and exceptions are the slow path's.
    if (((tsval - tp.tsRecent) | 0) < 0) {
      rcvSlow(tp, skb);
      return;
    }
  }
  if (skb.len === hlen) {
    if (hlen === HLEN_TSTAMP && tp.rcvNxt === tp.rcvWup) tcpStoreTsRecent(tp);
    tp.rcvRttLastTsecr = tp.rcvTsecr;
    tcpAck(tp, skb, 0);
    skb.consume();
    tcpDataSndCheck(tp);
    return;
  }
  const window = (tp.rcvWup + tp.rcvWnd - tp.rcvNxt) | 0;
  if (((cb[c + CB_END_SEQ] - tp.rcvNxt) | 0) > window || (skb.truesize > tp.forwardAlloc && !moreMemory(tp, skb))) {
    rcvSlow(tp, skb);
    return;
  }
  rcvData(tp, skb, hlen);
}

/** Fills the reserve up. Linux leaves the short way for it, and with it forgets a D-SACK that waits for its ACK. Borrows `skb`. */
function moreMemory(tp: TcpSock, skb: SkBuff): boolean {
  tp.hasDsack = false;
  return tp.sk.rmemAlloc <= tp.sk.rcvbuf && skRmemSchedule(tp, skb.truesize);
}

/** Predicted data, in the window and in the reserve of memory. Takes ownership of `skb`. */
function rcvData(tp: TcpSock, skb: SkBuff, hlen: number): void {
  const st = tp.st;
  const cb = skb.cb;
  const c = st.cb;
  if (hlen === HLEN_TSTAMP) {
    if (tp.rcvNxt === tp.rcvWup) tcpStoreTsRecent(tp);
    tcpRcvRttMeasureTs(tp, skb);
  }
  st.mib.tcpExt.TCPHPHits++;
  skb.dst = null;
  skb.pull(hlen);
  const eaten = tcpQueueRcv(tp, skb);
  tcpEventDataRecv(tp, skb);
  if (cb[c + CB_ACK] !== tp.sndUna) {
    tcpAck(tp, skb, FLAG_DATA);
    tcpDataSndCheck(tp);
  } else tp.sndWl1 = cb[c + CB_SEQ];
  if ((tp.ackPending & ICSK_ACK_SCHED) !== 0) __tcpAckSndCheck(tp, false);
  if (eaten) skb.consume();
  tcpDataReady(tp);
}

/** TS.Recent is the timestamp at hand. Linux: tcp_store_ts_recent(). */
export function tcpStoreTsRecent(tp: TcpSock): void {
  tp.tsRecent = tp.rcvTsval;
  tp.tsRecentStamp = tcpSeconds(tp.st.machine) || 1;
}

/** What was not predicted: RFC 9293 section 3.10.7.4 step by step. Takes ownership of `skb`. */
function rcvSlow(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  if ((skb.cb[st.cb + CB_FLAGS] & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)) === 0) {
    st.net.drop(skb, st.reason.TCP_FLAGS);
    return;
  }
  if (!tcpValidateIncoming(tp, skb, true)) return;
  const reason = tcpAck(tp, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT);
  if (reason < 0) {
    st.net.drop(skb, -reason);
    return;
  }
  if (tp.sawTstamp) tcpRcvRttMeasureTs(tp, skb);
  tcpEcnAcceptCwr(tp, skb);
  tcpUrg(tp, skb);
  tcpDataQueue(tp, skb);
  tcpDataSndCheck(tp);
  tcpAckSndCheck(tp);
}

/** An ACK may have made room: sends what waits, wakes who waits. Linux: tcp_data_snd_check(). */
export function tcpDataSndCheck(tp: TcpSock): void {
  if (tp.writeHead !== null) tcpPushPendingFrames(tp);
  if (tp.sk.nospace) tcpCheckSpace(tp);
}

/**
 * Whether a segment is acceptable; if not, it was answered as it must be and is gone. PAWS, sequence, RST, SYN: RFC 9293
 * section 3.10.7.4 steps 1 to 4, RFC 7323 section 5, RFC 5961. `inErr`: a SYN counts as an error. Linux:
 * tcp_validate_incoming(), net/ipv4/tcp_input.c. Takes ownership of `skb` unless it returns true.
 */
export function tcpValidateIncoming(tp: TcpSock, skb: SkBuff, inErr: boolean): boolean {
  const st = tp.st;
  const sk = tp.sk;
  const cb = skb.cb;
  const c = st.cb;
  tcpFastParseOptions(tp, skb);
  const seq = cb[c + CB_SEQ];
  const endSeq = cb[c + CB_END_SEQ];
  const what = tcpValidate(
    tp,
    sk.state,
    seq,
    endSeq,
    cb[c + CB_FLAGS],
    cb[c + CB_ACK],
    skb.view.getUint16(skb.transportHeader + 14),
    tcpSeconds(st.machine),
    sk.receiveQueue.head !== null,
    !tp.orphan && !tp.inAcceptQueue,
  );
  if (what === VALID) return true;
  if (what === VALID_RST) {
    tcpReset(tp, skb);
    st.net.drop(skb, st.reason.TCP_RESET);
    return false;
  }
  st.net.drop(skb, answerInvalid(tp, skb, what, inErr));
  return false;
}

/** Answers a segment that is not acceptable, where it gets one; the reason to drop it. Borrows `skb`. */
function answerInvalid(tp: TcpSock, skb: SkBuff, what: number, inErr: boolean): number {
  const st = tp.st;
  const ext = st.mib.tcpExt;
  const reason = st.reason;
  switch (what) {
    case INVALID_PAWS_ACK:
      ext.PAWSOldAck++;
      return reason.TCP_RFC7323_PAWS_ACK;
    case INVALID_PAWS:
      ext.PAWSEstab++;
      if (oowLimited(tp, skb)) ext.TCPACKSkippedPAWS++;
      else tcpSendDupack(tp, skb);
      return reason.TCP_RFC7323_PAWS;
    case INVALID_SEQ_RST: {
      const c = st.cb;
      const unread = tp.sk.receiveQueue.head !== null;
      const fin = (skb.cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0;
      return sequenceReason(tp, tcpSequence(tp, skb.cb[c + CB_SEQ], skb.cb[c + CB_END_SEQ], unread, fin));
    }
    case CHALLENGE_RST:
      tcpSendChallengeAck(tp, false);
      return reason.TCP_RESET;
    case CHALLENGE_SYN:
      if (inErr) st.mib.tcp.InErrs++;
      ext.TCPSYNChallenge++;
      tcpSendChallengeAck(tp, false);
      return reason.TCP_INVALID_SYN;
  }
  if (what !== INVALID_SEQ_OLD) ext.BeyondWindow++;
  if (oowLimited(tp, skb)) ext.TCPACKSkippedSeq++;
  else tcpSendDupack(tp, skb);
  if (what === INVALID_SEQ_OLD) return reason.TCP_OLD_SEQUENCE;
  return what === INVALID_SEQ_BEYOND ? reason.TCP_INVALID_SEQUENCE : reason.TCP_INVALID_END_SEQUENCE;
}

function sequenceReason(tp: TcpSock, place: number): number {
  const reason = tp.st.reason;
  if (place === SEQ_OLD) return reason.TCP_OLD_SEQUENCE;
  return place === SEQ_BEYOND ? reason.TCP_INVALID_SEQUENCE : reason.TCP_INVALID_END_SEQUENCE;
}

/**
 * Whether the last answer was less than tcp_invalid_ratelimit ago; segments with data are answered always, as an ACK
 * storm has none. Linux: tcp_oow_rate_limited(). Borrows `skb`.
 */
function oowLimited(tp: TcpSock, skb: SkBuff): boolean {
  const c = tp.st.cb;
  if (skb.cb[c + CB_SEQ] !== skb.cb[c + CB_END_SEQ] && (skb.cb[c + CB_FLAGS] & TCPHDR_SYN) === 0) return false;
  return oowNow(tp);
}

function oowNow(tp: TcpSock): boolean {
  const now = tp.st.machine.jiffies;
  if (tcpOowRateLimited(tp.lastOowAckTime, now, tp.st.sysctl.invalidRatelimit)) return true;
  tp.lastOowAckTime = now || -1;
  return false;
}

/**
 * Challenges who sent a RST or SYN into the connection, or an ACK that cannot be: the true peer answers with a RST that
 * fits. Once per tcp_invalid_ratelimit and connection; the budget of tcp_challenge_ack_limit per second is for all.
 * RFC 5961 section 7. Linux: tcp_send_challenge_ack(), net/ipv4/tcp_input.c.
 */
export function tcpSendChallengeAck(tp: TcpSock, _acceptEcn: boolean = false): void {
  const st = tp.st;
  if (oowNow(tp)) {
    st.mib.tcpExt.TCPACKSkippedChallenge++;
    return;
  }
  const limit = st.sysctl.challengeAckLimit;
  if (limit !== INT_MAX && !challengeBudget(st, limit)) return;
  st.mib.tcpExt.TCPChallengeACK++;
  tcpSendAck(tp);
}

/** Half of the limit is random, so that nobody learns from it how much others used. */
function challengeBudget(st: TcpState, limit: number): boolean {
  const now = tcpSeconds(st.machine);
  if (now !== st.challengeSecond) {
    const half = (limit + 1) >> 1;
    st.challengeSecond = now;
    st.challengeCount = half + Math.floor((st.machine.platform.random() >>> 0) * limit / 0x100000000);
  }
  if (st.challengeCount <= 0) return false;
  st.challengeCount--;
  return true;
}

/** A RST that counts: the connection ends. RFC 9293 section 3.10.7.4 step 2. Linux: tcp_reset(). Borrows `skb`. */
export function tcpReset(tp: TcpSock, skb: SkBuff | null): void {
  const st = tp.st;
  const sk = tp.sk;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpReceiveReset, skb, 0, 0, sk);
  let errno = ERRNO.ECONNRESET;
  if (sk.state === TCP_SYN_SENT) errno = ERRNO.ECONNREFUSED;
  else if (sk.state === TCP_CLOSE_WAIT) errno = ERRNO.EPIPE;
  else if (sk.state === TCP_CLOSE) return;
  tcpDoneWithError(tp, errno);
}

/** The connection ends with an error, which the user is told. Linux: tcp_done_with_error(). */
export function tcpDoneWithError(tp: TcpSock, errno: number): void {
  const sk = tp.sk;
  sk.err = errno;
  tcpWriteQueuePurge(tp);
  tcpDone(tp);
  if (!sk.dead) skErrorReport(sk, errno);
}

/** The peer's FIN is next in order. RFC 9293 section 3.10.7.4 step 8. Linux: tcp_fin(), net/ipv4/tcp_input.c. */
export function tcpFin(tp: TcpSock): void {
  const sk = tp.sk;
  tp.ackPending |= ICSK_ACK_SCHED;
  sk.shutdown |= RCV_SHUTDOWN;
  tp.sockDone = true;
  switch (sk.state) {
    case TCP_SYN_RECV:
    case TCP_ESTABLISHED:
      tcpSetState(tp, TCP_CLOSE_WAIT);
      tp.ackPingpong = 1;
      break;
    case TCP_FIN_WAIT1:
      // Both close at once.
      tcpSendAck(tp);
      tcpSetState(tp, TCP_CLOSING);
      break;
    case TCP_FIN_WAIT2:
      tcpSendAck(tp);
      tcpTimeWait(tp, TCP_TIME_WAIT, 0);
      break;
  }
  // What came behind the FIN is a sender's mistake.
  tcpOfoPurge(tp);
  if (tp.sackOk) tcpSackReset(tp);
  if (!sk.dead) sk.machine.wakeLater(sk);
}
