/**
 * Local addresses by value: open addressing over integers, keyed with a secret. Linux: inet_addr_lst, inet_addr_hash().
 */
import type { Ifa } from "./table.ts";

/** All addresses of a net. An address that several devices have is in it several times. */
export class AddrHash {
  readonly #secret: number = 0;
  #shift = 26;
  #keys = new Int32Array(64);
  #values: (Ifa | null)[] = new Array<Ifa | null>(64).fill(null);
  #used = 0;

  /** An empty table; `secret` keeps places from being guessed. */
  constructor(secret: number) {
    this.#secret = secret;
  }

  /** How many. */
  get size(): number {
    return this.#used;
  }

  #home(addr: number): number {
    return Math.imul(addr ^ this.#secret, 0x9e3779b1 | 0) >>> this.#shift;
  }

  /** The address record of `addr` that came last, or null. */
  find(addr: number): Ifa | null {
    const values = this.#values;
    const mask = values.length - 1;
    let found: Ifa | null = null;
    for (let i = this.#home(addr);; i = (i + 1) & mask) {
      const ifa = values[i];
      if (ifa === null) return found;
      if (this.#keys[i] === addr && (found === null || ifa.seq > found.seq)) found = ifa;
    }
  }

  /** Adds one. */
  add(ifa: Ifa): void {
    if (this.#used * 2 >= this.#values.length) this.#grow();
    this.#used++;
    this.#put(ifa);
  }

  #put(ifa: Ifa): void {
    const mask = this.#values.length - 1;
    let i = this.#home(ifa.local);
    while (this.#values[i] !== null) i = (i + 1) & mask;
    this.#keys[i] = ifa.local;
    this.#values[i] = ifa;
  }

  #grow(): void {
    const old = this.#values;
    this.#shift--;
    this.#keys = new Int32Array(old.length * 2);
    this.#values = new Array<Ifa | null>(old.length * 2).fill(null);
    for (const ifa of old) if (ifa !== null) this.#put(ifa);
  }

  /** Removes one; later ones of the same run move up, so that no grave is left. */
  remove(ifa: Ifa): void {
    const values = this.#values;
    const mask = values.length - 1;
    let i = this.#home(ifa.local);
    while (values[i] !== ifa) {
      if (values[i] === null) return;
      i = (i + 1) & mask;
    }
    this.#used--;
    values[i] = null;
    for (let j = (i + 1) & mask; values[j] !== null; j = (j + 1) & mask) {
      const home = this.#home(this.#keys[j]);
      if (((j - home) & mask) < ((j - i) & mask)) continue;
      values[i] = values[j];
      this.#keys[i] = this.#keys[j];
      values[j] = null;
      i = j;
    }
  }
}
