/**
 * What the options say. RFC 2132, RFC 3397 (search list), RFC 3442 (routes), RFC 3046 (relays). An option that is not as
 * long as its kind wants is as if it were not there.
 */
import { DnsReader, DnsWriter } from "../dns/header.ts";
import { ipToString, makeMask, needCidr, needIp } from "../../network/inet/header.ts";
import type { DhcpMessage } from "./header.ts";

/** Numbers of the options that are used here. */
export const DHCP_OPTION = {
  SUBNET_MASK: 1,
  ROUTER: 3,
  DNS: 6,
  HOST_NAME: 12,
  DOMAIN_NAME: 15,
  MTU: 26,
  BROADCAST: 28,
  NTP: 42,
  REQUESTED_IP: 50,
  LEASE_TIME: 51,
  MESSAGE_TYPE: 53,
  SERVER_ID: 54,
  PARAMETER_LIST: 55,
  MESSAGE: 56,
  MAX_SIZE: 57,
  RENEWAL_TIME: 58,
  REBINDING_TIME: 59,
  VENDOR_CLASS: 60,
  CLIENT_ID: 61,
  RELAY_AGENT: 82,
  DOMAIN_SEARCH: 119,
  ROUTES: 121,
} as const;

/** A route of option 121. */
export interface DhcpRoute {
  /** `10.1.0.0/16`. */
  readonly to: string;
  /** The gateway; `0.0.0.0`: on the link. */
  readonly via: string;
}

/** Domains of one search list, and routes of one lease, that are believed. */
const MAX_DOMAINS = 32, MAX_ROUTES = 64;

// ---- reading

/** A byte, or null. */
export function optU8(m: DhcpMessage, code: number): number | null {
  const value = m.options.get(code);
  return value?.length === 1 ? value[0] : null;
}

/** 16 bits, or null. */
export function optU16(m: DhcpMessage, code: number): number | null {
  const value = m.options.get(code);
  return value?.length === 2 ? value[0] << 8 | value[1] : null;
}

/** 32 bits, not negative, or null. */
export function optU32(m: DhcpMessage, code: number): number | null {
  const value = m.options.get(code);
  return value?.length === 4 ? ipAt(value, 0) >>> 0 : null;
}

/** An address, or null. */
export function optIp(m: DhcpMessage, code: number): number | null {
  const value = m.options.get(code);
  return value?.length === 4 ? ipAt(value, 0) : null;
}

/** Addresses. */
export function optIps(m: DhcpMessage, code: number): number[] {
  const value = m.options.get(code);
  if (value === undefined || value.length % 4 !== 0) return [];
  return Array.from({ length: value.length / 4 }, (_, i) => ipAt(value, 4 * i));
}

function ipAt(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}

/** Text without what stands behind a NUL; what is no visible ASCII makes it null. */
export function optText(m: DhcpMessage, code: number): string | null {
  const value = m.options.get(code);
  if (value === undefined) return null;
  let text = "";
  for (const c of value) {
    if (c === 0) break;
    if (c < 0x20 || c > 0x7e) return null;
    text += String.fromCharCode(c);
  }
  return text === "" ? null : text;
}

/** A name of letters, digits, hyphens and dots (RFC 1123 section 2.1), or null: it goes to no resolver and no log. */
export function optName(m: DhcpMessage, code: number): string | null {
  const text = optText(m, code)?.replace(/\.$/, "") ?? null;
  return text !== null && isName(text) ? text : null;
}

function isName(text: string): boolean {
  return text.length <= 253 &&
    text.split(".").every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/.test(label));
}

/** The search list; names are compressed as in DNS, and read by the same reader. */
export function optDomains(m: DhcpMessage): string[] {
  const value = m.options.get(DHCP_OPTION.DOMAIN_SEARCH);
  if (value === undefined) return [];
  const reader = new DnsReader(value, 0, value.length, 0);
  const names: string[] = [];
  while (reader.left > 0 && names.length < MAX_DOMAINS) {
    const name = reader.name();
    if (reader.fault !== null) return [];
    if (isName(name)) names.push(name);
  }
  return names;
}

/** The routes of option 121; null: there is none that can be read. */
export function optRoutes(m: DhcpMessage): DhcpRoute[] | null {
  const value = m.options.get(DHCP_OPTION.ROUTES);
  if (value === undefined) return null;
  const routes: DhcpRoute[] = [];
  for (let at = 0; at < value.length;) {
    const prefix = value[at++];
    const octets = (prefix + 7) >> 3;
    if (prefix > 32 || at + octets + 4 > value.length || routes.length === MAX_ROUTES) return null;
    let to = 0;
    for (let i = 0; i < octets; i++) to |= value[at + i] << (24 - 8 * i);
    at += octets;
    routes.push({ to: `${ipToString(to & makeMask(prefix))}/${prefix}`, via: ipToString(ipAt(value, at)) });
    at += 4;
  }
  return routes.length === 0 ? null : routes;
}

// ---- writing

/** 16 bits. */
export function u16Option(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

/** 32 bits. */
export function u32Option(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** Addresses. */
export function ipsOption(addrs: readonly number[]): Uint8Array {
  return Uint8Array.from(addrs.flatMap((addr) => [...u32Option(addr)]));
}

/** Text. */
export function textOption(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** A search list. What is no name is a TypeError. */
export function domainsOption(domains: readonly string[]): Uint8Array {
  const writer = new DnsWriter(0x3fff);
  for (const domain of domains) {
    if (!writer.name(domain)) throw new TypeError(`Cannot offer the search domain "${domain}": it is no name`);
  }
  return writer.finish();
}

/** Routes. */
export function routesOption(routes: readonly DhcpRoute[]): Uint8Array {
  return Uint8Array.from(routes.flatMap(({ to, via }) => {
    const { addr, prefix } = needCidr(to === "default" ? "0.0.0.0/0" : to, "route");
    const octets = [...u32Option(addr)].filter((_, i) => i < (prefix + 7) >> 3);
    return [prefix, ...octets, ...u32Option(needIp(via, "gateway"))];
  }));
}
