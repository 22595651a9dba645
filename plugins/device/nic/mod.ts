/**
 * The textbook NIC on a virtual wire: receive and transmit rings of descriptors, DMA, interrupt lines, NAPI.
 *
 * ```text
 *   startXmit ──► tx ring ──doorbell──► DMA ──wire──► rx ring ──irq──► NAPI poll ──► stack
 *        ▲                               │
 *        └── skb freed ◄── NAPI poll ◄── irq (completion)
 * ```
 *
 * Read `output.ts` (startXmit, cleaning), `dma.ts` (what the hardware does), `input.ts` (NAPI poll) in this order.
 *
 * @example Two NICs, one frame
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * const machine = new Machine();
 * const cable = wire(machine);
 * const a = nic(machine.createNet(), "eth0", { wire: cable });
 * const b = nic(machine.createNet(), "eth0", { wire: cable, rxRing: 64 });
 * a.dev.open();
 * b.dev.open();
 * assertEquals(a.dev.carrier, true);
 *
 * const frame = new Uint8Array(60).fill(0xff); // to all
 * cable.inject(b, frame);
 * assertEquals(b.dev.stats.rxPackets, 1);
 * assertEquals(b.rxIrq.count, 1);
 * ```
 *
 * @module
 */
import type { Net } from "../../../core/mod.ts";
import type { Nic, NicOptions } from "./contract.ts";
import { makeNic } from "./state.ts";

export * from "./contract.ts";
export * from "./driver.ts";
export { wire } from "./wire.ts";

/** Adds a NIC to a net, down. A taken or malformed name, or a ring size that is no power of two, is an error. */
export function nic(net: Net, name: string, options: NicOptions = {}): Nic {
  return makeNic(net, name, options);
}
