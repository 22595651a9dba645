/** The filter: rules as data, counters, the log, replacement under traffic. What it answers is compared in tests/oracle. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  expectAccept,
  expectDrop,
  FILTER,
  filter,
  type FilterLogEntry,
  type FilterOptions,
  type FilterRule,
  type FilterRuleset,
} from "../../../plugins/network/filter/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { twoHosts, udpSocket } from "../../support/hosts.ts";
import { tcpConnect, tcpListen } from "../../support/tcp.ts";

const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;

/** Two hosts, the second with a filter. */
function filtered(options: FilterOptions) {
  const t = twoHosts({ neigh: true });
  t.b.net.use(filter(options));
  return Object.assign(t, { rules: t.b.net.get(FILTER) });
}

Deno.test("a wrong rule says which, what and what there is; the old rules stay", () => {
  const wrong: readonly (readonly [unknown, string])[] = [
    [{ chain: "inptu" }, 'Cannot use rule 2: chain "inptu"; there are prerouting, input, forward, output, postrouting'],
    [{ chain: "input", protcol: "tcp" }, "Cannot use rule 2: no field protcol: did you mean protocol"],
    [{ chain: "input", protocol: "tpc" }, "no protocol tpc"],
    [{ chain: "input", protocol: 256 }, 'protocol "256": expected a number to 255'],
    [{ chain: "input", saddr: "10.0.0.1/33" }, 'Cannot use address "10.0.0.1/33"'],
    [{ chain: "input", saddr: "10.0.0.9-10.0.0.1" }, "expected a range such as 10.0.0.1-10.0.0.9"],
    [{ chain: "input", protocol: "tcp", dport: "80-70" }, 'port "80-70"'],
    [{ chain: "input", protocol: "udp", dport: 70000 }, 'port "70000"'],
    [{ chain: "input", dport: 80 }, "ports are of tcp and udp"],
    [{ chain: "input", protocol: ["tcp", "icmp"], dport: 80 }, "ports are of tcp and udp"],
    [{ chain: "input", protocol: "tcp", dport: [80, "!81"] }, '"!" stands before all of a list, or none'],
    [{ chain: "input", protocol: "tcp", dport: [] }, "an empty list matches nothing"],
    [{ chain: "input", protocol: "tcp", tcpFlags: "sny" }, "no TCP flag sny"],
    [{ chain: "input", protocol: "tcp", tcpFlags: "syn/ack" }, "expected flags, or flags/mask"],
    [{ chain: "input", protocol: "udp", tcpFlags: "syn" }, "tcpFlags take protocol: tcp"],
    [{ chain: "input", protocol: "tcp", icmpType: "echo-request" }, "icmpType takes protocol: icmp"],
    [{ chain: "input", verdict: "deny" }, 'verdict "deny"; there are accept, drop, reject'],
    [{ chain: "input", verdict: "reject", rejectWith: "tcp-reset" }, "tcp-reset takes protocol: tcp"],
    [{ chain: "input", verdict: "reject", rejectWith: "no" }, 'rejectWith "no"; there are auto'],
    [{ chain: "postrouting", verdict: "reject" }, "reject is for"],
    [{ chain: "input", comment: "web", protocol: "x" }, 'Cannot use rule 2 ("web")'],
  ];
  using t = filtered({ rules: [{ chain: "input", saddr: "10.9.9.9", verdict: "drop" }] });
  const first: FilterRule = { chain: "input", verdict: "accept" };
  for (const [rule, message] of wrong) {
    assertThrows(() => t.rules.replace({ rules: [first, rule as FilterRule] }), TypeError, message);
  }
  const policy = { inptu: "drop" } as FilterRuleset["policy"];
  assertThrows(() => t.rules.replace({ rules: [], policy: policy! }), TypeError, 'Cannot set a policy of "inptu"');
  const reject = { input: "reject" } as unknown as FilterRuleset["policy"];
  assertThrows(() => t.rules.replace({ rules: [], policy: reject! }), TypeError, "it is accept or drop");
  expectDrop(t.rules, { chain: "input", saddr: "10.9.9.9" });
});

Deno.test("decide(): the first rule with a verdict, else the policy; what a packet has not, no rule finds", () => {
  using t = filtered({
    policy: { input: "drop" },
    rules: [
      { chain: "input", log: "all" },
      {
        chain: "input",
        protocol: ["tcp", 17],
        saddr: ["10.0.0.0/24", "10.1.0.1-10.1.0.9"],
        dport: [22, "80-90"],
        verdict: "accept",
      },
      { chain: "input", protocol: "tcp", tcpFlags: "syn/syn,ack", verdict: "reject" },
      { chain: "input", protocol: "!tcp", iif: ["wg*", "lo"], verdict: "accept" },
      { chain: "input", protocol: "icmp", icmpType: ["echo-request", 13], verdict: "accept" },
      { chain: "output", oif: "!eth0", verdict: "drop" },
    ],
  });
  const input = { chain: "input" } as const;
  expectAccept(t.rules, { ...input, protocol: "tcp", saddr: "10.0.0.255", dport: 22 });
  expectAccept(t.rules, { ...input, protocol: "udp", saddr: "10.1.0.9", dport: 90 });
  expectDrop(t.rules, { ...input, protocol: "udp", saddr: "10.1.0.10", dport: 90 });
  expectDrop(t.rules, { ...input, protocol: "tcp", saddr: "10.0.0.1", dport: 23 });
  assertEquals(t.rules.decide({ ...input, protocol: "tcp", tcpFlags: "syn" }).verdict, "reject");
  assertEquals(t.rules.decide({ ...input, protocol: "tcp", tcpFlags: "syn,ack" }).verdict, "drop");
  expectAccept(t.rules, { ...input, protocol: "udp", iif: "wg0" });
  expectDrop(t.rules, { ...input, protocol: "tcp", iif: "lo" });
  expectDrop(t.rules, { ...input, protocol: "udp", iif: "eth0" });
  expectAccept(t.rules, { ...input, protocol: "icmp", icmpType: "timestamp-request" });
  expectDrop(t.rules, { ...input, protocol: "icmp" });
  expectDrop(t.rules, { chain: "output", oif: "eth1" });
  expectAccept(t.rules, { chain: "output", oif: "eth0" });
  assertThrows(
    () => expectAccept(t.rules, { ...input, protocol: "tcp", tcpFlags: "syn" }),
    Error,
    'to be accepted, but rule 3 says reject: {"chain":"input"',
  );
  assertThrows(() => expectDrop(t.rules, { chain: "forward" }), Error, "the policy of forward says accept");
  assertThrows(
    () => t.rules.decide({ ...input, protocol: "tpc" }),
    TypeError,
    "Cannot decide about a packet: no protocol tpc",
  );
});

Deno.test("counters and log: what each rule saw, in the kernel's words", () => {
  const seen: FilterLogEntry[] = [];
  using t = filtered({
    onLog: (entry) => seen.push(entry),
    rules: [
      { chain: "input", protocol: "udp", log: "udp: " },
      { chain: "input", protocol: "udp", dport: 9, verdict: "drop" },
    ],
  });
  const tx = udpSocket(t.a, 4096);
  for (const port of [7, 9, 9]) {
    t.a.sys.sendmsg(tx, { ...msgHdr(new Uint8Array(10)), addr: needIp("10.0.0.2", "to"), port }, 0);
  }
  assertEquals(seen.length, 3);
  assertEquals(
    seen[1].prefix + seen[1].text,
    "udp: IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=38 TTL=64 PROTO=UDP SPT=4096 DPT=9",
  );
  const counters = t.rules.counters().filter((c) => c.packets > 0);
  assertEquals(counters.map((c) => [c.rule?.dport ?? c.rule?.log ?? c.chain, c.packets, c.bytes]), [
    ["udp: ", 3, 114],
    [9, 2, 76],
    ["input", 1, 38],
  ]);
  assertEquals(t.b.net.dropped("NETFILTER_DROP"), 2);
});

Deno.test("a rejected connection is refused at once, a dropped one is not; the errno says how", () => {
  using t = filtered({
    rules: [
      { chain: "input", protocol: "tcp", dport: 81, verdict: "reject" },
      { chain: "input", protocol: "tcp", dport: 82, verdict: "reject", rejectWith: "host-prohibited" },
      { chain: "input", protocol: "tcp", dport: 83, verdict: "drop" },
    ],
  });
  const errnos = [80, 81, 82, 83].map((port) => {
    tcpListen(t.b, port);
    const fd = tcpConnect(t.a, "10.0.0.2", port);
    t.machine.advance(500e6);
    const errno = t.a.sys.getsockopt(fd, 1, 4);
    t.a.sys.close(fd);
    return errno;
  });
  assertEquals(errnos, [0, ECONNREFUSED, EHOSTUNREACH, 0]);
});

Deno.test("rules are replaced under traffic as a whole: each packet sees the old ones or the new ones", () => {
  using t = filtered({ rules: [] });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.0.2", "to"), port: 7 });
  const into = msgHdr(new Uint8Array(64));
  let got = 0;
  for (let i = 0; i < 300; i++) {
    if (i % 3 === 0) {
      // Two rules that only together let it through, then the same without the second.
      const rules: FilterRule[] = [{ chain: "input", saddr: "10.0.0.1", verdict: "accept" }];
      t.rules.replace({ rules: i % 2 === 0 ? rules : [], policy: { input: "drop" } });
    }
    t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(8)), 0);
    into.len = 64;
    if (t.b.sys.recvmsg(rx, into, 0) === 8) got++;
  }
  assertEquals([got, t.b.net.dropped("NETFILTER_DROP")], [150, 150]);
});

Deno.test("swapped, the plugin has the new rules and begins to count anew", () => {
  using t = filtered({ policy: { input: "drop" }, rules: [] });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.0.2", "to"), port: 7 });
  const arrives = (): boolean => {
    t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(8)), 0);
    return t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(64)), 0) === 8;
  };
  assertEquals(arrives(), false);
  t.b.net.swap("filter", filter({ policy: { input: "accept" }, rules: [] }));
  assertEquals(arrives(), true);
  t.b.net.swap("filter", filter({ policy: { input: "drop" }, rules: [] }));
  assertEquals(arrives(), false);
  assertEquals(t.b.net.get(FILTER).counters().at(1), { rule: null, chain: "input", packets: 1, bytes: 36 });
});
