/** What the calls do with data: halves, peeking, urgent bytes, buffers, options, TCP_INFO; and the plugin swapped below them. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import {
  AF_INET,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  type MsgHdr,
  msgHdr,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  SHUT_WR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_SNDBUF,
  SOCK_STREAM,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import * as tcpMod from "../../../plugins/transport/tcp/mod.ts";
import { SOL_TCP, TCP, tcp, TCP_ESTABLISHED, type TcpInfo } from "../../../plugins/transport/tcp/mod.ts";
import { type TwoHosts, twoHosts } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnect, tcpConnection, type TcpEnd, tcpListen } from "../../support/tcp.ts";

const MS = 1e6;

/** Two connected ends, over a wire. */
class Pair implements Disposable {
  readonly t: TwoHosts = twoHosts({ neigh: true, wire: { delayNs: 10_000 } });
  readonly c: TcpEnd;
  readonly s: TcpEnd;

  constructor() {
    const { client, server } = tcpConnection(this.t.machine, this.t.a, this.t.b, { address: "10.0.0.2" });
    this.c = client;
    this.s = server;
    this.settle();
  }

  settle(ms = 50): void {
    this.t.machine.advance(ms * MS);
  }

  send(end: TcpEnd, text: string, flags = 0): number {
    return end.host.sys.sendmsg(end.fd, msgHdr(new TextEncoder().encode(text)), flags);
  }

  recv(end: TcpEnd, room = 100, flags = 0): string {
    const msg = msgHdr(new Uint8Array(room));
    const n = end.host.sys.recvmsg(end.fd, msg, flags);
    return n < 0 ? errnoName(n) : new TextDecoder().decode(msg.buf.subarray(0, n));
  }

  set(end: TcpEnd, level: number, name: number, value: number, value2 = 0): void {
    assertEquals(end.host.sys.setsockopt(end.fd, level, name, value, value2), 0);
  }

  get(end: TcpEnd, level: number, name: number): number {
    return end.host.sys.getsockopt(end.fd, level, name);
  }

  poll(end: TcpEnd): number {
    return end.host.sys.poll(end.fd);
  }

  info(end: TcpEnd): TcpInfo {
    return end.host.net.get(TCP).info(end.host.sys.sock(end.fd)!);
  }

  /** Both close; nothing is left. */
  end(): void {
    this.c.close();
    this.s.close();
    assertNothingLeft(this.t.machine, [this.t.a, this.t.b]);
  }

  [Symbol.dispose](): void {
    this.t[Symbol.dispose]();
  }
}

Deno.test("MSG_PEEK leaves the bytes, MSG_TRUNC throws them away", () => {
  using p = new Pair();
  p.send(p.c, "one two three");
  p.settle();
  assertEquals([p.recv(p.s, 3, MSG_PEEK), p.recv(p.s, 7, MSG_PEEK), p.recv(p.s, 4)], ["one", "one two", "one "]);
  const msg: MsgHdr = msgHdr(new Uint8Array(4));
  assertEquals(p.t.b.sys.recvmsg(p.s.fd, msg, MSG_TRUNC), 4);
  assertEquals([...msg.buf], [0, 0, 0, 0]);
  assertEquals(p.recv(p.s), "three");
  assertEquals(p.recv(p.s), "EAGAIN");
  p.end();
});

Deno.test("MSG_MORE and TCP_CORK hold what is less than a segment; the next write, or uncorking, sends it", () => {
  using p = new Pair();
  p.send(p.c, "one ", MSG_MORE);
  assertEquals(p.recv(p.s), "EAGAIN");
  p.send(p.c, "two");
  p.settle();
  assertEquals(p.recv(p.s), "one two");
  p.set(p.c, SOL_TCP, tcpMod.TCP_CORK, 1);
  p.send(p.c, "three ");
  p.send(p.c, "four");
  assertEquals(p.recv(p.s), "EAGAIN");
  p.set(p.c, SOL_TCP, tcpMod.TCP_CORK, 0);
  p.settle();
  assertEquals(p.recv(p.s), "three four");
  p.end();
});

Deno.test("urgent data: beside the stream, or in it with SO_OOBINLINE", () => {
  using p = new Pair();
  p.send(p.c, "ab!", MSG_OOB);
  p.send(p.c, "cd");
  p.settle();
  assertEquals(p.poll(p.s) & POLLPRI, POLLPRI);
  assertEquals(p.recv(p.s, 1, MSG_OOB), "!");
  assertEquals(p.recv(p.s, 1, MSG_OOB), "EINVAL");
  // A read ends at the mark.
  assertEquals([p.recv(p.s), p.recv(p.s)], ["ab", "cd"]);
  p.set(p.s, SOL_SOCKET, SO_OOBINLINE, 1);
  p.send(p.c, "ab!", MSG_OOB);
  p.send(p.c, "cd");
  p.settle();
  assertEquals(p.recv(p.s, 1, MSG_OOB), "EINVAL");
  assertEquals([p.recv(p.s), p.recv(p.s)], ["ab", "!cd"]);
  p.end();
});

Deno.test("half close: the end of one way is read once all bytes are, the other way goes on", () => {
  using p = new Pair();
  p.send(p.c, "last words");
  p.t.a.sys.shutdown(p.c.fd, SHUT_WR);
  p.settle();
  assertEquals(p.poll(p.s), POLLIN | POLLOUT | POLLRDHUP);
  assertEquals([p.recv(p.s, 4), p.recv(p.s), p.recv(p.s), p.recv(p.s)], ["last", " words", "", ""]);
  assertEquals(p.send(p.s, "answer"), 6);
  p.settle();
  assertEquals(p.recv(p.c), "answer");
  assertEquals(errnoName(p.send(p.c, "x")), "EPIPE");
  p.end();
});

Deno.test("close() with unread bytes, and SO_LINGER 0, reset the connection", () => {
  for (const linger of [false, true]) {
    using p = new Pair();
    p.send(p.c, "never read");
    p.settle();
    if (linger) {
      p.recv(p.s);
      p.set(p.s, SOL_SOCKET, SO_LINGER, 1, 0);
      assertEquals(p.get(p.s, SOL_SOCKET, SO_LINGER), 1);
    }
    p.s.close();
    p.settle();
    assertEquals(p.poll(p.c), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    assertEquals([p.recv(p.c), p.recv(p.c), errnoName(p.send(p.c, "x"))], ["ECONNRESET", "", "EPIPE"]);
    p.end();
  }
});

Deno.test("a full send buffer is EAGAIN, and writable again when a third of it is free", () => {
  using p = new Pair();
  p.set(p.c, SOL_SOCKET, SO_SNDBUF, 20_000);
  p.set(p.s, SOL_SOCKET, SO_RCVBUF, 20_000);
  let sent = 0;
  for (;;) {
    const n = p.t.a.sys.sendmsg(p.c.fd, msgHdr(new Uint8Array(5000)), 0);
    if (n > 0) sent += n;
    else {
      assertEquals(errnoName(n), "EAGAIN");
      if (p.t.machine.now > 3e9) break;
      p.settle(500);
    }
  }
  assertEquals(p.poll(p.c) & POLLOUT, 0);
  let woken = 0;
  p.t.a.sys.onReady(p.c.fd, () => woken++);
  let read = 0;
  while (read < sent) {
    const n = p.t.b.sys.recvmsg(p.s.fd, msgHdr(new Uint8Array(4096)), 0);
    if (n > 0) read += n;
    else p.settle(300);
  }
  p.settle(300);
  assertEquals(read, sent);
  assertEquals([woken > 0, p.poll(p.c)], [true, POLLOUT]);
  p.end();
});

Deno.test("the send buffer grows with the congestion window, unless the user fixed its size", () => {
  using p = new Pair();
  p.c.run(4_000_000);
  p.s.run(0);
  p.settle(3000);
  assertEquals(p.s.received, 4_000_000);
  assert(p.get(p.s, SOL_SOCKET, SO_RCVBUF) > 131_072, "the receive buffer grew");
  p.end();
  using q = new Pair();
  q.set(q.c, SOL_SOCKET, SO_SNDBUF, 16_384);
  q.set(q.s, SOL_SOCKET, SO_RCVBUF, 16_384);
  q.c.run(1_000_000);
  q.s.run(0);
  q.settle(20_000);
  assertEquals([q.s.received, q.get(q.c, SOL_SOCKET, SO_SNDBUF), q.get(q.s, SOL_SOCKET, SO_RCVBUF)], [
    1_000_000,
    32_768,
    32_768,
  ]);
  q.end();
});

Deno.test("SO_RCVLOWAT: readable from so many bytes on, or at the end", () => {
  using p = new Pair();
  p.set(p.s, SOL_SOCKET, SO_RCVLOWAT, 10);
  p.send(p.c, "12345");
  p.settle();
  assertEquals(p.poll(p.s), POLLOUT);
  p.send(p.c, "67890");
  p.settle();
  assertEquals(p.poll(p.s), POLLIN | POLLOUT);
  assertEquals(p.recv(p.s), "1234567890");
  p.send(p.c, "1");
  p.t.a.sys.shutdown(p.c.fd, SHUT_WR);
  p.settle();
  assertEquals(p.poll(p.s) & POLLIN, POLLIN);
  // At most half of the largest buffer; the buffer grows for it.
  p.set(p.s, SOL_SOCKET, SO_RCVLOWAT, 0x7fffffff);
  assertEquals(p.get(p.s, SOL_SOCKET, SO_RCVLOWAT), 33_554_432 / 2);
  p.end();
});

Deno.test("TCP_INQ: the bytes that are left, the FIN as one, and 1 at the end of the stream", () => {
  using p = new Pair();
  p.set(p.s, SOL_TCP, tcpMod.TCP_INQ, 1);
  p.send(p.c, "1234567890");
  p.t.a.sys.shutdown(p.c.fd, SHUT_WR);
  p.settle();
  const inq = (room: number): [number, number] => {
    const msg: MsgHdr = { ...msgHdr(new Uint8Array(room)), inq: -1 };
    return [p.t.b.sys.recvmsg(p.s.fd, msg, 0), msg.inq!];
  };
  assertEquals([inq(4), inq(100), inq(100)], [[4, 7], [6, 1], [0, 1]]);
  p.end();
});

Deno.test("SOL_TCP options come back as they were set, or in Linux's units", () => {
  using p = new Pair();
  const same: [number, number][] = [
    [tcpMod.TCP_NODELAY, 1],
    [tcpMod.TCP_CORK, 1],
    [tcpMod.TCP_KEEPIDLE, 11],
    [tcpMod.TCP_KEEPINTVL, 12],
    [tcpMod.TCP_KEEPCNT, 13],
    [tcpMod.TCP_SYNCNT, 14],
    [tcpMod.TCP_LINGER2, 15],
    [tcpMod.TCP_USER_TIMEOUT, 16_000],
    [tcpMod.TCP_NOTSENT_LOWAT, 17],
    [tcpMod.TCP_QUICKACK, 0],
    [tcpMod.TCP_WINDOW_CLAMP, 20_000],
    [tcpMod.TCP_RTO_MAX_MS, 18_000],
    [tcpMod.TCP_INQ, 1],
  ];
  for (const [name, value] of same) {
    p.set(p.c, SOL_TCP, name, value);
    assertEquals(p.get(p.c, SOL_TCP, name), value, `option ${name}`);
  }
  // Of other sockets they are what they were.
  assertEquals([p.get(p.s, SOL_TCP, tcpMod.TCP_KEEPIDLE), p.get(p.s, SOL_TCP, tcpMod.TCP_SYNCNT)], [7200, 6]);
  assertEquals(p.get(p.c, SOL_TCP, tcpMod.TCP_MAXSEG), 1448);
  p.set(p.c, SOL_TCP, tcpMod.TCP_DEFER_ACCEPT, 5);
  assertEquals(p.get(p.c, SOL_TCP, tcpMod.TCP_DEFER_ACCEPT), 7);
  const wrong: [number, number][] = [
    [tcpMod.TCP_KEEPIDLE, 32_768],
    [tcpMod.TCP_KEEPINTVL, 0],
    [tcpMod.TCP_KEEPCNT, 128],
    [tcpMod.TCP_SYNCNT, 0],
    [tcpMod.TCP_USER_TIMEOUT, -1],
    [tcpMod.TCP_MAXSEG, 32_768],
    [tcpMod.TCP_RTO_MAX_MS, 999],
    [tcpMod.TCP_INQ, 2],
  ];
  for (const [name, value] of wrong) {
    assertEquals(errnoName(p.t.a.sys.setsockopt(p.c.fd, SOL_TCP, name, value)), "EINVAL", `option ${name}`);
  }
  assertEquals(errnoName(p.t.a.sys.setsockopt(p.c.fd, SOL_TCP, tcpMod.TCP_TIMESTAMP, 1)), "EPERM");
  assertEquals(p.t.a.sys.getsockoptString(p.c.fd, SOL_TCP, tcpMod.TCP_CONGESTION), "cubic");
  assertEquals(p.t.a.sys.setsockopt(p.c.fd, SOL_TCP, tcpMod.TCP_CONGESTION, "reno"), 0);
  assertEquals(p.t.a.sys.getsockoptString(p.c.fd, SOL_TCP, tcpMod.TCP_CONGESTION), "reno");
  assertEquals([p.t.a.sys.setsockopt(p.c.fd, SOL_IP, 1, 0x10), p.get(p.c, SOL_IP, 1)], [0, 0x10]);
  p.set(p.c, SOL_TCP, tcpMod.TCP_CORK, 0);
  p.end();
});

Deno.test("SO_KEEPALIVE: an idle connection is probed, and ends when nobody answers", () => {
  using p = new Pair();
  p.set(p.c, SOL_TCP, tcpMod.TCP_KEEPIDLE, 10);
  p.set(p.c, SOL_TCP, tcpMod.TCP_KEEPINTVL, 2);
  p.set(p.c, SOL_TCP, tcpMod.TCP_KEEPCNT, 3);
  p.set(p.c, SOL_SOCKET, SO_KEEPALIVE, 1);
  p.settle(15_000);
  assertEquals([p.info(p.c).tcpi_state, p.info(p.c).tcpi_probes], [TCP_ESTABLISHED, 0]);
  p.t.b.link.down("eth0");
  p.settle(30_000);
  assertEquals(p.recv(p.c), "ETIMEDOUT");
  p.t.b.link.up("eth0");
  p.s.abort();
  p.end();
});

Deno.test("TCP_INFO of a connection and of a listener", () => {
  using p = new Pair();
  p.c.run(100_000);
  p.s.run(50_000);
  p.settle(2000);
  const [c, s] = [p.info(p.c), p.info(p.s)];
  assertEquals([c.tcpi_bytes_sent, c.tcpi_bytes_acked, c.tcpi_bytes_received], [100_000, 100_002, 50_001]);
  assertEquals([s.tcpi_bytes_received, s.tcpi_bytes_acked, s.tcpi_retrans, s.tcpi_unacked], [100_001, 50_001, 0, 0]);
  assertEquals([c.tcpi_options & 7, c.tcpi_snd_wscale, c.tcpi_rcv_wscale, c.tcpi_snd_mss, c.tcpi_pmtu], [
    7,
    10,
    10,
    1448,
    1500,
  ]);
  assert(c.tcpi_rtt >= 19 && c.tcpi_rtt < 60_000 && c.tcpi_min_rtt >= 19 && c.tcpi_rto >= 200_000, JSON.stringify(c));
  assert(c.tcpi_data_segs_out >= 69 && s.tcpi_data_segs_in === c.tcpi_data_segs_out);
  assert(c.tcpi_snd_cwnd >= 10 && c.tcpi_delivery_rate > 0);
  p.end();
  using q = twoHosts({ neigh: true });
  const lis = tcpListen(q.b, 80, 7);
  for (let i = 0; i < 3; i++) tcpConnect(q.a, "10.0.0.2", 80);
  q.machine.advance(10 * MS);
  const info = q.b.net.get(TCP).info(q.b.sys.sock(lis)!);
  assertEquals([info.tcpi_state, info.tcpi_unacked, info.tcpi_sacked], [10, 3, 7]);
});

Deno.test("tcp itself is swapped while connections live: they go on, and so do listeners, requests and TIME-WAIT", () => {
  using p = new Pair();
  const { a, b, machine } = p.t;
  const lis = tcpListen(b, 81);
  p.c.run(1_000_000);
  p.s.run(1_000_000);
  for (let i = 0; i < 20; i++) {
    for (const host of [a, b]) host.net.swap("tcp", tcp());
    p.settle(2);
  }
  p.settle(5000);
  assertEquals([p.c.received, p.s.received, p.c.errno, p.s.errno], [1_000_000, 1_000_000, 0, 0]);
  const fd = tcpConnect(a, "10.0.0.2", 81);
  machine.advance(10 * MS);
  const child = b.sys.accept(lis);
  assert(child > 0);
  a.sys.close(fd);
  for (const host of [a, b]) host.net.swap("tcp", tcp());
  b.sys.close(child);
  b.sys.close(lis);
  p.end();
});

Deno.test("what a net held for TCP is given back when it ends, whatever state it was in", () => {
  const t = twoHosts({ neigh: true });
  const lis = tcpListen(t.b, 80);
  const fds = Array.from({ length: 5 }, () => tcpConnect(t.a, "10.0.0.2", 80));
  t.machine.advance(10 * MS);
  t.a.sys.sendmsg(fds[0], msgHdr(new Uint8Array(100_000)), 0);
  const child = t.b.sys.accept(lis);
  t.b.sys.sendmsg(child, msgHdr(new Uint8Array(100_000)), 0);
  t.a.sys.close(fds[1]);
  t.a.sys.shutdown(fds[2], SHUT_WR);
  t.a.sys.connect(t.a.sys.socket(AF_INET, SOCK_STREAM, 0), 0x0a000009, 1);
  t[Symbol.dispose]();
});
