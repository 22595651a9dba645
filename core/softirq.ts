/**
 * CPUs and softirqs: the machine's loop. Linux: kernel/softirq.c.
 *
 * Softirqs run when the outermost interrupt or system call ends. After 10 restarts or 2 ms (where work takes time, also when
 * a reader waits) they leave the rest to ksoftirqd, the next turn of the event loop; what is raised meanwhile runs on exits,
 * as in Linux since 6.5. Unlike there a run cut short leaves others as much time: a flood must not starve readers.
 */
import type { Machine } from "./machine.ts";
import type { Napi } from "./napi.ts";
import type { Qdisc } from "./transmit.ts";
import { SkbQueue } from "./sk_buff.ts";
import * as eventBus from "./event_bus.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_IRQ, TP_KSOFTIRQD_WAKE, TP_SOFTIRQ_ENTRY, TP_SOFTIRQ_EXIT, TP_SOFTIRQ_RAISE } = eventBus;

/** `NET_TX_SOFTIRQ`: rescheduled qdiscs. */
export const NET_TX_SOFTIRQ = 2;
/** `NET_RX_SOFTIRQ`: NAPI. */
export const NET_RX_SOFTIRQ = 3;

/** A system call, or the user's own code. */
export const CTX_PROCESS = 0;
/** An interrupt handler. */
export const CTX_HARDIRQ = 1;
/** A softirq on interrupt exit, or a timer. */
export const CTX_SOFTIRQ = 2;
/** A softirq in ksoftirqd. */
export const CTX_KSOFTIRQD = 3;
/** NAPI in a thread of its own. */
export const CTX_NAPI = 4;
/** Names of the contexts, by number. */
export const CONTEXT_NAMES: readonly string[] = ["process", "hardirq", "softirq", "ksoftirqd", "napi"];

const MAX_SOFTIRQ_RESTART = 10, MAX_SOFTIRQ_TIME = 2e6;

/** One CPU: its pending softirqs and its softnet data. A record in one thread; nothing is locked. */
export class Cpu {
  /** Number. */
  declare readonly id: number;
  /** Bits of pending softirqs. */
  pending: number = 0;
  /** CTX_*: where the code that runs now was entered. */
  context: number = CTX_PROCESS;
  /** Softirqs are running. */
  inSoftirq: boolean = false;
  /** ksoftirqd has been woken and has work. */
  ksoftirqd: boolean = false;
  /** ns; until then only ksoftirqd goes on with what a run that was cut short left; 0: nothing is left. */
  restUntil: number = 0;
  /** A turn of the event loop is asked for. */
  turnAsked: boolean = false;
  /** Times ksoftirqd was woken. */
  ksoftirqdWakes: number = 0;
  /** Times softirqs were entered. */
  softirqRuns: number = 0;
  /** NAPI contexts that wait for a poll. Linux: softnet_data.poll_list. */
  pollHead: Napi | null = null;
  /** Last of them. */
  pollTail: Napi | null = null;
  /** Packets of virtual devices that wait for the backlog's NAPI. Linux: input_pkt_queue. */
  readonly backlog: SkbQueue = new SkbQueue();
  /** The backlog's NAPI. */
  backlogNapi: Napi | null = null;
  /** Qdiscs that want to be run again. Linux: output_queue. */
  outputQueue: Qdisc | null = null;
  /** Packets that came by. /proc/net/softnet_stat column 1. */
  processed: number = 0;
  /** Packets dropped because the backlog was full. Column 2. */
  dropped: number = 0;
  /** Times another CPU's packet steering woke this one. Column 10. */
  receivedRps: number = 0;
  /** Runs of NET_RX that used their budget or their time up. Column 3. */
  timeSqueeze: number = 0;
  /** Depth of transmit in transmit: virtual devices stacked on one another. */
  xmitRecursion: number = 0;

  /** A CPU. */
  constructor(id: number) {
    this.id = id;
  }
}

/** Marks softirq `nr` as pending on `cpu`; outside of any entry ksoftirqd will run it. Linux: raise_softirq(). */
export function raiseSoftirq(machine: Machine, cpu: Cpu, nr: number): void {
  if (machine.depth === 0) wakeKsoftirqd(machine, cpu);
  if ((cpu.pending & (1 << nr)) !== 0) return;
  machine.raised |= cpu.pending |= 1 << nr;
  if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_SOFTIRQ_RAISE, null, nr, 0, cpu);
}

/** Runs pending softirqs on interrupt exit; what is too much is left to ksoftirqd. Linux: handle_softirqs(). */
export function doSoftirq(machine: Machine, cpu: Cpu): void {
  if (!cpu.inSoftirq && runSoftirqs(machine, cpu, CTX_SOFTIRQ)) wakeKsoftirqd(machine, cpu);
}

/** Runs until nothing is pending, or the limits are reached: then true. */
function runSoftirqs(machine: Machine, cpu: Cpu, context: number): boolean {
  const before = cpu.context;
  const start = machine.now;
  cpu.inSoftirq = true;
  cpu.context = context;
  cpu.softirqRuns++;
  for (let runs = MAX_SOFTIRQ_RESTART; cpu.pending !== 0 && runs > 0; runs--) {
    const pending = cpu.pending;
    cpu.pending = 0;
    if ((pending & (1 << NET_TX_SOFTIRQ)) !== 0) runOne(machine, cpu, NET_TX_SOFTIRQ);
    if ((pending & (1 << NET_RX_SOFTIRQ)) !== 0) runOne(machine, cpu, NET_RX_SOFTIRQ);
    if (machine.now - start >= MAX_SOFTIRQ_TIME || (machine.cost !== null && machine.readyCount !== 0)) break;
  }
  cpu.context = before;
  cpu.inSoftirq = false;
  cpu.restUntil = cpu.pending === 0 ? 0 : 2 * machine.now - start;
  return cpu.pending !== 0;
}

function runOne(machine: Machine, cpu: Cpu, nr: number): void {
  if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_SOFTIRQ_ENTRY, null, nr, 0, cpu);
  if (nr === NET_RX_SOFTIRQ) machine.netRxAction(cpu);
  else machine.netTxAction(cpu);
  if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_SOFTIRQ_EXIT, null, nr, 0, cpu);
}

/** What is pending is ksoftirqd's from now on. Linux: wakeup_softirqd(). */
export function wakeKsoftirqd(machine: Machine, cpu: Cpu): void {
  if (!cpu.ksoftirqd) {
    cpu.ksoftirqd = true;
    cpu.ksoftirqdWakes++;
    if ((machine.bus.mask & G_IRQ) !== 0) machine.bus.hit(TP_KSOFTIRQD_WAKE, null, cpu.pending, 0, cpu);
  }
  if (cpu.turnAsked) return;
  cpu.turnAsked = true;
  machine.platform.nextTurn(() => {
    cpu.turnAsked = false;
    runKsoftirqd(machine, cpu);
  });
}

/** One pass of ksoftirqd, in a turn of its own or from `Machine.runUntilIdle()`. Linux: run_ksoftirqd(). */
export function runKsoftirqd(machine: Machine, cpu: Cpu): void {
  if (!cpu.ksoftirqd || machine.closed) return;
  machine.enter();
  const current = machine.cpu;
  machine.cpu = cpu;
  cpu.ksoftirqd = runSoftirqs(machine, cpu, CTX_KSOFTIRQD);
  if (cpu.ksoftirqd) wakeKsoftirqd(machine, cpu);
  machine.cpu = current;
  machine.leave();
}
