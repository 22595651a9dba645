/**
 * A relay: guests on a switch, and a router between them and lab hosts.
 */
import { createHost, createNet, type Host, Machine, type Plugin, realPlatform } from "../../../mod.ts";
import { type StreamDevice, streamDevice, type StreamLink } from "../../device/stream/mod.ts";
import { vethPair } from "../../device/veth/mod.ts";
import { bridge, bridgeDevice } from "../../link/bridge/mod.ts";
import { ethernet } from "../../link/ethernet/mod.ts";
import { qdisc } from "../../link/qdisc/mod.ts";
import { ipToString, needCidr } from "../../network/inet/mod.ts";
import { DHCP_SERVER, type DhcpBinding, dhcpServer } from "../../socket/dhcp/mod.ts";
import { DNS_SERVER, dnsServer, resolver } from "../../socket/dns/mod.ts";
import { type SocksOptions, type SocksServer, socksServer } from "../../socket/socks/mod.ts";
import type { LabSwitch } from "../lab.ts";
import { type GuestListener, listenQemu, listenWebSocket, type QemuAddress, type WebSocketDoor } from "./doors.ts";

/** What a relay is made of. */
export interface RelayOptions {
  /** The machine. Default: one of its own on the real clock. */
  machine?: Machine;
  /** The router's address on the guests' side, with the length of its prefix, 8 to 28. Default `10.0.2.1/24`. */
  guests?: string;
  /** The router's address on the lab's side. Default `10.0.3.1/24`. */
  lab?: string;
  /** The domain of the lab hosts' names. Default `lab`. */
  domain?: string;
  /** Seconds of a guest's lease. Default 3,600. */
  leaseTime?: number;
  /** Guests at once. Default 64. */
  maxGuests?: number;
  /** The router's name. Default `router`. */
  name?: string;
  /** A switch of a lab on `machine`: the router's other side, at the address `lab`, instead of a switch of the relay's. */
  labSwitch?: LabSwitch;
}

/** A guest that is there. */
export interface Guest {
  /** Port of the switch that it is on. */
  readonly port: string;
  /** `websocket`, `qemu`, or the name of its link. */
  readonly way: string;
  /** Its device on the switch. */
  readonly device: StreamDevice;
}

/** What a lab host has beside the standard plugins. */
export interface RelayHostOptions {
  /** Plugins. */
  plugins?: readonly Plugin[];
}

/** Number of the first lab host in its subnet. */
const FIRST_HOST = 10;

/** A relay. Made by {@linkcode createRelay}. */
export class Relay implements AsyncDisposable {
  /** The machine. */
  readonly machine: Machine;
  /** The router: `eth0` is the guests' side, `eth1` the lab's. It serves addresses and names, and forwards. */
  readonly router: Host;
  /** Lab hosts by name. */
  readonly hosts: Map<string, Host> = new Map();
  /** The domain of their names. */
  readonly domain: string;
  /** Guests at once. */
  readonly maxGuests: number;
  /** Guests that were turned away: too many. */
  turnedAway = 0;
  /** The guests' subnet, `10.0.2.0/24`. */
  readonly guestNet: string;
  readonly #own: boolean;
  readonly #joined: boolean;
  readonly #guestSwitch: LabSwitch;
  readonly #labSwitch: LabSwitch;
  readonly #labNet: { addr: number; prefix: number };
  readonly #guests: Map<string, Guest> = new Map();
  readonly #doors: Set<AsyncDisposable> = new Set();
  #nextPort = 0;
  #nextHost = FIRST_HOST;

  /** Use {@linkcode createRelay}. */
  constructor(options: RelayOptions) {
    const { guests = "10.0.2.1/24", lab = "10.0.3.1/24", domain = "lab", leaseTime = 3600, maxGuests = 64 } = options;
    const { name = "router" } = options;
    const outer = subnet(guests, "guests");
    this.#labNet = subnet(lab, "lab");
    if (overlap(outer, this.#labNet)) throw new RangeError(`Cannot relay between ${guests} and ${lab}: they overlap`);
    if (!Number.isInteger(maxGuests) || maxGuests < 1) throw new RangeError(`Cannot relay ${maxGuests} guests`);
    this.domain = domain;
    this.maxGuests = maxGuests;
    const router = ipToString(outer.addr);
    const [first, last] = rangeOf(outer);
    const names = { [name]: router, gateway: ipToString(this.#labNet.addr) };
    this.guestNet = `${ipToString(outer.addr & -(2 ** (32 - outer.prefix)))}/${outer.prefix}`;
    // Made before the machine: what is wrong with the options is said, and nothing has to be undone.
    const plugins = [
      dhcpServer({ dev: "eth0", range: [first, last], router, dns: router, domain, leaseTime }),
      dnsServer({ zones: [{ name: domain, hosts: names }] }),
      resolver({ servers: [router], search: [domain] }),
    ];
    this.#own = options.machine === undefined;
    this.machine = options.machine ?? new Machine({ platform: realPlatform() });
    this.router = createHost({ machine: this.machine, name, forwarding: true, plugins });
    this.#guestSwitch = this.#switch("guests");
    this.#plug(this.#guestSwitch, this.router, "eth0", guests);
    this.#joined = options.labSwitch !== undefined;
    this.#labSwitch = options.labSwitch ?? this.#switch("labnet");
    this.#plug(this.#labSwitch, this.router, "eth1", lab);
  }

  /** The guests that are there. */
  get guests(): Guest[] {
    return [...this.#guests.values()];
  }

  /** The addresses that guests have. */
  get leases(): DhcpBinding[] {
    return this.router.net.get(DHCP_SERVER).bindings();
  }

  /** A lab host behind the router, or the one that has the name: with an address, routes, a resolver, and `NAME.lab`. */
  host(name: string, options: RelayHostOptions = {}): Host {
    const known = this.hosts.get(name);
    if (known !== undefined) return known;
    if (this.#joined) throw new TypeError(`Cannot add lab host ${name}: the hosts of a lab's switch are the lab's`);
    if (!/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/i.test(name) || name === "router" || name === "gateway") {
      throw new TypeError(
        `Cannot name a lab host "${name}": up to 15 letters, digits and "-", and not router or gateway`,
      );
    }
    const { addr, prefix } = this.#labNet;
    const gateway = ipToString(addr);
    const size = 2 ** (32 - prefix);
    const network = addr & -size;
    if (network + this.#nextHost === addr) this.#nextHost++;
    if (this.#nextHost >= size - 1) throw new RangeError(`Cannot add lab host ${name}: the lab's subnet is full`);
    const address = ipToString((network + this.#nextHost++) | 0);
    const names = resolver({ servers: [gateway], search: [this.domain] });
    const host = createHost({ machine: this.machine, name, plugins: [names, ...(options.plugins ?? [])] });
    this.#plug(this.#labSwitch, host, "eth0", `${address}/${prefix}`);
    host.route.add("default", { via: gateway });
    this.adopt(name, host, address);
    return host;
  }

  /** A host of the machine that is there already gets a name. */
  adopt(name: string, host: Host, address: string): void {
    this.router.net.get(DNS_SERVER).add({ name: `${name}.${this.domain}`, type: "A", ttl: 60, data: address });
    this.hosts.set(name, host);
  }

  /** A device of a host of the machine on the lab's side. */
  attach(host: Host, dev: string, address: string): void {
    this.#plug(this.#labSwitch, host, dev, address);
  }

  /** A guest joins over a link; null: there are too many. It leaves when the link ends. */
  join(link: StreamLink): Guest | null {
    if (this.#guests.size >= this.maxGuests || this.machine.closed) {
      this.turnedAway++;
      link.close(true);
      return null;
    }
    const { net, bridge } = this.#guestSwitch;
    const port = `port${this.#nextPort++}`;
    const device = streamDevice(net, port, link);
    bridge.addPort(device.dev);
    const guest = { port, way: link.name, device };
    this.#guests.set(port, guest);
    device.closed.then(() => {
      this.#guests.delete(port);
      net.unregisterNetdevice(device.dev);
    });
    return guest;
  }

  /** Guests may come over WebSocket, an Ethernet frame a message. */
  listenWebSocket(options: WebSocketDoor = {}): GuestListener {
    return this.#door(listenWebSocket(this, options));
  }

  /** Guests may come by QEMU's `-netdev stream`. */
  listenQemu(options: QemuAddress = {}): GuestListener {
    return this.#door(listenQemu(this, options));
  }

  /** Programs of this machine may come through a SOCKS5 door of the router. */
  listenSocks(options: SocksOptions = {}): SocksServer {
    return this.#door(socksServer(this.router.net, options));
  }

  /** Closes all doors, sends the guests away, and ends the hosts. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const door of this.#doors) await door[Symbol.asyncDispose]();
    await Promise.all(this.guests.map(({ device }) => device[Symbol.asyncDispose]()));
    const nets = [...this.hosts.values(), this.router].map((host) => host.net);
    for (const net of [...nets, this.#guestSwitch.net, this.#labSwitch.net]) net[Symbol.dispose]();
    if (this.#own) this.machine[Symbol.dispose]();
  }

  #door<T extends AsyncDisposable>(door: T): T {
    this.#doors.add(door);
    return door;
  }

  #switch(name: string): LabSwitch {
    const net = createNet({ machine: this.machine, name, plugins: [ethernet(), qdisc(), bridge()] });
    return { net, bridge: bridgeDevice(net, "br0") };
  }

  /** A host's device on a switch. */
  #plug(sw: LabSwitch, host: Host, dev: string, address: string): void {
    const pair = vethPair(sw.net, host.net.name, host.net, dev, { txQueueLen: 1000 });
    pair.a.open();
    pair.b.open();
    sw.bridge.addPort(pair.a);
    host.addr.add(dev, address);
  }
}

function subnet(text: string, what: string): { addr: number; prefix: number } {
  const { addr, prefix } = needCidr(text, `address and prefix of the ${what}`);
  const size = 2 ** (32 - prefix);
  const at = (addr >>> 0) % size;
  if (prefix < 8 || prefix > 28 || at === 0 || at === size - 1) {
    throw new RangeError(`Cannot use ${text} for the ${what}: a host's address and a prefix from 8 to 28`);
  }
  return { addr, prefix };
}

function overlap(a: { addr: number; prefix: number }, b: { addr: number; prefix: number }): boolean {
  const mask = -1 << (32 - Math.min(a.prefix, b.prefix));
  return (a.addr & mask) === (b.addr & mask);
}

/** The longest range of the subnet that leaves the router's own address out, of at most 4,096. */
function rangeOf({ addr, prefix }: { addr: number; prefix: number }): [first: string, last: string] {
  const size = 2 ** (32 - prefix);
  const network = (addr & -size) >>> 0;
  const at = (addr >>> 0) - network;
  const [from, to] = at - 1 >= size - 2 - at ? [1, at - 1] : [at + 1, size - 2];
  const text = (n: number): string => ipToString((network + n) | 0);
  return [text(from), text(Math.min(to, from + 4095))];
}

/**
 * A relay: a switch for guests, and behind it a router that gives them addresses and names and leads to lab hosts. Without
 * NAT: lab hosts see the guests' own addresses. Options that make no sense are a TypeError or a RangeError.
 */
export function createRelay(options: RelayOptions = {}): Relay {
  return new Relay(options);
}
