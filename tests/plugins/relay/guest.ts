/**
 * A guest in a process of its own: joins a relay, gets an address, resolves a name, fetches, pings. Prints what it saw as JSON.
 *
 *     deno run -A guest.ts websocket ws://127.0.0.1:8086/ | qemu 127.0.0.1:1234 | qemu /path
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createHost, Machine, realPlatform } from "../../../mod.ts";
import { qemuLink, streamDevice, webSocketLink } from "../../../plugins/device/stream/mod.ts";
import { dhcpClient, leased } from "../../../plugins/socket/dhcp/mod.ts";
import { lookup, resolver } from "../../../plugins/socket/dns/mod.ts";
import { fetchOver } from "../../../plugins/socket/http/mod.ts";

const [way, where] = Deno.args;

async function link(): Promise<ReturnType<typeof qemuLink>> {
  if (way === "websocket") return webSocketLink(new WebSocket(where));
  if (where.includes("/")) return qemuLink(await Deno.connect({ transport: "unix", path: where }));
  const [hostname, port] = where.split(":");
  return qemuLink(await Deno.connect({ hostname, port: Number(port) }));
}

using machine = new Machine({ platform: realPlatform() });
const host = createHost({
  machine,
  name: "guest",
  plugins: [dhcpClient({ dev: "eth0", hostname: "guest" }), resolver()],
});
const device = streamDevice(host.net, "eth0", await link());
const lease = await leased(host.net, "eth0");
const address = await lookup(host.net, "web.lab");
const short = await lookup(host.net, "web");
const none = await lookup(host.net, "none.lab").then(() => "", (e) => e.code);
const fetch = fetchOver(host.net, { lookup: (name) => lookup(host.net, name) });
const hello = await (await fetch("http://web.lab/")).text();
const hash = createHash("sha256");
let bytes = 0;
for await (const chunk of (await fetch("http://web.lab/bytes/10000000")).body!) {
  hash.update(chunk);
  bytes += chunk.length;
}
const { ttl } = await host.ping(address, { timeout: 5000 });
const { rxErrors, rxMissed, rxDropped } = device.dev.stats;
console.log(JSON.stringify({
  address: `${lease.address}/${lease.prefix}`,
  router: lease.routers[0],
  dns: lease.dns[0],
  names: [address, short, none],
  hello,
  bytes,
  hash: hash.digest("hex"),
  ttl,
  lost: rxErrors + rxMissed + rxDropped,
  faults: machine.faults.length,
}));
await device[Symbol.asyncDispose]();
Deno.exit(0);
