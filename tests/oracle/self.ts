/**
 * Runs the kernel half twice with the same frames and compares the two: shows that the harness itself adds nothing by chance.
 *
 *     deno run -A tests/oracle/self.ts [--scenario NAME] [--seed N] [--frames N] [--print]
 *
 * `--print` shows what the kernel answered to each of the directed probes.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { generateFrames } from "../support/frames/generate.ts";
import { compare, report } from "./compare.ts";
import { kernelMissing, runKernel } from "./kernel.ts";
import { addressesOf, SCENARIOS, SEEDED } from "./scenarios.ts";
import { probeSets } from "./probes.ts";
import { briefAnswer } from "./brief.ts";
import type { Answers, Step } from "./scenario.ts";

function print(steps: readonly Step[], answers: Answers): void {
  answers.forEach((list, i) => {
    console.log(`# ${steps[i]?.note ?? "after the last step"}`);
    for (const answer of list) console.log(`    ${briefAnswer(answer)}`);
  });
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { string: ["scenario"], boolean: ["print"], default: { seed: 1, frames: 5000 } });
  const missing = kernelMissing();
  if (missing) {
    console.error(missing);
    Deno.exit(2);
  }
  let differ = 0;
  const options = { counters: () => true, drops: true };
  for (const { name, scenario, steps } of probeSets()) {
    if (args.scenario && args.scenario !== scenario) continue;
    const host = SCENARIOS[scenario];
    const first = await runKernel(host, steps, { drops: true });
    const second = await runKernel(host, steps, { drops: true });
    const result = compare(steps, first, second, { own: addressesOf(host).own, ...options });
    differ += result.mismatches.length;
    console.log(`probes ${name}`);
    console.log(report(result, { left: "first", right: "second" }));
    if (args.print) print(steps, first);
  }
  const names = SEEDED.filter((name) => !args.scenario || args.scenario === name);
  for (const name of names) {
    const scenario = SCENARIOS[name];
    const addresses = addressesOf(scenario);
    const frames = generateFrames(Number(args.seed), Number(args.frames), addresses);
    const steps = frames.map((frame): Step => ({ kind: "frame", dev: 0, ...frame }));
    const start = performance.now();
    const first = await runKernel(scenario, steps, { drops: true });
    const seconds = (performance.now() - start) / 1000;
    const second = await runKernel(scenario, steps, { drops: true });
    const result = compare(steps, first, second, { own: addresses.own, ...options });
    differ += result.mismatches.length;
    console.log(`${name}: one kernel run took ${seconds.toFixed(1)} s`);
    console.log(report(result, { left: "first", right: "second" }));
  }
  Deno.exit(differ === 0 ? 0 : 1);
}
