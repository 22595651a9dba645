/**
 * IPv4's contract: what the layer above calls. Linux: net/ipv4/ip_output.c, ip_input.c.
 *
 * @module
 */
import type { SkBuff, Token } from "../../../core/mod.ts";
import type { Dst } from "../fib/contract.ts";

/** EtherType of IPv4. */
export const ETH_P_IP = 0x0800;

/** ip_fragment's users, for reassembly: which stage asks. Linux: enum ip_defrag_users. */
export const IP_DEFRAG_LOCAL_DELIVER = 0;
/** Connection tracking on input. */
export const IP_DEFRAG_CONNTRACK_IN = 1;

/** Path-MTU discovery off: DF is never set. Linux: IP_PMTUDISC_*. */
export const IP_PMTUDISC_DONT = 0;
/** DF unless a route says otherwise; what is larger than the path MTU is fragmented. */
export const IP_PMTUDISC_WANT = 1;
/** DF always; too large is EMSGSIZE. */
export const IP_PMTUDISC_DO = 2;
/** DF always; the path MTU is ignored. */
export const IP_PMTUDISC_PROBE = 3;

/**
 * A datagram that is to be built from a caller's bytes. A record that the caller keeps and reuses.
 * Linux: struct ipcm_cookie, inet_cork, flowi4.
 */
export interface IpCork {
  /** The way. */
  dst: Dst | null;
  /** Source, int32. */
  saddr: number;
  /** Destination, int32. */
  daddr: number;
  /** Transport protocol. */
  protocol: number;
  /** Type of service. */
  tos: number;
  /** 0: the default (64, or 1 for multicast). */
  ttl: number;
  /** IP_PMTUDISC_*. */
  pmtudisc: number;
  /**
   * Identification, 16 bits: the next one of a connected socket, whose numbers say nothing about other traffic; -1: chosen
   * by {@linkcode Ipv4.selectIdent}, or 0 where it is never needed. Linux: inet_id.
   */
  ident: number;
  /** IP options in wire form, or null. Padded to a multiple of 4. */
  options: Uint8Array | null;
  /** The payload. */
  buf: Uint8Array;
  /** First byte. */
  off: number;
  /** Bytes. */
  len: number;
  /** Bytes of the transport header that the caller writes. */
  transhdrlen: number;
  /** The ledger's site of the copy. */
  site: number;
  /** Filled by makeSkb: the MTU that the datagram was built for, in bytes. */
  mtu: number;
  /** After makeSkb gave null: a negative errno (EMSGSIZE, ENOBUFS). */
  errno: number;
}

/** What a cork's `buf` holds between sends. */
const NO_BYTES: Uint8Array = new Uint8Array(0);

/**
 * A fresh record for a protocol's datagrams: no route, no options, no path-MTU discovery. `transhdrlen` bytes of
 * transport header; the copy is counted at `site` of the ledger.
 */
export function newIpCork(protocol: number, transhdrlen: number, site: number): IpCork {
  return {
    dst: null,
    saddr: 0,
    daddr: 0,
    protocol,
    tos: 0,
    ttl: 0,
    pmtudisc: IP_PMTUDISC_DONT,
    ident: -1,
    options: null,
    buf: NO_BYTES,
    off: 0,
    len: 0,
    transhdrlen,
    site,
    mtu: 0,
    errno: 0,
  };
}

/** IP options of a socket: what IP_OPTIONS gave, or what a SYN brought. Linux: struct ip_options. */
export interface IpOptions {
  /** In wire form, padded to a multiple of 4. A source route is without its first hop; its last place is the destination's. */
  readonly data: Uint8Array;
  /** First hop of the source route, int32: packets are sent there. 0: there is none. */
  readonly faddr: number;
  /** Where the source route begins in `data`, -1: there is none. */
  readonly srr: number;
  /** Whether its first hop must be on a link of ours. */
  readonly strict: boolean;
}

/** IPv4. */
export interface Ipv4 {
  /**
   * Builds a datagram: one copy of the payload, room for all headers, `data` at the transport header (transhdrlen bytes
   * not yet written), transportHeader set. What is larger than the path MTU is built in fragments of the right size on
   * `fragList` (Linux: ip_append_data(), so that ip_fragment() needs no copy). Null: see cork.errno.
   * Linux: ip_make_skb().
   */
  makeSkb(cork: IpCork): SkBuff | null;
  /**
   * Pushes the IP header and sends: LOCAL_OUT, then output. `data` is at the transport header, the transport checksum
   * is done. Returns 0, a NET_XMIT_* code or a negative errno. Linux: ip_send_skb(). Takes ownership of `skb`.
   */
  sendSkb(skb: SkBuff, cork: IpCork): number;
  /**
   * For TCP and ICMP: pushes an IP header and sends a packet that is routed: `skb.dst` is set. `ident`: as
   * {@linkcode IpCork.ident}; without it, chosen here. Returns as sendSkb. Linux: ip_queue_xmit(). Takes ownership of `skb`.
   */
  queueXmit(
    skb: SkBuff,
    saddr: number,
    daddr: number,
    protocol: number,
    tos: number,
    ttl: number,
    df: boolean,
    ident?: number,
  ): number;
  /**
   * The same with options: to the first hop of a source route, which `skb.dst` must lead to. -EHOSTUNREACH where a strict
   * one would need a gateway. Takes ownership of `skb`.
   */
  queueXmitOptions(
    skb: SkBuff,
    saddr: number,
    daddr: number,
    protocol: number,
    tos: number,
    ttl: number,
    df: boolean,
    ident: number,
    options: IpOptions,
  ): number;
  /** IP_OPTIONS of a socket, checked; null: malformed. Linux: ip_options_get(). */
  optionsGet(bytes: Uint8Array): IpOptions | null;
  /** What getsockopt shows of them. Linux: ip_options_undo(). */
  optionsUndo(options: IpOptions): Uint8Array;
  /** The options of a connection that a packet opens, null: none. Linux: tcp_v4_save_options(). Borrows `skb`. */
  optionsSave(skb: SkBuff): IpOptions | null;
  /** Sends a packet with its IP header complete and skb.dst set: LOCAL_OUT, output. Linux: ip_local_out(). Takes ownership of `skb`. */
  localOut(skb: SkBuff): number;
  /**
   * Reassembles. Null: kept or dropped. Otherwise the whole datagram, which the caller owns.
   * Linux: ip_defrag(). Takes ownership of `skb`.
   */
  defrag(skb: SkBuff, user: number): SkBuff | null;
  /** The next IP id for a destination and protocol, keyed by a secret. Linux: __ip_select_ident(). */
  selectIdent(saddr: number, daddr: number, protocol: number, segs: number): number;
  /**
   * The options that a reply to a received packet carries, in wire form: record route, timestamp and CIPSO as they
   * stand, source route reversed. Null: none. {@linkcode OPTIONS_NO_ROOM}: they cannot be built, nothing must be sent.
   * Allocates. Linux: ip_options_echo(). Borrows `skb`.
   */
  optionsEcho(skb: SkBuff): Uint8Array | null;
  /** First hop of the source route that the last optionsEcho reversed, 0: none; the reply is sent there. */
  optionsFaddr(): number;
  /**
   * The address that an answer to a received packet comes from: its destination if that is ours, else the one that
   * we would use towards the sender; 0: none. Linux: fib_compute_spec_dst(). Borrows `skb`.
   */
  specDst(skb: SkBuff): number;
  /** Bytes that reassembly holds. */
  fragMem(): number;
}

/** {@linkcode Ipv4.optionsEcho} when the timestamp option has no room left for what it needs. */
export const OPTIONS_NO_ROOM: Uint8Array = new Uint8Array(0);

/** Its token. */
export const IPV4: Token<Ipv4> = { name: "netpath:ipv4" };

/** A received packet's control block, words of skb.cb claimed as "ipv4": flags (IPSKB_*). Linux: struct inet_skb_parm. */
export const IPCB_WORDS = 4;
/** Word: IPSKB_* flags. */
export const IPCB_FLAGS = 0;
/**
 * Word: where the options are that replies and routers care for, as offsets from the IP header (0: not there), a byte
 * each from the lowest: record route, timestamp, source route, CIPSO.
 */
export const IPCB_OPT = 1;
/** Word: length of the options, 0: none were parsed. */
export const IPCB_OPTLEN = 2;
/** Word: largest fragment seen, for forwarding reassembled packets. */
export const IPCB_FRAG_MAX_SIZE = 3;
/** Forwarded. */
export const IPSKB_FORWARDED = 1;
/** Reassembled from fragments. */
export const IPSKB_FRAG_COMPLETE = 8;
/** Rerouted already. */
export const IPSKB_REROUTED = 16;
/** A redirect is to be sent. */
export const IPSKB_DOREDIRECT = 32;
/** Reassembled, and the largest fragment had DF: never leaves in larger pieces than it came. */
export const IPSKB_FRAG_PMTU = 64;
/** An option changed: the header checksum is to be computed again. */
export const IPSKB_OPT_CHANGED = 1 << 16;
/** Record route: our address was entered. */
export const IPSKB_RR_NEEDADDR = 1 << 17;
/** Timestamp: our address was entered. */
export const IPSKB_TS_NEEDADDR = 1 << 18;
/** Timestamp: the time was entered. */
export const IPSKB_TS_NEEDTIME = 1 << 19;
/** Source route: strict. */
export const IPSKB_STRICTROUTE = 1 << 20;
/** Source route: it leads to another host, this one forwards it there. */
export const IPSKB_SRR_HIT = 1 << 21;
/** Router alert. */
export const IPSKB_ROUTER_ALERT = 1 << 22;
/** `skb.flags`: the sender turned IP_MULTICAST_LOOP off, its own net gets no copy. Linux: sk_mc_loop(). */
export const SKB_NO_MC_LOOP = 1;
