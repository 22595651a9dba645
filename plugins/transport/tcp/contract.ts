/**
 * TCP's contract: states, options, congestion control, and what tools ask. Applications use the system calls.
 * Linux: include/net/tcp.h, include/uapi/linux/tcp.h, include/net/inet_connection_sock.h.
 *
 * @module
 */
import type { Net, Token } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";

/** SOL_TCP. */
export const SOL_TCP = 6;

export { TCP_CLOSE, TCP_ESTABLISHED } from "../sock/contract.ts";
/** sk.state: a SYN was sent. Linux: include/net/tcp_states.h. */
export const TCP_SYN_SENT = 2;
/** A SYN came and was answered. */
export const TCP_SYN_RECV = 3;
/** Our FIN was sent. */
export const TCP_FIN_WAIT1 = 4;
/** Our FIN was acknowledged. */
export const TCP_FIN_WAIT2 = 5;
/** Both FINs were acknowledged; late segments die here. */
export const TCP_TIME_WAIT = 6;
/** The peer's FIN came. */
export const TCP_CLOSE_WAIT = 8;
/** The peer's FIN came, ours was sent after it. */
export const TCP_LAST_ACK = 9;
/** Waits for connections. */
export const TCP_LISTEN = 10;
/** Both FINs crossed. */
export const TCP_CLOSING = 11;
/** A request that is no full socket yet. */
export const TCP_NEW_SYN_RECV = 12;
/** Names of the states, by number. */
export const TCP_STATE_NAMES: readonly string[] = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];

/** Congestion state: all in order. Linux: enum tcp_ca_state. */
export const TCP_CA_OPEN = 0;
/** Duplicate ACKs or SACKs came. */
export const TCP_CA_DISORDER = 1;
/** The window was reduced without a loss: ECN, or a local queue. */
export const TCP_CA_CWR = 2;
/** Fast retransmit. */
export const TCP_CA_RECOVERY = 3;
/** The retransmission timer fired. */
export const TCP_CA_LOSS = 4;

/** {@linkcode TcpCongestionOps.cwndEvent}: first transmit with nothing in flight. Linux: enum tcp_ca_event. */
export const CA_EVENT_TX_START = 0;
/** The window was restarted after an idle time. */
export const CA_EVENT_CWND_RESTART = 1;
/** The window reduction ended. */
export const CA_EVENT_COMPLETE_CWR = 2;
/** The retransmission timer fired. */
export const CA_EVENT_LOSS = 3;
/** A received packet was not marked. */
export const CA_EVENT_ECN_NO_CE = 4;
/** A received packet was marked. */
export const CA_EVENT_ECN_IS_CE = 5;

/** Socket options of level SOL_TCP. Linux: include/uapi/linux/tcp.h. */
export const TCP_NODELAY = 1;
/** Limits the MSS. */
export const TCP_MAXSEG = 2;
/** Never send partial frames. */
export const TCP_CORK = 3;
/** Seconds of idleness before keepalive probes. */
export const TCP_KEEPIDLE = 4;
/** Seconds between probes. */
export const TCP_KEEPINTVL = 5;
/** Probes before the connection is given up. */
export const TCP_KEEPCNT = 6;
/** SYN retransmissions. */
export const TCP_SYNCNT = 7;
/** Seconds of an orphaned FIN-WAIT-2. */
export const TCP_LINGER2 = 8;
/** A listener wakes only when data came, seconds. */
export const TCP_DEFER_ACCEPT = 9;
/** Bound of the advertised window. */
export const TCP_WINDOW_CLAMP = 10;
/** See {@linkcode Tcp.info}. */
export const TCP_INFO = 11;
/** Quick acknowledgements now. */
export const TCP_QUICKACK = 12;
/** Name of the congestion control, a string. */
export const TCP_CONGESTION = 13;
/** TCP_THIN_LINEAR_TIMEOUTS. */
export const TCP_THIN_LINEAR_TIMEOUTS = 16;
/** Milliseconds that sent data may stay unacknowledged. */
export const TCP_USER_TIMEOUT = 18;
/** Length of the queue of fast-open requests. */
export const TCP_FASTOPEN = 23;
/** A timestamp in the user's clock. */
export const TCP_TIMESTAMP = 24;
/** Bytes not sent yet up to which the socket is writable. */
export const TCP_NOTSENT_LOWAT = 25;
/** Client: SYN with data at the first write. */
export const TCP_FASTOPEN_CONNECT = 30;
/** Fast-open key. */
export const TCP_FASTOPEN_KEY = 33;
/** Fast open without cookies. */
export const TCP_FASTOPEN_NO_COOKIE = 34;
/** recvmsg gives the bytes left in the queue. */
export const TCP_INQ = 36;
/** Delay of what is sent, microseconds. */
export const TCP_TX_DELAY = 37;
/** Longest retransmission timeout, milliseconds. */
export const TCP_RTO_MAX_MS = 44;
/** Accepted, and without effect since Linux 4.12. */
export const TCP_THIN_DUPACK = 17;

/**
 * `skb.flags`: the memory of its head is no page that another buffer could take over: it is not hung on the one before it
 * in a receive queue. Linux: !skb->head_frag, what a TUN without NAPI gives.
 */
export const SKB_HEAD_LOCKED = 2;

/** `nonagle`: Nagle's algorithm is off. */
export const TCP_NAGLE_OFF = 1;
/** `nonagle`: corked. */
export const TCP_NAGLE_CORK = 2;
/** `nonagle`: push what is there once. */
export const TCP_NAGLE_PUSH = 4;

/** What a congestion control sees and sets of a connection. Packets unless said. Linux: struct tcp_sock. */
export interface TcpCongestionSock {
  /** The socket. */
  readonly sk: Sock;
  /** Congestion window. */
  sndCwnd: number;
  /** Credits towards the next increase. */
  sndCwndCnt: number;
  /** Upper bound. */
  sndCwndClamp: number;
  /** Slow start threshold. */
  sndSsthresh: number;
  /** Window before the last reduction. */
  priorCwnd: number;
  /** The window, not the application, limits what is sent. */
  readonly isCwndLimited: boolean;
  /** Sent and not acknowledged. */
  readonly packetsOut: number;
  /** The most of {@linkcode packetsOut} in this round trip. */
  readonly maxPacketsOut: number;
  /** SACKed. */
  readonly sackedOut: number;
  /** Believed lost. */
  readonly lostOut: number;
  /** Retransmitted and in flight. */
  readonly retransOut: number;
  /** Delivered in all. */
  readonly delivered: number;
  /** Delivered with a CE mark. */
  readonly deliveredCe: number;
  /** Until so many are delivered, rates say nothing of the network: the sender had room; 0: it has not. */
  appLimited: number;
  /** First unacknowledged byte, int32. */
  readonly sndUna: number;
  /** Next byte to send, int32. */
  readonly sndNxt: number;
  /** Smoothed round trip time in microseconds, times 8. */
  readonly srttUs: number;
  /** Payload bytes of a full segment. */
  readonly mssCache: number;
  /** The clock in microseconds, int32, refreshed for each packet. */
  readonly tcpMstamp: number;
  /** TCP_CA_*. */
  readonly icskCaState: number;
  /** Bytes per second at which it sends at most; 0: no pacing. */
  pacingRate: number;
  /** What the window allows in bytes per second, whether or not it is paced. */
  readonly skPacingRate: number;
  /** When data was sent last, jiffies. */
  readonly lsndtime: number;
  /** Least round trip in a while, microseconds; -1: none. */
  readonly rttMinUs: number;
  /** The control's own state. */
  icskCaPriv: unknown;
}

/** What one ACK told about delivery. Linux: struct rate_sample. */
export interface RateSample {
  /** Packets delivered at the time when the newest acknowledged one was sent. */
  priorDelivered: number;
  /** Packets delivered over the interval; -1: no sample. */
  delivered: number;
  /** The interval in microseconds; -1: no sample. */
  intervalUs: number;
  /** Round trip time of the newest packet in microseconds; -1: none. */
  rttUs: number;
  /** Packets that this ACK marked lost. */
  losses: number;
  /** Packets that this ACK acknowledged or SACKed. */
  ackedSacked: number;
  /** Packets in flight before this ACK. */
  priorInFlight: number;
  /** Time when the newest acknowledged packet was delivered-stamped, microseconds int32. */
  priorMstamp: number;
  /** The sender had nothing to send during the interval. */
  isAppLimited: boolean;
  /** The sample is from a retransmitted packet. */
  isRetrans: boolean;
  /** The ACK was delayed at the receiver. */
  isAckDelayed: boolean;
  /** Highest sequence number sent of the newest packet, int32. */
  lastEndSeq: number;
}

/** A congestion control of one fixed shape. Linux: struct tcp_congestion_ops. */
export interface TcpCongestionOps {
  /** `cubic`. */
  readonly name: string;
  /** Wants ECN marks whatever the sysctl says. Linux: TCP_CONG_NEEDS_ECN. */
  readonly needsEcn: boolean;
  /** A connection starts to use it. */
  init(tp: TcpCongestionSock): void;
  /** A connection ends to use it. */
  release(tp: TcpCongestionSock): void;
  /** The threshold after a loss, packets. */
  ssthresh(tp: TcpCongestionSock): number;
  /** Grows the window: `ack` is the acknowledgement number, `acked` packets were acknowledged. */
  congAvoid(tp: TcpCongestionSock, ack: number, acked: number): void;
  /** The congestion state changes to `state`. */
  setState(tp: TcpCongestionSock, state: number): void;
  /** CA_EVENT_*. */
  cwndEvent(tp: TcpCongestionSock, event: number): void;
  /** An ACK came; bit 0: slow path, bit 1: the window was updated, bit 2: ECE. */
  inAckEvent(tp: TcpCongestionSock, flags: number): void;
  /** Packets were acknowledged; `rttUs` -1: no sample. */
  pktsAcked(tp: TcpCongestionSock, pktsAcked: number, rttUs: number): void;
  /** The window after a reduction proved wrong. */
  undoCwnd(tp: TcpCongestionSock): number;
  /** Takes over window and pacing altogether instead of congAvoid; null: does not. */
  readonly congControl: ((tp: TcpCongestionSock, ack: number, flag: number, rs: RateSample) => void) | null;
}

/** What a user's congestion control gives: the rest is Reno's. */
export type TcpCongestionInit = Pick<TcpCongestionOps, "name"> & Partial<TcpCongestionOps>;

/** What TCP_INFO gives, by Linux's names and in Linux's units. Linux: struct tcp_info. */
export interface TcpInfo {
  /** TCP_*. */
  tcpi_state: number;
  /** TCP_CA_*. */
  tcpi_ca_state: number;
  /** Timeouts in a row. */
  tcpi_retransmits: number;
  /** Unanswered probes. */
  tcpi_probes: number;
  /** Exponent of the back-off. */
  tcpi_backoff: number;
  /** TCPI_OPT_* bits: 1 timestamps, 2 SACK, 4 window scale, 8 ECN, 16 ECN seen, 32 SYN data, 128 made by a SYN with data. */
  tcpi_options: number;
  /** Scale of the peer's window. */
  tcpi_snd_wscale: number;
  /** Scale of ours. */
  tcpi_rcv_wscale: number;
  /** The delivery rate was limited by the application. */
  tcpi_delivery_rate_app_limited: number;
  /** Why fast open failed on the client. */
  tcpi_fastopen_client_fail: number;
  /** Microseconds. */
  tcpi_rto: number;
  /** Microseconds. */
  tcpi_ato: number;
  /** Bytes. */
  tcpi_snd_mss: number;
  /** Bytes. */
  tcpi_rcv_mss: number;
  /** Packets in flight; of a listener the length of its accept queue. */
  tcpi_unacked: number;
  /** Packets; of a listener its backlog. */
  tcpi_sacked: number;
  /** Packets. */
  tcpi_lost: number;
  /** Packets. */
  tcpi_retrans: number;
  /** Packets; always 0 since FACK went. */
  tcpi_fackets: number;
  /** Milliseconds. */
  tcpi_last_data_sent: number;
  /** Milliseconds; never told by Linux: 0. */
  tcpi_last_ack_sent: number;
  /** Milliseconds. */
  tcpi_last_data_recv: number;
  /** Milliseconds. */
  tcpi_last_ack_recv: number;
  /** Bytes. */
  tcpi_pmtu: number;
  /** Bytes. */
  tcpi_rcv_ssthresh: number;
  /** Microseconds. */
  tcpi_rtt: number;
  /** Microseconds. */
  tcpi_rttvar: number;
  /** Packets. */
  tcpi_snd_ssthresh: number;
  /** Packets. */
  tcpi_snd_cwnd: number;
  /** Bytes. */
  tcpi_advmss: number;
  /** Packets. */
  tcpi_reordering: number;
  /** Microseconds. */
  tcpi_rcv_rtt: number;
  /** Bytes. */
  tcpi_rcv_space: number;
  /** Segments retransmitted in all. */
  tcpi_total_retrans: number;
  /** Bytes per second. */
  tcpi_pacing_rate: number;
  /** Bytes per second. */
  tcpi_max_pacing_rate: number;
  /** Bytes acknowledged. */
  tcpi_bytes_acked: number;
  /** Bytes received in order. */
  tcpi_bytes_received: number;
  /** Segments sent. */
  tcpi_segs_out: number;
  /** Segments received. */
  tcpi_segs_in: number;
  /** Bytes not sent yet. */
  tcpi_notsent_bytes: number;
  /** Microseconds. */
  tcpi_min_rtt: number;
  /** Segments with data received. */
  tcpi_data_segs_in: number;
  /** Segments with data sent. */
  tcpi_data_segs_out: number;
  /** Bytes per second. */
  tcpi_delivery_rate: number;
  /** Microseconds with data outstanding. */
  tcpi_busy_time: number;
  /** Microseconds limited by the peer's window. */
  tcpi_rwnd_limited: number;
  /** Microseconds limited by the send buffer. */
  tcpi_sndbuf_limited: number;
  /** Packets. */
  tcpi_delivered: number;
  /** Packets. */
  tcpi_delivered_ce: number;
  /** Bytes sent, retransmissions included. */
  tcpi_bytes_sent: number;
  /** Bytes retransmitted. */
  tcpi_bytes_retrans: number;
  /** Duplicates that the peer told of. */
  tcpi_dsack_dups: number;
  /** Times reordering was seen. */
  tcpi_reord_seen: number;
  /** Out-of-order segments received. */
  tcpi_rcv_ooopack: number;
  /** The peer's window, bytes. */
  tcpi_snd_wnd: number;
  /** Our window, bytes. */
  tcpi_rcv_wnd: number;
  /** Hash chosen after timeouts. */
  tcpi_rehash: number;
  /** Timeouts in all. */
  tcpi_total_rto: number;
  /** Recoveries from timeouts. */
  tcpi_total_rto_recoveries: number;
  /** Milliseconds spent in them. */
  tcpi_total_rto_time: number;
}

/** How many there are of what a net holds for TCP: all 0 when everything is closed. */
export interface TcpCounts {
  /** Connections in any state but TIME-WAIT. */
  established: number;
  /** In TIME-WAIT. */
  timeWait: number;
  /** Closed by the user, not yet by the protocol. */
  orphans: number;
  /** Requests in SYN queues. */
  requests: number;
  /** Listeners. */
  listeners: number;
  /** Ports bound. */
  bound: number;
  /** Bytes of buffers charged to TCP. */
  memory: number;
}

/** One connection, listener, request or TIME-WAIT record. Addresses int32. Linux: struct inet_diag_msg. */
export interface TcpDiag {
  /** TCP_*; a request is {@linkcode TCP_SYN_RECV}. */
  readonly state: number;
  /** Local address; 0: any. */
  readonly saddr: number;
  /** Local port. */
  readonly sport: number;
  /** Peer; 0: none. */
  readonly daddr: number;
  /** Peer's port. */
  readonly dport: number;
  /** Bytes that wait for the reader; of a listener the connections that wait. */
  readonly rqueue: number;
  /** Bytes that the peer has not acknowledged; of a listener its backlog. */
  readonly wqueue: number;
  /** The socket, null: a request or a TIME-WAIT record. */
  readonly sk: Sock | null;
}

/** The listener for a segment from `saddr:sport` to `daddr:dport` on device `dif`, addresses int32; null: none. */
export type TcpSkLookup = (saddr: number, sport: number, daddr: number, dport: number, dif: number) => Sock | null;

/** TCP. */
export interface Tcp {
  /** TCP_INFO of a socket. Linux: tcp_get_info(). */
  info(sk: Sock): TcpInfo;
  /** The socket that a segment is for; null: none. Linux: __inet_lookup(). */
  lookup(saddr: number, sport: number, daddr: number, dport: number, dif: number): Sock | null;
  /**
   * Sets who is asked for a listener when none is bound to the address and port of a segment; null: nobody. One that is
   * taken is a TypeError. Linux: BPF_PROG_TYPE_SK_LOOKUP, which is asked before the listeners are.
   */
  setSkLookup(lookup: TcpSkLookup | null): void;
  /** What is held now. */
  counts(): TcpCounts;
  /** Listeners first, then connections, requests and TIME-WAIT by ports. Linux: tcp_diag_dump(), what `ss` asks. */
  diag(): TcpDiag[];
  /** Names of the congestion controls, the default first. Linux: net.ipv4.tcp_available_congestion_control. */
  congestionControls(): string[];
  /** See {@linkcode tcpRegisterCongestionControl}. */
  registerCongestionControl(ops: TcpCongestionInit): () => void;
  /** SIOCINQ, SIOCOUTQ, SIOCOUTQNSD: bytes; SIOCATMARK: 0 or 1; or a negative errno. Linux: tcp_ioctl(). */
  ioctl(sk: Sock, request: number): number;
  /** Forgets what was learnt of servers: Fast Open's cookies. Linux: `ip tcp_metrics flush all`. */
  flushMetrics(): void;
  /** The congestion control of new connections; false: no such one. Linux: net.ipv4.tcp_congestion_control. */
  setDefaultCongestionControl(name: string): boolean;
}

/** Its token. */
export const TCP: Token<Tcp> = { name: "netpath:tcp" };

/**
 * Registers a congestion control; what it does not define is Reno's. Connections choose it by TCP_CONGESTION; the same
 * name registered again takes its place in connections that live. Linux: tcp_register_congestion_control().
 */
export function tcpRegisterCongestionControl(net: Net, ops: TcpCongestionInit): Disposable {
  return net.registration(() => net.get(TCP).registerCongestionControl(ops));
}
