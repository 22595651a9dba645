/** State of the packet sockets of a net, and where they hang on the path. Linux: net/packet/af_packet.c. */
import {
  type CopyLedger,
  type EventBus,
  G_SOCK,
  IFF_PROMISC,
  type Machine,
  type Net,
  type NetDevice,
  type PacketType,
  type SkbPool,
} from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import { ETH_P_ALL } from "./contract.ts";
import { packetRcv } from "./input.ts";

/** The part of a packet socket that only it has. Linux: struct packet_sock. */
export interface PacketSock {
  /** EtherType, or ETH_P_ALL; 0: it receives nothing. */
  num: number;
  /** Takes it off the path; null: it is not on it. */
  unhook: (() => void) | null;
  /** PACKET_IGNORE_OUTGOING. */
  ignoreOutgoing: boolean;
  /** Numbers since they were read. */
  packets: number;
  drops: number;
  /** Devices that it made promiscuous, a name for each time. */
  promisc: NetDevice[];
}

/** Ids of the tracepoints. */
export interface PacketTracepoints {
  /** A copy of a packet is queued; `a` = bytes, obj = Sock. */
  readonly packetRcv: number;
  /** sendmsg() enters; `a` = bytes, obj = Sock. */
  readonly packetSendmsg: number;
  /** The reader copied it; `a` = bytes, obj = Sock. */
  readonly packetRecvmsg: number;
}

/** Packet sockets of a net. */
export class PacketState {
  /** The net. */
  readonly net: Net;
  /** The machine. */
  readonly machine: Machine;
  /** Packets. */
  readonly skbs: SkbPool;
  /** Copies. */
  readonly ledger: CopyLedger;
  /** Tracepoints. */
  readonly bus: EventBus;
  /** All of them. */
  readonly socks: Set<Sock> = new Set();
  /** How many sockets want a device promiscuous. */
  readonly promisc: Map<NetDevice, number> = new Map();
  /** Ids. */
  readonly tp: PacketTracepoints;
  /** The ledger's site of the copy from the user. */
  readonly siteSendmsg: number;
  /** The ledger's site of the copy to the user. */
  readonly siteRecvmsg: number;

  /** No sockets yet. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.skbs = net.machine.skbs;
    this.ledger = net.machine.ledger;
    this.bus = net.machine.bus;
    this.siteSendmsg = this.ledger.site("packet_sendmsg", "cpu");
    this.siteRecvmsg = this.ledger.site("packet_recvmsg", "cpu");
    const define = (name: string): number => this.bus.define({ name: `packet:${name}`, linux: name, group: G_SOCK });
    this.tp = {
      packetRcv: define("packet_rcv"),
      packetSendmsg: define("packet_sendmsg"),
      packetRecvmsg: define("packet_recvmsg"),
    };
  }

  /** The part of `sk` that is ours. */
  of(sk: Sock): PacketSock {
    return sk.proto as PacketSock;
  }
}

/** Puts a socket on the path: a tap for all types, else a handler of its own. Linux: __register_prot_hook(). */
export function packetHook(st: PacketState, sk: Sock): void {
  const po = st.of(sk);
  packetUnhook(st, sk);
  const dev = sk.boundDevIf === 0 ? null : st.net.devByIndex[sk.boundDevIf];
  if (po.num === 0 || dev === undefined || (sk.boundDevIf !== 0 && dev === null)) return;
  const { ptypes } = st.net;
  if (po.num !== ETH_P_ALL) {
    const func: PacketType["func"] = (skb, from) => packetRcv(st, sk, skb, from, false);
    po.unhook = ptypes.add({ type: po.num, dev, name: "a packet socket", func });
    return;
  }
  const tap = (skb: Parameters<PacketType["func"]>[0], from: NetDevice, outgoing: boolean): void => {
    if ((dev !== null && dev !== from) || (outgoing && po.ignoreOutgoing)) return;
    const twin = skb.clone();
    if (twin !== null) packetRcv(st, sk, twin, from, outgoing);
  };
  ptypes.taps = [...ptypes.taps, tap];
  po.unhook = () => ptypes.taps = ptypes.taps.filter((t) => t !== tap);
}

/** Takes a socket off the path. Linux: __unregister_prot_hook(). */
export function packetUnhook(st: PacketState, sk: Sock): void {
  const po = st.of(sk);
  po.unhook?.();
  po.unhook = null;
}

/** One more, or one less, wants a device promiscuous. Linux: dev_set_promiscuity(). */
export function packetPromisc(st: PacketState, dev: NetDevice, by: 1 | -1): void {
  const n = (st.promisc.get(dev) ?? 0) + by;
  if (by === 1 && n === 1 && (dev.flags & IFF_PROMISC) === 0) dev.flags |= IFF_PROMISC;
  else if (n === 0) dev.flags &= ~IFF_PROMISC;
  if (n === 0) st.promisc.delete(dev);
  else st.promisc.set(dev, n);
}
