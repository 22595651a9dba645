/**
 * A small seeded random source for tests (xoshiro128**, public domain, by Blackman and Vigna). The same seed gives the same numbers on every
 * machine; nothing in tests uses `Math.random`.
 *
 * @module
 */

/** Seeded random numbers. */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number | string) {
    let hash = 0x9e3779b9;
    for (const char of String(seed)) hash = Math.imul(hash ^ char.charCodeAt(0), 0x85ebca6b) ^ (hash >>> 13);
    // splitmix32 spreads the seed over the state, which must not be all zero.
    for (let i = 0; i < 4; i++) {
      hash = (hash + 0x9e3779b9) | 0;
      let mix = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
      mix = Math.imul(mix ^ (mix >>> 15), 0x735a2d97);
      this.#state[i] = mix ^ (mix >>> 15);
    }
  }

  /** 32 random bits, unsigned. */
  u32(): number {
    const s = this.#state;
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result >>> 0;
  }

  /** 16 random bits. */
  u16(): number {
    return this.u32() >>> 16;
  }

  /** 8 random bits. */
  u8(): number {
    return this.u32() >>> 24;
  }

  /** An integer from 0 to `below` - 1. */
  int(below: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * below);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.int(high - low + 1);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)];
  }

  /** One of the items, by weight. */
  weighted<T>(items: readonly (readonly [number, T])[]): T {
    let at = (this.u32() / 0x1_0000_0000) * items.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of items) {
      if (at < weight) return item;
      at -= weight;
    }
    return items[items.length - 1][1];
  }

  /** The items in random order; the argument is left alone. */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const k = this.int(i + 1);
      [out[i], out[k]] = [out[k], out[i]];
    }
    return out;
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u8());
  }
}
