/**
 * Packets as bytes: what a script injects, and what the stack sent. Not on the packet path: the tester's own end of the
 * link, written independently of the stack's headers so that both cannot share a mistake.
 *
 * @module
 */
import type { TcpOption } from "./script.ts";

/** IPPROTO_*. */
export const IPPROTO_ICMP = 1;
/** IPPROTO_*. */
export const IPPROTO_TCP = 6;
/** IPPROTO_*. */
export const IPPROTO_UDP = 17;

/** A TCP segment. */
export interface WireTcp {
  seq: number;
  ack: number;
  flags: number;
  win: number;
  urg: number;
  /** Options as bytes, padding included. */
  options: Uint8Array;
  /** Bits between data offset and flags that must be zero. */
  reserved: number;
}

/** An ICMP message. */
export interface WireIcmp {
  type: number;
  code: number;
  /** The second word of the header. */
  rest: number;
  /** What it carries. */
  body: Uint8Array;
}

/** An IPv4 packet that was seen. Addresses as unsigned numbers. */
export interface WirePacket {
  /** ns of the machine's clock. */
  time: number;
  saddr: number;
  daddr: number;
  sport: number;
  dport: number;
  tos: number;
  ttl: number;
  protocol: number;
  /** Payload bytes of TCP or UDP. */
  len: number;
  /** First payload byte that is not zero, or -1. */
  notZero: number;
  tcp: WireTcp | null;
  icmp: WireIcmp | null;
  /** Why the packet is malformed, empty: it is not. */
  bad: string;
}

/** Internet checksum over `bytes`, with a start value. RFC 1071. */
export function checksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if ((bytes.length & 1) !== 0) sum += bytes[bytes.length - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** What the IP header of an injected packet says. */
export interface IpSpec {
  saddr: number;
  daddr: number;
  protocol: number;
  tos: number;
  ttl: number;
  /** Identification. */
  id: number;
}

/** An IPv4 packet around `payload`, with its checksums. Longer than 65,535 bytes is a RangeError. */
export function buildIpv4(ip: IpSpec, payload: Uint8Array, transport: number): Uint8Array {
  const total = 20 + payload.length;
  if (total > 65535) throw new RangeError(`Cannot inject ${total} bytes: an IPv4 packet has at most 65,535`);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  view.setUint8(0, 0x45);
  view.setUint8(1, ip.tos);
  view.setUint16(2, total);
  view.setUint16(4, ip.id & 0xffff);
  view.setUint8(8, ip.ttl);
  view.setUint8(9, ip.protocol);
  view.setUint32(12, ip.saddr >>> 0);
  view.setUint32(16, ip.daddr >>> 0);
  view.setUint16(10, checksum(out.subarray(0, 20)));
  out.set(payload, 20);
  if (transport >= 0) {
    const pseudo = new DataView(new ArrayBuffer(12));
    pseudo.setUint32(0, ip.saddr >>> 0);
    pseudo.setUint32(4, ip.daddr >>> 0);
    pseudo.setUint16(8, ip.protocol);
    pseudo.setUint16(10, payload.length);
    const begin = ~checksum(new Uint8Array(pseudo.buffer)) & 0xffff;
    const sum = checksum(out.subarray(20), begin);
    view.setUint16(20 + transport, ip.protocol === IPPROTO_UDP && sum === 0 ? 0xffff : sum);
  }
  return out;
}

/** Bytes of a TCP header and `len` zeros behind it; the checksum is still 0. */
export function buildTcp(sport: number, dport: number, tcp: Omit<WireTcp, "reserved">, len: number): Uint8Array {
  const head = 20 + tcp.options.length;
  const out = new Uint8Array(head + len);
  const view = new DataView(out.buffer);
  view.setUint16(0, sport);
  view.setUint16(2, dport);
  view.setUint32(4, tcp.seq >>> 0);
  view.setUint32(8, tcp.ack >>> 0);
  view.setUint16(12, (head >> 2) << 12 | (tcp.flags & 0x1ff));
  view.setUint16(14, tcp.win);
  view.setUint16(18, tcp.urg);
  out.set(tcp.options, 20);
  return out;
}

/** Bytes of a UDP header and `len` zeros behind it. */
export function buildUdp(sport: number, dport: number, len: number): Uint8Array {
  const out = new Uint8Array(8 + len);
  const view = new DataView(out.buffer);
  view.setUint16(0, sport);
  view.setUint16(2, dport);
  view.setUint16(4, out.length);
  return out;
}

/** Bytes of an ICMP message, with its checksum. */
export function buildIcmp(icmp: WireIcmp): Uint8Array {
  const out = new Uint8Array(8 + icmp.body.length);
  const view = new DataView(out.buffer);
  view.setUint8(0, icmp.type);
  view.setUint8(1, icmp.code);
  view.setUint32(4, icmp.rest >>> 0);
  out.set(icmp.body, 8);
  view.setUint16(2, checksum(out));
  return out;
}

/** Reads a packet that the stack sent. `partial`: the device was to complete the checksum. */
export function readPacket(bytes: Uint8Array, time: number, partial: boolean): WirePacket {
  const p: WirePacket = {
    time,
    saddr: 0,
    daddr: 0,
    sport: 0,
    dport: 0,
    tos: 0,
    ttl: 0,
    protocol: 0,
    len: 0,
    notZero: -1,
    tcp: null,
    icmp: null,
    bad: "",
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 20) return { ...p, bad: `${bytes.length} bytes are no IPv4 header` };
  const ihl = (bytes[0] & 15) * 4;
  p.tos = bytes[1];
  p.ttl = bytes[8];
  p.protocol = bytes[9];
  p.saddr = view.getUint32(12);
  p.daddr = view.getUint32(16);
  if (bytes[0] >> 4 !== 4) p.bad = `IP version ${bytes[0] >> 4}, not 4`;
  else if (ihl !== 20) p.bad = `IPv4 header of ${ihl} bytes, not 20`;
  else if (view.getUint16(2) !== bytes.length) p.bad = `IPv4 total length ${view.getUint16(2)}, not ${bytes.length}`;
  else if (checksum(bytes.subarray(0, ihl)) !== 0) p.bad = "IPv4 header checksum is wrong";
  if (p.bad !== "") return p;
  const body = bytes.subarray(ihl);
  if (p.protocol === IPPROTO_TCP) readTcp(p, body);
  else if (p.protocol === IPPROTO_UDP) readUdp(p, body);
  else if (p.protocol === IPPROTO_ICMP) readIcmp(p, body);
  if (p.bad === "" && !partial && (p.tcp !== null || (p.protocol === IPPROTO_UDP && view.getUint16(ihl + 6) !== 0))) {
    const pseudo = new DataView(new ArrayBuffer(12));
    pseudo.setUint32(0, p.saddr);
    pseudo.setUint32(4, p.daddr);
    pseudo.setUint16(8, p.protocol);
    pseudo.setUint16(10, body.length);
    const begin = ~checksum(new Uint8Array(pseudo.buffer)) & 0xffff;
    if (checksum(body, begin) !== 0) p.bad = "checksum of the transport header is wrong";
  }
  return p;
}

function readTcp(p: WirePacket, body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 20) return void (p.bad = `${body.length} bytes are no TCP header`);
  const word = view.getUint16(12);
  const doff = (word >> 12) * 4;
  if (doff < 20 || doff > body.length) return void (p.bad = `TCP data offset ${doff}`);
  p.sport = view.getUint16(0);
  p.dport = view.getUint16(2);
  p.tcp = {
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: word & 0x1ff,
    reserved: (word >> 9) & 7,
    win: view.getUint16(14),
    urg: view.getUint16(18),
    options: body.slice(20, doff),
  };
  payload(p, body, doff);
}

function readUdp(p: WirePacket, body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 8) return void (p.bad = `${body.length} bytes are no UDP header`);
  p.sport = view.getUint16(0);
  p.dport = view.getUint16(2);
  if (view.getUint16(4) !== body.length) p.bad = `UDP length ${view.getUint16(4)}, not ${body.length}`;
  payload(p, body, 8);
}

function readIcmp(p: WirePacket, body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 8) return void (p.bad = `${body.length} bytes are no ICMP header`);
  if (checksum(body) !== 0) p.bad = "ICMP checksum is wrong";
  p.icmp = { type: body[0], code: body[1], rest: view.getUint32(4), body: body.slice(8) };
}

function payload(p: WirePacket, body: Uint8Array, from: number): void {
  p.len = body.length - from;
  for (let i = from; i < body.length && p.notZero < 0; i++) if (body[i] !== 0) p.notZero = i - from;
}

// ---------------------------------------------------------------------------------------------------------------------
// Options

const KINDS = { eol: 0, nop: 1, mss: 2, wscale: 3, sackOK: 4, sack: 5, TS: 8, md5: 19, FO: 34, FOEXP: 254 } as const;
/** Accurate ECN, order 0 and 1. draft-ietf-tcpm-accurate-ecn section 3.2.3. */
const ACCECN = [172, 174] as const;
const ACCECN_ORDER = [["e0b", "ceb", "e1b"], ["e1b", "ceb", "e0b"]] as const;
const FOEXP_MAGIC = 0xf989;

/** Options to bytes. The sum of their lengths must be a multiple of 4 and at most 40. */
export function encodeOptions(options: readonly TcpOption[]): Uint8Array {
  const out: number[] = [];
  const u32 = (v: number): void => void out.push(v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255);
  for (const o of options) {
    switch (o.kind) {
      case "eol":
      case "nop":
        out.push(KINDS[o.kind]);
        break;
      case "sackOK":
        out.push(KINDS.sackOK, 2);
        break;
      case "mss":
        out.push(KINDS.mss, 4, (o.value >> 8) & 255, o.value & 255);
        break;
      case "wscale":
        out.push(KINDS.wscale, 3, o.value & 255);
        break;
      case "TS":
        out.push(KINDS.TS, 10);
        u32(o.val);
        u32(o.ecr);
        break;
      case "sack":
        out.push(KINDS.sack, 2 + 8 * o.blocks.length);
        for (const [from, to] of o.blocks) {
          u32(from);
          u32(to);
        }
        break;
      case "md5":
      case "FO":
        out.push(KINDS[o.kind], 2 + o.hex.length / 2, ...hexBytes(o.hex));
        break;
      case "FOEXP":
        out.push(KINDS.FOEXP, 4 + o.hex.length / 2, FOEXP_MAGIC >> 8, FOEXP_MAGIC & 255, ...hexBytes(o.hex));
        break;
      case "ECN":
        encodeAccEcn(out, o.fields);
        break;
      case "other":
        out.push(o.number, 2 + o.hex.length / 2, ...hexBytes(o.hex));
    }
  }
  return Uint8Array.from(out);
}

function encodeAccEcn(out: number[], fields: readonly (readonly [string, number])[]): void {
  const order = fields.length > 0 && fields[0][0] === "e1b" ? 1 : 0;
  out.push(ACCECN[order], 2 + 3 * fields.length);
  for (const [, value] of fields) out.push((value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

function hexBytes(hex: string): number[] {
  return (hex.match(/../g) ?? []).map((b) => parseInt(b, 16));
}

/** Bytes to options; null: a length is wrong. */
export function decodeOptions(bytes: Uint8Array): TcpOption[] | null {
  const out: TcpOption[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < bytes.length;) {
    const kind = bytes[i];
    if (kind === KINDS.eol || kind === KINDS.nop) {
      out.push({ kind: kind === KINDS.eol ? "eol" : "nop" });
      i++;
      continue;
    }
    const len = bytes[i + 1] ?? 0;
    if (len < 2 || i + len > bytes.length) return null;
    out.push(decodeOption(kind, bytes.subarray(i + 2, i + len), view, i + 2));
    i += len;
  }
  return out;
}

function decodeOption(kind: number, body: Uint8Array, view: DataView, at: number): TcpOption {
  const hex = [...body].map((b) => b.toString(16).padStart(2, "0")).join("");
  if (kind === KINDS.mss && body.length === 2) return { kind: "mss", value: view.getUint16(at) };
  if (kind === KINDS.wscale && body.length === 1) return { kind: "wscale", value: body[0] };
  if (kind === KINDS.sackOK && body.length === 0) return { kind: "sackOK" };
  if (kind === KINDS.TS && body.length === 8) {
    return { kind: "TS", val: view.getUint32(at), ecr: view.getUint32(at + 4) };
  }
  if (kind === KINDS.sack && body.length % 8 === 0) {
    const blocks: [number, number][] = [];
    for (let i = 0; i < body.length; i += 8) blocks.push([view.getUint32(at + i), view.getUint32(at + i + 4)]);
    return { kind: "sack", blocks };
  }
  if (kind === KINDS.md5) return { kind: "md5", hex };
  if (kind === KINDS.FO) return { kind: "FO", hex };
  if (kind === KINDS.FOEXP && hex.startsWith("f989")) return { kind: "FOEXP", hex: hex.slice(4) };
  const order = ACCECN.indexOf(kind as 172 | 174);
  if (order >= 0 && body.length % 3 === 0 && body.length <= 9) {
    const fields: [string, number][] = [];
    for (let i = 0; i < body.length; i += 3) {
      fields.push([ACCECN_ORDER[order][i / 3], body[i] << 16 | body[i + 1] << 8 | body[i + 2]]);
    }
    return { kind: "ECN", fields };
  }
  return { kind: "other", number: kind, hex };
}

/** Options as a script writes them. */
export function optionsText(options: readonly TcpOption[]): string {
  return `<${options.map(optionText).join(",")}>`;
}

function optionText(o: TcpOption): string {
  switch (o.kind) {
    case "mss":
    case "wscale":
      return `${o.kind} ${o.value}`;
    case "TS":
      return `TS val ${o.val} ecr ${o.ecr}`;
    case "sack":
      return `sack ${o.blocks.map(([a, b]) => `${a}:${b}`).join(" ")}`;
    case "md5":
    case "FO":
    case "FOEXP":
      return o.hex === "" ? o.kind : `${o.kind} ${o.hex}`;
    case "ECN":
      return `ECN ${o.fields.map(([name, v]) => `${name} ${v}`).join(" ")}`;
    case "other":
      return `kind ${o.number} ${o.hex}`;
    default:
      return o.kind;
  }
}

/** Dotted form of an address. */
export function addressText(addr: number): string {
  return [24, 16, 8, 0].map((n) => (addr >>> n) & 255).join(".");
}
