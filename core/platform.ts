/**
 * The only door to the outside: time, one timer, the next turn of the event loop, and randomness.
 *
 * Everything else in core and in the protocol plugins is a pure function of what comes through here, so that the same
 * seed gives the same bytes. Times are nanoseconds in a double (exact for 104 days).
 */

/** What a machine needs of its host. */
export interface Platform {
  /** Virtual time: only {@linkcode Machine.advance} and its kin move the clock. */
  readonly virtual: boolean;
  /** Monotonic time in ns. */
  now(): number;
  /** Milliseconds since 1970, for capture files. */
  wallClock(): number;
  /** Calls `fn` at `at` ns; replaces the former call. */
  setTimer(at: number, fn: () => void): void;
  /** Forgets the timer. */
  clearTimer(): void;
  /** Calls `fn` in the next macrotask turn: other callbacks of the event loop run before it. */
  nextTurn(fn: () => void): void;
  /** 32 random bits as int32. */
  random(): number;
}

/** A platform whose clock is moved by hand. */
export interface VirtualPlatform extends Platform {
  /** The clock, ns; the machine writes it. */
  time: number;
}

/**
 * CPU work takes virtual time: what a machine knows of its cost model. The model listens to tracepoints and moves the
 * clock there, so that core has no code for it on the path; `cpuCost()` of the livelock lab is one.
 */
export interface CpuCost {
  /** ns at which the {@linkcode Machine.advance} under way ends: nothing that is due later interrupts. Else Infinity. */
  until: number;
}

interface Host {
  setImmediate?: (fn: () => void) => unknown;
}

function hostNextTurn(): (fn: () => void) => void {
  const immediate = (globalThis as Host).setImmediate;
  if (immediate !== undefined) return (fn) => void immediate(fn);
  const channel = new MessageChannel();
  const queue: (() => void)[] = [];
  channel.port1.onmessage = () => queue.shift()?.();
  return (fn) => {
    queue.push(fn);
    channel.port2.postMessage(0);
  };
}

/** The host's clock, timer and cryptographic randomness. */
export function realPlatform(): Platform {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pool = new Int32Array(256);
  let left = 0;
  return {
    virtual: false,
    now: () => performance.now() * 1e6,
    wallClock: () => Date.now(),
    setTimer(at, fn) {
      clearTimeout(timer);
      // Whole milliseconds, rounded up: a timer that fires early would only be armed again.
      timer = setTimeout(fn, Math.max(0, Math.ceil(at / 1e6 - performance.now())));
    },
    clearTimer: () => clearTimeout(timer),
    nextTurn: hostNextTurn(),
    random() {
      if (left === 0) {
        crypto.getRandomValues(pool);
        left = pool.length;
      }
      return pool[--left];
    },
  };
}

/** A clock at 0 and a generator (Chris Doty-Humphrey's sfc32) with the given seed. */
export function virtualPlatform(seed: number = 1): VirtualPlatform {
  let a = seed | 0, b = 0x9e3779b9 | 0, c = 0x243f6a88 | 0, counter = 1;
  const random = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t | 0;
    return t;
  };
  for (let i = 0; i < 16; i++) random();
  return {
    virtual: true,
    time: 0,
    now() {
      return this.time;
    },
    wallClock() {
      return 946_684_800_000 + this.time / 1e6;
    },
    setTimer() {},
    clearTimer() {},
    nextTurn: hostNextTurn(),
    random,
  };
}
