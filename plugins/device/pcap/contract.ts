/**
 * Capture files: what a capture is told, where it goes, and what reading one gives.
 *
 * @module
 */
export type { PcapTap } from "./output.ts";
export type { PcapReplay } from "./replay.ts";

/** Where a capture goes: a buffer, a file, a socket. */
export interface PcapSink {
  /** The next bytes of the file. They never change afterwards: the sink may keep them. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  /** The capture ended. */
  close?(): void;
}

/** How a capture is written. */
export interface PcapOptions {
  /** Bytes that are kept of a frame. Default 262,144: all. */
  snaplen?: number;
  /** Resolution of the timestamps. Default `nano`. */
  precision?: "nano" | "micro";
}

/** One frame of a capture file. */
export interface PcapFrame {
  /** Seconds since 1970. */
  readonly seconds: number;
  /** Nanoseconds of the second. */
  readonly nanoseconds: number;
  /** Length on the wire in bytes; more than `bytes` when the capture cut it. */
  readonly length: number;
  /** The bytes that were kept. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A capture file. */
export interface PcapFile {
  /** LINKTYPE_*. */
  readonly linkType: number;
  /** Bytes that are kept of a frame. */
  readonly snaplen: number;
  /** Resolution of the timestamps. */
  readonly precision: "nano" | "micro";
  /** The frames in order. */
  readonly frames: readonly PcapFrame[];
  /** The file ends in the middle of a frame, which is left out. */
  readonly truncated: boolean;
}

/** How a capture is played. */
export interface PcapReplayOptions {
  /** As recorded, as fast as the stack takes it, or so many times faster than recorded. Default `recorded`. */
  speed?: "recorded" | "full" | number;
  /** MTU in bytes. Default: 1500, or what the longest frame needs. */
  mtu?: number;
  /** `02:00:00:00:00:01`: whose frames are for us. Default: a locally administered one from the platform's randomness. */
  address?: string;
}
