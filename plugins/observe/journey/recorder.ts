/**
 * The recorder: listens to every tracepoint and to the copy ledger, and turns each event into one plain record.
 * While none is attached the bus mask is 0 and the ledger's listener null: the path pays nothing.
 */
import {
  CONTEXT_NAMES,
  type DropReason,
  type Machine,
  type SkBuff,
  TP_IRQ_HANDLER_ENTRY,
  TP_IRQ_HANDLER_EXIT,
  TP_KFREE_SKB,
} from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/contract.ts";
import type {
  JourneyCopy,
  JourneyLayout,
  JourneyOptions,
  JourneyPacket,
  JourneyRecord,
  LadderOptions,
  RenderOptions,
} from "./contract.ts";
import { groupPackets } from "./packets.ts";
import { renderJourney } from "./render.ts";
import { summarize, tcpSegment } from "./summary.ts";
import { renderLadder } from "./ladder.ts";

const DEFAULT_LIMIT = 10_000;
/** Netfilter's tracepoint of one hook: `b` is its verdict. */
const HOOK_POINT = "nf:nf_hook_entry_hookfn";
const NF_VERDICTS: readonly string[] = ["DROP", "ACCEPT", "STOLEN", "QUEUE", "REPEAT"];

/** A record while it is young: an interrupt learns its net from the NAPI context that its handler schedules. */
type Draft = { -readonly [K in keyof JourneyRecord]: JourneyRecord[K] };

/**
 * A recording. It starts when made and ends with `dispose`; what was recorded stays.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { G_USER, Machine } from "@netpath/stack/core";
 * import { journey } from "@netpath/stack/journey";
 *
 * const machine = new Machine();
 * const id = machine.bus.define({ name: "mine:hello", linux: "", group: G_USER });
 * const j = journey(machine);
 * if ((machine.bus.mask & G_USER) !== 0) machine.bus.hit(id, null, 42, 0, null);
 * j[Symbol.dispose]();
 * assertEquals(machine.bus.mask, 0);
 * assertEquals(j.records().map((r) => [r.point, r.a]), [["mine:hello", 42]]);
 * ```
 */
export class Journey implements Disposable {
  /** The machine. */
  readonly machine: Machine;
  /** Records kept at most. */
  readonly limit: number;
  /** Records that were dropped because newer ones came. */
  dropped = 0;
  readonly #nets: readonly string[] | null;
  readonly #filter: ((point: string) => boolean) | null;
  readonly #packets: NonNullable<JourneyOptions["packets"]> | null;
  readonly #ring: Draft[] = [];
  readonly #ends: Disposable[];
  /** Net by interrupt number, as their handlers showed it. */
  readonly #irqNet = new Map<number, string>();
  readonly #copies: JourneyCopy[] = [];
  #seq = 0;
  /** Number of the record before the first of the ring, as it was last cleared. */
  #first = 0;
  #irq: Draft | null = null;
  #lastNet = "";

  /** Starts. A limit below 1 is a RangeError. */
  constructor(machine: Machine, options: JourneyOptions = {}) {
    const limit = options.limit ?? DEFAULT_LIMIT;
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`Cannot keep ${limit} records: at least 1`);
    this.machine = machine;
    this.limit = limit;
    this.#nets = options.nets ?? null;
    this.#filter = options.filter ?? null;
    this.#packets = options.packets ?? null;
    this.#ends = [
      machine.bus.onAll((skb, a, b, obj, id) => this.#event(skb, a, b, obj, id)),
      machine.ledger.listen((site, bytes) => this.#copy(site, bytes)),
    ];
  }

  /** What is kept, oldest first. */
  records(): readonly JourneyRecord[] {
    const at = (this.#seq - this.#first) % this.limit;
    return this.#ring.length < this.limit ? [...this.#ring] : [...this.#ring.slice(at), ...this.#ring.slice(0, at)];
  }

  /** The packets, each under the one that caused it; those nobody caused are the roots. */
  packets(): JourneyPacket[] {
    return groupPackets(this.records());
  }

  /** One packet by id, or undefined. */
  packet(id: number): JourneyPacket | undefined {
    const find = (list: readonly JourneyPacket[]): JourneyPacket | undefined => {
      for (const p of list) {
        const hit = p.id === id ? p : find(p.children);
        if (hit !== undefined) return hit;
      }
      return undefined;
    };
    return find(this.packets());
  }

  /** The journey as a tree for people. */
  render(options: RenderOptions = {}): string {
    const head = this.dropped > 0 ? `(${this.dropped} older events were dropped; keep more with \`limit\`)\n` : "";
    return head + renderJourney(this.records(), options);
  }

  /** The TCP connections as ladders: time runs down, each segment is an arrow from host to host. */
  ladder(options: LadderOptions = {}): string {
    return renderLadder(this.records(), options);
  }

  /** One JSON object a line, for programs. */
  jsonLines(): string {
    return this.records().map((r) => JSON.stringify(r) + "\n").join("");
  }

  /** Forgets what was recorded; recording goes on, and so do the numbers. */
  clear(): void {
    this.#ring.length = 0;
    this.#copies.length = 0;
    this.#first = this.#seq;
    this.dropped = 0;
    this.#irq = null;
  }

  /** Ends the recording. */
  [Symbol.dispose](): void {
    for (const end of this.#ends.splice(0)) end[Symbol.dispose]();
  }

  #copy(site: number, bytes: number): void {
    const ledger = this.machine.ledger;
    this.#copies.push({ site: ledger.nameOf(site), kind: ledger.kindOf(site), bytes });
  }

  /** Borrows `skb`. */
  #event(skb: SkBuff | null, a: number, b: number, obj: unknown, id: number): void {
    const machine = this.machine;
    const def = machine.bus.def(id);
    if (this.#filter !== null && !this.#filter(def.name)) return;
    if (this.#packets !== null && !this.#packets(skb, def.name)) {
      this.#copies.length = 0;
      return;
    }
    const irq = id === TP_IRQ_HANDLER_ENTRY || id === TP_IRQ_HANDLER_EXIT;
    const net = irq ? this.#irqNet.get(a) ?? "" : this.#netOf(skb, obj);
    if (this.#nets !== null && net !== "" && !this.#nets.includes(net)) return;
    const cpu = machine.cpu;
    const copies = this.#copies.splice(0);
    const segment = skb === null ? null : tcpSegment(skb);
    const record: Draft = {
      seq: 0,
      time: machine.now,
      net,
      cpu: cpu.id,
      context: CONTEXT_NAMES[machine.context],
      point: def.name,
      linux: def.linux,
      id: skb?.id ?? 0,
      cause: skb?.cause ?? 0,
      layout: skb === null ? null : layoutOf(skb, segment?.doff ?? 8),
      packet: skb === null ? "" : summarize(skb),
      segment,
      dev: skb?.dev?.name ?? deviceOf(obj),
      a,
      b,
      what: nameOf(obj, net),
      copies,
      verdict: def.name === HOOK_POINT ? NF_VERDICTS[b] ?? String(b) : "",
      drop: id === TP_KFREE_SKB ? dropOf(machine, a) : null,
    };
    this.#keep(record);
    if (irq) this.#irq = id === TP_IRQ_HANDLER_ENTRY ? record : null;
    else if (this.#irq !== null) this.#learnIrq(this.#irq, record);
  }

  #keep(record: Draft): void {
    if (this.#ring.length < this.limit) this.#ring.push(record);
    else {
      this.#ring[(this.#seq - this.#first) % this.limit] = record;
      this.dropped++;
    }
    record.seq = ++this.#seq;
  }

  /** An interrupt line does not know its net; what its handler schedules does. */
  #learnIrq(entry: Draft, inside: JourneyRecord): void {
    if (inside.net === "" || inside.context !== "hardirq") return;
    this.#irqNet.set(entry.a, inside.net);
    entry.net = inside.net;
    this.#irq = null;
  }

  #netOf(skb: SkBuff | null, obj: unknown): string {
    const found = skb?.dev?.net.name ?? netName(obj) ?? netName(skb?.dst) ?? null;
    if (found !== null) return this.#lastNet = found;
    return skb === null ? "" : this.#lastNet;
  }
}

/** Borrows `skb`. */
function layoutOf(skb: SkBuff, transportLen: number): JourneyLayout {
  const at = (position: number): number => position < 0 ? -1 : position - skb.head;
  return {
    head: skb.head,
    data: skb.data - skb.head,
    tail: skb.tail - skb.head,
    end: skb.end - skb.head,
    len: skb.len,
    dataLen: skb.dataLen,
    mac: at(skb.macHeader),
    network: at(skb.networkHeader),
    transport: at(skb.transportHeader),
    transportLen,
    protocol: skb.protocol,
    cloned: skb.cloned,
  };
}

function dropOf(machine: Machine, reason: number): DropReason {
  const { name, layer, text, advice } = machine.reasons.get(reason);
  return { name, layer, text, advice };
}

/** What the things that tracepoints show have in common, as far as it is read here. */
interface Shown {
  name?: unknown;
  net?: { name?: unknown } | null;
  dev?: Shown | null;
  ops?: { name?: unknown } | null;
  saddr?: unknown;
  sport?: unknown;
  primaryKey?: unknown;
}

function shown(obj: unknown): Shown | null {
  return typeof obj === "object" && obj !== null ? obj as Shown : null;
}

function netName(obj: unknown): string | null {
  const o = shown(obj);
  if (o === null) return null;
  if (typeof o.net?.name === "string") return o.net.name;
  return o.dev == null ? null : netName(o.dev);
}

function deviceOf(obj: unknown): string {
  const dev = shown(obj)?.dev;
  const name = dev === null || dev === undefined ? undefined : dev.name;
  return typeof name === "string" ? name : "";
}

/** A device of another net has that net's name in front. */
function nameOf(obj: unknown, net: string): string {
  const owner = netName(obj);
  const name = describe(obj);
  return owner === null || owner === net || name === "" ? name : `${owner}'s ${name}`;
}

function describe(obj: unknown): string {
  if (typeof obj === "string") return obj;
  const o = shown(obj);
  if (o === null) return "";
  if (typeof o.saddr === "number" && typeof o.sport === "number") return `${ipToString(o.saddr)}:${o.sport}`;
  if (typeof o.primaryKey === "number") return ipToString(o.primaryKey);
  if (typeof o.name === "string") return o.name;
  const dev = deviceOf(o);
  if (typeof o.ops?.name === "string") return dev === "" ? o.ops.name : `${o.ops.name} on ${dev}`;
  return dev;
}
