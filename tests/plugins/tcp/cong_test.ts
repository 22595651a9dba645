/** The registry of congestion controls: choice, defaults, replacement in connections that live, and controls that fail. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { INET } from "../../../plugins/network/inet/mod.ts";
import { cubic, TCP, tcpRegisterCongestionControl } from "../../../plugins/transport/tcp/mod.ts";
import { tcpSk } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { useCongestion } from "../../support/congestion.ts";
import { twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnection } from "../../support/tcp.ts";
import { RawPeer } from "../../support/tcp_peer.ts";

const MS = 1e6;

Deno.test("an unknown name is refused with ENOENT, and nothing changes", () => {
  using t = twoHosts();
  const fd = t.a.sys.socket(2, 1, 0);
  const sk = t.a.sys.sock(fd)!;
  assertEquals(sk.ops.setsockoptString!(sk, 6, 13, "none"), -2);
  assertEquals(tcpSk(sk).icskCaOps.name, "cubic");
  assert(!t.a.net.get(TCP).setDefaultCongestionControl("none"));
  assertThrows(() => tcpRegisterCongestionControl(t.a.net, { name: "a name that is too long" }), TypeError);
  t.a.sys.close(fd);
});

Deno.test("a child has its listener's control where that was chosen, else the default", () => {
  for (const [chosen, want] of [[true, "reno"], [false, "cubic"]] as const) {
    using t = new RawPeer();
    const { sys } = t.host;
    const lis = sys.socket(2, 1, 0);
    sys.bind(lis, 0, 80);
    if (chosen) useCongestion(t.host, lis, "reno");
    sys.listen(lis, 4);
    t.port = 80;
    t.send({ seq: 0, flags: "S" });
    t.take();
    t.send({ seq: 1, ack: 1 });
    const fd = sys.accept(lis);
    assertEquals(t.tp(fd).icskCaOps.name, want);
    sys.close(fd);
    sys.close(lis);
    t.send({ seq: 1, flags: "R" });
  }
});

Deno.test("the same name registered again takes over in connections that live; disposed, the one before comes back", () => {
  using t = twoHosts({ wire: { delayNs: 1 * MS } });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  const tp = useCongestion(t.a, client.fd, "reno");
  server.run(0);
  let calls = 0;
  const own = tcpRegisterCongestionControl(t.a.net, {
    name: "reno",
    congAvoid: (sock, _ack, acked) => {
      calls++;
      sock.sndCwnd = 7 + 0 * acked;
    },
  });
  client.write(500_000);
  t.machine.advance(200 * MS);
  assert(calls > 0);
  assertEquals(tp.sndCwnd, 7);
  own[Symbol.dispose]();
  const before = calls;
  client.write(1_000_000);
  t.machine.advance(200 * MS);
  assertEquals(calls, before);
  assert(tp.sndCwnd > 7);
  // Another net's Reno is its own.
  const other = t.b.sys.socket(2, 1, 0);
  assert(useCongestion(t.b, other, "reno").icskCaOps !== tp.icskCaOps);
  t.b.sys.close(other);
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("cubic is swapped for a new one during a transfer; removed, its connections go on with Reno", () => {
  using t = twoHosts({ wire: { delayNs: 1 * MS, rateBps: 100e6 } });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  const { icskCaOps } = tcpSk(t.a.sys.sock(client.fd)!);
  assertEquals(icskCaOps.name, "cubic");
  client.run(3_000_000);
  server.run(0);
  for (let i = 0; i < 5; i++) {
    t.machine.advance(20 * MS);
    t.a.net.swap("cubic", cubic());
    assert(t.a.net.get(TCP).congestionControls().includes("cubic"), "it is there after a swap");
    assertEquals(tcpSk(t.a.sys.sock(client.fd)!).icskCaOps, icskCaOps);
  }
  for (let i = 0; i < 500 && !server.eof; i++) t.machine.advance(10 * MS);
  assertEquals([server.received, server.errno], [3_000_000, 0]);
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("what a control throws, or sets out of range, never reaches the packet path", () => {
  using t = twoHosts({ wire: { delayNs: 1 * MS, loss: 0.08, rateBps: 50e6 }, machine: { strict: false } });
  tcpRegisterCongestionControl(t.a.net, {
    name: "broken",
    init: () => {
      throw new Error("init");
    },
    ssthresh: () => NaN,
    congAvoid: (tp) => {
      tp.sndCwnd = tp.delivered % 3 === 0 ? NaN : -5;
    },
    undoCwnd: () => {
      throw new Error("undo");
    },
  });
  t.a.net.get(TCP).setDefaultCongestionControl("broken");
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  const tp = tcpSk(t.a.sys.sock(client.fd)!);
  client.run(300_000);
  server.run(0);
  for (let i = 0; i < 6000 && !server.eof; i++) {
    t.machine.advance(10 * MS);
    assert(Number.isInteger(tp.sndCwnd) && tp.sndCwnd >= 1, `${tp.sndCwnd}`);
  }
  assertEquals([server.received, client.errno], [300_000, 0]);
  t.machine.advance(100 * MS);
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
  const { RetransSegs, OutSegs } = t.a.net.get(INET).mib.tcp;
  assert(RetransSegs > 0, `${RetransSegs} of ${OutSegs}, ${JSON.stringify(t.wire.counters)}`);
});
