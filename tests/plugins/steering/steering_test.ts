/** Steering: the flow's hash, where a packet is sent, and what stays when the plugin is swapped. */
import { assert, assertEquals } from "@std/assert";
import { Machine, type SkBuff } from "../../../core/mod.ts";
import { createHost } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { flowDissect, STEERING, steering } from "../../../plugins/link/steering/mod.ts";
import { linuxCommand } from "../../../plugins/lab/cli/proc/command.ts";
import { eth, ipv4, udp } from "../../support/frames/build.ts";

function skbOf(machine: Machine, src: string, sport: number, dst: string, dport: number, more = false): SkBuff {
  const dgram = ipv4({ src, dst, proto: 17 }, udp({ sport, dport }, new Uint8Array(20)));
  if (more) dgram[6] = 0x20;
  const frame = eth({ dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02", type: 0x0800 }, dgram);
  const skb = machine.skbs.alloc(256)!;
  const at = skb.put(frame.length);
  frame.forEach((byte, i) => skb.bytes[at + i] = byte);
  skb.macHeader = at;
  skb.networkHeader = at + 14;
  skb.protocol = 0x0800;
  return skb;
}

Deno.test("the hash of a flow is that of its other direction, of its fragments that of the addresses, and never 0", () => {
  using machine = new Machine({ debug: true });
  const hash = (...args: [string, number, string, number, boolean?]): number => {
    const skb = skbOf(machine, ...args);
    const h = flowDissect(skb, 12345);
    skb.consume();
    return h;
  };
  const seen = new Set<number>();
  for (let port = 1; port <= 500; port++) {
    const h = hash("10.0.0.1", port, "10.0.0.2", 53);
    assertEquals(hash("10.0.0.2", 53, "10.0.0.1", port), h);
    assert(h !== 0);
    seen.add(h);
  }
  assertEquals(seen.size, 500);
  assertEquals(hash("10.0.0.1", 1, "10.0.0.2", 53, true), hash("10.0.0.1", 2, "10.0.0.2", 53, true));
  assertEquals(machine.skbs.live, 0);
});

Deno.test("a connected socket keeps its transmit queue on whatever CPU it sends; what is set outlives a swap", () => {
  using machine = new Machine({ cpus: 4, autoAdvance: false, debug: true, strict: true });
  const cable = wire(machine);
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name }));
  const na = nic(a.net, "eth0", { wire: cable, queues: 4 });
  const nb = nic(b.net, "eth0", { wire: cable });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  a.neigh.set("eth0", "10.0.0.2", nb.dev.address);
  const ops = a.net.get(STEERING);
  for (let q = 0; q < 4; q++) ops.setXpsCpus(na.dev, q, [q]);
  b.sys.bind(b.sys.socket(2, 2, 17), 0, 7);
  const fd = a.sys.socket(2, 2, 17);
  a.sys.connect(fd, 0x0a000002, 7);
  const message = { addr: 0, port: 0, buf: new Uint8Array(8), off: 0, len: 8, flags: 0 };
  for (const cpu of [2, 0, 1, 3]) machine.onCpu(cpu, () => a.sys.sendmsg(fd, message, 0));
  assertEquals(na.queues.map((q) => q.stats.txPackets), [0, 0, 4, 0]);
  b.net.get(STEERING).setRpsCpus(nb.dev, 0, [3]);
  b.net.get(STEERING).setThreaded(nb.dev, true);
  b.net.swap("steering", steering());
  const before = machine.cpus[3].processed;
  machine.onCpu(0, () => a.sys.sendmsg(fd, message, 0));
  assertEquals(machine.cpus[3].processed, before, "the thread waits for its turn");
  machine.runUntilIdle(1e9);
  assertEquals([machine.cpus[3].processed - before, b.net.get(STEERING).rpsCpus(nb.dev, 0)], [1, [3]]);
  const lines = linuxCommand(b.net, ["cat", "/proc/net/softnet_stat"]).map((line) => line.split(" "));
  assertEquals(lines.map((columns) => columns.length), [15, 15, 15, 15]);
  assertEquals(lines.map((columns) => parseInt(columns[0], 16)), machine.cpus.map((cpu) => cpu.processed));
  assertEquals(parseInt(lines[3][9], 16), machine.cpus[3].receivedRps);
  const irqs = linuxCommand(b.net, ["cat", "/proc/interrupts"]);
  assertEquals(irqs.length, 1 + machine.irqs.size);
  assert(irqs[0].trim().split(/ +/).length === 4 && irqs.some((line) => line.endsWith("eth0-tx-3")));
});
