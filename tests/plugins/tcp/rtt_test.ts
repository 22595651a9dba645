/** Round trips and the retransmission timeout: RFC 6298, RFC 7323, Karn's rule, the least round trip of a while. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  tcpBoundRto,
  tcpMinRtt,
  tcpRttEstimator,
  tcpSetRto,
  tcpUpdateRttMin,
} from "../../../plugins/transport/tcp/rtt.ts";
import { FLAG_ACK_MAYBE_DELAYED } from "../../../plugins/transport/tcp/ack_state.ts";
import { SOL_TCP, TCP_NODELAY } from "../../../plugins/transport/tcp/contract.ts";
import type { TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, SACK_PERMITTED } from "../../support/tcp_peer.ts";

/** NOP, NOP, timestamps. */
function ts(val: number, ecr: number): Uint8Array {
  const out = new Uint8Array(12);
  out.set([1, 1, 8, 10]);
  const view = new DataView(out.buffer);
  view.setInt32(4, val);
  view.setInt32(8, ecr);
  return out;
}

/** The timestamp in options as {@linkcode Seen} shows them. */
function tsval(options: string): number {
  const at = options.indexOf("080a");
  assert(at >= 0, "no timestamp");
  return parseInt(options.slice(at + 4, at + 12), 16) | 0;
}

/** A connection without a sample; `body` gets it, then it is reset. */
function fresh(body: (tp: TcpSock, t: RawPeer) => void): void {
  using t = new RawPeer();
  const fd = t.accept();
  const tp = t.tp(fd);
  tp.srttUs =
    tp.mdevUs =
    tp.mdevMaxUs =
    tp.rttvarUs =
      0;
  tp.rttMinUs = -1;
  body(tp, t);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
}

Deno.test("RFC 6298 section 2.2: the first sample R gives SRTT = R, and RTO = R + 4 (R / 2), at least R + 200 ms", () => {
  for (const ms of [1, 20, 99, 101, 500, 3000]) {
    fresh((tp) => {
      tcpRttEstimator(tp, ms * 1000);
      tcpSetRto(tp);
      assertEquals(tp.srttUs >> 3, ms * 1000);
      assertEquals(tp.icskRto, ms + Math.max(2 * ms, 200));
    });
  }
});

Deno.test("RFC 6298 section 2.3: SRTT is 7/8 of the old and 1/8 of the sample", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 100, max: 2_000_000 }), { minLength: 2, maxLength: 60 }),
      (samples) =>
        fresh((tp) => {
          let srtt = samples[0];
          for (const [i, us] of samples.entries()) {
            tcpRttEstimator(tp, us);
            if (i !== 0) srtt = srtt * 7 / 8 + us / 8;
            assertAlmostEquals(tp.srttUs / 8, srtt, 16);
            tcpSetRto(tp);
            assert(tp.icskRto >= Math.floor(tp.srttUs / 8000) + 200 && tp.icskRto <= 120_000, `${tp.icskRto}`);
          }
        }),
    ),
    { numRuns: 30 },
  );
});

Deno.test("the deviation falls only once in a round trip, and a shorter round trip hardly raises it", () => {
  fresh((tp) => {
    tcpRttEstimator(tp, 800_000);
    const first = tp.rttvarUs;
    for (let i = 0; i < 20; i++) tcpRttEstimator(tp, 800_000);
    assertEquals(tp.rttvarUs, first);
    for (let round = 0; round < 2; round++) {
      // The largest deviation of the round counts, and the first sample's belongs to the first.
      assertEquals(tp.rttvarUs, first);
      tp.sndUna = tp.sndNxt = (tp.rttSeq + 1) | 0;
      tcpRttEstimator(tp, 800_000);
    }
    assert(tp.rttvarUs < first);
    const before = tp.mdevUs;
    tcpRttEstimator(tp, 100_000);
    assert(tp.mdevUs - before < 90_000, `${before} -> ${tp.mdevUs}`);
  });
});

Deno.test("RTO is bounded by TCP_RTO_MAX_MS", () => {
  fresh((tp) => {
    tcpRttEstimator(tp, 100_000_000);
    tcpSetRto(tp);
    assertEquals(tp.icskRto, 120_000);
    tp.icskRto = 500_000;
    tcpBoundRto(tp);
    assertEquals(tp.icskRto, 120_000);
  });
});

Deno.test("the least round trip is that of the last 300 seconds; a delayed ACK does not raise it", () => {
  fresh((tp, t) => {
    const pass = (s: number): void => void t.machine.advance(s * 1e9);
    tcpUpdateRttMin(tp, 10_000, 0);
    pass(1);
    tcpUpdateRttMin(tp, 30_000, 0);
    assertEquals(tcpMinRtt(tp), 10_000);
    for (let i = 0; i < 100; i++) {
      pass(2);
      tcpUpdateRttMin(tp, 20_000 + i * 10, 0);
    }
    assertEquals(tcpMinRtt(tp), 10_000);
    for (let i = 0; i < 80; i++) {
      pass(2);
      tcpUpdateRttMin(tp, 25_000, 0);
    }
    assert(tcpMinRtt(tp) >= 20_000 && tcpMinRtt(tp) <= 25_000, `${tcpMinRtt(tp)}`);
    pass(1000);
    tcpUpdateRttMin(tp, 90_000, FLAG_ACK_MAYBE_DELAYED);
    assert(tcpMinRtt(tp) <= 25_000);
    tcpUpdateRttMin(tp, 90_000, 0);
    assertEquals(tcpMinRtt(tp), 90_000);
  });
});

Deno.test("the handshake is the first sample, unless the SYN went twice: then the RTO is 3 seconds", () => {
  for (const again of [false, true]) {
    using t = new RawPeer();
    const { sys } = t.host;
    const fd = sys.socket(2, 1, 0);
    sys.connect(fd, 0x0a000002, t.sport);
    assertEquals(t.after(again ? 1050 : 50).map((s) => s.flags), again ? ["S", "S"] : ["S"]);
    t.send({ seq: 0, ack: 1, flags: "SA", options: mssOption(1460) });
    const tp = t.tp(fd);
    if (again) assertEquals([tp.srttUs, tp.icskRto], [0, 3000]);
    else assertEquals([Math.round(tp.srttUs / 8000), tp.icskRto], [50, 250]);
    t.take();
    sys.close(fd);
    t.send({ seq: 1, flags: "R" });
  }
});

Deno.test("[MUST-18] Karn: what was sent again gives no sample, and the back-off stays until one comes", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
  const tp = t.tp(fd);
  t.write(fd, 100);
  assertEquals(t.after(650).map((s) => s.seq), [1, 1, 1]);
  const { srttUs, icskRto } = tp;
  const backoff: number = tp.icskBackoff;
  assert(icskRto >= 800 && backoff === 2, `${icskRto}`);
  t.send({ seq: 1, ack: 101 });
  assertEquals([tp.srttUs, tp.icskRto, tp.icskBackoff, tp.icskRetransmits], [srttUs, icskRto, 2, 0]);
  t.write(fd, 100);
  t.after(30);
  t.send({ seq: 1, ack: 201 });
  assert(tp.icskRto < 300 && tp.icskBackoff === 0, `${tp.icskRto}`);
  assert(tp.srttUs !== srttUs);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

Deno.test("with timestamps a retransmission gives a sample: that of the transmission which is echoed", () => {
  using t = new RawPeer();
  const fd = t.accept({ options: concat(mssOption(1460), SACK_PERMITTED, ts(1000, 0)) });
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
  const tp = t.tp(fd);
  t.write(fd, 100);
  const [first] = t.take();
  const again = t.after(1000);
  assert(again.length >= 2);
  const last = again[again.length - 1];
  assert(tsval(last.options) > tsval(first.options));
  const ago = Math.floor(t.machine.now / 1e6) - last.at;
  t.send({ seq: 1, ack: 101, options: ts(2000, tsval(last.options)) });
  assertEquals(tp.icskBackoff, 0);
  const srtt = tp.srttUs / 8000;
  assert(srtt <= Math.max(1, ago) && srtt > 0, `${srtt} ms, the last went ${ago} ms ago`);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R", options: ts(2001, tsval(last.options)) });
});
