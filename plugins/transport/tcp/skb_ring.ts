/**
 * Segments in sequence order: an array used as a ring, so that both ends cost nothing, a place is found by halving, and
 * one in the middle moves pointers only. Linux has red-black trees here: sk->tcp_rtx_queue, tp->out_of_order_queue.
 */
import type { SkBuff } from "../../../core/mod.ts";

const MIN_SLOTS = 4;

/** A queue of skbs sorted by the sequence number in word `cbSeq` of their control block. */
export class SkbRing {
  /** Entries. */
  length = 0;
  // A literal: each connection that sends makes one.
  #slots: (SkBuff | null)[] = [null, null, null, null];
  #mask = MIN_SLOTS - 1;
  #first = 0;
  readonly #cbSeq: number = 0;

  /** An empty one. */
  constructor(cbSeq: number) {
    this.#cbSeq = cbSeq;
  }

  /** The entry at `i`, counted from the front; the caller knows that there is one. */
  at(i: number): SkBuff {
    return this.#slots[(this.#first + i) & this.#mask] as SkBuff;
  }

  /** The first, or null. */
  get head(): SkBuff | null {
    return this.length === 0 ? null : this.#slots[this.#first];
  }

  /** The last, or null. */
  get tail(): SkBuff | null {
    return this.length === 0 ? null : this.#slots[(this.#first + this.length - 1) & this.#mask];
  }

  /** Appends. Takes ownership of `skb`. */
  push(skb: SkBuff): void {
    if (this.length > this.#mask) this.#grow();
    this.#slots[(this.#first + this.length++) & this.#mask] = skb;
  }

  /** Gives the first, which the caller then owns, or null. */
  shift(): SkBuff | null {
    if (this.length === 0) return null;
    const skb = this.#slots[this.#first];
    this.#slots[this.#first] = null;
    this.#first = (this.#first + 1) & this.#mask;
    this.length--;
    return skb;
  }

  /** Puts `skb` in at place `i`; the shorter side moves. Takes ownership of `skb`. */
  insert(i: number, skb: SkBuff): void {
    if (this.length > this.#mask) this.#grow();
    const slots = this.#slots;
    const mask = this.#mask;
    if (i <= this.length >> 1) {
      this.#first = (this.#first - 1) & mask;
      for (let k = 0; k < i; k++) slots[(this.#first + k) & mask] = slots[(this.#first + k + 1) & mask];
    } else for (let k = this.length; k > i; k--) slots[(this.#first + k) & mask] = slots[(this.#first + k - 1) & mask];
    slots[(this.#first + i) & mask] = skb;
    this.length++;
  }

  /** Takes the entry at `i` out; the caller then owns it. */
  removeAt(i: number): SkBuff {
    const slots = this.#slots;
    const mask = this.#mask;
    const skb = this.at(i);
    if (i < this.length >> 1) {
      for (let k = i; k > 0; k--) slots[(this.#first + k) & mask] = slots[(this.#first + k - 1) & mask];
      slots[this.#first] = null;
      this.#first = (this.#first + 1) & mask;
    } else {
      for (let k = i; k < this.length - 1; k++) slots[(this.#first + k) & mask] = slots[(this.#first + k + 1) & mask];
      slots[(this.#first + this.length - 1) & mask] = null;
    }
    this.length--;
    return skb;
  }

  /** Puts `skb` in place of the entry at `i`, which the caller then owns. Takes ownership of `skb`. */
  set(i: number, skb: SkBuff): void {
    this.#slots[(this.#first + i) & this.#mask] = skb;
  }

  /** Closes the gap of the entries [from, to), which the caller owns; the shorter side moves. */
  removeRange(from: number, to: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    const gone = to - from;
    if (from < this.length - to) {
      for (let i = from - 1; i >= 0; i--) slots[(this.#first + i + gone) & mask] = slots[(this.#first + i) & mask];
      for (let i = 0; i < gone; i++) slots[(this.#first + i) & mask] = null;
      this.#first = (this.#first + gone) & mask;
    } else {
      for (let i = to; i < this.length; i++) slots[(this.#first + i - gone) & mask] = slots[(this.#first + i) & mask];
      for (let i = this.length - gone; i < this.length; i++) slots[(this.#first + i) & mask] = null;
    }
    this.length -= gone;
  }

  /** The place of the last entry that begins at or before `seq`, -1: all begin later. Halving. */
  find(seq: number): number {
    const cbSeq = this.#cbSeq;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (((this.at(mid).cb[cbSeq] - seq) | 0) <= 0) low = mid + 1;
      else high = mid;
    }
    return low - 1;
  }

  #grow(): void {
    const old = this.#slots;
    const mask = this.#mask;
    const next = new Array<SkBuff | null>(2 * old.length).fill(null);
    for (let i = 0; i < this.length; i++) next[i] = old[(this.#first + i) & mask];
    this.#slots = next;
    this.#mask = next.length - 1;
    this.#first = 0;
  }
}
