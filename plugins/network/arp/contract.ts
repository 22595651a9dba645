/**
 * ARP's contract. Linux: net/ipv4/arp.c, include/net/arp.h.
 *
 * @module
 */
import type { NetDevice, Token } from "../../../core/mod.ts";

/** What differs from Linux, and can be put back. */
export interface ArpOptions {
  /**
   * Learn whatever stands as the sender's MAC, as Linux does. Default false: zero and group addresses, which can only
   * be a mistake or an attack, are answered as Linux answers them and are not learnt.
   */
  learnAnySender?: boolean;
}

/** ARP. Addresses are int32; link addresses as 16 high and 32 low bits. */
export interface Arp {
  /**
   * Sends a packet: `op` ARPOP_*, from our `srcIp` and `src` MAC to the frame's destination `dst`; `tha` is what the
   * packet says of the target. Nothing on a device without ARP. Linux: arp_send().
   */
  send(
    op: number,
    dev: NetDevice,
    destIp: number,
    srcIp: number,
    dstHi: number,
    dstLo: number,
    srcHi: number,
    srcLo: number,
    thaHi: number,
    thaLo: number,
  ): void;
  /** Tells the link of all our addresses on a device. Linux: inetdev_send_gratuitous_arp(). */
  announce(dev: NetDevice): void;
  /** Packets seen, by what came of them. */
  readonly stats: {
    /** Packets that came in. */
    received: number;
    /** Malformed. */
    malformed: number;
    /** Requests that were answered, for ourselves. */
    answered: number;
    /** Requests that were answered for others. */
    proxied: number;
    /** Packets that changed an entry, or confirmed one. */
    learnt: number;
    /** Senders that were not learnt: zero or group MAC. */
    refused: number;
    /** Requests that arp_filter left unanswered. Linux: TcpExt ArpFilter. */
    filtered: number;
    /** Packets sent. */
    sent: number;
  };
}

/** Its token. */
export const ARP: Token<Arp> = { name: "netpath:arp" };
