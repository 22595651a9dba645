/** A TCP segment as data: what the tree's one-liners and the ladder are made from. */
import type { SkBuff } from "../../../core/mod.ts";
import type { JourneySegment } from "./contract.ts";

const STATES: readonly string[] = [
  "",
  "ESTABLISHED",
  "SYN-SENT",
  "SYN-RECEIVED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "CLOSED",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
  "SYN-RECEIVED",
];
const FLAGS: readonly string[] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/** A state's name as RFC 9293 writes it. */
export function stateName(state: number): string {
  return STATES[state] ?? String(state);
}

/**
 * The segment whose header is at `at` behind an IPv4 header at `ip`; null: it is not whole. Reads only bytes between head
 * and tail. Borrows `skb`.
 */
export function segmentOf(skb: SkBuff, ip: number, at: number): JourneySegment | null {
  if (at + 20 > skb.tail) return null;
  const v = skb.view;
  const doff = (v.getUint8(at + 12) >>> 4) * 4;
  const flags = FLAGS.filter((_, i) => (v.getUint8(at + 13) & (1 << i)) !== 0);
  const total = v.getUint16(ip + 2);
  // Before IP has written the total length, the skb knows it.
  const len = Math.max(0, (total === 0 ? skb.len - (skb.data === at ? 0 : at - ip) : total - (at - ip)) - doff);
  const seq = v.getInt32(at + 4);
  return {
    saddr: v.getInt32(ip + 12),
    sport: v.getUint16(at),
    daddr: v.getInt32(ip + 16),
    dport: v.getUint16(at + 2),
    seq,
    ack: v.getInt32(at + 8),
    window: v.getUint16(at + 14),
    flags,
    doff,
    len,
    sacks: at + doff <= skb.tail ? sacksOf(v, at + 20, at + doff) : [],
    brief: `${flags.join("+")}${len > 0 ? `, ${len} bytes` : ""}`,
  };
}

/** SACK blocks of the options between `from` and `to`. RFC 2018. */
function sacksOf(v: DataView, from: number, to: number): [number, number][] {
  const out: [number, number][] = [];
  for (let at = from; at < to;) {
    const kind = v.getUint8(at);
    if (kind === 0) break;
    const size = kind === 1 || at + 1 >= to ? 1 : v.getUint8(at + 1);
    if (size < 1 || at + size > to) break;
    if (kind === 5) { for (let b = at + 2; b + 8 <= at + size; b += 8) out.push([v.getInt32(b), v.getInt32(b + 4)]); }
    at += size;
  }
  return out;
}
