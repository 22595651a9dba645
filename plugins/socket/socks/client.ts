/**
 * One client of the door: the handshake, the way in, and the bytes of both directions.
 */
import type { Net } from "../../../core/mod.ts";
import { parseIp } from "../../network/inet/header.ts";
import { connect, type TcpConn } from "../deno/contract.ts";
import { RESOLVER } from "../dns/contract.ts";
import { SOCKS_REPLY, type SocksOptions, type SocksStats } from "./contract.ts";
import {
  ATYP_IPV6,
  type ByteSource,
  CMD_CONNECT,
  METHOD_NONE,
  METHOD_NOT_ACCEPTABLE,
  METHOD_PASSWORD,
  methodReply,
  passwordReply,
  readMethods,
  readPassword,
  readRequest,
  requestReply,
  SocksError,
  type SocksRequest,
} from "./message.ts";

/** Bytes of a read. */
const CHUNK = 65_536;

/** What the door listens for: `Deno.Conn`. */
export interface Outside {
  /** Bytes that come; null: the other end sends no more. */
  read(p: Uint8Array): Promise<number | null>;
  /** How many were taken. */
  write(p: Uint8Array): Promise<number>;
  /** Sends no more. */
  closeWrite(): Promise<void>;
  /** Ends it. */
  close(): void;
}

/** What both ends of a copy can do. */
type Half = Pick<Outside, "read" | "write" | "closeWrite">;

/** What stands between a request and a connection. */
class Refusal extends Error {
  /** SOCKS_REPLY.*. */
  readonly code: number;

  constructor(code: number, why: string) {
    super(why);
    this.code = code;
  }
}

/** Codes of the errors of `connect()`. */
const REPLY_OF: Readonly<Record<string, number>> = {
  ECONNREFUSED: SOCKS_REPLY.CONNECTION_REFUSED,
  EHOSTUNREACH: SOCKS_REPLY.HOST_UNREACHABLE,
  EHOSTDOWN: SOCKS_REPLY.HOST_UNREACHABLE,
  ENETUNREACH: SOCKS_REPLY.NETWORK_UNREACHABLE,
  ETIMEDOUT: SOCKS_REPLY.TTL_EXPIRED,
  EACCES: SOCKS_REPLY.NOT_ALLOWED,
  EPERM: SOCKS_REPLY.NOT_ALLOWED,
};

/** Bytes `from` to `to` of a buffer, not copied. */
function view(buffer: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset + from, to - from);
}

async function writeAll(half: Pick<Half, "write">, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await half.write(view(bytes, at, bytes.length));
}

/** One client. */
export class Client implements ByteSource {
  readonly #net: Net;
  readonly #outside: Outside;
  readonly #options: SocksOptions;
  readonly #stats: SocksStats;
  readonly #gone = new AbortController();
  readonly #buffer = new Uint8Array(CHUNK);
  /** Bytes that were read and not used. */
  #from = 0;
  #to = 0;
  /** The read that is under way while the connection is being made. */
  #early: Promise<number | null> | null = null;
  #inside: TcpConn | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(net: Net, outside: Outside, options: SocksOptions, stats: SocksStats) {
    this.#net = net;
    this.#outside = outside;
    this.#options = options;
    this.#stats = stats;
  }

  /** All of it; resolves when both ends are closed. Never rejects. */
  async run(): Promise<void> {
    try {
      this.#timer = setTimeout(() => this.close(), this.#options.handshakeTimeout ?? 10_000);
      const request = await this.#handshake();
      clearTimeout(this.#timer);
      if (request !== null && await this.#connect(request)) await this.#carry();
    } catch {
      // Whoever closed or reset it knows; the other end hears of it by the close.
    } finally {
      this.close();
    }
  }

  /** Ends it at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#gone.abort();
    this.#outside.close();
    this.#inside?.close();
  }

  /** See {@linkcode ByteSource.take}. */
  async take(n: number): Promise<Uint8Array> {
    while (this.#to - this.#from < n) {
      const got = await this.#outside.read(view(this.#buffer, this.#to, CHUNK));
      if (got === null) throw new SocksError("it ended within a message");
      this.#to += got;
    }
    this.#from += n;
    return view(this.#buffer, this.#from - n, this.#from);
  }

  /** What the client asks for; null: it did not get that far. */
  async #handshake(): Promise<SocksRequest | null> {
    try {
      if (!await this.#authenticate()) {
        this.#stats.denied++;
        return null;
      }
      return await readRequest(this);
    } catch {
      this.#stats.malformed++;
      return null;
    }
  }

  async #authenticate(): Promise<boolean> {
    const { auth } = this.#options;
    const method = auth === undefined ? METHOD_NONE : METHOD_PASSWORD;
    const offered = (await readMethods(this)).includes(method);
    await this.#say(methodReply(offered ? method : METHOD_NOT_ACCEPTABLE));
    if (!offered || auth === undefined) return offered;
    const { username, password } = await readPassword(this);
    const right = same(username, auth.username) && same(password, auth.password);
    await this.#say(passwordReply(right));
    return right;
  }

  /** Makes the connection and says what came of it. */
  async #connect(request: SocksRequest): Promise<boolean> {
    let code: number = SOCKS_REPLY.SUCCEEDED;
    try {
      // A client that goes away meanwhile takes the attempt along.
      this.#watch();
      this.#inside = await this.#open(request);
      if (this.#closed) this.#inside.close();
    } catch (error) {
      if (this.#closed) return false;
      code = error instanceof Refusal
        ? error.code
        : REPLY_OF[(error as { code?: string }).code ?? ""] ?? SOCKS_REPLY.GENERAL_FAILURE;
    }
    this.#stats.replies[code]++;
    const local = this.#inside?.localAddr;
    await this.#say(requestReply(code, local?.hostname, local?.port));
    // What the client has sent meanwhile would make the close a reset, which could overtake the reply.
    if (code !== SOCKS_REPLY.SUCCEEDED) await this.#drain();
    return code === SOCKS_REPLY.SUCCEEDED;
  }

  async #open({ command, type, host, port }: SocksRequest): Promise<TcpConn> {
    if (type === ATYP_IPV6) throw new Refusal(SOCKS_REPLY.ADDRESS_TYPE_NOT_SUPPORTED, "IPv6");
    if (host === "") throw new Refusal(SOCKS_REPLY.ADDRESS_TYPE_NOT_SUPPORTED, `address type ${type}`);
    if (command !== CMD_CONNECT) throw new Refusal(SOCKS_REPLY.COMMAND_NOT_SUPPORTED, `command ${command}`);
    const address = parseIp(host) === null ? await this.#lookup(host) : host;
    if (this.#options.allow?.(address, port) === false) throw new Refusal(SOCKS_REPLY.NOT_ALLOWED, address);
    return await connect(this.#net, { hostname: address, port, signal: this.#gone.signal });
  }

  /** The address of a name, inside the net. */
  async #lookup(name: string): Promise<string> {
    const { lookup } = this.#options;
    if (lookup !== undefined) {
      const address = await Promise.resolve(lookup(name)).catch(() => "");
      if (parseIp(address) === null) throw new Refusal(SOCKS_REPLY.HOST_UNREACHABLE, `no name ${name}`);
      return address;
    }
    if (name === "localhost") return "127.0.0.1";
    const resolver = this.#net.find(RESOLVER);
    if (resolver === null) throw new Refusal(SOCKS_REPLY.HOST_UNREACHABLE, "the net has no resolver");
    return await new Promise((found, fail) => {
      const question = resolver.resolve(name, "A", ({ code, records }) => {
        const answer = records.find((r) => r.type === "A");
        if (answer !== undefined) return found(answer.data as string);
        // That nobody could say is another thing than that there is no such name.
        const unknown = code === null || ["ENOTFOUND", "ENODATA", "EBADNAME"].includes(code);
        fail(new Refusal(unknown ? SOCKS_REPLY.HOST_UNREACHABLE : SOCKS_REPLY.GENERAL_FAILURE, code ?? "no address"));
      });
      this.#gone.signal.addEventListener("abort", () => {
        question[Symbol.dispose]();
        fail(new Refusal(SOCKS_REPLY.GENERAL_FAILURE, "the client went away"));
      });
    });
  }

  /** Reads on: the end of the client ends an attempt that is under way; bytes wait for the connection. */
  #watch(): void {
    if (this.#to === CHUNK) return;
    this.#early = this.#outside.read(view(this.#buffer, this.#to, CHUNK));
    this.#early.then((n) => {
      if (n === null && this.#inside === null) this.close();
    }, () => this.close());
  }

  /** Both directions, until both have ended. */
  async #carry(): Promise<void> {
    const inside = this.#inside!;
    await Promise.all([
      this.#in(inside),
      copy(inside, this.#outside, new Uint8Array(CHUNK), (n) => this.#stats.bytesOut += n),
    ]);
  }

  /** What the client sends, first what it has sent already. */
  async #in(inside: TcpConn): Promise<void> {
    const count = (n: number): void => void (this.#stats.bytesIn += n);
    const already = this.#to - this.#from;
    await writeAll(inside, view(this.#buffer, this.#from, this.#to));
    count(already);
    const early = await this.#early;
    if (early === null && this.#early !== null) return await inside.closeWrite();
    if (early !== null) {
      await writeAll(inside, view(this.#buffer, this.#to, this.#to + early));
      count(early);
    }
    await copy(this.#outside, inside, this.#buffer, count);
  }

  async #say(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#outside, bytes);
  }

  /** Says that nothing follows, and reads what there is, for at most a second. */
  async #drain(): Promise<void> {
    this.#timer = setTimeout(() => this.close(), 1000);
    await this.#outside.closeWrite();
    await this.#early;
    while (await this.#outside.read(this.#buffer) !== null);
  }
}

/** One direction, until it ends; its end goes on to the other side. */
async function copy(from: Half, to: Half, buffer: Uint8Array, count: (n: number) => void): Promise<void> {
  for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
    await writeAll(to, view(buffer, 0, n));
    count(n);
  }
  await to.closeWrite();
}

/** Whether bytes are those of a text, in a time that does not say where they differ. */
function same(bytes: Uint8Array, text: string): boolean {
  const right = new TextEncoder().encode(text);
  let differ = bytes.length ^ right.length;
  for (let i = 0; i < bytes.length; i++) differ |= bytes[i] ^ right[i % right.length];
  return differ === 0;
}
