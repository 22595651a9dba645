/** The filter's rules and nft's, side by side: the same frames, the same verdicts, the same answers. */
import { assert, assertEquals } from "@std/assert";
import type { FilterRule } from "../../plugins/network/filter/mod.ts";
import { eth, icmpEcho, icmpError, ipv4, tcp, udp } from "../support/frames/build.ts";
import { testNeeding } from "../support/needs.ts";
import { report } from "./compare.ts";
import { HOSTS, LINK } from "./probe_kit.ts";
import { runFrames, runSteps } from "./run.ts";
import type { Scenario, Step } from "./scenario.ts";
import { ROUTER } from "./scenarios.ts";

/** Each rule in both languages. */
const RULES: readonly (readonly [nft: string, FilterRule])[] = [
  ["udp dport 7 ip saddr 10.9.0.3 reject", {
    chain: "input",
    protocol: "udp",
    dport: 7,
    saddr: "10.9.0.3",
    verdict: "reject",
  }],
  ["udp dport { 9, 4000-4500 } reject with icmp admin-prohibited", {
    chain: "input",
    protocol: "udp",
    dport: [9, "4000-4500"],
    verdict: "reject",
    rejectWith: "admin-prohibited",
  }],
  ["ip saddr 10.9.0.5-10.9.0.6 drop", { chain: "input", saddr: "10.9.0.5-10.9.0.6", verdict: "drop" }],
  ["icmp type echo-request ip saddr != 10.9.0.2 drop", {
    chain: "input",
    protocol: "icmp",
    icmpType: "echo-request",
    saddr: "!10.9.0.2",
    verdict: "drop",
  }],
  ["tcp dport 80 tcp flags & (fin|syn|rst|ack) == syn reject with tcp reset", {
    chain: "input",
    protocol: "tcp",
    dport: 80,
    tcpFlags: "syn/fin,syn,rst,ack",
    verdict: "reject",
    rejectWith: "tcp-reset",
  }],
  ["tcp dport 81 drop", { chain: "input", protocol: "tcp", dport: 81, verdict: "drop" }],
  ["meta l4proto tcp reject with icmp host-prohibited", {
    chain: "input",
    protocol: "tcp",
    verdict: "reject",
    rejectWith: "host-prohibited",
  }],
  ['iifname "tap0" oifname "tap1" ip daddr 10.20.7.0/24 reject with icmp net-unreachable', {
    chain: "forward",
    iif: "tap0",
    oif: "tap1",
    daddr: "10.20.7.0/24",
    verdict: "reject",
    rejectWith: "net-unreachable",
  }],
  ['oifname "tap*" meta l4proto tcp reject with tcp reset', {
    chain: "forward",
    oif: "tap*",
    protocol: "tcp",
    verdict: "reject",
  }],
  ["meta l4proto udp udp sport != 1-1023 accept", {
    chain: "forward",
    protocol: "udp",
    sport: "!1-1023",
    verdict: "accept",
  }],
  ["ip daddr 10.21.0.0/16 accept", { chain: "forward", daddr: "10.21.0.0/16", verdict: "accept" }],
  ["icmp type destination-unreachable ip daddr 10.9.0.4 drop", {
    chain: "output",
    protocol: "icmp",
    icmpType: "destination-unreachable",
    daddr: "10.9.0.4",
    verdict: "drop",
  }],
];

const POLICY = { forward: "drop" } as const;

function nftText(): string {
  const chains = ["input", "forward", "output"].map((chain) => {
    const rules = RULES.filter(([, rule]) => rule.chain === chain).map(([text]) => `    ${text}\n`).join("");
    const policy = chain === "forward" ? "drop" : "accept";
    return `  chain ${chain} {\n    type filter hook ${chain} priority 0; policy ${policy};\n${rules}  }\n`;
  });
  return `table ip netpath {\n${chains.join("")}}\n`;
}

const SCENARIO: Scenario = {
  ...ROUTER,
  name: "filter",
  filter: { nft: nftText(), netpath: { rules: RULES.map(([, rule]) => rule), policy: POLICY } },
};

const NEEDS = ["root", "tun", "program:unshare", "program:taskset", "program:ip", "program:nft"] as const;

/** TCP, UDP and ICMP of every kind that the rules tell apart, to the host and through it. */
function probes(): Step[] {
  const steps: Step[] = [];
  const add = (note: string, bytes: Uint8Array) =>
    steps.push({ kind: "frame", dev: 0, bytes, note: `filter: ${note}` });
  for (const dst of ["10.9.0.1", "10.20.0.5", "10.20.7.7", "10.21.0.1", "10.10.0.2"]) {
    for (const src of ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5"]) {
      const at = { ...HOSTS, src, dst };
      const to = `${src} to ${dst}`;
      for (const flags of [0x02, 0x12, 0x10, 0x18, 0x04, 0x14, 0x01, 0x11, 0x00, 0x29]) {
        for (const dport of [80, 81, 82]) {
          const data = flags === 0x18 ? "hello" : "";
          const segment = { sport: 4096, dport, seq: 1000, ack: 77, flags, window: 1000 };
          add(`tcp ${flags} port ${dport}, ${to}`, eth(LINK, ipv4(at, tcp(segment, data))));
        }
      }
      add(`tcp, wrong checksum, ${to}`, eth(LINK, ipv4(at, tcp({ sport: 1, dport: 80, flags: 2, checksum: 7 }))));
      add(
        `tcp, cut, ${to}`,
        eth(LINK, ipv4({ ...at, proto: 6 }, tcp({ sport: 1, dport: 80, flags: 2 }).subarray(0, 12))),
      );
      for (const [sport, dport] of [[53, 7], [4096, 7], [4096, 9], [4096, 4200], [4096, 5], [1, 9]]) {
        add(`udp ${sport} ${dport}, ${to}`, eth(LINK, ipv4(at, udp({ sport, dport }, "xy"))));
        add(
          `udp ${sport} ${dport}, wrong checksum, ${to}`,
          eth(LINK, ipv4(at, udp({ sport, dport, checksum: 9 }, "xy"))),
        );
        add(`udp ${sport} ${dport}, no checksum, ${to}`, eth(LINK, ipv4(at, udp({ sport, dport, checksum: 0 }, "xy"))));
      }
      add(`echo, ${to}`, eth(LINK, ipv4(at, icmpEcho({ id: 1, seq: 1 }, "abc"))));
      const quoted = ipv4({ src: dst, dst: src }, udp({ sport: 5, dport: 6 }, "xy"));
      add(`icmp error, ${to}`, eth(LINK, ipv4(at, icmpError({ type: 3, code: 3 }, quoted))));
      for (const piece of [{ mf: true }, { offset: 1480 }]) {
        const data = udp({ sport: 1, dport: 9 }, "x".repeat(1472));
        add(`fragment ${JSON.stringify(piece)}, ${to}`, eth(LINK, ipv4({ ...at, id: 99, proto: 17, ...piece }, data)));
      }
    }
  }
  return steps;
}

testNeeding([...NEEDS], "the filter does with every kind of packet what nft does", async () => {
  const { comparison, accounts, kernel } = await runSteps(SCENARIO, probes());
  for (const each of [comparison, accounts]) {
    assertEquals(each.mismatches.length, 0, report(each, { left: "kernel", right: "netpath" }));
  }
  const frames = kernel.flat().filter((a) => a.kind === "frame").length;
  assert(frames > 300, `${frames} answers`);
});

testNeeding([...NEEDS], "the filter does with 3,000 seeded frames what nft does", async () => {
  const { comparison, accounts } = await runFrames(SCENARIO, 77, 3000);
  for (const each of [comparison, accounts]) {
    assertEquals(each.mismatches.length, 0, report(each, { left: "kernel", right: "netpath" }));
  }
});
