/** The Deno face over stream sockets without a network; stack_test.ts runs it over TCP. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotStrictEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import {
  AddrInUse,
  AddrNotAvailable,
  BadResource,
  BrokenPipe,
  connect,
  ConnectionRefused,
  ConnectionReset,
  type ConnectOptions,
  Interrupted,
  listen,
  type ListenOptions,
  NetworkUnreachable,
  type TcpAddr,
  type TcpConn,
  type TcpListener,
} from "../../../plugins/socket/deno/mod.ts";
import { SYSCALL } from "../../../plugins/socket/syscall/mod.ts";
import { FakeHosts } from "../../support/fakes/stream_hosts.ts";

// The type test: what Deno's functions take and give is what ours take and give.
type Assignable<From extends To, To> = [From, To];
export type _Conn = Assignable<TcpConn, Deno.TcpConn>;
export type _AnyConn = Assignable<TcpConn, Deno.Conn>;
export type _Listener = Assignable<TcpListener, Deno.TcpListener>;
export type _AnyListener = Assignable<TcpListener, Deno.Listener>;
export type _Addr = Assignable<TcpAddr, Deno.NetAddr>;
export type _Connect = Assignable<Deno.ConnectOptions, ConnectOptions>;
export type _Listen = Assignable<Deno.TcpListenOptions & { transport?: "tcp" }, ListenOptions>;

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (p: Uint8Array) => new TextDecoder().decode(p);
const turn = () => new Promise<void>((r) => setTimeout(r, 0));

async function pair(t: FakeHosts): Promise<[TcpConn, TcpConn]> {
  using listener = listen(t.b, { port: 80 });
  const client = await connect(t.a, { hostname: "10.0.0.2", port: 80 });
  return [client, await listener.accept()];
}

async function readText(conn: TcpConn, room = 100): Promise<string | null> {
  const p = new Uint8Array(room);
  const n = await conn.read(p);
  return n === null ? null : text(new Uint8Array(p.buffer, 0, n));
}

Deno.test("a connection: addresses, bytes both ways, the end", async () => {
  using t = new FakeHosts();
  using listener: Deno.TcpListener = listen(t.b, { port: 80 });
  assertEquals(listener.addr, { transport: "tcp", hostname: "0.0.0.0", port: 80 });
  using client: Deno.TcpConn = await connect(t.a, { hostname: "10.0.0.2", port: 80, transport: "tcp" });
  using server: Deno.Conn = await listener.accept();
  assertEquals([server.localAddr, server.remoteAddr], [client.remoteAddr, client.localAddr]);
  assertEquals(client.remoteAddr, { transport: "tcp", hostname: "10.0.0.2", port: 80 });
  assertEquals(await client.write(bytes("ping")), 4);
  assertEquals(await readText(server as TcpConn), "ping");
  assertEquals(await server.write(bytes("pong")), 4);
  assertEquals(await readText(client as TcpConn, 2), "po");
  assertEquals(await readText(client as TcpConn), "ng");
  assertEquals([await client.read(new Uint8Array(0)), await client.write(new Uint8Array(0))], [0, 0]);
  client.close();
  assertEquals([await readText(server as TcpConn), await readText(server as TcpConn)], [null, null]);
  server.close();
  assertEquals(t.streams.open.size, 1);
});

Deno.test("[R24] calls that can be served resolve in the same turn, one microtask later", async () => {
  using t = new FakeHosts();
  const [client, server] = await pair(t);
  const order: string[] = [];
  setTimeout(() => order.push("turn"), 0);
  const p = new Uint8Array(10);
  for (let i = 0; i < 3; i++) {
    const read = server.read(p).then(() => order.push("read"));
    await client.write(bytes("x")).then(() => order.push("write"));
    await read;
  }
  assertEquals(order.length, 6);
  assert(!order.includes("turn"));
  await turn();
});

Deno.test("reads are served in order, each by what is there", async () => {
  using t = new FakeHosts();
  const [client, server] = await pair(t);
  const reads = [readText(server), readText(server), readText(server), readText(server)];
  for (const s of ["a", "bc", "d"]) await client.write(bytes(s));
  await client.closeWrite();
  assertEquals(await Promise.all(reads), ["a", "bc", "d", null]);
});

Deno.test("write() resolves when all is in the send buffer: who does not read holds the writer", async () => {
  using t = new FakeHosts(1000);
  const [client, server] = await pair(t);
  const done: number[] = [];
  const writes = [1500, 600, 10].map((n, i) =>
    client.write(new Uint8Array(n).fill(i + 1)).then((sent) => done.push(sent))
  );
  const closed = client.closeWrite().then(() => done.push(0));
  await turn();
  assertEquals(done, [1500], "the peer's buffer and ours hold 2,000 bytes");
  const got: number[] = [];
  const p = new Uint8Array(100);
  for (let n = await server.read(p); n !== null; n = await server.read(p)) got.push(...p.slice(0, n));
  await Promise.all([...writes, closed]);
  assertEquals(done, [1500, 600, 10, 0]);
  assertEquals(got.length, 2110);
  assertEquals([1, 2, 3].map((v) => got.indexOf(v)), [0, 1500, 2100]);
});

Deno.test("what comes at the exit of the call that found nothing is not missed", async () => {
  using t = new FakeHosts(100);
  const [client, server] = await pair(t);
  const sys = t.b.get(SYSCALL);
  const { recvmsg, sendmsg, accept } = sys;
  const later: (() => unknown)[] = [];
  const hooked = (rc: number): number => {
    if (rc === -ERRNO.EAGAIN) later.splice(0).forEach((fn) => fn());
    return rc;
  };
  sys.recvmsg = (fd, msg, flags) => hooked(recvmsg(fd, msg, flags));
  sys.sendmsg = (fd, msg, flags) => hooked(sendmsg(fd, msg, flags));
  sys.accept = (fd) => hooked(accept(fd));
  later.push(() => client.write(bytes("late")));
  assertEquals(await readText(server), "late");
  let got = 0;
  const drain = (): Promise<void> => client.read(new Uint8Array(1000)).then((n) => void (got += n!));
  later.push(drain);
  const write = server.write(new Uint8Array(250));
  await turn();
  while (got < 250) await drain();
  assertEquals(await write, 250);
  using listener = listen(t.b, { port: 81 });
  later.push(() => connect(t.a, { hostname: "10.0.0.2", port: 81 }));
  assertEquals((await listener.accept()).localAddr.port, 81);
});

Deno.test("close() rejects what waits, as Deno's does", async () => {
  using t = new FakeHosts(100);
  const [client] = await pair(t);
  const waiting = [
    [client.read(new Uint8Array(1)), "Cannot read: the connection was closed"],
    [client.read(new Uint8Array(1)), "Cannot read: the connection was closed"],
    [client.write(new Uint8Array(1000)), "Cannot write: the connection was closed"],
    [client.closeWrite(), "Cannot write: the connection was closed"],
  ] as const;
  client.close();
  for (const [promise, message] of waiting) {
    const error = await assertRejects(() => promise, Interrupted, message);
    assertEquals([error.code, error instanceof Deno.errors.Interrupted], ["EINTR", true]);
  }
  await assertRejects(() => client.read(new Uint8Array(1)), BadResource, "Cannot read: the connection is closed");
  await assertRejects(() => client.write(new Uint8Array(1)), BadResource);
  await assertRejects(() => client.closeWrite(), BadResource);
  assertThrows(() => client.close(), BadResource);
  assertThrows(() => client.setNoDelay(), BadResource);
  client.ref();
  client[Symbol.dispose]();
  assertEquals(client.remoteAddr.port, 80);
});

Deno.test("half close: the other way stays open", async () => {
  using t = new FakeHosts();
  const [client, server] = await pair(t);
  await client.write(bytes("all"));
  await client.closeWrite();
  assertEquals([await readText(server), await readText(server)], ["all", null]);
  await server.write(bytes("answer"));
  assertEquals(await readText(client), "answer");
  await assertRejects(() => client.write(bytes("x")), BrokenPipe, "Cannot write: broken pipe");
});

Deno.test("a reset is told once, then the end", async () => {
  using t = new FakeHosts();
  const [client, server] = await pair(t);
  await client.write(bytes("never read"));
  const read = client.read(new Uint8Array(1));
  server.close();
  const error = await assertRejects(() => read, ConnectionReset, "Cannot read: connection reset by peer");
  assertInstanceOf(error, Deno.errors.ConnectionReset);
  assertEquals(await client.read(new Uint8Array(1)), null);
  await assertRejects(() => client.write(bytes("x")), BrokenPipe);
});

Deno.test("options and arguments", async () => {
  using t = new FakeHosts();
  const [client] = await pair(t);
  client.setNoDelay();
  client.setKeepAlive();
  client.setKeepAlive(false);
  const [end] = t.streams.open;
  assertEquals([...end.options], [["6.1", 1], ["1.9", 0]]);
  await assertRejects(() => client.read("x" as never), TypeError, "Cannot read into it: expected a Uint8Array");
  await assertRejects(() => client.write(null as never), TypeError, "Cannot write it: expected a Uint8Array, not null");
  await assertRejects(() => connect(t.a, { port: 70000 }), RangeError);
  await assertRejects(() => connect(t.a, { port: 1, hostname: "nowhere" }), TypeError, 'Cannot connect to "nowhere"');
  await assertRejects(() => connect(t.a, { port: 1, transport: "udp" as never }), TypeError);
  await assertRejects(
    () => connect(t.a, { hostname: "10.0.0.2", port: 81 }),
    ConnectionRefused,
    "Cannot connect to 10.0.0.2:81: connection refused",
  );
  await assertRejects(() => connect(t.a, { hostname: "10.0.0.255", port: 81 }), NetworkUnreachable);
  using _first = listen(t.a, { port: 80, hostname: "10.0.0.1" });
  assertThrows(() => listen(t.a, { port: 80, hostname: "10.0.0.1" }), AddrInUse, "Cannot listen on 10.0.0.1:80");
  assertThrows(() => listen(t.a, { port: 80, hostname: "10.9.9.9" }), AddrNotAvailable);
  assertThrows(() => listen(t.a, { port: 1.5 }), RangeError);
  assertEquals(t.streams.open.size, 3, "failures leave nothing behind");
});

Deno.test("an AbortSignal ends the attempt and leaves nothing behind", async () => {
  using t = new FakeHosts();
  const abort = new AbortController();
  const attempt = connect(t.a, { hostname: "10.0.0.2", port: 9, signal: abort.signal });
  await turn();
  assertEquals(t.streams.open.size, 1);
  abort.abort();
  const error = await assertRejects(() => attempt, DOMException);
  assertEquals(error.name, "AbortError");
  assertEquals(t.streams.open.size, 0);
  const why = new Error("why");
  await assertRejects(() => connect(t.a, { port: 9, signal: AbortSignal.abort(why) }), Error, "why");
  assertEquals([t.streams.open.size, t.a.get(SYSCALL).socket(2, 1, 6)], [0, 3]);
  const late = new AbortController();
  using listener = listen(t.b, { port: 80 });
  using conn = await connect(t.a, { hostname: "10.0.0.2", port: 80, signal: late.signal });
  late.abort();
  using server = await listener.accept();
  await conn.write(bytes("alive"));
  assertEquals(await readText(server), "alive");
});

Deno.test("accept() in order; close() ends it and the iterator", async () => {
  using t = new FakeHosts();
  const listener = listen(t.b, { port: 80 });
  const accepts = [listener.accept(), listener.accept()];
  const conns = [];
  for (let i = 0; i < 3; i++) conns.push(await connect(t.a, { hostname: "10.0.0.2", port: 80 }));
  const ports = (await Promise.all(accepts)).map((c) => c.remoteAddr.port);
  assertEquals(ports, conns.slice(0, 2).map((c) => c.localAddr.port));
  const seen: number[] = [];
  const loop = (async () => {
    for await (const conn of listener) seen.push(conn.remoteAddr.port);
  })();
  await turn();
  const more = await connect(t.a, { hostname: "10.0.0.2", port: 80 });
  await turn();
  assertEquals(seen, [conns[2].localAddr.port, more.localAddr.port]);
  const last = listener.accept();
  listener.close();
  await loop;
  await assertRejects(() => last, BadResource, "Cannot accept: the listener is closed");
  await assertRejects(() => listener.accept(), BadResource);
  assertThrows(() => listener.close(), BadResource);
  for await (const _ of listener) assert(false);
});

Deno.test("when the net ends, who waits is told", async () => {
  const t = new FakeHosts();
  const listener = listen(t.b, { port: 80 });
  const attempt = connect(t.a, { hostname: "10.0.0.2", port: 9 });
  const accept = listener.accept();
  t[Symbol.dispose]();
  await assertRejects(() => attempt, Interrupted, "Cannot connect to 10.0.0.2:9: the net has ended");
  await assertRejects(() => accept, BadResource);
  assertEquals(t.streams.open.size, 0);
});

Deno.test("the readable reads when it is asked, takes a BYOB reader, and closes at its end", async () => {
  using t = new FakeHosts(1000);
  const [client, server] = await pair(t);
  assertEquals([server.readable === server.readable, server.writable === server.writable], [true, true]);
  const write = client.write(new Uint8Array(3000).fill(7));
  let written = false;
  write.then(() => written = true);
  const reader = server.readable.getReader({ mode: "byob" });
  await turn();
  assertEquals(written, false, "nobody asked the readable");
  let { value, done } = await reader.read(new Uint8Array(600));
  assertEquals([value?.length, done, value?.buffer.byteLength], [600, false, 600]);
  for (let left = 2400; left > 0; left -= value!.length) ({ value } = await reader.read(new Uint8Array(600)));
  assertEquals(await write, 3000);
  await client.closeWrite();
  ({ done } = await reader.read(new Uint8Array(1)));
  assertEquals(done, true);
  await assertRejects(() => server.write(bytes("x")), BadResource);
});

Deno.test("the streams echo, and the end of the writable closes the connection", async () => {
  using t = new FakeHosts(500);
  const [client, server] = await pair(t);
  const echo = server.readable.pipeTo(server.writable);
  const sent = Uint8Array.from({ length: 5000 }, (_, i) => i);
  const write = client.write(sent).then(() => client.closeWrite());
  assertEquals(new Uint8Array(await new Response(client.readable).arrayBuffer()), sent);
  await Promise.all([write, echo]);
  assertEquals(t.streams.open.size, 0);
});

Deno.test("cancel() and abort() close at once; close() errors the streams", async () => {
  using t = new FakeHosts(100);
  const [client, server] = await pair(t);
  const reader = client.readable.getReader();
  const read = reader.read();
  await reader.cancel();
  assertEquals((await read).done, true);
  assertThrows(() => client.close(), BadResource);
  const held = server.writable.getWriter();
  held.closed.catch(() => {});
  const [c2, s2] = await pair(t);
  const writer = c2.writable.getWriter();
  writer.closed.catch(() => {});
  const write = writer.write(new Uint8Array(1000));
  write.catch(() => {});
  await turn();
  await writer.abort("enough");
  await assertRejects(() => write);
  assertThrows(() => c2.close(), BadResource);
  const waiting = s2.readable.getReader();
  assertEquals((await waiting.read()).value?.length, 100);
  const [c3] = await pair(t);
  const pending = c3.readable.getReader().read();
  await turn();
  c3.close();
  await assertRejects(() => pending, BadResource, "Cannot read: the connection is closed");
  assertNotStrictEquals(held, writer);
  server[Symbol.dispose]();
});
