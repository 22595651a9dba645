/**
 * Probes of TCP's timers: delayed ACK, SYN and SYN-ACK retransmission, RTO, tail loss probe, zero-window probe, RACK. Waits are
 * laid so that nothing falls within 40 ms of an edge: the kernel's clock is real.
 *
 * @module
 */

import type { TcpCase, TcpStep } from "../support/frames/generate_tcp.ts";
import { call, sack, seg, TcpProbes } from "./tcp_probe_kit.ts";

function wait(...times: number[]): TcpStep[] {
  return times.map((ms) => ({ kind: "wait", ms }));
}

/** Every probe in which time passes. */
export function tcpTimerProbes(): TcpCase[] {
  const probes = new TcpProbes();
  const probe = (note: string, ...steps: TcpStep[]) => probes.add("established", note, steps);
  probes.add("listen", "SYN-ACK at 0, 1, 3 s", [seg("S", { seq: "isn" }), ...wait(700, 700, 1200, 800)]);
  probes.add("synSent", "SYN at 0, 1, 2, 3 s", wait(700, 700, 1000, 1000));
  probe("delayed ACK, 40 ms", seg("PA", { len: 10 }), ...wait(5, 100));
  probe("delayed ACK of a FIN", seg("FA"), ...wait(5, 100));
  probe(
    "delayed ACK of 3 x 10 bytes",
    seg("PA", { len: 10 }),
    seg("PA", { len: 10 }),
    seg("PA", { len: 10 }),
    ...wait(100),
  );
  probe("RTO of one segment", call("write", 100), ...wait(120, 200, 200, 400));
  probe("RTO of one segment, ACKed after the first", call("write", 100), ...wait(300), seg("A"), ...wait(500));
  probe("tail loss probe, then RTO", call("write", 3000), ...wait(100, 250, 450));
  probe("tail loss probe answered", call("write", 3000), ...wait(100), seg("A"), ...wait(300));
  probe("RTO, then the rest is ACKed", call("write", 5000), ...wait(300), seg("A"), call("write", 1000), seg("A"));
  probe("Nagle gives way to the probe timer", call("write", 10), call("write", 10), ...wait(120, 200, 200));
  probe("FIN", call("shutdown"), ...wait(120, 200, 200, 400));
  probe("zero-window probes", seg("A", { win: 0 }), call("write", 100), ...wait(120, 200, 400), seg("A"), ...wait(100));
  probe(
    "zero-window probes answered",
    seg("A", { win: 0 }),
    call("write", 100),
    ...wait(300),
    seg("A", { win: 0 }),
    ...wait(400),
  );
  probe("FIN in a zero window", seg("A", { win: 0 }), call("shutdown"), ...wait(300), seg("A"), ...wait(100));
  const dup = (from: number, to: number) => seg("A", { ack: "una", opt: sack([from, to]) });
  probe(
    "a lost segment, three SACKed",
    call("write", 14_000),
    dup(1469, 2917),
    dup(1469, 4365),
    dup(1469, 5813),
    ...wait(60),
  );
  probe(
    "a lost segment, then its ACK",
    call("write", 14_000),
    dup(1469, 5813),
    ...wait(60),
    seg("A", { ack: "una+5792" }),
    seg("A"),
  );
  probe(
    "three duplicate ACKs without SACK",
    call("write", 14_000),
    ...[1, 2, 3].map(() => seg("A", { ack: "una" })),
    ...wait(60),
  );
  return probes.cases;
}
