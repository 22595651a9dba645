import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { copyFromUser, DROP, Machine } from "../../../core/mod.ts";
import { UDP_HLEN, UdpHeader } from "../../../plugins/transport/udp/mod.ts";
import { udp } from "../../support/frames/build.ts";

/** A DNS query's header: 5000 to 53, 12 bytes of header and payload, checksum 0xbeef. */
const GOLDEN = Uint8Array.of(0x13, 0x88, 0x00, 0x35, 0x00, 0x0c, 0xbe, 0xef, 1, 2, 3, 4);

function check(bytes: Uint8Array): number {
  const machine = new Machine({ debug: true });
  const skb = machine.skbs.alloc(64 + bytes.length)!;
  skb.reserve(64);
  copyFromUser(machine.ledger, machine.siteNetifRx, skb.slab, skb.put(bytes.length), bytes, 0, bytes.length);
  const reason = UdpHeader.check(skb);
  skb.consume();
  assertEquals(machine.skbs.faults(), []);
  return reason;
}

Deno.test("the header reads golden bytes", () => {
  const h = new UdpHeader(new DataView(GOLDEN.buffer), 0);
  assertEquals([h.source, h.dest, h.len, h.checksum], [5000, 53, 12, 0xefbe]);
});

Deno.test("the header writes golden bytes", () => {
  const bytes = Uint8Array.from(GOLDEN).fill(0, 0, 8);
  const h = new UdpHeader(new DataView(bytes.buffer), 0);
  h.source = 5000;
  h.dest = 53;
  h.len = 12;
  h.checksum = 0xefbe;
  assertEquals(bytes, GOLDEN);
});

Deno.test("the header writes what it reads, whatever it is", () => {
  const port = fc.integer({ min: 0, max: 65535 });
  fc.assert(fc.property(port, port, port, port, (source, dest, len, checksum) => {
    const h = new UdpHeader(new DataView(new ArrayBuffer(UDP_HLEN)), 0);
    Object.assign(h, { source, dest, len, checksum });
    assertEquals([h.source, h.dest, h.len, h.checksum], [source, dest, len, checksum]);
  }));
});

Deno.test("[A12] check() refuses every truncation and every length that lies upward or below 8", () => {
  assertEquals(check(GOLDEN), 0);
  for (let n = 0; n < GOLDEN.length; n++) assertEquals(check(GOLDEN.slice(0, n)), DROP.PKT_TOO_SMALL, `${n} bytes`);
  for (let length = 0; length < 20; length++) {
    const reason = check(udp({ sport: 1, dport: 2, length }, "1234"));
    assertEquals(reason, length >= 8 && length <= 12 ? 0 : DROP.PKT_TOO_SMALL, `length ${length}`);
  }
});
