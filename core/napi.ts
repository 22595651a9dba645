/**
 * NAPI: one interrupt starts polling, polling runs in batches until the ring is empty. Linux: net/core/dev.c,
 * net_rx_action(), napi_poll(), napi_complete_done(); net/core/gro.c.
 */
import type { Cpu } from "./softirq.ts";
import * as softirq from "./softirq.ts";
import * as eventBus from "./event_bus.ts";
import { groFlush, groReceive } from "./offload.ts";
import * as receive from "./receive.ts";
import type { Machine } from "./machine.ts";
import { type NetDevice, NETIF_F_GRO } from "./net_device.ts";
import type { SkBuff } from "./sk_buff.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { NET_RX_SOFTIRQ, raiseSoftirq } = softirq;
const { G_NAPI, TP_NAPI_COMPLETE, TP_NAPI_SCHEDULE } = eventBus;
const { netifReceiveSkb, netifReceiveSkbCore } = receive;

/** Packets that one poll may take. Linux: NAPI_POLL_WEIGHT. */
export const NAPI_WEIGHT = 64;

/** A polling context, usually one per queue of a device. */
export class Napi {
  /** The device, null for the backlog. */
  declare readonly dev: NetDevice | null;
  /** Polls: takes at most `budget` packets, returns how many; fewer than the budget only after `complete()`. */
  declare readonly poll: (napi: Napi, budget: number) => number;
  /** Most packets of one poll. */
  declare weight: number;
  /** CPU it runs on: the one that scheduled it; the backlog's stays on its own. */
  declare cpu: Cpu;
  /** Number of the device's queue. */
  index: number = 0;
  /** Polls in turns of its own, woken here; null: softirqs poll. Linux: NAPI_STATE_THREADED. */
  thread: { wake(): void } | null = null;
  /** To be polled, or being polled. */
  scheduled: boolean = false;
  /** On a poll list now; it may have been disabled meanwhile. */
  listed: boolean = false;
  /** Scheduling does nothing. Linux: napi_disable(). */
  disabled: boolean = false;
  /** Scheduled again while it was scheduled. */
  missed: boolean = false;
  /** Link of the poll list. */
  next: Napi | null = null;
  /** Packets that GRO holds, newest first. */
  groList: SkBuff | null = null;
  /** Polls so far. */
  polls: number = 0;
  /** The machine. */
  declare readonly machine: Machine;

  /** A context; enabled, not scheduled. Linux: netif_napi_add(). */
  constructor(
    machine: Machine,
    dev: NetDevice | null,
    poll: (napi: Napi, budget: number) => number,
    weight: number = NAPI_WEIGHT,
  ) {
    this.machine = machine;
    this.dev = dev;
    this.poll = poll;
    this.weight = weight;
    this.cpu = machine.cpus[0];
  }

  /** Whose it is, for people. */
  get label(): string {
    return this.dev === null ? "the backlog" : this.dev.name;
  }

  /** To be polled on this CPU, in NET_RX or by its thread. False: it was so already. Linux: napi_schedule(). */
  schedule(): boolean {
    if (this.disabled || this.scheduled) {
      this.missed = this.scheduled;
      return false;
    }
    this.scheduled = true;
    this.missed = false;
    if (this.dev !== null && !this.listed) this.cpu = this.machine.cpu;
    if ((this.machine.bus.mask & G_NAPI) !== 0) this.machine.bus.hit(TP_NAPI_SCHEDULE, null, 0, 0, this);
    toBePolled(this);
    return true;
  }

  /**
   * The ring is empty: leaves the poll list. True: the driver unmasks its interrupt. False: it was scheduled again
   * meanwhile and will be polled again; the interrupt stays masked. Linux: napi_complete_done().
   */
  complete(work: number): boolean {
    if (this.groList !== null) groFlush(this);
    if (this.missed && !this.disabled) {
      this.missed = false;
      toBePolled(this);
      return false;
    }
    this.scheduled = false;
    if ((this.machine.bus.mask & G_NAPI) !== 0) this.machine.bus.hit(TP_NAPI_COMPLETE, null, work, 0, this);
    return true;
  }

  /** Stops it: no poll follows. Linux: napi_disable(). */
  disable(): void {
    this.disabled = true;
    this.scheduled = false;
    if (this.groList !== null) groFlush(this);
  }

  /** Lets it be scheduled again. Linux: napi_enable(). */
  enable(): void {
    this.disabled = false;
  }

  /** Hands a received packet up, through GRO where the device has it. Takes ownership of `skb`. */
  groReceive(skb: SkBuff): void {
    if ((skb.dev!.features & NETIF_F_GRO) === 0) netifReceiveSkb(skb);
    else groReceive(this, skb);
  }
}

/** Linux: ____napi_schedule(). */
export function toBePolled(napi: Napi): void {
  if (napi.thread !== null) return napi.thread.wake();
  pollListAdd(napi);
  raiseSoftirq(napi.machine, napi.cpu, NET_RX_SOFTIRQ);
}

/** To the end of the poll list. One that was disabled and enabled again may still stand in it: it keeps its place. */
export function pollListAdd(napi: Napi): void {
  if (napi.listed) return;
  const cpu = napi.cpu;
  napi.listed = true;
  if (cpu.pollTail === null) cpu.pollHead = napi;
  else cpu.pollTail.next = napi;
  cpu.pollTail = napi;
}

/** The backlog's NAPI context for a CPU. Linux: process_backlog(). */
export function backlogNapi(machine: Machine): Napi {
  return new Napi(machine, null, (napi, budget) => {
    const { backlog } = napi.cpu;
    let work = 0;
    for (; work < budget && backlog.qlen !== 0; work++) netifReceiveSkbCore(backlog.dequeue()!);
    if (work === budget) return work;
    napi.missed = false;
    napi.complete(work);
    return work;
  });
}
