/**
 * TCP sockets of the kernel through FFI, non-blocking, for the kernel half of the TCP oracle.
 *
 * @module
 */

import { TCP_CONGESTION_CONTROL } from "./tcp_scenario.ts";

const libc = Deno.dlopen("libc.so.6", {
  close: { parameters: ["i32"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
});

const c = libc.symbols;

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const MSG_NOSIGNAL = 0x4000;
const EINPROGRESS = 115;
const CLOCK_MONOTONIC = 1;

const timespec = new Uint8Array(16);
const timespecWords = new BigInt64Array(timespec.buffer);

/** The kernel's monotonic clock, milliseconds: TCP's timestamps count in it. */
export function monotonicMs(): number {
  c.clock_gettime(CLOCK_MONOTONIC, timespec);
  return Number(timespecWords[0]) * 1000 + Number(timespecWords[1]) / 1e6;
}

function errno(): number {
  const at = c.__errno_location();
  return at === null ? 0 : new Deno.UnsafePointerView(at).getInt32();
}

function sockaddr(address: string, port: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(16);
  new DataView(out.buffer).setUint16(0, AF_INET, true);
  new DataView(out.buffer).setUint16(2, port);
  out.set(address.split(".").map(Number), 4);
  return out;
}

/** A TCP socket. Results are counts, or negative errnos. */
export class TcpSocket {
  readonly #fd: number;
  readonly #int = new Uint8Array(4);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static #open(): TcpSocket {
    const fd = c.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) throw new Error(`Cannot open a socket: errno ${errno()}`);
    const name = new TextEncoder().encode(TCP_CONGESTION_CONTROL);
    if (c.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, name.length) < 0) {
      throw new Error(`Cannot have the congestion control ${TCP_CONGESTION_CONTROL}: errno ${errno()}`);
    }
    return new TcpSocket(fd);
  }

  /** A listening socket. Its connections have its congestion control. */
  static listen(address: string, port: number, backlog: number): TcpSocket {
    const socket = TcpSocket.#open();
    if (c.bind(socket.#fd, sockaddr(address, port), 16) < 0) throw new Error(`Cannot bind: errno ${errno()}`);
    if (c.listen(socket.#fd, backlog) < 0) throw new Error(`Cannot listen: errno ${errno()}`);
    return socket;
  }

  /** A socket on its way to a peer. */
  static connect(from: string, address: string, port: number): TcpSocket {
    const socket = TcpSocket.#open();
    if (c.bind(socket.#fd, sockaddr(from, 0), 16) < 0) throw new Error(`Cannot bind: errno ${errno()}`);
    if (c.connect(socket.#fd, sockaddr(address, port), 16) < 0 && errno() !== EINPROGRESS) {
      throw new Error(`Cannot connect: errno ${errno()}`);
    }
    return socket;
  }

  /** The next connection of a listener. */
  accept(): TcpSocket | undefined {
    const fd = c.accept4(this.#fd, null, null, SOCK_NONBLOCK);
    return fd < 0 ? undefined : new TcpSocket(fd);
  }

  /** Up to `into.length` bytes; 0 at the end. */
  read(into: Uint8Array<ArrayBuffer>): number {
    const got = c.recv(this.#fd, into, BigInt(into.length), 0);
    return got < 0 ? -errno() : got;
  }

  /** Bytes taken. */
  write(bytes: Uint8Array<ArrayBuffer>): number {
    const sent = c.send(this.#fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
    return sent < 0 ? -errno() : sent;
  }

  /** SHUT_WR. */
  shutdown(): number {
    return c.shutdown(this.#fd, 1) < 0 ? -errno() : 0;
  }

  /** tcpi_state of TCP_INFO. */
  state(): number {
    const info = new Uint8Array(256);
    this.#int.set([0, 1, 0, 0]);
    return c.getsockopt(this.#fd, IPPROTO_TCP, TCP_INFO, info, this.#int) < 0 ? -errno() : info[0];
  }

  /** TCP_INFO, as it lies in memory. */
  info(): DataView {
    const info = new Uint8Array(256);
    this.#int.set([0, 1, 0, 0]);
    c.getsockopt(this.#fd, IPPROTO_TCP, TCP_INFO, info, this.#int);
    return new DataView(info.buffer);
  }

  /** An integer option. */
  set(level: number, name: number, value: number): number {
    return c.setsockopt(this.#fd, level, name, new Uint8Array(Int32Array.of(value).buffer), 4) < 0 ? -errno() : 0;
  }

  /** Takes SO_ERROR. */
  error(): number {
    const out = new Uint8Array(4);
    this.#int.set([4, 0, 0, 0]);
    c.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, out, this.#int);
    return new DataView(out.buffer).getInt32(0, true);
  }

  /** An orderly close. */
  close(): void {
    c.close(this.#fd);
  }

  /** SO_LINGER 0 and close: a RST where the state asks for one. */
  abort(): void {
    c.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]), 8);
    c.close(this.#fd);
  }
}
