/** The journey over whole hosts: what caused what, fragments, contexts, drops; and that every tracepoint has words. */
import { assert, assertEquals } from "@std/assert";
import { createHost, Machine } from "../../../mod.ts";
import { channel } from "../../../plugins/device/channel/mod.ts";
import { vethPair } from "../../../plugins/device/veth/mod.ts";
import { NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook } from "../../../plugins/network/netfilter/mod.ts";
import { journey } from "../../../plugins/observe/journey/mod.ts";
import { hasStep } from "../../../plugins/observe/journey/steps.ts";
import { lab } from "../../support/claims_lab.ts";

Deno.test("journey: an ARP request belongs to the datagram that waits for it, its reply to the request", () => {
  const l = lab({ neighbours: false });
  {
    using j = journey(l.machine);
    l.send(10);
    const [datagram, ...others] = j.packets();
    assertEquals(others, []);
    assert(datagram.packet.startsWith("UDP 10.0.0.1:4096 > 10.0.0.2:7, 10 bytes"));
    assertEquals(datagram.children.map((c) => c.packet), ["ARP who has 10.0.0.2? tell 10.0.0.1"]);
    const [request] = datagram.children;
    assertEquals(request.children.map((c) => [c.packet, c.nets.join()]), [[
      "ARP 10.0.0.2 is at 02:00:00:00:00:0b",
      "b,a",
    ]]);
    assertEquals(datagram.nets, ["a", "b"]);
  }
  l.end();
});

Deno.test("journey: data moves down through the headers and up again, as the records show", () => {
  const l = lab();
  {
    using j = journey(l.machine);
    l.send(32);
    l.receive();
    const at = (point: string) => {
      const { layout } = j.records().find((r) => r.point === point)!;
      return [layout!.data, layout!.len];
    };
    assertEquals(["udp:udp_send_skb", "ip:ip_local_out", "eth:eth_header"].map(at), [[128, 40], [108, 60], [94, 74]]);
    assertEquals(
      ["nic:rx_frame", "eth:eth_type_trans", "ip:ip_local_deliver_finish", "udp:udp_queue_rcv_skb"].map(at),
      [[128, 74], [142, 60], [162, 40], [170, 32]],
    );
    const copies = j.records().flatMap((r) => r.copies).map((c) => [c.site, c.kind, c.bytes]);
    assertEquals(copies, [["udp_sendmsg", "cpu", 32], ["nic_dma", "dma", 74], ["udp_recvmsg", "cpu", 32]]);
  }
  l.end();
});

Deno.test("journey: contexts are those of the path: sender in process, interrupts, softirq, reader in process", () => {
  const l = lab();
  {
    using j = journey(l.machine);
    l.send(32);
    l.receive();
    const context = (point: string) => j.records().find((r) => r.point === point)!.context;
    assertEquals(
      ["nic:tx_post", "irq:irq_handler_entry", "napi:napi_schedule", "udp:udp_rcv", "udp:udp_recvmsg"].map(context),
      ["process", "hardirq", "hardirq", "softirq", "process"],
    );
    const irqs = j.records().filter((r) => r.point === "irq:irq_handler_entry").map((r) => `${r.net} ${r.what}`);
    assertEquals(irqs, ["b eth0-rx-0", "a eth0-tx-0"]);
  }
  l.end();
});

Deno.test("journey: fragments keep the id of their datagram and are told apart", () => {
  const l = lab();
  {
    using j = journey(l.machine);
    l.send(4000);
    l.receive();
    const [datagram, ...others] = j.packets();
    assertEquals(others, []);
    const onA = datagram.buffers.filter((b) => b.net === "a");
    assertEquals(onA.length, 3);
    assert(datagram.records.some((r) => r.packet.includes("fragment at 2960")));
    assert(datagram.buffers.some((b) => b.net === "b" && b.origin === "wire"));
  }
  l.end();
});

Deno.test("journey: a hook's verdict and the drop that follows carry its name and advice", () => {
  const l = lab();
  nfRegisterNetHook(l.b.net, { name: "closed", hook: NF_INET_LOCAL_IN, fn: () => NF_DROP });
  {
    using j = journey(l.machine);
    l.send(32);
    const hook = j.records().find((r) => r.what === "closed")!;
    assertEquals([hook.net, hook.a, hook.verdict], ["b", NF_INET_LOCAL_IN, "DROP"]);
    const drop = j.records().find((r) => r.drop !== null)!;
    assertEquals([drop.id, drop.net, drop.drop!.name], [hook.id, "b", "NETFILTER_DROP"]);
    assert(j.render({ ids: [hook.id] }).includes('hook "closed" says DROP'));
  }
  l.end();
});

Deno.test("journey: every tracepoint of the standard plugins and devices has words", () => {
  using machine = new Machine();
  const a = createHost({ machine });
  const b = createHost({ machine });
  vethPair(a.net, "veth0", b.net, "veth0");
  channel(a.net, "ch0");
  const l = lab();
  for (const { bus } of [machine, l.machine]) {
    assertEquals(bus.list().map((d) => d.name).filter((name) => !hasStep(name)), []);
  }
  l.end();
});
