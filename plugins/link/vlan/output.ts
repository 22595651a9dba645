/** Transmit: the tag goes in, the frame to the device below. Linux: net/8021q/vlan_dev.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import type { VlanDev } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { devQueueXmit, DROP, NETDEV_TX_OK } = core;
const { ETH_HLEN, VLAN_HLEN } = ethernetHeader;

/**
 * Linux: vlan_dev_hard_start_xmit(), net/8021q/vlan_dev.c. Takes ownership of `skb`. A device below that is full
 * drops it.
 */
export function vlanXmit(vlan: VlanDev, skb: SkBuff): number {
  const { dev, real } = vlan;
  const len = skb.len;
  if (len < ETH_HLEN || !skb.mayPull(ETH_HLEN) || !skb.cowHead(VLAN_HLEN)) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.NOMEM);
    return NETDEV_TX_OK;
  }
  const at = skb.push(VLAN_HLEN);
  const view = skb.view;
  view.setInt32(at, view.getInt32(at + 4));
  view.setInt32(at + 4, view.getInt32(at + 8));
  view.setInt32(at + 8, view.getInt32(at + 12));
  view.setInt32(at + 12, (vlan.proto << 16) | (vlan.egress[skb.priority & 15] << 13) | vlan.id);
  skb.macHeader = at;
  skb.macLen = ETH_HLEN + VLAN_HLEN;
  skb.protocol = vlan.proto;
  skb.dev = real;
  dev.stats.txPackets++;
  dev.stats.txBytes += len;
  if (devQueueXmit(skb) !== 0) dev.stats.txDropped++;
  return NETDEV_TX_OK;
}
