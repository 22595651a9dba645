/**
 * The way up: from IP to a socket's receive queue. Linux: net/ipv4/udp.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as fib from "../../network/fib/contract.ts";
import * as icmpHeader from "../../network/icmp/header.ts";
import * as inet from "../../network/inet/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import type { Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import { UdpHeader } from "./header.ts";
import * as udpHeader from "./header.ts";
import type { UdpSock, UdpState } from "./state.ts";
import * as state from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, csumFold, csumTcpUdpNofold, DROP, G_SOCK, skbChecksum } = core;
const { RTN_BROADCAST, RTN_MULTICAST, skbDst } = fib;
const { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP_PORT_UNREACH, ICMP_REDIRECT } = icmpHeader;
const { IPPROTO_UDP } = inet;
const { IP_PMTUDISC_DONT } = ipv4;
const { icmpErrConvert, ipMcSfAllow, skDataReady, sockIcmpError, sockQueueRcvSkb } = sock;
const { UDP_CHECK, UDP_DEST, UDP_HLEN, UDP_LEN, UDP_SOURCE } = udpHeader;
const { udpSk } = state;

const ICMP_REDIR_HOSTTOS = 3;
const IP_SADDR = 12;
const IP_DADDR = 16;

/**
 * Linux: udp_rcv(), __udp4_lib_rcv(), net/ipv4/udp.c. Takes ownership of `skb`.
 *
 * Length and checksum are checked before any socket is looked for, where Linux may leave the checksum to the reader: a
 * reader is never woken for a datagram that it cannot have.
 */
export function udpRcv(st: UdpState, skb: SkBuff): void {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpRcv, skb, skb.len, 0, null);
  const reason = UdpHeader.check(skb);
  if (reason !== 0) return udpBad(st, skb, reason);
  const view = skb.view;
  const at = skb.data;
  const ulen = view.getUint16(at + UDP_LEN);
  if (ulen < skb.len) skb.trim(ulen);
  const saddr = view.getInt32(skb.networkHeader + IP_SADDR);
  const daddr = view.getInt32(skb.networkHeader + IP_DADDR);
  if (!udpCsumOk(skb, saddr, daddr, ulen)) return udpBad(st, skb, DROP.UDP_CSUM);
  const sport = view.getUint16(at + UDP_SOURCE);
  const dport = view.getUint16(at + UDP_DEST);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpCsum, skb, dport, sport, null);
  const dst = skbDst(skb);
  if (dst !== null && (dst.type === RTN_BROADCAST || dst.type === RTN_MULTICAST)) {
    udpMcastDeliver(st, skb, saddr, sport, daddr, dport);
    return;
  }
  const up = st.table.lookup(saddr, sport, daddr, dport, skb.skbIif);
  if (up !== null) udpQueueRcvSkb(st, up.sk, skb);
  else udpNoPort(st, skb);
}

/** Takes ownership of `skb`. */
function udpBad(st: UdpState, skb: SkBuff, reason: number): void {
  if (reason === DROP.UDP_CSUM) st.mib.udp.InCsumErrors++;
  st.mib.udp.InErrors++;
  st.net.drop(skb, reason);
}

/**
 * Whether the checksum is right, was verified by the device, has not been computed yet (a packet that never left the
 * machine), or is absent. Linux: udp4_csum_init(); RFC 768: 0 means that the sender computed none. Borrows `skb`.
 */
function udpCsumOk(skb: SkBuff, saddr: number, daddr: number, ulen: number): boolean {
  if (skb.ipSummed === CHECKSUM_UNNECESSARY || skb.ipSummed === CHECKSUM_PARTIAL) return true;
  if (skb.view.getUint16(skb.data + UDP_CHECK, true) !== 0) {
    const sum = skbChecksum(skb, 0, ulen, csumTcpUdpNofold(saddr, daddr, ulen, IPPROTO_UDP));
    if (csumFold(sum) !== 0) return false;
  }
  skb.ipSummed = CHECKSUM_UNNECESSARY;
  return true;
}

/** Nobody has the port: RFC 1122 section 4.1.3.1 asks for an ICMP error. Takes ownership of `skb`. */
function udpNoPort(st: UdpState, skb: SkBuff): void {
  st.mib.udp.NoPorts++;
  st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
  st.net.drop(skb, DROP.NO_SOCKET);
}

/** Linux: udp_queue_rcv_skb(), __udp_queue_rcv_skb(), net/ipv4/udp.c. Takes ownership of `skb`. */
function udpQueueRcvSkb(st: UdpState, sk: Sock, skb: SkBuff): void {
  const { encapRcv } = udpSk(sk);
  if (encapRcv !== null) {
    st.mib.udp.InDatagrams++;
    encapRcv(skb);
    return;
  }
  skb.pull(UDP_HLEN);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpQueueRcvSkb, skb, sk.sport, skb.len, sk);
  const reason = sockQueueRcvSkb(sk, skb);
  if (reason !== 0) return udpQueueFull(st, sk, skb, reason);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.skDataReady, skb, sk.rmemAlloc, 0, sk);
  skDataReady(sk);
}

/** Takes ownership of `skb`. */
function udpQueueFull(st: UdpState, sk: Sock, skb: SkBuff, reason: number): void {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpFailQueueRcvSkb, skb, reason, 0, sk);
  st.mib.udp.RcvbufErrors++;
  st.mib.udp.InErrors++;
  st.net.drop(skb, reason);
}

/**
 * Gives a broadcast or multicast datagram to every socket that wants it, in order of binding; all but the last get
 * clones. Silent when nobody does. Linux: __udp4_lib_mcast_deliver(), net/ipv4/udp.c. Takes ownership of `skb`.
 */
function udpMcastDeliver(
  st: UdpState,
  skb: SkBuff,
  saddr: number,
  sport: number,
  daddr: number,
  dport: number,
): void {
  let last: UdpSock | null = null;
  for (let n = st.table.ports.find(0, 0, dport); n !== null; n = n.next) {
    if (!isMcastSock(n.up.sk, saddr, sport, daddr, skb.skbIif)) continue;
    if (last !== null) {
      const twin = skb.clone();
      if (twin === null) {
        last.sk.drops++;
        st.mib.udp.RcvbufErrors++;
        st.mib.udp.InErrors++;
      } else udpQueueRcvSkb(st, last.sk, twin);
    }
    last = n.up;
  }
  if (last !== null) {
    udpQueueRcvSkb(st, last.sk, skb);
    return;
  }
  st.mib.udp.IgnoredMulti++;
  st.net.drop(skb, DROP.NO_SOCKET);
}

/** Linux: __udp_is_mcast_sock(), net/ipv4/udp.c. */
function isMcastSock(sk: Sock, saddr: number, sport: number, daddr: number, dif: number): boolean {
  if (sk.daddr !== 0 && sk.daddr !== saddr) return false;
  if (sk.dport !== 0 && sk.dport !== sport) return false;
  if (sk.saddr !== 0 && sk.saddr !== daddr) return false;
  if (sk.boundDevIf !== 0 && sk.boundDevIf !== dif) return false;
  return ipMcSfAllow(sk, daddr, dif);
}

/**
 * An ICMP error about a datagram that this host sent: `data` is at the quoted IP header. Too big lowers the path MTU,
 * a redirect changes the route, the rest reaches the socket. Linux: udp_err(), __udp4_lib_err(), net/ipv4/udp.c. Borrows `skb`.
 */
export function udpErr(st: UdpState, skb: SkBuff, type: number, code: number, info: number): void {
  const view = skb.view;
  const ip = skb.data;
  const uh = ip + ((view.getUint8(ip) & 15) << 2);
  if (uh + UDP_HLEN > skb.tail) {
    st.mib.icmp.InErrors++;
    return;
  }
  const saddr = view.getInt32(ip + IP_SADDR);
  const daddr = view.getInt32(ip + IP_DADDR);
  const dport = view.getUint16(uh + UDP_DEST);
  const up = st.table.lookup(daddr, dport, saddr, view.getUint16(uh + UDP_SOURCE), skb.skbIif);
  if (up === null) {
    st.mib.icmp.InErrors++;
    return;
  }
  const sk = up.sk;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpErr, skb, type, code, sk);
  if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) {
    st.fib.updatePmtu(daddr, info);
    if (sk.pmtudisc === IP_PMTUDISC_DONT) return;
  }
  if (type === ICMP_REDIRECT) {
    udpRedirect(st, skb, code, daddr, info);
    return;
  }
  const converted = icmpErrConvert(type, code);
  if (converted !== 0) sockIcmpError(sk, skb, converted, type, code, info, uh + UDP_HLEN - ip, dport);
}

/** A router knows a shorter way; the socket need not hear of it. Linux: ipv4_sk_redirect(). Borrows `skb`. */
function udpRedirect(st: UdpState, skb: SkBuff, code: number, daddr: number, gateway: number): void {
  if (code > ICMP_REDIR_HOSTTOS || skb.dev === null) return;
  st.fib.redirect(daddr, skb.view.getInt32(skb.networkHeader + IP_SADDR), gateway, skb.dev);
}
