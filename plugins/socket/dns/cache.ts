/**
 * Answers that are kept: for as long as their TTLs say and no longer, and no more of them than fit. RFC 1034 section 5.3,
 * RFC 2181 section 5.4, RFC 2308.
 */
import type { Machine } from "../../../core/mod.ts";
import type { DnsRecord, ResolveCode } from "./contract.ts";

/** Seconds that an answer is kept at most, whatever its TTL (RFC 8767 section 4 speaks of days; BIND's is one week). */
const MAX_TTL = 86_400;
/** Seconds that "there is none" is kept at most (RFC 2308 section 5). */
const MAX_NEGATIVE_TTL = 10_800;

/** What one name and type gave. */
export interface Found {
  /** Null: records. */
  readonly code: ResolveCode | null;
  /** The records of the type. */
  readonly records: readonly DnsRecord[];
  /** The aliases that led there. */
  readonly aliases: readonly DnsRecord[];
  /** The server said nothing about the name that the aliases lead to. */
  readonly open?: boolean;
}

interface Entry extends Found {
  /** When it was learnt, and when it is forgotten: ns of the machine's clock. */
  readonly since: number;
  readonly until: number;
}

/** A cache. */
export class DnsCache {
  readonly #machine: Machine;
  readonly #max: number;
  /** In order of use, the oldest first. */
  readonly #entries = new Map<string, Entry>();

  /** Of at most `max` answers; 0: none. */
  constructor(machine: Machine, max: number) {
    this.#machine = machine;
    this.#max = max;
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** An answer, its TTLs counted down, or null. */
  get(key: string): Found | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#entries.delete(key);
    const now = this.#machine.now;
    if (now >= entry.until) return null;
    this.#entries.set(key, entry);
    const age = Math.floor((now - entry.since) / 1e9);
    const left = (r: DnsRecord): DnsRecord => ({ ...r, ttl: Math.max(0, r.ttl - age) });
    return { ...entry, records: entry.records.map(left), aliases: entry.aliases.map(left) };
  }

  /** Keeps an answer for `ttl` seconds: the least of its records', or the SOA record's where there are none. */
  put(key: string, found: Found, ttl: number): void {
    const seconds = Math.min(ttl, found.code === null || found.open === true ? MAX_TTL : MAX_NEGATIVE_TTL);
    if (seconds <= 0 || this.#max === 0) return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#max) this.#entries.delete(this.#entries.keys().next().value!);
    const now = this.#machine.now;
    this.#entries.set(key, { ...found, since: now, until: now + seconds * 1e9 });
  }

  /** Forgets all. */
  clear(): void {
    this.#entries.clear();
  }
}
