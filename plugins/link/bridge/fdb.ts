/**
 * The forwarding database: which address is behind which port. Open addressing over typed arrays; linear probing.
 * Linux: net/bridge/br_fdb.c.
 */
import type { Platform } from "../../../core/mod.ts";
import type { Port } from "./state.ts";

const MIN_SLOTS = 64;
/** Addresses that one bridge learns at most: a flood of forged ones must not take all memory. Linux: fdb_max_learned. */
export const FDB_MAX = 65_536;

/** Addresses of a bridge. */
export class Fdb {
  /** Entries. */
  used = 0;
  /** Jiffies after which a learnt entry is forgotten. */
  declare ageing: number;
  readonly #key: number;
  #mask = MIN_SLOTS - 1;
  /** Two words an entry: VLAN and high half, low half of the address. */
  #keys = new Int32Array(2 * MIN_SLOTS);
  /** Jiffy at which it was seen last. */
  #seen = new Int32Array(MIN_SLOTS);
  /** Null: free; a port without a device is the bridge itself. */
  #ports: (Port | null)[] = new Array<Port | null>(MIN_SLOTS).fill(null);
  #fixed = new Uint8Array(MIN_SLOTS);

  /** An empty one. */
  constructor(platform: Platform, ageing: number) {
    this.#key = platform.random();
    this.ageing = ageing;
  }

  #slot(a: number, b: number): number {
    let h = Math.imul(a ^ this.#key, 0x85ebca6b);
    h = Math.imul((h ^ (h >>> 15)) + b, 0xc2b2ae35);
    let i = (h ^ (h >>> 13)) & this.#mask;
    while (this.#ports[i] !== null && (this.#keys[2 * i] !== a || this.#keys[2 * i + 1] !== b)) {
      i = (i + 1) & this.#mask;
    }
    return i;
  }

  /** The port behind which an address is, or null: unknown, or silent for too long. */
  find(vid: number, hi: number, lo: number, now: number): Port | null {
    const i = this.#slot((vid << 16) | hi, lo);
    const port = this.#ports[i];
    if (port === null || (this.#fixed[i] === 0 && ((now - this.#seen[i]) | 0) > this.ageing)) return null;
    return port;
  }

  /** An address was seen behind a port; one that is fixed stays where it is. Linux: br_fdb_update(). */
  learn(vid: number, hi: number, lo: number, port: Port, now: number): void {
    const a = (vid << 16) | hi;
    let i = this.#slot(a, lo);
    if (this.#ports[i] === null) {
      if (this.used >= FDB_MAX) return;
      if (2 * (this.used + 1) > this.#mask) {
        this.#resize(2 * (this.#mask + 1));
        i = this.#slot(a, lo);
      }
      this.used++;
      this.#keys[2 * i] = a;
      this.#keys[2 * i + 1] = lo;
      this.#fixed[i] = 0;
    } else if (this.#fixed[i] !== 0) return;
    this.#ports[i] = port;
    this.#seen[i] = now;
  }

  /** An address that never moves: one of the bridge's own. */
  fix(vid: number, hi: number, lo: number, port: Port): void {
    this.learn(vid, hi, lo, port, 0);
    const i = this.#slot((vid << 16) | hi, lo);
    this.#ports[i] = port;
    this.#fixed[i] = 1;
  }

  /** Forgets what `gone` says. */
  prune(gone: (port: Port, fixed: boolean, seen: number) => boolean): void {
    const keep: [number, number, number, Port, number][] = [];
    for (let i = 0; i <= this.#mask; i++) {
      const port = this.#ports[i];
      if (port === null || gone(port, this.#fixed[i] !== 0, this.#seen[i])) continue;
      keep.push([this.#keys[2 * i], this.#keys[2 * i + 1], this.#seen[i], port, this.#fixed[i]]);
    }
    this.#clear(this.#mask + 1);
    for (const e of keep) this.#put(...e);
  }

  /** Every entry: VLAN, address, port, whether it is fixed. */
  *entries(): IterableIterator<[vid: number, hi: number, lo: number, port: Port, fixed: boolean]> {
    for (let i = 0; i <= this.#mask; i++) {
      const port = this.#ports[i];
      if (port === null) continue;
      yield [this.#keys[2 * i] >>> 16, this.#keys[2 * i] & 0xffff, this.#keys[2 * i + 1], port, this.#fixed[i] !== 0];
    }
  }

  #resize(slots: number): void {
    const [keys, seen, ports, fixed] = [this.#keys, this.#seen, this.#ports, this.#fixed];
    this.#clear(slots);
    for (let i = 0; i < ports.length; i++) {
      const port = ports[i];
      if (port !== null) this.#put(keys[2 * i], keys[2 * i + 1], seen[i], port, fixed[i]);
    }
  }

  #clear(slots: number): void {
    this.#mask = slots - 1;
    this.#keys = new Int32Array(2 * slots);
    this.#seen = new Int32Array(slots);
    this.#ports = new Array<Port | null>(slots).fill(null);
    this.#fixed = new Uint8Array(slots);
    this.used = 0;
  }

  #put(a: number, b: number, seen: number, port: Port, fixed: number): void {
    const i = this.#slot(a, b);
    this.#keys[2 * i] = a;
    this.#keys[2 * i + 1] = b;
    this.#seen[i] = seen;
    this.#ports[i] = port;
    this.#fixed[i] = fixed;
    this.used++;
  }
}
