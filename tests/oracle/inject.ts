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

/** NET_SKB_PAD, SMP_CACHE_BYTES, and the aligned sizes of struct sk_buff and struct skb_shared_info on x86-64. */
const PAD = 64, CACHE_LINE = 64, SIZEOF_SK_BUFF = 256, SIZEOF_SHINFO = 320;

/**
 * What a frame of `length` bytes costs the socket that gets it. A TAP cuts the buffer of a frame that fits a page to
 * measure (tun_build_skb(), drivers/net/tun.c), where a driver's buffer is a power of two: windows grow further.
 */
function tapTruesize(length: number): number {
  return (length + PAD + CACHE_LINE - 1 & -CACHE_LINE) + SIZEOF_SK_BUFF + SIZEOF_SHINFO;
}

/**
 * Hands a frame to the stack, in the buffers in which a TAP hands it to the kernel's. Longer than the MTU as well: a
 * channel refuses those as a NIC does, a TAP does not.
 */
export function inject(ch: Channel, frame: Uint8Array): void {
  const { net, dev } = ch;
  const { machine } = net;
  machine.batch(() => {
    const head = Math.min(HEAD, frame.length);
    const skb = machine.skbs.alloc(HEADROOM + head, tapTruesize(head));
    if (skb === null) throw new Error("no memory");
    skb.reserve(HEADROOM);
    skb.dev = dev;
    const copy = (slab: typeof skb.slab, at: number, from: number, length: number): void =>
      copyFromUser(machine.ledger, machine.siteNetifRx, slab, at, frame, from, length);
    copy(skb.slab, skb.put(head), 0, head);
    for (let at = head; at < frame.length;) {
      const length = machine.skbs.addPage(skb, frame.length - at);
      const { slab, offset } = skb.frags[skb.nrFrags - 1];
      copy(slab, offset, at, length);
      at += length;
    }
    dev.stats.rxPackets++;
    dev.stats.rxBytes += frame.length;
    const reason = dev.headerOps.parse(skb, dev);
    if (reason !== 0) {
      dev.stats.rxErrors++;
      net.drop(skb, reason);
    } else netifRx(skb);
  });
}
