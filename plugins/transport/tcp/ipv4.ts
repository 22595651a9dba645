/**
 * TCP over IPv4: from the packet to the socket it is for, and what is answered without a socket. RFC 9293 sections 3.10.7.1
 * and 3.10.7.2; Linux: tcp_v4_rcv(), tcp_v4_send_reset(), tcp_v4_send_ack(), net/ipv4/tcp_ipv4.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import * as fib from "../../network/fib/contract.ts";
import * as inet from "../../network/inet/contract.ts";
import * as contract from "./contract.ts";
import * as header from "./header.ts";
import * as input from "./input.ts";
import * as minisocks from "./minisocks.ts";
import * as opts from "./options.ts";
import * as output from "./output.ts";
import * as request from "./request.ts";
import type { TcpRequestSock } from "./request.ts";
import * as syncookies from "./syncookies.ts";
import type { TcpEntry } from "./table.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timewait from "./timewait.ts";
import type { TcpTimewaitSock } from "./timewait.ts";

export { tcpV4Err } from "./icmp_error.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  csumFold,
  csumTcpUdpNofold,
  DROP,
  G_SOCK,
  NET_SKB_PAD,
  PACKET_HOST,
  skbChecksum,
} = core;
const { RTN_BROADCAST, RTN_LOCAL, skbDst } = fib;
const { IPPROTO_TCP } = inet;
const { TCP_ESTABLISHED, TCP_LISTEN } = contract;
const { TCP_HLEN, TCP_TSTAMP_WORD, TcpHeader } = header;
const { tcpRcvEstablished, tcpRcvStateProcess } = input;
const { tcpChildProcess } = minisocks;
const { tcpInboundHash, tcpUnanswerable } = opts;
const { tcpSendCheck } = output;
const { inetCskReqskQueueDrop, tcpCheckReq } = request;
const { cookieV4Check } = syncookies;
const { inetTwskDeschedulePut, tcpTimewaitStateProcess } = timewait;
const {
  CB_ACK,
  CB_END_SEQ,
  CB_F_ECN_SHIFT,
  CB_FIRST_TX_MSTAMP,
  CB_FLAGS,
  CB_SEQ,
  TCP_KIND_REQUEST,
  TCP_KIND_SOCK,
  TCP_TW_ACK,
  TCP_TW_RST,
  TCP_TW_SYN,
  TCPHDR_ACK,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpTimeStampMs,
} = tcpSock;

// Offsets, as constants of the module's own.
const IP_TOS = 1, IP_SADDR = 12, IP_DADDR = 16;
const SOURCE = 0, DEST = 2, SEQ = 4, ACK_SEQ = 8, FLAG_WORD = 12, URG_PTR = 18;
const INET_ECN_MASK = 3;
const HLEN_TSTAMP = 32;

/**
 * A packet from IP, `data` at the TCP header. Linux: tcp_v4_rcv(), net/ipv4/tcp_ipv4.c. Takes ownership of `skb`.
 *
 * The checksum is verified before a socket is looked for, where Linux may leave it until the segment is queued.
 */
export function tcpV4Rcv(st: TcpState, skb: SkBuff): void {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpV4Rcv, skb, skb.len, 0, null);
  if (skb.pktType !== PACKET_HOST) {
    st.net.drop(skb, DROP.OTHERHOST);
    return;
  }
  st.mib.tcp.InSegs++;
  const malformed = TcpHeader.check(skb);
  if (malformed !== 0) {
    if (skb.len >= TCP_HLEN && skb.view.getUint8(skb.data + FLAG_WORD) >> 4 < 5) st.mib.tcp.InErrs++;
    st.net.drop(skb, malformed);
    return;
  }
  const view = skb.view;
  const at = skb.data;
  const saddr = view.getInt32(skb.networkHeader + IP_SADDR);
  const daddr = view.getInt32(skb.networkHeader + IP_DADDR);
  if (skb.ipSummed !== CHECKSUM_UNNECESSARY && skb.ipSummed !== CHECKSUM_PARTIAL) {
    const len = skb.len;
    if (csumFold(skbChecksum(skb, 0, len, csumTcpUdpNofold(saddr, daddr, len, IPPROTO_TCP))) !== 0) {
      st.mib.tcp.InCsumErrors++;
      st.mib.tcp.InErrs++;
      st.net.drop(skb, DROP.TCP_CSUM);
      return;
    }
    skb.ipSummed = CHECKSUM_UNNECESSARY;
  }
  const hlen = tcpV4FillCb(st, skb);
  const entry = st.tables.lookup(saddr, view.getUint16(at + SOURCE), daddr, view.getUint16(at + DEST), skb.skbIif);
  if (entry !== null && entry.kind === TCP_KIND_SOCK) tcpV4RcvSock(entry, skb, hlen);
  else rcvOther(st, skb, entry, hlen);
}

/** Fills the control block from the header; the header's length. Linux: tcp_v4_fill_cb(). Borrows `skb`. */
function tcpV4FillCb(st: TcpState, skb: SkBuff): number {
  const view = skb.view;
  const at = skb.data;
  const cb = skb.cb;
  const c = st.cb;
  const word = view.getInt32(at + FLAG_WORD);
  const flags = word >>> 16 & 0x1ff;
  const hlen = word >>> 28 << 2;
  const seq = view.getInt32(at + SEQ);
  skb.transportHeader = at;
  cb[c + CB_SEQ] = seq;
  cb[c + CB_END_SEQ] = seq + (flags & TCPHDR_FIN) + (flags >> 1 & 1) + skb.len - hlen;
  cb[c + CB_ACK] = view.getInt32(at + ACK_SEQ);
  cb[c + CB_FLAGS] = flags | (view.getUint8(skb.networkHeader + IP_TOS) & INET_ECN_MASK) << CB_F_ECN_SHIFT;
  // Over the loopback the sender's words are still in it.
  cb[c + CB_FIRST_TX_MSTAMP] = 0;
  return hlen;
}

/** A segment for a socket. Takes ownership of `skb`. */
function tcpV4RcvSock(tp: TcpSock, skb: SkBuff, hlen: number): void {
  const st = tp.st;
  // Options other than aligned timestamps are rare enough to be looked through for signatures.
  if (hlen !== TCP_HLEN && !(hlen === HLEN_TSTAMP && skb.view.getInt32(skb.data + TCP_HLEN) === TCP_TSTAMP_WORD)) {
    const reason = tcpInboundHash(st, skb);
    if (reason !== 0) {
      tp.sk.drops++;
      st.net.drop(skb, reason);
      return;
    }
  }
  if (tp.sk.state !== TCP_LISTEN) {
    const segs = skb.gsoSegs > 1 ? skb.gsoSegs : 1;
    tp.segsIn += segs;
    if (skb.len > hlen) tp.dataSegsIn += segs;
  }
  tcpV4DoRcv(tp, skb);
}

/** A segment for a socket, its control block filled. Linux: tcp_v4_do_rcv(). Takes ownership of `skb`. */
export function tcpV4DoRcv(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const sk = tp.sk;
  if ((st.bus.mask & G_SOCK) !== 0) {
    st.bus.hit(st.tp.tcpRcv, skb, skb.cb[st.cb + CB_SEQ], skb.cb[st.cb + CB_FLAGS] & 0x1ff, sk);
  }
  if (sk.state === TCP_ESTABLISHED) {
    tcpRcvEstablished(tp, skb);
    return;
  }
  let to = tp;
  let reason = 0;
  if (sk.state === TCP_LISTEN && (skb.cb[st.cb + CB_FLAGS] & TCPHDR_SYN) === 0) {
    // Perhaps the end of a handshake that is remembered in a cookie alone.
    const child = cookieV4Check(tp, skb);
    if (child === null) {
      st.net.drop(skb, st.reason.TCP_LISTEN_OVERFLOW);
      return;
    }
    to = child;
  }
  if (to !== tp) reason = tcpChildProcess(tp, to, skb);
  else reason = tcpRcvStateProcess(tp, skb);
  if (reason === 0) return;
  tcpV4SendReset(st, skb, to);
  st.net.drop(skb, reason);
}

/** A segment for nobody, a request or a TIME-WAIT record. Takes ownership of `skb`. */
function rcvOther(st: TcpState, skb: SkBuff, entry: TcpEntry | null, hlen: number): void {
  if (entry === null) {
    tcpV4SendReset(st, skb, null);
    st.net.drop(skb, DROP.NO_SOCKET);
  } else if (entry.kind === TCP_KIND_SOCK) tcpV4RcvSock(entry, skb, hlen);
  else if (entry.kind === TCP_KIND_REQUEST) rcvRequest(st, skb, entry, hlen);
  else rcvTimewait(st, skb, entry, hlen);
}

/** Linux: the TCP_NEW_SYN_RECV part of tcp_v4_rcv(). Takes ownership of `skb`. */
function rcvRequest(st: TcpState, skb: SkBuff, req: TcpRequestSock, hlen: number): void {
  const listener = req.listener;
  if (listener === null || listener.sk.state !== TCP_LISTEN) {
    inetCskReqskQueueDrop(st, req);
    const view = skb.view;
    const at = skb.data;
    const ip = skb.networkHeader;
    const next = st.tables.lookup(
      view.getInt32(ip + IP_SADDR),
      view.getUint16(at + SOURCE),
      view.getInt32(ip + IP_DADDR),
      view.getUint16(at + DEST),
      skb.skbIif,
    );
    // It left the table: this is another one, or nobody.
    if (next !== req) rcvOther(st, skb, next, hlen);
    else st.net.drop(skb, DROP.NO_SOCKET);
    return;
  }
  const signed = hlen !== TCP_HLEN ? tcpInboundHash(st, skb) : 0;
  if (signed !== 0) {
    st.net.drop(skb, signed);
    return;
  }
  const to = tcpCheckReq(st, skb, req);
  if (to === null) st.net.drop(skb, st.checkReqReason);
  else if (to === listener) tcpV4DoRcv(listener, skb);
  else {
    const reason = tcpChildProcess(listener, to, skb);
    if (reason === 0) return;
    tcpV4SendReset(st, skb, to);
    st.net.drop(skb, reason);
  }
}

/** Linux: the do_time_wait part of tcp_v4_rcv(). Takes ownership of `skb`. */
function rcvTimewait(st: TcpState, skb: SkBuff, tw: TcpTimewaitSock, hlen: number): void {
  const what = tcpTimewaitStateProcess(st, tw, skb);
  if (what === TCP_TW_SYN) {
    const listener = st.tables.lookupListener(tw.daddr, tw.dport, tw.saddr, tw.sport, skb.skbIif);
    if (listener !== null) {
      inetTwskDeschedulePut(st, tw);
      tcpV4RcvSock(listener, skb, hlen);
      st.twIsn = 0;
      return;
    }
    st.twIsn = 0;
  }
  if (what === TCP_TW_ACK || what === TCP_TW_SYN) tcpV4TimewaitAck(st, tw);
  else if (what === TCP_TW_RST) {
    tcpV4SendReset(st, skb, null);
    inetTwskDeschedulePut(st, tw);
  }
  st.net.drop(skb, st.reason.TCP_CLOSE);
}

/** Linux: tcp_v4_timewait_ack(). */
function tcpV4TimewaitAck(st: TcpState, tw: TcpTimewaitSock): void {
  const stamped = tw.tsRecentStamp !== 0;
  tcpV4SendAck(
    st,
    tw.saddr,
    tw.sport,
    tw.daddr,
    tw.dport,
    tw.sndNxt,
    tw.rcvNxt,
    tw.rcvWnd >> tw.rcvWscale,
    stamped ? (tcpTimeStampMs(st.machine) + tw.tsOffset) | 0 : 0,
    stamped ? tw.tsRecent : 0,
    tw.boundDevIf,
    tw.tos,
  );
}

// ---- answers without a socket

/**
 * Answers a RST: of 20 bytes, never to a RST, never to what was not for us alone. It has the ACK as its sequence number,
 * or acknowledges all of a segment without ACK (RFC 9293 section 3.10.7.1). `tp`: the socket that refused it, null: none.
 * Linux: tcp_v4_send_reset(). Borrows `skb`.
 */
export function tcpV4SendReset(st: TcpState, skb: SkBuff, tp: TcpSock | null): void {
  const cb = skb.cb;
  const c = st.cb;
  const flags = cb[c + CB_FLAGS];
  if ((flags & TCPHDR_RST) !== 0) return;
  const view = skb.view;
  const at = skb.transportHeader;
  const ip = skb.networkHeader;
  const dst = skbDst(skb) as Dst | null;
  if (tp === null && (dst === null || dst.type !== RTN_LOCAL)) return;
  if (tcpUnanswerable(skb, tp !== null)) return;
  const acked = (flags & TCPHDR_ACK) !== 0;
  const out = replyAlloc(st, TCP_HLEN);
  if (out === null) return;
  writeHeader(
    out,
    view.getUint16(at + DEST),
    view.getUint16(at + SOURCE),
    acked ? cb[c + CB_ACK] : 0,
    acked ? 0 : cb[c + CB_END_SEQ],
    acked ? TCPHDR_RST : TCPHDR_RST | TCPHDR_ACK,
    TCP_HLEN,
    0,
  );
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpSendReset, skb, 0, 0, tp === null ? null : tp.sk);
  const tos = view.getUint8(ip + IP_TOS) & ~INET_ECN_MASK;
  const oif = tp === null ? 0 : tp.sk.boundDevIf;
  if (tp !== null) out.mark = tp.sk.owner.mark;
  replySend(st, out, view.getInt32(ip + IP_DADDR), view.getInt32(ip + IP_SADDR), oif, tos, TCP_HLEN);
  st.mib.tcp.OutRsts++;
}

/**
 * Sends an ACK for a request or a TIME-WAIT record, from `saddr:sport` to `daddr:dport`; `win` as on the wire. Timestamps
 * are in it where there is one to echo. Linux: tcp_v4_send_ack().
 */
export function tcpV4SendAck(
  st: TcpState,
  saddr: number,
  sport: number,
  daddr: number,
  dport: number,
  seq: number,
  ack: number,
  win: number,
  tsval: number,
  tsecr: number,
  oif: number,
  tos: number,
): void {
  const hlen = tsecr !== 0 ? HLEN_TSTAMP : TCP_HLEN;
  const out = replyAlloc(st, hlen);
  if (out === null) return;
  const at = writeHeader(out, sport, dport, seq, ack, TCPHDR_ACK, hlen, win);
  if (tsecr !== 0) {
    out.view.setInt32(at + TCP_HLEN, TCP_TSTAMP_WORD);
    out.view.setInt32(at + TCP_HLEN + 4, tsval);
    out.view.setInt32(at + TCP_HLEN + 8, tsecr);
  }
  replySend(st, out, saddr, daddr, oif, tos & ~INET_ECN_MASK, hlen);
}

/** An empty packet with room for all headers, null: no memory. */
function replyAlloc(st: TcpState, hlen: number): SkBuff | null {
  const out = st.skbs.alloc(NET_SKB_PAD + hlen);
  if (out === null) return null;
  out.reserve(NET_SKB_PAD);
  out.put(hlen);
  out.resetTransportHeader();
  return out;
}

/** Writes the header without options and checksum; its position. Borrows `skb`. */
function writeHeader(
  skb: SkBuff,
  sport: number,
  dport: number,
  seq: number,
  ack: number,
  flags: number,
  hlen: number,
  win: number,
): number {
  const view = skb.view;
  const at = skb.data;
  view.setInt32(at + SOURCE, (sport << 16) | dport);
  view.setInt32(at + SEQ, seq);
  view.setInt32(at + ACK_SEQ, ack);
  view.setInt32(at + FLAG_WORD, (hlen << 26) | (flags << 16) | (win & 0xffff));
  view.setInt32(at + URG_PTR - 2, 0);
  return at;
}

/** Routes and sends an answer, but to no broadcast address. Linux: ip_send_unicast_reply(). Takes ownership of `skb`. */
function replySend(
  st: TcpState,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  oif: number,
  tos: number,
  hlen: number,
): void {
  const dst = st.fib.routeOutput(daddr, saddr, oif, tos);
  if (dst === null || dst.type === RTN_BROADCAST) {
    st.net.drop(skb, DROP.IP_OUTNOROUTES);
    return;
  }
  skb.dst = dst;
  tcpSendCheck(skb, saddr, daddr, hlen, dst);
  st.ipv4.queueXmit(skb, saddr, daddr, IPPROTO_TCP, tos, 0, true);
  st.mib.tcp.OutSegs++;
}
