/** A fetch that is aborted at any moment leaves nothing: no socket, timer, packet or byte, on either side. */
import { assertEquals } from "@std/assert";
import { createLab } from "../../../plugins/lab/testing/mod.ts";
import { fetchOver, serve } from "../../../plugins/socket/http/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";

/** Aborts an exchange of endless bodies after `ms` of virtual time; how far it came. */
async function abortAfter(ms: number): Promise<string> {
  using lab = createLab({ seed: 1, autoAdvance: false, debug: false, limit: 100 });
  lab.link("client", "server", { delay: "5ms", rate: "100mbit" });
  const endless = (): ReadableStream<Uint8Array> =>
    new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(20_000)) }, { highWaterMark: 0 });
  const ended: string[] = [];
  const server = serve(lab.host("server").net, { port: 80 }, (request) => {
    request.signal.addEventListener("abort", () => ended.push("signal"));
    request.body?.pipeTo(new WritableStream()).catch(() => ended.push("request"));
    return new Response(endless());
  });
  const abort = new AbortController();
  let stage = "connecting";
  const asked = (async () => {
    const init = { method: "POST", body: endless(), duplex: "half", signal: abort.signal } as RequestInit;
    const response = await fetchOver(lab.host("client").net)("http://10.0.0.2/", init);
    stage = "response";
    for await (const _ of response.body!) stage = "body";
  })().catch((error) => error.name);
  await lab.settle();
  for (let i = 0; i < ms; i++) {
    lab.advance(1e6);
    await lab.settle();
  }
  abort.abort();
  assertEquals(await asked, "AbortError");
  const shut = server.shutdown();
  for (let i = 0; i < 20; i++) {
    await lab.settle();
    lab.advance(100e6);
  }
  await shut;
  lab.runUntilIdle();
  for (const name of ["client", "server"]) {
    const { established, timeWait, orphans, requests, listeners, bound, memory } = lab.host(name).net.get(TCP).counts();
    const left = { established, timeWait, orphans, requests, listeners, bound, memory };
    assertEquals(Object.values(left), [0, 0, 0, 0, 0, 0, 0], `${name} after ${ms} ms: ${JSON.stringify(left)}`);
  }
  assertEquals([lab.machine.skbs.live, lab.machine.nextTimer(false)], [0, Infinity], `after ${ms} ms`);
  if (stage === "body") assertEquals(ended.sort(), ["request", "signal"], `after ${ms} ms`);
  return stage;
}

Deno.test("aborted at each of the first milliseconds of an exchange, it leaves nothing", async () => {
  const stages = new Set<string>();
  for (const ms of [...Array(24).keys(), 31, 47, 60]) stages.add(await abortAfter(ms));
  assertEquals([...stages], ["connecting", "body"]);
});
