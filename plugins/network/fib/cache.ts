/**
 * The flow cache: the answers of the last look-ups, so that a flow pays for its checks once. Open addressing over
 * integers, two places per flow, keyed with a secret, 4,096 entries, never larger.
 *
 * The type of service is no part of the key: no route here asks for it. An entry is good as long as the generation is
 * the one it was made in; whatever changes an address, a route or a device makes a new generation.
 */
import type { RtDst } from "./dst.ts";

const SIZE = 4096;
const WORDS = 4;

/** Answers by destination, source, and device with direction. */
export class FlowCache {
  readonly #k0: number = 0;
  readonly #k1: number = 0;
  /** Destination, source, device << 1 | direction, generation. */
  #keys: Int32Array | null = null;
  #values: (RtDst | null)[] = [];
  /** Which of two live entries goes next. */
  #turn = 0;

  /** An empty cache; its memory comes with the first entry. */
  constructor(k0: number, k1: number) {
    this.#k0 = k0;
    this.#k1 = k1;
  }

  #place(daddr: number, saddr: number, port: number): number {
    let h = Math.imul(daddr ^ this.#k0, 0x9e3779b1 | 0);
    h = Math.imul((h ^ (h >>> 15)) + (saddr ^ this.#k1), 0x85ebca6b | 0);
    h = Math.imul((h ^ (h >>> 13)) + port, 0xc2b2ae35 | 0);
    return (h >>> 20) & ~1;
  }

  /** The answer of generation `gen`, or null. `port`: device << 1, 1 more for received packets. */
  find(daddr: number, saddr: number, port: number, gen: number): RtDst | null {
    const keys = this.#keys;
    if (keys === null) return null;
    const at = this.#place(daddr, saddr, port);
    for (let i = at; i <= at + 1; i++) {
      const k = i * WORDS;
      if (keys[k] === daddr && keys[k + 1] === saddr && keys[k + 2] === port && keys[k + 3] === gen) {
        return this.#values[i];
      }
    }
    return null;
  }

  /** Keeps an answer; of two others in its places the outdated one goes, or one by turns. */
  put(daddr: number, saddr: number, port: number, gen: number, dst: RtDst): void {
    const keys = this.#keys ?? this.#open();
    const first = this.#place(daddr, saddr, port);
    let at = first + (this.#turn ^= 1);
    for (let i = first; i <= first + 1; i++) {
      const k = i * WORDS;
      const same = keys[k] === daddr && keys[k + 1] === saddr && keys[k + 2] === port;
      if (same || keys[k + 3] !== gen || this.#values[i] === null) {
        at = i;
        break;
      }
    }
    const k = at * WORDS;
    keys[k] = daddr;
    keys[k + 1] = saddr;
    keys[k + 2] = port;
    keys[k + 3] = gen;
    this.#values[at] = dst;
  }

  #open(): Int32Array {
    this.#values = new Array<RtDst | null>(SIZE).fill(null);
    return this.#keys = new Int32Array(SIZE * WORDS);
  }
}
