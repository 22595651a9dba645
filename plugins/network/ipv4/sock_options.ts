/**
 * IP options of sockets: what IP_OPTIONS sets, what a SYN brings, and packets that carry them.
 * RFC 791 section 3.1, RFC 1122 sections 3.2.1.8 and 4.2.3.8. Linux: ip_options_get(), ip_options_build(),
 * ip_options_undo(), net/ipv4/ip_options.c.
 *
 * A source route is kept as it goes on the wire: its first hop is where packets are sent, the others follow, and the last
 * place is the destination's.
 *
 * @module
 */
import type { SkBuff } from "../../../core/mod.ts";
import type { IpOptions } from "./contract.ts";
import { OPTIONS_NO_ROOM } from "./contract.ts";
import { IPOPT_END, IPOPT_LSRR, IPOPT_NOOP, IPOPT_RA, IPOPT_RR, IPOPT_SSRR, IPOPT_TIMESTAMP } from "./header.ts";
import { type EchoResult, ipOptionsEcho } from "./options.ts";
import type { Ipv4State } from "./state.ts";

/** Bytes of options that a header has room for. */
const MAX_IPOPTLEN = 40;
const TS_TSONLY = 0;

/** An option that is being read: `kind` at `at`, `len` bytes of `out`. */
interface Reading {
  readonly out: number[];
  readonly seen: Set<number>;
  faddr: number;
  srr: number;
  strict: boolean;
}

/** What a socket is given, checked; null: it is malformed. No bytes: no options. Linux: ip_options_get(). */
export function ipOptionsGet(bytes: Uint8Array): IpOptions | null {
  if (bytes.length > MAX_IPOPTLEN) return null;
  const out = Array.from(bytes);
  while ((out.length & 3) !== 0) out.push(IPOPT_END);
  const r: Reading = { out, seen: new Set(), faddr: 0, srr: -1, strict: false };
  for (let at = 0; at < out.length;) {
    const kind = out[at];
    if (kind === IPOPT_END) {
      out.fill(IPOPT_END, at);
      break;
    }
    if (kind === IPOPT_NOOP) {
      at++;
      continue;
    }
    const len = out[at + 1] ?? 0;
    if (len < 2 || at + len > out.length || !readOne(r, kind, at, len)) return null;
    at += len;
  }
  return { data: Uint8Array.from(out), faddr: r.faddr, srr: r.srr, strict: r.strict };
}

/** Whether it is well-formed, and there is no second one of its kind. */
function readOne(r: Reading, kind: number, at: number, len: number): boolean {
  const known = kind === IPOPT_SSRR ? IPOPT_LSRR : kind;
  switch (kind) {
    case IPOPT_LSRR:
    case IPOPT_SSRR:
      if (r.seen.has(known) || len < 7 || r.out[at + 2] !== 4 || ((len - 3) & 3) !== 0) return false;
      takeFirstHop(r, kind, at, len);
      break;
    case IPOPT_RR:
      if (r.seen.has(known) || len < 3 || !hasRoom(r.out, at, len, 4, 3)) return false;
      break;
    case IPOPT_TIMESTAMP: {
      if (r.seen.has(known) || len < 4) return false;
      const flag = r.out[at + 3] & 15;
      if (!hasRoom(r.out, at, len, 5, flag === TS_TSONLY ? 3 : 7)) return false;
      // Full from the beginning: then the overflow counter must have room.
      if (r.out[at + 2] > len && r.out[at + 3] >>> 4 === 15) return false;
      break;
    }
    case IPOPT_RA:
      if (len < 4) return false;
  }
  r.seen.add(known);
  return true;
}

/** Whether the pointer is at least `first`, and an entry that begins within the option ends in it. */
function hasRoom(out: readonly number[], at: number, len: number, first: number, more: number): boolean {
  const ptr = out[at + 2];
  return ptr >= first && (ptr > len || ptr + more <= len);
}

function takeFirstHop(r: Reading, kind: number, at: number, len: number): void {
  const { out } = r;
  r.faddr = addrAt(out, at + 3);
  r.srr = at;
  r.strict = kind === IPOPT_SSRR;
  for (let i = at + 3; i + 4 < at + len; i++) out[i] = out[i + 4];
}

function addrAt(out: ArrayLike<number>, at: number): number {
  return (out[at] << 24) | (out[at + 1] << 16) | (out[at + 2] << 8) | out[at + 3];
}

/** What getsockopt shows: a source route begins with its first hop again. Linux: ip_options_undo(). */
export function ipOptionsUndo(options: IpOptions): Uint8Array {
  const out = Array.from(options.data);
  const { srr, faddr } = options;
  if (srr >= 0) {
    for (let i = srr + out[srr + 1] - 1; i >= srr + 7; i--) out[i] = out[i - 4];
    for (let i = 0; i < 4; i++) out[srr + 3 + i] = (faddr >>> (24 - 8 * i)) & 255;
  }
  return Uint8Array.from(out);
}

/**
 * The options of whoever answers a packet, source route reversed; null: none, or they have no room for the way back.
 * Linux: tcp_v4_save_options(). Borrows `skb`.
 */
export function ipOptionsSave(st: Ipv4State, skb: SkBuff): IpOptions | null {
  const result: EchoResult = { faddr: 0 };
  const data = ipOptionsEcho(st, skb, result);
  if (data === null || data === OPTIONS_NO_ROOM) return null;
  const srr = result.faddr === 0 ? -1 : sourceRouteAt(data);
  return { data, faddr: result.faddr, srr, strict: srr >= 0 && data[srr] === IPOPT_SSRR };
}

function sourceRouteAt(data: Uint8Array): number {
  for (let at = 0; at < data.length;) {
    const kind = data[at];
    if (kind === IPOPT_LSRR || kind === IPOPT_SSRR) return at;
    at += kind === IPOPT_NOOP || kind === IPOPT_END ? 1 : data[at + 1];
  }
  return -1;
}
