/** Requests: from the SYN to accept(), and what ends them. RFC 9293 section 3.10.7.4; the answers are Linux's. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { POLLIN, SO_RCVBUF, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import { SOL_TCP, TCP_DEFER_ACCEPT, TCP_MAXSEG, TCP_SYNCNT } from "../../../plugins/transport/tcp/mod.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, SACK_PERMITTED, wscaleOption } from "../../support/tcp_peer.ts";
import { PORT, tsOption, tsvalOf, Tun } from "../../support/tcp_tun.ts";

Deno.test("SYN, SYN-ACK, ACK: a request, then a connection that accept() gives", () => {
  using t = new Tun();
  const lis = t.listen();
  const synack = t.syn({ payload: [1, 2, 3], options: mssOption(1460) });
  // The SYN alone is acknowledged, its data is not.
  assertEquals([synack.flags, synack.ack, synack.window, synack.id, synack.sport, synack.dport], [
    "SA",
    1001,
    64240,
    0,
    80,
    4000,
  ]);
  assertEquals(t.counts(), { ...t.counts(), requests: 1, established: 0 });
  assertEquals([errnoName(t.host.sys.accept(lis)), t.host.sys.poll(lis)], ["EAGAIN", 0]);
  t.send({ seq: 1001, ack: synack.seq + 1, flags: "A" });
  assertEquals(t.take(), []);
  assertEquals(t.host.sys.poll(lis), POLLIN);
  const fd = t.host.sys.accept(lis);
  assertEquals(t.counts(), { ...t.counts(), requests: 0, established: 1 });
  const name = { addr: 0, port: 0 };
  t.host.sys.getpeername(fd, name);
  assertEquals(name, { addr: 0x0a000002, port: 4000 });
  t.host.sys.getsockname(fd, name);
  assertEquals(name, { addr: 0x0a000001, port: PORT });
  assertEquals([t.mib("PassiveOpens"), t.mib("CurrEstab")], [1, 1]);
});

Deno.test("the SYN-ACK's options and window answer what the SYN offers", () => {
  const ts = tsOption(7);
  const cases: [Uint8Array, number, string][] = [
    [Uint8Array.of(), 64240, "020405b4"],
    [mssOption(500), 64240, "020405b4"],
    [SACK_PERMITTED, 64240, "020405b401010402"],
    [wscaleOption(7), 64240, "020405b40103030a"],
    [concat(SACK_PERMITTED, wscaleOption(7)), 64240, "020405b4010104020103030a"],
    [ts, 65160, "020405b40101080a"],
    [concat(SACK_PERMITTED, ts), 65160, "020405b40402080a"],
    [concat(ts, wscaleOption(7)), 65160, "020405b40101080a"],
  ];
  for (const [options, window, want] of cases) {
    using t = new Tun();
    t.listen();
    const { window: win, options: got } = t.syn({ options });
    assertEquals([win, got.slice(0, want.length)], [window, want]);
    if (want.includes("080a")) assertEquals(got.slice(want.length + 8, want.length + 16), "00000007", "TSecr");
    if (options.length > 12 && window === 65160 && want.includes("0101080a")) assertEquals(got.slice(-8), "0103030a");
  }
});

Deno.test("SO_RCVBUF and TCP_MAXSEG of the listener are in the SYN-ACK", () => {
  using t = new Tun();
  const lis = t.listen();
  t.host.sys.setsockopt(lis, SOL_SOCKET, SO_RCVBUF, 4096);
  t.host.sys.setsockopt(lis, SOL_TCP, TCP_MAXSEG, 1000);
  const synack = t.syn();
  assertEquals(synack.options, "020403e8");
  assert(synack.window <= 4096, `${synack.window}`);
});

Deno.test("the SYN again gets the SYN-ACK again; another SYN a RST", () => {
  using t = new Tun();
  t.listen();
  const first = t.syn();
  const again = t.syn();
  assertEquals([again.flags, again.seq, again.ack], ["SA", first.seq, first.ack]);
  // At a limited rate.
  assertEquals(t.flags({ seq: 1000, flags: "S" }), []);
  t.after(501);
  assertEquals(t.flags({ seq: 1000, flags: "S" }), ["SA"]);
  const rst = t.ask({ seq: 2000, flags: "S" });
  assertEquals([rst.flags, rst.seq, rst.ack], ["RA", 0, 2001]);
  assertEquals([t.counts().requests, t.ext("EmbryonicRsts"), t.mib("AttemptFails")], [0, 1, 1]);
});

Deno.test("what comes for a request: resets, wrong numbers, missing flags", () => {
  const run = (
    what: string,
    send: (isn: number) => Parameters<Tun["send"]>[0],
    answer: string[],
    left: number,
  ): void => {
    using t = new Tun();
    t.listen();
    const { seq } = t.syn();
    assertEquals([t.flags(send(seq)), t.counts().requests], [answer, left], what);
  };
  run("RST at the number that is next", () => ({ seq: 1001, flags: "R" }), [], 0);
  run("RST in the window", () => ({ seq: 1002, flags: "R" }), ["A"], 1);
  run("RST outside", () => ({ seq: 1000 + 70000, flags: "R" }), [], 1);
  run("an ACK of another number", (isn) => ({ seq: 1001, ack: isn + 2, flags: "A" }), ["R"], 1);
  run("an ACK beyond the window", (isn) => ({ seq: 1001 + 70000, ack: isn + 1, flags: "A" }), ["A"], 1);
  run("an ACK before it", (isn) => ({ seq: 900, ack: isn + 1, flags: "A" }), ["A"], 1);
  run("no ACK flag", () => ({ seq: 1001, flags: "P", payload: [1] }), [], 1);
  run("SYN,ACK at its first number", (isn) => ({ seq: 1000, ack: isn + 1, flags: "SA" }), ["A"], 1);
  run("SYN,ACK behind it", (isn) => ({ seq: 1001, ack: isn + 1, flags: "SA" }), ["R"], 0);
});

Deno.test("the ACK may bring data and a FIN", () => {
  using t = new Tun();
  const lis = t.listen();
  const { seq } = t.syn();
  t.send({ seq: 1001, ack: seq + 1, flags: "FPA", payload: [1, 2, 3] });
  const fd = t.host.sys.accept(lis);
  assertEquals([t.read(fd, 10), t.read(fd, 10)], [3, 0]);
});

Deno.test("timestamps: an old one and one that was not echoed do not complete the handshake; none at all does", () => {
  for (const [tsval, echo, done] of [[100, 0, 1], [102, 0, 1], [50, 0, 0], [102, 5000, 0], [102, -5000, 0]]) {
    using t = new Tun();
    t.listen();
    const synack = t.syn({ options: tsOption(100) });
    const ecr = tsvalOf(synack);
    const flags = t.flags({ seq: 1001, ack: synack.seq + 1, flags: "A", options: tsOption(tsval, ecr + echo) });
    assertEquals([flags, t.counts().established], [done === 1 ? [] : ["A"], done], `${tsval} ${echo}`);
  }
  using t = new Tun();
  t.listen();
  const { seq } = t.syn({ options: tsOption(100) });
  assertEquals([t.flags({ seq: 1001, ack: seq + 1, flags: "A" }), t.counts().established], [[], 1]);
});

Deno.test("the SYN-ACK goes again after 1, 3, 7, 15, 31 s, and at 63 s the request ends", () => {
  using t = new Tun();
  t.listen();
  const first = t.syn().at;
  const again = t.after(62_000);
  assertEquals(again.map((s) => [s.flags, Math.round((s.at - first) / 1000)]), [1, 3, 7, 15, 31].map((s) => ["SA", s]));
  assertEquals(t.counts().requests, 1);
  assertEquals([t.after(2_000), t.counts().requests], [[], 0]);
  assertEquals(t.machine.timers.armed, 0);
});

Deno.test("TCP_SYNCNT of a listener bounds them", () => {
  using t = new Tun();
  const lis = t.listen();
  assertEquals(t.host.sys.setsockopt(lis, SOL_TCP, TCP_SYNCNT, 1), 0);
  t.syn();
  assertEquals([t.after(10_000).length, t.counts().requests], [1, 0]);
});

Deno.test("TCP_DEFER_ACCEPT: the bare ACK makes no connection; data does, or the last SYN-ACK", () => {
  using t = new Tun();
  const lis = t.listen();
  assertEquals(t.host.sys.setsockopt(lis, SOL_TCP, TCP_DEFER_ACCEPT, 5), 0);
  assertEquals(t.host.sys.getsockopt(lis, SOL_TCP, TCP_DEFER_ACCEPT), 7);
  const { seq } = t.syn();
  t.send({ seq: 1001, ack: seq + 1, flags: "A" });
  assertEquals([t.counts().requests, t.host.sys.poll(lis), t.ext("TCPDeferAcceptDrop")], [1, 0, 1]);
  t.send({ seq: 1001, ack: seq + 1, flags: "PA", payload: [1] });
  assertEquals([t.counts().requests, t.host.sys.poll(lis)], [0, POLLIN]);
  // Of another nothing comes but the ACK: the SYN-ACK that ends the wait is answered, and it is accepted without data.
  const other = t.syn({ sport: 4001 });
  t.send({ seq: 1001, ack: other.seq + 1, flags: "A", sport: 4001 });
  const again = t.after(10_000);
  assertEquals(again.map((s) => s.flags), ["SA"]);
  t.send({ seq: 1001, ack: other.seq + 1, flags: "A", sport: 4001 });
  assertEquals([t.counts().requests, t.counts().established], [0, 2]);
});

Deno.test("the accept queue is full: SYNs are dropped, an ACK is too, and completes the handshake later", () => {
  using t = new Tun();
  const lis = t.listen(1);
  const pending = t.syn({ sport: 5000 });
  for (let i = 0; i < 2; i++) t.handshake({ sport: 4000 + i });
  assertEquals(t.flags({ seq: 1, flags: "S", sport: 4002 }), []);
  assertEquals([t.ext("ListenOverflows"), t.ext("ListenDrops")], [1, 1]);
  t.send({ seq: 1001, ack: pending.seq + 1, flags: "A", sport: 5000 });
  assertEquals([t.counts().established, t.counts().requests, t.ext("ListenOverflows")], [2, 1, 2]);
  assertEquals(t.host.sys.accept(lis) > 0, true);
  // It was acknowledged, and still the SYN-ACK goes again: that gives the peer reason to answer.
  assertEquals(t.after(1_100).map((s) => s.flags), ["SA"]);
  t.send({ seq: 1001, ack: pending.seq + 1, flags: "A", sport: 5000 });
  assertEquals([t.counts().established, t.counts().requests], [3, 0]);
});

Deno.test("net.ipv4.tcp_abort_on_overflow: a RST instead", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_abort_on_overflow", 1);
  t.listen(0);
  const pending = t.syn({ sport: 5000 });
  t.handshake();
  assertEquals(t.flags({ seq: 1001, ack: pending.seq + 1, flags: "A", sport: 5000 }), ["R"]);
  assertEquals(t.counts().requests, 0);
});

Deno.test("close() of a listener: requests end, connections that wait get a RST", () => {
  using t = new Tun();
  const lis = t.listen();
  const open = t.syn({ sport: 5000 });
  t.handshake();
  t.take();
  t.host.sys.close(lis);
  assertEquals(t.take().map((s) => [s.flags, s.dport]), [["RA", 4000]]);
  assertEquals(t.flags({ seq: 1001, ack: open.seq + 1, flags: "A", sport: 5000 }), ["R"]);
  assertEquals(t.counts(), {
    ...t.counts(),
    established: 0,
    requests: 0,
    listeners: 0,
    bound: 0,
    orphans: 0,
    memory: 0,
  });
  assertEquals(t.machine.timers.armed, 0);
});

Deno.test("a connection that was reset while it waited is given by accept(), with its error", () => {
  using t = new Tun();
  const lis = t.listen();
  t.handshake();
  t.send({ seq: 1001, flags: "R" });
  const fd = t.host.sys.accept(lis);
  assertEquals([errnoName(t.read(fd, 10)), t.read(fd, 10)], ["ECONNRESET", 0]);
});

Deno.test("no SYN is taken for a broadcast address, nor with FIN or RST", () => {
  using t = new Tun();
  t.listen();
  assertEquals(t.flags({ seq: 1, flags: "S", dst: "10.255.255.255" }), []);
  assertEquals(t.flags({ seq: 1, flags: "SF" }), []);
  assertEquals(t.flags({ seq: 1, flags: "SR" }), []);
  assertEquals(t.counts().requests, 0);
});
