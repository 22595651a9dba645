/**
 * Commands in backquotes, mapped onto the stack: tunables, the link, routes, counters. What is not here is unsupported
 * and says so; a command that fails fails the script.
 *
 * @module
 */
import { DROP, NET_XMIT_DROP, type QdiscOps } from "../../../core/mod.ts";
import type { Host } from "../../../mod.ts";
import { INET } from "../../network/inet/contract.ts";
import type { Route, RouteMetric } from "../../network/fib/contract.ts";
import { SOCK } from "../../transport/sock/contract.ts";
import { Mismatch } from "./args.ts";
import { evalCode } from "./code.ts";
import { addressText } from "./wire.ts";
import { Unsupported } from "./config.ts";
import { type Bench, elapsed } from "./files.ts";
import type { Tun } from "./tun.ts";

/** What commands work on. */
export interface CommandBench extends Bench {
  readonly host: Host;
  readonly tun: Tun;
  /** Counters when nstat looked last. */
  readonly counted: Map<string, number>;
  /** Told what was left out, for the verbose report. */
  note(text: string): void;
}

/** What the defaults script of both suites sets. */
const DEFAULTS: Readonly<Record<string, string>> = {
  tcp_rmem: "4096 540000 15728640",
  tcp_wmem: "4096 262144 4194304",
  tcp_timestamps: "1",
  tcp_syn_retries: "5",
  tcp_synack_retries: "5",
  tcp_frto: "2",
  tcp_sack: "1",
  tcp_dsack: "1",
  tcp_fack: "0",
  tcp_reordering: "3",
  tcp_congestion_control: "cubic",
  tcp_slow_start_after_idle: "0",
  tcp_early_retrans: "4",
  tcp_recovery: "1",
  tcp_tso_win_divisor: "3",
  tcp_ecn: "0",
  tcp_pacing_ss_ratio: "200",
  tcp_pacing_ca_ratio: "120",
  tcp_notsent_lowat: "4294967295",
  tcp_fastopen: "0x3",
  tcp_fastopen_key: "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4",
  tcp_syncookies: "1",
};
/** What Google's differs in. */
const GOOGLE_DEFAULTS: Readonly<Record<string, string>> = { ...DEFAULTS, tcp_ecn_option: "2", tcp_fastopen: "0x70403" };

/** Runs a command of one or more lines. Throws {@linkcode Unsupported} or a {@linkcode Mismatch}. */
export function runCommand(b: CommandBench, text: string): void {
  const joined = text.replace(/\\[ \t]*\n/g, " ").replace(/\\[ \t]+(?=\S)/g, " ");
  for (const line of joined.split("\n")) {
    for (const part of splitOutside(line.replace(/(^|\s)#.*$/, ""), ";")) {
      const words = wordsOf(part);
      if (words.length > 0) runWords(b, words, part.trim());
    }
  }
}

/** Splits outside quotes. */
function splitOutside(text: string, at: string): string[] {
  const out = [""];
  let quote = "";
  for (const c of text) {
    if (quote === "" && c === at) {
      out.push("");
      continue;
    }
    if (c === quote) quote = "";
    else if (quote === "" && (c === '"' || c === "'")) quote = c;
    out[out.length - 1] += c;
  }
  return out;
}

/** Words without quotes; redirections are gone, but `> FILE` of echo stays. */
function wordsOf(text: string): string[] {
  const out: string[] = [];
  const plain = text.replace(/\$\(\(([^()]*(?:\([^()]*\)[^()]*)*)\)\)/g, (_, e: string) => String(evalCode(e)));
  for (const m of plain.matchAll(/((?:[^\s"']+|"[^"]*"|'[^']*')+)/g)) {
    const word = m[1].replace(/"([^"]*)"|'([^']*)'/g, (_, a, c) => a ?? c);
    // A lone backslash continues nothing: the line ended there.
    if (word !== "\\") out.push(word);
  }
  return out;
}

function runWords(b: CommandBench, all: readonly string[], text: string): void {
  const words = all.filter((w) => !/^\d?>{1,2}(\/dev\/null|&\d)$/.test(w)).filter((w, i, list) =>
    !(w === "/dev/null" && list[i - 1] === ">")
  );
  const command = words[0].split("/").at(-1)!;
  switch (command) {
    case "defaults.sh":
      return defaults(b, words[0].includes("common/") ? GOOGLE_DEFAULTS : DEFAULTS);
    case "set_sysctls.py":
      for (const w of words.slice(1)) assign(b, w.replace(/^\/proc\/sys\//, "").replace(/^[^=]*/, dotted));
      return;
    case "sysctl":
      for (const w of words.slice(1)) if (!w.startsWith("-")) assign(b, w.replace(/^[^=]*/, dotted));
      return;
    case "echo":
      return echo(b, words, text);
    case "tc":
      return tc(b, words, text);
    case "ip":
      return ip(b, words, text);
    case "ethtool":
      return ethtool(b, words, text);
    case "nstat":
      return nstat(b, words);
    case "grep":
      return grepSockets(b, words, text);
    case "rm":
      for (const w of words.slice(1)) if (!w.startsWith("-")) b.disk.delete(w);
      return;
    case "dd":
      return dd(b, words, text);
    case "true":
    case ":":
      return;
    case "false":
      throw new Mismatch("the command fails");
  }
  // The net of a script ends with it: there is nothing to restore.
  if (/^sysctl_restore_.*\.sh$/.test(command)) return;
  throw new Unsupported(`the command "${text}"`);
}

function dotted(name: string): string {
  return name.replaceAll("/", ".");
}

// ---------------------------------------------------------------------------------------------------------------------
// Tunables

/** The suites' common settings name what most of their scripts never touch: a stack may lack some of them. */
function defaults(b: CommandBench, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (b.net.sysctl.list().includes(`net.ipv4.${name}`) || name === "tcp_congestion_control") {
      setSysctl(b, `net.ipv4.${name}`, value);
    } else b.note(`no sysctl net.ipv4.${name} among the common settings`);
  }
}

function assign(b: CommandBench, text: string): void {
  const at = text.indexOf("=");
  if (at < 0) throw new Unsupported(`sysctl ${text} without a value`);
  setSysctl(b, text.slice(0, at), text.slice(at + 1).trim());
}

/** Sets a tunable by Linux's name and Linux's spelling of its value. */
export function setSysctl(b: CommandBench, name: string, text: string): void {
  if (name === "net.ipv4.tcp_congestion_control" && setCongestion(b, text)) return;
  const sysctl = b.net.sysctl;
  if (!sysctl.list().includes(name)) throw new Unsupported(`sysctl ${name}`);
  try {
    sysctl.set(name, text);
  } catch (error) {
    throw new Unsupported(`sysctl ${name} = ${text}: ${error instanceof Error ? error.message : error}`);
  }
}

/** What a TCP offers for a tunable that is a name. */
interface CongestionChoice {
  setDefaultCongestionControl?(name: string): boolean;
}

function setCongestion(b: CommandBench, name: string): boolean {
  const choice = b.tcp as CongestionChoice | null;
  if (choice?.setDefaultCongestionControl === undefined) return false;
  if (choice.setDefaultCongestionControl(name)) return true;
  throw new Unsupported(`congestion control ${name}`);
}

/** `echo VALUE > /proc/sys/...` and module parameters, which are tunables `module.NAME.PARAMETER` here. */
function echo(b: CommandBench, words: readonly string[], text: string): void {
  const m = /^echo\s+(?:-n\s+)?(.*?)\s*>\s*(\S+)$/.exec(text);
  if (m === null) {
    if (!text.includes(">")) return;
    throw new Unsupported(`the command "${text}"`);
  }
  const [, value, path] = m;
  const proc = /^\/proc\/sys\/(.+)$/.exec(path);
  const parameter = /^\/sys\/module\/([^/]+)\/parameters\/([^/]+)$/.exec(path);
  if (proc !== null) setSysctl(b, dotted(proc[1]), value.replaceAll('"', ""));
  else if (parameter !== null) setSysctl(b, `module.${parameter[1]}.${parameter[2]}`, value);
  else throw new Unsupported(`the command "${words.join(" ")}"`);
}

// ---------------------------------------------------------------------------------------------------------------------
// The link

/** A queue of no packets drops them all, and the sender hears of it. Linux: pfifo with `limit 0`. */
export const HOLE: QdiscOps = {
  name: "pfifo_none",
  canBypass: false,
  init: () => true,
  enqueue: (skb, q) => {
    q.drops++;
    q.dev.net.drop(skb, DROP.QDISC_DROP);
    return NET_XMIT_DROP;
  },
  dequeue: () => null,
  reset: () => 0,
};

/** A queue that takes nothing is a hole in the link; its removal mends it. */
function tc(b: CommandBench, words: readonly string[], text: string): void {
  const [, object, verb, ...rest] = words;
  const ours = rest[0] === "dev" && rest[1] === "tun0" && rest[2] === "root";
  if (object !== "qdisc" || !ours) throw new Unsupported(`the command "${text}"`);
  const dev = b.tun.dev;
  if (verb === "del" || verb === "delete") {
    b.net.setQdisc(dev, b.net.qdiscs.has(b.net.defaultQdisc) ? b.net.defaultQdisc : null);
    return;
  }
  if (verb !== "add" && verb !== "replace" && verb !== "change") throw new Unsupported(`the command "${text}"`);
  const kind = rest[3];
  const limit = rest[4] === "limit" ? Number(rest[5]) : undefined;
  if (kind === "pfifo" && limit === 0) return void b.net.setQdisc(dev, HOLE.name);
  if (kind === undefined || !b.net.qdiscs.has(kind)) throw new Unsupported(`qdisc ${kind}`);
  b.net.setQdisc(dev, kind, limit === undefined ? {} : { limit });
}

function ip(b: CommandBench, words: readonly string[], text: string): void {
  const [, object, verb] = words;
  if (object === "tcp_metrics" && verb === "flush") {
    if (b.tcp?.flushMetrics !== undefined) b.tcp.flushMetrics();
    else if (elapsed(b) > 0) throw new Unsupported("ip tcp_metrics flush: TCP has no flushMetrics()");
    return;
  }
  if (object === "link" && verb === "set") return ipLink(b, words, text);
  if (object !== "route" || !["add", "change", "replace"].includes(verb)) {
    throw new Unsupported(`the command "${text}"`);
  }
  replaceRoute(b, routeOf(words, text));
}

/** Metrics by the names of iproute2 that are not the stack's. */
const METRIC_NAMES: Readonly<Record<string, RouteMetric>> = {
  rto_min: "rtoMin",
  fastopen_no_cookie: "fastopenNoCookie",
};
const NUMBER_METRICS: readonly string[] = [
  ...["mtu", "advmss", "window", "rtt", "rttvar", "rto_min", "cwnd", "ssthresh", "reordering", "hoplimit"],
  ...["initcwnd", "initrwnd", "quickack", "fastopen_no_cookie"],
];

/** The route of `ip route add PREFIX ...`. */
function routeOf(words: readonly string[], text: string): Route {
  const to = words[3].includes("/") || words[3] === "default" ? words[3] : `${words[3]}/32`;
  const route: Record<string, string | number | boolean | string[]> & { to: string } = { to };
  const lock: RouteMetric[] = [];
  for (let i = 4; i < words.length; i++) {
    const word = words[i];
    const name = METRIC_NAMES[word] ?? word;
    if (words[i + 1] === "lock") {
      lock.push(name as RouteMetric);
      i++;
    }
    if (["via", "dev", "src", "congctl"].includes(word)) route[word] = words[++i];
    else if (word === "proto" || word === "scope") route[word === "proto" ? "protocol" : word] = words[++i];
    else if (word === "metric" || word === "table") route[word] = Number(words[++i]);
    else if (word === "onlink") route.onlink = true;
    else if (word === "features") route.features = [words[++i]];
    else if (NUMBER_METRICS.includes(word)) {
      const value = milliseconds(words[++i]);
      route[name] = word === "quickack" || word === "fastopen_no_cookie" ? value === 1 : value;
    } else throw new Unsupported(`"${word}" in "${text}"`);
  }
  if (lock.length > 0) route.lock = lock;
  return route as Route & { to: string };
}

/** A number; of a time, in milliseconds: `200`, `200ms`, `1s`, `50us`. */
function milliseconds(text: string): number {
  const m = /^(\d+(?:\.\d+)?)(s|ms|us)?$/.exec(text ?? "");
  if (m === null) throw new Unsupported(`the number "${text}"`);
  return Math.ceil(Number(m[1]) * (m[2] === "s" ? 1000 : m[2] === "us" ? 0.001 : 1));
}

function replaceRoute(b: CommandBench, route: Route): void {
  const { to, ...rest } = route;
  try {
    b.host.route.replace(to, rest);
  } catch (error) {
    throw new Unsupported(`ip route: ${error instanceof Error ? error.message : error}`);
  }
}

function ipLink(b: CommandBench, words: readonly string[], text: string): void {
  const rest = words.slice(3).filter((w) => w !== "dev" && w !== "tun0");
  if (rest[0] === "mtu" && rest.length === 2) b.host.link.set("tun0", { mtu: Number(rest[1]) });
  else if (rest.length === 1 && (rest[0] === "up" || rest[0] === "down")) {
    b.host.link.set("tun0", { up: rest[0] === "up" });
  } else throw new Unsupported(`the command "${text}"`);
}

function ethtool(b: CommandBench, words: readonly string[], text: string): void {
  if (words[1] !== "-K" || words[2] !== "tun0") throw new Unsupported(`the command "${text}"`);
  for (let i = 3; i + 1 < words.length; i += 2) {
    const on = words[i + 1] === "on";
    if (words[i] === "tso") b.tun.segments = !on;
    else if (!["gso", "gro", "lro", "tx", "rx", "sg"].includes(words[i])) {
      throw new Unsupported(`ethtool -K ${words[i]}`);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What is there

/** A counter by nstat's name: the table's, then Linux's own. */
function counter(b: CommandBench, name: string): number | undefined {
  const mib = b.net.get(INET).mib as unknown as Readonly<Record<string, Readonly<Record<string, number>>>>;
  const m = /^(IpExt|Ip|IcmpMsg|Icmp|TcpExt|Tcp|UdpLite|Udp)(.+)$/.exec(name);
  return m === null ? undefined : mib[m[1][0].toLowerCase() + m[1].slice(1)]?.[m[2]];
}

/** `nstat`, `nstat -n`, `nstat | grep NAME | grep -q " 3 "`: what was counted since nstat looked last. */
function nstat(b: CommandBench, words: readonly string[]): void {
  const stages: string[][] = [[]];
  for (const w of words) w === "|" ? stages.push([]) : stages.at(-1)!.push(w);
  const names: string[] = [];
  let number: number | null = null;
  for (const stage of stages.slice(1)) {
    const pattern = stage.slice(1).find((w) => !w.startsWith("-"));
    if (stage[0] !== "grep" || pattern === undefined) throw new Unsupported(`"${words.join(" ")}"`);
    if (/^[A-Z]/.test(pattern.trim())) names.push(pattern.trim());
    else if (/^\d+$/.test(pattern.trim())) number = Number(pattern.trim());
    else throw new Unsupported(`"${words.join(" ")}"`);
  }
  for (const name of names) {
    const total = counter(b, name);
    if (total === undefined) throw new Unsupported(`counter ${name}`);
    const since = total - (b.counted.get(name) ?? 0);
    if (number === null ? since === 0 : since !== number) {
      throw new Mismatch(`${name} grew by ${since}${number === null ? "" : `, not by ${number}`}`);
    }
  }
  snapshot(b);
}

/** nstat remembers all that it saw. */
function snapshot(b: CommandBench): void {
  const mib = b.net.get(INET).mib as unknown as Readonly<Record<string, Readonly<Record<string, number>>>>;
  for (const [table, rows] of Object.entries(mib)) {
    const prefix = table[0].toUpperCase() + table.slice(1);
    for (const [name, value] of Object.entries(rows)) b.counted.set(prefix + name, value);
  }
}

/** `grep " 0A " /proc/net/tcp | grep ":1F90"`: a socket in that state with that port in its line. */
function grepSockets(b: CommandBench, words: readonly string[], text: string): void {
  const files = words.filter((w) => w.startsWith("/proc/net/tcp"));
  const patterns = words.filter((w) => !w.startsWith("/") && w !== "grep" && w !== "|" && !w.startsWith("-"));
  if (files.length === 0) throw new Unsupported(`the command "${text}"`);
  const hex = (n: number, width: number): string => (n >>> 0).toString(16).toUpperCase().padStart(width, "0");
  const swap = (a: number): number => addressText(a).split(".").reverse().reduce((x, p) => x * 256 + Number(p), 0);
  const lines = b.net.get(SOCK).list().filter((sk) => sk.protocol === 6).map((sk) =>
    `${hex(swap(sk.saddr), 8)}:${hex(sk.sport, 4)} ${hex(swap(sk.daddr), 8)}:${hex(sk.dport, 4)} ${hex(sk.state, 2)} `
  );
  if (!lines.some((line) => patterns.every((p) => line.includes(p)))) throw new Mismatch("nothing matches");
}

function dd(b: CommandBench, words: readonly string[], text: string): void {
  const value = (name: string): string | undefined =>
    words.find((w) => w.startsWith(`${name}=`))?.slice(name.length + 1);
  const of = value("of");
  if (value("if") !== "/dev/zero" || of === undefined) throw new Unsupported(`the command "${text}"`);
  b.disk.set(of, Number(value("bs") ?? 512) * Number(value("count") ?? 0));
}
