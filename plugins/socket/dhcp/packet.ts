/**
 * Datagrams by hand: for who has no address yet, and for who answers him. RFC 791, RFC 768.
 */

const IP_HLEN = 20, UDP_HLEN = 8;
const IPPROTO_UDP = 17;
const DF = 0x4000, FRAGMENT = 0x3fff;

/** The sum of 16 bit words of `bytes`, not folded. */
function sum16(bytes: Uint8Array, from: number, end: number, start: number): number {
  let sum = start;
  for (let at = from; at + 1 < end; at += 2) sum += bytes[at] << 8 | bytes[at + 1];
  return (end - from) % 2 === 1 ? sum + (bytes[end - 1] << 8) : sum;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function pseudo(saddr: number, daddr: number, length: number): number {
  return (saddr >>> 16) + (saddr & 0xffff) + (daddr >>> 16) + (daddr & 0xffff) + IPPROTO_UDP + length;
}

/** An IP packet with one UDP datagram, TTL 64. Addresses int32. */
export function buildDatagram(
  saddr: number,
  daddr: number,
  sport: number,
  dport: number,
  payload: Uint8Array,
): Uint8Array {
  const length = UDP_HLEN + payload.length;
  const bytes = new Uint8Array(IP_HLEN + length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x4510); // TOS: low delay, as all clients and servers send it
  view.setUint16(2, bytes.length);
  view.setUint16(6, DF);
  view.setUint16(8, 64 << 8 | IPPROTO_UDP);
  view.setInt32(12, saddr);
  view.setInt32(16, daddr);
  view.setUint16(10, ~fold(sum16(bytes, 0, IP_HLEN, 0)));
  view.setUint16(IP_HLEN, sport);
  view.setUint16(IP_HLEN + 2, dport);
  view.setUint16(IP_HLEN + 4, length);
  for (let i = 0; i < payload.length; i++) bytes[IP_HLEN + UDP_HLEN + i] = payload[i];
  const sum = ~fold(sum16(bytes, IP_HLEN, bytes.length, pseudo(saddr, daddr, length))) & 0xffff;
  view.setUint16(IP_HLEN + 6, sum === 0 ? 0xffff : sum);
  return bytes;
}

/**
 * The payload of the UDP datagram to `dport` in the first `len` of `bytes`, or null: another packet, a fragment, or one
 * that is not right. Its bytes are `bytes`' own.
 */
export function parseDatagram(bytes: Uint8Array, len: number, dport: number): Uint8Array | null {
  if (len < IP_HLEN + UDP_HLEN || len > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, len);
  const hlen = (bytes[0] & 15) << 2;
  const total = view.getUint16(2);
  if (bytes[0] >>> 4 !== 4 || hlen < IP_HLEN || total > len || total < hlen + UDP_HLEN) return null;
  if (bytes[9] !== IPPROTO_UDP || (view.getUint16(6) & FRAGMENT) !== 0) return null;
  if (fold(sum16(bytes, 0, hlen, 0)) !== 0xffff || view.getUint16(hlen + 2) !== dport) return null;
  const length = view.getUint16(hlen + 4);
  if (length < UDP_HLEN || length > total - hlen) return null;
  const check = view.getUint16(hlen + 6);
  const header = pseudo(view.getInt32(12), view.getInt32(16), length);
  // A neighbour on the same machine leaves the sum to a device that neither of them has: only the pseudo header's is
  // there. Linux tells a packet socket by TP_STATUS_CSUMNOTREADY.
  const whole = check === 0 || check === fold(header) || fold(sum16(bytes, hlen, hlen + length, header)) === 0xffff;
  return whole ? new Uint8Array(bytes.buffer, bytes.byteOffset + hlen + UDP_HLEN, length - UDP_HLEN) : null;
}
