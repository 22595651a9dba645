/**
 * Echo requests from a ping socket. Linux: net/ipv4/ping.c.
 */
import { CHECKSUM_NONE, csumFold, ERRNO, G_SOCK, NET_XMIT_CN, skbChecksum, type SkBuff } from "../../../core/mod.ts";
import { ICMP_HLEN } from "../../network/icmp/header.ts";
import { type IpCork, SKB_NO_MC_LOOP } from "../../network/ipv4/contract.ts";
import {
  datagramRoute,
  ipLocalError,
  type MsgHdr,
  SEND_SHUTDOWN,
  skbSetOwnerW,
  type Sock,
  sockError,
  TCP_ESTABLISHED,
} from "../sock/contract.ts";
import { pingSupported } from "./input.ts";
import { NO_BYTES, pingGetPort, type PingState } from "./state.ts";

const EMSGSIZE = -ERRNO.EMSGSIZE;
const EAGAIN = -ERRNO.EAGAIN;
const ENOBUFS = -ERRNO.ENOBUFS;
const MSG_OOB = 1;
const ICMP_CHECK = 2;
const ICMP_ID = 4;
const ICMP_SEQ = 6;

/**
 * Sends an echo request whose 8 bytes of header the caller gives: type, code and sequence count, identifier and
 * checksum are filled in. The port of the address means nothing. Bytes taken, or a negative errno; -EINVAL: no echo
 * request. Linux: ping_v4_sendmsg(), net/ipv4/ping.c.
 */
export function pingSendmsg(st: PingState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.pingSendmsg, null, msg.len, 0, sk);
  if (msg.len > 0xffff) return EMSGSIZE;
  if (msg.len < ICMP_HLEN) return -ERRNO.EINVAL;
  if ((flags & MSG_OOB) !== 0) return -ERRNO.EOPNOTSUPP;
  if (!pingSupported(msg.buf[msg.off], msg.buf[msg.off + 1])) return -ERRNO.EINVAL;
  const named = msg.addr !== 0 || msg.port !== 0;
  if (!named && sk.state !== TCP_ESTABLISHED) return -ERRNO.EDESTADDRREQ;
  if (sk.sport === 0 && pingGetPort(st, sk, 0) < 0) return EAGAIN;
  const cork = sk.proto as IpCork;
  cork.daddr = named ? msg.addr : sk.daddr;
  const err = datagramRoute(sk, cork, st.fib, st.mib, !named);
  if (err < 0) return err;
  cork.buf = msg.buf;
  cork.off = msg.off + ICMP_HLEN;
  cork.len = msg.len - ICMP_HLEN;
  const sent = makeAndSend(st, sk, cork, msg);
  cork.dst = null;
  cork.buf = NO_BYTES;
  return sent < 0 ? sent : msg.len;
}

function makeAndSend(st: PingState, sk: Sock, cork: IpCork, msg: MsgHdr): number {
  const pending = sockError(sk);
  if (pending < 0) return pending;
  if ((sk.shutdown & SEND_SHUTDOWN) !== 0) return -ERRNO.EPIPE;
  if (sk.wmemAlloc >= sk.sndbuf) {
    sk.nospace = true;
    return EAGAIN;
  }
  const skb = st.ipv4.makeSkb(cork);
  if (skb === null) {
    if (cork.errno === EMSGSIZE) ipLocalError(sk, ERRNO.EMSGSIZE, cork.daddr, 0, st.fib.mtu(cork.dst!));
    return cork.errno;
  }
  skbSetOwnerW(skb, sk);
  if (!sk.mcLoop) skb.flags |= SKB_NO_MC_LOOP;
  return pushPendingFrames(st, sk, skb, cork, msg);
}

/** Writes the header. Linux: ping_v4_push_pending_frames(). Takes ownership of `skb`. */
function pushPendingFrames(st: PingState, sk: Sock, skb: SkBuff, cork: IpCork, msg: MsgHdr): number {
  const view = skb.view;
  const at = skb.transportHeader;
  const from = msg.off;
  const seq = (msg.buf[from + ICMP_SEQ] << 8) | msg.buf[from + ICMP_SEQ + 1];
  view.setUint8(at, msg.buf[from]);
  view.setUint8(at + 1, msg.buf[from + 1]);
  view.setUint16(at + ICMP_CHECK, 0);
  view.setUint16(at + ICMP_ID, sk.sport);
  view.setUint16(at + ICMP_SEQ, seq);
  view.setUint16(at + ICMP_CHECK, csumFold(skbChecksum(skb, 0, skb.len, 0)), true);
  skb.ipSummed = CHECKSUM_NONE;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.pingPush, skb, sk.sport, seq, sk);
  const err = st.ipv4.sendSkb(skb, cork);
  if (err <= 0) return err === ENOBUFS && !sk.recverr ? 0 : err;
  return err === NET_XMIT_CN || !sk.recverr ? 0 : ENOBUFS;
}
