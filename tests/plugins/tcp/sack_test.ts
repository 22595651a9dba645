/** The scoreboard: SACK, D-SACK, reneging, reordering, RACK, F-RTO and undo, seen from a peer that says what it likes. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SOL_TCP, TCP_NODELAY } from "../../../plugins/transport/tcp/contract.ts";
import type { TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { useCongestion } from "../../support/congestion.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, SACK_PERMITTED, sackOption } from "../../support/tcp_peer.ts";
import { scoreboard } from "../../support/scoreboard.ts";

const MSS = 1000;
const OPEN = 0, DISORDER = 1, RECOVERY = 3, LOSS = 4;

/** A connection with segments of 1,000 bytes, numbered from 0, and a round trip of `rtt` ms. */
class Sender implements Disposable {
  readonly t = new RawPeer();
  readonly fd: number;
  readonly tp: TcpSock;
  readonly rtt: number;
  una = 0;

  constructor(options: { sack?: boolean; rtt?: number } = {}) {
    const { t } = this;
    this.rtt = options.rtt ?? 20;
    const { sys } = t.host;
    this.fd = sys.socket(2, 1, 0);
    sys.connect(this.fd, 0x0a000002, t.sport);
    this.tp = useCongestion(t.host, this.fd, "reno");
    sys.setsockopt(this.fd, SOL_TCP, TCP_NODELAY, 1);
    t.after(this.rtt);
    const syn = options.sack === false ? mssOption(MSS) : concat(mssOption(MSS), SACK_PERMITTED);
    t.send({ seq: 0, ack: 1, flags: "SA", options: syn });
    // The first segment behind the SYN updates the window: it is no duplicate ACK.
    t.send({ seq: 1, ack: 1 });
    t.take();
  }

  /** Writes `n` segments; the numbers of what went. */
  write(n: number): number[] {
    assertEquals(this.t.write(this.fd, n * MSS), n * MSS);
    return this.take();
  }

  /** Numbers of the segments that went. */
  take(): number[] {
    return this.t.take().map((s) => (s.seq - 1) / MSS);
  }

  after(ms: number): number[] {
    return this.t.after(ms).map((s) => (s.seq - 1) / MSS);
  }

  /** Acknowledges what is before segment `una` and SACKs the [from, to) given; what went. */
  ack(una: number, ...sacks: [number, number][]): number[] {
    const of = (i: number): number => 1 + i * MSS;
    this.una = Math.max(this.una, una);
    const blocks = sacks.map(([a, b]): [number, number] => [of(a), of(b)]);
    const options = blocks.length === 0 ? {} : { options: sackOption(this.t.isn, ...blocks) };
    this.t.send({ seq: 1, ack: of(una), ...options });
    scoreboard(this.tp);
    return this.take();
  }

  [Symbol.dispose](): void {
    this.t.host.sys.close(this.fd);
    this.t.send({ seq: 1, flags: "R" });
    this.t.take();
    this.t[Symbol.dispose]();
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

Deno.test("one segment is lost: three SACKed behind it, it goes again, the window is halved by the proportion", () => {
  using s = new Sender();
  assertEquals(s.write(20), range(0, 10));
  s.after(s.rtt);
  assertEquals(s.ack(0, [1, 2]), [10]);
  assertEquals(s.tp.icskCaState, DISORDER);
  assertEquals(s.ack(0, [1, 3]), [11]);
  assertEquals(s.ack(0, [1, 4]), [0]);
  const { tp } = s;
  assertEquals([tp.icskCaState, tp.sndSsthresh, tp.lostOut, tp.retransOut, tp.sackedOut], [RECOVERY, 5, 1, 1, 3]);
  // The new window is half of the old one: one goes for each two that were delivered.
  let went = 0;
  for (let i = 5; i <= 10; i++) went += s.ack(0, [1, i]).length;
  assertEquals(went, 2);
  s.after(s.rtt);
  s.ack(12);
  assertEquals([tp.icskCaState, tp.sndCwnd], [OPEN, 5]);
  assertEquals([s.t.ext("TCPSackRecovery"), s.t.ext("TCPFastRetrans")], [1, 1]);
});

Deno.test("limited transmit: each of the first two duplicates lets a new segment go. RFC 3042", () => {
  for (const sack of [true, false]) {
    using s = new Sender({ sack });
    s.write(20);
    s.after(s.rtt);
    assertEquals(sack ? s.ack(0, [1, 2]) : s.ack(0), [10]);
    assertEquals(sack ? s.ack(0, [1, 3]) : s.ack(0), [11]);
  }
});

Deno.test("without SACK: NewReno. A partial ACK sends the next, the recovery ends beyond its onset", () => {
  using s = new Sender({ sack: false });
  const { tp } = s;
  s.write(12);
  s.after(s.rtt);
  s.ack(0);
  s.ack(0);
  assertEquals(s.ack(0), [0]);
  assertEquals([tp.icskCaState, tp.sndSsthresh], [RECOVERY, 5]);
  s.after(s.rtt);
  // Segment 4 is lost as well. The proportion lets it go with the second duplicate.
  assertEquals([...s.ack(4), ...s.ack(4), ...s.ack(4)], [4]);
  s.after(s.rtt);
  s.ack(12);
  // Until something more is acknowledged: duplicates of what was sent again would look like a loss.
  assertEquals(tp.icskCaState, RECOVERY);
  s.write(1);
  s.after(s.rtt);
  s.ack(13);
  assertEquals([tp.icskCaState, s.t.ext("TCPRenoRecovery"), s.t.ext("TCPFastRetrans")], [OPEN, 1, 2]);
});

Deno.test("blocks that cannot be true count for nothing", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(10);
  s.after(s.rtt);
  const raw = (...blocks: [number, number][]): void =>
    t.send({ seq: 1, ack: 1, options: sackOption(t.isn, ...blocks) });
  raw([5001, 3001]);
  raw([3001, 3001]);
  raw([5001, 20_001]);
  raw([20_001, 30_001]);
  raw([-2_000_000_000, 2001]);
  assertEquals([tp.sackedOut, tp.icskCaState], [0, OPEN]);
  assert(t.ext("TCPSACKDiscard") >= 4);
  // Part of a segment is no segment.
  raw([1001, 2000]);
  raw([1002, 2001]);
  assertEquals(tp.sackedOut, 0);
  raw([1001, 2001], [2002, 4001]);
  assertEquals(tp.sackedOut, 2);
  scoreboard(tp);
});

Deno.test("a repetition that was not needed is undone when the peer says that it had both. RFC 2883, RFC 3708", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(10);
  s.after(s.rtt);
  s.ack(0, [1, 2]);
  s.ack(0, [1, 3]);
  assertEquals(s.ack(0, [1, 4]), [0]);
  assertEquals([tp.icskCaState, tp.sndSsthresh], [RECOVERY, 5]);
  // The original was late, and the repetition came as well.
  s.ack(4);
  assertEquals(tp.icskCaState, RECOVERY);
  s.ack(4, [0, 1]);
  assertEquals([tp.icskCaState, tp.sndCwnd >= 10, t.ext("TCPDSACKUndo"), t.ext("TCPDSACKRecv")], [OPEN, true, 1, 1]);
  assertEquals(tp.sndSsthresh > 5, true);
  // Or it tells when all is acknowledged.
  s.write(10);
  s.after(s.rtt);
  s.ack(10, [11, 12]);
  s.ack(10, [11, 13]);
  assertEquals(s.after(30).includes(10), true);
  s.ack(20, [10, 11]);
  assertEquals([tp.icskCaState, t.ext("TCPFullUndo")], [OPEN, 1]);
});

Deno.test("reordering that was seen makes patient: RACK waits a quarter of the least round trip", () => {
  using s = new Sender();
  const { tp } = s;
  s.write(10);
  s.after(s.rtt);
  s.ack(0, [1, 2]);
  s.ack(2);
  assertEquals(tp.reordSeen, 1);
  s.ack(10);
  s.write(10);
  s.after(s.rtt);
  // Four SACKed behind a hole: no loss yet.
  assertEquals(s.ack(10, [11, 15]).filter((n) => n === 10), []);
  assertEquals(tp.lostOut, 0);
  assertEquals(s.after(3).filter((n) => n === 10), []);
  assertEquals(s.after(8).filter((n) => n === 10), [10]);
  assertEquals(tp.icskCaState, RECOVERY);
});

Deno.test("a lost repetition is found by what was sent after it", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(20);
  s.after(s.rtt);
  s.ack(0, [1, 2]);
  s.ack(0, [1, 3]);
  assertEquals(s.ack(0, [1, 4]), [0]);
  const more: number[] = [];
  for (let i = 5; i <= 10; i++) more.push(...s.ack(0, [1, i]));
  assert(more.length > 1, "new data goes in recovery");
  s.after(s.rtt + 10);
  const last = more[more.length - 1];
  const again = s.ack(0, [1, last + 1]);
  assertEquals(again.filter((n) => n === 0), [0]);
  assertEquals(t.ext("TCPLostRetransmit"), 1);
  assertEquals(tp.icskCaState, RECOVERY);
});

Deno.test("a tail that is lost is found by the probe, and its repair costs half of the window. RFC 8985 section 7", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(5);
  s.after(s.rtt);
  s.ack(4);
  // 2 srtt, and room for a delayed ACK.
  assertEquals(s.after(300)[0], 4);
  assertEquals(t.ext("TCPLossProbes"), 1);
  s.ack(5);
  // Was it the original or the probe? What is acknowledged beyond, without a D-SACK, tells.
  assertEquals([tp.sndSsthresh, t.ext("TCPLossProbeRecovery")], [0x7fffffff, 0]);
  s.write(1);
  s.after(s.rtt);
  s.ack(6);
  assertEquals([tp.sndSsthresh, tp.icskCaState, t.ext("TCPLossProbeRecovery")], [5, OPEN, 1]);
});

Deno.test("a probe whose original had come costs nothing: the peer says that it has both", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(5);
  s.after(s.rtt);
  s.ack(4);
  assertEquals(s.after(300)[0], 4);
  s.ack(5);
  s.ack(5, [4, 5]);
  s.write(1);
  s.after(s.rtt);
  s.ack(6);
  assertEquals([tp.sndSsthresh, t.ext("TCPLossProbeRecovery"), t.ext("TCPDSACKRecv")], [0x7fffffff, 0, 1]);
});

Deno.test("F-RTO: a timeout that was spurious is undone when new data is acknowledged. RFC 5682", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(6);
  s.after(s.rtt);
  s.ack(2);
  const went = s.after(700);
  assert(went.includes(2));
  assertEquals(tp.icskCaState, LOSS);
  assertEquals([tp.frto, tp.lostOut > 0], [true, true]);
  s.write(4);
  // The originals were delayed: their ACKs come now.
  s.ack(4);
  s.ack(6);
  assertEquals([tp.icskCaState, t.ext("TCPSpuriousRTOs"), t.ext("TCPTimeouts")], [OPEN, 1, 1]);
  assert(tp.sndCwnd >= 10, `${tp.sndCwnd}`);
});

Deno.test("a timeout that was real: slow start from one segment, all lost go again in order", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(10);
  const went = s.after(700);
  assert(went.includes(0));
  assertEquals([tp.icskCaState, tp.sndCwnd, tp.sndSsthresh], [LOSS, 1, 5]);
  s.ack(1);
  const all: number[] = [];
  for (let i = 2; i <= 10; i++) {
    all.push(...s.after(s.rtt));
    all.push(...s.ack(i));
  }
  assertEquals([tp.icskCaState, tp.packetsOut, t.ext("TCPTimeouts")], [OPEN, 0, 1]);
  assertEquals(tp.sndCwnd >= 5, true);
});

Deno.test("a receiver that forgets what it SACKed: after its time all goes again. RFC 2018 section 8", () => {
  using s = new Sender();
  const { tp, t } = s;
  s.write(10);
  s.after(s.rtt);
  s.ack(0, [1, 3]);
  // The ACK ends where a SACKed segment begins: it is not there any more.
  s.ack(1);
  assertEquals(tp.sackedOut, 2);
  const went = s.after(30);
  assertEquals(went[0], 1);
  assertEquals([t.ext("TCPSACKReneging"), tp.isSackReneg, tp.icskCaState], [1, true, LOSS]);
  assertEquals([tp.sackedOut, tp.lostOut], [0, 9]);
  scoreboard(tp);
  s.ack(10);
  assertEquals(tp.packetsOut, 0);
});

Deno.test("an echoed timestamp from before the repetition undoes it at once. RFC 4015", () => {
  using t = new RawPeer();
  const ts = (val: number, ecr: number, ...rest: number[]): Uint8Array => {
    const out = new Uint8Array(12 + rest.length);
    out.set([1, 1, 8, 10]);
    new DataView(out.buffer).setInt32(4, val);
    new DataView(out.buffer).setInt32(8, ecr);
    out.set(rest, 12);
    return out;
  };
  const { sys } = t.host;
  const fd = sys.socket(2, 1, 0);
  sys.connect(fd, 0x0a000002, t.sport);
  const tp = useCongestion(t.host, fd, "reno");
  t.take();
  t.machine.advance(20e6);
  t.send({ seq: 0, ack: 1, flags: "SA", options: concat(mssOption(MSS + 12), SACK_PERMITTED, ts(1, 0)) });
  t.take();
  t.write(fd, 10 * MSS);
  const sent = t.take();
  assertEquals(sent.length, 10);
  const val = parseInt(sent[0].options.slice(sent[0].options.indexOf("080a") + 4).slice(0, 8), 16) | 0;
  t.after(20);
  for (let i = 2; i <= 4; i++) {
    t.send({ seq: 1, ack: 1, options: concat(ts(2, val), sackOption(t.isn, [1 + MSS, 1 + i * MSS])) });
  }
  assertEquals([tp.icskCaState, t.take().filter((s) => s.seq === 1).length], [RECOVERY, 1]);
  t.after(2);
  t.send({ seq: 1, ack: 1 + 10 * MSS, options: ts(3, val) });
  assertEquals([tp.icskCaState, t.ext("TCPFullUndo")], [OPEN, 1]);
  assert(tp.sndCwnd >= 10 && tp.sndSsthresh > 5, `${tp.sndCwnd}, ${tp.sndSsthresh}`);
  sys.close(fd);
  t.send({ seq: 1, flags: "R", options: ts(4, val) });
});

Deno.test("after an undo a second timeout counts the head's retransmission once", () => {
  using s = new Sender();
  const { tp } = s;
  s.write(12);
  s.ack(1);
  s.after(500);
  assertEquals([tp.icskCaState, tp.frto, tp.retransOut], [LOSS, true, 1]);
  // F-RTO: what was sent once is SACKed, so the timeout was not needed.
  s.ack(1, [3, 4]);
  assertEquals([tp.icskCaState, tp.lostOut, tp.retransOut], [DISORDER, 0, 1]);
  s.after(3000);
  assertEquals([tp.icskCaState, tp.retransOut], [LOSS, 1]);
  scoreboard(tp);
  s.ack(tp.packetsOut + 1);
  assertEquals([tp.packetsOut, tp.retransOut], [0, 0]);
});

Deno.test("whatever a peer SACKs and acknowledges, the counters are the sums of the tags", () => {
  const block = fc.tuple(fc.integer({ min: -2, max: 40 }), fc.integer({ min: 1, max: 12 }));
  const step = fc.record({
    ack: fc.integer({ min: 0, max: 3 }),
    blocks: fc.array(block, { maxLength: 4 }),
    ms: fc.constantFrom(0, 0, 0, 1, 5, 20, 250),
    odd: fc.constantFrom(0, 0, 0, 1, 500),
  });
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { minLength: 5, maxLength: 80 }), (sack, steps) => {
      using s = new Sender({ sack });
      const { t, tp } = s;
      let una = 0;
      for (const { ack, blocks, ms, odd } of steps) {
        if (((tp.writeSeq - tp.sndNxt) | 0) < 20 * MSS) t.write(s.fd, 20 * MSS);
        una = Math.min(una + ack, Math.floor(((tp.sndNxt - t.isn - 1) | 0) / MSS));
        const list = blocks.map(([at, n]): [number, number] => {
          const from = 1 + (una + at) * MSS + odd;
          return [from, from + n * MSS];
        });
        t.send({
          seq: 1,
          ack: 1 + una * MSS,
          ...(sack && list.length !== 0 ? { options: sackOption(t.isn, ...list) } : {}),
        });
        scoreboard(tp);
        if (ms !== 0) {
          t.after(ms);
          scoreboard(tp);
        }
        t.take();
      }
      // An honest peer then gets all.
      for (let i = 0; i < 200 && tp.sndUna !== tp.writeSeq; i++) {
        t.send({ seq: 1, ack: (tp.sndNxt - t.isn) | 0 });
        t.after(50);
      }
      assertEquals([tp.packetsOut, tp.sackedOut, tp.lostOut, tp.retransOut], [0, 0, 0, 0]);
    }),
    { numRuns: 60 },
  );
});
