/**
 * The host's timers on the machine's virtual clock: while it is in place, `setTimeout`, `setInterval` and `Date` of all code
 * that runs are those of the lab, so that an application waits in virtual time without knowing of it.
 */
import { HrTimer, type Machine } from "../../core/mod.ts";

interface Entry {
  readonly timer: HrTimer;
  readonly every: number;
}

const REAL = { setTimeout, clearTimeout, setInterval, clearInterval, Date };

/**
 * Puts the machine's clock in place of the host's; disposing the result puts the host's back. Timers that were armed
 * meanwhile and have not fired never will. One at a time: a second one is a TypeError.
 */
export function virtualClock(machine: Machine): Disposable {
  if (globalThis.setTimeout !== REAL.setTimeout) throw new TypeError("Cannot take the clock: another lab has it");
  const entries = new Map<number, Entry>();
  let next = 1_000_000;
  const arm = (fn: unknown, ms: number, args: unknown[], every: boolean): number => {
    const id = next++;
    const delay = Math.max(0, Number(ms) || 0) * 1e6;
    const timer = new HrTimer(() => {
      if (every) machine.hrtimers.start(timer, machine.now + Math.max(delay, 1e6));
      else entries.delete(id);
      // The callback is the application's: it runs in its own turn, not inside the timer interrupt.
      queueMicrotask(() => (fn as (...a: unknown[]) => void)(...args));
    });
    entries.set(id, { timer, every: every ? delay : 0 });
    machine.enter();
    machine.hrtimers.start(timer, machine.now + delay);
    machine.exit();
    return id;
  };
  const disarm = (id: unknown): void => {
    const entry = entries.get(Number(id));
    if (entry === undefined) return REAL.clearTimeout(id as number);
    machine.hrtimers.cancel(entry.timer);
    entries.delete(Number(id));
  };
  class VirtualDate extends REAL.Date {
    constructor(...args: unknown[]) {
      super(...((args.length === 0 ? [machine.platform.wallClock()] : args) as [number]));
    }
    static override now(): number {
      return Math.floor(machine.platform.wallClock());
    }
  }
  Object.assign(globalThis, {
    setTimeout: (fn: unknown, ms = 0, ...args: unknown[]) => arm(fn, ms, args, false),
    setInterval: (fn: unknown, ms = 0, ...args: unknown[]) => arm(fn, ms, args, true),
    clearTimeout: disarm,
    clearInterval: disarm,
    Date: VirtualDate,
  });
  return {
    [Symbol.dispose]: () => {
      Object.assign(globalThis, REAL);
      for (const { timer } of entries.values()) machine.hrtimers.cancel(timer);
      entries.clear();
    },
  };
}

/** Resolves `ns` later, in virtual time. */
export function sleep(machine: Machine, ns: number): Promise<void> {
  return new Promise((resolve) => {
    machine.enter();
    machine.hrtimers.start(new HrTimer(resolve), machine.now + ns);
    machine.exit();
  });
}
