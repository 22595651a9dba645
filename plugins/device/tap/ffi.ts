/**
 * The few libc calls that a TAP needs, through Deno's FFI. Hot signatures take only 32-bit integers and pointers, so that
 * V8 calls them directly; one call parks in a thread of its own (`nonblocking`).
 *
 * @module
 */
import { errnoName, type Slab, strerror } from "../../../core/mod.ts";
import { DeviceError } from "./contract.ts";

const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  ioctl_int: { name: "ioctl", parameters: ["i32", "u64", "u64"], result: "i32" },
  read: { parameters: ["i32", "pointer", "u32"], result: "i32" },
  readv: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  write: { parameters: ["i32", "pointer", "u32"], result: "i32" },
  writev: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  poll: { parameters: ["pointer", "u32", "i32"], result: "i32" },
  poll_park: { name: "poll", parameters: ["pointer", "u32", "i32"], result: "i32", nonblocking: true },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  getppid: { parameters: [], result: "i32" },
  mmap: { parameters: ["pointer", "u64", "i32", "i32", "i32", "i64"], result: "pointer" },
  munmap: { parameters: ["pointer", "u64"], result: "i32" },
  // syscall(2): the C library has no name for these.
  uring_setup: { name: "syscall", parameters: ["i32", "u32", "pointer"], result: "i32" },
  uring_enter: { name: "syscall", parameters: ["i32", "i32", "u32", "u32", "u32"], result: "i32" },
  uring_wait: { name: "syscall", parameters: ["i32", "i32", "u32", "u32", "u32", "pointer", "u32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The C library. */
export type LibcSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** open(2): read and write, non-blocking, closed on exec. */
export const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;
/** poll(2): there is something to read. */
export const POLLIN = 1;
/** poll(2): there is room to write. */
export const POLLOUT = 4;
/** poll(2): the device is gone. */
export const POLLERR = 8;

/** The C library, opened once for all devices of the process. */
export class Libc {
  /** The calls. */
  readonly sys: LibcSymbols;
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #errno: Deno.UnsafePointerView;

  /** Opens it; `what` begins the message of a {@linkcode DeviceError}. */
  constructor(what: string) {
    if (globalThis.Deno === undefined || Deno.build.os !== "linux") {
      throw new DeviceError("NotSupported", `${what}: real devices need Deno on Linux`);
    }
    try {
      this.#library = Deno.dlopen("libc.so.6", SYMBOLS);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      throw new DeviceError("NotCapable", `${what}: calling libc is not allowed; run deno with --allow-ffi`);
    }
    this.sys = this.#library.symbols;
    // One per thread, and it does not move.
    this.#errno = new Deno.UnsafePointerView(this.sys.__errno_location()!);
  }

  /** errno of the last call that returned -1. */
  get errno(): number {
    return this.#errno.getInt32();
  }

  /** Name and sentence of the last errno. */
  get reason(): string {
    return `${strerror(this.errno)} (${errnoName(this.errno)})`;
  }

  /** Ends the use of the library. */
  close(): void {
    this.#library.close();
  }
}

/** `text` as C has it. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** Most pointers that are kept: more means that positions do not repeat. */
const MAX_POINTERS = 1 << 14;

/** Pointers into one slab. They cost 200 ns to make, so each is made once and found again. */
class SlabPointers {
  readonly base: bigint;
  readonly lo: number;
  readonly hi: number;
  readonly made = new Map<number, Deno.PointerObject>();

  constructor(slab: Slab) {
    this.base = Deno.UnsafePointer.value(Deno.UnsafePointer.of(slab.bytes));
    this.lo = Number(this.base & 0xffffffffn);
    this.hi = Number(this.base >> 32n);
  }
}

/** Host addresses of packet memory. */
export class Pointers {
  readonly #slabs: (SlabPointers | undefined)[] = [];

  /** The pointer to a position of a slab. */
  at(slab: Slab, offset: number): Deno.PointerObject {
    const s = this.#slabs[slab.index] ?? this.#add(slab);
    return s.made.get(offset) ?? this.#make(s, offset);
  }

  /** Writes entry `i` of an array of struct iovec: address and length. */
  setIovec(iov: Uint32Array, i: number, slab: Slab, offset: number, len: number): void {
    const s = this.#slabs[slab.index] ?? this.#add(slab);
    const lo = s.lo + offset;
    iov[i * 4] = lo;
    iov[i * 4 + 1] = lo > 0xffffffff ? s.hi + 1 : s.hi;
    iov[i * 4 + 2] = len;
  }

  #add(slab: Slab): SlabPointers {
    return this.#slabs[slab.index] = new SlabPointers(slab);
  }

  #make(s: SlabPointers, offset: number): Deno.PointerObject {
    if (s.made.size >= MAX_POINTERS) s.made.clear();
    const pointer = Deno.UnsafePointer.create(s.base + BigInt(offset))!;
    s.made.set(offset, pointer);
    return pointer;
  }
}

/** Memory outside the slabs that C reads or writes, with its address. It stays where it is as long as this is held. */
export class HostBuffer {
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same as numbers. */
  readonly view: DataView<ArrayBuffer>;
  /** The same as 32-bit words. */
  readonly words: Uint32Array<ArrayBuffer>;
  /** Its address. */
  readonly pointer: Deno.PointerObject;
  /** Low 32 bits of the address. */
  readonly lo: number;
  /** High 32 bits of the address. */
  readonly hi: number;

  /** `size` bytes, a multiple of 4. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.words = new Uint32Array(this.bytes.buffer);
    this.pointer = Deno.UnsafePointer.of(this.bytes)!;
    const value = Deno.UnsafePointer.value(this.pointer);
    this.lo = Number(value & 0xffffffffn);
    this.hi = Number(value >> 32n);
  }

  /** The address of byte `offset`. */
  at(offset: number): Deno.PointerObject {
    return Deno.UnsafePointer.offset(this.pointer, offset)!;
  }
}
