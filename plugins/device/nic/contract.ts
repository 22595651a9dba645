/**
 * What a NIC is told: rings, moderation, offloads; and the wire that it is plugged into.
 *
 * @module
 */
import type { Wire } from "./wire.ts";

export type { Nic, NicRing, NicTracepoints } from "./state.ts";
export type { Wire } from "./wire.ts";

/** Sizes of the rings, as `ethtool -G` sets them. Powers of two from 8 to 65,536. */
export interface NicRingParam {
  /** Receive descriptors. */
  rx: number;
  /** Transmit descriptors. */
  tx: number;
}

/** Interrupt moderation, as `ethtool -C` sets it. */
export interface NicCoalesceParam {
  /** Microseconds between the first received frame and its interrupt; 0: at once. */
  rxUsecs: number;
  /** Received frames after which the interrupt comes at once; 0: no limit. */
  rxFrames: number;
  /** Microseconds between the first sent frame and its completion interrupt; 0: at once. */
  txUsecs: number;
  /** Sent frames after which the completion interrupt comes at once; 0: no limit. */
  txFrames: number;
}

/** What the hardware does instead of the stack, as `ethtool -K` sets it. */
export interface NicOffloads {
  /** Sends frames from several pieces of memory. Default: on with 64 transmit descriptors or more. */
  sg: boolean;
  /** Completes transport checksums on transmit. Default off. */
  txCsum: boolean;
  /** Verifies transport checksums on receive. Default off. */
  rxCsum: boolean;
  /** Super-packets stay whole where both ends of the wire have it; needs `sg` and `txCsum`. Default off. */
  gso: boolean;
  /** Merges on receive (in NAPI). Default off. */
  gro: boolean;
}

/** Corrupts, cuts or loses frames on a wire. */
export interface WireOptions {
  /**
   * Called for each frame with its real frame check sequence as the last four bytes. It may write into the frame,
   * return a shorter one, or `null`: the frame is lost. The receiver checks the FCS for real.
   */
  impair?: Impair;
}

/** See {@linkcode WireOptions.impair}. `to` is the name of the receiving device. */
export type Impair = (frame: Uint8Array<ArrayBuffer>, to: string) => Uint8Array<ArrayBuffer> | null;

/** What a NIC is made of. */
export interface NicOptions {
  /** The wire that it is plugged into; without one there is no carrier. */
  wire?: Wire;
  /** Receive descriptors, a power of two from 8 to 65,536. Default 256. */
  rxRing?: number;
  /** Transmit descriptors, a power of two from 8 to 65,536. Default 256. */
  txRing?: number;
  /** MTU in bytes. Default 1500. */
  mtu?: number;
  /** `02:00:00:00:00:01`. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** Packets of the default queue discipline; 0: noqueue. Default 1000. */
  txQueueLen?: number;
  /** Interrupt moderation. Default: none. */
  coalesce?: Partial<NicCoalesceParam>;
  /** What the hardware does. */
  offloads?: Partial<NicOffloads>;
}

/** What the hardware counts beside the device's statistics, as `ethtool -S` shows it. */
export interface NicCounters {
  /** Times the driver rang: one may cover many frames. */
  doorbells: number;
  /** Frames for somebody else that the address filter left on the wire. */
  filtered: number;
  /** Receive buffers that could not be allocated. */
  rxAllocFailed: number;
  /** Frames that old rings held when they were resized or taken down. */
  lost: number;
}
