/**
 * The socket buffer: one structure that carries a packet through every layer. Linux: struct sk_buff,
 * include/linux/skbuff.h, net/core/skbuff.c.
 *
 * ```text
 *   slab ────────────────────────────────────────────────────────────────────────────
 *        head            data                        tail                  end
 *         │◄── headroom ──►│◄──────── linear ──────────►│◄──── tailroom ────►│
 *         │                │ eth │ ip │ udp │ payload   │                    │
 *         │                                                                  │
 *         │  push(n): data -= n      (a header is added on the way down)     │
 *         │  pull(n): data += n      (a header is stripped on the way up)    │
 *         └── put(n):  tail += n, trim(n): tail moves back ──────────────────┘
 *
 *   frags[0..nrFrags)   payload by reference: { slab, page, offset, size }; never moved, only counted
 *   fragList            further buffers of one datagram, linked by `next` (reassembly)
 *
 *   len = linear + frags + fragList          dataLen = frags + fragList
 * ```
 *
 * All positions are integers into the slab of the head: no view is made per layer. The network and transport headers
 * are *positions*, recorded as the packet passes.
 *
 * Ownership: an skb has exactly one owner. Each function that takes one says "Takes ownership of `skb`.", "Borrows
 * `skb`." or "Takes ownership of `skb` unless it returns X.". Exactly one of free, forward or queue follows.
 *
 * A `clone()` shares head and payload (Linux: skb_clone()); a `pskbCopy()` shares the payload and has its own head, so
 * that pushing headers never touches shared bytes. Payload may be written only while its slot has one reference.
 */
import type { Slab } from "./page_pool.ts";
import type { NetDevice } from "./net_device.ts";
import type { SkbPool } from "./skb_pool.ts";
import { cowHead, linearize, pskbCopy, pullTail, skbClone, skbCopy, trimFrags } from "./skb_copy.ts";

/** Linux: MAX_SKB_FRAGS. */
export const MAX_SKB_FRAGS = 17;
/** Room that transmit reserves in front of the payload: Ethernet, a VLAN tag, and the largest IP and TCP headers. */
export const NET_SKB_PAD = 128;
/** Words of the control block, as many as Linux's 48 bytes hold. */
export const SKB_CB_WORDS = 12;

/** Nobody has verified a checksum (receive), or it is complete in the packet (transmit). */
export const CHECKSUM_NONE = 0;
/** The device or a former layer verified it. */
export const CHECKSUM_UNNECESSARY = 1;
/** The device gave the sum over the whole packet in `csum`. */
export const CHECKSUM_COMPLETE = 2;
/** The pseudo header sum stands in the field; from `csumStart` on is still to be summed into `csumOffset`. */
export const CHECKSUM_PARTIAL = 3;

/** To us. Linux: PACKET_HOST and the following, include/uapi/linux/if_packet.h. */
export const PACKET_HOST = 0;
/** To all. */
export const PACKET_BROADCAST = 1;
/** To a group. */
export const PACKET_MULTICAST = 2;
/** To someone else. */
export const PACKET_OTHERHOST = 3;
/** Sent by us, seen by a tap. */
export const PACKET_OUTGOING = 4;
/** Looped back by the loopback device. */
export const PACKET_LOOPBACK = 5;

/** One piece of payload by reference. Linux: skb_frag_t. */
export class SkbFrag {
  /** The slab in which the bytes lie. */
  declare slab: Slab;
  /** Offset of the slot that is referenced. */
  page = 0;
  /** First byte. */
  offset = 0;
  /** Bytes. */
  size = 0;
  /** An empty frag; made once per place and reused. */
  constructor(slab: Slab) {
    this.slab = slab;
  }
}

/** What the layers below see of the socket that sends or holds a packet; `sock` fills it, in one shape. Linux: skb->sk. */
export interface SkbOwner {
  /** Called when a transmitted skb is freed: its truesize leaves the send buffer. Linux: sock_wfree(). */
  wfree(truesize: number): void;
  /** Called when a received skb is freed: its truesize leaves the receive buffer. Linux: sock_rfree(). */
  rfree(truesize: number): void;
  /** Reports an asynchronous error to the sender, an errno. */
  error(errno: number): void;
  /** SO_MARK. */
  mark: number;
  /** SO_PRIORITY. */
  priority: number;
  /** Transmit queue of its packets, so that they keep their order; -1: none yet. Linux: sk_tx_queue_mapping. */
  txQueue: number;
  /** Port of its peer: all its packets are of one flow. None or 0: it is not connected. */
  readonly dport?: number;
}

/** `skb.destructor`: nobody to tell. */
export const DESTRUCTOR_NONE = 0;
/** `skb.destructor`: {@linkcode SkbOwner.wfree}. */
export const DESTRUCTOR_WFREE = 1;
/** `skb.destructor`: {@linkcode SkbOwner.rfree}. */
export const DESTRUCTOR_RFREE = 2;
// What a module exports is loaded at each use, by itself too; a constant of its own is not.
const [NONE, WFREE, RFREE] = [DESTRUCTOR_NONE, DESTRUCTOR_WFREE, DESTRUCTOR_RFREE];

/** A route attached to a packet. Its fields belong to `fib`; core only carries it. Linux: struct dst_entry. */
export interface SkbDst {
  /** Ends the use of a cached route that is no longer valid. */
  obsolete: boolean;
}

/** One packet. Made by {@linkcode SkbPool} only; pooled, of one hidden class. */
export class SkBuff {
  /** Link of queues and of fragment lists. */
  next: SkBuff | null = null;
  /** The pool that it goes back to. */
  declare readonly pool: SkbPool;
  /** Stamped at allocation; kept by clones, copies, fragments, segments and the wire: one packet, one journey. */
  id = 0;
  /** The id of the packet that was being processed when this one was made, or 0. */
  cause = 0;
  /** 1 while allocated, 0 in the pool: finds double frees. */
  live = 0;

  /** The slab of the head. */
  declare slab: Slab;
  /** Its DataView. */
  declare view: DataView<ArrayBuffer>;
  /** Its bytes. */
  declare bytes: Uint8Array<ArrayBuffer>;
  /** First byte of the head's slot. */
  head = 0;
  /** First byte of the packet as the current layer sees it. */
  data = 0;
  /** One past the last linear byte. */
  tail = 0;
  /** One past the last byte of the slot. */
  end = 0;
  /** Bytes in all. */
  len = 0;
  /** Bytes that are not linear. */
  dataLen = 0;
  /** Frags in use. */
  nrFrags = 0;
  /** The frags; entries past {@linkcode nrFrags} are spare. */
  readonly frags: SkbFrag[] = [];
  /** Further parts of one datagram. */
  fragList: SkBuff | null = null;

  /** Position of the link header, -1 if unset. */
  macHeader: number = -1;
  /** Position of the network header. */
  networkHeader: number = -1;
  /** Position of the transport header. */
  transportHeader: number = -1;
  /** Length of the link header in bytes. */
  macLen = 0;

  /** The device it came from, or leaves by. */
  dev: NetDevice | null = null;
  /** ifindex of the device on which it came in, 0 for our own. */
  skbIif = 0;
  /** EtherType in host order. */
  protocol = 0;
  /** PACKET_HOST and so on. */
  pktType: number = PACKET_HOST;
  /** CHECKSUM_NONE and so on. */
  ipSummed: number = CHECKSUM_NONE;
  /** Sum over the packet (COMPLETE). */
  csum = 0;
  /** Where summing starts (PARTIAL), a position in the slab of the head. */
  csumStart = 0;
  /** Where the field is, relative to csumStart. */
  csumOffset = 0;
  /** Payload bytes per segment; 0: not a super-packet. */
  gsoSize = 0;
  /** Segments of a super-packet. */
  gsoSegs = 0;
  /** SKB_GSO_* bits. */
  gsoType = 0;
  /** Flow hash, 0: not computed. */
  hash = 0;
  /** Transmit queue; of a received packet the receive queue + 1, 0: not known. Linux: skb_record_rx_queue(). */
  queueMapping = 0;
  /** Band of pfifo_fast and the like. */
  priority = 0;
  /** Firewall mark. */
  mark = 0;
  /** Arrival in ns of the machine's clock, 0: not stamped. */
  tstamp = 0;
  /** Bytes that it costs, as Linux accounts for them. */
  truesize = 0;
  /** The head is shared with a clone. */
  cloned = false;
  /** May be sent although it is larger than the MTU (Linux: ignore_df). */
  ignoreDf = false;
  /** Free for plugins' flags. */
  flags = 0;

  /** The socket that is told when it is freed. */
  owner: SkbOwner | null = null;
  /** What it is told. */
  destructor: number = DESTRUCTOR_NONE;
  /** The route. */
  dst: SkbDst | null = null;
  /** Control block of the layer that owns it now; words are claimed by name at the machine. */
  readonly cb: Int32Array = new Int32Array(SKB_CB_WORDS);
  /** The same memory two words at a time, for {@linkcode SkbPool} to clear. */
  readonly cbPairs: Float64Array = new Float64Array(this.cb.buffer);
  /** Who allocated it: for the leak report. */
  site = "";
  /** The last hook or qdisc that held it: for the leak report. */
  holder = "";

  /** Used by {@linkcode SkbPool} alone. */
  constructor(pool: SkbPool, slab: Slab) {
    this.pool = pool;
    this.slab = slab;
    this.view = slab.view;
    this.bytes = slab.bytes;
  }

  /** Linear bytes. Linux: skb_headlen(). */
  get headlen(): number {
    return this.tail - this.data;
  }

  /** Room in front of `data`. Linux: skb_headroom(). */
  get headroom(): number {
    return this.data - this.head;
  }

  /** Room behind `tail`. Linux: skb_tailroom(). */
  get tailroom(): number {
    return this.end - this.tail;
  }

  /** Moves `data` and `tail` of an empty buffer up. Linux: skb_reserve(). */
  reserve(n: number): void {
    this.data += n;
    this.tail += n;
  }

  /** Appends `n` linear bytes; returns the position of the first. The caller knows that there is tailroom. */
  put(n: number): number {
    const at = this.tail;
    this.tail += n;
    this.len += n;
    if (this.tail > this.end) this.pool.overrun(this);
    return at;
  }

  /** Adds `n` bytes in front; returns the new `data`. The caller knows that there is headroom, see {@linkcode cowHead}. */
  push(n: number): number {
    this.data -= n;
    this.len += n;
    if (this.data < this.head) this.pool.overrun(this);
    return this.data;
  }

  /** Strips `n` linear bytes in front; returns the new `data`. The caller has checked {@linkcode mayPull}. */
  pull(n: number): number {
    this.data += n;
    this.len -= n;
    if (this.data > this.tail) this.pool.overrun(this);
    return this.data;
  }

  /** Whether `n` bytes are linear; pulls them into the head when they are in frags. Linux: pskb_may_pull(). */
  mayPull(n: number): boolean {
    if (n <= this.tail - this.data) return true;
    if (n > this.len) return false;
    return pullTail(this, n - (this.tail - this.data));
  }

  /** Cuts the packet to `n` bytes. Linux: pskb_trim(). */
  trim(n: number): void {
    if (n >= this.len) return;
    if (this.dataLen === 0) {
      this.tail = this.data + n;
      this.len = n;
    } else trimFrags(this, n);
  }

  /** Appends payload by reference; the caller's reference on `page` becomes the frag's. Linux: skb_add_rx_frag(). */
  addFrag(slab: Slab, page: number, offset: number, size: number): void {
    const n = this.nrFrags++;
    if (n === this.frags.length) this.frags.push(new SkbFrag(slab));
    const frag = this.frags[n];
    frag.slab = slab;
    frag.page = page;
    frag.offset = offset;
    frag.size = size;
    this.len += size;
    this.dataLen += size;
  }

  /** New metadata over the same bytes; nothing is copied. Linux: skb_clone(). Null: no memory. */
  clone(): SkBuff | null {
    return skbClone(this);
  }

  /** A packet with its own head and shared payload: the linear bytes are copied. Linux: pskb_copy(). Null: no memory. */
  pskbCopy(): SkBuff | null {
    return pskbCopy(this);
  }

  /** A private copy of all bytes, linear up to 32,768 bytes. Linux: skb_copy(). Null: no memory. */
  copy(): SkBuff | null {
    return skbCopy(this);
  }

  /** Makes all bytes linear. False: no memory, the packet is unchanged. Linux: skb_linearize(). */
  linearize(): boolean {
    return this.dataLen === 0 || linearize(this);
  }

  /** Makes the head private and at least `room` bytes free in front. False: no memory. Linux: skb_cow_head(). */
  cowHead(room: number): boolean {
    if (!this.cloned && this.data - this.head >= room) return true;
    return cowHead(this, room);
  }

  /** Marks where the link header is: here. */
  resetMacHeader(): void {
    this.macHeader = this.data;
  }

  /** Marks where the network header is: here. */
  resetNetworkHeader(): void {
    this.networkHeader = this.data;
  }

  /** Marks where the transport header is: here. */
  resetTransportHeader(): void {
    this.transportHeader = this.data;
  }

  /** Tells the owner that it is gone from there, and forgets it. Linux: skb_orphan(). */
  orphan(): void {
    const owner = this.owner;
    if (owner === null) return;
    const kind = this.destructor;
    this.owner = null;
    this.destructor = NONE;
    if (kind === WFREE) owner.wfree(this.truesize);
    else if (kind === RFREE) owner.rfree(this.truesize);
  }

  /** Ends its life without a drop: it was delivered or sent. Linux: consume_skb(). */
  consume(): void {
    this.pool.consume(this);
  }
}

/** A queue of skbs linked by `next`. Linux: struct sk_buff_head. */
export class SkbQueue {
  /** First in, first out. */
  head: SkBuff | null = null;
  /** Last in. */
  tail: SkBuff | null = null;
  /** How many. */
  qlen = 0;

  /** Appends. Takes ownership of `skb`. */
  enqueue(skb: SkBuff): void {
    skb.next = null;
    if (this.tail === null) this.head = skb;
    else this.tail.next = skb;
    this.tail = skb;
    this.qlen++;
  }

  /** Puts it in front again. Takes ownership of `skb`. */
  requeue(skb: SkBuff): void {
    skb.next = this.head;
    if (this.head === null) this.tail = skb;
    this.head = skb;
    this.qlen++;
  }

  /** Gives the first, which the caller then owns, or null. */
  dequeue(): SkBuff | null {
    const skb = this.head;
    if (skb === null) return null;
    this.head = skb.next;
    if (this.head === null) this.tail = null;
    skb.next = null;
    this.qlen--;
    return skb;
  }

  /** Frees all; returns how many. Linux: skb_queue_purge(). */
  purge(): number {
    let n = 0;
    for (let skb = this.dequeue(); skb !== null; skb = this.dequeue(), n++) skb.consume();
    return n;
  }
}
