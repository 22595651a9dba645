/**
 * TCP's state: one {@linkcode TcpState} per net, one {@linkcode TcpSock} per connection. Only data; the functions that
 * change it are in the files named after what they do. Linux: struct tcp_sock, struct inet_connection_sock.
 *
 * Units: sequence numbers are int32 and compared by difference; `…Us` and `…Mstamp` are microseconds, int32; times in
 * jiffies are milliseconds, int32; windows in bytes; cwnd and its kin in packets.
 */
import { type HrTimer, type Machine, type Net, type SkBuff, Timer } from "../../../core/mod.ts";
import type { Sock } from "../sock/contract.ts";
import type { TcpCa } from "./cong.ts";
import { TCP_CA_OPEN, type TcpCongestionSock } from "./contract.ts";
import type { TcpFastopenSock } from "./fastopen_sock.ts";
import type { EhashNode } from "./table.ts";
import type { TcpRequestSock } from "./request.ts";
import type { SkbRing } from "./skb_ring.ts";
import type { SkbTiers } from "./skb_tiers.ts";
import { TcpSockBase } from "./tcp_sock_base.ts";
import type { TcpState } from "./tcp_state.ts";
import type { TcpTxNote } from "./tx_status.ts";

// ---- the control block: words of skb.cb claimed as "tcp"; `st.cb` is the first. Linux: struct tcp_skb_cb.

/** Words that TCP claims. */
export const TCP_CB_WORDS = 8;
/** First sequence number. */
export const CB_SEQ = 0;
/** Sequence number behind the last byte; SYN and FIN count as one each. */
export const CB_END_SEQ = 1;
/** Receive: the acknowledgement number. Send: when it was sent last, `tcpMstamp` (0: never). */
export const CB_ACK = 2;
/** Send: see {@linkcode CB_ACK}. */
export const CB_MSTAMP = 2;
/** TCP flags (bits 0 to 8, TCPHDR_*), TCPCB_* of `sacked` (bits 16 to 23), CB_F_* above. */
export const CB_FLAGS = 3;
/** Send: `delivered` when it was sent. */
export const CB_DELIVERED = 4;
/** Send: `deliveredMstamp` when it was sent. */
export const CB_DELIVERED_MSTAMP = 5;
/** Send: `firstTxMstamp` when it was sent. Receive: bytes of it that were read by a peek offset. */
export const CB_FIRST_TX_MSTAMP = 6;
/** Send: segments that it counts for (1 without GSO). Linux: tcp_gso_segs. */
export const CB_PCOUNT = 7;

/** Flags of the header. */
export const TCPHDR_FIN = 0x01;
/** See RFC 9293 section 3.1. */
export const TCPHDR_SYN = 0x02;
/** See RFC 9293 section 3.1. */
export const TCPHDR_RST = 0x04;
/** See RFC 9293 section 3.1. */
export const TCPHDR_PSH = 0x08;
/** See RFC 9293 section 3.1. */
export const TCPHDR_ACK = 0x10;
/** See RFC 9293 section 3.1. */
export const TCPHDR_URG = 0x20;
/** See RFC 3168. */
export const TCPHDR_ECE = 0x40;
/** See RFC 3168. */
export const TCPHDR_CWR = 0x80;
/** See RFC 9768; reserved otherwise. */
export const TCPHDR_AE = 0x100;

/** `sacked`: the peer has it. Bits of {@linkcode CB_FLAGS} from 16 on. Linux: TCPCB_SACKED_ACKED. */
export const TCPCB_SACKED_ACKED = 1 << 16;
/** Retransmitted and in flight. */
export const TCPCB_SACKED_RETRANS = 2 << 16;
/** Believed lost. */
export const TCPCB_LOST = 4 << 16;
/** Any of the three. */
export const TCPCB_TAGBITS = 7 << 16;
/** Was retransmitted at some time. */
export const TCPCB_EVER_RETRANS = 0x80 << 16;
/** Is or was retransmitted. */
export const TCPCB_RETRANS = TCPCB_SACKED_RETRANS | TCPCB_EVER_RETRANS;
/** CB_FLAGS: MSG_EOR ends a record here, nothing is appended. */
export const CB_F_EOR = 1 << 24;
/** CB_FLAGS: was sent while the application limited the rate. */
export const CB_F_APP_LIMITED = 1 << 25;
/** CB_FLAGS, receive: the segment has a timestamp option. */
export const CB_F_HAS_RXTSTAMP = 1 << 26;
/** CB_FLAGS, send: has bytes of a message with MSG_ZEROCOPY, which are not moved to another segment. Linux: skb_zcopy(). */
export const CB_F_ZEROCOPY = 1 << 27;
/** CB_FLAGS, receive: two bits of the IP header's ECN field, at 28 and 29. */
export const CB_F_ECN_SHIFT = 28;

/** icskPending: nothing. Linux: ICSK_TIME_*. */
export const ICSK_TIME_NONE = 0;
/** icskPending: the retransmission timer. */
export const ICSK_TIME_RETRANS = 1;
/** icskPending: the zero-window probe timer. */
export const ICSK_TIME_PROBE0 = 3;
/** icskPending: the tail loss probe. */
export const ICSK_TIME_LOSS_PROBE = 5;
/** icskPending: RACK's reordering timer. */
export const ICSK_TIME_REO_TIMEOUT = 6;

/** ackPending bits: an ACK is scheduled. Linux: ICSK_ACK_*. */
export const ICSK_ACK_SCHED = 1;
/** ackPending: its timer runs. */
export const ICSK_ACK_TIMER = 2;
/** ackPending: a segment was pushed. */
export const ICSK_ACK_PUSHED = 4;
/** ackPending: a second one was pushed. */
export const ICSK_ACK_PUSHED2 = 8;
/** ackPending: the next ACK goes at once. */
export const ICSK_ACK_NOW = 16;
/** ackPending: there was no memory for what came: the window is closed. */
export const ICSK_ACK_NOMEM = 32;

/** `kind` of an entry in the table of connections: a socket, see {@linkcode TcpSock}. */
export const TCP_KIND_SOCK = 0;
/** `kind`: a request. */
export const TCP_KIND_REQUEST = 1;
/** `kind`: a TIME-WAIT record. */
export const TCP_KIND_TIMEWAIT = 2;

/** chronoType: nothing is outstanding. Linux: enum tcp_chrono. */
export const TCP_CHRONO_UNSPEC = 0;
/** chronoType: data is outstanding. */
export const TCP_CHRONO_BUSY = 1;
/** chronoType: the peer's window is full. */
export const TCP_CHRONO_RWND_LIMITED = 2;
/** chronoType: the send buffer is full. */
export const TCP_CHRONO_SNDBUF_LIMITED = 3;

/** ssState: neither connected nor listening. Linux: SS_*, include/uapi/linux/net.h. */
export const SS_UNCONNECTED = 1;
/** ssState: connect() was called. */
export const SS_CONNECTING = 2;
/** ssState: connect() has told its success, or accept() gave it. */
export const SS_CONNECTED = 3;
/** ssState: shut down before it was connected. */
export const SS_DISCONNECTING = 4;

/** tcpTimewaitStateProcess(): it is done with, drop the segment. Linux: enum tcp_tw_status. */
export const TCP_TW_SUCCESS = 0;
/** tcpTimewaitStateProcess(): answer with a RST, and end the record. */
export const TCP_TW_RST = 1;
/** tcpTimewaitStateProcess(): answer with an ACK. */
export const TCP_TW_ACK = 2;
/** tcpTimewaitStateProcess(): end the record and give the SYN to the listener; `st.twIsn` is set. */
export const TCP_TW_SYN = 3;

/** urgData: the byte is there. Linux: TCP_URG_*, include/net/tcp.h. */
export const TCP_URG_VALID = 0x0100;
/** urgData: it was announced. */
export const TCP_URG_NOTYET = 0x0200;
/** urgData: it was read. */
export const TCP_URG_READ = 0x0400;

/** HZ is 1000: a jiffy is a millisecond. Shortest RTO. */
export const TCP_RTO_MIN = 200;
/** Longest RTO. */
export const TCP_RTO_MAX = 120_000;
/** RTO before there is a sample. RFC 6298 section 2. */
export const TCP_TIMEOUT_INIT = 1000;
/** RTO after SYN retransmissions without a sample. */
export const TCP_TIMEOUT_FALLBACK = 3000;
/** Shortest delay of an ACK. */
export const TCP_DELACK_MIN = 40;
/** Longest. */
export const TCP_DELACK_MAX = 200;
/** Shortest estimate of the ACK timeout. */
export const TCP_ATO_MIN = 40;
/** Length of TIME-WAIT. */
export const TCP_TIMEWAIT_LEN = 60_000;
/** Default MSS of a peer that gives none. RFC 9293 section 3.7.1. */
export const TCP_MSS_DEFAULT = 536;
/** Smallest MSS that is taken from a peer. */
export const TCP_MIN_MSS = 88;
/** Initial window, packets. RFC 6928. */
export const TCP_INIT_CWND = 10;
/** "No threshold yet". */
export const TCP_INFINITE_SSTHRESH = 0x7fffffff;
/** Largest window without scaling that is offered. */
export const MAX_TCP_WINDOW = 32767;
/** Largest shift. RFC 7323 section 2.3. */
export const TCP_MAX_WSCALE = 14;
/** Duplicate ACKs that mean a loss. */
export const TCP_FASTRETRANS_THRESH = 3;
/** Quick ACKs at the start. */
export const TCP_MAX_QUICKACKS = 16;
/** Days before a timestamp is too old for PAWS, seconds. */
export const TCP_PAWS_24DAYS = 24 * 24 * 3600;
/** Milliseconds that a timestamp may be behind TS.Recent. Linux: TCP_PAWS_WINDOW. */
export const TCP_PAWS_WINDOW = 1;
/** Seconds after which TS.Recent says nothing: half of the range of a clock in microseconds. Linux: TCP_PAWS_WRAP. */
export const TCP_PAWS_WRAP = 2147;
/** Seconds in which an old RST may be about. Linux: TCP_PAWS_MSL. */
export const TCP_PAWS_MSL = 60;
/** SACK blocks that are kept. Linux: TCP_NUM_SACKS. */
export const TCP_NUM_SACKS = 4;

/** ecnFlags: negotiated. */
export const TCP_ECN_OK = 1;
/** ecnFlags: the next new segment carries CWR. */
export const TCP_ECN_QUEUE_CWR = 2;
/** ecnFlags: our ACKs carry ECE. */
export const TCP_ECN_DEMAND_CWR = 4;
/** ecnFlags: a mark was seen. */
export const TCP_ECN_SEEN = 8;

/** Settings that few sockets change: one record per net is shared until `optOf()` makes an own copy. */
export interface TcpSettings {
  /** Jiffies of idleness before keepalive probes. */
  keepaliveTime: number;
  /** Jiffies between them. */
  keepaliveIntvl: number;
  /** How many. */
  keepaliveProbes: number;
  /** SYN retransmissions. */
  synRetries: number;
  /** TCP_SYNCNT for SYN-ACKs of a listener; 0: the sysctl. */
  synackRetries: number;
  /** Jiffies of an orphaned FIN-WAIT-2; -1: none at all. */
  linger2: number;
  /** TCP_DEFER_ACCEPT as retransmissions. */
  deferAccept: number;
  /** TCP_USER_TIMEOUT, jiffies; 0: none. */
  userTimeout: number;
  /** TCP_MAXSEG. */
  userMss: number;
  /** TCP_NOTSENT_LOWAT; 0: the sysctl. */
  notsentLowat: number;
  /** Longest RTO, jiffies. */
  rtoMax: number;
  /** TCP_INQ. */
  inq: boolean;
  /** TCP_THIN_LINEAR_TIMEOUTS. */
  thinLto: boolean;
  /** TCP_WINDOW_CLAMP of the user; 0: none. */
  windowClamp: number;
}

/** Probing for a larger path MTU. RFC 4821; Linux: icsk_mtup, struct tcp_sock's mtu_probe. */
export interface TcpMtup {
  /** It is done. */
  enabled: boolean;
  /** Largest MTU that may be possible. */
  searchHigh: number;
  /** Largest that is known to be. */
  searchLow: number;
  /** Packet size of the probe in flight; 0: none. */
  probeSize: number;
  /** When the search ended, jiffies. */
  probeTimestamp: number;
  /** The probe's first byte. */
  seqStart: number;
  /** Behind its last. */
  seqEnd: number;
}

/** Sending spread over time. Linux: sk_pacing_*, tcp_wstamp_ns. */
export interface TcpPacing {
  /** Earliest time of the next segment, ns of the machine's clock. */
  wstampNs: number;
  /** When a late timer was made up for, ns: what is sent at that very time goes as if it had been on time. */
  lateAt: number;
  /** Goes on then. */
  readonly timer: HrTimer;
}

/** One connection, or a listener. Linux: struct tcp_sock. */
export class TcpSock extends TcpSockBase implements TcpCongestionSock {
  /** Tells entries of the table apart. */
  readonly kind = TCP_KIND_SOCK;
  /** The socket. */
  declare readonly sk: Sock;
  /** Its net's TCP. */
  declare readonly st: TcpState;
  /** Place in the table of connections or of listeners; null: in neither. */
  ehash: EhashNode | null = null;
  /** Place in the table of bound ports; null: not bound. */
  bind: EhashNode | null = null;
  /** Settings, shared until changed. */
  declare opt: TcpSettings;
  /** Congestion control. */
  declare icskCaOps: TcpCa;
  /** Its state. */
  icskCaPriv: unknown = null;

  // ---- receive
  /** Next byte expected. */
  rcvNxt = 0;
  /** First byte not yet copied to the user. */
  copiedSeq = 0;
  /** rcvNxt when the window was sent last. */
  rcvWup = 0;
  /** Window offered last, bytes. */
  rcvWnd = 0;
  /** Bound of the window that grows with what the peer sends. */
  rcvSsthresh = 0;
  /** Upper bound of the window. */
  windowClamp = 0;
  /** Payload share of receive memory, of 256. */
  scalingRatio = 128;
  /** MSS that we told. */
  advmss = TCP_MSS_DEFAULT;
  /** Out-of-order segments in sequence order; null: none yet. */
  ofo: SkbTiers | null = null;
  /** Bits ICSK_ACK_*. */
  ackPending = 0;
  /** Quick ACKs left. */
  ackQuick = 0;
  /** Interactive session counter: ACKs wait for data. */
  ackPingpong = 0;
  /** Estimate of the ACK timeout, jiffies. */
  ackAto = 0;
  /** When the delayed ACK is due. */
  ackTimeout = 0;
  /** When data came last, jiffies. */
  ackLrcvtime = 0;
  /** Size of the last segment. */
  ackLastSegSize = 0;
  /** Estimate of the peer's MSS. */
  ackRcvMss = 0;
  /** Estimate of the round trip as receiver, microseconds times 8. */
  rcvRttUs = 0;
  /** End of the window that is measured. */
  rcvRttSeq = 0;
  /** When that began. */
  rcvRttTime = 0;
  /** Echo of the last sample of that. */
  rcvRttLastTsecr = 0;
  /** Bytes that the reader takes per round trip. */
  rcvqSpace = 0;
  /** Where that began. */
  rcvqSeq = 0;
  /** When. */
  rcvqTime = 0;

  // ---- the options of the peer
  /** tsRecent was set at, seconds. */
  tsRecentStamp = 0;
  /** TS.Recent. RFC 7323 section 4. */
  tsRecent = 0;
  /** Its value. */
  rcvTsval = 0;
  /** Its echo. */
  rcvTsecr = 0;
  /** Shift of the peer's windows. */
  sndWscale = 0;
  /** Shift of ours. */
  rcvWscale = 0;
  /** Bound of the MSS that the peer gave. */
  mssClamp = TCP_MSS_DEFAULT;
  /** Added to our clock for timestamps. */
  tsoffset = 0;

  // ---- send
  /** First unacknowledged byte. */
  sndUna = 0;
  /** Next byte to send. */
  sndNxt = 0;
  /** Last byte of the last small segment. */
  sndSml = 0;
  /** Behind the last byte that the user wrote. */
  writeSeq = 0;
  /** Last byte that was pushed. */
  pushedSeq = 0;
  /** Segment that set the window. */
  sndWl1 = 0;
  /** The peer's window. */
  sndWnd = 0;
  /** Largest that it ever was. */
  maxWindow = 0;
  /** Bytes of a full segment, options taken off. */
  mssCache = TCP_MSS_DEFAULT;
  /** Path MTU that mssCache was made for. */
  pmtuCookie = 0;
  /** Bytes of header that each segment has: 20 and timestamps. */
  tcpHeaderLen = 20;
  /** Header prediction: third word of the header expected, 0: never. */
  predFlags = 0;
  /** TCP_NAGLE_*. */
  nonagle = 0;
  /** Last of the write queue: [writeHead ...writeTail] linked by next are not sent. */
  writeHead: SkBuff | null = null;
  /** See {@linkcode writeHead}. */
  writeTail: SkBuff | null = null;
  /** Sent and not acknowledged, in sequence order; null: nothing was ever sent. Linux: tcp_rtx_queue. */
  rtx: SkbRing | null = null;
  /** truesize of both queues. */
  wmemQueued = 0;
  /** Memory reserved from the net's. */
  forwardAlloc = 0;
  /** Fast Open: what few sockets have of it; null: nothing. */
  fo: TcpFastopenSock | null = null;
  /** Fast Open: the request of a socket before its handshake is complete; null: it is. Linux: fastopen_rsk. */
  fastopenRsk: TcpRequestSock | null = null;
  /** What the writer is to hear of its bytes, in their order; null: nothing. See tx_status.ts. */
  txNotes: TcpTxNote[] | null = null;
  /** Urgent pointer that we send. */
  sndUp = 0;
  /** Segments in flight. */
  packetsOut = 0;
  /** Retransmitted and in flight. */
  retransOut = 0;
  /** SACKed. */
  sackedOut = 0;
  /** Believed lost. */
  lostOut = 0;
  /** packetsOut at its largest in this window. */
  maxPacketsOut = 0;
  /** End of that window. */
  cwndUsageSeq = 0;
  /** When data was sent last, jiffies. */
  lsndtime = 0;
  /** The clock, microseconds int32: refreshed on entry. Linux: tcp_mstamp_refresh(). */
  tcpMstamp = 0;
  /** When anything was received, jiffies. */
  rcvTstamp = 0;

  // ---- congestion and recovery
  /** See {@linkcode TcpCongestionSock}. */
  sndCwnd = TCP_INIT_CWND;
  /** See {@linkcode TcpCongestionSock}. */
  sndCwndCnt = 0;
  /** See {@linkcode TcpCongestionSock}. */
  sndCwndClamp = 0x7fffffff;
  /** See {@linkcode TcpCongestionSock}. */
  sndSsthresh = TCP_INFINITE_SSTHRESH;
  /** Window that was really used. */
  sndCwndUsed = 0;
  /** When that was noted, jiffies. */
  sndCwndStamp = 0;
  /** TCP_CA_*. */
  icskCaState = TCP_CA_OPEN;
  /** sndNxt at the onset of congestion. */
  highSeq = 0;
  /** When the first retransmission was sent, timestamp ms int32; 0: none. */
  retransStamp = 0;
  /** Degree of reordering, packets. */
  reordering = TCP_FASTRETRANS_THRESH;
  /** End of the highest SACKed segment. */
  highestSack = 0;
  /** RACK: newest delivered segment was sent at, mstamp. RFC 8985. */
  rackMstamp = 0;
  /** Its round trip. */
  rackRttUs = 0;
  /** Its end. */
  rackEndSeq = 0;
  /** RACK: what was sent once only and begins before this was judged already. */
  rackScanSeq = 0;
  /** RACK: begin of the lowest segment that was sent more than once. */
  rackRetransStart = 0;
  /** RACK: end of the highest one. */
  rackRetransEnd = 0;
  /** RACK: those were sent again in order of their sequence numbers. */
  rackRetransSorted = false;
  /** See {@linkcode TcpCongestionSock}. */
  delivered = 0;
  /** Delivered at which the application limit ends; 0: not limited. */
  appLimited = 0;
  /** Start of the send phase of the rate sample. */
  firstTxMstamp = 0;
  /** When `delivered` changed last. */
  deliveredMstamp = 0;
  /** The last good sample: packets. */
  rateDelivered = 0;
  /** Microseconds. */
  rateIntervalUs = 0;
  /** See {@linkcode TcpCongestionSock}. */
  pacingRate = 0;
  /** What the window allows in bytes per second, whether or not it is paced. Linux: sk_pacing_rate. */
  skPacingRate = 0;
  /** TCP_ECN_*. */
  ecnFlags = 0;

  // ---- round trip and timers
  /** Smoothed round trip, microseconds times 8. */
  srttUs = 0;
  /** Mean deviation. */
  mdevUs = 0;
  /** Its largest in this window. */
  mdevMaxUs = 0;
  /** Smoothed. */
  rttvarUs = 0;
  /** End of that window. */
  rttSeq = 0;
  /** Least round trip in a while, microseconds; -1: none. */
  rttMinUs = -1;
  /** When, jiffies. */
  rttMinStamp = 0;
  /** Second choice, for when the least is too old. Linux: struct minmax. */
  rttMin2Us = -1;
  /** When, jiffies. */
  rttMin2Stamp = 0;
  /** Third choice. */
  rttMin3Us = -1;
  /** When, jiffies. */
  rttMin3Stamp = 0;
  /** RTO, jiffies. */
  icskRto = TCP_TIMEOUT_INIT;
  /** ICSK_TIME_*. */
  icskPending = 0;
  /** When it is due, jiffies. */
  icskTimeout = 0;
  /** Retransmission, probes, TLP, RACK. */
  declare readonly retransmitTimer: Timer;
  /** Delayed ACK; null until needed. */
  delackTimer: Timer | null = null;
  /** Keepalive, and the end of FIN-WAIT-2; null until needed. */
  keepaliveTimer: Timer | null = null;

  // ---- counts for TCP_INFO
  /** Segments received. */
  segsIn = 0;
  /** With data. */
  dataSegsIn = 0;
  /** Segments sent. */
  segsOut = 0;
  /** With data. */
  dataSegsOut = 0;
  /** Bytes received in order. */
  bytesReceived = 0;
  /** Bytes acknowledged. */
  bytesAcked = 0;
  /** Bytes sent. */
  bytesSent = 0;

  // ---- output
  /** TCP_CHRONO_*: what is being timed. */
  chronoType = 0;
  /** Since when, jiffies. */
  chronoStart = 0;
  /** Jiffies with data outstanding and nothing in the way. */
  chronoBusy = 0;

  // ---- listeners
  /** A child of this listener: where it came from; null otherwise. */
  listener: TcpSock | null = null;
  /** What connect() and listen() say of it: SS_*. Linux: sock->state. */
  ssState = SS_UNCONNECTED;

  /** A closed socket with the net's settings; `onRetransmit` is the handler of its timer. */
  constructor(
    st: TcpState,
    sk: Sock,
    ca: TcpCa,
    onRetransmit: (timer: Timer) => void,
  ) {
    super();
    this.st = st;
    this.sk = sk;
    this.opt = st.settings;
    this.icskCaOps = ca;
    this.retransmitTimer = new Timer(onRetransmit, false, this);
  }
}

/** TCP's part of a socket. */
export function tcpSk(sk: Sock): TcpSock {
  return sk.proto as TcpSock;
}

/** Own settings for this socket: call before the first change. */
export function optOf(tp: TcpSock): TcpSettings {
  if (tp.opt === tp.st.settings) tp.opt = { ...tp.st.settings };
  return tp.opt;
}

/** `a` is before `b`. Linux: before(). */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** `a` is after `b`. Linux: after(). */
export function after(a: number, b: number): boolean {
  return ((b - a) | 0) < 0;
}

/** low <= seq <= high. Linux: between(). */
export function between(seq: number, low: number, high: number): boolean {
  return ((high - low) >>> 0) >= ((seq - low) >>> 0);
}

/** Microseconds of the machine's clock, int32. */
export function tcpClockUs(machine: Machine): number {
  return machine.us;
}

/** Refreshes the connection's clock; never backwards, and never 0, which means "never". Linux: tcp_mstamp_refresh(). */
export function tcpMstampRefresh(tp: TcpSock): void {
  tp.tcpMstamp = tp.st.machine.us || 1;
}

/** Our timestamp in ms, without the connection's offset. Linux: tcp_time_stamp_ms(). */
export function tcpTimeStampMs(machine: Machine): number {
  return machine.jiffies;
}

/** Not yet sent or lost: what is in the network. Linux: tcp_packets_in_flight(). */
export function tcpPacketsInFlight(tp: TcpSock): number {
  return tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut;
}

/** Net of a connection, for drops. */
export function tcpNet(tp: TcpSock): Net {
  return tp.st.net;
}

/** Header prediction for segments that change nothing but the sequence. Linux: __tcp_fast_path_on(). */
export function tcpFastPathOn(tp: TcpSock): void {
  tp.predFlags = (tp.tcpHeaderLen << 26) | (TCPHDR_ACK << 16) | (tp.sndWnd >>> tp.sndWscale);
}

/** Header prediction, where nothing waits that needs the long way. Linux: tcp_fast_path_check(). */
export function tcpFastPathCheck(tp: TcpSock): void {
  if (tp.ofo !== null && tp.ofo.length !== 0) return;
  if (tp.rcvWnd !== 0 && tp.sk.rmemAlloc < tp.sk.rcvbuf && tp.urgData === 0) tcpFastPathOn(tp);
}

/** Seconds of the machine's clock. Linux: ktime_get_seconds(). */
export function tcpSeconds(machine: Machine): number {
  return machine.seconds;
}
