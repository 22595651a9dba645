/** Streams whose every byte is known. */
import { Random } from "./frames/random.ts";

/** A prime: no displacement by a power of two, or by a whole segment, goes unseen. */
const PERIOD = 65521;

/** A stream of bytes without end, by seed. */
export class Stream {
  readonly #block = new Uint8Array(3 * PERIOD);

  constructor(seed: number) {
    const once = new Random(`stream ${seed}`).bytes(PERIOD);
    for (let i = 0; i < 3; i++) this.#block.set(once, i * PERIOD);
  }

  /** Up to `length` bytes from `offset` on: a view, at most 128 KiB. */
  at(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const from = offset % PERIOD;
    return this.#block.subarray(from, from + Math.min(length, 2 * PERIOD));
  }

  /** Whether `bytes` are those from `offset` on. */
  holds(bytes: Uint8Array, length: number, offset: number): boolean {
    const block = this.#block;
    for (let i = 0, at = offset % PERIOD; i < length; i++, at++) {
      if (at === PERIOD) at = 0;
      if (bytes[i] !== block[at]) return false;
    }
    return true;
  }
}
