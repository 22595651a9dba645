/** Attacks by who sees nothing and sends into a connection of others: RST, SYN, data, ACKs, timestamps, ICMP errors. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { AF_INET, SO_ERROR, SOCK_STREAM, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import { TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_SENT } from "../../../plugins/transport/tcp/mod.ts";
import { tcpSk, type TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { icmpError, ipv4, tcp } from "../../support/frames/build.ts";
import { concat } from "../../support/frames/bytes.ts";
import { Random } from "../../support/frames/random.ts";
import { twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnection, type TcpEnd } from "../../support/tcp.ts";
import { Blast } from "../../support/tcp_blast.ts";
import { mssOption } from "../../support/tcp_peer.ts";
import { dotted, HOST_IP, PORT, type Segment, tsOption, tsvalOf, Tun } from "../../support/tcp_tun.ts";

const HOSTS = { src: "10.0.0.2", dst: "10.0.0.1" };

/** A connection, and where both its sides are: `seq` is the peer's next number, `ack` ours. */
interface Open {
  t: Tun;
  fd: number;
  lis: number;
  seq: number;
  ack: number;
}

/** The states in which a connection may be when the attack comes, as FreeBSD's lists of scripts have them. */
const STATES: Record<string, (o: Open) => void> = {
  "ESTABLISHED": () => {},
  "FIN-WAIT-1": ({ t, fd }) => void t.host.sys.shutdown(fd, 1),
  "FIN-WAIT-2": (o) => {
    o.t.host.sys.shutdown(o.fd, 1);
    o.t.send({ seq: o.seq, ack: ++o.ack, flags: "A" });
  },
  "CLOSE-WAIT": (o) => {
    o.t.send({ seq: o.seq++, ack: o.ack, flags: "FA" });
  },
};

function open(state = "ESTABLISHED", segment: Segment = {}): Open {
  const t = new Tun();
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis, { options: mssOption(1460), ...segment });
  const o = { t, fd, lis, seq: 1001, ack: (synack.seq + 1) | 0 };
  STATES[state](o);
  t.take();
  return o;
}

/** The user closes, the peer resets: nothing is left. */
function end({ t, fd, lis, seq }: Open): void {
  t.send({ seq, flags: "R" });
  t.host.sys.close(fd);
  t.host.sys.close(lis);
  t.after(120_000);
  const { established, timeWait, orphans, memory } = t.counts();
  assertEquals({ established, timeWait, orphans, memory }, { established: 0, timeWait: 0, orphans: 0, memory: 0 });
}

Deno.test("[A25] a blind RST in every state: at rcvNxt it ends, in the window it is challenged, elsewhere silence", () => {
  for (const state of Object.keys(STATES)) {
    for (const off of [-70_000, -2, 0, 1, 2, 1000, 32_119, 64_239, 64_240, 64_241, 1 << 30, 0x7fffffff, -0x80000000]) {
      const o = open(state);
      using t = o.t;
      const tp = t.tp(o.fd);
      const was = tp.sk.state;
      const edge = tp.rcvWup + tp.rcvWnd - tp.rcvNxt;
      const answers = t.flags({ seq: o.seq + off, flags: "R" });
      const inside = off > 0 && off <= edge;
      assertEquals(answers, inside ? ["A"] : [], `${state}, RST at ${off}`);
      assertEquals(tp.sk.state, off === 0 ? TCP_CLOSE : was, `${state}, RST at ${off}`);
      assertEquals(t.ext("TCPChallengeACK"), inside ? 1 : 0);
      end(o);
    }
  }
});

Deno.test("[A25] 60,000 RSTs, one on each number of the window but the right one: the connection lives, at two ACKs a second", () => {
  const o = open();
  using t = o.t;
  const blast = new Blast(t.dev, HOSTS, { sport: 4000, dport: PORT, flags: "R" }, []);
  const before = t.packets;
  t.keep = false;
  for (let i = 1; i <= 60_000; i++) {
    blast.send(o.seq + i, 0);
    if (i % 10_000 === 0) t.machine.advance(1000e6);
  }
  t.keep = true;
  // Six seconds, and one at the start.
  assert(t.packets - before <= 13, `${t.packets - before} answers`);
  assertEquals(t.ext("TCPChallengeACK") + t.ext("TCPACKSkippedChallenge"), 60_000);
  t.send({ seq: o.seq, ack: o.ack, flags: "PA", payload: [1, 2, 3] });
  assertEquals(t.read(o.fd, 10), 3);
  o.seq += 3;
  end(o);
});

Deno.test("[A26] a blind SYN in every state, wherever, with whatever: one challenge, no new connection, no end of the old", () => {
  for (const state of Object.keys(STATES)) {
    for (const flags of ["S", "SA", "SF", "SPU", "SEC"]) {
      for (const off of [-70_000, -1, 0, 1, 64_240, 64_241, -0x80000000]) {
        const o = open(state);
        using t = o.t;
        const was = t.tp(o.fd).sk.state;
        const answers = t.take().length +
          t.flags({ seq: o.seq + off, ack: o.ack, flags, options: mssOption(1460) }).length;
        assertEquals(answers, 1, `${state}, ${flags} at ${off}`);
        // The second comes too soon after the first.
        assertEquals(t.flags({ seq: o.seq + off, ack: o.ack, flags }), []);
        assertEquals([t.tp(o.fd).sk.state, t.counts().requests, t.ext("TCPSYNChallenge")], [was, 0, 2]);
        end(o);
      }
    }
  }
});

/** Sends data at the right number under `ack`; whether it was taken, and what was answered. */
function inject(o: Open, ack: number): { taken: boolean; answers: string[] } {
  const { t } = o;
  const tp = t.tp(o.fd);
  const before = tp.rcvNxt;
  // Far enough from the last challenge that this one is not the second of half a second.
  t.after(600);
  const answers = t.flags({ seq: o.seq, ack, flags: "PA", window: 5000, payload: [66] });
  const taken = tp.rcvNxt !== before;
  if (taken) o.seq++;
  return { taken, answers };
}

Deno.test("[A27] [MAY-12] data is taken under an ACK in [UNA - largest window, NXT] alone; one step outside it is challenged", () => {
  const o = open("ESTABLISHED", { window: 5000 });
  using t = o.t;
  // 20,000 bytes are acknowledged, so that it is the window that bounds; then 1,000 are in flight.
  for (let i = 0; i < 10; i++) {
    assertEquals(t.write(o.fd, 2000), 2000);
    o.ack += 2000;
    t.send({ seq: o.seq, ack: o.ack, flags: "A", window: 5000 });
  }
  t.write(o.fd, 1000);
  t.take();
  const tp = t.tp(o.fd);
  assertEquals([tp.maxWindow, tp.sndUna, tp.sndNxt], [5000, o.ack | 0, (o.ack + 1000) | 0]);
  const tries: [number, boolean][] = [
    [-5000, true],
    [-5001, false],
    [-1, true],
    [0, true],
    [1001, false],
    [1 << 20, false],
    [0x7fffffff, false],
    [-0x7fffffff, false],
    [-20_000, false],
    // It acknowledges, so it is the last.
    [1000, true],
  ];
  for (const [off, good] of tries) {
    const una = tp.sndUna;
    const { taken, answers } = inject(o, o.ack + off);
    assertEquals([taken, good || answers.length === 1], [good, true], `ACK at ${off}: ${answers}`);
    if (off !== 1000) assertEquals(tp.sndUna, una, "what is refused acknowledges nothing");
  }
  o.ack += 1000;
  end(o);
});

Deno.test("[A27] 50,000 blind ACKs with data at the right number: none of them is taken, and few are answered", () => {
  const o = open();
  using t = o.t;
  t.write(o.fd, 1000);
  t.take();
  const tp = t.tp(o.fd);
  const random = new Random(27);
  const blast = new Blast(t.dev, HOSTS, { sport: 4000, dport: PORT, flags: "PA" }, [66]);
  const before = t.packets;
  let [lucky, tried] = [0, 0];
  t.keep = false;
  for (let i = 0; i < 50_000; i++) {
    const ack = random.u32() | 0;
    // What is inside by chance is no failure: nobody knows.
    if (((ack - tp.sndUna) | 0) >= 0 && ((tp.sndNxt - ack) | 0) >= 0) lucky++;
    else {
      tried++;
      blast.send(o.seq, ack);
    }
  }
  t.keep = true;
  assertEquals([tp.rcvNxt, tp.sndUna, tp.sk.state], [o.seq | 0, o.ack | 0, TCP_ESTABLISHED]);
  assert(lucky < 3 && tried > 49_990);
  // All of it came in no time: one challenge.
  assert(t.packets - before <= 1, `${t.packets - before} answers`);
  end(o);
});

/** Challenge ACKs that 200 in-window RSTs a second bring on a connection, second by second, while `noise` happens. */
function challenges(noise: (t: Tun) => void): number[] {
  using t = new Tun();
  const lis = t.listen();
  const victim = t.accepted(lis, { sport: 5000 });
  const mine = t.accepted(lis, { sport: 6000 });
  const counts: number[] = [];
  for (let s = 0; s < 10; s++) {
    let n = 0;
    for (let i = 0; i < 200; i++) {
      n += t.flags({ sport: 6000, seq: 1001 + 1 + i, flags: "R" }).length;
      noise(t);
      t.machine.advance(5e6);
    }
    counts.push(n);
  }
  for (const [{ fd }, sport] of [[victim, 5000], [mine, 6000]] as const) {
    t.send({ sport, seq: 1001, flags: "R" });
    t.host.sys.close(fd);
  }
  t.host.sys.close(lis);
  return counts;
}

Deno.test("[A28] challenge ACKs of one connection say nothing about another: no budget is shared", () => {
  const alone = challenges(() => {});
  // RFC 5961's attack (CVE-2016-5696): guesses at another's window, whose answers would use up a common budget.
  const beside = challenges((t) => t.send({ sport: 5000, seq: 1001 + 5, flags: "R" }));
  const outside = challenges((t) => t.send({ sport: 5000, seq: 1001 + (1 << 20), flags: "R" }));
  assertEquals(alone, new Array(10).fill(2));
  assertEquals([beside, outside], [alone, alone]);
});

Deno.test("[A28] a budget that is set for all is drawn anew each second, so that counting it tells nothing", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_challenge_ack_limit", 100);
  const lis = t.listen(300);
  const fds = Array.from({ length: 200 }, (_, i) => t.accepted(lis, { sport: 7000 + i }).fd);
  const counts: number[] = [];
  for (let s = 0; s < 40; s++) {
    t.after(1000);
    for (let i = 0; i < fds.length; i++) t.send({ sport: 7000 + i, seq: 1001 + 10, flags: "R" });
    counts.push(t.take().length);
  }
  assert(counts.every((n) => n >= 50 && n < 150), `${counts}`);
  assert(new Set(counts).size > 15, `${counts}`);
  for (let i = 0; i < fds.length; i++) {
    t.send({ sport: 7000 + i, seq: 1001, flags: "R" });
    t.host.sys.close(fds[i]);
  }
  t.host.sys.close(lis);
});

/** Both sides believe that the other sent what it did not: what an injection of data into both leaves. */
function desynchronise(ends: readonly TcpEnd[], by: number): void {
  for (const { host, fd } of ends) {
    const tp: TcpSock = tcpSk(host.sys.sock(fd)!);
    tp.rcvNxt = (tp.rcvNxt + by) | 0;
    tp.rcvWup = (tp.rcvWup + by) | 0;
    tp.copiedSeq = (tp.copiedSeq + by) | 0;
    tp.predFlags = 0;
  }
}

Deno.test("[A40] two sides that disagree about everything: no storm of ACKs, at most four packets a second each", () => {
  for (const by of [1000, 200_000]) {
    using t = twoHosts({ neigh: true, wire: { delayNs: 100_000 } });
    const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
    const mib = (side: typeof t.a) => tcpSk(side.sys.sock(side === t.a ? client.fd : server.fd)!).st.mib.tcp;
    const counts = () => mib(t.a).OutSegs + mib(t.a).RetransSegs + mib(t.b).OutSegs + mib(t.b).RetransSegs;
    t.machine.advance(1e9);
    desynchronise([client, server], by);
    client.write(100);
    server.write(100);
    const rates: number[] = [];
    for (let s = 0; s < 20; s++) {
      const before = counts();
      t.machine.advance(1e9);
      rates.push(counts() - before);
    }
    const told = `${by} apart: ${rates} packets a second of both`;
    // The first second has the loss probes and the first timeouts; what follows are timeouts that back off, and an answer each.
    assert(rates[0] <= 20 && rates.slice(1).every((n) => n <= 8), told);
    assert(rates.reduce((a, b) => a + b) <= 4 * rates.length, told);
    client.abort();
    server.abort();
    assertNothingLeft(t.machine, [t.a, t.b]);
  }
});

Deno.test("[A41] TS.Recent is not poisoned: by no segment outside, behind a gap, or under a false ACK", () => {
  const ts = 1000;
  const t = new Tun();
  using _ = t;
  const lis = t.listen();
  const synack = t.syn({ options: concat(mssOption(1460), tsOption(ts)) });
  const echo = tsvalOf(synack);
  const ack = synack.seq + 1;
  t.send({ seq: 1001, ack, flags: "A", options: tsOption(ts, echo) });
  const fd = t.host.sys.accept(lis);
  const tp = t.tp(fd);
  assertEquals([tp.tsRecent, tp.tstampOk], [ts, true]);
  for (const ahead of [1, 1 << 20, 0x7fffffff, 0x80000000]) {
    const forged = ts + ahead;
    const spoofs: [string, Segment][] = [
      ["before the window", { seq: 1001 - 5000, ack, flags: "A" }],
      ["behind the window", { seq: 1001 + 100_000, ack, flags: "PA", payload: [1] }],
      ["behind a gap", { seq: 1001 + 500, ack, flags: "PA", payload: [1] }],
      ["under an ACK of nothing sent", { seq: 1001, ack: ack + 5000, flags: "PA", payload: [1] }],
      ["under an old ACK", { seq: 1001, ack: ack - 100_000, flags: "PA", payload: [1] }],
      ["RST behind a gap", { seq: 1001 + 500, flags: "R" }],
      ["SYN", { seq: 1001, flags: "S" }],
    ];
    for (const [what, segment] of spoofs) {
      t.send({ ...segment, options: tsOption(forged, echo) });
      assertEquals([tp.tsRecent, tp.rcvNxt], [ts, 1001], `${what}, ${ahead} ahead`);
    }
  }
  // The other half of the clock is the past: refused, even at the right number. (Half of it exactly is the future, as in
  // Linux.)
  for (const old of [0x80000001, 0xc0000000, 0xffffff00]) {
    t.send({ seq: 1001, ack, flags: "PA", payload: [1], options: tsOption(ts + old, echo) });
    assertEquals([tp.tsRecent, tp.rcvNxt], [ts, 1001], `${old} ahead`);
  }
  assertEquals(t.ext("PAWSEstab") >= 3, true);
  // And the true peer goes on as if nothing had been.
  t.send({ seq: 1001, ack, flags: "PA", payload: [1, 2], options: tsOption(ts + 1, echo) });
  assertEquals([tp.tsRecent, t.read(fd, 10)], [ts + 1, 2]);
  end({ t, fd, lis, seq: 1003, ack });
});

/** An ICMP error that quotes a segment from us to the peer. */
function quote(t: Tun, sport: number, dport: number, seq: number, error: { type: number; code: number; mtu?: number }) {
  const segment = tcp({ sport, dport, seq: seq >>> 0, flags: "A" });
  const inner = ipv4({ src: "10.0.0.1", dst: "10.0.0.2", df: true, totalLength: 1500, proto: 6 }, segment).slice(0, 28);
  t.dev.receive(ipv4({ src: dotted(HOST_IP + 8), dst: "10.0.0.1" }, icmpError(error, inner)));
}

/** Each type and code that TCP is told of, and source quench. (Of 11/1, a reassembly that timed out, it is not.) */
const ERRORS: [number, number][] = [
  ...Array.from({ length: 16 }, (_, code): [number, number] => [3, code]).filter(([, code]) => code !== 4),
  [4, 0],
  [11, 0],
  [12, 0],
  [12, 1],
  [12, 2],
];

Deno.test("[A17] [MUST-55] [MUST-56] [SHLD-25] ICMP errors never end a connection, whatever they quote; source quench does nothing", () => {
  for (const [type, code] of ERRORS) {
    const o = open();
    using t = o.t;
    const { sys } = t.host;
    t.write(o.fd, 3000);
    t.take();
    const tp = t.tp(o.fd);
    const { sndCwnd, sndSsthresh } = tp;
    for (const seq of [o.ack - 1, o.ack + 3001, o.ack + (1 << 30)]) quote(t, PORT, 4000, seq, { type, code });
    assertEquals(t.ext("OutOfWindowIcmps"), 3, `${type}/${code}: not in flight`);
    assertEquals(tp.sk.errSoft, 0);
    for (const seq of [o.ack, o.ack + 1460, o.ack + 3000]) quote(t, PORT, 4000, seq, { type, code });
    assertEquals(t.ext("OutOfWindowIcmps"), 3, `${type}/${code}: in flight`);
    assertEquals([tp.sk.state, tp.sndCwnd, tp.sndSsthresh], [TCP_ESTABLISHED, sndCwnd, sndSsthresh], `${type}/${code}`);
    // A soft error is told to who asks, and no call fails for it.
    assertEquals([tp.sk.err, errnoName(t.read(o.fd, 1))], [0, "EAGAIN"]);
    const soft = sys.getsockopt(o.fd, SOL_SOCKET, SO_ERROR);
    assertEquals([soft !== 0, sys.getsockopt(o.fd, SOL_SOCKET, SO_ERROR)], [type !== 4, 0], `${type}/${code}`);
    assertEquals(t.take(), [], "nothing is sent for it");
    t.send({ seq: o.seq, ack: o.ack + 3000, flags: "PA", payload: [1] });
    assertEquals([t.read(o.fd, 10), tp.packetsOut, tp.sk.errSoft], [1, 0, 0]);
    o.seq++;
    end(o);
  }
});

Deno.test("[A17] [MUST-54] while connecting an error counts if it quotes the very SYN; guesses do not", () => {
  const expected: Record<string, string> = {
    "3/0": "ENETUNREACH",
    "3/1": "EHOSTUNREACH",
    "3/2": "ENOPROTOOPT",
    "3/3": "ECONNREFUSED",
    "3/9": "ENETUNREACH",
    "3/10": "EHOSTUNREACH",
    "3/13": "EHOSTUNREACH",
    "11/0": "EHOSTUNREACH",
    "12/0": "EPROTO",
    "4/0": "",
  };
  for (const [what, errno] of Object.entries(expected)) {
    const [type, code] = what.split("/").map(Number);
    using t = new Tun();
    const { sys } = t.host;
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    sys.connect(fd, 0x0a000002, 4000);
    const [syn] = t.take();
    const random = new Random(what);
    for (let i = 0; i < 1000; i++) quote(t, syn.sport, 4000, syn.seq + 2 + random.int(0x7ffffff0), { type, code });
    assertEquals([sys.sock(fd)!.state, t.ext("OutOfWindowIcmps")], [TCP_SYN_SENT, 1000]);
    quote(t, syn.sport, 4000, syn.seq, { type, code });
    const got = sys.getsockopt(fd, SOL_SOCKET, SO_ERROR);
    assertEquals(got === 0 ? "" : errnoName(-got), errno, what);
    assertEquals(sys.sock(fd)!.state, errno === "" ? TCP_SYN_SENT : TCP_CLOSE);
    sys.close(fd);
    t.after(300_000);
    assertEquals(t.counts().established, 0);
  }
});

Deno.test("[A17] fragmentation needed: 552 bytes is the least, 65,535 changes nothing, and only what is in flight counts", () => {
  for (const [mtu, mss] of [[0, 512], [67, 512], [551, 512], [552, 512], [1000, 960], [1500, 1460], [65_535, 1460]]) {
    const o = open();
    using t = o.t;
    t.write(o.fd, 2920);
    t.take();
    const tp = t.tp(o.fd);
    const error = { type: 3, code: 4, mtu };
    for (const seq of [o.ack - 1, o.ack + 2921, o.ack + (1 << 30)]) quote(t, PORT, 4000, seq, error);
    assertEquals([t.ext("OutOfWindowIcmps"), tp.mssCache, t.take().length], [3, 1460, 0], `MTU ${mtu} out of window`);
    for (let i = 0; i < 100; i++) quote(t, PORT, 4000, o.ack, error);
    assertEquals(tp.mssCache, mss, `MTU ${mtu}`);
    // What was too large goes again once, not once for each error.
    const again = t.take();
    assert(again.length <= Math.ceil(2920 / mss) && again.every((s) => s.len <= mss), `${again.length} segments`);
    if (mss === 1460) assertEquals(again, []);
    t.send({ seq: o.seq, ack: o.ack + 2920, flags: "A" });
    t.write(o.fd, 5000);
    assertEquals(Math.max(...t.take().map((s) => s.len)), mss);
    t.send({ seq: o.seq, flags: "R" });
    end(o);
  }
});
