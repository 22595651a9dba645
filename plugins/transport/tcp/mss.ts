/**
 * How much payload a segment may have: the peer's MSS, the path MTU, the options, the peer's window; and the search for
 * larger path MTUs. RFC 9293 section 3.7.1, RFC 6691, RFC 1191, RFC 4821.
 * Linux: tcp_sync_mss(), tcp_current_mss(), net/ipv4/tcp_output.c.
 */
import * as routeMetrics from "./route_metrics.ts";
import * as tcpState from "./tcp_sock.ts";
import type { TcpMtup, TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import type { Dst } from "../../network/fib/contract.ts";
import type { IpOptions } from "../../network/ipv4/contract.ts";
import * as optionsWrite from "./options_write.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpMetricsOf } = routeMetrics;
const { tcpEstablishedOptionsSize } = optionsWrite;
const { TCP_MSS_DEFAULT } = tcpState;

const IP_HLEN = 20;
const TCP_HLEN = 20;
const IP_MAX_MTU = 0xffff;
/** net.ipv4.route.min_adv_mss. */
const MIN_ADVMSS = 256;
/** Least IP packet that every host takes, and what it leaves for a segment with its header. RFC 791. */
const MIN_SEGMENT = 68;

/** The route of a connection, looked up again where it is no longer valid; null: none. Linux: __sk_dst_check(). */
export function tcpSkRoute(tp: TcpSock): Dst | null {
  const sk = tp.sk;
  const dst = sk.dst;
  if (dst !== null && !dst.obsolete) return dst;
  return sk.dst = tp.st.fib.routeOutput(tcpFirstHop(sk.ipOptions, sk.daddr), sk.saddr, sk.boundDevIf, sk.tos);
}

/** Where packets to `daddr` go first: a source route's first hop, or `daddr` itself. */
export function tcpFirstHop(options: IpOptions | null, daddr: number): number {
  return options === null || options.faddr === 0 ? daddr : options.faddr;
}

/** What IP options take from each segment. Linux: icsk_ext_hdr_len. */
function extHdrLen(tp: TcpSock): number {
  const options = tp.sk.ipOptions;
  return options === null ? 0 : options.data.length;
}

/** Payload over a path of `pmtu`, no options taken off. Linux: __tcp_mtu_to_mss(). */
export function __tcpMtuToMss(tp: TcpSock, pmtu: number): number {
  let mss = pmtu - IP_HLEN - TCP_HLEN;
  if (mss > tp.mssClamp) mss = tp.mssClamp;
  mss -= extHdrLen(tp);
  return Math.max(mss, tp.st.sysctl.minSndMss);
}

/** Payload of a segment over a path of `pmtu`; the options that all segments have are taken off. Linux: tcp_mtu_to_mss(). */
export function tcpMtuToMss(tp: TcpSock, pmtu: number): number {
  return __tcpMtuToMss(tp, pmtu) - (tp.tcpHeaderLen - TCP_HLEN);
}

/** The packet that a payload of `mss` makes. Linux: tcp_mss_to_mtu(). */
export function tcpMssToMtu(tp: TcpSock, mss: number): number {
  return mss + tp.tcpHeaderLen + extHdrLen(tp) + IP_HLEN;
}

/** A packet never exceeds half of the largest window: the ACK of the first half opens it. Linux: tcp_bound_to_half_wnd(). */
export function tcpBoundToHalfWnd(tp: TcpSock, size: number): number {
  const cutoff = tp.maxWindow > TCP_MSS_DEFAULT ? tp.maxWindow >>> 1 : tp.maxWindow;
  return cutoff !== 0 && size > cutoff ? Math.max(cutoff, MIN_SEGMENT - tp.tcpHeaderLen) : size;
}

/**
 * The path MTU is `pmtu`: computes {@linkcode TcpSock.mssCache} and gives it. Linux: tcp_sync_mss(),
 * net/ipv4/tcp_output.c.
 */
export function tcpSyncMss(tp: TcpSock, pmtu: number): number {
  const mtup = tp.mtup;
  if (mtup !== null && mtup.searchHigh > pmtu) mtup.searchHigh = pmtu;
  let mss = tcpBoundToHalfWnd(tp, tcpMtuToMss(tp, pmtu));
  tp.pmtuCookie = pmtu;
  if (mtup !== null && mtup.enabled) mss = Math.min(mss, tcpMtuToMss(tp, mtup.searchLow));
  tp.mssCache = mss;
  return mss;
}

/**
 * Payload of the next segments: the path MTU may have changed, and there may be SACK blocks to tell.
 * Linux: tcp_current_mss(), net/ipv4/tcp_output.c.
 */
export function tcpCurrentMss(tp: TcpSock): number {
  const dst = tp.sk.dst;
  let mss = tp.mssCache;
  if (dst !== null) {
    const mtu = tp.st.fib.mtu(dst);
    if (mtu !== tp.pmtuCookie) mss = tcpSyncMss(tp, mtu);
  }
  const header = tcpEstablishedOptionsSize(tp) + TCP_HLEN;
  return header === tp.tcpHeaderLen ? mss : mss - (header - tp.tcpHeaderLen);
}

/**
 * The MSS that a route lets us tell the peer: the one it was given, or what its MTU leaves. Linux: dst_metric_advmss(),
 * ipv4_default_advmss(), net/ipv4/route.c.
 */
export function tcpDstAdvmss(st: TcpState, dst: Dst): number {
  const header = IP_HLEN + TCP_HLEN;
  const m = tcpMetricsOf(dst);
  if (m !== null && m.advmss !== 0) return m.advmss;
  return Math.min(Math.max(st.fib.mtu(dst) - header, MIN_ADVMSS), IP_MAX_MTU - header);
}

/** TCP_MAXSEG bounds what is told. Linux: tcp_mss_clamp(). */
export function tcpMssClamp(tp: TcpSock, mss: number): number {
  const user = tp.opt.userMss;
  return user !== 0 && user < mss ? user : mss;
}

/** The MSS that a SYN tells. Linux: tcp_advertise_mss(), net/ipv4/tcp_output.c. */
export function tcpAdvertiseMss(tp: TcpSock): number {
  const dst = tp.sk.dst;
  if (dst !== null) tp.advmss = Math.min(tp.advmss, tcpDstAdvmss(tp.st, dst));
  return tp.advmss;
}

/** The search, made when it is first needed. */
export function tcpMtup(tp: TcpSock): TcpMtup {
  return tp.mtup ??= {
    enabled: false,
    searchHigh: 0,
    searchLow: 0,
    probeSize: 0,
    probeTimestamp: 0,
    seqStart: 0,
    seqEnd: 0,
  };
}

/** The handshake is over: where the search begins. Linux: tcp_mtup_init(), net/ipv4/tcp_output.c. */
export function tcpMtupInit(tp: TcpSock): void {
  const s = tp.st.sysctl;
  if (s.mtuProbing === 0 && tp.mtup === null) return;
  const mtup = tcpMtup(tp);
  mtup.enabled = s.mtuProbing > 1;
  mtup.searchHigh = tp.mssClamp + TCP_HLEN + IP_HLEN;
  mtup.searchLow = tcpMssToMtu(tp, s.baseMss);
  mtup.probeSize = 0;
  if (mtup.enabled) mtup.probeTimestamp = tp.st.machine.jiffies;
}
