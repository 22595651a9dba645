/**
 * The way of received packets: is it ours, and may it come from there. Linux: ip_route_input_slow(), net/ipv4/route.c,
 * fib_validate_source(), net/ipv4/fib_frontend.c. RFC 1812 sections 5.3.7 and 5.3.8, RFC 3704.
 *
 * Theory of operation. First the addresses that no table can judge: a source that is nobody's, a destination that is
 * nobody's, 127/8 from outside. Then the tables say what the destination is. Last the source: it must not be our own,
 * and with rp_filter the way back must lead to the device that it came in by (strict) or exist at all (loose).
 */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { InDevice } from "../devinet/contract.ts";
import * as devinet from "../devinet/contract.ts";
import * as inetHeader from "../inet/header.ts";
import * as fib from "./contract.ts";
import type { RtDst } from "./dst.ts";
import * as exception from "./exception.ts";
import type { FibState } from "./state.ts";
import * as state from "./state.ts";
import type { FibInfo } from "./table.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, ERRNO, G_IP } = core;
const { inDevGet, RT_SCOPE_HOST } = devinet;
const { isLbcast, isLoopback, isMulticast, isZeronet } = inetHeader;
const { RTN_BLACKHOLE, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_PROHIBIT, RTN_UNICAST, RTN_UNREACHABLE } = fib;
const { exceptionForward, findException, nexthop } = exception;
const { fibLookup, fibLookupSlow, fits, newInput, waysOf } = state;

/** The source is fine. */
const SOURCE_OK = 0;
/** The source is fine and a host on the link of the device. */
const SOURCE_ONLINK = 1;

/**
 * Sets skb.dst and returns 0, or returns a drop reason. Linux: ip_route_input_noref(), net/ipv4/route.c.
 * Borrows `skb`.
 */
export function routeInput(
  st: FibState,
  skb: SkBuff,
  daddr: number,
  saddr: number,
  dev: NetDevice,
  cached: boolean,
): number {
  st.stats.lookups++;
  const port = dev.ifindex << 1 | 1;
  if (cached) {
    const hit = st.cache.find(daddr, saddr, port, st.gen.now);
    if (hit !== null && !hit.killed && !(hit.exception && ((st.machine.jiffies - hit.expires) | 0) > 0)) {
      st.stats.cacheHits++;
      skb.dst = hit;
      if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.input, skb, daddr, 0, dev);
      return 0;
    }
  }
  st.stats.slow++;
  const reason = isMulticast(daddr)
    ? routeInputMc(st, skb, daddr, saddr, dev)
    : routeInputSlow(st, skb, daddr, saddr, dev);
  // Membership of groups is no part of the generation.
  if (cached && reason === 0 && !isMulticast(daddr)) st.cache.put(daddr, saddr, port, st.gen.now, skb.dst as RtDst);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.input, skb, daddr, reason, dev);
  return reason;
}

/** To a group: joined here or not at all. Linux: ip_route_input_mc(), net/ipv4/route.c. Borrows `skb`. */
function routeInputMc(st: FibState, skb: SkBuff, daddr: number, saddr: number, dev: NetDevice): number {
  const inDev = inDevGet(dev);
  if (inDev === null) return DROP.DEV_READY;
  if (!inDev.mcList.has(daddr)) return DROP.IP_INVALID_DEST;
  if (isMulticast(saddr) || isLbcast(saddr)) return DROP.IP_INVALID_SOURCE;
  if (isLoopback(saddr) && inDev.conf.routeLocalnet === 0) return DROP.IP_LOCALNET;
  if (isZeronet(saddr)) {
    if (daddr >>> 8 !== 0xe00000) return DROP.IP_INVALID_SOURCE;
  } else {
    const source = checkSource(st, saddr, 0, dev, inDev);
    if (source < 0) return -source;
  }
  const ways = waysOf(st, dev);
  if (!fits(ways.inMulticast, RTN_MULTICAST, dev, 0, 0)) {
    ways.inMulticast = newInput(st, RTN_MULTICAST, dev, 0, false, false, null);
  }
  skb.dst = ways.inMulticast;
  return 0;
}

/** Linux: ip_route_input_slow(), net/ipv4/route.c. Borrows `skb`. */
function routeInputSlow(st: FibState, skb: SkBuff, daddr: number, saddr: number, dev: NetDevice): number {
  const inDev = inDevGet(dev);
  if (inDev === null) return DROP.DEV_READY;
  if (isMulticast(saddr) || isLbcast(saddr)) return DROP.IP_INVALID_SOURCE;
  if (isLbcast(daddr) || (saddr === 0 && daddr === 0)) return inputBroadcast(st, skb, saddr, dev, inDev);
  if (isZeronet(saddr)) return DROP.IP_INVALID_SOURCE;
  if (isZeronet(daddr)) return DROP.IP_INVALID_DEST;
  if ((isLoopback(daddr) || isLoopback(saddr)) && inDev.conf.routeLocalnet === 0) return DROP.IP_LOCALNET;
  const fi = fibLookup(st, daddr, 0);
  if (fi === null) return inputRefused(st, skb, dev, inDev);
  if (fi.type === RTN_LOCAL) return inputLocal(st, skb, fi, saddr, dev, inDev);
  if (fi.type === RTN_BROADCAST) {
    return inDev.conf.bcForwarding === 0
      ? inputBroadcast(st, skb, saddr, dev, inDev)
      : inputForward(st, skb, fi, daddr, saddr, dev, inDev);
  }
  if (inDev.conf.forwarding === 0) return DROP.IP_INADDRERRORS;
  if (fi.type !== RTN_UNICAST) return DROP.IP_INVALID_DEST;
  return inputForward(st, skb, fi, daddr, saddr, dev, inDev);
}

/** Borrows `skb`. */
function inputLocal(
  st: FibState,
  skb: SkBuff,
  fi: FibInfo,
  saddr: number,
  dev: NetDevice,
  inDev: InDevice,
): number {
  const source = checkSource(st, saddr, 0, dev, inDev);
  if (source < 0) return -source;
  const lo = st.loopback ?? fi.dev!;
  if (!fits(fi.input, RTN_LOCAL, lo, 0, 0)) fi.input = newInput(st, RTN_LOCAL, lo, 0, false, false, fi.metrics);
  skb.dst = fi.input;
  return 0;
}

/** To all on the link, or to the broadcast address of any of our subnets. Borrows `skb`. */
function inputBroadcast(st: FibState, skb: SkBuff, saddr: number, dev: NetDevice, inDev: InDevice): number {
  if (!isZeronet(saddr)) {
    const source = checkSource(st, saddr, 0, dev, inDev);
    if (source < 0) return -source;
  }
  const ways = waysOf(st, dev);
  if (!fits(ways.inBroadcast, RTN_BROADCAST, dev, 0, 0)) {
    ways.inBroadcast = newInput(st, RTN_BROADCAST, dev, 0, false, false, null);
  }
  skb.dst = ways.inBroadcast;
  return 0;
}

/** Nothing leads there, or a route refuses. A host that does not forward never says so. Borrows `skb`. */
function inputRefused(st: FibState, skb: SkBuff, dev: NetDevice, inDev: InDevice): number {
  if (inDev.conf.forwarding === 0) return DROP.IP_INADDRERRORS;
  const ways = waysOf(st, dev);
  switch (-st.err) {
    case ERRNO.EHOSTUNREACH:
      if (!fits(ways.unreachable, RTN_UNREACHABLE, dev, 0, 0)) ways.unreachable = refusal(st, RTN_UNREACHABLE, dev);
      skb.dst = ways.unreachable;
      return 0;
    case ERRNO.EACCES:
      if (!fits(ways.prohibit, RTN_PROHIBIT, dev, 0, 0)) ways.prohibit = refusal(st, RTN_PROHIBIT, dev);
      skb.dst = ways.prohibit;
      return 0;
    case ERRNO.EINVAL:
      if (!fits(ways.blackhole, RTN_BLACKHOLE, dev, 0, 0)) ways.blackhole = refusal(st, RTN_BLACKHOLE, dev);
      skb.dst = ways.blackhole;
      return 0;
    default:
      return DROP.IP_INNOROUTES;
  }
}

function refusal(st: FibState, type: number, dev: NetDevice): RtDst {
  return newInput(st, type, dev, 0, false, false, null);
}

/** On to others. Linux: __mkroute_input(), net/ipv4/route.c. Borrows `skb`. */
function inputForward(
  st: FibState,
  skb: SkBuff,
  fi: FibInfo,
  daddr: number,
  saddr: number,
  dev: NetDevice,
  inDev: InDevice,
): number {
  if (fi.dev === null || inDevGet(fi.dev) === null) return DROP.DEV_READY;
  const source = checkSource(st, saddr, fi.oif, dev, inDev);
  if (source < 0) return -source;
  const gateway = nexthop(fi);
  const doRedirect = fi.dev === dev && source === SOURCE_ONLINK && inDev.conf.sendRedirects !== 0 &&
    (inDev.conf.sharedMedia !== 0 || (gateway !== 0 && sameSubnet(inDev, saddr, gateway)));
  if (st.exceptions.size !== 0) {
    const exc = findException(st, fi, daddr);
    if (exc !== null) {
      skb.dst = exceptionForward(st, exc, doRedirect);
      return 0;
    }
  }
  skb.dst = doRedirect ? redirectWay(st, fi, gateway) : forwardWay(st, fi, gateway);
  return 0;
}

function forwardWay(st: FibState, fi: FibInfo, gateway: number): RtDst {
  if (fi.forward === null || fi.forward.obsolete) {
    fi.forward = newInput(st, RTN_UNICAST, fi.dev!, gateway, true, false, fi.metrics);
  }
  return fi.forward;
}

function redirectWay(st: FibState, fi: FibInfo, gateway: number): RtDst {
  if (fi.redirect === null || fi.redirect.obsolete) {
    fi.redirect = newInput(st, RTN_UNICAST, fi.dev!, gateway, true, true, fi.metrics);
  }
  return fi.redirect;
}

/** Whether both are on the subnet of one address of the device. Linux: inet_addr_onlink() with two addresses. */
function sameSubnet(inDev: InDevice, a: number, b: number): boolean {
  const list = inDev.ifaList;
  for (let i = 0; i < list.length; i++) {
    const ifa = list[i];
    if (((a ^ ifa.peer) & ifa.mask) === 0 && ((b ^ ifa.peer) & ifa.mask) === 0) return true;
  }
  return false;
}

/** See {@linkcode Fib.validateSource}. */
export function validateSource(st: FibState, saddr: number, dev: NetDevice): number {
  const inDev = inDevGet(dev);
  if (inDev === null) return DROP.DEV_READY;
  const source = checkSource(st, saddr, 0, dev, inDev);
  return source < 0 ? -source : 0;
}

/**
 * SOURCE_OK, SOURCE_ONLINK, or a negated drop reason. `oif`: the device that it will leave by, 0: none.
 * Linux: fib_validate_source(), net/ipv4/fib_frontend.c.
 *
 * Without rp_filter only our own addresses are refused, which is one look into the hash of addresses.
 */
function checkSource(
  st: FibState,
  saddr: number,
  oif: number,
  dev: NetDevice,
  inDev: InDevice,
): number {
  const conf = inDev.conf;
  let result = SOURCE_OK;
  if (conf.rpFilter === 0 && (oif !== dev.ifindex || conf.sendRedirects === 0)) {
    if (conf.acceptLocal !== 0) result = SOURCE_OK;
    else if (st.customLocal) result = checkReverse(st, saddr, dev, inDev);
    else if (st.devinet.isIfaddr(saddr)) result = -DROP.IP_LOCAL_SOURCE;
  } else result = checkReverse(st, saddr, dev, inDev);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.validate, null, saddr, result, dev);
  return result;
}

/** The way back. Linux: __fib_validate_source(), net/ipv4/fib_frontend.c. */
function checkReverse(st: FibState, saddr: number, dev: NetDevice, inDev: InDevice): number {
  const strictness = inDev.conf.rpFilter;
  const fi = fibLookup(st, saddr, 0);
  if (fi === null) return strictness !== 0 ? -DROP.IP_RPFILTER : SOURCE_OK;
  if (fi.type !== RTN_UNICAST) {
    if (fi.type !== RTN_LOCAL) return -DROP.IP_INVALID_SOURCE;
    if (inDev.conf.acceptLocal === 0) return -DROP.IP_LOCAL_SOURCE;
  }
  if (fi.dev === dev || (fi.type === RTN_LOCAL && dev === st.loopback)) {
    return fi.nhScope >= RT_SCOPE_HOST ? SOURCE_ONLINK : SOURCE_OK;
  }
  if (inDev.ifaList.length === 0) return strictness !== 0 ? -DROP.IP_RPFILTER : SOURCE_OK;
  if (strictness === 1) return -DROP.IP_RPFILTER;
  const back = fibLookupSlow(st, saddr, dev.ifindex, 0, false);
  return back !== null && back.type === RTN_UNICAST && back.nhScope >= RT_SCOPE_HOST ? SOURCE_ONLINK : SOURCE_OK;
}
