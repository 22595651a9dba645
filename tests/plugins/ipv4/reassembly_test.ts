import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PACKET_BROADCAST } from "../../../core/mod.ts";
import { inetAddProtocol } from "../../../plugins/network/inet/contract.ts";
import { IPV4, ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { FragRunPool, FragTree } from "../../../plugins/network/ipv4/frag_tree.ts";
import type { SkBuff } from "../../../core/mod.ts";
import type { Netfilter } from "../../../plugins/network/netfilter/contract.ts";
import { type FakeHost, fakeHost, fakeNetfilter, packetBytes } from "../../support/fakes/network.ts";
import { fragment, hex, ipOption, ipv4, type Ipv4Fields, pattern } from "../../support/frames/build.ts";

interface Seen {
  payload: Uint8Array;
  header: Uint8Array;
  parts: number;
}

function host(nf?: Netfilter): { h: FakeHost; got: Seen[]; errors: [number, number, string][] } {
  const h = fakeHost({
    devices: { eth0: ["10.9.0.1/24"] },
    plugins: [ipv4Plugin()],
    ...(nf === undefined ? {} : { netfilter: nf }),
  });
  const got: Seen[] = [];
  const errors: [number, number, string][] = [];
  inetAddProtocol(h.net, 253, {
    rcv(skb) {
      let parts = 1;
      for (let p = skb.fragList; p !== null; p = p.next) parts++;
      got.push({
        payload: packetBytes(skb),
        header: skb.bytes.slice(skb.networkHeader, skb.transportHeader),
        parts,
      });
      skb.consume();
    },
    error: () => {},
  });
  h.inet.icmpSend = (skb, type, code) =>
    errors.push([type, code, hex(skb.bytes.slice(skb.networkHeader, skb.networkHeader + 20))]);
  return { h, got, errors };
}

const base = { src: "10.9.0.2", dst: "10.9.0.1", proto: 253, id: 7 };
/** A fragment: offset and payload length in bytes. */
function frag(offset: number, len: number, more: boolean, fields: Partial<Ipv4Fields> = {}): Uint8Array {
  return ipv4({ ...base, offset, mf: more, ...fields }, pattern(len, offset));
}

Deno.test("fragments in any order make the datagram, without copying a byte", () => {
  const { h, got } = host();
  const whole = ipv4(base, pattern(4000));
  const parts = fragment(whole, 1500);
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]) {
    for (const i of order) h.inject(parts[i]);
    assertEquals(hex(got.at(-1)!.payload), hex(pattern(4000)));
    assertEquals(got.at(-1)!.parts, 3);
  }
  const { ip } = h.inet.mib;
  assertEquals([ip.ReasmReqds, ip.ReasmOKs, ip.ReasmFails, ip.InDelivers], [18, 6, 0, 6]);
  assertEquals([h.machine.ledger.total("cpu"), h.net.get(IPV4).fragMem()], [0, 0]);
  assertEquals(h.faults(), []);
});

Deno.test("any cut and any order, with duplicates, gives the datagram once", () => {
  const { h, got } = host();
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 12 }),
      fc.infiniteStream(fc.nat()),
      fc.nat(65535),
      (cuts, luck, id) => {
        const edges = [0, ...cuts.sort((a, b) => a - b).map((c) => c * 8), 500];
        const parts = edges.slice(1).map((to, i) => frag(edges[i], to - edges[i], to !== 500, { id }));
        const order = parts.map((p) => ({ p, key: luck.next().value! })).sort((a, b) => a.key - b.key);
        const before = got.length;
        // The last to come must come once: a copy behind it begins a new datagram.
        for (const { p } of order.slice(0, -1)) {
          h.inject(p);
          h.inject(p);
        }
        h.inject(order.at(-1)!.p);
        assertEquals(got.length, before + 1);
        assertEquals(hex(got.at(-1)!.payload), hex(pattern(500)));
      },
    ),
    { numRuns: 150, seed: 3 },
  );
  assertEquals(h.inet.mib.ip.ReasmFails, 0);
  assertEquals(h.net.get(IPV4).fragMem(), 0);
  assertEquals(h.faults(), []);
});

Deno.test("[A1] ping of death: offset and length beyond 65,535 never make a datagram; the next ping works", () => {
  const { h, got } = host();
  h.inject(frag(8189 * 8, 100, false));
  for (let at = 0; at < 8189 * 8; at += 8184) h.inject(frag(at, 8184, true));
  h.inject(frag(65472, 40, true));
  assertEquals(got.length, 0);
  assert(h.inet.mib.ip.ReasmFails > 0);
  h.inject(ipv4(base, "still here"));
  for (const p of fragment(ipv4({ ...base, id: 9 }, pattern(100)), 68)) h.inject(p);
  assertEquals(got.length, 2);
  assertEquals(h.faults(), []);
});

Deno.test("[A1] a datagram that is too long once it is complete: dropped and counted", () => {
  const { h, got } = host();
  for (let at = 0; at < 57344; at += 8192) h.inject(frag(at, 8192, true));
  h.inject(frag(57344, 8184, true));
  assertEquals(h.inet.mib.ip.ReasmFails, 0);
  // 65,535 bytes of payload and a header.
  h.inject(frag(65528, 7, false));
  assertEquals([got.length, h.inet.mib.ip.ReasmFails, h.net.dropped("FRAG_CORRUPT")], [0, 1, 9]);
  assertEquals(h.net.get(IPV4).fragMem(), 0);
  assertEquals(h.faults(), []);
});

Deno.test("[A2] overlap in every shape and order: the whole datagram goes, what is contained is only ignored", () => {
  // Sixteen shapes of a second fragment against [80, 160), the other pieces complete 0 to 240.
  const shapes: [number, number][] = [];
  for (const from of [0, 40, 80, 120]) for (const to of [96, 160, 200, 240]) if (to > from) shapes.push([from, to]);
  let dropped = 0;
  for (const [from, to] of shapes) {
    for (const order of [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [3, 0, 1, 2], [1, 0, 3, 2]]) {
      const { h, got } = host();
      const all = [frag(0, 80, true), frag(80, 80, true), frag(160, 80, false), frag(from, to - from, to !== 240)];
      for (const i of order) h.inject(all[i]);
      for (const seen of got) assertEquals(hex(seen.payload), hex(pattern(240)), `${from}-${to} ${order}`);
      const { ip, ipExt } = h.inet.mib;
      if (ipExt.ReasmOverlaps > 0) {
        dropped++;
        assert(ip.ReasmFails >= 1 && h.net.dropped("DUP_FRAG") >= 1);
      }
      assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
      assertEquals(h.faults(), []);
    }
  }
  assert(dropped > 40, `${dropped} of ${shapes.length * 6} were overlaps`);
});

Deno.test("[A2] partial overlap kills the queue, the third fragment opens a new one", () => {
  const { h, got } = host();
  h.inject(frag(0, 24, true));
  h.inject(frag(16, 24, true));
  const { ip, ipExt } = h.inet.mib;
  assertEquals([ip.ReasmFails, ipExt.ReasmOverlaps, h.net.get(IPV4).fragMem()], [1, 1, 0]);
  h.inject(frag(24, 8, false));
  assertEquals(got.length, 0);
  assert(h.net.get(IPV4).fragMem() > 0);
  assertEquals(h.faults(), []);
});

Deno.test("[A2] a fragment contained in what is there is dropped as DUP_FRAG, the datagram lives", () => {
  const { h, got } = host();
  h.inject(frag(0, 48, true));
  h.inject(frag(0, 48, true));
  h.inject(frag(8, 16, true));
  h.inject(frag(48, 10, false));
  assertEquals([h.net.dropped("DUP_FRAG"), h.inet.mib.ip.ReasmFails, got.length], [2, 0, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("corrupt ends: beyond the known end, two ends, an empty fragment", () => {
  for (
    const list of [
      [frag(0, 8, true), frag(16, 8, false), frag(24, 8, true)],
      [frag(16, 8, false), frag(24, 8, false)],
      [frag(24, 8, true), frag(8, 8, false)],
      [frag(0, 8, true), frag(8, 5, true)],
      [frag(0, 8, true), frag(8, 0, false)],
    ]
  ) {
    const { h, got } = host();
    for (const p of list) h.inject(p);
    assertEquals([got.length, h.inet.mib.ip.ReasmFails, h.inet.mib.ipExt.ReasmOverlaps], [0, 1, 0]);
    assertEquals([h.net.dropped("FRAG_CORRUPT"), h.net.get(IPV4).fragMem()], [list.length, 0]);
    assertEquals(h.faults(), []);
  }
});

Deno.test("with MF the length is rounded down to a multiple of eight", () => {
  const { h, got } = host();
  h.inject(frag(0, 45, true));
  h.inject(frag(40, 10, false));
  assertEquals(hex(got[0].payload), hex(pattern(50)));
  assertEquals(h.faults(), []);
});

Deno.test("the datagram has the first fragment's header; DF if the largest fragment had it; ECN combined", () => {
  const { h, got } = host();
  const header = (a: Partial<Ipv4Fields>, b: Partial<Ipv4Fields>): number[] | null => {
    const n = got.length;
    h.inject(frag(0, 16, true, a));
    h.inject(frag(16, 24, false, b));
    if (got.length === n) return null;
    const view = new DataView(got.at(-1)!.header.buffer);
    return [view.getUint8(1), view.getUint8(8), view.getUint16(2), view.getUint16(6)];
  };
  assertEquals(header({ tos: 0x10, ttl: 9, reserved: true }, { ttl: 70 }), [0x10, 9, 60, 0]);
  assertEquals(header({ df: true }, {}), [0, 64, 60, 0]);
  assertEquals(header({}, { df: true }), [0, 64, 60, 0x4000]);
  assertEquals(header({ tos: 1 }, { tos: 2 }), [1, 64, 60, 0]);
  assertEquals(header({ tos: 2 }, { tos: 3 }), [3, 64, 60, 0]);
  assertEquals(header({ tos: 3 }, { tos: 3 }), [3, 64, 60, 0]);
  const fails = h.inet.mib.ip.ReasmFails;
  assertEquals(header({ tos: 0 }, { tos: 2 }), null);
  assertEquals(header({ tos: 3 }, { tos: 0 }), null);
  assertEquals(h.inet.mib.ip.ReasmFails - fails, 2);
  assertEquals(h.faults(), []);
});

Deno.test("a fragment that a tap holds keeps its bytes when the datagram's header is written", () => {
  const { h, got } = host();
  const first = frag(0, 16, true);
  const skb = h.skb(first);
  const tap = skb.clone()!;
  h.machine.enter();
  h.net.ptypes.buckets[0][0].func(skb, skb.dev!);
  h.machine.exit();
  h.inject(frag(16, 8, false));
  assertEquals([got.length, got[0].header[3]], [1, 44]);
  assertEquals(tap.bytes.slice(tap.data, tap.tail), first);
  tap.consume();
  assertEquals(h.faults(), []);
});

Deno.test("options of the first fragment stay, and were processed once", () => {
  const { h, got } = host();
  h.inject(frag(16, 8, false));
  h.inject(frag(0, 16, true, { options: ipOption.recordRoute(1) }));
  assertEquals(hex(got[0].header.subarray(20)), "0707080a09000100");
  assertEquals(got[0].payload, pattern(24));
  assertEquals(h.faults(), []);
});

Deno.test("datagrams of other hosts, ids and protocols do not mix", () => {
  const { h, got } = host();
  h.inject(frag(0, 8, true));
  h.inject(frag(8, 8, false, { id: 8 }));
  h.inject(frag(8, 8, false, { src: "10.9.0.3" }));
  h.inject(frag(8, 8, false, { proto: 254 }));
  h.inject(frag(8, 8, false, { dst: "10.9.0.255" }), { pktType: PACKET_BROADCAST });
  assertEquals(got.length, 0);
  h.inject(frag(8, 8, false));
  assertEquals(got.length, 1);
  assertEquals(h.faults(), []);
});

Deno.test("after 30 s the rest is dropped; the sender hears of it only if the first fragment was there", () => {
  const { h, errors } = host();
  h.inject(frag(0, 24, true, { id: 1 }));
  h.inject(frag(24, 24, true, { id: 1 }));
  h.inject(frag(8, 24, true, { id: 2 }));
  h.machine.advance(29.9e9);
  assertEquals(h.inet.mib.ip.ReasmTimeout, 0);
  h.machine.advance(0.2e9);
  const { ip } = h.inet.mib;
  assertEquals([ip.ReasmTimeout, ip.ReasmFails, h.net.dropped("FRAG_REASM_TIMEOUT")], [2, 2, 3]);
  assertEquals(errors.map((e) => [e[0], e[1]]), [[11, 1]]);
  assertEquals(errors[0][2].slice(0, 8), "4500002c");
  assertEquals(h.net.get(IPV4).fragMem(), 0);
  assertEquals(h.faults(), []);
});

Deno.test("ipfrag_max_dist: after 64 other fragments of one source a datagram begins anew", () => {
  const { h, got } = host();
  h.inject(frag(0, 8, true));
  for (let i = 0; i < 70; i++) h.inject(frag(0, 8, true, { id: 100 + i }));
  h.inject(frag(8, 8, false));
  assertEquals([got.length, h.net.dropped("FRAG_TOO_FAR")], [0, 1]);
  h.inject(frag(0, 8, true));
  assertEquals(got.length, 1);
  h.net.sysctl.set("net.ipv4.ipfrag_max_dist", 0);
  h.inject(frag(0, 8, true, { id: 50 }));
  for (let i = 0; i < 70; i++) h.inject(frag(0, 8, true, { id: 200 + i }));
  h.inject(frag(8, 8, false, { id: 50 }));
  assertEquals(got.length, 2);
  assertEquals(h.faults(), []);
});

Deno.test("[A3] FragmentSmack: memory stays below the threshold, the work near n log n, and a datagram passes again", () => {
  const { h, got } = host();
  const ops = h.net.get(IPV4);
  h.net.sysctl.set("net.ipv4.ipfrag_max_dist", 0);
  const random = h.machine.platform.random;
  let peak = 0;
  const n = 20_000;
  for (let i = 0; i < n; i++) {
    const offset = ((random() >>> 0) % 8000) * 8;
    h.inject(frag(offset, 8, true, { id: (random() >>> 0) % 64, src: `10.9.0.${2 + ((random() >>> 0) % 50)}` }));
    peak = Math.max(peak, ops.fragMem());
  }
  assert(peak < 4_194_304 + 2048, `${peak} bytes`);
  assert(h.net.dropped("FRAG_OOM") > 0);
  h.machine.advance(31e9);
  assertEquals(ops.fragMem(), 0);
  for (const p of fragment(ipv4(base, pattern(4000)), 1500)) h.inject(p);
  assertEquals(got.length, 1);
  assertEquals(h.faults(), []);
});

Deno.test("[A3] one datagram of 8,000 fragments in the worst orders costs n log n steps", () => {
  const orders: Record<string, (i: number, n: number) => number> = {
    forward: (i) => i,
    backward: (i, n) => n - 1 - i,
    "every other": (i, n) => i < n / 2 ? i * 2 : (i - n / 2) * 2 + 1,
    "every other, backward": (i, n) => i < n / 2 ? n - 2 - i * 2 : n - 1 - (i - n / 2) * 2,
    shuffled: (i, n) => (i * 4271) % n,
  };
  const { h, got } = host();
  const table = h.net.state<{ frags: { runs: { steps: number } } }>("ipv4:state", () => {
    throw new Error("there is none");
  });
  h.net.sysctl.set("net.ipv4.ipfrag_high_thresh", 64 << 20);
  const n = 8000;
  for (const [name, order] of Object.entries(orders)) {
    const before = table.frags.runs.steps;
    for (let i = 0; i < n; i++) {
      const at = order(i, n);
      h.inject(frag(at * 8, 8, at !== n - 1));
    }
    const steps = table.frags.runs.steps - before;
    assert(steps < 3 * n * Math.log2(n), `${name}: ${steps} steps`);
  }
  assertEquals(got.map((g) => g.payload.length), [64000, 64000, 64000, 64000, 64000]);
  assertEquals(got[4].payload, pattern(64000).map((_, i) => (i - (i % 8)) % 256 + i % 8));
  assertEquals(h.faults(), []);
});

Deno.test("[A5] many copies of one fragment are one queue and cheap", () => {
  const { h } = host();
  const ops = h.net.get(IPV4);
  h.inject(frag(80, 8, true));
  const mem = ops.fragMem();
  for (let i = 0; i < 2000; i++) h.inject(frag(80, 8, true));
  assertEquals([ops.fragMem(), h.net.dropped("DUP_FRAG")], [mem, 2000]);
  assertEquals(h.faults(), []);
});

Deno.test("[A4] LOCAL_IN sees whole datagrams only: a header split over two fragments does not pass a filter", () => {
  const nf = fakeNetfilter();
  nf.active[1] = 1;
  const seen: number[] = [];
  nf.hooks[1] = [(skb: SkBuff) => {
    seen.push(skb.len);
    // The filter reads byte 13 of the transport header, where TCP has its flags: in the second fragment.
    return skb.mayPull(34) && skb.view.getUint8(skb.networkHeader + 33) === 13 ? 0 : 1;
  }];
  const { h, got } = host(nf);
  h.inject(frag(0, 8, true));
  h.inject(frag(8, 32, false));
  assertEquals([seen, got.length, h.net.dropped("NETFILTER_DROP")], [[60], 0, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("when a device goes, so do the datagrams that came by it", () => {
  const { h } = host();
  h.inject(frag(0, 8, true));
  h.net.unregisterNetdevice(h.dev("eth0"));
  assertEquals([h.net.get(IPV4).fragMem(), h.net.dropped("QUEUE_PURGE")], [0, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("the tree keeps order whatever the order of insertion, and gives every run back", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { minLength: 1, maxLength: 60 }), fc.infiniteStream(fc.nat()), (starts, luck) => {
      const pool = new FragRunPool(() => luck.next().value!);
      const tree = new FragTree();
      const inside = new Set<number>();
      for (const s of starts) {
        const skb = { next: null, start: s } as unknown as SkBuff;
        const rc = tree.insert(pool, skb, s, s + 1);
        assertEquals(rc, inside.has(s) ? 1 : 0);
        inside.add(s);
      }
      const out: number[] = [];
      for (let p = tree.takeAll(pool); p !== null; p = p.next) out.push((p as unknown as { start: number }).start);
      assertEquals(out, [...inside].sort((a, b) => a - b));
      assertEquals([tree.root, tree.last], [null, null]);
    }),
    { numRuns: 300, seed: 11 },
  );
});
