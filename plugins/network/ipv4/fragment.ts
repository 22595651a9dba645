/**
 * Fragmentation. RFC 791 section 2.3, RFC 815. Linux: ip_do_fragment() and its iterators, net/ipv4/ip_output.c.
 *
 * The textbook says that fragmentation copies. The kernel copies only on the *slow path*. A datagram that was built, or
 * came, in parts of a size that fits (`fragList`) takes the *fast path*: each part gets a header in front, and not a
 * payload byte moves. The slow path copies the payload once, at ledger site `ip_fragment`.
 *
 * @module
 */
import {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  copySlab,
  DESTRUCTOR_NONE,
  DESTRUCTOR_WFREE,
  DROP,
  ERRNO,
  G_IP,
  skbChecksumHelp,
  type SkBuff,
  SLOT_LARGE,
  SLOT_SIZE,
} from "../../../core/mod.ts";
import { IPSKB_FRAG_PMTU } from "./contract.ts";
import { IP_DF, IP_MF, IP_OFFSET, IPH_FRAG_OFF, IPH_TOT_LEN, ipSendCheck } from "./header.ts";
import { ipOptionsFragment } from "./options.ts";
import { ipFinishOutput2 } from "./output.ts";
import type { Ipv4State } from "./state.ts";

/** Room for the link header in front of a fragment. Linux: LL_RESERVED_SPACE(). */
const LL_ROOM = 32;
const ICMP_DEST_UNREACH = 3;
const ICMP_FRAG_NEEDED = 4;

/**
 * Fragments, or refuses: what has DF, or came in larger pieces than can leave, is answered with "fragmentation needed".
 * Linux: ip_fragment(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipFragment(st: Ipv4State, skb: SkBuff, mtu: number): number {
  const df = (skb.view.getUint16(skb.networkHeader + IPH_FRAG_OFF) & IP_DF) !== 0;
  if (df && (!skb.ignoreDf || skb.cb[st.cbFragMaxSize] > mtu)) {
    st.mib.ip.FragFails++;
    st.inet.icmpSend(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
    st.net.drop(skb, DROP.PKT_TOO_BIG);
    return -ERRNO.EMSGSIZE;
  }
  return ipDoFragment(st, skb, mtu);
}

/**
 * Sends a datagram in fragments of at most `mtu`. 0, or what the first that failed returned.
 * Linux: ip_do_fragment(), net/ipv4/ip_output.c. Takes ownership of `skb`.
 */
export function ipDoFragment(st: Ipv4State, skb: SkBuff, mtu: number): number {
  if (skb.ipSummed === CHECKSUM_PARTIAL && !skbChecksumHelp(skb)) {
    st.mib.ip.FragFails++;
    st.net.drop(skb, DROP.SKB_CSUM);
    return -ERRNO.EINVAL;
  }
  const largest = skb.cb[st.cbFragMaxSize];
  const room = (largest !== 0 && largest < mtu ? largest : mtu) - headerLen(skb);
  const fast = skb.fragList !== null && fits(skb, room);
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipDoFragment, skb, mtu, fast ? 1 : 0, skb.dev);
  if (room < 8) {
    st.mib.ip.FragFails++;
    st.net.drop(skb, DROP.PKT_TOO_BIG);
    return -ERRNO.EMSGSIZE;
  }
  return fast ? fragmentFast(st, skb) : fragmentSlow(st, skb, room);
}

function headerLen(skb: SkBuff): number {
  return (skb.view.getUint8(skb.networkHeader) & 15) << 2;
}

/** Whether the parts of a datagram can be its fragments as they are. Borrows `skb`. */
function fits(skb: SkBuff, room: number): boolean {
  const hlen = headerLen(skb);
  const word = skb.view.getUint16(skb.networkHeader + IPH_FRAG_OFF);
  let rest = skb.len;
  for (let part = skb.fragList; part !== null; part = part.next) {
    rest -= part.len;
    if (part.len > room || (part.next !== null && (part.len & 7) !== 0)) return false;
    if (part.fragList !== null || headShared(part) || part.data - part.head < hlen + LL_ROOM) return false;
  }
  const first = rest - hlen;
  return first <= room && (first & 7) === 0 && (word & (IP_MF | IP_OFFSET)) === 0 && !headShared(skb);
}

/** Whether somebody else sees the bytes of the head: a header written there would change what he sees. */
function headShared(skb: SkBuff): boolean {
  return skb.cloned && skb.slab.refCount(skb.head) > 1;
}

/**
 * DF of the fragments: only where a reassembled datagram had it in its largest fragment, so that path-MTU discovery of
 * its sender goes on. Borrows `skb`.
 */
function fragmentDf(st: Ipv4State, skb: SkBuff): number {
  return (skb.cb[st.cbFlags] & IPSKB_FRAG_PMTU) !== 0 ? IP_DF : 0;
}

/** Each part gets a header; no payload moves. Takes ownership of `skb`. */
function fragmentFast(st: Ipv4State, skb: SkBuff): number {
  const hlen = headerLen(skb);
  const df = fragmentDf(st, skb);
  let part = detachParts(skb);
  let offset = skb.len - hlen;
  for (let p: SkBuff | null = part, at = offset; p !== null; p = p.next) {
    prepareFragment(st, p, skb, hlen);
    finishFragment(p, at, df | (p.next === null ? 0 : IP_MF));
    at += p.len - hlen;
  }
  finishFragment(skb, 0, df | IP_MF);
  let rc = sendFragment(st, skb, 0, hlen);
  while (part !== null) {
    const next: SkBuff | null = part.next;
    part.next = null;
    if (rc === 0) {
      const n = part.len - hlen;
      rc = sendFragment(st, part, offset, hlen);
      offset += n;
    } else st.net.drop(part, DROP.QDISC_DROP);
    part = next;
  }
  countFragmented(st, rc);
  return rc;
}

/** Takes the parts off a datagram; what each costs its sender goes with it. Borrows `skb`. */
function detachParts(skb: SkBuff): SkBuff | null {
  const list = skb.fragList;
  skb.fragList = null;
  const owned = skb.owner !== null && skb.destructor === DESTRUCTOR_WFREE;
  for (let part = list; part !== null; part = part.next) {
    skb.len -= part.len;
    skb.dataLen -= part.len;
    skb.truesize -= part.truesize;
    if (owned) {
      part.owner = skb.owner;
      part.destructor = skb.destructor;
    }
  }
  return list;
}

/** Pushes a copy of the header in front of a fragment's payload. Borrows `skb`. */
function prepareFragment(st: Ipv4State, skb: SkBuff, from: SkBuff, hlen: number): void {
  skb.transportHeader = skb.data;
  skb.push(hlen);
  skb.networkHeader = skb.data;
  copySlab(st.ledger, st.siteFragmentHeader, skb.slab, skb.data, from.slab, from.networkHeader, hlen);
  if (hlen > 20) ipOptionsFragment(skb.view, skb.data);
  copyMetadata(st, skb, from);
}

/** What a fragment has from its datagram. Linux: ip_copy_metadata(). Borrows `skb`. */
function copyMetadata(st: Ipv4State, skb: SkBuff, from: SkBuff): void {
  skb.dst = from.dst;
  skb.dev = from.dev;
  skb.protocol = from.protocol;
  skb.pktType = from.pktType;
  skb.priority = from.priority;
  skb.mark = from.mark;
  skb.skbIif = from.skbIif;
  skb.queueMapping = from.queueMapping;
  skb.hash = from.hash;
  skb.ignoreDf = from.ignoreDf;
  skb.ipSummed = CHECKSUM_NONE;
  skb.cb[st.cbFlags] = from.cb[st.cbFlags];
  skb.cb[st.cbOpt] = 0;
  skb.cb[st.cbOptlen] = 0;
  skb.cb[st.cbFragMaxSize] = 0;
}

/** Writes length, offset (bytes) and flags, and the checksum. Borrows `skb`. */
function finishFragment(skb: SkBuff, offset: number, flags: number): void {
  const view = skb.view;
  const at = skb.networkHeader;
  view.setUint16(at + IPH_TOT_LEN, skb.len);
  view.setUint16(at + IPH_FRAG_OFF, flags | (offset >>> 3));
  ipSendCheck(view, at);
}

/** Takes ownership of `skb`. */
function sendFragment(st: Ipv4State, skb: SkBuff, offset: number, hlen: number): number {
  if ((st.bus.mask & G_IP) !== 0) st.bus.hit(st.tp.ipFragment, skb, offset, skb.len - hlen, skb.dev);
  const rc = ipFinishOutput2(st, skb);
  if (rc === 0) st.mib.ip.FragCreates++;
  return rc;
}

function countFragmented(st: Ipv4State, rc: number): void {
  if (rc === 0) st.mib.ip.FragOKs++;
  else st.mib.ip.FragFails++;
}

/** New buffers, payload copied. Linux: ip_frag_next(), net/ipv4/ip_output.c. Takes ownership of `skb`. */
function fragmentSlow(st: Ipv4State, skb: SkBuff, room: number): number {
  const hlen = headerLen(skb);
  const word = skb.view.getUint16(skb.networkHeader + IPH_FRAG_OFF);
  const base = (word & IP_OFFSET) << 3;
  const end = skb.len;
  let rc = 0;
  for (let from = hlen; from < end && rc === 0;) {
    const n = end - from <= room ? end - from : room & ~7;
    const frag = copyFragment(st, skb, from, n, hlen);
    if (frag === null) {
      rc = -ERRNO.ENOMEM;
      break;
    }
    const offset = base + from - hlen;
    if (offset !== 0 && hlen > 20) ipOptionsFragment(frag.view, frag.data);
    from += n;
    finishFragment(frag, offset, fragmentDf(st, skb) | (from < end ? IP_MF : word & IP_MF));
    chargeSender(frag, skb);
    rc = sendFragment(st, frag, offset, hlen);
  }
  countFragmented(st, rc);
  if (rc === -ERRNO.ENOMEM) st.net.drop(skb, DROP.NOMEM);
  else skb.consume();
  return rc;
}

/** A new buffer with a copy of the header and of `n` bytes of payload. Borrows `skb`. */
function copyFragment(st: Ipv4State, skb: SkBuff, from: number, n: number, hlen: number): SkBuff | null {
  const pool = skb.pool;
  const linear = LL_ROOM + hlen + n <= SLOT_SIZE[SLOT_LARGE] ? n : 0;
  const frag = pool.alloc(LL_ROOM + hlen + linear);
  if (frag === null) return null;
  frag.id = skb.id;
  frag.cause = skb.cause;
  frag.reserve(LL_ROOM);
  frag.networkHeader = frag.put(hlen);
  frag.transportHeader = frag.tail;
  copySlab(st.ledger, st.siteFragmentHeader, frag.slab, frag.data, skb.slab, skb.networkHeader, hlen);
  copyMetadata(st, frag, skb);
  if (linear !== 0) pool.copyBits(skb, from, frag.slab, frag.put(n), n, st.siteFragment);
  for (let done = linear; done < n;) {
    const size = pool.addPage(frag, n - done);
    if (size === 0) {
      frag.consume();
      return null;
    }
    const page = frag.frags[frag.nrFrags - 1];
    pool.copyBits(skb, from + done, page.slab, page.offset, size, st.siteFragment);
    done += size;
  }
  return frag;
}

/**
 * Charges a new fragment to the socket that pays for its datagram: giving back a negative amount takes it. The datagram
 * itself is given back when it is freed behind its last fragment. Linux: skb_set_owner_w(). Borrows `skb`.
 */
function chargeSender(skb: SkBuff, from: SkBuff): void {
  const owner = from.owner;
  if (owner === null || from.destructor !== DESTRUCTOR_WFREE) {
    skb.destructor = DESTRUCTOR_NONE;
    return;
  }
  skb.owner = owner;
  skb.destructor = DESTRUCTOR_WFREE;
  owner.wfree(-skb.truesize);
}
