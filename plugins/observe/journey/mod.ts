/**
 * The journey: every packet's way through every net of a machine, recorded while somebody watches.
 *
 * For each event it has the stage and the Linux function, the context (process, hardirq, softirq, ksoftirqd), where
 * `data` is and how long the packet is, which bytes were copied by whom, verdicts, and why it was dropped; and it
 * keeps what caused what: an ARP request belongs to the datagram that waits for it. Memory is bounded; while nothing
 * is attached it costs nothing.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack";
 * import { journey } from "@netpath/stack/journey";
 *
 * using machine = new Machine({ seed: 1 });
 * {
 *   using j = journey(machine, { limit: 1000 });
 *   // ... send something, then:
 *   assertEquals(j.packets(), []);
 *   console.log(j.render({ color: false }));
 * }
 * assertEquals(machine.bus.mask, 0);
 * ```
 *
 * @module
 */
import type { Machine } from "../../../core/mod.ts";
import type { JourneyOptions } from "./contract.ts";
import { Journey } from "./recorder.ts";

export * from "./contract.ts";
export { type Remark, REMARKS } from "./remarks.ts";
export { Journey } from "./recorder.ts";
export { owners, renderJourney } from "./render.ts";
export { renderLadder } from "./ladder.ts";

/** Starts a recording on a machine; dispose it to end. A limit below 1 is a RangeError. */
export function journey(machine: Machine, options: JourneyOptions = {}): Journey {
  return new Journey(machine, options);
}
