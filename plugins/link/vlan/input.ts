/** Receive: a tagged frame becomes a frame of its VLAN's device. Linux: net/8021q/vlan_core.c. */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "../ethernet/header.ts";
import { vlanKey, type VlanState } from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, IFF_UP, netifReceiveSkb, PACKET_HOST, PACKET_OTHERHOST } = core;
const { ETH_P_8021AD, ETH_P_8021Q, skbVlanUntag, VLAN_HLEN, VLAN_VID_MASK } = ethernetHeader;

/**
 * Linux: vlan_do_receive(), net/8021q/vlan_core.c. `data` is at the tag. Takes ownership of `skb`.
 *
 * The addresses move behind the tag, so that taps of the VLAN's device see an untagged frame. A tag inside a tag comes
 * back here from {@linkcode netifReceiveSkb}: as deep as there are devices, no deeper.
 */
export function vlanRcv(st: VlanState, skb: SkBuff, real: NetDevice): void {
  if (!skb.mayPull(VLAN_HLEN)) {
    st.net.drop(skb, DROP.HDR_TRUNC);
    return;
  }
  const tci = skb.view.getUint16(skb.data);
  const vlan = st.devs.get(vlanKey(real.ifindex, skb.protocol, tci & VLAN_VID_MASK));
  if (vlan === undefined || (vlan.dev.flags & IFF_UP) === 0) {
    st.net.drop(skb, vlan === undefined ? DROP.VLAN_UNKNOWN : DROP.DEV_READY);
    return;
  }
  const { dev } = vlan;
  if (!skbVlanUntag(skb)) {
    st.net.drop(skb, DROP.NOMEM);
    return;
  }
  skb.dev = dev;
  skb.priority = vlan.ingress[tci >>> 13];
  const view = skb.view;
  const mac = skb.macHeader;
  // Meant for the VLAN's own address, where it has one.
  if (
    skb.pktType === PACKET_OTHERHOST && view.getUint16(mac) === dev.addrHi && view.getInt32(mac + 2) === dev.addrLo
  ) skb.pktType = PACKET_HOST;
  dev.stats.rxPackets++;
  dev.stats.rxBytes += skb.len;
  netifReceiveSkb(skb);
}

/** The EtherTypes that tags have. */
export const VLAN_PROTOS: readonly number[] = [ETH_P_8021Q, ETH_P_8021AD];
