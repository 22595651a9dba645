/** veth: the pair hands skbs over. Behaviour as Linux's drivers/net/veth.c shows it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  devAddPack,
  devQueueXmit,
  type Machine,
  NETDEV_TX_BUSY,
  NETIF_F_GRO,
  NETIF_F_HW_CSUM,
  NETIF_F_TSO,
  type SkBuff,
} from "../../../core/mod.ts";
import { VETH_RING_SIZE, type VethOptions, type VethPair, vethPair } from "../../../plugins/device/veth/mod.ts";
import { bareNet, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";

interface Bench {
  machine: Machine;
  pair: VethPair;
  got: SkBuff[];
  send(skb?: SkBuff): SkBuff;
}

/** A pair, both ends up; what b receives is kept. */
function bench(options: VethOptions = {}): Bench {
  const machine = debugMachine();
  const pair = vethPair(bareNet(machine, "A"), "veth0", bareNet(machine, "B"), "veth1", options);
  const got: SkBuff[] = [];
  devAddPack(pair.b.net, { type: TEST_TYPE, dev: null, func: (skb) => void got.push(skb) });
  pair.a.open();
  pair.b.open();
  const send = (skb = packet(pair.a.net, [pair.b.addrHi, pair.b.addrLo], pattern(100))): SkBuff => {
    skb.dev = pair.a;
    machine.batch(() => devQueueXmit(skb));
    return skb;
  };
  return { machine, pair, got, send };
}

function end(t: Bench): void {
  for (const skb of t.got) skb.consume();
  t.machine[Symbol.dispose]();
  assertEquals(t.machine.skbs.faults(), []);
  assertEquals(t.machine.pages.slotsInUse(), 0);
}

Deno.test("the very skb changes hands: no byte is copied, by CPU or DMA", () => {
  const t = bench();
  const skb = t.send();
  assertEquals(t.got[0] === skb, true);
  assertEquals(skb.dev, t.pair.b);
  assertEquals([t.machine.ledger.total("cpu"), t.machine.ledger.total("dma")], [0, 0]);
  end(t);
});

Deno.test("owner, route, mark and priority stay behind; hash, checksum state and super-packet go along", () => {
  const t = bench();
  let freed = 0;
  const skb = packet(t.pair.a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(100));
  skb.owner = { wfree: () => freed++, rfree() {}, error() {}, mark: 0, priority: 0, txQueue: -1 };
  skb.destructor = 1;
  skb.dst = { obsolete: false };
  [skb.mark, skb.priority, skb.hash, skb.ipSummed, skb.gsoSize] = [7, 6, 5, 3, 1000];
  t.send(skb);
  assertEquals(freed, 1);
  assertEquals([skb.owner, skb.dst, skb.mark, skb.priority], [null, null, 0, 0]);
  assertEquals([skb.hash, skb.ipSummed, skb.gsoSize], [5, 3, 1000]);
  end(t);
});

Deno.test("the mark stays where both ends are in one net", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const pair = vethPair(net, "veth0", net, "veth1");
  let mark = 0;
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (mark = skb.mark, skb.consume()) });
  pair.a.open();
  pair.b.open();
  const skb = packet(net, [pair.b.addrHi, pair.b.addrLo], pattern(10));
  skb.mark = 9;
  skb.dev = pair.a;
  machine.batch(() => devQueueXmit(skb));
  assertEquals(mark, 9);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("the carrier is there while both ends are up, and both hear of it", () => {
  const t = bench();
  const events: string[] = [];
  for (const dev of [t.pair.a, t.pair.b]) {
    dev.net.netdevChain.register((e) => void events.push(`${dev.name} ${e.kind} ${dev.carrier}`));
  }
  t.pair.b.close();
  assertEquals([t.pair.a.carrier, t.pair.b.carrier], [false, false]);
  assert(events.includes("veth0 NETDEV_CHANGE false"));
  t.send();
  assertEquals([t.pair.a.net.dropped("LINK_DOWN"), t.pair.a.stats.txDropped], [1, 1]);
  t.pair.b.open();
  assertEquals([t.pair.a.carrier, t.pair.b.carrier], [true, true]);
  assert(events.includes("veth0 NETDEV_CHANGE true"));
  end(t);
});

Deno.test("a full peer without a queue discipline drops with FULL_RING; polls take 64 at a time", () => {
  const t = bench();
  t.machine.enter();
  for (let i = 0; i < 300; i++) t.send();
  assertEquals(t.got.length, 0);
  assertEquals(t.pair.a.net.dropped("FULL_RING"), 300 - VETH_RING_SIZE);
  t.machine.exit();
  assertEquals(t.got.length, VETH_RING_SIZE);
  assertEquals(t.pair.b.napis[0].polls, VETH_RING_SIZE / 64 + 1);
  end(t);
});

Deno.test("with a queue discipline a full peer stops the queue and wakes it", () => {
  const t = bench({ txQueueLen: 1000 });
  const { a } = t.pair;
  a.net.registerQdisc({
    name: "tiny",
    canBypass: true,
    init: (q) => (q.priv = [], true),
    enqueue: (skb, q) => (q.qlen = (q.priv as SkBuff[]).push(skb), 0),
    dequeue: (q) => {
      const skb = (q.priv as SkBuff[]).shift() ?? null;
      q.qlen = (q.priv as SkBuff[]).length;
      return skb;
    },
    reset: (q) => {
      for (const skb of q.priv as SkBuff[]) skb.consume();
      return (q.priv as SkBuff[]).splice(0).length;
    },
  });
  a.net.setQdisc(a, "tiny");
  t.machine.enter();
  for (let i = 0; i < 300; i++) t.send();
  assertEquals([a.txq[0].stopped, a.stats.txDropped], [true, 0]);
  t.machine.exit();
  t.machine.runUntilIdle();
  assertEquals([t.got.length, a.txq[0].stopped], [300, false]);
  end(t);
});

Deno.test("startXmit that refuses leaves the packet with the caller", () => {
  const t = bench({ txQueueLen: 1000 });
  const { a } = t.pair;
  a.net.registerQdisc({
    name: "none",
    canBypass: false,
    init: () => true,
    enqueue: (skb) => (skb.consume(), 0),
    dequeue: () => null,
    reset: () => 0,
  });
  a.net.setQdisc(a, "none");
  t.machine.enter();
  const frame = (): SkBuff => packet(a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(10));
  for (let i = 0; i < VETH_RING_SIZE; i++) a.ops.startXmit(frame(), a, true);
  const extra = frame();
  assertEquals(a.ops.startXmit(extra, a, false), NETDEV_TX_BUSY);
  assertEquals(extra.live, 1);
  extra.consume();
  t.machine.exit();
  end(t);
});

Deno.test("a frame longer than the peer's MTU is dropped, a super-packet is not", () => {
  const t = bench();
  t.pair.b.setMtu(1000);
  t.send(packet(t.pair.a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(1004)));
  assertEquals(t.got.length, 1);
  t.send(packet(t.pair.a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(1005)));
  assertEquals([t.got.length, t.pair.a.net.dropped("FRAME_TOO_LONG"), t.pair.b.stats.rxLengthErrors], [1, 1, 1]);
  const big = packet(t.pair.a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(1405));
  big.gsoSize = 500;
  t.send(big);
  assertEquals(t.got.length, 2);
  end(t);
});

Deno.test("features are Linux's: offloads on, GRO off; and can be turned around", () => {
  const t = bench();
  const both = NETIF_F_HW_CSUM | NETIF_F_TSO;
  assertEquals([t.pair.a.features & both, t.pair.a.features & NETIF_F_GRO], [both, 0]);
  assertEquals(t.pair.a.txQueueLen, 0);
  const other = vethPair(t.pair.a.net, "v0", t.pair.b.net, "v1", { offloads: false, gro: true });
  assertEquals([other.a.features & both, other.b.features & NETIF_F_GRO], [0, NETIF_F_GRO]);
  end(t);
});

Deno.test("what waits for an end that goes down is dropped and counted", () => {
  const t = bench();
  t.machine.enter();
  for (let i = 0; i < 5; i++) t.send();
  t.pair.b.close();
  t.machine.exit();
  assertEquals([t.got.length, t.pair.b.stats.rxDropped, t.pair.b.net.dropped("QUEUE_PURGE")], [0, 5, 5]);
  end(t);
});

Deno.test("removing one end removes the other; two machines cannot be paired", () => {
  const t = bench();
  const { a, b } = t.pair;
  t.pair[Symbol.dispose]();
  assertEquals([a.net.device("veth0"), b.net.device("veth1")], [undefined, undefined]);
  const other = debugMachine();
  assertThrows(() => vethPair(a.net, "x0", bareNet(other), "x1"), TypeError, "two machines");
  assertThrows(() => vethPair(a.net, "x0", b.net, "a/b"), TypeError);
  assertEquals(a.net.device("x0"), undefined);
  other[Symbol.dispose]();
  end(t);
});

Deno.test("replies sent from inside the poll cross in the next one: no recursion", () => {
  const t = bench();
  let rounds = 0;
  let depth = 0;
  const bounce = (dev: typeof t.pair.a, to: typeof t.pair.a) => (skb: SkBuff): void => {
    assertEquals(++depth, 1);
    skb.consume();
    if (++rounds < 1000) {
      const next = packet(dev.net, [to.addrHi, to.addrLo], pattern(20));
      next.view.setUint16(next.data + 12, 0x88b6);
      next.dev = dev;
      devQueueXmit(next);
    }
    depth--;
  };
  using _a = devAddPack(t.pair.a.net, { type: 0x88b6, dev: null, func: bounce(t.pair.a, t.pair.b) });
  using _b = devAddPack(t.pair.b.net, { type: 0x88b6, dev: null, func: bounce(t.pair.b, t.pair.a) });
  const start = packet(t.pair.a.net, [t.pair.b.addrHi, t.pair.b.addrLo], pattern(20));
  start.view.setUint16(start.data + 12, 0x88b6);
  t.send(start);
  t.machine.runUntilIdle();
  assertEquals(rounds, 1000);
  end(t);
});
