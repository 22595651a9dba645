import { assert, assertEquals } from "@std/assert";
import { SOL_TCP, TCP_MAXSEG } from "../../../plugins/transport/tcp/contract.ts";
import { eth, icmpError, ipv4, tcp } from "../../support/frames/build.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer } from "../../support/tcp_peer.ts";

const TSTAMP = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0];

function largest(options: Iterable<number>, mtu?: number): number {
  using t = new RawPeer(mtu === undefined ? {} : { mtu });
  const fd = t.accept({ options: Uint8Array.from(options) });
  // The send buffer counts memory: of tiny segments it takes few.
  assert(t.write(fd, 4000) > 1000);
  return Math.max(...t.take().map((s) => s.len));
}

Deno.test("[A45] the peer's MSS: none and 0 are 536, tiny ones the floor, huge ones what our device carries", () => {
  assertEquals(largest([]), 536);
  assertEquals(largest(mssOption(0)), 536);
  assertEquals(largest(mssOption(1)), 48);
  assertEquals(largest(mssOption(47)), 48);
  assertEquals(largest(mssOption(48)), 48);
  assertEquals(largest(mssOption(1000)), 1000);
  assertEquals(largest(mssOption(1460)), 1460);
  assertEquals(largest(mssOption(65535)), 1460);
  assertEquals(largest(mssOption(65535), 600), 560);
});

Deno.test("the MSS that we tell is our device's, whatever the peer says", () => {
  using t = new RawPeer({ mtu: 1000 });
  t.connect({ options: mssOption(200) });
  using u = new RawPeer({ mtu: 1000 });
  const fd = u.host.sys.socket(2, 1, 0);
  u.host.sys.connect(fd, 0x0a000002, 4000);
  assert(u.take()[0].options.startsWith("020403c0"), "960");
});

Deno.test("timestamps take their 12 bytes off each segment", () => {
  using t = new RawPeer();
  t.port = 80;
  const lis = t.host.sys.socket(2, 1, 0);
  t.host.sys.bind(lis, 0, 80);
  t.host.sys.listen(lis, 4);
  t.send({ seq: 0, flags: "S", options: concat(mssOption(1460), TSTAMP) });
  const synAck = t.take()[0];
  const stamp = Uint8Array.from(synAck.options.match(/080a(.{8})/)![1].match(/../g)!, (h) => parseInt(h, 16));
  t.send({ seq: 1, ack: 1, options: concat([1, 1, 8, 10, 0, 0, 0, 9], stamp) });
  const fd = t.host.sys.accept(lis);
  t.write(fd, 3000);
  assertEquals(t.take().map((s) => s.len), [1448, 1448, 104]);
});

Deno.test("TCP_MAXSEG bounds what we tell and what we send", () => {
  using t = new RawPeer();
  const { sys } = t.host;
  const fd = sys.socket(2, 1, 0);
  assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_MAXSEG, 700), 0);
  sys.connect(fd, 0x0a000002, 4000);
  assert(t.take()[0].options.startsWith("020402bc"));
  t.send({ seq: 0, ack: 1, flags: "SA", options: mssOption(1460) });
  t.take();
  t.write(fd, 2000);
  assertEquals(t.take().map((s) => s.len), [700, 700, 600]);
  assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_MAXSEG, 40), -22);
});

Deno.test("no segment is larger than half of the largest window that the peer ever offered", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 1000 });
  t.write(fd, 2000);
  assertEquals(t.take().map((s) => s.len), [500, 500]);
});

Deno.test("an ICMP error that quotes data in flight lowers the MSS, and what was too large goes again in pieces", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 1460);
  assertEquals(t.take().map((s) => s.len), [1460]);
  const quote = (seq: number) =>
    ipv4(
      { src: "10.0.0.1", dst: "10.0.0.2", df: true, totalLength: 1500, proto: 6 },
      tcp({ sport: t.port, dport: t.sport, seq: (t.isn + seq) >>> 0, flags: "A" }),
    ).slice(0, 28);
  const error = (seq: number, mtu: number) =>
    t.dev.receive(
      eth(
        { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" },
        ipv4({ src: "10.0.0.2", dst: "10.0.0.1" }, icmpError({ type: 3, code: 4, mtu }, quote(seq))),
      ),
    );
  // Not in flight: RFC 5927.
  error(5000, 900);
  assertEquals([t.take().length, t.tp(fd).mssCache], [0, 1460]);
  error(1, 1000);
  assertEquals(t.take().map((s) => [s.seq, s.len]), [[1, 960], [961, 500]]);
  t.send({ seq: 1, ack: 1461 });
  t.write(fd, 1920);
  assertEquals(t.take().map((s) => s.len), [960, 960]);
});
