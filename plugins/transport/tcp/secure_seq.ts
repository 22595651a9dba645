/**
 * What an attacker must not guess: initial sequence numbers, timestamp offsets, source ports and SYN cookies, all from
 * SipHash under secret keys. RFC 6528, RFC 6056, RFC 7323 section 5.4; Linux: net/core/secure_seq.c, net/ipv4/syncookies.c.
 */
import type { Platform } from "../../../core/mod.ts";

/** Entries of the table that keeps a counter per destination. Linux: INET_TABLE_PERTURB_SIZE. */
export const TABLE_PERTURB_SIZE = 1 << 16;

/** 128 bits as four words, each half of the key little-endian. Linux: siphash_key_t. */
export type SipKey = Int32Array;

/** A fresh key. */
export function sipKey(platform: Platform): SipKey {
  return Int32Array.of(platform.random(), platform.random(), platform.random(), platform.random());
}

/**
 * SipHash-2-4 (Aumasson and Bernstein) of `words` 32-bit words, 3 or 4, little-endian, into `out` (low, high). 64-bit
 * arithmetic in pairs of int32: low word `…l`, high word `…h`; the carry of a sum is the majority of the top bits of the
 * two terms and of the sum's complement, so that no double and no branch is in it. Linux: siphash_3u32(), siphash_4u32().
 */
export function siphash(out: Int32Array, key: SipKey, a: number, b: number, c: number, d: number, words: number): void {
  let v0l = key[0] ^ 0x70736575, v0h = key[1] ^ 0x736f6d65;
  let v1l = key[2] ^ 0x6e646f6d, v1h = key[3] ^ 0x646f7261;
  let v2l = key[0] ^ 0x6e657261, v2h = key[1] ^ 0x6c796765;
  let v3l = key[2] ^ 0x79746573, v3h = key[3] ^ 0x74656462;
  // Three message words of 64 bits; the last one has the length in its top byte and what does not fill a word.
  const fullSecond = words === 4;
  const blocks = fullSecond ? 3 : 2;
  for (let i = 0; i <= blocks; i++) {
    let ml = 0, mh = 0, rounds = 2;
    if (i === 0) ml = a, mh = b;
    else if (i === 1 && fullSecond) ml = c, mh = d;
    else if (i < blocks) {
      ml = fullSecond ? 0 : c;
      mh = words << 26;
    } else {
      v2l ^= 0xff;
      rounds = 4;
    }
    v3l ^= ml;
    v3h ^= mh;
    for (let r = 0; r < rounds; r++) {
      let low = (v0l + v1l) | 0;
      v0h = (v0h + v1h + (((v0l & v1l) | ((v0l | v1l) & ~low)) >>> 31)) | 0;
      v0l = low;
      let t = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
      v1l = t ^ v0l;
      t = v0l;
      v0l = v0h;
      v0h = t;
      low = (v2l + v3l) | 0;
      v2h = (v2h + v3h + (((v2l & v3l) | ((v2l | v3l) & ~low)) >>> 31)) | 0;
      v2l = low;
      t = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
      v3l = t ^ v2l;
      low = (v0l + v3l) | 0;
      v0h = (v0h + v3h + (((v0l & v3l) | ((v0l | v3l) & ~low)) >>> 31)) | 0;
      v0l = low;
      t = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
      v3l = t ^ v0l;
      low = (v2l + v1l) | 0;
      v2h = (v2h + v1h + (((v2l & v1l) | ((v2l | v1l) & ~low)) >>> 31)) | 0;
      v2l = low;
      t = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
      v1l = t ^ v2l;
      t = v2l;
      v2l = v2h;
      v2h = t;
    }
    v0l ^= ml;
    v0h ^= mh;
  }
  out[0] = v0l ^ v1l ^ v2l ^ v3l;
  out[1] = v0h ^ v1h ^ v2h ^ v3h;
}

/** The secrets of a net. Addresses and results int32. */
export class TcpKeys {
  readonly #platform: Platform;
  readonly #seq: SipKey;
  readonly #port: SipKey;
  readonly #cookies: readonly [SipKey, SipKey];
  readonly #out = new Int32Array(2);
  #perturb: Int32Array | null = null;
  /** The timestamp offset that belongs to the last {@linkcode isn}. */
  lastTsOffset = 0;

  /** New secrets. */
  constructor(platform: Platform) {
    this.#platform = platform;
    this.#seq = sipKey(platform);
    this.#port = sipKey(platform);
    this.#cookies = [sipKey(platform), sipKey(platform)];
  }

  /**
   * Initial sequence number of a four-tuple at `now` ns: a keyed hash plus a clock of 64 ns, so that those of one tuple
   * increase and those of two say nothing about each other. Also gives {@linkcode lastTsOffset}.
   * Linux: secure_tcp_seq(); RFC 6528.
   */
  isn(saddr: number, daddr: number, sport: number, dport: number, now: number): number {
    siphash(this.#out, this.#seq, saddr, daddr, (sport << 16) | dport, 0, 3);
    this.lastTsOffset = this.#out[1];
    return (this.#out[0] + (Math.floor(now / 64) | 0)) | 0;
  }

  /**
   * What is added to the clock in the timestamps of a connection: tells nothing about uptime, and differs per port, so
   * that a SYN cookie's timestamp cannot be learnt from another connection. Linux: secure_tcp_ts_off().
   */
  tsOffset(saddr: number, daddr: number, sport: number, dport: number): number {
    siphash(this.#out, this.#seq, saddr, daddr, (sport << 16) | dport, 0, 3);
    return this.#out[1];
  }

  /**
   * Where the search for a source port to a destination starts, 0 to `range` - 1; and the entry of the table that
   * {@linkcode portUsed} moves on. RFC 6056 algorithm 4: the offset is a secret per destination, the counter is shared
   * by few of them. Linux: secure_ipv4_port_ephemeral(), __inet_hash_connect().
   */
  portOffset(saddr: number, daddr: number, dport: number, range: number): number {
    siphash(this.#out, this.#port, saddr, daddr, dport, 0, 3);
    const table = this.#perturb ??= this.#newPerturb();
    return ((table[this.#out[0] & (TABLE_PERTURB_SIZE - 1)] + this.#out[1]) >>> 0) % range;
  }

  /**
   * The search that {@linkcode portOffset} began tried `tried` ports before it found one; the next one to the same
   * destination starts `step` or, by chance, up to seven steps behind it. Linux: __inet_hash_connect().
   */
  portUsed(tried: number, step: number): void {
    const table = this.#perturb ??= this.#newPerturb();
    const random = (this.#platform.random() & 7) * step;
    table[this.#out[0] & (TABLE_PERTURB_SIZE - 1)] += Math.max(tried, random) + step;
  }

  /** A hash for SYN cookies under key `c` (0 or 1). Linux: cookie_hash(). */
  cookie(saddr: number, daddr: number, sport: number, dport: number, count: number, c: 0 | 1): number {
    siphash(this.#out, this.#cookies[c], saddr, daddr, (sport << 16) | dport, count, 4);
    return this.#out[0];
  }

  /** 32 random bits. */
  random(): number {
    return this.#platform.random();
  }

  #newPerturb(): Int32Array {
    const table = new Int32Array(TABLE_PERTURB_SIZE);
    for (let i = 0; i < table.length; i++) table[i] = this.#platform.random();
    return table;
  }
}
