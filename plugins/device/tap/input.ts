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
import { tapFlush } from "./output.ts";
import { RX_IOV_WORDS, type Tap, TAP_PARTS, TAP_RX_ROOM } from "./state.ts";
import { IORING_OP_READ, IORING_OP_READV, type Uring } from "./uring.ts";

const EAGAIN = 11;
const U32_MAX = 0xffffffff;
const BUFFER = SLOT_SIZE[SLOT_BUFFER];
const LARGE = SLOT_SIZE[SLOT_LARGE];
/** Frames of a first look: a lone frame is the common case, and finding that there is no second one costs as well. */
const FIRST_LOOK = 2;

/**
 * A driver's NAPI poll; Linux's counterpart on the other side is tun_do_read(), drivers/net/tun.c.
 * Reads at most `budget` frames in batches that grow while they are full, until the kernel has no more; sends what the
 * frames gave rise to; then unmasks.
 */
export function tapPoll(tap: Tap, napi: Napi, budget: number): number {
  let work = 0;
  while (work < budget && tap.opened) {
    const wanted = fillRing(tap, Math.min(budget - work, tap.rxWanted));
    if (wanted === 0) break;
    const got = tap.uring !== null && wanted > 1 ? readBatch(tap, tap.uring, wanted) : readOneByOne(tap, wanted);
    if (got > 0) tap.counters.rxBatches++;
    work += got;
    for (let i = 0; i < wanted; i++) if (tap.rxLen[i] >= 0) tapReceive(tap, napi, i, tap.rxLen[i]);
    if (got < wanted) {
      tap.rxWanted = Math.max(FIRST_LOOK, Math.min(tap.rxWanted, got));
      break;
    }
    tap.rxWanted = Math.min(tap.rxSize, wanted * 4);
  }
  tapFlush(tap);
  if (work < budget && napi.complete(work)) tap.unmask();
  return work;
}

/** Reads into slots 0 to `n` - 1 in one system call; how many were filled. */
function readBatch(tap: Tap, uring: Uring, n: number): number {
  const iov = tap.rxIov;
  for (let i = 0; i < n; i++) {
    const v = i * RX_IOV_WORDS;
    if (tap.long) {
      const lo = iov.lo + v * 4;
      uring.prepare(i, IORING_OP_READV, tap.fd, lo, lo > U32_MAX ? iov.hi + 1 : iov.hi, 1 + TAP_PARTS);
    } else uring.prepare(i, IORING_OP_READ, tap.fd, iov.words[v], iov.words[v + 1], iov.words[v + 2]);
  }
  if (!uring.submit(n)) return readOneByOne(tap, n);
  let got = 0;
  let failed = false;
  for (let i = 0; i < n; i++) {
    const len = tap.rxLen[i] = uring.res[i];
    if (len >= 0) got++;
    else if (len !== -EAGAIN) failed = true;
  }
  if (failed) tap.fail();
  return got;
}

/** The same with a system call for each. */
function readOneByOne(tap: Tap, n: number): number {
  const len = tap.rxLen;
  len.fill(-1, 0, n);
  for (let i = 0; i < n; i++) {
    len[i] = tap.long
      ? tap.sys.readv(tap.fd, tap.rxIovAt[i], 1 + TAP_PARTS)
      : tap.sys.read(tap.fd, tap.pointers.at(tap.rxSlab[i]!, rxAt(tap, i)), TAP_RX_ROOM + tap.hdrLen);
    if (len[i] >= 0) continue;
    if (tap.libc.errno !== EAGAIN) tap.fail();
    return i;
  }
  return n;
}

/** Where the frame of slot `i` begins, with its vnet header. */
function rxAt(tap: Tap, i: number): number {
  return tap.rxPage[i] + NET_SKB_PAD - tap.hdrLen;
}

/** Posts memory for the next `n` frames, as a driver refills its ring; for how many there is some. */
function fillRing(tap: Tap, n: number): number {
  const pages = tap.machine.pages;
  const iov = tap.rxIov.words;
  for (let i = 0; i < n; i++) {
    if (tap.rxPage[i] < 0) {
      const page = pages.alloc(SLOT_BUFFER);
      if (page < 0) return outOfMemory(tap, i);
      tap.rxPage[i] = page;
      tap.rxSlab[i] = pages.slab;
      tap.pointers.setIovec(iov, i * (1 + TAP_PARTS), pages.slab, rxAt(tap, i), TAP_RX_ROOM + tap.hdrLen);
    }
    if (tap.long && !fillParts(tap, i)) return outOfMemory(tap, i);
  }
  return n;
}

/** Large pages behind slot `i`. What a frame leaves unused serves the next. */
function fillParts(tap: Tap, i: number): boolean {
  const pages = tap.machine.pages;
  for (let k = 0; k < TAP_PARTS; k++) {
    const p = i * TAP_PARTS + k;
    if (tap.partPage[p] >= 0) continue;
    const page = pages.alloc(SLOT_LARGE);
    if (page < 0) return false;
    tap.partPage[p] = page;
    tap.partSlab[p] = pages.slab;
    tap.pointers.setIovec(tap.rxIov.words, i * (1 + TAP_PARTS) + 1 + k, pages.slab, page, LARGE);
  }
  return true;
}

/** The frames wait in the kernel, which drops what does not fit its own queue. */
function outOfMemory(tap: Tap, ready: number): number {
  tap.counters.rxAllocFailed++;
  return ready;
}

/** Makes an skb around what was read into slot `i`, `n` bytes with the vnet header, and hands it up. */
function tapReceive(tap: Tap, napi: Napi, i: number, n: number): void {
  const page = tap.rxPage[i];
  // The device went down while frames before it in the batch were received.
  if (page < 0) return;
  const dev = tap.dev;
  const len = n - tap.hdrLen;
  const head = Math.min(len, TAP_RX_ROOM);
  const skb = tap.machine.skbs.build(tap.rxSlab[i]!, page, BUFFER);
  tap.rxPage[i] = -1;
  skb.reserve(NET_SKB_PAD);
  skb.dev = dev;
  if (len > 0) skb.put(head);
  if (len > head) addParts(tap, skb, i, len - head);
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
function addParts(tap: Tap, skb: SkBuff, i: number, left: number): void {
  for (let p = i * TAP_PARTS; left > 0 && p < (i + 1) * TAP_PARTS; p++) {
    const size = Math.min(left, LARGE);
    skb.addFrag(tap.partSlab[p]!, tap.partPage[p], tap.partPage[p], size);
    skb.truesize += LARGE;
    tap.partPage[p] = -1;
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
