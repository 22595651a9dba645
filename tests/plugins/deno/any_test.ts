/** listenAny(): every address, every port; what another listener has, and what `accept` leaves, goes its own way. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FIB } from "../../../plugins/network/fib/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { createLab, type TestLab } from "../../../plugins/lab/testing/mod.ts";
import { AddrInUse, type TcpListener } from "../../../plugins/socket/deno/mod.ts";

/** client - gateway - server; the client sends all to the gateway. */
function threeHosts(): TestLab {
  const lab = createLab({ seed: 1 });
  lab.host("gateway", { forwarding: true });
  lab.link("client", "gateway");
  lab.link("gateway", "server");
  lab.host("client").route.add("default", { via: "10.0.0.2" });
  lab.host("server").route.add("default", { via: "10.0.1.1" });
  return lab;
}

/** Answers each connection with where it wanted to go, in front of what it says. */
async function tell(listener: TcpListener): Promise<void> {
  for await (const conn of listener) {
    const text = await new Response(conn.readable).text().catch(() => "");
    assertEquals(text, "");
  }
}

Deno.test("any address and port: localAddr is where the client wanted to go; bytes go both ways", async () => {
  using lab = threeHosts();
  using listener = lab.host("gateway").listenAny();
  const targets = ["192.0.2.1:80", "203.0.113.9:1", "8.8.8.8:65535", "10.0.1.2:443", "10.0.0.2:22"];
  for (const target of targets) {
    const [hostname, port] = target.split(":");
    using conn = await lab.host("client").connect({ hostname, port: Number(port) });
    using here = await listener.accept();
    assertEquals(here.localAddr, { transport: "tcp", hostname, port: Number(port) });
    assertEquals(here.localAddr, conn.remoteAddr);
    assertEquals(here.remoteAddr, conn.localAddr);
    await conn.write(new Uint8Array(100_000).fill(7));
    await conn.closeWrite();
    const p = new Uint8Array(65536);
    let n = 0;
    for (let m = await here.read(p); m !== null; m = await here.read(p)) n += m;
    await here.write(new TextEncoder().encode(`${n} bytes`));
    here.close();
    assertEquals(await new Response(conn.readable).text(), "100000 bytes");
  }
});

Deno.test("a listener of its own keeps its port; accept() leaves the rest to routing", async () => {
  using lab = threeHosts();
  const [client, gateway, server] = ["client", "gateway", "server"].map((n) => lab.host(n));
  using web = gateway.listen({ port: 80 });
  using far = server.listen({ port: 80 });
  const asked: string[] = [];
  using any = gateway.listenAny({
    accept: ({ hostname, port }) => {
      asked.push(`${hostname}:${port}`);
      return port === 443;
    },
  });
  const done = tell(any);
  using _one = await client.connect({ hostname: "10.0.0.2", port: 80 });
  using _taken = await web.accept();
  assertEquals(asked, []);
  using _two = await client.connect({ hostname: "10.0.1.2", port: 80 });
  using forwarded = await far.accept();
  assertEquals(forwarded.remoteAddr.hostname, "10.0.0.1");
  // The answers of the server pass here, too.
  const back = `10.0.0.1:${forwarded.remoteAddr.port}`;
  assertEquals([...new Set(asked)], ["10.0.1.2:80", back]);
  using _three = await client.connect({ hostname: "10.0.1.2", port: 443 });
  await assertRejects(() => client.connect({ hostname: "10.0.0.2", port: 81 }), Deno.errors.ConnectionRefused);
  _three.close();
  any.close();
  await done;
});

Deno.test("closed, all is as before; one at a time", async () => {
  using lab = threeHosts();
  const { net } = lab.host("gateway");
  const fib = net.get(FIB);
  const any = lab.host("gateway").listenAny();
  assertThrows(() => lab.host("gateway").listenAny(), AddrInUse, "Cannot listen on any address: address in use");
  const from = () => fib.routeOutput(0x0a000001, 0x08080808, 0, 0);
  assert(from() !== null);
  any.close();
  assertEquals([from(), net.get(TCP).counts().listeners], [null, 0]);
  assertThrows(() => any.close(), Deno.errors.BadResource);
  using again = lab.host("gateway").listenAny();
  using _conn = await lab.host("client").connect({ hostname: "8.8.4.4", port: 53 });
  assertEquals((await again.accept()).localAddr.hostname, "8.8.4.4");
});

Deno.test("500 connections to 500 addresses at once, and nothing is left of them", async () => {
  using lab = createLab({ seed: 1, debug: false, limit: 100 });
  lab.link("client", "gateway");
  const [client, gateway] = [lab.host("client"), lab.host("gateway")];
  client.route.add("default", { via: "10.0.0.2" });
  const listener = gateway.listenAny({ tcpBacklog: 1000 });
  const seen = new Set<string>();
  const accepted = (async () => {
    for await (const conn of listener) {
      seen.add(`${conn.localAddr.hostname}:${conn.localAddr.port}`);
      conn.close();
    }
  })();
  const ends = Array.from({ length: 500 }, async (_, i) => {
    const conn = await client.connect({ hostname: `198.51.${i >> 8}.${i & 255}`, port: 1 + i * 100 });
    await new Response(conn.readable).text();
  });
  await Promise.all(ends);
  assertEquals(seen.size, 500);
  listener.close();
  await accepted;
  lab.runUntilIdle();
  for (const { net } of [client, gateway]) {
    const { established, requests, listeners, bound, memory } = net.get(TCP).counts();
    assertEquals([established, requests, listeners, bound, memory], [0, 0, 0, 0, 0]);
  }
});

Deno.test("a source that cannot be, fragments and other protocols are not taken", async () => {
  using lab = threeHosts();
  using _any = lab.host("gateway").listenAny();
  const to = { ip: { dst: "8.8.8.8" }, tcp: { dport: 80 } };
  lab.inject("gateway:eth0", { ...to, ip: { ...to.ip, src: "127.0.0.1" } });
  await lab.expectDrop("IP_LOCALNET", { on: "gateway" });
  lab.inject("gateway:eth0", { ...to, ip: { ...to.ip, mf: true } });
  lab.inject("gateway:eth0", { ip: { dst: "8.8.8.8" }, udp: { dport: 53 } });
  await lab.expectPacket("gateway:eth0", { icmp: { type: 3, code: 0 } }, { direction: "out" });
  await lab.expectNoPacket("gateway:eth0", { tcp: {} }, { direction: "out", within: "10ms" });
  lab.inject("gateway:eth0", to);
  await lab.expectPacket("gateway:eth0", { ip: { src: "8.8.8.8" }, tcp: { flags: "SA" } }, { direction: "out" });
});
