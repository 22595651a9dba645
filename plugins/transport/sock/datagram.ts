/**
 * What the datagram protocols share: the route of a message, and the peer of a socket. Linux: net/ipv4/datagram.c.
 *
 * @module
 */
import * as core from "../../../core/mod.ts";
import type { Dst, Fib } from "../../network/fib/contract.ts";
import * as fib from "../../network/fib/contract.ts";
import type { SnmpMib } from "../../network/inet/contract.ts";
import * as inet from "../../network/inet/contract.ts";
import type { IpCork } from "../../network/ipv4/contract.ts";
import {
  RCV_SHUTDOWN,
  SEND_SHUTDOWN,
  type Sock,
  SOCK_BINDADDR_LOCK,
  SOCK_BINDPORT_LOCK,
  TCP_CLOSE,
  TCP_ESTABLISHED,
} from "./contract.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO } = core;
const { RTN_BROADCAST } = fib;
const { isMulticast } = inet;

const INADDR_LOOPBACK = 0x7f000001;
const IPTOS_RT_MASK = 0x1c;
const EACCES = -ERRNO.EACCES;
const ENETUNREACH = -ERRNO.ENETUNREACH;

/**
 * Finds the way of a message to `cork.daddr` and fills the cork's route, source, tos, ttl and pmtudisc from the socket.
 * A message to the peer of a connected socket (`connected`) takes the socket's own route until it is obsolete. Returns
 * 0 or a negative errno: no route, or -EACCES: a broadcast without SO_BROADCAST.
 * Linux: the routing part of udp_sendmsg(), ping_v4_sendmsg().
 */
export function datagramRoute(sk: Sock, cork: IpCork, fib: Fib, mib: SnmpMib, connected: boolean): number {
  let oif = sk.boundDevIf;
  cork.saddr = sk.srcAddr;
  cork.tos = sk.tos;
  cork.ttl = sk.ttl;
  cork.pmtudisc = sk.pmtudisc;
  cork.ident = sk.daddr !== 0 ? nextIdent(sk) : -1;
  if (isMulticast(cork.daddr)) {
    if (oif === 0) oif = sk.mcIndex;
    if (cork.saddr === 0) cork.saddr = sk.mcAddr;
    // 0 stands for the default there, and 256 is 0 in the header's eight bits: such a packet stays on this host.
    cork.ttl = sk.mcTtl === 0 ? 256 : sk.mcTtl;
    connected = false;
  } else if (cork.daddr === 0) cork.daddr = cork.saddr === 0 ? INADDR_LOOPBACK : cork.saddr;
  let dst: Dst | null = connected ? sk.dst : null;
  if (dst === null || dst.obsolete) {
    dst = fib.routeOutput(cork.daddr, cork.saddr, oif, sk.tos & IPTOS_RT_MASK);
    if (dst === null) {
      if (fib.errno === ENETUNREACH) mib.ip.OutNoRoutes++;
      return fib.errno;
    }
    if (connected) sk.dst = dst;
  }
  if (dst.type === RTN_BROADCAST && !sk.broadcast) return EACCES;
  if (cork.saddr === 0) cork.saddr = dst.prefsrc;
  cork.dst = dst;
  return 0;
}

/** A connected socket counts for itself, from a random number on. Linux: ip_select_ident_segs(), include/net/ip.h. */
function nextIdent(sk: Sock): number {
  return sk.inetId = (sk.inetId + 1) & 0xffff;
}

/**
 * From now on messages without a name go to this peer, and its hard errors are heard. The source address that the route
 * gives stays until the peer is forgotten. 0 or a negative errno as {@linkcode datagramRoute}.
 * Linux: __ip4_datagram_connect().
 */
export function datagramConnect(sk: Sock, fib: Fib, mib: SnmpMib, addr: number, port: number): number {
  if (port < 0 || port > 0xffff) return -ERRNO.EINVAL;
  let oif = sk.boundDevIf;
  let saddr = sk.srcAddr;
  if (isMulticast(addr)) {
    if (oif === 0) oif = sk.mcIndex;
    if (saddr === 0) saddr = sk.mcAddr;
  }
  const daddr = addr === 0 ? (saddr === 0 ? INADDR_LOOPBACK : saddr) : addr;
  sk.dst = null;
  const dst = fib.routeOutput(daddr, saddr, oif, sk.tos & IPTOS_RT_MASK);
  if (dst === null) {
    if (fib.errno === ENETUNREACH) mib.ip.OutNoRoutes++;
    return fib.errno;
  }
  if (dst.type === RTN_BROADCAST && !sk.broadcast) return EACCES;
  if (saddr === 0) saddr = dst.prefsrc;
  if (sk.srcAddr === 0) sk.srcAddr = saddr;
  if (sk.saddr === 0) sk.saddr = saddr;
  sk.daddr = daddr;
  sk.dport = port;
  sk.inetId = sk.machine.platform.random() & 0xffff;
  sk.state = TCP_ESTABLISHED;
  sk.dst = dst;
  return 0;
}

/**
 * Forgets the peer, the bound device, and the address that connect() chose. True: the port was not the user's choice
 * either, and is the caller's to give back. Linux: __udp_disconnect().
 */
export function datagramDisconnect(sk: Sock): boolean {
  sk.state = TCP_CLOSE;
  sk.daddr = sk.dport = 0;
  sk.boundDevIf = 0;
  sk.dst = null;
  if ((sk.userlocks & SOCK_BINDADDR_LOCK) === 0) sk.saddr = sk.srcAddr = 0;
  return (sk.userlocks & SOCK_BINDPORT_LOCK) === 0;
}

/**
 * Closes halves; what is in the receive queue stays readable. Without a peer it is -ENOTCONN, and done nevertheless, so
 * that whoever waits is woken. Linux: inet_shutdown().
 */
export function datagramShutdown(sk: Sock, how: number): number {
  if (how < 0 || how > 2) return -ERRNO.EINVAL;
  sk.shutdown |= (how + 1) & (RCV_SHUTDOWN | SEND_SHUTDOWN);
  if (!sk.dead) sk.machine.wakeLater(sk);
  return sk.state === TCP_CLOSE ? -ERRNO.ENOTCONN : 0;
}
