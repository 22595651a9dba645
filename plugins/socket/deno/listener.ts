/**
 * `listen()`: Deno's listener over the system calls.
 */
import { ERRNO, type Net } from "../../../core/mod.ts";
import { AF_INET, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET } from "../../transport/sock/contract.ts";
import type { Syscalls } from "../syscall/contract.ts";
import { needPort, needTransport, resolveHost } from "./args.ts";
import type { ListenOptions, TcpAddr, TcpConn, TcpListener } from "./contract.ts";
import { BadResource, socketError } from "./errors.ts";
import { type Face, faceOf, Hold } from "./face.ts";
import { tcpAddr, TcpStream } from "./stream.ts";

const IPPROTO_TCP = 6;
const EAGAIN = -ERRNO.EAGAIN;
/** Deno's default. */
const BACKLOG = 511;

/** An accept() that waits. */
interface Waiter {
  resolve(conn: TcpConn): void;
  reject(error: unknown): void;
}

/**
 * A listener of `net`. Errors are those of {@linkcode socketError}: `AddrInUse`, `AddrNotAvailable`; a port that is none
 * is a RangeError.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { AddrInUse, listen } from "@netpath/stack/deno";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * using listener = listen(net, { port: 80 });
 * assertEquals(listener.addr, { transport: "tcp", hostname: "0.0.0.0", port: 80 });
 * assertThrows(() => listen(net, { port: 80 }), AddrInUse, "Cannot listen on 0.0.0.0:80: address in use");
 * ```
 */
export function listen(net: Net, options: ListenOptions): TcpListener {
  needTransport("listen", options, "tcp");
  const { port = 0, hostname = "0.0.0.0", tcpBacklog = BACKLOG, reuseAddress = true, reusePort = false } = options;
  needPort("listen on", port);
  const addr = resolveHost(hostname, "listen on");
  const face = faceOf(net);
  const sys = face.sys;
  const fd = sys.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
  if (fd < 0) throw socketError(fd, "make a stream socket");
  if (reuseAddress) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (reusePort) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  let err = sys.bind(fd, addr, port);
  if (err === 0) err = sys.listen(fd, tcpBacklog);
  if (err < 0) {
    sys.close(fd);
    throw socketError(err, `listen on ${hostname}:${port}`);
  }
  return new Listener(face, fd);
}

/** A listener around a descriptor that listens, which it owns from now on; for the rest of the face. */
export class Listener implements TcpListener {
  readonly addr: TcpAddr;
  readonly #face: Face;
  readonly #sys: Syscalls;
  readonly #hold: Hold;
  readonly #waiters: Waiter[] = [];
  #fd: number;
  #woken = false;

  constructor(face: Face, fd: number) {
    this.#face = face;
    this.#sys = face.sys;
    this.#fd = fd;
    this.#hold = new Hold(face);
    const own = { addr: 0, port: 0 };
    this.#sys.getsockname(fd, own);
    this.addr = tcpAddr(own);
    this.#sys.onReady(fd, () => this.#wake());
    face.enter(this);
  }

  accept(): Promise<TcpConn> {
    if (this.#fd < 0) return Promise.reject(closed("accept"));
    if (this.#waiters.length === 0) {
      const fd = this.#take();
      if (fd >= 0) return Promise.resolve(new TcpStream(this.#face, fd));
      if (fd !== EAGAIN) return Promise.reject(socketError(fd, "accept"));
    }
    this.#hold.waits = true;
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  close(): void {
    if (this.#fd < 0) throw closed("close");
    const fd = this.#fd;
    this.#fd = -1;
    this.#hold.waits = false;
    this.#face.leave(this);
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
    for (const w of this.#waiters.splice(0)) w.reject(closed("accept"));
  }

  ref(): void {
    this.#hold.refd = true;
  }

  unref(): void {
    this.#hold.refd = false;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<TcpConn> {
    while (this.#fd >= 0) {
      let conn: TcpConn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (error instanceof BadResource) return;
        throw error;
      }
      yield conn;
    }
  }

  /** A descriptor or a negative errno. */
  #take(): number {
    for (;;) {
      this.#woken = false;
      const fd = this.#sys.accept(this.#fd);
      // A connection may have come at the call's own exit, before anybody waited for it.
      if (fd !== EAGAIN || !this.#woken) return fd;
    }
  }

  #wake(): void {
    this.#woken = true;
    while (this.#waiters.length > 0 && this.#fd >= 0) {
      const fd = this.#take();
      if (fd === EAGAIN) return;
      const { resolve, reject } = this.#waiters.shift()!;
      if (fd >= 0) resolve(new TcpStream(this.#face, fd));
      else reject(socketError(fd, "accept"));
    }
    this.#hold.waits = false;
  }
}

function closed(what: string): BadResource {
  return new BadResource(`Cannot ${what}: the listener is closed`);
}
