/** A program that knows nothing of netpath: it runs on Deno's and Node's network as well. Its output is the test's. */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import http from "node:http";
import { createServer as createHttpServer, get } from "node:http";
import { createRequire } from "node:module";
import net, { connect, createServer, isIP, Server, Socket } from "node:net";
import type { AddressInfo } from "node:net";

const require = createRequire(import.meta.url);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const show = (name: string, ...values: unknown[]) => console.log(name, JSON.stringify(values));

async function deno(): Promise<void> {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const accepted = listener.accept();
  using conn = await Deno.connect({ port: (listener.addr as Deno.NetAddr).port });
  using peer = await accepted;
  await conn.write(new TextEncoder().encode("by Deno"));
  conn.closeWrite();
  const p = new Uint8Array(100);
  const n = await peer.read(p);
  show("Deno.connect", text(p.slice(0, n!)), await peer.read(p), conn.remoteAddr.transport);
  listener.close();
  const error = await Deno.connect({ port: 1 }).catch((e) => e);
  show("refused", error instanceof Deno.errors.ConnectionRefused, error.name);
}

async function serve(): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (req, info) => {
    const { hostname } = info.remoteAddr as Deno.NetAddr;
    return new Response(`${req.method} ${new URL(req.url).pathname} ${await req.text()} ${hostname}`);
  });
  const url = `http://localhost:${server.addr.port}/path`;
  show("Deno.serve", await (await fetch(url, { method: "POST", body: "body" })).text());
  const other = await fetch("data:text/plain,other");
  await server.shutdown();
  show("fetch", await other.text(), await fetch(url).then(() => "ok", (e) => e.constructor.name));
}

async function node(): Promise<void> {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const viaRequire = require("node:net") as typeof net;
  const makers = [
    () => connect(port, "127.0.0.1"),
    () => net.connect({ port, host: "localhost" }),
    () => viaRequire.createConnection(port),
    () => new Socket().connect(port),
    // In Node a constructor may be called.
    () => (net.Socket as unknown as () => net.Socket)().connect({ port }),
  ];
  for (const make of makers) {
    const socket = make();
    socket.end("by node:net");
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    show("node:net", Buffer.concat(chunks).toString(), socket instanceof Socket, socket instanceof net.Socket);
  }
  show("server", server instanceof Server, isIP("10.0.0.1"));
  server.close();
  const refused = connect(1);
  const [error] = await once(refused, "error");
  show("refused", error.code, error.syscall, error.port);
  const [unknown] = await once(connect(80, "nowhere.test"), "error");
  show("unknown", unknown.code);
}

async function nodeHttp(): Promise<void> {
  for (const make of [createHttpServer, http.createServer]) {
    const server = make((req, res) => res.end(`${req.url} of ${req.socket.remoteAddress}`));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [response] = await once(get(`http://127.0.0.1:${port}/there`), "response");
    let body = "";
    for await (const chunk of response) body += chunk;
    show("node:http", response.statusCode, body, await (await fetch(`http://127.0.0.1:${port}/fetch`)).text());
    server.close();
    server.closeAllConnections?.();
  }
}

await deno();
await serve();
await node();
await nodeHttp();
