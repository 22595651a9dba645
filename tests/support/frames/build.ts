/**
 * Frame builders for tests: Ethernet II, 802.3 + LLC, VLAN tags, ARP, IPv4, ICMP, UDP, TCP.
 *
 * Every builder returns a plain new `Uint8Array`. **A field left out is filled in correctly** (lengths, checksums, protocol numbers); a
 * field that is given goes in as it is, right or wrong. So a test names only the bytes it is about.
 *
 * ```ts
 * import { decode, eth, icmpEcho, ipv4, udp } from "../support/frames/build.ts";
 *
 * const link = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" };
 * const hosts = { src: "10.0.0.2", dst: "10.0.0.1" };
 * const ping = eth(link, ipv4(hosts, icmpEcho({ id: 1, seq: 1 }, "hello")));
 * const datagram = eth(link, ipv4({ ...hosts, ttl: 1 }, udp({ sport: 5000, dport: 53 }, "hello")));
 * const liar = eth(link, ipv4({ ...hosts, totalLength: 4000 }, udp({ sport: 1, dport: 2, checksum: 0xdead }, "x")));
 * console.log(decode(ping).icmp?.type, decode(datagram).udp?.dport);
 * ```
 *
 * The EtherType, the IP protocol number and the pseudo header need no mention: a builder remembers what it made (by the identity of
 * the array), and the builder around it fills them in.
 *
 * @module
 */

import {
  bytes,
  type BytesLike,
  concat,
  internetChecksum,
  ipBytes,
  type IpLike,
  macBytes,
  type MacLike,
  pseudoSum,
} from "./bytes.ts";

export * from "./bytes.ts";
export * from "./decode.ts";

/** EtherTypes by Linux's names (if_ether.h). */
export const ETH_P = {
  IP: 0x0800,
  ARP: 0x0806,
  RARP: 0x8035,
  VLAN: 0x8100,
  IPV6: 0x86dd,
  QINQ: 0x88a8,
  LOOP: 0x9000,
} as const;

/** IP protocol numbers. */
export const IPPROTO = { ICMP: 1, IGMP: 2, IPIP: 4, TCP: 6, UDP: 17, GRE: 47, ESP: 50, SCTP: 132 } as const;

/** The Ethernet broadcast address. */
export const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";

/** What a builder knows of the bytes it returned, for the builder around it. */
interface Made {
  /** EtherType or IP protocol number. */
  readonly kind: number;
  /** Where a checksum over the pseudo header is still to be filled in. */
  readonly checksumAt?: number;
}

const made = new WeakMap<Uint8Array, Made>();

function note(out: Uint8Array, kind: number, checksumAt?: number): Uint8Array {
  made.set(out, checksumAt === undefined ? { kind } : { kind, checksumAt });
  return out;
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

// --- Ethernet ---------------------------------------------------------------------------------------------------------------------

/** Fields of an Ethernet header. */
export interface EthFields {
  dst?: MacLike;
  src?: MacLike;
  /** EtherType, or 802.3 length; default: what the payload's builder made, else 0x0800. */
  type?: number;
  /** Pads with zeros up to this many bytes (without FCS); 60 is what a real NIC sends. */
  pad?: number;
}

/** An Ethernet frame without FCS. `dst` is broadcast unless given, `src` is zero unless given. */
export function eth(fields: EthFields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const out = new Uint8Array(Math.max(14 + body.length, fields.pad ?? 0));
  out.set(macBytes(fields.dst ?? BROADCAST_MAC), 0);
  if (fields.src !== undefined) out.set(macBytes(fields.src), 6);
  viewOf(out).setUint16(12, fields.type ?? made.get(body)?.kind ?? ETH_P.IP);
  out.set(body, 14);
  return out;
}

/** Fields of a VLAN tag. */
export interface VlanFields {
  /** VLAN id, 0 to 4095. */
  id: number;
  /** Priority code point, 0 to 7. */
  priority?: number;
  /** Drop eligible indicator. */
  dei?: boolean;
  /** The EtherType behind the tag; default: what the payload's builder made, else 0x0800. */
  type?: number;
  /** The tag's own EtherType: 0x8100 (default) or 0x88a8. */
  tpid?: number;
}

/** A VLAN tag and what is behind it, to be the payload of {@linkcode eth} (which then takes `tpid` as its type). */
export function vlan(fields: VlanFields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const out = new Uint8Array(4 + body.length);
  const view = viewOf(out);
  view.setUint16(0, ((fields.priority ?? 0) << 13) | (fields.dei ? 0x1000 : 0) | (fields.id & 0xfff));
  view.setUint16(2, fields.type ?? made.get(body)?.kind ?? ETH_P.IP);
  out.set(body, 4);
  return note(out, fields.tpid ?? ETH_P.VLAN);
}

/** Fields of an LLC header (IEEE 802.2). */
export interface LlcFields {
  dsap?: number;
  ssap?: number;
  control?: number;
  /** SNAP: OUI and protocol id after the three LLC bytes; sets dsap and ssap to 0xaa unless given. */
  snap?: { oui?: number; type: number };
}

/** An LLC (or LLC + SNAP) packet. Around it, `eth` puts the 802.3 length where the EtherType is. */
export function llc(fields: LlcFields = {}, payload: BytesLike = []): Uint8Array {
  const sap = fields.snap ? 0xaa : 0x42;
  const head = [fields.dsap ?? sap, fields.ssap ?? sap, fields.control ?? 3];
  if (fields.snap) {
    const oui = fields.snap.oui ?? 0;
    head.push(oui >> 16, oui >> 8, oui, fields.snap.type >> 8, fields.snap.type);
  }
  const out = concat(head, payload);
  return note(out, out.length);
}

// --- ARP --------------------------------------------------------------------------------------------------------------------------

/** Fields of an ARP packet. */
export interface ArpFields {
  /** Hardware type; 1 is Ethernet. */
  htype?: number;
  ptype?: number;
  hlen?: number;
  plen?: number;
  /** 1 request (default), 2 reply. */
  op?: number;
  /** Sender MAC and IP, target MAC and IP; zero unless given. */
  sha?: MacLike;
  spa?: IpLike;
  tha?: MacLike;
  tpa?: IpLike;
}

/** An ARP packet for Ethernet and IPv4: 28 bytes, whatever `hlen` and `plen` claim. */
export function arp(fields: ArpFields): Uint8Array {
  const out = new Uint8Array(28);
  const view = viewOf(out);
  view.setUint16(0, fields.htype ?? 1);
  view.setUint16(2, fields.ptype ?? ETH_P.IP);
  view.setUint8(4, fields.hlen ?? 6);
  view.setUint8(5, fields.plen ?? 4);
  view.setUint16(6, fields.op ?? 1);
  out.set(macBytes(fields.sha ?? "0:0:0:0:0:0"), 8);
  out.set(ipBytes(fields.spa ?? 0), 14);
  out.set(macBytes(fields.tha ?? "0:0:0:0:0:0"), 18);
  out.set(ipBytes(fields.tpa ?? 0), 24);
  return note(out, ETH_P.ARP);
}

// --- IPv4 -------------------------------------------------------------------------------------------------------------------------

/** Fields of an IPv4 header. */
export interface Ipv4Fields {
  src: IpLike;
  dst: IpLike;
  /** Default: what the payload's builder made, else 0. */
  proto?: number;
  version?: number;
  /** Header length in 32-bit words, as written; the header really has 5 words plus the options. */
  ihl?: number;
  tos?: number;
  /** As written; the frame really holds header and payload. */
  totalLength?: number;
  id?: number;
  df?: boolean;
  mf?: boolean;
  /** The reserved ("evil") bit. */
  reserved?: boolean;
  /** Fragment offset in bytes; only the multiple of eight below it fits the header. */
  offset?: number;
  /** Default 64. */
  ttl?: number;
  checksum?: number;
  /** Raw options, padded with End of List to a multiple of four. See {@linkcode ipOption}. */
  options?: BytesLike;
}

/** An IPv4 packet. Fills in UDP's and TCP's checksum when the payload came from their builders without one. */
export function ipv4(fields: Ipv4Fields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const options = bytes(fields.options ?? []);
  const headerLength = 20 + ((options.length + 3) & ~3);
  const known = made.get(body);
  const proto = fields.proto ?? known?.kind ?? 0;
  const out = new Uint8Array(headerLength + body.length);
  const view = viewOf(out);
  view.setUint8(0, ((fields.version ?? 4) << 4) | ((fields.ihl ?? headerLength >> 2) & 15));
  view.setUint8(1, fields.tos ?? 0);
  view.setUint16(2, fields.totalLength ?? out.length);
  view.setUint16(4, fields.id ?? 0);
  const flags = (fields.reserved ? 0x8000 : 0) | (fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0);
  view.setUint16(6, flags | (((fields.offset ?? 0) >> 3) & 0x1fff));
  view.setUint8(8, fields.ttl ?? 64);
  view.setUint8(9, proto);
  out.set(ipBytes(fields.src), 12);
  out.set(ipBytes(fields.dst), 16);
  out.set(options, 20);
  out.set(body, headerLength);
  view.setUint16(10, fields.checksum ?? internetChecksum(out, 0, headerLength));
  if (known?.checksumAt !== undefined) {
    const sum = internetChecksum(
      out,
      headerLength,
      out.length,
      pseudoSum(fields.src, fields.dst, known.kind, body.length),
    );
    // RFC 768: a sum of zero is sent as all ones; zero means "no checksum".
    view.setUint16(headerLength + known.checksumAt, sum === 0 && known.kind === IPPROTO.UDP ? 0xffff : sum);
  }
  return note(out, ETH_P.IP);
}

/** One IP option: kind, length, data. `length` as written may lie. */
export function ipOptionBytes(kind: number, data: BytesLike = [], length?: number): Uint8Array {
  const body = bytes(data);
  return concat([kind, length ?? 2 + body.length], body);
}

/** IP options by name (RFC 791, 1108, 2113), well formed unless a field says otherwise. */
export const ipOption = {
  /** End of list. */
  end: (): Uint8Array => Uint8Array.of(0),
  /** No operation. */
  nop: (): Uint8Array => Uint8Array.of(1),
  /** Record route: `slots` empty addresses; `pointer` is 4 for an empty list. */
  recordRoute: (slots: number, pointer = 4): Uint8Array =>
    ipOptionBytes(7, concat([pointer], new Uint8Array(slots * 4))),
  /** Timestamp; flag 0: stamps only, 1: address and stamp, 3: prespecified addresses. */
  timestamp: (flag: number, data: BytesLike, pointer = 5, overflow = 0): Uint8Array =>
    ipOptionBytes(68, concat([pointer, (overflow << 4) | flag], data)),
  /** Loose source route through the given hops. */
  looseRoute: (hops: readonly IpLike[], pointer = 4): Uint8Array =>
    ipOptionBytes(131, concat([pointer], ...hops.map(ipBytes))),
  /** Strict source route through the given hops. */
  strictRoute: (hops: readonly IpLike[], pointer = 4): Uint8Array =>
    ipOptionBytes(137, concat([pointer], ...hops.map(ipBytes))),
  /** Stream id. */
  streamId: (id: number): Uint8Array => ipOptionBytes(136, [id >> 8, id]),
  /** Security (RFC 1108, basic). */
  security: (data: BytesLike = [0xab, 0]): Uint8Array => ipOptionBytes(130, data),
  /** Router alert (RFC 2113). */
  routerAlert: (value = 0): Uint8Array => ipOptionBytes(148, [value >> 8, value]),
};

/** Cuts an IPv4 packet into fragments of at most `mtu` bytes, with options in the first only (test use: none are copied). */
export function fragment(packet: Uint8Array, mtu: number): Uint8Array[] {
  const headerLength = (packet[0] & 15) * 4;
  const view = viewOf(packet);
  const total = view.getUint16(2);
  const out: Uint8Array[] = [];
  for (let from = headerLength; from < total;) {
    const head = from === headerLength ? headerLength : 20;
    const size = Math.min(total - from, (mtu - head) & ~7);
    const piece = concat(packet.subarray(0, head), packet.subarray(from, from + size));
    const piecesView = viewOf(piece);
    piecesView.setUint8(0, 0x40 | (head >> 2));
    piecesView.setUint16(2, piece.length);
    const more = from + size < total ? 0x2000 : view.getUint16(6) & 0x2000;
    piecesView.setUint16(6, more | ((view.getUint16(6) & 0x1fff) + ((from - headerLength) >> 3)));
    fixIpv4Checksum(piece);
    out.push(note(piece, ETH_P.IP));
    from += size;
  }
  return out;
}

// --- ICMP -------------------------------------------------------------------------------------------------------------------------

/** Fields of an ICMP message. */
export interface IcmpFields {
  type: number;
  code?: number;
  checksum?: number;
  /** Bytes 4 to 7 as one number; zero unless given. */
  rest?: number;
}

/** Any ICMP message: eight bytes of header, then `payload`. */
export function icmp(fields: IcmpFields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const out = new Uint8Array(8 + body.length);
  const view = viewOf(out);
  view.setUint8(0, fields.type);
  view.setUint8(1, fields.code ?? 0);
  view.setUint32(4, fields.rest ?? 0);
  out.set(body, 8);
  view.setUint16(2, fields.checksum ?? internetChecksum(out));
  return note(out, IPPROTO.ICMP);
}

/** Fields of an echo request or reply. */
export interface IcmpEchoFields {
  id?: number;
  seq?: number;
  code?: number;
  checksum?: number;
  /** Makes it a reply (type 0). */
  reply?: boolean;
}

/** An echo request, or reply. */
export function icmpEcho(fields: IcmpEchoFields = {}, payload: BytesLike = []): Uint8Array {
  return icmp({
    type: fields.reply ? 0 : 8,
    ...(fields.code === undefined ? {} : { code: fields.code }),
    ...(fields.checksum === undefined ? {} : { checksum: fields.checksum }),
    rest: ((fields.id ?? 0) << 16) | (fields.seq ?? 0),
  }, payload);
}

/** Fields of an ICMP error. */
export interface IcmpErrorFields {
  /** 3 unreachable, 4 quench, 5 redirect, 11 time exceeded, 12 parameter problem. */
  type: number;
  code?: number;
  checksum?: number;
  /** Next-hop MTU of code 3/4. */
  mtu?: number;
  /** Gateway of a redirect. */
  gateway?: IpLike;
  /** Pointer of a parameter problem. */
  pointer?: number;
}

/** An ICMP error quoting `quoted` (an IPv4 packet, as a rule cut short). */
export function icmpError(fields: IcmpErrorFields, quoted: BytesLike): Uint8Array {
  const gateway = fields.gateway === undefined ? 0 : viewOf(ipBytes(fields.gateway)).getUint32(0);
  return icmp({
    type: fields.type,
    ...(fields.code === undefined ? {} : { code: fields.code }),
    ...(fields.checksum === undefined ? {} : { checksum: fields.checksum }),
    rest: gateway | (fields.mtu ?? 0) | ((fields.pointer ?? 0) << 24),
  }, quoted);
}

// --- UDP and TCP ------------------------------------------------------------------------------------------------------------------

/** Fields of a UDP datagram. */
export interface UdpFields {
  sport?: number;
  dport?: number;
  /** As written; the datagram really holds 8 bytes and the payload. */
  length?: number;
  /** 0 means "none". Left out, {@linkcode ipv4} fills it in. */
  checksum?: number;
}

/** A UDP datagram. Its checksum is filled in by the {@linkcode ipv4} around it. */
export function udp(fields: UdpFields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const out = new Uint8Array(8 + body.length);
  const view = viewOf(out);
  view.setUint16(0, fields.sport ?? 0);
  view.setUint16(2, fields.dport ?? 0);
  view.setUint16(4, fields.length ?? out.length);
  view.setUint16(6, fields.checksum ?? 0);
  out.set(body, 8);
  return note(out, IPPROTO.UDP, fields.checksum === undefined ? 6 : undefined);
}

/** Fields of a TCP segment. */
export interface TcpFields {
  sport?: number;
  dport?: number;
  seq?: number;
  ack?: number;
  /** Letters as tcpdump has them: `"S"`, `"SA"`, `"FA"`, `"R"`, `"PA"`, `"U"`, `"E"` (ECE), `"C"` (CWR); or the byte. */
  flags?: string | number;
  /** Data offset in words, as written. */
  dataOffset?: number;
  window?: number;
  checksum?: number;
  urgent?: number;
  /** Raw options, padded with zeros to a multiple of four. */
  options?: BytesLike;
}

/** A TCP segment. Its checksum is filled in by the {@linkcode ipv4} around it. */
export function tcp(fields: TcpFields, payload: BytesLike = []): Uint8Array {
  const body = bytes(payload);
  const options = bytes(fields.options ?? []);
  const headerLength = 20 + ((options.length + 3) & ~3);
  const out = new Uint8Array(headerLength + body.length);
  const view = viewOf(out);
  view.setUint16(0, fields.sport ?? 0);
  view.setUint16(2, fields.dport ?? 0);
  view.setUint32(4, fields.seq ?? 0);
  view.setUint32(8, fields.ack ?? 0);
  view.setUint8(12, (fields.dataOffset ?? headerLength >> 2) << 4);
  const flags = fields.flags ?? "S";
  let bits = 0;
  if (typeof flags === "number") bits = flags;
  else for (const letter of flags) bits |= 1 << "FSRPAUEC".indexOf(letter);
  view.setUint8(13, bits);
  view.setUint16(14, fields.window ?? 65535);
  view.setUint16(16, fields.checksum ?? 0);
  view.setUint16(18, fields.urgent ?? 0);
  out.set(options, 20);
  out.set(body, headerLength);
  return note(out, IPPROTO.TCP, fields.checksum === undefined ? 16 : undefined);
}

// --- repairs ----------------------------------------------------------------------------------------------------------------------

/** Recomputes an IPv4 packet's header checksum in place (by the header length it claims, as far as there are bytes). */
export function fixIpv4Checksum(packet: Uint8Array, at = 0): void {
  if (packet.length < at + 20) return;
  const end = Math.min(packet.length, at + Math.max(20, (packet[at] & 15) * 4));
  const view = viewOf(packet);
  view.setUint16(at + 10, 0);
  view.setUint16(at + 10, internetChecksum(packet, at, end));
}

/**
 * Recomputes every checksum of an Ethernet frame in place: IPv4, then ICMP, UDP or TCP if the packet is whole (no fragment) and long
 * enough. For mutations that should get past the checksum.
 */
export function fixChecksums(frame: Uint8Array): void {
  if (frame.length < 34 || viewOf(frame).getUint16(12) !== ETH_P.IP) return;
  const view = viewOf(frame);
  fixIpv4Checksum(frame, 14);
  const start = 14 + (frame[14] & 15) * 4;
  const end = Math.min(frame.length, 14 + view.getUint16(16));
  if (start < 34 || (view.getUint16(20) & 0x3fff) !== 0) return;
  const proto = view.getUint8(23);
  const at = start + (proto === IPPROTO.ICMP ? 2 : proto === IPPROTO.UDP ? 6 : 16);
  if (proto !== IPPROTO.ICMP && proto !== IPPROTO.UDP && proto !== IPPROTO.TCP) return;
  if (at + 2 > end) return;
  view.setUint16(at, 0);
  const pseudo = proto === IPPROTO.ICMP
    ? 0
    : pseudoSum(frame.subarray(26, 30), frame.subarray(30, 34), proto, end - start);
  const sum = internetChecksum(frame, start, end, pseudo);
  view.setUint16(at, sum === 0 && proto === IPPROTO.UDP ? 0xffff : sum);
}
