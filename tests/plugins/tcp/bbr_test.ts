import { assert, assertEquals } from "@std/assert";
import type { Plugin } from "../../../core/mod.ts";
import { bbr, TCP } from "../../../plugins/transport/tcp/mod.ts";
import { tcpSk } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnection } from "../../support/tcp.ts";

const MBIT = 1e6;
const RATE = 20 * MBIT;
const DELAY_MS = 10;

/**
 * Sends for `seconds` through a link that loses `loss`; what arrived in the last half, bits per second, and the round trip.
 * `burstUsecs`: in that half the peer takes packets, and so answers, only so often.
 */
function run(
  name: string,
  plugin: (() => Plugin) | null,
  loss: number,
  seconds: number,
  burstUsecs: number = 0,
): { rate: number; rttMs: number } {
  using t = twoHosts({ seed: 5, wire: { delayNs: DELAY_MS * 1e6, loss, rateBps: RATE } });
  for (const host of [t.a, t.b]) {
    if (plugin !== null) host.net.use(plugin());
    assert(host.net.get(TCP).setDefaultCongestionControl(name));
  }
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  client.run(RATE / 8 * seconds * 2);
  server.run(0);
  const step = (until: number): void => {
    for (let i = 0; i < until * 100; i++) t.machine.advance(10e6);
  };
  step(seconds / 2);
  // The round trip without them is known by now.
  if (burstUsecs > 0) t.wire.ends[1]!.setCoalesce({ rxUsecs: burstUsecs });
  const half = server.received;
  step(seconds / 2);
  const tp = tcpSk(t.a.sys.sock(client.fd)!);
  assertEquals(tp.icskCaOps.name, name);
  return { rate: (server.received - half) * 8 / (seconds / 2), rttMs: (tp.srttUs >> 3) / 1000 };
}

Deno.test("[MAY-18] bbr: it fills a link, and keeps its queue short", () => {
  const { rate, rttMs } = run("bbr", bbr, 0, 6);
  assert(rate > 0.85 * RATE, `${rate / MBIT} Mbit/s`);
  assert(rttMs < 4 * DELAY_MS, `${rttMs} ms`);
});

Deno.test("bbr: losses that are no congestion cost it little, where they stop Reno", () => {
  const { rate } = run("bbr", bbr, 0.01, 6);
  const other = run("reno", null, 0.01, 6);
  assert(rate > 0.75 * RATE, `${rate / MBIT} Mbit/s`);
  assert(rate > 2 * other.rate, `${rate / MBIT} and ${other.rate / MBIT} Mbit/s`);
});

Deno.test("bbr: ACKs that come in bursts, every three round trips, leave the link full", () => {
  const { rate } = run("bbr", bbr, 0, 6, 60_000);
  assert(rate > 0.85 * RATE, `${rate / MBIT} Mbit/s`);
});

Deno.test("bbr: after 10 s without a shorter round trip it drains the link for 200 ms, and goes on", () => {
  using t = twoHosts({ seed: 5, wire: { delayNs: DELAY_MS * 1e6, rateBps: RATE } });
  for (const host of [t.a, t.b]) {
    host.net.use(bbr());
    host.net.get(TCP).setDefaultCongestionControl("bbr");
  }
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  client.run(RATE / 8 * 13);
  server.run(0);
  const tp = tcpSk(t.a.sys.sock(client.fd)!);
  let drained = 0;
  for (let i = 0; i < 1300; i++) {
    t.machine.advance(10e6);
    if (i > 100 && tp.sndCwnd <= 4 && !server.eof) drained++;
  }
  assert(drained >= 20 && drained <= 40, `${drained * 10} ms with a window of 4`);
  assert(tp.sndCwnd > 20, `${tp.sndCwnd}`);
  for (let i = 0; i < 1000 && !server.eof; i++) t.machine.advance(10e6);
  t.machine.advance(200e6);
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
});
