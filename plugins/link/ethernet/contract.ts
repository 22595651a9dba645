/**
 * Ethernet's contract: the link header of ARPHRD_ETHER and ARPHRD_LOOPBACK devices. Linux: net/ethernet/eth.c.
 *
 * @module
 */
import type { HeaderOps, Token } from "../../../core/mod.ts";

/** Ethernet: the record that fills `dev.headerOps` of its device types. Linux: eth_header_ops. */
export interface Ethernet {
  /** Pushes and strips the header. */
  readonly ops: HeaderOps;
}

/** Its token. */
export const ETHERNET: Token<Ethernet> = { name: "netpath:ethernet" };
