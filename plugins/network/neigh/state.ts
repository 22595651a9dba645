/**
 * The states of an entry and their timers. Linux: net/core/neighbour.c; RFC 4861 section 7.3, which Linux uses for ARP too.
 *
 * ```text
 *                first packet                    answer
 *   NONE, FAILED ───────────► INCOMPLETE ──────────────────────► REACHABLE ◄─┐ confirmed from above,
 *        ▲                     │ 3 × 1 s, no answer                │         │ or an answer to a probe
 *        └─────────────────────┤                        15 to 45 s │         │
 *                              │                                   ▼    use  │  5 s
 *                              │              learnt otherwise ─► STALE ──► DELAY ──► PROBE
 *                              └─────────────────────────────────────── 3 × 1 s, no answer ┘
 * ```
 */
import { DROP, G_LINK, type SkBuff } from "../../../core/mod.ts";
import {
  NUD_CONNECTED,
  NUD_DELAY,
  NUD_FAILED,
  NUD_IN_TIMER,
  NUD_INCOMPLETE,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
} from "./contract.ts";
import type { NeighEntry, NeighState } from "./table.ts";
import { ipToString } from "../inet/header.ts";

/** The shortest time between two probes, ms. */
const MIN_RETRANS = 10;

/** Arms the timer of the state, `delay` ms from now. REACHABLE has a lazy one. Linux: neigh_add_timer(). */
export function neighAddTimer(st: NeighState, n: NeighEntry, delay: number): void {
  st.machine.modTimer(n.nudState === NUD_REACHABLE ? n.lazy : n.timer, delay);
}

/** Linux: neigh_del_timer(). */
export function neighDelTimer(st: NeighState, n: NeighEntry): void {
  st.machine.delTimer(n.timer);
  st.machine.delTimer(n.lazy);
}

/** Sends one question; the packet that waits is its cause. Linux: neigh_probe(). */
function neighProbe(st: NeighState, n: NeighEntry): void {
  const waiting = n.arpQueue.tail;
  const pool = st.machine.skbs;
  const outer = pool.currentId;
  if (waiting !== null) pool.currentId = waiting.id;
  st.solicit.solicit(n, waiting);
  pool.currentId = outer;
  n.probes++;
}

/** Linux: neigh_max_probes(). */
function maxProbes(n: NeighEntry): number {
  const p = n.parms;
  return p.ucastSolicit + p.appSolicit + ((n.nudState & NUD_PROBE) !== 0 ? p.mcastResolicit : p.mcastSolicit);
}

/** Nobody answers: what waits is reported and dropped. Linux: neigh_invalidate(). */
export function neighInvalidate(st: NeighState, n: NeighEntry): void {
  st.stats.resFailed++;
  n.updated = st.machine.jiffies;
  // A report may make a new packet for this very entry, which starts it anew: then the rest waits for the new answer.
  while (n.nudState === NUD_FAILED) {
    const skb = n.arpQueue.dequeue();
    if (skb === null) break;
    n.arpQueueLenBytes -= skb.truesize;
    st.solicit.errorReport(n, skb);
  }
}

/** Linux: neigh_timer_handler(), net/core/neighbour.c. */
export function neighTimerHandler(st: NeighState, n: NeighEntry): void {
  if (n.dead || (n.nudState & NUD_IN_TIMER) === 0) return;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.timer, null, n.nudState, n.probes, n);
  if (n.nudState === NUD_REACHABLE) leaveReachable(st, n);
  else if (n.nudState === NUD_DELAY) leaveDelay(st, n);
  else if (n.probes >= maxProbes(n)) {
    n.nudState = NUD_FAILED;
    neighInvalidate(st, n);
  } else askAgain(st, n);
}

function leaveReachable(st: NeighState, n: NeighEntry): void {
  const now = st.machine.jiffies;
  const left = (n.confirmed + n.parms.reachableTime - now) | 0;
  if (left >= 0) {
    neighAddTimer(st, n, left);
    return;
  }
  n.updated = now;
  const recent = ((n.used + n.parms.delayProbeTime - now) | 0) >= 0;
  n.nudState = recent ? NUD_DELAY : NUD_STALE;
  if (recent) neighAddTimer(st, n, n.parms.delayProbeTime);
}

function leaveDelay(st: NeighState, n: NeighEntry): void {
  const now = st.machine.jiffies;
  n.updated = now;
  // A confirmation of the very jiffy in which DELAY began does not count: Linux's wheel never fires that exactly.
  if (((n.confirmed + n.parms.delayProbeTime - now) | 0) > 0) {
    n.nudState = NUD_REACHABLE;
    neighAddTimer(st, n, (n.confirmed + n.parms.reachableTime - now) | 0);
    return;
  }
  n.nudState = NUD_PROBE;
  n.probes = 0;
  askAgain(st, n);
}

function askAgain(st: NeighState, n: NeighEntry): void {
  neighAddTimer(st, n, Math.max(n.parms.retransTime, MIN_RETRANS));
  neighProbe(st, n);
}

/**
 * Somebody wants to use an entry that is not CONNECTED: with a packet, or (null) to have it resolved. True: it may be
 * used. False: the packet waits, or was dropped.
 * Linux: __neigh_event_send(), net/core/neighbour.c. Takes ownership of `skb` unless it returns true.
 */
export function neighEventSend(st: NeighState, n: NeighEntry, skb: SkBuff | null): boolean {
  const now = st.machine.jiffies;
  n.used = now;
  if ((n.nudState & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)) !== 0) return true;
  if (n.dead) {
    if (skb !== null) st.net.drop(skb, DROP.NEIGH_DEAD);
    return false;
  }
  if (n.nudState === NUD_STALE) {
    n.nudState = NUD_DELAY;
    n.updated = now;
    neighAddTimer(st, n, n.parms.delayProbeTime);
    return true;
  }
  if (n.nudState === NUD_INCOMPLETE) {
    if (skb !== null) park(st, n, skb);
    return false;
  }
  if (n.parms.mcastSolicit + n.parms.appSolicit === 0) {
    n.nudState = NUD_FAILED;
    n.updated = now;
    if (skb !== null) st.net.drop(skb, DROP.NEIGH_FAILED);
    return false;
  }
  // Unicast probes are counted as done: there is no address to send them to.
  n.probes = n.parms.ucastSolicit;
  n.nudState = NUD_INCOMPLETE;
  n.updated = now;
  if (skb !== null) park(st, n, skb);
  askAgain(st, n);
  return false;
}

/** Lets a packet wait; those that waited longest make room. Takes ownership of `skb`. */
function park(st: NeighState, n: NeighEntry, skb: SkBuff): void {
  while (n.arpQueueLenBytes + skb.truesize > n.parms.unresQlenBytes) {
    const oldest = n.arpQueue.dequeue();
    if (oldest === null) break;
    n.arpQueueLenBytes -= oldest.truesize;
    st.stats.unresolvedDiscards++;
    st.net.drop(oldest, DROP.NEIGH_QUEUEFULL);
  }
  if (skb.pool.debug) skb.holder = `neigh ${ipToString(n.primaryKey)} on ${n.dev.name}`;
  n.arpQueueLenBytes += skb.truesize;
  n.arpQueue.enqueue(skb);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.parked, skb, n.arpQueue.qlen, n.arpQueueLenBytes, n);
}
