/**
 * `connect()`: Deno's, over the system calls.
 */
import { ERRNO, type Net } from "../../../core/mod.ts";
import {
  AF_INET,
  POLLERR,
  POLLHUP,
  POLLOUT,
  SO_ERROR,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import { needPort, needTransport, resolveHost } from "./args.ts";
import type { ConnectOptions, TcpConn } from "./contract.ts";
import { Interrupted, socketError } from "./errors.ts";
import { type Face, faceOf, Hold } from "./face.ts";
import { TcpStream } from "./stream.ts";

const IPPROTO_TCP = 6;

/**
 * A connection of `net`. Rejects with `ConnectionRefused`, `TimedOut`, `HostUnreachable`, ..., with the reason of
 * `signal` when it aborts, and leaves nothing behind then.
 *
 * @example
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { connect, ConnectionRefused, listen } from "@netpath/stack/deno";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * using listener = listen(net, { port: 7 });
 * using client = await connect(net, { port: 7 });
 * using server = await listener.accept();
 * await client.write(new TextEncoder().encode("hello"));
 * const p = new Uint8Array(100);
 * assertEquals([await server.read(p), server.remoteAddr], [5, client.localAddr]);
 *
 * await assertRejects(() => connect(net, { port: 8 }), ConnectionRefused, "Cannot connect to 127.0.0.1:8");
 * ```
 */
export async function connect(net: Net, options: ConnectOptions): Promise<TcpConn> {
  needTransport("connect", options, "tcp");
  const { port, hostname = "127.0.0.1", signal } = options;
  needPort("connect to", port);
  const addr = resolveHost(hostname, "connect to");
  signal?.throwIfAborted();
  const face = faceOf(net);
  const fd = face.sys.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
  if (fd < 0) throw socketError(fd, "make a stream socket");
  return await new Attempt(face, fd, `connect to ${hostname}:${port}`).run(addr, port, signal);
}

/** A connection that is being made. When its promise is rejected, its descriptor is closed. */
class Attempt implements Disposable {
  readonly #face: Face;
  readonly #fd: number;
  readonly #what: string;
  readonly #hold: Hold;
  #open = true;
  #resolve: (conn: TcpConn) => void = () => {};
  #reject: (reason: unknown) => void = () => {};

  constructor(face: Face, fd: number, what: string) {
    this.#face = face;
    this.#fd = fd;
    this.#what = what;
    this.#hold = new Hold(face);
  }

  async run(addr: number, port: number, signal: AbortSignal | undefined): Promise<TcpConn> {
    const { sys } = this.#face;
    const abort = (): void => this.#end(signal!.reason);
    const result = new Promise<TcpConn>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#face.enter(this);
    this.#hold.waits = true;
    signal?.addEventListener("abort", abort);
    sys.onReady(this.#fd, () => this.#look());
    const err = sys.connect(this.#fd, addr, port);
    if (err < 0 && err !== -ERRNO.EINPROGRESS) this.#end(socketError(err, this.#what));
    else this.#look();
    try {
      return await result;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The net ends. */
  [Symbol.dispose](): void {
    this.#end(new Interrupted(`Cannot ${this.#what}: the net has ended`));
  }

  #look(): void {
    const { sys } = this.#face;
    if (!this.#open || (sys.poll(this.#fd) & (POLLOUT | POLLERR | POLLHUP)) === 0) return;
    const err = sys.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR);
    if (err !== 0) return this.#end(socketError(err, this.#what));
    this.#forget();
    this.#resolve(new TcpStream(this.#face, this.#fd));
  }

  #end(reason: unknown): void {
    if (!this.#open) return;
    this.#forget();
    this.#face.sys.close(this.#fd);
    this.#reject(reason);
  }

  #forget(): void {
    this.#open = false;
    this.#hold.waits = false;
    this.#face.sys.onReady(this.#fd, null);
    this.#face.leave(this);
  }
}
