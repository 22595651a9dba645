/**
 * The system calls: descriptors, counts and errnos; nothing waits and nothing throws. Linux: net/socket.c.
 *
 * @module
 */
import type { Net, Token } from "../../../core/mod.ts";
import type { MsgHdr, Sock } from "../../transport/sock/contract.ts";

/** A socket address as calls return it. */
export interface SockAddr {
  /** Address, int32. */
  addr: number;
  /** Port. */
  port: number;
}

/** The socket system calls of a net. Each returns a count, a descriptor or 0, or a negative errno. */
export interface Syscalls {
  /** The net. */
  readonly net: Net;
  /** A descriptor. */
  socket(family: number, type: number, protocol: number): number;
  /** Binds; address int32, 0: any; port 0: a free one. */
  bind(fd: number, addr: number, port: number): number;
  /** Listens. */
  listen(fd: number, backlog: number): number;
  /** The next connection's descriptor; -EAGAIN: none yet. */
  accept(fd: number): number;
  /** Connects; -EINPROGRESS: under way. */
  connect(fd: number, addr: number, port: number): number;
  /** Forgets the peer: connect() to AF_UNSPEC. */
  disconnect(fd: number): number;
  /** Sends one message. */
  sendmsg(fd: number, msg: MsgHdr, flags: number): number;
  /** Sends several with one exit: how many were taken. */
  sendmmsg(fd: number, msgs: readonly MsgHdr[], n: number, flags: number): number;
  /** Receives into the caller's record. */
  recvmsg(fd: number, msg: MsgHdr, flags: number): number;
  /** Receives several: how many. */
  recvmmsg(fd: number, msgs: readonly MsgHdr[], n: number, flags: number): number;
  /** Closes halves. */
  shutdown(fd: number, how: number): number;
  /** POLL* bits, or POLLNVAL (0x20). */
  poll(fd: number): number;
  /**
   * Sets an option; a string where it is one (TCP_CONGESTION), bytes where it is some (IP_OPTIONS). `value2` is the second word of one that has two: ip_mreq's
   * interface address, the time of SO_LINGER.
   */
  setsockopt(fd: number, level: number, name: number, value: number | string | Uint8Array, value2?: number): number;
  /** An option's value. */
  getsockopt(fd: number, level: number, name: number): number;
  /** The value of an option that is a string (TCP_CONGESTION), or a negative errno. */
  getsockoptString(fd: number, level: number, name: number): string | number;
  /** The value of an option that is bytes (IP_OPTIONS), or a negative errno. */
  getsockoptBytes(fd: number, level: number, name: number): Uint8Array | number;
  /** Fills the local address. */
  getsockname(fd: number, out: SockAddr): number;
  /** Fills the peer's address; -ENOTCONN. */
  getpeername(fd: number, out: SockAddr): number;
  /** Closes. */
  close(fd: number): number;
  /** Calls `fn` at the outermost exit whenever poll() may have changed; null: no more. */
  onReady(fd: number, fn: (() => void) | null): number;
  /** The sock of a descriptor, or null: for faces and tools. */
  sock(fd: number): Sock | null;
}

/** Its token. */
export const SYSCALL: Token<Syscalls> = { name: "netpath:syscall" };
