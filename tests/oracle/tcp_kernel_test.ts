/** The kernel half of the TCP oracle by itself: the harness adds nothing by chance. */
import { assert, assertEquals } from "@std/assert";
import { generateTcpCases, TCP_SETUPS } from "../support/frames/generate_tcp.ts";
import { type Need, testNeeding } from "../support/needs.ts";
import { briefTcp, compareTcp, differTcp, reportTcp } from "./tcp_compare.ts";
import type { TcpAnswer, TcpFrame } from "./tcp_driver.ts";
import { amount } from "./full.ts";
import { runTcpKernel } from "./tcp_kernel.ts";
import { seg, TcpProbes } from "./tcp_probe_kit.ts";
import { tcpProbes } from "./tcp_probes.ts";
import { ETHERNET } from "./tcp_scenario.ts";

const SEGMENTS = amount(2000, 600);
const NEEDS: Need[] = ["root", "tun", "program:unshare", "program:ip"];

Deno.test("generateTcpCases() gives the same cases for the same seed, of every set-up", () => {
  const cases = generateTcpCases(3, 2000);
  assertEquals(cases, generateTcpCases(3, 2000));
  assertEquals(new Set(cases.map(({ setup }) => setup)), new Set(TCP_SETUPS));
  const segments = cases.flatMap(({ steps }) => steps).filter((step) => step.kind === "segment");
  assert(segments.length >= 2000 && segments.length < 2010);
  assert(new Set(segments.map(({ flags }) => flags)).size > 20);
  assert(segments.some(({ damage }) => damage?.kind === "checksum"));
  assertEquals(new Set(tcpProbes().map(({ note }) => note)).size, tcpProbes().length);
});

Deno.test("differTcp() names the fields that differ, and takes a number by its distance or as it is", () => {
  const frame = (change: Partial<TcpFrame>): TcpAnswer => ({
    frames: [{
      flags: "A",
      seq: { raw: 100, rel: 1 },
      ack: { raw: 5, rel: 7 },
      window: 64,
      urgent: 0,
      options: ["nop"],
      length: 0,
      payload: "",
      ip: "ttl64",
      checksums: true,
      ...change,
    }],
  });
  const first = frame({});
  assertEquals(differTcp(first, frame({})), []);
  assertEquals(differTcp(first, frame({ seq: { raw: 900, rel: 1 }, ack: { raw: 5, rel: 99 } })), []);
  assertEquals(differTcp(first, frame({ seq: { raw: 900, rel: 2 } })), ["frame 0.seq: isn+1 (100) | isn+2 (900)"]);
  assertEquals(differTcp(first, frame({ window: 63, flags: "RA" })), [
    'frame 0.flags: "A" | "RA"',
    "frame 0.window: 64 | 63",
  ]);
  assertEquals(differTcp(first, { frames: [], state: 7 }), ["frames: 1 | 0", "state: nothing | 7"]);
  assertEquals(differTcp(undefined, first), ["one has no answer"]);
});

testNeeding(NEEDS, "runTcpKernel() gives the kernel's answer to a SYN, an ACK and a RST", async () => {
  const probes = new TcpProbes();
  probes.add("listen", "SYN, then RST", [seg("S", { seq: "isn" }), seg("A"), seg("R")]);
  probes.add("closed", "ACK", [seg("A", { ack: "7000" })]);
  const { answers: [[, syn, ack, rst], [, closed]] } = await runTcpKernel(ETHERNET, probes.cases);
  const { options, ...fields } = syn.frames[0];
  assertEquals([fields.flags, fields.seq.rel, fields.ack.raw, fields.checksums], ["SA", 0, 0x1000_0001, true]);
  assertEquals(options.slice(0, 4), ["mss 1460", "sackOk", "ts ecr 1000000", "nop"]);
  assertEquals([ack, rst], [{ frames: [], state: 1 }, { frames: [], state: 7 }]);
  assertEquals(closed.frames.map(briefTcp), ["R seq isn+7000 (7000) ack isn+0 (0) win 0 len 0 ttl64 tos0 id0 DF"]);
});

testNeeding(NEEDS, `the kernel answers ${SEGMENTS} seeded segments and the probes the same way twice`, async () => {
  const cases = [...tcpProbes(), ...generateTcpCases(7, SEGMENTS)];
  const [first, second] = [await runTcpKernel(ETHERNET, cases), await runTcpKernel(ETHERNET, cases)];
  const result = compareTcp(cases, first.answers, second.answers);
  // A jiffy that ends between two segments makes a delayed ACK of another: that is the kernel's, not the harness's.
  assert(result.mismatches.length <= 12, reportTcp(result, { left: "first", right: "second" }));
  assert(result.answers > 600 + SEGMENTS / 2, `only ${result.answers} answers`);
});
