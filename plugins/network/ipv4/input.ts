/**
 * Receive: the header is checked, PRE_ROUTING asked, the route decided, and the packet delivered, forwarded or refused.
 * RFC 791, RFC 1122 section 3.2, RFC 1812 section 5. Linux: net/ipv4/ip_input.c.
 *
 * @module
 */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as netfilter from "../netfilter/contract.ts";
import * as devinet from "../devinet/contract.ts";
import type { Dst } from "../fib/contract.ts";
import * as fib from "../fib/contract.ts";
import * as ipv4 from "./contract.ts";
import * as ipv4Header from "./header.ts";
import * as forward from "./forward.ts";
import * as options from "./options.ts";
import * as reassembly from "./reassembly.ts";
import type { Ipv4State } from "./state.ts";
import * as state from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ipForward } = forward;
const { acceptsSourceRoute, hasSourceRoute, ipOptionsCompile, ipOptionsRcvSrr } = options;
const { ipDefrag } = reassembly;
const { ipcbClear } = state;
const { DROP, G_IP, IFF_LOOPBACK, PACKET_BROADCAST, PACKET_HOST, PACKET_LOOPBACK, PACKET_MULTICAST, PACKET_OTHERHOST } =
  core;
const { NF_INET_LOCAL_IN, NF_INET_PRE_ROUTING } = netfilter;
const { inDevGet } = devinet;
const { RTN_BLACKHOLE, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_PROHIBIT, RTN_UNICAST } = fib;
const { IP_DEFRAG_LOCAL_DELIVER } = ipv4;
const { IP_MF, IP_OFFSET, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR, IPH_TOS, ipv4Check } = ipv4Header;

const ICMP_DEST_UNREACH = 3;
const ICMP_NET_UNREACH = 0;
const ICMP_HOST_UNREACH = 1;
const ICMP_PROT_UNREACH = 2;
const ICMP_PKT_FILTERED = 13;
const ICMP_PARAMETERPROB = 12;

/**
 * The door: header checks, link padding cut off, PRE_ROUTING. Linux: ip_rcv(), ip_rcv_core(), net/ipv4/ip_input.c.
 * Takes ownership of `skb`.
 */
export function ipRcv(st: Ipv4State, skb: SkBuff, dev: NetDevice): void {
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipRcv, skb, skb.len, 0, dev);
  if (skb.pktType === PACKET_OTHERHOST) {
    st.net.drop(skb, DROP.OTHERHOST);
    return;
  }
  st.mib.ip.InReceives++;
  st.mib.ipExt.InOctets += skb.len;
  const reason = ipv4Check(skb);
  if (reason !== 0) {
    headerError(st, skb, reason);
    return;
  }
  const iph = skb.data;
  const word = skb.view.getInt32(iph);
  const totLen = word & 0xffff;
  if (skb.len > totLen) skb.trim(totLen);
  skb.networkHeader = iph;
  skb.transportHeader = iph + (word >>> 22 & 0x3c);
  ipcbClear(st, skb);
  if (skb.owner !== null) skb.orphan();
  // Only what we sent ourselves brings its route along: over the loopback, or as a copy of our own multicast.
  if (skb.pktType !== PACKET_LOOPBACK && (dev.flags & IFF_LOOPBACK) === 0) skb.dst = null;
  if (st.nf.active[NF_INET_PRE_ROUTING] === 0) ipRcvFinish(st, skb);
  else st.nf.run(NF_INET_PRE_ROUTING, skb, dev, null, ipRcvFinish, st);
}

/** Takes ownership of `skb`. */
function headerError(st: Ipv4State, skb: SkBuff, reason: number): void {
  if (reason === DROP.PKT_TOO_SMALL) st.mib.ipExt.InTruncatedPkts++;
  else {
    if (reason === DROP.IP_CSUM) st.mib.ipExt.InCsumErrors++;
    st.mib.ip.InHdrErrors++;
  }
  st.net.drop(skb, reason);
}

/**
 * The route decision, then the options: an option of a packet that routing refuses is not looked at.
 * Linux: ip_rcv_finish(), ip_rcv_finish_core(), net/ipv4/ip_input.c. Takes ownership of `skb`.
 */
function ipRcvFinish(st: Ipv4State, skb: SkBuff): number {
  const view = skb.view;
  const iph = skb.networkHeader;
  const dev = skb.dev!;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipRcvFinish, skb, 0, 0, dev);
  if (skb.dst === null || skb.dst.obsolete) {
    const daddr = view.getInt32(iph + IPH_DADDR);
    const reason = st.fib.routeInput(skb, daddr, view.getInt32(iph + IPH_SADDR), view.getUint8(iph + IPH_TOS), dev);
    if (reason !== 0) return routeRefused(st, skb, reason);
  }
  if ((view.getUint8(iph) & 15) > 5 && !ipRcvOptions(st, skb)) return 0;
  const dst = skb.dst as unknown as Dst;
  const type = dst.type;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipRoute, skb, type, dst.forward ? 1 : 0, dst);
  if (skb.pktType !== PACKET_HOST || type === RTN_MULTICAST || type === RTN_BROADCAST) {
    if (!ipRcvMany(st, skb, type, dev)) return 0;
  }
  // Linux: dst_input(), include/net/dst.h.
  if (type === RTN_UNICAST) return ipForward(st, skb);
  if (type === RTN_LOCAL || type === RTN_MULTICAST || type === RTN_BROADCAST) return ipLocalDeliver(st, skb);
  return ipError(st, skb, type);
}

/** To more than one, by its address or by its frame's. Takes ownership of `skb` unless it returns true. */
function ipRcvMany(st: Ipv4State, skb: SkBuff, type: number, dev: NetDevice): boolean {
  if (type === RTN_MULTICAST) st.mib.ipExt.InMcastPkts++;
  else if (type === RTN_BROADCAST) st.mib.ipExt.InBcastPkts++;
  else if (skb.pktType === PACKET_BROADCAST || skb.pktType === PACKET_MULTICAST) {
    const inDev = inDevGet(dev);
    if (inDev !== null && inDev.conf.dropUnicastInL2Multicast !== 0) {
      st.net.drop(skb, DROP.UNICAST_IN_L2_MULTICAST);
      return false;
    }
  }
  return true;
}

/**
 * Routing gave a reason instead of a way. Where only no way leads there, the options still have their say first, as in
 * Linux, where such a packet has a route to ip_error(). Takes ownership of `skb`.
 */
function routeRefused(st: Ipv4State, skb: SkBuff, reason: number): number {
  if (reason === DROP.IP_INADDRERRORS || reason === DROP.IP_INNOROUTES) {
    if ((skb.view.getUint8(skb.networkHeader) & 15) > 5 && !ipRcvOptions(st, skb)) return 0;
    if (reason === DROP.IP_INADDRERRORS) st.mib.ip.InAddrErrors++;
    else {
      st.mib.ipExt.InNoRoutes++;
      routeErrorSend(st, skb, ICMP_NET_UNREACH);
    }
  }
  st.net.drop(skb, reason);
  return 0;
}

/** A route that refuses. Linux: ip_error(), net/ipv4/route.c. Takes ownership of `skb`. */
function ipError(st: Ipv4State, skb: SkBuff, type: number): number {
  if (type !== RTN_BLACKHOLE) routeErrorSend(st, skb, type === RTN_PROHIBIT ? ICMP_PKT_FILTERED : ICMP_HOST_UNREACH);
  st.net.drop(skb, DROP.IP_ROUTE_BLACKHOLE);
  return 0;
}

/** Sends an unreachable, five at once and one per second to each source. Borrows `skb`. */
function routeErrorSend(st: Ipv4State, skb: SkBuff, code: number): void {
  const now = st.machine.jiffies;
  const peer = st.peers.get(skb.view.getInt32(skb.networkHeader + IPH_SADDR), now);
  if (st.peers.routeErrorAllow(peer, now)) st.inet.icmpSend(skb, ICMP_DEST_UNREACH, code, 0);
}

/**
 * Parses and obeys the options. Linux: ip_rcv_options(), net/ipv4/ip_input.c.
 * Takes ownership of `skb` unless it returns true.
 */
function ipRcvOptions(st: Ipv4State, skb: SkBuff): boolean {
  if (!skb.cowHead(0)) {
    st.net.drop(skb, DROP.NOMEM);
    return false;
  }
  const bad = ipOptionsCompile(st, skb);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipRcvOptions, skb, skb.cb[st.cbOptlen], bad, skb.dev);
  if (bad !== 0) {
    st.inet.icmpSend(skb, ICMP_PARAMETERPROB, 0, bad << 24);
    st.mib.ip.InHdrErrors++;
    st.net.drop(skb, DROP.IP_INHDR);
    return false;
  }
  if (!hasSourceRoute(st, skb)) return true;
  if (skb.dst !== null && acceptsSourceRoute(skb) && ipOptionsRcvSrr(st, skb)) return true;
  st.net.drop(skb, DROP.IP_OPTIONS);
  return false;
}

/** To us: reassembles, then LOCAL_IN. Linux: ip_local_deliver(), net/ipv4/ip_input.c. Takes ownership of `skb`. */
function ipLocalDeliver(st: Ipv4State, skb: SkBuff): number {
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipLocalDeliver, skb, 0, 0, skb.dev);
  if ((skb.view.getUint16(skb.networkHeader + IPH_FRAG_OFF) & (IP_MF | IP_OFFSET)) !== 0) {
    const whole = ipDefrag(st, skb, IP_DEFRAG_LOCAL_DELIVER);
    return whole === null ? 0 : localIn(st, whole);
  }
  return localIn(st, skb);
}

/** Takes ownership of `skb`. */
function localIn(st: Ipv4State, skb: SkBuff): number {
  if (st.nf.active[NF_INET_LOCAL_IN] === 0) return ipLocalDeliverFinish(st, skb);
  return st.nf.run(NF_INET_LOCAL_IN, skb, skb.dev, null, ipLocalDeliverFinish, st);
}

/**
 * Strips the header and hands the packet to its protocol. Linux: ip_local_deliver_finish(),
 * ip_protocol_deliver_rcu(), net/ipv4/ip_input.c. Takes ownership of `skb`.
 */
function ipLocalDeliverFinish(st: Ipv4State, skb: SkBuff): number {
  const inet = st.inet;
  const protocol = skb.view.getUint8(skb.networkHeader + IPH_PROTOCOL);
  skb.pull(skb.transportHeader - skb.data);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipLocalDeliverFinish, skb, protocol, 0, skb.dev);
  const raw = inet.rawDeliver(skb, protocol);
  const handler = inet.protocols[protocol];
  if (handler === null) return noProtocol(st, skb, raw);
  st.mib.ip.InDelivers++;
  handler.rcv(skb);
  return 0;
}

/** Nobody but perhaps raw sockets wants it. Takes ownership of `skb`. */
function noProtocol(st: Ipv4State, skb: SkBuff, raw: boolean): number {
  if (raw) {
    st.mib.ip.InDelivers++;
    skb.consume();
  } else {
    st.mib.ip.InUnknownProtos++;
    st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
    st.net.drop(skb, DROP.IP_NOPROTO);
  }
  return 0;
}
