/**
 * Options that we send: how long they are, and their bytes. RFC 9293 section 3.1, RFC 7323, RFC 2018, RFC 2883.
 * Linux: tcp_options_write(), tcp_syn_options(), tcp_synack_options(), tcp_established_options(), net/ipv4/tcp_output.c.
 *
 * Their order is Linux's: MSS, SACK-permitted with timestamps in one block of 12 bytes, window scale, SACK blocks.
 */
import * as contract from "./contract.ts";
import type { TcpFastopenCookie } from "./fastopen_sock.ts";
import type { TcpRequestSock } from "./request.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { TCP_SYN_SENT } = contract;

const TCPOLEN_MSS = 4;
const TCPOLEN_TSTAMP_ALIGNED = 12;
const TCPOLEN_WSCALE_ALIGNED = 4;
const TCPOLEN_SACKPERM_ALIGNED = 4;
const TCPOLEN_SACK_BASE_ALIGNED = 4;
const TCPOLEN_SACK_PERBLOCK = 8;
const MAX_OPTIONS = 40;

const MSS_WORD = 0x02040000;
/** NOP, NOP, timestamps. */
const TS_WORD = 0x0101080a;
/** SACK-permitted, timestamps. */
const SACK_TS_WORD = 0x0402080a;
/** NOP, NOP, SACK-permitted. */
const SACK_PERM_WORD = 0x01010402;
/** NOP, window scale, 3 bytes. */
const WSCALE_WORD = 0x01030300;
/** NOP, NOP, SACK. */
const SACK_WORD = 0x01010500;

/** How many SACK blocks fit, a D-SACK included. */
function sackBlocks(tp: TcpSock, size: number): number {
  const blocks = tp.numSacks + (tp.hasDsack ? 1 : 0);
  if (blocks === 0) return 0;
  const room = (MAX_OPTIONS - size - TCPOLEN_SACK_BASE_ALIGNED) >> 3;
  return blocks < room ? blocks : room;
}

/** Bytes of options of a segment of an established connection. Linux: tcp_established_options(). */
export function tcpEstablishedOptionsSize(tp: TcpSock): number {
  const size = tp.tstampOk ? TCPOLEN_TSTAMP_ALIGNED : 0;
  if (tp.numSacks === 0 && !tp.hasDsack) return size;
  return size + TCPOLEN_SACK_BASE_ALIGNED + sackBlocks(tp, size) * TCPOLEN_SACK_PERBLOCK;
}

/** Writes them at `at`. Linux: tcp_options_write(). */
export function tcpEstablishedOptionsWrite(tp: TcpSock, view: DataView, at: number, tsval: number): void {
  let size = 0;
  if (tp.tstampOk) {
    view.setInt32(at, TS_WORD);
    view.setInt32(at + 4, tsval);
    view.setInt32(at + 8, tp.tsRecent);
    size = TCPOLEN_TSTAMP_ALIGNED;
  }
  if (tp.numSacks !== 0 || tp.hasDsack) writeSacks(tp, view, at + size, sackBlocks(tp, size));
}

/** A D-SACK goes first, and is told once. RFC 2883 section 4. */
function writeSacks(tp: TcpSock, view: DataView, at: number, blocks: number): void {
  view.setInt32(at, SACK_WORD | (2 + blocks * TCPOLEN_SACK_PERBLOCK));
  at += TCPOLEN_SACK_BASE_ALIGNED;
  let left = blocks;
  if (tp.hasDsack) {
    view.setInt32(at, tp.dsackStart);
    view.setInt32(at + 4, tp.dsackEnd);
    tp.hasDsack = false;
    at += TCPOLEN_SACK_PERBLOCK;
    left--;
  }
  const sacks = tp.selectiveAcks;
  if (sacks === null) return;
  for (let i = 0; i < 2 * left; i++) view.setInt32(at + 4 * i, sacks[i]);
}

/** Bytes of options of our SYN. Linux: tcp_syn_options(). */
export function tcpSynOptionsSize(tp: TcpSock): number {
  const size = synSize(tp);
  const cookie = synCookie(tp, size);
  return cookie === null ? size : size + cookieSize(cookie);
}

/** The same without Fast Open's. */
function synSize(tp: TcpSock): number {
  const s = tp.st.sysctl;
  let size = TCPOLEN_MSS;
  if (s.timestamps !== 0) size += TCPOLEN_TSTAMP_ALIGNED;
  else if (s.sack !== 0) size += TCPOLEN_SACKPERM_ALIGNED;
  return synScales(tp) ? size + TCPOLEN_WSCALE_ALIGNED : size;
}

/** A SYN offers window scaling; that of a crossed open answers only to an offer. RFC 7323 section 2.2. */
function synScales(tp: TcpSock): boolean {
  return tp.st.sysctl.windowScaling !== 0 && (tp.wscaleOk || tp.sk.state === TCP_SYN_SENT);
}

/**
 * Writes them at `at`. Linux: tcp_options_write().
 *
 * Linux answers a crossed SYN without window scaling with its own shift, and scales its windows from then on.
 */
export function tcpSynOptionsWrite(tp: TcpSock, view: DataView, at: number, mss: number, tsval: number): void {
  const s = tp.st.sysctl;
  const wscale = synScales(tp) ? tp.rcvWscale : -1;
  writeSyn(view, at, mss, s.timestamps !== 0, s.sack !== 0, wscale, tsval, tp.tsRecent);
  const size = synSize(tp);
  const cookie = synCookie(tp, size);
  if (cookie === null) return;
  writeCookie(cookie, view, at + size);
  const fo = tp.fo!;
  fo.synFastopen = true;
  fo.synFastopenExp = cookie.exp;
}

/** Bytes of options of the SYN-ACK for a request. Linux: tcp_synack_options(). */
export function tcpSynackOptionsSize(req: TcpRequestSock): number {
  const size = synackSize(req);
  const need = req.foc === null ? 0 : cookieSize(req.foc);
  return size + need <= MAX_OPTIONS ? size + need : size;
}

/** The same without Fast Open's. */
function synackSize(req: TcpRequestSock): number {
  let size = TCPOLEN_MSS;
  if (req.tstampOk) size += TCPOLEN_TSTAMP_ALIGNED;
  else if (req.sackOk) size += TCPOLEN_SACKPERM_ALIGNED;
  return req.wscaleOk ? size + TCPOLEN_WSCALE_ALIGNED : size;
}

/** Bytes of the option of a cookie, padded. */
function cookieSize(cookie: TcpFastopenCookie): number {
  return cookie.len < 0 ? 0 : (cookie.len + (cookie.exp ? 4 : 2) + 3) & ~3;
}

/** A cookie, or the question for one, behind the other options; the padding is NOPs. RFC 7413 section 4.1.1. */
function writeCookie(cookie: TcpFastopenCookie, view: DataView, at: number): void {
  const end = at + cookieSize(cookie);
  if (cookie.exp) {
    view.setUint8(at, 254);
    view.setUint8(at + 1, 4 + cookie.len);
    view.setUint16(at + 2, 0xf989);
    at += 4;
  } else {
    view.setUint8(at, 34);
    view.setUint8(at + 1, 2 + cookie.len);
    at += 2;
  }
  for (let i = 0; i < cookie.len; i++) view.setUint8(at++, cookie.val[i]);
  while (at < end) view.setUint8(at++, 1);
}

/** The cookie that a SYN carries; null: none, or it does not fit. */
function synCookie(tp: TcpSock, size: number): TcpFastopenCookie | null {
  const request = tp.fo === null ? null : tp.fo.request;
  if (request === null || request.cookie.len < 0 || size + cookieSize(request.cookie) > MAX_OPTIONS) return null;
  return request.cookie;
}

/** Writes them at `at`. Linux: tcp_options_write(). */
export function tcpSynackOptionsWrite(
  req: TcpRequestSock,
  view: DataView,
  at: number,
  mss: number,
  tsval: number,
): void {
  writeSyn(view, at, mss, req.tstampOk, req.sackOk, req.wscaleOk ? req.rcvWscale : -1, tsval, req.tsRecent);
  if (req.foc === null) return;
  const size = synackSize(req);
  // Left out where it does not fit.
  if (size + cookieSize(req.foc) <= MAX_OPTIONS) writeCookie(req.foc, view, at + size);
}

function writeSyn(
  view: DataView,
  at: number,
  mss: number,
  timestamps: boolean,
  sack: boolean,
  wscale: number,
  tsval: number,
  tsecr: number,
): void {
  view.setInt32(at, MSS_WORD | mss);
  at += TCPOLEN_MSS;
  if (timestamps) {
    view.setInt32(at, sack ? SACK_TS_WORD : TS_WORD);
    view.setInt32(at + 4, tsval);
    view.setInt32(at + 8, tsecr);
    at += TCPOLEN_TSTAMP_ALIGNED;
  } else if (sack) {
    view.setInt32(at, SACK_PERM_WORD);
    at += TCPOLEN_SACKPERM_ALIGNED;
  }
  if (wscale >= 0) view.setInt32(at, WSCALE_WORD | wscale);
}
