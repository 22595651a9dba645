/**
 * Forwarding: a packet of another host goes on its way, its payload untouched. RFC 1812 sections 4.2 and 5.3.
 * Linux: net/ipv4/ip_forward.c.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as netfilter from "../netfilter/contract.ts";
import type { Dst } from "../fib/contract.ts";
import * as ipv4 from "./contract.ts";
import * as ipv4Header from "./header.ts";
import { hasSourceRoute, ipForwardOptions } from "./options.ts";
import { dstOutput, forwardMtu, skbGsoNetworkSeglen } from "./output.ts";
import type { Ipv4State } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CHECKSUM_COMPLETE, CHECKSUM_NONE, DROP, G_IP, PACKET_HOST } = core;
const { NF_INET_FORWARD } = netfilter;
const { IPSKB_DOREDIRECT, IPSKB_FORWARDED, IPSKB_STRICTROUTE } = ipv4;
const { IP_DF, IPH_CHECK, IPH_DADDR, IPH_FRAG_OFF, IPH_SADDR, IPH_TTL, rtTos2priority } = ipv4Header;

const ICMP_DEST_UNREACH = 3;
const ICMP_REDIRECT = 5;
const ICMP_TIME_EXCEEDED = 11;
const ICMP_FRAG_NEEDED = 4;
const ICMP_SR_FAILED = 5;
const ICMP_REDIR_HOST = 1;

/**
 * Checks TTL and MTU, decrements the TTL, and hands the packet to FORWARD. Not a byte of payload is read or moved; the
 * header is copied first only when somebody else holds it. Linux: ip_forward(), net/ipv4/ip_forward.c.
 * Takes ownership of `skb`.
 */
export function ipForward(st: Ipv4State, skb: SkBuff): number {
  const view = skb.view;
  const iph = skb.networkHeader;
  const dst = skb.dst as Dst;
  const ttl = view.getUint8(iph + IPH_TTL);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipForward, skb, ttl, 0, dst);
  // RFC 1812, 5.3.4: what came as a link broadcast is not forwarded.
  if (skb.pktType !== PACKET_HOST) {
    st.net.drop(skb, DROP.UNICAST_IN_L2_MULTICAST);
    return 0;
  }
  if (skb.ipSummed === CHECKSUM_COMPLETE) skb.ipSummed = CHECKSUM_NONE;
  if (ttl <= 1) return ttlExceeded(st, skb);
  if ((skb.cb[st.cbFlags] & IPSKB_STRICTROUTE) !== 0 && dst.gateway !== 0) return sourceRouteFailed(st, skb);
  skb.cb[st.cbFlags] |= IPSKB_FORWARDED | (dst.doRedirect ? IPSKB_DOREDIRECT : 0);
  st.mib.ip.ForwDatagrams++;
  const mtu = forwardMtu(st, dst);
  if (skb.len > mtu && exceedsMtu(st, skb, mtu)) return tooBig(st, skb, mtu);
  if (!skb.cowHead(dst.dev.headerOps.hardHeaderLen)) {
    st.net.drop(skb, DROP.NOMEM);
    return 0;
  }
  decreaseTtl(skb);
  if ((skb.cb[st.cbFlags] & IPSKB_DOREDIRECT) !== 0 && !hasSourceRoute(st, skb)) sendRedirect(st, skb, dst);
  if (st.conf.fwdUpdatePriority !== 0) skb.priority = rtTos2priority(skb.view.getUint8(skb.networkHeader + 1));
  if (st.nf.active[NF_INET_FORWARD] === 0) return ipForwardFinish(st, skb);
  return st.nf.run(NF_INET_FORWARD, skb, skb.dev, dst.dev, ipForwardFinish, st);
}

/** Linux: ip_forward_finish(), net/ipv4/ip_forward.c. Takes ownership of `skb`. */
function ipForwardFinish(st: Ipv4State, skb: SkBuff): number {
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipForwardFinish, skb, 0, 0, skb.dst);
  if (skb.cb[st.cbOptlen] !== 0) ipForwardOptions(st, skb);
  return dstOutput(st, skb);
}

/** Linux: ip_exceeds_mtu(), net/ipv4/ip_forward.c. Borrows `skb`. */
function exceedsMtu(st: Ipv4State, skb: SkBuff, mtu: number): boolean {
  if ((skb.view.getUint16(skb.networkHeader + IPH_FRAG_OFF) & IP_DF) === 0) return false;
  if (skb.cb[st.cbFragMaxSize] > mtu) return true;
  if (skb.ignoreDf) return false;
  return skb.gsoSize === 0 || skbGsoNetworkSeglen(skb) > mtu;
}

/** One hop less; the checksum changes by the same one (RFC 1624). Linux: ip_decrease_ttl(). Borrows `skb`. */
function decreaseTtl(skb: SkBuff): void {
  const view = skb.view;
  const iph = skb.networkHeader;
  const check = view.getUint16(iph + IPH_CHECK, true) + 1;
  view.setUint16(iph + IPH_CHECK, check >= 0xffff ? check + 1 : check, true);
  view.setUint8(iph + IPH_TTL, view.getUint8(iph + IPH_TTL) - 1);
}

/** Takes ownership of `skb`. */
function ttlExceeded(st: Ipv4State, skb: SkBuff): number {
  st.mib.ip.InHdrErrors++;
  st.inet.icmpSend(skb, ICMP_TIME_EXCEEDED, 0, 0);
  st.net.drop(skb, DROP.IP_INHDR);
  return 0;
}

/** Takes ownership of `skb`. */
function tooBig(st: Ipv4State, skb: SkBuff, mtu: number): number {
  st.mib.ip.FragFails++;
  st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
  st.net.drop(skb, DROP.PKT_TOO_BIG);
  return 0;
}

/** A strict source route leads over a gateway that it does not name. Takes ownership of `skb`. */
function sourceRouteFailed(st: Ipv4State, skb: SkBuff): number {
  st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_SR_FAILED, 0);
  st.net.drop(skb, DROP.IP_OPTIONS);
  return 0;
}

/** Tells the sender of a shorter way. Linux: ip_rt_send_redirect(), net/ipv4/route.c. Borrows `skb`. */
function sendRedirect(st: Ipv4State, skb: SkBuff, dst: Dst): void {
  const view = skb.view;
  const iph = skb.networkHeader;
  const now = st.machine.jiffies;
  const peer = st.peers.get(view.getInt32(iph + IPH_SADDR), now);
  if (!st.peers.redirectAllow(peer, now)) return;
  const gateway = dst.gateway !== 0 ? dst.gateway : view.getInt32(iph + IPH_DADDR);
  st.inet.icmpSend(skb, ICMP_REDIRECT, ICMP_REDIR_HOST, gateway);
}
