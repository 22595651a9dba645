/**
 * Arguments of the calls: JavaScript gets no types, so what is none is a TypeError or a RangeError that says what was
 * expected.
 */
import { parseIp } from "../../network/inet/contract.ts";

/** An IPv4 address or `localhost` as int32; anything else is a TypeError. */
export function resolveHost(hostname: string, what: string): number {
  const addr = hostname === "localhost" ? 0x7f000001 : parseIp(hostname);
  if (addr === null) throw new TypeError(`Cannot ${what} "${hostname}": expected an IPv4 address such as 10.0.0.1`);
  return addr;
}

/** What names another transport is a TypeError, and never bytes to somewhere else. */
export function needTransport(what: string, value: { transport?: string | undefined }, transport: "tcp" | "udp"): void {
  const found = typeof value === "object" && value !== null ? value.transport ?? transport : value;
  if (found !== transport) throw new TypeError(`Cannot ${what}: "${found}" is not the transport "${transport}"`);
}

/** A port is a whole number from 0 to 65535. */
export function needPort(what: string, port: number): void {
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return;
  throw new RangeError(`Cannot ${what} port ${port}: it takes a whole number from 0 to 65535`);
}

/** Bytes are a Uint8Array. */
export function needBytes(what: string, p: unknown): void {
  if (p instanceof Uint8Array) return;
  throw new TypeError(`Cannot ${what}: expected a Uint8Array, not ${p === null ? "null" : typeof p}`);
}

/** A call whose errors are rejections. */
export function attempt<T>(fn: () => T): Promise<T> {
  return new Promise((resolve) => resolve(fn()));
}
