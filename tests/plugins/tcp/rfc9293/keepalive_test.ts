/** RFC 9293 section 3.8.4: keep-alives. */
import { assert, assertEquals } from "@std/assert";
import { SO_ERROR, SO_KEEPALIVE, SOL_SOCKET } from "../../../../plugins/transport/sock/mod.ts";
import {
  SOL_TCP,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "../../../../plugins/transport/tcp/contract.ts";
import { RawPeer, type Seen } from "../../../support/tcp_peer.ts";

const HOUR = 3_600_000;

function set(t: RawPeer, fd: number, level: number, name: number, value: number): void {
  assertEquals(t.host.sys.setsockopt(fd, level, name, value), 0);
}

/** A connection with keep-alive on: idle for `idle` s, then each `interval` s. */
function alive(t: RawPeer, idle: number, interval = 5, count = 4): number {
  const fd = t.connect();
  set(t, fd, SOL_TCP, TCP_KEEPIDLE, idle);
  set(t, fd, SOL_TCP, TCP_KEEPINTVL, interval);
  set(t, fd, SOL_TCP, TCP_KEEPCNT, count);
  set(t, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  return fd;
}

/** Each within 1 % and 20 ms of what is wanted. */
function near(t: RawPeer, seen: Seen[], from: number, wanted: number[]): void {
  const found = seen.map((s) => s.at - from);
  const ok = found.length === wanted.length && found.every((at, i) => Math.abs(at - wanted[i]) <= wanted[i] / 100 + 20);
  assert(ok, `at ${found} and not ${wanted}, now ${t.machine.now / 1e6}`);
}

const now = (t: RawPeer): number => Math.floor(t.machine.now / 1e6);

Deno.test("[MUST-25] nothing is sent on an idle connection that asked for nothing, not in a week", () => {
  for (const active of [false, true]) {
    using t = new RawPeer();
    const fd = active ? t.accept() : t.connect();
    assertEquals(t.host.sys.getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assertEquals([t.after(7 * 24 * HOUR), t.tp(fd).sk.state], [[], TCP_ESTABLISHED]);
  }
});

Deno.test("[MUST-24] [MAY-5] keep-alive is switched on, off and on again for one connection, and others have none", () => {
  using t = new RawPeer();
  const fd = alive(t, 10);
  t.send({ seq: 1, ack: 1 });
  let start = now(t);
  near(t, t.after(11_000), start, [10_000]);
  t.send({ seq: 1, ack: 1 });
  set(t, fd, SOL_SOCKET, SO_KEEPALIVE, 0);
  assertEquals(t.after(HOUR), []);
  set(t, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  t.send({ seq: 1, ack: 1 });
  start = now(t);
  near(t, t.after(10_500), start, [10_000]);
  // A listener's setting is its children's, and nobody else's.
  using u = new RawPeer();
  const other = u.accept();
  set(u, other, SOL_TCP, TCP_KEEPIDLE, 10);
  assertEquals(u.after(HOUR), []);
});

Deno.test("[MUST-26] no keep-alive while data is in flight, nor before the peer was silent for the interval", () => {
  using t = new RawPeer();
  const fd = alive(t, 10);
  // Something comes each 9 seconds: data, or an ACK.
  let seq = 1;
  for (let i = 0; i < 10; i++) {
    const bytes = i % 2;
    t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(bytes));
    seq += bytes;
    t.read(fd, 10);
    assert(t.after(9000).every((s) => s.seq === 1), "a keep-alive is one behind");
  }
  // Data in flight is sent again, and that is all.
  t.send({ seq, ack: 1 });
  t.write(fd, 100);
  const seen = t.after(60_000);
  assert(seen.length > 5 && seen.every((s) => s.len === 100 && s.seq === 1), JSON.stringify(seen.map((s) => s.seq)));
  t.send({ seq, ack: 101 });
  const start = now(t);
  near(t, t.after(19_000), start, [10_000, 15_000]);
});

Deno.test("[MUST-27] the interval is an option of the socket, and a sysctl for all that come", () => {
  for (const idle of [1, 60, 3600, 32_767]) {
    using t = new RawPeer();
    alive(t, idle);
    t.send({ seq: 1, ack: 1 });
    const start = now(t);
    near(t, t.after(idle * 1000 + 900), start, [idle * 1000]);
  }
  using u = new RawPeer();
  u.host.sysctl("net.ipv4.tcp_keepalive_time", 30);
  const fd = u.connect();
  set(u, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  u.send({ seq: 1, ack: 1 });
  const start = now(u);
  near(u, u.after(31_000), start, [30_000]);
});

Deno.test("[MUST-28] unless it is set, the interval is two hours", () => {
  using t = new RawPeer();
  const fd = t.connect();
  set(t, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  assertEquals(t.host.sys.getsockopt(fd, SOL_TCP, TCP_KEEPIDLE), 7200);
  t.send({ seq: 1, ack: 1 });
  const start = now(t);
  assertEquals(t.after(2 * HOUR - 10_000), []);
  near(t, t.after(20_000), start, [2 * HOUR]);
});

Deno.test("[MUST-29] probes or answers that are lost: one answer of several is enough, and only all missing end it", () => {
  using t = new RawPeer();
  const fd = alive(t, 10, 5, 4);
  for (let lost = 0; lost < 4; lost++) {
    t.send({ seq: 1, ack: 1 });
    const start = now(t);
    near(t, t.after(10_500 + 5000 * lost), start, Array.from({ length: lost + 1 }, (_, i) => 10_000 + 5000 * i));
    assertEquals(t.tp(fd).sk.state, TCP_ESTABLISHED, `${lost} without an answer`);
  }
  t.send({ seq: 1, ack: 1 });
  t.after(29_000);
  assertEquals(t.tp(fd).sk.state, TCP_ESTABLISHED);
  t.after(2000);
  assertEquals([t.tp(fd).sk.state, t.host.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR)], [TCP_CLOSE, 110]);
});

Deno.test("[SHLD-12] a keep-alive has no data, and a number that the peer has acknowledged", () => {
  using t = new RawPeer();
  const fd = alive(t, 10);
  t.write(fd, 100);
  t.take();
  t.send({ seq: 1, ack: 101 });
  const [probe] = t.after(10_500);
  assertEquals([probe.flags, probe.seq, probe.len, probe.ack], ["A", 100, 0, 1]);
});
