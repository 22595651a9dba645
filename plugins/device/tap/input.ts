/**
 * Receive: NAPI reads frames straight into packet memory.
 *
 * @module
 */
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  DROP,
  G_NAPI,
  type Napi,
  NET_SKB_PAD,
  SKB_GSO_TCPV4,
  SKB_GSO_UDP_L4,
  type SkBuff,
  SLOT_BUFFER,
  SLOT_LARGE,
  SLOT_SIZE,
} from "../../../core/mod.ts";
import {
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VNET_HDR_LEN,
} from "./header.ts";
import { type Tap, TAP_PARTS, TAP_RX_ROOM } from "./state.ts";

const EAGAIN = 11;
const BUFFER = SLOT_SIZE[SLOT_BUFFER];
const LARGE = SLOT_SIZE[SLOT_LARGE];

/**
 * A driver's NAPI poll; Linux's counterpart on the other side is tun_do_read(), drivers/net/tun.c.
 * Reads at most `budget` frames, one read(2) each, until the kernel has no more; then unmasks.
 */
export function tapPoll(tap: Tap, napi: Napi, budget: number): number {
  let work = 0;
  while (work < budget && tap.opened) {
    if (!readyBuffers(tap)) break;
    const n = tap.long ? tap.sys.readv(tap.fd, tap.rxIov.pointer, 1 + TAP_PARTS) : readShort(tap);
    if (n < 0) {
      if (tap.libc.errno !== EAGAIN) tap.fail();
      break;
    }
    work++;
    tapReceive(tap, napi, n);
  }
  if (work < budget && napi.complete(work)) tap.unmask();
  return work;
}

function readShort(tap: Tap): number {
  const at = tap.rxPage + NET_SKB_PAD - tap.hdrLen;
  return tap.sys.read(tap.fd, tap.pointers.at(tap.rxSlab!, at), TAP_RX_ROOM + tap.hdrLen);
}

/** Whether there is memory to read into. What a read leaves unused serves the next. */
function readyBuffers(tap: Tap): boolean {
  const pages = tap.machine.pages;
  if (tap.rxPage < 0) {
    const page = pages.alloc(SLOT_BUFFER);
    if (page < 0) return outOfMemory(tap);
    tap.rxPage = page;
    tap.rxSlab = pages.slab;
    tap.pointers.setIovec(tap.rxIov.words, 0, pages.slab, page + NET_SKB_PAD - tap.hdrLen, TAP_RX_ROOM + tap.hdrLen);
  }
  if (!tap.long) return true;
  for (let i = 0; i < TAP_PARTS; i++) {
    if (tap.partPage[i] >= 0) continue;
    const page = pages.alloc(SLOT_LARGE);
    if (page < 0) return outOfMemory(tap);
    tap.partPage[i] = page;
    tap.partSlab[i] = pages.slab;
    tap.pointers.setIovec(tap.rxIov.words, 1 + i, pages.slab, page, LARGE);
  }
  return true;
}

/** The frames wait in the kernel, which drops what does not fit its own queue. */
function outOfMemory(tap: Tap): boolean {
  tap.counters.rxAllocFailed++;
  return false;
}

/** Makes an skb around what was read, `n` bytes with the vnet header, and hands it up. */
function tapReceive(tap: Tap, napi: Napi, n: number): void {
  const dev = tap.dev;
  const len = n - tap.hdrLen;
  const head = Math.min(len, TAP_RX_ROOM);
  const slab = tap.rxSlab!;
  const skb = tap.machine.skbs.build(slab, tap.rxPage, BUFFER);
  tap.rxPage = -1;
  skb.reserve(NET_SKB_PAD);
  skb.dev = dev;
  if (len > 0) skb.put(head);
  if (len > head) addParts(tap, skb, len - head);
  tap.machine.ledger.add(tap.siteRead, len);
  dev.stats.rxPackets++;
  dev.stats.rxBytes += len;
  if ((tap.bus.mask & G_NAPI) !== 0) tap.bus.hit(tap.tp.read, skb, len, 0, dev);
  if (tap.hdrLen !== 0 && !readOffload(skb)) {
    dev.stats.rxErrors++;
    tap.net.drop(skb, DROP.DEV_HDR);
    return;
  }
  const reason = dev.headerOps.parse(skb, dev);
  if (reason !== 0) {
    dev.stats.rxErrors++;
    tap.net.drop(skb, reason);
  } else napi.groReceive(skb);
}

/** The rest of a long frame, in large pages. Borrows `skb`. */
function addParts(tap: Tap, skb: SkBuff, left: number): void {
  for (let i = 0; left > 0 && i < TAP_PARTS; i++) {
    const size = Math.min(left, LARGE);
    skb.addFrag(tap.partSlab[i]!, tap.partPage[i], tap.partPage[i], size);
    skb.truesize += LARGE;
    tap.partPage[i] = -1;
    left -= size;
  }
}

/** What the kernel left to us. False: it makes no sense. Linux: virtio_net_hdr_to_skb(). Borrows `skb`. */
function readOffload(skb: SkBuff): boolean {
  const view = skb.view;
  const at = skb.data - VNET_HDR_LEN;
  const flags = view.getUint8(at);
  const type = view.getUint8(at + 1) & ~VIRTIO_NET_HDR_GSO_ECN;
  if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0) {
    const start = view.getUint16(at + 6, true);
    const offset = view.getUint16(at + 8, true);
    if (start + offset + 2 > skb.tail - skb.data) return false;
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = skb.data + start;
    skb.csumOffset = offset;
  } else if ((flags & VIRTIO_NET_HDR_F_DATA_VALID) !== 0) skb.ipSummed = CHECKSUM_UNNECESSARY;
  if (type === 0) return true;
  const size = view.getUint16(at + 4, true);
  if (size === 0 || (type !== VIRTIO_NET_HDR_GSO_TCPV4 && type !== VIRTIO_NET_HDR_GSO_UDP_L4)) return false;
  const headers = view.getUint16(at + 2, true);
  skb.gsoSize = size;
  skb.gsoType = type === VIRTIO_NET_HDR_GSO_TCPV4 ? SKB_GSO_TCPV4 : SKB_GSO_UDP_L4;
  skb.gsoSegs = Math.max(1, Math.ceil((skb.len - headers) / size));
  return true;
}
