/**
 * A stream device: the device in the net, two bounded queues, and the link.
 *
 * ```text
 *   link ── bytes(), message() ──► rx ring ── irq, NAPI ──► the stack
 *   link ◄── send() ── doorbell ── tx ring ◄── startXmit ── the stack
 * ```
 *
 * @module
 */
import {
  copyFromUser,
  DROP,
  type EventBus,
  G_NAPI,
  G_NET,
  type IrqLine,
  type Machine,
  Napi,
  type Net,
  NET_SKB_PAD,
  type NetDevice,
  netifTxWakeQueue,
  SkbQueue,
  type SkBuff,
  type Wakeable,
} from "../../../core/mod.ts";
import {
  STREAM_MAX_FRAME,
  type StreamCounters,
  type StreamDevice,
  type StreamEnd,
  type StreamLink,
  type StreamOptions,
  type StreamPort,
} from "./contract.ts";
import { streamPoll } from "./input.ts";
import { streamFlush } from "./output.ts";

/** Bytes of a length. */
const LENGTH = 4;
/** Link header and tag on top of the MTU. */
const MAX_LINK_HEADER = 18;

/** A stream device. Made by `streamDevice()`. */
export class Stream implements StreamDevice, StreamPort {
  /** The net. */
  readonly net: Net;
  /** The machine. */
  readonly machine: Machine;
  /** The device. */
  readonly dev: NetDevice;
  /** The outside. */
  readonly link: StreamLink;
  /** Frames that wait to be handed up. */
  readonly rx: SkbQueue = new SkbQueue();
  /** How many at most. */
  readonly rxLimit: number;
  /** The link waits for {@linkcode StreamLink.resume}. */
  paused = false;
  /** Frames that wait for the link. */
  readonly tx: SkbQueue = new SkbQueue();
  /** How many at most. */
  readonly txLimit: number;
  /** The link took its fill. */
  busy = false;
  /** The link is being given frames. */
  flushing = false;
  /** Up. */
  opened = false;
  /** The link has ended. */
  ended = false;
  /** The link is giving something: what it may go on with is in the answer. */
  receiving = false;
  /** Its line: the link raises it. */
  readonly irq: IrqLine;
  /** Hands up under the budget. */
  readonly napi: Napi;
  /** Rings at the outermost exit: what one entry sends goes in one batch. */
  readonly doorbell: Wakeable = { ready: false, wake: () => this.#ring() };
  /** What the driver counts. */
  readonly counters: StreamCounters = { rxAllocFailed: 0, rxPaused: 0, txBatches: 0 };
  /** The machine's tracepoints. */
  readonly bus: EventBus;
  /** Number of the tracepoint of a frame that came: `a` = bytes. */
  readonly tpRead: number;
  /** Number of the tracepoint of a frame that goes: `a` = bytes. */
  readonly tpWrite: number;
  /** Site in the ledger: bytes that come. */
  readonly siteRead: number;
  /** Site in the ledger: bytes that go. */
  readonly siteWrite: number;
  /** See {@linkcode StreamDevice.closed}. */
  readonly closed: Promise<StreamEnd>;
  #finish: (end: StreamEnd) => void = () => {};
  /** The frame that is coming, null: it is not kept. */
  #part: SkBuff | null = null;
  /** Bytes of it that are still to come. */
  #left = 0;
  /** Its length, as far as it has come, and how many bytes of that. */
  #length = 0;
  #have = 0;

  /** Use `streamDevice()`. */
  constructor(net: Net, dev: NetDevice, link: StreamLink, options: StreamOptions) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.dev = dev;
    this.link = link;
    this.rxLimit = options.rxLimit ?? 512;
    this.txLimit = options.txLimit ?? 256;
    this.bus = machine.bus;
    this.tpRead = this.bus.define({ name: "stream:read", linux: "tun_do_read", group: G_NAPI });
    this.tpWrite = this.bus.define({ name: "stream:write", linux: "tun_get_user", group: G_NET });
    this.siteRead = machine.ledger.site("stream_read", "dma");
    this.siteWrite = machine.ledger.site("stream_write", "dma");
    this.closed = new Promise((done) => this.#finish = done);
    this.irq = machine.requestIrq(dev.name, () => {
      this.irq.mask();
      this.napi.schedule();
    });
    this.napi = new Napi(machine, dev, (napi, budget) => streamPoll(this, napi, budget));
    this.napi.disable();
    dev.napis.push(this.napi);
    dev.priv = this;
    dev.carrier = false;
    const gone = net.netdevChain.register((e) => {
      if (e.kind !== "NETDEV_UNREGISTER" || e.dev !== dev) return;
      gone[Symbol.dispose]();
      this.#over(null);
      this.irq.free();
    });
  }

  /** The link begins. */
  begin(): void {
    if (this.link.open(this)) this.up();
  }

  // ---- the device

  /** Comes up. Linux: ndo_open. */
  open(): number {
    this.opened = true;
    this.napi.enable();
    this.irq.unmask();
    return 0;
  }

  /** Goes down: what comes is lost, what waits is dropped. Linux: ndo_stop. */
  stop(): void {
    // What was sent before goes out, as far as the link takes it.
    streamFlush(this);
    this.opened = false;
    this.napi.disable();
    this.irq.mask();
    this.#purge(this.tx, DROP.QUEUE_PURGE);
    this.#purge(this.rx, DROP.QUEUE_PURGE);
    this.#forgetPart();
    if (this.paused) this.resume();
  }

  /** There is room again: the link goes on. */
  resume(): void {
    this.paused = false;
    if (!this.ended && !this.receiving) this.link.resume();
  }

  /** Unregisters the device and closes the link. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.net.unregisterNetdevice(this.dev);
    await this.closed;
  }

  // ---- what the link says

  /** See {@linkcode StreamPort.up}. */
  up(): void {
    if (!this.ended) this.machine.batch(() => this.dev.setCarrier(true));
  }

  /** See {@linkcode StreamPort.message}. */
  message(frame: Uint8Array): boolean {
    if (this.ended) return true;
    const nested = this.receiving;
    this.receiving = true;
    this.machine.enter();
    if (this.opened && this.rx.qlen >= this.rxLimit) this.dev.stats.rxMissed++;
    else {
      const skb = this.#frame(frame.length);
      if (skb !== null) {
        copyFromUser(this.machine.ledger, this.siteRead, skb.slab, skb.put(frame.length), frame, 0, frame.length);
        this.rx.enqueue(skb);
      }
    }
    if (this.rx.qlen >= this.rxLimit) this.#pause();
    if (this.rx.head !== null) this.irq.raise();
    this.machine.exit();
    this.receiving = nested;
    return !this.paused;
  }

  /** See {@linkcode StreamPort.bytes}. */
  bytes(chunk: Uint8Array, at: number): number {
    const nested = this.receiving;
    this.receiving = true;
    do {
      this.machine.enter();
      at = this.#frames(chunk, at);
      if (this.rx.head !== null) this.irq.raise();
      // NAPI may make room at the outermost exit.
      this.machine.exit();
    } while (at < chunk.length && !this.paused && !this.ended);
    this.receiving = nested;
    return this.ended ? chunk.length : at;
  }

  /** See {@linkcode StreamPort.writable}. */
  writable(): void {
    this.busy = false;
    this.#ring();
  }

  /** See {@linkcode StreamPort.end}. */
  end(error: string | null): void {
    if (this.ended) return;
    if (error === null && (this.#left !== 0 || this.#have !== 0)) {
      error = "it ended within a frame";
      this.dev.stats.rxErrors++;
      this.dev.stats.rxLengthErrors++;
    }
    this.#over(error);
  }

  /** Sends are not possible any more: the link threw. */
  fail(error: unknown): void {
    this.dev.stats.txErrors++;
    this.end(error instanceof Error ? error.message : String(error));
  }

  #over(error: string | null): void {
    if (this.ended) return;
    this.ended = true;
    this.machine.batch(() => {
      this.#forgetPart();
      this.#purge(this.tx, DROP.LINK_DOWN);
      this.dev.setCarrier(false);
      // What the discipline holds goes the same way, not into a queue that never moves again.
      netifTxWakeQueue(this.dev.txq[0]);
    });
    let closing: Promise<void> | void = undefined;
    try {
      closing = this.link.close(error !== null);
    } catch (thrown) {
      this.machine.fault(`the link of ${this.dev.name}`, thrown);
    }
    Promise.resolve(closing).catch(() => {}).then(() => this.#finish({ error }));
  }

  #ring(): void {
    // Freed packets let their senders go on, in softirq.
    this.machine.enter();
    streamFlush(this);
    this.machine.exit();
  }

  #pause(): void {
    if (!this.paused) this.counters.rxPaused++;
    this.paused = true;
  }

  /** Takes bytes until the ring is full; where it stopped. */
  #frames(chunk: Uint8Array, at: number): number {
    while (at < chunk.length && !this.ended) {
      if (this.#left !== 0) at = this.#fill(chunk, at);
      else if (this.rx.qlen >= this.rxLimit) {
        this.#pause();
        break;
      } else if (!this.#lengthByte(chunk[at++])) {
        this.#malformed(`a frame of ${this.#length >>> 0} bytes was announced`);
      }
    }
    return at;
  }

  /** The next byte of a length. False: no frame has this length. */
  #lengthByte(byte: number): boolean {
    this.#length = (this.#length << 8) | byte;
    if (++this.#have < LENGTH) return true;
    if (this.#length <= 0 || this.#length > STREAM_MAX_FRAME) return false;
    this.#have = 0;
    this.#left = this.#length;
    this.#part = this.#frame(this.#length);
    this.#length = 0;
    return true;
  }

  /** Bytes of the frame that is coming. */
  #fill(chunk: Uint8Array, at: number): number {
    const n = Math.min(this.#left, chunk.length - at);
    const skb = this.#part;
    if (skb !== null) copyFromUser(this.machine.ledger, this.siteRead, skb.slab, skb.put(n), chunk, at, n);
    this.#left -= n;
    if (this.#left === 0 && skb !== null) {
      this.rx.enqueue(skb);
      this.#part = null;
    }
    return at + n;
  }

  /** Memory for a frame; null: it is not kept, and that is counted. */
  #frame(length: number): SkBuff | null {
    const { dev } = this;
    if (!this.opened) {
      dev.stats.rxDropped++;
      return null;
    }
    if (length > dev.mtu + MAX_LINK_HEADER) {
      dev.stats.rxDropped++;
      dev.stats.rxLengthErrors++;
      return null;
    }
    const skb = this.machine.skbs.alloc(NET_SKB_PAD + length);
    if (skb === null) {
      dev.stats.rxDropped++;
      this.counters.rxAllocFailed++;
      return null;
    }
    skb.reserve(NET_SKB_PAD);
    skb.dev = dev;
    return skb;
  }

  /** The other end does not speak this framing: nothing after it can be understood. */
  #malformed(why: string): void {
    this.dev.stats.rxErrors++;
    this.dev.stats.rxLengthErrors++;
    this.#over(why);
  }

  #forgetPart(): void {
    if (this.#part !== null) this.net.drop(this.#part, DROP.QUEUE_PURGE);
    this.#part = null;
  }

  #purge(queue: SkbQueue, reason: number): void {
    for (let skb = queue.dequeue(); skb !== null; skb = queue.dequeue()) this.net.drop(skb, reason);
  }
}
