/**
 * First in, first out, bounded. Linux: net/sched/sch_generic.c (pfifo_fast), net/sched/sch_fifo.c (pfifo).
 */
import {
  DROP,
  NET_XMIT_DROP,
  NET_XMIT_SUCCESS,
  type Qdisc,
  type QdiscOps,
  SkbQueue,
  type SkBuff,
} from "../../../core/mod.ts";
import { PFIFO_FAST_BANDS, PRIO2BAND, TC_PRIO_MAX } from "./contract.ts";

/** What a qdisc of this folder keeps in `q.priv`. */
interface Fifo {
  /** Packets that one band holds; 0: what the device says, `dev.txQueueLen`, at each packet. */
  readonly limit: number;
  /** The bands; the first leaves first. */
  readonly bands: readonly SkbQueue[];
}

function fifo(limit: number, bands: number): Fifo {
  return { limit, bands: Array.from({ length: bands }, () => new SkbQueue()) };
}

/** Appends to a band, or drops at its tail. Takes ownership of `skb`. */
function append(skb: SkBuff, q: Qdisc, band: SkbQueue, limit: number): number {
  if (band.qlen >= limit) {
    q.drops++;
    q.dev.net.drop(skb, DROP.QDISC_DROP);
    return NET_XMIT_DROP;
  }
  q.qlen++;
  q.backlog += skb.len;
  band.enqueue(skb);
  return NET_XMIT_SUCCESS;
}

/** The first of a band, which is not empty. */
function take(q: Qdisc, band: SkbQueue): SkBuff {
  const skb = band.dequeue() as SkBuff;
  q.qlen--;
  q.backlog -= skb.len;
  return skb;
}

/**
 * Linux: pfifo_fast_enqueue(), net/sched/sch_generic.c.
 *
 * Each band holds `dev.txQueueLen` packets, as each has a ring of its own in Linux. Takes ownership of `skb`.
 */
export function pfifoFastEnqueue(skb: SkBuff, q: Qdisc): number {
  const f = q.priv as Fifo;
  return append(skb, q, f.bands[PRIO2BAND[skb.priority & TC_PRIO_MAX]], q.dev.txQueueLen);
}

/** Linux: pfifo_fast_dequeue(), net/sched/sch_generic.c. A band leaves only while those before it are empty. */
export function pfifoFastDequeue(q: Qdisc): SkBuff | null {
  if (q.qlen === 0) return null;
  const bands = (q.priv as Fifo).bands;
  if (bands[0].qlen !== 0) return take(q, bands[0]);
  return take(q, bands[1].qlen !== 0 ? bands[1] : bands[2]);
}

/** Linux: pfifo_enqueue(), net/sched/sch_fifo.c. Takes ownership of `skb`. */
export function pfifoEnqueue(skb: SkBuff, q: Qdisc): number {
  const f = q.priv as Fifo;
  return append(skb, q, f.bands[0], f.limit !== 0 ? f.limit : Math.max(1, q.dev.txQueueLen));
}

/** Linux: qdisc_dequeue_head(), net/sched/sch_fifo.c. */
export function pfifoDequeue(q: Qdisc): SkBuff | null {
  return q.qlen === 0 ? null : take(q, (q.priv as Fifo).bands[0]);
}

/** Linux: qdisc_reset(). Drops all; core counts them. */
export function fifoReset(q: Qdisc): number {
  const n = q.qlen;
  const bands = (q.priv as Fifo).bands;
  for (let i = 0; i < bands.length; i++) {
    for (let skb = bands[i].dequeue(); skb !== null; skb = bands[i].dequeue()) q.dev.net.drop(skb, DROP.QUEUE_PURGE);
  }
  q.qlen = 0;
  q.backlog = 0;
  return n;
}

/** pfifo_fast: no options. */
export function pfifoFastOps(): QdiscOps {
  return {
    name: "pfifo_fast",
    canBypass: true,
    init: (q, options) => {
      q.priv = fifo(0, PFIFO_FAST_BANDS);
      return q.dev.txQueueLen > 0 && Object.keys(options).length === 0;
    },
    enqueue: pfifoFastEnqueue,
    dequeue: pfifoFastDequeue,
    reset: fifoReset,
  };
}

/** pfifo: option `limit`, packets; default the device's txQueueLen. */
export function pfifoOps(): QdiscOps {
  return {
    name: "pfifo",
    canBypass: true,
    init: (q, options) => {
      const limit = options.limit ?? 0;
      q.priv = fifo(Number(limit), 1);
      const known = Object.keys(options).every((name) => name === "limit");
      return known && Number.isInteger(limit) && (limit as number) >= (options.limit === undefined ? 0 : 1);
    },
    enqueue: pfifoEnqueue,
    dequeue: pfifoDequeue,
    reset: fifoReset,
  };
}
