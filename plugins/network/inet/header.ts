/**
 * IPv4 addresses: text, prefixes, classes. In a header.ts because every stage of the network floor needs them.
 *
 * @module
 */

/** `10.0.0.1` from an int32. */
export function ipToString(addr: number): string {
  return `${addr >>> 24}.${addr >>> 16 & 255}.${addr >>> 8 & 255}.${addr & 255}`;
}

/** An int32 from `10.0.0.1`; null: malformed. Four decimal parts, no leading zeros. */
export function parseIp(text: string): number | null {
  const m = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (m === null) return null;
  let addr = 0;
  for (let i = 1; i <= 4; i++) {
    const part = Number(m[i]);
    if (part > 255) return null;
    addr = (addr << 8) | part;
  }
  return addr;
}

/** An int32 from text; malformed is a TypeError that names `what`. */
export function needIp(text: string, what: string): number {
  const addr = parseIp(text);
  if (addr === null) throw new TypeError(`Cannot use ${what} "${text}": expected an IPv4 address such as 10.0.0.1`);
  return addr;
}

/** Address and prefix length from `10.0.0.1/24` (no slash: 32); malformed is a TypeError that names `what`. */
export function needCidr(text: string, what: string): { addr: number; prefix: number } {
  const [ip, len = "32", more] = String(text).split("/");
  const addr = parseIp(ip);
  if (addr === null || more !== undefined || !/^\d{1,2}$/.test(len) || Number(len) > 32) {
    throw new TypeError(`Cannot use ${what} "${text}": expected an address with prefix length such as 10.0.0.1/24`);
  }
  return { addr, prefix: Number(len) };
}

/** The mask of a prefix length as int32. Linux: inet_make_mask(). */
export function makeMask(prefix: number): number {
  return prefix === 0 ? 0 : -1 << (32 - prefix);
}

/** 127.0.0.0/8. */
export function isLoopback(addr: number): boolean {
  return addr >>> 24 === 127;
}

/** 224.0.0.0/4. */
export function isMulticast(addr: number): boolean {
  return addr >>> 28 === 14;
}

/** 255.255.255.255. */
export function isLbcast(addr: number): boolean {
  return addr === -1;
}

/** 0.0.0.0 alone: the rest of 0/8 is unicast since Linux 5.3. Linux: ipv4_is_zeronet(). */
export function isZeronet(addr: number): boolean {
  return addr === 0;
}
