/**
 * What several network stages need from above: the transport protocols, ICMP errors, raw delivery, and the SNMP
 * counters. Linux: net/ipv4/protocol.c, include/uapi/linux/snmp.h.
 *
 * @module
 */
import type { Net, SkBuff, Token } from "../../../core/mod.ts";
import { TcpExtMib, type TcpExtName } from "./tcp_ext.ts";

export type { TcpExtName } from "./tcp_ext.ts";

export * from "./header.ts";

export { hsiphash3 } from "./hash.ts";
export { InetPeers, inetPeers } from "./peer.ts";

/** ICMP. */
export const IPPROTO_ICMP = 1;
/** TCP. */
export const IPPROTO_TCP = 6;
/** UDP. */
export const IPPROTO_UDP = 17;

/** A transport protocol as IP sees it. Linux: struct net_protocol. */
export interface InetProtocol {
  /** Receives; `data` is at the transport header, transportHeader is set. Takes ownership of `skb`. */
  rcv(skb: SkBuff): void;
  /**
   * An ICMP error quotes one of our packets: `data` is at the quoted IP header, `type`, `code` and `info` are the
   * error's. Borrows `skb`. Linux: err_handler.
   */
  error(skb: SkBuff, type: number, code: number, info: number): void;
}

/** Counters by Linux's names, as /proc/net/snmp and /proc/net/netstat have them. */
export class SnmpMib {
  /** Ip: */
  readonly ip = {
    InReceives: 0,
    InHdrErrors: 0,
    InAddrErrors: 0,
    ForwDatagrams: 0,
    InUnknownProtos: 0,
    InDiscards: 0,
    InDelivers: 0,
    OutRequests: 0,
    OutDiscards: 0,
    OutNoRoutes: 0,
    ReasmTimeout: 0,
    ReasmReqds: 0,
    ReasmOKs: 0,
    ReasmFails: 0,
    FragOKs: 0,
    FragFails: 0,
    FragCreates: 0,
    OutTransmits: 0,
  };
  /** IpExt: */
  readonly ipExt = {
    InNoRoutes: 0,
    InTruncatedPkts: 0,
    InMcastPkts: 0,
    OutMcastPkts: 0,
    InBcastPkts: 0,
    OutBcastPkts: 0,
    InCsumErrors: 0,
    ReasmOverlaps: 0,
    InOctets: 0,
    OutOctets: 0,
  };
  /** Icmp: */
  readonly icmp = {
    InMsgs: 0,
    InErrors: 0,
    InCsumErrors: 0,
    InDestUnreachs: 0,
    InTimeExcds: 0,
    InParmProbs: 0,
    InSrcQuenchs: 0,
    InRedirects: 0,
    InEchos: 0,
    InEchoReps: 0,
    InTimestamps: 0,
    InTimestampReps: 0,
    InAddrMasks: 0,
    InAddrMaskReps: 0,
    OutMsgs: 0,
    OutErrors: 0,
    OutRateLimitGlobal: 0,
    OutRateLimitHost: 0,
    OutDestUnreachs: 0,
    OutTimeExcds: 0,
    OutParmProbs: 0,
    OutRedirects: 0,
    OutEchos: 0,
    OutEchoReps: 0,
    OutTimestampReps: 0,
  };
  /** IcmpMsg: messages by type, `InType8` at `inType[8]`. */
  readonly icmpMsg: { readonly inType: Float64Array; readonly outType: Float64Array } = {
    inType: new Float64Array(256),
    outType: new Float64Array(256),
  };
  /** Tcp: */
  readonly tcp = {
    RtoAlgorithm: 1,
    RtoMin: 200,
    RtoMax: 120000,
    MaxConn: -1,
    ActiveOpens: 0,
    PassiveOpens: 0,
    AttemptFails: 0,
    EstabResets: 0,
    CurrEstab: 0,
    InSegs: 0,
    OutSegs: 0,
    RetransSegs: 0,
    InErrs: 0,
    OutRsts: 0,
    InCsumErrors: 0,
  };
  /** TcpExt: */
  readonly tcpExt: Record<TcpExtName, number> = new TcpExtMib();
  /** Udp: */
  readonly udp = {
    InDatagrams: 0,
    NoPorts: 0,
    InErrors: 0,
    OutDatagrams: 0,
    RcvbufErrors: 0,
    SndbufErrors: 0,
    InCsumErrors: 0,
    IgnoredMulti: 0,
    MemErrors: 0,
  };
}

/** What is above IP. */
export interface Inet {
  /** Transport protocols by number; null: none. */
  readonly protocols: (InetProtocol | null)[];
  /** Counters. */
  readonly mib: SnmpMib;
  /**
   * Sends an ICMP error about a received packet. `info`: MTU (frag needed), pointer << 24 (parameter problem).
   * Filled by icmp; does nothing without it. Linux: icmp_send(). Borrows `skb`.
   */
  icmpSend(skb: SkBuff, type: number, code: number, info: number): void;
  /** Gives clones to raw sockets; true: at least one took it. Filled by raw. Borrows `skb`. Linux: raw_local_deliver(). */
  rawDeliver(skb: SkBuff, protocol: number): boolean;
  /**
   * Tells raw sockets of an ICMP error: `data` is at the quoted IP header; the rest as {@linkcode InetProtocol.error}.
   * Filled by raw. Borrows `skb`. Linux: raw_icmp_error().
   */
  rawError(skb: SkBuff, type: number, code: number, info: number): void;
  /** State of who filled these two: for functions that find it here and need no closure. */
  rawState: unknown;
}

/** Its token. */
export const INET: Token<Inet> = { name: "netpath:inet" };

/** Registers a transport protocol; a number that is taken is a TypeError. Linux: inet_add_protocol(). */
export function inetAddProtocol(net: Net, protocol: number, handler: InetProtocol): Disposable {
  if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255) {
    throw new RangeError(`Cannot add protocol ${protocol}: it takes a whole number from 0 to 255`);
  }
  if (typeof handler?.rcv !== "function" || typeof handler.error !== "function") {
    throw new TypeError(`Cannot add protocol ${protocol}: its handler is { rcv(skb), error(skb, type, code, info) }`);
  }
  return net.registration(() => {
    const table = net.get(INET).protocols;
    if (table[protocol] !== null) throw new TypeError(`Cannot add protocol ${protocol}: another plugin handles it`);
    table[protocol] = handler;
    return () => {
      if (table[protocol] === handler) table[protocol] = null;
    };
  });
}

/** Fills {@linkcode Inet.rawDeliver} and {@linkcode Inet.rawError}: what raw registers. */
export function inetFillRaw(
  net: Net,
  rawDeliver: Inet["rawDeliver"],
  rawError: Inet["rawError"],
  rawState: unknown = null,
): Disposable {
  return net.registration(() => {
    const inet = net.get(INET);
    const before = { rawDeliver: inet.rawDeliver, rawError: inet.rawError, rawState: inet.rawState };
    Object.assign(inet, { rawDeliver, rawError, rawState });
    return () => {
      if (inet.rawDeliver === rawDeliver && inet.rawState === rawState) Object.assign(inet, before);
    };
  });
}

/** Fills {@linkcode Inet.icmpSend}: what icmp registers. */
export function inetFillIcmpSend(net: Net, icmpSend: Inet["icmpSend"]): Disposable {
  return net.registration(() => {
    const inet = net.get(INET);
    const before = inet.icmpSend;
    inet.icmpSend = icmpSend;
    return () => {
      if (inet.icmpSend === icmpSend) inet.icmpSend = before;
    };
  });
}
