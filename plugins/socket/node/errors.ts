/**
 * Errors as Node's: its codes, fields and messages.
 */
import { errnoName, strerror } from "../../../core/mod.ts";
import type { NodeError } from "./contract.ts";

/** `read ECONNRESET`, or with an address `connect ECONNREFUSED 10.0.0.2:80`. Node: ExceptionWithHostPort. */
export function callError(errno: number, syscall: string, address?: string, port?: number): NodeError {
  const code = errnoName(errno);
  const where = address === undefined ? "" : ` ${address}:${port}`;
  const error = Object.assign(new Error(`${syscall} ${code}${where}`), { errno: -Math.abs(errno), code, syscall });
  return address === undefined || port === undefined ? error : Object.assign(error, { address, port });
}

/** `listen EADDRINUSE: address in use 10.0.0.1:80`. Node: UVExceptionWithHostPort. */
export function listenError(errno: number, address: string, port: number): NodeError {
  const error = callError(errno, "listen", address, port);
  error.message = `listen ${error.code}: ${strerror(errno)} ${address}:${port}`;
  return error;
}

/** A name that nobody resolves: `getaddrinfo ENOTFOUND example.com`. */
export function notFound(hostname: string): NodeError {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    code: "ENOTFOUND",
    errno: -3008,
    syscall: "getaddrinfo",
    hostname,
  });
}

/** One of Node's own errors: `ERR_SERVER_NOT_RUNNING`. */
export function codedError(code: string, message: string, Make: ErrorConstructor = Error): NodeError {
  return Object.assign(new Make(message), { code });
}

/** A port: a whole number, also as text. */
export function needPort(port: unknown): number {
  const n = typeof port === "string" && port.trim() !== "" ? Number(port) : port;
  if (typeof n === "number" && Number.isInteger(n) && n >= 0 && n <= 65535) return n;
  const what = `Cannot use port ${String(port)}: it takes a whole number from 0 to 65535`;
  throw codedError("ERR_SOCKET_BAD_PORT", what, RangeError as unknown as ErrorConstructor);
}
