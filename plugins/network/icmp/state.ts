/**
 * What the path functions of icmp share.
 *
 * @module
 */
import { type CopyLedger, type EventBus, G_IP, type Machine, type Net } from "../../../core/mod.ts";
import { INET, type Inet, inetPeers, IPPROTO_ICMP, type SnmpMib } from "../inet/contract.ts";
import { DEVINET, type Devinet } from "../devinet/contract.ts";
import { FIB, type Fib } from "../fib/contract.ts";
import { type IpCork, IPV4, type Ipv4, newIpCork } from "../ipv4/contract.ts";
import type { Icmp } from "./contract.ts";
import { IcmpLimits } from "./limit.ts";

/** Tunables, as plain fields. */
export class IcmpConf {
  /** net.ipv4.icmp_echo_ignore_all. */
  echoIgnoreAll = 0;
  /** net.ipv4.icmp_echo_ignore_broadcasts. */
  echoIgnoreBroadcasts = 1;
  /** net.ipv4.icmp_ignore_bogus_error_responses. */
  ignoreBogusErrorResponses = 1;
  /** net.ipv4.icmp_errors_use_inbound_ifaddr. */
  errorsUseInboundIfaddr = 0;
  /** net.ipv4.ip_no_pmtu_disc: 1 to 3 do not believe "fragmentation needed". */
  noPmtuDisc = 0;
}

/** Ids of the tracepoints. */
export class IcmpTracepoints {
  /** icmp_rcv: a = type, b = code. */
  declare readonly icmpRcv: number;
  /** icmp_echo: a = id, b = seq. */
  declare readonly icmpEcho: number;
  /** icmp_reply: the reply, a new packet over the request's bytes; a = type. */
  declare readonly icmpReply: number;
  /** icmp_unreach: a = type, b = code. */
  declare readonly icmpUnreach: number;
  /** icmp_send: the packet that an error is about; a = type, b = code. */
  declare readonly icmpSend: number;
  /** The error itself, built; a = type, b = code. */
  declare readonly icmpError: number;

  /** Defines them. */
  constructor(bus: EventBus) {
    const tp = (linux: string, name: string = linux): number =>
      bus.define({ name: `icmp:${name}`, linux, group: G_IP });
    this.icmpRcv = tp("icmp_rcv");
    this.icmpEcho = tp("icmp_echo");
    this.icmpReply = tp("icmp_reply");
    this.icmpUnreach = tp("icmp_unreach");
    this.icmpSend = tp("icmp_send");
    this.icmpError = tp("icmp_push_reply");
  }
}

/** State of icmp in one net. It survives a swap of the plugin. */
export class IcmpState {
  /** The net. */
  declare readonly net: Net;
  /** Its machine. */
  declare readonly machine: Machine;
  /** Tracepoints fire here. */
  declare readonly bus: EventBus;
  /** Their ids. */
  declare readonly tp: IcmpTracepoints;
  /** Copies are counted here. */
  declare readonly ledger: CopyLedger;
  /** Protocols. */
  declare readonly inet: Inet;
  /** Counters. */
  declare readonly mib: SnmpMib;
  /** Addresses. */
  declare readonly devinet: Devinet;
  /** Routing. */
  declare readonly fib: Fib;
  /** The layer below. */
  declare readonly ipv4: Ipv4;
  /** Ping sockets. */
  readonly ping: Icmp = { pingRcv: null, pingErr: null };
  /** Tunables. */
  readonly conf: IcmpConf = new IcmpConf();
  /** Rate limits. */
  declare readonly limits: IcmpLimits;
  /** For messages that carry options; reused. */
  declare readonly cork: IpCork;
  /** A message of ours is on its way down: no other may start from inside. Linux: icmp_xmit_lock(). */
  busy = false;
  /** Ledger's site of what an error quotes. */
  declare readonly siteQuote: number;

  /** State for `net`; the tokens that icmp requires must be there. */
  constructor(net: Net) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.bus = machine.bus;
    this.tp = new IcmpTracepoints(machine.bus);
    this.ledger = machine.ledger;
    this.inet = net.get(INET);
    this.mib = this.inet.mib;
    this.devinet = net.get(DEVINET);
    this.fib = net.get(FIB);
    this.ipv4 = net.get(IPV4);
    this.limits = new IcmpLimits(machine, this.mib, inetPeers(net));
    this.siteQuote = machine.ledger.site("icmp_send", "cpu");
    this.cork = newIpCork(IPPROTO_ICMP, 0, 0);
  }
}
