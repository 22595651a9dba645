/**
 * Receive: NAPI hands up what the link has put into the ring.
 *
 * @module
 */
import { G_NAPI, type Napi, type SkBuff } from "../../../core/mod.ts";
import type { Stream } from "./state.ts";

/**
 * A driver's NAPI poll: at most `budget` frames. A link that waits for room goes on when half of the ring is free.
 * Linux's counterpart on the other side is tun_do_read(), drivers/net/tun.c.
 */
export function streamPoll(s: Stream, napi: Napi, budget: number): number {
  let work = 0;
  while (work < budget && s.opened) {
    const skb = s.rx.dequeue();
    if (skb === null) break;
    work++;
    streamReceive(s, napi, skb);
    if (s.paused && s.rx.qlen <= s.rxLimit >> 1) s.resume();
  }
  if (work < budget && napi.complete(work)) s.irq.unmask();
  return work;
}

/** Takes ownership of `skb`. */
function streamReceive(s: Stream, napi: Napi, skb: SkBuff): void {
  const { dev } = s;
  dev.stats.rxPackets++;
  dev.stats.rxBytes += skb.len;
  if ((s.bus.mask & G_NAPI) !== 0) s.bus.hit(s.tpRead, skb, skb.len, 0, dev);
  const reason = dev.headerOps.parse(skb, dev);
  if (reason !== 0) {
    dev.stats.rxErrors++;
    s.net.drop(skb, reason);
  } else napi.groReceive(skb);
}
