/**
 * What the sockets and servers of a net share: they end with it, and keep the process running while they are open.
 */
import process from "node:process";
import { clearInterval, setImmediate, setInterval } from "node:timers";
import type { Machine, Net } from "../../../core/mod.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";

const NEVER_MS = 2 ** 30;
/** Ticks without a turn of the event loop: two ends in one process would else keep timers and files waiting. */
const TICKS = 64;

/** The face's part of a net. */
export class Face {
  /** The machine. */
  readonly machine: Machine;
  /** The system calls. */
  readonly sys: Syscalls;
  readonly #open = new Set<() => void>();
  readonly #turned = (): void => void (this.#ticks = 0);
  #ticks = 0;
  #holds = 0;
  #timer: ReturnType<typeof setInterval> | null = null;

  /** Use {@linkcode faceOf}. */
  constructor(net: Net) {
    this.machine = net.machine;
    this.sys = net.get(SYSCALL);
    net.registration(() => () => {
      for (const end of [...this.#open]) end();
    });
  }

  /** `end` is called when the net ends. */
  enter(end: () => void): void {
    this.#open.add(end);
  }

  /** It is not called any more. */
  leave(end: () => void): void {
    this.#open.delete(end);
  }

  /** Calls `fn` in a tick of its own, or in the next turn of the event loop when there were many ticks without one. */
  soon(fn: () => void): void {
    if (this.#ticks < TICKS) {
      this.#ticks++;
      return process.nextTick(fn);
    }
    if (this.#ticks++ === TICKS) setImmediate(this.#turned);
    setImmediate(fn);
  }

  /** One more, or one less, for which the process must not end. */
  hold(more: boolean): void {
    // Under virtual time nothing can come from outside, and a wait that nothing will end should be seen.
    if (this.machine.platform.virtual) return;
    this.#holds += more ? 1 : -1;
    if (this.#holds > 0) this.#timer ??= setInterval(() => {}, NEVER_MS);
    else if (this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }
}

/** The face's part of `net`, made when it is first asked for. */
export function faceOf(net: Net): Face {
  return net.state("node:face", () => new Face(net));
}

/** What {@linkcode Face.hold} is told of one socket or server: it is open, and ref() holds. */
export class Hold {
  readonly #face: Face;
  #refd = true;
  #open = false;

  /** Closed; it would hold. */
  constructor(face: Face) {
    this.#face = face;
  }

  /** It is open, or not any more. */
  set open(on: boolean) {
    if (on === this.#open) return;
    this.#open = on;
    if (this.#refd) this.#face.hold(on);
  }

  /** ref() or unref(). */
  set refd(on: boolean) {
    if (on === this.#refd) return;
    this.#refd = on;
    if (this.#open) this.#face.hold(on);
  }
}
