/** The VXLAN devices of a net and their sockets. Linux: struct vxlan_net, vxlan_sock, vxlan_dev. */
import type { Machine, Net, NetDevice } from "../../../core/mod.ts";
import { FIB, type Fib } from "../../network/fib/contract.ts";
import { needCidr } from "../../network/inet/header.ts";
import { IPCB_WORDS, IPV4, type Ipv4 } from "../../network/ipv4/contract.ts";
import { SOCK, type Sock, type SockTable } from "../sock/contract.ts";
import { UDP, type Udp } from "../udp/contract.ts";
import type { VxlanOptions } from "./contract.ts";
import { VxlanFdb } from "./fdb.ts";

/** Numbers of the drop reasons. */
export interface VxlanReasons {
  /** A flag or a reserved bit. */
  readonly invalidHdr: number;
  /** Nobody has the segment. */
  readonly vniNotFound: number;
  /** It comes from somebody who is no peer. */
  readonly unknownPeer: number;
  /** The inner source address is a group's or none. */
  readonly invalidSource: number;
  /** The inner source address is our own. */
  readonly localMac: number;
  /** The inner source address is behind another end, as was said by hand. */
  readonly entryExists: number;
  /** Congestion that cannot be told. */
  readonly ecn: number;
  /** The destination is not known and there is no other end. */
  readonly noRemote: number;
}

/** One socket: all devices of a port. */
export class VxlanSock {
  /** The state of the net. */
  declare readonly st: VxlanState;
  /** The socket. */
  declare readonly sk: Sock;
  /** Devices by segment. */
  readonly devs: Map<number, VxlanDev> = new Map();

  /** Around a bound socket. */
  constructor(st: VxlanState, sk: Sock) {
    this.st = st;
    this.sk = sk;
  }
}

/** One device. */
export class VxlanDev {
  /** The state of the net. */
  declare readonly st: VxlanState;
  /** The device. */
  declare readonly dev: NetDevice;
  /** Its socket. */
  declare readonly sock: VxlanSock;
  /** Its segment. */
  declare readonly vni: number;
  /** Destination port. */
  declare readonly port: number;
  /** The device outside, or null. */
  declare readonly lower: NetDevice | null;
  /** Our address outside, 0: the route's. */
  declare readonly local: number;
  /** Other ends for what is not known. */
  remotes: readonly number[];
  /** A group among them, 0: none. */
  declare readonly group: number;
  /** Ends that are heard. */
  readonly hosts: Set<number> = new Set();
  /** Prefixes that are heard: address and mask, two words each. */
  declare readonly prefixes: Int32Array;
  readonly #named: number[] = [];
  /** Addresses. */
  declare readonly fdb: VxlanFdb;
  /** Learns. */
  declare readonly learning: boolean;
  /** Type of service; -1: the inner one's. */
  declare readonly tos: number;
  /** TTL, 0: the default; -1: the inner one's. */
  declare readonly ttl: number;
  /** Don't fragment: 0, 1, or -1: the inner one's. */
  declare readonly df: number;
  /** A checksum is computed. */
  declare readonly udpCsum: boolean;
  /** First source port, and how many. */
  declare readonly portLow: number;
  declare readonly ports: number;

  /** A device; what the options say has been checked. */
  constructor(
    st: VxlanState,
    dev: NetDevice,
    sock: VxlanSock,
    options: VxlanOptions,
    remotes: number[],
    group: number,
  ) {
    this.st = st;
    this.dev = dev;
    this.sock = sock;
    this.vni = options.id;
    this.port = sock.sk.sport;
    this.lower = options.dev === undefined ? null : st.net.device(options.dev)!;
    this.local = options.local === undefined ? 0 : needCidr(options.local, "local address").addr;
    this.remotes = remotes;
    this.group = group;
    const words: number[] = [];
    for (const peer of options.peers ?? []) {
      const { addr, prefix } = needCidr(peer, "peer");
      const mask = prefix === 0 ? 0 : -1 << (32 - prefix);
      if (prefix === 32) this.#named.push(addr);
      else words.push(addr & mask, mask);
    }
    this.prefixes = Int32Array.from(words);
    this.fdb = new VxlanFdb(st.machine.platform, Math.round((options.ageing ?? 300) * 1000));
    this.learning = options.learning ?? true;
    this.tos = options.tos === "inherit" ? -1 : options.tos ?? 0;
    this.ttl = options.ttl === "inherit" ? -1 : options.ttl ?? 0;
    this.df = options.df === "inherit" ? -1 : options.df === "set" ? 1 : 0;
    this.udpCsum = options.udpCsum ?? false;
    const [low, high] = options.srcPorts ?? [st.socks.limits.portLow, st.socks.limits.portHigh];
    this.portLow = low;
    this.ports = high - low + 1;
    this.refreshHosts();
  }

  /** Whom it hears beside the prefixes: those that were named, and all ends that were given by hand. */
  refreshHosts(): void {
    this.hosts.clear();
    for (const addr of [...this.#named, ...this.remotes]) if (addr !== this.group) this.hosts.add(addr);
    for (const [, , dst, permanent] of this.fdb.entries(this.st.machine.jiffies)) if (permanent) this.hosts.add(dst);
  }

  /** Whether this end is heard. */
  hears(addr: number): boolean {
    if (this.hosts.has(addr)) return true;
    const { prefixes } = this;
    for (let i = 0; i < prefixes.length; i += 2) if ((addr & prefixes[i + 1]) === prefixes[i]) return true;
    return false;
  }
}

/** All of a net. */
export class VxlanState {
  /** The net. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** Routes. */
  declare readonly fib: Fib;
  /** IPv4. */
  declare readonly ipv4: Ipv4;
  /** UDP. */
  declare readonly udp: Udp;
  /** Sockets. */
  declare readonly socks: SockTable;
  /** Key of the flow hash: nobody outside can choose the source port. */
  declare readonly key: number;
  /** First word of IP's control block. */
  declare readonly ipcb: number;
  /** Words of it. */
  readonly ipcbWords: number = IPCB_WORDS;
  /** Why packets are dropped. */
  declare readonly reasons: VxlanReasons;
  /** Sockets by port. */
  readonly ports: Map<number, VxlanSock> = new Map();
  /** Devices. */
  readonly devs: Map<NetDevice, VxlanDev> = new Map();
  /** Frames within frames that are being taken out just now. */
  depth = 0;

  /** None yet. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.fib = net.get(FIB);
    this.ipv4 = net.get(IPV4);
    this.udp = net.get(UDP);
    this.socks = net.get(SOCK);
    this.key = net.machine.platform.random();
    this.ipcb = net.machine.claimCb("ipv4", IPCB_WORDS);
    const reason = (name: string, text: string, advice: string): number =>
      net.machine.reasons.register({ name, layer: "vxlan", text, advice });
    this.reasons = {
      invalidHdr: reason("VXLAN_INVALID_HDR", "A flag or a reserved bit is not as it must be.", "Look at the sender."),
      vniNotFound: reason("VXLAN_VNI_NOT_FOUND", "No device has this VNI.", "Look at the ids of both ends."),
      unknownPeer: reason(
        "VXLAN_UNKNOWN_PEER",
        "The sender is no peer of the device.",
        "Spoofed, or add it to `peers`.",
      ),
      invalidSource: reason("MAC_INVALID_SOURCE", "The source address is no host's.", "Look at the sender."),
      localMac: reason("LOCAL_MAC", "The source address is the device's own.", "A loop, or an address used twice."),
      entryExists: reason(
        "VXLAN_ENTRY_EXISTS",
        "The address belongs behind another end.",
        "Spoofed, or the FDB is wrong.",
      ),
      ecn: reason("IP_TUNNEL_ECN", "Congestion that the inner packet cannot be told.", "RFC 6040: a broken sender."),
      noRemote: reason(
        "VXLAN_NO_REMOTE",
        "The destination is not known, and there is no remote.",
        "`remote`, or the FDB.",
      ),
    };
  }
}
