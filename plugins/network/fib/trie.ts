/**
 * Longest-prefix match: what a packet pays for. Linux: net/ipv4/fib_trie.c, an LC-trie. This is a multibit trie over
 * typed arrays: a look-up reads two to seven words and no object.
 *
 * ```text
 *   address  │ root bits: 8, 12 or 16 │ 4 │ 4 │ ... │
 *            │                        │
 *            ├─ mask[i]  a bit per value of the next 4: clear, and all of it goes the way of base[i]
 *            ├─ base[i]  a leaf of the route that most of them take
 *            └─ top[i] ───────────────┴─ a record for 16 words ──
 *
 *   record     bitmap │ word │ word │ ...      a bit where the word differs from the one before it: runs are one word;
 *                                              bit 16: all of it takes one route
 *
 *   word > 0   leaf: id of the route << 6 | length of its prefix
 *   word = 0   nothing but the default route, which is kept apart
 *   word < 0   ~place of a record
 * ```
 *
 * Every prefix is pushed down to all words that it covers and that no longer prefix has, so that the first leaf is the
 * answer. The length in the leaf tells an update which words are its own. A record of one run is folded into the word
 * above.
 *
 * What decides the cost of 100,000 routes is how much memory random destinations touch, and how many branches nobody can
 * guess. Most destinations end at mask and base: 2.5 KB for a host, 384 KB at most, which a CPU's second-level cache
 * holds. A longer prefix that leads the same way as what surrounds it costs nothing. The records of those that go on are
 * packed. The root grows with the number of prefixes.
 */

const BITS = 4;
const FAN = 1 << BITS;
const LEN_BITS = 6;
const LEN_MASK = (1 << LEN_BITS) - 1;
/** In a record's bitmap: all of it takes one route. */
const UNIFORM = 1 << FAN;
/** Records on the way to the last bit, below the smallest root. */
const LEVELS = (32 - 8) / BITS;

/** Bits of the root for a number of prefixes. */
function rootBitsFor(prefixes: number): number {
  return prefixes <= 64 ? 8 : prefixes <= 512 ? 12 : 16;
}

/** Bits set among the lower 16. */
function popcount16(x: number): number {
  x -= (x >>> 1) & 0x5555;
  x = (x & 0x3333) + ((x >>> 2) & 0x3333);
  x = (x + (x >>> 4)) & 0x0f0f;
  return (x + (x >>> 8)) & 31;
}

/** A leaf: the route `id` (from 1) of a prefix of length `len`. */
export function leafOf(id: number, len: number): number {
  return id << LEN_BITS | len;
}

/** The route of a leaf. */
export function leafId(leaf: number): number {
  return leaf >>> LEN_BITS;
}

/** The prefix length of a leaf. */
export function leafLen(leaf: number): number {
  return leaf & LEN_MASK;
}

/** The match of one table. */
export class LpmTrie {
  /** Bits of the address below the root. */
  #shift = 24;
  #mask: Uint16Array = new Uint16Array(1 << 8);
  #base: Int32Array = new Int32Array(1 << 8);
  #root: Int32Array = new Int32Array(1 << 8);
  #words: Int32Array = new Int32Array(256);
  /** Words handed out so far. */
  #top = 0;
  /** Words in use. */
  #used = 0;
  /** First free record by number of words, linked through the bitmap's place; -1: none. */
  readonly #free: Int32Array = new Int32Array(FAN + 2).fill(-1);
  /** One record unpacked per level, for updates. */
  readonly #scratch: Int32Array = new Int32Array((LEVELS + 1) * FAN);
  /** The leaf of 0.0.0.0/0: in no word, so that it costs nothing to change. */
  #default = 0;

  /**
   * A leaf of the route that the longest prefix of `addr` takes, or 0. Its length is that of this prefix or of another
   * that takes the same route.
   */
  lookup(addr: number): number {
    const shift = this.#shift;
    const i = addr >>> shift;
    const word = (this.#mask[i] >>> (addr >>> (shift - BITS) & (FAN - 1)) & 1) === 0
      ? this.#base[i]
      : this.#walk(addr, this.#root[i]);
    // The default route where the word is 0, without a branch: which of them it is cannot be guessed.
    return word | (this.#default & ((word - 1) >> 31));
  }

  #walk(addr: number, word: number): number {
    const words = this.#words;
    let shift = this.#shift;
    do {
      shift -= BITS;
      const at = ~word;
      word = words[at + popcount16(words[at] & ((2 << (addr >>> shift & (FAN - 1))) - 1))];
    } while (word < 0);
    return word;
  }

  /** Arrays and records that {@linkcode lookup} reads for `addr`: for tests of the cost. */
  reads(addr: number): number {
    let shift = this.#shift;
    const i = addr >>> shift;
    if ((this.#mask[i] >>> (addr >>> (shift - BITS) & (FAN - 1)) & 1) === 0) return 2;
    let reads = 2;
    for (let word = this.#root[i]; word < 0; reads++) {
      shift -= BITS;
      word = this.#words[~word + popcount16(this.#words[~word] & ((2 << (addr >>> shift & (FAN - 1))) - 1))];
    }
    return reads;
  }

  /** Memory in bytes. */
  get bytes(): number {
    return this.#mask.byteLength + this.#base.byteLength + this.#root.byteLength + this.#words.byteLength;
  }

  /** Words of records in use. */
  get used(): number {
    return this.#used;
  }

  /**
   * Gives all that `prefix`/`len` covers, but for longer prefixes, to `leaf`. To remove a prefix, give its addresses to
   * the leaf of the next shorter one, or to 0 where that is the default route or none.
   */
  assign(prefix: number, len: number, leaf: number): void {
    if (len === 0) {
      this.#default = leaf;
      return;
    }
    const shift = this.#shift;
    const first = prefix >>> shift;
    const root = this.#root;
    if (len <= 32 - shift) {
      const n = 1 << (32 - shift - len);
      for (let i = first; i < first + n; i++) {
        root[i] = this.#cover(root[i], len, leaf, 0);
        this.#refresh(i);
      }
    } else {
      root[first] = this.#descend(root[first], prefix, len, leaf, shift, 0);
      this.#refresh(first);
    }
  }

  /** Chooses the base of a root word, the route that most of it takes, and marks what takes another. */
  #refresh(i: number): void {
    const word = this.#root[i];
    const one = this.#leafOfAll(word);
    this.#base[i] = one;
    this.#mask[i] = 0;
    if (one >= 0) return;
    const scratch = this.#scratch;
    this.#unpack(word, scratch, 0);
    let base = 0;
    let votes = 0;
    for (let s = 0; s < FAN; s++) {
      const leaf = scratch[s] = this.#leafOfAll(scratch[s]);
      if (leaf < 0) continue;
      if (votes === 0) base = leaf;
      votes += leafId(leaf) === leafId(base) ? 1 : -1;
    }
    let mask = 0;
    for (let s = 0; s < FAN; s++) if (scratch[s] < 0 || leafId(scratch[s]) !== leafId(base)) mask |= 1 << s;
    this.#base[i] = base;
    this.#mask[i] = mask;
  }

  /** A leaf of the route that all of a word takes; -1: there are several. */
  #leafOfAll(word: number): number {
    while (word < 0) {
      if ((this.#words[~word] & UNIFORM) === 0) return -1;
      word = this.#words[~word + 1];
    }
    return word;
  }

  /** Makes room for `prefixes`: the root takes up the level below it until it is large enough. */
  reserve(prefixes: number): void {
    while (32 - this.#shift < rootBitsFor(prefixes)) {
      const root = new Int32Array(this.#root.length << BITS);
      for (let i = 0; i < this.#root.length; i++) {
        const word = this.#root[i];
        const at = i << BITS;
        if (word >= 0) root.fill(word, at, at + FAN);
        else {
          this.#unpack(word, root, at);
          this.#release(~word);
        }
      }
      this.#root = root;
      this.#shift -= BITS;
      this.#mask = new Uint16Array(root.length);
      this.#base = new Int32Array(root.length);
      for (let i = 0; i < root.length; i++) this.#refresh(i);
    }
  }

  /** What becomes of a word whose whole range `leaf` covers with a prefix of length `len`. */
  #cover(word: number, len: number, leaf: number, level: number): number {
    if (word >= 0) return (word & LEN_MASK) <= len ? leaf : word;
    const at = level * FAN;
    const scratch = this.#scratch;
    this.#unpack(word, scratch, at);
    for (let i = at; i < at + FAN; i++) {
      scratch[i] = this.#cover(scratch[i], len, leaf, level + 1);
    }
    return this.#repack(word, at);
  }

  /** What becomes of a word at `shift` of which the prefix is a part. */
  #descend(word: number, prefix: number, len: number, leaf: number, shift: number, level: number): number {
    const at = level * FAN;
    const scratch = this.#scratch;
    if (word < 0) this.#unpack(word, scratch, at);
    else scratch.fill(word, at, at + FAN);
    shift -= BITS;
    const first = at + (prefix >>> shift & (FAN - 1));
    if (len <= 32 - shift) {
      const n = 1 << (32 - shift - len);
      for (let i = first; i < first + n; i++) scratch[i] = this.#cover(scratch[i], len, leaf, level + 1);
    } else scratch[first] = this.#descend(scratch[first], prefix, len, leaf, shift, level + 1);
    return this.#repack(word, at);
  }

  /** The 16 words of a record. */
  #unpack(word: number, to: Int32Array, at: number): void {
    const words = this.#words;
    let from = ~word;
    const bitmap = words[from];
    for (let i = 0; i < FAN; i++) {
      from += bitmap >>> i & 1;
      to[at + i] = words[from];
    }
  }

  /** A record for the unpacked words in place of the former one: a word that leads to it, or the one leaf it is. */
  #repack(former: number, at: number): number {
    if (former < 0) this.#release(~former);
    const scratch = this.#scratch;
    let bitmap = 1;
    let runs = 1;
    for (let i = 1; i < FAN; i++) {
      if (scratch[at + i] === scratch[at + i - 1]) continue;
      bitmap |= 1 << i;
      runs++;
    }
    if (runs === 1 && scratch[at] >= 0) return scratch[at];
    const place = this.#alloc(runs + 1);
    const words = this.#words;
    words[place] = this.#isUniform(at) ? bitmap | UNIFORM : bitmap;
    let to = place;
    for (let i = 0; i < FAN; i++) if ((bitmap >>> i & 1) !== 0) words[++to] = scratch[at + i];
    return ~place;
  }

  /** Whether all of the unpacked words takes one route. */
  #isUniform(at: number): boolean {
    const scratch = this.#scratch;
    const first = this.#leafOfAll(scratch[at]);
    if (first < 0) return false;
    for (let i = at + 1; i < at + FAN; i++) {
      if (scratch[i] === scratch[i - 1]) continue;
      const leaf = this.#leafOfAll(scratch[i]);
      if (leaf < 0 || leafId(leaf) !== leafId(first)) return false;
    }
    return true;
  }

  #alloc(size: number): number {
    this.#used += size;
    const free = this.#free[size];
    if (free >= 0) {
      this.#free[size] = this.#words[free];
      return free;
    }
    const place = this.#top;
    this.#top += size;
    if (this.#top > this.#words.length) {
      const more = new Int32Array(this.#words.length * 2);
      more.set(this.#words);
      this.#words = more;
    }
    return place;
  }

  #release(place: number): void {
    const size = popcount16(this.#words[place] & (UNIFORM - 1)) + 1;
    this.#used -= size;
    this.#words[place] = this.#free[size];
    this.#free[size] = place;
  }
}
