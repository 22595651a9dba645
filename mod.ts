/**
 * netpath: the Linux network path as TypeScript plugins.
 *
 * A {@linkcode Machine} is a computer on a virtual or a real clock; a {@linkcode Net} is a network namespace on it; a
 * {@linkcode Host} is a net with the standard plugins, configured as with `ip` and used as Deno's own network is.
 *
 * @example Two hosts on a wire, one datagram
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nic, wire } from "@netpath/stack/nic";
 *
 * using machine = new Machine({ seed: 1 });
 * const cable = wire(machine);
 * const a = createHost({ machine, name: "a" });
 * const b = createHost({ machine, name: "b" });
 * nic(a.net, "eth0", { wire: cable });
 * nic(b.net, "eth0", { wire: cable });
 * a.addr.add("eth0", "10.0.0.1/24");
 * b.addr.add("eth0", "10.0.0.2/24");
 *
 * using server = b.listenDatagram({ port: 7 });
 * using client = a.listenDatagram({ port: 0 });
 * await client.send(new TextEncoder().encode("hello"), { transport: "udp", hostname: "10.0.0.2", port: 7 });
 * const [data, from] = await server.receive();
 * assertEquals(new TextDecoder().decode(data), "hello");
 * assertEquals(from.transport === "udp" && from.hostname, "10.0.0.1");
 * ```
 *
 * @module
 */
import { errnoName, Machine, type Net, type NetDevice, type NetOptions, type Plugin, strerror } from "./core/mod.ts";
import { loopbackDevice } from "./plugins/device/loopback/mod.ts";
import { ethernet } from "./plugins/link/ethernet/mod.ts";
import { qdisc } from "./plugins/link/qdisc/mod.ts";
import { inet, ipToString } from "./plugins/network/inet/mod.ts";
import { netfilter } from "./plugins/network/netfilter/mod.ts";
import { DEVINET, devinet, inDevGet, type InIfaddr } from "./plugins/network/devinet/mod.ts";
import { NEIGH, neigh, type Neighbour } from "./plugins/network/neigh/mod.ts";
import { FIB, fib, type Route } from "./plugins/network/fib/mod.ts";
import { arp } from "./plugins/network/arp/mod.ts";
import { ipv4 } from "./plugins/network/ipv4/mod.ts";
import { icmp } from "./plugins/network/icmp/mod.ts";
import { sock } from "./plugins/transport/sock/mod.ts";
import { udp } from "./plugins/transport/udp/mod.ts";
import { ping as pingSockets } from "./plugins/transport/ping/mod.ts";
import { SYSCALL, syscall, type Syscalls } from "./plugins/socket/syscall/mod.ts";
import {
  type DatagramConn,
  listenDatagram,
  type ListenDatagramOptions,
  ping,
  type PingOptions,
  type PingReply,
} from "./plugins/socket/deno/mod.ts";

export { Machine, type MachineOptions, Net, NetDevice, type NetOptions, type Plugin, PluginError } from "./core/mod.ts";
export { realPlatform, SkBuff, type Token, token, virtualPlatform } from "./core/mod.ts";
export {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  type NfHookOps,
  nfRegisterNetHook,
} from "./plugins/network/netfilter/mod.ts";

/** The standard plugins: all stages from the link to the sockets, loopback included. */
export function standardPlugins(): Plugin[] {
  return [
    ethernet(),
    qdisc(),
    inet(),
    netfilter(),
    devinet(),
    neigh(),
    fib(),
    arp(),
    ipv4(),
    icmp(),
    sock(),
    udp(),
    pingSockets(),
    syscall(),
    loopbackDevice(),
  ];
}

/** A net with exactly the plugins that are named. Without a machine it gets one of its own, on virtual time. */
export function createNet(options: NetOptions & { machine?: Machine } = {}): Net {
  const { machine = new Machine(), ...rest } = options;
  return machine.createNet(rest);
}

/** What a host is made of. */
export interface HostOptions {
  /** The machine. Default: one of its own, on virtual time. */
  machine?: Machine;
  /** Name of the net. */
  name?: string;
  /** Plugins beside the standard ones. One that has the name of a standard plugin takes its place. */
  plugins?: readonly Plugin[];
  /** Forwards packets between its devices. Default false. */
  forwarding?: boolean;
}

/** A host: a net with the standard plugins, `ip`-like configuration, and Deno's network calls. */
export function createHost(options: HostOptions = {}): Host {
  const own = options.plugins ?? [];
  const plugins = [...standardPlugins().filter((p) => !own.some((o) => o.name === p.name)), ...own];
  const net = createNet({
    plugins,
    ...(options.machine === undefined ? {} : { machine: options.machine }),
    ...(options.name === undefined ? {} : { name: options.name }),
  });
  const host = new Host(net);
  if (options.forwarding === true) net.sysctl.set("net.ipv4.ip_forward", 1);
  return host;
}

/** See {@linkcode createHost}. */
export class Host implements Disposable {
  /** The net. */
  readonly net: Net;
  /** The machine. */
  readonly machine: Machine;
  /** The system calls. */
  readonly sys: Syscalls;
  /** `ip addr`. */
  readonly addr: AddrCommands;
  /** `ip link`. */
  readonly link: LinkCommands;
  /** `ip route`. */
  readonly route: RouteCommands;
  /** `ip neigh`. */
  readonly neigh: NeighCommands;

  /** Around a net that has the standard plugins. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.sys = net.get(SYSCALL);
    this.addr = new AddrCommands(net);
    this.link = new LinkCommands(net);
    this.route = new RouteCommands(net);
    this.neigh = new NeighCommands(net);
  }

  /** Sets a tunable by Linux's name: `host.sysctl("net.ipv4.ip_forward", 1)`; without a value, reads it. */
  sysctl(name: string, value?: number | readonly number[]): number {
    if (value !== undefined) this.net.sysctl.set(name, value);
    return this.net.sysctl.get(name);
  }

  /** A UDP socket in Deno's shape. Throws the errors that `Deno.listenDatagram` throws. */
  listenDatagram(options: ListenDatagramOptions): DatagramConn {
    return listenDatagram(this.net, options);
  }

  /** Sends one ICMP echo request; its reply. Rejects with the error that came instead, or when none comes in time. */
  ping(address: string, options: PingOptions = {}): Promise<PingReply> {
    return ping(this.net, address, options);
  }

  /** Ends the net with its devices and sockets. The machine lives on. */
  [Symbol.dispose](): void {
    this.net[Symbol.dispose]();
  }
}

/** A configuration command failed. */
export class HostError extends Error {
  /** `EEXIST` and the like. */
  readonly code: string;

  /** An error with the errno `errno`. */
  constructor(what: string, errno: number) {
    super(`Cannot ${what}: ${strerror(errno)}`);
    this.name = "HostError";
    this.code = errnoName(errno);
  }
}

function must(what: string, rc: number): void {
  if (rc < 0) throw new HostError(what, rc);
}

function needDevice(net: Net, name: string): NetDevice {
  const dev = net.device(name);
  if (dev === undefined) {
    const has = net.devices.map((d) => d.name).join(", ") || "none";
    throw new TypeError(`Cannot find device ${name} in ${net.name}: there are ${has}`);
  }
  return dev;
}

/** `ip addr`. */
export class AddrCommands {
  readonly #net: Net;

  /** Of `net`. */
  constructor(net: Net) {
    this.#net = net;
  }

  /** `ip addr add CIDR dev DEV`; brings the device up. */
  add(dev: string, cidr: string, options?: { peer?: string; broadcast?: string; scope?: number }): void {
    const device = needDevice(this.#net, dev);
    must(`bring ${dev} up`, device.open());
    must(`add ${cidr} to ${dev}`, this.#net.get(DEVINET).addAddress(device, cidr, options));
  }

  /** `ip addr del CIDR dev DEV`. */
  del(dev: string, cidr: string): void {
    must(`remove ${cidr} from ${dev}`, this.#net.get(DEVINET).delAddress(needDevice(this.#net, dev), cidr));
  }

  /** The addresses of a device as `10.0.0.1/24`. */
  list(dev: string): string[] {
    const inDev = inDevGet(needDevice(this.#net, dev));
    return (inDev?.ifaList ?? []).map((ifa: InIfaddr) => `${ipToString(ifa.local)}/${ifa.prefix}`);
  }
}

/** `ip link`. */
export class LinkCommands {
  readonly #net: Net;

  /** Of `net`. */
  constructor(net: Net) {
    this.#net = net;
  }

  /** `ip link set DEV ...`. */
  set(dev: string, options: { up?: boolean; mtu?: number; address?: string; txqueuelen?: number }): void {
    const device = needDevice(this.#net, dev);
    if (options.mtu !== undefined) must(`set mtu ${options.mtu} on ${dev}`, device.setMtu(options.mtu));
    if (options.address !== undefined) device.setAddress(options.address);
    if (options.txqueuelen !== undefined) device.txQueueLen = options.txqueuelen;
    if (options.up === true) must(`bring ${dev} up`, device.open());
    if (options.up === false) device.close();
  }

  /** `ip link del DEV`. */
  del(dev: string): void {
    this.#net.unregisterNetdevice(needDevice(this.#net, dev));
  }

  /** A device by name. */
  get(dev: string): NetDevice {
    return needDevice(this.#net, dev);
  }

  /** All devices. */
  list(): NetDevice[] {
    return this.#net.devices;
  }
}

/** `ip route`. */
export class RouteCommands {
  readonly #net: Net;

  /** Of `net`. */
  constructor(net: Net) {
    this.#net = net;
  }

  /** `ip route add TO via VIA dev DEV`. */
  add(to: string, route: Omit<Route, "to"> = {}): void {
    must(`add route ${to}`, this.#net.get(FIB).add({ to, ...route }));
  }

  /** `ip route del TO`. */
  del(to: string, route: Omit<Route, "to"> = {}): void {
    must(`remove route ${to}`, this.#net.get(FIB).del({ to, ...route }));
  }

  /** `ip route`; table 255: the local one. */
  list(table?: number): Route[] {
    return this.#net.get(FIB).list(table);
  }
}

/** `ip neigh`. */
export class NeighCommands {
  readonly #net: Net;

  /** Of `net`. */
  constructor(net: Net) {
    this.#net = net;
  }

  /** `ip neigh replace IP lladdr MAC dev DEV`: permanent. */
  set(dev: string, ip: string, mac: string): void {
    must(`set neighbour ${ip}`, this.#net.get(NEIGH).set(needDevice(this.#net, dev), ip, mac));
  }

  /** `ip neigh del IP dev DEV`. */
  del(dev: string, ip: string): void {
    must(`remove neighbour ${ip}`, this.#net.get(NEIGH).del(needDevice(this.#net, dev), ip));
  }

  /** All entries. */
  list(): readonly Neighbour[] {
    return this.#net.get(NEIGH).list();
  }
}
