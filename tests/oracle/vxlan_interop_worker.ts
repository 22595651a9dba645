/**
 * A VXLAN segment between the kernel and netpath, in the network namespace that this script was started in. Prints what it
 * saw as JSON.
 *
 *     unshare -n DENO run -A vxlan_interop_worker.ts [--offloads]
 *
 *     kernel vxlan0 10.42.0.254 ═ 192.0.2.254 ── np0 ── 192.0.2.1 ═ 10.42.0.1 vxlan0 netpath
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createHost, Machine, realPlatform } from "../../mod.ts";
import { tap } from "../../plugins/device/tap/mod.ts";
import { fetchOver } from "../../plugins/socket/http/mod.ts";
import { serveHttp } from "../../plugins/socket/node/mod.ts";
import { vxlan, vxlanDevice } from "../../plugins/transport/vxlan/mod.ts";
import { Stream } from "../support/stream.ts";

const SIZE = 10_000_000;
const text = new TextDecoder();

/** A command; what it says. Bounded to 30 s. */
async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("timeout", {
    args: ["30", "sh", "-c", command],
    env: { LC_ALL: "C" },
  }).output();
  return (text.decode(stdout) + text.decode(stderr)).trim();
}

async function* chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const stream = new Stream(1);
  for (let at = 0; at < SIZE; at += 65_536) yield stream.at(at, Math.min(65_536, SIZE - at));
}

async function hashOf(parts: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of parts) hash.update(part);
  return hash.digest("hex");
}

const seen: Record<string, unknown> = {};
const made = await sh(
  "ip link set lo up; ip tuntap add dev np0 mode tap && ip addr add 192.0.2.254/24 dev np0 && ip link set np0 up",
);
const link = await sh("ip link add vxlan0 type vxlan id 42 remote 192.0.2.1 local 192.0.2.254 dstport 4789");
if (made + link !== "") {
  console.log(JSON.stringify({ missing: made + link }));
  Deno.exit(0);
}
await sh("ip addr add 10.42.0.254/24 dev vxlan0; ip link set vxlan0 mtu 1450 up");

using machine = new Machine({ platform: realPlatform() });
const host = createHost({ machine, name: "netpath", plugins: [vxlan()] });
await using device = tap(host.net, { name: "np0", offloads: Deno.args.includes("--offloads") });
host.addr.add("np0", "192.0.2.1/24");
const vx = vxlanDevice(host.net, "vxlan0", { id: 42, remote: "192.0.2.254" });
host.addr.add("vxlan0", "10.42.0.1/24");
const server = createServer((request, response) => {
  if (request.url !== "/big") return void response.writeHead(404).end("no\n");
  response.writeHead(200, { "content-length": SIZE });
  (async () => {
    for await (const chunk of chunks()) {
      if (!response.write(chunk)) await new Promise((go) => response.once("drain", go));
    }
    response.end();
  })();
});
serveHttp(host.net, server, { port: 80 });

seen.expected = await hashOf(chunks());
seen.ping = await sh("ping -c 3 -i 0.1 -W 2 10.42.0.1 | grep -o '[0-9]* received'");
seen.longPing = await sh("ping -c 2 -i 0.1 -W 2 -s 4000 10.42.0.1 | grep -o '[0-9]* received'");
seen.dfPing = await sh("ping -c 1 -W 2 -M do -s 1422 10.42.0.1 | grep -o '[0-9]* received'");
seen.pingBack = (await host.ping("10.42.0.254", { timeout: 2000 })).ttl;
seen.curl = await sh("curl -sS -m 25 http://10.42.0.1/big | sha256sum | cut -d ' ' -f 1");
seen.missing404 = await sh("curl -sS -m 5 -o /dev/null -w '%{http_code}' http://10.42.0.1/none");
seen.refused = await sh("curl -sS -m 5 http://10.42.0.1:81/ 2>&1; echo $?");

const kernel = Deno.serve({ hostname: "10.42.0.254", port: 8080, onListen() {} }, async (request) => {
  if (request.method === "PUT") return new Response(await hashOf(request.body!));
  return new Response(ReadableStream.from(chunks()));
});
const fetch = fetchOver(host.net);
seen.fetched = await hashOf((await fetch("http://10.42.0.254:8080/")).body!);
const put = { method: "PUT", body: ReadableStream.from(chunks()), duplex: "half" } as RequestInit;
seen.uploaded = await (await fetch("http://10.42.0.254:8080/", put)).text();
await kernel.shutdown();

seen.fdb = (await sh("bridge fdb show dev vxlan0")).split("\n").filter((l) => l.startsWith(vx.dev.address)).map((l) =>
  l.trim()
);
seen.learnt = vx.fdb().filter((e) => !e.permanent);
seen.kernelMac = await sh("ip -o link show vxlan0 | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/'");
seen.mac = vx.dev.address;
// Another segment, and another sender: neither comes in.
const other = async (id: number, local: string, inside: string): Promise<void> => {
  await sh(`ip link add vxlan1 type vxlan id ${id} remote 192.0.2.1 local ${local} dstport 4789`);
  await sh(
    `ip addr add ${inside}.254/24 dev vxlan1; ip link set vxlan1 up; ping -c 1 -W 1 ${inside}.1; ip link del vxlan1`,
  );
};
await other(43, "192.0.2.254", "10.43.0");
seen.otherVni = host.net.dropped("VXLAN_VNI_NOT_FOUND") > 0;
await sh("ip link del vxlan0; ip addr add 192.0.2.99/24 dev np0");
const before = vx.dev.stats.rxPackets;
await other(42, "192.0.2.99", "10.42.0");
seen.stranger = host.net.dropped("VXLAN_UNKNOWN_PEER") > 0;
seen.received = vx.dev.stats.rxPackets - before;
seen.rxErrors = [device.dev.stats.rxErrors, machine.faults.length];
console.log(JSON.stringify(seen));
Deno.exit(0);
