/**
 * What most connections never need, out of the way: flags in one word, and a record that exists only where a value in it is
 * not the usual one. An idle connection without losses has none. Read and written as fields of {@linkcode TcpSockBase}.
 */
import type { HrTimer } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import type { TcpRequestSock } from "./request.ts";
import type { TcpMtup, TcpPacing, TcpSock } from "./tcp_sock.ts";
import { TcpSockFlags } from "./tcp_sock_flags.ts";

/** Losses, urgent data, probes, listeners. */
class TcpCold {
  /** D-SACK to tell first: start. */
  dsackStart = 0;
  /** End. */
  dsackEnd = 0;
  /** Urgent: sequence number. */
  urgSeq = 0;
  /** Urgent: TCP_URG_* and the byte. */
  urgData = 0;
  /** Unread duplicates: D-SACKs in a row without progress. */
  dupAckCounter = 0;
  /** ACKs held back to be sent as one. */
  compressedAck = 0;
  /** rcvNxt of the duplicate ACKs that were counted. */
  compressedAckRcvNxt = 0;
  /** Sends them; null until needed. */
  compressedAckTimer: HrTimer | null = null;
  /** Threshold before the reduction. */
  priorSsthresh = 0;
  /** Delivered during recovery. RFC 6937. */
  prrDelivered = 0;
  /** Sent during recovery. */
  prrOut = 0;
  /** sndUna at the onset of recovery; 0: no undo. */
  undoMarker = 0;
  /** Retransmissions whose need may be disproved; -1: undo is not possible. */
  undoRetrans = 0;
  /** Retransmissions in all. */
  totalRetrans = 0;
  /** Times it was seen. */
  reordSeen = 0;
  /** End of the tail loss probe; 0: none in flight. */
  tlpHighSeq = 0;
  /** Steps of a quarter of the minimal round trip. */
  rackReoWndSteps = 1;
  /** Recoveries until it is narrowed again. */
  rackReoWndPersist = 0;
  /** delivered when it was widened last. */
  rackLastDelivered = 0;
  /** Begin of the first lost segment that may not have been sent again yet. Linux: retransmit_skb_hint. */
  retransmitHint = 0;
  /** See {@linkcode TcpCongestionSock}. */
  deliveredCe = 0;
  /** Marked lost in all. */
  lost = 0;
  /** D-SACKs received. */
  dsackDups = 0;
  /** When the timeouts in a row began, timestamp ms int32; 0: none. Linux: rto_stamp. */
  rtoStamp = 0;
  /** Timeouts in all. */
  totalRto = 0;
  /** Recoveries from timeouts. */
  totalRtoRecoveries = 0;
  /** Milliseconds spent in them. */
  totalRtoTime = 0;
  /** When the first was sent, jiffies; 0: none. */
  icskProbesTstamp = 0;
  /** Unanswered probes. */
  icskProbesOut = 0;
  /** Bytes retransmitted. */
  bytesRetrans = 0;
  /** Out-of-order segments. */
  rcvOooPack = 0;
  /** Last answer to a segment outside the window, jiffies. Linux: last_oow_ack_time. */
  lastOowAckTime = 0;
  /** Jiffies limited by the peer's window. */
  chronoRwnd = 0;
  /** Jiffies limited by the send buffer. */
  chronoSndbuf = 0;
  /** Timeouts in a row. */
  icskRetransmits = 0;
  /** Exponent. */
  icskBackoff = 0;
  /** Connections that wait for accept(): the queue of children; null: no listener. */
  acceptQueue: (Sock | null)[] | null = null;
  /** Place of the first of them in {@linkcode acceptQueue}. */
  acceptFirst = 0;
  /** Place behind the last one: the array keeps its length, so that it is not cut and grown again and again. */
  acceptEnd = 0;
  /** listen()'s backlog. */
  maxAckBacklog = 0;
  /** Requests by four-tuple are in the table of connections; how many of this listener. */
  requests = 0;
  /** Requests whose SYN-ACK was not sent again yet. */
  requestsYoung = 0;
  /** First of the list of requests. */
  requestList: TcpRequestSock | null = null;
  /** A cookie was sent last at, jiffies; valid while {@linkcode synOverflowSeen}. */
  synOverflowStamp = 0;
  /** SACK blocks to tell, [start, end] pairs, newest first; null: none. */
  selectiveAcks: Int32Array | null = null;
  /** How many of them. */
  numSacks = 0;
  /** Link of that list. */
  tsqNext: TcpSock | null = null;
  /** Pacing; null: never. */
  pacing: TcpPacing | null = null;
  /** Probing of larger MTUs; null: never. */
  mtup: TcpMtup | null = null;
  /** See {@linkcode TcpCongestionSock}. */
  priorCwnd = 0;
  /** A delayed ACK was put off. */
  ackRetry = 0;
}

/** The part of a TcpSock that is not plain fields. */
export abstract class TcpSockBase extends TcpSockFlags {
  /** Rare values; null: all are the usual ones. */
  cold: TcpCold | null = null;

  /** D-SACK to tell first: start. */
  get dsackStart(): number {
    return this.cold === null ? 0 : this.cold.dsackStart;
  }
  set dsackStart(v: number) {
    if (this.cold !== null) this.cold.dsackStart = v;
    else if (v !== 0) (this.cold = new TcpCold()).dsackStart = v;
  }

  /** End. */
  get dsackEnd(): number {
    return this.cold === null ? 0 : this.cold.dsackEnd;
  }
  set dsackEnd(v: number) {
    if (this.cold !== null) this.cold.dsackEnd = v;
    else if (v !== 0) (this.cold = new TcpCold()).dsackEnd = v;
  }

  /** Urgent: sequence number. */
  get urgSeq(): number {
    return this.cold === null ? 0 : this.cold.urgSeq;
  }
  set urgSeq(v: number) {
    if (this.cold !== null) this.cold.urgSeq = v;
    else if (v !== 0) (this.cold = new TcpCold()).urgSeq = v;
  }

  /** Urgent: TCP_URG_* and the byte. */
  get urgData(): number {
    return this.cold === null ? 0 : this.cold.urgData;
  }
  set urgData(v: number) {
    if (this.cold !== null) this.cold.urgData = v;
    else if (v !== 0) (this.cold = new TcpCold()).urgData = v;
  }

  /** Unread duplicates: D-SACKs in a row without progress. */
  get dupAckCounter(): number {
    return this.cold === null ? 0 : this.cold.dupAckCounter;
  }
  set dupAckCounter(v: number) {
    if (this.cold !== null) this.cold.dupAckCounter = v;
    else if (v !== 0) (this.cold = new TcpCold()).dupAckCounter = v;
  }

  /** ACKs held back to be sent as one. */
  get compressedAck(): number {
    return this.cold === null ? 0 : this.cold.compressedAck;
  }
  set compressedAck(v: number) {
    if (this.cold !== null) this.cold.compressedAck = v;
    else if (v !== 0) (this.cold = new TcpCold()).compressedAck = v;
  }

  /** rcvNxt of the duplicate ACKs that were counted. */
  get compressedAckRcvNxt(): number {
    return this.cold === null ? 0 : this.cold.compressedAckRcvNxt;
  }
  set compressedAckRcvNxt(v: number) {
    if (this.cold !== null) this.cold.compressedAckRcvNxt = v;
    else if (v !== 0) (this.cold = new TcpCold()).compressedAckRcvNxt = v;
  }

  /** Sends them; null until needed. */
  get compressedAckTimer(): HrTimer | null {
    return this.cold === null ? null : this.cold.compressedAckTimer;
  }
  set compressedAckTimer(v: HrTimer | null) {
    if (this.cold !== null) this.cold.compressedAckTimer = v;
    else if (v !== null) (this.cold = new TcpCold()).compressedAckTimer = v;
  }

  /** Threshold before the reduction. */
  get priorSsthresh(): number {
    return this.cold === null ? 0 : this.cold.priorSsthresh;
  }
  set priorSsthresh(v: number) {
    if (this.cold !== null) this.cold.priorSsthresh = v;
    else if (v !== 0) (this.cold = new TcpCold()).priorSsthresh = v;
  }

  /** Delivered during recovery. RFC 6937. */
  get prrDelivered(): number {
    return this.cold === null ? 0 : this.cold.prrDelivered;
  }
  set prrDelivered(v: number) {
    if (this.cold !== null) this.cold.prrDelivered = v;
    else if (v !== 0) (this.cold = new TcpCold()).prrDelivered = v;
  }

  /** Sent during recovery. */
  get prrOut(): number {
    return this.cold === null ? 0 : this.cold.prrOut;
  }
  set prrOut(v: number) {
    if (this.cold !== null) this.cold.prrOut = v;
    else if (v !== 0) (this.cold = new TcpCold()).prrOut = v;
  }

  /** sndUna at the onset of recovery; 0: no undo. */
  get undoMarker(): number {
    return this.cold === null ? 0 : this.cold.undoMarker;
  }
  set undoMarker(v: number) {
    if (this.cold !== null) this.cold.undoMarker = v;
    else if (v !== 0) (this.cold = new TcpCold()).undoMarker = v;
  }

  /** Retransmissions whose need may be disproved; -1: undo is not possible. */
  get undoRetrans(): number {
    return this.cold === null ? 0 : this.cold.undoRetrans;
  }
  set undoRetrans(v: number) {
    if (this.cold !== null) this.cold.undoRetrans = v;
    else if (v !== 0) (this.cold = new TcpCold()).undoRetrans = v;
  }

  /** Retransmissions in all. */
  get totalRetrans(): number {
    return this.cold === null ? 0 : this.cold.totalRetrans;
  }
  set totalRetrans(v: number) {
    if (this.cold !== null) this.cold.totalRetrans = v;
    else if (v !== 0) (this.cold = new TcpCold()).totalRetrans = v;
  }

  /** Times it was seen. */
  get reordSeen(): number {
    return this.cold === null ? 0 : this.cold.reordSeen;
  }
  set reordSeen(v: number) {
    if (this.cold !== null) this.cold.reordSeen = v;
    else if (v !== 0) (this.cold = new TcpCold()).reordSeen = v;
  }

  /** End of the tail loss probe; 0: none in flight. */
  get tlpHighSeq(): number {
    return this.cold === null ? 0 : this.cold.tlpHighSeq;
  }
  set tlpHighSeq(v: number) {
    if (this.cold !== null) this.cold.tlpHighSeq = v;
    else if (v !== 0) (this.cold = new TcpCold()).tlpHighSeq = v;
  }

  /** Steps of a quarter of the minimal round trip. */
  get rackReoWndSteps(): number {
    return this.cold === null ? 1 : this.cold.rackReoWndSteps;
  }
  set rackReoWndSteps(v: number) {
    if (this.cold !== null) this.cold.rackReoWndSteps = v;
    else if (v !== 1) (this.cold = new TcpCold()).rackReoWndSteps = v;
  }

  /** Recoveries until it is narrowed again. */
  get rackReoWndPersist(): number {
    return this.cold === null ? 0 : this.cold.rackReoWndPersist;
  }
  set rackReoWndPersist(v: number) {
    if (this.cold !== null) this.cold.rackReoWndPersist = v;
    else if (v !== 0) (this.cold = new TcpCold()).rackReoWndPersist = v;
  }

  /** delivered when it was widened last. */
  get rackLastDelivered(): number {
    return this.cold === null ? 0 : this.cold.rackLastDelivered;
  }
  set rackLastDelivered(v: number) {
    if (this.cold !== null) this.cold.rackLastDelivered = v;
    else if (v !== 0) (this.cold = new TcpCold()).rackLastDelivered = v;
  }

  /** Begin of the first lost segment that may not have been sent again yet. Linux: retransmit_skb_hint. */
  get retransmitHint(): number {
    return this.cold === null ? 0 : this.cold.retransmitHint;
  }
  set retransmitHint(v: number) {
    if (this.cold !== null) this.cold.retransmitHint = v;
    else if (v !== 0) (this.cold = new TcpCold()).retransmitHint = v;
  }

  /** See {@linkcode TcpCongestionSock}. */
  get deliveredCe(): number {
    return this.cold === null ? 0 : this.cold.deliveredCe;
  }
  set deliveredCe(v: number) {
    if (this.cold !== null) this.cold.deliveredCe = v;
    else if (v !== 0) (this.cold = new TcpCold()).deliveredCe = v;
  }

  /** Marked lost in all. */
  get lost(): number {
    return this.cold === null ? 0 : this.cold.lost;
  }
  set lost(v: number) {
    if (this.cold !== null) this.cold.lost = v;
    else if (v !== 0) (this.cold = new TcpCold()).lost = v;
  }

  /** D-SACKs received. */
  get dsackDups(): number {
    return this.cold === null ? 0 : this.cold.dsackDups;
  }
  set dsackDups(v: number) {
    if (this.cold !== null) this.cold.dsackDups = v;
    else if (v !== 0) (this.cold = new TcpCold()).dsackDups = v;
  }

  /** When the timeouts in a row began, timestamp ms int32; 0: none. Linux: rto_stamp. */
  get rtoStamp(): number {
    return this.cold === null ? 0 : this.cold.rtoStamp;
  }
  set rtoStamp(v: number) {
    if (this.cold !== null) this.cold.rtoStamp = v;
    else if (v !== 0) (this.cold = new TcpCold()).rtoStamp = v;
  }

  /** Timeouts in all. */
  get totalRto(): number {
    return this.cold === null ? 0 : this.cold.totalRto;
  }
  set totalRto(v: number) {
    if (this.cold !== null) this.cold.totalRto = v;
    else if (v !== 0) (this.cold = new TcpCold()).totalRto = v;
  }

  /** Recoveries from timeouts. */
  get totalRtoRecoveries(): number {
    return this.cold === null ? 0 : this.cold.totalRtoRecoveries;
  }
  set totalRtoRecoveries(v: number) {
    if (this.cold !== null) this.cold.totalRtoRecoveries = v;
    else if (v !== 0) (this.cold = new TcpCold()).totalRtoRecoveries = v;
  }

  /** Milliseconds spent in them. */
  get totalRtoTime(): number {
    return this.cold === null ? 0 : this.cold.totalRtoTime;
  }
  set totalRtoTime(v: number) {
    if (this.cold !== null) this.cold.totalRtoTime = v;
    else if (v !== 0) (this.cold = new TcpCold()).totalRtoTime = v;
  }

  /** When the first was sent, jiffies; 0: none. */
  get icskProbesTstamp(): number {
    return this.cold === null ? 0 : this.cold.icskProbesTstamp;
  }
  set icskProbesTstamp(v: number) {
    if (this.cold !== null) this.cold.icskProbesTstamp = v;
    else if (v !== 0) (this.cold = new TcpCold()).icskProbesTstamp = v;
  }

  /** Unanswered probes. */
  get icskProbesOut(): number {
    return this.cold === null ? 0 : this.cold.icskProbesOut;
  }
  set icskProbesOut(v: number) {
    if (this.cold !== null) this.cold.icskProbesOut = v;
    else if (v !== 0) (this.cold = new TcpCold()).icskProbesOut = v;
  }

  /** Bytes retransmitted. */
  get bytesRetrans(): number {
    return this.cold === null ? 0 : this.cold.bytesRetrans;
  }
  set bytesRetrans(v: number) {
    if (this.cold !== null) this.cold.bytesRetrans = v;
    else if (v !== 0) (this.cold = new TcpCold()).bytesRetrans = v;
  }

  /** Out-of-order segments. */
  get rcvOooPack(): number {
    return this.cold === null ? 0 : this.cold.rcvOooPack;
  }
  set rcvOooPack(v: number) {
    if (this.cold !== null) this.cold.rcvOooPack = v;
    else if (v !== 0) (this.cold = new TcpCold()).rcvOooPack = v;
  }

  /** Last answer to a segment outside the window, jiffies. Linux: last_oow_ack_time. */
  get lastOowAckTime(): number {
    return this.cold === null ? 0 : this.cold.lastOowAckTime;
  }
  set lastOowAckTime(v: number) {
    if (this.cold !== null) this.cold.lastOowAckTime = v;
    else if (v !== 0) (this.cold = new TcpCold()).lastOowAckTime = v;
  }

  /** Jiffies limited by the peer's window. */
  get chronoRwnd(): number {
    return this.cold === null ? 0 : this.cold.chronoRwnd;
  }
  set chronoRwnd(v: number) {
    if (this.cold !== null) this.cold.chronoRwnd = v;
    else if (v !== 0) (this.cold = new TcpCold()).chronoRwnd = v;
  }

  /** Jiffies limited by the send buffer. */
  get chronoSndbuf(): number {
    return this.cold === null ? 0 : this.cold.chronoSndbuf;
  }
  set chronoSndbuf(v: number) {
    if (this.cold !== null) this.cold.chronoSndbuf = v;
    else if (v !== 0) (this.cold = new TcpCold()).chronoSndbuf = v;
  }

  /** Timeouts in a row. */
  get icskRetransmits(): number {
    return this.cold === null ? 0 : this.cold.icskRetransmits;
  }
  set icskRetransmits(v: number) {
    if (this.cold !== null) this.cold.icskRetransmits = v;
    else if (v !== 0) (this.cold = new TcpCold()).icskRetransmits = v;
  }

  /** Exponent. */
  get icskBackoff(): number {
    return this.cold === null ? 0 : this.cold.icskBackoff;
  }
  set icskBackoff(v: number) {
    if (this.cold !== null) this.cold.icskBackoff = v;
    else if (v !== 0) (this.cold = new TcpCold()).icskBackoff = v;
  }

  /** Connections that wait for accept(): the queue of children; null: no listener. */
  get acceptQueue(): (Sock | null)[] | null {
    return this.cold === null ? null : this.cold.acceptQueue;
  }
  set acceptQueue(v: (Sock | null)[] | null) {
    if (this.cold !== null) this.cold.acceptQueue = v;
    else if (v !== null) (this.cold = new TcpCold()).acceptQueue = v;
  }

  /** Place of the first of them in {@linkcode acceptQueue}. */
  get acceptFirst(): number {
    return this.cold === null ? 0 : this.cold.acceptFirst;
  }
  set acceptFirst(v: number) {
    if (this.cold !== null) this.cold.acceptFirst = v;
    else if (v !== 0) (this.cold = new TcpCold()).acceptFirst = v;
  }

  /** Place behind the last one: the array keeps its length, so that it is not cut and grown again and again. */
  get acceptEnd(): number {
    return this.cold === null ? 0 : this.cold.acceptEnd;
  }
  set acceptEnd(v: number) {
    if (this.cold !== null) this.cold.acceptEnd = v;
    else if (v !== 0) (this.cold = new TcpCold()).acceptEnd = v;
  }

  /** listen()'s backlog. */
  get maxAckBacklog(): number {
    return this.cold === null ? 0 : this.cold.maxAckBacklog;
  }
  set maxAckBacklog(v: number) {
    if (this.cold !== null) this.cold.maxAckBacklog = v;
    else if (v !== 0) (this.cold = new TcpCold()).maxAckBacklog = v;
  }

  /** Requests by four-tuple are in the table of connections; how many of this listener. */
  get requests(): number {
    return this.cold === null ? 0 : this.cold.requests;
  }
  set requests(v: number) {
    if (this.cold !== null) this.cold.requests = v;
    else if (v !== 0) (this.cold = new TcpCold()).requests = v;
  }

  /** Requests whose SYN-ACK was not sent again yet. */
  get requestsYoung(): number {
    return this.cold === null ? 0 : this.cold.requestsYoung;
  }
  set requestsYoung(v: number) {
    if (this.cold !== null) this.cold.requestsYoung = v;
    else if (v !== 0) (this.cold = new TcpCold()).requestsYoung = v;
  }

  /** First of the list of requests. */
  get requestList(): TcpRequestSock | null {
    return this.cold === null ? null : this.cold.requestList;
  }
  set requestList(v: TcpRequestSock | null) {
    if (this.cold !== null) this.cold.requestList = v;
    else if (v !== null) (this.cold = new TcpCold()).requestList = v;
  }

  /** A cookie was sent last at, jiffies; valid while {@linkcode synOverflowSeen}. */
  get synOverflowStamp(): number {
    return this.cold === null ? 0 : this.cold.synOverflowStamp;
  }
  set synOverflowStamp(v: number) {
    if (this.cold !== null) this.cold.synOverflowStamp = v;
    else if (v !== 0) (this.cold = new TcpCold()).synOverflowStamp = v;
  }

  /** SACK blocks to tell, [start, end] pairs, newest first; null: none. */
  get selectiveAcks(): Int32Array | null {
    return this.cold === null ? null : this.cold.selectiveAcks;
  }
  set selectiveAcks(v: Int32Array | null) {
    if (this.cold !== null) this.cold.selectiveAcks = v;
    else if (v !== null) (this.cold = new TcpCold()).selectiveAcks = v;
  }

  /** How many of them. */
  get numSacks(): number {
    return this.cold === null ? 0 : this.cold.numSacks;
  }
  set numSacks(v: number) {
    if (this.cold !== null) this.cold.numSacks = v;
    else if (v !== 0) (this.cold = new TcpCold()).numSacks = v;
  }

  /** Link of that list. */
  get tsqNext(): TcpSock | null {
    return this.cold === null ? null : this.cold.tsqNext;
  }
  set tsqNext(v: TcpSock | null) {
    if (this.cold !== null) this.cold.tsqNext = v;
    else if (v !== null) (this.cold = new TcpCold()).tsqNext = v;
  }

  /** Pacing; null: never. */
  get pacing(): TcpPacing | null {
    return this.cold === null ? null : this.cold.pacing;
  }
  set pacing(v: TcpPacing | null) {
    if (this.cold !== null) this.cold.pacing = v;
    else if (v !== null) (this.cold = new TcpCold()).pacing = v;
  }

  /** Probing of larger MTUs; null: never. */
  get mtup(): TcpMtup | null {
    return this.cold === null ? null : this.cold.mtup;
  }
  set mtup(v: TcpMtup | null) {
    if (this.cold !== null) this.cold.mtup = v;
    else if (v !== null) (this.cold = new TcpCold()).mtup = v;
  }

  /** See {@linkcode TcpCongestionSock}. */
  get priorCwnd(): number {
    return this.cold === null ? 0 : this.cold.priorCwnd;
  }
  set priorCwnd(v: number) {
    if (this.cold !== null) this.cold.priorCwnd = v;
    else if (v !== 0) (this.cold = new TcpCold()).priorCwnd = v;
  }

  /** A delayed ACK was put off. */
  get ackRetry(): number {
    return this.cold === null ? 0 : this.cold.ackRetry;
  }
  set ackRetry(v: number) {
    if (this.cold !== null) this.cold.ackRetry = v;
    else if (v !== 0) (this.cold = new TcpCold()).ackRetry = v;
  }
}
