/**
 * Routes by hand: what `ip route` accepts. Linux: fib_create_info(), fib_check_nh(), net/ipv4/fib_semantics.c,
 * fib_table_insert(), fib_table_delete(), net/ipv4/fib_trie.c; defaults as iproute2's.
 */
import { ERRNO, IFF_UP, type NetDevice } from "../../../core/mod.ts";
import { inDevGet, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_NOWHERE, RT_SCOPE_UNIVERSE } from "../devinet/contract.ts";
import { ipToString, makeMask, needCidr, needIp } from "../inet/header.ts";
import {
  type DstMetrics,
  type Route,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_PROHIBIT,
  RTN_THROW,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from "./contract.ts";
import { checkMetrics, metricsMatch, metricsOf, showMetrics } from "./metrics.ts";
import { addrType, fibLookupSlow, type FibState, fibTable, rtCacheFlush } from "./state.ts";
import {
  FibAlias,
  type FibInfo,
  type FibKey,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTPROT_BOOT,
  RTPROT_KERNEL,
  RTPROT_STATIC,
  typeError,
} from "./table.ts";

const TYPES = {
  unicast: RTN_UNICAST,
  local: RTN_LOCAL,
  broadcast: RTN_BROADCAST,
  blackhole: RTN_BLACKHOLE,
  unreachable: RTN_UNREACHABLE,
  prohibit: RTN_PROHIBIT,
  throw: RTN_THROW,
} as const;
const SCOPES = { global: RT_SCOPE_UNIVERSE, link: RT_SCOPE_LINK, host: RT_SCOPE_HOST } as const;
const PROTOCOLS = { kernel: RTPROT_KERNEL, boot: RTPROT_BOOT, static: RTPROT_STATIC } as const;

/** A route as numbers: what netlink would carry. Linux: struct fib_config. */
export interface FibConfig {
  /** The prefix. */
  prefix: number;
  /** Its length. */
  len: number;
  /** Table. */
  table: number;
  /** RTN_*. */
  type: number;
  /** RT_SCOPE_*. */
  scope: number;
  /** RTPROT_*. */
  protocol: number;
  /** Preferred source, 0: none. */
  prefsrc: number;
  /** Metric. */
  priority: number;
  /** What it says about its paths; null: nothing. */
  metrics: DstMetrics | null;
  /** Gateway, 0: none. */
  gw: number;
  /** The gateway needs no address on its link. */
  onlink: boolean;
  /** The device, null: none. */
  dev: NetDevice | null;
}

/** Numbers from a route; malformed addresses are a TypeError, an unknown device -ENODEV. Linux: iproute_modify(). */
export function fibConfig(st: FibState, route: Route): FibConfig | number {
  checkNames(route);
  const to = route.to === "default" ? { addr: 0, prefix: 0 } : needCidr(route.to, "route");
  const dev = route.dev === undefined ? null : st.net.device(route.dev) ?? null;
  if (route.dev !== undefined && dev === null) return -ERRNO.ENODEV;
  const type = TYPES[route.type ?? "unicast"];
  const ours = type === RTN_LOCAL || type === RTN_BROADCAST;
  const linked = type === RTN_BROADCAST || (type === RTN_UNICAST && route.via === undefined);
  const usual = type === RTN_LOCAL ? RT_SCOPE_HOST : linked ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return {
    prefix: to.addr,
    len: to.prefix,
    table: route.table ?? (ours ? RT_TABLE_LOCAL : RT_TABLE_MAIN),
    type,
    scope: route.scope === undefined ? usual : SCOPES[route.scope],
    protocol: PROTOCOLS[route.protocol ?? "boot"],
    prefsrc: route.src === undefined ? 0 : needIp(route.src, "src"),
    priority: route.metric ?? 0,
    metrics: metricsOf(route),
    gw: route.via === undefined ? 0 : needIp(route.via, "via"),
    onlink: route.onlink ?? false,
    dev,
  };
}

/** JavaScript gets no types: an unknown name is a TypeError, a number that is none a RangeError. */
function checkNames(route: Route): void {
  const { to, type = "unicast", scope = "link", protocol = "boot", metric = 0, table = RT_TABLE_MAIN } = route;
  for (
    const [what, name, known] of [["type", type, TYPES], ["scope", scope, SCOPES], ["protocol", protocol, PROTOCOLS]]
  ) {
    if (Object.hasOwn(known as object, name as string)) continue;
    const names = Object.keys(known as object).join(", ");
    throw new TypeError(`Cannot use route ${to}: no ${what as string} "${name as string}"; there are ${names}`);
  }
  for (
    const [what, value, max] of [["metric", metric, 2 ** 32 - 1], ["table", table, 2 ** 32 - 1]]
  ) {
    if (Number.isInteger(value) && (value as number) >= 0 && value <= max) continue;
    throw new RangeError(`Cannot use route ${to}: ${what} ${value}, it takes a whole number from 0 to ${max}`);
  }
  checkMetrics(route);
}

/** What a route needs to say, or a negative errno. Linux: fib_create_info(), net/ipv4/fib_semantics.c. */
function fibCreateInfo(st: FibState, cfg: FibConfig): FibInfo | number {
  if (cfg.scope > RT_SCOPE_HOST || cfg.scope < narrowest(cfg.type)) return -ERRNO.EINVAL;
  const key: FibKey = { ...cfg, nhScope: RT_SCOPE_NOWHERE };
  if (typeError(cfg.type) !== 0) {
    if (cfg.gw !== 0 || cfg.dev !== null) return -ERRNO.EINVAL;
  } else {
    const err = cfg.scope === RT_SCOPE_HOST ? checkHost(key) : cfg.gw !== 0 ? checkGateway(st, key) : checkDevice(key);
    if (err < 0) return err;
  }
  if (cfg.prefsrc !== 0 && !validPrefsrc(st, cfg)) return -ERRNO.EINVAL;
  const congctl = cfg.metrics?.congctl ?? "";
  if (congctl !== "" && st.congestion?.(congctl) !== true) return -ERRNO.EINVAL;
  const fi = st.infos.intern(key);
  fi.setLink(fi.dev !== null && inDevGet(fi.dev)?.conf.ignoreRoutesWithLinkdown === 1);
  return fi;
}

/** The widest scope that a type can have. */
function narrowest(type: number): number {
  return type === RTN_LOCAL ? RT_SCOPE_HOST : type === RTN_BROADCAST ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

/** An address of this host: it has a device, up or not, and no gateway. */
function checkHost(key: FibKey): number {
  if (key.gw !== 0) return -ERRNO.EINVAL;
  return key.dev === null ? -ERRNO.ENODEV : 0;
}

/** On the link. Linux: fib_check_nh_nongw(). */
function checkDevice(key: FibKey): number {
  if (key.onlink) return -ERRNO.EINVAL;
  if (key.dev === null || inDevGet(key.dev) === null) return -ERRNO.ENODEV;
  if ((key.dev.flags & IFF_UP) === 0) return -ERRNO.ENETDOWN;
  key.nhScope = RT_SCOPE_HOST;
  return 0;
}

/** A gateway must be reached over a narrower route, or be declared to be on the link. Linux: fib_check_nh_v4_gw(). */
function checkGateway(st: FibState, key: FibKey): number {
  if (key.onlink) {
    if (key.scope >= RT_SCOPE_LINK) return -ERRNO.EINVAL;
    if (key.dev === null) return -ERRNO.ENODEV;
    if ((key.dev.flags & IFF_UP) === 0) return -ERRNO.ENETDOWN;
    if (addrType(st, key.gw) !== RTN_UNICAST) return -ERRNO.EINVAL;
    key.nhScope = RT_SCOPE_LINK;
    return 0;
  }
  const scope = Math.max(key.scope + 1, RT_SCOPE_LINK);
  const oif = key.dev === null ? 0 : key.dev.ifindex;
  const own = st.tables.get(key.table);
  const near = own !== undefined && own !== st.main ? own.walk(key.gw, oif, scope, false)?.fi : undefined;
  const fi = near !== undefined && near.error === 0 ? near : fibLookupSlow(st, key.gw, oif, scope, false);
  if (fi === null) return st.err;
  if (fi.type !== RTN_UNICAST && fi.type !== RTN_LOCAL) return -ERRNO.EINVAL;
  key.nhScope = fi.scope;
  key.dev = fi.dev;
  return (fi.dev!.flags & IFF_UP) !== 0 ? 0 : -ERRNO.ENETDOWN;
}

/** A preferred source is an address of ours. Linux: fib_valid_prefsrc(). */
function validPrefsrc(st: FibState, cfg: FibConfig): boolean {
  if (cfg.type === RTN_LOCAL && cfg.prefix === cfg.prefsrc) return true;
  return addrType(st, cfg.prefsrc) === RTN_LOCAL;
}

/**
 * Adds a route. `append`: next to others of the same prefix and metric (what the kernel does itself), else -EEXIST.
 * Returns 0 or a negative errno. Linux: fib_table_insert(), net/ipv4/fib_trie.c.
 */
export function fibInsert(st: FibState, cfg: FibConfig, append: boolean): number {
  if ((cfg.prefix & ~makeMask(cfg.len)) !== 0) return -ERRNO.EINVAL;
  const fi = fibCreateInfo(st, cfg);
  if (typeof fi === "number") return fi;
  const table = fibTable(st, cfg.table);
  for (let a = table.head(cfg.prefix, cfg.len); a !== null; a = a.next) {
    if (a.table !== cfg.table || a.fi.priority !== cfg.priority) continue;
    if (append && a.fi !== fi) continue;
    if (fi.refs === 0) drop(st, fi);
    return -ERRNO.EEXIST;
  }
  table.insert(new FibAlias(cfg.prefix, cfg.len, cfg.table, fi));
  rtCacheFlush(st);
  return 0;
}

/** A FibInfo that nobody came to use. */
function drop(st: FibState, fi: FibInfo): void {
  fi.refs = 1;
  st.infos.put(fi);
}

/** Takes a route out of its table. */
export function fibRemove(st: FibState, alias: FibAlias): void {
  st.tables.get(alias.table)!.remove(alias);
  st.infos.put(alias.fi);
  rtCacheFlush(st);
}

/** What a deletion asks for; what it leaves out matches all. */
export interface FibMatch {
  /** The prefix. */
  prefix: number;
  /** Its length. */
  len: number;
  /** Table. */
  table: number;
  /** RTN_*, 0: any. */
  type: number;
  /** RT_SCOPE_*; NOWHERE: any. */
  scope: number;
  /** RTPROT_*, 0: any. */
  protocol: number;
  /** Preferred source, 0: any. */
  prefsrc: number;
  /** Metric, 0: any. */
  priority: number;
  /** Gateway, 0: any. */
  gw: number;
  /** The device, null: any. */
  dev: NetDevice | null;
  /** Metrics; null: any. Linux: fib_metrics_match(). */
  metrics: DstMetrics | null;
}

/** Removes the first route that matches; 0 or -ESRCH. Linux: fib_table_delete(), net/ipv4/fib_trie.c. */
export function fibDelete(st: FibState, m: FibMatch): number {
  const table = st.tables.get(m.table);
  for (let a = table?.head(m.prefix, m.len) ?? null; a !== null; a = a.next) {
    const fi = a.fi;
    if (a.table !== m.table || (m.type !== 0 && fi.type !== m.type)) continue;
    if (m.scope !== RT_SCOPE_NOWHERE && fi.scope !== m.scope) continue;
    if ((m.protocol !== 0 && fi.protocol !== m.protocol) || (m.prefsrc !== 0 && fi.prefsrc !== m.prefsrc)) continue;
    if (m.priority !== 0 && fi.priority !== m.priority) continue;
    if ((m.gw !== 0 && fi.gw !== m.gw) || (m.dev !== null && fi.dev !== m.dev)) continue;
    if (m.metrics !== null && !metricsMatch(m.metrics, fi.metrics)) continue;
    fibRemove(st, a);
    return 0;
  }
  return -ERRNO.ESRCH;
}

/** What `ip route del` of a route asks for, or -ENODEV. */
export function fibMatch(st: FibState, route: Route): FibMatch | number {
  const cfg = fibConfig(st, route);
  if (typeof cfg === "number") return cfg;
  return {
    ...cfg,
    type: route.type === undefined ? 0 : cfg.type,
    scope: route.scope === undefined ? RT_SCOPE_NOWHERE : cfg.scope,
    protocol: route.protocol === undefined ? 0 : cfg.protocol,
  };
}

// ---- showing

function nameOf<K extends string>(table: Readonly<Record<K, number>>, value: number): K | undefined {
  return (Object.keys(table) as K[]).find((name) => table[name] === value);
}

/** A route as `ip route` shows it: what is usual is left out. */
export function showRoute(alias: FibAlias): Route {
  const { fi } = alias;
  const route: Route = { to: alias.len === 0 ? "default" : prefixText(alias) };
  if (fi.type !== RTN_UNICAST) route.type = nameOf(TYPES, fi.type)!;
  if (fi.gw !== 0) route.via = ipToString(fi.gw);
  if (fi.dev !== null) route.dev = fi.dev.name;
  if (alias.table !== RT_TABLE_MAIN) route.table = alias.table;
  const protocol = nameOf(PROTOCOLS, fi.protocol);
  if (protocol !== undefined && protocol !== "boot") route.protocol = protocol;
  if (fi.scope !== RT_SCOPE_UNIVERSE) route.scope = nameOf(SCOPES, fi.scope)!;
  if (fi.prefsrc !== 0) route.src = ipToString(fi.prefsrc);
  if (fi.priority !== 0) route.metric = fi.priority;
  if (fi.metrics !== null) showMetrics(fi.metrics, route);
  if (fi.onlink) route.onlink = true;
  return route;
}

function prefixText(alias: FibAlias): string {
  const addr = ipToString(alias.prefix);
  return alias.len === 32 ? addr : `${addr}/${alias.len}`;
}
