/**
 * Messages that we send: errors about received packets, and replies. RFC 792, RFC 1122 section 3.2.2, RFC 1812 section
 * 4.3.2. Linux: net/ipv4/icmp.c.
 *
 * @module
 */
import { copySlab, DROP, G_IP, IFF_LOOPBACK, NET_SKB_PAD, PACKET_HOST, type SkBuff } from "../../../core/mod.ts";
import { IPPROTO_ICMP, isLbcast, isMulticast } from "../inet/contract.ts";
import { RT_SCOPE_LINK } from "../devinet/contract.ts";
import { type Dst, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } from "../fib/contract.ts";
import { ETH_P_IP, OPTIONS_NO_ROOM } from "../ipv4/contract.ts";
import {
  IP_HLEN,
  IP_MAX_MTU,
  IP_OFFSET,
  IPH_DADDR,
  IPH_FRAG_OFF,
  IPH_PROTOCOL,
  IPH_SADDR,
  IPH_TOS,
} from "../ipv4/header.ts";
import { ICMP_HLEN, icmpIsError, icmpSendCheck } from "./header.ts";
import type { IcmpState } from "./state.ts";

/** Longest error, IP header and options included (RFC 1812, 4.3.2.3). */
const ERROR_MAX = 576;
/** RFC 1812, 4.3.2.5: errors travel with precedence "internetwork control". */
const IPTOS_PREC_INTERNETCONTROL = 0xc0;
const IPTOS_TOS_MASK = 0x1e;
/** Room behind the headers for what the link layer puts in front. */
const LL_ROOM = 16;

/**
 * Sends an error about a packet, unless one of the rules against storms forbids it. `info` goes into bytes 4 to 7: the
 * MTU, the pointer << 24, or the gateway. Linux: __icmp_send(), net/ipv4/icmp.c. Borrows `skb`.
 */
export function icmpSend(st: IcmpState, skb: SkBuff, type: number, code: number, info: number): void {
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpSend, skb, type, code, skb.dev);
  if (st.busy || skb.networkHeader < 0 || !mayAnswer(skb)) return;
  if (icmpIsError(type) && quotesError(skb)) return;
  const limited = st.limits.limited(type, code);
  if (limited && !st.limits.globalAllow()) return;
  const options = st.ipv4.optionsEcho(skb);
  if (options === OPTIONS_NO_ROOM) return;
  const view = skb.view;
  const iph = skb.networkHeader;
  const daddr = options !== null && st.ipv4.optionsFaddr() !== 0
    ? st.ipv4.optionsFaddr()
    : view.getInt32(iph + IPH_SADDR);
  const asked = view.getUint8(iph + IPH_TOS);
  const tos = icmpIsError(type) ? (asked & IPTOS_TOS_MASK) | IPTOS_PREC_INTERNETCONTROL : asked;
  const saddr = errorSource(st, skb);
  const rt = st.fib.routeOutput(daddr, saddr, 0, tos);
  if (rt === null) return;
  if (limited && !st.limits.hostAllow(daddr, (rt.dev.flags & IFF_LOOPBACK) !== 0)) return;
  const error = buildError(st, skb, type, code, info, rt, options === null ? 0 : options.length);
  if (error !== null) transmit(st, error, rt, saddr !== 0 ? saddr : rt.prefsrc, daddr, tos, options);
}

/** RFC 1122, 3.2.2: about packets of one host to one host, and of a datagram's fragments only about the first. */
function mayAnswer(skb: SkBuff): boolean {
  const view = skb.view;
  const iph = skb.networkHeader;
  if (skb.pktType !== PACKET_HOST) return false;
  const dst = skb.dst as Dst | null;
  if (dst !== null && (dst.type === RTN_BROADCAST || dst.type === RTN_MULTICAST)) return false;
  if ((view.getUint16(iph + IPH_FRAG_OFF) & IP_OFFSET) !== 0) return false;
  const saddr = view.getInt32(iph + IPH_SADDR);
  return saddr !== 0 && !isMulticast(saddr) && !isLbcast(saddr);
}

/** Whether a packet is an ICMP error itself, or an ICMP message that nobody can tell from one. */
function quotesError(skb: SkBuff): boolean {
  if (skb.view.getUint8(skb.networkHeader + IPH_PROTOCOL) !== IPPROTO_ICMP) return false;
  const hlen = (skb.view.getUint8(skb.networkHeader) & 15) << 2;
  if (skb.networkHeader + hlen >= skb.tail && !skb.mayPull(skb.networkHeader + hlen - skb.data + 1)) return true;
  return icmpIsError(skb.view.getUint8(skb.networkHeader + hlen));
}

/** The source of an error: the address that was asked if it is ours; 0: what routing chooses. */
function errorSource(st: IcmpState, skb: SkBuff): number {
  const view = skb.view;
  const iph = skb.networkHeader;
  const dst = skb.dst as Dst | null;
  const daddr = view.getInt32(iph + IPH_DADDR);
  if ((dst === null ? st.fib.addrType(daddr) : dst.type) === RTN_LOCAL) return daddr;
  if (st.conf.errorsUseInboundIfaddr === 0) return 0;
  const dev = st.net.devByIndex[skb.skbIif] ?? null;
  return dev === null ? 0 : st.devinet.selectAddr(dev, view.getInt32(iph + IPH_SADDR), RT_SCOPE_LINK);
}

/** Header and as much of the packet as fits: the error within 576 bytes and the path's MTU. Null: no room, no memory. */
function buildError(
  st: IcmpState,
  skb: SkBuff,
  type: number,
  code: number,
  info: number,
  rt: Dst,
  optlen: number,
): SkBuff | null {
  const room = Math.min(st.fib.mtu(rt), ERROR_MAX) - IP_HLEN - optlen - ICMP_HLEN;
  if (room <= IP_HLEN) return null;
  const whole = skb.len + skb.data - skb.networkHeader;
  const n = Math.min(whole, room);
  const error = st.machine.skbs.alloc(NET_SKB_PAD + ICMP_HLEN + n);
  if (error === null) return null;
  error.reserve(NET_SKB_PAD);
  const at = error.put(ICMP_HLEN + n);
  const view = error.view;
  view.setUint8(at, type);
  view.setUint8(at + 1, code);
  view.setInt32(at + 4, info);
  quote(st, skb, error, at + ICMP_HLEN, n);
  icmpSendCheck(error);
  error.ignoreDf = true;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpError, error, type, code, rt);
  return error;
}

/** Copies the first `n` bytes of a packet from its IP header on, wherever its `data` is. Borrows `skb`. */
function quote(st: IcmpState, skb: SkBuff, to: SkBuff, dst: number, n: number): void {
  const linear = Math.min(n, skb.tail - skb.networkHeader);
  copySlab(st.ledger, st.siteQuote, to.slab, dst, skb.slab, skb.networkHeader, linear);
  if (n > linear) skb.pool.copyBits(skb, skb.tail - skb.data, to.slab, dst + linear, n - linear, st.siteQuote);
}

/** Hands a message down. Takes ownership of `skb`. */
function transmit(
  st: IcmpState,
  skb: SkBuff,
  rt: Dst,
  saddr: number,
  daddr: number,
  tos: number,
  options: Uint8Array | null,
): void {
  skb.dst = rt;
  skb.dev = rt.dev;
  skb.protocol = ETH_P_IP;
  skb.transportHeader = skb.data;
  st.busy = true;
  try {
    if (options !== null) sendWithOptions(st, skb, saddr, daddr, tos, options);
    // Linux: ip_push_pending_frames() counts what did not leave, ip_queue_xmit() does not.
    else if (st.ipv4.queueXmit(skb, saddr, daddr, IPPROTO_ICMP, tos, 0, false) < 0) st.mib.ip.OutDiscards++;
  } finally {
    st.busy = false;
  }
}

/** Takes ownership of `skb`. */
function sendWithOptions(
  st: IcmpState,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  tos: number,
  options: Uint8Array,
): void {
  const cork = st.cork;
  cork.saddr = saddr;
  cork.daddr = daddr;
  cork.tos = tos;
  cork.options = options;
  st.ipv4.sendSkb(skb, cork);
}

/**
 * Sends a message back to where one came from: `reply` holds it, `data` at its ICMP header with the checksum done;
 * `request` says from where to where. Linux: icmp_reply(), net/ipv4/icmp.c. Borrows `request`. Takes ownership of
 * `reply`.
 */
export function icmpReply(st: IcmpState, request: SkBuff, reply: SkBuff): void {
  const type = reply.view.getUint8(reply.data);
  const options = st.ipv4.optionsEcho(request);
  const limited = st.limits.limited(type, 0);
  if (st.busy || options === OPTIONS_NO_ROOM || (limited && !st.limits.globalAllow())) {
    reply.consume();
    return;
  }
  const view = request.view;
  const iph = request.networkHeader;
  const faddr = options === null ? 0 : st.ipv4.optionsFaddr();
  const daddr = faddr !== 0 ? faddr : view.getInt32(iph + IPH_SADDR);
  const tos = view.getUint8(iph + IPH_TOS);
  const saddr = st.ipv4.specDst(request);
  const rt = st.fib.routeOutput(daddr, saddr, 0, tos);
  if (rt === null || (limited && !st.limits.hostAllow(daddr, (rt.dev.flags & IFF_LOOPBACK) !== 0))) {
    reply.consume();
    return;
  }
  const optlen = options === null ? 0 : options.length;
  const ready = fitReply(st, reply, rt, optlen);
  if (ready === null) return;
  ready.ignoreDf = true;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.icmpReply, ready, type, 0, rt);
  transmit(st, ready, rt, saddr !== 0 ? saddr : rt.prefsrc, daddr, tos, options);
}

/**
 * Room for the headers; and where the request came in fragments of another size than ours will have, one copy, so that
 * the reply is cut at our MTU as Linux does it. Null: no memory. Takes ownership of `skb`.
 */
function fitReply(st: IcmpState, skb: SkBuff, rt: Dst, optlen: number): SkBuff | null {
  let reply: SkBuff = skb;
  const mtu = Math.min(st.fib.mtu(rt), IP_MAX_MTU) - IP_HLEN - optlen;
  if (skb.fragList !== null && skb.len > mtu && !partsAre(skb, mtu & ~7)) {
    const copy = skb.copy();
    if (copy === null) {
      st.net.drop(skb, DROP.NOMEM);
      return null;
    }
    skb.consume();
    reply = copy;
  }
  if (reply.cowHead(IP_HLEN + optlen + LL_ROOM)) return reply;
  st.net.drop(reply, DROP.NOMEM);
  return null;
}

/** Whether all parts of a datagram but the last have `size` bytes. */
function partsAre(skb: SkBuff, size: number): boolean {
  let first = skb.len;
  for (let part = skb.fragList; part !== null; part = part.next) {
    first -= part.len;
    if (part.len !== size && (part.next !== null || part.len > size)) return false;
  }
  return first === size;
}

/**
 * A new packet over the bytes of a received one: the request's buffers become the reply's, no payload is copied.
 * Linux copies here. Takes ownership of `skb`.
 */
export function icmpTurnAround(st: IcmpState, skb: SkBuff): SkBuff {
  const shared = skb.cloned && skb.slab.refCount(skb.head) > 1;
  skb.slab.get(skb.head);
  const reply = st.machine.skbs.build(skb.slab, skb.head, skb.end - skb.head);
  reply.reserve(skb.data - skb.head);
  reply.put(skb.tail - skb.data);
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    reply.addFrag(frag.slab, frag.page, frag.offset, frag.size);
  }
  skb.nrFrags = 0;
  reply.fragList = skb.fragList;
  skb.fragList = null;
  reply.len = skb.len;
  reply.dataLen = skb.dataLen;
  reply.truesize = skb.truesize;
  reply.cloned = shared;
  skb.len = skb.tail - skb.data;
  skb.dataLen = 0;
  return reply;
}
