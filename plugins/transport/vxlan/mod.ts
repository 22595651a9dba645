/**
 * VXLAN: an Ethernet segment over UDP. Labs on two machines share one through Linux's own overlay, or each other's; what
 * is at the other end need not be netpath. RFC 7348; Linux: drivers/net/vxlan.
 *
 * A device sends a frame to the end behind which its destination was seen, and what it does not know to every `remote`. The
 * source port is the flow's, so that routers outside can spread flows. TOS, TTL and ECN (RFC 6040) as Linux has them.
 *
 * Different from Linux: only peers are heard, see {@linkcode VxlanOptions.peers}; the port is IANA's 4789 by default; no
 * GSO over the tunnel (super-packets are cut before), no metadata mode, no ARP proxy, no GPE or GBP.
 *
 * @example Two hosts with a segment of their own over a network between them
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nic, wire } from "@netpath/stack/nic";
 * import { vxlan, vxlanDevice } from "@netpath/stack/vxlan";
 *
 * using machine = new Machine();
 * const cable = wire(machine);
 * const [a, b] = [1, 2].map((i) => {
 *   const host = createHost({ machine, plugins: [vxlan()] });
 *   nic(host.net, "eth0", { wire: cable });
 *   host.addr.add("eth0", `192.0.2.${i}/24`);
 *   vxlanDevice(host.net, "vxlan0", { id: 42, remote: `192.0.2.${3 - i}` });
 *   host.addr.add("vxlan0", `10.0.0.${i}/24`);
 *   return host;
 * });
 * assertEquals((await a.ping("10.0.0.2")).ttl, 64);
 * assertEquals(b.net.device("vxlan0")!.mtu, 1450);
 * ```
 *
 * The other end may as well be a kernel's: `ip link add vxlan0 type vxlan id 42 remote 192.0.2.1 dstport 4789`.
 *
 * @module
 */
import {
  ERRNO,
  macToString,
  type Net,
  type NetDevice,
  netdevOps,
  NETIF_F_SG,
  parseMac,
  type Plugin,
  strerror,
} from "../../../core/mod.ts";
import { ETHERNET } from "../../link/ethernet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { ipToString, needIp, parseIp } from "../../network/inet/header.ts";
import { IPV4 } from "../../network/ipv4/contract.ts";
import { AF_INET, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, SOCK, SOCK_DGRAM, SOL_IP } from "../sock/contract.ts";
import { UDP } from "../udp/contract.ts";
import { type Vxlan, type VxlanFdbEntry, type VxlanOptions, VXLANS } from "./contract.ts";
import { VXLAN_HEADROOM, VXLAN_N_VID, VXLAN_PORT } from "./header.ts";
import { vxlanRcv } from "./input.ts";
import { vxlanXmit } from "./output.ts";
import { VxlanDev, VxlanSock, VxlanState } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";
export { VXLAN_DEPTH } from "./input.ts";

const IPPROTO_UDP = 17;

/** The plugin. */
export function vxlan(): Plugin {
  return { name: "vxlan", api: 1, requires: [ETHERNET, FIB, IPV4, SOCK, UDP], provides: [VXLANS], setup };
}

/**
 * Adds a VXLAN device, up: `ip link add NAME type vxlan id ID remote ADDRESS dstport 4789`. The net needs the plugin
 * {@linkcode vxlan}. Options that make no sense are a TypeError or a RangeError; so is a VNI that the port has already.
 */
export function vxlanDevice(net: Net, name: string, options: VxlanOptions): Vxlan {
  return net.get(VXLANS).add(name, options);
}

function setup(net: Net): void {
  const st = net.state("vxlan:state", () => new VxlanState(net));
  const handles = net.state("vxlan:handles", () => new Map<NetDevice, Vxlan>());
  net.registration(() => {
    const chain = net.netdevChain.register(({ kind, dev }) => {
      if (kind !== "NETDEV_UNREGISTER") return;
      handles.delete(dev);
      gone(st, dev);
    });
    return () => chain[Symbol.dispose]();
  });
  net.provide(VXLANS, {
    add(name, options) {
      const handle = new Handle(addDevice(st, name, options));
      handles.set(handle.dev, handle);
      handle.dev.open();
      return handle;
    },
    get: (dev) => handles.get(dev),
  });
}

/** A device has ended: its socket with the last of them, and what stands on it. */
function gone(st: VxlanState, dev: NetDevice): void {
  const v = st.devs.get(dev);
  if (v !== undefined) {
    st.devs.delete(dev);
    v.sock.devs.delete(v.vni);
    if (v.sock.devs.size === 0) closeSock(st, v.sock);
  }
  for (const other of [...st.devs.values()]) if (other.lower === dev) st.net.unregisterNetdevice(other.dev);
}

function closeSock(st: VxlanState, vs: VxlanSock): void {
  st.ports.delete(vs.sk.sport);
  st.udp.encap(vs.sk, null);
  st.socks.release(vs.sk);
}

/** The socket of a port. Linux: vxlan_sock_add(). */
function openSock(st: VxlanState, name: string, port: number): VxlanSock {
  const known = st.ports.get(port);
  if (known !== undefined) return known;
  const sk = st.socks.create(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
  const err = sk === null ? st.socks.errno : sk.ops.bind(sk, 0, port);
  if (sk === null || err < 0) {
    if (sk !== null) st.socks.release(sk);
    throw new TypeError(`Cannot add VXLAN device ${name}: port ${port}: ${strerror(err)}`);
  }
  const vs = new VxlanSock(st, sk);
  st.udp.encap(sk, (skb) => vxlanRcv(vs, skb));
  st.ports.set(port, vs);
  return vs;
}

function addDevice(st: VxlanState, name: string, options: VxlanOptions): VxlanDev {
  const { net } = st;
  const { remotes, group } = checkOptions(st, name, options);
  const port = options.port ?? VXLAN_PORT;
  const other = st.ports.get(port)?.devs.get(options.id);
  if (other !== undefined) {
    throw new TypeError(
      `Cannot add VXLAN device ${name}: ${other.dev.name} has id ${options.id} on port ${port} already`,
    );
  }
  const lower = options.dev === undefined ? null : net.device(options.dev)!;
  let v: VxlanDev | null = null;
  const dev = net.registerNetdevice(name, {
    ops: netdevOps({
      open: () => membership(v!, IP_ADD_MEMBERSHIP),
      stop: () => void membership(v!, IP_DROP_MEMBERSHIP),
      startXmit: (skb) => vxlanXmit(v!, skb),
    }),
    mtu: options.mtu ?? (lower === null ? 1500 : lower.mtu) - VXLAN_HEADROOM,
    features: NETIF_F_SG,
    txQueueLen: 0,
    ...(options.address === undefined ? {} : { address: options.address }),
  });
  try {
    const sock = openSock(st, name, port);
    v = new VxlanDev(st, dev, sock, options, remotes, group);
    sock.devs.set(v.vni, v);
    st.devs.set(dev, v);
  } catch (error) {
    net.unregisterNetdevice(dev);
    const sock = st.ports.get(port);
    if (sock?.devs.size === 0) closeSock(st, sock);
    throw error;
  }
  return v;
}

/** Joins or leaves the group. Linux: vxlan_open(), vxlan_stop(). */
function membership(v: VxlanDev, option: number): number {
  return v.group === 0 ? 0 : v.sock.sk.ops.setsockopt(v.sock.sk, SOL_IP, option, v.group, v.local);
}

function checkOptions(st: VxlanState, name: string, o: VxlanOptions): { remotes: number[]; group: number } {
  const what = `Cannot add VXLAN device ${name}`;
  const whole = (key: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return;
    throw new RangeError(`${what}: ${key} ${value}, it takes a whole number from ${min} to ${max}`);
  };
  whole("id", o.id, 0, VXLAN_N_VID - 1);
  whole("port", o.port ?? VXLAN_PORT, 1, 0xffff);
  if (typeof o.ttl === "number") whole("ttl", o.ttl, 0, 255);
  if (typeof o.tos === "number") whole("tos", o.tos, 0, 255);
  const [low, high] = o.srcPorts ?? [1, 1];
  whole("first source port", low, 1, 0xffff);
  whole("last source port", high, low, 0xffff);
  if (!((o.ageing ?? 0) >= 0)) throw new RangeError(`${what}: ageing ${o.ageing}, it takes seconds from 0`);
  if (o.dev !== undefined && st.net.device(o.dev) === undefined) {
    throw new TypeError(`${what}: there is no device ${o.dev}`);
  }
  const list = o.remote === undefined ? [] : typeof o.remote === "string" ? [o.remote] : o.remote;
  const remotes = list.map((text) => needIp(text, "remote"));
  const groups = remotes.filter((addr) => addr >>> 28 === 0xe);
  if (groups.length > 1) throw new TypeError(`${what}: one group at most`);
  if (groups.length === 1 && o.peers === undefined) {
    throw new TypeError(`${what}: with a group, say in peers whom it hears; ["0.0.0.0/0"] is everybody`);
  }
  return { remotes, group: groups[0] ?? 0 };
}

class Handle implements Vxlan {
  declare readonly dev: NetDevice;
  declare readonly vni: number;
  readonly #v: VxlanDev;

  constructor(v: VxlanDev) {
    this.#v = v;
    this.dev = v.dev;
    this.vni = v.vni;
  }

  fdbAdd(mac: string, dst: string): number {
    const v = this.#v;
    const halves = parseMac(mac);
    const addr = parseIp(dst);
    if (halves === null || addr === null || addr === 0 || (halves[0] & 0x0100) !== 0) return -ERRNO.EINVAL;
    if ((halves[0] | halves[1]) === 0) {
      if (!v.remotes.includes(addr)) v.remotes = [...v.remotes, addr];
    } else if (!v.fdb.set(halves[0], halves[1], addr, v.st.machine.jiffies)) return -ERRNO.ENOBUFS;
    v.refreshHosts();
    return 0;
  }

  fdbDel(mac: string, dst?: string): number {
    const v = this.#v;
    const halves = parseMac(mac);
    const addr = dst === undefined ? 0 : parseIp(dst);
    if (halves === null || addr === null) return -ERRNO.EINVAL;
    if ((halves[0] | halves[1]) !== 0) {
      if (!v.fdb.delete(halves[0], halves[1], addr)) return -ERRNO.ENOENT;
      v.refreshHosts();
      return 0;
    }
    const left = v.remotes.filter((r) => addr !== 0 && r !== addr);
    if (left.length === v.remotes.length) return -ERRNO.ENOENT;
    v.remotes = left;
    v.refreshHosts();
    return 0;
  }

  fdb(): VxlanFdbEntry[] {
    const v = this.#v;
    const all = v.remotes.map((addr) => ({ mac: "00:00:00:00:00:00", dst: ipToString(addr), permanent: true }));
    for (const [hi, lo, dst, permanent] of v.fdb.entries(v.st.machine.jiffies)) {
      all.push({ mac: macToString(hi, lo), dst: ipToString(dst), permanent });
    }
    return all;
  }
}
