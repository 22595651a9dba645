/**
 * Names: the resolver that asks for them, and the server that has authority over those of a lab. RFC 1034, RFC 1035.
 *
 * @module
 */
import type { Token } from "../../../core/mod.ts";
import type { DnsRecord, DnsType } from "./message.ts";

export type {
  DnsDataOf,
  DnsEdns,
  DnsMessage,
  DnsQuestion,
  DnsRecord,
  DnsRecordHead,
  DnsType,
  MxData,
  SoaData,
  SrvData,
} from "./message.ts";

/** Port of servers. */
export const DNS_PORT = 53;

/** What a response says. RFC 1035 section 4.1.1, RFC 6891 section 6.1.3. */
export const DNS_RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/**
 * Why there are no records: Node's names.
 *
 * - `ENOTFOUND`: there is no such name. `ENODATA`: it has no records of that type.
 * - `ETIMEOUT`: no server answered. `ESERVFAIL`, `EREFUSED`: all that answered said so. `ECONNREFUSED`: there is no
 *   server, or nothing listens there.
 * - `EBADNAME`: no name. `ELOOP`: aliases lead round, or through too many names. `ECANCELLED`: the net or the plugin ended.
 */
export type ResolveCode =
  | "ENOTFOUND"
  | "ENODATA"
  | "ETIMEOUT"
  | "ESERVFAIL"
  | "EREFUSED"
  | "ECONNREFUSED"
  | "EBADNAME"
  | "ELOOP"
  | "ECANCELLED";

/** What came of a question. */
export interface DnsAnswer {
  /** Null: there are records. */
  readonly code: ResolveCode | null;
  /** The name that was asked for last: with what the search list put behind it. */
  readonly name: string;
  /** The records of the type, at the end of the aliases. TTLs are what is left of them. */
  readonly records: readonly DnsRecord[];
  /** The aliases on the way, in order. */
  readonly aliases: readonly DnsRecord[];
  /** Who said so: a server's address, `hosts`, `cache`, or the empty string where nobody was asked. */
  readonly from: string;
}

/** Options of one question. */
export interface ResolveOptions {
  /** Do not try the names of the search list. Default false. */
  absolute?: boolean;
  /** Ask only this server, past the hosts table and the cache. */
  server?: string;
}

/** Servers and search list that somebody brings: the administrator, or a DHCP lease. */
export interface ResolverSource {
  /** Addresses. */
  readonly servers: readonly string[];
  /** Domains that are put behind short names, in order. */
  readonly search?: readonly string[];
}

/** The resolver of a host. */
export interface Resolver {
  /**
   * Asks for records. `done` is called once; at once where nobody needs to be asked. Dispose what it gives to forget the
   * question. Nothing throws: what is no name is `EBADNAME`.
   */
  resolve(name: string, type: DnsType, done: (answer: DnsAnswer) => void, options?: ResolveOptions): Disposable;
  /** What `source` (a device's name) brings, null: no longer. What the options of the plugin say comes first. */
  configure(source: string, what: ResolverSource | null): void;
  /** The servers in use, in order. */
  readonly servers: readonly string[];
  /** The search list in use, in order. */
  readonly search: readonly string[];
  /** Forgets all answers. */
  flush(): void;
  /** Counts. */
  readonly stats: ResolverStats;
}

/** What a resolver has seen. */
export interface ResolverStats {
  /** Queries sent over UDP. */
  queries: number;
  /** Queries sent over TCP. */
  tcpQueries: number;
  /** Queries sent again, to the same or to another server. */
  retries: number;
  /** Questions that the cache answered. */
  cacheHits: number;
  /** Questions that joined one that was under way. */
  joined: number;
  /** Responses that were ignored: malformed. */
  malformed: number;
  /** Responses that were ignored: another id, question, or spelling of it. */
  mismatched: number;
}

/** Its token. */
export const RESOLVER: Token<Resolver> = { name: "netpath:resolver" };

/** The server that has authority. */
export interface DnsServer {
  /** Adds a record; a name outside of all zones, or data that is none of its type, is a TypeError. */
  add(record: DnsRecord): void;
  /** Removes the records of a name, all or those of one type; how many there were. */
  remove(name: string, type?: DnsRecord["type"]): number;
  /** The zones, the longest first. */
  readonly zones: readonly string[];
  /** Addresses that it could not listen on, with the errno: `EADDRINUSE`, another socket has the port. */
  readonly failed: ReadonlyMap<string, string>;
  /** Counts. */
  readonly stats: DnsServerStats;
}

/** What a server has seen. */
export interface DnsServerStats {
  /** Queries, over UDP and TCP. */
  queries: number;
  /** Of those, the ones over TCP. */
  tcpQueries: number;
  /** Responses by {@linkcode DNS_RCODE}. */
  readonly rcodes: number[];
  /** Responses that were cut: TC. */
  truncated: number;
  /** Messages that were not answered: no header, or a response. */
  ignored: number;
  /** Connections that were refused: too many. */
  tcpRefused: number;
}

/** Its token. */
export const DNS_SERVER: Token<DnsServer> = { name: "netpath:dns_server" };
