/**
 * A machine: platform, memory, CPUs, timers, wires and nets, and the rule of who runs softirqs when.
 *
 * Every entry (system call, timer, device wake, reinjection) is `enter()` … `exit()`. The outermost `exit()` runs
 * pending softirqs, then wakes the sockets that became ready. Nothing polls inside an interrupt.
 */
import { Clock } from "./clock.ts";
import { DropReasons } from "./drop_reason.ts";
import { CopyLedger, EventBus } from "./event_bus.ts";
import * as eventBus from "./event_bus.ts";
import { IrqLine } from "./irq.ts";
import { backlogNapi, type Napi, pollListAdd } from "./napi.ts";
import { Net, type NetOptions } from "./net.ts";
import { groFlush } from "./offload.ts";
import { PagePool, type PagePoolOptions } from "./page_pool.ts";
import { type Platform, virtualPlatform } from "./platform.ts";
import { PluginError } from "./plugin.ts";
import { SkbPool } from "./skb_pool.ts";
import { Cpu } from "./softirq.ts";
import * as softirq from "./softirq.ts";
import { NETDEV_BUDGET, NETDEV_BUDGET_NS, netTxAction } from "./transmit.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_NAPI, TP_NAPI_POLL } = eventBus;
const { CTX_PROCESS, doSoftirq, NET_RX_SOFTIRQ, raiseSoftirq, runKsoftirqd, wakeKsoftirqd } = softirq;

/** Something that is woken at the outermost exit: a socket with data. */
export interface Wakeable {
  /** On the ready list. */
  ready: boolean;
  /** Resolves its waiters. */
  wake(): void;
}

/** What stands in a place of the ready list that is free. */
const NOBODY: Wakeable = { ready: false, wake: () => {} };

/** What a machine is made of. */
export interface MachineOptions extends PagePoolOptions {
  /** The door to the outside. Default: a virtual one with {@linkcode MachineOptions.seed}. */
  platform?: Platform;
  /** Seed of the virtual platform. Default 1. */
  seed?: number;
  /** CPUs. Default 1. */
  cpus?: number;
  /** Errors of plugins are rethrown: for tests. */
  strict?: boolean;
  /** Track every skb: for tests. */
  debug?: boolean;
  /** Virtual time advances by itself while the user's code waits. Default true. */
  autoAdvance?: boolean;
  /** Makes CPU work take virtual time: `(machine) => cpuCost(machine, {...})`. Default: it takes none. */
  cost?: (machine: Machine) => unknown;
}

/** What a plugin threw where nothing may throw. */
export interface PluginFault {
  /** The plugin, hook, driver or listener. */
  readonly who: string;
  /** What it threw. */
  readonly error: unknown;
}

/** A machine. */
export class Machine extends Clock {
  /** Packet memory. */
  declare readonly pages: PagePool;
  /** skbs. */
  declare readonly skbs: SkbPool;
  /** Copies. */
  readonly ledger: CopyLedger = new CopyLedger();
  /** Tracepoints. */
  readonly bus: EventBus = new EventBus();
  /** Drop reasons. */
  readonly reasons: DropReasons = new DropReasons();
  /** CPUs. */
  readonly cpus: Cpu[] = [];
  /** The CPU whose code runs now. */
  declare cpu: Cpu;
  /** Interrupt lines by number. */
  readonly irqs: Map<number, IrqLine> = new Map();
  /** Threads of the kernel that may have work. `run`: a turn; false: it had none. */
  readonly kthreads: Set<{ run(): boolean }> = new Set();
  /** Nets, in order of making. */
  readonly nets: Net[] = [];
  /** Plugins' errors are rethrown. */
  declare readonly strict: boolean;
  /** What plugins threw on the path; the last 16. */
  readonly faults: PluginFault[] = [];
  /** Softirqs that may be pending on any CPU. */
  raised: number = 0;
  /** Depth of enter(). */
  depth: number = 0;
  /** Depth of {@linkcode batch}: a driver may put its doorbell off to the outermost exit, see {@linkcode wakeLater}. */
  batching: number = 0;
  /** Readers that were woken and wait for their call. */
  readyCount: number = 0;
  /** Packets of one NET_RX run. Linux: net.core.netdev_budget. */
  budget: number = NETDEV_BUDGET;
  /** ns of one NET_RX run. Linux: net.core.netdev_budget_usecs. */
  budgetNs: number = NETDEV_BUDGET_NS;
  /** Packets that the backlog holds. Linux: net.core.netdev_max_backlog. */
  maxBacklog: number = 1000;
  /** Site of {@linkcode NetDevice.receive} in the ledger. */
  declare readonly siteNetifRx: number;
  readonly #ready: Wakeable[] = [];
  readonly #atRest: (() => void)[] = [];
  readonly #resources = new Map<string, Disposable>();
  #waking = false;
  #nextIrq = 16;
  #thrown: PluginError | null = null;

  /** A machine. */
  constructor(options: MachineOptions = {}) {
    super(options.platform ?? virtualPlatform(options.seed ?? 1), options.autoAdvance ?? true);
    this.strict = options.strict ?? false;
    this.pages = new PagePool(options);
    this.skbs = new SkbPool(this.pages, this.ledger, options.debug ?? false, this.bus);
    this.siteNetifRx = this.ledger.site("netif_rx", "dma");
    const cpus = options.cpus ?? 1;
    if (!Number.isInteger(cpus) || cpus < 1) {
      throw new RangeError(`Cannot make a machine of ${cpus} CPUs: it takes a whole number from 1`);
    }
    for (let i = 0; i < cpus; i++) this.cpus.push(new Cpu(i));
    this.cpu = this.cpus[0];
    for (const cpu of this.cpus) (cpu.backlogNapi = backlogNapi(this)).cpu = cpu;
    const onError = (who: string, error: unknown): void => this.fault(who, error);
    this.timers.onError = this.deferrable.onError = this.hrtimers.onError = onError;
    this.bus.onError = (name, error) => this.fault(`a listener of ${name}`, error);
    options.cost?.(this);
  }

  /** A net on this machine; a plugin that fails ends it again. */
  createNet(options: NetOptions = {}): Net {
    if (this.closed) throw new TypeError("Cannot make a net: its machine has ended");
    const net = new Net(this, options.name ?? `net${this.nets.length}`);
    this.nets.push(net);
    try {
      net.use(...(options.plugins ?? []));
    } catch (error) {
      net[Symbol.dispose]();
      throw error;
    }
    return net;
  }

  /** Used by a net that ends. */
  removeNet(net: Net): void {
    const at = this.nets.indexOf(net);
    if (at >= 0) this.nets.splice(at, 1);
  }

  /** Words of `skb.cb` for a layer, claimed by name; the index of the first. More than there are is a RangeError. */
  claimCb(name: string, words: number): number {
    return this.skbs.claimCb(name, words);
  }

  /** An interrupt line; the handler finds `devId` in it. Linux: request_irq(). */
  requestIrq(name: string, handler: (line: IrqLine) => void, devId: unknown = null): IrqLine {
    const line = new IrqLine(this, this.#nextIrq++, name, handler, devId);
    this.irqs.set(line.irq, line);
    return line;
  }

  /** Something that all nets of the machine share, made by the first who asks; disposed with the machine. */
  resource<T extends Disposable>(key: string, init: () => T): T {
    const known = this.#resources.get(key);
    if (known !== undefined) return known as T;
    const made = init();
    this.#resources.set(key, made);
    return made;
  }

  /** Begins an entry. Pair it with {@linkcode exit}; nothing between them throws, or use {@linkcode batch}. */
  enter(): void {
    if (this.depth++ === 0) {
      this.activity++;
      this.refresh();
    }
  }

  /** Ends an entry; the outermost one runs softirqs, then wakes. Linux: irq_exit(), local_bh_enable(). */
  exit(): void {
    if (this.depth !== 1) this.depth--;
    else this.#exitLast();
  }

  #exitLast(): void {
    if (this.cpus.length > 1 && this.raised !== 0) this.#runCpus(true);
    else if (this.cpu.pending !== 0 && this.now >= this.cpu.restUntil) doSoftirq(this, this.cpu);
    this.leave();
  }

  /** Ends an entry without running softirqs: ksoftirqd's. Where the machine is strict, a plugin's error surfaces here. */
  leave(): void {
    if (this.depth !== 1) return void this.depth--;
    if (this.#atRest.length !== 0) this.#runAtRest();
    if (this.raised !== 0 && this.cpus.length > 1) this.#runCpus(false);
    this.depth = 0;
    if (this.readyCount !== 0 && !this.#waking) this.#wakeAll();
    this.rest();
    if (this.#thrown !== null && !this.#waking) this.#rethrow();
  }

  /** One outermost exit for all that `fn` does: one doorbell, one wake. */
  batch<T>(fn: () => T): T {
    this.enter();
    this.batching++;
    try {
      return fn();
    } finally {
      this.batching--;
      this.exit();
    }
  }

  /** A CPU by number; one that is not there is a RangeError. */
  cpuAt(id: number, what: string = "use it"): Cpu {
    const cpu = this.cpus[id];
    if (cpu !== undefined) return cpu;
    throw new RangeError(`Cannot ${what}: CPU ${id} is not there, the machine has 0 to ${this.cpus.length - 1}`);
  }

  /** Runs system calls on another CPU than 0. Linux: `taskset -c ID`. What follows an `await` is on CPU 0 again. */
  onCpu<T>(id: number, fn: () => T): T {
    const [before, cpu] = [this.cpu, this.cpuAt(id, "run there")];
    this.enter();
    this.cpu = cpu;
    try {
      return fn();
    } finally {
      this.exit();
      this.cpu = before;
    }
  }

  /** Puts something on the ready list, once; it is woken at the outermost exit. */
  wakeLater(w: Wakeable): void {
    if (w.ready) return;
    w.ready = true;
    this.#ready[this.readyCount++] = w;
  }

  /** Calls `fn` between softirq runs: now, or when the run that calls ends. */
  atRest(fn: () => void): void {
    if (this.cpus.some((cpu) => cpu.inSoftirq)) this.#atRest.push(fn);
    else fn();
  }

  /** A plugin threw on the path: recorded; where the machine is strict, thrown again at the outermost exit. */
  fault(who: string, error: unknown): void {
    this.faults.push({ who, error });
    if (this.faults.length > 16) this.faults.shift();
    if (!this.strict || this.#thrown !== null) return;
    const what = error instanceof Error ? error.message : String(error);
    this.#thrown = new PluginError("NETPATH_THREW_ON_PATH", [who], `${who} threw on the path: ${what}`, {
      cause: error,
    });
  }

  /**
   * One run of NET_RX: polls each scheduled context once, until the budget is spent or 2 jiffies passed. One that took
   * its whole weight is polled again in the next run. Linux: net_rx_action(), net/core/dev.c.
   */
  netRxAction(cpu: Cpu): void {
    const limit = this.now + this.budgetNs;
    let budget = this.budget;
    let again: Napi | null = null;
    for (let napi = cpu.pollHead; napi !== null && napi !== again; napi = cpu.pollHead) {
      cpu.pollHead = napi.next;
      if (cpu.pollHead === null) cpu.pollTail = null;
      napi.next = null;
      napi.listed = false;
      if (!napi.scheduled) continue;
      const work = this.pollNapi(napi);
      budget -= work;
      this.refresh();
      if (napi.scheduled && !napi.listed) {
        pollListAdd(napi);
        again ??= napi;
      }
      if (budget <= 0 || this.now >= limit) {
        cpu.timeSqueeze++;
        break;
      }
    }
    if (cpu.pollHead !== null) raiseSoftirq(this, cpu, NET_RX_SOFTIRQ);
  }

  /** One poll of a context's weight; returns the packets. Linux: __napi_poll(). */
  pollNapi(napi: Napi): number {
    napi.polls++;
    let work = 0;
    try {
      work = napi.poll(napi, napi.weight);
      if (work < napi.weight && napi.scheduled && !napi.listed) {
        napi.scheduled = false;
        this.fault(`the poll of ${napi.label}`, new Error(`${work} of ${napi.weight} packets, without complete()`));
      }
    } catch (error) {
      napi.scheduled = false;
      this.fault(`the poll of ${napi.label}`, error);
    }
    if ((this.bus.mask & G_NAPI) !== 0) this.bus.hit(TP_NAPI_POLL, null, work, napi.weight, napi);
    // A poll that spent its weight keeps no packet back until the next one.
    if (napi.groList !== null) groFlush(napi);
    return work;
  }

  /** One run of NET_TX. Linux: net_tx_action(). */
  netTxAction(cpu: Cpu): void {
    netTxAction(this, cpu);
  }

  /**
   * One CPU after the other until none has raised anything for another: at most 10 rounds, then ksoftirqd. One whose
   * ksoftirqd waits for its turn has its say in the first round if `all`, as on interrupt exit.
   */
  #runCpus(all: boolean): void {
    const current = this.cpu;
    const n = this.cpus.length;
    for (let i = 0, idle = 0; idle < n && i < 10 * n; i++) {
      const cpu = this.cpus[(current.id + i) % n];
      idle++;
      if (cpu.pending === 0 || this.now < cpu.restUntil || (cpu.ksoftirqd && !(all && i < n))) continue;
      idle = 0;
      this.cpu = cpu;
      doSoftirq(this, cpu);
    }
    this.cpu = current;
    this.raised = 0;
    for (const cpu of this.cpus) {
      this.raised |= cpu.pending;
      if (cpu.pending !== 0 && !cpu.ksoftirqd) wakeKsoftirqd(this, cpu);
    }
  }

  #runAtRest(): void {
    for (const fn of this.#atRest.splice(0)) {
      try {
        fn();
      } catch (error) {
        this.fault("a swap", error);
      }
    }
    if (this.cpu.pending !== 0) doSoftirq(this, this.cpu);
  }

  #wakeAll(): void {
    this.#waking = true;
    const list = this.#ready;
    // Woken code may make more ready: the list grows while it is walked.
    for (let i = 0; i < this.readyCount; i++) {
      const w = list[i];
      list[i] = NOBODY;
      w.ready = false;
      try {
        w.wake();
      } catch (error) {
        this.fault("a reader that was woken", error);
      }
    }
    // The array keeps its length: emptying it would allocate again at the next wake.
    this.readyCount = 0;
    this.#waking = false;
  }

  #rethrow(): void {
    const error = this.#thrown;
    this.#thrown = null;
    if (error !== null) throw error;
  }

  /** Runs softirqs that were left to ksoftirqd. */
  protected override drain(): void {
    for (let busy = true; busy;) {
      busy = false;
      for (const cpu of this.cpus) {
        if (!cpu.ksoftirqd) continue;
        runKsoftirqd(this, cpu);
        busy = true;
      }
      for (const thread of this.kthreads) busy = thread.run() || busy;
    }
  }

  /** Ends all nets, what they share, and time. */
  [Symbol.dispose](): void {
    for (const net of this.nets.slice().reverse()) net[Symbol.dispose]();
    for (const shared of [...this.#resources.values()].reverse()) shared[Symbol.dispose]();
    this.#resources.clear();
    this.closed = true;
    this.platform.clearTimer();
  }

  /** Where the code that runs now was entered: CTX_*. */
  get context(): number {
    return this.depth === 0 ? CTX_PROCESS : this.cpu.context;
  }
}
