/** The commands of Linux that `netpath proc` knows: their words taken apart, and what they print. */
import { nearest, type Net } from "../../../../core/mod.ts";
import { UsageError } from "../command.ts";
import { ipAddr, ipLink, ipNeigh, ipRoute } from "./ip.ts";
import { nstat } from "./nstat.ts";
import { interrupts, softnetStat } from "./softnet.ts";
import { ss, type SsOptions } from "./ss.ts";

/** All that there is to see, where nobody names a command. */
export const ALL_COMMANDS: readonly (readonly string[])[] = [
  ["ip", "addr"],
  ["ip", "route"],
  ["ip", "neigh"],
  ["ss", "-tuwan"],
  ["ip", "-s", "link"],
  ["nstat", "-a"],
];

/** The lines that a command prints; one that is not known is a {@linkcode UsageError} with a suggestion. */
export function linuxCommand(net: Net, words: readonly string[]): string[] {
  const [program, ...rest] = words;
  if (program === "ip") return ip(net, rest);
  if (program === "ss") return ss(net, ssOptions(rest));
  if (program === "nstat") return nstat(net, nstatZeros(rest));
  if (program === "cat") return cat(net, rest);
  return unknown("command", program, ["ip", "ss", "nstat", "cat"]);
}

const FILES: Readonly<Record<string, (net: Net) => string[]>> = {
  "/proc/net/softnet_stat": (net) => softnetStat(net.machine),
  "/proc/interrupts": (net) => interrupts(net.machine),
};

function cat(net: Net, words: readonly string[]): string[] {
  if (words.length === 0) throw new UsageError(`Cannot show a file without a name: ${Object.keys(FILES).join(", ")}`);
  return words.flatMap((word) => (FILES[word] ?? unknown("file", word, Object.keys(FILES)))(net));
}

function unknown(what: string, word: string, words: readonly string[]): never {
  const [near] = word.length < 2 ? [] : nearest(word, words);
  const hint = near === undefined ? `there are ${words.join(", ")}` : `did you mean "${near}"?`;
  throw new UsageError(`Cannot show ${what} "${word}": ${hint}`);
}

const OBJECTS = ["addr", "link", "route", "neigh"] as const;
const LONG: Readonly<Record<string, string>> = { address: "addr", neighbour: "neigh", neighbor: "neigh" };
const TABLES: Readonly<Record<string, number>> = { main: 254, local: 255, default: 253 };

function ip(net: Net, words: readonly string[]): string[] {
  let stats = false;
  let at = 0;
  for (; words[at]?.startsWith("-"); at++) {
    if (/^-s(tat|tats|tatistics)?$/.test(words[at])) stats = true;
    else if (words[at] !== "-4") unknown("ip's option", words[at], ["-s", "-4"]);
  }
  const [word = "", ...rest] = words.slice(at);
  // As ip has it, a word may be cut short: "ip a".
  const object = word === "" ? undefined : OBJECTS.find((o) => o === LONG[word] || o.startsWith(word));
  if (object === undefined) return unknown("ip's object", word, OBJECTS);
  const [verb, ...arguments_] = rest;
  const said = verb === undefined || /^(show|list|sh|ls|s|l)$/.test(verb) ? arguments_ : rest;
  if (object === "route") return ipRoute(net, tableOf(said));
  const dev = deviceOf(net, said);
  if (object === "addr") return ipAddr(net, dev);
  return object === "link" ? ipLink(net, stats, dev) : ipNeigh(net, dev);
}

function tableOf(words: readonly string[]): number {
  if (words.length === 0) return TABLES.main;
  const [word, value = ""] = words;
  if (word !== "table" || words.length > 2) unknown("ip route's word", word === "table" ? words[2] : word, ["table"]);
  if (/^\d{1,9}$/.test(value)) return Number(value);
  return TABLES[value] ?? unknown("table", value, Object.keys(TABLES));
}

function deviceOf(net: Net, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined;
  const [name, ...more] = words[0] === "dev" ? words.slice(1) : words;
  if (name === undefined) throw new UsageError('Cannot go on: a device\'s name after "dev"');
  if (more.length > 0) unknown("ip's word", more[0], ["show", "dev"]);
  const names = net.devices.map((d) => d.name);
  return names.includes(name) ? name : unknown("device", name, names);
}

const SS_LETTERS: Readonly<Record<string, string>> = {
  "--all": "a",
  "--listening": "l",
  "--info": "i",
  "--tcp": "t",
  "--udp": "u",
  "--raw": "w",
  "--numeric": "n",
};

function ssOptions(words: readonly string[]): SsOptions {
  const letters = words.flatMap((word) => {
    if (/^-[aliltuwn]+$/.test(word)) return [...word.slice(1)];
    return [SS_LETTERS[word] ?? unknown("ss's option", word, [...Object.keys(SS_LETTERS), "-a -l -i -t -u -w -n"])];
  });
  const families = ([["t", "tcp"], ["u", "udp"], ["w", "raw"]] as const).filter(([l]) => letters.includes(l));
  return {
    all: letters.includes("a"),
    listening: letters.includes("l"),
    info: letters.includes("i"),
    families: families.length === 0 ? ["tcp", "udp", "raw"] : families.map(([, name]) => name),
  };
}

function nstatZeros(words: readonly string[]): boolean {
  for (const word of words) {
    if (!/^-[azs]+$/.test(word) && word !== "--zeros" && word !== "--ignore") {
      unknown("nstat's option", word, ["--zeros", "-a", "-z"]);
    }
  }
  return words.some((word) => /^-[as]*z/.test(word) || word === "--zeros");
}
