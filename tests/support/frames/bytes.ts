/**
 * Bytes, addresses and the Internet checksum, for tests. Written apart from `core/checksum.ts` on purpose: a test that builds its
 * frames with the code under test proves nothing.
 *
 * @module
 */

/** A MAC address: `"02:00:00:00:00:01"` or six bytes. */
export type MacLike = string | Uint8Array | readonly number[];

/** An IPv4 address: `"10.0.0.1"`, four bytes, or the number (signed or unsigned). */
export type IpLike = string | number | Uint8Array | readonly number[];

/** Payload: bytes, a list of byte values, or text (UTF-8). */
export type BytesLike = Uint8Array | readonly number[] | string;

const encoder = new TextEncoder();

/** Turns payload into bytes. A `Uint8Array` comes back as it is, not copied. */
export function bytes(data: BytesLike): Uint8Array {
  if (data instanceof Uint8Array) return data;
  return typeof data === "string" ? encoder.encode(data) : Uint8Array.from(data);
}

/** Six bytes of a MAC address. */
export function macBytes(mac: MacLike): Uint8Array {
  const out = typeof mac === "string"
    ? Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16))
    : Uint8Array.from(mac);
  if (out.length !== 6) throw new TypeError(`Cannot parse MAC address "${mac}": it has ${out.length} bytes, not 6`);
  return out;
}

/** Four bytes of an IPv4 address. */
export function ipBytes(ip: IpLike): Uint8Array {
  if (typeof ip === "number") return Uint8Array.of(ip >>> 24, ip >>> 16, ip >>> 8, ip);
  const out = typeof ip === "string" ? Uint8Array.from(ip.split("."), Number) : Uint8Array.from(ip);
  if (out.length !== 4) throw new TypeError(`Cannot parse IPv4 address "${ip}": it has ${out.length} bytes, not 4`);
  return out;
}

/** `"02:00:00:00:00:01"` of the six bytes at `at`. */
export function macText(data: Uint8Array, at = 0): string {
  return Array.from(data.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** `"10.0.0.1"` of the four bytes at `at`. */
export function ipText(data: Uint8Array, at = 0): string {
  return data.subarray(at, at + 4).join(".");
}

/** Lower-case hex of the bytes, without separators. */
export function hex(data: Uint8Array): string {
  let out = "";
  for (const byte of data) out += byte.toString(16).padStart(2, "0");
  return out;
}

/** Bytes of hex text; white space and colons between the digits are ignored. */
export function unhex(text: string): Uint8Array {
  const digits = text.replaceAll(/[\s:]/g, "");
  const out = new Uint8Array(digits.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16);
  return out;
}

/** The parts one after the other, in a new array. */
export function concat(...parts: readonly BytesLike[]): Uint8Array {
  const list = parts.map(bytes);
  const out = new Uint8Array(list.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of list) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** One's complement sum of big-endian 16-bit words, folded but not inverted (RFC 1071). An odd last byte counts as the high half. */
export function onesSum(data: Uint8Array, from = 0, to: number = data.length, start = 0): number {
  let sum = start;
  for (let i = from; i < to; i++) sum += (i - from) & 1 ? data[i] : data[i] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The Internet checksum (RFC 1071) as it goes into the header. */
export function internetChecksum(data: Uint8Array, from = 0, to: number = data.length, start = 0): number {
  return ~onesSum(data, from, to, start) & 0xffff;
}

/** Sum of the pseudo header of UDP and TCP (RFC 768, RFC 9293 section 3.1), to start `internetChecksum` with. */
export function pseudoSum(src: IpLike, dst: IpLike, proto: number, length: number): number {
  return onesSum(concat(ipBytes(src), ipBytes(dst))) + proto + length;
}

/** Bytes 0, 1, 2, ... 255, 0, ...: a payload in which every displacement shows. */
export function pattern(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => first + i);
}
