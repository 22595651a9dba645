/**
 * The keyed hash of the network floor's tables: whoever does not know the keys cannot choose which entries meet.
 * Linux: include/linux/siphash.h, hsiphash_3u32().
 *
 * @module
 */

/**
 * HalfSipHash-1-3 (Aumasson and Bernstein) of three words under a 64-bit key. All int32. Some 10 ns.
 * Linux: hsiphash_3u32(), lib/siphash.c.
 */
export function hsiphash3(a: number, b: number, c: number, k0: number, k1: number): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = k0 ^ 0x6c796765;
  let v3 = k1 ^ 0x74656462;
  // Three message words, the length word, three finalisation rounds: seven rounds of one shape.
  for (let i = 0; i < 7; i++) {
    const m = i === 0 ? a : i === 1 ? b : i === 2 ? c : i === 3 ? 0x0c000000 : 0;
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
    if (i === 3) v2 ^= 0xff;
  }
  return v1 ^ v3;
}
