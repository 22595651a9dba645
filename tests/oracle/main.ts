/**
 * The oracle: the same frames into the kernel and into netpath, and what comes out compared field by field. Directed probes first, then
 * seeded frames per scenario, then the same for TCP with segments, then routing tables against `ip route get`, and real programs against
 * netpath over a TAP.
 *
 *     deno task oracle [--seed N] [--seeds N] [--frames N] [--segments N] [--scenario NAME] [--print] [--no-probes] [--no-interop]
 *
 * `--scenario tcp` runs TCP alone.
 * `--seeds N` runs N seeds from `--seed` on; `--print` shows what netpath answered to the probes. Counters and drop reasons are compared
 * too; what is meant to differ there is in `account.ts`.
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
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--allow-all",
      "--quiet",
      ...["interop_test.ts", "route_test.ts", "tcp_interop_test.ts"].map((file) => directory + file),
    ],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  return success;
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, {
    string: ["scenario"],
    boolean: ["print", "probes", "interop"],
    negatable: ["probes", "interop"],
    default: { seed: 1, seeds: 1, frames: SEEDED_FRAMES, segments: TCP_SEGMENTS, probes: true, interop: true },
  });
  const missing = kernelMissing();
  if (missing) {
    console.error(missing);
    return 2;
  }
  const totals: Totals = { frames: 0, answers: 0, differ: 0 };
  const chosen = (name: string) => !args.scenario || args.scenario === name;
  for (const set of args.probes ? probeSets() : []) {
    if (!chosen(set.scenario)) continue;
    const run = await runProbes(set, { drops: true });
    show(`probes ${set.name}`, run, args.print);
    add(totals, run);
  }
  for (let seed = Number(args.seed); seed < Number(args.seed) + Number(args.seeds); seed++) {
    for (const name of SEEDED.filter(chosen)) {
      const run = await runSeeded(name, seed, Number(args.frames), { drops: true });
      show(`${name} seed ${seed}`, run, false);
      add(totals, run);
    }
  }
  if (chosen("tcp")) {
    if (args.probes) {
      showTcp(totals, "tcp probes", await runTcpProbes(), args.print);
      showTcp(totals, "tcp probes timers", await runTcpTimerProbes(), args.print);
    }
    for (let seed = Number(args.seed); seed < Number(args.seed) + Number(args.seeds); seed++) {
      showTcp(totals, `tcp seed ${seed}`, await runTcpSeeded(seed, Number(args.segments)), false);
    }
  }
  const interoperates = !args.interop || await interop();
  console.log(`oracle: ${totals.frames} frames, ${totals.answers} answers, ${totals.differ} differ`);
  return totals.differ === 0 && interoperates ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
