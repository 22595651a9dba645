/**
 * VLAN devices: several links over one, told apart by a tag of four bytes. IEEE 802.1Q; Linux: net/8021q.
 *
 * A VLAN device stands on another and is configured as any other; frames with its id come in there, and what it sends
 * leaves with the tag. Frames of an id that nobody has are dropped as VLAN_UNKNOWN. Tags inside tags (802.1ad) are VLAN
 * devices on VLAN devices.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nic, wire } from "@netpath/stack/nic";
 * import { vlan, vlanDevice } from "@netpath/stack/vlan";
 *
 * using machine = new Machine();
 * const cable = wire(machine);
 * const hosts = ["a", "b"].map((name, i) => {
 *   const host = createHost({ machine, name, plugins: [vlan()] });
 *   nic(host.net, "eth0", { wire: cable }).dev.open();
 *   vlanDevice(host.net, "eth0.10", "eth0", { id: 10 });
 *   host.addr.add("eth0.10", `10.0.10.${i + 1}/24`);
 *   return host;
 * });
 * assertEquals((await hosts[0].ping("10.0.10.2")).ttl, 64);
 * ```
 *
 * @module
 */
import {
  devAddPack,
  IFF_BROADCAST,
  IFF_MULTICAST,
  type Net,
  type NetDevice,
  netdevOps,
  NETIF_F_HW_CSUM,
  NETIF_F_SG,
  type Plugin,
} from "../../../core/mod.ts";
import { ETH_P_8021AD, ETH_P_8021Q } from "../ethernet/header.ts";
import { type VlanOptions, VLANS } from "./contract.ts";
import { VLAN_PROTOS, vlanRcv } from "./input.ts";
import { vlanXmit } from "./output.ts";
import { type VlanDev, vlanKey, VlanState } from "./state.ts";

export * from "./contract.ts";

/** The plugin. */
export function vlan(): Plugin {
  return { name: "vlan", api: 1, provides: [VLANS], setup };
}

/**
 * Adds a VLAN device on the device `link`: `ip link add link LINK name NAME type vlan id ID`. The net needs the plugin
 * {@linkcode vlan}; an id that is none, is taken, or a device that is not there, is an error.
 */
export function vlanDevice(net: Net, name: string, link: string, options: VlanOptions): NetDevice {
  const real = net.device(link);
  if (real === undefined) throw new TypeError(`Cannot add VLAN device ${name}: there is no device ${link}`);
  return net.get(VLANS).add(name, real, options);
}

function setup(net: Net): void {
  const st = net.state("vlan:devices", () => new VlanState(net));
  for (const type of VLAN_PROTOS) {
    devAddPack(net, { type, dev: null, name: "vlan", func: (skb, dev) => vlanRcv(st, skb, dev) });
  }
  net.registration(() => {
    const chain = net.netdevChain.register((event) => follow(st, event.kind, event.dev));
    return () => chain[Symbol.dispose]();
  });
  net.provide(VLANS, {
    add: (name, link, options) => addDevice(st, name, link, options),
    realDev: (dev) => [...st.devs.values()].find((v) => v.dev === dev)?.real ?? null,
  });
}

/** A VLAN device goes with the device below: carrier, MTU, and its end. Linux: vlan_device_event(). */
function follow(st: VlanState, kind: string, real: NetDevice): void {
  for (const [key, v] of [...st.devs]) {
    if (v.dev === real && kind === "NETDEV_UNREGISTER") st.devs.delete(key);
    if (v.real !== real) continue;
    if (kind === "NETDEV_UNREGISTER") st.net.unregisterNetdevice(v.dev);
    else if (kind === "NETDEV_DOWN") v.dev.close();
    else if (kind === "NETDEV_CHANGE") v.dev.setCarrier(real.carrier);
    else if (kind === "NETDEV_CHANGEMTU" && v.dev.mtu > real.mtu) v.dev.setMtu(real.mtu);
  }
}

function addDevice(st: VlanState, name: string, real: NetDevice, options: VlanOptions): NetDevice {
  const { id } = options;
  const proto = options.protocol === "802.1ad" ? ETH_P_8021AD : ETH_P_8021Q;
  if (!Number.isInteger(id) || id < 1 || id > 4094) {
    throw new RangeError(`Cannot add VLAN device ${name}: id ${id}, it takes a whole number from 1 to 4094`);
  }
  const key = vlanKey(real.ifindex, proto, id);
  const other = st.devs.get(key);
  if (other !== undefined) {
    throw new TypeError(`Cannot add VLAN device ${name}: ${other.dev.name} has id ${id} on ${real.name} already`);
  }
  let v: VlanDev | null = null;
  const dev = st.net.registerNetdevice(name, {
    ops: netdevOps({ open: () => real.open(), startXmit: (skb) => vlanXmit(v!, skb) }),
    mtu: real.mtu,
    maxMtu: real.maxMtu,
    flags: IFF_BROADCAST | IFF_MULTICAST,
    // Super-packets are cut before the tag goes in: the device below would have to know where the headers are.
    features: real.features & (NETIF_F_SG | NETIF_F_HW_CSUM),
    txQueueLen: 0,
    address: options.address ?? real.address,
  });
  v = { dev, real, id, proto, egress: qosMap(options.egress, 16), ingress: qosMap(options.ingress, 8) };
  dev.carrier = real.carrier;
  st.devs.set(key, v);
  return dev;
}

function qosMap(map: Readonly<Record<number, number>> = {}, size: number): Int8Array {
  return Int8Array.from({ length: size }, (_, i) => map[i] ?? 0);
}
