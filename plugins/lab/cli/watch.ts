/**
 * Records the way of the packets that an expression means, and of no others: what a trace keeps in memory does not grow
 * with what else a lab does.
 *
 * Which packet a step belongs to is known at once; whether the packet is meant, only when its headers are written, and
 * whether it is dropped, at its end. So steps wait: those of the last {@linkcode WINDOW} events are looked at twice, and
 * what nobody asked for by then is forgotten.
 */
import type { Machine, SkBuff } from "../../../core/mod.ts";
import { type Journey, journey, type JourneyRecord, owners } from "../../observe/journey/mod.ts";
import type { PacketTest } from "./expression.ts";
import { noFacts, readFacts } from "./facts.ts";

/** What is watched. */
export interface WatchOptions {
  /** Which packets are meant. */
  readonly test: PacketTest;
  /** Only those that are dropped. */
  readonly dropsOnly: boolean;
  /** Packets kept at most; the rest is counted. */
  readonly limit: number;
  /** Only steps on these hosts; null: on all. */
  readonly nets: readonly string[] | null;
}

/** Events between two harvests. */
const WINDOW = 20_000;
/** A NIC without a free descriptor drops, too, although no kernel sees the packet. */
const DROPS = ["skb:kfree_skb", "nic:rx_missed"];
/** What is known of a packet, as bits. */
const MEANT = 1, DROPPED = 2, OTHER = 4;

/** A step, and the packet it is shown with: an interrupt has none of its own. */
type Row = readonly [record: JourneyRecord, owner: number];

/** See the top of the file. Starts when made, ends with `dispose`; what was recorded stays. */
export class PacketWatch implements Disposable {
  /** Packets that were meant, but came after {@linkcode WatchOptions.limit}. */
  get left(): number {
    return this.#left.size;
  }
  readonly #options: WatchOptions;
  readonly #trace: Journey;
  readonly #facts = noFacts();
  /** What is known, by packet. */
  readonly #known = new Map<number, number>();
  readonly #chosen = new Set<number>();
  readonly #left = new Set<number>();
  readonly #kept: JourneyRecord[] = [];
  #waiting: Row[] = [];
  /** Number of the last record that was harvested. */
  #harvested = 0;
  #events = 0;
  /** The event at hand may have to be shown. */
  #wanted = true;

  /** Starts on `machine`. */
  constructor(machine: Machine, options: WatchOptions) {
    this.#options = options;
    this.#trace = journey(machine, {
      limit: 2 * WINDOW,
      packets: (skb, point) => this.#look(skb, point),
      ...(options.nets === null ? {} : { nets: options.nets }),
    });
  }

  /** The steps of the packets that were meant, in order. Ends nothing. */
  records(): JourneyRecord[] {
    this.#harvest();
    return this.#kept.sort((a, b) => a.seq - b.seq);
  }

  /** Ends the recording. */
  [Symbol.dispose](): void {
    this.#trace[Symbol.dispose]();
  }

  /** Whether an event is recorded. One of the machine goes with the packet before it. Borrows `skb`. */
  #look(skb: SkBuff | null, point: string): boolean {
    if (this.#events >= WINDOW) this.#harvest();
    if (skb !== null) this.#wanted = this.#learn(skb, point);
    if (this.#wanted) this.#events++;
    return this.#wanted;
  }

  /** Borrows `skb`. False: its steps are of no interest. */
  #learn(skb: SkBuff, point: string): boolean {
    if (this.#chosen.has(skb.id)) return true;
    const before = this.#known.get(skb.id) ?? 0;
    let now = before;
    if ((now & MEANT) === 0 && readFacts(skb, this.#facts)) now |= this.#options.test(this.#facts) ? MEANT : OTHER;
    if (DROPS.includes(point)) now |= DROPPED;
    if (now !== before) this.#known.set(skb.id, now);
    const want = this.#options.dropsOnly ? MEANT | DROPPED : MEANT;
    const room = this.#chosen.size < this.#options.limit;
    if ((now & want) === want) (room ? this.#chosen : this.#left).add(skb.id);
    // One whose headers say that it is another may still turn out to be meant, behind a tag or an outer header.
    return this.#chosen.has(skb.id) || (room && (now & (MEANT | OTHER)) !== OTHER);
  }

  #harvest(): void {
    const fresh = this.#trace.records().filter((r) => r.seq > this.#harvested);
    this.#harvested = fresh.at(-1)?.seq ?? this.#harvested;
    this.#events = 0;
    const owner = owners(fresh);
    const rows = fresh.map((r, i): Row => [r, owner[i]]);
    for (const [r, id] of this.#waiting) if (this.#chosen.has(id)) this.#kept.push(r);
    this.#waiting = [];
    for (const row of rows) {
      if (this.#chosen.has(row[1])) this.#kept.push(row[0]);
      else this.#waiting.push(row);
    }
    const alive = new Set(this.#waiting.map(([, id]) => id));
    for (const id of this.#known.keys()) if (!alive.has(id)) this.#known.delete(id);
  }
}
