/** Packets and errors on their way to raw sockets. Linux: net/ipv4/raw.c. */
import * as core from "../../../core/mod.ts";
import type { SkBuff } from "../../../core/mod.ts";
import {
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
} from "../../network/icmp/header.ts";
import { IPPROTO_ICMP } from "../../network/inet/contract.ts";
import { IP_PMTUDISC_DONT } from "../../network/ipv4/contract.ts";
import {
  icmpErrConvert,
  icmpErrno,
  icmpIsHard,
  ipIcmpError,
  ipMcSfAllow,
  skbSetOwnerR,
  skDataReady,
  skErrorReport,
  type Sock,
  TCP_ESTABLISHED,
} from "../sock/contract.ts";
import { rawMatch, type RawState } from "./state.ts";

const { DROP, ERRNO, G_SOCK } = core;
const IP_PROTOCOL = 9;
const IP_SADDR = 12;
const IP_DADDR = 16;

/**
 * Gives every raw socket of the protocol a clone, from the IP header on. `data` is at the transport header. True: there
 * was one for it. Linux: raw_local_deliver(), raw_v4_input(). Borrows `skb`.
 */
export function rawLocalDeliver(st: RawState, skb: SkBuff, protocol: number): boolean {
  const list = st.protocols[protocol];
  if (list === null) return false;
  const view = skb.view;
  const saddr = view.getInt32(skb.networkHeader + IP_SADDR);
  const daddr = view.getInt32(skb.networkHeader + IP_DADDR);
  let delivered = false;
  for (let i = 0; i < list.length; i++) {
    const sk = list[i];
    if (!rawMatch(sk, saddr, daddr, skb.skbIif)) continue;
    delivered = true;
    if (protocol === IPPROTO_ICMP && icmpFiltered(st, sk, skb)) continue;
    if (!ipMcSfAllow(sk, daddr, skb.skbIif)) continue;
    const twin = skb.clone();
    if (twin !== null) rawRcv(st, sk, twin);
  }
  return delivered;
}

/** Linux: icmp_filter(). Borrows `skb`. */
function icmpFiltered(st: RawState, sk: Sock, skb: SkBuff): boolean {
  if (!skb.mayPull(1)) return true;
  const type = skb.view.getUint8(skb.data);
  return type < 32 && (st.of(sk).filter & (1 << type)) !== 0;
}

/** Linux: raw_rcv(), raw_rcv_skb(). Takes ownership of `skb`. */
function rawRcv(st: RawState, sk: Sock, skb: SkBuff): void {
  skb.push(skb.data - skb.networkHeader);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.rawRcv, skb, sk.protocol, skb.len, sk);
  // What is over the limit only by this packet is taken, as by every socket but UDP's. Linux: sock_queue_rcv_skb().
  if (sk.rmemAlloc >= sk.rcvbuf) {
    sk.drops++;
    st.net.drop(skb, DROP.SOCKET_RCVBUFF);
    return;
  }
  if (skb.owner !== null) skb.orphan();
  skbSetOwnerR(skb, sk);
  skb.dst = null;
  sk.receiveQueue.enqueue(skb);
  skDataReady(sk);
}

/**
 * An ICMP error quotes a packet of the protocol: `data` is at the quoted IP header. All sockets that could have sent it
 * hear of it. Linux: raw_icmp_error(), raw_v4_input's match the other way round. Borrows `skb`.
 */
export function rawIcmpError(st: RawState, skb: SkBuff, type: number, code: number, info: number): void {
  const view = skb.view;
  const list = st.protocols[view.getUint8(skb.data + IP_PROTOCOL)];
  if (list === null) return;
  const saddr = view.getInt32(skb.data + IP_SADDR);
  const daddr = view.getInt32(skb.data + IP_DADDR);
  for (let i = 0; i < list.length; i++) {
    if (rawMatch(list[i], daddr, saddr, skb.skbIif)) rawErr(st, list[i], skb, type, code, info);
  }
}

/** Linux: raw_err(). Borrows `skb`. */
function rawErr(st: RawState, sk: Sock, skb: SkBuff, type: number, code: number, info: number): void {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.rawErr, skb, type, code, sk);
  const quoted = skb.data;
  const tooBig = type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED;
  if (tooBig) st.fib.updatePmtu(skb.view.getInt32(quoted + IP_DADDR), info);
  else if (type === ICMP_REDIRECT && skb.dev !== null) {
    const from = skb.view.getInt32(skb.networkHeader + IP_SADDR);
    st.fib.redirect(skb.view.getInt32(quoted + IP_DADDR), from, info, skb.dev);
    return;
  }
  // Without a peer, and without IP_RECVERR, nobody could tell which packet it was about.
  if (!sk.recverr && sk.state !== TCP_ESTABLISHED) return;
  let [errno, hard] = [0, false];
  if (type === ICMP_SOURCE_QUENCH) return;
  else if (type === ICMP_PARAMETERPROB) [errno, hard] = [ERRNO.EPROTO, true];
  else if (tooBig) [errno, hard] = [ERRNO.EMSGSIZE, sk.pmtudisc !== IP_PMTUDISC_DONT];
  else {
    const converted = icmpErrConvert(type, code);
    [errno, hard] = converted === 0 ? [ERRNO.EHOSTUNREACH, false] : [icmpErrno(converted), icmpIsHard(converted)];
  }
  if (sk.recverr) {
    const hlen = st.of(sk).hdrincl ? 0 : (skb.view.getUint8(quoted) & 15) << 2;
    ipIcmpError(sk, skb, errno, type, code, info, hlen, 0);
  }
  if (sk.recverr || hard) skErrorReport(sk, errno);
}
