/** What the path functions of ARP need. */
import {
  DROP,
  type EventBus,
  G_LINK,
  type Machine,
  type Net,
  SkbQueue,
  type SkBuff,
  Timer,
} from "../../../core/mod.ts";
import { INET, type Inet } from "../inet/contract.ts";
import { DEVINET, type Devinet } from "../devinet/contract.ts";
import { NEIGH, type NeighTable } from "../neigh/contract.ts";
import { FIB, type Fib } from "../fib/contract.ts";
import type { Arp } from "./contract.ts";

/** Ids of the tracepoints. */
export interface ArpTracepoints {
  /** A packet came. */
  readonly rcv: number;
  /** It is well formed: `a` = operation, `b` = target. */
  readonly process: number;
  /** A neighbour is to be asked for; the packet is the one that waits, or null: `a` = probes so far, `b` = target. */
  readonly solicit: number;
  /** A packet was made: `a` = operation, `b` = target. */
  readonly create: number;
  /** It leaves: `a` = operation, `b` = target. */
  readonly xmit: number;
}

/** One per net; it survives a swap of the plugin. */
export class ArpState {
  /** The net. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** Their ids. */
  declare readonly tp: ArpTracepoints;
  /** Neighbours. */
  declare readonly neigh: NeighTable;
  /** Routes. */
  declare readonly fib: Fib;
  /** Addresses. */
  declare readonly devinet: Devinet;
  /** ICMP errors. */
  declare readonly inet: Inet;
  /** See {@linkcode Arp.stats}. */
  readonly stats: Arp["stats"] = {
    received: 0,
    malformed: 0,
    answered: 0,
    proxied: 0,
    learnt: 0,
    refused: 0,
    filtered: 0,
    sent: 0,
  };
  /** See {@linkcode ArpOptions}. */
  learnAnySender = false;
  /** Requests for others that are answered after a random time. Linux: tbl->proxy_queue. */
  readonly proxyQueue: SkbQueue = new SkbQueue();
  /** When each is due, by its place in the queue: jiffies. */
  readonly proxyDue: number[] = [];
  /** Fires when the first is due. */
  declare readonly proxyTimer: Timer;
  /** Answers one of them; the plugin that is in the net sets it. Takes ownership of `skb`. */
  declare proxyRedo: (skb: SkBuff) => void;

  /** For a net with inet, devinet, neigh and fib in it. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.bus = net.machine.bus;
    const id = (name: string): number => this.bus.define({ name: `arp:${name}`, linux: name, group: G_LINK });
    this.tp = {
      rcv: id("arp_rcv"),
      process: id("arp_process"),
      solicit: id("arp_solicit"),
      create: id("arp_create"),
      xmit: id("arp_xmit"),
    };
    this.neigh = net.get(NEIGH);
    this.fib = net.get(FIB);
    this.devinet = net.get(DEVINET);
    this.inet = net.get(INET);
    this.proxyTimer = new Timer(() => proxyRun(this));
    this.proxyRedo = (skb) => net.drop(skb, DROP.PLUGIN_UNLOAD);
  }
}

/**
 * Lets a request for another host wait for up to `delay` ms, so that the host itself may answer first. What is too much
 * is dropped. Linux: pneigh_enqueue(). Takes ownership of `skb`.
 */
export function proxyEnqueue(st: ArpState, skb: SkBuff, delay: number, limit: number): void {
  if (st.proxyQueue.qlen > limit) {
    st.net.drop(skb, DROP.ARP_IGNORED);
    return;
  }
  const due = (st.machine.jiffies + (st.machine.platform.random() >>> 0) % delay) | 0;
  skb.dst = null;
  if (skb.pool.debug) skb.holder = "arp proxy queue";
  st.proxyQueue.enqueue(skb);
  st.proxyDue.push(due);
  proxyArm(st);
}

/** Arms the timer for the one that is due first. */
function proxyArm(st: ArpState): void {
  let first = 0x7fffffff;
  for (let i = 0; i < st.proxyDue.length; i++) first = Math.min(first, (st.proxyDue[i] - st.machine.jiffies) | 0);
  if (st.proxyDue.length > 0) st.machine.modTimer(st.proxyTimer, first);
}

/** Answers those that are due; the others keep their places. Linux: neigh_proxy_process(). */
function proxyRun(st: ArpState): void {
  for (let left = st.proxyQueue.qlen; left > 0; left--) {
    const skb = st.proxyQueue.dequeue() as SkBuff;
    const due = st.proxyDue.shift() as number;
    if (((due - st.machine.jiffies) | 0) <= 0) st.proxyRedo(skb);
    else {
      st.proxyQueue.enqueue(skb);
      st.proxyDue.push(due);
    }
  }
  proxyArm(st);
}

/** Drops what waits for a device that goes down, or for all. Linux: pneigh_queue_purge(). */
export function proxyPurge(st: ArpState, ifindex: number): void {
  for (let left = st.proxyQueue.qlen; left > 0; left--) {
    const skb = st.proxyQueue.dequeue() as SkBuff;
    const due = st.proxyDue.shift() as number;
    if (ifindex === 0 || skb.dev!.ifindex === ifindex) st.net.drop(skb, DROP.QUEUE_PURGE);
    else {
      st.proxyQueue.enqueue(skb);
      st.proxyDue.push(due);
    }
  }
  if (st.proxyQueue.qlen === 0) st.machine.delTimer(st.proxyTimer);
}
