/**
 * The TCP header on the wire. RFC 9293 section 3.1; Linux: include/uapi/linux/tcp.h.
 *
 * ```text
 *   0                   1                   2                   3
 *  |          source port          |       destination port        |   0
 *  |                        sequence number                        |   4
 *  |                    acknowledgement number                     |   8
 *  |  doff |  res  |A|C E U A P R S F|            window           |  12   doff: words of header and options
 *  |            checksum           |         urgent pointer        |  16
 *  |                    options, doff - 5 words                    |  20
 * ```
 *
 * @module
 */
import { DROP, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the header without options. */
export const TCP_HLEN = 20;
/** Most bytes of the header with options. */
export const TCP_MAX_HLEN = 60;
/** Offset of the source port. */
export const TCP_SOURCE = 0;
/** Offset of the destination port. */
export const TCP_DEST = 2;
/** Offset of the sequence number. */
export const TCP_SEQ = 4;
/** Offset of the acknowledgement number. */
export const TCP_ACK_SEQ = 8;
/** Offset of the word that has data offset, flags and window. */
export const TCP_FLAG_WORD = 12;
/** Offset of the window. */
export const TCP_WINDOW = 14;
/** Offset of the checksum. */
export const TCP_CHECK = 16;
/** Offset of the urgent pointer. */
export const TCP_URG_PTR = 18;

/** Option: the end of the list. Linux: TCPOPT_*. */
export const TCPOPT_EOL = 0;
/** Option: padding. */
export const TCPOPT_NOP = 1;
/** Option: maximum segment size. RFC 9293 section 3.7.1. */
export const TCPOPT_MSS = 2;
/** Option: window scale. RFC 7323 section 2. */
export const TCPOPT_WINDOW = 3;
/** Option: selective acknowledgements are understood. RFC 2018 section 2. */
export const TCPOPT_SACK_PERM = 4;
/** Option: selective acknowledgement. RFC 2018 section 3. */
export const TCPOPT_SACK = 5;
/** Option: timestamps. RFC 7323 section 3. */
export const TCPOPT_TIMESTAMP = 8;
/** Option: MD5 signature. RFC 2385. */
export const TCPOPT_MD5SIG = 19;
/** Option: authentication. RFC 5925. */
export const TCPOPT_AO = 29;
/** Option: fast open. RFC 7413. */
export const TCPOPT_FASTOPEN = 34;

/** Bytes of the MSS option. Linux: TCPOLEN_*. */
export const TCPOLEN_MSS = 4;
/** Bytes of the window scale option. */
export const TCPOLEN_WINDOW = 3;
/** Bytes of the SACK permitted option. */
export const TCPOLEN_SACK_PERM = 2;
/** Bytes of a SACK option before its blocks. */
export const TCPOLEN_SACK_BASE = 2;
/** Bytes of one SACK block. */
export const TCPOLEN_SACK_PERBLOCK = 8;
/** Bytes of the timestamp option. */
export const TCPOLEN_TIMESTAMP = 10;
/** The same with two NOPs in front. */
export const TCPOLEN_TSTAMP_ALIGNED = 12;
/** Bytes of the MD5 signature option. */
export const TCPOLEN_MD5SIG = 18;
/** `NOP NOP timestamp 10` as a word: how nearly every segment begins its options. RFC 7323 appendix A. */
export const TCP_TSTAMP_WORD = 0x0101080a;

// An exported binding is loaded and checked at each use, a constant of the module's own is folded into machine code.
const HLEN = 20, AT_FLAGS = 12;

/**
 * A view of a header; made freely, never stored. The bytes are there after {@linkcode TcpHeader.check} gave 0, until
 * the head of the packet is replaced. Numbers of 32 bits are int32: print them with `>>> 0`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { TcpHeader } from "@netpath/stack/tcp";
 *
 * const wire = new Uint8Array(20);
 * const header = new TcpHeader(new DataView(wire.buffer), 0);
 * header.dest = 80;
 * header.doff = 5;
 * header.flags = 0x12;
 * assertEquals([...wire.subarray(12, 14)], [0x50, 0x12]);
 * assertEquals([header.dest, header.syn, header.ack, header.fin], [80, true, true, false]);
 * ```
 */
export class TcpHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 20 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /**
   * Whether `data` is at a TCP header that is whole with its options: 0, or PKT_TOO_SMALL. Makes header and options
   * linear. Linux: the first checks of tcp_v4_rcv(). Borrows `skb`.
   */
  static check(skb: SkBuff): number {
    if (!skb.mayPull(HLEN)) return DROP.PKT_TOO_SMALL;
    const hlen = (skb.view.getUint8(skb.data + AT_FLAGS) >> 4) << 2;
    return hlen < HLEN || !skb.mayPull(hlen) ? DROP.PKT_TOO_SMALL : 0;
  }

  /** Source port. */
  get source(): number {
    return this.#view.getUint16(this.#at + TCP_SOURCE);
  }

  set source(port: number) {
    this.#view.setUint16(this.#at + TCP_SOURCE, port);
  }

  /** Destination port. */
  get dest(): number {
    return this.#view.getUint16(this.#at + TCP_DEST);
  }

  set dest(port: number) {
    this.#view.setUint16(this.#at + TCP_DEST, port);
  }

  /** Sequence number of the first byte, or of the SYN; int32. */
  get seq(): number {
    return this.#view.getInt32(this.#at + TCP_SEQ);
  }

  set seq(seq: number) {
    this.#view.setInt32(this.#at + TCP_SEQ, seq);
  }

  /** The next sequence number that the sender of the segment expects; int32. */
  get ackSeq(): number {
    return this.#view.getInt32(this.#at + TCP_ACK_SEQ);
  }

  set ackSeq(seq: number) {
    this.#view.setInt32(this.#at + TCP_ACK_SEQ, seq);
  }

  /** Words of header and options, 5 to 15. */
  get doff(): number {
    return this.#view.getUint8(this.#at + AT_FLAGS) >> 4;
  }

  set doff(words: number) {
    const at = this.#at + AT_FLAGS;
    this.#view.setUint8(at, (words << 4) | (this.#view.getUint8(at) & 0x0f));
  }

  /** Flags, 9 bits: TCPHDR_*. Setting them leaves data offset and reserved bits alone. */
  get flags(): number {
    return this.#view.getUint16(this.#at + AT_FLAGS) & 0x1ff;
  }

  set flags(flags: number) {
    const at = this.#at + AT_FLAGS;
    this.#view.setUint16(at, (this.#view.getUint16(at) & 0xfe00) | (flags & 0x1ff));
  }

  /** No more data from the sender. */
  get fin(): boolean {
    return (this.#view.getUint8(this.#at + 13) & 0x01) !== 0;
  }

  /** Sequence numbers are synchronised. */
  get syn(): boolean {
    return (this.#view.getUint8(this.#at + 13) & 0x02) !== 0;
  }

  /** The connection is reset. */
  get rst(): boolean {
    return (this.#view.getUint8(this.#at + 13) & 0x04) !== 0;
  }

  /** The acknowledgement number means something. */
  get ack(): boolean {
    return (this.#view.getUint8(this.#at + 13) & 0x10) !== 0;
  }

  /** Window as on the wire, not scaled. */
  get window(): number {
    return this.#view.getUint16(this.#at + TCP_WINDOW);
  }

  set window(bytes: number) {
    this.#view.setUint16(this.#at + TCP_WINDOW, bytes);
  }

  /** Checksum as native words have it (little-endian). */
  get checksum(): number {
    return this.#view.getUint16(this.#at + TCP_CHECK, true);
  }

  set checksum(sum: number) {
    this.#view.setUint16(this.#at + TCP_CHECK, sum, true);
  }

  /** Urgent pointer: bytes from {@linkcode seq}. */
  get urgPtr(): number {
    return this.#view.getUint16(this.#at + TCP_URG_PTR);
  }

  set urgPtr(offset: number) {
    this.#view.setUint16(this.#at + TCP_URG_PTR, offset);
  }
}
