/** Packets from raw sockets. Linux: net/ipv4/raw.c. */
import * as core from "../../../core/mod.ts";
import type { SkBuff } from "../../../core/mod.ts";
import { isMulticast } from "../../network/inet/contract.ts";
import { IP_DF, IP_HLEN, IPH_CHECK, IPH_FRAG_OFF, IPH_ID, IPH_SADDR } from "../../network/ipv4/header.ts";
import type { Dst } from "../../network/fib/contract.ts";
import { type IpCork, SKB_NO_MC_LOOP } from "../../network/ipv4/contract.ts";
import {
  datagramRoute,
  ipLocalError,
  MSG_OOB,
  type MsgHdr,
  SEND_SHUTDOWN,
  skbSetOwnerW,
  type Sock,
  sockError,
  TCP_ESTABLISHED,
} from "../sock/contract.ts";
import { NO_BYTES, type RawState } from "./state.ts";

const { copyFromUser, ERRNO, G_SOCK, NET_SKB_PAD, NET_XMIT_CN } = core;
const EMSGSIZE = -ERRNO.EMSGSIZE;
const ENOBUFS = -ERRNO.ENOBUFS;

/**
 * Sends one packet: payload behind an IP header of ours, or with IP_HDRINCL all of it. Bytes taken or a negative errno.
 * Linux: raw_sendmsg(), net/ipv4/raw.c.
 */
export function rawSendmsg(st: RawState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.rawSendmsg, null, msg.len, 0, sk);
  if (msg.len > 0xffff) return EMSGSIZE;
  if ((flags & MSG_OOB) !== 0) return -ERRNO.EOPNOTSUPP;
  const named = msg.addr !== 0;
  if (!named && sk.state !== TCP_ESTABLISHED) return -ERRNO.EDESTADDRREQ;
  const { cork, hdrincl } = st.of(sk);
  cork.daddr = named ? msg.addr : sk.daddr;
  const err = datagramRoute(sk, cork, st.fib, st.mib, !named);
  if (err < 0) return err;
  cork.buf = msg.buf;
  cork.off = msg.off;
  cork.len = msg.len;
  const sent = refused(sk) ?? (hdrincl ? sendHdrinc(st, sk, cork) : send(st, sk, cork));
  cork.dst = null;
  cork.buf = NO_BYTES;
  return sent < 0 ? sent : msg.len;
}

/** What forbids to send at all; undefined: nothing. */
function refused(sk: Sock): number | undefined {
  const pending = sockError(sk);
  if (pending < 0) return pending;
  if ((sk.shutdown & SEND_SHUTDOWN) !== 0) return -ERRNO.EPIPE;
  if (sk.wmemAlloc < sk.sndbuf) return undefined;
  sk.nospace = true;
  return -ERRNO.EAGAIN;
}

function send(st: RawState, sk: Sock, cork: IpCork): number {
  const skb = st.ipv4.makeSkb(cork);
  if (skb === null) {
    if (cork.errno === EMSGSIZE) ipLocalError(sk, ERRNO.EMSGSIZE, cork.daddr, 0, st.fib.mtu(cork.dst!));
    return cork.errno;
  }
  own(sk, skb);
  return said(sk, st.ipv4.sendSkb(skb, cork));
}

/** Linux: raw_send_hdrinc(). What the caller left 0 is filled in: source and id; length and checksum always. */
function sendHdrinc(st: RawState, sk: Sock, cork: IpCork): number {
  const dst = cork.dst as Dst;
  const { len } = cork;
  if (len > dst.dev.mtu) {
    ipLocalError(sk, ERRNO.EMSGSIZE, cork.daddr, 0, dst.dev.mtu);
    return EMSGSIZE;
  }
  if (len < IP_HLEN) return -ERRNO.EINVAL;
  const skb = st.skbs.alloc(NET_SKB_PAD + len);
  if (skb === null) return ENOBUFS;
  own(sk, skb);
  skb.reserve(NET_SKB_PAD);
  const at = skb.data;
  skb.put(len);
  copyFromUser(st.ledger, st.siteSendmsg, skb.slab, at, cork.buf, cork.off, len);
  const view = skb.view;
  const hlen = (view.getUint8(at) & 15) << 2;
  if (hlen > len) {
    skb.consume();
    return -ERRNO.EINVAL;
  }
  skb.dst = dst;
  skb.dev = dst.dev;
  skb.resetNetworkHeader();
  skb.transportHeader = at + hlen;
  if (hlen >= IP_HLEN) {
    if (view.getInt32(at + IPH_SADDR) === 0) view.setInt32(at + IPH_SADDR, cork.saddr);
    if (view.getUint16(at + IPH_ID) === 0 && (view.getUint16(at + IPH_FRAG_OFF) & IP_DF) === 0) {
      view.setUint16(at + IPH_ID, st.ipv4.selectIdent(cork.saddr, cork.daddr, sk.protocol, 1));
    }
    view.setUint16(at + IPH_CHECK, 0);
  }
  if (isMulticast(cork.daddr) && !sk.mcLoop) skb.flags |= SKB_NO_MC_LOOP;
  return said(sk, st.ipv4.localOut(skb));
}

/** Charges it to the socket. Borrows `skb`. */
function own(sk: Sock, skb: SkBuff): void {
  skbSetOwnerW(skb, sk);
  if (!sk.mcLoop) skb.flags |= SKB_NO_MC_LOOP;
}

/** A full queue is an error only for who asked for them. */
function said(sk: Sock, err: number): number {
  if (err <= 0) return err === ENOBUFS && !sk.recverr ? 0 : err;
  return err === NET_XMIT_CN || !sk.recverr ? 0 : ENOBUFS;
}
