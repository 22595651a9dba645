/**
 * Timers: a wheel of 1 ms for the many that are mostly cancelled (Linux: kernel/time/timer.c) and a heap in
 * nanoseconds for the few that must be exact (Linux: kernel/time/hrtimer.c). One host timer serves both.
 *
 * The wheel has four levels of 256, 64, 64 and 64 buckets and cascades, so that a timer fires at its very jiffy.
 * Arming and cancelling are a few pointer writes.
 */

import { type Cpu, CTX_HARDIRQ, CTX_SOFTIRQ } from "./softirq.ts";

/** Longest delay of a wheel timer in jiffies. Linux: MAX_JIFFY_OFFSET. */
const MAX_DELAY = 0x3fffffff;
const L0 = 256;
const LN = 64;

function rethrow(_who: string, error: unknown): never {
  throw error;
}

/** A timer of the wheel. Linux: struct timer_list. */
export class Timer {
  /** Jiffy at which it fires. */
  expires: number = 0;
  /** Armed. */
  pending: boolean = false;
  /** Never keeps virtual time running by itself: garbage collection, keepalive. Linux: TIMER_DEFERRABLE. */
  declare readonly deferrable: boolean;
  /** Called when it fires. */
  declare readonly fn: (timer: Timer) => void;
  /** Whose it is: for `fn`, which then needs no closure. */
  declare readonly owner: unknown;
  /** Neighbours in the bucket. */
  next: Timer | null = null;
  /** Neighbours in the bucket. */
  prev: Timer | null = null;
  /** Bucket, -1: none. */
  bucket: number = -1;

  /** A timer that calls `fn`; not armed. */
  constructor(fn: (timer: Timer) => void, deferrable: boolean = false, owner: unknown = null) {
    this.fn = fn;
    this.deferrable = deferrable;
    this.owner = owner;
  }
}

/** A timer wheel. A machine has two: one for deferrable timers. */
export class TimerWheel {
  /** Jiffy up to which it has run. */
  now: number = 0;
  /** Timers armed. */
  armed: number = 0;
  /** A timer was armed since somebody last looked at {@linkcode next}; he clears it. */
  touched: boolean = false;
  /** A callback threw; the others fire all the same. Rethrows where nobody set it. */
  onError: (who: string, error: unknown) => void = rethrow;
  #running = false;
  readonly #buckets: (Timer | null)[] = new Array<Timer | null>(L0 + 3 * LN).fill(null);
  /** One bit per bucket that is not empty. */
  readonly #used = new Int32Array((L0 + 3 * LN) >>> 5);

  /** Arms `timer` for jiffy `expires` (int32), or moves it there. Linux: mod_timer(). */
  mod(timer: Timer, expires: number): void {
    if (timer.pending) this.#unlink(timer);
    else {
      timer.pending = true;
      this.armed++;
    }
    if (((expires - this.now) | 0) <= 0) expires = (this.now + 1) | 0;
    timer.expires = expires;
    this.touched = true;
    this.#link(timer);
  }

  /** Nothing is armed and nothing runs: the hand may jump to `jiffies`. Linux: forward_timer_base(). */
  forward(jiffies: number): void {
    if (this.armed === 0 && !this.#running) this.now = jiffies;
  }

  /** Disarms it; true if it was armed. Linux: timer_delete(). */
  del(timer: Timer): boolean {
    if (!timer.pending) return false;
    this.#unlink(timer);
    timer.pending = false;
    this.armed--;
    return true;
  }

  /** Runs what is due up to jiffy `to`. Returns how many fired. */
  advance(to: number): number {
    if (this.armed === 0) {
      this.forward(to);
      return 0;
    }
    let fired = 0;
    this.#running = true;
    while (((to - this.now) | 0) > 0) {
      const next = this.next();
      if (next < 0 || next > ((to - this.now) | 0)) {
        this.#tickTo(to);
        break;
      }
      this.#tickTo((this.now + next) | 0);
      fired += this.#expire();
    }
    this.#running = false;
    return fired;
  }

  /**
   * Jiffies until the hand must move again, or -1 when no timer is armed: to fire one, or to cascade a bucket on the way
   * there. Never later than the first timer.
   */
  next(): number {
    if (this.armed === 0) return -1;
    let best = this.#firstUsed(0, L0, this.now & (L0 - 1));
    if (best === 0) best = 0x7fffffff;
    for (let level = 0, shift = 8; level < 3; level++, shift += 6) {
      const unit = this.now >>> shift;
      const d = this.#firstUsed(L0 + level * LN, LN, unit & (LN - 1));
      if (d > 0) best = Math.min(best, (((unit + d) << shift) - this.now) | 0);
    }
    return best;
  }

  /** The same as time of a clock that reads `now` ns; Infinity: none. The wheel's jiffies wrap, the clock does not. */
  nextNs(now: number): number {
    const delta = this.next();
    if (delta < 0) return Infinity;
    const base = Math.floor(now / 1e6);
    return (base + ((this.now + delta - (base | 0)) | 0)) * 1e6;
  }

  /** Distance 1..n from `hand` to the first used bucket of a level, cyclic; 0: none. */
  #firstUsed(base: number, n: number, hand: number): number {
    for (let d = 1; d <= n;) {
      const i = base + ((hand + d) & (n - 1));
      const word = this.#used[i >>> 5] >>> (i & 31);
      if (word !== 0) {
        const step = 31 - Math.clz32(word & -word);
        if (d + step <= n) return d + step;
        return 0;
      }
      d += 32 - (i & 31);
    }
    return 0;
  }

  #expire(): number {
    let fired = 0;
    const i = this.now & (L0 - 1);
    for (let t = this.#buckets[i]; t !== null; t = this.#buckets[i]) {
      this.#unlink(t);
      t.pending = false;
      this.armed--;
      fired++;
      try {
        t.fn(t);
      } catch (error) {
        this.onError("a timer", error);
      }
    }
    return fired;
  }

  /** Moves the hand to `to`, before which nothing is due, and cascades the buckets that it reaches. */
  #tickTo(to: number): void {
    const before = this.now;
    this.now = to;
    for (let level = 0, shift = 8; level < 3; level++, shift += 6) {
      const from = before >>> shift;
      const steps = Math.min(LN, ((to >>> shift) - from) & (0xffffffff >>> shift));
      for (let s = 1; s <= steps; s++) this.#cascade(L0 + level * LN + ((from + s) & (LN - 1)));
    }
  }

  #cascade(bucket: number): void {
    let t = this.#buckets[bucket];
    this.#buckets[bucket] = null;
    this.#used[bucket >>> 5] &= ~(1 << (bucket & 31));
    while (t !== null) {
      const next: Timer | null = t.next;
      t.prev = t.next = null;
      this.#link(t);
      t = next;
    }
  }

  #link(timer: Timer): void {
    const expires = timer.expires;
    const delta = (expires - this.now) | 0;
    let b: number;
    if (delta < L0) b = expires & (L0 - 1);
    else if (delta < 1 << 14) b = L0 + (expires >>> 8 & (LN - 1));
    else if (delta < 1 << 20) b = L0 + LN + (expires >>> 14 & (LN - 1));
    else if (delta < 1 << 26) b = L0 + 2 * LN + (expires >>> 20 & (LN - 1));
    else b = L0 + 2 * LN + (((this.now >>> 20) + LN - 1) & (LN - 1));
    const head = this.#buckets[b];
    timer.bucket = b;
    timer.prev = null;
    timer.next = head;
    if (head !== null) head.prev = timer;
    this.#buckets[b] = timer;
    this.#used[b >>> 5] |= 1 << (b & 31);
  }

  #unlink(timer: Timer): void {
    const b = timer.bucket;
    if (timer.prev !== null) timer.prev.next = timer.next;
    else {
      this.#buckets[b] = timer.next;
      if (timer.next === null) this.#used[b >>> 5] &= ~(1 << (b & 31));
    }
    if (timer.next !== null) timer.next.prev = timer.prev;
    timer.next = timer.prev = null;
    timer.bucket = -1;
  }
}

/** A timer in ns. Linux: struct hrtimer. */
export class HrTimer {
  /** When, in ns of the machine's clock. */
  expires: number = 0;
  /** Place in the heap, -1: not armed. */
  index: number = -1;
  /** Order among equals: first armed, first fired. */
  seq: number = 0;
  /** Called when it fires. */
  declare readonly fn: () => void;

  /** A timer that calls `fn`; not armed. */
  constructor(fn: () => void) {
    this.fn = fn;
  }

  /** Armed. */
  get pending(): boolean {
    return this.index >= 0;
  }
}

/** The hrtimers of a machine: a binary heap. */
export class HrTimerQueue {
  /** A timer was armed since somebody last looked at {@linkcode next}; he clears it. */
  touched: boolean = false;
  /** A callback threw; the others fire all the same. Rethrows where nobody set it. */
  onError: (who: string, error: unknown) => void = rethrow;
  readonly #heap: HrTimer[] = [];
  #seq = 0;

  /** How many are armed. */
  get armed(): number {
    return this.#heap.length;
  }

  /** Arms `timer` at `expires` ns, or moves it there. Linux: hrtimer_start(). */
  start(timer: HrTimer, expires: number): void {
    if (timer.index >= 0) this.cancel(timer);
    timer.expires = expires;
    timer.seq = this.#seq++;
    this.touched = true;
    timer.index = this.#heap.push(timer) - 1;
    this.#up(timer.index);
  }

  /** Disarms it; true if it was armed. Linux: hrtimer_cancel(). */
  cancel(timer: HrTimer): boolean {
    const i = timer.index;
    if (i < 0) return false;
    timer.index = -1;
    const last = this.#heap.pop() as HrTimer;
    if (last !== timer) {
      this.#heap[i] = last;
      last.index = i;
      this.#up(i);
      this.#down(last.index);
    }
    return true;
  }

  /** Time of the first, or Infinity. */
  next(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0].expires;
  }

  /**
   * Runs what is due at `now` and was armed before this call: a timer that arms itself for now waits for the next call.
   * Returns how many fired.
   */
  run(now: number): number {
    let fired = 0;
    const limit = this.#seq;
    while (this.#heap.length > 0) {
      const timer = this.#heap[0];
      if (timer.expires > now || timer.seq >= limit) break;
      this.cancel(timer);
      fired++;
      try {
        timer.fn();
      } catch (error) {
        this.onError("an hrtimer", error);
      }
    }
    return fired;
  }

  #before(a: HrTimer, b: HrTimer): boolean {
    return a.expires < b.expires || (a.expires === b.expires && a.seq < b.seq);
  }

  #up(i: number): void {
    const heap = this.#heap;
    const timer = heap[i];
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#before(timer, heap[parent])) break;
      heap[i] = heap[parent];
      heap[i].index = i;
      i = parent;
    }
    heap[i] = timer;
    timer.index = i;
  }

  #down(i: number): void {
    const heap = this.#heap;
    const timer = heap[i];
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1], heap[child])) child++;
      if (!this.#before(heap[child], timer)) break;
      heap[i] = heap[child];
      heap[i].index = i;
      i = child;
    }
    heap[i] = timer;
    timer.index = i;
  }
}

/** All timers of a machine. */
export abstract class Timers {
  /** Timers in ns. */
  readonly hrtimers: HrTimerQueue = new HrTimerQueue();
  /** Timers in jiffies. */
  readonly timers: TimerWheel = new TimerWheel();
  /** Timers in jiffies that keep nothing awake. */
  readonly deferrable: TimerWheel = new TimerWheel();
  /** ns of the platform's clock, refreshed on entry and after each NAPI poll. */
  now: number = 0;
  /** ms of the same clock, int32. */
  jiffies: number = 0;
  /** Microseconds of the same clock, int32. */
  us: number = 0;
  /** Seconds of the same clock, int32. */
  seconds: number = 0;
  /** The CPU whose code runs now. */
  abstract cpu: Cpu;

  /** The clock moved. In integers too: ns are a boxed double, which would be divided again and again. */
  setNow(now: number): void {
    this.now = now;
    this.us = Math.floor(now / 1e3) | 0;
    this.jiffies = Math.floor(now / 1e6) | 0;
    this.seconds = Math.floor(now / 1e9) | 0;
  }

  /** Arms a wheel timer `delay` jiffies from now, at least 1. Linux: mod_timer(). */
  modTimer(timer: Timer, delay: number): void {
    const wheel = timer.deferrable ? this.deferrable : this.timers;
    wheel.forward(this.jiffies);
    wheel.mod(timer, (this.jiffies + Math.min(MAX_DELAY, Math.max(1, delay))) | 0);
  }

  /** Disarms a wheel timer; true if it was armed. Linux: timer_delete(). */
  delTimer(timer: Timer): boolean {
    return (timer.deferrable ? this.deferrable : this.timers).del(timer);
  }

  /** ns of the next timer; Infinity: none. `all`: deferrable ones count. A wheel may say too early, never too late. */
  nextTimer(all: boolean): number {
    const next = Math.min(this.hrtimers.next(), this.timers.nextNs(this.now));
    return all ? Math.min(next, this.deferrable.nextNs(this.now)) : next;
  }

  /** Runs what is due. Called in a timer interrupt, between enter() and exit(). */
  runTimers(): void {
    const cpu = this.cpu;
    const before = cpu.context;
    cpu.context = CTX_HARDIRQ;
    this.hrtimers.run(this.now);
    cpu.context = CTX_SOFTIRQ;
    this.timers.advance(this.jiffies);
    this.deferrable.advance(this.jiffies);
    cpu.context = before;
  }
}
