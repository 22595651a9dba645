/**
 * What the outer header takes from the frame inside, and gives back: flow, type of service, ECN.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../../link/ethernet/header.ts";
import * as ipv4Header from "../../network/ipv4/header.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { csumFold } = core;
const { ETH_HLEN, ETH_P_IP } = ethernetHeader;
const { IP_HLEN, IP_MF, IP_OFFSET, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR } = ipv4Header;

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPH_TOS = 1;
const IPH_CHECK = 10;
/** The two bits of ECN. RFC 3168 section 5. */
export const ECN_MASK = 3;
/** Not capable; ECT(1); ECT(0); congestion experienced. */
const NOT_ECT = 0, ECT_1 = 1, ECT_0 = 2, CE = 3;

/** Position of the IPv4 header of the frame whose link header is at `data`, or -1: it has none. Borrows `skb`. */
export function innerIpv4(skb: SkBuff): number {
  const view = skb.view;
  if (skb.tail - skb.data < ETH_HLEN + IP_HLEN || view.getUint16(skb.data + 12) !== ETH_P_IP) return -1;
  return skb.data + ETH_HLEN;
}

/**
 * 32 bits that are the same for all frames of a flow; `ip` as {@linkcode innerIpv4} gives it. Linux: skb_get_hash(), and
 * for what is not IP the addresses of the frame, as udp_flow_src_port() does. Borrows `skb`.
 */
export function innerHash(skb: SkBuff, ip: number, key: number): number {
  const view = skb.view;
  if (ip < 0) {
    const at = skb.data;
    return mix(mix(view.getInt32(at), view.getInt32(at + 4), key), view.getInt32(at + 8), key);
  }
  const protocol = view.getUint8(ip + IPH_PROTOCOL);
  const h = mix(view.getInt32(ip + IPH_SADDR), view.getInt32(ip + IPH_DADDR), key ^ protocol);
  // Only a whole datagram has ports that all its packets share.
  const l4 = ip + ((view.getUint8(ip) & 15) << 2);
  const ports = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
  const whole = (view.getUint16(ip + IPH_FRAG_OFF) & (IP_MF | IP_OFFSET)) === 0;
  return ports && whole && l4 + 4 <= skb.tail ? mix(h, view.getInt32(l4), key) : h;
}

function mix(a: number, b: number, key: number): number {
  let h = Math.imul(a ^ key, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 15)) + b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
  return h ^ (h >>> 16);
}

/** The type of service outside: its own six bits, and ECN of the inner one. RFC 6040 section 4.1; Linux: INET_ECN_encapsulate(). */
export function ecnEncapsulate(tos: number, inner: number): number {
  return (tos & ~ECN_MASK) | ((inner & ECN_MASK) === CE ? ECT_0 : inner & ECN_MASK);
}

/**
 * What happened to the outer packet on its way happened to the inner one: `data` is at the inner network header. False: it
 * cannot be told to one that knows no ECN, and the packet is to be dropped. RFC 6040 section 4.2; Linux:
 * INET_ECN_decapsulate(). Borrows `skb`.
 */
export function ecnDecapsulate(skb: SkBuff, outer: number): boolean {
  outer &= ECN_MASK;
  if (outer === NOT_ECT || outer === ECT_0 || skb.protocol !== ETH_P_IP) return true;
  if (!skb.mayPull(IP_HLEN)) return true; // IP refuses it
  const inner = skb.view.getUint8(skb.data + IPH_TOS) & ECN_MASK;
  if (inner === NOT_ECT) return outer !== CE;
  if (outer === CE ? inner !== CE : inner === ECT_0) return mark(skb, outer === CE ? CE : ECT_1);
  return true;
}

/** Writes the ECN bits and mends the header checksum (RFC 1624). False: no memory. Borrows `skb`. */
function mark(skb: SkBuff, ecn: number): boolean {
  if (!skb.cowHead(0)) return false;
  const view = skb.view;
  const before = view.getUint16(skb.data, true);
  view.setUint8(skb.data + IPH_TOS, (view.getUint8(skb.data + IPH_TOS) & ~ECN_MASK) | ecn);
  const sum = view.getUint16(skb.data + IPH_CHECK, true);
  const changed = (~sum & 0xffff) + (~before & 0xffff) + view.getUint16(skb.data, true);
  view.setUint16(skb.data + IPH_CHECK, csumFold(changed), true);
  return true;
}
