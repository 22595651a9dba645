import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DROP, Machine, type SkBuff } from "../../../core/mod.ts";
import { ARP_LEN, ArpHeader, ARPOP_REPLY, ARPOP_REQUEST } from "../../../plugins/network/arp/mod.ts";
import { arp as arpBytes } from "../../support/frames/build.ts";

const GOLDEN = arpBytes({
  op: 2,
  sha: "02:00:00:00:00:02",
  spa: "10.0.0.2",
  tha: "02:00:00:00:00:01",
  tpa: "192.168.255.1",
});

/** An skb that holds `bytes`, given to `fn` and freed. */
function withSkb<T>(bytes: Uint8Array, fn: (skb: SkBuff) => T): T {
  using machine = new Machine({ debug: true, strict: true });
  const skb = machine.skbs.alloc(128)!;
  skb.bytes.set(bytes, skb.put(bytes.length));
  const result = fn(skb);
  skb.consume();
  assertEquals(machine.skbs.faults(), []);
  return result;
}

Deno.test("arp header: golden bytes are read", () => {
  withSkb(GOLDEN, (skb) => {
    assertEquals(ArpHeader.check(skb), 0);
    const h = new ArpHeader(skb.view, skb.data);
    assertEquals([h.htype, h.ptype, h.hlen, h.plen, h.op], [1, 0x0800, 6, 4, ARPOP_REPLY]);
    assertEquals([h.shaHi, h.shaLo, h.spa], [0x0200, 2, 0x0a000002]);
    assertEquals([h.thaHi, h.thaLo, h.tpa], [0x0200, 1, 0xc0a8ff01 | 0]);
  });
});

Deno.test("arp header: what is built is the golden bytes, and nothing around them", () => {
  const bytes = new Uint8Array(ARP_LEN + 4).fill(0xee);
  const h = new ArpHeader(new DataView(bytes.buffer), 2);
  h.setOp(ARPOP_REPLY);
  h.setSender(0x0200, 2, 0x0a000002);
  h.setTarget(0x0200, 1, 0xc0a8ff01 | 0);
  assertEquals(bytes.toHex(), "eeee" + GOLDEN.toHex() + "eeee");
});

Deno.test("arp header: fields read back as they were written", () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
  fc.assert(fc.property(u16, u16, i32, i32, u16, i32, i32, (op, sh, sl, si, th, tl, ti) => {
    const h = new ArpHeader(new DataView(new ArrayBuffer(ARP_LEN)), 0);
    h.setOp(op);
    h.setSender(sh, sl, si);
    h.setTarget(th, tl, ti);
    assertEquals([h.op, h.shaHi, h.shaLo, h.spa, h.thaHi, h.thaLo, h.tpa], [op, sh, sl, si, th, tl, ti]);
  }));
});

Deno.test("arp header: every truncation is refused [A21]", () => {
  for (let len = 0; len < ARP_LEN; len++) {
    assertEquals(withSkb(GOLDEN.slice(0, len), ArpHeader.check), DROP.PKT_TOO_SMALL, `${len} bytes`);
  }
  assertEquals(withSkb(Uint8Array.of(...GOLDEN, ...new Uint8Array(18)), ArpHeader.check), 0);
});

Deno.test("arp header: types, lengths and operations other than IPv4 over Ethernet are refused [A21]", () => {
  const check = (fields: Parameters<typeof arpBytes>[0]): number => withSkb(arpBytes(fields), ArpHeader.check);
  for (const htype of [0, 2, 7, 15, 24, 256, 772, 65535]) assertEquals(check({ htype }), DROP.ARP_HDR, `${htype}`);
  for (const htype of [1, 6]) assertEquals(check({ htype }), 0, `${htype}`);
  for (const ptype of [0, 0x0801, 0x0806, 0x86dd]) assertEquals(check({ ptype }), DROP.ARP_HDR);
  for (const hlen of [0, 1, 4, 5, 7, 8, 20, 255]) assertEquals(check({ hlen }), DROP.ARP_HDR);
  for (const plen of [0, 1, 3, 5, 6, 16, 255]) assertEquals(check({ plen }), DROP.ARP_HDR);
  for (const op of [0, 3, 4, 8, 9, 256, 65535]) assertEquals(check({ op }), DROP.ARP_HDR);
  assertEquals(check({ op: ARPOP_REQUEST }), 0);
});
