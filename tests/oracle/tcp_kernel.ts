/**
 * Runs the kernel half of the TCP oracle in a network namespace of its own.
 *
 * @module
 */

import type { TcpCase } from "../support/frames/generate_tcp.ts";
import type { TcpAnswers } from "./tcp_driver.ts";
import type { TcpScenario } from "./tcp_scenario.ts";

/** What the kernel answered to each case; `repeats`: cases that were run again because the machine was busy. */
export async function runTcpKernel(
  scenario: TcpScenario,
  cases: readonly TcpCase[],
): Promise<{ answers: TcpAnswers[]; repeats: number }> {
  const dir = await Deno.makeTempDir({ prefix: "netpath-tcp-oracle-" });
  try {
    await Deno.writeTextFile(`${dir}/cases.json`, JSON.stringify({ scenario, cases }));
    const host = new URL("tcp_kernel_host.ts", import.meta.url).pathname;
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const deno = [Deno.execPath(), "run", "-A", "--no-check", "--quiet", "--config", config, host];
    const files = ["--cases", `${dir}/cases.json`, "--answers", `${dir}/answers.json`];
    const command = new Deno.Command("unshare", { args: ["-n", ...deno, ...files], stderr: "piped" });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(`Cannot run the kernel half: ${new TextDecoder().decode(stderr).trim()}`);
    return JSON.parse(await Deno.readTextFile(`${dir}/answers.json`));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
