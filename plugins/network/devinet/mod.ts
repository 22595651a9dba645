/**
 * devinet: the IPv4 addresses of devices, their settings (net.ipv4.conf.*) and their multicast groups.
 * Linux: net/ipv4/devinet.c, net/ipv4/igmp.c.
 *
 * Addresses stay when a device goes down; they go when it is unregistered. A loopback device gets 127.0.0.1/8 when it
 * comes up. Routes are fib's: it listens to {@linkcode Devinet.chain}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { DEVINET, devinet, RT_SCOPE_UNIVERSE } from "@netpath/stack/devinet";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [devinet()] });
 * const eth0 = net.registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) });
 * const addresses = net.get(DEVINET);
 * addresses.addAddress(eth0, "10.0.0.1/24");
 * addresses.addAddress(eth0, "192.168.7.1/24");
 *
 * // The source for 192.168.7.9 is the address of that subnet.
 * assertEquals(addresses.selectAddr(eth0, 0xc0a80709 | 0, RT_SCOPE_UNIVERSE), 0xc0a80701 | 0);
 * net.sysctl.set("net.ipv4.conf.eth0.rp_filter", 1);
 * ```
 *
 * @module
 */
import { IFF_UP, type Net, type NetdevEvent, type NetDevice, type Plugin } from "../../../core/mod.ts";
import { DEVINET } from "./contract.ts";
import { CONF_NAMES, confCombine, confGet, confInherit, confKnows, confSet, type ConfValues } from "./conf.ts";
import { joinGroup, leaveGroup, mcDown, mcUp } from "./igmp.ts";
import {
  addAddress,
  delAddress,
  devByAddr,
  DevinetState,
  inDevOf,
  inetdevDestroy,
  inetdevInit,
  loopbackUp,
  onlink,
  selectAddr,
} from "./table.ts";

export * from "./contract.ts";

/** Addresses, settings and groups of the devices of a net. Provides {@linkcode DEVINET}. */
export function devinet(): Plugin {
  return {
    name: "devinet",
    api: 1,
    provides: [DEVINET],
    setup(net) {
      const st = net.state("devinet:state", () => new DevinetState(net));
      net.provide(DEVINET, {
        chain: st.chain,
        confChain: st.confChain,
        addAddress: (dev, cidr, options) => addAddress(st, dev, cidr, options),
        delAddress: (dev, cidr, peer) => delAddress(st, dev, cidr, peer),
        selectAddr: (dev, dst, scope) => selectAddr(st, dev, dst, scope),
        devByAddr: (addr) => devByAddr(st, addr),
        isIfaddr: (addr) => st.hash.find(addr) !== null,
        onlink: (dev, addr) => onlink(dev, addr),
        joinGroup: (dev, group) => joinGroup(dev, group),
        leaveGroup: (dev, group) => leaveGroup(dev, group),
      });
      net.registration(() => {
        // Before fib, which makes routes for the addresses that come here.
        const block = net.netdevChain.register((event) => inetdevEvent(st, event), 1);
        for (const dev of net.devices) adopt(st, dev);
        return () => block[Symbol.dispose]();
      });
      sysctls(net, st);
    },
  };
}

/** A device that was there before the plugin. */
function adopt(st: DevinetState, dev: NetDevice): void {
  if (inDevOf(dev) !== null) return;
  inetdevInit(st, dev);
  if ((dev.flags & IFF_UP) !== 0) inetdevUp(st, dev);
}

/** Linux: inetdev_event(), net/ipv4/devinet.c. */
function inetdevEvent(st: DevinetState, { kind, dev }: NetdevEvent): void {
  if (kind === "NETDEV_REGISTER") inetdevInit(st, dev);
  else if (kind === "NETDEV_UP") inetdevUp(st, dev);
  else if (kind === "NETDEV_DOWN") mcDown(dev);
  else if (kind === "NETDEV_UNREGISTER") inetdevDestroy(st, dev);
}

function inetdevUp(st: DevinetState, dev: NetDevice): void {
  const inDev = inDevOf(dev);
  if (inDev === null) return;
  loopbackUp(st, inDev);
  mcUp(dev);
}

// ---- sysctl

function sysctls(net: Net, st: DevinetState): void {
  net.registration(() => {
    const conf = net.sysctl.defineTree("net.ipv4.conf.", {
      get: (rest) => confGetAt(st, rest),
      set: (rest, value) => confSetAt(st, rest, value),
      list: () => confList(st),
    });
    // The same value as conf.all.forwarding under an older name.
    const forward = net.sysctl.defineTree("net.ipv4.ip_forward", {
      get: (rest) => rest === "" ? confGet(st.all, "forwarding") : undefined,
      set: (rest, value) => rest === "" && confSetAt(st, "all.forwarding", value),
      list: () => [""],
    });
    return () => {
      forward[Symbol.dispose]();
      conf[Symbol.dispose]();
    };
  });
}

/** The values that `eth0` in `eth0.rp_filter` names, and the rest; undefined: no such device. */
function resolve(st: DevinetState, rest: string): { of: ConfValues; name: string } | undefined {
  const dot = rest.lastIndexOf(".");
  const who = rest.slice(0, dot);
  const name = rest.slice(dot + 1);
  if (!confKnows(name)) return undefined;
  if (who === "all") return { of: st.all, name };
  if (who === "default") return { of: st.dflt, name };
  const dev = st.net.device(who);
  const inDev = dev === undefined ? null : inDevOf(dev);
  return inDev === null ? undefined : { of: inDev.values, name };
}

function confGetAt(st: DevinetState, rest: string): number | undefined {
  const at = resolve(st, rest);
  return at === undefined ? undefined : confGet(at.of, at.name);
}

function confSetAt(st: DevinetState, rest: string, value: number): boolean {
  const at = resolve(st, rest);
  if (at === undefined || !Number.isInteger(value)) return false;
  const { of, name } = at;
  confSet(of, name, value);
  if (name === "forwarding") {
    if (of === st.all) forwardChange(st, value);
  } else if (of === st.dflt) {
    for (const dev of st.net.devices) {
      const inDev = inDevOf(dev);
      if (inDev !== null) confInherit(inDev.values, st.dflt, name);
    }
  }
  recombine(st);
  const dev = of === st.all || of === st.dflt ? null : st.net.device(rest.slice(0, rest.lastIndexOf("."))) ?? null;
  st.confChain.call({ name, dev });
  return true;
}

/** Forwarding of all devices and of those to come; a router does not believe redirects. Linux: inet_forward_change(). */
function forwardChange(st: DevinetState, value: number): void {
  confSet(st.all, "accept_redirects", value === 0 ? 1 : 0);
  confSet(st.dflt, "forwarding", value);
  for (const dev of st.net.devices) {
    const inDev = inDevOf(dev);
    if (inDev !== null) confSet(inDev.values, "forwarding", value);
  }
}

function recombine(st: DevinetState): void {
  for (const dev of st.net.devices) {
    const inDev = inDevOf(dev);
    if (inDev !== null) confCombine(inDev.conf, inDev.values, st.all);
  }
}

function confList(st: DevinetState): string[] {
  const who = ["all", "default", ...st.net.devices.filter((d) => inDevOf(d) !== null).map((d) => d.name)];
  return who.flatMap((w) => CONF_NAMES.map((name) => `${w}.${name}`));
}
