/** Plugins are replaced while 100 MB move through TCP: no byte is lost. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Net, Plugin, QdiscOps } from "../../core/mod.ts";
import { createHost, type Host, PluginError } from "../../mod.ts";
import { nicDevice, wire } from "../../plugins/device/nic/mod.ts";
import { INET } from "../../plugins/network/inet/mod.ts";
import { netfilter, NF_ACCEPT, NF_INET_LOCAL_IN, nfRegisterNetHook } from "../../plugins/network/netfilter/mod.ts";
import { TCP, tcpRegisterCongestionControl } from "../../plugins/transport/tcp/mod.ts";
import { TestMachine, twoHosts } from "../support/hosts.ts";
import { assertNothingLeft, tcpConnection, type TcpEnd } from "../support/tcp.ts";

const MS = 1e6;
/** 100 MB between them all; each one of these. */
const BYTES = 100_000_000;
const SWAPS = 20;

/** Moves BYTES while `swap` is called SWAPS times, evenly spread over the bytes. */
function move(machine: TestMachine, a: Host, b: Host, swap: (n: number) => void, bytes = BYTES): void {
  const { client, server } = tcpConnection(machine, a, b, { address: "10.0.0.2" });
  let swaps = 0;
  client.run(bytes);
  server.run(0);
  for (let i = 0; i < 100_000 && !server.eof; i++) {
    machine.advance(1 * MS);
    while (swaps < SWAPS && server.received >= (bytes / (SWAPS + 1)) * (swaps + 1)) swap(swaps++);
  }
  assertEquals([server.received, server.errno, client.errno], [bytes, 0, 0]);
  assertEquals(swaps, SWAPS);
  finish(machine, client, server);
  assertNothingLeft(machine, [a, b]);
}

function finish(machine: TestMachine, client: TcpEnd, server: TcpEnd): void {
  machine.advance(100 * MS);
  client.close();
  server.close();
}

/** The counters of a host's TCP. */
function mib(host: Host): { InSegs: number; RetransSegs: number } {
  return host.net.get(INET).mib.tcp;
}

const WIRE = { delayNs: 200_000, rateBps: 2_000_000_000 };

Deno.test("a driver is swapped while 100 MB move: TCP sends again what the old rings held", () => {
  using machine = new TestMachine({ slabBytes: 64 << 20 });
  const cable = wire(machine, WIRE);
  const make = (rxRing: number): Plugin => nicDevice("eth0", { wire: cable, rxRing });
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name, plugins: [make(256)] }));
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  move(machine, a, b, (n) => (n % 2 === 0 ? b : a).net.swap("nic-eth0", make(n % 3 === 0 ? 128 : 512)));
});

Deno.test("a qdisc is replaced while 100 MB move: what it held is dropped and counted, and sent again", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const dev = t.a.link.get("eth0");
  let held = 0;
  const dropped = (): number => Object.values(t.a.net.dropTable()).reduce((x, y) => x + y, 0);
  move(t.machine, t.a, t.b, (n) => {
    const before = dropped();
    // Slower than the wire: it always holds something.
    const slow = { rate: 1_500_000_000, burst: 200_000, latency: "10ms" };
    const [kind, options] = n % 2 === 0 ? ["tbf", slow] : [n % 4 === 1 ? "fq_codel" : "pfifo", {}];
    const lost = t.a.net.setQdisc(dev, kind, options);
    assertEquals(dropped() - before, lost);
    held += lost;
  });
  assert(held > 0 && mib(t.a).RetransSegs > 0, `${held} were held, ${mib(t.a).RetransSegs} went again`);
});

Deno.test("a netfilter plugin, and netfilter itself, are swapped while 100 MB move", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const seen = Array.from({ length: SWAPS + 1 }, () => 0);
  const counter = (n: number): Plugin => ({
    name: "count",
    api: 1,
    setup: (net) => {
      nfRegisterNetHook(net, { name: "count", hook: NF_INET_LOCAL_IN, fn: () => (seen[n]++, NF_ACCEPT) });
    },
  });
  t.b.net.use(counter(0));
  move(t.machine, t.a, t.b, (n) => {
    t.b.net.swap("count", counter(n + 1));
    if (n % 5 === 0) t.b.net.swap("netfilter", netfilter());
  });
  assert(seen.every((count) => count > 0), `${seen}`);
});

/** A congestion control that adds a packet per round, or halves. */
function control(name: string, calls: { n: number }): Plugin {
  return {
    name,
    api: 1,
    setup: (net) =>
      tcpRegisterCongestionControl(net, {
        name,
        congAvoid: (tp, _ack, acked) => {
          calls.n++;
          tp.sndCwnd = Math.min(tp.sndCwndClamp, tp.sndCwnd + acked);
        },
      }),
  };
}

Deno.test("the congestion control is swapped while 100 MB move, over a wire that loses", () => {
  using t = twoHosts({ neigh: true, wire: { ...WIRE, loss: 0.001 }, machine: { slabBytes: 64 << 20 } });
  const calls = Array.from({ length: SWAPS + 1 }, () => ({ n: 0 }));
  t.a.net.use(control("mine", calls[0]));
  assert(t.a.net.get(TCP).setDefaultCongestionControl("mine"));
  move(t.machine, t.a, t.b, (n) => t.a.net.swap("mine", control("mine", calls[n + 1])));
  assert(calls.filter(({ n }) => n > 0).length > SWAPS / 2, JSON.stringify(calls));
});

/** A plugin of that name that registers a half of what it should, then throws. */
function broken(name: string, half: (net: Net) => void = () => {}): Plugin {
  return {
    name,
    api: 1,
    setup: (net) => {
      half(net);
      throw new Error("no");
    },
  };
}

/** Bytes that move while a swap fails again and again. */
const SOME = 10_000_000;

/** The swap is refused as it should be. */
function refused(swap: () => void): void {
  assertEquals(assertThrows(swap, PluginError).code, "NETPATH_SETUP_THREW");
}

Deno.test("a congestion control that throws in setup leaves the old one running", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const calls = { n: 0 };
  t.a.net.use(control("mine", calls));
  assert(t.a.net.get(TCP).setDefaultCongestionControl("mine"));
  let before = 0;
  move(t.machine, t.a, t.b, () => {
    assert(calls.n > before, "the old one grows the window");
    before = calls.n;
    refused(() =>
      t.a.net.swap("mine", broken("mine", (net) => void tcpRegisterCongestionControl(net, { name: "mine" })))
    );
    assertEquals(t.a.net.get(TCP).congestionControls()[0], "mine");
  }, SOME);
  assert(calls.n > before);
});

Deno.test("a driver that throws in setup leaves the old one running: no frame is lost", () => {
  using machine = new TestMachine({ slabBytes: 64 << 20 });
  const cable = wire(machine, WIRE);
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name, plugins: [nicDevice("eth0", { wire: cable })] }));
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  let dev = b.link.get("eth0");
  move(machine, a, b, (n) => {
    const host = n % 2 === 0 ? b : a;
    refused(() => host.net.swap("nic-eth0", broken("nic-eth0")));
    // The half of a driver that took the wire and the rings is taken back, too.
    if (n % 4 === 0) {
      refused(() =>
        host.net.swap("nic-eth0", broken("nic-eth0", (net) => nicDevice("eth0", { wire: cable }).setup(net)))
      );
    }
    dev = b.link.get("eth0");
  }, SOME);
  assertEquals([dev.stats.rxDropped, dev.stats.rxMissed, b.net.dropped("NOT_SPECIFIED")], [0, 0, 0]);
  assertEquals(mib(a).RetransSegs, 0);
});

Deno.test("a qdisc that refuses, and a plugin of one that throws, leave the old one running: no packet is lost", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const dev = t.a.link.get("eth0");
  t.a.net.setQdisc(dev, "pfifo", { limit: 2000 });
  const old = dev.txq[0].qdisc!;
  const never: QdiscOps = { ...old.ops, name: "never", init: () => false };
  using _never = t.a.net.registerQdisc(never);
  move(t.machine, t.a, t.b, () => {
    assertThrows(() => t.a.net.setQdisc(dev, "never"), TypeError, "refuses");
    assertThrows(() => t.a.net.setQdisc(dev, "nonesuch"), TypeError, "no kind");
    refused(() => t.a.net.swap("qdisc", broken("qdisc", (net) => void net.registerQdisc({ ...never, name: "half" }))));
    assertThrows(() => t.a.net.setQdisc(dev, "half"), TypeError, "no kind");
    assert(dev.txq[0].qdisc === old, "the same, with what it holds");
  }, SOME);
  assertEquals(mib(t.a).RetransSegs, 0);
});

Deno.test("a netfilter plugin, and a netfilter, that throw in setup leave the old ones running: each packet is seen once", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const seen = { old: 0, half: 0 };
  const count = (net: Net, name: "old" | "half"): void => {
    nfRegisterNetHook(net, { name, hook: NF_INET_LOCAL_IN, fn: () => (seen[name]++, NF_ACCEPT) });
  };
  t.b.net.use({ name: "count", api: 1, setup: (net) => count(net, "old") });
  const start = mib(t.b).InSegs;
  move(t.machine, t.a, t.b, () => {
    refused(() => t.b.net.swap("count", broken("count", (net) => count(net, "half"))));
    refused(() => t.b.net.swap("netfilter", broken("netfilter", (net) => void netfilter().setup(net))));
    assertEquals([seen.old, seen.half], [mib(t.b).InSegs - start, 0]);
  }, SOME);
});
