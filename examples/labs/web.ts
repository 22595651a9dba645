// An application for a lab file: node:http on port 80 of the host. See bad_network.yaml.
import { createServer } from "node:http";
import type { Host } from "@netpath/stack";
import { serveHttp } from "@netpath/stack/node";

export default (host: Host, { signal }: { signal: AbortSignal }): Promise<void> =>
  new Promise((done) => {
    let served = 0;
    const server = createServer((request, response) => response.end(`${++served}: hello, this is ${request.url}`));
    serveHttp(host.net, server, { port: 80 });
    signal.addEventListener("abort", () => server.close(() => done()));
  });
