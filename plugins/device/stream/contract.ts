/**
 * What a stream device is told, and what stands between it and the outside.
 *
 * @module
 */
import type { Net, NetDevice } from "../../../core/mod.ts";

/** What a stream device is made of. */
export interface StreamOptions {
  /** MTU in bytes. Default 1500; at most {@linkcode STREAM_MAX_MTU}. */
  mtu?: number;
  /** Our address. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** ARPHRD_*. Default Ethernet. */
  type?: number;
  /** Packets of the default queue discipline. Default 1000. */
  txQueueLen?: number;
  /** Frames that wait to be handed up; with more the other end is not read, or loses what it sends. Default 512. */
  rxLimit?: number;
  /** Frames that wait for the link; with more the transmit queue stops. Default 256. */
  txLimit?: number;
  /** NETIF_F_* beside NETIF_F_SG: `NETIF_F_GRO` merges on receive. Default none. */
  features?: number;
}

/** Largest MTU: a frame is one piece of packet memory. */
export const STREAM_MAX_MTU = 32_000;
/** Longest frame that a length may announce; QEMU's is the same: NET_BUFSIZE, include/net/net.h. */
export const STREAM_MAX_FRAME = 69_632;

/** What a link tells its device. */
export interface StreamPort {
  /** The other end is there: the carrier comes. */
  up(): void;
  /** One message is one frame. False: give no more until {@linkcode StreamLink.resume}; what comes anyhow is lost. */
  message(frame: Uint8Array): boolean;
  /**
   * Frames, each behind its length (32 bits, big endian), cut anywhere. Takes bytes of `chunk` from `at` on; gives where it
   * stopped. Before the end of `chunk`: give the rest from there on when {@linkcode StreamLink.resume} is called.
   */
  bytes(chunk: Uint8Array, at: number): number;
  /** There is room again after {@linkcode StreamLink.send} gave false. */
  writable(): void;
  /** It is over: the other end went (null), or why. The carrier goes, and nothing is read or sent any more. */
  end(error: string | null): void;
}

/** The outside of a stream device: where frames go and come from. Write one to carry frames over something else. */
export interface StreamLink {
  /** For people: `websocket`. */
  readonly name: string;
  /** Bytes that one send should not exceed: frames are put together, each behind its length. 0: a frame a message. */
  readonly batch: number;
  /** Begins. True: the other end is there; false: {@linkcode StreamPort.up} will be called. */
  open(port: StreamPort): boolean;
  /** Takes bytes, which are its own from now on. False: no more until {@linkcode StreamPort.writable} was called. */
  send(bytes: Uint8Array<ArrayBuffer>): boolean;
  /** The device has room again. */
  resume(): void;
  /** Ends. `abort`: at once, else what was sent arrives first, in bounded time. Called once; resolves when all is closed. */
  close(abort: boolean): Promise<void> | void;
}

/** What a stream device counts beside the device's statistics. */
export interface StreamCounters {
  /** Frames that could not be stored: no memory. */
  rxAllocFailed: number;
  /** Times the other end was not read because frames waited. */
  rxPaused: number;
  /** Sends of the link: of one or of several frames. */
  txBatches: number;
}

/** How it ended. */
export interface StreamEnd {
  /** Why, or null: one of the two ends closed it. */
  readonly error: string | null;
}

/** A stream device; `await using` ends it. */
export interface StreamDevice extends AsyncDisposable {
  /** The net. */
  readonly net: Net;
  /** The device. */
  readonly dev: NetDevice;
  /** What the driver counts. */
  readonly counters: Readonly<StreamCounters>;
  /** Resolves when the link is closed, however it ended. The device stays, without carrier, until it is unregistered. */
  readonly closed: Promise<StreamEnd>;
}

/** A readable and a writable half: `Deno.Conn`, a WebTransport stream, one side of two TransformStreams. */
export interface DuplexStream {
  /** What comes. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What goes. */
  readonly writable: WritableStream<Uint8Array>;
}
