/**
 * Is the judge strict? One expected thing of a passing script is changed; the run must then fail.
 *
 * @module
 */
import { type RunOptions, runScript } from "./run.ts";
import type { Action, CallLine, Expr, PacketLine, Script, ScriptEvent, TcpLine, TcpOption } from "./script.ts";

/** A change that makes a script wrong. */
export interface Mutation {
  /** What is changed, as a sentence. */
  readonly what: string;
  /** Line of the script. */
  readonly line: number;
  /** The changed script. */
  readonly apply: (script: Script) => Script;
}

/** What became of the mutants. */
export interface MutationOutcome {
  /** Scripts that pass as they are. */
  scripts: number;
  /** Scripts that were left out: they do not pass. */
  skipped: number;
  /** Mutants that were run. */
  mutants: number;
  /** Mutants that failed, as they must. */
  killed: number;
  /** killed / mutants. */
  ratio: number;
  /** Mutants that passed. */
  survivors: { file: string; line: number; what: string }[];
}

/** Changes each passing script `n` times, with things spread over it. */
export function mutateScripts(
  sources: readonly { readonly file: string; readonly source: string }[],
  n: number,
  options: RunOptions = {},
): MutationOutcome {
  const out: MutationOutcome = { scripts: 0, skipped: 0, mutants: 0, killed: 0, ratio: 1, survivors: [] };
  const random = mulberry(options.seed ?? 1);
  for (const { file, source } of sources) {
    let parsed: Script | null = null;
    const keep = (script: Script): Script => parsed = script;
    if (runScript(file, source, { ...options, edit: keep }).result !== "pass" || parsed === null) {
      out.skipped++;
      continue;
    }
    out.scripts++;
    const all = mutationsOf(parsed);
    for (let i = 0; i < n && all.length > 0; i++) {
      const [mutation] = all.splice(Math.floor(random() * all.length), 1);
      out.mutants++;
      const verdict = runScript(file, source, { ...options, edit: mutation.apply }).result;
      if (verdict === "fail") out.killed++;
      else out.survivors.push({ file, line: mutation.line, what: mutation.what });
    }
  }
  out.ratio = out.mutants === 0 ? 1 : out.killed / out.mutants;
  return out;
}

/** The outcome as text. */
export function mutationText(o: MutationOutcome, survivors: boolean): string {
  const lines = survivors ? o.survivors.map((s) => `SURVIVED ${s.file}:${s.line}: ${s.what}`) : [];
  lines.push(
    `${o.killed} of ${o.mutants} mutants failed (${(o.ratio * 100).toFixed(1)} %), ` +
      `${o.scripts} scripts, ${o.skipped} left out because they do not pass`,
  );
  return lines.join("\n");
}

function mulberry(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Everything in a script whose change must be noticed. */
export function mutationsOf(script: Script): Mutation[] {
  const out: Mutation[] = [];
  script.events.forEach((event, i) => {
    const replace = (what: string, changed: ScriptEvent): void => {
      out.push({
        what,
        line: event.line,
        apply: (s) => ({ ...s, events: s.events.map((e, j) => j === i ? changed : e) }),
      });
    };
    const { action } = event;
    if (action.kind === "expect") {
      for (const [what, packet] of packetMutations(action.packet)) {
        replace(what, { ...event, action: { kind: "expect", packet } });
      }
      if (event.time.kind !== "any") {
        // Later than any tolerance of this event, and earlier than the runner's patience.
        const tolerance = Number(script.options.get("tolerance_usecs") ?? 4000);
        const shift = 2 * Math.max(tolerance, event.time.to * 0.3, 4000) + 1000;
        const time = { ...event.time, from: event.time.from + shift, to: event.time.to + shift };
        replace(`time is ${shift} usec later`, { ...event, time });
      }
    } else if (action.kind === "call") {
      const changed = callMutation(action);
      if (changed !== null) replace("result of the call", { ...event, action: changed });
    }
  });
  return out;
}

function packetMutations(p: PacketLine): [string, PacketLine][] {
  if (p.proto === "udp") return [["payload bytes + 1", { ...p, len: p.len + 1 }]];
  if (p.proto === "icmp") return [["type", { ...p, type: p.type === "unreachable" ? "time_exceeded" : "unreachable" }]];
  const out: [string, TcpLine][] = [
    ["seq + 1", { ...p, seq: p.seq + 1 }],
    ["payload bytes + 1", { ...p, len: p.len + 1 }],
    ["PSH flipped", { ...p, flags: p.flags ^ 0x08 }],
    ["FIN flipped", { ...p, flags: p.flags ^ 0x01 }],
    ["ACK flipped", { ...p, flags: p.flags ^ 0x10 }],
  ];
  if ((p.flags & 0x10) !== 0) out.push(["ack + 1", { ...p, ack: p.ack + 1 }]);
  if (p.win !== null) out.push(["window + 1", { ...p, win: p.win + 1 }]);
  if (p.ip.ecn !== null) out.push(["ECN field", { ...p, ip: { ...p.ip, ecn: (p.ip.ecn + 1) & 3 } }]);
  // The first SYN names its number, whatever it is.
  const kept = (p.flags & 0x02) !== 0 ? out.filter(([what]) => what !== "seq + 1") : out;
  if (p.options === null) return kept;
  kept.push(["one nop more", { ...p, options: [...p.options, ...NOPS] }]);
  p.options.forEach((o, i) => {
    const changed = optionMutation(o);
    if (changed === null) return;
    kept.push([`option ${o.kind}`, { ...p, options: p.options!.map((x, j) => j === i ? changed : x) }]);
  });
  return kept;
}

const NOPS: readonly TcpOption[] = [{ kind: "nop" }, { kind: "nop" }, { kind: "nop" }, { kind: "nop" }];

function optionMutation(o: TcpOption): TcpOption | null {
  switch (o.kind) {
    case "mss":
    case "wscale":
      return { ...o, value: o.value + 1 };
    case "TS":
      return { ...o, ecr: o.ecr + 1 };
    case "sack":
      return { ...o, blocks: o.blocks.map(([a, b]) => [a, b + 1] as const) };
    case "ECN":
      return { ...o, fields: o.fields.map(([name, v], i) => [name, i === 0 ? v + 1 : v] as const) };
    case "sackOK":
      return { kind: "other", number: 253, hex: "" };
    case "FO":
    case "FOEXP":
      return o.hex === "" ? null : { ...o, hex: o.hex.replace(/.$/, (c) => c === "0" ? "1" : "0") };
    default:
      return null;
  }
}

/** A result that is another number; an errno that is another one. Descriptors are the script's own names. */
function callMutation(action: Extract<Action, { kind: "call" }>): Action | null {
  const { call } = action;
  if (call.result === null || NAMING.has(call.name)) return null;
  const changed: CallLine = call.errno !== ""
    ? { ...call, errno: call.errno === "EBADF" ? "EINVAL" : "EBADF" }
    : { ...call, result: other(call.result) };
  return { kind: "call", call: changed };
}

const NAMING = new Set(["socket", "accept", "accept4", "epoll_create", "epoll_create1", "open"]);

function other(e: Expr): Expr {
  return { kind: "number", value: e.kind === "number" ? e.value + (e.value < 0 ? 2 : 1) : 7777 };
}
