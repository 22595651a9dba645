/**
 * The ICMP header on the wire. RFC 792, RFC 1122 section 3.2.2, RFC 1191, RFC 1812 section 4.3.
 *
 * ```text
 *   |     Type      |     Code      |          Checksum             |   0
 *   |  Identifier, gateway, MTU or pointer  |   Sequence number     |   4
 *   |  Data: what was sent (echo), or the packet in question        |   8
 * ```
 *
 * @module
 */
import { CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, csumFold, DROP, skbChecksum, type SkBuff } from "../../../core/mod.ts";

/** Bytes of the header. */
export const ICMP_HLEN = 8;

/** Echo reply. */
export const ICMP_ECHOREPLY = 0;
/** Destination unreachable. */
export const ICMP_DEST_UNREACH = 3;
/** Source quench: ignored (RFC 6633). */
export const ICMP_SOURCE_QUENCH = 4;
/** Redirect. */
export const ICMP_REDIRECT = 5;
/** Echo request. */
export const ICMP_ECHO = 8;
/** Time exceeded. */
export const ICMP_TIME_EXCEEDED = 11;
/** Parameter problem. */
export const ICMP_PARAMETERPROB = 12;
/** Timestamp request. */
export const ICMP_TIMESTAMP = 13;
/** Timestamp reply. */
export const ICMP_TIMESTAMPREPLY = 14;
/** Address mask request: obsolete. */
export const ICMP_ADDRESS = 17;
/** Address mask reply: obsolete. */
export const ICMP_ADDRESSREPLY = 18;
/** The highest type of the classic ones. */
export const NR_ICMP_TYPES = 18;
/** Extended echo request (RFC 8335). */
export const ICMP_EXT_ECHO = 42;
/** Extended echo reply. */
export const ICMP_EXT_ECHOREPLY = 43;

/** Unreachable: no route to the network. */
export const ICMP_NET_UNREACH = 0;
/** Unreachable: the host. */
export const ICMP_HOST_UNREACH = 1;
/** Unreachable: no such transport protocol. */
export const ICMP_PROT_UNREACH = 2;
/** Unreachable: nobody listens on the port. */
export const ICMP_PORT_UNREACH = 3;
/** Unreachable: it must be fragmented and must not. */
export const ICMP_FRAG_NEEDED = 4;
/** Unreachable: the source route failed. */
export const ICMP_SR_FAILED = 5;
/** Unreachable: network unknown. */
export const ICMP_NET_UNKNOWN = 6;
/** Unreachable: host unknown. */
export const ICMP_HOST_UNKNOWN = 7;
/** Unreachable: the source is isolated. */
export const ICMP_HOST_ISOLATED = 8;
/** Unreachable: network administratively prohibited. */
export const ICMP_NET_ANO = 9;
/** Unreachable: host administratively prohibited. */
export const ICMP_HOST_ANO = 10;
/** Unreachable: network, for this type of service. */
export const ICMP_NET_UNR_TOS = 11;
/** Unreachable: host, for this type of service. */
export const ICMP_HOST_UNR_TOS = 12;
/** Unreachable: communication administratively prohibited. */
export const ICMP_PKT_FILTERED = 13;
/** Unreachable: precedence violation. */
export const ICMP_PREC_VIOLATION = 14;
/** Unreachable: precedence cut-off. */
export const ICMP_PREC_CUTOFF = 15;
/** The highest code of unreachable. */
export const NR_ICMP_UNREACH = 15;

/** Time exceeded: TTL. */
export const ICMP_EXC_TTL = 0;
/** Time exceeded: reassembly. */
export const ICMP_EXC_FRAGTIME = 1;

/** A bit per type that is an error, or was one: no error is sent about it (RFC 1122, 3.2.2). Linux: icmp_pointers[].error. */
const ERROR_TYPES = 0b1_1110_1111_1110;

/** Whether messages of a type are errors; types above 18 are taken for ones, as nobody knows. */
export function icmpIsError(type: number): boolean {
  return type > NR_ICMP_TYPES || ((ERROR_TYPES >>> type) & 1) !== 0;
}

/** A view of a header; made freely, never stored. */
export class IcmpHeader {
  readonly #view: DataView;
  readonly #at: number = 0;

  /** The header at `at`; the caller knows that 8 bytes are there. */
  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /** Type. */
  get type(): number {
    return this.#view.getUint8(this.#at);
  }

  /** Sets the type. */
  set type(value: number) {
    this.#view.setUint8(this.#at, value);
  }

  /** Code. */
  get code(): number {
    return this.#view.getUint8(this.#at + 1);
  }

  /** Sets the code. */
  set code(value: number) {
    this.#view.setUint8(this.#at + 1, value);
  }

  /** Checksum in native (little-endian) order, as core/checksum.ts keeps it. */
  get check(): number {
    return this.#view.getUint16(this.#at + 2, true);
  }

  /** Sets the checksum, native order. */
  set check(value: number) {
    this.#view.setUint16(this.#at + 2, value, true);
  }

  /** Echo: identifier. */
  get id(): number {
    return this.#view.getUint16(this.#at + 4);
  }

  /** Sets the identifier. */
  set id(value: number) {
    this.#view.setUint16(this.#at + 4, value);
  }

  /** Echo: sequence number. */
  get seq(): number {
    return this.#view.getUint16(this.#at + 6);
  }

  /** Sets the sequence number. */
  set seq(value: number) {
    this.#view.setUint16(this.#at + 6, value);
  }

  /** Fragmentation needed: MTU of the next hop in bytes. */
  get mtu(): number {
    return this.#view.getUint16(this.#at + 6);
  }

  /** Redirect: the better gateway, int32. */
  get gateway(): number {
    return this.#view.getInt32(this.#at + 4);
  }

  /** Parameter problem: offset of the byte in question from the start of the quoted packet. */
  get pointer(): number {
    return this.#view.getUint8(this.#at + 4);
  }

  /** Bytes 4 to 7 as one int32. */
  get info(): number {
    return this.#view.getInt32(this.#at + 4);
  }

  /** Sets bytes 4 to 7. */
  set info(value: number) {
    this.#view.setInt32(this.#at + 4, value);
  }
}

/**
 * Checks a received message whose `data` is at its ICMP header: 0, ICMP_CSUM (wrong, or no byte at all), or
 * PKT_TOO_SMALL (less than 8 bytes; memory is out). After 0 the header is linear and no accessor can fail, until `data`
 * moves. Borrows `skb`.
 */
export function icmpCheck(skb: SkBuff): number {
  const summed = skb.ipSummed;
  if (summed !== CHECKSUM_UNNECESSARY && summed !== CHECKSUM_PARTIAL) {
    if (csumFold(skbChecksum(skb, 0, skb.len, 0)) !== 0) return DROP.ICMP_CSUM;
  }
  return skb.mayPull(ICMP_HLEN) ? 0 : DROP.PKT_TOO_SMALL;
}

/** Computes and stores the checksum of a message whose `data` is at its ICMP header. Borrows `skb`. */
export function icmpSendCheck(skb: SkBuff): void {
  skb.view.setUint16(skb.data + 2, 0);
  skb.view.setUint16(skb.data + 2, csumFold(skbChecksum(skb, 0, skb.len, 0)), true);
}
