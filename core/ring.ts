/**
 * Descriptor ring: a circular table in memory that driver and device share. Linux: any Ethernet driver's ring, e.g.
 * drivers/net/ethernet/intel/igb; DMA mapping: kernel/dma/mapping.c.
 *
 * The driver fills descriptors at `nextToUse` and hands them over by setting the OWN bit; the device works at
 * `nextToDevice` and gives them back by clearing OWN and setting DONE; the driver cleans at `nextToClean`. The size is
 * a power of two and the cursors only ever grow, so that "full" and "empty" never look alike.
 *
 * As in hardware a descriptor is a few words side by side: one line of the cache.
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

/** Words of a descriptor. */
export const DESC_WORDS = 8;
/** Word: DMA address, an offset in the slab. */
export const DESC_ADDR = 0;
/** Word: bytes of the buffer (to the device) or of the frame (from it). */
export const DESC_LEN = 1;
/** Word: DESC_* bits; 0: nobody uses the descriptor, its buffer is not mapped. */
export const DESC_FLAGS = 2;
/** Word: the slot that the buffer lies in. */
export const DESC_PAGE = 3;
/** Word: `skb.id` of the frame, at its first descriptor. */
export const DESC_ID = 4;
/** Word: `skb.cause` of the frame. */
export const DESC_CAUSE = 5;
/** Word: what the driver orders for the frame; 0: move it as it is. */
export const DESC_ORDER = 6;

// An exported binding is loaded and checked at each use, a constant of the module's own is folded into machine code.
const OWN = 1, DONE = 2;
const WORDS = 8, ADDR = 0, LEN = 1, FLAGS = 2, PAGE = 3;

/** A ring of descriptors with its DMA mappings. */
export class DescRing {
  /** Descriptors, a power of two. */
  declare readonly size: number;
  /** size - 1. */
  declare readonly mask: number;
  /** The descriptors, {@linkcode DESC_WORDS} words each. */
  declare readonly words: Int32Array;
  /** Slab of the address, by index. */
  declare readonly slab: (Slab | null)[];
  /** Software's shadow: the skb to free when the frame is sent, at its last descriptor. */
  declare readonly skb: (SkBuff | null)[];
  /** Next descriptor that the driver fills. */
  nextToUse = 0;
  /** Next descriptor that the device works on. */
  nextToDevice = 0;
  /** Next descriptor that the driver cleans. */
  nextToClean = 0;
  /** Frames the device moved through this ring. */
  frames = 0;
  /** Times the device wanted a descriptor and there was none. */
  missed = 0;

  /** Makes a ring of `size` descriptors; a size that is not a power of two between 8 and 65,536 is a RangeError. */
  constructor(size: number) {
    if (!(size >= 8 && size <= 65536) || (size & (size - 1)) !== 0) {
      throw new RangeError(`Cannot make a ring of ${size} descriptors: it takes a power of two from 8 to 65536`);
    }
    this.size = size;
    this.mask = size - 1;
    this.words = new Int32Array(size * WORDS);
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

  /** Buffers mapped for DMA now. */
  get mappings(): number {
    return (this.nextToUse - this.nextToClean) | 0;
  }

  /** A word (DESC_LEN and the like) of descriptor `i`. */
  get(i: number, word: number): number {
    return this.words[i * WORDS + word];
  }

  /** Sets a word of descriptor `i`. */
  set(i: number, word: number, value: number): void {
    this.words[i * WORDS + word] = value;
  }

  /** Maps a buffer for DMA into the descriptor at `nextToUse` and hands it to the device. Linux: dma_map_single(). */
  post(slab: Slab, page: number, addr: number, len: number, flags: number): number {
    const i = this.nextToUse & this.mask;
    const words = this.words;
    const d = i * WORDS;
    words[d + ADDR] = addr;
    words[d + LEN] = len;
    words[d + PAGE] = page;
    if (this.slab[i] !== slab) this.slab[i] = slab;
    words[d + FLAGS] = flags | OWN;
    this.nextToUse = (this.nextToUse + 1) | 0;
    return i;
  }

  /** The device gives the descriptor at `nextToDevice` back. */
  complete(flags: number): void {
    const at = (this.nextToDevice & this.mask) * WORDS + FLAGS;
    this.words[at] = (this.words[at] & ~OWN) | DONE | flags;
    this.nextToDevice = (this.nextToDevice + 1) | 0;
  }

  /** The driver takes the descriptor at `nextToClean` back: unmaps it. Returns its index. Linux: dma_unmap_single(). */
  clean(): number {
    const i = this.nextToClean & this.mask;
    this.words[i * WORDS + FLAGS] = 0;
    this.nextToClean = (this.nextToClean + 1) | 0;
    return i;
  }
}
