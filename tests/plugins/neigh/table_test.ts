import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ERRNO, IFF_LOOPBACK, IFF_POINTOPOINT } from "../../../core/mod.ts";
import {
  neigh,
  NEIGH_UPDATE_F_OVERRIDE,
  NUD_FAILED,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_REACHABLE,
  NUD_STALE,
} from "../../../plugins/network/neigh/mod.ts";
import { ip, type NeighBed, neighBed } from "./bed.ts";

function learn(b: NeighBed, key: number, state: number): void {
  b.machine.batch(() => b.table.update(b.table.create(b.dev, ip(key))!, 0x0200, key, state, NEIGH_UPDATE_F_OVERRIDE));
}

Deno.test("neigh table: create finds what is there, lookup makes nothing, devices are apart", () => {
  using b = neighBed();
  const eth1 = b.net.registerNetdev("eth1", { startXmit: (skb) => (skb.consume(), 0) });
  assertEquals(b.table.lookup(b.dev, ip(2)), null);
  const n = b.table.create(b.dev, ip(2))!;
  assert(b.table.create(b.dev, ip(2)) === n && b.table.lookup(b.dev, ip(2)) === n);
  assert(b.table.create(eth1, ip(2)) !== n);
  assertEquals([b.table.list().length, b.table.stats.allocs, b.table.stats.lookups, b.table.stats.hits], [2, 2, 2, 1]);
});

Deno.test("neigh table: a thousand entries are found again, whatever was removed between", () => {
  using b = neighBed();
  const model = new Set<number>();
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(900), fc.boolean()), { maxLength: 300 }), (steps) => {
      for (const [key, add] of steps) {
        const text = `10.0.${key >> 8}.${key & 255}`;
        if (add) {
          b.table.create(b.dev, ip(key));
          model.add(key);
        } else assertEquals(b.table.del(b.dev, text), model.delete(key) ? 0 : -ERRNO.ENOENT);
      }
      assertEquals(b.table.list().length, model.size);
      for (const key of model) assertEquals(b.table.lookup(b.dev, ip(key))?.primaryKey, ip(key));
    }),
    { numRuns: 20 },
  );
});

Deno.test("neigh table: a sweep of a /16 stops at gc_thresh3, and who was there is still reached [A22]", () => {
  using b = neighBed();
  b.table.set(b.dev, "10.9.9.9", "02:00:00:00:09:09");
  learn(b, 65_000, NUD_REACHABLE);
  const peer = b.table.lookup(b.dev, ip(65_000))!;
  let full = 0;
  for (let i = 0; i < 60_000; i++) {
    const n = b.table.create(b.dev, ip(i));
    if (n === null) full++;
    else b.send(n, i);
    if (i % 4096 === 0) b.wait(1);
  }
  assert(b.table.list().length <= 1025, `${b.table.list().length}`);
  assertEquals(b.table.stats.tableFulls, full);
  assert(full > 58_000);
  b.sent.length = 0;
  b.send(peer, 1);
  b.send(b.table.lookup(b.dev, 0x0a090909)!, 2);
  assertEquals(b.sent.map((s) => s.mark), [1, 2]);
});

Deno.test("neigh table: after the sweep has failed there is room again [A22]", () => {
  using b = neighBed();
  for (let i = 0; i < 2000; i++) {
    const n = b.table.create(b.dev, ip(i));
    if (n !== null) b.send(n, i);
  }
  assertEquals(b.table.create(b.dev, ip(5000)), null);
  b.wait(4000);
  assertEquals(b.table.lookup(b.dev, ip(1))?.nudState, NUD_FAILED);
  assert(b.table.create(b.dev, ip(5000)) !== null);
  assert(b.table.list().length <= 513);
});

Deno.test("neigh table: PERMANENT entries do not count against the limits and are never collected [A22]", () => {
  using b = neighBed();
  for (let i = 0; i < 1500; i++) {
    assertEquals(b.table.set(b.dev, `10.1.${i >> 8}.${i & 255}`, "02:00:00:00:00:05"), 0);
  }
  assert(b.table.create(b.dev, ip(2)) !== null);
  b.wait(3_600_000);
  assertEquals(b.table.list().filter((n) => n.nudState === NUD_PERMANENT).length, 1500);
});

Deno.test("neigh table: forced collection spares what is young or in use", () => {
  using b = neighBed();
  b.table.gcThresh[1] = 10;
  b.table.gcThresh[2] = 20;
  for (let i = 0; i < 20; i++) learn(b, i, NUD_STALE);
  assertEquals(b.table.create(b.dev, ip(100)), null); // all of them are young
  b.send(b.table.lookup(b.dev, ip(0))!, 1); // this one is in use: DELAY
  b.wait(5_001);
  learn(b, 0, NUD_REACHABLE);
  assert(b.table.create(b.dev, ip(100)) !== null);
  assertEquals(b.table.lookup(b.dev, ip(0))?.nudState, NUD_REACHABLE);
  assertEquals(b.table.list().length, 11);
});

Deno.test("neigh table: below gc_thresh1 nothing is collected, above it what has been unused for gc_stale_time", () => {
  using b = neighBed();
  for (let i = 0; i < 100; i++) learn(b, i, NUD_STALE);
  b.wait(300_000);
  assertEquals(b.table.list().length, 100);
  for (let i = 100; i < 200; i++) learn(b, i, NUD_STALE);
  b.wait(50_000);
  assertEquals(b.table.list().length, 100); // the old hundred went at the next run
  b.wait(60_000);
  assertEquals(b.table.list().length, 100); // under the threshold again
});

Deno.test("neigh table: entries in use survive collection", () => {
  using b = neighBed();
  b.table.gcThresh[0] = 1;
  for (let i = 0; i < 10; i++) learn(b, i, NUD_STALE);
  for (let t = 0; t < 20; t++) {
    b.wait(20_000);
    b.send(b.table.lookup(b.dev, ip(3))!, t);
    learn(b, 3, NUD_REACHABLE);
  }
  assertEquals(b.table.list().map((n) => n.primaryKey), [ip(3)]);
});

Deno.test("neigh table: a device that goes down takes its entries and what waits with it", () => {
  using b = neighBed();
  b.table.set(b.dev, "10.0.0.9", "02:00:00:00:00:09");
  const n = b.table.create(b.dev, ip(2))!;
  b.send(n, 1);
  b.dev.close();
  assertEquals([b.table.list(), n.dead, b.net.dropTable()], [[], true, { QUEUE_PURGE: 1 }]);
  assertEquals(b.send(n, 2), -ERRNO.ENETDOWN);
  assertEquals(b.net.dropped("NEIGH_DEAD"), 1);
  b.wait(10_000);
  assertEquals(b.asked.length, 1);
});

Deno.test("neigh table: a new device address takes all entries, a lost carrier leaves those set by hand", () => {
  using b = neighBed();
  const both = (): void => {
    b.table.set(b.dev, "10.0.0.9", "02:00:00:00:00:09");
    learn(b, 2, NUD_REACHABLE);
  };
  both();
  b.dev.setCarrier(false);
  assertEquals(b.table.list().map((n) => n.nudState), [NUD_PERMANENT]);
  b.dev.setCarrier(true);
  both();
  b.dev.setAddress("02:00:00:00:00:77");
  assertEquals(b.table.list(), []);
});

Deno.test("neigh table: all next hops of a loopback or point-to-point device are one entry", () => {
  for (const flags of [IFF_LOOPBACK, IFF_POINTOPOINT]) {
    using b = neighBed({ flags });
    assert(b.table.create(b.dev, ip(2)) === b.table.create(b.dev, ip(3)));
    assertEquals(b.table.list().length, 1);
  }
});

Deno.test("neigh table: set, list and del are `ip neigh`", () => {
  using b = neighBed();
  assertEquals(b.table.set(b.dev, "10.0.0.2", "02:00:00:00:00:02"), 0);
  assertEquals(b.table.set(b.dev, "10.0.0.3", "02:00:00:00:00:03", NUD_NOARP), 0);
  assertEquals(b.table.set(b.dev, "10.0.0.2", "02:00:00:00:00:22", NUD_REACHABLE), 0);
  const n = b.table.lookup(b.dev, ip(2))!;
  assertEquals([n.haHi, n.haLo, n.nudState, b.table.list().length], [0x0200, 0x22, NUD_REACHABLE, 2]);
  assertEquals([b.table.del(b.dev, "10.0.0.2"), b.table.del(b.dev, "10.0.0.2"), n.dead], [0, -ERRNO.ENOENT, true]);
  assertThrows(() => b.table.set(b.dev, "10.0.0", "02:00:00:00:00:02"), TypeError, '"10.0.0"');
  assertThrows(() => b.table.set(b.dev, "10.0.0.2", "02:00"), TypeError, '"02:00"');
});

Deno.test("neigh table: setting an address by hand frees what waits, deleting an entry reports it", () => {
  using b = neighBed();
  b.send(b.table.create(b.dev, ip(2))!, 1);
  b.table.set(b.dev, "10.0.0.2", "02:00:00:00:00:02");
  assertEquals(b.sent.map((s) => s.mark), [1]);
  b.send(b.table.create(b.dev, ip(3))!, 2);
  b.table.del(b.dev, "10.0.0.3");
  assertEquals(b.failed, [2]);
});

Deno.test("neigh sysctl: Linux's names, defaults and units", () => {
  using b = neighBed();
  const defaults: Record<string, number> = {
    app_solicit: 0,
    base_reachable_time: 30,
    base_reachable_time_ms: 30_000,
    delay_first_probe_time: 5,
    gc_stale_time: 60,
    locktime: 100,
    mcast_resolicit: 0,
    mcast_solicit: 3,
    proxy_delay: 80,
    proxy_qlen: 64,
    retrans_time: 100,
    retrans_time_ms: 1000,
    ucast_solicit: 3,
    unres_qlen: 101,
    unres_qlen_bytes: 212_992,
  };
  for (const [name, value] of Object.entries(defaults)) {
    assertEquals(b.net.sysctl.get(`net.ipv4.neigh.eth0.${name}`), value, name);
    assertEquals(b.net.sysctl.get(`net.ipv4.neigh.default.${name}`), value, name);
  }
  const thresholds = [1, 2, 3].map((i) => b.net.sysctl.get(`net.ipv4.neigh.default.gc_thresh${i}`));
  assertEquals([...thresholds, b.net.sysctl.get("net.ipv4.neigh.default.gc_interval")], [128, 512, 1024, 30]);
  assertEquals(b.net.sysctl.list().filter((n) => n.startsWith("net.ipv4.neigh.eth0.")).length, 15);
});

Deno.test("neigh sysctl: a default reaches the devices that have no value of their own", () => {
  using b = neighBed();
  const get = (name: string): number => b.net.sysctl.get(`net.ipv4.neigh.${name}`);
  b.net.sysctl.set("net.ipv4.neigh.eth0.ucast_solicit", 7);
  b.net.sysctl.set("net.ipv4.neigh.default.ucast_solicit", 5);
  b.net.sysctl.set("net.ipv4.neigh.default.retrans_time_ms", 250);
  const eth1 = b.net.registerNetdev("eth1", { startXmit: () => 0 });
  assertEquals([get("eth0.ucast_solicit"), get("eth1.ucast_solicit"), get("eth0.retrans_time_ms")], [7, 5, 250]);
  b.net.sysctl.set("net.ipv4.neigh.eth1.base_reachable_time", 1000);
  const { reachableTime } = b.table.parms(eth1);
  assert(reachableTime >= 500_000 && reachableTime < 1_500_000);
  b.net.sysctl.set("net.ipv4.neigh.default.gc_thresh3", 4096);
  assertEquals(b.table.gcThresh[2], 4096);
});

Deno.test("neigh sysctl: unknown names and bad values are refused", () => {
  using b = neighBed();
  const set = (name: string, value: number) => () => b.net.sysctl.set(`net.ipv4.neigh.${name}`, value);
  assertThrows(set("eth0.nonsense", 1), TypeError, "Unknown sysctl");
  assertThrows(set("eth9.locktime", 1), TypeError, "Unknown sysctl");
  assertThrows(set("eth0.gc_thresh1", 1), TypeError, "Unknown sysctl");
  for (const bad of [-1, 1.5, NaN, Infinity]) assertThrows(set("eth0.locktime", bad), RangeError, "whole number");
});

Deno.test("neigh: a swap keeps entries, timers and what waits", () => {
  using b = neighBed();
  const waiting = b.table.create(b.dev, ip(2))!;
  b.send(waiting, 1);
  learn(b, 3, NUD_REACHABLE);
  b.net.swap("neigh", neigh());
  assertEquals(b.table.lookup(b.dev, ip(2)), waiting);
  b.wait(1500);
  assertEquals(b.asked.length, 2);
  learn(b, 2, NUD_REACHABLE);
  assertEquals(b.sent.map((s) => s.mark), [1]);
});

Deno.test("neigh: the same seed gives the same table twice", () => {
  const run = (): string => {
    using b = neighBed({ seed: 42 });
    for (let i = 0; i < 50; i++) b.table.create(b.dev, ip(i * 7));
    return JSON.stringify([b.table.list().map((n) => n.primaryKey), b.table.parms(b.dev).reachableTime]);
  };
  assertEquals(run(), run());
});
