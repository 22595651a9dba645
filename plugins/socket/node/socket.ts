/**
 * `node:net`'s Socket over the system calls.
 *
 * A wake of the stack only schedules the work: an application's listeners run in a tick of their own, so that what they
 * throw is the application's uncaught error, as in Node, and not a fault of the machine.
 */
import { Buffer } from "node:buffer";
import process from "node:process";
import { addAbortSignal, Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { ERRNO, HrTimer, type Net } from "../../../core/mod.ts";
import { ipToString, parseIp } from "../../network/inet/contract.ts";
import {
  AF_INET,
  MSG_MORE,
  type MsgHdr,
  msgHdr,
  POLLERR,
  POLLHUP,
  POLLOUT,
  SHUT_WR,
  SO_ERROR,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import { SOL_TCP, TCP_KEEPIDLE, TCP_NODELAY } from "../../transport/tcp/contract.ts";
import type { SockAddr, Syscalls } from "../syscall/contract.ts";
import type { AddressInfo, ConnectOptions, SocketOptions } from "./contract.ts";
import { callError, codedError, needPort, notFound } from "./errors.ts";
import { type Face, faceOf, Hold } from "./face.ts";
import { normalizeConnect } from "./args.ts";

const IPPROTO_TCP = 6;
const EAGAIN = -ERRNO.EAGAIN;
/** Linux: include/uapi/asm-generic/socket.h. */
const SO_KEEPALIVE = 9;
/** Received bytes are given out from blocks of this size; several small messages share one. */
const BLOCK = 65536;
/** A rest of a block that is not worth a call. */
const SCRAP = 2048;

const NO_BYTES = new Uint8Array(0);

type Done = (error?: Error | null) => void;

/** A TCP socket with `node:net`'s shape. See {@linkcode connect}. */
export class Socket extends Duplex {
  /** connect() was called and has not succeeded yet. */
  connecting: boolean = false;
  /** Bytes received. */
  bytesRead: number = 0;
  /** Milliseconds of setTimeout(); 0: none. */
  timeout: number = 0;
  /** The server that accepted it. */
  server: unknown = null;
  readonly #face: Face;
  readonly #sys: Syscalls;
  readonly #hold: Hold;
  readonly #msg: MsgHdr = msgHdr(NO_BYTES);
  readonly #local: SockAddr = { addr: 0, port: 0 };
  readonly #remote: SockAddr = { addr: 0, port: 0 };
  readonly #wake = (): void => this.#schedule();
  readonly #end = (): void => void this.destroy();
  #fd = -1;
  #named = false;
  #noDelay: boolean;
  #keepAlive: boolean;
  #keepIdle: number;
  // Reading.
  #block: Uint8Array<ArrayBuffer> = NO_BYTES;
  #used = 0;
  #reading = false;
  #pumping = false;
  // The write that is under way; null: none.
  #done: Done | null = null;
  #chunks: readonly Uint8Array[] = [];
  #chunk = 0;
  #off = 0;
  #written = 0;
  // Time.
  #timer: HrTimer | null = null;
  #active = 0;
  #scheduled = false;

  /** A socket of `net`: connected where `options.fd` says so, else for connect(). */
  constructor(net: Net, options: SocketOptions = {}) {
    const { allowHalfOpen = false, highWaterMark, signal } = options;
    super({
      allowHalfOpen,
      emitClose: false,
      autoDestroy: true,
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
    });
    this.#face = faceOf(net);
    this.#sys = this.#face.sys;
    this.#hold = new Hold(this.#face);
    this.#noDelay = options.noDelay ?? false;
    this.#keepAlive = options.keepAlive ?? false;
    this.#keepIdle = options.keepAliveInitialDelay ?? 0;
    if (options.fd !== undefined) {
      this.#open(options.fd);
      this.#connected();
    }
    if (signal !== undefined) addAbortSignal(signal, this);
  }

  // ---- connecting

  /** Connects: `(port, host?, listener?)` or `(options, listener?)`. The events are `connect` and `ready`, or `error`. */
  connect(options: ConnectOptions, listener?: () => void): this;
  /** The same, to a port and host. */
  connect(port: number | string, host?: string, listener?: () => void): this;
  /** The same, to a port of `localhost`. */
  connect(port: number | string, listener?: () => void): this;
  connect(...args: unknown[]): this {
    const { options, listener } = normalizeConnect(args);
    const port = needPort(options.port);
    if (this.connecting) throw codedError("ERR_SOCKET_CONNECTING", "Cannot connect: the socket is connecting already");
    if (listener !== null) this.once("connect", listener);
    // A socket that was closed can be used again. Node: _undestroy().
    if (this.destroyed) (this as unknown as { _undestroy(): void })._undestroy();
    this.connecting = true;
    this.#named = false;
    this.#hold.open = true;
    if (options.noDelay !== undefined) this.#noDelay = options.noDelay;
    if (options.keepAlive !== undefined) this.#keepAlive = options.keepAlive;
    if (options.keepAliveInitialDelay !== undefined) this.#keepIdle = options.keepAliveInitialDelay;
    if (options.timeout !== undefined) this.setTimeout(options.timeout);
    // Listeners that the caller is about to add see all that happens.
    process.nextTick(() => this.#lookup(options.host || "localhost", port, options));
    return this;
  }

  #lookup(host: string, port: number, options: ConnectOptions): void {
    if (!this.connecting) return;
    const known = host === "localhost" ? 0x7f000001 : parseIp(host);
    if (known !== null) return this.#start(known, port, options);
    const found = (error: Error | null, address: string, family = 4): void => {
      if (!this.connecting) return;
      this.emit("lookup", error, address, family, host);
      if (error !== null) return void this.destroy(error);
      const addr = parseIp(address);
      if (addr === null) this.destroy(callError(ERRNO.EAFNOSUPPORT, "connect", address, port));
      else this.#start(addr, port, options);
    };
    if (options.lookup !== undefined) options.lookup(host, { family: 4, hints: 0, all: false }, found);
    else if (host.includes(":")) this.destroy(callError(ERRNO.EAFNOSUPPORT, "connect", host, port));
    else this.destroy(notFound(host));
  }

  #start(addr: number, port: number, options: ConnectOptions): void {
    const sys = this.#sys;
    const fd = sys.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    const host = ipToString(addr);
    if (fd < 0) return void this.destroy(callError(fd, "connect", host, port));
    this.#open(fd);
    if (options.localAddress !== undefined || options.localPort !== undefined) {
      const local = options.localAddress ?? "0.0.0.0";
      const from = local === "localhost" ? 0x7f000001 : parseIp(local);
      const err = from === null ? -ERRNO.EINVAL : sys.bind(fd, from, options.localPort ?? 0);
      if (err < 0) return void this.destroy(callError(err, "bind", local, options.localPort ?? 0));
    }
    this.#remote.addr = addr;
    this.#remote.port = port;
    const err = sys.connect(fd, addr, port);
    if (err < 0 && err !== -ERRNO.EINPROGRESS) this.destroy(callError(err, "connect", host, port));
    else this.#finishConnect();
  }

  #finishConnect(): void {
    if ((this.#sys.poll(this.#fd) & (POLLOUT | POLLERR | POLLHUP)) === 0) return;
    const err = this.#sys.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR);
    const { addr, port } = this.#remote;
    if (err !== 0) return void this.destroy(callError(err, "connect", ipToString(addr), port));
    this.connecting = false;
    this.#connected();
    this.emit("connect");
    this.emit("ready");
    if (this.destroyed) return;
    if (this.#done !== null) this.#flush();
    if (!this.isPaused()) this.read(0);
    if (this.#reading) this.#pump();
  }

  /** Takes a descriptor. */
  #open(fd: number): void {
    this.#fd = fd;
    this.#hold.open = true;
    this.#face.enter(this.#end);
    this.#sys.onReady(fd, this.#wake);
    if (this.#noDelay) this.setNoDelay(true);
    if (this.#keepAlive) this.setKeepAlive(true, this.#keepIdle);
  }

  #connected(): void {
    this.#sys.getsockname(this.#fd, this.#local);
    if (this.#sys.getpeername(this.#fd, this.#remote) < 0) {
      // Reset before anybody looked: it has no peer any more, but it had one.
      const sk = this.#sys.sock(this.#fd);
      this.#remote.addr = sk?.daddr ?? this.#remote.addr;
      this.#remote.port = sk?.dport ?? this.#remote.port;
    }
    this.#named = true;
    this.#touch();
  }

  // ---- waking

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#face.soon(this.#ready);
  }

  readonly #ready = (): void => {
    this.#scheduled = false;
    if (this.#fd < 0) return;
    if (this.connecting) return this.#finishConnect();
    if (this.#done !== null) this.#flush();
    if (this.#reading) this.#pump();
  };

  // ---- reading

  /** The stream wants bytes. */
  override _read(): void {
    this.#reading = true;
    if (this.#fd >= 0 && !this.connecting && !this.#pumping) this.#pump();
  }

  #pump(): void {
    this.#pumping = true;
    while (this.#reading && this.#fd >= 0) {
      const n = this.#receive();
      if (n === EAGAIN) break;
      if (n < 0) {
        this.destroy(callError(n, "read"));
        break;
      }
      this.#touch();
      if (n === 0) {
        this.#reading = false;
        this.push(null);
        // Nobody may be reading: the end is seen all the same, and closes the other half.
        this.read(0);
        break;
      }
      this.bytesRead += n;
      const bytes = Buffer.from(this.#block.buffer, this.#used, n);
      this.#used += (n + 7) & ~7;
      // A listener may ask for more meanwhile: then the loop goes on.
      this.#reading = false;
      if (this.push(bytes)) this.#reading = true;
    }
    this.#pumping = false;
  }

  #receive(): number {
    if (this.#block.length - this.#used < SCRAP) {
      this.#block = new Uint8Array(BLOCK);
      this.#used = 0;
    }
    const msg = this.#msg;
    msg.buf = this.#block;
    msg.off = this.#used;
    msg.len = this.#block.length - this.#used;
    return this.#sys.recvmsg(this.#fd, msg, 0);
  }

  // ---- writing

  /** The stream has bytes. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#begin([chunk], done);
  }

  /** The stream has several pieces. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#begin(chunks.map((c) => c.chunk), done);
  }

  #begin(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    // The last piece goes without MSG_MORE: it must have bytes.
    this.#chunks = chunks.filter((c) => c.length > 0);
    this.#chunk = this.#off = 0;
    this.#done = done;
    if (!this.connecting) this.#flush();
  }

  #flush(): void {
    const chunks = this.#chunks;
    const msg = this.#msg;
    while (this.#chunk < chunks.length) {
      if (this.#fd < 0) return this.#finish(codedError("ERR_SOCKET_CLOSED", "Socket is closed"));
      msg.buf = chunks[this.#chunk];
      msg.off = this.#off;
      msg.len = msg.buf.length - this.#off;
      const n = this.#sys.sendmsg(this.#fd, msg, this.#chunk + 1 < chunks.length ? MSG_MORE : 0);
      if (n === EAGAIN) return;
      if (n < 0) return this.#finish(callError(n, "write"));
      this.#touch();
      this.#off += n;
      if (this.#off < chunks[this.#chunk].length) continue;
      this.#chunk++;
      this.#off = 0;
    }
    for (const c of chunks) this.#written += c.length;
    this.#finish(null);
  }

  #finish(error: Error | null): void {
    const done = this.#done;
    this.#done = null;
    this.#chunks = [];
    done?.(error);
  }

  /** The stream has ended: closes our half. */
  override _final(done: (error?: Error | null) => void): void {
    if (this.connecting) return void this.once("connect", () => this._final(done));
    const err = this.#fd < 0 ? 0 : this.#sys.shutdown(this.#fd, SHUT_WR);
    done(err < 0 && err !== -ERRNO.ENOTCONN ? callError(err, "shutdown") : null);
  }

  // ---- ending

  /** Closes the descriptor; what is in the send buffer still goes. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const fd = this.#fd;
    this.#fd = -1;
    this.connecting = this.#reading = false;
    this.#hold.open = false;
    this.#face.leave(this.#end);
    if (this.#timer !== null) this.#face.machine.hrtimers.cancel(this.#timer);
    if (fd >= 0) {
      this.#sys.onReady(fd, null);
      this.#sys.close(fd);
    }
    const write = this.#done;
    this.#done = null;
    if (write !== null) process.nextTick(write, null);
    done(error);
    // After the event `error`, whose tick done() has just asked for; with a descriptor a turn later, as in Node, so that
    // who awaits `error` or `end` still sees it.
    const close = (): void => void this.emit("close", error !== null && error !== undefined);
    if (fd < 0) process.nextTick(close);
    else setImmediate(close);
  }

  /** Destroys it when all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Ends the connection with a RST. */
  resetAndDestroy(): this {
    if (this.connecting) return this.once("connect", () => void this.resetAndDestroy());
    if (this.#fd < 0) return this.destroy(codedError("ERR_SOCKET_CLOSED", "Socket is closed"));
    this.#sys.disconnect(this.#fd);
    return this.destroy();
  }

  // ---- options and time

  /** TCP_NODELAY. */
  setNoDelay(noDelay: boolean = true): this {
    this.#noDelay = noDelay;
    if (this.#fd >= 0) this.#sys.setsockopt(this.#fd, SOL_TCP, TCP_NODELAY, noDelay ? 1 : 0);
    return this;
  }

  /** SO_KEEPALIVE, and milliseconds of idleness before the first probe; 0 leaves them as they are. */
  setKeepAlive(enable: boolean = false, initialDelay: number = 0): this {
    this.#keepAlive = enable;
    this.#keepIdle = initialDelay;
    if (this.#fd < 0) return this;
    this.#sys.setsockopt(this.#fd, SOL_SOCKET, SO_KEEPALIVE, enable ? 1 : 0);
    const seconds = Math.trunc(initialDelay / 1000);
    if (enable && seconds > 0) this.#sys.setsockopt(this.#fd, SOL_TCP, TCP_KEEPIDLE, seconds);
    return this;
  }

  /**
   * The event `timeout` after so many milliseconds of the machine's clock without reading or writing; 0: none. Nothing is
   * closed by it.
   */
  setTimeout(timeout: number, listener?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = timeout;
    if (listener !== undefined && timeout === 0) this.removeListener("timeout", listener);
    else if (listener !== undefined) this.once("timeout", listener);
    this.#active = this.#face.machine.platform.now();
    if (timeout > 0) this.#arm();
    else if (this.#timer !== null) this.#face.machine.hrtimers.cancel(this.#timer);
    return this;
  }

  #arm(): void {
    const { machine } = this.#face;
    const timer = this.#timer ??= new HrTimer(() => this.#expired());
    machine.enter();
    machine.hrtimers.start(timer, this.#active + this.timeout * 1e6);
    machine.exit();
  }

  #expired(): void {
    // Activity does not move the timer: when it fires, it looks.
    if (this.#face.machine.now < this.#active + this.timeout * 1e6) return this.#arm();
    process.nextTick(() => {
      if (!this.destroyed && this.timeout > 0) this.emit("timeout");
    });
  }

  #touch(): void {
    if (this.timeout === 0) return;
    this.#active = this.#face.machine.now;
    if (this.#timer?.pending !== true) this.#arm();
  }

  /** While it is open it keeps the process running, where the machine has a real clock. The default. */
  ref(): this {
    this.#hold.refd = true;
    return this;
  }

  /** It does not. */
  unref(): this {
    this.#hold.refd = false;
    return this;
  }

  // ---- looking

  /** Our address; empty before it is connected. */
  address(): AddressInfo | Record<string, never> {
    return this.#named ? { address: ipToString(this.#local.addr), family: "IPv4", port: this.#local.port } : {};
  }

  /** Our address. */
  get localAddress(): string | undefined {
    return this.#named ? ipToString(this.#local.addr) : undefined;
  }

  /** Our port. */
  get localPort(): number | undefined {
    return this.#named ? this.#local.port : undefined;
  }

  /** `IPv4`. */
  get localFamily(): string | undefined {
    return this.#named ? "IPv4" : undefined;
  }

  /** The peer's address. */
  get remoteAddress(): string | undefined {
    return this.#named ? ipToString(this.#remote.addr) : undefined;
  }

  /** The peer's port. */
  get remotePort(): number | undefined {
    return this.#named ? this.#remote.port : undefined;
  }

  /** `IPv4`. */
  get remoteFamily(): string | undefined {
    return this.#named ? "IPv4" : undefined;
  }

  /** Bytes that were given to write() and accepted. */
  get bytesWritten(): number {
    return this.#written + this.writableLength;
  }

  /** The same as `writableLength`. */
  get bufferSize(): number {
    return this.writableLength;
  }

  /** Not connected yet, or not any more. */
  get pending(): boolean {
    return this.#fd < 0 || this.connecting;
  }

  /** `opening`, `open`, `readOnly`, `writeOnly` or `closed`. */
  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.#fd < 0) return "closed";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }
}
