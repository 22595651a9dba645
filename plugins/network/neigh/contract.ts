/**
 * Neighbours: which link address a next hop has. Linux: net/core/neighbour.c, struct neighbour, RFC 4861's states.
 *
 * @module
 */
import { IFF_LOOPBACK, IFF_NOARP, type NetDevice, type SkBuff, type Token } from "../../../core/mod.ts";

/** Asking; packets wait. */
export const NUD_INCOMPLETE = 0x01;
/** Confirmed lately. */
export const NUD_REACHABLE = 0x02;
/** Known, not confirmed lately; used as it is. */
export const NUD_STALE = 0x04;
/** Used while stale; a confirmation may still come from above. */
export const NUD_DELAY = 0x08;
/** Asking by unicast. */
export const NUD_PROBE = 0x10;
/** Does not answer. */
export const NUD_FAILED = 0x20;
/** Needs no address resolution. */
export const NUD_NOARP = 0x40;
/** Set by hand. */
export const NUD_PERMANENT = 0x80;
/** Nothing yet. */
export const NUD_NONE = 0x00;
/** No timer checks it. */
export const NUD_CONNECTED: number = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE;
/** Has an address. */
export const NUD_VALID: number = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
/** A timer runs. */
export const NUD_IN_TIMER: number = NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE;

/** `update`: the address may change. */
export const NEIGH_UPDATE_F_OVERRIDE = 0x1;
/** `update`: a changed address makes a reachable entry stale. */
export const NEIGH_UPDATE_F_WEAK_OVERRIDE = 0x2;
/** `update`: by the administrator. */
export const NEIGH_UPDATE_F_ADMIN = 0x80000000 | 0;

/** What is known about one next hop on one device. */
export interface Neighbour {
  /** Address family: 4 or 6. */
  readonly family: number;
  /** The device. */
  readonly dev: NetDevice;
  /** The next hop, int32. */
  readonly primaryKey: number;
  /** NUD_*. */
  nudState: number;
  /** High 16 bits of the link address. */
  haHi: number;
  /** Low 32 bits of the link address. */
  haLo: number;
  /** Jiffy of the last confirmation. */
  confirmed: number;
  /** Jiffy of the last use. */
  used: number;
  /** Jiffy of the last change. */
  updated: number;
  /** Removed from the table: look it up again. */
  dead: boolean;
  /** Probes sent in this state. */
  probes: number;
  /** Bytes (truesize) of packets that wait. */
  arpQueueLenBytes: number;
}

/** Parameters: net.ipv4.neigh.DEV.*, Linux's defaults. Times in ms. */
export interface NeighParms {
  /** Time that an entry stays reachable is random around this. 30,000. */
  baseReachableTime: number;
  /** Between probes. 1,000. */
  retransTime: number;
  /** Before an unused stale entry may be removed. 60,000. */
  gcStaletime: number;
  /** Before the first probe of an entry that is used while stale. 5,000. */
  delayProbeTime: number;
  /** Bytes of packets that wait for one entry. 212,992. */
  unresQlenBytes: number;
  /** Multicast probes. 3. */
  mcastSolicit: number;
  /** Unicast probes. 3. */
  ucastSolicit: number;
  /** Probes by a user-space daemon. 0. */
  appSolicit: number;
  /** An address does not change twice within this time. 1,000. */
  locktime: number;
  /** Multicast probes after the unicast ones failed. 0. */
  mcastResolicit: number;
  /** An answer for another host waits for a random time below this. 800. */
  proxyDelay: number;
  /** Answers for other hosts that wait. 64. */
  proxyQlen: number;
  /** What {@linkcode baseReachableTime} came to this time: random from half to one and a half of it. */
  reachableTime: number;
}

/** What an address resolution protocol does for the table; filled by arp. Linux: struct neigh_table. */
export interface NeighSolicit {
  /** Asks for an entry; `skb` is the packet that waits last, or null. Borrows `skb`. Linux: arp_solicit(). */
  solicit(neigh: Neighbour, skb: SkBuff | null): void;
  /** The entry failed; called for each packet that waited. Takes ownership of `skb`. Linux: arp_error_report(). */
  errorReport(neigh: Neighbour, skb: SkBuff): void;
  /** Prepares a new entry: state and address of NOARP, multicast and broadcast. Linux: arp_constructor(). */
  construct(neigh: Neighbour): void;
}

/** The neighbour table of a net. */
export interface NeighTable {
  /** The entry, or null. Linux: neigh_lookup(). */
  lookup(dev: NetDevice, key: number): Neighbour | null;
  /** The entry, made where missing; null: the table is full (gc_thresh3). Linux: neigh_create(). */
  create(dev: NetDevice, key: number): Neighbour | null;
  /**
   * Sends a packet to the entry: pushes the link header and queues it, or parks it and asks.
   * Returns NET_XMIT_* or a negative errno. Linux: neigh_output(). Takes ownership of `skb`.
   */
  output(neigh: Neighbour, skb: SkBuff): number;
  /** Learns: address and new state; flags NEIGH_UPDATE_F_*. 0 or a negative errno. Linux: neigh_update(). */
  update(neigh: Neighbour, haHi: number, haLo: number, state: number, flags: number): number;
  /** The layer above knows that it is reachable. Linux: neigh_confirm(). */
  confirm(neigh: Neighbour): void;
  /** Asks for an entry now, although no packet waits: a redirect names it. Linux: neigh_event_send(n, NULL). */
  probe(neigh: Neighbour): void;
  /** `ip neigh replace`: PERMANENT unless told. */
  set(dev: NetDevice, ip: string, mac: string, state?: number): number;
  /** `ip neigh del`. */
  del(dev: NetDevice, ip: string): number;
  /** Removes all entries of a device that are not permanent. Linux: neigh_changeaddr(), neigh_ifdown(). */
  flush(dev: NetDevice, permanentToo: boolean): void;
  /** All entries. */
  list(): readonly Neighbour[];
  /** The parameters of a device. */
  parms(dev: NetDevice): NeighParms;
  /** Sets who asks; returns its undo. */
  setSolicit(ops: NeighSolicit): () => void;
  /** Limits: gc_thresh1, 2, 3: 128, 512, 1,024. */
  readonly gcThresh: [number, number, number];
  /** Counters of /proc/net/stat/arp_cache. */
  readonly stats: {
    allocs: number;
    destroys: number;
    lookups: number;
    hits: number;
    resFailed: number;
    unresolvedDiscards: number;
    tableFulls: number;
  };
}

/** Its token. */
export const NEIGH: Token<NeighTable> = { name: "netpath:neigh" };

/**
 * Makes a new entry NOARP where its device resolves nothing: no link header, IFF_NOARP, loopback. False: it resolves.
 * Linux: the family-independent part of arp_constructor().
 */
export function neighNoArp(neigh: Neighbour): boolean {
  const dev = neigh.dev;
  if (dev.headerOps.hardHeaderLen !== 0 && (dev.flags & (IFF_NOARP | IFF_LOOPBACK)) === 0) return false;
  neigh.nudState = NUD_NOARP;
  neigh.haHi = dev.addrHi;
  neigh.haLo = dev.addrLo;
  return true;
}
