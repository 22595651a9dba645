import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { SkBuff } from "../../../core/mod.ts";
import { SkbTiers } from "../../../plugins/transport/tcp/skb_tiers.ts";

/** What the queue reads of an skb. */
function entry(seq: number): SkBuff {
  return { cb: [seq] } as unknown as SkBuff;
}

function assertSame(queue: SkbTiers, model: readonly SkBuff[]): void {
  assertEquals(queue.length, model.length);
  for (let i = 0; i < model.length; i++) assert(queue.at(i) === model[i], `entry ${i} of ${model.length}`);
  assertEquals([queue.head === (model[0] ?? null), queue.tail === (model.at(-1) ?? null)], [true, true]);
}

Deno.test("the tiers do what an array does, over several of them", () => {
  const step = fc.record({
    kind: fc.constantFrom("insert", "shift", "removeAt", "set", "removeRange", "many"),
    a: fc.nat(1 << 20),
    b: fc.nat(1 << 20),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new SkbTiers(0);
      const model: SkBuff[] = [];
      for (const { kind, a, b } of steps) {
        const n = model.length;
        if (kind === "many") {
          // Half of a thousand at one place, so that tiers fill and move.
          for (let k = 0; k < b % 500; k++) {
            const skb = entry(k);
            queue.insert((a + k) % (n + 1), skb);
            model.splice((a + k) % (n + 1), 0, skb);
          }
        } else if (kind === "insert") {
          const skb = entry(a);
          queue.insert(b % (n + 1), skb);
          model.splice(b % (n + 1), 0, skb);
        } else if (n === 0) assertEquals([queue.shift(), queue.head, queue.tail], [null, null, null]);
        else if (kind === "shift") assert(queue.shift() === model.shift());
        else if (kind === "removeAt") assert(queue.removeAt(a % n) === model.splice(a % n, 1)[0]);
        else if (kind === "set") {
          const skb = entry(b);
          queue.set(a % n, skb);
          model[a % n] = skb;
        } else {
          const from = Math.min(a % (n + 1), b % (n + 1)), to = Math.max(a % (n + 1), b % (n + 1));
          queue.removeRange(from, to);
          model.splice(from, to - from);
        }
        assertSame(queue, model);
      }
      for (const skb of model) assert(queue.shift() === skb);
      assertEquals([queue.length, queue.head], [0, null]);
    }),
    { numRuns: 150 },
  );
});

Deno.test("35,000 entries, each put into the middle: some 200 moves each", () => {
  const queue = new SkbTiers(0);
  for (let i = 0; i < 35_000; i++) queue.insert(queue.length >> 1, entry(i));
  assert(queue.moved < 250 * 35_000, `${queue.moved / 35_000} moves each`);
  const inserted = queue.moved;
  while (queue.length > 0) queue.removeAt(queue.length >> 1);
  assert(queue.moved - inserted < 250 * 35_000);
});

Deno.test("find() halves, across the wrap of sequence numbers", () => {
  const queue = new SkbTiers(0);
  const first = 0x7fffff00;
  for (let i = 0; i < 1000; i++) queue.insert(i, entry((first + 10 * i) | 0));
  assertEquals(queue.find((first - 1) | 0), -1);
  for (let i = 0; i < 1000; i++) for (const d of [0, 9]) assertEquals(queue.find((first + 10 * i + d) | 0), i);
  assertEquals(queue.find((first + 50_000) | 0), 999);
  while (queue.shift() !== null);
  assertEquals(queue.find(0), -1);
});
