/**
 * The choice of a local port that the peer cannot guess. RFC 6056.
 *
 * @module
 */
import type { Machine } from "../../../core/mod.ts";

const TRIES = 16;

/**
 * A port of `low` to `high` that `free` accepts, or 0: there is none. Random tries first (RFC 6056, algorithm 2), then
 * all ports from a random one on, so that a nearly full range costs one pass. Linux: inet_get_local_port_range(),
 * udp_lib_get_port().
 */
export function pickPort(machine: Machine, low: number, high: number, free: (port: number) => boolean): number {
  const n = high - low + 1;
  if (n <= 0) return 0;
  for (let i = 0; i < TRIES; i++) {
    const port = low + (machine.platform.random() >>> 0) % n;
    if (free(port)) return port;
  }
  const first = (machine.platform.random() >>> 0) % n;
  for (let i = 0; i < n; i++) {
    const port = low + (first + i) % n;
    if (free(port)) return port;
  }
  return 0;
}
