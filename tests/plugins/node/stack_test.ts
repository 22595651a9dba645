/** The Node face over TCP, between two hosts on a wire; and node:http, node:https, Hono, Express, ws and undici over it. */
import { once } from "node:events";
import http from "node:http";
import { Readable } from "node:stream";
import { assert, assertEquals } from "@std/assert";
import {
  Agent,
  connect,
  createServer,
  type NodeError,
  serveHttp,
  type Socket,
} from "../../../plugins/socket/node/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { type TwoHosts, twoHosts } from "../../support/hosts.ts";
import { httpSuite, request, stop } from "./http_suite.ts";

const B80 = { host: "10.0.0.2", port: 80 };
const hosts = (): TwoHosts => twoHosts({ machine: { autoAdvance: true, slabBytes: 64 << 20 } });
const turn = () => new Promise<void>((r) => setTimeout(r, 1));

/** Sockets that are open, without those that only time keeps. */
function open(t: TwoHosts): number {
  return [t.a, t.b].reduce((n, { net }) => {
    const { established, requests, listeners, orphans } = net.get(TCP).counts();
    return n + established + requests + listeners - orphans;
  }, 0);
}

httpSuite("over TCP", () => {
  const t = hosts();
  return { a: t.a.net, b: t.b.net, open: () => open(t), [Symbol.dispose]: () => t[Symbol.dispose]() };
});

Deno.test("a socket and a server over the stack: data, half close, the end", async () => {
  using t = hosts();
  const server = createServer(t.b.net, { allowHalfOpen: true }, (s) => {
    let text = "";
    s.setEncoding("utf8").on("data", (d) => text += d).on("end", () => s.end(text.toUpperCase()));
  }).listen(80);
  const client = connect(t.a.net, B80);
  client.setEncoding("utf8").end("question");
  let text = "";
  for await (const chunk of client) text += chunk;
  assertEquals([text, client.bytesRead, client.bytesWritten], ["QUESTION", 8, 8]);
  server.close();
  await once(server, "close");
  t.machine.runUntilIdle();
  assertEquals(open(t), 0);
});

Deno.test("errors over the stack: refused, unreachable, reset", async () => {
  using t = hosts();
  const failure = (options: { host: string; port: number }): Promise<NodeError> =>
    new Promise((resolve) => connect(t.a.net, options).on("error", resolve));
  const refused = await failure({ host: "10.0.0.2", port: 81 });
  assertEquals([refused.code, refused.message], ["ECONNREFUSED", "connect ECONNREFUSED 10.0.0.2:81"]);
  assertEquals((await failure({ host: "10.0.0.9", port: 81 })).code, "EHOSTUNREACH");
  const server = createServer(t.b.net, (s) => s.resetAndDestroy()).listen(80);
  const client = connect(t.a.net, B80).resume();
  const [reset] = await once(client, "error") as [NodeError];
  assertEquals([reset.code, reset.syscall], ["ECONNRESET", "read"]);
  server.close();
  await once(server, "close");
  t.machine.runUntilIdle();
  assertEquals(open(t), 0);
});

Deno.test("a slow reader holds the writer; what both hold is bounded", async () => {
  using t = hosts();
  const server = createServer(t.b.net, { pauseOnConnect: true }).listen(80);
  const client = connect(t.a.net, B80);
  const [accepted] = await once(server, "connection") as [Socket];
  const total = 24 << 20;
  let sent = 0;
  const fill = (): void => {
    for (; sent < total; sent += 65536) if (!client.write(new Uint8Array(65536).fill(sent >>> 16))) break;
    if (sent >= total) client.end();
    else {
      sent += 65536;
      client.once("drain", fill);
    }
  };
  fill();
  for (let before = -1; before !== sent;) {
    before = sent;
    await turn();
    await turn();
  }
  assert(sent < 12 << 20, `${sent} bytes were taken though nobody reads`);
  let got = 0;
  let wrong = 0;
  accepted.on("data", (d) => {
    for (let i = 0; i < d.length; i += 4093) if (d[i] !== (((got + i) >>> 16) & 0xff)) wrong++;
    got += d.length;
  }).resume();
  await once(accepted, "end");
  assertEquals([got, wrong], [client.bytesWritten, 0]);
  server.close();
  await once(server, "close");
});

Deno.test("1,000 HTTP requests at once, each on a connection of its own", async () => {
  using t = hosts();
  let most = 0;
  const server = serveHttp(
    t.b.net,
    http.createServer((req, res) => {
      most = Math.max(most, t.b.net.get(TCP).counts().established);
      setTimeout(() => res.end(req.url), 1);
    }),
    { port: 80, backlog: 2000 },
  );
  using _hold = t.machine.hold();
  const agent = new Agent(t.a.net);
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => request({ agent, path: `/${i}` })));
  assertEquals(answers.map((r) => r.body.toString()), answers.map((_, i) => `/${i}`));
  assert(most > 900, `${most} connections at once`);
  await stop(server);
});

/** Bytes of payload that the stack holds, of both hosts. */
const memory = (t: TwoHosts): number => t.a.net.get(TCP).counts().memory + t.b.net.get(TCP).counts().memory;

Deno.test("100 MB stream each way through node:http; what is held is bounded by the socket buffers", async () => {
  using t = hosts();
  const total = 100_000_000, piece = 62_500;
  let sent = 0;
  let got = 0;
  let wrong = 0;
  const most = { ahead: 0, memory: 0, skbs: 0 };
  async function* source(): AsyncGenerator<Uint8Array> {
    for (sent = 0; sent < total;) {
      yield new Uint8Array(piece).fill(sent / piece);
      sent += piece;
      await Promise.resolve();
      most.ahead = Math.max(most.ahead, sent - got);
      most.memory = Math.max(most.memory, memory(t));
      most.skbs = Math.max(most.skbs, t.machine.skbs.live);
    }
  }
  const drain = async (from: AsyncIterable<Uint8Array>): Promise<void> => {
    got = 0;
    for await (const chunk of from) {
      if (chunk[0] !== (Math.floor(got / piece) & 0xff)) wrong++;
      got += chunk.length;
    }
  };
  const server = serveHttp(
    t.b.net,
    http.createServer(async (req, res) => {
      if (req.method === "GET") return void Readable.from(source()).pipe(res);
      await drain(req);
      res.end("ok");
    }),
    { port: 80 },
  );
  const agent = new Agent(t.a.net);
  const [response] = await once(http.get({ host: "10.0.0.2", agent }), "response") as [http.IncomingMessage];
  await drain(response);
  assertEquals([got, wrong], [total, 0]);
  const upload = http.request({ host: "10.0.0.2", method: "PUT", agent });
  Readable.from(source()).pipe(upload);
  const [answer] = await once(upload, "response") as [http.IncomingMessage];
  answer.resume();
  await once(answer, "end");
  assertEquals([got, wrong], [total, 0]);
  // tcp_wmem and tcp_rmem allow 4 and 6 MB.
  const { ahead, memory: held, skbs } = most;
  assert(ahead < 12e6 && held < 20e6 && skbs < 10_000, JSON.stringify(most));
  await stop(server);
});

Deno.test("requests that are aborted in flight leave no socket, timer, skb or byte", async () => {
  using t = hosts();
  const { signal, abort } = ((c) => ({ signal: c.signal, abort: () => c.abort() }))(new AbortController());
  const ended: string[] = [];
  let upload: http.IncomingMessage | null = null;
  const server = serveHttp(
    t.b.net,
    http.createServer((req, res) => {
      res.on("close", () => ended.push(`${req.url} ${res.writableFinished}`));
      if (req.url === "/download") Readable.from(endless()).on("error", () => {}).pipe(res);
      if (req.url === "/upload") upload = req.on("error", () => {}).pause();
    }),
    { port: 80 },
  );
  function* endless(): Generator<Uint8Array> {
    for (;;) yield new Uint8Array(65536);
  }
  const agent = new Agent(t.a.net);
  const options = { host: "10.0.0.2", agent, signal };
  const all = ["/download", "/upload", "/silent"].map((path) => {
    const req = http.request({ ...options, path, method: path === "/upload" ? "PUT" : "GET" });
    if (path === "/upload") Readable.from(endless()).on("error", () => {}).pipe(req);
    else req.end();
    req.on("response", (res) => res.on("error", () => {}).once("data", () => {}));
    return once(req, "close").catch((e) => e.name);
  });
  const errors: string[] = [];
  await new Promise((r) => setTimeout(r, 100));
  assertEquals(t.b.net.get(TCP).counts().established, 3);
  assert(memory(t) > 100_000, "bytes are under way");
  abort();
  errors.push(...await Promise.all(all));
  assertEquals(errors, ["AbortError", "AbortError", "AbortError"]);
  server.close();
  // Who does not read is not told either.
  (upload as http.IncomingMessage | null)?.resume();
  for (let i = 0; i < 10; i++) await turn();
  t.machine.runUntilIdle();
  for (let i = 0; i < 10; i++) await turn();
  assertEquals(ended.sort(), ["/download false", "/silent false", "/upload false"]);
  for (const { net } of [t.a, t.b]) {
    const { established, timeWait, orphans, requests, listeners, bound, memory } = net.get(TCP).counts();
    assertEquals([established, timeWait, orphans, requests, listeners, bound, memory], [0, 0, 0, 0, 0, 0, 0], net.name);
  }
  assertEquals(t.machine.skbs.live, 0);
});
