/** channel: the test is the other end. */
import { assertEquals, assertThrows } from "@std/assert";
import { ARPHRD_NONE, devAddPack, devQueueXmit, type NetDevice } from "../../../core/mod.ts";
import { channel } from "../../../plugins/device/channel/mod.ts";
import { bareNet, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";

function send(dev: NetDevice, n: number, payload = pattern(20)): void {
  dev.net.machine.enter();
  for (let i = 0; i < n; i++) {
    const skb = packet(dev.net, [0xffff, -1], payload);
    skb.dev = dev;
    devQueueXmit(skb);
  }
  dev.net.machine.exit();
}

Deno.test("read() gives what was sent, in order, then null", () => {
  const machine = debugMachine();
  const ch = channel(bareNet(machine), "ch0");
  send(ch.dev, 1, pattern(3));
  send(ch.dev, 1, pattern(5));
  assertEquals(ch.queued, 2);
  assertEquals(ch.readAll().map((f) => f.length), [17, 19]);
  assertEquals(ch.read(), null);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("inject() has been received when it returns; sizes 0 to 70 and 1515 to 70000 are survived [A62]", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const ch = channel(net, "ch0");
  let got = 0;
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (got++, skb.consume()) });
  const frame = new Uint8Array(70000).fill(0xff, 0, 6);
  frame.set([0x88, 0xb5], 12);
  for (let n = 0; n <= 70; n++) ch.inject(frame.slice(0, n));
  assertEquals(got, 70 - 13);
  assertEquals(ch.dev.stats.rxErrors, 14);
  for (const n of [1515, 1518]) assertEquals(ch.inject(frame.slice(0, n)), true);
  for (const n of [1519, 2000, 65535, 70000]) assertEquals(ch.inject(frame.slice(0, n)), false);
  assertEquals(ch.dev.stats.rxLengthErrors, 4);
  assertEquals(net.dropped("NOT_SPECIFIED"), 0);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("a tester that does not read stops the queue; reading wakes it", () => {
  const machine = debugMachine();
  const ch = channel(bareNet(machine), "ch0", { limit: 4 });
  send(ch.dev, 6);
  assertEquals([ch.queued, ch.dev.txq[0].stopped, ch.dev.stats.txDropped], [4, true, 2]);
  ch.read();
  assertEquals(ch.dev.txq[0].stopped, false);
  send(ch.dev, 1);
  assertEquals(ch.queued, 4);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("onFrame takes frames as they are sent", () => {
  const machine = debugMachine();
  const ch = channel(bareNet(machine), "ch0");
  const sizes: number[] = [];
  ch.onFrame = (frame) => sizes.push(frame.length);
  send(ch.dev, 2);
  assertEquals([sizes, ch.queued], [[34, 34], 0]);
  machine[Symbol.dispose]();
});

Deno.test("without a link header it carries IP packets", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const ch = channel(net, "tun0", { type: ARPHRD_NONE });
  let at = -1;
  devAddPack(net, { type: 0x0800, dev: null, func: (skb) => (at = skb.len, skb.consume()) });
  ch.inject(Uint8Array.of(0x45, 0, 0, 4));
  assertEquals(at, 4);
  ch[Symbol.dispose]();
  assertEquals(net.device("tun0"), undefined);
  assertThrows(() => channel(net, "a name with spaces"), TypeError);
  machine[Symbol.dispose]();
});
