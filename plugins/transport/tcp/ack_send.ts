/**
 * When received data is acknowledged: at once, delayed, or held back to be sent as one. RFC 9293 section 3.8.6.3,
 * RFC 5681 section 4.2; Linux: net/ipv4/tcp_input.c.
 *
 * - *Quick*: at the start, after a gap and while the sender probes, each segment is acknowledged.
 * - *Ping-pong*: the application answers, so that the ACK may travel with the answer: it is delayed 40 ms.
 * - Otherwise a second full segment brings an ACK, if the window may move.
 * - Out of order, three duplicate ACKs go at once, which is what a sender counts; further ones wait for up to 5 % of the
 *   round trip, 1 ms at most, and go as one that has all SACK blocks ("compressed").
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as output from "./output.ts";
import * as routeMetrics from "./route_metrics.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import * as ofo from "./ofo.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpMetricsOf } = routeMetrics;
const { HrTimer } = core;
const { tcpSendAck, tcpSendDelayedAck } = output;
const { __tcpSelectWindow } = win;
const { tcpDsackSet } = ofo;
const {
  after,
  before,
  CB_END_SEQ,
  CB_SEQ,
  ICSK_ACK_NOW,
  ICSK_ACK_SCHED,
  TCP_ATO_MIN,
  TCP_FASTRETRANS_THRESH,
  TCP_MAX_QUICKACKS,
} = tcpSock;

/** Quick ACKs for the next segments: as many as half a window has, at most `max`. Linux: tcp_incr_quickack(). */
export function tcpIncrQuickack(tp: TcpSock, max: number): void {
  let n = Math.floor(tp.rcvWnd / (2 * tp.ackRcvMss));
  if (n === 0) n = 2;
  if (n > max) n = max;
  if (n > tp.ackQuick) tp.ackQuick = n;
}

/** The same, and no waiting for answers of the application. Linux: tcp_enter_quickack_mode(). */
export function tcpEnterQuickackMode(tp: TcpSock, max: number): void {
  tcpIncrQuickack(tp, max);
  tp.ackPingpong = 0;
  tp.ackAto = TCP_ATO_MIN;
}

/** Whether each segment is acknowledged. Linux: tcp_in_quickack_mode(). */
function tcpInQuickackMode(tp: TcpSock): boolean {
  if (tp.ackQuick !== 0 && tp.ackPingpong === 0) return true;
  const m = tcpMetricsOf(tp.sk.dst);
  return m !== null && m.quickack;
}

/** An ACK leaves: one quick ACK less, if it acknowledges anything new. Linux: tcp_dec_quickack_mode(). */
export function tcpDecQuickackMode(tp: TcpSock): void {
  if (tp.ackQuick === 0) return;
  const sent = tp.ackPending & ICSK_ACK_SCHED;
  if (sent >= tp.ackQuick) {
    tp.ackQuick = 0;
    tp.ackAto = TCP_ATO_MIN;
  } else tp.ackQuick -= sent;
}

/** Linux: tcp_ack_snd_check(). */
export function tcpAckSndCheck(tp: TcpSock): void {
  if ((tp.ackPending & ICSK_ACK_SCHED) !== 0) __tcpAckSndCheck(tp, true);
}

/** An ACK is scheduled: now or later? Linux: __tcp_ack_snd_check(), net/ipv4/tcp_input.c. */
export function __tcpAckSndCheck(tp: TcpSock, ofoPossible: boolean): void {
  const twoFull = ((tp.rcvNxt - tp.rcvWup) | 0) > tp.ackRcvMss &&
    (((tp.rcvNxt - tp.copiedSeq) | 0) < tp.sk.rcvlowat || __tcpSelectWindow(tp) >= tp.rcvWnd);
  if (twoFull || tcpInQuickackMode(tp) || (tp.ackPending & ICSK_ACK_NOW) !== 0) tcpSendAck(tp);
  else if (!ofoPossible || tp.ofo === null || tp.ofo.length === 0) tcpSendDelayedAck(tp);
  else sendOrCompress(tp);
}

/** A duplicate ACK: the first three go, the next wait a little. */
function sendOrCompress(tp: TcpSock): void {
  const s = tp.st.sysctl;
  if (!tp.sackOk || tp.compressedAck >= s.compSackNr) {
    tcpSendAck(tp);
    return;
  }
  if (tp.compressedAckRcvNxt !== tp.rcvNxt) {
    tp.compressedAckRcvNxt = tp.rcvNxt;
    tp.dupAckCounter = 0;
  }
  if (tp.dupAckCounter < TCP_FASTRETRANS_THRESH) {
    tp.dupAckCounter++;
    tcpSendAck(tp);
    return;
  }
  tp.compressedAck++;
  const timer = tp.compressedAckTimer ?? makeCompressedAckTimer(tp);
  if (timer.pending) return;
  let rtt = tp.rcvRttUs;
  if (tp.srttUs !== 0 && tp.srttUs < rtt) rtt = tp.srttUs;
  // Both are eighths of a microsecond: 5 % of them in ns.
  const delay = Math.min(s.compSackDelayNs, rtt * 125 / 20);
  const machine = tp.st.machine;
  machine.hrtimers.start(timer, machine.now + delay);
}

/** In a function of its own: what makes a closure allocates a context at each call. */
function makeCompressedAckTimer(tp: TcpSock): core.HrTimer {
  return tp.compressedAckTimer = new HrTimer(() => tcpCompressedAckKick(tp));
}

/** The wait is over. Linux: tcp_compressed_ack_kick(). */
function tcpCompressedAckKick(tp: TcpSock): void {
  if (tp.destroyed || tp.compressedAck === 0) return;
  // The ACK that goes resets the counter; one of them is this very ACK.
  tp.compressedAck--;
  tcpSendAck(tp);
}

/** What waits goes now: the SACK blocks are about to overflow. Linux: tcp_sack_compress_send_ack(). */
export function tcpSackCompressSendAck(tp: TcpSock): void {
  if (tp.compressedAck === 0) return;
  tcpCompressedAckCancel(tp);
  tp.st.mib.tcpExt.TCPAckCompressed += tp.compressedAck - 1;
  tp.compressedAck = 0;
  tcpSendAck(tp);
}

/** An ACK left: those that waited went with it. Linux: the end of compression in tcp_event_ack_sent(). */
export function tcpCompressedAckSent(tp: TcpSock): void {
  tp.st.mib.tcpExt.TCPAckCompressed += tp.compressedAck;
  tp.compressedAck = 0;
  tcpCompressedAckCancel(tp);
}

/** Disarms the timer of compressed ACKs: an ACK left, or the socket closes. */
export function tcpCompressedAckCancel(tp: TcpSock): void {
  if (tp.compressedAckTimer !== null) tp.st.machine.hrtimers.cancel(tp.compressedAckTimer);
}

/**
 * Answers a segment that is outside of the window: the ACK tells the peer where we are, and by D-SACK what came twice.
 * Linux: tcp_send_dupack(). Borrows `skb`.
 */
export function tcpSendDupack(tp: TcpSock, skb: SkBuff): void {
  const c = tp.st.cb;
  const seq = skb.cb[c + CB_SEQ];
  const endSeq = skb.cb[c + CB_END_SEQ];
  if (endSeq !== seq && before(seq, tp.rcvNxt)) {
    tp.st.mib.tcpExt.DelayedACKLost++;
    tcpEnterQuickackMode(tp, TCP_MAX_QUICKACKS);
    tcpDsackSet(tp, seq, after(endSeq, tp.rcvNxt) ? tp.rcvNxt : endSeq);
  }
  tcpSendAck(tp);
}
