/**
 * Packet memory: slabs, free lists and reference counts. Linux: net/core/page_pool.c, mm/slub.c.
 *
 * A {@linkcode Slab} is one `WebAssembly.Memory` of fixed size with one `Uint8Array`, one `DataView` and one instance
 * of the SIMD helpers over it; they are made once, because a view costs hundreds of nanoseconds and an integer
 * position costs none. A slab is carved on demand into *slots* of three sizes (512, 2,048 and 32,768 bytes). A slot is
 * named by its byte offset and is reference counted; it goes back to its slab's free list wherever the last reference
 * dies. Slots lie one cache line further apart than their size: at a stride of a power of two the headers of all packets
 * would fall into the same few sets of the cache (Linux: slab colouring).
 */
import { instantiateWasm, type WasmOps } from "./checksum.ts";

/** A slot of 512 bytes: a head with headers and a little payload. */
export const SLOT_SMALL = 0;
/** A slot of 2,048 bytes: a receive buffer for MTU 1500, as most drivers post them. */
export const SLOT_BUFFER = 1;
/** A slot of 32,768 bytes: an order-3 page fragment, as `skb_page_frag_refill()` asks for. */
export const SLOT_LARGE = 2;

/** Slot sizes in bytes, by class. */
export const SLOT_SIZE: readonly number[] = [512, 2048, 32768];
/** The smallest class that holds `size` bytes, -1: none does. */
export function slotClass(size: number): number {
  if (size <= 512) return SLOT_SMALL;
  if (size <= 2048) return SLOT_BUFFER;
  return size <= 32768 ? SLOT_LARGE : -1;
}

const REF_SHIFT = 9;
/** Bytes between slots beyond their size. */
const COLOUR = 64;
/** Bytes carved at once, about. */
const CHUNK = 32768 + COLOUR;

/** One fixed-size piece of packet memory. Positions in it are plain integers. */
export class Slab {
  /** Index in {@linkcode PagePool.slabs}. */
  declare readonly index: number;
  /** Every byte of the slab. */
  declare readonly bytes: Uint8Array<ArrayBuffer>;
  /** The one DataView over it. */
  declare readonly view: DataView<ArrayBuffer>;
  /** SIMD checksum and copy over this memory, or the JavaScript fallback. */
  declare readonly ops: WasmOps;
  /** References per slot, at index `offset >>> 9` of the slot's first byte. */
  declare readonly refs: Int32Array;
  /** Slot class at the same index. */
  declare readonly cls: Uint8Array;
  /** Free slot offsets, a stack per class: the first {@linkcode frees} of each, as a popped array is cut and grown again. */
  readonly free: number[][] = [[], [], []];
  /** How many slots of each class are free. */
  readonly frees: Int32Array<ArrayBuffer> = new Int32Array(3);
  /** Views of this slab that copies out of it made last, by place, and by place and length: see core/copy.ts. */
  readonly windows: Uint8Array<ArrayBuffer>[] = [];
  /** Slots given back more often than taken: a defect, ignored so that the free lists stay whole. */
  underflows = 0;
  /** Bytes handed to a class so far. */
  carved = 0;

  /** Makes a slab of `size` bytes (a multiple of 64 KiB). */
  constructor(index: number, size: number) {
    this.index = index;
    const memory = new WebAssembly.Memory({ initial: size >>> 16, maximum: size >>> 16 });
    const buffer = memory.buffer as ArrayBuffer;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.ops = instantiateWasm(memory, this.bytes, this.view);
    this.refs = new Int32Array(size >>> REF_SHIFT);
    this.cls = new Uint8Array(size >>> REF_SHIFT);
  }

  /** Takes one more reference on the slot at `page`. */
  get(page: number): void {
    this.refs[page >>> REF_SHIFT]++;
  }

  /** Gives one reference back; the last one frees the slot. */
  put(page: number): void {
    const i = page >>> REF_SHIFT;
    const left = --this.refs[i];
    if (left > 0) return;
    if (left === 0) {
      const cls = this.cls[i];
      this.free[cls][this.frees[cls]++] = page;
    } else {
      this.refs[i] = 0;
      this.underflows++;
    }
  }

  /** References on the slot at `page`. */
  refCount(page: number): number {
    return this.refs[page >>> REF_SHIFT];
  }

  /** A free slot of class `cls`, with one reference, or -1. */
  alloc(cls: number): number {
    if (this.frees[cls] === 0 && !this.#carve(cls)) return -1;
    const page = this.free[cls][--this.frees[cls]];
    this.refs[page >>> REF_SHIFT] = 1;
    return page;
  }

  #carve(cls: number): boolean {
    const stride = SLOT_SIZE[cls] + COLOUR;
    const base = this.carved;
    const slots = Math.min(Math.floor(CHUNK / stride), Math.floor((this.bytes.length - base) / stride));
    if (slots === 0) return false;
    this.carved = base + slots * stride;
    const list = this.free[cls];
    for (let i = slots - 1; i >= 0; i--) {
      const page = base + i * stride;
      this.cls[page >>> REF_SHIFT] = cls;
      list[this.frees[cls]++] = page;
    }
    return true;
  }
}

/** Sizes of the packet memory of a machine. */
export interface PagePoolOptions {
  /** Bytes of one slab, a multiple of 64 KiB. Default 64 MiB; the host commits only what is touched. */
  slabBytes?: number;
  /** How many slabs there may be. Default 16. Past that an allocation fails with `NOMEM`, as in Linux. */
  maxSlabs?: number;
}

/**
 * All packet memory of a machine.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { PagePool, SLOT_BUFFER } from "@netpath/stack/core";
 *
 * const pool = new PagePool({ slabBytes: 1 << 20 });
 * const page = pool.alloc(SLOT_BUFFER);
 * pool.slab.put(page);
 * assertEquals(pool.slotsInUse(), 0);
 * ```
 */
export class PagePool {
  /** The slabs there are. Most machines never need a second one. */
  readonly slabs: Slab[] = [];
  /** The slab that the last {@linkcode alloc} took from. */
  declare slab: Slab;
  /** Allocations that found no memory. */
  failures = 0;
  readonly #slabBytes: number = 0;
  readonly #maxSlabs: number = 0;

  /** Makes the pool with its first slab. */
  constructor(options: PagePoolOptions = {}) {
    this.#slabBytes = options.slabBytes ?? 64 << 20;
    this.#maxSlabs = options.maxSlabs ?? 16;
    if (this.#slabBytes <= 0 || (this.#slabBytes & 0xffff) !== 0) {
      throw new RangeError(`Cannot make a page pool: slabBytes ${this.#slabBytes} is not a multiple of 65536`);
    }
    this.slab = this.#addSlab();
  }

  /** A slot of class `cls` with one reference, or -1 when memory is out; {@linkcode slab} is the slab it lies in. */
  alloc(cls: number): number {
    const page = this.slab.alloc(cls);
    return page >= 0 ? page : this.#allocElsewhere(cls);
  }

  /** Slots that are referenced now, over all slabs and classes. */
  slotsInUse(): number {
    let used = 0;
    for (const slab of this.slabs) for (let i = 0; i < slab.refs.length; i++) if (slab.refs[i] > 0) used++;
    return used;
  }

  #allocElsewhere(cls: number): number {
    for (const slab of this.slabs) {
      const page = slab.alloc(cls);
      if (page >= 0) {
        this.slab = slab;
        return page;
      }
    }
    if (this.slabs.length >= this.#maxSlabs) {
      this.failures++;
      return -1;
    }
    this.slab = this.#addSlab();
    return this.slab.alloc(cls);
  }

  #addSlab(): Slab {
    const slab = new Slab(this.slabs.length, this.#slabBytes);
    this.slabs.push(slab);
    return slab;
  }
}
