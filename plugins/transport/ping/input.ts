/**
 * Echo replies and errors on their way to a ping socket. Linux: net/ipv4/ping.c.
 */
import { ERRNO, G_SOCK, type SkBuff } from "../../../core/mod.ts";
import {
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_EXT_ECHO,
  ICMP_FRAG_NEEDED,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  NR_ICMP_UNREACH,
} from "../../network/icmp/header.ts";
import { IP_PMTUDISC_DONT } from "../../network/ipv4/contract.ts";
import { icmpErrConvert, skDataReady, sockIcmpError, sockQueueRcvSkb } from "../sock/contract.ts";
import { pingLookup, type PingState } from "./state.ts";

const ICMP_REDIR_HOSTTOS = 3;
const IP_SADDR = 12;
const IP_DADDR = 16;
const ICMP_ID = 4;
/** An errno that is no error of the path: source quench and redirect are shown to who asks for all errors. */
const EREMOTEIO = 121;

/** Whether ping sockets send such messages. Linux: ping_supported(). */
export function pingSupported(type: number, code: number): boolean {
  return (type === ICMP_ECHO || type === ICMP_EXT_ECHO) && code === 0;
}

/**
 * An echo reply: the socket that has the identifier gets it whole, with its ICMP header. False: there is none. A full
 * receive buffer drops it. Linux: ping_rcv(), net/ipv4/ping.c. Takes ownership of `skb` unless it returns false.
 */
export function pingRcv(st: PingState, skb: SkBuff): boolean {
  const daddr = skb.view.getInt32(skb.networkHeader + IP_DADDR);
  const ident = skb.view.getUint16(skb.data + ICMP_ID);
  const sk = pingLookup(st, ident, daddr, skb.skbIif);
  if (sk === null) return false;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.pingRcv, skb, ident, skb.len, sk);
  const reason = sockQueueRcvSkb(sk, skb);
  if (reason !== 0) st.net.drop(skb, reason);
  else skDataReady(sk);
  return true;
}

/**
 * An ICMP error that quotes an echo request: `data` is at the quoted IP header. Linux: ping_err(), net/ipv4/ping.c.
 * Borrows `skb`.
 */
export function pingErr(st: PingState, skb: SkBuff, type: number, code: number, info: number): void {
  const view = skb.view;
  const hlen = (view.getUint8(skb.data) & 15) << 2;
  const at = skb.data + hlen;
  if (at + 8 > skb.tail || !pingSupported(view.getUint8(at), view.getUint8(at + 1))) return;
  // The error came to the address from which the request went.
  const sk = pingLookup(st, view.getUint16(at + ICMP_ID), view.getInt32(skb.data + IP_SADDR), skb.skbIif);
  if (sk === null) return;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.pingErr, skb, type, code, sk);
  if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) {
    st.fib.updatePmtu(view.getInt32(skb.data + IP_DADDR), info);
    if (sk.pmtudisc === IP_PMTUDISC_DONT) return;
  }
  if (type === ICMP_REDIRECT && code <= ICMP_REDIR_HOSTTOS && skb.dev !== null) {
    st.fib.redirect(view.getInt32(skb.data + IP_DADDR), view.getInt32(skb.networkHeader + IP_SADDR), info, skb.dev);
  }
  const converted = pingErrConvert(type, code);
  if (converted !== 0) sockIcmpError(sk, skb, converted, type, code, info, hlen, 0);
}

function pingErrConvert(type: number, code: number): number {
  if (type === ICMP_SOURCE_QUENCH || type === ICMP_REDIRECT) return EREMOTEIO;
  if (type === ICMP_DEST_UNREACH && code > NR_ICMP_UNREACH) return ERRNO.EHOSTUNREACH;
  return icmpErrConvert(type, code);
}
