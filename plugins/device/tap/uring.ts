/**
 * Many reads or writes in one system call: io_uring, used synchronously. Source: io_uring(7), io_uring_enter(2).
 *
 * A TAP moves one frame per read(2) or write(2), so that the price of entering the kernel is paid per frame; on a virtual
 * machine it can be several times what the kernel does with the frame. A batch here is submitted and done when
 * {@linkcode Uring.submit} returns: every entry carries RWF_NOWAIT, nothing is ever in flight between two calls, and
 * packet memory belongs to the kernel only inside the call. Waiting stays poll(2)'s.
 *
 * @module
 */
import { HostBuffer, type Libc } from "./ffi.ts";

/** Most entries of a batch. */
export const URING_ENTRIES = 64;
/** Read into an array of struct iovec. */
export const IORING_OP_READV = 1;
/** Write from an array of struct iovec. */
export const IORING_OP_WRITEV = 2;
/** Read into one buffer. */
export const IORING_OP_READ = 22;
/** Write from one buffer. */
export const IORING_OP_WRITE = 23;

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
const IORING_ENTER_GETEVENTS = 1;
const IORING_FEAT_SINGLE_MMAP = 1;
const IORING_OFF_SQES = 0x10000000n;
const RWF_NOWAIT = 8;
const PARAMS_LEN = 120;
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const EINTR = 4;
const EAGAIN = 11;
/** Words of struct io_uring_sqe. */
const SQE = 16;
/** A system call that costs less is not worth a ring: entries have a price too. */
const CHEAP_CALL_NS = 500;

/** struct io_uring_params: where things are in the shared memory. Words. */
const P_SQ_ENTRIES = 0, P_CQ_ENTRIES = 1, P_FLAGS = 2, P_FEATURES = 5, P_SQ_OFF = 10, P_CQ_OFF = 20;

/** Memory that the kernel shares with us. */
interface Mapping {
  readonly pointer: Deno.PointerObject;
  readonly size: number;
  readonly buffer: ArrayBuffer;
}

/** A ring. One thread uses it, for any descriptor. */
export class Uring {
  /** Results of the last batch by entry: bytes, or a negative errno. */
  readonly res: Int32Array = new Int32Array(URING_ENTRIES);
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #maps: readonly Mapping[];
  readonly #sqes: Uint32Array;
  readonly #ring: Int32Array;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #array: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;

  private constructor(libc: Libc, fd: number, params: Uint32Array, ring: Mapping, sqes: Mapping) {
    this.#libc = libc;
    this.#fd = fd;
    this.#maps = [ring, sqes];
    this.#ring = new Int32Array(ring.buffer);
    this.#sqes = new Uint32Array(sqes.buffer);
    const word = (offset: number): number => params[offset] >>> 2;
    this.#sqHead = word(P_SQ_OFF);
    this.#sqTail = word(P_SQ_OFF + 1);
    this.#sqMask = this.#ring[word(P_SQ_OFF + 2)];
    this.#array = word(P_SQ_OFF + 6);
    this.#cqHead = word(P_CQ_OFF);
    this.#cqTail = word(P_CQ_OFF + 1);
    this.#cqMask = this.#ring[word(P_CQ_OFF + 2)];
    this.#cqes = word(P_CQ_OFF + 5);
    for (let i = 0; i < URING_ENTRIES; i++) {
      const s = i * SQE;
      // The offset of what cannot seek, and the entry's own number.
      this.#sqes[s + 2] = this.#sqes[s + 3] = 0xffffffff;
      this.#sqes[s + 7] = RWF_NOWAIT;
      this.#sqes[s + 8] = i;
    }
  }

  /** A ring; null where the kernel has or allows none (older than 5.6, seccomp, `kernel.io_uring_disabled`). */
  static open(libc: Libc): Uring | null {
    const params = new HostBuffer(PARAMS_LEN);
    params.words[P_FLAGS] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    let fd = libc.sys.uring_setup(SYS_IO_URING_SETUP, URING_ENTRIES, params.pointer);
    if (fd < 0) {
      // Linux before 6.1 does not know these flags.
      params.words.fill(0);
      fd = libc.sys.uring_setup(SYS_IO_URING_SETUP, URING_ENTRIES, params.pointer);
    }
    if (fd < 0) return null;
    const p = params.words;
    const single = (p[P_FEATURES] & IORING_FEAT_SINGLE_MMAP) !== 0 && p[P_SQ_ENTRIES] >= URING_ENTRIES;
    const size = Math.max(p[P_SQ_OFF + 6] + p[P_SQ_ENTRIES] * 4, p[P_CQ_OFF + 5] + p[P_CQ_ENTRIES] * 16);
    const ring = single ? map(libc, fd, size, 0n) : null;
    const sqes = ring === null ? null : map(libc, fd, URING_ENTRIES * SQE * 4, IORING_OFF_SQES);
    if (ring === null || sqes === null) {
      if (ring !== null) libc.sys.munmap(ring.pointer, BigInt(ring.size));
      libc.sys.close(fd);
      return null;
    }
    return new Uring(libc, fd, p, ring, sqes);
  }

  /** Entry `i` of the next batch: `op` on `fd`, memory or iovec array at an address in two halves, and its length. */
  prepare(i: number, op: number, fd: number, lo: number, hi: number, len: number): void {
    const s = i * SQE;
    const sqes = this.#sqes;
    sqes[s] = op;
    sqes[s + 1] = fd;
    sqes[s + 4] = lo;
    sqes[s + 5] = hi;
    sqes[s + 6] = len;
  }

  /**
   * Runs entries 0 to `n` - 1 in this order; {@linkcode res} has what became of each. False: the kernel took none of them.
   */
  submit(n: number): boolean {
    const ring = this.#ring;
    const mask = this.#sqMask;
    const tail = ring[this.#sqTail];
    for (let i = 0; i < n; i++) {
      ring[this.#array + ((tail + i) & mask)] = i;
      this.res[i] = -EAGAIN;
    }
    ring[this.#sqTail] = (tail + n) | 0;
    const taken = this.#libc.sys.uring_enter(SYS_IO_URING_ENTER, this.#fd, n, 0, 0);
    if (taken === n && this.#reap() === n) return true;
    this.#rest();
    return ring[this.#sqTail] !== tail;
  }

  /** Takes the completions that are there; how many they were. */
  #reap(): number {
    const ring = this.#ring;
    const tail = ring[this.#cqTail];
    let head = ring[this.#cqHead];
    const n = (tail - head) | 0;
    for (; head !== tail; head = (head + 1) | 0) {
      const c = this.#cqes + ((head & this.#cqMask) << 2);
      this.res[ring[c]] = ring[c + 2];
    }
    ring[this.#cqHead] = tail;
    return n;
  }

  /** The kernel took fewer than it was given, or has not finished: until it has. What it refuses stays EAGAIN. */
  #rest(): void {
    const ring = this.#ring;
    const { sys } = this.#libc;
    for (let left = (ring[this.#sqTail] - ring[this.#sqHead]) | 0; left > 0;) {
      const taken = sys.uring_enter(SYS_IO_URING_ENTER, this.#fd, left, 0, 0);
      // Nothing is left behind for the next batch.
      if (taken <= 0 && this.#libc.errno !== EINTR) ring[this.#sqTail] = ring[this.#sqHead];
      left = (ring[this.#sqTail] - ring[this.#sqHead]) | 0;
    }
    this.#reap();
    // Each entry that was taken gives one completion: both ends count alike.
    while (((ring[this.#sqTail] - ring[this.#cqHead]) | 0) > 0) {
      const rc = sys.uring_wait(SYS_IO_URING_ENTER, this.#fd, 0, 1, IORING_ENTER_GETEVENTS, null, 0);
      if (rc < 0 && this.#libc.errno !== EINTR) return;
      this.#reap();
    }
  }

  /** Ends it. */
  close(): void {
    for (const m of this.#maps) this.#libc.sys.munmap(m.pointer, BigInt(m.size));
    this.#libc.sys.close(this.#fd);
  }
}

function map(libc: Libc, fd: number, size: number, offset: bigint): Mapping | null {
  const pointer = libc.sys.mmap(null, BigInt(size), PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset);
  if (pointer === null || Deno.UnsafePointer.value(pointer) === 0xffffffffffffffffn) return null;
  return { pointer, size, buffer: Deno.UnsafePointerView.getArrayBuffer(pointer, size) };
}

/** Whether entering the kernel is so dear here that batches pay. The best of a few rounds, some 100 us together. */
export function callsAreDear(libc: Libc): boolean {
  let best = Infinity;
  for (let round = 0; round < 8; round++) {
    const start = performance.now();
    for (let i = 0; i < 16; i++) libc.sys.getppid();
    best = Math.min(best, performance.now() - start);
  }
  return best * 1e6 / 16 > CHEAP_CALL_NS;
}
