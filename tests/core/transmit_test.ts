/** Transmit: disciplines, drivers that refuse, stop and wake, what the device cannot do. */
import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  CHECKSUM_PARTIAL,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  devAddOffload,
  devAddTap,
  devQueueXmit,
  NET_XMIT_DROP,
  NET_XMIT_SUCCESS,
  NETDEV_TX_BUSY,
  type NetDevice,
  netdevOps,
  NETIF_F_SG,
  NETIF_F_TSO,
  netifTxStopQueue,
  netifTxWakeQueue,
  type Qdisc,
  type QdiscOps,
  SKB_GSO_TCPV4,
  SkbQueue,
  type SkBuff,
} from "../../core/mod.ts";
import { drain, ETH_P_TEST, packet, sink, TestMachine } from "./fake.ts";

/** A plain queue; `rate`: gives nothing although it holds packets. */
function fifo(name = "fifo", canBypass = true): QdiscOps & { gate: { open: boolean } } {
  const queue = (q: Qdisc) => q.priv as SkbQueue;
  const gate = { open: true };
  return {
    name,
    canBypass,
    gate,
    init: (q, options) => {
      q.priv = new SkbQueue();
      return options["bad"] === undefined;
    },
    enqueue: (skb, q) => {
      queue(q).enqueue(skb);
      q.qlen++;
      return NET_XMIT_SUCCESS;
    },
    dequeue: (q) => {
      const skb = gate.open ? queue(q).dequeue() : null;
      if (skb !== null) q.qlen--;
      return skb;
    },
    reset: (q) => {
      const n = q.qlen;
      while (q.qlen > 0) {
        q.dev.net.drop(queue(q).dequeue()!, 56);
        q.qlen--;
      }
      return n;
    },
  };
}

function bed(ops = fifo()) {
  const machine = new TestMachine({ autoAdvance: false });
  const net = machine.createNet();
  net.defaultQdisc = ops.name;
  net.registerQdisc(ops);
  const s = sink(net);
  const send = (n: number, mark = 0) => {
    const skb = packet(machine, s.dev, n);
    skb.mark = mark;
    return devQueueXmit(skb);
  };
  const lens = () => s.sent.map((skb) => skb.len);
  return {
    machine,
    net,
    s,
    send,
    lens,
    q: s.dev.txq[0].qdisc!,
    [Symbol.dispose]: () => (drain(s), machine[Symbol.dispose]()),
  };
}

Deno.test("[T15] the sender's own context runs the discipline and the driver; a softirq only runs a discipline that waits", () => {
  using b = bed();
  const contexts: number[] = [];
  using _w = b.net.wrapDevice(b.s.dev, (below) => ({
    ...below,
    startXmit: (skb, dev, more) => {
      contexts.push(b.machine.context);
      return below.startXmit(skb, dev, more);
    },
  }));
  b.net.batch(() => b.send(60));
  b.net.batch(() => {
    netifTxStopQueue(b.s.dev.txq[0]);
    b.send(61);
    b.send(62);
  });
  assertEquals(b.lens(), [60]);
  // The driver has room again: the discipline is scheduled, and NET_TX runs it.
  b.net.batch(() => {
    netifTxWakeQueue(b.s.dev.txq[0]);
    assertEquals(b.lens(), [60]);
  });
  assertEquals(b.lens(), [60, 61, 62]);
  assertEquals(contexts, [CTX_PROCESS, CTX_SOFTIRQ, CTX_SOFTIRQ]);
});

Deno.test("an empty discipline is bypassed; one that may not be is not", () => {
  using b = bed(fifo("strict", false));
  let queued = 0;
  using _on = b.machine.bus.on("qdisc:qdisc_enqueue", () => queued++);
  b.send(60);
  assertEquals([queued, b.lens()], [1, [60]]);
  using c = bed();
  using _on2 = c.machine.bus.on("qdisc:qdisc_enqueue", () => queued++);
  c.send(60);
  assertEquals([queued, c.lens()], [1, [60]]);
});

Deno.test("TX_BUSY: the queue stops, the packet is kept in front, and nothing is lost or reordered at wake", () => {
  using b = bed();
  b.s.busy = true;
  b.net.batch(() => {
    for (let i = 0; i < 5; i++) assertEquals(b.send(60 + i), NET_XMIT_SUCCESS);
  });
  assert(b.s.dev.txq[0].stopped);
  assertEquals([b.q.requeued.qlen, b.q.qlen, b.q.requeues], [1, 4, 1]);
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  // Refused again, with the next one taken already.
  assertEquals([b.q.requeued.qlen, b.q.qlen, b.q.requeues], [2, 3, 2]);
  b.s.busy = false;
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  assertEquals(b.lens(), [60, 61, 62, 63, 64]);
  assertEquals(b.q.packets, 5);
});

Deno.test("more follows: told for all but the last, also where a shaper holds packets back", () => {
  const ops = fifo();
  using b = bed(ops);
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => {
    for (let i = 0; i < 3; i++) b.send(60);
  });
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  assertEquals(b.s.more, [true, true, false]);
  drain(b.s);
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => {
    b.send(60);
    b.send(60);
  });
  using _w = b.net.wrapDevice(b.s.dev, (below) => ({
    ...below,
    startXmit: (skb, dev, more) => {
      ops.gate.open = false;
      return below.startXmit(skb, dev, more);
    },
  }));
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  assertEquals(b.s.more, [true, false]);
  ops.gate.open = true;
});

Deno.test("a queue that the driver stops while more was promised keeps its order", () => {
  using b = bed();
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => {
    for (let i = 0; i < 4; i++) b.send(60 + i);
  });
  using _w = b.net.wrapDevice(b.s.dev, (below) => ({
    ...below,
    startXmit: (skb, dev, more) => {
      netifTxStopQueue(dev.txq[0]);
      return below.startXmit(skb, dev, more);
    },
  }));
  for (let i = 1; i <= 4; i++) {
    b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
    assertEquals(b.lens().length, i);
  }
  assertEquals(b.lens(), [60, 61, 62, 63]);
});

Deno.test("one run of a discipline sends 64 packets; NET_TX goes on", () => {
  using b = bed();
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => {
    for (let i = 0; i < 200; i++) b.send(60);
  });
  let runs = 0;
  using _on = b.machine.bus.on("irq:softirq_entry", (_skb, nr) => runs += nr === 2 ? 1 : 0);
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  assertEquals(b.lens().length, 200);
  assertEquals(runs, 4);
});

Deno.test("without a discipline a packet that the driver refuses is dropped and counted", () => {
  using b = bed();
  b.net.setQdisc(b.s.dev, null);
  b.s.busy = true;
  assertEquals(b.send(60), NET_XMIT_DROP);
  netifTxStopQueue(b.s.dev.txq[0]);
  assertEquals(b.send(60), NET_XMIT_DROP);
  assertEquals([b.s.dev.stats.txDropped, b.net.dropTable()["FULL_RING"]], [2, 2]);
});

Deno.test("virtual devices that send to one another end at the recursion limit", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  let depth = 0;
  const dev: NetDevice = net.registerNetdev("loop", {
    startXmit: (skb) => {
      depth++;
      devQueueXmit(skb);
      return 0;
    },
  }, { txQueueLen: 0 });
  assertEquals(devQueueXmit(packet(machine, dev)), NET_XMIT_SUCCESS);
  assertEquals(depth, 9);
  assertEquals(net.dropTable(), { RECURSION_LIMIT: 1 });
  assertEquals(machine.cpu.xmitRecursion, 0);
});

Deno.test("a device that is down sends nothing; what its discipline held is dropped when it goes down", () => {
  using b = bed();
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => b.send(60));
  b.s.dev.close();
  assertEquals(b.net.dropTable(), { QUEUE_PURGE: 1 });
  assertEquals(b.send(60), NET_XMIT_DROP);
  assertEquals(b.net.dropTable(), { QUEUE_PURGE: 1, DEV_READY: 1 });
  b.s.dev.open();
  assertFalse(b.s.dev.txq[0].stopped);
  b.send(61);
  assertEquals(b.lens(), [61]);
});

Deno.test("a driver that throws loses that packet; the error names the device, the stack lives", () => {
  using machine = new TestMachine({ strict: false });
  const net = machine.createNet();
  const dev = net.registerNetdev("bad0", {
    startXmit: () => {
      throw new Error("boom");
    },
  });
  devQueueXmit(packet(machine, dev));
  assertEquals(net.dropTable(), { PLUGIN_ERROR: 1 });
  assertEquals(net.pluginErrors[0].who, "driver of bad0");
});

Deno.test("a driver that frees and says BUSY, or answers nonsense, is named; the packet is not put back", () => {
  for (const answer of [NETDEV_TX_BUSY, -5, undefined as unknown as number]) {
    using machine = new TestMachine({ strict: false });
    const net = machine.createNet();
    const startXmit = (skb: SkBuff): number => (skb.consume(), answer);
    devQueueXmit(packet(machine, net.registerNetdev("bad0", { startXmit })));
    assertEquals(net.pluginErrors.map((e) => [e.who, String(e.error).includes(`returned ${answer}`)]), [
      ["driver of bad0", true],
    ]);
    assertEquals(net.device("bad0")!.txq[0].stopped, false);
  }
});

Deno.test("another discipline: what the old one held is dropped and counted; wrong ones change nothing", () => {
  using b = bed();
  b.net.registerQdisc(fifo("other"));
  netifTxStopQueue(b.s.dev.txq[0]);
  b.net.batch(() => {
    b.send(60);
    b.send(61);
  });
  assertThrows(() => b.net.setQdisc(b.s.dev, "none"), TypeError, "fifo, other");
  assertThrows(() => b.net.setQdisc(b.s.dev, "other", { bad: 1 }), TypeError, "refuses");
  assertEquals([b.machine.depth, b.s.dev.txq[0].qdisc], [0, b.q]);
  assertEquals(b.net.setQdisc(b.s.dev, "other"), 2);
  assertEquals(b.net.dropTable(), { QUEUE_PURGE: 2 });
  assertEquals(b.q.drops, 2);
});

// ---- what the device cannot do

function built(machine: TestMachine, dev: NetDevice): SkBuff {
  const skb = packet(machine, dev, 40, 1);
  machine.skbs.addPage(skb, 100);
  const f = skb.frags[0];
  f.slab.bytes.fill(2, f.offset, f.offset + 100);
  return skb;
}

Deno.test("frags are made linear and partial checksums completed for a device that cannot", () => {
  using b = bed();
  const skb = built(b.machine, b.s.dev);
  skb.ipSummed = CHECKSUM_PARTIAL;
  skb.csumStart = skb.data + 20;
  skb.csumOffset = 6;
  devQueueXmit(skb);
  const [sent] = b.s.sent;
  assertEquals([sent.dataLen, sent.len, sent.ipSummed], [0, 140, 0]);
  assertEquals(b.machine.ledger.bytesAt("skb_linearize"), 100);
  b.s.dev.features = NETIF_F_SG;
  devQueueXmit(built(b.machine, b.s.dev));
  assertEquals(b.s.sent[1].dataLen, 100);
  const bad = packet(b.machine, b.s.dev);
  bad.ipSummed = CHECKSUM_PARTIAL;
  bad.csumStart = bad.data + 100;
  devQueueXmit(bad);
  assertEquals(b.net.dropTable(), { SKB_CSUM: 1 });
});

Deno.test("a super-packet is segmented for a device that cannot; refused segments go first, in order", () => {
  using b = bed();
  using _o = devAddOffload(b.net, {
    type: ETH_P_TEST,
    groReceive: () => 0,
    groComplete: () => {},
    gsoSegment: (skb) => {
      let first: SkBuff | null = null;
      for (let i = skb.gsoSegs; i > 0; i--) {
        const s = packet(b.machine, skb.dev, 60 + i);
        s.next = first;
        first = s;
      }
      return first;
    },
  });
  const big = (): SkBuff => {
    const skb = packet(b.machine, b.s.dev, 200);
    skb.gsoSize = 50;
    skb.gsoSegs = 4;
    skb.gsoType = SKB_GSO_TCPV4;
    return skb;
  };
  b.s.busy = true;
  devQueueXmit(big());
  b.send(70);
  assertEquals(b.q.requeued.qlen, 4);
  b.s.busy = false;
  b.net.batch(() => netifTxWakeQueue(b.s.dev.txq[0]));
  assertEquals(b.lens(), [61, 62, 63, 64, 70]);
  b.s.dev.features = NETIF_F_TSO;
  devQueueXmit(big());
  assertEquals(b.lens().at(-1), 200);
});

Deno.test("no offload for a super-packet: dropped with its reason", () => {
  using b = bed();
  const skb = packet(b.machine, b.s.dev, 200);
  skb.gsoSize = 50;
  devQueueXmit(skb);
  assertEquals(b.net.dropTable(), { SKB_GSO_SEG: 1 });
});

// ---- drivers and what is put around them

Deno.test("wraps stack, come off in any order, and stay over a driver that is replaced", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  const log: string[] = [];
  const driver = (name: string) => netdevOps({ startXmit: (skb) => (log.push(name), skb.consume(), 0) });
  const dev = net.registerNetdevice("eth0", { ops: driver("one") });
  dev.open();
  const wrap = (name: string) =>
    net.wrapDevice(dev, (below) => ({
      ...below,
      startXmit: (skb, d, more) => (log.push(name), below.startXmit(skb, d, more)),
    }));
  const send = () => {
    log.length = 0;
    devQueueXmit(packet(machine, dev));
    return log.join(" ");
  };
  const a = wrap("a"), b = wrap("b");
  assertEquals(send(), "b a one");
  const two = net.setDriver(dev, driver("two"));
  assertEquals(send(), "b a two");
  a[Symbol.dispose]();
  assertEquals(send(), "b two");
  two[Symbol.dispose]();
  b[Symbol.dispose]();
  assertEquals(send(), "one");
  assertEquals(dev.ops, dev.driver);
});

Deno.test("taps see what is sent, when it is given to the driver; one that throws harms nobody", () => {
  using machine = new TestMachine({ strict: false });
  const net = machine.createNet();
  const s = sink(net);
  const seen: [number, boolean][] = [];
  using _t = devAddTap(net, (skb, _dev, outgoing) => seen.push([skb.len, outgoing]));
  using _u = s.dev.addTap(() => {
    throw new Error("tap");
  });
  devQueueXmit(packet(machine, s.dev, 60));
  assertEquals(seen, [[60, true]]);
  assertEquals(net.pluginErrors.map((e) => e.who), ["a tap of eth0"]);
  assertEquals(drain(s), 1);
});

Deno.test("a driver's BUSY is a packet that stays the sender's", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  const s = sink(net, "eth0", { txQueueLen: 0 }, NETDEV_TX_BUSY);
  s.busy = true;
  assertEquals(devQueueXmit(packet(machine, s.dev)), NET_XMIT_DROP);
  assertEquals(s.sent.length, 0);
});
