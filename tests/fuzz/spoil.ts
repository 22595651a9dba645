/** Ways in which a message of bytes is not what it was. */
import type { Random } from "../support/frames/random.ts";

/** The bytes as they are, one time in four; else cut, longer, with bits and bytes changed, or with parts of it moved. */
export function spoil(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.25)) return bytes;
  let out = bytes.slice();
  for (let n = random.between(1, 4); n > 0; n--) {
    const at = random.int(out.length);
    switch (random.int(8)) {
      case 0:
        if (out.length > 1) out = out.slice(0, random.between(1, out.length));
        break;
      case 1:
        out = Uint8Array.of(...out, ...random.bytes(random.int(60)));
        break;
      case 2:
        out[at] ^= 1 << random.int(8);
        break;
      case 3:
        out[at] = random.pick([0, 1, 63, 64, 0x80, 0xc0, 0xff]);
        break;
      case 4:
        out[at] = random.u8();
        break;
      case 5:
        out.copyWithin(at, random.int(out.length), random.int(out.length));
        break;
      case 6: // a pointer of DNS, to anywhere near
        out[at] = 0xc0 | random.int(2);
        if (at + 1 < out.length) out[at + 1] = random.u8();
        break;
      default:
        out.fill(random.u8(), at, at + random.int(20));
    }
  }
  return out;
}
