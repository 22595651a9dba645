/**
 * UDP's state: one record per net, one per socket.
 */
import {
  type CopyLedger,
  type EventBus,
  G_SOCK,
  type Machine,
  type Net,
  type SkbPool,
  type TracepointDef,
} from "../../../core/mod.ts";
import { INET, type Inet, IPPROTO_UDP, type SnmpMib } from "../../network/inet/contract.ts";
import { FIB, type Fib } from "../../network/fib/contract.ts";
import { type IpCork, IPV4, type Ipv4, newIpCork } from "../../network/ipv4/contract.ts";
import { HashNode, SOCK, type Sock, type SockLimits } from "../sock/contract.ts";
import type { UdpEncapRcv } from "./contract.ts";
import { UDP_HLEN } from "./header.ts";
import { type ReuseportGroup, UdpTable } from "./table.ts";

/** What `cork.buf` holds between sends. */
export const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** UDP's part of a socket. Linux: struct udp_sock. */
export class UdpSock {
  /** The socket. */
  declare readonly sk: Sock;
  /** Describes the datagram that is being sent; reused. */
  declare readonly cork: IpCork;
  /** Place in the table of ports. */
  readonly portNode: HashNode<UdpSock> = new HashNode<UdpSock>(this);
  /** Place in the table of bound or of connected sockets. */
  readonly keyNode: HashNode<UdpSock> = new HashNode<UdpSock>(this);
  /** `keyNode` is in the table of connected sockets. */
  inConnected = false;
  /** A tunnel that takes what comes. Linux: encap_rcv. */
  encapRcv: UdpEncapRcv | null = null;
  /** SO_REUSEPORT's group. */
  group: ReuseportGroup | null = null;

  /** UDP's part of `sk`. */
  constructor(sk: Sock, site: number) {
    this.sk = sk;
    this.cork = newIpCork(IPPROTO_UDP, UDP_HLEN, site);
  }
}

/** Ids of UDP's tracepoints. */
export interface UdpTracepoints {
  /** sendmsg() enters; `a` = bytes, obj = Sock. */
  readonly udpSendmsg: number;
  /** Payload copied, header and checksum written; `a` = dport, obj = Sock. */
  readonly udpSendSkb: number;
  /** A datagram enters from IP; `a` = bytes. */
  readonly udpRcv: number;
  /** Checksum right; `a` = destination port, `b` = source port. */
  readonly udpCsum: number;
  /** The socket is found; header stripped; `a` = dport, obj = Sock. */
  readonly udpQueueRcvSkb: number;
  /** It was queued and the reader is to be woken; `a` = rmemAlloc, obj = Sock. */
  readonly skDataReady: number;
  /** No room; `a` = drop reason, obj = Sock. */
  readonly udpFailQueueRcvSkb: number;
  /** The reader copied it; `a` = bytes, obj = Sock. */
  readonly udpRecvmsg: number;
  /** An ICMP error quotes one of ours; `a` = type, `b` = code, obj = Sock. */
  readonly udpErr: number;
}

/** UDP of a net. */
export class UdpState {
  /** The net. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** Packets. */
  declare readonly skbs: SkbPool;
  /** Copies. */
  declare readonly ledger: CopyLedger;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** What is above IP. */
  declare readonly inet: Inet;
  /** Counters. */
  declare readonly mib: SnmpMib;
  /** Routes. */
  declare readonly fib: Fib;
  /** IPv4. */
  declare readonly ipv4: Ipv4;
  /** Sockets. */
  declare readonly table: UdpTable;
  /** The ledger's site of the copy from the user. */
  declare readonly siteSendmsg: number;
  /** The ledger's site of the copy to the user. */
  declare readonly siteRecvmsg: number;
  /** Tracepoints. */
  declare readonly tp: UdpTracepoints;
  /** Bounds that all sockets share. */
  declare readonly limits: SockLimits;

  /** No sockets yet. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.skbs = net.machine.skbs;
    this.ledger = net.machine.ledger;
    this.bus = net.machine.bus;
    this.inet = net.get(INET);
    this.mib = this.inet.mib;
    this.fib = net.get(FIB);
    this.ipv4 = net.get(IPV4);
    this.limits = net.get(SOCK).limits;
    this.table = new UdpTable(net.machine.platform);
    this.siteSendmsg = this.ledger.site("udp_sendmsg", "cpu");
    this.siteRecvmsg = this.ledger.site("udp_recvmsg", "cpu");
    const define = (name: string, linux: string): number => {
      const def: TracepointDef = { name, linux, group: G_SOCK };
      return this.bus.define(def);
    };
    this.tp = {
      udpSendmsg: define("udp:udp_sendmsg", "udp_sendmsg"),
      udpSendSkb: define("udp:udp_send_skb", "udp_send_skb"),
      udpRcv: define("udp:udp_rcv", "udp_rcv"),
      udpCsum: define("udp:udp4_csum_init", "udp4_csum_init"),
      udpQueueRcvSkb: define("udp:udp_queue_rcv_skb", "udp_queue_rcv_skb"),
      skDataReady: define("sock:sk_data_ready", "sock_def_readable"),
      udpFailQueueRcvSkb: define("udp:udp_fail_queue_rcv_skb", "__udp_queue_rcv_skb"),
      udpRecvmsg: define("udp:udp_recvmsg", "udp_recvmsg"),
      udpErr: define("udp:udp_err", "udp_err"),
    };
  }
}

/** UDP's part of a socket. */
export function udpSk(sk: Sock): UdpSock {
  return sk.proto as UdpSock;
}
