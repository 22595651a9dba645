/**
 * Packet steering: receive packet steering (RPS) spreads the packets of one queue over CPUs by their flow; transmit packet
 * steering (XPS) ties transmit queues to CPUs; threaded NAPI takes polling out of softirqs.
 * Linux: Documentation/networking/scaling.rst.
 *
 * What a NIC does by itself, RSS, is set there: `nic.setRxfh()`. A CPU is a record in one thread: steering shows where work
 * is done, it does not make it faster.
 *
 * @example One queue, four CPUs
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { STEERING } from "@netpath/stack/steering";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine({ cpus: 4 });
 * const cable = wire(machine);
 * const [a, b] = ["a", "b"].map((name) => createHost({ machine, name }));
 * nic(a.net, "eth0", { wire: cable });
 * const { dev } = nic(b.net, "eth0", { wire: cable });
 * a.addr.add("eth0", "10.0.0.1/24");
 * b.addr.add("eth0", "10.0.0.2/24");
 * b.net.get(STEERING).setRpsCpus(dev, 0, [1, 2, 3]); // echo e > /sys/class/net/eth0/queues/rx-0/rps_cpus
 *
 * using server = b.listenDatagram({ port: 7 });
 * for (let i = 0; i < 30; i++) {
 *   using client = a.listenDatagram({ port: 0 });
 *   await client.send(Uint8Array.of(i), { transport: "udp", hostname: "10.0.0.2", port: 7 });
 *   await server.receive();
 * }
 * // CPU 0 took the interrupts; the others received.
 * assertEquals(machine.cpus.map((cpu) => cpu.receivedRps > 0), [false, true, true, true]);
 * ```
 *
 * @module
 */
import type { Plugin } from "../../../core/mod.ts";
import { STEERING, type Steering } from "./contract.ts";
import { SteeringState } from "./state.ts";

export * from "./contract.ts";
export { flowDissect } from "./flow.ts";
export type { NapiThread } from "./thread.ts";

/** Steering for the devices of a net. Until something is set, it chooses transmit queues by the hash of the flow. */
export function steering(): Plugin {
  return {
    name: "steering",
    api: 1,
    provides: [STEERING],
    setup(net) {
      const st = net.state("steering", () => new SteeringState(net, keyOf(net.machine.platform)));
      net.registration(() => {
        const pickTx: typeof net.pickTx = (skb, dev) => st.netdevPickTx(skb, dev);
        const before = net.pickTx;
        net.pickTx = pickTx;
        st.apply();
        return () => {
          if (net.pickTx !== pickTx) return;
          net.pickTx = before;
          st.unapply();
        };
      });
      net.netdevChain.register((e) => {
        if (e.kind === "NETDEV_UNREGISTER") st.forget(e.dev);
      });
      net.provide(STEERING, opsOf(st));
    },
  };
}

function opsOf(st: SteeringState): Steering {
  return {
    setRpsCpus: (dev, queue, cpus) => st.setRpsCpus(dev, queue, cpus),
    rpsCpus: (dev, queue) => st.rpsCpus(dev, queue),
    setXpsCpus: (dev, queue, cpus) => st.setXpsCpus(dev, queue, cpus),
    xpsCpus: (dev, queue) => st.xpsCpus(dev, queue),
    setThreaded: (dev, on) => st.setThreaded(dev, on),
    netdevPickTx: (skb, dev) => st.netdevPickTx(skb, dev),
    skbGetHash: (skb) => st.skbGetHash(skb),
  };
}

/** A secret where others send; in virtual time a constant, so that it takes nothing from the seed. */
function keyOf(platform: { readonly virtual: boolean; random(): number }): number {
  return platform.virtual ? 0x6d5a56da : platform.random();
}
