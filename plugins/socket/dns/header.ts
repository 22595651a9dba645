/**
 * DNS on the wire: the header, and names with their compression. RFC 1035 section 4, RFC 2181 section 11, RFC 9267.
 *
 * ```text
 *   |                      ID                       |   0
 *   |QR|  Opcode   |AA|TC|RD|RA| Z|AD|CD|   RCODE   |   2
 *   |                    QDCOUNT                    |   4
 *   |                    ANCOUNT                    |   6
 *   |                    NSCOUNT                    |   8
 *   |                    ARCOUNT                    |  10
 * ```
 *
 * A name is labels, each a length of 1 to 63 and so many bytes, and a 0; or labels and a pointer (two bytes from 0xc000)
 * to where the rest stands already. Here a name is text: labels between dots, none at the end, `.` for the root; a dot or
 * backslash in a label has a backslash before it, and a byte that is no visible ASCII is `\DDD` (RFC 1035 section 5.1).
 *
 * @module
 */

/** Bytes of the header. */
export const DNS_HLEN = 12;
/** Flag: a response. */
export const DNS_QR = 0x8000;
/** Flag: from who has authority. */
export const DNS_AA = 0x0400;
/** Flag: cut; ask over TCP. */
export const DNS_TC = 0x0200;
/** Flag: please ask others. */
export const DNS_RD = 0x0100;
/** Flag: would ask others. */
export const DNS_RA = 0x0080;
/** Flag: all was checked with DNSSEC. */
export const DNS_AD = 0x0020;
/** Flag: do not check with DNSSEC. */
export const DNS_CD = 0x0010;

/** Bytes of the longest name, lengths and the final 0 counted. */
export const DNS_MAX_NAME = 255;
/** Bytes of the longest label. */
export const DNS_MAX_LABEL = 63;
/** Pointers that one name may go through: there are no more labels than these in any. */
const MAX_POINTERS = 126;

/**
 * What is wrong with a message.
 *
 * - `TRUNCATED`: it ends, or a field's bounds end, in the middle of something.
 * - `LABEL_TYPE`: a label with a length of 64 to 191: types that nobody uses.
 * - `POINTER`: a compression pointer that does not lead back to where a name can be, or too many of them.
 * - `NAME_TOO_LONG`: a name of more than 255 bytes.
 * - `RDATA`: data that is not as long as its record says, or no such data at all.
 * - `OPT`: an EDNS record that is not alone, or not at the root.
 */
export type DnsFault = "TRUNCATED" | "LABEL_TYPE" | "POINTER" | "NAME_TOO_LONG" | "RDATA" | "OPT";

/**
 * Reads a message from front to back. The first thing that is wrong stays in {@linkcode DnsReader.fault}; from then on all
 * reads give 0 or the root and move nowhere, so that a parser needs to look once at the end of each loop.
 *
 * @example A name that points at itself
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DnsReader } from "@netpath/stack/dns";
 *
 * const reader = new DnsReader(Uint8Array.of(1, 0x61, 0xc0, 0x00), 0, 4, 0);
 * assertEquals(reader.name(), ".");
 * assertEquals(reader.fault, "POINTER");
 * ```
 */
export class DnsReader {
  /** The message. */
  readonly bytes: Uint8Array;
  /** What is read next. */
  at: number;
  /** One past the last byte that may be read. */
  end: number;
  /** The first thing that was wrong; null: nothing. */
  fault: DnsFault | null = null;
  /** The first byte that a pointer may lead to. */
  readonly #first: number;

  /** Of `bytes` from `at` up to `end`. `first`: where names begin, after the header of a message; 0 where there is none. */
  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length, first: number = DNS_HLEN) {
    this.bytes = bytes;
    this.at = at;
    this.end = Math.min(end, bytes.length);
    this.#first = first;
  }

  /** Bytes left. */
  get left(): number {
    return this.end - this.at;
  }

  /** Something is wrong. */
  fail(fault: DnsFault): void {
    this.fault ??= fault;
  }

  #need(n: number): boolean {
    if (this.fault !== null) return false;
    if (this.end - this.at >= n) return true;
    this.fault = "TRUNCATED";
    return false;
  }

  /** A byte. */
  u8(): number {
    return this.#need(1) ? this.bytes[this.at++] : 0;
  }

  /** 16 bits. */
  u16(): number {
    if (!this.#need(2)) return 0;
    const at = this.at;
    this.at += 2;
    return this.bytes[at] << 8 | this.bytes[at + 1];
  }

  /** 32 bits, not negative. */
  u32(): number {
    const high = this.u16();
    return high * 0x10000 + this.u16();
  }

  /** So many bytes, a copy. */
  take(n: number): Uint8Array<ArrayBuffer> {
    if (!this.#need(n)) return new Uint8Array(0);
    const from = this.at;
    this.at += n;
    return part(this.bytes, from, n);
  }

  /**
   * A name. A pointer must lead to before the labels that it ends, and each next one to before that: what is read goes
   * back with every step, so that no chain of them has a loop.
   */
  name(): string {
    if (this.fault !== null) return ".";
    const { bytes } = this;
    let at = this.at;
    let limit = at; // a pointer must lead to before this
    let end = this.end;
    let octets = 1;
    let pointers = 0;
    let text = "";
    for (;;) {
      if (at >= end) return this.#bad("TRUNCATED");
      const length = bytes[at];
      if (length === 0) break;
      if (length >= 0xc0) {
        if (at + 1 >= end) return this.#bad("TRUNCATED");
        const to = (length & 0x3f) << 8 | bytes[at + 1];
        if (pointers === 0) this.at = at + 2;
        if (to >= limit || to < this.#first || ++pointers > MAX_POINTERS) return this.#bad("POINTER");
        limit = at = to;
        // Behind a pointer there are other records, which the bounds of this one say nothing about.
        end = bytes.length;
        continue;
      }
      if (length > DNS_MAX_LABEL) return this.#bad("LABEL_TYPE");
      if (at + 1 + length > end) return this.#bad("TRUNCATED");
      octets += 1 + length;
      if (octets > DNS_MAX_NAME) return this.#bad("NAME_TOO_LONG");
      text += text === "" ? "" : ".";
      text += labelText(bytes, at + 1, length);
      at += 1 + length;
    }
    if (pointers === 0) this.at = at + 1;
    return text === "" ? "." : text;
  }

  #bad(fault: DnsFault): string {
    this.fault = fault;
    return ".";
  }
}

/** So many bytes of a message as an array of their own. */
function part(bytes: Uint8Array, from: number, n: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(n);
  for (let i = 0; i < n; i++) out[i] = bytes[from + i];
  return out;
}

function labelText(bytes: Uint8Array, from: number, length: number): string {
  let text = "";
  for (let i = from; i < from + length; i++) {
    const c = bytes[i];
    if (c === 0x2e || c === 0x5c) text += `\\${String.fromCharCode(c)}`;
    else if (c > 0x20 && c < 0x7f) text += String.fromCharCode(c);
    else text += `\\${String(c).padStart(3, "0")}`;
  }
  return text;
}

/** One label of a name in text. */
export interface DnsLabel {
  /** At most 63. */
  readonly bytes: readonly number[];
  /** The rest of the name from this label on, in lower case: what can be pointed at. */
  readonly suffix: string;
}

/**
 * The labels of a name in text, or null: it is none (an empty label, one of more than 63 bytes, more than 255 in all, a
 * character that is no ASCII, an escape that is none). A dot at the end is allowed; `.` is the root, without labels.
 */
export function parseName(name: string): readonly DnsLabel[] | null {
  if (name === ".") return [];
  const text = name.endsWith(".") && !/\\(\\\\)*\.$/.test(name) ? name.slice(0, -1) : name;
  const labels: DnsLabel[] = [];
  let bytes: number[] = [];
  let start = 0;
  let octets = 1;
  for (let i = 0;; i++) {
    const c = text.charCodeAt(i);
    if (i < text.length && c !== 0x2e) {
      if (c > 0x7e || c < 0x20) return null;
      if (c !== 0x5c) bytes.push(c);
      else {
        const code = /^\d{3}/.exec(text.slice(i + 1, i + 4));
        if (code !== null && Number(code[0]) > 255) return null;
        if (code === null && (i + 1 >= text.length || /[^!-~]/.test(text[i + 1]))) return null;
        bytes.push(code === null ? text.charCodeAt(i + 1) : Number(code[0]));
        i += code === null ? 1 : 3;
      }
      continue;
    }
    octets += 1 + bytes.length;
    if (bytes.length === 0 || bytes.length > DNS_MAX_LABEL || octets > DNS_MAX_NAME) return null;
    labels.push({ bytes, suffix: text.slice(start).toLowerCase() });
    if (i >= text.length) return labels;
    bytes = [];
    start = i + 1;
  }
}

/** The key under which a name is looked for: in lower case (RFC 4343), without a dot at the end. */
export function nameKey(name: string): string {
  const lower = name.toLowerCase();
  return lower.length > 1 && lower.endsWith(".") && !/\\(\\\\)*\.$/.test(lower) ? lower.slice(0, -1) : lower;
}

/** Whether a name is a zone's or below it. Both are keys, see {@linkcode nameKey}. */
export function isInZone(name: string, zone: string): boolean {
  return zone === "." || name === zone ||
    (name.endsWith(`.${zone}`) && !isEscaped(name, name.length - zone.length - 1));
}

/** The name above a key: `b.c` of `a.b.c`, `.` of `c`. */
export function parentName(name: string): string {
  for (let i = name.indexOf("."); i >= 0; i = name.indexOf(".", i + 1)) {
    if (!isEscaped(name, i)) return name.slice(i + 1) || ".";
  }
  return ".";
}

function isEscaped(name: string, at: number): boolean {
  let n = 0;
  while (at - 1 - n >= 0 && name[at - 1 - n] === "\\") n++;
  return n % 2 === 1;
}

/** The name under which the names of an address are: `1.0.0.10.in-addr.arpa` of `10.0.0.1`, an int32. */
export function reverseName(addr: number): string {
  return `${addr & 255}.${addr >>> 8 & 255}.${addr >>> 16 & 255}.${addr >>> 24}.in-addr.arpa`;
}

/** Bytes of a writer's buffer at first: most messages are no longer. */
const FIRST_BUFFER = 512;

/**
 * Writes a message of limited length. What does not fit sets {@linkcode DnsWriter.full} and is not written; who
 * writes something that may be left out goes back to where it began with {@linkcode DnsWriter.rewind}.
 */
export class DnsWriter {
  /** The message so far is the first {@linkcode DnsWriter.at} of them. */
  bytes: Uint8Array<ArrayBuffer>;
  /** What is written next. */
  at = 0;
  /** Something did not fit. */
  full = false;
  readonly #limit: number;
  /** Where the ends of names stand. */
  readonly #names = new Map<string, number>();

  /** For a message of at most `limit` bytes. */
  constructor(limit: number) {
    this.#limit = limit;
    this.bytes = new Uint8Array(Math.min(limit, FIRST_BUFFER));
  }

  /** Forgets all from `at` on. */
  rewind(at: number): void {
    this.at = at;
    this.full = false;
    for (const [name, where] of this.#names) if (where >= at) this.#names.delete(name);
  }

  /** A byte. */
  u8(value: number): void {
    if (this.at >= this.bytes.length && !this.#grow()) this.full = true;
    else this.bytes[this.at++] = value;
  }

  #grow(): boolean {
    if (this.bytes.length >= this.#limit) return false;
    const wider = new Uint8Array(Math.min(this.#limit, this.bytes.length * 2));
    for (let i = 0; i < this.at; i++) wider[i] = this.bytes[i];
    this.bytes = wider;
    return true;
  }

  /** 16 bits. */
  u16(value: number): void {
    this.u8(value >>> 8);
    this.u8(value);
  }

  /** 32 bits. */
  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  /** Bytes as they are. */
  put(bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length; i++) this.u8(bytes[i]);
  }

  /** Writes 16 bits where they were left free. */
  patch(at: number, value: number): void {
    if (at + 2 > this.at) return;
    this.bytes[at] = value >>> 8;
    this.bytes[at + 1] = value;
  }

  /** A name; `compress`: an end of it that stands already is pointed at. False: it is no name, and nothing was written. */
  name(name: string, compress = true): boolean {
    const labels = parseName(name);
    if (labels === null) return false;
    for (const { bytes, suffix } of labels) {
      const known = compress ? this.#names.get(suffix) : undefined;
      if (known !== undefined) {
        this.u16(0xc000 | known);
        return true;
      }
      if (this.at < 0x4000 && !this.#names.has(suffix)) this.#names.set(suffix, this.at);
      this.u8(bytes.length);
      this.put(bytes);
    }
    this.u8(0);
    return true;
  }

  /** What was written: a copy of just that. */
  finish(): Uint8Array<ArrayBuffer> {
    return part(this.bytes, 0, this.at);
  }
}
