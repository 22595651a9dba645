/**
 * The wire between two NICs. It belongs to a machine; the two NICs are usually in different nets of it.
 *
 * @module
 */
import type { Machine } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Impair, WireCounters, WireOptions } from "./contract.ts";
import * as dma from "./dma.ts";
import { Line, type LineOptions } from "./line.ts";
import * as line from "./line.ts";
import type { NicQueue } from "./queue.ts";
import type { Nic } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { dmaGather, dmaReceive, dmaTransfer } = dma;
const { checkLine } = line;
const { G_NAPI } = core;

/** A cable with two ends. There is a link while both NICs are plugged and up, and the wire itself is. */
export class Wire {
  /** The machine. */
  declare readonly machine: Machine;
  /** The NICs at its ends. */
  readonly ends: [Nic | null, Nic | null] = [null, null];
  #up = true;
  #impair: Impair | null;
  #options: LineOptions;
  /** One per sending end; null: frames are never under way. */
  #lines: [Line, Line] | null = null;

  /** Use {@linkcode wire}. */
  constructor(machine: Machine, options: WireOptions = {}) {
    this.machine = machine;
    this.#impair = options.impair ?? null;
    this.#options = checkLine(options);
    this.#makeLines();
  }

  /** Whether it is a cable that does nothing to frames: super-packets may cross it, too. */
  get plain(): boolean {
    return this.#impair === null && this.#lines === null;
  }

  /**
   * Changes delay, loss and the like, while it runs; what is not named stays. Frames under way keep their time.
   * Linux: `tc qdisc change ... netem`.
   */
  change(options: Omit<WireOptions, "impair">): void {
    const changed = checkLine({ ...this.#options, ...options });
    this.#options = changed;
    if (this.#lines === null) this.#makeLines();
    else for (const line of this.#lines) line.options = changed;
    for (const nic of this.ends) nic?.applyFeatures();
  }

  /** What it did to frames, by the sending end; null while it is a cable. */
  get counters(): readonly [WireCounters, WireCounters] | null {
    return this.#lines === null ? null : [this.#lines[0].counters, this.#lines[1].counters];
  }

  /** Frames under way. */
  get underWay(): number {
    return this.#lines === null ? 0 : this.#lines[0].length + this.#lines[1].length;
  }

  #makeLines(): void {
    const o = this.#options;
    const acts = o.delayNs + o.jitterNs + o.loss + o.duplicate + o.corrupt + o.rateBps > 0 || o.gemodel !== null;
    if (acts) this.#lines = [new Line(this, 0, o), new Line(this, 1, o)];
  }

  /** Whether the cable is whole. */
  get up(): boolean {
    return this.#up;
  }

  /** Cuts the cable or mends it: the carrier of both ends follows. */
  setUp(up: boolean): void {
    this.machine.enter();
    this.#up = up;
    this.updateLink();
    this.machine.exit();
  }

  /** What the wire does to frames, see {@linkcode WireOptions.impair}. */
  get impair(): Impair | null {
    return this.#impair;
  }

  set impair(impair: Impair | null) {
    this.#impair = impair;
    for (const nic of this.ends) nic?.applyFeatures();
  }

  /** Plugs a NIC into a free end; both taken, or a NIC of another machine, is a TypeError. */
  plug(nic: Nic): this {
    const at = this.ends.indexOf(null);
    if (nic.machine !== this.machine) {
      throw new TypeError(`Cannot plug ${nic.dev.name} of ${nic.net.name} into a wire of another machine`);
    }
    if (nic.wire !== null || at < 0) {
      throw new TypeError(
        `Cannot plug ${nic.dev.name} of ${nic.net.name}: ${
          nic.wire === null ? "both ends of the wire are taken" : "it is plugged already"
        }`,
      );
    }
    this.machine.enter();
    this.ends[at] = nic;
    nic.wire = this;
    this.updateLink();
    this.machine.exit();
    return this;
  }

  /** Takes a NIC off; both ends lose the link. */
  unplug(nic: Nic): void {
    const at = this.ends.indexOf(nic);
    if (at < 0) return;
    this.machine.enter();
    this.ends[at] = null;
    nic.linkChange(null);
    nic.wire = null;
    this.updateLink();
    this.machine.exit();
  }

  /** Both ends learn whether there is a link. */
  updateLink(): void {
    const [a, b] = this.ends;
    const up = this.#up && a !== null && b !== null && a.opened && b.opened;
    for (const nic of this.ends) {
      const peer = up ? (nic === a ? b : a) : null;
      if (nic !== null && nic.peer !== peer) nic.linkChange(peer);
    }
    if (!up && this.#lines !== null) { for (const line of this.#lines) line.cut(); }
  }

  /**
   * The driver rang: the device moves all that waits in the transmit ring to the other end, with one interrupt at each.
   * It never polls: the receiver's NAPI runs when the outermost entry ends.
   */
  doorbell(from: NicQueue): void {
    const { nic } = from;
    nic.counters.doorbells++;
    if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.doorbell, null, from.tx.pending, 0, nic);
    const peer = nic.peer;
    if (peer === null) return;
    const lines = this.#lines;
    if (lines === null) {
      dmaTransfer(from, peer, this.#impair);
      return;
    }
    const line = nic === this.ends[0] ? lines[0] : lines[1];
    dmaGather(from, peer, line);
    line.flush();
  }

  /**
   * A frame without FCS comes in at `to` as if the other end had sent it: for tests and replays. False: the NIC is
   * down, or lost or refused it.
   */
  inject(to: Nic, frame: Uint8Array<ArrayBuffer>): boolean {
    if (!to.opened || to.wire !== this) return false;
    this.machine.enter();
    const queue = dmaReceive(to, frame, frame.length, false, 0, 0);
    queue?.announce();
    this.machine.exit();
    return queue !== null;
  }
}

/** A wire on a machine. */
export function wire(machine: Machine, options: WireOptions = {}): Wire {
  return new Wire(machine, options);
}
