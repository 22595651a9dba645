/**
 * Bytes as packets: what a test looks at. Never throws: what is malformed is told in `problems`.
 */
import { macToString } from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/mod.ts";
import {
  checksum,
  flagLetters,
  ICMP_QUOTES,
  type IcmpLayer,
  type IpLayer,
  type Packet,
  pseudoSum,
  type TcpLayer,
  type TcpOptions,
} from "./packet.ts";

type Draft = { -readonly [K in keyof Packet]: Packet[K] } & {
  problems: string[];
  checks: { ip: number; transport: number };
};

/** How bytes are read. */
export interface ReadOptions {
  /** What they begin with. Default `ethernet`. */
  link?: "ethernet" | "ip" | "arp";
  /** The device was to complete the transport checksum: it counts as good. Default false. */
  partial?: boolean;
  /** They are the front of a packet, as an ICMP error quotes it: lengths and checksums are not held against it. */
  quoted?: boolean;
}

/** Reads a frame, or a bare packet. See {@linkcode Packet}. */
export function readPacket(bytes: Uint8Array, options: ReadOptions = {}): Packet {
  const p: Draft = {
    eth: null,
    vlan: null,
    arp: null,
    ip: null,
    icmp: null,
    udp: null,
    tcp: null,
    payload: bytes,
    checks: { ip: 0, transport: 0 },
    problems: [],
    bytes,
  };
  const { link = "ethernet" } = options;
  if (link === "ip") readIp(p, bytes, options);
  else if (link === "arp") readArp(p, bytes);
  else readEth(p, bytes, options);
  return p;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function macAt(v: DataView, at: number): string {
  return macToString(v.getUint16(at), v.getInt32(at + 2));
}

function readEth(p: Draft, bytes: Uint8Array, options: ReadOptions): void {
  if (bytes.length < 14) return void p.problems.push(`${bytes.length} bytes are no Ethernet header`);
  const v = viewOf(bytes);
  let type = v.getUint16(12);
  let at = 14;
  if (type === 0x8100 && bytes.length >= 18) {
    const tci = v.getUint16(14);
    p.vlan = { vid: tci & 0xfff, pcp: tci >> 13, dei: (tci & 0x1000) !== 0 };
    type = v.getUint16(16);
    at = 18;
  }
  p.eth = { dst: macAt(v, 0), src: macAt(v, 6), type };
  p.payload = bytes.subarray(at);
  if (type === 0x0800) readIp(p, p.payload, options);
  else if (type === 0x0806) readArp(p, p.payload);
}

function readArp(p: Draft, bytes: Uint8Array): void {
  if (bytes.length < 28) return void p.problems.push(`${bytes.length} bytes are no ARP packet`);
  const v = viewOf(bytes);
  const ip = (at: number): string => ipToString(v.getInt32(at));
  p.arp = { op: v.getUint16(6), sha: macAt(v, 8), spa: ip(14), tha: macAt(v, 18), tpa: ip(24) };
  p.payload = bytes.subarray(28, 28);
}

function readIp(p: Draft, bytes: Uint8Array, options: ReadOptions): void {
  if (bytes.length < 20) return void p.problems.push(`${bytes.length} bytes are no IPv4 header`);
  const v = viewOf(bytes);
  const hlen = (bytes[0] & 15) * 4;
  const totLen = v.getUint16(2);
  const word = v.getUint16(6);
  const ip: IpLayer = p.ip = {
    src: ipToString(v.getInt32(12)),
    dst: ipToString(v.getInt32(16)),
    ttl: bytes[8],
    tos: bytes[1],
    id: v.getUint16(4),
    df: (word & 0x4000) !== 0,
    mf: (word & 0x2000) !== 0,
    offset: (word & 0x1fff) * 8,
    protocol: bytes[9],
    version: bytes[0] >> 4,
    totLen,
    options: bytes.subarray(20, Math.max(20, hlen)),
    check: checksum(bytes.subarray(0, hlen)) === 0 ? "good" : "bad",
  };
  p.checks.ip = v.getUint16(10);
  if (ip.version !== 4) p.problems.push(`IP version ${ip.version}, not 4`);
  if (hlen < 20 || hlen > bytes.length) return void p.problems.push(`IPv4 header of ${hlen} bytes`);
  if (!options.quoted && totLen > bytes.length) p.problems.push(`IPv4 says ${totLen} bytes, ${bytes.length} are there`);
  // What is behind the datagram is the frame's padding.
  const above = p.payload = bytes.subarray(hlen, Math.max(hlen, Math.min(totLen, bytes.length)));
  if (ip.offset !== 0) return;
  const trust = options.partial === true || options.quoted === true || ip.mf;
  if (ip.protocol === 6) readTcp(p, bytes, above, trust);
  else if (ip.protocol === 17) readUdp(p, bytes, above, trust);
  else if (ip.protocol === 1) readIcmp(p, above, trust);
}

function readUdp(p: Draft, ip: Uint8Array, bytes: Uint8Array, trust: boolean): void {
  if (bytes.length < 8) return void p.problems.push(`${bytes.length} bytes are no UDP header`);
  const v = viewOf(bytes);
  const length = v.getUint16(4);
  p.checks.transport = v.getUint16(6);
  const ok = trust || p.checks.transport === 0 || checksum(bytes, pseudoSum(ip, 17, bytes.length)) === 0;
  p.udp = { sport: v.getUint16(0), dport: v.getUint16(2), length, check: ok ? "good" : "bad" };
  if (!trust && length !== bytes.length) p.problems.push(`UDP says ${length} bytes, ${bytes.length} are there`);
  p.payload = bytes.subarray(8);
}

function readTcp(p: Draft, ip: Uint8Array, bytes: Uint8Array, trust: boolean): void {
  if (bytes.length < (trust ? 8 : 20)) return void p.problems.push(`${bytes.length} bytes are no TCP header`);
  const v = viewOf(bytes);
  const whole = bytes.length >= 20;
  const doff = whole ? bytes[12] >> 4 << 2 : 20;
  p.checks.transport = whole ? v.getUint16(16) : 0;
  const tcp: TcpLayer = p.tcp = {
    sport: v.getUint16(0),
    dport: v.getUint16(2),
    seq: v.getUint32(4),
    ack: whole ? v.getUint32(8) : 0,
    flags: whole ? flagLetters(bytes[13]) : "",
    window: whole ? v.getUint16(14) : 0,
    urg: whole ? v.getUint16(18) : 0,
    options: {},
    check: trust || checksum(bytes, pseudoSum(ip, 6, bytes.length)) === 0 ? "good" : "bad",
  };
  if (!trust && (doff < 20 || doff > bytes.length)) return void p.problems.push(`TCP data offset of ${doff} bytes`);
  tcp.options = readOptions(p, bytes.subarray(20, doff));
  p.payload = bytes.subarray(Math.min(doff, bytes.length));
}

function readOptions(p: Draft, bytes: Uint8Array): TcpOptions {
  const out: TcpOptions = {};
  const v = viewOf(bytes);
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    const length = at + 1 < bytes.length ? bytes[at + 1] : 0;
    if (length < 2 || at + length > bytes.length) {
      p.problems.push(`TCP option ${bytes[at]} of ${length} bytes`);
      break;
    }
    const kind = bytes[at];
    if (kind === 2 && length === 4) out.mss = v.getUint16(at + 2);
    else if (kind === 3 && length === 3) out.wscale = bytes[at + 2];
    else if (kind === 4 && length === 2) out.sackPermitted = true;
    else if (kind === 8 && length === 10) out.timestamp = [v.getUint32(at + 2), v.getUint32(at + 6)];
    else if (kind === 5 && length % 8 === 2) {
      const from = at + 2;
      out.sack = Array.from(
        { length: length >> 3 },
        (_, i) => [v.getUint32(from + i * 8), v.getUint32(from + i * 8 + 4)],
      );
    }
    at += length;
  }
  return out;
}

function readIcmp(p: Draft, bytes: Uint8Array, trust: boolean): void {
  if (bytes.length < 8) return void p.problems.push(`${bytes.length} bytes are no ICMP header`);
  const v = viewOf(bytes);
  p.checks.transport = v.getUint16(2);
  const check = trust || checksum(bytes) === 0 ? "good" : "bad";
  const head: IcmpLayer = { type: bytes[0], code: bytes[1], id: v.getUint16(4), seq: v.getUint16(6), check };
  p.payload = bytes.subarray(8);
  const quoted = ICMP_QUOTES.includes(head.type) ? readPacket(p.payload, { link: "ip", quoted: true }) : null;
  p.icmp = { ...head, quoted };
}

/** One line about a packet: `UDP 10.0.0.1:4096 > 10.0.0.2:7, "hello"`. */
export function packetText(p: Packet): string {
  const wrong = [
    ...(p.ip?.check === "bad" ? ["bad IP checksum"] : []),
    ...([p.udp, p.tcp, p.icmp].some((l) => l?.check === "bad") ? ["bad checksum"] : []),
    ...p.problems,
  ];
  const vlan = p.vlan === null ? "" : `vlan ${p.vlan.vid} `;
  return vlan + layerText(p) + (wrong.length === 0 ? "" : ` (${wrong.join("; ")})`);
}

function layerText(p: Packet): string {
  const { arp, ip, udp, tcp, icmp } = p;
  if (arp !== null) {
    if (arp.op === 1) return `ARP who has ${arp.tpa}? tell ${arp.spa}`;
    return arp.op === 2 ? `ARP ${arp.spa} is at ${arp.sha}` : `ARP op ${arp.op}`;
  }
  if (ip === null) return p.eth === null ? `${p.bytes.length} bytes` : `EtherType 0x${p.eth.type.toString(16)}`;
  const part = ip.mf || ip.offset !== 0 ? `, fragment at ${ip.offset}${ip.mf ? "+" : ""}` : "";
  const load = p.payload.length === 0 ? "" : `, ${payloadText(p.payload)}`;
  if (udp !== null) return `UDP ${ip.src}:${udp.sport} > ${ip.dst}:${udp.dport}${load}${part}`;
  if (tcp !== null) {
    const numbers = `${tcp.flags || "no flags"} seq ${tcp.seq}${
      tcp.flags.includes("A") ? ` ack ${tcp.ack}` : ""
    } win ${tcp.window}`;
    return `TCP ${ip.src}:${tcp.sport} > ${ip.dst}:${tcp.dport} ${numbers}${load}${part}`;
  }
  if (icmp !== null) {
    const about = icmp.quoted === null ? ` id ${icmp.id} seq ${icmp.seq}` : ` about ${packetText(icmp.quoted)}`;
    return `ICMP ${ip.src} > ${ip.dst} type ${icmp.type} code ${icmp.code}${about}${part}`;
  }
  return `IPv4 ${ip.src} > ${ip.dst} protocol ${ip.protocol}${load}${part}`;
}

function payloadText(bytes: Uint8Array): string {
  const text = bytes.length <= 40 && bytes.every((b) => b >= 32 && b < 127);
  return text ? JSON.stringify(String.fromCharCode(...bytes)) : `${bytes.length} bytes`;
}
