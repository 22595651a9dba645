/**
 * The socket system calls of a net: descriptors, counts and errnos. Nothing waits and nothing throws; the faces (Deno's,
 * Node's) are built on them, and so are tests and benches.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { errnoName, Machine } from "@netpath/stack/core";
 * import { sock } from "@netpath/stack/sock";
 * import { SYSCALL, syscall } from "@netpath/stack/syscall";
 *
 * using machine = new Machine();
 * const sys = machine.createNet({ plugins: [sock(), syscall()] }).get(SYSCALL);
 * assertEquals(errnoName(sys.socket(2, 2, 17)), "ESOCKTNOSUPPORT"); // no udp() in this net
 * assertEquals(errnoName(sys.close(7)), "EBADF");
 * assertEquals(errnoName(sys.bind(0, 0, 80)), "ENOTSOCK");
 * ```
 *
 * @module
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import { SOCK } from "../../transport/sock/contract.ts";
import {
  sysAccept,
  sysBind,
  sysClose,
  sysConnect,
  sysDisconnect,
  sysGetpeername,
  sysGetsockname,
  sysGetsockopt,
  sysGetsockoptBytes,
  sysGetsockoptString,
  sysListen,
  sysOnReady,
  sysPoll,
  sysRecvmmsg,
  sysRecvmsg,
  sysSendmmsg,
  sysSendmsg,
  sysSetsockopt,
  sysShutdown,
  sysSocket,
} from "./calls.ts";
import { SYSCALL } from "./contract.ts";
import { FdTable } from "./table.ts";

export * from "./contract.ts";
export { POLLNVAL } from "./calls.ts";

/** The plugin. */
export function syscall(): Plugin {
  return { name: "syscall", api: 1, requires: [SOCK], provides: [SYSCALL], setup };
}

function setup(net: Net): void {
  const t = net.state("syscall:fds", () => new FdTable(net));
  net.provide(SYSCALL, {
    net,
    socket: (family, type, protocol) => sysSocket(t, family, type, protocol),
    bind: (fd, addr, port) => sysBind(t, fd, addr, port),
    listen: (fd, backlog) => sysListen(t, fd, backlog),
    accept: (fd) => sysAccept(t, fd),
    connect: (fd, addr, port) => sysConnect(t, fd, addr, port),
    disconnect: (fd) => sysDisconnect(t, fd),
    sendmsg: (fd, msg, flags) => sysSendmsg(t, fd, msg, flags),
    sendmmsg: (fd, msgs, n, flags) => sysSendmmsg(t, fd, msgs, n, flags),
    recvmsg: (fd, msg, flags) => sysRecvmsg(t, fd, msg, flags),
    recvmmsg: (fd, msgs, n, flags) => sysRecvmmsg(t, fd, msgs, n, flags),
    shutdown: (fd, how) => sysShutdown(t, fd, how),
    poll: (fd) => sysPoll(t, fd),
    setsockopt: (fd, level, name, value, value2 = 0) => sysSetsockopt(t, fd, level, name, value, value2),
    getsockopt: (fd, level, name) => sysGetsockopt(t, fd, level, name),
    getsockoptString: (fd, level, name) => sysGetsockoptString(t, fd, level, name),
    getsockoptBytes: (fd, level, name) => sysGetsockoptBytes(t, fd, level, name),
    getsockname: (fd, out) => sysGetsockname(t, fd, out),
    getpeername: (fd, out) => sysGetpeername(t, fd, out),
    close: (fd) => sysClose(t, fd),
    onReady: (fd, fn) => sysOnReady(t, fd, fn),
    sock: (fd) => t.get(fd),
  });
}
