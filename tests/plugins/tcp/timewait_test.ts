/** TIME-WAIT, and FIN-WAIT-2 that nobody waits for. RFC 9293 section 3.10.7.4, RFC 1337, RFC 6191; the answers are Linux's. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import { SOL_TCP, TCP, TCP_CLOSE, TCP_LINGER2 } from "../../../plugins/transport/tcp/mod.ts";
import { twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnect, tcpConnection, tcpListen } from "../../support/tcp.ts";
import { type Segment, tsOption, tsvalOf, Tun } from "../../support/tcp_tun.ts";

/** A connection that the host closed. `seq`: the next of the peer, `ack`: of the host. */
interface Closing {
  t: Tun;
  lis: number;
  seq: number;
  ack: number;
}

/** The host closed: FIN-WAIT-2, and nobody has it any more. The peer's FIN has not come. */
function finWait2(options: { ts?: number; linger2?: number } = {}): Closing {
  const t = new Tun();
  const lis = t.listen();
  const syn: Segment = options.ts === undefined ? {} : { options: tsOption(options.ts) };
  const { fd, synack } = t.accepted(lis, syn);
  if (options.linger2 !== undefined) t.host.sys.setsockopt(fd, SOL_TCP, TCP_LINGER2, options.linger2);
  const ack = synack.seq + 1;
  t.take();
  t.host.sys.close(fd);
  assertEquals(t.take().map((s) => s.flags), ["FA"]);
  const echo = options.ts === undefined ? {} : { options: tsOption(options.ts + 1, tsvalOf(synack)) };
  t.send({ seq: 1001, ack: ack + 1, flags: "A", ...echo });
  return { t, lis, seq: 1001, ack: ack + 1 };
}

/** The same, in TIME-WAIT. */
function timeWait(options: { ts?: number } = {}): Closing {
  const c = finWait2(options);
  const ts = options.ts === undefined ? {} : { options: tsOption(options.ts + 2, 0) };
  assertEquals(c.t.flags({ seq: c.seq, ack: c.ack, flags: "FA", ...ts }), ["A"]);
  assertEquals(c.t.counts(), { ...c.t.counts(), established: 0, timeWait: 1, orphans: 0 });
  return { ...c, seq: c.seq + 1 };
}

Deno.test("TIME-WAIT lasts 60 s, and begins anew with the peer's FIN", () => {
  const { t, seq, ack } = timeWait();
  using _ = t;
  t.after(59_000);
  assertEquals(t.counts().timeWait, 1);
  const again = t.ask({ seq: seq - 1, ack, flags: "FA" });
  assertEquals([again.flags, again.seq | 0, again.ack, again.id, again.len], ["A", ack | 0, seq, 0, 0]);
  t.after(59_000);
  assertEquals(t.counts().timeWait, 1);
  t.after(2_000);
  assertEquals([t.counts().timeWait, t.ext("TW")], [0, 1]);
  assertEquals(t.flags({ seq, ack, flags: "A" }), ["R"]);
});

Deno.test("many records end in the order in which they came; one that begins anew is the last, one may end before", () => {
  using t = new Tun();
  const lis = t.listen();
  const begin = (sport: number): [number, number] => {
    const { fd, synack } = t.accepted(lis, { sport });
    t.host.sys.close(fd);
    t.send({ seq: 1001, ack: synack.seq + 2, flags: "FA", sport });
    return [1002, (synack.seq + 2) | 0];
  };
  const made = [];
  for (let i = 0; i < 5; i++) {
    made.push(begin(4000 + i));
    t.after(10_000);
  }
  const [seq, ack] = made[0];
  // The first one begins anew; a RST ends the third.
  t.send({ seq: seq - 1, ack, flags: "FA", sport: 4000 });
  t.send({ seq: made[2][0], ack: made[2][1], flags: "R", sport: 4002 });
  assertEquals(t.counts().timeWait, 4);
  const left = [];
  for (let i = 0; i < 7; i++) {
    t.after(10_000);
    left.push(t.counts().timeWait);
  }
  // 50 s have passed: the others came 40, 20 and 10 s ago.
  assertEquals(left, [4, 3, 3, 2, 1, 0, 0]);
});

Deno.test("what comes in TIME-WAIT", () => {
  const run = (what: string, segment: (c: Closing) => Segment, answer: string[], left: number): void => {
    const c = timeWait();
    using t = c.t;
    assertEquals([t.flags(segment(c)), t.counts().timeWait], [answer, left], what);
  };
  run("an ACK at the number that is next", (c) => ({ seq: c.seq, ack: c.ack, flags: "A" }), [], 1);
  run("an ACK elsewhere", (c) => ({ seq: c.seq + 5, ack: c.ack, flags: "A" }), ["A"], 1);
  run("data", (c) => ({ seq: c.seq, ack: c.ack, flags: "PA", payload: [1] }), ["A"], 1);
  run("a RST that fits", (c) => ({ seq: c.seq, flags: "R" }), [], 0);
  run("a RST that does not", (c) => ({ seq: c.seq + 1, flags: "R" }), [], 1);
  run("a SYN at an old number", (c) => ({ seq: c.seq - 100, flags: "S" }), ["A"], 1);
  run("a SYN at the next number", (c) => ({ seq: c.seq, flags: "S" }), ["A"], 1);
  run("a SYN beyond it", (c) => ({ seq: c.seq + 1, flags: "S" }), ["SA"], 0);
  run("nothing that is known", (c) => ({ seq: c.seq, flags: 0 }), [], 1);
});

Deno.test("[A39] net.ipv4.tcp_rfc1337: a RST does not end TIME-WAIT", () => {
  const { t, seq } = timeWait();
  using _ = t;
  t.host.sysctl("net.ipv4.tcp_rfc1337", 1);
  for (const at of [seq - 1, seq, seq + 1]) assertEquals(t.flags({ seq: at, flags: "R" }), []);
  assertEquals(t.counts().timeWait, 1);
});

Deno.test("answers to what is out of place come at a limited rate", () => {
  const { t, seq, ack } = timeWait();
  using _ = t;
  const stray: Segment = { seq: seq + 5, ack, flags: "A" };
  assertEquals([t.flags(stray), t.flags(stray)], [["A"], []]);
  assertEquals(t.ext("TCPACKSkippedTimeWait"), 1);
  t.after(501);
  assertEquals(t.flags(stray), ["A"]);
});

Deno.test("a SYN that is newer opens a new connection whose numbers are behind the old ones", () => {
  const { t, lis, seq, ack } = timeWait();
  using _ = t;
  const synack = t.ask({ seq: seq + 1000, flags: "S" });
  assertEquals([synack.flags, synack.seq | 0], ["SA", (ack + 65535 + 2) | 0]);
  t.send({ seq: seq + 1001, ack: synack.seq + 1, flags: "A" });
  assert(t.host.sys.accept(lis) > 0);
});

Deno.test("newer by its timestamp, it may have a lower number; with an old timestamp it may not", () => {
  for (const [step, answer] of [[10, "SA"], [0, "A"], [-5, "A"]] as const) {
    const { t, seq } = timeWait({ ts: 100 });
    using _ = t;
    assertEquals(t.flags({ seq: seq - 1000, flags: "S", options: tsOption(102 + step) }), [answer], `${step}`);
  }
});

Deno.test("without a listener a SYN into TIME-WAIT is answered by an ACK", () => {
  const { t, lis, seq } = timeWait();
  using _ = t;
  t.host.sys.close(lis);
  assertEquals([t.flags({ seq: seq + 1000, flags: "S" }), t.counts().timeWait], [["A"], 1]);
});

Deno.test("FIN-WAIT-2 that nobody waits for: the FIN makes TIME-WAIT, data a RST, and 60 s its end", () => {
  const run = (what: string, segment: (c: Closing) => Segment, answer: string[], left: number): void => {
    const c = finWait2();
    using t = c.t;
    assertEquals(t.counts(), { ...t.counts(), established: 0, orphans: 0, timeWait: 1 });
    assertEquals([t.flags(segment(c)), t.counts().timeWait], [answer, left], what);
  };
  run("its FIN", (c) => ({ seq: c.seq, ack: c.ack, flags: "FA" }), ["A"], 1);
  run("data", (c) => ({ seq: c.seq, ack: c.ack, flags: "PA", payload: [1] }), ["R"], 0);
  run("data and FIN", (c) => ({ seq: c.seq, ack: c.ack, flags: "FPA", payload: [1] }), ["R"], 0);
  run("an ACK", (c) => ({ seq: c.seq, ack: c.ack, flags: "A" }), [], 1);
  run("a RST in the window", (c) => ({ seq: c.seq + 1, flags: "R" }), [], 0);
  run("a SYN in the window", (c) => ({ seq: c.seq + 1, flags: "S" }), ["RA"], 0);
  run("what is outside", (c) => ({ seq: c.seq - 10, ack: c.ack, flags: "A" }), ["A"], 1);
  const { t } = finWait2();
  using _ = t;
  t.after(61_000);
  assertEquals(t.counts().timeWait, 0);
});

Deno.test("TCP_LINGER2: how long, or not at all", () => {
  const { t } = finWait2({ linger2: 5 });
  using _ = t;
  t.after(4_000);
  assertEquals(t.counts().timeWait, 1);
  t.after(2_000);
  assertEquals(t.counts().timeWait, 0);
  // Without any: a RST as soon as our FIN is acknowledged.
  using u = new Tun();
  const lis = u.listen();
  const { fd, synack } = u.accepted(lis);
  u.host.sys.setsockopt(fd, SOL_TCP, TCP_LINGER2, -1);
  u.host.sys.close(fd);
  assertEquals(u.flags({ seq: 1001, ack: synack.seq + 2, flags: "A" }), ["R"]);
  assertEquals(u.counts(), { ...u.counts(), established: 0, timeWait: 0, orphans: 0 });
});

Deno.test("[A38] net.ipv4.tcp_max_tw_buckets bounds the records: what is more ends at once", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_max_tw_buckets", 10);
  const lis = t.listen();
  for (let i = 0; i < 30; i++) {
    const { fd, synack } = t.accepted(lis, { sport: 4000 + i });
    t.host.sys.close(fd);
    t.send({ seq: 1001, ack: synack.seq + 2, flags: "FA", sport: 4000 + i });
  }
  assertEquals([t.counts().timeWait, t.ext("TCPTimeWaitOverflow"), t.counts().established], [10, 20, 0]);
});

Deno.test("connect() takes a port over from TIME-WAIT where timestamps tell old from new, after a second", () => {
  for (
    const [reuse, wait, rc] of [[1, 1100, "EINPROGRESS"], [1, 500, "EADDRNOTAVAIL"], [2, 1100, "EADDRNOTAVAIL"], [
      0,
      1100,
      "EADDRNOTAVAIL",
    ]] as const
  ) {
    using t = twoHosts({ neigh: true });
    t.a.sysctl("net.ipv4.ip_local_port_range", [5000, 5000]);
    t.a.sysctl("net.ipv4.tcp_tw_reuse", reuse);
    const lis = tcpListen(t.b, 80);
    const first = tcpConnect(t.a, "10.0.0.2", 80);
    t.machine.advance(10e6);
    t.a.sys.close(first);
    t.b.sys.close(t.b.sys.accept(lis));
    t.machine.advance(10e6);
    assertEquals(t.a.net.get(TCP).counts().timeWait, 1);
    t.machine.advance(wait * 1e6);
    const fd = t.a.sys.socket(AF_INET, SOCK_STREAM, 0);
    assertEquals(errnoName(t.a.sys.connect(fd, 0x0a000002, 80)), rc, `${reuse} after ${wait} ms`);
    if (rc !== "EINPROGRESS") continue;
    t.machine.advance(10e6);
    assertEquals(t.a.sys.connect(fd, 0x0a000002, 80), 0);
  }
});

Deno.test("a server starts again beside its connections in TIME-WAIT with SO_REUSEADDR", () => {
  using t = twoHosts({ neigh: true });
  const { sys } = t.a;
  const first = sys.socket(AF_INET, SOCK_STREAM, 0);
  sys.setsockopt(first, SOL_SOCKET, SO_REUSEADDR, 1);
  assertEquals([sys.bind(first, 0, 80), sys.listen(first, 1)], [0, 0]);
  const client = tcpConnect(t.b, "10.0.0.1", 80);
  t.machine.advance(10e6);
  sys.close(sys.accept(first));
  sys.close(first);
  t.b.sys.close(client);
  t.machine.advance(100e6);
  assertEquals(t.a.net.get(TCP).counts().timeWait, 1);
  const [plain, reuse] = [sys.socket(AF_INET, SOCK_STREAM, 0), sys.socket(AF_INET, SOCK_STREAM, 0)];
  assertEquals(errnoName(sys.bind(plain, 0, 80)), "EADDRINUSE");
  sys.setsockopt(reuse, SOL_SOCKET, SO_REUSEADDR, 1);
  assertEquals([sys.bind(reuse, 0, 80), sys.listen(reuse, 1)], [0, 0]);
  // TIME-WAIT over, the port is free for all.
  sys.close(reuse);
  t.machine.advance(61e9);
  assertEquals(sys.bind(plain, 0, 80), 0);
  sys.close(plain);
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("both sides close at once: CLOSING, and TIME-WAIT on both", () => {
  using t = twoHosts({ neigh: true, wire: { delayNs: 1e6 } });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  t.machine.advance(100e6);
  client.close();
  server.close();
  t.machine.advance(100e6);
  for (const host of [t.a, t.b]) {
    const counts = host.net.get(TCP).counts();
    assertEquals([counts.established, counts.timeWait, counts.orphans], [0, 1, 0]);
  }
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("the descriptor of a connection in TIME-WAIT is closed: state, poll, and what it holds", () => {
  using t = twoHosts({ neigh: true });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  client.shutdown();
  t.machine.advance(100e6);
  server.close();
  t.machine.advance(100e6);
  assertEquals(t.a.sys.sock(client.fd)!.state, TCP_CLOSE);
  client.read();
  assertEquals(client.eof, true);
  client.close();
  const fd = tcpConnect(t.a, "10.0.0.2", 99);
  t.machine.advance(10e6);
  t.a.sys.close(fd);
  assertNothingLeft(t.machine, [t.a, t.b]);
});
