/**
 * The stub resolver: hosts table, cache, search list, aliases. RFC 1034 section 5.3.1, RFC 2308, RFC 6761; resolv.conf(5).
 *
 * Theory of operation. A question is a list of names to try: as it is, and with each domain of the search list behind it.
 * A name is looked for in the hosts table, then in the cache, then among the questions that are under way, and only then
 * are the servers asked. Of a response nothing is believed but what answers the question: the chain of aliases from its
 * name, the records at their end, and the SOA record above it that says how long "none" holds.
 */
import type { Net } from "../../../core/mod.ts";
import { ipToString, needIp, parseIp } from "../../network/inet/contract.ts";
import { DnsCache, type Found } from "./cache.ts";
import type { DnsAnswer, ResolveCode, ResolveOptions, Resolver, ResolverSource, ResolverStats } from "./contract.ts";
import { DNS_RCODE, type DnsRecord } from "./contract.ts";
import { Exchange, EXCHANGE_DEFAULTS, type ExchangeOptions } from "./exchange.ts";
import { isInZone, nameKey, parseName, reverseName } from "./header.ts";
import { type DnsMessage, type DnsType, dnsTypeNumber } from "./message.ts";

/** Aliases that one question follows, and times that it asks again for where they lead. */
const MAX_ALIASES = 16, MAX_RESTARTS = 8;

/** Options of {@linkcode resolver}: those of resolv.conf(5) and hosts(5). */
export interface ResolverOptions {
  /** Addresses of servers, asked in this order. Default: those that a DHCP lease brings. */
  servers?: readonly string[];
  /** Domains that are put behind short names. */
  search?: readonly string[];
  /** A name with at least so many dots is tried as it is first. Default 1. */
  ndots?: number;
  /** ms until the next server is asked; doubled each round. Default 5,000. */
  timeout?: number;
  /** Rounds through the servers. Default 2. */
  attempts?: number;
  /** Addresses by name, before any server is asked. `localhost` is always 127.0.0.1. */
  hosts?: Readonly<Record<string, string | readonly string[]>>;
  /** Answers that are kept. Default 1,000; 0: none. */
  cache?: number;
  /** Ask with capital letters at random, which a forger would have to guess too; a few servers do not repeat them. */
  randomizeCase?: boolean;
  /** Port of the servers. Default 53. */
  port?: number;
}

type Done = (found: Found, from: string) => void;

/** A question that the servers have. */
interface Pending {
  readonly waiters: Set<Done>;
  readonly exchange: Exchange;
}

const nothing = (code: ResolveCode): Found => ({ code, records: [], aliases: [] });

/** A resolver. */
export class StubResolver implements Resolver, Disposable {
  readonly stats: ResolverStats = {
    queries: 0,
    tcpQueries: 0,
    retries: 0,
    cacheHits: 0,
    joined: 0,
    malformed: 0,
    mismatched: 0,
  };
  readonly #net: Net;
  readonly #exchange: ExchangeOptions;
  readonly #ndots: number;
  readonly #own: ResolverSource;
  readonly #sources: Map<string, ResolverSource>;
  readonly #hosts = new Map<string, string[]>();
  readonly #names = new Map<string, string[]>();
  readonly #cache: DnsCache;
  readonly #pending = new Map<string, Pending>();
  #servers: readonly string[] = [];
  #search: readonly string[] = [];
  #ended = false;

  /** With options that {@linkcode checkOptions} found right. */
  constructor(net: Net, options: ResolverOptions) {
    this.#net = net;
    this.#sources = net.state("resolver:sources", () => new Map());
    const { timeout, attempts, randomizeCase, port } = { ...EXCHANGE_DEFAULTS, ...options };
    this.#exchange = { timeout, attempts, randomizeCase, port };
    this.#ndots = options.ndots ?? 1;
    this.#own = checked({ servers: options.servers ?? [], search: options.search ?? [] });
    this.#cache = new DnsCache(net.machine, options.cache ?? 1000);
    for (const [name, addresses] of Object.entries(options.hosts ?? {})) {
      this.#addHost(name, typeof addresses === "string" ? [addresses] : addresses);
    }
    this.#combine();
  }

  #addHost(name: string, addresses: readonly string[]): void {
    const key = nameKey(name);
    this.#hosts.set(key, [...this.#hosts.get(key) ?? [], ...addresses]);
    for (const address of addresses) {
      const reverse = reverseName(needIp(address, `address of host ${name}`));
      this.#names.set(reverse, [...this.#names.get(reverse) ?? [], key]);
    }
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  get search(): readonly string[] {
    return this.#search;
  }

  configure(source: string, what: ResolverSource | null): void {
    if (what === null) this.#sources.delete(source);
    else this.#sources.set(source, checked(what));
    this.#combine();
  }

  #combine(): void {
    const all = [this.#own, ...this.#sources.values()];
    const servers = [...new Set(all.flatMap((s) => s.servers))];
    // Who others ask may know other answers.
    if (servers.join() !== this.#servers.join()) this.#cache.clear();
    this.#servers = servers;
    this.#search = [...new Set(all.flatMap((s) => s.search ?? []).map(nameKey))];
  }

  flush(): void {
    this.#cache.clear();
  }

  resolve(name: string, type: DnsType, done: (answer: DnsAnswer) => void, options: ResolveOptions = {}): Disposable {
    const question = new Question(this, this.#candidates(name, options), type, options.server ?? null, done);
    question.start();
    return question;
  }

  /** The names to try, in order; none: it is no name. */
  #candidates(name: string, options: ResolveOptions): string[] {
    const labels = parseName(name);
    if (labels === null || labels.length === 0) return [];
    const key = nameKey(name);
    if (options.absolute === true || key !== name.toLowerCase()) return [key];
    const longer = this.#search.map((domain) => domain === "." ? key : `${key}.${domain}`);
    const fitting = longer.filter((candidate) => parseName(candidate) !== null);
    return labels.length > this.#ndots ? [key, ...fitting] : [...fitting, key];
  }

  /** What is known of one name, or what the servers say. Gives what forgets it; null: it is done already. */
  find(key: string, type: DnsType, server: string | null, done: Done): (() => void) | null {
    const id = `${key}/${type}/${server ?? ""}`;
    if (this.#ended) return done(nothing("ECANCELLED"), ""), null;
    if (server !== null) return this.#ask(id, key, type, server, done);
    const local = this.#local(key, type);
    if (local !== null) return done(local, "hosts"), null;
    this.#net.machine.refresh();
    const kept = this.#cache.get(id);
    if (kept === null) return this.#ask(id, key, type, server, done);
    this.stats.cacheHits++;
    return done(kept, "cache"), null;
  }

  /** Joins whoever asks the same: several questions at a time would be as many chances to guess (RFC 5452 section 5). */
  #ask(id: string, key: string, type: DnsType, server: string | null, done: Done): () => void {
    const known = this.#pending.get(id);
    if (known !== undefined) {
      this.stats.joined++;
      known.waiters.add(done);
      return () => this.#leave(id, done);
    }
    const servers = (server === null ? this.#servers : [server]).map((s) => parseIp(s) ?? 0);
    const heard = (response: DnsMessage | ResolveCode, from: number): void => {
      this.#pending.delete(id);
      const [found, ttl] = typeof response === "string" ? [nothing(response), 0] : understand(response, key, type);
      if (server === null) this.#cache.put(id, found, ttl);
      for (const waiter of waiters) waiter(found, ipToString(from));
    };
    const exchange = new Exchange(this.#net, this.#exchange, this.stats, servers, key, dnsTypeNumber(type), heard);
    const waiters = new Set([done]);
    this.#pending.set(id, { waiters, exchange });
    exchange.start();
    return () => this.#leave(id, done);
  }

  #leave(id: string, done: Done): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || !pending.waiters.delete(done) || pending.waiters.size > 0) return;
    this.#pending.delete(id);
    pending.exchange.cancel();
  }

  /** The hosts table, and the names that are never asked for (RFC 6761 section 6.3). */
  #local(key: string, type: DnsType): Found | null {
    const name = key;
    const records = (datas: readonly string[], t: "A" | "PTR"): Found => {
      if (type !== t) return nothing("ENODATA");
      return { code: null, records: datas.map((data) => ({ name, type: t, ttl: 0, data })), aliases: [] };
    };
    const addresses = this.#hosts.get(key);
    if (addresses !== undefined) return records(addresses, "A");
    const names = this.#names.get(key);
    if (names !== undefined) return records(names, "PTR");
    return isInZone(key, "localhost") ? records(["127.0.0.1"], "A") : null;
  }

  /** All questions end. */
  [Symbol.dispose](): void {
    this.#ended = true;
    for (const { exchange, waiters } of [...this.#pending.values()]) {
      exchange.cancel();
      for (const waiter of waiters) waiter(nothing("ECANCELLED"), "");
    }
    this.#pending.clear();
    this.#cache.clear();
  }
}

/** One call of resolve(). */
class Question implements Disposable {
  readonly #resolver: StubResolver;
  readonly #names: readonly string[];
  readonly #type: DnsType;
  readonly #server: string | null;
  readonly #done: (answer: DnsAnswer) => void;
  #at = 0;
  #aliases: readonly DnsRecord[] = [];
  #restarts = 0;
  #over = false;
  #forget: () => void = () => {};
  /** The best of what the names said: that one is there weighs more than that one is not. */
  #code: ResolveCode = "ENOTFOUND";

  constructor(
    resolver: StubResolver,
    names: readonly string[],
    type: DnsType,
    server: string | null,
    done: (answer: DnsAnswer) => void,
  ) {
    this.#resolver = resolver;
    this.#names = names;
    this.#type = type;
    this.#server = server;
    this.#done = done;
  }

  start(): void {
    if (this.#names.length === 0) return this.#end(nothing("EBADNAME"), "");
    if (dnsTypeNumber(this.#type) === 0) return this.#end(nothing("ENODATA"), "");
    if (this.#server !== null && parseIp(this.#server) === null) return this.#end(nothing("ECONNREFUSED"), "");
    this.#ask(this.#names[0]);
  }

  #ask(name: string): void {
    const forget = this.#resolver.find(name, this.#type, this.#server, (found, from) => this.#found(found, from));
    if (forget !== null) this.#forget = forget;
  }

  #found(found: Found, from: string): void {
    if (this.#over) return;
    this.#aliases = [...this.#aliases, ...found.aliases];
    const last = this.#aliases.at(-1);
    if (found.open === true && last?.type === "CNAME") {
      // The server knows the alias, and not what it stands for.
      const target = nameKey(last.data);
      const seen = this.#aliases.some((r) => nameKey(r.name) === target);
      if (seen || ++this.#restarts > MAX_RESTARTS) return this.#end(nothing("ELOOP"), from);
      return this.#ask(target);
    }
    if (found.code === null) return this.#end(found, from);
    if (found.code !== "ENOTFOUND" && found.code !== "ENODATA") return this.#end(found, from);
    if (found.code === "ENODATA") this.#code = "ENODATA";
    if (++this.#at >= this.#names.length) return this.#end(nothing(this.#code), from);
    this.#aliases = [];
    this.#restarts = 0;
    this.#ask(this.#names[this.#at]);
  }

  #end(found: Found, from: string): void {
    if (this.#over) return;
    this.#over = true;
    const name = this.#names[Math.min(this.#at, this.#names.length - 1)] ?? "";
    this.#done({ code: found.code, name, records: found.records, aliases: this.#aliases, from });
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#forget();
  }
}

/** What a response says about a name and a type, and the seconds that it holds. */
export function understand(response: DnsMessage, key: string, type: DnsType): [Found, number] {
  const aliases: DnsRecord[] = [];
  let name = key;
  let ttl = Infinity;
  for (;;) {
    const own = response.answers.filter((r) => (r.class ?? 1) === 1 && nameKey(r.name) === name);
    const records = own.filter((r) => r.type === type);
    if (records.length > 0) {
      for (const r of records) ttl = Math.min(ttl, r.ttl);
      return [{ code: null, records, aliases }, ttl];
    }
    const alias = own.find((r) => r.type === "CNAME");
    if (alias?.type !== "CNAME") break;
    if (aliases.push(alias) > MAX_ALIASES) return [nothing("ELOOP"), 0];
    ttl = Math.min(ttl, alias.ttl);
    name = nameKey(alias.data);
  }
  const code = response.rcode === DNS_RCODE.NOERROR ? "ENODATA" : "ENOTFOUND";
  const soa = response.authorities.find((r) => r.type === "SOA" && isInZone(name, nameKey(r.name)));
  if (code === "ENODATA" && soa === undefined && aliases.length > 0) {
    return [{ code, records: [], aliases, open: true }, ttl];
  }
  // Without one it is not kept (RFC 2308 section 5).
  const negative = soa?.type === "SOA" ? Math.min(soa.ttl, soa.data.minimum) : 0;
  return [{ code, records: [], aliases }, Math.min(ttl, negative)];
}

function checked(source: ResolverSource): ResolverSource {
  for (const server of source.servers) needIp(server, "DNS server");
  for (const domain of source.search ?? []) {
    if (parseName(domain) === null) throw new TypeError(`Cannot search in "${domain}": it is no name`);
  }
  return source;
}

/** What is wrong with an option is a TypeError or a RangeError. */
export function checkOptions(options: ResolverOptions): void {
  const { timeout, attempts, port, ndots = 1, cache = 1000 } = { ...EXCHANGE_DEFAULTS, ...options };
  const bounds: (readonly [string, number, number, number])[] = [
    ["timeout", timeout, 1, 600_000],
    ["attempts", attempts, 1, 100],
    ["port", port, 1, 65535],
    ["ndots", ndots, 0, 15],
    ["cache", cache, 0, 1_000_000],
  ];
  for (const [what, value, min, max] of bounds) {
    if (Number.isInteger(value) && value >= min && value <= max) continue;
    throw new RangeError(`Cannot make a resolver with ${what} ${value}: it takes a whole number from ${min} to ${max}`);
  }
  checked({ servers: options.servers ?? [], search: options.search ?? [] });
  for (const [name, addresses] of Object.entries(options.hosts ?? {})) {
    if (parseName(name) === null) throw new TypeError(`Cannot use host "${name}": it is no name`);
    for (const address of typeof addresses === "string" ? [addresses] : addresses) {
      needIp(address, `address of host ${name}`);
    }
  }
}
