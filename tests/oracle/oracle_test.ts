/** The same frames into the kernel and into netpath: the directed probes, then seeded ones per scenario. */
import { assert, assertEquals } from "@std/assert";
import { eth, icmpEcho, ipv4 } from "../support/frames/build.ts";
import { type Need, testNeeding } from "../support/needs.ts";
import { briefAnswer } from "./brief.ts";
import { sameReasons } from "./account.ts";
import { report } from "./compare.ts";
import { amount } from "./full.ts";
import { runNetpath } from "./netpath.ts";
import { probeSets } from "./probes.ts";
import { HOSTS, LINK } from "./probe_kit.ts";
import { type OracleRun, runProbes, runSeeded, SEEDED_FRAMES } from "./run.ts";
import { SCENARIOS, SEEDED } from "./scenarios.ts";

const NEEDS: Need[] = ["root", "tun", "program:unshare", "program:taskset", "program:ip"];
const SEED = 20;
/** Seeded frames of a scenario. */
const FRAMES = amount(SEEDED_FRAMES, 1500);

/** How many answers there were; all are alike, and so are counters and drop reasons. */
function alike({ comparison, accounts }: OracleRun): number {
  for (const each of [comparison, accounts]) {
    assertEquals(each.mismatches.length, 0, report(each, { left: "kernel", right: "netpath" }));
  }
  return [...comparison.classes.values()].reduce((sum, row) => sum + row.answers, 0);
}

Deno.test("sameReasons() takes another word only where the kernel has none, or fewer", () => {
  assertEquals(sameReasons(["IP_CSUM"], ["IP_CSUM"]), true);
  assertEquals(sameReasons(["IP_CSUM"], ["IP_INHDR"]), false);
  assertEquals(sameReasons(["IP_CSUM"], []), false);
  assertEquals(sameReasons([], ["IP_CSUM"]), false);
  assertEquals(sameReasons(["NOT_SPECIFIED"], ["ARP_HDR"]), true);
  assertEquals(sameReasons(["NOT_SPECIFIED"], []), false);
  assertEquals(sameReasons(["NOT_SPECIFIED"], ["ARP_HDR", "IP_CSUM"]), false);
  assertEquals(sameReasons([], ["DUP_FRAG", "DUP_FRAG"]), true);
  assertEquals(sameReasons(["UDP_CSUM", "UDP_CSUM"], ["UDP_CSUM"]), true);
  assertEquals(sameReasons(["UDP_CSUM"], []), false);
  assertEquals(sameReasons(["NOT_SPECIFIED"], [], true), true);
});

Deno.test("runNetpath() gives netpath's answer to a ping, its counters and drops, and lets time pass", () => {
  const bytes = eth(LINK, ipv4({ ...HOSTS, tos: 0x10 }, icmpEcho({ id: 7, seq: 9 }, "abc")));
  const [ping, runt, bad, wait, after] = runNetpath(SCENARIOS.static, [
    { kind: "frame", dev: 0, note: "ping", bytes },
    { kind: "frame", dev: 0, note: "runt", bytes: bytes.subarray(0, 13) },
    { kind: "frame", dev: 0, note: "checksum", bytes: eth(LINK, ipv4({ ...HOSTS, checksum: 1 }, [])) },
    { kind: "wait", ms: 700, note: "wait" },
  ]);
  assertEquals(
    ping.map((answer) => briefAnswer(answer).replace(/id\d+ tos/, "id* tos"))[0],
    [
      "dev0 02:00:00:00:09:01>02:00:00:00:09:02 10.9.0.1>10.9.0.2 p1 len31 ttl64 id* tos0x10",
      "icmp 0/0 id7 seq9 data=616263",
    ].join(" | "),
  );
  const counters = ping.find((answer) => answer.kind === "counters");
  assertEquals([counters?.delta["Icmp.OutEchoReps"], counters?.delta["IcmpMsg.OutType0"]], [1, 1]);
  assertEquals(runt[0], { kind: "refused", dev: 0, errno: 22 });
  assertEquals(bad.at(-1), { kind: "drops", reasons: ["IP_CSUM"] });
  assertEquals([wait, after], [[{ kind: "counters", delta: {} }], [{ kind: "counters", delta: {} }]]);
});

/**
 * The kernel's timers run in real time, and so does what asks it: on a busy machine one of them is late, and an answer falls
 * into the next wait. Such a run says nothing; three in a row that differ do.
 */
async function onQuietMachine<T>(run: () => Promise<T>): Promise<T> {
  for (let left = 2;; left--) {
    try {
      return await run();
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

for (const set of probeSets()) {
  testNeeding(NEEDS, `netpath answers the probes as the kernel does (${set.name})`, async () => {
    const run = async (): Promise<number> => alike(await runProbes(set, { drops: true }));
    assert((set.name === "timers" ? await onQuietMachine(run) : await run()) > 20);
  });
}

for (const name of SEEDED) {
  testNeeding(NEEDS, `netpath answers ${FRAMES} seeded frames as the kernel does (${name})`, async () => {
    assert(alike(await runSeeded(name, SEED, FRAMES, { drops: true })) > FRAMES * 0.3);
  });
}
