/**
 * One ping over a ping socket.
 */
import { ERRNO, HrTimer, type Net } from "../../../core/mod.ts";
import { ICMP_ECHO, ICMP_HLEN } from "../../network/icmp/header.ts";
import { ipToString } from "../../network/inet/contract.ts";
import { IP_PMTUDISC_DO } from "../../network/ipv4/contract.ts";
import {
  AF_INET,
  IP_MTU_DISCOVER,
  IP_RECVERR,
  IP_TOS,
  IP_TTL,
  MSG_ERRQUEUE,
  type MsgHdr,
  msgHdr,
  SO_EE_ORIGIN_ICMP,
  SOCK_DGRAM,
  type SockExtendedErr,
  SOL_IP,
} from "../../transport/sock/contract.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";
import { resolveHost } from "./args.ts";
import type { PingOptions, PingReply } from "./contract.ts";
import { socketError, type SocketErrorOptions } from "./errors.ts";

const IPPROTO_ICMP = 1;
const EAGAIN = -ERRNO.EAGAIN;

/**
 * Sends an echo request to `address` and waits for the reply. Rejects with `TimedOut`, or with the error that an ICMP
 * message stands for (`HostUnreachable`, ...), whose `icmp.from` says who sent it: with `ttl` that is a traceroute.
 *
 * @example
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { ping } from "@netpath/stack/deno";
 *
 * using machine = new Machine();
 * const net = machine.createNet();
 * await assertRejects(() => ping(net, "no address"), TypeError, "expected an IPv4 address");
 * ```
 */
export async function ping(net: Net, address: string, options: PingOptions = {}): Promise<PingReply> {
  const { seq = 1, size = 56, timeout = 1000 } = options;
  const addr = resolveHost(address, "ping");
  const sys = net.get(SYSCALL);
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  if (fd < 0) throw socketError(fd, "make a ping socket");
  try {
    setOptions(sys, fd, options);
    const request = msgHdr(echoRequest(seq, size));
    request.addr = addr;
    const start = net.machine.platform.now();
    const sent = sys.sendmsg(fd, request, 0);
    if (sent < 0 && sys.sock(fd)?.errorQueue.qlen === 0) throw socketError(sent, `ping ${address}`);
    const reply = await awaitReply(net, sys, fd, address, seq, size, start, timeout);
    return reply;
  } finally {
    sys.close(fd);
  }
}

function setOptions(sys: Syscalls, fd: number, options: PingOptions): void {
  sys.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  if (options.tos !== undefined) sys.setsockopt(fd, SOL_IP, IP_TOS, options.tos);
  if (options.dontFragment === true) sys.setsockopt(fd, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  if (options.ttl === undefined) return;
  const err = sys.setsockopt(fd, SOL_IP, IP_TTL, options.ttl);
  if (err < 0) throw socketError(err, `ping with TTL ${options.ttl}`);
}

/** An ICMP header and `size` bytes that count up; the kernel fills in identifier and checksum. */
function echoRequest(seq: number, size: number): Uint8Array {
  const bytes = Uint8Array.from({ length: ICMP_HLEN + size }, (_, i) => i - ICMP_HLEN);
  bytes.fill(0, 0, ICMP_HLEN);
  bytes[0] = ICMP_ECHO;
  bytes[6] = seq >>> 8;
  bytes[7] = seq;
  return bytes;
}

function awaitReply(
  net: Net,
  sys: Syscalls,
  fd: number,
  address: string,
  seq: number,
  size: number,
  start: number,
  timeout: number,
): Promise<PingReply> {
  const machine = net.machine;
  const msg = msgHdr(new Uint8Array(ICMP_HLEN + size));
  msg.ttl = 0;
  msg.err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  return new Promise((resolve, reject) => {
    const end = (done: () => void): void => {
      machine.hrtimers.cancel(timer);
      sys.onReady(fd, null);
      done();
    };
    const timer = new HrTimer(() => end(() => reject(socketError(-ERRNO.ETIMEDOUT, `ping ${address}`))));
    const look = (): void => {
      const found = take(sys, fd, msg, seq);
      if (found === EAGAIN) return;
      if (found < 0) return end(() => reject(socketError(found, `ping ${address}`, causeOf(msg.err!))));
      const timeNs = machine.now - start;
      const from = ipToString(msg.addr);
      end(() => resolve({ seq, ttl: msg.ttl ?? 0, timeNs, bytes: found - ICMP_HLEN, from }));
    };
    machine.enter();
    machine.hrtimers.start(timer, start + timeout * 1e6);
    sys.onReady(fd, look);
    machine.exit();
    look();
  });
}

/** The reply's length, an error's negated errno, or -EAGAIN. Replies to other requests are read and forgotten. */
function take(sys: Syscalls, fd: number, msg: MsgHdr, seq: number): number {
  msg.len = msg.buf.length;
  if (sys.recvmsg(fd, msg, MSG_ERRQUEUE) >= 0) return -msg.err!.errno;
  for (;;) {
    msg.len = msg.buf.length;
    const n = sys.recvmsg(fd, msg, 0);
    if (n < 0) return n;
    if (n >= ICMP_HLEN && (msg.buf[6] << 8 | msg.buf[7]) === (seq & 0xffff)) return n;
  }
}

function causeOf(err: SockExtendedErr): SocketErrorOptions {
  if (err.origin !== SO_EE_ORIGIN_ICMP) return {};
  return { icmp: { from: ipToString(err.offender), type: err.type, code: err.code } };
}
