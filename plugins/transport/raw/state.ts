/** State of the raw sockets of a net. Linux: net/ipv4/raw.c, struct raw_hashinfo. */
import { type CopyLedger, type EventBus, G_SOCK, type Machine, type Net, type SkbPool } from "../../../core/mod.ts";
import { FIB, type Fib } from "../../network/fib/contract.ts";
import { INET, type SnmpMib } from "../../network/inet/contract.ts";
import { type IpCork, IPV4, type Ipv4, newIpCork } from "../../network/ipv4/contract.ts";
import type { Sock } from "../sock/contract.ts";

/** The part of a raw socket that only it has. */
export interface RawSock {
  /** What it sends is built with it. */
  readonly cork: IpCork;
  /** IP_HDRINCL. */
  hdrincl: boolean;
  /** ICMP_FILTER: types that are not wanted. */
  filter: number;
}

/** What `cork.buf` holds between sends. */
export const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Ids of the tracepoints. */
export interface RawTracepoints {
  /** sendmsg() enters; `a` = bytes, obj = Sock. */
  readonly rawSendmsg: number;
  /** A copy of a packet is queued; `a` = protocol, `b` = bytes, obj = Sock. */
  readonly rawRcv: number;
  /** The reader copied it; `a` = bytes, obj = Sock. */
  readonly rawRecvmsg: number;
  /** An ICMP error quotes a packet of the protocol; `a` = type, `b` = code, obj = Sock. */
  readonly rawErr: number;
}

/** Raw sockets of a net. */
export class RawState {
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
  /** Counters. */
  readonly mib: SnmpMib;
  /** Routes. */
  readonly fib: Fib;
  /** IPv4. */
  readonly ipv4: Ipv4;
  /** Sockets by protocol number, in the order in which they came. */
  readonly protocols: (readonly Sock[] | null)[] = new Array<readonly Sock[] | null>(256).fill(null);
  /** Ids. */
  readonly tp: RawTracepoints;
  /** The ledger's site of the copy from the user. */
  readonly siteSendmsg: number;
  /** The ledger's site of the copy to the user. */
  readonly siteRecvmsg: number;
  /** Sockets that live. */
  count = 0;

  /** No sockets yet. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.skbs = net.machine.skbs;
    this.ledger = net.machine.ledger;
    this.bus = net.machine.bus;
    this.mib = net.get(INET).mib;
    this.fib = net.get(FIB);
    this.ipv4 = net.get(IPV4);
    this.siteSendmsg = this.ledger.site("raw_sendmsg", "cpu");
    this.siteRecvmsg = this.ledger.site("raw_recvmsg", "cpu");
    const define = (name: string): number => this.bus.define({ name: `raw:${name}`, linux: name, group: G_SOCK });
    this.tp = {
      rawSendmsg: define("raw_sendmsg"),
      rawRcv: define("raw_rcv"),
      rawRecvmsg: define("raw_recvmsg"),
      rawErr: define("raw_err"),
    };
  }

  /** The part of `sk` that is ours. */
  of(sk: Sock): RawSock {
    return sk.proto as RawSock;
  }

  /** Linux: raw_hash_sk(). */
  hash(sk: Sock, hdrincl: boolean): void {
    const cork = newIpCork(sk.protocol, 0, this.siteSendmsg);
    sk.proto = { cork, hdrincl, filter: 0 } satisfies RawSock;
    this.protocols[sk.protocol] = [...this.protocols[sk.protocol] ?? [], sk];
    this.count++;
  }

  /** Linux: raw_unhash_sk(). */
  unhash(sk: Sock): void {
    const list = this.protocols[sk.protocol];
    if (list === null || !list.includes(sk)) return;
    this.protocols[sk.protocol] = list.length === 1 ? null : list.filter((s) => s !== sk);
    this.count--;
  }
}

/** Whether a packet from `saddr` to `daddr` that came in by `dif` is for `sk`. Linux: raw_v4_match(). */
export function rawMatch(sk: Sock, saddr: number, daddr: number, dif: number): boolean {
  return (sk.daddr === 0 || sk.daddr === saddr) && (sk.saddr === 0 || sk.saddr === daddr) &&
    (sk.boundDevIf === 0 || sk.boundDevIf === dif);
}
