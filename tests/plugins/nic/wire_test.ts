/** What a wire does to frames under way: delay, jitter, loss, reordering, duplication, corruption, rate, limit. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { nic, wire, type WireCounters, type WireOptions } from "../../../plugins/device/nic/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { TestMachine, type TwoHosts, twoHosts, udpSocket } from "../../support/hosts.ts";

const MS = 1e6;
const US = 1e3;
const IP_B = needIp("10.0.0.2", "address");

/** `a` sends numbered datagrams to `b`. */
function pair(options: WireOptions, seed = 1): TwoHosts & { send(n: number, size?: number): void; read(): number[] } {
  const t = twoHosts({ neigh: true, seed, wire: options });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: IP_B, port: 7 });
  const msg = msgHdr(new Uint8Array(2000));
  const got: number[] = [];
  const drain = (): void => {
    while (t.b.sys.recvmsg(rx, msg, 0) >= 0) {
      got.push(new DataView(msg.buf.buffer).getUint32(0));
      msg.len = 2000;
    }
  };
  let next = 0;
  return {
    ...t,
    // The receiver keeps up, so that its buffer loses nothing.
    send(n, size = 18): void {
      for (let i = 0; i < n; i++) {
        const bytes = new Uint8Array(size);
        new DataView(bytes.buffer).setUint32(0, next++);
        assertEquals(t.a.sys.sendmsg(tx, msgHdr(bytes), 0), size);
        drain();
      }
    },
    read(): number[] {
      drain();
      return got.splice(0);
    },
  };
}

function counters(t: TwoHosts): WireCounters {
  return t.wire.counters![0];
}

Deno.test("a delayed frame arrives to the nanosecond, one interrupt for all that are due at once", () => {
  using t = pair({ delayNs: 5 * MS });
  const irqs = t.b.link.get("eth0");
  const before = irqs.stats.rxPackets;
  t.machine.batch(() => t.send(3));
  assertEquals(t.wire.underWay, 3);
  t.machine.advance(5 * MS - 1);
  assertEquals(t.read(), []);
  t.machine.advance(1);
  assertEquals(t.read(), [0, 1, 2]);
  assertEquals(irqs.stats.rxPackets - before, 3);
  assertEquals(t.wire.underWay, 0);
});

Deno.test("frames that are due at the same time make one event and one interrupt", () => {
  using machine = new TestMachine();
  const cable = wire(machine, { delayNs: 1 * MS });
  const [a, b] = ["a", "b"].map((name) => nic(machine.createNet({ name }), "eth0", { wire: cable }));
  a.dev.open();
  b.dev.open();
  const frame = new Uint8Array(60).fill(0xff);
  const skbs = [0, 1, 2, 3].map(() => {
    const skb = machine.skbs.alloc(128)!;
    skb.reserve(32);
    const at = skb.put(60);
    new Uint8Array(skb.slab.view.buffer, skb.slab.view.byteOffset).set(frame, at);
    skb.dev = a.dev;
    return skb;
  });
  machine.batch(() => skbs.forEach((skb, i) => a.dev.ops.startXmit(skb, a.dev, i < 3)));
  const irqs = b.rxIrq.count;
  assertEquals(machine.hrtimers.armed, 1);
  machine.advance(1 * MS);
  assertEquals([b.dev.stats.rxPackets, b.rxIrq.count - irqs, machine.hrtimers.armed], [4, 1, 0]);
});

Deno.test("without a delay, loss and duplication act at once", () => {
  using t = pair({ loss: 0.1, duplicate: 0.05 });
  t.send(2000);
  const got = t.read();
  const { sent, lost, duplicated, delivered } = counters(t);
  assertEquals(sent, 2000);
  assertEquals(delivered, got.length);
  assertEquals(got.length, 2000 - lost + duplicated);
  assert(lost > 130 && lost < 270, `${lost} lost`);
  assert(duplicated > 50 && duplicated < 150, `${duplicated} twice`);
});

Deno.test("jitter stays within its bounds and may change the order", () => {
  using t = pair({ delayNs: 10 * MS, jitterNs: 4 * MS });
  for (let i = 0; i < 200; i++) {
    t.send(1);
    t.machine.advance(100 * US);
  }
  const got: number[] = [];
  for (let i = 0; i < 14; i++) {
    t.machine.advance(1 * MS);
    got.push(...t.read());
  }
  assertEquals(got.length, 200);
  assertNotEquals(got, got.toSorted((x, y) => x - y));
  t.send(1);
  t.machine.advance(6 * MS - 1);
  assertEquals(t.read(), []);
  t.machine.advance(8 * MS + 1);
  assertEquals(t.read(), [200]);
});

Deno.test("a reordered frame overtakes those under way", () => {
  using t = pair({ delayNs: 1 * MS, reorder: 0.05 });
  for (let i = 0; i < 1000; i++) {
    t.send(1);
    t.machine.advance(100 * US);
  }
  t.machine.advance(1 * MS);
  const got = t.read();
  assertEquals(got.toSorted((x, y) => x - y), Array.from({ length: 1000 }, (_, i) => i));
  const early = got.filter((n, i) => got.slice(i + 1).some((later) => later < n)).length;
  assertEquals(early, counters(t).reordered);
  assert(early > 25 && early < 80, `${early} reordered`);
});

Deno.test("a corrupted frame has a right FCS: the checksums of the protocols find it", () => {
  using t = pair({ corrupt: 0.2 });
  t.send(1000, 1000);
  const got = t.read();
  const { corrupted } = counters(t);
  assert(corrupted > 130 && corrupted < 270, `${corrupted} corrupted`);
  assertEquals(t.b.link.get("eth0").stats.rxErrors, 0);
  // A flip in the sender's MAC, or one in padding, does no harm.
  assert(1000 - got.length <= corrupted && 1000 - got.length > corrupted * 0.95, `${got.length} of 1000`);
  assert(t.b.net.dropped("UDP_CSUM") > 100);
});

Deno.test("the rate is kept to the bit: 1,538 bytes on the wire for 1,514", () => {
  using t = pair({ rateBps: 10_000_000 });
  t.machine.batch(() => t.send(10, 1472));
  const each = 1538 * 8 * 100;
  t.machine.advance(each - 1);
  assertEquals(t.read(), []);
  t.machine.advance(1);
  assertEquals(t.read(), [0]);
  t.machine.advance(8 * each);
  assertEquals(t.read().length, 8);
  t.machine.advance(each);
  assertEquals(t.read(), [9]);
});

Deno.test("beyond the limit frames are dropped, and counted", () => {
  using t = pair({ delayNs: 1 * MS, limit: 10 });
  t.machine.batch(() => t.send(25));
  t.machine.advance(1 * MS);
  assertEquals(t.read().length, 10);
  assertEquals(counters(t).overLimit, 15);
});

Deno.test("impair goes together with delay, and its FCS is checked for real", () => {
  let n = 0;
  using t = pair({
    delayNs: 1 * MS,
    impair: (frame) => {
      n++;
      if (n === 2) return null;
      if (n === 3) frame[50] ^= 1;
      return frame;
    },
  });
  t.send(4);
  t.machine.advance(1 * MS);
  assertEquals(t.read(), [0, 3]);
  assertEquals([counters(t).lost, t.b.link.get("eth0").stats.rxErrors], [1, 1]);
});

Deno.test("a cut loses what is under way", () => {
  using t = pair({ delayNs: 1 * MS });
  t.send(5);
  t.wire.setUp(false);
  assertEquals([t.wire.underWay, counters(t).lost], [0, 5]);
  t.wire.setUp(true);
  t.send(1);
  t.machine.advance(1 * MS);
  assertEquals(t.read(), [5]);
});

Deno.test("the wire changes while it runs; what is under way keeps its time", () => {
  using t = pair({});
  assertEquals([t.wire.plain, t.wire.counters], [true, null]);
  t.wire.change({ delayNs: 2 * MS });
  assertEquals(t.wire.plain, false);
  t.send(1);
  t.wire.change({ delayNs: 0 });
  t.send(1);
  assertEquals(t.read(), [1]);
  t.machine.advance(2 * MS);
  assertEquals(t.read(), [0]);
});

Deno.test("the same seed gives the same wire, another seed another", () => {
  const run = (seed: number): [number[], WireCounters] => {
    using t = pair(
      { delayNs: 3 * MS, jitterNs: 1 * MS, loss: 0.05, duplicate: 0.05, reorder: 0.05, corrupt: 0.02 },
      seed,
    );
    for (let i = 0; i < 300; i++) {
      t.send(1);
      t.machine.advance(200 * US);
    }
    t.machine.advance(10 * MS);
    return [t.read(), { ...counters(t) }];
  };
  assertEquals(run(7), run(7));
  assertNotEquals(run(7), run(8));
});

Deno.test("a super-packet does not cross a wire on which frames are under way", () => {
  using t = twoHosts({ neigh: true, nic: { offloads: { gso: true } } });
  const before = t.a.link.get("eth0").features;
  t.wire.change({ loss: 0.01 });
  assertNotEquals(t.a.link.get("eth0").features, before);
});

Deno.test("options that make no sense are refused by name", () => {
  using machine = new TestMachine();
  const refused: [WireOptions, string][] = [
    [{ loss: 1.5 }, "Cannot make a wire with loss 1.5: a probability is from 0 to 1"],
    [{ duplicate: NaN }, "Cannot make a wire with duplicate NaN: a probability is from 0 to 1"],
    [{ delayNs: -1 }, "Cannot make a wire with delayNs -1: it takes a number from 0"],
    [{ rateBps: Infinity }, "Cannot make a wire with rateBps Infinity: it takes a number from 0"],
    [{ jitterNs: 5 }, "Cannot make a wire with jitterNs 5: it is more than delayNs"],
    [{ reorder: 0.1 }, "Cannot make a wire with reorder 0.1: without delayNs no frame is under way to overtake"],
    [{ limit: 0 }, "Cannot make a wire with limit 0: it takes a whole number from 1"],
  ];
  for (const [options, message] of refused) assertThrows(() => wire(machine, options), RangeError, message);
});

Deno.test("gemodel: losses come in bursts as long as the bad state lasts", () => {
  using t = pair({ delayNs: MS, gemodel: [0.02, 0.25] });
  const got = new Set<number>();
  for (let i = 0; i < 4000; i++) {
    t.send(1);
    t.machine.advance(10 * US);
    for (const n of t.read()) got.add(n);
  }
  t.machine.advance(2 * MS);
  for (const n of t.read()) got.add(n);
  let bursts = 0;
  for (let i = 1; i < 4000; i++) if (!got.has(i) && got.has(i - 1)) bursts++;
  const lost = 4000 - got.size;
  assertEquals(counters(t).lost, lost);
  // p / (p + r) of the frames, 1 / r in a row.
  assert(lost > 200 && lost < 400, `lost ${lost}`);
  assert(lost / bursts > 3 && lost / bursts < 5, `${lost / bursts} in a row`);
  assertThrows(() => wire(t.machine, { gemodel: [2] }), RangeError, "gemodel");
  assertThrows(() => wire(t.machine, { gemodel: [] }), RangeError, "gemodel");
});
