/** What an expression asks of a packet, read from whatever headers are known so far. */
import type { SkBuff } from "../../../core/mod.ts";

const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_P_8021Q = 0x8100;
const ETH_HLEN = 14;
const VLAN_HLEN = 4;
const ARP_LEN = 28;

/** The headers of one packet, as far as an expression can ask for them. Filled again for each packet: do not keep it. */
export interface PacketFacts {
  /** EtherType in host order, behind a VLAN tag; 0: unknown. */
  etherType: number;
  /** IPv4's protocol number, -1: none. */
  protocol: number;
  /** Source of IPv4, or the sender that ARP names; int32. */
  src: number;
  /** Destination of IPv4, or the target that ARP names; int32. */
  dst: number;
  /** Whether {@linkcode src} and {@linkcode dst} are known. */
  hasAddresses: boolean;
  /** Source port of TCP or UDP, -1: none, as in all fragments but the first. */
  sport: number;
  /** Destination port, -1: none. */
  dport: number;
  /** Bytes of the frame without its check sequence: Ethernet header, tag, packet. */
  len: number;
}

/** Nothing known. */
export function noFacts(): PacketFacts {
  return { etherType: 0, protocol: -1, src: 0, dst: 0, hasAddresses: false, sport: -1, dport: -1, len: 0 };
}

/** Reads the headers of a packet whose network header is complete; false: it is not known. Borrows `skb`. */
export function readFacts(skb: SkBuff, facts: PacketFacts): boolean {
  let at = skb.networkHeader;
  if (at < skb.head || at >= skb.tail || skb.protocol === 0) return false;
  const v = skb.view;
  facts.etherType = skb.protocol;
  facts.len = ETH_HLEN;
  facts.protocol = facts.sport = facts.dport = -1;
  facts.hasAddresses = false;
  // A tag that a switch has not taken off yet: the type of what it carries stands behind it.
  if (facts.etherType === ETH_P_8021Q && at + VLAN_HLEN <= skb.tail) {
    facts.etherType = v.getUint16(at + 2);
    facts.len += VLAN_HLEN;
    at += VLAN_HLEN;
  }
  if (facts.etherType === ETH_P_ARP) readArp(v, at, skb.tail, facts);
  else if (facts.etherType === ETH_P_IP) return readIpv4(v, at, skb.tail, facts);
  else facts.len += Math.max(0, skb.len - (at - skb.data));
  return true;
}

function readArp(v: DataView, at: number, end: number, facts: PacketFacts): void {
  facts.len += ARP_LEN;
  if (at + ARP_LEN > end) return;
  facts.src = v.getInt32(at + 14);
  facts.dst = v.getInt32(at + 24);
  facts.hasAddresses = true;
}

function readIpv4(v: DataView, at: number, end: number, facts: PacketFacts): boolean {
  if (at + 20 > end || v.getUint8(at) >>> 4 !== 4) return false;
  facts.len += v.getUint16(at + 2);
  facts.protocol = v.getUint8(at + 9);
  facts.src = v.getInt32(at + 12);
  facts.dst = v.getInt32(at + 16);
  facts.hasAddresses = true;
  const l4 = at + (v.getUint8(at) & 15) * 4;
  const first = (v.getUint16(at + 6) & 0x1fff) === 0;
  if (first && (facts.protocol === 6 || facts.protocol === 17) && l4 + 4 <= end) {
    facts.sport = v.getUint16(l4);
    facts.dport = v.getUint16(l4 + 2);
  }
  return true;
}
