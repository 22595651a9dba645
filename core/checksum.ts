/**
 * The Internet checksum (RFC 1071), CRC-32 and the copies that go with them, over a slab. Linux: lib/checksum.c,
 * csum_partial(), csum_fold().
 *
 * Sums are kept in *host (little-endian) byte order*, as Linux keeps them: RFC 1071 section 2(B) makes the one's
 * complement sum independent of byte order, so that a sum over native words is stored back with native stores. A
 * partial sum is a non-negative integer of at most 16 bits and a carry; {@linkcode csumFold} makes the field.
 */

/**
 * The SIMD helpers as a WebAssembly module in base64, written by `deno task wasm` from tests/support/checksum.wat. It
 * imports its memory as `env.memory`; sums are 16 bits, little-endian, not complemented.
 */
export const CHECKSUM_WASM_BASE64: string =
  "AGFzbQEAAAABLQdgAX4Bf2ABewF+YAJ/fwF+YAN/f34BfmADf39/AX9gA39/fwBgBH9/f38BfwIPAQNlbnYGbWVtb3J5AgABAwwLAAECAwQEBQYGBQQHIwQEY3N1bQAFCWNvcHlfY3N1bQAIBGNvcHkACQVjcmMzMgAKCtUOC1QAIABC/////w+DIABCIIh8IQAgAEL/////D4MgAEIgiHwhACAAQv//A4MgAEIQiHwhACAAQv//A4MgAEIQiHwhACAAQv//A4MgAEIQiHwhACAApwscACAA/ccBIAD9yAH9zgEhACAA/R0AIAD9HQF8Cw8AIAGtIABBcHGtQg6GfAtrACABQQhxBEAgAiAANQAAfCECIAIgADUABHwhAiAAQQhqIQALIAFBBHEEQCACIAA1AAB8IQIgAEEEaiEACyABQQJxBEAgAiAAMwAAfCECIABBAmohAAsgAUEBcQRAIAIgADEAAHwhAgsgAguGAgIGewF//QwAgACAAIAAgACAAIAAgACAIQf9DAEAAQABAAEAAQABAAEAAQAhCCABIQkgAUHAAE8EQANAIAMgAP0AAAAgB/1RIAj9ugH9rgEhAyAEIAD9AAAQIAf9USAI/boB/a4BIQQgBSAA/QAAICAH/VEgCP26Af2uASEFIAYgAP0AADAgB/1RIAj9ugH9rgEhBiAAQcAAaiEAIAFBwABrIQEgAUHAAE8NAAsLIAFBEE8EQANAIAMgAP0AAAAgB/1RIAj9ugH9rgEhAyAAQRBqIQAgAUEQayEBIAFBEE8NAAsLIAAgASAJIAIQAiADIAT9rgEgBSAG/a4B/a4BEAF8EAMQAAv3AwQEewF+AnsBf/0MAIAAgACAAIAAgACAAIAAgCEI/QwBAAEAAQABAAEAAQABAAEAIQkgAUGAgBBLBEADQCAAQYCAECACEAQhAiAAQYCAEGohACABQYCAEGshASABQYCAEEsNAAsLIAEhCiABQcAATwRAA0AgAyAA/QAAACAI/VEgCf26Af2uASEDIAQgAP0AABAgCP1RIAn9ugH9rgEhBCAFIAD9AAAgIAj9USAJ/boB/a4BIQUgBiAA/QAAMCAI/VEgCf26Af2uASEGIABBwABqIQAgAUHAAGshASABQcAATw0ACyADIAT9rgEgBSAG/a4B/a4BIQMLIAFBEE8EQANAIAMgAP0AAAAgCP1RIAn9ugH9rgEhAyAAQRBqIQAgAUEQayEBIAFBEE8NAAsLIAP9xwEgA/3IAf3OASEDIAP9HQAgA/0dAXwgAq0gCkFwca1CDoZ8fCEHIAFBCHEEQCAHIAA1AAB8IQcgByAANQAEfCEHIABBCGohAAsgAUEEcQRAIAcgADUAAHwhByAAQQRqIQALIAFBAnEEQCAHIAAzAAB8IQcgAEECaiEACyABQQFxBEAgByAAMQAAfCEHCyAHQv//A4MgB0IgiHwgB0IQiEL//wODfCEHIAdC//8DgyAHQhCIfCEHIAdC//8DgyAHQhCIfKcLswECAn4CfyACQQhPBEAgAkEIayEGIAEpAAAhAyABIAZqKQAAIQQgACADNwAAIAAgBmogBDcAAA8LIAJBBE8EQCACQQRrIQYgATUAACEDIAEgBmo1AAAhBCAAIAM+AAAgACAGaiAEPgAADwsgAgRAIAExAAAhAyACQQF2IQYgASAGai0AACEFIAJBAWshAiABIAJqMQAAIQQgACADPAAAIAAgBmogBToAACAAIAJqIAQ8AAALC+ECBAV7AX4CewF//QwAgACAAIAAgACAAIAAgACAIQr9DAEAAQABAAEAAQABAAEAAQAhCyACIQwgAkHAAE8EQANAIAH9AAAAIQggACAI/QsAACAEIAggCv1RIAv9ugH9rgEhBCAB/QAAECEIIAAgCP0LABAgBSAIIAr9USAL/boB/a4BIQUgAf0AACAhCCAAIAj9CwAgIAYgCCAK/VEgC/26Af2uASEGIAH9AAAwIQggACAI/QsAMCAHIAggCv1RIAv9ugH9rgEhByABQcAAaiEBIABBwABqIQAgAkHAAGshAiACQcAATw0ACwsgAkEQTwRAA0AgAf0AAAAhCCAAIAj9CwAAIAQgCCAK/VEgC/26Af2uASEEIAFBEGohASAAQRBqIQAgAkEQayECIAJBEE8NAAsLIAEgAiAMIAMQAiAEIAX9rgEgBiAH/a4B/a4BEAF8EAMhCSAAIAEgAhAGIAkQAAttACAAIAFrIAJJBEAgASACIAMQBSEDIAAgASAC/AoAACADDwsgAkGAgBBLBEADQCAAIAFBgIAQIAMQByEDIAFBgIAQaiEBIABBgIAQaiEAIAJBgIAQayECIAJBgIAQSw0ACwsgACABIAIgAxAHC4ABAgF7AX8gAkEQSQRAIAAgASACEAYPCyACQYAETyAAIAFrIAJJcgRAIAAgASAC/AoAAA8LIAAgAmpBEGshBCABIAJqQRBr/QAAACEDIAAgBEkEQANAIAAgAf0AAAD9CwAAIAFBEGohASAAQRBqIQAgACAESQ0ACwsgBCAD/QsAAAtcAQJ/IAJBf3MhAwJAIAFFDQADQCADIAAtAABzIQNBCCEEA0AgA0EBdkGghuLtfkEAIANBAXFrcXMhAyAEQQFrIgQNAAsgAEEBaiEAIAFBAWsiAQ0ACwsgA0F/cws=";

/** What runs over one slab: WebAssembly SIMD where the host has it, JavaScript elsewhere. */
export interface WasmOps {
  /** One's complement sum of `len` bytes at `ptr`, folded to 16 bits, added to `initial`. */
  csum(ptr: number, len: number, initial: number): number;
  /** Copies and sums in one pass. */
  copyCsum(dst: number, src: number, len: number, initial: number): number;
  /** Copies `len` bytes inside the slab. The ranges do not overlap. */
  copy(dst: number, src: number, len: number): void;
}

interface Exports {
  csum: WasmOps["csum"];
  copy_csum: WasmOps["copyCsum"];
  copy: WasmOps["copy"];
}

/** The module, compiled once; null where the host has no WebAssembly SIMD. */
const MODULE: WebAssembly.Module | null = compile();

function compile(): WebAssembly.Module | null {
  try {
    return new WebAssembly.Module(Uint8Array.from(atob(CHECKSUM_WASM_BASE64), (c) => c.charCodeAt(0)));
  } catch {
    return null;
  }
}

/** Instantiates the helpers over `memory`; falls back to JavaScript where WebAssembly SIMD is missing. */
export function instantiateWasm(
  memory: WebAssembly.Memory,
  bytes: Uint8Array<ArrayBuffer>,
  view: DataView<ArrayBuffer>,
): WasmOps {
  if (MODULE === null) return javascriptOps(bytes, view);
  const { csum, copy_csum, copy } = new WebAssembly.Instance(MODULE, { env: { memory } }).exports as unknown as Exports;
  return { csum, copyCsum: copy_csum, copy };
}

/** The same operations in plain JavaScript: the fallback, and the reference that tests hold the other against. */
export function javascriptOps(bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>): WasmOps {
  const csum = (ptr: number, len: number, initial: number): number => csumJs(view, ptr, len, initial);
  return {
    csum,
    copy: (dst, src, len) => void bytes.copyWithin(dst, src, src + len),
    copyCsum: (dst, src, len, initial) => {
      bytes.copyWithin(dst, src, src + len);
      return csum(dst, len, initial);
    },
  };
}

/**
 * One's complement sum in JavaScript, folded to 16 bits: best under 32 bytes, where a call into WebAssembly costs more
 * than it saves. The running sum stays a small integer at any length.
 */
export function csumJs(view: DataView, ptr: number, len: number, initial: number): number {
  let sum = (initial & 0xffff) + (initial >>> 16);
  const end = ptr + len;
  let i = ptr;
  for (; i + 4 <= end; i += 4) {
    const word = view.getInt32(i, true);
    sum += (word & 0xffff) + (word >>> 16);
    if (sum > 0x3ff00000) sum = (sum & 0xffff) + (sum >>> 16);
  }
  if (i + 2 <= end) {
    sum += view.getUint16(i, true);
    i += 2;
  }
  if (i < end) sum += view.getUint8(i);
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Folds a partial sum and complements it: the value for the checksum field, to be stored little-endian. */
export function csumFold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The sum over an IPv4 pseudo header. Addresses are int32 as read big-endian, `proto` 8 bits, `len` in bytes. */
export function csumTcpUdpNofold(saddr: number, daddr: number, len: number, proto: number): number {
  let sum = (saddr & 0xffff) + (saddr >>> 16) + (daddr & 0xffff) + (daddr >>> 16) + (len & 0xffff) + (len >>> 16) +
    proto;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

/** Swaps the two bytes of a 16-bit number. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8 & 0xff);
}

/** Adds the partial sum of a block that starts at `offset` of a message: an odd offset swaps its bytes (RFC 1071). */
export function csumBlockAdd(sum: number, block: number, offset: number): number {
  let b = (block & 0xffff) + (block >>> 16);
  b = (b & 0xffff) + (b >>> 16);
  return sum + ((offset & 1) !== 0 ? swap16(b) : b);
}

/**
 * The new checksum field after one 16-bit field changed (RFC 1624, equation 3). All values little-endian reads.
 */
export function csumReplace2(check: number, from: number, to: number): number {
  return csumFold((~check & 0xffff) + (~from & 0xffff) + (to & 0xffff));
}

const CRC_POLY = 0xedb88320 | 0;
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = (n & 1) !== 0 ? CRC_POLY ^ (n >>> 1) : n >>> 1;
  return n;
});

/** CRC-32 as IEEE 802.3 computes the frame check sequence, over `len` bytes at `ptr`. Result int32. */
export function crc32(bytes: Uint8Array, ptr: number, len: number): number {
  let crc = -1;
  for (let i = ptr; i < ptr + len; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return ~crc;
}
