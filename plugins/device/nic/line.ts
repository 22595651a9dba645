/**
 * One direction of a wire on which frames are under way: delay, loss, reordering, duplication, corruption, rate.
 * Linux has this as a queue discipline, netem; here it is the wire's, so that a host does not see it.
 *
 * @module
 */
import { concatBytes, HrTimer } from "../../../core/mod.ts";
import type { WireCounters, WireOptions } from "./contract.ts";
import { callImpair, dmaReceive, fcsOk, type FrameSink, setFcs } from "./dma.ts";
import type { Wire } from "./wire.ts";

/** {@linkcode WireOptions} but for `impair`, complete. */
export type LineOptions = Required<Omit<WireOptions, "impair">>;

const FCS_LEN = 4;
/** Preamble, start of frame, FCS and the gap between two frames. */
const OVERHEAD = 24;
const ETH_ZLEN_WIRE = 60;
const NS = 1e9;
const TWO_32 = 0x1_0000_0000;

/** The options with defaults; what makes no sense is a RangeError. */
export function checkLine(options: WireOptions): LineOptions {
  const { delayNs = 0, jitterNs = 0, loss = 0, reorder = 0, duplicate = 0, corrupt = 0, rateBps = 0, limit = 1000 } =
    options;
  const gemodel = options.gemodel ?? null;
  if (gemodel !== null && (gemodel.length < 1 || gemodel.length > 4 || gemodel.some((p) => !(p >= 0 && p <= 1)))) {
    throw new RangeError(`Cannot make a wire with gemodel ${gemodel}: it takes p, r, 1-h, 1-k, each from 0 to 1`);
  }
  for (const [what, p] of Object.entries({ loss, reorder, duplicate, corrupt })) {
    if (!(p >= 0 && p <= 1)) throw new RangeError(`Cannot make a wire with ${what} ${p}: a probability is from 0 to 1`);
  }
  for (const [what, n] of Object.entries({ delayNs, jitterNs, rateBps })) {
    if (!(n >= 0 && n < Infinity)) {
      throw new RangeError(`Cannot make a wire with ${what} ${n}: it takes a number from 0`);
    }
  }
  if (jitterNs > delayNs) throw new RangeError(`Cannot make a wire with jitterNs ${jitterNs}: it is more than delayNs`);
  if (reorder > 0 && delayNs === 0) {
    throw new RangeError(
      `Cannot make a wire with reorder ${reorder}: without delayNs no frame is under way to overtake`,
    );
  }
  if (!Number.isInteger(limit) || limit < 1) {
    throw new RangeError(`Cannot make a wire with limit ${limit}: it takes a whole number from 1`);
  }
  return { delayNs, jitterNs, loss, gemodel, reorder, duplicate, corrupt, rateBps, limit };
}

/** A frame under way. */
interface Flight {
  /** When it arrives, ns. */
  readonly due: number;
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly fcsBad: boolean;
  readonly id: number;
  readonly cause: number;
}

/** The frames that one end sent and the other has not got yet. */
export class Line implements FrameSink {
  /** What it does to the frames to come. */
  declare options: LineOptions;
  /** What it did. */
  readonly counters: WireCounters = {
    sent: 0,
    delivered: 0,
    lost: 0,
    overLimit: 0,
    duplicated: 0,
    corrupted: 0,
    reordered: 0,
  };
  readonly #wire: Wire;
  readonly #from: 0 | 1;
  /** By arrival; among equals in the order of sending. Those before `#head` are gone. */
  #flights: Flight[] = [];
  #head = 0;
  /** When the sender's last bit is out, with a rate. */
  #free = 0;
  /** In the bad state of the Gilbert-Elliott model. */
  #bad = false;
  readonly #timer = new HrTimer(() => this.flush());

  /** The line from the wire's end `from`. */
  constructor(wire: Wire, from: 0 | 1, options: LineOptions) {
    this.#wire = wire;
    this.#from = from;
    this.options = options;
  }

  /** Frames under way. */
  get length(): number {
    return this.#flights.length - this.#head;
  }

  /** A frame leaves the sender. Linux: netem_enqueue(), net/sched/sch_netem.c. */
  take(frame: Uint8Array<ArrayBuffer>, id: number, cause: number): void {
    const { duplicate } = this.options;
    const counters = this.counters;
    counters.sent++;
    const copies = (this.#chance(duplicate) ? 2 : 1) - (this.#loses() ? 1 : 0);
    if (copies === 0) counters.lost++;
    if (copies === 2) counters.duplicated++;
    for (let i = 1; i < copies; i++) this.#send(concatBytes([frame]), id, cause);
    if (copies > 0) this.#send(frame, id, cause);
  }

  /** Linux: loss_event(), net/sched/sch_netem.c. */
  #loses(): boolean {
    const { loss, gemodel } = this.options;
    if (gemodel === null) return this.#chance(loss);
    const [p, r = 1 - p, whileBad = 1, whileGood = 0] = gemodel;
    if (this.#chance(this.#bad ? r : p)) this.#bad = !this.#bad;
    return this.#chance(this.#bad ? whileBad : whileGood);
  }

  #send(bytes: Uint8Array<ArrayBuffer>, id: number, cause: number): void {
    const { corrupt, limit } = this.options;
    const counters = this.counters;
    if (this.#chance(corrupt)) {
      const bit = Math.floor((this.#random() / TWO_32) * (bytes.length - FCS_LEN) * 8);
      bytes[bit >>> 3] ^= 1 << (bit & 7);
      counters.corrupted++;
    }
    const impair = this.#wire.impair;
    let frame: Uint8Array<ArrayBuffer> | null = bytes;
    if (impair !== null) {
      setFcs(frame, frame.length - FCS_LEN);
      const from = this.#wire.ends[this.#from]!;
      frame = callImpair(impair, frame, from, from.peer!);
      if (frame === null) {
        counters.lost++;
        return;
      }
    }
    if (this.length >= limit) {
      counters.overLimit++;
      return;
    }
    const due = this.#due(frame.length - FCS_LEN);
    this.#insert({ due, frame, fcsBad: impair !== null && !fcsOk(frame), id, cause });
  }

  /** When a frame of `len` bytes that is sent now arrives. */
  #due(len: number): number {
    const { delayNs, jitterNs, rateBps, reorder } = this.options;
    const now = this.#wire.machine.now;
    let out = now;
    if (rateBps > 0) {
      const bits = (Math.max(len, ETH_ZLEN_WIRE) + OVERHEAD) * 8;
      out = this.#free = Math.max(now, this.#free) + Math.ceil(bits * NS / rateBps);
    }
    if (this.#chance(reorder)) {
      this.counters.reordered++;
      return out;
    }
    // Whole ns: the same sums on every machine.
    const jitter = jitterNs === 0 ? 0 : Math.floor((this.#random() / TWO_32) * (2 * jitterNs + 1)) - jitterNs;
    return out + delayNs + jitter;
  }

  #insert(flight: Flight): void {
    const flights = this.#flights;
    let at = flights.length;
    while (at > this.#head && flights[at - 1].due > flight.due) at--;
    if (at === flights.length) flights.push(flight);
    else flights.splice(at, 0, flight);
  }

  /** Delivers what is due, with one interrupt, and waits for the next. */
  flush(): void {
    const { machine } = this.#wire;
    machine.enter();
    const to = this.#wire.ends[1 - this.#from];
    const flights = this.#flights;
    while (this.#head < flights.length && flights[this.#head].due <= machine.now) {
      const { frame, fcsBad, id, cause } = flights[this.#head++];
      this.counters.delivered++;
      if (to !== null && to.opened) dmaReceive(to, frame, frame.length - FCS_LEN, fcsBad, id, cause);
    }
    if (this.#head === flights.length) {
      this.#flights = [];
      this.#head = 0;
    } else if (this.#head > 64) {
      flights.splice(0, this.#head);
      this.#head = 0;
    }
    if (this.length > 0) machine.hrtimers.start(this.#timer, this.#flights[this.#head].due);
    if (to !== null) { for (const queue of to.queues) queue.announce(); }
    machine.exit();
  }

  /** The link is gone: what is under way is lost. */
  cut(): void {
    this.counters.lost += this.length;
    this.#flights = [];
    this.#head = 0;
    this.#free = 0;
    this.#wire.machine.hrtimers.cancel(this.#timer);
  }

  /** Draws only where there is something to draw for. */
  #chance(probability: number): boolean {
    return probability > 0 && this.#random() < probability * TWO_32;
  }

  #random(): number {
    return this.#wire.machine.platform.random() >>> 0;
  }
}
