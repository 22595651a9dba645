/**
 * Stream sockets without a network: pairs of bounded buffers behind the system calls, with Linux's errnos. For tests of
 * the faces that need no TCP. Nets of one {@linkcode FakeStreams} reach each other by the address each was given.
 *
 * @module
 */
import { ERRNO, type ErrnoName, type Machine, type Net, type Plugin, type Wakeable } from "../../../core/mod.ts";
import { SYSCALL, type Syscalls } from "../../../plugins/socket/syscall/contract.ts";
import {
  type MsgHdr,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SO_ERROR,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/contract.ts";

const no = (name: ErrnoName): number => -ERRNO[name];

type State = "new" | "listen" | "connecting" | "connected" | "closed";

/** One end. */
export class FakeEnd implements Wakeable {
  ready = false;
  state: State = "new";
  addr = 0;
  port = 0;
  peerAddr = 0;
  peerPort = 0;
  peer: FakeEnd | null = null;
  rx: number[] = [];
  tx: number[] = [];
  /** Our half is closed; the peer's is. */
  fin = false;
  finIn = false;
  err = 0;
  nospace = false;
  orphan = false;
  backlog = 0;
  queue: FakeEnd[] = [];
  options: Map<string, number | string> = new Map();
  onReady: (() => void) | null = null;
  constructor(readonly machine: Machine) {}
  wake(): void {
    this.onReady?.();
  }
}

/** All ends of a machine. */
export class FakeStreams {
  /** Every end that has a descriptor. */
  readonly open: Set<FakeEnd> = new Set();
  /** Connection attempts to this port are never answered. */
  silentPort = 9;
  #nextPort = 40000;

  /** `room`: bytes of each send and receive buffer. */
  constructor(readonly machine: Machine, readonly room: number = 65536) {}

  /** Provides the system calls of a net that has this address. */
  plugin(addr: number): Plugin {
    return {
      name: "syscall",
      api: 1,
      provides: [SYSCALL],
      setup: (net) => {
        net.provide(SYSCALL, this.#calls(net, addr));
      },
    };
  }

  #calls(net: Net, own: number): Syscalls {
    const fds: (FakeEnd | null)[] = [null, null, null];
    const install = (e: FakeEnd): number => {
      const free = fds.indexOf(null, 3);
      const fd = free < 0 ? fds.length : free;
      fds[fd] = e;
      this.open.add(e);
      return fd;
    };
    const call = (fd: number, fn: (e: FakeEnd) => number): number => {
      const e = fds[fd] ?? null;
      if (e === null) return no("EBADF");
      this.machine.enter();
      const rc = fn(e);
      this.machine.exit();
      return rc;
    };
    const unsupported = (): number => no("EOPNOTSUPP");
    const syscalls: Syscalls = {
      net,
      socket: (_family, type) => type === 1 ? install(new FakeEnd(this.machine)) : no("ESOCKTNOSUPPORT"),
      bind: (fd, addr, port) => call(fd, (e) => this.#bind(e, own, addr, port)),
      listen: (fd, backlog) =>
        call(fd, (e) => {
          e.state = "listen";
          e.backlog = backlog;
          return 0;
        }),
      accept: (fd) => call(fd, (e) => e.queue.length === 0 ? no("EAGAIN") : install(e.queue.shift()!)),
      connect: (fd, addr, port) => call(fd, (e) => this.#connect(e, own, addr, port)),
      disconnect: (fd) => call(fd, (e) => (this.#reset(e), 0)),
      sendmsg: (fd, msg) => call(fd, (e) => this.#send(e, msg)),
      sendmmsg: unsupported,
      recvmsg: (fd, msg) => call(fd, (e) => this.#receive(e, msg)),
      recvmmsg: unsupported,
      shutdown: (fd, how) => call(fd, (e) => this.#shutdown(e, how)),
      poll: (fd) => this.#poll(fds[fd]!),
      setsockopt: (fd, level, name, value) => {
        if (typeof value === "object") return no("ENOPROTOOPT");
        return call(fd, (e) => (e.options.set(`${level}.${name}`, value), 0));
      },
      getsockopt: (fd, level, name) => call(fd, (e) => this.#option(e, level, name)),
      getsockoptString: (fd, level, name) => fds[fd]?.options.get(`${level}.${name}`) ?? no("ENOPROTOOPT"),
      getsockoptBytes: () => no("ENOPROTOOPT"),
      getsockname: (fd, out) => call(fd, (e) => (Object.assign(out, { addr: e.addr, port: e.port }), 0)),
      getpeername: (fd, out) => call(fd, (e) => (Object.assign(out, { addr: e.peerAddr, port: e.peerPort }), 0)),
      close: (fd) =>
        call(fd, (e) => {
          fds[fd] = null;
          this.#close(e);
          return 0;
        }),
      onReady: (fd, fn) => {
        if (fds[fd]) fds[fd].onReady = fn;
        return 0;
      },
      sock: () => null,
    };
    return syscalls;
  }

  #bind(e: FakeEnd, own: number, addr: number, port: number): number {
    if (addr !== 0 && addr !== own && addr !== 0x7f000001) return no("EADDRNOTAVAIL");
    const taken = [...this.open].some((o) => o !== e && o.state === "listen" && o.port === port && o.addr === addr);
    if (taken) return no("EADDRINUSE");
    e.addr = addr;
    e.port = port === 0 ? this.#nextPort++ : port;
    // A listener of "all addresses" is found by its net's own one.
    e.peerAddr = own;
    return 0;
  }

  #connect(e: FakeEnd, own: number, addr: number, port: number): number {
    if (e.state !== "new") return no("EISCONN");
    if ((addr & 0xff) === 0xff) return no("ENETUNREACH");
    e.state = "connecting";
    if (e.port === 0) e.port = this.#nextPort++;
    e.addr = addr === 0x7f000001 ? addr : own;
    e.peerAddr = addr;
    e.peerPort = port;
    if (port === this.silentPort) return no("EINPROGRESS");
    const at = addr === 0x7f000001 ? own : addr;
    const l = [...this.open].find((o) => o.state === "listen" && o.port === port && o.peerAddr === at);
    if (l === undefined) {
      this.#fail(e, ERRNO.ECONNREFUSED);
    } else if (l.queue.length <= l.backlog) {
      const other = new FakeEnd(this.machine);
      Object.assign(other, { addr, port, peerAddr: e.addr, peerPort: e.port, peer: e, state: "connected" });
      e.peer = other;
      e.state = "connected";
      l.queue.push(other);
      this.machine.wakeLater(l);
      this.machine.wakeLater(e);
    }
    return no("EINPROGRESS");
  }

  #fail(e: FakeEnd, errno: number): void {
    e.err = errno;
    e.state = "closed";
    e.peer = null;
    e.tx.length = 0;
    this.machine.wakeLater(e);
  }

  /** Moves what there is room for, then the end. */
  #flow(e: FakeEnd): void {
    const to = e.peer;
    if (to === null) return;
    if (to.orphan && e.tx.length > 0) return this.#fail(e, e.finIn ? ERRNO.EPIPE : ERRNO.ECONNRESET);
    const n = Math.min(e.tx.length, this.room - to.rx.length);
    for (const byte of e.tx.splice(0, n)) to.rx.push(byte);
    const ends = e.fin && e.tx.length === 0 && !to.finIn;
    if (ends) to.finIn = true;
    if (n > 0 || ends) this.machine.wakeLater(to);
    if (!e.nospace || e.tx.length * 2 > this.room) return;
    e.nospace = false;
    this.machine.wakeLater(e);
  }

  #send(e: FakeEnd, msg: MsgHdr): number {
    if (e.err !== 0) return this.#takeError(e);
    if (e.state === "connecting") return no("EAGAIN");
    if (e.state === "new") return no("ENOTCONN");
    if (e.fin || e.state === "closed") return no("EPIPE");
    const n = Math.min(msg.len, this.room - e.tx.length);
    for (let i = 0; i < n; i++) e.tx.push(msg.buf[msg.off + i]);
    if (n < msg.len) e.nospace = true;
    if (n === 0 && msg.len > 0) return no("EAGAIN");
    this.#flow(e);
    return n;
  }

  #receive(e: FakeEnd, msg: MsgHdr): number {
    if (e.rx.length > 0) {
      const n = Math.min(msg.len, e.rx.length);
      for (const [i, byte] of e.rx.splice(0, n).entries()) msg.buf[msg.off + i] = byte;
      if (e.peer !== null) this.#flow(e.peer);
      return n;
    }
    if (e.err !== 0) return this.#takeError(e);
    if (e.finIn || e.state === "closed") return 0;
    return e.state === "new" ? no("ENOTCONN") : no("EAGAIN");
  }

  #takeError(e: FakeEnd): number {
    const err = e.err;
    e.err = 0;
    return -err;
  }

  #shutdown(e: FakeEnd, how: number): number {
    if (e.state !== "connected") return no("ENOTCONN");
    if (how !== SHUT_RD) {
      e.fin = true;
      this.#flow(e);
    }
    return 0;
  }

  #reset(e: FakeEnd): void {
    const { peer } = e;
    e.peer = null;
    e.state = "closed";
    e.rx.length = e.tx.length = 0;
    if (peer !== null) this.#fail(peer, peer.finIn ? ERRNO.EPIPE : ERRNO.ECONNRESET);
  }

  #close(e: FakeEnd): void {
    this.open.delete(e);
    e.onReady = null;
    for (const waiting of e.queue.splice(0)) this.#reset(waiting);
    if (e.rx.length > 0) this.#reset(e);
    e.orphan = e.fin = true;
    this.#flow(e);
  }

  #poll(e: FakeEnd): number {
    if (e.state === "listen") return e.queue.length > 0 ? POLLIN : 0;
    if (e.state === "connecting" || e.state === "new") return 0;
    let bits = 0;
    if (e.rx.length > 0 || e.finIn || e.state === "closed") bits |= POLLIN;
    if (e.finIn) bits |= POLLRDHUP;
    if (e.state === "closed" || (e.fin && e.finIn)) bits |= POLLHUP;
    if (e.tx.length < this.room) bits |= POLLOUT;
    return e.err !== 0 ? bits | POLLERR : bits;
  }

  #option(e: FakeEnd, level: number, name: number): number {
    if (level === SOL_SOCKET && name === SO_ERROR) return -this.#takeError(e);
    const value = e.options.get(`${level}.${name}`);
    return typeof value === "number" ? value : no("ENOPROTOOPT");
  }
}
