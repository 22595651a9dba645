/**
 * An emulated link for the goodput comparison: a router of netpath's on the real clock with netem on both of its devices, and at
 * each end of it either the kernel (a TAP) or a netpath host.
 *
 *     kernel ── TAP ── router: netem → ── ← netem ── TAP ── kernel of another namespace
 *
 * The router is a machine of its own, whose random numbers are drawn by netem only: with the same seed the same packets of a
 * connection are lost or overtake, whoever sends them.
 *
 * @module
 */
import type { NetDevice } from "../../core/mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import { tap, type TapDevice } from "../../plugins/device/tap/mod.ts";
import { bbr } from "../../plugins/transport/tcp/mod.ts";
import { createHost, type Host, Machine, realPlatform, virtualPlatform } from "../../mod.ts";

/** Who is at an end of a link. */
export type Party = "kernel" | "netpath";

/** What the link does to packets from left to right. Those from right to left are delayed only. */
export interface LinkSpec {
  /** Congestion control of the senders. */
  algorithm: string;
  /** Round trip without queues, milliseconds: half of it in each direction. */
  rttMs: number;
  /** Per cent. */
  loss: number;
  /** Per cent of packets that do not wait for the delay. */
  reorder: number;
  /** Mbit/s. */
  rateMbit: number;
  /** Packets that the forward netem holds, those under way included. */
  limit: number;
  /** Of what netem draws. */
  seed: number;
}

/** Runs a command of the kernel's side; what it prints. Throws with what it says when it fails. */
export async function sh(command: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("timeout", {
    args: ["60", "sh", "-ec", command],
    stdin: "null",
    env: { LC_ALL: "C" },
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`Cannot run "${command}": ${text.decode(stderr).trim()}`);
  return text.decode(stdout);
}

/** The real clock with random numbers from a seed, which may be set anew. */
class SeededClock {
  readonly platform: ReturnType<typeof realPlatform>;
  #random = virtualPlatform(1).random;

  constructor() {
    this.platform = { ...realPlatform(), random: () => this.#random() };
  }

  seed(seed: number): void {
    this.#random = virtualPlatform(seed).random;
  }
}

/** One end, from the router's side. */
interface End {
  /** Device towards it. */
  dev: NetDevice;
  /** The netpath host there; null: it is the kernel. */
  host: Host | null;
  /** Address of its sockets. */
  address: string;
  close(): Promise<void>;
}

/** What an end is made of: a name for its devices, the namespace's process (null: this one), and two subnets as `10.0.0`. */
interface Place {
  name: string;
  pid: number | null;
  subnet: string;
  hosts: string;
  algorithm: string;
}

const [OURS, THEIRS] = ["02:00:00:00:00:fe", "02:00:00:00:00:01"];

/** A TAP of `host` whose kernel side is `.1` of `subnet`, ours `.254`. */
async function tapTo(host: Host, name: string, subnet: string, pid: number | null, more: string): Promise<TapDevice> {
  const device = tap(host.net, { name, as: name, address: OURS });
  if (pid !== null) await sh(`ip link set ${name} netns ${pid}`);
  const setup = [
    // Packets as large as the link's, not super-packets: netem loses what it is given.
    `ip link set ${name} address ${THEIRS} gso_max_segs 1 up`,
    `ip addr add ${subnet}.1/24 dev ${name}`,
    `ip neigh replace ${subnet}.254 lladdr ${OURS} nud permanent dev ${name}`,
    more,
  ].join("; ");
  await sh(pid === null ? setup : `nsenter -t ${pid} -n sh -ec "${setup}"`);
  host.addr.add(name, `${subnet}.254/24`);
  host.neigh.set(name, `${subnet}.1`, THEIRS);
  return device;
}

/** The kernel, behind a TAP. Its congestion control is that of the route: a sysctl takes only what all users may have. */
async function kernelEnd(router: Host, { name, pid, subnet, algorithm }: Place): Promise<End> {
  const route = `ip route add ${subnet.replace(/[0-9]+$/, "0.0/16")} via ${subnet}.254 congctl ${algorithm}`;
  const device = await tapTo(router, name, subnet, pid, route);
  return {
    dev: device.dev,
    host: null,
    address: `${subnet}.1`,
    close: async () => await device[Symbol.asyncDispose](),
  };
}

/**
 * A netpath host on a machine of its own. What it sends goes through the kernel, which forwards it from TAP to TAP, and what comes
 * is handed to it: as with the kernel's own sockets, packets wait for the router's poll on one way and for nobody on the other.
 */
async function netpathEnd(router: Host, place: Place): Promise<End> {
  const { name, pid, hosts, algorithm } = place;
  const kernel = await kernelEnd(router, place);
  const machine = new Machine({ platform: realPlatform(), debug: true });
  const host = createHost({ machine, name, plugins: [bbr()] });
  const device = await tapTo(host, `h${name}`, hosts, pid, "sysctl -qw net.ipv4.ip_forward=1");
  host.route.add("default", { via: `${hosts}.1` });
  const [theirs, ours] = [channel(router.net, `c${name}`), channel(host.net, "in")];
  theirs.onFrame = (frame) => void ours.inject(frame);
  router.addr.add(theirs.dev.name, "192.168.0.1/24");
  router.neigh.set(theirs.dev.name, "192.168.0.2", ours.dev.address);
  router.route.add(`${hosts}.0/24`, { via: "192.168.0.2" });
  host.sysctl("net.ipv4.tcp_no_metrics_save", 1);
  host.sysctl("net.ipv4.tcp_congestion_control", algorithm);
  return {
    dev: theirs.dev,
    host,
    address: `${hosts}.254`,
    close: async () => {
      await device[Symbol.asyncDispose]();
      await kernel.close();
      machine[Symbol.dispose]();
    },
  };
}

/** A link that is up. */
export interface Link {
  /** The host of a netpath end; null: it is the kernel. */
  left: Host | null;
  right: Host | null;
  /** Address of the right end. */
  address: string;
  /** Packets that netem dropped on their way to the right, by chance or for want of room. */
  dropped(): number;
  close(): Promise<void>;
}

/**
 * Makes the link `index` (10.`index`.0.0/16) between `left`, in this namespace, and `right`, in that of process `pid`. The draws of netem begin with the first packet
 * after this.
 */
export async function makeLink(index: number, left: Party, right: Party, pid: number, spec: LinkSpec): Promise<Link> {
  const clock = new SeededClock();
  const machine = new Machine({ platform: clock.platform, debug: true });
  const router = createHost({ machine, name: "router", forwarding: true });
  const { algorithm, rateMbit, limit } = spec;
  const net = `10.${index}`;
  const from = { name: `l${index}`, pid: null, subnet: `${net}.0`, hosts: `${net}.2`, algorithm };
  const to = { name: `r${index}`, pid, subnet: `${net}.1`, hosts: `${net}.3`, algorithm };
  const near = await (left === "kernel" ? kernelEnd : netpathEnd)(router, from);
  const far = await (right === "kernel" ? kernelEnd : netpathEnd)(router, to);
  const delay = `${spec.rttMs / 2}ms`;
  router.net.setQdisc(near.dev, "netem", { delay, limit: 10_000 });
  clock.seed(spec.seed);
  router.net.setQdisc(far.dev, "netem", {
    delay,
    limit,
    rate: `${rateMbit}mbit`,
    loss: `${spec.loss}%`,
    ...(spec.reorder > 0 ? { reorder: `${spec.reorder}%` } : {}),
  });
  return {
    left: near.host,
    right: far.host,
    address: far.address,
    dropped: () => far.dev.txq[0].qdisc!.drops,
    close: async () => {
      for (const end of [near, far]) await end.close();
      machine[Symbol.dispose]();
    },
  };
}
