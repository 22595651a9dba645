/**
 * NAPI in a thread of its own. Linux: net/core/dev.c, napi_threaded_poll(); kthread `napi/eth0-N`.
 *
 * @module
 */
import { type Machine, type Napi, toBePolled } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CTX_NAPI } = core;

/** Polls one context, a poll a turn of the event loop, on the CPU that scheduled it. */
export class NapiThread {
  /** `napi/eth0-3`. */
  declare readonly name: string;
  /** Times it was woken. */
  wakes = 0;
  readonly #napi: Napi;
  readonly #machine: Machine;
  #woken = false;
  #asked = false;

  /** The thread of `napi`; the machine knows it. */
  constructor(napi: Napi) {
    this.#napi = napi;
    this.#machine = napi.machine;
    this.name = `napi/${napi.label}-${napi.index}`;
    this.#machine.kthreads.add(this);
  }

  /** It has work. Linux: wake_up_process(). */
  wake(): void {
    if (!this.#woken) this.wakes++;
    // The thread is its poll list.
    this.#woken = this.#napi.listed = true;
    if (this.#asked) return;
    this.#asked = true;
    this.#machine.platform.nextTurn(() => {
      this.#asked = false;
      this.run();
    });
  }

  /** Its turn; false: it had no work. One that is a thread of nobody's any more ends. */
  run(): boolean {
    const napi = this.#napi;
    if (!this.#woken || this.#machine.closed) {
      if (napi.thread !== this) this.#machine.kthreads.delete(this);
      return false;
    }
    this.#woken = napi.listed = false;
    if (napi.scheduled) this.#poll();
    if (napi.scheduled && !this.#woken) toBePolled(napi);
    return true;
  }

  #poll(): void {
    const machine = this.#machine;
    const cpu = this.#napi.cpu;
    machine.enter();
    const current = machine.cpu;
    const context = cpu.context;
    machine.cpu = cpu;
    cpu.context = CTX_NAPI;
    machine.pollNapi(this.#napi);
    cpu.context = context;
    // What it raised runs here, as at local_bh_enable().
    machine.exit();
    machine.cpu = current;
  }
}
