/** What `ss -n` of iproute2 prints of the sockets of a net: TCP, UDP and raw ones. */
import type { Net } from "../../../../core/mod.ts";
import { ipToString } from "../../../network/inet/mod.ts";
import { SOCK, type Sock, SOCK_RAW } from "../../../transport/sock/mod.ts";
import {
  SOL_TCP,
  TCP,
  TCP_CLOSE,
  TCP_CONGESTION,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_NEW_SYN_RECV,
  TCP_SYN_RECV,
  TCP_TIME_WAIT,
  type TcpInfo,
} from "../../../transport/tcp/mod.ts";

/** What is asked for, as by the letters of `ss`. */
export interface SsOptions {
  /** `-a`: all states. */
  readonly all: boolean;
  /** `-l`: only those that listen, or have no peer. */
  readonly listening: boolean;
  /** `-i`: what TCP knows of a connection. */
  readonly info: boolean;
  /** `-t`, `-u`, `-w`: these families. */
  readonly families: readonly ("tcp" | "udp" | "raw")[];
}

const IPPROTO_UDP = 17;
const STATES = [
  "",
  "ESTAB",
  "SYN-SENT",
  "SYN-RECV",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "UNCONN",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
  "SYN-RECV",
];
/** States that `ss` leaves out unless it is asked. */
const QUIET = [TCP_LISTEN, TCP_CLOSE, TCP_TIME_WAIT, TCP_SYN_RECV, TCP_NEW_SYN_RECV];
const INFINITE_SSTHRESH = 0x7fffffff;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 255: "raw" };

interface Row {
  readonly netid: "tcp" | "udp" | "raw";
  readonly state: number;
  readonly rqueue: number;
  readonly wqueue: number;
  readonly local: readonly [address: string, port: string];
  readonly peer: readonly [address: string, port: string];
  /** For `-i`; null: there is none to ask. */
  readonly sk: Sock | null;
}

/** The lines. */
export function ss(net: Net, options: SsOptions): string[] {
  const rows = [...datagrams(net), ...streams(net)].filter((r) => options.families.includes(r.netid)).filter((r) => {
    if (options.all) return true;
    return options.listening ? r.state === TCP_LISTEN || r.state === TCP_CLOSE : !QUIET.includes(r.state);
  });
  const lines = table(rows, options.families.length > 1);
  if (!options.info) return lines;
  return lines.flatMap((line, i) => {
    const row = rows[i - 1];
    return row === undefined || row.netid !== "tcp" || row.sk === null ? [line] : [line, infoLine(net, row.sk)];
  });
}

function address(addr: number): string {
  return ipToString(addr);
}

function portText(port: number): string {
  return port === 0 ? "*" : String(port);
}

/** UDP before raw, in order of ports. */
function datagrams(net: Net): Row[] {
  const socks = net.find(SOCK)?.list() ?? [];
  const udp = socks.filter((sk) => sk.protocol === IPPROTO_UDP && sk.type !== SOCK_RAW && sk.sport !== 0);
  const raw = socks.filter((sk) => sk.type === SOCK_RAW);
  const row = (netid: "udp" | "raw", sk: Sock): Row => ({
    netid,
    state: sk.state === TCP_ESTABLISHED ? TCP_ESTABLISHED : TCP_CLOSE,
    rqueue: sk.rmemAlloc,
    wqueue: sk.wmemAlloc,
    local: [address(sk.saddr), netid === "raw" ? PROTOCOLS[sk.protocol] ?? String(sk.protocol) : portText(sk.sport)],
    peer: [address(sk.daddr), netid === "raw" ? "*" : portText(sk.dport)],
    sk,
  });
  const byPort = (a: Sock, b: Sock): number => a.sport - b.sport || a.saddr - b.saddr || a.dport - b.dport;
  return [...udp.sort(byPort).map((sk) => row("udp", sk)), ...raw.map((sk) => row("raw", sk))];
}

function streams(net: Net): Row[] {
  return (net.find(TCP)?.diag() ?? []).map((d): Row => ({
    netid: "tcp",
    state: d.state,
    rqueue: d.rqueue,
    wqueue: d.wqueue,
    local: [address(d.saddr), portText(d.sport)],
    peer: [address(d.daddr), portText(d.dport)],
    sk: d.sk,
  }));
}

const HEAD = ["Netid", "State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port", "Process"];
/** Columns of addresses are set to the right, so that the colons of a column stand in one line. */
const RIGHT = [4, 6];

function table(rows: readonly Row[], netid: boolean): string[] {
  const cells = [
    HEAD,
    ...rows.map((r) => [
      r.netid,
      STATES[r.state] ?? String(r.state),
      String(r.rqueue),
      String(r.wqueue),
      ...r.local,
      ...r.peer,
      "",
    ]),
  ];
  const widths = HEAD.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  return cells.map((row) => {
    const text = row.map((c, i) => RIGHT.includes(i) ? c.padStart(widths[i]) : c.padEnd(widths[i]));
    const [id, state, rq, sq, local, port, peer, peerPort, process] = text;
    const words = [...(netid ? [id] : []), state, rq, sq, `${local}:${port}`, `${peer}:${peerPort}`, process];
    return words.join(" ");
  });
}

/** Linux: tcp_stats_print() prints in this order what is not 0. */
function infoLine(net: Net, sk: Sock): string {
  const tcp = net.get(TCP);
  const i = tcp.info(sk);
  const cc = sk.ops.getsockoptString?.(sk, SOL_TCP, TCP_CONGESTION);
  const some = (word: string, value: number): string[] => value === 0 ? [] : [`${word}:${value}`];
  const listens = sk.state === TCP_LISTEN;
  const words = [
    typeof cc === "string" ? cc : "",
    ...(i.tcpi_snd_wscale + i.tcpi_rcv_wscale === 0 ? [] : [`wscale:${i.tcpi_snd_wscale},${i.tcpi_rcv_wscale}`]),
    ...(i.tcpi_rto === 0 || i.tcpi_rto === 3_000_000 ? [] : [`rto:${milliseconds(i.tcpi_rto)}`]),
    ...some("backoff", i.tcpi_backoff),
    ...(i.tcpi_rtt === 0 ? [] : [`rtt:${milliseconds(i.tcpi_rtt)}/${milliseconds(i.tcpi_rttvar)}`]),
    ...(i.tcpi_ato === 0 ? [] : [`ato:${milliseconds(i.tcpi_ato)}`]),
    ...some("mss", i.tcpi_snd_mss),
    ...some("pmtu", i.tcpi_pmtu),
    ...some("rcvmss", i.tcpi_rcv_mss),
    ...some("advmss", i.tcpi_advmss),
    ...some("cwnd", i.tcpi_snd_cwnd),
    ...(i.tcpi_snd_ssthresh >= INFINITE_SSTHRESH ? [] : some("ssthresh", i.tcpi_snd_ssthresh)),
    ...(listens ? [] : flowWords(i, some)),
  ];
  return `\t ${words.filter((w) => w !== "").join(" ")}`;
}

/** What a connection counts. */
function flowWords(i: TcpInfo, some: (word: string, value: number) => string[]): string[] {
  return [
    ...some("bytes_sent", i.tcpi_bytes_sent),
    ...some("bytes_retrans", i.tcpi_bytes_retrans),
    ...some("bytes_acked", i.tcpi_bytes_acked),
    ...some("bytes_received", i.tcpi_bytes_received),
    ...some("segs_out", i.tcpi_segs_out),
    ...some("segs_in", i.tcpi_segs_in),
    ...some("data_segs_out", i.tcpi_data_segs_out),
    ...some("data_segs_in", i.tcpi_data_segs_in),
    ...(i.tcpi_rtt === 0 ? [] : [`send ${perSecond(i.tcpi_snd_cwnd * i.tcpi_snd_mss / i.tcpi_rtt * 1e6)}`]),
    ...some("lastsnd", i.tcpi_last_data_sent),
    ...some("lastrcv", i.tcpi_last_data_recv),
    ...some("lastack", i.tcpi_last_ack_recv),
    ...(i.tcpi_pacing_rate === 0 ? [] : [`pacing_rate ${perSecond(i.tcpi_pacing_rate)}`]),
    ...(i.tcpi_delivery_rate === 0 ? [] : [`delivery_rate ${perSecond(i.tcpi_delivery_rate)}`]),
    ...some("delivered", i.tcpi_delivered),
    ...(i.tcpi_delivery_rate_app_limited === 0 ? [] : ["app_limited"]),
    ...(i.tcpi_busy_time === 0 ? [] : [`busy:${i.tcpi_busy_time / 1000}ms`]),
    ...some("unacked", i.tcpi_unacked),
    ...(i.tcpi_retrans + i.tcpi_total_retrans === 0 ? [] : [`retrans:${i.tcpi_retrans}/${i.tcpi_total_retrans}`]),
    ...some("lost", i.tcpi_lost),
    ...some("sacked", i.tcpi_sacked),
    ...some("dsack_dups", i.tcpi_dsack_dups),
    ...(i.tcpi_reordering === 3 ? [] : some("reordering", i.tcpi_reordering)),
    ...some("reord_seen", i.tcpi_reord_seen),
    ...(i.tcpi_rcv_rtt === 0 ? [] : [`rcv_rtt:${milliseconds(i.tcpi_rcv_rtt)}`]),
    ...some("rcv_space", i.tcpi_rcv_space),
    ...some("rcv_ssthresh", i.tcpi_rcv_ssthresh),
    ...some("notsent", i.tcpi_notsent_bytes),
    ...(i.tcpi_min_rtt === 0xffffffff || i.tcpi_min_rtt === 0 ? [] : [`minrtt:${milliseconds(i.tcpi_min_rtt)}`]),
    ...some("rcv_ooopack", i.tcpi_rcv_ooopack),
    ...some("snd_wnd", i.tcpi_snd_wnd),
    ...some("rcv_wnd", i.tcpi_rcv_wnd),
  ];
}

/** Six digits at most, as C's %g. */
function milliseconds(us: number): string {
  return String(Number((us / 1000).toPrecision(6)));
}

function perSecond(bytes: number): string {
  return `${Math.round(bytes * 8)}bps`;
}
