/**
 * IP options: checked and obeyed on receive, carried back in replies, kept or blanked in fragments.
 * RFC 791 section 3.1, RFC 1122 section 3.2.1.8, RFC 1812 section 5.2.4, RFC 2113. Linux: net/ipv4/ip_options.c.
 *
 * Options are parsed where they lie; what was found is kept in `skb.cb` (IPCB_*), so that nothing is allocated. As in
 * Linux, receiving *writes into the packet*: record route and timestamp have our entry before anything else sees them,
 * and the header checksum is put right again only when the packet is forwarded.
 *
 * @module
 */
import { PACKET_HOST, type SkBuff, zero } from "../../../core/mod.ts";
import { inDevGet, RT_SCOPE_LINK } from "../devinet/contract.ts";
import { type Dst, RTN_LOCAL, RTN_UNICAST } from "../fib/contract.ts";
import {
  IPSKB_OPT_CHANGED,
  IPSKB_ROUTER_ALERT,
  IPSKB_RR_NEEDADDR,
  IPSKB_SRR_HIT,
  IPSKB_STRICTROUTE,
  IPSKB_TS_NEEDADDR,
  IPSKB_TS_NEEDTIME,
  OPTIONS_NO_ROOM,
} from "./contract.ts";
import {
  IP_HLEN,
  IPH_DADDR,
  IPH_SADDR,
  IPOPT_CIPSO,
  IPOPT_COPY,
  IPOPT_END,
  IPOPT_LSRR,
  IPOPT_NOOP,
  IPOPT_RA,
  IPOPT_RR,
  IPOPT_SSRR,
  IPOPT_TIMESTAMP,
  IPOPT_TS_PRESPEC,
  IPOPT_TS_TSANDADDR,
  IPOPT_TS_TSONLY,
  ipSendCheck,
} from "./header.ts";
import type { Ipv4State } from "./state.ts";

const SHIFT_RR = 0;
const SHIFT_TS = 8;
const SHIFT_SRR = 16;
const SHIFT_CIPSO = 24;
const MS_PER_DAY = 86_400_000;
/** Kind, length, domain of interpretation, and a tag of two bytes. */
const CIPSO_MIN = 8;
const ICMP_PARAMETERPROB = 12;

/** Milliseconds since midnight UTC: what the timestamp option and ICMP timestamps hold. Linux: inet_current_timestamp(). */
export function inetCurrentTimestamp(st: Ipv4State): number {
  return Math.floor(st.machine.platform.wallClock()) % MS_PER_DAY;
}

/**
 * The address that we answer a received packet from. Linux: fib_compute_spec_dst(), net/ipv4/fib_frontend.c.
 * Borrows `skb`.
 */
export function specDst(st: Ipv4State, skb: SkBuff): number {
  const at = skb.networkHeader;
  const dst = skb.dst as Dst | null;
  if (dst !== null && dst.type === RTN_LOCAL) return skb.view.getInt32(at + IPH_DADDR);
  const saddr = skb.view.getInt32(at + IPH_SADDR);
  const back = st.fib.routeOutput(saddr, 0, 0, 0);
  if (back !== null && back.prefsrc !== 0) return back.prefsrc;
  return st.devinet.selectAddr(skb.dev, saddr, RT_SCOPE_LINK);
}

function found(st: Ipv4State, skb: SkBuff, shift: number): number {
  return (skb.cb[st.cbOpt] >>> shift) & 0xff;
}

function note(st: Ipv4State, skb: SkBuff, shift: number, offset: number): void {
  skb.cb[st.cbOpt] |= offset << shift;
}

/**
 * Parses the options of a received packet, enters our address and time, and notes in `skb.cb` what was found.
 * Returns 0, or the offset from the IP header that a parameter problem points at; what stood before it is noted.
 * The head must be private. Linux: ip_options_compile(). Borrows `skb`.
 */
export function ipOptionsCompile(st: Ipv4State, skb: SkBuff): number {
  const view = skb.view;
  const iph = skb.networkHeader;
  const hlen = (view.getUint8(iph) & 15) << 2;
  skb.cb[st.cbOptlen] = hlen - IP_HLEN;
  skb.cb[st.cbOpt] = 0;
  for (let at = IP_HLEN; at < hlen;) {
    const kind = view.getUint8(iph + at);
    if (kind === IPOPT_NOOP) {
      at++;
      continue;
    }
    if (kind === IPOPT_END) {
      // What is behind the end is nobody's: old bytes of the sender's memory are not passed on.
      zero(skb.slab, iph + at, hlen - at);
      skb.cb[st.cbFlags] |= IPSKB_OPT_CHANGED;
      return 0;
    }
    if (hlen - at < 2) return at;
    const len = view.getUint8(iph + at + 1);
    if (len < 2 || len > hlen - at) return at;
    const bad = compileOne(st, skb, kind, at, len);
    if (bad !== 0) return bad;
    at += len;
  }
  return 0;
}

/** One option of at least two bytes that fits. Returns as ipOptionsCompile. */
function compileOne(st: Ipv4State, skb: SkBuff, kind: number, at: number, len: number): number {
  switch (kind) {
    case IPOPT_RR:
      return compileRecordRoute(st, skb, at, len);
    case IPOPT_TIMESTAMP:
      return compileTimestamp(st, skb, at, len);
    case IPOPT_LSRR:
    case IPOPT_SSRR:
      return compileSourceRoute(st, skb, kind, at, len);
    case IPOPT_CIPSO:
      if (found(st, skb, SHIFT_CIPSO) !== 0) return at;
      note(st, skb, SHIFT_CIPSO, at);
      // No domain of interpretation is configured, so that none can be right: Linux points at it where there is one.
      return len < CIPSO_MIN ? at + 1 : at + 2;
    case IPOPT_RA:
      if (len < 4) return at + 1;
      if (skb.view.getUint16(skb.networkHeader + at + 2) === 0) skb.cb[st.cbFlags] |= IPSKB_ROUTER_ALERT;
      return 0;
    default:
      return 0;
  }
}

function compileRecordRoute(st: Ipv4State, skb: SkBuff, at: number, len: number): number {
  const view = skb.view;
  const opt = skb.networkHeader + at;
  if (found(st, skb, SHIFT_RR) !== 0) return at;
  if (len < 3) return at + 1;
  const ptr = view.getUint8(opt + 2);
  if (ptr < 4) return at + 2;
  if (ptr <= len) {
    if (ptr + 3 > len) return at + 2;
    view.setInt32(opt + ptr - 1, specDst(st, skb));
    view.setUint8(opt + 2, ptr + 4);
    skb.cb[st.cbFlags] |= IPSKB_OPT_CHANGED | IPSKB_RR_NEEDADDR;
  }
  note(st, skb, SHIFT_RR, at);
  return 0;
}

function compileTimestamp(st: Ipv4State, skb: SkBuff, at: number, len: number): number {
  const view = skb.view;
  const opt = skb.networkHeader + at;
  if (found(st, skb, SHIFT_TS) !== 0) return at;
  if (len < 4) return at + 1;
  const ptr = view.getUint8(opt + 2);
  if (ptr < 5) return at + 2;
  const flag = view.getUint8(opt + 3) & 15;
  const bad = ptr <= len ? stamp(st, skb, at, len, ptr, flag) : overflow(st, skb, at, flag);
  if (bad !== 0) return bad;
  note(st, skb, SHIFT_TS, at);
  return 0;
}

/** Enters our time, and address where the flag asks for it. */
function stamp(st: Ipv4State, skb: SkBuff, at: number, len: number, ptr: number, flag: number): number {
  const view = skb.view;
  const opt = skb.networkHeader + at;
  if (ptr + 3 > len) return at + 2;
  let time = opt + ptr - 1;
  let next = ptr + 4;
  let flags = IPSKB_OPT_CHANGED | IPSKB_TS_NEEDTIME;
  if (flag === IPOPT_TS_TSANDADDR) {
    if (ptr + 7 > len) return at + 2;
    view.setInt32(time, specDst(st, skb));
    flags |= IPSKB_TS_NEEDADDR;
    time += 4;
    next += 4;
  } else if (flag === IPOPT_TS_PRESPEC) {
    if (ptr + 7 > len) return at + 2;
    if (st.fib.addrType(view.getInt32(time)) === RTN_UNICAST) return 0;
    time += 4;
    next += 4;
  } else if (flag !== IPOPT_TS_TSONLY) return 0;
  view.setInt32(time, inetCurrentTimestamp(st));
  view.setUint8(opt + 2, next);
  skb.cb[st.cbFlags] |= flags;
  return 0;
}

/** The timestamp option is full: one more host that could not enter itself. */
function overflow(st: Ipv4State, skb: SkBuff, at: number, flag: number): number {
  if (flag === IPOPT_TS_PRESPEC) return 0;
  const field = skb.networkHeader + at + 3;
  const byte = skb.view.getUint8(field);
  if (byte >>> 4 === 15) return at + 3;
  skb.view.setUint8(field, byte + 16);
  skb.cb[st.cbFlags] |= IPSKB_OPT_CHANGED;
  return 0;
}

function compileSourceRoute(st: Ipv4State, skb: SkBuff, kind: number, at: number, len: number): number {
  if (len < 3) return at + 1;
  if (skb.view.getUint8(skb.networkHeader + at + 2) < 4) return at + 2;
  if (found(st, skb, SHIFT_SRR) !== 0) return at;
  note(st, skb, SHIFT_SRR, at);
  if (kind === IPOPT_SSRR) skb.cb[st.cbFlags] |= IPSKB_STRICTROUTE;
  return 0;
}

/** Whether a received packet carries a source route. Borrows `skb`. */
export function hasSourceRoute(st: Ipv4State, skb: SkBuff): boolean {
  return found(st, skb, SHIFT_SRR) !== 0;
}

/** Whether the device of a packet obeys source routes. Linux: IN_DEV_SOURCE_ROUTE(). Borrows `skb`. */
export function acceptsSourceRoute(skb: SkBuff): boolean {
  const inDev = inDevGet(skb.dev!);
  return inDev !== null && inDev.conf.acceptSourceRoute !== 0;
}

/**
 * Obeys a source route: the next hop that is not ourselves becomes the destination of the look-up. False: the packet
 * is not to be delivered; a parameter problem was sent where one is due. Linux: ip_options_rcv_srr(). Borrows `skb`.
 */
export function ipOptionsRcvSrr(st: Ipv4State, skb: SkBuff): boolean {
  const view = skb.view;
  const iph = skb.networkHeader;
  const srr = found(st, skb, SHIFT_SRR);
  const dst = skb.dst as Dst;
  if (skb.pktType !== PACKET_HOST) return false;
  if (dst.type === RTN_UNICAST) {
    if ((skb.cb[st.cbFlags] & IPSKB_STRICTROUTE) === 0) return true;
    st.inet.icmpSend(skb, ICMP_PARAMETERPROB, 0, 16 << 24);
    return false;
  }
  if (dst.type !== RTN_LOCAL) return false;
  const len = view.getUint8(iph + srr + 1);
  for (let ptr = view.getUint8(iph + srr + 2); ptr <= len; ptr += 4) {
    if (ptr + 3 > len) {
      st.inet.icmpSend(skb, ICMP_PARAMETERPROB, 0, (srr + 2) << 24);
      return false;
    }
    const hop = view.getInt32(iph + srr + ptr - 1);
    const reason = st.fib.routeInput(skb, hop, view.getInt32(iph + IPH_SADDR), view.getUint8(iph + 1), skb.dev!);
    const type = reason === 0 ? (skb.dst as Dst).type : 0;
    if (type !== RTN_UNICAST && type !== RTN_LOCAL) {
      skb.dst = dst;
      return false;
    }
    if (type === RTN_UNICAST) {
      skb.cb[st.cbFlags] |= IPSKB_SRR_HIT | IPSKB_OPT_CHANGED;
      return true;
    }
    // The next hop is ourselves too: as if it had gone over the loopback.
    view.setInt32(iph + IPH_DADDR, hop);
    skb.cb[st.cbFlags] |= IPSKB_OPT_CHANGED;
  }
  return true;
}

/** The address of the device that a forwarded packet leaves by. Linux: ip_rt_get_source(), net/ipv4/route.c. */
function outgoingAddr(st: Ipv4State, dst: Dst, daddr: number): number {
  const addr = st.devinet.selectAddr(dst.dev, dst.gateway !== 0 ? dst.gateway : daddr, RT_SCOPE_LINK);
  return addr !== 0 ? addr : dst.prefsrc;
}

/**
 * Brings the options of a packet that is forwarded up to date: the outgoing address into record route, the source
 * route one step on, the checksum. The head must be private. Linux: ip_forward_options(). Borrows `skb`.
 */
export function ipForwardOptions(st: Ipv4State, skb: SkBuff): void {
  const view = skb.view;
  const iph = skb.networkHeader;
  const flags = skb.cb[st.cbFlags];
  const dst = skb.dst as Dst;
  if ((flags & IPSKB_RR_NEEDADDR) !== 0) {
    const rr = iph + found(st, skb, SHIFT_RR);
    view.setInt32(rr + view.getUint8(rr + 2) - 5, outgoingAddr(st, dst, view.getInt32(iph + IPH_DADDR)));
  }
  if ((flags & IPSKB_SRR_HIT) !== 0) forwardSourceRoute(st, skb, dst);
  if ((skb.cb[st.cbFlags] & IPSKB_OPT_CHANGED) !== 0) ipSendCheck(view, iph);
}

/** Puts the outgoing address where the next hop stood, and the next hop where the destination stands. */
function forwardSourceRoute(st: Ipv4State, skb: SkBuff, dst: Dst): void {
  const view = skb.view;
  const iph = skb.networkHeader;
  const srr = iph + found(st, skb, SHIFT_SRR);
  const len = view.getUint8(srr + 1);
  let ptr = view.getUint8(srr + 2);
  while (ptr + 3 <= len && st.fib.addrType(view.getInt32(srr + ptr - 1)) === RTN_LOCAL) ptr += 4;
  if (ptr + 3 > len) return;
  const hop = view.getInt32(srr + ptr - 1);
  view.setInt32(srr + ptr - 1, outgoingAddr(st, dst, hop));
  view.setInt32(iph + IPH_DADDR, hop);
  view.setUint8(srr + 2, ptr + 4);
  if ((skb.cb[st.cbFlags] & IPSKB_TS_NEEDADDR) === 0) return;
  const ts = iph + found(st, skb, SHIFT_TS);
  view.setInt32(ts + view.getUint8(ts + 2) - 9, outgoingAddr(st, dst, hop));
}

/**
 * Blanks the options that belong into the first fragment only: those without the copied bit become NOPs, the header
 * keeps its length. `at` is the IP header's position. Linux: ip_options_fragment().
 */
export function ipOptionsFragment(view: DataView, at: number): void {
  const end = at + ((view.getUint8(at) & 15) << 2);
  for (let p = at + IP_HLEN; p < end;) {
    const kind = view.getUint8(p);
    if (kind === IPOPT_END) return;
    if (kind === IPOPT_NOOP) {
      p++;
      continue;
    }
    const len = p + 1 < end ? view.getUint8(p + 1) : 0;
    if (len < 2 || p + len > end) return;
    if ((kind & IPOPT_COPY) === 0) { for (let i = 0; i < len; i++) view.setUint8(p + i, IPOPT_NOOP); }
    p += len;
  }
}

/**
 * Enters ourselves into the options of a packet of our own: address into record route, time (and address) into the
 * timestamp, where there is room. `at` is the IP header's position, its source is set. Linux: ip_options_build().
 */
export function ipOptionsBuild(st: Ipv4State, view: DataView, at: number): void {
  const end = at + ((view.getUint8(at) & 15) << 2);
  for (let p = at + IP_HLEN; p < end;) {
    const kind = view.getUint8(p);
    if (kind === IPOPT_END) return;
    if (kind === IPOPT_NOOP) {
      p++;
      continue;
    }
    const len = p + 1 < end ? view.getUint8(p + 1) : 0;
    if (len < 3 || p + len > end) return;
    if (kind === IPOPT_RR) buildRecordRoute(view, at, p, len);
    else if (kind === IPOPT_TIMESTAMP && len >= 4) buildTimestamp(st, view, at, p, len);
    p += len;
  }
}

function buildRecordRoute(view: DataView, at: number, opt: number, len: number): void {
  const ptr = view.getUint8(opt + 2);
  if (ptr < 4 || ptr + 3 > len) return;
  view.setInt32(opt + ptr - 1, view.getInt32(at + IPH_SADDR));
  view.setUint8(opt + 2, ptr + 4);
}

function buildTimestamp(st: Ipv4State, view: DataView, at: number, opt: number, len: number): void {
  const ptr = view.getUint8(opt + 2);
  const flag = view.getUint8(opt + 3) & 15;
  const size = flag === IPOPT_TS_TSONLY ? 4 : 8;
  if (ptr < 5 || ptr + size - 1 > len) return;
  if (flag === IPOPT_TS_TSANDADDR) view.setInt32(opt + ptr - 1, view.getInt32(at + IPH_SADDR));
  else if (flag === IPOPT_TS_PRESPEC) {
    if (st.fib.addrType(view.getInt32(opt + ptr - 1)) === RTN_UNICAST) return;
  } else if (flag !== IPOPT_TS_TSONLY) return;
  view.setInt32(opt + ptr + size - 5, inetCurrentTimestamp(st));
  view.setUint8(opt + 2, ptr + size);
}

/** What {@linkcode ipOptionsEcho} gives besides the bytes. */
export interface EchoResult {
  /** First hop of the reversed source route, 0: none. */
  faddr: number;
}

/**
 * The options of a reply: record route and timestamp as they stand, source route reversed, CIPSO. Null: none.
 * OPTIONS_NO_ROOM: the timestamp cannot take the entry of the way back. Linux: __ip_options_echo(). Borrows `skb`.
 */
export function ipOptionsEcho(st: Ipv4State, skb: SkBuff, result: EchoResult): Uint8Array | null {
  result.faddr = 0;
  if (skb.cb[st.cbOptlen] === 0 || skb.cb[st.cbOpt] === 0) return null;
  const out: number[] = [];
  const rr = found(st, skb, SHIFT_RR);
  const ts = found(st, skb, SHIFT_TS);
  const cipso = found(st, skb, SHIFT_CIPSO);
  if (rr !== 0) {
    if (!roomLeft(skb, rr, (skb.cb[st.cbFlags] & IPSKB_RR_NEEDADDR) !== 0 ? 4 : 0)) return OPTIONS_NO_ROOM;
    append(skb, rr, out);
  }
  if (ts !== 0) {
    const flags = skb.cb[st.cbFlags];
    const need = (flags & IPSKB_TS_NEEDADDR) !== 0 ? 8 : (flags & IPSKB_TS_NEEDTIME) !== 0 ? 4 : 0;
    if (!roomLeft(skb, ts, need)) return OPTIONS_NO_ROOM;
    append(skb, ts, out);
  }
  echoSourceRoute(st, skb, out, result);
  if (cipso !== 0) append(skb, cipso, out);
  if (out.length === 0) return null;
  while ((out.length & 3) !== 0) out.push(IPOPT_END);
  return Uint8Array.from(out);
}

/** Whether an option that is not full has room for `need` more bytes. */
function roomLeft(skb: SkBuff, offset: number, need: number): boolean {
  const opt = skb.networkHeader + offset;
  const len = skb.view.getUint8(opt + 1);
  const ptr = skb.view.getUint8(opt + 2);
  return need === 0 || ptr > len || ptr + need - 1 <= len;
}

function append(skb: SkBuff, offset: number, out: number[]): void {
  const opt = skb.networkHeader + offset;
  const len = skb.view.getUint8(opt + 1);
  for (let i = 0; i < len; i++) out.push(skb.view.getUint8(opt + i));
}

function appendAddr(addr: number, out: number[]): void {
  out.push(addr >>> 24, (addr >>> 16) & 255, (addr >>> 8) & 255, addr & 255);
}

/** Reverses what a source route recorded: the last hop becomes the first, the sender the last (RFC 1122, 3.2.1.8 c). */
function echoSourceRoute(st: Ipv4State, skb: SkBuff, out: number[], result: EchoResult): void {
  const offset = found(st, skb, SHIFT_SRR);
  if (offset === 0) return;
  const view = skb.view;
  const opt = skb.networkHeader + offset;
  const len = view.getUint8(opt + 1);
  const hops: number[] = [];
  for (let p = Math.min(view.getUint8(opt + 2), len + 1) - 4; p >= 4; p -= 4) hops.push(view.getInt32(opt + p - 1));
  const saddr = view.getInt32(skb.networkHeader + IPH_SADDR);
  // RFC 1812, 5.3.13.4: a sender that recorded itself is not visited twice.
  if (hops[hops.length - 1] === saddr) hops.pop();
  if (hops.length === 0) return;
  result.faddr = hops[0];
  out.push(view.getUint8(opt), 3 + hops.length * 4, 4);
  for (let i = 1; i < hops.length; i++) appendAddr(hops[i], out);
  appendAddr(saddr, out);
}
