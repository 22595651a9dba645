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
  /** What of the window a loss leaves, at least and at most; null: it sets window and rate by a model of the path. */
  decrease: readonly [number, number] | null;
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
  if (c.decrease === null) modelTests(c);
  else windowTests(c, c.decrease);
  connectionTests(c);
}

/** Of one that grows the window with ACKs and cuts it at losses. */
function windowTests(c: CongestionCase, [low, high]: readonly [number, number]): void {
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
}

/** Packets that the path of {@linkcode modelTests} holds without a queue. */
const PIPE = 100;

/**
 * A round trip through a path that delivers {@linkcode PIPE} packets per {@linkcode RTT}: what is more waits in its queue.
 * The sender keeps to window and rate.
 */
function pipeRound(tp: FakeCongestionSock, most = Infinity): void {
  const paced = Math.ceil(tp.pacingRate * RTT / 1e6 / tp.mssCache);
  const out = Math.max(1, Math.min(tp.sndCwnd, paced, most));
  const rtt = Math.max(RTT, Math.round(RTT * out / PIPE));
  for (let i = 0; i < out; i++) {
    tp.pass(rtt / out);
    tp.ack(1, rtt, out, out === most);
  }
}

/** Of one with `congControl`: it is asked at each ACK, and nothing else moves the window. */
function modelTests(c: CongestionCase): void {
  const test = (name: string, body: (tp: FakeCongestionSock) => void): void =>
    Deno.test(`congestion ${c.name}: ${name}`, () => body(new FakeCongestionSock(opsOf(c))));

  test("it fills the path, holds at most three times what that holds, and its rate is that of the path", (tp) => {
    for (let i = 0; i < 60; i++) {
      pipeRound(tp);
      assert(Number.isInteger(tp.sndCwnd) && tp.sndCwnd <= 4 * PIPE, `${i}: ${tp.sndCwnd}`);
      if (i >= 20) assert(tp.sndCwnd >= PIPE && tp.sndCwnd <= 3 * PIPE, `${i}: ${tp.sndCwnd}`);
    }
    const rate = PIPE * tp.mssCache * 1e6 / RTT;
    assert(tp.pacingRate > 0.7 * rate && tp.pacingRate < 1.3 * rate, `${tp.pacingRate} of ${rate}`);
  });

  test("a window that the application does not fill does not grow without end", (tp) => {
    for (let i = 0; i < 2000; i++) pipeRound(tp, 2);
    assert(tp.sndCwnd <= PIPE, `${tp.sndCwnd}`);
  });

  test("ACKs that acknowledge no whole packet give nothing", (tp) => {
    for (let i = 0; i < 1000; i++) tp.ack(0, RTT);
    assert(tp.sndCwnd <= 10, `${tp.sndCwnd}`);
  });

  test("after a loss and after a timeout it is where it was, and never below 4 packets", (tp) => {
    for (let i = 0; i < 60; i++) pipeRound(tp);
    for (const state of [3, 4] as const) {
      const before = tp.sndCwnd;
      tp.lose(state);
      for (let i = 0; i < 10; i++) pipeRound(tp);
      assert(tp.sndCwnd >= before * 0.9, `${state}: ${before} -> ${tp.sndCwnd}`);
    }
    for (let i = 0; i < 50; i++) {
      pipeRound(tp, 1);
      assert(tp.sndCwnd >= 4, `${tp.sndCwnd}`);
    }
  });

  test("the upper bound holds", (tp) => {
    tp.sndCwndClamp = 25;
    for (let i = 0; i < 100; i++) {
      pipeRound(tp);
      assert(tp.sndCwnd <= 25, `${tp.sndCwnd}`);
    }
  });
}

/** Of any. */
function connectionTests(c: CongestionCase): void {
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
