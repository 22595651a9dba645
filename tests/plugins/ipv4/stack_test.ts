/** ipv4 and icmp between their real neighbours: three hosts, two of them behind a router. */
import { assertEquals } from "@std/assert";
import { createHost, type Host, Machine } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { vethPair } from "../../../plugins/device/veth/mod.ts";
import { channel } from "../../../plugins/device/channel/mod.ts";
import { INET } from "../../../plugins/network/inet/contract.ts";
import { IPV4 } from "../../../plugins/network/ipv4/contract.ts";
import { decode, eth, fragment, icmpEcho, ipv4, pattern } from "../../support/frames/build.ts";

interface Lab extends Disposable {
  machine: Machine;
  a: Host;
  r: Host;
  b: Host;
  /** Ends all; leaks and double frees. */
  faults(): unknown[];
}

/** a (10.1.0.2) over nics, router (10.1.0.1, 10.2.0.1), over a veth of MTU `mtu` b (10.2.0.2). */
function lab(mtu = 1500): Lab {
  const machine = new Machine({ debug: true, strict: true });
  const a = createHost({ machine, name: "a" });
  const r = createHost({ machine, name: "r", forwarding: true });
  const b = createHost({ machine, name: "b" });
  const cable = wire(machine);
  nic(a.net, "eth0", { wire: cable });
  nic(r.net, "eth0", { wire: cable });
  vethPair(r.net, "eth1", b.net, "eth0", { mtu, peer: { mtu } });
  a.addr.add("eth0", "10.1.0.2/24");
  r.addr.add("eth0", "10.1.0.1/24");
  r.addr.add("eth1", "10.2.0.1/24");
  b.addr.add("eth0", "10.2.0.2/24");
  a.route.add("default", { via: "10.1.0.1" });
  b.route.add("default", { via: "10.2.0.1" });
  return {
    machine,
    a,
    r,
    b,
    faults() {
      for (const host of [a, r, b]) host[Symbol.dispose]();
      return machine.skbs.faults();
    },
    [Symbol.dispose]: () => machine[Symbol.dispose](),
  };
}

const mib = (h: Host) => h.net.get(INET).mib;

Deno.test("[R17] [R18] ping through a router: forwarded there, delivered here, nothing copied on the way", async () => {
  using l = lab();
  const reply = await l.a.ping("10.2.0.2");
  assertEquals(reply.ttl, 63);
  assertEquals([mib(l.r).ip.ForwDatagrams, mib(l.b).icmp.InEchos, mib(l.a).icmp.InEchoReps], [2, 1, 1]);
  const copies = l.machine.ledger.snapshot().filter((s) => s.kind === "cpu" && s.bytes > 0).map((s) => s.name);
  assertEquals(copies.filter((name) => !name.includes("msg")), [], "only system calls copy");
  assertEquals(l.faults(), []);
});

Deno.test("a large ping is fragmented, reassembled, answered and reassembled again", async () => {
  using l = lab();
  const reply = await l.a.ping("10.2.0.2", { size: 8000 });
  assertEquals(reply.bytes, 8000);
  for (const host of [l.a, l.b]) {
    const { ip } = mib(host);
    assertEquals([ip.FragOKs, ip.FragCreates, ip.ReasmReqds, ip.ReasmOKs, ip.ReasmFails], [1, 6, 6, 1, 0]);
    assertEquals(host.net.get(IPV4).fragMem(), 0);
  }
  assertEquals(mib(l.r).ip.ForwDatagrams, 12);
  assertEquals(l.machine.ledger.bytesAt("ip_fragment"), 0);
  assertEquals(l.faults(), []);
});

Deno.test("a UDP datagram through a narrow link: path MTU learnt, then sent in fragments that fit", async () => {
  using l = lab(1000);
  using server = l.b.listenDatagram({ port: 7, hostname: "10.2.0.2" });
  using client = l.a.listenDatagram({ port: 9, hostname: "10.1.0.2" });
  const to = { transport: "udp", hostname: "10.2.0.2", port: 7 } as const;
  await client.send(pattern(1400), to);
  l.machine.runUntilIdle(1e9);
  assertEquals([mib(l.r).ip.FragFails, mib(l.r).icmp.OutDestUnreachs, mib(l.b).udp.InDatagrams], [1, 1, 0]);
  await client.send(pattern(1400), to);
  const [data] = await server.receive();
  assertEquals(data, pattern(1400));
  assertEquals([mib(l.a).ip.FragOKs, mib(l.a).ip.FragCreates, mib(l.b).ip.ReasmOKs], [1, 2, 1]);
  assertEquals(l.faults(), []);
});

Deno.test("a datagram to ourselves, larger than any Ethernet frame, over the loopback", async () => {
  using l = lab();
  using all = l.a.listenDatagram({ port: 7, hostname: "0.0.0.0" });
  await all.send(pattern(3000), { transport: "udp", hostname: "10.1.0.2", port: 7 });
  const [data, from] = await all.receive();
  assertEquals([data.length, from.transport === "udp" && from.hostname], [3000, "10.1.0.2"]);
  assertEquals(l.faults(), []);
});

Deno.test("[A1] [A3] [A12] every truncation of a fragmented ping goes in without a throw or a leak", () => {
  const machine = new Machine({ debug: true, strict: true, autoAdvance: false });
  const h = createHost({ machine });
  const ch = channel(h.net, "eth0", { address: "02:00:00:00:00:01" });
  h.addr.add("eth0", "10.9.0.1/24");
  h.neigh.set("eth0", "10.9.0.2", "02:00:00:00:00:02");
  const link = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" };
  const whole = ipv4({ src: "10.9.0.2", dst: "10.9.0.1", id: 3 }, icmpEcho({ id: 1, seq: 1 }, pattern(48)));
  const [first, last] = fragment(whole, 68).map((p) => eth(link, p));
  for (let n = 14; n <= first.length; n++) ch.inject(first.subarray(0, n));
  ch.inject(last);
  const [reply] = ch.readAll().map(decode);
  assertEquals([reply.icmp!.type, reply.icmp!.checksumOk, reply.ipv4!.totalLength], [0, true, 76]);
  h[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});
