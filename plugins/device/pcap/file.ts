/**
 * Capture files as such: in memory, on disk, and back.
 *
 * @module
 */
import { concatBytes } from "../../../core/mod.ts";
import type { PcapFile, PcapFrame, PcapOptions, PcapSink } from "./contract.ts";
import {
  LINKTYPE_ETHERNET,
  PCAP_FILE_HEADER,
  PCAP_MAGIC_MICRO,
  PCAP_MAGIC_NANO,
  PCAP_RECORD_HEADER,
  PCAP_SNAPLEN,
  putFileHeader,
  putRecordHeader,
} from "./header.ts";
import { PCAPNG_SECTION, readPcapng } from "./ng.ts";

/** A capture in memory. */
export class PcapBuffer implements PcapSink {
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];

  /** See {@linkcode PcapSink.write}. */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(bytes);
  }

  /** The whole file so far. */
  bytes(): Uint8Array<ArrayBuffer> {
    return concatBytes(this.#chunks);
  }
}

/**
 * A capture file on disk, written through at the end of each entry. Errors are Deno's; needs `--allow-write`.
 */
export function pcapFile(path: string | URL): PcapSink {
  const file = Deno.openSync(path, { write: true, create: true, truncate: true });
  return {
    write(bytes) {
      for (let at = 0; at < bytes.length;) {
        at += file.writeSync(new Uint8Array(bytes.buffer, bytes.byteOffset + at, bytes.length - at));
      }
    },
    close: () => file.close(),
  };
}

/** Reads a capture file, pcap or pcapng. Anything else is a TypeError. */
export function readCapture(bytes: Uint8Array<ArrayBuffer>): PcapFile {
  const first = bytes.length < 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
  return first === PCAPNG_SECTION ? readPcapng(bytes) : readPcap(bytes);
}

/** Reads a pcap file of either byte order and resolution. Anything else is a TypeError. */
export function readPcap(bytes: Uint8Array<ArrayBuffer>): PcapFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = bytes.length < PCAP_FILE_HEADER ? 0 : view.getUint32(0, true);
  const swapped = bytes.length < PCAP_FILE_HEADER ? 0 : view.getUint32(0);
  const little = magic === PCAP_MAGIC_MICRO || magic === PCAP_MAGIC_NANO;
  const known = little ? magic : swapped;
  if (known !== PCAP_MAGIC_MICRO && known !== PCAP_MAGIC_NANO) {
    throw new TypeError("Cannot read capture: no pcap magic number");
  }
  const nano = known === PCAP_MAGIC_NANO;
  const frames: PcapFrame[] = [];
  let at = PCAP_FILE_HEADER;
  while (at + PCAP_RECORD_HEADER <= bytes.length) {
    const kept = view.getUint32(at + 8, little);
    if (at + PCAP_RECORD_HEADER + kept > bytes.length) break;
    frames.push({
      seconds: view.getUint32(at, little),
      nanoseconds: view.getUint32(at + 4, little) * (nano ? 1 : 1000),
      length: view.getUint32(at + 12, little),
      bytes: concatBytes([new Uint8Array(bytes.buffer, bytes.byteOffset + at + PCAP_RECORD_HEADER, kept)]),
    });
    at += PCAP_RECORD_HEADER + kept;
  }
  return {
    linkType: view.getUint32(20, little) & 0xffff,
    snaplen: view.getUint32(16, little),
    precision: nano ? "nano" : "micro",
    frames,
    truncated: at !== bytes.length,
  };
}

/** A capture file of given frames: what {@linkcode readPcap} gives back. */
export function writePcap(
  frames: readonly PcapFrame[],
  options: PcapOptions & { linkType?: number } = {},
): Uint8Array<ArrayBuffer> {
  const micro = options.precision === "micro";
  const head = new Uint8Array(PCAP_FILE_HEADER);
  putFileHeader(
    new DataView(head.buffer),
    0,
    micro ? PCAP_MAGIC_MICRO : PCAP_MAGIC_NANO,
    options.snaplen ?? PCAP_SNAPLEN,
    options.linkType ?? LINKTYPE_ETHERNET,
  );
  const parts = [head];
  for (const frame of frames) {
    const record = new Uint8Array(PCAP_RECORD_HEADER);
    const fraction = micro ? Math.floor(frame.nanoseconds / 1000) : frame.nanoseconds;
    putRecordHeader(new DataView(record.buffer), 0, frame.seconds, fraction, frame.bytes.length, frame.length);
    parts.push(record, frame.bytes);
  }
  return concatBytes(parts);
}
