/** What an attacker must not guess: SipHash against its reference, sequence numbers, offsets, ports. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { virtualPlatform } from "../../../core/mod.ts";
import { siphash, TcpKeys } from "../../../plugins/transport/tcp/secure_seq.ts";

const MASK = (1n << 64n) - 1n;

/** SipHash-2-4 as its authors wrote it, in 64 bits. */
function reference(key: Uint8Array, message: Uint8Array): bigint {
  const word = (b: Uint8Array): bigint => b.reduceRight((n, byte) => n << 8n | BigInt(byte), 0n);
  const [k0, k1] = [word(key.subarray(0, 8)), word(key.subarray(8))];
  const v = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n];
  const rotl = (x: bigint, n: bigint): bigint => (x << n | x >> (64n - n)) & MASK;
  const round = (): void => {
    v[0] = v[0] + v[1] & MASK, v[1] = rotl(v[1], 13n) ^ v[0], v[0] = rotl(v[0], 32n);
    v[2] = v[2] + v[3] & MASK, v[3] = rotl(v[3], 16n) ^ v[2];
    v[0] = v[0] + v[3] & MASK, v[3] = rotl(v[3], 21n) ^ v[0];
    v[2] = v[2] + v[1] & MASK, v[1] = rotl(v[1], 17n) ^ v[2], v[2] = rotl(v[2], 32n);
  };
  const words: bigint[] = [];
  for (let i = 0; i + 8 <= message.length; i += 8) words.push(word(message.subarray(i, i + 8)));
  words.push(word(message.subarray(message.length & ~7)) | BigInt(message.length & 255) << 56n);
  for (const m of words) {
    v[3] ^= m;
    round(), round();
    v[0] ^= m;
  }
  v[2] ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

const bytesOf = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

function ours(key: Int32Array, message: Int32Array): bigint {
  const out = new Int32Array(2);
  siphash(out, key, message[0], message[1], message[2], message[3] ?? 0, message.length);
  return BigInt(out[1] >>> 0) << 32n | BigInt(out[0] >>> 0);
}

/** Key 00 01 ... 0f, message 00 01 ... of each length: the first of the list that came with the paper. */
const VECTORS: readonly string[] = [
  "310e0edd47db6f72",
  "fd67dc93c539f874",
  "5a4fa9d909806c0d",
  "2d7efbd796666785",
  "b7877127e09427cf",
  "8da699cd64557618",
  "cee3fe586e46c9cb",
  "37d1018bf50002ab",
  "6224939a79f5f593",
  "b0e4a90bdf82009e",
  "f3b9dd94c5bb5d7a",
  "a7ad6b22462fb3f4",
  "fbe50e86bc8f1e75",
  "903d84c02756ea14",
  "eef27a8e90ca23f7",
  "e545be4961ca29a1",
  "db9bc2577fcc2a3f",
];

Deno.test("SipHash-2-4 gives the published vectors", () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  const littleEndian = (hex: string): bigint => BigInt("0x" + hex.match(/../g)!.reverse().join(""));
  VECTORS.forEach((vector, n) => assertEquals(reference(key, key.slice(0, n)), littleEndian(vector), `${n} bytes`));
  const words = new Int32Array(key.buffer);
  assertEquals(ours(words, words.slice(0, 3)), littleEndian(VECTORS[12]));
  assertEquals(ours(words, words), littleEndian(VECTORS[16]));
});

Deno.test("SipHash-2-4 of 3 and 4 words is the reference's for any key and message", () => {
  const word = fc.integer({ min: -0x80000000, max: 0x7fffffff });
  const words = (n: number): fc.Arbitrary<number[]> => fc.array(word, { minLength: n, maxLength: n });
  fc.assert(fc.property(words(4), fc.oneof(words(3), words(4)), (k, m) => {
    const [key, message] = [Int32Array.from(k), Int32Array.from(m)];
    assertEquals(ours(key, message), reference(bytesOf(key), bytesOf(message)));
  }));
});

/** 8 bits of each number against an even spread: chi square of 256 cells, whose mean is 255 and deviation 22.6. */
function chiSquare(numbers: readonly number[], shift: number): number {
  const cells = new Array(256).fill(0);
  for (const n of numbers) cells[n >>> shift & 255]++;
  const mean = numbers.length / 256;
  return cells.reduce((sum, c) => sum + (c - mean) ** 2 / mean, 0);
}

Deno.test("[A48] [MUST-8] [SHLD-1] initial sequence numbers: 10,000 tuples are spread evenly, one tuple's increase by a clock of 64 ns", () => {
  const keys = new TcpKeys(virtualPlatform(1));
  const isns = Array.from({ length: 10_000 }, (_, i) => keys.isn(0x0a000001, 0x0a000002, 1024 + i, 80, 1e9));
  for (const shift of [0, 8, 16, 24]) {
    const chi = chiSquare(isns, shift);
    assert(chi > 160 && chi < 380, `bits ${shift} on: ${chi}`);
  }
  // The steps from one port to the next say nothing either.
  const chi = chiSquare(isns.slice(1).map((n, i) => n - isns[i]), 24);
  assert(chi > 160 && chi < 380, `steps: ${chi}`);
  const at = (now: number): number => keys.isn(0x0a000001, 0x0a000002, 5000, 80, now);
  for (let now = 1e9, last = at(now); now < 20e9; now += 1e9) {
    const next = at(now + 1e9);
    assertEquals((next - last) | 0, 1e9 / 64 | 0);
    last = next;
  }
  // Another machine has other secrets.
  assert(new TcpKeys(virtualPlatform(2)).isn(1, 2, 3, 4, 0) !== keys.isn(1, 2, 3, 4, 0));
});

Deno.test("[A50] timestamp offsets: even among tuples, the same for one, and not the half that the sequence number shows", () => {
  const keys = new TcpKeys(virtualPlatform(3));
  const offsets = Array.from({ length: 10_000 }, (_, i) => keys.tsOffset(0x0a000001, 0x0a000002, 1024 + i, 80));
  for (const shift of [0, 8, 16, 24]) {
    const chi = chiSquare(offsets, shift);
    assert(chi > 160 && chi < 380, `bits ${shift} on: ${chi}`);
  }
  assertEquals(keys.tsOffset(1, 2, 3, 4), keys.tsOffset(1, 2, 3, 4));
  keys.isn(1, 2, 3, 4, 0);
  assertEquals(keys.lastTsOffset, keys.tsOffset(1, 2, 3, 4));
  assert(keys.tsOffset(1, 2, 3, 4) !== keys.tsOffset(1, 2, 3, 5));
});

Deno.test("source ports: the start for a destination moves on with use, by a number that is not known", () => {
  const keys = new TcpKeys(virtualPlatform(4));
  const range = 28_232;
  const steps: number[] = [];
  let last = keys.portOffset(1, 2, 80, range);
  for (let i = 0; i < 2000; i++) {
    keys.portUsed(0, 2);
    const next = keys.portOffset(1, 2, 80, range);
    steps.push((next - last + range) % range);
    last = next;
  }
  assertEquals([...new Set(steps)].toSorted((a, b) => a - b), [2, 4, 6, 8, 10, 12, 14, 16]);
  // Unused it stays, and other destinations start elsewhere.
  assertEquals(keys.portOffset(1, 2, 80, range), last);
  const starts = Array.from({ length: 10_000 }, (_, i) => keys.portOffset(1, i, 80, 65_536));
  const chi = chiSquare(starts, 8);
  assert(chi > 160 && chi < 380, `${chi}`);
});

Deno.test("cookies depend on all that goes into them, and on which of the two keys", () => {
  const keys = new TcpKeys(virtualPlatform(5));
  const base = [1, 2, 3, 4, 5] as const;
  const seen = new Set([keys.cookie(...base, 0), keys.cookie(...base, 1)]);
  base.forEach((_, i) => {
    const other = [...base] as [number, number, number, number, number];
    other[i] = 77;
    seen.add(keys.cookie(...other, 0));
  });
  assertEquals(seen.size, 7);
  assertEquals(keys.cookie(...base, 0), keys.cookie(...base, 0));
});
