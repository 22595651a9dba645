/**
 * The journey as a tree for people: in the order of time, each packet under the one that caused it.
 *
 * An event of the machine (an interrupt, a softirq, a poll) has no packet; it is shown where it happens: what begins
 * goes with the packet that follows, what ends with the one before.
 */
import { bar } from "./bar.ts";
import { type Paint, paint } from "./color.ts";
import type { JourneyRecord, RenderOptions } from "./contract.ts";
import { remark } from "./remarks.ts";
import type { Step } from "./step.ts";
import { stepOf } from "./steps.ts";

/** Bytes that the picture of a buffer shows: all headers and some payload. */
const BAR_BYTES = 88;
const LINUX = 26;
const NUMBERS = 11;
const CLAIMS = 13;

/** What is known of a packet before the first line is drawn. */
interface Known {
  cause: number;
  depth: number;
  packet: string;
}

interface View {
  readonly p: Paint;
  readonly width: number;
  /** Bytes of one character of the picture. */
  readonly cell: number;
  readonly showLinux: boolean;
  readonly remarks: boolean;
  readonly claims: boolean;
  /** Columns of a net's name. */
  readonly nets: number;
  readonly known: Map<number, Known>;
  /** Lowest position of `data` by buffer: pictures of one buffer begin at one place. */
  readonly from: Map<string, number>;
  readonly said: Set<string>;
  readonly out: string[];
}

/** Draws. See {@linkcode RenderOptions}. */
export function renderJourney(records: readonly JourneyRecord[], options: RenderOptions): string {
  const width = options.width ?? 140;
  const view: View = {
    p: paint(options.color ?? false),
    width,
    cell: width >= 124 ? 4 : 8,
    showLinux: width >= 112,
    remarks: options.remarks ?? true,
    claims: width >= 80 && (options.claims ?? true),
    nets: Math.min(8, Math.max(1, ...records.map((r) => r.net.length))),
    known: knownPackets(records),
    from: lowestData(records),
    said: new Set(),
    out: [],
  };
  if (records.length > 0) view.out.push(head(view));
  const owner = owners(records);
  const only = options.ids;
  let id = -1;
  let net = "";
  let time = records[0]?.time ?? 0;
  for (let i = 0; i < records.length; i++) {
    const r = records[i];
    if (only !== undefined && !only.includes(owner[i])) continue;
    if (r.time !== time) view.out.push("", view.p.dim(`   t = ${duration(r.time)}`));
    time = r.time;
    if (owner[i] !== id) heading(view, owner[i]);
    id = owner[i];
    if (r.net !== "") net = r.net;
    if (r.id !== 0) arrival(view, r);
    line(view, r, net, view.known.get(id)?.depth ?? 0);
  }
  return view.out.join("\n") + "\n";
}

/** A time in ns, in the unit that suits it. */
function duration(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${ns / 1e3} us`;
  return ns < 1e9 ? `${ns / 1e6} ms` : `${ns / 1e9} s`;
}

/** Names of the columns. */
function head(view: View): string {
  const left = `${"".padEnd(view.nets)} ${"".padEnd(3)}  ${"context".padEnd(10)}what happens`;
  const linux = view.showLinux ? ` ${"Linux".padEnd(LINUX)}` : "";
  const right = `${linux} ${"buffer".padEnd(BAR_BYTES / view.cell)}  data   len${view.claims ? " claims" : ""}`;
  const room = view.width - (view.claims ? CLAIMS - 7 : 0) - right.length;
  return view.p.dim(left.padEnd(room) + right);
}

function knownPackets(records: readonly JourneyRecord[]): Map<number, Known> {
  const known = new Map<number, Known>();
  for (const r of records) {
    if (r.id === 0) continue;
    const k = known.get(r.id);
    if (k === undefined) {
      const parent = r.cause === r.id ? undefined : known.get(r.cause);
      known.set(r.id, {
        cause: parent === undefined ? 0 : r.cause,
        depth: (parent?.depth ?? -1) + 1,
        packet: r.packet,
      });
    } else if (k.packet === "") k.packet = r.packet;
  }
  return known;
}

function lowestData(records: readonly JourneyRecord[]): Map<string, number> {
  const from = new Map<string, number>();
  for (const r of records) {
    if (r.layout === null) continue;
    const key = bufferKey(r);
    const edge = r.layout.mac >= 0 ? Math.min(r.layout.data, r.layout.mac) : r.layout.data;
    from.set(key, Math.min(from.get(key) ?? Infinity, edge));
  }
  return from;
}

function bufferKey(r: JourneyRecord): string {
  return `${r.id}/${r.net}/${r.layout?.head}`;
}

/** The packet that each event is shown under: its own, or the next (begin) or the one before (end). 0: none. */
export function owners(records: readonly JourneyRecord[]): number[] {
  const out = records.map((r) => r.id);
  let next = 0;
  for (let i = out.length - 1; i >= 0; i--) {
    if (out[i] !== 0) next = out[i];
    else if (stepOf(records[i]).begins === true) out[i] = next;
  }
  for (let i = 1; i < out.length; i++) if (out[i] === 0) out[i] = out[i - 1];
  for (let i = out.length - 2; i >= 0; i--) if (out[i] === 0) out[i] = out[i + 1];
  return out;
}

function heading(view: View, id: number): void {
  const k = view.known.get(id);
  const p = view.p;
  view.out.push("");
  if (k === undefined) return;
  const branch = " ".repeat(view.nets + 1) + (k.depth === 0 ? "" : "   ".repeat(k.depth - 1) + "└─ ");
  const note = view.said.has(`#${id}`) ? "goes on" : k.cause === 0 ? "" : `made while #${k.cause} was processed`;
  view.said.add(`#${id}`);
  const room = Math.max(8, view.width - branch.length);
  const text = `#${id} ${k.packet}`;
  const aside = note === "" || text.length + note.length + 4 > room ? "" : p.dim(`  (${note})`);
  view.out.push(branch + p.bold(cut(text, room)) + aside);
}

/** A packet is seen in a net for the first time: where it was made, or at the other end of a wire. */
function arrival(view: View, r: JourneyRecord): void {
  const here = `#${r.id}@${r.net}`;
  if (view.said.has(here)) return;
  view.said.add(here);
  const first = !view.said.has(`@#${r.id}`);
  view.said.add(`@#${r.id}`);
  if (first || r.net === "") return;
  const gutter = " ".repeat(view.nets + 4) + "   ".repeat(view.known.get(r.id)?.depth ?? 0);
  view.out.push(gutter + view.p.dim(`── #${r.id} is on ${r.net} now ──`));
}

function line(view: View, r: JourneyRecord, net: string, depth: number): void {
  const p = view.p;
  const step: Step = stepOf(r);
  const gutter = `${cut(net, view.nets).padEnd(view.nets)} ${"   ".repeat(depth + 1)}`;
  const tail = columns(view, r, step);
  const left = gutter.length + 2 + 10;
  const room = Math.max(18, view.width - left - tail.plain.length);
  const [text, ...more] = wrap(step.text(r), room);
  const arrow = step.way === "down" ? "▼ " : step.way === "up" ? "▲ " : "· ";
  const shown = r.drop === null ? text : p.red(text);
  const inner = " ".repeat(left);
  view.out.push(
    (gutter + p.context(r.context, arrow + r.context.padEnd(10)) + shown + " ".repeat(Math.max(0, room - text.length)) +
      tail.painted).trimEnd(),
  );
  for (const m of more) view.out.push(inner + m);
  const rest = view.width - left;
  for (const c of r.copies) view.out.push(inner + p.magenta(cut(copyText(c.kind, c.bytes, c.site), rest)));
  if (r.drop !== null) {
    for (const l of wrap(`${r.drop.text} ${r.drop.advice}`, rest)) {
      view.out.push(inner + p.red(l));
    }
  }
  if (view.remarks && step.remark !== undefined && !view.said.has(step.remark)) sayRemark(view, step.remark, inner);
}

/** Paints text but not the padding behind it. */
function painted(paint: (text: string) => string, text: string): string {
  const ink = text.trimEnd();
  return paint(ink) + text.slice(ink.length);
}

function cut(text: string, width: number): string {
  return text.length > width ? text.slice(0, width - 1) + "…" : text;
}

function copyText(kind: string, bytes: number, site: string): string {
  const who = kind === "cpu" ? "copied by the CPU" : kind === "dma" ? "moved by DMA" : "of headers copied";
  return `≡ ${bytes} bytes ${who} (${site})`;
}

function columns(view: View, r: JourneyRecord, step: Step): { plain: string; painted: string } {
  const p = view.p;
  const linux = view.showLinux ? ` ${r.linux.slice(0, LINUX).padEnd(LINUX)}` : "";
  const l = r.layout;
  const cells = BAR_BYTES / view.cell;
  const from = l === null ? 0 : Math.max(0, Math.min(view.from.get(bufferKey(r)) ?? l.data, l.data) - 8);
  const picture = ` ${l === null ? " ".repeat(cells) : bar(l, from, cells, view.cell)}`;
  const numbers = l === null
    ? " ".repeat(NUMBERS)
    : ` ${String(l.data).padStart(5)} ${String(l.len).padStart(5)}`.slice(-NUMBERS);
  const claims = view.claims ? ` ${step.claims.join(" ")}` : "";
  return {
    plain: linux + picture + numbers + claims.padEnd(view.claims ? CLAIMS : 0),
    painted: painted(p.dim, linux) + picture + numbers + painted(p.cyan, claims),
  };
}

function sayRemark(view: View, id: string, inner: string): void {
  view.said.add(id);
  const { textbook, kernel } = remark(id);
  const p = view.p;
  for (const [label, text] of [["textbook", textbook], ["kernel  ", kernel]]) {
    const lines = wrap(text, Math.max(30, view.width - inner.length - 12));
    lines.forEach((l, i) => view.out.push(inner + p.yellow(i === 0 ? `${label}  ` : " ".repeat(10)) + p.dim(l)));
  }
}

function wrap(text: string, width: number): string[] {
  const out: string[] = [];
  let at = "";
  for (const word of text.split(" ")) {
    if (at !== "" && at.length + 1 + word.length > width) {
      out.push(at);
      at = word;
    } else at = at === "" ? word : `${at} ${word}`;
  }
  return at === "" ? out : [...out, at];
}
