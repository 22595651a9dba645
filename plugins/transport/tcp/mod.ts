/**
 * TCP. RFC 9293 and what Linux adds to it; Linux: net/ipv4/tcp*.c.
 *
 * ## Theory of operation
 *
 * A connection is a {@linkcode TcpSock} (`tcp_sock.ts`: only data) beside its socket. Three things move it:
 *
 * | event | enters by | does |
 * |---|---|---|
 * | a segment | `ipv4.ts` tcpV4Rcv: checks, look-up (`table.ts`) | `input.ts`: the short way of a prediction, or the long one of RFC 9293 section 3.10.7; what a segment means is decided in `state.ts`, which is pure and sends nothing |
 * | a call | `socket.ts`, `sendmsg.ts`, `recvmsg.ts`, `sockopt.ts` | copies in and out, opens, closes |
 * | a timer | `timer.ts` | retransmission, probes, tail loss probe, RACK, delayed ACK, keepalive, the end of FIN-WAIT-2 |
 *
 * **States.** A SYN makes a {@linkcode TcpRequestSock} (`request.ts`), small and pooled; its ACK makes a socket of it
 * (`minisocks.ts`). When the SYN queue is full, cookies stand for requests (`syncookies.ts`). At the other end of life a
 * small record stands for TIME-WAIT (`timewait.ts`). Between them `connect_input.ts` opens and closes.
 *
 * **Sending.** `sendmsg.ts` copies into the write queue: payload in frags of a page, an empty head. `output.ts` sends what
 * window, congestion window and Nagle allow: a *clone* with a head of its own and the same frags, so that 0 payload bytes
 * are copied; the original moves to the retransmit queue (`skb_ring.ts`) and is freed by its ACK. `retransmit.ts` clones
 * it again. `control.ts` has the segments without data; `window.ts` and `mss.ts` the sizes, `tsq.ts` what may be below.
 *
 * **ACKs.** `ack.ts` frees what is acknowledged, takes round trips (`rtt.ts`) and delivery rates (`rate.ts`); SACK blocks
 * are tagged in `sack.ts`; `recovery.ts`, `rack.ts` and `undo.ts` decide what is lost, and whether that was a mistake.
 * The window is the congestion control's: `cong.ts` is the registry, `reno.ts` and `cubic.ts` are two of them.
 *
 * **Receiving.** In order: `receive_queue.ts`, which hangs small segments on one another and tunes the window. Out of
 * order: `ofo.ts`; under memory pressure `collapse.ts`, `memory.ts`. `ack_send.ts` decides when to acknowledge.
 *
 * Read first: `tcp_sock.ts`, `input.ts`, `output.ts`, `ack.ts`.
 *
 * @example A connection over the loopback, at system-call level
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { AF_INET, msgHdr, SOCK_STREAM } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const { sys } = createHost({ machine });
 * const listener = sys.socket(AF_INET, SOCK_STREAM, 0);
 * assertEquals([sys.bind(listener, 0, 80), sys.listen(listener, 16)], [0, 0]);
 * const client = sys.socket(AF_INET, SOCK_STREAM, 0);
 * sys.connect(client, 0x7f000001, 80); // -EINPROGRESS, and done when it returns: the loopback answers at once
 * const server = sys.accept(listener);
 *
 * assertEquals(sys.sendmsg(client, msgHdr(new TextEncoder().encode("hello")), 0), 5);
 * const message = msgHdr(new Uint8Array(100));
 * assertEquals(sys.recvmsg(server, message, 0), 5);
 * assertEquals(new TextDecoder().decode(message.buf.subarray(0, 5)), "hello");
 * ```
 *
 * @module
 */
import { devAddOffload, type Net, type Plugin, type SkBuff } from "../../../core/mod.ts";
import { INET, inetAddProtocol, type InetProtocol, IPPROTO_TCP } from "../../network/inet/contract.ts";
import { FIB } from "../../network/fib/contract.ts";
import { IPV4 } from "../../network/ipv4/contract.ts";
import { NEIGH } from "../../network/neigh/contract.ts";
import { AF_INET, type MsgHdr, type ProtoOps, SOCK, type Sock, SOCK_STREAM, sockRegister } from "../sock/contract.ts";
import { tcpCongestionControls, tcpRegisterCc, tcpSetDefaultCongestionControl } from "./cong.ts";
import { TCP, type Tcp, type TcpCounts } from "./contract.ts";
import { tcpDiag } from "./diag.ts";
import { tcpGetInfo } from "./info.ts";
import { tcpIoctl } from "./ioctl.ts";
import { tcpV4Err, tcpV4Rcv } from "./ipv4.ts";
import { skMemUncharge } from "./memory.ts";
import { tcpOffload } from "./offload.ts";
import { tcpRecvmsg } from "./recvmsg.ts";
import { tcpRequestsPurge } from "./request.ts";
import { tcpFragRelease, tcpSendmsg } from "./sendmsg.ts";
import {
  inetCskAccept,
  inetCskDestroySock,
  inetListen,
  inetShutdown,
  inetStreamConnect,
  tcpBind,
  tcpClose,
  tcpDisconnect,
  tcpInitSock,
  tcpPoll,
} from "./socket.ts";
import {
  tcpGetsockopt,
  tcpGetsockoptBytes,
  tcpGetsockoptString,
  tcpSetsockopt,
  tcpSetsockoptBytes,
  tcpSetsockoptString,
  tcpSockoptChanged,
} from "./sockopt.ts";
import { tcpDefineSysctls } from "./sysctl.ts";
import { TCP_KIND_SOCK, tcpSk } from "./tcp_sock.ts";
import { TcpState } from "./tcp_state.ts";
import { tcpTimewaitPurge } from "./timewait.ts";
import { tcpWfree } from "./tsq.ts";

export * from "./contract.ts";
export * from "./header.ts";
export { bbr } from "./bbr.ts";
export { cubic } from "./cubic.ts";
export { dctcp } from "./dctcp.ts";
export { tcpCongAvoidAi, tcpInSlowStart, tcpIsCwndLimited, tcpRenoCongAvoid, tcpSlowStart } from "./reno.ts";

/** The plugin. Its congestion control is Reno; {@linkcode cubic} adds CUBIC and makes it the default. */
export function tcp(): Plugin {
  return { name: "tcp", api: 1, requires: [INET, FIB, IPV4, NEIGH, SOCK], provides: [TCP], setup };
}

/** The record with its state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface TcpProtocol extends InetProtocol {
  readonly st: TcpState;
}

function rcv(this: TcpProtocol, skb: SkBuff): void {
  tcpV4Rcv(this.st, skb);
}

function error(this: TcpProtocol, skb: SkBuff, type: number, code: number, info: number): void {
  tcpV4Err(this.st, skb, type, code, info);
}

function setup(net: Net): Disposable {
  const st = net.state("tcp:state", () => new TcpState(net));
  const handler: TcpProtocol = { rcv, error, st };
  inetAddProtocol(net, IPPROTO_TCP, handler);
  devAddOffload(net, tcpOffload());
  sockRegister(net, { family: AF_INET, type: SOCK_STREAM, protocol: IPPROTO_TCP, ops: opsOf(st) });
  net.provide(TCP, apiOf(st));
  const knobs = tcpDefineSysctls(net, st);
  st.fib.setCongestion?.((name) => st.congestion.has(name));
  return {
    [Symbol.dispose]: () => {
      for (const knob of knobs) knob[Symbol.dispose]();
      if (net.disposed) end(st);
    },
  };
}

/** The net ends: what lives is freed, nobody is told. */
function end(st: TcpState): void {
  for (const sk of st.socks.list()) {
    if (sk.protocol !== IPPROTO_TCP) continue;
    tcpRequestsPurge(tcpSk(sk));
    inetCskDestroySock(tcpSk(sk));
  }
  tcpTimewaitPurge(st);
  tcpFragRelease(st);
}

function sendmsg(sk: Sock, msg: MsgHdr, flags: number): number {
  return tcpSendmsg(tcpSk(sk).st, sk, msg, flags);
}

function recvmsg(sk: Sock, msg: MsgHdr, flags: number): number {
  return tcpRecvmsg(tcpSk(sk).st, sk, msg, flags);
}

function wfree(sk: Sock): void {
  tcpWfree(tcpSk(sk));
}

function rfree(sk: Sock, truesize: number): void {
  skMemUncharge(tcpSk(sk), truesize);
}

function opsOf(st: TcpState): ProtoOps {
  return {
    name: "TCP",
    lingers: true,
    init: (sk) => tcpInitSock(st, sk),
    close: (sk) => tcpClose(sk),
    bind: (sk, addr, port) => tcpBind(st, sk, addr, port),
    connect: (sk, addr, port) => inetStreamConnect(st, sk, addr, port),
    disconnect: (sk) => tcpDisconnect(tcpSk(sk)),
    listen: (sk, backlog) => inetListen(st, sk, backlog),
    accept: (sk) => inetCskAccept(sk),
    sendmsg,
    recvmsg,
    shutdown: (sk, how) => inetShutdown(sk, how),
    poll: (sk) => tcpPoll(sk),
    setsockopt: (sk, level, name, value, value2) => tcpSetsockopt(sk, level, name, value, value2),
    getsockopt: (sk, level, name) => tcpGetsockopt(sk, level, name),
    setsockoptString: (sk, level, name, value) => tcpSetsockoptString(sk, level, name, value),
    getsockoptString: (sk, level, name) => tcpGetsockoptString(sk, level, name),
    setsockoptBytes: (sk, level, name, value) => tcpSetsockoptBytes(sk, level, name, value),
    getsockoptBytes: (sk, level, name) => tcpGetsockoptBytes(sk, level, name),
    sockoptChanged: (sk, name) => tcpSockoptChanged(sk, name),
    wfree,
    rfree,
  };
}

function apiOf(st: TcpState): Tcp {
  return {
    info: (sk) => tcpGetInfo(sk),
    lookup: (saddr, sport, daddr, dport, dif) => {
      const entry = st.tables.lookup(saddr, sport, daddr, dport, dif);
      return entry !== null && entry.kind === TCP_KIND_SOCK ? entry.sk : null;
    },
    setSkLookup: (lookup) => {
      if (lookup !== null && st.tables.skLookup !== null) {
        throw new TypeError("Cannot set the socket lookup: another listener takes any address");
      }
      st.tables.skLookup = lookup;
    },
    counts: () => countsOf(st),
    diag: () => tcpDiag(st),
    congestionControls: () => tcpCongestionControls(st),
    registerCongestionControl: (ops) => tcpRegisterCc(st, ops),
    ioctl: (sk, request) => tcpIoctl(tcpSk(sk), request),
    flushMetrics: () => {
      st.metrics.clear();
      st.fastopen.metrics.clear();
    },
    setDefaultCongestionControl: (name) => tcpSetDefaultCongestionControl(st, name),
  };
}

function countsOf(st: TcpState): TcpCounts {
  const { connections, timewaits, requests, listeners, owners } = st.tables;
  return {
    established: connections,
    timeWait: timewaits,
    orphans: st.orphans,
    requests,
    listeners,
    bound: owners,
    memory: st.memoryAllocated,
  };
}
