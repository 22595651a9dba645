/**
 * Packing received segments tighter when memory is short: bytes of many half-empty buffers are copied into few full
 * ones. The ledger counts them as `tcp_collapse`. Linux: tcp_collapse(), tcp_collapse_ofo_queue(), net/ipv4/tcp_input.c.
 *
 * Different from Linux: the new buffers hold 1,728 bytes, or 32,448 where there is so much, instead of 3,776: the sizes
 * of our slots, so that what is charged is what is used.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as receiveQueue from "./receive_queue.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import * as win from "./window.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpSetOwnerR } = receiveQueue;
const { after, before, CB_END_SEQ, CB_FLAGS, CB_SEQ, TCPHDR_FIN, TCPHDR_SYN } = tcpSock;
const { tcpWinFromSpace } = win;

/** What fits into a slot of 2,048 bytes with what Linux keeps at its end. */
const SMALL = 1728;
/** What fits into a slot of 32,768 bytes. */
const LARGE = 32448;

/** Whether copying it pays: no FIN is in it, and its buffer is larger than its bytes deserve. Borrows `skb`. */
function isBloated(tp: TcpSock, skb: SkBuff): boolean {
  if ((skb.cb[tp.st.cb + CB_FLAGS] & (TCPHDR_SYN | TCPHDR_FIN)) !== 0) return false;
  return tcpWinFromSpace(tp, skb.truesize) > skb.len;
}

/**
 * Copies the bytes [start, ...) of the list `first` (linked by `next`, ascending, without gaps) into fresh buffers, and
 * frees it. Returns the new list; where memory runs out, the rest of the old one is its end. Takes ownership of `first`.
 */
function collapseList(tp: TcpSock, first: SkBuff, start: number): SkBuff {
  const st = tp.st;
  const c = st.cb;
  const pool = st.skbs;
  let end = start;
  for (let s: SkBuff | null = first; s !== null; s = s.next) {
    if (after(s.cb[c + CB_END_SEQ], end)) end = s.cb[c + CB_END_SEQ];
  }
  let head: SkBuff | null = null;
  let tail: SkBuff | null = null;
  let from: SkBuff | null = first;
  while (from !== null && before(start, end)) {
    const left = (end - start) | 0;
    const size = left > SMALL * 8 ? Math.min(left, LARGE) : Math.min(left, SMALL);
    const skb = pool.alloc(size);
    if (skb === null) break;
    let room = size;
    for (let i = 0; i < skb.cb.length; i++) skb.cb[i] = from.cb[i];
    skb.cb[c + CB_SEQ] = start;
    skb.dev = from.dev;
    while (room > 0 && from !== null) {
      const fromEnd = from.cb[c + CB_END_SEQ];
      const n = Math.min(room, (fromEnd - start) | 0);
      if (n > 0) {
        pool.copyBits(from, (start - from.cb[c + CB_SEQ]) | 0, skb.slab, skb.put(n), n, st.siteCollapse);
        start = (start + n) | 0;
        room -= n;
      }
      if (before(start, fromEnd)) continue;
      const next: SkBuff | null = from.next;
      from.next = null;
      from.consume();
      st.mib.tcpExt.TCPRcvCollapsed++;
      from = next;
    }
    skb.cb[c + CB_END_SEQ] = start;
    tcpSetOwnerR(tp, skb);
    if (tail === null) head = skb;
    else tail.next = skb;
    tail = skb;
  }
  if (tail === null) return first;
  tail.next = from;
  return head as SkBuff;
}

/**
 * The receive queue, run by run of bloated buffers: what is packed well stays, and bytes that were read are not copied.
 * Linux: tcp_collapse().
 */
export function tcpCollapseReceiveQueue(tp: TcpSock): void {
  const queue = tp.sk.receiveQueue;
  let prev: SkBuff | null = null;
  for (let skb = queue.head; skb !== null;) {
    // One alone would only be copied.
    if (skb.next !== null && isBloated(tp, skb) && isBloated(tp, skb.next)) prev = collapseRun(tp, prev, skb);
    else prev = skb;
    skb = prev.next;
  }
}

/** Collapses the run that begins with `first`, behind `prev`, in the receive queue; returns its last. */
function collapseRun(tp: TcpSock, prev: SkBuff | null, first: SkBuff): SkBuff {
  const c = tp.st.cb;
  const queue = tp.sk.receiveQueue;
  let last = first;
  let old = 1;
  for (let s = first.next; s !== null && isBloated(tp, s); s = s.next) {
    last = s;
    old++;
  }
  const rest = last.next;
  last.next = null;
  const seq = first.cb[c + CB_SEQ];
  const partly = after(tp.copiedSeq, seq) && before(tp.copiedSeq, first.cb[c + CB_END_SEQ]);
  const list = collapseList(tp, first, partly ? tp.copiedSeq : seq);
  if (prev === null) queue.head = list;
  else prev.next = list;
  let tail = list;
  let made = 1;
  for (; tail.next !== null; tail = tail.next) made++;
  tail.next = rest;
  if (rest === null) queue.tail = tail;
  queue.qlen += made - old;
  return tail;
}

/**
 * The queue of what came out of order, range by range: only ranges of several segments, or large ones, are worth it. After
 * an eighth of the buffer in lonely small segments it gives up: the walk must not become the attack. Nor is it repeated for
 * each segment that finds the buffer full, while nothing is queued: there Linux walks again. Linux:
 * tcp_collapse_ofo_queue().
 */
export function tcpCollapseOfoQueue(tp: TcpSock): void {
  const ofo = tp.ofo;
  if (ofo === null || ofo.tight) return;
  // What is collapsed is put in anew, and takes this back.
  ofo.tight = true;
  const c = tp.st.cb;
  let tiny = 0;
  for (let i = 0; i < ofo.length;) {
    const head = ofo.at(i);
    let end = head.cb[c + CB_END_SEQ];
    let truesize = head.truesize;
    let to = i + 1;
    let bloated = isBloated(tp, head);
    for (; to < ofo.length; to++) {
      const next = ofo.at(to);
      if (after(next.cb[c + CB_SEQ], end)) break;
      // A FIN stays as it is, and ends the range.
      if ((next.cb[c + CB_FLAGS] & (TCPHDR_SYN | TCPHDR_FIN)) !== 0) break;
      if (after(next.cb[c + CB_END_SEQ], end)) end = next.cb[c + CB_END_SEQ];
      truesize += next.truesize;
      bloated ||= isBloated(tp, next);
    }
    const fin = (head.cb[c + CB_FLAGS] & (TCPHDR_SYN | TCPHDR_FIN)) !== 0;
    const span = (end - head.cb[c + CB_SEQ]) | 0;
    if (bloated && !fin && (to > i + 1 || span >= 2 * SMALL)) {
      i = collapseRange(tp, i, to);
      continue;
    }
    i = to;
    if (truesize !== head.truesize) continue;
    tiny += truesize;
    if (tiny > tp.sk.rcvbuf >> 3) return;
  }
}

/** Collapses the entries [from, to) of the out-of-order queue; returns where the next begins. */
function collapseRange(tp: TcpSock, from: number, to: number): number {
  const c = tp.st.cb;
  const ofo = tp.ofo!;
  for (let i = from; i < to - 1; i++) ofo.at(i).next = ofo.at(i + 1);
  ofo.at(to - 1).next = null;
  const first = ofo.at(from);
  let list: SkBuff | null = collapseList(tp, first, first.cb[c + CB_SEQ]);
  let i = from;
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = null;
    if (i < to) ofo.set(i, list);
    else ofo.insert(i, list);
    i++;
    list = next;
  }
  if (i < to) ofo.removeRange(i, to);
  return i;
}
