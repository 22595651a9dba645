/**
 * CoDel: drops, or marks, when packets have waited too long for too long. RFC 8289; Linux: include/net/codel_impl.h.
 */

/** Parameters, ns. */
export interface CodelParams {
  /** A wait that is no standing queue. */
  readonly target: number;
  /** A wait above the target must last this long. */
  readonly interval: number;
  /** Bytes of one packet: a queue of less is left alone. */
  readonly mtu: number;
}

/** State of one queue. */
export class CodelVars {
  /** Drops since it began to drop. */
  count = 0;
  /** count when it last began. */
  lastCount = 0;
  /** It is dropping. */
  dropping = false;
  /** When the wait will have been above the target for an interval; 0: it is not. */
  firstAbove = 0;
  /** When the next one is dropped. */
  dropNext = 0;
}

/** The next drop comes the sooner, the more there were. RFC 8289 section 5.3. */
export function controlLaw(p: CodelParams, t: number, count: number): number {
  return t + p.interval / Math.sqrt(count);
}

/** Whether a packet that waited `sojourn` may be dropped now. Linux: codel_should_drop(). */
export function codelShouldDrop(v: CodelVars, p: CodelParams, sojourn: number, backlog: number, now: number): boolean {
  if (sojourn < p.target || backlog <= p.mtu) {
    v.firstAbove = 0;
    return false;
  }
  if (v.firstAbove === 0) {
    v.firstAbove = now + p.interval;
    return false;
  }
  return now > v.firstAbove;
}

/** It begins to drop: where it has just dropped, near the rate that it had. Linux: codel_dequeue(). */
export function codelEnterDropping(v: CodelVars, p: CodelParams, now: number): void {
  v.dropping = true;
  const delta = v.count - v.lastCount;
  v.count = delta > 1 && now - v.dropNext < 16 * p.interval ? delta : 1;
  v.lastCount = v.count;
  v.dropNext = controlLaw(p, now, v.count);
}
