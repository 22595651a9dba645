/** Receive: the header is read and stripped. Linux: net/ethernet/eth.c. */
import {
  DROP,
  type EventBus,
  G_LINK,
  type NetDevice,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  type SkBuff,
} from "../../../core/mod.ts";
import { ETH_HLEN, ETH_P_802_2, ETH_P_802_3, ETH_P_802_3_MIN, isBroadcastEther, isMulticastEther } from "./header.ts";

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
  skb.dev = dev;
  skb.macHeader = at;
  skb.pull(ETH_HLEN);
  skb.macLen = ETH_HLEN;
  skb.pktType = packetTypeOf(dev, view.getUint16(at), view.getInt32(at + 2));
  const type = view.getUint16(at + 12);
  skb.protocol = type >= ETH_P_802_3_MIN ? type : lengthType(skb);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.typeTrans, skb, skb.protocol, skb.pktType, dev);
  return 0;
}

/** PACKET_*: for us, for all, for a group, or for another host (a flooding switch, or a promiscuous device). */
function packetTypeOf(dev: NetDevice, hi: number, lo: number): number {
  if (lo === dev.addrLo && hi === dev.addrHi) return PACKET_HOST;
  if (!isMulticastEther(hi)) return PACKET_OTHERHOST;
  return isBroadcastEther(hi, lo) ? PACKET_BROADCAST : PACKET_MULTICAST;
}

/** What an 802.3 frame carries: Novell's raw IPX begins with 0xffff where LLC has its access points. */
function lengthType(skb: SkBuff): number {
  return skb.mayPull(2) && skb.view.getUint16(skb.data) === 0xffff ? ETH_P_802_3 : ETH_P_802_2;
}
