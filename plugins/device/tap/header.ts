/**
 * The header in front of each frame on a TAP with IFF_VNET_HDR. Source: VIRTIO 1.2, 5.1.6 (struct virtio_net_hdr), here
 * in its 10-byte form and in the host's byte order.
 *
 * @module
 */

/** Bytes. */
export const VNET_HDR_LEN = 10;
/** flags: the checksum is partial. */
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
/** flags: the checksum was verified. */
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;
/** gso_type: not a super-packet. */
export const VIRTIO_NET_HDR_GSO_NONE = 0;
/** gso_type: TCP over IPv4. */
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
/** gso_type: UDP, each segment a datagram. */
export const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
/** gso_type: TCP with ECN, or-ed. */
export const VIRTIO_NET_HDR_GSO_ECN = 0x80;

/** A view of the header; made freely, never stored. */
export class VnetHeader {
  readonly #view: DataView;
  readonly #at: number;

  /** The header at `at`; the caller knows that 10 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /** VIRTIO_NET_HDR_F_*. */
  get flags(): number {
    return this.#view.getUint8(this.#at);
  }

  /** VIRTIO_NET_HDR_GSO_*. */
  get gsoType(): number {
    return this.#view.getUint8(this.#at + 1);
  }

  /** Bytes of all headers. */
  get hdrLen(): number {
    return this.#view.getUint16(this.#at + 2, true);
  }

  /** Payload bytes of a segment. */
  get gsoSize(): number {
    return this.#view.getUint16(this.#at + 4, true);
  }

  /** Where the checksum starts, from the frame's first byte. */
  get csumStart(): number {
    return this.#view.getUint16(this.#at + 6, true);
  }

  /** Where the field is, from there. */
  get csumOffset(): number {
    return this.#view.getUint16(this.#at + 8, true);
  }
}
