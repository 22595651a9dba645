/**
 * A small HTTP/1.1 server on the Deno-like face, for the interop tests: it is there to move bytes, not to be a web server.
 * `GET /N` gives N bytes, anything with a body gives that body's length and SHA-256.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { TcpConn, TcpListener } from "../../plugins/socket/deno/mod.ts";
import { Stream } from "../support/stream.ts";

/** What `GET` gives. */
export const BODY: Stream = new Stream(80);

const CHUNK = 65_536;
const HEADERS_END = "\r\n\r\n";
const text = new TextDecoder();

/** Reads a connection by lines and lengths. */
class Buffered {
  readonly #conn: TcpConn;
  #bytes = new Uint8Array(0);

  constructor(conn: TcpConn) {
    this.#conn = conn;
  }

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(CHUNK);
    const n = await this.#conn.read(chunk);
    if (n === null) return false;
    const joined = new Uint8Array(this.#bytes.length + n);
    joined.set(this.#bytes);
    joined.set(chunk.subarray(0, n), this.#bytes.length);
    this.#bytes = joined;
    return true;
  }

  /** The head of a request, or undefined at the end. */
  async head(): Promise<string | undefined> {
    for (;;) {
      const end = text.decode(this.#bytes).indexOf(HEADERS_END);
      if (end >= 0) {
        const head = text.decode(this.#bytes.subarray(0, end));
        this.#bytes = this.#bytes.subarray(end + HEADERS_END.length) as Uint8Array<ArrayBuffer>;
        return head;
      }
      if (!await this.#more()) return undefined;
    }
  }

  /** Hands `length` bytes on, piece by piece. */
  async body(length: number, take: (bytes: Uint8Array) => void): Promise<void> {
    for (let left = length; left > 0;) {
      if (this.#bytes.length === 0 && !await this.#more()) throw new Error(`${left} bytes of the body are missing`);
      const part = this.#bytes.subarray(0, left);
      take(part);
      left -= part.length;
      this.#bytes = this.#bytes.subarray(part.length) as Uint8Array<ArrayBuffer>;
    }
  }
}

async function writeAll(conn: TcpConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function answer(conn: TcpConn, length: number, more: (at: number) => Uint8Array): Promise<void> {
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nContent-Type: application/octet-stream\r\n\r\n`;
  await writeAll(conn, new TextEncoder().encode(head));
  for (let at = 0; at < length;) {
    const bytes = more(at).subarray(0, length - at);
    await writeAll(conn, bytes);
    at += bytes.length;
  }
}

async function serveConn(conn: TcpConn): Promise<void> {
  using _ = conn;
  const input = new Buffered(conn);
  for (let head = await input.head(); head !== undefined; head = await input.head()) {
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (/^expect: *100-continue/im.test(head)) {
      await writeAll(conn, new TextEncoder().encode(`HTTP/1.1 100 Continue${HEADERS_END}`));
    }
    if (length !== undefined) {
      const hash = createHash("sha256");
      await input.body(Number(length), (bytes) => void hash.update(bytes));
      const result = new TextEncoder().encode(`${length} ${hash.digest("hex")}\n`);
      await answer(conn, result.length, (at) => result.subarray(at));
    } else {
      const size = Number(/^GET \/(\d+)/.exec(head)?.[1] ?? 0);
      await answer(conn, size, (at) => BODY.at(at, CHUNK));
    }
  }
}

/** Serves until the listener is closed; `failed` gets what went wrong on a connection. */
export async function serve(listener: TcpListener, failed: unknown[]): Promise<void> {
  for await (const conn of listener) serveConn(conn).catch((error) => failed.push(error));
}

/** SHA-256 of the first `length` bytes of {@linkcode BODY}. */
export function bodyHash(length: number): string {
  const hash = createHash("sha256");
  for (let at = 0; at < length;) {
    const bytes = BODY.at(at, Math.min(CHUNK, length - at));
    hash.update(bytes);
    at += bytes.length;
  }
  return hash.digest("hex");
}
