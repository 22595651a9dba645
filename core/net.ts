/**
 * A net: one network namespace, one host. Linux: struct net.
 *
 * It holds the devices, the tables into which plugins register, and the plugins. Two nets on one machine share nothing
 * but the machine.
 */
import type { Machine, PluginFault } from "./machine.ts";
import { NotifierChain } from "./event_bus.ts";
import * as eventBus from "./event_bus.ts";
import {
  forwardOps,
  type HeaderOps,
  IFF_UP,
  type NetdevEvent,
  NetDevice,
  type NetDeviceInit,
  type NetdevOps,
  netdevOps,
} from "./net_device.ts";
import type { PacketOffload } from "./offload.ts";
import { netifRx, PacketTypeTable } from "./receive.ts";
import { type NetdevQueue, Qdisc, type QdiscOps, qdiscReset } from "./transmit.ts";
import { copyFromUser } from "./copy.ts";
import { Sysctl, type SysctlTree } from "./sysctl.ts";
import * as dropReason from "./drop_reason.ts";
import { strerror } from "./errno.ts";
import type { Plugin } from "./plugin.ts";
import { Registry } from "./registry.ts";
import type { SkBuff } from "./sk_buff.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_SKB, TP_KFREE_SKB } = eventBus;
const { DROP } = dropReason;

/** What a net is made of. */
export interface NetOptions {
  /** Shown in traces. Default `net0`, `net1`, ... */
  name?: string;
  /** Plugins, in any order. */
  plugins?: readonly Plugin[];
}

/** A namespace. Make it with {@linkcode Machine.createNet}. */
export class Net extends Registry {
  /** The machine. */
  declare readonly machine: Machine;
  /** Shown in traces. */
  declare readonly name: string;
  /** Tunables. */
  declare readonly sysctl: Sysctl;
  /** Events about devices. Linux: register_netdevice_notifier(). */
  declare readonly netdevChain: NotifierChain<NetdevEvent>;
  /** EtherType handlers and taps. */
  readonly ptypes: PacketTypeTable = new PacketTypeTable();
  /** Segmentation and merging by EtherType. */
  offloads: readonly PacketOffload[] = [];
  /** Devices by ifindex; index 0 is empty. */
  readonly devByIndex: (NetDevice | null)[] = [null];
  /** Kinds of queue discipline by name. */
  readonly qdiscs: Map<string, QdiscOps> = new Map();
  /** The kind that a device gets when it comes up. Linux: net.core.default_qdisc. */
  defaultQdisc: string = "pfifo_fast";
  /** The transmit queue where the driver does not choose; steering fills it. Linux: netdev_pick_tx(). Borrows `skb`. */
  pickTx: (skb: SkBuff, dev: NetDevice) => number = () => 0;
  /** Packets dropped, by reason. */
  readonly drops: Map<number, number> = new Map();
  /** What plugins threw on the path; the last 16. */
  readonly pluginErrors: PluginFault[] = [];
  readonly #headerOps = new Map<number, HeaderOps>();
  readonly #devices = new Map<string, NetDevice>();
  #disposed = false;

  /** Use {@linkcode Machine.createNet}. */
  constructor(machine: Machine, name: string) {
    super();
    this.machine = machine;
    this.name = name;
    const registrar = (apply: () => () => void): Disposable => this.registration(apply);
    this.sysctl = new Sysctl(registrar);
    this.netdevChain = new NotifierChain(registrar);
    this.netdevChain.onError = (error, e) => this.pluginError(`a notifier, at ${e.kind} of ${e.dev.name},`, error);
    this.sysctl.defineTree("net.core.", coreSysctls(machine));
  }

  // ---- devices

  /** All devices, in order of ifindex. */
  get devices(): NetDevice[] {
    return [...this.#devices.values()];
  }

  /** A device by name, or undefined. Linux: dev_get_by_name(). */
  device(name: string): NetDevice | undefined {
    return this.#devices.get(name);
  }

  /** Makes and registers a device; a name that is taken is a TypeError. Linux: register_netdevice(). */
  registerNetdevice(name: string, init: NetDeviceInit): NetDevice {
    if (this.#disposed) throw new TypeError(`Cannot register device ${name}: ${this.name} has ended`);
    checkNetdevice(name, init);
    if (!/^[^\s/:]{1,15}$/.test(name)) {
      throw new TypeError(`Cannot register device "${name}": 1 to 15 characters, no "/"`);
    }
    if (this.#devices.has(name)) throw new TypeError(`Cannot register device ${name}: ${this.name} has one already`);
    const dev = new NetDevice(this, name, init);
    dev.ifindex = this.devByIndex.push(dev) - 1;
    this.#devices.set(name, dev);
    this.netdevChain.call({ kind: "NETDEV_REGISTER", dev });
    return dev;
  }

  /**
   * The short form for a driver in user code: a device that is up. When its `open` or a notifier refuses, it is taken
   * away again and that is an Error. Linux: register_netdev().
   */
  registerNetdev(
    name: string,
    driver: Partial<NetdevOps> & Pick<NetdevOps, "startXmit">,
    init?: Partial<NetDeviceInit>,
  ): NetDevice {
    const dev = this.registerNetdevice(name, { ...init, ops: netdevOps(driver) });
    const err = dev.open();
    if (err === 0) return dev;
    this.unregisterNetdevice(dev);
    throw new Error(`Cannot bring ${name} up: ${strerror(err)}`);
  }

  /** Takes a device down and away; what the backlog holds of it is dropped. Linux: unregister_netdevice(). */
  unregisterNetdevice(dev: NetDevice): void {
    if (this.#devices.get(dev.name) !== dev) return;
    dev.close();
    this.netdevChain.call({ kind: "NETDEV_UNREGISTER", dev });
    this.#devices.delete(dev.name);
    this.devByIndex[dev.ifindex] = null;
    for (const txq of dev.txq) txq.qdisc = null;
    for (const cpu of this.machine.cpus) {
      for (let n = cpu.backlog.qlen; n > 0; n--) {
        const skb = cpu.backlog.dequeue()!;
        if (skb.dev === dev) this.drop(skb, DROP.QUEUE_PURGE);
        else cpu.backlog.enqueue(skb);
      }
    }
  }

  /**
   * Gives a device another driver, below whatever {@linkcode wrapDevice} put around it: for a plugin that is swapped
   * while its device stays.
   */
  setDriver(dev: NetDevice, ops: NetdevOps): Disposable {
    return this.registration(() => {
      const before = dev.driver;
      dev.driver = ops;
      dev.restack();
      return () => {
        if (dev.driver !== ops) return;
        dev.driver = before;
        dev.restack();
      };
    });
  }

  /** Puts another ops record around a driver's: fault injection, tracing. Dispose to take it off. */
  wrapDevice(dev: NetDevice, wrap: (ops: NetdevOps) => NetdevOps): Disposable {
    return this.registration(() => {
      const layer = { below: dev.ops, outer: dev.ops };
      layer.outer = wrap(forwardOps(layer));
      dev.layers = [...dev.layers, layer];
      dev.restack();
      return () => {
        dev.layers = dev.layers.filter((l) => l !== layer);
        dev.restack();
      };
    });
  }

  /** The link header of a device type: one stable record, which the link plugin fills. */
  headerOps(type: number): HeaderOps {
    let ops = this.#headerOps.get(type);
    if (ops === undefined) this.#headerOps.set(type, ops = noHeader());
    return ops;
  }

  /** Fills the link header of a device type. */
  registerHeaderOps(type: number, ops: HeaderOps): Disposable {
    return this.registration(() => {
      const record = this.headerOps(type);
      Object.assign(record, ops);
      return () => void Object.assign(record, noHeader());
    });
  }

  /** See {@linkcode NetDevice.receive}. */
  receiveFrame(dev: NetDevice, frame: Uint8Array): boolean {
    const machine = this.machine;
    const tooLong = frame.length > dev.mtu + 4 + dev.headerOps.hardHeaderLen;
    if ((dev.flags & IFF_UP) === 0 || tooLong) {
      dev.stats.rxDropped++;
      if (tooLong) dev.stats.rxLengthErrors++;
      return false;
    }
    machine.enter();
    let ok = false;
    const skb = machine.skbs.alloc(frame.length + 64);
    if (skb === null) dev.stats.rxDropped++;
    else {
      // 14 + 34 = 48: the network header is aligned, and there is room for another link header.
      skb.reserve(34);
      skb.dev = dev;
      copyFromUser(machine.ledger, machine.siteNetifRx, skb.slab, skb.put(frame.length), frame, 0, frame.length);
      dev.stats.rxPackets++;
      dev.stats.rxBytes += frame.length;
      const reason = dev.headerOps.parse(skb, dev);
      if (reason === 0) ok = netifRx(skb);
      else {
        dev.stats.rxErrors++;
        this.drop(skb, reason);
      }
    }
    machine.exit();
    return ok;
  }

  /**
   * Registers a kind of queue discipline. Queues that have this kind from a plugin that was swapped get the new one, and
   * what the old one held moves there. Linux: register_qdisc().
   */
  registerQdisc(ops: QdiscOps): Disposable {
    return this.registration(() => {
      this.qdiscs.set(ops.name, ops);
      for (const dev of this.#devices.values()) {
        for (const txq of dev.txq) {
          const q = txq.qdisc;
          if (q === null || q.txq !== txq || q.ops === ops || q.ops.name !== ops.name) continue;
          this.#graft(txq, ops, q.options, true);
          if (q.shared) this.#share(dev);
        }
      }
      return () => {
        if (this.qdiscs.get(ops.name) === ops) this.qdiscs.delete(ops.name);
      };
    });
  }

  /** Attaches {@linkcode defaultQdisc} to a queue that has none. */
  attachDefaultQdisc(txq: NetdevQueue): void {
    const root = txq.dev.txq[0].qdisc;
    if (root !== null && root.shared) txq.qdisc = root;
    if (txq.qdisc !== null || txq.dev.txQueueLen === 0) return;
    const ops = this.qdiscs.get(this.defaultQdisc);
    if (ops !== undefined) this.#graft(txq, ops, {});
  }

  /**
   * Puts a discipline on a device; `null`: noqueue; "mq": each transmit queue has the default kind of its own again.
   * What the old ones held is dropped and counted. Returns how many. An unknown kind is a TypeError.
   * Linux: `tc qdisc replace dev DEV root KIND`.
   */
  setQdisc(dev: NetDevice, kind: string | null, options: Readonly<Record<string, unknown>> = {}): number {
    const mq = kind === "mq" && dev.txq.length > 1;
    const ops = kind === null ? null : this.qdiscs.get(mq ? this.defaultQdisc : kind);
    if (ops === undefined) {
      const kinds = [...this.qdiscs.keys()].join(", ");
      const why = kind === "mq" ? `"mq" wants several transmit queues` : `no kind "${kind}"`;
      throw new TypeError(`Cannot set qdisc of ${dev.name}: ${why}; there are ${kinds}`);
    }
    return this.machine.batch(() => {
      const each = mq || ops === null || dev.txq.length === 1;
      let lost = 0;
      for (const txq of dev.txq) lost += this.#graft(txq, each || txq.index === 0 ? ops : null, options);
      if (!each) this.#share(dev);
      return lost;
    });
  }

  /** The first queue's discipline serves all. */
  #share(dev: NetDevice): void {
    for (const txq of dev.txq) txq.qdisc = dev.txq[0].qdisc;
    dev.txq[0].qdisc!.shared = true;
  }

  /** Returns how many packets of the former discipline were dropped; `move`: only what it will not give. */
  #graft(txq: NetdevQueue, ops: QdiscOps | null, options: Readonly<Record<string, unknown>>, move = false): number {
    const q = ops === null ? null : new Qdisc(ops, txq, options);
    if (q !== null && !q.ops.init(q, options)) {
      throw new TypeError(`Cannot set qdisc of ${txq.dev.name}: ${q.ops.name} refuses ${JSON.stringify(options)}`);
    }
    const old = txq.qdisc;
    txq.qdisc = q;
    if (old === null || old.txq !== txq) return 0;
    if (q !== null && move) {
      for (let skb = old.requeued.dequeue(); skb !== null; skb = old.requeued.dequeue()) q.requeued.enqueue(skb);
      for (let skb = old.ops.dequeue(old); skb !== null; skb = old.ops.dequeue(old)) q.ops.enqueue(skb, q);
    }
    return qdiscReset(old);
  }

  // ---- drops

  /** Counts, traces and frees a dropped packet. Linux: kfree_skb_reason(). Takes ownership of `skb`. */
  drop(skb: SkBuff, reason: number): void {
    this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1);
    if ((this.machine.bus.mask & G_SKB) !== 0) this.machine.bus.hit(TP_KFREE_SKB, skb, reason, 0, this);
    skb.pool.free(skb);
  }

  /** Packets dropped for a reason, by its name. */
  dropped(name: string): number {
    return this.drops.get(this.machine.reasons.byName(name)) ?? 0;
  }

  /** All drops, by name. */
  dropTable(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [reason, n] of this.drops) out[this.machine.reasons.get(reason).name] = n;
    return out;
  }

  /** A plugin threw on the path: recorded; where the machine is strict, thrown again at its outermost exit. */
  pluginError(who: string, error: unknown): void {
    this.pluginErrors.push({ who, error });
    if (this.pluginErrors.length > 16) this.pluginErrors.shift();
    this.machine.fault(who, error);
  }

  /** One outermost exit for all that `fn` does: one doorbell, one wake. See {@linkcode Machine.batch}. */
  batch<T>(fn: () => T): T {
    return this.machine.batch(fn);
  }

  /** The net has ended or is ending: a plugin that is disposed now is not being swapped. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Ends the net: devices first, then the plugins in reverse, then their state. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    try {
      this.machine.batch(() => {
        for (const dev of this.devices.reverse()) this.unregisterNetdevice(dev);
        this.endPlugins();
      });
    } finally {
      this.machine.removeNet(this);
    }
  }
}

/** What a device must be made of. */
function checkNetdevice(
  name: string,
  { mtu = 1500, maxMtu = 65535, txQueueLen = 0, txQueues = 1 }: NetDeviceInit,
): void {
  const want = (what: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return;
    throw new RangeError(
      `Cannot register device ${name}: ${what} ${value}, it takes a whole number from ${min} to ${max}`,
    );
  };
  want("mtu", mtu, 68, maxMtu);
  want("txQueueLen", txQueueLen, 0, 2 ** 31 - 1);
  want("txQueues", txQueues, 1, 4096);
}

/** No link header: the packet begins with its network header. Linux: raw IP devices. */
function noHeader(): HeaderOps {
  return {
    hardHeaderLen: 0,
    create: () => true,
    parse: (skb) => {
      if (skb.len < 1) return DROP.PKT_TOO_SMALL;
      skb.macHeader = skb.data;
      skb.protocol = skb.bytes[skb.data] >>> 4 === 6 ? 0x86dd : 0x0800;
      return 0;
    },
  };
}

/** The tunables that all nets of a machine share. Linux: net_core_table. */
function coreSysctls(machine: Machine): SysctlTree {
  return {
    list: () => ["netdev_budget", "netdev_budget_usecs", "netdev_max_backlog"],
    get: (name) => {
      if (name === "netdev_budget") return machine.budget;
      if (name === "netdev_budget_usecs") return machine.budgetNs / 1000;
      return name === "netdev_max_backlog" ? machine.maxBacklog : undefined;
    },
    set: (name, value) => {
      if (!Number.isInteger(value) || value < 1) {
        throw new RangeError(`Cannot set net.core.${name} to ${value}: it takes a whole number from 1`);
      }
      if (name === "netdev_budget") machine.budget = value;
      else if (name === "netdev_budget_usecs") machine.budgetNs = value * 1000;
      else if (name === "netdev_max_backlog") machine.maxBacklog = value;
      else return false;
      return true;
    },
  };
}
