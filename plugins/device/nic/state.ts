/**
 * The state of a NIC: its queues, and what happens when they are set up, changed and torn down.
 *
 * @module
 */
import {
  type EventBus,
  type IrqLine,
  type Machine,
  type Napi,
  type Net,
  type NetDevice,
  type NetdevOps,
  type SkBuff,
  Timer,
} from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type {
  NicChannels,
  NicCoalesceParam,
  NicCounters,
  NicOffloads,
  NicOptions,
  NicRingParam,
  NicRssOptions,
  NicRxfh,
} from "./contract.ts";
import { nicStartXmit } from "./output.ts";
import { JUMBO_MIN_BUFFERS, NicQueue, NicRing, RX_BUFFER_LEN } from "./queue.ts";
import { Rss } from "./rss.ts";
import type { Wire } from "./wire.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  ERRNO,
  G_NAPI,
  IFF_UP,
  MAX_SKB_FRAGS,
  NETDEV_TX_BUSY,
  netdevOps,
  NETIF_F_GRO,
  NETIF_F_GSO_UDP_L4,
  NETIF_F_HW_CSUM,
  NETIF_F_RXCSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
  netifSchedule,
  netifTxWakeQueue,
} = core;

/** Longest link header and tag that comes on top of the MTU. Linux: ETH_HLEN + VLAN_HLEN. */
export const MAX_LINK_HEADER = 18;
/** Most queues of a NIC. */
export const NIC_MAX_QUEUES = 64;
/** Without memory for receive buffers the next try comes after this many jiffies. */
const REFILL_RETRY = 500;

/** Numbers of the NIC's tracepoints. */
export interface NicTracepoints {
  /** A packet was put on the transmit ring and mapped: `a` = descriptors, `b` = ring entries in use. */
  readonly txPost: number;
  /** The driver rang: `a` = frames' descriptors that wait. */
  readonly doorbell: number;
  /** The device moved a frame into the peer's ring: `a` = bytes, `b` = receive descriptors left; skb is the sender's. */
  readonly dma: number;
  /** The device lost a frame: `a` = bytes; skb is the sender's. */
  readonly missed: number;
  /** The driver took a frame from the receive ring: `a` = descriptors. */
  readonly rxFrame: number;
  /** The driver cleaned a sent frame: the skb is freed next. */
  readonly txClean: number;
}

/** A NIC: driver and device. Made by `nic()`. */
export class Nic implements Disposable {
  /** The net that its device is in. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** The machine's tracepoints. */
  declare readonly bus: EventBus;
  /** Numbers of its tracepoints. */
  declare readonly tp: NicTracepoints;
  /** The device. */
  declare readonly dev: NetDevice;
  /** Its queues; one at least. */
  readonly queues: NicQueue[] = [];
  /** How frames are spread over them. */
  declare readonly rss: Rss;
  /** What the hardware counts. */
  readonly counters: NicCounters = { doorbells: 0, filtered: 0, rxAllocFailed: 0, lost: 0 };
  /** The wire, null: not plugged. */
  wire: Wire | null = null;
  /** The NIC at the other end while there is a link. */
  peer: Nic | null = null;
  /** Administratively up: rings are there. */
  opened = false;
  /** Longest frame that the device takes. */
  declare maxFrame: number;
  /** Free transmit descriptors below which a queue is stopped. Linux: DESC_NEEDED. */
  declare txNeeded: number;
  /** Site of the DMA in the ledger. */
  declare readonly siteDma: number;
  readonly #offloads: NicOffloads;
  readonly #refill: Timer;
  /** Moderation that a new queue gets. */
  readonly #coalesce: NicCoalesceParam = { rxUsecs: 0, rxFrames: 0, txUsecs: 0, txFrames: 0 };

  /** Use `nic()`. */
  constructor(net: Net, dev: NetDevice, options: NicOptions) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.bus = machine.bus;
    this.tp = tracepoints(machine.bus);
    this.dev = dev;
    this.siteDma = machine.ledger.site("nic_dma", "dma");
    this.#offloads = offloads(options);
    this.#refill = new Timer(() => this.#retry(), true);
    this.maxFrame = dev.mtu + MAX_LINK_HEADER;
    this.txNeeded = 1;
    dev.carrier = false;
    dev.priv = this;
    const n = options.queues ?? 1;
    this.rss = new Rss(machine, n, options.rss ?? {});
    this.#resize(n, options.rxRing ?? 256, options.txRing ?? 256);
    dev.setRealNumTxQueues(n);
    this.setCoalesce(options.coalesce ?? {});
    this.applyFeatures();
    const gone = net.netdevChain.register((e) => {
      if (e.kind !== "NETDEV_UNREGISTER" || e.dev !== dev) return;
      gone[Symbol.dispose]();
      this.#remove();
    });
  }

  // ---- the first queue, which is all of them in the textbook

  /** Receive ring of queue 0. */
  get rx(): NicRing {
    return this.queues[0].rx;
  }

  /** Transmit ring of queue 0. */
  get tx(): NicRing {
    return this.queues[0].tx;
  }

  /** Large buffers of queue 0, null: the MTU and the offloads need none. */
  get jumbo(): NicRing | null {
    return this.queues[0].jumbo;
  }

  /** Line of receive queue 0. */
  get rxIrq(): IrqLine {
    return this.queues[0].rxIrq;
  }

  /** Line of transmit queue 0. */
  get txIrq(): IrqLine {
    return this.queues[0].txIrq;
  }

  /** Polls queue 0. */
  get napi(): Napi {
    return this.queues[0].napi;
  }

  // ---- up and down

  /** Brings rings and lines up. 0 or a negative errno. Linux: ndo_open. */
  open(): number {
    this.#setMaxFrame(this.dev.mtu + MAX_LINK_HEADER);
    this.#makeRings(this.rx.size, this.tx.size, this.dev.mtu);
    if (this.queues.some((q) => q.rx.pending === 0)) {
      for (const q of this.queues) q.quiesce();
      return -ERRNO.ENOMEM;
    }
    this.opened = true;
    for (const txq of this.dev.txq) txq.stopped = false;
    for (const q of this.queues) q.start();
    this.wire?.updateLink();
    return 0;
  }

  /** Takes them down; what the rings held is counted and given back. Linux: ndo_stop. */
  stop(): void {
    if (!this.opened) return;
    this.opened = false;
    this.wire?.updateLink();
    this.#quiesce();
  }

  /** A driver takes the device over, with its own queues, rings, moderation and offloads; an open device goes on. */
  attach(options: NicOptions): void {
    const n = options.queues ?? 1;
    Object.assign(this.#offloads, offloads(options));
    this.#resize(n, options.rxRing ?? 256, options.txRing ?? 256);
    this.rss.reset(n);
    this.rss.set({ rxFlowHash: { tcp4: "sdfn", udp4: "sdfn" }, ...options.rss }, n, []);
    this.setCoalesce({ rxUsecs: 0, rxFrames: 0, txUsecs: 0, txFrames: 0, ...options.coalesce });
    this.applyFeatures();
    const up = (this.dev.flags & IFF_UP) !== 0;
    if (up) this.open();
    this.dev.setRealNumTxQueues(n);
    if (!up) return;
    for (const { qdisc } of this.dev.txq) if (qdisc !== null) netifSchedule(qdisc, this.machine);
  }

  /** A driver lets the device go: what its rings hold is dropped and counted. */
  detach(): void {
    this.stop();
  }

  /** The wire says that the link came or went. */
  linkChange(peer: Nic | null): void {
    this.peer = peer;
    this.applyFeatures();
    for (const q of this.queues) {
      const lost = peer === null ? q.flushTx() : 0;
      if (lost > 0 && this.opened) q.txIrq.raise(lost);
    }
    const up = peer !== null;
    // While it opens, NETDEV_UP tells about the carrier too.
    if ((this.dev.flags & IFF_UP) === 0) this.dev.carrier = up;
    else this.dev.setCarrier(up);
  }

  // ---- what ethtool sets, while it runs

  /** New rings of other sizes. Returns the frames that the old ones held, which are lost. Linux: `ethtool -G`. */
  setRings(param: Partial<NicRingParam>): number {
    const { rx = this.rx.size, tx = this.tx.size } = param;
    checkRings(rx, tx);
    return this.#rebuild(() => this.#resize(this.queues.length, rx, tx), this.dev.mtu);
  }

  /** Sizes of the rings. Linux: `ethtool -g`. */
  get rings(): NicRingParam & { rxJumbo: number } {
    return { rx: this.rx.size, tx: this.tx.size, rxJumbo: this.jumbo?.size ?? 0 };
  }

  /**
   * Another number of queues, from 1 to 64. Returns the frames that the old rings held, which are lost; what waits in
   * queue disciplines is queued anew. An indirection table that the user set must fit, or it is a RangeError.
   * Linux: `ethtool -L`.
   */
  setChannels({ combined }: NicChannels): number {
    checkQueues(combined);
    if (combined === this.queues.length) return 0;
    if (this.rss.configured && this.rss.highest >= combined) {
      throw new RangeError(
        `Cannot make ${combined} queues of ${this.dev.name}: its indirection table names queue ${this.rss.highest}`,
      );
    }
    return this.#rebuild(() => {
      this.#resize(combined, this.rx.size, this.tx.size);
      if (!this.rss.configured) this.rss.reset(combined);
    }, this.dev.mtu);
  }

  /** How many queues there are. Linux: `ethtool -l`. */
  get channels(): NicChannels {
    return { combined: this.queues.length };
  }

  /** Changes how frames are spread over the queues; a flow keeps its order. Linux: `ethtool -X`, `-N rx-flow-hash`. */
  setRxfh(options: NicRssOptions): void {
    this.rss.set(options, this.queues.length, this.queues);
  }

  /** How frames are spread. Linux: `ethtool -x`. */
  get rxfh(): NicRxfh {
    return this.rss.settings;
  }

  /** Changes interrupt moderation of all queues, or of one. Linux: `ethtool -C`, `ethtool --per-queue`. */
  setCoalesce(param: Partial<NicCoalesceParam>, queue?: number): void {
    for (const [what, n] of Object.entries(param)) {
      if (Number.isInteger(n) && n >= 0) continue;
      throw new RangeError(`Cannot set ${what} of ${this.dev.name} to ${n}: it takes a whole number from 0`);
    }
    if (queue !== undefined && this.queues[queue] === undefined) {
      throw new RangeError(`Cannot set queue ${queue} of ${this.dev.name}: there are 0 to ${this.queues.length - 1}`);
    }
    if (queue === undefined) Object.assign(this.#coalesce, param);
    this.machine.batch(() => {
      for (const q of queue === undefined ? this.queues : [this.queues[queue]]) moderate(q, param);
    });
  }

  /** Changes what the hardware does. Linux: `ethtool -K`. */
  setOffloads(param: Partial<NicOffloads>): void {
    Object.assign(this.#offloads, param);
    const wanted = this.#needsJumbo(this.dev.mtu);
    if (wanted !== (this.jumbo !== null) && this.opened) this.#rebuild(() => {}, this.dev.mtu);
    this.applyFeatures();
    this.peer?.applyFeatures();
  }

  /** Counters by name, those of each queue too: `rx_queue_0_packets`. Linux: `ethtool -S`. */
  ethtoolStats(): Record<string, number> {
    const { doorbells, filtered, rxAllocFailed, lost } = this.counters;
    const out: Record<string, number> = { doorbells, filtered, rx_alloc_failed: rxAllocFailed, lost };
    this.queues.forEach(({ stats, rxIrq, txIrq, dev }, i) => {
      out[`rx_queue_${i}_packets`] = stats.rxPackets;
      out[`rx_queue_${i}_bytes`] = stats.rxBytes;
      out[`rx_queue_${i}_drops`] = stats.rxMissed;
      out[`rx_queue_${i}_alloc_failed`] = stats.rxAllocFailed;
      out[`rx_queue_${i}_interrupts`] = rxIrq.count;
      out[`tx_queue_${i}_packets`] = stats.txPackets;
      out[`tx_queue_${i}_bytes`] = stats.txBytes;
      out[`tx_queue_${i}_stops`] = dev.txq[i].stops;
      out[`tx_queue_${i}_interrupts`] = txIrq.count;
      out[`queue_${i}_lost`] = stats.lost;
    });
    return out;
  }

  /** The MTU changes: other buffers, when it must. 0 or a negative errno. Linux: ndo_change_mtu. */
  changeMtu(mtu: number): number {
    if (this.#needsJumbo(mtu) !== (this.jumbo !== null)) this.#rebuild(() => {}, mtu);
    this.#setMaxFrame(mtu + MAX_LINK_HEADER);
    return 0;
  }

  /** Whether it takes super-packets from the wire. */
  get takesGso(): boolean {
    return this.#offloads.gso;
  }

  /** Sets the device's features from the offloads and from what the other end takes. Linux: netdev_update_features(). */
  applyFeatures(): void {
    const o = this.#offloads;
    let features = 0;
    if (o.sg && this.tx.size >= 64) features |= NETIF_F_SG;
    if (o.txCsum) features |= NETIF_F_HW_CSUM;
    if (o.rxCsum) features |= NETIF_F_RXCSUM;
    if (o.gro) features |= NETIF_F_GRO;
    const needs = NETIF_F_SG | NETIF_F_HW_CSUM;
    // A frame check sequence is over one frame, not over a super-packet; and so is what a wire does to frames.
    const whole = this.peer !== null && this.peer.takesGso && this.wire!.plain;
    if (o.gso && (features & needs) === needs && whole) {
      features |= NETIF_F_TSO | NETIF_F_GSO_UDP_L4;
    }
    this.dev.features = features;
    this.txNeeded = (features & NETIF_F_SG) !== 0 ? MAX_SKB_FRAGS + 2 : 2;
  }

  /** Unregisters the device. */
  [Symbol.dispose](): void {
    this.net.unregisterNetdevice(this.dev);
  }

  // ---- buffers

  /** Posts fresh receive buffers in all free descriptors of a queue; without memory it tries again later. */
  allocRxBuffers(queue: NicQueue): void {
    if (!queue.allocRxBuffers() && !this.#refill.pending) this.machine.modTimer(this.#refill, REFILL_RETRY);
  }

  #retry(): void {
    if (this.opened) { for (const q of this.queues) this.allocRxBuffers(q); }
  }

  #setMaxFrame(n: number): void {
    this.maxFrame = n;
    for (const q of this.queues) q.maxFrame = n;
  }

  #needsJumbo(mtu: number): boolean {
    return this.#offloads.gso || mtu + MAX_LINK_HEADER > JUMBO_MIN_BUFFERS * RX_BUFFER_LEN;
  }

  #makeRings(rx: number, tx: number, mtu: number): void {
    const jumbo = this.#needsJumbo(mtu);
    for (const q of this.queues) {
      q.makeRings(rx, tx, jumbo);
      this.allocRxBuffers(q);
    }
    this.rss.restart(this.queues.length);
  }

  /** So many queues, all with empty rings; only while the device is still. */
  #resize(n: number, rx: number, tx: number): void {
    for (const q of this.queues.splice(n)) q.free();
    for (const q of this.queues) q.makeRings(rx, tx, false);
    while (this.queues.length < n) {
      const i = this.queues.length;
      const q = new NicQueue(this, i, rx, tx, i % this.machine.cpus.length);
      moderate(q, this.#coalesce);
      this.queues.push(q);
    }
    this.rss.restart(this.queues.length);
  }

  /** Runs `change` on a device that is still, then starts it again. Returns the frames that were lost. */
  #rebuild(change: () => void, mtu: number): number {
    if (!this.opened) {
      change();
      this.applyFeatures();
      this.dev.setRealNumTxQueues(this.queues.length);
      return 0;
    }
    this.machine.enter();
    const before = this.counters.lost;
    this.#quiesce();
    change();
    this.#makeRings(this.rx.size, this.tx.size, mtu);
    this.applyFeatures();
    for (const q of this.queues) q.start();
    if (this.dev.txq.length !== this.queues.length) this.dev.setRealNumTxQueues(this.queues.length);
    for (const txq of this.dev.txq) netifTxWakeQueue(txq);
    this.machine.exit();
    return this.counters.lost - before;
  }

  #quiesce(): void {
    this.machine.delTimer(this.#refill);
    for (const q of this.queues) q.quiesce();
  }

  #remove(): void {
    this.wire?.unplug(this);
    for (const q of this.queues) q.free();
  }
}

function moderate(q: NicQueue, param: Partial<NicCoalesceParam>): void {
  const rx = q.rxIrq.coalesce, tx = q.txIrq.coalesce;
  q.rxIrq.setCoalesce({ usecs: param.rxUsecs ?? rx.usecs, frames: param.rxFrames ?? rx.frames });
  q.txIrq.setCoalesce({ usecs: param.txUsecs ?? tx.usecs, frames: param.txFrames ?? tx.frames });
}

/** A RangeError where a ring cannot be made. */
function checkRings(rx: number, tx: number): void {
  for (const size of [rx, tx]) new NicRing(size);
}

function checkQueues(n: number): void {
  if (Number.isInteger(n) && n >= 1 && n <= NIC_MAX_QUEUES) return;
  throw new RangeError(`Cannot make ${n} queues: it takes a whole number from 1 to ${NIC_MAX_QUEUES}`);
}

/** What cannot be made is a RangeError, before anything is. */
export function checkNic(machine: Machine, options: NicOptions): void {
  checkRings(options.rxRing ?? 256, options.txRing ?? 256);
  checkQueues(options.queues ?? 1);
  new Rss(machine, options.queues ?? 1, options.rss ?? {});
}

function offloads(options: NicOptions): NicOffloads {
  const o = options.offloads ?? {};
  const gso = o.gso ?? false;
  return {
    sg: o.sg ?? true,
    txCsum: o.txCsum ?? gso,
    rxCsum: o.rxCsum ?? false,
    gso,
    gro: o.gro ?? false,
  };
}

function tracepoints(bus: EventBus): NicTracepoints {
  const define = (name: string, linux: string): number => bus.define({ name: `nic:${name}`, linux, group: G_NAPI });
  return {
    txPost: define("tx_post", "ndo_start_xmit"),
    doorbell: define("doorbell", "ndo_start_xmit"),
    dma: define("dma", ""),
    missed: define("rx_missed", ""),
    rxFrame: define("rx_frame", "napi_build_skb"),
    txClean: define("tx_clean", "napi_consume_skb"),
  };
}

/** Makes and registers a NIC; see `nic()`. */
export function makeNic(net: Net, name: string, options: NicOptions): Nic {
  checkNic(net.machine, options);
  const dev = net.registerNetdevice(name, {
    ops: netdevOps({ startXmit: () => NETDEV_TX_BUSY }),
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    ...(options.address === undefined ? {} : { address: options.address }),
    ...(options.txQueueLen === undefined ? {} : { txQueueLen: options.txQueueLen }),
  });
  try {
    const self = new Nic(net, dev, options);
    dev.driver = nicOps(self);
    dev.restack();
    if (options.wire !== undefined) options.wire.plug(self);
    return self;
  } catch (error) {
    net.unregisterNetdevice(dev);
    throw error;
  }
}

// One function for all NICs is known to V8 by identity, a closure per NIC is not.

function startXmit(skb: SkBuff, dev: NetDevice, more: boolean): number {
  const { queues } = dev.priv as Nic;
  return nicStartXmit(queues.length === 1 ? queues[0] : queues[skb.queueMapping] ?? queues[0], skb, more);
}

function selectQueue(skb: SkBuff, dev: NetDevice): number {
  return dev.net.pickTx(skb, dev);
}

/** The driver's ops record over one NIC. */
export function nicOps(self: Nic): NetdevOps {
  return netdevOps({
    open: () => self.open(),
    stop: () => self.stop(),
    startXmit,
    selectQueue,
    changeMtu: (_dev, mtu) => self.changeMtu(mtu),
  });
}
