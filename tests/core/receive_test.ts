/** Receive: taps, the netdev hook, rxHandler, packet types, frames given as bytes. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  devAddPack,
  devAddTap,
  DROP,
  netifReceiveSkb,
  RX_HANDLER_ANOTHER,
  RX_HANDLER_CONSUMED,
  RX_HANDLER_PASS,
  type SkBuff,
} from "../../core/mod.ts";
import { ETH_P_TEST, packet, sink, TestMachine } from "./fake.ts";

function bed(strict = true) {
  const machine = new TestMachine({ strict, autoAdvance: false });
  const net = machine.createNet();
  const s = sink(net);
  const log: string[] = [];
  const add = (name: string, type = ETH_P_TEST, dev: typeof s.dev | null = null) =>
    devAddPack(net, {
      type,
      dev,
      func: (skb) => {
        log.push(`${name} ${skb.len}`);
        skb.consume();
      },
    });
  const receive = (skb: SkBuff = packet(machine, s.dev)) => net.batch(() => netifReceiveSkb(skb));
  return { machine, net, dev: s.dev, log, add, receive, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

Deno.test("[R13] a packet goes up by its type; a type that nobody handles is dropped and counted", () => {
  using b = bed();
  b.add("test");
  b.add("other", ETH_P_TEST + 16);
  b.receive();
  const skb = packet(b.machine, b.dev);
  skb.protocol = 0x86dd;
  b.receive(skb);
  assertEquals(b.log, ["test 64"]);
  assertEquals(b.net.dropTable(), { UNHANDLED_PROTO: 1 });
  assertEquals(b.dev.stats.rxDropped, 1);
  assertEquals(b.machine.cpu.processed, 2);
});

Deno.test("several handlers of a type each get the packet; one may want a single device", () => {
  using b = bed();
  const other = sink(b.net, "eth1");
  b.add("a");
  b.add("b", ETH_P_TEST, b.dev);
  b.add("c", ETH_P_TEST, other.dev);
  const last = b.add("d");
  b.receive();
  assertEquals(b.log, ["a 64", "b 64", "d 64"]);
  last[Symbol.dispose]();
  b.receive();
  assertEquals(b.log.slice(3), ["a 64", "b 64"]);
});

Deno.test("positions, ingress device and cause are set for the handlers", () => {
  using b = bed();
  const seen: unknown[] = [];
  devAddPack(b.net, {
    type: ETH_P_TEST,
    dev: null,
    func: (skb, dev) => {
      const reply = b.machine.skbs.alloc(10)!;
      seen.push(skb.networkHeader === skb.data, skb.macLen, skb.skbIif === dev.ifindex, reply.cause === skb.id);
      reply.consume();
      skb.consume();
    },
  });
  const skb = packet(b.machine, b.dev);
  skb.macHeader = skb.data - 14;
  b.receive(skb);
  assertEquals(seen, [true, 14, true, true]);
  assertEquals(b.machine.skbs.currentId, 0);
});

Deno.test("order: taps, the netdev hook, the device's handler, the packet type", () => {
  using b = bed();
  b.add("type");
  devAddTap(b.net, () => b.log.push("tap"));
  b.dev.addTap(() => b.log.push("dev tap"));
  b.dev.ingress = () => (b.log.push("ingress"), 0);
  b.dev.rxHandler = () => (b.log.push("handler"), RX_HANDLER_PASS);
  b.receive();
  assertEquals(b.log, ["tap", "dev tap", "ingress", "handler", "type 64"]);
});

Deno.test("the netdev hook and the device's handler may take the packet, or move it to another device", () => {
  using b = bed();
  b.add("type");
  b.dev.ingress = (skb) => (skb.consume(), 1);
  b.receive();
  b.dev.ingress = null;
  b.dev.rxHandler = (skb) => (skb.consume(), RX_HANDLER_CONSUMED);
  b.receive();
  assertEquals(b.log, []);
  const upper = sink(b.net, "br0");
  const on: string[] = [];
  devAddTap(b.net, (_skb, dev) => on.push(dev.name));
  b.dev.rxHandler = (skb) => {
    skb.dev = upper.dev;
    return RX_HANDLER_ANOTHER;
  };
  b.receive();
  assertEquals([on, b.log], [["eth0", "br0"], ["type 64"]]);
});

Deno.test("a handler that throws loses that packet with PLUGIN_ERROR; the next one is delivered", () => {
  using b = bed(false);
  let bad = true;
  devAddPack(b.net, {
    name: "my protocol",
    type: ETH_P_TEST,
    dev: null,
    func: (skb) => {
      if (bad) throw new Error("boom");
      skb.consume();
    },
  });
  b.receive();
  bad = false;
  b.receive();
  assertEquals(b.net.dropTable(), { PLUGIN_ERROR: 1 });
  assertEquals(b.net.pluginErrors[0].who, "my protocol");
});

Deno.test("a frame given as bytes is copied once and received in the next softirq", () => {
  using b = bed();
  b.add("type");
  b.dev.headerOps = {
    hardHeaderLen: 14,
    create: () => true,
    parse: (skb) => {
      if (skb.len < 14) return DROP.PKT_TOO_SMALL;
      skb.resetMacHeader();
      skb.pull(14);
      skb.protocol = ETH_P_TEST;
      return 0;
    },
  };
  b.net.batch(() => {
    assert(b.dev.receive(new Uint8Array(74)));
    assertEquals(b.log, []);
  });
  assertEquals(b.log, ["type 60"]);
  assertEquals(b.machine.ledger.bytesAt("netif_rx"), 74);
  assertFalse(b.dev.receive(new Uint8Array(13)));
  assertFalse(b.dev.receive(new Uint8Array(1519)));
  b.dev.close();
  assertFalse(b.dev.receive(new Uint8Array(60)));
  const { rxPackets, rxBytes, rxErrors, rxLengthErrors, rxDropped } = b.dev.stats;
  assertEquals([rxPackets, rxBytes, rxErrors, rxLengthErrors, rxDropped], [2, 87, 1, 1, 2]);
  assertEquals(b.net.dropTable(), { PKT_TOO_SMALL: 1 });
});
