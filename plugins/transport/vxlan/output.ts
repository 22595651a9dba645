/** Transmit: a frame goes to the end behind which its destination is. Linux: drivers/net/vxlan/vxlan_core.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../../link/ethernet/header.ts";
import * as fib from "../../network/fib/contract.ts";
import * as inet from "../../network/inet/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import * as ipv4Header from "../../network/ipv4/header.ts";
import * as udpHeader from "../udp/header.ts";
import { VxlanHeader } from "./header.ts";
import * as header from "./header.ts";
import { ECN_MASK, ecnEncapsulate, innerHash, innerIpv4 } from "./inner.ts";
import type { VxlanDev } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { CHECKSUM_NONE, csumFold, csumTcpUdpNofold, DROP, NETDEV_TX_OK, skbChecksum } = core;
const { ETH_HLEN, ETH_P_IP, isMulticastEther } = ethernetHeader;
const { RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNREACHABLE } = fib;
const { IPPROTO_UDP } = inet;
const { SKB_NO_MC_LOOP } = ipv4;
const { IP_DF, IP_HLEN, IPH_FRAG_OFF, IPH_TTL } = ipv4Header;
const { UDP_CHECK, UDP_DEST, UDP_HLEN, UDP_LEN, UDP_SOURCE } = udpHeader;
const { VXLAN_HLEN } = header;

const IPH_TOS = 1;

/**
 * A driver's ndo_start_xmit. A unicast frame whose destination is known goes to one end; all others go to every remote.
 * Linux: vxlan_xmit(). Takes ownership of `skb`.
 */
export function vxlanXmit(v: VxlanDev, skb: SkBuff): number {
  if (!skb.mayPull(ETH_HLEN)) return refuse(v, skb, DROP.HDR_TRUNC);
  const hi = skb.view.getUint16(skb.data);
  const lo = skb.view.getInt32(skb.data + 2);
  const known = isMulticastEther(hi) ? 0 : v.fdb.find(hi, lo, v.st.machine.jiffies);
  if (known !== 0) return xmitOne(v, skb, known);
  const { remotes } = v;
  if (remotes.length === 0) {
    v.dev.stats.txDropped++;
    v.st.net.drop(skb, v.st.reasons.noRemote);
    return NETDEV_TX_OK;
  }
  for (let i = 0; i < remotes.length - 1; i++) {
    const twin = skb.clone();
    if (twin !== null) xmitOne(v, twin, remotes[i]);
    else v.dev.stats.txDropped++;
  }
  return xmitOne(v, skb, remotes[remotes.length - 1]);
}

/** Linux: vxlan_xmit_one(), udp_tunnel_xmit_skb(). Takes ownership of `skb`. */
function xmitOne(v: VxlanDev, skb: SkBuff, remote: number): number {
  const { st, dev } = v;
  const len = skb.len;
  skb.mayPull(Math.min(len, ETH_HLEN + IP_HLEN));
  const ip = innerIpv4(skb);
  const innerTos = ip < 0 ? 0 : skb.view.getUint8(ip + IPH_TOS);
  const tos = ecnEncapsulate(v.tos < 0 ? innerTos : v.tos, innerTos);
  const dst = st.fib.routeOutput(remote, v.local, v.lower === null ? 0 : v.lower.ifindex, tos & ~ECN_MASK);
  if (dst === null || dst.type === RTN_BLACKHOLE || dst.type === RTN_UNREACHABLE || dst.type === RTN_PROHIBIT) {
    return refuse(v, skb, DROP.IP_OUTNOROUTES);
  }
  // The way to the other end leads through this tunnel. Linux: "circular route".
  if (dst.dev === dev) return refuse(v, skb, DROP.RECURSION_LIMIT);
  const ttl = outerTtl(v, skb, ip, remote);
  const df = v.df < 0 ? ip >= 0 && (skb.view.getUint16(ip + IPH_FRAG_OFF) & IP_DF) !== 0 : v.df !== 0;
  // The hash's upper bits choose: lower ones may be alike for flows that differ little. Linux: udp_flow_src_port().
  const sport = v.portLow + Math.floor((innerHash(skb, ip, st.key) >>> 0) / 2 ** 32 * v.ports);
  if (!skb.cowHead(VXLAN_HLEN + UDP_HLEN + IP_HLEN + dst.dev.headerOps.hardHeaderLen)) {
    return refuse(v, skb, DROP.NOMEM);
  }
  const saddr = v.local !== 0 ? v.local : dst.prefsrc;
  pushHeaders(v, skb, sport, saddr, remote);
  skb.dst = dst;
  skb.dev = dst.dev;
  skb.cb.fill(0, st.ipcb, st.ipcb + st.ipcbWords);
  const rc = st.ipv4.queueXmit(skb, saddr, remote, IPPROTO_UDP, tos, ttl, df);
  if (rc === 0) {
    dev.stats.txPackets++;
    dev.stats.txBytes += len;
  } else dev.stats.txErrors++;
  return NETDEV_TX_OK;
}

/** Borrows `skb`. */
function outerTtl(v: VxlanDev, skb: SkBuff, ip: number, remote: number): number {
  const ttl = v.ttl >= 0 ? v.ttl : ip < 0 ? 0 : skb.view.getUint8(ip + IPH_TTL);
  // To a group it goes no further than the link, unless somebody says so.
  return ttl === 0 && remote >>> 28 === 0xe ? 1 : ttl;
}

/** VXLAN and UDP in front of the frame; what belonged to the inner packet is forgotten. Borrows `skb`. */
function pushHeaders(v: VxlanDev, skb: SkBuff, sport: number, saddr: number, daddr: number): void {
  new VxlanHeader(skb.view, skb.push(VXLAN_HLEN)).write(v.vni);
  const at = skb.push(UDP_HLEN);
  const view = skb.view;
  view.setUint16(at + UDP_SOURCE, sport);
  view.setUint16(at + UDP_DEST, v.port);
  view.setUint16(at + UDP_LEN, skb.len);
  view.setUint16(at + UDP_CHECK, 0);
  if (v.udpCsum) {
    const sum = csumFold(skbChecksum(skb, 0, skb.len, csumTcpUdpNofold(saddr, daddr, skb.len, IPPROTO_UDP)));
    view.setUint16(at + UDP_CHECK, sum === 0 ? 0xffff : sum, true);
  }
  skb.transportHeader = at;
  skb.protocol = ETH_P_IP;
  skb.ipSummed = CHECKSUM_NONE;
  skb.ignoreDf = false;
  skb.hash = 0;
  skb.flags |= SKB_NO_MC_LOOP;
}

/** Takes ownership of `skb`. */
function refuse(v: VxlanDev, skb: SkBuff, reason: number): number {
  v.dev.stats.txErrors++;
  v.st.net.drop(skb, reason);
  return NETDEV_TX_OK;
}
