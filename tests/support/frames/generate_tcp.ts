/**
 * Seeded TCP exchanges for the oracle and the fuzzer. Sequence numbers depend on what the host under test chose, so a case says *where* a
 * segment lies (at the left edge, at the end of the window, one beyond what was sent), and the driver (`tests/oracle/tcp_driver.ts`) turns
 * that into bytes. The same seed gives the same cases.
 *
 * @module
 */

import { Random } from "./random.ts";

/** The state that the host's socket is brought to before the first step. */
export type TcpSetup =
  | "closed"
  | "listen"
  | "synRecv"
  | "established"
  | "finWait1"
  | "finWait2"
  | "closing"
  | "timeWait"
  | "closeWait"
  | "lastAck"
  | "orphan"
  | "synSent";

/** Every {@linkcode TcpSetup}. */
export const TCP_SETUPS: readonly TcpSetup[] = [
  "closed",
  "listen",
  "synRecv",
  "established",
  "finWait1",
  "finWait2",
  "closing",
  "timeWait",
  "closeWait",
  "lastAck",
  "orphan",
  "synSent",
];

/**
 * A place in sequence space. Of our sequence numbers: `nxt` is the next byte that we send in order, `end` the first byte beyond the window
 * that the host announced, `isn` our first. Of acknowledgements: `nxt` is the end of what the host sent, `una` what we acknowledged last,
 * `isn` the host's first. `zero` is the number itself.
 */
export interface TcpPosition {
  base: "nxt" | "una" | "end" | "isn" | "zero";
  off: number;
}

/** One TCP option. */
export type TcpOption =
  | { kind: "mss"; value: number }
  | { kind: "wscale"; value: number }
  | { kind: "sackOk" }
  /** `val` is relative to the newest of ours, `ecr` to the newest of the host's; `rawEcr` is the number itself. */
  | { kind: "ts"; val: number; ecr?: number; rawEcr?: number }
  /** Edges are relative to the host's first sequence number. */
  | { kind: "sack"; blocks: [number, number][] }
  | { kind: "nop" }
  | { kind: "end" }
  /** Hex, as it is. */
  | { kind: "raw"; hex: string };

/** What is wrong with a segment. */
export type TcpDamage =
  | { kind: "checksum" }
  | { kind: "doff"; words: number }
  /** The IP packet ends after so many bytes of TCP; checksums are right for what is there. */
  | { kind: "cut"; length: number }
  /** One bit of the TCP header, checksum repaired. */
  | { kind: "flip"; at: number; bit: number };

/** A segment from the peer. */
export interface TcpSegmentStep {
  kind: "segment";
  /** Letters of `FSRPAUEC`. */
  flags: string;
  seq: TcpPosition;
  ack: TcpPosition;
  window: number;
  urgent: number;
  options: TcpOption[];
  /** Payload bytes. */
  length: number;
  damage?: TcpDamage;
}

/** Something that happens to the host's socket. */
export interface TcpCallStep {
  kind: "call";
  call: "read" | "write" | "shutdown" | "close" | "abort";
  /** Bytes of `write`, most bytes of `read`. */
  length: number;
}

/** Time passes. */
export interface TcpWaitStep {
  kind: "wait";
  ms: number;
}

/** One thing that happens. */
export type TcpStep = TcpSegmentStep | TcpCallStep | TcpWaitStep;

/** One connection, or an attempt at one. */
export interface TcpCase {
  /** `class: what`. */
  note: string;
  setup: TcpSetup;
  /** Our first sequence number. */
  isn: number;
  /** Options of our SYN, or SYN-ACK, of the set-up. */
  synOptions: TcpOption[];
  /** The window in our SYN and, unless a step says otherwise, later. */
  window: number;
  /** Bytes that the peer and the host exchange before the steps. */
  exchange: [peer: number, host: number];
  steps: TcpStep[];
}

const FULL: TcpOption[] = [
  { kind: "mss", value: 1460 },
  { kind: "sackOk" },
  { kind: "ts", val: 0, rawEcr: 0 },
  { kind: "nop" },
  { kind: "wscale", value: 7 },
];

/** The options of an ordinary SYN of Linux. */
export const LINUX_SYN: readonly TcpOption[] = FULL;

const GOOD_SYNS: readonly (readonly [number, TcpOption[]])[] = [
  [6, FULL],
  [3, [{ kind: "mss", value: 1460 }]],
  [2, [{ kind: "mss", value: 1460 }, { kind: "nop" }, { kind: "nop" }, { kind: "sackOk" }]],
  [2, [{ kind: "mss", value: 1460 }, { kind: "nop" }, { kind: "nop" }, { kind: "ts", val: 0, rawEcr: 0 }]],
  [1, [{ kind: "mss", value: 1460 }, { kind: "nop" }, { kind: "wscale", value: 2 }]],
  [1, []],
];

/** Options as odd as they come; for SYNs and all others. */
function oddOptions(random: Random): TcpOption[] {
  return random.pick<() => TcpOption[]>([
    () => [{ kind: "mss", value: random.pick([0, 1, 47, 48, 87, 88, 89, 535, 536, 1459, 1461, 9000, 65535]) }],
    () => [{ kind: "mss", value: 1460 }, { kind: "nop" }, { kind: "wscale", value: random.pick([0, 14, 15, 16, 255]) }],
    () => [{ kind: "mss", value: 500 }, { kind: "mss", value: 1000 }],
    () => [{ kind: "nop" }, { kind: "nop" }, { kind: "ts", val: 5, rawEcr: random.u32() }],
    () => [{ kind: "end" }, { kind: "mss", value: 700 }],
    () => [{ kind: "mss", value: 1460 }, { kind: "end" }, { kind: "sackOk" }, { kind: "nop" }],
    // Lengths that lie: zero, one, longer than what is there, wrong for the kind.
    () => [{ kind: "raw", hex: `${random.pick(["02", "03", "04", "05", "08", "fd"])}00` }],
    () => [{ kind: "raw", hex: `${random.pick(["02", "03", "04", "05", "08", "fd"])}01` }],
    () => [{ kind: "raw", hex: `${random.pick(["02", "03", "04", "05", "08", "fd"])}ff0505` }],
    () => [{ kind: "raw", hex: "0203050101" }],
    () => [{ kind: "raw", hex: "020505b400" }],
    () => [{ kind: "raw", hex: "0304070001010101" }],
    () => [{ kind: "raw", hex: "0403000101" }],
    () => [{ kind: "raw", hex: "0809000000010000000001" }],
    () => [{ kind: "raw", hex: "050a00000001000000020101" }],
    () => [{ kind: "raw", hex: "fe04f989" }, { kind: "mss", value: 1200 }],
    // Fast Open without and with a cookie, MD5 signature, AO, multipath, user timeout.
    () => [{ kind: "mss", value: 1460 }, { kind: "raw", hex: "2202" }, { kind: "nop" }, { kind: "nop" }],
    () => [{ kind: "mss", value: 1460 }, { kind: "raw", hex: "220a0102030405060708" }, { kind: "nop" }, {
      kind: "nop",
    }],
    () => [{ kind: "raw", hex: "1312000102030405060708090a0b0c0d0e0f" }, { kind: "nop" }, { kind: "nop" }],
    () => [{ kind: "raw", hex: "1e0c00810102030405060708" }],
    () => [{ kind: "raw", hex: "1c04000a" }, { kind: "mss", value: 1460 }],
    () => [{ kind: "raw", hex: "1d10010200112233445566778899aabb" }],
    () => Array.from({ length: 40 }, () => ({ kind: "nop" as const })),
    () => [{ kind: "raw", hex: "00".repeat(random.pick([1, 4, 39, 40])) }],
    () => [{ kind: "raw", hex: "ff".repeat(random.pick([1, 4, 40])) }],
    () => {
      const bytes = random.bytes(random.between(1, 40));
      return [{ kind: "raw", hex: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") }];
    },
  ])();
}

const FLAGS: readonly (readonly [number, string])[] = [
  [10, "A"],
  [6, "PA"],
  [4, "FA"],
  [2, "FPA"],
  [4, "R"],
  [3, "RA"],
  [4, "S"],
  [2, "SA"],
  [1, "F"],
  [1, "P"],
  [1, ""],
  [1, "SF"],
  [1, "SFA"],
  [1, "SR"],
  [1, "SRA"],
  [1, "FR"],
  [1, "FRA"],
  [1, "FPU"],
  [1, "UA"],
  [1, "UPA"],
  [1, "SU"],
  [1, "FSRPAU"],
  [1, "SPA"],
];

function anyOffset(random: Random): number {
  return random.weighted<number>([
    [4, random.pick([1, -1])],
    [3, random.between(-200, 200)],
    [2, random.between(-70_000, 70_000)],
    [1, random.pick([0x7fffffff, 0x80000000, -0x7fffffff, 0x40000000, -0x40000000])],
  ]);
}

function seqOf(random: Random, length: number): TcpPosition {
  return random.weighted<TcpPosition>([
    [10, { base: "nxt", off: 0 }],
    [2, { base: "nxt", off: -length }],
    [2, { base: "nxt", off: -(length >> 1) }],
    [1, { base: "nxt", off: 1 - length }],
    [1, { base: "nxt", off: -length - 1 }],
    [4, { base: "nxt", off: anyOffset(random) }],
    [1, { base: "end", off: 0 }],
    [1, { base: "end", off: -1 }],
    [1, { base: "end", off: -length }],
    [1, { base: "end", off: 1 - length }],
    [1, { base: "end", off: anyOffset(random) }],
    [1, { base: "isn", off: random.pick([0, 1, -1]) }],
    [1, { base: "zero", off: random.pick([0, random.u32()]) }],
  ]);
}

/** A plain number only where the host has chosen none: otherwise it lies before or behind that by chance. */
function ackOf(random: Random, plain: boolean): TcpPosition {
  return random.weighted<TcpPosition>([
    [14, { base: "nxt", off: 0 }],
    [2, { base: "una", off: 0 }],
    [2, { base: "nxt", off: random.pick([1, -1]) }],
    [2, { base: "nxt", off: anyOffset(random) }],
    [1, { base: "una", off: -1 }],
    [1, { base: "una", off: anyOffset(random) }],
    [1, { base: "isn", off: random.pick([0, 1, 2]) }],
    plain
      ? [1, { base: "zero", off: random.pick([0, random.u32()]) }]
      : [1, { base: "nxt", off: random.pick([-70_000, 70_000]) }],
  ]);
}

function timestamp(random: Random): TcpOption {
  const val = random.weighted<number>([
    [8, random.between(0, 3)],
    [2, -1],
    [1, -random.between(2, 100_000)],
    [1, random.between(1000, 100_000)],
    [1, random.pick([0x7fffffff, 0x80000000, -0x7fffffff])],
  ]);
  const ecr = random.weighted<Partial<{ ecr: number; rawEcr: number }>>([
    [8, { ecr: 0 }],
    [1, { rawEcr: 0 }],
    [1, { rawEcr: random.u32() }],
    [1, { ecr: random.pick([-1, 1, 100_000, -100_000]) }],
  ]);
  return { kind: "ts", val, ...ecr };
}

function sack(random: Random): TcpOption {
  const blocks = Array.from({ length: random.between(1, 3) }, (): [number, number] => {
    const from = random.pick([random.between(0, 60), random.between(-100, 5000), anyOffset(random)]);
    return [from, from + random.pick([1, 10, 20, 0, -1, 1460, anyOffset(random)])];
  });
  return { kind: "sack", blocks };
}

function hasTimestamps(options: readonly TcpOption[]): boolean {
  return options.some((option) => option.kind === "ts");
}

/** Options of a segment that is no SYN, on a connection that negotiated `syn`. */
function optionsOf(random: Random, syn: readonly TcpOption[]): TcpOption[] {
  if (random.chance(0.06)) return oddOptions(random);
  const out: TcpOption[] = [];
  const wanted = hasTimestamps(syn) ? 0.92 : 0.1;
  if (random.chance(wanted)) out.push({ kind: "nop" }, { kind: "nop" }, timestamp(random));
  if (random.chance(0.1)) out.push({ kind: "nop" }, { kind: "nop" }, sack(random));
  return out;
}

function damageOf(random: Random): TcpDamage {
  return random.pick<TcpDamage>([
    { kind: "checksum" },
    { kind: "checksum" },
    { kind: "doff", words: random.pick([0, 1, 4, 4, 6, 8, 15]) },
    { kind: "cut", length: random.pick([0, 1, 4, 8, 13, 19, 20, 21, 24]) },
    // Not in the acknowledgement: what a flip there does depends on the number that the host chose.
    { kind: "flip", at: random.pick([4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19]), bit: random.int(8) },
    { kind: "flip", at: random.pick([4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19]), bit: random.int(8) },
  ]);
}

function lengthOf(random: Random): number {
  return random.weighted<number>([
    [8, 0],
    [3, random.between(1, 20)],
    [2, random.between(20, 600)],
    [2, random.pick([535, 536, 537, 1440, 1448])],
  ]);
}

/** A random segment, aimed at a connection that negotiated `syn`; `plain`: there is none yet. */
export function randomSegment(random: Random, syn: readonly TcpOption[], plain = false): TcpSegmentStep {
  const flags = random.weighted(FLAGS);
  const length = flags.includes("S") && random.chance(0.7) ? 0 : lengthOf(random);
  const isSyn = flags.includes("S");
  const step: TcpSegmentStep = {
    kind: "segment",
    flags,
    seq: seqOf(random, length),
    ack: ackOf(random, plain),
    window: random.weighted<number>([[6, 501], [2, 65535], [1, 0], [1, random.u16()]]),
    urgent: flags.includes("U") ? random.pick([0, 1, 2, length, length + 1, 65535]) : random.chance(0.02) ? 5 : 0,
    options: isSyn ? (random.chance(0.7) ? [...syn] : oddOptions(random)) : optionsOf(random, syn),
    length,
  };
  return random.chance(0.06) ? damaged(step, damageOf(random)) : step;
}

/** With the data offset wrong, options are read as payload: none then that depend on numbers that the host chose. */
function damaged(step: TcpSegmentStep, damage: TcpDamage): TcpSegmentStep {
  const lies = damage.kind === "doff" || (damage.kind === "flip" && damage.at === 12);
  const options = lies ? step.options.filter(({ kind }) => kind !== "ts" && kind !== "sack") : step.options;
  return { ...step, options, damage };
}

/** A segment that a decent peer would send next. */
function decentSegment(random: Random, syn: readonly TcpOption[]): TcpSegmentStep {
  const length = random.pick([0, 0, 1, 20, 500, 1440]);
  const flags = length > 0 ? "PA" : random.pick(["A", "A", "A", "FA"]);
  const options: TcpOption[] = hasTimestamps(syn)
    ? [{ kind: "nop" }, { kind: "nop" }, { kind: "ts", val: random.between(0, 2), ecr: 0 }]
    : [];
  const seq: TcpPosition = { base: "nxt", off: random.chance(0.8) ? 0 : random.pick([500, 1440, -20]) };
  return { kind: "segment", flags, seq, ack: { base: "nxt", off: 0 }, window: 501, urgent: 0, options, length };
}

/** A call on the socket. Nothing is written where Nagle, the congestion window or a timer would have a say. */
function randomCall(random: Random): TcpCallStep {
  return random.weighted<TcpCallStep>([
    [4, { kind: "call", call: "read", length: random.pick([1, 100, 100_000]) }],
    [3, { kind: "call", call: "write", length: random.pick([1, 20, 500]) }],
    [2, { kind: "call", call: "shutdown", length: 0 }],
    [1, { kind: "call", call: "close", length: 0 }],
    [1, { kind: "call", call: "abort", length: 0 }],
  ]);
}

const SETUPS: readonly (readonly [number, TcpSetup])[] = [
  [14, "established"],
  [8, "listen"],
  [3, "closed"],
  [4, "synRecv"],
  [2, "synSent"],
  [1, "finWait1"],
  [1, "finWait2"],
  [1, "closing"],
  [1, "timeWait"],
  [1, "closeWait"],
  [1, "lastAck"],
  [1, "orphan"],
];

/** First segments at a listening port: mostly SYNs, and the bits around them. */
function knock(random: Random, syn: readonly TcpOption[]): TcpSegmentStep {
  const step = randomSegment(random, syn, true);
  if (random.chance(0.4)) return step;
  const { damage: _, ...whole } = step;
  const odd = random.chance(0.5);
  return {
    ...whole,
    flags: random.weighted([[8, "S"], [1, "SP"], [1, "SU"], [1, "SEC"]]),
    seq: { base: "isn", off: 0 },
    options: odd ? oddOptions(random) : [...syn],
    length: random.chance(0.85) ? 0 : 10,
    window: random.pick([0, 1, 501, 64240, 65535]),
  };
}

/** One seeded case. */
export function tcpCase(random: Random): TcpCase {
  const setup = random.weighted(SETUPS);
  const synOptions = [...random.weighted(GOOD_SYNS)];
  const steps: TcpStep[] = [];
  const count = setup === "closed" ? 1 : random.weighted([[5, 1], [3, 2], [2, 3], [1, 5]]);
  for (let i = 0; i < count; i++) {
    if (setup === "listen" && i === 0) steps.push(knock(random, synOptions));
    else if (setup !== "closed" && setup !== "listen" && random.chance(0.12)) steps.push(randomCall(random));
    else if (i < count - 1 && random.chance(0.4)) steps.push(decentSegment(random, synOptions));
    else steps.push(randomSegment(random, synOptions, setup === "closed"));
  }
  const exchange = random.pick<[number, number]>([[10, 20], [10, 20], [0, 0], [10, 0], [0, 20]]);
  return { note: `${setup}: seeded`, setup, isn: random.u32(), synOptions, window: 64240, exchange, steps };
}

/** Cases with `segments` segments in all, or a few more. */
export function generateTcpCases(seed: number, segments: number): TcpCase[] {
  const random = new Random(seed);
  const out: TcpCase[] = [];
  for (let made = 0; made < segments;) {
    const next = tcpCase(random);
    out.push({ ...next, note: `${next.note} #${out.length}` });
    made += next.steps.filter((step) => step.kind === "segment").length;
  }
  return out;
}
