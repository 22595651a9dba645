/**
 * The calls of a UDP socket besides sending: bind, connect, receive, poll, options. Linux: net/ipv4/udp.c,
 * net/ipv4/datagram.c, net/ipv4/af_inet.c.
 */
import * as core from "../../../core/mod.ts";
import * as fib from "../../network/fib/contract.ts";
import type { MsgHdr, Sock } from "../sock/contract.ts";
import * as sock from "../sock/contract.ts";
import * as udpHeader from "./header.ts";
import { UdpSock, type UdpState } from "./state.ts";
import * as state from "./state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO, G_SOCK } = core;
const { RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } = fib;
const {
  datagramConnect,
  datagramDisconnect,
  ipGetsockopt,
  ipRecvError,
  ipSetsockopt,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  pickPort,
  skbCopyDatagramMsg,
  SOCK_BINDADDR_LOCK,
  SOCK_BINDPORT_LOCK,
  sockError,
  SOL_IP,
  TCP_CLOSE,
} = sock;
const { UDP_HLEN, UDP_SOURCE } = udpHeader;
const { udpSk } = state;

const EAGAIN = -ERRNO.EAGAIN;
const IP_TTL_AT = 8;
const IP_SADDR = 12;

/** Linux: udp_init_sock(). */
export function udpInit(st: UdpState, sk: Sock): number {
  sk.proto = new UdpSock(sk, st.siteSendmsg);
  return 0;
}

/** Linux: udp_destroy_sock(). */
export function udpClose(st: UdpState, sk: Sock): void {
  st.table.unhash(udpSk(sk));
}

/** Gives a socket the port, or with 0 a free one. 0 or -EADDRINUSE. Linux: udp_lib_get_port(). */
function udpGetPort(st: UdpState, sk: Sock, snum: number): number {
  const port = snum !== 0
    ? snum
    : pickPort(st.machine, st.limits.portLow, st.limits.portHigh, (candidate) => !st.table.inUse(sk, candidate));
  if (port === 0 || (snum !== 0 && st.table.inUse(sk, snum))) return -ERRNO.EADDRINUSE;
  sk.sport = port;
  st.table.hash(udpSk(sk));
  return 0;
}

/** A socket that sends without a port gets one. 0 or -EAGAIN: there is none. Linux: inet_autobind(). */
export function udpAutobind(st: UdpState, sk: Sock): number {
  return sk.sport !== 0 || udpGetPort(st, sk, 0) === 0 ? 0 : EAGAIN;
}

/** 0, -EADDRNOTAVAIL: not an address of this host; -EINVAL: bound already; -EADDRINUSE. Linux: inet_bind(). */
export function udpBind(st: UdpState, sk: Sock, addr: number, port: number): number {
  if (port < 0 || port > 0xffff) return -ERRNO.EINVAL;
  const type = addr === 0 ? RTN_LOCAL : st.fib.addrType(addr);
  const ours = type === RTN_LOCAL || type === RTN_BROADCAST || type === RTN_MULTICAST;
  if (!ours && !sk.freebind) return -ERRNO.EADDRNOTAVAIL;
  if (sk.state !== TCP_CLOSE || sk.sport !== 0) return -ERRNO.EINVAL;
  sk.saddr = addr;
  sk.srcAddr = type === RTN_LOCAL ? addr : 0;
  const err = udpGetPort(st, sk, port);
  if (err < 0) {
    sk.saddr = sk.srcAddr = 0;
    return err;
  }
  if (addr !== 0) sk.userlocks |= SOCK_BINDADDR_LOCK;
  if (port !== 0) sk.userlocks |= SOCK_BINDPORT_LOCK;
  sk.daddr = sk.dport = 0;
  sk.dst = null;
  return 0;
}

/** Linux: ip4_datagram_connect() for UDP: from now on only this peer is heard. 0 or a negative errno. */
export function udpConnect(st: UdpState, sk: Sock, addr: number, port: number): number {
  const bound = udpAutobind(st, sk);
  if (bound < 0) return bound;
  const err = datagramConnect(sk, st.fib, st.mib, addr, port);
  if (err === 0) st.table.rehash(udpSk(sk));
  return err;
}

/** Linux: udp_disconnect(). */
export function udpDisconnect(st: UdpState, sk: Sock): number {
  const up = udpSk(sk);
  if (datagramDisconnect(sk)) {
    st.table.unhash(up);
    sk.sport = 0;
  } else st.table.rehash(up);
  return 0;
}

/**
 * The next datagram into the caller's record: bytes copied, with MSG_TRUNC the datagram's length; what does not fit is
 * lost and flagged. -EAGAIN: none. A pending error comes first. Linux: udp_recvmsg(), net/ipv4/udp.c.
 */
export function udpRecvmsg(st: UdpState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((flags & MSG_ERRQUEUE) !== 0) return ipRecvError(sk, msg, st.siteRecvmsg);
  if (sk.err !== 0) return sockError(sk);
  const queue = sk.receiveQueue;
  const skb = (flags & MSG_PEEK) !== 0 ? queue.head : queue.dequeue();
  if (skb === null) return EAGAIN;
  const ulen = skb.len;
  let copied = msg.len;
  let out = 0;
  if (copied >= ulen) copied = ulen;
  else out = MSG_TRUNC;
  if (copied > 0) skbCopyDatagramMsg(skb, 0, msg, copied, st.siteRecvmsg);
  msg.addr = skb.view.getInt32(skb.networkHeader + IP_SADDR);
  msg.port = skb.view.getUint16(skb.data - UDP_HLEN + UDP_SOURCE);
  msg.flags = out;
  if (msg.ttl !== undefined) msg.ttl = skb.view.getUint8(skb.networkHeader + IP_TTL_AT);
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.udpRecvmsg, skb, copied, ulen, sk);
  if ((flags & MSG_PEEK) === 0) {
    st.mib.udp.InDatagrams++;
    skb.consume();
  }
  return (flags & MSG_TRUNC) !== 0 ? ulen : copied;
}

/** Linux: ip_setsockopt() under udp_setsockopt(). */
export function udpSetsockopt(sk: Sock, level: number, name: number, value: number, value2: number): number {
  return level === SOL_IP ? ipSetsockopt(sk, name, value, value2) : -ERRNO.ENOPROTOOPT;
}

/** Linux: ip_getsockopt() under udp_getsockopt(). */
export function udpGetsockopt(sk: Sock, level: number, name: number): number {
  if (level === SOL_IP) return ipGetsockopt(sk, name);
  return level === 17 ? -ERRNO.ENOPROTOOPT : -ERRNO.EOPNOTSUPP;
}
