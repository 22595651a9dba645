/**
 * A network card of the time before NAPI, with a driver that does what drivers did then: one interrupt for each frame, and
 * the frame goes from the handler to the backlog. Linux 2.2: net_interrupt() and netif_rx(); 4.4BSD: the receive interrupt
 * and `ipintrq`.
 *
 * ```text
 *   wire ──DMA──► rx ring ──irq──► handler: one frame, an skb, netif_rx() ──► backlog ──softirq──► stack
 *                    ▲                │
 *                    └── asserted ────┘ while the ring holds frames the line interrupts again
 * ```
 */
import { HrTimer, type IrqLine, type Machine, type Net, type NetDevice, netdevOps } from "../../../core/mod.ts";

/** What the card is made of. */
export interface InterruptNicOptions {
  /** Receive descriptors. Default 256. */
  rxRing?: number;
  /** `02:00:00:00:00:01`. Default: one from the platform's randomness. */
  address?: string;
}

/** The card: it only receives. */
export class InterruptNic {
  /** The device. */
  readonly dev: NetDevice;
  /** Its line. */
  readonly irq: IrqLine;
  readonly #machine: Machine;
  readonly #size: number;
  readonly #ring: Uint8Array<ArrayBuffer>[] = [];
  readonly #asserted: HrTimer = new HrTimer(() => this.irq.raise());

  /** Use {@linkcode interruptNic}. */
  constructor(net: Net, name: string, options: InterruptNicOptions) {
    this.#machine = net.machine;
    this.#size = options.rxRing ?? 256;
    this.irq = net.machine.requestIrq(name, () => this.#interrupt(), this);
    const ops = netdevOps({
      open: () => 0,
      stop: () => this.#stop(),
      // It has no transmitter: what is sent is lost on the way, as on a cable without an end.
      startXmit: (skb) => (skb.consume(), 0),
    });
    this.dev = net.registerNetdevice(name, {
      ops,
      ...(options.address === undefined ? {} : { address: options.address }),
    });
  }

  /** Frames that wait for their interrupt. */
  get waiting(): number {
    return this.#ring.length;
  }

  /** A frame comes in from the wire: what the hardware does. False: no descriptor was free, and it is lost. */
  arrives(frame: Uint8Array<ArrayBuffer>): boolean {
    if (this.#ring.length >= this.#size) {
      this.dev.stats.rxMissed++;
      return false;
    }
    this.#ring.push(frame);
    this.#assert();
    return true;
  }

  /** A level-triggered line: it interrupts when the CPU takes interrupts, and again until the ring is empty. */
  #assert(): void {
    if (!this.#asserted.pending) this.#machine.hrtimers.start(this.#asserted, this.#machine.now);
  }

  /** The hard interrupt: all of a frame's way to the backlog. */
  #interrupt(): void {
    const frame = this.#ring.shift();
    if (frame === undefined) return;
    this.dev.receive(frame);
    if (this.#ring.length > 0) this.#assert();
  }

  #stop(): void {
    this.#machine.hrtimers.cancel(this.#asserted);
    this.#ring.length = 0;
  }
}

/**
 * Adds such a card to a net, down.
 *
 * @example Ten frames, ten interrupts; a driver with NAPI takes one
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createNet, Machine } from "@netpath/stack";
 * import { interruptNic } from "@netpath/stack/livelock";
 *
 * const machine = new Machine();
 * const card = interruptNic(createNet({ machine }), "eth0");
 * card.dev.open();
 * machine.batch(() => {
 *   for (let i = 0; i < 10; i++) card.arrives(new Uint8Array(60).fill(0xff));
 * });
 * machine.runUntilIdle();
 * assertEquals(card.irq.count, 10);
 * assertEquals(card.dev.stats.rxPackets, 10);
 * ```
 */
export function interruptNic(net: Net, name: string, options: InterruptNicOptions = {}): InterruptNic {
  return new InterruptNic(net, name, options);
}
