/**
 * Ping sockets: `socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)` sends echo requests and receives the replies without being
 * root. The identifier is the socket's local port. Linux: net/ipv4/ping.c.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { AF_INET, msgHdr, SOCK_DGRAM } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const { sys } = createHost({ machine });
 * const fd = sys.socket(AF_INET, SOCK_DGRAM, 1);
 * sys.connect(fd, 0x7f000001, 0);
 * // Type 8, code 0, sequence number 5; identifier and checksum are the kernel's.
 * sys.sendmsg(fd, msgHdr(Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 5)), 0);
 * const reply = msgHdr(new Uint8Array(100));
 * assertEquals(sys.recvmsg(fd, reply, 0), 8);
 * assertEquals([reply.buf[0], reply.buf[7]], [0, 5]);
 * ```
 *
 * @module
 */
import { ERRNO, type Net, type Plugin } from "../../../core/mod.ts";
import { FIB } from "../../network/fib/contract.ts";
import { ICMP, icmpRegisterPing } from "../../network/icmp/contract.ts";
import { INET, IPPROTO_ICMP } from "../../network/inet/contract.ts";
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
import { PING } from "./contract.ts";
import { pingErr, pingRcv } from "./input.ts";
import { pingSendmsg } from "./output.ts";
import {
  pingBind,
  pingConnect,
  pingDisconnect,
  pingGetsockopt,
  pingInit,
  pingRecvmsg,
  pingSetsockopt,
} from "./socket.ts";
import { pingLookup, PingState, pingUnhash } from "./state.ts";

export * from "./contract.ts";

/** The plugin. */
export function ping(): Plugin {
  return { name: "ping", api: 1, requires: [INET, FIB, IPV4, ICMP, SOCK], provides: [PING], setup };
}

function setup(net: Net): Disposable {
  const st = net.state("ping:state", () => new PingState(net));
  icmpRegisterPing(net, (skb) => pingRcv(st, skb), (skb, type, code, info) => pingErr(st, skb, type, code, info));
  sockRegister(net, {
    family: AF_INET,
    type: SOCK_DGRAM,
    protocol: IPPROTO_ICMP,
    ops: opsOf(st),
    secondary: true,
  });
  net.provide(PING, {
    lookup: (ident, daddr, dif) => pingLookup(st, ident, daddr, dif),
    count: () => st.count,
  });
  return net.sysctl.define("net.ipv4.ping_group_range", {
    value: [0, 2147483647],
    min: 0,
    max: 2147483647,
    // There are no users here: a range that is not empty lets everybody in.
    apply: (_, [low, high]) => st.allowed = low <= high,
  });
}

function opsOf(st: PingState): ProtoOps {
  return {
    name: "PING",
    init: (sk) => pingInit(st, sk),
    close: (sk) => pingUnhash(st, sk),
    bind: (sk, addr, port) => pingBind(st, sk, addr, port),
    connect: (sk, addr, port) => pingConnect(st, sk, addr, port),
    disconnect: (sk) => pingDisconnect(st, sk),
    listen: () => -ERRNO.EOPNOTSUPP,
    accept: (sk) => {
      sk.acceptError = -ERRNO.EOPNOTSUPP;
      return null;
    },
    sendmsg: (sk, msg, flags) => pingSendmsg(st, sk, msg, flags),
    recvmsg: (sk, msg, flags) => pingRecvmsg(st, sk, msg, flags),
    shutdown: (sk, how) => datagramShutdown(sk, how),
    poll: (sk) => datagramPoll(sk),
    setsockopt: (sk, level, name, value, value2) => pingSetsockopt(sk, level, name, value, value2),
    getsockopt: (sk, level, name) => pingGetsockopt(sk, level, name),
  };
}
