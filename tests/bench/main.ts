/**
 * `deno task bench [--json FILE] [--rounds N] [ROW...]`: every row in a process of its own, medians with their spread,
 * and each figure as a ratio to the yardsticks that ran beside it.
 */
import { parseArgs } from "@std/cli/parse-args";
import { allRows, type Row, type RowResult } from "./row.ts";
import { median } from "./measure.ts";
import { strippedCopy } from "./strip_trace.ts";

interface Figure {
  name: string;
  device: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  n: number;
  ratios: Record<string, number>;
}

const HELP = `deno task bench [--json FILE] [--rounds N] [--list] [ROW or PREFIX...]

Runs the rows of the bench, each in a process of its own. Rows over a TAP need root and run in a network namespace.`;

const here = new URL(".", import.meta.url).pathname;

/** Runs one row in its own process; null where it cannot run here. */
async function runRow(name: string, row: Row, rounds: number, script = `${here}row.ts`): Promise<number[] | null> {
  const deno = [
    Deno.execPath(),
    "run",
    "--no-check",
    "-A",
    "--unstable-net",
    ...v8Flags(name),
    script,
    name,
    String(rounds),
  ];
  const command = row.namespace === true ? ["unshare", "-n", ...deno] : deno;
  const { success, stdout, stderr } = await new Deno.Command(command[0], {
    args: command.slice(1),
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) {
    console.error(`${name}: ${new TextDecoder().decode(stderr).trim().split("\n").slice(-8).join("\n  ")}`);
    return null;
  }
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  return (JSON.parse(lines[lines.length - 1]) as RowResult).samples;
}

/** Larger inlining budgets: what a process that mostly moves packets may start Deno with. netpath does not depend on them. */
const INLINE = "--v8-flags=--max-optimized-bytecode-size=200000,--max-inlined-bytecode-size-cumulative=3000";

/** The allocation row must see no collection between its two readings; rows `*.inline` run with larger budgets. */
function v8Flags(name: string): string[] {
  if (name.endsWith(".inline")) return [INLINE];
  if (name === "conn.idle.bytes") return ["--v8-flags=--expose-gc"];
  if (!name.startsWith("alloc.")) return [];
  return ["--v8-flags=--semi-space-growth-factor=1,--min-semi-space-size=256,--max-semi-space-size=256"];
}

function figure(name: string, row: { device: string; unit: string }, samples: number[]): Figure {
  return {
    name,
    device: row.device,
    unit: row.unit,
    median: median(samples),
    min: Math.min(...samples),
    max: Math.max(...samples),
    n: samples.length,
    ratios: {},
  };
}

/** The same run with and without the trace lines, alternating: the ratio of their times. */
async function traceOff(rounds: number): Promise<Figure | null> {
  const row = allRows()["udp.64"];
  using copy = strippedCopy();
  const ratios: number[] = [];
  for (let i = 0; i < Math.max(3, Math.round(rounds / 2)); i++) {
    const bare = await runRow("udp.64", row, 3, `${copy.path}/tests/bench/row.ts`);
    const traced = await runRow("udp.64", row, 3);
    if (bare === null || traced === null) return null;
    ratios.push(median(bare) / median(traced));
  }
  return figure("trace.off", { device: "nic", unit: "ratio of times" }, ratios);
}

function addRatios(figures: Figure[]): void {
  for (const yard of figures.filter((f) => f.name.startsWith("yard."))) {
    for (const f of figures) {
      if (f !== yard && !f.name.startsWith("yard.")) f.ratios[yard.name] = f.median / yard.median;
    }
  }
}

function number(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value.toFixed(value < 10 ? 3 : 1);
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["json", "rounds"], boolean: ["help", "list"], alias: { h: "help" } });
  if (args.help === true) {
    console.log(HELP);
    return 0;
  }
  const rows = allRows();
  const names = [...Object.keys(rows), "trace.off"];
  if (args.list === true) {
    console.log(names.join("\n"));
    return 0;
  }
  const wanted = args._.map(String);
  const unknown = wanted.filter((w) => !names.some((n) => n.startsWith(w)));
  if (unknown.length > 0) {
    console.error(`No bench row begins with ${unknown.join(", ")}; there are ${names.join(", ")}`);
    return 2;
  }
  const chosen = names.filter((n) =>
    wanted.length === 0 || n.startsWith("yard.") || wanted.some((w) => n.startsWith(w))
  );
  const rounds = Number(args.rounds ?? 9);
  const figures: Figure[] = [];
  let failed = 0;
  for (const name of chosen) {
    const row = rows[name];
    if (row?.namespace === true && Deno.uid() !== 0) {
      console.error(`${name}: skipped, needs root for a network namespace`);
      continue;
    }
    const found = name === "trace.off"
      ? await traceOff(rounds)
      : await runRow(name, row, rounds).then((s) => s === null ? null : figure(name, row, s));
    if (found === null) {
      failed++;
      continue;
    }
    figures.push(found);
    console.log(
      `${found.name.padEnd(20)} ${found.device.padEnd(10)} ${number(found.median).padStart(10)} ` +
        `(${number(found.min)} .. ${number(found.max)}, n=${found.n}) ${found.unit}`,
    );
  }
  addRatios(figures);
  if (args.json !== undefined) {
    const machine = {
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      os: Deno.osRelease(),
      cores: navigator.hardwareConcurrency,
    };
    Deno.writeTextFileSync(args.json, JSON.stringify({ machine, rows: figures }, null, 2) + "\n");
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
