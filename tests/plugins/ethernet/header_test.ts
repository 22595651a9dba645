import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DROP, Machine } from "../../../core/mod.ts";
import {
  ETH_HLEN,
  ETH_P_ARP,
  EthernetHeader,
  ethIpMulticastLo,
  isBroadcastEther,
  isMulticastEther,
  isZeroEther,
} from "../../../plugins/link/ethernet/mod.ts";
import { eth } from "../../support/frames/build.ts";

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

Deno.test("ethernet header: golden bytes are read", () => {
  const frame = eth({ dst: "01:02:03:04:05:06", src: "f7:f8:f9:fa:fb:fc", type: 0x86dd }, "x");
  const header = new EthernetHeader(viewOf(frame), 0);
  assertEquals(
    [header.dstHi, header.dstLo, header.srcHi, header.srcLo >>> 0, header.type],
    [0x0102, 0x03040506, 0xf7f8, 0xf9fafbfc, 0x86dd],
  );
});

Deno.test("ethernet header: what is written is the golden bytes, and nothing around them", () => {
  const bytes = new Uint8Array(18).fill(0xee);
  const header = new EthernetHeader(viewOf(bytes), 2);
  header.setDst(0xffff, -1);
  header.setSrc(0x0200, 0x80000001 | 0);
  header.type = ETH_P_ARP;
  assertEquals(bytes.toHex(), "eeee" + "ffffffffffff" + "020080000001" + "0806" + "eeee");
});

Deno.test("ethernet header: fields read back as they were written", () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const i32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
  fc.assert(fc.property(u16, i32, u16, i32, u16, fc.nat(7), (dh, dl, sh, sl, type, at) => {
    const header = new EthernetHeader(new DataView(new ArrayBuffer(32)), at);
    header.setDst(dh, dl);
    header.setSrc(sh, sl);
    header.type = type;
    assertEquals([header.dstHi, header.dstLo, header.srcHi, header.srcLo, header.type], [dh, dl, sh, sl, type]);
  }));
});

Deno.test("ethernet header: check refuses every truncation [A12]", () => {
  using machine = new Machine({ debug: true, strict: true });
  for (let len = 0; len <= ETH_HLEN + 1; len++) {
    const skb = machine.skbs.alloc(64)!;
    skb.put(len);
    assertEquals(EthernetHeader.check(skb), len < ETH_HLEN ? DROP.HDR_TRUNC : 0, `${len} bytes`);
    skb.consume();
  }
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("ethernet header: classes of addresses", () => {
  assertEquals([isMulticastEther(0x0100), isMulticastEther(0xffff), isMulticastEther(0x0200)], [true, true, false]);
  assertEquals([isBroadcastEther(0xffff, -1), isBroadcastEther(0xffff, -2), isBroadcastEther(0x00ff, -1)], [
    true,
    false,
    false,
  ]);
  assertEquals([isZeroEther(0, 0), isZeroEther(0, 1), isZeroEther(1, 0)], [true, false, false]);
});

Deno.test("ethernet header: an IPv4 group maps to 01:00:5e and its last 23 bits", () => {
  assertEquals(ethIpMulticastLo(0xe0000001 | 0), 0x5e000001);
  assertEquals(ethIpMulticastLo(0xefffffff | 0), 0x5e7fffff);
});
