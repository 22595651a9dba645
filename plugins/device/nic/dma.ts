/**
 * The device: what the hardware does between two rings. It moves whole frames by DMA, checks and completes checksums
 * where it is told to, filters by address, and counts what it loses. No CPU touches a payload byte here.
 *
 * @module
 */
import type { Slab } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../../link/ethernet/header.ts";
import type { Impair } from "./contract.ts";
import type { NicQueue, NicRing } from "./queue.ts";
import * as queues from "./queue.ts";
import type { Nic } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  copyFromUser,
  copySlab,
  copyToUser,
  copyWithin,
  crc32,
  csumBlockAdd,
  csumFold,
  csumJs,
  csumTcpUdpNofold,
  DESC_ADDR,
  DESC_CAUSE,
  DESC_CSUM_OK,
  DESC_EOP,
  DESC_FCS_ERROR,
  DESC_FLAGS,
  DESC_ID,
  DESC_LEN,
  DESC_ORDER,
  DESC_WORDS,
  G_NAPI,
  IFF_PROMISC,
  NETIF_F_RXCSUM,
} = core;
const { ETH_HLEN, ETH_P_IP, ETH_ZLEN } = ethernetHeader;
const { JUMBO_BUFFER_LEN, JUMBO_MIN_BUFFERS, NIC_CSUM, NIC_GSO, NIC_JUMBO, RX_BUFFER_LEN } = queues;

const FCS_LEN = 4;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
/** Head and frags of an skb. */
const MAX_BUFFERS = 18;
/** A super-packet: 64 KiB of IP behind its link header. */
const MAX_GSO_FRAME = 65535 + ETH_HLEN;

/**
 * Moves every frame that waits in `from`'s transmit ring into a receive ring of `peer`; one interrupt for each ring.
 * `from.tx` is complete afterwards, whatever became of the frames.
 */
export function dmaTransfer(from: NicQueue, peer: Nic, impair: Impair | null): void {
  const tx = from.tx;
  const words = tx.words;
  const only = peer.queues.length === 1 ? peer.queues[0] : null;
  let sent = 0;
  while (tx.nextToDevice !== tx.nextToUse) {
    const i = tx.nextToDevice & tx.mask;
    const d = i * DESC_WORDS;
    const to = only !== null || impair !== null ? only : steer(peer, tx, i);
    if (to === null) moveImpaired(from, peer, tx, impair);
    else {
      const simple = words[d + DESC_ORDER] === 0 && impair === null;
      if (!simple) moveLong(from, to, tx, impair);
      else if ((words[d + DESC_FLAGS] & DESC_EOP) === 0) {
        if (isPair(tx, d)) moveTwo(from, to, tx, i);
        else moveLong(from, to, tx, impair);
      } else if (words[d + DESC_LEN] <= RX_BUFFER_LEN) moveOne(from, to, tx, i);
      else moveLong(from, to, tx, impair);
      if (only === null) peer.rss.placed(to);
    }
    tx.complete(0);
    sent++;
  }
  tx.frames += sent;
  if (only !== null) delivered(only);
  else for (let q = 0; q < peer.queues.length; q++) delivered(peer.queues[q]);
  if (sent > 0) from.txIrq.raise(sent);
}

/** What came in is told to the ledger and to the CPU. */
function delivered(to: NicQueue): void {
  if (to.moves > 0) countMoves(to);
  to.announce();
}

/** The queue of the frame at descriptor `i`; null: its headers are not whole in there. */
function steer(peer: Nic, tx: NicRing, i: number): NicQueue | null {
  const d = i * DESC_WORDS;
  const more = (tx.words[d + DESC_FLAGS] & DESC_EOP) === 0;
  const { rss, queues } = peer;
  const q = rss.choose(queues, tx.slab[i]!.view, tx.words[d + DESC_ADDR], tx.words[d + DESC_LEN], more);
  if (q < 0) return null;
  const rx = queues[q].rx;
  // In a full ring that is the descriptor of a frame that waits there.
  if (rx.nextToDevice !== rx.nextToUse) rx.hash[rx.nextToDevice & rx.mask] = rss.hash;
  return queues[q];
}

/** The batch's copies come into the ledger at once. */
function countMoves(to: NicQueue): void {
  to.machine.ledger.addMany(to.siteDma, to.movedBytes, to.moves);
  to.moves = to.movedBytes = 0;
}

/** The common case: one descriptor into one buffer. */
function moveOne(from: NicQueue, to: NicQueue, tx: NicRing, i: number): boolean {
  const order = tx.words;
  const t = i * DESC_WORDS;
  const len = order[t + DESC_LEN];
  const src = order[t + DESC_ADDR];
  const slab = tx.slab[i]!;
  if (!accepts(to, slab.view, src, len, to.maxFrame)) return false;
  const rx = to.rx;
  if (rx.nextToDevice === rx.nextToUse) return miss(from, to, tx, i, len);
  const j = rx.nextToDevice & rx.mask;
  const words = rx.words;
  const d = j * DESC_WORDS;
  const ledger = to.machine.ledger;
  const into = rx.slab[j]!;
  if (into !== slab || ledger.onMove !== null) copySlab(ledger, to.siteDma, into, words[d + DESC_ADDR], slab, src, len);
  else {
    copyWithin(slab, words[d + DESC_ADDR], src, len);
    to.moves++;
    to.movedBytes += len;
  }
  words[d + DESC_LEN] = len;
  words[d + DESC_ID] = order[t + DESC_ID];
  words[d + DESC_CAUSE] = order[t + DESC_CAUSE];
  words[d + DESC_ORDER] = 0;
  to.buffers = 1;
  const verified = (to.dev.features & NETIF_F_RXCSUM) !== 0 ? verifyCsum(to, len) : 0;
  rx.complete(DESC_EOP | verified);
  rx.frames++;
  if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.dma, tx.skb[i], len, rx.pending, to.nic);
  return true;
}

/** Whether the descriptor at word `d` and the next one are a whole frame that one buffer holds: headers and payload. */
function isPair(tx: NicRing, d: number): boolean {
  const words = tx.words;
  const next = (d + DESC_WORDS) & (tx.mask * DESC_WORDS + DESC_WORDS - 1);
  return (words[next + DESC_FLAGS] & DESC_EOP) !== 0 && words[d + DESC_LEN] >= ETH_HLEN &&
    words[d + DESC_LEN] + words[next + DESC_LEN] <= RX_BUFFER_LEN;
}

/** A segment of TCP: two descriptors into one buffer. Leaves `tx` at the second. */
function moveTwo(from: NicQueue, to: NicQueue, tx: NicRing, i: number): boolean {
  const order = tx.words;
  const k = (i + 1) & tx.mask;
  const t = i * DESC_WORDS;
  const u = k * DESC_WORDS;
  const head = order[t + DESC_LEN];
  const rest = order[u + DESC_LEN];
  const len = head + rest;
  const slab = tx.slab[i]!;
  tx.complete(0);
  if (!accepts(to, slab.view, order[t + DESC_ADDR], len, to.maxFrame)) return false;
  const rx = to.rx;
  if (rx.nextToDevice === rx.nextToUse) return miss(from, to, tx, k, len);
  const j = rx.nextToDevice & rx.mask;
  const words = rx.words;
  const d = j * DESC_WORDS;
  const into = rx.slab[j]!;
  const dst = words[d + DESC_ADDR];
  moveBytes(to, into, dst, slab, order[t + DESC_ADDR], head);
  moveBytes(to, into, dst + head, tx.slab[k]!, order[u + DESC_ADDR], rest);
  words[d + DESC_LEN] = len;
  words[d + DESC_ID] = order[t + DESC_ID];
  words[d + DESC_CAUSE] = order[t + DESC_CAUSE];
  words[d + DESC_ORDER] = 0;
  to.buffers = 1;
  const verified = (to.dev.features & NETIF_F_RXCSUM) !== 0 ? verifyCsum(to, len) : 0;
  rx.complete(DESC_EOP | verified);
  rx.frames++;
  if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.dma, tx.skb[k], len, rx.pending, to.nic);
  return true;
}

/** One move of a batch: counted at its end where both places are in one slab and nobody listens to the ledger. */
function moveBytes(to: NicQueue, into: Slab, dst: number, slab: Slab, src: number, len: number): void {
  const ledger = to.machine.ledger;
  if (into !== slab || ledger.onMove !== null) copySlab(ledger, to.siteDma, into, dst, slab, src, len);
  else {
    copyWithin(slab, dst, src, len);
    to.moves++;
    to.movedBytes += len;
  }
}

/** Several descriptors, several buffers, an offload, or a wire that corrupts. Leaves `tx` at the frame's last descriptor. */
function moveLong(from: NicQueue, to: NicQueue, tx: NicRing, impair: Impair | null): boolean {
  const first = tx.nextToDevice & tx.mask;
  if (impair !== null || tx.get(first, DESC_LEN) < ETH_HLEN) return moveImpaired(from, to.nic, tx, impair);
  const last = lastOf(tx);
  const ok = moveScattered(from, to, tx, first, last, frameLength(tx, first, last));
  while ((tx.nextToDevice & tx.mask) !== last) tx.complete(0);
  return ok;
}

function moveScattered(from: NicQueue, to: NicQueue, tx: NicRing, first: number, last: number, len: number): boolean {
  const order = tx.get(first, DESC_ORDER);
  const max = (order & NIC_GSO) !== 0 && to.nic.takesGso ? MAX_GSO_FRAME : to.maxFrame;
  if (!accepts(to, tx.slab[first]!.view, tx.get(first, DESC_ADDR), len, max)) return false;
  if (!claim(to, len)) return miss(from, to, tx, last, len);
  scatter(to, tx, first, last);
  const rx = to.rx;
  const j = rx.nextToDevice & rx.mask;
  rx.set(j, DESC_ID, tx.words[first * DESC_WORDS + DESC_ID]);
  rx.set(j, DESC_CAUSE, tx.words[first * DESC_WORDS + DESC_CAUSE]);
  if ((order & NIC_GSO) !== 0) {
    rx.set(j, DESC_ORDER, rx.get(j, DESC_ORDER) | order);
    rx.csum[j] = tx.csum[first];
    rx.gsoSize[j] = tx.gsoSize[first];
    rx.gsoType[j] = tx.gsoType[first];
    rx.gsoSegs[j] = tx.gsoSegs[first];
  } else if ((order & NIC_CSUM) !== 0 && !completeCsum(to, tx.csum[first], len)) from.dev.stats.txErrors++;
  deliver(to, len, 0);
  if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.dma, tx.skb[last], len, rx.pending, to.nic);
  return true;
}

/** The wire may do what it wants with the bits; the FCS tells. Leaves `tx` at the frame's last descriptor. */
function moveImpaired(from: NicQueue, peer: Nic, tx: NicRing, impair: Impair | null): boolean {
  const first = tx.nextToDevice & tx.mask;
  const last = lastOf(tx);
  const len = frameLength(tx, first, last);
  const skb = tx.skb[last];
  let frame: Uint8Array<ArrayBuffer> | null = gather(from, tx, first, last, len);
  if ((tx.get(first, DESC_ORDER) & NIC_CSUM) !== 0) completeCsumBytes(frame, tx.csum[first], len);
  if (impair !== null) setFcs(frame, len);
  const [id, cause] = [tx.get(first, DESC_ID), tx.get(first, DESC_CAUSE)];
  while ((tx.nextToDevice & tx.mask) !== last) tx.complete(0);
  if (impair !== null) frame = callImpair(impair, frame, from.nic, peer);
  if (frame === null) return false;
  const to = dmaReceive(peer, frame, frame.length - FCS_LEN, impair !== null && !fcsOk(frame), id, cause);
  if (to === null) return false;
  if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.dma, skb, len, to.rx.pending, peer);
  return true;
}

/** Takes the frames that {@linkcode dmaGather} reads. */
export interface FrameSink {
  /** A frame as bytes, with four more for its FCS, which is not there yet; and what the journey knows it by. */
  take(frame: Uint8Array<ArrayBuffer>, id: number, cause: number): void;
}

/**
 * Reads every frame that waits in `from`'s transmit ring into memory of its own, for a wire on which frames are under way
 * for a while. `from.tx` is complete afterwards; one interrupt there.
 */
export function dmaGather(from: NicQueue, peer: Nic, sink: FrameSink): void {
  const tx = from.tx;
  let sent = 0;
  while (tx.nextToDevice !== tx.nextToUse) {
    const first = tx.nextToDevice & tx.mask;
    const last = lastOf(tx);
    const len = frameLength(tx, first, last);
    const frame = gather(from, tx, first, last, len);
    if ((tx.get(first, DESC_ORDER) & NIC_CSUM) !== 0) completeCsumBytes(frame, tx.csum[first], len);
    if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.dma, tx.skb[last], len, peer.rx.pending, peer);
    const id = tx.get(first, DESC_ID);
    const cause = tx.get(first, DESC_CAUSE);
    while ((tx.nextToDevice & tx.mask) !== last) tx.complete(0);
    tx.complete(0);
    sent++;
    sink.take(frame, id, cause);
  }
  tx.frames += sent;
  if (sent > 0) from.txIrq.raise(sent);
}

/** The user's code: what it throws loses the frame and is recorded, as the ring must stay whole. */
export function callImpair(
  impair: Impair,
  frame: Uint8Array<ArrayBuffer>,
  from: Nic,
  to: Nic,
): Uint8Array<ArrayBuffer> | null {
  try {
    return impair(frame, to.dev.name);
  } catch (error) {
    from.net.pluginErrors.push({ who: `impair of the wire at ${from.dev.name}`, error });
    return null;
  }
}

/**
 * A frame of `len` bytes without FCS comes in from the wire. Gives its queue; null: filtered, of a wrong length, or no
 * descriptor. Does not interrupt.
 */
export function dmaReceive(
  nic: Nic,
  frame: Uint8Array<ArrayBuffer>,
  len: number,
  fcsBad: boolean,
  id: number,
  cause: number,
): NicQueue | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const { rss, queues } = nic;
  const to = queues.length === 1 ? queues[0] : queues[rss.choose(queues, view, 0, Math.max(0, len), false)];
  if (!accepts(to, view, 0, len, to.maxFrame)) return null;
  const rx = to.rx;
  if (!claim(to, len)) {
    miss(to, to, null, 0, len);
    return null;
  }
  const ledger = to.machine.ledger;
  for (let p = 0, done = 0; done < len; p++) {
    const ring = ringOf(to, p);
    const j = indexOf(to, p);
    copyFromUser(ledger, to.siteDma, ring.slab[j]!, ring.get(j, DESC_ADDR), frame, done, ring.get(j, DESC_LEN));
    done += ring.get(j, DESC_LEN);
  }
  const j = rx.nextToDevice & rx.mask;
  rx.set(j, DESC_ID, id);
  rx.set(j, DESC_CAUSE, cause);
  rx.hash[j] = queues.length === 1 ? 0 : rss.hash;
  deliver(to, len, fcsBad ? DESC_FCS_ERROR : 0);
  if (queues.length > 1) rss.placed(to);
  return to;
}

// ---- what the receiving device decides

/** Address filter and length. */
function accepts(to: NicQueue, view: DataView, at: number, len: number, max: number): boolean {
  const dev = to.dev;
  return (len >= ETH_ZLEN && len <= max && view.getInt32(at + 2) === dev.addrLo && view.getUint16(at) === dev.addrHi) ||
    acceptsOther(to, view, at, len, max);
}

/** Not simply for us. What is not for this device leaves no trace but a count. */
function acceptsOther(to: NicQueue, view: DataView, at: number, len: number, max: number): boolean {
  const dev = to.dev;
  if (len >= ETH_HLEN && (dev.flags & IFF_PROMISC) === 0) {
    const hi = view.getUint16(at);
    const lo = view.getInt32(at + 2);
    const ours = (hi & 0x100) === 0
      ? hi === dev.addrHi && lo === dev.addrLo
      : (hi === 0xffff && lo === -1) || dev.mcast.has(hi * 0x100000000 + (lo >>> 0));
    if (!ours) {
      to.nic.counters.filtered++;
      return false;
    }
  }
  if (len >= ETH_ZLEN && len <= max) return true;
  dev.stats.rxErrors++;
  dev.stats.rxLengthErrors++;
  return false;
}

/** Lost for want of a descriptor. */
function miss(from: NicQueue, to: NicQueue, tx: NicRing | null, last: number, len: number): boolean {
  to.rx.missed++;
  to.stats.rxMissed++;
  to.dev.stats.rxMissed++;
  const skb = tx === null ? null : tx.skb[last];
  if ((from.bus.mask & G_NAPI) !== 0) from.bus.hit(from.tp.missed, skb, len, 0, to.nic);
  return false;
}

/**
 * Lays a frame of `len` bytes out over the next buffers: their count in `to.buffers`, those of the jumbo ring at the
 * first descriptor's `parts`, each one's share in `len`. False: there are not enough.
 */
function claim(to: NicQueue, len: number): boolean {
  const rx = to.rx;
  const jumbo = to.jumbo;
  let buffers = Math.ceil(len / RX_BUFFER_LEN);
  let parts = 0;
  if (jumbo !== null && buffers > JUMBO_MIN_BUFFERS) {
    parts = Math.ceil((len - RX_BUFFER_LEN) / JUMBO_BUFFER_LEN);
    buffers = 1;
  }
  if (buffers > MAX_BUFFERS || rx.pending < buffers || (parts > 0 && jumbo!.pending < parts)) return false;
  to.buffers = buffers;
  const first = rx.nextToDevice & rx.mask;
  rx.set(first, DESC_ORDER, parts > 0 ? NIC_JUMBO : 0);
  rx.parts[first] = parts;
  for (let p = 0, left = len; p < buffers + parts; p++) {
    const share = Math.min(left, p < buffers ? RX_BUFFER_LEN : JUMBO_BUFFER_LEN);
    ringOf(to, p).set(indexOf(to, p), DESC_LEN, share);
    left -= share;
  }
  return true;
}

/** Gives the claimed buffers to the driver: checksum verified, EOP at the last. */
function deliver(to: NicQueue, len: number, flags: number): void {
  const rx = to.rx;
  const first = rx.nextToDevice & rx.mask;
  const parts = (rx.get(first, DESC_ORDER) & NIC_JUMBO) !== 0 ? rx.parts[first] : 0;
  if ((to.dev.features & NETIF_F_RXCSUM) !== 0 && flags === 0) flags = verifyCsum(to, len);
  for (let n = 0; n < parts; n++) to.jumbo!.complete(0);
  for (let n = to.buffers; n > 1; n--) rx.complete(n === to.buffers ? flags : 0);
  rx.complete(DESC_EOP | (to.buffers === 1 ? flags : 0));
  rx.frames++;
}

// ---- pieces: the claimed receive buffers, then those of the jumbo ring

function ringOf(to: NicQueue, p: number): NicRing {
  return p < to.buffers ? to.rx : to.jumbo!;
}

function indexOf(to: NicQueue, p: number): number {
  return p < to.buffers
    ? (to.rx.nextToDevice + p) & to.rx.mask
    : (to.jumbo!.nextToDevice + p - to.buffers) & to.jumbo!.mask;
}

function lastOf(tx: NicRing): number {
  let at = tx.nextToDevice;
  while ((tx.get(at & tx.mask, DESC_FLAGS) & DESC_EOP) === 0) at++;
  return at & tx.mask;
}

function frameLength(tx: NicRing, first: number, last: number): number {
  let len = tx.get(first, DESC_LEN);
  for (let i = first; i !== last;) {
    i = (i + 1) & tx.mask;
    len += tx.get(i, DESC_LEN);
  }
  return len;
}

/** DMA from the sender's pieces into the receiver's. */
function scatter(to: NicQueue, tx: NicRing, first: number, last: number): void {
  const ledger = to.machine.ledger;
  let p = 0;
  let off = 0;
  for (let i = first;; i = (i + 1) & tx.mask) {
    let src = tx.get(i, DESC_ADDR);
    for (let left = tx.get(i, DESC_LEN); left > 0;) {
      const ring = ringOf(to, p);
      const j = indexOf(to, p);
      const n = Math.min(left, ring.get(j, DESC_LEN) - off);
      copySlab(ledger, to.siteDma, ring.slab[j]!, ring.get(j, DESC_ADDR) + off, tx.slab[i]!, src, n);
      src += n;
      left -= n;
      off += n;
      if (off === ring.get(j, DESC_LEN)) {
        p++;
        off = 0;
      }
    }
    if (i === last) return;
  }
}

/** The frame as bytes on an impaired wire, with room for its FCS. */
function gather(from: NicQueue, tx: NicRing, first: number, last: number, len: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(len + FCS_LEN);
  const ledger = from.machine.ledger;
  const site = ledger.site("wire_impair", "dma");
  for (let i = first, at = 0;; i = (i + 1) & tx.mask) {
    copyToUser(ledger, site, tx.slab[i]!, tx.get(i, DESC_ADDR), frame, at, tx.get(i, DESC_LEN));
    at += tx.get(i, DESC_LEN);
    if (i === last) return frame;
  }
}

// ---- checksums in hardware

/** Sum of `len` bytes from `from` of the claimed frame. */
function sumOf(to: NicQueue, from: number, len: number, initial: number): number {
  let sum = initial;
  let done = 0;
  for (let p = 0, start = 0; done < len; p++) {
    const ring = ringOf(to, p);
    const j = indexOf(to, p);
    const skip = from + done - start;
    if (skip < ring.get(j, DESC_LEN)) {
      const n = Math.min(len - done, ring.get(j, DESC_LEN) - skip);
      sum = csumBlockAdd(sum, ring.slab[j]!.ops.csum(ring.get(j, DESC_ADDR) + skip, n, 0), done);
      done += n;
    }
    start += ring.get(j, DESC_LEN);
  }
  return sum;
}

/** Completes a partial checksum in the receiver's copy: the sender's bytes may be shared. False: impossible positions. */
function completeCsum(to: NicQueue, order: number, len: number): boolean {
  const rx = to.rx;
  const j = rx.nextToDevice & rx.mask;
  const start = order & 0xffff;
  const field = start + (order >>> 16);
  if (start >= len || field + 2 > rx.get(j, DESC_LEN)) return false;
  const sum = csumFold(sumOf(to, start, len - start, 0));
  rx.slab[j]!.view.setUint16(rx.get(j, DESC_ADDR) + field, sum === 0 ? 0xffff : sum, true);
  return true;
}

function completeCsumBytes(frame: Uint8Array<ArrayBuffer>, order: number, len: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, len);
  const start = order & 0xffff;
  const field = start + (order >>> 16);
  if (field + 2 > len) return;
  const sum = csumFold(csumJs(view, start, len - start, 0));
  view.setUint16(field, sum === 0 ? 0xffff : sum, true);
}

/** DESC_CSUM_OK when the frame is whole TCP or UDP over IPv4 with a right checksum; anything else is left to the stack. */
function verifyCsum(to: NicQueue, len: number): number {
  const rx = to.rx;
  const j = rx.nextToDevice & rx.mask;
  const view = rx.slab[j]!.view;
  const ip = rx.get(j, DESC_ADDR) + ETH_HLEN;
  if (rx.get(j, DESC_LEN) < ETH_HLEN + 28 || view.getUint16(ip - 2) !== ETH_P_IP) return 0;
  const first = view.getUint8(ip);
  const ihl = (first & 15) << 2;
  const l4 = view.getUint16(ip + 2) - ihl;
  const proto = view.getUint8(ip + 9);
  if (first >>> 4 !== 4 || ihl < 20 || l4 < 8 || ETH_HLEN + ihl + l4 > len) return 0;
  if ((view.getUint16(ip + 6) & 0x3fff) !== 0 || (proto !== IPPROTO_TCP && proto !== IPPROTO_UDP)) return 0;
  if (proto === IPPROTO_UDP && view.getUint16(ip + ihl + 6) === 0) return 0;
  if ((rx.get(j, DESC_ORDER) & NIC_GSO) !== 0) return 0;
  const pseudo = csumTcpUdpNofold(view.getInt32(ip + 12), view.getInt32(ip + 16), l4, proto);
  return csumFold(sumOf(to, ETH_HLEN + ihl, l4, pseudo)) === 0 ? DESC_CSUM_OK : 0;
}

// ---- frame check sequence, IEEE 802.3 clause 3.2.9: CRC-32, least significant byte first

/** Writes the FCS of the first `len` bytes behind them. */
export function setFcs(frame: Uint8Array<ArrayBuffer>, len: number): void {
  new DataView(frame.buffer, frame.byteOffset, frame.length).setInt32(len, crc32(frame, 0, len), true);
}

/** Whether the last four bytes are the FCS of those before them. */
export function fcsOk(frame: Uint8Array<ArrayBuffer>): boolean {
  const len = frame.length - FCS_LEN;
  if (len < 0) return false;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  return view.getInt32(len, true) === crc32(frame, 0, len);
}
