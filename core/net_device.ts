/**
 * Network devices: what the stack sees of a NIC. Linux: struct net_device, include/linux/netdevice.h, net/core/dev.c.
 */
import type { Net } from "./net.ts";
import type { Napi } from "./napi.ts";
import type { SkBuff } from "./sk_buff.ts";
import type { Cpu } from "./softirq.ts";
import { NOTIFY_BAD } from "./event_bus.ts";
import { ERRNO } from "./errno.ts";
import { devQueueXmit, NetdevQueue, qdiscReset } from "./transmit.ts";

/** Administratively up. */
export const IFF_UP = 0x1;
/** Has a broadcast address. */
export const IFF_BROADCAST = 0x2;
/** Is a loopback. */
export const IFF_LOOPBACK = 0x8;
/** Has one peer. */
export const IFF_POINTOPOINT = 0x10;
/** Carrier present. */
export const IFF_RUNNING = 0x40;
/** No ARP. */
export const IFF_NOARP = 0x80;
/** Takes frames for everybody. */
export const IFF_PROMISC = 0x100;
/** Knows multicast. */
export const IFF_MULTICAST = 0x1000;

/** Takes frags. */
export const NETIF_F_SG = 0x1;
/** Completes CHECKSUM_PARTIAL. */
export const NETIF_F_HW_CSUM = 0x2;
/** Verifies checksums on receive. */
export const NETIF_F_RXCSUM = 0x4;
/** Takes super-packets of TCP. */
export const NETIF_F_TSO = 0x8;
/** Merges on receive. */
export const NETIF_F_GRO = 0x10;
/** Takes fragment lists. */
export const NETIF_F_FRAGLIST = 0x20;
/** Takes super-packets of UDP. */
export const NETIF_F_GSO_UDP_L4 = 0x40;

/** Ethernet. Linux: include/uapi/linux/if_arp.h. */
export const ARPHRD_ETHER = 1;
/** Loopback. */
export const ARPHRD_LOOPBACK = 772;
/** No link header. */
export const ARPHRD_NONE = 0xfffe;

/** `startXmit`: the packet is the driver's now. */
export const NETDEV_TX_OK = 0;
/** `startXmit`: no room; the packet stays with core, which stops the queue. */
export const NETDEV_TX_BUSY = 0x10;

/** Events of `net.netdevChain`. Linux: enum netdev_cmd. */
export type NetdevEventKind =
  | "NETDEV_REGISTER"
  | "NETDEV_UNREGISTER"
  | "NETDEV_PRE_UP"
  | "NETDEV_UP"
  | "NETDEV_GOING_DOWN"
  | "NETDEV_DOWN"
  | "NETDEV_CHANGE"
  | "NETDEV_CHANGEMTU"
  | "NETDEV_CHANGEADDR";

/** One event about a device. */
export interface NetdevEvent {
  /** What happens. */
  readonly kind: NetdevEventKind;
  /** To which device. */
  readonly dev: NetDevice;
}

/** What a driver does. One fixed shape: fill every slot, see {@linkcode netdevOps}. Linux: struct net_device_ops. */
export interface NetdevOps {
  /** The device comes up; 0 or a negative errno. Linux: ndo_open. */
  open(dev: NetDevice): number;
  /** The device goes down; gives back all it holds. Linux: ndo_stop. */
  stop(dev: NetDevice): void;
  /**
   * Sends. `more`: another packet follows at once, the doorbell may wait.
   * Takes ownership of `skb` unless it returns NETDEV_TX_BUSY. Linux: ndo_start_xmit.
   */
  startXmit(skb: SkBuff, dev: NetDevice, more: boolean): number;
  /** The transmit queue for a packet. Borrows `skb`. Linux: ndo_select_queue. */
  selectQueue(skb: SkBuff, dev: NetDevice): number;
  /** The MTU changes; 0 or a negative errno. Linux: ndo_change_mtu. */
  changeMtu(dev: NetDevice, mtu: number): number;
}

/** A full ops record from the slots that a driver has. */
export function netdevOps(ops: Partial<NetdevOps> & Pick<NetdevOps, "startXmit">): NetdevOps {
  return {
    open: ops.open ?? (() => 0),
    stop: ops.stop ?? (() => {}),
    startXmit: ops.startXmit,
    selectQueue: ops.selectQueue ?? ((skb, dev) => dev.net.pickTx(skb, dev)),
    changeMtu: ops.changeMtu ?? (() => 0),
  };
}

/** One record that `net.wrapDevice()` put around a driver. */
export interface OpsLayer {
  /** What it calls. */
  below: NetdevOps;
  /** The record itself. */
  outer: NetdevOps;
}

/** An ops record that calls whatever is below at the moment. */
export function forwardOps(layer: { readonly below: NetdevOps }): NetdevOps {
  return {
    open: (dev) => layer.below.open(dev),
    stop: (dev) => layer.below.stop(dev),
    startXmit: (skb, dev, more) => layer.below.startXmit(skb, dev, more),
    selectQueue: (skb, dev) => layer.below.selectQueue(skb, dev),
    changeMtu: (dev, mtu) => layer.below.changeMtu(dev, mtu),
  };
}

/** The link header of a device type; filled by the link plugin. Linux: struct header_ops and eth_type_trans(). */
export interface HeaderOps {
  /** Bytes of the header. */
  hardHeaderLen: number;
  /** Pushes the header; addresses as 16 high and 32 low bits. Borrows `skb`. False: no memory. */
  create(
    skb: SkBuff,
    dev: NetDevice,
    type: number,
    dstHi: number,
    dstLo: number,
    srcHi: number,
    srcLo: number,
  ): boolean;
  /**
   * Reads and strips the header: sets macHeader, pktType, protocol and moves `data`. Borrows `skb`.
   * Returns 0 or a drop reason.
   */
  parse(skb: SkBuff, dev: NetDevice): number;
}

/** Counters of a device. Linux: struct rtnl_link_stats64. */
export class NetdevStats {
  /** Packets received. */
  rxPackets = 0;
  /** Bytes received. */
  rxBytes = 0;
  /** Bad packets received. */
  rxErrors = 0;
  /** Received and dropped for want of room. */
  rxDropped = 0;
  /** The device had no descriptor. */
  rxMissed = 0;
  /** Frame check sequence wrong. */
  rxCrcErrors = 0;
  /** Too long or too short. */
  rxLengthErrors = 0;
  /** Multicast received. */
  multicast = 0;
  /** Packets sent. */
  txPackets = 0;
  /** Bytes sent. */
  txBytes = 0;
  /** Failed to send. */
  txErrors = 0;
  /** Dropped before sending. */
  txDropped = 0;
}

/** `dev.rxHandler`: the handler took it. */
export const RX_HANDLER_CONSUMED = 0;
/** `dev.rxHandler`: go on as if nothing had happened. */
export const RX_HANDLER_PASS = 1;
/** `dev.rxHandler`: `skb.dev` changed, receive it again there. */
export const RX_HANDLER_ANOTHER = 2;

/** Sees every packet of a device: `outgoing` on transmit. Borrows `skb`. Linux: packet_type with ETH_P_ALL. */
export type TapFn = (skb: SkBuff, dev: NetDevice, outgoing: boolean) => void;

/** What a device is made of. */
export interface NetDeviceInit {
  /** The driver. */
  ops: NetdevOps;
  /** MTU in bytes. Default 1500. */
  mtu?: number;
  /** ARPHRD_*. Default Ethernet. */
  type?: number;
  /** IFF_*. Default BROADCAST | MULTICAST. */
  flags?: number;
  /** NETIF_F_*. Default none. */
  features?: number;
  /** Address, `02:00:00:00:00:01`. Default: a locally administered one from the platform's randomness. */
  address?: string;
  /** Packets of the default queue discipline; 0: noqueue. Default 1000. */
  txQueueLen?: number;
  /** Transmit queues. Default 1. */
  txQueues?: number;
  /** Largest MTU. Default 65,535. */
  maxMtu?: number;
}

/** A device. */
export class NetDevice {
  /** The net it is in. */
  declare readonly net: Net;
  /** `eth0`. */
  declare readonly name: string;
  /** Number, from 1; 0 until registered. */
  ifindex = 0;
  /** What core calls: the driver, or what `net.wrapDevice()` put around it. */
  declare ops: NetdevOps;
  /** The driver itself; see {@linkcode Net.setDriver}. */
  declare driver: NetdevOps;
  /** What was put around it, inner first. */
  layers: readonly OpsLayer[] = [];
  /** The link header; the stable record of its type. */
  declare headerOps: HeaderOps;
  /** ARPHRD_*. */
  declare readonly type: number;
  /** MTU in bytes, without the link header. */
  declare mtu: number;
  /** Largest MTU. */
  declare readonly maxMtu: number;
  /** IFF_*. */
  declare flags: number;
  /** NETIF_F_*. */
  declare features: number;
  /** Link present. Linux: netif_carrier_ok(). */
  carrier = true;
  /** High 16 bits of the address. */
  addrHi = 0;
  /** Low 32 bits of the address. */
  addrLo = 0;
  /** Packets of the default queue discipline. */
  declare txQueueLen: number;
  /** Transmit queues. */
  readonly txq: NetdevQueue[] = [];
  /** NAPI contexts. */
  readonly napis: Napi[] = [];
  /** Counters. */
  readonly stats: NetdevStats = new NetdevStats();
  /** Taps of this device. */
  taps: readonly TapFn[] = [];
  /** A bridge or the like. Takes ownership of `skb` unless it returns PASS or ANOTHER. */
  rxHandler: ((skb: SkBuff) => number) | null = null;
  /** The netdev hook. Takes ownership of `skb` unless it returns 0: then the packet goes on. */
  ingress: ((skb: SkBuff) => number) | null = null;
  /** Packet steering: the CPU that receives a packet, null: this one. Borrows `skb`. Linux: get_rps_cpu(). */
  rps: ((skb: SkBuff) => Cpu | null) | null = null;
  /** Makes the threads that poll its contexts, null: softirqs do. Linux: dev->threaded. */
  threaded: ((napi: Napi) => { wake(): void }) | null = null;
  /** IPv4's data about the device; typed by devinet. Linux: ip_ptr. */
  ipPtr: object | null = null;
  /** The driver's own. */
  priv: unknown = null;
  /** Joined multicast addresses, `hi * 2^32 + lo`, with their users. */
  readonly mcast: Map<number, number> = new Map();

  /** A device of `net`; register it with {@linkcode Net.registerNetdevice}. */
  constructor(net: Net, name: string, init: NetDeviceInit) {
    this.net = net;
    this.name = name;
    this.ops = this.driver = init.ops;
    this.type = init.type ?? ARPHRD_ETHER;
    this.headerOps = net.headerOps(this.type);
    this.mtu = init.mtu ?? 1500;
    this.maxMtu = init.maxMtu ?? 65535;
    this.flags = init.flags ?? IFF_BROADCAST | IFF_MULTICAST;
    this.features = init.features ?? 0;
    this.txQueueLen = init.txQueueLen ?? 1000;
    for (let i = 0; i < (init.txQueues ?? 1); i++) this.txq.push(new NetdevQueue(this, i));
    if (init.address !== undefined) this.setAddress(init.address);
    else {
      this.addrHi = 0x0200 | (net.machine.platform.random() & 0xff);
      this.addrLo = net.machine.platform.random();
    }
  }

  /** Up and with carrier. */
  get running(): boolean {
    return (this.flags & IFF_UP) !== 0 && this.carrier;
  }

  /** The address as text. */
  get address(): string {
    return macToString(this.addrHi, this.addrLo);
  }

  /** Sets the address from text; a malformed one is a TypeError. Linux: dev_set_mac_address(). */
  setAddress(text: string): void {
    const mac = parseMac(text);
    if (mac === null) throw new TypeError(`Cannot set address of ${this.name}: "${text}" is not six hex bytes`);
    this.addrHi = mac[0];
    this.addrLo = mac[1];
    if (this.ifindex !== 0) this.net.netdevChain.call({ kind: "NETDEV_CHANGEADDR", dev: this });
  }

  /** Sets the MTU; 0 or a negative errno. Linux: dev_set_mtu(). */
  setMtu(mtu: number): number {
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > this.maxMtu) return -ERRNO.EINVAL;
    const err = this.ops.changeMtu(this, mtu);
    if (err < 0) return err;
    this.mtu = mtu;
    this.net.netdevChain.call({ kind: "NETDEV_CHANGEMTU", dev: this });
    return 0;
  }

  /** Brings it up; 0 or a negative errno. Linux: dev_open(). */
  open(): number {
    if ((this.flags & IFF_UP) !== 0) return 0;
    const chain = this.net.netdevChain;
    if (chain.call({ kind: "NETDEV_PRE_UP", dev: this }) === NOTIFY_BAD) return -ERRNO.EPERM;
    return this.net.machine.batch(() => {
      for (const txq of this.txq) txq.stopped = false;
      const err = this.ops.open(this);
      if (err < 0) return err;
      this.flags |= IFF_UP;
      for (const txq of this.txq) this.net.attachDefaultQdisc(txq);
      chain.call({ kind: "NETDEV_UP", dev: this });
      return 0;
    });
  }

  /** Takes it down; what its queues hold is dropped. Linux: dev_close(). */
  close(): void {
    if ((this.flags & IFF_UP) === 0) return;
    this.net.machine.batch(() => {
      this.net.netdevChain.call({ kind: "NETDEV_GOING_DOWN", dev: this });
      this.flags &= ~IFF_UP;
      for (const txq of this.txq) if (txq.qdisc !== null) qdiscReset(txq.qdisc);
      this.ops.stop(this);
      this.net.netdevChain.call({ kind: "NETDEV_DOWN", dev: this });
    });
  }

  /** The link comes or goes. Linux: netif_carrier_on() and _off(). */
  setCarrier(on: boolean): void {
    if (this.carrier === on) return;
    this.carrier = on;
    if (this.ifindex !== 0) this.net.netdevChain.call({ kind: "NETDEV_CHANGE", dev: this });
  }

  /**
   * From now on the device has `n` transmit queues; what its disciplines hold is queued anew, so that a flow keeps its
   * order. Linux: netif_set_real_num_tx_queues(), which drops what the queues that go hold.
   */
  setRealNumTxQueues(n: number): void {
    const held: SkBuff[] = [];
    for (const { qdisc } of this.txq) {
      if (qdisc === null || qdisc.shared) continue;
      const next = (): SkBuff | null => qdisc.requeued.dequeue() ?? qdisc.ops.dequeue(qdisc);
      for (let skb = next(); skb !== null; skb = next()) held.push(skb);
    }
    while (this.txq.length < n) this.txq.push(new NetdevQueue(this, this.txq.length));
    this.txq.length = n;
    if ((this.flags & IFF_UP) !== 0) { for (const txq of this.txq) this.net.attachDefaultQdisc(txq); }
    for (const skb of held) devQueueXmit(skb);
  }

  /** Adds a tap; it sees received and sent packets. */
  addTap(fn: TapFn): Disposable {
    return this.net.registration(() => {
      this.taps = [...this.taps, fn];
      return () => {
        this.taps = this.taps.filter((t) => t !== fn);
      };
    });
  }

  /** Puts the layers on the driver again after one of them changed. */
  restack(): void {
    let ops = this.driver;
    for (const layer of this.layers) {
      layer.below = ops;
      ops = layer.outer;
    }
    this.ops = ops;
  }

  /** A frame from a driver in user code: one copy into an skb, then the backlog. Linux: netif_rx(). */
  receive(frame: Uint8Array): boolean {
    return this.net.receiveFrame(this, frame);
  }
}

/** `02:00:00:00:00:01` from the two halves. */
export function macToString(hi: number, lo: number): string {
  const hex = (hi & 0xffff).toString(16).padStart(4, "0") + (lo >>> 0).toString(16).padStart(8, "0");
  return hex.match(/../g)!.join(":");
}

/** The two halves of an address, or null: malformed. */
export function parseMac(text: string): [hi: number, lo: number] | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null;
  const hex = text.replaceAll(":", "");
  return [parseInt(hex.slice(0, 4), 16), parseInt(hex.slice(4), 16) | 0];
}
