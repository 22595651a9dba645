/**
 * Compares what two hosts answered to the same TCP cases, field by field.
 *
 * Not compared, and nothing else:
 *
 * 1. First sequence numbers, and the ports that the host chose: numbers that depend on them are compared by their distance.
 * 2. The value of the host's timestamps (what they echo is compared), and the IP id of packets that have one (id 0 is compared).
 *
 * @module
 */

import type { TcpCase, TcpOption, TcpPosition, TcpStep } from "../support/frames/generate_tcp.ts";
import type { SeqNumber, TcpAnswer, TcpAnswers, TcpFrame } from "./tcp_driver.ts";

/** A case whose answers differ, from its first step that does. */
export interface TcpMismatch {
  index: number;
  case: TcpCase;
  /** -1: the set-up; `steps.length`: the end. */
  step: number;
  left: TcpAnswer | undefined;
  right: TcpAnswer | undefined;
  differences: string[];
  accepted?: string;
}

/** Why a difference is accepted, or undefined. */
export type Accept = (mismatch: TcpMismatch) => string | undefined;

/** The outcome. */
export interface TcpComparison {
  cases: number;
  segments: number;
  answers: number;
  mismatches: TcpMismatch[];
}

function sameNumber(a: SeqNumber, b: SeqNumber): boolean {
  return a.raw === b.raw || a.rel === b.rel;
}

function differFrames(a: TcpFrame, b: TcpFrame, at: string, out: string[]): void {
  const text = (field: string, left: unknown, right: unknown) => {
    const [l, r] = [JSON.stringify(left), JSON.stringify(right)];
    if (l !== r) out.push(`${at}.${field}: ${clip(l)} | ${clip(r)}`);
  };
  text("other", a.other, b.other);
  text("flags", a.flags, b.flags);
  if (!sameNumber(a.seq, b.seq)) out.push(`${at}.seq: ${number(a.seq)} | ${number(b.seq)}`);
  if (!sameNumber(a.ack, b.ack)) out.push(`${at}.ack: ${number(a.ack)} | ${number(b.ack)}`);
  text("window", a.window, b.window);
  text("urgent", a.urgent, b.urgent);
  text("options", a.options, b.options);
  text("length", a.length, b.length);
  text("payload", a.payload, b.payload);
  text("ip", a.ip, b.ip);
  text("checksums", a.checksums, b.checksums);
}

function clip(text: string | undefined): string {
  if (text === undefined) return "nothing";
  return text.length <= 60 ? text : `${text.slice(0, 50)}...(${text.length})`;
}

function number(value: SeqNumber): string {
  return `isn+${value.rel} (${value.raw})`;
}

/** How two answers differ. */
export function differTcp(a: TcpAnswer | undefined, b: TcpAnswer | undefined): string[] {
  const out: string[] = [];
  if (!a || !b) return ["one has no answer"];
  if (a.frames.length !== b.frames.length) out.push(`frames: ${a.frames.length} | ${b.frames.length}`);
  for (let i = 0; i < Math.min(a.frames.length, b.frames.length); i++) {
    differFrames(a.frames[i], b.frames[i], `frame ${i}`, out);
  }
  for (const field of ["state", "result", "error", "read"] as const) {
    const [left, right] = [JSON.stringify(a[field]), JSON.stringify(b[field])];
    if (left !== right) out.push(`${field}: ${clip(left)} | ${clip(right)}`);
  }
  return out;
}

/** The first step that differs, or undefined. */
export function differCase(spec: TcpCase, index: number, a: TcpAnswers, b: TcpAnswers): TcpMismatch | undefined {
  for (let at = 0; at < spec.steps.length + 2; at++) {
    const differences = differTcp(a[at], b[at]);
    if (differences.length > 0) {
      return { index, case: spec, step: at - 1, left: a[at], right: b[at], differences };
    }
  }
  return undefined;
}

/** Compares two runs of the same cases. */
export function compareTcp(
  cases: readonly TcpCase[],
  left: readonly TcpAnswers[],
  right: readonly TcpAnswers[],
  accept?: Accept,
): TcpComparison {
  const out: TcpComparison = { cases: cases.length, segments: 0, answers: 0, mismatches: [] };
  cases.forEach((spec, i) => {
    out.segments += spec.steps.filter((step) => step.kind === "segment").length;
    out.answers += left[i].slice(1).reduce((sum, answer) => sum + answer.frames.length, 0);
    const mismatch = differCase(spec, i, left[i], right[i]);
    if (!mismatch) return;
    const accepted = accept?.(mismatch);
    out.mismatches.push(accepted === undefined ? mismatch : { ...mismatch, accepted });
  });
  return out;
}

// ---- text

const STATES = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
];

function position({ base, off }: TcpPosition): string {
  if (base === "zero") return `${off}`;
  return off === 0 ? base : `${base}${off < 0 ? "" : "+"}${off}`;
}

function optionText(option: TcpOption): string {
  switch (option.kind) {
    case "mss":
    case "wscale":
      return `${option.kind} ${option.value}`;
    case "ts":
      return `ts +${option.val} ecr ${option.rawEcr ?? `last+${option.ecr ?? 0}`}`;
    case "sack":
      return `sack ${option.blocks.map((block) => block.join("-")).join(" ")}`;
    case "raw":
      return `raw ${option.hex}`;
    default:
      return option.kind;
  }
}

function optionsText(options: readonly TcpOption[]): string {
  return options.length === 0 ? "" : ` <${options.map(optionText).join(", ")}>`;
}

/** A step in one line. */
export function briefStep(step: TcpStep): string {
  if (step.kind === "wait") return `${step.ms} ms pass`;
  if (step.kind === "call") return `${step.call}(${step.length || ""})`;
  const { flags, seq, ack, window, urgent, options, length, damage } = step;
  return `${flags || "none"} seq ${position(seq)} ack ${position(ack)} win ${window}${
    urgent ? ` urg ${urgent}` : ""
  } len ${length}${optionsText(options)}${damage ? ` DAMAGED ${JSON.stringify(damage)}` : ""}`;
}

/** A frame in one line. */
export function briefTcp(frame: TcpFrame): string {
  if (frame.other) return `other ${clip(frame.other)}`;
  const { flags, seq, ack, window, urgent, options, length, ip, checksums } = frame;
  return `${flags} seq ${number(seq)} ack ${number(ack)} win ${window}${urgent ? ` urg ${urgent}` : ""} len ${length}` +
    `${options.length > 0 ? ` <${options.join(", ")}>` : ""} ${ip}${checksums ? "" : " BADSUM"}`;
}

/** An answer, as lines. */
export function briefTcpAnswer(answer: TcpAnswer | undefined): string[] {
  if (!answer) return ["(none)"];
  const out = answer.frames.map(briefTcp);
  const rest: string[] = [];
  if (answer.state !== undefined) rest.push(STATES[answer.state] ?? `state ${answer.state}`);
  if (answer.result !== undefined) rest.push(`result ${answer.result}`);
  if (answer.error !== undefined) rest.push(`SO_ERROR ${answer.error}`);
  if (answer.read !== undefined) rest.push(`read ${answer.read.length} bytes`);
  out.push(`(${answer.frames.length === 0 ? "silent; " : ""}${rest.join(", ")})`);
  return out;
}

/** A case with what a host answered. */
export function briefCase(spec: TcpCase, answers: TcpAnswers): string {
  const lines = [
    `# ${spec.note} [${spec.setup}; SYN isn ${spec.isn}${optionsText(spec.synOptions)}; exchange ${spec.exchange}]`,
  ];
  answers.forEach((answer, i) => {
    const step = spec.steps[i - 1];
    lines.push(i === 0 ? "  set-up" : step ? `  > ${briefStep(step)}` : "  end");
    for (const line of briefTcpAnswer(answer)) lines.push(`      ${line}`);
  });
  return lines.join("\n");
}

/** The comparison as text: the first of each kind of difference, and one line at the end. */
export function reportTcp(result: TcpComparison, sides: { left: string; right: string }, perClass = 3): string {
  const lines: string[] = [];
  const open = result.mismatches.filter((one) => one.accepted === undefined);
  for (const [name, list] of Map.groupBy(open, (one) => one.case.setup)) {
    lines.push(`${name}: ${list.length} differ`);
    for (const one of list.slice(0, perClass)) {
      lines.push(
        `  #${one.index} ${one.case.note} [SYN${optionsText(one.case.synOptions)}; exchange ${one.case.exchange}]`,
      );
      one.case.steps.slice(0, one.step + 1).forEach((step) => lines.push(`    > ${briefStep(step)}`));
      if (one.step === -1) lines.push("    in the set-up");
      if (one.step === one.case.steps.length) lines.push("    at the end");
      for (const [side, answer] of [[sides.left, one.left], [sides.right, one.right]] as const) {
        for (const line of briefTcpAnswer(answer)) lines.push(`    ${side.padEnd(8)} ${line}`);
      }
      for (const difference of one.differences.slice(0, 8)) lines.push(`      ${difference}`);
    }
  }
  const accepted = Map.groupBy(result.mismatches.filter((one) => one.accepted !== undefined), (one) => one.accepted);
  for (const [reason, list] of accepted) lines.push(`accepted: ${list.length} x ${reason}`);
  lines.push(
    `${result.cases} connections, ${result.segments} segments, ${result.answers} answers of ${sides.left}, ` +
      `${open.length} differ from ${sides.right}`,
  );
  return lines.join("\n");
}
