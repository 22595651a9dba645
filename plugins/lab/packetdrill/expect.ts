/**
 * Packets that a script expects.
 *
 * @module
 */
import { Unsupported } from "./config.ts";
import { ACK, type Conn, SYN } from "./conn.ts";
import { icmpOf } from "./inject.ts";
import { ipDifferences, joinSegments, lineText, segmentOf, segmentText, tcpDifferences } from "./match.ts";
import { FOREVER_USECS, PATIENCE_USECS, type Runner, ScriptFailure, seconds } from "./run.ts";
import type { IcmpLine, PacketLine, ScriptEvent, TcpLine } from "./script.ts";
import { addressText, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, type WirePacket } from "./wire.ts";

/** Microseconds between segments that the stack sent at the same virtual time. */
const SPACING_USECS = 5;

/** The packet of an event as its parser understood it. */
export function expectText(event: ScriptEvent): string {
  const { action } = event;
  if (action.kind !== "expect" && action.kind !== "inject") return event.text;
  const mark = action.kind === "expect" ? ">" : "<";
  const packet = action.packet;
  if (packet.proto === "tcp") return `${mark} ${lineText(packet)}`;
  return packet.proto === "udp" ? `${mark} udp (${packet.len})` : `${mark} icmp ${packet.type} ${packet.code}`.trim();
}

/** Any packet in the script's language. */
function packetText(conn: Conn | null, p: WirePacket): string {
  if (p.tcp !== null && conn !== null) return `> ${segmentText(segmentOf(conn, p, p.tcp))}`;
  const between = `${addressText(p.saddr)}:${p.sport} > ${addressText(p.daddr)}:${p.dport}`;
  if (p.protocol === IPPROTO_UDP) return `> udp (${p.len}) [${between}]`;
  if (p.icmp !== null) return `> icmp type ${p.icmp.type} code ${p.icmp.code}`;
  return p.tcp === null ? `> IP protocol ${p.protocol}` : `> TCP of another connection, ${between} seq ${p.tcp.seq}`;
}

/**
 * Waits for the packet of an event and compares it; when it was sent, in microseconds since the script began. Throws a
 * {@linkcode ScriptFailure}.
 */
export function expectPacket(r: Runner, event: ScriptEvent, from: number, to: number): number {
  const line = (event.action as { readonly packet: PacketLine }).packet;
  const any = event.time.kind === "any";
  const limit = any ? r.last + FOREVER_USECS : to + r.tolerance(from) + PATIENCE_USECS;
  const conn = r.underTest;
  if (conn === null) throw new Unsupported("a packet before any socket");
  beforeSent(conn, line);
  const first = next(r, event, conn, line, limit, null);
  afterSent(conn, line, first);
  let whole = first;
  const check = (p: WirePacket): number => {
    const at = (p.time - r.startNs) / 1000;
    if (!any) {
      try {
        r.checkTime(event, from, to, at);
      } catch (error) {
        if (!(error instanceof ScriptFailure)) throw error;
        throw new ScriptFailure(error.message, error.expected, `${seconds(at)} ${packetText(conn, p)}`);
      }
    }
    return at;
  };
  let at = check(first);
  let parts = 1;
  if (line.proto === "tcp" && first.len > 0 && first.len < line.len && !r.config.strictSegments) {
    r.trace(`part ${seconds((first.time - r.startNs) / 1000)} ${packetText(conn, first)}`);
    for (let last = first; whole.len < line.len && last.len === first.len;) {
      last = next(r, event, conn, line, limit, whole);
      const joined = joinSegments(whole, last, first.len);
      if (joined === null) {
        fail(r, event, conn, whole, [
          `${whole.len} bytes, and what follows does not continue them: ${packetText(conn, last)}`,
        ]);
      }
      at = check(last);
      parts++;
      whole = joined;
      r.trace(`part ${seconds((last.time - r.startNs) / 1000)} ${packetText(conn, last)}`);
    }
  }
  if (whole.bad !== "") fail(r, event, conn, whole, [whole.bad]);
  const differences = line.proto === "tcp"
    ? tcpDifferences(conn, line, whole, { tick: r.config.tsTickUsecs, tolerance: r.config.toleranceUsecs })
    : otherDifferences(line, whole, conn);
  if (differences.length > 0) fail(r, event, conn, whole, differences);
  r.trace(`sent ${seconds(at)} ${packetText(conn, whole)}`);
  // The segments of a burst leave one after another, and an answer follows the last of them.
  return at + (parts - 1) * SPACING_USECS;
}

/** The first SYN of a connection that begins tells what the script calls its number. */
function beforeSent(conn: Conn, line: PacketLine): void {
  if (line.proto !== "tcp" || (line.flags & SYN) === 0) return;
  if ((line.flags & ACK) === 0 && conn.state === "connecting") {
    conn.state = "syn-sent";
    conn.scriptLocalIsn = line.seq;
  } else if ((line.flags & ACK) !== 0 && conn.state === "syn-received") {
    conn.state = "synack-sent";
    conn.scriptLocalIsn = line.seq;
  }
}

function afterSent(conn: Conn, line: PacketLine, p: WirePacket): void {
  if (line.proto !== "tcp" || p.tcp === null) return;
  if ((p.tcp.flags & SYN) === 0 || (line.flags & SYN) === 0) return;
  if (conn.state === "synack-sent" || conn.state === "syn-sent") conn.localIsn = p.tcp.seq;
}

/** The next packet of a connection of the script. `whole`: what of the line's bytes came already. */
function next(
  r: Runner,
  event: ScriptEvent,
  conn: Conn,
  line: PacketLine,
  limit: number,
  whole: WirePacket | null,
): WirePacket {
  for (;;) {
    if (!r.awaitPacket(limit)) {
      const have = whole === null
        ? "nothing was sent"
        : `only ${whole.len} bytes were sent: ${packetText(conn, whole)}`;
      throw new ScriptFailure(`missing packet: ${have} up to ${seconds(limit)} sec`, expectText(event), have);
    }
    const p = r.tun.queue.shift()!;
    if (isOf(conn, p, line, r.conns)) return p;
    r.trace(`ignored ${packetText(null, p)}`);
  }
}

/**
 * Whether a packet is of the connection that the lines are about. Others are ignored, those of the script's earlier
 * sockets too: a SYN that such a one sends again is not the first of a socket that connects.
 */
function isOf(conn: Conn, p: WirePacket, line: PacketLine, all: readonly Conn[]): boolean {
  if (p.protocol === IPPROTO_ICMP) return line.proto === "icmp" && p.daddr === conn.remoteIp;
  if (conn.sent(p)) return true;
  const first = p.protocol === IPPROTO_TCP ? p.tcp !== null && (p.tcp.flags & SYN) !== 0 : true;
  const waits = p.protocol === IPPROTO_TCP ? conn.state === "syn-sent" : conn.localPort === 0;
  if (!first || !waits || p.protocol !== conn.protocol) return false;
  if (p.daddr !== conn.remoteIp || p.dport !== conn.remotePort) return false;
  if (all.some((c) => c !== conn && c.sent(p) && c.localIsn === p.tcp?.seq)) return false;
  if (p.tcp !== null) conn.localIsn = p.tcp.seq;
  conn.localIp = p.saddr;
  conn.localPort = p.sport;
  return true;
}

function otherDifferences(line: Exclude<PacketLine, TcpLine>, p: WirePacket, conn: Conn): string[] {
  const out = ipDifferences(line.ip, p);
  if (line.proto === "udp") {
    if (p.protocol !== IPPROTO_UDP) out.push(`IP protocol ${p.protocol}, not UDP`);
    else if (p.len !== line.len) out.push(`payload bytes ${p.len}, not ${line.len}`);
    if (p.notZero >= 0) out.push(`payload byte ${p.notZero} is not 0`);
    return out;
  }
  return [...out, ...icmpDifferences(line, p, conn)];
}

function icmpDifferences(line: IcmpLine, p: WirePacket, conn: Conn): string[] {
  const out: string[] = [];
  const { type, code } = icmpOf(line);
  if (p.icmp === null) return [`IP protocol ${p.protocol}, not ICMP`];
  if (p.icmp.type !== type) out.push(`type ${p.icmp.type}, not ${type}`);
  if (p.icmp.code !== code) out.push(`code ${p.icmp.code}, not ${code}`);
  if (line.mtu !== 0 && (p.icmp.rest & 0xffff) !== line.mtu) out.push(`MTU ${p.icmp.rest & 0xffff}, not ${line.mtu}`);
  const view = new DataView(p.icmp.body.buffer, p.icmp.body.byteOffset, p.icmp.body.byteLength);
  if (type === 3 || type === 11) {
    if (view.byteLength < 28) out.push(`${view.byteLength} bytes quoted, not 28 or more`);
    else if (view.getUint16(20) !== conn.remotePort || view.getUint16(22) !== conn.localPort) {
      out.push("it quotes a packet of another connection");
    }
  }
  return out;
}

function fail(r: Runner, event: ScriptEvent, conn: Conn, p: WirePacket, differences: readonly string[]): never {
  const at = seconds((p.time - r.startNs) / 1000);
  throw new ScriptFailure(differences.join("; "), expectText(event), `${at} ${packetText(conn, p)}`);
}
