/**
 * TCP connections as time-sequence ladders: time runs down, a segment is an arrow from host to host, states stand at the
 * sides. A segment that left and never came in is lost; what is sent again from the kept original says so.
 */
import { ipToString } from "../../network/inet/contract.ts";
import { type Paint, paint } from "./color.ts";
import type { JourneyRecord, JourneySegment, LadderOptions } from "./contract.ts";
import { stateName } from "./segment.ts";

const SENT = "net:net_dev_start_xmit";
const CAME = "tcp:tcp_v4_rcv";
const AGAIN = "tcp:tcp_retransmit_skb";
const STATE = "sock:inet_sock_set_state";
const DROPPED = "skb:kfree_skb";

/** One segment on its way. */
interface Rung {
  readonly sent: JourneyRecord;
  readonly segment: JourneySegment;
  came: JourneyRecord | null;
  /** Why it did not come in, where that is known. */
  lost: string;
  readonly again: boolean;
}

/** A change of state at one end. */
interface Note {
  readonly time: number;
  readonly seq: number;
  readonly right: boolean;
  readonly text: string;
}

/** One connection: the left end is the one that spoke first. */
interface Connection {
  readonly left: Endpoint;
  readonly right: Endpoint;
  readonly rungs: Rung[];
  readonly notes: Note[];
}

interface Endpoint {
  readonly net: string;
  readonly addr: number;
  readonly port: number;
  /** First sequence number, from which the others are counted. */
  isn: number | null;
}

/** Draws every connection of a recording, in order of their first segment; "" without any. */
export function renderLadder(records: readonly JourneyRecord[], options: LadderOptions): string {
  const p = paint(options.color ?? false);
  const width = Math.max(60, options.width ?? 120);
  return connections(records).map((c) => draw(c, p, width)).join("\n");
}

function keyOf(s: JourneySegment): string {
  const a = `${ipToString(s.saddr)}:${s.sport}`;
  const b = `${ipToString(s.daddr)}:${s.dport}`;
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function connections(records: readonly JourneyRecord[]): Connection[] {
  const known = new Map<string, Connection>();
  const open = new Map<number, Rung>();
  const again = new Set<number>();
  for (const r of records) {
    if (r.point === AGAIN) again.add(r.id);
    else if (r.point === SENT && r.segment !== null) {
      const c = connectionOf(known, r, r.segment);
      const rung: Rung = { sent: r, segment: r.segment, came: null, lost: "", again: again.delete(r.id) };
      c.rungs.push(rung);
      open.set(r.id, rung);
    } else if (r.point === CAME) {
      const rung = open.get(r.id);
      if (rung !== undefined && rung.came === null && r.net !== rung.sent.net) rung.came = r;
    } else if (r.point === DROPPED && r.drop !== null) {
      const rung = open.get(r.id);
      if (rung !== undefined && rung.came === null) rung.lost = r.drop.name;
    }
  }
  for (const r of records) if (r.point === STATE) note(known, r);
  return [...known.values()];
}

function connectionOf(known: Map<string, Connection>, r: JourneyRecord, s: JourneySegment): Connection {
  const key = keyOf(s);
  let c = known.get(key);
  if (c === undefined) {
    c = {
      left: { net: r.net, addr: s.saddr, port: s.sport, isn: null },
      right: { net: "", addr: s.daddr, port: s.dport, isn: null },
      rungs: [],
      notes: [],
    };
    known.set(key, c);
  }
  const from = isLeft(c, s) ? c.left : c.right;
  // A SYN is at the first number; a recording that begins later counts from what it sees first.
  if (from.isn === null || s.flags.includes("SYN")) from.isn = s.seq;
  return c;
}

function isLeft(c: Connection, s: JourneySegment): boolean {
  return s.saddr === c.left.addr && s.sport === c.left.port;
}

/** A change of state belongs to the connection whose socket it names: `10.0.0.1:4096`. */
function note(known: Map<string, Connection>, r: JourneyRecord): void {
  const text = stateName(r.b);
  for (const c of known.values()) {
    for (const right of [false, true]) {
      const end = right ? c.right : c.left;
      if (r.what !== `${ipToString(end.addr)}:${end.port}` || (end.net !== "" && r.net !== end.net)) continue;
      const first = c.rungs[0].sent.seq;
      if (r.b === 10 || (r.seq < first && r.b === 7)) continue;
      c.notes.push({ time: r.time, seq: r.seq, right, text });
      return;
    }
  }
}

function draw(c: Connection, p: Paint, width: number): string {
  const side = 14;
  const shaft = Math.max(30, width - 2 * side - 14);
  const start = c.rungs[0].sent.time;
  const out: string[] = [];
  const name = (e: Endpoint): string => `${e.net === "" ? "" : `${e.net} `}${ipToString(e.addr)}:${e.port}`;
  out.push(p.bold(`   ${"ms".padStart(9)}  ${name(c.left).padEnd(side + shaft - 6)}${name(c.right)}`));
  type Event = { seq: number; rung: Rung } | { seq: number; note: Note };
  const events: Event[] = [
    ...c.rungs.map((rung) => ({ seq: rung.sent.seq, rung })),
    ...c.notes.map((n) => ({ seq: n.seq, note: n })),
  ].sort((x, y) => x.seq - y.seq);
  for (const e of events) {
    const time = ("rung" in e ? e.rung.sent.time : e.note.time) - start;
    const stamp = p.dim((time / 1e6).toFixed(3).padStart(12));
    if ("note" in e) {
      const { right, text } = e.note;
      const label = p.cyan(text);
      const left = right ? " ".repeat(side) : label + " ".repeat(Math.max(0, side - text.length));
      out.push(`${stamp}  ${left}│${" ".repeat(shaft)}│${right ? ` ${label}` : ""}`);
    } else out.push(`${stamp}  ${" ".repeat(side)}${arrow(c, e.rung, p, shaft)}`);
  }
  return out.join("\n") + "\n";
}

function arrow(c: Connection, rung: Rung, p: Paint, shaft: number): string {
  const right = isLeft(c, rung.segment);
  const text = ` ${label(c, rung)} `;
  const room = Math.max(2, shaft - text.length - 1);
  const fore = room >> 1;
  const lost = rung.came === null;
  const line = (n: number): string => (lost ? "╌" : "─").repeat(Math.max(0, n));
  const body = right
    ? `${line(fore)}${text}${line(room - fore)}${lost ? "✗" : "▶"}`
    : `${lost ? "✗" : "◀"}${line(fore)}${text}${line(room - fore)}`;
  const painted = lost ? p.red(body) : rung.again ? p.yellow(body) : body;
  return `│${painted}│`;
}

function label(c: Connection, rung: Rung): string {
  const s = rung.segment;
  const [from, to] = isLeft(c, s) ? [c.left, c.right] : [c.right, c.left];
  const rel = (n: number, isn: number | null): number => isn === null ? n >>> 0 : (n - isn) >>> 0;
  const parts = [s.flags.join("+")];
  const seq = rel(s.seq, from.isn);
  if (s.len > 0) parts.push(`${seq}:${seq + s.len} (${s.len})`);
  else if (/SYN|FIN|RST/.test(parts[0])) parts.push(`seq ${seq}`);
  if (s.flags.includes("ACK")) parts.push(`ack ${rel(s.ack, to.isn)}`);
  for (const [start, end] of s.sacks) parts.push(`sack ${rel(start, to.isn)}:${rel(end, to.isn)}`);
  if (s.window === 0 && !s.flags.includes("RST")) parts.push("window 0");
  if (rung.again) parts.push("again, from the original");
  if (rung.came === null) parts.push(rung.lost === "" ? "lost on the wire" : `lost: ${rung.lost}`);
  return parts.join(" ");
}
