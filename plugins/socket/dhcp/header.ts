/**
 * DHCP on the wire. RFC 2131 section 2, RFC 2132, RFC 3396 (long options).
 *
 * ```text
 *   |     op        |    htype      |    hlen       |    hops       |    0
 *   |                              xid                              |    4
 *   |             secs              |B          flags               |    8   B: please broadcast
 *   |                            ciaddr                             |   12   the client's address
 *   |                            yiaddr                             |   16   the address that it gets
 *   |                            siaddr                             |   20   the next server
 *   |                            giaddr                             |   24   the relay
 *   |                          chaddr (16)                          |   28
 *   |                          sname  (64)                          |   44   options too, when 52 says so
 *   |                          file   (128)                         |  108   options too, when 52 says so
 *   |                      99.130.83.99 (cookie)                    |  236
 *   |                          options ...                          |  240
 * ```
 *
 * @module
 */

/** Bytes before the options, the cookie counted. */
export const DHCP_HLEN = 240;
/** Bytes of the shortest message that is sent: older relays and clients want a whole BOOTP message. */
export const BOOTP_MIN = 300;
/** Bytes of the longest message that everybody takes: a datagram of 576 (RFC 2131 section 2). */
export const DHCP_MIN_MAX = 576 - 28;

/** op: from a client. */
export const BOOTREQUEST = 1;
/** op: from a server. */
export const BOOTREPLY = 2;

const COOKIE = 0x63825363;
const AT_SNAME = 44, AT_FILE = 108, AT_OPTIONS = DHCP_HLEN;
const OPT_PAD = 0, OPT_OVERLOAD = 52, OPT_END = 255;
const FLAG_BROADCAST = 0x8000;

/**
 * What is wrong with a message.
 *
 * - `TRUNCATED`: no room for the header.
 * - `OP`: neither request nor reply.
 * - `HTYPE`: not from an Ethernet, or with an address that is not six bytes long.
 * - `COOKIE`: BOOTP without options.
 * - `OPTION`: an option that does not end where its field ends.
 * - `OVERLOAD`: option 52 says something that it cannot say.
 */
export type DhcpFault = "TRUNCATED" | "OP" | "HTYPE" | "COOKIE" | "OPTION" | "OVERLOAD";

/** A message. Addresses int32. */
export interface DhcpMessage {
  /** BOOTREQUEST or BOOTREPLY. */
  op: number;
  /** Relays on the way. */
  hops: number;
  /** Ties a reply to its request: 32 bits, not negative. */
  xid: number;
  /** Seconds since the client began. */
  secs: number;
  /** The client cannot hear what is sent to an address that it has not yet. */
  broadcast: boolean;
  /** The address that the client has. */
  ciaddr: number;
  /** The address that it gets. */
  yiaddr: number;
  /** The next server. */
  siaddr: number;
  /** The relay. */
  giaddr: number;
  /** The client's hardware address, first 16 bits. */
  haHi: number;
  /** Its last 32 bits, int32. */
  haLo: number;
  /** Options by number, the pieces of a long one put together. */
  options: Map<number, Uint8Array>;
}

/** A message without options. */
export function dhcpMessage(fields: Partial<DhcpMessage> = {}): DhcpMessage {
  return {
    op: BOOTREQUEST,
    hops: 0,
    xid: 0,
    secs: 0,
    broadcast: false,
    ciaddr: 0,
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    haHi: 0,
    haLo: 0,
    options: new Map(),
    ...fields,
  };
}

/**
 * The message in the first `len` of `bytes`, or what is wrong with it. Nothing is read outside of them, each byte is looked
 * at once, and an option that says that there are more options is believed only where it may stand.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeDhcp, dhcpMessage, encodeDhcp } from "@netpath/stack/dhcp";
 *
 * const discover = dhcpMessage({ xid: 7, haHi: 0x0200, haLo: 1, options: new Map([[53, Uint8Array.of(1)]]) });
 * const bytes = encodeDhcp(discover);
 * assertEquals(bytes.length, 300);
 * assertEquals(decodeDhcp(bytes), discover);
 * assertEquals(decodeDhcp(bytes, 239), "TRUNCATED");
 * ```
 */
export function decodeDhcp(bytes: Uint8Array, len: number = bytes.length): DhcpMessage | DhcpFault {
  const end = Math.min(len, bytes.length);
  if (end < DHCP_HLEN) return "TRUNCATED";
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const op = view.getUint8(0);
  if (op !== BOOTREQUEST && op !== BOOTREPLY) return "OP";
  if (view.getUint8(1) !== 1 || view.getUint8(2) !== 6) return "HTYPE";
  if (view.getUint32(236) !== COOKIE) return "COOKIE";
  const m = dhcpMessage({
    op,
    hops: view.getUint8(3),
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    broadcast: (view.getUint16(10) & FLAG_BROADCAST) !== 0,
    ciaddr: view.getInt32(12),
    yiaddr: view.getInt32(16),
    siaddr: view.getInt32(20),
    giaddr: view.getInt32(24),
    haHi: view.getUint16(28),
    haLo: view.getInt32(30),
  });
  const pieces = new Map<number, number[]>();
  if (!readField(bytes, AT_OPTIONS, end, pieces)) return "OPTION";
  const overload = pieces.get(OPT_OVERLOAD);
  if (overload !== undefined) {
    if (overload.length !== 1 || overload[0] < 1 || overload[0] > 3) return "OVERLOAD";
    pieces.delete(OPT_OVERLOAD);
    // In this order (RFC 3396 section 5). What they say of further fields is nothing.
    if ((overload[0] & 1) !== 0 && !readField(bytes, AT_FILE, AT_FILE + 128, pieces)) return "OPTION";
    if ((overload[0] & 2) !== 0 && !readField(bytes, AT_SNAME, AT_SNAME + 64, pieces)) return "OPTION";
    pieces.delete(OPT_OVERLOAD);
  }
  for (const [code, value] of pieces) m.options.set(code, Uint8Array.from(value));
  return m;
}

/** The options of one field; false: one does not end in it. A field may end without the option that says so. */
function readField(bytes: Uint8Array, from: number, end: number, into: Map<number, number[]>): boolean {
  for (let at = from; at < end;) {
    const code = bytes[at++];
    if (code === OPT_PAD) continue;
    if (code === OPT_END) return true;
    if (at >= end || at + 1 + bytes[at] > end) return false;
    const length = bytes[at++];
    let value = into.get(code);
    if (value === undefined) into.set(code, value = []);
    for (let i = 0; i < length; i++) value.push(bytes[at + i]);
    at += length;
  }
  return true;
}

/** Bytes that an option takes: a long one is several (RFC 3396). */
function sizeOf(value: Uint8Array): number {
  return value.length + 2 * Math.max(1, Math.ceil(value.length / 255));
}

/** One field for options. */
class Area {
  readonly #view: DataView;
  readonly #end: number;
  #at: number;

  constructor(view: DataView, from: number, end: number) {
    this.#view = view;
    this.#at = from;
    this.#end = end - 1; // the last byte is for the end
  }

  fits(size: number): boolean {
    return this.#at + size <= this.#end;
  }

  put(code: number, value: Uint8Array): void {
    for (let from = 0; from === 0 || from < value.length; from += 255) {
      const n = Math.min(255, value.length - from);
      this.#view.setUint8(this.#at++, code);
      this.#view.setUint8(this.#at++, n);
      for (let i = 0; i < n; i++) this.#view.setUint8(this.#at++, value[from + i]);
    }
  }

  close(): number {
    this.#view.setUint8(this.#at++, OPT_END);
    return this.#at;
  }
}

/**
 * The bytes of a message of at most `limit` of them, the options in their order. What does not fit behind the header goes
 * into the fields `file` and `sname`, and option 52 says so; what does not fit there is left out.
 */
export function encodeDhcp(m: DhcpMessage, limit: number = DHCP_MIN_MAX): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.max(limit, BOOTP_MIN));
  const view = new DataView(whole.buffer);
  view.setUint8(0, m.op);
  view.setUint8(1, 1);
  view.setUint8(2, 6);
  view.setUint8(3, m.hops);
  view.setUint32(4, m.xid);
  view.setUint16(8, m.secs);
  view.setUint16(10, m.broadcast ? FLAG_BROADCAST : 0);
  [m.ciaddr, m.yiaddr, m.siaddr, m.giaddr].forEach((addr, i) => view.setInt32(12 + 4 * i, addr));
  view.setUint16(28, m.haHi);
  view.setInt32(30, m.haLo);
  view.setUint32(236, COOKIE);
  const options = [...m.options];
  const total = options.reduce((sum, [, value]) => sum + sizeOf(value), 0);
  const main = new Area(view, AT_OPTIONS, whole.length);
  const areas = [main];
  if (!main.fits(total)) {
    main.put(OPT_OVERLOAD, Uint8Array.of(3));
    areas.push(new Area(view, AT_FILE, AT_FILE + 128), new Area(view, AT_SNAME, AT_SNAME + 64));
  }
  for (const [code, value] of options) areas.find((area) => area.fits(sizeOf(value)))?.put(code, value);
  const [end] = areas.map((area) => area.close());
  return new Uint8Array(whole.buffer, 0, Math.max(end, BOOTP_MIN));
}
