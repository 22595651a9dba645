/**
 * The fragments of one datagram, in order. Linux: the run tree of net/ipv4/inet_fragment.c, inet_frag_queue_insert().
 *
 * A *run* is a chain of fragments that came one right after the other. Runs are the nodes of a treap (Seidel and
 * Aragon: a search tree by offset that is a heap by random priority), so that an insertion costs O(log n) expected
 * whatever order an attacker chooses.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";

/** `insert`: it is in. */
export const FRAG_OK = 0;
/** `insert`: all of it is there already. Linux: IPFRAG_DUP. */
export const FRAG_DUP = 1;
/** `insert`: part of it is there already. Linux: IPFRAG_OVERLAP. */
export const FRAG_OVERLAP = 2;

/** A chain of adjacent fragments. Pooled. */
export class FragRun {
  /** Offset of the first byte. */
  start = 0;
  /** One past the last byte. */
  end = 0;
  /** Heap priority. */
  priority = 0;
  /** First fragment, linked by `next`. */
  head: SkBuff | null = null;
  /** Last fragment. */
  tail: SkBuff | null = null;
  /** Runs before. */
  left: FragRun | null = null;
  /** Runs behind. */
  right: FragRun | null = null;
  /** The run above; the next spare one in the pool. */
  up: FragRun | null = null;
}

/** Spare runs and the counter of steps, shared by all queues of a net. */
export class FragRunPool {
  /** Nodes visited by all insertions so far: the measure of the cost. */
  steps = 0;
  readonly #random: () => number;
  #spare: FragRun | null = null;

  /** A pool that draws priorities from `random`. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** A run of one fragment. Takes ownership of `skb`. */
  make(skb: SkBuff, start: number, end: number): FragRun {
    const run = this.#spare ?? new FragRun();
    this.#spare = run.up;
    run.start = start;
    run.end = end;
    run.priority = this.#random();
    run.head = run.tail = skb;
    run.left = run.right = run.up = null;
    return run;
  }

  /** Takes a run back; its fragments are gone. */
  put(run: FragRun): void {
    run.head =
      run.tail =
      run.left =
      run.right =
        null;
    run.up = this.#spare;
    this.#spare = run;
  }
}

/** The runs of one datagram. */
export class FragTree {
  /** Top of the treap. */
  root: FragRun | null = null;
  /** The run with the highest offset. */
  last: FragRun | null = null;

  /**
   * Adds a fragment that covers `[start, end)`. Takes ownership of `skb` unless it returns FRAG_DUP or FRAG_OVERLAP.
   * Linux: inet_frag_queue_insert(), net/ipv4/inet_fragment.c.
   */
  insert(pool: FragRunPool, skb: SkBuff, start: number, end: number): number {
    skb.next = null;
    const last = this.last;
    if (last === null) this.root = this.last = pool.make(skb, start, end);
    else if (end > last.end) {
      pool.steps++;
      if (start < last.end) return FRAG_OVERLAP;
      if (start === last.end) {
        last.tail!.next = skb;
        last.tail = skb;
        last.end = end;
      } else {
        const run = pool.make(skb, start, end);
        run.up = last;
        last.right = run;
        this.last = run;
        this.#rise(run);
      }
    } else return this.#search(pool, skb, start, end);
    return FRAG_OK;
  }

  #search(pool: FragRunPool, skb: SkBuff, start: number, end: number): number {
    let at = this.root as FragRun;
    for (;;) {
      pool.steps++;
      let next: FragRun | null;
      if (end <= at.start) next = at.left;
      else if (start >= at.end) next = at.right;
      else return start >= at.start && end <= at.end ? FRAG_DUP : FRAG_OVERLAP;
      if (next === null) break;
      at = next;
    }
    const run = pool.make(skb, start, end);
    run.up = at;
    if (end <= at.start) at.left = run;
    else at.right = run;
    this.#rise(run);
    return FRAG_OK;
  }

  /** Rotates a run up while it has a higher priority than the one above. */
  #rise(run: FragRun): void {
    for (let up = run.up; up !== null && up.priority < run.priority; up = run.up) {
      const top = up.up;
      if (up.left === run) {
        up.left = run.right;
        if (run.right !== null) run.right.up = up;
        run.right = up;
      } else {
        up.right = run.left;
        if (run.left !== null) run.left.up = up;
        run.left = up;
      }
      up.up = run;
      run.up = top;
      if (top === null) this.root = run;
      else if (top.left === up) top.left = run;
      else top.right = run;
    }
  }

  /** Takes all fragments out, chained by `next` in order of offset; the caller owns them. */
  takeAll(pool: FragRunPool): SkBuff | null {
    let first: SkBuff | null = null;
    let tail: SkBuff | null = null;
    let run = leftmost(this.root);
    while (run !== null) {
      if (tail === null) first = run.head;
      else tail.next = run.head;
      tail = run.tail;
      const done: FragRun = run;
      // The left side is empty by now: next comes the right side, else the first ancestor that is still to come.
      if (run.right !== null) {
        run = leftmost(run.right);
      } else {
        let up = run.up;
        for (let from: FragRun = run; up !== null && up.right === from; from = up, up = up.up);
        run = up;
      }
      done.head = done.tail = null;
    }
    this.#recycle(pool);
    return first;
  }

  /** Gives all runs back, without recursion: each is taken when both its sides are gone. */
  #recycle(pool: FragRunPool): void {
    let at = this.root;
    while (at !== null) {
      if (at.left !== null) at = at.left;
      else if (at.right !== null) at = at.right;
      else {
        const up: FragRun | null = at.up;
        if (up !== null) {
          if (up.left === at) up.left = null;
          else up.right = null;
        }
        pool.put(at);
        at = up;
      }
    }
    this.root = this.last = null;
  }
}

function leftmost(run: FragRun | null): FragRun | null {
  while (run !== null && run.left !== null) run = run.left;
  return run;
}
