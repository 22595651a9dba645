/** The same TCP segments into the kernel and into netpath: the directed probes, then seeded ones. */
import { assert, assertEquals } from "@std/assert";
import { type Need, testNeeding } from "../support/needs.ts";
import { amount } from "./full.ts";
import { reportTcp } from "./tcp_compare.ts";
import { runTcpProbes, runTcpSeeded, runTcpTimerProbes, TCP_SEGMENTS, type TcpRun } from "./tcp_run.ts";

const NEEDS: Need[] = ["root", "tun", "program:unshare", "program:ip"];
const SEED = 20;
const SEGMENTS = amount(TCP_SEGMENTS, 2000);

/** How many answers there were; all are alike. */
function alike({ comparison }: TcpRun): number {
  const open = comparison.mismatches.filter(({ accepted }) => accepted === undefined);
  assertEquals(open.length, 0, reportTcp(comparison, { left: "kernel", right: "netpath" }));
  return comparison.answers;
}

testNeeding(NEEDS, "netpath's TCP answers the probes as the kernel does", async () => {
  assert(alike(await runTcpProbes()) > 600);
});

testNeeding(NEEDS, "netpath's TCP answers the probes of its timers as the kernel does", async () => {
  assert(alike(await runTcpTimerProbes()) > 40);
});

testNeeding(NEEDS, `netpath's TCP answers ${SEGMENTS} seeded segments as the kernel does`, async () => {
  assert(alike(await runTcpSeeded(SEED, SEGMENTS)) > SEGMENTS / 2);
});
