/** The Internet checksum: JavaScript, WebAssembly and a naive sum agree, over any layout of a packet. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import fc from "fast-check";
import {
  CHECKSUM_PARTIAL,
  crc32,
  csumBlockAdd,
  csumFold,
  csumJs,
  csumReplace2,
  csumTcpUdpNofold,
  javascriptOps,
  skbChecksum,
  skbChecksumHelp,
  type SkBuff,
  swap16,
} from "../../core/mod.ts";
import { TestMachine } from "./fake.ts";

/** RFC 1071 over big-endian words, as the text has it: the field's value as read big-endian. */
function naive(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}

Deno.test("JavaScript and WebAssembly sum alike at every length and offset", () => {
  using machine = new TestMachine();
  const { slab } = machine.pages;
  for (let i = 0; i < 70000; i++) slab.bytes[i] = i * 131 + (i >>> 7);
  const js = javascriptOps(slab.bytes, slab.view);
  for (const len of [0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 1459, 1460, 1500, 9000, 65535]) {
    for (const at of [0, 1, 2, 3, 5]) {
      for (const initial of [0, 1, 0xffff, 0x3fffc, 0x7fffffff]) {
        const sum = slab.ops.csum(at, len, initial);
        assertEquals(csumJs(slab.view, at, len, initial), sum, `${len} at ${at}`);
        assertEquals(js.csum(at, len, initial), sum);
      }
      assertEquals(swap16(csumFold(slab.ops.csum(at, len, 0))), naive(slab.bytes.slice(at, at + len)));
    }
  }
});

Deno.test("WebAssembly sums and copies the largest and smallest words alike, past its blocks of 256 KiB", () => {
  using machine = new TestMachine({ slabBytes: 4 << 20 });
  const { slab } = machine.pages;
  const js = javascriptOps(slab.bytes, slab.view);
  const dst = 0x100040;
  for (const byte of [0, 0x7f, 0x80, 0xff]) {
    slab.bytes.fill(byte, 0, dst);
    for (const len of [15, 16, 63, 64, 79, 80, 1448, 0x3ffff, 0x40000, 0x40001, 0x80011, 0x100000]) {
      for (const initial of [0, 0xffff, 0x7fffffff]) {
        const sum = js.csum(1, len, initial);
        assertEquals(slab.ops.csum(1, len, initial), sum, `${byte} ${len}`);
        assertEquals(slab.ops.copyCsum(dst, 1, len, initial), sum, `${byte} ${len} copied`);
      }
      assertEquals(slab.bytes[dst], byte);
      assertEquals(slab.bytes[dst + len - 1], byte);
    }
  }
});

Deno.test("the sum in JavaScript does not overflow at any length", () => {
  const bytes = new Uint8Array(4 << 20).fill(0xff);
  assertEquals(csumJs(new DataView(bytes.buffer), 0, bytes.length, 0xffffffff), 0xffff);
});

Deno.test("a packet sums the same however its bytes lie: linear, frags, list, odd offsets", () => {
  using machine = new TestMachine();
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 90 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(pieces, fc.nat(200), fc.nat(600), fc.nat(0x1ffff), fc.boolean(), (parts, from, len, initial, list) => {
      const skb = layOut(machine, parts, list);
      const all = Uint8Array.from(parts.flatMap((p) => [...p]));
      from = Math.min(from, all.length);
      len = Math.min(len, all.length - from);
      const want = csumJs(new DataView(all.buffer), from, len, initial);
      assertEquals(skbChecksum(skb, from, len, initial) % 0xffff, want % 0xffff);
      skb.consume();
    }),
    { numRuns: 300, seed: 5 },
  );
});

/** The first piece linear, the others as frags, or as a list. */
function layOut(machine: TestMachine, parts: Uint8Array[], list: boolean): SkBuff {
  const pool = machine.skbs;
  const skb = pool.alloc(256)!;
  skb.reserve(65);
  skb.bytes.set(parts[0], skb.put(parts[0].length));
  let last: SkBuff | null = null;
  for (const p of parts.slice(1)) {
    if (!list) {
      pool.addPage(skb, p.length);
      const f = skb.frags[skb.nrFrags - 1];
      f.slab.bytes.set(p, f.offset);
      continue;
    }
    const part = pool.alloc(128)!;
    part.reserve(1);
    part.bytes.set(p, part.put(p.length));
    if (last === null) skb.fragList = part;
    else last.next = part;
    last = part;
    skb.len += p.length;
    skb.dataLen += p.length;
  }
  return skb;
}

Deno.test("a partial checksum is completed in software, on a private head; impossible positions are refused", () => {
  using machine = new TestMachine();
  const skb = layOut(machine, [new Uint8Array(30), new Uint8Array(21).fill(3)], false);
  skb.ipSummed = CHECKSUM_PARTIAL;
  skb.csumStart = skb.data + 10;
  skb.csumOffset = 6;
  const pseudo = csumTcpUdpNofold(0x0a000001, 0x0a000002, 41, 17);
  skb.view.setUint16(skb.csumStart + 6, ~csumFold(pseudo) & 0xffff, true);
  const twin = skb.clone()!;
  assert(skbChecksumHelp(skb));
  assertEquals(csumFold(skbChecksum(skb, 10, 41, pseudo)), 0);
  assertEquals(twin.view.getUint16(twin.data + 16, true), ~csumFold(pseudo) & 0xffff);
  for (const [start, offset] of [[-1, 0], [51, 0], [0, 29], [30, 0]]) {
    twin.csumStart = twin.data + start;
    twin.csumOffset = offset;
    assertFalse(skbChecksumHelp(twin), `${start}+${offset}`);
  }
  skb.consume();
  twin.consume();
});

Deno.test("a sum of 0 goes out as 0xffff", () => {
  using machine = new TestMachine();
  const skb = layOut(machine, [Uint8Array.from([0, 0, 0xff, 0xff])], false);
  skb.ipSummed = CHECKSUM_PARTIAL;
  skb.csumStart = skb.data;
  skb.csumOffset = 0;
  assert(skbChecksumHelp(skb));
  assertEquals(skb.view.getUint16(skb.data), 0xffff);
  skb.consume();
});

Deno.test("pseudo header, block at an odd offset, and update of one field", () => {
  const pseudo = Uint8Array.from([10, 1, 2, 3, 192, 168, 255, 4, 0, 17, 0x12, 0x34]);
  assertEquals(swap16(csumFold(csumTcpUdpNofold(0x0a010203, 0xc0a8ff04 | 0, 0x1234, 17))), naive(pseudo));
  // A length of more than 16 bits: its high half is a word of its own.
  const long = Uint8Array.from([10, 1, 2, 3, 192, 168, 255, 4, 0, 17, 0, 1, 0x23, 0x45]);
  assertEquals(swap16(csumFold(csumTcpUdpNofold(0x0a010203, 0xc0a8ff04 | 0, 0x12345, 17))), naive(long));
  const view = new DataView(Uint8Array.from([1, 2, 3, 4, 5, 6, 7]).buffer);
  const sum = csumBlockAdd(csumJs(view, 0, 3, 0), csumJs(view, 3, 4, 0), 3);
  assertEquals(csumFold(sum), csumFold(csumJs(view, 0, 7, 0)));
  fc.assert(fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.nat(0xffff), (bytes, to) => {
    const v = new DataView(bytes.buffer, bytes.byteOffset, 20);
    v.setUint16(10, 0);
    const check = csumFold(csumJs(v, 0, 20, 0));
    const from = v.getUint16(8, true);
    v.setUint16(8, to, true);
    const after = csumFold(csumJs(v, 0, 20, 0));
    assertEquals(csumReplace2(check, from, to) % 0xffff, after % 0xffff);
  }));
});

Deno.test("CRC-32 of IEEE 802.3", () => {
  const bytes = new TextEncoder().encode("xx123456789");
  assertEquals(crc32(bytes, 2, 9) >>> 0, 0xcbf43926);
});
