/**
 * netem: a bad network at a device. Delay, jitter, loss (random, correlated, in bursts), duplication, reordering,
 * corruption, rate. Linux: net/sched/sch_netem.c, tc-netem(8). Every decision is drawn from the platform's randomness,
 * so that a seed gives the same losses each time.
 */
import {
  DROP,
  HrTimer,
  type Machine,
  NET_XMIT_DROP,
  NET_XMIT_SUCCESS,
  netifSchedule,
  type Qdisc,
  type QdiscOps,
  type SkBuff,
} from "../../../core/mod.ts";
import { parsePercent, parseRate, parseTime } from "./units.ts";

/** What `tc qdisc add dev DEV root netem ...` says. Times like `10ms`, shares like `0.5%`, rates like `20mbit`. */
export interface NetemOptions {
  /** Packets held. Default 1000. */
  limit?: number;
  /** Added to each packet. */
  delay?: string | number;
  /** Random share of the delay, both ways. */
  jitter?: string | number;
  /** How jitter is spread. Default uniform. */
  distribution?: "uniform" | "normal" | "pareto";
  /** How much the delay of a packet depends on that of the one before. */
  delayCorrelation?: string | number;
  /** Packets lost. */
  loss?: string | number;
  /** How much a loss depends on the one before. */
  lossCorrelation?: string | number;
  /** Bursts by Gilbert and Elliott: p, r, 1-h, 1-k as tc has them; r, 1-h and 1-k have defaults 100% - p, 100%, 0%. */
  gemodel?: readonly (string | number)[];
  /** Packets sent twice. */
  duplicate?: string | number;
  /** Packets that overtake: they go at once. Needs a delay. */
  reorder?: string | number;
  /** Every how many packets one may overtake. Default 1. */
  gap?: number;
  /** Packets of which one bit is flipped. */
  corrupt?: string | number;
  /** Bits per second. */
  rate?: string | number;
}

const KNOWN = [
  "limit",
  "delay",
  "jitter",
  "distribution",
  "delayCorrelation",
  "loss",
  "lossCorrelation",
  "gemodel",
  "duplicate",
  "reorder",
  "gap",
  "corrupt",
  "rate",
];

/** One random stream with memory. Linux: struct crndstate, get_crandom(). */
class Correlated {
  #last: number;
  readonly #rho: number;
  readonly #machine: Machine;

  constructor(machine: Machine, rho: number) {
    this.#machine = machine;
    this.#rho = rho;
    this.#last = random(machine);
  }

  /** 0 to 1, as close to the last one as the correlation says. */
  next(): number {
    const value = random(this.#machine);
    return this.#last = this.#rho === 0 ? value : value * (1 - this.#rho) + this.#last * this.#rho;
  }
}

function random(machine: Machine): number {
  return (machine.platform.random() >>> 0) / 0x100000000;
}

/** A packet that waits for its time. */
interface Waiting {
  at: number;
  order: number;
  skb: SkBuff;
}

/** State of one discipline. */
class Netem {
  declare readonly machine: Machine;
  declare readonly limit: number;
  declare readonly delay: number;
  declare readonly jitter: number;
  declare readonly distribution: string;
  declare readonly loss: number;
  declare readonly duplicate: number;
  declare readonly reorder: number;
  declare readonly gap: number;
  declare readonly corrupt: number;
  declare readonly rate: number;
  declare readonly gemodel: readonly number[] | null;
  declare readonly watchdog: HrTimer;
  declare readonly delayRandom: Correlated;
  declare readonly lossRandom: Correlated;
  /** Binary heap by time, then order of arrival. */
  readonly heap: Waiting[] = [];
  /** Gilbert-Elliott: in the bad state. */
  bad = false;
  /** Packets since the last that overtook. */
  counter = 0;
  order = 0;
  /** When the last one leaves: the rate begins there. */
  lastAt = 0;
  /** A copy made by `duplicate` is not duplicated again. */
  duplicating = false;

  constructor(q: Qdisc, o: NetemOptions) {
    const machine = q.dev.net.machine;
    const share = (value: string | number | undefined, name: string): number =>
      value === undefined ? 0 : parsePercent(value, `netem's ${name}`);
    const time = (value: string | number | undefined, name: string): number =>
      value === undefined ? 0 : parseTime(value, `netem's ${name}`);
    this.machine = machine;
    this.limit = o.limit ?? 1000;
    this.delay = time(o.delay, "delay");
    this.jitter = time(o.jitter, "jitter");
    this.distribution = o.distribution ?? "uniform";
    this.loss = share(o.loss, "loss");
    this.duplicate = share(o.duplicate, "duplicate");
    this.reorder = share(o.reorder, "reorder");
    this.gap = o.gap ?? (this.reorder > 0 ? 1 : 0);
    this.corrupt = share(o.corrupt, "corrupt");
    this.rate = o.rate === undefined ? 0 : parseRate(o.rate, "netem's rate");
    this.gemodel = o.gemodel === undefined ? null : gemodelOf(o.gemodel);
    this.delayRandom = new Correlated(machine, share(o.delayCorrelation, "delayCorrelation"));
    this.lossRandom = new Correlated(machine, share(o.lossCorrelation, "lossCorrelation"));
    this.watchdog = new HrTimer(() => netifSchedule(q, machine));
  }
}

/** p, r, 1-h, 1-k with tc's defaults. */
function gemodelOf(values: readonly (string | number)[]): readonly number[] {
  if (values.length < 1 || values.length > 4) {
    throw new TypeError("Cannot use netem's gemodel: expected p [r [1-h [1-k]]]");
  }
  const given = values.map((v) => parsePercent(v, "netem's gemodel"));
  return [given[0], given[1] ?? 1 - given[0], given[2] ?? 1, given[3] ?? 0];
}

/** Linux: loss_event(), loss_gilb_ell(). */
function lossEvent(n: Netem): boolean {
  if (n.gemodel === null) return n.loss > 0 && n.lossRandom.next() < n.loss;
  const [p, r, lossBad, lossGood] = n.gemodel;
  if (n.bad ? random(n.machine) < r : random(n.machine) < p) n.bad = !n.bad;
  return random(n.machine) < (n.bad ? lossBad : lossGood);
}

/** The delay of one packet, ns. Linux: tabledist(). */
function delayOf(n: Netem): number {
  if (n.jitter === 0) return n.delay;
  const x = n.delayRandom.next();
  if (n.distribution === "uniform") return Math.max(0, n.delay + (2 * x - 1) * n.jitter);
  return Math.max(0, n.delay + n.jitter * (n.distribution === "normal" ? normal(x, random(n.machine)) : pareto(x)));
}

/** Box and Muller. */
function normal(x: number, y: number): number {
  return Math.sqrt(-2 * Math.log(Math.max(x, 1e-9))) * Math.cos(2 * Math.PI * y);
}

/** Shape 3, moved so that its mean is 0. */
function pareto(x: number): number {
  return Math.pow(Math.max(1 - x, 1e-6), -1 / 3) - 1.5;
}

/** Flips one bit. False: no memory for a private copy. Borrows `skb`. Linux: the corrupt part of netem_enqueue(). */
function corruptSkb(n: Netem, skb: SkBuff): boolean {
  if (!skb.linearize() || !skb.cowHead(0)) return false;
  const bit = Math.floor(random(n.machine) * skb.len * 8);
  skb.bytes[skb.data + (bit >> 3)] ^= 1 << (bit & 7);
  return true;
}

/** Linux: netem_enqueue(), net/sched/sch_netem.c. Takes ownership of `skb`. */
function netemEnqueue(skb: SkBuff, q: Qdisc): number {
  const n = q.priv as Netem;
  const twice = !n.duplicating && n.duplicate > 0 && random(n.machine) < n.duplicate;
  if (lossEvent(n)) {
    if (!twice) {
      q.drops++;
      q.dev.net.drop(skb, DROP.QDISC_DROP);
      // The sender is not told: a network that loses says nothing.
      return NET_XMIT_SUCCESS;
    }
  } else if (twice) {
    const copy = skb.clone();
    if (copy !== null) {
      n.duplicating = true;
      netemEnqueue(copy, q);
      n.duplicating = false;
    }
  }
  // What is under way has left its sender: it must not count against the small queue that TCP keeps below itself.
  if (n.delay > 0 || n.jitter > 0 || n.rate > 0) skb.orphan();
  if (n.corrupt > 0 && random(n.machine) < n.corrupt && !corruptSkb(n, skb)) return refuse(skb, q);
  if (q.qlen >= n.limit) return refuse(skb, q);
  q.qlen++;
  q.backlog += skb.len;
  push(n.heap, { at: timeOf(n, skb), order: n.order++, skb });
  return NET_XMIT_SUCCESS;
}

/** Takes ownership of `skb`. */
function refuse(skb: SkBuff, q: Qdisc): number {
  q.drops++;
  q.dev.net.drop(skb, DROP.QDISC_DROP);
  return NET_XMIT_DROP;
}

/** When it leaves: at once if it overtakes, else after its delay, and not before the rate allows. Borrows `skb`. */
function timeOf(n: Netem, skb: SkBuff): number {
  const now = n.machine.now;
  if (n.gap > 0 && n.counter >= n.gap - 1 && random(n.machine) < n.reorder) {
    n.counter = 0;
    return now;
  }
  n.counter++;
  let at = now + delayOf(n);
  if (n.rate > 0) {
    at = Math.max(at, n.lastAt) + skb.len * 8e9 / n.rate;
    n.lastAt = at;
  }
  return at;
}

/** Linux: netem_dequeue(), net/sched/sch_netem.c. */
function netemDequeue(q: Qdisc): SkBuff | null {
  const n = q.priv as Netem;
  const first = n.heap[0];
  if (first === undefined) return null;
  if (first.at > n.machine.now) {
    n.machine.hrtimers.start(n.watchdog, first.at);
    return null;
  }
  pop(n.heap);
  q.qlen--;
  q.backlog -= first.skb.len;
  return first.skb;
}

function netemReset(q: Qdisc): number {
  const n = q.priv as Netem;
  const held = n.heap.length;
  for (const w of n.heap.splice(0).sort((a, b) => a.order - b.order)) q.dev.net.drop(w.skb, DROP.QUEUE_PURGE);
  n.machine.hrtimers.cancel(n.watchdog);
  q.qlen = 0;
  q.backlog = 0;
  return held;
}

function sooner(a: Waiting, b: Waiting): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Waiting[], w: Waiting): void {
  let i = heap.push(w) - 1;
  while (i > 0 && sooner(w, heap[(i - 1) >> 1])) {
    heap[i] = heap[(i - 1) >> 1];
    i = (i - 1) >> 1;
  }
  heap[i] = w;
}

function pop(heap: Waiting[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  let i = 0;
  for (let child = 1; child < heap.length; child = 2 * i + 1) {
    if (child + 1 < heap.length && sooner(heap[child + 1], heap[child])) child++;
    if (!sooner(heap[child], last)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
}

/** netem. Options: {@linkcode NetemOptions}; one that makes no sense is a TypeError, an unknown one is refused. */
export function netemOps(): QdiscOps {
  return {
    name: "netem",
    canBypass: false,
    init: (q, options) => {
      if (!Object.keys(options).every((name) => KNOWN.includes(name))) return false;
      const n = new Netem(q, options as NetemOptions);
      q.priv = n;
      const shape = ["uniform", "normal", "pareto"].includes(n.distribution);
      return shape && Number.isInteger(n.limit) && n.limit > 0 && Number.isInteger(n.gap) && n.gap >= 0;
    },
    enqueue: netemEnqueue,
    dequeue: netemDequeue,
    reset: netemReset,
  };
}
