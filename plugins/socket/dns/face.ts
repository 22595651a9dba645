/**
 * Names with promises: Deno's `resolveDns()`, and the `lookup` that the other faces take.
 */
import type { Net } from "../../../core/mod.ts";
import { needIp, parseIp } from "../../network/inet/contract.ts";
import { type DnsAnswer, type DnsRecord, type DnsType, type ResolveCode, RESOLVER } from "./contract.ts";
import type { MxData, SoaData, SrvData } from "./contract.ts";
import { reverseName } from "./header.ts";

const SENTENCES: Readonly<Record<ResolveCode, string>> = {
  ENOTFOUND: "there is no such name",
  ENODATA: "it has no records of that type",
  ETIMEOUT: "no server answered",
  ESERVFAIL: "all servers failed",
  EREFUSED: "all servers refused",
  ECONNREFUSED: "there is no server that could be asked",
  EBADNAME: "it is no name",
  ELOOP: "its aliases lead nowhere",
  ECANCELLED: "the net has ended",
};

/** No records: Node's `code`, and Deno's `name` for "not found" and "timed out". */
export class ResolveError extends Error {
  /** Why. */
  readonly code: ResolveCode;
  /** What was asked for. */
  readonly hostname: string;

  /** About `hostname`. */
  constructor(code: ResolveCode, hostname: string, type: string) {
    const hint = code === "ECONNREFUSED" ? "; name one in resolver({ servers }), or take a DHCP lease that does" : "";
    super(`Cannot resolve ${hostname} ${type}: ${SENTENCES[code]}${hint}`);
    this.name = code === "ENOTFOUND" || code === "ENODATA" ? "NotFound" : code === "ETIMEOUT" ? "TimedOut" : "Error";
    this.code = code;
    this.hostname = hostname;
  }
}

/** Options of {@linkcode resolveDns}. */
export interface ResolveDnsOptions {
  /** Ask this server, and no cache. Its port is the resolver's. */
  nameServer?: { ipAddr: string };
  /** Aborting it rejects with its reason. */
  signal?: AbortSignal;
}

/** What `Deno.resolveDns()` gives for each type: names have a dot at the end. */
export interface ResolvedOf {
  /** Addresses. */
  A: string[];
  /** Addresses. */
  AAAA: string[];
  /** Names. */
  CNAME: string[];
  /** Names. */
  NS: string[];
  /** Names. */
  PTR: string[];
  /** Texts. */
  TXT: string[][];
  /** Mail servers. */
  MX: MxData[];
  /** Services. */
  SRV: SrvData[];
  /** Starts of zones. */
  SOA: SoaData[];
}

/**
 * Records of a name, in the shapes of `Deno.resolveDns()`. Rejects with a {@linkcode ResolveError}.
 *
 * @example
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { dnsServer, ResolveError, resolveDns, resolver } from "@netpath/stack/dns";
 *
 * using machine = new Machine();
 * const zones = [{ name: "lab", hosts: { web: "10.0.0.2" }, records: [{ name: "www", type: "CNAME" as const, data: "web" }] }];
 * const { net } = createHost({ machine, plugins: [dnsServer({ zones }), resolver({ servers: ["127.0.0.1"] })] });
 * assertEquals(await resolveDns(net, "www.lab", "A"), ["10.0.0.2"]);
 * assertEquals(await resolveDns(net, "www.lab", "CNAME"), ["web.lab."]);
 * assertEquals(await resolveDns(net, "2.0.0.10.in-addr.arpa", "PTR"), ["web.lab."]);
 * await assertRejects(() => resolveDns(net, "nobody.lab", "A"), ResolveError, "there is no such name");
 * ```
 */
export async function resolveDns<T extends DnsType>(
  net: Net,
  query: string,
  recordType: T,
  options: ResolveDnsOptions = {},
): Promise<ResolvedOf[T]> {
  const server = options.nameServer?.ipAddr;
  if (server !== undefined) needIp(server, "DNS server");
  const answer = await ask(net, query, recordType, options.signal, server);
  return answer.records.map(shape) as ResolvedOf[T];
}

function ask(
  net: Net,
  name: string,
  type: DnsType,
  signal: AbortSignal | undefined,
  server: string | undefined,
): Promise<DnsAnswer> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      question[Symbol.dispose]();
      reject(signal!.reason);
    };
    const done = (answer: DnsAnswer): void => {
      signal?.removeEventListener("abort", abort);
      if (answer.code === null) resolve(answer);
      else reject(new ResolveError(answer.code, name, type));
    };
    signal?.addEventListener("abort", abort);
    const question = net.get(RESOLVER).resolve(name, type, done, server === undefined ? {} : { server });
  });
}

function shape(record: DnsRecord): unknown {
  const dotted = (name: string): string => name === "." ? name : `${name}.`;
  switch (record.type) {
    case "CNAME":
    case "NS":
    case "PTR":
      return dotted(record.data);
    case "MX":
      return { ...record.data, exchange: dotted(record.data.exchange) };
    case "SRV":
      return { ...record.data, target: dotted(record.data.target) };
    case "SOA":
      return { ...record.data, mname: dotted(record.data.mname), rname: dotted(record.data.rname) };
    default:
      return record.data;
  }
}

/**
 * The first address of a name; an address is itself. What `fetchOver()` takes as `lookup`. Rejects with a
 * {@linkcode ResolveError}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { lookup, resolver } from "@netpath/stack/dns";
 * import { fetchOver, serve } from "@netpath/stack/http";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine, plugins: [resolver({ hosts: { "web.lab": "127.0.0.1" } })] });
 * await using server = serve(net, { port: 80 }, () => new Response("hello"));
 * const fetch = fetchOver(net, { lookup: (name) => lookup(net, name) });
 * assertEquals(await (await fetch("http://web.lab/")).text(), "hello");
 * ```
 */
export async function lookup(net: Net, hostname: string): Promise<string> {
  return (await lookupAll(net, hostname))[0];
}

/** All addresses of a name; an address is itself. Rejects with a {@linkcode ResolveError}. */
export async function lookupAll(net: Net, hostname: string): Promise<string[]> {
  if (parseIp(hostname) !== null) return [hostname];
  const answer = await ask(net, hostname, "A", undefined, undefined);
  return answer.records.map((r) => String(r.data));
}

/** The names of an address, without a dot at the end. Rejects with a {@linkcode ResolveError}. */
export async function reverse(net: Net, address: string): Promise<string[]> {
  const answer = await ask(net, reverseName(needIp(address, "address")), "PTR", undefined, undefined);
  return answer.records.map((r) => String(r.data));
}

/** What Node's `lookup` option calls back. */
export type NodeLookupCallback = (
  error: Error | null,
  address?: string | { address: string; family: number }[],
  family?: number,
) => void;

/**
 * A `lookup` for Node's `net.connect()` and `http.request()` over the stack: addresses from the net's resolver.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nodeLookup, resolver } from "@netpath/stack/dns";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine, plugins: [resolver({ hosts: { "web.lab": "10.0.0.2" } })] });
 * const found = await new Promise((resolve) =>
 *   nodeLookup(net)("web.lab", { all: false }, (_error, address, family) => resolve([address, family]))
 * );
 * assertEquals(found, ["10.0.0.2", 4]);
 * ```
 */
export function nodeLookup(
  net: Net,
): (hostname: string, options: { all?: boolean | undefined }, callback: NodeLookupCallback) => void {
  return (hostname, options, callback) => {
    lookupAll(net, hostname).then(
      (addresses) => {
        if (options.all === true) callback(null, addresses.map((address) => ({ address, family: 4 })));
        else callback(null, addresses[0], 4);
      },
      (error) => callback(error),
    );
  };
}
