/** Attacks by peers that hold on: they read slowly or not at all, open early, or are who they cannot be. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SO_KEEPALIVE, SOCK_STREAM, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import {
  SOL_TCP,
  TCP,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_FASTOPEN,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_SYN_RECV,
  TCP_USER_TIMEOUT,
} from "../../../plugins/transport/tcp/contract.ts";
import { createHost } from "../../../mod.ts";
import { concat, eth, ipv4, tcp } from "../../support/frames/build.ts";
import { Random } from "../../support/frames/random.ts";
import { TestMachine, twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft } from "../../support/tcp.ts";
import { mssOption } from "../../support/tcp_peer.ts";
import { PORT, type Sent, Tun } from "../../support/tcp_tun.ts";

const MB = 1e6;

/** A peer that asks for much, and acknowledges a little now and then. */
interface SlowReader {
  sport: number;
  fd: number;
  /** Our first number, and how much of it the peer took. */
  isn: number;
  taken: number;
}

function slowReaders(t: Tun, lis: number, n: number, window: number): SlowReader[] {
  return Array.from({ length: n }, (_, i) => {
    const sport = 5000 + i;
    const { fd, synack } = t.accepted(lis, { sport, window, options: mssOption(1460) });
    return { sport, fd, isn: synack.seq, taken: 0 };
  });
}

/** Each takes `bytes` more, and offers as much again. */
function sip(t: Tun, peers: readonly SlowReader[], bytes: number): void {
  for (const p of peers) {
    p.taken += bytes;
    t.send({ sport: p.sport, seq: 1001, ack: p.isn + 1 + p.taken, flags: "A", window: bytes });
  }
}

/** Writes until nothing more is taken. Bytes. */
function fill(t: Tun, fd: number): number {
  let all = 0;
  for (let n = t.write(fd, 65_536); n > 0; n = t.write(fd, 65_536)) all += n;
  return all;
}

function reset(t: Tun, peers: readonly SlowReader[]): void {
  for (const p of peers) {
    t.send({ sport: p.sport, seq: 1001, flags: "R" });
    t.host.sys.close(p.fd);
  }
}

Deno.test("[A52] 100 peers that read ten bytes a minute: each holds its send buffer, all hold tcp_mem, others are served", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_mem", [500, 700, 900]);
  const lis = t.listen(400);
  const peers = slowReaders(t, lis, 100, 10);
  t.keep = false;
  let [held, each] = [0, 0];
  for (let minute = 0; minute < 3; minute++) {
    for (const p of peers) {
      fill(t, p.fd);
      each = Math.max(each, t.tp(p.fd).wmemQueued);
    }
    held = Math.max(held, t.counts().memory);
    for (let i = 0; i < 6; i++) {
      sip(t, peers, 10);
      t.machine.advance(10e9);
    }
  }
  // tcp_wmem[2] is 4 MB for each; tcp_mem is 3.7 MB for all, above which each keeps what moves it on.
  assert(each <= 4 * MB + 65_536, `${each} bytes of one`);
  assert(held <= 900 * 4096 + 100 * 2 * 4096, `${held} bytes of all`);
  assert(t.ext("TCPMemoryPressures") > 0);
  t.keep = true;
  // Each has one timer, however much waits.
  assert(t.machine.timers.armed <= 100 * 2 + 8, `${t.machine.timers.armed} timers`);
  const honest = t.accepted(lis, { sport: 4000 });
  t.send({ sport: 4000, seq: 1001, ack: honest.synack.seq + 1, flags: "PA", payload: [1, 2, 3] });
  assertEquals([t.read(honest.fd, 10), t.write(honest.fd, 100)], [3, 100]);
  reset(t, [...peers, { sport: 4000, fd: honest.fd, isn: 0, taken: 0 }]);
  t.send({ sport: 4000, seq: 1004, flags: "R" });
  t.host.sys.close(lis);
  assertEquals([t.counts().memory, t.counts().established, t.machine.timers.armed], [0, 0, 0]);
});

Deno.test("[A52] TCP_USER_TIMEOUT ends a peer that takes nothing, a slow one stays; keepalive ends one that is gone", () => {
  using t = new Tun();
  const { sys } = t.host;
  const lis = t.listen();
  const [stuck, slow] = slowReaders(t, lis, 2, 100);
  const idle = t.accepted(lis, { sport: 4999 });
  for (const { fd } of [stuck, slow]) {
    assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_USER_TIMEOUT, 20_000), 0);
    fill(t, fd);
  }
  for (const [name, value] of [[TCP_KEEPIDLE, 10], [TCP_KEEPINTVL, 5], [TCP_KEEPCNT, 3]]) {
    assertEquals(sys.setsockopt(idle.fd, SOL_TCP, name, value), 0);
  }
  assertEquals(sys.setsockopt(idle.fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  t.take();
  // The stuck one answers each probe with its closed window.
  t.send({ sport: stuck.sport, seq: 1001, ack: stuck.isn + 101, flags: "A", window: 0 });
  for (let s = 0; s < 60; s++) {
    const probes = t.after(1000);
    sip(t, [slow], 100);
    if (probes.some((p) => p.dport === stuck.sport && p.flags === "A")) {
      t.send({ sport: stuck.sport, seq: 1001, ack: stuck.isn + 101, flags: "A", window: 0 });
    }
  }
  const state = (fd: number): number => sys.sock(fd)!.state;
  assertEquals([state(stuck.fd), state(slow.fd), state(idle.fd)], [TCP_CLOSE, TCP_ESTABLISHED, TCP_CLOSE]);
  assertEquals([t.read(stuck.fd, 1), t.read(idle.fd, 1)].map(errnoName), ["ETIMEDOUT", "ETIMEDOUT"]);
  assert(t.counts().memory > 0);
  reset(t, [stuck, slow]);
  sys.close(idle.fd);
  assertEquals(t.counts().memory, 0);
});

// ---- Fast Open. RFC 7413.

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Fast Open's option: asks for a cookie, or has one. */
function fastOpen(cookie: readonly number[] = []): Uint8Array {
  return Uint8Array.from([34, 2 + cookie.length, ...cookie, ...(cookie.length % 4 === 2 ? [] : [1, 1])]);
}

/** A listener with Fast Open for `queue` connections. */
function fastOpenListener(t: Tun, queue: number): number {
  t.host.sysctl("net.ipv4.tcp_fastopen", 3);
  const lis = t.listen(256);
  assertEquals(t.host.sys.setsockopt(lis, SOL_TCP, TCP_FASTOPEN, queue), 0);
  return lis;
}

/** The cookie that a host gives to `src`. */
function cookieOf(t: Tun, src: string, sport = 900): number[] {
  const synack = t.syn({ src, sport, options: concat(mssOption(1460), fastOpen()) });
  const found = /220a([0-9a-f]{16})/.exec(synack.options);
  assert(found !== null, `no cookie in ${synack.options}`);
  t.send({ src, sport, seq: 1001, flags: "R" });
  return found[1].match(/../g)!.map((h) => parseInt(h, 16));
}

/** A SYN with a cookie and 100 bytes. */
function early(t: Tun, src: string, sport: number, cookie: readonly number[]): Sent[] {
  t.take();
  const payload = new Uint8Array(100).fill(5);
  t.send({ src, sport, seq: 1000, flags: "S", options: concat(mssOption(1460), fastOpen(cookie)), payload });
  return t.take();
}

Deno.test("[A57] data before the handshake is for who has the cookie of his own address: not one of 5,000 guesses", () => {
  using t = new Tun();
  const lis = fastOpenListener(t, 16);
  const mine = cookieOf(t, "10.0.0.2");
  assert(hexOf(Uint8Array.from(mine)) !== hexOf(Uint8Array.from(cookieOf(t, "10.0.0.3"))));
  const random = new Random(57);
  for (let i = 0; i < 5000; i++) {
    const guess = Array.from({ length: 8 }, () => random.int(256));
    const sport = 1024 + i;
    const [synack] = early(t, "10.0.0.3", sport, guess);
    // Its data is not acknowledged, and it is told the right one: which only the owner of the address sees.
    if (synack.ack !== 1001 || synack.flags !== "SA") assertEquals([synack.flags, synack.ack], ["SA", 1001]);
    t.send({ src: "10.0.0.3", sport, seq: 1001, flags: "R" });
  }
  // The cookie of another, cut, or with more behind it.
  for (const cookie of [mine, mine.slice(0, 4), [...mine, 1, 2]]) {
    const [synack] = early(t, "10.0.0.3", 900, cookie);
    assertEquals([synack.flags, synack.ack], ["SA", 1001]);
    t.send({ src: "10.0.0.3", sport: 900, seq: 1001, flags: "R" });
  }
  assertEquals([t.ext("TCPFastOpenPassive"), t.counts().established, t.counts().memory], [0, 0, 0]);
  assertEquals(errnoName(t.host.sys.accept(lis)), "EAGAIN");
  // The right one is taken at once.
  const [synack] = early(t, "10.0.0.2", 901, mine);
  assertEquals([synack.flags, synack.ack], ["SA", 1101]);
  const fd = t.host.sys.accept(lis);
  assertEquals([t.read(fd, 1000), t.tp(fd).sk.state], [100, TCP_SYN_RECV]);
  t.send({ sport: 901, seq: 1101, flags: "R" });
  t.host.sys.close(fd);
  t.host.sys.close(lis);
});

Deno.test("[A57] who has a cookie opens as many as the queue has; a RST does not give back the place of what was accepted", () => {
  using t = new Tun();
  const { sys } = t.host;
  const lis = fastOpenListener(t, 8);
  const cookie = cookieOf(t, "10.0.0.2");
  const open = (sport: number): boolean => early(t, "10.0.0.2", sport, cookie)[0].ack === 1101;
  // The queue: eight are open, the rest goes the ordinary way.
  const opened = Array.from({ length: 20 }, (_, i) => open(2000 + i));
  assertEquals(opened.filter((o) => o).length, 8);
  assertEquals(t.ext("TCPFastOpenListenOverflow"), 12);
  const fds = opened.filter((o) => o).map(() => sys.accept(lis));
  assert(fds.every((fd) => fd >= 0));
  // The attacker resets what he opened by forged SYNs (RFC 7413 section 5.1): each place stays taken for a minute.
  for (let i = 0; i < 8; i++) t.send({ sport: 2000 + i, seq: 1101, flags: "R" });
  for (const fd of fds) sys.close(fd);
  assertEquals([t.counts().established, open(3000)], [0, false]);
  t.after(59_000);
  assertEquals(open(3001), false);
  t.after(2_000);
  assertEquals(open(3002), true);
  const fd = sys.accept(lis);
  assert(fd >= 0);
  t.send({ sport: 3002, seq: 1101, flags: "R" });
  sys.close(fd);
  sys.close(lis);
  t.after(200_000);
  assertEquals([t.counts().established, t.counts().requests, t.counts().memory, t.machine.timers.armed], [0, 0, 0, 0]);
});

Deno.test("[A57] what a forged SYN brings out is bounded: no answer of the application is larger than the first window", () => {
  using t = new Tun();
  const { sys } = t.host;
  const lis = fastOpenListener(t, 8);
  const cookie = cookieOf(t, "10.0.0.2");
  early(t, "10.0.0.2", 2000, cookie);
  const fd = sys.accept(lis);
  const before = t.bytes;
  fill(t, fd);
  t.after(300_000);
  // Ten segments, then what is first again at most six times, and the SYN-ACK.
  assert(t.bytes - before <= 10 * 1500 + 8 * 1500 + 8 * 60, `${t.bytes - before} bytes`);
  assertEquals(sys.sock(fd)!.state, TCP_CLOSE);
  sys.close(fd);
  sys.close(lis);
  assertEquals(t.counts().memory, 0);
});

Deno.test("[A57] a new key takes back all cookies", () => {
  using t = new Tun();
  const lis = fastOpenListener(t, 8);
  const old = cookieOf(t, "10.0.0.2");
  t.host.sysctl("net.ipv4.tcp_fastopen_key", "00000001-00000002-00000003-00000004");
  assertEquals(early(t, "10.0.0.2", 2000, old)[0].ack, 1001);
  t.send({ sport: 2000, seq: 1001, flags: "R" });
  const now = cookieOf(t, "10.0.0.2");
  assert(`${now}` !== `${old}`);
  assertEquals(early(t, "10.0.0.2", 2001, now)[0].ack, 1101);
  t.send({ sport: 2001, seq: 1101, flags: "R" });
  t.host.sys.close(lis);
});

// ---- who is nobody

Deno.test("[A60] [MUST-57] [MUST-63] a SYN from or to broadcast, multicast or nobody is discarded silently, whatever the link says", () => {
  using machine = new TestMachine();
  const host = createHost({ machine, name: "host" });
  const out: Uint8Array[] = [];
  const own = "02:00:00:00:00:01";
  const dev = host.net.registerNetdev("eth0", {
    startXmit: (skb) => {
      out.push(skb.bytes.slice(skb.data, skb.tail));
      skb.consume();
      return 0;
    },
  }, { address: own });
  host.addr.add("eth0", "10.0.0.1/24");
  host.neigh.set("eth0", "10.0.0.2", "02:00:00:00:00:02");
  const { sys } = host;
  const lis = sys.socket(AF_INET, SOCK_STREAM, 0);
  assertEquals([sys.bind(lis, 0, PORT), sys.listen(lis, 16)], [0, 0]);
  machine.runUntilIdle(1e9);
  out.length = 0;
  const counts = () => host.net.get(TCP).counts();
  const send = (src: string, dst: string, mac: string, flags = "S", seq = 1000): number => {
    out.length = 0;
    const segment = tcp({ sport: 4000, dport: PORT, seq, ack: 1, flags }, []);
    dev.receive(eth({ dst: mac, src: "02:00:00:00:00:02" }, ipv4({ src, dst, ttl: 64 }, segment)));
    return out.length;
  };
  const [me, peer] = ["10.0.0.1", "10.0.0.2"];
  const macs = [own, "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"];
  for (const mac of macs) {
    for (const flags of ["S", "A", "SA", "F", ""]) {
      for (const dst of ["255.255.255.255", "10.0.0.255", "10.0.0.0", "224.0.0.1", "239.1.2.3"]) {
        assertEquals(send(peer, dst, mac, flags), 0, `to ${dst} at ${mac}, ${flags}`);
      }
      for (const src of ["255.255.255.255", "10.0.0.255", "224.0.0.1", "239.1.2.3", "0.0.0.0", "127.0.0.1", me]) {
        assertEquals(send(src, me, mac, flags), 0, `from ${src} at ${mac}, ${flags}`);
      }
    }
  }
  // RFC 1122 section 4.2.3.10: nor by the link's broadcast to our own address.
  for (const mac of macs.slice(1)) assertEquals(send(peer, me, mac), 0, mac);
  assertEquals([counts().requests, counts().established, machine.timers.armed], [0, 0, 0]);
  assertEquals(send(peer, me, own), 1, "the honest one");
  assertEquals(send(peer, me, own, "R", 1001), 0);
  assertEquals(counts().requests, 0);
  sys.close(lis);
});

Deno.test("[A60] [MUST-46] connect() to broadcast and multicast fails, and sends nothing", () => {
  using t = new Tun();
  const { sys } = t.host;
  for (const address of ["255.255.255.255", "10.255.255.255", "224.0.0.1", "239.1.2.3"]) {
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    const result = sys.connect(fd, needIp(address, "connect"), 80);
    assert(["ENETUNREACH", "EACCES"].includes(errnoName(result)), `${address}: ${errnoName(result)}`);
    sys.close(fd);
  }
  assertEquals([t.take(), t.counts().bound, t.machine.timers.armed], [[], 0, 0]);
});

Deno.test("[A60] a socket that connects to itself is connected to itself, as in Linux, and leaves nothing behind", () => {
  using t = twoHosts({ neigh: true });
  const { sys } = t.a;
  for (const address of [0x7f000001, 0x0a000001]) {
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    assertEquals(sys.bind(fd, address, 5000), 0);
    sys.connect(fd, address, 5000);
    t.machine.runUntilIdle(1e9);
    assertEquals(sys.sock(fd)!.state, TCP_ESTABLISHED);
    assertEquals(sys.sendmsg(fd, msgHdr(new Uint8Array(5000).fill(3)), 0), 5000);
    t.machine.runUntilIdle(1e9);
    const into = msgHdr(new Uint8Array(10_000));
    assertEquals([sys.recvmsg(fd, into, 0), into.buf[4999]], [5000, 3]);
    assertEquals(sys.close(fd), 0);
    t.machine.runUntilIdle(120e9);
  }
  // A SYN from our own address by the wire is no such thing (LAND).
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("[A37] 5,000 peers close their window, and the application closes: bounded at once, and all are gone in bounded time", () => {
  using t = new Tun();
  const most = 1000;
  t.host.sysctl("net.ipv4.tcp_max_orphans", most);
  const lis = t.listen(64);
  t.keep = false;
  let worst = 0;
  const open: { sport: number; isn: number }[] = [];
  for (let i = 0; i < 5000; i++) {
    t.keep = true;
    const { fd, synack } = t.accepted(lis, { sport: 1024 + i, window: 500, options: mssOption(1460) });
    t.keep = false;
    t.out.length = 0;
    assert(t.write(fd, 2000) > 0);
    t.send({ sport: 1024 + i, seq: 1001, ack: synack.seq + 501, flags: "A", window: 0 });
    t.host.sys.close(fd);
    open.push({ sport: 1024 + i, isn: synack.seq });
    worst = Math.max(worst, t.counts().orphans);
  }
  // More than tcp_max_orphans are given up at once, with a RST.
  assert(worst <= most + 1, `${worst} orphans`);
  assert(t.counts().memory <= (most + 1) * 3 * 4096, `${t.counts().memory} bytes`);
  assert(t.machine.timers.armed <= 2 * most + 16, `${t.machine.timers.armed} timers`);
  // The peers answer each probe with a closed window, for as long as they like.
  let seconds = 0;
  for (; seconds < 1200 && t.counts().orphans > 0; seconds += 20) {
    t.machine.advance(20e9);
    if (seconds % 100 !== 0 || seconds > 400) continue;
    for (const { sport, isn } of open) {
      t.send({ sport, seq: 1001, ack: isn + 501, flags: "A", window: 0 });
    }
  }
  assertEquals([t.counts().orphans, t.counts().established, t.counts().memory], [0, 0, 0]);
  assert(seconds <= 1000, `gone after ${seconds} s`);
  t.host.sys.close(lis);
  assertEquals(t.machine.timers.armed, 0);
});
