import { assertEquals } from "@std/assert";
import { PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST, type SkBuff } from "../../../core/mod.ts";
import { inetAddProtocol } from "../../../plugins/network/inet/contract.ts";
import { ipv4 as ipv4Plugin } from "../../../plugins/network/ipv4/mod.ts";
import { inDevGet } from "../../../plugins/network/devinet/contract.ts";
import {
  type FakeHost,
  fakeHost,
  type FakeHostOptions,
  fakeNetfilter,
  packetBytes,
} from "../../support/fakes/network.ts";
import { ipv4, pattern } from "../../support/frames/build.ts";

interface Got {
  bytes: Uint8Array;
  dataAtTransport: boolean;
  headerAt: number;
}

/** A host whose protocol 253 keeps what it gets, and which writes down the errors that are asked for. */
function host(
  options: Partial<FakeHostOptions> = {},
): { h: FakeHost; got: Got[]; errors: number[][] } {
  const h = fakeHost({ devices: { eth0: ["10.9.0.1/24"] }, plugins: [ipv4Plugin()], ...options });
  const got: Got[] = [];
  const errors: number[][] = [];
  inetAddProtocol(h.net, 253, {
    rcv(skb) {
      got.push({
        bytes: packetBytes(skb),
        dataAtTransport: skb.data === skb.transportHeader,
        headerAt: skb.data - skb.networkHeader,
      });
      skb.consume();
    },
    error: () => {},
  });
  h.inet.icmpSend = (_skb, type, code, info) => errors.push([type, code, info]);
  return { h, got, errors };
}

const me = { src: "10.9.0.2", dst: "10.9.0.1", proto: 253 };

Deno.test("[R17] [R19] [R20] a packet for us: header stripped, transport protocol found and called", () => {
  const { h, got } = host();
  h.inject(ipv4(me, "hello"));
  assertEquals(got, [{ bytes: new TextEncoder().encode("hello"), dataAtTransport: true, headerAt: 20 }]);
  assertEquals([h.inet.mib.ip.InReceives, h.inet.mib.ip.InDelivers, h.inet.mib.ipExt.InOctets], [1, 1, 25]);
  assertEquals(h.faults(), []);
});

Deno.test("[A12] link padding behind the total length is cut off", () => {
  const { h, got } = host();
  const packet = new Uint8Array(46);
  packet.set(ipv4(me, "abc"));
  packet.fill(0x55, 23);
  h.inject(packet);
  assertEquals(got[0].bytes, new TextEncoder().encode("abc"));
  assertEquals(h.faults(), []);
});

Deno.test("a malformed header is dropped with its reason and counted", () => {
  const { h, got } = host();
  const cases: [Uint8Array, string][] = [
    [ipv4({ ...me, version: 6 }), "IP_INHDR"],
    [ipv4({ ...me, ihl: 4 }), "IP_INHDR"],
    [ipv4({ ...me, ihl: 15 }), "IP_INHDR"],
    [ipv4(me).slice(0, 19), "IP_INHDR"],
    [ipv4({ ...me, checksum: 0 }), "IP_CSUM"],
    [ipv4({ ...me, checksum: 0xffff }), "IP_CSUM"],
    [ipv4({ ...me, totalLength: 4000 }), "PKT_TOO_SMALL"],
    [ipv4({ ...me, totalLength: 19 }, pattern(20)), "IP_INHDR"],
  ];
  for (const [packet, reason] of cases) {
    const before = h.net.dropped(reason);
    h.inject(packet);
    assertEquals(h.net.dropped(reason), before + 1, reason);
  }
  const { ip, ipExt } = h.inet.mib;
  assertEquals([ip.InReceives, ip.InHdrErrors, ipExt.InCsumErrors, ipExt.InTruncatedPkts], [8, 7, 2, 1]);
  assertEquals(got.length, 0);
  assertEquals(h.net.dropped("NOT_SPECIFIED"), 0);
  assertEquals(h.faults(), []);
});

Deno.test("a frame for another host is dropped before any check, uncounted", () => {
  const { h } = host();
  h.inject(Uint8Array.of(1, 2, 3), { pktType: PACKET_OTHERHOST });
  assertEquals([h.net.dropped("OTHERHOST"), h.inet.mib.ip.InReceives], [1, 0]);
  assertEquals(h.faults(), []);
});

Deno.test("a protocol that nobody handles: protocol unreachable, counted", () => {
  const { h, errors } = host();
  h.inject(ipv4({ ...me, proto: 99 }, "x"));
  assertEquals(errors, [[3, 2, 0]]);
  assertEquals([h.inet.mib.ip.InUnknownProtos, h.net.dropped("IP_NOPROTO")], [1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("raw sockets see everything; with one there is no protocol unreachable", () => {
  const { h, errors } = host();
  const seen: number[] = [];
  h.inet.rawDeliver = (_skb, protocol) => seen.push(protocol) > 0;
  h.inject(ipv4({ ...me, proto: 99 }, "x"));
  h.inject(ipv4(me, "x"));
  assertEquals(seen, [99, 253]);
  assertEquals(errors, []);
  assertEquals(h.inet.mib.ip.InDelivers, 2);
  assertEquals(h.faults(), []);
});

Deno.test("broadcast and multicast are delivered and counted", () => {
  const { h, got } = host();
  h.inject(ipv4({ ...me, dst: "10.9.0.255" }, "b"), { pktType: PACKET_BROADCAST });
  h.inject(ipv4({ ...me, dst: "255.255.255.255" }, "b"), { pktType: PACKET_BROADCAST });
  h.inject(ipv4({ ...me, dst: "224.0.0.1" }, "m"), { pktType: PACKET_MULTICAST });
  assertEquals([h.inet.mib.ipExt.InBcastPkts, h.inet.mib.ipExt.InMcastPkts, got.length], [2, 1, 3]);
  assertEquals(h.faults(), []);
});

Deno.test("unicast in a broadcast frame: taken, unless drop_unicast_in_l2_multicast", () => {
  const { h, got } = host();
  h.inject(ipv4(me, "x"), { pktType: PACKET_BROADCAST });
  inDevGet(h.dev("eth0"))!.conf.dropUnicastInL2Multicast = 1;
  h.inject(ipv4(me, "x"), { pktType: PACKET_BROADCAST });
  assertEquals([got.length, h.net.dropped("UNICAST_IN_L2_MULTICAST")], [1, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("[A7] [A8] what routing calls a martian is dropped with routing's reason, and silent", () => {
  const { h, errors } = host();
  for (const reason of ["IP_INVALID_SOURCE", "IP_LOCAL_SOURCE", "IP_LOCALNET", "IP_RPFILTER", "IP_INVALID_DEST"]) {
    h.fib.refuse.set(0x0a090001, h.machine.reasons.byName(reason));
    // Its option is bad too: what routing refuses is not looked into further.
    h.inject(ipv4({ ...me, options: [7, 1] }, "x"));
    assertEquals(h.net.dropped(reason), 1);
  }
  assertEquals(errors, []);
  assertEquals(h.inet.mib.ip.InHdrErrors, 0);
  assertEquals(h.faults(), []);
});

Deno.test("another host's packet on a host that does not forward: dropped, counted, silent", () => {
  const { h, errors } = host();
  h.inject(ipv4({ ...me, dst: "10.9.0.77" }, "x"));
  assertEquals([h.inet.mib.ip.InAddrErrors, h.net.dropped("IP_INADDRERRORS")], [1, 1]);
  assertEquals(errors, []);
  assertEquals(h.faults(), []);
});

Deno.test("PRE_ROUTING and LOCAL_IN see the packet in order; a drop there ends it", () => {
  const nf = fakeNetfilter();
  const { h, got } = host({ netfilter: nf });
  const order: string[] = [];
  const at = (hook: number, name: string, verdict: number): void => {
    nf.active[hook] = 1;
    nf.hooks[hook] = [(skb: SkBuff) => {
      order.push(`${name} ${skb.data - skb.networkHeader} ${skb.dst !== null}`);
      return verdict;
    }];
  };
  at(0, "PREROUTING", 1);
  at(1, "INPUT", 1);
  h.inject(ipv4(me, "x"));
  assertEquals(order, ["PREROUTING 0 false", "INPUT 0 true"]);
  assertEquals(got.length, 1);
  at(1, "INPUT", 0);
  h.inject(ipv4(me, "x"));
  assertEquals(got.length, 1);
  at(0, "PREROUTING", 0);
  h.inject(ipv4(me, "x"));
  assertEquals([order.length, h.net.dropped("NETFILTER_DROP")], [5, 2]);
  assertEquals(h.faults(), []);
});

Deno.test("hooks where nobody registered are not called", () => {
  const nf = fakeNetfilter();
  let calls = 0;
  nf.run = () => (calls++, 0);
  const { h, got } = host({ netfilter: nf });
  h.inject(ipv4(me, "x"));
  assertEquals([calls, got.length], [0, 1]);
  assertEquals(h.faults(), []);
});

Deno.test("the plugin can be swapped while packets come; tunables and counters stay", () => {
  const { h, got } = host();
  h.net.sysctl.set("net.ipv4.ip_default_ttl", 7);
  h.inject(ipv4(me, "a"));
  h.net.swap("ipv4", ipv4Plugin());
  h.inject(ipv4(me, "b"));
  assertEquals([got.length, h.inet.mib.ip.InReceives, h.net.sysctl.get("net.ipv4.ip_default_ttl")], [2, 2, 7]);
  assertEquals(h.net.dropTable(), {});
  assertEquals(h.faults(), []);
});
