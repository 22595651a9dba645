/** The Node face over stream sockets without a network; stack_test.ts runs it over TCP. */
import { once } from "node:events";
import type * as nodenet from "node:net";
import type { Duplex } from "node:stream";
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Net } from "../../../core/mod.ts";
import {
  connect,
  type ConnectOptions,
  createServer,
  type DropArgument,
  type NodeError,
  nodeNet,
  type Server,
  Socket,
} from "../../../plugins/socket/node/mod.ts";
import { FakeHosts } from "../../support/fakes/stream_hosts.ts";

// The type test: where Node's are taken, ours are.
type Assignable<From extends To, To> = [From, To];
export type _Duplex = Assignable<Socket, Duplex>;
export type _Looks = Assignable<
  Socket,
  Pick<
    nodenet.Socket,
    "connecting" | "pending" | "readyState" | "bytesRead" | "bytesWritten" | "address" | "destroySoon"
  >
>;
export type _Server = Assignable<Server, Pick<nodenet.Server, "address" | "listening">>;

const B80: ConnectOptions = { host: "10.0.0.2", port: 80 };

/** A server on b:80 and a connection to it from a. */
async function pair(t: FakeHosts, options: Partial<ConnectOptions> = {}): Promise<[Socket, Socket, Server]> {
  const server = createServer(t.b, options).listen(80);
  const client = connect(t.a, { ...B80, ...options });
  const [accepted] = await once(server, "connection");
  if (client.connecting) await once(client, "connect");
  return [client, accepted, server];
}

async function end(server: Server, ...sockets: Socket[]): Promise<void> {
  for (const s of sockets) s.destroy();
  if (!server.listening) return;
  server.close();
  await once(server, "close");
}

const failure = (net: Net, options: ConnectOptions): Promise<NodeError> =>
  new Promise((resolve, reject) => connect(net, options, () => reject("connected")).on("error", resolve));

Deno.test("connect, look, talk, end: the events in Node's order", async () => {
  using t = new FakeHosts();
  const events: string[] = [];
  const note = (who: string, s: Socket): Socket => {
    for (const name of ["connect", "ready", "end", "finish", "close"]) {
      s.on(name, (arg) => events.push(`${who} ${name}${arg === undefined ? "" : ` ${arg}`}`));
    }
    return s;
  };
  const server = createServer(t.b, { allowHalfOpen: true }, (s) => {
    note("server", s).on("data", (d) => s.write(d)).on("end", () => s.end("bye"));
  });
  assertEquals([server.listening, server.address()], [false, null]);
  server.listen(80, "10.0.0.2", () => events.push("listening"));
  await once(server, "listening");
  assertEquals(server.address(), { address: "10.0.0.2", family: "IPv4", port: 80 });
  const client = note("client", connect(t.a, 80, "10.0.0.2"));
  assertEquals([client.connecting, client.pending, client.readyState, client.address()], [true, true, "opening", {}]);
  client.write("early");
  await once(client, "ready");
  assertEquals([client.connecting, client.pending, client.readyState], [false, false, "open"]);
  assertEquals(client.address(), { address: "10.0.0.1", family: "IPv4", port: client.localPort! });
  assertEquals([client.remoteAddress, client.remotePort, client.remoteFamily], ["10.0.0.2", 80, "IPv4"]);
  client.setEncoding("utf8").end(" late");
  let text = "";
  for await (const chunk of client) text += chunk;
  assertEquals([text, client.bytesRead, client.bytesWritten], ["early latebye", 13, 10]);
  await Promise.all([once(client, "close"), end(server)]);
  const of = (who: string) => events.filter((e) => e.startsWith(who));
  assertEquals(of("client"), ["connect", "ready", "finish", "end", "close false"].map((e) => `client ${e}`));
  assertEquals(of("server"), ["end", "finish", "close false"].map((e) => `server ${e}`));
  assertEquals([events[0], events.length], ["listening", 9]);
  assertEquals([t.streams.open.size, client.readyState, client.remoteAddress], [0, "closed", "10.0.0.2"]);
});

Deno.test("without allowHalfOpen the writable ends with the readable", async () => {
  using t = new FakeHosts();
  const [client, accepted, server] = await pair(t);
  client.end("all");
  accepted.resume();
  await once(client.resume(), "close");
  assertEquals([client.readableEnded, accepted.writableFinished], [true, true]);
  await end(server);
  assertEquals(t.streams.open.size, 0);
});

Deno.test("errors have Node's code, syscall, address, port and message", async () => {
  using t = new FakeHosts();
  const refused = await failure(t.a, { host: "10.0.0.2", port: "81" });
  assertEquals(refused.message, "connect ECONNREFUSED 10.0.0.2:81");
  assertEquals(
    [refused.code, refused.errno, refused.syscall, refused.address, refused.port],
    ["ECONNREFUSED", -111, "connect", "10.0.0.2", 81],
  );
  assertEquals((await failure(t.a, { host: "10.0.0.255", port: 81 })).code, "ENETUNREACH");
  const unknown = await failure(t.a, { host: "example.com", port: 81 });
  assertEquals([unknown.code, unknown.syscall], ["ENOTFOUND", "getaddrinfo"]);
  assertEquals((await failure(t.a, { host: "::1", port: 81 })).code, "EAFNOSUPPORT");
  assertEquals((await failure(t.a, { host: "10.0.0.2", port: 81, localAddress: "10.9.9.9" })).syscall, "bind");
  assertThrows(() => connect(t.a, 70000), RangeError, "70000");
  assertThrows(() => connect(t.a, "/tmp/x"), TypeError, "there are no local sockets");
  assertThrows(() => connect(t.a, {} as ConnectOptions), TypeError, "it takes a port");

  const first = createServer(t.b).listen(80);
  const second = createServer(t.b).listen({ port: 80 });
  const [error] = await once(second, "error") as [NodeError];
  assertEquals(error.message, "listen EADDRINUSE: address in use 0.0.0.0:80");
  assertEquals([error.code, error.syscall, error.address, error.port], ["EADDRINUSE", "listen", "0.0.0.0", 80]);
  assertThrows(() => first.listen(81), Error, "listens already");
  const late = await new Promise<NodeError>((resolve) => second.close((e) => resolve(e as NodeError)));
  assertEquals(late.code, "ERR_SERVER_NOT_RUNNING");
  await end(first);
  assertEquals(t.streams.open.size, 0);
});

Deno.test("a lookup resolves names; the event tells it", async () => {
  using t = new FakeHosts();
  const server = createServer(t.b, (s) => s.end()).listen(80);
  const client = connect(t.a, {
    host: "b.example",
    port: 80,
    lookup: (_name, _options, done) => queueMicrotask(() => done(null, "10.0.0.2", 4)),
  });
  const told = await once(client, "lookup");
  assertEquals(told, [null, "10.0.0.2", 4, "b.example"]);
  await once(client.resume(), "close");
  const nobody = new Error("nobody knows");
  const error = await failure(t.a, { host: "c.example", port: 80, lookup: (_n, _o, done) => done(nobody, "") });
  assertEquals(error, nobody);
  await end(server);
});

Deno.test("a reset is ECONNRESET at the reader, EPIPE or ECONNRESET at the writer", async () => {
  using t = new FakeHosts();
  const [client, accepted, server] = await pair(t);
  accepted.resetAndDestroy();
  const [error] = await once(client, "error") as [NodeError];
  assertEquals([error.message, error.code, error.syscall], ["read ECONNRESET", "ECONNRESET", "read"]);
  const [hadError] = await once(client, "close");
  assertEquals([hadError, accepted.destroyed], [true, true]);
  await end(server);
  const [c2, a2, s2] = await pair(t, { allowHalfOpen: true });
  a2.destroy();
  await once(c2.resume(), "end");
  c2.write("x");
  c2.write("y");
  const [late] = await once(c2, "error") as [NodeError];
  assert(["EPIPE", "ECONNRESET"].includes(late.code));
  await end(s2);
});

Deno.test("who does not read holds the writer; drain comes when there is room", async () => {
  using t = new FakeHosts(1000);
  const [client, accepted, server] = await pair(t, { highWaterMark: 1000 });
  accepted.pause();
  let sent = 0;
  while (client.write(new Uint8Array(500))) sent += 500;
  sent += 500;
  for (let i = 0; i < 10; i++) {
    const drained = await Promise.race([
      once(client, "drain").then(() => true),
      new Promise<boolean>((r) => setTimeout(() => r(false), 5)),
    ]);
    if (!drained) break;
    while (client.write(new Uint8Array(500))) sent += 500;
    sent += 500;
  }
  assert(sent < 6000, `${sent} bytes were taken`);
  assert(client.writableNeedDrain);
  let got = 0;
  accepted.on("data", (d) => got += d.length).resume();
  await once(client, "drain");
  client.end();
  await once(accepted, "end");
  assertEquals([got, client.bytesWritten], [sent, sent]);
  await end(server, client);
});

Deno.test("many pieces go as one: cork, and nothing is copied twice or lost", async () => {
  using t = new FakeHosts(300);
  const [client, accepted, server] = await pair(t);
  const pieces = Array.from({ length: 50 }, (_, i) => new Uint8Array(i * 3).fill(i));
  client.cork();
  for (const p of pieces) client.write(p);
  client.write("");
  client.uncork();
  client.end();
  const got: number[] = [];
  for await (const chunk of accepted) got.push(...chunk);
  assertEquals(got, pieces.flatMap((p) => [...p]));
  await end(server, client);
});

Deno.test("setTimeout() counts idle time on the machine's clock, and closes nothing", async () => {
  using t = new FakeHosts();
  const [client, accepted, server] = await pair(t);
  accepted.resume();
  let timeouts = 0;
  client.setTimeout(1000, () => timeouts++);
  client.on("timeout", () => timeouts++);
  t.machine.advance(900e6);
  client.write("alive");
  await new Promise((r) => setTimeout(r, 0));
  t.machine.advance(900e6);
  await new Promise((r) => setTimeout(r, 0));
  assertEquals(timeouts, 0);
  t.machine.advance(200e6);
  await once(client, "timeout");
  assertEquals([timeouts, client.destroyed, client.timeout], [2, false, 1000]);
  client.setTimeout(0);
  t.machine.advance(5e9);
  assertEquals([timeouts, t.machine.hrtimers.armed], [2, 0]);
  await end(server, client, accepted);
});

Deno.test("options, chaining, ref and unref", async () => {
  using t = new FakeHosts();
  const server = createServer(t.b, { noDelay: true, keepAlive: true, keepAliveInitialDelay: 9000 }).listen(80);
  const client = connect(t.a, { ...B80, noDelay: true }).setKeepAlive(true, 5500).ref().unref();
  const [accepted] = await once(server, "connection") as [Socket];
  assertEquals(accepted.server, server);
  const options = [...t.streams.open].filter((e) => e.state === "connected").map((e) => [...e.options]);
  assertEquals(options, [[["6.1", 1], ["1.9", 1], ["6.4", 5]], [["6.1", 1], ["1.9", 1], ["6.4", 9]]]);
  client.setNoDelay(false).setKeepAlive(false);
  await end(server.unref().ref(), client, accepted);
});

Deno.test("maxConnections drops; getConnections() counts; close() waits for the last", async () => {
  using t = new FakeHosts();
  const server = createServer(t.b).listen(80);
  server.maxConnections = 1;
  const first = connect(t.a, B80);
  await once(server, "connection");
  const second = connect(t.a, B80).resume();
  const refused = once(second, "close");
  const [drop] = await once(server, "drop") as [DropArgument];
  assertEquals([drop.localPort, drop.remoteAddress, drop.remotePort], [80, "10.0.0.1", second.localPort]);
  await refused;
  assertEquals(await new Promise((resolve) => server.getConnections((_, n) => resolve(n))), 1);
  let closed = false;
  server.close(() => closed = true);
  await new Promise((r) => setTimeout(r, 0));
  assertEquals([server.listening, closed], [false, false]);
  first.resume().end();
  await once(server, "close");
  assert(closed);
});

Deno.test("signals, and a net that ends, leave nothing behind", async () => {
  const t = new FakeHosts();
  const abort = new AbortController();
  const waiting = connect(t.a, { host: "10.0.0.2", port: 9, signal: abort.signal });
  const server = createServer(t.b).listen({ port: 80, signal: abort.signal });
  await new Promise((r) => setTimeout(r, 0));
  assertEquals([waiting.connecting, t.streams.open.size], [true, 2]);
  abort.abort();
  const [error] = await once(waiting, "error");
  assertEquals([error.name, waiting.connecting, server.listening, t.streams.open.size], [
    "AbortError",
    false,
    false,
    0,
  ]);
  const early = new Socket(t.a, { signal: AbortSignal.abort() });
  assertEquals((await once(early, "error"))[0].name, "AbortError");
  const [client, accepted] = await pair(t);
  t[Symbol.dispose]();
  await Promise.all([once(client, "close"), once(accepted, "close")]);
  assertEquals(t.streams.open.size, 0);
});

Deno.test("a socket can connect again after it was closed", async () => {
  using t = new FakeHosts();
  const [client, accepted, server] = await pair(t);
  accepted.end("one");
  let text = "";
  client.on("data", (d) => text += d);
  await once(client, "close");
  client.connect(B80);
  const [second] = await once(server, "connection") as [Socket];
  second.end("two");
  await once(client, "close");
  assertEquals(text, "onetwo");
  await end(server);
});

Deno.test("what a listener throws is the application's error, not the machine's", async () => {
  using t = new FakeHosts();
  const [client, accepted, server] = await pair(t);
  const thrown = new Promise<unknown>((resolve) => {
    addEventListener("error", (event) => {
      event.preventDefault();
      resolve(event.error.message);
    }, { once: true });
  });
  client.once("data", () => {
    throw new Error("mine");
  });
  accepted.write("x");
  assertEquals(await thrown, "mine");
  assertEquals(t.machine.faults, []);
  await end(server, client, accepted);
});

Deno.test("nodeNet() is the module of a net", async () => {
  using t = new FakeHosts();
  const here = nodeNet(t.a), there = nodeNet(t.b);
  const server = there.createServer((s: Socket) => s.pipe(s)).listen(80);
  const client = new here.Socket().connect(80, "10.0.0.2");
  assert(client instanceof Socket);
  client.end("echo");
  let text = "";
  for await (const chunk of client) text += chunk;
  assertEquals(text, "echo");
  here.createConnection(80, "10.0.0.2").on("connect", function (this: Socket) {
    this.end();
  }).resume();
  await once(server, "connection");
  server.close();
  await once(server, "close");
  await using other = new there.Server({}, () => {}).listen({ port: 0, host: "localhost" });
  assertEquals(other.address()!.address, "127.0.0.1");
});
