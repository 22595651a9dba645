/**
 * Where a packet goes, as an object that packets and sockets hold. Linux: struct rtable, net/ipv4/route.c.
 */
import type { NetDevice } from "../../../core/mod.ts";
import type { Neighbour } from "../neigh/contract.ts";
import { type Dst, type DstMetrics, RTAX_MTU } from "./contract.ts";

/** The generation of all that was looked up: one number to make it all obsolete. Linux: rt_genid. */
export class Generation {
  /** Counts changes. */
  now = 0;
}

/** A way. Shared by all destinations of a route that have nothing of their own. */
export class RtDst implements Dst {
  /** Obsolete by itself, whatever the generation. */
  killed = false;
  readonly #gen: Generation;
  readonly #made: number = 0;
  /** IPv4. */
  readonly family: number = 4;
  /** RTN_*. */
  declare readonly type: number;
  /** The device it leaves by. */
  declare readonly dev: NetDevice;
  /** The next hop, 0: the destination. */
  declare readonly gateway: number;
  /** Source of our own packets. */
  declare readonly prefsrc: number;
  /** To be forwarded. */
  declare readonly forward: boolean;
  /** A redirect is due. */
  declare readonly doRedirect: boolean;
  /** MTU that the route was given, 0: none. */
  declare readonly mtu: number;
  /** What the route says about its paths. */
  declare readonly metrics: DstMetrics | null;
  /** Its neighbour. */
  neigh: Neighbour | null = null;
  /** Path MTU learnt, 0: none. */
  pmtu = 0;
  /** Jiffy at which it is forgotten. */
  pmtuExpires = 0;
  /** It was below min_pmtu, or the route's own is locked. */
  pmtuLocked = false;
  /** Made for one destination that learnt something: it ends at {@linkcode expires}. */
  exception = false;
  /** Jiffy. */
  expires = 0;

  /** A way that is good as long as `gen` does not change. */
  constructor(
    gen: Generation,
    type: number,
    dev: NetDevice,
    gateway: number,
    prefsrc: number,
    forward: boolean,
    doRedirect: boolean,
    metrics: DstMetrics | null,
  ) {
    this.#gen = gen;
    this.#made = gen.now;
    this.type = type;
    this.dev = dev;
    this.gateway = gateway;
    this.prefsrc = prefsrc;
    this.forward = forward;
    this.doRedirect = doRedirect;
    this.metrics = metrics;
    this.mtu = metrics === null ? 0 : metrics.mtu;
    if (metrics !== null && (metrics.lock & 1 << RTAX_MTU) !== 0) this.pmtuLocked = true;
  }

  /** Look it up again. Linux: ipv4_dst_check(). */
  get obsolete(): boolean {
    return this.killed || this.#made !== this.#gen.now;
  }
  set obsolete(obsolete: boolean) {
    this.killed = obsolete;
  }
}
