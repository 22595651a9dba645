/**
 * A lab file behind the relay: its hosts on the real clock, the relay's router on one of its switches or beside one of its
 * routers, their names in DNS.
 */
import { type Host, realPlatform } from "../../../mod.ts";
import { ipToString, needCidr } from "../../network/inet/mod.ts";
import { type Lab, type LabService, loadLab } from "../mod.ts";
import { createRelay, type Relay, type RelayOptions } from "./relay.ts";

/** Where the relay joins a lab. */
export interface LabDoor {
  /** A switch of the lab, or a host, which should forward. Default: the only switch, else the only host that forwards. */
  at?: string;
}

/** A lab behind a relay. */
export interface LabRelay extends AsyncDisposable {
  /** The relay. */
  readonly relay: Relay;
  /** The lab. */
  readonly lab: Lab;
  /** Its applications. */
  readonly apps: LabService;
}

/** Name of the relay's router in a lab, where `router` may be taken. */
const NAME = "relay";

/**
 * Reads a lab file, starts it on the real clock, and puts a relay in front of it. Beside a host the relay has a subnet of
 * its own, `options.lab`; on a switch it takes `options.lab`, or the last free address of the subnet there, and the hosts
 * there get a route to the guests. What is wrong with the file is a LabFileError, a door that is not there a TypeError.
 */
export async function relayLab(
  file: string,
  text: string,
  base: URL,
  options: Omit<RelayOptions, "machine" | "labSwitch" | "name"> & LabDoor = {},
): Promise<LabRelay> {
  const loaded = await loadLab(file, text, base, { platform: realPlatform() });
  const { lab } = loaded;
  try {
    const relay = join(lab, options.at ?? onlyDoor(lab), options);
    for (const [name, host] of lab.hosts) {
      const address = addressesOf(host).find((a) => !a.startsWith("127."));
      if (address !== undefined) relay.adopt(name, host, address.split("/")[0]);
    }
    const apps = loaded.start();
    return {
      relay,
      lab,
      apps,
      async [Symbol.asyncDispose]() {
        apps[Symbol.dispose]();
        await relay[Symbol.asyncDispose]();
        loaded[Symbol.dispose]();
      },
    };
  } catch (error) {
    loaded[Symbol.dispose]();
    throw error;
  }
}

/** Where the relay joins when nobody says. */
function onlyDoor(lab: Lab): string {
  const switches = [...lab.switches.keys()];
  const routers = [...lab.hosts].filter(([, host]) => host.sysctl("net.ipv4.ip_forward") !== 0).map(([name]) => name);
  for (const doors of [switches, routers, [...lab.hosts.keys()]]) if (doors.length === 1) return doors[0];
  const all = [...switches, ...lab.hosts.keys()].join(", ");
  throw new TypeError(`Cannot tell where to join the lab: name one of ${all}`);
}

function join(lab: Lab, at: string, options: RelayOptions): Relay {
  const { machine } = lab;
  if (lab.hosts.has(NAME) || lab.switches.has(NAME)) {
    throw new TypeError(`Cannot join a lab that has a host or switch ${NAME}: the relay's router is called so`);
  }
  const labSwitch = lab.switches.get(at);
  if (labSwitch !== undefined) {
    const there = options.lab ?? freeAddress(lab, at);
    const relay = createRelay({ ...options, machine, name: NAME, labSwitch, lab: there });
    leadBack(lab, relay, there);
    return relay;
  }
  const host = lab.hosts.get(at);
  if (host === undefined) {
    const all = [...lab.switches.keys(), ...lab.hosts.keys()].join(", ");
    throw new TypeError(`Cannot join the lab at ${at}: there are ${all}`);
  }
  const relay = createRelay({ ...options, machine, name: NAME });
  const [own] = relay.router.addr.list("eth1");
  const other = ipToString(neighbour(own));
  relay.attach(host, "relay0", `${other}/${own.split("/")[1]}`);
  relay.router.route.add("default", { via: other });
  host.route.add(relay.guestNet, { via: own.split("/")[0] });
  return relay;
}

/** Hosts on the switch know the way to the guests; who forwards there is the relay's way to the rest. */
function leadBack(lab: Lab, relay: Relay, there: string): void {
  const { addr, prefix } = needCidr(there, "address on the lab's side");
  let way: string | null = null;
  for (const host of lab.hosts.values()) {
    const near = addressesOf(host).find((a) => sameNet(needCidr(a, "address").addr, addr, prefix));
    if (near === undefined) continue;
    host.route.add(relay.guestNet, { via: ipToString(addr) });
    if (host.sysctl("net.ipv4.ip_forward") !== 0) way ??= near.split("/")[0];
  }
  if (way !== null) relay.router.route.add("default", { via: way });
}

/** The last address of the subnet on a switch that nobody has. */
function freeAddress(lab: Lab, name: string): string {
  const net = lab.switches.get(name)!.net;
  const taken = new Set<number>();
  let first: { addr: number; prefix: number } | null = null;
  for (const { ends } of lab.links) {
    const other = ends.find((end) => end.net !== net);
    const host = other === undefined || ends.every((end) => end.net !== net)
      ? undefined
      : lab.hosts.get(other.net.name);
    if (host !== undefined) {
      for (const a of host.addr.list(other!.dev.name)) first ??= needCidr(a, "address");
    }
  }
  if (first === null) throw new TypeError(`Cannot tell the relay's address on ${name}: nobody has one there, say it`);
  for (const host of lab.hosts.values()) {
    for (const a of addressesOf(host)) taken.add(needCidr(a, "address").addr >>> 0);
  }
  const size = 2 ** (32 - first.prefix);
  const base = (first.addr & -size) >>> 0;
  for (let at = base + size - 2; at > base; at--) if (!taken.has(at)) return `${ipToString(at | 0)}/${first.prefix}`;
  throw new TypeError(`Cannot join ${name}: its subnet is full`);
}

function addressesOf(host: Host): string[] {
  return host.net.devices.flatMap((dev) => host.addr.list(dev.name));
}

function sameNet(a: number, b: number, prefix: number): boolean {
  return ((a ^ b) & -(2 ** (32 - prefix))) === 0;
}

/** The address after this one in its subnet, or the one before. */
function neighbour(text: string): number {
  const { addr, prefix } = needCidr(text, "address");
  const last = ((addr >>> 0) % 2 ** (32 - prefix)) === 2 ** (32 - prefix) - 2;
  return last ? addr - 1 : addr + 1;
}
