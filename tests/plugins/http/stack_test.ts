/** serve(), fetch and WinterTC's connect() over TCP, between two hosts on a wire; and a service on a bad network. */
import { assert, assertEquals } from "@std/assert";
import { fetchOver, serve } from "../../../plugins/socket/http/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { type TwoHosts, twoHosts } from "../../support/hosts.ts";
import { httpSuite } from "./http_suite.ts";

const hosts = (options: Parameters<typeof twoHosts>[0] = {}): TwoHosts =>
  twoHosts({ ...options, machine: { autoAdvance: true, slabBytes: 64 << 20 } });

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

/** 50 requests, one after the other, with 10 % loss and 200 ms there and back: how long each took, in virtual ms. */
async function badNetwork(): Promise<number[]> {
  using t = hosts({ seed: 5, wire: { delayNs: 100e6, loss: 0.1 } });
  await using _server = serve(t.b.net, { port: 80 }, (request) => new Response(new URL(request.url).pathname));
  const fetch = fetchOver(t.a.net);
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const start = t.machine.now;
    assertEquals(await (await fetch(`http://10.0.0.2/${i}`)).text(), `/${i}`);
    times.push(Math.round((t.machine.now - start) / 1e6));
  }
  return times;
}

Deno.test("a service on two hosts with 10 % loss and 200 ms delay: 50 requests, the same every time", async () => {
  const start = performance.now();
  const times = await badNetwork();
  const wall = performance.now() - start;
  assertEquals(await badNetwork(), times);
  assert(Math.min(...times) >= 400 && Math.max(...times) > 1000, `${times}`);
  // 1 s on a machine that has nothing else to do.
  assert(wall < 5000, `${wall} ms`);
});

Deno.test("1,000 requests at once", async () => {
  using t = hosts();
  await using _server = serve(t.b.net, { port: 80, tcpBacklog: 2000 }, (request) => new Response(request.url));
  const fetch = fetchOver(t.a.net);
  const texts = await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => await (await fetch(`http://10.0.0.2/${i}`)).text()),
  );
  assertEquals(texts, texts.map((_, i) => `http://10.0.0.2/${i}`));
});
