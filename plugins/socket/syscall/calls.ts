/**
 * The calls. Each is one entry of the machine: what it started has gone as far as it goes when the call returns.
 * Linux: net/socket.c.
 */
import * as core from "../../../core/mod.ts";
import type { MsgHdr, Sock } from "../../transport/sock/contract.ts";
import * as sock from "../../transport/sock/contract.ts";
import * as tcp from "../../transport/tcp/contract.ts";
import type { SockAddr } from "./contract.ts";
import type { FdTable } from "./table.ts";
import * as table from "./table.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ERRNO, G_SOCK } = core;
const { SOL_SOCKET, TCP_CLOSE } = sock;
const { TCP_SYN_SENT } = tcp;
const { FIRST_FD } = table;

/** poll: the descriptor is not open. */
export const POLLNVAL = 0x20;

const EBADF = -ERRNO.EBADF;
const ENOTSOCK = -ERRNO.ENOTSOCK;

/** Why a descriptor has no socket: the standard streams are open and are none. */
function noSock(fd: number): number {
  return fd >= 0 && fd < FIRST_FD ? ENOTSOCK : EBADF;
}

/** Linux: __sys_socket(). */
export function sysSocket(t: FdTable, family: number, type: number, protocol: number): number {
  t.machine.enter();
  const sk = t.socks.create(family, type, protocol);
  const fd = sk === null ? t.socks.errno : installNew(t, sk);
  t.machine.exit();
  return fd;
}

function installNew(t: FdTable, sk: Sock): number {
  const fd = t.install(sk);
  if (fd >= 0) return fd;
  t.socks.release(sk);
  return -ERRNO.EMFILE;
}

/** Linux: __sys_bind(). */
export function sysBind(t: FdTable, fd: number, addr: number, port: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = sk.ops.bind(sk, addr | 0, port);
  t.machine.exit();
  return err;
}

/** Linux: __sys_listen(). */
export function sysListen(t: FdTable, fd: number, backlog: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = sk.ops.listen(sk, backlog);
  t.machine.exit();
  return err;
}

/** Linux: __sys_accept4(). */
export function sysAccept(t: FdTable, fd: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const child = sk.ops.accept(sk);
  const rc = child === null ? sk.acceptError : installNew(t, child);
  t.machine.exit();
  return rc;
}

/** Linux: __sys_connect(). */
export function sysConnect(t: FdTable, fd: number, addr: number, port: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = sk.ops.connect(sk, addr | 0, port);
  t.machine.exit();
  return err;
}

/** Linux: __sys_connect() with AF_UNSPEC. */
export function sysDisconnect(t: FdTable, fd: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = sk.ops.disconnect(sk);
  t.machine.exit();
  return err;
}

/** Linux: __sys_sendmsg(). */
export function sysSendmsg(t: FdTable, fd: number, msg: MsgHdr, flags: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  if (outside(msg)) return -ERRNO.EFAULT;
  t.machine.enter();
  const rc = sendOne(t, fd, sk, msg, flags);
  t.machine.exit();
  return rc;
}

/** Whether a message names bytes that its buffer has not. */
function outside(msg: MsgHdr): boolean {
  return !(msg.off >= 0 && msg.len >= 0 && msg.off + msg.len <= msg.buf.length);
}

function sendOne(t: FdTable, fd: number, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((t.bus.mask & G_SOCK) !== 0) return tracedSend(t, fd, sk, msg, flags);
  return sk.ops.sendmsg(sk, msg, flags);
}

function tracedSend(t: FdTable, fd: number, sk: Sock, msg: MsgHdr, flags: number): number {
  t.bus.hit(t.tp.enterSendmsg, null, fd, msg.len, sk);
  const rc = sk.ops.sendmsg(sk, msg, flags);
  t.bus.hit(t.tp.exitSendmsg, null, fd, rc, sk);
  return rc;
}

/** One exit for all: how many were taken, or the first one's errno. Linux: __sys_sendmmsg(). */
export function sysSendmmsg(t: FdTable, fd: number, msgs: readonly MsgHdr[], n: number, flags: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  t.machine.batching++;
  let done = 0;
  let rc = 0;
  while (done < n) {
    const msg = msgs[done];
    rc = outside(msg) ? -ERRNO.EFAULT : sendOne(t, fd, sk, msg, flags);
    if (rc < 0) break;
    done++;
  }
  t.machine.batching--;
  t.machine.exit();
  return done === 0 ? rc : done;
}

/** Linux: __sys_recvmsg(). */
export function sysRecvmsg(t: FdTable, fd: number, msg: MsgHdr, flags: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  if (outside(msg)) return -ERRNO.EFAULT;
  t.machine.enter();
  const rc = recvOne(t, fd, sk, msg, flags);
  t.machine.exit();
  return rc;
}

function recvOne(t: FdTable, fd: number, sk: Sock, msg: MsgHdr, flags: number): number {
  if ((t.bus.mask & G_SOCK) !== 0) return tracedRecv(t, fd, sk, msg, flags);
  return sk.ops.recvmsg(sk, msg, flags);
}

function tracedRecv(t: FdTable, fd: number, sk: Sock, msg: MsgHdr, flags: number): number {
  t.bus.hit(t.tp.enterRecvmsg, null, fd, msg.len, sk);
  const rc = sk.ops.recvmsg(sk, msg, flags);
  t.bus.hit(t.tp.exitRecvmsg, null, fd, rc, sk);
  return rc;
}

/** How many were received, or the first one's errno; the bytes of each are in its `len`. Linux: __sys_recvmmsg(). */
export function sysRecvmmsg(t: FdTable, fd: number, msgs: readonly MsgHdr[], n: number, flags: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  let done = 0;
  let rc = 0;
  while (done < n) {
    const msg = msgs[done];
    rc = outside(msg) ? -ERRNO.EFAULT : recvOne(t, fd, sk, msg, flags);
    if (rc < 0) break;
    msg.len = rc;
    done++;
  }
  t.machine.exit();
  return done === 0 ? rc : done;
}

/** Linux: __sys_shutdown(). */
export function sysShutdown(t: FdTable, fd: number, how: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = sk.ops.shutdown(sk, how);
  t.machine.exit();
  return err;
}

/** Linux: do_sys_poll() of one descriptor. */
export function sysPoll(t: FdTable, fd: number): number {
  const sk = t.get(fd);
  return sk === null ? POLLNVAL : sk.ops.poll(sk);
}

/** Linux: __sys_setsockopt(). */
export function sysSetsockopt(
  t: FdTable,
  fd: number,
  level: number,
  name: number,
  value: number | string | Uint8Array,
  value2: number,
): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  t.machine.enter();
  const err = typeof value === "string"
    ? setString(sk, level, name, value)
    : typeof value !== "number"
    ? setBytes(sk, level, name, value)
    : level === SOL_SOCKET
    ? t.socks.setsockopt(sk, name, value, value2)
    : sk.ops.setsockopt(sk, level, name, value, value2);
  t.machine.exit();
  return err;
}

function setString(sk: Sock, level: number, name: number, value: string): number {
  const set = sk.ops.setsockoptString;
  return set === undefined ? -ERRNO.ENOPROTOOPT : set(sk, level, name, value);
}

function setBytes(sk: Sock, level: number, name: number, value: Uint8Array): number {
  const set = sk.ops.setsockoptBytes;
  return set === undefined ? -ERRNO.ENOPROTOOPT : set(sk, level, name, value);
}

/** Linux: __sys_getsockopt() of an option that is bytes. */
export function sysGetsockoptBytes(t: FdTable, fd: number, level: number, name: number): Uint8Array | number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  const get = sk.ops.getsockoptBytes;
  return get === undefined ? -ERRNO.ENOPROTOOPT : get(sk, level, name);
}

/** Linux: __sys_getsockopt() of an option that is a string. */
export function sysGetsockoptString(t: FdTable, fd: number, level: number, name: number): string | number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  const get = sk.ops.getsockoptString;
  return get === undefined ? -ERRNO.ENOPROTOOPT : get(sk, level, name);
}

/** Linux: __sys_getsockopt(). */
export function sysGetsockopt(t: FdTable, fd: number, level: number, name: number): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  return level === SOL_SOCKET ? t.socks.getsockopt(sk, name) : sk.ops.getsockopt(sk, level, name);
}

/** Linux: __sys_getsockname(): the address that it sends from, else the one that it is bound to. */
export function sysGetsockname(t: FdTable, fd: number, out: SockAddr): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  out.addr = sk.saddr !== 0 ? sk.saddr : sk.srcAddr;
  out.port = sk.sport;
  return 0;
}

/** Linux: __sys_getpeername(); a socket that is connected to port 0 has no name either. */
export function sysGetpeername(t: FdTable, fd: number, out: SockAddr): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  if (sk.dport === 0 || sk.state === TCP_CLOSE || sk.state === TCP_SYN_SENT) return -ERRNO.ENOTCONN;
  out.addr = sk.daddr;
  out.port = sk.dport;
  return 0;
}

/** Linux: close(), __sock_release(). */
export function sysClose(t: FdTable, fd: number): number {
  const sk = t.get(fd);
  if (sk === null) return EBADF;
  t.machine.enter();
  t.remove(fd);
  t.socks.release(sk);
  t.machine.exit();
  return 0;
}

/** Sets who is called when poll() may have changed. Linux: epoll's wake-up. */
export function sysOnReady(t: FdTable, fd: number, fn: (() => void) | null): number {
  const sk = t.get(fd);
  if (sk === null) return noSock(fd);
  sk.onReady = fn;
  return 0;
}
