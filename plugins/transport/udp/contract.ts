/**
 * UDP's contract: what tools and tests ask. Applications use the system calls. Linux: net/ipv4/udp.c.
 *
 * @module
 */
import type { SkBuff, Token } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";

/** UDP. */
export interface Udp {
  /**
   * The socket that a datagram from `saddr:sport` to `daddr:dport`, which came in on device `dif`, is for; null: none.
   * Addresses int32. Linux: __udp4_lib_lookup().
   */
  lookup(saddr: number, sport: number, daddr: number, dport: number, dif: number): Sock | null;
  /**
   * The datagrams of a UDP socket go to `rcv`, not into its queue: a tunnel's; null: no longer. `data` is at the UDP
   * header, the checksum is right. Linux: setup_udp_tunnel_sock(), encap_rcv.
   */
  encap(sk: Sock, rcv: UdpEncapRcv | null): void;
  /** Sockets that have a port. */
  count(): number;
}

/** What a tunnel does with a datagram. Takes ownership of `skb`. */
export type UdpEncapRcv = (skb: SkBuff) => void;

/** Its token. */
export const UDP: Token<Udp> = { name: "netpath:udp" };
