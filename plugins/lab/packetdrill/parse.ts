/**
 * From text to {@linkcode Script}. The language is packetdrill's, as its public documentation and the scripts of the
 * suites show it.
 *
 * @module
 */
import { packetLine } from "./parse_packet.ts";
import { Scan } from "./scan.ts";
import { type Action, type CallLine, type EventTime, type Script, ScriptError, type ScriptEvent } from "./script.ts";

const OPTION = /--([a-z0-9_]+)(?:=("[^"\n]*"|[^\s]+))?/y;
const SECONDS = /(\d+\.\d+|\.\d+|\d+)/y;

/** Names that stand for a value in a script: `--define NAME=value`, and what the suites' runners define. */
export const DEFINES: Readonly<Record<string, string>> = {
  TFO_COOKIE: "3021b9d889017eeb",
  TFO_COOKIE_ZERO: "b7c12350a90dc8f5",
  CMSG_LEVEL_IP: "SOL_IP",
  CMSG_TYPE_RECVERR: "IP_RECVERR",
  CODE: "host_unreachable",
};

/**
 * Parses a script. Throws a {@linkcode ScriptError} with the line.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseScript } from "@netpath/stack/packetdrill";
 *
 * const script = parseScript("one.pkt", "0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n+.1 < udp (10)\n");
 * assertEquals(script.events.map((e) => e.action.kind), ["call", "inject"]);
 * ```
 */
export function parseScript(file: string, source: string, defines: Readonly<Record<string, string>> = {}): Script {
  const text = replaceDefines(source, { ...DEFINES, ...definesOf(source), ...defines });
  const scan = new Scan(file, text);
  const options = new Map<string, string>();
  const optionLines = new Map<string, number>();
  for (let m = scan.match(OPTION); m !== null; m = scan.match(OPTION)) {
    options.set(m[1], (m[2] ?? "").replaceAll('"', ""));
    optionLines.set(m[1], scan.lineOf());
  }
  let init = "";
  let initLine = 0;
  let cleanup = "";
  const events: ScriptEvent[] = [];
  while (!scan.done) {
    if (scan.at("`")) {
      if (events.length === 0 && initLine === 0) {
        initLine = scan.lineOf();
        scan.need("`");
        init = scan.until("`");
      } else {
        scan.need("`");
        cleanup = scan.until("`");
        if (!scan.done) scan.fail("nothing may follow the cleanup command");
      }
      continue;
    }
    events.push(event(scan));
  }
  if (events.length === 0) throw new ScriptError(file, scan.lineOf(), "no event in the script");
  return { file, options, optionLines, init, initLine, events, cleanup };
}

/** `--define=NAME=VALUE` in the script itself. */
function definesOf(source: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const m of source.matchAll(/^\s*--define=([A-Za-z_]\w*)=("[^"\n]*"|`[^`]*`|\S+)/gm)) {
    out[m[1]] = m[2].replace(/^[`"]|[`"]$/g, "");
  }
  return out;
}

/** Whole words outside longer names. */
function replaceDefines(text: string, defines: Readonly<Record<string, string>>): string {
  const names = Object.keys(defines).sort((a, b) => b.length - a.length);
  return text.replace(new RegExp(`\\b(?:${names.join("|")})\\b`, "g"), (name) => defines[name]);
}

function event(scan: Scan): ScriptEvent {
  const line = scan.lineOf();
  const start = scan.pos;
  const { time, end } = eventTime(scan);
  const action = eventAction(scan);
  if (end !== null && action.kind !== "call") scan.fail("only a system call may have a second time after ...");
  const text = scan.text.slice(start, scan.pos).replace(/\/\/[^\n]*/g, " ").replace(/\s+/g, " ").trim();
  return { line, text, time, end, action };
}

/** Whole microseconds of a number of seconds. */
function micros(scan: Scan): number {
  const m = scan.match(SECONDS);
  return m === null ? scan.fail("a time in seconds expected") : Math.round(Number(m[1]) * 1e6);
}

function eventTime(scan: Scan): { time: EventTime; end: number | null } {
  if (scan.take("*")) return { time: { kind: "any", from: 0, to: 0, range: false }, end: null };
  const kind = scan.take("+") ? "relative" : "absolute";
  const from = micros(scan);
  if (scan.take("~")) {
    if (scan.take("+") !== (kind === "relative")) scan.fail("both times of a range are absolute or both relative");
    const to = micros(scan);
    if (to < from) scan.fail("a range ends before it begins");
    return { time: { kind, from, to, range: true }, end: null };
  }
  const time: EventTime = { kind, from, to: from, range: false };
  if (!scan.take("...")) return { time, end: null };
  scan.take("+");
  return { time, end: micros(scan) };
}

function eventAction(scan: Scan): Action {
  if (scan.take("<")) return { kind: "inject", packet: packetLine(scan, true) };
  if (scan.take(">")) return { kind: "expect", packet: packetLine(scan, false) };
  if (scan.take("`")) return { kind: "command", text: scan.until("`") };
  if (scan.take("%{")) return { kind: "code", text: scan.until("}%") };
  return { kind: "call", call: call(scan) };
}

function call(scan: Scan): CallLine {
  const name = scan.name();
  scan.need("(");
  const args = scan.args();
  scan.need("=");
  if (scan.take("?") || scan.take("...")) return { name, args, result: null, errno: "" };
  const result = scan.expr();
  const errno = scan.match(/E[A-Z0-9]+\b/y)?.[0] ?? "";
  // What strace says in words; the text may hold anything but a parenthesis.
  scan.match(/\([^()\n]*\)/y);
  scan.match(/\[[^\]\n]*\]/y);
  return { name, args, result, errno };
}
