/**
 * What `lo` is told.
 *
 * @module
 */

/** MTU of `lo`: 64 KiB. */
export const LOOPBACK_MTU = 65536;

/** What `lo` is made of. */
export interface LoopbackOptions {
  /** MTU in bytes. Default 65,536. */
  mtu?: number;
  /** Checksums are left partial and super-packets whole, as Linux does. Default true. */
  offloads?: boolean;
}
