/**
 * State of the ping sockets of a net, and which message is whose. Linux: net/ipv4/ping.c, struct ping_table.
 */
import {
  type CopyLedger,
  ERRNO,
  type EventBus,
  G_SOCK,
  type Machine,
  type Net,
  type SkbPool,
} from "../../../core/mod.ts";
import { FIB, type Fib } from "../../network/fib/contract.ts";
import { INET, type SnmpMib } from "../../network/inet/contract.ts";
import { IPV4, type Ipv4 } from "../../network/ipv4/contract.ts";
import type { Sock } from "../sock/contract.ts";

/** What `cork.buf` holds between sends. */
export const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Ids of the tracepoints. */
export interface PingTracepoints {
  /** sendmsg() enters; `a` = bytes, obj = Sock. */
  readonly pingSendmsg: number;
  /** The request is built; `a` = identifier, `b` = sequence, obj = Sock. */
  readonly pingPush: number;
  /** A reply found its socket; `a` = identifier, obj = Sock. */
  readonly pingRcv: number;
  /** The reader copied it; `a` = bytes, obj = Sock. */
  readonly pingRecvmsg: number;
  /** An ICMP error quotes one of ours; `a` = type, `b` = code, obj = Sock. */
  readonly pingErr: number;
}

/** Ping sockets of a net. */
export class PingState {
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
  /** Sockets by identifier, the last one first. */
  readonly idents: Map<number, readonly Sock[]> = new Map();
  /** Ids. */
  readonly tp: PingTracepoints;
  /** The ledger's site of the copy from the user. */
  readonly siteSendmsg: number;
  /** The ledger's site of the copy to the user. */
  readonly siteRecvmsg: number;
  /** Last identifier that was given out. */
  rover: number;
  /** Sockets that have an identifier. */
  count = 0;
  /** net.ipv4.ping_group_range leaves nobody out of it. */
  allowed = true;

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
    this.rover = net.machine.platform.random() & 0xffff;
    this.siteSendmsg = this.ledger.site("ping_sendmsg", "cpu");
    this.siteRecvmsg = this.ledger.site("ping_recvmsg", "cpu");
    const define = (name: string): number => this.bus.define({ name: `ping:${name}`, linux: name, group: G_SOCK });
    this.tp = {
      pingSendmsg: define("ping_v4_sendmsg"),
      pingPush: define("ping_v4_push_pending_frames"),
      pingRcv: define("ping_rcv"),
      pingRecvmsg: define("ping_recvmsg"),
      pingErr: define("ping_err"),
    };
  }
}

/** Linux: ping_lookup(). A connected socket is not asked for its peer: an error comes from anywhere. */
export function pingLookup(st: PingState, ident: number, daddr: number, dif: number): Sock | null {
  const list = st.idents.get(ident);
  if (list === undefined) return null;
  for (let i = 0; i < list.length; i++) {
    const sk = list[i];
    if (sk.saddr !== 0 && sk.saddr !== daddr) continue;
    if (sk.boundDevIf !== 0 && sk.boundDevIf !== dif) continue;
    return sk;
  }
  return null;
}

/** Gives a socket the identifier, or with 0 the next free one. 0 or -EADDRINUSE. Linux: ping_get_port(). */
export function pingGetPort(st: PingState, sk: Sock, ident: number): number {
  if (ident === 0) ident = nextFree(st);
  const others = st.idents.get(ident) ?? [];
  if (ident === 0 || others.some((o) => !o.reuseaddr || !sk.reuseaddr)) return -ERRNO.EADDRINUSE;
  sk.sport = ident;
  st.idents.set(ident, [sk, ...others]);
  st.count++;
  return 0;
}

function nextFree(st: PingState): number {
  for (let i = 0; i < 0x10000; i++) {
    st.rover = (st.rover + 1) & 0xffff;
    if (st.rover !== 0 && !st.idents.has(st.rover)) return st.rover;
  }
  return 0;
}

/** Takes the identifier back. Linux: ping_unhash(). */
export function pingUnhash(st: PingState, sk: Sock): void {
  const list = st.idents.get(sk.sport);
  if (list === undefined || !list.includes(sk)) return;
  const left = list.filter((o) => o !== sk);
  if (left.length === 0) st.idents.delete(sk.sport);
  else st.idents.set(sk.sport, left);
  st.count--;
  sk.sport = 0;
}
