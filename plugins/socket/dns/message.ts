/**
 * Whole messages: bytes to records and back. RFC 1035, RFC 2782 (SRV), RFC 3596 (AAAA), RFC 3597 (the unknown), RFC 6891
 * (EDNS).
 */
import { ipToString, parseIp } from "../../network/inet/header.ts";
import type { DnsFault } from "./header.ts";
import { DNS_HLEN, DNS_QR, DNS_TC, DnsReader, DnsWriter } from "./header.ts";

/** Data of a SOA record. Times in seconds. */
export interface SoaData {
  /** The primary server. */
  mname: string;
  /** Who is responsible: a mail address with a dot for the `@`. */
  rname: string;
  /** Version of the zone. */
  serial: number;
  /** How often a secondary looks. */
  refresh: number;
  /** How soon it tries again. */
  retry: number;
  /** How long it serves without. */
  expire: number;
  /** How long an answer that there is no such name is kept (RFC 2308). */
  minimum: number;
}

/** Data of an MX record. */
export interface MxData {
  /** Lower comes first. */
  preference: number;
  /** The mail server. */
  exchange: string;
}

/** Data of a SRV record. */
export interface SrvData {
  /** Lower comes first. */
  priority: number;
  /** Share among equals. */
  weight: number;
  /** Port. */
  port: number;
  /** The host. */
  target: string;
}

/** Data of each type that is read: text for addresses and names, `string[]` for TXT. */
export interface DnsDataOf {
  /** An IPv4 address. */
  A: string;
  /** An IPv6 address. */
  AAAA: string;
  /** The name that this one stands for. */
  CNAME: string;
  /** A name server. */
  NS: string;
  /** The name of an address. */
  PTR: string;
  /** Texts of at most 255 bytes each. */
  TXT: string[];
  /** A mail server. */
  MX: MxData;
  /** A service. */
  SRV: SrvData;
  /** The start of a zone. */
  SOA: SoaData;
}

/** A type whose data is read. */
export type DnsType = keyof DnsDataOf;

/** What all records have. */
export interface DnsRecordHead {
  /** Whose: a name without a dot at the end. */
  name: string;
  /** Seconds that it may be kept. */
  ttl: number;
  /** Default 1: IN. */
  class?: number;
}

/** A record: `type` says what `data` is; that of a type which is not read (`TYPE65`) is bytes. */
export type DnsRecord =
  | { [T in DnsType]: DnsRecordHead & { type: T; data: DnsDataOf[T] } }[DnsType]
  | DnsRecordHead & { type: `TYPE${number}`; data: Uint8Array };

/** What is asked. */
export interface DnsQuestion {
  /** Whose records. */
  name: string;
  /** Of which type: a number, see {@linkcode dnsTypeNumber}. */
  type: number;
  /** Default 1: IN. */
  class: number;
}

/** The EDNS record. RFC 6891. */
export interface DnsEdns {
  /** Bytes of the largest datagram that the sender takes. */
  udpSize: number;
  /** 0. */
  version: number;
  /** The flag that asks for DNSSEC records. */
  dnssec: boolean;
}

/** A message. */
export interface DnsMessage {
  /** Ties a response to its query, 16 bits. */
  id: number;
  /** DNS_*: QR, AA, TC, RD, RA, AD, CD. */
  flags: number;
  /** 0: a query. */
  opcode: number;
  /** DNS_RCODE: 4 bits, 12 with EDNS. */
  rcode: number;
  /** What is asked. */
  questions: DnsQuestion[];
  /** What answers it. */
  answers: DnsRecord[];
  /** Who has authority. */
  authorities: DnsRecord[];
  /** What may help. */
  additionals: DnsRecord[];
  /** EDNS, or null. */
  edns: DnsEdns | null;
}

/** Numbers of the types by name. */
const TYPES: Readonly<Record<DnsType, number>> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
};
const NAMES: ReadonlyMap<number, DnsType> = new Map(
  Object.entries(TYPES).map(([name, number]) => [number, name as DnsType]),
);
const TYPE_OPT = 41;
/** Fewest bytes of a question, and of a record. */
const MIN_QUESTION = 5, MIN_RECORD = 11;
const EDNS_DO = 0x8000;

/** The number of a type: `A`, `TYPE65`; 0: there is none of that name. */
export function dnsTypeNumber(type: string): number {
  const known = Object.hasOwn(TYPES, type) ? TYPES[type as DnsType] : 0;
  if (known !== 0) return known;
  const number = /^TYPE(\d{1,5})$/.exec(type);
  return number !== null && Number(number[1]) <= 0xffff ? Number(number[1]) : 0;
}

/** The name of a type's number. */
export function dnsTypeName(type: number): DnsRecord["type"] {
  return NAMES.get(type) ?? `TYPE${type}`;
}

/** An empty message. */
export function dnsMessage(fields: Partial<DnsMessage> = {}): DnsMessage {
  return {
    id: 0,
    flags: 0,
    opcode: 0,
    rcode: 0,
    questions: [],
    answers: [],
    authorities: [],
    additionals: [],
    edns: null,
    ...fields,
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading

/**
 * The message in the first `len` of `bytes`, or what is wrong with it. Nothing is read outside of them, and the work is
 * bounded by their number whatever they say. What stands behind the last record is ignored.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeMessage, dnsMessage, encodeMessage } from "@netpath/stack/dns";
 *
 * const query = dnsMessage({ id: 7, questions: [{ name: "www.lab", type: 1, class: 1 }] });
 * const bytes = encodeMessage(query);
 * assertEquals(bytes.length, 12 + 9 + 4);
 * assertEquals(decodeMessage(bytes), query);
 * assertEquals(decodeMessage(bytes, 20), "TRUNCATED");
 * ```
 */
export function decodeMessage(bytes: Uint8Array, len: number = bytes.length): DnsMessage | DnsFault {
  const size = Math.min(len, bytes.length);
  const r = new DnsReader(size === bytes.length ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, size));
  const id = r.u16();
  const flags = r.u16();
  const counts = [r.u16(), r.u16(), r.u16(), r.u16()];
  const m = dnsMessage({ id, flags: flags & 0x87b0, opcode: flags >>> 11 & 15, rcode: flags & 15 });
  // Counts that the bytes cannot hold are not begun with.
  const least = counts[0] * MIN_QUESTION + (counts[1] + counts[2] + counts[3]) * MIN_RECORD;
  if (r.left < least) r.fail("TRUNCATED");
  for (let i = 0; i < counts[0] && r.fault === null; i++) {
    m.questions.push({ name: r.name(), type: r.u16(), class: r.u16() });
  }
  [m.answers, m.authorities, m.additionals].forEach((section, s) => {
    for (let i = 0; i < counts[s + 1] && r.fault === null; i++) readRecord(r, m, section);
  });
  return r.fault ?? m;
}

function readRecord(r: DnsReader, m: DnsMessage, section: DnsRecord[]): void {
  const name = r.name();
  const type = r.u16();
  const klass = r.u16();
  const ttl = r.u32();
  const end = r.u16() + r.at;
  if (r.fault !== null) return;
  if (end > r.end) return r.fail("TRUNCATED");
  if (type === TYPE_OPT) {
    if (section !== m.additionals || name !== "." || m.edns !== null) return r.fail("OPT");
    m.edns = { udpSize: klass, version: ttl >>> 16 & 255, dnssec: (ttl & EDNS_DO) !== 0 };
    m.rcode |= (ttl >>> 24) << 4;
    r.at = end;
    return;
  }
  const whole = r.end;
  r.end = end;
  const record = {
    name,
    type: dnsTypeName(type),
    // A TTL with the highest bit set is 0 (RFC 2181 section 8).
    ttl: ttl > 0x7fffffff ? 0 : ttl,
    data: readData(r, type, end),
    ...(klass === 1 ? {} : { class: klass }),
  };
  // Fields that run over the data are no end of the message.
  if (r.fault === "TRUNCATED" || (r.fault === null && r.at !== end)) r.fault = "RDATA";
  r.end = whole;
  if (r.fault === null) section.push(record as DnsRecord);
}

function readData(r: DnsReader, type: number, end: number): DnsRecord["data"] {
  switch (NAMES.get(type)) {
    case "A": {
      const high = r.u16();
      return ipToString(high << 16 | r.u16());
    }
    case "AAAA":
      return ip6Text(Array.from({ length: 8 }, () => r.u16()));
    case "NS":
    case "CNAME":
    case "PTR":
      return r.name();
    case "MX":
      return { preference: r.u16(), exchange: r.name() };
    case "SRV":
      return { priority: r.u16(), weight: r.u16(), port: r.u16(), target: r.name() };
    case "SOA":
      return {
        mname: r.name(),
        rname: r.name(),
        serial: r.u32(),
        refresh: r.u32(),
        retry: r.u32(),
        expire: r.u32(),
        minimum: r.u32(),
      };
    case "TXT": {
      const texts: string[] = [];
      while (r.at < end && r.fault === null) texts.push(new TextDecoder().decode(r.take(r.u8())));
      // At least one (RFC 1035 section 3.3.14).
      if (texts.length === 0) r.fail("RDATA");
      return texts;
    }
    default:
      return r.take(end - r.at);
  }
}

/** RFC 5952: lower case, the longest run of at least two zeros as `::`. */
function ip6Text(words: readonly number[]): string {
  let best = 0, from = -1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && words[i + n] === 0) n++;
    if (n > best && n > 1) [best, from] = [n, i];
  }
  const hex = words.map((w) => w.toString(16));
  if (from < 0) return hex.join(":");
  return `${hex.slice(0, from).join(":")}::${hex.slice(from + best).join(":")}`;
}

/** Eight words of an IPv6 address in text; null: it is none. */
function parseIp6(text: string): number[] | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const words = halves.map((half) => half === "" ? [] : half.split(":"));
  if (words.flat().some((w) => !/^[0-9a-fA-F]{1,4}$/.test(w))) return null;
  const [head, tail = []] = words;
  const gap = 8 - head.length - tail.length;
  if (halves.length === 2 ? gap < 1 : gap !== 0) return null;
  return [...head, ...Array.from({ length: gap }, () => "0"), ...tail].map((w) => parseInt(w, 16));
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing

/**
 * The bytes of a message of at most `limit` of them. When not all fits, records of the additional section are left out
 * one after the other; when an answer or authority does not, all records are, and TC says so (RFC 2181 section 9).
 * A name or data that cannot be written is a TypeError.
 */
export function encodeMessage(m: DnsMessage, limit = 0xffff): Uint8Array<ArrayBuffer> {
  const edns = m.edns === null ? 0 : MIN_RECORD;
  const w = new DnsWriter(limit - edns);
  let flags = m.flags | (m.opcode & 15) << 11 | (m.rcode & 15);
  w.u16(m.id);
  w.u16(flags);
  w.at = DNS_HLEN;
  const counts = [0, 0, 0, 0];
  for (const q of m.questions) {
    needName(w, q.name);
    w.u16(q.type);
    w.u16(q.class);
    counts[0]++;
  }
  const body = w.at;
  for (const [s, section] of [m.answers, m.authorities].entries()) {
    for (const record of section) {
      writeRecord(w, record);
      counts[s + 1]++;
    }
  }
  if (w.full) {
    w.rewind(body);
    counts[1] = counts[2] = 0;
    flags |= DNS_TC;
  } else counts[3] = writeOptional(w, m.additionals);
  const end = w.at;
  w.patch(2, flags);
  counts.forEach((n, i) => w.patch(4 + 2 * i, i === 3 && m.edns !== null ? n + 1 : n));
  if (m.edns === null) return w.finish();
  const whole = new DnsWriter(end + edns);
  whole.put(w.finish());
  writeEdns(whole, m.edns, m.rcode);
  return whole.finish();
}

/** Whole records as long as they fit; how many. */
function writeOptional(w: DnsWriter, records: readonly DnsRecord[]): number {
  let n = 0;
  for (const record of records) {
    const before = w.at;
    writeRecord(w, record);
    if (w.full) {
      w.rewind(before);
      break;
    }
    n++;
  }
  return n;
}

function writeEdns(w: DnsWriter, edns: DnsEdns, rcode: number): void {
  w.u8(0);
  w.u16(TYPE_OPT);
  w.u16(edns.udpSize);
  w.u8(rcode >>> 4);
  w.u8(edns.version);
  w.u16(edns.dnssec ? EDNS_DO : 0);
  w.u16(0);
}

function needName(w: DnsWriter, name: string, compress = true): void {
  if (!w.name(name, compress)) throw new TypeError(`Cannot write the name "${name}": ${whyNoName(name)}`);
}

/** What a name must be. */
export function whyNoName(name: string): string {
  return /[^ -~]/.test(name)
    ? "it has characters that are no ASCII; write it in punycode"
    : "labels of 1 to 63 bytes between dots, 255 bytes in all";
}

function writeRecord(w: DnsWriter, record: DnsRecord): void {
  needName(w, record.name);
  w.u16(dnsTypeNumber(record.type));
  w.u16(record.class ?? 1);
  w.u32(record.ttl);
  const at = w.at;
  w.u16(0);
  writeData(w, record);
  w.patch(at, w.at - at - 2);
}

function writeData(w: DnsWriter, record: DnsRecord): void {
  switch (record.type) {
    case "A": {
      const addr = parseIp(record.data);
      if (addr === null) throw new TypeError(`Cannot write ${record.name} A ${record.data}: it is no IPv4 address`);
      return w.u32(addr >>> 0);
    }
    case "AAAA": {
      const words = parseIp6(record.data);
      if (words === null) throw new TypeError(`Cannot write ${record.name} AAAA ${record.data}: it is no IPv6 address`);
      return words.forEach((word) => w.u16(word));
    }
    case "NS":
    case "CNAME":
    case "PTR":
      return needName(w, record.data);
    case "MX":
      needU16(w, record.data.preference);
      return needName(w, record.data.exchange);
    case "SRV":
      needU16(w, record.data.priority);
      needU16(w, record.data.weight);
      needU16(w, record.data.port);
      // Not compressed (RFC 2782).
      return needName(w, record.data.target, false);
    case "SOA": {
      const { mname, rname, serial, refresh, retry, expire, minimum } = record.data;
      needName(w, mname);
      needName(w, rname);
      return [serial, refresh, retry, expire, minimum].forEach((value) => w.u32(value));
    }
    case "TXT":
      return record.data.forEach((text) => writeText(w, record.name, text));
    default:
      return w.put(record.data);
  }
}

function needU16(w: DnsWriter, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) {
    throw new RangeError(`Cannot write ${value}: it takes a whole number from 0 to 65535`);
  }
  w.u16(value);
}

function writeText(w: DnsWriter, name: string, text: string): void {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > 255) throw new TypeError(`Cannot write ${name} TXT: a text of ${bytes.length} bytes, at most 255`);
  w.u8(bytes.length);
  w.put(bytes);
}

/** Whether a message is a response. */
export function isResponse(m: DnsMessage): boolean {
  return (m.flags & DNS_QR) !== 0;
}
