/**
 * SOL_IP options that datagram sockets share, and multicast groups. Linux: net/ipv4/ip_sockglue.c, net/ipv4/igmp.c.
 *
 * @module
 */
import { ERRNO, type NetDevice } from "../../../core/mod.ts";
import { isMulticast } from "../../network/inet/contract.ts";
import { DEVINET } from "../../network/devinet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { type McMembership, type Sock, TCP_ESTABLISHED } from "./contract.ts";

/** Type of service, 8 bits; also sets the socket's priority. */
export const IP_TOS = 1;
/** Options of the IP header, in wire form, at most 40 bytes: for TCP. */
export const IP_OPTIONS = 4;
/** Time to live; -1: the default. */
export const IP_TTL = 2;
/** IP_PMTUDISC_*. */
export const IP_MTU_DISCOVER = 10;
/** Errors are queued, see MSG_ERRQUEUE. */
export const IP_RECVERR = 11;
/** The path MTU to the peer; read only. */
export const IP_MTU = 14;
/** May be bound to an address that this host has not. */
export const IP_FREEBIND = 15;
/** Interface of outgoing multicast, as address. */
export const IP_MULTICAST_IF = 32;
/** TTL of outgoing multicast; -1: 1. */
export const IP_MULTICAST_TTL = 33;
/** Outgoing multicast comes back to this host. */
export const IP_MULTICAST_LOOP = 34;
/** Joins a group: value is the group, value2 an address of the interface (0: by route). */
export const IP_ADD_MEMBERSHIP = 35;
/** Leaves a group. */
export const IP_DROP_MEMBERSHIP = 36;
/** Receives groups that other sockets have joined. */
export const IP_MULTICAST_ALL = 49;

/** Groups of one socket. Linux: net.ipv4.igmp_max_memberships. */
const MAX_MEMBERSHIPS = 20;

/** Priority of a type of service: bits 1 to 4 of it. Linux: ip_tos2prio[]. */
const TOS_PRIORITY: readonly number[] = [0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];

/** Sets an option of SOL_IP; 0 or a negative errno. Linux: do_ip_setsockopt(). */
export function ipSetsockopt(sk: Sock, name: number, value: number, value2: number): number {
  switch (name) {
    case IP_TOS:
      sk.tos = value & 0xff;
      sk.owner.priority = TOS_PRIORITY[(value & 0x1e) >> 1];
      sk.dst = null;
      return 0;
    case IP_TTL:
      if (value !== -1 && (value < 1 || value > 255)) return -ERRNO.EINVAL;
      sk.ttl = value === -1 ? 0 : value;
      return 0;
    case IP_MTU_DISCOVER:
      if (value < 0 || value > 5) return -ERRNO.EINVAL;
      sk.pmtudisc = value;
      return 0;
    case IP_RECVERR:
      sk.recverr = value !== 0;
      if (value === 0) sk.errorQueue.purge();
      return 0;
    case IP_FREEBIND:
      sk.freebind = value !== 0;
      return 0;
    case IP_MULTICAST_TTL:
      if (value < -1 || value > 255) return -ERRNO.EINVAL;
      sk.mcTtl = value === -1 ? 1 : value;
      return 0;
    case IP_MULTICAST_LOOP:
      sk.mcLoop = value !== 0;
      return 0;
    case IP_MULTICAST_ALL:
      if (value !== 0 && value !== 1) return -ERRNO.EINVAL;
      sk.mcAll = value === 1;
      return 0;
    case IP_MULTICAST_IF:
      return setMulticastIf(sk, value);
    case IP_ADD_MEMBERSHIP:
      return ipMcJoinGroup(sk, value, value2);
    case IP_DROP_MEMBERSHIP:
      return ipMcLeaveGroup(sk, value, value2);
    default:
      return -ERRNO.ENOPROTOOPT;
  }
}

/** An option of SOL_IP, or a negative errno. Linux: do_ip_getsockopt(). */
export function ipGetsockopt(sk: Sock, name: number): number {
  switch (name) {
    case IP_TOS:
      return sk.tos;
    case IP_TTL:
      return sk.ttl === 0 ? defaultTtl(sk) : sk.ttl;
    case IP_MTU_DISCOVER:
      return sk.pmtudisc;
    case IP_RECVERR:
      return sk.recverr ? 1 : 0;
    case IP_MTU:
      return pathMtu(sk);
    case IP_FREEBIND:
      return sk.freebind ? 1 : 0;
    case IP_MULTICAST_TTL:
      return sk.mcTtl;
    case IP_MULTICAST_LOOP:
      return sk.mcLoop ? 1 : 0;
    case IP_MULTICAST_ALL:
      return sk.mcAll ? 1 : 0;
    case IP_MULTICAST_IF:
      // Unsigned: a negative value would be an errno.
      return sk.mcAddr >>> 0;
    default:
      return -ERRNO.ENOPROTOOPT;
  }
}

function defaultTtl(sk: Sock): number {
  return sk.net.sysctl.list().includes("net.ipv4.ip_default_ttl") ? sk.net.sysctl.get("net.ipv4.ip_default_ttl") : 64;
}

function pathMtu(sk: Sock): number {
  if (sk.state !== TCP_ESTABLISHED) return -ERRNO.ENOTCONN;
  const fib = sk.net.find(FIB);
  if (fib === null) return -ERRNO.ENOTCONN;
  const dst = sk.dst !== null && !sk.dst.obsolete
    ? sk.dst
    : fib.routeOutput(sk.daddr, sk.srcAddr, sk.boundDevIf, sk.tos);
  return dst === null ? -ERRNO.ENOTCONN : fib.mtu(dst);
}

function setMulticastIf(sk: Sock, addr: number): number {
  if (addr === 0) {
    sk.mcIndex = sk.mcAddr = 0;
    return 0;
  }
  const dev = sk.net.find(DEVINET)?.devByAddr(addr) ?? null;
  if (dev === null) return -ERRNO.EADDRNOTAVAIL;
  if (sk.boundDevIf !== 0 && sk.boundDevIf !== dev.ifindex) return -ERRNO.EINVAL;
  sk.mcIndex = dev.ifindex;
  sk.mcAddr = addr;
  return 0;
}

/** The device of a group: the one that has `ifaddr`, else the one to which the route to the group leads. */
function mcFindDev(sk: Sock, group: number, ifaddr: number): NetDevice | null {
  if (ifaddr !== 0) return sk.net.find(DEVINET)?.devByAddr(ifaddr) ?? null;
  return sk.net.find(FIB)?.routeOutput(group, 0, sk.boundDevIf, 0)?.dev ?? null;
}

/** Joins; 0 or -EINVAL, -ENODEV, -EADDRINUSE, -ENOBUFS. Linux: ip_mc_join_group(). */
export function ipMcJoinGroup(sk: Sock, group: number, ifaddr: number): number {
  if (!isMulticast(group)) return -ERRNO.EINVAL;
  const dev = mcFindDev(sk, group, ifaddr);
  const devinet = sk.net.find(DEVINET);
  if (dev === null || devinet === null) return -ERRNO.ENODEV;
  for (const m of sk.mcList) if (m.group === group && m.dev === dev) return -ERRNO.EADDRINUSE;
  if (sk.mcList.length >= MAX_MEMBERSHIPS) return -ERRNO.ENOBUFS;
  const err = devinet.joinGroup(dev, group);
  if (err < 0) return err;
  sk.mcList = [...sk.mcList, { group, dev }];
  return 0;
}

/** Leaves; 0 or -ENODEV, -EADDRNOTAVAIL: it was not a member. Linux: ip_mc_leave_group(). */
export function ipMcLeaveGroup(sk: Sock, group: number, ifaddr: number): number {
  const dev = mcFindDev(sk, group, ifaddr);
  if (dev === null && ifaddr !== 0) return -ERRNO.ENODEV;
  const at = sk.mcList.findIndex((m) => m.group === group && (ifaddr === 0 || m.dev === dev));
  if (at < 0) return -ERRNO.EADDRNOTAVAIL;
  const gone = sk.mcList[at];
  sk.mcList = sk.mcList.filter((m) => m !== gone);
  leave(sk, gone);
  return 0;
}

/** Leaves all groups: the socket is closed. Linux: ip_mc_drop_socket(). */
export function ipMcDropSocket(sk: Sock): void {
  for (const m of sk.mcList) leave(sk, m);
  sk.mcList = [];
}

function leave(sk: Sock, m: McMembership): void {
  sk.net.find(DEVINET)?.leaveGroup(m.dev, m.group);
}

/** Whether a socket wants what came to `daddr` on device `ifindex`. Linux: ip_mc_sf_allow(). */
export function ipMcSfAllow(sk: Sock, daddr: number, ifindex: number): boolean {
  if (!isMulticast(daddr)) return true;
  const list = sk.mcList;
  for (let i = 0; i < list.length; i++) {
    if (list[i].group === daddr && list[i].dev.ifindex === ifindex) return true;
  }
  return sk.mcAll;
}
