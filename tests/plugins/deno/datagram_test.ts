import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import {
  AddrInUse,
  AddrNotAvailable,
  BadResource,
  type DatagramConn,
  Interrupted,
  listenDatagram,
  type ListenDatagramOptions,
  MessageTooLong,
  type MulticastMembership,
  NetworkUnreachable,
  NotSupported,
  PermissionDenied,
  type UdpAddr,
} from "../../../plugins/socket/deno/mod.ts";
import { IP_MULTICAST_LOOP, SO_SNDBUF, SOL_IP, SOL_SOCKET } from "../../../plugins/transport/sock/mod.ts";
import { TwoHosts } from "../sock/fake_ip.ts";

// The type test: what Deno's functions take and give is what ours take and give.
type Assignable<From extends To, To> = [From, To];
export type _Conn = Assignable<DatagramConn, Deno.DatagramConn>;
export type _Addr = Assignable<UdpAddr, Deno.NetAddr>;
export type _Member = Assignable<MulticastMembership, Deno.MulticastV4Membership>;
export type _Options = Assignable<Deno.UdpListenOptions & { transport?: "udp" }, ListenDatagramOptions>;

const bytes = (text: string) => new TextEncoder().encode(text);
const text = ([data]: [Uint8Array, UdpAddr]) => new TextDecoder().decode(data);
const B7: UdpAddr = { transport: "udp", hostname: "10.0.0.2", port: 7 };

Deno.test("a datagram there and back", async () => {
  using t = new TwoHosts();
  using server: Deno.DatagramConn & Disposable = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0, hostname: "10.0.0.1", transport: "udp" });
  assertEquals(server.addr, { transport: "udp", hostname: "0.0.0.0", port: 7 });
  assertEquals(client.addr.hostname, "10.0.0.1");
  assertEquals(await client.send(bytes("ping"), B7), 4);
  const [data, from] = await server.receive();
  assertEquals([data, from], [bytes("ping"), client.addr]);
  await server.send(bytes("pong"), from);
  assertEquals(text(await client.receive()), "pong");
});

Deno.test("receive() into a given buffer gives a view of it, cut where it must", async () => {
  using t = new TwoHosts();
  using server = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0 });
  const room = new Uint8Array(8);
  const into = room.subarray(2, 6);
  await client.send(bytes("ab"), B7);
  const [data] = await server.receive(into);
  assertEquals([data, data.buffer === room.buffer, data.byteOffset], [bytes("ab"), true, 2]);
  await client.send(bytes("123456"), B7);
  assertEquals(text(await server.receive(into)), "1234");
  await client.send(new Uint8Array(0), B7);
  assertEquals((await server.receive())[0].length, 0);
  await client.send(new Uint8Array(65507), B7);
  assertEquals((await server.receive())[0].length, 65507);
});

Deno.test("[R24] a wake resolves the read that waits; the next ones find their data there", async () => {
  using t = new TwoHosts();
  using server = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0 });
  let resolved = 0;
  const first = server.receive().then((d) => (resolved++, text(d)));
  t.machine.batch(() => {
    for (const s of ["1", "2", "3"]) client.send(bytes(s), B7);
  });
  const sk = t.sb.sock(3)!;
  assertEquals(sk.receiveQueue.qlen, 2, "one datagram was taken by the one read that waited");
  assertEquals([await first, text(await server.receive()), text(await server.receive())], ["1", "2", "3"]);
  assertEquals(resolved, 1);
});

Deno.test("reads are served in order", async () => {
  using t = new TwoHosts();
  using server = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0 });
  const reads = [server.receive(), server.receive(new Uint8Array(10)), server.receive()];
  for (const s of ["1", "2", "3", "4"]) await client.send(bytes(s), B7);
  assertEquals((await Promise.all(reads)).map(text), ["1", "2", "3"]);
  assertEquals(text(await server.receive()), "4");
});

Deno.test("sends wait for room, in order", async () => {
  using t = new TwoHosts();
  using server = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0 });
  t.sa.setsockopt(3, SOL_SOCKET, SO_SNDBUF, 1);
  const held = t.a.held = [] as NonNullable<typeof t.a.held>;
  const done: number[] = [];
  const sends = Array.from({ length: 20 }, (_, i) => client.send(Uint8Array.of(i), B7).then(() => done.push(i)));
  await new Promise((r) => setTimeout(r, 0));
  assert(done.length > 0 && done.length < 20);
  while (done.length < 20) {
    t.machine.batch(() => held.splice(0).forEach((skb) => skb.consume()));
    await new Promise((r) => setTimeout(r, 0));
  }
  await Promise.all(sends);
  assertEquals(done, Array.from({ length: 20 }, (_, i) => i));
  held.splice(0).forEach((skb) => skb.consume());
  assertEquals(server.addr.port, 7);
});

Deno.test("close() interrupts what waits, as Deno's does", async () => {
  using t = new TwoHosts();
  const conn = listenDatagram(t.b.net, { port: 7 });
  const reads = [conn.receive(), conn.receive()];
  const loop = (async () => {
    for await (const _ of conn) assert(false, "nothing was sent");
    return "done";
  })();
  conn.close();
  for (const read of reads) {
    const error = await assertRejects(() => read, Interrupted, "Cannot receive: the socket was closed");
    assertEquals([error.code, error instanceof Deno.errors.Interrupted], ["EINTR", true]);
  }
  assertEquals(await loop, "done");
  await assertRejects(() => conn.receive(), BadResource, "Cannot receive: the socket is closed");
  await assertRejects(() => conn.send(bytes("x"), B7), BadResource);
  assertThrows(() => conn.close(), BadResource);
  conn[Symbol.dispose]();
  for await (const _ of conn) assert(false);
  using again = listenDatagram(t.b.net, { port: 7 });
  assertEquals(again.addr.port, 7);
});

Deno.test("the iterator gives datagrams until the socket is closed", async () => {
  using t = new TwoHosts();
  const server = listenDatagram(t.b.net, { port: 7 });
  using client = listenDatagram(t.a.net, { port: 0 });
  const got: string[] = [];
  const loop = (async () => {
    for await (const [data] of server) {
      got.push(new TextDecoder().decode(data));
      if (got.length === 3) server.close();
    }
  })();
  for (const s of ["a", "b", "c"]) await client.send(bytes(s), B7);
  await loop;
  assertEquals(got, ["a", "b", "c"]);
});

Deno.test("errors of listenDatagram", () => {
  using t = new TwoHosts();
  using _first = listenDatagram(t.a.net, { port: 80, hostname: "10.0.0.1" });
  const listen = (options: ListenDatagramOptions) => () => listenDatagram(t.a.net, options);
  const error = assertThrows(listen({ port: 80, hostname: "10.0.0.1" }), AddrInUse);
  assertEquals(error.message, "Cannot bind 10.0.0.1:80: address in use");
  assertInstanceOf(error, Deno.errors.AddrInUse);
  assertThrows(listen({ port: 80, hostname: "10.9.9.9" }), AddrNotAvailable, "Cannot bind 10.9.9.9:80");
  assertThrows(listen({ port: 70000 }), RangeError);
  assertThrows(listen({ port: 1.5 }), RangeError);
  assertThrows(listen({ port: 1, hostname: "example.com" }), TypeError, 'Cannot listen on "example.com"');
  assertEquals(t.sa.socket(2, 2, 0), 4, "no descriptor was lost");
  using shared = listenDatagram(t.a.net, { port: 90, reuseAddress: true });
  using other = listenDatagram(t.a.net, { port: 90, reuseAddress: true });
  assertEquals([shared.addr.port, other.addr.port], [90, 90]);
  using local = listenDatagram(t.a.net, { port: 91, hostname: "localhost" });
  assertEquals(local.addr.hostname, "127.0.0.1");
});

Deno.test("errors of send", async () => {
  using t = new TwoHosts();
  using conn = listenDatagram(t.a.net, { port: 1 });
  const send = (hostname: string, port: number, data = bytes("x")) => () =>
    conn.send(data, { transport: "udp", hostname, port });
  await assertRejects(
    send("192.168.0.1", 9),
    NetworkUnreachable,
    "Cannot send to 192.168.0.1:9: network is unreachable",
  );
  await assertRejects(send("10.0.0.255", 9), PermissionDenied, "Cannot send to 10.0.0.255:9: permission denied");
  await assertRejects(send("10.0.0.2", 9, new Uint8Array(70000)), MessageTooLong);
  await assertRejects(send("10.0.0.2", 0), TypeError, "invalid argument");
  await assertRejects(send("nowhere", 9), TypeError, 'Cannot send to "nowhere"');
  using broadcast = listenDatagram(t.a.net, { port: 2, broadcast: true });
  assertEquals(await broadcast.send(bytes("x"), { transport: "udp", hostname: "10.0.0.255", port: 9 }), 1);
});

Deno.test("a pending error is the next call's", async () => {
  using t = new TwoHosts();
  using conn = listenDatagram(t.a.net, { port: 1 });
  const read = conn.receive();
  t.machine.batch(() => t.sa.sock(3)!.owner.error(ERRNO.EHOSTUNREACH));
  t.machine.batch(() => {
    t.sa.sock(3)!.err = ERRNO.EHOSTUNREACH;
    t.machine.wakeLater(t.sa.sock(3)!);
  });
  const error = await assertRejects(() => read, Error, "Cannot receive: no route to host");
  assertEquals((error as { code?: string }).code, "EHOSTUNREACH");
});

Deno.test("multicast: join, leave, loopback, TTL; no IPv6", async () => {
  using t = new TwoHosts();
  using member = listenDatagram(t.b.net, { port: 7 });
  using sender = listenDatagram(t.a.net, { port: 0 });
  assertEquals(t.sb.getsockopt(3, SOL_IP, IP_MULTICAST_LOOP), 0);
  const membership = await member.joinMulticastV4("239.1.1.1", "0.0.0.0");
  assertEquals(t.b.groups.size, 1);
  await sender.send(bytes("all"), { transport: "udp", hostname: "239.1.1.1", port: 7 });
  assertEquals(text(await member.receive()), "all");
  await membership.setLoopback(true);
  await membership.setTTL(3);
  assertEquals(t.sb.getsockopt(3, SOL_IP, IP_MULTICAST_LOOP), 1);
  await assertRejects(() => membership.setTTL(256), TypeError, "Cannot set multicast TTL 256");
  await membership.leave();
  assertEquals(t.b.groups.size, 0);
  await assertRejects(() => membership.leave(), AddrNotAvailable, "Cannot leave group 239.1.1.1");
  await assertRejects(() => member.joinMulticastV4("10.0.0.1", "0.0.0.0"), TypeError);
  await assertRejects(() => member.joinMulticastV4("239.1.1.1", "10.77.0.1"), Error, "no such device");
  await assertRejects(() => member.joinMulticastV6("ff02::1", 0), NotSupported);
});
