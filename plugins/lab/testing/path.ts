/**
 * Did a packet go this way? Steps of a path against the journey.
 */
import type { JourneyRecord } from "../../observe/journey/mod.ts";

/** What a test says of a path: see {@linkcode pathDifference}. */
export type PathStep = string;

/**
 * What is wrong with the way that `records` (all of one packet) tell, or "". Each step must be met, in order; other points
 * may lie between. A step is `[NET:]POINT`; the point is a Linux function (`ip_rcv`), a tracepoint with or without its
 * group (`net:net_dev_xmit`), the name of a hook or device that it is about, `drop` or `drop REASON`; `! POINT` says that
 * the packet does not come there before the next step (or at all, when it is the last one).
 */
export function pathDifference(records: readonly JourneyRecord[], steps: readonly PathStep[]): string {
  let at = 0;
  let never: PathStep[] = [];
  for (const step of steps) {
    if (step.startsWith("!")) {
      never.push(step.slice(1).trim());
      continue;
    }
    const found = records.findIndex((r, i) => i >= at && meets(r, step));
    if (found < 0) return `it does not come to ${step}${at === 0 ? "" : ` after ${pointText(records[at - 1])}`}`;
    const wrong = passed(records.slice(at, found), never);
    if (wrong !== "") return `${wrong} before ${step}`;
    never = [];
    at = found + 1;
  }
  return passed(records.slice(at), never);
}

function passed(records: readonly JourneyRecord[], never: readonly PathStep[]): string {
  for (const step of never) if (records.some((r) => meets(r, step))) return `it comes to ${step}`;
  return "";
}

function meets(r: JourneyRecord, step: PathStep): boolean {
  const m = /^(?:([^\s:]+):)??((?:[a-z_]+:)?\S+)(?:\s+(\S+))?$/.exec(step);
  if (m === null) throw new TypeError(`Cannot look for "${step}": expected a step such as b:ip_rcv`);
  const [, , , detail] = m;
  const body = step.trim().split(/\s+/)[0];
  // `b:ip_rcv` may be a net and a function, or a group and a tracepoint.
  const parts = body.split(":");
  const readings: [net: string, point: string][] = [["", body], [parts[0], parts.slice(1).join(":")]];
  return readings.some(([net, point]) => point !== "" && (net === "" || r.net === net) && isPoint(r, point, detail));
}

function isPoint(r: JourneyRecord, point: string, detail: string | undefined): boolean {
  if (point === "drop") return r.drop !== null && (detail === undefined || r.drop.name === detail);
  const named = [r.linux, r.point, r.point.split(":")[1], r.what, r.dev].includes(point);
  return named && (detail === undefined || r.verdict === detail.toUpperCase());
}

/** A point of a way in few words: `b:ip_rcv`. */
export function pointText(r: JourneyRecord): string {
  const name = r.drop !== null ? `drop ${r.drop.name}` : r.linux || r.point;
  const hook = r.verdict === "" ? "" : ` (${r.what} ${r.verdict})`;
  return `${r.net}:${name}${hook}`;
}

/** A way in one line a net: `a: udp_sendmsg > ip_output > ...`. */
export function wayText(records: readonly JourneyRecord[]): string {
  const lines: string[] = [];
  let net = "";
  for (const r of records) {
    const point = pointText(r).slice(r.net.length + 1);
    if (r.net !== net || lines.length === 0) lines.push(`${net = r.net}: ${point}`);
    else if (!lines[lines.length - 1].endsWith(` ${point}`)) lines[lines.length - 1] += ` > ${point}`;
  }
  return lines.join("\n");
}
