/**
 * A TAP: the device in the net, the kernel's descriptor, and the line between them.
 *
 * @module
 */
import {
  type EventBus,
  G_NAPI,
  G_NET,
  type IrqLine,
  type Machine,
  MAX_SKB_FRAGS,
  Napi,
  type Net,
  NET_SKB_PAD,
  type NetDevice,
  netifTxWakeQueue,
  type SkBuff,
  type Slab,
  SLOT_BUFFER,
  SLOT_SIZE,
  type Wakeable,
} from "../../../core/mod.ts";
import { TAP_BUSY_POLL, type TapCounters, type TapDevice, type TapOptions } from "./contract.ts";
import { HostBuffer, type Libc, type LibcSymbols, Pointers, POLLERR, POLLIN, POLLOUT } from "./ffi.ts";
import { VNET_HDR_LEN } from "./header.ts";
import { tapPoll } from "./input.ts";
import { type KernelTap, setKernelCarrier, stillAttached } from "./open.ts";
import { tapFlush, tapPurge } from "./output.ts";
import type { HostPoller, PollSource } from "./poller.ts";
import { type Uring, URING_ENTRIES } from "./uring.ts";

/** Bytes of a frame that fit in one receive buffer behind its headroom. */
export const TAP_RX_ROOM: number = SLOT_SIZE[SLOT_BUFFER] - NET_SKB_PAD;
/** Large pages behind it: together they take the longest frame there is. */
export const TAP_PARTS = 2;
/** Frames of a batch that is read, and the same where each may take large pages. */
const RX_RING = URING_ENTRIES;
const RX_RING_LONG = 8;
/** Frames that wait for the doorbell. */
export const TAP_TX_RING: number = URING_ENTRIES;
/** Bytes of struct iovec. */
const IOVEC = 16;
/** Words of the iovec array of a frame that is read. */
export const RX_IOV_WORDS: number = (1 + TAP_PARTS) * 4;
/** Pieces of a frame that is written: vnet header, head, frags; and the words of its iovec array. */
export const TX_IOV: number = 2 + MAX_SKB_FRAGS;
export const TX_IOV_WORDS: number = TX_IOV * 4;
/** Bytes from one vnet header to the next. */
export const VNET_STRIDE = 12;
/** Link header and tag on top of the MTU. */
const MAX_LINK_HEADER = 18;
const IFF_UP = 1;

/** Numbers of the TAP's tracepoints. */
export interface TapTracepoints {
  /** A frame was read: `a` = bytes. */
  readonly read: number;
  /** A frame was written: `a` = bytes, `b` = pieces. */
  readonly write: number;
}

/** A TAP. Made by `tap()`; `await using` ends it. */
export class Tap implements PollSource, TapDevice {
  /** The net. */
  readonly net: Net;
  /** The machine. */
  readonly machine: Machine;
  /** The device. */
  readonly dev: NetDevice;
  /** Name of the kernel's interface. */
  readonly kernelName: string;
  /** The descriptor; -1 once it is closed. */
  fd: number;
  /** See {@linkcode PollSource.events}. */
  events = 0;
  /** See {@linkcode PollSource.masked}. */
  masked = false;
  /** See {@linkcode PollSource.busyPoll}. */
  readonly busyPoll: number;
  /** The C library. */
  readonly libc: Libc;
  /** Its calls. */
  readonly sys: LibcSymbols;
  /** Addresses of packet memory. */
  readonly pointers: Pointers = new Pointers();
  /** Bytes of the vnet header, 0 without offloads. */
  readonly hdrLen: number;
  /** Up: NAPI may read. */
  opened = false;
  /** Frames may be longer than one receive buffer. */
  long = false;
  /** Moves batches, null: a system call for each frame. */
  readonly uring: Uring | null;
  /** Most frames of a batch that is read. */
  rxSize: number = RX_RING;
  /** Frames to ask for next. */
  rxWanted = 1;
  /** Slots that the next frames are read into, -1: none yet. */
  readonly rxPage: Int32Array = new Int32Array(RX_RING).fill(-1);
  /** Their slabs. */
  readonly rxSlab: (Slab | null)[] = new Array<Slab | null>(RX_RING).fill(null);
  /** Bytes that were read into each; negative: none. */
  readonly rxLen: Int32Array = new Int32Array(RX_RING);
  /** Large slots for the rest of a long frame, -1: none. */
  readonly partPage: Int32Array = new Int32Array(RX_RING * TAP_PARTS).fill(-1);
  /** Their slabs. */
  readonly partSlab: (Slab | null)[] = new Array<Slab | null>(RX_RING * TAP_PARTS).fill(null);
  /** struct iovec of readv, an array for each slot. */
  readonly rxIov: HostBuffer = new HostBuffer(RX_RING * RX_IOV_WORDS * 4);
  /** Addresses of these arrays. */
  readonly rxIovAt: Deno.PointerObject[];
  /** Frames that wait for the doorbell, oldest first. */
  readonly txSkb: (SkBuff | null)[] = new Array<SkBuff | null>(TAP_TX_RING).fill(null);
  /** How many. */
  txCount = 0;
  /** What became of each: bytes, or a negative errno. */
  readonly txRes: Int32Array = new Int32Array(TAP_TX_RING);
  /** The doorbell is being served. */
  flushing = false;
  /** Rings at the outermost exit. */
  readonly doorbell: Wakeable = { ready: false, wake: () => this.#ring() };
  /** struct iovec of writev, an array for each frame. */
  readonly txIov: HostBuffer = new HostBuffer(TAP_TX_RING * TX_IOV * IOVEC);
  /** The vnet headers that are sent. */
  readonly vnet: HostBuffer = new HostBuffer(TAP_TX_RING * VNET_STRIDE);
  /** See {@linkcode TapDevice.ioUring}. */
  readonly ioUring: boolean;
  /** Its line: the poller raises it. */
  readonly irq: IrqLine;
  /** Reads under the budget. */
  readonly napi: Napi;
  /** What the driver counts. */
  readonly counters: TapCounters = { rxAllocFailed: 0, rxBatches: 0, txBatches: 0 };
  /** The machine's tracepoints. */
  readonly bus: EventBus;
  /** Numbers of its tracepoints. */
  readonly tp: TapTracepoints;
  /** Site of reads in the ledger: the kernel writes the bytes. */
  readonly siteRead: number;
  /** Site of writes in the ledger: the kernel takes the bytes. */
  readonly siteWrite: number;
  /** Resolves when the descriptor is closed and nothing waits for it any more. */
  readonly closed: Promise<void>;
  readonly #poller: HostPoller;
  readonly #ifindex: number;
  readonly #followMtu: boolean;
  #finish: () => void = () => {};

  /** Use `tap()`. */
  constructor(net: Net, dev: NetDevice, kernel: KernelTap, poller: HostPoller, options: TapOptions) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.dev = dev;
    this.bus = machine.bus;
    this.fd = kernel.fd;
    this.kernelName = kernel.name;
    this.#ifindex = kernel.ifindex;
    this.#poller = poller;
    this.#followMtu = options.mtu === undefined;
    this.libc = poller.libc;
    this.sys = poller.libc.sys;
    this.busyPoll = options.busyPoll ?? TAP_BUSY_POLL;
    this.uring = poller.uring(options.ioUring);
    this.ioUring = this.uring !== null;
    this.rxIovAt = Array.from({ length: RX_RING_LONG }, (_, i) => this.rxIov.at(i * RX_IOV_WORDS * 4));
    this.hdrLen = options.offloads ? VNET_HDR_LEN : 0;
    this.tp = {
      read: this.bus.define({ name: "tap:read", linux: "tun_do_read", group: G_NAPI }),
      write: this.bus.define({ name: "tap:write", linux: "tun_get_user", group: G_NET }),
    };
    this.siteRead = machine.ledger.site("tap_read", "dma");
    this.siteWrite = machine.ledger.site("tap_write", "dma");
    this.closed = new Promise((done) => this.#finish = done);
    this.irq = machine.requestIrq(dev.name, () => {
      this.irq.mask();
      this.masked = true;
      this.events &= ~POLLIN;
      this.napi.schedule();
    });
    this.napi = new Napi(machine, dev, (napi, budget) => tapPoll(this, napi, budget));
    this.napi.disable();
    dev.napis.push(this.napi);
    dev.priv = this;
    dev.carrier = kernel.up;
    setKernelCarrier(this.libc, this.fd, false);
    poller.links.watchers.set(kernel.ifindex, (flags, mtu) => this.#kernelChange(flags, mtu));
    poller.add(this);
    const gone = net.netdevChain.register((e) => {
      if (e.kind !== "NETDEV_UNREGISTER" || e.dev !== dev) return;
      gone[Symbol.dispose]();
      this.#remove();
    });
  }

  /** Comes up. Linux: ndo_open. */
  open(): number {
    this.#setLong(this.dev.mtu);
    this.opened = true;
    this.napi.enable();
    this.dev.txq[0].stopped = false;
    setKernelCarrier(this.libc, this.fd, true);
    this.unmask();
    return 0;
  }

  /** Goes down; frames that the kernel holds wait there. Linux: ndo_stop. */
  stop(): void {
    if (!this.opened) return;
    // What was sent before goes out.
    tapFlush(this);
    tapPurge(this);
    this.opened = false;
    this.irq.mask();
    this.napi.disable();
    this.masked = false;
    this.events = 0;
    this.#poller.update();
    if (this.fd >= 0) setKernelCarrier(this.libc, this.fd, false);
    this.#giveBack();
  }

  /** The MTU changes: longer frames need other buffers. Linux: ndo_change_mtu. */
  changeMtu(mtu: number): number {
    this.#setLong(mtu);
    return 0;
  }

  /** NAPI has read all there was: the descriptor interrupts again. */
  unmask(): void {
    this.masked = false;
    this.events |= POLLIN;
    this.irq.unmask();
    this.#poller.update();
  }

  /** The kernel took nothing: the descriptor interrupts when there is room. */
  waitForRoom(): void {
    if ((this.events & POLLOUT) !== 0) return;
    this.events |= POLLOUT;
    this.#poller.update();
  }

  /** See {@linkcode PollSource.ready}. */
  ready(revents: number): void {
    this.machine.enter();
    if ((revents & POLLOUT) !== 0) {
      this.events &= ~POLLOUT;
      tapFlush(this);
      if (this.txCount === 0) netifTxWakeQueue(this.dev.txq[0]);
    }
    if ((revents & POLLIN) !== 0) this.irq.raise();
    else if ((revents & POLLERR) !== 0) this.fail();
    this.machine.exit();
  }

  /** The kernel's interface is gone: the carrier goes, and the descriptor is polled no more. */
  fail(): void {
    this.events = 0;
    this.masked = false;
    this.irq.mask();
    this.#poller.update();
    this.dev.setCarrier(false);
  }

  /** Unregisters the device and closes the descriptor; resolves when that is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.net.unregisterNetdevice(this.dev);
    await this.closed;
  }

  /** Frames are read with readv when one may be longer than a receive buffer. */
  #setLong(mtu: number): void {
    this.long = this.hdrLen !== 0 || mtu + MAX_LINK_HEADER > TAP_RX_ROOM;
    this.rxSize = this.long ? RX_RING_LONG : RX_RING;
    this.rxWanted = Math.min(this.rxWanted, this.rxSize);
  }

  #ring(): void {
    // Freed packets let their senders go on, in softirq.
    this.machine.enter();
    tapFlush(this);
    this.machine.exit();
  }

  #kernelChange(flags: number, mtu: number): void {
    if (flags === -1 && !stillAttached(this.libc, this.fd)) return this.fail();
    this.machine.enter();
    // It moved to another namespace, where it is not seen: a write says so when it is down (EIO).
    if (flags === -1) flags = IFF_UP;
    if (this.#followMtu && mtu >= 68 && mtu !== this.dev.mtu) this.dev.setMtu(mtu);
    this.dev.setCarrier((flags & IFF_UP) !== 0);
    this.machine.exit();
  }

  #giveBack(): void {
    for (let i = 0; i < this.rxPage.length; i++) {
      if (this.rxPage[i] >= 0) this.rxSlab[i]!.put(this.rxPage[i]);
      this.rxPage[i] = -1;
    }
    for (let i = 0; i < this.partPage.length; i++) {
      if (this.partPage[i] >= 0) this.partSlab[i]!.put(this.partPage[i]);
      this.partPage[i] = -1;
    }
  }

  #remove(): void {
    const poller = this.#poller;
    this.irq.free();
    poller.links.watchers.delete(this.#ifindex);
    poller.remove(this).then(this.#finish);
    this.fd = -1;
  }
}
