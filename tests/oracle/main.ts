/**
 * The oracle: the same frames into the kernel and into netpath, and what comes out compared field by field. Directed probes first, then
 * seeded frames per scenario, then the same for TCP with segments, then routing tables against `ip route get`, and real programs against
 * netpath over a TAP.
 *
 *     deno task oracle --help
 *
 * Counters and drop reasons are compared too; what is meant to differ there is in `account.ts`, and for TCP in `tcp_accept.ts`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { briefAnswer } from "./brief.ts";
import { report } from "./compare.ts";
import { type OracleRun, runProbes, runSeeded, SEEDED_FRAMES } from "./run.ts";
import { kernelMissing } from "./kernel.ts";
import { probeSets } from "./probes.ts";
import { SEEDED } from "./scenarios.ts";
import { briefCase, reportTcp } from "./tcp_compare.ts";
import { runTcpProbes, runTcpSeeded, runTcpTimerProbes, TCP_SEGMENTS, type TcpRun } from "./tcp_run.ts";

interface Totals {
  frames: number;
  answers: number;
  differ: number;
}

function add(totals: Totals, { comparison, accounts }: OracleRun): void {
  for (const { steps, answers, mismatches } of comparison.classes.values()) {
    totals.frames += steps;
    totals.answers += answers;
    totals.differ += mismatches;
  }
  // The row for what came after the last step is no frame.
  totals.frames--;
  totals.differ += accounts.mismatches.length;
}

function show(name: string, { comparison, accounts, netpath, steps }: OracleRun, print: boolean): void {
  const sides = { left: "kernel", right: "netpath" };
  const [answers, counted] = [comparison, accounts].map((each) => ({ text: report(each, sides), of: each.mismatches }));
  console.log(`${name}: ${answers.text.split("\n").at(-1)}, ${counted.of.length} in counters or drop reasons`);
  for (const { text, of } of [answers, counted]) if (of.length > 0) console.log(text);
  if (!print) return;
  netpath.forEach((list, i) => {
    console.log(`# ${steps[i]?.note ?? "after the last step"}`);
    for (const answer of list) console.log(`    ${briefAnswer(answer)}`);
  });
}

function showTcp(totals: Totals, name: string, run: TcpRun, print: boolean): void {
  const { comparison, wobbly } = run;
  const differ = comparison.mismatches.filter(({ accepted }) => accepted === undefined).length;
  const text = reportTcp(comparison, { left: "kernel", right: "netpath" });
  const aside = wobbly === 0 ? "" : `, ${wobbly} answered by the kernel now one way, now the other`;
  console.log(`${name}: ${text.split("\n").at(-1)}${aside}`);
  if (comparison.mismatches.length > 0) console.log(text);
  if (print) run.cases.forEach((spec, i) => console.log(briefCase(spec, run.netpath[i])));
  totals.frames += comparison.segments;
  totals.answers += comparison.answers;
  totals.differ += differ;
}

async function interop(): Promise<boolean> {
  const directory = new URL(".", import.meta.url).pathname;
  const files = ["interop_test.ts", "route_test.ts", "filter_test.ts", "tcp_interop_test.ts", "tap_http_test.ts"];
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--allow-all",
      "--quiet",
      ...files.map((file) => directory + file),
      "--",
      "--full",
    ],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  return success;
}

const SCENARIO_NAMES: readonly string[] = [
  ...new Set([...probeSets().map(({ scenario }) => scenario), ...SEEDED, "tcp"]),
];

const HELP =
  `The same frames into the kernel and into netpath, answers compared field by field. Root, in namespaces of its own.

usage: deno task oracle [options]

  --scenario NAME  one host alone: ${SCENARIO_NAMES.join(", ")}
  --seed N         the first seed (1)
  --seeds N        how many (1)
  --frames N       seeded frames for each host (${SEEDED_FRAMES})
  --segments N     seeded TCP segments (${TCP_SEGMENTS})
  --print          show what netpath answers to the probes
  --no-probes      without the directed probes
  --no-interop     without real programs, routing tables and nft; with --scenario they run only when --interop is given
  --help           this text

Exit code: 0 all alike, 1 something differs, 2 it cannot run.

examples:
  deno task oracle                                              everything, some four minutes
  deno task oracle --scenario tcp                               the TCP probes and 20,000 seeded segments, a minute
  deno task oracle --scenario tcp --no-probes --seed 2 --seeds 5
`;

/** Options whose value is a whole number, 1 at least. */
const NUMBERS = ["seed", "seeds", "frames", "segments"] as const;

/** The options, or a line that says what is wrong with them. */
function options() {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    string: ["scenario", "seed", "seeds", "frames", "segments"],
    boolean: ["print", "probes", "interop", "help"],
    negatable: ["probes", "interop"],
    alias: { h: "help" },
    default: { probes: true },
    unknown: (name) => {
      unknown.push(name);
      return false;
    },
  });
  if (unknown.length > 0) return `there is no ${unknown.join(", ")}`;
  const { scenario } = args;
  if (scenario !== undefined && !SCENARIO_NAMES.includes(scenario)) {
    return `--scenario ${scenario}: one of ${SCENARIO_NAMES.join(", ")}`;
  }
  for (const name of NUMBERS) {
    if (args[name] !== undefined && !/^[1-9]\d{0,7}$/.test(args[name])) {
      return `--${name} ${args[name]}: a whole number from 1 on`;
    }
  }
  return {
    scenario,
    print: args.print,
    probes: args.probes,
    help: args.help,
    interop: args.interop ?? scenario === undefined,
    seed: Number(args.seed ?? 1),
    seeds: Number(args.seeds ?? 1),
    frames: Number(args.frames ?? SEEDED_FRAMES),
    segments: Number(args.segments ?? TCP_SEGMENTS),
  };
}

async function main(): Promise<number> {
  const args = options();
  if (typeof args === "string") {
    console.error(`oracle: ${args}; see deno task oracle --help`);
    return 2;
  }
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const missing = kernelMissing();
  if (missing) {
    console.error(missing);
    return 2;
  }
  const totals: Totals = { frames: 0, answers: 0, differ: 0 };
  const seeds = Array.from({ length: args.seeds }, (_, i) => args.seed + i);
  const chosen = (name: string) => !args.scenario || args.scenario === name;
  for (const set of args.probes ? probeSets() : []) {
    if (!chosen(set.scenario)) continue;
    const run = await runProbes(set, { drops: true });
    show(`probes ${set.name}`, run, args.print);
    add(totals, run);
  }
  for (const seed of seeds) {
    for (const name of SEEDED.filter(chosen)) {
      const run = await runSeeded(name, seed, args.frames, { drops: true });
      show(`${name} seed ${seed}`, run, false);
      add(totals, run);
    }
  }
  if (chosen("tcp")) {
    if (args.probes) {
      showTcp(totals, "tcp probes", await runTcpProbes(), args.print);
      showTcp(totals, "tcp probes timers", await runTcpTimerProbes(), args.print);
    }
    for (const seed of seeds) {
      showTcp(totals, `tcp seed ${seed}`, await runTcpSeeded(seed, args.segments), false);
    }
  }
  const interoperates = !args.interop || await interop();
  console.log(`oracle: ${totals.frames} frames, ${totals.answers} answers, ${totals.differ} differ`);
  return totals.differ === 0 && interoperates ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
