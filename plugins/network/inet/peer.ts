/**
 * What is remembered about other hosts, bounded: tokens of the rate limits, redirects sent, fragments
 * received.
 * Linux: net/ipv4/inetpeer.c, struct inet_peer.
 *
 * @module
 */
import type { Net } from "../../../core/mod.ts";
import { hsiphash3 } from "./hash.ts";

const WAYS = 8;
const SETS = 512;
const SIZE = WAYS * SETS;
/** A peer that is new starts as if the last answer to it was a minute ago: with full bursts. */
const FRESH = 60_000;
/** Linux: XRLIM_BURST_FACTOR. */
const BURST_FACTOR = 6;
/** Linux: net.ipv4.route.error_cost and error_burst, in ms. */
const ERROR_COST = 1000;
const ERROR_BURST = 5000;
/** Linux: net.ipv4.route.redirect_number, redirect_load and redirect_silence, the times in ms. */
const REDIRECT_NUMBER = 9;
const REDIRECT_LOAD = 20;
const REDIRECT_SILENCE = REDIRECT_LOAD << (REDIRECT_NUMBER + 1);

/**
 * A table of peers by address: 512 sets of 8 under a keyed hash, the longest unused of a set goes. It never grows, so
 * that forged sources cost nothing but their own history. Times are jiffies (ms).
 */
export class InetPeers {
  readonly #k0: number = 0;
  readonly #k1: number = 0;
  /** Address per slot. */
  readonly addr: Int32Array = new Int32Array(SIZE);
  /** Jiffy of the last use per slot; meaningful where {@linkcode InetPeers.taken} is 1. */
  readonly used: Int32Array = new Int32Array(SIZE);
  /** Whether a slot holds a peer. */
  readonly taken: Uint8Array = new Uint8Array(SIZE);
  /** Tokens of the rate limits, in ms. Linux: rate_tokens. */
  readonly rateTokens: Int32Array = new Int32Array(SIZE);
  /** Jiffy of the last change of the tokens. Linux: rate_last. */
  readonly rateLast: Int32Array = new Int32Array(SIZE);
  /** Redirects sent in a row. Linux: n_redirects. */
  readonly nRedirects: Int32Array = new Int32Array(SIZE);
  /** Fragments received from it. Linux: rid. */
  readonly rid: Int32Array = new Int32Array(SIZE);

  /** An empty table under a 64-bit key. */
  constructor(k0: number, k1: number) {
    this.#k0 = k0;
    this.#k1 = k1;
  }

  /** The slot of a peer, made where missing; never fails. Linux: inet_getpeer_v4(). */
  get(addr: number, now: number): number {
    const base = (hsiphash3(addr, 0, 0, this.#k0, this.#k1) & (SETS - 1)) * WAYS;
    let victim = base;
    for (let i = base; i < base + WAYS; i++) {
      if (this.taken[i] === 0) {
        victim = i;
        break;
      }
      if (this.addr[i] === addr) {
        this.used[i] = now;
        return i;
      }
      if (((this.used[i] - this.used[victim]) | 0) < 0) victim = i;
    }
    this.taken[victim] = 1;
    this.addr[victim] = addr;
    this.used[victim] = now;
    this.rateTokens[victim] = 0;
    this.rateLast[victim] = (now - FRESH) | 0;
    this.nRedirects[victim] = 0;
    this.rid[victim] = 0;
    return victim;
  }

  /** Whether an answer may go out that is limited to one per `timeout` ms, six at once. Linux: inet_peer_xrlim_allow(). */
  xrlimAllow(peer: number, now: number, timeout: number): boolean {
    return this.#take(peer, now, timeout, BURST_FACTOR * timeout);
  }

  /** Whether a "no route" error may go out: five at once, then one per second. Linux: ip_error(), net/ipv4/route.c. */
  routeErrorAllow(peer: number, now: number): boolean {
    return this.#take(peer, now, ERROR_COST, ERROR_BURST);
  }

  /**
   * Whether a redirect may go out: nine in a row at doubling distances, then none until 20 s of silence.
   * Linux: ip_rt_send_redirect(), net/ipv4/route.c.
   */
  redirectAllow(peer: number, now: number): boolean {
    const since = (now - this.rateLast[peer]) >>> 0;
    if (since > REDIRECT_SILENCE) {
      this.rateTokens[peer] = 0;
      this.nRedirects[peer] = 0;
    }
    const n = this.nRedirects[peer];
    if (n >= REDIRECT_NUMBER) {
      this.rateLast[peer] = now;
      return false;
    }
    if (n !== 0 && since <= REDIRECT_LOAD << n) return false;
    this.rateLast[peer] = now;
    this.nRedirects[peer] = n + 1;
    return true;
  }

  /** Takes `cost` tokens of a bucket that fills by one per ms up to `burst`; false: there are not enough. */
  #take(peer: number, now: number, cost: number, burst: number): boolean {
    // A long silence must not overflow the tokens.
    const since = Math.min((now - this.rateLast[peer]) >>> 0, burst);
    let tokens = Math.min(this.rateTokens[peer] + since, burst);
    this.rateLast[peer] = now;
    const ok = tokens >= cost;
    if (ok) tokens -= cost;
    this.rateTokens[peer] = tokens;
    return ok;
  }
}

/** The peers of a net: one table, shared by ipv4 and icmp as Linux shares it. */
export function inetPeers(net: Net): InetPeers {
  const platform = net.machine.platform;
  return net.state("inet:peers", () => new InetPeers(platform.random(), platform.random()));
}
