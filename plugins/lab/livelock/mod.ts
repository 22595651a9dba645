/**
 * What an interrupt costs: a cost model under which CPU work takes virtual time, and the livelock lab, in which a host is
 * offered more datagrams than it can read.
 *
 * With one interrupt for each frame a host under load does nothing but take interrupts: what its application reads falls to
 * nothing as the load grows (J. C. Mogul, K. K. Ramakrishnan: Eliminating Receive Livelock in an Interrupt-Driven Kernel,
 * ACM TOCS 15(3), 1997). NAPI takes one interrupt and then polls; what is too much is lost in the card's ring, at no cost.
 *
 * @example The collapse and the plateau
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { livelock } from "@netpath/stack/livelock";
 *
 * const [interrupts, napi] = livelock({ modes: ["interrupt", "moderated"], loads: [1_000_000], seconds: 0.01 });
 * assertEquals(interrupts.delivered, 0);
 * assert(napi.delivered > 600_000);
 * ```
 *
 * @module
 */
export { type CostModel, cpuCost, type CpuCosts, type CpuTime, SERVER_CORE } from "./cost.ts";
export { InterruptNic, interruptNic, type InterruptNicOptions } from "./interrupt_nic.ts";
export { plot, type PlotOptions } from "./plot.ts";
export {
  livelock,
  LIVELOCK_LOADS,
  LIVELOCK_MODES,
  type LivelockDrops,
  type LivelockMode,
  type LivelockOptions,
  type LivelockRow,
} from "./run.ts";
export { svg } from "./svg.ts";
export { table } from "./table.ts";
