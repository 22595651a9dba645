/**
 * The state of a NIC: its rings, its lines, its NAPI context, and what happens when they are set up and torn down.
 *
 * @module
 */
import {
  DescRing,
  type EventBus,
  type IrqLine,
  type Machine,
  Napi,
  type Net,
  type NetDevice,
  type NetdevOps,
  type SkBuff,
  Timer,
} from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { NicCoalesceParam, NicCounters, NicOffloads, NicOptions, NicRingParam } from "./contract.ts";
import { nicCleanTx, nicStartXmit } from "./output.ts";
import { nicPoll, nicTakeFrame } from "./input.ts";
import type { Wire } from "./wire.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  DESC_PAGE,
  DROP,
  ERRNO,
  G_NAPI,
  IFF_UP,
  MAX_SKB_FRAGS,
  NET_SKB_PAD,
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
  SLOT_BUFFER,
  SLOT_LARGE,
  SLOT_SIZE,
} = core;

/** Bytes of a receive buffer behind its headroom: a frame of MTU 1500 fits in one. */
export const RX_BUFFER_LEN: number = SLOT_SIZE[SLOT_BUFFER] - NET_SKB_PAD;
/** Bytes of a buffer of the jumbo ring. */
export const JUMBO_BUFFER_LEN: number = SLOT_SIZE[SLOT_LARGE];
/** A frame of more receive buffers than this goes on in the jumbo ring. */
export const JUMBO_MIN_BUFFERS = 5;
/** Longest link header and tag that comes on top of the MTU. Linux: ETH_HLEN + VLAN_HLEN. */
export const MAX_LINK_HEADER = 18;
const JUMBO_RING = 64;
/** Without memory for receive buffers the next try comes after this many jiffies. */
const REFILL_RETRY = 500;

/** An order of a descriptor: the transport checksum is partial. */
export const NIC_CSUM = 1;
/** An order of a descriptor: a super-packet. */
export const NIC_GSO = 2;
/** Of a received frame: it goes on in the jumbo ring. */
export const NIC_JUMBO = 4;

/**
 * A ring whose descriptors carry NIC_* orders, beside which stand what a real NIC has in its context descriptors: the
 * fields of checksum and segmentation, each of which holds only for its order.
 */
export class NicRing extends DescRing {
  /** {@linkcode NIC_CSUM}: where the checksum starts, relative to the frame, and `csumOffset << 16`. */
  declare readonly csum: Int32Array;
  /** {@linkcode NIC_GSO}: payload bytes per segment. */
  declare readonly gsoSize: Int32Array;
  /** {@linkcode NIC_GSO}: SKB_GSO_*. */
  declare readonly gsoType: Int32Array;
  /** {@linkcode NIC_GSO}: segments. */
  declare readonly gsoSegs: Int32Array;
  /** {@linkcode NIC_JUMBO}: buffers of the jumbo ring on which the frame goes on. */
  declare readonly parts: Int32Array;

  /** A ring of `size` descriptors, see {@linkcode DescRing}. */
  constructor(size: number) {
    super(size);
    this.csum = new Int32Array(size);
    this.gsoSize = new Int32Array(size);
    this.gsoType = new Int32Array(size);
    this.gsoSegs = new Int32Array(size);
    this.parts = new Int32Array(size);
  }
}

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
  /** Line of the receive queue. */
  declare readonly rxIrq: IrqLine;
  /** Line of the transmit queue. */
  declare readonly txIrq: IrqLine;
  /** Polls both queues. */
  declare readonly napi: Napi;
  /** What the hardware counts. */
  readonly counters: NicCounters = { doorbells: 0, filtered: 0, rxAllocFailed: 0, lost: 0 };
  /** The wire, null: not plugged. */
  wire: Wire | null = null;
  /** The NIC at the other end while there is a link. */
  peer: Nic | null = null;
  /** Administratively up: rings are there. */
  opened = false;
  /** Receive ring. */
  declare rx: NicRing;
  /** Transmit ring. */
  declare tx: NicRing;
  /** Large buffers for the rest of long frames, null: the MTU and the offloads need none. Linux: `ethtool -g`, RX Jumbo. */
  jumbo: NicRing | null = null;
  /** Receive buffers of the frame that the device is writing. */
  buffers = 0;
  /** Frames that the batch of the moment copied here and has not counted in the ledger yet. */
  moves = 0;
  /** Their bytes. */
  movedBytes = 0;
  /** Longest frame that the device takes. */
  declare maxFrame: number;
  /** Free transmit descriptors below which the queue is stopped. Linux: DESC_NEEDED. */
  declare txNeeded: number;
  /** On the machine's ready list: a doorbell that `xmitMore` deferred. */
  ready = false;
  /** Site of the DMA in the ledger. */
  declare readonly siteDma: number;
  readonly #offloads: NicOffloads;
  readonly #refill: Timer;

  /** Use `nic()`. */
  constructor(net: Net, dev: NetDevice, options: NicOptions) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.bus = machine.bus;
    this.tp = tracepoints(machine.bus);
    this.dev = dev;
    this.siteDma = machine.ledger.site("nic_dma", "dma");
    this.rx = new NicRing(options.rxRing ?? 256);
    this.tx = new NicRing(options.txRing ?? 256);
    this.#offloads = offloads(options);
    this.napi = new Napi(machine, dev, poll);
    dev.napis.push(this.napi);
    this.rxIrq = machine.requestIrq(`${dev.name}-rx-0`, interrupt, this);
    this.txIrq = machine.requestIrq(`${dev.name}-tx-0`, interrupt, this);
    this.rxIrq.mask();
    this.txIrq.mask();
    this.#refill = new Timer(() => this.#retry(), true);
    this.maxFrame = dev.mtu + MAX_LINK_HEADER;
    this.txNeeded = 1;
    dev.carrier = false;
    dev.priv = this;
    this.setCoalesce(options.coalesce ?? {});
    this.applyFeatures();
    const gone = net.netdevChain.register((e) => {
      if (e.kind !== "NETDEV_UNREGISTER" || e.dev !== dev) return;
      gone[Symbol.dispose]();
      this.#remove();
    });
  }

  // ---- up and down

  /** Brings rings and lines up. 0 or a negative errno. Linux: ndo_open. */
  open(): number {
    this.maxFrame = this.dev.mtu + MAX_LINK_HEADER;
    this.#makeRings(this.rx.size, this.tx.size, this.dev.mtu);
    if (this.rx.pending === 0) {
      this.#drain();
      return -ERRNO.ENOMEM;
    }
    this.opened = true;
    this.dev.txq[0].stopped = false;
    this.napi.enable();
    this.rxIrq.latched = this.txIrq.latched = false;
    this.rxIrq.unmask();
    this.txIrq.unmask();
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

  /** A driver takes the device over, with its own rings, moderation and offloads; an open device goes on. */
  attach(rx: NicRing, tx: NicRing, options: NicOptions): void {
    this.rx = rx;
    this.tx = tx;
    Object.assign(this.#offloads, offloads(options));
    this.setCoalesce({ rxUsecs: 0, rxFrames: 0, txUsecs: 0, txFrames: 0, ...options.coalesce });
    this.applyFeatures();
    if ((this.dev.flags & IFF_UP) === 0) return;
    this.open();
    if (this.dev.txq[0].qdisc !== null) netifSchedule(this.dev.txq[0].qdisc, this.machine);
  }

  /** A driver lets the device go: what its rings hold is dropped and counted. */
  detach(): void {
    this.stop();
  }

  /** The wire says that the link came or went. */
  linkChange(peer: Nic | null): void {
    this.peer = peer;
    this.applyFeatures();
    const lost = peer === null ? nicFlushTx(this) : 0;
    if (lost > 0 && this.opened) this.txIrq.raise(lost);
    const up = peer !== null;
    // While it opens, NETDEV_UP tells about the carrier too.
    if ((this.dev.flags & IFF_UP) === 0) this.dev.carrier = up;
    else this.dev.setCarrier(up);
  }

  /** New rings of other sizes, while it runs. Returns the frames that the old ones held. Linux: `ethtool -G`. */
  setRings(param: Partial<NicRingParam>): number {
    const { rx = this.rx.size, tx = this.tx.size } = param;
    // Sizes are checked before anything is torn down.
    const [newRx, newTx] = [new NicRing(rx), new NicRing(tx)];
    return this.#rebuild(() => {
      this.rx = newRx;
      this.tx = newTx;
    }, this.dev.mtu);
  }

  /** Sizes of the rings. Linux: `ethtool -g`. */
  get rings(): NicRingParam & { rxJumbo: number } {
    return { rx: this.rx.size, tx: this.tx.size, rxJumbo: this.jumbo?.size ?? 0 };
  }

  /** The MTU changes: other buffers, when it must. 0 or a negative errno. Linux: ndo_change_mtu. */
  changeMtu(mtu: number): number {
    if (this.#needsJumbo(mtu) !== (this.jumbo !== null)) this.#rebuild(() => {}, mtu);
    this.maxFrame = mtu + MAX_LINK_HEADER;
    return 0;
  }

  /** Changes interrupt moderation, while it runs. Linux: `ethtool -C`. */
  setCoalesce(param: Partial<NicCoalesceParam>): void {
    for (const [what, n] of Object.entries(param)) {
      if (Number.isInteger(n) && n >= 0) continue;
      throw new RangeError(`Cannot set ${what} of ${this.dev.name} to ${n}: it takes a whole number from 0`);
    }
    const rx = this.rxIrq.coalesce, tx = this.txIrq.coalesce;
    this.machine.batch(() => {
      this.rxIrq.setCoalesce({ usecs: param.rxUsecs ?? rx.usecs, frames: param.rxFrames ?? rx.frames });
      this.txIrq.setCoalesce({ usecs: param.txUsecs ?? tx.usecs, frames: param.txFrames ?? tx.frames });
    });
  }

  /** Changes what the hardware does, while it runs. Linux: `ethtool -K`. */
  setOffloads(param: Partial<NicOffloads>): void {
    Object.assign(this.#offloads, param);
    const wanted = this.#needsJumbo(this.dev.mtu);
    if (wanted !== (this.jumbo !== null) && this.opened) this.#rebuild(() => {}, this.dev.mtu);
    this.applyFeatures();
    this.peer?.applyFeatures();
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

  /** A doorbell that was deferred for a packet which never came. */
  wake(): void {
    if (this.tx.pending === 0 || this.wire === null) return;
    this.machine.enter();
    this.wire.doorbell(this);
    this.machine.exit();
  }

  /** Unregisters the device. */
  [Symbol.dispose](): void {
    this.net.unregisterNetdevice(this.dev);
  }

  // ---- buffers

  /** Posts fresh receive buffers in all free descriptors. Linux: igb_alloc_rx_buffers(). */
  allocRxBuffers(): void {
    if (!fill(this, this.rx, SLOT_BUFFER, NET_SKB_PAD, RX_BUFFER_LEN)) this.#later();
    if (this.jumbo !== null && !fill(this, this.jumbo, SLOT_LARGE, 0, JUMBO_BUFFER_LEN)) this.#later();
  }

  #later(): void {
    if (!this.#refill.pending) this.machine.modTimer(this.#refill, REFILL_RETRY);
  }

  #retry(): void {
    if (this.opened) this.allocRxBuffers();
  }

  #needsJumbo(mtu: number): boolean {
    return this.#offloads.gso || mtu + MAX_LINK_HEADER > JUMBO_MIN_BUFFERS * RX_BUFFER_LEN;
  }

  #makeRings(rx: number, tx: number, mtu: number): void {
    this.rx = new NicRing(rx);
    this.tx = new NicRing(tx);
    this.jumbo = this.#needsJumbo(mtu) ? new NicRing(JUMBO_RING) : null;
    this.allocRxBuffers();
  }

  /** Runs `change` on a device that is still, then starts it again. Returns the frames that were lost. */
  #rebuild(change: () => void, mtu: number): number {
    if (!this.opened) {
      change();
      this.applyFeatures();
      return 0;
    }
    this.machine.enter();
    const before = this.counters.lost;
    this.#quiesce();
    change();
    this.#makeRings(this.rx.size, this.tx.size, mtu);
    this.applyFeatures();
    this.napi.enable();
    this.rxIrq.unmask();
    this.txIrq.unmask();
    netifTxWakeQueue(this.dev.txq[0]);
    this.machine.exit();
    return this.counters.lost - before;
  }

  #quiesce(): void {
    this.rxIrq.mask();
    this.txIrq.mask();
    this.napi.disable();
    this.machine.delTimer(this.#refill);
    this.#drain();
    this.rxIrq.latched = this.txIrq.latched = false;
  }

  /** Gives back all that the rings hold; frames among it are counted as lost. */
  #drain(): void {
    nicFlushTx(this);
    nicCleanTx(this);
    while (this.rx.done > 0) {
      this.counters.lost++;
      this.dev.stats.rxDropped++;
      this.net.drop(nicTakeFrame(this, this.rx), DROP.QUEUE_PURGE);
    }
    giveBack(this.rx);
    if (this.jumbo !== null) giveBack(this.jumbo);
  }

  #remove(): void {
    this.wire?.unplug(this);
    this.rxIrq.free();
    this.txIrq.free();
  }
}

/**
 * Masks the device's interrupts and leaves the work to NAPI. Linux: a driver's irq handler, e.g. igb_msix_ring().
 * Differs: one NAPI context serves both lines, so that both are masked.
 */
export function nicInterrupt(nic: Nic): void {
  nic.rxIrq.mask();
  nic.txIrq.mask();
  nic.napi.schedule();
}

/** Drops what was posted and not yet moved: the link is gone, or the ring goes. Returns the descriptors. */
export function nicFlushTx(nic: Nic): number {
  const tx = nic.tx;
  const flushed = tx.pending;
  while (tx.pending > 0) {
    const i = tx.nextToDevice & tx.mask;
    const skb = tx.skb[i];
    tx.skb[i] = null;
    tx.complete(0);
    if (skb === null) continue;
    nic.counters.lost++;
    nic.dev.stats.txDropped++;
    nic.net.drop(skb, nic.opened && nic.peer === null ? DROP.LINK_DOWN : DROP.QUEUE_PURGE);
  }
  return flushed;
}

/** False: memory ran out. */
function fill(nic: Nic, ring: NicRing, cls: number, headroom: number, len: number): boolean {
  const pages = nic.machine.pages;
  for (let n = ring.unused; n > 0; n--) {
    const page = pages.alloc(cls);
    if (page < 0) {
      nic.counters.rxAllocFailed++;
      return false;
    }
    ring.post(pages.slab, page, page + headroom, len, 0);
  }
  return true;
}

function giveBack(ring: NicRing): void {
  while (ring.unused < ring.size) {
    if (ring.pending > 0) ring.complete(0);
    const i = ring.clean();
    ring.slab[i]!.put(ring.get(i, DESC_PAGE));
  }
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
  return nicStartXmit(dev.priv as Nic, skb, more);
}

function poll(napi: Napi, budget: number): number {
  return nicPoll(napi.dev!.priv as Nic, napi, budget);
}

function interrupt(line: IrqLine): void {
  nicInterrupt(line.devId as Nic);
}

/** The driver's ops record over one NIC. */
export function nicOps(self: Nic): NetdevOps {
  return netdevOps({
    open: () => self.open(),
    stop: () => self.stop(),
    startXmit,
    changeMtu: (_dev, mtu) => self.changeMtu(mtu),
  });
}
