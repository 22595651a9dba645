/**
 * `netpath plugins`: which plugin fills which slot of a host, in order of setup, and what the tables hold.
 */
import { parseArgs } from "@std/cli";
import type { Net, Plugin } from "../../../core/mod.ts";
import { createHost, Machine, standardPlugins } from "../../../mod.ts";
import { INET } from "../../network/inet/mod.ts";
import { NETFILTER, NF_HOOK_NAMES } from "../../network/netfilter/mod.ts";
import { TCP } from "../../transport/tcp/mod.ts";
import { type CliOutput, type Command, unknownFlag, UsageError, VERSION } from "./command.ts";
import { named, readLab, withLab } from "./session.ts";
import { tableLines } from "./teller.ts";

const HELP = `usage: netpath plugins [OPTIONS] [LAB.yaml [HOST]]

Prints the plugins of a host in the order in which they are set up: version, the slots that each fills, what it needs; and
what they have registered: EtherTypes, protocols, netfilter's hooks by priority, queue disciplines, congestion controls.
Without a lab file: of a host as createHost() makes it. Nothing runs.

options:
  --json           one JSON object a line: each plugin, then each table
  --help           shows this

exit code: 0 fine, 2 the file cannot be used

examples:
  netpath plugins
  netpath plugins examples/labs/custom_plugin.yaml b
  netpath plugins --json | jq -r 'select(.fills == ["netpath:tcp"]) | .plugin'
`;

/** `netpath plugins`. */
export const pluginsCommand: Command = {
  name: "plugins",
  about: "which plugin fills which slot of a host, order, version",
  help: HELP,
  run: plugins,
};

async function plugins(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, { string: ["_"], boolean: ["json"], unknown: unknownFlag(["json"]) });
  const [file, host, more] = flags._.map(String);
  if (more !== undefined) throw new UsageError(`Cannot use "${more}": one lab file and one host at most`);
  if (file === undefined) {
    using machine = new Machine();
    show(createHost({ machine, name: "host" }).net, flags.json, io);
    return 0;
  }
  return await withLab(file, readLab(file), ({ lab }) => {
    const nets = [...[...lab.hosts.values()].map((h) => h.net), ...[...lab.switches.values()].map((s) => s.net)];
    const chosen = host === undefined ? null : named("host", host, nets.map((net) => net.name));
    for (const net of nets) if (chosen === null || net.name === chosen) show(net, flags.json, io);
    return 0;
  });
}

interface PluginRow {
  readonly host: string;
  /** Place in the order of setup, from 1. */
  readonly order: number;
  readonly plugin: string;
  readonly version: string;
  /** Tokens that it provides. */
  readonly fills: readonly string[];
  readonly requires: readonly string[];
  /** Used where they are there. */
  readonly uses: readonly string[];
}

function rowsOf(net: Net): PluginRow[] {
  const standard = new Map(standardPlugins().map((p) => [p.name, p]));
  const names = (tokens: Plugin["requires"]): string[] => (tokens ?? []).map((t) => t.name);
  return net.plugins.map((p, i) => ({
    host: net.name,
    order: i + 1,
    plugin: p.name,
    version: p.version ?? (isOurs(p, standard.get(p.name)) ? VERSION : "-"),
    fills: names(p.provides),
    requires: names(p.requires),
    uses: names(p.uses),
  }));
}

/** Of this package, and so of its version: another plugin may have the name of one of ours and take its place. */
function isOurs(p: Plugin, standard: Plugin | undefined): boolean {
  if (standard !== undefined) return String(p.setup) === String(standard.setup);
  return (p.provides ?? []).some((t) => t.name === `netpath:${p.name}`);
}

/** What the plugins have put into tables, in the order in which packets meet it. */
function tablesOf(net: Net): [table: string, entries: string[]][] {
  const types = net.ptypes.buckets.flat().map(({ type, name }) =>
    `0x${type.toString(16).padStart(4, "0")} ${name ?? ETHER_TYPES[type] ?? ""}`.trimEnd()
  );
  const protocols = (net.find(INET)?.protocols ?? []).flatMap((p, n) => p === null ? [] : [PROTOCOLS[n] ?? `${n}`]);
  const netfilter = net.find(NETFILTER);
  const hooks = netfilter === null ? [] : NF_HOOK_NAMES.map((name, hook): [string, string[]] => [
    name,
    netfilter.list(hook).map((ops) => `${ops.name} (${ops.priority ?? 0})`),
  ]);
  const controls = net.find(TCP)?.congestionControls() ?? [];
  const first = (names: readonly string[], chosen: string): string[] =>
    names.map((name) => name === chosen ? `${name} (default)` : name);
  return [
    ["EtherTypes", types.sort()],
    ["protocols", protocols],
    ...hooks,
    ["qdiscs", first([...net.qdiscs.keys()], net.defaultQdisc)],
    ["congestion", first(controls, controls[0] ?? "")],
  ];
}

const ETHER_TYPES: Readonly<Record<number, string>> = { 0x0800: "ip", 0x0806: "arp" };
const PROTOCOLS: Readonly<Record<number, string>> = { 1: "1 icmp", 2: "2 igmp", 6: "6 tcp", 17: "17 udp" };

function show(net: Net, json: boolean, io: CliOutput): void {
  const rows = rowsOf(net);
  const tables = tablesOf(net);
  if (json) {
    for (const row of rows) io.log(JSON.stringify(row));
    for (const [table, entries] of tables) io.log(JSON.stringify({ host: net.name, table, entries }));
    return;
  }
  const paint = (code: number, text: string): string => io.color ? `\x1b[${code}m${text}\x1b[0m` : text;
  const short = (tokens: readonly string[]): string => tokens.map((t) => t.replace(/^netpath:/, "")).join(" ");
  io.log(paint(1, `${net.name}: ${rows.length} plugins, in order of setup`));
  const lines = tableLines(
    ["#", "plugin", "version", "fills", "needs", "uses"],
    rows.map((r) => [r.order, r.plugin, r.version, short(r.fills), short(r.requires), short(r.uses)]),
  );
  lines.forEach((line, i) => io.log(i === 0 ? paint(2, line) : line));
  io.log(`\n${paint(1, "what they registered")}`);
  for (const [table, entries] of tables) io.log(`  ${table.padEnd(14)}${entries.join(", ") || "-"}`);
  io.log("");
}
