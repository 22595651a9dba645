/**
 * Which flow a packet belongs to: a keyed hash over addresses, protocol and ports. Linux: skb_get_hash_perturb(),
 * net/core/flow_dissector.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import {
  IP_HLEN,
  IP_MF,
  IP_OFFSET,
  IPH_DADDR,
  IPH_FRAG_OFF,
  IPH_PROTOCOL,
  IPH_SADDR,
} from "../../network/ipv4/header.ts";

const ETH_P_IP = 0x0800;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** Whether a whole IPv4 header is linear. Borrows `skb`. */
export function hasIpv4(skb: SkBuff): boolean {
  const ip = skb.networkHeader;
  return skb.protocol === ETH_P_IP && ip >= skb.head && ip + IP_HLEN <= skb.tail;
}

/** 32 bits that are the same for all packets of a flow; other keys give other ones. Borrows `skb`. */
export function flowHash(skb: SkBuff, key: number): number {
  const ip = skb.networkHeader;
  if (!hasIpv4(skb)) {
    return mix(
      skb.protocol,
      skb.macHeader >= 0 && skb.macHeader + 12 <= skb.tail ? skb.view.getInt32(skb.macHeader) : 0,
      key,
    );
  }
  const view = skb.view;
  const protocol = view.getUint8(ip + IPH_PROTOCOL);
  let h = mix(view.getInt32(ip + IPH_SADDR), view.getInt32(ip + IPH_DADDR), key ^ protocol);
  // Only a whole datagram has ports that all its packets share.
  const l4 = ip + ((view.getUint8(ip) & 15) << 2);
  const ports = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
  if (ports && (view.getUint16(ip + IPH_FRAG_OFF) & (IP_MF | IP_OFFSET)) === 0 && l4 + 4 <= skb.tail) {
    h = mix(h, view.getInt32(l4), key);
  }
  return h;
}

function mix(a: number, b: number, key: number): number {
  let h = Math.imul(a ^ key, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 15)) + b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
  return h ^ (h >>> 16);
}
