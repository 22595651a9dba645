/** Learning. Linux: __neigh_update(), net/core/neighbour.c. */
import { ERRNO, G_LINK } from "../../../core/mod.ts";
import {
  NEIGH_UPDATE_F_ADMIN,
  NEIGH_UPDATE_F_OVERRIDE,
  NEIGH_UPDATE_F_WEAK_OVERRIDE,
  NUD_CONNECTED,
  NUD_FAILED,
  NUD_IN_TIMER,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
  NUD_VALID,
} from "./contract.ts";
import { gcAccount, type NeighEntry, type NeighState } from "./table.ts";
import { neighAddTimer, neighDelTimer, neighInvalidate } from "./state.ts";
import { neighOutput } from "./output.ts";

/**
 * An entry learns an address and a state.
 *
 * - A dead entry learns nothing (-EINVAL); one that is NOARP or PERMANENT only from the administrator (-EPERM).
 * - A known address gives way to another one only with OVERRIDE. With WEAK_OVERRIDE it stays and becomes suspect.
 * - The same address with state STALE is no news: a state that is better stays.
 * - Once there is an address, what waited goes out in order.
 *
 * Linux: __neigh_update(), net/core/neighbour.c.
 */
export function neighUpdate(
  st: NeighState,
  n: NeighEntry,
  haHi: number,
  haLo: number,
  state: number,
  flags: number,
): number {
  const old = n.nudState;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.update, null, state, flags, n);
  if (n.dead) return -ERRNO.EINVAL;
  const admin = (flags & NEIGH_UPDATE_F_ADMIN) !== 0;
  if (!admin && (old & (NUD_NOARP | NUD_PERMANENT)) !== 0) return -ERRNO.EPERM;
  if ((state & NUD_VALID) === 0) {
    unlearn(st, n, old, state);
    return 0;
  }
  const now = st.machine.jiffies;
  const known = (old & NUD_VALID) !== 0;
  let moves = !known || haHi !== n.haHi || haLo !== n.haLo;
  if ((state & NUD_CONNECTED) !== 0) n.confirmed = now;
  if (known && moves && (flags & NEIGH_UPDATE_F_OVERRIDE) === 0) {
    if ((flags & NEIGH_UPDATE_F_WEAK_OVERRIDE) === 0 || (old & NUD_CONNECTED) === 0) return 0;
    moves = false;
    state = NUD_STALE;
  } else if (known && !moves && state === NUD_STALE && !admin) state = old;
  // `updated` starts the locktime: a repetition must not, or news would never be let in.
  if (state !== old || moves) n.updated = now;
  if (state !== old) enter(st, n, state);
  if (moves) {
    n.haHi = haHi;
    n.haLo = haLo;
    // An address that nobody has confirmed is as old as can be.
    if ((state & NUD_CONNECTED) === 0) n.confirmed = (now - 2 * n.parms.baseReachableTime) | 0;
  }
  if (!known) release(st, n);
  return 0;
}

function enter(st: NeighState, n: NeighEntry, state: number): void {
  neighDelTimer(st, n);
  if ((state & NUD_PROBE) !== 0) n.probes = 0;
  n.nudState = state;
  if ((state & NUD_IN_TIMER) !== 0) neighAddTimer(st, n, (state & NUD_REACHABLE) !== 0 ? n.parms.reachableTime : 0);
  gcAccount(st, n);
}

/** The address is gone, or was found not to be there. */
function unlearn(st: NeighState, n: NeighEntry, old: number, state: number): void {
  enter(st, n, state);
  if ((old & (NUD_INCOMPLETE | NUD_PROBE)) !== 0 && (state & NUD_FAILED) !== 0) neighInvalidate(st, n);
}

/** What waited goes down, oldest first. */
function release(st: NeighState, n: NeighEntry): void {
  while ((n.nudState & NUD_VALID) !== 0) {
    const skb = n.arpQueue.dequeue();
    if (skb === null) break;
    n.arpQueueLenBytes -= skb.truesize;
    neighOutput(st, n, skb);
  }
}
