/**
 * The descriptors of a net. Linux: fs/file.c.
 */
import { type EventBus, G_SOCK, type Machine, type Net } from "../../../core/mod.ts";
import { SOCK, type Sock, type SockTable } from "../../transport/sock/contract.ts";

/** The first descriptor: 0 to 2 are the standard streams, which are no sockets. */
export const FIRST_FD = 3;
/** One more than the highest descriptor. Linux: fs.nr_open. */
export const NR_OPEN = 1048576;

/** Ids of the tracepoints. */
export interface SyscallTracepoints {
  /** A call that sends enters the kernel; `a` = descriptor, `b` = bytes, obj = Sock. */
  readonly enterSendmsg: number;
  /** It returns; `a` = descriptor, `b` = result, obj = Sock. */
  readonly exitSendmsg: number;
  /** A call that receives enters the kernel; `a` = descriptor, `b` = room, obj = Sock. */
  readonly enterRecvmsg: number;
  /** It returns; `a` = descriptor, `b` = result, obj = Sock. */
  readonly exitRecvmsg: number;
}

/** The open sockets of a net. */
export class FdTable {
  /** The net. */
  declare readonly net: Net;
  /** The machine. */
  declare readonly machine: Machine;
  /** Tracepoints. */
  declare readonly bus: EventBus;
  /** Sockets. */
  declare readonly socks: SockTable;
  /** By descriptor; null: not open. */
  readonly fds: (Sock | null)[] = [null, null, null];
  /** No descriptor below it is free. */
  nextFd = FIRST_FD;
  /** Tracepoints. */
  declare readonly tp: SyscallTracepoints;

  /** Nothing is open. */
  constructor(net: Net) {
    this.net = net;
    this.machine = net.machine;
    this.bus = net.machine.bus;
    this.socks = net.get(SOCK);
    const define = (name: string, linux: string): number => this.bus.define({ name, linux, group: G_SOCK });
    this.tp = {
      enterSendmsg: define("syscalls:sys_enter_sendmsg", "__sys_sendmsg"),
      exitSendmsg: define("syscalls:sys_exit_sendmsg", "__sys_sendmsg"),
      enterRecvmsg: define("syscalls:sys_enter_recvmsg", "__sys_recvmsg"),
      exitRecvmsg: define("syscalls:sys_exit_recvmsg", "__sys_recvmsg"),
    };
  }

  /** The lowest free descriptor for `sk`, or -1: all are taken. Linux: alloc_fd(). */
  install(sk: Sock): number {
    const fds = this.fds;
    let fd = this.nextFd;
    while (fd < fds.length && fds[fd] !== null) fd++;
    if (fd >= NR_OPEN) return -1;
    if (fd === fds.length) fds.push(sk);
    else fds[fd] = sk;
    this.nextFd = fd + 1;
    return fd;
  }

  /** Frees a descriptor. Linux: put_unused_fd(). */
  remove(fd: number): void {
    this.fds[fd] = null;
    if (fd < this.nextFd) this.nextFd = fd;
  }

  /** The socket of a descriptor, or null. */
  get(fd: number): Sock | null {
    return fd >= FIRST_FD && fd < this.fds.length ? this.fds[fd] : null;
  }
}
