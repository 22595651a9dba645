/**
 * What a server's answer says: believed only where it makes sense. RFC 2131 section 4.3.1, RFC 2132.
 */
import { ipToString, isLoopback, isMulticast, makeMask } from "../../network/inet/contract.ts";
import { DHCP_INFINITE, type DhcpConfig, type DhcpLease } from "./contract.ts";
import type { DhcpMessage } from "./header.ts";
import { DHCP_OPTION, optDomains, optIp, optIps, optName, optRoutes, optU16, optU32 } from "./options.ts";

/** An address that a host can have. */
export function isHostAddress(addr: number): boolean {
  return addr >>> 24 !== 0 && !isLoopback(addr) && addr >>> 28 < 14;
}

/** Length of the prefix of a mask; -1: it has holes. */
function prefixOf(mask: number): number {
  const prefix = Math.clz32(~mask);
  return makeMask(prefix) === mask ? prefix : -1;
}

/** What a network had before there were masks (RFC 950): for a server that names none. */
function classMask(addr: number): number {
  return addr >>> 31 === 0 ? 8 : addr >>> 30 === 2 ? 16 : 24;
}

/** What a message says about the link. */
export function configOf(m: DhcpMessage): DhcpConfig {
  const hosts = (code: number): string[] => optIps(m, code).filter(isHostAddress).map(ipToString);
  const mtu = optU16(m, DHCP_OPTION.MTU);
  const server = optIp(m, DHCP_OPTION.SERVER_ID) ?? 0;
  const loopback = (code: number): string[] =>
    optIps(m, code).filter((a) => a !== 0 && !isMulticast(a)).map(ipToString);
  return {
    server: ipToString(server),
    routers: hosts(DHCP_OPTION.ROUTER),
    routes: optRoutes(m) ?? [],
    // A forwarder may run beside the client: 127.0.0.1 is a server as good as others.
    dns: loopback(DHCP_OPTION.DNS),
    domain: optName(m, DHCP_OPTION.DOMAIN_NAME),
    search: optDomains(m),
    ntp: hosts(DHCP_OPTION.NTP),
    mtu: mtu !== null && mtu >= 68 ? mtu : null,
  };
}

/** The lease in an OFFER or ACK; null: it is none that could be used. */
export function leaseOf(m: DhcpMessage, now: number): DhcpLease | null {
  const seconds = optU32(m, DHCP_OPTION.LEASE_TIME);
  const server = optIp(m, DHCP_OPTION.SERVER_ID);
  if (seconds === null || seconds === 0 || server === null || !isHostAddress(server) || !isHostAddress(m.yiaddr)) {
    return null;
  }
  const mask = optIp(m, DHCP_OPTION.SUBNET_MASK);
  const prefix = mask === null ? classMask(m.yiaddr) : prefixOf(mask);
  if (prefix < 1) return null;
  const bits = makeMask(prefix);
  const own = prefix < 31 ? m.yiaddr | ~bits : 0;
  // The network itself, and its broadcast address, are no host's.
  if (prefix < 31 && (m.yiaddr === own || m.yiaddr === (m.yiaddr & bits))) return null;
  const told = optIp(m, DHCP_OPTION.BROADCAST);
  const broadcast = told !== null && told !== 0 && (told & bits) === (m.yiaddr & bits) ? told : own;
  return {
    ...configOf(m),
    address: ipToString(m.yiaddr),
    prefix,
    broadcast: ipToString(broadcast),
    seconds,
    ...times(m, seconds),
    since: now,
  };
}

/** T1 and T2: as told where they are in order, else half and seven eighths (RFC 2131 section 4.4.5). */
function times(m: DhcpMessage, seconds: number): { renewal: number; rebinding: number } {
  if (seconds === DHCP_INFINITE) return { renewal: DHCP_INFINITE, rebinding: DHCP_INFINITE };
  const rebinding = optU32(m, DHCP_OPTION.REBINDING_TIME) ?? 0;
  const renewal = optU32(m, DHCP_OPTION.RENEWAL_TIME) ?? 0;
  if (renewal > 0 && renewal < rebinding && rebinding < seconds) return { renewal, rebinding };
  return { renewal: seconds / 2, rebinding: seconds * 7 / 8 };
}
