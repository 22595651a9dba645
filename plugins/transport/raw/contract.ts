/**
 * The contract of raw sockets: what tools and tests ask. Applications use the system calls. Linux: net/ipv4/raw.c.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";

/** Level of the options of raw sockets. */
export const SOL_RAW = 255;
/** ICMP types that are not wanted, a bit each of 0 to 31. */
export const ICMP_FILTER = 1;
/** The caller writes the IP header. */
export const IP_HDRINCL = 3;

/** Raw sockets. */
export interface Raw {
  /** Sockets that live. */
  count(): number;
}

/** Its token. */
export const RAW: Token<Raw> = { name: "netpath:raw" };
