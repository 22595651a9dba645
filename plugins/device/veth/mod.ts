/**
 * veth: a pair of devices, usually in two nets. What one sends the other receives: the skb is handed to the peer's NAPI,
 * and nothing is copied. Linux: drivers/net/veth.c.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { vethPair } from "@netpath/stack/veth";
 *
 * const machine = new Machine();
 * const pair = vethPair(machine.createNet(), "veth0", machine.createNet(), "veth1");
 * pair.a.open();
 * assertEquals(pair.a.carrier, false);
 * pair.b.open();
 * assertEquals(pair.a.carrier, true);
 * ```
 *
 * @module
 */
import {
  type Net,
  netdevOps,
  NETIF_F_FRAGLIST,
  NETIF_F_GRO,
  NETIF_F_GSO_UDP_L4,
  NETIF_F_HW_CSUM,
  NETIF_F_RXCSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
} from "../../../core/mod.ts";
import type { VethOptions, VethPair } from "./contract.ts";
import { vethXmit } from "./output.ts";
import { VethEnd } from "./state.ts";

export * from "./contract.ts";

const OFFLOADS = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_GSO_UDP_L4;

/**
 * Makes a pair, both ends down; removing one removes the other. Nets of two machines, or a taken name, are a TypeError.
 * Linux: `ip link add NAME type veth peer name PEER`.
 */
export function vethPair(
  netA: Net,
  nameA: string,
  netB: Net,
  nameB: string,
  options: VethOptions & { peer?: VethOptions } = {},
): VethPair {
  if (netA.machine !== netB.machine) {
    throw new TypeError(`Cannot pair ${nameA} with ${nameB}: their nets are of two machines`);
  }
  const a = makeEnd(netA, nameA, options);
  let b: VethEnd;
  try {
    b = makeEnd(netB, nameB, options.peer ?? withoutAddress(options));
  } catch (error) {
    netA.unregisterNetdevice(a.dev);
    throw error;
  }
  a.peer = b;
  b.peer = a;
  removeTogether(a, b);
  removeTogether(b, a);
  return { a: a.dev, b: b.dev, [Symbol.dispose]: () => netA.unregisterNetdevice(a.dev) };
}

function makeEnd(net: Net, name: string, options: VethOptions): VethEnd {
  let end: VethEnd | null = null;
  const dev = net.registerNetdevice(name, {
    ops: netdevOps({
      open: () => end!.open(),
      stop: () => end!.stop(),
      startXmit: (skb) => vethXmit(end!, skb),
    }),
    features: ((options.offloads ?? true) ? OFFLOADS : NETIF_F_SG) | (options.gro ? NETIF_F_GRO : 0),
    txQueueLen: options.txQueueLen ?? 0,
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    ...(options.address === undefined ? {} : { address: options.address }),
  });
  end = new VethEnd(net, dev);
  return end;
}

function withoutAddress(options: VethOptions): VethOptions {
  const { address: _, ...rest } = options;
  return rest;
}

/** Linux: veth_dellink(). */
function removeTogether(end: VethEnd, other: VethEnd): void {
  const gone = end.net.netdevChain.register((e) => {
    if (e.kind !== "NETDEV_UNREGISTER" || e.dev !== end.dev) return;
    gone[Symbol.dispose]();
    other.peer = null;
    other.net.unregisterNetdevice(other.dev);
  });
}
