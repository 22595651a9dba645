/**
 * Small stand-ins for the network floor's records, for tests of one stage: a router that is a list, neighbours that are
 * always known and keep what they are given, addresses that are a list. Not for speed.
 *
 * @module
 */
import {
  DROP,
  ERRNO,
  IFF_LOOPBACK,
  Machine,
  type Net,
  type NetDevice,
  netifReceiveSkb,
  type Plugin,
  type SkBuff,
} from "../../../core/mod.ts";
import { inet } from "../../../plugins/network/inet/mod.ts";
import {
  INET,
  type Inet,
  isLbcast,
  isLoopback,
  isMulticast,
  makeMask,
  needCidr,
  needIp,
} from "../../../plugins/network/inet/contract.ts";
import { DEVINET, type Devinet, type InDevConf, type InDevice } from "../../../plugins/network/devinet/contract.ts";
import {
  type Dst,
  FIB,
  type Fib,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from "../../../plugins/network/fib/contract.ts";
import { NEIGH, type Neighbour, type NeighTable } from "../../../plugins/network/neigh/contract.ts";
import { NETFILTER, type Netfilter } from "../../../plugins/network/netfilter/contract.ts";

/** A packet that went to a neighbour. */
export interface Sent {
  /** From the IP header on. */
  bytes: Uint8Array;
  /** Device. */
  dev: string;
  /** Next hop, int32. */
  hop: number;
  /** `skb.id`. */
  id: number;
  /** `skb.cause`. */
  cause: number;
  /** `skb.priority`. */
  priority: number;
  /** `skb.truesize`. */
  truesize: number;
}

/** All bytes of a packet from `data` on, without counting them in the ledger. Borrows `skb`. */
export function packetBytes(skb: SkBuff): Uint8Array {
  const out: number[] = [];
  const add = (bytes: Uint8Array, from: number, len: number): void => {
    for (let i = 0; i < len; i++) out.push(bytes[from + i]);
  };
  const walk = (part: SkBuff): void => {
    add(part.bytes, part.data, part.tail - part.data);
    for (let i = 0; i < part.nrFrags; i++) add(part.frags[i].slab.bytes, part.frags[i].offset, part.frags[i].size);
    for (let p = part.fragList; p !== null; p = p.next) walk(p);
  };
  walk(skb);
  return Uint8Array.from(out);
}

/** A route of the fake. */
export interface FakeRoute {
  /** `10.1.0.0/16`, `default`. */
  to: string;
  /** Device. */
  dev: string;
  /** Gateway. */
  via?: string;
  /** RTN_*. Default unicast. */
  type?: number;
  /** Send redirects. */
  redirect?: boolean;
}

/** What a fake host is made of. */
export interface FakeHostOptions {
  /** Addresses by device: `{ eth0: ["10.9.0.1/24"] }`. */
  devices: Record<string, string[]>;
  /** MTU by device. Default 1500. */
  mtu?: Record<string, number>;
  /** Further routes. */
  routes?: FakeRoute[];
  /** Forward. */
  forward?: boolean;
  /** Multicast groups that are joined. */
  groups?: string[];
  /** Further plugins, the stages under test. */
  plugins: Plugin[];
  /** Seed. */
  seed?: number;
  /** A net with hooks. */
  netfilter?: Netfilter;
}

/** A host around the stages under test. */
export interface FakeHost extends Disposable {
  /** The machine. */
  machine: Machine;
  /** The net. */
  net: Net;
  /** INET. */
  inet: Inet;
  /** What went to neighbours. */
  sent: Sent[];
  /** The fake FIB's settings, to be changed at any time. */
  fib: FakeFib;
  /** What the next neighbour outputs return instead of 0 (the packet is freed). */
  results: number[];
  /** A device. */
  dev(name: string): NetDevice;
  /** A packet (from the IP header on) comes in; the link header said `pktType`. */
  inject(packet: Uint8Array, options?: { dev?: string; pktType?: number }): void;
  /** An skb with these bytes, owned by the caller. */
  skb(packet: Uint8Array, dev?: string): SkBuff;
  /** Ends all and gives leaks and double frees. */
  faults(): unknown[];
}

/** The fake router's settings. */
export class FakeFib {
  /** Path MTU learnt by destination. */
  readonly pmtu = new Map<number, number>();
  /** Redirects told. */
  readonly redirects: number[][] = [];
  /** Calls of routeInput. */
  inputs = 0;
  /** Given reasons for received packets, by destination. */
  readonly refuse = new Map<number, number>();
}

function conf(forward: boolean): InDevConf {
  return {
    forwarding: forward ? 1 : 0,
    rpFilter: 0,
    acceptSourceRoute: 0,
    acceptLocal: 0,
    routeLocalnet: 0,
    logMartians: 0,
    acceptRedirects: 1,
    sendRedirects: 1,
    arpIgnore: 0,
    arpAnnounce: 0,
    arpAccept: 0,
    arpNotify: 0,
    arpFilter: 0,
    proxyArp: 0,
    bcForwarding: 0,
    dropUnicastInL2Multicast: 0,
  } as unknown as InDevConf;
}

interface Row {
  addr: number;
  mask: number;
  prefix: number;
  dev: string;
  via: number;
  type: number;
  redirect: boolean;
}

/** Makes a host with the stages given, over fakes of those below. */
export function fakeHost(options: FakeHostOptions): FakeHost {
  const machine = new Machine({ debug: true, strict: true, seed: options.seed ?? 1, autoAdvance: false });
  const sent: Sent[] = [];
  const results: number[] = [];
  const settings = new FakeFib();
  const fakes: Plugin[] = [
    inet(),
    provider("fake:devinet", DEVINET, (net) => fakeDevinet(net, options)),
    provider("fake:neigh", NEIGH, () => fakeNeigh(sent, results)),
    provider("fake:fib", FIB, (net) => fakeFib(net, options, settings)),
  ];
  const nf = options.netfilter;
  if (nf !== undefined) fakes.push(provider("fake:netfilter", NETFILTER, () => nf));
  const net = machine.createNet({ plugins: fakes });
  for (const [name, addresses] of Object.entries({ lo: ["127.0.0.1/8"], ...options.devices })) {
    const dev = net.registerNetdev(name, { startXmit: (skb) => (skb.consume(), 0) }, {
      mtu: options.mtu?.[name] ?? (name === "lo" ? 65535 : 1500),
      type: 0xfffe,
      flags: name === "lo" ? IFF_LOOPBACK : 0,
      address: `02:00:00:00:00:0${addresses.length}`,
    });
    dev.ipPtr = {
      dev,
      ifaList: [],
      conf: conf(options.forward ?? false),
      mcList: new Map((options.groups ?? []).map((g) => [needIp(g, "group"), 1])),
    } satisfies InDevice as InDevice;
  }
  net.use(...options.plugins);
  const first = Object.keys(options.devices)[0];
  const host: FakeHost = {
    machine,
    net,
    inet: net.get(INET),
    sent,
    fib: settings,
    results,
    dev: (name) => net.device(name)!,
    skb(packet, dev = first) {
      const skb = machine.skbs.alloc(64 + packet.length)!;
      skb.reserve(48);
      const at = skb.put(packet.length);
      for (let i = 0; i < packet.length; i++) skb.bytes[at + i] = packet[i];
      skb.dev = net.device(dev)!;
      skb.protocol = 0x0800;
      skb.macHeader = skb.networkHeader = skb.data;
      return skb;
    },
    inject(packet, { dev = first, pktType = 0 } = {}) {
      machine.enter();
      const skb = host.skb(packet, dev);
      skb.pktType = pktType;
      netifReceiveSkb(skb);
      machine.exit();
    },
    faults() {
      net[Symbol.dispose]();
      return machine.skbs.faults();
    },
    [Symbol.dispose]: () => machine[Symbol.dispose](),
  };
  return host;
}

function provider<T extends object>(name: string, token: { name: string; type?: T }, make: (net: Net) => T): Plugin {
  return { name, api: 1, provides: [token], setup: (net) => void net.provide(token, make(net)) };
}

function fakeNeigh(sent: Sent[], results: number[]): NeighTable {
  const table = new Map<string, Neighbour>();
  const make = (dev: NetDevice, key: number): Neighbour => {
    const name = `${dev.name} ${key}`;
    const known = table.get(name);
    if (known !== undefined) return known;
    const n: Neighbour = {
      family: 4,
      dev,
      primaryKey: key,
      nudState: 2,
      haHi: 0,
      haLo: key,
      confirmed: 0,
      used: 0,
      updated: 0,
      dead: false,
      probes: 0,
      arpQueueLenBytes: 0,
    };
    table.set(name, n);
    return n;
  };
  return {
    lookup: (dev: NetDevice, key: number) => table.get(`${dev.name} ${key}`) ?? null,
    create: make,
    output(neigh: Neighbour, skb: SkBuff) {
      const rc = results.shift() ?? 0;
      if (rc === 0) {
        sent.push({
          bytes: packetBytes(skb),
          dev: neigh.dev.name,
          hop: neigh.primaryKey,
          id: skb.id,
          cause: skb.cause,
          priority: skb.priority,
          truesize: skb.truesize,
        });
      }
      skb.consume();
      return rc;
    },
  } as unknown as NeighTable;
}

function addressesOf(options: FakeHostOptions): { dev: string; addr: number; prefix: number }[] {
  return Object.entries({ ...options.devices, lo: ["127.0.0.1/8"] }).flatMap(([dev, list]) =>
    list.map((cidr) => ({ dev, ...needCidr(cidr, "address") }))
  );
}

function fakeDevinet(net: Net, options: FakeHostOptions): Devinet {
  const all = addressesOf(options);
  return {
    selectAddr(dev: NetDevice | null, dst: number) {
      const on = all.filter((a) => dev === null || a.dev === dev.name);
      const near = on.find((a) => ((a.addr ^ dst) & makeMask(a.prefix)) === 0);
      return (near ?? on[0] ?? all[0])?.addr ?? 0;
    },
    isIfaddr: (addr: number) => all.some((a) => a.addr === addr),
    devByAddr: (addr: number) => net.device(all.find((a) => a.addr === addr)?.dev ?? "") ?? null,
    onlink: (dev: NetDevice, addr: number) =>
      all.some((a) => a.dev === dev.name && ((a.addr ^ addr) & makeMask(a.prefix)) === 0),
  } as unknown as Devinet;
}

function fakeFib(net: Net, options: FakeHostOptions, settings: FakeFib): Fib {
  const mine = addressesOf(options);
  const rows: Row[] = mine.map((a) => ({
    addr: a.addr & makeMask(a.prefix),
    mask: makeMask(a.prefix),
    prefix: a.prefix,
    dev: a.dev,
    via: 0,
    type: RTN_UNICAST,
    redirect: false,
  }));
  for (const r of options.routes ?? []) {
    const { addr, prefix } = needCidr(r.to === "default" ? "0.0.0.0/0" : r.to, "route");
    rows.push({
      addr,
      mask: makeMask(prefix),
      prefix,
      dev: r.dev,
      via: r.via === undefined ? 0 : needIp(r.via, "gateway"),
      type: r.type ?? RTN_UNICAST,
      redirect: r.redirect ?? false,
    });
  }
  rows.sort((a, b) => b.prefix - a.prefix);
  const cache = new Map<string, Dst>();
  const dst = (
    type: number,
    dev: string,
    gateway: number,
    prefsrc: number,
    forward: boolean,
    redirect: boolean,
  ): Dst => {
    const key = `${type} ${dev} ${gateway} ${prefsrc} ${forward}`;
    let d = cache.get(key);
    if (d === undefined) {
      d = {
        family: 4,
        type,
        dev: net.device(dev)!,
        gateway,
        prefsrc,
        forward,
        doRedirect: redirect,
        neigh: null,
        pmtu: 0,
        pmtuExpires: 0,
        obsolete: false,
      };
      cache.set(key, d);
    }
    return d;
  };
  const broadcasts = mine.filter((a) => a.prefix < 31).map((a) => a.addr | ~makeMask(a.prefix));
  const addrType = (addr: number): number => {
    if (mine.some((a) => a.addr === addr) || isLoopback(addr)) return RTN_LOCAL;
    if (isLbcast(addr) || broadcasts.includes(addr)) return RTN_BROADCAST;
    return isMulticast(addr) ? RTN_MULTICAST : RTN_UNICAST;
  };
  const find = (addr: number): Row | undefined => rows.find((r) => ((r.addr ^ addr) & r.mask) === 0);
  const srcOn = (dev: string): number => mine.find((a) => a.dev === dev)?.addr ?? 0;
  const first = Object.keys(options.devices)[0];
  const fib: Fib = {
    errno: 0,
    routeOutput(daddr: number, saddr: number) {
      const type = addrType(daddr);
      if (type === RTN_LOCAL) return dst(RTN_LOCAL, "lo", 0, saddr !== 0 ? saddr : daddr, false, false);
      if (type === RTN_BROADCAST || type === RTN_MULTICAST) return dst(type, first, 0, srcOn(first), false, false);
      const row = find(daddr);
      if (row === undefined || row.type !== RTN_UNICAST) {
        fib.errno = -(row?.type === RTN_PROHIBIT ? ERRNO.EACCES : ERRNO.ENETUNREACH);
        return null;
      }
      const way = dst(RTN_UNICAST, row.dev, row.via, srcOn(row.dev), false, false);
      const pmtu = settings.pmtu.get(daddr);
      return pmtu === undefined ? way : { ...way, pmtu };
    },
    routeInput(skb: SkBuff, daddr: number, _saddr: number, _tos: number, dev: NetDevice) {
      settings.inputs++;
      const refused = settings.refuse.get(daddr);
      if (refused !== undefined) return refused;
      const type = addrType(daddr);
      if (type !== RTN_UNICAST) {
        skb.dst = dst(type, dev.name, 0, 0, false, false);
        return 0;
      }
      if (options.forward !== true) return DROP.IP_INADDRERRORS;
      const row = find(daddr);
      if (row === undefined) return DROP.IP_INNOROUTES;
      skb.dst = dst(row.type, row.dev, row.via, 0, true, row.redirect);
      return 0;
    },
    addrType,
    updatePmtu: (daddr: number, mtu: number) => void settings.pmtu.set(daddr, Math.max(mtu, 552)),
    redirect: (daddr: number, from: number, gateway: number) => void settings.redirects.push([daddr, from, gateway]),
    mtu: (d: Dst) => d.pmtu !== 0 ? d.pmtu : d.dev.mtu,
  } as unknown as Fib;
  return fib;
}

/** Refusing route types, for `FakeRoute.type`. */
export const REFUSING = { blackhole: RTN_BLACKHOLE, unreachable: RTN_UNREACHABLE, prohibit: RTN_PROHIBIT } as const;

/** Hooks as lists of functions, for tests of who calls them. */
export function fakeNetfilter(): Netfilter & { hooks: ((skb: SkBuff) => number)[][] } {
  const active = new Int32Array(5);
  const hooks: ((skb: SkBuff) => number)[][] = [[], [], [], [], []];
  return {
    active,
    hooks,
    run(hook: number, skb: SkBuff, _in: unknown, _out: unknown, okfn: (s: never, skb: SkBuff) => number, state: never) {
      for (const fn of hooks[hook]) {
        const verdict = fn(skb);
        if (verdict === 1) continue;
        if (verdict === 0) skb.dev!.net.drop(skb, DROP.NETFILTER_DROP);
        return verdict === 0 ? -ERRNO.EPERM : 0;
      }
      return okfn(state, skb);
    },
  } as unknown as Netfilter & { hooks: ((skb: SkBuff) => number)[][] };
}
