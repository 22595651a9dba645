/**
 * Transmit: frames go to the kernel straight from packet memory.
 *
 * @module
 */
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  DROP,
  G_NET,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  netifTxStopQueue,
  SKB_GSO_UDP_L4,
  type SkBuff,
} from "../../../core/mod.ts";
import {
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VNET_HDR_LEN,
} from "./header.ts";
import type { Tap } from "./state.ts";

const EAGAIN = 11;
const ENOBUFS = 105;
const EIO = 5;

/**
 * A driver's ndo_start_xmit; Linux's counterpart on the other side is tun_get_user(), drivers/net/tun.c.
 * One write(2), or writev(2) where there are frags or a vnet header. A kernel without room stops the queue until the
 * descriptor is writable. Takes ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function tapXmit(tap: Tap, skb: SkBuff): number {
  const dev = tap.dev;
  if (!dev.carrier || tap.fd < 0) return refuse(tap, skb, DROP.LINK_DOWN);
  const len = skb.len;
  const plain = skb.nrFrags === 0 && tap.hdrLen === 0;
  const n = plain
    ? tap.sys.write(tap.fd, tap.pointers.at(skb.slab, skb.data), len)
    : tap.sys.writev(tap.fd, tap.txIov.pointer, gather(tap, skb));
  if (n < 0) {
    const errno = tap.libc.errno;
    if (errno === EAGAIN || errno === ENOBUFS) {
      netifTxStopQueue(dev.txq[0]);
      tap.waitForRoom();
      return NETDEV_TX_BUSY;
    }
    return refuse(tap, skb, errno === EIO ? DROP.LINK_DOWN : DROP.DEV_HDR);
  }
  tap.machine.ledger.add(tap.siteWrite, len);
  dev.stats.txPackets++;
  dev.stats.txBytes += len;
  if ((tap.bus.mask & G_NET) !== 0) tap.bus.hit(tap.tp.write, skb, len, 1 + skb.nrFrags, dev);
  skb.consume();
  return NETDEV_TX_OK;
}

function refuse(tap: Tap, skb: SkBuff, reason: number): number {
  tap.dev.stats.txErrors++;
  tap.net.drop(skb, reason);
  return NETDEV_TX_OK;
}

/** Fills the iovec: vnet header, head, frags. Returns how many entries. Borrows `skb`. */
function gather(tap: Tap, skb: SkBuff): number {
  const iov = tap.txIov.words;
  let n = 0;
  if (tap.hdrLen !== 0) {
    writeOffload(tap.vnet.view, skb);
    iov[0] = tap.vnet.lo;
    iov[1] = tap.vnet.hi;
    iov[2] = VNET_HDR_LEN;
    n = 1;
  }
  tap.pointers.setIovec(iov, n++, skb.slab, skb.data, skb.tail - skb.data);
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    tap.pointers.setIovec(iov, n++, frag.slab, frag.offset, frag.size);
  }
  return n;
}

/** What is left to the kernel. Linux: virtio_net_hdr_from_skb(). Borrows `skb`. */
function writeOffload(view: DataView, skb: SkBuff): void {
  let flags = 0;
  let start = 0;
  let offset = 0;
  if (skb.ipSummed === CHECKSUM_PARTIAL) {
    flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    start = skb.csumStart - skb.data;
    offset = skb.csumOffset;
  } else if (skb.ipSummed === CHECKSUM_UNNECESSARY) flags = VIRTIO_NET_HDR_F_DATA_VALID;
  let type = 0;
  let headers = 0;
  if (skb.gsoSize !== 0) {
    const udp = (skb.gsoType & SKB_GSO_UDP_L4) !== 0;
    type = udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_TCPV4;
    // The TCP header's own length stands in its 13th byte (RFC 9293, 3.1).
    headers = start + (udp ? 8 : (skb.view.getUint8(skb.data + start + 12) >>> 4) << 2);
  }
  view.setUint8(0, flags);
  view.setUint8(1, type);
  view.setUint16(2, headers, true);
  view.setUint16(4, skb.gsoSize, true);
  view.setUint16(6, start, true);
  view.setUint16(8, offset, true);
}
