import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { devAddPack, devQueueXmit, DROP, G_USER, Machine, type Net, type NetDevice } from "../../../core/mod.ts";
import { type Journey, journey, type JourneyPacket } from "../../../plugins/observe/journey/mod.ts";

interface Pair {
  machine: Machine;
  a: Net;
  b: Net;
  devA: NetDevice;
  devB: NetDevice;
}

/** Two nets whose devices hand each other their frames as bytes. */
function pair(): Pair {
  const machine = new Machine({ debug: true, strict: true });
  const a = machine.createNet({ name: "a" });
  const b = machine.createNet({ name: "b" });
  const link = (net: Net, to: () => NetDevice): NetDevice =>
    net.registerNetdev("eth0", {
      startXmit(skb) {
        to().receive(skb.bytes.slice(skb.data, skb.tail));
        skb.consume();
        return 0;
      },
    }, { type: 0xfffe, txQueueLen: 0 });
  const devA: NetDevice = link(a, () => devB);
  const devB: NetDevice = link(b, () => devA);
  return { machine, a, b, devA, devB };
}

/** Sends an IPv4 packet of `len` bytes: only its first byte counts here. */
function send({ machine, devA }: Pair, len = 40): void {
  machine.enter();
  const skb = machine.skbs.alloc(256)!;
  skb.reserve(128);
  skb.bytes.fill(0, skb.tail, skb.tail + len);
  skb.bytes[skb.put(len)] = 0x45;
  skb.dev = devA;
  devQueueXmit(skb);
  machine.exit();
}

const points = (j: Journey | JourneyPacket): string[] =>
  (Array.isArray(j.records) ? j.records : (j as Journey).records()).map((r) => r.point);

Deno.test("journey: costs nothing while nobody listens, and nothing again after dispose", () => {
  const { machine } = pair();
  assertEquals([machine.bus.mask, machine.ledger.onMove], [0, null]);
  const first = journey(machine);
  const second = journey(machine);
  assert(machine.bus.mask !== 0 && machine.ledger.onMove !== null);
  first[Symbol.dispose]();
  assert(machine.bus.mask !== 0 && machine.ledger.onMove !== null);
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  assertEquals([machine.bus.mask, machine.ledger.onMove], [0, null]);
});

Deno.test("journey: an event has its net, context, place of data, and the bytes moved since the event before", () => {
  const lab = pair();
  devAddPack(lab.b, { type: 0x0800, dev: null, func: (skb) => skb.consume() });
  using j = journey(lab.machine);
  send(lab);
  const sent = j.records().find((r) => r.point === "net:net_dev_queue")!;
  assertEquals([sent.net, sent.context, sent.dev], ["a", "process", "eth0"]);
  assertEquals([sent.layout!.data, sent.layout!.tail, sent.layout!.len], [128, 168, 40]);
  const received = j.records().find((r) => r.point === "net:netif_receive_skb")!;
  assertEquals([received.net, received.context], ["b", "softirq"]);
  const queued = j.records().find((r) => r.point === "net:netif_rx")!;
  assertEquals(queued.copies, [{ site: "netif_rx", kind: "dma", bytes: 40 }]);
  assertEquals(j.records().map((r) => r.seq), j.records().map((_, i) => i + 1));
  assertEquals(lab.machine.skbs.faults(), []);
});

Deno.test("journey: a drop has Linux's reason, a sentence and advice", () => {
  const lab = pair();
  using j = journey(lab.machine);
  send(lab);
  const dropped = j.records().find((r) => r.drop !== null)!;
  assertEquals([dropped.net, dropped.drop!.name, dropped.drop!.layer], ["b", "UNHANDLED_PROTO", "core"]);
  assert(dropped.drop!.text.endsWith(".") && dropped.drop!.advice.length > 10);
  assertStringIncludes(j.render(), "dropped: UNHANDLED_PROTO");
  assertStringIncludes(j.render(), dropped.drop!.advice);
  assertEquals(lab.b.drops.get(DROP.UNHANDLED_PROTO), 1);
});

Deno.test("journey: a packet made while another is processed is listed under it", () => {
  const lab = pair();
  const { machine, devB } = lab;
  devAddPack(lab.b, {
    type: 0x0800,
    dev: null,
    func(skb) {
      const reply = machine.skbs.alloc(256)!;
      reply.reserve(128);
      reply.bytes[reply.put(20)] = 0x45;
      reply.dev = devB;
      skb.consume();
      devQueueXmit(reply);
    },
  });
  devAddPack(lab.a, { type: 0x0800, dev: null, func: (skb) => skb.consume() });
  using j = journey(machine);
  send(lab);
  const roots = j.packets();
  // The bytes of user-code drivers carry no id: the request is one packet on a and another on b, where the reply
  // hangs below it.
  const onB = roots.find((p) => p.nets[0] === "b")!;
  const reply = onB.children.find((c) => c.nets[0] === "b")!;
  assertEquals([reply.link, reply.cause], ["caused", onB.id]);
  assertEquals(j.packet(reply.id)!.records, reply.records);
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("journey: a clone shares the buffer, a copy has its own, one id holds them all", () => {
  const lab = pair();
  const { machine, devA } = lab;
  const point = machine.bus.define({ name: "mine:seen", linux: "", group: G_USER });
  using j = journey(machine);
  const skb = machine.skbs.alloc(256)!;
  skb.dev = devA;
  skb.put(8);
  const twin = skb.clone()!;
  const copy = skb.copy()!;
  for (const s of [skb, twin, copy]) {
    if ((machine.bus.mask & G_USER) !== 0) machine.bus.hit(point, s, 0, 0, null);
    s.consume();
  }
  const [packet] = j.packets();
  assertEquals(packet.buffers.map((b) => [b.origin, b.cloned]), [["first", true], ["copy", false]]);
  assertEquals(points(packet).filter((p) => p === "mine:seen").length, 3);
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("journey: memory is bounded, the newest events are kept and the rest is counted", () => {
  const { machine } = pair();
  const point = machine.bus.define({ name: "mine:tick", linux: "", group: G_USER });
  using j = journey(machine, { limit: 10 });
  for (let i = 0; i < 25; i++) if ((machine.bus.mask & G_USER) !== 0) machine.bus.hit(point, null, i, 0, null);
  assertEquals(j.records().map((r) => r.a), [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  assertEquals(j.records().map((r) => r.seq), [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
  assertEquals(j.dropped, 15);
  assertStringIncludes(j.render(), "15 older events were dropped");
  j.clear();
  assertEquals([j.records().length, j.dropped], [0, 0]);
  for (let i = 0; i < 12; i++) if ((machine.bus.mask & G_USER) !== 0) machine.bus.hit(point, null, i, 0, null);
  assertEquals(j.records().map((r) => r.seq), [28, 29, 30, 31, 32, 33, 34, 35, 36, 37]);
  assertThrows(() => journey(machine, { limit: 0 }), RangeError, "Cannot keep 0 records");
});

Deno.test("journey: nets and filter leave the rest out", () => {
  const lab = pair();
  using onlyB = journey(lab.machine, { nets: ["b"] });
  using drops = journey(lab.machine, { filter: (point) => point.startsWith("skb:kfree") });
  send(lab);
  assertEquals([...new Set(onlyB.records().map((r) => r.net))].filter((n) => n !== ""), ["b"]);
  assertEquals(drops.records().map((r) => r.point), ["skb:kfree_skb"]);
});

Deno.test("journey: JSON lines hold the same records", () => {
  const lab = pair();
  using j = journey(lab.machine);
  send(lab);
  const lines = j.jsonLines().trimEnd().split("\n").map((l) => JSON.parse(l));
  assertEquals(lines, JSON.parse(JSON.stringify(j.records())));
});

Deno.test("journey: render fits the width, has no escape codes unless asked, and shows a remark once", () => {
  const lab = pair();
  devAddPack(lab.b, { type: 0x0800, dev: null, func: (skb) => skb.consume() });
  using j = journey(lab.machine);
  send(lab);
  send(lab);
  for (const width of [60, 84, 110, 132, 200]) {
    for (const l of j.render({ width }).split("\n")) assert(l.length <= width, `${l.length} > ${width}: ${l}`);
  }
  const plain = j.render();
  assert(!plain.includes("\x1b["));
  // deno-lint-ignore no-control-regex
  assertEquals(j.render({ color: true }).replaceAll(/\x1b\[\d+m/g, ""), plain);
  assertEquals(plain.split("a softirq tells the driver").length, 2);
  assert(!j.render({ remarks: false }).includes("textbook"));
  assert(!j.render({ claims: false }).includes("R13"));
});
