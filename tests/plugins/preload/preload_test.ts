/** Programs that know nothing of netpath run under the shim, without --allow-net, and say what they say without it. */
import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url).pathname;
const PROGRAM = "tests/plugins/preload/program.ts";
const PRELOAD = "plugins/lab/preload/mod.ts";

async function run(args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--quiet", ...args],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(30_000),
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("an unmodified program: Deno.*, fetch, node:net, node:http; the same output as on Deno's own network", async () => {
  const [own, shim, none] = await Promise.all([
    run(["--allow-net", PROGRAM]),
    run(["--preload", PRELOAD, PROGRAM]),
    run([PROGRAM]),
  ]);
  assertEquals([own.code, own.err], [0, ""]);
  assertEquals([shim.code, shim.err], [0, ""]);
  assertEquals(shim.out, own.out);
  assertStringIncludes(none.err, "Requires net access");
});

Deno.test("what waits holds the process, what is done lets it end, on the real clock", async () => {
  const program = await Deno.makeTempFile({ suffix: ".ts" });
  const source = `
    const server = Deno.listenDatagram({ port: 7, transport: "udp", hostname: "127.0.0.1" });
    const client = Deno.listenDatagram({ port: 0, transport: "udp", hostname: "127.0.0.1" });
    setTimeout(() => client.send(new Uint8Array(3), server.addr), 50);
    const [data] = await server.receive();
    console.log(data.length);
    const listener = Deno.listen({ port: 80 });
    listener.unref();
    listener.accept();
    console.log(await Deno.connect({ hostname: "no.such.test", port: 1 }).catch((e) => e.name));
  `;
  try {
    await Deno.writeTextFile(program, source);
    const { code, out, err } = await run(["--unstable-net", "--preload", PRELOAD, program]);
    assertEquals([code, out, err], [0, "3\nTypeError\n", ""]);
  } finally {
    await Deno.remove(program);
  }
});

Deno.test("a network of one's own: a lab behind the program, names, TLS and unix sockets are Deno's", async () => {
  const [network, program] = [await Deno.makeTempFile({ suffix: ".ts" }), await Deno.makeTempFile({ suffix: ".ts" })];
  try {
    await Deno.writeTextFile(
      network,
      `
      import { createLab } from "${ROOT}plugins/lab/mod.ts";
      import { serve } from "${ROOT}plugins/socket/http/mod.ts";
      import { install } from "${ROOT}plugins/lab/preload/install.ts";
      const lab = createLab({ seed: 1 });
      lab.link("program", "server", { delay: "50ms", loss: "10%" });
      serve(lab.host("server").net, { port: 80 }, (r) => new Response("hello " + new URL(r.url).pathname));
      install(lab.host("program").net, { resolve: (name) => name === "server" ? "10.0.0.2" : null });
    `,
    );
    await Deno.writeTextFile(
      program,
      `
      import http, { get } from "node:http";
      console.log(await (await fetch("http://server/there")).text());
      const conn = await Deno.connect({ hostname: "server", port: 80 });
      console.log(conn.localAddr.hostname, conn.remoteAddr.hostname);
      conn.close();
      const body = await new Promise((resolve, reject) => get("http://server/node", async (res) => {
        let text = "";
        for await (const chunk of res) text += chunk;
        resolve(text);
      }).on("error", reject));
      console.log(body);
      for (const call of [
        () => Deno.connect({ transport: "unix", path: "/nowhere" }),
        () => Deno.connectTls({ hostname: "server", port: 443 }),
        () => fetch("https://server/"),
      ]) console.log(await call().catch((e) => e.name));
    `,
    );
    // std is linked by the project's configuration, and a lab reads its files when it is told to.
    const { code, out, err } = await run(["--config", "deno.json", "--preload", network, program]);
    assertEquals([code, err], [0, ""]);
    assertEquals(out.split("\n"), [
      "hello /there",
      "10.0.0.1 10.0.0.2",
      "hello /node",
      "NotCapable",
      "NotCapable",
      "NotCapable",
      "",
    ]);
  } finally {
    await Deno.remove(network);
    await Deno.remove(program);
  }
});

Deno.test("disposed, the calls are Deno's again", async () => {
  const { install } = await import("../../../plugins/lab/preload/install.ts");
  const { createLab } = await import("../../../plugins/lab/mod.ts");
  const before = [Deno.connect, Deno.listen, Deno.serve, fetch];
  using lab = createLab({ seed: 1 });
  const shim = install(lab.host("a").net);
  const during = [Deno.connect, Deno.listen, Deno.serve, fetch];
  assertEquals(during.map((f, i) => f === before[i]), [false, false, false, false]);
  using listener = Deno.listen({ port: 4000 });
  assertEquals((listener.addr as Deno.NetAddr).port, 4000);
  assertEquals(lab.host("a").sys.sock(3) !== null, true);
  shim[Symbol.dispose]();
  assertEquals([Deno.connect, Deno.listen, Deno.serve, fetch], before);
});

Deno.test("examples/preload.ts: a program on a bad link, without a permission", async () => {
  const { code, out, err } = await run(["--preload", "examples/preload.ts", "examples/preload_program.ts"]);
  assertEquals([code, err], [0, ""]);
  const lines = out.trimEnd().split("\n");
  assertEquals(lines.map((l) => l.replace(/\d+ virtual/, "N virtual")), [
    "fetch        /one for 10.0.0.1, at N virtual ms",
    "Deno.connect /two for 10.0.0.1, at N virtual ms",
    "node:net     /three for 10.0.0.1, at N virtual ms",
    "port 81      connect ECONNREFUSED 10.0.0.2:81",
  ]);
});
