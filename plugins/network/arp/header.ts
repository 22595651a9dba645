/**
 * An ARP packet for Ethernet and IPv4 on the wire. RFC 826; Linux: include/uapi/linux/if_arp.h.
 *
 * ```text
 *    0       2       4   5   6       8            14       18           24      28
 *    │ htype │ ptype │hln│pln│ op    │ sender MAC │ its IP │ target MAC │ its IP │
 * ```
 *
 * @module
 */
import { DROP, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the packet. */
export const ARP_LEN = 28;
/** Hardware type: Ethernet. */
export const ARP_HTYPE_ETHER = 1;
/** Hardware type: IEEE 802 networks; taken for Ethernet. */
export const ARP_HTYPE_IEEE802 = 6;
/** Protocol type: IPv4. */
export const ARP_PTYPE_IP = 0x0800;
/** Who has? */
export const ARPOP_REQUEST = 1;
/** I have. */
export const ARPOP_REPLY = 2;

/** A view of a packet; made freely, never stored. */
export class ArpHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The packet at `at`; the caller knows that 28 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /**
   * 0, or a drop reason: PKT_TOO_SMALL, or ARP_HDR for what is not ARP of IPv4 over Ethernet, or neither request nor
   * reply. After it no accessor fails until bytes are taken off the front. The order of the checks is Linux's.
   * `data` is at the packet. Borrows `skb`.
   */
  static check(skb: SkBuff): number {
    if (!skb.mayPull(ARP_LEN)) return DROP.PKT_TOO_SMALL;
    const view = skb.view;
    const at = skb.data;
    if (view.getUint16(at + 4) !== 0x0604) return DROP.ARP_HDR;
    const htype = view.getUint16(at);
    if (htype !== ARP_HTYPE_ETHER && htype !== ARP_HTYPE_IEEE802) return DROP.ARP_HDR;
    if (view.getUint16(at + 2) !== ARP_PTYPE_IP) return DROP.ARP_HDR;
    const op = view.getUint16(at + 6);
    return op === ARPOP_REQUEST || op === ARPOP_REPLY ? 0 : DROP.ARP_HDR;
  }

  /** Hardware type. */
  get htype(): number {
    return this.#view.getUint16(this.#at);
  }

  /** Protocol type: an EtherType. */
  get ptype(): number {
    return this.#view.getUint16(this.#at + 2);
  }

  /** Bytes of a hardware address. */
  get hlen(): number {
    return this.#view.getUint8(this.#at + 4);
  }

  /** Bytes of a protocol address. */
  get plen(): number {
    return this.#view.getUint8(this.#at + 5);
  }

  /** ARPOP_*. */
  get op(): number {
    return this.#view.getUint16(this.#at + 6);
  }

  /** High 16 bits of the sender's MAC. */
  get shaHi(): number {
    return this.#view.getUint16(this.#at + 8);
  }

  /** Low 32 bits of the sender's MAC. */
  get shaLo(): number {
    return this.#view.getInt32(this.#at + 10);
  }

  /** The sender's IP. */
  get spa(): number {
    return this.#view.getInt32(this.#at + 14);
  }

  /** High 16 bits of the target's MAC. */
  get thaHi(): number {
    return this.#view.getUint16(this.#at + 18);
  }

  /** Low 32 bits of the target's MAC. */
  get thaLo(): number {
    return this.#view.getInt32(this.#at + 20);
  }

  /** The target's IP. */
  get tpa(): number {
    return this.#view.getInt32(this.#at + 24);
  }

  /** Writes types, lengths and the operation. */
  setOp(op: number): void {
    const view = this.#view;
    const at = this.#at;
    view.setUint16(at, ARP_HTYPE_ETHER);
    view.setUint16(at + 2, ARP_PTYPE_IP);
    view.setUint16(at + 4, 0x0604);
    view.setUint16(at + 6, op);
  }

  /** Writes the sender. */
  setSender(hi: number, lo: number, ip: number): void {
    this.#view.setUint16(this.#at + 8, hi);
    this.#view.setInt32(this.#at + 10, lo);
    this.#view.setInt32(this.#at + 14, ip);
  }

  /** Writes the target. */
  setTarget(hi: number, lo: number, ip: number): void {
    this.#view.setUint16(this.#at + 18, hi);
    this.#view.setInt32(this.#at + 20, lo);
    this.#view.setInt32(this.#at + 24, ip);
  }
}
