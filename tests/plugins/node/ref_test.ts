/** On a real clock a call that waits keeps the process running, and unref() lets go; under virtual time nothing does. */
import { assertEquals } from "@std/assert";

const root = new URL("../../../", import.meta.url);

/** What a program in a process of its own printed before it ended, or what it had printed when it did not end. */
async function run(program: string): Promise<string> {
  const head = `
    import { Machine, realPlatform } from "${root}core/mod.ts";
    import { connect, listen } from "${root}plugins/socket/deno/mod.ts";
    import * as node from "${root}plugins/socket/node/mod.ts";
    import { FakeStreams } from "${root}tests/support/fakes/streams.ts";
    const machine = (options) => new Machine(options);
    const real = { platform: realPlatform() };
    const netOf = (m) => m.createNet({ plugins: [new FakeStreams(m).plugin(0x0a000001)] });
    globalThis.onunload = () => console.log("ended");
  `;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--quiet", "--ext=js", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(head + program));
  await input.close();
  // A program that holds is ended by its own timer, whose text says so.
  return new TextDecoder().decode((await child.output()).stdout).split("\n")[0];
}

const stays = `Deno.unrefTimer(setTimeout(() => { console.log("stays"); Deno.exit(); }, 300));`;

Deno.test("ref and unref of the Deno face", async () => {
  const outputs = await Promise.all([
    run(`listen(netOf(machine(real)), { port: 1 }).accept().then(() => {}); ${stays}`),
    run(`const l = listen(netOf(machine(real)), { port: 1 }); l.unref(); l.accept().then(() => {}); ${stays}`),
    run(`listen(netOf(machine(real)), { port: 1 }); ${stays}`),
    run(`listen(netOf(machine({})), { port: 1 }).accept().then(() => {}); ${stays}`),
    run(`connect(netOf(machine(real)), { port: 9 }).then(() => {}); ${stays}`),
    run(`const net = netOf(machine(real)), l = listen(net, { port: 1 });
      const c = await connect(net, { port: 1, hostname: "10.0.0.1" });
      c.read(new Uint8Array(1)).then(() => {}); c.unref(); c.ref(); ${stays}`),
    run(`const net = netOf(machine(real)), l = listen(net, { port: 1 });
      const c = await connect(net, { port: 1, hostname: "10.0.0.1" });
      c.read(new Uint8Array(1)).catch(() => {}); c.close(); l.close(); ${stays}`),
  ]);
  assertEquals(outputs, ["stays", "ended", "ended", "ended", "stays", "stays", "ended"]);
});

Deno.test("ref and unref of the Node face", async () => {
  const outputs = await Promise.all([
    run(`node.createServer(netOf(machine(real))).listen(1); ${stays}`),
    run(`node.createServer(netOf(machine(real))).listen(1).unref(); ${stays}`),
    run(`node.createServer(netOf(machine({}))).listen(1); ${stays}`),
    run(`const s = node.createServer(netOf(machine(real))).listen(1); s.close(); ${stays}`),
    run(`node.connect(netOf(machine(real)), 9, "10.0.0.1"); ${stays}`),
    run(`node.connect(netOf(machine(real)), 9, "10.0.0.1").unref(); ${stays}`),
  ]);
  assertEquals(outputs, ["stays", "ended", "ended", "ended", "stays", "ended"]);
});
