/**
 * What a segment means to a connection: pure, nothing is sent, changed or freed here. A disposition is a small int;
 * `input.ts` and `ipv4.ts` act on it. RFC 9293 section 3.10, RFC 7323, RFC 5961; Linux: net/ipv4/tcp_input.c.
 *
 * ```text
 *   LISTEN        tcpListenDisposition()    LISTEN_RESET | LISTEN_SYN | LISTEN_DROP
 *   SYN-SENT      tcpSynSentDisposition()   SYNSENT_ACCEPT | _CROSSED | _REFUSED | _RESET_* | _DROP_*
 *   others        tcpValidate()             VALID, or why not: PAWS, sequence, RST, SYN
 * ```
 */
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as contract from "./contract.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  after,
  before,
  between,
  TCP_PAWS_MSL,
  TCP_PAWS_WINDOW,
  TCP_PAWS_WRAP,
  TCPHDR_ACK,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
} = tcpSock;
const { TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK, TCP_SYN_RECV } = contract;

// ---- LISTEN. RFC 9293 section 3.10.7.2.

/** An ACK: nothing was sent that it could acknowledge. Answer a RST. */
export const LISTEN_RESET = 1;
/** A SYN: a connection is asked for. */
export const LISTEN_SYN = 2;
/** Nonsense, a RST, or SYN with FIN, which no client sends: silence. */
export const LISTEN_DROP = 3;

/** What a listener makes of a segment with these flags. An ACK comes first, as in Linux and the RFC's second step. */
export function tcpListenDisposition(flags: number): number {
  if ((flags & TCPHDR_ACK) !== 0) return LISTEN_RESET;
  if ((flags & (TCPHDR_RST | TCPHDR_FIN)) !== 0) return LISTEN_DROP;
  return (flags & TCPHDR_SYN) !== 0 ? LISTEN_SYN : LISTEN_DROP;
}

// ---- SYN-SENT. RFC 9293 section 3.10.7.3.

/** Our SYN was acknowledged and the peer's came: ESTABLISHED. */
export const SYNSENT_ACCEPT = 1;
/** The peer's SYN crossed ours: SYN-RECV. */
export const SYNSENT_CROSSED = 2;
/** A RST that acknowledges our SYN: connection refused. */
export const SYNSENT_REFUSED = 3;
/** Its ACK is for something else: answer a RST. */
export const SYNSENT_RESET_ACK = 4;
/** It echoes a timestamp that was not sent: answer a RST. Linux: PAWSActive. */
export const SYNSENT_RESET_TSTAMP = 5;
/** An ACK without SYN or RST, or neither of the three: silence. */
export const SYNSENT_DROP_FLAGS = 6;
/** A RST without ACK: anybody could have sent it. Silence. */
export const SYNSENT_DROP_RST = 7;
/** A SYN whose timestamp is older than what was known of the peer. Silence. */
export const SYNSENT_DROP_PAWS = 8;

/**
 * What a socket in SYN-SENT makes of a segment. `tsecr` is its echo without our offset, 0: none; it must lie between the
 * first SYN (`retransStamp`) and now (ms). `pawsOld`: its timestamp fails {@linkcode tcpPawsReject}.
 */
export function tcpSynSentDisposition(
  flags: number,
  ack: number,
  sndUna: number,
  sndNxt: number,
  tsecr: number,
  retransStamp: number,
  now: number,
  pawsOld: boolean,
): number {
  if ((flags & TCPHDR_ACK) !== 0) {
    const good = after(ack, sndUna) && !after(ack, sndNxt);
    if (!good) return SYNSENT_RESET_ACK;
    if (tsecr !== 0 && !between(tsecr, retransStamp, now)) return SYNSENT_RESET_TSTAMP;
    if ((flags & TCPHDR_RST) !== 0) return SYNSENT_REFUSED;
    return (flags & TCPHDR_SYN) !== 0 ? SYNSENT_ACCEPT : SYNSENT_DROP_FLAGS;
  }
  if ((flags & TCPHDR_RST) !== 0) return SYNSENT_DROP_RST;
  if (pawsOld) return SYNSENT_DROP_PAWS;
  return (flags & TCPHDR_SYN) !== 0 ? SYNSENT_CROSSED : SYNSENT_DROP_FLAGS;
}

// ---- PAWS. RFC 7323 section 5.

/**
 * Whether a timestamp is new enough: not more than `window` ms behind TS.Recent, or nothing is known that it could be
 * compared with: TS.Recent is 0 (some send 0 in the SYN) or older than half of the clock's range.
 * `stamp` and `now` in seconds. Linux: tcp_paws_check().
 */
export function tcpPawsCheck(tsRecent: number, stamp: number, tsval: number, now: number, window: number): boolean {
  if (((tsRecent - tsval) | 0) <= window) return true;
  return ((now - stamp) | 0) >= TCP_PAWS_WRAP || tsRecent === 0;
}

/**
 * The stricter form for segments that would replace a connection, TIME-WAIT or a request: no tolerance, but a RST is
 * believed once nothing older can be under way. Linux: tcp_paws_reject().
 */
export function tcpPawsReject(tsRecent: number, stamp: number, tsval: number, now: number, rst: boolean): boolean {
  if (tcpPawsCheck(tsRecent, stamp, tsval, now, 0)) return false;
  return !(rst && ((now - stamp) | 0) >= TCP_PAWS_MSL);
}

/** What {@linkcode tcpValidate} and its parts read of a connection. */
export type TcpReceiver = Pick<
  TcpSock,
  | "rcvNxt"
  | "rcvWup"
  | "rcvWnd"
  | "sndUna"
  | "sndWl1"
  | "sndWnd"
  | "sndNxt"
  | "sndWscale"
  | "tsRecent"
  | "tsRecentStamp"
  | "rcvTsval"
  | "sawTstamp"
  | "icskRto"
  | "sackOk"
  | "numSacks"
  | "selectiveAcks"
>;

/** Passes PAWS. */
const PAWS_OK = 0;
/** Too old: an answer is due. */
const PAWS_OLD = 1;
/** An old pure ACK with an old timestamp: so common that no answer is sent. */
const PAWS_OLD_ACK = 2;

/**
 * PAWS with the exception for duplicate ACKs that were reordered on the way: a pure ACK in order that repeats `sndUna`,
 * changes no window and is at most 1.2 RTO old passes. Linux: tcp_disordered_ack_check().
 */
function pawsDisposition(
  tp: TcpReceiver,
  seq: number,
  endSeq: number,
  flags: number,
  ack: number,
  window: number,
  now: number,
): number {
  if (tcpPawsCheck(tp.tsRecent, tp.tsRecentStamp, tp.rcvTsval, now, TCP_PAWS_WINDOW)) return PAWS_OK;
  if ((flags & TCPHDR_ACK) === 0 || seq !== endSeq) return PAWS_OLD;
  if (seq !== tp.rcvNxt) return before(seq, tp.rcvNxt) ? PAWS_OLD_ACK : PAWS_OLD;
  if (ack !== tp.sndUna || tcpMayUpdateWindow(tp, ack, seq, window << tp.sndWscale)) return PAWS_OLD;
  return ((tp.tsRecent - tp.rcvTsval) | 0) > tp.icskRto * 1.2 ? PAWS_OLD : PAWS_OK;
}

/** Whether a segment may set the send window. RFC 9293 section 3.10.7.4; Linux: tcp_may_update_window(). */
export function tcpMayUpdateWindow(tp: TcpReceiver, ack: number, seq: number, window: number): boolean {
  return after(ack, tp.sndUna) || after(seq, tp.sndWl1) ||
    (seq === tp.sndWl1 && (window > tp.sndWnd || window === 0));
}

// ---- sequence numbers. RFC 9293 section 3.10.7.4, first step.

/** In the window. */
export const SEQ_OK = 0;
/** It ends before the window. */
export const SEQ_OLD = 1;
/** It begins behind the window. */
export const SEQ_BEYOND = 2;
/** It ends behind the window, and unread data waits: there is no room for it. */
export const SEQ_END_BEYOND = 3;

/**
 * Whether a segment is in the window. One that reaches beyond it is taken while nothing waits to be read (`unread` false):
 * what does not fit is dropped later. A FIN (`fin`) needs no room, and may be the first number beyond the window. Linux:
 * tcp_sequence().
 */
export function tcpSequence(tp: TcpReceiver, seq: number, endSeq: number, unread: boolean, fin: boolean): number {
  if (before(endSeq, tp.rcvWup)) return SEQ_OLD;
  const edge = (tp.rcvNxt + receiveWindow(tp)) | 0;
  if (!after(fin ? (endSeq - 1) | 0 : endSeq, edge)) return SEQ_OK;
  if (after(seq, edge)) return SEQ_BEYOND;
  return unread ? SEQ_END_BEYOND : SEQ_OK;
}

/** What is left of the window that was offered. Linux: tcp_receive_window(). */
function receiveWindow(tp: TcpReceiver): number {
  const window = (tp.rcvWup + tp.rcvWnd - tp.rcvNxt) | 0;
  return window < 0 ? 0 : window;
}

// ---- RST and SYN inside a connection. RFC 5961 sections 3 and 4.

/** After the peer's FIN a RST with the FIN's own number is its, too. Linux: tcp_reset_check(). */
function isResetOfFin(tp: TcpReceiver, state: number, seq: number): boolean {
  return seq === ((tp.rcvNxt - 1) | 0) && (state === TCP_CLOSE_WAIT || state === TCP_LAST_ACK || state === TCP_CLOSING);
}

/** The end of the highest SACK block that we told: a RST may follow lost data. */
function isBehindSacks(tp: TcpReceiver, seq: number): boolean {
  const blocks = tp.selectiveAcks;
  if (!tp.sackOk || tp.numSacks === 0 || blocks === null) return false;
  let highest = blocks[1];
  for (let i = 1; i < tp.numSacks; i++) if (after(blocks[2 * i + 1], highest)) highest = blocks[2 * i + 1];
  return seq === highest;
}

// ---- all of it

/** Acceptable. */
export const VALID = 0;
/** PAWS: drop, answer at a limited rate. */
export const INVALID_PAWS = 1;
/** PAWS, an old ACK: drop. */
export const INVALID_PAWS_ACK = 2;
/** Outside of the window: drop, answer at a limited rate. The reason is a SEQ_*, see {@linkcode tcpSequence}. */
export const INVALID_SEQ_OLD = 3;
/** See {@linkcode INVALID_SEQ_OLD}. */
export const INVALID_SEQ_BEYOND = 4;
/** See {@linkcode INVALID_SEQ_OLD}. */
export const INVALID_SEQ_END_BEYOND = 5;
/** A RST outside of the window: silence. */
export const INVALID_SEQ_RST = 6;
/** A RST that ends the connection. */
export const VALID_RST = 7;
/** A RST in the window that is not exactly the next: challenge ACK. */
export const CHALLENGE_RST = 8;
/** A SYN: challenge ACK. */
export const CHALLENGE_SYN = 9;

/**
 * What to do with a segment of a connection, before its ACK and text are looked at. `window` as on the wire, `now` in
 * seconds; `unread`: data waits for the reader; `owned`: the user has the socket, which is so for a SYN-RECV of a
 * simultaneous open. RFC 9293 section 3.10.7.4 steps 1 to 4; Linux: tcp_validate_incoming().
 */
export function tcpValidate(
  tp: TcpReceiver,
  state: number,
  seq: number,
  endSeq: number,
  flags: number,
  ack: number,
  window: number,
  now: number,
  unread: boolean,
  owned: boolean,
): number {
  const rst = (flags & TCPHDR_RST) !== 0;
  const syn = (flags & TCPHDR_SYN) !== 0;
  if (tp.sawTstamp && !rst) {
    const paws = pawsDisposition(tp, seq, endSeq, flags, ack, window, now);
    if (paws !== PAWS_OK) return syn ? CHALLENGE_SYN : paws === PAWS_OLD_ACK ? INVALID_PAWS_ACK : INVALID_PAWS;
  }
  const place = tcpSequence(tp, seq, endSeq, unread, (flags & TCPHDR_FIN) !== 0);
  if (place !== SEQ_OK) {
    if (rst) return isResetOfFin(tp, state, seq) ? VALID_RST : INVALID_SEQ_RST;
    return syn
      ? CHALLENGE_SYN
      : place === SEQ_OLD
      ? INVALID_SEQ_OLD
      : place === SEQ_BEYOND
      ? INVALID_SEQ_BEYOND
      : INVALID_SEQ_END_BEYOND;
  }
  if (rst) {
    return seq === tp.rcvNxt || isResetOfFin(tp, state, seq) || isBehindSacks(tp, seq) ? VALID_RST : CHALLENGE_RST;
  }
  if (!syn) return VALID;
  // Both SYNs crossed, and this SYN-ACK is the answer to ours: the peer saw our SYN first.
  const crossed = state === TCP_SYN_RECV && owned && (flags & TCPHDR_ACK) !== 0 && ((seq + 1) | 0) === endSeq &&
    endSeq === tp.rcvNxt && ack === tp.sndNxt;
  return crossed ? VALID : CHALLENGE_SYN;
}

// ---- how often a segment outside of the window is answered. Linux: __tcp_oow_rate_limited().

/**
 * Whether an answer now would come too soon after the last one at jiffy `last` (0: there was none): `limit` ms. Two hosts
 * that disagree would otherwise answer each other for ever.
 */
export function tcpOowRateLimited(last: number, now: number, limit: number): boolean {
  if (last === 0) return false;
  const elapsed = (now - last) | 0;
  return elapsed >= 0 && elapsed < limit;
}
