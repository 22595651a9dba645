/** A packet in one line, read from whatever headers are known so far. */
import { macToString, type SkBuff } from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/contract.ts";
import type { JourneySegment } from "./contract.ts";
import { segmentOf } from "./segment.ts";

const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;

const ICMP_NAMES: Readonly<Record<number, string>> = {
  0: "echo reply",
  3: "destination unreachable",
  4: "source quench",
  5: "redirect",
  8: "echo request",
  11: "time exceeded",
  12: "parameter problem",
  13: "timestamp request",
  14: "timestamp reply",
};
const UNREACHABLE_NAMES: readonly string[] = ["net", "host", "protocol", "port", "fragmentation needed"];

/**
 * One line, or "" while the network header is unknown. Reads only bytes between head and tail. Borrows `skb`.
 */
export function summarize(skb: SkBuff): string {
  const at = skb.networkHeader;
  if (at < skb.head || at >= skb.tail) return "";
  if (skb.protocol === ETH_P_ARP) return arp(skb, at);
  if (skb.protocol === ETH_P_IP && skb.bytes[at] >>> 4 === 4 && at + 20 <= skb.tail) return ipv4(skb, at);
  return skb.protocol === 0 ? "" : `EtherType 0x${skb.protocol.toString(16).padStart(4, "0")}`;
}

/** The TCP header of a packet as data; null: it has none, or it is not known yet. Borrows `skb`. */
export function tcpSegment(skb: SkBuff): JourneySegment | null {
  const at = skb.networkHeader;
  if (at < skb.head || at + 20 > skb.tail || skb.protocol !== ETH_P_IP || skb.bytes[at] >>> 4 !== 4) return null;
  const v = skb.view;
  if (v.getUint8(at + 9) !== 6 || (v.getUint16(at + 6) & 0x1fff) !== 0) return null;
  return segmentOf(skb, at, at + (v.getUint8(at) & 15) * 4);
}

function arp(skb: SkBuff, at: number): string {
  if (at + 28 > skb.tail) return "";
  const v = skb.view;
  const op = v.getUint16(at + 6);
  const spa = v.getInt32(at + 14);
  const tpa = v.getInt32(at + 24);
  if (op === 1) return `ARP who has ${ipToString(tpa)}? tell ${ipToString(spa)}`;
  if (op === 2) {
    return `ARP ${ipToString(spa)} is at ${macToString(v.getUint16(at + 8), v.getInt32(at + 10))}`;
  }
  return op === 0 ? "" : `ARP op ${op}`;
}

function ipv4(skb: SkBuff, at: number): string {
  const v = skb.view;
  const protocol = v.getUint8(at + 9);
  const src = ipToString(v.getInt32(at + 12));
  const dst = ipToString(v.getInt32(at + 16));
  const frag = v.getUint16(at + 6);
  const offset = (frag & 0x1fff) * 8;
  const l4 = at + (v.getUint8(at) & 15) * 4;
  const part = (frag & 0x3fff) === 0 ? "" : ` fragment at ${offset}${(frag & 0x2000) !== 0 ? "+" : ""}`;
  if (offset !== 0) return `IPv4 ${src} > ${dst} protocol ${protocol}${part}`;
  if (protocol === 17 && l4 + 8 <= skb.tail) {
    return `UDP ${src}:${v.getUint16(l4)} > ${dst}:${v.getUint16(l4 + 2)}, ${v.getUint16(l4 + 4) - 8} bytes${part}`;
  }
  const segment = protocol === 6 ? segmentOf(skb, at, l4) : null;
  if (segment !== null) return `TCP ${src}:${segment.sport} > ${dst}:${segment.dport} ${segment.brief}${part}`;
  if (protocol === 1 && l4 + 8 <= skb.tail) return `ICMP ${src} > ${dst} ${icmp(v, l4)}${part}`;
  return `IPv4 ${src} > ${dst} protocol ${protocol}${part}`;
}

function icmp(v: DataView, at: number): string {
  const type = v.getUint8(at);
  const code = v.getUint8(at + 1);
  if (type === 0 || type === 8) return `${ICMP_NAMES[type]} id ${v.getUint16(at + 4)} seq ${v.getUint16(at + 6)}`;
  if (type === 3) return `${UNREACHABLE_NAMES[code] ?? `code ${code}`} unreachable`;
  return ICMP_NAMES[type] ?? `type ${type}`;
}
