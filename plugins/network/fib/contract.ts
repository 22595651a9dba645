/**
 * Routing: which way a packet goes. Linux: net/ipv4/fib_trie.c, fib_frontend.c, route.c, struct rtable.
 *
 * @module
 */
import type { NetDevice, SkbDst, SkBuff, Token } from "../../../core/mod.ts";
import type { Neighbour } from "../neigh/contract.ts";

/** Through a device, to a gateway or on the link. Linux: enum rt_type, RTN_*. */
export const RTN_UNICAST = 1;
/** To us. */
export const RTN_LOCAL = 2;
/** To all on a link. */
export const RTN_BROADCAST = 3;
/** To a group. */
export const RTN_MULTICAST = 5;
/** Dropped silently. */
export const RTN_BLACKHOLE = 6;
/** Host unreachable. */
export const RTN_UNREACHABLE = 7;
/** Administratively prohibited. */
export const RTN_PROHIBIT = 8;
/** Look in the next table. */
export const RTN_THROW = 9;

/** A metric's bit in {@linkcode DstMetrics.lock} is 1 << RTAX_*. Linux: include/uapi/linux/rtnetlink.h. */
export const RTAX_MTU = 2;
/** Bound of the window. */
export const RTAX_WINDOW = 3;
/** Round trip. */
export const RTAX_RTT = 4;
/** Its variance. */
export const RTAX_RTTVAR = 5;
/** Slow start threshold. */
export const RTAX_SSTHRESH = 6;
/** Bound of the congestion window. */
export const RTAX_CWND = 7;
/** MSS to tell. */
export const RTAX_ADVMSS = 8;
/** Reordering. */
export const RTAX_REORDERING = 9;
/** TTL. */
export const RTAX_HOPLIMIT = 10;
/** Congestion window to begin with. */
export const RTAX_INITCWND = 11;
/** RTAX_FEATURE_*. */
export const RTAX_FEATURES = 12;
/** Least RTO. */
export const RTAX_RTO_MIN = 13;
/** Window to offer at first. */
export const RTAX_INITRWND = 14;
/** Always quick ACKs. */
export const RTAX_QUICKACK = 15;
/** Congestion control. */
export const RTAX_CC_ALGO = 16;
/** Fast Open without cookie. */
export const RTAX_FASTOPEN_NO_COOKIE = 17;

/** ECN is asked for and granted on these paths, whatever net.ipv4.tcp_ecn says. */
export const RTAX_FEATURE_ECN = 1;

/**
 * What a route says about the paths over it, shared by its {@linkcode Dst}s; 0, false, "": nothing. Times in
 * milliseconds. Linux: struct dst_metrics.
 */
export interface DstMetrics {
  /** Bits 1 << RTAX_*: what is not to be replaced by what is learnt. */
  readonly lock: number;
  /** Path MTU. */
  readonly mtu: number;
  /** Bound of the window that TCP offers. */
  readonly window: number;
  /** Round trip. */
  readonly rtt: number;
  /** Its variance. */
  readonly rttvar: number;
  /** Slow start threshold, packets. */
  readonly ssthresh: number;
  /** Bound of the congestion window, packets; means nothing unless locked. */
  readonly cwnd: number;
  /** MSS that TCP tells its peers at most. */
  readonly advmss: number;
  /** Reordering to begin with, packets. */
  readonly reordering: number;
  /** TTL of what says none. */
  readonly hoplimit: number;
  /** Congestion window to begin with, packets. */
  readonly initcwnd: number;
  /** RTAX_FEATURE_*. */
  readonly features: number;
  /** Least RTO. */
  readonly rtoMin: number;
  /** Window to offer at first, segments. */
  readonly initrwnd: number;
  /** Each segment is acknowledged at once. */
  readonly quickack: boolean;
  /** Congestion control by name. */
  readonly congctl: string;
  /** Fast Open asks for no cookie. */
  readonly fastopenNoCookie: boolean;
}

/** Where a packet goes: the answer of a look-up, cached and shared. One hidden class. Linux: struct rtable. */
export interface Dst extends SkbDst {
  /** Address family: 4. */
  readonly family: number;
  /** RTN_*: ipv4 switches on it. */
  readonly type: number;
  /** The device it leaves by; for RTN_LOCAL the loopback or the device that has the address. */
  readonly dev: NetDevice;
  /** The next hop: the gateway, or 0: the destination itself. */
  readonly gateway: number;
  /** Source address for our own packets. */
  readonly prefsrc: number;
  /** Input only: it is to be forwarded. */
  readonly forward: boolean;
  /** Input only: the packet leaves by the device it came in by, and the gateway is on that link: send a redirect. */
  readonly doRedirect: boolean;
  /**
   * The neighbour, once it was looked up; null or dead: look it up. A Dst is shared by all destinations of a route: where
   * {@linkcode gateway} is 0 the neighbour belongs to one destination, so compare its primaryKey before use.
   */
  neigh: Neighbour | null;
  /** MTU that the route was given by hand, 0: none. */
  readonly mtu?: number;
  /** What the route says about its paths; null: nothing. Linux: dst_metric(). */
  readonly metrics?: DstMetrics | null;
  /** Path MTU learnt, 0: the device's. */
  pmtu: number;
  /** Jiffy at which pmtu is forgotten. */
  pmtuExpires: number;
  /**
   * No path MTU is learnt here, and packets go without DF, or they would never fit: the one that was told is below
   * min_pmtu, or the route's own is locked. Linux: ip_mtu_locked().
   */
  readonly pmtuLocked?: boolean;
  /** The route is no longer valid: look it up again. */
  obsolete: boolean;
}

/** What of a route can be locked. */
export type RouteMetric =
  | "mtu"
  | "window"
  | "rtt"
  | "rttvar"
  | "ssthresh"
  | "cwnd"
  | "advmss"
  | "reordering"
  | "hoplimit"
  | "initcwnd"
  | "features"
  | "rtoMin"
  | "initrwnd"
  | "quickack"
  | "congctl"
  | "fastopenNoCookie";

/** A route as `ip route` shows it. */
export interface Route {
  /** `10.1.0.0/16` or `default`. */
  to: string;
  /** Gateway. */
  via?: string;
  /** Device name. */
  dev?: string;
  /** Preferred source. */
  src?: string;
  /** Lower wins. Default 0. */
  metric?: number;
  /** Default unicast. */
  type?: "unicast" | "local" | "broadcast" | "blackhole" | "unreachable" | "prohibit" | "throw";
  /** RT_SCOPE_* by name. Default: link without a gateway, global with one. */
  scope?: "global" | "link" | "host";
  /** Table: 254 main, 255 local. Default main. */
  table?: number;
  /** Path MTU given by hand. Locked (see {@linkcode Route.lock}): no smaller one is learnt, and packets go without DF. */
  mtu?: number;
  /** Bound of the window that TCP offers, bytes. */
  window?: number;
  /** Round trip that TCP assumes once it keeps metrics of the peer, milliseconds; likewise the next four. */
  rtt?: number;
  /** Variance of the round trip, milliseconds. */
  rttvar?: number;
  /** Slow start threshold, packets. */
  ssthresh?: number;
  /** Bound of the congestion window, packets: only where locked. */
  cwnd?: number;
  /** Reordering to begin with, packets. */
  reordering?: number;
  /** MSS that TCP tells its peers at most. */
  advmss?: number;
  /** TTL of packets that say none. */
  hoplimit?: number;
  /** Congestion window to begin with, packets. */
  initcwnd?: number;
  /** Window to offer at first, segments. */
  initrwnd?: number;
  /** Least RTO, milliseconds. */
  rtoMin?: number;
  /** Each segment is acknowledged at once. */
  quickack?: boolean;
  /** Congestion control of connections over this route; locked: they may not choose another. */
  congctl?: string;
  /** `ecn`: asked for and granted, whatever net.ipv4.tcp_ecn says. */
  features?: readonly "ecn"[];
  /** TCP Fast Open without a cookie. */
  fastopenNoCookie?: boolean;
  /** Metrics that nothing learnt replaces: `ip route ... mtu lock 1400`. */
  lock?: readonly RouteMetric[];
  /** The gateway is on the link although no address says so. */
  onlink?: boolean;
  /** Who made it. Default boot. */
  protocol?: "kernel" | "boot" | "static";
}

/** Routing. */
export interface Fib {
  /**
   * The way of our own packet to `daddr`. `saddr` 0: not chosen yet; `oif` 0: any device. Null: no route, and
   * {@linkcode errno} says why. Cached. Linux: ip_route_output_key().
   */
  routeOutput(daddr: number, saddr: number, oif: number, tos: number): Dst | null;
  /** Negative errno of the last routeOutput that gave null: -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL. */
  errno: number;
  /**
   * The way of a received packet; sets skb.dst and returns 0, or returns a drop reason: a martian's, IP_RPFILTER,
   * IP_INADDRERRORS (not ours, and the device does not forward) or IP_INNOROUTES (no route). Blackhole, unreachable and
   * prohibit give a Dst of that type. Cached. Borrows `skb`. Linux: ip_route_input().
   */
  routeInput(skb: SkBuff, daddr: number, saddr: number, tos: number, dev: NetDevice): number;
  /**
   * An ICMP redirect (codes 0 to 3) quotes one of our packets: `daddr` is to go to `gateway`, says `from`, which came in
   * on `dev`. Believed only from the next hop in use. Linux: ip_do_redirect().
   */
  redirect(daddr: number, from: number, gateway: number, dev: NetDevice): void;
  /** Adds a route; 0 or a negative errno: EEXIST, ENETUNREACH (gateway), ENODEV, EINVAL. */
  add(route: Route): number;
  /** Removes a route; 0 or -ESRCH (3). */
  del(route: Route): number;
  /** All routes of a table. */
  list(table?: number): Route[];
  /** RTN_* of an address as the local table sees it. Linux: inet_addr_type(). */
  addrType(addr: number): number;
  /** The same, only on `dev`. Linux: inet_dev_addr_type(). */
  devAddrType(dev: NetDevice, addr: number): number;
  /**
   * Reverse path check of a source, also used by arp_filter: 0 or a drop reason. Linux: fib_validate_source().
   */
  validateSource(saddr: number, daddr: number, tos: number, dev: NetDevice): number;
  /** A router told the MTU of the path to `daddr`. Below min_pmtu (552) it is that. Linux: __ip_rt_update_pmtu(). */
  updatePmtu(daddr: number, mtu: number): void;
  /** The MTU of a path: learnt, given, or the device's. Linux: ipv4_mtu(). */
  mtu(dst: Dst): number;
  /**
   * From now on (true), or not any more: {@linkcode routeOutput} takes a `saddr` that is not ours, as a listener for any
   * address needs. Each true needs its false. Linux: FLOWI_FLAG_ANYSRC, there per flow; here bind() keeps all others out.
   */
  anySource(on: boolean): void;
  /**
   * TCP tells whether it has a congestion control of a name: a route with another one as its {@linkcode Route.congctl}
   * is -EINVAL, and so is any where nobody told. Linux: tcp_ca_get_key_by_name().
   */
  setCongestion?(known: ((name: string) => boolean) | null): void;
  /** Everything that was cached is obsolete. Linux: rt_cache_flush(). */
  flushCache(): void;
  /** Whether look-ups are cached: off in the bench that times the trie. Default true. */
  cacheEnabled: boolean;
  /** Counts. */
  readonly stats: { lookups: number; cacheHits: number; slow: number };
}

/** Its token. */
export const FIB: Token<Fib> = { name: "netpath:fib" };

/** The route of a packet. Borrows `skb`. */
export function skbDst(skb: SkBuff): Dst {
  return skb.dst as Dst;
}

/** TCP made progress, or a reply came: the neighbour of this route is reachable. Linux: dst_confirm(). */
export function dstConfirm(dst: Dst, confirm: (neigh: Neighbour) => void): void {
  if (dst.neigh !== null && !dst.neigh.dead) confirm(dst.neigh);
}
