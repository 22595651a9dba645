import { assert, assertEquals } from "@std/assert";
import { dctcpOps } from "../../../plugins/transport/tcp/dctcp.ts";
import type { TcpCongestionOps } from "../../../plugins/transport/tcp/mod.ts";
import { reno } from "../../../plugins/transport/tcp/reno.ts";
import { runScript } from "../../../plugins/lab/packetdrill/mod.ts";
import { FakeCongestionSock } from "../../support/fakes/congestion_sock.ts";

const RTT = 20_000;

function dctcpSock(): FakeCongestionSock {
  return new FakeCongestionSock({ ...reno, ...dctcpOps() } as TcpCongestionOps);
}

/** Round trips in which the share `marked` of all packets is marked. */
function rounds(tp: FakeCongestionSock, n: number, marked: number): void {
  for (let i = 0; i < n; i++) {
    const cwnd = tp.sndCwnd;
    for (let j = 0; j < cwnd; j++) {
      tp.pass(RTT / cwnd);
      tp.deliveredCe += marked;
      tp.ack(1, RTT);
    }
  }
}

Deno.test("dctcp: what a mark costs follows the share of marked packets, RFC 8257 section 3.3", () => {
  for (const [share, left, least] of [[1, 500, 495], [0.5, 760, 740], [0.1, 955, 940], [0, 1000, 999]]) {
    const tp = dctcpSock();
    tp.sndSsthresh = 10;
    rounds(tp, 120, share);
    tp.sndCwnd = 1000;
    const threshold = tp.ops.ssthresh(tp);
    assert(threshold >= least && threshold <= left, `${share} marked: ${threshold} of 1000`);
  }
});

Deno.test("dctcp: a loss takes half, however few packets were marked, and undo gives it back", () => {
  const tp = dctcpSock();
  tp.sndSsthresh = 10;
  rounds(tp, 120, 0);
  tp.sndCwnd = 100;
  tp.ops.ssthresh(tp);
  tp.ops.setState(tp, 3);
  assertEquals(tp.sndSsthresh, 50);
  tp.sndCwnd = 50;
  assertEquals(tp.ops.undoCwnd(tp), 100);
});

const SCRIPT = (marks: string): string => `
\`./defaults.sh
sysctl -q net.ipv4.tcp_ecn=1
sysctl -q net.ipv4.tcp_congestion_control=dctcp\`
   0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0 bind(3, ..., ...) = 0
  +0 listen(3, 1) = 0
  +0 < SEW 0:0(0) win 32792 <mss 1000,sackOK,nop,nop>
  +0 > SE. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
 +.1 < . 1:1(0) ack 1 win 32792
  +0 accept(3, ..., ...) = 4
${marks}`;

Deno.test("dctcp: each ACK tells whether its packets were marked; a change is told at once, RFC 8257 section 3.2", () => {
  const result = runScript(
    "dctcp.pkt",
    SCRIPT(`
 +.1 < [ce] . 1:1001(1000) ack 1 win 32792
  +0 > [ect0] .E 1:1(0) ack 1001
 +.1 < [ect0] . 1001:2001(1000) ack 1 win 32792
  +0 > [ect0] . 1:1(0) ack 2001
 +.1 < [ce] . 2001:3001(1000) ack 1 win 32792
  +0 > [ect0] .E 1:1(0) ack 3001
 +.1 < [ce] . 3001:4001(1000) ack 1 win 32792
  +0 > [ect0] .E 1:1(0) ack 4001`),
  );
  assertEquals(result.result, "pass", `${result.line}: ${result.error} ${result.actual}`);
});
