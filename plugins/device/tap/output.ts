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
import { type Tap, TAP_TX_RING, TX_IOV, TX_IOV_WORDS, VNET_STRIDE } from "./state.ts";
import { IORING_OP_WRITE, IORING_OP_WRITEV, type Uring } from "./uring.ts";

const EAGAIN = 11;
const ENOBUFS = 105;
const EIO = 5;
const U32_MAX = 0xffffffff;

/**
 * A driver's ndo_start_xmit; Linux's counterpart on the other side is tun_get_user(), drivers/net/tun.c.
 * Queues the frame in the driver's ring. The doorbell rings when the ring is full, when NAPI's poll ends, or at the
 * outermost exit, so that what one entry sends goes in one batch. A full ring stops the queue until the descriptor is
 * writable. Takes ownership of `skb` unless it returns NETDEV_TX_BUSY.
 */
export function tapXmit(tap: Tap, skb: SkBuff, more: boolean): number {
  if (!tap.dev.carrier || tap.fd < 0) {
    refuse(tap, skb, DROP.LINK_DOWN);
    return NETDEV_TX_OK;
  }
  if (tap.txCount === TAP_TX_RING) return busy(tap);
  tap.txSkb[tap.txCount++] = skb;
  if (tap.txCount === TAP_TX_RING) tapFlush(tap);
  else if (!more && tap.machine.depth === 0) tapFlush(tap);
  else if (!tap.doorbell.ready) tap.machine.wakeLater(tap.doorbell);
  return NETDEV_TX_OK;
}

function busy(tap: Tap): number {
  netifTxStopQueue(tap.dev.txq[0]);
  tap.waitForRoom();
  return NETDEV_TX_BUSY;
}

/**
 * The doorbell: writes what waits in the ring, and frees what the kernel took. Where the kernel has no room the rest stays,
 * the queue stops, and the descriptor calls when it is writable.
 */
export function tapFlush(tap: Tap): void {
  const n = tap.txCount;
  // What a completed packet's owner does may come back here.
  if (n === 0 || tap.flushing) return;
  tap.flushing = true;
  tap.counters.txBatches++;
  if (tap.uring !== null && n > 1) writeBatch(tap, tap.uring, n);
  else writeOneByOne(tap, n);
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const skb = tap.txSkb[i]!;
    tap.txSkb[i] = null;
    const rc = tap.txRes[i];
    if (rc === -EAGAIN || rc === -ENOBUFS) tap.txSkb[kept++] = skb;
    else if (rc < 0) refuse(tap, skb, rc === -EIO ? DROP.LINK_DOWN : DROP.DEV_HDR);
    else sent(tap, skb);
  }
  tap.txCount = kept;
  tap.flushing = false;
  if (kept !== 0) busy(tap);
}

/** Nothing goes out any more. */
export function tapPurge(tap: Tap): void {
  const n = tap.txCount;
  tap.txCount = 0;
  for (let i = 0; i < n; i++) {
    const skb = tap.txSkb[i]!;
    tap.txSkb[i] = null;
    refuse(tap, skb, DROP.LINK_DOWN);
  }
}

/** One system call. The kernel takes the entries in their order; one for which it has no memory may be overtaken. */
function writeBatch(tap: Tap, uring: Uring, n: number): void {
  for (let i = 0; i < n; i++) {
    const skb = tap.txSkb[i]!;
    const count = gather(tap, skb, i);
    const v = i * TX_IOV_WORDS;
    if (count === 1) {
      const iov = tap.txIov.words;
      uring.prepare(i, IORING_OP_WRITE, tap.fd, iov[v], iov[v + 1], iov[v + 2]);
    } else {
      const lo = tap.txIov.lo + v * 4;
      uring.prepare(i, IORING_OP_WRITEV, tap.fd, lo, lo > U32_MAX ? tap.txIov.hi + 1 : tap.txIov.hi, count);
    }
  }
  if (!uring.submit(n)) return writeOneByOne(tap, n);
  for (let i = 0; i < n; i++) tap.txRes[i] = uring.res[i];
}

/** A system call for each: write(2), or writev(2) where there are frags or a vnet header; until there is no room. */
function writeOneByOne(tap: Tap, n: number): void {
  tap.txRes.fill(-EAGAIN, 0, n);
  for (let i = 0; i < n; i++) {
    const skb = tap.txSkb[i]!;
    const plain = skb.nrFrags === 0 && tap.hdrLen === 0;
    const rc = plain
      ? tap.sys.write(tap.fd, tap.pointers.at(skb.slab, skb.data), skb.len)
      : tap.sys.writev(tap.fd, tap.txIov.pointer, gather(tap, skb, 0));
    const res = tap.txRes[i] = rc < 0 ? -tap.libc.errno : rc;
    if (res === -EAGAIN || res === -ENOBUFS) return;
  }
}

/** The kernel has it. Takes ownership of `skb`. */
function sent(tap: Tap, skb: SkBuff): void {
  const dev = tap.dev;
  const len = skb.len;
  tap.machine.ledger.add(tap.siteWrite, len);
  dev.stats.txPackets++;
  dev.stats.txBytes += len;
  if ((tap.bus.mask & G_NET) !== 0) tap.bus.hit(tap.tp.write, skb, len, 1 + skb.nrFrags, dev);
  skb.consume();
}

/** Takes ownership of `skb`. */
function refuse(tap: Tap, skb: SkBuff, reason: number): void {
  tap.dev.stats.txErrors++;
  tap.net.drop(skb, reason);
}

/** Fills the iovec of entry `i`: vnet header, head, frags. Returns how many pieces. Borrows `skb`. */
function gather(tap: Tap, skb: SkBuff, i: number): number {
  const iov = tap.txIov.words;
  const first = i * TX_IOV;
  let n = first;
  if (tap.hdrLen !== 0) {
    const at = i * VNET_STRIDE;
    writeOffload(tap.vnet.view, at, skb);
    const lo = tap.vnet.lo + at;
    iov[n * 4] = lo;
    iov[n * 4 + 1] = lo > U32_MAX ? tap.vnet.hi + 1 : tap.vnet.hi;
    iov[n * 4 + 2] = VNET_HDR_LEN;
    n++;
  }
  tap.pointers.setIovec(iov, n++, skb.slab, skb.data, skb.tail - skb.data);
  for (let k = 0; k < skb.nrFrags; k++) {
    const frag = skb.frags[k];
    tap.pointers.setIovec(iov, n++, frag.slab, frag.offset, frag.size);
  }
  return n - first;
}

/** What is left to the kernel. Linux: virtio_net_hdr_from_skb(). Borrows `skb`. */
function writeOffload(view: DataView, at: number, skb: SkBuff): void {
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
  view.setUint8(at, flags);
  view.setUint8(at + 1, type);
  view.setUint16(at + 2, headers, true);
  view.setUint16(at + 4, skb.gsoSize, true);
  view.setUint16(at + 6, start, true);
  view.setUint16(at + 8, offset, true);
}
