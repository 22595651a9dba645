/**
 * Raw sockets: `socket(AF_INET, SOCK_RAW, protocol)` receives a clone of every packet of a protocol, IP header and all,
 * before the protocol itself has it, and sends packets of any protocol, with IP_HDRINCL also the header. Linux:
 * net/ipv4/raw.c.
 *
 * @example A protocol of one's own number, over the loopback
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { AF_INET, msgHdr, SOCK_RAW } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const { sys } = createHost({ machine });
 * const fd = sys.socket(AF_INET, SOCK_RAW, 253);
 * sys.sendmsg(fd, { ...msgHdr(Uint8Array.of(1, 2, 3)), addr: 0x7f000001 }, 0);
 * const packet = msgHdr(new Uint8Array(100));
 * assertEquals(sys.recvmsg(fd, packet, 0), 23); // 20 bytes of IPv4 header, and ours
 * assertEquals([packet.buf[9], packet.buf[22]], [253, 3]);
 * ```
 *
 * @module
 */
import { ERRNO, G_SOCK, type Net, type Plugin, type SkBuff } from "../../../core/mod.ts";
import { FIB, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST } from "../../network/fib/contract.ts";
import { INET, type Inet, inetFillRaw, IPPROTO_ICMP } from "../../network/inet/contract.ts";
import { IPV4 } from "../../network/ipv4/contract.ts";
import {
  AF_INET,
  datagramConnect,
  datagramDisconnect,
  datagramPoll,
  datagramShutdown,
  ipGetsockopt,
  ipRecvError,
  ipSetsockopt,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  type MsgHdr,
  type ProtoOps,
  skbCopyDatagramMsg,
  SOCK,
  type Sock,
  SOCK_BINDADDR_LOCK,
  SOCK_RAW,
  sockError,
  sockRegister,
  SOL_IP,
  TCP_CLOSE,
} from "../sock/contract.ts";
import { ICMP_FILTER, IP_HDRINCL, RAW, SOL_RAW } from "./contract.ts";
import { rawIcmpError, rawLocalDeliver } from "./input.ts";
import { rawSendmsg } from "./output.ts";
import { RawState } from "./state.ts";

export * from "./contract.ts";

/** What is sent over such a socket has its IP header already, and nothing is ever received. */
const IPPROTO_RAW = 255;
const IP_SADDR = 12;
const IP_TTL_AT = 8;

/** The plugin. */
export function raw(): Plugin {
  return { name: "raw", api: 1, requires: [INET, FIB, IPV4, SOCK], provides: [RAW], setup };
}

/** One function for all nets is known to V8 by identity, a closure per net is not: each packet comes by here. */
function deliver(this: Inet, skb: SkBuff, protocol: number): boolean {
  return rawLocalDeliver(this.rawState as RawState, skb, protocol);
}

function setup(net: Net): void {
  const st = net.state("raw:state", () => new RawState(net));
  inetFillRaw(net, deliver, (skb, type, code, info) => rawIcmpError(st, skb, type, code, info), st);
  sockRegister(net, { family: AF_INET, type: SOCK_RAW, protocol: 0, ops: opsOf(st) });
  net.provide(RAW, { count: () => st.count });
}

function opsOf(st: RawState): ProtoOps {
  return {
    name: "RAW",
    init: (sk) => rawInit(st, sk),
    close: (sk) => st.unhash(sk),
    bind: (sk, addr) => rawBind(st, sk, addr),
    connect: (sk, addr, port) => datagramConnect(sk, st.fib, st.mib, addr, port),
    disconnect: (sk) => (datagramDisconnect(sk), 0),
    listen: () => -ERRNO.EOPNOTSUPP,
    accept: (sk) => {
      sk.acceptError = -ERRNO.EOPNOTSUPP;
      return null;
    },
    sendmsg: (sk, msg, flags) => rawSendmsg(st, sk, msg, flags),
    recvmsg: (sk, msg, flags) => rawRecvmsg(st, sk, msg, flags),
    shutdown: (sk, how) => datagramShutdown(sk, how),
    poll: (sk) => datagramPoll(sk),
    setsockopt: (sk, level, name, value, value2) => rawSetsockopt(st, sk, level, name, value, value2),
    getsockopt: (sk, level, name) => rawGetsockopt(st, sk, level, name),
  };
}

/** Linux: inet_create() for SOCK_RAW, raw_sk_init(). */
function rawInit(st: RawState, sk: Sock): number {
  if (sk.protocol === 0) return -ERRNO.EPROTONOSUPPORT;
  // As getsockname() shows it.
  sk.sport = sk.protocol;
  st.hash(sk, sk.protocol === IPPROTO_RAW);
  return 0;
}

/** Linux: raw_bind(). The port means nothing. */
function rawBind(st: RawState, sk: Sock, addr: number): number {
  if (sk.state !== TCP_CLOSE) return -ERRNO.EINVAL;
  const type = addr === 0 ? RTN_LOCAL : st.fib.addrType(addr);
  const group = type === RTN_MULTICAST || type === RTN_BROADCAST;
  if (type !== RTN_LOCAL && !group && !sk.freebind) return -ERRNO.EADDRNOTAVAIL;
  sk.saddr = addr;
  sk.srcAddr = group ? 0 : addr;
  if (addr !== 0) sk.userlocks |= SOCK_BINDADDR_LOCK;
  sk.dst = null;
  return 0;
}

/** The next packet from its IP header on, and who sent it (port 0). Linux: raw_recvmsg(). */
function rawRecvmsg(st: RawState, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((flags & MSG_OOB) !== 0) return -ERRNO.EOPNOTSUPP;
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
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.rawRecvmsg, skb, copied, len, sk);
  if ((flags & MSG_PEEK) === 0) skb.consume();
  return (flags & MSG_TRUNC) !== 0 ? len : copied;
}

/** Linux: raw_setsockopt(), do_ip_setsockopt(). */
function rawSetsockopt(st: RawState, sk: Sock, level: number, name: number, value: number, value2: number): number {
  const own = st.of(sk);
  if (level === SOL_RAW) {
    if (name !== ICMP_FILTER) return -ERRNO.ENOPROTOOPT;
    if (sk.protocol !== IPPROTO_ICMP) return -ERRNO.EOPNOTSUPP;
    own.filter = value | 0;
    return 0;
  }
  if (level !== SOL_IP) return -ERRNO.ENOPROTOOPT;
  if (name !== IP_HDRINCL) return ipSetsockopt(sk, name, value, value2);
  own.hdrincl = value !== 0;
  return 0;
}

/** Linux: raw_getsockopt(), do_ip_getsockopt(). */
function rawGetsockopt(st: RawState, sk: Sock, level: number, name: number): number {
  const own = st.of(sk);
  if (level === SOL_RAW) {
    if (name !== ICMP_FILTER) return -ERRNO.ENOPROTOOPT;
    return sk.protocol === IPPROTO_ICMP ? own.filter >>> 0 : -ERRNO.EOPNOTSUPP;
  }
  if (level !== SOL_IP) return -ERRNO.ENOPROTOOPT;
  return name === IP_HDRINCL ? Number(own.hdrincl) : ipGetsockopt(sk, name);
}
