import { assert, assertEquals } from "@std/assert";
import {
  arp,
  decode,
  decodePacket,
  eth,
  fixChecksums,
  fragment,
  hex,
  icmpEcho,
  icmpError,
  ipOption,
  ipv4,
  llc,
  pattern,
  tcp,
  udp,
  unhex,
  vlan,
} from "./build.ts";

const LINK = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" };
const HOSTS = { src: "10.0.0.2", dst: "10.0.0.1" };

Deno.test("builders give the bytes that scapy 2.5 gives", () => {
  const golden: [string, Uint8Array, string][] = [
    [
      "udp",
      eth(LINK, ipv4(HOSTS, udp({ sport: 5000, dport: 53 }, "hello"))),
      "02000000000102000000000208004500002100000000401166ca0a0000020a00000113880035000d944268656c6c6f",
    ],
    [
      "ping",
      eth(LINK, ipv4(HOSTS, icmpEcho({ id: 1, seq: 2 }, "abc"))),
      "02000000000102000000000208004500001f00000000400166dc0a0000020a0000010800339a00010002616263",
    ],
    [
      "tcp",
      eth(LINK, ipv4(HOSTS, tcp({ sport: 1, dport: 2, seq: 3, ack: 4, flags: "PA" }, "q"))),
      "02000000000102000000000208004500002900000000400666cd0a0000020a0000010001000200000003000000045018ffff2abf000071",
    ],
    [
      "arp",
      eth(LINK, arp({ sha: "02:00:00:00:00:02", spa: "10.0.0.2", tpa: "10.0.0.1" })),
      "020000000001020000000002080600010800060400010200000000020a0000020000000000000a000001",
    ],
    [
      "vlan",
      eth(LINK, vlan({ id: 5, priority: 3 }, ipv4(HOSTS, udp({ sport: 5000, dport: 53 })))),
      "0200000000010200000000028100600508004500001c00000000401166cf0a0000020a000001138800350008d81e",
    ],
    [
      "record route",
      eth(
        LINK,
        ipv4(
          { ...HOSTS, id: 7, ttl: 3, tos: 4, df: true, options: ipOption.recordRoute(1) },
          udp({ sport: 5000, dport: 53 }),
        ),
      ),
      "02000000000102000000000208004704002400074000031156b50a0000020a0000010707040000000000138800350008d81e",
    ],
  ];
  for (const [name, built, want] of golden) assertEquals(hex(built), want, name);
});

Deno.test("a field that is given goes in as it is", () => {
  const frame = eth(
    LINK,
    ipv4({ ...HOSTS, ihl: 4, totalLength: 9, checksum: 1 }, udp({ length: 3, checksum: 0xdead })),
  );
  assertEquals(hex(frame.subarray(14, 34)), "440000090000000040110001" + "0a000002" + "0a000001");
  assertEquals(hex(frame.subarray(34)), "00000000" + "0003dead");
});

Deno.test("decode() reads what the builders wrote", () => {
  const got = decode(
    eth(LINK, ipv4({ ...HOSTS, id: 9, df: true, ttl: 5, tos: 0x10 }, udp({ sport: 1, dport: 2 }, "hi"))),
  );
  assertEquals(got.eth, { ...LINK, type: 0x800 });
  assertEquals(got.ipv4?.checksumOk && got.ipv4.lengthOk && got.udp?.checksumOk && got.udp.lengthOk, true);
  assertEquals([got.ipv4?.id, got.ipv4?.df, got.ipv4?.ttl, got.ipv4?.tos, got.ipv4?.proto], [9, true, 5, 0x10, 17]);
  assertEquals(got.payload, "6869");
});

Deno.test("decode() reads the packet that an ICMP error quotes", () => {
  const inner = ipv4({ ...HOSTS, ttl: 1 }, udp({ sport: 4, dport: 5 }, pattern(100)));
  const got = decodePacket(
    ipv4({ src: "10.0.0.9", dst: "10.0.0.2" }, icmpError({ type: 3, code: 4, mtu: 576 }, inner.subarray(0, 28))),
  );
  assertEquals([got.icmp?.type, got.icmp?.code, got.icmp?.mtu, got.icmp?.checksumOk], [3, 4, 576, true]);
  assertEquals([got.icmp?.quoted?.ipv4?.ttl, got.icmp?.quoted?.udp?.dport, got.icmp?.quoted?.payload], [1, 5, ""]);
});

Deno.test("decode() takes every truncation and any bytes", () => {
  const frame = eth(
    LINK,
    ipv4({ ...HOSTS, options: ipOption.routerAlert() }, icmpError({ type: 11 }, ipv4(HOSTS, tcp({})))),
  );
  for (let n = 0; n <= frame.length; n++) {
    const got = decode(frame.subarray(0, n));
    assert(n === frame.length || got.truncated !== undefined || got.ipv4?.lengthOk === false);
  }
  for (let i = 12; i < frame.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      const bent = frame.slice();
      bent[i] ^= 1 << bit;
      decode(bent);
    }
  }
});

Deno.test("eth() fills in type and 802.3 length from the payload's builder", () => {
  assertEquals(decode(eth(LINK, arp({}))).eth?.type, 0x806);
  assertEquals(decode(eth(LINK, llc({}, pattern(10)))).eth?.type, 13);
  assertEquals(eth({ ...LINK, pad: 60 }, arp({})).length, 60);
});

Deno.test("fragment() cuts at multiples of eight, and the pieces make the whole", () => {
  const whole = ipv4({ ...HOSTS, id: 77 }, udp({ sport: 1, dport: 2 }, pattern(3000)));
  const pieces = fragment(whole, 1500);
  const decoded = pieces.map(decodePacket);
  assertEquals(decoded.map((piece) => [piece.ipv4?.offset, piece.ipv4?.mf, piece.ipv4?.totalLength]), [
    [0, true, 1500],
    [1480, true, 1500],
    [2960, false, 68],
  ]);
  assertEquals(decoded.every((piece) => piece.ipv4?.checksumOk), true);
  assertEquals(pieces.map((piece) => hex(piece.subarray(20))).join(""), hex(whole.subarray(20)));
});

Deno.test("fixChecksums() repairs a changed frame", () => {
  const frame = eth(LINK, ipv4(HOSTS, udp({ sport: 1, dport: 2 }, "hello")));
  frame[22] = 3;
  frame[45] = 1;
  fixChecksums(frame);
  const got = decode(frame);
  assertEquals([got.ipv4?.ttl, got.ipv4?.checksumOk, got.udp?.checksumOk], [3, true, true]);
});

Deno.test("unhex() reads what hex() writes", () => {
  assertEquals(unhex(hex(pattern(300))), pattern(300));
});
