/** Receive: a datagram becomes a frame of its segment's device. Linux: drivers/net/vxlan/vxlan_core.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../../link/ethernet/header.ts";
import * as udpHeader from "../udp/header.ts";
import { VxlanHeader } from "./header.ts";
import * as header from "./header.ts";
import { ecnDecapsulate } from "./inner.ts";
import type { VxlanDev, VxlanSock } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CHECKSUM_NONE, CHECKSUM_PARTIAL, DROP, IFF_UP, netifReceiveSkb } = core;
const { ETH_HLEN, isMulticastEther } = ethernetHeader;
const { UDP_HLEN } = udpHeader;
const { VXLAN_HLEN } = header;

/** Frames within frames that are taken out of one packet. Linux: the limit of GRO and of stacked devices is of this size. */
export const VXLAN_DEPTH = 8;
const IPH_TOS = 1;
const IPH_SADDR = 12;

/**
 * Linux: vxlan_rcv(), drivers/net/vxlan/vxlan_core.c. `data` is at the UDP header. Takes ownership of `skb`.
 *
 * Where Linux takes a frame from anybody who knows port and VNI, the sender must be a peer here (CVE-2020-10136,
 * CVE-2024-7595). The inner frame is received at once, not in another NAPI context: so how deep frames are nested is
 * known, and bounded.
 */
export function vxlanRcv(vs: VxlanSock, skb: SkBuff): void {
  const { st } = vs;
  const { reasons } = st;
  const short = VxlanHeader.check(skb, UDP_HLEN);
  if (short !== 0) return st.net.drop(skb, short);
  const outer = new VxlanHeader(skb.view, skb.data + UDP_HLEN);
  if (!outer.valid) return st.net.drop(skb, reasons.invalidHdr);
  const v = vs.devs.get(outer.vni);
  if (v === undefined) return st.net.drop(skb, reasons.vniNotFound);
  const saddr = skb.view.getInt32(skb.networkHeader + IPH_SADDR);
  const tos = skb.view.getUint8(skb.networkHeader + IPH_TOS);
  if (!v.hears(saddr)) return refuse(v, skb, reasons.unknownPeer);
  if ((v.dev.flags & IFF_UP) === 0) return st.net.drop(skb, DROP.DEV_READY);
  if (st.depth >= VXLAN_DEPTH) return refuse(v, skb, DROP.RECURSION_LIMIT);
  skb.pull(UDP_HLEN + VXLAN_HLEN);
  scrub(skb);
  receiveInner(v, skb, saddr, tos);
}

/** Forgets what belongs to the outer packet. Linux: skb_scrub_packet(), iptunnel_pull_header(). Borrows `skb`. */
function scrub(skb: SkBuff): void {
  skb.dst = null;
  skb.hash = 0;
  skb.mark = 0;
  skb.priority = 0;
  skb.transportHeader = -1;
  // The outer checksum says nothing of the inner ones.
  if (skb.ipSummed !== CHECKSUM_PARTIAL) skb.ipSummed = CHECKSUM_NONE;
}

/** `data` is at the inner frame. Takes ownership of `skb`. */
function receiveInner(v: VxlanDev, skb: SkBuff, saddr: number, tos: number): void {
  const { st, dev } = v;
  const { reasons } = st;
  if (!skb.mayPull(ETH_HLEN)) {
    dev.stats.rxLengthErrors++;
    return refuse(v, skb, DROP.HDR_TRUNC);
  }
  skb.dev = dev;
  const bad = dev.headerOps.parse(skb, dev);
  if (bad !== 0) return refuse(v, skb, bad);
  const hi = skb.view.getUint16(skb.macHeader + 6);
  const lo = skb.view.getInt32(skb.macHeader + 8);
  if (hi === dev.addrHi && lo === dev.addrLo) return refuse(v, skb, reasons.localMac);
  if (isMulticastEther(hi) || (hi | lo) === 0) return refuse(v, skb, reasons.invalidSource);
  if (v.learning && !v.fdb.learn(hi, lo, saddr, st.machine.jiffies)) return refuse(v, skb, reasons.entryExists);
  if (!ecnDecapsulate(skb, tos)) return refuse(v, skb, reasons.ecn);
  dev.stats.rxPackets++;
  dev.stats.rxBytes += skb.len;
  st.depth++;
  netifReceiveSkb(skb);
  st.depth--;
}

/** Takes ownership of `skb`. */
function refuse(v: VxlanDev, skb: SkBuff, reason: number): void {
  v.dev.stats.rxErrors++;
  v.st.net.drop(skb, reason);
}
