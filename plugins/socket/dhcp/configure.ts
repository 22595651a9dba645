/**
 * A lease put to use: address, routes, resolver, MTU; as `ip` and resolv.conf would have it. Linux: dhclient-script(8).
 */
import type { Net, NetDevice } from "../../../core/mod.ts";
import { ARP } from "../../network/arp/contract.ts";
import { DEVINET } from "../../network/devinet/contract.ts";
import { FIB, type Route } from "../../network/fib/contract.ts";
import { makeMask, needIp } from "../../network/inet/contract.ts";
import { RESOLVER } from "../dns/contract.ts";
import type { DhcpLease } from "./contract.ts";

/** What of a lease is used. */
export interface ConfigureOptions {
  /** Routers and routes. */
  readonly routes: boolean;
  /** Metric of the routes. */
  readonly metric: number;
  /** DNS servers and search list, where the net has a resolver. */
  readonly resolver: boolean;
  /** MTU. */
  readonly mtu: boolean;
}

/** A lease in use; dispose it to take all of it away again. */
export class Configured implements Disposable {
  /** The lease: a longer one that changes nothing else may take its place. */
  lease: DhcpLease;
  readonly #net: Net;
  readonly #dev: NetDevice;
  readonly #routes: Route[] = [];
  /** Somebody else gave the device this address: it stays when we go. */
  readonly #foreign: boolean;

  /** Puts `lease` to use. */
  constructor(net: Net, dev: NetDevice, lease: DhcpLease, options: ConfigureOptions) {
    this.lease = lease;
    this.#net = net;
    this.#dev = dev;
    const broadcast = lease.broadcast === "0.0.0.0" ? {} : { broadcast: lease.broadcast };
    if (options.mtu && lease.mtu !== null) dev.setMtu(lease.mtu);
    this.#foreign = net.get(DEVINET).addAddress(dev, this.#cidr, broadcast) < 0;
    if (options.routes) { for (const route of routesOf(lease)) this.#route(route, options.metric); }
    if (options.resolver) net.find(RESOLVER)?.configure(dev.name, resolverOf(lease));
    // All learn who has the address now (RFC 2131 section 4.4.1).
    net.find(ARP)?.announce(dev);
  }

  get #cidr(): string {
    return `${this.lease.address}/${this.lease.prefix}`;
  }

  #route({ to, via }: { to: string; via: string }, metric: number): void {
    const link = via === "0.0.0.0";
    const route: Route = { to, dev: this.#dev.name, src: this.lease.address, ...(metric === 0 ? {} : { metric }) };
    if (!link) {
      route.via = via;
      // Where the prefix does not reach the router, it is on the link all the same.
      const mask = makeMask(this.lease.prefix);
      const near = ((needIp(via, "router") ^ needIp(this.lease.address, "address")) & mask) === 0;
      if (!near || this.lease.prefix === 32) route.onlink = true;
    }
    if (this.#net.get(FIB).add(route) === 0) this.#routes.push(route);
  }

  /** Whether another lease changes nothing that is in use. */
  same(lease: DhcpLease): boolean {
    return used(lease) === used(this.lease);
  }

  /** Takes it away. */
  [Symbol.dispose](): void {
    this.#net.find(RESOLVER)?.configure(this.#dev.name, null);
    for (const route of this.#routes) this.#net.find(FIB)?.del(route);
    if (!this.#foreign) this.#net.find(DEVINET)?.delAddress(this.#dev, this.#cidr);
  }
}

/** Of the lease what is put to use: without its times. */
function used(l: DhcpLease): string {
  return JSON.stringify([l.address, l.prefix, l.broadcast, l.routers, l.routes, l.dns, l.domain, l.search, l.mtu]);
}

/** The routes, or the best router where there are none (RFC 3442). A router that we are ourselves is none. */
function routesOf(lease: DhcpLease): { to: string; via: string }[] {
  if (lease.routes.length > 0) {
    return lease.routes.map(({ to, via }) => ({ to: to === "0.0.0.0/0" ? "default" : to, via }));
  }
  const via = lease.routers.find((router) => router !== lease.address);
  return via === undefined ? [] : [{ to: "default", via }];
}

function resolverOf(lease: DhcpLease): { servers: readonly string[]; search: readonly string[] } {
  const search = lease.search.length > 0 ? lease.search : lease.domain === null ? [] : [lease.domain];
  return { servers: lease.dns, search };
}
