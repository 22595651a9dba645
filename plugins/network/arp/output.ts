/** Transmit: questions, answers, announcements, and what becomes of packets nobody answers. Linux: net/ipv4/arp.c. */
import {
  devQueueXmit,
  DROP,
  G_LINK,
  IFF_NOARP,
  IFF_POINTOPOINT,
  NET_SKB_PAD,
  type NetDevice,
  type SkBuff,
} from "../../../core/mod.ts";
import { ETH_BROADCAST_HI, ETH_IP_MULTICAST_HI, ETH_P_ARP, ethIpMulticastLo } from "../../link/ethernet/header.ts";
import { isMulticast } from "../inet/header.ts";
import { inDevGet, type InDevice, RT_SCOPE_LINK } from "../devinet/contract.ts";
import { type Neighbour, neighNoArp, NUD_NOARP } from "../neigh/contract.ts";
import { type Dst, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } from "../fib/contract.ts";
import { ARP_LEN, ArpHeader, ARPOP_REQUEST } from "./header.ts";
import type { ArpState } from "./state.ts";

const ICMP_DEST_UNREACH = 3;
const ICMP_HOST_UNREACH = 1;
/** Where an IPv4 header has its source. */
const IP_SADDR = 12;

/** See {@linkcode Arp.send}. Linux: arp_send_dst(), net/ipv4/arp.c. */
export function arpSend(
  st: ArpState,
  op: number,
  dev: NetDevice,
  destIp: number,
  srcIp: number,
  dstHi: number,
  dstLo: number,
  srcHi: number,
  srcLo: number,
  thaHi: number,
  thaLo: number,
): void {
  if ((dev.flags & IFF_NOARP) !== 0) return;
  const skb = arpCreate(st, op, dev, destIp, srcIp, srcHi, srcLo, thaHi, thaLo);
  if (skb === null) return;
  if (!dev.headerOps.create(skb, dev, ETH_P_ARP, dstHi, dstLo, srcHi, srcLo)) {
    st.net.drop(skb, DROP.NOMEM);
    return;
  }
  st.stats.sent++;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.xmit, skb, op, destIp, dev);
  devQueueXmit(skb);
}

/** Linux: arp_create(), net/ipv4/arp.c. Null: no memory. */
function arpCreate(
  st: ArpState,
  op: number,
  dev: NetDevice,
  destIp: number,
  srcIp: number,
  srcHi: number,
  srcLo: number,
  thaHi: number,
  thaLo: number,
): SkBuff | null {
  const skb = st.machine.skbs.alloc(NET_SKB_PAD + ARP_LEN);
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD);
  skb.networkHeader = skb.data;
  skb.dev = dev;
  skb.protocol = ETH_P_ARP;
  const arp = new ArpHeader(skb.view, skb.put(ARP_LEN));
  arp.setOp(op);
  arp.setSender(srcHi, srcLo, srcIp);
  arp.setTarget(thaHi, thaLo, destIp);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.create, skb, op, destIp, dev);
  return skb;
}

/**
 * Asks for a neighbour: by unicast where an old address is known, then by broadcast. Linux: arp_solicit(),
 * net/ipv4/arp.c. Borrows `skb`.
 */
export function arpSolicit(st: ArpState, neigh: Neighbour, skb: SkBuff | null): void {
  const dev = neigh.dev;
  const inDev = inDevGet(dev);
  if (inDev === null) return;
  const target = neigh.primaryKey;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.solicit, skb, neigh.probes, target, neigh);
  const parms = st.neigh.parms(dev);
  const unicast = neigh.probes < parms.ucastSolicit;
  // The probes between are a user-space daemon's, and there is none.
  if (!unicast && neigh.probes < parms.ucastSolicit + parms.appSolicit) return;
  let saddr = skb === null ? 0 : announcedSource(st, inDev, skb, target);
  if (saddr === 0) saddr = st.devinet.selectAddr(dev, target, RT_SCOPE_LINK);
  const hi = unicast ? neigh.haHi : ETH_BROADCAST_HI;
  const lo = unicast ? neigh.haLo : -1;
  arpSend(st, ARPOP_REQUEST, dev, target, saddr, hi, lo, dev.addrHi, dev.addrLo, 0, 0);
}

/**
 * The source of the packet that waits, where arp_announce lets it be told: 0 any of ours, 1 only one of the target's
 * subnet, 2 never. 0: choose another. Borrows `skb`.
 */
function announcedSource(st: ArpState, inDev: InDevice, skb: SkBuff, target: number): number {
  const level = inDev.conf.arpAnnounce;
  if (level >= 2 || skb.tail - skb.data < IP_SADDR + 4) return 0;
  const saddr = skb.view.getInt32(skb.data + IP_SADDR);
  if (st.fib.addrType(saddr) !== RTN_LOCAL) return 0;
  return level === 0 || sameSubnet(inDev, target, saddr) ? saddr : 0;
}

/** Whether one subnet of the device has both addresses. Linux: inet_addr_onlink(). */
function sameSubnet(inDev: InDevice, a: number, b: number): boolean {
  for (let i = 0; i < inDev.ifaList.length; i++) {
    const ifa = inDev.ifaList[i];
    if (((a ^ ifa.local) & ifa.mask) === 0 && ((b ^ ifa.local) & ifa.mask) === 0) return true;
  }
  return false;
}

/**
 * Nobody answers: the sender is told, and what was learnt of the path is forgotten. Linux: arp_error_report(),
 * ipv4_link_failure(). Takes ownership of `skb`.
 */
export function arpErrorReport(st: ArpState, skb: SkBuff): void {
  st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
  const dst = skb.dst as Dst | null;
  if (dst !== null && dst.pmtu !== 0) dst.pmtuExpires = st.machine.jiffies;
  st.net.drop(skb, DROP.NEIGH_FAILED);
}

/**
 * A new entry: next hops that need no question get their address at once. A group's is computed (RFC 1112), a broadcast
 * is a broadcast; all else is asked for. Linux: arp_constructor(), net/ipv4/arp.c.
 */
export function arpConstruct(st: ArpState, neigh: Neighbour): void {
  const dev = neigh.dev;
  const addr = neigh.primaryKey;
  const type = st.fib.devAddrType(dev, addr);
  if (dev.headerOps.hardHeaderLen === 0) neighNoArp(neigh);
  else if (type === RTN_MULTICAST || isMulticast(addr)) noArp(neigh, ETH_IP_MULTICAST_HI, ethIpMulticastLo(addr));
  else if (neighNoArp(neigh)) return;
  else if (type === RTN_BROADCAST || (dev.flags & IFF_POINTOPOINT) !== 0) noArp(neigh, ETH_BROADCAST_HI, -1);
}

function noArp(neigh: Neighbour, hi: number, lo: number): void {
  neigh.nudState = NUD_NOARP;
  neigh.haHi = hi;
  neigh.haLo = lo;
}

/** Linux: inetdev_send_gratuitous_arp(), net/ipv4/devinet.c. */
export function arpAnnounce(st: ArpState, dev: NetDevice): void {
  const inDev = inDevGet(dev);
  if (inDev === null) return;
  for (let i = 0; i < inDev.ifaList.length; i++) {
    const ip = inDev.ifaList[i].local;
    arpSend(st, ARPOP_REQUEST, dev, ip, ip, ETH_BROADCAST_HI, -1, dev.addrHi, dev.addrLo, 0, 0);
  }
}
