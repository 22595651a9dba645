/**
 * What single destinations learnt: a path MTU, a better gateway. Linux: struct fib_nh_exception, net/ipv4/route.c.
 *
 * At most 8,192 in a net, the oldest goes: whoever fills it sees only what was forgotten, not which places met.
 */
import type { NetDevice } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as devinet from "../devinet/contract.ts";
import * as inetHeader from "../inet/header.ts";
import * as neigh from "../neigh/contract.ts";
import * as fib from "./contract.ts";
import type { RtDst } from "./dst.ts";
import type { FibState } from "./state.ts";
import * as state from "./state.ts";
import type { FibInfo } from "./table.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { addrType, fibLookup, newInput, newOutput } = state;
const { G_IP } = core;
const { inDevGet, RT_SCOPE_LINK } = devinet;
const { isLbcast, isMulticast, isZeronet } = inetHeader;
const { NUD_VALID } = neigh;
const { RTAX_MTU, RTN_UNICAST } = fib;

const MAX_EXCEPTIONS = 8192;
const IP_MAX_MTU = 0xffff;

/** What one destination learnt about one next hop. */
export class FibException {
  /** The destination. */
  declare readonly daddr: number;
  /** The route that it deviates from. */
  declare readonly fi: FibInfo;
  /** The better gateway, 0: the route's. */
  gateway = 0;
  /** The path MTU, 0: none. */
  pmtu = 0;
  /** The path MTU told was below min_pmtu. */
  locked = false;
  /** Jiffy at which all of it is forgotten. */
  expires = 0;
  /** Our own packets. */
  out: RtDst | null = null;
  /** Forwarded packets. */
  forward: RtDst | null = null;

  /** Nothing learnt yet. */
  constructor(daddr: number, fi: FibInfo) {
    this.daddr = daddr;
    this.fi = fi;
  }
}

/** The gateway of a route, 0: the destination itself. */
export function nexthop(fi: FibInfo): number {
  return fi.nhScope === RT_SCOPE_LINK ? fi.gw : 0;
}

/** What `daddr` learnt about the route, if it is still valid. Linux: find_exception(), net/ipv4/route.c. */
export function findException(st: FibState, fi: FibInfo, daddr: number): FibException | null {
  const exc = st.exceptions.get(daddr);
  if (exc === undefined) return null;
  if (((st.machine.jiffies - exc.expires) | 0) > 0) {
    forget(st, exc);
    return null;
  }
  return exc.fi === fi ? exc : null;
}

function forget(st: FibState, exc: FibException): void {
  if (exc.out !== null) exc.out.killed = true;
  if (exc.forward !== null) exc.forward.killed = true;
  st.exceptions.delete(exc.daddr);
}

/** Forgets all but what `keep` says. */
export function forgetExceptions(st: FibState, keep: (exc: FibException) => boolean): void {
  for (const exc of [...st.exceptions.values()]) if (!keep(exc)) forget(st, exc);
}

/** Linux: update_or_create_fnhe(), net/ipv4/route.c. */
function learn(st: FibState, fi: FibInfo, daddr: number): FibException {
  const known = st.exceptions.get(daddr);
  if (known !== undefined && known.fi === fi) return known;
  if (known !== undefined) forget(st, known);
  for (const oldest of st.exceptions.values()) {
    if (st.exceptions.size < MAX_EXCEPTIONS) break;
    forget(st, oldest);
  }
  const exc = new FibException(daddr, fi);
  st.exceptions.set(daddr, exc);
  // Whoever holds the shared way asks again, and finds this.
  st.infos.kill(fi);
  return exc;
}

/** The route says that its MTU is not to be learnt. Linux: dst_metric_locked(dst, RTAX_MTU). */
function mtuLocked(fi: FibInfo): boolean {
  return fi.metrics !== null && (fi.metrics.lock & 1 << RTAX_MTU) !== 0;
}

function apply(dst: RtDst | null, exc: FibException): void {
  if (dst === null) return;
  dst.exception = true;
  dst.pmtu = exc.pmtu;
  dst.pmtuLocked = exc.locked || mtuLocked(exc.fi);
  dst.pmtuExpires = dst.expires = exc.expires;
}

/** The way of our own packets to a destination that learnt something. */
export function exceptionOutput(st: FibState, exc: FibException, prefsrc: number): RtDst {
  if (exc.out !== null && !exc.out.obsolete) return exc.out;
  const { fi } = exc;
  exc.out = newOutput(st, RTN_UNICAST, fi.dev!, exc.gateway !== 0 ? exc.gateway : nexthop(fi), prefsrc, fi.metrics);
  apply(exc.out, exc);
  return exc.out;
}

/** The way of forwarded packets to a destination that learnt something. */
export function exceptionForward(st: FibState, exc: FibException, doRedirect: boolean): RtDst {
  if (exc.forward !== null && !exc.forward.obsolete && exc.forward.doRedirect === doRedirect) return exc.forward;
  const { fi } = exc;
  const gateway = exc.gateway !== 0 ? exc.gateway : nexthop(fi);
  exc.forward = newInput(st, RTN_UNICAST, fi.dev!, gateway, true, doRedirect, fi.metrics);
  apply(exc.forward, exc);
  return exc.forward;
}

/** The MTU of a path: learnt, given, or the device's. Linux: ipv4_mtu(), net/ipv4/route.c. */
export function mtuOf(st: FibState, dst: RtDst): number {
  let mtu = dst.pmtu;
  if (mtu === 0 || ((st.machine.jiffies - dst.pmtuExpires) | 0) >= 0) mtu = dst.mtu !== 0 ? dst.mtu : dst.dev.mtu;
  return mtu < IP_MAX_MTU ? mtu : IP_MAX_MTU;
}

/**
 * Linux: __ip_rt_update_pmtu(), net/ipv4/route.c. RFC 1191 section 6.3, RFC 4821.
 *
 * Only lower news are news. Below min_pmtu the path is taken to have min_pmtu, and packets go without DF.
 */
export function updatePmtu(st: FibState, daddr: number, mtu: number): void {
  const fi = fibLookup(st, daddr, 0);
  if (fi === null || fi.type !== RTN_UNICAST || mtuLocked(fi)) return;
  const known = findException(st, fi, daddr);
  const old = known !== null && known.pmtu !== 0
    ? known.pmtu
    : Math.min(fi.metrics !== null && fi.metrics.mtu !== 0 ? fi.metrics.mtu : fi.dev!.mtu, IP_MAX_MTU);
  if (mtu < 0 || old < mtu) return;
  const locked = mtu < st.minPmtu;
  if (locked) mtu = Math.min(old, st.minPmtu);
  const now = st.machine.jiffies;
  // Told again: the time is prolonged only in its second half.
  if (known !== null && known.pmtu === mtu && !locked && ((known.expires - now) | 0) > st.mtuExpires / 2) return;
  const exc = known ?? learn(st, fi, daddr);
  exc.pmtu = mtu;
  exc.locked = locked;
  exc.expires = (now + st.mtuExpires) | 0;
  apply(exc.out, exc);
  apply(exc.forward, exc);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.pmtu, null, daddr, mtu, null);
}

/** A device's MTU changed: nothing learnt is larger. Linux: fib_sync_mtu(), net/ipv4/fib_semantics.c. */
export function syncMtu(st: FibState, dev: NetDevice): void {
  for (const exc of st.exceptions.values()) {
    if (exc.fi.dev === dev && exc.pmtu > dev.mtu) exc.pmtu = dev.mtu;
  }
}

/**
 * Linux: __ip_do_redirect(), net/ipv4/route.c. RFC 1122 section 3.2.2.2.
 *
 * Believed from the next hop in use alone, to a neighbour that is no address of ours; one that is not known yet is
 * asked for, and the next redirect counts. A host on the link is its own next hop only once something was learnt about
 * it (observed: without that, Linux does not let it redirect its own traffic).
 */
export function redirect(st: FibState, daddr: number, from: number, gateway: number, dev: NetDevice): void {
  const inDev = inDevGet(dev);
  const fi = fibLookup(st, daddr, 0);
  if (inDev === null || fi === null || fi.type !== RTN_UNICAST || fi.dev !== dev) return;
  const known = findException(st, fi, daddr);
  const current = known === null ? nexthop(fi) : known.gateway || nexthop(fi) || daddr;
  if (current === 0 || current !== from || gateway === from) return;
  if (inDev.conf.acceptRedirects === 0) return;
  if (isMulticast(gateway) || isLbcast(gateway) || isZeronet(gateway)) return;
  if (inDev.conf.sharedMedia === 0) {
    if (!st.devinet.onlink(dev, gateway)) return;
    if (inDev.conf.secureRedirects !== 0 && !isDefaultGateway(st, gateway, dev)) return;
  } else if (addrType(st, gateway) !== RTN_UNICAST) return;
  const neigh = st.neigh?.lookup(dev, gateway) ?? st.neigh?.create(dev, gateway) ?? null;
  if (neigh === null) return;
  if ((neigh.nudState & NUD_VALID) === 0) {
    st.neigh?.probe?.(neigh);
    return;
  }
  const exc = known ?? learn(st, fi, daddr);
  exc.gateway = gateway;
  exc.expires = (st.machine.jiffies + st.redirectTimeout) | 0;
  if (exc.out !== null) exc.out.killed = true;
  if (exc.forward !== null) exc.forward.killed = true;
}

/** Whether a route uses this gateway already. Linux: ip_fib_check_default(), net/ipv4/fib_semantics.c. */
function isDefaultGateway(st: FibState, gateway: number, dev: NetDevice): boolean {
  return st.infos.list.some((fi) => fi !== null && fi.dev === dev && fi.gw === gateway && !fi.dead);
}
