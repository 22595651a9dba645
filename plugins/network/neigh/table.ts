/**
 * The table: entries by (device, next hop) in chains of a hash keyed by a secret, limits and garbage collection.
 * Linux: net/core/neighbour.c.
 *
 * ```text
 *   buckets[hash & mask] ─► entry ─► entry        all entries
 *   gcHead ◄─► entry ◄─► ... ◄─► gcTail           those that count against gc_thresh: all but PERMANENT, oldest first
 * ```
 */
import {
  DROP,
  type EventBus,
  G_LINK,
  IFF_LOOPBACK,
  IFF_POINTOPOINT,
  type Machine,
  type Net,
  type NetDevice,
  type Platform,
  SkbQueue,
  Timer,
} from "../../../core/mod.ts";
import {
  type Neighbour,
  neighNoArp,
  type NeighSolicit,
  NUD_FAILED,
  NUD_NOARP,
  NUD_NONE,
  NUD_PERMANENT,
} from "./contract.ts";
import { deviceParms, Parms, type ParmsOwner } from "./parms.ts";

/** Forced collection spares what changed within this time, ms. */
const GC_YOUNG = 5_000;
/** How often the reachable times are drawn anew, ms. */
const RANDOMIZE_EVERY = 300_000;

/** An entry. One hidden class. */
export class NeighEntry implements Neighbour {
  readonly family: number = 4;
  declare readonly dev: NetDevice;
  declare readonly primaryKey: number;
  nudState: number = NUD_NONE;
  haHi = 0;
  haLo = 0;
  declare confirmed: number;
  declare used: number;
  declare updated: number;
  dead = false;
  probes = 0;
  arpQueueLenBytes = 0;
  /** Packets that wait for the address. */
  readonly arpQueue: SkbQueue = new SkbQueue();
  /** Parameters of its device. */
  declare readonly parms: Parms;
  /** Its hash. */
  declare readonly hash: number;
  /** Link of the chain. */
  next: NeighEntry | null = null;
  /** On the list of those that may be collected. */
  onGc = false;
  /** Neighbours on that list. */
  gcPrev: NeighEntry | null = null;
  /** Neighbours on that list. */
  gcNext: NeighEntry | null = null;
  /** Asks again, or goes from DELAY to PROBE. */
  declare readonly timer: Timer;
  /** Ends REACHABLE. Nothing leaves the host when it fires: alone it keeps no virtual time running. */
  declare readonly lazy: Timer;

  /** An entry that is in no table yet. */
  constructor(st: NeighState, dev: NetDevice, key: number, hash: number) {
    this.dev = dev;
    this.primaryKey = key;
    this.hash = hash;
    this.parms = st.parms(dev);
    const now = st.machine.jiffies;
    this.used = this.updated = now;
    this.confirmed = (now - 2 * this.parms.baseReachableTime) | 0;
    this.timer = new Timer(() => st.onTimer(this));
    this.lazy = new Timer(() => st.onTimer(this), true);
  }

  /** A timer will look at it: it is not collected. */
  get busy(): boolean {
    return this.timer.pending || this.lazy.pending;
  }
}

/** Ids of the tracepoints. */
export interface NeighTracepoints {
  /** A packet comes: `a` = state. */
  readonly output: number;
  /** It waits: `a` = packets that wait, `b` = bytes. */
  readonly parked: number;
  /** It has its link header: `a` = state. */
  readonly connected: number;
  /** An entry was made, obj = Neighbour. */
  readonly create: number;
  /** An entry learns: `a` = new state, `b` = flags. */
  readonly update: number;
  /** A timer fired: `a` = state. */
  readonly timer: number;
  /** An entry goes. */
  readonly cleanup: number;
}

function tracepoints(bus: EventBus): NeighTracepoints {
  const id = (name: string, linux: string): number => bus.define({ name: `neigh:${name}`, linux, group: G_LINK });
  return {
    output: id("neigh_output", "neigh_output"),
    parked: id("neigh_event_send_done", "__neigh_event_send"),
    connected: id("neigh_connected_output", "neigh_connected_output"),
    create: id("neigh_create", "___neigh_create"),
    update: id("neigh_update", "__neigh_update"),
    timer: id("neigh_timer_handler", "neigh_timer_handler"),
    cleanup: id("neigh_cleanup_and_release", "neigh_cleanup_and_release"),
  };
}

/** Without a resolution protocol: devices that need none work, others get no answer. */
function noSolicit(net: Net): NeighSolicit {
  return {
    solicit: () => {},
    errorReport: (_neigh, skb) => net.drop(skb, DROP.NEIGH_FAILED),
    construct: (neigh) => void neighNoArp(neigh),
  };
}

/** All that the path functions need. One per net; it survives a swap of the plugin. */
export class NeighState implements ParmsOwner {
  /** The net. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** Randomness. */
  declare readonly platform: Platform;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** Their ids. */
  declare readonly tp: NeighTracepoints;
  /** Chains; their number is a power of two. */
  buckets: (NeighEntry | null)[] = new Array<NeighEntry | null>(16).fill(null);
  /** Entries in all. */
  entries = 0;
  /** Entries that count against the limits. */
  gcEntries = 0;
  /** Oldest of these. */
  gcHead: NeighEntry | null = null;
  /** Youngest of these. */
  gcTail: NeighEntry | null = null;
  /** Jiffy of the last forced collection. */
  declare lastFlush: number;
  /** Jiffy in which a forced collection found nothing; it is not tried again in that jiffy. */
  declare lastFutile: number;
  /** Jiffy at which the reachable times were drawn. */
  declare lastRand: number;
  /** Who asks. */
  declare readonly noSolicit: NeighSolicit;
  /** Who asks now. */
  declare solicit: NeighSolicit;
  /** Called by the entries' timers; the plugin that is in the net sets it. */
  onTimer: (n: NeighEntry) => void = () => {};
  /** See {@linkcode ParmsOwner}. */
  readonly defaults: Parms = new Parms();
  /** See {@linkcode ParmsOwner}. */
  readonly gcThresh: [number, number, number] = [128, 512, 1024];
  /** See {@linkcode ParmsOwner}. */
  gcInterval = 30;
  /** See {@linkcode NeighTable.stats}. */
  readonly stats = {
    allocs: 0,
    destroys: 0,
    lookups: 0,
    hits: 0,
    resFailed: 0,
    unresolvedDiscards: 0,
    tableFulls: 0,
  };
  readonly #parms = new Map<string, Parms>();
  readonly #rnd0: number = 0;
  readonly #rnd1: number = 0;

  /** An empty table. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.platform = net.machine.platform;
    this.bus = net.machine.bus;
    this.tp = tracepoints(this.bus);
    this.#rnd0 = this.platform.random();
    this.#rnd1 = this.platform.random() | 1;
    this.noSolicit = this.solicit = noSolicit(net);
    this.lastFlush = this.lastRand = this.machine.jiffies;
    this.lastFutile = this.machine.jiffies - 1;
    this.defaults.randomize(this.platform);
  }

  /** Parameters of a device, made where missing. */
  parms(dev: NetDevice): Parms {
    let parms = this.#parms.get(dev.name);
    if (parms === undefined) this.#parms.set(dev.name, parms = deviceParms(this));
    return parms;
  }

  /** See {@linkcode ParmsOwner.find}. */
  find(name: string): Parms | null {
    const dev = this.net.device(name);
    return dev === undefined ? null : this.parms(dev);
  }

  /** See {@linkcode ParmsOwner.names}. */
  names(): string[] {
    return this.net.devices.map((dev) => dev.name);
  }

  /** The device is gone. */
  forget(dev: NetDevice): void {
    this.#parms.delete(dev.name);
  }

  /** A hash that nobody outside can aim at: two multiplications with secrets, every bit stirred. */
  hash(key: number, ifindex: number): number {
    let h = Math.imul(key ^ this.#rnd0, this.#rnd1);
    h = Math.imul(h ^ (h >>> 15) ^ ifindex, 0x2c1b3c6d);
    return h ^ (h >>> 13);
  }
}

/** All next hops of a device without addresses are one. Linux: arp_constructor() and its callers use INADDR_ANY. */
function keyOf(dev: NetDevice, key: number): number {
  return (dev.flags & (IFF_LOOPBACK | IFF_POINTOPOINT)) !== 0 ? 0 : key | 0;
}

function findEntry(st: NeighState, dev: NetDevice, key: number, hash: number): NeighEntry | null {
  let n = st.buckets[hash & (st.buckets.length - 1)];
  while (n !== null && (n.primaryKey !== key || n.dev !== dev)) n = n.next;
  return n;
}

/** Linux: neigh_lookup(), net/core/neighbour.c. */
export function neighLookup(st: NeighState, dev: NetDevice, key: number): NeighEntry | null {
  st.stats.lookups++;
  const k = keyOf(dev, key);
  const n = findEntry(st, dev, k, st.hash(k, dev.ifindex));
  if (n !== null) st.stats.hits++;
  return n;
}

/** Linux: __neigh_create(), net/core/neighbour.c. `exempt`: set by hand, the limits do not matter. Null: table full. */
export function neighCreate(st: NeighState, dev: NetDevice, key: number, exempt: boolean): NeighEntry | null {
  const k = keyOf(dev, key);
  const hash = st.hash(k, dev.ifindex);
  const known = findEntry(st, dev, k, hash);
  if (known !== null) return known;
  if (!exempt && !makeRoom(st)) {
    st.stats.tableFulls++;
    return null;
  }
  const n = new NeighEntry(st, dev, k, hash);
  st.stats.allocs++;
  st.solicit.construct(n);
  if (st.entries >= st.buckets.length) grow(st);
  const i = hash & (st.buckets.length - 1);
  n.next = st.buckets[i];
  st.buckets[i] = n;
  st.entries++;
  if (!exempt) gcLink(st, n);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.create, null, n.nudState, 0, n);
  return n;
}

/** Linux: neigh_hash_grow(). */
function grow(st: NeighState): void {
  const bigger = new Array<NeighEntry | null>(st.buckets.length * 2).fill(null);
  for (let i = 0; i < st.buckets.length; i++) {
    for (let n = st.buckets[i]; n !== null;) {
      const next: NeighEntry | null = n.next;
      const to = n.hash & (bigger.length - 1);
      n.next = bigger[to];
      bigger[to] = n;
      n = next;
    }
  }
  st.buckets = bigger;
}

function gcLink(st: NeighState, n: NeighEntry): void {
  n.onGc = true;
  n.gcPrev = st.gcTail;
  n.gcNext = null;
  if (st.gcTail === null) st.gcHead = n;
  else st.gcTail.gcNext = n;
  st.gcTail = n;
  st.gcEntries++;
}

function gcUnlink(st: NeighState, n: NeighEntry): void {
  n.onGc = false;
  if (n.gcPrev === null) st.gcHead = n.gcNext;
  else n.gcPrev.gcNext = n.gcNext;
  if (n.gcNext === null) st.gcTail = n.gcPrev;
  else n.gcNext.gcPrev = n.gcPrev;
  n.gcPrev = n.gcNext = null;
  st.gcEntries--;
}

/** An entry became PERMANENT, or is no longer. Linux: neigh_update_gc_list(). */
export function gcAccount(st: NeighState, n: NeighEntry): void {
  const exempt = (n.nudState & NUD_PERMANENT) !== 0;
  if (n.dead || exempt !== n.onGc) return;
  if (exempt) gcUnlink(st, n);
  else gcLink(st, n);
}

/** Whether one more entry may be made. Linux: neigh_alloc(). */
function makeRoom(st: NeighState): boolean {
  const now = st.machine.jiffies;
  const count = st.gcEntries;
  if (count < st.gcThresh[1]) return true;
  if (count < st.gcThresh[2] && ((now - st.lastFlush) | 0) <= GC_YOUNG) return true;
  return forcedGc(st) > 0 || count < st.gcThresh[2];
}

/**
 * Throws out what is of no use until gc_thresh2 is reached: FAILED, NOARP, and what has not changed for 5 s. Entries
 * that a timer watches (they are being resolved or are in use) stay, and PERMANENT ones are not on the list.
 * Linux: neigh_forced_gc().
 */
function forcedGc(st: NeighState): number {
  const now = st.machine.jiffies;
  if (st.lastFutile === now) return 0;
  const max = Math.max(1, st.gcEntries - st.gcThresh[1]);
  let gone = 0;
  for (let n = st.gcHead; n !== null && gone < max;) {
    const next: NeighEntry | null = n.gcNext;
    const useless = (n.nudState & (NUD_FAILED | NUD_NOARP)) !== 0 || ((now - n.updated) | 0) > GC_YOUNG;
    if (!n.busy && useless) {
      neighRemove(st, n);
      gone++;
    }
    n = next;
  }
  st.lastFlush = now;
  if (gone === 0) st.lastFutile = now;
  return gone;
}

/** Drops what nobody has used for gc_stale_time, once there are gc_thresh1 entries. Linux: neigh_periodic_work(). */
export function neighPeriodicWork(st: NeighState): void {
  const now = st.machine.jiffies;
  if (((now - st.lastRand) | 0) > RANDOMIZE_EVERY) {
    st.lastRand = now;
    st.defaults.randomize(st.platform);
    for (const dev of st.net.devices) st.parms(dev).randomize(st.platform);
  }
  if (st.entries < st.gcThresh[0]) return;
  for (let i = 0; i < st.buckets.length; i++) {
    for (let n = st.buckets[i]; n !== null;) {
      const next: NeighEntry | null = n.next;
      if ((n.nudState & NUD_PERMANENT) === 0) collect(st, n, now);
      n = next;
    }
  }
}

function collect(st: NeighState, n: NeighEntry, now: number): void {
  if (((n.confirmed - n.used) | 0) > 0) n.used = n.confirmed;
  const unused = ((now - n.used) | 0) >= n.parms.gcStaletime;
  if (!n.busy && (n.nudState === NUD_FAILED || unused)) neighRemove(st, n);
}

/** Takes an entry out and drops what waits for it. Linux: neigh_remove_one(), neigh_cleanup_and_release(). */
export function neighRemove(st: NeighState, n: NeighEntry): void {
  if (n.dead) return;
  const i = n.hash & (st.buckets.length - 1);
  if (st.buckets[i] === n) st.buckets[i] = n.next;
  else {
    let before = st.buckets[i];
    while (before !== null && before.next !== n) before = before.next;
    if (before !== null) before.next = n.next;
  }
  n.next = null;
  if (n.onGc) gcUnlink(st, n);
  st.entries--;
  st.stats.destroys++;
  n.dead = true;
  // Whoever still holds it must not take the fast path.
  n.nudState = NUD_NONE;
  st.machine.delTimer(n.timer);
  st.machine.delTimer(n.lazy);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.cleanup, null, 0, 0, n);
  for (let skb = n.arpQueue.dequeue(); skb !== null; skb = n.arpQueue.dequeue()) st.net.drop(skb, DROP.QUEUE_PURGE);
  n.arpQueueLenBytes = 0;
}

/** Linux: neigh_flush_dev(). */
export function neighFlush(st: NeighState, dev: NetDevice, permanentToo: boolean): void {
  for (const n of neighList(st)) {
    if (n.dev === dev && (permanentToo || (n.nudState & NUD_PERMANENT) === 0)) neighRemove(st, n);
  }
}

/** All entries. */
export function neighList(st: NeighState): NeighEntry[] {
  const out: NeighEntry[] = [];
  for (const head of st.buckets) for (let n = head; n !== null; n = n.next) out.push(n);
  return out;
}
