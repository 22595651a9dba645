/** Row 63 of the attacks: NAME:WRECK and its kin against the parsers of DNS and DHCP. RFC 9267. */
import { assert, assertEquals } from "@std/assert";
import { decodeDhcp, dhcpMessage, encodeDhcp } from "../../../plugins/socket/dhcp/mod.ts";
import { optDomains, optIp, optIps, optName, optRoutes, optText } from "../../../plugins/socket/dhcp/options.ts";
import { decodeMessage, type DnsFault, DnsReader } from "../../../plugins/socket/dns/mod.ts";
import { unhex } from "../../support/frames/bytes.ts";

/** A response with one answer: its name and data as given, type and lengths that fit unless given. */
function response(name: string, type: number, rdata: string, rdlength?: number): Uint8Array {
  const data = unhex(rdata.replaceAll(" ", ""));
  const head = unhex("000180000001000100000000036c616200000100" + "01"); // question lab A IN
  const rr = unhex(name.replaceAll(" ", ""));
  const length = rdlength ?? data.length;
  return Uint8Array.of(...head, ...rr, 0, type, 0, 1, 0, 0, 0, 9, length >> 8, length & 255, ...data);
}
/** Where the answer's name stands. */
const AT = 21;
const pointer = (to: number): string => (0xc000 | to).toString(16);

/** Names that must not be read, by what they try. */
const NAMES: Record<string, [name: string, fault: DnsFault]> = {
  "a pointer to itself": [pointer(AT), "POINTER"],
  "a label and a pointer back to it": [`0161 ${pointer(AT)}`, "POINTER"],
  "two pointers that point at each other": [`${pointer(AT + 2)} ${pointer(AT)}`, "POINTER"],
  "a pointer forward": [`${pointer(AT + 4)} 0000 0000`, "POINTER"],
  "a pointer past the message": [pointer(0x3fff), "POINTER"],
  "a pointer into the header, whose bytes would be labels": [pointer(4), "POINTER"],
  "a pointer to the first byte": ["c000", "POINTER"],
  "a label of 64": ["40" + "61".repeat(64) + "00", "LABEL_TYPE"],
  "a label of 128": ["80", "LABEL_TYPE"],
  "a name of 256 bytes": [`${("3f" + "61".repeat(63)).repeat(4)}00`, "NAME_TOO_LONG"],
};

Deno.test("[A63] NAME:WRECK: names with loops, wild pointers and lying lengths end in a fault, in bounded work", async (t) => {
  for (const [what, [name, fault]] of Object.entries(NAMES)) {
    await t.step(`as an owner: ${what}`, () => assertEquals(decodeMessage(response(name, 1, "0a000001")), fault));
  }
  await t.step("as data of CNAME, MX, SRV and SOA: the same names", () => {
    const at = AT + 2 + 10;
    for (const [type, before] of [[5, ""], [15, "0001"], [33, "000100020003"], [6, ""]] as const) {
      const own = pointer(at + before.length / 2);
      assertEquals(decodeMessage(response(pointer(12), type, `${before}${own}`)), "POINTER");
      assertEquals(decodeMessage(response(pointer(12), type, `${before}0161${own}`)), "POINTER");
    }
  });
  await t.step("data that its record's length cuts or does not fill", () => {
    const inside: [number, string, number?][] = [
      [1, "0a0000"], // an address of three bytes
      [1, "0a00000102"], // of five
      [28, "00".repeat(15)],
      [5, "0361"], // a name that runs over
      [5, "00ff"], // a name, and something behind
      [15, "0001"], // no exchange
      [33, "0001000200"],
      [6, "0000 00000001"],
      [16, "05616263"], // a text longer than its record
      [16, ""], // no text
      [2, ""],
    ];
    for (const [type, data] of inside) assertEquals(decodeMessage(response(pointer(12), type, data)), "RDATA", data);
    assertEquals(decodeMessage(response(pointer(12), 1, "0a000001", 0xffff)), "TRUNCATED");
    // A name's bytes may not be those of the next record.
    assertEquals(decodeMessage(response(pointer(12), 5, "0161 00", 2)), "RDATA");
  });
  await t.step("counts that the bytes do not hold", () => {
    for (let at = 4; at < 12; at += 2) {
      const bytes = response(pointer(12), 1, "0a000001");
      bytes[at] = bytes[at + 1] = 0xff;
      assertEquals(decodeMessage(bytes), "TRUNCATED");
    }
  });
  await t.step("EDNS where it may not stand", () => {
    const opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    const head = (counts: number[]): number[] => [0, 1, 128, 0, ...counts.flatMap((n) => [0, n])];
    assertEquals(decodeMessage(Uint8Array.of(...head([0, 0, 0, 2]), ...opt, ...opt)), "OPT");
    assertEquals(decodeMessage(Uint8Array.of(...head([0, 1, 0, 0]), ...opt)), "OPT");
    assertEquals(decodeMessage(Uint8Array.of(...head([0, 0, 0, 1]), 1, 97, ...opt)), "OPT");
  });
  await t.step("bytes that would end a string, or be a dot, are escaped", () => {
    const m = decodeMessage(response("03 610062 03 2e2e5c 00", 1, "0a000001"));
    assert(typeof m !== "string");
    assertEquals(m.answers[0].name, "a\\000b.\\.\\.\\\\");
  });
  await t.step("64 KiB of pointers to pointers, and a name at each: bounded", () => {
    const bytes = new Uint8Array(0xffff);
    bytes.set([0, 1, 128, 0, 0, 0, 19, 136], 0); // 5,000 answers
    for (let at = 12; at < 0x3ffe; at += 2) bytes.set([0xc0 | (at - 2) >> 8, (at - 2) & 255], at);
    const start = performance.now();
    for (let i = 0; i < 20; i++) assertEquals(typeof decodeMessage(bytes), "string");
    const r = new DnsReader(bytes, 0x3ffc, bytes.length);
    assertEquals([r.name(), r.fault], [".", "POINTER"]);
    const ms = performance.now() - start;
    assert(ms < 1000, `${ms} ms`);
  });
  await t.step("DHCP's search list is read by the same reader", () => {
    const domains = (bytes: string): string[] => optDomains(dhcpMessage({ options: new Map([[119, unhex(bytes)]]) }));
    assertEquals(domains("036c61620004646565 70c000".replaceAll(" ", "")), ["lab", "deep.lab"]);
    for (const bad of ["c000", "0161c000", "036c6162", "c0", "40", "ff", "0161c00301 62c000".replaceAll(" ", "")]) {
      assertEquals(domains(bad), [], bad);
    }
    assertEquals(domains("0161c0ff"), []);
    assertEquals(domains("01000001200001 2f00".replaceAll(" ", "")), []); // not letters, digits and hyphens
    assertEquals(domains("016100".repeat(80)).length, 32);
  });
  await t.step("DHCP's options: those that run over, overload that leads round, lengths that are not theirs", () => {
    const bytes = encodeDhcp(dhcpMessage({ haHi: 2, haLo: 1, options: new Map([[53, Uint8Array.of(1)]]) }));
    const written = (at: number, ...data: number[]): Uint8Array => {
      const copy = bytes.slice();
      copy.set(data, at);
      return copy;
    };
    assertEquals(decodeDhcp(written(243, 12, 255)), "OPTION");
    assertEquals(decodeDhcp(written(298, 0, 12)), decodeDhcp(written(243, 255))); // behind the end
    assertEquals(decodeDhcp(written(243, ...Array(57).fill(0))) instanceof Object, true); // no end at all
    assertEquals(decodeDhcp(written(243, ...Array(56).fill(0), 12)), "OPTION"); // no length
    assertEquals([decodeDhcp(written(243, 52, 1, 4, 255)), decodeDhcp(written(243, 52, 1, 0, 255))], [
      "OVERLOAD",
      "OVERLOAD",
    ]);
    assertEquals(decodeDhcp(written(243, 52, 2, 1, 1, 255)), "OVERLOAD");
    // `file` says that there are options in `file`: once is enough. Those of `sname` end where it ends.
    const round = written(243, 52, 1, 3, 255);
    round.set([52, 1, 3, 255], 108);
    round.set([12, 1, 120, 255], 44);
    const m = decodeDhcp(round);
    assert(typeof m !== "string");
    assertEquals([optText(m, 12), m.options.has(52)], ["x", false]);
    round.set([12, 62], 44 + 2);
    round.set([0, 0], 44);
    assertEquals(decodeDhcp(round), "OPTION");
    const lengths = dhcpMessage({
      options: new Map([[3, Uint8Array.of(1, 2, 3)], [54, Uint8Array.of(1, 2, 3, 4, 5)], [12, unhex("61002f")], [
        15,
        unhex("2e2e2f657463"),
      ]]),
    });
    assertEquals([optIps(lengths, 3), optIp(lengths, 54), optText(lengths, 12), optName(lengths, 15)], [
      [],
      null,
      "a",
      null,
    ]);
    const routes = (hex: string) => optRoutes(dhcpMessage({ options: new Map([[121, unhex(hex)]]) }));
    assertEquals(routes("180a00010a000001"), [{ to: "10.0.1.0/24", via: "10.0.0.1" }]);
    for (const bad of ["21", "200a0000", "180a0001", "", "00".repeat(5 * 65)]) assertEquals(routes(bad), null, bad);
  });
});
