import { assert, assertEquals } from "@std/assert";
import {
  NEIGH_UPDATE_F_ADMIN,
  NEIGH_UPDATE_F_OVERRIDE,
  NEIGH_UPDATE_F_WEAK_OVERRIDE,
  type Neighbour,
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
} from "../../../plugins/network/neigh/mod.ts";
import { ERRNO } from "../../../core/mod.ts";
import { ip, type NeighBed, neighBed } from "./bed.ts";

const OVERRIDE = NEIGH_UPDATE_F_OVERRIDE;

function entry(b: NeighBed, n = 2): Neighbour {
  return b.table.create(b.dev, ip(n))!;
}

function learn(b: NeighBed, n: Neighbour, lo: number, state: number, flags = OVERRIDE): number {
  return b.machine.batch(() => b.table.update(n, 0x0200, lo, state, flags));
}

function reachable(b: NeighBed, n = 2): Neighbour {
  const e = entry(b, n);
  learn(b, e, n, NUD_REACHABLE);
  return e;
}

Deno.test("neigh: the first packet asks at once, later ones wait behind it, the answer frees them in order [T12]", () => {
  using b = neighBed();
  const n = entry(b);
  for (const mark of [1, 2, 3]) assertEquals(b.send(n, mark), 0);
  assertEquals([n.nudState, b.sent, b.asked.map((a) => a.mark)], [NUD_INCOMPLETE, [], [1]]);
  learn(b, n, 2, NUD_REACHABLE);
  assertEquals(b.sent.map((s) => s.mark), [1, 2, 3]);
  assertEquals(b.sent[0].dst, "02:00:00:00:00:02");
  assertEquals([n.nudState, n.arpQueueLenBytes], [NUD_REACHABLE, 0]);
  b.send(n, 4);
  assertEquals(b.sent.at(-1)!.mark, 4);
});

Deno.test("neigh: three questions a second apart, then FAILED, and every waiting packet is reported", () => {
  using b = neighBed();
  const n = entry(b);
  b.send(n, 1);
  b.send(n, 2);
  b.wait(2999);
  assertEquals(b.asked.map((a) => a.at), [0, 1000, 2000]);
  assertEquals([n.nudState, b.failed], [NUD_INCOMPLETE, []]);
  b.wait(2);
  assertEquals([n.nudState, b.failed, n.arpQueueLenBytes], [NUD_FAILED, [1, 2], 0]);
  assertEquals([b.table.stats.resFailed, b.net.dropTable()], [1, { NEIGH_FAILED: 2 }]);
  b.wait(60_000);
  assertEquals(b.asked.length, 3);
});

Deno.test("neigh: a packet to a FAILED entry starts the questions anew", () => {
  using b = neighBed();
  const n = entry(b);
  b.send(n, 1);
  b.wait(4000);
  b.asked.length = 0;
  b.send(n, 2);
  assertEquals([n.nudState, b.asked.length], [NUD_INCOMPLETE, 1]);
  learn(b, n, 2, NUD_REACHABLE);
  assertEquals(b.sent.map((s) => s.mark), [2]);
});

Deno.test("neigh: retransmitted questions carry the packet that came last", () => {
  using b = neighBed();
  const n = entry(b);
  b.send(n, 1);
  b.send(n, 2);
  b.wait(1500);
  assertEquals(b.asked.map((a) => a.mark), [1, 2]);
});

Deno.test("neigh: REACHABLE lasts from half to one and a half of base_reachable_time, drawn per device", () => {
  const times = new Set<number>();
  for (let seed = 1; seed <= 20; seed++) {
    using b = neighBed({ seed });
    const n = reachable(b);
    const { reachableTime } = b.table.parms(b.dev);
    assert(reachableTime >= 15_000 && reachableTime < 45_000, `${reachableTime}`);
    times.add(reachableTime);
    b.wait(reachableTime);
    assertEquals(n.nudState, NUD_REACHABLE);
    b.wait(3);
    assertEquals(n.nudState, NUD_STALE);
  }
  assert(times.size > 15);
});

Deno.test("neigh: a reachable entry keeps no virtual time running", () => {
  using b = neighBed();
  reachable(b);
  const before = b.now();
  b.machine.runUntilIdle();
  assertEquals(b.now(), before);
});

Deno.test("neigh: confirmation from above keeps an entry REACHABLE without a question", () => {
  using b = neighBed();
  const n = reachable(b);
  for (let i = 0; i < 30; i++) {
    b.wait(10_000);
    b.machine.batch(() => b.table.confirm(n));
  }
  assertEquals([n.nudState, b.asked.length], [NUD_REACHABLE, 0]);
});

Deno.test("neigh: a STALE entry is used at once and checked after 5 s by three unicast questions", () => {
  using b = neighBed();
  const n = entry(b);
  learn(b, n, 2, NUD_STALE);
  b.send(n, 1);
  assertEquals([n.nudState, b.sent.length, b.asked.length], [NUD_DELAY, 1, 0]);
  b.wait(4999);
  assertEquals([n.nudState, b.asked.length], [NUD_DELAY, 0]);
  b.wait(2001);
  assertEquals([n.nudState, b.asked.map((a) => a.at)], [NUD_PROBE, [5000, 6000, 7000]]);
  assertEquals(b.asked.every((a) => a.state === NUD_PROBE), true);
  b.send(n, 2); // the old address is used meanwhile
  assertEquals(b.sent.length, 2);
  b.wait(1001);
  assertEquals([n.nudState, b.asked.length], [NUD_FAILED, 3]);
});

Deno.test("neigh: an answer to a probe makes it REACHABLE again", () => {
  using b = neighBed();
  const n = entry(b);
  learn(b, n, 2, NUD_STALE);
  b.send(n, 1);
  b.wait(5500);
  assertEquals(n.nudState, NUD_PROBE);
  learn(b, n, 2, NUD_REACHABLE, 0);
  assertEquals(n.nudState, NUD_REACHABLE);
  b.wait(10_000);
  assertEquals([n.nudState, b.asked.length], [NUD_REACHABLE, 1]);
});

Deno.test("neigh: confirmation from above during DELAY spares the probe", () => {
  using b = neighBed();
  const n = entry(b);
  learn(b, n, 2, NUD_STALE);
  b.send(n, 1);
  b.wait(2000);
  b.machine.batch(() => b.table.confirm(n));
  b.wait(3001);
  assertEquals([n.nudState, b.asked.length], [NUD_REACHABLE, 0]);
});

Deno.test("neigh: a STALE entry that nobody uses asks nothing", () => {
  using b = neighBed();
  const n = entry(b);
  learn(b, n, 2, NUD_STALE);
  b.wait(600_000);
  assertEquals([n.nudState, b.asked.length], [NUD_STALE, 0]);
});

Deno.test("neigh: parked packets that leave through a STALE entry set it to DELAY, as in Linux", () => {
  using b = neighBed();
  const n = entry(b);
  b.send(n, 1);
  learn(b, n, 2, NUD_STALE);
  assertEquals([n.nudState, b.sent.length], [NUD_DELAY, 1]);
});

Deno.test("neigh: another address needs OVERRIDE", () => {
  using b = neighBed();
  const n = reachable(b);
  learn(b, n, 9, NUD_REACHABLE, 0);
  assertEquals([n.haLo, n.nudState], [2, NUD_REACHABLE]);
  learn(b, n, 9, NUD_STALE, OVERRIDE);
  assertEquals([n.haLo, n.nudState], [9, NUD_STALE]);
});

Deno.test("neigh: WEAK_OVERRIDE keeps the address and makes a connected entry suspect", () => {
  using b = neighBed();
  const n = reachable(b);
  learn(b, n, 9, NUD_REACHABLE, NEIGH_UPDATE_F_WEAK_OVERRIDE);
  assertEquals([n.haLo, n.nudState], [2, NUD_STALE]);
  learn(b, n, 9, NUD_REACHABLE, NEIGH_UPDATE_F_WEAK_OVERRIDE);
  assertEquals([n.haLo, n.nudState], [2, NUD_STALE]);
});

Deno.test("neigh: the same address with STALE is no news, and does not restart the locktime", () => {
  using b = neighBed();
  const n = reachable(b);
  const { updated } = n;
  b.wait(700);
  learn(b, n, 2, NUD_STALE);
  assertEquals([n.nudState, n.updated], [NUD_REACHABLE, updated]);
  learn(b, n, 9, NUD_STALE);
  assertEquals(n.updated, b.machine.jiffies);
});

Deno.test("neigh: PERMANENT and NOARP entries listen only to the administrator [A22]", () => {
  using b = neighBed();
  assertEquals(b.table.set(b.dev, "10.0.0.2", "02:00:00:00:00:02"), 0);
  const n = b.table.lookup(b.dev, ip(2))!;
  assertEquals(learn(b, n, 9, NUD_REACHABLE), -ERRNO.EPERM);
  assertEquals([n.nudState, n.haLo], [NUD_PERMANENT, 2]);
  assertEquals(learn(b, n, 9, NUD_STALE, OVERRIDE | NEIGH_UPDATE_F_ADMIN), 0);
  assertEquals([n.nudState, n.haLo], [NUD_STALE, 9]);
});

Deno.test("neigh: more bytes than unres_qlen_bytes push the oldest out, and one packet always waits", () => {
  using b = neighBed();
  const truesize = b.packet(0);
  const each = truesize.truesize;
  truesize.consume();
  b.net.sysctl.set("net.ipv4.neigh.eth0.unres_qlen_bytes", 3 * each + 1);
  const n = entry(b);
  for (let mark = 1; mark <= 10; mark++) b.send(n, mark);
  assertEquals([n.arpQueueLenBytes, b.table.stats.unresolvedDiscards], [3 * each, 7]);
  assertEquals(b.net.dropTable(), { NEIGH_QUEUEFULL: 7 });
  learn(b, n, 2, NUD_REACHABLE);
  assertEquals(b.sent.map((s) => s.mark), [8, 9, 10]);

  b.net.sysctl.set("net.ipv4.neigh.eth0.unres_qlen_bytes", 0);
  const m = entry(b, 3);
  for (const mark of [21, 22]) b.send(m, mark);
  learn(b, m, 3, NUD_REACHABLE);
  assertEquals(b.sent.at(-1)!.mark, 22);
});

Deno.test("neigh: with Linux's default 212,992 bytes of truesize wait for one entry", () => {
  using b = neighBed();
  const n = entry(b);
  for (let mark = 1; mark <= 400; mark++) b.send(n, mark);
  assert(n.arpQueueLenBytes <= 212_992 && n.arpQueueLenBytes > 212_992 - 2048);
  assert(b.table.stats.unresolvedDiscards > 0);
});

Deno.test("neigh: without probes an unknown entry fails at once", () => {
  using b = neighBed();
  b.net.sysctl.set("net.ipv4.neigh.eth0.mcast_solicit", 0);
  const n = entry(b);
  b.send(n, 1);
  assertEquals([n.nudState, b.asked.length, b.net.dropTable()], [NUD_FAILED, 0, { NEIGH_FAILED: 1 }]);
});

Deno.test("neigh: mcast_resolicit asks all once more when the unicast questions failed", () => {
  using b = neighBed();
  b.net.sysctl.set("net.ipv4.neigh.eth0.mcast_resolicit", 2);
  const n = entry(b);
  learn(b, n, 2, NUD_STALE);
  b.send(n, 1);
  b.wait(12_000);
  assertEquals([n.nudState, b.asked.length], [NUD_FAILED, 5]);
});

Deno.test("neigh: a report that sends to the failed entry again starts it anew and ends", () => {
  using b = neighBed();
  const n = entry(b);
  const failed: number[] = [];
  b.table.setSolicit({
    solicit: () => {},
    construct: () => {},
    errorReport(e, skb) {
      failed.push(skb.mark);
      skb.consume();
      if (failed.length < 3) b.table.output(e, b.packet(100 + failed.length));
    },
  });
  for (const mark of [1, 2]) b.send(n, mark);
  b.wait(3001);
  assertEquals([failed, n.nudState], [[1], NUD_INCOMPLETE]);
  learn(b, n, 2, NUD_REACHABLE);
  assertEquals(b.sent.map((s) => s.mark), [2, 101]);
});

Deno.test("neigh: without anybody who asks, packets wait and are dropped with Linux's reason", () => {
  using b = neighBed();
  b.table.setSolicit({ solicit: () => {}, errorReport: () => {}, construct: () => {} })();
  const n = entry(b);
  b.send(n, 1);
  b.wait(3001);
  assertEquals(b.net.dropTable(), { NEIGH_FAILED: 1 });
});

Deno.test("neigh: NOARP devices need no answer", () => {
  using b = neighBed({ flags: 0x80 });
  b.table.setSolicit({ solicit: () => {}, errorReport: () => {}, construct: () => {} })(); // the table's own rule
  const n = entry(b);
  assertEquals(n.nudState, NUD_NOARP);
  b.send(n, 1);
  assertEquals(b.sent.map((s) => s.dst), [b.dev.address]);
});

Deno.test("neigh: a packet without headroom gets a new head, a shared head stays as it is", () => {
  using b = neighBed();
  const n = reachable(b);
  const skb = b.machine.skbs.alloc(64)!;
  skb.put(20);
  skb.protocol = 0x0800;
  const twin = skb.clone()!;
  const before = twin.bytes.slice(twin.head, twin.end);
  b.machine.batch(() => b.table.output(n, skb));
  assertEquals([b.sent.length, twin.bytes.slice(twin.head, twin.end)], [1, before]);
  twin.consume();
});

Deno.test("neigh: the way down of a known neighbour copies nothing and allocates no packet", () => {
  using b = neighBed();
  const n = reachable(b);
  const skb = b.packet(1);
  const live = b.machine.skbs.live;
  b.machine.batch(() => b.table.output(n, skb));
  assertEquals([b.machine.ledger.total("cpu"), b.machine.ledger.total("header"), b.machine.skbs.live], [
    0,
    0,
    live - 1,
  ]);
});

Deno.test("neigh: probe has an entry resolved although no packet waits, and does nothing to one that is known", () => {
  using b = neighBed();
  const n = entry(b);
  b.machine.batch(() => b.table.probe(n));
  assertEquals([n.nudState, b.asked.map((a) => a.mark)], [NUD_INCOMPLETE, [null]]);
  learn(b, n, 2, NUD_REACHABLE);
  b.machine.batch(() => b.table.probe(n));
  assertEquals([n.nudState, b.asked.length], [NUD_REACHABLE, 1]);
});
