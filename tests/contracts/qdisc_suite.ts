/**
 * The contract of a queue discipline, as tests that run over any of them: who owns a packet, what the counters say, what
 * a full one does, what is lost at a reset, and that its order is the same every time.
 */
import { assert, assertEquals } from "@std/assert";
import {
  devQueueXmit,
  Machine,
  type Net,
  NET_XMIT_DROP,
  NET_XMIT_SUCCESS,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  type NetDevice,
  netifTxWakeQueue,
  type Plugin,
  type Qdisc,
  type SkBuff,
} from "../../core/mod.ts";

/** A kind to be tested. */
export interface QdiscCase {
  /** `pfifo_fast`. */
  kind: string;
  /** The plugin that registers it. */
  plugin: () => Plugin;
  /** Options that let it hold `packets` of one priority. */
  options: (packets: number) => Record<string, unknown>;
  /** Packets of one priority leave as they came. Default true. */
  fifo?: boolean;
  /** A full one refuses the newcomer; false: it drops something else. Default true. */
  tailDrop?: boolean;
}

/** A device whose driver can be told to refuse. */
export interface QdiscBed extends Disposable {
  machine: Machine;
  net: Net;
  dev: NetDevice;
  q: Qdisc;
  /** Lengths of what the driver took, in order. */
  sent: number[];
  /** The driver has no room. */
  busy: boolean;
  /** A packet of `len` bytes. */
  packet(len: number, priority?: number): SkBuff;
  /** The driver has room again. */
  wake(): void;
}

/** A net with one device and the discipline on it, which holds `limit` packets. Ends with the check for leaks. */
export function qdiscBed(c: QdiscCase, limit: number): QdiscBed {
  const machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet({ plugins: [c.plugin()] });
  const bed: QdiscBed = {
    machine,
    net,
    dev: null as unknown as NetDevice,
    q: null as unknown as Qdisc,
    sent: [],
    busy: false,
    packet(len, priority = 0) {
      const skb = machine.skbs.alloc(2048)!;
      skb.dev = bed.dev;
      skb.priority = priority;
      skb.put(len);
      return skb;
    },
    wake() {
      bed.busy = false;
      machine.batch(() => netifTxWakeQueue(bed.dev.txq[0]));
    },
    [Symbol.dispose]() {
      net[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      machine[Symbol.dispose]();
    },
  };
  bed.dev = net.registerNetdev("eth0", {
    startXmit(skb) {
      if (bed.busy) return NETDEV_TX_BUSY;
      bed.sent.push(skb.len);
      skb.consume();
      return NETDEV_TX_OK;
    },
  }, { txQueueLen: limit });
  net.setQdisc(bed.dev, c.kind, c.options(limit));
  bed.q = bed.dev.txq[0].qdisc!;
  return bed;
}

/** Registers the tests of a kind. */
export function qdiscSuite(c: QdiscCase): void {
  const test = (name: string, fn: (b: QdiscBed) => void): void =>
    Deno.test(`qdisc contract: ${c.kind}: ${name}`, () => {
      using b = qdiscBed(c, 4);
      fn(b);
    });

  test("an empty one gives nothing", (b) => {
    assertEquals([b.q.ops.dequeue(b.q), b.q.qlen, b.q.backlog], [null, 0, 0]);
  });

  test("enqueue takes the packet, dequeue gives it, and the counters follow", (b) => {
    const skb = b.packet(100);
    assertEquals(b.q.ops.enqueue(skb, b.q), NET_XMIT_SUCCESS);
    assertEquals([b.q.qlen, b.q.backlog], [1, 100]);
    const out = b.q.ops.dequeue(b.q);
    assert(out === skb);
    assertEquals([b.q.qlen, b.q.backlog, out.next], [0, 0, null]);
    out.consume();
  });

  if (c.tailDrop !== false) tailDropTests(test);

  test("reset drops all and leaves it empty and usable", (b) => {
    for (let i = 0; i < 3; i++) b.q.ops.enqueue(b.packet(60, i), b.q);
    assertEquals(b.q.ops.reset(b.q), 3);
    assertEquals([b.q.qlen, b.q.backlog, b.q.ops.dequeue(b.q)], [0, 0, null]);
    assertEquals(b.net.dropTable(), { QUEUE_PURGE: 3 });
    b.q.ops.enqueue(b.packet(60), b.q);
    assertEquals(b.q.qlen, 1);
  });

  if (c.fifo !== false) {
    test("packets of one priority leave in the order in which they came", (b) => {
      for (const len of [61, 62, 63, 64]) b.q.ops.enqueue(b.packet(len), b.q);
      const out: number[] = [];
      for (let skb = b.q.ops.dequeue(b.q); skb !== null; skb = b.q.ops.dequeue(b.q)) {
        out.push(skb.len);
        skb.consume();
      }
      assertEquals(out, [61, 62, 63, 64]);
    });
  }

  test("while the driver has room nothing waits", (b) => {
    for (let i = 0; i < 20; i++) devQueueXmit(b.packet(60 + i));
    assertEquals([b.sent.length, b.q.qlen, b.q.drops], [20, 0, 0]);
  });

  test("what the driver refuses waits in front, and all of it leaves when the queue is woken", (b) => {
    b.busy = true;
    for (const len of [61, 62, 63]) devQueueXmit(b.packet(len));
    assertEquals([b.dev.txq[0].stopped, b.q.qlen, b.q.requeued.qlen, b.sent], [true, 2, 1, []]);
    b.wake();
    assertEquals([b.sent, b.q.qlen, b.q.backlog, b.q.requeued.qlen], [[61, 62, 63], 0, 0, 0]);
    assertEquals(b.net.drops.size, 0);
  });

  test("a device that goes down loses what waits, counted", (b) => {
    b.busy = true;
    for (let i = 0; i < 3; i++) devQueueXmit(b.packet(60));
    b.dev.close();
    assertEquals([b.q.qlen, b.q.backlog, b.q.drops], [0, 0, 3]);
    assertEquals(b.net.dropTable(), { QUEUE_PURGE: 3 });
  });

  test("replaced under traffic: what it held is lost and counted, the next one goes on", (b) => {
    b.busy = true;
    for (let i = 0; i < 3; i++) devQueueXmit(b.packet(60));
    assertEquals(b.net.setQdisc(b.dev, c.kind, c.options(4)), 3);
    assertEquals(b.net.dropTable(), { QUEUE_PURGE: 3 });
    b.wake();
    devQueueXmit(b.packet(70));
    assertEquals(b.sent, [70]);
  });

  test("two of them on two devices share nothing", (b) => {
    const other = b.net.registerNetdev("eth1", { startXmit: () => NETDEV_TX_BUSY }, { txQueueLen: 4 });
    b.net.setQdisc(other, c.kind, c.options(4));
    b.q.ops.enqueue(b.packet(60), b.q);
    assertEquals([b.q.qlen, other.txq[0].qdisc!.qlen], [1, 0]);
  });
}

/** What a full one does that refuses the newcomer. */
function tailDropTests(test: (name: string, fn: (b: QdiscBed) => void) => void): void {
  test("a full one drops, says so, and counts with Linux's reason", (b) => {
    const codes = Array.from({ length: 10 }, () => b.q.ops.enqueue(b.packet(60), b.q));
    assertEquals(codes.filter((rc) => rc === NET_XMIT_SUCCESS).length, 4);
    assertEquals(codes.filter((rc) => rc === NET_XMIT_DROP).length, 6);
    assertEquals([b.q.qlen, b.q.backlog, b.q.drops], [4, 240, 6]);
    assertEquals(b.net.dropTable(), { QDISC_DROP: 6 });
  });

  test("a stopped queue holds its limit, the rest is dropped at the sender", (b) => {
    b.busy = true;
    const codes = Array.from({ length: 8 }, (_, i) => devQueueXmit(b.packet(60 + i)));
    assertEquals(codes.filter((rc) => rc === NET_XMIT_DROP).length, 3);
    b.wake();
    assertEquals(b.sent, [60, 61, 62, 63, 64]);
    assertEquals(b.q.drops, 3);
  });
}
