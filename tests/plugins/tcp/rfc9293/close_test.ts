/** RFC 9293 sections 3.5.3 and 3.6: resets, ends, half-duplex closes, TIME-WAIT. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../../core/mod.ts";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDHUP,
  SHUT_WR,
  SO_ERROR,
  SOL_SOCKET,
} from "../../../../plugins/transport/sock/mod.ts";
import { TCP_CLOSE, TCP_CLOSE_WAIT } from "../../../../plugins/transport/tcp/contract.ts";
import { mssOption, RawPeer } from "../../../support/tcp_peer.ts";
import { type Segment, tsOption, tsvalOf, Tun } from "../../../support/tcp_tun.ts";

/** A connection that the host closed first: in TIME-WAIT. `seq`: the peer's next number, `ack`: the host's. */
function timeWait(ts?: number): { t: Tun; lis: number; seq: number; ack: number } {
  const t = new Tun();
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis, ts === undefined ? {} : { options: tsOption(ts) });
  const echo = ts === undefined ? {} : { options: tsOption(ts, tsvalOf(synack)) };
  const ack = synack.seq + 2;
  t.host.sys.close(fd);
  assertEquals(t.take().map((s) => s.flags).at(-1), "FA");
  assertEquals(t.flags({ seq: 1001, ack, flags: "FA", ...echo }), ["A"]);
  assertEquals(t.counts().timeWait, 1);
  return { t, lis, seq: 1002, ack };
}

Deno.test("[SHLD-2] a RST with data is a RST like any other, and its data is nobody's", () => {
  for (const bytes of [1, 100, 1400]) {
    using t = new RawPeer();
    const fd = t.connect();
    t.send({ seq: 1, ack: 1, flags: "RA" }, new Uint8Array(bytes).fill(65));
    assertEquals([t.tp(fd).sk.state, t.take()], [TCP_CLOSE, []]);
    assertEquals([errnoName(t.read(fd, 2000)), t.read(fd, 2000)], ["ECONNRESET", 0]);
    // In SYN-SENT, too.
    using u = new RawPeer();
    const own = u.host.sys.socket(2, 1, 0);
    u.host.sys.connect(own, 0x0a000002, u.sport);
    u.take();
    u.send({ seq: 0, ack: 1, flags: "RA" }, new Uint8Array(bytes));
    assertEquals(u.host.sys.getsockopt(own, SOL_SOCKET, SO_ERROR), 111);
  }
});

Deno.test("[MUST-12] the end of a connection: a FIN reads as 0 bytes, a RST as ECONNRESET, and poll() tells them apart", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.send({ seq: 1, ack: 1, flags: "FPA" }, [1, 2]);
  const { sys } = t.host;
  assertEquals([sys.poll(fd) & (POLLIN | POLLRDHUP | POLLERR | POLLHUP), t.tp(fd).sk.state], [
    POLLIN | POLLRDHUP,
    TCP_CLOSE_WAIT,
  ]);
  assertEquals([t.read(fd, 10), t.read(fd, 10), sys.getsockopt(fd, SOL_SOCKET, SO_ERROR)], [2, 0, 0]);
  assertEquals(t.write(fd, 5), 5);
  using u = new RawPeer();
  const other = u.connect();
  u.send({ seq: 1, ack: 1, flags: "R" });
  assertEquals(u.host.sys.poll(other) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
  assertEquals([errnoName(u.read(other, 10)), errnoName(u.write(other, 5))], ["ECONNRESET", "EPIPE"]);
  // A RST after the FIN is told to who writes.
  t.send({ seq: 4, ack: 1, flags: "R" });
  assertEquals(errnoName(t.write(fd, 5)), "EPIPE");
});

Deno.test("[MAY-1] [SHLD-3] close() with unread data, and data after close(), are answered by a RST", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.send({ seq: 1, ack: 1, flags: "PA" }, [1, 2, 3]);
  t.take();
  t.host.sys.close(fd);
  assertEquals(t.take().map((s) => [s.flags, s.seq, s.ack]), [["RA", 1, 4]]);
  assertEquals(t.after(10_000), []);
  // What was read first is lost for nobody: a FIN. Then data comes.
  using u = new RawPeer();
  const other = u.connect();
  u.send({ seq: 1, ack: 1, flags: "PA" }, [1, 2, 3]);
  assertEquals(u.read(other, 10), 3);
  u.after(100);
  u.host.sys.close(other);
  assertEquals(u.take().map((s) => s.flags), ["FA"]);
  u.send({ seq: 4, ack: 2, flags: "PA" }, [4]);
  assertEquals(u.take().map((s) => [s.flags, s.seq]), [["R", 2]]);
});

Deno.test("[MUST-13] who closes first stays in TIME-WAIT for 60 s, answers old segments, and then is gone", () => {
  const { t, seq, ack } = timeWait();
  using _ = t;
  // The peer's FIN again, as if our ACK was lost, starts it anew.
  t.after(30_000);
  assertEquals(t.ask({ seq: seq - 1, ack, flags: "FA" }).flags, "A");
  t.after(59_900);
  assertEquals(t.counts().timeWait, 1);
  t.after(1_100);
  assertEquals(t.counts().timeWait, 0);
  assertEquals(t.flags({ seq: seq - 1, ack, flags: "FA" }), ["R"]);
});

Deno.test("[MUST-13] who closes second has no TIME-WAIT", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.send({ seq: 1, ack: 1, flags: "FA" });
  t.host.sys.close(fd);
  assertEquals(t.take().map((s) => s.flags).at(-1), "FA");
  t.send({ seq: 2, ack: 2 });
  t.send({ seq: 2, ack: 2 });
  assertEquals(t.take().map((s) => s.flags), ["R"]);
});

Deno.test("[MAY-2] a SYN that is newer opens a connection out of TIME-WAIT, with a number beyond the old ones", () => {
  const { t, lis, seq, ack } = timeWait();
  using _ = t;
  assertEquals(t.flags({ seq, ack, flags: "S" }), ["A"]);
  const synack = t.ask({ seq: seq + 5000, flags: "S" });
  assertEquals([synack.flags, synack.ack, t.counts().timeWait], ["SA", seq + 5001, 0]);
  assert(((synack.seq - ack) | 0) > 0, "behind what was in use");
  t.send({ seq: seq + 5001, ack: synack.seq + 1, flags: "A" });
  assert(t.host.sys.accept(lis) > 0);
});

Deno.test("[SHLD-4] with timestamps a SYN is newer by its timestamp, though its number is lower", () => {
  for (const [tsval, answer] of [[101, "SA"], [100, "A"], [99, "A"]] as const) {
    const { t, seq } = timeWait(100);
    using _ = t;
    const syn: Segment = { seq: seq - 500, flags: "S", options: tsOption(tsval) };
    assertEquals(t.flags(syn), [answer], `${tsval}`);
  }
});

Deno.test("[SHLD-4] our own connect() takes a port over from TIME-WAIT where timestamps tell old from new", () => {
  for (const ts of [true, false]) {
    using t = new Tun();
    const { sys } = t.host;
    t.host.sysctl("net.ipv4.tcp_tw_reuse", 1);
    t.host.sysctl("net.ipv4.ip_local_port_range", [40_000, 40_000]);
    const open = (): { fd: number; result: number } => {
      const fd = sys.socket(2, 1, 0);
      return { fd, result: sys.connect(fd, 0x0a000002, 80) };
    };
    const { fd } = open();
    const [syn] = t.take();
    const peer = { sport: 80, dport: 40_000 };
    const stamp = (at: number, echo = 0) => (ts ? { options: tsOption(at, echo) } : { options: mssOption(1460) });
    t.send({ ...peer, seq: 0, ack: syn.seq + 1, flags: "SA", ...stamp(7, tsvalOf(syn)) });
    sys.shutdown(fd, SHUT_WR);
    t.take();
    t.send({ ...peer, seq: 1, ack: syn.seq + 2, flags: "FA", ...(ts ? stamp(8, tsvalOf(syn)) : {}) });
    sys.close(fd);
    assertEquals(t.counts().timeWait, 1);
    t.after(2000);
    assertEquals(errnoName(open().result), ts ? "EINPROGRESS" : "EADDRNOTAVAIL");
  }
});
