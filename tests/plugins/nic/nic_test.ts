/** The textbook NIC: SOURCE.md's claims about ring, DMA, interrupt, NAPI and driver, as state of the machine. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  crc32,
  CTX_PROCESS,
  DESC_ADDR,
  DESC_DONE,
  DESC_EOP,
  DESC_FLAGS,
  DESC_LEN,
  DESC_OWN,
  DESC_PAGE,
  DESTRUCTOR_WFREE,
  devAddPack,
  devQueueXmit,
  IFF_PROMISC,
  type Machine,
  type Net,
  NET_RX_SOFTIRQ,
  NET_TX_SOFTIRQ,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  type SkBuff,
  TP_NAPI_POLL,
} from "../../../core/mod.ts";
import { type Nic, nic, nicDevice, type NicOptions, type Wire, wire } from "../../../plugins/device/nic/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { bareNet, bytesOf, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";

interface Bench {
  machine: Machine;
  cable: Wire;
  a: Nic;
  b: Nic;
  /** Received by b's stack: the skbs' bytes from the network header on. */
  got: Uint8Array[];
  send(n?: number, payload?: Uint8Array): void;
}

/** Two NICs on a wire, both up. */
function bench(a: NicOptions = {}, b: NicOptions = {}, onReceive?: (skb: SkBuff) => void): Bench {
  const machine = debugMachine();
  const cable = wire(machine);
  const na = nic(bareNet(machine, "A"), "eth0", { wire: cable, txQueueLen: 0, ...a });
  const nb = nic(bareNet(machine, "B"), "eth0", { wire: cable, ...b });
  const got: Uint8Array[] = [];
  receiveInto(nb.net, got, onReceive);
  na.dev.open();
  nb.dev.open();
  machine.ledger.reset();
  return { machine, cable, a: na, b: nb, got, send: (n = 1, payload = pattern(100)) => flood(na, nb, n, payload) };
}

function receiveInto(net: Net, got: Uint8Array[], onReceive?: (skb: SkBuff) => void): void {
  devAddPack(net, {
    type: TEST_TYPE,
    dev: null,
    func: (skb) => {
      onReceive?.(skb);
      got.push(bytesOf(skb));
      skb.consume();
    },
  });
}

function flood(from: Nic, to: Nic, n: number, payload: Uint8Array, linear?: number): void {
  from.machine.enter();
  for (let i = 0; i < n; i++) {
    const skb = packet(from.net, [to.dev.addrHi, to.dev.addrLo], payload, linear);
    skb.dev = from.dev;
    devQueueXmit(skb);
  }
  from.machine.exit();
}

/** Ends the machine, and nothing may be left. */
function end(t: { machine: Machine }): void {
  for (const net of t.machine.nets) assertEquals(net.dropped("NOT_SPECIFIED"), 0);
  t.machine[Symbol.dispose]();
  assertEquals(t.machine.skbs.faults(), []);
  assertEquals(t.machine.pages.slotsInUse(), 0);
}

// ---- receive --------------------------------------------------------------------------------------------------------

Deno.test("[R1] [R2] a frame is in the ring's memory, moved by DMA, before the CPU has seen any of it", () => {
  const t = bench();
  t.machine.enter();
  t.send(1, pattern(100));
  const rx = t.b.rx;
  assertEquals([rx.done, rx.pending, rx.frames], [1, 255, 1]);
  const i = rx.nextToClean & rx.mask;
  assertEquals(rx.get(i, DESC_FLAGS) & (DESC_OWN | DESC_DONE | DESC_EOP), DESC_DONE | DESC_EOP);
  assertEquals(rx.get(i, DESC_LEN), 114);
  assertEquals([...rx.slab[i]!.bytes.slice(rx.get(i, DESC_ADDR) + 14, rx.get(i, DESC_ADDR) + 114)], [...pattern(100)]);
  assertEquals(t.machine.ledger.bytesAt("nic_dma"), 114);
  assertEquals(t.machine.ledger.total("cpu"), 0);
  assertEquals([t.b.dev.stats.rxPackets, t.got.length], [0, 0]);
  t.machine.exit();
  assertEquals(t.got, [pattern(100)]);
  assertEquals(t.machine.ledger.total("cpu"), 0);
  end(t);
});

Deno.test("[R3] [R6] the write into the ring is followed by an interrupt, whose handler was registered", () => {
  const t = bench();
  assertEquals(t.machine.irqs.get(t.b.rxIrq.irq), t.b.rxIrq);
  t.machine.enter();
  t.send();
  assertEquals(t.b.rxIrq.count, 1);
  assertEquals(t.b.napi.scheduled, true);
  t.machine.exit();
  end(t);
});

Deno.test("[R7] the handler masks the line: further frames are in the ring and interrupt no more", () => {
  const t = bench();
  t.machine.enter();
  t.send();
  assertEquals(t.b.rxIrq.masked, true);
  t.send(9);
  assertEquals([t.b.rxIrq.count, t.b.rx.done], [1, 10]);
  assertEquals([t.b.rxIrq.suppressed, t.b.rxIrq.latched], [9, true]);
  t.machine.exit();
  assertEquals([t.b.rxIrq.count, t.got.length], [1, 10]);
  end(t);
});

Deno.test("[R8] the handler raises NET_RX", () => {
  const t = bench();
  t.machine.enter();
  assertEquals(t.machine.cpu.pending, 0);
  t.send();
  assertEquals(t.machine.cpu.pending, 1 << NET_RX_SOFTIRQ);
  t.machine.exit();
  assertEquals(t.machine.cpu.pending, 0);
  end(t);
});

Deno.test("[R9] the handler is short: the CPU is back where it was, the queue's line stays masked until the ring is empty", () => {
  const t = bench();
  t.machine.enter();
  t.send();
  assertEquals(t.machine.cpu.context, CTX_PROCESS);
  assertEquals([t.b.rxIrq.masked, t.got.length], [true, 0]);
  t.machine.exit();
  assertEquals([t.b.rxIrq.masked, t.b.rx.done, t.got.length], [false, 0, 1]);
  end(t);
});

Deno.test("[R5] [R11] one interrupt, then polls of at most 64 until the ring is empty", () => {
  const t = bench();
  const work: number[] = [];
  using _on = t.machine.bus.on("napi:napi_poll", (_skb, n, _b, napi, id) => {
    if (id === TP_NAPI_POLL && napi === t.b.napi) work.push(n);
  });
  t.send(200);
  assertEquals(t.b.rxIrq.count, 1);
  assertEquals(work, [64, 64, 64, 8]);
  assertEquals(t.got.length, 200);
  end(t);
});

Deno.test("[R4] NAPI bounds the interrupts under load: 2000 frames cost a few, not 2000", () => {
  const t = bench();
  for (let i = 0; i < 10; i++) t.send(200);
  assertEquals(t.got.length, 2000);
  assertEquals(t.b.rxIrq.count, 10);
  end(t);
});

Deno.test("[R12] each packet becomes an sk_buff around the very buffer that the device wrote", () => {
  const seen: [number, number, number][] = [];
  const t = bench({}, {}, (skb) => seen.push([skb.head, skb.data, skb.truesize]));
  t.machine.enter();
  t.send();
  const i = t.b.rx.nextToClean & t.b.rx.mask;
  const [page, addr] = [t.b.rx.get(i, DESC_PAGE), t.b.rx.get(i, DESC_ADDR)];
  t.machine.exit();
  assertEquals(seen, [[page, addr + 14, 2048 + 256]]);
  end(t);
});

Deno.test("the journey goes on over the wire: the received skb has the id of the sent one", () => {
  const ids: number[] = [];
  const t = bench({}, {}, (skb) => ids.push(skb.id));
  const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60));
  const id = skb.id;
  skb.dev = t.a.dev;
  t.machine.batch(() => devQueueXmit(skb));
  assertEquals(ids, [id]);
  end(t);
});

Deno.test("[R14] a frame whose FCS is wrong is dropped with FCS_ERROR and counted; a right one passes", () => {
  const t = bench();
  t.cable.impair = (frame) => frame;
  t.send();
  assertEquals(t.got.length, 1);
  t.cable.impair = (frame) => {
    frame[40] ^= 1;
    return frame;
  };
  t.send(3);
  assertEquals(t.got.length, 1);
  assertEquals(t.b.net.dropped("FCS_ERROR"), 3);
  assertEquals([t.b.dev.stats.rxCrcErrors, t.b.dev.stats.rxErrors, t.b.dev.stats.rxPackets], [3, 3, 1]);
  end(t);
});

Deno.test("[R14] a wire that cuts, corrupts the FCS itself or loses a frame is survived", () => {
  const t = bench();
  t.cable.impair = (frame) => frame.slice(0, frame.length - 10);
  t.send();
  t.cable.impair = (frame) => {
    frame[frame.length - 1] ^= 0x80;
    return frame;
  };
  t.send();
  t.cable.impair = () => null;
  t.send();
  t.cable.impair = (frame) => frame.slice(0, 3);
  t.send();
  assertEquals(t.got.length, 0);
  assertEquals(t.b.dev.stats.rxCrcErrors, 2);
  assertEquals(t.b.dev.stats.rxLengthErrors, 1);
  t.cable.impair = null;
  t.send();
  assertEquals(t.got.length, 1);
  end(t);
});

Deno.test("[T13] the trailer on the wire is IEEE's CRC-32 of the frame, least significant byte first", () => {
  const t = bench();
  let frame: Uint8Array = new Uint8Array();
  t.cable.impair = (f) => frame = f;
  t.send(1, pattern(100));
  assertEquals(frame.length, 114 + 4);
  const fcs = new DataView(frame.buffer).getInt32(114, true);
  assertEquals(fcs, crc32(frame, 0, 114));
  // The residue of a right frame with its FCS, whatever the frame.
  assertEquals(crc32(frame, 0, 118) >>> 0, 0x2144df1c);
  end(t);
});

Deno.test("a ring without descriptors loses the frame and counts it as missed", () => {
  const t = bench({ txRing: 256 }, { rxRing: 8 });
  t.send(20);
  assertEquals([t.got.length, t.b.dev.stats.rxMissed, t.b.rx.missed], [8, 12, 12]);
  t.send(1);
  assertEquals(t.got.length, 9);
  end(t);
});

Deno.test("without memory for new buffers the ring runs dry, is counted, and refills later", () => {
  const machine = debugMachine({ slabBytes: 1 << 20, maxSlabs: 1 });
  const cable = wire(machine);
  const a = nic(bareNet(machine, "A"), "eth0", { wire: cable, txQueueLen: 0, rxRing: 8 });
  const b = nic(bareNet(machine, "B"), "eth0", { wire: cable, rxRing: 8 });
  let held: SkBuff[] = [];
  devAddPack(b.net, { type: TEST_TYPE, dev: null, func: (skb) => void held.push(skb) });
  a.dev.open();
  b.dev.open();
  machine.skbs.alloc(100)!.consume(); // leaves small slots for what is sent
  const hog: number[] = [];
  for (let p = machine.pages.alloc(1); p >= 0; p = machine.pages.alloc(1)) hog.push(p);
  flood(a, b, 8, pattern(60));
  assertEquals(held.length, 8);
  assert(b.counters.rxAllocFailed > 0);
  flood(a, b, 1, pattern(60));
  assertEquals([held.length, b.dev.stats.rxMissed], [8, 1]);
  for (const p of hog) machine.pages.slab.put(p);
  machine.advance(1e9);
  flood(a, b, 1, pattern(60));
  assertEquals(held.length, 9);
  for (const skb of held) skb.consume();
  held = [];
  end({ machine });
});

Deno.test("the address filter keeps other hosts' frames off the ring, unless promiscuous", () => {
  const t = bench();
  const raw = new Uint8Array(60);
  raw.set([2, 9, 9, 9, 9, 9]);
  raw.set([0x88, 0xb5], 12);
  t.cable.inject(t.b, raw);
  assertEquals([t.b.counters.filtered, t.b.dev.stats.rxPackets], [1, 0]);
  t.b.dev.flags |= IFF_PROMISC;
  t.cable.inject(t.b, raw);
  assertEquals([t.b.counters.filtered, t.b.dev.stats.rxPackets], [1, 1]);
  t.b.dev.flags &= ~IFF_PROMISC;
  raw.set([0x01, 0, 0x5e, 0, 0, 1]);
  t.cable.inject(t.b, raw);
  assertEquals(t.b.counters.filtered, 2);
  t.b.dev.mcast.set(0x0100 * 0x100000000 + 0x5e000001, 1);
  t.cable.inject(t.b, raw);
  assertEquals(t.b.dev.stats.rxPackets, 2);
  end(t);
});

// ---- transmit -------------------------------------------------------------------------------------------------------

Deno.test("[T14] [T16] [T17] [T18] [T19] the driver takes the skb, posts and maps descriptors, and rings", () => {
  const t = bench();
  t.machine.enter();
  const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(1000), 100);
  // xmitMore: the doorbell waits, so that the ring can be looked at.
  assertEquals(t.a.dev.ops.startXmit(skb, t.a.dev, true), NETDEV_TX_OK);
  const tx = t.a.tx;
  assertEquals([tx.pending, tx.mappings, tx.done], [2, 2, 0]);
  assertEquals([tx.get(0, DESC_ADDR), tx.get(0, DESC_LEN), tx.get(0, DESC_FLAGS)], [skb.data, 114, DESC_OWN]);
  assertEquals([tx.get(1, DESC_ADDR), tx.get(1, DESC_LEN), tx.get(1, DESC_FLAGS)], [
    skb.frags[0].offset,
    900,
    DESC_OWN | DESC_EOP,
  ]);
  assertEquals([tx.skb[0], tx.skb[1]], [null, skb]);
  assertEquals([t.b.rx.done, t.a.counters.doorbells], [0, 0]);
  t.send();
  assertEquals(t.a.counters.doorbells, 1);
  assertEquals([tx.pending, t.b.rx.done], [0, 2]);
  t.machine.exit();
  assertEquals(t.got.map((x) => x.length), [1000, 100]);
  end(t);
});

Deno.test("[T15] the driver is called in the sender's context: no softirq tells it", () => {
  const t = bench();
  const contexts: number[] = [];
  using _on = t.machine.bus.on("nic:doorbell", () => contexts.push(t.machine.context));
  t.machine.enter();
  t.send();
  assertEquals(contexts, [CTX_PROCESS]);
  assertEquals(t.machine.cpu.pending & (1 << NET_TX_SOFTIRQ), 0);
  t.machine.exit();
  end(t);
});

Deno.test("[T20] a completion interrupt: the ring is cleaned and unmapped, the skb freed, its sender told", () => {
  const t = bench();
  let freed = 0;
  const owner = { wfree: (n: number) => freed += n, rfree() {}, error() {}, mark: 0, priority: 0, txQueue: -1 };
  t.machine.enter();
  const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(100));
  skb.dev = t.a.dev;
  skb.owner = owner;
  skb.destructor = DESTRUCTOR_WFREE;
  const truesize = skb.truesize;
  devQueueXmit(skb);
  assertEquals([t.a.txIrq.count, t.a.tx.done, t.a.tx.mappings, freed], [1, 1, 1, 0]);
  t.machine.exit();
  assertEquals([t.a.tx.done, t.a.tx.mappings, freed], [0, 0, truesize]);
  assertEquals(t.a.tx.skb.every((s) => s === null), true);
  assertEquals(t.a.txIrq.masked, false);
  end(t);
});

Deno.test("a deferred doorbell whose next packet never comes is rung at the end of the entry", () => {
  const t = bench();
  t.machine.enter();
  t.a.dev.ops.startXmit(packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60)), t.a.dev, true);
  assertEquals(t.a.tx.pending, 1);
  t.machine.exit();
  assertEquals(t.got.length, 1);
  end(t);
});

Deno.test("the queue stops below MAX_SKB_FRAGS + 2 descriptors and wakes after the completion", () => {
  const t = bench({ txRing: 64 });
  t.machine.enter();
  const txq = t.a.dev.txq[0];
  let sent = 0;
  while (!txq.stopped) {
    const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60));
    assertEquals(t.a.dev.ops.startXmit(skb, t.a.dev, true), NETDEV_TX_OK);
    sent++;
  }
  assertEquals([sent, t.a.tx.unused], [64 - 18, 18]);
  t.machine.exit();
  assertEquals([txq.stopped, t.a.tx.unused, t.got.length], [false, 64, sent]);
  end(t);
});

Deno.test("a full ring refuses with NETDEV_TX_BUSY and the packet stays the caller's", () => {
  const t = bench({ txRing: 64 });
  t.machine.enter();
  const frame = (): SkBuff => packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60));
  for (let i = 0; i < 64; i++) assertEquals(t.a.dev.ops.startXmit(frame(), t.a.dev, true), NETDEV_TX_OK);
  const extra = frame();
  assertEquals(t.a.dev.ops.startXmit(extra, t.a.dev, true), NETDEV_TX_BUSY);
  assertEquals(extra.live, 1);
  extra.consume();
  t.machine.exit();
  assertEquals(t.got.length, 64);
  end(t);
});

Deno.test("[A61] a short frame is padded with zeros to 60, whatever stood in the memory before", () => {
  const t = bench();
  const frames: Uint8Array[] = [];
  t.cable.impair = (frame) => {
    frames.push(frame.slice());
    return frame;
  };
  for (let n = 0; n <= 46; n++) {
    const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(n).fill(0x11));
    // What the memory held before.
    for (let i = skb.tail; i < skb.end; i++) skb.bytes[i] = 0xaa;
    skb.dev = t.a.dev;
    t.machine.batch(() => devQueueXmit(skb));
    const frame = frames[n];
    assertEquals(frame.length, 64);
    assertEquals(frame.slice(14, 60), new Uint8Array(46).fill(0x11, 0, n));
  }
  end(t);
});

Deno.test("[A61] padding a clone leaves the bytes that it shares alone", () => {
  const t = bench();
  const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(10));
  for (let i = skb.tail; i < skb.end; i++) skb.bytes[i] = 0xaa;
  const twin = skb.clone()!;
  twin.dev = t.a.dev;
  t.machine.batch(() => devQueueXmit(twin));
  assertEquals([skb.len, skb.bytes[skb.tail]], [24, 0xaa]);
  assertEquals([...t.got[0].slice(10)], new Array(36).fill(0));
  skb.consume();
  end(t);
});

Deno.test("[A62] runts and giants end at the ring, counted: sizes 0 to 70 and 1515 to 70000", () => {
  const t = bench();
  const size = (n: number): boolean => {
    const frame = new Uint8Array(n);
    frame.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5].slice(0, n));
    return t.cable.inject(t.b, frame);
  };
  let refused = 0;
  for (let n = 0; n <= 70; n++) {
    const ok = size(n);
    assertEquals(ok, n >= 60);
    if (!ok) refused++;
  }
  // MTU 1500, a header of 14, room for one tag.
  for (const n of [1514, 1515, 1518]) assertEquals(size(n), true);
  for (const n of [1519, 1520, 2000, 2048, 4096, 9018, 32768, 65535, 65536, 70000]) {
    assertEquals(size(n), false);
    refused++;
  }
  assertEquals([t.b.dev.stats.rxLengthErrors, t.b.dev.stats.rxErrors], [refused, refused]);
  assertEquals(t.b.rx.pending, 256);
  end(t);
});

// ---- long frames and offloads -----------------------------------------------------------------------------------------

Deno.test("a jumbo frame spans descriptors up to its EOP and becomes one skb with frags", () => {
  let shape: number[] = [];
  const t = bench({ mtu: 9000 }, { mtu: 9000 }, (skb) => shape = [skb.len, skb.nrFrags, skb.truesize]);
  t.machine.enter();
  t.send(1, pattern(8986));
  assertEquals(t.b.rx.done, 5);
  t.machine.exit();
  assertEquals(t.got, [pattern(8986)]);
  assertEquals(shape, [8986, 4, 256 + 5 * 2048]);
  assertEquals(t.machine.ledger.bytesAt("nic_dma"), 9000);
  assertEquals(t.machine.ledger.total("cpu"), 0);
  assertEquals(t.b.rings.rxJumbo, 0);
  end(t);
});

Deno.test("an MTU of 65535 brings a jumbo ring, while the device runs", () => {
  const t = bench();
  for (const n of [t.a, t.b]) assertEquals(n.dev.setMtu(65535), 0);
  assertEquals(t.b.rings.rxJumbo, 64);
  const payload = pattern(65521);
  flood(t.a, t.b, 3, payload, 1000);
  assertEquals(t.got, [payload, payload, payload]);
  for (const n of [t.a, t.b]) n.dev.setMtu(1500);
  assertEquals(t.b.rings.rxJumbo, 0);
  t.send();
  assertEquals(t.got.length, 4);
  end(t);
});

Deno.test("frags of any sizes arrive byte for byte", () => {
  const t = bench({ mtu: 9000 }, { mtu: 9000 });
  for (const [len, linear] of [[100, 0], [1906, 1], [1907, 1906], [5000, 33], [8986, 14]]) {
    flood(t.a, t.b, 1, pattern(len), linear);
  }
  assertEquals(t.got.map((x) => x.length), [100, 1906, 1907, 5000, 8986]);
  for (const x of t.got) assertEquals(x, pattern(x.length));
  end(t);
});

/** An UDP datagram of `n` payload bytes whose checksum is left partial. */
function partialUdp(net: Net, to: Nic, n: number, linear: number): SkBuff {
  const udp = new Uint8Array(28 + n);
  const view = new DataView(udp.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, 28 + n);
  view.setUint8(8, 64);
  view.setUint8(9, 17);
  view.setUint32(12, 0x0a000001);
  view.setUint32(16, 0x0a000002);
  view.setUint16(20, 1000);
  view.setUint16(22, 2000);
  view.setUint16(24, 8 + n);
  udp.set(pattern(n), 28);
  // The sum over the pseudo header: 0a00+0001+0a00+0002+0011+length.
  let sum = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 8 + n;
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(26, sum);
  const skb = packet(net, [to.dev.addrHi, to.dev.addrLo], udp, linear);
  skb.view.setUint16(skb.data + 12, 0x0800);
  skb.ipSummed = 3;
  skb.csumStart = skb.data + 14 + 20;
  skb.csumOffset = 6;
  return skb;
}

function sumWords(bytes: Uint8Array, from: number, initial: number): number {
  let sum = initial;
  for (let i = from; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

Deno.test("HW_CSUM: the device completes a partial checksum in the frame, not in the sender's memory", () => {
  const t = bench({ offloads: { txCsum: true } }, { offloads: { rxCsum: true } });
  const got: { bytes: Uint8Array; summed: number }[] = [];
  devAddPack(t.b.net, {
    type: 0x0800,
    dev: null,
    func: (skb) => {
      got.push({ bytes: bytesOf(skb), summed: skb.ipSummed });
      skb.consume();
    },
  });
  for (const [n, linear] of [[100, 128], [101, 30], [1400, 40], [0, 28]]) {
    const skb = partialUdp(t.a.net, t.b, n, linear);
    const before = bytesOf(skb);
    const twin = skb.clone()!;
    skb.dev = t.a.dev;
    t.machine.batch(() => devQueueXmit(skb));
    assertEquals(bytesOf(twin), before);
    twin.consume();
    const { bytes, summed } = got.pop()!;
    const datagram = bytes.slice(0, 28 + n);
    assertEquals(sumWords(datagram, 20, 0x0a00 + 1 + 0x0a00 + 2 + 17 + 8 + n), 0xffff);
    assertEquals(summed, 1);
  }
  t.a.setOffloads({ txCsum: false });
  assertEquals(t.a.dev.features & 2, 0);
  end(t);
});

Deno.test("RXCSUM: a wrong checksum is left to the stack to find", () => {
  const t = bench({}, { offloads: { rxCsum: true } });
  const summed: number[] = [];
  devAddPack(t.b.net, { type: 0x0800, dev: null, func: (skb) => (summed.push(skb.ipSummed), skb.consume()) });
  const skb = partialUdp(t.a.net, t.b, 50, 200);
  skb.dev = t.a.dev;
  skb.ipSummed = 0;
  t.machine.batch(() => devQueueXmit(skb));
  assertEquals(summed, [0]);
  end(t);
});

Deno.test("a super-packet stays whole where both ends take it, with its checksum still partial", () => {
  const offloads = { gso: true };
  const t = bench({ offloads }, { offloads });
  const got: number[][] = [];
  devAddPack(t.b.net, {
    type: 0x0800,
    dev: null,
    func: (skb) => {
      got.push([
        skb.len,
        skb.gsoSize,
        skb.gsoSegs,
        skb.gsoType,
        skb.ipSummed,
        skb.csumStart - skb.data,
        skb.csumOffset,
      ]);
      skb.consume();
    },
  });
  const skb = partialUdp(t.a.net, t.b, 60000, 28);
  skb.gsoSize = 1472;
  skb.gsoSegs = 41;
  skb.gsoType = 1 << 17;
  skb.dev = t.a.dev;
  skb.protocol = 0x0800;
  t.machine.batch(() => devQueueXmit(skb));
  assertEquals(got, [[60028, 1472, 41, 1 << 17, 3, 20, 6]]);
  t.b.setOffloads({ gso: false });
  assertEquals(t.a.dev.features & 0x48, 0);
  end(t);
});

// ---- link, rings, moderation, driver --------------------------------------------------------------------------------

Deno.test("the carrier needs both ends up and the wire whole; both ends hear of it", () => {
  const t = bench();
  const events: string[] = [];
  for (const n of [t.a, t.b]) {
    n.net.netdevChain.register((e) => void events.push(`${n.net.name} ${e.kind} ${e.dev.carrier}`));
  }
  t.cable.setUp(false);
  assertEquals([t.a.dev.carrier, t.b.dev.carrier], [false, false]);
  assertEquals(events, ["A NETDEV_CHANGE false", "B NETDEV_CHANGE false"]);
  t.send();
  assertEquals([t.a.net.dropped("LINK_DOWN"), t.a.dev.stats.txErrors], [1, 1]);
  t.cable.setUp(true);
  t.send();
  assertEquals(t.got.length, 1);
  t.b.dev.close();
  assertEquals([t.a.dev.carrier, t.b.dev.carrier], [false, false]);
  t.b.dev.open();
  assertEquals([t.a.dev.carrier, t.b.dev.carrier], [true, true]);
  t.cable.unplug(t.b);
  assertEquals([t.a.dev.carrier, t.b.dev.carrier], [false, false]);
  t.cable.plug(t.b);
  t.send();
  assertEquals(t.got.length, 2);
  end(t);
});

Deno.test("a wire has two ends, of one machine", () => {
  const t = bench();
  assertThrows(() => nic(t.a.net, "eth1", { wire: t.cable }), TypeError, "both ends of the wire are taken");
  assertEquals(t.a.net.device("eth1"), undefined);
  const other = debugMachine();
  assertThrows(() => nic(other.createNet(), "eth0", { wire: wire(t.machine) }), TypeError, "another machine");
  other[Symbol.dispose]();
  end(t);
});

Deno.test("rings are resized under traffic; what the old ones held is counted", () => {
  const t = bench();
  t.machine.enter();
  t.send(10);
  assertEquals(t.b.rx.done, 10);
  assertEquals(t.b.setRings({ rx: 32 }), 10);
  t.send(3);
  t.machine.exit();
  assertEquals(t.got.length, 3);
  assertEquals([t.b.dev.stats.rxDropped, t.b.net.dropped("QUEUE_PURGE"), t.b.counters.lost], [10, 10, 10]);
  assertEquals(t.b.rings, { rx: 32, tx: 256, rxJumbo: 0 });
  assertThrows(() => t.b.setRings({ tx: 100 }), RangeError, "power of two");
  t.machine.enter();
  const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60));
  t.a.dev.ops.startXmit(skb, t.a.dev, true);
  assertEquals(t.a.setRings({ tx: 512 }), 1);
  t.machine.exit();
  assertEquals(t.a.dev.stats.txDropped, 1);
  t.send(400);
  assertEquals([t.got.length, t.b.dev.stats.rxMissed], [3 + 32, 368]);
  end(t);
});

Deno.test("moderation by time and by frames holds the interrupt back, and can change while it runs", () => {
  const t = bench({}, { coalesce: { rxUsecs: 50, rxFrames: 8 } });
  t.send(3);
  assertEquals([t.b.rxIrq.count, t.got.length], [0, 0]);
  t.machine.advance(49_999);
  assertEquals(t.b.rxIrq.count, 0);
  t.machine.advance(1);
  assertEquals([t.b.rxIrq.count, t.got.length], [1, 3]);
  t.send(8);
  assertEquals([t.b.rxIrq.count, t.got.length], [2, 11]);
  t.send(1);
  t.b.setCoalesce({ rxUsecs: 0 });
  assertEquals([t.b.rxIrq.count, t.got.length], [3, 12]);
  end(t);
});

Deno.test("the driver is swapped under live traffic; what its rings held is counted, then it goes on", () => {
  const machine = debugMachine();
  const cable = wire(machine);
  const a = nic(bareNet(machine, "A"), "eth0", { wire: cable, txQueueLen: 0 });
  const net = machine.createNet({ plugins: [ethernet(), nicDevice("eth0", { wire: cable })] });
  const got: Uint8Array[] = [];
  receiveInto(net, got);
  const dev = net.device("eth0")!;
  const b = dev.priv as Nic;
  a.dev.open();
  dev.open();
  flood(a, b, 5, pattern(60));
  machine.enter();
  flood(a, b, 7, pattern(60));
  net.swap("nic-eth0", nicDevice("eth0", { rxRing: 64, coalesce: { rxUsecs: 10 } }));
  machine.exit();
  assertEquals(net.device("eth0"), dev);
  assertEquals([got.length, b.counters.lost, dev.stats.rxDropped], [5, 7, 7]);
  assertEquals([b.rings.rx, b.rxIrq.coalesce.usecs], [64, 10]);
  flood(a, b, 4, pattern(60));
  machine.runUntilIdle();
  assertEquals(got.length, 9);
  end({ machine });
});

Deno.test("a receiver that closes the device from inside a poll ends the poll", () => {
  let left = 3;
  const t: Bench = bench({}, {}, () => {
    if (--left === 0) t.b.dev.close();
  });
  t.send(10);
  assertEquals(t.got.length, 3);
  assertEquals(t.b.counters.lost, 7);
  assertEquals([t.b.rxIrq.masked, t.b.napi.scheduled], [true, false]);
  end(t);
});

Deno.test("an impair function that throws loses the frame and is recorded; the ring stays whole", () => {
  const t = bench();
  t.cable.impair = () => {
    throw new Error("mine");
  };
  t.send(3);
  assertEquals([t.got.length, t.a.net.pluginErrors.length], [0, 3]);
  assertEquals(t.a.net.pluginErrors[0].who, "impair of the wire at eth0");
  t.cable.impair = null;
  t.send();
  assertEquals(t.got.length, 1);
  end(t);
});

Deno.test("a link that goes with packets deferred gives their descriptors back", () => {
  const t = bench({ txRing: 64 });
  t.machine.enter();
  const txq = t.a.dev.txq[0];
  for (let i = 0; i < 40; i++) {
    const skb = packet(t.a.net, [t.b.dev.addrHi, t.b.dev.addrLo], pattern(60));
    t.a.dev.ops.startXmit(skb, t.a.dev, true);
  }
  t.cable.setUp(false);
  t.machine.exit();
  assertEquals([t.a.net.dropped("LINK_DOWN"), t.a.tx.unused, txq.stopped], [40, 64, false]);
  end(t);
});

Deno.test("a swap to impossible rings is refused and changes nothing", () => {
  const machine = debugMachine();
  const net = machine.createNet({ plugins: [ethernet(), nicDevice("eth0")] });
  net.device("eth0")!.open();
  assertThrows(() => net.swap("nic-eth0", nicDevice("eth0", { rxRing: 100 })), Error, "setup of nic-eth0 threw");
  assertEquals((net.device("eth0")!.priv as Nic).rings.rx, 256);
  end({ machine });
});

Deno.test("any sequence of traffic and configuration leaves no skb, no page and no mapping behind", () => {
  const size = fc.integer({ min: 0, max: 9100 });
  const step = fc.oneof(
    fc.tuple(fc.constant("send"), size, fc.integer({ min: 1, max: 40 })),
    fc.tuple(fc.constant("back"), size, fc.integer({ min: 1, max: 40 })),
    fc.tuple(fc.constantFrom("rings", "mtu", "offloads", "up", "link", "coalesce", "impair", "exit"), size, size),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const t = bench({ txQueueLen: 0 }, { txQueueLen: 0 });
      receiveInto(t.a.net, []);
      t.machine.enter();
      for (const [what, x, y] of steps) {
        const n = x % 2 === 0 ? t.a : t.b;
        if (what === "send") flood(t.a, t.b, y, pattern(x), x % 100);
        else if (what === "back") flood(t.b, t.a, y, pattern(x), x % 100);
        else if (what === "rings") n.setRings({ rx: 8 << (x % 7), tx: 8 << (y % 7) });
        else if (what === "mtu") n.dev.setMtu(68 + x);
        else if (what === "offloads") n.setOffloads({ gso: x % 3 === 0, txCsum: x % 5 === 0, rxCsum: x % 7 === 0 });
        else if (what === "up") (n.dev.flags & 1) !== 0 ? n.dev.close() : n.dev.open();
        else if (what === "link") t.cable.setUp(!t.cable.up);
        else if (what === "coalesce") n.setCoalesce({ rxUsecs: x % 100, rxFrames: y % 10 });
        else if (what === "impair") t.cable.impair = x % 3 === 0 ? (f) => (f[y % f.length] ^= 1, f) : null;
        else {
          t.machine.exit();
          t.machine.enter();
        }
      }
      t.machine.exit();
      t.machine.runUntilIdle();
      for (const n of [t.a, t.b]) {
        n.dev.close();
        assertEquals([n.tx.mappings, n.rx.mappings, n.jumbo?.mappings ?? 0], [0, 0, 0]);
      }
      end(t);
    }),
    { numRuns: 60, seed: 1 },
  );
});
