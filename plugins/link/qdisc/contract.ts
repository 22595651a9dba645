/**
 * Queue disciplines: priorities of packets and which band they choose. Linux: include/uapi/linux/pkt_sched.h,
 * net/sched/sch_generic.c; the type-of-service table of net/ipv4/route.c.
 *
 * @module
 */

/** Nobody said. Linux: TC_PRIO_BESTEFFORT. */
export const TC_PRIO_BESTEFFORT = 0;
/** Fill the gaps. */
export const TC_PRIO_FILLER = 1;
/** Much data, nobody waits: TOS maximize throughput (0x08). */
export const TC_PRIO_BULK = 2;
/** Much data, somebody waits: TOS 0x18. */
export const TC_PRIO_INTERACTIVE_BULK = 4;
/** Somebody waits: TOS minimize delay (0x10). */
export const TC_PRIO_INTERACTIVE = 6;
/** The network's own. */
export const TC_PRIO_CONTROL = 7;
/** Priorities wrap at this mask. */
export const TC_PRIO_MAX = 15;

/** Bands of pfifo_fast. Linux: PFIFO_FAST_BANDS. */
export const PFIFO_FAST_BANDS = 3;

/** Band of each priority; band 0 leaves first. tc-prio(8), "priomap". Linux: sch_default_prio2band. */
export const PRIO2BAND: Readonly<Int8Array> = Int8Array.of(1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);

/** Bits of the type of service that say how to queue: RFC 1349 without the must-be-zero bit. Linux: IPTOS_TOS_MASK. */
export const IPTOS_TOS_MASK = 0x1e;

/** By `(tos & IPTOS_TOS_MASK) >> 1`. Linux: ip_tos2prio. */
const TOS2PRIO = Int8Array.of(0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4);

/** The priority of a packet with this type of service: what IPv4 writes into `skb.priority`. Linux: rt_tos2priority(). */
export function rtTos2priority(tos: number): number {
  return TOS2PRIO[(tos & IPTOS_TOS_MASK) >> 1];
}

export type { FqCodelOptions } from "./fq_codel.ts";
export type { NetemOptions } from "./netem.ts";
export type { TbfOptions } from "./tbf.ts";
export { parsePercent, parseRate, parseSize, parseTime } from "./units.ts";
