/**
 * Names. {@linkcode resolver} is a host's stub resolver (hosts table, cache, search list, UDP and TCP); {@linkcode dnsServer}
 * has authority over the names of a lab. {@linkcode resolveDns}, {@linkcode lookup} and {@linkcode reverse} ask with
 * promises. RFC 1034, 1035, 2181, 2308, 2782, 3596, 5452, 6891, 7766, 8482, 9267.
 *
 * Not there: recursion (a server answers for its zones and refuses the rest), zone transfers, updates, DNSSEC.
 *
 * @example Names for a lab
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nic, wire } from "@netpath/stack/nic";
 * import { dnsServer, lookup, resolveDns, resolver, reverse } from "@netpath/stack/dns";
 *
 * using machine = new Machine();
 * const cable = wire(machine);
 * const zones = [{
 *   name: "lab",
 *   hosts: { ns: "10.0.0.1", web: "10.0.0.2" },
 *   records: [
 *     { name: "www", type: "CNAME" as const, data: "web" },
 *     { name: "_http._tcp", type: "SRV" as const, data: { priority: 0, weight: 0, port: 8080, target: "web" } },
 *   ],
 * }];
 * const server = createHost({ machine, plugins: [dnsServer({ zones })] });
 * const client = createHost({ machine, plugins: [resolver({ servers: ["10.0.0.1"], search: ["lab"] })] });
 * nic(server.net, "eth0", { wire: cable });
 * nic(client.net, "eth0", { wire: cable });
 * server.addr.add("eth0", "10.0.0.1/24");
 * client.addr.add("eth0", "10.0.0.2/24");
 *
 * assertEquals(await lookup(client.net, "www"), "10.0.0.2");
 * assertEquals(await reverse(client.net, "10.0.0.1"), ["ns.lab"]);
 * const [{ port, target }] = await resolveDns(client.net, "_http._tcp.lab", "SRV");
 * assertEquals([port, target], [8080, "web.lab."]);
 * ```
 *
 * @module
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import { DEVINET } from "../../network/devinet/contract.ts";
import { needIp } from "../../network/inet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { SYSCALL } from "../syscall/contract.ts";
import { DNS_PORT, DNS_SERVER, RESOLVER } from "./contract.ts";
import { checkOptions, type ResolverOptions, StubResolver } from "./resolver.ts";
import { ServerSockets } from "./server.ts";
import { type ZoneOptions, Zones } from "./zone.ts";

export * from "./contract.ts";
export { lookup, lookupAll, nodeLookup, type NodeLookupCallback, resolveDns, ResolveError, reverse } from "./face.ts";
export type { ResolveDnsOptions, ResolvedOf } from "./face.ts";
export * from "./header.ts";
export { decodeMessage, dnsMessage, dnsTypeName, dnsTypeNumber, encodeMessage } from "./message.ts";
export type { ResolverOptions } from "./resolver.ts";
export type { ZoneOptions, ZoneRecord } from "./zone.ts";

/** Options of {@linkcode dnsServer}. */
export interface DnsServerOptions {
  /** The zones that it has authority over. */
  zones: readonly ZoneOptions[];
  /** Addresses of the host that it listens on. Default: all that the host has and will have. */
  listen?: readonly string[];
  /** Port. Default 53. */
  port?: number;
}

/**
 * The plugin of an authoritative server, over UDP and TCP. Options that make no sense are errors here, at once: a
 * TypeError or a RangeError. Names that are not below its zones are refused, so that nobody can use it against others.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { DNS_SERVER, dnsServer } from "@netpath/stack/dns";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine, plugins: [dnsServer({ zones: [{ name: "lab", hosts: { web: "10.0.0.2" } }] })] });
 * assertEquals(net.get(DNS_SERVER).zones, ["0.0.10.in-addr.arpa", "lab"]);
 * net.get(DNS_SERVER).add({ name: "db.lab", type: "A", ttl: 60, data: "10.0.0.3" });
 * assertThrows(
 *   () => dnsServer({ zones: [{ name: "lab", hosts: { web: "10.0.0" } }] }),
 *   TypeError,
 *   "expected an IPv4 address",
 * );
 * ```
 */
export function dnsServer(options: DnsServerOptions): Plugin {
  const { port = DNS_PORT } = options;
  if (!Number.isInteger(port) || port < 1 || port > 0xffff) {
    throw new RangeError(`Cannot serve names on port ${port}: it takes a whole number from 1 to 65535`);
  }
  const only = options.listen === undefined
    ? null
    : new Set(options.listen.map((address) => needIp(address, "address to listen on")));
  new Zones(options.zones); // what is wrong is said now, and not at setup
  return {
    name: "dns_server",
    api: 1,
    requires: [SYSCALL, DEVINET, FIB],
    provides: [DNS_SERVER],
    setup(net: Net): void {
      const zones = new Zones(options.zones);
      const sockets = new ServerSockets(net, zones, port, only);
      net.provide(DNS_SERVER, {
        add: (record) => zones.add(record),
        remove: (name, type) => zones.remove(name, type),
        get zones() {
          return zones.names;
        },
        stats: sockets.stats,
        failed: sockets.failed,
      });
      net.registration(() => {
        sockets.open();
        return () => sockets[Symbol.dispose]();
      });
    },
  };
}

/**
 * The plugin of a stub resolver. Options that make no sense are a TypeError or a RangeError, at once.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { RESOLVER, resolver } from "@netpath/stack/dns";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine, plugins: [resolver({ hosts: { "web.lab": "10.0.0.2" }, search: ["lab"] })] });
 * net.get(RESOLVER).configure("eth0", { servers: ["10.0.0.1"] }); // as a DHCP lease does
 * assertEquals(net.get(RESOLVER).servers, ["10.0.0.1"]);
 * net.get(RESOLVER).resolve("web", "A", ({ code, records, from }) => {
 *   assertEquals([code, records[0].data, from], [null, "10.0.0.2", "hosts"]);
 * });
 * ```
 */
export function resolver(options: ResolverOptions = {}): Plugin {
  checkOptions(options);
  return {
    name: "resolver",
    api: 1,
    requires: [SYSCALL],
    provides: [RESOLVER],
    setup(net: Net): Disposable {
      const stub = new StubResolver(net, options);
      net.provide(RESOLVER, stub);
      return stub;
    },
  };
}
