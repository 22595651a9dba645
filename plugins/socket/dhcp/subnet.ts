/**
 * What the server was told of one subnet: options in, checked; the options of its answers out.
 */
import { type Machine, parseMac } from "../../../core/mod.ts";
import { isMulticast, makeMask, needCidr, needIp } from "../../network/inet/contract.ts";
import { DHCP_INFINITE, type DhcpRoute } from "./contract.ts";
import { DHCP_OPTION, domainsOption, ipsOption, routesOption, textOption, u16Option, u32Option } from "./options.ts";
import { Pool } from "./pool.ts";

/** A subnet that the server gives addresses of. */
export interface DhcpSubnetOptions {
  /** The device of its link, or the one over which the relay of its link is reached. */
  dev: string;
  /** First and last address of those that are given. */
  range: readonly [first: string, last: string];
  /** `10.9.0.0/24` of a link behind a relay. Default: that of the device's address. */
  subnet?: string;
  /** Addresses that are kept for hardware addresses: in the range or beside it. */
  reservations?: Readonly<Record<string, string>>;
  /** Seconds that an address is given for. Default 3,600; Infinity. */
  leaseTime?: number;
  /** Routers of the link. Default: none. */
  router?: string | readonly string[];
  /** Routes: clients that know them use no router then (RFC 3442). */
  routes?: readonly DhcpRoute[];
  /** DNS servers. */
  dns?: string | readonly string[];
  /** The domain of the link. */
  domain?: string;
  /** Domains that are put behind short names. */
  search?: readonly string[];
  /** Time servers. */
  ntp?: string | readonly string[];
  /** MTU of the link. */
  mtu?: number;
  /** Other options by number. */
  options?: Readonly<Record<number, Uint8Array>>;
  /** Nobody else serves this link: who has an address that is not right is told so. Default true. */
  authoritative?: boolean;
  /** ms that a ping is waited for before a new address is offered; 0: no ping. Default 500. */
  ping?: number;
  /** Seconds that nobody gets an address which a client found in use. Default 600. */
  declineTime?: number;
}

/** Addresses of the largest pool. */
const MAX_POOL = 65_536;

/** A subnet, checked. */
export class Subnet {
  /** What it was made of. */
  readonly dev: string;
  /** Behind a relay: the network and its mask; null: that of the device's address. */
  readonly remote: { readonly network: number; readonly mask: number } | null;
  /** Its addresses. */
  readonly pool: Pool;
  /** Seconds of a lease. */
  readonly leaseTime: number;
  /** Who is wrong is told so. */
  readonly authoritative: boolean;
  /** ms of a ping. */
  readonly ping: number;
  /** Seconds. */
  readonly declineTime: number;
  /** What clients are told, by option. */
  readonly options: ReadonlyMap<number, Uint8Array>;

  /** What is wrong is a TypeError or a RangeError. Without a machine it is only checked. */
  constructor(machine: Machine | null, o: DhcpSubnetOptions) {
    const what = `Cannot serve addresses on ${o.dev}`;
    const [low, high] = o.range.map((text) => needIp(text, `end of the range on ${o.dev}`));
    if ((low >>> 0) > (high >>> 0) || (high >>> 0) - (low >>> 0) >= MAX_POOL) {
      throw new RangeError(
        `${what}: from ${o.range[0]} to ${o.range[1]}, it takes 1 to ${MAX_POOL} addresses in order`,
      );
    }
    const { leaseTime = 3600, ping = 500, declineTime = 600, mtu } = o;
    const forever = leaseTime === Infinity;
    const whole = (name: string, value: number, min: number, max: number): void => {
      if (Number.isInteger(value) && value >= min && value <= max) return;
      throw new RangeError(`${what}: ${name} ${value}, it takes a whole number from ${min} to ${max}`);
    };
    if (!forever) whole("leaseTime", leaseTime, 10, DHCP_INFINITE - 1);
    whole("ping", ping, 0, 10_000);
    whole("declineTime", declineTime, 1, 1e9);
    if (mtu !== undefined) whole("mtu", mtu, 68, 65535);
    this.dev = o.dev;
    this.remote = o.subnet === undefined ? null : network(o.subnet);
    this.leaseTime = forever ? DHCP_INFINITE : leaseTime;
    this.authoritative = o.authoritative ?? true;
    this.ping = ping;
    this.declineTime = declineTime;
    this.options = optionsOf(what, o);
    this.pool = new Pool(machine ?? { now: 0 }, low, high, reservations(what, o.reservations ?? {}));
  }
}

function network(text: string): { network: number; mask: number } {
  const { addr, prefix } = needCidr(text, "subnet");
  const mask = makeMask(prefix);
  return { network: addr & mask, mask };
}

function reservations(what: string, given: Readonly<Record<string, string>>): Map<string, number> {
  const out = new Map<string, number>();
  for (const [mac, address] of Object.entries(given)) {
    const ha = parseMac(mac);
    if (ha === null) throw new TypeError(`${what}: "${mac}" is no hardware address such as 02:00:00:00:00:01`);
    const addr = needIp(address, `address reserved for ${mac}`);
    if ([...out.values()].includes(addr)) throw new TypeError(`${what}: ${address} is reserved twice`);
    out.set(`${ha[0]}:${ha[1]}`, addr);
  }
  return out;
}

function optionsOf(what: string, o: DhcpSubnetOptions): Map<number, Uint8Array> {
  const out = new Map<number, Uint8Array>();
  const ips = (code: number, name: string, given: string | readonly string[] | undefined): void => {
    const list = given === undefined ? [] : typeof given === "string" ? [given] : given;
    const addrs = list.map((text) => needIp(text, name));
    const bad = addrs.findIndex((addr) => addr === 0 || addr === -1 || isMulticast(addr));
    if (bad >= 0) throw new TypeError(`${what}: ${list[bad]} is no ${name}`);
    if (addrs.length > 0) out.set(code, ipsOption(addrs));
  };
  // The routes first: who knows them looks at no router (RFC 3442).
  if (o.routes !== undefined && o.routes.length > 0) out.set(DHCP_OPTION.ROUTES, routesOption(o.routes));
  ips(DHCP_OPTION.ROUTER, "router", o.router);
  ips(DHCP_OPTION.DNS, "DNS server", o.dns);
  if (o.domain !== undefined) {
    domainsOption([o.domain]);
    out.set(DHCP_OPTION.DOMAIN_NAME, textOption(o.domain));
  }
  if (o.search !== undefined && o.search.length > 0) out.set(DHCP_OPTION.DOMAIN_SEARCH, domainsOption(o.search));
  ips(DHCP_OPTION.NTP, "time server", o.ntp);
  if (o.mtu !== undefined) out.set(DHCP_OPTION.MTU, u16Option(o.mtu));
  for (const [code, value] of Object.entries(o.options ?? {})) {
    const n = Number(code);
    if (!Number.isInteger(n) || n < 1 || n > 254 || OURS.has(n)) {
      throw new RangeError(`${what}: option ${code} cannot be given by hand`);
    }
    out.set(n, value);
  }
  return out;
}

/** What the exchange itself is made of. */
const OURS: ReadonlySet<number> = new Set([50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 82]);

/** What each answer with an address says of its time. */
export function timeOptions(seconds: number): [number, Uint8Array][] {
  const out: [number, Uint8Array][] = [[DHCP_OPTION.LEASE_TIME, u32Option(seconds)]];
  if (seconds === DHCP_INFINITE) return out;
  // RFC 2131 section 4.4.5.
  out.push([DHCP_OPTION.RENEWAL_TIME, u32Option(Math.floor(seconds / 2))]);
  out.push([DHCP_OPTION.REBINDING_TIME, u32Option(Math.floor(seconds * 7 / 8))]);
  return out;
}
