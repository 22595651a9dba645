import { assert, assertEquals } from "@std/assert";
import { PACKET_BROADCAST } from "../../../core/mod.ts";
import { ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { icmp as icmpPlugin, icmpIsError } from "../../../plugins/network/icmp/mod.ts";
import { type FakeHost, fakeHost, type FakeHostOptions } from "../../support/fakes/network.ts";
import {
  concat,
  decodePacket,
  hex,
  icmp,
  icmpEcho,
  ipOption,
  ipv4,
  type Ipv4Fields,
  pattern,
  udp,
} from "../../support/frames/build.ts";

function host(options: Partial<FakeHostOptions> = {}): FakeHost {
  const h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin(), icmpPlugin()], ...options });
  unlimited(h);
  return h;
}

function unlimited(h: FakeHost): void {
  h.net.sysctl.set("net.ipv4.icmp_ratelimit", 0);
  h.net.sysctl.set("net.ipv4.icmp_msgs_per_sec", 1e9);
  h.net.sysctl.set("net.ipv4.icmp_msgs_burst", 1e9);
}

/** Linux's limits as they are by default. */
function limited(seed: number): FakeHost {
  return fakeHost({
    devices: { eth0: ["10.9.0.1/24"] },
    routes: [{ to: "default", dev: "eth0", via: "10.9.0.254" }],
    plugins: [ipv4Plugin(), icmpPlugin()],
    seed,
  });
}

// Nobody handles protocol 99: what comes is answered with protocol unreachable.
const stray: Ipv4Fields = { src: "10.9.0.2", dst: "10.9.0.1", proto: 99 };

Deno.test("an error quotes the packet; source is the address asked, precedence is internetwork control", () => {
  const h = host({ devices: { eth0: ["10.9.0.1/24", "10.9.0.11/24"] } });
  const packet = ipv4({ ...stray, dst: "10.9.0.11", tos: 0x12, id: 5 }, pattern(30));
  h.inject(packet);
  const out = decodePacket(h.sent[0].bytes);
  assertEquals([out.ipv4!.src, out.ipv4!.dst, out.ipv4!.tos, out.ipv4!.ttl, out.ipv4!.df], [
    "10.9.0.11",
    "10.9.0.2",
    0xd2,
    64,
    false,
  ]);
  assertEquals([out.icmp!.type, out.icmp!.code, out.icmp!.checksumOk, out.ipv4!.checksumOk], [3, 2, true, true]);
  assertEquals(hex(h.sent[0].bytes.subarray(28)), hex(packet));
  assertEquals([h.inet.mib.icmp.OutMsgs, h.inet.mib.icmp.OutDestUnreachs, h.inet.mib.icmpMsg.outType[3]], [1, 1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("TOS of errors, as the kernel showed", () => {
  const h = host();
  const table = [[0, 0xc0], [0x10, 0xd0], [0x20, 0xc0], [0x02, 0xc2], [0x03, 0xc2], [0x01, 0xc0], [0xff, 0xde]];
  for (const [tos] of table) h.inject(ipv4({ ...stray, tos }, "x"));
  assertEquals(h.sent.map((s) => s.bytes[1]), table.map(([, want]) => want));
  assertEquals(h.faults(), []);
});

Deno.test("[A61] an error is 576 bytes at most, options and all; only bytes of the packet are in it", () => {
  const h = host();
  for (const n of [0, 1, 3, 527, 528, 529, 1400]) {
    h.sent.length = 0;
    const packet = ipv4(stray, pattern(n, 1));
    const padded = new Uint8Array(packet.length + 7).fill(0xee);
    padded.set(packet);
    h.inject(padded);
    const quoted = h.sent[0].bytes.subarray(28);
    assertEquals(hex(quoted), hex(packet.subarray(0, 548)));
  }
  h.sent.length = 0;
  const options = ipOption.recordRoute(9);
  h.inject(ipv4({ ...stray, options }, pattern(1000)));
  assertEquals([h.sent[0].bytes.length, h.sent[0].bytes[0]], [576, 0x4f]);
  assertEquals(h.faults(), []);
});

Deno.test("the limit is the path's MTU where that is smaller", () => {
  const h = host({ mtu: { eth0: 300 } });
  h.inject(ipv4(stray, pattern(280)));
  assertEquals(h.sent[0].bytes.length, 300);
  assertEquals(h.faults(), []);
});

Deno.test("[A15] no error about an error, a broadcast, a later fragment, or a packet from nobody", () => {
  const h = host({ forward: true, routes: [{ to: "10.10.0.0/16", dev: "eth0", via: "10.9.0.3" }] });
  const silent = (packet: Uint8Array, pktType = 0): void => {
    h.inject(packet, { pktType });
    assertEquals(h.sent.length, 0, hex(packet));
  };
  const through = { src: "10.9.0.2", dst: "10.10.0.1", ttl: 1 };
  for (const type of [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 19, 40, 255]) silent(ipv4(through, icmp({ type })));
  silent(ipv4({ ...through, proto: 1 }));
  silent(ipv4(stray, "x"), PACKET_BROADCAST);
  silent(ipv4({ ...stray, dst: "10.9.0.255" }, "x"), PACKET_BROADCAST);
  silent(ipv4({ ...stray, dst: "224.0.0.1" }, "x"));
  silent(ipv4({ ...stray, dst: "10.9.0.255" }, "x"));
  silent(ipv4({ ...through, proto: 99, offset: 8 }, "x"));
  for (const src of ["0.0.0.0", "224.0.0.5", "255.255.255.255"]) silent(ipv4({ ...stray, src }, "x"));
  // About requests, replies and first fragments there are errors.
  for (const type of [0, 8, 13, 14, 15, 16, 17, 18]) h.inject(ipv4(through, icmp({ type })));
  h.inject(ipv4({ ...through, proto: 99, mf: true }, pattern(8)));
  assertEquals(h.sent.map((s) => decodePacket(s.bytes).icmp!.type), new Array(9).fill(11));
  assertEquals(h.faults(), []);
});

Deno.test("which types are errors", () => {
  const errors = Array.from({ length: 20 }, (_, i) => i).filter(icmpIsError);
  assertEquals(errors, [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 19]);
});

Deno.test("a router's errors come from its address towards the sender, or from the inbound device's if asked", () => {
  const h = host({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    forward: true,
    routes: [{ to: "10.20.0.0/16", dev: "eth1", via: "10.10.0.3" }],
  });
  h.inject(ipv4({ src: "10.20.0.9", dst: "10.10.0.77", ttl: 1 }, udp({}, "x")), { dev: "eth0" });
  h.net.sysctl.set("net.ipv4.icmp_errors_use_inbound_ifaddr", 1);
  h.inject(ipv4({ src: "10.20.0.9", dst: "10.10.0.77", ttl: 1 }, udp({}, "x")), { dev: "eth0" });
  assertEquals(h.sent.map((s) => decodePacket(s.bytes).ipv4!.src), ["10.10.0.1", "10.9.0.1"]);
  assertEquals(h.sent.map((s) => [s.dev, s.hop]), [["eth1", 0x0a0a0003], ["eth1", 0x0a0a0003]]);
  assertEquals(h.faults(), []);
});

Deno.test("fragmentation needed has the MTU, parameter problem the pointer and the options seen so far", () => {
  const h = host({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    mtu: { eth1: 600 },
    forward: true,
  });
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.10.0.9", df: true }, udp({}, pattern(1000))));
  assertEquals(decodePacket(h.sent[0].bytes).icmp!.mtu, 600);
  const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 130, 1, 0, 0);
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1", options }, icmpEcho({ id: 1 }, "hello")));
  // Byte for byte what the kernel sent, but for the id: the quoted option has our address, the quoted checksum is old.
  const out = decodePacket(h.sent[1].bytes);
  assertEquals([out.icmp!.pointer, out.ipv4!.options], [27, "0707080a09000100"]);
  assertEquals(out.icmp!.quoted!.ipv4!.options, "0707080a09000182" + "01000000");
  assertEquals(out.icmp!.quoted!.ipv4!.checksumOk, false);
  // Also about a packet that would not have been forwarded.
  const g = host();
  g.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.77", options: [130, 1, 0, 0] }, icmpEcho({ id: 1 }, "hello")));
  assertEquals(decodePacket(g.sent[0].bytes).icmp!.pointer, 20);
  assertEquals([h.faults(), g.faults()], [[], []]);
});

Deno.test("an error carries a timestamp and the source route back, reversed, and goes to its first hop", () => {
  const h = host();
  const stamp = ipOption.timestamp(1, new Uint8Array(24), 9, 15);
  // A source route that came from 10.9.0.7 over 10.9.0.2, and behind it a second timestamp, which is one too many.
  const options = concat(stamp, ipOption.looseRoute(["10.9.0.2"], 8), stamp.subarray(0, 4));
  h.inject(ipv4({ src: "10.9.0.7", dst: "10.9.0.1", options }, icmpEcho({ id: 1 }, "hello")));
  const out = decodePacket(h.sent[0].bytes);
  assertEquals([out.ipv4!.dst, out.icmp!.type, out.icmp!.pointer], ["10.9.0.2", 12, 20 + 28 + 7]);
  const T = "00000000";
  const want = `441c19f1${T}0a090001${T}0a090001${T}00000000`.slice(0, 56) + "8307040a090007" + "00";
  assertEquals(out.ipv4!.options, want);
  assertEquals(h.faults(), []);
});

Deno.test("an error about a reassembled datagram quotes it whole, also across its parts", () => {
  const h = host();
  const whole = ipv4({ ...stray, id: 9 }, pattern(400));
  h.inject(ipv4({ ...stray, id: 9, offset: 200 }, pattern(200, 200)));
  h.inject(ipv4({ ...stray, id: 9, mf: true }, pattern(200)));
  assertEquals(hex(h.sent[0].bytes.subarray(28)), hex(whole));
  assertEquals(h.faults(), []);
});

Deno.test("[A15] error storm: ten thousand strays in a second get as many answers as the limits allow", () => {
  const h = limited(1);
  // One source: six at once, then one per second.
  for (let i = 0; i < 1000; i++) {
    h.inject(ipv4(stray, "x"));
    h.machine.advance(1e6);
  }
  assert(h.sent.length >= 6 && h.sent.length <= 7, `${h.sent.length} to one source`);
  assertEquals(h.inet.mib.icmp.OutRateLimitHost + h.inet.mib.icmp.OutRateLimitGlobal + h.sent.length, 1000);
  // Ten thousand sources at one instant: the burst of the whole net, spent by 0 to 2 a message.
  h.machine.advance(5e9);
  h.sent.length = 0;
  for (let i = 0; i < 10_000; i++) h.inject(ipv4({ ...stray, src: 0x0a090100 + i }, "x"));
  assert(h.sent.length >= 25 && h.sent.length <= 110, `${h.sent.length} in a burst`);
  assert(h.inet.mib.icmp.OutRateLimitGlobal > 9000);
  assertEquals(h.net.dropped("IP_NOPROTO"), 11_000);
  // Echo replies are not limited, nor is path-MTU discovery.
  h.sent.length = 0;
  for (let i = 0; i < 200; i++) h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1" }, icmpEcho({}, "x")));
  assertEquals(h.sent.length, 200);
  assertEquals(h.faults(), []);
});

Deno.test("[A16] SAD DNS: the whole budget cannot be counted, it differs from run to run", () => {
  const counts = new Set<number>();
  for (let seed = 1; seed <= 30; seed++) {
    const h = limited(seed);
    for (let i = 0; i < 300; i++) h.inject(ipv4({ ...stray, src: 0x0a090100 + i }, "x"));
    counts.add(h.sent.length);
    assertEquals(h.faults(), []);
  }
  assert(counts.size > 5, `${[...counts]}`);
});

Deno.test("without icmp the net is mute, and nothing leaks", () => {
  const h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin()] });
  h.inject(ipv4(stray, "x"));
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1" }, icmpEcho({}, "x")));
  assertEquals([h.sent.length, h.net.dropped("IP_NOPROTO")], [0, 2]);
  assertEquals(h.faults(), []);
});
