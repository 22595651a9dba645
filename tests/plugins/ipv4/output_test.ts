import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { DESTRUCTOR_WFREE, ERRNO, PACKET_LOOPBACK, type SkbOwner, type SkBuff } from "../../../core/mod.ts";
import { inetAddProtocol } from "../../../plugins/network/inet/contract.ts";
import { FIB } from "../../../plugins/network/fib/contract.ts";
import { type IpCork, IPV4, ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { type FakeHost, fakeHost, type FakeHostOptions, fakeNetfilter } from "../../support/fakes/network.ts";
import { concat, decodePacket, hex, ipBytes, ipOption, pattern } from "../../support/frames/build.ts";

function host(options: Partial<FakeHostOptions> = {}): FakeHost {
  return fakeHost({
    devices: { eth0: ["10.9.0.1/24"] },
    routes: [{ to: "default", dev: "eth0", via: "10.9.0.254" }],
    plugins: [ipv4Plugin()],
    ...options,
  });
}

const ip = (text: string): number => new DataView(ipBytes(text).buffer).getInt32(0);

function cork(h: FakeHost, to: string, payload: Uint8Array, more: Partial<IpCork> = {}): IpCork {
  return {
    dst: h.net.get(FIB).routeOutput(ip(to), 0, 0, 0),
    saddr: ip("10.9.0.1"),
    daddr: ip(to),
    protocol: 253,
    tos: 0,
    ttl: 0,
    pmtudisc: 1,
    ident: -1,
    options: null,
    buf: payload,
    off: 0,
    len: payload.length,
    transhdrlen: 8,
    mtu: 0,
    site: h.machine.ledger.site("test_sendmsg", "cpu"),
    errno: 0,
    ...more,
  };
}

/** makeSkb, transport header, sendSkb, as UDP does it. */
function send(h: FakeHost, c: IpCork, before: (skb: SkBuff) => void = () => {}): number {
  const ops = h.net.get(IPV4);
  h.machine.enter();
  const skb = ops.makeSkb(c);
  let rc = c.errno;
  if (skb !== null) {
    for (let i = 0; i < c.transhdrlen; i++) skb.bytes[skb.data + i] = 0xa0 + i;
    before(skb);
    rc = ops.sendSkb(skb, c);
  }
  h.machine.exit();
  return rc;
}

Deno.test("[T8] [T9] a datagram: one copy in, header complete, next hop by the route", () => {
  const h = host();
  assertEquals(send(h, cork(h, "8.8.8.8", pattern(100), { tos: 0x10 })), 0);
  const [sent] = h.sent;
  const out = decodePacket(sent.bytes).ipv4!;
  assertEquals([out.src, out.dst, out.ttl, out.tos], ["10.9.0.1", "8.8.8.8", 64, 0x10]);
  assertEquals([out.totalLength, out.proto, out.df, out.mf, out.offset], [128, 253, true, false, 0]);
  assert(out.checksumOk);
  assertEquals(hex(sent.bytes.subarray(20, 28)), "a0a1a2a3a4a5a6a7");
  assertEquals(sent.bytes.slice(28), pattern(100));
  assertEquals([sent.hop, sent.priority], [ip("10.9.0.254"), 6]);
  assertEquals([h.machine.ledger.bytesAt("test_sendmsg"), h.machine.ledger.total("cpu")], [100, 100]);
  assertEquals([h.inet.mib.ip.OutRequests, h.inet.mib.ip.OutTransmits, h.inet.mib.ipExt.OutOctets], [1, 1, 128]);
  assertEquals(h.faults(), []);
});

Deno.test("[T6] [T7] headers go in front by moving data down: the payload stays where it was put", () => {
  const h = host();
  let at = 0;
  let tail = 0;
  let kept: SkBuff | null = null;
  send(h, cork(h, "10.9.0.2", pattern(64)), (skb) => {
    at = skb.data;
    tail = skb.tail;
    kept = skb;
    assert(skb.headroom >= 60 + 14);
  });
  const nf = fakeNetfilter();
  nf.active[4] = 1;
  const g = host({ netfilter: nf });
  nf.hooks[4] = [(skb: SkBuff) => {
    assertEquals([skb.data - at, skb.tail - tail, skb.networkHeader === skb.data], [-20, 0, true]);
    return 1;
  }];
  send(g, cork(g, "10.9.0.2", pattern(64)), (skb) => {
    at = skb.data;
    tail = skb.tail;
  });
  assertEquals(g.sent.length, 1);
  assertNotEquals(kept, null);
  assertEquals([h.faults(), g.faults()], [[], []]);
});

Deno.test("[T11] larger than the MTU: built in parts, the fast path fragments without a copy", () => {
  const h = host();
  const payload = pattern(8000);
  assertEquals(send(h, cork(h, "10.9.0.2", payload)), 0);
  const out = h.sent.map((s) => decodePacket(s.bytes).ipv4!);
  assertEquals(out.map((o) => [o.offset, o.totalLength, o.mf, o.df]), [
    [0, 1500, true, false],
    [1480, 1500, true, false],
    [2960, 1500, true, false],
    [4440, 1500, true, false],
    [5920, 1500, true, false],
    [7400, 628, false, false],
  ]);
  assertEquals(new Set(out.map((o) => o.id)).size, 1);
  assert(out.every((o) => o.checksumOk));
  const whole = new Uint8Array(h.sent.flatMap((s) => [...s.bytes.subarray(20)]));
  assertEquals(whole.subarray(8), payload);
  assertEquals([h.machine.ledger.total("cpu"), h.machine.ledger.bytesAt("ip_fragment")], [8000, 0]);
  assertEquals([h.inet.mib.ip.FragOKs, h.inet.mib.ip.FragCreates, h.inet.mib.ip.OutRequests], [1, 6, 1]);
  assertEquals(new Set(h.sent.map((s) => s.id)).size, 1);
  assertEquals(h.faults(), []);
});

Deno.test("the largest datagram, and one byte more", () => {
  const h = host();
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(65507))), 0);
  assertEquals(h.sent.length, 45);
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(65508))), -ERRNO.EMSGSIZE);
  assertEquals(h.faults(), []);
});

Deno.test("over a device of MTU 65,535 a large datagram is one packet, payload in frags", () => {
  const h = host();
  assertEquals(send(h, cork(h, "10.9.0.1", pattern(65507))), 0);
  assertEquals(h.sent.map((s) => [s.dev, s.bytes.length]), [["lo", 65535]]);
  assertEquals(h.machine.ledger.total("cpu"), 65507);
  assertEquals(h.sent[0].bytes.slice(28), pattern(65507));
  assertEquals(h.faults(), []);
});

Deno.test("path-MTU discovery: DF and EMSGSIZE by mode", () => {
  const h = host();
  h.fib.pmtu.set(ip("8.8.8.8"), 600);
  const probe = (pmtudisc: number, len: number): [number, boolean[]] => {
    h.sent.length = 0;
    const rc = send(h, cork(h, "8.8.8.8", pattern(len), { pmtudisc }));
    return [rc, h.sent.map((s) => decodePacket(s.bytes).ipv4!.df)];
  };
  assertEquals(probe(0, 100), [0, [false]]);
  assertEquals(probe(0, 700), [0, [false, false]]);
  assertEquals(probe(1, 572), [0, [true]]);
  assertEquals(probe(1, 573), [0, [false, false]]);
  assertEquals(probe(2, 572), [0, [true]]);
  assertEquals(probe(2, 573), [-ERRNO.EMSGSIZE, []]);
  assertEquals(probe(3, 1472)[0], -ERRNO.EMSGSIZE);
  assertEquals(probe(3, 572), [0, [true]]);
  assertEquals(h.faults(), []);
});

Deno.test("options of the caller: copied, and we enter ourselves", () => {
  const h = host();
  const options = concat(ipOption.recordRoute(2), [0]);
  send(h, cork(h, "10.9.0.2", pattern(4), { options }));
  const out = decodePacket(h.sent[0].bytes).ipv4!;
  assertEquals([out.ihl, out.options, out.checksumOk], [8, "070b080a0900010000000000", true]);
  assertEquals(h.faults(), []);
});

Deno.test("[T10] LOCAL_OUT and POST_ROUTING see our own packet; a drop gives EPERM", () => {
  const nf = fakeNetfilter();
  const h = host({ netfilter: nf });
  const seen: number[] = [];
  for (const hook of [3, 4]) {
    nf.active[hook] = 1;
    nf.hooks[hook] = [(skb: SkBuff) => (seen.push(hook, skb.len), 1)];
  }
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(10))), 0);
  assertEquals(seen, [3, 38, 4, 38]);
  nf.hooks[3] = [() => 0];
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(10))), -ERRNO.EPERM);
  assertEquals(h.inet.mib.ip.OutDiscards, 1);
  assertEquals(h.faults(), []);
});

Deno.test("what the queue refuses is ENOBUFS, congestion is none", () => {
  const h = host();
  h.results.push(1, 2);
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(10))), -ERRNO.ENOBUFS);
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(10))), 0);
  assertEquals(h.faults(), []);
});

Deno.test("a fragment that fails takes the later ones with it", () => {
  const h = host();
  h.results.push(0, 1);
  assertEquals(send(h, cork(h, "10.9.0.2", pattern(5000))), -ERRNO.ENOBUFS);
  assertEquals([h.sent.length, h.inet.mib.ip.FragFails, h.inet.mib.ip.FragCreates], [1, 1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("the sender pays for fragments until they are gone, on both paths", () => {
  const h = host({ mtu: { eth0: 1500, lo: 65535 } });
  for (const shrink of [false, true]) {
    let charged = 0;
    const owner: SkbOwner = {
      wfree: (n) => charged -= n,
      rfree: () => {},
      error: () => {},
      mark: 0,
      priority: 0,
      txQueue: -1,
    };
    send(h, cork(h, "10.9.0.2", pattern(5000)), (skb) => {
      skb.owner = owner;
      skb.destructor = DESTRUCTOR_WFREE;
      charged += skb.truesize;
      // Parts that no longer fit: the slow path.
      if (shrink) h.dev("eth0").mtu = 700;
    });
    assertEquals(charged, 0, shrink ? "slow" : "fast");
  }
  assertEquals(h.machine.ledger.bytesAt("ip_fragment"), 5008);
  assertEquals(h.faults(), []);
});

Deno.test("our own broadcast, and multicast to a group we joined, come back to us once", () => {
  const h = host({ groups: ["224.1.1.1"] });
  const got: number[] = [];
  inetAddProtocol(h.net, 253, {
    rcv: (skb) => (got.push(skb.pktType, skb.len), skb.consume()),
    error: () => {},
  });
  send(h, cork(h, "10.9.0.255", pattern(4)));
  send(h, cork(h, "224.1.1.1", pattern(5)));
  send(h, cork(h, "224.2.2.2", pattern(6)));
  assertEquals(got, [PACKET_LOOPBACK, 12, PACKET_LOOPBACK, 13]);
  assertEquals(h.sent.map((s) => decodePacket(s.bytes).ipv4!.ttl), [64, 1, 1]);
  assertEquals([h.inet.mib.ipExt.OutBcastPkts, h.inet.mib.ipExt.OutMcastPkts], [1, 2]);
  assertEquals(h.fib.inputs, 0);
  assertEquals(h.faults(), []);
});

Deno.test("queueXmit: header in front of a routed packet, its own head", () => {
  const h = host();
  const ops = h.net.get(IPV4);
  const skb = h.machine.skbs.alloc(256)!;
  skb.reserve(60);
  skb.put(20);
  const twin = skb.clone()!;
  skb.dst = h.net.get(FIB).routeOutput(ip("10.9.0.2"), 0, 0, 0);
  h.machine.enter();
  assertEquals(ops.queueXmit(skb, ip("10.9.0.1"), ip("10.9.0.2"), 6, 0xb8, 33, true), 0);
  h.machine.exit();
  const out = decodePacket(h.sent[0].bytes).ipv4!;
  assertEquals([out.proto, out.tos, out.ttl, out.df, out.id, out.totalLength], [6, 0xb8, 33, true, 0, 40]);
  assertEquals([twin.len, twin.headroom], [20, 60]);
  twin.consume();
  assertEquals(h.faults(), []);
});

Deno.test("[A6] ids: 0 where it can never be fragmented, else per destination and protocol, keyed, in steps that time widens", () => {
  const ids = (seed: number): number[] => {
    using h = host({ seed });
    const { selectIdent } = h.net.get(IPV4);
    return Array.from({ length: 8 }, () => selectIdent(1, 2, 17, 1));
  };
  const one = ids(1);
  for (let i = 1; i < 8; i++) assertEquals((one[i] - one[i - 1]) & 0xffff, 1);
  assertNotEquals(one, ids(2));

  using h = host();
  const { selectIdent } = h.net.get(IPV4);
  // What a stranger sees of the counter tells nothing of what others are sent.
  send(h, cork(h, "10.9.0.2", pattern(4), { pmtudisc: 2 }));
  send(h, cork(h, "10.9.0.2", pattern(4), { pmtudisc: 1 }));
  assertEquals(h.sent.map((s) => decodePacket(s.bytes).ipv4!).map((o) => [o.df, o.id !== 0]), [
    [true, false],
    [true, true],
  ]);
  const before = selectIdent(1, 0x01020304, 17, 1);
  for (let i = 0; i < 100; i++) selectIdent(1, 0x05060708, 17, 1);
  assertEquals((selectIdent(1, 0x01020304, 17, 1) - before) & 0xffff, 1);
  // After a pause the step is random.
  const steps = new Set<number>();
  for (let i = 0; i < 50; i++) {
    h.machine.advance(100e6);
    const a = selectIdent(1, 0x01020304, 17, 1);
    steps.add(a);
  }
  const sorted = [...steps];
  assert(new Set(sorted.map((s, i) => i === 0 ? 0 : (s - sorted[i - 1]) & 0xffff)).size > 20);
});

Deno.test("no route, and refusing routes", () => {
  const h = host({ routes: [] });
  assertEquals(send(h, cork(h, "8.8.8.8", pattern(4))), -ERRNO.ENETUNREACH);
  assertEquals(h.faults(), []);
});
