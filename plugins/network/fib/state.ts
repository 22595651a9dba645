/**
 * What routing knows in a net, and the look-up that all of it rests on. Linux: net/ipv4/fib_rules.c, struct netns_ipv4.
 */
import { ERRNO, type EventBus, G_IP, IFF_LOOPBACK, type Machine, type Net, type NetDevice } from "../../../core/mod.ts";
import { DEVINET, type Devinet } from "../devinet/contract.ts";
import { NEIGH, type NeighTable } from "../neigh/contract.ts";
import { isLbcast, isMulticast, isZeronet } from "../inet/header.ts";
import { type DstMetrics, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from "./contract.ts";
import { FlowCache } from "./cache.ts";
import { Generation, RtDst } from "./dst.ts";
import type { FibException } from "./exception.ts";
import { EAGAIN, type FibInfo, FibInfos, FibTable, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN } from "./table.ts";
import { leafId } from "./trie.ts";

/** Ways that hang on a device and on no route. */
export class DevWays {
  /** Out to a host that no route knows, assumed to be on the link. */
  onlink: RtDst | null = null;
  /** Out to all, or to a group. */
  outMany: RtDst | null = null;
  /** In for all. */
  inBroadcast: RtDst | null = null;
  /** In for a group. */
  inMulticast: RtDst | null = null;
  /** In, silently refused. */
  blackhole: RtDst | null = null;
  /** In, refused as unreachable. */
  unreachable: RtDst | null = null;
  /** In, refused as prohibited. */
  prohibit: RtDst | null = null;
}

/** Tracepoints. */
export interface FibTracepoints {
  /** `a` = destination, `b` = RTN_* of the way, obj = Dst or null. */
  readonly output: number;
  /** `a` = destination, `b` = 0 or the drop reason, obj = NetDevice. */
  readonly input: number;
  /** `a` = source, `b` = result: 0, 1 (on the link) or a negated drop reason; obj = NetDevice. */
  readonly validate: number;
  /** `a` = destination, `b` = MTU, obj = null. */
  readonly pmtu: number;
}

/** The state of routing in a net; outlives a swap. */
export class FibState {
  /** The net. */
  declare readonly net: Net;
  /** Its machine. */
  declare readonly machine: Machine;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** Their numbers. */
  declare readonly tp: FibTracepoints;
  /** Addresses. */
  declare readonly devinet: Devinet;
  /** Neighbours, where there are any: for redirects. */
  declare neigh: NeighTable | null;
  /** What makes every answer obsolete. */
  readonly gen: Generation = new Generation();
  /** What routes share. */
  readonly infos: FibInfos = new FibInfos();
  /** Local and main. */
  readonly main: FibTable = new FibTable();
  /** All tables by number. */
  readonly tables: Map<number, FibTable> = new Map();
  /** The table asked last; null: nobody made it. */
  dflt: FibTable | null = null;
  /** Ways by ifindex. */
  readonly ways: DevWays[] = [];
  /** Answers of the last look-ups. */
  declare readonly cache: FlowCache;
  /** What single destinations learnt. */
  readonly exceptions: Map<number, FibException> = new Map();
  /** The first loopback device. */
  loopback: NetDevice | null = null;
  /** Somebody made local routes by hand: own addresses are not only those of devices. */
  customLocal = false;
  /** Users that send from any address. See {@linkcode Fib.anySource}. */
  anySource = 0;
  /** Names of congestion controls. See {@linkcode Fib.setCongestion}. */
  congestion: ((name: string) => boolean) | null = null;
  /** Negative errno of the last look-up that found none. */
  err = 0;
  /** net.ipv4.route.min_pmtu. */
  minPmtu = 552;
  /** net.ipv4.route.mtu_expires, ms. */
  mtuExpires = 600_000;
  /** How long a redirect is followed, ms. Linux: ip_rt_gc_timeout. */
  readonly redirectTimeout = 300_000;
  /** Counts. */
  readonly stats: { lookups: number; cacheHits: number; slow: number } = { lookups: 0, cacheHits: 0, slow: 0 };

  /** No route yet. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.bus = net.machine.bus;
    this.devinet = net.get(DEVINET);
    this.neigh = net.find(NEIGH);
    const random = net.machine.platform.random;
    this.cache = new FlowCache(random(), random());
    this.tables.set(RT_TABLE_LOCAL, this.main);
    this.tables.set(RT_TABLE_MAIN, this.main);
    const id = (name: string, linux: string): number => this.bus.define({ name: `fib:${name}`, linux, group: G_IP });
    this.tp = {
      output: id("ip_route_output", "ip_route_output_key_hash"),
      input: id("ip_route_input", "ip_route_input_slow"),
      validate: id("fib_validate_source", "fib_validate_source"),
      pmtu: id("ip_rt_update_pmtu", "ip_rt_update_pmtu"),
    };
  }
}

/** Everything that was looked up is obsolete. Linux: rt_cache_flush(), net/ipv4/route.c. */
export function rtCacheFlush(st: FibState): void {
  st.gen.now = (st.gen.now + 1) | 0;
}

/** A table by number, made where missing. */
export function fibTable(st: FibState, id: number): FibTable {
  let table = st.tables.get(id);
  if (table === undefined) {
    table = new FibTable();
    st.tables.set(id, table);
    if (id === RT_TABLE_DEFAULT) st.dflt = table;
  }
  return table;
}

/**
 * The route of `addr` that leaves by `oif` (0: any). Null: {@linkcode FibState.err} says why.
 * Linux: fib_lookup(), include/net/ip_fib.h.
 */
export function fibLookup(st: FibState, addr: number, oif: number): FibInfo | null {
  const leaf = st.main.trie.lookup(addr);
  if (leaf !== 0) {
    const fi = st.infos.list[leafId(leaf)]!;
    if (fi.plain && (oif === 0 || fi.oif === oif)) return fi;
  } else if (st.dflt === null) {
    st.err = -ERRNO.ENETUNREACH;
    return null;
  }
  return fibLookupSlow(st, addr, oif, 0, true);
}

/**
 * The same for a `scope` of at least, and with or without regard for carriers: walks the lists of routes.
 * A table that has nothing, or says "throw", passes on to the default table; any other error is final.
 */
export function fibLookupSlow(
  st: FibState,
  addr: number,
  oif: number,
  scope: number,
  linkState: boolean,
): FibInfo | null {
  let alias = st.main.walk(addr, oif, scope, linkState);
  if ((alias === null || alias.fi.error === EAGAIN) && st.dflt !== null) {
    alias = st.dflt.walk(addr, oif, scope, linkState);
  }
  if (alias === null || alias.fi.error !== 0) {
    st.err = alias === null || alias.fi.error === EAGAIN ? -ERRNO.ENETUNREACH : -alias.fi.error;
    return null;
  }
  return alias.fi;
}

/** The length of the prefix by which a destination is routed. */
export function prefixLen(st: FibState, addr: number, oif: number): number {
  const alias = st.main.walk(addr, oif, 0, true);
  return (alias !== null && alias.fi.error === 0 ? alias : st.dflt?.walk(addr, oif, 0, true))?.len ?? 0;
}

/** The device of an own address, by address or by a local route; null: not ours. Linux: __ip_dev_find(). */
export function ownDevice(st: FibState, addr: number): NetDevice | null {
  const dev = st.devinet.devByAddr(addr);
  if (dev !== null) return dev;
  const fi = fibLookup(st, addr, 0);
  return fi !== null && fi.type === RTN_LOCAL ? fi.dev : null;
}

/**
 * RTN_* of an address; `dev`: only as far as a route of that device says so. Linux: inet_addr_type(),
 * inet_dev_addr_type(), net/ipv4/fib_frontend.c.
 */
export function addrType(st: FibState, addr: number, dev: NetDevice | null = null): number {
  if (isLbcast(addr) || isZeronet(addr)) return RTN_BROADCAST;
  if (isMulticast(addr)) return RTN_MULTICAST;
  const fi = fibLookup(st, addr, 0);
  return fi !== null && (dev === null || fi.dev === dev) ? fi.type : RTN_UNICAST;
}

/** The ways of a device. */
export function waysOf(st: FibState, dev: NetDevice): DevWays {
  return st.ways[dev.ifindex] ??= new DevWays();
}

/** Whether a way can be used again. */
export function fits(
  dst: RtDst | null,
  type: number,
  dev: NetDevice,
  gateway: number,
  prefsrc: number,
): dst is RtDst {
  return dst !== null && !dst.obsolete && dst.type === type && dst.dev === dev && dst.gateway === gateway &&
    dst.prefsrc === prefsrc;
}

/** A way of our own packets. */
export function newOutput(
  st: FibState,
  type: number,
  dev: NetDevice,
  gateway: number,
  prefsrc: number,
  metrics: DstMetrics | null,
): RtDst {
  return new RtDst(st.gen, type, dev, gateway, prefsrc, false, false, metrics);
}

/** A way of received packets; `forward`: on to others. */
export function newInput(
  st: FibState,
  type: number,
  dev: NetDevice,
  gateway: number,
  forward: boolean,
  doRedirect: boolean,
  metrics: DstMetrics | null,
): RtDst {
  return new RtDst(st.gen, type, dev, gateway, 0, forward, doRedirect, metrics);
}

/** Which device stands for this host. */
export function findLoopback(st: FibState): void {
  st.loopback = st.net.devices.find((dev) => (dev.flags & IFF_LOOPBACK) !== 0) ?? null;
}
