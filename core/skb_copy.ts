/**
 * What walks over a packet's bytes: copying, pulling, cutting, making private, summing. Linux: net/core/skbuff.c.
 *
 * The functions here know how a packet is laid out (head, frags, fragment list); {@linkcode SkbPool} knows where packets
 * come from. Use them through the methods of {@linkcode SkBuff}.
 */
import * as checksum from "./checksum.ts";
import * as copy from "./copy.ts";
import type { Slab } from "./page_pool.ts";
import * as pagePool from "./page_pool.ts";
import { CHECKSUM_NONE, NET_SKB_PAD, SKB_CB_WORDS, type SkBuff } from "./sk_buff.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { csumBlockAdd, csumFold, csumJs } = checksum;
const { copySlab, zero } = copy;
const { SLOT_SIZE, slotClass } = pagePool;

/** Whether someone else's buffer has the same head. Borrows `skb`. Linux: skb_header_cloned(). */
export function headShared(skb: SkBuff): boolean {
  if (!skb.cloned) return false;
  if (skb.slab.refCount(skb.head) > 1) return true;
  skb.cloned = false;
  return false;
}

/** Copies `len` bytes from offset `from` of the packet into a slab. Linux: skb_copy_bits(). Borrows `skb`. */
export function copyBits(skb: SkBuff, from: number, to: Slab, dst: number, len: number, site: number): void {
  const ledger = skb.pool.ledger;
  const head = skb.tail - skb.data;
  if (from < head) {
    const n = Math.min(len, head - from);
    copySlab(ledger, site, to, dst, skb.slab, skb.data + from, n);
    dst += n, len -= n, from += n;
  }
  let start = head;
  for (let i = 0; len > 0 && i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    if (from < start + frag.size) {
      const n = Math.min(len, start + frag.size - from);
      copySlab(ledger, site, to, dst, frag.slab, frag.offset + from - start, n);
      dst += n, len -= n, from += n;
    }
    start += frag.size;
  }
  for (let part = skb.fragList; len > 0 && part !== null; part = part.next) {
    if (from < start + part.len) {
      const n = Math.min(len, start + part.len - from);
      copyBits(part, from - start, to, dst, n, site);
      dst += n, len -= n, from += n;
    }
    start += part.len;
  }
}

/** See {@linkcode SkBuff.clone}. Borrows `skb`. */
export function skbClone(skb: SkBuff): SkBuff | null {
  skb.slab.get(skb.head);
  const twin = skb.pool.build(skb.slab, skb.head, skb.end - skb.head);
  copyMeta(twin, skb);
  twin.data = skb.data;
  twin.tail = skb.tail;
  twin.len = skb.tail - skb.data;
  shiftHeaders(twin, skb, 0);
  skb.cloned = twin.cloned = true;
  twin.truesize = skb.truesize;
  if ((skb.nrFrags === 0 && skb.fragList === null) || shareTail(twin, skb)) return twin;
  skb.pool.free(twin);
  return null;
}

/** See {@linkcode SkBuff.pskbCopy}. Borrows `skb`. */
export function pskbCopy(skb: SkBuff): SkBuff | null {
  const twin = newHead(skb, skb.data - skb.head, skb.pool.siteHead);
  if (twin === null) return null;
  if (shareTail(twin, skb)) return twin;
  skb.pool.free(twin);
  return null;
}

/** See {@linkcode SkBuff.copy}. What is too long for one slot keeps its layout of head and frags. Borrows `skb`. */
export function skbCopy(skb: SkBuff): SkBuff | null {
  const pool = skb.pool;
  const room = skb.data - skb.head;
  const twin = pool.alloc(room + skb.len);
  if (twin === null) return copyLarge(skb);
  twin.reserve(room);
  copyMeta(twin, skb);
  shiftHeaders(twin, skb, twin.data - skb.data);
  copyBits(skb, 0, twin.slab, twin.put(skb.len), skb.len, pool.siteCopy);
  return twin;
}

function copyLarge(skb: SkBuff): SkBuff | null {
  const pool = skb.pool;
  const twin = newHead(skb, skb.data - skb.head, pool.siteCopy);
  if (twin === null) return null;
  for (let from = skb.tail - skb.data; from < skb.len;) {
    const n = pool.addPage(twin, skb.len - from);
    if (n === 0) {
      pool.free(twin);
      return null;
    }
    const frag = twin.frags[twin.nrFrags - 1];
    copyBits(skb, from, frag.slab, frag.offset, n, pool.siteCopy);
    from += n;
  }
  return twin;
}

/** A head of its own with the linear bytes copied; payload not attached yet. */
function newHead(skb: SkBuff, room: number, site: number): SkBuff | null {
  const headlen = skb.tail - skb.data;
  const twin = skb.pool.alloc(Math.max(room + headlen, NET_SKB_PAD));
  if (twin === null) return null;
  twin.reserve(room);
  copyMeta(twin, skb);
  shiftHeaders(twin, skb, twin.data - skb.data);
  copySlab(skb.pool.ledger, site, twin.slab, twin.put(headlen), skb.slab, skb.data, headlen);
  return twin;
}

function shareTail(twin: SkBuff, skb: SkBuff): boolean {
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    frag.slab.get(frag.page);
    twin.addFrag(frag.slab, frag.page, frag.offset, frag.size);
  }
  let last: SkBuff | null = null;
  for (let part = skb.fragList; part !== null; part = part.next) {
    const p = skbClone(part);
    if (p === null) return false;
    if (last === null) twin.fragList = p;
    else last.next = p;
    last = p;
    twin.len += p.len;
    twin.dataLen += p.len;
  }
  twin.truesize = skb.truesize;
  return true;
}

/** Moves `n` more bytes into the linear part. False: no memory. Linux: __pskb_pull_tail(). Borrows `skb`. */
export function pullTail(skb: SkBuff, n: number): boolean {
  if ((skb.end - skb.tail < n || headShared(skb)) && !expandHead(skb, skb.data - skb.head, n)) return false;
  copyBits(skb, skb.tail - skb.data, skb.slab, skb.tail, n, skb.pool.sitePull);
  skb.tail += n;
  skb.dataLen -= n;
  dropFront(skb, n);
  return true;
}

/** Takes `n` bytes off the front of the non-linear part, whose bytes were copied. Nothing is allocated: it cannot fail. */
function dropFront(skb: SkBuff, n: number): void {
  let gone = 0;
  for (let i = 0; i < skb.nrFrags && n > 0; i++) {
    const frag = skb.frags[i];
    const cut = Math.min(n, frag.size);
    frag.offset += cut;
    frag.size -= cut;
    n -= cut;
    if (frag.size !== 0) break;
    frag.slab.put(frag.page);
    gone++;
  }
  if (gone > 0) {
    for (let i = gone; i < skb.nrFrags; i++) {
      const empty = skb.frags[i - gone];
      skb.frags[i - gone] = skb.frags[i];
      skb.frags[i] = empty;
    }
    skb.nrFrags -= gone;
  }
  while (n > 0 && skb.fragList !== null) {
    const part: SkBuff = skb.fragList;
    if (part.len > n) {
      const linear = Math.min(n, part.tail - part.data);
      part.pull(linear);
      if (n > linear) {
        part.len -= n - linear;
        part.dataLen -= n - linear;
        dropFront(part, n - linear);
      }
      return;
    }
    n -= part.len;
    skb.fragList = part.next;
    part.next = null;
    skb.pool.free(part);
  }
}

/** Cuts a packet with frags to `n` bytes. Linux: ___pskb_trim(). Borrows `skb`. */
export function trimFrags(skb: SkBuff, n: number): void {
  let at = skb.tail - skb.data;
  if (n < at) {
    skb.tail = skb.data + n;
    at = n;
  }
  let kept = 0;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    if (at >= n) {
      frag.slab.put(frag.page);
      continue;
    }
    if (at + frag.size > n) frag.size = n - at;
    at += frag.size;
    kept++;
  }
  skb.nrFrags = kept;
  let last: SkBuff | null = null;
  for (let part = skb.fragList; part !== null;) {
    const next: SkBuff | null = part.next;
    if (at >= n) {
      if (last === null) skb.fragList = null;
      else last.next = null;
      part.next = null;
      skb.pool.free(part);
    } else {
      if (at + part.len > n) part.trim(n - at);
      at += part.len;
      last = part;
    }
    part = next;
  }
  skb.len = n;
  skb.dataLen = n - (skb.tail - skb.data);
}

/** See {@linkcode SkBuff.linearize}. Borrows `skb`. */
export function linearize(skb: SkBuff): boolean {
  const n = skb.dataLen;
  if ((skb.end - skb.tail < n || headShared(skb)) && !expandHead(skb, skb.data - skb.head, n)) return false;
  copyBits(skb, skb.tail - skb.data, skb.slab, skb.tail, n, skb.pool.siteLinearize);
  skb.tail += n;
  skb.dataLen = 0;
  skb.pool.releaseTail(skb);
  return true;
}

/**
 * Appends zeros until the packet has `len` bytes, so that no old byte leaves the host (Etherleak). False: no memory,
 * nothing was appended. Linux: skb_put_padto(). Borrows `skb`.
 */
export function skbPadTo(skb: SkBuff, len: number): boolean {
  const n = len - skb.len;
  if (n <= 0) return true;
  if (skb.dataLen !== 0 && !linearize(skb)) return false;
  if ((skb.end - skb.tail < n || headShared(skb)) && !expandHead(skb, skb.data - skb.head, n)) return false;
  zero(skb.slab, skb.put(n), n);
  return true;
}

/** See {@linkcode SkBuff.cowHead}. Borrows `skb`. */
export function cowHead(skb: SkBuff, room: number): boolean {
  if (!headShared(skb) && skb.data - skb.head >= room) return true;
  return expandHead(skb, Math.max(room, skb.data - skb.head), 0);
}

/** Gives `skb` a private head with `room` in front and `more` bytes behind. Linux: pskb_expand_head(). Borrows `skb`. */
function expandHead(skb: SkBuff, room: number, more: number): boolean {
  const headlen = skb.tail - skb.data;
  const cls = slotClass(room + headlen + more);
  if (cls < 0) return false;
  const pool = skb.pool;
  const page = pool.pages.alloc(cls);
  if (page < 0) return false;
  const slab = pool.pages.slab;
  copySlab(pool.ledger, pool.siteExpand, slab, page + room, skb.slab, skb.data, headlen);
  const delta = page + room - skb.data;
  pool.releaseHead(skb);
  skb.slab = slab;
  skb.view = slab.view;
  skb.bytes = slab.bytes;
  skb.head = page;
  skb.end = page + SLOT_SIZE[cls];
  skb.data = page + room;
  skb.tail = skb.data + headlen;
  skb.cloned = false;
  shiftHeaders(skb, skb, delta);
  return true;
}

function copyMeta(to: SkBuff, from: SkBuff): void {
  to.id = from.id;
  to.cause = from.cause;
  to.dev = from.dev;
  to.skbIif = from.skbIif;
  to.protocol = from.protocol;
  to.pktType = from.pktType;
  to.ipSummed = from.ipSummed;
  to.csum = from.csum;
  to.csumOffset = from.csumOffset;
  to.gsoSize = from.gsoSize;
  to.gsoSegs = from.gsoSegs;
  to.gsoType = from.gsoType;
  to.hash = from.hash;
  to.queueMapping = from.queueMapping;
  to.priority = from.priority;
  to.mark = from.mark;
  to.tstamp = from.tstamp;
  to.ignoreDf = from.ignoreDf;
  to.flags = from.flags;
  to.macLen = from.macLen;
  to.dst = from.dst;
  const cb = from.cb;
  const copy = to.cb;
  for (let i = 0; i < SKB_CB_WORDS; i++) copy[i] = cb[i];
}

function shiftHeaders(to: SkBuff, from: SkBuff, delta: number): void {
  to.macHeader = from.macHeader < 0 ? -1 : from.macHeader + delta;
  to.networkHeader = from.networkHeader < 0 ? -1 : from.networkHeader + delta;
  to.transportHeader = from.transportHeader < 0 ? -1 : from.transportHeader + delta;
  to.csumStart = from.csumStart + delta;
}

/**
 * One's complement sum of `len` bytes from offset `from` of the packet, over frags too, folded to 16 bits.
 * Linux: skb_checksum(). Borrows `skb`.
 */
export function skbChecksum(skb: SkBuff, from: number, len: number, initial: number): number {
  const at = skb.data + from;
  if (at + len > skb.tail) return checksumParts(skb, from, len, initial);
  return len < 32 ? csumJs(skb.view, at, len, initial) : skb.slab.ops.csum(at, len, initial);
}

/** The same where the bytes lie in several places. Borrows `skb`. */
function checksumParts(skb: SkBuff, from: number, len: number, initial: number): number {
  const head = skb.tail - skb.data;
  let sum = initial;
  let done = 0;
  if (from < head) {
    done = head - from;
    sum = skb.slab.ops.csum(skb.data + from, done, sum);
  }
  let start = head;
  for (let i = 0; done < len && i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    const skip = from + done - start;
    if (skip < frag.size) {
      const n = Math.min(len - done, frag.size - skip);
      sum = csumBlockAdd(sum, frag.slab.ops.csum(frag.offset + skip, n, 0), done);
      done += n;
    }
    start += frag.size;
  }
  for (let part = skb.fragList; done < len && part !== null; part = part.next) {
    const skip = from + done - start;
    if (skip < part.len) {
      const n = Math.min(len - done, part.len - skip);
      sum = csumBlockAdd(sum, skbChecksum(part, skip, n, 0), done);
      done += n;
    }
    start += part.len;
  }
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/**
 * Completes a CHECKSUM_PARTIAL packet in software, for a device that cannot. False: the positions are impossible.
 * Linux: skb_checksum_help(). Borrows `skb`.
 */
export function skbChecksumHelp(skb: SkBuff): boolean {
  const from = skb.csumStart - skb.data;
  const field = skb.csumStart + skb.csumOffset;
  if (from < 0 || from >= skb.len || field + 2 > skb.tail) return false;
  if (!skb.cowHead(0)) return false;
  const sum = csumFold(skbChecksum(skb, from, skb.len - from, 0));
  skb.view.setUint16(skb.csumStart + skb.csumOffset, sum === 0 ? 0xffff : sum, true);
  skb.ipSummed = CHECKSUM_NONE;
  return true;
}
