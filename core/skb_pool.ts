/**
 * Allocation and freeing of {@linkcode SkBuff}. Linux: net/core/skbuff.c, mm/slub.c's debugging.
 *
 * SkBuff objects are pooled like the slots behind them: at steady state nothing is allocated from the host. With
 * `debug` on, every live skb is tracked, so that a leak names its allocation site and its last holder; freed ones are
 * not used again and their memory is poisoned, so that every double free and every use after free shows.
 */
import { type CopyLedger, EventBus } from "./event_bus.ts";
import * as eventBus from "./event_bus.ts";
import type { PagePool, Slab } from "./page_pool.ts";
import * as pagePool from "./page_pool.ts";
import { SkBuff } from "./sk_buff.ts";
import * as skBuff from "./sk_buff.ts";
import * as skbCopyModule from "./skb_copy.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { copyBits, cowHead, linearize, pskbCopy, pullTail, skbClone, skbCopy, skbPadTo, trimFrags } = skbCopyModule;
const { G_SKB, TP_CONSUME_SKB } = eventBus;
const { SLOT_BUFFER, SLOT_LARGE, SLOT_SIZE, slotClass } = pagePool;
const { DESTRUCTOR_NONE, MAX_SKB_FRAGS, SKB_CB_WORDS } = skBuff;

/** SKB_DATA_ALIGN(sizeof(struct sk_buff)) on x86-64. */
const SIZEOF_SK_BUFF = 256;
/** SKB_DATA_ALIGN(sizeof(struct skb_shared_info)) on x86-64. */
const SIZEOF_SHINFO = 320;
/** SKB_SMALL_HEAD_CACHE_SIZE: the smallest head that Linux allocates. */
const SMALL_HEAD = 704;
/** What debug writes into freed memory. Linux: POISON_FREE. */
const POISON = 0x6b;
/** Where the positions of a freed skb point in debug: no view reaches there. */
const NOWHERE = -0x1000000;

/** Linux's SKB_TRUESIZE of a head for `size` bytes: what the allocator would really take. */
export function skbTruesize(size: number): number {
  const need = ((size + 63) & ~63) + SIZEOF_SHINFO;
  let bucket = SMALL_HEAD;
  if (need > SMALL_HEAD) { for (bucket = 1024; bucket < need;) bucket <<= 1; }
  return bucket + SIZEOF_SK_BUFF;
}

/** A defect in the handling of packets, as the debug pool found it. */
export interface SkbFault {
  /**
   * What happened: never freed; freed again; `push`, `put` or `pull` past the ends of the buffer; a slot of memory
   * given back more often than taken.
   */
  kind: "leak" | "double free" | "overrun" | "underflow";
  /** `skb.id`; 0 for an underflow. */
  id: number;
  /** Who allocated it: `machine.skbs.site` if that was set, else the function and its place. */
  site: string;
  /** The last hook or queue that held it, or "". */
  holder: string;
  /** Where the defect was noticed; "" for a leak. */
  at: string;
}

/** Makes and frees skbs. One per machine. */
export class SkbPool {
  /** The memory below. */
  declare readonly pages: PagePool;
  /** Counts the copies. */
  declare readonly ledger: CopyLedger;
  /** Hears of packets that end well. */
  declare readonly bus: EventBus;
  /** Track every allocation. Set it before the first one. */
  declare debug: boolean;
  /** skbs that live now. */
  live: number = 0;
  /** Double frees so far; they are ignored, as freeing again would corrupt the pool. */
  doubleFrees: number = 0;
  /** The id being processed on the current CPU: becomes the `cause` of new packets. */
  currentId: number = 0;
  /** Who allocates, for the leak report; "": the debug pool finds out by itself. */
  site: string = "";
  /** Of so many allocations the debug pool finds it out, then of one in 64: it takes 3 us. Infinity: of all. */
  sites: number = 2_000;
  /** Ledger's site: linear bytes of a `pskbCopy()`, which are headers where payload is kept in frags. */
  declare readonly siteHead: number;
  /** Ledger's site: linear bytes that move to a new head. */
  declare readonly siteExpand: number;
  /** Ledger's site: a full copy. */
  declare readonly siteCopy: number;
  /** Ledger's site: bytes pulled into the linear part. */
  declare readonly sitePull: number;
  /** Ledger's site: all bytes made linear. */
  declare readonly siteLinearize: number;
  /** Freed objects, the first {@linkcode #spares} of it: an array that is popped would be cut and grown again and again. */
  readonly #spare: SkBuff[] = [];
  #spares = 0;
  readonly #tracked: Set<SkBuff> = new Set();
  readonly #born: WeakMap<SkBuff, Error> = new WeakMap();
  readonly #faults: SkbFault[] = [];
  readonly #cb: Map<string, number> = new Map();
  #cbUsed = 0;
  #nextId = 1;
  #tracks = 0;

  /** Makes an empty pool over `pages`. */
  constructor(pages: PagePool, ledger: CopyLedger, debug: boolean = false, bus: EventBus = new EventBus()) {
    this.pages = pages;
    this.ledger = ledger;
    this.debug = debug;
    this.bus = bus;
    this.siteHead = ledger.site("pskb_copy_head", "header");
    this.siteExpand = ledger.site("pskb_expand_head", "cpu");
    this.siteCopy = ledger.site("skb_copy", "cpu");
    this.sitePull = ledger.site("pskb_pull_tail", "cpu");
    this.siteLinearize = ledger.site("skb_linearize", "cpu");
  }

  /** See {@linkcode Machine.claimCb}. */
  claimCb(name: string, words: number): number {
    const known = this.#cb.get(name);
    if (known !== undefined) return known;
    const at = this.#cbUsed;
    if (at + words > SKB_CB_WORDS) {
      const left = `${SKB_CB_WORDS - at} of ${SKB_CB_WORDS}`;
      throw new RangeError(`Cannot claim ${words} words of skb.cb for ${name}: ${left} are left`);
    }
    this.#cbUsed += words;
    this.#cb.set(name, at);
    return at;
  }

  /**
   * An empty skb whose head has room for `size` bytes, headroom included, with `data` at its start. At most 32,768
   * bytes. It costs its owner `truesize` bytes. Null: no memory. Linux: alloc_skb().
   */
  alloc(size: number, truesize: number = skbTruesize(size)): SkBuff | null {
    const cls = slotClass(size);
    if (cls < 0) return null;
    const page = this.pages.alloc(cls);
    if (page < 0) return null;
    const skb = this.build(this.pages.slab, page, SLOT_SIZE[cls]);
    skb.truesize = truesize;
    return skb;
  }

  /**
   * An skb around a buffer that a device filled; its reference becomes the head's. `data` is at `page`; the caller
   * reserves and puts. Linux: build_skb().
   */
  build(slab: Slab, page: number, size: number): SkBuff {
    const skb = this.#spares > 0 ? this.#spare[--this.#spares] : this.#more(slab);
    if (skb.slab !== slab) moveTo(skb, slab);
    skb.head = page;
    skb.data = page;
    skb.tail = page;
    skb.end = page + size;
    skb.live = 1;
    const id = this.#nextId;
    skb.id = id;
    this.#nextId = id === 0x3fffffff ? 1 : id + 1;
    skb.cause = this.currentId;
    skb.truesize = size + SIZEOF_SK_BUFF;
    this.live++;
    if (this.debug) this.#track(skb);
    return skb;
  }

  /** In a function of its own, the constructor takes no room from what V8 inlines into {@linkcode build}. */
  #more(slab: Slab): SkBuff {
    return new SkBuff(this, slab);
  }

  /**
   * Payload room behind what is there, as one frag of up to 32,768 bytes. Returns the bytes that were added to
   * `skb.len`, or 0: no memory or no frag left. The bytes are not written yet; `truesize` grows, so charge the owner
   * afterwards. Borrows `skb`.
   */
  addPage(skb: SkBuff, size: number): number {
    if (skb.nrFrags >= MAX_SKB_FRAGS) return 0;
    const cls = size <= SLOT_SIZE[SLOT_BUFFER] ? SLOT_BUFFER : SLOT_LARGE;
    const page = this.pages.alloc(cls);
    if (page < 0) return 0;
    const n = Math.min(size, SLOT_SIZE[cls]);
    skb.addFrag(this.pages.slab, page, page, n);
    skb.truesize += SLOT_SIZE[cls];
    return n;
  }

  /** It was delivered or sent: traces and frees. Linux: consume_skb(). Takes ownership of `skb`. */
  consume(skb: SkBuff): void {
    if ((this.bus.mask & G_SKB) !== 0) this.bus.hit(TP_CONSUME_SKB, skb, skb.len, 0, skb.dev);
    this.free(skb);
  }

  /** Returns all of it: frags, fragment list, head and object; tells the owner. Takes ownership of `skb`. */
  free(skb: SkBuff): void {
    if (skb.live === 0) {
      this.doubleFrees++;
      if (this.debug) this.#fault("double free", skb);
      return;
    }
    if (skb.owner !== null) skb.orphan();
    if (skb.dataLen !== 0 || skb.nrFrags !== 0) {
      this.releaseTail(skb);
      skb.dataLen = 0;
    }
    this.releaseHead(skb);
    this.live--;
    reset(skb);
    if (this.debug) {
      this.#tracked.delete(skb);
      skb.head =
        skb.data =
        skb.tail =
        skb.end =
          NOWHERE;
    } else this.#spare[this.#spares++] = skb;
  }

  /** Gives the head's slot back. Used by the functions that replace it. Borrows `skb`. */
  releaseHead(skb: SkBuff): void {
    if (this.debug && skb.slab.refCount(skb.head) === 1) skb.bytes.fill(POISON, skb.head, skb.end);
    skb.slab.put(skb.head);
  }

  /** Gives frags and fragment list back; the lengths are the caller's business. Borrows `skb`. */
  releaseTail(skb: SkBuff): void {
    for (let i = 0; i < skb.nrFrags; i++) {
      const frag = skb.frags[i];
      if (this.debug && frag.slab.refCount(frag.page) === 1) {
        frag.slab.bytes.fill(POISON, frag.page, frag.page + SLOT_SIZE[frag.slab.cls[frag.page >>> 9]]);
      }
      frag.slab.put(frag.page);
    }
    skb.nrFrags = 0;
    let part = skb.fragList;
    skb.fragList = null;
    while (part !== null) {
      const next: SkBuff | null = part.next;
      part.next = null;
      this.free(part);
      part = next;
    }
  }

  /** See {@linkcode SkBuff.clone}. Borrows `skb`. */
  clone(skb: SkBuff): SkBuff | null {
    return skbClone(skb);
  }

  /** See {@linkcode SkBuff.pskbCopy}. Borrows `skb`. */
  pskbCopy(skb: SkBuff): SkBuff | null {
    return pskbCopy(skb);
  }

  /** See {@linkcode SkBuff.copy}. Borrows `skb`. */
  copy(skb: SkBuff): SkBuff | null {
    return skbCopy(skb);
  }

  /** Copies `len` bytes from offset `from` of the packet into a slab. Linux: skb_copy_bits(). Borrows `skb`. */
  copyBits(skb: SkBuff, from: number, to: Slab, dst: number, len: number, site: number): void {
    copyBits(skb, from, to, dst, len, site);
  }

  /** Moves `n` more bytes into the linear part. False: no memory. Linux: __pskb_pull_tail(). Borrows `skb`. */
  pullTail(skb: SkBuff, n: number): boolean {
    return pullTail(skb, n);
  }

  /** Cuts a packet with frags. Linux: ___pskb_trim(). Borrows `skb`. */
  trimFrags(skb: SkBuff, n: number): void {
    trimFrags(skb, n);
  }

  /** See {@linkcode SkBuff.linearize}. Borrows `skb`. */
  linearize(skb: SkBuff): boolean {
    return linearize(skb);
  }

  /** See {@linkcode skbPadTo}. Borrows `skb`. */
  padTo(skb: SkBuff, len: number): boolean {
    return skbPadTo(skb, len);
  }

  /** See {@linkcode SkBuff.cowHead}. Borrows `skb`. */
  cowHead(skb: SkBuff, room: number): boolean {
    return cowHead(skb, room);
  }

  /** Used by {@linkcode SkBuff} when a position left the buffer. Borrows `skb`. Linux: skb_over_panic(). */
  overrun(skb: SkBuff): void {
    if (this.debug) this.#fault("overrun", skb);
  }

  /** Defects since the last call; live skbs count as leaks. Debug only. */
  faults(): SkbFault[] {
    const out = this.#faults.splice(0);
    for (const slab of this.pages.slabs) {
      for (; slab.underflows > 0; slab.underflows--) {
        out.push({ kind: "underflow", id: 0, site: "", holder: "", at: "" });
      }
    }
    for (const skb of this.#tracked) {
      out.push({ kind: "leak", id: skb.id, site: this.#siteOf(skb), holder: skb.holder, at: "" });
    }
    return out;
  }

  /** The skbs that live now. Debug only: empty otherwise. */
  tracked(): IterableIterator<SkBuff> {
    return this.#tracked.values();
  }

  #track(skb: SkBuff): void {
    skb.site = this.site;
    skb.holder = "";
    this.#tracked.add(skb);
    const nth = this.#tracks++;
    if (nth < this.sites || (nth & 63) === 0) this.#born.set(skb, new Error());
  }

  #siteOf(skb: SkBuff): string {
    if (skb.site !== "") return skb.site;
    const born = this.#born.get(skb);
    return born === undefined ? "not noted: set machine.skbs.sites to Infinity" : caller(born);
  }

  #fault(kind: SkbFault["kind"], skb: SkBuff): void {
    this.#faults.push({ kind, id: skb.id, site: this.#siteOf(skb), holder: skb.holder, at: caller(new Error()) });
  }
}

/** `udpSendmsg (udp/output.ts:55)`: the innermost function outside the handling of memory. Linux: _RET_IP_. */
function caller(error: Error): string {
  for (const line of (error.stack ?? "").split("\n").slice(1)) {
    const m = /^\s*at (?:(?:new |async )?(\S+) (?:\[as \S+\] )?\()?(?:\w+:\/\/)?(\S+?):(\d+):\d+\)?$/.exec(line);
    if (m === null || /\/core\/(skb_pool|skb_copy|sk_buff)\.ts$/.test(m[2])) continue;
    return `${m[1] ?? "?"} (${m[2].split("/").slice(-2).join("/")}:${m[3]})`;
  }
  return "";
}

function moveTo(skb: SkBuff, slab: Slab): void {
  skb.slab = slab;
  skb.view = slab.view;
  skb.bytes = slab.bytes;
}

function reset(skb: SkBuff): void {
  skb.live = 0;
  skb.next = null;
  skb.len = 0;
  skb.macHeader = -1;
  skb.networkHeader = -1;
  skb.transportHeader = -1;
  skb.macLen = 0;
  skb.dev = null;
  skb.skbIif = 0;
  skb.protocol = 0;
  skb.pktType = 0;
  skb.ipSummed = 0;
  skb.csum = 0;
  skb.csumStart = 0;
  skb.csumOffset = 0;
  skb.gsoSize = 0;
  skb.gsoSegs = 0;
  skb.gsoType = 0;
  skb.hash = 0;
  skb.queueMapping = 0;
  skb.priority = 0;
  skb.mark = 0;
  skb.tstamp = 0;
  skb.cloned = false;
  skb.ignoreDf = false;
  skb.flags = 0;
  skb.destructor = DESTRUCTOR_NONE;
  skb.dst = null;
  const words = skb.cbPairs;
  words[0] = 0;
  words[1] = 0;
  words[2] = 0;
  words[3] = 0;
  words[4] = 0;
  words[5] = 0;
}
