/** Receive: the header is read and stripped. Linux: net/ethernet/eth.c. */
import type { EventBus, NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "./header.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, G_LINK, PACKET_BROADCAST, PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST } = core;
const {
  ETH_HLEN,
  ETH_P_8021AD,
  ETH_P_8021Q,
  ETH_P_802_2,
  ETH_P_802_3,
  ETH_P_802_3_MIN,
  isBroadcastEther,
  isMulticastEther,
  VLAN_HLEN,
  VLAN_VID_MASK,
} = ethernetHeader;

/** What the path functions of Ethernet need. One per net. */
export interface EthState {
  /** Tracepoints. */
  readonly bus: EventBus;
  /** Their ids. */
  readonly tp: { readonly typeTrans: number; readonly header: number };
}

/**
 * Linux: eth_type_trans(), net/ethernet/eth.c.
 *
 * Finds whom the frame is for and what it carries, and strips the header. Linux's drivers refuse runts before they call
 * it; here it does, so that every device is safe. An 802.3 length is not held against the frame: that is the business
 * of LLC, which nobody registers, so such a frame ends as UNHANDLED_PROTO.
 *
 * Borrows `skb`. Returns 0 or a drop reason.
 */
export function ethTypeTrans(st: EthState, skb: SkBuff, dev: NetDevice): number {
  if (skb.tail - skb.data < ETH_HLEN && !skb.mayPull(ETH_HLEN)) return DROP.HDR_TRUNC;
  const view = skb.view;
  const at = skb.data;
  const hi = view.getUint16(at);
  const lo = view.getInt32(at + 2);
  const type = view.getUint16(at + 12);
  if (skb.dev !== dev) skb.dev = dev;
  skb.macHeader = at;
  skb.data = at + ETH_HLEN;
  skb.len -= ETH_HLEN;
  skb.macLen = ETH_HLEN;
  skb.pktType = lo === dev.addrLo && hi === dev.addrHi ? PACKET_HOST : packetTypeOf(hi, lo);
  if (type >= ETH_P_802_3_MIN && type !== ETH_P_8021Q && type !== ETH_P_8021AD) skb.protocol = type;
  else if (!unusualType(skb, type)) return DROP.HDR_TRUNC;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.typeTrans, skb, skb.protocol, skb.pktType, dev);
  return 0;
}

/**
 * Takes off tags with VLAN id 0: they carry a priority, and the frame is one without a VLAN (IEEE 802.1Q section 6.9).
 * Linux: skb_vlan_untag(), net/core/skbuff.c, called from __netif_receive_skb_core(). Other tags stay: a VLAN device's
 * business. Borrows `skb`. The EtherType behind them, or -1: a tag is not whole.
 */
function untagPriority(skb: SkBuff, type: number): number {
  while (type === ETH_P_8021Q || type === ETH_P_8021AD) {
    if (!skb.mayPull(VLAN_HLEN)) return -1;
    if ((skb.view.getUint16(skb.data) & VLAN_VID_MASK) !== 0) return type;
    type = skb.view.getUint16(skb.data + 2);
    skb.pull(VLAN_HLEN);
    skb.macLen += VLAN_HLEN;
  }
  return type;
}

/** A tag, or a length. False: a tag is not whole. Borrows `skb`. */
function unusualType(skb: SkBuff, type: number): boolean {
  const inner = untagPriority(skb, type);
  if (inner < 0) return false;
  skb.protocol = inner >= ETH_P_802_3_MIN ? inner : lengthType(skb);
  return true;
}

/** PACKET_*: for all, for a group, or for another host (a flooding switch, or a promiscuous device). */
function packetTypeOf(hi: number, lo: number): number {
  if (!isMulticastEther(hi)) return PACKET_OTHERHOST;
  return isBroadcastEther(hi, lo) ? PACKET_BROADCAST : PACKET_MULTICAST;
}

/** What an 802.3 frame carries: Novell's raw IPX begins with 0xffff where LLC has its access points. */
function lengthType(skb: SkBuff): number {
  return skb.mayPull(2) && skb.view.getUint16(skb.data) === 0xffff ? ETH_P_802_3 : ETH_P_802_2;
}
