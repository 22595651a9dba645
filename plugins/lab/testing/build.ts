/**
 * Packets as bytes: what a test sends. What is not said is filled in, checksums and lengths included.
 */
import { concatBytes, parseMac } from "../../../core/mod.ts";
import { parseIp } from "../../network/inet/mod.ts";
import {
  type ArpLayer,
  checksum,
  flagBits,
  type IpLayer,
  type Packet,
  type PacketSpec,
  pseudoSum,
  type TcpOptions,
  type UdpLayer,
} from "./packet.ts";

const NO_BYTES = new Uint8Array(0);
const TYPES = { ip: 0x0800, arp: 0x0806, vlan: 0x8100 };

/**
 * The frame of a spec.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildPacket, readPacket } from "@netpath/stack/testing";
 *
 * const frame = buildPacket({ ip: { dst: "10.0.0.2" }, udp: { dport: 7 }, payload: "hello" });
 * const { ip, udp, payload } = readPacket(frame);
 * assertEquals([ip?.ttl, ip?.check, udp?.length, udp?.check], [64, "good", 13, "good"]);
 * assertEquals(new TextDecoder().decode(payload), "hello");
 * ```
 */
export function buildPacket(spec: PacketSpec): Uint8Array<ArrayBuffer> {
  const network = spec.arp === undefined ? ipPacket(spec) : arpPacket(spec.arp);
  if (spec.eth === null) return network;
  const own = spec.arp === undefined ? TYPES.ip : TYPES.arp;
  const bare = spec.arp === undefined && network.length === 0;
  const { src = "02:00:00:00:00:01", type = bare ? 0x88b5 : own } = spec.eth ?? {};
  const toAll = spec.arp !== undefined && (spec.arp.op ?? 1) === 1;
  const dst = spec.eth?.dst ?? (toAll ? "ff:ff:ff:ff:ff:ff" : "02:00:00:00:00:02");
  const tag = spec.vlan === undefined ? 0 : 4;
  const head = new DataView(new ArrayBuffer(14 + tag));
  putMac(head, 0, dst);
  putMac(head, 6, src);
  if (spec.vlan !== undefined) {
    const { vid = 1, pcp = 0, dei = false } = spec.vlan;
    head.setUint16(12, TYPES.vlan);
    head.setUint16(14, pcp << 13 | (dei ? 0x1000 : 0) | vid & 0xfff);
  }
  head.setUint16(12 + tag, type);
  return concatBytes([new Uint8Array(head.buffer), bare ? payloadOf(spec) : network]);
}

/** What answers a packet: addresses and ports turned round, TCP's numbers go on, an echo request gets its reply. */
export function replyTo(packet: Packet, spec: PacketSpec = {}): PacketSpec {
  const { eth, ip, udp, tcp, icmp, arp } = packet;
  const out: PacketSpec = { ...spec };
  out.eth = spec.eth === null || eth === null ? null : { src: eth.dst, dst: eth.src, ...spec.eth };
  if (ip !== null) out.ip = { src: ip.dst, dst: ip.src, ...spec.ip };
  if (udp !== null) out.udp = { sport: udp.dport, dport: udp.sport, ...spec.udp };
  if (tcp !== null) {
    const syn = tcp.flags.includes("S");
    const taken = packet.payload.length + (syn || tcp.flags.includes("F") ? 1 : 0);
    const numbers = { seq: tcp.ack, ack: (tcp.seq + taken) >>> 0, flags: syn ? "SA" : "A" };
    out.tcp = { sport: tcp.dport, dport: tcp.sport, ...numbers, ...spec.tcp };
  }
  if (icmp !== null && icmp.type === 8) {
    out.icmp = { type: 0, code: 0, id: icmp.id, seq: icmp.seq, ...spec.icmp };
    out.payload = spec.payload ?? packet.payload;
  }
  if (arp !== null) out.arp = { op: 2, spa: arp.tpa, tpa: arp.spa, tha: arp.sha, ...spec.arp };
  return out;
}

function payloadOf(spec: PacketSpec): Uint8Array {
  return typeof spec.payload === "string" ? new TextEncoder().encode(spec.payload) : spec.payload ?? NO_BYTES;
}

function arpPacket(arp: Partial<ArpLayer>): Uint8Array<ArrayBuffer> {
  const v = new DataView(new ArrayBuffer(28));
  v.setUint32(0, 0x00010800);
  v.setUint16(4, 0x0604);
  v.setUint16(6, arp.op ?? 1);
  putMac(v, 8, arp.sha ?? "02:00:00:00:00:01");
  putIp(v, 14, arp.spa ?? "10.0.0.1");
  putMac(v, 18, arp.tha ?? "00:00:00:00:00:00");
  putIp(v, 24, arp.tpa ?? "10.0.0.2");
  return new Uint8Array(v.buffer);
}

function ipPacket(spec: PacketSpec): Uint8Array<ArrayBuffer> {
  const { udp, tcp, icmp } = spec;
  if (spec.ip === undefined && udp === undefined && tcp === undefined && icmp === undefined) return NO_BYTES;
  const ip = spec.ip ?? {};
  const above = tcp !== undefined ? tcpPacket(spec) : udp !== undefined ? udpPacket(spec) : icmpPacket(spec);
  const protocol = ip.protocol ?? (tcp !== undefined ? 6 : udp !== undefined ? 17 : icmp !== undefined ? 1 : 253);
  const head = ipHeader(ip, protocol, above.length);
  sumTransport(spec, head, above, protocol);
  return concatBytes([head, above]);
}

function ipHeader(ip: Partial<IpLayer>, protocol: number, length: number): Uint8Array<ArrayBuffer> {
  const options = ip.options ?? NO_BYTES;
  if (options.length % 4 !== 0 || options.length > 40) {
    throw new RangeError(`Cannot build ${options.length} bytes of IP options: it takes a multiple of 4 up to 40`);
  }
  const out = new Uint8Array(20 + options.length);
  const v = new DataView(out.buffer);
  v.setUint8(0, (ip.version ?? 4) << 4 | out.length >> 2);
  v.setUint8(1, ip.tos ?? 0);
  v.setUint16(2, ip.totLen ?? out.length + length);
  v.setUint16(4, ip.id ?? 0);
  v.setUint16(6, (ip.df ? 0x4000 : 0) | (ip.mf ? 0x2000 : 0) | (ip.offset ?? 0) >> 3);
  v.setUint8(8, ip.ttl ?? 64);
  v.setUint8(9, protocol);
  putIp(v, 12, ip.src ?? "10.0.0.1");
  putIp(v, 16, ip.dst ?? "10.0.0.2");
  out.set(options, 20);
  v.setUint16(10, chosen(ip.check, checksum(out)));
  return out;
}

/** The right checksum, a wrong one, or what was said. */
function chosen(check: Partial<UdpLayer>["check"], right: number): number {
  if (typeof check === "number") return check;
  return check === "bad" ? right ^ 0x5555 : right;
}

function sumTransport(spec: PacketSpec, head: Uint8Array, above: Uint8Array, protocol: number): void {
  const at = spec.tcp !== undefined ? 16 : spec.udp !== undefined ? 6 : spec.icmp !== undefined ? 2 : -1;
  if (at < 0) return;
  const start = at === 2 ? 0 : pseudoSum(head, protocol, above.length);
  const sum = checksum(above, start);
  const check = (spec.tcp ?? spec.udp ?? spec.icmp)!.check;
  new DataView(above.buffer, above.byteOffset).setUint16(at, chosen(check, at === 6 && sum === 0 ? 0xffff : sum));
}

function udpPacket(spec: PacketSpec): Uint8Array {
  const payload = payloadOf(spec);
  const { sport = 49152, dport = 9, length = 8 + payload.length } = spec.udp!;
  const out = new Uint8Array(8 + payload.length);
  const v = new DataView(out.buffer);
  v.setUint16(0, sport);
  v.setUint16(2, dport);
  v.setUint16(4, length);
  out.set(payload, 8);
  return out;
}

function icmpPacket(spec: PacketSpec): Uint8Array {
  const payload = payloadOf(spec);
  if (spec.icmp === undefined) return payload;
  const { type = 8, code = 0, id = type === 8 || type === 0 ? 1 : 0, seq = id, quoted } = spec.icmp;
  const quote = quoted instanceof Uint8Array ? quoted : quoted && buildPacket({ ...quoted, eth: null });
  const body = quote ?? payload;
  const out = new Uint8Array(8 + body.length);
  const v = new DataView(out.buffer);
  v.setUint8(0, type);
  v.setUint8(1, code);
  v.setUint16(4, id);
  v.setUint16(6, seq);
  out.set(body, 8);
  return out;
}

function tcpPacket(spec: PacketSpec): Uint8Array {
  const { sport = 49152, dport = 80, seq = 0, ack = 0, flags = "S", window = 65535, urg = 0 } = spec.tcp!;
  const options = tcpOptions(spec.tcp!.options ?? {});
  const payload = payloadOf(spec);
  const head = 20 + options.length;
  if (head > 60) throw new RangeError(`Cannot build ${options.length} bytes of TCP options: there is room for 40`);
  const out = new Uint8Array(head + payload.length);
  const v = new DataView(out.buffer);
  v.setUint16(0, sport);
  v.setUint16(2, dport);
  v.setUint32(4, seq >>> 0);
  v.setUint32(8, ack >>> 0);
  v.setUint16(12, head >> 2 << 12 | flagBits(flags));
  v.setUint16(14, window);
  v.setUint16(18, urg);
  out.set(options, 20);
  out.set(payload, head);
  return out;
}

/** Options in Linux's order, padded with NOPs in front as it does. */
function tcpOptions(o: TcpOptions): Uint8Array {
  const out: number[] = [];
  const word = (n: number): number[] => [n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255];
  if (o.mss !== undefined) out.push(2, 4, o.mss >> 8, o.mss & 255);
  if (o.timestamp !== undefined) {
    out.push(...(o.sackPermitted ? [4, 2] : [1, 1]), 8, 10, ...word(o.timestamp[0]), ...word(o.timestamp[1]));
  } else if (o.sackPermitted) out.push(1, 1, 4, 2);
  if (o.wscale !== undefined) out.push(1, 3, 3, o.wscale);
  if (o.sack !== undefined) {
    out.push(1, 1, 5, 2 + 8 * o.sack.length, ...o.sack.flatMap(([a, b]) => [...word(a), ...word(b)]));
  }
  return Uint8Array.from(out);
}

function putMac(v: DataView, at: number, text: string): void {
  const mac = parseMac(text);
  if (mac === null) {
    throw new TypeError(`Cannot build a packet with "${text}": expected an address such as 02:00:00:00:00:01`);
  }
  v.setUint16(at, mac[0]);
  v.setInt32(at + 2, mac[1]);
}

function putIp(v: DataView, at: number, text: string): void {
  const ip = parseIp(text);
  if (ip === null) throw new TypeError(`Cannot build a packet with "${text}": expected an address such as 10.0.0.1`);
  v.setInt32(at, ip);
}
