/**
 * Decodes a frame to a plain nested object, for comparing and printing. Takes any bytes and never throws: what is too short to read
 * says so in `truncated`, and what does not check out says so in `checksumOk` or `lengthOk`.
 *
 * @module
 */

import { hex, internetChecksum, ipText, macText, onesSum, pseudoSum } from "./bytes.ts";

/** A decoded Ethernet header. */
export interface DecodedEth {
  dst: string;
  src: string;
  type: number;
}

/** A decoded ARP packet. */
export interface DecodedArp {
  htype: number;
  ptype: number;
  hlen: number;
  plen: number;
  op: number;
  sha: string;
  spa: string;
  tha: string;
  tpa: string;
}

/** A decoded IPv4 header. `offset` is in bytes. */
export interface DecodedIpv4 {
  version: number;
  ihl: number;
  tos: number;
  totalLength: number;
  id: number;
  reserved: boolean;
  df: boolean;
  mf: boolean;
  offset: number;
  ttl: number;
  proto: number;
  checksum: number;
  checksumOk: boolean;
  lengthOk: boolean;
  src: string;
  dst: string;
  /** Hex of the options, empty if none. */
  options: string;
}

/** A decoded ICMP header; `quoted` is the packet inside an error. */
export interface DecodedIcmp {
  type: number;
  code: number;
  checksum: number;
  checksumOk: boolean;
  /** Echo, timestamp, address mask. */
  id?: number;
  seq?: number;
  /** Errors: bytes 4 to 7 under their names. */
  mtu?: number;
  gateway?: string;
  pointer?: number;
  /** Bytes 4 to 7 of every other type, and of errors besides the named part. */
  rest?: string;
  quoted?: Decoded;
}

/** A decoded UDP header. */
export interface DecodedUdp {
  sport: number;
  dport: number;
  length: number;
  checksum: number;
  checksumOk: boolean;
  lengthOk: boolean;
}

/** A decoded TCP header. */
export interface DecodedTcp {
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  dataOffset: number;
  flags: string;
  window: number;
  checksum: number;
  checksumOk: boolean;
  urgent: number;
  options: string;
}

/** A decoded frame: a layer is there if it was recognised. */
export interface Decoded {
  eth?: DecodedEth;
  /** VLAN tags, outermost first. */
  vlan?: { tpid: number; tci: number }[];
  arp?: DecodedArp;
  ipv4?: DecodedIpv4;
  icmp?: DecodedIcmp;
  udp?: DecodedUdp;
  tcp?: DecodedTcp;
  /** Hex of what is behind the last header. */
  payload?: string;
  /** Hex of what is behind the end that IPv4's total length, or ARP's 28 bytes, give: link padding. */
  trailer?: string;
  /** The layer that ran out of bytes. */
  truncated?: string;
}

/** Decodes an Ethernet frame. */
export function decode(frame: Uint8Array): Decoded {
  const out: Decoded = {};
  if (frame.length < 14) return { truncated: "eth", payload: hex(frame) };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  out.eth = { dst: macText(frame, 0), src: macText(frame, 6), type: view.getUint16(12) };
  let type = out.eth.type;
  let at = 14;
  while ((type === 0x8100 || type === 0x88a8) && frame.length >= at + 4) {
    (out.vlan ??= []).push({ tpid: type, tci: view.getUint16(at) });
    type = view.getUint16(at + 2);
    at += 4;
  }
  const rest = frame.subarray(at);
  if (type === 0x0800) decodeIpv4(rest, out, true);
  else if (type === 0x0806) decodeArp(rest, out);
  else out.payload = hex(rest);
  return out;
}

/** Decodes a packet that starts with the IPv4 header. */
export function decodePacket(packet: Uint8Array): Decoded {
  const out: Decoded = {};
  decodeIpv4(packet, out, true);
  return out;
}

function decodeArp(data: Uint8Array, out: Decoded): void {
  if (data.length < 28) {
    out.truncated = "arp";
    out.payload = hex(data);
    return;
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  out.arp = {
    htype: view.getUint16(0),
    ptype: view.getUint16(2),
    hlen: data[4],
    plen: data[5],
    op: view.getUint16(6),
    sha: macText(data, 8),
    spa: ipText(data, 14),
    tha: macText(data, 18),
    tpa: ipText(data, 24),
  };
  if (data.length > 28) out.trailer = hex(data.subarray(28));
}

/** `whole` is false inside an ICMP error, where the packet is cut short by right. */
function decodeIpv4(data: Uint8Array, out: Decoded, whole: boolean): void {
  const headerLength = data.length === 0 ? 0 : (data[0] & 15) * 4;
  if (data.length < 20) {
    out.truncated = "ipv4";
    out.payload = hex(data);
    return;
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const totalLength = view.getUint16(2);
  const flags = view.getUint16(6);
  const ip: DecodedIpv4 = {
    version: data[0] >> 4,
    ihl: data[0] & 15,
    tos: data[1],
    totalLength,
    id: view.getUint16(4),
    reserved: (flags & 0x8000) !== 0,
    df: (flags & 0x4000) !== 0,
    mf: (flags & 0x2000) !== 0,
    offset: (flags & 0x1fff) * 8,
    ttl: data[8],
    proto: data[9],
    checksum: view.getUint16(10),
    checksumOk: headerLength >= 20 && headerLength <= data.length && onesSum(data, 0, headerLength) === 0xffff,
    lengthOk: totalLength >= headerLength && (totalLength <= data.length || !whole),
    src: ipText(data, 12),
    dst: ipText(data, 16),
    options: hex(data.subarray(20, Math.max(20, headerLength))),
  };
  out.ipv4 = ip;
  if (headerLength < 20 || headerLength > data.length || totalLength < headerLength) {
    out.truncated = "ipv4";
    out.payload = hex(data.subarray(20));
    return;
  }
  const end = Math.min(totalLength, data.length);
  if (data.length > end) out.trailer = hex(data.subarray(end));
  const body = data.subarray(headerLength, end);
  if (ip.offset > 0) {
    out.payload = hex(body);
    return;
  }
  const complete = whole && !ip.mf && ip.lengthOk;
  if (ip.proto === 1) decodeIcmp(body, out, complete);
  else if (ip.proto === 17) decodeUdp(body, out, complete);
  else if (ip.proto === 6) decodeTcp(body, out, complete);
  else out.payload = hex(body);
}

function decodeIcmp(data: Uint8Array, out: Decoded, complete: boolean): void {
  if (data.length < 8) {
    out.truncated = "icmp";
    out.payload = hex(data);
    return;
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const type = data[0];
  const icmp: DecodedIcmp = {
    type,
    code: data[1],
    checksum: view.getUint16(2),
    checksumOk: !complete || internetChecksum(data) === 0,
  };
  out.icmp = icmp;
  const body = data.subarray(8);
  if (type === 0 || type === 8 || (type >= 13 && type <= 18)) {
    icmp.id = view.getUint16(4);
    icmp.seq = view.getUint16(6);
    out.payload = hex(body);
  } else if (type === 3 || type === 4 || type === 5 || type === 11 || type === 12) {
    if (type === 3 && icmp.code === 4) icmp.mtu = view.getUint16(6);
    if (type === 5) icmp.gateway = ipText(data, 4);
    if (type === 12) icmp.pointer = data[4];
    icmp.rest = hex(data.subarray(4, 8));
    icmp.quoted = {};
    decodeIpv4(body, icmp.quoted, false);
  } else {
    icmp.rest = hex(data.subarray(4, 8));
    out.payload = hex(body);
  }
}

function decodeUdp(data: Uint8Array, out: Decoded, complete: boolean): void {
  if (data.length < 8) {
    out.truncated = "udp";
    out.payload = hex(data);
    return;
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const length = view.getUint16(4);
  const checksum = view.getUint16(6);
  const covered = length >= 8 && length <= data.length ? length : data.length;
  const { src, dst } = out.ipv4!;
  out.udp = {
    sport: view.getUint16(0),
    dport: view.getUint16(2),
    length,
    checksum,
    checksumOk: !complete || checksum === 0 ||
      internetChecksum(data, 0, covered, pseudoSum(src, dst, 17, covered)) === 0,
    lengthOk: length >= 8 && (length <= data.length || !complete),
  };
  out.payload = hex(data.subarray(8));
}

function decodeTcp(data: Uint8Array, out: Decoded, complete: boolean): void {
  if (data.length < 20) {
    out.truncated = "tcp";
    out.payload = hex(data);
    return;
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const { src, dst } = out.ipv4!;
  const dataOffset = data[12] >> 4;
  let flags = "";
  for (let bit = 0; bit < 8; bit++) if (data[13] & (1 << bit)) flags += "FSRPAUEC"[bit];
  out.tcp = {
    sport: view.getUint16(0),
    dport: view.getUint16(2),
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    dataOffset,
    flags,
    window: view.getUint16(14),
    checksum: view.getUint16(16),
    checksumOk: !complete || internetChecksum(data, 0, data.length, pseudoSum(src, dst, 6, data.length)) === 0,
    urgent: view.getUint16(18),
    options: hex(data.subarray(20, Math.max(20, dataOffset * 4))),
  };
  out.payload = hex(data.subarray(Math.max(20, dataOffset * 4)));
}
