/**
 * Is it what the script expects? And both as text, side by side.
 *
 * @module
 */
import { ACK, type Conn, CWR, FIN, PSH, SYN } from "./conn.ts";
import type { IpNotes, TcpLine, TcpOption } from "./script.ts";
import { decodeOptions, encodeOptions, optionsText, type WirePacket, type WireTcp } from "./wire.ts";

const LETTERS: readonly (readonly [number, string])[] = [
  [0x02, "S"],
  [0x01, "F"],
  [0x04, "R"],
  [0x100, "A"],
  [0x80, "W"],
  [0x40, "E"],
  [0x08, "P"],
  [0x20, "U"],
  [0x10, "."],
];

/** Header bits as letters. */
export function flagsText(flags: number): string {
  return LETTERS.filter(([bit]) => (flags & bit) !== 0).map(([, c]) => c).join("") || "-";
}

/** What a segment says in the script's numbers. */
export interface Segment {
  readonly flags: number;
  readonly seq: number;
  readonly len: number;
  readonly ack: number;
  readonly win: number;
  readonly urg: number;
  /** Null: they are malformed. */
  readonly options: readonly TcpOption[] | null;
  readonly ecn: number;
}

/** A segment that was sent, in the script's numbers. */
export function segmentOf(conn: Conn, p: WirePacket, tcp: WireTcp): Segment {
  const syn = (tcp.flags & SYN) !== 0;
  const options = decodeOptions(tcp.options);
  return {
    flags: tcp.flags,
    seq: conn.scriptLocal(tcp.seq, syn),
    len: p.len,
    ack: (tcp.flags & ACK) !== 0 ? conn.scriptRemote(tcp.ack, syn) : tcp.ack,
    win: tcp.win,
    urg: tcp.urg,
    options: options === null ? null : conn.outboundOptions(options),
    ecn: p.tos & 3,
  };
}

const ECN_NAMES = ["noecn", "ect1", "ect0", "ce"];

/** A segment as a script writes it. */
export function segmentText(s: Segment): string {
  return [
    `${s.ecn === 0 ? "" : `[${ECN_NAMES[s.ecn]}] `}${flagsText(s.flags)} ${s.seq}:${(s.seq + s.len) >>> 0}(${s.len})`,
    ...((s.flags & ACK) !== 0 || s.ack !== 0 ? [`ack ${s.ack}`] : []),
    `win ${s.win}`,
    ...(s.urg !== 0 ? [`urg ${s.urg}`] : []),
    ...(s.options === null ? ["<malformed>"] : s.options.length === 0 ? [] : [optionsText(s.options)]),
  ].join(" ");
}

/** A line as its parser understood it. */
export function lineText(line: TcpLine): string {
  const notes = ipText(line.ip);
  return [
    `${notes}${flagsText(line.flags)} ${line.seq}:${(line.seq + line.len) >>> 0}(${line.len})`,
    ...((line.flags & ACK) !== 0 || line.ack !== 0 ? [`ack ${line.ack}`] : []),
    ...(line.win === null ? [] : [`win ${line.win}`]),
    ...(line.urg === 0 ? [] : [`urg ${line.urg}`]),
    ...(line.options === null ? ["<...>"] : line.options.length === 0 ? [] : [optionsText(line.options)]),
  ].join(" ");
}

function ipText(ip: IpNotes): string {
  const notes = [
    ...(ip.ecn !== null ? [ECN_NAMES[ip.ecn]] : []),
    ...(ip.anyEct ? ["ect01"] : []),
    ...(ip.tos !== null ? [`tos 0x${ip.tos.toString(16)}`] : []),
    ...(ip.ttl !== null ? [`ttl ${ip.ttl}`] : []),
  ];
  return notes.length === 0 ? "" : `[${notes.join(", ")}] `;
}

/** What differs in the IP header, as sentences. */
export function ipDifferences(ip: IpNotes, p: WirePacket): string[] {
  const out: string[] = [];
  const ecn = p.tos & 3;
  if (ip.ecn !== null && ecn !== ip.ecn) out.push(`ECN ${ECN_NAMES[ecn]}, not ${ECN_NAMES[ip.ecn]}`);
  if (ip.anyEct && ecn !== 1 && ecn !== 2) out.push(`ECN ${ECN_NAMES[ecn]}, not ect0 or ect1`);
  if (ip.tos !== null && p.tos !== ip.tos) out.push(`TOS ${p.tos}, not ${ip.tos}`);
  if (ip.ttl !== null && p.ttl !== ip.ttl) out.push(`TTL ${p.ttl}, not ${ip.ttl}`);
  return out;
}

/** How TCP time stamps are compared. */
export interface StampRule {
  /** Microseconds per tick; 0: values are not compared. */
  readonly tick: number;
  /** Microseconds that a value may be off. */
  readonly tolerance: number;
}

/**
 * What differs between a segment and its line, as sentences; none: it matches. Learns the time stamp that the line
 * names.
 */
export function tcpDifferences(conn: Conn, line: TcpLine, p: WirePacket, stamps: StampRule): string[] {
  const tcp = p.tcp!;
  const s = segmentOf(conn, p, tcp);
  const out = ipDifferences(line.ip, p);
  const number = (what: string, actual: number, expected: number): void => {
    if (actual !== expected) out.push(`${what} ${actual}, not ${expected}`);
  };
  if (s.flags !== line.flags) out.push(`flags ${flagsText(s.flags)}, not ${flagsText(line.flags)}`);
  number("seq", s.seq, line.seq);
  number("payload bytes", s.len, line.len);
  number("ack", s.ack, line.ack);
  if (line.win !== null) number("window", s.win, line.win);
  number("urgent pointer", s.urg, line.urg);
  number("reserved bits", tcp.reserved, 0);
  if (p.notZero >= 0) out.push(`payload byte ${p.notZero} is not 0`);
  if (line.options !== null) optionDifferences(conn, line.options, s.options, stamps, out);
  return out;
}

function optionDifferences(
  conn: Conn,
  expected: readonly TcpOption[],
  actual: readonly TcpOption[] | null,
  stamps: StampRule,
  out: string[],
): void {
  if (actual === null) return void out.push("options are malformed");
  const want = expected.find((o) => o.kind === "TS");
  const have = actual.find((o) => o.kind === "TS");
  let compared = actual;
  if (want?.kind === "TS" && have?.kind === "TS") {
    const mapped = conn.learnStamp(want.val, have.val);
    const off = Math.abs((mapped - want.val) | 0) * stamps.tick;
    if (off > stamps.tolerance) out.push(`TS val ${mapped}, not ${want.val} (${off} usec off)`);
    compared = actual.map((o) => o === have ? { ...have, val: want.val } : o);
  }
  const a = encodeOptions(expected);
  const b = encodeOptions(compared);
  if (a.length !== b.length || a.some((x, i) => x !== b[i])) {
    out.push(`options ${optionsText(compared)}, not ${optionsText(expected)}`);
  }
}

/**
 * Joins a segment that follows `whole` to it, as one super-packet would have been; null: it does not belong to it. Equal
 * headers but for PSH and FIN (the last ones count) and CWR (the first one counts).
 */
export function joinSegments(whole: WirePacket, next: WirePacket, size: number): WirePacket | null {
  const a = whole.tcp;
  const b = next.tcp;
  if (a === null || b === null || whole.bad !== "" || next.bad !== "") return null;
  if (next.len === 0 || next.len > size || whole.len % size !== 0) return null;
  if (((a.seq + whole.len) >>> 0) !== b.seq) return null;
  const loose = PSH | FIN | CWR;
  const equal = (a.flags & ~loose) === (b.flags & ~loose) && a.ack === b.ack && a.win === b.win &&
    a.options.length === b.options.length && a.options.every((x, i) => x === b.options[i]) && whole.tos === next.tos &&
    whole.ttl === next.ttl;
  if (!equal) return null;
  return {
    ...whole,
    len: whole.len + next.len,
    notZero: whole.notZero >= 0 ? whole.notZero : next.notZero < 0 ? -1 : whole.len + next.notZero,
    tcp: { ...a, flags: (a.flags & ~(PSH | FIN)) | (b.flags & (PSH | FIN)) },
  };
}
