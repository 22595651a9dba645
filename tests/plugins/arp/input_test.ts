import { assertEquals } from "@std/assert";
import { DEVINET } from "../../../plugins/network/devinet/mod.ts";
import { ALL, type ArpBed, arpBed, int, MAC, PEER } from "./bed.ts";

const NEW = "02:00:00:00:00:99";
const ask = { op: 1, sha: PEER, spa: "10.0.0.2", tpa: "10.0.0.1" };
const ANSWER = `10.0.0.1 is-at ${MAC} for 10.0.0.2 (${PEER}) to ${PEER}`;

/** A bed that knows 10.0.0.2 as REACHABLE at PEER. */
function knows(b: ArpBed): void {
  b.send("10.0.0.2");
  b.hear({ op: 2, sha: PEER, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" });
  assertEquals(b.state("10.0.0.2"), `REACHABLE ${PEER}`);
  b.frames.length = 0;
}

Deno.test("arp: a request for our address is answered, and its sender learnt as STALE [T12]", () => {
  for (const dst of [ALL, MAC, "01:00:5e:00:00:01"]) {
    using b = arpBed();
    b.hear(ask, { dst });
    assertEquals(b.frames[0].bytes.length, 42);
    assertEquals(b.sent(), [ANSWER]);
    assertEquals(b.state("10.0.0.2"), `STALE ${PEER}`);
    assertEquals(b.net.dropTable(), {});
  }
});

Deno.test("arp: the answer goes to the sender in the packet, not to the frame's source", () => {
  using b = arpBed();
  b.hear(ask, { src: NEW, dst: ALL });
  assertEquals(b.sent(), [ANSWER]);
});

Deno.test("arp: any address of the host is answered on any device", () => {
  using b = arpBed();
  b.addr("10.0.0.11/24");
  b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
  for (const tpa of ["10.0.0.11", "192.168.7.1"]) b.hear({ ...ask, tpa });
  assertEquals(b.sent(), [
    `10.0.0.11 is-at ${MAC} for 10.0.0.2 (${PEER}) to ${PEER}`,
    `192.168.7.1 is-at ${MAC} for 10.0.0.2 (${PEER}) to ${PEER}`,
  ]);
});

Deno.test("arp: frames for another host end in silence", () => {
  using b = arpBed();
  b.hear(ask, { dst: "02:77:77:77:77:77" });
  assertEquals([b.sent(), b.state("10.0.0.2"), b.net.dropTable()], [[], "", {}]);
});

Deno.test("arp: a probe is answered and teaches nothing", () => {
  using b = arpBed();
  b.hear({ ...ask, spa: 0 }, { dst: ALL });
  assertEquals(b.sent(), [`10.0.0.1 is-at ${MAC} for 0.0.0.0 (${PEER}) to ${PEER}`]);
  b.hear({ ...ask, spa: 0, tpa: "10.0.0.77" }, { dst: ALL });
  b.hear({ ...ask, spa: 0, op: 2 });
  assertEquals([b.sent(), b.table.list().length], [[], 0]);
});

Deno.test("arp: a sender with our own address is neither answered nor learnt [A20]", () => {
  using b = arpBed();
  b.addr("10.0.0.11/24");
  for (const op of [1, 2]) {
    for (const spa of ["10.0.0.1", "10.0.0.11"]) {
      b.hear({ ...ask, op, spa }, { dst: ALL });
      b.hear({ op, sha: NEW, spa, tpa: spa, tha: NEW }, { dst: ALL });
    }
  }
  assertEquals([b.sent(), b.table.list().length], [[], 0]);
});

Deno.test("arp: zero and group sender MACs are answered and not learnt [A20]", () => {
  using b = arpBed();
  knows(b);
  for (const sha of ["00:00:00:00:00:00", "01:00:5e:00:00:01", ALL]) {
    b.hear({ ...ask, sha, spa: "10.0.0.3" });
    assertEquals(b.frames.splice(0).length, 1);
    b.hear({ ...ask, sha });
    b.hear({ op: 2, sha, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" });
    b.frames.length = 0;
  }
  assertEquals([b.state("10.0.0.2"), b.state("10.0.0.3")], [`REACHABLE ${PEER}`, ""]);
  assertEquals(b.arp.stats.refused, 9);
});

Deno.test("arp: with learnAnySender zero and group sender MACs are learnt, as in Linux", () => {
  for (const sha of ["00:00:00:00:00:00", "01:00:5e:00:00:01", ALL]) {
    using b = arpBed({ learnAnySender: true });
    b.hear({ ...ask, sha });
    assertEquals(b.state("10.0.0.2"), `STALE ${sha}`);
    b.send("10.0.0.3");
    b.hear({ op: 2, sha, spa: "10.0.0.3", tha: MAC, tpa: "10.0.0.1" });
    assertEquals(b.state("10.0.0.3"), `REACHABLE ${sha}`);
  }
});

Deno.test("arp: odd sender addresses: martians are silent, the rest is answered as in Linux", () => {
  using b = arpBed();
  for (const spa of ["255.255.255.255", "224.0.0.9", "127.0.0.1"]) b.hear({ ...ask, spa });
  assertEquals([b.sent(), b.table.list().length], [[], 0]);
  for (const spa of ["10.0.0.255", "10.0.0.0", "0.0.0.7", "8.8.8.8"]) b.hear({ ...ask, spa });
  assertEquals(b.sent().length, 4);
});

Deno.test("arp: requests for group and loopback addresses are dropped, others for nobody here are silent", () => {
  using b = arpBed();
  for (const tpa of ["224.0.0.1", "127.0.0.1"]) b.hear({ ...ask, tpa });
  assertEquals(b.net.dropTable(), { ARP_IGNORED: 2 });
  for (const tpa of ["0.0.0.0", "255.255.255.255", "10.0.0.255", "10.0.0.77", "8.8.8.8"]) b.hear({ ...ask, tpa });
  assertEquals([b.sent(), b.table.list().length, b.net.dropped("ARP_IGNORED")], [[], 0, 2]);
});

Deno.test("arp: malformed packets are dropped with a reason and change nothing [A21]", () => {
  using b = arpBed();
  knows(b);
  const bad = [
    { hlen: 5 },
    { hlen: 255 },
    { plen: 16 },
    { htype: 2 },
    { htype: 772 },
    { ptype: 0x86dd },
    { op: 0 },
    { op: 3 },
    { op: 8 },
    { op: 65535 },
  ];
  for (const fields of bad) b.hear({ ...ask, sha: NEW, ...fields });
  assertEquals(b.net.dropTable(), { ARP_HDR: bad.length });
  assertEquals([b.sent(), b.state("10.0.0.2"), b.arp.stats.malformed], [[], `REACHABLE ${PEER}`, bad.length]);
});

Deno.test("arp: a truncated packet is dropped, one that link padding completes is read with the padding [A21]", () => {
  using b = arpBed();
  const whole = new Uint8Array(42);
  for (let len = 14; len < 42; len++) {
    whole.fill(0);
    whole.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    b.dev.receive(whole.slice(0, len));
  }
  assertEquals(b.net.dropTable(), { PKT_TOO_SMALL: 28 });
  b.hear(ask, { pad: 60 });
  assertEquals(b.sent(), [ANSWER]);
});

Deno.test("arp: hardware type 6 is taken for Ethernet, the answer says Ethernet", () => {
  using b = arpBed();
  b.hear({ ...ask, htype: 6 });
  assertEquals(b.frames[0].bytes.slice(14, 16).toHex(), "0001");
  assertEquals(b.sent(), [ANSWER]);
});

Deno.test("arp: a reply to us makes a waiting entry REACHABLE, a broadcast one or a request only STALE", () => {
  const cases: [fields: Parameters<ArpBed["hear"]>[0], dst: string, state: string][] = [
    [{ op: 2, tha: MAC, tpa: "10.0.0.1" }, MAC, "REACHABLE"],
    [{ op: 2, tha: "00:00:00:00:00:00", tpa: "9.9.9.9" }, MAC, "REACHABLE"],
    [{ op: 2, tha: MAC, tpa: "10.0.0.1" }, ALL, "DELAY"],
    [{ op: 1, tpa: "10.0.0.77" }, ALL, "DELAY"],
    [{ op: 1, tpa: "10.0.0.2" }, ALL, "DELAY"],
  ];
  for (const [fields, dst, state] of cases) {
    using b = arpBed();
    b.send("10.0.0.2");
    b.frames.length = 0;
    b.hear({ sha: PEER, spa: "10.0.0.2", ...fields }, { dst });
    // STALE at once, and DELAY because the packet that waited uses it.
    assertEquals([b.state("10.0.0.2"), b.sent()], [`${state} ${PEER}`, [`800 to ${PEER}`]]);
  }
});

Deno.test("arp: a request of a host with waiting packets: first they leave, then the answer", () => {
  using b = arpBed();
  b.send("10.0.0.2");
  b.frames.length = 0;
  b.hear(ask, { dst: ALL });
  assertEquals(b.sent(), [`800 to ${PEER}`, ANSWER]);
});

Deno.test("arp: replies and announcements of unknown hosts make no entry [A20]", () => {
  using b = arpBed();
  const gratuitous = { sha: NEW, spa: "10.0.0.5", tpa: "10.0.0.5" };
  b.hear({ op: 2, sha: NEW, spa: "10.0.0.5", tha: MAC, tpa: "10.0.0.1" });
  b.hear({ op: 1, ...gratuitous }, { dst: ALL });
  b.hear({ op: 2, ...gratuitous, tha: NEW }, { dst: ALL });
  b.hear({ op: 1, sha: NEW, spa: "10.0.0.5", tpa: "10.0.0.77" }, { dst: ALL });
  assertEquals([b.sent(), b.table.list().length], [[], 0]);
});

Deno.test("arp: a reply with a new MAC is ignored within the locktime, and overrides after it [A20]", () => {
  using b = arpBed();
  knows(b);
  const poison = { op: 2, sha: NEW, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" };
  b.hear(poison);
  b.wait(1000);
  b.hear(poison);
  assertEquals(b.state("10.0.0.2"), `REACHABLE ${PEER}`);
  b.wait(1);
  b.hear(poison);
  assertEquals(b.state("10.0.0.2"), `REACHABLE ${NEW}`);
});

Deno.test("arp: an announcement overrides at once; a reply is one only if it repeats its MAC", () => {
  const g = { sha: NEW, spa: "10.0.0.2", tpa: "10.0.0.2" };
  const cases: [fields: Parameters<ArpBed["hear"]>[0], state: string][] = [
    [{ ...g, op: 1 }, `STALE ${NEW}`],
    [{ ...g, op: 2, tha: NEW }, `STALE ${NEW}`],
    [{ ...g, op: 2 }, `REACHABLE ${PEER}`],
    [{ ...g, op: 2, tha: ALL }, `REACHABLE ${PEER}`],
  ];
  for (const [fields, state] of cases) {
    using b = arpBed();
    knows(b);
    b.hear(fields, { dst: ALL });
    assertEquals(b.state("10.0.0.2"), state);
  }
});

Deno.test("arp: a request to us with a new MAC overrides whatever the locktime says", () => {
  using b = arpBed();
  knows(b);
  b.hear({ ...ask, sha: NEW });
  assertEquals(b.state("10.0.0.2"), `STALE ${NEW}`);
});

Deno.test("arp: a PERMANENT entry is never changed, and its host is still answered [A20]", () => {
  using b = arpBed();
  b.table.set(b.dev, "10.0.0.2", PEER);
  b.wait(5000);
  b.hear({ ...ask, sha: NEW });
  b.hear({ op: 2, sha: NEW, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" });
  b.hear({ op: 1, sha: NEW, spa: "10.0.0.2", tpa: "10.0.0.2" }, { dst: ALL });
  assertEquals([b.state("10.0.0.2"), b.sent().length], [`PERMANENT ${PEER}`, 1]);
});

Deno.test("arp_accept: 1 takes replies and announcements of unknown hosts, 2 only from our subnets", () => {
  for (const level of [1, 2]) {
    for (const spa of ["10.0.0.5", "8.8.8.8"]) {
      using b = arpBed();
      b.conf("arp_accept", level);
      const state = level === 1 || spa === "10.0.0.5";
      b.hear({ op: 1, sha: NEW, spa, tpa: spa }, { dst: ALL });
      assertEquals(b.state(spa), state ? `STALE ${NEW}` : "", `${level} ${spa}`);
    }
  }
  using b = arpBed();
  b.conf("arp_accept", 1);
  b.hear({ op: 2, sha: NEW, spa: "10.0.0.5", tha: MAC, tpa: "10.0.0.1" });
  b.hear({ op: 1, sha: NEW, spa: "10.0.0.6", tpa: "10.0.0.77" }, { dst: ALL });
  assertEquals([b.state("10.0.0.5"), b.state("10.0.0.6")], [`REACHABLE ${NEW}`, ""]);
});

Deno.test("arp_ignore: who is answered at each level", () => {
  // For an address of eth0, of eth1, of eth0 to a sender off the subnet, of scope host.
  const answered: Record<number, boolean[]> = {
    0: [true, true, true, true],
    1: [true, false, true, true],
    2: [true, false, false, false],
    3: [true, true, true, false],
    8: [false, false, false, false],
  };
  for (const [level, expected] of Object.entries(answered)) {
    using b = arpBed();
    b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
    b.net.get(DEVINET).addAddress(b.dev, "172.16.0.1/32", { scope: 254 });
    b.conf("arp_ignore", Number(level));
    const asks = [ask, { ...ask, tpa: "192.168.7.1" }, { ...ask, spa: "8.8.8.8" }, { ...ask, tpa: "172.16.0.1" }];
    const got = asks.map((fields) => {
      b.hear(fields);
      return b.sent().length === 1;
    });
    assertEquals(got, expected, `arp_ignore ${level}`);
  }
});

Deno.test("arp_ignore: probes are left unanswered too", () => {
  using b = arpBed();
  b.conf("arp_ignore", 8);
  b.hear({ ...ask, spa: 0 });
  assertEquals(b.sent(), []);
});

Deno.test("arp_filter: no answer where our way back leaves by another device", () => {
  using b = arpBed();
  const eth1 = b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
  b.conf("arp_filter", 1);
  b.net.sysctl.set("net.ipv4.conf.eth1.arp_filter", 1);
  b.hear(ask, { on: eth1, dst: ALL });
  assertEquals([b.sent(), b.arp.stats.filtered], [[], 1]);
  b.hear(ask);
  assertEquals(b.sent(), [ANSWER]);
});

Deno.test("proxy_arp: answers for hosts behind another device, after a random time below proxy_delay", () => {
  using b = arpBed();
  b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
  b.net.sysctl.set("net.ipv4.ip_forward", 1);
  const far = { ...ask, tpa: "192.168.7.9" };
  b.hear(far, { dst: ALL });
  b.wait(1000);
  assertEquals(b.sent(), []); // not without proxy_arp
  b.conf("proxy_arp", 1);
  b.hear(far); // a unicast request is answered at once
  assertEquals(b.sent(), [`192.168.7.9 is-at ${MAC} for 10.0.0.2 (${PEER}) to ${PEER}`]);
  for (let i = 0; i < 20; i++) b.hear({ ...far, tpa: `192.168.7.${20 + i}` }, { dst: ALL });
  b.wait(400);
  const early = b.sent().length;
  b.wait(400);
  assertEquals([early + b.sent().length, early > 0 && early < 20], [20, true]);
  b.hear({ ...far, tpa: "10.0.0.9" }, { dst: ALL }); // on the same link: it answers for itself
  b.wait(1000);
  assertEquals(b.sent(), []);
});

Deno.test("proxy_arp: the queue is bounded, and goes with the device", () => {
  using b = arpBed();
  b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
  b.net.sysctl.set("net.ipv4.ip_forward", 1);
  b.conf("proxy_arp", 1);
  for (let i = 0; i < 200; i++) b.hear({ ...ask, tpa: `192.168.7.${2 + i}` }, { dst: ALL });
  assertEquals(b.net.dropped("ARP_IGNORED"), 200 - 65);
  b.dev.close();
  assertEquals(b.net.dropped("QUEUE_PURGE"), 65);
  b.wait(1000);
  assertEquals(b.sent(), []);
});

Deno.test("arp: without an IPv4 configuration on the device nothing is answered", () => {
  using b = arpBed();
  b.dev.ipPtr = null;
  b.hear(ask);
  assertEquals([b.sent(), b.net.dropTable()], [[], { ARP_IGNORED: 1 }]);
});

Deno.test("arp: a flood of requests from invented hosts is bounded by the table [A22]", () => {
  using b = arpBed();
  for (let i = 0; i < 5000; i++) {
    b.hear({ op: 1, sha: PEER, spa: int("10.0.0.0") + (i << 4) + 2 >>> 0, tpa: "10.0.0.1" }, { dst: ALL });
  }
  assertEquals(b.table.list().length <= 1024, true);
});
