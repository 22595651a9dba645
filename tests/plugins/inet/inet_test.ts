import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { Machine } from "../../../core/mod.ts";
import {
  hsiphash3,
  INET,
  inet,
  inetAddProtocol,
  inetFillIcmpSend,
  inetFillRaw,
  InetPeers,
  inetPeers,
} from "../../../plugins/network/inet/mod.ts";

Deno.test("a net has no protocols, no ICMP and no raw sockets until somebody registers", () => {
  using machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet({ plugins: [inet()] });
  const record = net.get(INET);
  assertEquals([record.protocols.length, record.protocols.every((p) => p === null)], [256, true]);
  const skb = machine.skbs.alloc(64)!;
  record.icmpSend(skb, 3, 1, 0);
  assertEquals(record.rawDeliver(skb, 17), false);
  skb.consume();
  assertEquals(machine.skbs.faults(), []);
});

Deno.test("registrations end with their plugin, and survive a swap of inet", () => {
  using machine = new Machine();
  const net = machine.createNet({ plugins: [inet()] });
  const record = net.get(INET);
  const idle = record.icmpSend;
  const handler = { rcv: () => {}, error: () => {} };
  const send = (): void => {};
  const protocol = inetAddProtocol(net, 200, handler);
  const icmp = inetFillIcmpSend(net, send);
  const raw = inetFillRaw(net, () => true, () => {});
  assertThrows(() => inetAddProtocol(net, 200, { rcv: () => {}, error: () => {} }), TypeError, "protocol 200");
  record.mib.ip.InReceives = 5;
  net.swap("inet", inet());
  assertEquals(net.get(INET) === record, true);
  assertEquals([record.protocols[200] === handler, record.icmpSend === send, record.mib.ip.InReceives], [
    true,
    true,
    5,
  ]);
  for (const end of [protocol, icmp, raw]) end[Symbol.dispose]();
  assertEquals([record.protocols[200], record.icmpSend === idle, record.rawDeliver({} as never, 1)], [
    null,
    true,
    false,
  ]);
});

Deno.test("the keyed hash: known to nobody without the key, even over its buckets", () => {
  assertNotEquals(hsiphash3(1, 2, 3, 4, 5), hsiphash3(1, 2, 3, 4, 6));
  const buckets = new Int32Array(64);
  for (let i = 0; i < 64 * 200; i++) buckets[hsiphash3(0x0a000000 + i, 1, 2, 77, 99) & 63]++;
  assert(
    Math.min(...buckets) > 130 && Math.max(...buckets) < 280,
    `${Math.min(...buckets)} to ${Math.max(...buckets)}`,
  );
  // One bit of the input changes half of the output's.
  let flips = 0;
  for (let bit = 0; bit < 32; bit++) {
    let diff = hsiphash3(0, 0, 0, 1, 2) ^ hsiphash3(1 << bit, 0, 0, 1, 2);
    for (; diff !== 0; diff &= diff - 1) flips++;
  }
  assert(flips > 32 * 12 && flips < 32 * 20, `${flips}`);
});

Deno.test("peers: bounded whatever sources are forged, the longest unused goes", () => {
  const peers = new InetPeers(1, 2);
  const mine = peers.get(42, 0);
  for (let i = 0; i < 100_000; i++) {
    peers.get(1000 + i, i);
    if (i % 64 === 0) assertEquals(peers.get(42, i), mine);
  }
  assertEquals(peers.taken.length, 4096);
  assertEquals(peers.addr[mine], 42);
});

Deno.test("rate limits of a peer: burst, then the rate; a fresh peer has its burst", () => {
  const peers = new InetPeers(1, 2);
  const p = peers.get(1, 1000);
  const count = (now: number): number => {
    let n = 0;
    while (peers.xrlimAllow(p, now, 1000)) n++;
    return n;
  };
  assertEquals([count(1000), count(1500), count(2000), count(1_000_000)], [6, 0, 1, 6]);
  // A zero crossing of the jiffies is no matter.
  const q = peers.get(2, -5);
  assertEquals([peers.routeErrorAllow(q, -5), peers.routeErrorAllow(q, 3)], [true, true]);
});

Deno.test("redirects: at doubling distances, nine in a row, then silence", () => {
  const peers = new InetPeers(1, 2);
  const p = peers.get(1, 0);
  const at: number[] = [];
  for (let now = 0; now < 60_000; now += 10) if (peers.redirectAllow(p, now)) at.push(now);
  assertEquals(at.length, 9);
  const gaps = at.slice(1).map((t, i) => t - at[i]);
  assert(gaps.every((g, i) => i === 0 || g >= 1.8 * gaps[i - 1]), `${gaps}`);
  assertEquals(peers.redirectAllow(p, 60_000 + 21_000), true);
});

Deno.test("one table of peers per net", () => {
  using machine = new Machine();
  const a = machine.createNet({ plugins: [inet()] });
  const b = machine.createNet({ plugins: [inet()] });
  assertEquals([inetPeers(a) === inetPeers(a), inetPeers(a) === inetPeers(b)], [true, false]);
});
