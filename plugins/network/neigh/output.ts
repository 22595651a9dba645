/** Transmit: from the next hop to a link address. Linux: include/net/neighbour.h, net/core/neighbour.c. */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as neigh from "./contract.ts";
import type { NeighEntry, NeighState } from "./table.ts";
import * as state from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { neighEventSend } = state;
const { devQueueXmit, DROP, ERRNO, G_LINK, NET_XMIT_SUCCESS } = core;
const { NUD_CONNECTED } = neigh;

/**
 * Linux: neigh_output(), include/net/neighbour.h.
 *
 * `data` is at the network header and `skb.protocol` says which. Where the address is known and good the link header is
 * pushed at once; elsewhere neigh_resolve_output() parks the packet, or lets it go and has the address checked.
 *
 * Returns NET_XMIT_*, or a negative errno: ENETDOWN, the entry is dead; ENOMEM. Takes ownership of `skb`.
 */
export function neighOutput(st: NeighState, n: NeighEntry, skb: SkBuff): number {
  if (skb.dev !== n.dev) skb.dev = n.dev;
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.output, skb, n.nudState, 0, n);
  if ((n.nudState & NUD_CONNECTED) === 0 && !neighEventSend(st, n, skb)) {
    return n.dead ? -ERRNO.ENETDOWN : NET_XMIT_SUCCESS;
  }
  return neighConnectedOutput(st, n, skb);
}

/** Takes ownership of `skb`. */
function noHeader(st: NeighState, skb: SkBuff): number {
  st.net.drop(skb, DROP.NOMEM);
  return -ERRNO.ENOMEM;
}

/** Linux: neigh_connected_output(), net/core/neighbour.c. Takes ownership of `skb`. */
function neighConnectedOutput(st: NeighState, n: NeighEntry, skb: SkBuff): number {
  const dev = n.dev;
  if (!dev.headerOps.create(skb, dev, skb.protocol, n.haHi, n.haLo, dev.addrHi, dev.addrLo)) return noHeader(st, skb);
  if ((st.bus.mask & G_LINK) !== 0) st.bus.hit(st.tp.connected, skb, n.nudState, 0, n);
  return devQueueXmit(skb);
}
