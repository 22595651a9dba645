/** The VLAN devices of a net, by the device below and the tag. */
import type { Net, NetDevice } from "../../../core/mod.ts";

/** One VLAN device. Linux: struct vlan_dev_priv. */
export interface VlanDev {
  /** The device. */
  readonly dev: NetDevice;
  /** The device below. */
  readonly real: NetDevice;
  /** VLAN id. */
  readonly id: number;
  /** EtherType of the tag. */
  readonly proto: number;
  /** Priority bits of the tag by `skb.priority & 15`. */
  readonly egress: Int8Array;
  /** `skb.priority` by priority bits. */
  readonly ingress: Int8Array;
}

/** VLANs of a net. */
export class VlanState {
  /** The net. */
  declare readonly net: Net;
  /** By {@linkcode vlanKey}. */
  readonly devs: Map<number, VlanDev> = new Map();

  /** None yet. */
  constructor(net: Net) {
    this.net = net;
  }
}

/** Device, tag and id in one number. */
export function vlanKey(ifindex: number, proto: number, id: number): number {
  return ifindex * 0x2000 + (proto === 0x8100 ? 0 : 0x1000) + id;
}
