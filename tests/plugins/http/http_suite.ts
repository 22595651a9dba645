/**
 * serve(), fetch and WinterTC's connect() over a net. http_test.ts runs it without a network, stack_test.ts over TCP.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Net } from "../../../core/mod.ts";
import { connect as connectTcp, listen, type TcpConn } from "../../../plugins/socket/deno/mod.ts";
import {
  connect,
  fetchOver,
  type HttpServer,
  serve,
  type ServeHandler,
  type ServeOptions,
} from "../../../plugins/socket/http/mod.ts";

/** Two nets that reach each other; `b` is `10.0.0.2`. */
export interface Nets extends Disposable {
  a: Net;
  b: Net;
  /** Sockets that are open in either. */
  open(): number;
}

// The type test: a handler of Deno's is a handler of ours, and our server is one of Deno's.
type Assignable<From extends To, To> = [From, To];
export type _Server = Assignable<HttpServer, Deno.HttpServer<Deno.NetAddr>>;
export type _Handler = Assignable<Deno.ServeHandler<Deno.NetAddr>, ServeHandler>;
export type _Options = Assignable<Deno.ServeTcpOptions, Omit<ServeOptions, "onListen">>;

const B = "10.0.0.2";
const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((r) => setTimeout(r, 1));
};
const bytes = (text: string) => new TextEncoder().encode(text);

async function readAll(conn: TcpConn): Promise<string> {
  const decoder = new TextDecoder();
  const p = new Uint8Array(10_000);
  let text = "";
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) text += decoder.decode(p.slice(0, n));
  return text;
}

/** Sends bytes as they are and closes its half; all that comes back. */
async function raw(t: Nets, text: string, port = 80): Promise<string> {
  using conn = await connectTcp(t.a, { hostname: B, port });
  for (const piece of text.match(/[^]{1,7}/g)!) await conn.write(bytes(piece));
  await conn.closeWrite();
  return await readAll(conn);
}

/** Defines the tests. */
export function httpSuite(over: string, make: () => Nets): void {
  const test = (name: string, fn: (t: Nets) => Promise<void>): void => {
    Deno.test(`${over}: ${name}`, async () => {
      using t = make();
      await fn(t);
      await settle();
      assertEquals(t.open(), 0, "every socket was closed");
    });
  };

  test("a request and its response: method, URL, fields, body, status, and who asks", async (t) => {
    let listening: unknown = null;
    const options: ServeOptions = { port: 80, hostname: B, onListen: (addr) => listening = addr };
    const server = serve(t.b, options, async (request, { remoteAddr, completed }) => {
      completed.then(() => done++);
      const { pathname, search, host } = new URL(request.url);
      const all = { method: request.method, pathname, search, host, from: remoteAddr.hostname };
      return Response.json({ ...all, x: request.headers.get("x-one"), body: await request.text() }, { status: 201 });
    });
    let done = 0;
    assertEquals([listening, server.addr], [server.addr, { transport: "tcp", hostname: B, port: 80 }]);
    const fetch = fetchOver(t.a);
    const response = await fetch(`http://${B}/a/b?c=d#e`, { method: "POST", body: "x=ü", headers: { "x-one": "1" } });
    assertEquals([response.status, response.statusText, response.url], [201, "Created", `http://${B}/a/b?c=d`]);
    assertEquals(response.headers.get("content-type"), "application/json");
    assertEquals(await response.json(), {
      method: "POST",
      pathname: "/a/b",
      search: "?c=d",
      host: B,
      from: "10.0.0.1",
      x: "1",
      body: "x=ü",
    });
    const head = await fetch(new Request(`http://${B}/`, { method: "HEAD" }));
    assertEquals([head.status, await head.text()], [201, ""]);
    await server.shutdown();
    assertEquals(done, 2);
    const error = await assertRejects(() => fetch(`http://${B}/`), TypeError, "connection refused");
    assertEquals((error.cause as { code: string }).code, "ECONNREFUSED");
    await assertRejects(() => fetch("https://10.0.0.2/"), TypeError, "there is no https, only http");
    await assertRejects(() => fetch("http://web.test/"), TypeError, "nobody resolves the name web.test");
  });

  test("bodies stream both ways: a chunk comes back before the next one goes", async (t) => {
    await using _server = serve(t.b, { port: 80 }, (request) => new Response(request.body));
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    writer.write(bytes("first"));
    const init = { method: "POST", body: readable, duplex: "half" } as RequestInit;
    const response = await fetchOver(t.a)(`http://${B}/`, init);
    const reader = response.body!.getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    assertEquals(await next(), "first");
    writer.write(bytes("second"));
    assertEquals(await next(), "second");
    writer.close();
    assertEquals((await reader.read()).done, true);
  });

  test("a megabyte there and back; gzip is undone", async (t) => {
    const big = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 7) ^ (i >>> 8));
    await using _server = serve(t.b, { port: 80 }, async (request) => {
      if (!request.url.endsWith("/gzip")) return new Response(await request.arrayBuffer());
      const body = new Blob([big]).stream().pipeThrough(new CompressionStream("gzip"));
      return new Response(body, { headers: { "content-encoding": "gzip" } });
    });
    const fetch = fetchOver(t.a);
    const echo = await fetch(`http://${B}/`, { method: "PUT", body: big });
    assertEquals(new Uint8Array(await echo.arrayBuffer()), big);
    const gzip = await fetch(`http://${B}/gzip`);
    assertEquals([gzip.headers.has("content-encoding"), (await gzip.arrayBuffer()).byteLength], [false, big.length]);
  });

  test("keep-alive and pipelining: answers in order, unread bodies are skipped, HTTP/1.0 closes", async (t) => {
    await using _server = serve(t.b, { port: 80 }, async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/slow") await new Promise((r) => setTimeout(r, 5));
      return new Response(pathname, pathname === "/known" ? { headers: { "content-length": "6" } } : {});
    });
    const answer = await raw(
      t,
      "GET /slow HTTP/1.1\r\nHost: b\r\n\r\n" +
        "POST /unread HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello" +
        "POST /chunks HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n" +
        "\r\nGET /known HTTP/1.1\nHost: b\nConnection: close\n\nGET /never HTTP/1.1\r\n\r\n",
    );
    const bodies = answer.split(/HTTP\/1.1 200 OK\r\n/).slice(1).map((m) => m.split("\r\n\r\n").slice(1).join("|"));
    assertEquals(bodies, ["5\r\n/slow\r\n0|", "7\r\n/unread\r\n0|", "7\r\n/chunks\r\n0|", "/known"]);
    assertEquals(answer.match(/connection: close/g)?.length, 1);
    assertMatch(answer, /date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/);
    const old = await raw(t, "GET /old HTTP/1.0\r\n\r\n");
    assertMatch(old, /^HTTP\/1.1 200 OK\r\n[^]*connection: close\r\n[^]*\r\n\r\n\/old$/);
    const asked = await raw(t, "GET /known HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /old HTTP/1.0\r\n\r\n");
    assertMatch(asked, /connection: keep-alive[^]*\/known[^]*\/old$/);
    const expect = await raw(
      t,
      "PUT /e HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
    );
    assertMatch(expect, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/);
  });

  test("what is no request, or smuggles one, is refused", async (t) => {
    await using _server = serve(t.b, { port: 80 }, async (request) => new Response(await request.text()));
    const cases: [string, number][] = [
      ["hello\r\n\r\n", 400],
      ["GET / HTTP/2.0\r\n\r\n", 505],
      ["GET / HTTP/1.1\r\nno field\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\nName : value\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\na: \0\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400],
      ["POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501],
      ["CONNECT b:80 HTTP/1.1\r\nHost: b\r\n\r\n", 400],
      ["GET http://[ HTTP/1.1\r\nHost: b\r\n\r\n", 400],
      [`GET / HTTP/1.1\r\na: ${"x".repeat(20_000)}\r\n\r\n`, 431],
      ["GET / HTTP/1.1\r\nHost: b\r\n", 400],
    ];
    for (const [text, status] of cases) {
      assertMatch(await raw(t, text), new RegExp(`^HTTP/1.1 ${status} [^]*\r\n\r\nCannot `), text.slice(0, 60));
    }
    assertEquals(await raw(t, "\r\n"), "");
  });

  test("a handler that throws; a body that fails, or is not as long as it says", async (t) => {
    const failures: unknown[] = [];
    const onError = (error: unknown) => {
      failures.push(error);
      return new Response("sorry", { status: 503 });
    };
    await using _server = serve(t.b, { port: 80, onError }, (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/throw") throw new Error("thrown");
      if (pathname === "/none") return undefined as never;
      if (pathname === "/short") return new Response("abc", { headers: { "content-length": "10" } });
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (pathname === "/fails") controller.error(new Error("body"));
            else controller.enqueue("no bytes" as never);
          },
        }),
      );
    });
    const fetch = fetchOver(t.a);
    for (const path of ["/throw", "/none"]) {
      const response = await fetch(`http://${B}${path}`);
      assertEquals([response.status, response.statusText, await response.text()], [
        503,
        "Service Unavailable",
        "sorry",
      ]);
    }
    assertEquals(failures.map((e) => (e as Error).message), [
      "thrown",
      "Cannot answer: the handler gave no Response",
    ]);
    for (const path of ["/short", "/fails", "/other"]) {
      await assertRejects(async () => await (await fetch(`http://${B}${path}`)).text(), Error, "Cannot ", path);
    }
  });

  test("an abort, before, during and after the response, ends both sides", async (t) => {
    const ended: string[] = [];
    await using _server = serve(t.b, { port: 80 }, async (request) => {
      const { pathname } = new URL(request.url);
      request.signal.addEventListener("abort", () => ended.push(pathname));
      if (pathname === "/wait") await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      const body = new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
        cancel: () => void ended.push(`${pathname} body`),
      });
      return new Response(body);
    });
    const fetch = fetchOver(t.a);
    const reason = new Error("enough");
    await assertRejects(() => fetch(`http://${B}/`, { signal: AbortSignal.abort(reason) }), Error, "enough");
    const first = new AbortController();
    const waiting = fetch(`http://${B}/wait`, { signal: first.signal });
    await settle();
    first.abort(reason);
    await assertRejects(() => waiting, Error, "enough");
    const second = new AbortController();
    const response = await fetch(`http://${B}/endless`, { signal: second.signal });
    const reader = response.body!.getReader();
    assert((await reader.read()).value!.length > 0);
    second.abort(reason);
    await assertRejects(
      async () => {
        for (;;) await reader.read();
      },
      Error,
      "enough",
    );
    const third = await fetch(`http://${B}/cancelled`);
    await third.body!.cancel();
    await settle();
    assertEquals(ended.sort(), [
      "/cancelled",
      "/cancelled body",
      "/endless",
      "/endless body",
      "/wait",
      "/wait body",
    ]);
  });

  test("redirects: followed, with what they change; manual, error, too many", async (t) => {
    await using _server = serve(t.b, { port: 80 }, async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      const to = searchParams.get("to");
      if (to === null) return new Response(`${request.method} ${pathname} ${await request.text()}`);
      return new Response(null, { status: Number(pathname.slice(1)), headers: { location: to } });
    });
    const fetch = fetchOver(t.a);
    const post = { method: "POST", body: "data" };
    for (const [status, text] of [[302, "GET /end "], [303, "GET /end "], [307, "POST /end data"]] as const) {
      const response = await fetch(`http://${B}/${status}?to=/end`, post);
      assertEquals([await response.text(), response.redirected], [text, true]);
      assertEquals(response.url, `http://${B}/end`);
    }
    const manual = await fetch(`http://${B}/301?to=/end`, { redirect: "manual" });
    assertEquals([manual.status, manual.headers.get("location"), await manual.text()], [301, "/end", ""]);
    await assertRejects(() => fetch(`http://${B}/301?to=/end`, { redirect: "error" }), TypeError, "it is redirected");
    const loop = `http://${B}/301?to=${encodeURIComponent("/301?to=x")}`;
    assertEquals(await (await fetch(loop)).text(), "GET /x ");
    const self = "/301?to=";
    const endless = serve(t.b, { port: 81 }, () => new Response(null, { status: 302, headers: { location: self } }));
    await assertRejects(() => fetch(`http://${B}:81/`), TypeError, "too many redirects");
    await endless.shutdown();
  });

  test("fetch understands other servers: until the end, without a reason, after 100, and what is no HTTP", async (t) => {
    using listener = listen(t.b, { port: 80 });
    const fetch = fetchOver(t.a, { lookup: (name) => name === "web.test" ? B : Promise.reject(new Error("no")) });
    const answer = async (text: string): Promise<Response> => {
      const response = fetch("http://web.test/");
      using conn = await listener.accept();
      const p = new Uint8Array(1000);
      const n = await conn.read(p);
      assertMatch(new TextDecoder().decode(p.slice(0, n!)), /^GET \/ HTTP\/1.1\r\nhost: web.test\r\n/);
      await conn.write(bytes(text));
      conn.close();
      return await response;
    };
    const plain = await answer("HTTP/1.0 200\r\n\r\nuntil the end");
    assertEquals([plain.status, plain.statusText, await plain.text()], [200, "", "until the end"]);
    const early = await answer("HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assertEquals([early.status, early.body], [204, null]);
    await assertRejects(() => answer("nonsense\r\n\r\n"), TypeError, "is no first line");
    await assertRejects(() => answer("SSH-2.0 x y\r\n\r\n"), TypeError, "is no status line");
    await assertRejects(() => answer(""), TypeError, "ended before the response");
    const cut = await answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    await assertRejects(() => cut.text(), Error, "the connection ended within it");
  });

  test("shutdown() answers what is under way; a signal ends all at once", async (t) => {
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => go = resolve);
    const handler: ServeHandler = async (request) => {
      if (!request.url.endsWith("/idle")) await gate;
      return new Response("answered");
    };
    const server = serve(t.b, { port: 80 }, handler);
    const fetch = fetchOver(t.a);
    using idle = await connectTcp(t.a, { hostname: B, port: 80 });
    await idle.write(bytes("GET /idle HTTP/1.1\r\nHost: b\r\n\r\n"));
    const response = fetch(`http://${B}/`);
    await settle();
    const end = server.shutdown();
    assertMatch(await readAll(idle), /answered/);
    await assertRejects(() => fetch(`http://${B}/`), TypeError, "connection refused");
    go();
    assertEquals(await (await response).text(), "answered");
    await Promise.all([end, server.finished]);
    const abort = new AbortController();
    const other = serve(t.b, { port: 80, signal: abort.signal }, () => new Promise(() => {}));
    const cut = fetch(`http://${B}/`);
    await settle();
    abort.abort();
    await assertRejects(() => cut, TypeError);
    // Its handler never ends: that is the handler's affair.
    other.unref();
  });

  test("WinterTC's connect(): opened, closed, half close, errors", async (t) => {
    using listener = listen(t.b, { port: 80 });
    const socket = connect(t.a, { hostname: B, port: 80 }, { allowHalfOpen: true });
    const server = await listener.accept();
    const info = await socket.opened;
    assertEquals([info.remoteAddress, socket.secureTransport, socket.upgraded], [`${B}:80`, "off", false]);
    const writer = socket.writable.getWriter();
    await writer.write(bytes("question"));
    await writer.close();
    assertEquals(await readAll(server), "question");
    await server.write(bytes("answer"));
    server.close();
    assertEquals(await new Response(socket.readable).text(), "answer");
    await socket.closed;
    const second = connect(t.a, `${B}:80`);
    const peer = await listener.accept();
    await second.opened;
    const reading = new Response(second.readable).text();
    await settle();
    await second.close();
    assertEquals(await reading, "");
    assertEquals(await readAll(peer), "");
    peer.close();
    const refused = connect(t.a, `${B}:81`);
    const error = await assertRejects(() => refused.opened);
    assertInstanceOf(error, Deno.errors.ConnectionRefused);
    await assertRejects(() => refused.closed, Deno.errors.ConnectionRefused);
    await assertRejects(() => new Response(refused.readable).text(), Deno.errors.ConnectionRefused);
    assertThrows(() => connect(t.a, "nowhere"), TypeError, 'Cannot connect to "nowhere"');
    assertThrows(() => connect(t.a, `${B}:80`, { secureTransport: "on" as never }), TypeError, "there is no TLS");
  });
}
