/**
 * The sending end of a pair: the skb itself changes hands, nothing is copied.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as veth from "./contract.ts";
import type { VethEnd } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, G_NET, IFF_UP, NETDEV_TX_BUSY, NETDEV_TX_OK, netifTxStopQueue } = core;
const { VETH_RING_SIZE } = veth;

/** Room for a tag on top of the MTU. */
const VLAN_HLEN = 4;

/**
 * Linux: veth_xmit(), drivers/net/veth.c.
 * With a queue discipline a full peer stops the queue; with none the packet is dropped.
 * Takes ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function vethXmit(end: VethEnd, skb: SkBuff): number {
  const dev = end.dev;
  const peer = end.peer;
  if (peer === null || (peer.dev.flags & IFF_UP) === 0) return refuse(end, skb, DROP.LINK_DOWN);
  if (peer.queue.qlen >= VETH_RING_SIZE) {
    if (dev.txq[0].qdisc === null) return refuse(end, skb, DROP.FULL_RING);
    netifTxStopQueue(dev.txq[0]);
    return NETDEV_TX_BUSY;
  }
  const len = skb.len;
  if (skb.gsoSize === 0 && len > peer.dev.mtu + peer.dev.headerOps.hardHeaderLen + VLAN_HLEN) {
    peer.dev.stats.rxDropped++;
    peer.dev.stats.rxLengthErrors++;
    return refuse(end, skb, DROP.FRAME_TOO_LONG);
  }
  scrub(skb, end.net !== peer.net);
  const reason = peer.dev.headerOps.parse(skb, peer.dev);
  if (reason !== 0) return refuse(end, skb, reason);
  skb.macLen = skb.data - skb.macHeader;
  skb.dev = peer.dev;
  dev.stats.txPackets++;
  dev.stats.txBytes += len;
  peer.queue.enqueue(skb);
  if ((end.bus.mask & G_NET) !== 0) end.bus.hit(end.tp.xmit, skb, len, peer.queue.qlen, peer.dev);
  if (!peer.notifyMasked) {
    peer.notifyMasked = true;
    peer.napi.schedule();
  }
  return NETDEV_TX_OK;
}

function refuse(end: VethEnd, skb: SkBuff, reason: number): number {
  end.dev.stats.txDropped++;
  end.net.drop(skb, reason);
  return NETDEV_TX_OK;
}

/** Forgets what belongs to the sending side: owner, route, and across nets mark and time. Linux: skb_scrub_packet(). */
function scrub(skb: SkBuff, otherNet: boolean): void {
  skb.orphan();
  skb.dst = null;
  skb.skbIif = 0;
  skb.ignoreDf = false;
  skb.priority = 0;
  skb.queueMapping = 0;
  if (!otherNet) return;
  skb.mark = 0;
  skb.tstamp = 0;
  skb.flags = 0;
}
