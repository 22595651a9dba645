/** A hook, a queue discipline and a driver are replaced while packets flow: what is lost is what the old ring held. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { NF_ACCEPT, NF_INET_LOCAL_IN, nfRegisterNetHook } from "../../plugins/network/netfilter/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import type { Plugin } from "../../core/mod.ts";
import { nicDevice, wire } from "../../plugins/device/nic/mod.ts";
import { createHost, PluginError } from "../../mod.ts";
import { netfilter } from "../../plugins/network/netfilter/mod.ts";
import { TestMachine, twoHosts, udpSocket } from "../support/hosts.ts";

const IP_B = needIp("10.0.0.2", "address");

/** A plugin that counts what it sees. */
function counter(name: string, seen: { n: number }): Plugin {
  return {
    name,
    api: 1,
    setup: (net) => {
      nfRegisterNetHook(net, { name, hook: NF_INET_LOCAL_IN, fn: () => (seen.n++, NF_ACCEPT) });
    },
  };
}

Deno.test("a hook plugin is swapped under traffic: every packet meets exactly one of the two", () => {
  using t = twoHosts({ neigh: true });
  const one = { n: 0 }, two = { n: 0 };
  t.b.net.use(counter("count", one));
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: IP_B, port: 7 });
  const into = msgHdr(new Uint8Array(64));
  for (let i = 0; i < 200; i++) {
    t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
    into.len = 64;
    assertEquals(t.b.sys.recvmsg(rx, into, 0), 32);
    if (i === 99) t.b.net.swap("count", counter("count", two));
  }
  assertEquals([one.n, two.n], [100, 100]);
});

Deno.test("a swap whose setup throws leaves the old plugin running", () => {
  using t = twoHosts({ neigh: true });
  const seen = { n: 0 };
  t.b.net.use(counter("count", seen));
  const bad: Plugin = {
    name: "count",
    api: 1,
    setup: (net) => {
      nfRegisterNetHook(net, { name: "half", hook: NF_INET_LOCAL_IN, fn: () => NF_ACCEPT });
      throw new Error("no");
    },
  };
  const error = assertThrows(() => t.b.net.swap("count", bad), PluginError);
  assertEquals(error.code, "NETPATH_SETUP_THREW");
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: IP_B, port: 7 });
  t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
  assertEquals(t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(64)), 0), 32);
  assertEquals(seen.n, 1);
});

Deno.test("netfilter itself is swapped under traffic: the hooks stay", () => {
  using t = twoHosts({ neigh: true });
  const seen = { n: 0 };
  t.b.net.use(counter("count", seen));
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: IP_B, port: 7 });
  for (let i = 0; i < 10; i++) {
    if (i === 5) t.b.net.swap("netfilter", netfilter());
    t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
    assertEquals(t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(64)), 0), 32);
  }
  assertEquals(seen.n, 10);
});

Deno.test("a qdisc is replaced under traffic: what it held is dropped and counted, the rest arrives", () => {
  using t = twoHosts({ neigh: true, nic: { txRing: 64, coalesce: { txUsecs: 1000 } } });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: IP_B, port: 7 });
  const dev = t.a.link.get("eth0");
  // With late completion interrupts the ring of 64 fills, the queue stops, and the discipline holds the rest.
  const sent = 120;
  for (let i = 0; i < sent; i++) assertEquals(t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0), 32);
  const held = dev.txq[0].qdisc!.qlen + dev.txq[0].qdisc!.requeued.qlen;
  assert(held > 0);
  assertEquals(t.a.net.setQdisc(dev, "pfifo", { limit: 500 }), held);
  t.machine.runUntilIdle(1e9);
  t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
  t.machine.runUntilIdle(1e9);
  let got = 0;
  while (t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(64)), 0) === 32) got++;
  assertEquals(got, sent - held + 1);
  assertEquals(Object.values(t.a.net.dropTable()).reduce((x, y) => x + y, 0), held);
});

Deno.test("a driver is swapped under traffic: what is lost is what the old rings held", () => {
  using machine = new TestMachine({ seed: 3 });
  const cable = wire(machine);
  const a = createHost({
    machine,
    name: "a",
    plugins: [nicDevice("eth0", { wire: cable, coalesce: { txUsecs: 1000 } })],
  });
  const b = createHost({
    machine,
    name: "b",
    plugins: [nicDevice("eth0", { wire: cable, coalesce: { rxUsecs: 1000 } })],
  });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  const rx = udpSocket(b, 7);
  const tx = udpSocket(a, 0, { addr: IP_B, port: 7 });
  const read = (): number => {
    machine.runUntilIdle(1e9);
    let n = 0;
    while (b.sys.recvmsg(rx, msgHdr(new Uint8Array(64)), 0) === 32) n++;
    return n;
  };
  a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
  assertEquals(read(), 1);
  const lostBefore = b.link.get("eth0").stats.rxDropped + b.link.get("eth0").stats.rxMissed;
  // Ten frames lie in b's ring, their interrupt is moderated; then the driver goes.
  for (let i = 0; i < 10; i++) a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
  b.net.swap("nic-eth0", nicDevice("eth0", { wire: cable, rxRing: 64 }));
  for (let i = 0; i < 5; i++) a.sys.sendmsg(tx, msgHdr(new Uint8Array(32)), 0);
  const got = read();
  const lost = b.link.get("eth0").stats.rxDropped + b.link.get("eth0").stats.rxMissed - lostBefore;
  assertEquals(got + lost, 15);
  assertEquals(lost, 10);
});
