/**
 * What a channel is told.
 *
 * @module
 */
export type { Channel } from "./state.ts";

/** What a channel is made of. */
export interface ChannelOptions {
  /** MTU in bytes. Default 1500. */
  mtu?: number;
  /** `02:00:00:00:00:01`. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** ARPHRD_*. Default Ethernet. */
  type?: number;
  /** Sent frames that wait to be read; with more the queue stops. Default 1024. */
  limit?: number;
  /** Packets of the default queue discipline; 0: noqueue. Default 1000. */
  txQueueLen?: number;
  /** NETIF_F_*: what the tester takes. Default none: linear frames with complete checksums. */
  features?: number;
}
