import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DROP, Machine, type SkBuff } from "../../../core/mod.ts";
import {
  ipHeaderSum,
  ipSendCheck,
  ipv4Check,
  Ipv4Header,
  rtTos2priority,
} from "../../../plugins/network/ipv4/header.ts";
import { ipv4, pattern, udp, unhex } from "../../support/frames/build.ts";

// A header from RFC 1071's neighbourhood: a UDP datagram as tcpdump shows it.
const GOLDEN = unhex("4500003c1c4640004006b1e6ac100a63ac100a0c");

function skbOf(machine: Machine, bytes: Uint8Array): SkBuff {
  const skb = machine.skbs.alloc(64 + bytes.length)!;
  skb.reserve(32);
  const at = skb.put(bytes.length);
  for (let i = 0; i < bytes.length; i++) skb.bytes[at + i] = bytes[i];
  return skb;
}

function check(bytes: Uint8Array): number {
  using machine = new Machine({ debug: true, autoAdvance: false });
  const skb = skbOf(machine, bytes);
  const reason = ipv4Check(skb);
  skb.consume();
  assertEquals(machine.skbs.faults(), []);
  return reason;
}

Deno.test("the view reads golden bytes", () => {
  const h = new Ipv4Header(new DataView(GOLDEN.buffer), 0);
  assertEquals([h.version, h.ihl, h.hlen, h.tos, h.totLen, h.id], [4, 5, 20, 0, 60, 0x1c46]);
  assertEquals([h.df, h.mf, h.offset, h.ttl, h.protocol], [true, false, 0, 64, 6]);
  assertEquals([h.saddr >>> 0, h.daddr >>> 0, h.check], [0xac100a63, 0xac100a0c, 0xe6b1]);
  assertEquals(ipHeaderSum(new DataView(GOLDEN.buffer), 0, 5), 0xffff);
});

Deno.test("the view writes what it reads", () => {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint8(0, 0x45);
  const h = new Ipv4Header(view, 0);
  h.totLen = 60;
  h.id = 0x1c46;
  h.fragOff = 0x4000;
  h.ttl = 64;
  h.protocol = 6;
  h.saddr = 0xac100a63 | 0;
  h.daddr = 0xac100a0c | 0;
  h.tos = 0;
  ipSendCheck(view, 0);
  assertEquals(new Uint8Array(view.buffer), GOLDEN);
});

Deno.test("[A12] every truncation of a datagram is refused, without a throw", () => {
  const packet = ipv4({ src: "10.0.0.1", dst: "10.0.0.2", options: [7, 7, 4, 0, 0, 0, 0] }, udp({}, pattern(20)));
  for (let n = 0; n < packet.length; n++) {
    assertEquals(check(packet.slice(0, n)), n < 28 ? DROP.IP_INHDR : DROP.PKT_TOO_SMALL, `${n} bytes`);
  }
  assertEquals(check(packet), 0);
});

Deno.test("[A12] every pair of claimed and real lengths has its reason", () => {
  for (const real of [20, 21, 40, 60]) {
    for (let ihl = 0; ihl < 16; ihl++) {
      for (const totLen of [0, 19, 20, 24, 40, 59, 60, 61, 65535]) {
        const bytes = new Uint8Array(real);
        const view = new DataView(bytes.buffer);
        view.setUint8(0, 0x40 | ihl);
        view.setUint16(2, totLen);
        const hlen = ihl * 4;
        if (hlen >= 20 && hlen <= real) ipSendCheck(view, 0);
        const want = hlen < 20 || hlen > real
          ? DROP.IP_INHDR
          : totLen > real
          ? DROP.PKT_TOO_SMALL
          : totLen < hlen
          ? DROP.IP_INHDR
          : 0;
        assertEquals(check(bytes), want, `real ${real} ihl ${ihl} totLen ${totLen}`);
      }
    }
  }
});

Deno.test("version, and a checksum that is off by anything, are refused", () => {
  const good = ipv4({ src: "10.0.0.1", dst: "10.0.0.2" }, pattern(8));
  for (let version = 0; version < 16; version++) {
    const bytes = ipv4({ src: "10.0.0.1", dst: "10.0.0.2", version }, pattern(8));
    assertEquals(check(bytes), version === 4 ? 0 : DROP.IP_INHDR);
  }
  fc.assert(
    fc.property(fc.nat(19), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = good.slice();
      bytes[at] ^= flip;
      const reason = check(bytes);
      return reason !== 0;
    }),
    { numRuns: 200, seed: 7 },
  );
});

Deno.test("a checksum over any header verifies, and equals the plain definition", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 60, maxLength: 60 }), fc.integer({ min: 5, max: 15 }), (bytes, ihl) => {
      bytes[0] = 0x40 | ihl;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      ipSendCheck(view, 0);
      let sum = 0;
      for (let i = 0; i < ihl * 4; i += 2) sum += view.getUint16(i);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      assertEquals(sum, 0xffff);
      assertEquals(ipHeaderSum(view, 0, ihl), 0xffff);
    }),
    { numRuns: 200, seed: 7 },
  );
});

Deno.test("TOS maps to priority as Linux maps it", () => {
  assertEquals([0x00, 0x02, 0x08, 0x0a, 0x10, 0x12, 0x18, 0x1e, 0xb8].map(rtTos2priority), [0, 0, 2, 2, 6, 6, 4, 4, 4]);
});
