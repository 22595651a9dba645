/**
 * A hash table of sockets: open addressing over typed arrays with secret keys, a chain per key. UDP's and TCP's tables
 * are made of it. Linux: include/net/inet_hashtables.h, udp_table.
 *
 * @module
 */
import type { Platform } from "../../../core/mod.ts";

/** A socket's place in one table: its key, and its neighbours in the chain of that key (a ring). */
export class HashNode<T> {
  /** Whose. */
  declare readonly up: T;
  /** First word of the key. */
  a = 0;
  /** Second word. */
  b = 0;
  /** Third word. */
  c = 0;
  /** Next in the chain, null: last. */
  next: HashNode<T> | null = null;
  /** Previous in the chain; the head's is the last. */
  declare prev: HashNode<T>;
  /** In the table. */
  linked = false;

  /** A place of `up`, in no table. */
  constructor(up: T) {
    this.up = up;
    this.prev = this;
  }
}

const MIN_SLOTS = 16;

/** Chains of nodes by a key of three words. */
export class SockHash<T> {
  /** Keys in use. */
  used = 0;
  readonly #k0: number = 0;
  readonly #k1: number = 0;
  readonly #k2: number = 0;
  #mask = MIN_SLOTS - 1;
  #keys = new Int32Array(3 * MIN_SLOTS);
  #heads: (HashNode<T> | null)[] = new Array<HashNode<T> | null>(MIN_SLOTS).fill(null);

  /** An empty table with keys of its own. */
  constructor(platform: Platform) {
    this.#k0 = platform.random();
    this.#k1 = platform.random();
    this.#k2 = platform.random();
  }

  /** 32 bits of a key; also spreads flows over a reuseport group. */
  hash(a: number, b: number, c: number): number {
    let h = Math.imul(a ^ this.#k0, 0x85ebca6b);
    h = Math.imul((h ^ (h >>> 15)) + this.#k1 ^ b, 0xc2b2ae35);
    h = Math.imul((h ^ (h >>> 13)) + this.#k2 ^ c, 0x27d4eb2f);
    return h ^ (h >>> 16);
  }

  /** The head of the chain of a key, or null. */
  find(a: number, b: number, c: number): HashNode<T> | null {
    return this.#heads[this.#slot(a, b, c)];
  }

  /** The slot that has the key, or the free one where it would go. */
  #slot(a: number, b: number, c: number): number {
    const keys = this.#keys;
    const mask = this.#mask;
    let i = this.hash(a, b, c) & mask;
    while (this.#heads[i] !== null) {
      const k = 3 * i;
      if (keys[k] === a && keys[k + 1] === b && keys[k + 2] === c) break;
      i = (i + 1) & mask;
    }
    return i;
  }

  /** Adds a node under a key: in front of its chain, or at the end. */
  add(node: HashNode<T>, a: number, b: number, c: number, front: boolean): void {
    if (3 * (this.used + 1) > 2 * this.#mask) this.#grow();
    node.a = a;
    node.b = b;
    node.c = c;
    node.linked = true;
    const i = this.#slot(a, b, c);
    const head = this.#heads[i];
    if (head === null) {
      this.#put(i, node);
      this.used++;
      return;
    }
    const tail = head.prev;
    node.prev = tail;
    head.prev = node;
    if (front) {
      node.next = head;
      this.#heads[i] = node;
    } else {
      tail.next = node;
    }
  }

  /** Takes a node out; one that is in no table is left alone. */
  remove(node: HashNode<T>): void {
    if (!node.linked) return;
    const i = this.#slot(node.a, node.b, node.c);
    const head = this.#heads[i]!;
    const next = node.next;
    if (node === head) {
      if (next === null) this.#clear(i);
      else {
        next.prev = node.prev;
        this.#heads[i] = next;
      }
    } else {
      node.prev.next = next;
      (next ?? head).prev = node.prev;
    }
    node.next = null;
    node.prev = node;
    node.linked = false;
  }

  /** A node that is in no table takes the place of one that is, under its key. */
  replace(old: HashNode<T>, node: HashNode<T>): void {
    const { a, b, c, next, prev } = old;
    node.a = a;
    node.b = b;
    node.c = c;
    node.linked = true;
    node.next = next;
    const i = this.#slot(a, b, c);
    const head = this.#heads[i]!;
    if (old === head) this.#heads[i] = node;
    else prev.next = node;
    // The head's `prev` is the last one: of a chain of one, itself.
    if (next !== null) next.prev = node;
    else if (old !== head) head.prev = node;
    node.prev = prev === old ? node : prev;
    old.next = null;
    old.prev = old;
    old.linked = false;
  }

  /** Everything that is in the table now: for tools and for the end. */
  list(): T[] {
    const all: T[] = [];
    for (const head of this.#heads) {
      for (let n = head; n !== null; n = n.next) all.push(n.up);
    }
    return all;
  }

  #put(i: number, head: HashNode<T>): void {
    this.#heads[i] = head;
    this.#keys[3 * i] = head.a;
    this.#keys[3 * i + 1] = head.b;
    this.#keys[3 * i + 2] = head.c;
  }

  /** Frees a slot and moves the ones behind it up, so that no probe ends early (Knuth, algorithm R). */
  #clear(i: number): void {
    const mask = this.#mask;
    const keys = this.#keys;
    const heads = this.#heads;
    this.used--;
    for (let j = (i + 1) & mask; heads[j] !== null; j = (j + 1) & mask) {
      // By the keys that lie here: the nodes of the neighbours were not touched for long.
      const k = 3 * j;
      const home = this.hash(keys[k], keys[k + 1], keys[k + 2]) & mask;
      if (((j - home) & mask) < ((j - i) & mask)) continue;
      keys[3 * i] = keys[k];
      keys[3 * i + 1] = keys[k + 1];
      keys[3 * i + 2] = keys[k + 2];
      heads[i] = heads[j];
      i = j;
    }
    heads[i] = null;
  }

  #grow(): void {
    const old = this.#heads;
    const size = 2 * old.length;
    this.#mask = size - 1;
    this.#keys = new Int32Array(3 * size);
    this.#heads = new Array<HashNode<T> | null>(size).fill(null);
    for (const head of old) if (head !== null) this.#put(this.#slot(head.a, head.b, head.c), head);
  }
}
