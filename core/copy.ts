/**
 * The only place that moves payload bytes. Every move is counted in the {@linkcode CopyLedger} under its site.
 */
import type { CopyLedger } from "./event_bus.ts";
import type { Slab } from "./page_pool.ts";

/** Up to here a byte loop beats `set()` with a view. */
const LOOP_MAX = 16;
/** Views kept per slab: one of each place, and as many by place and length. */
const WINDOWS = 4096;
/** Views kept of users' buffers: a writer's pieces end where a page does, and are the same again at its next write. */
const SOURCES = 4;

/**
 * A view of `len` bytes of a slab. Views cost an allocation, and at steady state the same slots come by again with the
 * same lengths: one of each place is kept, and where a reader takes a segment in two pieces, the other one too.
 */
function windowOf(slab: Slab, at: number, len: number): Uint8Array<ArrayBuffer> {
  const windows = slab.windows;
  if (windows.length === 0) { for (let i = 0; i < 2 * WINDOWS; i++) windows.push(slab.bytes); }
  const i = at >>> 9 & (WINDOWS - 1);
  const known = windows[i];
  if (known.byteOffset === at && known.length === len) return known;
  return secondWindow(slab, known, i, at, len);
}

function secondWindow(
  slab: Slab,
  first: Uint8Array<ArrayBuffer>,
  i: number,
  at: number,
  len: number,
): Uint8Array<ArrayBuffer> {
  const windows = slab.windows;
  const k = WINDOWS + ((Math.imul(at, 0x9e3779b1) >>> 20) ^ (len & (WINDOWS - 1)));
  const known = windows[k];
  if (known.byteOffset === at && known.length === len) return known;
  const sameSlot = first !== slab.bytes && first.byteOffset >>> 9 === at >>> 9;
  return windows[sameSlot ? k : i] = slab.bytes.subarray(at, at + len);
}

/** A view of a part of a user's buffer; the last few are kept. */
function sourceOf(ledger: CopyLedger, src: Uint8Array, off: number, len: number): Uint8Array {
  const sources = ledger.sources;
  const from = src.byteOffset + off;
  for (let i = 0; i < sources.length; i++) {
    const known = sources[i];
    if (known.byteOffset === from && known.length === len && known.buffer === src.buffer) return known;
  }
  const fresh = src.subarray(off, off + len);
  if (sources.length < SOURCES) sources.push(fresh);
  else sources[ledger.nextSource = (ledger.nextSource + 1) % SOURCES] = fresh;
  return fresh;
}

/** Copies `len` bytes of a user's buffer into a slab. Linux: copy_from_iter(). */
export function copyFromUser(
  ledger: CopyLedger,
  site: number,
  slab: Slab,
  dst: number,
  src: Uint8Array,
  srcOff: number,
  len: number,
): void {
  const bytes = slab.bytes;
  if (len <= LOOP_MAX) { for (let i = 0; i < len; i++) bytes[dst + i] = src[srcOff + i]; }
  else if (srcOff === 0 && len === src.length) bytes.set(src, dst);
  else bytes.set(sourceOf(ledger, src, srcOff, len), dst);
  ledger.add(site, len);
}

/** Copies `len` bytes of a slab into a user's buffer. Linux: copy_to_iter(). */
export function copyToUser(
  ledger: CopyLedger,
  site: number,
  slab: Slab,
  src: number,
  dst: Uint8Array,
  dstOff: number,
  len: number,
): void {
  const bytes = slab.bytes;
  if (len <= LOOP_MAX) { for (let i = 0; i < len; i++) dst[dstOff + i] = bytes[src + i]; }
  else dst.set(windowOf(slab, src, len), dstOff);
  ledger.add(site, len);
}

/** Copies between two places of packet memory that do not overlap. Linux: memcpy(), or a device's DMA. */
export function copySlab(
  ledger: CopyLedger,
  site: number,
  to: Slab,
  dst: number,
  from: Slab,
  src: number,
  len: number,
): void {
  if (to === from) to.ops.copy(dst, src, len);
  else to.bytes.set(windowOf(from, src, len), dst);
  ledger.add(site, len);
}

/**
 * Copies between two places of one slab that do not overlap, in a batch: the caller counts with
 * {@linkcode CopyLedger.addMany}.
 */
export function copyWithin(slab: Slab, dst: number, src: number, len: number): void {
  slab.ops.copy(dst, src, len);
}

/** Writes zeros: the padding of short frames and options, so that no old byte leaves the host (Etherleak). */
export function zero(slab: Slab, at: number, len: number): void {
  slab.bytes.fill(0, at, at + len);
}

/** One array of all parts, in order: for capture files and the like, outside packet memory; the ledger does not count it. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
