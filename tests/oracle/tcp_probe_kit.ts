/**
 * What the TCP probes share: how a step is written.
 *
 * @module
 */

import {
  LINUX_SYN,
  type TcpCallStep,
  type TcpCase,
  type TcpDamage,
  type TcpOption,
  type TcpPosition,
  type TcpSegmentStep,
  type TcpSetup,
  type TcpStep,
} from "../support/frames/generate_tcp.ts";

/** A place by name: `"nxt"`, `"end-1"`, `"una+5"`, `"0"`. */
function at(text: string): TcpPosition {
  const [, base = "zero", off = "0"] = /^(nxt|una|end|isn)?([+-]?\d+)?$/.exec(text) ?? [];
  return { base: base as TcpPosition["base"], off: Number(off) };
}

/** What a probe says of a segment; the rest is decent. */
export interface Fields {
  seq?: string;
  ack?: string;
  win?: number;
  urg?: number;
  len?: number;
  opt?: TcpOption[];
  damage?: TcpDamage;
}

/** A timestamp, one later than the last, behind two NOPs. */
export const STAMP: TcpOption[] = [{ kind: "nop" }, { kind: "nop" }, { kind: "ts", val: 1, ecr: 0 }];
/** An MSS alone. */
export const PLAIN: TcpOption[] = [{ kind: "mss", value: 1460 }];

/** A segment. Its options are those of a connection with timestamps unless given. */
export function seg(flags: string, fields: Fields = {}): TcpSegmentStep {
  return {
    kind: "segment",
    flags,
    seq: at(fields.seq ?? "nxt"),
    ack: at(fields.ack ?? "nxt"),
    window: fields.win ?? 501,
    urgent: fields.urg ?? 0,
    options: fields.opt ?? (flags.includes("S") ? [...LINUX_SYN] : STAMP),
    length: fields.len ?? 0,
    ...(fields.damage ? { damage: fields.damage } : {}),
  };
}

/** Something that happens to the socket. */
export function call(name: TcpCallStep["call"], length = 0): TcpCallStep {
  return { kind: "call", call: name, length };
}

/** A timestamp behind two NOPs. */
export function stamp(val: number, ecr: { ecr?: number; rawEcr?: number } = { ecr: 0 }): TcpOption[] {
  return [{ kind: "nop" }, { kind: "nop" }, { kind: "ts", val, ...ecr }];
}

/** A timestamp and SACK blocks. */
export function sack(...blocks: [number, number][]): TcpOption[] {
  return [...stamp(1), { kind: "nop" }, { kind: "nop" }, { kind: "sack", blocks }];
}

/** Collects probes. */
export class TcpProbes {
  readonly cases: TcpCase[] = [];

  add(setup: TcpSetup, note: string, steps: TcpStep[], more: Partial<TcpCase> = {}): void {
    this.cases.push({
      note: `${setup}: ${note}`,
      setup,
      isn: (0x1000_0000 + this.cases.length * 0x0123_4567) >>> 0,
      synOptions: [...LINUX_SYN],
      window: 64240,
      exchange: [10, 20],
      steps,
      ...more,
    });
  }
}
