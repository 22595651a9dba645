/**
 * Membership in multicast groups. Linux: net/ipv4/igmp.c, RFC 1112. No IGMP is spoken: the link is told, the routers are
 * not.
 */
import { ARPHRD_ETHER, ERRNO, IFF_UP, type NetDevice } from "../../../core/mod.ts";
import { isMulticast } from "../inet/header.ts";
import { IGMP_ALL_HOSTS } from "./contract.ts";
import { inDevOf } from "./table.ts";

/** 01:00:5e and the low 23 bits of the group, as a key of `dev.mcast`. RFC 1112 section 6.4. */
function macKey(group: number): number {
  return 0x0100 * 2 ** 32 + (0x5e000000 | (group & 0x7fffff));
}

function count(map: Map<number, number>, key: number, by: number): number {
  const users = (map.get(key) ?? 0) + by;
  if (users > 0) map.set(key, users);
  else map.delete(key);
  return users;
}

/** Opens or closes the device's filter for a group. Linux: ip_mc_filter_add() and _del(). */
function filter(dev: NetDevice, group: number, by: number): void {
  if (dev.type === ARPHRD_ETHER) count(dev.mcast, macKey(group), by);
}

/** Joins; 0, -EINVAL (no group) or -ENODEV. Linux: ip_mc_inc_group(). */
export function joinGroup(dev: NetDevice, group: number): number {
  const inDev = inDevOf(dev);
  if (!isMulticast(group)) return -ERRNO.EINVAL;
  if (inDev === null) return -ERRNO.ENODEV;
  if (count(inDev.mcList, group, 1) === 1 && (dev.flags & IFF_UP) !== 0) filter(dev, group, 1);
  return 0;
}

/** Leaves; 0 or -EADDRNOTAVAIL. Linux: ip_mc_dec_group(). */
export function leaveGroup(dev: NetDevice, group: number): number {
  const inDev = inDevOf(dev);
  if (inDev === null || !inDev.mcList.has(group)) return -ERRNO.EADDRNOTAVAIL;
  if (count(inDev.mcList, group, -1) === 0 && (dev.flags & IFF_UP) !== 0) filter(dev, group, -1);
  return 0;
}

/** The device is up: its filter takes the groups joined before, and 224.0.0.1. Linux: ip_mc_up(). */
export function mcUp(dev: NetDevice): void {
  const inDev = inDevOf(dev);
  if (inDev === null) return;
  for (const group of inDev.mcList.keys()) filter(dev, group, 1);
  joinGroup(dev, IGMP_ALL_HOSTS);
}

/** The device is down: the groups stay joined, but for 224.0.0.1. Linux: ip_mc_down(). */
export function mcDown(dev: NetDevice): void {
  const inDev = inDevOf(dev);
  if (inDev === null) return;
  for (const group of inDev.mcList.keys()) filter(dev, group, -1);
  count(inDev.mcList, IGMP_ALL_HOSTS, -1);
}
