/**
 * Which address is behind which end: open addressing over typed arrays, with a keyed hash. Linux: vxlan_fdb.
 */
import type { Platform } from "../../../core/mod.ts";

const MIN_SLOTS = 64;
/** Addresses that are learnt at most: a flood of forged ones must not take all memory. */
export const FDB_MAX = 65_536;

/** Jiffies between two looks for old entries in a full table: each costs as much as the table is long. */
const SWEEP = 1000;

/** Addresses of one device. Ends are int32; 0: none. */
export class VxlanFdb {
  /** Entries. */
  used = 0;
  /** Jiffies after which a learnt entry is forgotten; 0: never. */
  readonly ageing: number;
  readonly #key: number;
  #swept = -SWEEP;
  #mask = MIN_SLOTS - 1;
  #hi = new Int32Array(MIN_SLOTS);
  #lo = new Int32Array(MIN_SLOTS);
  /** The end, 0: the slot is free. */
  #dst = new Int32Array(MIN_SLOTS);
  /** Jiffy at which it was seen last. */
  #seen = new Int32Array(MIN_SLOTS);
  #permanent = new Uint8Array(MIN_SLOTS);

  /** An empty one. */
  constructor(platform: Platform, ageing: number) {
    this.#key = platform.random();
    this.ageing = ageing;
  }

  #slot(hi: number, lo: number): number {
    let h = Math.imul(hi ^ this.#key, 0x85ebca6b);
    h = Math.imul((h ^ (h >>> 15)) + lo, 0xc2b2ae35);
    let i = (h ^ (h >>> 13)) & this.#mask;
    while (this.#dst[i] !== 0 && (this.#hi[i] !== hi || this.#lo[i] !== lo)) i = (i + 1) & this.#mask;
    return i;
  }

  #old(i: number, now: number): boolean {
    return this.#permanent[i] === 0 && this.ageing !== 0 && ((now - this.#seen[i]) | 0) > this.ageing;
  }

  /** The end behind which an address is; 0: unknown, or silent for too long. */
  find(hi: number, lo: number, now: number): number {
    const i = this.#slot(hi, lo);
    return this.#dst[i] === 0 || this.#old(i, now) ? 0 : this.#dst[i];
  }

  /** An address was seen behind an end. False: it was said by hand that it is behind another. Linux: vxlan_snoop(). */
  learn(hi: number, lo: number, dst: number, now: number): boolean {
    let i = this.#slot(hi, lo);
    if (this.#permanent[i] !== 0 && this.#dst[i] !== 0) return this.#dst[i] === dst;
    if (this.#dst[i] === 0) {
      i = this.#room(hi, lo, now);
      if (i < 0) return true;
    }
    this.#dst[i] = dst;
    this.#seen[i] = now;
    return true;
  }

  /** Says where an address is. False: the table is full. */
  set(hi: number, lo: number, dst: number, now: number): boolean {
    let i = this.#slot(hi, lo);
    if (this.#dst[i] === 0) i = this.#room(hi, lo, now);
    if (i < 0) return false;
    this.#dst[i] = dst;
    this.#permanent[i] = 1;
    return true;
  }

  /** Forgets an address; `dst` 0: wherever it is. False: it was not there. */
  delete(hi: number, lo: number, dst: number): boolean {
    const i = this.#slot(hi, lo);
    if (this.#dst[i] === 0 || (dst !== 0 && this.#dst[i] !== dst)) return false;
    this.#rebuild(this.#mask + 1, (k) => k !== i);
    return true;
  }

  /** Every entry that is not too old. */
  *entries(now: number): IterableIterator<[hi: number, lo: number, dst: number, permanent: boolean]> {
    for (let i = 0; i <= this.#mask; i++) {
      if (this.#dst[i] === 0 || this.#old(i, now)) continue;
      yield [this.#hi[i], this.#lo[i], this.#dst[i], this.#permanent[i] !== 0];
    }
  }

  /** A free slot with this address written, -1: there is none. What is too old makes room, looked for once a second. */
  #room(hi: number, lo: number, now: number): number {
    if (this.used >= FDB_MAX) {
      if (((now - this.#swept) | 0) < SWEEP) return -1;
      this.#swept = now;
      this.#rebuild(this.#mask + 1, (i) => !this.#old(i, now));
      if (this.used >= FDB_MAX) return -1;
    } else if (2 * (this.used + 1) > this.#mask) this.#rebuild(2 * (this.#mask + 1), (i) => !this.#old(i, now));
    const i = this.#slot(hi, lo);
    this.#hi[i] = hi;
    this.#lo[i] = lo;
    this.#permanent[i] = 0;
    this.used++;
    return i;
  }

  #rebuild(slots: number, keep: (i: number) => boolean): void {
    const [hi, lo, dst, seen, permanent] = [this.#hi, this.#lo, this.#dst, this.#seen, this.#permanent];
    const kept: number[] = [];
    for (let i = 0; i < dst.length; i++) if (dst[i] !== 0 && keep(i)) kept.push(i);
    this.#mask = slots - 1;
    this.#hi = new Int32Array(slots);
    this.#lo = new Int32Array(slots);
    this.#dst = new Int32Array(slots);
    this.#seen = new Int32Array(slots);
    this.#permanent = new Uint8Array(slots);
    this.used = kept.length;
    for (const k of kept) {
      const i = this.#slot(hi[k], lo[k]);
      this.#hi[i] = hi[k];
      this.#lo[i] = lo[k];
      this.#dst[i] = dst[k];
      this.#seen[i] = seen[k];
      this.#permanent[i] = permanent[k];
    }
  }
}
