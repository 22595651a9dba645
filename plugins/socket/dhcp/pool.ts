/**
 * The addresses of one subnet, and who has them. Nothing is kept when the net ends: an address follows from who asks, so
 * that a client gets the same one from a server that began anew, as long as nobody else has it.
 */
import type { Machine } from "../../../core/mod.ts";
import { DHCP_INFINITE } from "./contract.ts";

/** An address that somebody has or had. */
export interface Binding {
  /** The address, int32. */
  readonly addr: number;
  /** Who: the client's identifier, or its hardware address. */
  key: string;
  /** Hardware address. */
  haHi: number;
  haLo: number;
  /** The name that it gives itself. */
  hostname: string | null;
  /** Offered, taken, or found with somebody else. */
  state: "offered" | "bound" | "declined";
  /** Until when, ns of the machine's clock; Infinity. */
  until: number;
}

/** Who asks. */
export interface Asker {
  readonly key: string;
  readonly haHi: number;
  readonly haLo: number;
  readonly hostname: string | null;
}

/** A pool of addresses. */
export class Pool {
  readonly #machine: Pick<Machine, "now">;
  readonly #low: number;
  readonly #size: number;
  readonly #reserved: ReadonlyMap<string, number>;
  readonly #kept: ReadonlySet<number>;
  readonly #byAddr = new Map<number, Binding>();
  readonly #byKey = new Map<string, Binding>();
  /** Addresses that are nobody's: the server's own and such. */
  excluded: (addr: number) => boolean = () => false;

  /** The first address of the range, int32. */
  get low(): number {
    return this.#low | 0;
  }

  /** From `low` to `high`, int32; `reserved`: addresses by hardware address (`hi:lo`). */
  constructor(machine: Pick<Machine, "now">, low: number, high: number, reserved: ReadonlyMap<string, number>) {
    this.#machine = machine;
    this.#low = low >>> 0;
    this.#size = (high >>> 0) - (low >>> 0) + 1;
    this.#reserved = reserved;
    this.#kept = new Set(reserved.values());
  }

  /** What is given or kept, in order of address. */
  list(): Binding[] {
    for (const b of [...this.#byAddr.values()]) this.#live(b);
    return [...this.#byAddr.values()].sort((a, b) => (a.addr >>> 0) - (b.addr >>> 0));
  }

  /** Addresses that are free. */
  free(): number {
    this.list();
    let n = 0;
    for (let i = 0; i < this.#size; i++) if (this.#isFree((this.#low + i) | 0)) n++;
    return n;
  }

  /** Null where it has run out: the address is free then, and its last owner comes first only if he asks again. */
  #live(b: Binding | undefined): Binding | null {
    if (b === undefined) return null;
    if (this.#machine.now < b.until) return b;
    this.#forget(b);
    return null;
  }

  #forget(b: Binding): void {
    if (this.#byAddr.get(b.addr) === b) this.#byAddr.delete(b.addr);
    if (this.#byKey.get(b.key) === b) this.#byKey.delete(b.key);
  }

  /** What a client has, or null. */
  of(key: string): Binding | null {
    return this.#live(this.#byKey.get(key));
  }

  /** Whether an address may be given to anybody. */
  has(addr: number): boolean {
    const at = (addr >>> 0) - this.#low;
    return (at >= 0 && at < this.#size) || this.#kept.has(addr);
  }

  #isFree(addr: number): boolean {
    return this.#live(this.#byAddr.get(addr)) === null && !this.#kept.has(addr) && !this.excluded(addr);
  }

  /** Whether this client may have this address now. */
  allows(asker: Asker, addr: number): boolean {
    const own = this.of(asker.key);
    if (own?.addr === addr) return own.state !== "declined";
    const reserved = this.#reserved.get(`${asker.haHi}:${asker.haLo}`);
    if (reserved !== undefined) return addr === reserved && this.#live(this.#byAddr.get(addr)) === null;
    return this.has(addr) && this.#isFree(addr);
  }

  /**
   * The address for a client (RFC 2131 section 4.3.1): what is reserved for it, what it has, what it wants, or a free one:
   * the one that its identifier falls on, or the next. Null: there is none.
   */
  choose(asker: Asker, wanted: number): number | null {
    const own = this.of(asker.key);
    const reserved = this.#reserved.get(`${asker.haHi}:${asker.haLo}`);
    if (reserved !== undefined && this.allows(asker, reserved)) return reserved;
    if (own !== null && own.state !== "declined") return own.addr;
    if (wanted !== 0 && this.allows(asker, wanted)) return wanted;
    const start = hash(asker.key) % this.#size;
    for (let i = 0; i < this.#size; i++) {
      const addr = (this.#low + (start + i) % this.#size) | 0;
      if (this.#isFree(addr)) return addr;
    }
    return null;
  }

  /** Gives an address for so many seconds. What the client had before is free. */
  give(asker: Asker, addr: number, state: Binding["state"], seconds: number): Binding {
    const own = this.#byKey.get(asker.key);
    if (own !== undefined && own.addr !== addr) this.#forget(own);
    const known = this.#byAddr.get(addr);
    if (known !== undefined) this.#forget(known);
    const until = seconds === DHCP_INFINITE ? Infinity : this.#machine.now + seconds * 1e9;
    const hostname = asker.hostname ?? (known?.key === asker.key ? known.hostname : null);
    const binding = { addr, ...asker, hostname, state, until };
    this.#byAddr.set(addr, binding);
    this.#byKey.set(asker.key, binding);
    return binding;
  }

  /** The address is with somebody else: nobody gets it for so many seconds. */
  decline(addr: number, seconds: number): void {
    const nobody = { key: `declined ${addr}`, haHi: 0, haLo: 0, hostname: null };
    this.give(nobody, addr, "declined", seconds);
  }

  /** The client has it no longer. */
  release(binding: Binding): void {
    this.#forget(binding);
  }
}

/** FNV-1a: spreads clients over the pool, the same way each time. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
