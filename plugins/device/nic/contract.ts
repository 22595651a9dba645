/**
 * What a NIC is told: rings, moderation, offloads; and the wire that it is plugged into.
 *
 * @module
 */
import type { Wire } from "./wire.ts";

export type { NicQueue, NicRing } from "./queue.ts";
export type { Nic, NicTracepoints } from "./state.ts";
export type { Rss } from "./rss.ts";
export type { Wire } from "./wire.ts";
export { RSS_INDIR_SIZE, RSS_KEY_LEN, RSS_MICROSOFT_KEY, toeplitz } from "./rss.ts";

/** Queues, as `ethtool -L` sets them. */
export interface NicChannels {
  /** Queues that receive and transmit, from 1 to 64. */
  combined: number;
}

/** A protocol whose flows are told apart by addresses and, if asked, by ports. */
export type NicRxFlow = "tcp4" | "udp4";

/**
 * How received frames are spread over the queues, as `ethtool -X` and `ethtool -N DEV rx-flow-hash` set it. At most one of
 * `equal`, `weight`, `indir` and `default`.
 */
export interface NicRssOptions {
  /** The key, 40 bytes. Default: from the platform's randomness. Linux: netdev_rss_key_fill(). */
  key?: ArrayLike<number>;
  /** Evenly over the first so many queues. */
  equal?: number;
  /** The share of each queue, from 0 on. */
  weight?: readonly number[];
  /** The table itself: the queue of each of its 128 entries. */
  indir?: readonly number[];
  /** As if nobody had ever set a table: over all queues, however many there will be. */
  default?: boolean;
  /**
   * What is hashed: `sd` the addresses, `sdfn` the ports too. Default `sdfn` for both, as most drivers of today have it;
   * with UDP, parts of a large datagram, which have no ports, then go another way than its whole ones.
   */
  rxFlowHash?: Partial<Record<NicRxFlow, "sd" | "sdfn">>;
}

/** What `ethtool -x` shows. */
export interface NicRxfh {
  /** The key, a copy. */
  readonly key: Uint8Array;
  /** The queue of each of the 128 entries. */
  readonly indir: readonly number[];
  /** What is hashed, by protocol. */
  readonly rxFlowHash: Readonly<Record<NicRxFlow, "sd" | "sdfn">>;
}

/** What one queue counts. */
export interface NicQueueStats {
  /** Frames that the driver took. */
  rxPackets: number;
  /** Their bytes. */
  rxBytes: number;
  /** Frames lost for want of a descriptor. */
  rxMissed: number;
  /** Receive buffers that could not be allocated. */
  rxAllocFailed: number;
  /** Packets that the driver posted. */
  txPackets: number;
  /** Their bytes. */
  txBytes: number;
  /** Frames that old rings held when they were replaced. */
  lost: number;
}

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

/**
 * What a wire does to frames. All of it left out, it is a cable: whole frames, in order, at once. Probabilities are from 0
 * to 1 and each frame's own; what is drawn comes from the platform, so that the same seed gives the same wire.
 * Linux: tc-netem(8), with its words and its order: loss, duplication, corruption, rate, delay, reordering.
 */
export interface WireOptions {
  /**
   * Called for each frame with its real frame check sequence as the last four bytes. It may write into the frame,
   * return a shorter one, or `null`: the frame is lost. The receiver checks the FCS for real.
   */
  impair?: Impair;
  /** How long a frame is under way, ns. Default 0. */
  delayNs?: number;
  /** Each frame's delay is off by up to so much, ns, either way; frames may overtake. At most `delayNs`. Default 0. */
  jitterNs?: number;
  /** Probability that a frame is lost. Default 0. */
  loss?: number;
  /**
   * Losses in bursts, in the place of `loss`: p (into the bad state), r (out of it, default 1 - p), 1-h (loss while bad,
   * default 1), 1-k (loss while good, default 0). Gilbert 1960, Elliott 1963.
   */
  gemodel?: readonly number[] | null;
  /** Probability that a frame does not wait for `delayNs`, and so overtakes those under way. Takes a delay. Default 0. */
  reorder?: number;
  /** Probability that a frame arrives twice. Default 0. */
  duplicate?: number;
  /**
   * Probability that one bit of a frame is flipped. It is flipped before the frame check sequence is made, as in memory:
   * only the checksums of the protocols tell. Default 0.
   */
  corrupt?: number;
  /** Bits per second in each direction, preamble, FCS and gap (24 bytes a frame) counted. Default 0: no limit. */
  rateBps?: number;
  /** Frames under way in one direction; one more is dropped and counted. Default 1000. */
  limit?: number;
}

/** What a wire did to the frames of one direction. */
export interface WireCounters {
  /** Frames that were put on it. */
  sent: number;
  /** Frames that came out, duplicates too, whether the receiver took them or not. */
  delivered: number;
  /** Lost by chance, by `impair`, or with a link that went down. */
  lost: number;
  /** Dropped since `limit` frames were under way. */
  overLimit: number;
  /** Sent twice. */
  duplicated: number;
  /** With a bit flipped. */
  corrupted: number;
  /** Sent ahead of others. */
  reordered: number;
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
  /** Queues, from 1 to 64. Queue `i` interrupts CPU `i` modulo the machine's CPUs. Default 1. */
  queues?: number;
  /** How frames are spread over them. Default: evenly. */
  rss?: NicRssOptions;
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
