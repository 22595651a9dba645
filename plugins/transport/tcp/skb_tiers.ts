/**
 * Segments in sequence order where a peer chooses the places: rings of 128, one behind the other. A place is found by
 * halving; one more in the middle moves what is in its ring, and in each ring behind it a single entry ("tiered vector",
 * Goodrich and Kloss 1999). So 35,000 entries, which is what the largest receive buffer holds of the smallest segments,
 * cost some 200 steps each in the worst order, where one ring costs up to 17,000. Linux has a red-black tree here.
 */
import type { SkBuff } from "../../../core/mod.ts";

const BITS = 7;
const SIZE = 1 << BITS;
const MASK = SIZE - 1;

/** One ring: `head` is the slot of its first entry. */
class Tier {
  head = 0;
  readonly slots: (SkBuff | null)[] = new Array<SkBuff | null>(SIZE).fill(null);
}

/** A queue of skbs sorted by the sequence number in word `cbSeq` of their control block. */
export class SkbTiers {
  /** Entries. */
  length = 0;
  /** Entries moved to make or to close gaps, since it was made: what an order of arrival costs. */
  moved = 0;
  /** Nothing came since collapsing last found nothing to gain: it need not look again. */
  tight = false;
  readonly #tiers: Tier[] = [new Tier()];
  /** Entries that are missing at the front of the first tier: all others but the last are full. */
  #first = 0;
  readonly #cbSeq: number;

  /** An empty one. */
  constructor(cbSeq: number) {
    this.#cbSeq = cbSeq;
  }

  /** The entry at `i`, counted from the front; the caller knows that there is one. */
  at(i: number): SkBuff {
    const p = this.#first + i;
    const tier = this.#tiers[p >> BITS];
    return tier.slots[(tier.head + p) & MASK] as SkBuff;
  }

  /** The first, or null. */
  get head(): SkBuff | null {
    return this.length === 0 ? null : this.at(0);
  }

  /** The last, or null. */
  get tail(): SkBuff | null {
    return this.length === 0 ? null : this.at(this.length - 1);
  }

  /** Gives the first, which the caller then owns, or null. */
  shift(): SkBuff | null {
    return this.length === 0 ? null : this.removeAt(0);
  }

  /** Puts `skb` in at place `i`; the shorter side moves. Takes ownership of `skb`. */
  insert(i: number, skb: SkBuff): void {
    if (i < this.length >> 1) this.#openFront(i);
    else this.#openBack(i);
    this.length++;
    this.set(i, skb);
  }

  /** Room for one more at place `i`: what is before it moves a place to the front. */
  #openFront(i: number): void {
    if (this.#first === 0) {
      this.#tiers.unshift(new Tier());
      this.#first = SIZE;
    }
    const p = --this.#first + i;
    const tiers = this.#tiers;
    const last = p >> BITS;
    for (let k = 0; k < last; k++) {
      const tier = tiers[k];
      const next = tiers[k + 1];
      // What was its first place is its last one now.
      tier.slots[tier.head] = next.slots[next.head];
      tier.head = (tier.head + 1) & MASK;
    }
    const from = last === 0 ? this.#first : 0;
    this.#shiftDown(tiers[last], from, p & MASK);
    this.moved += last;
  }

  /** Room for one more at place `i`: what is there and behind moves a place to the back. */
  #openBack(i: number): void {
    const tiers = this.#tiers;
    const p = this.#first + i;
    const end = this.#first + this.length;
    if (end >> BITS === tiers.length) tiers.push(new Tier());
    const first = p >> BITS;
    const last = end >> BITS;
    for (let k = last; k > first; k--) {
      const tier = tiers[k];
      const before = tiers[k - 1];
      tier.head = (tier.head - 1) & MASK;
      tier.slots[tier.head] = before.slots[(before.head - 1) & MASK];
    }
    this.#shiftUp(tiers[first], p & MASK, first === last ? end & MASK : MASK);
    this.moved += last - first;
  }

  /** Places [from, to) of a tier take what is one behind them; the place `to` is free then. */
  #shiftDown({ slots, head }: Tier, from: number, to: number): void {
    for (let k = from; k < to; k++) slots[(head + k) & MASK] = slots[(head + k + 1) & MASK];
    this.moved += to - from;
  }

  /** Places (from, to] of a tier take what is one before them; the place `from` is free then. */
  #shiftUp({ slots, head }: Tier, from: number, to: number): void {
    for (let k = to; k > from; k--) slots[(head + k) & MASK] = slots[(head + k - 1) & MASK];
    this.moved += to - from;
  }

  /** Takes the entry at `i` out; the caller then owns it. */
  removeAt(i: number): SkBuff {
    const skb = this.at(i);
    if (i < this.length >> 1) this.#closeFront(i);
    else this.#closeBack(i);
    this.length--;
    return skb;
  }

  /** The place `i` is free: what is before it moves to the back. */
  #closeFront(i: number): void {
    const tiers = this.#tiers;
    const p = this.#first + i;
    const last = p >> BITS;
    this.#shiftUp(tiers[last], last === 0 ? this.#first : 0, p & MASK);
    for (let k = last; k > 0; k--) {
      const tier = tiers[k];
      const before = tiers[k - 1];
      tier.slots[tier.head] = before.slots[(before.head - 1) & MASK];
      before.head = (before.head - 1) & MASK;
    }
    const front = tiers[0];
    front.slots[(front.head + (last === 0 ? this.#first : 0)) & MASK] = null;
    this.moved += last;
    if (++this.#first < SIZE) return;
    this.#first = 0;
    if (tiers.length > 1) tiers.shift();
  }

  /** The place `i` is free: what is behind it moves to the front. */
  #closeBack(i: number): void {
    const tiers = this.#tiers;
    const p = this.#first + i;
    const end = this.#first + this.length - 1;
    const first = p >> BITS;
    const last = end >> BITS;
    this.#shiftDown(tiers[first], p & MASK, first === last ? end & MASK : MASK);
    for (let k = first + 1; k <= last; k++) {
      const tier = tiers[k];
      const before = tiers[k - 1];
      before.slots[(before.head + MASK) & MASK] = tier.slots[tier.head];
      tier.slots[tier.head] = null;
      tier.head = (tier.head + 1) & MASK;
    }
    const back = tiers[last];
    if (first === last) back.slots[(back.head + end) & MASK] = null;
    this.moved += last - first;
    if ((end & MASK) === 0 && last > 0) tiers.length = last;
  }

  /** Puts `skb` in place of the entry at `i`, which the caller then owns. Takes ownership of `skb`. */
  set(i: number, skb: SkBuff): void {
    const p = this.#first + i;
    const tier = this.#tiers[p >> BITS];
    tier.slots[(tier.head + p) & MASK] = skb;
    this.tight = false;
  }

  /** Closes the gap of the entries [from, to), which the caller owns. */
  removeRange(from: number, to: number): void {
    // From its end that is nearer to an end of the queue: each step then moves as little as can be.
    if (from < this.length - to) { for (let i = from; i < to; i++) this.removeAt(from); }
    else for (let i = to - 1; i >= from; i--) this.removeAt(i);
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
}
