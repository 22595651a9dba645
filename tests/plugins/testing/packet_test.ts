/** The packet builder, reader and matcher: against bytes that somebody else made, and against each other. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  buildPacket,
  differences,
  matches,
  type PacketSpec,
  packetText,
  readPacket,
  replyTo,
} from "../../../plugins/lab/testing/mod.ts";
import { testNeeding } from "../../support/needs.ts";
import { writePcap } from "../../../plugins/device/pcap/mod.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(text.match(/\w\w/g)!, (b) => parseInt(b, 16));
const text = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");

/** The IPv4 header that Wikipedia's article on the header checksum computes by hand. */
const KNOWN = "45000073000040004011b861c0a80001c0a800c7";
/** A SYN as Linux sends it. */
const SYN = {
  ip: { src: "10.0.0.1", dst: "10.0.0.2", id: 0x1c46, df: true },
  tcp: {
    sport: 40000,
    dport: 80,
    seq: 0x11223344,
    flags: "S",
    window: 64240,
    options: { mss: 1460, sackPermitted: true, timestamp: [1, 0], wscale: 7 },
  },
} satisfies PacketSpec;

Deno.test("golden bytes: what is unset is filled in", () => {
  const packet = buildPacket({
    eth: null,
    ip: { src: "192.168.0.1", dst: "192.168.0.199", totLen: 115, df: true },
    udp: {},
  });
  assertEquals(text(packet).slice(0, 40), KNOWN);
  assertEquals(text(packet).slice(40, 56), "c00000090008" + text(packet).slice(52, 56));
  const frame = buildPacket({ arp: {} });
  assertEquals(
    text(frame),
    "ffffffffffff" + "020000000001" + "0806" + "0001080006040001" + "020000000001" + "0a000001" + "000000000000" +
      "0a000002",
  );
});

testNeeding(["program:tshark"], "Wireshark reads what is built as it was meant, checksums included", async () => {
  const specs: PacketSpec[] = [
    SYN,
    { vlan: { vid: 5, pcp: 3 }, udp: { dport: 7 }, payload: "hello" },
    { icmp: { type: 8, id: 7, seq: 9 }, payload: "ping" },
    { icmp: { type: 3, code: 4, seq: 1400, quoted: { udp: { sport: 1, dport: 2 } } } },
    { arp: { op: 2, sha: "02:00:00:00:00:09" } },
    { udp: { dport: 7, check: "bad" }, payload: "odd" },
  ];
  const frames = specs.map((s, i) => {
    const bytes = buildPacket(s);
    return { seconds: i, nanoseconds: 0, length: bytes.length, bytes };
  });
  const file = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    await Deno.writeFile(file, writePcap(frames));
    const fields = ["frame.protocols", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status"];
    const more = ["icmp.checksum.status", "tcp.options.mss_val", "tcp.options.wscale.shift", "vlan.id", "icmp.mtu"];
    const { stdout } = await new Deno.Command("tshark", {
      args: [
        ...["-r", file, "-T", "fields", "-E", "separator=,", "-E", "occurrence=f"],
        ...["ip", "tcp", "udp"].flatMap((p) => ["-o", `${p}.check_checksum:TRUE`]),
        ...[...fields, ...more].flatMap((f) => ["-e", f]),
      ],
      stderr: "null",
    }).output();
    assertEquals(new TextDecoder().decode(stdout).trim().split("\n").map((l) => l.replace(/:data,/, ",")), [
      "eth:ethertype:ip:tcp,1,1,,,1460,7,,",
      "eth:ethertype:vlan:ethertype:ip:udp:echo,1,,1,,,,5,",
      "eth:ethertype:ip:icmp,1,,,1,,,,",
      "eth:ethertype:ip:icmp:ip:udp,1,,1,1,,,,1400",
      "eth:ethertype:arp,,,,,,,,",
      "eth:ethertype:ip:udp:echo,1,,0,,,,,",
    ]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("what is built is read back: every layer and field", () => {
  const syn = readPacket(buildPacket(SYN));
  assertEquals(differences(syn, SYN), []);
  assertEquals(syn.problems, []);
  assertEquals([syn.ip!.check, syn.tcp!.check, syn.ip!.ttl, syn.ip!.totLen], ["good", "good", 64, 60]);
  assertEquals(packetText(syn), "TCP 10.0.0.1:40000 > 10.0.0.2:80 S seq 287454020 win 64240");
  const error = readPacket(buildPacket({ icmp: { type: 11, quoted: SYN } }));
  assertEquals(differences(error, { icmp: { type: 11, code: 0, quoted: { tcp: { sport: 40000, flags: "S" } } } }), []);
  const tagged = readPacket(buildPacket({ vlan: { vid: 5 }, udp: { dport: 7 }, payload: "x" }));
  assertEquals([tagged.vlan!.vid, tagged.udp!.length, packetText(tagged)], [
    5,
    9,
    'vlan 5 UDP 10.0.0.1:49152 > 10.0.0.2:7, "x"',
  ]);
});

Deno.test("property: any TCP and UDP packet survives; a flipped bit of the payload is a bad checksum", () => {
  const port = fc.integer({ min: 0, max: 65535 });
  const word = fc.integer({ min: 0, max: 0xffffffff });
  const any = fc.record({
    tcp: fc.boolean(),
    sport: port,
    dport: port,
    seq: word,
    ack: word,
    flags: fc.integer({ min: 0, max: 255 }),
    payload: fc.uint8Array({ maxLength: 64 }),
    sack: fc.array(fc.tuple(word, word), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(any, (p) => {
      const flags = [..."FSRPAUEC"].filter((_, i) => (p.flags & 1 << i) !== 0).join("");
      const options = p.sack.length === 0 ? {} : { sack: p.sack };
      const spec: PacketSpec = p.tcp
        ? { tcp: { sport: p.sport, dport: p.dport, seq: p.seq, ack: p.ack, flags, options }, payload: p.payload }
        : { udp: { sport: p.sport, dport: p.dport }, payload: p.payload };
      const frame = buildPacket(spec);
      const read = readPacket(frame);
      assertEquals([differences(read, spec), read.problems], [[], []]);
      assertEquals((read.tcp ?? read.udp)!.check, "good");
      if (p.payload.length > 0) {
        frame[frame.length - 1] ^= 1;
        const broken = readPacket(frame);
        assertEquals((broken.tcp ?? broken.udp)!.check, "bad");
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("reading never throws, and says what is malformed", () => {
  const whole = buildPacket({ ...SYN, payload: "hello" });
  for (let n = 0; n < whole.length; n++) {
    const read = readPacket(whole.subarray(0, n));
    assertEquals(read.problems.length > 0, true, `${n} bytes`);
  }
  assertEquals(readPacket(hex("45000014"), { link: "ip" }).problems, ["4 bytes are no IPv4 header"]);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void packetText(readPacket(bytes))));
});

Deno.test("the matcher: unset is anything, predicates, null, options by name, checksums by word or number", () => {
  const packet = readPacket(buildPacket({ ...SYN, tcp: { ...SYN.tcp, check: 0x1234 } }));
  assertEquals(matches(packet, {}), true);
  assertEquals(matches(packet, { tcp: { check: "bad" }, ip: { check: "good" } }), true);
  assertEquals(matches(packet, { tcp: { check: 0x1234 } }), true);
  assertEquals(matches(packet, { udp: null, tcp: { options: { mss: 1460 } } }), true);
  assertEquals(matches(packet, { tcp: { flags: "s", seq: (n) => n > 5 }, payload: "" }), true);
  assertEquals(differences(packet, { tcp: { flags: "SA", options: { wscale: 8, sack: [] } }, payload: "x" }), [
    "tcp.flags is S, not SA",
    "tcp.options.wscale is 7, not 8",
    "tcp.options.sack is not there, not []",
    "payload has 0 bytes, not 1",
  ]);
  assertEquals(differences(packet, { arp: {}, tcp: null }).length, 2);
  // A typing mistake is no match for everything.
  assertThrows(() => matches(packet, { tcp: { prot: 1 } as never }), TypeError, "tcp has sport, dport");
});

Deno.test("replyTo(): the other way round, numbers that go on", () => {
  const syn = readPacket(buildPacket(SYN));
  const answer = readPacket(buildPacket(replyTo(syn, { tcp: { seq: 9 } })));
  assertEquals(
    differences(answer, {
      eth: { src: "02:00:00:00:00:02", dst: "02:00:00:00:00:01" },
      ip: { src: "10.0.0.2", dst: "10.0.0.1" },
      tcp: { sport: 80, dport: 40000, seq: 9, ack: 0x11223345, flags: "SA" },
    }),
    [],
  );
  const echo = readPacket(buildPacket({ icmp: { id: 3, seq: 4 }, payload: "abc" }));
  assertEquals(
    matches(readPacket(buildPacket(replyTo(echo))), { icmp: { type: 0, id: 3, seq: 4 }, payload: "abc" }),
    true,
  );
});

Deno.test("what cannot be built is an error in words", () => {
  assertThrows(() => buildPacket({ ip: { dst: "nowhere" } }), TypeError, "expected an address such as 10.0.0.1");
  assertThrows(() => buildPacket({ tcp: { flags: "X" } }), TypeError, "expected letters of FSRPAUEC");
  assertThrows(() => buildPacket({ ip: { options: new Uint8Array(3) } }), RangeError, "a multiple of 4");
});
