/**
 * `serve()`: `Deno.serve()` over the stack.
 */
import { HrTimer, type Net } from "../../../core/mod.ts";
import { listen, type TcpAddr, type TcpConn, type TcpListener } from "../deno/contract.ts";
import type { HttpServer, ServeHandler, ServeHandlerInfo, ServeOptions } from "./contract.ts";
import {
  Body,
  type Framing,
  framingOf,
  type Head,
  headBytes,
  HttpError,
  Input,
  wentAway,
  writeMessage,
} from "./message.ts";

/** Deno's default. */
const PORT = 8000;
/** What a handler has not read of a body is read and dropped up to so many bytes; else the connection ends. */
const MAX_DRAIN = 65536;

/** How long a connection that the server ends waits for its client to end too, so that the answer is not reset. ns. */
const LINGER_NS = 1e9;

/** Statuses whose responses have no body. RFC 9110, 6.4.1. */
const NO_BODY = new Set([101, 204, 205, 304]);

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/**
 * Serves HTTP/1.1 on `net`: `Deno.serve(options, handler)`, with the net in front. Keep-alive, pipelining, bodies that
 * stream both ways; a client that goes away aborts its request's signal. No TLS, no HTTP/2, no upgrades.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { fetchOver, serve } from "@netpath/stack/http";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * await using server = serve(net, { port: 80 }, (request) => new Response(`you ask for ${new URL(request.url).pathname}`));
 * const fetch = fetchOver(net);
 * const response = await fetch(`http://127.0.0.1:${server.addr.port}/there`);
 * assertEquals([response.status, await response.text()], [200, "you ask for /there"]);
 * ```
 */
export function serve(net: Net, options: ServeOptions, handler: ServeHandler): HttpServer {
  options.signal?.throwIfAborted();
  const { port = PORT, hostname, tcpBacklog, reusePort } = options;
  const listener = listen(net, {
    port,
    ...(hostname === undefined ? {} : { hostname }),
    ...(tcpBacklog === undefined ? {} : { tcpBacklog }),
    ...(reusePort === undefined ? {} : { reusePort }),
  });
  return new Server(net, listener, options, handler);
}

class Server implements HttpServer {
  readonly addr: TcpAddr;
  readonly finished: Promise<void>;
  readonly handler: ServeHandler;
  readonly net: Net;
  readonly #options: ServeOptions;
  readonly #listener: TcpListener;
  readonly #connections = new Set<Connection>();
  /** It accepts no more. */
  ending = false;
  refd = true;

  constructor(net: Net, listener: TcpListener, options: ServeOptions, handler: ServeHandler) {
    this.net = net;
    this.#listener = listener;
    this.#options = options;
    this.handler = handler;
    this.addr = listener.addr;
    this.finished = this.#accept();
    const abort = (): void => this.#abort();
    options.signal?.addEventListener("abort", abort);
    this.finished.finally(() => options.signal?.removeEventListener("abort", abort));
    options.onListen?.(this.addr);
  }

  async #accept(): Promise<void> {
    const running = new Set<Promise<void>>();
    for await (const conn of this.#listener) {
      const connection = new Connection(this, conn);
      if (!this.refd) conn.unref();
      this.#connections.add(connection);
      const end = connection.run().finally(() => {
        this.#connections.delete(connection);
        running.delete(end);
      });
      running.add(end);
    }
    this.ending = true;
    await Promise.all(running);
  }

  #abort(): void {
    this.#end();
    for (const each of this.#connections) each.cut();
  }

  #end(): void {
    if (this.ending) return;
    this.ending = true;
    this.#listener[Symbol.dispose]();
    for (const each of this.#connections) each.endIfIdle();
  }

  async shutdown(): Promise<void> {
    this.#end();
    await this.finished;
  }

  ref(): void {
    this.refd = true;
    this.#listener.ref();
    for (const { conn } of this.#connections) conn.ref();
  }

  unref(): void {
    this.refd = false;
    this.#listener.unref();
    for (const { conn } of this.#connections) conn.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** What goes out when a handler throws. */
  async failed(error: unknown): Promise<Response> {
    const { onError } = this.#options;
    if (onError !== undefined) return await onError(error);
    console.error(error);
    return new Response("Internal Server Error", { status: 500 });
  }

  date(): string {
    return new Date(this.net.machine.platform.wallClock()).toUTCString();
  }
}

class Connection {
  readonly conn: TcpConn;
  readonly #server: Server;
  readonly #input: Input;
  #busy = false;
  /** The client may still be sending when we end. */
  #linger = false;
  #abort: AbortController | null = null;

  constructor(server: Server, conn: TcpConn) {
    this.#server = server;
    this.conn = conn;
    this.#input = new Input(conn);
    conn.setNoDelay();
  }

  /** Requests one after the other, until one of the two has enough. */
  async run(): Promise<void> {
    try {
      while (await this.#next());
    } catch (error) {
      this.#linger = error instanceof HttpError;
      if (error instanceof HttpError) await this.#refuse(error);
      // What else is thrown is the connection's: it is gone, and nobody waits for an answer.
    } finally {
      this.#gone(wentAway());
      if (this.#linger) await this.#lingeringClose();
      this.conn[Symbol.dispose]();
    }
  }

  /** Closing with bytes unread would reset the connection, and the answer with it. RFC 9112, 9.6. */
  async #lingeringClose(): Promise<void> {
    const { machine } = this.#server.net;
    const timer = new HrTimer(() => this.conn[Symbol.dispose]());
    machine.enter();
    machine.hrtimers.start(timer, machine.now + LINGER_NS);
    machine.exit();
    try {
      await this.conn.closeWrite();
      const p = new Uint8Array(4096);
      for (let n = 0; n < MAX_DRAIN;) {
        const got = await this.conn.read(p);
        if (got === null) break;
        n += got;
      }
    } catch {
      // It is gone.
    } finally {
      machine.hrtimers.cancel(timer);
    }
  }

  /** Ends at once. */
  cut(): void {
    this.#gone(wentAway());
    this.conn[Symbol.dispose]();
  }

  /** Ends when no request is under way. */
  endIfIdle(): void {
    if (!this.#busy && !this.#input.buffered) this.conn[Symbol.dispose]();
  }

  #gone(reason: unknown): void {
    const abort = this.#abort;
    this.#abort = null;
    abort?.abort(reason);
  }

  /** One request. False: it was the last one. */
  async #next(): Promise<boolean> {
    const head = await this.#input.head();
    if (head === null) return false;
    this.#busy = true;
    const [method, target, version] = head.first;
    if (!/^HTTP\/1\.[01]$/.test(version)) throw new HttpError(505, `Cannot serve ${version}`);
    const body = new Body(this.#input, framingOf(head.headers, 0));
    if (/100-continue/i.test(head.headers.get("expect") ?? "") && !body.done) {
      await this.conn.write(headBytes("HTTP/1.1 100 Continue", []));
    }
    const request = this.#request(method, target, head, body);
    let settle: [() => void, (error: unknown) => void] = [() => {}, () => {}];
    const completed = new Promise<void>((resolve, reject) => settle = [resolve, reject]);
    completed.catch(() => {});
    const info: ServeHandlerInfo = { remoteAddr: this.conn.remoteAddr, completed };
    if (body.done) this.#watch();
    try {
      const response = await this.#answer(request, info);
      const keep = await this.#send(head, response, version);
      settle[0]();
      this.#abort = null;
      this.#busy = false;
      if (keep && !this.#server.ending && await drained(body)) return true;
      this.#linger = !body.done || this.#input.buffered;
      return false;
    } catch (error) {
      settle[1](error);
      throw error;
    }
  }

  #request(method: string, target: string, head: Head, body: Body): Request {
    const host = head.headers.get("host") ?? `${this.conn.localAddr.hostname}:${this.conn.localAddr.port}`;
    const { signal } = this.#abort = new AbortController();
    const ended = (error: unknown): void => {
      if (error === null) this.#watch();
      else this.#gone(error);
    };
    try {
      const url = target.startsWith("/") ? new URL(`http://${host}${target}`) : new URL(target, `http://${host}/`);
      return new Request(url, {
        method,
        headers: head.headers,
        signal,
        body: body.done || method === "GET" || method === "HEAD" ? null : body.stream(ended),
        ...{ duplex: "half" },
      });
    } catch (error) {
      throw new HttpError(400, `Cannot serve ${method} ${target}: ${(error as Error).message}`);
    }
  }

  /** While a handler works, nobody reads: a client that goes away is seen by a read ahead. */
  #watch(): void {
    const abort = this.#abort;
    if (this.#input.buffered) return;
    const gone = (): void => {
      if (this.#abort === abort) this.#gone(wentAway());
    };
    this.#input.fill().then((more) => more || gone(), gone);
  }

  async #answer(request: Request, info: ServeHandlerInfo): Promise<Response> {
    let response: Response;
    try {
      response = await this.#server.handler(request, info);
      if (!(response instanceof Response)) throw new TypeError("Cannot answer: the handler gave no Response");
      if (response.bodyUsed) throw new TypeError("Cannot answer: the body of the response was used already");
    } catch (error) {
      response = await this.#server.failed(error);
    }
    return response;
  }

  /** True: another request may come. */
  async #send(request: Head, response: Response, version: string): Promise<boolean> {
    const { status, headers, body } = response;
    const asked = (request.headers.get("connection") ?? "").toLowerCase();
    const fields = new Headers(headers);
    let framing: Framing = 0;
    if (!NO_BODY.has(status)) {
      const length = headers.get("content-length");
      if (body === null && request.first[0] !== "HEAD") fields.set("content-length", "0");
      else if (length !== null) framing = Number(length);
      else framing = version === "HTTP/1.1" ? "chunked" : "close";
    }
    if (framing === "chunked") fields.set("transfer-encoding", "chunked");
    const keep = framing !== "close" && !asked.includes("close") && !/close/i.test(headers.get("connection") ?? "") &&
      (version === "HTTP/1.1" || asked.includes("keep-alive"));
    if (!keep || this.#server.ending) fields.set("connection", "close");
    else if (version === "HTTP/1.0") fields.set("connection", "keep-alive");
    if (!fields.has("date")) fields.set("date", this.#server.date());
    const first = `HTTP/1.1 ${status} ${response.statusText || REASONS[status] || ""}`;
    const silent = request.first[0] === "HEAD" || NO_BODY.has(status);
    if (silent) body?.cancel().catch(() => {});
    await writeMessage(this.conn, headBytes(first, fields), silent ? null : body, framing);
    return keep;
  }

  /** The answer to what is no request. */
  async #refuse(error: HttpError): Promise<void> {
    const { status, message } = error;
    const text = `${message}\n`;
    const fields: [string, string][] = [
      ["content-type", "text/plain"],
      ["content-length", String(text.length)],
      ["date", this.#server.date()],
      ["connection", "close"],
    ];
    const head = headBytes(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}`, fields);
    try {
      await this.conn.write(head);
      await this.conn.write(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    } catch {
      // It is gone already.
    }
  }
}

/** Reads what a handler left of a body. False: there is too much of it. */
async function drained(body: Body): Promise<boolean> {
  try {
    for (let n = 0; !body.done && n <= MAX_DRAIN;) n += (await body.read())?.length ?? 0;
  } catch {
    // It was answered already.
  }
  return body.done;
}
