/**
 * node:http, node:https, Hono, Express, ws and undici, as they are, over the Node face. http_test.ts runs it without a
 * network, stack_test.ts over TCP.
 */
import { Buffer } from "node:buffer";
import { type EventEmitter, once } from "node:events";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { assert, assertEquals } from "@std/assert";
import type { Net } from "../../../core/mod.ts";
import {
  Agent,
  connect,
  connector,
  createServer,
  httpOver,
  HttpsAgent,
  serveHttp,
  type Socket,
} from "../../../plugins/socket/node/mod.ts";
import { needing, tryImport } from "../../support/npm.ts";

const fixture = (name: string) => Deno.readTextFileSync(new URL(`../../fixtures/tls/${name}.pem`, import.meta.url));
/** A certificate of its own for `10.0.0.2` and `web.test`, until 2125. */
const TLS = { key: fixture("key"), cert: fixture("cert") };

/** Two nets that reach each other; `b` is `10.0.0.2`. */
export interface Nets extends Disposable {
  a: Net;
  b: Net;
  /** Sockets that are open in either. */
  open(): number;
}

// What is used of the packages; loaded when they can be.
interface ExpressApp {
  use(handler: unknown): void;
  get(path: string, handler: (req: ExpressRequest, res: ExpressResponse) => void): void;
  post(path: string, handler: (req: ExpressRequest, res: ExpressResponse) => void): void;
}
type ExpressModule = { default: (() => ExpressApp & http.RequestListener) & { json(): unknown } };
interface HonoContext {
  req: { json(): Promise<unknown> };
  text(text: string): Response;
  json(value: unknown): Response;
  body(body: ReadableStream): Response;
}
interface HonoApp {
  get(path: string, handler: (c: HonoContext) => Response | Promise<Response>): void;
  post(path: string, handler: (c: HonoContext) => Response | Promise<Response>): void;
  fetch: unknown;
}
type HonoModule = { Hono: new () => HonoApp };
type HonoNodeModule = { createAdaptorServer(options: { fetch: unknown }): unknown };
interface WsSocket extends EventEmitter {
  send(data: string | Uint8Array, options?: { binary: boolean }): void;
  ping(data: string): void;
  close(code?: number, reason?: string): void;
}
type WsModule = {
  WebSocket: new (url: string, options: unknown) => WsSocket;
  WebSocketServer: new (options: { server: http.Server }) => EventEmitter & { close(): void };
};
interface UndiciAgent {
  close(): Promise<void>;
}
type UndiciModule = {
  Agent: new (options: unknown) => UndiciAgent;
  request(url: string, options: unknown): Promise<{ statusCode: number; body: { text(): Promise<string> } }>;
  fetch(url: string, options: unknown): Promise<Response>;
};
const EXPRESS = { "npm:express@^5": await tryImport<ExpressModule>("npm:express@^5") };
const HONO = {
  "npm:hono@^4": await tryImport<HonoModule>("npm:hono@^4"),
  "npm:@hono/node-server@^1": await tryImport<HonoNodeModule>("npm:@hono/node-server@^1"),
};
const WS = { "npm:ws@^8": await tryImport<WsModule>("npm:ws@^8") };
const UNDICI = { "npm:undici@^7": await tryImport<UndiciModule>("npm:undici@^7") };

interface ExpressRequest {
  params: { who: string };
  ip: string;
  body: { a: number; b: number };
}
interface ExpressResponse {
  json(value: unknown): void;
  send(text: string): void;
}

/** What came back. */
interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** One request of node:http. */
export async function request(options: http.RequestOptions, body?: string | Uint8Array): Promise<Answer> {
  const req = http.request({ host: "10.0.0.2", ...options });
  req.end(body);
  const [res] = await once(req, "response") as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of res) chunks.push(chunk);
  return { status: res.statusCode!, headers: res.headers, body: Buffer.concat(chunks) };
}

/** Ends a server and sees that it has ended. */
export async function stop(server: http.Server | https.Server): Promise<void> {
  await new Promise<void>((resolve, reject) => server.close((e) => e ? reject(e) : resolve()));
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((r) => setTimeout(r, 1));
};

/** Defines the tests. */
export function httpSuite(over: string, make: () => Nets): void {
  const test = (name: string, fn: (t: Nets) => Promise<void>, modules: Record<string, unknown> = {}): void => {
    Deno.test(needing(`${over}: ${name}`, modules), async () => {
      using t = make();
      await fn(t);
      await settle();
      assertEquals(t.open(), 0, "every socket was closed");
    });
  };

  test("node:http serves and asks; a body both ways; the agent keeps the connection", async (t) => {
    const peers: string[] = [];
    const server = serveHttp(
      t.b,
      http.createServer(async (req, res) => {
        peers.push(`${req.socket.remoteAddress}:${req.socket.remotePort}`);
        let n = 0;
        for await (const chunk of req) n += chunk.length;
        res.setHeader("x-length", n);
        res.end(`${req.method} ${req.url}`);
      }),
      { port: 80 },
    );
    await once(server, "listening");
    assertEquals(server.listening, true);
    assertEquals((server.address() as AddressInfo).port, 80);
    const agent = new Agent(t.a, { keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i++) {
      const { status, headers, body } = await request({ agent, path: `/${i}`, method: "POST" }, "x".repeat(i * 1000));
      assertEquals([status, headers["x-length"], body.toString()], [200, `${i * 1000}`, `POST /${i}`]);
    }
    assertEquals(new Set(peers).size, 1, "one connection for all");
    assert(peers[0].startsWith("10.0.0.1:"));
    const plain = await request({ createConnection: () => connect(t.a, 80, "10.0.0.2") as never, path: "/plain" });
    assertEquals([plain.body.toString(), new Set(peers).size], ["GET /plain", 2]);
    agent.destroy();
    await stop(server);
    assertEquals([server.listening, server.address()], [false, null]);
  });

  test("a megabyte goes through in order, chunked and with its length", async (t) => {
    const big = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 7) ^ (i >>> 8));
    const server = serveHttp(t.b, http.createServer((req, res) => req.pipe(res)), { port: 80 });
    const agent = new Agent(t.a);
    for (const headers of [{}, { "content-length": big.length }]) {
      const { body } = await request({ agent, method: "PUT", headers }, big);
      assertEquals(body.length, big.length);
      assert(body.equals(big));
    }
    await stop(server);
  });

  test("many requests at once over few connections, and Date, pipelining and 404 as Node does them", async (t) => {
    const server = serveHttp(
      t.b,
      http.createServer((req, res) => {
        if (req.url === "/none") res.statusCode = 404;
        res.end(req.url);
      }),
      { port: 80 },
    );
    const agent = new Agent(t.a, { keepAlive: true, maxSockets: 4 });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => request({ agent, path: `/${i}` })),
    );
    assertEquals(answers.map((r) => r.body.toString()), answers.map((_, i) => `/${i}`));
    const none = await request({ agent, path: "/none" });
    assertEquals([none.status, typeof none.headers.date], [404, "string"]);
    const raw = connect(t.a, 80, "10.0.0.2");
    raw.write("GET /p1 HTTP/1.1\r\nHost: b\r\n\r\nGET /p2 HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of raw) text += chunk;
    assert(text.indexOf("/p1") > 0 && text.indexOf("/p2") > text.indexOf("/p1"));
    agent.destroy();
    await stop(server);
  });

  test("a request to nobody, one that is aborted, and a peer that hangs up", async (t) => {
    const agent = new Agent(t.a);
    const refused = http.get({ host: "10.0.0.2", port: 81, agent });
    const [error] = await once(refused, "error");
    assertEquals([error.code, error.address, error.port], ["ECONNREFUSED", "10.0.0.2", 81]);
    let closed = 0;
    const server = serveHttp(
      t.b,
      http.createServer((req, res) => {
        if (req.url === "/hang") res.destroy();
        else req.on("close", () => closed++);
      }),
      { port: 80 },
    );
    const hang = http.get({ host: "10.0.0.2", path: "/hang", agent });
    const [reset] = await once(hang, "error");
    assertEquals(reset.code, "ECONNRESET");
    const abort = new AbortController();
    const waiting = http.get({ host: "10.0.0.2", agent, signal: abort.signal });
    await settle();
    abort.abort();
    const [aborted] = await once(waiting, "error");
    assertEquals(aborted.name, "AbortError");
    await settle();
    assertEquals(closed, 1);
    await stop(server);
  });

  test("the `connection` event is enough: a server of the face in front of a server of node:http", async (t) => {
    const inner = http.createServer((_, res) => res.end("inner"));
    const outer = createServer(t.b, (socket: Socket) => void inner.emit("connection", socket)).listen(80);
    assertEquals((await request({ agent: new Agent(t.a) })).body.toString(), "inner");
    outer.close();
    await once(outer, "close");
  });

  test("Express as it is", async (t) => {
    const { default: express } = EXPRESS["npm:express@^5"]!;
    const app = express();
    app.use(express.json());
    app.get("/hello/:who", (req, res) => res.json({ hello: req.params.who, ip: req.ip }));
    app.post("/sum", (req, res) => res.send(String(req.body.a + req.body.b)));
    const server = httpOver(t.b, http.createServer(app));
    await new Promise<void>((resolve) => server.listen(3000, resolve));
    const agent = new Agent(t.a);
    const hello = await request({ agent, port: 3000, path: "/hello/you" });
    assertEquals(JSON.parse(hello.body.toString()), { hello: "you", ip: "10.0.0.1" });
    const headers = { "content-type": "application/json" };
    const sum = await request({ agent, port: 3000, path: "/sum", method: "POST", headers }, '{"a":1,"b":2}');
    assertEquals(sum.body.toString(), "3");
    assertEquals((await request({ agent, port: 3000, path: "/none" })).status, 404);
    await stop(server);
  }, EXPRESS);

  test("Hono as it is", async (t) => {
    const { Hono } = HONO["npm:hono@^4"]!;
    const { createAdaptorServer } = HONO["npm:@hono/node-server@^1"]!;
    const app = new Hono();
    app.get("/", (c) => c.text("Hono"));
    app.post("/echo", async (c) => c.json({ got: await c.req.json() }));
    app.get("/stream", (c) =>
      c.body(
        new ReadableStream({
          start(controller) {
            for (const s of ["a", "b", "c"]) controller.enqueue(new TextEncoder().encode(s));
            controller.close();
          },
        }),
      ));
    const server = serveHttp(t.b, createAdaptorServer({ fetch: app.fetch }) as http.Server, { port: 80 });
    const agent = new Agent(t.a);
    assertEquals((await request({ agent })).body.toString(), "Hono");
    const headers = { "content-type": "application/json" };
    const echo = await request({ agent, path: "/echo", method: "POST", headers }, '{"x":[1]}');
    assertEquals(JSON.parse(echo.body.toString()), { got: { x: [1] } });
    assertEquals((await request({ agent, path: "/stream" })).body.toString(), "abc");
    assertEquals((await request({ agent, path: "/none" })).status, 404);
    await stop(server);
  }, HONO);

  test("ws as it is: upgrade, text, binary, ping, close", async (t) => {
    const { WebSocket, WebSocketServer } = WS["npm:ws@^8"]!;
    const server = httpOver(t.b, http.createServer());
    const wss = new WebSocketServer({ server });
    wss.on("connection", (socket: WsSocket, req: http.IncomingMessage) => {
      socket.on("message", (data: Buffer, binary: boolean) => socket.send(data, { binary }));
      socket.send(`you are ${req.socket.remoteAddress}`);
    });
    server.listen(80);
    for (const options of [{ agent: new Agent(t.a) }, { createConnection: () => connect(t.a, 80, "10.0.0.2") }]) {
      const socket = new WebSocket("ws://10.0.0.2/chat", options as never);
      const messages: (string | Buffer)[] = [];
      const all = new Promise<void>((resolve) =>
        socket.on("message", (data: Buffer, binary: boolean) => {
          messages.push(binary ? data : data.toString());
          if (messages.length === 3) resolve();
        })
      );
      await once(socket, "open");
      socket.ping("are you there");
      const pong = once(socket, "pong");
      socket.send("text");
      const binary = Buffer.alloc(200_000, 7);
      socket.send(binary);
      await Promise.all([all, pong]);
      assertEquals(messages.slice(0, 2), ["you are 10.0.0.1", "text"]);
      assert(binary.equals(messages[2] as Buffer));
      socket.close(1000, "done");
      const [code] = await once(socket, "close");
      assertEquals(code, 1000);
    }
    wss.close();
    await stop(server);
  }, WS);

  test("node:https serves and asks: certificates are checked, the agent keeps the connection", async (t) => {
    const server = serveHttp(t.b, https.createServer(TLS, (req, res) => req.pipe(res)), { port: 443 });
    const agent = new HttpsAgent(t.a, { ca: TLS.cert, keepAlive: true, maxSockets: 1 });
    const big = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) ^ (i >>> 8));
    const reused: boolean[] = [];
    for (const name of [{ servername: "web.test" }, { servername: "web.test" }, {}]) {
      const req = https.request({ host: "10.0.0.2", agent, method: "POST", ...name });
      req.end(big);
      const [res] = await once(req, "response") as [http.IncomingMessage];
      const chunks: Buffer[] = [];
      for await (const chunk of res) chunks.push(chunk);
      assert(Buffer.concat(chunks).equals(big));
      reused.push(req.reusedSocket);
    }
    assertEquals(reused.slice(0, 2), [false, true]);
    const code = async (options: https.RequestOptions): Promise<string> => {
      const [error] = await once(https.get({ host: "10.0.0.2", ...options }), "error");
      return error.code;
    };
    assertEquals(await code({ agent: new HttpsAgent(t.a) }), "DEPTH_ZERO_SELF_SIGNED_CERT");
    assertEquals(
      await code({ agent: new HttpsAgent(t.a, { ca: TLS.cert }), servername: "other.test" }),
      "ERR_TLS_CERT_ALTNAME_INVALID",
    );
    assertEquals(await code({ agent, port: 444 }), "ECONNREFUSED");
    agent.destroy();
    await stop(server);
  });

  test("undici as it is: request, fetch, a pool, TLS, an abort", async (t) => {
    const undici = UNDICI["npm:undici@^7"]!;
    let closed = 0;
    const serve: http.RequestListener = (req, res) => {
      if (req.url === "/wait") res.on("close", () => closed++);
      else req.pipe(res);
    };
    const plain = serveHttp(t.b, http.createServer(serve), { port: 80 });
    const secure = serveHttp(t.b, https.createServer(TLS, serve), { port: 443 });
    const dispatcher = new undici.Agent({ connect: connector(t.a, { ca: TLS.cert }) as never, connections: 4 });
    const { statusCode, body } = await undici.request("http://10.0.0.2/", { method: "PUT", body: "put", dispatcher });
    assertEquals([statusCode, await body.text()], [200, "put"]);
    for (const origin of ["http://10.0.0.2", "https://10.0.0.2"]) {
      const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const response = await undici.fetch(`${origin}/${i}`, { method: "POST", body: `number ${i}`, dispatcher });
        return await response.text();
      }));
      assertEquals(answers, answers.map((_, i) => `number ${i}`));
    }
    const refused = await undici.request("http://10.0.0.2:81/", { dispatcher }).catch((e) => e);
    assertEquals(refused.code, "ECONNREFUSED");
    const abort = new AbortController();
    const waiting = undici.request("http://10.0.0.2/wait", { dispatcher, signal: abort.signal }).catch((e) => e);
    await settle();
    abort.abort();
    assertEquals((await waiting).name, "AbortError");
    await settle();
    assertEquals(closed, 1);
    await dispatcher.close();
    await stop(plain);
    await stop(secure);
    // undici has one timer for all its clients, which ticks once more after the last of them, within a second.
    await new Promise((resolve) => setTimeout(resolve, 1200));
  }, UNDICI);
}
