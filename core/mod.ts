/**
 * The engine: contracts and tables, no protocol. It imports nothing and runs wherever JavaScript runs.
 *
 * Start with {@linkcode Machine} and {@linkcode Net}; a stage is a {@linkcode Plugin}; a packet is an
 * {@linkcode SkBuff}.
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
