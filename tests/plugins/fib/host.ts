/** A net with devices that swallow what they get, for tests of addresses and routes. */
import {
  ARPHRD_LOOPBACK,
  IFF_LOOPBACK,
  Machine,
  type Net,
  type NetDevice,
  netdevOps,
  type Plugin,
  type SkBuff,
} from "../../../core/mod.ts";
import { DEVINET, type Devinet, devinet } from "../../../plugins/network/devinet/mod.ts";
import { type Dst, FIB, type Fib, fib } from "../../../plugins/network/fib/mod.ts";
import { ipToString, needIp } from "../../../plugins/network/inet/contract.ts";

/** One host under test. */
export interface Host extends Disposable {
  machine: Machine;
  net: Net;
  lo: NetDevice;
  eth0: NetDevice;
  eth1: NetDevice;
  addresses: Devinet;
  routes: Fib;
}

/** A host with lo, eth0 and eth1, all up, and 127.0.0.1 alone. */
export function makeHost(...more: Plugin[]): Host {
  const machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet({ plugins: [devinet(), fib(), ...more] });
  const ops = netdevOps({ startXmit: (skb) => (skb.consume(), 0) });
  const lo = net.registerNetdevice("lo", {
    ops,
    flags: IFF_LOOPBACK,
    type: ARPHRD_LOOPBACK,
    mtu: 65536,
    maxMtu: 65536,
  });
  const eth0 = net.registerNetdevice("eth0", { ops });
  const eth1 = net.registerNetdevice("eth1", { ops });
  for (const dev of [lo, eth0, eth1]) dev.open();
  return {
    machine,
    net,
    lo,
    eth0,
    eth1,
    addresses: net.get(DEVINET),
    routes: net.get(FIB),
    [Symbol.dispose]() {
      machine[Symbol.dispose]();
      const faults = machine.skbs.faults();
      if (faults.length > 0) throw new Error(`skbs were lost: ${JSON.stringify(faults)}`);
    },
  };
}

/** An address as int32. */
export function ip(text: string): number {
  return needIp(text, "address");
}

/** `eth0`, `via 10.0.0.254 eth0`, or the error's number; with the source. */
export function out(host: Host, daddr: string, saddr: string = "0.0.0.0", dev?: NetDevice): string {
  const dst = host.routes.routeOutput(ip(daddr), ip(saddr), dev?.ifindex ?? 0, 0);
  return dst === null ? `${host.routes.errno}` : way(dst);
}

/** A way in words. */
export function way(dst: Dst): string {
  const words = [
    ["", "unicast", "local", "broadcast", "", "multicast", "blackhole", "unreachable", "prohibit"][dst.type],
  ];
  if (dst.gateway !== 0) words.push(`via ${ipToString(dst.gateway)}`);
  words.push(dst.dev.name);
  if (dst.prefsrc !== 0) words.push(`src ${ipToString(dst.prefsrc)}`);
  if (dst.forward) words.push("forward");
  if (dst.doRedirect) words.push("redirect");
  return words.join(" ");
}

/** What becomes of a packet from `saddr` to `daddr` that comes in on `dev`: the way, or the drop reason. */
export function receive(host: Host, dev: NetDevice, saddr: string, daddr: string): string {
  const skb: SkBuff = host.machine.skbs.alloc(64)!;
  skb.protocol = 0x0800;
  const reason = host.routes.routeInput(skb, ip(daddr), ip(saddr), 0, dev);
  const dst = skb.dst as Dst | null;
  skb.consume();
  return reason !== 0 || dst === null ? host.machine.reasons.get(reason).name : way(dst);
}
