/** DHCP on the wire: golden bytes, truncation at every length, long and overloaded options, datagrams by hand. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BOOTREPLY, decodeDhcp, type DhcpMessage, dhcpMessage, encodeDhcp } from "../../../plugins/socket/dhcp/mod.ts";
import { domainsOption, optDomains, optRoutes, routesOption } from "../../../plugins/socket/dhcp/options.ts";
import { buildDatagram, parseDatagram } from "../../../plugins/socket/dhcp/packet.ts";
import { concat, hex, pattern, unhex } from "../../support/frames/bytes.ts";
import { decodePacket } from "../../support/frames/decode.ts";
import { ip } from "./kit.ts";

/** An OFFER as ISC's server lays it out. */
const HEAD = "02010600 12345678 0003 8000 00000000 0a000064 0a000001 00000000 020000000011" +
  "00".repeat(10 + 64 + 128);
const OPTIONS = "63825363 350102 36040a000001 33040000003c 0104ffffff00 0c03626f78 ff";
const GOLDEN = unhex((HEAD + OPTIONS).replaceAll(" ", ""));
const MESSAGE: DhcpMessage = dhcpMessage({
  op: BOOTREPLY,
  xid: 0x12345678,
  secs: 3,
  broadcast: true,
  yiaddr: ip("10.0.0.100"),
  siaddr: ip("10.0.0.1"),
  haHi: 0x0200,
  haLo: 0x11,
  options: new Map([
    [53, Uint8Array.of(2)],
    [54, Uint8Array.of(10, 0, 0, 1)],
    [51, Uint8Array.of(0, 0, 0, 60)],
    [1, Uint8Array.of(255, 255, 255, 0)],
    [12, Uint8Array.of(98, 111, 120)],
  ]),
});

Deno.test("golden bytes: read and written, padded to a whole BOOTP message", () => {
  assertEquals(decodeDhcp(GOLDEN), MESSAGE);
  const bytes = encodeDhcp(MESSAGE);
  assertEquals([bytes.length, hex(bytes.slice(0, GOLDEN.length))], [300, hex(GOLDEN)]);
  assert(bytes.slice(GOLDEN.length).every((b) => b === 0));
});

Deno.test("cut at every length it is TRUNCATED or its last option is, and nothing is read past", () => {
  const ends = [240, 243, 249, 255, 261, 266, 267];
  for (let n = 0; n < GOLDEN.length; n++) {
    const m = decodeDhcp(GOLDEN, n);
    assertEquals(m, decodeDhcp(GOLDEN.slice(0, n)));
    if (n < 240) assertEquals(m, "TRUNCATED");
    else if (!ends.includes(n)) assertEquals(m, "OPTION", `at ${n}`);
    else assertEquals(typeof m, "object", `at ${n}`);
  }
});

Deno.test("what is no DHCP over Ethernet says so", () => {
  const changed = (at: number, value: number): unknown => {
    const bytes = GOLDEN.slice();
    bytes[at] = value;
    return decodeDhcp(bytes);
  };
  assertEquals([changed(0, 0), changed(0, 3), changed(1, 6), changed(2, 16), changed(236, 0)], [
    "OP",
    "OP",
    "HTYPE",
    "HTYPE",
    "COOKIE",
  ]);
});

Deno.test("an option of more than 255 bytes is written in pieces; what does not fit goes into file and sname, or nowhere", () => {
  const long = pattern(600);
  const one = dhcpMessage({ options: new Map([[53, Uint8Array.of(1)], [43, long]]) });
  assertEquals(decodeDhcp(encodeDhcp(one, 1472)), one);
  const sizes = [200, 100, 110, 50, 11, 300];
  const options = new Map(sizes.map((n, i) => [i + 200, pattern(n, i)]));
  for (let limit = 300; limit < 1200; limit += 7) {
    const bytes = encodeDhcp(dhcpMessage({ options }), limit);
    assert(bytes.length <= limit);
    const m = decodeDhcp(bytes);
    assert(typeof m !== "string", String(m));
    for (const [code, value] of m.options) assertEquals(value, options.get(code));
    if (limit >= 240 + sizes.reduce((a, b) => a + b, 0) + 16) assertEquals(m.options.size, 6);
  }
  const packed = decodeDhcp(encodeDhcp(dhcpMessage({ options }), 548));
  assert(typeof packed !== "string");
  assertEquals([...packed.options.keys()].sort(), [200, 201, 202, 203, 204]);
});

Deno.test("any options come back as they were (1,000 messages)", () => {
  const value = fc.uint8Array({ maxLength: 300 }).map((b) => Uint8Array.from(b));
  const code = fc.integer({ min: 1, max: 254 }).filter((c) => c !== 52);
  const addr = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const head = fc.record({
    op: fc.constantFrom(1, 2),
    xid: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    secs: fc.integer({ min: 0, max: 65535 }),
    broadcast: fc.boolean(),
    ciaddr: addr,
    yiaddr: addr,
    siaddr: addr,
    giaddr: addr,
    haLo: addr,
  });
  fc.assert(
    fc.property(head, fc.array(fc.tuple(code, value), { maxLength: 10 }), (fields, options) => {
      const m = dhcpMessage({ ...fields, options: new Map(options) });
      assertEquals(decodeDhcp(encodeDhcp(m, 4096)), m);
    }),
    { seed: 63, numRuns: 1000 },
  );
});

Deno.test("search lists and routes of every prefix length", () => {
  const domains = ["lab", "deep.lab", "other.example"];
  assertEquals(optDomains(dhcpMessage({ options: new Map([[119, domainsOption(domains)]]) })), domains);
  const routes = Array.from({ length: 33 }, (_, n) => ({
    to: `${
      [
        "0.0.0.0",
        "10.0.0.0",
        "10.1.0.0",
        "10.1.2.0",
        "10.1.2.3",
      ][n === 0 ? 0 : n < 16 ? 1 : n < 24 ? 2 : n < 32 ? 3 : 4]
    }/${n}`,
    via: "10.0.0.1",
  })).filter(({ to }) => !/\/([1-6])$/.test(to));
  assertEquals(optRoutes(dhcpMessage({ options: new Map([[121, routesOption(routes)]]) })), routes);
});

Deno.test("datagrams by hand: an independent reader agrees, and what is not right is not read", () => {
  const payload = pattern(301);
  const packet = buildDatagram(ip("10.0.0.1"), ip("10.0.0.9"), 67, 68, payload);
  const { ipv4, udp } = decodePacket(packet);
  assertEquals([ipv4?.src, ipv4?.dst, ipv4?.proto, ipv4?.ttl], ["10.0.0.1", "10.0.0.9", 17, 64]);
  assertEquals([udp?.sport, udp?.dport], [67, 68]);
  assertEquals(parseDatagram(packet, packet.length, 68), payload);
  assertEquals(parseDatagram(concat(packet, pattern(20)), packet.length + 20, 68), payload);
  for (let n = 0; n < packet.length; n++) assertEquals(parseDatagram(packet, n, 68), null);
  for (let at = 0; at < packet.length; at++) {
    const bad = packet.slice();
    bad[at] ^= 0x41;
    const got = parseDatagram(bad, bad.length, 68);
    assertEquals(got, null, `byte ${at}`);
  }
  assertEquals(parseDatagram(packet, packet.length, 67), null);
  const unsummed = packet.slice();
  unsummed[26] = unsummed[27] = 0;
  assertEquals(parseDatagram(unsummed, unsummed.length, 68), payload);
  // A neighbour that leaves the sum to its device: only the pseudo header's is there.
  let sum = 17 + packet.length - 20;
  for (let at = 12; at < 20; at += 2) sum += packet[at] << 8 | packet[at + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  unsummed[26] = sum >> 8;
  unsummed[27] = sum & 255;
  assertEquals(parseDatagram(unsummed, unsummed.length, 68), payload);
  unsummed[27] ^= 1;
  assertEquals(parseDatagram(unsummed, unsummed.length, 68), null);
});
