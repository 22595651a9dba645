/** Captures: bytes, directions, virtual time, files of others. */
import { assertEquals, assertThrows } from "@std/assert";
import { ARPHRD_NONE, devAddPack, devQueueXmit } from "../../../core/mod.ts";
import { channel } from "../../../plugins/device/channel/mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import {
  PcapBuffer,
  pcapFile,
  type PcapOptions,
  pcapTap,
  readPcap,
  writePcap,
} from "../../../plugins/device/pcap/mod.ts";
import { bareNet, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";
import { testNeeding } from "../../support/needs.ts";

/** Some traffic both ways over a wire, with time passing; the capture of one end. */
function traffic(seed: number, options: PcapOptions = {}): Uint8Array<ArrayBuffer> {
  const machine = debugMachine({ seed });
  const cable = wire(machine);
  const a = nic(bareNet(machine, "A"), "eth0", { wire: cable, txQueueLen: 0 });
  const b = nic(bareNet(machine, "B"), "eth0", { wire: cable, txQueueLen: 0 });
  for (const n of [a, b]) devAddPack(n.net, { type: TEST_TYPE, dev: null, func: (skb) => skb.consume() });
  a.dev.open();
  b.dev.open();
  const capture = new PcapBuffer();
  {
    using _tap = pcapTap(b.dev, capture, options);
    for (let i = 0; i < 20; i++) {
      const [from, to] = i % 3 === 0 ? [b, a] : [a, b];
      const size = 50 + (machine.platform.random() >>> 23);
      const skb = packet(from.net, [to.dev.addrHi, to.dev.addrLo], pattern(size), i % 4 === 0 ? 20 : size);
      skb.dev = from.dev;
      machine.batch(() => devQueueXmit(skb));
      machine.advance((machine.platform.random() >>> 8) % 1_500_000_000);
    }
  }
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
  return capture.bytes();
}

Deno.test("the same seed gives the same bytes twice, another seed others", () => {
  const one = traffic(7);
  assertEquals(one, traffic(7));
  assertEquals(readPcap(one).frames.length, 20);
  assertEquals(one.length === traffic(8).length, false);
});

Deno.test("both directions, link header and payload, frags too", () => {
  const { frames, linkType, truncated } = readPcap(traffic(1));
  assertEquals([linkType, truncated], [1, false]);
  for (const frame of frames) {
    assertEquals(frame.length, frame.bytes.length);
    assertEquals([...frame.bytes.slice(12, 14)], [0x88, 0xb5]);
    assertEquals(frame.bytes.slice(14), pattern(frame.bytes.length - 14));
  }
});

Deno.test("timestamps are the virtual wall clock's, to the nanosecond or the microsecond", () => {
  const nano = readPcap(traffic(1));
  const micro = readPcap(traffic(1, { precision: "micro" }));
  assertEquals([nano.precision, micro.precision], ["nano", "micro"]);
  assertEquals([nano.frames[0].seconds, nano.frames[0].nanoseconds], [946_684_800, 0]);
  let last = 0;
  nano.frames.forEach((f, i) => {
    assertEquals(micro.frames[i].seconds, f.seconds);
    assertEquals(micro.frames[i].nanoseconds, Math.floor(f.nanoseconds / 1000) * 1000);
    const at = (f.seconds - 946_684_800) * 1e9 + f.nanoseconds;
    assertEquals(at >= last, true);
    last = at;
  });
});

Deno.test("snaplen cuts what is kept, not what is said of the length", () => {
  const full = readPcap(traffic(1));
  const cut = readPcap(traffic(1, { snaplen: 60 }));
  assertEquals(cut.snaplen, 60);
  cut.frames.forEach((f, i) => {
    assertEquals([f.length, f.bytes.length], [full.frames[i].length, Math.min(60, f.length)]);
    assertEquals(f.bytes, full.frames[i].bytes.slice(0, 60));
  });
});

Deno.test("a frame is serialised at once: what happens to the packet later does not show", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const ch = channel(net, "ch0");
  const capture = new PcapBuffer();
  using tap = pcapTap(ch.dev, capture);
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (skb.bytes[skb.data] = 0xee, skb.consume()) });
  const frame = new Uint8Array(60).fill(1);
  frame.set([0x88, 0xb5], 12);
  ch.inject(frame);
  assertEquals(readPcap(capture.bytes()).frames[0].bytes, frame);
  assertEquals(tap.frames, 1);
  machine[Symbol.dispose]();
});

Deno.test("a capture ends with its tap, and more than a chunk of frames is whole", () => {
  const machine = debugMachine();
  const ch = channel(bareNet(machine), "ch0");
  const capture = new PcapBuffer();
  const frame = new Uint8Array(1500).fill(3);
  {
    using _tap = pcapTap(ch.dev, capture);
    for (let i = 0; i < 400; i++) ch.inject(frame);
  }
  ch.inject(frame);
  const { frames, truncated } = readPcap(capture.bytes());
  assertEquals([frames.length, truncated], [400, false]);
  assertEquals(frames[399].bytes, frame);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("a device without link header is captured as raw IP", () => {
  const machine = debugMachine();
  const ch = channel(bareNet(machine), "tun0", { type: ARPHRD_NONE });
  const capture = new PcapBuffer();
  using _tap = pcapTap(ch.dev, capture);
  ch.inject(Uint8Array.of(0x45, 1, 2, 3));
  const file = readPcap(capture.bytes());
  assertEquals([file.linkType, [...file.frames[0].bytes]], [101, [0x45, 1, 2, 3]]);
  machine[Symbol.dispose]();
});

Deno.test("reads what it writes, of either precision and byte order, and leaves a cut frame out", () => {
  const frames = [
    { seconds: 1, nanoseconds: 2000, length: 3, bytes: Uint8Array.of(1, 2, 3) },
    { seconds: 5, nanoseconds: 999_999_000, length: 100, bytes: Uint8Array.of(4) },
  ];
  for (const precision of ["nano", "micro"] as const) {
    const bytes = writePcap(frames, { precision });
    assertEquals(readPcap(bytes).frames, frames);
    assertEquals(readPcap(bytes.slice(0, -1)), { ...readPcap(bytes), frames: [frames[0]], truncated: true });
  }
  const big = Uint8Array.from([0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, ...new Array(8).fill(0), 0, 0, 1, 0, 0, 0, 0, 1]);
  assertEquals([readPcap(big).linkType, readPcap(big).snaplen], [1, 256]);
  assertThrows(() => readPcap(new Uint8Array(100)), TypeError, "no pcap magic");
  assertThrows(() => readPcap(new Uint8Array(3)), TypeError, "no pcap magic");
});

testNeeding(["program:tshark"], "tshark reads a capture from disk, with our times", async () => {
  const path = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    const machine = debugMachine();
    const ch = channel(bareNet(machine), "ch0");
    {
      using _tap = pcapTap(ch.dev, pcapFile(path));
      machine.advance(1_234_567_891);
      ch.inject(new Uint8Array(60));
    }
    machine[Symbol.dispose]();
    const { stdout } = await new Deno.Command("tshark", {
      args: ["-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"],
      stderr: "null",
    }).output();
    assertEquals(new TextDecoder().decode(stdout).trim(), "946684801.234567891\t60");
  } finally {
    await Deno.remove(path);
  }
});
