/**
 * ICMP errors about our segments. RFC 5927, RFC 1122 section 4.2.3.9, RFC 1191, RFC 6069; Linux: tcp_v4_err(),
 * net/ipv4/tcp_ipv4.c.
 *
 * Anybody can send an ICMP error: it counts only if the segment that it quotes is in flight, and it never ends a
 * connection that was established. Such errors are soft: they are told if the connection times out by itself.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as icmpHeader from "../../network/icmp/header.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import * as sock from "../sock/contract.ts";
import * as contract from "./contract.ts";
import * as input from "./input.ts";
import * as mss from "./mss.ts";
import * as recovery from "./recovery.ts";
import * as request from "./request.ts";
import type { TcpRequestSock } from "./request.ts";
import * as rtt from "./rtt.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import * as timer from "./timer.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO } = core;
const {
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_HOST_UNREACH,
  ICMP_NET_UNREACH,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  ICMP_TIME_EXCEEDED,
} = icmpHeader;
const { IP_PMTUDISC_DONT } = ipv4;
const { icmpErrConvert, icmpErrno, sockIcmpError } = sock;
const { TCP_CLOSE, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT } = contract;
const { tcpDoneWithError } = input;
const { tcpSkRoute, tcpSyncMss } = mss;
const { tcpSimpleRetransmit } = recovery;
const { inetCskReqskQueueDrop, tcpListendrop } = request;
const { tcpSetRto } = rtt;
const { tcpResetXmitTimer, tcpRetransmitTimer } = timer;
const {
  between,
  CB_MSTAMP,
  ICSK_TIME_RETRANS,
  TCP_KIND_REQUEST,
  TCP_KIND_TIMEWAIT,
  TCP_TIMEOUT_INIT,
  tcpMstampRefresh,
} = tcpSock;

const IP_SADDR = 12, IP_DADDR = 16;
const SOURCE = 0, DEST = 2, SEQ = 4;
/** Bytes of a quoted header that every router sends back. */
const QUOTED = 8;
const ICMP_REDIR_HOSTTOS = 3;

/**
 * An ICMP error about a segment that this host sent: `data` is at the quoted IP header. Linux: tcp_v4_err(),
 * net/ipv4/tcp_ipv4.c. Borrows `skb`.
 */
export function tcpV4Err(st: TcpState, skb: SkBuff, type: number, code: number, info: number): void {
  const view = skb.view;
  const ip = skb.data;
  const th = ip + ((view.getUint8(ip) & 15) << 2);
  if (th + QUOTED > skb.tail) {
    st.mib.icmp.InErrors++;
    return;
  }
  const saddr = view.getInt32(ip + IP_SADDR);
  const daddr = view.getInt32(ip + IP_DADDR);
  const sport = view.getUint16(th + SOURCE);
  const dport = view.getUint16(th + DEST);
  const entry = st.tables.lookupEstablished(daddr, dport, saddr, sport, skb.skbIif);
  if (entry === null) {
    st.mib.icmp.InErrors++;
    return;
  }
  if (entry.kind === TCP_KIND_TIMEWAIT) return;
  const seq = view.getInt32(th + SEQ);
  if (entry.kind === TCP_KIND_REQUEST) {
    tcpReqErr(st, entry, seq, isAbort(type, code));
    return;
  }
  const sk = entry.sk;
  if (sk.state === TCP_CLOSE) return;
  const first = entry.fastopenRsk !== null ? entry.fastopenRsk.sntIsn : entry.sndUna;
  if (sk.state !== TCP_LISTEN && !between(seq, first, entry.sndNxt)) {
    st.mib.tcpExt.OutOfWindowIcmps++;
    return;
  }
  if (type === ICMP_REDIRECT) {
    if (code <= ICMP_REDIR_HOSTTOS && skb.dev !== null) {
      st.fib.redirect(daddr, view.getInt32(skb.networkHeader + IP_SADDR), info, skb.dev);
    }
    return;
  }
  // Source quench, and what nobody defined, says nothing (RFC 6633).
  const converted = icmpErrConvert(type, code);
  if (converted === 0) return;
  if (type === ICMP_DEST_UNREACH) {
    if (code === ICMP_FRAG_NEEDED) {
      if (sk.state !== TCP_LISTEN) tcpV4MtuReduced(entry, info);
      return;
    }
    if (code === ICMP_NET_UNREACH || code === ICMP_HOST_UNREACH) tcpLdRtoRevert(entry, seq);
  }
  tcpErrReport(entry, skb, converted, type, code, info, th + QUOTED - ip, dport);
}

/** Errors that end a handshake: the way there is wrong, whatever the segment was. */
function isAbort(type: number, code: number): boolean {
  return type === ICMP_PARAMETERPROB || type === ICMP_TIME_EXCEEDED ||
    (type === ICMP_DEST_UNREACH && (code === ICMP_NET_UNREACH || code === ICMP_HOST_UNREACH));
}

/** The SYN-ACK of a request was refused on its way. Linux: tcp_req_err(). */
function tcpReqErr(st: TcpState, req: TcpRequestSock, seq: number, abort: boolean): void {
  const listener = req.listener;
  if (seq !== req.sntIsn) st.mib.tcpExt.OutOfWindowIcmps++;
  else if (abort) {
    inetCskReqskQueueDrop(st, req);
    if (listener !== null) tcpListendrop(listener);
  }
}

/** Hard while connecting, soft later unless the user asks for errors by IP_RECVERR. Borrows `skb`. */
function tcpErrReport(
  tp: TcpSock,
  skb: SkBuff,
  converted: number,
  type: number,
  code: number,
  info: number,
  headers: number,
  dport: number,
): void {
  const sk = tp.sk;
  const errno = icmpErrno(converted);
  // A socket that was accepted before its handshake is one that is connected.
  const accepted = tp.fastopenRsk !== null && !tp.inAcceptQueue;
  if (sk.state === TCP_SYN_SENT || (sk.state === TCP_SYN_RECV && !accepted)) {
    if (sk.recverr) sockIcmpError(sk, skb, converted, type, code, info, headers, dport);
    tcpDoneWithError(tp, errno);
  } else if (sk.recverr && !tp.orphan) {
    sockIcmpError(sk, skb, converted, type, code, info, headers, dport);
  } else sk.errSoft = errno;
}

/**
 * A router cannot forward our segments whole: the path MTU is lower. Segments become smaller, and what was too large goes
 * again at once. `fib` has the floor of 552 bytes. Linux: tcp_v4_mtu_reduced(), inet_csk_update_pmtu().
 */
function tcpV4MtuReduced(tp: TcpSock, mtu: number): void {
  const st = tp.st;
  const sk = tp.sk;
  st.fib.updatePmtu(sk.daddr, mtu);
  const dst = tcpSkRoute(tp);
  if (dst === null) return;
  const now = st.fib.mtu(dst);
  if (mtu < now && sk.pmtudisc !== IP_PMTUDISC_DONT && dst.pmtuLocked !== true) sk.errSoft = ERRNO.EMSGSIZE;
  if (sk.pmtudisc === IP_PMTUDISC_DONT || tp.pmtuCookie <= now) return;
  tcpMstampRefresh(tp);
  tcpSyncMss(tp, now);
  tcpSimpleRetransmit(tp);
}

/**
 * The path was broken, not congested: one back-off is taken back, so that the connection goes on soon after it is whole
 * again. RFC 6069. Linux: tcp_ld_RTO_revert().
 */
function tcpLdRtoRevert(tp: TcpSock, seq: number): void {
  const head = tp.rtx === null ? null : tp.rtx.head;
  if (seq !== tp.sndUna || tp.icskRetransmits === 0 || tp.icskBackoff === 0 || head === null) return;
  tp.icskBackoff--;
  if (tp.srttUs !== 0) tcpSetRto(tp);
  else tp.icskRto = TCP_TIMEOUT_INIT;
  tp.icskRto = Math.min(tp.icskRto * 2 ** tp.icskBackoff, tp.opt.rtoMax);
  tcpMstampRefresh(tp);
  const since = ((tp.tcpMstamp - head.cb[tp.st.cb + CB_MSTAMP]) | 0) / 1000;
  const remaining = Math.ceil(tp.icskRto - since);
  if (remaining > 0) tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, remaining);
  else tcpRetransmitTimer(tp);
}
