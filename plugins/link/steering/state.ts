/**
 * What is set of a net's devices, and the two decisions that follow from it. Linux: net/core/dev.c, get_rps_cpu(),
 * netdev_pick_tx(), get_xps_queue(), skb_tx_hash().
 *
 * @module
 */
import type { Cpu, Net, NetDevice, SkBuff } from "../../../core/mod.ts";
import type { Steering } from "./contract.ts";
import { flowDissect, reciprocalScale } from "./flow.ts";
import { NapiThread } from "./thread.ts";

const NOBODY: readonly Cpu[] = [];

/** One device's. */
interface DeviceSteering {
  /** CPUs that receive, by receive queue, as packets find them. */
  readonly rps: (readonly Cpu[])[];
  /** The same as they were set: they take over when nothing waits on the former. */
  readonly wanted: (readonly Cpu[])[];
  /** CPUs that send, by transmit queue. */
  readonly xps: (readonly number[])[];
  /** Transmit queues by CPU. */
  queues: (readonly number[])[];
  threaded: boolean;
}

/** The state of a net; it outlives a swap of the plugin. */
export class SteeringState implements Steering {
  readonly #net: Net;
  readonly #key: number;
  readonly #devices = new Map<NetDevice, DeviceSteering>();

  /** Nothing is set. */
  constructor(net: Net, key: number) {
    this.#net = net;
    this.#key = key;
  }

  setRpsCpus(dev: NetDevice, queue: number, cpus: readonly number[]): void {
    checkQueue(dev, queue, "receive", Math.max(1, dev.napis.length));
    const d = this.#of(dev);
    const machine = this.#net.machine;
    const map = cpus.map((id) => machine.cpuAt(id, `steer packets of ${dev.name}`));
    while (d.wanted.length <= queue) {
      d.rps.push(NOBODY);
      d.wanted.push(NOBODY);
    }
    d.wanted[queue] = map;
    dev.rps = this.#rps(dev, d);
  }

  rpsCpus(dev: NetDevice, queue: number): readonly number[] {
    return (this.#devices.get(dev)?.wanted[queue] ?? NOBODY).map((cpu) => cpu.id);
  }

  setXpsCpus(dev: NetDevice, queue: number, cpus: readonly number[]): void {
    checkQueue(dev, queue, "transmit", dev.txq.length);
    for (const id of cpus) this.#net.machine.cpuAt(id, `steer packets of ${dev.name}`);
    const d = this.#of(dev);
    while (d.xps.length <= queue) d.xps.push([]);
    d.xps[queue] = [...cpus];
    d.queues = this.#net.machine.cpus.map((cpu) => [...d.xps.keys()].filter((q) => d.xps[q].includes(cpu.id)));
  }

  xpsCpus(dev: NetDevice, queue: number): readonly number[] {
    return this.#devices.get(dev)?.xps[queue] ?? [];
  }

  setThreaded(dev: NetDevice, on: boolean): void {
    this.#of(dev).threaded = on;
    dev.threaded = on ? (napi) => new NapiThread(napi) : null;
    for (const napi of dev.napis) napi.thread = dev.threaded === null ? null : dev.threaded(napi);
  }

  skbGetHash(skb: SkBuff): number {
    if (skb.hash === 0) skb.hash = flowDissect(skb, this.#key);
    return skb.hash;
  }

  netdevPickTx(skb: SkBuff, dev: NetDevice): number {
    const n = dev.txq.length;
    if (n === 1) return 0;
    const owner = skb.owner;
    if (owner !== null && owner.txQueue >= 0 && owner.txQueue < n) return owner.txQueue;
    const queue = this.#xps(skb, dev, n) ?? this.#txHash(skb, n);
    // Another CPU may send the next packet of the connection: it must not overtake this one.
    if (owner !== null && owner.dport !== undefined && owner.dport !== 0) owner.txQueue = queue;
    return queue;
  }

  /** Linux: get_xps_queue(). Null: no queue names this CPU. */
  #xps(skb: SkBuff, dev: NetDevice, n: number): number | null {
    const d = this.#devices.get(dev);
    const map = d === undefined ? undefined : d.queues[this.#net.machine.cpu.id];
    if (map === undefined || map.length === 0) return null;
    const queue = map.length === 1 ? map[0] : map[reciprocalScale(this.skbGetHash(skb), map.length)];
    return queue < n ? queue : null;
  }

  /** Linux: skb_tx_hash(). A forwarded packet keeps the number of its receive queue. */
  #txHash(skb: SkBuff, n: number): number {
    if (skb.queueMapping > 0) return (skb.queueMapping - 1) % n;
    return reciprocalScale(this.skbGetHash(skb), n);
  }

  /** Linux: get_rps_cpu(). */
  #rps(dev: NetDevice, d: DeviceSteering): (skb: SkBuff) => Cpu | null {
    return (skb) => {
      // It stands there as soon as the packet is delivered; its hash is needed before.
      skb.networkHeader = skb.data;
      const recorded = skb.queueMapping - 1;
      const queue = recorded > 0 && recorded < d.rps.length ? recorded : 0;
      const map = d.rps[queue] === d.wanted[queue] ? d.rps[queue] : this.#change(dev, d, queue);
      if (map.length === 0) return null;
      return map.length === 1 ? map[0] : map[reciprocalScale(this.skbGetHash(skb), map.length)];
    };
  }

  /** A flow may move to another CPU only when no packet of it waits on the one before. */
  #change(dev: NetDevice, d: DeviceSteering, queue: number): readonly Cpu[] {
    const map = d.rps[queue];
    for (let i = 0; i < map.length; i++) if (map[i].backlog.qlen !== 0) return map;
    d.rps[queue] = d.wanted[queue];
    if (d.rps.every((cpus, q) => cpus.length === 0 && d.wanted[q].length === 0)) dev.rps = null;
    return d.rps[queue];
  }

  /** The plugin comes, or another takes its place: devices are steered as it was set. */
  apply(): void {
    for (const [dev, d] of this.#devices) {
      if (d.wanted.length > 0) dev.rps = this.#rps(dev, d);
      this.setThreaded(dev, d.threaded);
    }
  }

  /** The plugin goes: what was set stays here. */
  unapply(): void {
    for (const [dev, d] of this.#devices) {
      const { threaded } = d;
      dev.rps = null;
      this.setThreaded(dev, false);
      d.threaded = threaded;
    }
  }

  /** The device is gone. */
  forget(dev: NetDevice): void {
    if (!this.#devices.delete(dev)) return;
    dev.rps = null;
    dev.threaded = null;
    for (const napi of dev.napis) napi.thread = null;
  }

  #of(dev: NetDevice): DeviceSteering {
    let d = this.#devices.get(dev);
    if (d === undefined) this.#devices.set(dev, d = { rps: [], wanted: [], xps: [], queues: [], threaded: false });
    return d;
  }
}

function checkQueue(dev: NetDevice, queue: number, what: string, n: number): void {
  if (Number.isInteger(queue) && queue >= 0 && queue < n) return;
  throw new RangeError(`Cannot steer ${what} queue ${queue} of ${dev.name}: there are 0 to ${n - 1}`);
}
