/** Many queues: flows spread over them and keep their order, whatever is changed meanwhile; nothing goes uncounted. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { devAddPack, devQueueXmit, Machine, type Net } from "../../../core/mod.ts";
import { createHost } from "../../../mod.ts";
import { type Nic, nic, nicDevice, type NicOptions, type Wire, wire } from "../../../plugins/device/nic/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { qdisc } from "../../../plugins/link/qdisc/mod.ts";
import { STEERING, steering } from "../../../plugins/link/steering/mod.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { bytesOf } from "../../contracts/device_support.ts";
import { eth, ipv4, udp } from "../../support/frames/build.ts";

interface Bed {
  machine: Machine;
  cable: Wire;
  a: Nic;
  b: Nic;
  /** What arrived: flow and number, in order. */
  got: [flow: number, seq: number][];
  sent: number;
  /** CPU on which each arrived. */
  on: number[];
  send(flow: number): void;
  /** One entry of the machine: a burst. */
  burst(n: number, flows: number, from?: number): void;
}

const netOf = (machine: Machine, name: string): Net =>
  machine.createNet({ name, plugins: [ethernet(), qdisc(), steering()] });

function bed(a: NicOptions = {}, b: NicOptions = {}, cpus = 4, seed = 1): Bed {
  const machine = new Machine({ debug: true, strict: true, cpus, seed, autoAdvance: false });
  const cable = wire(machine);
  const na = nic(netOf(machine, "A"), "eth0", { wire: cable, queues: 4, ...a });
  const nb = nic(netOf(machine, "B"), "eth0", { wire: cable, queues: 4, ...b });
  const t: Bed = { machine, cable, a: na, b: nb, got: [], sent: 0, on: [], send, burst };
  devAddPack(nb.net, {
    type: 0x0800,
    dev: null,
    func: (skb) => {
      const view = new DataView(bytesOf(skb).buffer);
      t.got.push([view.getInt32(28), view.getInt32(32)]);
      t.on.push(machine.cpu.id);
      skb.consume();
    },
  });
  const numbers = new Map<number, number>();
  function send(flow: number): void {
    const seq = numbers.get(flow) ?? 0;
    numbers.set(flow, seq + 1);
    t.sent++;
    const payload = new Uint8Array(32);
    new DataView(payload.buffer).setInt32(0, flow);
    new DataView(payload.buffer).setInt32(4, seq);
    const dgram = ipv4({ src: "10.0.0.1", dst: "10.0.0.2", proto: 17 }, udp({ sport: 1000 + flow, dport: 7 }, payload));
    const frame = eth({ dst: nb.dev.address, src: na.dev.address, type: 0x0800 }, dgram);
    const skb = machine.skbs.alloc(256)!;
    skb.reserve(64);
    const at = skb.put(frame.length);
    frame.forEach((byte, i) => skb.bytes[at + i] = byte);
    skb.networkHeader = at + 14;
    skb.protocol = 0x0800;
    skb.dev = na.dev;
    devQueueXmit(skb);
  }
  function burst(n: number, flows: number, from = 0): void {
    machine.batch(() => {
      for (let i = 0; i < n; i++) send((from + i) % flows);
    });
  }
  na.dev.open();
  nb.dev.open();
  return t;
}

/** Each flow arrived in the order in which it was sent, with gaps only where something was lost. */
function assertInOrder(got: readonly [number, number][]): void {
  const last = new Map<number, number>();
  for (const [flow, seq] of got) {
    assert(seq > (last.get(flow) ?? -1), `flow ${flow}: ${seq} came after ${last.get(flow)}`);
    last.set(flow, seq);
  }
}

/** Every packet was delivered or counted where it was lost. */
function assertAccounted(t: Bed): number {
  const drops = (net: Net): number => Object.values(net.dropTable()).reduce((a, b) => a + b, 0);
  const lost = drops(t.a.net) + drops(t.b.net) + t.b.dev.stats.rxMissed;
  assertEquals(t.got.length + lost, t.sent);
  return lost;
}

function end(t: { machine: Machine }): void {
  t.machine.runUntilIdle();
  for (const net of t.machine.nets) assertEquals(net.dropped("NOT_SPECIFIED"), 0);
  t.machine[Symbol.dispose]();
  assertEquals(t.machine.skbs.faults(), []);
  assertEquals(t.machine.skbs.live, 0);
  assertEquals(t.machine.pages.slotsInUse(), 0);
}

const taken = (nic: Nic): number[] => nic.queues.map((q) => q.stats.rxPackets);

Deno.test("1,000 flows spread over 4 queues within 15 % of even, whatever the seed; each queue works on its CPU", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const t = bed({}, {}, 4, seed);
    for (let flow = 0; flow < 1000; flow += 50) t.burst(50, 1000, flow);
    assertEquals([t.got.length, assertAccounted(t)], [1000, 0]);
    for (const n of taken(t.b)) assert(n >= 250 * 0.85 && n <= 250 * 1.15, `seed ${seed}: ${taken(t.b)}`);
    assertEquals(t.machine.cpus.map((cpu) => cpu.processed), taken(t.b), "CPU i polls queue i");
    for (const n of t.a.queues.map((q) => q.stats.txPackets)) assert(n > 200 && n < 300, "the sender spreads, too");
    assertEquals(t.b.dev.stats.rxPackets, 1000);
    end(t);
  }
});

Deno.test("irq affinity: the line's new CPU takes its interrupts, polls and receives; a CPU that is not there is refused", () => {
  const t = bed();
  const { machine, b } = t;
  t.burst(64, 64);
  assertEquals(new Set(t.on), new Set([0, 1, 2, 3]));
  for (const q of b.queues) q.rxIrq.setAffinity(2);
  t.on.length = 0;
  const before = machine.cpus.map((cpu) => cpu.processed);
  t.burst(64, 64);
  assertEquals(new Set(t.on), new Set([2]));
  assertEquals(machine.cpus.map((cpu, i) => cpu.processed - before[i]), [0, 0, 64, 0]);
  assertThrows(() => b.rxIrq.setAffinity(4), RangeError, "CPU 4 is not there, the machine has 0 to 3");
  assertThrows(() => b.rxIrq.setAffinity(0.5), RangeError);
  assertInOrder(t.got);
  end(t);
});

Deno.test("system calls run on CPU 0, or where they are told to: XPS gives that CPU's queue", () => {
  const t = bed();
  const ops = t.a.net.get(STEERING);
  for (let q = 0; q < 4; q++) ops.setXpsCpus(t.a.dev, q, [3 - q]);
  for (let cpu = 0; cpu < 4; cpu++) {
    const sent = t.a.queues.map((q) => q.stats.txPackets);
    t.machine.onCpu(cpu, () => t.burst(10, 10));
    assertEquals(t.a.queues.map((q, i) => q.stats.txPackets - sent[i]).indexOf(10), 3 - cpu);
    assertEquals(t.machine.cpu.id, 0);
  }
  assertEquals([ops.xpsCpus(t.a.dev, 1), t.got.length], [[2], 40]);
  assertThrows(() => t.machine.onCpu(4, () => {}), RangeError, "CPU 4 is not there");
  end(t);
});

Deno.test("queue count changed under load: sent = delivered + what the old rings held, counted; flows stay in order", () => {
  const t = bed({}, { coalesce: { rxUsecs: 50, rxFrames: 1000 } });
  let lost = 0;
  for (const combined of [1, 8, 2, 64, 3, 4]) {
    // Moderation holds the interrupts back: the frames are in the rings when these go.
    t.burst(40, 40);
    const held = t.b.queues.reduce((n, q) => n + q.rx.done, 0);
    assertEquals(held, 40);
    assertEquals(t.b.setChannels({ combined }), held);
    lost += held;
    t.a.setChannels({ combined });
    assertEquals([t.b.channels.combined, t.b.queues.length, t.b.dev.txq.length, t.b.dev.napis.length], [
      ...[combined, combined, combined, combined],
    ]);
    t.burst(40, 40);
    t.machine.advance(1e6);
  }
  assertEquals(assertAccounted(t), lost);
  assertEquals([t.b.counters.lost, t.b.net.dropped("QUEUE_PURGE"), t.a.counters.lost], [lost, lost, 0]);
  assertEquals(t.machine.irqs.size, 2 * (4 + 4), "lines of queues that went are freed");
  assertInOrder(t.got);
  assertThrows(() => t.b.setChannels({ combined: 0 }), RangeError, "from 1 to 64");
  assertThrows(() => t.b.setChannels({ combined: 65 }), RangeError, "from 1 to 64");
  end(t);
});

Deno.test("what waits in queue disciplines is not lost when the number of queues changes", () => {
  const t = bed({ txRing: 8, coalesce: { txUsecs: 100, txFrames: 1000 } });
  t.burst(200, 20);
  const waiting = t.a.dev.txq.reduce((n, txq) => n + txq.qdisc!.qlen + txq.qdisc!.requeued.qlen, 0);
  assert(waiting > 100, `${waiting} wait`);
  t.a.setChannels({ combined: 2 });
  t.machine.advance(1e8);
  assertEquals(t.got.length + t.a.counters.lost, 200);
  assertInOrder(t.got);
  assertAccounted(t);
  end(t);
});

Deno.test("ring size and moderation of all queues and of one change under load; nothing goes uncounted", () => {
  const t = bed();
  t.burst(100, 30);
  t.b.setCoalesce({ rxUsecs: 20 }, 2);
  assertEquals(t.b.queues.map((q) => q.rxIrq.coalesce.usecs), [0, 0, 20, 0]);
  t.burst(100, 30);
  const held = t.b.queues.map((q) => q.rx.done);
  assert(held[2] > 0 && held[0] + held[1] + held[3] === 0, `${held}`);
  t.b.setCoalesce({ rxUsecs: 30 });
  assertEquals(t.b.setRings({ rx: 64, tx: 32 }), held[2]);
  assertEquals(t.b.queues.map((q) => [q.rx.size, q.tx.size]), Array(4).fill([64, 32]));
  t.burst(100, 30);
  t.machine.advance(1e6);
  assertEquals(assertAccounted(t), held[2]);
  assertInOrder(t.got);
  assertThrows(() => t.b.setCoalesce({ rxUsecs: 1 }, 4), RangeError, "there are 0 to 3");
  end(t);
});

Deno.test("a flow keeps its order while the indirection table, key and fields change with frames in the rings", () => {
  const t = bed({}, { coalesce: { rxUsecs: 10, rxFrames: 20 } });
  for (let i = 0; i < 200; i++) {
    t.burst(17, 12);
    if (i % 3 === 0) t.b.setRxfh({ equal: 1 + i % 4 });
    if (i % 3 === 1) t.b.setRxfh({ weight: [i % 2, 1, 3, i % 5] });
    if (i % 7 === 0) t.b.setRxfh({ key: Uint8Array.from({ length: 40 }, (_, k) => (k * i) & 255) });
    if (i % 11 === 0) t.b.setRxfh({ rxFlowHash: { udp4: i % 2 === 0 ? "sd" : "sdfn" } });
    if (i % 5 === 0) t.machine.advance(4000);
  }
  t.machine.advance(1e6);
  assertEquals([t.got.length, assertAccounted(t)], [200 * 17, 0]);
  assertInOrder(t.got);
  assert(taken(t.b).every((n) => n > 100), `${taken(t.b)}`);
  end(t);
});

Deno.test("RPS: one queue, its packets on the CPUs of the mask, by flow, in order; received_rps counts the wake-ups", () => {
  const t = bed({ queues: 1 }, { queues: 1 });
  const ops = t.b.net.get(STEERING);
  ops.setRpsCpus(t.b.dev, 0, [1, 2, 3]);
  for (let i = 0; i < 20; i++) t.burst(60, 60);
  assertEquals([t.got.length, assertAccounted(t)], [1200, 0]);
  assertInOrder(t.got);
  assertEquals(new Set(t.on), new Set([1, 2, 3]));
  const cpuOf = new Map(t.got.map(([flow], i) => [flow, t.on[i]]));
  assertEquals(t.got.map(([flow]) => cpuOf.get(flow)), t.on, "a flow stays on one CPU");
  const { cpus } = t.machine;
  assertEquals(cpus.map((cpu) => cpu.processed === 0), [true, false, false, false]);
  assertEquals(cpus.map((cpu) => cpu.receivedRps), [0, 20, 20, 20], "one wake a burst");
  assertEquals(ops.rpsCpus(t.b.dev, 0), [1, 2, 3]);
  assertThrows(() => ops.setRpsCpus(t.b.dev, 1, [1]), RangeError, "there are 0 to 0");
  assertThrows(() => ops.setRpsCpus(t.b.dev, 0, [9]), RangeError, "CPU 9 is not there");
  ops.setRpsCpus(t.b.dev, 0, []);
  t.burst(10, 10);
  assertEquals([cpus[0].processed, t.b.dev.rps], [10, null]);
  end(t);
});

Deno.test("frames that miss a full ring leave the hashes of those in it alone: RPS keeps each flow on its CPU", () => {
  const t = bed({}, { rxRing: 64, coalesce: { rxUsecs: 1 } });
  const ops = t.b.net.get(STEERING);
  for (const q of t.b.queues) ops.setRpsCpus(t.b.dev, q.index, [0, 1, 2, 3]);
  // One frame at the ring's start, then more than it takes, of flows in turn: the first that misses is of another flow.
  for (let i = 0; i < 20; i++) t.burst(33, 9);
  t.machine.runUntilIdle();
  assert(assertAccounted(t) > 0);
  assertInOrder(t.got);
  for (let flow = 0; flow < 9; flow++) {
    assertEquals(new Set(t.on.filter((_, i) => t.got[i][0] === flow)).size, 1, `flow ${flow}`);
  }
  end(t);
});

Deno.test("RPS: a full backlog drops on the CPU that should have received, with CPU_BACKLOG", () => {
  const t = bed({ queues: 1 }, { queues: 1 });
  t.machine.maxBacklog = 10;
  t.b.net.get(STEERING).setRpsCpus(t.b.dev, 0, [3]);
  t.burst(50, 1);
  assertEquals([t.got.length, t.b.net.dropped("CPU_BACKLOG"), t.machine.cpus[3].dropped], [10, 40, 40]);
  assertAccounted(t);
  end(t);
});

Deno.test("threaded NAPI: polls run in turns of their own, never in a softirq; switching loses nothing", () => {
  const t = bed();
  const ops = t.b.net.get(STEERING);
  const contexts: number[] = [];
  t.b.dev.addTap(() => contexts.push(t.machine.context));
  ops.setThreaded(t.b.dev, true);
  t.burst(100, 40);
  assertEquals(t.got.length, 0, "the threads wait for their turns");
  assert(t.b.queues.some((q) => q.napi.scheduled));
  t.burst(100, 40);
  ops.setThreaded(t.b.dev, false); // with work pending
  t.burst(100, 40);
  t.machine.runUntilIdle();
  assertEquals([t.got.length, assertAccounted(t)], [300, 0]);
  contexts.length = 0;
  ops.setThreaded(t.b.dev, true);
  t.burst(100, 40);
  t.machine.runUntilIdle();
  assertEquals(new Set(contexts), new Set([4]), "CTX_NAPI");
  t.b.setChannels({ combined: 6 });
  t.burst(100, 40);
  assertEquals(t.got.length, 400, "new queues have threads, too");
  t.machine.runUntilIdle();
  assertEquals(t.got.length, 500);
  assertInOrder(t.got);
  end(t);
});

Deno.test("threaded NAPI on virtual time that moves by itself: the event loop gives the threads their turns", async () => {
  using machine = new Machine({ cpus: 2, seed: 3 });
  const cable = wire(machine);
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name }));
  nic(a.net, "eth0", { wire: cable });
  const nb = nic(b.net, "eth0", { wire: cable, queues: 2 });
  b.net.get(STEERING).setThreaded(nb.dev, true);
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  for (let i = 0; i < 3; i++) assert((await a.ping("10.0.0.2")) !== null);
});

Deno.test("any sequence of changes under load: order within each flow, every loss counted, nothing leaks", () => {
  const change = fc.oneof(
    fc.record({ do: fc.constant("channels"), n: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant("peer"), n: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant("equal"), n: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant("affinity"), n: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ do: fc.constant("rps"), n: fc.integer({ min: 0, max: 15 }) }),
    fc.record({ do: fc.constant("threaded"), n: fc.integer({ min: 0, max: 1 }) }),
    fc.record({ do: fc.constant("usecs"), n: fc.integer({ min: 0, max: 30 }) }),
    fc.record({ do: fc.constant("ring"), n: fc.integer({ min: 5, max: 9 }) }),
    fc.record({ do: fc.constant("time"), n: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ do: fc.constant("root"), n: fc.integer({ min: 0, max: 1 }) }),
  );
  const steps = fc.array(fc.record({ change, burst: fc.integer({ min: 1, max: 60 }) }), { maxLength: 25 });
  fc.assert(
    fc.property(steps, (list) => {
      const t = bed({ txRing: 32 }, { rxRing: 64 });
      const ops = t.b.net.get(STEERING);
      for (const { change: c, burst } of list) {
        t.burst(burst, 9);
        if (c.do === "channels") {
          t.b.setRxfh({ default: true });
          t.b.setChannels({ combined: c.n });
        } else if (c.do === "peer") t.a.setChannels({ combined: c.n });
        else if (c.do === "equal") t.b.setRxfh({ equal: Math.min(c.n, t.b.queues.length) });
        else if (c.do === "affinity") { for (const q of t.b.queues) q.rxIrq.setAffinity(c.n); }
        else if (c.do === "rps") { for (const q of t.b.queues) ops.setRpsCpus(t.b.dev, q.index, maskOf(c.n)); }
        else if (c.do === "threaded") ops.setThreaded(t.b.dev, c.n === 1);
        else if (c.do === "usecs") t.b.setCoalesce({ rxUsecs: c.n });
        else if (c.do === "ring") t.b.setRings({ rx: 1 << c.n });
        else if (c.do === "time") t.machine.advance(c.n * 1000);
        else t.a.net.setQdisc(t.a.dev, c.n === 1 || t.a.queues.length === 1 ? "pfifo" : "mq");
      }
      t.machine.runUntilIdle();
      assertInOrder(t.got);
      assertAccounted(t);
      end(t);
    }),
    { numRuns: 60 },
  );
});

const maskOf = (bits: number): number[] => [0, 1, 2, 3].filter((cpu) => (bits & (1 << cpu)) !== 0);

Deno.test("mq: each transmit queue has a discipline of its own; one that is set as root serves all", () => {
  const t = bed({ txRing: 8, coalesce: { txUsecs: 100, txFrames: 1000 } });
  const { dev, net } = t.a;
  assertEquals(new Set(dev.txq.map((txq) => txq.qdisc)).size, 4);
  assertEquals(dev.txq.map((txq) => txq.qdisc!.ops.name), Array(4).fill("pfifo_fast"));
  net.setQdisc(dev, "pfifo", { limit: 50 });
  assertEquals(new Set(dev.txq.map((txq) => txq.qdisc)).size, 1);
  t.burst(200, 20);
  const q = dev.txq[0].qdisc!;
  assertEquals([q.qlen, q.shared], [50, true]);
  t.a.setChannels({ combined: 6 });
  assertEquals(dev.txq.map((txq) => txq.qdisc === q), Array(6).fill(true), "new queues too");
  t.machine.advance(1e8);
  assertEquals(t.got.length + q.drops + t.a.counters.lost, 200);
  assert(t.a.queues.filter((queue) => queue.stats.txPackets > 0).length >= 4);
  assertInOrder(t.got);
  net.setQdisc(dev, "mq");
  assertEquals(new Set(dev.txq.map((txq) => txq.qdisc)).size, 6);
  t.a.setChannels({ combined: 1 });
  assertThrows(() => net.setQdisc(dev, "mq"), TypeError, '"mq" wants several transmit queues');
  t.a.setChannels({ combined: 6 });
  t.burst(30, 30);
  t.machine.advance(1e8);
  assertAccounted(t);
  end(t);
});

Deno.test("the driver is swapped with 4 queues under traffic, to 2 and back; what its rings held is counted", () => {
  const machine = new Machine({ debug: true, strict: true, cpus: 4, autoAdvance: false });
  const cable = wire(machine);
  const options = (queues: number): NicOptions => ({ wire: cable, queues, coalesce: { rxUsecs: 10 } });
  const [a, b] = ["a", "b"].map((name) =>
    createHost({ machine, name, plugins: [nicDevice("eth0", { ...options(4), coalesce: {} })] })
  );
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  // A link that goes takes learnt neighbours along.
  a.neigh.set("eth0", "10.0.0.2", b.link.get("eth0").address);
  const rx = b.sys.socket(2, 2, 17);
  b.sys.bind(rx, 0, 7);
  const clients = Array.from({ length: 8 }, (_, i) => {
    const fd = a.sys.socket(2, 2, 17);
    a.sys.bind(fd, 0, 4000 + 31 * i);
    a.sys.connect(fd, 0x0a000002, 7);
    return fd;
  });
  a.sys.sendmsg(clients[0], msgHdr(Uint8Array.of(0)), 0);
  machine.runUntilIdle(1e9);
  const self = b.link.get("eth0").priv as Nic;
  for (const queues of [2, 4, 1, 4]) {
    b.net.swap("nic-eth0", nicDevice("eth0", options(queues)));
    assertEquals([self.queues.length, self.dev.txq.length], [queues, queues]);
    for (const fd of clients) a.sys.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0);
  }
  machine.runUntilIdle();
  let received = 0;
  while (b.sys.recvmsg(rx, msgHdr(new Uint8Array(9)), 0) >= 0) received++;
  const drops = [a, b].flatMap(({ net }) => Object.values(net.dropTable())).reduce((x, y) => x + y, 0);
  assertEquals([received + drops, received], [1 + 4 * 8, 1 + 8], "moderation held all but the last round back");
  assertEquals(b.net.dropped("QUEUE_PURGE"), self.counters.lost);
  end({ machine });
});

Deno.test("TCP over 4 queues and 4 CPUs, with and without offloads, RPS and threads: byte for byte", async () => {
  const all = { gso: true, rxCsum: true, gro: true };
  for (const [how, offloads] of [["rss", {}], ["rss", all], ["rps", { gro: true }], ["threaded", {}]] as const) {
    const machine = new Machine({ debug: true, strict: true, cpus: 4, seed: 5 });
    const cable = wire(machine);
    const hosts = ["a", "b"].map((name) => createHost({ machine, name }));
    const [a, b] = hosts;
    const nics = hosts.map(({ net }) => nic(net, "eth0", { wire: cable, queues: 4, offloads }));
    a.addr.add("eth0", "10.0.0.1/24");
    b.addr.add("eth0", "10.0.0.2/24");
    nics.forEach(({ net, dev }) => {
      if (how === "threaded") net.get(STEERING).setThreaded(dev, true);
      for (let q = 0; how === "rps" && q < 4; q++) net.get(STEERING).setRpsCpus(dev, q, [0, 1, 2, 3]);
    });
    using listener = b.listen({ port: 80 });
    const data = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 2654435761) >>> 13);
    const upload = async (k: number): Promise<void> => {
      const conn = await a.connect({ hostname: "10.0.0.2", port: 80 });
      const mine = data.map((byte) => byte ^ k);
      for (let at = 0; at < mine.length;) at += await conn.write(mine.subarray(at));
      await conn.closeWrite();
      const echo = new Uint8Array(mine.length);
      let n = 0;
      for (let got = 0; (got = await conn.read(echo.subarray(n)) ?? 0) > 0; n += got);
      conn.close();
      assertEquals(n, mine.length);
      assert(echo.every((byte, i) => byte === mine[i]), `${how}, connection ${k}`);
    };
    const serve = async (): Promise<void> => {
      const conn = await listener.accept();
      const buffer = new Uint8Array(65536);
      for (let n: number | null; (n = await conn.read(buffer)) !== null;) {
        for (let at = 0; at < n;) at += await conn.write(buffer.subarray(at, n));
      }
      conn.close();
    };
    await Promise.all([0, 1, 2, 3, 4, 5].flatMap((k) => [upload(k), serve()]));
    assert(nics[1].queues.filter((q) => q.stats.rxPackets > 5).length >= 2, "several queues had work");
    assert(machine.cpus.filter((cpu) => cpu.processed > 5).length >= 2, "several CPUs had work");
    assertEquals(nics.map((n) => n.dev.stats.rxMissed), [0, 0]);
    machine.runUntilIdle();
    machine[Symbol.dispose]();
    assertEquals(machine.skbs.faults(), []);
    assertEquals(machine.pages.slotsInUse(), 0);
  }
});
