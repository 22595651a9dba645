/**
 * Super-packets: one pass through the stack for many segments. Cutting them for a device that cannot, and merging what
 * comes in. Payload is shared by reference both ways. Linux: net/ipv4/tcp_offload.c, net/ipv4/af_inet.c
 * (inet_gso_segment(), inet_gro_receive()), skb_segment(), skb_gro_receive().
 *
 * Different from Linux: a packet that GRO merges holds at most 17 pieces, and no list of further packets.
 */
import type { Napi, PacketOffload, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as inet from "../../network/inet/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import * as ipv4Header from "../../network/ipv4/header.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  copySlab,
  csumFold,
  csumJs,
  csumTcpUdpNofold,
  DESTRUCTOR_NONE,
  GRO_HELD,
  GRO_MERGED,
  GRO_NORMAL,
  MAX_SKB_FRAGS,
  NET_SKB_PAD,
  netifReceiveSkb,
  SKB_GSO_TCPV4,
  skbChecksum,
} = core;
const { IPPROTO_TCP } = inet;
const { ETH_P_IP } = ipv4;
const { ipSendCheck } = ipv4Header;

const IP_HLEN = 20;
const TCP_HLEN = 20;
const IP_TOT_LEN = 2, IP_ID = 4, IP_FRAG_OFF = 6, IP_CHECK = 10, IP_SADDR = 12, IP_DADDR = 16;
const SEQ = 4, ACK_SEQ = 8, FLAG_WORD = 12, CHECK = 16;
const FIN = 0x01 << 16, SYN = 0x02 << 16, RST = 0x04 << 16, PSH = 0x08 << 16, URG = 0x20 << 16, CWR = 0x80 << 16;
const ETH_HLEN = 14;
/** Longest datagram: what the length field of IP holds. */
const GRO_MAX_SIZE = 65535;
const U16_MAX = 65535;
/** Where the payload of the super-packet at hand goes on: piece (-1: the linear part), and offset in it. */
const cursor = { frag: -1, at: 0 };

/** TCP's part in segmentation and merging of IPv4 packets, for devAddOffload(). */
export function tcpOffload(): PacketOffload {
  return { type: ETH_P_IP, gsoSegment: tcpGsoSegment, groReceive: tcpGroReceive, groComplete: tcpGroComplete };
}

// ---- segmentation

/**
 * Cuts a super-packet into segments of `gsoSize` bytes, each with headers of its own: FIN and PSH stay with the last, CWR
 * with the first. Null: it is none, or there is no memory. Linux: inet_gso_segment(), tcp_gso_segment(). Borrows `skb`.
 */
export function tcpGsoSegment(skb: SkBuff): SkBuff | null {
  const view = skb.view;
  const nh = skb.networkHeader;
  const th = skb.transportHeader;
  const mss = skb.gsoSize;
  if ((skb.gsoType & SKB_GSO_TCPV4) === 0 || mss <= 0 || nh < skb.data || th < nh + IP_HLEN) return null;
  if (th + TCP_HLEN > skb.tail || view.getUint8(nh + 9) !== IPPROTO_TCP || skb.fragList !== null) return null;
  const thlen = view.getUint8(th + FLAG_WORD) >>> 4 << 2;
  const hlen = th + thlen - skb.data;
  const payload = skb.len - hlen;
  if (thlen < TCP_HLEN || th + thlen > skb.tail || payload <= 0) return null;
  const segs = Math.ceil(payload / mss);
  let first: SkBuff | null = null;
  let last: SkBuff | null = null;
  cursor.frag = -1;
  cursor.at = 0;
  for (let i = 0; i < segs; i++) {
    const seg = segmentOf(skb, hlen, th + thlen, Math.min(mss, payload - i * mss));
    if (seg === null) {
      freeList(first);
      return null;
    }
    segmentHeaders(seg, i, i === segs - 1, mss);
    if (last === null) first = seg;
    else last.next = seg;
    last = seg;
  }
  shareOwner(skb, first, segs);
  return first;
}

/** Headers copied, `len` bytes of payload by reference from where {@linkcode cursor} is. Null: no memory. Borrows `skb`. */
function segmentOf(skb: SkBuff, hlen: number, linear: number, len: number): SkBuff | null {
  const pool = skb.pool;
  const seg = pool.alloc(NET_SKB_PAD + hlen);
  if (seg === null) return null;
  seg.reserve(NET_SKB_PAD - (skb.networkHeader - skb.data));
  copySlab(pool.ledger, pool.siteHead, seg.slab, seg.put(hlen), skb.slab, skb.data, hlen);
  const delta = seg.data - skb.data;
  seg.id = skb.id;
  seg.cause = skb.cause;
  seg.dev = skb.dev;
  seg.skbIif = skb.skbIif;
  seg.protocol = skb.protocol;
  seg.pktType = skb.pktType;
  seg.hash = skb.hash;
  seg.queueMapping = skb.queueMapping;
  seg.priority = skb.priority;
  seg.mark = skb.mark;
  seg.tstamp = skb.tstamp;
  seg.flags = skb.flags;
  seg.macLen = skb.macLen;
  seg.dst = skb.dst;
  seg.macHeader = skb.macHeader < 0 ? -1 : skb.macHeader + delta;
  seg.networkHeader = skb.networkHeader + delta;
  seg.transportHeader = skb.transportHeader + delta;
  for (let i = 0; i < seg.cb.length; i++) seg.cb[i] = skb.cb[i];
  takePayload(skb, seg, linear, len);
  return seg;
}

/** `len` bytes by reference; the linear part behind the headers is piece -1. Borrows both. */
function takePayload(skb: SkBuff, seg: SkBuff, linear: number, len: number): void {
  while (len > 0) {
    if (cursor.frag < 0) {
      const n = Math.min(len, skb.tail - linear - cursor.at);
      if (n > 0) {
        skb.slab.get(skb.head);
        seg.addFrag(skb.slab, skb.head, linear + cursor.at, n);
        cursor.at += n;
        len -= n;
      }
      if (linear + cursor.at >= skb.tail) cursor.frag = cursor.at = 0;
      continue;
    }
    const frag = skb.frags[cursor.frag];
    const n = Math.min(len, frag.size - cursor.at);
    frag.slab.get(frag.page);
    seg.addFrag(frag.slab, frag.page, frag.offset + cursor.at, n);
    len -= n;
    cursor.at += n;
    if (cursor.at === frag.size) {
      cursor.frag++;
      cursor.at = 0;
    }
  }
}

/** Lengths, identification, sequence number, flags, and the sum over the pseudo header. Borrows `seg`. */
function segmentHeaders(seg: SkBuff, i: number, isLast: boolean, mss: number): void {
  const view = seg.view;
  const nh = seg.networkHeader;
  const th = seg.transportHeader;
  view.setUint16(nh + IP_TOT_LEN, seg.len - (nh - seg.data));
  view.setUint16(nh + IP_ID, (view.getUint16(nh + IP_ID) + i) & U16_MAX);
  ipSendCheck(view, nh);
  view.setInt32(th + SEQ, (view.getInt32(th + SEQ) + i * mss) | 0);
  let word = view.getInt32(th + FLAG_WORD);
  if (!isLast) word &= ~(FIN | PSH);
  if (i !== 0) word &= ~CWR;
  view.setInt32(th + FLAG_WORD, word);
  pseudoCheck(seg, nh, th);
}

/** What is left to sum is left to the device, or to skb_checksum_help(). Borrows `skb`. */
function pseudoCheck(skb: SkBuff, nh: number, th: number): void {
  const view = skb.view;
  const len = skb.len - (th - skb.data);
  const sum = csumTcpUdpNofold(view.getInt32(nh + IP_SADDR), view.getInt32(nh + IP_DADDR), len, IPPROTO_TCP);
  view.setUint16(th + CHECK, ~csumFold(sum) & U16_MAX, true);
  skb.ipSummed = CHECKSUM_PARTIAL;
  skb.csumStart = th;
  skb.csumOffset = CHECK;
}

/** The sender pays for the segments what it paid for the whole. Borrows all. */
function shareOwner(skb: SkBuff, first: SkBuff | null, segs: number): void {
  const owner = skb.owner;
  if (owner === null) return;
  const share = Math.floor(skb.truesize / segs);
  let left = skb.truesize;
  for (let seg = first; seg !== null; seg = seg.next) {
    seg.truesize = seg.next === null ? left : share;
    left -= share;
    seg.owner = owner;
    seg.destructor = skb.destructor;
  }
  skb.owner = null;
  skb.destructor = DESTRUCTOR_NONE;
}

function freeList(list: SkBuff | null): void {
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = null;
    list.consume();
    list = next;
  }
}

// ---- merging

/**
 * A received packet: hangs its payload on a held one of the same flow that it continues, or is held itself, or goes up.
 * What breaks the run sends the held one up first. Linux: inet_gro_receive(), tcp4_gro_receive(), tcp_gro_receive().
 * Takes ownership of `skb` unless it returns GRO_NORMAL.
 */
export function tcpGroReceive(napi: Napi, skb: SkBuff): number {
  const view = skb.view;
  const nh = skb.data;
  const th = nh + IP_HLEN;
  if (th + TCP_HLEN > skb.tail || view.getInt32(nh) >>> 24 !== 0x45 || view.getUint8(nh + 9) !== IPPROTO_TCP) {
    return GRO_NORMAL;
  }
  const word = view.getInt32(th + FLAG_WORD);
  const thlen = word >>> 28 << 2;
  if (thlen < TCP_HLEN || th + thlen > skb.tail) return GRO_NORMAL;
  const held = findFlow(napi, skb, nh, th);
  // Behind the datagram there is padding, or it is cut short, or it is a fragment: IP decides.
  if (view.getUint16(nh + IP_TOT_LEN) !== skb.len || (view.getUint16(nh + IP_FRAG_OFF) & 0x3fff) !== 0) {
    return normal(napi, held);
  }
  const len = skb.len - IP_HLEN - thlen;
  if (len === 0 || (word & (SYN | RST | URG)) !== 0 || csumJs(view, nh, IP_HLEN, 0) !== 0xffff) {
    return normal(napi, held);
  }
  if (!verified(skb, nh)) return normal(napi, held);
  if (held !== null) {
    const done = tryMerge(napi, held, skb, nh, th, thlen, len, word);
    if (done) return GRO_MERGED;
    flushOne(napi, held);
  }
  if ((word & (FIN | PSH)) !== 0) return GRO_NORMAL;
  skb.networkHeader = nh;
  skb.transportHeader = th;
  skb.next = napi.groList;
  napi.groList = skb;
  return GRO_HELD;
}

/** It is not merged; what is held of its flow must not come after it. */
function normal(napi: Napi, held: SkBuff | null): number {
  if (held !== null) flushOne(napi, held);
  return GRO_NORMAL;
}

/** The held packet of the same connection, null: none. Borrows `skb`. */
function findFlow(napi: Napi, skb: SkBuff, nh: number, th: number): SkBuff | null {
  const view = skb.view;
  const saddr = view.getInt32(nh + IP_SADDR);
  const daddr = view.getInt32(nh + IP_DADDR);
  const ports = view.getInt32(th);
  for (let p = napi.groList; p !== null; p = p.next) {
    const other = p.view;
    const ip = p.data;
    if (
      other.getInt32(ip + IP_HLEN) === ports && other.getInt32(ip + IP_SADDR) === saddr &&
      other.getInt32(ip + IP_DADDR) === daddr
    ) return p;
  }
  return null;
}

/** Whether its checksum is right; nobody looks again. Borrows `skb`. */
function verified(skb: SkBuff, nh: number): boolean {
  if (skb.ipSummed === CHECKSUM_UNNECESSARY || skb.ipSummed === CHECKSUM_PARTIAL) return true;
  const view = skb.view;
  const len = skb.len - IP_HLEN;
  const sum = csumTcpUdpNofold(view.getInt32(nh + IP_SADDR), view.getInt32(nh + IP_DADDR), len, IPPROTO_TCP);
  if (csumFold(skbChecksum(skb, IP_HLEN, len, sum)) !== 0) return false;
  skb.ipSummed = CHECKSUM_UNNECESSARY;
  return true;
}

/**
 * Merges where all of the headers but lengths, sequence, identification and checksums are equal, and it follows at once.
 * What is shorter than the others, or is pushed, is the last. Takes ownership of `skb` if it returns true.
 */
function tryMerge(
  napi: Napi,
  held: SkBuff,
  skb: SkBuff,
  nh: number,
  th: number,
  thlen: number,
  len: number,
  word: number,
): boolean {
  const view = skb.view;
  const other = held.view;
  const ip = held.data;
  const tcp = ip + IP_HLEN;
  const hlen = IP_HLEN + thlen;
  const segs = held.gsoSegs > 1 ? held.gsoSegs : 1;
  const mss = segs > 1 ? held.gsoSize : held.len - hlen;
  const first = other.getInt32(tcp + FLAG_WORD);
  // Data offset and flags; of these PSH and FIN may end the run.
  if (((first ^ word) & 0xffff0000 & ~(FIN | PSH)) !== 0 || (word & CWR) !== 0 || len > mss) return false;
  if (skb.nrFrags !== 0 || held.len + len > GRO_MAX_SIZE || held.nrFrags >= MAX_SKB_FRAGS) return false;
  if (((other.getInt32(tcp + SEQ) + held.len - hlen) | 0) !== view.getInt32(th + SEQ)) return false;
  if (other.getInt32(tcp + ACK_SEQ) !== view.getInt32(th + ACK_SEQ)) return false;
  for (let at = TCP_HLEN; at < thlen; at += 4) {
    if (other.getInt32(tcp + at) !== view.getInt32(th + at)) return false;
  }
  if (!sameIp(other, ip, view, nh, segs) || !sameMac(held, skb)) return false;
  skb.slab.get(skb.head);
  held.addFrag(skb.slab, skb.head, th + thlen, len);
  held.truesize += skb.truesize;
  held.gsoSize = mss;
  held.gsoSegs = segs + 1;
  held.gsoType = SKB_GSO_TCPV4;
  if ((word & (FIN | PSH)) !== 0) other.setInt32(tcp + FLAG_WORD, first | (word & (FIN | PSH)));
  skb.consume();
  if (len < mss || (word & (FIN | PSH)) !== 0) flushOne(napi, held);
  return true;
}

/** TOS, TTL and DF are equal, and the identification counts on, or is constant where nothing may be fragmented. */
function sameIp(other: DataView, ip: number, view: DataView, nh: number, segs: number): boolean {
  if (other.getUint16(ip) !== view.getUint16(nh) || other.getUint16(ip + 8) !== view.getUint16(nh + 8)) return false;
  const frag = view.getUint16(nh + IP_FRAG_OFF);
  if (other.getUint16(ip + IP_FRAG_OFF) !== frag) return false;
  const id = (view.getUint16(nh + IP_ID) - other.getUint16(ip + IP_ID)) & U16_MAX;
  return id === segs || (id === 0 && frag !== 0);
}

/** The link headers are equal. Borrows both. */
function sameMac(held: SkBuff, skb: SkBuff): boolean {
  const a = held.macHeader, b = skb.macHeader;
  if (held.data - a !== ETH_HLEN || skb.data - b !== ETH_HLEN) return held.data === a && skb.data === b;
  return held.view.getInt32(a) === skb.view.getInt32(b) && held.view.getInt32(a + 4) === skb.view.getInt32(b + 4) &&
    held.view.getInt32(a + 8) === skb.view.getInt32(b + 8);
}

/** Sends a held packet up. Linux: napi_gro_complete(). Takes ownership of `held`. */
function flushOne(napi: Napi, held: SkBuff): void {
  if (napi.groList === held) napi.groList = held.next;
  else {
    let p = napi.groList;
    while (p !== null && p.next !== held) p = p.next;
    if (p !== null) p.next = held.next;
  }
  held.next = null;
  if (held.gsoSegs > 1) tcpGroComplete(held);
  netifReceiveSkb(held);
}

/**
 * A merged packet is finished: its lengths, and a checksum that is partial, as if it had been sent so. Linux:
 * inet_gro_complete(), tcp4_gro_complete(). Borrows `skb`.
 */
export function tcpGroComplete(skb: SkBuff): void {
  const nh = skb.data;
  skb.view.setUint16(nh + IP_TOT_LEN, skb.len);
  skb.view.setUint16(nh + IP_CHECK, 0);
  ipSendCheck(skb.view, nh);
  pseudoCheck(skb, nh, nh + IP_HLEN);
}
