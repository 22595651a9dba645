/**
 * A channel: a device whose other end is the test. `inject()` is what the stack receives, `read()` what it sent.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { channel } from "@netpath/stack/channel";
 *
 * const net = new Machine().createNet();
 * const ch = channel(net, "ch0");
 * ch.inject(new Uint8Array(60));
 * assertEquals(ch.dev.stats.rxPackets, 1);
 * assertEquals(ch.read(), null);
 * ```
 *
 * @module
 */
import { type Net, netdevOps } from "../../../core/mod.ts";
import type { ChannelOptions } from "./contract.ts";
import { channelXmit } from "./output.ts";
import { Channel } from "./state.ts";

export * from "./contract.ts";

/** Adds a channel to a net, up. A taken or malformed name is a TypeError. */
export function channel(net: Net, name: string, options: ChannelOptions = {}): Channel {
  let self: Channel | null = null;
  const { limit = 1024, ...init } = options;
  const dev = net.registerNetdevice(name, {
    ...init,
    ops: netdevOps({ startXmit: (skb) => channelXmit(self!, skb), stop: () => self!.clear() }),
  });
  self = new Channel(net, dev, limit);
  dev.open();
  return self;
}
