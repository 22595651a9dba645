import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { devQueueXmit, HrTimer, Machine, type NetDevice, type SkBuff } from "../../../core/mod.ts";
import {
  type NetemOptions,
  parsePercent,
  parseRate,
  parseSize,
  parseTime,
  qdisc,
} from "../../../plugins/link/qdisc/mod.ts";
import { eth, ipv4, udp } from "../../support/frames/build.ts";

/** A device that notes what it sends and when, with a discipline on it. */
interface Bed extends Disposable {
  machine: Machine;
  dev: NetDevice;
  /** Time in ms and length of each packet that left. */
  sent: { ms: number; len: number; first: number }[];
  send(len: number, fill?: number): void;
  frame(bytes: Uint8Array): void;
}

function bed(kind: string, options: Record<string, unknown>, seed = 1): Bed {
  const machine = new Machine({ seed, debug: true, strict: true, autoAdvance: false });
  const net = machine.createNet({ plugins: [qdisc()] });
  const sent: Bed["sent"] = [];
  const dev = net.registerNetdev("eth0", {
    startXmit(skb) {
      sent.push({ ms: machine.now / 1e6, len: skb.len, first: skb.bytes[skb.data] });
      skb.consume();
      return 0;
    },
  });
  net.setQdisc(dev, kind, options);
  const put = (bytes: Uint8Array): SkBuff => {
    const skb = machine.skbs.alloc(2048)!;
    skb.dev = dev;
    const at = skb.put(bytes.length);
    for (let i = 0; i < bytes.length; i++) skb.bytes[at + i] = bytes[i];
    return skb;
  };
  const give = (skb: SkBuff): void => {
    machine.enter();
    devQueueXmit(skb);
    machine.exit();
  };
  return {
    machine,
    dev,
    sent,
    send: (len, fill = 0) => give(put(new Uint8Array(len).fill(fill))),
    frame: (bytes) => {
      const skb = put(bytes);
      skb.protocol = 0x0800;
      skb.networkHeader = skb.data + 14;
      give(skb);
    },
    [Symbol.dispose]() {
      net[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
      machine[Symbol.dispose]();
    },
  };
}

const netem = (options: NetemOptions, seed = 1): Bed => bed("netem", { ...options }, seed);

Deno.test("netem: delay holds each packet for its time, in order", () => {
  using b = netem({ delay: "10ms" });
  for (let i = 0; i < 3; i++) {
    b.send(100 + i);
    b.machine.advance(1e6);
  }
  assertEquals(b.sent, []);
  b.machine.runUntilIdle();
  assertEquals(b.sent.map((s) => [s.ms, s.len]), [[10, 100], [11, 101], [12, 102]]);
});

Deno.test("netem: jitter spreads the delay and reorders; normal and pareto keep the mean", () => {
  for (const distribution of ["uniform", "normal", "pareto"] as const) {
    using b = netem({ delay: "50ms", jitter: "10ms", distribution, limit: 5000 });
    for (let i = 0; i < 2000; i++) b.send(60, i & 0xff);
    b.machine.runUntilIdle();
    const mean = b.sent.reduce((sum, s) => sum + s.ms, 0) / b.sent.length;
    assertEquals(b.sent.length, 2000);
    assertAlmostEquals(mean, 50, 1.5, distribution);
    assert(b.sent.some((s, i) => i > 0 && ((s.first - b.sent[i - 1].first) & 0xff) > 128), "reordered");
    if (distribution === "uniform") assert(b.sent.every((s) => s.ms >= 40 && s.ms <= 60));
  }
});

Deno.test("netem: loss is as large as asked, silent for the sender, counted, and the same for the same seed", () => {
  const run = (seed: number): number[] => {
    using b = netem({ loss: "20%", limit: 5000 }, seed);
    for (let i = 0; i < 2000; i++) b.send(60, i & 0xff);
    assertAlmostEquals(b.sent.length, 1600, 80);
    assertEquals(b.dev.net.dropTable(), { QDISC_DROP: 2000 - b.sent.length });
    return b.sent.map((s) => s.first);
  };
  assertEquals(run(5), run(5));
  assert(String(run(5)) !== String(run(6)));
});

Deno.test("netem: Gilbert and Elliott lose in bursts", () => {
  using b = netem({ gemodel: ["1%", "10%"], limit: 20_000 });
  for (let i = 0; i < 10_000; i++) b.send(60, i & 0xff);
  const lost = 10_000 - b.sent.length;
  // The share of time in the bad state: p / (p + r).
  assertAlmostEquals(lost / 10_000, 0.01 / 0.11, 0.03);
  let bursts = 0;
  for (let i = 1; i < b.sent.length; i++) if (((b.sent[i].first - b.sent[i - 1].first) & 0xff) > 1) bursts++;
  assertAlmostEquals(lost / bursts, 10, 3, "mean length of a burst is 1 / r");
});

Deno.test("netem: duplicates, overtakes, corrupts one bit, and obeys a rate", () => {
  {
    using b = netem({ duplicate: "10%", limit: 5000 });
    for (let i = 0; i < 1000; i++) b.send(60);
    assertAlmostEquals(b.sent.length, 1100, 40);
  }
  {
    using b = netem({ delay: "10ms", reorder: "25%", gap: 5 });
    for (let i = 0; i < 500; i++) b.send(60, i & 0xff);
    const early = b.sent.length;
    assert(early > 5 && early < 100, `${early} of 500 overtook`);
    b.machine.runUntilIdle();
    assertEquals(b.sent.length, 500);
  }
  {
    using b = netem({ corrupt: "100%" });
    const kept: number[] = [];
    for (let i = 0; i < 64; i++) b.send(1, 0);
    for (const s of b.sent) kept.push(s.first);
    assert(kept.every((v) => v !== 0 && (v & (v - 1)) === 0), "exactly one bit");
  }
  {
    using b = netem({ rate: "8mbit" });
    for (let i = 0; i < 10; i++) b.send(1000);
    b.machine.runUntilIdle();
    assertEquals(b.sent.map((s) => s.ms), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  }
});

Deno.test("tbf: a burst passes at once, then the rate holds; what would wait too long is dropped", () => {
  using b = bed("tbf", { rate: "8mbit", burst: 3000, limit: 10_000 });
  for (let i = 0; i < 20; i++) b.send(1000);
  assertEquals(b.sent.length, 3);
  assertEquals(b.dev.net.dropTable(), { QDISC_DROP: 7 });
  b.machine.runUntilIdle();
  const last = b.sent.at(-1)!;
  assertEquals(b.sent.length, 13);
  assertAlmostEquals(last.ms, 10, 0.01);
  assertEquals(b.dev.txq[0].qdisc!.backlog, 0);
});

Deno.test("tbf: the peak rate bounds a burst; a packet larger than the bucket is dropped", () => {
  using b = bed("tbf", { rate: "8mbit", burst: 5000, limit: 20_000, peakrate: "16mbit", mtu: 1000 });
  for (let i = 0; i < 4; i++) b.send(1000);
  assertEquals(b.sent.length, 1);
  b.machine.runUntilIdle();
  assertEquals(b.sent.map((s) => Math.round(s.ms * 10) / 10), [0, 0.5, 1, 1.5]);
  b.send(6000 % 2000 + 1001);
  assertEquals(b.dev.net.dropTable(), { QDISC_DROP: 1 });
});

const frameOf = (sport: number, len: number, ecn = 0): Uint8Array =>
  eth(
    { dst: "02:00:00:00:00:02", src: "02:00:00:00:00:01", type: 0x0800 },
    ipv4(
      { src: "10.0.0.1", dst: "10.0.0.2", proto: 17, ttl: 64, tos: ecn },
      udp({ sport, dport: 9 }, new Uint8Array(len)),
    ),
  );

Deno.test("tbf: with fq_codel below it the rate holds, and a thin flow passes a fat one", () => {
  using b = bed("tbf", { rate: "8mbit", burst: 3000, child: { kind: "fq_codel", limit: 1000 } });
  const q = b.dev.txq[0].qdisc!;
  let offered = 0;
  for (let t = 0; t < 1000; t++) {
    for (let i = 0; i < 2; i++, offered++) b.frame(frameOf(1000, 958));
    if (t % 20 === 0) b.frame(frameOf(2000, 58));
    b.machine.advance(1e6);
  }
  b.machine.runUntilIdle();
  const thin = b.sent.filter((s) => s.len < 200);
  assertEquals(thin.length, 50);
  // The fat flow alone would make it wait for all that is queued: half a second in the end.
  thin.forEach((s, i) => assert(s.ms - 20 * i < 10, `the thin packet ${i} left after ${s.ms - 20 * i} ms`));
  assert(q.drops > 50, `CoDel dropped ${q.drops}`);
  assertEquals(b.dev.net.dropped("QDISC_DROP"), q.drops);
  assertEquals(b.sent.length - thin.length, offered - q.drops);
  assertEquals([q.qlen, q.backlog], [0, 0]);
  const bytes = b.sent.reduce((sum, s) => sum + s.len, 0);
  assertAlmostEquals(b.sent.at(-1)!.ms, bytes / 1000 - 3, 2);
  assertThrows(() => b.dev.net.setQdisc(b.dev, "tbf", { rate: 8, burst: 9, child: { kind: "sfq" } }), TypeError, "sfq");
});

/** Serves one packet each ms, as a slow driver does. */
function drained(b: Bed, ms: number, offer: (t: number) => void): number[] {
  const waits: number[] = [];
  const q = b.dev.txq[0].qdisc!;
  const timer = new HrTimer(() => {
    b.dev.txq[0].stopped = false;
    const skb = q.ops.dequeue(q);
    if (skb !== null) {
      waits.push(skb.len);
      skb.consume();
    }
    b.dev.txq[0].stopped = true;
  });
  b.dev.txq[0].stopped = true;
  for (let t = 0; t < ms; t++) {
    offer(t);
    b.machine.hrtimers.start(timer, b.machine.now + 1e6);
    b.machine.advance(1e6);
  }
  return waits;
}

Deno.test("fq_codel: a thin flow passes a fat one, and the fat one's queue is kept short by drops", () => {
  using b = bed("fq_codel", { limit: 1000 });
  let thin = 0;
  const sizes = drained(b, 2000, (t) => {
    // The fat flow offers twice what leaves, the thin one a packet every 10 ms.
    for (let i = 0; i < 2; i++) b.frame(frameOf(1000, 1000));
    if (t % 10 === 0) {
      thin++;
      b.frame(frameOf(2000, 100));
    }
  });
  const got = sizes.filter((n) => n < 200).length;
  assert(thin - got <= 1, `${got} of ${thin} of the thin flow passed`);
  const q = b.dev.txq[0].qdisc!;
  assert(q.drops > 100, `CoDel dropped ${q.drops}`);
  assert(b.dev.net.dropped("QDISC_DROP") === q.drops);
});

Deno.test("fq_codel: what is capable of ECN is marked instead of dropped, its checksum stays right", () => {
  using b = bed("fq_codel", { limit: 10_000, target: "1ms", interval: "10ms" });
  let marked = 0;
  b.dev.txq[0].stopped = true;
  const q = b.dev.txq[0].qdisc!;
  for (let t = 0; t < 300; t++) {
    for (let i = 0; i < 2; i++) b.frame(frameOf(1000, 500, 2));
    b.machine.advance(1e6);
    const skb = q.ops.dequeue(q)!;
    const ip = skb.networkHeader;
    if ((skb.view.getUint8(ip + 1) & 3) === 3) marked++;
    assertEquals(skb.slab.ops.csum(ip, 20, 0), 0xffff);
    skb.consume();
  }
  assert(marked > 5, `${marked} marked`);
  assertEquals(q.drops, 0);
});

Deno.test("fq_codel: past its limit it drops from the front of the longest queue", () => {
  using b = bed("fq_codel", { limit: 100, drop_batch: 8 });
  b.dev.txq[0].stopped = true;
  for (let i = 0; i < 5; i++) b.frame(frameOf(2000, 100));
  for (let i = 0; i < 120; i++) b.frame(frameOf(1000, 1000));
  const q = b.dev.txq[0].qdisc!;
  assert(q.qlen <= 100);
  let thin = 0;
  for (let skb = q.ops.dequeue(q); skb !== null; skb = q.ops.dequeue(q)) {
    if (skb.len < 200) thin++;
    skb.consume();
  }
  assertEquals(thin, 5);
});

Deno.test("tc's amounts: units, and what is none names itself", () => {
  assertEquals([parseTime("10ms", "t"), parseTime("1s", "t"), parseTime(5, "t"), parseTime("1.5us", "t")], [
    1e7,
    1e9,
    5000,
    1500,
  ]);
  assertEquals([parseRate("20mbit", "r"), parseRate("1mbps", "r"), parseRate(1000, "r")], [2e7, 8e6, 1000]);
  assertEquals([parseSize("32kb", "s"), parseSize(1500, "s"), parsePercent("0.5%", "p")], [32_768, 1500, 0.005]);
  assertThrows(() => parseTime("10 minutes", "netem's delay"), TypeError, 'Cannot use netem\'s delay "10 minutes"');
  assertThrows(() => parsePercent("101%", "loss"), TypeError, "0% to 100%");
  assertThrows(() => bed("netem", { delay: "soon" }), TypeError, "netem's delay");
});
