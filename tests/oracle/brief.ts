/**
 * One line of text per frame and per answer, for people.
 *
 * @module
 */

import { decode, type Decoded } from "../support/frames/decode.ts";
import type { Answer } from "./scenario.ts";

const ARP_OPS: Record<number, string> = { 1: "request", 2: "reply" };

function hexNumber(value: number, digits = 2): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function clip(text: string | undefined): string {
  if (text === undefined || text === "") return "";
  return text.length <= 40 ? ` data=${text}` : ` data=${text.slice(0, 24)}..${text.slice(-8)}(${text.length / 2})`;
}

function briefIp({ ipv4, icmp, udp, tcp, payload, trailer, truncated }: Decoded): string {
  let out = "";
  if (ipv4) {
    out += `${ipv4.src}>${ipv4.dst} p${ipv4.proto} len${ipv4.totalLength} ttl${ipv4.ttl} id${ipv4.id}`;
    if (ipv4.version !== 4) out += ` VERSION${ipv4.version}`;
    if (ipv4.ihl !== 5) out += ` ihl${ipv4.ihl}`;
    if (ipv4.tos !== 0) out += ` tos${hexNumber(ipv4.tos)}`;
    if (ipv4.df) out += " DF";
    if (ipv4.reserved) out += " EVIL";
    if (ipv4.mf || ipv4.offset) out += ` frag@${ipv4.offset}${ipv4.mf ? "+" : ""}`;
    if (!ipv4.checksumOk) out += " BADSUM";
    if (!ipv4.lengthOk) out += " BADLEN";
    if (ipv4.options) out += ` opt=${ipv4.options}`;
  }
  if (icmp) {
    out += ` | icmp ${icmp.type}/${icmp.code}`;
    if (!icmp.checksumOk) out += " BADSUM";
    if (icmp.id !== undefined) out += ` id${icmp.id} seq${icmp.seq}`;
    if (icmp.mtu !== undefined) out += ` mtu${icmp.mtu}`;
    if (icmp.gateway !== undefined) out += ` gw${icmp.gateway}`;
    if (icmp.rest !== undefined && icmp.rest !== "00000000") out += ` rest=${icmp.rest}`;
    if (icmp.quoted) out += ` [${briefIp(icmp.quoted)}]`;
  }
  if (udp) {
    out += ` | udp ${udp.sport}>${udp.dport} len${udp.length}`;
    if (udp.checksum === 0) out += " NOSUM";
    else if (!udp.checksumOk) out += " BADSUM";
    if (!udp.lengthOk) out += " BADLEN";
  }
  if (tcp) out += ` | tcp ${tcp.sport}>${tcp.dport} ${tcp.flags} seq${tcp.seq} ack${tcp.ack}`;
  out += clip(payload);
  if (trailer) out += ` +trailer(${trailer.length / 2})`;
  if (truncated) out += ` TRUNCATED:${truncated}`;
  return out;
}

/** A frame in one line. */
export function briefFrame(frame: Uint8Array): string {
  const decoded = decode(frame);
  const { eth, arp } = decoded;
  if (!eth) return `(${frame.length} bytes)${clip(decoded.payload)}`;
  let out = `${eth.src}>${eth.dst} `;
  if (arp) {
    out += `arp ${ARP_OPS[arp.op] ?? `op${arp.op}`} ${arp.sha}/${arp.spa} -> ${arp.tha}/${arp.tpa}`;
    const shape = [arp.htype, arp.ptype, arp.hlen, arp.plen];
    if (shape.join() !== "1,2048,6,4") out += ` shape=${shape.join("/")}`;
    return out + (decoded.trailer ? ` +trailer(${decoded.trailer.length / 2})` : "");
  }
  if (!decoded.ipv4 && !decoded.truncated) return `${out}type${hexNumber(eth.type, 4)}${clip(decoded.payload)}`;
  return out + briefIp(decoded);
}

/** An answer in one line. */
export function briefAnswer(answer: Answer): string {
  switch (answer.kind) {
    case "frame":
      return `dev${answer.dev} ${briefFrame(answer.bytes)}`;
    case "datagram":
      return `socket${answer.socket} got ${answer.bytes.length} bytes from ${answer.from}:${answer.port}`;
    case "error":
      return `socket${answer.socket} errno ${answer.errno}`;
    case "refused":
      return `dev${answer.dev} refused, errno ${answer.errno}`;
    case "counters":
      return `counters ${Object.entries(answer.delta).map(([name, by]) => `${name}+${by}`).join(" ")}`;
    case "drops":
      return `dropped ${answer.reasons.join(", ")}`;
  }
}
