/**
 * The messages of SOCKS5. RFC 1928, RFC 1929.
 */
import { ipToString, parseIp } from "../../network/inet/header.ts";

/** SOCKS. */
const VERSION = 5;
/** Of the user name and password negotiation. RFC 1929. */
const AUTH_VERSION = 1;
/** Methods: none, user name and password, and what is said when none is acceptable. */
export const METHOD_NONE = 0, METHOD_PASSWORD = 2, METHOD_NOT_ACCEPTABLE = 0xff;
/** The command that there is. */
export const CMD_CONNECT = 1;
/** Types of address. */
export const ATYP_IPV4 = 1, ATYP_NAME = 3, ATYP_IPV6 = 4;

/** Reads bytes of a message one after another. It never needs more than one message, which is 262 bytes at most. */
export interface ByteSource {
  /** The next `n` bytes. Rejects when the stream ends before. */
  take(n: number): Promise<Uint8Array>;
}

/** A message that is none. */
export class SocksError extends Error {}

/** The methods that a client offers. */
export async function readMethods(source: ByteSource): Promise<Uint8Array> {
  const [version, count] = await source.take(2);
  if (version !== VERSION) throw new SocksError(`version ${version}`);
  return await source.take(count);
}

/** The answer to it. */
export function methodReply(method: number): Uint8Array {
  return Uint8Array.of(VERSION, method);
}

/** A user name and a password. */
export async function readPassword(source: ByteSource): Promise<{ username: Uint8Array; password: Uint8Array }> {
  const [version, length] = await source.take(2);
  if (version !== AUTH_VERSION) throw new SocksError(`version ${version} of user name and password`);
  const username = await source.take(length);
  const [rest] = await source.take(1);
  return { username, password: await source.take(rest) };
}

/** The answer to it. */
export function passwordReply(right: boolean): Uint8Array {
  return Uint8Array.of(AUTH_VERSION, right ? 0 : 1);
}

/** What a client asks for. */
export interface SocksRequest {
  /** CONNECT is 1. */
  readonly command: number;
  /** ATYP_*, or one that is not known: then the rest is empty. */
  readonly type: number;
  /** Address in dotted form, or name; empty for IPv6. */
  readonly host: string;
  /** Port. */
  readonly port: number;
}

/** A request. */
export async function readRequest(source: ByteSource): Promise<SocksRequest> {
  const [version, command, , type] = await source.take(4);
  if (version !== VERSION) throw new SocksError(`version ${version} of a request`);
  let host = "";
  if (type === ATYP_IPV4) {
    const [a, b, c, d] = await source.take(4);
    host = ipToString((a << 24) | (b << 16) | (c << 8) | d);
  } else if (type === ATYP_NAME) {
    const [length] = await source.take(1);
    // A byte a character: what is no host name stays one that cannot be found.
    host = String.fromCharCode(...await source.take(length));
  } else if (type === ATYP_IPV6) await source.take(16);
  else return { command, type, host, port: 0 };
  const [high, low] = await source.take(2);
  return { command, type, host, port: (high << 8) | low };
}

/** The answer to it: what came of it, and the address inside the net. */
export function requestReply(code: number, address = "0.0.0.0", port = 0): Uint8Array {
  const addr = parseIp(address) ?? 0;
  return Uint8Array.of(VERSION, code, 0, ATYP_IPV4, addr >>> 24, addr >>> 16, addr >>> 8, addr, port >>> 8, port);
}
