/**
 * The machine's time: one host timer for all its timers. Virtual time moves by itself when no softirq is pending, two
 * turns of the event loop passed without an entry and no hold is open; or by hand: `advance`, `step`, `runUntilIdle`.
 */
import type { CpuCost, Platform, VirtualPlatform } from "./platform.ts";
import { Timers } from "./timer.ts";

/** The part of {@linkcode Machine} that keeps time. */
export abstract class Clock extends Timers {
  /** The door to the outside. */
  declare readonly platform: Platform;
  /** Counts entries: virtual time waits for quiet. */
  activity: number = 0;
  /** Ended. */
  closed: boolean = false;
  /** Who makes CPU work take virtual time; null: it takes none. */
  cost: CpuCost | null = null;
  readonly #auto: boolean;
  readonly #clock: VirtualPlatform | null;
  #armedAt = Infinity;
  #holds = 0;
  #watching = false;
  #quiet = 0;
  #seen = 0;

  /** A clock; `auto`: virtual time advances by itself. */
  constructor(platform: Platform, auto: boolean) {
    super();
    this.platform = platform;
    this.#clock = platform.virtual ? platform as VirtualPlatform : null;
    this.#auto = auto;
    this.refresh();
    this.timers.now = this.deferrable.now = this.jiffies;
  }

  /** Begins an entry. */
  abstract enter(): void;
  /** Ends an entry. */
  abstract exit(): void;
  /** Runs softirqs that were left to ksoftirqd. */
  protected abstract drain(): void;

  /** Reads the clock; virtual time where it lies, so that no double is passed. It stands still during most entries. */
  refresh(): void {
    const now = this.#clock === null ? this.platform.now() : this.#clock.time;
    if (now !== this.now) this.setNow(now);
  }

  /** After each outermost exit: the host must call again when the next timer is due. */
  protected rest(): void {
    if (this.#clock === null) this.#arm();
    else if (this.#auto && !this.#watching) this.#watch();
  }

  #tick = (): void => {
    this.#armedAt = Infinity;
    this.hrtimers.touched = true;
    if (!this.closed) this.#interrupt();
  };

  /** One host timer for all: armed only when it must fire earlier than it would. */
  #arm(): void {
    if (!this.hrtimers.touched && !this.timers.touched && !this.deferrable.touched) return;
    this.hrtimers.touched = this.timers.touched = this.deferrable.touched = false;
    const next = this.nextTimer(true);
    if (next === Infinity || next >= this.#armedAt || this.closed) return;
    this.#armedAt = next;
    this.platform.setTimer(next, this.#tick);
  }

  /** Moves virtual time forward by `ns`, running all that falls due, in order. A TypeError on a real platform. */
  advance(ns: number): void {
    const end = this.#virtual().time + ns;
    if (this.cost !== null) this.cost.until = end;
    this.drain();
    for (let next = this.nextTimer(true); next <= end; next = this.nextTimer(true)) this.#jump(next);
    this.#jump(end);
    if (this.cost !== null) this.cost.until = Infinity;
  }

  /** Runs the next timer. False: there are only deferrable ones, which fire while others keep time running. TypeError: real. */
  step(): boolean {
    this.#virtual();
    this.drain();
    if (this.nextTimer(false) === Infinity) return false;
    this.#jump(this.nextTimer(true));
    return true;
  }

  /** Runs until only deferrable timers are left, for at most `limit` ns: an hour. A TypeError on a real platform. */
  runUntilIdle(limit: number = 3600e9): void {
    const end = this.#virtual().time + limit;
    this.drain();
    while (this.nextTimer(false) <= end && this.step());
  }

  /** Virtual time stands still while a hold is open: real I/O is under way. */
  hold(): Disposable {
    let open = true;
    this.#holds++;
    return {
      [Symbol.dispose]: () => {
        if (open) this.#holds--;
        open = false;
        this.rest();
      },
    };
  }

  #virtual(): VirtualPlatform {
    if (this.#clock) return this.#clock;
    throw new TypeError("Cannot move time: this machine has a real platform; make it without `platform`");
  }

  #jump(to: number, drain: boolean = true): void {
    const clock = this.#virtual();
    if (to > clock.time) clock.time = to;
    this.#interrupt();
    if (drain) this.drain();
  }

  #interrupt(): void {
    this.enter();
    this.runTimers();
    this.exit();
  }

  #moves(): boolean {
    return this.#auto && !this.closed && this.#holds === 0 && this.nextTimer(false) !== Infinity;
  }

  /** Two quiet turns of the event loop, then the next timer: the user's code always gets its say first. */
  #watch(): void {
    this.#quiet = 0;
    if ((this.#watching = this.#moves())) this.platform.nextTurn(this.#look);
  }

  #look = (): void => {
    if (!(this.#watching = this.#moves())) return;
    this.platform.nextTurn(this.#look);
    if (this.activity !== this.#seen) this.#quiet = 0;
    this.#seen = this.activity;
    if (++this.#quiet <= 2) return;
    this.#quiet = 0;
    // Where work takes time, ksoftirqd's turns alternate with those of the user's code.
    this.#jump(this.nextTimer(true), this.cost === null);
    this.#seen = this.activity;
  };
}
