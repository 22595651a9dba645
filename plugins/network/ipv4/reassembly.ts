/**
 * Reassembly. RFC 791 section 3.2, RFC 815, RFC 1858, RFC 3168 section 5.3, RFC 5722 (whose rule for overlaps Linux
 * keeps for IPv4 too). Linux: net/ipv4/ip_fragment.c, inet_fragment.c.
 *
 * What an attacker can make of it is bounded: bytes by ipfrag_high_thresh, time by ipfrag_time, work by the tree, reach
 * by ipfrag_max_dist; which queues share a bucket is decided by a secret. The result is the first fragment with the
 * others on its `fragList`: not a byte is copied.
 *
 * @module
 */
import { CHECKSUM_NONE, DROP, G_IP, type SkBuff, Timer } from "../../../core/mod.ts";
import { hsiphash3 } from "../inet/contract.ts";
import { type Dst, RTN_LOCAL } from "../fib/contract.ts";
import { IP_DEFRAG_LOCAL_DELIVER, IPSKB_FRAG_COMPLETE, IPSKB_FRAG_PMTU } from "./contract.ts";
import {
  IP_DF,
  IP_MAX_MTU,
  IP_MF,
  IP_OFFSET,
  IPH_DADDR,
  IPH_FRAG_OFF,
  IPH_ID,
  IPH_PROTOCOL,
  IPH_SADDR,
  IPH_TOS,
  IPH_TOT_LEN,
  ipSendCheck,
} from "./header.ts";
import { FRAG_DUP, FRAG_OK, FRAG_OVERLAP, FragRunPool, FragTree } from "./frag_tree.ts";
import { ipcbClear, type Ipv4State } from "./state.ts";

const BUCKETS = 1024;
/** What Linux accounts for a queue itself: sizeof(struct ipq) on x86-64. */
const SIZEOF_IPQ = 216;
const FIRST_IN = 1;
const LAST_IN = 2;
const ICMP_TIME_EXCEEDED = 11;
const ICMP_EXC_FRAGTIME = 1;
/** No result of RFC 3168's table: the datagram is dropped. */
const ECN_DROP = 0xff;

/** The fragments of one datagram that is not whole yet. Pooled. Linux: struct ipq. */
export class FragQueue {
  /** Source, int32. */
  saddr = 0;
  /** Destination, int32. */
  daddr = 0;
  /** Identification, protocol and user: the rest of the key. */
  idProtoUser = 0;
  /** Bucket. */
  bucket = 0;
  /** Next in the bucket; next spare one in the pool. */
  next: FragQueue | null = null;
  /** Its fragments. */
  readonly tree: FragTree = new FragTree();
  /** FIRST_IN, LAST_IN. */
  flags = 0;
  /** Payload bytes as far as is known. */
  len = 0;
  /** Payload bytes that are here. */
  meat = 0;
  /** Fragments that are here. */
  count = 0;
  /** Bytes by truesize. */
  mem = 0;
  /** ECN fields seen, a bit each. */
  ecn = 0;
  /** Largest fragment, header included. */
  maxSize = 0;
  /** Largest fragment with DF. */
  maxDfSize = 0;
  /** ifindex by which the last fragment came. */
  iif = 0;
  /** Fragments that its source had sent when the last one of these came. */
  rid = 0;
  /** Gives up after ipfrag_time. */
  declare readonly timer: Timer;

  /** An idle queue whose timer calls `expire`. */
  constructor(expire: (queue: FragQueue) => void) {
    this.timer = new Timer(() => expire(this));
  }
}

/** All queues of a net. Linux: struct fqdir. */
export class FragTable {
  /** Buckets under a keyed hash. */
  readonly buckets: (FragQueue | null)[] = new Array<FragQueue | null>(BUCKETS).fill(null);
  /** Bytes held, by truesize. */
  mem = 0;
  /** Queues. */
  queues = 0;
  /** Runs and the steps of all insertions. */
  declare readonly runs: FragRunPool;
  readonly #k0: number = 0;
  readonly #k1: number = 0;
  readonly #expire: (queue: FragQueue) => void;
  #spare: FragQueue | null = null;

  /** An empty table. */
  constructor(random: () => number, expire: (queue: FragQueue) => void) {
    this.runs = new FragRunPool(random);
    this.#k0 = random();
    this.#k1 = random();
    this.#expire = expire;
  }

  /** The queue of a key, or null; `make` makes it. */
  find(saddr: number, daddr: number, idProtoUser: number, make: boolean): FragQueue | null {
    const bucket = hsiphash3(saddr, daddr, idProtoUser, this.#k0, this.#k1) & (BUCKETS - 1);
    let q = this.buckets[bucket];
    while (q !== null) {
      if (q.idProtoUser === idProtoUser && q.saddr === saddr && q.daddr === daddr) return q;
      q = q.next;
    }
    return make ? this.#add(saddr, daddr, idProtoUser, bucket) : null;
  }

  #add(saddr: number, daddr: number, idProtoUser: number, bucket: number): FragQueue {
    const q = this.#spare ?? new FragQueue(this.#expire);
    this.#spare = q.next;
    q.saddr = saddr;
    q.daddr = daddr;
    q.idProtoUser = idProtoUser;
    q.bucket = bucket;
    q.next = this.buckets[bucket];
    this.buckets[bucket] = q;
    q.iif = q.rid = 0;
    this.reset(q);
    q.mem = SIZEOF_IPQ;
    this.mem += SIZEOF_IPQ;
    this.queues++;
    return q;
  }

  /** Forgets what a queue knew of its fragments, which are gone. */
  reset(q: FragQueue): void {
    q.flags =
      q.len =
      q.meat =
      q.count =
      q.ecn =
      q.maxSize =
      q.maxDfSize =
        0;
  }

  /** Takes a queue out of the table and gives its fragments, in order, to the caller. */
  remove(q: FragQueue): SkBuff | null {
    if (this.buckets[q.bucket] === q) this.buckets[q.bucket] = q.next;
    else {
      let prev = this.buckets[q.bucket];
      while (prev !== null && prev.next !== q) prev = prev.next;
      if (prev !== null) prev.next = q.next;
    }
    const list = q.tree.takeAll(this.runs);
    this.mem -= q.mem;
    this.queues--;
    q.mem = 0;
    q.next = this.#spare;
    this.#spare = q;
    return list;
  }
}

/**
 * Adds a fragment to its datagram. Null: kept, or dropped and counted. Otherwise the whole datagram, `data` at its IP
 * header. Linux: ip_defrag(), net/ipv4/ip_fragment.c. Takes ownership of `skb`.
 */
export function ipDefrag(st: Ipv4State, skb: SkBuff, user: number): SkBuff | null {
  const view = skb.view;
  const iph = skb.networkHeader;
  const table = st.frags;
  st.mib.ip.ReasmReqds++;
  if (table.mem > st.conf.fragHighThresh) {
    st.mib.ip.ReasmFails++;
    st.net.drop(skb, DROP.FRAG_OOM);
    return null;
  }
  const rest = (view.getUint16(iph + IPH_ID) << 16) | (view.getUint8(iph + IPH_PROTOCOL) << 8) | (user & 0xff);
  const saddr = view.getInt32(iph + IPH_SADDR);
  const q = table.find(saddr, view.getInt32(iph + IPH_DADDR), rest, true) as FragQueue;
  if (!q.timer.pending) st.machine.modTimer(q.timer, st.conf.fragTimeout);
  if ((skb.cb[st.cbFlags] & IPSKB_FRAG_COMPLETE) === 0 && tooFar(st, q, saddr)) reinit(st, q);
  return ipFragQueue(st, q, skb);
}

/**
 * Whether too many other fragments of the same source came since the last of this datagram: its id may have been used
 * again. Linux: ip_frag_too_far(), net/ipv4/ip_fragment.c.
 */
function tooFar(st: Ipv4State, q: FragQueue, saddr: number): boolean {
  const max = st.conf.fragMaxDist;
  if (max === 0) return false;
  const peer = st.peers.get(saddr, st.machine.jiffies);
  const start = q.rid;
  const end = (st.peers.rid[peer] + 1) | 0;
  st.peers.rid[peer] = end;
  q.rid = end;
  if (q.tree.last === null || ((end - start) | 0) <= max) return false;
  st.mib.ip.ReasmFails++;
  return true;
}

/** Begins anew with a queue. Linux: ip_frag_reinit(), net/ipv4/ip_fragment.c. */
function reinit(st: Ipv4State, q: FragQueue): void {
  st.machine.modTimer(q.timer, st.conf.fragTimeout);
  purge(st, q.tree.takeAll(st.frags.runs), DROP.FRAG_TOO_FAR);
  st.frags.mem -= q.mem - SIZEOF_IPQ;
  q.mem = SIZEOF_IPQ;
  st.frags.reset(q);
}

/** Drops a list of fragments. */
function purge(st: Ipv4State, list: SkBuff | null, reason: number): void {
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = null;
    st.net.drop(list, reason);
    list = next;
  }
}

/** The datagram will never be whole: all of it goes. */
function discard(st: Ipv4State, q: FragQueue, reason: number): void {
  st.machine.delTimer(q.timer);
  st.mib.ip.ReasmFails++;
  purge(st, st.frags.remove(q), reason);
}

/**
 * Checks a fragment against what is known of its datagram and files it. Linux: ip_frag_queue(),
 * net/ipv4/ip_fragment.c. Takes ownership of `skb`.
 */
function ipFragQueue(st: Ipv4State, q: FragQueue, skb: SkBuff): SkBuff | null {
  const view = skb.view;
  const iph = skb.networkHeader;
  const word = view.getUint16(iph + IPH_FRAG_OFF);
  const hlen = (view.getUint8(iph) & 15) << 2;
  const offset = (word & IP_OFFSET) << 3;
  const tos = view.getUint8(iph + IPH_TOS);
  const end = fragmentEnd(q, offset, offset + skb.len - (iph - skb.data) - hlen, (word & IP_MF) !== 0);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipDefrag, skb, offset, end - offset, q);
  if (end <= offset) return refuse(st, q, skb, true, st.fragCorrupt);
  skb.pull(iph + hlen - skb.data);
  if (skb.len > end - offset) {
    skb.trim(end - offset);
    skb.ipSummed = CHECKSUM_NONE;
  }
  const rc = q.tree.insert(st.frags.runs, skb, offset, end);
  if (rc !== FRAG_OK) {
    if (rc === FRAG_OVERLAP) st.mib.ipExt.ReasmOverlaps++;
    return refuse(st, q, skb, rc !== FRAG_DUP, DROP.DUP_FRAG);
  }
  account(st, q, skb, offset, hlen, tos, (word & IP_DF) !== 0);
  if (q.flags !== (FIRST_IN | LAST_IN) || q.meat !== q.len) {
    // The datagram takes the route of its last fragment; one that waits holds none, it may go stale.
    skb.dst = null;
    return null;
  }
  return ipFragReasm(st, q, skb.dst);
}

/** One past the last byte of a fragment, as this datagram takes it; at most `offset`: corrupt. */
function fragmentEnd(q: FragQueue, offset: number, end: number, more: boolean): number {
  if (!more) {
    if (end < q.len || ((q.flags & LAST_IN) !== 0 && end !== q.len)) return -1;
    q.flags |= LAST_IN;
    q.len = end;
    return end;
  }
  // All but the last hold a multiple of eight; what is over is not looked at (RFC 791).
  end &= ~7;
  if (end > q.len) {
    if ((q.flags & LAST_IN) !== 0) return -1;
    if (end > offset) q.len = end;
  }
  return end;
}

/** Drops a fragment, and its datagram with it if `kill`. Takes ownership of `skb`. */
function refuse(st: Ipv4State, q: FragQueue, skb: SkBuff, kill: boolean, reason: number): null {
  if (kill) discard(st, q, reason);
  st.net.drop(skb, reason);
  return null;
}

/** Borrows `skb`. */
function account(
  st: Ipv4State,
  q: FragQueue,
  skb: SkBuff,
  offset: number,
  hlen: number,
  tos: number,
  df: boolean,
): void {
  const size = skb.len + hlen;
  if (skb.dev !== null) q.iif = skb.dev.ifindex;
  q.meat += skb.len;
  q.count++;
  q.ecn |= 1 << (tos & 3);
  q.mem += skb.truesize;
  st.frags.mem += skb.truesize;
  if (offset === 0) q.flags |= FIRST_IN;
  if (size > q.maxSize) q.maxSize = size;
  if (df && size > q.maxDfSize) q.maxDfSize = size;
}

/**
 * The ECN field of a datagram from those of its fragments (RFC 3168, 5.3): CE wins over ECT, Not-ECT mixes with
 * nothing. Bits to OR into the first fragment's, or ECN_DROP. `seen`: bit 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
 * Linux: ip_frag_ecn_table[].
 */
function combineEcn(seen: number): number {
  if ((seen & 1) !== 0) return seen === 1 ? 0 : ECN_DROP;
  return (seen & 8) !== 0 && seen !== 8 ? 3 : 0;
}

/** Makes one datagram of the fragments. Linux: ip_frag_reasm(), net/ipv4/ip_fragment.c. */
function ipFragReasm(st: Ipv4State, q: FragQueue, dst: SkBuff["dst"]): SkBuff | null {
  const ecn = combineEcn(q.ecn);
  const len = q.len;
  const count = q.count;
  const maxSize = q.maxSize;
  const maxDfSize = q.maxDfSize;
  st.machine.delTimer(q.timer);
  const head = st.frags.remove(q) as SkBuff;
  const hlen = head.data - head.networkHeader;
  if (ecn === ECN_DROP || hlen + len > IP_MAX_MTU) {
    st.mib.ip.ReasmFails++;
    purge(st, head, st.fragCorrupt);
    return null;
  }
  chain(head);
  head.push(hlen);
  // The header is written below: not into bytes that a tap holds. Linux: skb_unclone().
  if (head.cloned && !head.cowHead(0)) {
    st.mib.ip.ReasmFails++;
    st.net.drop(head, DROP.NOMEM);
    return null;
  }
  head.dst = dst;
  ipcbReassembled(st, head, maxSize, maxDfSize);
  const view = head.view;
  const iph = head.networkHeader;
  view.setUint16(iph + IPH_TOT_LEN, head.len);
  view.setUint16(iph + IPH_FRAG_OFF, maxDfSize === maxSize ? IP_DF : 0);
  view.setUint8(iph + IPH_TOS, view.getUint8(iph + IPH_TOS) | ecn);
  ipSendCheck(view, iph);
  st.mib.ip.ReasmOKs++;
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipFragReasm, head, count, 0, head.dev);
  return head;
}

/** Hangs all fragments behind the first on its fragList. Borrows `skb`. */
function chain(skb: SkBuff): void {
  skb.fragList = skb.next;
  skb.next = null;
  for (let part = skb.fragList; part !== null; part = part.next) {
    skb.len += part.len;
    skb.dataLen += part.len;
    skb.truesize += part.truesize;
  }
  skb.ipSummed = CHECKSUM_NONE;
}

/** Borrows `skb`. */
function ipcbReassembled(st: Ipv4State, skb: SkBuff, maxSize: number, maxDfSize: number): void {
  skb.cb[st.cbFlags] |= IPSKB_FRAG_COMPLETE | (maxDfSize === maxSize ? IPSKB_FRAG_PMTU : 0);
  skb.cb[st.cbFragMaxSize] = maxSize;
}

/**
 * ipfrag_time is over: the fragments go, and if the first one is among them and the datagram is for this host, its
 * sender is told (RFC 792, RFC 1122 section 3.3.2). Linux: ip_expire(), net/ipv4/ip_fragment.c.
 */
export function ipExpire(st: Ipv4State, q: FragQueue): void {
  const iif = q.iif;
  const flags = q.flags;
  const user = q.idProtoUser & 0xff;
  st.mib.ip.ReasmFails++;
  st.mib.ip.ReasmTimeout++;
  const list = st.frags.remove(q);
  const dev = st.net.devByIndex[iif] ?? null;
  if (list !== null && (flags & FIRST_IN) !== 0 && dev !== null) {
    const view = list.view;
    const iph = list.networkHeader;
    list.dev = dev;
    ipcbClear(st, list);
    if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipExpire, list, 0, 0, dev);
    const daddr = view.getInt32(iph + IPH_DADDR);
    const rc = st.fib.routeInput(list, daddr, view.getInt32(iph + IPH_SADDR), view.getUint8(iph + IPH_TOS), dev);
    if (rc === 0 && (user === IP_DEFRAG_LOCAL_DELIVER || (list.dst as Dst | null)?.type === RTN_LOCAL)) {
      st.inet.icmpSend(list, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, 0);
    }
  }
  purge(st, list, DROP.FRAG_REASM_TIMEOUT);
}

/** A device goes: so do the datagrams of which the last fragment came by it. */
export function ipFragFlush(st: Ipv4State, ifindex: number): void {
  const buckets = st.frags.buckets;
  for (let i = 0; i < BUCKETS; i++) {
    let q = buckets[i];
    while (q !== null) {
      const next: FragQueue | null = q.next;
      if (q.iif === ifindex) discard(st, q, DROP.QUEUE_PURGE);
      q = next;
    }
  }
}
