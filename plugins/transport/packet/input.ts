/** A packet on its way to a packet socket. Linux: packet_rcv(), net/packet/af_packet.c. */
import * as core from "../../../core/mod.ts";
import type { NetDevice, SkBuff } from "../../../core/mod.ts";
import { skbSetOwnerR, skDataReady, type Sock, SOCK_RAW } from "../sock/contract.ts";
import type { PacketState } from "./state.ts";

const { DROP, G_SOCK, PACKET_LOOPBACK, PACKET_OUTGOING } = core;

/**
 * Queues a packet: whole with its link header for SOCK_RAW, from the network header on for SOCK_DGRAM.
 * Takes ownership of `skb`.
 */
export function packetRcv(st: PacketState, sk: Sock, skb: SkBuff, dev: NetDevice, outgoing: boolean): void {
  if (skb.pktType === PACKET_LOOPBACK || skb.macHeader < 0) {
    skb.consume();
    return;
  }
  if (outgoing) skb.pktType = PACKET_OUTGOING;
  skb.dev = dev;
  const raw = sk.type === SOCK_RAW;
  const at = raw ? skb.macHeader : outgoing ? skb.macHeader + dev.headerOps.hardHeaderLen : skb.data;
  if (at < skb.data) skb.push(skb.data - at);
  else if (at > skb.data && skb.mayPull(at - skb.data)) skb.pull(at - skb.data);
  const po = st.of(sk);
  po.packets++;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.packetRcv, skb, skb.len, 0, sk);
  if (sk.rmemAlloc >= sk.rcvbuf) {
    po.drops++;
    sk.drops++;
    st.net.drop(skb, DROP.SOCKET_RCVBUFF);
    return;
  }
  if (skb.owner !== null) skb.orphan();
  skbSetOwnerR(skb, sk);
  skb.dst = null;
  sk.receiveQueue.enqueue(skb);
  skDataReady(sk);
}
