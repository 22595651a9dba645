/**
 * How frames come into netpath in the oracle.
 *
 * @module
 */
import { copyFromUser, netifRx } from "../../core/mod.ts";
import type { Channel } from "../../plugins/device/channel/mod.ts";

/** A frame up to here is linear, as a TAP makes it. */
const HEAD = 1900;
const HEADROOM = 34;

/** Hands a frame to the stack. Longer than the MTU as well: a channel refuses those as a NIC does, a TAP does not. */
export function inject(ch: Channel, frame: Uint8Array): void {
  if (frame.length <= ch.dev.mtu + ch.dev.headerOps.hardHeaderLen) {
    ch.inject(frame);
    return;
  }
  const { net, dev } = ch;
  const { machine } = net;
  machine.batch(() => {
    const skb = machine.skbs.alloc(HEADROOM + HEAD);
    if (skb === null) throw new Error("no memory");
    skb.reserve(HEADROOM);
    skb.dev = dev;
    const copy = (slab: typeof skb.slab, at: number, from: number, length: number): void =>
      copyFromUser(machine.ledger, machine.siteNetifRx, slab, at, frame, from, length);
    const head = Math.min(HEAD, frame.length);
    copy(skb.slab, skb.put(head), 0, head);
    for (let at = head; at < frame.length;) {
      const length = machine.skbs.addPage(skb, frame.length - at);
      const { slab, offset } = skb.frags[skb.nrFrags - 1];
      copy(slab, offset, at, length);
      at += length;
    }
    const reason = dev.headerOps.parse(skb, dev);
    if (reason !== 0) net.drop(skb, reason);
    else netifRx(skb);
  });
}
