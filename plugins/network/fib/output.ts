/**
 * The way of our own packets. Linux: ip_route_output_key_hash_rcu(), __mkroute_output(), net/ipv4/route.c.
 *
 * Theory of operation. The source, if given, must be ours; the device, if given, must be up. Then the tables decide, but
 * for packets to all or to a group of the link, which go where they are told. A device that was asked for wins over
 * tables that know nothing: the destination is taken to be on its link.
 */
import type { NetDevice } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as devinet from "../devinet/contract.ts";
import * as inetHeader from "../inet/header.ts";
import * as fib from "./contract.ts";
import type { RtDst } from "./dst.ts";
import * as exception from "./exception.ts";
import type { FibState } from "./state.ts";
import * as state from "./state.ts";
import type { FibInfo } from "./table.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO, G_IP, IFF_LOOPBACK, IFF_UP } = core;
const { inDevGet, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } = devinet;
const { isLbcast, isLoopback, isMulticast, isZeronet } = inetHeader;
const { RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } = fib;
const { exceptionOutput, findException, nexthop } = exception;
const { fibLookup, fits, newOutput, ownDevice, prefixLen, waysOf } = state;

const INADDR_LOOPBACK = 0x7f000001;

/** Of the link alone, whatever the tables say: 224.0.0.0/24 and 255.255.255.255. */
function linkOnly(daddr: number): boolean {
  return daddr >>> 8 === 0xe00000 || isLbcast(daddr);
}

/** A group, 240/4 or 255.255.255.255: not simply a host. */
function isClassD(daddr: number): boolean {
  return daddr >>> 29 === 7;
}

function refuse(st: FibState, errno: number): null {
  st.err = -errno;
  return null;
}

/** Linux: ip_route_output_key(), net/ipv4/route.c. Null: {@linkcode FibState.err} says why. */
export function routeOutput(st: FibState, daddr: number, saddr: number, oif: number, cached: boolean): RtDst | null {
  st.stats.lookups++;
  if (cached) {
    const hit = st.cache.find(daddr, saddr, oif << 1, st.gen.now);
    if (hit !== null && !hit.killed && !(hit.exception && ((st.machine.jiffies - hit.expires) | 0) > 0)) {
      st.stats.cacheHits++;
      if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.output, null, daddr, hit.type, hit);
      return hit;
    }
  }
  st.stats.slow++;
  const dst = routeOutputSlow(st, daddr, saddr, oif);
  if (dst !== null && cached) st.cache.put(daddr, saddr, oif << 1, st.gen.now, dst);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.output, null, daddr, dst === null ? 0 : dst.type, dst);
  return dst;
}

/** Linux: ip_route_output_key_hash_rcu(), net/ipv4/route.c. */
function routeOutputSlow(st: FibState, daddr: number, saddr: number, oif: number): RtDst | null {
  if (saddr !== 0) {
    if (isMulticast(saddr) || isLbcast(saddr)) return refuse(st, ERRNO.EINVAL);
    const own = ownDevice(st, saddr);
    if (own === null && st.anySource === 0) return refuse(st, ERRNO.ENETUNREACH);
    if (own !== null && oif === 0 && (isMulticast(daddr) || isLbcast(daddr))) {
      return outputMany(st, own, daddr, 0, saddr);
    }
  }
  if (oif !== 0) return routeOutputDev(st, daddr, saddr, oif);
  if (daddr === 0) return outputSelf(st, saddr !== 0 ? saddr : INADDR_LOOPBACK);
  const fi = fibLookup(st, daddr, 0);
  return fi === null ? null : outputRoute(st, fi, daddr, saddr, 0);
}

/** With a device to leave by. */
function routeOutputDev(st: FibState, daddr: number, saddr: number, oif: number): RtDst | null {
  const dev = st.net.devByIndex[oif] ?? null;
  if (dev === null) return refuse(st, ERRNO.ENODEV);
  if ((dev.flags & IFF_UP) === 0 || inDevGet(dev) === null) return refuse(st, ERRNO.ENETUNREACH);
  const select = st.devinet.selectAddr;
  if (linkOnly(daddr)) return outputMany(st, dev, daddr, 0, saddr !== 0 ? saddr : select(dev, 0, RT_SCOPE_LINK));
  let src = saddr;
  if (src === 0 && isMulticast(daddr)) src = select(dev, 0, RT_SCOPE_UNIVERSE);
  if (daddr === 0) {
    if (src === 0) src = select(dev, 0, RT_SCOPE_HOST);
    return outputSelf(st, src !== 0 ? src : INADDR_LOOPBACK);
  }
  const fi = fibLookup(st, daddr, oif);
  if (fi !== null) return outputRoute(st, fi, daddr, saddr, src);
  if (src === 0) src = select(dev, 0, RT_SCOPE_LINK);
  if (isMulticast(daddr)) return outputMany(st, dev, daddr, 0, src);
  if (!sourceFits(st, src, dev)) return null;
  const ways = waysOf(st, dev);
  if (!fits(ways.onlink, RTN_UNICAST, dev, 0, src)) ways.onlink = newOutput(st, RTN_UNICAST, dev, 0, src, null);
  return ways.onlink;
}

/** To 0.0.0.0, which is this host. */
function outputSelf(st: FibState, src: number): RtDst | null {
  const lo = st.loopback;
  if (lo === null) return refuse(st, ERRNO.ENETUNREACH);
  return newOutput(st, RTN_LOCAL, lo, 0, src, null);
}

/** To all or to a group, on the link of a device. */
function outputMany(st: FibState, dev: NetDevice, daddr: number, gateway: number, src: number): RtDst | null {
  if (!sourceFits(st, src, dev)) return null;
  const type = isLbcast(daddr) ? RTN_BROADCAST : RTN_MULTICAST;
  const ways = waysOf(st, dev);
  if (!fits(ways.outMany, type, dev, gateway, src)) ways.outMany = newOutput(st, type, dev, gateway, src, null);
  return ways.outMany;
}

/**
 * The way that a route leads. `saddr` is the caller's source; `src` one that was chosen for the device, 0: the route's.
 * Linux: __mkroute_output(), net/ipv4/route.c.
 */
function outputRoute(st: FibState, fi: FibInfo, daddr: number, saddr: number, src: number): RtDst | null {
  const way = fi.out;
  // What most packets need, and nothing else: a way that is there already, to a host, from wherever it says.
  if (way !== null && saddr === 0 && !isClassD(daddr) && !way.obsolete && st.exceptions.size === 0) return way;
  if (fi.type === RTN_LOCAL) return outputLocal(st, fi, daddr, saddr !== 0 ? saddr : src);
  const dev = fi.dev!;
  if (isZeronet(daddr) || inDevGet(dev) === null) return refuse(st, ERRNO.EINVAL);
  if (isMulticast(daddr) || isLbcast(daddr)) {
    // A route for groups has a gateway's say, one for everything has not.
    const gateway = isMulticast(daddr) && prefixLen(st, daddr, fi.oif) >= 4 ? nexthop(fi) : 0;
    return outputMany(st, dev, daddr, gateway, saddr !== 0 ? saddr : src !== 0 ? src : prefsrcOf(st, fi));
  }
  return outputNew(st, fi, daddr, saddr);
}

function outputNew(st: FibState, fi: FibInfo, daddr: number, saddr: number): RtDst | null {
  const dev = fi.dev!;
  const known = fi.out !== null && !fi.out.obsolete ? fi.out : null;
  const src = known !== null ? known.prefsrc : prefsrcOf(st, fi);
  if (!sourceFits(st, saddr !== 0 ? saddr : src, dev)) return null;
  if (fi.type === RTN_UNICAST && st.exceptions.size !== 0) {
    const exc = findException(st, fi, daddr);
    if (exc !== null) return exceptionOutput(st, exc, src);
  }
  if (known !== null) return known;
  const way = newOutput(st, fi.type, dev, nexthop(fi), src, fi.metrics);
  // Shared with all: only what suits a packet that has no source of its own.
  if (saddr === 0 || sourceFits(st, src, dev)) fi.out = way;
  return way;
}

/** To ourselves: over the loopback, from the address itself where the route names no other. */
function outputLocal(st: FibState, fi: FibInfo, daddr: number, src: number): RtDst | null {
  const lo = st.loopback;
  if (lo === null) return refuse(st, ERRNO.ENETUNREACH);
  if (isMulticast(daddr) || isLbcast(daddr)) {
    return outputMany(st, lo, daddr, 0, src !== 0 ? src : fi.prefsrc !== 0 ? fi.prefsrc : daddr);
  }
  if (fi.prefsrc === 0) return newOutput(st, RTN_LOCAL, lo, 0, daddr, fi.metrics);
  if (!fits(fi.out, RTN_LOCAL, lo, 0, fi.prefsrc)) fi.out = newOutput(st, RTN_LOCAL, lo, 0, fi.prefsrc, fi.metrics);
  return fi.out;
}

/** The source that a route gives. Linux: fib_result_prefsrc(), net/ipv4/fib_semantics.c. */
function prefsrcOf(st: FibState, fi: FibInfo): number {
  return fi.prefsrc !== 0 ? fi.prefsrc : st.devinet.selectAddr(fi.dev, fi.gw, fi.scope);
}

/** 127/8 does not leave the host, unless route_localnet is set. */
function sourceFits(st: FibState, src: number, dev: NetDevice): boolean {
  if (!isLoopback(src) || (dev.flags & IFF_LOOPBACK) !== 0) return true;
  const inDev = inDevGet(dev);
  if (inDev !== null && inDev.conf.routeLocalnet !== 0) return true;
  st.err = -ERRNO.EINVAL;
  return false;
}
