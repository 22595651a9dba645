/**
 * The hash of a flow where the NIC gave none. Linux: net/core/flow_dissector.c, skb_get_hash().
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import * as ipv4Header from "../../network/ipv4/header.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP } = ethernetHeader;
const { IP_HLEN, IP_MF, IP_OFFSET, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR } = ipv4Header;

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/**
 * 32 bits, never 0, from addresses, protocol and ports: the same for both directions, others with another key. What is
 * not IPv4 is one flow per EtherType. Borrows `skb`. Linux: __flow_hash_consistentify().
 */
export function flowDissect(skb: SkBuff, key: number): number {
  const { view, head, tail, networkHeader: ip } = skb;
  let type = skb.protocol;
  if ((type === ETH_P_8021Q || type === ETH_P_8021AD) && ip - 2 >= head && ip <= tail) type = view.getUint16(ip - 2);
  if (type !== ETH_P_IP || ip < head || ip + IP_HLEN > tail) return mix(type, 0, key) || 1;
  const saddr = view.getInt32(ip + IPH_SADDR);
  const daddr = view.getInt32(ip + IPH_DADDR);
  const protocol = view.getUint8(ip + IPH_PROTOCOL);
  const l4 = ip + ((view.getUint8(ip) & 15) << 2);
  let sport = 0, dport = 0;
  // Only a whole datagram has ports that all its packets share.
  const whole = (view.getUint16(ip + IPH_FRAG_OFF) & (IP_MF | IP_OFFSET)) === 0;
  if ((protocol === IPPROTO_TCP || protocol === IPPROTO_UDP) && whole && l4 + 4 <= tail) {
    sport = view.getUint16(l4);
    dport = view.getUint16(l4 + 2);
  }
  const turned = daddr < saddr || (daddr === saddr && dport < sport);
  const addresses = turned ? mix(daddr, saddr, key ^ protocol) : mix(saddr, daddr, key ^ protocol);
  return mix(addresses, turned ? (dport << 16) | sport : (sport << 16) | dport, key) || 1;
}

/** `hash` of 32 bits scaled to 0 ... n - 1. Linux: reciprocal_scale(). */
export function reciprocalScale(hash: number, n: number): number {
  return Math.floor((hash >>> 0) * n / 0x1_0000_0000);
}

function mix(a: number, b: number, key: number): number {
  let h = Math.imul(a ^ key, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 15)) + b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
  return h ^ (h >>> 16);
}
