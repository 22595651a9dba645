/** lo: transmit ends in the backlog, receive begins in the next softirq. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  ARPHRD_LOOPBACK,
  CTX_SOFTIRQ,
  devAddPack,
  devQueueXmit,
  IFF_LOOPBACK,
  type SkBuff,
} from "../../../core/mod.ts";
import { loopback, loopbackDevice } from "../../../plugins/device/loopback/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { bareNet, debugMachine, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";

Deno.test("what lo sends it receives in the next softirq, never inside the send", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const lo = loopback(net);
  const contexts: number[] = [];
  devAddPack(net, {
    type: TEST_TYPE,
    dev: lo,
    func: (skb) => {
      contexts.push(machine.context);
      skb.consume();
    },
  });
  machine.enter();
  const skb = packet(net, [0, 0], pattern(84));
  skb.dev = lo;
  assertEquals(devQueueXmit(skb), 0);
  assertEquals([contexts.length, machine.cpu.backlog.qlen], [0, 1]);
  machine.exit();
  assertEquals(contexts, [CTX_SOFTIRQ]);
  // As the kernel counts: without the link header.
  assertEquals([lo.stats.rxPackets, lo.stats.rxBytes, lo.stats.txPackets, lo.stats.txBytes], [1, 84, 1, 84]);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("the sender's buffer is free at once, the route goes along, nothing is copied", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const lo = loopback(net);
  let freed = 0;
  let got: SkBuff | null = null;
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => void (got = skb) });
  machine.enter();
  const skb = packet(net, [0, 0], pattern(84));
  skb.owner = { wfree: () => freed++, rfree() {}, error() {}, mark: 0, priority: 0, txQueue: -1 };
  skb.destructor = 1;
  const dst = { obsolete: false };
  skb.dst = dst;
  skb.dev = lo;
  devQueueXmit(skb);
  assertEquals(freed, 1);
  machine.exit();
  assertEquals(got === skb, true);
  assertEquals(skb.dst === dst, true);
  assertEquals(machine.ledger.total("cpu"), 0);
  skb.consume();
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("a full backlog drops with CPU_BACKLOG and is counted", () => {
  const machine = debugMachine();
  const net = bareNet(machine);
  const lo = loopback(net);
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => skb.consume() });
  machine.enter();
  for (let i = 0; i < 1100; i++) {
    const skb = packet(net, [0, 0], pattern(10));
    skb.dev = lo;
    devQueueXmit(skb);
  }
  machine.exit();
  machine.runUntilIdle();
  assertEquals([net.dropped("CPU_BACKLOG"), lo.stats.rxDropped, lo.stats.rxPackets], [100, 100, 1000]);
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("lo is Linux's: up, 65536, address zero, no queue; as a plugin it survives a swap", () => {
  const machine = debugMachine();
  const net = machine.createNet({ plugins: [ethernet(), loopbackDevice()] });
  const lo = net.device("lo")!;
  assertEquals([lo.running, lo.mtu, lo.address, lo.txQueueLen], [true, 65536, "00:00:00:00:00:00", 0]);
  assertEquals([lo.type, lo.flags & IFF_LOOPBACK], [ARPHRD_LOOPBACK, IFF_LOOPBACK]);
  net.swap("loopback", loopbackDevice());
  assertEquals(net.device("lo"), lo);
  assertThrows(() => loopback(net), TypeError, "has one already");
  machine[Symbol.dispose]();
});
