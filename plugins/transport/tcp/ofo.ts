/**
 * What came out of order: the queue, the SACK and D-SACK blocks that tell the peer of it, and what happens when memory is
 * short. RFC 2018, RFC 2883; Linux: net/ipv4/tcp_input.c.
 *
 * The queue is sorted by sequence number and holds no segment that others cover, so that a place is found by halving and
 * an overlap has only neighbours. Its memory is bounded by the receive buffer, counted in truesize: what one byte costs
 * is what its buffer costs. When that is spent, segments are first copied together ("collapsed") where that frees
 * memory, then the farthest from `rcvNxt` are dropped: a peer may not rely on a SACK (RFC 2018 section 8).
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as ackSend from "./ack_send.ts";
import * as collapse from "./collapse.ts";
import * as input from "./input.ts";
import * as memory from "./memory.ts";
import * as receiveQueue from "./receive_queue.ts";
import { SkbTiers } from "./skb_tiers.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, G_SOCK } = core;
const { skDataReady } = sock;
const { tcpSackCompressSendAck } = ackSend;
const { tcpCollapseOfoQueue, tcpCollapseReceiveQueue } = collapse;
const { tcpFin } = input;
const { skMemReclaim, skRmemSchedule } = memory;
const {
  tcpClampWindow,
  tcpEcnCheckCe,
  tcpGrowWindow,
  tcpMeasureRcvMss,
  tcpRcvbufGrow,
  tcpSetOwnerR,
  tcpTryCoalesce,
} = receiveQueue;
const {
  after,
  before,
  CB_END_SEQ,
  CB_FLAGS,
  CB_SEQ,
  ICSK_ACK_SCHED,
  TCP_NUM_SACKS,
  TCPHDR_FIN,
} = tcpSock;

/** Blocks that fit beside a D-SACK and timestamps: when more change, an ACK that waits must go. */
const SACK_BLOCKS_EXPECTED = 2;

// ---- D-SACK. RFC 2883.

/** Tells the peer that [seq, endSeq) came twice. Linux: tcp_dsack_set(). */
export function tcpDsackSet(tp: TcpSock, seq: number, endSeq: number): void {
  const st = tp.st;
  if (!tp.sackOk || st.sysctl.dsack === 0) return;
  if (before(seq, tp.rcvNxt)) st.mib.tcpExt.TCPDSACKOldSent++;
  else st.mib.tcpExt.TCPDSACKOfoSent++;
  tp.hasDsack = true;
  tp.dsackStart = seq;
  tp.dsackEnd = endSeq;
}

/** The same; widens the block that is there already, if they touch. Linux: tcp_dsack_extend(). */
function tcpDsackExtend(tp: TcpSock, seq: number, endSeq: number): void {
  if (!tp.hasDsack) {
    tcpDsackSet(tp, seq, endSeq);
    return;
  }
  if (after(seq, tp.dsackEnd) || after(tp.dsackStart, endSeq)) return;
  if (before(seq, tp.dsackStart)) tp.dsackStart = seq;
  if (after(endSeq, tp.dsackEnd)) tp.dsackEnd = endSeq;
}

// ---- SACK blocks: pairs in tp.selectiveAcks, the one that changed last in front. RFC 2018 section 4.

/** Widens block `i` by [seq, endSeq); false: they do not touch. Linux: tcp_sack_extend(). */
function sackExtend(blocks: Int32Array, i: number, seq: number, endSeq: number): boolean {
  const k = 2 * i;
  if (after(seq, blocks[k + 1]) || after(blocks[k], endSeq)) return false;
  if (before(seq, blocks[k])) blocks[k] = seq;
  if (after(endSeq, blocks[k + 1])) blocks[k + 1] = endSeq;
  return true;
}

function sackZap(tp: TcpSock, blocks: Int32Array, i: number): void {
  blocks.copyWithin(2 * i, 2 * i + 2, 2 * tp.numSacks);
  tp.numSacks--;
}

/** The first block grew: others that it reaches now become part of it. Linux: tcp_sack_maybe_coalesce(). */
function sackMaybeCoalesce(tp: TcpSock, blocks: Int32Array): void {
  for (let i = 1; i < tp.numSacks;) {
    if (sackExtend(blocks, 0, blocks[2 * i], blocks[2 * i + 1])) sackZap(tp, blocks, i);
    else i++;
  }
}

/** [seq, endSeq) was queued out of order. Linux: tcp_sack_new_ofo_skb(). */
export function tcpSackNewOfoSkb(tp: TcpSock, seq: number, endSeq: number): void {
  const blocks = tp.selectiveAcks ??= new Int32Array(2 * TCP_NUM_SACKS);
  let i = 0;
  for (; i < tp.numSacks; i++) {
    if (!sackExtend(blocks, i, seq, endSeq)) continue;
    if (i >= SACK_BLOCKS_EXPECTED) tcpSackCompressSendAck(tp);
    const start = blocks[2 * i];
    const end = blocks[2 * i + 1];
    blocks.copyWithin(2, 0, 2 * i);
    blocks[0] = start;
    blocks[1] = end;
    if (tp.numSacks > 1) sackMaybeCoalesce(tp, blocks);
    return;
  }
  if (i >= SACK_BLOCKS_EXPECTED) tcpSackCompressSendAck(tp);
  if (tp.numSacks >= TCP_NUM_SACKS) tp.numSacks--;
  blocks.copyWithin(2, 0, 2 * tp.numSacks);
  blocks[0] = seq;
  blocks[1] = endSeq;
  tp.numSacks++;
}

/** `rcvNxt` moved: blocks that it passed are no news. Linux: tcp_sack_remove(). */
export function tcpSackRemove(tp: TcpSock): void {
  const blocks = tp.selectiveAcks;
  if (blocks === null || tp.ofo === null || tp.ofo.length === 0) {
    tp.numSacks = 0;
    return;
  }
  for (let i = 0; i < tp.numSacks;) {
    if (!before(tp.rcvNxt, blocks[2 * i])) sackZap(tp, blocks, i);
    else i++;
  }
}

/** Nothing is told any more. Linux: tcp_sack_reset(). */
export function tcpSackReset(tp: TcpSock): void {
  tp.hasDsack = false;
  tp.numSacks = 0;
}

// ---- the queue

/**
 * Queues a segment that begins behind `rcvNxt`, header stripped. Linux: tcp_data_queue_ofo(), net/ipv4/tcp_input.c.
 * Takes ownership of `skb`.
 */
export function tcpDataQueueOfo(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  tcpEcnCheckCe(tp, skb);
  if (!tcpTryRmemSchedule(tp, skb)) {
    st.mib.tcpExt.TCPOFODrop++;
    tp.sk.drops++;
    skDataReady(tp.sk);
    st.net.drop(skb, DROP.PROTO_MEM);
    return;
  }
  tcpMeasureRcvMss(tp, skb);
  tp.predFlags = 0;
  tp.ackPending |= ICSK_ACK_SCHED;
  tp.rcvOooPack += skb.gsoSegs > 1 ? skb.gsoSegs : 1;
  st.mib.tcpExt.TCPOFOQueue++;
  const seq = skb.cb[st.cb + CB_SEQ];
  const endSeq = skb.cb[st.cb + CB_END_SEQ];
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpDataQueueOfo, skb, seq, endSeq, tp.sk);
  const kept = ofoInsert(tp, tp.ofo ??= new SkbTiers(st.cb + CB_SEQ), skb, seq, endSeq);
  if (tp.sackOk) {
    tcpSackNewOfoSkb(tp, seq, endSeq);
    // Without SACK the window must not grow: the sender counts duplicate ACKs, which have equal windows.
    if (kept !== OFO_GONE) tcpGrowWindow(tp, skb, kept === OFO_COALESCED);
  }
  if (kept === OFO_QUEUED) tcpSetOwnerR(tp, skb);
  else if (kept === OFO_COALESCED) skb.consume();
  // Nobody reads it yet, or any more: its buffer does not grow.
  if (!tp.orphan && !tp.inAcceptQueue) tcpRcvbufGrow(tp, tp.rcvqSpace);
}

/** Is in the queue. */
const OFO_QUEUED = 0;
/** Its bytes hang on another; the rest is to be freed. */
const OFO_COALESCED = 1;
/** It was there already: dropped. */
const OFO_GONE = 2;

/** Puts it in its place; what it covers goes. OFO_*. */
function ofoInsert(tp: TcpSock, ofo: SkbTiers, skb: SkBuff, seq: number, endSeq: number): number {
  const st = tp.st;
  const c = st.cb;
  let at = ofo.length - 1;
  // Most come in order among themselves: the last one is the neighbour.
  if (at >= 0 && before(seq, ofo.at(at).cb[c + CB_END_SEQ])) at = ofo.find(seq);
  if (at >= 0) {
    const left = ofo.at(at);
    const leftEnd = left.cb[c + CB_END_SEQ];
    if (before(seq, leftEnd)) {
      if (!after(endSeq, leftEnd)) {
        st.mib.tcpExt.TCPOFOMerge++;
        st.net.drop(skb, st.reason.TCP_OFOMERGE);
        tcpDsackSet(tp, seq, endSeq);
        return OFO_GONE;
      }
      const leftSeq = left.cb[c + CB_SEQ];
      if (after(seq, leftSeq)) tcpDsackSet(tp, seq, leftEnd);
      else {
        // The same beginning, and longer: it takes the other's place.
        ofo.set(at, skb);
        tcpDsackExtend(tp, leftSeq, leftEnd);
        dropMerged(tp, left);
        ofoMergeRight(tp, ofo, at + 1, endSeq);
        return OFO_QUEUED;
      }
    } else if (tcpTryCoalesce(tp, left, skb)) {
      // What it overlaps on its right stays, and no D-SACK tells of it: so Linux does, too.
      ofo.tight = false;
      return OFO_COALESCED;
    }
  }
  ofo.insert(at + 1, skb);
  ofoMergeRight(tp, ofo, at + 2, endSeq);
  return OFO_QUEUED;
}

/** Entries from `first` on that end before `endSeq` are covered now. */
function ofoMergeRight(tp: TcpSock, ofo: SkbTiers, first: number, endSeq: number): void {
  const c = tp.st.cb;
  let i = first;
  for (; i < ofo.length; i++) {
    const next = ofo.at(i);
    const nextSeq = next.cb[c + CB_SEQ];
    const nextEnd = next.cb[c + CB_END_SEQ];
    if (!after(endSeq, nextSeq)) break;
    if (before(endSeq, nextEnd)) {
      tcpDsackExtend(tp, nextSeq, endSeq);
      break;
    }
    tcpDsackExtend(tp, nextSeq, nextEnd);
    dropMerged(tp, next);
  }
  if (i > first) ofo.removeRange(first, i);
}

/** A segment that another one covers. Takes ownership of `skb`. */
function dropMerged(tp: TcpSock, skb: SkBuff): void {
  tp.st.mib.tcpExt.TCPOFOMerge++;
  tp.st.net.drop(skb, tp.st.reason.TCP_OFOMERGE);
}

/** `rcvNxt` moved: what is in order now goes to the receive queue. Linux: tcp_ofo_queue(). */
export function tcpOfoQueue(tp: TcpSock): void {
  const st = tp.st;
  const c = st.cb;
  const ofo = tp.ofo!;
  const queue = tp.sk.receiveQueue;
  const dsackHigh = tp.rcvNxt;
  for (let skb = ofo.head; skb !== null; skb = ofo.head) {
    const seq = skb.cb[c + CB_SEQ];
    const endSeq = skb.cb[c + CB_END_SEQ];
    if (after(seq, tp.rcvNxt)) return;
    if (before(seq, dsackHigh)) tcpDsackExtend(tp, seq, before(endSeq, dsackHigh) ? endSeq : dsackHigh);
    ofo.shift();
    if (!after(endSeq, tp.rcvNxt)) {
      st.net.drop(skb, st.reason.TCP_OFO_DROP);
      continue;
    }
    tp.bytesReceived += (endSeq - tp.rcvNxt) | 0;
    tp.rcvNxt = endSeq;
    const fin = (skb.cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0;
    const tail = queue.tail;
    if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpQueueRcv, skb, skb.len, endSeq, tp.sk);
    if (tail !== null && tcpTryCoalesce(tp, tail, skb)) skb.consume();
    else queue.enqueue(skb);
    // It empties this queue: nothing follows a FIN.
    if (fin) {
      tcpFin(tp);
      return;
    }
  }
}

/** Frees all of it. Linux: skb_rbtree_purge(). */
export function tcpOfoPurge(tp: TcpSock): void {
  const ofo = tp.ofo;
  if (ofo === null) return;
  for (let skb = ofo.shift(); skb !== null; skb = ofo.shift()) skb.consume();
}

// ---- memory

/** Whether the receive buffer takes it. Linux: tcp_can_ingest(). Borrows `skb`. */
export function tcpCanIngest(tp: TcpSock, skb: SkBuff): boolean {
  return tp.sk.rmemAlloc + skb.len <= tp.sk.rcvbuf;
}

/** Room for a segment, made if need be. Linux: tcp_try_rmem_schedule(). Borrows `skb`. */
export function tcpTryRmemSchedule(tp: TcpSock, skb: SkBuff): boolean {
  if (tcpCanIngest(tp, skb) && skRmemSchedule(tp, skb.truesize)) return true;
  if (!tcpPruneQueue(tp, skb)) return false;
  while (!skRmemSchedule(tp, skb.truesize)) if (!tcpPruneOfoQueue(tp, skb)) return false;
  return true;
}

/**
 * Makes room: a larger buffer if it may grow, then tighter packing, then dropping what is out of order. False: drop what
 * comes. Linux: tcp_prune_queue(). Borrows `skb`.
 */
export function tcpPruneQueue(tp: TcpSock, skb: SkBuff): boolean {
  const st = tp.st;
  if (tp.sk.rmemAlloc === 0) return false;
  st.mib.tcpExt.PruneCalled++;
  if (!tcpCanIngest(tp, skb)) tcpClampWindow(tp);
  else if (st.memoryPressure) tp.rcvSsthresh = Math.min(tp.rcvSsthresh, 4 * tp.advmss);
  if (tcpCanIngest(tp, skb)) return true;
  tcpCollapseOfoQueue(tp);
  tcpCollapseReceiveQueue(tp);
  skMemReclaim(tp);
  if (tcpCanIngest(tp, skb)) return true;
  tcpPruneOfoQueue(tp, skb);
  if (tcpCanIngest(tp, skb)) return true;
  st.mib.tcpExt.RcvPruned++;
  tp.predFlags = 0;
  return false;
}

/**
 * Drops from the end of the queue, an eighth of the buffer at a time, until there is room; never for a segment that
 * would be the last itself. True: something was dropped. Linux: tcp_prune_ofo_queue(). Borrows `skb`.
 */
export function tcpPruneOfoQueue(tp: TcpSock, skb: SkBuff): boolean {
  const st = tp.st;
  const ofo = tp.ofo;
  if (ofo === null || ofo.length === 0) return false;
  const c = st.cb;
  const seq = skb.cb[c + CB_SEQ];
  const batch = tp.sk.rcvbuf >> 3;
  let goal = batch;
  let pruned = false;
  for (let last = ofo.tail; last !== null; last = ofo.tail) {
    if (after(seq, last.cb[c + CB_SEQ])) break;
    pruned = true;
    goal -= last.truesize;
    ofo.removeAt(ofo.length - 1);
    st.net.drop(last, st.reason.TCP_OFO_QUEUE_PRUNE);
    if (goal > 0 && ofo.length !== 0) continue;
    skMemReclaim(tp);
    if (tcpCanIngest(tp, skb) && !st.memoryPressure) break;
    goal = batch;
  }
  if (!pruned) return false;
  st.mib.tcpExt.OfoPruned++;
  // What was told of is gone. The peer finds out by a timeout; telling nothing is always right.
  if (tp.sackOk) tcpSackReset(tp);
  return true;
}
