/** Receive. Linux: net/ipv4/arp.c. RFC 826 says what ARP is; RFC 5227 what probes and announcements are. */
import {
  DROP,
  G_LINK,
  IFF_NOARP,
  type NetDevice,
  PACKET_HOST,
  PACKET_LOOPBACK,
  PACKET_OTHERHOST,
  type SkBuff,
} from "../../../core/mod.ts";
import { isMulticastEther, isZeroEther } from "../../link/ethernet/header.ts";
import { isLoopback, isMulticast } from "../inet/header.ts";
import { inDevGet, type InDevice, RT_SCOPE_HOST, RT_SCOPE_LINK } from "../devinet/contract.ts";
import { NEIGH_UPDATE_F_OVERRIDE, type Neighbour, NUD_REACHABLE, NUD_STALE } from "../neigh/contract.ts";
import { type Dst, RTN_LOCAL, RTN_UNICAST } from "../fib/contract.ts";
import { ARP_LEN, ArpHeader, ARPOP_REPLY, ARPOP_REQUEST } from "./header.ts";
import { arpSend } from "./output.ts";
import { type ArpState, proxyEnqueue } from "./state.ts";

/**
 * Linux: arp_rcv(), net/ipv4/arp.c.
 *
 * Frames for others end here in silence: on a flooding switch they are no error. Takes ownership of `skb`.
 */
export function arpRcv(st: ArpState, skb: SkBuff, dev: NetDevice): void {
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.rcv, skb, 0, 0, dev);
  if ((dev.flags & IFF_NOARP) !== 0 || skb.pktType === PACKET_OTHERHOST || skb.pktType === PACKET_LOOPBACK) {
    skb.consume();
    return;
  }
  st.stats.received++;
  const reason = ArpHeader.check(skb);
  if (reason !== 0) {
    st.stats.malformed++;
    st.net.drop(skb, reason);
    return;
  }
  skb.trim(ARP_LEN);
  arpProcess(st, skb, dev, false);
}

/**
 * Linux: arp_process(), net/ipv4/arp.c.
 *
 * A request for one of our addresses is answered, and its sender learnt. Everything else can only change what is known
 * already. `redo`: it has waited in the proxy queue. Takes ownership of `skb`.
 */
export function arpProcess(st: ArpState, skb: SkBuff, dev: NetDevice, redo: boolean): void {
  const arp = new ArpHeader(skb.view, skb.data);
  const op = arp.op;
  const sip = arp.spa;
  const tip = arp.tpa;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.process, skb, op, tip, dev);
  const inDev = inDevGet(dev);
  if (inDev === null || isMulticast(tip) || (isLoopback(tip) && inDev.conf.routeLocalnet === 0)) {
    st.net.drop(skb, DROP.ARP_IGNORED);
    return;
  }
  if (sip === 0) {
    // RFC 5227 section 2.1.1: a probe. It is answered, and teaches nothing.
    if (op === ARPOP_REQUEST && st.fib.addrType(tip) === RTN_LOCAL && !arpIgnore(st, inDev, sip, tip)) {
      arpReply(st, skb, dev);
    }
    skb.consume();
    return;
  }
  if (op === ARPOP_REQUEST && st.fib.routeInput(skb, tip, sip, 0, dev) === 0) {
    const dst = skb.dst as Dst;
    if (dst.type === RTN_LOCAL) {
      answerForUs(st, skb, dev, inDev);
      return;
    }
    if (inDev.conf.forwarding !== 0 && proxies(inDev, dev, dst)) {
      answerForOthers(st, skb, dev, redo);
      return;
    }
  }
  learn(st, skb, dev, inDev);
  skb.consume();
}

/** The sender of a request for us will be talked to: it is learnt, even if it is new. Takes ownership of `skb`. */
function answerForUs(st: ArpState, skb: SkBuff, dev: NetDevice, inDev: InDevice): void {
  const arp = new ArpHeader(skb.view, skb.data);
  const silent = arpIgnore(st, inDev, arp.spa, arp.tpa) ||
    (inDev.conf.arpFilter !== 0 && arpFilter(st, arp.spa, arp.tpa, dev));
  if (!silent && eventNs(st, skb, dev)) arpReply(st, skb, dev);
  skb.consume();
}

/** Takes ownership of `skb`. */
function answerForOthers(st: ArpState, skb: SkBuff, dev: NetDevice, redo: boolean): void {
  const parms = st.neigh.parms(dev);
  eventNs(st, skb, dev);
  if (!redo && skb.pktType !== PACKET_HOST && parms.proxyDelay > 0) {
    proxyEnqueue(st, skb, parms.proxyDelay, parms.proxyQlen);
    return;
  }
  st.stats.proxied++;
  arpReply(st, skb, dev);
  skb.consume();
}

/** Answers a request: to the MAC that stands in the packet, not to the frame's. Borrows `skb`. */
function arpReply(st: ArpState, skb: SkBuff, dev: NetDevice): void {
  const arp = new ArpHeader(skb.view, skb.data);
  const hi = arp.shaHi;
  const lo = arp.shaLo;
  st.stats.answered++;
  arpSend(st, ARPOP_REPLY, dev, arp.spa, arp.tpa, hi, lo, dev.addrHi, dev.addrLo, hi, lo);
}

/** Whether a sender's MAC may be learnt: see {@linkcode ArpOptions}. Borrows `skb`. */
function mayLearn(st: ArpState, skb: SkBuff): boolean {
  if (st.learnAnySender) return true;
  const arp = new ArpHeader(skb.view, skb.data);
  const hi = arp.shaHi;
  if (!isMulticastEther(hi) && !isZeroEther(hi, arp.shaLo)) return true;
  st.stats.refused++;
  return false;
}

/**
 * The sender exists, at this address. False: there is no room for it, so that it cannot be answered.
 * Linux: neigh_event_ns(). Borrows `skb`.
 */
function eventNs(st: ArpState, skb: SkBuff, dev: NetDevice): boolean {
  if (!mayLearn(st, skb)) return true;
  const arp = new ArpHeader(skb.view, skb.data);
  const n = st.neigh.create(dev, arp.spa);
  if (n === null) return false;
  st.stats.learnt++;
  st.neigh.update(n, arp.shaHi, arp.shaLo, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE);
  return true;
}

/**
 * What an answer, or a request that is not for us, tells of somebody known. A reply to us makes the entry reachable,
 * the rest only stale. Of several addresses within the locktime the first is believed; an announcement always is.
 * Borrows `skb`.
 */
function learn(st: ArpState, skb: SkBuff, dev: NetDevice, inDev: InDevice): void {
  const arp = new ArpHeader(skb.view, skb.data);
  const sip = arp.spa;
  let n = st.neigh.lookup(dev, sip);
  const accept = arpAccept(inDev, sip);
  if ((n === null && !accept) || !mayLearn(st, skb)) return;
  const gratuitous = isGarp(st, dev, arp);
  if (n === null && (gratuitous || (arp.op === ARPOP_REPLY && st.fib.devAddrType(dev, sip) === RTN_UNICAST))) {
    n = st.neigh.create(dev, sip);
  }
  if (n === null) return;
  const state = arp.op === ARPOP_REPLY && skb.pktType === PACKET_HOST ? NUD_REACHABLE : NUD_STALE;
  const override = gratuitous || lockExpired(st, n, dev);
  st.stats.learnt++;
  st.neigh.update(n, arp.shaHi, arp.shaLo, state, override ? NEIGH_UPDATE_F_OVERRIDE : 0);
}

function lockExpired(st: ArpState, n: Neighbour, dev: NetDevice): boolean {
  return ((st.machine.jiffies - n.updated - st.neigh.parms(dev).locktime) | 0) > 0;
}

/**
 * RFC 5227 section 3: an announcement. A request with sender = target; a reply must also repeat its MAC, because a
 * normal answer about oneself looks the same. Linux: arp_is_garp().
 */
function isGarp(st: ArpState, dev: NetDevice, arp: ArpHeader): boolean {
  if (arp.spa !== arp.tpa) return false;
  if (arp.op === ARPOP_REPLY && (arp.thaHi !== arp.shaHi || arp.thaLo !== arp.shaLo)) return false;
  return st.fib.devAddrType(dev, arp.spa) === RTN_UNICAST;
}

/** Whether news from unknown hosts make entries: 1 always, 2 from our subnets. Linux: arp_accept(). */
function arpAccept(inDev: InDevice, sip: number): boolean {
  const level = inDev.conf.arpAccept;
  return level === 1 || (level === 2 && onSubnet(inDev, sip));
}

function onSubnet(inDev: InDevice, addr: number): boolean {
  for (let i = 0; i < inDev.ifaList.length; i++) {
    if (((addr ^ inDev.ifaList[i].local) & inDev.ifaList[i].mask) === 0) return true;
  }
  return false;
}

/**
 * Whether a request for `tip` is left unanswered. 0 answers for every address of the host, 1 for those of the device,
 * 2 only to their own subnet, 3 not for those of scope host, 8 never. Linux: arp_ignore().
 */
function arpIgnore(st: ArpState, inDev: InDevice, sip: number, tip: number): boolean {
  switch (inDev.conf.arpIgnore) {
    case 1:
      return !confirmAddr(inDev, 0, tip, RT_SCOPE_HOST);
    case 2:
      return !confirmAddr(inDev, sip, tip, RT_SCOPE_HOST);
    case 3: {
      const owner = st.devinet.devByAddr(tip);
      const ownerDev = owner === null ? null : inDevGet(owner);
      return ownerDev === null || !confirmAddr(ownerDev, 0, tip, RT_SCOPE_LINK);
    }
    case 8:
      return true;
    default:
      return false;
  }
}

/** Whether the device has `tip` with at most `scope`, and (not 0) `sip` on the same subnet. Linux: inet_confirm_addr(). */
function confirmAddr(inDev: InDevice, sip: number, tip: number, scope: number): boolean {
  for (let i = 0; i < inDev.ifaList.length; i++) {
    const ifa = inDev.ifaList[i];
    if (ifa.local !== tip || ifa.scope > scope) continue;
    if (sip === 0 || ((sip ^ ifa.local) & ifa.mask) === 0) return true;
  }
  return false;
}

/** Whether our way back to the sender leaves by another device. Linux: arp_filter(). */
function arpFilter(st: ArpState, sip: number, tip: number, dev: NetDevice): boolean {
  const dst = st.fib.routeOutput(sip, tip, 0, 0);
  if (dst === null) return true;
  if (dst.dev === dev) return false;
  st.stats.filtered++;
  return true;
}

/** Whether we answer for a host that is reached through another device. Linux: arp_fwd_proxy(). */
function proxies(inDev: InDevice, dev: NetDevice, dst: Dst): boolean {
  return inDev.conf.proxyArp !== 0 && dst.type === RTN_UNICAST && dst.dev !== dev;
}
