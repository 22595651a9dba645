/**
 * The contract of ping sockets: what tools and tests ask. Applications use the system calls. Linux: net/ipv4/ping.c.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";

/** Ping sockets. */
export interface Ping {
  /** The socket for a message with identifier `ident` to `daddr` on device `dif`; null: none. Linux: ping_lookup(). */
  lookup(ident: number, daddr: number, dif: number): Sock | null;
  /** Sockets that have an identifier. */
  count(): number;
}

/** Its token. */
export const PING: Token<Ping> = { name: "netpath:ping" };
