import { assertEquals, assertThrows } from "@std/assert";
import { devQueueXmit, Machine } from "../../../core/mod.ts";
import { PRIO2BAND, qdisc, rtTos2priority } from "../../../plugins/link/qdisc/mod.ts";
import { qdiscBed, type QdiscCase, qdiscSuite } from "../../contracts/qdisc_suite.ts";

const PFIFO_FAST: QdiscCase = { kind: "pfifo_fast", plugin: qdisc, options: () => ({}) };
const PFIFO: QdiscCase = { kind: "pfifo", plugin: qdisc, options: (limit) => ({ limit }) };

const TBF: QdiscCase = {
  kind: "tbf",
  plugin: qdisc,
  // Bytes, so that what the suite sends is as many packets.
  options: (limit) => ({ rate: "1gbit", burst: "1mb", limit: limit * 72 }),
};
const FQ_CODEL: QdiscCase = { kind: "fq_codel", plugin: qdisc, options: (limit) => ({ limit }), tailDrop: false };
/** A discipline in a discipline. */
const SHAPED: QdiscCase = {
  kind: "tbf",
  plugin: qdisc,
  options: (limit) => ({ rate: "1gbit", burst: "1mb", child: { kind: "pfifo", limit } }),
};
const NETEM: QdiscCase = { kind: "netem", plugin: qdisc, options: (limit) => ({ limit }) };

for (const kind of [PFIFO_FAST, PFIFO, TBF, SHAPED, FQ_CODEL, NETEM]) qdiscSuite(kind);

Deno.test("qdisc: a device that comes up gets pfifo_fast, one without a queue length gets none [T14]", () => {
  using machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet({ plugins: [qdisc()] });
  const driver = { startXmit: () => 0 };
  assertEquals(net.registerNetdev("eth0", driver).txq[0].qdisc?.ops.name, "pfifo_fast");
  assertEquals(net.registerNetdev("veth0", driver, { txQueueLen: 0 }).txq[0].qdisc, null);
  assertEquals(net.registerNetdev("mq0", driver, { txQueues: 2 }).txq.map((t) => t.qdisc?.ops.name), [
    "pfifo_fast",
    "pfifo_fast",
  ]);
});

Deno.test("qdisc: pfifo_fast sends by band, and in each band in order [T16]", () => {
  using b = qdiscBed(PFIFO_FAST, 100);
  b.busy = true;
  devQueueXmit(b.packet(1000)); // the driver refuses this one: it is in front already
  // Priorities in rising order of band: 6 and 7 are band 0; 0 is band 1; 2 is band 2.
  for (const [len, priority] of [[201, 2], [101, 0], [1, 6], [202, 2], [102, 0], [2, 7]]) {
    devQueueXmit(b.packet(len + 60, priority));
  }
  b.wake();
  assertEquals(b.sent, [1000, 61, 62, 161, 162, 261, 262]);
});

Deno.test("qdisc: all 16 priorities go to Linux's bands, higher ones wrap", () => {
  assertEquals([...PRIO2BAND], [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  using b = qdiscBed(PFIFO_FAST, 100);
  for (let priority = 0; priority < 32; priority++) b.q.ops.enqueue(b.packet(60 + priority, priority), b.q);
  const order: number[] = [];
  for (let skb = b.q.ops.dequeue(b.q); skb !== null; skb = b.q.ops.dequeue(b.q)) {
    order.push(skb.priority);
    skb.consume();
  }
  const all = Array.from({ length: 32 }, (_, p) => p);
  assertEquals(order, [0, 1, 2].flatMap((band) => all.filter((p) => PRIO2BAND[p & 15] === band)));
});

Deno.test("qdisc: each band of pfifo_fast has its own room", () => {
  using b = qdiscBed(PFIFO_FAST, 2);
  for (const priority of [0, 0, 0, 2, 2, 2, 6, 6, 6]) b.q.ops.enqueue(b.packet(60, priority), b.q);
  assertEquals([b.q.qlen, b.q.drops], [6, 3]);
});

Deno.test("qdisc: the type of service chooses the priority as in Linux", () => {
  // tos: lowcost, reliability, throughput, delay; the low bit and the precedence do not count.
  const cases = [[0x00, 0], [0x02, 0], [0x04, 0], [0x08, 2], [0x0a, 2], [0x10, 6], [0x12, 6], [0x18, 4], [0x1e, 4]];
  for (const [tos, priority] of cases) {
    assertEquals(rtTos2priority(tos), priority, `tos ${tos}`);
    assertEquals(rtTos2priority(tos | 0xe1), priority, `tos ${tos | 0xe1}`);
  }
});

Deno.test("qdisc: pfifo takes a limit, and refuses what it does not know", () => {
  using b = qdiscBed(PFIFO, 4);
  const set = (options: Record<string, unknown>) => () => b.net.setQdisc(b.dev, "pfifo", options);
  for (const bad of [{ limit: 0 }, { limit: -1 }, { limit: 1.5 }, { limit: "4" }, { length: 4 }]) {
    assertThrows(set(bad), TypeError, "pfifo refuses");
  }
  assertThrows(() => b.net.setQdisc(b.dev, "pfifo_fast", { limit: 4 }), TypeError, "pfifo_fast refuses");
  set({})();
  for (let i = 0; i < 6; i++) b.dev.txq[0].qdisc!.ops.enqueue(b.packet(60), b.dev.txq[0].qdisc!);
  assertEquals(b.dev.txq[0].qdisc!.qlen, 4); // the device's txQueueLen
});

Deno.test("qdisc: noqueue gives every packet to the driver in the sender's context", () => {
  using b = qdiscBed(PFIFO_FAST, 4);
  b.net.setQdisc(b.dev, null);
  devQueueXmit(b.packet(60));
  assertEquals([b.sent, b.dev.txq[0].qdisc], [[60], null]);
  b.busy = true;
  devQueueXmit(b.packet(60));
  assertEquals(b.net.dropTable(), { FULL_RING: 1 });
});

Deno.test("qdisc: a run sends at most 64 packets, the rest in the next NET_TX", () => {
  using b = qdiscBed(PFIFO_FAST, 1000);
  b.busy = true;
  for (let i = 0; i < 200; i++) devQueueXmit(b.packet(60));
  b.busy = false;
  const before = b.machine.cpu.softirqRuns;
  b.wake();
  assertEquals([b.sent.length, b.q.qlen], [200, 0]);
  assertEquals(b.machine.cpu.softirqRuns > before, true);
});

Deno.test("qdisc: swapped under traffic: devices keep what they have, new ones get the new kind", () => {
  using b = qdiscBed(PFIFO_FAST, 4);
  b.busy = true;
  for (const len of [61, 62]) devQueueXmit(b.packet(len));
  b.net.swap("qdisc", qdisc());
  b.wake();
  assertEquals(b.sent, [61, 62]);
  assertEquals(b.net.registerNetdev("eth1", { startXmit: () => 0 }).txq[0].qdisc?.ops.name, "pfifo_fast");
});
