import { assertEquals } from "@std/assert";
import { inDevGet } from "../../../plugins/network/devinet/contract.ts";
import { inetAddProtocol } from "../../../plugins/network/inet/contract.ts";
import { ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { type FakeHost, fakeHost } from "../../support/fakes/network.ts";
import {
  concat,
  decodePacket,
  hex,
  ipBytes,
  ipOption,
  ipOptionBytes,
  ipv4,
  pattern,
} from "../../support/frames/build.ts";

/** What came of a packet with these options: "ok" with the options as the protocol saw them, a pointer, or a drop. */
function receive(options: Uint8Array, change: (h: FakeHost) => void = () => {}): string {
  using h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin()] });
  let out = "";
  inetAddProtocol(h.net, 253, {
    rcv(skb) {
      out = "ok " + hex(skb.bytes.slice(skb.networkHeader + 20, skb.transportHeader));
      skb.consume();
    },
    error: () => {},
  });
  h.inet.icmpSend = (_skb, type, code, info) => out = `${type}/${code} +${(info >>> 24) - 20}`;
  change(h);
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1", proto: 253, options }, "hello"));
  if (out.startsWith("12/")) {
    assertEquals([h.inet.mib.ip.InHdrErrors, h.net.dropped("IP_INHDR")], [1, 1]);
  }
  if (out === "") out = Object.keys(h.net.dropTable()).join();
  assertEquals(h.faults(), []);
  return out;
}

const rr = (slots: number, pointer?: number): Uint8Array => ipOption.recordRoute(slots, pointer);
const ts = (flag: number, data: Uint8Array, pointer?: number, overflow?: number): Uint8Array =>
  ipOption.timestamp(flag, data, pointer, overflow);
const NOON = "00000000";

Deno.test("[A11] record route: entered, full, and every way to be malformed", () => {
  assertEquals(receive(rr(2)), "ok 070b080a0900010000000000");
  assertEquals(receive(rr(1, 8)), "ok 0707080000000000");
  assertEquals(receive(rr(1, 255)), "ok 0707ff0000000000");
  assertEquals(receive(Uint8Array.of(7, 2, 1, 1)), "12/0 +1");
  assertEquals(receive(rr(1, 3)), "12/0 +2");
  assertEquals(receive(rr(1, 5)), "12/0 +2");
  assertEquals(receive(concat(rr(1), rr(1))), "12/0 +7");
});

Deno.test("[A11] timestamp: each flag, full, overflow, malformed", () => {
  const me = ipBytes("10.9.0.1");
  const empty = new Uint8Array(4);
  assertEquals(receive(ts(0, new Uint8Array(8))), `ok 440c0900${NOON}00000000`);
  assertEquals(receive(ts(1, new Uint8Array(8))), `ok 440c0d010a090001${NOON}`);
  assertEquals(receive(ts(3, concat(me, empty))), `ok 440c0d030a090001${NOON}`);
  assertEquals(receive(ts(3, concat(ipBytes("10.9.0.7"), empty))), "ok 440c05030a09000700000000");
  assertEquals(receive(ts(0, empty, 9, 3)), "ok 4408094000000000");
  assertEquals(receive(ts(0, empty, 9, 15)), "12/0 +3");
  assertEquals(receive(ts(3, concat(me, empty), 13, 15)), "ok 440c0df30a09000100000000");
  assertEquals(receive(ts(2, empty)), "ok 4408050200000000");
  assertEquals(receive(Uint8Array.of(68, 3, 5, 1)), "12/0 +1");
  assertEquals(receive(ts(0, empty, 4)), "12/0 +2");
  assertEquals(receive(ts(0, empty, 6)), "12/0 +2");
  assertEquals(receive(ts(1, empty)), "12/0 +2");
  assertEquals(receive(ts(3, empty)), "12/0 +2");
  assertEquals(receive(concat(ts(0, empty), ts(0, empty))), "12/0 +8");
});

Deno.test("[A11] source routes: refused without a word, malformed ones with", () => {
  const loose = ipOption.looseRoute(["10.1.0.1"]);
  assertEquals(receive(loose), "IP_OPTIONS");
  assertEquals(receive(ipOption.strictRoute(["10.1.0.1"])), "IP_OPTIONS");
  assertEquals(receive(ipOption.looseRoute(["10.1.0.1"], 8)), "IP_OPTIONS");
  assertEquals(receive(Uint8Array.of(131, 2, 1, 1)), "12/0 +1");
  assertEquals(receive(ipOption.looseRoute(["10.1.0.1"], 3)), "12/0 +2");
  assertEquals(receive(concat(loose, ipOption.strictRoute(["10.1.0.1"]))), "12/0 +7");
});

Deno.test("[A11] other options: CIPSO is not configured, router alert, unknown kinds, END blanks what follows", () => {
  assertEquals(receive(Uint8Array.of(134, 6, 0, 0, 0, 1, 0, 0)), "12/0 +1");
  assertEquals(receive(Uint8Array.of(134, 7, 0, 0, 0, 1, 0, 0)), "12/0 +1");
  assertEquals(receive(Uint8Array.of(134, 8, 0, 0, 0, 1, 1, 2)), "12/0 +2");
  assertEquals(receive(ipOption.routerAlert()), "ok 94040000");
  assertEquals(receive(Uint8Array.of(148, 3, 0, 1)), "12/0 +1");
  assertEquals(receive(Uint8Array.of(200, 4, 9, 9)), "ok c8040909");
  assertEquals(receive(ipOption.security()), "ok 8204ab00");
  assertEquals(receive(Uint8Array.of(1, 0, 7, 99)), "ok 01000000");
});

Deno.test("[A11] every kind with every length from 0 to 40: no throw, no leak, and the pointer where Linux points", () => {
  using h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin()] });
  inetAddProtocol(h.net, 253, { rcv: (skb) => skb.consume(), error: () => {} });
  let pointer = -1;
  h.inet.icmpSend = (_skb, type, _code, info) => pointer = type === 12 ? (info >>> 24) - 20 : -2;
  for (let kind = 2; kind < 256; kind++) {
    for (let len = 0; len <= 41; len++) {
      pointer = -1;
      const options = new Uint8Array(40);
      options[0] = kind;
      options[1] = len;
      h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1", proto: 253, options }));
      if (len < 2 || len > 40) assertEquals(pointer, 0, `kind ${kind} length ${len}`);
      else if (![7, 68, 131, 134, 137, 148].includes(kind)) assertEquals(pointer, -1, `kind ${kind} length ${len}`);
    }
    // As the last byte there is no room for a length.
    pointer = -1;
    h.inject(ipv4({ src: "10.9.0.2", dst: "10.9.0.1", proto: 253, options: [1, 1, 1, kind] }));
    assertEquals(pointer, 3, `kind ${kind} last`);
  }
  assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
  assertEquals(h.faults(), []);
});

Deno.test("the option's entry is written into a private head: a tap's clone keeps the packet as it came", () => {
  using h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin()] });
  inetAddProtocol(h.net, 253, { rcv: (skb) => skb.consume(), error: () => {} });
  const packet = ipv4({ src: "10.9.0.2", dst: "10.9.0.1", proto: 253, options: rr(1) });
  const skb = h.skb(packet);
  const tap = skb.clone()!;
  h.machine.enter();
  h.net.ptypes.buckets[0][0].func(skb, skb.dev!);
  h.machine.exit();
  assertEquals(tap.bytes.slice(tap.data, tap.tail), packet);
  tap.consume();
  assertEquals(h.faults(), []);
});

Deno.test("a source route is obeyed where accept_source_route says so: over us, and to the next hop", () => {
  using h = fakeHost({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    forward: true,
    plugins: [ipv4Plugin()],
  });
  inDevGet(h.dev("eth0"))!.conf.acceptSourceRoute = 1;
  h.inject(ipv4({
    src: "10.9.0.2",
    dst: "10.9.0.1",
    proto: 253,
    options: ipOption.looseRoute(["10.10.0.1", "10.10.0.5", "10.10.0.9"]),
  }, "x"));
  const out = decodePacket(h.sent[0].bytes);
  assertEquals([h.sent[0].dev, out.ipv4!.dst, out.ipv4!.checksumOk], ["eth1", "10.10.0.5", true]);
  assertEquals(out.ipv4!.options.slice(0, 6), "830f0c");
  assertEquals(out.ipv4!.options.slice(14, 22), "0a0a0001");
  assertEquals(h.faults(), []);
});

Deno.test("forwarding: record route gets the outgoing address, the checksum is right again", () => {
  using h = fakeHost({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    forward: true,
    plugins: [ipv4Plugin()],
  });
  const options = concat(rr(1), [1], ts(1, new Uint8Array(8)));
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.10.0.9", proto: 253, options }, pattern(9)));
  const out = decodePacket(h.sent[0].bytes).ipv4!;
  assertEquals(out.options, `0707080a0a000101440c0d010a090001${NOON}`);
  assertEquals([out.checksumOk, out.ttl], [true, 63]);
  assertEquals(h.faults(), []);
});

Deno.test("when fragmented: all options in the first, copied ones in the others, NOPs for the rest", () => {
  using h = fakeHost({
    devices: { eth0: ["10.9.0.1/24"], eth1: ["10.10.0.1/24"] },
    mtu: { eth1: 100 },
    forward: true,
    plugins: [ipv4Plugin()],
  });
  const options = concat(rr(1), ipOption.security(), ipOptionBytes(200, [1, 2]), [1]);
  h.inject(ipv4({ src: "10.9.0.2", dst: "10.10.0.9", proto: 253, options }, pattern(120)));
  const out = h.sent.map((s) => decodePacket(s.bytes).ipv4!);
  const later = "01010101010101" + "8204ab00" + "c8040102" + "01";
  assertEquals(out.map((o) => o.options), ["0707080a0a0001" + "8204ab00" + "c8040102" + "01", later]);
  assertEquals(out.map((o) => [o.offset, o.mf, o.totalLength, o.checksumOk]), [
    [0, true, 36 + 64, true],
    [64, false, 36 + 56, true],
  ]);
  assertEquals(h.faults(), []);
});
