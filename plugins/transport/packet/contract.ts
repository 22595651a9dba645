/**
 * The contract of packet sockets: addresses, options, statistics. Linux: include/uapi/linux/if_packet.h.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";

/** Packet sockets. */
export const AF_PACKET = 17;
/** Every EtherType, received and sent: what a packet socket with this protocol sees. */
export const ETH_P_ALL = 3;
/** Level of the options of packet sockets. */
export const SOL_PACKET = 263;
/** Option: joins a group of a device (`value`: PACKET_MR_*, `value2`: ifindex). */
export const PACKET_ADD_MEMBERSHIP = 1;
/** Option: leaves it. */
export const PACKET_DROP_MEMBERSHIP = 2;
/** Option, read only: packets since it was read last; the dropped ones of them are {@linkcode PacketApi.statistics}'. */
export const PACKET_STATISTICS = 6;
/** Option: what this host sends is not shown. */
export const PACKET_IGNORE_OUTGOING = 23;
/** Group: everything that passes. */
export const PACKET_MR_PROMISC = 1;
/** Group: every multicast group. */
export const PACKET_MR_ALLMULTI = 2;

/** What a socket has seen since it was asked last. Linux: struct tpacket_stats. */
export interface PacketStatistics {
  /** Packets, the dropped ones too. */
  packets: number;
  /** Dropped: the receive buffer was full. */
  drops: number;
}

/** Packet sockets. */
export interface PacketApi {
  /** Sockets that live. */
  count(): number;
  /** Reads and clears the numbers of a socket. Linux: getsockopt(PACKET_STATISTICS). */
  statistics(sk: Sock): PacketStatistics;
}

/** Its token. */
export const PACKET: Token<PacketApi> = { name: "netpath:packet" };
