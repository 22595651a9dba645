/**
 * What the two halves of the oracle agree on: the host's configuration, the steps that go in, the answers that come out, and how both
 * lie in a file. The kernel half is `kernel_host.ts`; the netpath half reads the same {@linkcode Scenario} and the same steps.
 *
 * @module
 */

import type { FilterRuleset } from "../../plugins/network/filter/mod.ts";

/** One network device of the host under test. */
export interface ScenarioDevice {
  name: string;
  mac: string;
  mtu: number;
  /** With prefix length: `"10.9.0.1/24"`. The broadcast address is the subnet's. */
  addresses: string[];
  /** Permanent neighbour entries. */
  neighbours: { ip: string; mac: string }[];
}

/** One route, besides those that the addresses bring. */
export interface ScenarioRoute {
  /** `"default"` or `"10.20.0.0/16"`. */
  to: string;
  via?: string;
  dev?: string;
  type?: "unicast" | "unreachable" | "prohibit" | "blackhole" | "throw";
  mtu?: number;
}

/** One UDP socket that is open during the run. What it receives, and its errors, are answers too. */
export interface ScenarioSocket {
  bind: string;
  port: number;
  connect?: { address: string; port: number };
  /** SO_REUSEADDR. */
  reuse?: boolean;
}

/** The host under test. */
export interface Scenario {
  name: string;
  devices: ScenarioDevice[];
  routes: ScenarioRoute[];
  sockets: ScenarioSocket[];
  /** Linux's names, dots or slashes, without the leading `net.`: `"ipv4.ip_forward"`. `DEV` stands for every device. */
  sysctls: Record<string, string | number>;
  /** A packet filter: nft's text for the kernel, the same rules for netpath. */
  filter?: { nft: string; netpath: FilterRuleset };
}

/** One thing that happens to the host. */
export type Step =
  | { kind: "frame"; dev: number; bytes: Uint8Array; note: string }
  /** Time passes: the kernel half sleeps, the netpath half advances its clock. */
  | { kind: "wait"; ms: number; note: string };

/** One thing that the host did. */
export type Answer =
  /** A frame out of device `dev`. */
  | { kind: "frame"; dev: number; bytes: Uint8Array }
  /** A datagram that socket `socket` received. */
  | { kind: "datagram"; socket: number; from: string; port: number; bytes: Uint8Array }
  /** SO_ERROR of socket `socket`, as errno. */
  | { kind: "error"; socket: number; errno: number }
  /** The device refused the frame (a TAP's `write` failed); errno. */
  | { kind: "refused"; dev: number; errno: number }
  /** Counters that moved, `/proc/net/snmp` and `netstat` names: `{ "Icmp.OutMsgs": 1 }`. */
  | { kind: "counters"; delta: Record<string, number> }
  /** `SKB_DROP_REASON_` names of frames dropped, in order. */
  | { kind: "drops"; reasons: string[] };

/** What came out, per step, in the order of the steps; one more entry at the end for what came after the last step settled. */
export type Answers = Answer[][];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const STEP_FRAME = 1;
const STEP_WAIT = 2;
const ANSWER_KINDS = ["frame", "datagram", "error", "refused", "counters", "drops"] as const;
const END_OF_STEP = 255;

/** Records of `u32 length, u8 kind, u8 index, body`, little-endian; `length` counts kind, index and body. */
class RecordWriter {
  #buffer = new Uint8Array(1 << 16);
  #end = 0;

  add(kind: number, index: number, body: Uint8Array): void {
    const need = this.#end + 6 + body.length;
    if (need > this.#buffer.length) {
      const bigger = new Uint8Array(Math.max(need, this.#buffer.length * 2));
      bigger.set(this.#buffer.subarray(0, this.#end));
      this.#buffer = bigger;
    }
    new DataView(this.#buffer.buffer).setUint32(this.#end, body.length + 2, true);
    this.#buffer[this.#end + 4] = kind;
    this.#buffer[this.#end + 5] = index;
    this.#buffer.set(body, this.#end + 6);
    this.#end = need;
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#end);
  }
}

function* records(file: Uint8Array): Generator<{ kind: number; index: number; body: Uint8Array }> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + 6 <= file.length;) {
    const length = view.getUint32(at, true);
    yield { kind: file[at + 4], index: file[at + 5], body: file.subarray(at + 6, at + 4 + length) };
    at += 4 + length;
  }
}

/** Steps as a file. */
export function encodeSteps(steps: readonly Step[]): Uint8Array {
  const out = new RecordWriter();
  for (const step of steps) {
    const note = encoder.encode(step.note);
    const data = step.kind === "frame" ? step.bytes : encoder.encode(String(step.ms));
    const body = new Uint8Array(2 + note.length + data.length);
    new DataView(body.buffer).setUint16(0, note.length, true);
    body.set(note, 2);
    body.set(data, 2 + note.length);
    out.add(step.kind === "frame" ? STEP_FRAME : STEP_WAIT, step.kind === "frame" ? step.dev : 0, body);
  }
  return out.finish();
}

/** Reads what {@linkcode encodeSteps} wrote. */
export function decodeSteps(file: Uint8Array): Step[] {
  const out: Step[] = [];
  for (const { kind, index, body } of records(file)) {
    const split = 2 + new DataView(body.buffer, body.byteOffset, body.byteLength).getUint16(0, true);
    const note = decoder.decode(body.subarray(2, split));
    const data = body.subarray(split);
    out.push(
      kind === STEP_FRAME
        ? { kind: "frame", dev: index, bytes: data, note }
        : { kind: "wait", ms: Number(decoder.decode(data)), note },
    );
  }
  return out;
}

/** Answers as a file. */
export function encodeAnswers(answers: Answers): Uint8Array {
  const out = new RecordWriter();
  for (const list of answers) {
    for (const answer of list) {
      const kind = ANSWER_KINDS.indexOf(answer.kind);
      if (answer.kind === "frame") out.add(kind, answer.dev, answer.bytes);
      else if (answer.kind === "datagram") {
        const from = encoder.encode(`${answer.from}:${answer.port}\n`);
        const body = new Uint8Array(from.length + answer.bytes.length);
        body.set(from);
        body.set(answer.bytes, from.length);
        out.add(kind, answer.socket, body);
      } else if (answer.kind === "error") out.add(kind, answer.socket, encoder.encode(String(answer.errno)));
      else if (answer.kind === "refused") out.add(kind, answer.dev, encoder.encode(String(answer.errno)));
      else {
        out.add(kind, 0, encoder.encode(JSON.stringify(answer.kind === "counters" ? answer.delta : answer.reasons)));
      }
    }
    out.add(END_OF_STEP, 0, new Uint8Array(0));
  }
  return out.finish();
}

/** Reads what {@linkcode encodeAnswers} wrote. */
export function decodeAnswers(file: Uint8Array): Answers {
  const out: Answers = [];
  let list: Answer[] = [];
  for (const { kind, index, body } of records(file)) {
    if (kind === END_OF_STEP) {
      out.push(list);
      list = [];
      continue;
    }
    switch (ANSWER_KINDS[kind]) {
      case "frame":
        list.push({ kind: "frame", dev: index, bytes: body });
        break;
      case "datagram": {
        const split = body.indexOf(10);
        const [from, port] = decoder.decode(body.subarray(0, split)).split(":");
        list.push({ kind: "datagram", socket: index, from, port: Number(port), bytes: body.subarray(split + 1) });
        break;
      }
      case "error":
        list.push({ kind: "error", socket: index, errno: Number(decoder.decode(body)) });
        break;
      case "refused":
        list.push({ kind: "refused", dev: index, errno: Number(decoder.decode(body)) });
        break;
      case "counters":
        list.push({ kind: "counters", delta: JSON.parse(decoder.decode(body)) });
        break;
      case "drops":
        list.push({ kind: "drops", reasons: JSON.parse(decoder.decode(body)) });
        break;
    }
  }
  return out;
}
