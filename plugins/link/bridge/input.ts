/** A frame comes in at a port: learn where it is from, find where it goes. Linux: net/bridge/br_input.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import { brFlood, brForward } from "./output.ts";
import {
  BR_STATE_BLOCKING,
  BR_STATE_DISABLED,
  BR_STATE_FORWARDING,
  BR_STATE_LEARNING,
  type BridgeState,
  type Port,
} from "./state.ts";
import { stpRcv } from "./stp_bpdu.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, IFF_UP, netifReceiveSkb, PACKET_HOST, PACKET_OTHERHOST, RX_HANDLER_CONSUMED } = core;
const { ETH_P_8021Q, isMulticastEther, skbVlanUntag, VLAN_HLEN, VLAN_VID_MASK } = ethernetHeader;

/** High half and first bytes of the group addresses that no bridge forwards: 01:80:c2:00:00:0x. */
const LINK_LOCAL_HI = 0x0180;
const LINK_LOCAL_LO = 0xc2000000 | 0;

/**
 * Linux: br_handle_frame(), br_handle_frame_finish(), net/bridge/br_input.c. `data` is behind the link header. Takes
 * ownership of `skb`.
 */
export function brHandleFrame(port: Port, skb: SkBuff): number {
  const br = port.br;
  const view = skb.view;
  const mac = skb.macHeader;
  const srcHi = view.getUint16(mac + 6);
  const srcLo = view.getInt32(mac + 8);
  if (isMulticastEther(srcHi) || (srcHi === 0 && srcLo === 0)) return refuse(port, skb, DROP.DEV_HDR);
  const dstHi = view.getUint16(mac);
  const dstLo = view.getInt32(mac + 2);
  if (dstHi === LINK_LOCAL_HI && (dstLo & ~15) === LINK_LOCAL_LO) return linkLocal(port, skb, dstLo & 15);
  if (port.state === BR_STATE_DISABLED || port.state === BR_STATE_BLOCKING || port.state < BR_STATE_LEARNING) {
    return refuse(port, skb, DROP.DEV_READY);
  }
  const vid = br.vlanFiltering ? ingressVid(port, skb) : 0;
  if (vid < 0) return refuse(port, skb, DROP.VLAN_UNKNOWN);
  br.fdb.learn(vid, srcHi, srcLo, port, br.machine.jiffies);
  if (port.state !== BR_STATE_FORWARDING) return refuse(port, skb, DROP.DEV_READY);
  if (isMulticastEther(dstHi)) {
    const local = (br.dev.flags & IFF_UP) !== 0 && (vid === 0 || br.self.has(vid)) ? skb.clone() : null;
    brFlood(br, skb, port, vid);
    if (local !== null) brPassUp(br, local, vid);
    return RX_HANDLER_CONSUMED;
  }
  const to = br.fdb.find(vid, dstHi, dstLo, br.machine.jiffies);
  if (to === br.self) brPassUp(br, skb, vid);
  else if (to === null) brFlood(br, skb, port, vid);
  else brForward(to, skb, port, vid);
  return RX_HANDLER_CONSUMED;
}

function refuse(port: Port, skb: SkBuff, reason: number): number {
  port.dev.stats.rxDropped++;
  port.dev.net.drop(skb, reason);
  return RX_HANDLER_CONSUMED;
}

/** 0: the spanning tree's; the others belong to protocols between two neighbours. Takes ownership of `skb`. */
function linkLocal(port: Port, skb: SkBuff, which: number): number {
  if (which !== 0 || !port.br.stp) return refuse(port, skb, DROP.UNHANDLED_PROTO);
  stpRcv(port, skb);
  skb.consume();
  return RX_HANDLER_CONSUMED;
}

/** The VLAN of a frame at a port that filters; -1: it may not come in. Linux: __allowed_ingress(). Borrows `skb`. */
function ingressVid(port: Port, skb: SkBuff): number {
  let vid = port.pvid;
  if (skb.protocol === ETH_P_8021Q && skb.mayPull(VLAN_HLEN)) {
    const tag = skb.view.getUint16(skb.data) & VLAN_VID_MASK;
    if (tag !== 0) vid = tag;
  }
  return port.has(vid) ? vid : -1;
}

/** For the host itself. Linux: br_pass_frame_up(). Takes ownership of `skb`. */
export function brPassUp(br: BridgeState, skb: SkBuff, vid: number): void {
  const { dev } = br;
  if ((dev.flags & IFF_UP) === 0) {
    dev.stats.rxDropped++;
    dev.net.drop(skb, DROP.DEV_READY);
    return;
  }
  // The bridge's own VLAN without a tag: its device sees a plain frame.
  if (vid !== 0 && vid === br.self.pvid && skb.protocol === ETH_P_8021Q && !skbVlanUntag(skb)) {
    dev.net.drop(skb, DROP.NOMEM);
    return;
  }
  const view = skb.view;
  const mac = skb.macHeader;
  const mine = view.getUint16(mac) === dev.addrHi && view.getInt32(mac + 2) === dev.addrLo;
  if (mine) skb.pktType = PACKET_HOST;
  else if (skb.pktType === PACKET_HOST) skb.pktType = PACKET_OTHERHOST;
  skb.dev = dev;
  dev.stats.rxPackets++;
  dev.stats.rxBytes += skb.len;
  netifReceiveSkb(skb);
}
