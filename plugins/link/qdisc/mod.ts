/**
 * Queue disciplines between the stack and the driver: pfifo_fast, Linux's default of three bands by priority; pfifo;
 * tbf, which holds to a rate; fq_codel, which keeps queues short and fair; netem, a bad network. Linux: net/sched/.
 *
 * With this plugin in a net, every device whose `txQueueLen` is not 0 gets pfifo_fast when it comes up; another kind is
 * chosen with `net.setQdisc(dev, kind, options)`, as with `tc qdisc replace dev DEV root KIND`. A packet waits in it only
 * while the driver's ring is full: an empty discipline is bypassed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { devQueueXmit, Machine, NETDEV_TX_BUSY } from "@netpath/stack/core";
 * import { qdisc } from "@netpath/stack/qdisc";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [qdisc()] });
 * const dev = net.registerNetdev("eth0", { startXmit: () => NETDEV_TX_BUSY }, { txQueueLen: 2 });
 * for (let i = 0; i < 5; i++) {
 *   const skb = machine.skbs.alloc(128)!;
 *   skb.dev = dev;
 *   skb.put(64);
 *   devQueueXmit(skb);
 * }
 * // One was refused by the driver and waits in front, two wait in the band, two were dropped.
 * assertEquals(dev.txq[0].qdisc!.qlen, 2);
 * assertEquals(net.dropTable(), { QDISC_DROP: 2 });
 * ```
 *
 * @module
 */
import type { Plugin } from "../../../core/mod.ts";
import { pfifoFastOps, pfifoOps } from "./fifo.ts";
import { fqCodelOps } from "./fq_codel.ts";
import { netemOps } from "./netem.ts";
import { tbfOps } from "./tbf.ts";

export * from "./contract.ts";

/** The disciplines above for the devices of a net. */
export function qdisc(): Plugin {
  return {
    name: "qdisc",
    api: 1,
    setup(net) {
      for (const ops of [pfifoFastOps(), pfifoOps(), tbfOps(), fqCodelOps(), netemOps()]) net.registerQdisc(ops);
    },
  };
}
