import { assert, assertEquals } from "@std/assert";
import { type Addresses, CLASSES, generateFrames } from "./generate.ts";
import { decode, hex } from "./build.ts";
import { Random } from "./random.ts";

const ADDRESSES: Addresses = {
  mac: "02:00:00:00:09:01",
  own: ["10.9.0.1", "10.9.0.11"],
  broadcast: "10.9.0.255",
  network: "10.9.0.0",
  peers: [2, 3, 4].map((n) => ({ ip: `10.9.0.${n}`, mac: `02:00:00:00:09:0${n}` })),
  gateway: { ip: "10.9.0.254", mac: "02:00:00:00:09:fe" },
  strangers: ["10.9.0.100", "10.9.0.101"],
  far: ["8.8.8.8"],
  open: [7, 9],
  connected: [{ port: 4000, peer: "10.9.0.2", peerPort: 4001 }],
};

Deno.test("generateFrames() gives the same frames for the same seed, others for another", () => {
  const text = (seed: number) =>
    generateFrames(seed, 300, ADDRESSES).map(({ bytes, note }) => note + hex(bytes)).join("\n");
  assertEquals(text(1), text(1));
  assert(text(1) !== text(2));
});

Deno.test("generateFrames() makes every class, and leaves the avoided protocols out", () => {
  const frames = generateFrames(7, 8000, ADDRESSES);
  assertEquals(frames.length, 8000);
  const seen = new Set(frames.map(({ note }) => note.split(":")[0]));
  assertEquals(CLASSES.filter((name) => !seen.has(name)), []);
  for (const { bytes } of frames) {
    const proto = decode(bytes).ipv4?.proto;
    assert(proto === undefined || ![2, 6, 103, 136].includes(proto));
    assert(bytes.length <= 65_549);
  }
});

Deno.test("Random spreads evenly, and shuffles without loss", () => {
  const random = new Random("a seed");
  const counts = new Array(10).fill(0);
  for (let i = 0; i < 10_000; i++) counts[random.int(10)]++;
  assert(counts.every((count) => count > 850 && count < 1150));
  assertEquals(random.shuffle([1, 2, 3, 4]).sort(), [1, 2, 3, 4]);
});
