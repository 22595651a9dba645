/**
 * The way down: from sendmsg() to IP. Linux: net/ipv4/udp.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import * as inet from "../../network/inet/contract.ts";
import type { IpCork } from "../../network/ipv4/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import type { MsgHdr, Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as udpHeader from "./header.ts";
import type { UdpState } from "./state.ts";
import * as state from "./state.ts";
import { udpAutobind } from "./socket.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  csumFold,
  csumTcpUdpNofold,
  ERRNO,
  G_SOCK,
  NET_XMIT_CN,
  NETIF_F_HW_CSUM,
  skbChecksum,
} = core;
const { IPPROTO_UDP } = inet;
const { SKB_NO_MC_LOOP } = ipv4;
const { datagramRoute, ipLocalError, SEND_SHUTDOWN, skbSetOwnerW, sockError, TCP_ESTABLISHED } = sock;
const { UDP_CHECK, UDP_DEST, UDP_LEN, UDP_MAX_PAYLOAD, UDP_SOURCE } = udpHeader;
const { NO_BYTES, udpSk } = state;

const EMSGSIZE = -ERRNO.EMSGSIZE;
const EAGAIN = -ERRNO.EAGAIN;
const EPIPE = -ERRNO.EPIPE;
const EINVAL = -ERRNO.EINVAL;
const ENOBUFS = -ERRNO.ENOBUFS;
const EDESTADDRREQ = -ERRNO.EDESTADDRREQ;
const MSG_OOB = 1;

/**
 * Sends one datagram; the bytes taken, or a negative errno. Nothing waits: a full send buffer is -EAGAIN.
 * Linux: udp_sendmsg(), net/ipv4/udp.c.
 */
export function udpSendmsg(st: UdpState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpSendmsg, null, msg.len, msg.port, sk);
  if (msg.len > 0xffff) return EMSGSIZE;
  if ((flags & MSG_OOB) !== 0) return -ERRNO.EOPNOTSUPP;
  const cork = udpSk(sk).cork;
  // A message without a name goes to the peer; a record that recvmsg() filled answers whom it names.
  const named = msg.addr !== 0 || msg.port !== 0;
  if (!named && sk.state !== TCP_ESTABLISHED) return EDESTADDRREQ;
  if (named && msg.port === 0) return EINVAL;
  if (sk.sport === 0) {
    const err = udpAutobind(st, sk);
    if (err < 0) return err;
  }
  const dport = named ? msg.port : sk.dport;
  cork.daddr = named ? msg.addr : sk.daddr;
  const err = datagramRoute(sk, cork, st.fib, st.mib, !named);
  if (err < 0) return err;
  cork.buf = msg.buf;
  cork.off = msg.off;
  cork.len = msg.len;
  const sent = udpMakeAndSend(st, sk, cork, dport);
  cork.dst = null;
  cork.buf = NO_BYTES;
  return sent < 0 ? sent : msg.len;
}

/** The one copy in, then the header, then IP. 0 or a negative errno. */
function udpMakeAndSend(st: UdpState, sk: Sock, cork: IpCork, dport: number): number {
  const pending = sockError(sk);
  if (pending < 0) return pending;
  if ((sk.shutdown & SEND_SHUTDOWN) !== 0) return EPIPE;
  if (cork.len > UDP_MAX_PAYLOAD) return tooBig(sk, cork, 0xffff);
  if (sk.wmemAlloc >= sk.sndbuf) {
    sk.nospace = true;
    st.mib.udp.SndbufErrors++;
    return EAGAIN;
  }
  const skb = st.ipv4.makeSkb(cork);
  if (skb === null) {
    if (cork.errno === EMSGSIZE) return tooBig(sk, cork, st.fib.mtu(cork.dst!));
    if (cork.errno === ENOBUFS) st.mib.udp.SndbufErrors++;
    return cork.errno;
  }
  skbSetOwnerW(skb, sk);
  if (!sk.mcLoop) skb.flags |= SKB_NO_MC_LOOP;
  return udpSendSkb(st, sk, skb, cork, dport);
}

/** A datagram that may not be fragmented and is too long: the caller hears of it, and IP_RECVERR's queue. */
function tooBig(sk: Sock, cork: IpCork, mtu: number): number {
  ipLocalError(sk, ERRNO.EMSGSIZE, cork.daddr, sk.dport, mtu);
  return EMSGSIZE;
}

/** Writes header and checksum and gives it to IP. Linux: udp_send_skb(), net/ipv4/udp.c. Takes ownership of `skb`. */
function udpSendSkb(st: UdpState, sk: Sock, skb: SkBuff, cork: IpCork, dport: number): number {
  const view = skb.view;
  const at = skb.transportHeader;
  view.setUint16(at + UDP_SOURCE, sk.sport);
  view.setUint16(at + UDP_DEST, dport);
  view.setUint16(at + UDP_LEN, skb.len);
  view.setUint16(at + UDP_CHECK, 0);
  if (!sk.noCheckTx) udpSetCsum(skb, cork);
  else skb.ipSummed = CHECKSUM_NONE;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpSendSkb, skb, dport, skb.len, sk);
  let err = st.ipv4.sendSkb(skb, cork);
  if (err > 0) err = err === NET_XMIT_CN ? 0 : ENOBUFS;
  if (err === 0) {
    st.mib.udp.OutDatagrams++;
    return 0;
  }
  if (err !== ENOBUFS || sk.recverr) return err;
  st.mib.udp.SndbufErrors++;
  return 0;
}

/**
 * The checksum over pseudo header, header and payload, or only the first part of it where the device does the rest and
 * gets the datagram in one piece. A sum of 0 is sent as all ones (RFC 768). Linux: udp_set_csum(). Borrows `skb`.
 */
function udpSetCsum(skb: SkBuff, cork: IpCork): void {
  const len = skb.len;
  const at = skb.transportHeader;
  const pseudo = csumTcpUdpNofold(cork.saddr, cork.daddr, len, IPPROTO_UDP);
  if (skb.fragList === null && (cork.dst!.dev.features & NETIF_F_HW_CSUM) !== 0) {
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = at;
    skb.csumOffset = UDP_CHECK;
    skb.view.setUint16(at + UDP_CHECK, ~csumFold(pseudo) & 0xffff, true);
    return;
  }
  const sum = csumFold(skbChecksum(skb, 0, len, pseudo));
  skb.view.setUint16(at + UDP_CHECK, sum === 0 ? 0xffff : sum, true);
  skb.ipSummed = CHECKSUM_NONE;
}
