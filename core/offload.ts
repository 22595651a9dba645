/**
 * Per-protocol offloads: software segmentation on the way out, merging on the way in. Linux: net/core/gro.c,
 * net/core/gso.c, dev_add_offload().
 */
import type { Net } from "./net.ts";
import type { Napi } from "./napi.ts";
import {
  type NetDevice,
  NETIF_F_FRAGLIST,
  NETIF_F_GSO_UDP_L4,
  NETIF_F_HW_CSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
} from "./net_device.ts";
import type { SkBuff } from "./sk_buff.ts";
import * as skBuff from "./sk_buff.ts";
import * as skbCopy from "./skb_copy.ts";
import * as receive from "./receive.ts";
import { DROP } from "./drop_reason.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { netifReceiveSkb } = receive;
const { CHECKSUM_PARTIAL } = skBuff;
const { skbChecksumHelp } = skbCopy;

/** A super-packet of TCP over IPv4. */
export const SKB_GSO_TCPV4 = 1;
/** A super-packet of UDP: each segment is a datagram. */
export const SKB_GSO_UDP_L4 = 1 << 17;

/** `groReceive`: not merged and not held; deliver it now. */
export const GRO_NORMAL = 0;
/** `groReceive`: its payload hangs on a held packet; it is gone. */
export const GRO_MERGED = 1;
/** `groReceive`: held in `napi.groList`. */
export const GRO_HELD = 2;

/** What a network protocol can segment and merge. Linux: struct packet_offload. */
export interface PacketOffload {
  /** EtherType. */
  readonly type: number;
  /** Splits a super-packet into a list linked by `next`, sharing frags; null: cannot. Borrows `skb`. */
  gsoSegment(skb: SkBuff): SkBuff | null;
  /** Merges or holds. Takes ownership of `skb` unless it returns GRO_NORMAL. */
  groReceive(napi: Napi, skb: SkBuff): number;
  /** Finishes a merged packet: lengths, checksum, GSO fields. Borrows `skb`. */
  groComplete(skb: SkBuff): void;
}

/** Registers the offloads of an EtherType. Linux: dev_add_offload(). */
export function devAddOffload(net: Net, ops: PacketOffload): Disposable {
  return net.registration(() => {
    net.offloads = [...net.offloads, ops];
    return () => {
      net.offloads = net.offloads.filter((o) => o !== ops);
    };
  });
}

function find(net: Net, type: number): PacketOffload | null {
  for (const ops of net.offloads) if (ops.type === type) return ops;
  return null;
}

/** Linux's table is one for all nets: a switch passes on what another net made, and may have to cut it. */
function findAnywhere(net: Net, type: number): PacketOffload | null {
  let ops = find(net, type);
  for (let i = 0; ops === null && i < net.machine.nets.length; i++) ops = find(net.machine.nets[i], type);
  return ops;
}

/** The device feature that a super-packet needs. Borrows `skb`. */
export function gsoFeature(skb: SkBuff): number {
  return (skb.gsoType & SKB_GSO_UDP_L4) !== 0 ? NETIF_F_GSO_UDP_L4 : NETIF_F_TSO;
}

/**
 * Makes a packet fit for its device: segments a super-packet, completes a checksum, linearizes. Gives a list linked by
 * `next`, or null: dropped. Linux: validate_xmit_skb(). Takes ownership of `skb`.
 */
export function validateXmit(skb: SkBuff, dev: NetDevice): SkBuff | null {
  const features = dev.features;
  if (skb.gsoSize !== 0 && (features & gsoFeature(skb)) === 0) return gsoSegment(skb, dev);
  const linear = skb.fragList === null ? NETIF_F_SG : NETIF_F_SG | NETIF_F_FRAGLIST;
  if (skb.dataLen !== 0 && (features & linear) !== linear && !skb.linearize()) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.NOMEM);
    return null;
  }
  if (skb.ipSummed === CHECKSUM_PARTIAL && (features & NETIF_F_HW_CSUM) === 0 && !skbChecksumHelp(skb)) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.SKB_CSUM);
    return null;
  }
  return skb;
}

/** Segments in software; gives a list, or null: dropped. Linux: skb_gso_segment(). Takes ownership of `skb`. */
export function gsoSegment(skb: SkBuff, dev: NetDevice): SkBuff | null {
  const ops = findAnywhere(dev.net, skb.protocol);
  const segments = ops === null ? null : ops.gsoSegment(skb);
  if (segments === null) {
    dev.stats.txDropped++;
    dev.net.drop(skb, DROP.SKB_GSO_SEG);
    return null;
  }
  skb.consume();
  let first: SkBuff | null = null;
  let last: SkBuff | null = null;
  for (let s: SkBuff | null = segments; s !== null;) {
    const next: SkBuff | null = s.next;
    s.next = null;
    const ready = validateXmit(s, dev);
    if (ready !== null) {
      if (last === null) first = ready;
      else last.next = ready;
      last = ready;
    }
    s = next;
  }
  return first;
}

/** Merges a received packet into what NAPI holds, or delivers it. Linux: dev_gro_receive(). Takes ownership of `skb`. */
export function groReceive(napi: Napi, skb: SkBuff): void {
  const ops = find(skb.dev!.net, skb.protocol);
  if (ops === null || ops.groReceive(napi, skb) === GRO_NORMAL) netifReceiveSkb(skb);
}

/** Delivers all that NAPI holds, oldest first. Linux: napi_gro_flush(). */
export function groFlush(napi: Napi): void {
  let list = napi.groList;
  napi.groList = null;
  let oldest: SkBuff | null = null;
  while (list !== null) {
    const next: SkBuff | null = list.next;
    list.next = oldest;
    oldest = list;
    list = next;
  }
  while (oldest !== null) {
    const next: SkBuff | null = oldest.next;
    oldest.next = null;
    if (oldest.gsoSegs > 1) find(oldest.dev!.net, oldest.protocol)?.groComplete(oldest);
    netifReceiveSkb(oldest);
    oldest = next;
  }
}
