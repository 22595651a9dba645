/** The relay: guests in other processes, by each way in; doors that are not for everybody; and nothing left at its end. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { createHost, type Host, Machine } from "../../../mod.ts";
import {
  portLink,
  qemuLink,
  streamDevice,
  type StreamLink,
  type StreamPort,
} from "../../../plugins/device/stream/mod.ts";
import { byteAt, createRelay, type Relay } from "../../../plugins/lab/relay/mod.ts";
import { dhcpClient, leased } from "../../../plugins/socket/dhcp/mod.ts";
import { lookup, resolver } from "../../../plugins/socket/dns/mod.ts";
import { testNeeding } from "../../support/needs.ts";

const SIZE = 10_000_000;
const text = new TextDecoder();

function expectedHash(): string {
  return createHash("sha256").update(Uint8Array.from({ length: SIZE }, (_, i) => byteAt(i))).digest("hex");
}

/** `netpath relay ARGS --json` in a process of its own, once it is ready. */
class RelayProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<Record<string, unknown>>;
  ready: Record<string, string> = {};
  events: Record<string, unknown>[] = [];

  constructor(...args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-check",
        "-A",
        new URL("../../../cli.ts", import.meta.url).pathname,
        "relay",
        "--json",
        ...args,
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = this.#read();
  }

  static async start(...args: string[]): Promise<RelayProcess> {
    const made = new RelayProcess(...args);
    made.ready = (await made.#lines.next()).value;
    return made;
  }

  async *#read(): AsyncGenerator<Record<string, unknown>> {
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      rest += text.decode(chunk);
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
        yield JSON.parse(rest.slice(0, end));
        rest = rest.slice(end + 1);
      }
    }
  }

  /** Ends it by Ctrl-C; its exit code, and what it said. */
  async end(): Promise<number> {
    // It says on the next look who has left.
    await new Promise((go) => setTimeout(go, 500));
    this.#child.kill("SIGINT");
    for await (const event of this.#lines) this.events.push(event);
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.#child.status;
  }
}

interface GuestSaw {
  address: string;
  router: string;
  dns: string;
  names: string[];
  hello: string;
  bytes: number;
  hash: string;
  ttl: number;
  lost: number;
  faults: number;
}

async function guest(way: string, where: string): Promise<GuestSaw> {
  const script = new URL("./guest.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", script, way, where],
  }).output();
  assert(success, text.decode(stderr));
  return JSON.parse(text.decode(stdout));
}

function checkGuest(saw: GuestSaw): void {
  assert(/^10\.0\.2\.\d+\/24$/.test(saw.address), saw.address);
  assertEquals([saw.router, saw.dns, saw.names], ["10.0.2.1", "10.0.2.1", ["10.0.3.10", "10.0.3.10", "ENOTFOUND"]]);
  // Without NAT: the host sees the guest's own address.
  assert(saw.hello.startsWith(`hello ${saw.address.split("/")[0]}:`), saw.hello);
  assertEquals([saw.bytes, saw.hash], [SIZE, expectedHash()]);
  assertEquals([saw.ttl, saw.lost, saw.faults], [63, 0, 0]);
}

Deno.test("netpath relay: guests in other processes over WebSocket and QEMU, TCP and Unix, get an address, a name, and 10 MB of node:http", async () => {
  const path = await Deno.makeTempFile({ prefix: "netpath-relay-" });
  await Deno.remove(path);
  await using tcp = await RelayProcess.start("--websocket", "0", "--qemu", "0");
  assertEquals([tcp.ready.router, tcp.ready.hosts], ["10.0.2.1/24", { "web.lab": "10.0.3.10" } as unknown as string]);
  const both = await Promise.all([guest("websocket", tcp.ready.websocket), guest("qemu", tcp.ready.qemu)]);
  both.forEach(checkGuest);
  assert(both[0].address !== both[1].address);
  assertEquals(await tcp.end(), 0);
  const said = (event: string): unknown[] => tcp.events.filter((e) => e.event === event).map((e) => e.way ?? e.address);
  assertEquals(said("joined").sort(), ["qemu", "websocket"]);
  assertEquals(said("left").sort(), ["qemu", "websocket"]);
  assertEquals(said("leased").sort(), both.map((g) => g.address.split("/")[0]).sort());

  await using unix = await RelayProcess.start("--websocket", "none", "--qemu", path);
  assertEquals([unix.ready.websocket, unix.ready.qemu], [undefined, path] as unknown as string[]);
  checkGuest(await guest("qemu", unix.ready.qemu));
  assertEquals(await unix.end(), 0);
  assertEquals(await Deno.stat(path).then(() => "there", () => "gone"), "gone");
});

testNeeding(
  ["program:curl"],
  "netpath relay --socks: curl reaches a lab host; a module's host is there by its name",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "netpath-relay-" });
    await Deno.writeTextFile(
      `${dir}/app.ts`,
      `export default (host) => { const l = host.listen({ port: 7 }); (async () => { for await (const c of l) { await c.write(new TextEncoder().encode("seven\\n")); c.close(); } })(); };`,
    );
    await using relay = await RelayProcess.start(
      ...["--websocket", "none", "--qemu", "none", "--socks", "0", "--host", `seven=${dir}/app.ts`, "--domain", "test"],
    );
    const { code, stdout, stderr } = await new Deno.Command("curl", {
      args: ["-sS", "-m", "10", "--http0.9", "--proxy", `socks5h://${relay.ready.socks}`, "http://seven.test:7/"],
    }).output();
    assertEquals([code, text.decode(stdout)], [0, "seven\n"], text.decode(stderr));
    assertEquals(await relay.end(), 0);
    await Deno.remove(dir, { recursive: true });
  },
);

/** A guest in this process. */
function inProcess(relay: Relay): { host: Host; machine: Machine } & AsyncDisposable {
  const { machine } = relay;
  const host = createHost({ machine, plugins: [dhcpClient({ dev: "eth0", probe: 0 }), resolver()] });
  const { port1, port2 } = new MessageChannel();
  relay.join(portLink(port1));
  const device = streamDevice(host.net, "eth0", portLink(port2));
  return {
    host,
    machine,
    async [Symbol.asyncDispose]() {
      await device[Symbol.asyncDispose]();
      host.net[Symbol.dispose]();
    },
  };
}

Deno.test("guests reach each other and lab hosts, and lab hosts guests, by their own addresses", async () => {
  await using relay = createRelay({ guests: "192.168.7.254/24", lab: "172.16.0.1/28", domain: "example" });
  const db = relay.host("db");
  assertEquals(relay.host("db"), db);
  await using a = inProcess(relay);
  await using b = inProcess(relay);
  const [one, two] = await Promise.all([a, b].map(({ host }) => leased(host.net, "eth0")));
  assertEquals([one.routers, one.domain], [["192.168.7.254"], "example"]);
  assertEquals((await a.host.ping(two.address)).ttl, 64);
  assertEquals(await lookup(b.host.net, "db"), "172.16.0.10");
  assertEquals((await b.host.ping("172.16.0.10")).ttl, 63);
  assertEquals((await db.ping(one.address)).ttl, 63);
  assertEquals(await lookup(db.net, "router"), "192.168.7.254");
  assertEquals(relay.guests.map((g) => g.way), ["port", "port"]);
  assertEquals(relay.leases.length, 2);
  for (let i = 0; i < 4; i++) relay.host(`h${i}`);
  assertThrows(() => relay.host("toomany"), RangeError, "the lab's subnet is full");
});

Deno.test("a guest that goes leaves nothing; its end of the link may be abrupt", async () => {
  await using relay = createRelay();
  const before = relay.machine.skbs.live;
  const ends: StreamPort[] = [];
  const hand = (): StreamLink => ({
    name: "hand",
    batch: 65_536,
    open: (port) => (ends.push(port), true),
    send: () => false,
    resume() {},
    close() {},
  });
  for (let i = 0; i < 20; i++) {
    const guest = relay.join(hand())!;
    const p = ends.pop()!;
    p.bytes(Uint8Array.of(0, 0, 0, 60, ...new Array(30).fill(255)), 0);
    if (i % 2 === 0) p.end("reset");
    else p.bytes(Uint8Array.of(...new Array(30).fill(1), 255, 255, 255, 255), 0);
    await guest.device.closed;
  }
  await new Promise((go) => setTimeout(go, 10));
  assertEquals([relay.guests.length, relay.machine.skbs.live - before], [0, 0]);
});

Deno.test("doors: no more guests than allowed, no page of another site, and what is no guest is told so", async () => {
  await using relay = createRelay({ maxGuests: 1 });
  const door = relay.listenWebSocket({ port: 0 });
  const qemu = relay.listenQemu({ port: 0 });
  const http = door.url.replace("ws:", "http:");
  assertEquals([(await get(http)).status], [426]);
  const upgrade = {
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
  };
  const knock = async (origin?: string): Promise<string> => {
    const { hostname, port } = new URL(http);
    const conn = await Deno.connect({ hostname, port: Number(port) });
    const headers = { host: `${hostname}:${port}`, ...upgrade, ...(origin === undefined ? {} : { origin }) };
    const lines = Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join("");
    await conn.write(new TextEncoder().encode(`GET / HTTP/1.1\r\n${lines}\r\n`));
    const p = new Uint8Array(1000);
    const line = text.decode(p.subarray(0, (await conn.read(p))!)).split("\r\n")[0];
    conn.close();
    return line.split(" ")[1];
  };
  assertEquals(await knock("https://evil.example"), "403");
  assertEquals(await knock("http://localhost.evil.example"), "403");
  assertEquals(await knock("http://localhost:8000"), "101");
  await until(() => relay.guests.length === 0);
  const [hostname, port] = qemu.url.split(":");
  const first = await Deno.connect({ hostname, port: Number(port) });
  await until(() => relay.guests.length === 1);
  assertEquals(await knock(), "503");
  const second = await Deno.connect({ hostname, port: Number(port) });
  assertEquals(await second.read(new Uint8Array(1)).catch(() => null), null);
  second.close();
  assertEquals(relay.turnedAway, 2);
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  assertEquals(relay.join(qemuLink({ readable: there.readable, writable: back.writable })), null);
  assertEquals(await back.readable.getReader().read().then(() => "", () => "aborted"), "aborted");
  // Wrong framing ends the guest, and its place is free.
  await first.write(Uint8Array.of(255, 255, 255, 255));
  const p = new Uint8Array(10_000);
  while (await first.read(p).catch(() => null) !== null);
  first.close();
  await until(() => relay.guests.length === 0);
});

async function get(url: string): Promise<Response> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response;
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((go) => setTimeout(go, 5));
  assert(holds(), "it did not come about within 5 s");
}

Deno.test("a guest of QEMU's framing over a pair of streams in this process; the relay ends with guests on it", async () => {
  const relay = createRelay();
  relay.host("web");
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  relay.join(qemuLink({ readable: there.readable, writable: back.writable }));
  const { machine } = relay;
  const host = createHost({ machine, plugins: [dhcpClient({ dev: "eth0", probe: 0 })] });
  const device = streamDevice(host.net, "eth0", qemuLink({ readable: back.readable, writable: there.writable }));
  await leased(host.net, "eth0");
  assertEquals((await host.ping("10.0.3.10")).ttl, 63);
  await relay[Symbol.asyncDispose]();
  await device.closed;
  assertEquals([machine.closed, machine.nets.length, machine.skbs.live], [true, 0, 0]);
});

Deno.test("options that make no sense are refused, in code and on the command line", async () => {
  const bad = (options: Parameters<typeof createRelay>[0], why: string): void =>
    void assertThrows(() => createRelay(options), Error, why);
  bad({ guests: "10.0.2.0/24" }, "a host's address");
  bad({ guests: "10.0.2.255/24" }, "a host's address");
  bad({ guests: "10.0.2.1/30" }, "a prefix from 8 to 28");
  bad({ guests: "10.0.2.1" }, "a prefix from 8 to 28");
  bad({ lab: "10.0.0.1/16" }, "they overlap");
  bad({ maxGuests: 0 }, "0 guests");
  await using relay = createRelay({ machine: new Machine() });
  for (const name of ["router", "gateway", "a.b", "-a", "x".repeat(16)]) {
    assertThrows(() => relay.host(name), TypeError, "Cannot name a lab host");
  }
  for (
    const [args, why] of [
      [["--qemu", "70000"], '--qemu "70000"'],
      [["--host", "x"], "NAME=MODULE"],
      [["--guest", "x"], "did you mean --guests?"],
      [["--guests", "10.0.2.0/24"], "a host's address"],
      [["--at", "sw"], "--at without a lab file"],
      [["none.yaml"], "Cannot read none.yaml"],
      [["--host", "a=b.ts", "a.yaml"], "--host with a lab file"],
      [["--at", "x", "examples/labs/router.yaml"], "at x: there are left, router, right"],
    ] as const
  ) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "-A", new URL("../../../cli.ts", import.meta.url).pathname, "relay", ...args],
      env: { NO_COLOR: "1" },
    }).output();
    assertEquals(code, 2);
    assert(text.decode(stderr).includes(why), text.decode(stderr));
  }
});
