/** A frame leaves through one port or through all. Linux: net/bridge/br_forward.c, br_device.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import { BR_STATE_FORWARDING, type BridgeState, type Port } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { devQueueXmit, DROP, IFF_UP, NETDEV_TX_OK } = core;
const { ETH_HLEN, ETH_P_8021Q, isMulticastEther, skbVlanPush, skbVlanUntag, VLAN_HLEN, VLAN_VID_MASK } = ethernetHeader;

/** Linux: should_deliver(). */
function shouldDeliver(to: Port, from: Port | null, vid: number): boolean {
  return to !== from && to.state === BR_STATE_FORWARDING && (to.dev.flags & IFF_UP) !== 0 && (vid === 0 || to.has(vid));
}

/** To one port. `data` is behind the link header. Linux: br_forward(). Takes ownership of `skb`. */
export function brForward(to: Port, skb: SkBuff, from: Port | null, vid: number): void {
  if (shouldDeliver(to, from, vid)) send(to, skb, vid);
  else to.dev.net.drop(skb, DROP.OTHERHOST);
}

/** To all ports but the one it came from; the last gets the packet, the others clones. Linux: br_flood(). Takes ownership of `skb`. */
export function brFlood(br: BridgeState, skb: SkBuff, from: Port | null, vid: number): void {
  let last: Port | null = null;
  const { ports } = br;
  for (let i = 0; i < ports.length; i++) {
    if (!shouldDeliver(ports[i], from, vid)) continue;
    if (last !== null) {
      const twin = skb.clone();
      if (twin === null) last.dev.stats.txDropped++;
      else send(last, twin, vid);
    }
    last = ports[i];
  }
  if (last !== null) send(last, skb, vid);
  else br.dev.net.drop(skb, DROP.OTHERHOST);
}

/** Pushes the link header again and gives it to the port's device. Linux: br_dev_queue_push_xmit(). Takes ownership of `skb`. */
function send(to: Port, skb: SkBuff, vid: number): void {
  const { dev } = to;
  const tagged = skb.protocol === ETH_P_8021Q;
  if (vid !== 0 && !setTag(skb, tagged, vid === to.pvid && !to.tagged.has(vid) ? 0 : vid)) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.NOMEM);
    return;
  }
  if (skb.gsoSize === 0 && skb.len - (skb.protocol === ETH_P_8021Q ? VLAN_HLEN : 0) > dev.mtu) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.PKT_TOO_BIG);
    return;
  }
  skb.push(skb.data - skb.macHeader);
  skb.dev = dev;
  skb.dst = null;
  devQueueXmit(skb);
}

/** Makes the tag of a frame be `vid`, or none (0). `data` is behind the link header. False: no memory. Borrows `skb`. */
function setTag(skb: SkBuff, tagged: boolean, vid: number): boolean {
  if (!tagged) return vid === 0 || skbVlanPush(skb, ETH_P_8021Q, vid);
  if (vid === 0) return skbVlanUntag(skb);
  return (skb.view.getUint16(skb.data) & VLAN_VID_MASK) === vid ||
    (skbVlanUntag(skb) && skbVlanPush(skb, ETH_P_8021Q, vid));
}

/** The host sends through the bridge's device. Linux: br_dev_xmit(), net/bridge/br_device.c. Takes ownership of `skb`. */
export function brDevXmit(br: BridgeState, skb: SkBuff): number {
  const { dev } = br;
  if (!skb.mayPull(ETH_HLEN)) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.HDR_TRUNC);
    return NETDEV_TX_OK;
  }
  dev.stats.txPackets++;
  dev.stats.txBytes += skb.len;
  const view = skb.view;
  const at = skb.data;
  const hi = view.getUint16(at);
  const lo = view.getInt32(at + 2);
  skb.macHeader = at;
  skb.protocol = view.getUint16(at + 12);
  skb.pull(ETH_HLEN);
  let vid = 0;
  if (br.vlanFiltering) {
    const tag = skb.protocol === ETH_P_8021Q && skb.mayPull(VLAN_HLEN)
      ? skb.view.getUint16(skb.data) & VLAN_VID_MASK
      : 0;
    vid = tag !== 0 ? tag : br.self.pvid;
    if (!br.self.has(vid)) {
      dev.stats.txDropped++;
      dev.net.drop(skb, DROP.VLAN_UNKNOWN);
      return NETDEV_TX_OK;
    }
  }
  const to = isMulticastEther(hi) ? null : br.fdb.find(vid, hi, lo, br.machine.jiffies);
  if (to === null || to === br.self) brFlood(br, skb, null, vid);
  else brForward(to, skb, null, vid);
  return NETDEV_TX_OK;
}
