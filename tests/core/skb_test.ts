/** Packets against a model of plain bytes: whatever is done to one, its bytes are right and nothing leaks. */
import { assert, assertEquals, assertFalse, assertNotEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import {
  copyFromUser,
  copyToUser,
  type Machine,
  MAX_SKB_FRAGS,
  skbPadTo,
  SkbQueue,
  skbTruesize,
  type SkBuff,
  SLOT_BUFFER,
  SLOT_LARGE,
} from "../../core/mod.ts";
import { TestMachine } from "./fake.ts";

/** All bytes of a packet, read through its layout. */
function bytesOf(skb: SkBuff): Uint8Array {
  const out: number[] = [];
  for (let i = skb.data; i < skb.tail; i++) out.push(skb.bytes[i]);
  for (let i = 0; i < skb.nrFrags; i++) {
    const f = skb.frags[i];
    for (let k = 0; k < f.size; k++) out.push(f.slab.bytes[f.offset + k]);
  }
  for (let part = skb.fragList; part !== null; part = part.next) out.push(...bytesOf(part));
  return Uint8Array.from(out);
}

/** A packet of the given linear part, frags and list, and its bytes. */
function build(machine: Machine, linear: number, frags: number[], list: number[][], seed: number): SkBuff {
  const pool = machine.skbs;
  const fill = (bytes: Uint8Array, at: number, n: number) => {
    for (let i = 0; i < n; i++) bytes[at + i] = seed = (seed * 1103515245 + 12345) >>> 8 & 0xff ^ i;
  };
  const skb = pool.alloc(128 + linear)!;
  skb.reserve(128);
  fill(skb.bytes, skb.put(linear), linear);
  for (const n of frags) {
    assertEquals(pool.addPage(skb, n), n);
    const f = skb.frags[skb.nrFrags - 1];
    fill(f.slab.bytes, f.offset, n);
  }
  let last: SkBuff | null = null;
  for (const [head, ...rest] of list) {
    const part = build(machine, head, rest, [], seed += 77);
    if (last === null) skb.fragList = part;
    else last.next = part;
    last = part;
    skb.len += part.len;
    skb.dataLen += part.len;
  }
  return skb;
}

function check(skb: SkBuff, model: Uint8Array): void {
  assertEquals(bytesOf(skb), model);
  assertEquals(skb.len, model.length);
  assertEquals(skb.dataLen, skb.len - skb.headlen);
  assert(skb.head <= skb.data && skb.data <= skb.tail && skb.tail <= skb.end);
}

const shape = fc.record({
  linear: fc.nat(200),
  frags: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 4 }),
  list: fc.array(fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
  seed: fc.nat(1e6),
});
const OPS = [
  "pull",
  "push",
  "trim",
  "mayPull",
  "linearize",
  "clone",
  "pskbCopy",
  "copy",
  "cowHead",
  "padTo",
  "free",
] as const;
const step = fc.record({ op: fc.constantFrom(...OPS), who: fc.nat(7), n: fc.nat(260) });

Deno.test("any sequence of operations keeps the bytes of every packet that shares them", () => {
  using machine = new TestMachine();
  fc.assert(
    fc.property(shape, fc.array(step, { maxLength: 30 }), (s, steps) => {
      const first = build(machine, s.linear, s.frags, s.list, s.seed);
      const live: { skb: SkBuff; model: Uint8Array }[] = [{ skb: first, model: bytesOf(first) }];
      for (const { op, who, n } of steps) {
        if (live.length === 0) break;
        const at = who % live.length;
        const it = live[at];
        apply(it, op, n, live);
        if (op === "free") live.splice(at, 1)[0].skb.consume();
        for (const l of live) check(l.skb, l.model);
      }
      for (const l of live) l.skb.consume();
      assertEquals(machine.skbs.faults(), []);
      assertEquals(machine.pages.slotsInUse(), 0);
    }),
    { numRuns: 300, seed: 7 },
  );
});

function apply(
  it: { skb: SkBuff; model: Uint8Array },
  op: (typeof OPS)[number],
  n: number,
  live: { skb: SkBuff; model: Uint8Array }[],
): void {
  const { skb } = it;
  switch (op) {
    case "pull":
      n = Math.min(n, skb.headlen);
      skb.pull(n);
      it.model = it.model.slice(n);
      break;
    case "push": {
      n = Math.min(n, 40);
      assert(skb.cowHead(n));
      const at = skb.push(n);
      for (let i = 0; i < n; i++) skb.bytes[at + i] = 0xee;
      it.model = Uint8Array.from([...new Uint8Array(n).fill(0xee), ...it.model]);
      break;
    }
    case "trim":
      skb.trim(n);
      it.model = it.model.slice(0, n);
      break;
    case "mayPull":
      assertEquals(skb.mayPull(n), n <= skb.len);
      if (n <= skb.len) assert(skb.headlen >= n);
      break;
    case "linearize":
      assert(skb.linearize());
      assertEquals(skb.dataLen, 0);
      break;
    case "clone":
    case "pskbCopy":
    case "copy": {
      if (live.length > 7) break;
      const twin = skb[op]()!;
      assertEquals(twin.id, skb.id);
      if (op === "clone") assertEquals(twin.head, skb.head);
      else assertNotEquals(twin.head, skb.head);
      live.push({ skb: twin, model: it.model });
      break;
    }
    case "cowHead":
      assert(skb.cowHead(n));
      assert(skb.headroom >= n && !skb.cloned);
      break;
    case "padTo":
      assert(skbPadTo(skb, n));
      if (n > it.model.length) it.model = Uint8Array.from([...it.model, ...new Uint8Array(n - it.model.length)]);
  }
}

Deno.test("header positions move with the head", () => {
  using machine = new TestMachine();
  const skb = build(machine, 60, [], [], 1);
  skb.resetMacHeader();
  skb.pull(14);
  skb.resetNetworkHeader();
  skb.pull(20);
  skb.resetTransportHeader();
  skb.csumStart = skb.transportHeader;
  const want = [skb.bytes[skb.macHeader], skb.bytes[skb.networkHeader], skb.bytes[skb.transportHeader]];
  const twin = skb.pskbCopy()!;
  assert(skb.cowHead(300));
  for (const s of [skb, twin]) {
    assertEquals(s.transportHeader, s.data);
    assertEquals(s.csumStart, s.transportHeader);
    assertEquals(s.transportHeader - s.networkHeader, 20);
    assertEquals(s.networkHeader - s.macHeader, 14);
  }
  assertEquals([twin.bytes[twin.transportHeader]], want.slice(2));
  const whole = skb.copy()!;
  assertEquals(whole.transportHeader, whole.data);
  for (const s of [skb, twin, whole]) s.consume();
});

Deno.test("[T7] headers are added by moving data down and stripped by moving it up; no byte moves", () => {
  using machine = new TestMachine();
  const skb = build(machine, 100, [], [], 1);
  const before = machine.ledger.snapshot().map((s) => s.bytes);
  const data = skb.data;
  for (const n of [8, 20, 14]) skb.push(n);
  assertEquals(skb.data, data - 42);
  assertEquals(skb.len, 142);
  for (const n of [14, 20, 8]) skb.pull(n);
  assertEquals(skb.data, data);
  assertEquals(machine.ledger.snapshot().map((s) => s.bytes), before);
  skb.consume();
});

Deno.test("[C2] a transmit clone has its own head and shares the payload: no payload byte is copied", () => {
  using machine = new TestMachine();
  const skb = build(machine, 32, [1460], [], 1);
  const cpu = machine.ledger.total("cpu");
  const twin = skb.pskbCopy()!;
  assertEquals(machine.ledger.total("cpu") - cpu, 0);
  assertEquals(machine.ledger.bytesAt("pskb_copy_head"), 32);
  assertEquals(twin.frags[0].page, skb.frags[0].page);
  assertEquals(skb.frags[0].slab.refCount(skb.frags[0].page), 2);
  twin.push(20);
  twin.bytes.fill(9, twin.data, twin.data + 20);
  assertEquals(bytesOf(skb).length, 1492);
  // The original again, while the first clone is still held.
  const again = skb.pskbCopy()!;
  assertEquals(machine.ledger.total("cpu") - cpu, 0);
  for (const s of [skb, twin, again]) s.consume();
});

Deno.test("what is longer than a slot is copied into frags", () => {
  using machine = new TestMachine({ slabBytes: 4 << 20 });
  const skb = build(machine, 40, [32768, 32768, 1000], [], 3);
  const twin = skb.copy()!;
  check(twin, bytesOf(skb));
  assertFalse(skb.linearize());
  check(skb, bytesOf(twin));
  skb.consume();
  twin.consume();
});

Deno.test("out of memory: an operation says so and leaves the packet as it was", () => {
  using machine = new TestMachine({ slabBytes: 1 << 16, maxSlabs: 1 });
  const skb = build(machine, 20, [400, 400], [], 3);
  const model = bytesOf(skb);
  const hog: SkBuff[] = [];
  for (const size of [32768, 2048, 512]) {
    for (let s = machine.skbs.alloc(size); s !== null; s = machine.skbs.alloc(size)) hog.push(s);
  }
  assert(machine.pages.failures > 0);
  assertEquals([skb.copy(), skb.pskbCopy()], [null, null]);
  assertFalse(skb.linearize());
  assertFalse(skb.cowHead(500));
  assertFalse(skbPadTo(skb, 1000));
  assertEquals(machine.skbs.addPage(skb, 10), 0);
  check(skb, model);
  const twin = skb.clone()!;
  assertFalse(twin.cowHead(0));
  check(twin, model);
  for (const s of [skb, twin, ...hog]) s.consume();
});

Deno.test("at most 17 frags", () => {
  using machine = new TestMachine();
  const skb = build(machine, 0, Array<number>(MAX_SKB_FRAGS).fill(8), [], 1);
  assertEquals(machine.skbs.addPage(skb, 8), 0);
  skb.consume();
});

Deno.test("a new packet is clean, whatever its buffer was before", () => {
  using machine = new TestMachine({ debug: false });
  const old = build(machine, 20, [4], [], 1);
  old.cb.fill(7);
  old.mark =
    old.hash =
    old.csum =
    old.csumStart =
    old.gsoSize =
    old.skbIif =
      5;
  old.ignoreDf = true;
  old.dst = { obsolete: false };
  old.consume();
  const skb = machine.skbs.alloc(64)!;
  assert(skb === old);
  assertEquals([...skb.cb], new Array(12).fill(0));
  assertEquals([skb.mark, skb.hash, skb.csum, skb.csumStart, skb.gsoSize, skb.skbIif, skb.nrFrags], [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
  assertEquals([skb.ignoreDf, skb.dst, skb.owner, skb.fragList], [false, null, null, null]);
  skb.consume();
});

Deno.test("truesize is what Linux's allocator would take", () => {
  assertEquals([1, 384, 385, 1500, 1920, 4096, 32768].map(skbTruesize), [
    960,
    960,
    1280,
    2304,
    2304 + 2048,
    8448,
    65792,
  ]);
});

Deno.test("the owner is told once, when the packet dies, of its truesize", () => {
  using machine = new TestMachine();
  const told: [string, number][] = [];
  const owner = {
    wfree: (n: number) => told.push(["w", n]),
    rfree: (n: number) => told.push(["r", n]),
    error: () => {},
    mark: 0,
    priority: 0,
    txQueue: -1,
  };
  const skb = build(machine, 10, [], [], 1);
  skb.owner = owner;
  skb.destructor = 1;
  const twin = skb.clone()!;
  skb.consume();
  twin.consume();
  const other = build(machine, 10, [], [], 1);
  other.owner = owner;
  other.destructor = 2;
  other.orphan();
  other.consume();
  assertEquals(told, [["w", 960], ["r", 960]]);
});

Deno.test("queues keep order, requeue goes first, purge frees", () => {
  using machine = new TestMachine();
  const q = new SkbQueue();
  const [a, b, c] = [1, 2, 3].map((n) => build(machine, n, [], [], 1));
  q.enqueue(a);
  q.enqueue(b);
  q.requeue(c);
  assertEquals(q.qlen, 3);
  assert(q.dequeue() === c && c.next === null);
  c.consume();
  assertEquals(q.purge(), 2);
  assertEquals([q.dequeue(), q.head, q.tail, q.qlen], [null, null, null, 0]);
});

// ---- the debug pool

function forgetful(machine: Machine): SkBuff {
  return machine.skbs.alloc(64)!;
}

Deno.test("a leak names who allocated it and who held it last", () => {
  const machine = new TestMachine();
  const skb = forgetful(machine);
  skb.holder = "hook thief";
  const [fault] = machine.skbs.faults();
  assertEquals([fault.kind, fault.id, fault.holder], ["leak", skb.id, "hook thief"]);
  assertStringIncludes(fault.site, "forgetful (core/skb_test.ts:");
  machine.skbs.site = "my driver";
  const named = forgetful(machine);
  assertEquals(machine.skbs.faults()[1].site, "my driver");
  skb.consume();
  named.consume();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("past the first allocations one place in 64 is noted, or all", () => {
  for (const [sites, noted] of [[100, 100 + 2], [Infinity, 228]]) {
    const machine = new TestMachine();
    machine.skbs.sites = sites;
    const skbs = Array.from({ length: 228 }, () => forgetful(machine));
    const places = machine.skbs.faults().map((f) => f.site);
    assertEquals(places.filter((p) => p.startsWith("forgetful (core/skb_test.ts:")).length, noted);
    assertEquals(places.filter((p) => p === "not noted: set machine.skbs.sites to Infinity").length, 228 - noted);
    for (const skb of skbs) skb.consume();
    assertEquals(machine.skbs.faults(), []);
  }
});

Deno.test("a double free is caught where it happens, and does no harm", () => {
  const machine = new TestMachine();
  const skb = forgetful(machine);
  const other = forgetful(machine);
  skb.consume();
  skb.consume();
  const [fault, ...more] = machine.skbs.faults();
  assertEquals([fault.kind, fault.id, machine.skbs.doubleFrees], ["double free", skb.id, 1]);
  assertStringIncludes(fault.site, "forgetful");
  assertStringIncludes(fault.at, "core/skb_test.ts:");
  assertEquals(more.map((f) => f.id), [other.id]);
  other.consume();
  assertEquals(machine.pages.slotsInUse(), 0);
});

Deno.test("push, put and pull past the buffer's ends are faults", () => {
  const machine = new TestMachine();
  for (const wrong of [(s: SkBuff) => s.push(129), (s: SkBuff) => s.put(4000), (s: SkBuff) => s.pull(11)]) {
    const skb = build(machine, 10, [], [], 1);
    wrong(skb);
    const faults = machine.skbs.faults();
    assertEquals(faults.filter((f) => f.kind === "overrun").length, 1);
    skb.consume();
  }
});

Deno.test("a slot that is given back twice is a fault, and the free list stays whole", () => {
  const machine = new TestMachine();
  const page = machine.pages.alloc(SLOT_BUFFER);
  machine.pages.slab.put(page);
  machine.pages.slab.put(page);
  assertEquals(machine.skbs.faults().map((f) => f.kind), ["underflow"]);
  const pages = [machine.pages.alloc(SLOT_BUFFER), machine.pages.alloc(SLOT_BUFFER)];
  assertNotEquals(pages[0], pages[1]);
});

Deno.test("[A61] in debug, freed memory is poisoned and a freed packet points nowhere", () => {
  using machine = new TestMachine();
  const skb = build(machine, 10, [], [], 1);
  const { data, view } = skb;
  skb.consume();
  assertEquals(view.getUint8(data), 0x6b);
  assert(skb.data < 0);
});

Deno.test("ids: a new packet has its own, and knows the packet that was being processed", () => {
  using machine = new TestMachine();
  const a = machine.skbs.alloc(10)!;
  machine.skbs.currentId = a.id;
  const b = machine.skbs.alloc(10)!;
  machine.skbs.currentId = 0;
  const c = b.clone()!;
  assertEquals([b.cause, c.cause, c.id], [a.id, a.id, b.id]);
  assertNotEquals(a.id, b.id);
  for (const s of [a, b, c]) s.consume();
});

// ---- copies

Deno.test("copies to and from users are exact at every length and offset, and counted", () => {
  using machine = new TestMachine();
  const { ledger, pages } = machine;
  const site = ledger.site("t", "cpu");
  const page = pages.alloc(SLOT_LARGE);
  const slab = pages.slab;
  const user = Uint8Array.from({ length: 3000 }, (_, i) => i * 7);
  let sum = 0;
  for (let round = 0; round < 2; round++) {
    for (const len of [0, 1, 15, 16, 17, 40, 64, 97, 1472, 2999]) {
      for (const off of [0, 1]) {
        const source = off === 0 ? user.slice(0, len) : user;
        copyFromUser(ledger, site, slab, page + 100, source, off, len);
        const back = new Uint8Array(len + 20).fill(0xaa);
        copyToUser(ledger, site, slab, page + 100, back, 10, len);
        assertEquals(back.slice(10, 10 + len), user.slice(off, off + len));
        assertEquals([back[9], back[10 + len]], [0xaa, 0xaa]);
        sum += 2 * len;
      }
    }
  }
  assertEquals(ledger.bytesAt("t"), sum);
  slab.put(page);
});

Deno.test("the ledger: sites, kinds, listeners", () => {
  using machine = new TestMachine();
  const { ledger } = machine;
  const a = ledger.site("a", "cpu"), b = ledger.site("b", "dma");
  assertEquals(ledger.site("a", "cpu"), a);
  const heard: number[][] = [];
  const off = ledger.listen((site, bytes) => heard.push([site, bytes]));
  ledger.add(a, 10);
  ledger.add(b, 5);
  off[Symbol.dispose]();
  ledger.add(a, 1);
  assertEquals(heard, [[a, 10], [b, 5]]);
  assertEquals(ledger.onMove, null);
  assertEquals([ledger.total("cpu"), ledger.total("dma"), ledger.bytesAt("?")], [11, 5, 0]);
  for (let i = 0; i < 100; i++) ledger.add(ledger.site(`s${i}`, "cpu"), i);
  assertEquals(ledger.bytesAt("s99"), 99);
  ledger.reset();
  assertEquals(ledger.total("cpu"), 0);
});
