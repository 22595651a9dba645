/**
 * net.ipv4.conf.*: settings per device, and how `all` and `default` play into them. Linux: net/ipv4/devinet.c,
 * include/linux/inetdevice.h, Documentation/networking/ip-sysctl.rst.
 *
 * Every device has its own value of every knob; the path reads {@linkcode DevConf}, in which the device's value and
 * that of `all` are combined already, so that a packet costs one field.
 */
import type { InDevConf } from "./contract.ts";

/** How the device's value and that of `all` make the one that counts. */
type Rule = "dev" | "and" | "or" | "max" | "redirects";

interface Knob {
  readonly name: string;
  readonly rule: Rule;
  /** The field that the path reads; null: nobody reads it yet. */
  readonly field: keyof InDevConf | null;
  /** Value of `all`. */
  readonly all: number;
  /** Value of `default`, which new devices take. */
  readonly dflt: number;
}

const k = (name: string, rule: Rule, field: keyof InDevConf | null, all: number = 0, dflt: number = all): Knob => ({
  name,
  rule,
  field,
  all,
  dflt,
});

const KNOBS: readonly Knob[] = [
  k("forwarding", "dev", "forwarding"),
  k("accept_local", "or", "acceptLocal"),
  k("accept_redirects", "redirects", "acceptRedirects", 1),
  k("accept_source_route", "and", "acceptSourceRoute", 0, 1),
  k("arp_accept", "max", "arpAccept"),
  k("arp_announce", "max", "arpAnnounce"),
  k("arp_evict_nocarrier", "and", "arpEvictNocarrier", 1),
  k("arp_filter", "or", "arpFilter"),
  k("arp_ignore", "max", "arpIgnore"),
  k("arp_notify", "max", "arpNotify"),
  k("bc_forwarding", "and", "bcForwarding"),
  k("bootp_relay", "and", null),
  k("disable_policy", "dev", null),
  k("disable_xfrm", "dev", null),
  k("drop_gratuitous_arp", "or", "dropGratuitousArp"),
  k("drop_unicast_in_l2_multicast", "or", "dropUnicastInL2Multicast"),
  k("force_igmp_version", "dev", null),
  k("igmpv2_unsolicited_report_interval", "dev", null, 10_000),
  k("igmpv3_unsolicited_report_interval", "dev", null, 1_000),
  k("ignore_routes_with_linkdown", "dev", "ignoreRoutesWithLinkdown"),
  k("log_martians", "or", "logMartians"),
  k("mc_forwarding", "and", null),
  k("medium_id", "dev", null),
  k("promote_secondaries", "or", "promoteSecondaries"),
  k("proxy_arp", "or", "proxyArp"),
  k("proxy_arp_pvlan", "dev", null),
  k("route_localnet", "or", "routeLocalnet"),
  k("rp_filter", "max", "rpFilter"),
  k("secure_redirects", "or", "secureRedirects", 1),
  k("send_redirects", "or", "sendRedirects", 1),
  k("shared_media", "or", "sharedMedia", 1),
  k("src_valid_mark", "or", null),
  k("tag", "dev", null),
];

/** Names, in the order of the values of {@linkcode ConfValues}. */
export const CONF_NAMES: readonly string[] = KNOBS.map((knob) => knob.name);

const INDEX: ReadonlyMap<string, number> = new Map(CONF_NAMES.map((name, i) => [name, i]));
const FORWARDING = 0;
const ACCEPT_REDIRECTS = 2;

/** Settings of a device as the path reads them. */
export class DevConf implements InDevConf {
  /** net.ipv4.conf.DEV.forwarding. */
  forwarding = 0;
  /** rp_filter. */
  rpFilter = 0;
  /** accept_source_route. */
  acceptSourceRoute = 0;
  /** accept_local. */
  acceptLocal = 0;
  /** route_localnet. */
  routeLocalnet = 0;
  /** log_martians. */
  logMartians = 0;
  /** accept_redirects. */
  acceptRedirects = 0;
  /** send_redirects. */
  sendRedirects = 0;
  /** arp_ignore. */
  arpIgnore = 0;
  /** arp_announce. */
  arpAnnounce = 0;
  /** arp_accept. */
  arpAccept = 0;
  /** arp_notify. */
  arpNotify = 0;
  /** arp_filter. */
  arpFilter = 0;
  /** proxy_arp. */
  proxyArp = 0;
  /** bc_forwarding. */
  bcForwarding = 0;
  /** drop_unicast_in_l2_multicast. */
  dropUnicastInL2Multicast = 0;
  /** shared_media. */
  sharedMedia = 0;
  /** secure_redirects. */
  secureRedirects = 0;
  /** promote_secondaries. */
  promoteSecondaries = 0;
  /** ignore_routes_with_linkdown. */
  ignoreRoutesWithLinkdown = 0;
  /** arp_evict_nocarrier. */
  arpEvictNocarrier = 0;
  /** drop_gratuitous_arp. */
  dropGratuitousArp = 0;
}

/** The raw values of one device, of `all` or of `default`. Linux: struct ipv4_devconf. */
export class ConfValues {
  /** By the order of {@linkcode CONF_NAMES}. */
  declare readonly values: number[];
  /** Set by hand on this device: `default` does not overwrite them any more. */
  declare readonly own: boolean[];

  /** A copy of `from`. */
  constructor(from: readonly number[]) {
    this.values = [...from];
    this.own = from.map(() => false);
  }
}

/** The values of `all` as Linux has them after boot. */
export function confAll(): ConfValues {
  return new ConfValues(KNOBS.map((knob) => knob.all));
}

/** The values of `default` as Linux has them after boot. */
export function confDefault(): ConfValues {
  return new ConfValues(KNOBS.map((knob) => knob.dflt));
}

/** The value of a name, or undefined. */
export function confGet(of: ConfValues, name: string): number | undefined {
  const i = INDEX.get(name);
  return i === undefined ? undefined : of.values[i];
}

/** Whether there is such a name. */
export function confKnows(name: string): boolean {
  return INDEX.has(name);
}

/** Sets a value by hand. */
export function confSet(of: ConfValues, name: string, value: number): void {
  const i = INDEX.get(name)!;
  of.values[i] = value;
  of.own[i] = true;
}

/** Gives the value of `default` to a device that was not set by hand. Linux: devinet_copy_dflt_conf(). */
export function confInherit(of: ConfValues, dflt: ConfValues, name: string): void {
  const i = INDEX.get(name)!;
  if (!of.own[i]) of.values[i] = dflt.values[i];
}

/** Writes the fields that the path reads. */
export function confCombine(to: InDevConf, dev: ConfValues, all: ConfValues): void {
  KNOBS.forEach((knob, i) => {
    if (knob.field !== null) to[knob.field] = combine(knob.rule, dev, all, i);
  });
}

function combine(rule: Rule, dev: ConfValues, all: ConfValues, i: number): number {
  const d = dev.values[i];
  const a = all.values[i];
  switch (rule) {
    case "dev":
      return d;
    case "and":
      return a !== 0 && d !== 0 ? 1 : 0;
    case "or":
      return a !== 0 || d !== 0 ? 1 : 0;
    case "max":
      return Math.max(a, d);
    case "redirects":
      // A router believes redirects only where `all` and the device say so, a host where either does.
      return dev.values[FORWARDING] !== 0
        ? combine("and", dev, all, ACCEPT_REDIRECTS)
        : combine("or", dev, all, ACCEPT_REDIRECTS);
  }
}
