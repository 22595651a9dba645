/**
 * `connect()` of WinterTC's socket API, which Workers and other servers' runtimes have. https://sockets-api.proposal.wintertc.org
 */
import type { Net } from "../../../core/mod.ts";
import { connect as connectTcp, type TcpAddr, type TcpConn } from "../deno/contract.ts";
import type { Socket, SocketAddress, SocketInfo, SocketOptions } from "./contract.ts";

/**
 * A socket of `net`, at once; `opened` tells when it is connected. The address is `{ hostname, port }` or `"host:port"`.
 * There is no TLS: `startTls()` is not there.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { listen } from "@netpath/stack/deno";
 * import { connect } from "@netpath/stack/http";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * using listener = listen(net, { port: 7 });
 * const socket = connect(net, "127.0.0.1:7");
 * const { remoteAddress } = await socket.opened;
 * const server = await listener.accept();
 * await server.write(new TextEncoder().encode("welcome"));
 * server.close();
 * assertEquals([remoteAddress, await new Response(socket.readable).text()], ["127.0.0.1:7", "welcome"]);
 * await socket.closed;
 * ```
 */
export function connect(net: Net, address: SocketAddress | string, options: SocketOptions = {}): Socket {
  const { secureTransport = "off", allowHalfOpen = false } = options;
  if (secureTransport !== "off") {
    throw new TypeError(`Cannot connect with secureTransport ${secureTransport}: there is no TLS`);
  }
  return new SocketImpl(net, addressOf(address), allowHalfOpen);
}

function addressOf(address: SocketAddress | string): SocketAddress {
  if (typeof address !== "string") return address;
  const at = /^([^:]+):(\d{1,5})$/.exec(address);
  if (at === null) throw new TypeError(`Cannot connect to "${address}": expected an address such as 10.0.0.1:80`);
  return { hostname: at[1], port: Number(at[2]) };
}

const CHUNK = 65536;

class SocketImpl implements Socket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly opened: Promise<SocketInfo>;
  readonly closed: Promise<void>;
  readonly upgraded = false;
  readonly secureTransport = "off";
  readonly #abort = new AbortController();
  readonly #conn: Promise<TcpConn>;
  readonly #allowHalfOpen: boolean;
  #open: TcpConn | null = null;
  #settle: [() => void, (error: unknown) => void] = [() => {}, () => {}];
  #writableController: WritableStreamDefaultController | null = null;
  #failure: { error: unknown } | null = null;
  /** The two halves that are still open. */
  #reads = true;
  #writes = true;

  constructor(net: Net, address: SocketAddress, allowHalfOpen: boolean) {
    this.#allowHalfOpen = allowHalfOpen;
    this.closed = new Promise((resolve, reject) => this.#settle = [resolve, reject]);
    this.closed.catch(() => {});
    this.#conn = connectTcp(net, { ...address, signal: this.#abort.signal });
    this.opened = this.#conn.then((conn) => {
      this.#open = conn;
      return { localAddress: textOf(conn.localAddr), remoteAddress: textOf(conn.remoteAddr) };
    });
    this.opened.catch((error) => this.#fail(error));
    this.readable = new ReadableStream<Uint8Array>({
      type: "bytes",
      autoAllocateChunkSize: CHUNK,
      pull: (controller) => this.#pull(controller as ReadableByteStreamController),
      cancel: () => this.#half("read"),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writableController = controller;
        controller.signal.addEventListener("abort", () => this.#fail(controller.signal.reason));
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#closeWrite(),
    });
  }

  close(reason?: unknown): Promise<void> {
    if (reason === undefined) this.#end();
    else this.#fail(reason);
    return this.closed.catch(() => {});
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest!;
    const view = request.view!;
    let n: number | null;
    try {
      const conn = await this.#conn;
      n = this.#reads
        ? await conn.read(new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength))
        : null;
    } catch (error) {
      // close() has ended it: what waits reads the end.
      if (this.#reads) this.#fail(error);
      n = null;
    }
    if (this.#failure !== null) throw this.#failure.error;
    if (n !== null) return request.respond(n);
    controller.close();
    request.respond(0);
    this.#half("read");
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("Cannot write: a chunk is no Uint8Array");
    try {
      await (await this.#conn).write(chunk);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  async #closeWrite(): Promise<void> {
    const conn = await this.#conn;
    if (this.#writes && this.#reads) await conn.closeWrite();
    this.#half("write");
  }

  /** One half has ended. Without allowHalfOpen the reader's end is the writer's. */
  #half(which: "read" | "write"): void {
    if (which === "read") this.#reads = false;
    else this.#writes = false;
    if (!this.#reads && (!this.#writes || !this.#allowHalfOpen)) this.#end();
  }

  #end(): void {
    this.#reads = this.#writes = false;
    if (this.#open === null) this.#abort.abort(new DOMException("The socket was closed", "AbortError"));
    else this.#open[Symbol.dispose]();
    this.#settle[0]();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#settle[1](error);
    this.#writableController?.error(error);
    this.#end();
  }
}

function textOf({ hostname, port }: TcpAddr): string {
  return `${hostname}:${port}`;
}
