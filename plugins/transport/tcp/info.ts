/**
 * TCP_INFO. Linux: tcp_get_info(), net/ipv4/tcp.c.
 */
import type { Sock } from "../sock/contract.ts";
import { TCP_LISTEN, type TcpInfo } from "./contract.ts";
import { acceptqLen } from "./minisocks.ts";
import { TCP_ECN_OK, TCP_ECN_SEEN, TCP_INFINITE_SSTHRESH, tcpSk, type TcpSock } from "./tcp_sock.ts";
import { tcpPacingRate } from "./tsq.ts";

const TCPI_OPT_TIMESTAMPS = 1, TCPI_OPT_SACK = 2, TCPI_OPT_WSCALE = 4, TCPI_OPT_ECN = 8, TCPI_OPT_ECN_SEEN = 16;
const TCPI_OPT_SYN_DATA = 32, TCPI_OPT_TFO_CHILD = 128;
const NEVER = 0xffffffff;
/** TCP_CHRONO_*: what the clock of {@linkcode TcpSock.chronoType} counts. */
const CHRONO_BUSY = 1, CHRONO_RWND = 2, CHRONO_SNDBUF = 3;

/** What is told of a listener; all else is 0. */
const OF_LISTENER: ReadonlySet<string> = new Set([
  "tcpi_state",
  "tcpi_unacked",
  "tcpi_sacked",
  "tcpi_snd_cwnd",
  "tcpi_reordering",
  "tcpi_pacing_rate",
  "tcpi_max_pacing_rate",
]);

/** All fields, in Linux's units. */
export function tcpGetInfo(sk: Sock): TcpInfo {
  const info = fieldsOf(sk);
  if (sk.state === TCP_LISTEN) {
    for (const key of Object.keys(info) as (keyof TcpInfo)[]) if (!OF_LISTENER.has(key)) info[key] = 0;
  }
  return info;
}

function fieldsOf(sk: Sock): TcpInfo {
  const tp = tcpSk(sk);
  const listen = sk.state === TCP_LISTEN;
  const now = tp.st.machine.jiffies;
  const busy = chrono(tp, CHRONO_BUSY);
  return {
    tcpi_state: sk.state,
    tcpi_ca_state: tp.icskCaState,
    tcpi_retransmits: tp.icskRetransmits,
    tcpi_probes: tp.icskProbesOut,
    tcpi_backoff: tp.icskBackoff,
    tcpi_options: options(tp),
    tcpi_snd_wscale: tp.wscaleOk ? tp.sndWscale : 0,
    tcpi_rcv_wscale: tp.wscaleOk ? tp.rcvWscale : 0,
    tcpi_delivery_rate_app_limited: tp.rateAppLimited ? 1 : 0,
    tcpi_fastopen_client_fail: tp.fo === null ? 0 : tp.fo.clientFail,
    tcpi_rto: tp.icskRto * 1000,
    tcpi_ato: tp.ackAto * 1000,
    tcpi_snd_mss: tp.mssCache,
    tcpi_rcv_mss: tp.ackRcvMss,
    tcpi_unacked: listen ? acceptqLen(tp) : tp.packetsOut,
    tcpi_sacked: listen ? tp.maxAckBacklog : tp.sackedOut,
    tcpi_lost: tp.lostOut,
    tcpi_retrans: tp.retransOut,
    tcpi_fackets: 0,
    tcpi_last_data_sent: (now - tp.lsndtime) >>> 0,
    tcpi_last_ack_sent: 0,
    tcpi_last_data_recv: (now - tp.ackLrcvtime) >>> 0,
    tcpi_last_ack_recv: (now - tp.rcvTstamp) >>> 0,
    tcpi_pmtu: tp.pmtuCookie,
    tcpi_rcv_ssthresh: tp.rcvSsthresh,
    tcpi_rtt: tp.srttUs >> 3,
    tcpi_rttvar: tp.mdevUs >> 2,
    tcpi_snd_ssthresh: tp.sndSsthresh >= TCP_INFINITE_SSTHRESH ? TCP_INFINITE_SSTHRESH : tp.sndSsthresh,
    tcpi_snd_cwnd: tp.sndCwnd,
    tcpi_advmss: tp.advmss,
    tcpi_reordering: tp.reordering,
    tcpi_rcv_rtt: tp.rcvRttUs >> 3,
    tcpi_rcv_space: tp.rcvqSpace,
    tcpi_total_retrans: tp.totalRetrans,
    tcpi_pacing_rate: tp.sk.maxPacingRate === 0 ? 0 : tcpPacingRate(tp),
    tcpi_max_pacing_rate: tp.sk.maxPacingRate < 0 ? Number.MAX_SAFE_INTEGER : tp.sk.maxPacingRate,
    tcpi_bytes_acked: tp.bytesAcked,
    tcpi_bytes_received: tp.bytesReceived,
    tcpi_segs_out: tp.segsOut,
    tcpi_segs_in: tp.segsIn,
    tcpi_notsent_bytes: Math.max(0, (tp.writeSeq - tp.sndNxt) | 0),
    tcpi_min_rtt: tp.rttMinUs < 0 ? NEVER : tp.rttMinUs,
    tcpi_data_segs_in: tp.dataSegsIn,
    tcpi_data_segs_out: tp.dataSegsOut,
    tcpi_delivery_rate: deliveryRate(tp),
    tcpi_busy_time: busy + chrono(tp, CHRONO_RWND) + chrono(tp, CHRONO_SNDBUF),
    tcpi_rwnd_limited: chrono(tp, CHRONO_RWND),
    tcpi_sndbuf_limited: chrono(tp, CHRONO_SNDBUF),
    tcpi_delivered: tp.delivered,
    tcpi_delivered_ce: tp.deliveredCe,
    tcpi_bytes_sent: tp.bytesSent,
    tcpi_bytes_retrans: tp.bytesRetrans,
    tcpi_dsack_dups: tp.dsackDups,
    tcpi_reord_seen: tp.reordSeen,
    tcpi_rcv_ooopack: tp.rcvOooPack,
    tcpi_snd_wnd: tp.sndWnd,
    tcpi_rcv_wnd: tp.rcvWnd,
    tcpi_rehash: 0,
    tcpi_total_rto: tp.totalRto,
    tcpi_total_rto_recoveries: tp.totalRtoRecoveries,
    tcpi_total_rto_time: tp.totalRtoTime,
  };
}

function options(tp: TcpSock): number {
  let bits = 0;
  if (tp.tstampOk) bits |= TCPI_OPT_TIMESTAMPS;
  if (tp.sackOk) bits |= TCPI_OPT_SACK;
  if (tp.wscaleOk) bits |= TCPI_OPT_WSCALE;
  if ((tp.ecnFlags & TCP_ECN_OK) !== 0) bits |= TCPI_OPT_ECN;
  if ((tp.ecnFlags & TCP_ECN_SEEN) !== 0) bits |= TCPI_OPT_ECN_SEEN;
  if (tp.fo !== null && tp.fo.synDataAcked) bits |= TCPI_OPT_SYN_DATA;
  if (tp.fo !== null && tp.fo.child) bits |= TCPI_OPT_TFO_CHILD;
  return bits;
}

/** Microseconds of one kind, the one that runs now included. */
function chrono(tp: TcpSock, type: number): number {
  const kept = type === CHRONO_BUSY ? tp.chronoBusy : type === CHRONO_RWND ? tp.chronoRwnd : tp.chronoSndbuf;
  const running = tp.chronoType === type ? (tp.st.machine.jiffies - tp.chronoStart) | 0 : 0;
  return (kept + running) * 1000;
}

/** Bytes per second of the last good sample. Linux: tcp_compute_delivery_rate(). */
function deliveryRate(tp: TcpSock): number {
  if (tp.rateDelivered === 0 || tp.rateIntervalUs <= 0) return 0;
  return Math.floor(tp.rateDelivered * tp.mssCache * 1e6 / tp.rateIntervalUs);
}
