/** DNS on the wire: golden bytes, truncation at every length, round trips, and what does not fit. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  decodeMessage,
  DNS_AA,
  DNS_QR,
  DNS_RD,
  DNS_TC,
  type DnsMessage,
  dnsMessage,
  DnsReader,
  type DnsRecord,
  dnsTypeName,
  dnsTypeNumber,
  DnsWriter,
  encodeMessage,
  isInZone,
  nameKey,
  parentName,
  parseName,
} from "../../../plugins/socket/dns/mod.ts";
import { hex, unhex } from "../../support/frames/bytes.ts";

/** `www.lab` A, answered with an alias and an address, with EDNS: as BIND's dig shows it, laid out by hand. */
const GOLDEN = [
  "beef 8500 0001 0002 0000 0001", // qr aa rd; 1 question, 2 answers, 1 additional
  "03 777777 03 6c6162 00 0001 0001", // www.lab A IN
  "c00c 0005 0001 0000012c 0006 03 776562 c010", // www.lab CNAME web.(lab)
  "c025 0001 0001 0000012c 0004 0a000002", // web.lab A 10.0.0.2
  "00 0029 04d0 00 00 0000 0000", // OPT, 1232 bytes
].join("").replaceAll(" ", "");

const MESSAGE: DnsMessage = dnsMessage({
  id: 0xbeef,
  flags: DNS_QR | DNS_AA | DNS_RD,
  questions: [{ name: "www.lab", type: 1, class: 1 }],
  answers: [
    { name: "www.lab", type: "CNAME", ttl: 300, data: "web.lab" },
    { name: "web.lab", type: "A", ttl: 300, data: "10.0.0.2" },
  ],
  edns: { udpSize: 1232, version: 0, dnssec: false },
});

Deno.test("golden bytes: read and written, compressed", () => {
  assertEquals(decodeMessage(unhex(GOLDEN)), MESSAGE);
  assertEquals(hex(encodeMessage(MESSAGE)).replaceAll(" ", ""), GOLDEN);
});

Deno.test("cut at every length it is TRUNCATED, never read past, and what stands behind it is ignored", () => {
  const whole = unhex(GOLDEN);
  for (let n = 0; n < whole.length; n++) {
    assertEquals(decodeMessage(whole, n), "TRUNCATED", `at ${n}`);
    assertEquals(decodeMessage(whole.slice(0, n)), "TRUNCATED", `at ${n}`);
  }
  assertEquals(decodeMessage(Uint8Array.of(...whole, 1, 2, 3)), MESSAGE);
  assertEquals(decodeMessage(whole, 1e6), MESSAGE);
});

const record = (fields: Pick<DnsRecord, "type" | "data">): DnsRecord =>
  ({ name: "a.lab", ttl: 5, ...fields }) as DnsRecord;
const RECORDS: DnsRecord[] = [
  record({ type: "A", data: "192.0.2.1" }),
  record({ type: "AAAA", data: "2001:db8::1" }),
  record({ type: "AAAA", data: "::" }),
  record({ type: "AAAA", data: "1:2:3:4:5:6:7:8" }),
  record({ type: "AAAA", data: "1:0:0:4::8" }),
  record({ type: "CNAME", data: "b.lab" }),
  record({ type: "NS", data: "ns.lab" }),
  record({ type: "PTR", data: "." }),
  record({ type: "TXT", data: ["one", "", "zwölf", "x".repeat(255)] }),
  record({ type: "MX", data: { preference: 65535, exchange: "mail.lab" } }),
  record({ type: "SRV", data: { priority: 1, weight: 2, port: 3, target: "a.lab" } }),
  record({
    type: "SOA",
    data: {
      mname: "ns.lab",
      rname: "root.lab",
      serial: 4294967295,
      refresh: 1,
      retry: 2,
      expire: 3,
      minimum: 4,
    },
  }),
  { name: "a.lab", type: "TYPE65", ttl: 5, data: Uint8Array.of(1, 2, 3), class: 3 },
];

Deno.test("each type of record comes back as it was; SRV's target is not compressed", () => {
  for (const r of RECORDS) {
    const m = dnsMessage({ answers: [r], authorities: [r], additionals: [r] });
    assertEquals(decodeMessage(encodeMessage(m)), m, r.type);
  }
  const srv = RECORDS.find((r) => r.type === "SRV")!;
  assertEquals(encodeMessage(dnsMessage({ answers: [srv] })).length, 12 + 7 + 10 + 6 + 7);
  assertEquals([dnsTypeNumber("SRV"), dnsTypeNumber("TYPE65"), dnsTypeNumber("TYPE70000"), dnsTypeNumber("X")], [
    33,
    65,
    0,
    0,
  ]);
  assertEquals([dnsTypeName(6), dnsTypeName(65)], ["SOA", "TYPE65"]);
});

Deno.test("a TTL with the highest bit set is 0; rcodes above 15 need EDNS", () => {
  const bytes = unhex(GOLDEN);
  bytes[31] = 0x80;
  const m = decodeMessage(bytes);
  assert(typeof m !== "string");
  assertEquals(m.answers[0].ttl, 0);
  const version = dnsMessage({ rcode: 16, edns: { udpSize: 512, version: 0, dnssec: true } });
  assertEquals(decodeMessage(encodeMessage(version)), version);
});

Deno.test("names: escapes, the root, what is none, and their relations", () => {
  const name = (labels: string): string => {
    const w = new DnsWriter(300);
    assert(w.name(labels), labels);
    const r = new DnsReader(w.bytes, 0, w.at, 0);
    const back = r.name();
    assertEquals([r.fault, r.at], [null, w.at]);
    return back;
  };
  for (const text of [".", "lab", "a.b.c", "a\\.b.lab", "\\\\.lab", "\\000\\255.lab", "x".repeat(63)]) {
    assertEquals(name(text), text);
  }
  assertEquals([name("lab."), name("\\065.lab"), name("a\\..lab")], ["lab", "A.lab", "a\\..lab"]);
  const long = Array(4).fill("x".repeat(61)).join(".");
  assertEquals(name(`${long}.abc`), `${long}.abc`.slice(0, 251));
  for (
    const bad of ["", "..", ".a", "a..b", "x".repeat(64), `${long}.abcdefg`, "ü.lab", "a\\", "a\\256", "a\\ b", "a\n"]
  ) {
    assertEquals(parseName(bad), null, bad);
  }
  assertEquals([nameKey("WWW.Lab."), nameKey("."), nameKey("a\\.")], ["www.lab", ".", "a\\."]);
  assertEquals([isInZone("a.lab", "lab"), isInZone("alab", "lab"), isInZone("a\\.lab", "lab"), isInZone("x", ".")], [
    true,
    false,
    false,
    true,
  ]);
  assertEquals([parentName("a\\.b.c"), parentName("c"), parentName(".")], ["c", ".", "."]);
});

Deno.test("what does not fit: additional records go first, then all do and TC says so", () => {
  const texts = (n: number): DnsRecord[] =>
    Array.from({ length: n }, (_, i) => ({ name: "big.lab", type: "TXT", ttl: 1, data: [`${i}`.padEnd(50)] }));
  const m = dnsMessage({
    questions: [{ name: "big.lab", type: 16, class: 1 }],
    answers: texts(5),
    additionals: texts(5),
    edns: { udpSize: 512, version: 0, dnssec: false },
  });
  for (let limit = 36; limit < 700; limit++) {
    const bytes = encodeMessage(m, limit);
    assert(bytes.length <= limit, `${bytes.length} > ${limit}`);
    const back = decodeMessage(bytes);
    assert(typeof back !== "string", `${back} at ${limit}`);
    assertEquals(back.edns, m.edns);
    const cut = (back.flags & DNS_TC) !== 0;
    assertEquals([back.answers.length, back.questions.length], [cut ? 0 : 5, 1]);
    if (cut) assertEquals(back.additionals, []);
  }
  assertEquals((encodeMessage(m, 400)[2] & (DNS_TC >> 8)) !== 0, false);
});

Deno.test("what cannot be written is a TypeError that says why", () => {
  const write = (r: DnsRecord): Uint8Array => encodeMessage(dnsMessage({ answers: [r] }));
  assertThrows(() => write({ name: "a..b", type: "A", ttl: 1, data: "10.0.0.1" }), TypeError, 'the name "a..b"');
  assertThrows(() => write({ name: "ü", type: "A", ttl: 1, data: "10.0.0.1" }), TypeError, "punycode");
  assertThrows(() => write(record({ type: "A", data: "10.0.0" })), TypeError, "it is no IPv4 address");
  assertThrows(() => write(record({ type: "AAAA", data: "1:2" })), TypeError, "it is no IPv6 address");
  assertThrows(() => write(record({ type: "AAAA", data: "1::2::3" })), TypeError, "it is no IPv6 address");
  assertThrows(() => write(record({ type: "TXT", data: ["x".repeat(256)] })), TypeError, "at most 255");
  assertThrows(() => write(record({ type: "MX", data: { preference: 70000, exchange: "." } })), RangeError, "70000");
});

Deno.test("any message of names, types and data comes back as it was (1,000 of them)", () => {
  const label = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(..."abcXYZ019-_") });
  const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join("."));
  const u16 = fc.integer({ min: 0, max: 65535 });
  const u32 = fc.integer({ min: 0, max: 0x7fffffff });
  const data = fc.oneof(
    fc.record({ type: fc.constant("CNAME"), data: name }),
    fc.record({ type: fc.constant("SRV"), data: fc.record({ priority: u16, weight: u16, port: u16, target: name }) }),
    fc.record({ type: fc.constant("MX"), data: fc.record({ preference: u16, exchange: name }) }),
    fc.record({
      type: fc.constant("TXT"),
      data: fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ type: fc.constant("TYPE999"), data: fc.uint8Array({ maxLength: 40 }).map((b) => Uint8Array.from(b)) }),
  );
  const rr = fc.tuple(name, u32, data).map(([n, ttl, d]) => ({ name: n, ttl, ...d }) as DnsRecord);
  const section = fc.array(rr, { maxLength: 8 });
  const any = fc.record({ id: u16, questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }) });
  fc.assert(
    fc.property(any, section, section, section, (head, answers, authorities, additionals) => {
      const m = dnsMessage({ ...head, answers, authorities, additionals });
      // Names are written where they stand already whatever their case: it is no part of them.
      const lower = (x: DnsMessage | string): unknown => JSON.parse(JSON.stringify(x).toLowerCase());
      assertEquals(lower(decodeMessage(encodeMessage(m))), lower(m));
    }),
    { seed: 63, numRuns: 1000 },
  );
});
