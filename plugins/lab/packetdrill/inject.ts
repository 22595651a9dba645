/**
 * Packets that a script injects.
 *
 * @module
 */
import { Unsupported } from "./config.ts";
import { ACK, Conn, liveTcp, SYN } from "./conn.ts";
import { ICMP_TYPES, UNREACH_CODES } from "./constants.ts";
import type { CommandBench } from "./commands.ts";
import type { IcmpLine, IpNotes, PacketLine, TcpLine } from "./script.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  encodeOptions,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "./wire.ts";

const TTL = 255;
const FRAG_NEEDED = 4;

/** Injects a line's packet. */
export function inject(b: CommandBench, line: PacketLine): void {
  const conn = target(b, line);
  if (line.proto === "tcp") injectTcp(b, conn, line);
  else if (line.proto === "udp") {
    const bytes = buildUdp(conn.remotePort, conn.localPort, line.len);
    b.tun.inject(buildIpv4(ipSpec(conn, line.ip, IPPROTO_UDP), bytes, 6), 0);
  } else injectIcmp(b, conn, line);
}

function ipSpec(conn: Conn, ip: IpNotes, protocol: number): Parameters<typeof buildIpv4>[0] {
  const tos = ip.tos ?? (ip.ecn ?? (ip.anyEct ? 2 : 0));
  return { saddr: conn.remoteIp, daddr: conn.localIp, protocol, tos, ttl: ip.ttl ?? TTL, id: 0 };
}

/** The connection that a line is about; a first segment to a listener makes a new one. */
function target(b: CommandBench, line: PacketLine): Conn {
  const conn = b.underTest;
  if (conn === null) throw new Unsupported("a packet before any socket");
  if (conn.state === "listening" && line.proto === "tcp") {
    const child = newChild(b, conn);
    child.state = "syn-received";
    child.scriptRemoteIsn = child.remoteIsn = line.seq;
    b.conns.push(child);
    b.underTest = child;
    return child;
  }
  if (conn.localIp === 0) conn.localIp = b.config.localIp;
  if (conn.localPort === 0) conn.localPort = b.config.bindPort;
  if (conn.remoteIp === 0) conn.remoteIp = b.config.remoteIp;
  if (conn.remotePort === 0) conn.remotePort = b.nextPort++;
  if (line.proto === "tcp") handshake(conn, line);
  return conn;
}

/** What a segment of the peer tells of its numbers. */
function handshake(conn: Conn, line: TcpLine): void {
  const syn = (line.flags & SYN) !== 0;
  const ack = (line.flags & ACK) !== 0;
  if (syn && (conn.state === "syn-sent" || (conn.state === "syn-received" && !ack))) {
    conn.scriptRemoteIsn = conn.remoteIsn = line.seq;
  }
  if ((conn.state === "syn-sent" && syn && ack) || (conn.state === "synack-sent" && ack)) conn.state = "open";
}

function newChild(b: CommandBench, listener: Conn): Conn {
  const child = new Conn(listener.protocol);
  child.localIp = b.config.localIp;
  child.localPort = listener.localPort;
  child.remoteIp = b.config.remoteIp;
  child.remotePort = b.nextPort++;
  return child;
}

function injectTcp(b: CommandBench, conn: Conn, line: TcpLine): void {
  const tcp = liveTcp(conn, line, b.config.tsEcrScaled);
  if (tcp.options.length % 4 !== 0) throw new Unsupported("TCP options that are no multiple of 4 bytes");
  if (tcp.options.length > 40) throw new Unsupported(`${tcp.options.length} bytes of TCP options`);
  const [sport, dport] = line.ports ?? [conn.remotePort, conn.localPort];
  const bytes = buildIpv4(ipSpec(conn, line.ip, IPPROTO_TCP), buildTcp(sport, dport, tcp, line.len), 16);
  // One write of a tester with more than a segment's bytes is one super-packet, as through a vnet header.
  b.tun.inject(bytes, line.len > b.config.mss ? b.config.mss : 0);
}

function injectIcmp(b: CommandBench, conn: Conn, line: IcmpLine): void {
  const { type, code } = icmpOf(line);
  const inner = { saddr: conn.localIp, daddr: conn.remoteIp, tos: 0, ttl: TTL, id: 0 };
  let quoted: Uint8Array;
  if (conn.protocol === IPPROTO_UDP) {
    const bytes = buildUdp(conn.localPort, conn.remotePort, line.quoted?.len ?? 0);
    quoted = buildIpv4({ ...inner, protocol: IPPROTO_UDP }, bytes, 6);
  } else {
    const seq = conn.localSeq(line.quoted?.seq ?? 0, false);
    const tcp = { seq, ack: 0, flags: 0, win: 0, urg: 0, options: encodeOptions([]) };
    const len = line.quoted?.len ?? 0;
    quoted = buildIpv4({ ...inner, protocol: IPPROTO_TCP }, buildTcp(conn.localPort, conn.remotePort, tcp, len), 16);
  }
  // An error quotes the IP header and 8 bytes behind it: RFC 792.
  const rest = type === 3 && code === FRAG_NEEDED ? line.mtu : line.id << 16;
  const body = buildIcmp({ type, code, rest, body: quoted.slice(0, 28) });
  b.tun.inject(buildIpv4(ipSpec(conn, line.ip, IPPROTO_ICMP), body, -1), 0);
}

/** Numbers of an ICMP line. */
export function icmpOf(line: IcmpLine): { type: number; code: number } {
  const type = ICMP_TYPES[line.type];
  if (type === undefined) throw new Unsupported(`icmp ${line.type}`);
  if (line.code === "") return { type, code: 0 };
  if (type !== 3) throw new Unsupported(`icmp ${line.type} ${line.code}`);
  const code = UNREACH_CODES[line.code];
  if (code === undefined) throw new Unsupported(`icmp ${line.type} ${line.code}`);
  return { type, code };
}
