/**
 * The VXLAN header on the wire. RFC 7348 section 5; Linux: include/net/vxlan.h.
 *
 * ```text
 *    0                1 ... 3          4 ... 6       7
 *    │ flags: ....I... │ reserved      │ VNI         │ reserved │ Ethernet frame ...
 * ```
 *
 * @module
 */
import { DROP, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the header. */
export const VXLAN_HLEN = 8;
/** The port that IANA gave it; Linux's own default is 8472, from before that. */
export const VXLAN_PORT = 4789;
/** First word: the VNI is valid. */
export const VXLAN_HF_VNI = 0x08000000;
/** Numbers of segments: 24 bits. */
export const VXLAN_N_VID: number = 1 << 24;
/** Bytes that it adds to a frame: IP, UDP, VXLAN and the frame's own Ethernet header. Linux: VXLAN_HEADROOM. */
export const VXLAN_HEADROOM = 50;

/**
 * A view of a header; made freely, never stored.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { VxlanHeader } from "@netpath/stack/vxlan";
 *
 * const header = new VxlanHeader(new DataView(new ArrayBuffer(8)), 0);
 * header.write(42);
 * assertEquals([header.flags, header.vni, header.valid], [0x08000000, 42, true]);
 * ```
 */
export class VxlanHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 8 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /**
   * Whether a header is whole, `before` bytes behind `data`: 0, or a drop reason. Makes all up to its end linear.
   * Borrows `skb`.
   */
  static check(skb: SkBuff, before: number): number {
    return skb.mayPull(before + VXLAN_HLEN) ? 0 : DROP.HDR_TRUNC;
  }

  /** The first word. */
  get flags(): number {
    return this.#view.getInt32(this.#at);
  }

  /** The segment's number. */
  get vni(): number {
    return this.#view.getInt32(this.#at + 4) >>> 8;
  }

  /**
   * The VNI's flag is set and nothing else. RFC 7348 would have other bits ignored; Linux refuses them, as what they mean
   * is not known here.
   */
  get valid(): boolean {
    return this.#view.getInt32(this.#at) === VXLAN_HF_VNI && this.#view.getUint8(this.#at + 7) === 0;
  }

  /** Writes all of it. */
  write(vni: number): void {
    this.#view.setInt32(this.#at, VXLAN_HF_VNI);
    this.#view.setInt32(this.#at + 4, vni << 8);
  }
}
