/**
 * Everything below transport in a hundred lines: nets that hand IPv4 datagrams straight to one another by address. For
 * tests of the floors above, which look at sockets and not at routes.
 */
import { assertEquals } from "@std/assert";
import {
  CHECKSUM_NONE,
  copyFromUser,
  DROP,
  ERRNO,
  Machine,
  type Net,
  type NetDevice,
  NotifierChain,
  NOTIFY_OK,
  type Plugin,
  type SkBuff,
} from "../../../core/mod.ts";
import { DEVINET, type Devinet } from "../../../plugins/network/devinet/contract.ts";
import {
  type Dst,
  FIB,
  type Fib,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
} from "../../../plugins/network/fib/contract.ts";
import { INET, type Inet, isLoopback, isMulticast, parseIp, SnmpMib } from "../../../plugins/network/inet/contract.ts";
import { type IpCork, IPV4, type Ipv4 } from "../../../plugins/network/ipv4/contract.ts";
import { SYSCALL, syscall, type Syscalls } from "../../../plugins/socket/syscall/mod.ts";
import { AF_INET, type MsgHdr, msgHdr, sock, SOCK_DGRAM } from "../../../plugins/transport/sock/mod.ts";
import { udp } from "../../../plugins/transport/udp/mod.ts";

/** An address as int32. */
export function ip(text: string): number {
  return parseIp(text)!;
}

const HEADROOM = 128;

/** One host of the fake network: its record is what tests look at. */
export class FakeHost {
  /** ICMP errors it was asked to send: `type/code`. */
  readonly icmp: string[] = [];
  /** Path MTUs it was told. */
  readonly pmtu: [daddr: number, mtu: number][] = [];
  /** Redirects it was told. */
  readonly redirects: [daddr: number, from: number, gateway: number][] = [];
  /** Groups that its device has joined. */
  readonly groups: Map<number, number> = new Map<number, number>();
  /** Gives the next packets a fate: keep them here instead of delivering. */
  held: SkBuff[] | null = null;
  /** The result of sendSkb, when not 0: the packet is dropped. */
  sendResult = 0;
  /** Features of the device. */
  dev!: NetDevice;
  /** The net. */
  net!: Net;
  /** All hosts on the wire. */
  readonly wire: FakeHost[];
  /** The address, in a /24. */
  readonly addr: number;
  /** Path MTU in bytes. */
  mtu = 1500;
  /** Routes made so far. */
  routes: Dst[] = [];

  constructor(wire: FakeHost[], addr: number) {
    this.wire = wire;
    this.addr = addr;
    wire.push(this);
  }

  /** Delivers a packet whose IP header is written, as IP would. Takes ownership of `skb`. */
  deliver(skb: SkBuff): void {
    const daddr = skb.view.getInt32(skb.data + 16);
    skb.networkHeader = skb.data;
    const protocol = skb.view.getUint8(skb.data + 9);
    skb.pull((skb.view.getUint8(skb.data) & 15) * 4);
    skb.transportHeader = skb.data;
    skb.skbIif = this.dev.ifindex;
    skb.dev = this.dev;
    skb.dst = this.dst(daddr);
    const handler = this.net.get(INET).protocols[protocol];
    if (handler === null) this.net.drop(skb, DROP.IP_NOPROTO);
    else handler.rcv(skb);
  }

  /** A raw IPv4 packet comes in. */
  inject(packet: Uint8Array): void {
    const machine = this.net.machine;
    machine.enter();
    const skb = machine.skbs.alloc(HEADROOM + packet.length)!;
    skb.reserve(HEADROOM);
    copyFromUser(machine.ledger, machine.siteNetifRx, skb.slab, skb.put(packet.length), packet, 0, packet.length);
    this.deliver(skb);
    machine.exit();
  }

  /** An ICMP error that quotes `packet` comes in from `from`. */
  injectError(from: number, type: number, code: number, info: number, packet: Uint8Array): void {
    const machine = this.net.machine;
    machine.enter();
    const skb = machine.skbs.alloc(HEADROOM + 28 + packet.length)!;
    skb.reserve(HEADROOM + 28);
    copyFromUser(machine.ledger, machine.siteNetifRx, skb.slab, skb.put(packet.length), packet, 0, packet.length);
    skb.networkHeader = skb.data - 28;
    skb.view.setInt32(skb.networkHeader + 12, from);
    skb.view.setUint8(skb.data - 8, type);
    skb.view.setUint8(skb.data - 7, code);
    skb.skbIif = this.dev.ifindex;
    skb.dev = this.dev;
    this.net.get(INET).protocols[packet[9]]?.error(skb, type, code, info);
    skb.consume();
    machine.exit();
  }

  /** The route to an address. */
  dst(daddr: number): Dst {
    for (const r of this.routes) {
      if (!r.obsolete && (r as unknown as { daddr: number }).daddr === daddr) return r;
    }
    let type = RTN_UNICAST;
    if (daddr === -1 || (daddr & 255) === 255) type = RTN_BROADCAST;
    else if (isMulticast(daddr)) type = RTN_MULTICAST;
    else if (daddr === this.addr || isLoopback(daddr)) type = RTN_LOCAL;
    const route = {
      family: 4,
      type,
      dev: this.dev,
      gateway: 0,
      prefsrc: isLoopback(daddr) ? daddr : this.addr,
      forward: false,
      doRedirect: false,
      neigh: null,
      pmtu: 0,
      pmtuExpires: 0,
      obsolete: false,
      daddr,
    };
    this.routes.push(route);
    return route;
  }
}

/** The plugin that makes a net a fake host: INET, DEVINET, FIB and IPV4. */
export function fakeIp(host: FakeHost): Plugin {
  return {
    name: "fake-ip",
    api: 1,
    provides: [INET, DEVINET, FIB, IPV4],
    setup(net) {
      host.net = net;
      host.dev = net.registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) });
      net.provide(INET, fakeInet(host));
      net.provide(DEVINET, fakeDevinet(host));
      net.provide(FIB, fakeFib(host));
      net.provide(IPV4, fakeIpv4(host, net.machine));
    },
  };
}

function fakeInet(host: FakeHost): Inet {
  return {
    protocols: new Array(256).fill(null),
    mib: new SnmpMib(),
    icmpSend: (_skb, type, code) => void host.icmp.push(`${type}/${code}`),
    rawDeliver: () => false,
    rawError: () => {},
    rawState: null,
  };
}

function fakeDevinet(host: FakeHost): Devinet {
  const devinet: Partial<Devinet> = {
    chain: new NotifierChain(),
    addAddress: () => NOTIFY_OK,
    delAddress: () => 0,
    selectAddr: () => host.addr,
    devByAddr: (addr) => addr === host.addr ? host.dev : null,
    onlink: () => true,
    joinGroup: (_dev, group) => (host.groups.set(group, (host.groups.get(group) ?? 0) + 1), 0),
    leaveGroup: (_dev, group) => {
      const n = host.groups.get(group) ?? 0;
      if (n <= 1) host.groups.delete(group);
      else host.groups.set(group, n - 1);
      return 0;
    },
  };
  return devinet as Devinet;
}

function fakeFib(host: FakeHost): Fib {
  const fib: Partial<Fib> = {
    routeOutput(daddr) {
      const near = (daddr & ~255) === (host.addr & ~255) || isLoopback(daddr) || isMulticast(daddr) || daddr === -1;
      if (near) return host.dst(daddr);
      this.errno = -ERRNO.ENETUNREACH;
      return null;
    },
    errno: 0,
    routeInput: () => 0,
    add: () => 0,
    del: () => 0,
    list: () => [],
    addrType: (addr) =>
      addr === host.addr || isLoopback(addr) || addr === -1 || isMulticast(addr) || (addr & 255) === 255
        ? host.dst(addr).type
        : RTN_UNICAST,
    devAddrType: () => RTN_UNICAST,
    validateSource: () => 0,
    updatePmtu: (daddr, mtu) => void host.pmtu.push([daddr, mtu]),
    mtu: () => host.mtu,
    flushCache: () => {
      for (const r of host.routes) r.obsolete = true;
      host.routes = [];
    },
    cacheEnabled: true,
    stats: { lookups: 0, cacheHits: 0, slow: 0 },
    redirect: (daddr, from, gateway) => void host.redirects.push([daddr, from, gateway]),
  };
  return fib as Fib;
}

function fakeIpv4(host: FakeHost, machine: Machine): Ipv4 {
  const ipv4: Partial<Ipv4> = {
    makeSkb: (cork) => makeSkb(host, machine, cork),
    sendSkb: (skb, cork) => sendSkb(host, skb, cork),
    queueXmit: (skb) => (skb.consume(), 0),
    localOut: (skb) => (skb.consume(), 0),
    defrag: (skb) => skb,
    selectIdent: () => 0,
    fragMem: () => 0,
  };
  return ipv4 as Ipv4;
}

function makeSkb(host: FakeHost, machine: Machine, cork: IpCork): SkBuff | null {
  const len = cork.transhdrlen + cork.len;
  if (cork.pmtudisc === 2 && len + 20 > host.mtu) {
    cork.errno = -ERRNO.EMSGSIZE;
    return null;
  }
  const linear = Math.min(len, 32768 - HEADROOM);
  const skb = machine.skbs.alloc(HEADROOM + linear);
  if (skb === null) {
    cork.errno = -ERRNO.ENOBUFS;
    return null;
  }
  skb.reserve(HEADROOM);
  skb.transportHeader = skb.put(cork.transhdrlen);
  const first = linear - cork.transhdrlen;
  copyFromUser(machine.ledger, cork.site, skb.slab, skb.put(first), cork.buf, cork.off, first);
  for (let done = first; done < cork.len;) {
    const n = machine.skbs.addPage(skb, cork.len - done);
    const frag = skb.frags[skb.nrFrags - 1];
    copyFromUser(machine.ledger, cork.site, frag.slab, frag.offset, cork.buf, cork.off + done, n);
    done += n;
  }
  return skb;
}

function sendSkb(host: FakeHost, skb: SkBuff, cork: IpCork): number {
  if (host.sendResult !== 0) {
    skb.consume();
    return host.sendResult;
  }
  const at = skb.push(20);
  const view = skb.view;
  view.setInt32(at, 0x45000000 | skb.len);
  view.setInt32(at + 4, 0);
  view.setInt32(at + 8, (64 << 24) | (cork.protocol << 16));
  view.setInt32(at + 12, cork.saddr);
  view.setInt32(at + 16, cork.daddr);
  skb.networkHeader = at;
  if (host.held !== null) {
    host.held.push(skb);
    return 0;
  }
  carry(host, skb, cork.daddr);
  return 0;
}

/** The wire: to whom it may concern. */
function carry(host: FakeHost, skb: SkBuff, daddr: number): void {
  if (isLoopback(daddr)) return arrive(host, skb);
  const toAll = daddr === -1 || (daddr & 255) === 255 || isMulticast(daddr);
  for (const other of host.wire) {
    if (toAll ? other === host : other.addr !== daddr) continue;
    if (!toAll) return arrive(other, skb);
    const twin = skb.copy();
    if (twin !== null) arrive(other, twin);
  }
  skb.consume();
}

function arrive(host: FakeHost, skb: SkBuff): void {
  skb.orphan();
  skb.dst = null;
  if (skb.ipSummed !== 3) skb.ipSummed = CHECKSUM_NONE;
  host.deliver(skb);
}

/** Two hosts, 10.0.0.1 and 10.0.0.2, with sockets; disposing checks that no packet is left. */
export class TwoHosts {
  readonly machine: Machine;
  readonly a: FakeHost;
  readonly b: FakeHost;
  readonly sa: Syscalls;
  readonly sb: Syscalls;

  constructor(more: (host: FakeHost) => Plugin[] = () => []) {
    this.machine = new Machine({ debug: true, strict: true });
    const wire: FakeHost[] = [];
    this.a = new FakeHost(wire, ip("10.0.0.1"));
    this.b = new FakeHost(wire, ip("10.0.0.2"));
    const make = (host: FakeHost) =>
      this.machine.createNet({ plugins: [fakeIp(host), sock(), udp(), syscall(), ...more(host)] });
    this.sa = make(this.a).get(SYSCALL);
    this.sb = make(this.b).get(SYSCALL);
  }

  /** A UDP socket of `sys`, bound to a port of all addresses. */
  bound(sys: Syscalls, port: number, addr = 0): number {
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
    assertEquals(sys.bind(fd, addr, port), 0);
    return fd;
  }

  /** A UDP socket of `sys` that sends to `addr:port`. */
  connected(sys: Syscalls, addr: string, port: number): number {
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
    assertEquals(sys.connect(fd, ip(addr), port), 0);
    return fd;
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
    assertEquals(this.machine.skbs.faults(), []);
    assertEquals(this.machine.skbs.live, 0);
  }
}

/** A message to `addr:port`. */
export function to(addr: string, port: number, bytes: Uint8Array | string = ""): MsgHdr {
  const msg = msgHdr(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  msg.addr = ip(addr);
  msg.port = port;
  return msg;
}

/** What recvmsg gives: the bytes as text, or the negative errno. */
export function recv(sys: Syscalls, fd: number, room = 2048, flags = 0): string | number {
  const msg = msgHdr(new Uint8Array(room));
  const n = sys.recvmsg(fd, msg, flags);
  return n < 0 ? n : new TextDecoder().decode(msg.buf.subarray(0, Math.min(n, room)));
}
