/**
 * Addresses of the devices of a net: adding, removing, choosing. Linux: net/ipv4/devinet.c.
 *
 * Theory of operation. A device's list has its primary addresses first, narrower scopes before wider ones, then the
 * secondaries: an address whose subnet has a primary already. Routes are not this file's business: fib listens to
 * the chain and makes and removes them.
 */
import { ERRNO, IFF_LOOPBACK, type Net, type NetDevice, NotifierChain } from "../../../core/mod.ts";
import { isLoopback, isZeronet, makeMask, needCidr, needIp } from "../inet/header.ts";
import {
  inDevGet,
  type InDevice,
  type InetaddrEvent,
  type InetconfEvent,
  type InIfaddr,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
} from "./contract.ts";
import { confAll, confCombine, confDefault, ConfValues, DevConf } from "./conf.ts";
import { AddrHash } from "./hash.ts";

/** An address of a device. Linux: struct in_ifaddr. */
export class Ifa implements InIfaddr {
  /** The device. */
  declare readonly dev: NetDevice;
  /** The address. */
  declare readonly local: number;
  /** The peer's, or the same. */
  declare readonly peer: number;
  /** Prefix length. */
  declare readonly prefix: number;
  /** Mask of the prefix. */
  declare readonly mask: number;
  /** Broadcast address, 0: none. */
  declare readonly broadcast: number;
  /** RT_SCOPE_*. */
  declare readonly scope: number;
  /** Not the first of its subnet. */
  secondary = false;
  /** Order of arrival in the net. */
  declare readonly seq: number;

  /** An address that is in no list yet. */
  constructor(
    dev: NetDevice,
    local: number,
    peer: number,
    prefix: number,
    broadcast: number,
    scope: number,
    seq: number,
  ) {
    this.dev = dev;
    this.local = local;
    this.peer = peer;
    this.prefix = prefix;
    this.mask = makeMask(prefix);
    this.broadcast = broadcast;
    this.scope = scope;
    this.seq = seq;
  }
}

/** IPv4's data about a device. */
export class InDev implements InDevice {
  /** The device. */
  declare readonly dev: NetDevice;
  /** Its addresses. Replaced at each change, never written. */
  ifaList: readonly Ifa[] = [];
  /** What the path reads. */
  readonly conf: DevConf = new DevConf();
  /** Joined groups and their users. */
  readonly mcList: Map<number, number> = new Map();
  /** What was set. */
  declare readonly values: ConfValues;

  /** A device with the settings of `default`. */
  constructor(dev: NetDevice, dflt: ConfValues) {
    this.dev = dev;
    this.values = new ConfValues(dflt.values);
  }
}

/** The state of devinet in a net; outlives a swap. */
export class DevinetState {
  /** The net. */
  declare readonly net: Net;
  /** Listeners to addresses. */
  readonly chain: NotifierChain<InetaddrEvent> = new NotifierChain<InetaddrEvent>();
  /** Listeners to settings. */
  readonly confChain: NotifierChain<InetconfEvent> = new NotifierChain<InetconfEvent>();
  /** Addresses by value. */
  declare readonly hash: AddrHash;
  /** Settings of `all`. */
  readonly all: ConfValues = confAll();
  /** Settings of `default`. */
  readonly dflt: ConfValues = confDefault();
  /** Addresses of loopback devices: all of their subnets are local. */
  loopback: readonly Ifa[] = [];
  /** Addresses made so far. */
  seq = 0;

  /** No device yet. */
  constructor(net: Net) {
    this.net = net;
    this.hash = new AddrHash(net.machine.platform.random());
  }
}

/** Ours of a device, or null. */
export function inDevOf(dev: NetDevice): InDev | null {
  return inDevGet(dev) as InDev | null;
}

/** Whether `addr` is in the subnet of `ifa`. Linux: inet_ifa_match(). */
export function ifaMatch(addr: number, ifa: InIfaddr): boolean {
  return ((addr ^ ifa.peer) & ifa.mask) === 0;
}

/** Begins a device. Linux: inetdev_init(). */
export function inetdevInit(st: DevinetState, dev: NetDevice): InDev {
  const inDev = new InDev(dev, st.dflt);
  confCombine(inDev.conf, inDev.values, st.all);
  dev.ipPtr = inDev;
  return inDev;
}

/** Ends a device: all its addresses go. Linux: inetdev_destroy(). */
export function inetdevDestroy(st: DevinetState, dev: NetDevice): void {
  const inDev = inDevOf(dev);
  if (inDev === null) return;
  inDev.mcList.clear();
  dev.mcast.clear();
  while (inDev.ifaList.length > 0) removeIfa(st, inDev, inDev.ifaList[0]);
  dev.ipPtr = null;
}

// ---- adding

/** What `ip addr add` can say. */
export interface AddressOptions {
  /** The other end, maybe with a prefix length. */
  peer?: string;
  /** Broadcast address, or `+`: the subnet's. */
  broadcast?: string;
  /** RT_SCOPE_*. Default host for 127/8, else global. */
  scope?: number;
}

/** See {@linkcode Devinet.addAddress}. Linux: inet_rtm_newaddr(). */
export function addAddress(st: DevinetState, dev: NetDevice, cidr: string, options: AddressOptions = {}): number {
  const own = needCidr(cidr, "address");
  const peer = options.peer === undefined ? own : needCidr(options.peer, "peer");
  const mask = makeMask(peer.prefix);
  let broadcast = 0;
  if (options.broadcast === "+") broadcast = peer.prefix < 31 ? peer.addr | ~mask : 0;
  else if (options.broadcast !== undefined) broadcast = needIp(options.broadcast, "broadcast");
  const scope = options.scope ?? (isLoopback(own.addr) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE);
  const inDev = inDevOf(dev);
  if (inDev === null || dev.net !== st.net) return -ERRNO.ENODEV;
  return insertIfa(st, inDev, new Ifa(dev, own.addr, peer.addr, peer.prefix, broadcast, scope, st.seq++));
}

/** Linux: __inet_insert_ifa(). Returns 0, -EEXIST or -EINVAL (a scope other than its subnet's). */
export function insertIfa(st: DevinetState, inDev: InDev, ifa: Ifa): number {
  if (isZeronet(ifa.local)) return 0;
  let at = 0;
  for (let i = 0; i < inDev.ifaList.length; i++) {
    const other = inDev.ifaList[i];
    if (!other.secondary && ifa.scope <= other.scope) at = i + 1;
    if (other.mask !== ifa.mask || !ifaMatch(ifa.peer, other)) continue;
    if (other.local === ifa.local) return -ERRNO.EEXIST;
    if (other.scope !== ifa.scope) return -ERRNO.EINVAL;
    ifa.secondary = true;
  }
  if (ifa.secondary) at = inDev.ifaList.length;
  inDev.ifaList = [...inDev.ifaList.slice(0, at), ifa, ...inDev.ifaList.slice(at)];
  st.hash.add(ifa);
  if ((ifa.dev.flags & IFF_LOOPBACK) !== 0) st.loopback = [...st.loopback, ifa];
  st.chain.call({ kind: "NETDEV_UP", ifa });
  return 0;
}

/** A loopback device that comes up without an address gets 127.0.0.1/8. */
export function loopbackUp(st: DevinetState, inDev: InDev): void {
  if ((inDev.dev.flags & IFF_LOOPBACK) === 0 || inDev.ifaList.length > 0) return;
  insertIfa(st, inDev, new Ifa(inDev.dev, 0x7f000001, 0x7f000001, 8, 0, RT_SCOPE_HOST, st.seq++));
}

// ---- removing

/** See {@linkcode Devinet.delAddress}. Linux: inet_rtm_deladdr(). */
export function delAddress(st: DevinetState, dev: NetDevice, cidr: string, peer?: string): number {
  const local = needCidr(cidr, "address");
  const end = peer === undefined ? local : needCidr(peer, "peer");
  const any = peer === undefined && !cidr.includes("/");
  const inDev = inDevOf(dev);
  const ifa = inDev?.ifaList.find((i) =>
    i.local === local.addr && (any || (i.prefix === end.prefix && ifaMatch(end.addr, i)))
  );
  if (inDev === null || ifa === undefined) return -ERRNO.EADDRNOTAVAIL;
  removeIfa(st, inDev, ifa);
  return 0;
}

function unlink(st: DevinetState, inDev: InDev, ifa: Ifa): void {
  inDev.ifaList = inDev.ifaList.filter((i) => i !== ifa);
  forget(st, ifa);
}

function forget(st: DevinetState, ifa: Ifa): void {
  st.hash.remove(ifa);
  st.loopback = st.loopback.filter((i) => i !== ifa);
}

/** Linux: __inet_del_ifa(). */
function removeIfa(st: DevinetState, inDev: InDev, ifa: Ifa): void {
  const secondaries = ifa.secondary
    ? []
    : inDev.ifaList.filter((i) => i.secondary && i.mask === ifa.mask && ifaMatch(i.peer, ifa));
  if (secondaries.length > 0 && inDev.conf.promoteSecondaries !== 0) return promote(st, inDev, ifa, secondaries);
  for (const s of secondaries) {
    unlink(st, inDev, s);
    st.chain.call({ kind: "NETDEV_DOWN", ifa: s });
  }
  unlink(st, inDev, ifa);
  st.chain.call({ kind: "NETDEV_DOWN", ifa });
}

/** The first secondary becomes primary; the routes of all of them are made anew with it as preferred source. */
function promote(st: DevinetState, inDev: InDev, ifa: Ifa, secondaries: readonly Ifa[]): void {
  for (const s of secondaries) st.chain.call({ kind: "NETDEV_DOWN", ifa: s });
  const first = secondaries[0];
  const at = lastPrimary(inDev.ifaList, ifa);
  const list = [...inDev.ifaList.slice(0, at), first, ...inDev.ifaList.slice(at).filter((i) => i !== first)];
  inDev.ifaList = list.filter((i) => i !== ifa);
  forget(st, ifa);
  st.chain.call({ kind: "NETDEV_DOWN", ifa });
  first.secondary = false;
  for (const s of secondaries) st.chain.call({ kind: "NETDEV_UP", ifa: s });
}

/** One past the last primary, from `ifa` on, whose scope is not narrower than that of `ifa`. */
function lastPrimary(list: readonly Ifa[], ifa: Ifa): number {
  let at = list.indexOf(ifa) + 1;
  for (let i = at; i < list.length; i++) if (!list[i].secondary && ifa.scope <= list[i].scope) at = i + 1;
  return at;
}

// ---- choosing

/**
 * Linux: inet_select_addr(), net/ipv4/devinet.c.
 *
 * The first primary address of `dev` in the subnet of `dst`, else its first, else the first of another device: always
 * one whose scope is at least as wide as `scope`.
 */
export function selectAddr(st: DevinetState, dev: NetDevice | null, dst: number, scope: number): number {
  const inDev = dev === null ? null : inDevOf(dev);
  if (inDev !== null) {
    const narrowest = inDev.conf.routeLocalnet !== 0 ? RT_SCOPE_LINK : RT_SCOPE_HOST;
    let first = 0;
    const list = inDev.ifaList;
    for (let i = 0; i < list.length; i++) {
      const ifa = list[i];
      if (ifa.secondary || Math.min(ifa.scope, narrowest) > scope) continue;
      if (dst === 0 || ifaMatch(dst, ifa)) return ifa.local;
      if (first === 0) first = ifa.local;
    }
    if (first !== 0) return first;
  }
  const devs = st.net.devByIndex;
  for (let i = 1; i < devs.length; i++) {
    const other = devs[i];
    if (other === null) continue;
    const addr = firstOf(other, scope);
    if (addr !== 0) return addr;
  }
  return 0;
}

/** Linux: in_dev_select_addr(). Addresses that count on their link only are no source for another link. */
function firstOf(dev: NetDevice, scope: number): number {
  const inDev = inDevOf(dev);
  if (inDev === null) return 0;
  const list = inDev.ifaList;
  for (let i = 0; i < list.length; i++) {
    const ifa = list[i];
    if (!ifa.secondary && ifa.scope !== RT_SCOPE_LINK && ifa.scope <= scope) return ifa.local;
  }
  return 0;
}

/**
 * Linux: __ip_dev_find(), net/ipv4/devinet.c.
 *
 * All of a loopback device's subnets are local, as its routes say; other local routes made by hand are not seen here.
 */
export function devByAddr(st: DevinetState, addr: number): NetDevice | null {
  const ifa = st.hash.find(addr);
  if (ifa !== null) return ifa.dev;
  const lo = st.loopback;
  for (let i = 0; i < lo.length; i++) if (ifaMatch(addr, lo[i])) return lo[i].dev;
  return null;
}

/** Linux: inet_addr_onlink(), net/ipv4/devinet.c. */
export function onlink(dev: NetDevice, addr: number): boolean {
  const inDev = inDevOf(dev);
  if (inDev === null) return false;
  const list = inDev.ifaList;
  for (let i = 0; i < list.length; i++) if (ifaMatch(addr, list[i])) return true;
  return false;
}
