/** RFC 9293 sections 3.9.1.8, 3.9.1.9 and 3.9.2: what TCP has of IP, and what ICMP tells it. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../../core/mod.ts";
import {
  IP_RECVERR,
  IP_TOS,
  IP_TTL,
  MSG_ERRQUEUE,
  msgHdr,
  SO_ERROR,
  SOL_IP,
  SOL_SOCKET,
} from "../../../../plugins/transport/sock/mod.ts";
import { TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_SENT } from "../../../../plugins/transport/tcp/contract.ts";
import { eth, icmpError, ipv4, tcp } from "../../../support/frames/build.ts";
import { mssOption, RawPeer } from "../../../support/tcp_peer.ts";

const EMPTY = msgHdr();

/** The errno that SO_ERROR has, by name; taken away. */
function soError(t: RawPeer, fd: number): string {
  const err = t.host.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR);
  return err === 0 ? "" : errnoName(-err);
}

/** An ICMP error that quotes our segment at `seq`, relative; `port`: ours. */
function icmp(t: RawPeer, type: number, code: number, seq: number, rest: { mtu?: number; port?: number } = {}): void {
  const segment = tcp({ sport: rest.port ?? t.port, dport: t.sport, seq: (t.isn + seq) >>> 0, flags: "A" });
  const quoted = ipv4({ src: "10.0.0.1", dst: "10.0.0.2", df: true, totalLength: 1500, proto: 6 }, segment).slice(
    0,
    28,
  );
  const error = icmpError({ type, code, ...(rest.mtu === undefined ? {} : { mtu: rest.mtu }) }, quoted);
  const link = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" };
  t.dev.receive(eth(link, ipv4({ src: "10.0.0.2", dst: "10.0.0.1" }, error)));
}

/** A connection with 100 bytes in flight. */
function flight(t: RawPeer): number {
  const fd = t.connect();
  t.write(fd, 100);
  t.take();
  return fd;
}

/** Unreachable net, host, source route; time exceeded; parameter problem. */
const SOFT: [type: number, code: number, errno: string][] = [
  [3, 0, "ENETUNREACH"],
  [3, 1, "EHOSTUNREACH"],
  [3, 5, "EOPNOTSUPP"],
  [11, 0, "EHOSTUNREACH"],
  [12, 0, "EPROTO"],
];

Deno.test("[MUST-47] [SHLD-25] a soft error is told by SO_ERROR, and with its packet by IP_RECVERR", () => {
  for (const [type, code, errno] of SOFT) {
    using t = new RawPeer();
    const fd = flight(t);
    icmp(t, type, code, 1);
    assertEquals([soError(t, fd), soError(t, fd)], [errno, ""], `${type}/${code}`);
    // It is told also when the connection times out by itself.
    icmp(t, type, code, 1);
    t.after(2_000_000);
    assertEquals([t.tp(fd).sk.state, soError(t, fd)], [TCP_CLOSE, errno]);
    using u = new RawPeer();
    const other = flight(u);
    assertEquals(u.host.sys.setsockopt(other, SOL_IP, IP_RECVERR, 1), 0);
    icmp(u, type, code, 1);
    assertEquals([errnoName(u.read(other, 10)), u.tp(other).sk.state], [errno, TCP_ESTABLISHED]);
    assert(u.host.sys.recvmsg(other, { ...EMPTY, buf: new Uint8Array(100), len: 100 }, MSG_ERRQUEUE) >= 0);
  }
});

Deno.test("[SHLD-20] without IP_RECVERR no call fails for a soft error, and nothing is queued", () => {
  using t = new RawPeer();
  const fd = flight(t);
  for (const on of [1, 0]) assertEquals(t.host.sys.setsockopt(fd, SOL_IP, IP_RECVERR, on), 0);
  for (const [type, code] of SOFT) icmp(t, type, code, 1);
  assertEquals([errnoName(t.read(fd, 10)), t.write(fd, 5)], ["EAGAIN", 5]);
  assertEquals(errnoName(t.host.sys.recvmsg(fd, { ...EMPTY }, MSG_ERRQUEUE)), "EAGAIN");
});

Deno.test("[MUST-54] an error reaches the connection whose ports and numbers it quotes, and no other", () => {
  using t = new RawPeer();
  const fd = flight(t);
  const other = t.host.sys.socket(2, 1, 0);
  t.host.sys.bind(other, 0, 999);
  icmp(t, 3, 1, 1, { port: 81 });
  icmp(t, 3, 1, 5000);
  assertEquals([soError(t, fd), soError(t, other)], ["", ""]);
  icmp(t, 3, 1, 1);
  assertEquals([soError(t, fd), soError(t, other)], ["EHOSTUNREACH", ""]);
  // While connecting it ends the attempt.
  using u = new RawPeer();
  const own = u.host.sys.socket(2, 1, 0);
  u.host.sys.connect(own, 0x0a000002, u.sport);
  u.take();
  icmp(u, 3, 3, 0);
  assertEquals([u.tp(own).sk.state, soError(u, own)], [TCP_CLOSE, "ECONNREFUSED"]);
});

Deno.test("[MUST-54] fragmentation needed: what was too large goes again, smaller", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.write(fd, 2920);
  assertEquals(t.take().map((s) => s.len), [1460, 1460]);
  icmp(t, 3, 4, 1, { mtu: 1000 });
  const again = t.after(1000);
  assert(again.length >= 2 && again.every((s) => s.len <= 960) && again[0].seq === 1, JSON.stringify(again));
});

Deno.test("[MUST-55] a source quench changes nothing and is told to nobody", () => {
  using t = new RawPeer();
  const fd = flight(t);
  assertEquals(t.host.sys.setsockopt(fd, SOL_IP, IP_RECVERR, 1), 0);
  const { sndCwnd, sndSsthresh, icskRto } = t.tp(fd);
  for (let i = 0; i < 10; i++) icmp(t, 4, 0, 1);
  const tp = t.tp(fd);
  assertEquals([tp.sndCwnd, tp.sndSsthresh, tp.icskRto, tp.sk.state], [sndCwnd, sndSsthresh, icskRto, TCP_ESTABLISHED]);
  assertEquals([t.take(), soError(t, fd), errnoName(t.read(fd, 1))], [[], "", "EAGAIN"]);
  using u = new RawPeer();
  const own = u.host.sys.socket(2, 1, 0);
  u.host.sys.connect(own, 0x0a000002, u.sport);
  icmp(u, 4, 0, 0);
  assertEquals([u.tp(own).sk.state, soError(u, own)], [TCP_SYN_SENT, ""]);
});

Deno.test("[MUST-56] unreachable net, host and source route, time exceeded and parameter problem end no connection", () => {
  for (const [type, code] of SOFT) {
    using t = new RawPeer();
    const fd = flight(t);
    for (let i = 0; i < 20; i++) icmp(t, type, code, 1);
    assertEquals([t.tp(fd).sk.state, t.tp(fd).sk.err], [TCP_ESTABLISHED, 0], `${type}/${code}`);
    t.send({ seq: 1, ack: 101, flags: "PA" }, [1, 2]);
    assertEquals([t.read(fd, 10), t.write(fd, 10)], [2, 10]);
  }
});

Deno.test("[SHLD-26] unreachable protocol and port end a connect() under way, and as in Linux no connection", () => {
  for (const [code, errno] of [[2, "ENOPROTOOPT"], [3, "ECONNREFUSED"]] as const) {
    using t = new RawPeer();
    const fd = flight(t);
    icmp(t, 3, code, 1);
    assertEquals([t.tp(fd).sk.state, soError(t, fd)], [TCP_ESTABLISHED, errno]);
    using u = new RawPeer();
    const own = u.host.sys.socket(2, 1, 0);
    u.host.sys.connect(own, 0x0a000002, u.sport);
    icmp(u, 3, code, 0);
    assertEquals([u.tp(own).sk.state, soError(u, own)], [TCP_CLOSE, errno]);
  }
});

Deno.test("[MUST-48] [SHLD-21] [SHLD-22] IP_TOS is in each segment as it was set, from the SYN on, and can change later", () => {
  using t = new RawPeer();
  const { sys } = t.host;
  const fd = sys.socket(2, 1, 0);
  assertEquals(sys.setsockopt(fd, SOL_IP, IP_TOS, 0xb8), 0);
  sys.connect(fd, 0x0a000002, t.sport);
  const seen = t.take();
  t.send({ seq: 0, ack: 1, flags: "SA", options: mssOption(1460) });
  t.write(fd, 3000);
  t.send({ seq: 1, ack: 3001, flags: "PA" }, [1]);
  seen.push(...t.after(300));
  assertEquals([...new Set(seen.map((s) => s.tos))], [0xb8]);
  assert(seen.length >= 6);
  // All values of the code point; the two bits below are ECN's.
  for (let dscp = 0; dscp < 64; dscp++) {
    assertEquals(sys.setsockopt(fd, SOL_IP, IP_TOS, dscp << 2), 0);
    const una = t.tp(fd).sndNxt - t.isn;
    t.write(fd, 10);
    assertEquals(t.take().map((s) => s.tos), [dscp << 2]);
    t.send({ seq: 2, ack: una + 10 });
  }
});

Deno.test("[MUST-49] IP_TTL is in each segment, net.ipv4.ip_default_ttl where it is not set", () => {
  using t = new RawPeer();
  const { sys } = t.host;
  const fd = sys.socket(2, 1, 0);
  assertEquals(sys.setsockopt(fd, SOL_IP, IP_TTL, 7), 0);
  sys.connect(fd, 0x0a000002, t.sport);
  const seen = t.take();
  t.send({ seq: 0, ack: 1, flags: "SA", options: mssOption(1460) });
  t.write(fd, 3000);
  seen.push(...t.after(300));
  assertEquals([[...new Set(seen.map((s) => s.ttl))], seen.length >= 5], [[7], true]);
  using u = new RawPeer();
  u.host.sysctl("net.ipv4.ip_default_ttl", 33);
  const other = u.connect();
  u.write(other, 10);
  assertEquals(u.take().map((s) => s.ttl), [33]);
});

Deno.test("[MUST-50] segments with IP options are taken, whatever the options are", () => {
  const kinds: Record<string, number[]> = {
    "no-operation": [1, 1, 1, 1],
    "security": [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "stream": [136, 4, 0, 1],
    "router alert": [148, 4, 0, 0],
    "record route": [7, 7, 4, 0, 0, 0, 0, 0],
    "timestamp": [68, 8, 5, 0, 0, 0, 0, 0],
    "nobody's": [222, 6, 1, 2, 3, 4, 0, 0],
    "an end": [0, 9, 9, 9],
  };
  for (const [what, options] of Object.entries(kinds)) {
    using t = new RawPeer();
    const lis = t.host.sys.socket(2, 1, 0);
    t.host.sys.bind(lis, 0, 80);
    t.host.sys.listen(lis, 4);
    t.port = 80;
    t.send({ seq: 0, flags: "S", options: mssOption(1000) }, [], { options });
    assertEquals(t.take().map((s) => s.flags), ["SA"], what);
    t.send({ seq: 1, ack: 1 }, [], { options });
    const fd = t.host.sys.accept(lis);
    t.send({ seq: 1, ack: 1, flags: "PA" }, [1, 2, 3], { options });
    // What the answers carry of them takes room from each segment.
    const echoed = what === "record route" || what === "timestamp" ? options.length : 0;
    assertEquals([t.read(fd, 10), t.tp(fd).mssCache], [3, 1000 - echoed], what);
    t.send({ seq: 4, ack: 1, flags: "FA" }, [], { options });
    assertEquals(t.read(fd, 10), 0, what);
  }
});
