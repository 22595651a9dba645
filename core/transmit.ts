/**
 * Where a packet leaves the stack: queue discipline and driver, both in the sender's context. Linux: net/core/dev.c,
 * __dev_queue_xmit(), validate_xmit_skb(), dev_hard_start_xmit(); net/sched/sch_generic.c, __qdisc_run().
 */
import type { Machine } from "./machine.ts";
import type { Cpu } from "./softirq.ts";
import * as softirq from "./softirq.ts";
import { SkbQueue, type SkBuff } from "./sk_buff.ts";
import * as skBuff from "./sk_buff.ts";
import { IFF_UP, NETDEV_TX_BUSY, NETDEV_TX_OK, type NetDevice } from "./net_device.ts";
import * as plugin from "./plugin.ts";
import * as offload from "./offload.ts";
import * as dropReason from "./drop_reason.ts";
import * as eventBus from "./event_bus.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { runTaps } = plugin;
const { validateXmit } = offload;
const { NET_TX_SOFTIRQ, raiseSoftirq } = softirq;
const { CHECKSUM_PARTIAL } = skBuff;
const { DROP } = dropReason;
const { G_NET, TP_NET_DEV_QUEUE, TP_NET_DEV_START_XMIT, TP_NET_DEV_XMIT, TP_QDISC_DEQUEUE, TP_QDISC_ENQUEUE } =
  eventBus;

/** Packets of one run of NET_RX, over all contexts. Linux: net.core.netdev_budget. */
export const NETDEV_BUDGET = 300;
/** Time of one run in ns: 2 jiffies. Linux: net.core.netdev_budget_usecs. */
export const NETDEV_BUDGET_NS = 2e6;
/** Packets that one run of a qdisc sends before others get a turn. Linux: net.core.dev_weight. */
export const QDISC_QUOTA = 64;
const XMIT_RECURSION_LIMIT = 8;

/** Result of a queue discipline's `enqueue`: queued or sent. */
export const NET_XMIT_SUCCESS = 0;
/** Dropped. */
export const NET_XMIT_DROP = 1;
/** Congestion: queued, but something was dropped or will be. */
export const NET_XMIT_CN = 2;

/** A kind of queue discipline. Linux: struct Qdisc_ops. */
export interface QdiscOps {
  /** `pfifo_fast`. */
  readonly name: string;
  /** May be skipped while empty. Linux: TCQ_F_CAN_BYPASS. */
  readonly canBypass: boolean;
  /** Prepares `q.priv`; false: the options are refused. */
  init(q: Qdisc, options: Readonly<Record<string, unknown>>): boolean;
  /** Queues. Takes ownership of `skb`. Returns NET_XMIT_*. */
  enqueue(skb: SkBuff, q: Qdisc): number;
  /** The next to send, which the caller then owns, or null. */
  dequeue(q: Qdisc): SkBuff | null;
  /** Drops all that it holds; returns how many. */
  reset(q: Qdisc): number;
}

/** A queue discipline on a transmit queue. Linux: struct Qdisc. */
export class Qdisc {
  /** Its kind. */
  declare ops: QdiscOps;
  /** The device. */
  declare readonly dev: NetDevice;
  /** The transmit queue; the first, where it is {@linkcode shared}. */
  declare readonly txq: NetdevQueue;
  /** One for all transmit queues: each packet leaves by its `queueMapping`. Linux: without TCQ_F_ONETXQUEUE. */
  shared: boolean = false;
  /** Packets held; kept by the kind. */
  qlen: number = 0;
  /** Bytes held; kept by the kind. */
  backlog: number = 0;
  /** Packets dropped. */
  drops: number = 0;
  /** Packets that the driver refused and that were put back. */
  requeues: number = 0;
  /** Packets sent through it. */
  packets: number = 0;
  /** Being run. */
  running: boolean = false;
  /** Packets that were taken from it and not sent; they go first. Linux: gso_skb. */
  readonly requeued: SkbQueue = new SkbQueue();
  /** On the CPU's output queue. */
  scheduled: boolean = false;
  /** Link of the output queue. */
  nextSched: Qdisc | null = null;
  /** The kind's own state. */
  priv: unknown = null;

  /** What it was made with. */
  declare readonly options: Readonly<Record<string, unknown>>;

  /** A discipline of kind `ops` on `txq`. */
  constructor(ops: QdiscOps, txq: NetdevQueue, options: Readonly<Record<string, unknown>> = {}) {
    this.ops = ops;
    this.options = options;
    this.txq = txq;
    this.dev = txq.dev;
  }
}

/** One transmit queue of a device. Linux: struct netdev_queue. */
export class NetdevQueue {
  /** The device. */
  declare readonly dev: NetDevice;
  /** Number. */
  declare readonly index: number;
  /** The driver's ring is full. Linux: __QUEUE_STATE_DRV_XOFF. */
  stopped: boolean = false;
  /** Queue discipline, null: noqueue. */
  qdisc: Qdisc | null = null;
  /** Times it was stopped. */
  stops: number = 0;

  /** A queue. */
  constructor(dev: NetDevice, index: number) {
    this.dev = dev;
    this.index = index;
  }
}

/**
 * Sends a packet that has its link header through its device. Returns NET_XMIT_*.
 * Linux: __dev_queue_xmit(), net/core/dev.c. Takes ownership of `skb`.
 */
export function devQueueXmit(skb: SkBuff): number {
  const dev = skb.dev!;
  const machine = dev.net.machine;
  skb.macHeader = skb.data;
  if ((machine.bus.mask & G_NET) !== 0) machine.bus.hit(TP_NET_DEV_QUEUE, skb, skb.len, 0, dev);
  if ((dev.flags & IFF_UP) === 0) return refuseDown(skb, dev);
  const txq = dev.txq.length === 1 ? dev.txq[0] : pickTx(skb, dev);
  skb.queueMapping = txq.index;
  const q = txq.qdisc;
  if (q === null) return xmitNoqueue(skb, dev, txq, machine);
  if (!q.ops.canBypass || q.qlen !== 0 || q.running || q.requeued.qlen !== 0 || txq.stopped) {
    return xmitQdisc(skb, q, machine);
  }
  // Nothing waits and nothing is being sent: past the queue. Linux: TCQ_F_CAN_BYPASS.
  q.running = true;
  q.packets++;
  const refused = directXmit(skb, dev, machine, false);
  q.running = false;
  if (refused !== null) putBack(q, refused, txq);
  else if (q.qlen !== 0) qdiscRun(q, machine);
  return NET_XMIT_SUCCESS;
}

/** Linux: netdev_core_pick_tx(). Borrows `skb`. */
function pickTx(skb: SkBuff, dev: NetDevice): NetdevQueue {
  const index = dev.ops.selectQueue(skb, dev);
  return index >= 0 && index < dev.txq.length ? dev.txq[index] : dev.txq[0];
}

/** The device is down. Takes ownership of `skb`. */
function refuseDown(skb: SkBuff, dev: NetDevice): number {
  dev.stats.txDropped++;
  dev.net.drop(skb, DROP.DEV_READY);
  return NET_XMIT_DROP;
}

function xmitNoqueue(skb: SkBuff, dev: NetDevice, txq: NetdevQueue, machine: Machine): number {
  const cpu = machine.cpu;
  if (cpu.xmitRecursion > XMIT_RECURSION_LIMIT) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.RECURSION_LIMIT);
    return NET_XMIT_DROP;
  }
  let list = validateXmit(skb, dev);
  cpu.xmitRecursion++;
  let rc = list === null ? NET_XMIT_DROP : NET_XMIT_SUCCESS;
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = null;
    if (txq.stopped || hardStartXmit(list, dev, machine, next !== null) !== NETDEV_TX_OK) {
      dev.stats.txDropped++;
      dev.net.drop(list, DROP.FULL_RING);
      rc = NET_XMIT_DROP;
    }
    list = next;
  }
  cpu.xmitRecursion--;
  return rc;
}

function xmitQdisc(skb: SkBuff, q: Qdisc, machine: Machine): number {
  if ((machine.bus.mask & G_NET) !== 0) machine.bus.hit(TP_QDISC_ENQUEUE, skb, q.qlen, 0, q);
  if (machine.skbs.debug) skb.holder = `qdisc ${q.ops.name} on ${q.dev.name}`;
  const rc = enqueueSkb(skb, q);
  qdiscRun(q, machine);
  return rc;
}

/** One that throws loses the packet, not the machine. Takes ownership of `skb`. */
function enqueueSkb(skb: SkBuff, q: Qdisc): number {
  const id = skb.id;
  const before = q.qlen;
  try {
    return q.ops.enqueue(skb, q);
  } catch (error) {
    q.dev.net.pluginError(qdiscLabel(q), error);
    if (skb.live !== 0 && skb.id === id && q.qlen === before) q.dev.net.drop(skb, DROP.PLUGIN_ERROR);
    return NET_XMIT_DROP;
  }
}

function qdiscLabel(q: Qdisc): string {
  return `qdisc ${q.ops.name} of ${q.dev.name}`;
}

/**
 * Sends what the discipline gives, at most the quota; the rest is left to NET_TX. The next packet is taken before this
 * one is sent, so that the driver is told truly whether another follows. Linux: __qdisc_run().
 */
export function qdiscRun(q: Qdisc, machine: Machine): void {
  if (q.shared) return sharedRun(q, machine);
  const txq = q.txq;
  if (q.running || txq.stopped) return;
  q.running = true;
  let quota = QDISC_QUOTA;
  let skb = dequeueSkb(q, machine);
  while (skb !== null) {
    const next: SkBuff | null = --quota > 0 ? dequeueSkb(q, machine) : null;
    const refused = directXmit(skb, txq.dev, machine, next !== null);
    if (refused !== null || txq.stopped) {
      if (next !== null) q.requeued.requeue(next);
      if (refused !== null) putBack(q, refused, txq);
      break;
    }
    skb = next;
  }
  q.running = false;
  if (quota <= 0 && q.qlen + q.requeued.qlen > 0) netifSchedule(q, machine);
}

/** The run of one that serves all queues: the packet in front waits for its own, and all others wait behind it. */
function sharedRun(q: Qdisc, machine: Machine): void {
  if (q.running) return;
  q.running = true;
  let quota = QDISC_QUOTA;
  for (let skb = dequeueSkb(q, machine); skb !== null; skb = --quota > 0 ? dequeueSkb(q, machine) : null) {
    const txq: NetdevQueue = q.dev.txq[skb.queueMapping] ?? q.dev.txq[0];
    const refused: SkBuff | null = txq.stopped ? skb : directXmit(skb, q.dev, machine, false);
    if (refused === null) continue;
    putBack(q, refused, txq);
    break;
  }
  q.running = false;
  if (quota <= 0 && q.qlen + q.requeued.qlen > 0) netifSchedule(q, machine);
}

/** Linux: dequeue_skb(), net/sched/sch_generic.c. */
function dequeueSkb(q: Qdisc, machine: Machine): SkBuff | null {
  let skb = q.requeued.qlen > 0 ? q.requeued.dequeue() : null;
  if (skb === null) {
    try {
      skb = q.ops.dequeue(q);
    } catch (error) {
      q.dev.net.pluginError(qdiscLabel(q), error);
    }
    if (skb === null) return null;
    q.packets++;
  }
  if ((machine.bus.mask & G_NET) !== 0) machine.bus.hit(TP_QDISC_DEQUEUE, skb, q.qlen, 0, q);
  return skb;
}

/**
 * Gives a packet, or its segments, to the driver. Returns what it refused, which the caller then owns, or null.
 * Linux: sch_direct_xmit(). Takes ownership of `skb`.
 */
function directXmit(skb: SkBuff, dev: NetDevice, machine: Machine, more: boolean): SkBuff | null {
  if (skb.gsoSize === 0 && skb.dataLen === 0 && skb.ipSummed !== CHECKSUM_PARTIAL) {
    return hardStartXmit(skb, dev, machine, more) === NETDEV_TX_BUSY ? skb : null;
  }
  return xmitList(validateXmit(skb, dev), dev, machine, more);
}

/** Linux: dev_hard_start_xmit(). Returns what the driver refused. Takes ownership of `list`. */
function xmitList(list: SkBuff | null, dev: NetDevice, machine: Machine, more: boolean): SkBuff | null {
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = null;
    if (hardStartXmit(list, dev, machine, more || next !== null) === NETDEV_TX_BUSY) {
      list.next = next;
      return list;
    }
    list = next;
  }
  return null;
}

/** Stops the queue and puts what the driver refused in front again, in order. Linux: dev_requeue_skb(). */
function putBack(q: Qdisc, refused: SkBuff, txq: NetdevQueue): void {
  if (!txq.stopped) netifTxStopQueue(txq);
  q.requeues++;
  let last: SkBuff | null = null;
  for (let skb: SkBuff | null = refused; skb !== null;) {
    const next: SkBuff | null = skb.next;
    skb.next = last;
    last = skb;
    skb = next;
  }
  while (last !== null) {
    const before: SkBuff | null = last.next;
    q.requeued.requeue(last);
    last = before;
  }
}

/** Calls the driver. Takes ownership of `skb` unless it returns NETDEV_TX_BUSY. Linux: dev_hard_start_xmit(). */
function hardStartXmit(skb: SkBuff, dev: NetDevice, machine: Machine, more: boolean): number {
  if (dev.net.ptypes.taps.length !== 0 || dev.taps.length !== 0) runTaps(skb, dev, true);
  if ((machine.bus.mask & G_NET) !== 0) return tracedStartXmit(skb, dev, machine, more);
  return callStartXmit(skb, dev, more);
}

/** With its two tracepoints. Takes ownership of `skb` unless it returns NETDEV_TX_BUSY. */
function tracedStartXmit(skb: SkBuff, dev: NetDevice, machine: Machine, more: boolean): number {
  const len = skb.len;
  machine.bus.hit(TP_NET_DEV_START_XMIT, skb, len, 0, dev);
  const rc = callStartXmit(skb, dev, more);
  machine.bus.hit(TP_NET_DEV_XMIT, null, rc, len, dev);
  return rc;
}

/** Takes ownership of `skb` unless it returns NETDEV_TX_BUSY. */
function callStartXmit(skb: SkBuff, dev: NetDevice, more: boolean): number {
  let rc: number;
  try {
    rc = dev.ops.startXmit(skb, dev, more);
  } catch (error) {
    return driverThrew(skb, dev, error);
  }
  return rc === NETDEV_TX_OK ? rc : refusal(skb, dev, rc);
}

/** Takes ownership of `skb`, if it is there still. */
function driverThrew(skb: SkBuff, dev: NetDevice, error: unknown): number {
  dev.net.pluginError(`driver of ${dev.name}`, error);
  if (skb.live !== 0) dev.net.drop(skb, DROP.PLUGIN_ERROR);
  return NETDEV_TX_OK;
}

/** NETDEV_TX_BUSY, or NETDEV_TX_OK where the driver's answer makes no sense. Borrows `skb`. */
function refusal(skb: SkBuff, dev: NetDevice, rc: number): number {
  if (rc === NETDEV_TX_BUSY && skb.live !== 0) return NETDEV_TX_BUSY;
  dev.net.pluginError(`driver of ${dev.name}`, new TypeError(`startXmit returned ${rc}: freed and BUSY, or neither`));
  return NETDEV_TX_OK;
}

/** The driver has no room: nothing is given to it until it wakes the queue. Linux: netif_tx_stop_queue(). */
export function netifTxStopQueue(txq: NetdevQueue): void {
  txq.stopped = true;
  txq.stops++;
}

/** The driver has room again. Linux: netif_tx_wake_queue(). */
export function netifTxWakeQueue(txq: NetdevQueue): void {
  if (!txq.stopped) return;
  txq.stopped = false;
  if (txq.qdisc !== null) netifSchedule(txq.qdisc, txq.dev.net.machine);
}

/** Lets NET_TX run a discipline. Linux: __netif_schedule(). */
export function netifSchedule(q: Qdisc, machine: Machine): void {
  if (q.scheduled) return;
  const cpu = machine.cpu;
  q.scheduled = true;
  q.nextSched = cpu.outputQueue;
  cpu.outputQueue = q;
  raiseSoftirq(machine, cpu, NET_TX_SOFTIRQ);
}

/** One run of NET_TX. Linux: net_tx_action(). */
export function netTxAction(machine: Machine, cpu: Cpu): void {
  let q = cpu.outputQueue;
  cpu.outputQueue = null;
  while (q !== null) {
    const next: Qdisc | null = q.nextSched;
    q.nextSched = null;
    q.scheduled = false;
    qdiscRun(q, machine);
    q = next;
  }
}

/** Drops all that a discipline holds; returns how many. Linux: qdisc_reset(). */
export function qdiscReset(q: Qdisc): number {
  let n = 0;
  try {
    n = q.ops.reset(q);
  } catch (error) {
    q.dev.net.pluginError(qdiscLabel(q), error);
  }
  for (let skb = q.requeued.dequeue(); skb !== null; skb = q.requeued.dequeue(), n++) {
    q.dev.net.drop(skb, DROP.QUEUE_PURGE);
  }
  q.drops += n;
  return n;
}
