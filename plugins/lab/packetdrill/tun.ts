/**
 * The script's end of the link: a device without link header and without neighbours, as packetdrill's TUN is. Linux:
 * drivers/net/tun.c. It takes super-packets whole, so that a script sees what TCP decided to send.
 *
 * @module
 */
import {
  ARPHRD_NONE,
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  gsoSegment,
  IFF_NOARP,
  IFF_POINTOPOINT,
  type Machine,
  type Net,
  NETDEV_TX_OK,
  type NetDevice,
  netdevOps,
  NETIF_F_HW_CSUM,
  NETIF_F_RXCSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
  netifRx,
  SKB_GSO_TCPV4,
  skbTruesize,
  type SkBuff,
} from "../../../core/mod.ts";
import { SKB_HEAD_LOCKED } from "../../transport/tcp/contract.ts";
import { readPacket, type WirePacket } from "./wire.ts";

/** Linear bytes of a long injected packet: all headers. */
const HEAD = 256;
const PAGE = 32768;
/** A page of the kernel's, and the order of the largest piece that a packet's payload is put in. */
const PAGE_SIZE = 4096, MAX_ORDER = 3;
/** Room in front of the headers. */
const HEADROOM = 64;
/** What the head of a packet takes: a page less headroom and the end of the head. */
const GOOD_LINEAR = PAGE_SIZE - HEADROOM - 320;

/** The device. */
export class Tun {
  /** What the stack sees. */
  readonly dev: NetDevice;
  /** What it sent, not yet looked at. */
  readonly queue: WirePacket[] = [];
  /**
   * `ethtool -K tun0 gso off`: super-packets leave as segments. TCP makes them all the same: Linux's always does, and the
   * device's lack is made up for behind the qdisc.
   */
  segments = false;
  /** Sent packets so far. */
  sent = 0;
  readonly #machine: Machine;

  /** Adds `tun0` to a net, up. */
  constructor(net: Net, mtu: number) {
    this.#machine = net.machine;
    this.dev = net.registerNetdevice("tun0", {
      ops: netdevOps({ startXmit: (skb) => this.#xmit(skb) }),
      type: ARPHRD_NONE,
      flags: IFF_POINTOPOINT | IFF_NOARP,
      mtu,
      features: NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO,
      txQueueLen: 500,
    });
    this.dev.open();
  }

  /** Takes ownership of `skb`. Linux: tun_net_xmit(). */
  #xmit(skb: SkBuff): number {
    if (this.segments && skb.gsoSize !== 0) {
      for (let seg = gsoSegment(skb, this.dev); seg !== null;) {
        const next: SkBuff | null = seg.next;
        seg.next = null;
        this.#send(seg);
        seg = next;
      }
    } else this.#send(skb);
    return NETDEV_TX_OK;
  }

  /** Takes ownership of `skb`. */
  #send(skb: SkBuff): void {
    const bytes = new Uint8Array(skb.len);
    copyOut(skb, bytes, 0);
    const packet = readPacket(bytes, this.#machine.now, skb.ipSummed === CHECKSUM_PARTIAL);
    this.dev.stats.txPackets++;
    this.dev.stats.txBytes += bytes.length;
    // The packet leaves its socket here and not when the script looks at it. Linux: skb_orphan() in tun_net_xmit().
    skb.consume();
    this.sent++;
    this.queue.push(packet);
  }

  /** What the stack receives; with `gsoSize` one packet that stands for several segments. False: it was dropped. */
  inject(bytes: Uint8Array, gsoSize: number): boolean {
    const machine = this.#machine;
    machine.enter();
    const long = gsoSize > 0 || bytes.length > this.dev.mtu;
    const skb = this.#build(bytes, long ? HEAD : bytes.length);
    let ok = false;
    if (skb !== null) {
      if (long) skb.truesize = longTruesize(bytes);
      skb.flags |= SKB_HEAD_LOCKED;
      skb.dev = this.dev;
      skb.ipSummed = CHECKSUM_UNNECESSARY;
      if (gsoSize > 0) {
        skb.gsoSize = gsoSize;
        skb.gsoType = SKB_GSO_TCPV4;
        // A vnet header tells the size, not the number: such a packet counts as one. Linux: virtio_net_hdr_to_skb().
        skb.gsoSegs = 0;
      }
      this.dev.stats.rxPackets++;
      this.dev.stats.rxBytes += bytes.length;
      if (this.dev.headerOps.parse(skb, this.dev) === 0) ok = netifRx(skb);
      else skb.consume();
    }
    machine.exit();
    return ok;
  }

  #build(bytes: Uint8Array, linear: number): SkBuff | null {
    const skb = this.#machine.skbs.alloc(linear + 64);
    if (skb === null) return null;
    skb.reserve(34);
    const head = Math.min(bytes.length, linear);
    const at = skb.put(head);
    skb.bytes.set(bytes.subarray(0, head), at);
    for (let done = head; done < bytes.length;) {
      const size = Math.min(PAGE, bytes.length - done);
      if (this.#machine.skbs.addPage(skb, size) !== size) {
        skb.consume();
        return null;
      }
      const frag = skb.frags[skb.nrFrags - 1];
      frag.slab.bytes.set(bytes.subarray(done, done + size), frag.offset);
      done += size;
    }
    return skb;
  }
}

/**
 * What a packet weighs in a receive buffer: what a page holds in its head, the rest in pages. Windows depend on it.
 * Linux: tun_alloc_skb(), alloc_skb_with_frags().
 */
function longTruesize(bytes: Uint8Array): number {
  const linear = Math.min(bytes.length, GOOD_LINEAR);
  let truesize = skbTruesize(linear + HEADROOM);
  let order = MAX_ORDER;
  for (let left = bytes.length - linear; left > 0; left -= PAGE_SIZE << order) {
    const pages = Math.ceil(left / PAGE_SIZE) * PAGE_SIZE;
    while (order > 0 && pages < PAGE_SIZE << order) order--;
    truesize += PAGE_SIZE << order;
  }
  return truesize;
}

/** All bytes from `data` on; returns where it ended. Borrows `skb`. */
function copyOut(skb: SkBuff, to: Uint8Array, at: number): number {
  to.set(skb.bytes.subarray(skb.data, skb.tail), at);
  at += skb.tail - skb.data;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    to.set(frag.slab.bytes.subarray(frag.offset, frag.offset + frag.size), at);
    at += frag.size;
  }
  for (let part = skb.fragList; part !== null; part = part.next) at = copyOut(part, to, at);
  return at;
}
