/** stream: frames over byte streams, messages and WebSockets; bounded both ways, and nothing is left when it ends. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { devAddPack, devQueueXmit, type Machine, type Net } from "../../../core/mod.ts";
import {
  type DuplexStream,
  frameLink,
  portLink,
  qemuLink,
  type StreamDevice,
  streamDevice,
  type StreamLink,
  type StreamOptions,
  type StreamPort,
  webSocketLink,
} from "../../../plugins/device/stream/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { qdisc } from "../../../plugins/link/qdisc/mod.ts";
import { bareNet, bytesOf, collect, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";
import { deviceSuite } from "../../contracts/device_suite.ts";

/** Two ends of a pipe of this process. */
function pipe(): [DuplexStream, DuplexStream] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    { readable: back.readable, writable: there.writable },
    { readable: there.readable, writable: back.writable },
  ];
}

/** A link that the test plays: what it was given, and the device's side. */
class Hand implements StreamLink {
  readonly name = "hand";
  readonly batch: number;
  port: StreamPort | null = null;
  sent: Uint8Array[] = [];
  /** Sends that are taken before it has its fill. */
  room = Infinity;
  resumed = 0;
  closed: boolean | null = null;

  constructor(batch = 0) {
    this.batch = batch;
  }
  open(port: StreamPort): boolean {
    this.port = port;
    return true;
  }
  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.sent.push(bytes);
    return --this.room > 0;
  }
  resume(): void {
    this.resumed++;
  }
  close(abort: boolean): void {
    assertEquals(this.closed, null);
    this.closed = abort;
  }
}

interface Fixture {
  machine: Machine;
  net: Net;
  device: StreamDevice;
  hand: Hand;
  got: Uint8Array[];
}

function fixture(options: StreamOptions = {}, batch = 0): Fixture {
  const machine = debugMachine();
  const net = bareNet(machine);
  const hand = new Hand(batch);
  const device = streamDevice(net, "eth0", hand, options);
  const got: Uint8Array[] = [];
  devAddPack(net, {
    type: TEST_TYPE,
    dev: null,
    func: (skb) => {
      got.push(bytesOf(skb));
      skb.consume();
    },
  });
  return { machine, net, device, hand, got };
}

/** Nothing is left of it. */
function done({ machine }: { machine: Machine }): void {
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
  assertEquals(machine.pages.slotsInUse(), 0);
}

/** An Ethernet frame to all with `n` bytes of payload. */
function frame(n: number, first = 0): Uint8Array {
  const out = new Uint8Array(14 + n);
  out.fill(0xff, 0, 6);
  out.set([0x88, 0xb5], 12);
  for (let i = 0; i < n; i++) out[14 + i] = (first + i) & 0xff;
  return out;
}

/** Frames, each behind its length. */
function wire(...frames: Uint8Array[]): Uint8Array {
  const out: number[] = [];
  for (const f of frames) {
    out.push(f.length >>> 24, (f.length >>> 16) & 255, (f.length >>> 8) & 255, f.length & 255, ...f);
  }
  return Uint8Array.from(out);
}

function send(f: { net: Net; device: StreamDevice }, n: number, payload = pattern(20)): void {
  f.net.machine.enter();
  for (let i = 0; i < n; i++) {
    const skb = packet(f.net, [0xffff, -1], payload);
    skb.dev = f.device.dev;
    devQueueXmit(skb);
  }
  f.net.machine.exit();
}

const turn = (ms = 0): Promise<void> => new Promise((go) => setTimeout(go, ms));

/** Waits until it holds, at most 5 s. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await turn(5);
  assert(holds(), "it did not come about within 5 s");
}

for (
  const [name, link] of [["length-prefixed bytes", qemuLink], ["a chunk a frame", frameLink]] as const
) {
  deviceSuite(`stream over ${name}`, () => {
    const machine = debugMachine();
    const [near, far] = pipe();
    const a = streamDevice(bareNet(machine), "eth0", link(near));
    const b = streamDevice(bareNet(machine), "eth0", link(far));
    a.dev.close();
    const mine = collect(b.net, true);
    return {
      machine,
      net: a.net,
      dev: a.dev,
      peer: [b.dev.addrHi, b.dev.addrLo],
      async settle() {
        for (let i = 0; i < 4; i++) {
          machine.runUntilIdle();
          await turn(1);
        }
      },
      received: mine,
      delivered: collect(a.net, false),
      deliver(bytes) {
        const skb = packet(b.net, [a.dev.addrHi, a.dev.addrLo], bytes.slice(14));
        skb.dev = b.dev;
        machine.enter();
        devQueueXmit(skb);
        machine.exit();
      },
      async close() {
        await a[Symbol.asyncDispose]();
        await b[Symbol.asyncDispose]();
      },
    };
  });
}

Deno.test("a stream that is cut anywhere gives the same frames", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 60 }),
      (sizes, cuts) => {
        const f = fixture({}, 65_536);
        const bytes = wire(...sizes.map((n, i) => frame(n, i)));
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const chunk = bytes.slice(at, at + cuts[i % cuts.length]);
          assertEquals(f.hand.port!.bytes(chunk, 0), chunk.length);
          at += chunk.length;
        }
        assertEquals(f.got.map((x) => [...x]), sizes.map((n, i) => [...frame(n, i).slice(14)]));
        assertEquals(f.device.dev.stats.rxPackets, sizes.length);
        done(f);
      },
    ),
    { numRuns: 60, seed: 1 },
  );
});

Deno.test("lengths that no frame has close the link and are counted; nothing is left", async () => {
  for (const head of [[0, 0, 0, 0], [0, 1, 0x10, 1], [0x7f, 255, 255, 255], [255, 255, 255, 255], [0x80, 0, 0, 60]]) {
    const f = fixture({}, 65_536);
    const { stats } = f.device.dev;
    const bytes = Uint8Array.from([...wire(frame(30)), ...head, 1, 2, 3]);
    assertEquals(f.hand.port!.bytes(bytes, 0), bytes.length);
    assertEquals([f.got.length, stats.rxErrors, stats.rxLengthErrors], [1, 1, 1]);
    assertEquals([f.hand.closed, f.device.dev.carrier], [true, false]);
    assert((await f.device.closed).error!.includes("bytes was announced"));
    // Nothing that comes after it is looked at.
    assertEquals(f.hand.port!.bytes(wire(frame(30)), 0), 48);
    assertEquals(f.got.length, 1);
    done(f);
  }
});

Deno.test("the longest length that QEMU sends is no error; above the MTU such a frame is counted and passed over", () => {
  const f = fixture({}, 65_536);
  const { stats } = f.device.dev;
  for (const n of [69_632 - 14, 1505, 1504, 1500]) f.hand.port!.bytes(wire(frame(n)), 0);
  assertEquals(f.got.map((x) => x.length), [1504, 1500]);
  assertEquals([stats.rxLengthErrors, stats.rxDropped, stats.rxErrors], [2, 2, 0]);
  // A runt is not a malformed stream.
  f.hand.port!.bytes(wire(new Uint8Array(5), frame(9)), 0);
  assertEquals([f.got.length, stats.rxErrors, f.hand.closed], [3, 1, null]);
  assertEquals(f.net.dropped("NOT_SPECIFIED"), 0);
  done(f);
});

Deno.test("an end within a frame, or within a length, is an error; between frames it is none", async () => {
  const bytes = wire(frame(50), frame(60));
  for (let n = 0; n <= bytes.length; n++) {
    const f = fixture({}, 65_536);
    f.hand.port!.bytes(bytes.slice(0, n), 0);
    f.hand.port!.end(null);
    const whole = n === 0 || n === 68 || n === bytes.length;
    assertEquals(f.device.dev.stats.rxErrors, whole ? 0 : 1, `cut after ${n} bytes`);
    assertEquals((await f.device.closed).error, whole ? null : "it ended within a frame");
    assertEquals([f.hand.closed, f.device.dev.carrier], [!whole, false]);
    done(f);
  }
});

Deno.test("receive: a full ring stops the link, and half of it free lets it go on; a poll takes its budget", () => {
  const f = fixture({ rxLimit: 8 }, 65_536);
  const { port } = f.hand;
  f.machine.enter(); // NAPI runs at the outermost exit
  const bytes = wire(...Array.from({ length: 20 }, (_, i) => frame(10, i)));
  assertEquals(port!.bytes(bytes, 0), 8 * 28);
  assertEquals([f.got.length, f.device.counters.rxPaused, f.hand.resumed], [0, 1, 0]);
  f.machine.exit();
  assertEquals([f.got.length, f.hand.resumed], [8, 1]);
  // What is given at the outermost level is taken in one go, ring by ring.
  assertEquals(port!.bytes(bytes, 8 * 28), bytes.length);
  assertEquals(f.got.map((x) => x[0]), Array.from({ length: 20 }, (_, i) => i));
  assertEquals(f.device.dev.napis[0].weight, 64);
  done(f);
});

Deno.test("receive under budget: 400 frames in one ring take seven polls", () => {
  const f = fixture({ rxLimit: 512 }, 65_536);
  f.machine.enter();
  f.hand.port!.bytes(wire(...Array.from({ length: 400 }, () => frame(10))), 0);
  f.machine.exit();
  f.machine.runUntilIdle();
  assertEquals(f.got.length, 400);
  assertEquals(f.device.dev.napis[0].polls, 7);
  done(f);
});

Deno.test("receive of messages: what finds the ring full is lost and counted as rxMissed", () => {
  const f = fixture({ rxLimit: 4 });
  f.machine.enter();
  const more = Array.from({ length: 6 }, () => f.hand.port!.message(frame(10)));
  f.machine.exit();
  assertEquals(more, [true, true, true, false, false, false]);
  assertEquals([f.got.length, f.device.dev.stats.rxMissed, f.hand.resumed], [4, 2, 1]);
  done(f);
});

Deno.test("transmit: a link that has its fill stops the queue at the limit, and wakes it; nothing is lost or turned round", () => {
  const f = fixture({ txLimit: 4 });
  const txq = f.device.dev.txq[0];
  f.net.setQdisc(f.device.dev, null);
  f.hand.room = 2;
  for (let i = 0; i < 6; i++) send(f, 1, pattern(20 + i));
  // Two are with the link, four in the ring.
  assertEquals([f.hand.sent.length, txq.stopped, txq.stops], [2, true, 1]);
  send(f, 1);
  assertEquals([f.device.dev.stats.txDropped, f.net.dropped("FULL_RING")], [1, 1]);
  f.hand.room = 1;
  f.hand.port!.writable();
  assertEquals([f.hand.sent.length, txq.stopped], [3, true]);
  f.hand.room = 1;
  f.hand.port!.writable();
  assertEquals([f.hand.sent.length, txq.stopped], [4, false]);
  f.hand.room = Infinity;
  f.hand.port!.writable();
  assertEquals(f.hand.sent.map((x) => x.length - 34), [0, 1, 2, 3, 4, 5]);
  done(f);
});

Deno.test("transmit: what one entry sends goes in one batch, each frame behind its length", () => {
  const f = fixture({}, 65_536);
  send(f, 3, pattern(46));
  assertEquals([f.hand.sent.length, f.device.counters.txBatches], [1, 1]);
  const view = new DataView(f.hand.sent[0].buffer);
  assertEquals([0, 64, 128].map((at) => view.getUint32(at)), [60, 60, 60]);
  assertEquals([f.hand.sent[0].length, f.device.dev.stats.txPackets, f.device.dev.stats.txBytes], [192, 3, 180]);
  assertEquals(f.machine.ledger.bytesAt("stream_write"), 180);
  done(f);
});

Deno.test("an end with frames in both rings, a part of a frame, and a full queue: all is freed, the carrier is gone", async () => {
  const f = fixture({ txLimit: 4, rxLimit: 8 }, 65_536);
  f.hand.room = 1;
  send(f, 200);
  assertEquals(f.device.dev.txq[0].stopped, true);
  f.machine.enter();
  f.hand.port!.bytes(Uint8Array.from([...wire(frame(10), frame(10)), 0, 0, 0, 50, 1, 2]), 0);
  f.hand.port!.end("reset");
  f.machine.exit();
  assertEquals(await f.device.closed, { error: "reset" });
  assertEquals([f.device.dev.carrier, f.machine.skbs.live, f.got.length], [false, 0, 2]);
  send(f, 1);
  assert(f.net.dropped("LINK_DOWN") >= 1);
  assertEquals([f.machine.skbs.live, f.hand.closed], [0, true]);
  done(f);
});

Deno.test("a link that throws ends the device's way out, not the machine", async () => {
  const f = fixture();
  f.hand.send = () => {
    throw new Error("no such socket");
  };
  send(f, 5);
  assertEquals(await f.device.closed, { error: "no such socket" });
  assertEquals([f.device.dev.carrier, f.machine.faults.length, f.device.dev.stats.txErrors >= 1], [false, 0, true]);
  done(f);
});

Deno.test("down, what comes is lost; a link that waited goes on", () => {
  const f = fixture({ rxLimit: 2 }, 65_536);
  f.machine.enter();
  const bytes = wire(frame(1), frame(2), frame(3));
  const at = f.hand.port!.bytes(bytes, 0);
  f.device.dev.close();
  f.machine.exit();
  assertEquals([f.hand.resumed, f.got.length, f.machine.skbs.live], [1, 0, 0]);
  assertEquals(f.hand.port!.bytes(bytes, at), bytes.length);
  assertEquals(f.device.dev.stats.rxDropped, 1);
  f.device.dev.open();
  f.hand.port!.bytes(wire(frame(4)), 0);
  assertEquals(f.got.length, 1);
  done(f);
});

Deno.test("a reader that stops reading stops the sender, over real streams; all arrives when it reads again", async () => {
  const machine = debugMachine();
  const net = machine.createNet({ plugins: [ethernet(), qdisc()] });
  const [near, far] = pipe();
  const device = streamDevice(net, "eth0", qemuLink(near), { txLimit: 16 });
  send({ net, device }, 900, pattern(1000));
  await turn(5);
  assertEquals(device.dev.txq[0].stopped, true);
  const reader = far.readable.getReader();
  let bytes = 0;
  while (bytes < 900 * 1018) bytes += (await reader.read()).value!.length;
  assertEquals([bytes, device.dev.txq[0].stopped, device.dev.stats.txPackets], [900 * 1018, false, 900]);
  await reader.cancel();
  await device.closed;
  done({ machine });
});

Deno.test("abrupt ends over real streams: aborted, cancelled, unregistered; the device loses its carrier each time", async () => {
  const ways: Array<(far: DuplexStream, device: StreamDevice) => unknown> = [
    (far) => far.writable.abort(new Error("reset by peer")),
    (far) => far.readable.cancel(),
    (far) => far.writable.close(),
    (_, device) => device.net.unregisterNetdevice(device.dev),
  ];
  for (const way of ways) {
    const machine = debugMachine();
    const net = bareNet(machine);
    const [near, far] = pipe();
    const device = streamDevice(net, "eth0", qemuLink(near));
    send({ net, device }, 300);
    await turn(1);
    Promise.resolve(way(far, device)).catch(() => {});
    // What was sent is read, or the device gives it up after a second.
    try {
      for await (const _ of far.readable);
    } catch (error) {
      assertEquals(error, undefined); // aborted without a reason
    }
    await device.closed;
    assertEquals([device.dev.carrier, machine.skbs.live], [false, 0]);
    done({ machine });
  }
});

Deno.test("TCP: QEMU's framing between two processes' worth of sockets, and a peer that resets", async () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [conn, peer] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port }),
  ]);
  const device = streamDevice(net, "eth0", qemuLink(conn));
  const got: number[] = [];
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (got.push(skb.len), skb.consume()) });
  const writer = peer.writable.getWriter();
  await writer.write(wire(...Array.from({ length: 100 }, (_, i) => frame(i))));
  await until(() => got.length === 100);
  assertEquals(got, Array.from({ length: 100 }, (_, i) => i));
  send({ net, device }, 1, pattern(46));
  const buf = new Uint8Array(64);
  const reader = peer.readable.getReader();
  buf.set((await reader.read()).value!);
  assertEquals([buf[3], buf[16], buf[17]], [60, 0x88, 0xb5]);
  await writer.abort().catch(() => {});
  await reader.cancel().catch(() => {});
  await device.closed;
  assertEquals(device.dev.carrier, false);
  done({ machine });
});

Deno.test("WebSocket: a frame a message, both ways; text is left out; the carrier comes and goes with it", async () => {
  const machine = debugMachine();
  const net = machine.createNet({ plugins: [ethernet(), qdisc()] });
  const device = Promise.withResolvers<StreamDevice>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    device.resolve(streamDevice(net, "eth0", webSocketLink(socket)));
    return response;
  });
  const ws = new WebSocket(`ws://127.0.0.1:${server.addr.port}`);
  ws.binaryType = "arraybuffer";
  const got: number[] = [];
  ws.onmessage = (e) => got.push((e.data as ArrayBuffer).byteLength);
  await new Promise((go) => ws.onopen = go);
  const d = await device.promise;
  await until(() => d.dev.carrier);
  const seen: number[] = [];
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (seen.push(skb.len), skb.consume()) });
  ws.send("hello");
  ws.send(frame(46));
  ws.send(frame(1500));
  await until(() => seen.length === 2);
  assertEquals(seen, [46, 1500]);
  send({ net, device: d }, 1000, pattern(1400));
  await until(() => got.length === 1000);
  assertEquals(new Set(got), new Set([1414]));
  ws.close();
  assertEquals((await d.closed).error, null);
  assertEquals([d.dev.carrier, machine.skbs.live], [false, 0]);
  await server.shutdown();
  done({ machine });
});

Deno.test("WebSocket: a peer that does not read stops the queue in bounded memory; what it reads at last is whole", async () => {
  const machine = debugMachine();
  const net = machine.createNet({ plugins: [ethernet(), qdisc()] });
  const device = Promise.withResolvers<StreamDevice>();
  let socket: WebSocket | null = null;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const upgraded = Deno.upgradeWebSocket(request);
    socket = upgraded.socket;
    device.resolve(streamDevice(net, "eth0", webSocketLink(socket), { txLimit: 16 }));
    return upgraded.response;
  });
  // A WebSocket by hand, as the built-in one reads whether one wants it or not.
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  const head = [
    `GET / HTTP/1.1`,
    `Host: 127.0.0.1`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
  ];
  await conn.write(
    new TextEncoder().encode([...head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""].join("\r\n")),
  );
  const d = await device.promise;
  await until(() => d.dev.carrier);
  const txq = d.dev.txq[0];
  let sent = 0;
  for (; sent < 40_000 && !(txq.stopped && txq.qdisc!.qlen >= 900); sent += 50) {
    send({ net, device: d }, 50, pattern(1000));
    await turn();
  }
  // The kernel's buffers, a quarter of a megabyte here, the ring, and the discipline's thousand.
  assert(txq.stopped && sent < 40_000, `${sent} frames were taken`);
  assert(socket!.bufferedAmount < 400_000, `${socket!.bufferedAmount} bytes wait`);
  const stopped = d.dev.stats.txPackets;
  let bytes = 0;
  const p = new Uint8Array(65_536);
  const total = (): number => sent - d.dev.stats.txDropped - (txq.qdisc?.drops ?? 0);
  // 1,014 bytes of frame and 4 of WebSocket header.
  const want = (): number => total() * 1018;
  while (bytes < want()) bytes += (await conn.read(p))!;
  assert(bytes - want() < 300, `${bytes - want()} more than the answer to the handshake`);
  assert(d.dev.stats.txPackets > stopped && !txq.stopped);
  conn.close();
  await d.closed;
  await server.shutdown();
  done({ machine });
});

Deno.test("MessagePort: with a window nothing is lost although one end is slow; without, what does not fit is", async () => {
  for (const window of [8, Infinity]) {
    const machine = debugMachine();
    const nets = [0, 1].map(() => machine.createNet({ plugins: [ethernet(), qdisc()] }));
    const { port1, port2 } = new MessageChannel();
    const options = window === Infinity ? {} : { window };
    const a = streamDevice(nets[0], "eth0", portLink(port1, options), { txLimit: 4 });
    const b = streamDevice(nets[1], "eth0", portLink(port2, options), { rxLimit: 8 });
    let got = 0;
    devAddPack(nets[1], { type: TEST_TYPE, dev: null, func: (skb) => (got++, skb.consume()) });
    send({ net: nets[0], device: a }, 500);
    if (window === Infinity) {
      // A receiver that does not get round to it: its ring is 8 frames.
      machine.enter();
      await until(() => b.dev.stats.rxMissed === 500 - 8);
      machine.exit();
      machine.runUntilIdle();
      assertEquals(got, 8);
    } else {
      await until(() => got === 500);
      assertEquals([b.dev.stats.rxMissed, a.dev.stats.txDropped], [0, 0]);
    }
    await a[Symbol.asyncDispose]();
    await b.closed;
    assertEquals(b.dev.carrier, false);
    done({ machine });
  }
});

Deno.test("options that make no sense are refused", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  assertThrows(() => streamDevice(net, "eth0", new Hand(), { rxLimit: 0 }), RangeError, "rxLimit 0");
  assertThrows(() => streamDevice(net, "eth0", new Hand(), { txLimit: 1.5 }), RangeError, "txLimit 1.5");
  assertThrows(() => streamDevice(net, "eth0", new Hand(), { mtu: 40_000 }), RangeError, "mtu 40000");
  const { port1, port2 } = new MessageChannel();
  assertThrows(() => portLink(port1, { window: 0 }), RangeError, "window of 0");
  port1.close();
  port2.close();
  assertEquals(net.devices.length, 0);
  done({ machine });
});
