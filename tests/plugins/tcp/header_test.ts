import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { copyFromUser, DROP, Machine } from "../../../core/mod.ts";
import { TCP_HLEN, TCP_MAX_HLEN, TcpHeader } from "../../../plugins/transport/tcp/header.ts";
import { tcp } from "../../support/frames/build.ts";

/** A SYN as Linux sends it: 40000 to 80, seq 0x80000001, window 64240, 20 bytes of options. */
// deno-fmt-ignore
const GOLDEN = Uint8Array.of(
  0x9c, 0x40, 0x00, 0x50, 0x80, 0x00, 0x00, 0x01, 0x7f, 0xff, 0xff, 0xff, 0xa0, 0x02, 0xfa, 0xf0,
  0xbe, 0xef, 0x00, 0x07, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x01,
  0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x0a,
);

/** Makes packets for all tests. */
const machine = new Machine({ slabBytes: 1 << 20 });

function check(bytes: Uint8Array, split = bytes.length): number {
  const skb = machine.skbs.alloc(64 + bytes.length)!;
  const site = machine.siteNetifRx;
  skb.reserve(64);
  copyFromUser(machine.ledger, site, skb.slab, skb.put(split), bytes, 0, split);
  if (split < bytes.length) {
    const n = machine.skbs.addPage(skb, bytes.length - split);
    const frag = skb.frags[0];
    copyFromUser(machine.ledger, site, frag.slab, frag.offset, bytes, split, n);
  }
  const reason = TcpHeader.check(skb);
  if (reason === 0) {
    const h = new TcpHeader(skb.view, skb.data);
    assertEquals(skb.headlen >= 4 * h.doff, true, "the whole header is linear");
    assertEquals(h.source, (bytes[0] << 8) | bytes[1]);
  }
  skb.consume();
  assertEquals([machine.skbs.live, machine.pages.slotsInUse()], [0, 0]);
  return reason;
}

Deno.test("the header reads golden bytes", () => {
  const h = new TcpHeader(new DataView(GOLDEN.buffer), 0);
  assertEquals([h.source, h.dest], [40000, 80]);
  assertEquals([h.seq, h.ackSeq], [0x80000001 | 0, 0x7fffffff]);
  assertEquals([h.doff, h.flags, h.window, h.checksum, h.urgPtr], [10, 0x02, 64240, 0xefbe, 7]);
  assertEquals([h.syn, h.ack, h.fin, h.rst], [true, false, false, false]);
});

Deno.test("the header writes golden bytes", () => {
  const bytes = Uint8Array.from(GOLDEN).fill(0, 0, TCP_HLEN);
  const h = new TcpHeader(new DataView(bytes.buffer), 0);
  h.source = 40000;
  h.dest = 80;
  h.seq = 0x80000001;
  h.ackSeq = 0x7fffffff;
  h.doff = 10;
  h.flags = 0x02;
  h.window = 64240;
  h.checksum = 0xefbe;
  h.urgPtr = 7;
  assertEquals(bytes, GOLDEN);
});

Deno.test("each flag reads where RFC 9293 has it", () => {
  const bytes = new Uint8Array(20);
  const h = new TcpHeader(new DataView(bytes.buffer), 0);
  for (const [bit, name] of [[0x01, "fin"], [0x02, "syn"], [0x04, "rst"], [0x10, "ack"]] as const) {
    h.flags = bit;
    assertEquals(bytes[13], bit);
    assertEquals([h.fin, h.syn, h.rst, h.ack], ["fin", "syn", "rst", "ack"].map((n) => n === name));
  }
  h.flags = 0x100;
  assertEquals([bytes[12], bytes[13]], [0x01, 0]);
});

Deno.test("the header writes what it reads, whatever it is", () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
  const doff = fc.integer({ min: 0, max: 15 });
  const flags = fc.integer({ min: 0, max: 0x1ff });
  fc.assert(
    fc.property(u16, u16, i32, i32, doff, flags, u16, u16, u16, (source, dest, seq, ackSeq, doff, flags, ...rest) => {
      const [window, checksum, urgPtr] = rest;
      const h = new TcpHeader(new DataView(new ArrayBuffer(TCP_HLEN)), 0);
      const fields = { source, dest, seq, ackSeq, doff, flags, window, checksum, urgPtr };
      Object.assign(h, fields);
      for (const [name, value] of Object.entries(fields)) assertEquals(h[name as keyof TcpHeader], value, name);
    }),
  );
});

Deno.test("[A12] check() refuses every truncation, linear or in frags", () => {
  assertEquals(check(GOLDEN), 0);
  for (let n = 0; n < GOLDEN.length; n++) {
    assertEquals(check(GOLDEN.slice(0, n)), DROP.PKT_TOO_SMALL, `${n} bytes`);
    assertEquals(check(GOLDEN, n), 0, `${n} bytes linear`);
  }
});

Deno.test("[A12] check() refuses every data offset below 5 or beyond the packet", () => {
  for (let doff = 0; doff < 16; doff++) {
    for (let len = TCP_HLEN; len <= TCP_MAX_HLEN; len++) {
      const bytes = new Uint8Array(len);
      bytes[12] = doff << 4;
      assertEquals(check(bytes), doff < 5 || 4 * doff > len ? DROP.PKT_TOO_SMALL : 0, `doff ${doff}, ${len} bytes`);
    }
  }
  assertEquals(check(tcp({ sport: 1, dport: 2, dataOffset: 5 }, "payload")), 0);
});
