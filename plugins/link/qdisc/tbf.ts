/**
 * tbf: a token bucket. Packets leave at a rate, bursts up to the bucket pass at once. What waits for tokens waits in a
 * queue of its own, or in that of another discipline below it. Linux: net/sched/sch_tbf.c, tc-tbf(8).
 */
import {
  DROP,
  gsoSegment,
  HrTimer,
  type Machine,
  NET_XMIT_DROP,
  NET_XMIT_SUCCESS,
  netifSchedule,
  Qdisc,
  type QdiscOps,
  SkbQueue,
  type SkBuff,
} from "../../../core/mod.ts";
import { parseRate, parseSize, parseTime } from "./units.ts";

/** What `tc qdisc add dev DEV root tbf rate R burst B latency T` says. */
export interface TbfOptions {
  /** Tokens come at this rate: `20mbit`. */
  rate: string | number;
  /** Bytes that pass at once: `32kb`. A packet that is larger is never sent. */
  burst: string | number;
  /** Bytes that wait at most. */
  limit?: string | number;
  /** The same as time: how long a packet waits at most. One of both. */
  latency?: string | number;
  /** Bound of the rate within a burst. */
  peakrate?: string | number;
  /** Bytes of the bucket of the peak rate: the largest packet. Default 1514 + 64. */
  mtu?: string | number;
  /** What waits, waits in this discipline: `{ kind: "fq_codel" }`. `limit` is then its matter. Default: a FIFO. */
  child?: Readonly<Record<string, unknown>> & { kind: string };
}

const KNOWN = ["rate", "burst", "limit", "latency", "peakrate", "mtu", "child"];

class Tbf {
  declare readonly machine: Machine;
  declare readonly watchdog: HrTimer;
  readonly queue: SkbQueue = new SkbQueue();
  /** In the place of `queue`. */
  declare readonly child: Qdisc | null;
  /** What the child gave and there were no tokens for yet. Linux: qdisc_peek_dequeued(). */
  peeked: SkBuff | null = null;
  /** Bytes per ns. */
  declare readonly rate: number;
  declare readonly burst: number;
  declare readonly peak: number;
  declare readonly mtu: number;
  declare readonly limit: number;
  declare tokens: number;
  declare peakTokens: number;
  /** When the tokens were counted last. */
  declare checked: number;

  constructor(q: Qdisc, o: TbfOptions) {
    const machine = q.dev.net.machine;
    this.machine = machine;
    this.rate = parseRate(o.rate, "tbf's rate") / 8e9;
    this.burst = parseSize(o.burst, "tbf's burst");
    this.peak = o.peakrate === undefined ? 0 : parseRate(o.peakrate, "tbf's peakrate") / 8e9;
    this.mtu = o.mtu === undefined ? 1578 : parseSize(o.mtu, "tbf's mtu");
    this.limit = o.limit !== undefined
      ? parseSize(o.limit, "tbf's limit")
      : this.rate * parseTime(o.latency ?? "0ms", "tbf's latency") + this.burst;
    this.child = o.child === undefined ? null : childOf(q, o.child);
    this.tokens = this.burst;
    this.peakTokens = this.mtu;
    this.checked = machine.now;
    this.watchdog = new HrTimer(() => netifSchedule(q, machine));
  }
}

/** Linux: qdisc_create_dflt(). */
function childOf(q: Qdisc, { kind, ...options }: Readonly<Record<string, unknown>> & { kind: string }): Qdisc {
  const { qdiscs } = q.dev.net;
  const ops = qdiscs.get(kind);
  if (ops === undefined) {
    throw new TypeError(`Cannot use tbf's child: no kind "${kind}"; there are ${[...qdiscs.keys()].join(", ")}`);
  }
  const child = new Qdisc(ops, q.txq, options);
  if (!ops.init(child, options)) {
    throw new TypeError(`Cannot use tbf's child: ${kind} refuses ${JSON.stringify(options)}`);
  }
  return child;
}

/** Linux: tbf_enqueue(), tbf_segment(), net/sched/sch_tbf.c. Takes ownership of `skb`. */
function tbfEnqueue(skb: SkBuff, q: Qdisc): number {
  const t = q.priv as Tbf;
  if (skb.gsoSize === 0 || skb.len <= t.burst) return enqueueOne(skb, q, t);
  let result = NET_XMIT_DROP;
  for (let s = gsoSegment(skb, q.dev); s !== null;) {
    const next: SkBuff | null = s.next;
    s.next = null;
    if (enqueueOne(s, q, t) === NET_XMIT_SUCCESS) result = NET_XMIT_SUCCESS;
    s = next;
  }
  return result;
}

/** Takes ownership of `skb`. */
function enqueueOne(skb: SkBuff, q: Qdisc, t: Tbf): number {
  const { child } = t;
  const room = child !== null || q.backlog + skb.len <= t.limit;
  if (skb.len > t.burst || (t.peak > 0 && skb.len > t.mtu) || !room) {
    q.drops++;
    q.dev.net.drop(skb, DROP.QDISC_DROP);
    return NET_XMIT_DROP;
  }
  if (child !== null) {
    const result = child.ops.enqueue(skb, child);
    count(q, t, child);
    return result;
  }
  q.qlen++;
  q.backlog += skb.len;
  t.queue.enqueue(skb);
  return NET_XMIT_SUCCESS;
}

/** The child drops on its own, too. Linux: qdisc_tree_reduce_backlog(). */
function count(q: Qdisc, t: Tbf, child: Qdisc): void {
  q.qlen = child.qlen + (t.peeked === null ? 0 : 1);
  q.backlog = child.backlog + (t.peeked === null ? 0 : t.peeked.len);
  q.drops += child.drops;
  child.drops = 0;
}

/** What goes next; it stays where it is. */
function peek(q: Qdisc, t: Tbf): SkBuff | null {
  if (t.child === null) return t.queue.head;
  if (t.peeked === null) {
    t.peeked = t.child.ops.dequeue(t.child);
    count(q, t, t.child);
  }
  return t.peeked;
}

/** Takes what {@linkcode peek} gave. */
function take(q: Qdisc, t: Tbf, skb: SkBuff): void {
  if (t.child === null) t.queue.dequeue();
  t.peeked = null;
  q.qlen--;
  q.backlog -= skb.len;
}

/** Linux: tbf_dequeue(), net/sched/sch_tbf.c. */
function tbfDequeue(q: Qdisc): SkBuff | null {
  const t = q.priv as Tbf;
  const skb = peek(q, t);
  if (skb === null) return null;
  const now = t.machine.now;
  const passed = now - t.checked;
  const tokens = Math.min(t.burst, t.tokens + passed * t.rate) - skb.len;
  const peak = t.peak === 0 ? 0 : Math.min(t.mtu, t.peakTokens + passed * t.peak) - skb.len;
  if (tokens >= 0 && peak >= 0) {
    t.checked = now;
    t.tokens = tokens;
    t.peakTokens = peak;
    take(q, t, skb);
    return skb;
  }
  // A little late rather than a little early: early, it would only find itself short of a token again.
  const wait = Math.max(tokens < 0 ? -tokens / t.rate : 0, peak < 0 ? -peak / t.peak : 0);
  t.machine.hrtimers.start(t.watchdog, now + Math.ceil(wait) + 1);
  return null;
}

function tbfReset(q: Qdisc): number {
  const t = q.priv as Tbf;
  let held = t.queue.qlen;
  if (t.child !== null) held += t.child.ops.reset(t.child);
  if (t.peeked !== null) {
    held++;
    q.dev.net.drop(t.peeked, DROP.QUEUE_PURGE);
    t.peeked = null;
  }
  for (let skb = t.queue.dequeue(); skb !== null; skb = t.queue.dequeue()) q.dev.net.drop(skb, DROP.QUEUE_PURGE);
  t.machine.hrtimers.cancel(t.watchdog);
  t.tokens = t.burst;
  t.peakTokens = t.mtu;
  t.checked = t.machine.now;
  q.qlen = 0;
  q.backlog = 0;
  return held;
}

/** tbf. Options: {@linkcode TbfOptions}; one that makes no sense is a TypeError, an unknown or missing one is refused. */
export function tbfOps(): QdiscOps {
  return {
    name: "tbf",
    canBypass: false,
    init: (q, options) => {
      const o = options as unknown as TbfOptions;
      const known = Object.keys(options).every((name) => KNOWN.includes(name));
      if (!known || o.rate === undefined || o.burst === undefined) return false;
      if (o.child === undefined && (o.limit === undefined) === (o.latency === undefined)) return false;
      const t = new Tbf(q, o);
      q.priv = t;
      return t.rate > 0 && t.burst > 0;
    },
    enqueue: tbfEnqueue,
    dequeue: tbfDequeue,
    reset: tbfReset,
  };
}
