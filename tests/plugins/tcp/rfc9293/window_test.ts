/** RFC 9293 sections 3.8.6 and 3.10.7.4: windows that shrink, close and open, silly segments; ACKs, and when they go. */
import { assert, assertEquals } from "@std/assert";
import { INET } from "../../../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SHUT_WR, SOCK_STREAM } from "../../../../plugins/transport/sock/mod.ts";
import { SOL_TCP, TCP_CLOSE, TCP_ESTABLISHED, TCP_NODELAY } from "../../../../plugins/transport/tcp/contract.ts";
import { concat } from "../../../support/frames/bytes.ts";
import { twoHosts } from "../../../support/hosts.ts";
import { tcpConnection } from "../../../support/tcp.ts";
import { mssOption, RawPeer, SACK_PERMITTED, type Seen } from "../../../support/tcp_peer.ts";

const lens = (seen: Seen[]): number[] => seen.map((s) => s.len);
const gaps = (times: number[]): number[] => times.slice(1).map((at, i) => at - times[i]);

/** Segments of the peer in order, until no window is left: its next number. Nobody reads. */
function fill(t: RawPeer, size = 1000): number {
  let [seq, window] = [1, 4000];
  for (let i = 0; i < 300 && window > 0; i++) {
    t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(Math.min(size, window)));
    for (const s of t.after(250)) [seq, window] = [s.ack, s.window];
  }
  assertEquals(window, 0);
  return seq;
}

// ---- the peer's window

Deno.test("[MUST-34] [SHLD-15] [SHLD-16] a window that shrinks: no new data, the old goes again within it, nothing is lost", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 8760 });
  t.write(fd, 8760);
  assertEquals(lens(t.take()), [1460, 1460, 1460, 1460, 1460, 1460]);
  t.write(fd, 5000);
  // One segment is acknowledged, and there is room for two more: four are beyond the edge.
  t.send({ seq: 1, ack: 1461, window: 2920 });
  assertEquals(t.take(), [], "no new data");
  const again = t.after(5000);
  assert(again.length >= 3 && again.every((s) => s.seq === 1461 && s.len === 1460), JSON.stringify(again));
  t.send({ seq: 1, ack: 2921, window: 2920 });
  for (const s of t.after(10_000)) assert(s.seq + s.len <= 2921 + 2920, `${s.seq} + ${s.len} is beyond the edge`);
  // It opens again: all that is old, then what is new.
  let una = 2921;
  for (let i = 0; i < 40 && una < 13_761; i++) {
    t.send({ seq: 1, ack: una, window: 20_000 });
    for (const s of t.after(20_000)) if (s.seq <= una) una = Math.max(una, s.seq + s.len);
  }
  assertEquals([una, t.tp(fd).sk.state], [13_761, TCP_ESTABLISHED]);
});

Deno.test("[MUST-35] [SHLD-17] a window that is taken back to zero is probed, and as long as that is answered nothing times out", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 8760 });
  t.write(fd, 8760);
  t.take();
  t.send({ seq: 1, ack: 1, window: 0 });
  let probes = 0;
  // Longer than tcp_retries2 lasts.
  for (let s = 0; s < 4000; s++) {
    for (const seen of t.after(1000)) {
      probes++;
      assert(seen.seq <= 1, "the first is the probe");
      t.send({ seq: 1, ack: 1, window: 0 });
    }
  }
  assert(probes > 30, `${probes} probes`);
  assertEquals(t.tp(fd).sk.state, TCP_ESTABLISHED);
  t.send({ seq: 1, ack: 1, window: 8760 });
  assert(t.after(130_000).some((s) => s.seq === 1 && s.len === 1460));
});

Deno.test("[MUST-36] [SHLD-29] [SHLD-30] a zero window: the first probe after the retransmission timeout, the next after twice as long", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 1000 });
  t.write(fd, 1000);
  const [first] = t.after(100);
  assertEquals(first.len, 500);
  t.send({ seq: 1, ack: 1001, window: 0 });
  t.write(fd, 10);
  const rto = t.tp(fd).icskRto;
  const start = Math.floor(t.machine.now / 1e6);
  const probes = t.after(130 * rto);
  const found = gaps([start, ...probes.map((s) => s.at)]);
  assert(found.length >= 6, `${found}`);
  found.forEach((gap, i) => assert(Math.abs(gap - rto * 2 ** i) <= 4 * 2 ** i, `${found} and RTO ${rto}`));
  assert(probes.every((s) => s.len === 0 && s.seq === 1000));
});

Deno.test("[MUST-37] a window may stay zero for hours: each answered probe keeps the connection, none ends it", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 1000 });
  t.write(fd, 1000);
  t.take();
  t.send({ seq: 1, ack: 1001, window: 0 });
  t.write(fd, 10);
  let probes = 0;
  for (let minutes = 0; minutes < 240; minutes++) {
    for (const _ of t.after(60_000)) {
      probes++;
      t.send({ seq: 1, ack: 1001, window: 0 });
    }
  }
  assert(probes > 100, `${probes}`);
  assertEquals(t.tp(fd).sk.state, TCP_ESTABLISHED);
  t.send({ seq: 1, ack: 1001, window: 1000 });
  assertEquals(lens(t.take()), [10]);
  // Without answers it ends, after tcp_retries2 probes.
  t.send({ seq: 1, ack: 1011, window: 0 });
  t.write(fd, 10);
  t.after(2_000_000);
  assertEquals(t.tp(fd).sk.state, TCP_CLOSE);
});

Deno.test("[MUST-38] a sender waits for a full segment, or half of the largest window, or all it has and nothing in flight", () => {
  const open = (t: RawPeer, window: number): number => {
    const fd = t.accept({ window: 8000 });
    t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
    t.write(fd, 8000);
    t.take();
    t.write(fd, 4000);
    t.send({ seq: 1, ack: 8001, window });
    return fd;
  };
  for (const window of [1, 10, 100, 1000, 1459]) {
    using t = new RawPeer();
    open(t, window);
    assertEquals(lens(t.take()), [], `a window of ${window}`);
    t.send({ seq: 1, ack: 8001, window: 1460 });
    assertEquals(lens(t.take()), [1460]);
  }
  // Small windows for ever: half of the largest one that was ever offered.
  using u = new RawPeer();
  const fd = u.accept({ window: 600 });
  u.write(fd, 3000);
  assertEquals(lens(u.take()), [300, 300]);
  u.send({ seq: 1, ack: 601, window: 299 });
  assertEquals(lens(u.take()), []);
  u.send({ seq: 1, ack: 601, window: 300 });
  assertEquals(lens(u.take()), [300]);
});

// ---- our window

Deno.test("[MUST-39] a window that closed opens by a segment, or by half of the buffer, and never by less", () => {
  // Small segments: those that are read free little at first.
  for (const size of [1000, 100]) {
    using t = new RawPeer();
    const fd = t.connect({ rcvbuf: 16_384 });
    fill(t, size);
    let [window, read] = [0, 0];
    while (window === 0) {
      const n = t.read(fd, 50);
      assert(n > 0, `nothing left after ${read} bytes`);
      read += n;
      for (const s of t.take()) window = s.window;
      assert(window === 0 || window >= 1460, `opened by ${window} after ${read} bytes of segments of ${size}`);
    }
    assert(read >= 1460, `opened after ${read} bytes`);
  }
});

Deno.test("[SHLD-14] the right edge stays where it is when nobody reads, whatever comes", () => {
  for (const size of [1, 50, 999, 1460]) {
    using t = new RawPeer();
    t.connect({ rcvbuf: 8192 });
    let [seq, edge] = [1, 0];
    for (let i = 0; i < 120; i++) {
      t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(size));
      for (const s of t.after(60)) {
        assert(s.ack + s.window >= edge, `${size}: from ${edge} to ${s.ack + s.window}`);
        [seq, edge] = [s.ack, s.ack + s.window];
      }
    }
  }
});

Deno.test("[MAY-8] nobody reads: the window stays zero for a day, each probe is answered, and data goes on after it", () => {
  using t = new RawPeer();
  const fd = t.connect({ rcvbuf: 8192 });
  const seq = fill(t);
  for (let hours = 0; hours < 24; hours++) {
    t.after(3_600_000);
    // A probe without data, and one of a byte.
    t.send({ seq: seq - 1, ack: 1 });
    assertEquals(t.take().map((s) => [s.flags, s.ack, s.window]), [["A", seq, 0]]);
    t.after(1000);
    t.send({ seq, ack: 1, flags: "PA" }, [1]);
    assertEquals(t.take().map((s) => [s.flags, s.ack, s.window]), [["A", seq, 0]]);
  }
  assertEquals(t.tp(fd).sk.state, TCP_ESTABLISHED);
  while (t.read(fd, 65_536) > 0);
  t.take();
  t.send({ seq, ack: 1, flags: "PA" }, [1]);
  assertEquals(t.read(fd, 10), 1);
});

Deno.test("[MUST-66] [MUST-37] with a window of zero we go on sending, and the peer's ACKs count", () => {
  using t = new RawPeer();
  const fd = t.connect({ rcvbuf: 4096 });
  const seq = fill(t);
  t.write(fd, 1000);
  assertEquals(lens(t.take()), [1000]);
  t.send({ seq, ack: 1001 });
  assertEquals([t.tp(fd).packetsOut, t.after(1000)], [0, []]);
});

// ---- ACKs

/** A connection whose handshake took `rtt` ms: a long round trip is what allows long delays. */
function slow(t: RawPeer, rtt: number): number {
  const { sys } = t.host;
  const lis = sys.socket(AF_INET, SOCK_STREAM, 0);
  assertEquals([sys.bind(lis, 0, 80), sys.listen(lis, 4)], [0, 0]);
  t.port = 80;
  t.send({ seq: 0, flags: "S", options: mssOption(1460) });
  assertEquals(t.after(rtt).map((s) => s.flags), ["SA"]);
  t.send({ seq: 1, ack: 1 });
  const fd = sys.accept(lis);
  assert(fd > 0);
  return fd;
}

Deno.test("[MUST-40] [SHLD-18] ACKs are delayed, and none by half a second, however data comes and however far the peer is", () => {
  for (
    const [rtt, pause] of [[0, 0], [0, 7], [0, 45], [0, 250], [0, 700], [900, 45], [900, 250], [900, 480], [900, 700]]
  ) {
    using t = new RawPeer();
    const fd = slow(t, rtt);
    const what = `round trip ${rtt}, pause ${pause}`;
    let [seq, delayed, owed] = [1, 0, -1];
    const history: number[] = [];
    for (let i = 0; i < 80; i++) {
      // Our answers are acknowledged two segments later: the round trip stays long.
      history.push((t.tp(fd).sndNxt - t.isn) | 0);
      t.send({ seq, ack: history[Math.max(0, i - (rtt === 0 ? 0 : 2))], flags: "PA" }, new Uint8Array(20));
      seq += 20;
      if (owed < 0) owed = Math.floor(t.machine.now / 1e6);
      t.read(fd, 4096);
      // An answer now and then, as in a conversation.
      if (i % 5 === 4) t.write(fd, 10);
      for (const s of t.after(i === 79 ? 700 : pause)) {
        if (owed < 0) continue;
        assert(s.at - owed < 500, `${what}: ${s.at - owed} ms`);
        if (s.at > owed) delayed++;
        if (s.ack === seq) owed = -1;
      }
    }
    assertEquals(owed, -1, what);
    if (pause >= 45) assert(delayed > 0, `${what}: none was delayed`);
  }
});

Deno.test("[MUST-40] segments whose gaps grow, each answered at once, teach no delay of half a second", () => {
  using t = new RawPeer();
  const fd = slow(t, 900);
  const history: number[] = [];
  let seq = 1;
  for (let i = 0; i < 14; i++) {
    history.push((t.tp(fd).sndNxt - t.isn) | 0);
    t.send({ seq, ack: history[Math.max(0, i - 2)], flags: "PA" }, new Uint8Array(20));
    seq += 20;
    t.read(fd, 4096);
    t.write(fd, 1460);
    // Just within the delay that is thought to be enough by now, which makes it longer.
    t.after(Math.min(t.tp(fd).ackAto - 1, 480));
  }
  assert(t.tp(fd).ackAto > 500, `${t.tp(fd).ackAto} ms were learnt`);
  t.send({ seq, ack: history[12], flags: "PA" }, new Uint8Array(20));
  const from = Math.floor(t.machine.now / 1e6);
  const [ack] = t.after(2000).filter((s) => s.ack === seq + 20);
  assert(ack.at - from > 0 && ack.at - from <= 210, `${ack.at - from} ms`);
});

Deno.test("[SHLD-19] every second full segment is acknowledged at once, also where ACKs are delayed", () => {
  using t = new RawPeer();
  const fd = t.connect();
  // A conversation: no quick ACKs any more.
  t.send({ seq: 1, ack: 1, flags: "PA" }, new Uint8Array(10));
  t.read(fd, 10);
  t.write(fd, 5);
  t.after(100);
  t.send({ seq: 11, ack: 6 });
  let seq = 11;
  let acks = 0;
  for (let i = 0; i < 40; i++) {
    t.send({ seq, ack: 6 }, new Uint8Array(1460));
    seq += 1460;
    while (t.read(fd, 65_536) > 0);
    acks += t.take().filter((s) => s.ack === seq).length;
    assert(t.tp(fd).rcvNxt - t.tp(fd).rcvWup < 2 * 1460, `two segments wait, at ${i}`);
  }
  assert(acks >= 19, `${acks} ACKs for 40 segments`);
});

Deno.test("[MUST-58] ACKs travel with data, and one ACK is for all that came", () => {
  using t = twoHosts({ neigh: true, wire: { delayNs: 20_000 } });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  const out = t.b.net.get(INET).mib.tcp;
  // Requests that are answered: a segment each way, and no ACK of its own.
  t.machine.advance(300e6);
  const before = out.OutSegs;
  for (let i = 0; i < 50; i++) {
    t.a.sys.sendmsg(client.fd, msgHdr(new Uint8Array(100)), 0);
    t.machine.advance(1e6);
    assertEquals(t.b.sys.recvmsg(server.fd, msgHdr(new Uint8Array(200)), 0), 100);
    t.b.sys.sendmsg(server.fd, msgHdr(new Uint8Array(100)), 0);
    t.machine.advance(1e6);
    assertEquals(t.a.sys.recvmsg(client.fd, msgHdr(new Uint8Array(200)), 0), 100);
  }
  const answers = out.OutSegs - before;
  assert(answers >= 50 && answers <= 60, `${answers} segments for 50 answers`);
  client.close();
  server.close();
  t.machine.runUntilIdle(120e9);
});

Deno.test("[MUST-59] [SHLD-31] a gap that is filled: all that was kept behind it is taken first, and one ACK tells it", () => {
  for (const options of [mssOption(1460), concat(mssOption(1460), SACK_PERMITTED)]) {
    using t = new RawPeer();
    const fd = t.connect({ options });
    const order = [3, 1, 9, 5, 7, 2, 8, 4, 6];
    for (const i of order) t.send({ seq: 1 + i * 100, ack: 1, flags: "PA" }, new Uint8Array(100));
    assertEquals(t.read(fd, 4096), -11);
    t.after(20);
    t.send({ seq: 1, ack: 1, flags: "PA" }, new Uint8Array(100));
    assertEquals(t.take().map((s) => [s.flags, s.ack, s.options]), [["A", 1001, ""]]);
    assertEquals(t.read(fd, 4096), 1000);
  }
});

Deno.test("[MAY-13] a segment beyond a gap is answered at once by an ACK of what is missing", () => {
  using t = new RawPeer();
  t.connect();
  for (let i = 1; i <= 3; i++) {
    t.send({ seq: 1 + 1460 * i, ack: 1, flags: "PA" }, new Uint8Array(1460));
    assertEquals(t.take().map((s) => [s.flags, s.ack]), [["A", 1]]);
  }
});

Deno.test("[MAY-12] data under an ACK of what was never sent, or of long ago, is not taken and challenged", () => {
  using t = new RawPeer();
  const fd = t.connect({ window: 5000 });
  for (const una of [5001, 10_001]) {
    t.write(fd, 5000);
    t.take();
    t.send({ seq: 1, ack: una, window: 5000 });
  }
  // RFC 5961 section 5: from SND.UNA - MAX.SND.WND to SND.NXT.
  for (const [ack, taken] of [[10_002, 0], [5000, 0], [0x7fffffff, 0], [5001, 1], [10_001, 1]]) {
    t.after(1000);
    const seq = t.tp(fd).rcvNxt & 0xffff;
    t.send({ seq, ack, flags: "PA" }, [1]);
    assertEquals((t.tp(fd).rcvNxt & 0xffff) - seq, taken, `ACK ${ack}`);
    const answers = t.take().map((s) => [s.flags, s.ack]);
    if (taken === 0) assertEquals(answers, [["A", seq]], `ACK ${ack}`);
  }
  t.host.sys.shutdown(fd, SHUT_WR);
});
