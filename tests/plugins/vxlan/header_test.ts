/** The VXLAN header on the wire: golden bytes of RFC 7348 section 5, truncation at every length. */
import { assertEquals } from "@std/assert";
import { Machine } from "../../../core/mod.ts";
import { VXLAN_HF_VNI, VxlanHeader } from "../../../plugins/transport/vxlan/mod.ts";

const GOLDEN = [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0];

Deno.test("reads and writes the bytes of RFC 7348", () => {
  const view = new DataView(Uint8Array.from([0xee, ...GOLDEN]).buffer);
  const header = new VxlanHeader(view, 1);
  assertEquals([header.flags, header.vni, header.valid], [VXLAN_HF_VNI, 0x123456, true]);
  header.write(0xffffff);
  assertEquals([...new Uint8Array(view.buffer)], [0xee, 8, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
  assertEquals([header.vni, header.valid], [0xffffff, true]);
});

Deno.test("without the VNI's flag, or with any other bit, it is not valid", () => {
  for (let bit = 0; bit < 64; bit++) {
    const bytes = Uint8Array.from(GOLDEN);
    bytes[bit >> 3] ^= 0x80 >> (bit & 7);
    const inVni = bit >= 32 && bit < 56;
    assertEquals(new VxlanHeader(new DataView(bytes.buffer), 0).valid, inVni, `bit ${bit}`);
  }
});

Deno.test("check() at every length, the header linear or in a frag", () => {
  const machine = new Machine({ debug: true });
  for (const linear of [0, 3, 16]) {
    for (let n = 0; n <= 20; n++) {
      const skb = machine.skbs.alloc(64)!;
      skb.put(Math.min(n, linear));
      if (n > linear) machine.skbs.addPage(skb, n - linear);
      assertEquals(VxlanHeader.check(skb, 8) === 0, n >= 16, `${n} bytes, ${linear} linear`);
      skb.consume();
    }
  }
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});
