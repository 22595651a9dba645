/** CUBIC's curve against RFC 9438's formulas, Reno-friendliness, fast convergence, and HyStart. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { type Bictcp, cubicOps } from "../../../plugins/transport/tcp/cubic.ts";
import { reno } from "../../../plugins/transport/tcp/reno.ts";
import type { TcpCongestionOps } from "../../../plugins/transport/tcp/contract.ts";
import { SnmpMib } from "../../../plugins/network/inet/contract.ts";
import { FakeCongestionSock } from "../../support/fakes/congestion_sock.ts";

const RTT = 100_000;

function ops(ext = new SnmpMib().tcpExt): TcpCongestionOps {
  return { ...reno, ...cubicOps(ext) };
}

/** A connection that was at `wmax` when it lost. */
function lost(wmax: number): FakeCongestionSock {
  const tp = new FakeCongestionSock(ops());
  tp.sndCwnd = wmax;
  tp.sndSsthresh = wmax;
  tp.ack(1, RTT);
  tp.sndCwnd = wmax;
  tp.lose(3);
  return tp;
}

Deno.test("[MAY-18] the window follows C (t - K)^3 + Wmax: concave up to the old window, a plateau, convex beyond it", () => {
  const tp = lost(1000);
  assertEquals(tp.sndCwnd, 700);
  const k = Math.cbrt(300 / 0.4);
  const rows: number[] = [];
  for (let i = 0; i < 160; i++) {
    tp.round(RTT);
    const t = (i + 1) * RTT / 1e6;
    const want = 0.4 * (t - k) ** 3 + 1000;
    rows.push(tp.sndCwnd);
    // Linux aims at where the curve is a round trip later.
    const ahead = 0.4 * (t + RTT / 1e6 - k) ** 3 + 1000;
    assert(tp.sndCwnd >= want * 0.985 && tp.sndCwnd <= ahead * 1.015, `t ${t}: ${tp.sndCwnd}, the curve ${want}`);
  }
  // Within a percent of the old window between K - 2.9 s and K + 2.9 s.
  assertAlmostEquals(rows[89], 1000, 10);
  assert(rows[159] > 1100);
});

Deno.test("short round trips: not slower than Reno with the same decrease", () => {
  const tp = lost(20);
  const rtt = 5000;
  let friendly = 14;
  for (let i = 0; i < 300; i++) {
    tp.round(rtt);
    // RFC 9438 section 4.3: 3 (1 - beta) / (1 + beta) packets per round trip.
    friendly += 3 * (1 - 0.7) / (1 + 0.7);
  }
  assert(tp.sndCwnd >= friendly * 0.9, `${tp.sndCwnd}, Reno would have ${friendly}`);
  // The cubic function alone would have hardly moved in 1.5 seconds.
  assert(tp.sndCwnd > 100);
});

Deno.test("fast convergence: a loss below the last one's window gives room to others", () => {
  const tp = lost(1000);
  const ca = tp.icskCaPriv as Bictcp;
  assertEquals(ca.lastMaxCwnd, 1000);
  tp.sndCwnd = 800;
  tp.lose(3);
  assertEquals(ca.lastMaxCwnd, Math.floor(800 * (1024 + 717) / 2048));
  assertEquals(tp.sndCwnd, Math.floor(800 * 717 / 1024));
});

Deno.test("idle time does not count: the curve goes on where it was", () => {
  const tp = lost(1000);
  for (let i = 0; i < 10; i++) tp.round(RTT);
  const before = tp.sndCwnd;
  tp.lsndtime = tp.sk.machine.jiffies;
  tp.pass(60e6);
  tp.ops.cwndEvent(tp, 0);
  tp.round(RTT);
  assert(tp.sndCwnd - before < 40, `${before} -> ${tp.sndCwnd}`);
});

Deno.test("a short connection keeps the least delay alone, and has it when the window is large enough for HyStart", () => {
  const tp = new FakeCongestionSock(ops());
  tp.isCwndLimited = false;
  tp.ack(1, 30_000);
  tp.ack(1, 20_000);
  tp.ops.cwndEvent(tp, 0);
  tp.ack(1, 25_000);
  assertEquals(tp.icskCaPriv, 20_000);
  tp.sndCwnd = 16;
  tp.ack(1, 40_000);
  const ca = tp.icskCaPriv as Bictcp;
  assertEquals([ca.delayMin, ca.currRtt, ca.sampleCnt, ca.endSeq], [20_000, 40_000, 1, tp.sndNxt]);
});

Deno.test("HyStart: a round trip that grows ends slow start", () => {
  const { tcpExt: ext } = new SnmpMib();
  const tp = new FakeCongestionSock(ops(ext));
  let rtt = 40_000;
  for (let i = 0; i < 12 && ext.TCPHystartDelayDetect === 0; i++) {
    // ACKs in one burst, so that no train is seen; a queue builds up beyond 64 packets.
    const acks = tp.sndCwnd;
    for (let k = 0; k < acks; k++) {
      if (k === 0) tp.pass(rtt);
      tp.ack(1, rtt);
    }
    if (tp.sndCwnd > 64) rtt += 6000;
  }
  assertEquals(ext.TCPHystartDelayDetect, 1);
  assertEquals(ext.TCPHystartDelayCwnd, tp.sndSsthresh);
  assert(tp.sndSsthresh >= 64 && tp.sndSsthresh < 512, `${tp.sndSsthresh}`);
});

Deno.test("HyStart: a train of ACKs that is as long as half of the round trip ends slow start", () => {
  const { tcpExt: ext } = new SnmpMib();
  const tp = new FakeCongestionSock(ops(ext));
  // ACKs 500 us apart: 80 of them are a round trip of 40 ms, the path is full.
  for (let i = 0; i < 10 && ext.TCPHystartTrainDetect === 0; i++) {
    const acks = tp.sndCwnd;
    tp.pass(Math.max(0, 40_000 - acks * 500));
    for (let k = 0; k < acks; k++) {
      tp.pass(500);
      tp.ack(1, 40_000);
    }
  }
  assertEquals(ext.TCPHystartTrainDetect, 1);
  assert(tp.sndSsthresh >= 40 && tp.sndSsthresh <= 160, `${tp.sndSsthresh}`);
});
