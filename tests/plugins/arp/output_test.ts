import { assertEquals } from "@std/assert";
import { IFF_NOARP } from "../../../core/mod.ts";
import { DEVINET } from "../../../plugins/network/devinet/mod.ts";
import { arp, ARPOP_REQUEST } from "../../../plugins/network/arp/mod.ts";
import { ALL, arpBed, int, MAC, PEER } from "./bed.ts";

const ASK = `who-has 10.0.0.2 tell 10.0.0.1 at ${MAC} to ${ALL}`;

Deno.test("arp: one broadcast question with the first packet, 42 bytes, no padding; the answer frees the packets [T12]", () => {
  using b = arpBed();
  for (let i = 0; i < 3; i++) b.send("10.0.0.2");
  assertEquals(b.frames[0].bytes.length, 42);
  assertEquals(b.sent(), [ASK]);
  b.hear({ op: 2, sha: PEER, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" });
  assertEquals(b.sent(), Array(3).fill(`800 to ${PEER}`));
});

Deno.test("arp: nobody answers: three questions, host unreachable for each packet, dropped with Linux's reason", () => {
  using b = arpBed();
  for (let i = 0; i < 2; i++) b.send("10.0.0.2");
  b.wait(3001);
  assertEquals(b.sent(), [ASK, ASK, ASK]);
  assertEquals([b.icmp, b.net.dropTable(), b.state("10.0.0.2").split(" ")[0]], [
    ["3/1", "3/1"],
    { NEIGH_FAILED: 2 },
    "FAILED",
  ]);
});

Deno.test("arp: an old entry is checked by unicast to its old address", () => {
  using b = arpBed();
  b.table.set(b.dev, "10.0.0.2", PEER, 4);
  b.send("10.0.0.2");
  b.wait(8001);
  assertEquals(b.sent(), [
    `800 to ${PEER}`,
    ...Array(3).fill(`who-has 10.0.0.2 tell 10.0.0.1 at ${MAC} to ${PEER}`),
  ]);
  assertEquals(b.state("10.0.0.2").split(" ")[0], "FAILED");
});

Deno.test("arp_announce: 0 tells the packet's source, 1 only one of the target's subnet, 2 the best of the link", () => {
  const asks = (level: number, src: string): string => {
    using b = arpBed();
    b.addr("10.0.0.11/24");
    b.addDevice("eth1", "192.168.7.1/24", "02:00:00:00:01:01");
    b.conf("arp_announce", level);
    b.send("10.0.0.2", src);
    return /tell (\S+)/.exec(b.sent()[0])![1];
  };
  assertEquals(["10.0.0.1", "10.0.0.11", "192.168.7.1", "9.9.9.9"].map((src) => asks(0, src)), [
    "10.0.0.1",
    "10.0.0.11",
    "192.168.7.1",
    "10.0.0.1", // forwarded: not ours to tell
  ]);
  assertEquals(["10.0.0.11", "192.168.7.1"].map((src) => asks(1, src)), ["10.0.0.11", "10.0.0.1"]);
  assertEquals(["10.0.0.11", "192.168.7.1"].map((src) => asks(2, src)), ["10.0.0.1", "10.0.0.1"]);
});

Deno.test("arp: groups and broadcasts have their link address without a question", () => {
  using b = arpBed();
  for (const hop of ["224.0.0.1", "239.129.2.3", "255.255.255.255", "10.0.0.255"]) b.send(hop);
  assertEquals(b.sent(), [
    "800 to 01:00:5e:00:00:01",
    "800 to 01:00:5e:01:02:03",
    `800 to ${ALL}`,
    `800 to ${ALL}`,
  ]);
});

Deno.test("arp: a device without ARP asks nothing and answers nothing", () => {
  using b = arpBed();
  b.dev.flags |= IFF_NOARP;
  b.send("10.0.0.2");
  b.hear({ op: 1, sha: PEER, spa: "10.0.0.2", tpa: "10.0.0.1" });
  b.arp.announce(b.dev);
  assertEquals(b.sent(), [`800 to ${MAC}`]);
});

Deno.test("arp_notify: a device that comes up or changes its MAC announces each address; a new address does not", () => {
  using b = arpBed();
  b.addr("10.0.0.11/24");
  b.dev.close();
  b.dev.open();
  assertEquals(b.sent(), []);
  b.conf("arp_notify", 1);
  b.dev.close();
  b.dev.open();
  assertEquals(b.sent(), ["10.0.0.1", "10.0.0.11"].map((ip) => `who-has ${ip} tell ${ip} at ${MAC} to ${ALL}`));
  b.dev.setAddress(PEER);
  assertEquals(b.sent(), ["10.0.0.1", "10.0.0.11"].map((ip) => `who-has ${ip} tell ${ip} at ${PEER} to ${ALL}`));
  b.addr("10.0.0.12/24");
  assertEquals(b.sent(), []);
  b.arp.announce(b.dev);
  assertEquals(b.sent().length, 3);
});

Deno.test("arp: with its last address a device loses its neighbours", () => {
  using b = arpBed();
  b.table.set(b.dev, "10.0.0.9", PEER);
  b.addr("10.0.0.11/24");
  b.net.get(DEVINET).delAddress(b.dev, "10.0.0.11/24");
  assertEquals(b.table.list().length, 1);
  b.net.get(DEVINET).delAddress(b.dev, "10.0.0.1/24");
  assertEquals(b.table.list().length, 0);
});

Deno.test("arp: any packet can be sent by hand, as arping does", () => {
  using b = arpBed();
  b.arp.send(ARPOP_REQUEST, b.dev, int("10.0.0.2"), 0, 0xffff, -1, b.dev.addrHi, b.dev.addrLo, 0, 0);
  assertEquals(b.sent(), [`who-has 10.0.0.2 tell 0.0.0.0 at ${MAC} to ${ALL}`]);
  assertEquals(b.arp.stats.sent, 1);
});

Deno.test("arp: a swap keeps what is known and what waits", () => {
  using b = arpBed();
  b.send("10.0.0.2");
  b.net.swap("arp", arp());
  b.wait(1500);
  assertEquals(b.sent(), [ASK, ASK]);
  b.hear({ op: 2, sha: PEER, spa: "10.0.0.2", tha: MAC, tpa: "10.0.0.1" });
  assertEquals(b.sent(), [`800 to ${PEER}`]);
});

Deno.test("arp: two hosts resolve each other, and the one that was asked has learnt who asked [T12]", () => {
  using a = arpBed();
  using b = arpBed({}, "10.0.0.2/24", PEER);
  a.send("10.0.0.2");
  b.dev.receive(a.frames.splice(0)[0].bytes);
  a.dev.receive(b.frames.splice(0)[0].bytes);
  assertEquals([a.sent(), a.state("10.0.0.2")], [[`800 to ${PEER}`], `REACHABLE ${PEER}`]);
  b.send("10.0.0.1", "10.0.0.2");
  assertEquals([b.sent(), b.state("10.0.0.1")], [[`800 to ${MAC}`], `DELAY ${MAC}`]);
});
