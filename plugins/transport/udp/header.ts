/**
 * The UDP header on the wire. RFC 768; Linux: include/uapi/linux/udp.h.
 *
 * ```text
 *   0      7 8     15 16    23 24    31
 *  +--------+--------+--------+--------+
 *  |   source port   |    dest port    |
 *  |     length      |    checksum     |   length: header and payload; checksum 0: none
 *  +--------+--------+--------+--------+
 * ```
 *
 * @module
 */
import { DROP, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the header. */
export const UDP_HLEN = 8;
/** Offset of the source port. */
export const UDP_SOURCE = 0;
/** Offset of the destination port. */
export const UDP_DEST = 2;
/** Offset of the length. */
export const UDP_LEN = 4;
/** Offset of the checksum. */
export const UDP_CHECK = 6;
/** Most payload of one datagram over IPv4 without options: 65,535 - 20 - 8 bytes. */
export const UDP_MAX_PAYLOAD = 65507;

// An exported binding is loaded and checked at each use, a constant of the module's own is folded into machine code.
const HLEN = 8, AT_LEN = 4;

/**
 * A view of a header; made freely, never stored. The bytes are there after {@linkcode UdpHeader.check} gave 0, until
 * the head of the packet is replaced.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { UdpHeader } from "@netpath/stack/udp";
 *
 * const wire = Uint8Array.of(0x13, 0x88, 0x00, 0x35, 0x00, 0x08, 0xbe, 0xef);
 * const header = new UdpHeader(new DataView(wire.buffer), 0);
 * assertEquals([header.source, header.dest, header.len], [5000, 53, 8]);
 * ```
 */
export class UdpHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 8 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /**
   * Whether `data` is at a UDP header that is whole, with a length that the packet has: 0, or PKT_TOO_SMALL. Makes the
   * header linear. Linux: the first checks of __udp4_lib_rcv(). Borrows `skb`.
   */
  static check(skb: SkBuff): number {
    if (!skb.mayPull(HLEN)) return DROP.PKT_TOO_SMALL;
    const len = skb.view.getUint16(skb.data + AT_LEN);
    return len < HLEN || len > skb.len ? DROP.PKT_TOO_SMALL : 0;
  }

  /** Source port; 0: no reply is wanted. */
  get source(): number {
    return this.#view.getUint16(this.#at + UDP_SOURCE);
  }

  set source(port: number) {
    this.#view.setUint16(this.#at + UDP_SOURCE, port);
  }

  /** Destination port. */
  get dest(): number {
    return this.#view.getUint16(this.#at + UDP_DEST);
  }

  set dest(port: number) {
    this.#view.setUint16(this.#at + UDP_DEST, port);
  }

  /** Bytes of header and payload. */
  get len(): number {
    return this.#view.getUint16(this.#at + UDP_LEN);
  }

  set len(bytes: number) {
    this.#view.setUint16(this.#at + UDP_LEN, bytes);
  }

  /** Checksum as native words have it (little-endian); 0: none. */
  get checksum(): number {
    return this.#view.getUint16(this.#at + UDP_CHECK, true);
  }

  set checksum(sum: number) {
    this.#view.setUint16(this.#at + UDP_CHECK, sum, true);
  }
}
