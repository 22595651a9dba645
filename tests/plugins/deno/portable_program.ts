/**
 * A course of events over core and the protocol plugins in plain JavaScript: no `Deno`, no `process`, no `node:`, nothing that
 * only one of Deno, Node 20 and a browser has. portable_test.ts runs it in each and compares what it gives.
 */
import { createHost, Machine } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { fetchOver, serve } from "../../../plugins/socket/http/mod.ts";

/** What came of it: the same everywhere. */
export interface Course {
  ping: number;
  udp: string;
  tcp: [number, number];
  http: [number, string][];
  refused: [string, string];
  /** Frames on the wire, and an FNV-1a hash of all their bytes. */
  frames: number;
  hash: string;
  /** Virtual ms at the end. */
  now: number;
  /** Packets that nobody freed. */
  leaks: number;
}

/** Runs it. */
export async function course(): Promise<Course> {
  const machine = new Machine({ seed: 7, strict: true, debug: true });
  let frames = 0;
  let hash = 0x811c9dc5;
  const cable = wire(machine, { delayNs: 5e6, loss: 0.02 });
  const [a, b] = ["a", "b"].map((name, i) => {
    const host = createHost({ machine, name });
    const { dev } = nic(host.net, "eth0", { wire: cable });
    host.addr.add("eth0", `10.0.0.${i + 1}/24`);
    dev.addTap((skb, _dev, outgoing) => {
      if (!outgoing) return;
      frames++;
      for (let at = skb.data; at < skb.tail; at++) hash = Math.imul(hash ^ skb.bytes[at], 0x01000193);
    });
    return host;
  });

  const ping = (await a.ping("10.0.0.2", { timeout: 10_000 })).timeNs;
  const server = b.listenDatagram({ port: 7 });
  const client = a.listenDatagram({ port: 9 });
  await client.send(new TextEncoder().encode("hello"), { transport: "udp", hostname: "10.0.0.2", port: 7 });
  const udp = new TextDecoder().decode((await server.receive())[0]);

  const listener = b.listen({ port: 80 });
  const conn = await a.connect({ hostname: "10.0.0.2", port: 80 });
  const peer = await listener.accept();
  const total = 200_000;
  const sent = conn.write(Uint8Array.from({ length: total }, (_, i) => i * 7 + (i >> 8)));
  let got = 0;
  let wrong = 0;
  for (const p = new Uint8Array(65536); got < total;) {
    const n = await peer.read(p) ?? 0;
    for (let i = 0; i < n; i++) if (p[i] !== ((got + i) * 7 + ((got + i) >> 8) & 255)) wrong++;
    got += n;
  }
  await sent;
  for (const each of [conn, peer, listener, server, client]) each.close();

  const web = serve(b.net, { port: 8080 }, async (r) => new Response(`${new URL(r.url).pathname} ${await r.text()}`));
  const fetch = fetchOver(a.net);
  const http: [number, string][] = [];
  for (const path of ["/one", "/two"]) {
    const response = await fetch(`http://10.0.0.2:8080${path}`, { method: "POST", body: "body" });
    http.push([response.status, await response.text()]);
  }
  await web.shutdown();
  const error = await a.connect({ hostname: "10.0.0.2", port: 1 }).then(() => null, (e) => e);
  machine.runUntilIdle();
  const now = machine.now / 1e6;
  machine[Symbol.dispose]();
  const end = { frames, hash: (hash >>> 0).toString(16), now, leaks: machine.skbs.live };
  return { ping, udp, tcp: [got, wrong], http, refused: [error.name, error.code], ...end };
}
