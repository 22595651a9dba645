/**
 * UDP. RFC 768, RFC 1122 section 4.1; Linux: net/ipv4/udp.c.
 *
 * Up: {@linkcode UdpHeader} is checked once, the checksum is verified, the four-tuple finds the socket, the packet
 * waits in its receive queue, and the reader copies it. Down: one copy from the user, header, checksum, IP. Nothing is
 * allocated per datagram; the cost does not grow with the number of sockets.
 *
 * Different from Linux: MSG_MORE and UDP_CORK do not gather datagrams, and a wrong checksum is found before the packet
 * is queued, never by the reader.
 *
 * @example A datagram over the loopback, at system-call level
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { AF_INET, msgHdr, SOCK_DGRAM } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const { sys } = createHost({ machine });
 * const server = sys.socket(AF_INET, SOCK_DGRAM, 0);
 * assertEquals(sys.bind(server, 0, 7), 0);
 * const client = sys.socket(AF_INET, SOCK_DGRAM, 0);
 * assertEquals(sys.connect(client, 0x7f000001, 7), 0);
 *
 * assertEquals(sys.sendmsg(client, msgHdr(new TextEncoder().encode("hello")), 0), 5);
 * const message = msgHdr(new Uint8Array(100));
 * assertEquals(sys.recvmsg(server, message, 0), 5);
 * assertEquals(message.addr, 0x7f000001);
 * ```
 *
 * @module
 */
import { ERRNO, type Net, type Plugin, type SkBuff } from "../../../core/mod.ts";
import { INET, inetAddProtocol, type InetProtocol, IPPROTO_UDP } from "../../network/inet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { IPV4 } from "../../network/ipv4/contract.ts";
import {
  AF_INET,
  datagramPoll,
  datagramShutdown,
  type ProtoOps,
  SOCK,
  SOCK_DGRAM,
  sockRegister,
} from "../sock/contract.ts";
import { UDP } from "./contract.ts";
import { udpErr, udpRcv } from "./input.ts";
import { udpSendmsg } from "./output.ts";
import {
  udpBind,
  udpClose,
  udpConnect,
  udpDisconnect,
  udpGetsockopt,
  udpInit,
  udpRecvmsg,
  udpSetsockopt,
} from "./socket.ts";
import { udpSk, UdpState } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";

/** The plugin. */
export function udp(): Plugin {
  return { name: "udp", api: 1, requires: [INET, FIB, IPV4, SOCK], provides: [UDP], setup };
}

/** The record with its state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface UdpProtocol extends InetProtocol {
  readonly st: UdpState;
}

function rcv(this: UdpProtocol, skb: SkBuff): void {
  udpRcv(this.st, skb);
}

function error(this: UdpProtocol, skb: SkBuff, type: number, code: number, info: number): void {
  udpErr(this.st, skb, type, code, info);
}

function setup(net: Net): void {
  const st = net.state("udp:state", () => new UdpState(net));
  const handler: UdpProtocol = { rcv, error, st };
  inetAddProtocol(net, IPPROTO_UDP, handler);
  sockRegister(net, { family: AF_INET, type: SOCK_DGRAM, protocol: IPPROTO_UDP, ops: opsOf(st) });
  net.provide(UDP, {
    lookup: (saddr, sport, daddr, dport, dif) => st.table.lookup(saddr, sport, daddr, dport, dif)?.sk ?? null,
    encap: (sk, rcv) => void (udpSk(sk).encapRcv = rcv),
    count: () => st.table.count,
  });
}

function opsOf(st: UdpState): ProtoOps {
  return {
    name: "UDP",
    init: (sk) => udpInit(st, sk),
    close: (sk) => udpClose(st, sk),
    bind: (sk, addr, port) => udpBind(st, sk, addr, port),
    connect: (sk, addr, port) => udpConnect(st, sk, addr, port),
    disconnect: (sk) => udpDisconnect(st, sk),
    listen: () => -ERRNO.EOPNOTSUPP,
    accept: (sk) => {
      sk.acceptError = -ERRNO.EOPNOTSUPP;
      return null;
    },
    sendmsg: (sk, msg, flags) => udpSendmsg(st, sk, msg, flags),
    recvmsg: (sk, msg, flags) => udpRecvmsg(st, sk, msg, flags),
    shutdown: (sk, how) => datagramShutdown(sk, how),
    poll: (sk) => datagramPoll(sk),
    setsockopt: (sk, level, name, value, value2) => udpSetsockopt(sk, level, name, value, value2),
    getsockopt: (sk, level, name) => udpGetsockopt(sk, level, name),
  };
}
