/**
 * The messages of the spanning tree on the wire: LLC to the group 01:80:c2:00:00:00. IEEE 802.1D-1998 section 9; Linux:
 * net/bridge/br_stp_bpdu.c.
 */
import { IFF_UP, type SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import { ETH_HLEN } from "../ethernet/header.ts";
import type { BridgeId, BridgeState, Port } from "./state.ts";
import { receivedConfig, receivedTcn } from "./stp.ts";

const { devQueueXmit, zero } = core;

/** Bytes: LLC, then a configuration message. */
const CONFIG_LEN = 3 + 35;
/** Bytes: LLC, then a topology change notification. */
const TCN_LEN = 3 + 4;
const TYPE_CONFIG = 0x00;
const TYPE_TCN = 0x80;

/** A configuration message. Times in jiffies. */
export interface Config {
  /** The topology changes. */
  topologyChange: boolean;
  /** Your notification was heard. */
  topologyChangeAck: boolean;
  /** The root. */
  root: BridgeId;
  /** Cost of the sender's way to it. */
  rootPathCost: number;
  /** The sender. */
  bridge: BridgeId;
  /** Its port. */
  port: number;
  /** How old the root's word is. */
  messageAge: number;
  /** When it is too old. */
  maxAge: number;
  /** Between two of the root's words. */
  helloTime: number;
  /** Length of listening and of learning. */
  forwardDelay: number;
}

/** A message to `p`'s link with `len` bytes behind the Ethernet header, or null. */
function message(p: Port, len: number): SkBuff | null {
  const { dev } = p;
  if ((dev.flags & IFF_UP) === 0) return null;
  const skb = dev.net.machine.skbs.alloc(128);
  if (skb === null) return null;
  const at = skb.put(ETH_HLEN + len);
  zero(skb.slab, at, ETH_HLEN + len);
  const view = skb.view;
  view.setUint16(at, 0x0180);
  view.setInt32(at + 2, 0xc2000000 | 0);
  view.setUint16(at + 6, dev.addrHi);
  view.setInt32(at + 8, dev.addrLo);
  // 802.3: the length stands where the EtherType would. Then LLC: both access points 0x42, unnumbered information.
  view.setUint16(at + 12, len);
  view.setUint16(at + ETH_HLEN, 0x4242);
  view.setUint8(at + ETH_HLEN + 2, 3);
  skb.dev = dev;
  skb.networkHeader = at + ETH_HLEN;
  skb.protocol = 0x0004;
  skb.priority = 7;
  return skb;
}

/** Times are in 256ths of a second. */
function ticks(jiffies: number): number {
  return Math.floor(jiffies * 256 / 1000);
}

function jiffies(ticks: number): number {
  return Math.floor(ticks * 1000 / 256);
}

/** Linux: br_send_config_bpdu(). */
export function sendConfig(p: Port, c: Config): void {
  const skb = message(p, CONFIG_LEN);
  if (skb === null) return;
  const v = skb.view;
  const at = skb.data + ETH_HLEN + 3;
  v.setUint8(at + 3, TYPE_CONFIG);
  v.setUint8(at + 4, (c.topologyChange ? 1 : 0) | (c.topologyChangeAck ? 0x80 : 0));
  v.setInt32(at + 5, c.root.hi);
  v.setInt32(at + 9, c.root.lo);
  v.setInt32(at + 13, c.rootPathCost);
  v.setInt32(at + 17, c.bridge.hi);
  v.setInt32(at + 21, c.bridge.lo);
  v.setUint16(at + 25, c.port);
  v.setUint16(at + 27, ticks(c.messageAge));
  v.setUint16(at + 29, ticks(c.maxAge));
  v.setUint16(at + 31, ticks(c.helloTime));
  v.setUint16(at + 33, ticks(c.forwardDelay));
  devQueueXmit(skb);
}

/** Towards the root. Linux: br_send_tcn_bpdu(). */
export function sendTcn(br: BridgeState): void {
  const p = br.ports.find((q) => q.no === br.rootPort);
  const skb = p === undefined ? null : message(p, TCN_LEN);
  if (skb === null) return;
  skb.view.setUint8(skb.data + ETH_HLEN + 3 + 3, TYPE_TCN);
  devQueueXmit(skb);
}

/** `data` is at the LLC header. What is no message of the tree is ignored. Linux: br_stp_rcv(). Borrows `skb`. */
export function stpRcv(p: Port, skb: SkBuff): void {
  if (!skb.mayPull(TCN_LEN)) return;
  const v = skb.view;
  const llc = skb.data;
  const at = llc + 3;
  if (v.getUint16(llc) !== 0x4242 || v.getUint8(llc + 2) !== 3 || v.getUint16(at) !== 0 || v.getUint8(at + 2) !== 0) {
    return;
  }
  if (p.state === 0) return;
  const type = v.getUint8(at + 3);
  if (type === TYPE_TCN) receivedTcn(p);
  if (type !== TYPE_CONFIG || !skb.mayPull(CONFIG_LEN)) return;
  const view = skb.view;
  const b = skb.data + 3;
  const flags = view.getUint8(b + 4);
  const c: Config = {
    topologyChange: (flags & 1) !== 0,
    topologyChangeAck: (flags & 0x80) !== 0,
    root: { hi: view.getInt32(b + 5), lo: view.getInt32(b + 9) },
    rootPathCost: view.getUint32(b + 13),
    bridge: { hi: view.getInt32(b + 17), lo: view.getInt32(b + 21) },
    port: view.getUint16(b + 25),
    messageAge: jiffies(view.getUint16(b + 27)),
    maxAge: jiffies(view.getUint16(b + 29)),
    helloTime: jiffies(view.getUint16(b + 31)),
    forwardDelay: jiffies(view.getUint16(b + 33)),
  };
  // A message older than it may be says nothing. IEEE 802.1D section 9.3.4.
  if (c.messageAge <= c.maxAge) receivedConfig(p, c);
}
