/** Attacks on what remembers connections: the SYN queue, cookies, TIME-WAIT, numbers and ports that must not be guessed. */
import { assert, assertEquals } from "@std/assert";
import { errnoName, TimerWheel } from "../../../core/mod.ts";
import { AF_INET, msgHdr, SOCK_STREAM, SockHash } from "../../../plugins/transport/sock/mod.ts";
import { TCP, TCP_ESTABLISHED } from "../../../plugins/transport/tcp/mod.ts";
import type { TcpState } from "../../../plugins/transport/tcp/tcp_state.ts";
import { concat } from "../../support/frames/bytes.ts";
import { Random } from "../../support/frames/random.ts";
import { twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft } from "../../support/tcp.ts";
import { mssOption, SACK_PERMITTED, wscaleOption } from "../../support/tcp_peer.ts";
import { dotted, HOST_IP, type Segment, type Sent, tsOption, tsvalOf, Tun } from "../../support/tcp_tun.ts";

/** 32 bits from a seed. */
function random(seed: number): () => number {
  const source = new Random(seed);
  return () => source.u32() | 0;
}

function stateOf(t: Tun, fd: number): TcpState {
  return t.tp(fd).st;
}

/** SYNs from `n` sources that do not exist. */
function flood(t: Tun, n: number, seed: number): void {
  const rnd = random(seed);
  t.keep = false;
  for (let i = 0; i < n; i++) {
    t.send({
      src: dotted(0x0a800000 | (rnd() >>> 9)),
      sport: rnd() & 0xffff,
      seq: rnd(),
      flags: "S",
      options: mssOption(1460),
    });
  }
  t.keep = true;
}

/** An honest peer's handshake with data; whether it got through. */
function honest(t: Tun, lis: number, sport: number): boolean {
  const synack = t.syn({ sport });
  t.send({ sport, seq: 1001, ack: synack.seq + 1, flags: "PA", payload: [1, 2, 3] });
  const fd = t.host.sys.accept(lis);
  if (fd < 0) return false;
  const n = t.read(fd, 10);
  t.host.sys.close(fd);
  t.send({ sport, seq: 1004, flags: "R" });
  return n === 3;
}

Deno.test("[A23] 30,000 SYNs: the queue, its timers and its memory stay at the backlog, and honest peers get through", () => {
  using t = new Tun();
  const lis = t.listen(128);
  const st = stateOf(t, lis);
  flood(t, 1000, 1);
  const live = t.machine.skbs.live;
  flood(t, 30_000, 2);
  assertEquals(t.counts().requests, 129);
  assert(t.machine.timers.armed <= 129 + 8, `${t.machine.timers.armed} timers`);
  assert(st.spareRequests.length <= 8, `${st.spareRequests.length} spare requests`);
  assertEquals([t.machine.skbs.live, t.counts().established, t.counts().memory], [live, 0, 0]);
  assertEquals([t.ext("SyncookiesSent"), t.ext("TCPReqQFullDoCookies")], [30_871, 30_871]);
  let through = 0;
  for (let i = 0; i < 100; i++) {
    flood(t, 20, 3 + i);
    if (honest(t, lis, 2000 + i)) through++;
  }
  assertEquals(through, 100);
  assertEquals(t.ext("SyncookiesRecv"), 100);
  // The flood over, nothing is left of it.
  t.after(130_000);
  assertEquals([t.counts().requests, t.machine.skbs.live], [0, 0]);
});

Deno.test("[A23] without cookies the queue is bounded too, and its last quarter is left free", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_syncookies", 0);
  t.host.sysctl("net.ipv4.tcp_max_syn_backlog", 200);
  t.listen(1000);
  flood(t, 10_000, 1);
  assertEquals(t.counts().requests, 151);
});

/** What `body` does to tables and timers: hashes that are computed, timers that are set or taken back. */
function work(body: () => void): { hashes: number; timers: number } {
  const { hash } = SockHash.prototype;
  const { mod, del } = TimerWheel.prototype;
  const done = { hashes: 0, timers: 0 };
  SockHash.prototype.hash = function (a, b, c) {
    done.hashes++;
    return hash.call(this, a, b, c);
  };
  TimerWheel.prototype.mod = function (timer, expires) {
    done.timers++;
    mod.call(this, timer, expires);
  };
  TimerWheel.prototype.del = function (timer) {
    done.timers++;
    return del.call(this, timer);
  };
  try {
    body();
  } finally {
    SockHash.prototype.hash = hash;
    Object.assign(TimerWheel.prototype, { mod, del });
  }
  return done;
}

Deno.test("[A23] a flood does not slow down: the work for a SYN is the same with an empty, a long and a full queue", () => {
  using t = new Tun();
  t.host.sysctl("net.core.somaxconn", 4096);
  t.listen(4096);
  const first = work(() => flood(t, 500, 1));
  flood(t, 3000, 2);
  const long = work(() => flood(t, 500, 3));
  assertEquals(t.counts().requests, 4000);
  flood(t, 200, 4);
  assertEquals(t.counts().requests, 4097);
  const full = work(() => flood(t, 500, 5));
  const told = JSON.stringify({ first, long, full });
  // Without a growing table there is a look-up of each kind, the place in the table, and one timer.
  assert(long.hashes <= 6 * 500 && full.hashes <= 6 * 500 && first.hashes <= 10 * 500, told);
  // Of the timers of the requests there is one; the rest is the table of neighbours, full of those that do not exist.
  assert(Math.max(first.timers, long.timers, full.timers) <= 4 * 500 && full.timers <= long.timers - 500, told);
});

Deno.test("[A23] requests give up early when they fill more than half of the queue, and all are gone in a minute", () => {
  using t = new Tun();
  const lis = t.listen(4096);
  t.host.sysctl("net.core.somaxconn", 4096);
  // Old requests give up early when they fill more than half of the queue.
  flood(t, 4000, 1);
  assertEquals(t.counts().requests, 4000);
  t.after(8_000);
  assert(t.counts().requests < 4000);
  t.after(60_000);
  assertEquals(t.counts().requests, 0);
  assertEquals(t.tp(lis).requestsYoung, 0);
});

/** A listener under flood, so that cookies are sent and taken. */
function cookies(): { t: Tun; lis: number } {
  const t = new Tun();
  t.host.sysctl("net.ipv4.tcp_syncookies", 2);
  const lis = t.listen(128);
  return { t, lis };
}

Deno.test("[A24] 20,000 random ACKs open nothing", () => {
  const { t, lis } = cookies();
  using _ = t;
  t.syn();
  const rnd = random(7);
  t.keep = false;
  for (let i = 0; i < 20_000; i++) {
    t.send({ src: dotted(0x0a800000 | (rnd() >>> 9)), sport: rnd() & 0xffff, seq: rnd(), ack: rnd(), flags: "A" });
  }
  assertEquals([t.counts().established, t.counts().requests, t.ext("SyncookiesFailed")], [0, 0, 20_000]);
  assertEquals(errnoName(t.host.sys.accept(lis)), "EAGAIN");
});

Deno.test("[A24] a cookie is good for its tuple, its number and two minutes, and nothing else", () => {
  const good: Segment = { seq: 1001, flags: "A" };
  const wrong: [string, (isn: number) => Segment, number][] = [
    ["as it is", (isn) => ({ ...good, ack: isn + 1 }), 1],
    ["the next number", (isn) => ({ ...good, ack: isn + 2 }), 0],
    ["another MSS index", (isn) => ({ ...good, ack: isn + 5 }), 0],
    ["another minute", (isn) => ({ ...good, ack: isn + 1 + (1 << 24) }), 0],
    ["another port", (isn) => ({ ...good, ack: isn + 1, sport: 4001 }), 0],
    ["another address", (isn) => ({ ...good, ack: isn + 1, src: "10.0.0.3" }), 0],
    ["another number of the peer", (isn) => ({ ...good, ack: isn + 1, seq: 1000 }), 0],
    ["with SYN", (isn) => ({ ...good, ack: isn + 1, flags: "SA" }), 0],
    ["with RST", (isn) => ({ ...good, ack: isn + 1, flags: "RA" }), 0],
  ];
  for (const [what, segment, opened] of wrong) {
    const { t } = cookies();
    using _ = t;
    // The last MSS of the table: the number behind it stands for none.
    const { seq } = t.syn({ options: mssOption(1460) });
    assertEquals(t.counts().requests, 0);
    t.send(segment(seq));
    assertEquals(t.counts().established, opened, what);
  }
  for (const [seconds, opened] of [[59, 1], [185, 0]]) {
    const { t } = cookies();
    using _ = t;
    const { seq } = t.syn();
    t.after(seconds * 1000);
    t.send({ ...good, ack: seq + 1 });
    assertEquals(t.counts().established, opened, `after ${seconds} s`);
  }
});

Deno.test("[A24] where no cookie was sent none is taken", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_syncookies", 1);
  t.listen();
  assertEquals(t.flags({ seq: 1001, ack: 5, flags: "A" }), ["R"]);
  assertEquals([t.ext("SyncookiesFailed"), t.ext("SyncookiesRecv")], [0, 0]);
});

Deno.test("[A24] a cookie carries the MSS, and with timestamps window scale, SACK and ECN", () => {
  for (const [mss, kept] of [[1460, 1460], [1450, 1440], [1300, 1300], [600, 536], [100, 536]]) {
    const { t, lis } = cookies();
    using _ = t;
    const { fd } = t.accepted(lis, { options: concat(mssOption(mss), SACK_PERMITTED, wscaleOption(7)) });
    const tp = t.tp(fd);
    assertEquals([tp.mssClamp, tp.sackOk, tp.wscaleOk], [kept, false, false]);
  }
  const { t, lis } = cookies();
  using _ = t;
  t.machine.advance(12345e6);
  const synack = t.syn({ options: concat(mssOption(1460), SACK_PERMITTED, tsOption(9), wscaleOption(7)) });
  const echo = tsOption(10, tsvalOf(synack));
  t.send({ seq: 1001, ack: synack.seq + 1, flags: "A", options: echo });
  const tp = t.tp(t.host.sys.accept(lis));
  assertEquals([tp.mssClamp, tp.sackOk, tp.wscaleOk, tp.sndWscale, tp.tstampOk], [1460, true, true, 7, true]);
  assertEquals(tp.rcvWscale, 10);
  // Its timestamps go on from the ones of the SYN-ACK.
  t.take();
  t.write(t.host.sys.socket(AF_INET, SOCK_STREAM, 0), 1);
});

Deno.test("[A38] 6,000 closes at once: the records stay at the bound, and after a minute none is left", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_max_tw_buckets", 2000);
  const lis = t.listen(16);
  const st = stateOf(t, lis);
  for (let i = 0; i < 6_000; i++) {
    const sport = 1024 + i;
    const { fd, synack } = t.accepted(lis, { sport });
    t.host.sys.close(fd);
    if (i % 2 === 0) t.send({ seq: 1001, ack: synack.seq + 2, flags: "FA", sport });
    else t.send({ seq: 1001, ack: synack.seq + 2, flags: "A", sport });
  }
  assertEquals(t.counts(), { ...t.counts(), timeWait: 2000, established: 0, orphans: 0, memory: 0 });
  t.after(61_000);
  assertEquals([t.counts().timeWait, t.counts().bound], [0, 1]);
  assert(st.spareTimewaits.length <= 8192);
});

Deno.test("[A39] a RST in TIME-WAIT, wherever it is in the window, with rfc1337 and without", () => {
  const right = 64240;
  for (const rfc1337 of [0, 1]) {
    for (
      const [at, exact] of [[-2, 0], [-1, 0], [0, 1], [1, 0], [right / 2, 0], [right - 1, 0], [right, 0], [
        right + 1,
        0,
      ]]
    ) {
      using t = new Tun();
      t.host.sysctl("net.ipv4.tcp_rfc1337", rfc1337);
      const lis = t.listen();
      const { fd, synack } = t.accepted(lis);
      t.host.sys.close(fd);
      t.send({ seq: 1001, ack: synack.seq + 2, flags: "FA" });
      assertEquals(t.counts().timeWait, 1);
      t.take();
      assertEquals(t.flags({ seq: 1002 + at, flags: "R" }), []);
      assertEquals(t.counts().timeWait, exact === 1 && rfc1337 === 0 ? 0 : 1, `rfc1337 ${rfc1337}, ${at}`);
    }
  }
});

/** Correlation of each number with the next. */
function serialCorrelation(x: readonly number[]): number {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  let cov = 0;
  let sq = 0;
  for (let i = 0; i < x.length; i++) {
    sq += (x[i] - mean) ** 2;
    if (i > 0) cov += (x[i] - mean) * (x[i - 1] - mean);
  }
  return cov / sq;
}

Deno.test("[A48] [MUST-9] [SHLD-1] 10,000 connections' initial sequence numbers say nothing about the next", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_syncookies", 0);
  t.listen(20_000);
  t.host.sysctl("net.core.somaxconn", 20_000);
  const isns: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const { seq } = t.syn({ sport: 1024 + i });
    isns.push(seq >>> 0);
    t.send({ seq: 1001, flags: "R", sport: 1024 + i });
    t.machine.advance(100e6);
  }
  assert(Math.abs(serialCorrelation(isns)) < 0.04);
  const steps = isns.slice(1).map((n, i) => (n - isns[i]) >>> 0);
  const cells = new Array(64).fill(0);
  for (const s of steps) cells[s >>> 26]++;
  const chi = cells.reduce((sum, c) => sum + (c - steps.length / 64) ** 2 / (steps.length / 64), 0);
  assert(chi < 120, `chi square of the steps: ${chi}`);
  // nmap's index SP: it asks each 100 ms, takes the shorter way between two answers as the step, and of the steps per second
  // 8 times log2 of the deviation. 0x100 and more it cannot tell from chance.
  const rates = steps.map((s) => Math.min(s, 0x100000000 - s) * 10);
  const mean = rates.reduce((a, b) => a + b, 0) / rates.length;
  const deviation = Math.sqrt(rates.reduce((a, b) => a + (b - mean) ** 2, 0) / rates.length);
  assert(8 * Math.log2(deviation) >= 0x100, `${8 * Math.log2(deviation)}`);
  // The same tuple's grow with the clock, so that an old segment is never in a new window.
  const again: number[] = [];
  for (let i = 0; i < 10; i++) {
    const { seq } = t.syn({ sport: 1024 });
    t.send({ seq: 1001, flags: "R", sport: 1024 });
    again.push(seq);
    t.machine.advance(1e9);
  }
  for (let i = 1; i < again.length; i++) assert(((again[i] - again[i - 1]) | 0) > 0);
});

Deno.test("[A49] source ports: to 10,000 destinations unrelated, to one in steps that are not known", () => {
  using t = new Tun();
  const { sys } = t.host;
  const connect = (addr: number): Sent => {
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    sys.connect(fd, addr, 80);
    const [syn] = t.take();
    t.send({ src: dotted(addr), sport: 80, dport: syn.sport, seq: 0, ack: syn.seq + 1, flags: "RA" });
    sys.close(fd);
    t.take();
    return syn;
  };
  const spread = Array.from({ length: 10_000 }, (_, i) => connect(0x0a010000 + i).sport);
  assert(Math.abs(serialCorrelation(spread)) < 0.04, `${serialCorrelation(spread)}`);
  const one = Array.from({ length: 2_000 }, () => connect(0x0a020001).sport);
  const steps = one.slice(1).map((p, i) => p - one[i]).filter((s) => Math.abs(s) < 100);
  assert(steps.length > 1900 && new Set(steps).size >= 8, `${[...new Set(steps)]}`);
  assert(Math.abs(serialCorrelation(steps)) < 0.1, `${serialCorrelation(steps)}`);
  // Another machine starts elsewhere.
  using u = new Tun({ seed: 2 });
  u.host.sys.connect(u.host.sys.socket(AF_INET, SOCK_STREAM, 0), 0x0a010000, 80);
  assert(u.take()[0].sport !== spread[0]);
});

Deno.test("[A50] timestamps of connections at one time are unrelated, and one connection's go by the millisecond", () => {
  using t = new Tun();
  t.listen();
  t.machine.advance(5000e6);
  const values = Array.from({ length: 64 }, (_, i) => tsvalOf(t.syn({ sport: 3000 + i, options: tsOption(1) })));
  assertEquals(new Set(values.map((v) => v >>> 24)).size > 32, true);
  // None of them is the uptime.
  for (const v of values) assert(Math.abs((v - 5000) | 0) > 1000);
  const [first] = values;
  t.machine.advance(700e6);
  const later = tsvalOf(t.ask({ sport: 3000, seq: 1000, flags: "S", options: tsOption(1) }));
  assertEquals((later - first) | 0, 700);
});

Deno.test("[A56] [MUST-10] simultaneous open: both are connected, without a listener anywhere", () => {
  using t = twoHosts({ neigh: true, wire: { delayNs: 1e6 } });
  const [a, b] = [t.a, t.b].map(({ sys }) => {
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    assertEquals(sys.bind(fd, 0, 7000), 0);
    return fd;
  });
  t.a.sys.connect(a, 0x0a000002, 7000);
  t.b.sys.connect(b, 0x0a000001, 7000);
  t.machine.advance(50e6);
  for (const [host, fd] of [[t.a, a], [t.b, b]] as const) {
    assertEquals(host.net.get(TCP).info(host.sys.sock(fd)!).tcpi_state, TCP_ESTABLISHED);
  }
  assertEquals(t.a.sys.sendmsg(a, msgHdr(new Uint8Array(100)), 0), 100);
  t.machine.advance(50e6);
  assertEquals(t.b.sys.recvmsg(b, msgHdr(new Uint8Array(200)), 0), 100);
  t.a.sys.close(a);
  t.b.sys.close(b);
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("[A56] split handshake: the SYN is answered by an ACK or nothing, then a SYN: a simultaneous open, or nothing", () => {
  for (const ackFirst of [false, true]) {
    using t = new Tun();
    const { sys } = t.host;
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    sys.connect(fd, 0x0a000002, 80);
    const [syn] = t.take();
    const peer = { sport: 80, dport: syn.sport };
    if (ackFirst) assertEquals(t.flags({ ...peer, seq: 500, ack: syn.seq + 1, flags: "A" }), []);
    const synack = t.ask({ ...peer, seq: 1000, flags: "S" });
    assertEquals([synack.flags, synack.seq, synack.ack], ["SA", syn.seq, 1001]);
    assertEquals(sys.poll(fd), 0);
    t.send({ ...peer, seq: 1001, ack: syn.seq + 1, flags: "A" });
    assertEquals(sys.connect(fd, 0x0a000002, 80), 0);
  }
});

Deno.test("[A58] a stray segment gets one RST at most, no longer than itself", () => {
  const states: Record<string, (t: Tun) => void> = { closed: () => {}, listening: (t) => void t.listen() };
  for (const [what, open] of Object.entries(states)) {
    using t = new Tun();
    open(t);
    for (let flags = 0; flags < 256; flags++) {
      // What opens a connection is no stray.
      if (what === "listening" && (flags & 0x17) === 0x02) continue;
      for (const payload of [[], new Uint8Array(100)]) {
        for (const options of [new Uint8Array(0), concat(mssOption(1460), tsOption(1))]) {
          t.take();
          t.send({ sport: 999, seq: 12345, ack: 54321, flags, payload, options });
          const answers = t.take();
          const bytes = 40 + payload.length + options.length;
          assert(answers.length <= 1, `${what}, flags ${flags}: ${answers.length} answers`);
          for (const a of answers) {
            assert(a.flags.includes("R") && a.bytes <= Math.min(40, bytes), `${flags}: ${a.flags}`);
          }
          if ((flags & 4) !== 0) assertEquals(answers, [], "a RST is never answered");
        }
      }
    }
    assertEquals([t.counts().requests, t.counts().established], [0, 0]);
  }
});

Deno.test("[A58] a SYN is answered by headers only, six times at most", () => {
  using t = new Tun();
  t.listen();
  const first = t.syn({ payload: new Uint8Array(1000), options: concat(mssOption(1460), SACK_PERMITTED, tsOption(1)) });
  const all = [first, ...t.after(120_000)];
  assertEquals(all.length, 6);
  for (const s of all) assertEquals([s.flags, s.len, s.bytes <= 60], ["SA", 0, true]);
});

/** The life of a connection, step by step: what the host does, what comes from the peer. `c.ack`: our first number. */
interface Life {
  t: Tun;
  fd: number;
  lis: number;
  ack: number;
}

const PASSIVE: ((c: Life) => void)[] = [
  (c) => {
    c.ack = c.t.syn().seq + 1;
  },
  (c) => c.t.send({ seq: 1001, ack: c.ack, flags: "A" }),
  (c) => {
    c.fd = c.t.host.sys.accept(c.lis);
  },
  (c) => c.t.send({ seq: 1001, ack: c.ack, flags: "PA", payload: new Uint8Array(100) }),
  (c) => c.t.send({ seq: 1501, ack: c.ack, flags: "PA", payload: new Uint8Array(100) }),
  (c) => void c.t.write(c.fd, 5000),
  (c) => c.t.send({ seq: 1101, ack: c.ack + 1460, flags: "A", window: 0 }),
  (c) => c.t.after(500),
  (c) => c.t.send({ seq: 1101, ack: c.ack + 5000, flags: "PA", payload: new Uint8Array(400) }),
  (c) => void c.t.read(c.fd, 10_000),
  (c) => void c.t.host.sys.shutdown(c.fd, 1),
  (c) => c.t.send({ seq: 1601, ack: c.ack + 5001, flags: "A" }),
  (c) => c.t.send({ seq: 1601, ack: c.ack + 5001, flags: "FA" }),
];

const ACTIVE: ((c: Life) => void)[] = [
  (c) => {
    c.fd = c.t.host.sys.socket(AF_INET, SOCK_STREAM, 0);
    c.t.host.sys.connect(c.fd, 0x0a000002, 4000);
    const [syn] = c.t.take();
    c.ack = syn.seq + 1;
    c.lis = syn.sport;
  },
  (c) => c.t.send({ dport: c.lis, seq: 1000, ack: c.ack, flags: "SA" }),
  (c) => void c.t.write(c.fd, 100),
  (c) => c.t.after(300),
  (c) => c.t.send({ dport: c.lis, seq: 1001, ack: c.ack + 100, flags: "PA", payload: new Uint8Array(50) }),
  (c) => c.t.send({ dport: c.lis, seq: 1051, ack: c.ack + 100, flags: "FA" }),
  (c) => void c.t.read(c.fd, 100),
  (c) => void c.t.host.sys.shutdown(c.fd, 1),
  (c) => c.t.send({ dport: c.lis, seq: 1052, ack: c.ack + 101, flags: "A" }),
];

Deno.test("[A64] close() after every step, and the peer goes on: an hour later there is no timer, no socket, no packet", () => {
  for (const [name, steps] of Object.entries({ PASSIVE, ACTIVE })) {
    for (let at = 1; at <= steps.length; at++) {
      for (const goesOn of [true, false]) {
        using t = new Tun();
        const { sys } = t.host;
        const life: Life = { t, fd: -1, lis: name === "PASSIVE" ? t.listen() : 0, ack: 0 };
        for (let i = 0; i < at; i++) steps[i](life);
        if (name === "PASSIVE") sys.close(life.lis);
        if (life.fd >= 0) sys.close(life.fd);
        if (goesOn) {
          // The calls of the rest find a closed descriptor; the segments find whatever is left.
          for (let i = at; i < steps.length; i++) try1(steps[i], life);
        }
        t.after(3600_000);
        const { established, timeWait, orphans, requests, listeners, bound, memory } = t.counts();
        assertEquals(
          { established, timeWait, orphans, requests, listeners, bound, memory },
          { established: 0, timeWait: 0, orphans: 0, requests: 0, listeners: 0, bound: 0, memory: 0 },
          `${name} closed after step ${at}`,
        );
        assertEquals([t.machine.timers.armed, t.machine.hrtimers.armed, t.machine.skbs.live], [0, 0, 0]);
      }
    }
  }
});

/** The first step of PASSIVE expects one answer, where now there may be none. */
function try1(step: (c: Life) => void, life: Life): void {
  try {
    step(life);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AssertionError") throw error;
  }
}

Deno.test("[A64] what comes for a socket that has gone is answered as for a closed port", () => {
  using t = new Tun();
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis);
  t.send({ seq: 1001, flags: "R" });
  t.host.sys.close(fd);
  t.host.sys.close(lis);
  const rst = t.ask({ seq: 1001, ack: synack.seq + 1, flags: "PA", payload: [1] });
  assertEquals([rst.flags, rst.seq, rst.src, rst.dst], ["R", synack.seq + 1 | 0, HOST_IP, 0x0a000002]);
  assertEquals(t.machine.timers.armed, 0);
});
