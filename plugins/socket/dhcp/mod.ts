/**
 * Addresses for who asks. {@linkcode dhcpServer} gives those of a range; {@linkcode dhcpClient} gets one for a device and
 * puts it to use: address, routes, and the resolver of `@netpath/stack/dns` where there is one. {@linkcode leased} waits for
 * it with a promise. RFC 2131, 2132, 3046, 3396, 3397, 3442, 6842.
 *
 * Not there: what a server gave is kept in memory only; no DHCPv6, as there is no IPv6.
 *
 * @example A server, and a client that gets all it needs from it
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { dhcpClient, dhcpServer, leased } from "@netpath/stack/dhcp";
 * import { dnsServer, lookup, resolver } from "@netpath/stack/dns";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine();
 * const cable = wire(machine);
 * const router = createHost({
 *   machine,
 *   plugins: [
 *     dhcpServer({ dev: "eth0", range: ["10.0.0.100", "10.0.0.199"], router: "10.0.0.1", dns: "10.0.0.1", domain: "lab" }),
 *     dnsServer({ zones: [{ name: "lab", hosts: { router: "10.0.0.1" } }] }),
 *   ],
 * });
 * nic(router.net, "eth0", { wire: cable });
 * router.addr.add("eth0", "10.0.0.1/24");
 *
 * const host = createHost({ machine, plugins: [dhcpClient({ dev: "eth0" }), resolver()] });
 * nic(host.net, "eth0", { wire: cable });
 * const lease = await leased(host.net, "eth0");
 * assertEquals(host.addr.list("eth0"), [`${lease.address}/24`]);
 * assertEquals(host.route.get("192.0.2.1").via, "10.0.0.1");
 * assertEquals(await lookup(host.net, "router"), "10.0.0.1");
 * ```
 *
 * @module
 */
import { IFF_UP, type Net, type NetDevice, type Plugin, Timer } from "../../../core/mod.ts";
import { ARP } from "../../network/arp/contract.ts";
import { DEVINET } from "../../network/devinet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { needIp } from "../../network/inet/contract.ts";
import { PACKET } from "../../transport/packet/contract.ts";
import { RESOLVER } from "../dns/contract.ts";
import { SYSCALL } from "../syscall/contract.ts";
import { Client, type ClientOptions } from "./client.ts";
import { DHCP_CLIENT, DHCP_SERVER, type DhcpClientStats, type DhcpEvent, perType } from "./contract.ts";
import { Server } from "./server.ts";
import { type DhcpSubnetOptions, Subnet } from "./subnet.ts";

export * from "./contract.ts";
export { DhcpError, leased } from "./face.ts";
export * from "./header.ts";
export { DHCP_OPTION } from "./options.ts";
export type { DhcpSubnetOptions } from "./subnet.ts";

/** Options of {@linkcode dhcpClient}. */
export interface DhcpClientOptions {
  /** The device, or several. They may come later. */
  dev: string | readonly string[];
  /** Begins by itself, and brings the device up for it. Default true. */
  auto?: boolean;
  /** The name that it tells the server. */
  hostname?: string;
  /** What it is known by: at least two bytes. Default: its hardware address. */
  clientId?: Uint8Array;
  /** What kind of client it says it is. Default `netpath`. */
  vendorClass?: string | null;
  /** The address that it would like. */
  address?: string;
  /** Asks for answers to all, for a device that hears nothing else. Default false. */
  broadcast?: boolean;
  /** ms that it asks by ARP whether an address is in use; 0: it does not ask. Default 500. */
  probe?: number;
  /** Seconds after which it tries again when no server answered. Default 300. */
  retry?: number;
  /** Uses the routers and routes of the lease. Default true. */
  routes?: boolean;
  /** Metric of these routes. Default 0. */
  metric?: number;
  /** Uses the DNS servers of the lease, where the net has a resolver. Default true. */
  resolver?: boolean;
  /** Uses the MTU of the lease. Default false. */
  mtu?: boolean;
}

/**
 * The plugin of the clients of a net, one for each device that is named: it asks when the device is up, and gives up what it
 * has when that goes down. Options that make no sense are a TypeError or a RangeError.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { DHCP_CLIENT, dhcpClient, dhcpServer } from "@netpath/stack/dhcp";
 * import { vethPair } from "@netpath/stack/veth";
 *
 * using machine = new Machine({ autoAdvance: false });
 * const server = createHost({ machine, plugins: [dhcpServer({ dev: "v0", range: ["10.0.0.9", "10.0.0.9"], leaseTime: 60 })] });
 * const host = createHost({ machine, plugins: [dhcpClient({ dev: "v1", hostname: "web" })] });
 * vethPair(server.net, "v0", host.net, "v1");
 * server.addr.add("v0", "10.0.0.1/24");
 * machine.runUntilIdle();
 * const client = host.net.get(DHCP_CLIENT);
 * assertEquals([client.state("v1"), client.lease("v1")?.address], ["BOUND", "10.0.0.9"]);
 * client.release("v1");
 * assertEquals(host.addr.list("v1"), []);
 * ```
 */
export function dhcpClient(options: DhcpClientOptions): Plugin {
  const names: readonly string[] = typeof options.dev === "string" ? [options.dev] : options.dev;
  const checked = clientOptions(options);
  return {
    name: "dhcp_client",
    api: 1,
    requires: [SYSCALL, PACKET, DEVINET, FIB],
    uses: [RESOLVER, ARP],
    provides: [DHCP_CLIENT],
    privateState: true,
    setup: (net) => new Clients(net, names, checked, options.auto ?? true),
  };
}

function clientOptions(o: DhcpClientOptions): ClientOptions {
  const { probe = 500, retry = 300, metric = 0, clientId = null, hostname = null, vendorClass = "netpath" } = o;
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return;
    throw new RangeError(
      `Cannot make a DHCP client with ${name} ${value}: it takes a whole number from ${min} to ${max}`,
    );
  };
  whole("probe", probe, 0, 60_000);
  whole("retry", retry, 1, 86_400);
  whole("metric", metric, 0, 0xffffffff);
  if (clientId !== null) whole("a client id of length", clientId.length, 2, 255);
  for (const text of [hostname, vendorClass]) {
    if (text !== null && !/^[!-~]{1,255}$/.test(text)) {
      throw new TypeError(`Cannot make a DHCP client with "${text}": it takes 1 to 255 visible ASCII characters`);
    }
  }
  return {
    hostname,
    clientId,
    vendorClass,
    wanted: o.address === undefined ? 0 : needIp(o.address, "address to ask for"),
    broadcast: o.broadcast ?? false,
    probe,
    retry: retry * 1000,
    routes: o.routes ?? true,
    metric,
    resolver: o.resolver ?? true,
    mtu: o.mtu ?? false,
  };
}

/** The clients of a net. */
class Clients implements Disposable {
  readonly #net: Net;
  readonly #names: readonly string[];
  readonly #options: ClientOptions;
  readonly #auto: boolean;
  readonly #clients = new Map<string, Client>();
  readonly #listeners = new Set<(event: DhcpEvent) => void>();
  readonly #stats: DhcpClientStats = { sent: perType(), received: perType(), malformed: 0, ignored: 0 };
  readonly #timers = new Set<Timer>();

  constructor(net: Net, names: readonly string[], options: ClientOptions, auto: boolean) {
    this.#net = net;
    this.#names = names;
    this.#options = options;
    this.#auto = auto;
    const of = (dev: string): Client => this.#of(dev);
    net.provide(DHCP_CLIENT, {
      devices: names,
      state: (dev) => of(dev).state,
      lease: (dev) => this.#known(dev)?.lease ?? null,
      renew: (dev) => of(dev).renew(),
      release: (dev) => of(dev).release(),
      start: (dev) => of(dev).start(),
      inform: (dev, done) => of(dev).inform(done),
      onEvent: (fn) => {
        this.#listeners.add(fn);
        return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
      },
      stats: this.#stats,
    });
    net.netdevChain.register(({ kind, dev }) => this.#event(kind, dev), -20);
    for (const dev of net.devices) this.#adopt(dev);
  }

  /** A device that has no client is a TypeError; one that is not there yet is null. */
  #known(name: string): Client | null {
    if (!this.#names.includes(name)) {
      throw new TypeError(
        `Cannot find a DHCP client of ${name}: there are those of ${this.#names.join(", ") || "none"}`,
      );
    }
    return this.#clients.get(name) ?? null;
  }

  #of(name: string): Client {
    const client = this.#known(name);
    if (client !== null) return client;
    const has = this.#net.devices.map((d) => d.name).join(", ") || "none";
    throw new TypeError(`Cannot find device ${name} in ${this.#net.name}: there are ${has}`);
  }

  #event(kind: string, dev: NetDevice): void {
    if (kind === "NETDEV_REGISTER") return this.#adopt(dev);
    const client = this.#clients.get(dev.name);
    if (client === undefined) return;
    if (kind === "NETDEV_UP" && this.#auto) client.start();
    else if (kind === "NETDEV_CHANGE") client.carrier();
    else if (kind === "NETDEV_DOWN") client.stop();
    else if (kind === "NETDEV_UNREGISTER") {
      client[Symbol.dispose]();
      this.#clients.delete(dev.name);
    }
  }

  #adopt(dev: NetDevice): void {
    if (!this.#names.includes(dev.name)) return;
    const tell = (event: DhcpEvent): void => {
      for (const fn of [...this.#listeners]) fn(event);
    };
    const client = new Client(this.#net, dev, this.#options, this.#stats, tell);
    this.#clients.set(dev.name, client);
    if (!this.#auto) return;
    // Whoever registers it is not done with it yet.
    const timer = new Timer(() => {
      this.#timers.delete(timer);
      if (this.#clients.get(dev.name) !== client) return;
      if ((dev.flags & IFF_UP) !== 0) client.start();
      else dev.open();
    });
    this.#timers.add(timer);
    const { machine } = this.#net;
    machine.enter();
    machine.modTimer(timer, 1);
    machine.exit();
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) this.#net.machine.delTimer(timer);
    for (const client of this.#clients.values()) client[Symbol.dispose]();
    this.#clients.clear();
  }
}

/**
 * The plugin of a server: for each subnet its options; the device may come later, and it answers as soon as that has an
 * address of the subnet. Options that make no sense are a TypeError or a RangeError, here and at once.
 *
 * @example A reservation
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { DHCP_SERVER, dhcpClient, dhcpServer } from "@netpath/stack/dhcp";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine({ autoAdvance: false });
 * const cable = wire(machine);
 * const server = createHost({
 *   machine,
 *   plugins: [dhcpServer({
 *     dev: "eth0",
 *     range: ["10.0.0.100", "10.0.0.199"],
 *     reservations: { "02:00:00:00:00:07": "10.0.0.7" },
 *     leaseTime: Infinity,
 *   })],
 * });
 * nic(server.net, "eth0", { wire: cable });
 * server.addr.add("eth0", "10.0.0.1/24");
 * const printer = createHost({ machine, plugins: [dhcpClient({ dev: "eth0", hostname: "printer" })] });
 * nic(printer.net, "eth0", { wire: cable, address: "02:00:00:00:00:07" });
 * machine.runUntilIdle();
 * const [{ address, hostname, state }] = server.net.get(DHCP_SERVER).bindings();
 * assertEquals([address, hostname, state], ["10.0.0.7", "printer", "bound"]);
 * ```
 */
export function dhcpServer(...subnets: readonly DhcpSubnetOptions[]): Plugin {
  if (subnets.length === 0) throw new TypeError("Cannot serve addresses: name a subnet, { dev, range }");
  for (const options of subnets) new Subnet(null, options);
  return {
    name: "dhcp_server",
    api: 1,
    requires: [SYSCALL, PACKET, DEVINET, FIB],
    provides: [DHCP_SERVER],
    privateState: true,
    setup(net: Net): Disposable {
      const server = new Server(net, subnets.map((options) => new Subnet(net.machine, options)));
      net.provide(DHCP_SERVER, {
        bindings: () => server.bindings(),
        free: () => server.free(),
        failed: server.failed,
        stats: server.stats,
      });
      net.netdevChain.register(({ kind, dev }) => {
        if (kind === "NETDEV_UP") server.open(dev);
        else if (kind === "NETDEV_UNREGISTER") server.close(dev.name);
      }, -20);
      for (const dev of net.devices) if ((dev.flags & IFF_UP) !== 0) server.open(dev);
      return server;
    },
  };
}
