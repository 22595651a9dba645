/** RFC 9293 sections 3.4.1, 3.5, 3.9.1.1 and 3.9.2.3: initial sequence numbers, opens, addresses. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { errnoName } from "../../../../core/mod.ts";
import {
  AF_INET,
  msgHdr,
  SO_ERROR,
  SO_REUSEADDR,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../../../plugins/transport/sock/mod.ts";
import {
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
} from "../../../../plugins/transport/tcp/contract.ts";
import { twoHosts } from "../../../support/hosts.ts";
import { tcpConnection, tcpListen } from "../../../support/tcp.ts";
import { mssOption } from "../../../support/tcp_peer.ts";
import { dotted, HOST_IP, PORT, type Sent, Tun } from "../../../support/tcp_tun.ts";

const PEER = 0x0a000002;

function socket(t: Tun): number {
  return t.host.sys.socket(AF_INET, SOCK_STREAM, 0);
}

/** A connect() under way: the descriptor, and its SYN. */
function connecting(t: Tun, addr = PEER, port = 80, fd = socket(t)): { fd: number; syn: Sent } {
  assertEquals(errnoName(t.host.sys.connect(fd, addr, port)), "EINPROGRESS");
  const [syn] = t.take();
  assertEquals(syn.flags, "S");
  return { fd, syn };
}

/** Where segments of the peer at port 80 go. */
const back = (syn: Sent) => ({ src: dotted(syn.dst), sport: syn.dport, dport: syn.sport, dst: dotted(syn.src) });

Deno.test("[MUST-8] initial sequence numbers of one pair of addresses and ports go by a clock, a tick each 64 ns", () => {
  using t = new Tun();
  t.listen();
  const at: [now: number, isn: number][] = [];
  for (let i = 0; i < 40; i++) {
    const { seq } = t.syn();
    at.push([t.machine.now, seq]);
    t.send({ seq: 1001, flags: "R" });
    t.machine.advance(1e6 * (i + 1));
  }
  for (let i = 1; i < at.length; i++) {
    const ticks = (at[i][0] - at[i - 1][0]) / 64;
    const step = (at[i][1] - at[i - 1][1]) | 0;
    assert(Math.abs(step - ticks) <= 2, `${step} in ${ticks} ticks`);
  }
});

Deno.test("[MUST-9] [SHLD-1] the number depends on each address and port, and on a secret of the machine", () => {
  const isn = (seed: number, segment: { src?: string; sport?: number; dport?: number } = {}): number => {
    using t = new Tun({ seed });
    t.listen(16, 80);
    t.listen(16, 81);
    return t.syn(segment).seq;
  };
  const base = isn(1);
  assertEquals(isn(1), base);
  const others = [isn(1, { src: "10.0.0.3" }), isn(1, { sport: 4001 }), isn(1, { dport: 81 }), isn(2), isn(3)];
  assertEquals(new Set([base, ...others]).size, 6);
  // What one secret makes of two tuples says nothing about another secret.
  const gap = (seed: number): number => (isn(seed, { sport: 4001 }) - isn(seed)) | 0;
  assertEquals(new Set([1, 2, 3, 4].map(gap)).size, 4);
});

Deno.test("[MUST-10] simultaneous open: crossing SYNs, each answered by a SYN-ACK, make one connection", () => {
  using t = new Tun();
  const { fd, syn } = connecting(t);
  const synack = t.ask({ ...back(syn), seq: 700, flags: "S", options: mssOption(1000) });
  assertEquals([synack.flags, synack.seq, synack.ack], ["SA", syn.seq, 701]);
  assertEquals(t.tp(fd).sk.state, TCP_SYN_RECV);
  t.send({ ...back(syn), seq: 700, ack: syn.seq + 1, flags: "SA", options: mssOption(1000) });
  assertEquals([t.tp(fd).sk.state, t.host.sys.connect(fd, PEER, 80)], [TCP_ESTABLISHED, 0]);
  t.write(fd, 2000);
  assertEquals(
    t.take().filter((s) => s.len > 0).map((s) => [s.seq, s.len]),
    [
      [syn.seq + 1, 1000],
      [syn.seq + 1001, 1000],
    ].map(([seq, len]) => [seq | 0, len]),
  );
});

Deno.test("[MUST-11] a RST in SYN-RECEIVED: of a passive open back to LISTEN, of an active one an error for the user", () => {
  using t = new Tun();
  const lis = t.listen();
  const synack = t.syn();
  assertEquals([t.counts().requests, synack.flags], [1, "SA"]);
  assertEquals(t.flags({ seq: 1001, flags: "R" }), []);
  assertEquals([t.counts().requests, t.tp(lis).sk.state, t.host.sys.poll(lis)], [0, TCP_LISTEN, 0]);
  assertEquals(t.host.sys.getsockopt(lis, SOL_SOCKET, SO_ERROR), 0);
  // It still listens.
  assertEquals(t.syn({ sport: 4001 }).flags, "SA");

  const { fd, syn } = connecting(t);
  t.ask({ ...back(syn), seq: 700, flags: "S" });
  assertEquals(t.tp(fd).sk.state, TCP_SYN_RECV);
  assertEquals(t.flags({ ...back(syn), seq: 701, ack: syn.seq + 1, flags: "RA" }), []);
  // Linux says ECONNRESET here, and ECONNREFUSED in SYN-SENT alone.
  assertEquals([t.tp(fd).sk.state, t.host.sys.getsockopt(fd, SOL_SOCKET, SO_ERROR)], [TCP_CLOSE, 104]);
});

Deno.test("[MUST-41] a second passive open of a port fails, and connections of the port do not notice", () => {
  using t = new Tun();
  const { sys } = t.host;
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis);
  t.syn({ sport: 4001 });
  const other = socket(t);
  assertEquals(errnoName(sys.bind(other, 0, PORT)), "EADDRINUSE");
  // With SO_REUSEADDR it may be bound, not listened on.
  const second = socket(t);
  for (const s of [lis, second]) assertEquals(sys.setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  const bound = sys.bind(second, 0, PORT);
  assertEquals(errnoName(bound === 0 ? sys.listen(second, 4) : bound), "EADDRINUSE");
  assertEquals([t.tp(fd).sk.state, t.tp(lis).sk.state, t.counts().requests], [TCP_ESTABLISHED, TCP_LISTEN, 1]);
  t.send({ seq: 1001, ack: synack.seq + 1, flags: "PA", payload: [1, 2, 3] });
  assertEquals(t.read(fd, 10), 3);
});

Deno.test("[MUST-42] a port is listened on while a connection from it is in SYN-SENT, and in SYN-RECEIVED", () => {
  for (const crossed of [false, true]) {
    using t = new Tun();
    const { sys } = t.host;
    const fd = socket(t);
    assertEquals(sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assertEquals(sys.bind(fd, 0, PORT), 0);
    const { syn } = connecting(t, PEER, 9000, fd);
    if (crossed) assertEquals(t.flags({ ...back(syn), seq: 700, flags: "S" }), ["SA"]);
    assertEquals(t.tp(fd).sk.state, crossed ? TCP_SYN_RECV : TCP_SYN_SENT);
    const lis = socket(t);
    assertEquals(sys.setsockopt(lis, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assertEquals([sys.bind(lis, 0, PORT), sys.listen(lis, 4)], [0, 0]);
    // Each gets what is its own.
    assert(t.accepted(lis, { sport: 4000 }).fd > 0);
    t.take();
    t.send({ ...back(syn), seq: crossed ? 701 : 700, ack: syn.seq + 1, flags: crossed ? "A" : "SA" });
    assertEquals([t.tp(fd).sk.state, t.tp(lis).sk.state], [TCP_ESTABLISHED, TCP_LISTEN]);
  }
});

Deno.test("[MUST-42] a listener takes a second SYN while the first one's connection is in SYN-RECEIVED", () => {
  using t = new Tun();
  const lis = t.listen();
  const first = t.syn({ sport: 4000 });
  const second = t.syn({ sport: 4001 });
  assertEquals(t.counts().requests, 2);
  for (const [sport, synack] of [[4001, second], [4000, first]] as const) {
    t.send({ sport, seq: 1001, ack: synack.seq + 1, flags: "A" });
    assert(t.host.sys.accept(lis) > 0);
  }
});

Deno.test("[MUST-43] bind() names the local address of an active and of a passive open", () => {
  using t = new Tun();
  const { sys } = t.host;
  t.host.addr.add("tun0", "10.0.0.7/8");
  const fd = socket(t);
  assertEquals(sys.bind(fd, 0x0a000007, 0), 0);
  const { syn } = connecting(t, PEER, 80, fd);
  assertEquals(dotted(syn.src), "10.0.0.7");
  const lis = socket(t);
  assertEquals([sys.bind(lis, 0x0a000007, PORT), sys.listen(lis, 4)], [0, 0]);
  assertEquals(t.syn({ dst: "10.0.0.7" }).flags, "SA");
  assertEquals(t.flags({ seq: 1000, flags: "S", dst: "10.0.0.1" }), ["RA"]);
  assertEquals(errnoName(sys.bind(socket(t), 0x0a000063, 0)), "EADDRNOTAVAIL");
});

Deno.test("[MUST-44] without a local address the route's is taken before the SYN is sent", () => {
  using t = new Tun();
  t.host.addr.add("tun0", "192.168.7.1/24");
  t.host.addr.add("tun0", "172.16.0.9/16");
  for (const [to, from] of [[PEER, "10.0.0.1"], [0xc0a80705, "192.168.7.1"], [0xac100102 | 0, "172.16.0.9"]] as const) {
    const { fd, syn } = connecting(t, to | 0);
    assertEquals(dotted(syn.src), from);
    const name = { addr: 0, port: 0 };
    t.host.sys.getsockname(fd, name);
    assertEquals([dotted(name.addr), name.port], [from, syn.sport]);
  }
});

Deno.test("[MUST-45] each segment has the address that the connection began with, whatever routes and addresses say", () => {
  using t = new Tun();
  const lis = t.listen();
  t.host.addr.add("tun0", "10.0.0.7/8");
  const { fd, synack } = t.accepted(lis, { dst: "10.0.0.7", options: mssOption(1460) });
  assertEquals(dotted(synack.src), "10.0.0.7");
  const { fd: own, syn } = connecting(t);
  t.send({ ...back(syn), seq: 0, ack: syn.seq + 1, flags: "SA" });
  t.take();
  // What a new connection would take from now on.
  t.host.addr.add("tun0", "10.0.0.9/32");
  t.host.route.add("10.0.0.2/32", { dev: "tun0", src: "10.0.0.9" });
  assertEquals(dotted(connecting(t, PEER, 81).syn.src), "10.0.0.9");
  t.take();
  for (const [s, port, from] of [[fd, PORT, "10.0.0.7"], [own, syn.sport, dotted(HOST_IP)]] as const) {
    t.write(s, 3000);
    t.host.sys.shutdown(s, 1);
    const seen = t.after(500).filter((x) => x.sport === port);
    assert(seen.length > 3);
    assertEquals([...new Set(seen.map((x) => dotted(x.src)))], [from]);
    t.host.sys.close(s);
    t.take();
  }
});

Deno.test("[MUST-46] connect() to broadcast, multicast and nobody's addresses is an error at once, without a segment", () => {
  using t = new Tun();
  for (const addr of [0xffffffff, 0x0affffff, 0xe0000001, 0xe9010203, 0xf0000001]) {
    const fd = socket(t);
    const result = t.host.sys.connect(fd, addr | 0, 80);
    assert(result < 0 && errnoName(result) !== "EINPROGRESS", `${dotted(addr)}: ${errnoName(result)}`);
    assertEquals([t.tp(fd).sk.state, t.take()], [TCP_CLOSE, []], dotted(addr));
  }
});

Deno.test("[MUST-57] nothing that came to a broadcast or multicast address is answered or taken", () => {
  using t = new Tun();
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis);
  for (const dst of ["255.255.255.255", "10.255.255.255", "224.0.0.1", "239.1.2.3"]) {
    for (const flags of ["S", "A", "SA", "FA", "PA", "R"]) {
      assertEquals(t.flags({ dst, seq: 1001, ack: synack.seq + 1, flags, payload: [1] }), [], `${dst} ${flags}`);
      assertEquals(t.flags({ dst, sport: 5000, seq: 1001, ack: 5, flags }), [], `${dst} ${flags}`);
    }
  }
  assertEquals([t.counts().requests, t.tp(fd).sk.state, t.read(fd, 10)], [0, TCP_ESTABLISHED, -11]);
});

Deno.test("[MUST-63] a SYN from a broadcast, multicast or loopback address, or from ourselves, opens nothing", () => {
  using t = new Tun();
  t.listen();
  for (
    const src of ["255.255.255.255", "10.255.255.255", "224.0.0.1", "239.1.2.3", "127.0.0.1", "10.0.0.1", "0.0.0.0"]
  ) {
    assertEquals([t.flags({ src, seq: 1000, flags: "S" }), t.counts().requests], [[], 0], src);
  }
  assertEquals(t.syn().flags, "SA");
});

Deno.test("[MUST-44] [MUST-45] over a wire both ends agree about addresses and ports", () => {
  using t = twoHosts({ neigh: true });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
  const [c, s] = [{ addr: 0, port: 0 }, { addr: 0, port: 0 }];
  t.a.sys.getsockname(client.fd, c);
  t.b.sys.getpeername(server.fd, s);
  assertEquals(c, s);
  t.b.sys.getsockname(server.fd, s);
  assertEquals(s, { addr: PEER, port: 80 });
  assertNotEquals(c.port, 0);
  t.a.sys.sendmsg(client.fd, msgHdr(new Uint8Array(10)), 0);
  const lis = tcpListen(t.b, 81);
  t.b.sys.close(lis);
  client.close();
  server.close();
  t.machine.runUntilIdle(120e9);
});
