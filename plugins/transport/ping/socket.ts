/**
 * The calls of a ping socket besides sending. Linux: net/ipv4/ping.c.
 */
import { ERRNO, G_SOCK } from "../../../core/mod.ts";
import { RTN_LOCAL } from "../../network/fib/contract.ts";
import { ICMP_HLEN } from "../../network/icmp/header.ts";
import { IPPROTO_ICMP } from "../../network/inet/contract.ts";
import { newIpCork } from "../../network/ipv4/contract.ts";
import {
  datagramConnect,
  datagramDisconnect,
  ipGetsockopt,
  ipRecvError,
  ipSetsockopt,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  type MsgHdr,
  skbCopyDatagramMsg,
  type Sock,
  SOCK_BINDADDR_LOCK,
  SOCK_BINDPORT_LOCK,
  sockError,
  SOL_IP,
  TCP_CLOSE,
} from "../sock/contract.ts";
import { pingGetPort, type PingState, pingUnhash } from "./state.ts";

const IP_TTL_AT = 8;
const IP_SADDR = 12;

/** 0, or -EACCES: net.ipv4.ping_group_range is empty. Linux: ping_init_sock(). */
export function pingInit(st: PingState, sk: Sock): number {
  if (!st.allowed) return -ERRNO.EACCES;
  // Linux: INET_PROTOSW_REUSE. Sockets may share an identifier; the last one bound gets the replies.
  sk.reuseaddr = true;
  sk.proto = newIpCork(IPPROTO_ICMP, ICMP_HLEN, st.siteSendmsg);
  return 0;
}

/** `port` is the identifier; 0: a free one. 0 or a negative errno. Linux: ping_bind(). */
export function pingBind(st: PingState, sk: Sock, addr: number, port: number): number {
  if (port < 0 || port > 0xffff) return -ERRNO.EINVAL;
  if (addr !== 0 && st.fib.addrType(addr) !== RTN_LOCAL) return -ERRNO.EADDRNOTAVAIL;
  if (sk.sport !== 0 || sk.state !== TCP_CLOSE) return -ERRNO.EINVAL;
  const err = pingGetPort(st, sk, port);
  if (err < 0) return err;
  sk.saddr = sk.srcAddr = addr;
  if (addr !== 0) sk.userlocks |= SOCK_BINDADDR_LOCK;
  if (port !== 0) sk.userlocks |= SOCK_BINDPORT_LOCK;
  sk.dst = null;
  return 0;
}

/** Linux: ip4_datagram_connect() for a ping socket. */
export function pingConnect(st: PingState, sk: Sock, addr: number, port: number): number {
  if (sk.sport === 0 && pingGetPort(st, sk, 0) < 0) return -ERRNO.EAGAIN;
  return datagramConnect(sk, st.fib, st.mib, addr, port);
}

/** Linux: __udp_disconnect() for a ping socket. */
export function pingDisconnect(st: PingState, sk: Sock): number {
  if (datagramDisconnect(sk)) pingUnhash(st, sk);
  return 0;
}

/**
 * The next message, with its ICMP header, and who sent it (port 0). Otherwise as for UDP.
 * Linux: ping_recvmsg(), net/ipv4/ping.c.
 */
export function pingRecvmsg(st: PingState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((flags & MSG_ERRQUEUE) !== 0) return ipRecvError(sk, msg, st.siteRecvmsg);
  if (sk.err !== 0) return sockError(sk);
  const queue = sk.receiveQueue;
  const skb = (flags & MSG_PEEK) !== 0 ? queue.head : queue.dequeue();
  if (skb === null) return -ERRNO.EAGAIN;
  const len = skb.len;
  const copied = Math.min(msg.len, len);
  if (copied > 0) skbCopyDatagramMsg(skb, 0, msg, copied, st.siteRecvmsg);
  msg.addr = skb.view.getInt32(skb.networkHeader + IP_SADDR);
  msg.port = 0;
  msg.flags = copied < len ? MSG_TRUNC : 0;
  if (msg.ttl !== undefined) msg.ttl = skb.view.getUint8(skb.networkHeader + IP_TTL_AT);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.pingRecvmsg, skb, copied, len, sk);
  if ((flags & MSG_PEEK) === 0) skb.consume();
  return (flags & MSG_TRUNC) !== 0 ? len : copied;
}

/** Linux: ip_setsockopt(). */
export function pingSetsockopt(sk: Sock, level: number, name: number, value: number, value2: number): number {
  return level === SOL_IP ? ipSetsockopt(sk, name, value, value2) : -ERRNO.ENOPROTOOPT;
}

/** Linux: ip_getsockopt(). */
export function pingGetsockopt(sk: Sock, level: number, name: number): number {
  return level === SOL_IP ? ipGetsockopt(sk, name) : -ERRNO.EOPNOTSUPP;
}
