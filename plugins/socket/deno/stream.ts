/**
 * A TCP connection in Deno's shape over the system calls.
 */
import { ERRNO } from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/contract.ts";
import { type MsgHdr, msgHdr, SHUT_WR, SOL_SOCKET } from "../../transport/sock/contract.ts";
import { SOL_TCP, TCP_NODELAY } from "../../transport/tcp/contract.ts";
import type { SockAddr, Syscalls } from "../syscall/contract.ts";
import { needBytes } from "./args.ts";
import type { TcpAddr, TcpConn } from "./contract.ts";
import { BadResource, Interrupted, socketError } from "./errors.ts";
import { type Face, Hold } from "./face.ts";
import { Waiting } from "./waiting.ts";

const EAGAIN = -ERRNO.EAGAIN;
/** Linux: include/uapi/asm-generic/socket.h. */
const SO_KEEPALIVE = 9;
/** What the readable allocates for a reader that brings no buffer. Deno's number. */
const CHUNK = 65536;
/** Stands for closeWrite() among the writes that wait. */
const FIN = new Uint8Array(0);

/** See {@linkcode TcpConn}. */
export class TcpStream implements TcpConn {
  readonly #face: Face;
  readonly #sys: Syscalls;
  readonly #hold: Hold;
  readonly #rx: MsgHdr = msgHdr(FIN);
  readonly #tx: MsgHdr = msgHdr(FIN);
  readonly #readers = new Waiting<number | null>();
  readonly #writers = new Waiting<number>();
  readonly #local: SockAddr = { addr: 0, port: 0 };
  readonly #remote: SockAddr = { addr: 0, port: 0 };
  #fd: number;
  /** poll() may have changed since a call began. */
  #woken = false;
  /** The readable has ended: the connection goes when no write waits. */
  #ended = false;
  #localAddr: TcpAddr | null = null;
  #remoteAddr: TcpAddr | null = null;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | null = null;

  /** Around a descriptor that is connected, which it owns from now on. */
  constructor(face: Face, fd: number) {
    this.#face = face;
    this.#sys = face.sys;
    this.#fd = fd;
    this.#hold = new Hold(face);
    this.#sys.getsockname(fd, this.#local);
    if (this.#sys.getpeername(fd, this.#remote) < 0) {
      // Reset before anybody looked: it has no peer any more, but it had one.
      const sk = this.#sys.sock(fd);
      this.#remote.addr = sk?.daddr ?? 0;
      this.#remote.port = sk?.dport ?? 0;
    }
    this.#sys.onReady(fd, () => this.#wake());
    face.enter(this);
  }

  get localAddr(): TcpAddr {
    return this.#localAddr ??= tcpAddr(this.#local);
  }

  get remoteAddr(): TcpAddr {
    return this.#remoteAddr ??= tcpAddr(this.#remote);
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#fd < 0) return Promise.reject(closed("read"));
    if (!(p instanceof Uint8Array)) return Promise.reject(failure(() => needBytes("read into it", p)));
    if (p.length === 0) return Promise.resolve(0);
    if (this.#readers.bytes === null) {
      const n = this.#take(p);
      if (n > 0) return this.#face.served(n);
      if (n === 0) return Promise.resolve(null);
      if (n !== EAGAIN) return Promise.reject(socketError(n, "read"));
    }
    const promise = this.#readers.add(p);
    this.#hold.waits = true;
    return promise;
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#fd < 0) return Promise.reject(closed("write"));
    if (!(p instanceof Uint8Array)) return Promise.reject(failure(() => needBytes("write it", p)));
    let done = 0;
    if (this.#writers.bytes === null) {
      done = this.#put(p, 0);
      if (done === p.length) return this.#face.served(done);
      if (done < 0) return Promise.reject(socketError(done, "write"));
    }
    const promise = this.#writers.add(p, done);
    this.#hold.waits = true;
    return promise;
  }

  async closeWrite(): Promise<void> {
    if (this.#fd < 0) throw closed("close for writing");
    if (this.#writers.bytes !== null) {
      await this.#writers.add(FIN);
      return;
    }
    const err = this.#sys.shutdown(this.#fd, SHUT_WR);
    if (err < 0) throw socketError(err, "close for writing");
  }

  close(): void {
    if (this.#fd < 0) throw closed("close");
    const fd = this.#fd;
    this.#fd = -1;
    this.#hold.waits = false;
    this.#face.leave(this);
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
    while (this.#readers.bytes !== null) this.#readers.reject(interrupted("read"));
    while (this.#writers.bytes !== null) this.#writers.reject(interrupted("write"));
  }

  setNoDelay(noDelay = true): void {
    this.#option("set TCP_NODELAY", SOL_TCP, TCP_NODELAY, noDelay);
  }

  setKeepAlive(keepAlive = true): void {
    this.#option("set SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, keepAlive);
  }

  ref(): void {
    this.#hold.refd = true;
  }

  unref(): void {
    this.#hold.refd = false;
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: CHUNK,
      pull: (controller) => this.#pull(controller),
      cancel: () => this[Symbol.dispose](),
    }, { highWaterMark: 0 });
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#writable ??= new WritableStream({
      // abort() itself would wait for the write that a peer without a window holds.
      start: (controller) => controller.signal.addEventListener("abort", () => this[Symbol.dispose]()),
      write: async (chunk) => {
        await this.write(chunk);
      },
      close: () => this[Symbol.dispose](),
    });
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.close();
  }

  #option(what: string, level: number, name: number, on: boolean): void {
    if (this.#fd < 0) throw closed(what);
    const err = this.#sys.setsockopt(this.#fd, level, name, on ? 1 : 0);
    if (err < 0) throw socketError(err, what);
  }

  /** At the outermost exit: serves those that wait, in order, as far as there are bytes and room. */
  #wake(): void {
    this.#woken = true;
    const { bytes: reader } = this.#readers;
    const { bytes: writer } = this.#writers;
    if (reader === null && writer === null) return;
    if (reader !== null) this.#serveReaders();
    if (writer !== null) this.#serveWriters();
    if (this.#fd < 0) return;
    this.#hold.waits = this.#readers.bytes !== null || this.#writers.bytes !== null;
    if (this.#ended && this.#writers.bytes === null) this.close();
  }

  #serveReaders(): void {
    const readers = this.#readers;
    for (let into = readers.bytes; into !== null && this.#fd >= 0; into = readers.bytes) {
      const n = this.#take(into);
      if (n === EAGAIN) return;
      if (n < 0) readers.reject(socketError(n, "read"));
      else readers.resolve(n === 0 ? null : n);
    }
  }

  #serveWriters(): void {
    const writers = this.#writers;
    for (let p = writers.bytes; p !== null && this.#fd >= 0; p = writers.bytes) {
      const done = p === FIN ? this.#sys.shutdown(this.#fd, SHUT_WR) : this.#put(p, writers.done);
      if (done < 0) writers.reject(socketError(done, p === FIN ? "close for writing" : "write"));
      else if (done === p.length) writers.resolve(done);
      else {
        writers.done = done;
        return;
      }
    }
  }

  /** Bytes read, 0 at the end, or a negative errno. */
  #take(into: Uint8Array): number {
    const msg = this.#rx;
    msg.buf = into;
    msg.len = into.length;
    for (;;) {
      this.#woken = false;
      const n = this.#sys.recvmsg(this.#fd, msg, 0);
      // Bytes may have come at the call's own exit, before anybody waited for them.
      if (n !== EAGAIN || !this.#woken) return n;
    }
  }

  /** Bytes of `p` that are in the send buffer, of which `done` were before; or a negative errno. */
  #put(p: Uint8Array, done: number): number {
    const msg = this.#tx;
    msg.buf = p;
    while (done < p.length) {
      msg.off = done;
      msg.len = p.length - done;
      this.#woken = false;
      const n = this.#sys.sendmsg(this.#fd, msg, 0);
      if (n >= 0) done += n;
      else if (n !== EAGAIN) return n;
      else if (!this.#woken) break;
    }
    return done;
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest!;
    const view = request.view!;
    let n: number | null;
    try {
      n = await this.read(new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength));
    } catch (error) {
      throw error instanceof Interrupted ? closed("read") : error;
    }
    if (n !== null) return request.respond(n);
    controller.close();
    request.respond(0);
    this.#ended = true;
    if (this.#writers.bytes === null) this[Symbol.dispose]();
  }
}

/** An address as calls give it. */
export function tcpAddr(from: SockAddr): TcpAddr {
  return { transport: "tcp", hostname: ipToString(from.addr), port: from.port };
}

function closed(what: string): BadResource {
  return new BadResource(`Cannot ${what}: the connection is closed`);
}

function interrupted(what: string): Interrupted {
  return new Interrupted(`Cannot ${what}: the connection was closed`);
}

/** What `check` throws. */
function failure(check: () => void): unknown {
  try {
    check();
  } catch (error) {
    return error;
  }
}
