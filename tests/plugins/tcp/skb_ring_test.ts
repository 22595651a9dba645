import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Machine, type SkBuff } from "../../../core/mod.ts";
import { SkbRing } from "../../../plugins/transport/tcp/skb_ring.ts";

const machine = new Machine({ slabBytes: 4 << 20 });

function skbOf(seq: number): SkBuff {
  const skb = machine.skbs.alloc(0)!;
  skb.cb[0] = seq;
  return skb;
}

const entries = (ring: SkbRing): SkBuff[] => Array.from({ length: ring.length }, (_, i) => ring.at(i));

Deno.test("the ring does what an array does", () => {
  const step = fc.record({
    kind: fc.constantFrom("push", "shift", "insert", "removeAt", "set", "removeRange"),
    a: fc.nat(1000),
    b: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ring = new SkbRing(0);
      const model: SkBuff[] = [];
      for (const { kind, a, b } of steps) {
        const n = model.length;
        if (kind === "push") {
          const skb = skbOf(a);
          ring.push(skb);
          model.push(skb);
        } else if (kind === "insert") {
          const skb = skbOf(a);
          ring.insert(b % (n + 1), skb);
          model.splice(b % (n + 1), 0, skb);
        } else if (n === 0) assertEquals([ring.shift(), ring.head, ring.tail], [null, null, null]);
        else if (kind === "shift") {
          const skb = model.shift()!;
          assertEquals(ring.shift() === skb, true);
          skb.consume();
        } else if (kind === "removeAt") {
          const [skb] = model.splice(a % n, 1);
          assertEquals(ring.removeAt(a % n) === skb, true);
          skb.consume();
        } else if (kind === "set") {
          const skb = skbOf(b);
          ring.set(a % n, skb);
          model.splice(a % n, 1, skb)[0].consume();
        } else {
          const from = Math.min(a % (n + 1), b % (n + 1)), to = Math.max(a % (n + 1), b % (n + 1));
          ring.removeRange(from, to);
          for (const skb of model.splice(from, to - from)) skb.consume();
        }
        assertEquals(ring.length, model.length);
        assertEquals(entries(ring).every((skb, i) => skb === model[i]), true);
        assertEquals([ring.head === (model[0] ?? null), ring.tail === (model.at(-1) ?? null)], [true, true]);
      }
      for (const skb of model) skb.consume();
      assertEquals(machine.skbs.live, 0);
    }),
    { numRuns: 200 },
  );
});

Deno.test("find() halves, across the wrap of sequence numbers", () => {
  const ring = new SkbRing(0);
  const first = 0x7fffff00;
  for (let i = 0; i < 100; i++) ring.push(skbOf((first + 10 * i) | 0));
  assertEquals(ring.find((first - 1) | 0), -1);
  for (let i = 0; i < 100; i++) for (const d of [0, 9]) assertEquals(ring.find((first + 10 * i + d) | 0), i);
  assertEquals(ring.find((first + 5000) | 0), 99);
  for (let skb = ring.shift(); skb !== null; skb = ring.shift()) skb.consume();
  assertEquals(ring.find(0), -1);
});
