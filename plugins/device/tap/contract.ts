/**
 * What a TAP is told.
 *
 * @module
 */
import type { IrqLine, Net, NetDevice } from "../../../core/mod.ts";

/** What a TAP is made of. */
export interface TapOptions {
  /** Name of the kernel's interface; `%d` is numbered by the kernel. Default `tap%d`. Made when it is not there. */
  name?: string;
  /** Name of the device in the net. Default: the kernel's. */
  as?: string;
  /** MTU in bytes. Default: the kernel's, and follows it. */
  mtu?: number;
  /** Our address, not the kernel's. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** Packets of the default queue discipline. Default 1000. */
  txQueueLen?: number;
  /**
   * IFF_VNET_HDR: checksums are left partial and TCP super-packets of up to 64 KiB stay whole, both ways.
   * Default false.
   */
  offloads?: boolean;
  /** Merges on receive. Default false. */
  gro?: boolean;
  /** Time to look again after a frame before the poll parks, in microseconds; 0: off. Default 200. */
  busyPoll?: number;
  /**
   * io_uring moves up to 64 frames in one system call where there are as many; without it there is one read(2) or
   * write(2) a frame. Default: where a system call costs more than half a microsecond, as on many virtual machines, and
   * the kernel allows it.
   */
  ioUring?: boolean;
}

/** Linux: busy polling's customary budget. */
export const TAP_BUSY_POLL = 200;

/** What a TAP's driver counts beside the device's statistics. */
export interface TapCounters {
  /** Receive buffers that could not be allocated. */
  rxAllocFailed: number;
  /** Batches of frames that were read; with io_uring also system calls. */
  rxBatches: number;
  /** Batches of frames that were written. */
  txBatches: number;
}

/** A TAP that is open; `await using` ends it. */
export interface TapDevice extends AsyncDisposable {
  /** The net. */
  readonly net: Net;
  /** The device. */
  readonly dev: NetDevice;
  /** Name of the kernel's interface. */
  readonly kernelName: string;
  /** Its line: poll(2) raises it. */
  readonly irq: IrqLine;
  /** Frames are moved by io_uring. */
  readonly ioUring: boolean;
  /** What the driver counts. */
  readonly counters: Readonly<TapCounters>;
  /** Resolves when the descriptor is closed, however the device ended. */
  readonly closed: Promise<void>;
}

/** A real device could not be opened, or something it needs is missing. The message is one line that says what to do. */
export class DeviceError extends Error {
  /** Name of the errno, or `NotCapable`, `NotSupported`. */
  readonly code: string;

  /** An error of class `code`. */
  constructor(code: string, message: string) {
    super(message);
    this.name = "DeviceError";
    this.code = code;
  }
}
