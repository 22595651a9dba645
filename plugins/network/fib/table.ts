/**
 * Routes and tables. Linux: net/ipv4/fib_trie.c, struct fib_info, struct fib_alias.
 *
 * Theory of operation. A *FibInfo* is what routes have in common (next hop, device, source, type, metric); routes that
 * agree share one. A *FibAlias* is one route: a prefix and its FibInfo. The aliases of one prefix are a list, best
 * first. The head of each list is in the trie (trie.ts) as the FibInfo's number, and that is all that most look-ups
 * touch: trie, then FibInfo. Where the head does not do (another device is asked for, the carrier is away), the lists
 * are walked from the longest prefix to the shortest: {@linkcode FibTable.walk}.
 *
 * Tables local (255) and main (254) are one table as long as nobody makes rules, as in Linux: the longest prefix of both
 * wins, and local comes first only for the same prefix.
 */
import { ERRNO, type NetDevice } from "../../../core/mod.ts";
import { makeMask } from "../inet/header.ts";
import { RT_SCOPE_NOWHERE } from "../devinet/contract.ts";
import { type DstMetrics, RTN_BLACKHOLE, RTN_PROHIBIT, RTN_THROW, RTN_UNREACHABLE } from "./contract.ts";
import type { RtDst } from "./dst.ts";
import { metricsText } from "./metrics.ts";
import { leafOf, LpmTrie } from "./trie.ts";

/** Not defined by Linux as an errno of sockets: nothing here, look in the next table. */
export const EAGAIN: number = ERRNO.EAGAIN;

/** The table of users' routes. */
export const RT_TABLE_MAIN = 254;
/** The table of addresses. */
export const RT_TABLE_LOCAL = 255;
/** The table that is asked last. */
export const RT_TABLE_DEFAULT = 253;

/** Who made a route. Linux: RTPROT_*. */
export const RTPROT_KERNEL = 2;
/** By hand, unless it says otherwise. */
export const RTPROT_BOOT = 3;
/** By the administrator. */
export const RTPROT_STATIC = 4;

/** What a route of this type answers: a positive errno, 0: a way. */
export function typeError(type: number): number {
  switch (type) {
    case RTN_BLACKHOLE:
      return ERRNO.EINVAL;
    case RTN_UNREACHABLE:
      return ERRNO.EHOSTUNREACH;
    case RTN_PROHIBIT:
      return ERRNO.EACCES;
    case RTN_THROW:
      return EAGAIN;
    default:
      return 0;
  }
}

/** What distinguishes FibInfos. Addresses are int32. */
export interface FibKey {
  /** RTN_*. */
  type: number;
  /** RT_SCOPE_*. */
  scope: number;
  /** RTPROT_*. */
  protocol: number;
  /** Preferred source, 0: none. */
  prefsrc: number;
  /** Metric. */
  priority: number;
  /** What it says about its paths; null: nothing. */
  metrics: DstMetrics | null;
  /** Gateway, 0: none. */
  gw: number;
  /** RTNH_F_ONLINK. */
  onlink: boolean;
  /** The device; null for routes that answer with an error. */
  dev: NetDevice | null;
  /** RT_SCOPE_* of the next hop: LINK for a gateway that is used as one. */
  nhScope: number;
  /** The table it was made for. */
  table: number;
}

/** What routes share. Linux: struct fib_info with its one struct fib_nh. The fields of the path stand first. */
export class FibInfo implements FibKey {
  /** It is a way, and its carrier does not matter or is there: the head of a list may be taken as it is. */
  plain = true;
  /** ifindex of its device, 0: none. */
  declare readonly oif: number;
  /** RTN_*. */
  declare readonly type: number;
  /** The device. */
  declare readonly dev: NetDevice | null;
  /** Shared ways, made when asked for: our own packets. */
  out: RtDst | null = null;
  /** Received packets that are for others. */
  forward: RtDst | null = null;
  /** The same, with a redirect to the sender. */
  redirect: RtDst | null = null;
  /** Received packets that are for us. */
  input: RtDst | null = null;
  /** Gateway, 0: none. */
  declare readonly gw: number;
  /** RT_SCOPE_* of the next hop. */
  declare readonly nhScope: number;
  /** Preferred source, 0: none. */
  declare readonly prefsrc: number;
  /** Number, from 1: what the trie holds. */
  declare readonly id: number;
  /** RT_SCOPE_*. */
  declare readonly scope: number;
  /** RTPROT_*. */
  declare readonly protocol: number;
  /** Metric. */
  declare readonly priority: number;
  /** What it says about its paths; null: nothing. */
  declare readonly metrics: DstMetrics | null;
  /** RTNH_F_ONLINK. */
  declare readonly onlink: boolean;
  /** The table it was made for. */
  declare readonly table: number;
  /** Positive errno that it answers, 0: a way. */
  declare readonly error: number;
  /** Routes that share it. */
  refs = 0;
  /** Its device is gone: its routes go. Linux: RTNH_F_DEAD. */
  dead = false;
  /** Its device has no carrier. Linux: RTNH_F_LINKDOWN. */
  linkdown = false;
  /** Without carrier, and its device's ignore_routes_with_linkdown is set. */
  skip = false;

  /** One that no route uses yet. */
  constructor(id: number, key: FibKey) {
    this.id = id;
    this.type = key.type;
    this.scope = key.scope;
    this.protocol = key.protocol;
    this.prefsrc = key.prefsrc;
    this.priority = key.priority;
    this.metrics = key.metrics;
    this.gw = key.gw;
    this.onlink = key.onlink;
    this.dev = key.dev;
    this.oif = key.dev === null ? 0 : key.dev.ifindex;
    this.nhScope = key.nhScope;
    this.table = key.table;
    this.error = typeError(key.type);
    this.setLink(false);
  }

  /** Looks at the carrier; `ignore`: routes without one are not used. */
  setLink(ignore: boolean): void {
    this.linkdown = this.dev !== null && this.nhScope !== RT_SCOPE_NOWHERE && !this.dev.carrier;
    this.skip = this.linkdown && ignore;
    this.plain = this.error === 0 && !this.skip;
  }
}

/** The FibInfos of a net: equal ones are one. Linux: fib_info_hash. */
export class FibInfos {
  /** By number; 0 is empty. */
  readonly list: (FibInfo | null)[] = [null];
  readonly #byKey = new Map<string, FibInfo>();
  readonly #free: number[] = [];

  /** The one for a key, made where missing. */
  intern(key: FibKey): FibInfo {
    const text = keyText(key);
    const known = this.#byKey.get(text);
    if (known !== undefined && !known.dead) return known;
    const id = this.#free.pop() ?? this.list.length;
    const fi = new FibInfo(id, key);
    this.list[id] = fi;
    this.#byKey.set(text, fi);
    return fi;
  }

  /** One route less uses it. */
  put(fi: FibInfo): void {
    if (--fi.refs > 0) return;
    this.kill(fi);
    const text = keyText(fi);
    if (this.#byKey.get(text) === fi) this.#byKey.delete(text);
    this.list[fi.id] = null;
    this.#free.push(fi.id);
  }

  /** All ways that were handed out are obsolete. */
  kill(fi: FibInfo): void {
    for (const dst of [fi.out, fi.forward, fi.redirect, fi.input]) if (dst !== null) dst.killed = true;
    fi.out =
      fi.forward =
      fi.redirect =
      fi.input =
        null;
  }
}

function keyText(k: FibKey): string {
  const dev = k.dev === null ? 0 : k.dev.ifindex;
  const gw = k.onlink ? `${k.gw}!` : k.gw;
  const metrics = metricsText(k.metrics);
  return `${k.type} ${k.scope} ${k.protocol} ${k.prefsrc} ${k.priority} ${metrics} ${gw} ${dev} ${k.nhScope} ${k.table}`;
}

/** One route. Linux: struct fib_alias. */
export class FibAlias {
  /** The prefix. */
  declare readonly prefix: number;
  /** Its length. */
  declare readonly len: number;
  /** The table it is in. */
  declare readonly table: number;
  /** Where it leads. */
  declare readonly fi: FibInfo;
  /** The next best for the same prefix. */
  next: FibAlias | null = null;

  /** A route that is in no table yet. */
  constructor(prefix: number, len: number, table: number, fi: FibInfo) {
    this.prefix = prefix;
    this.len = len;
    this.table = table;
    this.fi = fi;
  }
}

/** Whether `a` comes before `b` for the same prefix: local before main, then the lower metric. */
function before(a: FibAlias, b: FibAlias): boolean {
  return a.table !== b.table ? a.table > b.table : a.fi.priority < b.fi.priority;
}

/** A table, or local and main together. Linux: struct fib_table. */
export class FibTable {
  /** Longest-prefix match. */
  readonly trie: LpmTrie = new LpmTrie();
  /** Lists of routes by prefix, for each length. */
  readonly #byLen: Map<number, FibAlias>[] = Array.from({ length: 33 }, () => new Map<number, FibAlias>());
  /** Prefixes. */
  #prefixes = 0;

  /** Prefixes in it. */
  get size(): number {
    return this.#prefixes;
  }

  /** The routes of a prefix, best first. */
  head(prefix: number, len: number): FibAlias | null {
    return this.#byLen[len].get(prefix) ?? null;
  }

  /** Adds a route behind its equals. */
  insert(alias: FibAlias): void {
    alias.fi.refs++;
    const list = this.#byLen[alias.len];
    const head = list.get(alias.prefix);
    if (head === undefined) this.trie.reserve(++this.#prefixes);
    if (head === undefined || before(alias, head)) {
      alias.next = head ?? null;
      list.set(alias.prefix, alias);
      this.trie.assign(alias.prefix, alias.len, leafOf(alias.fi.id, alias.len));
      return;
    }
    let at = head;
    while (at.next !== null && !before(alias, at.next)) at = at.next;
    alias.next = at.next;
    at.next = alias;
  }

  /** Removes a route that is in it. The caller gives its FibInfo back. */
  remove(alias: FibAlias): void {
    const list = this.#byLen[alias.len];
    const head = list.get(alias.prefix)!;
    if (head !== alias) {
      let at = head;
      while (at.next !== alias) at = at.next!;
      at.next = alias.next;
      return;
    }
    const next = alias.next;
    if (next !== null) list.set(alias.prefix, next);
    else {
      list.delete(alias.prefix);
      this.#prefixes--;
    }
    const leaf = next !== null ? leafOf(next.fi.id, next.len) : this.#shorter(alias.prefix, alias.len);
    this.trie.assign(alias.prefix, alias.len, leaf);
  }

  /** The leaf of the next shorter prefix that covers this one; 0: only the default route may. */
  #shorter(prefix: number, len: number): number {
    for (let l = len - 1; l > 0; l--) {
      const list = this.#byLen[l];
      const alias = list.size === 0 ? undefined : list.get(prefix & makeMask(l));
      if (alias !== undefined) return leafOf(alias.fi.id, l);
    }
    return 0;
  }

  /**
   * The best route for `addr` that leaves by `oif` (0: any) and reaches at least as far as `scope`. Null: none.
   * `linkState` false: a missing carrier does not matter. Linux: fib_table_lookup(), net/ipv4/fib_trie.c.
   */
  walk(addr: number, oif: number, scope: number, linkState: boolean): FibAlias | null {
    for (let len = 32; len >= 0; len--) {
      const list = this.#byLen[len];
      if (list.size === 0) continue;
      let alias = list.get(addr & makeMask(len)) ?? null;
      for (; alias !== null; alias = alias.next) {
        const fi = alias.fi;
        if (fi.dead || fi.scope < scope) continue;
        if (fi.error !== 0) return alias;
        if ((oif === 0 || fi.oif === oif) && !(fi.skip && linkState)) return alias;
      }
    }
    return null;
  }

  /** All routes, by prefix, longer before shorter. */
  all(): FibAlias[] {
    const out: FibAlias[] = [];
    for (const list of this.#byLen) {
      for (const head of list.values()) for (let a: FibAlias | null = head; a !== null; a = a.next) out.push(a);
    }
    // Stable: the routes of one prefix stay in their order.
    return out.sort((a, b) => (a.prefix >>> 0) - (b.prefix >>> 0) || b.len - a.len);
  }
}
