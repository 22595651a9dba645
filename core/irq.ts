/**
 * Interrupt line of a device queue, with masking and coalescing. Linux: kernel/irq/, `ethtool -C`.
 *
 * `raise()` runs the handler inline and the handler only masks and schedules NAPI. While the line is masked a cause is
 * latched, not delivered, so that nothing is lost when the driver unmasks: the race that every NAPI driver closes.
 */
import type { Machine } from "./machine.ts";
import * as softirq from "./softirq.ts";
import * as eventBus from "./event_bus.ts";
import { HrTimer } from "./timer.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CTX_HARDIRQ } = softirq;
const { G_IRQ, TP_IRQ_HANDLER_ENTRY, TP_IRQ_HANDLER_EXIT } = eventBus;

/** Interrupt moderation, as `ethtool -C` has it. */
export interface Coalesce {
  /** Delay of the interrupt after the first cause, in microseconds; 0: none. */
  usecs: number;
  /** Causes after which it comes at once; 0: no limit. */
  frames: number;
}

/** One line. */
export class IrqLine {
  /** Number in /proc/interrupts. */
  declare readonly irq: number;
  /** `eth0-rx-0` and the like. */
  declare readonly name: string;
  /** Registered by the driver: masks the line and schedules NAPI. */
  declare handler: (line: IrqLine) => void;
  /** CPU that takes it. */
  cpu = 0;
  /** Raises do not run the handler now. */
  masked = false;
  /** A cause came while masked. */
  latched = false;
  /** Times the handler ran. */
  count = 0;
  /** The same by CPU. */
  readonly perCpu: number[] = [];
  /** Causes that found the line masked. */
  suppressed = 0;
  /** Moderation. */
  readonly coalesce: Coalesce = { usecs: 0, frames: 0 };
  /** Whose it is: for the handler, which then needs no closure. Linux: dev_id. */
  declare readonly devId: unknown;
  /** The machine. */
  declare readonly machine: Machine;
  readonly #timer: HrTimer;
  #held = 0;

  /** A line; use {@linkcode Machine.requestIrq}. */
  constructor(machine: Machine, irq: number, name: string, handler: (line: IrqLine) => void, devId: unknown) {
    this.machine = machine;
    this.devId = devId;
    this.irq = irq;
    this.name = name;
    this.handler = handler;
    for (let i = 0; i < machine.cpus.length; i++) this.perCpu.push(0);
    this.#timer = new HrTimer(() => this.#fire());
  }

  /** The device has `frames` causes: interrupt now, or when moderation says so. */
  raise(frames: number = 1): void {
    if (this.masked) {
      this.latched = true;
      this.suppressed++;
      return;
    }
    const c = this.coalesce;
    if (c.usecs === 0) return this.#fire();
    this.#held += frames;
    if (c.frames !== 0 && this.#held >= c.frames) return this.#fire();
    if (!this.#timer.pending) this.machine.hrtimers.start(this.#timer, this.machine.now + c.usecs * 1000);
  }

  /** The driver masks the device's interrupt. */
  mask(): void {
    this.masked = true;
  }

  /**
   * The driver has seen all causes up to now: what was latched does not interrupt at unmask. Call it before the ring is
   * read, so that what comes later is latched again. Linux: writing the device's cause register.
   */
  ack(): void {
    this.latched = false;
  }

  /** The driver unmasks it; a latched cause interrupts at once. */
  unmask(): void {
    this.masked = false;
    if (this.latched) {
      this.latched = false;
      this.raise();
    }
  }

  /** From its next interrupt on another CPU takes it. Linux: /proc/irq/N/smp_affinity_list. */
  setAffinity(cpu: number): void {
    this.machine.cpuAt(cpu, `set the affinity of ${this.name}`);
    this.cpu = cpu;
  }

  /** Changes moderation while running. */
  setCoalesce(c: Coalesce): void {
    this.coalesce.usecs = c.usecs;
    this.coalesce.frames = c.frames;
    if (this.#held > 0 && c.usecs === 0) this.#fire();
  }

  /** Frees the line: nothing fires any more. Linux: free_irq(). */
  free(): void {
    this.machine.hrtimers.cancel(this.#timer);
    this.masked = true;
    this.machine.irqs.delete(this.irq);
  }

  #fire(): void {
    this.#held = 0;
    if (this.#timer.pending) this.machine.hrtimers.cancel(this.#timer);
    if (this.masked) {
      this.latched = true;
      return;
    }
    this.count++;
    this.perCpu[this.cpu]++;
    const machine = this.machine;
    machine.enter();
    const interrupted = machine.cpu;
    const cpu = machine.cpus[this.cpu];
    const before = cpu.context;
    machine.cpu = cpu;
    cpu.context = CTX_HARDIRQ;
    if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_IRQ_HANDLER_ENTRY, null, this.irq, 0, this);
    try {
      this.handler(this);
    } catch (error) {
      machine.fault(`the interrupt handler of ${this.name}`, error);
    }
    if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_IRQ_HANDLER_EXIT, null, this.irq, 0, this);
    cpu.context = before;
    machine.cpu = interrupted;
    machine.exit();
  }
}
