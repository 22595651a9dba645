/** What a rule sees of a packet, and whether it matches: numbers only, nothing is allocated. */
import type { SkBuff } from "../../../core/mod.ts";
import { TCP_HLEN } from "../../transport/tcp/header.ts";
import { IP_OFFSET } from "../ipv4/header.ts";
import type { Compiled, Ranges } from "./compile.ts";

/** The fields that rules look at. One record per filter, reused. */
export class Fields {
  /** IP protocol. */
  protocol = 0;
  /** Addresses, unsigned. */
  saddr = 0;
  daddr = 0;
  /** Ports; -1: there are none. */
  sport = -1;
  dport = -1;
  /** TCP flags, ICMP type; -1: there are none. */
  flags = -1;
  icmpType = -1;
  /** Devices; "": none. */
  iif = "";
  oif = "";
  /** Bytes of the datagram. */
  len = 0;

  /**
   * Reads a packet whose IPv4 header is linear. What the first fragment does not hold, or a later one cannot, is not
   * there: no rule that asks for it matches, as in nft. Borrows `skb`.
   */
  read(skb: SkBuff, iif: string, oif: string): void {
    const view = skb.view;
    const at = skb.networkHeader;
    const hlen = (view.getUint8(at) & 15) << 2;
    this.protocol = view.getUint8(at + 9);
    this.saddr = view.getUint32(at + 12);
    this.daddr = view.getUint32(at + 16);
    this.len = view.getUint16(at + 2);
    this.iif = iif;
    this.oif = oif;
    this.sport =
      this.dport =
      this.flags =
      this.icmpType =
        -1;
    if ((view.getUint16(at + 6) & IP_OFFSET) !== 0) return;
    this.#transport(skb, at - skb.data + hlen);
  }

  /** `before`: bytes from data to the transport header. Borrows `skb`. */
  #transport(skb: SkBuff, before: number): void {
    const { protocol } = this;
    if (protocol === 1) {
      if (skb.mayPull(before + 1)) this.icmpType = skb.view.getUint8(skb.data + before);
      return;
    }
    if ((protocol !== 6 && protocol !== 17 && protocol !== 132) || !skb.mayPull(before + 4)) return;
    this.sport = skb.view.getUint16(skb.data + before);
    this.dport = skb.view.getUint16(skb.data + before + 2);
    if (protocol === 6 && skb.mayPull(before + TCP_HLEN)) this.flags = skb.view.getUint8(skb.data + before + 13);
  }
}

/** Whether all that `rule` asks for is so. */
export function matches(rule: Compiled, f: Fields): boolean {
  return inside(rule.protocol, f.protocol) && inside(rule.saddr, f.saddr) && inside(rule.daddr, f.daddr) &&
    inside(rule.sport, f.sport) && inside(rule.dport, f.dport) && inside(rule.icmpType, f.icmpType) &&
    (rule.flagsMask === 0 || (f.flags !== -1 && (f.flags & rule.flagsMask) === rule.flagsValue)) &&
    named(rule.iif, f.iif) && named(rule.oif, f.oif);
}

function inside(ranges: Ranges | null, value: number): boolean {
  if (ranges === null) return true;
  if (value < 0) return false;
  const { at } = ranges;
  for (let i = 0; i < at.length; i += 2) if (value >= at[i] && value <= at[i + 1]) return !ranges.not;
  return ranges.not;
}

function named(patterns: readonly string[] | null, name: string): boolean {
  if (patterns === null) return true;
  let some = false;
  let not = false;
  for (let i = 0; i < patterns.length; i++) {
    let pattern = patterns[i];
    if (pattern.startsWith("!")) {
      not = true;
      pattern = pattern.slice(1);
    }
    some ||= pattern.endsWith("*") ? name !== "" && name.startsWith(pattern.slice(0, -1)) : name === pattern;
  }
  return some !== not;
}
