/**
 * `fetch()` over the stack.
 */
import type { Net } from "../../../core/mod.ts";
import { connect, type TcpConn } from "../deno/contract.ts";
import type { Fetch, FetchOverOptions } from "./contract.ts";
import { Body, type Framing, framingOf, headBytes, HttpError, Input, writeMessage } from "./message.ts";

/** The Fetch standard's. */
const MAX_REDIRECTS = 20;
const NO_BODY = new Set([101, 204, 205, 304]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * `fetch` of a net: HTTP/1.1 over its TCP, a connection for each request. Redirects, abort signals and bodies that stream
 * both ways are as in the Fetch standard; what fails is a TypeError whose `cause` says why. No TLS.
 *
 * @example
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { fetchOver, serve } from "@netpath/stack/http";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * await using _server = serve(net, { port: 80 }, async (request) => new Response(await request.text(), { status: 201 }));
 * const fetch = fetchOver(net, { lookup: () => "127.0.0.1" });
 * const response = await fetch("http://web.test/", { method: "POST", body: "hello" });
 * assertEquals([response.status, await response.text()], [201, "hello"]);
 * await assertRejects(() => fetch("http://127.0.0.1:81/"), TypeError, "connection refused");
 * ```
 */
export function fetchOver(net: Net, options: FetchOverOptions = {}): Fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    let next = { request, length: lengthOf(init?.body) };
    for (let redirects = 0;; redirects++) {
      const response = await once(net, options, next.request, next.length, redirects > 0);
      const to = response.headers.get("location");
      if (!REDIRECTS.has(response.status) || to === null || request.redirect === "manual") return response;
      await response.body?.cancel();
      if (request.redirect === "error") throw failed(request, "it is redirected");
      if (redirects === MAX_REDIRECTS) throw failed(request, "there are too many redirects");
      next = redirected(next.request, response.status, new URL(to, next.request.url), init?.body ?? null, next.length);
    }
  };
}

function failed(request: Request, why: string, cause?: unknown): TypeError {
  return new TypeError(`Cannot fetch ${request.url}: ${why}`, { cause });
}

/** The length of a body that says one; null: it is sent in chunks. */
function lengthOf(body: BodyInit | null | undefined): number | null {
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  if (body instanceof Blob) return body.size;
  if (body instanceof URLSearchParams) return new TextEncoder().encode(String(body)).length;
  return null;
}

/** The request that follows a redirect. Fetch standard, HTTP-redirect fetch. */
function redirected(
  from: Request,
  status: number,
  url: URL,
  body: BodyInit | null,
  length: number | null,
): { request: Request; length: number | null } {
  const { signal, redirect } = from;
  const headers = new Headers(from.headers);
  if (new URL(from.url).origin !== url.origin) headers.delete("authorization");
  const get = status === 303 ? from.method !== "HEAD" : status < 303 && from.method === "POST";
  if (!get) {
    if (from.bodyUsed && length === null) throw failed(from, "a stream cannot be sent a second time");
    const again = from.bodyUsed ? { body } : {};
    return { request: new Request(url, { method: from.method, headers, signal, redirect, ...again }), length };
  }
  for (const name of ["content-type", "content-length", "content-encoding", "content-language", "content-location"]) {
    headers.delete(name);
  }
  return { request: new Request(url, { headers, signal, redirect }), length: null };
}

/** It is the connection that failed, not the body that was to be sent. */
function isConnections(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "EPIPE" || code === "ECONNRESET" || code === "EBADF" || code === "EINTR";
}

async function once(
  net: Net,
  options: FetchOverOptions,
  request: Request,
  length: number | null,
  isRedirected: boolean,
): Promise<Response> {
  const url = new URL(request.url);
  const { signal } = request;
  if (url.protocol !== "http:") throw failed(request, `there is no ${url.protocol.slice(0, -1)}, only http`);
  signal.throwIfAborted();
  let conn: TcpConn | null = null;
  try {
    const numeric = url.hostname === "localhost" || /^[\d.]+$/.test(url.hostname);
    const hostname = numeric ? url.hostname : await (options.lookup ?? nobody)(url.hostname);
    conn = await connect(net, { hostname, port: Number(url.port || 80), signal });
    conn.setNoDelay();
    return await new Exchange(conn, request, length, isRedirected).run();
  } catch (error) {
    conn?.[Symbol.dispose]();
    if (signal.aborted) throw signal.reason;
    throw failed(request, error instanceof Error ? error.message : String(error), error);
  }
}

function nobody(hostname: string): string {
  throw new Error(`nobody resolves the name ${hostname}`);
}

/** One request and its response on a connection of their own. */
class Exchange {
  readonly #conn: TcpConn;
  readonly #request: Request;
  readonly #length: number | null;
  readonly #redirected: boolean;
  /** Errors the response's body. */
  #body: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly #abort = (): void => {
    this.#conn[Symbol.dispose]();
    this.#body?.error(this.#request.signal.reason);
  };

  constructor(conn: TcpConn, request: Request, length: number | null, isRedirected: boolean) {
    this.#conn = conn;
    this.#request = request;
    this.#length = length;
    this.#redirected = isRedirected;
  }

  async run(): Promise<Response> {
    const { signal } = this.#request;
    signal.addEventListener("abort", this.#abort);
    try {
      const unsent = this.#send().then(() => new Promise<never>(() => {}), (error: unknown) => {
        // A server may answer before it has read everything: what the connection cannot take does not matter then, and
        // when there is no answer the reader says why.
        if (isConnections(error)) return new Promise<never>(() => {});
        throw error;
      });
      return await Promise.race([this.#receive(new Input(this.#conn)), unsent]);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async #send(): Promise<void> {
    const { method, url, headers, body } = this.#request;
    const { pathname, search, host } = new URL(url);
    const fields: [string, string][] = [["host", host], ...headers];
    let framing: Framing = 0;
    if (body !== null) {
      framing = this.#length ?? "chunked";
      fields.push(framing === "chunked" ? ["transfer-encoding", "chunked"] : ["content-length", String(framing)]);
    } else if (/^(POST|PUT|PATCH)$/.test(method)) fields.push(["content-length", "0"]);
    if (!headers.has("accept")) fields.push(["accept", "*/*"]);
    if (!headers.has("user-agent")) fields.push(["user-agent", "netpath"]);
    fields.push(["connection", "close"]);
    await writeMessage(this.#conn, headBytes(`${method} ${pathname}${search} HTTP/1.1`, fields), body, framing);
  }

  async #receive(input: Input): Promise<Response> {
    for (;;) {
      const head = await input.head();
      if (head === null) throw new Error("the connection ended before the response");
      const [version, code] = head.first;
      const status = Number(code);
      if (!version.startsWith("HTTP/1.") || !(status >= 100 && status < 600)) {
        throw new HttpError(502, `"${head.first.join(" ").slice(0, 80)}" is no status line`);
      }
      if (status >= 100 && status < 200) continue;
      const silent = this.#request.method === "HEAD" || NO_BODY.has(status);
      const body = new Body(input, silent ? 0 : framingOf(head.headers, "close"));
      return this.#response(status, head.first[2], head.headers, silent ? null : body);
    }
  }

  #response(status: number, statusText: string, headers: Headers, body: Body | null): Response {
    let stream: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
    if (body === null || body.done) this.#end();
    else stream = body.stream(() => this.#end(), (controller) => this.#body = controller);
    const coding = headers.get("content-encoding")?.toLowerCase();
    if (stream !== null && (coding === "gzip" || coding === "deflate")) {
      stream = stream.pipeThrough(new DecompressionStream(coding));
      headers.delete("content-encoding");
      headers.delete("content-length");
    }
    const response = new Response(stream ?? (body === null ? null : ""), { status, statusText, headers });
    Object.defineProperty(response, "url", { value: this.#request.url.replace(/#.*/, "") });
    Object.defineProperty(response, "redirected", { value: this.#redirected });
    return response;
  }

  /** The connection has done its work. */
  #end(): void {
    this.#body = null;
    this.#request.signal.removeEventListener("abort", this.#abort);
    this.#conn[Symbol.dispose]();
  }
}
