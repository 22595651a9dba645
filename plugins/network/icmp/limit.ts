/**
 * How many errors a host sends. RFC 1812 section 4.3.2.8. Linux: icmp_global_allow(), icmpv4_xrlim_allow(),
 * net/ipv4/icmp.c.
 *
 * Two limits, both by token bucket: one for the whole net, and one for each destination. What is taken from the whole is
 * *random* (0, 1 or 2 for each message), because a budget that an outsider can count to zero tells him which ports are
 * open (SAD DNS, CVE-2020-25705).
 *
 * @module
 */
import type { Machine } from "../../../core/mod.ts";
import type { InetPeers, SnmpMib } from "../inet/contract.ts";
import { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, NR_ICMP_TYPES } from "./header.ts";

const SECOND = 1000;
/** The whole budget is filled at most this often, in ms. */
const REFILL = SECOND / 50;

/** The limits of a net. Times in ms. */
export class IcmpLimits {
  /** net.ipv4.icmp_ratelimit: ms between two errors to one destination; 0: no limit. */
  ratelimit = 1000;
  /** net.ipv4.icmp_ratemask: types that are limited, a bit each. */
  ratemask = 6168;
  /** net.ipv4.icmp_msgs_per_sec. */
  msgsPerSec = 1000;
  /** net.ipv4.icmp_msgs_burst. */
  msgsBurst = 50;
  readonly #machine: Machine;
  readonly #mib: SnmpMib;
  readonly #peers: InetPeers;
  #credit = 0;
  #stamp: number;

  /** Limits with Linux's defaults and a full budget. */
  constructor(machine: Machine, mib: SnmpMib, peers: InetPeers) {
    this.#machine = machine;
    this.#mib = mib;
    this.#peers = peers;
    this.#stamp = (machine.jiffies - SECOND) | 0;
  }

  /** Whether messages of a kind are limited at all: path-MTU discovery never is. Linux: icmpv4_mask_allow(). */
  limited(type: number, code: number): boolean {
    if (type > NR_ICMP_TYPES || (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED)) return false;
    return ((this.ratemask >>> type) & 1) !== 0;
  }

  /** Whether the whole budget has anything left; takes nothing. Linux: icmp_global_allow(). */
  globalAllow(): boolean {
    if (this.#credit > 0) return true;
    const now = this.#machine.jiffies;
    const since = Math.min((now - this.#stamp) >>> 0, SECOND);
    if (since < REFILL) return this.#refused();
    const more = Math.floor(this.msgsPerSec * since / SECOND);
    if (more === 0) return this.#refused();
    this.#stamp = now;
    this.#credit = Math.min(this.#credit + more, this.msgsBurst);
    return true;
  }

  /** Whether a destination may get one more; then the whole budget pays. Linux: icmpv4_xrlim_allow(). */
  hostAllow(daddr: number, loopback: boolean): boolean {
    if (!loopback && this.ratelimit > 0) {
      const now = this.#machine.jiffies;
      if (!this.#peers.xrlimAllow(this.#peers.get(daddr, now), now, this.ratelimit)) {
        this.#mib.icmp.OutRateLimitHost++;
        return false;
      }
    }
    this.#credit -= Math.floor((this.#machine.platform.random() >>> 0) / 0x100000000 * 3);
    return true;
  }

  #refused(): boolean {
    this.#mib.icmp.OutRateLimitGlobal++;
    return false;
  }
}
