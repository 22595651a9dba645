/**
 * Seeded and bent TCP exchanges into a host that listens, connects and closes, while time passes: no throw, no leak, nothing
 * left when it is quiet.
 *
 *     deno run -A tests/fuzz/tcp.ts [--seconds N] [--seed N]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { assertEquals } from "@std/assert";
import { TCP } from "../../plugins/transport/tcp/mod.ts";
import { runCases } from "../oracle/tcp_driver.ts";
import { NetpathTcpHost } from "../oracle/tcp_netpath.ts";
import { ETHERNET } from "../oracle/tcp_scenario.ts";
import { generateTcpCases, type TcpCase, type TcpStep } from "../support/frames/generate_tcp.ts";
import { Random } from "../support/frames/random.ts";

/** Time between the steps: from nothing to a few RTOs. */
function withTime(spec: TcpCase, random: Random): TcpCase {
  const steps = spec.steps.flatMap((step): TcpStep[] =>
    random.chance(0.3) ? [step, { kind: "wait", ms: random.pick([1, 50, 250, 1500, 5000]) }] : [step]
  );
  return { ...spec, steps };
}

/** One run: cases of a seed, then two minutes of silence. Returns how many segments went in. */
export function fuzzTcpOnce(seed: number, segments: number): number {
  using host = new NetpathTcpHost(ETHERNET);
  const random = new Random(`fuzz tcp ${seed}`);
  const cases = generateTcpCases(seed, segments).map((spec) => withTime(spec, random));
  runCases(host, cases);
  host.closeListener();
  host.machine.runUntilIdle(1200e9);
  host.output();
  const { established, timeWait, orphans, requests, memory } = host.host.net.get(TCP).counts();
  assertEquals({ established, timeWait, orphans, requests, memory }, {
    established: 0,
    timeWait: 0,
    orphans: 0,
    requests: 0,
    memory: 0,
  });
  assertEquals([host.machine.timers.armed, host.machine.hrtimers.armed], [0, 0]);
  return cases.flatMap(({ steps }) => steps).filter(({ kind }) => kind === "segment").length;
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { string: ["seconds", "seed"] });
  const end = performance.now() + Number(args.seconds ?? 10) * 1000;
  let seed = Number(args.seed ?? 1);
  let total = 0, runs = 0;
  do {
    try {
      total += fuzzTcpOnce(seed, 2000);
    } catch (error) {
      console.error(`fuzz: seed ${seed} failed; repeat with: deno run -A tests/fuzz/tcp.ts --seed ${seed} --seconds 1`);
      throw error;
    }
    seed++;
    runs++;
  } while (performance.now() < end);
  console.log(`fuzz: ${total} TCP segments in ${runs} runs, no throw, no leak`);
}
