/**
 * One queue of a NIC: a receive and a transmit ring, their interrupt lines, and the NAPI context that polls both.
 *
 * @module
 */
import { DescRing, type EventBus, type IrqLine, type Machine, Napi, type NetDevice } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { NicQueueStats } from "./contract.ts";
import * as input from "./input.ts";
import * as output from "./output.ts";
import type { Nic, NicTracepoints } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { nicPoll, nicTakeFrame } = input;
const { nicCleanTx } = output;
const { DESC_PAGE, DROP, NET_SKB_PAD, SLOT_BUFFER, SLOT_LARGE, SLOT_SIZE } = core;

/** Bytes of a receive buffer behind its headroom: a frame of MTU 1500 fits in one. */
export const RX_BUFFER_LEN: number = SLOT_SIZE[SLOT_BUFFER] - NET_SKB_PAD;
/** Bytes of a buffer of the jumbo ring. */
export const JUMBO_BUFFER_LEN: number = SLOT_SIZE[SLOT_LARGE];
/** A frame of more receive buffers than this goes on in the jumbo ring. */
export const JUMBO_MIN_BUFFERS = 5;
const JUMBO_RING = 64;

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
  /** Hash that the device computed of a received frame, where there are several queues; 0: none. */
  declare readonly hash: Int32Array;

  /** A ring of `size` descriptors, see {@linkcode DescRing}. */
  constructor(size: number) {
    super(size);
    this.csum = new Int32Array(size);
    this.gsoSize = new Int32Array(size);
    this.gsoType = new Int32Array(size);
    this.gsoSegs = new Int32Array(size);
    this.parts = new Int32Array(size);
    this.hash = new Int32Array(size);
  }
}

/** A combined channel. Linux: a driver's q_vector with its rings. */
export class NicQueue {
  /** The NIC. */
  declare readonly nic: Nic;
  /** Its device. */
  declare readonly dev: NetDevice;
  /** The machine. */
  declare readonly machine: Machine;
  /** The machine's tracepoints. */
  declare readonly bus: EventBus;
  /** Numbers of the NIC's tracepoints. */
  declare readonly tp: NicTracepoints;
  /** Number: of the receive ring, and of the transmit queue. */
  declare readonly index: number;
  /** Line of the receive ring. */
  declare readonly rxIrq: IrqLine;
  /** Line of the transmit ring. */
  declare readonly txIrq: IrqLine;
  /** Polls both rings. */
  declare readonly napi: Napi;
  /** Receive ring. */
  declare rx: NicRing;
  /** Transmit ring. */
  declare tx: NicRing;
  /** Large buffers for the rest of long frames, null: the MTU and the offloads need none. Linux: `ethtool -g`, RX Jumbo. */
  jumbo: NicRing | null = null;
  /** What this queue counts. */
  readonly stats: NicQueueStats = {
    rxPackets: 0,
    rxBytes: 0,
    rxMissed: 0,
    rxAllocFailed: 0,
    txPackets: 0,
    txBytes: 0,
    lost: 0,
  };
  /** Longest frame that the device takes. */
  maxFrame = 0;
  /** Receive buffers of the frame that the device is writing. */
  buffers = 0;
  /** Frames that the batch of the moment copied here and has not counted in the ledger yet. */
  moves = 0;
  /** Their bytes. */
  movedBytes = 0;
  /** Of the frames of `rx`, how many have been announced by an interrupt. */
  announced = 0;
  /** On the machine's ready list: a doorbell that `xmitMore` deferred. */
  ready = false;
  /** Site of the DMA in the ledger. */
  declare readonly siteDma: number;

  /** Queue `index` of `nic`, whose lines interrupt CPU `cpu`. */
  constructor(nic: Nic, index: number, rx: number, tx: number, cpu: number) {
    const { machine, dev } = nic;
    this.nic = nic;
    this.dev = dev;
    this.machine = machine;
    this.bus = nic.bus;
    this.tp = nic.tp;
    this.index = index;
    this.siteDma = nic.siteDma;
    this.rx = new NicRing(rx);
    this.tx = new NicRing(tx);
    this.napi = new Napi(machine, dev, poll);
    this.napi.index = index;
    dev.napis.push(this.napi);
    this.napi.thread = dev.threaded === null ? null : dev.threaded(this.napi);
    this.rxIrq = machine.requestIrq(`${dev.name}-rx-${index}`, interrupt, this);
    this.txIrq = machine.requestIrq(`${dev.name}-tx-${index}`, interrupt, this);
    this.rxIrq.cpu = this.txIrq.cpu = cpu;
    this.rxIrq.mask();
    this.txIrq.mask();
    this.maxFrame = nic.maxFrame;
  }

  /** Fresh rings; buffers are posted by the NIC. */
  makeRings(rx: number, tx: number, jumbo: boolean): void {
    this.rx = new NicRing(rx);
    this.tx = new NicRing(tx);
    this.jumbo = jumbo ? new NicRing(JUMBO_RING) : null;
    this.announced = 0;
  }

  /** Lets it work. */
  start(): void {
    this.napi.enable();
    this.rxIrq.latched = this.txIrq.latched = false;
    this.rxIrq.unmask();
    this.txIrq.unmask();
  }

  /** Stops it and gives back all that its rings hold; frames among it are counted as lost. */
  quiesce(): void {
    this.rxIrq.mask();
    this.txIrq.mask();
    this.napi.disable();
    this.flushTx();
    nicCleanTx(this);
    while (this.rx.done > 0) {
      this.#lose();
      this.dev.stats.rxDropped++;
      this.dev.net.drop(nicTakeFrame(this, this.rx), DROP.QUEUE_PURGE);
    }
    giveBack(this.rx);
    if (this.jumbo !== null) giveBack(this.jumbo);
    this.rxIrq.latched = this.txIrq.latched = false;
  }

  /** It goes: the lines are freed, nothing polls it any more. */
  free(): void {
    this.rxIrq.free();
    this.txIrq.free();
    this.napi.disable();
    this.napi.thread = null;
    const at = this.dev.napis.indexOf(this.napi);
    if (at >= 0) this.dev.napis.splice(at, 1);
  }

  /** Posts fresh receive buffers in all free descriptors. False: memory ran out. Linux: igb_alloc_rx_buffers(). */
  allocRxBuffers(): boolean {
    const filled = fill(this, this.rx, SLOT_BUFFER, NET_SKB_PAD, RX_BUFFER_LEN);
    return (this.jumbo === null || fill(this, this.jumbo, SLOT_LARGE, 0, JUMBO_BUFFER_LEN)) && filled;
  }

  /** One interrupt for the frames that came since the last. */
  announce(): void {
    const n = (this.rx.frames - this.announced) | 0;
    if (n === 0) return;
    this.announced = this.rx.frames;
    this.rxIrq.raise(n);
  }

  /** Drops what was posted and not yet moved: the link is gone, or the ring goes. Returns the descriptors. */
  flushTx(): number {
    const { tx, nic } = this;
    const flushed = tx.pending;
    while (tx.pending > 0) {
      const i = tx.nextToDevice & tx.mask;
      const skb = tx.skb[i];
      tx.skb[i] = null;
      tx.complete(0);
      if (skb === null) continue;
      this.#lose();
      this.dev.stats.txDropped++;
      this.dev.net.drop(skb, nic.opened && nic.peer === null ? DROP.LINK_DOWN : DROP.QUEUE_PURGE);
    }
    return flushed;
  }

  #lose(): void {
    this.nic.counters.lost++;
    this.stats.lost++;
  }

  /** A doorbell that was deferred for a packet which never came. */
  wake(): void {
    if (this.tx.pending === 0 || this.nic.wire === null) return;
    this.machine.enter();
    this.nic.wire.doorbell(this);
    this.machine.exit();
  }
}

/** False: memory ran out. */
function fill(queue: NicQueue, ring: NicRing, cls: number, headroom: number, len: number): boolean {
  const pages = queue.machine.pages;
  for (let n = ring.unused; n > 0; n--) {
    const page = pages.alloc(cls);
    if (page < 0) {
      queue.nic.counters.rxAllocFailed++;
      queue.stats.rxAllocFailed++;
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

// One function for all queues is known to V8 by identity, a closure per queue is not.

function poll(napi: Napi, budget: number): number {
  return nicPoll((napi.dev!.priv as Nic).queues[napi.index], napi, budget);
}

/**
 * Masks the queue's interrupts and leaves the work to NAPI. Linux: a driver's irq handler, e.g. igb_msix_ring().
 * Differs: one NAPI context serves both lines, so that both are masked.
 */
function interrupt(line: IrqLine): void {
  const queue = line.devId as NicQueue;
  queue.rxIrq.mask();
  queue.txIrq.mask();
  queue.napi.schedule();
}
