/**
 * The engine: contracts and tables, no protocol. It imports nothing and runs wherever JavaScript runs.
 *
 * Start with {@linkcode Machine} and {@linkcode Net}; a stage is a {@linkcode Plugin}; a packet is an
 * {@linkcode SkBuff}.
 *
 * @example A net without a single protocol: a device, an EtherType, one packet
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ARPHRD_NONE, devAddPack, Machine } from "@netpath/stack/core";
 *
 * using machine = new Machine({ debug: true, strict: true });
 * const net = machine.createNet();
 * const dev = net.registerNetdev("raw0", { startXmit: (skb) => (skb.consume(), 0) }, { type: ARPHRD_NONE });
 * const seen: number[] = [];
 * devAddPack(net, {
 *   type: 0x0800,
 *   dev: null,
 *   func: (skb) => { // the packet is ours: look, then free it
 *     seen.push(skb.len);
 *     skb.consume();
 *   },
 * });
 * dev.receive(Uint8Array.of(0x45, 0, 0, 20)); // backlog, NAPI, softirq, packet type
 * dev.receive(Uint8Array.of(0x60, 0, 0, 0)); // nobody knows IPv6 here
 * assertEquals(seen, [4]);
 * assertEquals(net.dropTable(), { UNHANDLED_PROTO: 1 });
 * assertEquals(machine.skbs.faults(), []);
 * ```
 *
 * @module
 */
export * from "./checksum.ts";
export * from "./clock.ts";
export * from "./copy.ts";
export * from "./drop_reason.ts";
export * from "./errno.ts";
export * from "./event_bus.ts";
export * from "./irq.ts";
export * from "./machine.ts";
export * from "./napi.ts";
export * from "./net.ts";
export * from "./net_device.ts";
export * from "./offload.ts";
export * from "./page_pool.ts";
export * from "./platform.ts";
export * from "./plugin.ts";
export * from "./receive.ts";
export * from "./registry.ts";
export * from "./ring.ts";
export * from "./sk_buff.ts";
export * from "./skb_copy.ts";
export * from "./skb_pool.ts";
export * from "./softirq.ts";
export * from "./sysctl.ts";
export * from "./timer.ts";
export * from "./transmit.ts";
