/**
 * IPv4 addresses of devices, and the per-device settings. Linux: net/ipv4/devinet.c, struct in_device, struct in_ifaddr.
 *
 * @module
 */
import type { Net, NetDevice, NotifierChain, Token } from "../../../core/mod.ts";

/** Valid everywhere. Linux: enum rt_scope_t. */
export const RT_SCOPE_UNIVERSE = 0;
/** Valid on its link. */
export const RT_SCOPE_LINK = 253;
/** Valid on this host. */
export const RT_SCOPE_HOST = 254;
/** Nowhere. */
export const RT_SCOPE_NOWHERE = 255;

/** All systems on the link, 224.0.0.1: joined while a device is up. */
export const IGMP_ALL_HOSTS: number = 0xe0000001 | 0;

/** An address of a device. Addresses are int32. */
export interface InIfaddr {
  /** The device. */
  readonly dev: NetDevice;
  /** The address. */
  readonly local: number;
  /** The peer's address on a point-to-point link; else equal to `local`. */
  readonly peer: number;
  /** Prefix length. */
  readonly prefix: number;
  /** Mask of the prefix. */
  readonly mask: number;
  /** Broadcast address; 0: none. */
  readonly broadcast: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** Another address of the same subnet came before. Linux: IFA_F_SECONDARY. */
  readonly secondary: boolean;
}

/** Settings of one device: net.ipv4.conf.DEV.*. Plain fields; where Linux takes the maximum with `all`, they hold it. */
export interface InDevConf {
  /** Forward what comes in here. */
  forwarding: number;
  /** Reverse path filter: 0 off, 1 strict, 2 loose. Default 0. */
  rpFilter: number;
  /** Source routing options are obeyed. Default 0. */
  acceptSourceRoute: number;
  /** A source address of our own is accepted. Default 0. */
  acceptLocal: number;
  /** 127/8 is routed. Default 0. */
  routeLocalnet: number;
  /** Martians are logged. */
  logMartians: number;
  /** ICMP redirects are believed. */
  acceptRedirects: number;
  /** ICMP redirects are sent. */
  sendRedirects: number;
  /** Which ARP requests are answered: 0 any local address, 1 only on its device, 2 and the sender in its subnet. */
  arpIgnore: number;
  /** Which source ARP announces. */
  arpAnnounce: number;
  /** Gratuitous ARP makes new entries. */
  arpAccept: number;
  /** Gratuitous ARP when the device or address comes up. */
  arpNotify: number;
  /** Answers only if the route to the sender leads here. */
  arpFilter: number;
  /** Answers for others. */
  proxyArp: number;
  /** Broadcasts are forwarded. */
  bcForwarding: number;
  /** Unicast in a multicast frame is dropped. */
  dropUnicastInL2Multicast: number;
  /** Redirects to gateways that no address is on link with are believed and sent: several subnets share the medium. */
  sharedMedia: number;
  /** Without sharedMedia, only redirects to known gateways are believed. */
  secureRedirects: number;
  /** A secondary becomes primary when its primary goes. Default 0: it goes too. */
  promoteSecondaries: number;
  /** Routes over a device without carrier are not used. Default 0. */
  ignoreRoutesWithLinkdown: number;
  /** Neighbours go when the carrier goes. */
  arpEvictNocarrier: number;
  /** Gratuitous ARP is ignored. */
  dropGratuitousArp: number;
}

/** IPv4's data about a device, at `dev.ipPtr`. Linux: struct in_device. */
export interface InDevice {
  /** The device. */
  readonly dev: NetDevice;
  /** Its addresses, primary ones first in each subnet. */
  ifaList: readonly InIfaddr[];
  /** Its settings. */
  readonly conf: InDevConf;
  /** Joined multicast groups with their users. */
  readonly mcList: Map<number, number>;
}

/** IPv4's data about a device; null: none yet. Linux: __in_dev_get_rcu(). */
export function inDevGet(dev: NetDevice): InDevice | null {
  return dev.ipPtr as InDevice | null;
}

/** An address came or went. */
export interface InetaddrEvent {
  /** NETDEV_UP: added; NETDEV_DOWN: removed. */
  readonly kind: "NETDEV_UP" | "NETDEV_DOWN";
  /** The address. */
  readonly ifa: InIfaddr;
}

/** A setting changed, of one device or of all. Linux: struct netconfmsg. */
export interface InetconfEvent {
  /** Linux's name: `rp_filter`. */
  readonly name: string;
  /** The device; null: `all` or `default`. */
  readonly dev: NetDevice | null;
}

/** Addresses. */
export interface Devinet {
  /** Events about addresses. Linux: inetaddr_chain. */
  readonly chain: NotifierChain<InetaddrEvent>;
  /** Events about settings; the fields hold the new values already. Linux: inet_netconf_notify_devconf(). */
  readonly confChain: NotifierChain<InetconfEvent>;
  /**
   * Adds `10.0.0.1/24` to a device; 0 or a negative errno (EEXIST, EINVAL, ENODEV). `options` as `ip addr add`: the
   * prefix length is the peer's where there is one, `broadcast` `+` is the subnet's. Linux: inet_insert_ifa().
   */
  addAddress(dev: NetDevice, cidr: string, options?: { peer?: string; broadcast?: string; scope?: number }): number;
  /**
   * Removes it (without `/` whatever its prefix length; with `peer` only the one with that peer); its secondaries go
   * too, unless promote_secondaries is set. 0 or -EADDRNOTAVAIL. Linux: inet_del_ifa().
   */
  delAddress(dev: NetDevice, cidr: string, peer?: string): number;
  /**
   * The source address for `dst` (0: any) on `dev` of at most `scope`; falls back to other devices; 0: none.
   * Linux: inet_select_addr().
   */
  selectAddr(dev: NetDevice | null, dst: number, scope: number): number;
  /** The device that has `addr`, or null; of several the latest. A hash look-up. Linux: ip_dev_find(). */
  devByAddr(addr: number): NetDevice | null;
  /** Whether `addr` itself is an address of a device: not the rest of a loopback's subnet. Linux: inet_lookup_ifaddr_rcu(). */
  isIfaddr(addr: number): boolean;
  /** Whether `addr` is on the subnet of an address of `dev`. Linux: inet_addr_onlink(). */
  onlink(dev: NetDevice, addr: number): boolean;
  /** Joins a multicast group; 0 or a negative errno. Linux: ip_mc_inc_group(). */
  joinGroup(dev: NetDevice, group: number): number;
  /** Leaves it. Linux: ip_mc_dec_group(). */
  leaveGroup(dev: NetDevice, group: number): number;
}

/** Its token. */
export const DEVINET: Token<Devinet> = { name: "netpath:devinet" };

/** net.ipv4.ip_forward: also the default of `forwarding`. */
export function setForwarding(net: Net, on: boolean): void {
  net.sysctl.set("net.ipv4.ip_forward", on ? 1 : 0);
}
