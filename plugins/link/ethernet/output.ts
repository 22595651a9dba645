/** Transmit: the header is pushed. Linux: net/ethernet/eth.c. */
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as ethernetHeader from "./header.ts";
import type { EthState } from "./input.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { G_LINK } = core;
const { ETH_HLEN, ETH_P_802_2, ETH_P_802_3 } = ethernetHeader;

/**
 * Linux: eth_header(), net/ethernet/eth.c.
 *
 * Adds the header by moving `data` down. For the two dummy types of 802.3 the length stands where the EtherType would.
 *
 * Borrows `skb`. False: no memory for a private head.
 */
export function ethHeader(
  st: EthState,
  skb: SkBuff,
  dev: NetDevice,
  type: number,
  dstHi: number,
  dstLo: number,
  srcHi: number,
  srcLo: number,
): boolean {
  if ((skb.cloned || skb.data - skb.head < ETH_HLEN) && !skb.cowHead(ETH_HLEN)) return false;
  // Decided before the view is loaded: V8 calls out for an access behind a join of ways.
  const proto = type === ETH_P_802_3 || type === ETH_P_802_2 ? skb.len : type;
  const at = skb.push(ETH_HLEN);
  const view = skb.view;
  view.setUint16(at, dstHi);
  view.setInt32(at + 2, dstLo);
  view.setUint16(at + 6, srcHi);
  view.setInt32(at + 8, srcLo);
  view.setUint16(at + 12, proto);
  skb.macHeader = at;
  skb.macLen = ETH_HLEN;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.header, skb, type, 0, dev);
  return true;
}
