/** Captures that are played: pcap and pcapng, in time, at full speed, with the device going down meanwhile. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, Machine } from "../../../mod.ts";
import {
  PcapBuffer,
  type PcapFrame,
  pcapReplay,
  type PcapReplayOptions,
  pcapTap,
  readCapture,
  readPcap,
  readPcapng,
  writePcap,
} from "../../../plugins/device/pcap/mod.ts";
import { eth, icmpEcho, ipv4, udp } from "../../support/frames/build.ts";
import { testNeeding } from "../../support/needs.ts";

const MS = 1_000_000;
const LINK = { src: "02:00:00:00:00:02", dst: "02:00:00:00:00:01" };
const IP = { src: "10.0.0.2", dst: "10.0.0.1" };

/** `n` frames, 10 ms from one to the next. */
function frames(n: number, make = (i: number) => eth(LINK, ipv4(IP, icmpEcho({ id: 1, seq: i }, "abc")))): PcapFrame[] {
  return Array.from({ length: n }, (_, i) => {
    const bytes = new Uint8Array(make(i));
    return { seconds: 1000 + Math.floor(i / 100), nanoseconds: (i % 100) * 10 * MS, length: bytes.length, bytes };
  });
}

function bed(capture: Parameters<typeof pcapReplay>[2], options: PcapReplayOptions = {}) {
  const machine = new Machine({ debug: true, strict: true, autoAdvance: false });
  const host = createHost({ machine });
  const replay = pcapReplay(host.net, "replay0", capture, { address: LINK.dst, ...options });
  host.addr.add("replay0", "10.0.0.1/24");
  host.neigh.set("replay0", "10.0.0.2", LINK.src);
  return {
    machine,
    host,
    replay,
    stats: replay.dev.stats,
    [Symbol.dispose]: () => {
      machine[Symbol.dispose]();
      assertEquals(machine.skbs.faults(), []);
    },
  };
}

Deno.test("as recorded: each frame comes when it came; the stack answers", () => {
  using b = bed(writePcap(frames(10)));
  b.machine.advance(50 * MS);
  assertEquals(b.replay.played, 0, "nothing before play()");
  b.replay.play();
  assertEquals([b.replay.played, b.stats.rxPackets], [1, 1]);
  b.machine.advance(45 * MS);
  assertEquals([b.replay.played, b.stats.txPackets], [5, 5]);
  b.machine.advance(100 * MS);
  assertEquals([b.replay.done, b.replay.length, b.stats.txPackets], [true, 10, 10]);
  b.replay.play();
  b.machine.advance(100 * MS);
  assertEquals(b.stats.rxPackets, 10);
});

Deno.test("faster: by a factor, or all at once under NAPI's budget", () => {
  using b = bed(writePcap(frames(10)), { speed: 2 });
  b.replay.play();
  b.machine.advance(22 * MS);
  assertEquals(b.replay.played, 5);
  using full = bed(writePcap(frames(1000)), { speed: "full" });
  full.replay.play();
  full.machine.runUntilIdle(1e9);
  assertEquals([full.replay.done, full.stats.rxPackets], [true, 1000]);
  assert(full.replay.dev.napis[0].polls >= 16, "64 packets a poll");
});

Deno.test("a device that goes down holds the capture; what comes in again is the same frame, byte by byte", () => {
  const file = writePcap(frames(10));
  using b = bed(file);
  const seen = new PcapBuffer();
  using _tap = pcapTap(b.replay.dev, seen);
  b.replay.play();
  b.machine.advance(25 * MS);
  b.host.link.set("replay0", { up: false });
  b.machine.advance(500 * MS);
  assertEquals(b.replay.played, 3);
  b.host.link.set("replay0", { up: true });
  b.machine.advance(500 * MS);
  assertEquals(b.replay.played, 10);
  const fromOther = readPcap(seen.bytes()).frames.filter((f) => f.bytes[11] === 2);
  assertEquals(fromOther.map((f) => f.bytes), readPcap(file).frames.map((f) => f.bytes));
});

Deno.test("what does not fit, or was cut, is counted and harmless; time that runs backwards stands still", () => {
  const [big, cut, late, early] = frames(
    4,
    (i) => eth(LINK, ipv4(IP, udp({ sport: 1, dport: 2 }, "x".repeat(i === 0 ? 3000 : 50)))),
  );
  const file = writePcap([big, { ...cut, bytes: cut.bytes.slice(0, 30) }, { ...late, seconds: 2000 }, early]);
  using b = bed(file, { speed: "full", mtu: 1500 });
  b.replay.play();
  b.machine.runUntilIdle(1e9);
  assertEquals([b.replay.done, b.replay.cut, b.stats.rxDropped, b.stats.rxPackets], [true, 1, 1, 3]);
  assertEquals(b.host.net.dropped("NOT_SPECIFIED"), 0);
  using recorded = bed(writePcap([early, late]));
  recorded.replay.play();
  assertEquals(recorded.replay.played, 2);
});

Deno.test("a wrong file, link type or speed says so", () => {
  const machine = new Machine();
  const { net } = createHost({ machine });
  assertThrows(() => pcapReplay(net, "r0", new Uint8Array(40)), TypeError, "Cannot read capture: no pcap magic number");
  const wlan = writePcap(frames(1), { linkType: 105 });
  assertThrows(
    () => pcapReplay(net, "r0", wlan),
    TypeError,
    "Cannot replay link type 105: only Ethernet (1) and raw IP",
  );
  for (const speed of [0, -1, NaN, "fast" as unknown as number]) {
    assertThrows(() => pcapReplay(net, "r0", writePcap(frames(1)), { speed }), RangeError, `at speed ${speed}`);
  }
  const raw = pcapReplay(net, "r1", writePcap(frames(1, () => ipv4(IP, icmpEcho())), { linkType: 101 }), {
    speed: "full",
  });
  assertEquals(raw.dev.headerOps.hardHeaderLen, 0);
  machine[Symbol.dispose]();
});

Deno.test("pcapng: cut at any byte it is read as far as it goes, or refused with a reason; nothing else", () => {
  // A section, an interface in ns, two packets, an unknown block.
  const words = (...values: number[]): number[] =>
    values.flatMap((v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >>> 24) & 255]);
  const block = (type: number, body: number[]): number[] => {
    const padded = [...body, ...Array((4 - body.length % 4) % 4).fill(0)];
    return [...words(type, padded.length + 12), ...padded, ...words(padded.length + 12)];
  };
  const file = Uint8Array.from([
    ...block(0x0a0d0d0a, words(0x1a2b3c4d, 1, -1, -1)),
    ...block(1, [...words(1, 100), 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
    ...block(6, [...words(0, 0, 1_000_000_007, 3, 3), 1, 2, 3]),
    ...block(0xbad, words(1, 2, 3)),
    ...block(6, [...words(0, 1, 0, 2, 9), 4, 5]),
  ]);
  const { frames: [a, b], precision, truncated } = readPcapng(file);
  assertEquals([precision, truncated], ["nano", false]);
  assertEquals([a.seconds, a.nanoseconds, [...a.bytes], a.length], [1, 7, [1, 2, 3], 3]);
  assertEquals([b.seconds, b.nanoseconds, [...b.bytes], b.length], [4, 294967296, [4, 5], 9]);
  for (let n = 0; n < file.length; n++) {
    try {
      assert(readPcapng(file.slice(0, n)).frames.length <= 2);
    } catch (error) {
      assert(error instanceof TypeError && error.message.startsWith("Cannot read capture: "), String(error));
    }
    for (const value of [0, 1, 255]) {
      const wrong = file.slice();
      wrong[n] = value;
      try {
        readCapture(wrong);
      } catch (error) {
        assert(error instanceof TypeError && error.message.startsWith("Cannot read capture: "), `byte ${n}: ${error}`);
      }
    }
  }
});

testNeeding(
  ["program:editcap"],
  "pcapng as Wireshark writes it: the same frames and times as the pcap it was made from",
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      const file = writePcap(frames(150));
      await Deno.writeFile(`${dir}/a.pcap`, file);
      const args = ["-F", "pcapng", `${dir}/a.pcap`, `${dir}/a.pcapng`];
      const { success } = await new Deno.Command("editcap", { args, stderr: "null" }).output();
      assertEquals(success, true);
      const ng = readCapture(new Uint8Array(await Deno.readFile(`${dir}/a.pcapng`)));
      assertEquals(ng.frames, readPcap(file).frames);
      assertEquals([ng.linkType, ng.precision, ng.truncated], [1, "nano", false]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);
