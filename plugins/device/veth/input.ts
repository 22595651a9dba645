/**
 * The receiving end of a pair: NAPI takes what the peer handed over.
 *
 * @module
 */
import type { Napi } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { VethEnd } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_NET, netifTxWakeQueue } = core;

/**
 * Linux: veth_poll(), drivers/net/veth.c.
 * Takes at most `budget` packets from the queue, then lets a peer that was stopped send again.
 */
export function vethPoll(end: VethEnd, napi: Napi, budget: number): number {
  const dev = end.dev;
  const queue = end.queue;
  let work = 0;
  while (work < budget) {
    const skb = queue.dequeue();
    if (skb === null) break;
    work++;
    dev.stats.rxPackets++;
    dev.stats.rxBytes += skb.len + skb.macLen;
    if ((end.bus.mask & G_NET) !== 0) end.bus.hit(end.tp.poll, skb, skb.len, queue.qlen, dev);
    napi.groReceive(skb);
  }
  const peer = end.peer;
  if (peer !== null && peer.dev.txq[0].stopped) netifTxWakeQueue(peer.dev.txq[0]);
  if (work < budget && napi.complete(work)) {
    end.notifyMasked = queue.qlen > 0;
    if (end.notifyMasked) napi.schedule();
  }
  return work;
}
