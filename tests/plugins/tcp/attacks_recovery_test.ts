/** Attacks that the sender's recovery and congestion control meet, by the rows of the list of attacks. */
import { assert, assertEquals } from "@std/assert";
import { NETIF_F_HW_CSUM, NETIF_F_TSO } from "../../../core/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import type { TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { useCongestion } from "../../support/congestion.ts";
import { concat } from "../../support/frames/bytes.ts";
import { twoHosts } from "../../support/hosts.ts";
import { scoreboard } from "../../support/scoreboard.ts";
import { Stream } from "../../support/stream.ts";
import { assertNothingLeft, tcpConnection } from "../../support/tcp.ts";
import { looks } from "../../support/tcp_blast.ts";
import { mssOption, RawPeer, SACK_PERMITTED, sackOption, type Seen, wscaleOption } from "../../support/tcp_peer.ts";

const MSS = 1460;
const MS = 1e6;

function reno(t: RawPeer, fd: number): TcpSock {
  return useCongestion(t.host, fd, "reno");
}

/** Bytes whose order is known. */
function bytesOf(seed: number, size: number): Uint8Array {
  const stream = new Stream(seed);
  const out = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) out.set(stream.at(at, Math.min(65536, size - at)), at);
  return out;
}

/** What the peer has got: bytes by their sequence number. */
class Got {
  readonly bytes: Uint8Array;
  readonly #has: Uint8Array;
  #next = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#has = new Uint8Array(size);
  }

  take(list: Seen[]): void {
    for (const s of list) {
      for (let i = 0; i < s.len; i++) {
        this.bytes[s.seq - 1 + i] = parseInt(s.payload.slice(2 * i, 2 * i + 2), 16);
        this.#has[s.seq - 1 + i] = 1;
      }
    }
    while (this.#next < this.#has.length && this.#has[this.#next] === 1) this.#next++;
  }

  /** Bytes in order. */
  get length(): number {
    return this.#next;
  }
}

for (const tso of [false, true]) {
  Deno.test(`[A29] MSS 48 and SACK holes of one byte over 1 MB, ${tso ? "super-packets" : "segments"}: no fault, right bytes`, () => {
    using t = new RawPeer();
    if (tso) t.dev.features |= NETIF_F_TSO | NETIF_F_HW_CSUM;
    const fd = t.accept({ window: 65535, options: concat(mssOption(48), wscaleOption(8), SACK_PERMITTED) });
    const tp = t.tp(fd);
    const size = 1 << 20;
    const data = bytesOf(5, size);
    const got = new Got(size);
    let written = 0;
    for (let round = 0; got.length < size; round++) {
      assert(round < 20_000, `only ${got.length} bytes came`);
      while (written < size) {
        const n = t.write(fd, data.subarray(written, Math.min(size, written + 65536)));
        if (n <= 0) break;
        written += n;
      }
      got.take(t.take());
      const una = got.length + 1;
      // Three holes of one byte each, somewhere in what is in flight; then the honest ACK.
      const flight = (tp.sndNxt - tp.sndUna) | 0;
      if (flight > 20 && round % 2 === 0) {
        const from = (tp.sndUna - t.isn) | 0;
        const at = from + 1 + (round * 37) % (flight - 16);
        const options = sackOption(t.isn, [at, at + 1], [at + 2, at + 3], [at + 4, at + 5]);
        t.send({ seq: 1, ack: from, window: 65535, options });
        scoreboard(tp);
      }
      t.send({ seq: 1, ack: una, window: 65535 });
      scoreboard(tp);
      if (t.out.length === 0) got.take(t.after(5));
    }
    assertEquals(got.bytes, data);
    t.after(1000);
    t.send({ seq: 1, ack: size + 1, window: 65535 });
    assertEquals([tp.packetsOut, tp.sackedOut, tp.lostOut, tp.retransOut], [0, 0, 0, 0]);
    t.host.sys.close(fd);
    t.send({ seq: 1, flags: "R" });
  });
}

/** Payload of a segment, below: many of them are small. */
const SMALL = 500;

/** A connection with `n` segments in flight, acknowledged up to then honestly. */
function inFlight(t: RawPeer, n: number): { fd: number; tp: TcpSock; una: number } {
  const fd = t.accept({ window: 65535, options: concat(mssOption(SMALL), wscaleOption(10), SACK_PERMITTED) });
  const tp = reno(t, fd);
  tp.sk.sndbuf = 1 << 30;
  for (let i = 0; tp.packetsOut < n; i++) {
    assert(i < 30, `${tp.packetsOut} segments are in flight`);
    while (((tp.writeSeq - tp.sndNxt) | 0) < 2 * n * SMALL) assert(t.write(fd, 65536) > 0);
    t.send({ seq: 1, ack: (tp.sndNxt - t.isn) | 0, window: 65535 });
    t.take();
  }
  return { fd, tp, una: (tp.sndUna - t.isn) | 0 };
}

Deno.test("[A30] the work per SACK is what is new in it, and the logarithm of what is in flight", () => {
  const work = (n: number): number[] => {
    using t = new RawPeer();
    const { fd, tp, una } = inFlight(t, n);
    const send = (blocks: [number, number][]): number =>
      looks(() => t.send({ seq: 1, ack: una, window: 65535, options: sackOption(t.isn, ...blocks) }));
    const of = (i: number): number => una + i * SMALL;
    const out: number[] = [];
    // Every second segment, the same three blocks again and again, then a growing one.
    const three: [number, number][] = [[of(3), of(4)], [of(n >> 1), of((n >> 1) + 1)], [of(n - 9), of(n - 8)]];
    send(three);
    let again = 0;
    for (let i = 0; i < 50; i++) again = Math.max(again, send(three));
    out.push(again);
    let grown = 0;
    for (let i = 1; i < 200; i++) grown = Math.max(grown, send([[of(6), of(7 + i)]]));
    out.push(grown);
    scoreboard(tp);
    t.host.sys.close(fd);
    t.send({ seq: 1, flags: "R" });
    return out;
  };
  const small = work(300), large = work(2400);
  for (let i = 0; i < small.length; i++) {
    assert(large[i] <= small[i] + 60 && large[i] < 250, `${small[i]} looks with 300 in flight, ${large[i]} with 2,400`);
  }
});

Deno.test("[A30] SACKs of every second segment, one more per ACK: the whole attack costs in proportion to what was sent", () => {
  const n = 1200;
  using t = new RawPeer();
  const { fd, tp, una } = inFlight(t, n);
  let total = 0;
  for (let i = 1; i + 1 < n; i += 2) {
    const options = sackOption(t.isn, [una + i * SMALL, una + (i + 1) * SMALL]);
    total += looks(() => t.send({ seq: 1, ack: una, window: 65535, options }));
  }
  scoreboard(tp);
  // Each ACK looks at what it SACKs, at what it loses, and at some steps of halving.
  assert(total < 120 * n, `${total} looks for ${n} segments`);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

Deno.test("[A34] an ACK of what was not sent: refused with an ACK, the window stays", () => {
  using t = new RawPeer();
  const fd = t.accept();
  const tp = reno(t, fd);
  t.write(fd, 20 * MSS);
  assertEquals(t.take().length, 10);
  const { sndCwnd, sndUna } = tp;
  for (const ahead of [1, MSS, 1 << 20, 0x7fff0000]) {
    t.send({ seq: 1, ack: 1 + 10 * MSS + ahead });
    assertEquals([tp.sndCwnd, tp.sndUna, tp.packetsOut], [sndCwnd, sndUna, 10], `${ahead} ahead`);
    // The challenge goes once in half a second.
    const answers = t.take();
    assert(answers.length <= 1 && answers.every((s) => s.flags === "A" && s.len === 0 && s.seq === 1 + 10 * MSS));
  }
  t.send({ seq: 1, ack: 1 + 10 * MSS });
  assertEquals(tp.sndCwnd, 20);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

Deno.test("[A34] a window that the application does not fill is not opened by ACKs", () => {
  using t = new RawPeer();
  const fd = t.accept();
  const tp = reno(t, fd);
  for (let i = 0; i < 200; i++) {
    t.write(fd, 100);
    t.after(1);
    t.send({ seq: 1, ack: 1 + 100 * (i + 1) });
  }
  assertEquals(tp.sndCwnd, 10);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

Deno.test("[A35] ACK division: a hundred ACKs inside one segment open the window by one packet", () => {
  using t = new RawPeer();
  const fd = t.accept();
  const tp = reno(t, fd);
  t.write(fd, 40 * MSS);
  t.take();
  for (let i = 1; i <= 100; i++) t.send({ seq: 1, ack: 1 + Math.floor(i * MSS / 100) });
  assertEquals(tp.sndCwnd, 11);
  // In avoidance as well.
  tp.sndSsthresh = 5;
  tp.sndCwndCnt = 0;
  for (let i = 1; i <= 100; i++) t.send({ seq: 1, ack: 1 + MSS + Math.floor(i * MSS / 100) });
  assert(tp.sndCwnd <= 12 && tp.sndCwndCnt <= 1, `${tp.sndCwnd}, ${tp.sndCwndCnt}`);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

Deno.test("[A35] duplicate ACKs that are none: with data, with a larger window, with nothing in flight", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 30_000 });
  const tp = reno(t, fd);
  for (let i = 0; i < 20; i++) t.send({ seq: 1, ack: 1, window: 30_000 });
  assertEquals([tp.sackedOut, tp.sndCwnd, t.take().length], [0, 10, 0]);
  t.write(fd, 20 * MSS);
  t.take();
  for (let i = 0; i < 10; i++) t.send({ seq: 1 + i, ack: 1, flags: "PA", window: 30_000 }, [i]);
  assertEquals([tp.sackedOut, tp.icskCaState], [0, 0]);
  for (let i = 1; i < 10; i++) t.send({ seq: 11, ack: 1, window: 30_000 + i });
  assertEquals([tp.sackedOut, tp.icskCaState], [0, 0]);
  t.host.sys.close(fd);
  t.send({ seq: 11, flags: "R" });
});

Deno.test("[A35] forged duplicate ACKs: one recovery, no more credit than segments are in flight", () => {
  using t = new RawPeer();
  const fd = t.accept();
  const tp = reno(t, fd);
  t.write(fd, 40 * MSS);
  assertEquals(t.take().length, 10);
  for (let i = 0; i < 1000; i++) t.send({ seq: 1, ack: 1 });
  const sent = t.take();
  assertEquals([tp.icskCaState, tp.sndSsthresh], [3, 5]);
  assertEquals(tp.sackedOut, tp.packetsOut - 1);
  // One retransmission, and new data as the proportion of the windows lets it go.
  assertEquals(sent.filter((s) => s.seq === 1).length, 1);
  assert(sent.length <= 40, `${sent.length} segments`);
  assert(tp.sndCwnd <= 10, `${tp.sndCwnd}`);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});

/**
 * Outages, ms, in periods; the share of the wire's rate that must be left, and for how many periods at most nothing comes.
 * Each outage costs a timeout, 0.2 to 0.3 s; in step with it, each third of a second, is the attack at its best: what goes
 * again goes into the next outage. That pace cannot be kept (the least RTO is what makes TCP fair), but must not stop it.
 */
const OUTAGES: { period: number; outage: number; floor: number; silent: number }[] = [
  { period: 1000, outage: 100, floor: 0.6, silent: 0 },
  { period: 500, outage: 100, floor: 0.35, silent: 0 },
  { period: 300, outage: 100, floor: 0.03, silent: 14 },
  { period: 4000, outage: 1000, floor: 0.5, silent: 0 },
];

for (const { period, outage, floor, silent } of OUTAGES) {
  Deno.test(`[A36] outages of ${outage} ms each ${period} ms leave ${100 * floor} % of the rate, and all of it when they end`, () => {
    using t = twoHosts({ neigh: true, seed: 3, wire: { delayNs: 5 * MS, rateBps: 20e6, limit: 60 } });
    const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
    client.run(100_000_000);
    server.run(0);
    t.machine.advance(500 * MS);
    const start = server.received;
    const periods: number[] = [];
    for (let ms = 0; ms < 12_000; ms += period) {
      const before = server.received;
      t.wire.change({ loss: 1 });
      t.machine.advance(outage * MS);
      t.wire.change({ loss: 0 });
      t.machine.advance((period - outage) * MS);
      periods.push(server.received - before);
    }
    const rate = (server.received - start) * 8 / 12;
    assert(rate >= floor * 20e6, `${(rate / 1e6).toFixed(1)} Mbit/s of 20`);
    let [run, longest] = [0, 0];
    for (const bytes of periods) longest = Math.max(longest, run = bytes === 0 ? run + 1 : 0);
    assert(longest <= silent, `nothing came for ${longest} periods: ${periods}`);
    // The attack over, so is the back-off: one ACK ends it, however far it was.
    t.machine.advance((1000 + silent * period) * MS);
    const after = server.received;
    t.machine.advance(2000 * MS);
    const again = (server.received - after) * 8 / 2;
    assert(again > 0.85 * 20e6, `${(again / 1e6).toFixed(1)} Mbit/s of 20 after the attack`);
    client.abort();
    t.machine.advance(1000 * MS);
    server.close();
    assertNothingLeft(t.machine, [t.a, t.b]);
    assertEquals(t.a.net.get(TCP).counts().memory, 0);
  });
}

Deno.test("[A30] a timeout with 1,200 segments in flight: the ACKs of the slow start look at each a few times", () => {
  using t = new RawPeer();
  const { fd, tp, una } = inFlight(t, 1200);
  // Else the second ACK would show that nothing was lost.
  tp.st.sysctl.frto = 0;
  t.machine.advance(300 * MS);
  t.take();
  assertEquals(tp.icskCaState, 4);
  let total = 0, acked = 0;
  while (acked < 1200) {
    t.machine.advance(10 * MS);
    const went = t.take().filter((s) => s.len !== 0).length;
    for (let i = 0; i < Math.max(1, went) && acked < 1200; i++) {
      acked++;
      total += looks(() => t.send({ seq: 1, ack: una + acked * SMALL, window: 65535 }));
    }
    scoreboard(tp);
  }
  assert(total < 40 * 1200, `${total} looks for 1,200 segments`);
  t.host.sys.close(fd);
  t.send({ seq: 1, flags: "R" });
});
