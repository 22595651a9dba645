/**
 * VLAN devices: what one is made of. Linux: net/8021q, IEEE 802.1Q.
 *
 * @module
 */
import type { NetDevice, Token } from "../../../core/mod.ts";

/** What `ip link add link DEV name NAME type vlan id ID` says. */
export interface VlanOptions {
  /** VLAN id, 1 to 4094. */
  id: number;
  /** Tag of 802.1Q (the default), or of 802.1ad: the outer one of two. */
  protocol?: "802.1Q" | "802.1ad";
  /** Priority bits of the tag by `skb.priority`, as `egress-qos-map`. Default: all 0. */
  egress?: Readonly<Record<number, number>>;
  /** `skb.priority` by the tag's priority bits, as `ingress-qos-map`. Default: 0. */
  ingress?: Readonly<Record<number, number>>;
  /** Address. Default: that of the device below. */
  address?: string;
}

/** VLANs of a net. */
export interface Vlans {
  /**
   * Adds a VLAN device on top of another. A taken name, an id that the device has already, or one that is none, is an
   * error. Linux: register_vlan_dev().
   */
  add(name: string, link: NetDevice, options: VlanOptions): NetDevice;
  /** The device below a VLAN device; null: it is none. Linux: vlan_dev_real_dev(). */
  realDev(dev: NetDevice): NetDevice | null;
}

/** Their token. */
export const VLANS: Token<Vlans> = { name: "netpath:vlan" };
