/**
 * Descriptor ring: a circular table in memory that driver and device share. Linux: any Ethernet driver's ring, e.g.
 * drivers/net/ethernet/intel/igb; DMA mapping: kernel/dma/mapping.c.
 *
 * The driver fills descriptors at `nextToUse` and hands them over by setting the OWN bit; the device works at
 * `nextToDevice` and gives them back by clearing OWN and setting DONE; the driver cleans at `nextToClean`. The size is
 * a power of two and the cursors only ever grow, so that "full" and "empty" never look alike.
 */
import type { SkBuff } from "./sk_buff.ts";
import type { Slab } from "./page_pool.ts";

/** The device owns the descriptor. */
export const DESC_OWN = 1;
/** The device is done with it. */
export const DESC_DONE = 2;
/** Last descriptor of a frame. */
export const DESC_EOP = 4;
/** The device found the frame check sequence wrong. */
export const DESC_FCS_ERROR = 8;
/** The device verified the transport checksum. */
export const DESC_CSUM_OK = 16;
/** The frame did not fit: part of it is missing. */
export const DESC_TRUNCATED = 32;

/** A ring of descriptors with its DMA mappings. */
export class DescRing {
  /** Descriptors, a power of two. */
  readonly size: number;
  /** size - 1. */
  readonly mask: number;
  /** DMA address: offset in the slab. */
  readonly addr: Int32Array;
  /** Slab of the address. */
  readonly slab: (Slab | null)[];
  /** Bytes of the buffer (to the device) or of the frame (from it). */
  readonly len: Int32Array;
  /** DESC_* bits. */
  readonly flags: Int32Array;
  /** Software's shadow: the skb to free when the frame is sent, at its last descriptor. */
  readonly skb: (SkBuff | null)[];
  /** Software's shadow: slot of a receive buffer. */
  readonly page: Int32Array;
  /** 1 while the descriptor's buffer is mapped for DMA. */
  readonly mapped: Uint8Array;
  /** Next descriptor that the driver fills. */
  nextToUse = 0;
  /** Next descriptor that the device works on. */
  nextToDevice = 0;
  /** Next descriptor that the driver cleans. */
  nextToClean = 0;
  /** Buffers mapped for DMA now. */
  mappings = 0;
  /** Frames the device moved through this ring. */
  frames = 0;
  /** Times the device wanted a descriptor and there was none. */
  missed = 0;

  /** Makes a ring of `size` descriptors; a size that is not a power of two between 8 and 65,536 is a RangeError. */
  constructor(size: number) {
    if (size < 8 || size > 65536 || (size & (size - 1)) !== 0) {
      throw new RangeError(`Cannot make a ring of ${size} descriptors: it takes a power of two from 8 to 65536`);
    }
    this.size = size;
    this.mask = size - 1;
    this.addr = new Int32Array(size);
    this.len = new Int32Array(size);
    this.flags = new Int32Array(size);
    this.page = new Int32Array(size);
    this.mapped = new Uint8Array(size);
    this.slab = new Array<Slab | null>(size).fill(null);
    this.skb = new Array<SkBuff | null>(size).fill(null);
  }

  /** Descriptors that the driver may still fill. */
  get unused(): number {
    return this.size - ((this.nextToUse - this.nextToClean) | 0);
  }

  /** Descriptors that wait for the device. */
  get pending(): number {
    return (this.nextToUse - this.nextToDevice) | 0;
  }

  /** Descriptors that the device has given back and the driver has not cleaned. */
  get done(): number {
    return (this.nextToDevice - this.nextToClean) | 0;
  }

  /** Maps a buffer for DMA into the descriptor at `nextToUse` and hands it to the device. Linux: dma_map_single(). */
  post(slab: Slab, page: number, addr: number, len: number, flags: number): number {
    const i = this.nextToUse & this.mask;
    this.slab[i] = slab;
    this.page[i] = page;
    this.addr[i] = addr;
    this.len[i] = len;
    this.mapped[i] = 1;
    this.mappings++;
    this.flags[i] = flags | DESC_OWN;
    this.nextToUse = (this.nextToUse + 1) | 0;
    return i;
  }

  /** The device gives the descriptor at `nextToDevice` back. */
  complete(flags: number): void {
    const i = this.nextToDevice & this.mask;
    this.flags[i] = (this.flags[i] & ~DESC_OWN) | DESC_DONE | flags;
    this.nextToDevice = (this.nextToDevice + 1) | 0;
  }

  /** The driver takes the descriptor at `nextToClean` back: unmaps it. Returns its index. Linux: dma_unmap_single(). */
  clean(): number {
    const i = this.nextToClean & this.mask;
    this.flags[i] = 0;
    if (this.mapped[i] !== 0) {
      this.mapped[i] = 0;
      this.mappings--;
    }
    this.nextToClean = (this.nextToClean + 1) | 0;
    return i;
  }
}
