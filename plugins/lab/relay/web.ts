/**
 * The lab host that a relay has when nobody names others: node:http on the stack, with something to see and to fetch.
 */
import { createServer, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { Host } from "../../../mod.ts";
import { serveHttp } from "../../socket/node/mod.ts";

const CHUNK = 65_536;
const MAX = 1_000_000_000;

/** Byte `i` of `/bytes/N` is this: no two places within 251 bytes are alike, and a lost chunk shows. */
export function byteAt(i: number): number {
  return (i + (i >>> 8) * 7 + (i >>> 16) * 13) & 0xff;
}

/** Serves on port 80: `/` says who asks, `/bytes/N` gives N bytes. */
export function serveWeb(host: Host): AsyncDisposable {
  const server = createServer((request, response) => {
    const bytes = /^\/bytes\/(\d{1,10})$/.exec(request.url ?? "");
    if (request.url === "/") {
      const { remoteAddress, remotePort } = request.socket;
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(`hello ${remoteAddress}:${remotePort}, this is ${host.net.name}\n`);
    } else if (bytes !== null && Number(bytes[1]) <= MAX) sendBytes(response, Number(bytes[1])).catch(() => {});
    else response.writeHead(404).end("there are / and /bytes/N\n");
  });
  serveHttp(host.net, server, { port: 80 });
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

async function sendBytes(response: ServerResponse, size: number): Promise<void> {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": size });
  for (let at = 0; at < size && !response.destroyed; at += CHUNK) {
    const chunk = Uint8Array.from({ length: Math.min(CHUNK, size - at) }, (_, i) => byteAt(at + i));
    if (!response.write(chunk)) await once(response, "drain");
  }
  response.end();
}
