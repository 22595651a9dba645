/**
 * Local ports: bind(), the port that connect() chooses, and TIME-WAIT records that a new connection may take over.
 * Linux: net/ipv4/inet_connection_sock.c, net/ipv4/inet_hashtables.c.
 */
import * as core from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import type { Sock } from "../sock/contract.ts";
import * as contract from "./contract.ts";
import { deviceOf, isTimewait, type TcpEntry } from "./table.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import { inetTwskDeschedulePut, type TcpTimewaitSock } from "./timewait.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO } = core;
const { SOCK_CONNECT_BIND } = sock;
const { TCP_FIN_WAIT2, TCP_LISTEN, TCP_TIME_WAIT } = contract;
const { tcpTimeStampMs, TCP_KIND_REQUEST } = tcpSock;

const EADDRINUSE = -ERRNO.EADDRINUSE;
const EADDRNOTAVAIL = -ERRNO.EADDRNOTAVAIL;
/** SO_REUSEADDR's callers first search the lower half of the range. */
const LOWER_HALF = 1;
const UPPER_HALF = 2;

/**
 * Gives a socket the port `snum`, or with 0 a free one; again, for a listener, whether others let it. 0 or -EADDRINUSE.
 * Linux: inet_csk_get_port().
 */
export function tcpGetPort(st: TcpState, tp: TcpSock, snum: number): number {
  const tables = st.tables;
  const sk = tp.sk;
  const port = snum !== 0 ? snum : findOpenPort(st, tp);
  if (port === 0) return EADDRINUSE;
  const empty = tables.portOwners(port) === null;
  if (!empty && snum !== 0) {
    const reuse = sk.reuseaddr && sk.state !== TCP_LISTEN;
    const fast = (reuse && tables.fastreuse(port) > 0) || (sk.reuseport && tables.fastreuseport(port) > 0);
    if (!fast && bindConflict(st, sk, port, true, true)) return EADDRINUSE;
  }
  updateFastreuse(st, sk, port, empty);
  if (tp.bind === null) {
    sk.sport = port | 0;
    tables.bindPort(tp, port | 0);
  }
  return 0;
}

/** Linux: inet_csk_update_fastreuse(). */
function updateFastreuse(st: TcpState, sk: Sock, port: number, empty: boolean): void {
  const tables = st.tables;
  const reuse = sk.reuseaddr && sk.state !== TCP_LISTEN ? 1 : 0;
  const reuseport = sk.reuseport ? 1 : 0;
  if (empty) tables.setFast(port, reuse, reuseport);
  else {
    const all = reuseport === 1 && tables.fastreuseport(port) === 1;
    tables.setFast(port, reuse === 0 ? 0 : tables.fastreuse(port), all ? 1 : 0);
  }
}

/**
 * Whether an owner of the port stands in the way of `sk`: on an address and a device that overlap, unless both set
 * SO_REUSEADDR and it does not listen, or both set SO_REUSEPORT. `relax` false: a port that was not asked for is not
 * shared by SO_REUSEADDR; `reuseportOk` false: nor by SO_REUSEPORT. Linux: inet_csk_bind_conflict().
 */
function bindConflict(st: TcpState, sk: Sock, port: number, relax: boolean, reuseportOk: boolean): boolean {
  for (let n = st.tables.portOwners(port); n !== null; n = n.next) {
    const other = n.up;
    if (other.kind === TCP_KIND_REQUEST) continue;
    if (!isTimewait(other) && other.sk === sk) continue;
    const saddr = isTimewait(other) ? other.saddr : other.sk.saddr;
    if (saddr !== 0 && sk.saddr !== 0 && saddr !== sk.saddr) continue;
    const dev = deviceOf(other);
    if (dev !== 0 && sk.boundDevIf !== 0 && dev !== sk.boundDevIf) continue;
    if (stands(sk, other, relax, reuseportOk)) return true;
  }
  return false;
}

/** Linux: inet_bind_conflict(). */
function stands(sk: Sock, other: TcpSock | TcpTimewaitSock, relax: boolean, reuseportOk: boolean): boolean {
  const theirs = isTimewait(other) ? other : null;
  const reuse = theirs !== null ? theirs.reuse : (other as TcpSock).sk.reuseaddr;
  const reuseport = theirs !== null ? theirs.reuseport : (other as TcpSock).sk.reuseport;
  const state = theirs !== null ? TCP_TIME_WAIT : (other as TcpSock).sk.state;
  const bothPorts = sk.reuseport && reuseport;
  if (sk.reuseaddr && reuse && state !== TCP_LISTEN) return !relax || (!reuseportOk && bothPorts);
  return !reuseportOk || !bothPorts;
}

/**
 * A port that bind() may give: odd ones first, as connect() takes even ones first. 0: none is free.
 * Linux: inet_csk_find_open_port().
 */
function findOpenPort(st: TcpState, tp: TcpSock): number {
  const { portLow, portHigh } = st.socks.limits;
  const end = portHigh + 1;
  let half = tp.sk.reuseaddr && end - portLow >= 4 ? LOWER_HALF : 0;
  for (;;) {
    const middle = portLow + (((end - portLow) >> 2) << 1);
    const low = half === UPPER_HALF ? middle : portLow;
    const high = half === LOWER_HALF ? middle : end;
    const port = scanHalf(st, tp, low, high);
    if (port !== 0 || half !== LOWER_HALF) return port;
    half = UPPER_HALF;
  }
}

function scanHalf(st: TcpState, tp: TcpSock, low: number, high: number): number {
  let remaining = high - low;
  if (remaining > 1) remaining &= ~1;
  if (remaining <= 0) return 0;
  let offset = ((st.keys.random() >>> 0) % remaining) | 1;
  for (let parity = 0; parity < 2; parity++) {
    let port = low + offset;
    for (let i = 0; i < remaining; i += 2, port += 2) {
      while (port >= high) port -= remaining;
      if (st.tables.portOwners(port) === null || !bindConflict(st, tp.sk, port, false, false)) return port;
    }
    offset--;
  }
  return 0;
}

/**
 * Puts a connection that is being made into the table, with a port if it has none: one whose four-tuple nobody uses.
 * 0 or -EADDRNOTAVAIL. Linux: inet_hash_connect(), __inet_hash_connect().
 */
export function tcpHashConnect(st: TcpState, tp: TcpSock): number {
  const tables = st.tables;
  const sk = tp.sk;
  if (tp.bind !== null) {
    const user = tables.tupleUser(tp, sk.sport);
    if (user !== null && !takeOver(st, tp, user, false)) return EADDRNOTAVAIL;
    tables.hash(tp);
    return 0;
  }
  const { portLow, portHigh } = st.socks.limits;
  const end = portHigh + 1;
  let remaining = end - portLow;
  if (remaining > 1) remaining &= ~1;
  let offset = st.keys.portOffset(sk.saddr, sk.daddr, sk.dport, remaining) & ~1;
  for (let parity = 0; parity < 2; parity++, offset++) {
    let port = portLow + offset;
    for (let i = 0; i < remaining; i += 2, port += 2) {
      if (port >= end) port -= remaining;
      if (!tupleFree(st, tp, port)) continue;
      st.keys.portUsed(i, 2);
      sk.userlocks |= SOCK_CONNECT_BIND;
      // Small integers: one double would make a box of this field in every socket.
      sk.sport = port | 0;
      tables.bindPort(tp, port | 0);
      tables.hash(tp);
      return 0;
    }
    if (remaining <= 1) break;
  }
  return EADDRNOTAVAIL;
}

/** A port that bind() gave to somebody is his; one that only connect() gave is shared by different peers. */
function tupleFree(st: TcpState, tp: TcpSock, port: number): boolean {
  const tables = st.tables;
  if (tables.portOwners(port) === null) {
    tables.setFast(port, -1, -1);
    return true;
  }
  if (tables.fastreuse(port) >= 0 || tables.fastreuseport(port) >= 0) return false;
  const user = tables.tupleUser(tp, port);
  return user === null || takeOver(st, tp, user, true);
}

/**
 * A TIME-WAIT record with the same four-tuple ends for a new connection that goes on behind its sequence numbers and
 * timestamps. `chosen`: the port is our choice, then only as tcp_tw_reuse allows. Linux: tcp_twsk_unique().
 */
function takeOver(st: TcpState, tp: TcpSock, user: TcpEntry, chosen: boolean): boolean {
  if (!isTimewait(user) || user.tsRecentStamp === 0) return false;
  if (chosen && !mayReuse(st, user)) return false;
  // 0 stands for "not chosen yet".
  tp.writeSeq = (user.sndNxt + 0xffff + 2) | 0 || 1;
  tp.tsRecent = user.tsRecent;
  tp.tsRecentStamp = user.tsRecentStamp;
  inetTwskDeschedulePut(st, user);
  return true;
}

function mayReuse(st: TcpState, tw: TcpTimewaitSock): boolean {
  const mode = st.sysctl.twReuse;
  if (mode === 0 || tw.substate === TCP_FIN_WAIT2) return false;
  if (mode === 2 && tw.saddr >>> 24 !== 127 && tw.daddr >>> 24 !== 127 && !onLoopback(st, tw)) return false;
  return ((tcpTimeStampMs(st.machine) - tw.entryStamp - st.sysctl.twReuseDelay) | 0) >= 0;
}

function onLoopback(st: TcpState, tw: TcpTimewaitSock): boolean {
  const dev = tw.boundDevIf === 0 ? null : st.net.devByIndex[tw.boundDevIf] ?? null;
  return dev !== null && dev.name === "lo";
}
