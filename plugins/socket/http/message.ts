/**
 * HTTP/1.1 messages on a byte stream: heads, bodies, and how they end. RFC 9112.
 */
import type { TcpConn } from "../deno/contract.ts";

/** Bytes of a head, at most. Node's limit. */
const MAX_HEAD = 16384;
/** A line that says how long a chunk is. */
const MAX_CHUNK_LINE = 256;
const BUFFER = 16384;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// deno-lint-ignore no-control-regex
const NO_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

const latin1 = new TextDecoder("latin1");
const utf8 = new TextEncoder();

/** The peer did not speak HTTP/1.1; `status` is what a server answers. */
export class HttpError extends Error {
  override name = "HttpError";
  /** 400 and the like. */
  readonly status: number;

  /** See above. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Why a signal is aborted whose peer has gone. */
export function wentAway(): DOMException {
  return new DOMException("The peer went away", "AbortError");
}

/** The first line and the fields of a message. */
export interface Head {
  /** The three parts of the first line. */
  first: [string, string, string];
  /** The fields. */
  headers: Headers;
}

/** Reads messages from a connection. */
export class Input {
  readonly #conn: TcpConn;
  #buf = new Uint8Array(BUFFER);
  #start = 0;
  #end = 0;
  #filling: Promise<boolean> | null = null;

  /** Of `conn`. */
  constructor(conn: TcpConn) {
    this.#conn = conn;
  }

  /** Waits for more bytes; false: the peer's half has ended. Calls that come meanwhile share the wait. */
  fill(): Promise<boolean> {
    return this.#filling ??= this.#fill().finally(() => this.#filling = null);
  }

  async #fill(): Promise<boolean> {
    if (this.#start > 0) {
      this.#buf.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#buf.length) {
      const wider = new Uint8Array(this.#buf.length * 2);
      wider.set(this.#buf);
      this.#buf = wider;
    }
    const n = await this.#conn.read(this.#buf.subarray(this.#end));
    if (n === null) return false;
    this.#end += n;
    return true;
  }

  /** There are bytes already. */
  get buffered(): boolean {
    return this.#end > this.#start;
  }

  /** The next head; null: the peer ended before one began. Empty lines before it are skipped (RFC 9112, 2.2). */
  async head(): Promise<Head | null> {
    let searched = 0;
    for (;;) {
      while (this.buffered && (this.#buf[this.#start] === 13 || this.#buf[this.#start] === 10)) this.#start++;
      const at = this.#headEnd(searched);
      if (at >= 0) {
        const head = parseHead(latin1.decode(this.#buf.subarray(this.#start, at)));
        this.#start = at;
        return head;
      }
      searched = Math.max(0, this.#end - this.#start - 3);
      if (searched > MAX_HEAD) throw new HttpError(431, `Cannot read a head: it is longer than ${MAX_HEAD} bytes`);
      if (!await this.fill()) {
        if (!this.buffered) return null;
        throw new HttpError(400, "Cannot read a head: the stream ends within it");
      }
    }
  }

  /** One past the empty line; -1: not there yet. */
  #headEnd(from: number): number {
    const buf = this.#buf;
    for (let i = buf.indexOf(10, this.#start + from); i >= 0 && i < this.#end; i = buf.indexOf(10, i + 1)) {
      if (i + 1 < this.#end && buf[i + 1] === 10) return i + 2;
      if (i + 2 < this.#end && buf[i + 1] === 13 && buf[i + 2] === 10) return i + 3;
    }
    return -1;
  }

  /** Up to `most` bytes, as they come; null: the peer's half has ended. */
  async some(most: number): Promise<Uint8Array<ArrayBuffer> | null> {
    if (!this.buffered && !await this.fill()) return null;
    const end = Math.min(this.#end, this.#start + most);
    const bytes = this.#buf.slice(this.#start, end);
    this.#start = end;
    return bytes;
  }

  /** A line without its end. */
  async line(): Promise<string> {
    for (;;) {
      const at = this.#buf.indexOf(10, this.#start);
      if (at >= 0 && at < this.#end) {
        const end = at > this.#start && this.#buf[at - 1] === 13 ? at - 1 : at;
        const line = latin1.decode(this.#buf.subarray(this.#start, end));
        this.#start = at + 1;
        return line;
      }
      if (this.#end - this.#start > MAX_CHUNK_LINE) {
        throw new HttpError(400, "Cannot read a chunk: its line is too long");
      }
      if (!await this.fill()) throw cut();
    }
  }
}

function cut(): HttpError {
  return new HttpError(400, "Cannot read the body: the connection ended within it");
}

function parseHead(text: string): Head {
  const lines = text.split(/\r?\n/);
  const first = /^(\S+) (\S+)(?: (.*))?$/.exec(lines[0]);
  if (first === null) throw new HttpError(400, `Cannot read a head: "${lines[0].slice(0, 80)}" is no first line`);
  const headers = new Headers();
  for (const line of lines.slice(1)) {
    if (line === "") continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1).trim();
    // Lines that go on, and space before the colon, are how requests are smuggled.
    if (!TOKEN.test(name) || NO_VALUE.test(value)) {
      throw new HttpError(400, `Cannot read a head: "${line.slice(0, 80)}" is no field`);
    }
    headers.append(name, value);
  }
  return { first: [first[1], first[2], first[3] ?? ""], headers };
}

/** How a body ends: after so many bytes, after the last chunk, with the connection. */
export type Framing = number | "chunked" | "close";

/** How the body of a message ends that has these fields; `none` is for one that names no length. RFC 9112, 6.3. */
export function framingOf(headers: Headers, none: Framing): Framing {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== null) {
    if (length !== null) throw new HttpError(400, "Cannot read the body: it has a length and a transfer coding");
    if (coding.toLowerCase() !== "chunked") throw new HttpError(501, `Cannot read the body: ${coding} is not known`);
    return "chunked";
  }
  if (length === null) return none;
  const each = new Set(length.split(",").map((s) => s.trim()));
  const [value] = each;
  if (each.size !== 1 || !/^\d{1,15}$/.test(value)) throw new HttpError(400, `Cannot read the body: length ${length}`);
  return Number(value);
}

/** Reads a body by its framing. */
export class Body {
  readonly #input: Input;
  readonly #framing: Framing;
  #left: number;
  /** All of it was read. */
  done: boolean;

  /** The next bytes of `input`. */
  constructor(input: Input, framing: Framing) {
    this.#input = input;
    this.#framing = framing;
    this.#left = typeof framing === "number" ? framing : 0;
    this.done = framing === 0;
  }

  /** The next piece; null: the end. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.done) return null;
    if (this.#framing === "close") {
      const bytes = await this.#input.some(Infinity);
      this.done = bytes === null;
      return bytes;
    }
    if (this.#framing === "chunked" && this.#left === 0) await this.#chunk();
    if (this.done) return null;
    const bytes = await this.#input.some(this.#left);
    if (bytes === null) throw cut();
    this.#left -= bytes.length;
    if (this.#left > 0) return bytes;
    if (typeof this.#framing === "number") this.done = true;
    else if (await this.#input.line() !== "") {
      throw new HttpError(400, "Cannot read a chunk: it is longer than it says");
    }
    return bytes;
  }

  async #chunk(): Promise<void> {
    const line = await this.#input.line();
    const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?$/i.exec(line);
    if (size === null) throw new HttpError(400, `Cannot read a chunk: "${line.slice(0, 40)}" is no length`);
    this.#left = parseInt(size[1], 16);
    if (this.#left > 0) return;
    // Trailers are nobody's.
    for (let n = 0; await this.#input.line() !== ""; n++) {
      if (n > 64) throw new HttpError(431, "Cannot read the trailers: there are too many");
    }
    this.done = true;
  }

  /** The rest as a stream that reads only when it is asked. `ended` hears of its end (null), or of what ended it. */
  stream(
    ended: (error: unknown) => void,
    started: (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => void = () => {},
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: started,
      pull: async (controller) => {
        try {
          const bytes = await this.read();
          if (bytes !== null) controller.enqueue(bytes);
          if (!this.done && bytes !== null) return;
          controller.close();
          ended(null);
        } catch (error) {
          controller.error(error);
          ended(error);
        }
      },
      cancel: (reason) => ended(reason ?? new Error("Cannot read the body: it was cancelled")),
    }, { highWaterMark: 0 });
  }
}

/** A head as bytes. */
export function headBytes(first: string, headers: Iterable<[string, string]>): Uint8Array<ArrayBuffer> {
  let text = `${first}\r\n`;
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  return Uint8Array.from(`${text}\r\n`, (c) => c.charCodeAt(0));
}

/** Writes a head and a body; the head goes with the first piece. */
export async function writeMessage(
  conn: TcpConn,
  head: Uint8Array<ArrayBuffer>,
  body: ReadableStream<Uint8Array> | null,
  framing: Framing,
): Promise<void> {
  if (body === null) return void await conn.write(head);
  const reader = body.getReader();
  let sent = 0;
  try {
    let before: Uint8Array<ArrayBuffer> | null = head;
    for (;;) {
      const next = reader.read();
      // A body that keeps us waiting does not keep the head.
      if (before !== null && !await soon(next)) {
        await conn.write(before);
        before = null;
      }
      const { value, done } = await next;
      if (done) {
        if (before !== null) await conn.write(before);
        break;
      }
      if (!(value instanceof Uint8Array)) throw new TypeError("Cannot send the body: a chunk is no Uint8Array");
      if (value.length === 0) continue;
      sent += value.length;
      if (typeof framing === "number" && sent > framing) throw new TypeError(`Cannot send more than ${framing} bytes`);
      const parts = framing === "chunked"
        ? [utf8.encode(`${value.length.toString(16)}\r\n`), value, utf8.encode("\r\n")]
        : [value];
      await conn.write(before === null && parts.length === 1 ? value : joined(before, parts));
      before = null;
    }
    if (typeof framing === "number" && sent < framing) throw new TypeError(`Cannot send ${sent} of ${framing} bytes`);
    if (framing === "chunked") await conn.write(utf8.encode("0\r\n\r\n"));
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** Whether a promise is there within a few microtasks. */
async function soon(promise: Promise<unknown>): Promise<boolean> {
  let there = false;
  promise.then(() => there = true, () => there = true);
  for (let i = 0; i < 8 && !there; i++) await null;
  return there;
}

function joined(first: Uint8Array | null, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = first === null ? parts : [first, ...parts];
  const out = new Uint8Array(all.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of all) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
