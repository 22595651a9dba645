import { assert, assertEquals, assertThrows } from "@std/assert";
import { CHECKSUM_WASM_BASE64 } from "../../core/checksum.ts";
import { generate, TARGET } from "../support/build_wasm.ts";

interface Exports {
  csum(ptr: number, len: number, initial: number): number;
  copy_csum(dst: number, src: number, len: number, initial: number): number;
  copy(dst: number, src: number, len: number): void;
  crc32(ptr: number, len: number, initial: number): number;
}

const PAGES = 64;
const END = PAGES * 65536;

function setup(): { w: Exports; bytes: Uint8Array } {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const module = new WebAssembly.Module(Uint8Array.from(atob(CHECKSUM_WASM_BASE64), (c) => c.charCodeAt(0)));
  const w = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const bytes = new Uint8Array(memory.buffer);
  // xorshift32: the same bytes each time.
  for (let i = 0, x = 0x9e3779b9; i < END; i++) {
    x ^= x << 13, x ^= x >>> 17, x ^= x << 5;
    bytes[i] = x;
  }
  return { w, bytes };
}

/** One's complement sum of little-endian 16-bit words, byte by byte. */
function naiveSum(bytes: Uint8Array, ptr: number, len: number, initial: number): number {
  let sum = initial >>> 0;
  for (let i = 0; i < len; i++) sum += (i & 1 ? 256 : 1) * bytes[ptr + i]!;
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}

/** CRC-32 bit by bit. */
function naiveCrc(bytes: Uint8Array, ptr: number, len: number, initial: number): number {
  let c = ~initial;
  for (let i = 0; i < len; i++) {
    c ^= bytes[ptr + i]!;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return ~c;
}

/** Runs one of the copies and compares the destination, 64 bytes on either side of it, and the source. */
function checkCopy(bytes: Uint8Array, dst: number, src: number, len: number, run: () => void): void {
  const from = bytes.slice(src, src + len);
  const lo = Math.max(0, dst - 64), hi = Math.min(END, dst + len + 64);
  const want = bytes.slice(lo, hi);
  for (let i = 0; i < len; i++) want[dst - lo + i] = from[i]!;
  run();
  const wrong = (at: number) => new Error(`copy ${dst} <- ${src}, ${len} bytes: wrong at ${at}`);
  for (let i = 0; i < want.length; i++) if (bytes[lo + i] !== want[i]) throw wrong(lo + i);
  for (let i = 0; i < len; i++) {
    if (bytes[src + i] !== from[i] && (src + i < lo || src + i >= hi)) throw wrong(src + i);
  }
}

const LARGE = [511, 512, 513, 1023, 1460, 1500, 4095, 9000, 65535, 65536, 262144, 262145, 524289, 1000001];

Deno.test("the module in core/checksum.ts is what tests/support/checksum.wat gives", async () => {
  assertEquals(await Deno.readTextFile(TARGET), await generate(), "run `deno task wasm`");
});

Deno.test("csum equals the sum byte by byte", () => {
  const { w, bytes } = setup();
  for (let len = 0; len <= 300; len++) {
    for (let at = 0; at <= 17; at++) {
      const initial = (len * 0x01010101 * (at + 1)) | 0;
      assertEquals(w.csum(at, len, initial), naiveSum(bytes, at, len, initial), `${len} bytes at ${at}`);
    }
    assertEquals(w.csum(END - len, len, 0), naiveSum(bytes, END - len, len, 0), `the last ${len} bytes`);
  }
  for (const len of LARGE) assertEquals(w.csum(3, len, -1), naiveSum(bytes, 3, len, -1), `${len} bytes`);
});

Deno.test("csum does not overflow on a memory of ones", () => {
  const { w, bytes } = setup();
  bytes.fill(0xff);
  for (const len of [...LARGE, END - 1, END]) {
    assertEquals(w.csum(0, len, -1), naiveSum(bytes, 0, len, -1), `${len} bytes`);
  }
  assertEquals(w.copy_csum(1, 0, END - 1, -1), naiveSum(bytes, 0, END - 1, -1));
});

Deno.test("copy moves these bytes and no others", () => {
  const { w, bytes } = setup();
  for (let len = 0; len <= 300; len++) {
    for (let at = 0; at <= 17; at++) {
      const src = 1000 + at, dst = 3000 + ((at * 7) % 18);
      checkCopy(bytes, dst, src, len, () => w.copy(dst, src, len));
    }
    checkCopy(bytes, END - len, 5000, len, () => w.copy(END - len, 5000, len));
    checkCopy(bytes, 5000, END - len, len, () => w.copy(5000, END - len, len));
  }
  for (const len of LARGE) checkCopy(bytes, 2000003, 5, len, () => w.copy(2000003, 5, len));
});

Deno.test("copy_csum copies and sums in one pass", () => {
  const { w, bytes } = setup();
  const check = (dst: number, src: number, len: number) => {
    const initial = (len * 0x10203) | 0;
    const want = naiveSum(bytes, src, len, initial);
    checkCopy(bytes, dst, src, len, () => assertEquals(w.copy_csum(dst, src, len, initial), want));
  };
  for (let len = 0; len <= 300; len++) {
    for (let at = 0; at <= 17; at++) check(3000 + ((at * 7) % 18), 1000 + at, len);
    check(END - len, 5000, len);
    check(5000, END - len, len);
  }
  for (const len of LARGE) check(2000003, 5, len);
});

Deno.test("overlapping ranges are moved as memmove does", () => {
  const { w, bytes } = setup();
  for (const len of [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 200, 511, 512, 600]) {
    for (const by of [-100, -33, -16, -15, -8, -1, 0, 1, 8, 15, 16, 17, 64, 100]) {
      checkCopy(bytes, 1000 + by, 1000, len, () => w.copy(1000 + by, 1000, len));
      const want = naiveSum(bytes, 1000, len, 0);
      checkCopy(bytes, 1000 + by, 1000, len, () => assertEquals(w.copy_csum(1000 + by, 1000, len, 0), want));
    }
  }
});

Deno.test("crc32 is the Ethernet FCS", () => {
  const { w, bytes } = setup();
  new TextEncoder().encodeInto("123456789", bytes.subarray(0, 9));
  assertEquals(w.crc32(0, 9, 0) >>> 0, 0xcbf43926); // the check value every CRC catalogue lists for CRC-32
  for (let len = 0; len <= 300; len++) {
    for (let at = 0; at <= 17; at++) {
      assertEquals(w.crc32(at, len, 0), naiveCrc(bytes, at, len, 0), `${len} bytes at ${at}`);
    }
    assertEquals(w.crc32(END - len, len, 0), naiveCrc(bytes, END - len, len, 0), `the last ${len} bytes`);
  }
  for (const len of LARGE) assertEquals(w.crc32(7, len, 0), naiveCrc(bytes, 7, len, 0));
  assertEquals(w.crc32(110, 50, w.crc32(100, 10, 0)), w.crc32(100, 60, 0), "in two pieces");
});

Deno.test("a range past the end of the memory traps, an empty one at the end does not", () => {
  const { w } = setup();
  for (const len of [1, 2, 4, 8, 16, 17, 64, 600]) {
    assertThrows(() => w.csum(END - len + 1, len, 0), WebAssembly.RuntimeError);
    assertThrows(() => w.copy(END - len + 1, 0, len), WebAssembly.RuntimeError);
    assertThrows(() => w.copy_csum(0, END - len + 1, len, 0), WebAssembly.RuntimeError);
    assertThrows(() => w.crc32(END - len + 1, len, 0), WebAssembly.RuntimeError);
  }
  assertEquals(w.csum(END, 0, 5), 5);
  assertEquals(w.copy_csum(END, END, 0, 5), 5);
  w.copy(END, END, 0);
  assert(w.crc32(END, 0, 7) === 7);
});
