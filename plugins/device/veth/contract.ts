/**
 * What a veth pair is told.
 *
 * @module
 */
import type { NetDevice } from "../../../core/mod.ts";

/** One end of a pair. */
export interface VethOptions {
  /** MTU in bytes. Default 1500. */
  mtu?: number;
  /** `02:00:00:00:00:01`. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** Packets of the default queue discipline. Default 0: noqueue, as Linux has it. */
  txQueueLen?: number;
  /**
   * Checksums are left partial and super-packets whole, as Linux's veth does. Default true; false: the stack does all
   * of it.
   */
  offloads?: boolean;
  /** Merges on receive. Default false, as Linux has it. */
  gro?: boolean;
}

/** Packets that wait for the peer's NAPI. Linux: VETH_RING_SIZE. */
export const VETH_RING_SIZE = 256;

/** The two devices of a pair. */
export interface VethPair extends Disposable {
  /** The one in the first net. */
  readonly a: NetDevice;
  /** The one in the second net. */
  readonly b: NetDevice;
}
