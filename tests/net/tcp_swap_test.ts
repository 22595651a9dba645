/** Plugins are replaced while 100 MB move through TCP: no byte is lost. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Plugin } from "../../core/mod.ts";
import { createHost, type Host, PluginError } from "../../mod.ts";
import { nicDevice, wire } from "../../plugins/device/nic/mod.ts";
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

Deno.test("a qdisc is replaced while 100 MB move", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const dev = t.a.link.get("eth0");
  let held = 0;
  move(
    t.machine,
    t.a,
    t.b,
    (n) =>
      held += n % 2 === 0 ? t.a.net.setQdisc(dev, "pfifo", { limit: 300 + n }) : t.a.net.setQdisc(dev, "pfifo_fast"),
  );
  assert(held >= 0);
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

Deno.test("a plugin that throws in setup leaves the old one running, with TCP on top", () => {
  using t = twoHosts({ neigh: true, wire: WIRE, machine: { slabBytes: 64 << 20 } });
  const calls = { n: 0 };
  t.a.net.use(control("mine", calls));
  assert(t.a.net.get(TCP).setDefaultCongestionControl("mine"));
  const bad: Plugin = {
    name: "mine",
    api: 1,
    setup: () => {
      throw new Error("no");
    },
  };
  move(t.machine, t.a, t.b, () => {
    const error = assertThrows(() => t.a.net.swap("mine", bad), PluginError);
    assertEquals(error.code, "NETPATH_SETUP_THREW");
  }, 10_000_000);
  assert(calls.n > 0);
});
