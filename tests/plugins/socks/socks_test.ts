/** The SOCKS5 door: messages byte for byte, a code for each failure, curl and fetch, and nothing left when it closes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, type Host } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { dnsServer, resolver } from "../../../plugins/socket/dns/mod.ts";
import { serve } from "../../../plugins/socket/http/mod.ts";
import { SOCKS_REPLY, type SocksOptions, type SocksServer, socksServer } from "../../../plugins/socket/socks/mod.ts";
import { TestMachine } from "../../support/hosts.ts";
import { testNeeding } from "../../support/needs.ts";
import { Stream } from "../../support/stream.ts";

interface Lab extends AsyncDisposable {
  machine: TestMachine;
  gate: Host;
  web: Host;
  door: SocksServer;
}

/** A gate (10.0.0.1) with the door, and web.lab (10.0.0.2), which has names for both; on virtual time. */
function lab(options: SocksOptions = {}): Lab {
  const machine = new TestMachine({ autoAdvance: true });
  const cable = wire(machine);
  const gate = createHost({ machine, name: "gate", plugins: [resolver({ servers: ["10.0.0.2"], search: ["lab"] })] });
  const zones = [{ name: "lab", hosts: { web: "10.0.0.2", nobody: "10.0.0.77", far: "203.0.113.1" } }];
  const web = createHost({ machine, name: "web", plugins: [dnsServer({ zones })] });
  nic(gate.net, "eth0", { wire: cable });
  nic(web.net, "eth0", { wire: cable });
  gate.addr.add("eth0", "10.0.0.1/24");
  web.addr.add("eth0", "10.0.0.2/24");
  const door = socksServer(gate.net, { port: 0, ...options });
  return {
    machine,
    gate,
    web,
    door,
    async [Symbol.asyncDispose]() {
      await door.close();
      machine.runUntilIdle();
      machine[Symbol.dispose]();
    },
  };
}

const HELLO = [5, 1, 0];
const text = (s: string): number[] => [...new TextEncoder().encode(s)];
const byName = (
  name: string,
  port: number,
  command = 1,
): number[] => [5, command, 0, 3, name.length, ...text(name), port >> 8, port & 255];
const byAddress = (
  address: string,
  port: number,
): number[] => [5, 1, 0, 1, ...address.split(".").map(Number), port >> 8, port & 255];

/** Sends bytes in pieces of `piece`, reads `n` bytes or to the end. */
async function raw(
  door: SocksServer,
  bytes: number[],
  n: number,
  piece = bytes.length,
): Promise<{ conn: Deno.TcpConn; got: number[] }> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: door.addr.port });
  conn.setNoDelay(true);
  for (let at = 0; at < bytes.length; at += piece) await conn.write(Uint8Array.from(bytes.slice(at, at + piece)));
  return { conn, got: await read(conn, n) };
}

async function read(conn: Deno.Conn, n: number): Promise<number[]> {
  const got: number[] = [];
  const p = new Uint8Array(65_536);
  while (got.length < n) {
    const k = await conn.read(p.subarray(0, Math.min(p.length, n - got.length))).catch(() => null);
    if (k === null) break;
    got.push(...p.subarray(0, k));
  }
  return got;
}

/** A server on web:7 that sends back what comes, and ends when the client does. */
function echo(web: Host): AsyncDisposable {
  const listener = web.listen({ port: 7 });
  const serving = (async () => {
    for await (const conn of listener) {
      const p = new Uint8Array(65_536);
      for (let n = await conn.read(p); n !== null; n = await conn.read(p)) await conn.write(p.subarray(0, n));
      conn.close();
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

Deno.test("the messages of RFC 1928, byte by byte and all at once; the reply has the address inside", async () => {
  for (const piece of [1, 1000]) {
    await using l = lab();
    await using _ = echo(l.web);
    const { conn, got } = await raw(l.door, [...HELLO, ...byName("web.lab", 7), ...text("early")], 17, piece);
    assertEquals(got.slice(0, 6), [5, 0, 5, 0, 0, 1]);
    assertEquals(got.slice(6, 10), [10, 0, 0, 1]);
    assert((got[10] << 8 | got[11]) >= 32_768);
    assertEquals(got.slice(12), text("early"));
    await conn.write(Uint8Array.from(text("late")));
    await conn.closeWrite();
    assertEquals(await read(conn, 100), text("late"));
    conn.close();
    assertEquals(l.door.stats.replies[SOCKS_REPLY.SUCCEEDED], 1);
    assertEquals([l.door.stats.bytesIn, l.door.stats.bytesOut], [9, 9]);
  }
});

Deno.test("a code for each failure", async () => {
  await using l = lab({ allow: (address, port) => address !== "10.0.0.2" || port !== 22 });
  const code = async (request: number[]): Promise<number> => {
    const { conn, got } = await raw(l.door, [...HELLO, ...request], 100);
    conn.close();
    assertEquals([got.length, got[0], got[1], got[2], ...got.slice(4)], [12, 5, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    return got[3];
  };
  assertEquals(await code(byAddress("10.0.0.2", 81)), SOCKS_REPLY.CONNECTION_REFUSED);
  assertEquals(await code(byName("web.lab", 81)), SOCKS_REPLY.CONNECTION_REFUSED);
  assertEquals(await code(byName("nobody.lab", 80)), SOCKS_REPLY.HOST_UNREACHABLE);
  assertEquals(await code(byAddress("203.0.113.1", 80)), SOCKS_REPLY.NETWORK_UNREACHABLE);
  assertEquals(await code(byName("far", 80)), SOCKS_REPLY.NETWORK_UNREACHABLE);
  assertEquals(await code(byName("none.lab", 80)), SOCKS_REPLY.HOST_UNREACHABLE);
  assertEquals(await code(byName("..", 80)), SOCKS_REPLY.HOST_UNREACHABLE);
  assertEquals(await code(byName("a\0b", 80)), SOCKS_REPLY.HOST_UNREACHABLE);
  assertEquals(await code(byAddress("10.0.0.2", 22)), SOCKS_REPLY.NOT_ALLOWED);
  for (const command of [0, 2, 3, 255]) {
    assertEquals(await code(byName("web.lab", 80, command)), SOCKS_REPLY.COMMAND_NOT_SUPPORTED);
  }
  assertEquals(await code([5, 1, 0, 4, ...new Array(16).fill(0), 0, 80]), SOCKS_REPLY.ADDRESS_TYPE_NOT_SUPPORTED);
  for (const type of [0, 2, 5]) assertEquals(await code([5, 1, 0, type]), SOCKS_REPLY.ADDRESS_TYPE_NOT_SUPPORTED);
  // The only server of names is not there: nobody can say.
  l.web.link.set("eth0", { up: false });
  l.gate.net.device("eth0")!.setCarrier(true);
  assertEquals(await code(byName("other.lab", 80)), SOCKS_REPLY.GENERAL_FAILURE);
});

Deno.test("user name and password (RFC 1929): right, wrong, not offered", async () => {
  await using l = lab({ auth: { username: "lab", password: "geheim" } });
  await using _ = echo(l.web);
  const login = (
    user: string,
    password: string,
  ): number[] => [5, 2, 0, 2, 1, user.length, ...text(user), password.length, ...text(password)];
  const right = await raw(l.door, [...login("lab", "geheim"), ...byName("web", 7)], 14);
  assertEquals(right.got.slice(0, 6), [5, 2, 1, 0, 5, 0]);
  right.conn.close();
  for (const [user, password] of [["lab", "geheiM"], ["lab", "geheimgeheim"], ["la", "geheim"], ["", ""]]) {
    const { conn, got } = await raw(l.door, [...login(user, password), ...byName("web", 7)], 100);
    assertEquals(got, [5, 2, 1, 1]);
    conn.close();
  }
  const { conn, got } = await raw(l.door, [...HELLO, ...byName("web", 7)], 100);
  assertEquals(got, [5, 255]);
  conn.close();
  assertEquals(l.door.stats.denied, 5);
});

Deno.test("what is no SOCKS5, and every cut of what is, ends the client and is counted", async () => {
  await using l = lab();
  for (const bytes of [[4, 1, 0, 80, 10, 0, 0, 2, 0], text("GET / HTTP/1.1\r\n\r\n"), [5, 1, 0, 4, 1, 0, 1]]) {
    const { conn, got } = await raw(l.door, bytes, 100);
    assert(got.length === 0 || got.join() === "5,0");
    conn.close();
  }
  assertEquals(l.door.stats.malformed, 3);
  const whole = [...HELLO, ...byName("web", 7)];
  for (let n = 0; n < whole.length; n++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: l.door.addr.port });
    if (n > 0) await conn.write(Uint8Array.from(whole.slice(0, n)));
    await conn.closeWrite();
    assertEquals((await read(conn, 100)).join(), n < 3 ? "" : "5,0");
    conn.close();
  }
  assertEquals([l.door.stats.malformed, l.door.connections], [3 + whole.length, 0]);
});

Deno.test("a client that says nothing is closed in time; too many are closed at once", async () => {
  await using l = lab({ handshakeTimeout: 50, maxConnections: 2 });
  const conns = await Promise.all([0, 1, 2].map(() => Deno.connect({ hostname: "127.0.0.1", port: l.door.addr.port })));
  for (const conn of conns) assertEquals(await read(conn, 1), []);
  assertEquals([l.door.stats.refused, l.door.stats.malformed], [1, 2]);
  for (const conn of conns) conn.close();
});

Deno.test("10 MB each way at once, byte for byte, with half closes", async () => {
  const SIZE = 10_000_000;
  const stream = new Stream(3);
  await using l = lab();
  await using _ = echo(l.web);
  const { conn } = await raw(l.door, [...HELLO, ...byName("web", 7)], 12);
  const sending = (async () => {
    for (let at = 0; at < SIZE;) at += await conn.write(stream.at(at, Math.min(65_536, SIZE - at)));
    await conn.closeWrite();
  })();
  const p = new Uint8Array(65_536);
  let at = 0;
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    assert(stream.holds(p, n, at), `bytes ${at} to ${at + n}`);
    at += n;
  }
  await sending;
  conn.close();
  assertEquals([at, l.door.stats.bytesIn, l.door.stats.bytesOut], [SIZE, SIZE, SIZE]);
});

Deno.test("a client that goes away while the connection is being made takes the attempt along", async () => {
  await using l = lab();
  // Time stands: nobody answers, and nobody gives up.
  const hold = l.machine.hold();
  l.gate.neigh.set("eth0", "10.0.0.77", "02:00:00:00:00:77");
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: l.door.addr.port });
  await conn.write(Uint8Array.from([...HELLO, ...byAddress("10.0.0.77", 80)]));
  assertEquals(await read(conn, 2), [5, 0]);
  while (l.gate.net.device("eth0")!.stats.txPackets === 0) await new Promise((go) => setTimeout(go, 1));
  conn.close();
  while (l.door.connections > 0) await new Promise((go) => setTimeout(go, 1));
  assertEquals(l.door.stats.replies[0], 0);
  hold[Symbol.dispose]();
});

Deno.test("closing the door ends what goes through it, and the other sides hear of it", async () => {
  await using l = lab();
  await using _ = echo(l.web);
  const { conn } = await raw(l.door, [...HELLO, ...byName("web", 7)], 12);
  await l.door.close();
  assertEquals(await read(conn, 1), []);
  conn.close();
  assertEquals(l.door.connections, 0);
  assertEquals(
    await Deno.connect({ hostname: "127.0.0.1", port: l.door.addr.port }).then(() => "", (e) => e.name),
    "ConnectionRefused",
  );
});

Deno.test("the built-in fetch through the door: a page, its headers, and an error that says why", async () => {
  await using l = lab();
  await using server = serve(
    l.web.net,
    { port: 80 },
    (request) => Response.json({ url: request.url, host: request.headers.get("host") }),
  );
  using client = Deno.createHttpClient({ proxy: { url: `socks5h://127.0.0.1:${l.door.addr.port}` } });
  assertEquals(await (await fetch("http://web.lab/a?b", { client })).json(), {
    url: "http://web.lab/a?b",
    host: "web.lab",
  });
  const error = await fetch("http://web.lab:81/", { client }).then(
    () => "",
    (e) => `${e.message} ${e.cause?.message ?? ""}`,
  );
  assert(/socks|refused/i.test(error), error);
  await server.shutdown();
});

testNeeding(
  ["program:curl"],
  "curl through the door: a page; a refused and an unknown host are its own errors",
  async () => {
    await using l = lab();
    await using server = serve(
      l.web.net,
      { port: 80 },
      (request) => new Response(`you asked for ${new URL(request.url).pathname}\n`),
    );
    const curl = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await new Deno.Command("curl", {
        args: ["-sS", "-m", "10", "--proxy", `socks5h://127.0.0.1:${l.door.addr.port}`, ...args],
        env: { LC_ALL: "C" },
      }).output();
      // Older ones say "Can't".
      const said = (new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)).replace("Can't", "cannot");
      return `${code} ${said}`.trim();
    };
    assertEquals(await curl("http://web.lab/page"), "0 you asked for /page");
    assertEquals(await curl("http://10.0.0.2/page"), "0 you asked for /page");
    // 97: CURLE_PROXY; the number in brackets is the reply's.
    assertEquals(await curl("http://web.lab:81/"), "97 curl: (97) cannot complete SOCKS5 connection to web.lab. (5)");
    assertEquals(await curl("http://none.lab/"), "97 curl: (97) cannot complete SOCKS5 connection to none.lab. (4)");
    assertEquals(await curl("http://far.lab/"), "97 curl: (97) cannot complete SOCKS5 connection to far.lab. (3)");
    await server.shutdown();
  },
);

Deno.test("options that make no sense, or would let others in, are refused", () => {
  const machine = new TestMachine();
  const { net } = createHost({ machine });
  assertThrows(() => socksServer(net, { hostname: "0.0.0.0", port: 0 }), TypeError, "others could reach the net");
  assertThrows(() => socksServer(net, { port: 70_000 }), RangeError, "port is a whole number");
  assertThrows(
    () => socksServer(net, { port: 0, auth: { username: "", password: "x" } }),
    RangeError,
    "1 to 255 bytes",
  );
  assertThrows(
    () => socksServer(net, { port: 0, auth: { username: "x", password: "ü".repeat(128) } }),
    RangeError,
    "1 to 255",
  );
  machine[Symbol.dispose]();
});
