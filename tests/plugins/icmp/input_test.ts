import { assert, assertEquals } from "@std/assert";
import { PACKET_BROADCAST } from "../../../core/mod.ts";
import { inetAddProtocol } from "../../../plugins/network/inet/contract.ts";
import { ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { icmp as icmpPlugin, icmpRegisterPing } from "../../../plugins/network/icmp/mod.ts";
import { type FakeHost, fakeHost, type FakeHostOptions } from "../../support/fakes/network.ts";
import {
  concat,
  decodePacket,
  fragment,
  hex,
  icmp,
  icmpEcho,
  icmpError,
  ipBytes,
  ipOption,
  ipv4,
  type Ipv4Fields,
  pattern,
  tcp,
  udp,
} from "../../support/frames/build.ts";

function host(options: Partial<FakeHostOptions> = {}): FakeHost {
  return fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin(), icmpPlugin()], ...options });
}

const ip = (text: string): number => new DataView(ipBytes(text).buffer).getInt32(0);
const me: Ipv4Fields = { src: "10.9.0.2", dst: "10.9.0.1" };

Deno.test("an echo request is answered: the same bytes go back in a new packet, none copied", () => {
  const h = host();
  h.inject(ipv4({ ...me, tos: 0x2b, id: 99, df: true, ttl: 3 }, icmpEcho({ id: 7, seq: 9, code: 255 }, pattern(56))));
  const [sent] = h.sent;
  const out = decodePacket(sent.bytes);
  assertEquals([out.ipv4!.src, out.ipv4!.dst, out.ipv4!.ttl, out.ipv4!.tos], ["10.9.0.1", "10.9.0.2", 64, 0x2b]);
  assertEquals([out.ipv4!.df, out.ipv4!.checksumOk, out.ipv4!.totalLength], [false, true, 84]);
  assertEquals([out.icmp!.type, out.icmp!.code, out.icmp!.id, out.icmp!.seq], [0, 255, 7, 9]);
  assertEquals([out.icmp!.checksumOk, out.payload], [true, hex(pattern(56))]);
  assert(sent.cause !== 0 && sent.id !== sent.cause);
  assertEquals([h.machine.ledger.total("cpu"), h.machine.ledger.total("header")], [0, 0]);
  const { icmp: mib, icmpMsg } = h.inet.mib;
  assertEquals([mib.InMsgs, mib.InEchos, mib.OutMsgs, mib.OutEchoReps, mib.InErrors], [1, 1, 1, 1, 0]);
  assertEquals([icmpMsg.inType[8], icmpMsg.outType[0]], [1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("echo of every length from 0 to 100 has a right checksum, also where the sum is zero", () => {
  const h = host();
  for (let n = 0; n <= 100; n++) h.inject(ipv4(me, icmpEcho({ id: n, seq: n }, pattern(n))));
  h.inject(ipv4(me, icmpEcho({ id: 0, seq: 0 }, new Uint8Array(8))));
  assertEquals(h.sent.length, 102);
  assert(h.sent.every((s) => decodePacket(s.bytes).icmp!.checksumOk));
  assertEquals(decodePacket(h.sent[101].bytes).icmp!.checksum, 0xffff);
  assertEquals(h.faults(), []);
});

Deno.test("the request's bytes stay as they came where a tap holds them", () => {
  const h = host();
  const packet = ipv4(me, icmpEcho({ id: 1, seq: 2 }, pattern(30)));
  const skb = h.skb(packet);
  const tap = skb.clone()!;
  h.machine.enter();
  h.net.ptypes.buckets[0][0].func(skb, skb.dev!);
  h.machine.exit();
  assertEquals(tap.bytes.slice(tap.data, tap.tail), packet);
  assertEquals(decodePacket(h.sent[0].bytes).icmp!.checksumOk, true);
  tap.consume();
  assertEquals(h.faults(), []);
});

Deno.test("a fragmented echo request: the reply is cut at our MTU, in the same buffers where the cuts are the same", () => {
  const h = host();
  const request = ipv4({ ...me, id: 5, df: true }, icmpEcho({ id: 1, seq: 1 }, pattern(8000)));
  const check = (copied: number): void => {
    const out = h.sent.map((s) => decodePacket(s.bytes).ipv4!);
    assertEquals(out.map((o) => [o.offset, o.totalLength, o.mf]), [
      [0, 1500, true],
      [1480, 1500, true],
      [2960, 1500, true],
      [4440, 1500, true],
      [5920, 1500, true],
      [7400, 628, false],
    ]);
    const whole = new Uint8Array(h.sent.flatMap((s) => [...s.bytes.subarray(20)]));
    assertEquals(hex(whole.subarray(4)), hex(concat([0, 1, 0, 1], pattern(8000))));
    assertEquals(decodePacket(ipv4(me, whole)).ipv4!.checksumOk, true);
    assertEquals(h.machine.ledger.total("cpu"), copied);
  };
  for (const p of fragment(request, 1500)) h.inject(p);
  check(0);
  assertEquals([h.inet.mib.ip.FragOKs, h.inet.mib.ip.FragCreates], [1, 6]);
  h.sent.length = 0;
  for (const p of fragment(request, 600)) h.inject(p);
  check(8008 * 2);
  assertEquals(h.faults(), []);
});

Deno.test("[A10] smurf: no answer to broadcast and multicast, unless icmp_echo_ignore_broadcasts is 0", () => {
  const h = host();
  for (const dst of ["10.9.0.255", "255.255.255.255", "224.0.0.1"]) {
    h.inject(ipv4({ ...me, dst }, icmpEcho({}, "x")), { pktType: PACKET_BROADCAST });
    h.inject(ipv4({ ...me, dst }, icmp({ type: 13 }, pattern(12))), { pktType: PACKET_BROADCAST });
  }
  assertEquals([h.sent.length, h.net.dropped("INVALID_PROTO")], [0, 6]);
  assertEquals([h.inet.mib.icmp.InErrors, h.inet.mib.icmp.InEchos], [6, 3]);
  h.net.sysctl.set("net.ipv4.icmp_echo_ignore_broadcasts", 0);
  h.inject(ipv4({ ...me, dst: "10.9.0.255" }, icmpEcho({}, "x")), { pktType: PACKET_BROADCAST });
  assertEquals(decodePacket(h.sent[0].bytes).ipv4!.src, "10.9.0.1");
  assertEquals(h.faults(), []);
});

Deno.test("icmp_echo_ignore_all: silence", () => {
  const h = host();
  h.net.sysctl.set("net.ipv4.icmp_echo_ignore_all", 1);
  h.inject(ipv4(me, icmpEcho({}, "x")));
  assertEquals([h.sent.length, h.net.dropTable()], [0, {}]);
  assertEquals(h.faults(), []);
});

Deno.test("a timestamp request is answered with 12 bytes and code 0", () => {
  const h = host();
  h.machine.advance(1234e6);
  h.inject(ipv4(me, icmp({ type: 13, code: 9, rest: 0x00010002 }, concat([1, 2, 3, 4], pattern(20)))));
  const out = decodePacket(h.sent[0].bytes);
  assertEquals([out.icmp!.type, out.icmp!.code, out.icmp!.id, out.icmp!.seq], [14, 0, 1, 2]);
  assertEquals([out.payload, out.icmp!.checksumOk, out.ipv4!.totalLength], ["01020304000004d2000004d2", true, 40]);
  h.inject(ipv4(me, icmp({ type: 13 }, [1, 2, 3])));
  assertEquals([h.sent.length, h.net.dropped("PKT_TOO_SMALL"), h.inet.mib.icmp.InErrors], [1, 1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("checksum, length and type: each refused as Linux refuses it", () => {
  const h = host();
  const table: [Uint8Array, string][] = [
    [icmpEcho({ checksum: 0 }, "x"), "ICMP_CSUM"],
    [new Uint8Array(0), "ICMP_CSUM"],
    [icmp({ type: 8 }).slice(0, 4), "PKT_TOO_SMALL"],
    [icmp({ type: 19 }), "UNHANDLED_PROTO"],
    [icmp({ type: 255 }), "UNHANDLED_PROTO"],
    [icmpEcho({ reply: true }), "NO_SOCKET"],
    [icmp({ type: 43 }), "NO_SOCKET"],
    ...[1, 2, 6, 7, 9, 10, 14, 15, 16, 17, 18, 42].map((type): [Uint8Array, string] => [icmp({ type }), ""]),
  ];
  for (const [message, reason] of table) {
    const before = { ...h.net.dropTable() };
    h.inject(ipv4({ ...me, proto: 1 }, message));
    if (reason === "") assertEquals(h.net.dropTable(), before);
    else assertEquals(h.net.dropped(reason), (before[reason] ?? 0) + 1, reason);
  }
  assertEquals([h.sent.length, h.inet.mib.icmp.InCsumErrors, h.inet.mib.icmp.InErrors], [0, 2, 5]);
  // To all, what is no request of RFC 792 is refused before its type is looked at, but for 42.
  for (const type of [0, 14, 19, 42, 43]) h.inject(ipv4({ ...me, dst: "10.9.0.255" }, icmp({ type })));
  assertEquals([h.net.dropped("INVALID_PROTO"), h.inet.mib.icmp.InErrors], [4, 9]);
  assertEquals(h.faults(), []);
});

Deno.test("replies carry record route and timestamp back, entered again; no room: no reply", () => {
  const h = host();
  const echo = (options: Uint8Array): string | null => {
    h.sent.length = 0;
    h.inject(ipv4({ ...me, options }, icmpEcho({ id: 1 }, "hello")));
    if (h.sent.length === 0) return null;
    const out = decodePacket(h.sent[0].bytes);
    assert(out.ipv4!.checksumOk && out.icmp!.checksumOk);
    return out.ipv4!.options;
  };
  const T = "00000000";
  // As the kernel answered the same requests.
  assertEquals(echo(ipOption.timestamp(0, new Uint8Array(4))), `44080900${T}`);
  assertEquals(echo(ipOption.timestamp(0, new Uint8Array(12))), `44100d00${T}${T}00000000`);
  assertEquals(echo(ipOption.timestamp(0, new Uint8Array(4), 9)), `44080910${T}`);
  assertEquals(echo(ipOption.timestamp(1, new Uint8Array(8))), `440c0d010a090001${T}`);
  assertEquals(echo(ipOption.timestamp(1, new Uint8Array(16))), `441415010a090001${T}0a090001${T}`);
  assertEquals(echo(ipOption.timestamp(1, new Uint8Array(12))), null);
  const pair = (a: string): Uint8Array => concat(ipBytes("10.9.0.1"), new Uint8Array(4), ipBytes(a), new Uint8Array(4));
  assertEquals(echo(ipOption.timestamp(3, pair("10.9.0.1"))), `441415030a090001${T}0a090001${T}`);
  assertEquals(echo(ipOption.timestamp(3, pair("10.9.0.7"))), `44140d030a090001${T}0a09000700000000`);
  assertEquals(echo(ipOption.recordRoute(3)), "070f0c0a0900010a0900010000000000");
  assertEquals(echo(ipOption.recordRoute(1)), "0707080a09000100");
  assertEquals(echo(concat(ipOption.routerAlert(), ipOption.security(), [1, 1])), "");
  assertEquals(h.faults(), []);
});

/** A protocol that writes down the errors it gets. */
function listen(h: FakeHost, protocol: number): number[][] {
  const got: number[][] = [];
  inetAddProtocol(h.net, protocol, {
    rcv: (skb) => skb.consume(),
    error(skb, type, code, info) {
      got.push([type, code, info, skb.view.getUint8(skb.data + 9), skb.tail - skb.data]);
    },
  });
  return got;
}

const ours = ipv4({ src: "10.9.0.1", dst: "8.8.8.8" }, udp({ sport: 1000, dport: 53 }, "question"));

Deno.test("an error goes to the protocol of the packet that it quotes, with what it says", () => {
  const h = host();
  const got = listen(h, 17);
  h.inject(ipv4(me, icmpError({ type: 3, code: 3 }, ours)));
  h.inject(ipv4(me, icmpError({ type: 3, code: 4, mtu: 1400 }, ours)));
  h.inject(ipv4(me, icmpError({ type: 11, code: 0 }, ours)));
  h.inject(ipv4(me, icmpError({ type: 12, pointer: 22 }, ours)));
  h.inject(ipv4(me, icmpError({ type: 5, code: 1, gateway: "10.9.0.3" }, ours)));
  h.inject(ipv4(me, icmpError({ type: 4 }, ours)));
  assertEquals(got.map((g) => g.slice(0, 4)), [
    [3, 3, 0, 17],
    [3, 4, 1400, 17],
    [11, 0, 0, 17],
    [12, 0, 22, 17],
    [5, 1, ip("10.9.0.3"), 17],
    [4, 0, 0, 17],
  ]);
  // Fragment reassembly time exceeded, and codes that do not exist, are nobody's.
  h.inject(ipv4(me, icmpError({ type: 11, code: 1 }, ours)));
  h.inject(ipv4(me, icmpError({ type: 3, code: 16 }, ours)));
  assertEquals(got.length, 6);
  assertEquals(h.net.dropTable(), {});
  assertEquals(h.faults(), []);
});

Deno.test("[A19] a quoted packet that is short: every length, never read beyond what is there", () => {
  const h = host();
  const got = listen(h, 17);
  const quoted = ipv4({ src: "10.9.0.1", dst: "8.8.8.8", options: [1, 1, 1, 1] }, udp({ sport: 1, dport: 2 }, "q"));
  for (let n = 0; n <= quoted.length; n++) h.inject(ipv4(me, icmpError({ type: 3, code: 3 }, quoted.subarray(0, n))));
  // 24 bytes of header and 8 behind it are needed.
  assertEquals(got.length, quoted.length - 31);
  assertEquals([h.net.dropped("PKT_TOO_SMALL"), h.inet.mib.icmp.InErrors], [20, 32]);
  for (let ihl = 0; ihl < 16; ihl++) {
    const lie = ipv4({ src: "10.9.0.1", dst: "8.8.8.8", ihl, proto: 17 }, pattern(12));
    h.inject(ipv4(me, icmpError({ type: 3, code: 3 }, lie)));
  }
  assertEquals(h.net.dropped("IP_INHDR"), 5);
  assertEquals(got.length, quoted.length - 31 + 2);
  h.inject(ipv4(me, icmpError({ type: 5, code: 1 }, quoted.subarray(0, 19))));
  assertEquals(h.net.dropped("PKT_TOO_SMALL"), 21);
  assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
  assertEquals(h.faults(), []);
});

Deno.test("[A17] fragmentation needed about an echo reply of ours lowers the path MTU; about others it does not", () => {
  const h = host();
  const tell = (mtu: number, quoted: Uint8Array): void =>
    h.inject(ipv4(me, icmpError({ type: 3, code: 4, mtu }, quoted)));
  const reply = (src: string): Uint8Array => ipv4({ src, dst: "8.8.8.8" }, icmpEcho({ reply: true }, "x"));
  tell(1000, ipv4({ src: "10.9.0.1", dst: "8.8.8.8" }, icmpEcho({}, "x")));
  tell(1000, reply("10.9.0.99"));
  assertEquals(h.fib.pmtu.size, 0);
  tell(1000, reply("10.9.0.1"));
  assertEquals(h.fib.pmtu.get(ip("8.8.8.8")), 1000);
  for (const mtu of [0, 67, 551]) {
    tell(mtu, reply("10.9.0.1"));
    assertEquals(h.fib.pmtu.get(ip("8.8.8.8")), 552);
  }
  h.inject(ipv4(me, icmpError({ type: 5, code: 1, gateway: "10.9.0.3" }, reply("10.9.0.1"))));
  assertEquals(h.fib.redirects, [[ip("8.8.8.8"), ip("10.9.0.2"), ip("10.9.0.3")]]);
  assertEquals(h.faults(), []);
});

Deno.test("ip_no_pmtu_disc: 1 believes no number, 2 nothing, 3 only for TCP", () => {
  const h = host();
  const toUdp = listen(h, 17);
  const toTcp = listen(h, 6);
  const segment = ipv4({ src: "10.9.0.1", dst: "8.8.8.8" }, tcp({ sport: 1, dport: 2 }));
  for (const mode of [0, 1, 2, 3]) {
    h.net.sysctl.set("net.ipv4.ip_no_pmtu_disc", mode);
    h.inject(ipv4(me, icmpError({ type: 3, code: 4, mtu: 1000 }, ours)));
    h.inject(ipv4(me, icmpError({ type: 3, code: 4, mtu: 1000 }, segment)));
  }
  assertEquals([toUdp.map((g) => g[2]), toTcp.map((g) => g[2])], [[1000, 0], [1000, 0, 1000]]);
  assertEquals(h.faults(), []);
});

Deno.test("ping sockets get echo replies and errors about echo requests, as long as they are registered", () => {
  const h = host();
  const got: string[] = [];
  const registration = icmpRegisterPing(h.net, (skb) => {
    got.push(`reply ${skb.view.getUint16(skb.data + 4)} ${skb.data === skb.transportHeader}`);
    if (skb.view.getUint16(skb.data + 4) !== 7) return false;
    skb.consume();
    return true;
  }, (_skb, type, code, info) => got.push(`error ${type} ${code} ${info}`));
  h.inject(ipv4(me, icmpEcho({ id: 7, reply: true })));
  h.inject(ipv4(me, icmpEcho({ id: 8, reply: true })));
  h.inject(ipv4(me, icmpError({ type: 3, code: 1 }, ipv4({ src: "10.9.0.1", dst: "8.8.8.8" }, icmpEcho({ id: 7 })))));
  assertEquals(got, ["reply 7 true", "reply 8 true", "error 3 1 0"]);
  assertEquals(h.net.dropped("NO_SOCKET"), 1);
  registration[Symbol.dispose]();
  h.inject(ipv4(me, icmpEcho({ id: 7, reply: true })));
  assertEquals([got.length, h.net.dropped("NO_SOCKET")], [3, 2]);
  assertEquals(h.faults(), []);
});

Deno.test("the plugin can be swapped; who pings stays registered", () => {
  const h = host();
  let replies = 0;
  icmpRegisterPing(h.net, (skb) => (replies++, skb.consume(), true), () => {});
  h.net.swap("icmp", icmpPlugin());
  h.inject(ipv4(me, icmpEcho({ id: 7, reply: true })));
  h.inject(ipv4(me, icmpEcho({ id: 7 }, "x")));
  h.inject(ipv4({ ...me, proto: 99 }, "x"));
  assertEquals([replies, h.sent.map((s) => decodePacket(s.bytes).icmp!.type)], [1, [0, 3]]);
  assertEquals(h.faults(), []);
});
