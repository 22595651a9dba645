/**
 * Reading pcapng, the format that Wireshark writes. Source: draft-ietf-opsawg-pcapng.
 *
 * @module
 */
import { concatBytes } from "../../../core/mod.ts";
import type { PcapFile, PcapFrame } from "./contract.ts";
import { PCAP_SNAPLEN } from "./header.ts";

/** Block type of a section's header, the same in both byte orders: a file that begins with it is pcapng. */
export const PCAPNG_SECTION = 0x0a0d0d0a;
const ORDER = 0x1a2b3c4d;
const INTERFACE = 1;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPT_END = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const SECONDS = 1_000_000_000n;

interface Interface {
  linkType: number;
  snaplen: number;
  /** Ticks of a second. */
  resolution: bigint;
  /** Seconds that are added. */
  offset: bigint;
}

/**
 * Reads the packets of a pcapng file, of all interfaces in the order of the file; they must be of one link type. Blocks
 * that hold none are skipped. What is no such file, or says what cannot be, is a TypeError.
 */
export function readPcapng(bytes: Uint8Array<ArrayBuffer>): PcapFile {
  return new Reader(bytes).read();
}

class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #little = true;
  #interfaces: Interface[] = [];
  readonly #frames: PcapFrame[] = [];
  #linkType = -1;
  #snaplen = 0;
  #micro = true;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  read(): PcapFile {
    let at = 0;
    while (at + 12 <= this.#bytes.length) {
      const type = this.#u32(at);
      if (type === PCAPNG_SECTION) this.#section(at);
      else if (at === 0) fail(0, "it begins with no section header");
      const length = this.#u32(at + 4);
      if (length < 12 || length % 4 !== 0) fail(at, `a block of ${length} bytes`);
      if (at + length > this.#bytes.length) break;
      this.#block(type, at + 8, at + length - 4);
      at += length;
    }
    if (at === 0) fail(0, "there is no whole section header");
    return {
      linkType: Math.max(this.#linkType, 0),
      snaplen: this.#snaplen === 0 ? PCAP_SNAPLEN : this.#snaplen,
      precision: this.#micro ? "micro" : "nano",
      frames: this.#frames,
      truncated: at !== this.#bytes.length,
    };
  }

  #section(at: number): void {
    this.#little = this.#view.getUint32(at + 8, true) === ORDER;
    if (this.#u32(at + 8) !== ORDER) fail(at, "a section without byte order");
    this.#interfaces = [];
  }

  #block(type: number, at: number, end: number): void {
    if (type === INTERFACE) this.#interface(at, end);
    else if (type === ENHANCED_PACKET) this.#enhanced(at, end);
    else if (type === SIMPLE_PACKET) this.#simple(at, end);
  }

  #interface(at: number, end: number): void {
    if (end - at < 8) fail(at, "an interface without its fields");
    const linkType = this.#u16(at);
    const snaplen = this.#u32(at + 4);
    const made: Interface = { linkType, snaplen, resolution: 1_000_000n, offset: 0n };
    for (const [code, from, length] of this.#options(at + 8, end)) {
      if (code === IF_TSRESOL && length >= 1) made.resolution = resolutionOf(this.#bytes[from]);
      if (code === IF_TSOFFSET && length >= 8) made.offset = this.#view.getBigInt64(from, this.#little);
    }
    if (made.resolution > 1_000_000n) this.#micro = false;
    this.#snaplen = Math.max(this.#snaplen, snaplen);
    this.#interfaces.push(made);
  }

  #enhanced(at: number, end: number): void {
    if (end - at < 20) fail(at, "a packet without its fields");
    const from = this.#interfaces[this.#u32(at)] ??
      fail(at, `a packet of interface ${this.#u32(at)}, which is not there`);
    const ticks = (BigInt(this.#u32(at + 4)) << 32n) | BigInt(this.#u32(at + 8));
    this.#packet(from, ticks, at + 20, this.#u32(at + 12), this.#u32(at + 16), end);
  }

  #simple(at: number, end: number): void {
    const from = this.#interfaces[0] ?? fail(at, "a packet before any interface");
    const length = this.#u32(at);
    const most = from.snaplen === 0 ? length : Math.min(length, from.snaplen);
    this.#packet(from, 0n, at + 4, Math.min(most, end - at - 4), length, end);
  }

  #packet(from: Interface, ticks: bigint, at: number, kept: number, length: number, end: number): void {
    if (at + kept > end) fail(at, `a packet of ${kept} bytes in a block that is shorter`);
    if (this.#linkType >= 0 && from.linkType !== this.#linkType) {
      fail(at, `link types ${this.#linkType} and ${from.linkType} in one file; split it by \`editcap\``);
    }
    this.#linkType = from.linkType;
    const ns = ticks * SECONDS / from.resolution + from.offset * SECONDS;
    this.#frames.push({
      seconds: Number(ns / SECONDS),
      nanoseconds: Number(ns % SECONDS),
      length,
      bytes: concatBytes([new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, kept)]),
    });
  }

  *#options(at: number, end: number): Generator<[code: number, at: number, length: number]> {
    while (at + 4 <= end) {
      const [code, length] = [this.#u16(at), this.#u16(at + 2)];
      if (code === OPT_END || at + 4 + length > end) return;
      yield [code, at + 4, length];
      at += 4 + ((length + 3) & ~3);
    }
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, this.#little);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, this.#little);
  }
}

/** Ticks of a second: a power of ten, or of two where the top bit is set. */
function resolutionOf(code: number): bigint {
  return (code & 0x80) !== 0 ? 1n << BigInt(code & 0x7f) : 10n ** BigInt(code);
}

function fail(at: number, what: string): never {
  throw new TypeError(`Cannot read capture: ${what} (at byte ${at})`);
}
