/**
 * What a journey is made of: one record per event, one packet per id. All plain data, fit for JSON.
 *
 * @module
 */
import type { CopyKind, DropReason, SkBuff } from "../../../core/mod.ts";

/** Bytes that were moved, and who moved them. */
export interface JourneyCopy {
  /** The ledger's site: `udp_sendmsg`. */
  readonly site: string;
  /** `cpu`, `dma` or `header`. */
  readonly kind: CopyKind;
  /** Bytes. */
  readonly bytes: number;
}

/** Where a buffer's bytes are, all in bytes from the start of its head: what moves is `data`. */
export interface JourneyLayout {
  /** Which buffer: a clone shares it, a copy has its own. The number of its memory slot. */
  readonly head: number;
  /** First byte as the current layer sees it. Its distance from the head is the headroom. */
  readonly data: number;
  /** One past the last linear byte. */
  readonly tail: number;
  /** One past the last byte of the head. */
  readonly end: number;
  /** Bytes of the packet as the current layer sees it, frags and fragment list included. */
  readonly len: number;
  /** Bytes of it that are not linear. */
  readonly dataLen: number;
  /** Link header, -1: unknown. */
  readonly mac: number;
  /** Network header, -1: unknown. */
  readonly network: number;
  /** Transport header, -1: unknown. */
  readonly transport: number;
  /** Bytes of the transport header: of TCP with its options, else 8. */
  readonly transportLen: number;
  /** EtherType in host order, 0: unknown. */
  readonly protocol: number;
  /** The head is shared with a clone. */
  readonly cloned: boolean;
}

/** The TCP header of a packet. */
export interface JourneySegment {
  /** Source, int32. */
  readonly saddr: number;
  /** Source port. */
  readonly sport: number;
  /** Destination, int32. */
  readonly daddr: number;
  /** Destination port. */
  readonly dport: number;
  /** Sequence number, int32. */
  readonly seq: number;
  /** Acknowledgement number, int32. */
  readonly ack: number;
  /** Window as it stands in the header. */
  readonly window: number;
  /** `SYN`, `ACK`, ... */
  readonly flags: readonly string[];
  /** Bytes of the header, options included. */
  readonly doff: number;
  /** Payload bytes. */
  readonly len: number;
  /** SACK blocks, [start, end). */
  readonly sacks: readonly (readonly [number, number])[];
  /** `ACK+PSH, 100 bytes`. */
  readonly brief: string;
}

/** One event. */
export interface JourneyRecord {
  /** Number, from 1. Gaps mean: the oldest were dropped. */
  readonly seq: number;
  /** The machine's clock in ns. */
  readonly time: number;
  /** Name of the net, "" where the event belongs to none. */
  readonly net: string;
  /** Number of the CPU. */
  readonly cpu: number;
  /** `process`, `hardirq`, `softirq` or `ksoftirqd`. */
  readonly context: string;
  /** The tracepoint: `net:netif_receive_skb`. */
  readonly point: string;
  /** The Linux function that it stands in. */
  readonly linux: string;
  /** `skb.id`, 0: the event is about no packet. */
  readonly id: number;
  /** `skb.cause`: the packet that was being processed when this one was made, 0: none. */
  readonly cause: number;
  /** Where its bytes are; null without a packet. */
  readonly layout: JourneyLayout | null;
  /** The packet in one line: `UDP 10.0.0.1:4096 > 10.0.0.2:7 len 32`. "" while its headers are unknown. */
  readonly packet: string;
  /** Its TCP header, null: it has none, or it is not known yet. */
  readonly segment: JourneySegment | null;
  /** Device, or "". */
  readonly dev: string;
  /** First number of the event; the tracepoint's doc says what it is. */
  readonly a: number;
  /** Second number. */
  readonly b: number;
  /** Name of the thing that the event is about: device, hook, queue discipline, interrupt line, socket. */
  readonly what: string;
  /** Bytes moved since the event before. */
  readonly copies: readonly JourneyCopy[];
  /** What a netfilter hook said: `ACCEPT`, `DROP`, `STOLEN`, `QUEUE`, `REPEAT`; "" where the event is none. */
  readonly verdict: string;
  /** Why it was dropped, where the event is a drop. */
  readonly drop: DropReason | null;
}

/** What a packet is to the one it is listed under. */
export type JourneyLink = "root" | "caused";

/** All that is known of one id: the original, its clones, copies and fragments, on both sides of a wire. */
export interface JourneyPacket {
  /** `skb.id`. */
  readonly id: number;
  /** The packet that caused it, 0: none. */
  readonly cause: number;
  /** Whether it stands alone, or was made while another was processed: a reply, an ARP request, an ICMP error. */
  readonly link: JourneyLink;
  /** The packet in one line. */
  readonly packet: string;
  /** The nets it was seen in, in order. */
  readonly nets: readonly string[];
  /** Its buffers in order of appearance: the original, clones that share it, fragments, the receiver's. */
  readonly buffers: readonly JourneyBuffer[];
  /** Its events, in order. */
  readonly records: readonly JourneyRecord[];
  /** Packets that it caused. */
  readonly children: JourneyPacket[];
}

/** One buffer of a packet. */
export interface JourneyBuffer {
  /** Number of the memory slot. */
  readonly head: number;
  /** The net. */
  readonly net: string;
  /**
   * How it came to be: `first`; `wire`: written by DMA on the other side; `fragment`: an IP fragment of the first;
   * `copy`: bytes of its own on the same host.
   */
  readonly origin: "first" | "wire" | "fragment" | "copy";
  /** A clone shared it at some time. */
  readonly cloned: boolean;
}

/** What is recorded. */
export interface JourneyOptions {
  /** Records kept; older ones are dropped and counted. Default 10,000. */
  limit?: number;
  /** Only events of these nets (and those of no net). Default: all. */
  nets?: readonly string[];
  /** Only tracepoints whose name passes. Default: all. */
  filter?: (point: string) => boolean;
  /**
   * Only events whose packet (null: about none) passes; what is copied for others is not told, either. Default: all.
   * Borrows `skb`.
   */
  packets?: (skb: SkBuff | null, point: string) => boolean;
}

/** How a ladder is drawn. */
export interface LadderOptions {
  /** ANSI colours. Default false. */
  color?: boolean;
  /** Columns, at least 60. Default 120. */
  width?: number;
}

/** How a journey is drawn. */
export interface RenderOptions {
  /** ANSI colours. Default false. */
  color?: boolean;
  /**
   * Columns, at least 60. Under 124 a character of the picture is 8 bytes and not 4, under 112 the Linux function goes,
   * under 80 the claims. Default 140.
   */
  width?: number;
  /** Remarks where textbook and kernel differ. Default true. */
  remarks?: boolean;
  /** Numbers of the claims that a step shows: `[R7]`. Default true. */
  claims?: boolean;
  /** Only these packets, and the machine's events around them. Default: all. */
  ids?: readonly number[];
}
