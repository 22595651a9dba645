/**
 * Netfilter: the five places of the IPv4 path where a packet may be looked at, changed, dropped, kept or handed to user
 * code. Linux: net/netfilter/core.c, nf_queue.c.
 *
 * Hooks run by priority, lowest first; among equals the one that was registered first. They may come and go at any
 * time, also from within a hook: a packet on its way sees the list as it was when it came. A hook that throws drops that
 * packet with the reason `PLUGIN_ERROR`.
 *
 * @example A hook that drops every second packet
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { netfilter, NETFILTER, NF_ACCEPT, NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook } from "@netpath/stack/netfilter";
 *
 * using machine = new Machine({ debug: true, strict: true });
 * const net = machine.createNet({ plugins: [netfilter()] });
 * let n = 0;
 * nfRegisterNetHook(net, {
 *   name: "every-second",
 *   hook: NF_INET_LOCAL_IN,
 *   fn: () => n++ % 2 === 0 ? NF_ACCEPT : NF_DROP,
 * });
 *
 * // What ipv4 does for each packet: run the hooks, then go on.
 * const delivered: number[] = [];
 * for (let i = 0; i < 4; i++) {
 *   const skb = machine.skbs.alloc(64)!;
 *   net.get(NETFILTER).run(NF_INET_LOCAL_IN, skb, null, null, (list, packet) => {
 *     list.push(i);
 *     packet.consume();
 *     return 0;
 *   }, delivered);
 * }
 * assertEquals(delivered, [0, 2]);
 * assertEquals(net.dropTable(), { NETFILTER_DROP: 2 });
 * assertEquals(machine.skbs.faults(), []);
 * ```
 *
 * @module
 */
import type { Plugin } from "../../../core/mod.ts";
import { NETFILTER } from "./contract.ts";
import { addHook, NetfilterState, nfHookSlow } from "./hooks.ts";
import { dropAllQueued, dropQueuedOf, nfReinject, setQueueHandler } from "./queue.ts";

export * from "./contract.ts";

/** The five hooks and the queue of a net. Hooks and queue stay when the plugin is swapped. */
export function netfilter(): Plugin {
  return {
    name: "netfilter",
    api: 1,
    provides: [NETFILTER],
    setup(net) {
      const st = net.state("netfilter:hooks", () => new NetfilterState(net), dropAllQueued);
      net.provide(NETFILTER, {
        active: st.active,
        run: (hook, skb, inDev, outDev, okfn, state) =>
          nfHookSlow(st, st.lists[hook], 0, hook, skb, inDev, outDev, okfn, state),
        add: (ops) => addHook(st, ops),
        setQueueHandler: (handler) => setQueueHandler(st, handler),
        reinject: (entry, verdict) => nfReinject(st, entry, verdict),
        list: (hook) => st.lists[hook].map((h) => h.ops),
        queued: () => st.queue.size,
      });
      net.netdevChain.register((e) => {
        if (e.kind === "NETDEV_DOWN") dropQueuedOf(st, e.dev);
      });
    },
  };
}
