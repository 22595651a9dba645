/**
 * `node:net`'s Server over the system calls.
 */
import { EventEmitter } from "node:events";
import process from "node:process";
import { ERRNO, type Net } from "../../../core/mod.ts";
import { ipToString, parseIp } from "../../network/inet/contract.ts";
import { AF_INET, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET } from "../../transport/sock/contract.ts";
import type { SockAddr, Syscalls } from "../syscall/contract.ts";
import { normalizeListen } from "./args.ts";
import type { AddressInfo, DropArgument, ListenOptions, ServerOptions } from "./contract.ts";
import { codedError, listenError, needPort, notFound } from "./errors.ts";
import { type Face, faceOf, Hold } from "./face.ts";
import { Socket } from "./socket.ts";

const IPPROTO_TCP = 6;
/** Node's default. */
const BACKLOG = 511;

/** A TCP server with `node:net`'s shape. See {@linkcode createServer}. */
export class Server extends EventEmitter {
  /** Connections beyond so many are closed at once, with the event `drop`. */
  maxConnections: number | undefined = undefined;
  readonly #net: Net;
  readonly #options: ServerOptions;
  readonly #face: Face;
  readonly #sys: Syscalls;
  readonly #hold: Hold;
  readonly #own: SockAddr = { addr: 0, port: 0 };
  readonly #end = (): void => void this.close();
  #fd = -1;
  #connections = 0;
  #scheduled = false;

  /** A server of `net`; `listener` is called for each connection. */
  constructor(net: Net, options: ServerOptions = {}, listener?: (socket: Socket) => void) {
    super();
    this.#net = net;
    this.#options = options;
    this.#face = faceOf(net);
    this.#sys = this.#face.sys;
    this.#hold = new Hold(this.#face);
    if (listener !== undefined) this.on("connection", listener);
  }

  /** Listens: `(options?, listener?)`. The event is `listening` or `error`. */
  listen(options?: ListenOptions, listener?: () => void): this;
  /** The same: `(port?, host?, backlog?, listener?)`; each may be left out. */
  listen(port?: number | string, host?: string, backlog?: number, listener?: () => void): this;
  /** The same. */
  listen(port: number | string, host: string, listener?: () => void): this;
  /** The same. */
  listen(port: number | string, backlog: number, listener?: () => void): this;
  /** The same. */
  listen(port: number | string, listener?: () => void): this;
  /** The same, on a free port. */
  listen(listener?: () => void): this;
  listen(...args: unknown[]): this {
    const { options, listener } = normalizeListen(args);
    const port = needPort(options.port ?? 0);
    if (this.#fd >= 0) throw codedError("ERR_SERVER_ALREADY_LISTEN", "Cannot listen: the server listens already");
    if (options.signal?.aborted === true) return this;
    if (listener !== null) this.once("listening", listener);
    const error = this.#open(port, options);
    if (error !== null) {
      process.nextTick(() => this.emit("error", error));
      return this;
    }
    options.signal?.addEventListener("abort", this.#end, { once: true });
    process.nextTick(() => {
      if (this.#fd >= 0) this.emit("listening");
    });
    return this;
  }

  #open(port: number, options: ListenOptions): Error | null {
    const sys = this.#sys;
    const { host = "0.0.0.0", backlog = BACKLOG, reusePort = false } = options;
    const addr = host === "localhost" ? 0x7f000001 : parseIp(host);
    if (addr === null) return host.includes(":") ? listenError(ERRNO.EAFNOSUPPORT, host, port) : notFound(host);
    const fd = sys.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (fd < 0) return listenError(fd, host, port);
    sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reusePort) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    let err = sys.bind(fd, addr, port);
    if (err === 0) err = sys.listen(fd, backlog);
    if (err < 0) {
      sys.close(fd);
      return listenError(err, host, port);
    }
    sys.getsockname(fd, this.#own);
    this.#fd = fd;
    this.#hold.open = true;
    this.#face.enter(this.#end);
    sys.onReady(fd, () => this.#schedule());
    return null;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#face.soon(this.#accept);
  }

  readonly #accept = (): void => {
    this.#scheduled = false;
    while (this.#fd >= 0) {
      const fd = this.#sys.accept(this.#fd);
      if (fd === -ERRNO.ECONNABORTED) continue;
      if (fd < 0) return;
      if (this.maxConnections !== undefined && this.#connections >= this.maxConnections) this.#drop(fd);
      else this.#take(fd);
    }
  };

  #take(fd: number): void {
    const { pauseOnConnect = false, ...options } = this.#options;
    const socket = new Socket(this.#net, { ...options, fd });
    socket.server = this;
    this.#connections++;
    socket.once("close", () => {
      this.#connections--;
      this.#drained();
    });
    if (pauseOnConnect) socket.pause();
    this.emit("connection", socket);
    if (!pauseOnConnect && !socket.destroyed) socket.read(0);
  }

  #drop(fd: number): void {
    const local: SockAddr = { addr: 0, port: 0 };
    const remote: SockAddr = { addr: 0, port: 0 };
    this.#sys.getsockname(fd, local);
    this.#sys.getpeername(fd, remote);
    this.#sys.close(fd);
    const drop: DropArgument = {
      localAddress: ipToString(local.addr),
      localPort: local.port,
      localFamily: "IPv4",
      remoteAddress: ipToString(remote.addr),
      remotePort: remote.port,
      remoteFamily: "IPv4",
    };
    this.emit("drop", drop);
  }

  /** Stops listening; `close` comes when the last connection has ended. */
  close(callback?: (error?: Error) => void): this {
    const fd = this.#fd;
    if (callback !== undefined) {
      const error = fd < 0 ? codedError("ERR_SERVER_NOT_RUNNING", "Server is not running.") : undefined;
      this.once("close", () => callback(error));
    }
    if (fd >= 0) {
      this.#fd = -1;
      this.#hold.open = false;
      this.#face.leave(this.#end);
      this.#sys.onReady(fd, null);
      this.#sys.close(fd);
    }
    this.#drained();
    return this;
  }

  #drained(): void {
    if (this.#fd < 0 && this.#connections === 0) process.nextTick(() => this.emit("close"));
  }

  /** Stops listening; resolves at `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd < 0) return;
    await new Promise<void>((resolve) => this.close(() => resolve()));
  }

  /** Where it listens; null: it does not. */
  address(): AddressInfo | null {
    if (this.#fd < 0) return null;
    return { address: ipToString(this.#own.addr), family: "IPv4", port: this.#own.port };
  }

  /** It listens. */
  get listening(): boolean {
    return this.#fd >= 0;
  }

  /** How many connections are open. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this.#connections);
    return this;
  }

  /** While it listens it keeps the process running, where the machine has a real clock. The default. */
  ref(): this {
    this.#hold.refd = true;
    return this;
  }

  /** It does not. */
  unref(): this {
    this.#hold.refd = false;
    return this;
  }
}
