/**
 * The IPv4 header on the wire. RFC 791, RFC 2474 (DS field), RFC 3168 (ECN), RFC 6864 (identification).
 *
 * ```text
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   |Version|  IHL  |      TOS      |          Total Length         |   0
 *   |         Identification        |0|D|M|     Fragment Offset     |   4
 *   |      TTL      |    Protocol   |        Header Checksum        |   8
 *   |                         Source Address                        |  12
 *   |                      Destination Address                      |  16
 *   |                    Options, padded to 32 bits                 |  20
 * ```
 *
 * The path reads fields at constant offsets of the slab's DataView; the class is for everything else.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { csumFold, csumJs, DROP } = core;

/** Bytes of the header without options. */
export const IP_HLEN = 20;
/** Bytes of the longest header. */
export const IP_MAX_HLEN = 60;
/** Longest datagram, header included. */
export const IP_MAX_MTU = 65535;
/** Fragment word: do not fragment. */
export const IP_DF = 0x4000;
/** Fragment word: more fragments follow. */
export const IP_MF = 0x2000;
/** Fragment word: the reserved bit (RFC 3514's joke). */
export const IP_CE = 0x8000;
/** Fragment word: offset in units of 8 bytes. */
export const IP_OFFSET = 0x1fff;

/** Offset of the TOS byte. */
export const IPH_TOS = 1;
/** Offset of the total length. */
export const IPH_TOT_LEN = 2;
/** Offset of the identification. */
export const IPH_ID = 4;
/** Offset of flags and fragment offset. */
export const IPH_FRAG_OFF = 6;
/** Offset of the TTL. */
export const IPH_TTL = 8;
/** Offset of the protocol. */
export const IPH_PROTOCOL = 9;
/** Offset of the checksum. */
export const IPH_CHECK = 10;
/** Offset of the source address. */
export const IPH_SADDR = 12;
/** Offset of the destination address. */
export const IPH_DADDR = 16;

/** Option: end of the list. */
export const IPOPT_END = 0;
/** Option: no operation. */
export const IPOPT_NOOP = 1;
/** Option: record route. */
export const IPOPT_RR = 7;
/** Option: timestamp. */
export const IPOPT_TIMESTAMP = 68;
/** Option: loose source route. */
export const IPOPT_LSRR = 131;
/** Option: CIPSO security label. */
export const IPOPT_CIPSO = 134;
/** Option: strict source route. */
export const IPOPT_SSRR = 137;
/** Option: router alert (RFC 2113). */
export const IPOPT_RA = 148;
/** Bit of the kind: goes into every fragment. */
export const IPOPT_COPY = 0x80;

/** Timestamp flag: times only. */
export const IPOPT_TS_TSONLY = 0;
/** Timestamp flag: address and time. */
export const IPOPT_TS_TSANDADDR = 1;
/** Timestamp flag: the sender named the addresses. */
export const IPOPT_TS_PRESPEC = 3;

/** A view of a header; made freely, never stored. */
export class Ipv4Header {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 20 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /** 4. */
  get version(): number {
    return this.#view.getUint8(this.#at) >>> 4;
  }

  /** Header length in 32-bit words. */
  get ihl(): number {
    return this.#view.getUint8(this.#at) & 15;
  }

  /** Header length in bytes. */
  get hlen(): number {
    return this.ihl << 2;
  }

  /** Type of service: DSCP and ECN. */
  get tos(): number {
    return this.#view.getUint8(this.#at + IPH_TOS);
  }

  /** Sets the type of service; the checksum is the caller's. */
  set tos(value: number) {
    this.#view.setUint8(this.#at + IPH_TOS, value);
  }

  /** Bytes of the datagram, header included. */
  get totLen(): number {
    return this.#view.getUint16(this.#at + IPH_TOT_LEN);
  }

  /** Sets the total length. */
  set totLen(value: number) {
    this.#view.setUint16(this.#at + IPH_TOT_LEN, value);
  }

  /** Identification. */
  get id(): number {
    return this.#view.getUint16(this.#at + IPH_ID);
  }

  /** Sets the identification. */
  set id(value: number) {
    this.#view.setUint16(this.#at + IPH_ID, value);
  }

  /** Flags and offset as they are on the wire. */
  get fragOff(): number {
    return this.#view.getUint16(this.#at + IPH_FRAG_OFF);
  }

  /** Sets flags and offset. */
  set fragOff(value: number) {
    this.#view.setUint16(this.#at + IPH_FRAG_OFF, value);
  }

  /** Do not fragment. */
  get df(): boolean {
    return (this.fragOff & IP_DF) !== 0;
  }

  /** More fragments follow. */
  get mf(): boolean {
    return (this.fragOff & IP_MF) !== 0;
  }

  /** Fragment offset in bytes. */
  get offset(): number {
    return (this.fragOff & IP_OFFSET) << 3;
  }

  /** Time to live. */
  get ttl(): number {
    return this.#view.getUint8(this.#at + IPH_TTL);
  }

  /** Sets the time to live. */
  set ttl(value: number) {
    this.#view.setUint8(this.#at + IPH_TTL, value);
  }

  /** Transport protocol. */
  get protocol(): number {
    return this.#view.getUint8(this.#at + IPH_PROTOCOL);
  }

  /** Sets the transport protocol. */
  set protocol(value: number) {
    this.#view.setUint8(this.#at + IPH_PROTOCOL, value);
  }

  /** Header checksum in native (little-endian) order, as core/checksum.ts keeps it. */
  get check(): number {
    return this.#view.getUint16(this.#at + IPH_CHECK, true);
  }

  /** Sets the header checksum, native order. */
  set check(value: number) {
    this.#view.setUint16(this.#at + IPH_CHECK, value, true);
  }

  /** Source, int32. */
  get saddr(): number {
    return this.#view.getInt32(this.#at + IPH_SADDR);
  }

  /** Sets the source. */
  set saddr(value: number) {
    this.#view.setInt32(this.#at + IPH_SADDR, value);
  }

  /** Destination, int32. */
  get daddr(): number {
    return this.#view.getInt32(this.#at + IPH_DADDR);
  }

  /** Sets the destination. */
  set daddr(value: number) {
    this.#view.setInt32(this.#at + IPH_DADDR, value);
  }
}

// An exported binding is loaded and checked at each use, a constant of the module's own is folded into machine code.
const HLEN = 20, AT_CHECK = 10;

/** Sum of the five words of a header, and of its options; not folded. */
function sumOf(view: DataView, at: number, ihl: number, ttlProtocolCheck: number): number {
  const a = view.getInt32(at, true);
  const b = view.getInt32(at + 4, true);
  const c = ttlProtocolCheck;
  const d = view.getInt32(at + 12, true);
  const e = view.getInt32(at + 16, true);
  const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16) + (c & 0xffff) + (c >>> 16) + (d & 0xffff) +
    (d >>> 16) + (e & 0xffff) + (e >>> 16);
  return ihl > 5 ? csumJs(view, at + HLEN, (ihl - 5) << 2, sum) : sum;
}

/** One's complement sum of a header of `ihl` words, folded: 0xffff when the checksum in it is right. */
export function ipHeaderSum(view: DataView, at: number, ihl: number): number {
  const sum = sumOf(view, at, ihl, view.getInt32(at + 8, true));
  const folded = (sum & 0xffff) + (sum >>> 16);
  return (folded & 0xffff) + (folded >>> 16);
}

/** Computes and stores the header checksum. Linux: ip_send_check(). */
export function ipSendCheck(view: DataView, at: number): void {
  // The old checksum is the upper half of its word.
  view.setUint16(at + AT_CHECK, csumFold(sumOf(view, at, view.getUint8(at) & 15, view.getUint16(at + 8, true))), true);
}

/**
 * Checks a received packet whose `data` is at its IP header: 0, or the drop reason, IP_INHDR (short, not version 4, or
 * a header length that cannot be), IP_CSUM, or PKT_TOO_SMALL (less is there than the total length claims). After 0
 * the header with its options is linear, `ihl * 4 <= totLen <= skb.len` holds and no accessor can fail, until `data`
 * moves or the packet is cut. The total length is looked at before the header length, as Linux does. Borrows `skb`.
 */
export function ipv4Check(skb: SkBuff): number {
  if (skb.tail - skb.data < HLEN && !skb.mayPull(HLEN)) return DROP.IP_INHDR;
  const word = skb.view.getInt32(skb.data);
  const hlen = (word >>> 24 & 15) << 2;
  if (word >>> 28 !== 4 || hlen < HLEN) return DROP.IP_INHDR;
  if (skb.tail - skb.data < hlen && !skb.mayPull(hlen)) return DROP.IP_INHDR;
  if (ipHeaderSum(skb.view, skb.data, hlen >>> 2) !== 0xffff) return DROP.IP_CSUM;
  const totLen = word & 0xffff;
  if (totLen > skb.len) return DROP.PKT_TOO_SMALL;
  return totLen < hlen ? DROP.IP_INHDR : 0;
}

/**
 * Band of pfifo_fast and priority of a packet, from its TOS: bulk 2, interactive 6, both 4, else 0.
 * Linux: rt_tos2priority(), ip_tos2prio[], net/ipv4/route.c.
 */
export function rtTos2priority(tos: number): number {
  return (0x4620 >>> ((tos >>> 1) & 12)) & 15;
}
