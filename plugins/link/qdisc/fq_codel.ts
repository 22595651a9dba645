/**
 * fq_codel: a queue per flow, served in turn, each held short by CoDel. RFC 8290; Linux: net/sched/sch_fq_codel.c.
 */
import {
  DROP,
  type Machine,
  NET_XMIT_CN,
  NET_XMIT_SUCCESS,
  type Qdisc,
  type QdiscOps,
  SkbQueue,
  type SkBuff,
} from "../../../core/mod.ts";
import { codelEnterDropping, type CodelParams, codelShouldDrop, CodelVars, controlLaw } from "./codel.ts";
import { flowHash, hasIpv4 } from "./flow.ts";
import { parseSize, parseTime } from "./units.ts";
import { IPH_CHECK, IPH_TOS } from "../../network/ipv4/header.ts";

/** What `tc qdisc add dev DEV root fq_codel ...` says. */
export interface FqCodelOptions {
  /** Packets held. Default 10,240. */
  limit?: number;
  /** Queues. Default 1,024. */
  flows?: number;
  /** Wait that is no standing queue. Default 5ms. */
  target?: string | number;
  /** Default 100ms. */
  interval?: string | number;
  /** Bytes that a flow sends in its turn. Default: MTU and link header. */
  quantum?: string | number;
  /** Bytes held. Default 32mb. */
  memory_limit?: string | number;
  /** Marks what is capable of ECN instead of dropping it. Default true. */
  ecn?: boolean;
  /** Packets dropped at once from the longest queue when the limit is passed. Default 64. */
  drop_batch?: number;
}

const KNOWN = ["limit", "flows", "target", "interval", "quantum", "memory_limit", "ecn", "drop_batch"];

class Flow {
  readonly queue: SkbQueue = new SkbQueue();
  readonly codel: CodelVars = new CodelVars();
  backlog = 0;
  deficit = 0;
  /** In one of the two lists. */
  listed = false;
  next: Flow | null = null;
}

/** Flows in their order. */
class FlowList {
  head: Flow | null = null;
  tail: Flow | null = null;

  push(flow: Flow): void {
    flow.next = null;
    if (this.tail === null) this.head = flow;
    else this.tail.next = flow;
    this.tail = flow;
  }

  shift(): Flow {
    const flow = this.head as Flow;
    this.head = flow.next;
    if (this.head === null) this.tail = null;
    flow.next = null;
    return flow;
  }
}

class FqCodel {
  declare readonly machine: Machine;
  declare readonly flows: readonly Flow[];
  declare readonly key: number;
  declare readonly limit: number;
  declare readonly quantum: number;
  declare readonly memoryLimit: number;
  declare readonly ecn: boolean;
  declare readonly dropBatch: number;
  declare readonly params: CodelParams;
  /** Flows that began to send since their last turn: they go first. */
  readonly newFlows: FlowList = new FlowList();
  readonly oldFlows: FlowList = new FlowList();
  memory = 0;
  /** Packets marked instead of dropped. */
  marked = 0;

  constructor(q: Qdisc, o: FqCodelOptions) {
    this.machine = q.dev.net.machine;
    const mtu = q.dev.mtu + q.dev.headerOps.hardHeaderLen;
    this.flows = Array.from({ length: o.flows ?? 1024 }, () => new Flow());
    this.key = this.machine.platform.random();
    this.limit = o.limit ?? 10_240;
    this.quantum = o.quantum === undefined ? mtu : parseSize(o.quantum, "fq_codel's quantum");
    this.memoryLimit = parseSize(o.memory_limit ?? "32mb", "fq_codel's memory_limit");
    this.ecn = o.ecn ?? true;
    this.dropBatch = o.drop_batch ?? 64;
    this.params = {
      target: parseTime(o.target ?? "5ms", "fq_codel's target"),
      interval: parseTime(o.interval ?? "100ms", "fq_codel's interval"),
      mtu,
    };
  }
}

function flowDequeue(f: FqCodel, q: Qdisc, flow: Flow): SkBuff | null {
  const skb = flow.queue.dequeue();
  if (skb === null) return null;
  flow.backlog -= skb.len;
  f.memory -= skb.truesize;
  q.qlen--;
  q.backlog -= skb.len;
  return skb;
}

/** Linux: fq_codel_enqueue(), net/sched/sch_fq_codel.c. Takes ownership of `skb`. */
function fqCodelEnqueue(skb: SkBuff, q: Qdisc): number {
  const f = q.priv as FqCodel;
  const flow = f.flows[(flowHash(skb, f.key) >>> 0) % f.flows.length];
  skb.tstamp = f.machine.now;
  flow.queue.enqueue(skb);
  flow.backlog += skb.len;
  f.memory += skb.truesize;
  q.qlen++;
  q.backlog += skb.len;
  if (!flow.listed) {
    flow.listed = true;
    flow.deficit = f.quantum;
    f.newFlows.push(flow);
  }
  if (q.qlen <= f.limit && f.memory <= f.memoryLimit) return NET_XMIT_SUCCESS;
  return dropFattest(f, q) === flow ? NET_XMIT_CN : NET_XMIT_SUCCESS;
}

/** Drops from the front of the longest queue, half of it or a batch. Linux: fq_codel_drop(). */
function dropFattest(f: FqCodel, q: Qdisc): Flow {
  let fattest = f.flows[0];
  for (const flow of f.flows) if (flow.backlog > fattest.backlog) fattest = flow;
  const enough = fattest.backlog >> 1;
  for (let n = 0, bytes = 0; n < f.dropBatch && bytes < Math.max(1, enough); n++) {
    const skb = flowDequeue(f, q, fattest);
    if (skb === null) break;
    bytes += skb.len;
    q.drops++;
    q.dev.net.drop(skb, DROP.QDISC_DROP);
  }
  return fattest;
}

/** Linux: fq_codel_dequeue(), net/sched/sch_fq_codel.c. Deficit round robin; new flows first. */
function fqCodelDequeue(q: Qdisc): SkBuff | null {
  const f = q.priv as FqCodel;
  for (;;) {
    const fresh = f.newFlows.head !== null;
    const list = fresh ? f.newFlows : f.oldFlows;
    const flow = list.head;
    if (flow === null) return null;
    if (flow.deficit <= 0) {
      flow.deficit += f.quantum;
      f.oldFlows.push(list.shift());
      continue;
    }
    const skb = codelDequeue(f, q, flow);
    if (skb === null) {
      list.shift();
      // An empty new flow waits one round as an old one, so that it cannot be new all the time.
      if (fresh && f.oldFlows.head !== null) f.oldFlows.push(flow);
      else flow.listed = false;
      continue;
    }
    flow.deficit -= skb.len;
    skb.tstamp = 0;
    return skb;
  }
}

/** Linux: codel_dequeue(), include/net/codel_impl.h. */
function codelDequeue(f: FqCodel, q: Qdisc, flow: Flow): SkBuff | null {
  const v = flow.codel;
  const now = f.machine.now;
  let skb = flowDequeue(f, q, flow);
  if (skb === null) {
    v.dropping = false;
    return null;
  }
  let drop = shouldDrop(f, flow, skb, now);
  if (v.dropping) {
    if (!drop) v.dropping = false;
    while (v.dropping && now >= v.dropNext) {
      v.count++;
      if (mark(f, skb)) {
        v.dropNext = controlLaw(f.params, v.dropNext, v.count);
        return skb;
      }
      skb = lose(f, q, flow, skb);
      if (skb === null || !shouldDrop(f, flow, skb, now)) v.dropping = false;
      else v.dropNext = controlLaw(f.params, v.dropNext, v.count);
      if (skb === null) return null;
    }
  } else if (drop) {
    if (!mark(f, skb)) {
      skb = lose(f, q, flow, skb);
      drop = skb !== null && shouldDrop(f, flow, skb, now);
    }
    codelEnterDropping(v, f.params, now);
  }
  return skb;
}

/** Borrows `skb`. */
function shouldDrop(f: FqCodel, flow: Flow, skb: SkBuff, now: number): boolean {
  return codelShouldDrop(flow.codel, f.params, now - skb.tstamp, flow.backlog, now);
}

/** Drops one and gives the next. Takes ownership of `skb`. */
function lose(f: FqCodel, q: Qdisc, flow: Flow, skb: SkBuff): SkBuff | null {
  q.drops++;
  q.dev.net.drop(skb, DROP.QDISC_DROP);
  return flowDequeue(f, q, flow);
}

/**
 * Sets Congestion Experienced where the sender said that it understands. RFC 3168. Linux: INET_ECN_set_ce(). Borrows `skb`.
 */
function mark(f: FqCodel, skb: SkBuff): boolean {
  const ip = skb.networkHeader;
  if (!f.ecn || !hasIpv4(skb)) return false;
  const tos = skb.view.getUint8(ip + IPH_TOS);
  if ((tos & 3) === 0) return false;
  if ((tos & 3) === 3) return true;
  const at = ip - skb.data;
  if (!skb.cowHead(0)) return false;
  const view = skb.view;
  const word = skb.data + at;
  const before = view.getUint16(word);
  view.setUint16(word, before | 3);
  // RFC 1624: the checksum changes by the difference.
  let sum = (~view.getUint16(word + IPH_CHECK) & 0xffff) + (~before & 0xffff) + (before | 3);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(word + IPH_CHECK, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
  f.marked++;
  return true;
}

function fqCodelReset(q: Qdisc): number {
  const f = q.priv as FqCodel;
  const held = q.qlen;
  for (const list of [f.newFlows, f.oldFlows]) while (list.head !== null) list.shift().listed = false;
  for (const flow of f.flows) {
    for (let skb = flow.queue.dequeue(); skb !== null; skb = flow.queue.dequeue()) {
      q.dev.net.drop(skb, DROP.QUEUE_PURGE);
    }
    flow.backlog = 0;
    Object.assign(flow.codel, new CodelVars());
  }
  f.memory = 0;
  q.qlen = 0;
  q.backlog = 0;
  return held;
}

/** fq_codel. Options: {@linkcode FqCodelOptions}; one that makes no sense is a TypeError, an unknown one is refused. */
export function fqCodelOps(): QdiscOps {
  return {
    name: "fq_codel",
    canBypass: true,
    init: (q, options) => {
      if (!Object.keys(options).every((name) => KNOWN.includes(name))) return false;
      const o = options as FqCodelOptions;
      const whole = [o.limit ?? 1, o.flows ?? 1, o.drop_batch ?? 1].every((n) => Number.isInteger(n) && n > 0);
      if (!whole || (o.flows ?? 1) > 65_536) return false;
      q.priv = new FqCodel(q, o);
      return true;
    },
    enqueue: fqCodelEnqueue,
    dequeue: fqCodelDequeue,
    reset: fqCodelReset,
  };
}
