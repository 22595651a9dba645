/**
 * The identification field. RFC 791 section 3.2, RFC 6864, RFC 7739.
 *
 * An id must not be reused towards one host while its fragments may still be on their way, and must tell nobody how
 * much we send to others (idle scans). So: 2,048 counters that begin at random, chosen by a keyed hash of addresses
 * and protocol, and stepped by a random amount that grows with the time since the last use.
 *
 * @module
 */
import type { Machine } from "../../../core/mod.ts";
import * as inet from "../inet/contract.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { hsiphash3 } = inet;

const IDENTS = 2048;

/** The counters of a net. */
export class IpIdents {
  readonly #machine: Machine;
  readonly #k0: number = 0;
  readonly #k1: number = 0;
  readonly #ids: Int32Array;
  readonly #stamps: Int32Array;

  /** Counters at random values, under a random key. */
  constructor(machine: Machine) {
    const platform = machine.platform;
    this.#machine = machine;
    this.#k0 = platform.random();
    this.#k1 = platform.random();
    this.#ids = Int32Array.from({ length: IDENTS }, () => platform.random());
    this.#stamps = new Int32Array(IDENTS).fill(machine.jiffies);
  }

  /** Reserves `segs` ids in a row; the first, 16 bits. Linux: __ip_select_ident(), ip_idents_reserve(), net/ipv4/route.c. */
  select(saddr: number, daddr: number, protocol: number, segs: number): number {
    const i = hsiphash3(daddr, saddr, protocol, this.#k0, this.#k1) & (IDENTS - 1);
    const now = this.#machine.jiffies;
    const idle = (now - this.#stamps[i]) | 0;
    let id = this.#ids[i];
    if (idle > 0) {
      this.#stamps[i] = now;
      id += Math.floor((this.#machine.platform.random() >>> 0) / 0x100000000 * idle);
    }
    this.#ids[i] = (id + segs) | 0;
    return id & 0xffff;
  }
}
