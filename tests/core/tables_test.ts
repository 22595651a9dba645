/** Data and small parts: drop reasons, errnos, sysctls, rings, tracepoints, devices. */
import { assert, assertEquals, assertFalse, assertStringIncludes, assertThrows } from "@std/assert";
import {
  DESC_DONE,
  DESC_EOP,
  DESC_FLAGS,
  DESC_OWN,
  DescRing,
  DROP,
  DropReasons,
  ERRNO,
  errnoName,
  EventBus,
  G_NET,
  G_USER,
  IFF_UP,
  Machine,
  macToString,
  netdevOps,
  NOT_SPECIFIED,
  PagePool,
  parseMac,
  SLOT_BUFFER,
  SLOT_LARGE,
  SLOT_SIZE,
  SLOT_SMALL,
  slotClass,
  strerror,
  Sysctl,
  TP_NETIF_RX,
} from "../../core/mod.ts";
import { sink, TestMachine } from "./fake.ts";

Deno.test("drop reasons: the constants are the table's numbers, every row says what and what to do", () => {
  const reasons = new DropReasons();
  for (const [name, id] of Object.entries(DROP)) {
    assertEquals(reasons.get(id).name, name);
    assertEquals(reasons.byName(name), id);
  }
  const list = reasons.list();
  assertEquals(list.length, Object.keys(DROP).length);
  assertEquals(new Set(list.map((r) => r.name)).size, list.length);
  for (const r of list) assert(r.text.endsWith(".") && r.advice !== "" && r.layer !== "", r.name);
});

Deno.test("drop reasons: plugins register their own; an unknown number is NOT_SPECIFIED", () => {
  const reasons = new DropReasons();
  const mine = { name: "MY_REASON", layer: "mine", text: "Because.", advice: "Do not." };
  const id = reasons.register(mine);
  assert(id >= 256);
  assertEquals([reasons.register(mine), reasons.get(id), reasons.byName("MY_REASON")], [id, mine, id]);
  assertEquals([reasons.get(9999).name, reasons.byName("?"), DROP.NOT_SPECIFIED], ["NOT_SPECIFIED", -1, NOT_SPECIFIED]);
});

Deno.test("errnos: names, numbers and sentences belong together", () => {
  assertEquals([ERRNO.EAGAIN, ERRNO.ECONNREFUSED, ERRNO.EPROTO], [11, 111, 71]);
  for (const [name, n] of Object.entries(ERRNO)) assertEquals([errnoName(n), errnoName(-n)], [name, name]);
  assertEquals([strerror(-98), errnoName(9999), strerror(9999)], ["address in use", "E9999", "unknown error 9999"]);
  assertEquals(new Set(Object.values(ERRNO)).size, Object.keys(ERRNO).length);
});

Deno.test("sysctls: default, range, several values, trees, unknown names with a guess", () => {
  const s = new Sysctl();
  const seen: number[][] = [];
  s.define("net.ipv4.ip_default_ttl", { value: 64, min: 1, max: 255, apply: (v) => seen.push([v]) });
  s.define("net.ipv4.udp_mem", { value: [1, 2, 3], apply: (_v, all) => seen.push([...all]) });
  const conf = new Map([["eth0.rp_filter", 0]]);
  s.defineTree("net.ipv4.conf.", {
    get: (rest) => conf.get(rest),
    set: (rest, v) => conf.has(rest) && (conf.set(rest, v), true),
    list: () => [...conf.keys()],
  });
  s.set("net.ipv4.ip_default_ttl", 32);
  s.set("net.ipv4.udp_mem", [4, 5, 6]);
  s.set("net.ipv4.conf.eth0.rp_filter", 1);
  assertEquals(seen, [[64], [1, 2, 3], [32], [4, 5, 6]]);
  assertEquals([s.get("net.ipv4.ip_default_ttl"), s.getAll("net.ipv4.udp_mem"), conf.get("eth0.rp_filter")], [32, [
    4,
    5,
    6,
  ], 1]);
  assertEquals(s.list(), ["net.ipv4.conf.eth0.rp_filter", "net.ipv4.ip_default_ttl", "net.ipv4.udp_mem"]);
  for (const v of [0, 256, NaN, Infinity]) assertThrows(() => s.set("net.ipv4.ip_default_ttl", v), RangeError);
  assertThrows(() => s.set("net.ipv4.udp_mem", 1), RangeError, "3 values");
  assertThrows(() => s.get("net.ipv4.ip_default_tt"), TypeError, "did you mean net.ipv4.ip_default_ttl");
  assertThrows(() => s.set("net.ipv4.conf.eth9.rp_filter", 1), TypeError);
});

Deno.test("sysctls: net.core belongs to the machine", () => {
  using machine = new TestMachine();
  const a = machine.createNet(), b = machine.createNet();
  assertEquals([a.sysctl.get("net.core.netdev_budget"), a.sysctl.get("net.core.netdev_budget_usecs")], [300, 2000]);
  a.sysctl.set("net.core.netdev_budget", 10);
  a.sysctl.set("net.core.netdev_budget_usecs", 500);
  assertEquals([b.sysctl.get("net.core.netdev_budget"), machine.budgetNs], [10, 500_000]);
  assertThrows(() => a.sysctl.get("net.core.nothing"), TypeError);
});

Deno.test("descriptor ring: owner bits, cursors, DMA mappings; full and empty never look alike", () => {
  using machine = new TestMachine();
  const ring = new DescRing(8);
  for (const size of [0, 7, 12, 1 << 17]) assertThrows(() => new DescRing(size), RangeError);
  const { slab } = machine.pages;
  ring.nextToUse = ring.nextToDevice = ring.nextToClean = 0x7ffffffc;
  for (let i = 0; i < 8; i++) ring.post(slab, 0, i * 100, 100, DESC_EOP);
  assertEquals([ring.unused, ring.pending, ring.done, ring.mappings], [0, 8, 0, 8]);
  const first = 0x7ffffffc & 7;
  assertEquals(ring.get(first, DESC_FLAGS), DESC_OWN | DESC_EOP);
  ring.complete(0);
  assertEquals(ring.get(first, DESC_FLAGS), DESC_DONE | DESC_EOP);
  assertEquals([ring.unused, ring.pending, ring.done], [0, 7, 1]);
  assertEquals(ring.clean(), first);
  assertEquals([ring.get(first, DESC_FLAGS), ring.unused, ring.mappings], [0, 1, 7]);
  for (let i = 0; i < 7; i++) ring.complete(0), ring.clean();
  assertEquals([ring.unused, ring.pending, ring.done, ring.mappings], [8, 0, 0, 0]);
});

Deno.test("slots: classes, references, a slab after the other, and an end", () => {
  assertEquals([0, 512, 513, 2048, 2049, 32768, 32769].map(slotClass), [0, 0, 1, 1, 2, 2, -1]);
  const pool = new PagePool({ slabBytes: 1 << 16, maxSlabs: 2 });
  const taken: [number, number][] = [];
  for (let page = pool.alloc(SLOT_LARGE); page >= 0; page = pool.alloc(SLOT_LARGE)) taken.push([pool.slab.index, page]);
  assertEquals(new Set(taken.map(([slab]) => slab)), new Set([0, 1]));
  assertEquals([pool.failures, pool.slotsInUse()], [1, taken.length]);
  const [, first] = taken[0];
  pool.slabs[0].get(first);
  pool.slabs[0].put(first);
  assertEquals([pool.slabs[0].refCount(first), pool.alloc(SLOT_LARGE)], [1, -1]);
  pool.slabs[0].put(first);
  assertEquals([pool.alloc(SLOT_LARGE), pool.slab.index], [first, 0]);
  assertThrows(() => new PagePool({ slabBytes: 1000 }), RangeError);
  // Slots of all classes from one slab: inside it, and none over another.
  const mixed = new PagePool({ slabBytes: 1 << 18, maxSlabs: 1 });
  const spans: [number, number][] = [];
  for (const cls of [SLOT_BUFFER, SLOT_SMALL, SLOT_LARGE, SLOT_BUFFER, SLOT_SMALL]) {
    for (let i = 0; i < 20; i++) {
      const page = mixed.alloc(cls);
      if (page >= 0) spans.push([page, page + SLOT_SIZE[cls]]);
    }
  }
  assertEquals(mixed.slotsInUse(), spans.length);
  spans.sort((x, y) => x[0] - y[0]);
  spans.forEach(([from, to], i) => assert(from >= 0 && to <= (spans[i + 1]?.[0] ?? 1 << 18)));
});

Deno.test("tracepoints: a group's bit is set while somebody listens; listeners that throw harm nobody", () => {
  const bus = new EventBus();
  const id = bus.define({ name: "mine:x", linux: "", group: G_USER });
  assertEquals(bus.define({ name: "mine:x", linux: "", group: G_USER }), id);
  assertEquals([bus.mask, bus.def(id).name, bus.def(TP_NETIF_RX).name], [0, "mine:x", "net:netif_rx"]);
  const log: unknown[] = [];
  const one = bus.on("mine:x", (_skb, a, b, obj) => log.push([a, b, obj]));
  assertEquals(bus.mask, G_USER);
  const all = bus.onAll((_skb, a, _b, _obj, which) => log.push([bus.def(which).name, a]));
  bus.hit(id, null, 1, 2, "o");
  one[Symbol.dispose]();
  bus.hit(TP_NETIF_RX, null, 3, 0, null);
  all[Symbol.dispose]();
  assertEquals([bus.mask, log], [0, [[1, 2, "o"], ["mine:x", 1], ["net:netif_rx", 3]]]);
  assertStringIncludes(assertThrows(() => bus.on("net:netif_r", () => {}), TypeError).message, "net:netif_rx");
  using machine = new Machine();
  const bad = machine.bus.on("net:netif_rx", () => {
    throw new Error("listener");
  });
  assertEquals(machine.bus.mask, G_NET);
  machine.bus.hit(TP_NETIF_RX, null, 0, 0, null);
  bad[Symbol.dispose]();
  assertEquals(machine.faults[0].who, "a listener of net:netif_rx");
});

Deno.test("devices: names, addresses, MTU, up and down, a veto", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  const { dev } = sink(net, "eth0", { address: "02:00:00:00:00:0a", maxMtu: 9000 });
  assertEquals([dev.ifindex, net.device("eth0") === dev, net.devByIndex[1] === dev], [1, true, true]);
  assertEquals([dev.address, dev.addrHi, dev.addrLo], ["02:00:00:00:00:0a", 0x200, 10]);
  assertThrows(() => sink(net, "eth0"), TypeError, "has one already");
  for (const name of ["", "a b", "a/b", "0123456789abcdef"]) assertThrows(() => sink(net, name), TypeError);
  assertThrows(() => dev.setAddress("02:00"), TypeError);
  assertEquals([parseMac("02:00:00:00:ff:ff"), parseMac("2:0:0:0:0:1")], [[0x200, 0xffff], null]);
  assertEquals(macToString(0xffff, -1), "ff:ff:ff:ff:ff:ff");
  assertEquals([67, 68, 9000, 9001, 1.5].map((mtu) => dev.setMtu(mtu)), [-22, 0, 0, -22, -22]);
  const log: string[] = [];
  using _on = net.netdevChain.register((e) => (log.push(e.kind), e.kind === "NETDEV_PRE_UP" ? 1 : 0));
  dev.close();
  assertEquals([dev.open(), dev.flags & IFF_UP], [-1, 0]);
  assertEquals(log, ["NETDEV_GOING_DOWN", "NETDEV_DOWN", "NETDEV_PRE_UP"]);
});

Deno.test("devices: a driver that cannot open, or throws, leaves the machine in order", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  const dev = net.registerNetdevice("a", { ops: netdevOps({ startXmit: () => 0, open: () => -ERRNO.ENODEV }) });
  assertEquals([dev.open(), dev.running], [-19, false]);
  const bad = net.registerNetdevice("b", {
    ops: netdevOps({
      startXmit: () => 0,
      open: () => {
        throw new Error("x");
      },
    }),
  });
  assertThrows(() => bad.open(), Error, "x");
  assertEquals([machine.depth, bad.running], [0, false]);
});

Deno.test("a random address is unicast and locally administered, and the same for the same seed", () => {
  const make = (seed: number) => {
    using machine = new TestMachine({ seed });
    return sink(machine.createNet()).dev.address;
  };
  assertEquals(make(1), make(1));
  assert(make(1) !== make(2));
  assertEquals(make(3).slice(0, 2), "02");
});

Deno.test("control block words are claimed by name, twelve in all", () => {
  using machine = new TestMachine();
  assertEquals([machine.claimCb("a", 4), machine.claimCb("b", 6), machine.claimCb("a", 4)], [0, 4, 0]);
  assertThrows(() => machine.claimCb("c", 3), RangeError, "2 of 12 are left");
  assertFalse(machine.closed);
});
