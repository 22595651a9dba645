/**
 * Compares what two hosts answered to the same steps, field by field.
 *
 * Not compared, and nothing else:
 *
 * 1. The IP id of packets that the host made itself: only that the fragments of one share it.
 * 2. Timestamps (ICMP timestamp replies, the IP timestamp option): where one was written counts, not its value.
 * 3. Checksums as numbers, where they cover 1 or 2: only whether they are right.
 * 4. The order of what timers did during one wait.
 *
 * @module
 */

import { decode, type Decoded, hex } from "../support/frames/build.ts";
import { briefAnswer, briefFrame } from "./brief.ts";
import type { Answer, Answers, Step } from "./scenario.ts";

/** What to compare besides frames, datagrams and socket errors. */
export interface CompareOptions {
  /** Addresses of the host under test, to tell its own packets from those it forwards. */
  own: readonly string[];
  /** Names of counters to compare: a filter on `"Icmp.OutMsgs"`. Off by default. */
  counters?: (name: string) => boolean;
  /** Compares drop reasons, without the kernel's function. Off by default. */
  drops?: boolean;
  /** Steps whose difference is known and accepted: returns the reason. */
  accepted?: (step: Step, note: string) => string | undefined;
}

/** One step whose answers differ. */
export interface Mismatch {
  index: number;
  /** Undefined for what came after the last step. */
  step: Step | undefined;
  /** `class: what`, from the step's note. */
  note: string;
  left: Answer[];
  right: Answer[];
  /** Field paths with both values. */
  differences: string[];
  accepted?: string;
}

/** The outcome, by class of input. */
export interface Comparison {
  mismatches: Mismatch[];
  classes: Map<string, { steps: number; answers: number; mismatches: number }>;
}

type Plain = string | number | boolean | null | undefined | Plain[] | { [key: string]: Plain };

const TIMESTAMP_OPTION = "44";

/** The options in a header, as hex; what cannot be walked comes as one piece. */
function* walkOptions(options: string): Generator<string> {
  let at = 0;
  while (at < options.length) {
    const kind = Number.parseInt(options.slice(at, at + 2), 16);
    const length = kind < 2 ? 2 : Number.parseInt(options.slice(at + 2, at + 4), 16) * 2;
    const end = length >= (kind < 2 ? 2 : 4) ? at + length : options.length;
    yield options.slice(at, end);
    at = end;
  }
}

function timestampOption(options: string): string | undefined {
  for (const option of walkOptions(options)) if (option.startsWith(TIMESTAMP_OPTION)) return option;
  return undefined;
}

/** IP options with the timestamps replaced that were written since the input. */
function stillOptions(options: string, inputs: readonly string[]): string {
  let out = "";
  for (const option of walkOptions(options)) {
    out += option.startsWith(TIMESTAMP_OPTION) && option.length >= 8 ? stillTimestamps(option, inputs) : option;
  }
  return out;
}

function pointerOf(option: string): number {
  return Number.parseInt(option.slice(4, 6), 16);
}

/** The option with the stamps blotted out that lie from `first` up to the option's own pointer. */
function blot(option: string, first: number, pointer: number): string {
  const hasAddress = (Number.parseInt(option.slice(6, 8), 16) & 15) !== 0;
  const entry = hasAddress ? 8 : 4;
  const digits = option.split("");
  for (let at = first - 1; at >= 4 && at + entry < pointer; at += entry) {
    const stamp = 2 * (hasAddress ? at + 4 : at);
    for (let k = stamp; k < stamp + 8 && k < digits.length; k++) digits[k] = "t";
  }
  return digits.join("");
}

/**
 * Stamps written since the input are new. The input is the newest one that differs in nothing else: an answer parked for ARP belongs to an
 * earlier step.
 */
function stillTimestamps(option: string, inputs: readonly string[]): string {
  const pointer = pointerOf(option);
  for (const input of inputs) {
    if (input.length !== option.length) continue;
    const first = pointerOf(input);
    const [a, b] = [option, input].map((text) => blot(text, first, pointer));
    // Flag 1 fills in addresses that the input does not have: there, what lies outside of the new entries has to agree.
    const outside = (text: string) =>
      a[7] === "1" ? text.slice(8, 2 * first - 2) + text.slice(2 * pointer - 2) : text.slice(8);
    if (a.slice(0, 4) === b.slice(0, 4) && a[7] === b[7] && outside(a) === outside(b)) return a;
  }
  return blot(option, 5, pointer);
}

function stillLayer(decoded: Decoded, inputs: readonly string[]): Plain {
  const out: Record<string, Plain> = {};
  for (const [name, layer] of Object.entries(decoded)) {
    out[name] = typeof layer === "object" && !Array.isArray(layer) ? { ...layer } : layer;
  }
  const ipv4 = out.ipv4 as Record<string, Plain> | undefined;
  if (ipv4) ipv4.options = stillOptions(String(ipv4.options), inputs);
  return out as Plain;
}

function stillFrame(bytes: Uint8Array, inputs: readonly string[], own: readonly string[], flows: Set<string>): Plain {
  const decoded = decode(bytes);
  const out = stillLayer(decoded, inputs) as Record<string, Record<string, Plain>>;
  if (decoded.ipv4) {
    const { ipv4 } = out;
    if (own.includes(decoded.ipv4.src)) {
      const { id, src, dst, proto, mf, offset } = decoded.ipv4;
      const flow = `${src} ${dst} ${proto} ${id}`;
      ipv4.id = offset > 0 && flows.has(flow) ? "as the fragment before" : "own";
      if (mf) flows.add(flow);
    }
    delete ipv4.checksum;
  }
  if (decoded.icmp) {
    const { icmp } = out;
    delete icmp.checksum;
    if (decoded.icmp.quoted) icmp.quoted = stillLayer(decoded.icmp.quoted, inputs);
    if (decoded.icmp.quoted?.ipv4) delete (icmp.quoted as Record<string, Record<string, Plain>>).ipv4.checksumOk;
    if (decoded.icmp.type === 14 && decoded.payload?.length === 24) {
      const [, originate, receive, transmit] = /^(.{8})(.{8})(.{8})$/.exec(decoded.payload) ?? [];
      (out as Record<string, Plain>).payload = `${originate}<stamp>${receive === transmit ? "<same>" : transmit}`;
    }
  }
  return out;
}

function still(answers: readonly Answer[], inputs: readonly string[], options: CompareOptions): Plain[] {
  const flows = new Set<string>();
  const out: Plain[] = [];
  for (const answer of answers) {
    switch (answer.kind) {
      case "frame":
        out.push({ kind: "frame", dev: answer.dev, ...stillFrame(answer.bytes, inputs, options.own, flows) as object });
        break;
      case "datagram":
        out.push({ ...answer, bytes: hex(answer.bytes) });
        break;
      case "error":
        out.push({ ...answer });
        break;
      case "counters":
        if (options.counters) {
          const kept = Object.entries(answer.delta).filter(([name]) => options.counters?.(name));
          out.push({ kind: "counters", delta: Object.fromEntries(kept.sort(([a], [b]) => a < b ? -1 : 1)) });
        }
        break;
      case "drops":
        if (options.drops) out.push({ kind: "drops", reasons: answer.reasons.map((reason) => reason.split(" ")[0]) });
        break;
      case "refused":
        // The device did not take the frame: the same as silence.
        break;
    }
  }
  return out;
}

function clip(value: Plain): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 60 ? text : `${text.slice(0, 50)}...(${text.length})`;
}

function differ(left: Plain, right: Plain, path: string, out: string[]): void {
  if (left === right) return;
  const bothObjects = typeof left === "object" && typeof right === "object" && left !== null && right !== null;
  if (!bothObjects) {
    out.push(`${path}: ${clip(left)} | ${clip(right)}`);
    return;
  }
  const [a, b] = [left as Record<string, Plain>, right as Record<string, Plain>];
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    differ(a[key], b[key], path === "" ? key : `${path}.${key}`, out);
  }
}

function byText(a: Plain, b: Plain): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

/** The class in a note: what is before the colon. */
export function classOf(note: string): string {
  const at = note.indexOf(":");
  return at < 0 ? note : note.slice(0, at);
}

/** Compares two hosts' answers to the same steps. */
export function compare(
  steps: readonly Step[],
  left: Answers,
  right: Answers,
  options: CompareOptions,
): Comparison {
  const mismatches: Mismatch[] = [];
  const classes: Comparison["classes"] = new Map();
  // Timestamp options of the frames so far, newest first.
  const inputs: string[] = [];
  for (let index = 0; index <= steps.length; index++) {
    const step = steps[index];
    const note = step?.note ?? "after the last step";
    const name = classOf(note);
    const [a, b] = [left[index] ?? [], right[index] ?? []];
    const differences: string[] = [];
    const stamped = step?.kind === "frame" && timestampOption(decode(step.bytes).ipv4?.options ?? "");
    if (stamped) inputs.unshift(stamped);
    const [stillLeft, stillRight] = [still(a, inputs, options), still(b, inputs, options)];
    if (step?.kind === "wait") { for (const list of [stillLeft, stillRight]) list.sort(byText); }
    differ(stillLeft, stillRight, "", differences);
    const row = classes.get(name) ?? { steps: 0, answers: 0, mismatches: 0 };
    classes.set(name, row);
    row.steps++;
    row.answers += a.filter((answer) => answer.kind === "frame" || answer.kind === "datagram").length;
    if (differences.length === 0) continue;
    const accepted = step && options.accepted?.(step, note);
    if (accepted === undefined) row.mismatches++;
    mismatches.push({
      index,
      step,
      note,
      left: a,
      right: b,
      differences,
      ...(accepted === undefined ? {} : { accepted }),
    });
  }
  return { mismatches, classes };
}

/** How {@linkcode report} names the two sides, and how much it prints. */
export interface ReportOptions {
  left: string;
  right: string;
  /** Mismatches printed per class; default 3. */
  perClass?: number;
}

/** The comparison as text: mismatches by class, then a table, then one line. */
export function report({ mismatches, classes }: Comparison, options: ReportOptions): string {
  const lines: string[] = [];
  const open = mismatches.filter((mismatch) => mismatch.accepted === undefined);
  const groups = Map.groupBy(open, (mismatch) => classOf(mismatch.note));
  const width = Math.max(options.left.length, options.right.length);
  for (const [name, list] of groups) {
    lines.push(`${name}: ${list.length} differ`);
    for (const { index, step, note, left, right, differences } of list.slice(0, options.perClass ?? 3)) {
      lines.push(`  #${index} ${note}`);
      if (step?.kind === "frame") lines.push(`    in   dev${step.dev} ${briefFrame(step.bytes)}`);
      for (const [side, answers] of [[options.left, left], [options.right, right]] as const) {
        if (answers.length === 0) lines.push(`    ${side.padEnd(width)} silent`);
        for (const answer of answers) lines.push(`    ${side.padEnd(width)} ${briefAnswer(answer)}`);
      }
      for (const difference of differences.slice(0, 12)) lines.push(`      ${difference}`);
      if (differences.length > 12) lines.push(`      ... ${differences.length - 12} more`);
    }
  }
  lines.push("", `${"class".padEnd(36)}${"steps".padStart(8)}${"answers".padStart(9)}${"differ".padStart(8)}`);
  for (const [name, row] of [...classes].sort(([a], [b]) => a < b ? -1 : 1)) {
    const { steps, answers, mismatches } = row;
    lines.push(`${name.padEnd(36)}${`${steps}`.padStart(8)}${`${answers}`.padStart(9)}${`${mismatches}`.padStart(8)}`);
  }
  const accepted = Map.groupBy(mismatches.filter((one) => one.accepted !== undefined), (one) => one.accepted);
  for (const [reason, list] of accepted) lines.push(`accepted: ${list.length} x ${reason}`);
  const steps = [...classes.values()].reduce((sum, row) => sum + row.steps, 0) - 1;
  const answers = [...classes.values()].reduce((sum, row) => sum + row.answers, 0);
  lines.push(
    `${steps} steps, ${answers} answers of ${options.left}, ${open.length} steps differ from ${options.right}`,
  );
  return lines.join("\n");
}
