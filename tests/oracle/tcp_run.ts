/**
 * One comparison of the TCP oracle: cases through the kernel and through netpath.
 *
 * @module
 */

import { generateTcpCases, type TcpCase } from "../support/frames/generate_tcp.ts";
import { accepted } from "./tcp_accept.ts";
import { compareTcp, differCase, type TcpComparison } from "./tcp_compare.ts";
import type { TcpAnswers } from "./tcp_driver.ts";
import { runTcpKernel } from "./tcp_kernel.ts";
import { runTcpNetpath } from "./tcp_netpath.ts";
import { tcpProbes } from "./tcp_probes.ts";
import { tcpTimerProbes } from "./tcp_probes_timers.ts";
import { ETHERNET, type TcpScenario } from "./tcp_scenario.ts";

/** Seeded segments of the oracle. */
export const TCP_SEGMENTS = 20_000;

/** How often cases that differ are put to the kernel again: its clock ticks between two segments now and then. */
const SECOND_THOUGHTS = 4;

/** What both halves answered, and how the answers compare. */
export interface TcpRun {
  cases: readonly TcpCase[];
  kernel: TcpAnswers[];
  netpath: TcpAnswers[];
  comparison: TcpComparison;
  /** Cases in which the kernel itself does not always answer alike, and netpath as it does at times. */
  wobbly: number;
}

/** Cases through both halves. */
export async function runTcp(cases: readonly TcpCase[], scenario: TcpScenario = ETHERNET): Promise<TcpRun> {
  const { answers: kernel } = await runTcpKernel(scenario, cases);
  const netpath = runTcpNetpath(scenario, cases);
  let open = cases.flatMap((spec, i) => differCase(spec, i, kernel[i], netpath[i]) ? [i] : []);
  let wobbly = 0;
  for (let again = 0; again < SECOND_THOUGHTS && open.length > 0; again++) {
    const { answers } = await runTcpKernel(scenario, open.map((i) => cases[i]));
    open = open.filter((i, k) => {
      if (differCase(cases[i], i, answers[k], netpath[i])) return true;
      kernel[i] = answers[k];
      wobbly++;
      return false;
    });
  }
  return { cases, kernel, netpath, comparison: compareTcp(cases, kernel, netpath, accepted), wobbly };
}

/** The directed probes. */
export function runTcpProbes(): Promise<TcpRun> {
  return runTcp(tcpProbes());
}

/** The directed probes in which time passes: some fifteen seconds of the kernel's. */
export function runTcpTimerProbes(): Promise<TcpRun> {
  return runTcp(tcpTimerProbes());
}

/** Seeded segments. */
export function runTcpSeeded(seed: number, segments: number): Promise<TcpRun> {
  return runTcp(generateTcpCases(seed, segments));
}
