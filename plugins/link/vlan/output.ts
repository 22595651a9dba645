/** Transmit: the tag goes in, the frame to the device below. Linux: net/8021q/vlan_dev.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import type { VlanDev } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { devQueueXmit, DROP, NETDEV_TX_OK } = core;
const { ETH_HLEN, skbVlanPush, VLAN_HLEN } = ethernetHeader;

/**
 * Linux: vlan_dev_hard_start_xmit(), net/8021q/vlan_dev.c. Takes ownership of `skb`. A device below that is full
 * drops it.
 */
export function vlanXmit(vlan: VlanDev, skb: SkBuff): number {
  const { dev, real } = vlan;
  const len = skb.len;
  if (len < ETH_HLEN || !skb.mayPull(ETH_HLEN)) return refuse(vlan, skb, DROP.HDR_TRUNC);
  skb.macHeader = skb.data;
  skb.pull(ETH_HLEN);
  if (!skbVlanPush(skb, vlan.proto, (vlan.egress[skb.priority & 15] << 13) | vlan.id)) {
    return refuse(vlan, skb, DROP.NOMEM);
  }
  skb.push(ETH_HLEN);
  skb.macLen = ETH_HLEN + VLAN_HLEN;
  skb.dev = real;
  dev.stats.txPackets++;
  dev.stats.txBytes += len;
  if (devQueueXmit(skb) !== 0) dev.stats.txDropped++;
  return NETDEV_TX_OK;
}

function refuse(vlan: VlanDev, skb: SkBuff, reason: number): number {
  vlan.dev.stats.txDropped++;
  vlan.dev.net.drop(skb, reason);
  return NETDEV_TX_OK;
}
