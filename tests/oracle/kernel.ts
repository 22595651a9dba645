/**
 * Runs the kernel half in a network namespace of its own.
 *
 * @module
 */

import { type Answers, decodeAnswers, encodeSteps, type Scenario, type Step } from "./scenario.ts";

/** Says what is missing to run the kernel half, or undefined if nothing is. */
export function kernelMissing(): string | undefined {
  if (Deno.build.os !== "linux") return "the oracle needs Linux";
  if (Deno.uid() !== 0) return "the oracle needs root: sudo";
  try {
    Deno.statSync("/dev/net/tun");
  } catch {
    return "the oracle needs /dev/net/tun: modprobe tun";
  }
  for (const tool of ["unshare", "taskset", "ip"]) {
    try {
      new Deno.Command(tool, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    } catch {
      return `the oracle needs ${tool}: apt-get install util-linux iproute2`;
    }
  }
  return undefined;
}

/**
 * The first CPU this process may use. The kernel half stays on one: Linux has an ICMP socket per CPU, and what of its send buffer is bound by
 * packets parked for ARP would otherwise depend on where the scheduler put the run.
 */
async function oneCpu(): Promise<string> {
  const status = await Deno.readTextFile("/proc/self/status");
  return /^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1] ?? "0";
}

/** Options of {@linkcode runKernel}. */
export interface RunKernelOptions {
  /** Records `SKB_DROP_REASON_` of each frame through a private tracefs instance. */
  drops?: boolean;
}

/** Feeds the steps to the kernel, configured as the scenario says, inside a fresh network namespace. */
export async function runKernel(
  scenario: Scenario,
  steps: readonly Step[],
  options: RunKernelOptions = {},
): Promise<Answers> {
  const dir = await Deno.makeTempDir({ prefix: "netpath-oracle-" });
  try {
    await Deno.writeTextFile(`${dir}/scenario.json`, JSON.stringify(scenario));
    await Deno.writeFile(`${dir}/steps`, encodeSteps(steps));
    const host = new URL("kernel_host.ts", import.meta.url).pathname;
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const args = [
      "-c",
      await oneCpu(),
      "unshare",
      "-n",
      "-m",
      Deno.execPath(),
      "run",
      "-A",
      "--no-check",
      "--quiet",
      "--config",
      config,
      host,
    ];
    args.push("--scenario", `${dir}/scenario.json`, "--steps", `${dir}/steps`, "--answers", `${dir}/answers`);
    if (options.drops) args.push("--drops");
    const { success, stderr } = await new Deno.Command("taskset", { args, stderr: "piped" }).output();
    if (!success) throw new Error(`Cannot run the kernel half: ${new TextDecoder().decode(stderr).trim()}`);
    return decodeAnswers(await Deno.readFile(`${dir}/answers`));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
