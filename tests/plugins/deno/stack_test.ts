/** The Deno face over TCP, between two hosts on a wire. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Host } from "../../../mod.ts";
import {
  BrokenPipe,
  ConnectionRefused,
  ConnectionReset,
  HostUnreachable,
  type TcpConn,
} from "../../../plugins/socket/deno/mod.ts";
import { TCP, type TcpCounts } from "../../../plugins/transport/tcp/mod.ts";
import { type TwoHosts, twoHosts } from "../../support/hosts.ts";

const B = "10.0.0.2";
const bytes = (text: string) => new TextEncoder().encode(text);
const turn = () => new Promise<void>((r) => setTimeout(r, 1));

const hosts = (options: Parameters<typeof twoHosts>[0] = {}): TwoHosts =>
  twoHosts({ ...options, machine: { autoAdvance: true, slabBytes: 64 << 20, ...options.machine } });

async function pair(t: TwoHosts): Promise<[TcpConn, TcpConn]> {
  using listener = t.b.listen({ port: 80 });
  const client = await t.a.connect({ hostname: B, port: 80 });
  return [client, await listener.accept()];
}

async function readText(conn: TcpConn, room = 100): Promise<string | null> {
  const p = new Uint8Array(room);
  const n = await conn.read(p);
  return n === null ? null : new TextDecoder().decode(p.subarray(0, n));
}

const NOTHING: Partial<TcpCounts> = { established: 0, timeWait: 0, orphans: 0, requests: 0, listeners: 0, bound: 0 };

/** After all timers: no connection, no port, no byte is left. */
function nothingLeft(t: TwoHosts, ...which: Host[]): void {
  t.machine.runUntilIdle();
  for (const host of which.length > 0 ? which : [t.a, t.b]) {
    const { established, timeWait, orphans, requests, listeners, bound } = host.net.get(TCP).counts();
    assertEquals({ established, timeWait, orphans, requests, listeners, bound }, NOTHING, host.net.name);
  }
}

Deno.test("[S01] a connection over the stack: addresses, an echo, the end on both sides", async () => {
  using t = hosts();
  const [client, server] = await pair(t);
  assertEquals(client.remoteAddr, { transport: "tcp", hostname: B, port: 80 });
  assertEquals([server.remoteAddr, server.localAddr], [client.localAddr, client.remoteAddr]);
  for (const s of ["hello", "again"]) {
    assertEquals(await client.write(bytes(s)), 5);
    assertEquals(await readText(server), s);
    await server.write(bytes(s.toUpperCase()));
    assertEquals(await readText(client), s.toUpperCase());
  }
  client.close();
  assertEquals(await readText(server), null);
  server.close();
  nothingLeft(t);
});

Deno.test("loopback: a host talks to itself by localhost and by its own address", async () => {
  using t = hosts();
  using listener = t.a.listen({ port: 7 });
  for (const hostname of ["localhost", "10.0.0.1"]) {
    using client = await t.a.connect({ hostname, port: 7 });
    using server = await listener.accept();
    await client.write(bytes("me"));
    assertEquals(await readText(server), "me");
    assertEquals(server.remoteAddr.hostname, hostname === "localhost" ? "127.0.0.1" : hostname);
  }
  listener.close();
  nothingLeft(t);
});

Deno.test("half close: the answer comes after our end", async () => {
  using t = hosts();
  const [client, server] = await pair(t);
  await client.write(bytes("question"));
  await client.closeWrite();
  assertEquals([await readText(server), await readText(server)], ["question", null]);
  await turn();
  await server.write(bytes("answer"));
  server.close();
  assertEquals([await readText(client), await readText(client)], ["answer", null]);
  await assertRejects(() => client.write(bytes("x")), BrokenPipe);
  client.close();
  nothingLeft(t);
});

Deno.test("[S01] four megabytes both ways over a wire with delay and loss: every byte, in order", async () => {
  using t = hosts({ seed: 7, wire: { delayNs: 2e6, loss: 0.01 } });
  const [client, server] = await pair(t);
  const total = 4 << 20;
  const pattern = (at: number) => ((at * 31) ^ (at >>> 9)) & 0xff;
  const send = async (conn: TcpConn) => {
    const p = new Uint8Array(50_000);
    for (let at = 0; at < total; at += p.length) {
      const n = Math.min(p.length, total - at);
      for (let i = 0; i < n; i++) p[i] = pattern(at + i);
      await conn.write(p.subarray(0, n));
    }
    await conn.closeWrite();
  };
  const receive = async (conn: TcpConn) => {
    const p = new Uint8Array(30_000);
    let at = 0;
    for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
      for (let i = 0; i < n; i++, at++) if (p[i] !== pattern(at)) throw new Error(`byte ${at} is wrong`);
    }
    return at;
  };
  const done = Promise.all([send(client), send(server), receive(client), receive(server)]);
  assertEquals((await done).slice(2), [total, total]);
  client.close();
  server.close();
  nothingLeft(t);
});

Deno.test("a peer that does not read holds the writer, memory stays bounded, and all arrives afterwards", async () => {
  using t = hosts();
  const [client, server] = await pair(t);
  const p = new Uint8Array(65536).map((_, i) => i);
  let written = 0;
  let writes = 0;
  let stop = false;
  const writer = (async () => {
    while (!stop) {
      await client.write(p);
      written += p.length;
      writes++;
    }
    await client.closeWrite();
  })();
  for (let before = -1; before !== written;) {
    before = written;
    await turn();
    await turn();
  }
  assert(written < 12 << 20, `${written} bytes were taken though nobody reads`);
  const held = t.machine.skbs.live;
  t.machine.advance(1e9);
  await turn();
  assert(t.machine.skbs.live <= held + 2, "nothing grows while the window is closed");
  stop = true;
  let got = 0;
  const into = new Uint8Array(10_000);
  for (let n = await server.read(into); n !== null; n = await server.read(into)) {
    for (let i = 0; i < n; i += 997) assertEquals(into[i], (got + i) & 0xff);
    got += n;
  }
  await writer;
  assertEquals(got, writes * p.length);
  client.close();
  server.close();
  nothingLeft(t);
});

Deno.test("the readable stream holds the peer until it is asked", async () => {
  using t = hosts();
  const [client, server] = await pair(t);
  const total = 16 << 20;
  let sent = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent >= total) return controller.close();
      controller.enqueue(new Uint8Array(65536).fill(sent >>> 16));
      sent += 65536;
    },
  });
  const pipe = source.pipeTo(client.writable);
  const readable = server.readable;
  for (let before = -1; before !== sent;) {
    before = sent;
    await turn();
    await turn();
  }
  assert(sent < 12 << 20, `${sent} bytes went though nobody reads`);
  let got = 0;
  for await (const chunk of readable) got += chunk.length;
  await pipe;
  assertEquals(got, total);
  nothingLeft(t);
});

Deno.test("errors: nobody listens, nobody is there, the peer resets", async () => {
  using t = hosts();
  const refused = await assertRejects(() => t.a.connect({ hostname: B, port: 81 }), ConnectionRefused);
  assertEquals(refused.message, `Cannot connect to ${B}:81: connection refused`);
  await assertRejects(() => t.a.connect({ hostname: "10.0.0.9", port: 81 }), HostUnreachable);
  const [client, server] = await pair(t);
  await client.write(bytes("not read"));
  await turn();
  server.close();
  await assertRejects(() => client.read(new Uint8Array(1)), ConnectionReset);
  client.close();
  nothingLeft(t);
});

Deno.test("an attempt that is aborted leaves nothing behind: no host, SYN under way, SYN-ACK under way", async () => {
  using t = hosts({ neigh: true, wire: { delayNs: 10e6 }, machine: { autoAdvance: false } });
  using listener = t.b.listen({ port: 80 });
  for (const [hostname, ns] of [["10.0.0.9", 1e6], [B, 1e6], [B, 15e6]] as const) {
    const abort = new AbortController();
    const attempt = t.a.connect({ hostname, port: 80, signal: abort.signal });
    t.machine.advance(ns);
    await turn();
    abort.abort(new Error("enough"));
    await assertRejects(() => attempt, Error, "enough");
    nothingLeft(t, t.a);
  }
  listener.close();
  nothingLeft(t);
});

Deno.test("a listener that closes ends the connections that nobody accepted", async () => {
  using t = hosts();
  const listener = t.b.listen({ port: 80 });
  const client = await t.a.connect({ hostname: B, port: 80 });
  const read = client.read(new Uint8Array(1));
  listener.close();
  await assertRejects(() => read, ConnectionReset);
  client.close();
  nothingLeft(t);
});

Deno.test("1,000 connections at once, each an echo of its own", async () => {
  using t = hosts();
  const listener = t.b.listen({ port: 80, tcpBacklog: 2000 });
  const serving = (async () => {
    const all: Promise<void>[] = [];
    for await (const conn of listener) {
      all.push((async () => {
        const p = new Uint8Array(100);
        for (let n = await conn.read(p); n !== null; n = await conn.read(p)) await conn.write(p.subarray(0, n));
        conn.close();
      })());
    }
    await Promise.all(all);
  })();
  const clients = await Promise.all(Array.from({ length: 1000 }, () => t.a.connect({ hostname: B, port: 80 })));
  assertEquals(new Set(clients.map((c) => c.localAddr.port)).size, 1000);
  await Promise.all(clients.map((c, i) => c.write(bytes(`client ${i}`))));
  const answers = await Promise.all(clients.map((c) => readText(c)));
  assertEquals(answers, answers.map((_, i) => `client ${i}`));
  assertEquals(t.b.net.get(TCP).counts().established, 1000);
  for (const c of clients) c.close();
  listener.close();
  await serving;
  nothingLeft(t);
});

Deno.test("[R24] a request and its answer need no turn of the event loop", async () => {
  using t = hosts({ machine: { autoAdvance: false } });
  const [client, server] = await pair(t);
  client.setNoDelay();
  server.setNoDelay();
  let turned = false;
  const timer = setTimeout(() => turned = true, 0);
  const serving = (async () => {
    const p = new Uint8Array(10);
    for (let n = await server.read(p); n !== null; n = await server.read(p)) await server.write(p.subarray(0, n));
  })();
  const p = new Uint8Array(10);
  for (let i = 0; i < 100; i++) {
    await client.write(bytes("x"));
    assertEquals(await client.read(p), 1);
  }
  assertEquals(turned, false);
  clearTimeout(timer);
  client.close();
  await serving;
  server.close();
  nothingLeft(t);
});
