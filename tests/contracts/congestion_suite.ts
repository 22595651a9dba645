/**
 * The contract of a congestion control, as tests that run over any of them: how the window grows and shrinks, that nothing
 * a peer does with its ACKs makes it grow faster, and that connections move their bytes with it through a wire that loses.
 */
import { assert, assertEquals } from "@std/assert";
import type { Plugin } from "../../core/mod.ts";
import { TCP, type TcpCongestionOps } from "../../plugins/transport/tcp/mod.ts";
import { tcpSk } from "../../plugins/transport/tcp/tcp_sock.ts";
import { useCongestion } from "../support/congestion.ts";
import { FakeCongestionSock } from "../support/fakes/congestion_sock.ts";
import { twoHosts } from "../support/hosts.ts";
import { assertNothingLeft, tcpConnection } from "../support/tcp.ts";

/** A congestion control to be tested. */
export interface CongestionCase {
  /** `reno`. */
  name: string;
  /** Registers it; null: TCP has it by itself. */
  plugin: (() => Plugin) | null;
  /** What of the window a loss leaves, at least and at most. */
  decrease: readonly [number, number];
}

const RTT = 20_000;

/** The registered record of a control. */
function opsOf(c: CongestionCase): TcpCongestionOps {
  using t = twoHosts();
  if (c.plugin !== null && !t.a.net.get(TCP).congestionControls().includes(c.name)) t.a.net.use(c.plugin());
  const fd = t.a.sys.socket(2, 1, 0);
  const { icskCaOps } = useCongestion(t.a, fd, c.name);
  t.a.sys.close(fd);
  assertEquals(icskCaOps.name, c.name);
  return { ...icskCaOps };
}

/** Runs the suite. */
export function congestionSuite(c: CongestionCase): void {
  const test = (name: string, body: (ops: TcpCongestionOps) => void): void =>
    Deno.test(`congestion ${c.name}: ${name}`, () => body(opsOf(c)));

  test("slow start doubles the window per round trip, also where an ACK is for two packets", (ops) => {
    for (const per of [1, 2]) {
      const tp = new FakeCongestionSock(ops);
      tp.burst(RTT, per);
      assertEquals(tp.sndCwnd, 20);
      tp.burst(RTT, per);
      assertEquals(tp.sndCwnd, 40);
    }
  });

  test("slow start ends at the threshold, and no packet of the ACK is lost", (ops) => {
    const tp = new FakeCongestionSock(ops);
    tp.sndSsthresh = 16;
    tp.ack(10, RTT);
    assert(tp.sndCwnd >= 16 && tp.sndCwnd <= 17, `${tp.sndCwnd}`);
  });

  test("a window that the application does not fill stays as it is", (ops) => {
    const tp = new FakeCongestionSock(ops);
    for (const threshold of [5, 0x7fffffff]) {
      tp.sndSsthresh = threshold;
      tp.isCwndLimited = false;
      for (let i = 0; i < 100; i++) {
        tp.maxPacketsOut = 2;
        tp.ops.congAvoid(tp, tp.sndUna, 2);
        tp.pass(1000);
      }
      assertEquals(tp.sndCwnd, 10);
    }
  });

  test("ACKs that acknowledge no whole packet give nothing", (ops) => {
    const tp = new FakeCongestionSock(ops);
    for (let i = 0; i < 1000; i++) tp.ack(0, RTT);
    assertEquals(tp.sndCwnd, 10);
    tp.sndSsthresh = 5;
    for (let i = 0; i < 1000; i++) tp.ack(0, RTT);
    assert(tp.sndCwnd <= 11, `${tp.sndCwnd}`);
  });

  test("avoidance: at least a packet in two round trips, at most half of the window in one", (ops) => {
    const tp = new FakeCongestionSock(ops);
    tp.sndCwnd = 40;
    tp.lose(3);
    for (let i = 0; i < 200; i++) {
      const before = tp.sndCwnd;
      tp.round(RTT);
      assert(tp.sndCwnd >= before && tp.sndCwnd <= before + Math.ceil(before / 2) + 1, `${before} -> ${tp.sndCwnd}`);
    }
    assert(tp.sndCwnd >= 40 + 20, `${tp.sndCwnd} after 200 round trips`);
  });

  test("a loss takes its part, and never less than two packets are left", (ops) => {
    for (const cwnd of [1, 2, 3, 10, 100, 1000]) {
      const tp = new FakeCongestionSock(ops);
      tp.sndCwnd = cwnd;
      const threshold = tp.ops.ssthresh(tp);
      assert(Number.isInteger(threshold) && threshold >= 2, `${cwnd}: ${threshold}`);
      if (cwnd < 10) continue;
      const [low, high] = c.decrease;
      assert(threshold >= Math.floor(cwnd * low) && threshold <= Math.ceil(cwnd * high), `${cwnd}: ${threshold}`);
    }
  });

  test("after a timeout it starts slowly, and is where it was before in time", (ops) => {
    const tp = new FakeCongestionSock(ops);
    tp.sndCwnd = 64;
    tp.lose(4);
    assertEquals(tp.sndCwnd, 1);
    for (let i = 0; i < 5; i++) tp.burst(RTT);
    assertEquals(tp.sndCwnd, Math.min(32, tp.sndSsthresh));
    for (let i = 0; i < 400 && tp.sndCwnd < 64; i++) tp.round(RTT);
    assert(tp.sndCwnd >= 64, `${tp.sndCwnd}`);
  });

  test("a reduction that proved wrong is undone", (ops) => {
    const tp = new FakeCongestionSock(ops);
    tp.sndCwnd = 50;
    tp.lose(3);
    assert(tp.sndCwnd < 50);
    assertEquals(tp.ops.undoCwnd(tp), 50);
  });

  test("the upper bound holds", (ops) => {
    const tp = new FakeCongestionSock(ops);
    tp.sndCwndClamp = 25;
    for (let i = 0; i < 20; i++) tp.round(RTT);
    assertEquals(tp.sndCwnd, 25);
    tp.lose(3);
    for (let i = 0; i < 500; i++) tp.round(RTT);
    assertEquals(tp.sndCwnd, 25);
  });

  Deno.test(`congestion ${c.name}: 2 MB through a wire that loses 1 % and reorders 2 %, and nothing is left`, () => {
    using t = twoHosts({ seed: 11, wire: { delayNs: 5e6, loss: 0.01, reorder: 0.02, rateBps: 50e6 } });
    for (const host of [t.a, t.b]) {
      if (c.plugin !== null && !host.net.get(TCP).congestionControls().includes(c.name)) host.net.use(c.plugin());
      assert(host.net.get(TCP).setDefaultCongestionControl(c.name));
    }
    const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
    assertEquals(tcpSk(t.a.sys.sock(client.fd)!).icskCaOps.name, c.name);
    client.run(2_000_000);
    server.run(0);
    for (let i = 0; i < 3000 && !server.eof; i++) t.machine.advance(10e6);
    assertEquals([server.received, server.errno, client.errno], [2_000_000, 0, 0]);
    // The reader may have all of it while the ACKs that say so are still under way.
    t.machine.advance(100e6);
    const info = t.a.net.get(TCP).info(t.a.sys.sock(client.fd)!);
    assert(info.tcpi_total_retrans > 0 && info.tcpi_total_retrans < 400, `${info.tcpi_total_retrans}`);
    assertEquals([info.tcpi_lost, info.tcpi_sacked, info.tcpi_retrans], [0, 0, 0]);
    client.close();
    server.close();
    assertNothingLeft(t.machine, [t.a, t.b]);
  });
}
