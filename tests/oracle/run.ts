/**
 * One comparison: a scenario and its steps through both halves.
 *
 * @module
 */

import { generateFrames } from "../support/frames/generate.ts";
import { compare, type Comparison } from "./compare.ts";
import { compareAccounts } from "./account.ts";
import { runKernel, type RunKernelOptions } from "./kernel.ts";
import { runNetpath } from "./netpath.ts";
import type { ProbeSet } from "./probes.ts";
import type { Answers, Scenario, Step } from "./scenario.ts";
import { addressesOf, SCENARIOS } from "./scenarios.ts";

/** Seeded frames per scenario. */
export const SEEDED_FRAMES = 5000;

/** What both halves answered, and how the answers compare: frames, datagrams and socket errors. */
export interface OracleRun {
  scenario: Scenario;
  steps: Step[];
  kernel: Answers;
  netpath: Answers;
  comparison: Comparison;
  /** How the counters compare, and the drop reasons where they were asked for. */
  accounts: Comparison;
}

/** Steps of the caller's own. */
export async function runSteps(scenario: Scenario, steps: Step[], options: RunKernelOptions = {}): Promise<OracleRun> {
  const kernel = await runKernel(scenario, steps, options);
  const netpath = runNetpath(scenario, steps);
  const comparison = compare(steps, kernel, netpath, { own: addressesOf(scenario).own });
  const accounts = compareAccounts(scenario, steps, kernel, netpath, options.drops ?? false);
  return { scenario, steps, kernel, netpath, comparison, accounts };
}

/** A set of probes. */
export function runProbes({ scenario, steps }: ProbeSet, options: RunKernelOptions = {}): Promise<OracleRun> {
  return runSteps(SCENARIOS[scenario], steps, options);
}

/** Seeded frames of a scenario. */
export function runSeeded(
  name: string,
  seed: number,
  count: number,
  options: RunKernelOptions = {},
): Promise<OracleRun> {
  return runFrames(SCENARIOS[name], seed, count, options);
}

/** Seeded frames of a scenario that has no name here. */
export function runFrames(
  scenario: Scenario,
  seed: number,
  count: number,
  options: RunKernelOptions = {},
): Promise<OracleRun> {
  const frames = generateFrames(seed, count, addressesOf(scenario));
  return runSteps(scenario, frames.map((frame): Step => ({ kind: "frame", dev: 0, ...frame })), options);
}
