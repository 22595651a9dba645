/**
 * Transmit ends here, and receive begins in the next softirq.
 *
 * @module
 */
import { NETDEV_TX_OK, type NetDevice, netifRx, type SkBuff } from "../../../core/mod.ts";

/**
 * Linux: loopback_xmit(), drivers/net/loopback.c.
 * The sender's buffer is free again at once: from here on the packet is the receiver's. Its route stays.
 * Takes ownership of `skb`.
 */
export function loopbackXmit(skb: SkBuff, dev: NetDevice): number {
  skb.orphan();
  skb.tstamp = 0;
  skb.skbIif = 0;
  const reason = dev.headerOps.parse(skb, dev);
  if (reason !== 0) {
    dev.stats.txErrors++;
    dev.net.drop(skb, reason);
    return NETDEV_TX_OK;
  }
  skb.dev = dev;
  const len = skb.len;
  if (!netifRx(skb)) return NETDEV_TX_OK;
  const stats = dev.stats;
  stats.txPackets++;
  stats.rxPackets++;
  stats.txBytes += len;
  stats.rxBytes += len;
  return NETDEV_TX_OK;
}
