/**
 * CPU work that takes virtual time. A cost model is a listener: core's tracepoints say where work is done, the model moves
 * the clock there, and what falls due meanwhile (frames from the wire, their interrupts) interrupts between two packets.
 * Without one there is no code for it anywhere on the path.
 *
 * Who runs when, on one CPU:
 *
 * - An interrupt handler runs at once, whatever it interrupts, and nothing interrupts it: what comes meanwhile waits for
 *   its end.
 * - Softirqs run when a handler or a system call ends; interrupts come between two of their packets. After 10 restarts or
 *   2 ms they leave the rest to ksoftirqd.
 * - ksoftirqd and the application share what is left, half and half: after a run that was cut short the application has as
 *   long a turn, see `core/softirq.ts`.
 * - The application has the CPU when nothing else wants it. A reader is called when the softirqs that woke it have ended.
 */
import {
  CONTEXT_NAMES,
  type Cpu,
  type CpuCost,
  CTX_HARDIRQ,
  CTX_KSOFTIRQD,
  CTX_NAPI,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  doSoftirq,
  G_SOCK,
  type Machine,
  NET_RX_SOFTIRQ,
  runKsoftirqd,
  type VirtualPlatform,
} from "../../../core/mod.ts";

/** What each piece of CPU work takes, in ns of virtual time. */
export interface CostModel {
  /** An interrupt: entry, handler, exit, and the caches that it spoils. */
  irq: number;
  /** A run of softirqs of one kind, on interrupt exit or in ksoftirqd. */
  softirq: number;
  /** One poll of a NAPI context, whatever it finds. */
  napiPoll: number;
  /** One packet from the driver up to the socket (or to where it ends). */
  packet: number;
  /** One system call that sends or receives; calls of one `machine.batch()`, or messages of one recvmmsg(), are one. */
  syscall: number;
  /** One byte that such a call copies. */
  perByte: number;
}

/** A round-numbered core of a server: 2 us an interrupt, 1 us a packet, 0.6 us a system call. */
export const SERVER_CORE: Readonly<CostModel> = {
  irq: 2000,
  softirq: 300,
  napiPoll: 300,
  packet: 1000,
  syscall: 600,
  perByte: 0.1,
};

/** ns of CPU time by who had it. */
export interface CpuTime {
  /** Interrupt handlers. */
  hardirq: number;
  /** Softirqs on interrupt exit. */
  softirq: number;
  /** Softirqs in ksoftirqd, and NAPI in threads of its own. */
  ksoftirqd: number;
  /** System calls and the application's own work. */
  app: number;
}

/** An interrupt storm may keep a piece of work from its end for so long: then the event loop must turn. */
const STORM_NS = 1e9;

const SENDS = ["syscalls:sys_enter_sendmsg", "syscalls:sys_exit_sendmsg", "__sys_sendmsg"] as const;
const RECEIVES = ["syscalls:sys_enter_recvmsg", "syscalls:sys_exit_recvmsg", "__sys_recvmsg"] as const;

/** A cost model at work on a machine; see {@linkcode cpuCost}. */
export class CpuCosts implements CpuCost, Disposable {
  /** What things cost. It may be changed while it runs. */
  readonly model: CostModel;
  /** The machine. */
  readonly machine: Machine;
  /** Set by {@linkcode Machine.advance}. */
  until: number = Infinity;
  readonly #clock: VirtualPlatform;
  /** By CPU, then by CTX_*. */
  readonly #spent: Float64Array[];
  readonly #listeners: Disposable[] = [];
  /** The entry of the last system call: one more in it is a message of the same call. */
  #entry = -1;

  /** Use {@linkcode cpuCost}. */
  constructor(machine: Machine, model: CostModel) {
    this.machine = machine;
    this.model = model;
    this.#clock = machine.platform as VirtualPlatform;
    this.#spent = machine.cpus.map(() => new Float64Array(CONTEXT_NAMES.length));
    const on = (name: string, fn: (a: number, b: number) => void): void => {
      this.#listeners.push(machine.bus.on(name, (_skb, a, b) => fn(a, b)));
    };
    on("irq:irq_handler_entry", () => this.work(model.irq));
    on("irq:softirq_entry", () => this.work(model.softirq));
    on("irq:softirq_exit", () => this.#settle());
    on("napi:napi_poll", () => this.work(model.napiPoll));
    on("net:netif_receive_skb", () => this.work(model.packet));
    for (const [enter, exit, linux] of [SENDS, RECEIVES]) {
      for (const name of [enter, exit]) machine.bus.define({ name, linux, group: G_SOCK });
      on(enter, () => this.#call());
      on(exit, (_fd, bytes) => this.work(Math.max(0, Math.round(bytes * model.perByte))));
    }
  }

  /**
   * The code that runs now has the CPU for `ns`: for an application's own work, or a driver's. Virtual time passes, and
   * what falls due interrupts; in an interrupt handler it waits for the handler's end.
   */
  work(ns: number): void {
    const { machine } = this;
    machine.enter();
    const { cpu, context } = machine;
    this.#spent[cpu.id][context] += ns;
    if (context === CTX_HARDIRQ) this.#clock.time += ns;
    else this.#interruptible(ns, cpu, context);
    machine.refresh();
    machine.exit();
  }

  /** CPU time so far, in ns, of one CPU. */
  spent(cpu: number = 0): CpuTime {
    const by = this.#spent[cpu];
    return {
      hardirq: by[CTX_HARDIRQ],
      softirq: by[CTX_SOFTIRQ],
      ksoftirqd: by[CTX_KSOFTIRQD] + by[CTX_NAPI],
      app: by[CTX_PROCESS],
    };
  }

  /** Work takes no time any more. */
  [Symbol.dispose](): void {
    for (const listener of this.#listeners.splice(0)) listener[Symbol.dispose]();
    if (this.machine.cost === this) this.machine.cost = null;
  }

  /**
   * What an interrupt scheduled while NET_RX ran was polled by the same run: it left a softirq that has nothing to do.
   * Linux: softnet_data.in_net_rx_action, which does not raise it in the first place (6.4).
   */
  #settle(): void {
    const { cpu } = this.machine;
    if (cpu.pollHead === null) cpu.pending &= ~(1 << NET_RX_SOFTIRQ);
  }

  #call(): void {
    const { activity } = this.machine;
    if (activity !== this.#entry) this.work(this.model.syscall);
    this.#entry = activity;
  }

  #interruptible(ns: number, cpu: Cpu, context: number): void {
    const { machine } = this;
    const clock = this.#clock;
    const last = Math.min(this.until, clock.time + STORM_NS);
    let left = ns;
    for (;;) {
      const next = this.#next(cpu, context);
      if (next > clock.time + left || next > last) break;
      // What interrupts moves the clock by itself: it puts the end of this work off.
      if (next > clock.time) {
        left -= next - clock.time;
        clock.time = next;
      }
      machine.refresh();
      this.#interrupt(cpu, context);
    }
    clock.time += left;
  }

  /** When something interrupts. Wheel timers and ksoftirqd's turn take the CPU from applications only. */
  #next(cpu: Cpu, context: number): number {
    const { machine } = this;
    if (context !== CTX_PROCESS) return machine.hrtimers.next();
    const timer = machine.nextTimer(true);
    return this.#softirqsWait(cpu) ? Math.min(timer, Math.max(cpu.restUntil, this.#clock.time)) : timer;
  }

  #softirqsWait(cpu: Cpu): boolean {
    return cpu.pending !== 0 && !cpu.inSoftirq;
  }

  #interrupt(cpu: Cpu, context: number): void {
    const { machine } = this;
    const { skbs } = machine;
    // What an interrupt makes was not caused by the packet that it interrupted.
    const { currentId } = skbs;
    skbs.currentId = 0;
    if (context !== CTX_PROCESS) {
      cpu.context = CTX_HARDIRQ;
      machine.hrtimers.run(machine.now);
      cpu.context = context;
    } else {
      machine.runTimers();
      if (this.#softirqsWait(cpu) && machine.now >= cpu.restUntil) {
        if (cpu.ksoftirqd) runKsoftirqd(machine, cpu);
        else doSoftirq(machine, cpu);
      }
    }
    skbs.currentId = currentId;
  }
}

/**
 * Makes the CPU work of a machine take virtual time, from now on until it is disposed. Costs that are left out are those of
 * {@linkcode SERVER_CORE}. A machine on the real clock, or one that has a cost model, is a TypeError; a cost that is no
 * number from 0 is a RangeError.
 *
 * It is for machines of one CPU. The CPUs of a machine of several run on its one clock, one after the other: their times
 * are counted apart, see {@linkcode CpuCosts.spent}, and add up, as if they were threads of one core.
 *
 * @example A poll of ten packets takes as long as ten packets
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ARPHRD_NONE, devAddPack, Machine } from "@netpath/stack/core";
 * import { cpuCost } from "@netpath/stack/livelock";
 *
 * const machine = new Machine({ cost: (m) => cpuCost(m, { softirq: 0, napiPoll: 500, packet: 1000 }) });
 * const net = machine.createNet();
 * const dev = net.registerNetdev("raw0", { startXmit: (skb) => (skb.consume(), 0) }, { type: ARPHRD_NONE });
 * devAddPack(net, { type: 0x0800, dev: null, func: (skb) => skb.consume() });
 * net.batch(() => {
 *   for (let i = 0; i < 10; i++) dev.receive(Uint8Array.of(0x45, 0, 0, 20));
 * });
 * assertEquals(machine.now, 10_500);
 * ```
 */
export function cpuCost(machine: Machine, model: Partial<CostModel> = {}): CpuCosts {
  if (!machine.platform.virtual) {
    throw new TypeError("Cannot let work take time: the machine is on the real clock, where it does");
  }
  if (machine.cost !== null) throw new TypeError("Cannot let work take time: the machine has a cost model already");
  for (const [what, ns] of Object.entries(model)) {
    if (!(what in SERVER_CORE)) {
      throw new RangeError(`Cannot set the cost of ${what}: there are ${Object.keys(SERVER_CORE).join(", ")}`);
    }
    if (!(ns >= 0 && ns < Infinity)) throw new RangeError(`Cannot set the cost of ${what} to ${ns}: ns, from 0`);
  }
  const costs = new CpuCosts(machine, { ...SERVER_CORE, ...model });
  machine.cost = costs;
  return costs;
}
