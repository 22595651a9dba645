/**
 * UDP's contract: what tools and tests ask. Applications use the system calls. Linux: net/ipv4/udp.c.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";

/** UDP. */
export interface Udp {
  /**
   * The socket that a datagram from `saddr:sport` to `daddr:dport`, which came in on device `dif`, is for; null: none.
   * Addresses int32. Linux: __udp4_lib_lookup().
   */
  lookup(saddr: number, sport: number, daddr: number, dport: number, dif: number): Sock | null;
  /** Sockets that have a port. */
  count(): number;
}

/** Its token. */
export const UDP: Token<Udp> = { name: "netpath:udp" };
