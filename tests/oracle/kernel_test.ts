import { assert, assertEquals } from "@std/assert";
import { generateFrames } from "../support/frames/generate.ts";
import { eth, icmpEcho, ipv4 } from "../support/frames/build.ts";
import { testNeeding } from "../support/needs.ts";
import { compare, report } from "./compare.ts";
import { briefAnswer } from "./brief.ts";
import { runKernel } from "./kernel.ts";
import { addressesOf, SCENARIOS } from "./scenarios.ts";
import type { Need } from "../support/needs.ts";
import { amount } from "./full.ts";
import type { Step } from "./scenario.ts";

/** Frames of a scenario. */
const FRAMES = amount(5000, 1000);
const NEEDS: Need[] = ["root", "tun", "program:unshare", "program:taskset", "program:ip"];

testNeeding(NEEDS, "runKernel() gives the kernel's answer to a ping", async () => {
  const packet = ipv4({ src: "10.9.0.2", dst: "10.9.0.1", tos: 0x10 }, icmpEcho({ id: 7, seq: 9 }, "abc"));
  const bytes = eth({ dst: "02:00:00:00:09:01", src: "02:00:00:00:09:02" }, packet);
  const [answers] = await runKernel(SCENARIOS.static, [{ kind: "frame", dev: 0, note: "ping", bytes }]);
  const frames = answers.filter((answer) => answer.kind === "frame");
  assertEquals(frames.map((answer) => briefAnswer(answer).replace(/id\d+ tos/, "id* tos")), [
    "dev0 02:00:00:00:09:01>02:00:00:00:09:02 10.9.0.1>10.9.0.2 p1 len31 ttl64 id* tos0x10 | icmp 0/0 id7 seq9 data=616263",
  ]);
  const counters = answers.find((answer) => answer.kind === "counters");
  assertEquals(counters?.delta["Icmp.OutEchoReps"], 1);
});

for (const name of ["static", "arp", "router"]) {
  testNeeding(NEEDS, `the kernel answers ${FRAMES} frames the same way twice (${name})`, async () => {
    const scenario = SCENARIOS[name];
    const addresses = addressesOf(scenario);
    const steps = generateFrames(20, FRAMES, addresses).map((frame): Step => ({ kind: "frame", dev: 0, ...frame }));
    const [first, second] = [await runKernel(scenario, steps), await runKernel(scenario, steps)];
    const result = compare(steps, first, second, { own: addresses.own, counters: () => true });
    const text = report(result, { left: "first", right: "second" });
    assertEquals(result.mismatches.length, 0, text);
    const answers = [...result.classes.values()].reduce((sum, row) => sum + row.answers, 0);
    assert(answers > FRAMES * 0.3, `only ${answers} answers`);
  });
}
