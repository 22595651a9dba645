/**
 * What a user gets who writes something wrong: an error that says what, where and what to do; and what `ip` shows.
 */
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { createHost, type Host, HostError, Machine } from "@netpath/stack";
import { inetAddProtocol } from "@netpath/stack/inet";
import { nic, wire } from "@netpath/stack/nic";
import { msgHdr } from "@netpath/stack/sock";

function pair(): { machine: Machine; a: Host; b: Host } & Disposable {
  const machine = new Machine({ seed: 1, debug: true, strict: true });
  const cable = wire(machine);
  const [a, b] = ["a", "b"].map((name, i) => {
    const host = createHost({ machine, name });
    nic(host.net, "eth0", { wire: cable, address: `02:00:00:00:00:0${i + 1}` });
    host.addr.add("eth0", `10.0.0.${i + 1}/24`);
    return host;
  });
  return {
    machine,
    a,
    b,
    [Symbol.dispose]() {
      machine[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
    },
  };
}

Deno.test("ip addr, link, route and neigh show what they hold", async () => {
  using lab = pair();
  const { a } = lab;
  await a.ping("10.0.0.2");
  assertEquals(
    a.addr.show("eth0"),
    "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP qlen 1000\n" +
      "    link/ether 02:00:00:00:00:01\n" +
      "    inet 10.0.0.1/24 scope global eth0",
  );
  assertMatch(
    a.link.show(),
    /^1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 .*\n {4}link\/loopback 00:00:00:00:00:00\n2: eth0/,
  );
  assertEquals(a.route.show(), "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1");
  assertEquals(a.neigh.show(), "10.0.0.2 dev eth0 lladdr 02:00:00:00:00:02 REACHABLE");
  a.link.down("eth0");
  assertMatch(a.link.show("eth0"), /state DOWN/);
  a.link.up("eth0");
  assertMatch(a.link.show("eth0"), /state UP/);
  a.addr.add("eth0", "10.0.0.9/24");
  a.addr.flush("eth0");
  assertEquals(a.addr.list("eth0"), []);
});

Deno.test("ip route get and replace", () => {
  using lab = pair();
  const { a } = lab;
  a.route.replace("10.1.0.0/16", { via: "10.0.0.2" });
  a.route.replace("10.1.0.0/16", { via: "10.0.0.3" });
  assertEquals(a.route.get("10.1.2.3"), {
    to: "10.1.2.3",
    via: "10.0.0.3",
    dev: "eth0",
    src: "10.0.0.1",
    type: "unicast",
    mtu: 1500,
  });
  assertEquals(a.route.get("10.0.0.1").type, "local");
  for (const via of ["99.0.0.1", "nonsense"]) assertThrows(() => a.route.replace("10.1.0.0/16", { via }));
  assertEquals(a.route.get("10.1.2.3").via, "10.0.0.3", "one that is refused leaves the old one");
  assertThrows(() => a.route.get("99.9.9.9"), HostError, "Cannot find a route to 99.9.9.9: network is unreachable");
});

Deno.test("wrong configuration says what, where and what to do", () => {
  using lab = pair();
  const { a, machine } = lab;
  const wrong: readonly (readonly [() => unknown, string])[] = [
    [() => a.addr.add("eth0", undefined as unknown as string), 'Cannot use address "undefined"'],
    [() => a.addr.add("eth0", "10.0.0.1/24"), "file exists (eth0 has this address already)"],
    [() => a.addr.add("eth0", "10.9.0.1/24", { scope: 9999 }), "Cannot set scope to 9999"],
    [() => a.addr.del("eth0", "10.9.0.1/24"), "(eth0 has 10.0.0.1/24)"],
    [() => a.link.set("eth0", { mtu: 20 }), "invalid argument (it takes 68 to "],
    [() => a.link.set("eth0", { txqueuelen: -1 }), "Cannot set txqueuelen of eth0 to -1"],
    [() => a.link.set("eth0", { address: "01:00:5e:00:00:01" }), "is a group's address"],
    [() => a.link.set("eth0", { address: "00:00:00:00:00:00" }), "is no address"],
    [() => a.route.add("10.1.0.0/16"), "no such device (name a gateway (via) or a device (dev))"],
    [() => a.route.add("10.1.0.0/16", { dev: "eth7" }), "(there is no eth7; there are lo, eth0)"],
    [() => a.route.add("10.1.0.0/16", { via: "99.0.0.1" }), "unreachable (no address of a device that is up"],
    [() => a.route.add("10.1.0.1/16", { dev: "eth0" }), "invalid argument (the address has bits behind the prefix"],
    [() => a.route.add("10.1.0.0/16", { dev: "eth0", metric: NaN }), "metric NaN, it takes a whole number"],
    [() => a.route.add("10.1.0.0/16", { dev: "eth0", mtu: -4 }), "mtu -4, it takes a whole number"],
    [() => a.route.add("10.1.0.0/16", { type: "blackhol" as "blackhole" }), 'no type "blackhol"; there are unicast'],
    [() => a.route.del("10.77.0.0/16"), "there is no such route"],
    [() => a.neigh.del("eth0", "10.0.0.77"), "eth0 has no such neighbour"],
    [() => a.sysctl("net.ipv4.ip_foward", 1), "did you mean net.ipv4.ip_forward?"],
    [() => a.sysctl("net.ipv4.ip_forward", NaN), "Cannot set net.ipv4.ip_forward to null: it takes a whole number"],
    [() => a.sysctl("net.ipv4.ip_forward", "on"), 'Cannot set net.ipv4.ip_forward to "on": it takes a whole number'],
    [() => a.sysctl("net.core.netdev_budget", -1), "Cannot set net.core.netdev_budget to -1"],
    [() => a.sysctl("net.core.netdev_max_backlog", NaN), "it takes a whole number"],
    [() => nic(a.net, "e1", { mtu: -1 }), "Cannot register device e1: mtu -1, it takes a whole number from 68"],
    [() => nic(a.net, "e1", { txQueueLen: -5 }), "Cannot register device e1: txQueueLen -5"],
    [() => nic(a.net, "e2", { coalesce: { rxUsecs: -1 } }), "Cannot set rxUsecs of e2 to -1"],
    [() => nic(a.net, "e2", { rxRing: NaN }), "Cannot make a ring of NaN descriptors"],
    [() => inetAddProtocol(a.net, 300, { rcv() {}, error() {} }), "Cannot add protocol 300"],
    [() => inetAddProtocol(a.net, 200, {} as Parameters<typeof inetAddProtocol>[2]), "its handler is { rcv(skb)"],
    [() => new Machine({ cpus: 0 }), "Cannot make a machine of 0 CPUs"],
    [() => a.listenDatagram({ port: 1, transport: "tcp" as "udp" }), '"tcp" is not the transport "udp"'],
    [() => a.listenDatagram(undefined as unknown as { port: number }), "Cannot listen"],
  ];
  for (const [call, message] of wrong) assertThrows(call, Error, message);
  assertEquals(machine.depth, 0);
});

Deno.test("a datagram to a wrong place, or of wrong bytes, is refused and not sent elsewhere", async () => {
  using lab = pair();
  using s = lab.a.listenDatagram({ port: 7 });
  const to = { transport: "udp", hostname: "10.0.0.2", port: 9 } as const;
  const bytes = new Uint8Array(3);
  for (const port of [-1, 70000, 1.5, undefined as unknown as number]) {
    await assertRejects(() => s.send(bytes, { ...to, port }), RangeError, `Cannot send to port ${port}`);
  }
  await assertRejects(() => s.send("hello" as unknown as Uint8Array, to), TypeError, "expected a Uint8Array");
  await assertRejects(() => s.send(bytes, undefined as unknown as typeof to), TypeError, "Cannot send");
  await assertRejects(() => s.receive("x" as unknown as Uint8Array), TypeError, "expected a Uint8Array");
  assertEquals(lab.a.link.get("eth0").stats.txPackets, 0);
  const fd = lab.a.sys.socket(2, 2, 0);
  assertEquals(lab.a.sys.sendmsg(fd, { ...msgHdr(bytes), addr: 0x0a000002, port: 9, len: NaN }, 0), -14);
});

Deno.test("who waits when a host ends is told; what has ended says so", async () => {
  const machine = new Machine({ seed: 1, debug: true });
  const host = createHost({ machine, name: "h" });
  const socket = host.listenDatagram({ port: 7 });
  const waiting = assertRejects(() => socket.receive(), Error, "the socket was closed");
  host[Symbol.dispose]();
  await waiting;
  assertThrows(() => host.listenDatagram({ port: 7 }), Error, "h has ended");
  assertThrows(() => nic(host.net, "eth0"), TypeError, "h has ended");
  machine[Symbol.dispose]();
  assertThrows(() => createHost({ machine }), TypeError, "its machine has ended");
  assertEquals(machine.skbs.faults(), []);
});
