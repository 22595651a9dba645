/**
 * Transmit: a datagram is built, gets its header, passes LOCAL_OUT and POST_ROUTING, is fragmented if it must, and goes
 * to its neighbour. RFC 791, RFC 1122 section 3.3. Linux: net/ipv4/ip_output.c.
 *
 * @module
 */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { SnmpMib } from "../inet/contract.ts";
import * as inet from "../inet/contract.ts";
import * as netfilter from "../netfilter/contract.ts";
import * as devinet from "../devinet/contract.ts";
import type { Dst } from "../fib/contract.ts";
import * as fib from "../fib/contract.ts";
import type { IpCork, IpOptions } from "./contract.ts";
import * as ipv4 from "./contract.ts";
import * as ipv4Header from "./header.ts";
import * as fragment from "./fragment.ts";
import * as options from "./options.ts";
import type { Ipv4State } from "./state.ts";
import * as state from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ipDoFragment, ipFragment } = fragment;
const { ipOptionsBuild } = options;
const { ipcbClear } = state;
const {
  CHECKSUM_NONE,
  CHECKSUM_UNNECESSARY,
  copyFromUser,
  DROP,
  ERRNO,
  G_IP,
  gsoSegment,
  IFF_LOOPBACK,
  NET_SKB_PAD,
  NET_XMIT_CN,
  netifRx,
  PACKET_LOOPBACK,
  skbTruesize,
  SLOT_LARGE,
  SLOT_SIZE,
} = core;
const { IPPROTO_ICMP, isMulticast } = inet;
const { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING } = netfilter;
const { inDevGet } = devinet;
const { RTN_BLACKHOLE, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_PROHIBIT, RTN_UNICAST } = fib;
const {
  ETH_P_IP,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_PROBE,
  IP_PMTUDISC_WANT,
  IPSKB_FORWARDED,
  IPSKB_REROUTED,
  SKB_NO_MC_LOOP,
} = ipv4;
const {
  IP_DF,
  IP_HLEN,
  IP_MAX_MTU,
  IPH_DADDR,
  IPH_ID,
  IPH_PROTOCOL,
  IPH_SADDR,
  IPH_TOT_LEN,
  IPH_TTL,
  ipSendCheck,
  rtTos2priority,
} = ipv4Header;

/** LL_RESERVED_SPACE of an Ethernet device and the 15 bytes that Linux aligns with: part of what a socket pays. */
const LL_ROOM = 16 + 15;
/** Linear bytes of one buffer behind the headroom. */
const LINEAR_MAX = SLOT_SIZE[SLOT_LARGE] - NET_SKB_PAD;
const ICMP_TIMESTAMPREPLY = 14;
/** IP_PMTUDISC_OMIT: DF never, and fragments are allowed. */
const IP_PMTUDISC_OMIT = 5;

/** What leaves in pieces although it may carry DF. Linux: ip_sk_ignore_df(). */
function ignoreDf(pmtudisc: number): boolean {
  return pmtudisc < IP_PMTUDISC_DO || pmtudisc === IP_PMTUDISC_OMIT;
}

/** The MTU for a datagram: the path's, or the device's for who probes. Linux: ip_setup_cork(). */
function corkMtu(st: Ipv4State, cork: IpCork, dst: Dst): number {
  return cork.pmtudisc < IP_PMTUDISC_PROBE ? st.fib.mtu(dst) : Math.min(dst.dev.mtu, IP_MAX_MTU);
}

/**
 * Builds a datagram from a caller's bytes, in parts of the right size where it is larger than the MTU, so that
 * fragmentation needs no copy. Linux: ip_make_skb(), __ip_append_data(), net/ipv4/ip_output.c.
 */
export function ipMakeSkb(st: Ipv4State, cork: IpCork): SkBuff | null {
  const dst = cork.dst;
  if (dst === null) {
    cork.errno = -ERRNO.ENETUNREACH;
    return null;
  }
  const hlen = IP_HLEN + (cork.options === null ? 0 : cork.options.length);
  const mtu = corkMtu(st, cork, dst);
  cork.mtu = mtu;
  const total = cork.transhdrlen + cork.len;
  const mayCut = ignoreDf(cork.pmtudisc);
  cork.errno = 0;
  const skb = total + hlen <= mtu
    ? buildPart(st, cork, 0, cork.transhdrlen, total, hlen)
    : buildParts(st, cork, total, hlen, mayCut ? IP_MAX_MTU : mtu);
  if (skb === null) {
    if (cork.errno === 0) cork.errno = -ERRNO.ENOBUFS;
    return null;
  }
  skb.dst = dst;
  skb.dev = dst.dev;
  skb.protocol = ETH_P_IP;
  skb.transportHeader = skb.data;
  skb.ignoreDf = mayCut;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipMakeSkb, skb, cork.len, partsOf(skb), dst);
  return skb;
}

/** A datagram larger than the MTU, in parts; null with an errno where it may not be longer than `max`. */
function buildParts(st: Ipv4State, cork: IpCork, total: number, hlen: number, max: number): SkBuff | null {
  if (total > max - hlen) {
    cork.errno = -ERRNO.EMSGSIZE;
    return null;
  }
  const each = (cork.mtu - hlen) & ~7;
  const skb = buildPart(st, cork, 0, cork.transhdrlen, each, hlen);
  if (skb === null || appendParts(st, cork, skb, total, each, hlen)) return skb;
  skb.consume();
  return null;
}

function partsOf(skb: SkBuff): number {
  let parts = 1;
  for (let part = skb.fragList; part !== null; part = part.next) parts++;
  return parts;
}

/** One buffer: room for all headers, `hdr` bytes for the caller, then payload from `from` on. `size` counts both. */
function buildPart(
  st: Ipv4State,
  cork: IpCork,
  from: number,
  hdr: number,
  size: number,
  hlen: number,
): SkBuff | null {
  if (size > LINEAR_MAX) return buildLarge(st, cork, from, hdr, size, hlen);
  const skb = st.machine.skbs.alloc(NET_SKB_PAD + size, skbTruesize(LL_ROOM + hlen + size));
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD);
  copyFromUser(st.ledger, cork.site, skb.slab, skb.put(size) + hdr, cork.buf, cork.off + from, size - hdr);
  return skb;
}

/** The same with its payload in frags. */
function buildLarge(
  st: Ipv4State,
  cork: IpCork,
  from: number,
  hdr: number,
  size: number,
  hlen: number,
): SkBuff | null {
  const pool = st.machine.skbs;
  const skb = pool.alloc(NET_SKB_PAD + hdr, skbTruesize(LL_ROOM + hlen + hdr));
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD);
  skb.put(hdr);
  for (let done = 0; done < size - hdr;) {
    const room = pool.addPage(skb, size - hdr - done);
    if (room === 0) {
      skb.consume();
      return null;
    }
    const frag = skb.frags[skb.nrFrags - 1];
    copyFromUser(st.ledger, cork.site, frag.slab, frag.offset, cork.buf, cork.off + from + done, room);
    done += room;
  }
  return skb;
}

/** The rest of a datagram behind its first part, on the fragment list. False: no memory. */
function appendParts(
  st: Ipv4State,
  cork: IpCork,
  skb: SkBuff,
  total: number,
  each: number,
  hlen: number,
): boolean {
  let last: SkBuff | null = null;
  for (let at = each; at < total; at += each) {
    const part = buildPart(st, cork, at - cork.transhdrlen, 0, Math.min(each, total - at), hlen);
    if (part === null) return false;
    part.id = skb.id;
    part.cause = skb.cause;
    if (last === null) skb.fragList = part;
    else last.next = part;
    last = part;
    skb.len += part.len;
    skb.dataLen += part.len;
    skb.truesize += part.truesize;
  }
  return true;
}

/**
 * Pushes the IP header and sends. 0 or a negative errno. Linux: __ip_make_skb(), ip_send_skb(),
 * net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipSendSkb(st: Ipv4State, skb: SkBuff, cork: IpCork): number {
  const dst = skb.dst as Dst;
  const optlen = cork.options === null ? 0 : cork.options.length;
  const ttl = cork.ttl !== 0 ? cork.ttl : isMulticast(cork.daddr) ? 1 : hopLimit(st, dst);
  if (cork.protocol === IPPROTO_ICMP) icmpOutCount(st.mib, skb.view.getUint8(skb.data));
  const pmtudisc = cork.pmtudisc;
  const hlen = IP_HLEN + optlen;
  const df = pmtudisc === IP_PMTUDISC_DO || pmtudisc === IP_PMTUDISC_PROBE ||
    (pmtudisc === IP_PMTUDISC_WANT && dst.pmtuLocked !== true && skb.len + hlen <= cork.mtu);
  const id = cork.ident >= 0 ? cork.ident : selectIdent(st, skb, cork.saddr, cork.daddr, cork.protocol, df);
  pushHeader(skb, hlen, cork.saddr, cork.daddr, cork.protocol, cork.tos, ttl, id, df);
  if (cork.options !== null) {
    copyFromUser(st.ledger, st.siteOptions, skb.slab, skb.data + IP_HLEN, cork.options, 0, optlen);
    ipOptionsBuild(st, skb.view, skb.data);
  }
  if (skb.priority === 0) skb.priority = rtTos2priority(cork.tos);
  const rc = ipLocalOut(st, skb);
  if (rc === 0 || rc === NET_XMIT_CN) return 0;
  st.mib.ip.OutDiscards++;
  return rc > 0 ? -ERRNO.ENOBUFS : rc;
}

/**
 * Pushes an IP header without options in front of a packet that is routed, and sends.
 * Linux: __ip_queue_xmit(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipQueueXmit(
  st: Ipv4State,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  protocol: number,
  tos: number,
  ttl: number,
  df: boolean,
  ident: number = -1,
): number {
  if (!skb.cowHead(IP_HLEN)) {
    st.mib.ip.OutDiscards++;
    st.net.drop(skb, DROP.NOMEM);
    return -ERRNO.ENOMEM;
  }
  if (protocol === IPPROTO_ICMP) icmpOutCount(st.mib, skb.view.getUint8(skb.data));
  if (skb.transportHeader < 0) skb.transportHeader = skb.data;
  const id = ident >= 0 ? ident : selectIdent(st, skb, saddr, daddr, protocol, df);
  pushHeader(skb, IP_HLEN, saddr, daddr, protocol, tos, ttl !== 0 ? ttl : hopLimit(st, skb.dst as Dst), id, df);
  if (skb.priority === 0) skb.priority = rtTos2priority(tos);
  return ipLocalOut(st, skb);
}

/** The same with options, see {@linkcode Ipv4.queueXmitOptions}. Takes ownership of `skb`. */
export function ipQueueXmitOptions(
  st: Ipv4State,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  protocol: number,
  tos: number,
  ttl: number,
  df: boolean,
  ident: number,
  options: IpOptions,
): number {
  const { data, faddr, srr } = options;
  const dst = skb.dst as Dst;
  const hlen = IP_HLEN + data.length;
  if (options.strict && dst.gateway !== 0) {
    st.mib.ip.OutNoRoutes++;
    st.net.drop(skb, DROP.IP_OUTNOROUTES);
    return -ERRNO.EHOSTUNREACH;
  }
  if (!skb.cowHead(hlen)) {
    st.mib.ip.OutDiscards++;
    st.net.drop(skb, DROP.NOMEM);
    return -ERRNO.ENOMEM;
  }
  if (skb.transportHeader < 0) skb.transportHeader = skb.data;
  const to = faddr !== 0 ? faddr : daddr;
  const id = ident >= 0 ? ident : selectIdent(st, skb, saddr, to, protocol, df);
  pushHeader(skb, hlen, saddr, to, protocol, tos, ttl !== 0 ? ttl : hopLimit(st, dst), id, df);
  const at = skb.data + IP_HLEN;
  copyFromUser(st.ledger, st.siteOptions, skb.slab, at, data, 0, data.length);
  if (srr >= 0) skb.view.setInt32(at + srr + data[srr + 1] - 4, daddr);
  ipOptionsBuild(st, skb.view, skb.data);
  if (skb.priority === 0) skb.priority = rtTos2priority(tos);
  return ipLocalOut(st, skb);
}

/** The TTL of what says none: the route's, or the net's. Linux: ip4_dst_hoplimit(), net/ipv4/route.c. */
function hopLimit(st: Ipv4State, dst: Dst): number {
  const m = dst.metrics;
  return m !== undefined && m !== null && m.hoplimit !== 0 ? m.hoplimit : st.conf.defaultTtl;
}

/** RFC 6864: what will never be fragmented needs no identification; a constant one tells nothing. */
function selectIdent(
  st: Ipv4State,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  protocol: number,
  df: boolean,
): number {
  if (df && !skb.ignoreDf) return 0;
  return st.idents.select(saddr, daddr, protocol, skb.gsoSegs > 1 ? skb.gsoSegs : 1);
}

/** All fields of the header but total length and checksum, which ipLocalOut() completes; a word at a time. */
function pushHeader(
  skb: SkBuff,
  hlen: number,
  saddr: number,
  daddr: number,
  protocol: number,
  tos: number,
  ttl: number,
  id: number,
  df: boolean,
): void {
  const at = skb.push(hlen);
  const view = skb.view;
  skb.networkHeader = at;
  view.setInt32(at, 0x40000000 | (hlen << 22) | ((tos & 0xff) << 16));
  view.setInt32(at + IPH_ID, (id << 16) | (df ? IP_DF : 0));
  view.setInt32(at + IPH_TTL, (ttl << 24) | (protocol << 16));
  view.setInt32(at + IPH_SADDR, saddr);
  view.setInt32(at + IPH_DADDR, daddr);
}

/**
 * Completes length and checksum of the header at `data`, runs LOCAL_OUT and sends.
 * Linux: ip_local_out(), __ip_local_out(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipLocalOut(st: Ipv4State, skb: SkBuff): number {
  const view = skb.view;
  const at = skb.data;
  skb.networkHeader = at;
  st.mib.ip.OutRequests++;
  ipcbClear(st, skb);
  view.setUint16(at + IPH_TOT_LEN, skb.len);
  ipSendCheck(view, at);
  skb.protocol = ETH_P_IP;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipLocalOut, skb, view.getUint16(at + IPH_ID), 0, skb.dst);
  if (st.nf.active[NF_INET_LOCAL_OUT] === 0) return dstOutput(st, skb);
  return st.nf.run(NF_INET_LOCAL_OUT, skb, null, (skb.dst as Dst).dev, dstOutput, st);
}

/** Goes the way of the route. Linux: dst_output(), include/net/dst.h. Takes ownership of `skb`. */
export function dstOutput(st: Ipv4State, skb: SkBuff): number {
  const dst = skb.dst as Dst;
  const type = dst.type;
  if (type === RTN_UNICAST || type === RTN_LOCAL) return ipOutput(st, skb, dst);
  if (type === RTN_BROADCAST || type === RTN_MULTICAST) return ipMcOutput(st, skb, dst);
  return ipOutputRefused(st, skb, type);
}

/** The route says: nowhere. Linux: dst_blackhole, ip_rt_bug(). Takes ownership of `skb`. */
function ipOutputRefused(st: Ipv4State, skb: SkBuff, type: number): number {
  st.mib.ip.OutNoRoutes++;
  st.net.drop(skb, DROP.IP_OUTNOROUTES);
  return type === RTN_BLACKHOLE ? -ERRNO.EINVAL : type === RTN_PROHIBIT ? -ERRNO.EACCES : -ERRNO.EHOSTUNREACH;
}

/** Linux: ip_output(), net/ipv4/ip_output.c. Takes ownership of `skb`. */
function ipOutput(st: Ipv4State, skb: SkBuff, dst: Dst): number {
  const from = skb.dev;
  const dev = dst.dev;
  if (from !== dev) skb.dev = dev;
  skb.protocol = ETH_P_IP;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipOutput, skb, dst.type, 0, dst);
  if (st.nf.active[NF_INET_POST_ROUTING] === 0) return ipFinishOutput(st, skb);
  return postRouting(st, skb, (skb.cb[st.cbFlags] & IPSKB_FORWARDED) !== 0 ? from : null, dev);
}

/** Takes ownership of `skb`. */
function postRouting(st: Ipv4State, skb: SkBuff, inDev: NetDevice | null, outDev: NetDevice): number {
  if (st.nf.active[NF_INET_POST_ROUTING] === 0 || (skb.cb[st.cbFlags] & IPSKB_REROUTED) !== 0) {
    return ipFinishOutput(st, skb);
  }
  return st.nf.run(NF_INET_POST_ROUTING, skb, inDev, outDev, ipFinishOutput, st);
}

/**
 * Multicast and broadcast: what we are listening for ourselves comes back in a copy.
 * Linux: ip_mc_output(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
function ipMcOutput(st: Ipv4State, skb: SkBuff, dst: Dst): number {
  const dev = dst.dev;
  skb.dev = dev;
  skb.protocol = ETH_P_IP;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipOutput, skb, dst.type, 0, dst);
  const multicast = dst.type === RTN_MULTICAST;
  if ((dev.flags & IFF_LOOPBACK) === 0 && (!multicast || wantsLoop(dev, skb))) loopBack(st, skb, dev);
  if (multicast && skb.view.getUint8(skb.networkHeader + IPH_TTL) === 0) {
    // RFC 1112 section 6.1: a TTL of 0 never leaves the host. It was looped back; nothing is lost.
    skb.consume();
    return 0;
  }
  return postRouting(st, skb, null, dev);
}

function wantsLoop(dev: NetDevice, skb: SkBuff): boolean {
  const inDev = inDevGet(dev);
  return (skb.flags & SKB_NO_MC_LOOP) === 0 && inDev !== null &&
    inDev.mcList.has(skb.view.getInt32(skb.networkHeader + IPH_DADDR));
}

/** Sends a copy through POST_ROUTING to ourselves. Borrows `skb`. */
function loopBack(st: Ipv4State, skb: SkBuff, dev: NetDevice): void {
  const twin = skb.clone();
  if (twin === null) return;
  if (st.nf.active[NF_INET_POST_ROUTING] === 0) devLoopbackXmit(st, twin);
  else st.nf.run(NF_INET_POST_ROUTING, twin, null, dev, devLoopbackXmit, st);
}

/** Linux: dev_loopback_xmit(), net/core/dev.c. Takes ownership of `skb`. */
function devLoopbackXmit(st: Ipv4State, skb: SkBuff): number {
  skb.macHeader = skb.data;
  skb.pktType = PACKET_LOOPBACK;
  if (skb.ipSummed === CHECKSUM_NONE) skb.ipSummed = CHECKSUM_UNNECESSARY;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.devLoopbackXmit, skb, 0, 0, skb.dev);
  netifRx(skb);
  return 0;
}

/**
 * Larger than the MTU: in fragments; else as it is. Super-packets are judged by their segments.
 * Linux: ip_finish_output(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipFinishOutput(st: Ipv4State, skb: SkBuff): number {
  const mtu = ipSkbDstMtu(st, skb);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipFinishOutput, skb, mtu, 0, skb.dev);
  if (skb.gsoSize !== 0) return ipFinishOutputGso(st, skb, mtu);
  if (skb.len > mtu || skb.cb[st.cbFragMaxSize] !== 0) return ipFragment(st, skb, mtu);
  return ipFinishOutput2(st, skb);
}

/** The MTU for a packet on its way out. Linux: ip_skb_dst_mtu(), include/net/ip.h. Borrows `skb`. */
export function ipSkbDstMtu(st: Ipv4State, skb: SkBuff): number {
  const dst = skb.dst as Dst;
  return (skb.cb[st.cbFlags] & IPSKB_FORWARDED) !== 0 ? forwardMtu(st, dst) : st.fib.mtu(dst);
}

/**
 * The MTU that forwarded packets obey. A path MTU that was learnt does not count, for anybody may tell it, unless it is
 * below min_pmtu or ip_forward_use_pmtu is set. Linux: ip_dst_mtu_maybe_forward(), include/net/ip.h.
 */
export function forwardMtu(st: Ipv4State, dst: Dst): number {
  if (dst.pmtu === 0 || dst.pmtuLocked === true || st.conf.fwdUsePmtu !== 0) return st.fib.mtu(dst);
  return Math.min(dst.mtu || dst.dev.mtu, IP_MAX_MTU);
}

/** Bytes of one segment of a super-packet from the IP header on. Linux: skb_gso_network_seglen(). Borrows `skb`. */
export function skbGsoNetworkSeglen(skb: SkBuff): number {
  const udp = skb.view.getUint8(skb.networkHeader + IPH_PROTOCOL) === 17;
  const thlen = udp ? 8 : (skb.view.getUint8(skb.transportHeader + 12) >>> 4) << 2;
  return skb.transportHeader - skb.networkHeader + thlen + skb.gsoSize;
}

/** Linux: ip_finish_output_gso(), net/ipv4/ip_output.c. Takes ownership of `skb`. */
function ipFinishOutputGso(st: Ipv4State, skb: SkBuff, mtu: number): number {
  if (skbGsoNetworkSeglen(skb) <= mtu) return ipFinishOutput2(st, skb);
  skb.macHeader = skb.data;
  let segs = gsoSegment(skb, skb.dev!);
  let rc = 0;
  while (segs !== null) {
    const next: SkBuff | null = segs.next;
    segs.next = null;
    const err = segs.len > mtu ? ipDoFragment(st, segs, mtu) : ipFinishOutput2(st, segs);
    if (err !== 0 && rc === 0) rc = err;
    segs = next;
  }
  return rc;
}

/** To the next hop's neighbour entry. Linux: ip_finish_output2(), net/ipv4/ip_output.c. Takes ownership of `skb`. */
export function ipFinishOutput2(st: Ipv4State, skb: SkBuff): number {
  const dst = skb.dst as Dst;
  const mib = st.mib;
  if (dst.type !== RTN_UNICAST) countMany(mib, dst.type);
  mib.ip.OutTransmits++;
  mib.ipExt.OutOctets += skb.len;
  const hop = dst.gateway !== 0 ? dst.gateway : skb.view.getInt32(skb.networkHeader + IPH_DADDR);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipFinishOutput2, skb, hop, 0, dst);
  let neigh = dst.neigh;
  if (neigh === null || neigh.dead || neigh.primaryKey !== hop) {
    neigh = dst.neigh = st.neigh.lookup(dst.dev, hop) ?? st.neigh.create(dst.dev, hop);
    if (neigh === null) return noNeighbour(st, skb);
  }
  return st.neigh.output(neigh, skb);
}

function countMany(mib: SnmpMib, type: number): void {
  if (type === RTN_MULTICAST) mib.ipExt.OutMcastPkts++;
  else if (type === RTN_BROADCAST) mib.ipExt.OutBcastPkts++;
}

/** The table is full. Takes ownership of `skb`. */
function noNeighbour(st: Ipv4State, skb: SkBuff): number {
  st.net.drop(skb, DROP.NEIGH_CREATEFAIL);
  return -ERRNO.ENOBUFS;
}

/**
 * Counts an ICMP message that we send. A timestamp reply counts as an echo reply: observed, Linux 6.18 takes the type from
 * a flow in which icmp_reply() left it 0. Linux: icmp_out_count(), net/ipv4/icmp.c.
 */
function icmpOutCount(mib: SnmpMib, type: number): void {
  const icmp = mib.icmp;
  icmp.OutMsgs++;
  mib.icmpMsg.outType[type === ICMP_TIMESTAMPREPLY ? 0 : type]++;
  switch (type) {
    case 0:
    case ICMP_TIMESTAMPREPLY:
      icmp.OutEchoReps++;
      break;
    case 3:
      icmp.OutDestUnreachs++;
      break;
    case 5:
      icmp.OutRedirects++;
      break;
    case 8:
      icmp.OutEchos++;
      break;
    case 11:
      icmp.OutTimeExcds++;
      break;
    case 12:
      icmp.OutParmProbs++;
      break;
  }
}
