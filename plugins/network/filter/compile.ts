/** Rules in words become rules in numbers; what is wrong with one is said here. Not on the packet path. */
import { nearest } from "../../../core/mod.ts";
import { makeMask, needCidr, parseIp } from "../inet/header.ts";
import type { FilterChain, FilterReject, FilterRule } from "./contract.ts";

/** Chains by hook number. */
export const CHAINS: readonly FilterChain[] = ["prerouting", "input", "forward", "output", "postrouting"];

/** Verdicts of a compiled rule. */
export const V_NONE = -1;
/** Dropped. */
export const V_DROP = 0;
/** Accepted. */
export const V_ACCEPT = 1;
/** Rejected. */
export const V_REJECT = 2;

/** TCP flags by nft's names. */
export const TCP_FLAGS: Readonly<Record<string, number>> = {
  fin: 1,
  syn: 2,
  rst: 4,
  psh: 8,
  ack: 16,
  urg: 32,
  ecn: 64,
  cwr: 128,
};
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, esp: 50, sctp: 132 };
const ICMP_TYPES: Readonly<Record<string, number>> = {
  "echo-reply": 0,
  "destination-unreachable": 3,
  "source-quench": 4,
  redirect: 5,
  "echo-request": 8,
  "time-exceeded": 11,
  "parameter-problem": 12,
  "timestamp-request": 13,
  "timestamp-reply": 14,
  "address-mask-request": 17,
  "address-mask-reply": 18,
};
/** ICMP codes of type 3 by nft's names; auto and tcp-reset: -1, -2. */
const REJECTS: Readonly<Record<FilterReject, number>> = {
  auto: -1,
  "tcp-reset": -2,
  "net-unreachable": 0,
  "host-unreachable": 1,
  "prot-unreachable": 2,
  "port-unreachable": 3,
  "net-prohibited": 9,
  "host-prohibited": 10,
  "admin-prohibited": 13,
};

/** Pairs of lowest and highest number, as unsigned; an empty one matches all. */
export interface Ranges {
  /** Lowest and highest in turn. */
  readonly at: Float64Array;
  /** Matches what is in none of them. */
  readonly not: boolean;
}

/** A rule in numbers. */
export interface Compiled {
  readonly rule: FilterRule;
  readonly protocol: Ranges | null;
  readonly saddr: Ranges | null;
  readonly daddr: Ranges | null;
  readonly sport: Ranges | null;
  readonly dport: Ranges | null;
  readonly icmpType: Ranges | null;
  readonly iif: readonly string[] | null;
  readonly oif: readonly string[] | null;
  /** Flags looked at, flags that are set; mask 0: not asked. */
  readonly flagsMask: number;
  readonly flagsValue: number;
  readonly log: string | null;
  /** V_*. */
  readonly verdict: number;
  /** Code of the ICMP error, -1: auto, -2: RST. */
  readonly reject: number;
  packets: number;
  bytes: number;
}

/** A rule in numbers; a wrong one is a TypeError that names it and its place `index`. */
export function compileRule(rule: FilterRule, index: number): Compiled {
  const where = `rule ${index + 1}${rule.comment === undefined ? "" : ` ("${rule.comment}")`}`;
  const fail = (what: string): never => {
    throw new TypeError(`Cannot use ${where}: ${what}`);
  };
  for (const key of Object.keys(rule)) if (!KEYS.includes(key)) fail(`no field ${key}${hint(key, KEYS)}`);
  if (!CHAINS.includes(rule.chain)) fail(`chain "${rule.chain}"; there are ${CHAINS.join(", ")}`);
  const protocol = ranges(rule.protocol, (v) => named(v, PROTOCOLS, 255, "protocol", fail), fail);
  const ports = protocolsOf(protocol);
  if ((rule.sport ?? rule.dport) !== undefined && !ports.every((p) => p === 6 || p === 17 || p === 132)) {
    fail("ports are of tcp and udp: name one of them as protocol");
  }
  if (rule.tcpFlags !== undefined && !ports.every((p) => p === 6)) fail("tcpFlags take protocol: tcp");
  if (rule.icmpType !== undefined && !ports.every((p) => p === 1)) fail("icmpType takes protocol: icmp");
  const [flagsValue, flagsMask] = flagsOf(rule.tcpFlags, fail);
  const reject = REJECTS[rule.rejectWith ?? "auto"];
  if (reject === undefined) fail(`rejectWith "${rule.rejectWith}"; there are ${Object.keys(REJECTS).join(", ")}`);
  if (reject === -2 && !ports.every((p) => p === 6)) fail("tcp-reset takes protocol: tcp");
  const verdict = { accept: V_ACCEPT, drop: V_DROP, reject: V_REJECT, "": V_NONE }[rule.verdict ?? ""];
  if (verdict === undefined) fail(`verdict "${rule.verdict}"; there are accept, drop, reject`);
  if (verdict === V_REJECT && rule.chain === "postrouting") fail("reject is for prerouting, input, forward and output");
  return {
    rule,
    protocol,
    saddr: ranges(rule.saddr, (v) => addresses(v, fail), fail),
    daddr: ranges(rule.daddr, (v) => addresses(v, fail), fail),
    sport: ranges(rule.sport, (v) => numbers(v, 65535, "port", fail), fail),
    dport: ranges(rule.dport, (v) => numbers(v, 65535, "port", fail), fail),
    icmpType: ranges(rule.icmpType, (v) => named(v, ICMP_TYPES, 255, "icmpType", fail), fail),
    iif: devices(rule.iif),
    oif: devices(rule.oif),
    flagsMask,
    flagsValue,
    log: rule.log ?? null,
    verdict: verdict ?? V_NONE,
    reject,
    packets: 0,
    bytes: 0,
  };
}

const KEYS: readonly string[] = [
  ...["chain", "protocol", "saddr", "daddr", "sport", "dport", "iif", "oif", "tcpFlags", "icmpType", "comment", "log"],
  ...["verdict", "rejectWith"],
];

function hint(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  return near.length === 0 ? `; there are ${names.join(", ")}` : `: did you mean ${near.join(" or ")}?`;
}

type Fail = (what: string) => never;
type Pair = readonly [number, number];

/** One value or several, with `!` in front of all or none. */
function ranges<T extends string | number>(
  value: T | readonly T[] | undefined,
  one: (value: string) => Pair,
  fail: Fail,
): Ranges | null {
  if (value === undefined) return null;
  const texts = (Array.isArray(value) ? value : [value]).map((v) => String(v).trim());
  if (texts.length === 0) fail("an empty list matches nothing");
  const nots = texts.filter((t) => t.startsWith("!")).length;
  if (nots !== 0 && nots !== texts.length) fail(`${texts.join(", ")}: "!" stands before all of a list, or none`);
  return { at: Float64Array.from(texts.flatMap((t) => one(nots === 0 ? t : t.slice(1).trim()))), not: nots > 0 };
}

function numbers(text: string, max: number, what: string, fail: Fail): Pair {
  const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const [low, high] = m === null ? [NaN, NaN] : [Number(m[1]), Number(m[2] ?? m[1])];
  if (!(low <= high && high <= max)) {
    fail(`${what} "${text}": expected a number to ${max}, or a range such as 1-${max}`);
  }
  return [low, high];
}

function named(text: string, names: Readonly<Record<string, number>>, max: number, what: string, fail: Fail): Pair {
  const number = names[text];
  if (number !== undefined) return [number, number];
  if (!/^\d/.test(text)) fail(`no ${what} ${text}${hint(text, Object.keys(names))}`);
  return numbers(text, max, what, fail);
}

function addresses(text: string, fail: Fail): Pair {
  const [from, to, more] = text.split("-");
  if (to !== undefined) {
    const [low, high] = [parseIp(from), parseIp(to)];
    if (low === null || high === null || more !== undefined || low >>> 0 > high >>> 0) {
      return fail(`address "${text}": expected a range such as 10.0.0.1-10.0.0.9`);
    }
    return [low >>> 0, high >>> 0];
  }
  const { addr, prefix } = needCidr(text, "address");
  const mask = makeMask(prefix);
  return [(addr & mask) >>> 0, (addr | ~mask) >>> 0];
}

const devices = (value: string | readonly string[] | undefined): readonly string[] | null =>
  value === undefined ? null : typeof value === "string" ? [value] : value;

/** The protocols of a rule one by one; none said, or "not": 256, which is no protocol. */
function protocolsOf(protocol: Ranges | null): number[] {
  if (protocol === null || protocol.not) return [256];
  const out: number[] = [];
  for (let i = 0; i < protocol.at.length; i += 2) {
    for (let p = protocol.at[i]; p <= protocol.at[i + 1]; p++) out.push(p);
  }
  return out;
}

/** Flags that are set, and those looked at, of `syn`, `syn,ack` or `syn/syn,ack`. */
export function flagsOf(text: string | undefined, fail: Fail): Pair {
  if (text === undefined) return [0, 0];
  const [set, of = set, more] = text.split("/");
  const bits = (names: string): number => {
    let all = 0;
    for (const name of names.split(",").map((n) => n.trim()).filter((n) => n !== "")) {
      const bit = TCP_FLAGS[name];
      if (bit === undefined) return fail(`no TCP flag ${name}${hint(name, Object.keys(TCP_FLAGS))}`);
      all |= bit;
    }
    return all;
  };
  const [value, mask] = [bits(set), bits(of)];
  if (more !== undefined || mask === 0 || (value & ~mask) !== 0) {
    return fail(`tcpFlags "${text}": expected flags, or flags/mask such as syn/syn,ack`);
  }
  return [value, mask];
}

/** The number of a protocol or ICMP type in words. */
export function numberOf(value: string | number, kind: "protocol" | "icmpType"): number {
  const fail = (what: string): never => {
    throw new TypeError(`Cannot decide about a packet: ${what}`);
  };
  return named(String(value), kind === "protocol" ? PROTOCOLS : ICMP_TYPES, 255, kind, fail)[0];
}
