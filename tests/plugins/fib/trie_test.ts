/** Longest-prefix match against a linear scan, and what it costs in reads. */
import { assert, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { makeMask } from "../../../plugins/network/inet/contract.ts";
import { leafId, leafLen, leafOf, LpmTrie } from "../../../plugins/network/fib/trie.ts";
import { Random } from "../../support/frames/random.ts";

/** The obvious way: all prefixes, the longest that fits. */
class LinearScan {
  readonly routes = new Map<string, { prefix: number; len: number; id: number }>();

  set(prefix: number, len: number, id: number): void {
    if (id === 0) this.routes.delete(`${prefix}/${len}`);
    else this.routes.set(`${prefix}/${len}`, { prefix, len, id });
  }

  lookup(addr: number, shorterThan: number = 33): number {
    let best = 0;
    for (const { prefix, len, id } of this.routes.values()) {
      if (len >= shorterThan || ((addr ^ prefix) & makeMask(len)) !== 0) continue;
      if (best === 0 || len > leafLen(best)) best = leafOf(id, len);
    }
    return best;
  }
}

const prefixes = fc.record({
  // Few bits vary, so that prefixes meet.
  addr: fc.oneof(fc.integer(), fc.integer({ min: 0, max: 255 }).map((x) => 0x0a000000 | x << 8 | x)),
  len: fc.integer({ min: 0, max: 32 }),
  id: fc.integer({ min: 0, max: 5 }),
});

Deno.test("the trie finds what a linear scan finds, whatever comes and goes", () => {
  fc.assert(
    fc.property(fc.array(prefixes, { maxLength: 60 }), fc.array(fc.integer(), { maxLength: 20 }), (steps, others) => {
      const trie = new LpmTrie();
      const scan = new LinearScan();
      for (const { addr, len, id } of steps) {
        const prefix = addr & makeMask(len);
        scan.set(prefix, len, id);
        // The default route is in no word: it does not take the place of a prefix that goes.
        const shorter = scan.lookup(prefix, len);
        trie.assign(prefix, len, id !== 0 ? leafOf(id, len) : leafLen(shorter) === 0 ? 0 : shorter);
      }
      for (const { addr } of steps) {
        for (const a of [addr, addr + 1 | 0, addr - 1 | 0, addr ^ 1 << 12]) {
          assertEquals(leafId(trie.lookup(a)), leafId(scan.lookup(a)));
        }
      }
      for (const a of others) assertEquals(leafId(trie.lookup(a)), leafId(scan.lookup(a)));
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("the trie grows its root and finds the same", () => {
  const random = new Random("grow");
  const trie = new LpmTrie();
  const scan = new LinearScan();
  for (let n = 1; n <= 2500; n++) {
    const len = random.between(9, 30);
    const prefix = random.u32() & makeMask(len);
    trie.reserve(n);
    trie.assign(prefix, len, leafOf(n, len));
    scan.set(prefix, len, n);
  }
  const all = [...scan.routes.values()];
  for (let i = 0; i < 400; i++) {
    const addr = i % 2 === 0 ? random.u32() | 0 : random.pick(all).prefix | random.u8();
    assertEquals(leafId(trie.lookup(addr)), leafId(scan.lookup(addr)));
  }
});

Deno.test("a trie that is emptied holds no records", () => {
  const random = new Random("empty");
  const trie = new LpmTrie();
  const list = Array.from({ length: 2000 }, (_, i) => {
    const len = random.between(1, 32);
    return { prefix: random.u32() & makeMask(len), len, leaf: leafOf(i + 1, len) };
  });
  const unique = [...new Map(list.map((r) => [`${r.prefix}/${r.len}`, r])).values()];
  for (const r of unique) trie.assign(r.prefix, r.len, r.leaf);
  assert(trie.used > 0);
  // Longest first: what remains has no shorter prefix to show through wrongly.
  for (const r of unique.sort((a, b) => b.len - a.len)) {
    const shorter = unique.filter((o) => o.len < r.len && ((o.prefix ^ r.prefix) & makeMask(o.len)) === 0);
    trie.assign(r.prefix, r.len, shorter.reduce((best, o) => o.len > leafLen(best) ? o.leaf : best, 0));
  }
  assertEquals(trie.used, 0);
  assertEquals(trie.lookup(0x01020304), 0);
});

Deno.test("leaves keep id and length", () => {
  const leaf = leafOf(100_000, 32);
  assertEquals([leafId(leaf), leafLen(leaf)], [100_000, 32]);
  assert(leaf > 0);
});

Deno.test("a host's table takes 4 KB, 100,000 routes under 8 MB", () => {
  const random = new Random("memory");
  const small = new LpmTrie();
  for (let i = 0; i < 8; i++) small.assign(0x0a000000 | i << 8, 24, leafOf(i + 1, 24));
  assertLess(small.bytes, 4096);
  const large = new LpmTrie();
  for (let i = 1; i <= 100_000; i++) {
    const len = random.between(16, 28);
    large.reserve(i);
    large.assign(random.u32() & makeMask(len), len, leafOf(1 + i % 50, len));
  }
  assertLess(large.bytes, 8 << 20);
});

Deno.test("100,000 routes cost at most three reads more than one, 65,536 random destinations 1.5 times as many", () => {
  const cost = (n: number): { mean: number; most: number } => {
    const random = new Random("cost");
    const trie = new LpmTrie();
    for (let i = 1; i <= n; i++) {
      const len = i === 1 ? 0 : random.between(16, 28);
      trie.reserve(i);
      trie.assign(random.u32() & makeMask(len), len, leafOf(1 + i % 50, len));
    }
    let sum = 0;
    let most = 0;
    for (let i = 0; i < 65_536; i++) {
      const reads = trie.reads(random.u32() | 0);
      sum += reads;
      most = Math.max(most, reads);
    }
    return { mean: sum / 65_536, most };
  };
  const [one, many] = [cost(1), cost(100_000)];
  assert(many.mean <= 1.5 * one.mean, `${many.mean} reads, ${one.mean} with one route`);
  assert(many.most <= one.most + 3, `${many.most} reads, ${one.most} with one route`);
});

Deno.test("a route costs the same to add in a large table as in a small one", () => {
  const random = new Random("update");
  const trie = new LpmTrie();
  for (let i = 1; i <= 20_000; i++) {
    trie.reserve(i);
    trie.assign(random.u32() & makeMask(24), 24, leafOf(1, 24));
  }
  const before = trie.used;
  // One more /24 makes two records at most, each of 2 to 17 words; the default route none.
  trie.assign(0x5a5a5a00, 24, leafOf(2, 24));
  assert(trie.used - before <= 34);
  const then = trie.used;
  trie.assign(0, 0, leafOf(3, 0));
  assertEquals(trie.used, then);
  assertEquals(leafId(trie.lookup(0x5a5a5a5a)), 2);
});
