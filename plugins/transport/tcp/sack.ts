/**
 * SACK: which of the sent segments the peer has, D-SACK: what it had twice, and reordering seen by either. RFC 2018,
 * RFC 2883, RFC 6675; Linux: tcp_sacktag_write_queue() and around, net/ipv4/tcp_input.c.
 *
 * Work per ACK: a block's first segment is found by halving, and runs of segments that are SACKed already are jumped
 * over, each run known by its first segment (word CB_SACK_RUN: where it ends, as far as known). So a block that grows,
 * or that comes again and again, costs as much as what is new in it, whatever its size. Linux has a cache of the last
 * ACK's blocks and merges SACKed skbs; here nothing is merged, and TCPSackShifted and its like stay 0.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as ackState from "./ack_state.ts";
import type { TcpAckState } from "./ack_state.ts";
import { TCP_CA_LOSS } from "./contract.ts";
import { tcpRackAdvance } from "./rack.ts";
import { tcpRateSkbDelivered } from "./rate.ts";
import { tcpFragment } from "./retransmit.ts";
import type { SkbRing } from "./skb_ring.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { FLAG_DATA_SACKED, FLAG_DSACK_TLP, FLAG_DSACKING_ACK, FLAG_ORIG_SACK_ACKED } = ackState;
const {
  after,
  before,
  CB_ACK,
  CB_DELIVERED,
  CB_END_SEQ,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  TCPCB_LOST,
  TCPCB_RETRANS,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
} = tcpSock;

/** Word of a SACKed segment: end of the run of SACKed segments that begins with it. Its rate sample is taken by then. */
const CB_SACK_RUN = CB_DELIVERED;
/** Blocks of one ACK. */
const TCP_NUM_SACKS = 4;
/** No D-SACK among the blocks. */
const NONE = -1;

/** End of the highest SACKed segment; what is not SACKed below it is a hole. Linux: tcp_highest_sack_seq(). */
export function tcpHighestSackSeq(tp: TcpSock): number {
  return tp.sackedOut === 0 ? tp.sndUna : tp.highestSack;
}

/**
 * Tags what the SACK blocks of `skb` tell; FLAG_* are added to `ss.flag`. Linux: tcp_sacktag_write_queue(),
 * net/ipv4/tcp_input.c. Borrows `skb`.
 */
export function tcpSacktagWriteQueue(tp: TcpSock, skb: SkBuff, priorUna: number, ss: TcpAckState): void {
  const st = tp.st;
  const ack = skb.cb[st.cb + CB_ACK];
  const blocks = st.sackBlocks;
  const n = Math.min(TCP_NUM_SACKS, st.rxOpt.numSacks);
  const at = st.rxOpt.sackAt;
  for (let i = 0; i < 2 * n; i++) blocks[i] = skb.view.getInt32(at + 4 * i);

  ss.reord = tp.sndNxt;
  if (tp.sackedOut === 0) sackBegin(tp);
  const dup = tcpCheckDsack(tp, blocks, n, ack, priorUna, ss);
  // Older than any window was: it tells nothing of the present.
  if (before(ack, (priorUna - tp.maxWindow) | 0)) return;
  if (tp.packetsOut === 0 || tp.rtx === null) return;

  const kept = keepValid(tp, blocks, n, dup, ack, priorUna);
  const used = kept & 7;
  const first = sortBlocks(blocks, used, dup && (kept & 8) === 0 ? 0 : NONE);
  let i = 0;
  for (let b = 0; b < used; b++) {
    const next = first === b + 1;
    i = walkBlock(tp, tp.rtx, i, blocks, b, b === first, next, ss);
    if (i >= tp.rtx.length) break;
  }
  if (tp.icskCaState !== TCP_CA_LOSS || tp.undoMarker !== 0) tcpCheckSackReordering(tp, ss.reord, false);
}

/** The first SACK of a time: nothing is known yet. Linux: tcp_highest_sack_reset(). */
function sackBegin(tp: TcpSock): void {
  const head = tp.rtx === null ? null : tp.rtx.head;
  tp.highestSack = head === null ? tp.sndNxt : head.cb[tp.st.cb + CB_SEQ];
  if (tp.lostOut === 0 && tp.retransOut === 0) tp.rackScanSeq = tp.sndUna;
}

/**
 * Whether the first block is a D-SACK: below the ACK, or inside the second block. RFC 2883 section 4.
 * Linux: tcp_check_dsack().
 */
function tcpCheckDsack(
  tp: TcpSock,
  blocks: Int32Array,
  n: number,
  ack: number,
  priorUna: number,
  ss: TcpAckState,
): boolean {
  if (n === 0) return false;
  const ext = tp.st.mib.tcpExt;
  const start = blocks[0];
  const end = blocks[1];
  if (before(start, ack)) ext.TCPDSACKRecv++;
  else if (n > 1) {
    if (after(end, blocks[3]) || before(start, blocks[2])) return false;
    ext.TCPDSACKOfoRecv++;
  } else return false;
  const segs = tcpDsackSeen(tp, start, end, ss);
  if (segs === 0) {
    ext.TCPDSACKIgnoredDubious++;
    return false;
  }
  ext.TCPDSACKRecvSegs += segs;
  // About data that is acknowledged and forgotten: all that can be done is to count.
  if (tp.undoMarker !== 0 && tp.undoRetrans > 0 && !after(end, priorUna) && after(end, tp.undoMarker)) {
    tp.undoRetrans = Math.max(0, tp.undoRetrans - segs);
  }
  return true;
}

/**
 * Segments that the peer had twice, 0: not believed, as it is longer than any window, or more than was ever sent again.
 * Linux: tcp_dsack_seen().
 */
function tcpDsackSeen(tp: TcpSock, start: number, end: number, ss: TcpAckState): number {
  const len = (end - start) | 0;
  if (len <= 0 || len > tp.maxWindow) return 0;
  let segs = 1;
  if (len > tp.mssCache) segs = Math.ceil(len / tp.mssCache);
  else if (tp.tlpHighSeq !== 0 && tp.tlpHighSeq === end) ss.flag |= FLAG_DSACK_TLP;
  tp.dsackDups += segs;
  if (tp.dsackDups > tp.totalRetrans) return 0;
  // The tail loss probe's duplicate says nothing of RACK's patience.
  if (tp.reordSeen !== 0 && (ss.flag & FLAG_DSACK_TLP) === 0) tp.rackDsackSeen = true;
  ss.flag |= FLAG_DSACKING_ACK;
  tp.delivered += segs;
  return segs;
}

/**
 * Drops blocks that are nonsense or old; what is left moves to the front. How many, and bit 3 when the first one went.
 */
function keepValid(
  tp: TcpSock,
  blocks: Int32Array,
  n: number,
  dup: boolean,
  ack: number,
  priorUna: number,
): number {
  const ext = tp.st.mib.tcpExt;
  let used = 0;
  let firstGone = 0;
  for (let i = 0; i < n; i++) {
    const start = blocks[2 * i];
    const end = blocks[2 * i + 1];
    const isDup = dup && i === 0;
    if (!tcpIsSackblockValid(tp, isDup, start, end)) {
      if (isDup) {
        if (tp.undoMarker === 0) ext.TCPDSACKIgnoredNoUndo++;
        else ext.TCPDSACKIgnoredOld++;
      } else {
        // An ACK that was overtaken by a later one is no offence.
        if (ack !== tp.sndUna && !after(end, tp.sndUna)) continue;
        ext.TCPSACKDiscard++;
      }
      if (i === 0) firstGone = 8;
      continue;
    }
    if (!after(end, priorUna)) {
      if (i === 0) firstGone = 8;
      continue;
    }
    blocks[2 * used] = start;
    blocks[2 * used + 1] = end;
    used++;
  }
  return used | firstGone;
}

/**
 * Whether a block can be true: inside what was sent and not acknowledged; a D-SACK may also lie below, as far back as
 * the data goes whose retransmissions may be undone. Linux: tcp_is_sackblock_valid().
 */
function tcpIsSackblockValid(tp: TcpSock, isDup: boolean, start: number, end: number): boolean {
  if (after(end, tp.sndNxt) || !before(start, end)) return false;
  if (!before(start, tp.sndNxt)) return false;
  if (after(start, tp.sndUna)) return true;
  if (!isDup || tp.undoMarker === 0) return false;
  if (after(end, tp.sndUna)) return false;
  if (!before(start, tp.undoMarker)) return true;
  if (!after(end, tp.undoMarker)) return false;
  return !before(start, (end - tp.maxWindow) | 0);
}

/** In sequence order, at most 4; returns where the block at `first` went. Equal ones keep their order. */
function sortBlocks(blocks: Int32Array, n: number, first: number): number {
  for (let i = n - 1; i > 0; i--) {
    for (let j = 0; j < i; j++) {
      if (!after(blocks[2 * j], blocks[2 * j + 2])) continue;
      const start = blocks[2 * j];
      const end = blocks[2 * j + 1];
      blocks[2 * j] = blocks[2 * j + 2];
      blocks[2 * j + 1] = blocks[2 * j + 3];
      blocks[2 * j + 2] = start;
      blocks[2 * j + 3] = end;
      if (first === j) first = j + 1;
    }
  }
  return first;
}

/**
 * Tags the segments of block `b`, from place `i` on; returns where it stopped. `next`: the block behind is the D-SACK,
 * which may lie inside this one. Linux: tcp_sacktag_walk().
 */
function walkBlock(
  tp: TcpSock,
  rtx: SkbRing,
  i: number,
  blocks: Int32Array,
  b: number,
  dup: boolean,
  next: boolean,
  ss: TcpAckState,
): number {
  const c = tp.st.cb;
  const start = blocks[2 * b];
  const end = blocks[2 * b + 1];
  i = Math.max(i, rtx.find(start));
  if (i < rtx.length && !after(rtx.at(i).cb[c + CB_END_SEQ], start)) i++;
  let run: SkBuff | null = null;
  let runEnd = 0;
  while (i < rtx.length) {
    const skb = rtx.at(i);
    const cb = skb.cb;
    if (!before(cb[c + CB_SEQ], end)) break;
    let isDup = dup;
    let inSack = 0;
    if (next && before(cb[c + CB_SEQ], blocks[2 * b + 3])) {
      inSack = matchToSack(tp, skb, blocks[2 * b + 2], blocks[2 * b + 3]);
      if (inSack > 0) isDup = true;
    }
    // Segments of a D-SACK are looked at one by one: each may be a retransmission that was not needed.
    if (!isDup && !next && (cb[c + CB_FLAGS] & TCPCB_SACKED_ACKED) !== 0) {
      if (run === null) run = skb;
      runEnd = cb[c + CB_SACK_RUN];
      i = rtx.find((runEnd - 1) | 0) + 1;
      continue;
    }
    if (inSack <= 0) inSack = matchToSack(tp, skb, start, end);
    if (inSack < 0) break;
    if (inSack > 0) {
      tagOne(tp, skb, isDup, ss);
      if ((cb[c + CB_FLAGS] & TCPCB_SACKED_ACKED) !== 0) {
        if (run === null) run = skb;
        runEnd = cb[c + CB_END_SEQ];
      }
    } else if (run !== null) {
      if (after(runEnd, run.cb[c + CB_SACK_RUN])) run.cb[c + CB_SACK_RUN] = runEnd;
      run = null;
    }
    i++;
  }
  if (run !== null && after(runEnd, run.cb[c + CB_SACK_RUN])) run.cb[c + CB_SACK_RUN] = runEnd;
  return i;
}

/**
 * 1: the whole segment is in the block, 0: it is not, -1: no memory. A super-packet that is partly in is cut at a full
 * segment; afterwards `skb` is its first part. Linux: tcp_match_skb_to_sack(). Borrows `skb`.
 */
function matchToSack(tp: TcpSock, skb: SkBuff, start: number, end: number): number {
  const cb = skb.cb;
  const c = tp.st.cb;
  const seq = cb[c + CB_SEQ];
  const endSeq = cb[c + CB_END_SEQ];
  if (!after(start, seq) && !before(end, endSeq)) return 1;
  if (cb[c + CB_PCOUNT] <= 1 || !after(endSeq, start)) return 0;
  const mss = skb.gsoSize;
  const inSack = !after(start, seq);
  let len = ((inSack ? end : start) - seq) | 0;
  if (len < mss) {
    if (inSack) return -1;
    len = mss;
  }
  if (len > mss) {
    const whole = Math.floor(len / mss) * mss;
    len = !inSack && whole < len ? whole + mss : whole;
  }
  if (len >= skb.len && !inSack) return 0;
  if (tcpFragment(tp, "rtx", skb, len, mss) !== 0) return -1;
  return inSack ? 1 : 0;
}

/**
 * One segment is in a block: what it means for the scoreboard, for reordering, for RACK, and for undoing.
 * Linux: tcp_sacktag_one(). Borrows `skb`.
 */
function tagOne(tp: TcpSock, skb: SkBuff, dup: boolean, ss: TcpAckState): void {
  const c = tp.st.cb;
  const cb = skb.cb;
  const seq = cb[c + CB_SEQ];
  const endSeq = cb[c + CB_END_SEQ];
  const pcount = cb[c + CB_PCOUNT];
  let flags = cb[c + CB_FLAGS];
  if (dup && (flags & TCPCB_RETRANS) !== 0) {
    if (tp.undoMarker !== 0 && tp.undoRetrans > 0 && after(endSeq, tp.undoMarker)) {
      tp.undoRetrans = Math.max(0, tp.undoRetrans - pcount);
    }
    if ((flags & TCPCB_SACKED_ACKED) !== 0 && before(seq, ss.reord)) ss.reord = seq;
  }
  // It is about to be acknowledged.
  if (!after(endSeq, tp.sndUna)) return;
  if ((flags & TCPCB_SACKED_ACKED) === 0) {
    flags = tagNew(tp, cb[c + CB_MSTAMP], seq, endSeq, pcount, flags, ss);
    cb[c + CB_FLAGS] = flags;
    tcpRateSkbDelivered(tp, skb, ss);
    cb[c + CB_SACK_RUN] = endSeq;
    if (!before(seq, tp.highestSack)) tp.highestSack = endSeq;
  }
  if (dup && (flags & TCPCB_SACKED_RETRANS) !== 0) {
    cb[c + CB_FLAGS] = flags & ~TCPCB_SACKED_RETRANS;
    tp.retransOut -= pcount;
  }
}

/** A segment is SACKed for the first time; its flags afterwards. */
function tagNew(
  tp: TcpSock,
  sent: number,
  seq: number,
  endSeq: number,
  pcount: number,
  flags: number,
  ss: TcpAckState,
): number {
  tcpRackAdvance(tp, flags, endSeq, sent);
  if ((flags & TCPCB_SACKED_RETRANS) !== 0) {
    // Not marked lost: its retransmission counts as in flight still.
    if ((flags & TCPCB_LOST) !== 0) {
      flags &= ~(TCPCB_LOST | TCPCB_SACKED_RETRANS);
      tp.lostOut -= pcount;
      tp.retransOut -= pcount;
    }
  } else {
    if ((flags & TCPCB_RETRANS) === 0) {
      // Sent once, and SACKed after what was sent later: it was overtaken.
      if (before(seq, tcpHighestSackSeq(tp)) && before(seq, ss.reord)) ss.reord = seq;
      if (!after(endSeq, tp.highSeq)) ss.flag |= FLAG_ORIG_SACK_ACKED;
      if (ss.firstSackt === 0) ss.firstSackt = sent;
      ss.lastSackt = sent;
    }
    if ((flags & TCPCB_LOST) !== 0) {
      flags &= ~TCPCB_LOST;
      tp.lostOut -= pcount;
    }
  }
  ss.flag |= FLAG_DATA_SACKED;
  tp.sackedOut += pcount;
  tp.delivered += pcount;
  return flags | TCPCB_SACKED_ACKED;
}

/** The place behind the run of SACKed segments that begins at place `i`. */
export function tcpSackRunEnd(tp: TcpSock, rtx: SkbRing, i: number): number {
  return Math.max(i, rtx.find((rtx.at(i).cb[tp.st.cb + CB_SACK_RUN] - 1) | 0)) + 1;
}

/**
 * What begins at `low` was delivered after what was sent later: the distance is the degree of reordering. `byTimestamp`:
 * an echoed timestamp told. Linux: tcp_check_sack_reordering().
 */
export function tcpCheckSackReordering(tp: TcpSock, low: number, byTimestamp: boolean): void {
  const fack = tcpHighestSackSeq(tp);
  if (!before(low, fack)) return;
  const metric = (fack - low) | 0;
  const mss = tp.mssCache;
  if (mss !== 0 && metric > tp.reordering * mss) {
    tp.reordering = Math.min(Math.ceil(metric / mss), tp.st.sysctl.maxReordering);
  }
  tp.reordSeen++;
  if (byTimestamp) tp.st.mib.tcpExt.TCPTSReorder++;
  else tp.st.mib.tcpExt.TCPSACKReorder++;
}
