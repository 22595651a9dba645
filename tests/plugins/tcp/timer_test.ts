import { assert, assertEquals } from "@std/assert";
import { SO_ERROR, SO_KEEPALIVE, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import {
  SOL_TCP,
  TCP_CLOSE,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "../../../plugins/transport/tcp/contract.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, SACK_PERMITTED, type Seen } from "../../support/tcp_peer.ts";

const ETIMEDOUT = 110;

/** When segments left, in ms since `from`. */
function times(seen: Seen[], from: number): number[] {
  return seen.map((s) => s.at - from);
}

function near(found: number[], wanted: number[], slack = 6): void {
  const ok = found.length === wanted.length && found.every((v, i) => Math.abs(v - wanted[i]) <= slack);
  assert(ok, `at ${found.join(" ")} and not ${wanted.join(" ")}`);
}

Deno.test("SYN: again after 1, 2, 3, 4, 5, 7, 11 ... s, and ETIMEDOUT after 131 s", () => {
  using t = new RawPeer();
  const { sys } = t.host;
  const fd = sys.socket(2, 1, 0);
  sys.connect(fd, 0x0a000002, 4000);
  const [first] = t.take();
  const again = t.after(140_000);
  near(times(again, first.at), [1, 2, 3, 4, 5, 7, 11, 19, 35, 67].map((s) => s * 1000), 20);
  assert(again.every((s) => s.flags === "S" && s.seq === 0));
  assertEquals(sys.getsockopt(fd, SOL_SOCKET, SO_ERROR), ETIMEDOUT);
  assertEquals(t.tp(fd).sk.state, TCP_CLOSE);
});

Deno.test("SYN-ACK: again after 1, 3, 7, 15, 31 s", () => {
  using t = new RawPeer();
  const { sys } = t.host;
  const lis = sys.socket(2, 1, 0);
  sys.bind(lis, 0, 80);
  sys.listen(lis, 4);
  t.port = 80;
  t.send({ seq: 0, flags: "S", options: mssOption(1460) });
  const [first] = t.take();
  near(times(t.after(70_000), first.at), [1, 3, 7, 15, 31].map((s) => s * 1000), 20);
});

Deno.test("RTO: from 200 ms on it doubles; without SACK there is no probe before it", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 100);
  const [first] = t.take();
  near(times(t.after(7000), first.at), [200, 600, 1400, 3000, 6200]);
});

Deno.test("tail loss probe: one segment waits 200 ms and two round trips, several only the round trips; it is the last one", () => {
  using t = new RawPeer();
  const options = concat(mssOption(1460), SACK_PERMITTED);
  const fd = t.accept({ options });
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
  t.write(fd, 100);
  let [first] = t.take();
  // The probe, then the RTO that counts from it, and doubles.
  near(times(t.after(1700), first.at), [200, 400, 800, 1600]);
  assertEquals(t.ext("TCPLossProbes"), 1);
  using u = new RawPeer();
  const other = u.accept({ options });
  u.host.sys.setsockopt(other, SOL_TCP, TCP_NODELAY, 1);
  for (let i = 0; i < 3; i++) u.write(other, 100 + i);
  [first] = u.take();
  // The probe is the last segment; the RTO begins with the first, and what is small goes as one.
  const seen = u.after(250);
  assertEquals(seen.map((s) => [s.seq, s.len]), [[202, 102], [1, 303]]);
  near(times(seen, first.at), [3, 203], 8);
});

Deno.test("delayed ACK: 40 ms in a conversation, and at once for the second full segment", () => {
  using t = new RawPeer();
  const fd = t.connect();
  // An answer begins a conversation.
  t.send({ seq: 1, ack: 1, flags: "PA" }, new Uint8Array(10));
  t.take();
  t.read(fd, 10);
  t.write(fd, 5);
  t.take();
  t.send({ seq: 11, ack: 6, flags: "PA" }, new Uint8Array(10));
  const now = Math.floor(t.machine.now / 1e6);
  assertEquals(t.take(), []);
  const late = t.after(60);
  near(times(late, now), [40], 2);
  assertEquals(late[0].ack, 21);
  assertEquals(t.ext("DelayedACKs"), 1);
});

for (const ecn of [true, false]) {
  Deno.test(`CWR asks for an ACK at once ${ecn ? "where ECN was agreed on" : "in no other connection"}. RFC 3168`, () => {
    using t = new RawPeer();
    const { sys } = t.host;
    const lis = sys.socket(2, 1, 0);
    sys.bind(lis, 0, 80);
    sys.listen(lis, 1);
    t.port = 80;
    t.send({ seq: 0, flags: ecn ? "SEC" : "S", options: mssOption(1460) });
    assertEquals(t.take()[0].flags, ecn ? "SAE" : "SA");
    t.send({ seq: 1, ack: 1, flags: "PA" }, new Uint8Array(10));
    const fd = sys.accept(lis);
    sys.close(lis);
    t.read(fd, 10);
    t.write(fd, 5);
    t.take();
    t.send({ seq: 11, ack: 6, flags: "PAC" }, new Uint8Array(10));
    assertEquals(t.take().map((s) => s.ack), ecn ? [21] : []);
    assertEquals(t.after(60).map((s) => s.ack), ecn ? [] : [21]);
  });
}

Deno.test("zero window: probes of no data after 200, 600, 1400 ms ...; data goes when it opens", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 2000 });
  t.write(fd, 1000);
  t.take();
  t.send({ seq: 1, ack: 1001, window: 0 });
  t.write(fd, 500);
  const now = Math.floor(t.machine.now / 1e6);
  const probes = t.after(3100);
  near(times(probes, now), [200, 600, 1400, 3000]);
  assert(probes.every((s) => s.len === 0 && s.seq === 1000 && s.flags === "A"));
  t.send({ seq: 1, ack: 1001, window: 0 });
  assertEquals(t.take(), []);
  t.send({ seq: 1, ack: 1001, window: 2000 });
  assertEquals(t.take().map((s) => [s.seq, s.len]), [[1001, 500]]);
});

Deno.test("keepalive: probes after the idle time, then at the interval, then a RST and ETIMEDOUT", () => {
  using t = new RawPeer();
  const fd = t.accept();
  const { sys } = t.host;
  assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_KEEPIDLE, 10), 0);
  assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_KEEPINTVL, 2), 0);
  assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_KEEPCNT, 3), 0);
  assertEquals(sys.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  const now = Math.floor(t.machine.now / 1e6);
  const [probe] = t.after(11_000);
  assertEquals([probe.seq, probe.len, probe.flags], [0, 0, "A"]);
  near([probe.at - now], [10_000], 20);
  // It is answered, and the idle time begins anew.
  t.send({ seq: 1, ack: 1 });
  const seen = t.after(30_000);
  near(times(seen, now), [21_000, 23_000, 25_000, 27_000], 50);
  assertEquals(seen.map((s) => s.flags), ["A", "A", "A", "RA"]);
  assertEquals(sys.getsockopt(fd, SOL_SOCKET, SO_ERROR), ETIMEDOUT);
  assert(t.ext("TCPKeepAlive") >= 4);
});

Deno.test("TCP_USER_TIMEOUT: data that is not acknowledged for so long ends the connection", () => {
  using t = new RawPeer();
  const fd = t.accept();
  assertEquals(t.host.sys.setsockopt(fd, SOL_TCP, TCP_USER_TIMEOUT, 3000), 0);
  t.write(fd, 100);
  t.after(2900);
  assertEquals(t.tp(fd).sk.state, 1);
  t.after(700);
  assertEquals([t.tp(fd).sk.state, t.host.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR)], [TCP_CLOSE, ETIMEDOUT]);
});

Deno.test("retransmission ends after tcp_retries2: at the first timeout more than 924.6 s after the first repetition", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 100);
  const [first] = t.take();
  const seen = t.after(1_100_000);
  assertEquals(seen.length, 16);
  const sk = t.host.sys.sock(fd)!;
  assertEquals([sk.state, sk.err], [TCP_CLOSE, ETIMEDOUT]);
  near([seen[15].at - first.at], [924_600], 100);
  assertEquals(t.ext("TCPAbortOnTimeout"), 1);
});

Deno.test("a FIN is sent again like data", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.host.sys.shutdown(fd, 1);
  const [fin] = t.take();
  assertEquals(fin.flags, "FA");
  const seen = t.after(1500);
  near(times(seen, fin.at), [200, 600, 1400]);
  assert(seen.every((s) => s.flags === "FA" && s.seq === 1));
});
