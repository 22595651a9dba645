/**
 * Reading TCP options. RFC 9293 section 3.1, RFC 7323, RFC 2018, RFC 7413; Linux: tcp_parse_options(),
 * net/ipv4/tcp_input.c.
 *
 * A list that makes no sense is read as far as it does: a length of 0, of 1 or beyond the header ends it, and what came
 * before counts. The loop takes at least one byte a turn, at most 40 turns.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as header from "./header.ts";
import type { TcpState } from "./tcp_state.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  TCP_FLAG_WORD,
  TCP_HLEN,
  TCP_TSTAMP_WORD,
  TCPOLEN_MD5SIG,
  TCPOLEN_MSS,
  TCPOLEN_SACK_BASE,
  TCPOLEN_SACK_PERBLOCK,
  TCPOLEN_SACK_PERM,
  TCPOLEN_TIMESTAMP,
  TCPOLEN_WINDOW,
  TCPOPT_AO,
  TCPOPT_EOL,
  TCPOPT_FASTOPEN,
  TCPOPT_MD5SIG,
  TCPOPT_MSS,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERM,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
} = header;
const { TCP_MAX_WSCALE, TCPHDR_SYN } = tcpSock;

/** Shortest and longest cookie of fast open, bytes. RFC 7413 section 4.1.1. */
const FASTOPEN_COOKIE_MIN = 4, FASTOPEN_COOKIE_MAX = 16;
/** The experimental option, and what says that it is fast open's. RFC 6994. */
const TCPOPT_EXP = 254, FASTOPEN_MAGIC = 0xf989;

/** What a segment's options say. One record per net is reused: read it before the next segment. */
export class TcpOptionsReceived {
  /** Timestamps are agreed (in), or the SYN offers them (out of a SYN). */
  tstampOk = false;
  /** SACK is agreed (in), or the SYN offers it (out of a SYN). */
  sackOk = false;
  /** The SYN offers window scaling. */
  wscaleOk = false;
  /** Shift of the peer's windows, at most 14. */
  sndWscale = 0;
  /** MSS that the SYN tells; 0: none, or 0 was told. */
  mss = 0;
  /** There is a timestamp. */
  sawTstamp = false;
  /** Its value. */
  rcvTsval = 0;
  /** Its echo, as on the wire. */
  rcvTsecr = 0;
  /** SACK blocks, 0 to 4. */
  numSacks = 0;
  /** Where the first is, a position in the slab of the packet's head: two int32 each. */
  sackAt = 0;
  /** Fast open: bytes of the cookie, 0: a request for one, -1: no such option or a bad one. */
  fastOpenLen = -1;
  /** Where the cookie is. */
  fastOpenAt = 0;
  /** It is in the experimental option. */
  fastOpenExp = false;
  /** It is signed: RFC 2385 or RFC 5925. */
  signed = false;

  /** Forgets all. Linux: tcp_clear_options(). */
  clear(): void {
    this.tstampOk =
      this.sackOk =
      this.wscaleOk =
      this.sawTstamp =
      this.signed =
      this.fastOpenExp =
        false;
    this.sndWscale =
      this.mss =
      this.rcvTsval =
      this.rcvTsecr =
      this.numSacks =
      this.sackAt =
      this.fastOpenAt =
        0;
    this.fastOpenLen = -1;
  }
}

/**
 * Reads the options of the segment whose header is at `skb.transportHeader` into `opt`. `estab`: it belongs to a
 * connection, whose `tstampOk` and `sackOk` the caller has put into `opt`; otherwise it is a SYN's, which is cleared
 * before. Linux: tcp_parse_options(), net/ipv4/tcp_input.c. Borrows `skb`.
 */
export function tcpParseOptions(st: TcpState, skb: SkBuff, opt: TcpOptionsReceived, estab: boolean): void {
  const view = skb.view;
  let at = skb.transportHeader;
  const word = view.getInt32(at + TCP_FLAG_WORD);
  const end = at + (word >>> 28 << 2);
  const syn = !estab && (word >>> 16 & TCPHDR_SYN) !== 0;
  if (estab) {
    opt.sawTstamp = false;
    opt.numSacks = 0;
  } else opt.clear();
  at += TCP_HLEN;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) return;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const size = view.getUint8(at + 1);
    if (size < 2 || at + size > end) return;
    if (kind === TCPOPT_TIMESTAMP) {
      if (size === TCPOLEN_TIMESTAMP && (estab ? opt.tstampOk : st.sysctl.timestamps !== 0)) {
        opt.sawTstamp = opt.tstampOk = true;
        opt.rcvTsval = view.getInt32(at + 2);
        opt.rcvTsecr = view.getInt32(at + 6);
      }
    } else if (kind === TCPOPT_SACK) {
      const bytes = size - TCPOLEN_SACK_BASE;
      if (opt.sackOk && bytes >= TCPOLEN_SACK_PERBLOCK && bytes % TCPOLEN_SACK_PERBLOCK === 0) {
        opt.numSacks = bytes / TCPOLEN_SACK_PERBLOCK;
        opt.sackAt = at + TCPOLEN_SACK_BASE;
      }
    } else if (syn) synOption(st, view, at, kind, size, opt);
    else if (kind === TCPOPT_MD5SIG || kind === TCPOPT_AO) opt.signed = true;
    at += size;
  }
}

/** An option that counts in a SYN alone. */
function synOption(
  st: TcpState,
  view: DataView,
  at: number,
  kind: number,
  size: number,
  opt: TcpOptionsReceived,
): void {
  switch (kind) {
    case TCPOPT_MSS: {
      const mss = size === TCPOLEN_MSS ? view.getUint16(at + 2) : 0;
      if (mss !== 0) opt.mss = mss;
      break;
    }
    case TCPOPT_WINDOW:
      if (size !== TCPOLEN_WINDOW || st.sysctl.windowScaling === 0) break;
      opt.wscaleOk = true;
      opt.sndWscale = Math.min(view.getUint8(at + 2), TCP_MAX_WSCALE);
      break;
    case TCPOPT_SACK_PERM:
      if (size === TCPOLEN_SACK_PERM && st.sysctl.sack !== 0) opt.sackOk = true;
      break;
    case TCPOPT_FASTOPEN:
      fastOpen(at + 2, size - 2, false, opt);
      break;
    case TCPOPT_EXP:
      if (size >= 4 && view.getUint16(at + 2) === FASTOPEN_MAGIC) fastOpen(at + 4, size - 4, true, opt);
      break;
    case TCPOPT_MD5SIG:
    case TCPOPT_AO:
      opt.signed = true;
      break;
  }
}

/** A cookie, or a request for one. Linux: tcp_parse_fastopen_option(). */
function fastOpen(at: number, len: number, exp: boolean, opt: TcpOptionsReceived): void {
  if ((len & 1) !== 0) return;
  opt.fastOpenAt = at;
  opt.fastOpenLen = len === 0 || (len >= FASTOPEN_COOKIE_MIN && len <= FASTOPEN_COOKIE_MAX) ? len : -1;
  opt.fastOpenExp = exp;
}

/**
 * Reads the options of a segment of a connection into `st.rxOpt` and, of timestamps, into `tp`: the echo without our
 * offset. False: there are none. Linux: tcp_fast_parse_options(), net/ipv4/tcp_input.c. Borrows `skb`.
 */
export function tcpFastParseOptions(tp: TcpSock, skb: SkBuff): boolean {
  const view = skb.view;
  const at = skb.transportHeader;
  const opt = tp.st.rxOpt;
  const doff = view.getUint8(at + TCP_FLAG_WORD) >> 4;
  tp.sawTstamp = false;
  opt.numSacks = 0;
  if (doff === 5) return false;
  if (tp.tstampOk && doff === 8 && view.getInt32(at + TCP_HLEN) === TCP_TSTAMP_WORD) {
    const ecr = view.getInt32(at + TCP_HLEN + 8);
    tp.sawTstamp = true;
    tp.rcvTsval = view.getInt32(at + TCP_HLEN + 4);
    tp.rcvTsecr = ecr !== 0 ? (ecr - tp.tsoffset) | 0 : 0;
    return true;
  }
  opt.tstampOk = tp.tstampOk;
  opt.sackOk = tp.sackOk;
  tcpParseOptions(tp.st, skb, opt, true);
  if (opt.sawTstamp) {
    tp.sawTstamp = true;
    tp.rcvTsval = opt.rcvTsval;
    tp.rcvTsecr = opt.rcvTsecr !== 0 ? (opt.rcvTsecr - tp.tsoffset) | 0 : 0;
  }
  return true;
}

/** No signature. */
const SIGN_NONE = 0;
/** An MD5 signature. */
const SIGN_MD5 = 1;
/** Options that nobody can read to their end, a signature of a wrong length, or two of them. */
const SIGN_BAD = 2;

/**
 * Looks for a signature among the options: SIGN_*. Where less is left than a signature takes, nobody looks. RFC 2385;
 * Linux: tcp_parse_auth_options(), net/ipv4/tcp_input.c. Borrows `skb`.
 */
function findSignature(skb: SkBuff): number {
  const view = skb.view;
  let at = skb.transportHeader;
  let left = (view.getUint8(at + TCP_FLAG_WORD) >> 4 << 2) - TCP_HLEN;
  at += TCP_HLEN;
  let found = SIGN_NONE;
  while (left >= TCPOLEN_MD5SIG) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) break;
    if (kind === TCPOPT_NOP) {
      at++;
      left--;
      continue;
    }
    const size = view.getUint8(at + 1);
    if (size < 2 || size > left) return SIGN_BAD;
    if (kind === TCPOPT_MD5SIG) {
      if (size !== TCPOLEN_MD5SIG || found !== SIGN_NONE) return SIGN_BAD;
      found = SIGN_MD5;
    }
    at += size;
    left -= size;
  }
  return found;
}

/**
 * Whether a segment gets no RST: its options cannot be read, or it is signed, and so would the RST have to be. `known`: it
 * has a socket, which has no key. Linux: the first part of tcp_v4_send_reset(). Borrows `skb`.
 */
export function tcpUnanswerable(skb: SkBuff, known: boolean): boolean {
  const found = findSignature(skb);
  return found === SIGN_BAD || (found === SIGN_MD5 && !known);
}

/**
 * Whether a signature forbids a segment: nobody here has a key, so that one with an MD5 signature was not meant for us, and
 * a malformed one for nobody. 0, or a drop reason. RFC 2385; Linux: tcp_inbound_hash(). Borrows `skb`.
 */
export function tcpInboundHash(st: TcpState, skb: SkBuff): number {
  const found = findSignature(skb);
  if (found === SIGN_NONE) return 0;
  if (found === SIGN_BAD) return st.reason.TCP_AUTH_HDR;
  st.mib.tcpExt.TCPMD5Unexpected++;
  return st.reason.TCP_MD5UNEXPECTED;
}
