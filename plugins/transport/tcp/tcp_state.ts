/**
 * TCP of one net: tables, tunables, counters, memory. Linux: struct netns_ipv4, struct proto tcp_prot.
 */
import {
  type CopyLedger,
  type EventBus,
  G_SOCK,
  type Machine,
  type Napi,
  type Net,
  type SkbPool,
  type Slab,
  type TracepointDef,
} from "../../../core/mod.ts";
import { INET, type Inet, type SnmpMib } from "../../network/inet/contract.ts";
import { FIB, type Fib } from "../../network/fib/contract.ts";
import { IPV4, type Ipv4 } from "../../network/ipv4/contract.ts";
import { NEIGH, type NeighTable } from "../../network/neigh/contract.ts";
import { SOCK, type SockTable } from "../sock/contract.ts";
import { TcpAckState } from "./ack_state.ts";
import type { TcpCa } from "./cong.ts";
import { TcpFastopenNet } from "./fastopen_sock.ts";
import { TcpOptionsReceived } from "./options.ts";
import { reno } from "./reno.ts";
import { TcpMetricsCache } from "./route_metrics.ts";
import { TcpKeys } from "./secure_seq.ts";
import type { TcpRequestSock } from "./request.ts";
import { TcpTables } from "./table.ts";
import type { InitialWindow } from "./window.ts";
import type { TcpTimewaitSock } from "./timewait.ts";
import { TCP_CB_WORDS, type TcpSettings, type TcpSock } from "./tcp_sock.ts";

/** Why TCP drops, as numbers for `net.drop()`. Linux: SKB_DROP_REASON_TCP_*. */
export type TcpReasons = ReturnType<typeof tcpReasons>;

function tcpReasons(machine: Machine) {
  const add = (name: string, text: string, advice: string): number =>
    machine.reasons.register({ name, layer: "tcp", text, advice });
  return {
    TCP_FLAGS: add("TCP_FLAGS", "The flags make no sense in this state.", "A scan, or a broken sender."),
    TCP_ZEROWINDOW: add("TCP_ZEROWINDOW", "Data came although the window is closed.", "Read faster; the peer probes."),
    TCP_OLD_DATA: add("TCP_OLD_DATA", "All of its data was received before.", "A retransmission that was not needed."),
    TCP_OVERWINDOW: add("TCP_OVERWINDOW", "Its data is beyond the window.", "A broken or hostile sender."),
    TCP_OFOMERGE: add("TCP_OFOMERGE", "Its data is queued out of order already.", "A retransmission."),
    TCP_RFC7323_TSECR: add("TCP_RFC7323_TSECR", "It echoes a timestamp that was not sent.", "A forged segment."),
    TCP_RFC7323_PAWS: add("TCP_RFC7323_PAWS", "Its timestamp is too old.", "An old duplicate."),
    TCP_RFC7323_PAWS_ACK: add("TCP_RFC7323_PAWS_ACK", "An old ACK with an old timestamp.", "An old duplicate."),
    TCP_OLD_SEQUENCE: add("TCP_OLD_SEQUENCE", "It ends before the window.", "An old duplicate."),
    TCP_INVALID_SEQUENCE: add("TCP_INVALID_SEQUENCE", "It is outside the window.", "A stray or forged segment."),
    TCP_INVALID_END_SEQUENCE: add(
      "TCP_INVALID_END_SEQUENCE",
      "It ends beyond the window, and unread data waits.",
      "A sender that ignores the window.",
    ),
    TCP_INVALID_ACK_SEQUENCE: add("TCP_INVALID_ACK_SEQUENCE", "It does not acknowledge our SYN.", "A stray segment."),
    TCP_RESET: add("TCP_RESET", "A valid RST: the connection ended.", "Ask the peer why."),
    TCP_INVALID_SYN: add("TCP_INVALID_SYN", "A SYN inside a connection.", "A forged or an old segment."),
    TCP_CLOSE: add("TCP_CLOSE", "The socket is closed.", "Harmless."),
    TCP_OLD_ACK: add("TCP_OLD_ACK", "It acknowledges what was acknowledged before.", "A duplicate."),
    TCP_TOO_OLD_ACK: add("TCP_TOO_OLD_ACK", "Its ACK is older than any window was.", "A forged segment."),
    TCP_ACK_UNSENT_DATA: add("TCP_ACK_UNSENT_DATA", "It acknowledges what was not sent.", "A forged segment."),
    TCP_OFO_QUEUE_PRUNE: add("TCP_OFO_QUEUE_PRUNE", "Out of order, and memory is short.", "net.ipv4.tcp_rmem."),
    TCP_OFO_DROP: add("TCP_OFO_DROP", "Out of order, and there is no memory for it.", "net.ipv4.tcp_rmem."),
    TCP_ABORT_ON_DATA: add("TCP_ABORT_ON_DATA", "Data for a socket that nobody reads.", "The application closed."),
    TCP_LISTEN_OVERFLOW: add(
      "TCP_LISTEN_OVERFLOW",
      "The accept queue is full.",
      "A larger backlog; net.core.somaxconn.",
    ),
    TCP_REQQ_FULL: add("TCP_REQQ_FULL", "The SYN queue is full.", "SYN cookies; a larger backlog."),
    TCP_AUTH_HDR: add("TCP_AUTH_HDR", "Its signature option is malformed.", "Look at the sender."),
    TCP_MD5UNEXPECTED: add("TCP_MD5UNEXPECTED", "It is signed, and no key is set.", "Look at the sender."),
  };
}

/** Ids of TCP's tracepoints. */
export interface TcpTracepoints {
  /** A segment enters from IP; `a` = bytes. */
  readonly tcpV4Rcv: number;
  /** Its socket is found; `a` = seq, `b` = flags, obj = Sock. */
  readonly tcpRcv: number;
  /** sendmsg() enters; `a` = bytes, obj = Sock. */
  readonly tcpSendmsg: number;
  /** Bytes were copied into the write queue; `a` = bytes, `b` = seq, obj = Sock. */
  readonly tcpSendmsgCopy: number;
  /** A clone leaves for IP, the original stays; `a` = seq, `b` = flags, obj = Sock. */
  readonly tcpTransmitSkb: number;
  /** A segment goes again; `a` = seq, `b` = bytes, obj = Sock. */
  readonly tcpRetransmitSkb: number;
  /** The ACK frees an original; `a` = seq, `b` = bytes, obj = Sock. */
  readonly tcpCleanRtxQueue: number;
  /** An ACK was taken; `a` = ack, `b` = packets in flight, obj = Sock. */
  readonly tcpAck: number;
  /** In order, into the receive queue; `a` = bytes, `b` = rcvNxt, obj = Sock. */
  readonly tcpQueueRcv: number;
  /** Out of order; `a` = seq, `b` = endSeq, obj = Sock. */
  readonly tcpDataQueueOfo: number;
  /** The reader copied; `a` = bytes, obj = Sock. */
  readonly tcpRecvmsg: number;
  /** The state changes; `a` = old, `b` = new, obj = Sock. Linux: inet_sock_set_state. */
  readonly setState: number;
  /** A RST leaves; obj = Sock or null. */
  readonly tcpSendReset: number;
  /** A RST came; obj = Sock. */
  readonly tcpReceiveReset: number;
  /** The reader is to be woken; `a` = rmemAlloc, obj = Sock. */
  readonly skDataReady: number;
  /** The congestion state changes; `a` = old, `b` = new, obj = Sock. */
  readonly congStateSet: number;
}

function tracepoints(bus: EventBus): TcpTracepoints {
  const define = (name: string, linux: string): number => {
    const def: TracepointDef = { name, linux, group: G_SOCK };
    return bus.define(def);
  };
  return {
    tcpV4Rcv: define("tcp:tcp_v4_rcv", "tcp_v4_rcv"),
    tcpRcv: define("tcp:tcp_v4_do_rcv", "tcp_v4_do_rcv"),
    tcpSendmsg: define("tcp:tcp_sendmsg", "tcp_sendmsg"),
    tcpSendmsgCopy: define("tcp:tcp_sendmsg_copy", "tcp_sendmsg_locked"),
    tcpTransmitSkb: define("tcp:tcp_transmit_skb", "__tcp_transmit_skb"),
    tcpRetransmitSkb: define("tcp:tcp_retransmit_skb", "__tcp_retransmit_skb"),
    tcpCleanRtxQueue: define("tcp:tcp_clean_rtx_queue", "tcp_clean_rtx_queue"),
    tcpAck: define("tcp:tcp_ack", "tcp_ack"),
    tcpQueueRcv: define("tcp:tcp_queue_rcv", "tcp_queue_rcv"),
    tcpDataQueueOfo: define("tcp:tcp_data_queue_ofo", "tcp_data_queue_ofo"),
    tcpRecvmsg: define("tcp:tcp_recvmsg", "tcp_recvmsg"),
    setState: define("sock:inet_sock_set_state", "inet_sk_state_store"),
    tcpSendReset: define("tcp:tcp_send_reset", "tcp_v4_send_reset"),
    tcpReceiveReset: define("tcp:tcp_receive_reset", "tcp_reset"),
    skDataReady: define("sock:sk_data_ready", "sock_def_readable"),
    congStateSet: define("tcp:tcp_cong_state_set", "tcp_set_ca_state"),
  };
}

/** Tunables, by the last part of Linux's name, in Linux's units and defaults (6.18). Written by `sysctl.ts`. */
export class TcpSysctl {
  abortOnOverflow = 0;
  advWinScale = 1;
  appWin = 31;
  autocorking = 1;
  baseMss = 1024;
  challengeAckLimit = 0x7fffffff;
  compSackDelayNs = 1_000_000;
  compSackNr = 44;
  compSackSlackNs = 100_000;
  dsack = 1;
  earlyRetrans = 3;
  ecn = 2;
  ecnFallback = 1;
  fastopen = 1;
  fastopenBlackholeTimeout = 0;
  finTimeout = 60_000;
  frto = 2;
  fwmarkAccept = 0;
  invalidRatelimit = 500;
  keepaliveIntvl = 75_000;
  keepaliveProbes = 9;
  keepaliveTime = 7_200_000;
  limitOutputBytes = 4_194_304;
  linearTimeouts = 4;
  maxOrphans = 131_072;
  maxReordering = 300;
  maxSynBacklog = 1024;
  maxTwBuckets = 131_072;
  mem: readonly number[] = [188_319, 251_092, 376_638];
  migrateReq = 0;
  minRttWlen = 300;
  minSndMss = 48;
  minTsoSegs = 2;
  moderateRcvbuf = 1;
  mtuProbing = 0;
  noMetricsSave = 0;
  noSsthreshMetricsSave = 1;
  notsentLowat = 0xffffffff;
  orphanRetries = 0;
  pacingCaRatio = 120;
  pacingSsRatio = 200;
  probeInterval = 600;
  probeThreshold = 8;
  recovery = 1;
  reflectTos = 0;
  reordering = 3;
  retransCollapse = 1;
  retries1 = 3;
  retries2 = 15;
  rfc1337 = 0;
  rmem: readonly number[] = [4096, 131_072, 33_554_432];
  rtoMax = 120_000;
  rtoMinUs = 200_000;
  sack = 1;
  shrinkWindow = 0;
  slowStartAfterIdle = 1;
  stdurg = 0;
  synRetries = 6;
  synackRetries = 5;
  syncookies = 1;
  thinLinearTimeouts = 0;
  timestamps = 1;
  tsoRttLog = 9;
  tsoWinDivisor = 3;
  twReuse = 2;
  twReuseDelay = 1000;
  windowScaling = 1;
  wmem: readonly number[] = [4096, 16_384, 4_194_304];
  workaroundSignedWindows = 0;
  /** net.core.somaxconn. */
  somaxconn = 4096;
  /** net.ipv4.ip_local_port_range. */
  portLow = 32_768;
  portHigh = 60_999;
  /** net.ipv4.ip_no_pmtu_disc. */
  noPmtuDisc = 0;
}

/** TCP of a net. */
export class TcpState {
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
  /** Neighbours: reachability is confirmed by progress. */
  declare readonly neigh: NeighTable;
  /** Sockets. */
  declare readonly socks: SockTable;
  /** First word of the control block, see tcp_sock.ts. */
  declare readonly cb: number;
  /** The ledger's site of the copy from the user. */
  declare readonly siteSendmsg: number;
  /** The ledger's site of the copy to the user. */
  declare readonly siteRecvmsg: number;
  /** The ledger's site of bytes merged when memory is short. Linux: tcp_collapse(). */
  declare readonly siteCollapse: number;
  /** Tracepoints. */
  declare readonly tp: TcpTracepoints;
  /** Drop reasons. */
  declare readonly reason: TcpReasons;
  /** Tunables. */
  readonly sysctl: TcpSysctl = new TcpSysctl();
  /** What sockets share until they change it. */
  declare readonly settings: TcpSettings;
  /** Options of the segment at hand: one record for all sockets. */
  readonly rxOpt: TcpOptionsReceived = new TcpOptionsReceived();
  /** What the ACK at hand tells: one record for all sockets. */
  readonly ackState: TcpAckState = new TcpAckState();
  /** Its SACK blocks in sequence order, [start, end] pairs. */
  readonly sackBlocks: Int32Array = new Int32Array(8);
  /** Secrets. */
  declare readonly keys: TcpKeys;
  /** What was learnt of peers. */
  readonly metrics: TcpMetricsCache = new TcpMetricsCache();
  /** Fast Open: its key, and the cookies of servers. */
  readonly fastopen: TcpFastopenNet = new TcpFastopenNet();
  /** Connections, requests, TIME-WAIT, listeners, ports. */
  declare readonly tables: TcpTables;
  /** Congestion controls by name; the records are overwritten in place when registered again. */
  readonly congestion: Map<string, TcpCa> = new Map();
  /** Records of names that nobody registers any more: connections may have them, and a swap brings the name back. */
  readonly congestionGone: Map<string, TcpCa> = new Map();
  /** What was registered by each name, the last one in force. */
  readonly congestionLayers: Map<string, TcpCa[]> = new Map();
  /** That of new connections. The net's own copy: it may be registered anew here, and not elsewhere. */
  defaultCongestion: TcpCa = { ...reno, self: reno };
  /** What was chosen as default: it becomes that again when it comes back. */
  congestionWanted: TcpCa = this.defaultCongestion;
  /** Bytes reserved by all sockets. Linux: tcp_memory_allocated, which counts pages. */
  memoryAllocated = 0;
  /** tcp_mem[1] was passed, and tcp_mem[0] not yet reached again. Linux: tcp_memory_pressure. */
  memoryPressure = false;
  /** When {@linkcode memoryPressure} began, jiffies. */
  pressureSince = 0;
  /** Sockets that live. Linux: tcp_sockets_allocated. */
  socketsAllocated = 0;
  /** Closed by their users. */
  orphans = 0;
  /** The sequence number that a SYN into TIME-WAIT makes ours start with; 0: none. Linux: tcp_tw_isn. */
  twIsn = 0;
  /** Page that sendmsg() fills, for all sockets; null: none. Linux: task_frag. */
  fragSlab: Slab | null = null;
  /** Its offset in the slab. */
  fragPage = 0;
  /** Its next free byte. */
  fragOffset = 0;
  /** Bytes there that sendmsg() copied already and no segment refers to yet. */
  fragAhead = 0;
  /** Requests and TIME-WAIT records that are not in use. */
  readonly spareRequests: TcpRequestSock[] = [];
  /** See {@linkcode spareRequests}. */
  readonly spareTimewaits: TcpTimewaitSock[] = [];
  /** Global challenge ACKs: second, and what is left of the budget. */
  challengeSecond = 0;
  /** See {@linkcode challengeSecond}. */
  challengeCount = 0;
  /** What tcpSelectInitialWindow() filled in last. */
  readonly initialWindow: InitialWindow = { rcvWnd: 0, windowClamp: 0, rcvWscale: 0 };
  /** Why tcpCheckReq() gave null. */
  checkReqReason = 0;

  /** Connections that were throttled and may go on, oldest first. Linux: struct tsq_tasklet. */
  tsqHead: TcpSock | null = null;
  /** The last of them. */
  tsqTail: TcpSock | null = null;
  /** Lets them go on in softirq; null until the first one was throttled. */
  tsqNapi: Napi | null = null;

  /** No sockets yet. */
  constructor(net: Net) {
    const machine = net.machine;
    this.net = net;
    this.machine = machine;
    this.skbs = machine.skbs;
    this.ledger = machine.ledger;
    this.bus = machine.bus;
    this.inet = net.get(INET);
    this.mib = this.inet.mib;
    this.fib = net.get(FIB);
    this.ipv4 = net.get(IPV4);
    this.neigh = net.get(NEIGH);
    this.socks = net.get(SOCK);
    this.cb = machine.claimCb("tcp", TCP_CB_WORDS);
    this.siteSendmsg = this.ledger.site("tcp_sendmsg", "cpu");
    this.siteRecvmsg = this.ledger.site("tcp_recvmsg", "cpu");
    this.siteCollapse = this.ledger.site("tcp_collapse", "cpu");
    this.tp = tracepoints(this.bus);
    this.reason = tcpReasons(machine);
    this.keys = new TcpKeys(machine.platform);
    this.tables = new TcpTables(machine.platform);
    const s = this.sysctl;
    this.settings = {
      keepaliveTime: s.keepaliveTime,
      keepaliveIntvl: s.keepaliveIntvl,
      keepaliveProbes: s.keepaliveProbes,
      synRetries: s.synRetries,
      synackRetries: 0,
      linger2: s.finTimeout,
      deferAccept: 0,
      userTimeout: 0,
      userMss: 0,
      notsentLowat: 0,
      rtoMax: s.rtoMax,
      inq: false,
      thinLto: false,
      windowClamp: 0,
    };
    this.congestion.set("reno", this.defaultCongestion);
  }
}
