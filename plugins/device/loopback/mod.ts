/**
 * The loopback device `lo`: what it sends, it receives, through the CPU's backlog. Linux: drivers/net/loopback.c.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { loopback, loopbackDevice } from "@netpath/stack/loopback";
 *
 * const machine = new Machine();
 * const lo = loopback(machine.createNet());
 * assertEquals([lo.name, lo.mtu, lo.running], ["lo", 65536, true]);
 *
 * const net = machine.createNet({ plugins: [loopbackDevice()] });
 * assertEquals(net.device("lo")?.running, true);
 * ```
 *
 * @module
 */
import {
  ARPHRD_LOOPBACK,
  IFF_LOOPBACK,
  type Net,
  type NetDevice,
  netdevOps,
  NETIF_F_FRAGLIST,
  NETIF_F_GSO_UDP_L4,
  NETIF_F_HW_CSUM,
  NETIF_F_RXCSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
  type Plugin,
} from "../../../core/mod.ts";
import { LOOPBACK_MTU, type LoopbackOptions } from "./contract.ts";
import { loopbackXmit } from "./output.ts";

export * from "./contract.ts";

/** Adds `lo` to a net, up. A net that has one already is a TypeError. */
export function loopback(net: Net, options: LoopbackOptions = {}): NetDevice {
  const offloads = NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_GSO_UDP_L4;
  const dev = net.registerNetdevice("lo", {
    ops: netdevOps({ startXmit: loopbackXmit }),
    type: ARPHRD_LOOPBACK,
    mtu: options.mtu ?? LOOPBACK_MTU,
    maxMtu: LOOPBACK_MTU,
    flags: IFF_LOOPBACK,
    features: NETIF_F_SG | NETIF_F_FRAGLIST | ((options.offloads ?? true) ? offloads : 0),
    address: "00:00:00:00:00:00",
    txQueueLen: 0,
  });
  dev.open();
  return dev;
}

/** {@linkcode loopback} as a plugin: `lo` is there as soon as the net has it. */
export function loopbackDevice(options: LoopbackOptions = {}): Plugin {
  return {
    name: "loopback",
    api: 1,
    setup(net) {
      net.state("loopback:lo", () => loopback(net, options));
    },
  };
}
