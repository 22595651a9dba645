/**
 * The tester's end.
 *
 * @module
 */
import { type EventBus, G_NET, type Net, type NetDevice, netifTxWakeQueue } from "../../../core/mod.ts";

/** A channel. Made by `channel()`. */
export class Channel implements Disposable {
  /** The net. */
  readonly net: Net;
  /** The device. */
  readonly dev: NetDevice;
  /** Sent frames that wait to be read, before the queue stops. */
  readonly limit: number;
  /** Called for each sent frame, instead of queueing it. */
  onFrame: ((frame: Uint8Array<ArrayBuffer>) => void) | null = null;
  /** The machine's tracepoints. */
  readonly bus: EventBus;
  /** Number of its tracepoint. */
  readonly tpXmit: number;
  /** Its site in the ledger: the bytes leave packet memory. */
  readonly site: number;
  readonly #frames: Uint8Array<ArrayBuffer>[] = [];

  /** Use `channel()`. */
  constructor(net: Net, dev: NetDevice, limit: number) {
    this.net = net;
    this.dev = dev;
    this.limit = limit;
    this.bus = net.machine.bus;
    this.tpXmit = this.bus.define({ name: "channel:xmit", linux: "ndo_start_xmit", group: G_NET });
    this.site = net.machine.ledger.site("channel_xmit", "dma");
    dev.priv = this;
  }

  /** A frame for the stack. It has been received when this returns. False: the device is down, or it is too long. */
  inject(frame: Uint8Array): boolean {
    return this.dev.receive(frame);
  }

  /** The next frame that the stack sent, or null. */
  read(): Uint8Array<ArrayBuffer> | null {
    const frame = this.#frames.shift() ?? null;
    const txq = this.dev.txq[0];
    if (frame !== null && txq.stopped) {
      this.net.machine.enter();
      netifTxWakeQueue(txq);
      this.net.machine.exit();
    }
    return frame;
  }

  /** All frames that wait, in order. */
  readAll(): Uint8Array<ArrayBuffer>[] {
    const out: Uint8Array<ArrayBuffer>[] = [];
    for (let frame = this.read(); frame !== null; frame = this.read()) out.push(frame);
    return out;
  }

  /** Frames that wait. */
  get queued(): number {
    return this.#frames.length;
  }

  /** Used by the driver: a frame was sent. */
  push(frame: Uint8Array<ArrayBuffer>): void {
    if (this.onFrame !== null) this.onFrame(frame);
    else this.#frames.push(frame);
  }

  /** Forgets the frames that wait. */
  clear(): void {
    this.#frames.length = 0;
    this.dev.txq[0].stopped = false;
  }

  /** Unregisters the device. */
  [Symbol.dispose](): void {
    this.net.unregisterNetdevice(this.dev);
  }
}
