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
import {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  errnoName,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_MULTICAST,
  IFF_NOARP,
  IFF_POINTOPOINT,
  IFF_PROMISC,
  IFF_UP,
  Machine,
  macToString,
  type Net,
  type NetDevice,
  type NetOptions,
  parseMac,
  type Plugin,
  strerror,
} from "./core/mod.ts";
import { loopbackDevice } from "./plugins/device/loopback/mod.ts";
import { ethernet } from "./plugins/link/ethernet/mod.ts";
import { qdisc } from "./plugins/link/qdisc/mod.ts";
import { steering } from "./plugins/link/steering/mod.ts";
import { inet, ipToString, needIp } from "./plugins/network/inet/mod.ts";
import { netfilter } from "./plugins/network/netfilter/mod.ts";
import { DEVINET, devinet, inDevGet, type InIfaddr } from "./plugins/network/devinet/mod.ts";
import { NEIGH, neigh, type Neighbour, NUD_VALID } from "./plugins/network/neigh/mod.ts";
import { FIB, fib, type Route } from "./plugins/network/fib/mod.ts";
import { arp } from "./plugins/network/arp/mod.ts";
import { ipv4 } from "./plugins/network/ipv4/mod.ts";
import { icmp } from "./plugins/network/icmp/mod.ts";
import { sock } from "./plugins/transport/sock/mod.ts";
import { cubic, tcp } from "./plugins/transport/tcp/mod.ts";
import { udp } from "./plugins/transport/udp/mod.ts";
import { packet } from "./plugins/transport/packet/mod.ts";
import { raw } from "./plugins/transport/raw/mod.ts";
import { ping as pingSockets } from "./plugins/transport/ping/mod.ts";
import { SYSCALL, syscall, type Syscalls } from "./plugins/socket/syscall/mod.ts";
import {
  connect,
  type ConnectOptions,
  type DatagramConn,
  listen,
  listenAny,
  type ListenAnyOptions,
  listenDatagram,
  type ListenDatagramOptions,
  type ListenOptions,
  ping,
  type PingOptions,
  type PingReply,
  type TcpConn,
  type TcpListener,
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
  type NfHookState,
  nfRegisterNetHook,
} from "./plugins/network/netfilter/mod.ts";

/** The standard plugins: all stages from the link to the sockets, loopback included. */
export function standardPlugins(): Plugin[] {
  return [
    ethernet(),
    qdisc(),
    steering(),
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
    tcp(),
    cubic(),
    pingSockets(),
    raw(),
    packet(),
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

  /** Sets a tunable by Linux's name, `host.sysctl("net.ipv4.tcp_congestion_control", "reno")`. */
  sysctl(name: string, value: string): void;
  /** Sets a tunable by Linux's name: `host.sysctl("net.ipv4.ip_forward", 1)`; without a value, reads it. */
  sysctl(name: string, value?: number | readonly number[]): number;
  sysctl(name: string, value?: number | readonly number[] | string): number | void {
    if (value !== undefined) this.net.sysctl.set(name, value);
    if (typeof value !== "string") return this.net.sysctl.get(name);
  }

  /** A TCP connection in Deno's shape. Rejects with the errors that `Deno.connect` rejects with. */
  connect(options: ConnectOptions): Promise<TcpConn> {
    return connect(this.net, options);
  }

  /** A TCP listener in Deno's shape. Throws the errors that `Deno.listen` throws. */
  listen(options: ListenOptions): TcpListener {
    return listen(this.net, options);
  }

  /** A listener for any address and port that no other one takes: for gateways and proxies. See `listenAny()`. */
  listenAny(options: ListenAnyOptions = {}): TcpListener {
    return listenAny(this.net, options);
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

  /** An error with the errno `errno`; `hint` says what to look at. */
  constructor(what: string, errno: number, hint?: string) {
    super(`Cannot ${what}: ${strerror(errno)}${hint === undefined ? "" : ` (${hint})`}`);
    this.name = "HostError";
    this.code = errnoName(errno);
  }
}

function must(what: string, rc: number, hints: Readonly<Record<string, string>> = {}): void {
  if (rc < 0) throw new HostError(what, rc, hints[errnoName(rc)]);
}

function needDevice(net: Net, name: string): NetDevice {
  const dev = net.device(name);
  if (dev === undefined) {
    const has = net.devices.map((d) => d.name).join(", ") || "none";
    throw new TypeError(`Cannot find device ${name} in ${net.name}: there are ${has}`);
  }
  return dev;
}

function needWhole(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`Cannot set ${what} to ${value}: it takes a whole number from ${min} to ${max}`);
}

function bringUp(device: NetDevice): void {
  must(`bring ${device.name} up`, device.open(), { EPERM: "a notifier of NETDEV_PRE_UP refuses" });
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
    if (options?.scope !== undefined) needWhole("scope", options.scope, 0, 255);
    bringUp(device);
    must(`add ${cidr} to ${dev}`, this.#net.get(DEVINET).addAddress(device, cidr, options), {
      EEXIST: `${dev} has this address already`,
    });
  }

  /** `ip addr del CIDR dev DEV`. */
  del(dev: string, cidr: string): void {
    const device = needDevice(this.#net, dev);
    must(`remove ${cidr} from ${dev}`, this.#net.get(DEVINET).delAddress(device, cidr), {
      EADDRNOTAVAIL: `${dev} has ${this.list(dev).join(", ") || "none"}`,
    });
  }

  /** `ip addr flush dev DEV`. */
  flush(dev: string): void {
    for (let [first] = this.list(dev); first !== undefined; [first] = this.list(dev)) this.del(dev, first);
  }

  /** The addresses of a device as `10.0.0.1/24`. */
  list(dev: string): string[] {
    const inDev = inDevGet(needDevice(this.#net, dev));
    return (inDev?.ifaList ?? []).map((ifa: InIfaddr) => `${ipToString(ifa.local)}/${ifa.prefix}`);
  }

  /** What `ip addr` prints, of one device or of all. */
  show(dev?: string): string {
    const devices = dev === undefined ? this.#net.devices : [needDevice(this.#net, dev)];
    return devices.flatMap((d) => [...linkText(d), ...addrText(d)]).join("\n");
  }
}

function addrText(dev: NetDevice): string[] {
  return (inDevGet(dev)?.ifaList ?? []).map((ifa: InIfaddr) => {
    const peer = ifa.peer === ifa.local ? "" : ` peer ${ipToString(ifa.peer)}`;
    const brd = ifa.broadcast === 0 ? "" : ` brd ${ipToString(ifa.broadcast)}`;
    const scope = { 0: "global", 253: "link", 254: "host" }[ifa.scope] ?? ifa.scope;
    const address = peer === ""
      ? `${ipToString(ifa.local)}/${ifa.prefix}`
      : `${ipToString(ifa.local)}${peer}/${ifa.prefix}`;
    return `    inet ${address}${brd} scope ${scope}${ifa.secondary ? " secondary" : ""} ${dev.name}`;
  });
}

const LINK_FLAGS: readonly (readonly [number, string])[] = [
  [IFF_LOOPBACK, "LOOPBACK"],
  [IFF_BROADCAST, "BROADCAST"],
  [IFF_POINTOPOINT, "POINTOPOINT"],
  [IFF_MULTICAST, "MULTICAST"],
  [IFF_NOARP, "NOARP"],
  [IFF_PROMISC, "PROMISC"],
  [IFF_UP, "UP"],
];

function linkText(dev: NetDevice): string[] {
  const up = (dev.flags & IFF_UP) !== 0;
  const flags = LINK_FLAGS.filter(([bit]) => (dev.flags & bit) !== 0).map(([, name]) => name);
  if (up) flags.push(dev.carrier ? "LOWER_UP" : "NO-CARRIER");
  const qdisc = up ? dev.txq[0].qdisc?.ops.name ?? "noqueue" : "noop";
  const kind = { [ARPHRD_ETHER]: "ether", [ARPHRD_LOOPBACK]: "loopback" }[dev.type] ?? "none";
  return [
    `${dev.ifindex}: ${dev.name}: <${flags.join(",")}> mtu ${dev.mtu} qdisc ${qdisc} ` +
    `state ${dev.running ? "UP" : "DOWN"} qlen ${dev.txQueueLen}`,
    `    link/${kind}${kind === "none" ? "" : ` ${dev.address}`}`,
  ];
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
    const { up, mtu, address, txqueuelen } = options;
    // What is wrong is found before anything is changed.
    if (txqueuelen !== undefined) needWhole(`txqueuelen of ${dev}`, txqueuelen, 0, 2 ** 31 - 1);
    if (address !== undefined) needHostMac(dev, address);
    if (mtu !== undefined) {
      must(`set mtu ${mtu} on ${dev}`, device.setMtu(mtu), { EINVAL: `it takes 68 to ${device.maxMtu}` });
    }
    if (address !== undefined) device.setAddress(address);
    if (txqueuelen !== undefined) device.txQueueLen = txqueuelen;
    if (up === true) bringUp(device);
    if (up === false) device.close();
  }

  /** `ip link set DEV up`. */
  up(dev: string): void {
    this.set(dev, { up: true });
  }

  /** `ip link set DEV down`. */
  down(dev: string): void {
    this.set(dev, { up: false });
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

  /** What `ip link` prints, of one device or of all. */
  show(dev?: string): string {
    const devices = dev === undefined ? this.#net.devices : [needDevice(this.#net, dev)];
    return devices.flatMap(linkText).join("\n");
  }
}

/** A group's address, or none, is no device's. Linux: is_valid_ether_addr(). */
function needHostMac(dev: string, address: string): void {
  const mac = parseMac(address);
  // What is no address at all is for setAddress() to say.
  if (mac === null || ((mac[0] & 0x100) === 0 && (mac[0] | mac[1]) !== 0)) return;
  throw new TypeError(
    `Cannot set address of ${dev}: ${address} is ${mac[0] === 0 ? "no address" : "a group's address"}`,
  );
}

const ROUTE_HINTS = {
  EEXIST: "there is such a route; route.replace() takes its place",
  ENETUNREACH: "no address of a device that is up is on the gateway's link",
  ESRCH: "there is no such route",
};

const ROUTE_TYPES: Readonly<Record<number, NonNullable<Route["type"]>>> = {
  1: "unicast",
  2: "local",
  3: "broadcast",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
};

/** `ip route`. */
export class RouteCommands {
  readonly #net: Net;

  /** Of `net`. */
  constructor(net: Net) {
    this.#net = net;
  }

  /** `ip route add TO via VIA dev DEV`. */
  add(to: string, route: Omit<Route, "to"> = {}): void {
    must(`add route ${to}`, this.#net.get(FIB).add({ to, ...route }), this.#hints(to, route));
  }

  /** `ip route replace TO via VIA dev DEV`: also where there is none yet. */
  replace(to: string, route: Omit<Route, "to"> = {}): void {
    const routes = this.#net.get(FIB);
    const { metric = 0, table = 254 } = route;
    const old = routes.list(table).filter((r) => sameTo(r.to, to) && (r.metric ?? 0) === metric);
    this.#net.batch(() => {
      for (const r of old) routes.del({ table, ...r });
      let rc = -1;
      try {
        rc = routes.add({ to, ...route });
      } finally {
        if (rc < 0) { for (const r of old) routes.add({ table, ...r }); }
      }
      must(`replace route ${to}`, rc, this.#hints(to, route));
    });
  }

  /** `ip route del TO`. */
  del(to: string, route: Omit<Route, "to"> = {}): void {
    must(`remove route ${to}`, this.#net.get(FIB).del({ to, ...route }), ROUTE_HINTS);
  }

  /** `ip route get ADDRESS`: the way that a packet of ours to there takes now. */
  get(address: string): Route {
    const routes = this.#net.get(FIB);
    const dst = routes.routeOutput(needIp(address, "address"), 0, 0, 0);
    if (dst === null) throw new HostError(`find a route to ${address}`, routes.errno);
    return {
      to: address,
      ...(dst.gateway === 0 ? {} : { via: ipToString(dst.gateway) }),
      dev: dst.dev.name,
      src: ipToString(dst.prefsrc),
      type: ROUTE_TYPES[dst.type] ?? "unicast",
      mtu: routes.mtu(dst),
    };
  }

  /** `ip route`; table 255: the local one. */
  list(table?: number): Route[] {
    return this.#net.get(FIB).list(table);
  }

  /** What `ip route` prints; table 255: the local one. */
  show(table?: number): string {
    return this.list(table).map((r) => {
      const head = r.type === undefined || r.type === "unicast" ? r.to : `${r.type} ${r.to}`;
      const words: readonly (readonly [string, string | number | undefined])[] = [
        ["via", r.via],
        ["dev", r.dev],
        ["proto", r.protocol],
        ["scope", r.scope === "global" ? undefined : r.scope],
        ["src", r.src],
        ["metric", r.metric === 0 ? undefined : r.metric],
        ["mtu", r.mtu === 0 ? undefined : r.mtu],
      ];
      return [head, ...words.flatMap(([word, value]) => value === undefined ? [] : [`${word} ${value}`])].join(" ");
    }).join("\n");
  }

  /** What the errnos of {@linkcode add} mean here. Wrong numbers and names are errors at once. */
  #hints(to: string, route: Omit<Route, "to">): Readonly<Record<string, string>> {
    const { dev, via, type = "unicast", congctl } = route;
    const noDevice = dev !== undefined
      ? `there is no ${dev}; there are ${this.#net.devices.map((d) => d.name).join(", ") || "none"}`
      : via === undefined
      ? "name a gateway (via) or a device (dev)"
      : `no device reaches ${via}`;
    const host = to.includes("/") ? "the address has bits behind the prefix, or src is not ours" : "src is not ours";
    const EINVAL = congctl === undefined ? host : `${host}, or there is no congestion control ${congctl}`;
    return { ...ROUTE_HINTS, ENODEV: type === "unicast" ? noDevice : `type ${type}`, EINVAL };
  }
}

function sameTo(a: string, b: string): boolean {
  const full = (to: string): string => to === "default" ? "0.0.0.0/0" : to.includes("/") ? to : `${to}/32`;
  return full(a) === full(b);
}

const NUD_NAMES: Readonly<Record<number, string>> = {
  0: "NONE",
  1: "INCOMPLETE",
  2: "REACHABLE",
  4: "STALE",
  8: "DELAY",
  16: "PROBE",
  32: "FAILED",
  64: "NOARP",
  128: "PERMANENT",
};

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
    must(`remove neighbour ${ip}`, this.#net.get(NEIGH).del(needDevice(this.#net, dev), ip), {
      ENOENT: `${dev} has no such neighbour`,
    });
  }

  /** All entries. */
  list(): readonly Neighbour[] {
    return this.#net.get(NEIGH).list();
  }

  /** What `ip neigh` prints: `10.0.0.2 dev eth0 lladdr 02:00:00:00:00:02 REACHABLE`. */
  show(): string {
    return this.list().filter((n) => n.nudState !== 64).map((n) => {
      const lladdr = (n.nudState & NUD_VALID) === 0 ? "" : ` lladdr ${macToString(n.haHi, n.haLo)}`;
      return `${ipToString(n.primaryKey)} dev ${n.dev.name}${lladdr} ${NUD_NAMES[n.nudState] ?? n.nudState}`;
    }).join("\n");
  }
}
