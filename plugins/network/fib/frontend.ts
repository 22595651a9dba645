/**
 * Routes that come and go by themselves: with addresses and with devices. Linux: net/ipv4/fib_frontend.c.
 *
 * Theory of operation. An address asks for a set of routes ({@linkcode routesOf}). One that is added inserts them; one
 * that is removed deletes those for which no other address of its device asks.
 */
import { IFF_LOOPBACK, IFF_UP, type NetdevEvent, type NetDevice } from "../../../core/mod.ts";
import {
  inDevGet,
  type InDevice,
  type InetaddrEvent,
  type InIfaddr,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
} from "../devinet/contract.ts";
import { isLbcast, isZeronet } from "../inet/header.ts";
import { RTN_BROADCAST, RTN_LOCAL, RTN_UNICAST } from "./contract.ts";
import { forgetExceptions, syncMtu } from "./exception.ts";
import { fibDelete, fibInsert, fibRemove } from "./semantics.ts";
import { addrType, type FibState, findLoopback, rtCacheFlush } from "./state.ts";
import { type FibInfo, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTPROT_KERNEL } from "./table.ts";

/** A route for which an address asks. */
interface Wanted {
  readonly type: number;
  readonly prefix: number;
  readonly len: number;
  readonly prefsrc: number;
}

function sameRoute(a: Wanted, b: Wanted): boolean {
  return a.type === b.type && a.prefix === b.prefix && a.len === b.len && a.prefsrc === b.prefsrc;
}

/** The primary address of a subnet. Linux: inet_ifa_byprefix(). */
function primaryOf(inDev: InDevice, ifa: InIfaddr): InIfaddr | null {
  if (!ifa.secondary) return ifa;
  return inDev.ifaList.find((i) => !i.secondary && i.mask === ifa.mask && ((ifa.peer ^ i.peer) & i.mask) === 0) ?? null;
}

/**
 * The routes of an address: itself, its broadcast addresses, its subnet. Of a device that is down, only itself.
 * Linux: fib_add_ifaddr(), net/ipv4/fib_frontend.c.
 *
 * The net address itself (10.0.0.0) is a host like others since Linux 5.14, no broadcast.
 */
function routesOf(inDev: InDevice, ifa: InIfaddr, up: boolean): Wanted[] {
  const primary = primaryOf(inDev, ifa);
  if (primary === null) return [];
  const prefsrc = primary.local;
  const out: Wanted[] = [{ type: RTN_LOCAL, prefix: ifa.local, len: 32, prefsrc }];
  if (!up) return out;
  const host = (prefix: number): Wanted => ({ type: RTN_BROADCAST, prefix, len: 32, prefsrc });
  if (ifa.broadcast !== 0 && !isLbcast(ifa.broadcast)) out.push(host(ifa.broadcast));
  const subnet = ifa.peer & ifa.mask;
  if (isZeronet(subnet) || ifa.secondary || (ifa.prefix === 32 && subnet === ifa.local)) return out;
  const type = (ifa.dev.flags & IFF_LOOPBACK) !== 0 ? RTN_LOCAL : RTN_UNICAST;
  out.push({ type, prefix: subnet, len: ifa.prefix, prefsrc });
  if (ifa.prefix < 31) out.push(host(subnet | ~ifa.mask));
  return out;
}

function insert(st: FibState, dev: NetDevice, r: Wanted): void {
  fibInsert(st, {
    prefix: r.prefix,
    len: r.len,
    table: r.type === RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
    type: r.type,
    scope: r.type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK,
    protocol: RTPROT_KERNEL,
    prefsrc: r.prefsrc,
    priority: 0,
    metrics: null,
    gw: 0,
    onlink: false,
    dev,
  }, true);
}

function remove(st: FibState, dev: NetDevice, r: Wanted): void {
  fibDelete(st, {
    prefix: r.prefix,
    len: r.len,
    table: r.type === RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
    type: r.type,
    scope: r.type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK,
    protocol: RTPROT_KERNEL,
    prefsrc: r.prefsrc,
    priority: 0,
    gw: 0,
    dev,
    metrics: null,
  });
}

/** Linux: fib_add_ifaddr(). */
export function addIfaddr(st: FibState, ifa: InIfaddr): void {
  const inDev = inDevGet(ifa.dev);
  if (inDev === null) return;
  for (const r of routesOf(inDev, ifa, (ifa.dev.flags & IFF_UP) !== 0)) insert(st, ifa.dev, r);
}

/** Linux: fib_del_ifaddr(). */
function delIfaddr(st: FibState, ifa: InIfaddr): void {
  const inDev = inDevGet(ifa.dev);
  if (inDev === null) return;
  const others = inDev.ifaList.filter((i) => i !== ifa);
  const wanted = others.flatMap((i) => routesOf(inDev, i, true));
  for (const r of routesOf(inDev, ifa, true)) {
    if (!wanted.some((w) => sameRoute(w, r))) remove(st, ifa.dev, r);
  }
  const gone = others.length === inDev.ifaList.length;
  if (gone && addrType(st, ifa.local) !== RTN_LOCAL) syncDownAddr(st, ifa.local);
}

/** Routes that prefer an address which is no longer ours go. Linux: fib_sync_down_addr(). */
function syncDownAddr(st: FibState, local: number): void {
  flush(st, (fi) => fi.prefsrc === local && fi.table === RT_TABLE_MAIN);
}

/** Removes the routes that use what `dead` says. Linux: fib_flush(). */
function flush(st: FibState, dead: (fi: FibInfo) => boolean): void {
  let any = false;
  for (const fi of st.infos.list) {
    if (fi === null || fi.dead || !dead(fi)) continue;
    fi.dead = any = true;
  }
  rtCacheFlush(st);
  if (!any) return;
  for (const table of new Set(st.tables.values())) {
    for (const alias of table.all()) if (alias.fi.dead) fibRemove(st, alias);
  }
  forgetExceptions(st, (exc) => !exc.fi.dead);
}

/**
 * All routes over a device go; those that say that an address is ours stay, unless `force`.
 * Linux: fib_disable_ip(), fib_sync_down_dev().
 */
function disableIp(st: FibState, dev: NetDevice, force: boolean): void {
  flush(st, (fi) => fi.dev === dev && (force || fi.nhScope !== RT_SCOPE_NOWHERE));
}

/** Which routes have no carrier, and whether that matters. Linux: fib_sync_up(), fib_sync_down_dev(). */
export function syncLinks(st: FibState, dev: NetDevice | null): void {
  for (const fi of st.infos.list) {
    if (fi === null || fi.dev === null || (dev !== null && fi.dev !== dev)) continue;
    fi.setLink(inDevGet(fi.dev)?.conf.ignoreRoutesWithLinkdown === 1);
  }
  rtCacheFlush(st);
}

/** Linux: fib_inetaddr_event(), net/ipv4/fib_frontend.c. */
export function inetaddrEvent(st: FibState, { kind, ifa }: InetaddrEvent): void {
  if (kind === "NETDEV_UP") addIfaddr(st, ifa);
  else {
    delIfaddr(st, ifa);
    const inDev = inDevGet(ifa.dev);
    // The last address takes IP with it.
    if (inDev === null || inDev.ifaList.length === 0) disableIp(st, ifa.dev, true);
  }
  rtCacheFlush(st);
}

/** Linux: fib_netdev_event(), net/ipv4/fib_frontend.c. */
export function netdevEvent(st: FibState, { kind, dev }: NetdevEvent): void {
  switch (kind) {
    case "NETDEV_REGISTER":
      findLoopback(st);
      rtCacheFlush(st);
      break;
    case "NETDEV_UP":
      for (const ifa of inDevGet(dev)?.ifaList ?? []) addIfaddr(st, ifa);
      syncLinks(st, dev);
      break;
    case "NETDEV_DOWN":
      disableIp(st, dev, false);
      break;
    case "NETDEV_UNREGISTER":
      disableIp(st, dev, true);
      delete st.ways[dev.ifindex];
      if (dev === st.loopback) st.loopback = null;
      rtCacheFlush(st);
      break;
    case "NETDEV_CHANGE":
      syncLinks(st, dev);
      break;
    case "NETDEV_CHANGEMTU":
      syncMtu(st, dev);
      rtCacheFlush(st);
      break;
    default:
      break;
  }
}
