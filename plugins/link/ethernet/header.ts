/**
 * The Ethernet header on the wire. IEEE 802.3; Linux: include/uapi/linux/if_ether.h.
 *
 * ```text
 *    0                 6                 12       14
 *    │ destination     │ source          │ type   │ payload ...
 * ```
 *
 * @module
 */
import { DROP, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the header. */
export const ETH_HLEN = 14;
/** Shortest frame without FCS. */
export const ETH_ZLEN = 60;
/** Longest payload of a frame that is not jumbo. */
export const ETH_DATA_LEN = 1500;
/** Bytes of the frame check sequence. */
export const ETH_FCS_LEN = 4;
/** EtherTypes from here on; below it is a length (802.3). */
export const ETH_P_802_3_MIN = 0x0600;
/** IPv4. */
export const ETH_P_IP = 0x0800;
/** ARP. */
export const ETH_P_ARP = 0x0806;
/** IPv6. */
export const ETH_P_IPV6 = 0x86dd;
/** 802.1Q. */
export const ETH_P_8021Q = 0x8100;
/** 802.1ad: the outer tag of two. */
export const ETH_P_8021AD = 0x88a8;
/** Bytes of a VLAN tag: priority and VLAN id, then the EtherType of what follows. */
export const VLAN_HLEN = 4;
/** The bits of a tag that are the VLAN id. */
export const VLAN_VID_MASK = 0x0fff;
/** Linux's dummy type: 802.2 LLC in an 802.3 frame. */
export const ETH_P_802_2 = 0x0004;
/** Linux's dummy type: Novell's raw 802.3. */
export const ETH_P_802_3 = 0x0001;
/** High half of ff:ff:ff:ff:ff:ff; the low half is -1. */
export const ETH_BROADCAST_HI = 0xffff;

/** A view of a header; made freely, never stored. */
export class EthernetHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 14 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /**
   * 0, or a drop reason: the header is not whole. After it no accessor fails until bytes are taken off the front.
   * `data` is at the header. Borrows `skb`.
   */
  static check(skb: SkBuff): number {
    return skb.mayPull(ETH_HLEN) ? 0 : DROP.HDR_TRUNC;
  }

  /** High 16 bits of the destination. */
  get dstHi(): number {
    return this.#view.getUint16(this.#at);
  }

  /** Low 32 bits of the destination. */
  get dstLo(): number {
    return this.#view.getInt32(this.#at + 2);
  }

  /** High 16 bits of the source. */
  get srcHi(): number {
    return this.#view.getUint16(this.#at + 6);
  }

  /** Low 32 bits of the source. */
  get srcLo(): number {
    return this.#view.getInt32(this.#at + 8);
  }

  /** EtherType, or length. */
  get type(): number {
    return this.#view.getUint16(this.#at + 12);
  }

  /** Writes the EtherType, or length. */
  set type(type: number) {
    this.#view.setUint16(this.#at + 12, type);
  }

  /** Writes the destination. */
  setDst(hi: number, lo: number): void {
    this.#view.setUint16(this.#at, hi);
    this.#view.setInt32(this.#at + 2, lo);
  }

  /** Writes the source. */
  setSrc(hi: number, lo: number): void {
    this.#view.setUint16(this.#at + 6, hi);
    this.#view.setInt32(this.#at + 8, lo);
  }
}

/** Whether an address is a group's (or all's): the first bit on the wire. Linux: is_multicast_ether_addr(). */
export function isMulticastEther(hi: number): boolean {
  return (hi & 0x0100) !== 0;
}

/** Whether it is ff:ff:ff:ff:ff:ff. Linux: is_broadcast_ether_addr(). */
export function isBroadcastEther(hi: number, lo: number): boolean {
  return hi === ETH_BROADCAST_HI && lo === -1;
}

/** Whether it is 00:00:00:00:00:00. Linux: is_zero_ether_addr(). */
export function isZeroEther(hi: number, lo: number): boolean {
  return (hi | lo) === 0;
}

/** High half of the group address of every IPv4 group: 01:00. RFC 1112 section 6.4. */
export const ETH_IP_MULTICAST_HI = 0x0100;

/** Low half of the group address of an IPv4 group: 5e, a zero bit, and the group's last 23 bits. RFC 1112 section 6.4. */
export function ethIpMulticastLo(group: number): number {
  return 0x5e000000 | (group & 0x7fffff);
}

/** Makes link header and tag private, `room` bytes free in front. `data` is behind the link header. Borrows `skb`. */
function cowLinkHeader(skb: SkBuff, room: number): boolean {
  // What is in front of data belongs to nobody and would not move along.
  const header = skb.data - skb.macHeader;
  skb.push(header);
  const ok = skb.cowHead(room);
  skb.pull(header);
  return ok;
}

/**
 * Takes the tag at `data` off: the addresses move up by four bytes, the EtherType behind the tag is the packet's. False: no
 * memory, or the tag is not whole; nothing changed. Linux: skb_vlan_untag(), net/core/skbuff.c. Borrows `skb`.
 */
export function skbVlanUntag(skb: SkBuff): boolean {
  if (!skb.mayPull(VLAN_HLEN) || !cowLinkHeader(skb, 0)) return false;
  const view = skb.view;
  const mac = skb.data - ETH_HLEN;
  const type = view.getUint16(skb.data + 2);
  // From the last word to the first: they overlap.
  view.setInt32(mac + 12, view.getInt32(mac + 8));
  view.setInt32(mac + 8, view.getInt32(mac + 4));
  view.setInt32(mac + 4, view.getInt32(mac));
  skb.pull(VLAN_HLEN);
  skb.macHeader = mac + VLAN_HLEN;
  skb.protocol = type >= ETH_P_802_3_MIN ? type : ETH_P_802_2;
  return true;
}

/**
 * Puts a tag between the addresses and the EtherType; `data` is behind the link header, then at the tag. False: no
 * memory, nothing changed. Linux: skb_vlan_push(), net/core/skbuff.c. Borrows `skb`.
 */
export function skbVlanPush(skb: SkBuff, proto: number, tci: number): boolean {
  if (!cowLinkHeader(skb, VLAN_HLEN)) return false;
  const view = skb.view;
  const mac = skb.data - ETH_HLEN - VLAN_HLEN;
  view.setInt32(mac, view.getInt32(mac + 4));
  view.setInt32(mac + 4, view.getInt32(mac + 8));
  view.setInt32(mac + 8, view.getInt32(mac + 12));
  view.setUint16(mac + 12, proto);
  view.setUint16(mac + 14, tci);
  skb.push(VLAN_HLEN);
  skb.macHeader = mac;
  skb.protocol = proto;
  return true;
}
