/**
 * What the connections and listeners of a net share: they end with it, and their waiting calls keep the process running.
 */
import type { Net, Platform } from "../../../core/mod.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";

/** How hosts let go of a timer; browsers have no process that could end. */
interface HostTimers {
  Deno?: { refTimer?(id: number): void; unrefTimer?(id: number): void };
}

interface NodeTimer {
  ref?(): void;
  unref?(): void;
}

const NEVER_MS = 2 ** 30;
/** Calls that are served at once without a turn of the event loop. */
const CALLS = 1024;

/** The face's part of a net. */
export class Face {
  /** The system calls. */
  readonly sys: Syscalls;
  /**
   * The machine has a real clock: something may come from outside. Under virtual time nothing can, and a wait that
   * nothing will end should be seen.
   */
  readonly real: boolean;
  readonly #open = new Set<Disposable>();
  readonly #platform: Platform;
  #calls = 0;
  #holds = 0;
  #timer: unknown = null;

  /** Use {@linkcode faceOf}. */
  constructor(net: Net) {
    this.sys = net.get(SYSCALL);
    this.#platform = net.machine.platform;
    this.real = !this.#platform.virtual;
    net.registration(() => () => {
      for (const one of [...this.#open]) one[Symbol.dispose]();
    });
  }

  /** `one` ends with the net. */
  enter(one: Disposable): void {
    this.#open.add(one);
  }

  /** `one` has ended. */
  leave(one: Disposable): void {
    this.#open.delete(one);
    if (this.#open.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer as number);
    this.#timer = null;
  }

  /**
   * The promise of a call that was served at once. After many of them it waits for a turn of the event loop: two ends in
   * one process would else keep timers and files waiting.
   */
  served(n: number): Promise<number> {
    if (this.#calls < CALLS) {
      this.#calls++;
      return Promise.resolve(n);
    }
    if (this.#calls++ === CALLS) this.#platform.nextTurn(() => this.#calls = 0);
    return new Promise((resolve) => this.#platform.nextTurn(() => resolve(n)));
  }

  /** The process must not end. */
  hold(): void {
    if (this.#holds++ > 0) return;
    if (this.#timer === null) this.#timer = setInterval(() => {}, NEVER_MS);
    else ref(this.#timer, true);
  }

  /** It may, for one. */
  release(): void {
    if (--this.#holds === 0 && this.#timer !== null) ref(this.#timer, false);
  }
}

function ref(timer: unknown, on: boolean): void {
  if (typeof timer === "number") {
    const host = (globalThis as HostTimers).Deno;
    if (on) host?.refTimer?.(timer);
    else host?.unrefTimer?.(timer);
  } else if (on) (timer as NodeTimer).ref?.();
  else (timer as NodeTimer).unref?.();
}

/** The face's part of `net`, made when it is first asked for. */
export function faceOf(net: Net): Face {
  return net.state("deno:face", () => new Face(net));
}

/** Whether something that may wait holds the process. */
export class Hold {
  readonly #face: Face;
  #refd = true;
  #waits = false;

  /** Nothing waits, and it would hold. */
  constructor(face: Face) {
    this.#face = face;
  }

  /** Something waits, or nothing does any more. */
  set waits(on: boolean) {
    if (on === this.#waits) return;
    this.#waits = on;
    if (!this.#refd || !this.#face.real) return;
    if (on) this.#face.hold();
    else this.#face.release();
  }

  /** ref() or unref(). */
  set refd(on: boolean) {
    if (on === this.#refd) return;
    this.#refd = on;
    if (!this.#waits || !this.#face.real) return;
    if (on) this.#face.hold();
    else this.#face.release();
  }
}
