import { assert, assertEquals } from "@std/assert";
import { PACKET_BROADCAST, type SkBuff } from "../../../core/mod.ts";
import { ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { type FakeHost, fakeHost, type FakeHostOptions, fakeNetfilter, REFUSING } from "../../support/fakes/network.ts";
import { decodePacket, hex, ipv4, pattern, udp } from "../../support/frames/build.ts";

function router(options: Partial<FakeHostOptions> = {}): { h: FakeHost; errors: number[][]; quotedTtl: number[] } {
  const h = fakeHost({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    forward: true,
    plugins: [ipv4Plugin()],
    ...options,
  });
  const errors: number[][] = [];
  const quotedTtl: number[] = [];
  h.inet.icmpSend = (skb, type, code, info) => {
    errors.push([type, code, info]);
    quotedTtl.push(skb.view.getUint8(skb.networkHeader + 8));
  };
  return { h, errors, quotedTtl };
}

const through = { src: "10.9.0.2", dst: "10.10.0.9", ttl: 64 };

Deno.test("[R18] a packet for another host goes on: TTL less one, checksum right, all else untouched, nothing copied", () => {
  const { h } = router();
  const packet = ipv4({ ...through, id: 0x1234, df: true, tos: 0x10 }, udp({ sport: 1, dport: 2 }, pattern(100)));
  h.inject(packet);
  const [sent] = h.sent;
  const want = packet.slice();
  want[8] = 63;
  want[10] = sent.bytes[10];
  want[11] = sent.bytes[11];
  assertEquals(hex(sent.bytes), hex(want));
  assert(decodePacket(sent.bytes).ipv4!.checksumOk);
  assertEquals([sent.dev, sent.hop, sent.priority], ["eth1", 0x0a0a0009, 6]);
  assertEquals([h.inet.mib.ip.ForwDatagrams, h.inet.mib.ip.OutTransmits, h.inet.mib.ip.OutRequests], [1, 1, 0]);
  assertEquals([h.machine.ledger.total("cpu"), h.machine.ledger.total("header")], [0, 0]);
  assertEquals(h.faults(), []);
});

Deno.test("the incremental checksum is right for every TTL", () => {
  const { h } = router();
  for (let ttl = 2; ttl < 256; ttl++) {
    for (const id of [0, 0xb7c5, 0xffff]) h.inject(ipv4({ ...through, ttl, id, proto: 253 }, [ttl]));
  }
  assertEquals(h.sent.length, 254 * 3);
  assert(h.sent.every((s) => decodePacket(s.bytes).ipv4!.checksumOk));
  assertEquals(h.faults(), []);
});

Deno.test("a head that somebody else holds is copied first, and his bytes stay", () => {
  const { h } = router();
  const packet = ipv4({ ...through, proto: 253 }, pattern(50));
  const skb = h.skb(packet);
  const tap = skb.clone()!;
  h.machine.enter();
  h.net.ptypes.buckets[0][0].func(skb, skb.dev!);
  h.machine.exit();
  assertEquals(tap.bytes.slice(tap.data, tap.tail), packet);
  assertEquals(h.sent[0].bytes[8], 63);
  tap.consume();
  assertEquals(h.faults(), []);
});

Deno.test("TTL 1 and 0: time exceeded, dropped, counted", () => {
  const { h, errors } = router();
  h.inject(ipv4({ ...through, ttl: 1 }));
  h.inject(ipv4({ ...through, ttl: 0 }));
  assertEquals(errors, [[11, 0, 0], [11, 0, 0]]);
  assertEquals([h.inet.mib.ip.InHdrErrors, h.net.dropped("IP_INHDR"), h.sent.length], [2, 2, 0]);
  assertEquals(h.faults(), []);
});

Deno.test("DF and too large: fragmentation needed with the MTU, about the packet as it came", () => {
  const { h, errors, quotedTtl } = router({ mtu: { eth1: 576 } });
  h.inject(ipv4({ ...through, df: true, proto: 253 }, pattern(600)));
  assertEquals([errors, quotedTtl], [[[3, 4, 576]], [64]]);
  assertEquals([h.inet.mib.ip.FragFails, h.inet.mib.ip.ForwDatagrams, h.net.dropped("PKT_TOO_BIG")], [1, 1, 1]);
  h.inject(ipv4({ ...through, df: true, proto: 253 }, pattern(556)));
  assertEquals(h.sent.length, 1);
  assertEquals(h.faults(), []);
});

Deno.test("[C3] without DF it is fragmented on the slow path: exactly the payload is copied", () => {
  const { h } = router({ mtu: { eth1: 576 } });
  const packet = ipv4({ ...through, id: 77, proto: 253 }, pattern(1400));
  h.inject(packet);
  const out = h.sent.map((s) => decodePacket(s.bytes).ipv4!);
  assertEquals(out.map((o) => [o.offset, o.totalLength, o.mf, o.id, o.ttl, o.checksumOk]), [
    [0, 572, true, 77, 63, true],
    [552, 572, true, 77, 63, true],
    [1104, 316, false, 77, 63, true],
  ]);
  assertEquals(hex(new Uint8Array(h.sent.flatMap((s) => [...s.bytes.subarray(20)]))), hex(packet.subarray(20)));
  assertEquals([h.machine.ledger.bytesAt("ip_fragment"), h.machine.ledger.total("cpu")], [1400, 1400]);
  assertEquals([h.inet.mib.ip.FragOKs, h.inet.mib.ip.FragCreates], [1, 3]);
  assertEquals(new Set(h.sent.map((s) => s.id)).size, 1);
  assertEquals(h.faults(), []);
});

Deno.test("a fragment is fragmented further: offsets add up, MF of the last is the original's", () => {
  const { h } = router({ mtu: { eth1: 100 } });
  h.inject(ipv4({ ...through, mf: true, offset: 800, proto: 253 }, pattern(160)));
  assertEquals(h.sent.map((s) => decodePacket(s.bytes).ipv4!).map((o) => [o.offset, o.totalLength, o.mf]), [
    [800, 100, true],
    [880, 100, true],
  ]);
  assertEquals(h.faults(), []);
});

Deno.test("what came as a link broadcast is not forwarded", () => {
  const { h, errors } = router();
  h.inject(ipv4(through), { pktType: PACKET_BROADCAST });
  assertEquals([h.sent.length, errors.length, h.net.dropped("UNICAST_IN_L2_MULTICAST")], [0, 0, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("routes that refuse: each its code; five at once and one per second to each source", () => {
  const { h, errors } = router({
    routes: [
      { to: "10.1.0.0/16", dev: "eth1", type: REFUSING.unreachable },
      { to: "10.2.0.0/16", dev: "eth1", type: REFUSING.prohibit },
      { to: "10.3.0.0/16", dev: "eth1", type: REFUSING.blackhole },
    ],
  });
  const send = (src: string, dst: string): void => h.inject(ipv4({ src, dst }));
  send("10.9.0.2", "10.1.0.1");
  send("10.9.0.2", "10.2.0.1");
  send("10.9.0.2", "10.3.0.1");
  send("10.9.0.2", "10.4.0.1");
  assertEquals(errors, [[3, 1, 0], [3, 13, 0], [3, 0, 0]]);
  assertEquals(h.inet.mib.ipExt.InNoRoutes, 1);
  assertEquals([h.net.dropped("IP_ROUTE_BLACKHOLE"), h.net.dropped("IP_INNOROUTES")], [3, 1]);
  for (let i = 0; i < 20; i++) send("10.9.0.3", "10.1.0.1");
  assertEquals(errors.length, 8);
  h.machine.advance(2e9);
  for (let i = 0; i < 20; i++) send("10.9.0.3", "10.1.0.1");
  assertEquals(errors.length, 10);
  assertEquals(h.faults(), []);
});

Deno.test("a shorter way is told, ever more rarely to who does not listen", () => {
  const { h, errors } = router({ routes: [{ to: "10.5.0.0/16", dev: "eth0", via: "10.9.0.254", redirect: true }] });
  const send = (): void => h.inject(ipv4({ src: "10.9.0.2", dst: "10.5.0.1" }));
  send();
  send();
  assertEquals(errors, [[5, 1, 0x0a0900fe]]);
  assertEquals(h.sent.length, 2);
  for (let i = 0; i < 1000; i++) {
    h.machine.advance(20e6);
    send();
  }
  assertEquals(errors.length, 9);
  h.machine.advance(21e9);
  send();
  assertEquals(errors.length, 10);
  assertEquals(h.faults(), []);
});

Deno.test("FORWARD and POST_ROUTING see a forwarded packet, TTL already decremented", () => {
  const nf = fakeNetfilter();
  const { h } = router({ netfilter: nf });
  const seen: string[] = [];
  for (const [hook, name] of [[2, "FORWARD"], [3, "OUTPUT"], [4, "POSTROUTING"]] as const) {
    nf.active[hook] = 1;
    nf.hooks[hook] = [(skb: SkBuff) => (seen.push(`${name} ${skb.view.getUint8(skb.networkHeader + 8)}`), 1)];
  }
  h.inject(ipv4(through));
  assertEquals(seen, ["FORWARD 63", "POSTROUTING 63"]);
  nf.hooks[2] = [() => 0];
  h.inject(ipv4(through));
  assertEquals([h.sent.length, h.net.dropped("NETFILTER_DROP")], [1, 1]);
  assertEquals(h.faults(), []);
});
