/**
 * fib: routing. Longest-prefix match over as many routes as there are, the checks of received addresses, the path-MTU
 * cache. Linux: net/ipv4/fib_trie.c, fib_frontend.c, fib_semantics.c, route.c.
 *
 * Theory of operation. `routeInput` decides for a received packet, `routeOutput` for one of our own; both look into a
 * flow cache (cache.ts), then do it properly (input.ts, output.ts) on the tables (table.ts over trie.ts). Routes come by
 * hand (semantics.ts) and with addresses and devices (frontend.ts). What one destination learns is an exception
 * (exception.ts). The answer is a Dst, shared by all destinations of a route; any change makes a new generation, in
 * which every Dst handed out before is `obsolete`.
 *
 * Not here: rules, TOS in routes, several next hops for one route.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { DEVINET, devinet } from "@netpath/stack/devinet";
 * import { FIB, fib } from "@netpath/stack/fib";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [devinet(), fib()] });
 * const eth0 = net.registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) });
 * net.get(DEVINET).addAddress(eth0, "10.0.0.1/24");
 *
 * const routes = net.get(FIB);
 * routes.add({ to: "default", via: "10.0.0.254" });
 * const dst = routes.routeOutput(0x08080808, 0, 0, 0);
 * assertEquals(dst?.gateway, 0x0a0000fe);
 * assertEquals(dst?.prefsrc, 0x0a000001);
 * assertEquals(routes.list().map((r) => r.to), ["default", "10.0.0.0/24"]);
 * ```
 *
 * @module
 */
import type { Net, NetDevice, Plugin, SkBuff } from "../../../core/mod.ts";
import { DEVINET, inDevGet } from "../devinet/contract.ts";
import { NEIGH } from "../neigh/contract.ts";
import { type Dst, FIB, type Fib, type Route, RTN_LOCAL } from "./contract.ts";
import type { RtDst } from "./dst.ts";
import { forgetExceptions, mtuOf, redirect, updatePmtu } from "./exception.ts";
import { addIfaddr, inetaddrEvent, netdevEvent, syncLinks } from "./frontend.ts";
import { routeInput, validateSource } from "./input.ts";
import { routeOutput } from "./output.ts";
import { fibConfig, fibDelete, fibInsert, fibMatch, showRoute } from "./semantics.ts";
import { addrType, FibState, findLoopback, rtCacheFlush } from "./state.ts";
import { RT_TABLE_MAIN } from "./table.ts";

export * from "./contract.ts";

/** Routing in a net. Needs {@linkcode DEVINET}, provides {@linkcode FIB}. */
export function fib(): Plugin {
  return {
    name: "fib",
    api: 1,
    requires: [DEVINET],
    uses: [NEIGH],
    provides: [FIB],
    setup(net) {
      const st = net.state("fib:state", () => new FibState(net));
      net.provide(FIB, record(st));
      net.registration(() => {
        const addresses = st.devinet.chain.register((event) => inetaddrEvent(st, event));
        const settings = st.devinet.confChain.register((event) => {
          if (event.name === "ignore_routes_with_linkdown") syncLinks(st, event.dev);
          else rtCacheFlush(st);
        });
        const devices = net.netdevChain.register((event) => netdevEvent(st, event));
        adopt(st);
        return () => {
          devices[Symbol.dispose]();
          settings[Symbol.dispose]();
          addresses[Symbol.dispose]();
        };
      });
      sysctls(net, st);
    },
  };
}

/** Devices and addresses that were there before. */
function adopt(st: FibState): void {
  st.neigh = st.net.find(NEIGH);
  findLoopback(st);
  for (const dev of st.net.devices) netdevEvent(st, { kind: "NETDEV_CHANGE", dev });
  for (const dev of st.net.devices) {
    for (const ifa of inDevGet(dev)?.ifaList ?? []) addIfaddr(st, ifa);
  }
}

/** The record with its state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface FibOps extends Fib {
  readonly st: FibState;
}

/** `this` is the stable record, which outlives a swap. */
function fibRouteOutput(this: FibOps, daddr: number, saddr: number, oif: number, _tos: number): Dst | null {
  const dst = routeOutput(this.st, daddr, saddr, oif, this.cacheEnabled);
  if (dst === null) this.errno = this.st.err;
  return dst;
}

function fibRouteInput(
  this: FibOps,
  skb: SkBuff,
  daddr: number,
  saddr: number,
  _tos: number,
  dev: NetDevice,
): number {
  return routeInput(this.st, skb, daddr, saddr, dev, this.cacheEnabled);
}

function fibMtu(this: FibOps, dst: Dst): number {
  return mtuOf(this.st, dst as RtDst);
}

/** What others call. */
function record(st: FibState): FibOps {
  return {
    st,
    routeOutput: fibRouteOutput,
    errno: 0,
    routeInput: fibRouteInput,
    redirect: (daddr, from, gateway, dev) => redirect(st, daddr, from, gateway, dev),
    add: (route) => addRoute(st, route),
    del: (route) => delRoute(st, route),
    list: (table) => listRoutes(st, table ?? RT_TABLE_MAIN),
    addrType: (addr) => addrType(st, addr),
    devAddrType: (dev, addr) => addrType(st, addr, dev),
    validateSource: (saddr, _daddr, _tos, dev) => validateSource(st, saddr, dev),
    updatePmtu: (daddr, mtu) => updatePmtu(st, daddr, mtu),
    mtu: fibMtu,
    anySource: (on) => {
      st.anySource += on ? 1 : -1;
      rtCacheFlush(st);
    },
    flushCache: () => rtCacheFlush(st),
    setCongestion: (known) => st.congestion = known,
    cacheEnabled: true,
    stats: st.stats,
  };
}

/** Linux: inet_rtm_newroute(). */
function addRoute(st: FibState, route: Route): number {
  const cfg = fibConfig(st, route);
  if (typeof cfg === "number") return cfg;
  const err = fibInsert(st, cfg, false);
  if (err === 0 && cfg.type === RTN_LOCAL) st.customLocal = true;
  return err;
}

/** Linux: inet_rtm_delroute(). */
function delRoute(st: FibState, route: Route): number {
  const match = fibMatch(st, route);
  return typeof match === "number" ? match : fibDelete(st, match);
}

function listRoutes(st: FibState, table: number): Route[] {
  return (st.tables.get(table)?.all() ?? []).filter((alias) => alias.table === table).map(showRoute);
}

/** net.ipv4.route.*. */
function sysctls(net: Net, st: FibState): void {
  net.registration(() => {
    const knobs = [
      net.sysctl.define("net.ipv4.route.min_pmtu", { value: st.minPmtu, min: 68, apply: (v) => st.minPmtu = v }),
      net.sysctl.define("net.ipv4.route.mtu_expires", {
        value: st.mtuExpires / 1000,
        min: 0,
        apply: (v) => st.mtuExpires = v * 1000,
      }),
      net.sysctl.define("net.ipv4.route.flush", {
        value: 0,
        apply: () => {
          forgetExceptions(st, () => false);
          rtCacheFlush(st);
        },
      }),
    ];
    return () => knobs.forEach((knob) => knob[Symbol.dispose]());
  });
}
