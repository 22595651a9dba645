/**
 * Messages that we receive: requests are answered, errors go to the protocol whose packet they quote. RFC 792, RFC 1122
 * section 3.2.2, RFC 1812 section 4.3.3, RFC 6918 (what is obsolete). Linux: net/ipv4/icmp.c.
 *
 * @module
 */
import { csumReplace2, DROP, G_IP, NET_SKB_PAD, type SkBuff } from "../../../core/mod.ts";
import { IPPROTO_TCP, type SnmpMib } from "../inet/contract.ts";
import { type Dst, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } from "../fib/contract.ts";
import { IP_HLEN, IPH_DADDR, IPH_PROTOCOL, IPH_SADDR } from "../ipv4/header.ts";
import {
  ICMP_ADDRESS,
  ICMP_ADDRESSREPLY,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_EXC_FRAGTIME,
  ICMP_EXT_ECHO,
  ICMP_EXT_ECHOREPLY,
  ICMP_FRAG_NEEDED,
  ICMP_HLEN,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
  icmpCheck,
  icmpSendCheck,
  NR_ICMP_TYPES,
  NR_ICMP_UNREACH,
} from "./header.ts";
import { icmpReply, icmpTurnAround } from "./output.ts";
import type { IcmpState } from "./state.ts";

const MS_PER_DAY = 86_400_000;
/** Bytes of a timestamp message behind the header. */
const TIMESTAMP_DATA = 12;
/** Bytes behind a quoted IP header that every protocol may rely on (RFC 792). */
const QUOTED_MIN = 8;
/** Highest redirect code: host, for this type of service. */
const NR_REDIRECT = 3;

/** Linux: icmp_rcv(), net/ipv4/icmp.c. Takes ownership of `skb`. */
export function icmpRcv(st: IcmpState, skb: SkBuff): void {
  const icmp = st.mib.icmp;
  icmp.InMsgs++;
  const reason = icmpCheck(skb);
  if (reason !== 0) {
    if (reason === DROP.ICMP_CSUM) icmp.InCsumErrors++;
    icmpError(st, skb, reason);
    return;
  }
  const type = skb.view.getUint8(skb.data);
  const code = skb.view.getUint8(skb.data + 1);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpRcv, skb, type, code, skb.dev);
  icmpInCount(st.mib, type);
  if (type === ICMP_EXT_ECHO) {
    // Extended echo is off in Linux by default (icmp_echo_enable_probe): silence.
    skb.consume();
    return;
  }
  const rt = (skb.dst as Dst | null)?.type;
  if ((rt === RTN_BROADCAST || rt === RTN_MULTICAST) && !takesBroadcast(st, type)) {
    icmpError(st, skb, DROP.INVALID_PROTO);
    return;
  }
  dispatch(st, skb, type, code);
}

/** Counts an input error and drops. Takes ownership of `skb`. */
function icmpError(st: IcmpState, skb: SkBuff, reason: number): void {
  st.mib.icmp.InErrors++;
  st.net.drop(skb, reason);
}

/** RFC 1122, 3.2.2.6 and RFC 2644: an echo to many is not answered, or one packet makes a thousand (smurf). */
function takesBroadcast(st: IcmpState, type: number): boolean {
  if (type === ICMP_ECHO || type === ICMP_TIMESTAMP) return st.conf.echoIgnoreBroadcasts === 0;
  return type === ICMP_ADDRESS || type === ICMP_ADDRESSREPLY;
}

/** Takes ownership of `skb`. */
function dispatch(st: IcmpState, skb: SkBuff, type: number, code: number): void {
  switch (type) {
    case ICMP_ECHO:
      icmpEcho(st, skb);
      return;
    case ICMP_ECHOREPLY:
    case ICMP_EXT_ECHOREPLY:
      toPing(st, skb);
      return;
    case ICMP_TIMESTAMP:
      icmpTimestamp(st, skb);
      return;
    case ICMP_DEST_UNREACH:
    case ICMP_SOURCE_QUENCH:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETERPROB:
      icmpUnreach(st, skb, type, code);
      return;
    case ICMP_REDIRECT:
      icmpRedirect(st, skb, code);
      return;
    default:
      if (type > NR_ICMP_TYPES) {
        icmpError(st, skb, DROP.UNHANDLED_PROTO);
        return;
      }
      // Timestamp, information and mask replies, router discovery: nobody here asked. Linux: icmp_discard().
      skb.consume();
  }
}

/** Takes ownership of `skb`. */
function toPing(st: IcmpState, skb: SkBuff): void {
  const rcv = st.ping.pingRcv;
  if (rcv === null || !rcv(skb)) st.net.drop(skb, DROP.NO_SOCKET);
}

/**
 * Answers an echo request: the same bytes go back, with another type. Linux: icmp_echo(), net/ipv4/icmp.c; it copies the
 * data, here the buffers of the request become those of the reply, which is a new packet all the same.
 * Takes ownership of `skb`.
 */
function icmpEcho(st: IcmpState, skb: SkBuff): void {
  if (st.conf.echoIgnoreAll !== 0) {
    skb.consume();
    return;
  }
  const id = skb.view.getUint16(skb.data + 4);
  const seq = skb.view.getUint16(skb.data + 6);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpEcho, skb, id, seq, null);
  const reply = icmpTurnAround(st, skb);
  if (reply.cloned && !reply.cowHead(0)) st.net.drop(reply, DROP.NOMEM);
  else {
    setReplyType(reply);
    icmpReply(st, skb, reply);
  }
  skb.consume();
}

/** Echo becomes echo reply; the checksum changes with it (RFC 1624). Borrows `skb`. */
function setReplyType(skb: SkBuff): void {
  const view = skb.view;
  const at = skb.data;
  const before = view.getUint16(at, true);
  view.setUint8(at, ICMP_ECHOREPLY);
  const check = csumReplace2(view.getUint16(at + 2, true), before, view.getUint16(at, true));
  view.setUint16(at + 2, check, true);
  // Of the two zeros of one's complement, the incremental sum cannot tell which one a full sum gives.
  if (check === 0) icmpSendCheck(skb);
}

/** Answers a timestamp request (RFC 792): 12 bytes, whatever came behind. Linux: icmp_timestamp(). Takes ownership of `skb`. */
function icmpTimestamp(st: IcmpState, skb: SkBuff): void {
  if (!skb.mayPull(ICMP_HLEN + 4)) {
    icmpError(st, skb, DROP.PKT_TOO_SMALL);
    return;
  }
  const reply = st.machine.skbs.alloc(NET_SKB_PAD + ICMP_HLEN + TIMESTAMP_DATA);
  if (reply === null) {
    st.net.drop(skb, DROP.NOMEM);
    return;
  }
  reply.reserve(NET_SKB_PAD);
  const at = reply.put(ICMP_HLEN + TIMESTAMP_DATA);
  const now = Math.floor(st.machine.platform.wallClock()) % MS_PER_DAY;
  reply.view.setInt32(at, ICMP_TIMESTAMPREPLY << 24);
  reply.view.setInt32(at + 4, skb.view.getInt32(skb.data + 4));
  reply.view.setInt32(at + 8, skb.view.getInt32(skb.data + 8));
  reply.view.setInt32(at + 12, now);
  reply.view.setInt32(at + 16, now);
  icmpSendCheck(reply);
  icmpReply(st, skb, reply);
  skb.consume();
}

/**
 * Destination unreachable, source quench, time exceeded, parameter problem: to the protocol of the quoted packet.
 * Linux: icmp_unreach(), net/ipv4/icmp.c. Takes ownership of `skb`.
 */
function icmpUnreach(st: IcmpState, skb: SkBuff, type: number, code: number): void {
  const word = skb.view.getInt32(skb.data + 4);
  skb.pull(ICMP_HLEN);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpUnreach, skb, type, code, null);
  if (!skb.mayPull(IP_HLEN)) {
    icmpError(st, skb, DROP.PKT_TOO_SMALL);
    return;
  }
  if ((skb.view.getUint8(skb.data) & 15) < 5) {
    icmpError(st, skb, DROP.IP_INHDR);
    return;
  }
  let info = 0;
  let deliver = true;
  if (type === ICMP_DEST_UNREACH) {
    deliver = code <= NR_ICMP_UNREACH;
    if (code === ICMP_FRAG_NEEDED) {
      // Modes of ip_no_pmtu_disc: 1 believes no number, 2 nothing, 3 only who checks what is quoted: TCP.
      const mode = st.conf.noPmtuDisc;
      const tcp = skb.view.getUint8(skb.data + IPH_PROTOCOL) === IPPROTO_TCP;
      info = mode === 0 || mode === 3 ? word & 0xffff : 0;
      deliver = mode < 2 || (mode === 3 && tcp);
    }
  } else if (type === ICMP_PARAMETERPROB) info = word >>> 24;
  else if (type === ICMP_TIME_EXCEEDED) deliver = code !== ICMP_EXC_FRAGTIME;
  if (deliver && !bogus(st, skb)) icmpSocketDeliver(st, skb, type, code, info);
  skb.consume();
}

/** Some routers answer broadcasts with errors. Linux: icmp_ignore_bogus_error_responses. Borrows `skb`. */
function bogus(st: IcmpState, skb: SkBuff): boolean {
  if (st.conf.ignoreBogusErrorResponses !== 0) return false;
  return st.fib.addrType(skb.view.getInt32(skb.networkHeader + IPH_DADDR)) === RTN_BROADCAST;
}

/** Linux: icmp_redirect(), net/ipv4/icmp.c. Takes ownership of `skb`. */
function icmpRedirect(st: IcmpState, skb: SkBuff, code: number): void {
  const gateway = skb.view.getInt32(skb.data + 4);
  skb.pull(ICMP_HLEN);
  if (!skb.mayPull(IP_HLEN)) {
    icmpError(st, skb, DROP.PKT_TOO_SMALL);
    return;
  }
  icmpSocketDeliver(st, skb, ICMP_REDIRECT, code, gateway);
  skb.consume();
}

/**
 * Gives an error to the protocol that it quotes, which finds the socket: only a packet that we really sent has one.
 * The IP header and 8 bytes behind it are linear then. Linux: icmp_socket_deliver(), net/ipv4/icmp.c. Borrows `skb`.
 */
function icmpSocketDeliver(st: IcmpState, skb: SkBuff, type: number, code: number, info: number): void {
  const hlen = (skb.view.getUint8(skb.data) & 15) << 2;
  if (!skb.mayPull(hlen + QUOTED_MIN)) {
    st.mib.icmp.InErrors++;
    return;
  }
  // Linux looks such a redirect up by what happens to lie there; the errors were refused before.
  if (hlen < IP_HLEN) return;
  st.inet.rawError(skb, type, code, info);
  const handler = st.inet.protocols[skb.view.getUint8(skb.data + IPH_PROTOCOL)];
  if (handler !== null) handler.error(skb, type, code, info);
}

/**
 * An error about an ICMP message of ours. About an echo reply it may only say that the path is narrower, or that another
 * router is nearer; all else is for the ping sockets. Linux: icmp_err(), net/ipv4/icmp.c. Borrows `skb`.
 */
export function icmpErr(st: IcmpState, skb: SkBuff, type: number, code: number, info: number): void {
  const view = skb.view;
  const at = skb.data;
  if (view.getUint8(at + ((view.getUint8(at) & 15) << 2)) !== ICMP_ECHOREPLY) {
    const err = st.ping.pingErr;
    if (err !== null) err(skb, type, code, info);
    return;
  }
  const daddr = view.getInt32(at + IPH_DADDR);
  if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) {
    if (st.fib.addrType(view.getInt32(at + IPH_SADDR)) === RTN_LOCAL) st.fib.updatePmtu(daddr, info);
  } else if (type === ICMP_REDIRECT && code <= NR_REDIRECT && skb.dev !== null) {
    st.fib.redirect(daddr, view.getInt32(skb.networkHeader + IPH_SADDR), info, skb.dev);
  }
}

/** Counts a message that came. Linux: ICMPMSGIN_INC_STATS(), icmp_in_count of /proc/net/snmp. */
function icmpInCount(mib: SnmpMib, type: number): void {
  const icmp = mib.icmp;
  mib.icmpMsg.inType[type]++;
  switch (type) {
    case ICMP_ECHOREPLY:
      icmp.InEchoReps++;
      break;
    case ICMP_DEST_UNREACH:
      icmp.InDestUnreachs++;
      break;
    case ICMP_SOURCE_QUENCH:
      icmp.InSrcQuenchs++;
      break;
    case ICMP_REDIRECT:
      icmp.InRedirects++;
      break;
    case ICMP_ECHO:
      icmp.InEchos++;
      break;
    case ICMP_TIME_EXCEEDED:
      icmp.InTimeExcds++;
      break;
    case ICMP_PARAMETERPROB:
      icmp.InParmProbs++;
      break;
    case ICMP_TIMESTAMP:
      icmp.InTimestamps++;
      break;
    case ICMP_TIMESTAMPREPLY:
      icmp.InTimestampReps++;
      break;
    case ICMP_ADDRESS:
      icmp.InAddrMasks++;
      break;
    case ICMP_ADDRESSREPLY:
      icmp.InAddrMaskReps++;
      break;
  }
}
