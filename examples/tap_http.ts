// deno run --allow-ffi examples/tap_http.ts
//
// Node's own HTTP server on a real device: the kernel's curl asks, netpath's TCP answers at 10.9.0.1, until Ctrl-C. What
// is PUT is kept in memory and comes back by GET. Linux.
//
//     sudo ip tuntap add dev tap0 mode tap user $(id -un)
//     sudo ip addr add 10.9.0.254/24 dev tap0 && sudo ip link set tap0 up
//     curl http://10.9.0.1/
//     curl -T some.file http://10.9.0.1/file && curl http://10.9.0.1/file | cmp - some.file
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { createHost, Machine, realPlatform } from "@netpath/stack";
import { serveHttp } from "@netpath/stack/node";
import { DeviceError, tap, type TapDevice } from "@netpath/stack/tap";

const name = Deno.args[0] ?? "tap0";
const address = Deno.args[1] ?? "10.9.0.1/24";

using machine = new Machine({ platform: realPlatform() });
const host = createHost({ machine, name: "netpath" });

function open(): TapDevice {
  try {
    return tap(host.net, { name, offloads: true });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    // One line that says what is missing, and what to run.
    console.error(error.message);
    Deno.exit(1);
  }
}

await using device = open();
host.addr.add(device.dev.name, address);

const files = new Map<string, Uint8Array[]>();

/** Keeps the body; its SHA-256. */
async function keep(request: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) {
    hash.update(chunk);
    chunks.push(chunk);
  }
  files.set(request.url!, chunks);
  return hash.digest("hex");
}

const server = createServer(async (request, response) => {
  const { url, method, socket } = request;
  const { remoteAddress, remotePort } = socket;
  try {
    if (method === "PUT") return response.end(`${await keep(request)}\n`);
  } catch {
    return; // The peer went away in the middle.
  }
  const file = files.get(url!);
  if (file !== undefined) return Readable.from(file).pipe(response);
  response.statusCode = url === "/" ? 200 : 404;
  response.end(`hello ${remoteAddress}:${remotePort}, this is netpath; there ${url === "/" ? "is" : "is no"} ${url}\n`);
});
serveHttp(host.net, server, { port: 80 });
await once(server, "listening");
Deno.addSignalListener("SIGINT", () => {
  server.close();
  server.closeAllConnections();
});
console.log(`http://${address.split("/")[0]}/`);

await once(server, "close");
const { rxPackets, txPackets } = device.dev.stats;
console.log(`received ${rxPackets} frames, sent ${txPackets}`);
