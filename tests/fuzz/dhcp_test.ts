/** 100,000 seeded messages into DHCP's parser, a server and a client: no throw, no hang, no leak, bounded work. */
import { assert, assertEquals } from "@std/assert";
import { createHost } from "../../mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import {
  decodeDhcp,
  DHCP_CLIENT,
  DHCP_SERVER,
  dhcpClient,
  type DhcpMessage,
  dhcpMessage,
  dhcpServer,
  encodeDhcp,
} from "../../plugins/socket/dhcp/mod.ts";
import { configOf, leaseOf } from "../../plugins/socket/dhcp/lease.ts";
import { buildDatagram } from "../../plugins/socket/dhcp/packet.ts";
import { resolver } from "../../plugins/socket/dns/mod.ts";
import { eth } from "../support/frames/build.ts";
import { Random } from "../support/frames/random.ts";
import { TestMachine } from "../support/hosts.ts";
import { spoil } from "./spoil.ts";

const MAC = "02:00:00:00:00:11";
const SERVER = 0x0a000001;

/** A message of either side, as it could be, with options of every kind. */
function message(random: Random, xid: number): DhcpMessage {
  const server = random.chance(0.6);
  const addr = (): number => random.pick([0, -1, SERVER, 0x0a000032, 0x0a000064, random.u32() | 0]);
  const m = dhcpMessage({
    op: server ? 2 : 1,
    xid: random.chance(0.9) ? xid : random.u32(),
    broadcast: random.chance(0.3),
    ciaddr: random.chance(0.7) ? 0 : addr(),
    yiaddr: server ? addr() : 0,
    giaddr: random.chance(0.9) ? 0 : addr(),
    haHi: 0x0200,
    haLo: random.chance(0.8) ? 0x11 : random.int(50),
  });
  const ip = (): Uint8Array => {
    const a = random.chance(0.6) ? SERVER : addr();
    return Uint8Array.of(a >>> 24, a >>> 16, a >>> 8, a);
  };
  const o = m.options;
  o.set(53, Uint8Array.of(random.chance(0.9) ? random.between(1, 8) : random.u8()));
  if (random.chance(0.8)) o.set(54, Uint8Array.of(10, 0, 0, 1));
  if (random.chance(0.8)) o.set(51, Uint8Array.of(0, 0, random.int(4), random.u8()));
  if (random.chance(0.7)) o.set(1, random.chance(0.8) ? Uint8Array.of(255, 255, 255, 0) : random.bytes(4));
  for (const code of [3, 6, 28, 42, 50]) if (random.chance(0.4)) o.set(code, ip());
  for (const code of [12, 15, 60, 61, 82]) if (random.chance(0.3)) o.set(code, random.bytes(random.int(40)));
  if (random.chance(0.4)) o.set(119, Uint8Array.of(3, 108, 97, 98, 0, 1, 97, 0xc0, random.u8()));
  if (random.chance(0.3)) o.set(121, Uint8Array.of(random.int(40), ...random.bytes(random.int(30))));
  if (random.chance(0.2)) o.set(55, random.bytes(random.int(20)));
  if (random.chance(0.2)) o.set(57, random.bytes(2));
  if (random.chance(0.1)) o.set(random.between(1, 254), random.bytes(random.int(400)));
  return m;
}

/** An answer that the client waits for. */
function fitting(random: Random, asked: DhcpMessage): DhcpMessage {
  const { xid, haHi, haLo } = asked;
  const type = asked.options.get(53)?.[0] === 1 ? 2 : random.pick([5, 5, 5, 6]);
  const yiaddr = 0x0a000032;
  const m = dhcpMessage({ op: 2, xid, haHi, haLo, yiaddr });
  m.options.set(53, Uint8Array.of(type)).set(54, Uint8Array.of(10, 0, 0, 1)).set(51, Uint8Array.of(0, 0, 0, 60));
  m.options.set(1, Uint8Array.of(255, 255, 255, 0)).set(3, Uint8Array.of(10, 0, 0, random.u8()));
  if (random.chance(0.5)) m.options.set(119, Uint8Array.of(3, 108, 97, 98, 0, 1, 97, 0xc0, random.int(6)));
  return m;
}

/** Messages of a seed into a host that is both, on a link where nobody else is; how many were understood. */
function fuzz(seed: number, count: number): { understood: number; bound: number; slowest: number } {
  using machine = new TestMachine({ seed });
  const random = new Random(seed);
  const server = createHost({
    machine,
    plugins: [dhcpServer({ dev: "ch0", range: ["10.0.0.50", "10.0.0.80"], ping: seed % 2 === 0 ? 50 : 0 })],
  });
  const client = createHost({ machine, plugins: [dhcpClient({ dev: "ch0", probe: 20, retry: 5 }), resolver()] });
  const [toServer, toClient] = [server, client].map(({ net }, i) => {
    return channel(net, "ch0", { address: i === 0 ? "02:00:00:00:00:01" : MAC, mtu: 1500 });
  });
  server.addr.add("ch0", "10.0.0.1/24");
  machine.advance(10e6);
  const state = client.net.get(DHCP_CLIENT);
  let bound = 0;
  state.onEvent((e) => e.kind === "bound" && bound++);
  let understood = 0, slowest = 0, xid = 0;
  let asked: DhcpMessage | null = null;
  for (let i = 0; i < count; i++) {
    const m: DhcpMessage = asked !== null && random.chance(0.2) ? fitting(random, asked) : message(random, xid);
    const bytes = spoil(encodeDhcp(m, random.chance(0.2) ? 1472 : 400), random);
    const start = performance.now();
    const read = decodeDhcp(bytes);
    if (typeof read !== "string") {
      understood++;
      configOf(read);
      leaseOf(read, machine.now);
      // What was read can be written, and is the same again.
      assertEquals(decodeDhcp(encodeDhcp(read, 4_000)), read);
    }
    const up = m.op === 1;
    const daddr = random.chance(0.8) ? -1 : up ? SERVER : 0x0a000032;
    const packet = buildDatagram(up ? 0 : SERVER, daddr, up ? 68 : 67, up ? 67 : 68, bytes);
    const src = up ? MAC : "02:00:00:00:00:01";
    const frame = eth({ src, dst: "ff:ff:ff:ff:ff:ff" }, packet);
    (up ? toServer : toClient).inject(frame.length > 1514 ? frame.slice(0, 1514) : frame);
    slowest = Math.max(slowest, performance.now() - start);
    // The id that the client uses now, so that some of it gets through.
    for (let f = toClient.read(); f !== null; f = toClient.read()) {
      const own = decodeDhcp(f.slice(42));
      if (typeof own !== "string") xid = (asked = own).xid;
    }
    while (toServer.read() !== null);
    if (i % 16 === 0) machine.advance(random.pick([1e6, 50e6, 2e9, 200e9]));
  }
  const { bindings, free } = server.net.get(DHCP_SERVER);
  assert(bindings().length <= 32 && free() >= 0);
  machine.advance(3600e9);
  assert(machine.skbs.live <= 64, `${machine.skbs.live} packets are still held after an hour`);
  assertEquals([server.net.pluginErrors, client.net.pluginErrors, machine.faults], [[], [], []]);
  return { understood, bound, slowest };
}

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`[A63] 25,000 DHCP messages of seed ${seed}, most of them spoilt: no throw, no hang, no leak`, () => {
    const { understood, bound, slowest } = fuzz(seed, 25_000);
    assert(understood > 5_000, `only ${understood} were understood`);
    assert(bound > 20, `only ${bound} leases came of it`);
    assert(slowest < 500, `one took ${slowest} ms`);
  });
}
