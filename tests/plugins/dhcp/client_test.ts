/** The client: its states and times, what it believes, what it puts to use and takes away again. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createHost, type Host } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import {
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  nfRegisterNetHook,
} from "../../../plugins/network/netfilter/mod.ts";
import {
  DHCP_CLIENT,
  DHCP_SERVER,
  type DhcpClient,
  dhcpClient,
  type DhcpClientOptions,
  DhcpError,
  type DhcpEvent,
  type DhcpMessage,
  dhcpServer,
  leased,
} from "../../../plugins/socket/dhcp/mod.ts";
import { optIp, optText } from "../../../plugins/socket/dhcp/options.ts";
import { RESOLVER, resolver } from "../../../plugins/socket/dns/mod.ts";
import { TestMachine } from "../../support/hosts.ts";
import { HandServer, ip, ips, kind, type Link, link, u32 } from "./kit.ts";

interface Setup {
  t: Link;
  host: Host;
  client: DhcpClient;
  server: HandServer;
  events: string[];
}

/** A client with a server by hand; it has sent its first DISCOVER. */
function asking(options: Partial<DhcpClientOptions> = {}): Setup & Disposable {
  const t = link();
  const server = new HandServer(t);
  const [host] = t.hosts;
  host.net.use(resolver(), dhcpClient({ dev: "eth0", probe: 0, ...options }));
  const client = host.net.get(DHCP_CLIENT);
  const events: string[] = [];
  client.onEvent((e: DhcpEvent) => events.push(e.lease === null ? e.kind : `${e.kind} ${e.lease.address}`));
  t.machine.advance(2e6);
  return { t, host, client, server, events, [Symbol.dispose]: () => t[Symbol.dispose]() };
}

/** DISCOVER, OFFER, REQUEST, ACK. */
function bind(s: Setup, options: Record<number, Uint8Array> = {}, address = "10.0.0.50"): void {
  s.server.answer("OFFER", s.server.one("DISCOVER").m, address, options);
  s.server.answer("ACK", s.server.one("REQUEST").m, address, options);
  assertEquals(s.client.state("eth0"), "BOUND");
}

/** What is sent within `seconds`: kind, second, and the sender's address as text of its last byte. */
function sent(s: Setup, seconds: number, on?: (m: DhcpMessage, at: number) => void): [string, number, number][] {
  const out: [string, number, number][] = [];
  const start = s.t.machine.now;
  for (let i = 0; i <= seconds * 10; i++) {
    for (const { m, from } of s.server.heard()) {
      const at = Math.round((s.t.machine.now - start) / 1e9);
      out.push([kind(m), at, from & 255]);
      on?.(m, at);
    }
    s.t.machine.advance(100e6);
  }
  return out;
}

Deno.test("DISCOVER and REQUEST come from nobody to all, and say who asks and for what", () => {
  using s = asking({ hostname: "web", address: "10.0.0.77" });
  const { m, from } = s.server.one("DISCOVER");
  assertEquals([from, m.ciaddr, m.broadcast, m.haHi, m.haLo, m.secs], [0, 0, false, 0x0200, 0x11, 0]);
  assertEquals([optIp(m, 50), optText(m, 12), optText(m, 60)], [ip("10.0.0.77"), "web", "netpath"]);
  assertEquals(m.options.get(61), Uint8Array.of(1, 2, 0, 0, 0, 0, 0x11));
  assertEquals([...m.options.get(55)!], [1, 121, 3, 6, 15, 119, 28, 26, 42, 51, 58, 59]);
  assertEquals(m.options.get(57), Uint8Array.of(5, 220));
  s.server.answer("OFFER", m, "10.0.0.50");
  const { m: request } = s.server.one("REQUEST");
  assertEquals([request.xid, optIp(request, 50), optIp(request, 54)], [m.xid, ip("10.0.0.50"), ip("10.0.0.1")]);
  assertEquals([s.client.state("eth0"), s.client.lease("eth0")], ["REQUESTING", null]);
});

Deno.test("what a lease says is put to use, and taken away when it is released", () => {
  using s = asking({ mtu: true });
  const options = {
    3: ips("10.0.0.1"),
    6: ips("10.0.0.1", "10.0.0.2"),
    15: new TextEncoder().encode("lab\0"),
    26: Uint8Array.of(5, 120),
  };
  bind(s, options);
  const { host, client } = s;
  assertEquals(host.addr.list("eth0"), ["10.0.0.50/24"]);
  assertEquals(host.addr.show("eth0").includes("brd 10.0.0.255"), true);
  assertEquals([host.route.get("192.0.2.1").via, host.route.get("192.0.2.1").src], ["10.0.0.1", "10.0.0.50"]);
  assertEquals([host.net.get(RESOLVER).servers, host.net.get(RESOLVER).search], [["10.0.0.1", "10.0.0.2"], ["lab"]]);
  assertEquals(host.link.get("eth0").mtu, 1400);
  assertEquals([client.release("eth0"), client.release("eth0"), client.state("eth0")], [true, false, "INIT"]);
  s.t.machine.advance(1e9);
  const { m, from } = s.server.one("RELEASE");
  assertEquals([from, m.ciaddr, optIp(m, 54)], [ip("10.0.0.50"), ip("10.0.0.50"), ip("10.0.0.1")]);
  assertEquals([host.addr.list("eth0"), host.route.list(), host.net.get(RESOLVER).servers], [[], [], []]);
  assertEquals(s.events, ["bound 10.0.0.50", "released 10.0.0.50"]);
  assertEquals(sent(s, 100), []);
  client.start("eth0");
  bind(s);
});

Deno.test("routes of option 121 come instead of the router; one that is not on the subnet is on the link", () => {
  using s = asking({ metric: 5 });
  bind(s, { 3: ips("10.0.0.1"), 121: Uint8Array.of(0, 10, 0, 0, 2, 16, 10, 1, 10, 0, 0, 3, 24, 10, 2, 0, 0, 0, 0, 0) });
  const routes = (): string[] =>
    s.host.route.list().filter((r) => r.metric === 5).map((r) => `${r.to} ${r.via ?? "link"}`);
  assertEquals(routes().sort(), ["10.1.0.0/16 10.0.0.3", "10.2.0.0/24 link", "default 10.0.0.2"]);
  s.client.release("eth0");
  s.t.machine.advance(1e9);
  s.server.heard();
  s.client.start("eth0");
  bind(s, { 1: ips("255.255.255.255"), 3: ips("192.0.2.1") });
  assertEquals([s.host.addr.list("eth0"), routes()], [["10.0.0.50/32"], ["default 192.0.2.1"]]);
});

Deno.test("no server: after 4, 8, 16 and 32 s, a second more or less; then it waits, and virtual time does not", () => {
  using s = asking({ retry: 300 });
  const times = sent(s, 700).map(([what, at]) => {
    assertEquals(what, "DISCOVER");
    return at;
  });
  const gaps = times.slice(1).map((at, i) => at - times[i]);
  assertEquals(times.length, 10);
  [4, 8, 16, 32].forEach((want, i) => assert(Math.abs(gaps[i] - want) <= 1.1, `${gaps}`));
  assert(gaps[4] > 300 && gaps[4] < 366, `${gaps}`);
  assertEquals(s.events, ["timeout", "timeout"]);
  const before = s.t.machine.now;
  s.t.machine.runUntilIdle();
  assert(s.t.machine.now - before < 1e9);
});

Deno.test("the server that offered does not answer: four requests, then from the beginning", () => {
  using s = asking();
  const seen = sent(s, 70, (m, at) => at === 0 && kind(m) === "DISCOVER" && s.server.answer("OFFER", m, "10.0.0.50"));
  assertEquals(seen.map(([what]) => what).slice(0, 6), ["DISCOVER", ...Array(4).fill("REQUEST"), "DISCOVER"]);
});

Deno.test("at T1 it asks its server, at T2 all, at the end it has no address; each again after half of what is left", () => {
  using s = asking();
  bind(s);
  assertEquals(s.host.net.get(DHCP_CLIENT).lease("eth0")?.renewal, 500);
  s.t.machine.advance(1e9);
  s.server.heard();
  const seen: string[] = [];
  const all = sent(s, 1020, (m) => {
    seen.push(`${kind(m)} ${s.client.state("eth0")} ${m.ciaddr & 255} ${optIp(m, 50)}`);
  });
  assertEquals(
    all.map(([, at, from]) => [Math.round(at / 10) * 10, from]).slice(0, 6),
    [
      [500, 50],
      [690, 50],
      [780, 50],
      [840, 50],
      [870, 50],
      [940, 50],
    ].slice(0, 6),
  );
  assertEquals(
    new Set(seen),
    new Set(["REQUEST RENEWING 50 null", "REQUEST REBINDING 50 null", "DISCOVER SELECTING 0 null"]),
  );
  assertEquals(s.events, ["bound 10.0.0.50", "expired 10.0.0.50"]);
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["SELECTING", []]);
});

Deno.test("renewed in time: the address stays as it was, the times begin again; other routes take the old ones' place", () => {
  using s = asking();
  bind(s, { 3: ips("10.0.0.1") });
  s.t.machine.advance(499e9);
  s.server.heard();
  s.t.machine.advance(2e9);
  s.server.answer("ACK", s.server.one("REQUEST").m, "10.0.0.50", { 3: ips("10.0.0.1") });
  assertEquals([s.client.state("eth0"), s.events.at(-1)], ["BOUND", "renewed 10.0.0.50"]);
  assertEquals(Math.round(s.client.lease("eth0")!.since / 1e9), 501);
  assertEquals(s.client.renew("eth0"), true);
  s.t.machine.advance(1e6);
  s.server.answer("ACK", s.server.one("REQUEST").m, "10.0.0.50", { 3: ips("10.0.0.2") });
  assertEquals([s.host.route.get("192.0.2.1").via, s.host.addr.list("eth0")], ["10.0.0.2", ["10.0.0.50/24"]]);
  const end = s.t.machine.now;
  s.t.machine.runUntilIdle();
  assert(s.t.machine.now - end < 60e9, "a lease keeps no virtual time running");
});

Deno.test("NAK: the address goes, and it begins again, later each time", () => {
  using s = asking();
  bind(s);
  s.client.renew("eth0");
  s.t.machine.advance(1e6);
  s.server.answer("NAK", s.server.one("REQUEST").m, "0.0.0.0");
  assertEquals([s.host.addr.list("eth0"), s.events.at(-1)], [[], "nak 10.0.0.50"]);
  const seen = sent(s, 16, (m) => {
    if (kind(m) === "DISCOVER") s.server.answer("OFFER", m, "10.0.0.50");
    else s.server.answer("NAK", m, "0.0.0.0");
  });
  const times = seen.filter(([what]) => what === "DISCOVER").map(([, at]) => at);
  assertEquals(times, [1, 3, 7, 15]);
});

Deno.test("answers that are not to it, or cannot be right, are as if they had not come", () => {
  using s = asking();
  const { m } = s.server.one("DISCOVER");
  const offer = (options: Record<number, Uint8Array>, fields: Partial<DhcpMessage> = {}, address = "10.0.0.50"): void =>
    s.server.answer("OFFER", m, address, options, fields);
  offer({}, { xid: m.xid + 1 });
  offer({}, { haLo: 0x12 });
  offer({}, { op: 1 });
  offer({ 53: Uint8Array.of(5) });
  offer({ 53: Uint8Array.of(2, 2) });
  offer({ 51: new Uint8Array(0) });
  offer({ 51: u32(0) });
  offer({ 54: ips("0.0.0.0") });
  offer({ 54: ips("224.0.0.1") });
  offer({ 1: ips("255.0.255.0") });
  for (const bad of ["0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.9", "10.0.0.0", "10.0.0.255"]) {
    offer({}, {}, bad);
  }
  s.server.bytes(new Uint8Array(300));
  assertEquals([s.server.heard(), s.client.state("eth0")], [[], "SELECTING"]);
  assertEquals([s.client.stats.ignored, s.client.stats.malformed], [16, 1]);
  offer({});
  const { m: request } = s.server.one("REQUEST");
  s.server.answer("ACK", request, "10.0.0.51");
  s.server.answer("ACK", request, "10.0.0.50", { 54: ips("10.0.0.9") });
  s.server.answer("NAK", request, "0.0.0.0", { 54: ips("10.0.0.9") });
  s.server.answer("OFFER", request, "10.0.0.50");
  assertEquals(s.client.state("eth0"), "REQUESTING");
  s.server.answer("ACK", request, "10.0.0.50");
  assertEquals(s.client.state("eth0"), "BOUND");
  s.server.answer("NAK", request, "0.0.0.0");
  s.server.bytes(new Uint8Array(300), ip("10.0.0.50"));
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["BOUND", ["10.0.0.50/24"]]);
});

Deno.test("odd times and names: T1 and T2 out of order are its own, no mask is the class's, names are names", () => {
  using s = asking();
  const options = {
    1: new Uint8Array(0),
    58: u32(900),
    59: u32(800),
    15: new TextEncoder().encode("../etc/passwd"),
    3: ips("10.0.0.50", "0.0.0.0", "10.0.0.1"),
    6: ips("0.0.0.0"),
  };
  bind(s, options);
  const { renewal, rebinding, prefix, domain, routers, dns } = s.client.lease("eth0")!;
  assertEquals([renewal, rebinding, prefix, domain, routers, dns], [500, 875, 8, null, ["10.0.0.50", "10.0.0.1"], []]);
  // Itself is no router.
  assertEquals(s.host.route.get("192.0.2.1").via, "10.0.0.1");
});

Deno.test("a lease that does not end is never renewed", () => {
  using s = asking();
  bind(s, { 51: u32(0xffffffff) });
  s.t.machine.advance(1e9);
  s.server.heard();
  s.t.machine.advance(4 * 86400e9);
  assertEquals([s.server.heard(), s.client.state("eth0")], [[], "BOUND"]);
});

Deno.test("an address that somebody has is declined; ten seconds later it begins again", () => {
  using s = asking({ probe: 500 });
  s.t.server.addr.add("eth0", "10.0.0.50/24");
  s.server.answer("OFFER", s.server.one("DISCOVER").m, "10.0.0.50");
  s.server.answer("ACK", s.server.one("REQUEST").m, "10.0.0.50");
  s.t.machine.advance(10e6);
  const { m } = s.server.one("DECLINE");
  assertEquals([optIp(m, 50), optIp(m, 54), m.ciaddr], [ip("10.0.0.50"), ip("10.0.0.1"), 0]);
  assertEquals([s.events, s.host.addr.list("eth0")], [["declined 10.0.0.50"], []]);
  const seen = sent(s, 11);
  assertEquals(seen.map(([what, at]) => [what, at]), [["DISCOVER", 10]]);
  assertEquals(s.client.state("eth0"), "SELECTING");
});

Deno.test("an address that nobody has is used after the probe, and told to all", () => {
  using s = asking({ probe: 500 });
  s.server.answer("OFFER", s.server.one("DISCOVER").m, "10.0.0.50");
  s.server.answer("ACK", s.server.one("REQUEST").m, "10.0.0.50");
  assertEquals(s.client.state("eth0"), "PROBING");
  s.t.machine.advance(490e6);
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["PROBING", []]);
  s.t.server.sysctl("net.ipv4.conf.eth0.arp_accept", 1);
  s.t.machine.advance(20e6);
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["BOUND", ["10.0.0.50/24"]]);
  assert(s.t.server.neigh.show().includes("10.0.0.50 dev eth0 lladdr 02:00:00:00:00:11"), s.t.server.neigh.show());
});

Deno.test("down and up again: it asks for the address that it had, and uses it where no server answers", () => {
  using s = asking();
  bind(s);
  s.host.link.down("eth0");
  assertEquals([s.events.at(-1), s.host.addr.list("eth0")], ["stopped 10.0.0.50", []]);
  s.t.machine.advance(10e9);
  s.host.link.up("eth0");
  s.t.machine.advance(1e6);
  const { m } = s.server.one("REQUEST");
  assertEquals([s.client.state("eth0"), optIp(m, 50), optIp(m, 54), m.ciaddr], ["REBOOTING", ip("10.0.0.50"), null, 0]);
  s.server.answer("ACK", m, "10.0.0.50");
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["BOUND", ["10.0.0.50/24"]]);
  s.host.link.down("eth0");
  s.host.link.up("eth0");
  sent(s, 70);
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["BOUND", ["10.0.0.50/24"]]);
  s.host.link.down("eth0");
  s.t.machine.advance(2000e9);
  s.host.link.up("eth0");
  s.t.machine.advance(1e6);
  s.server.one("DISCOVER");
});

Deno.test("the carrier comes back: is it still the same network? A NAK says no", () => {
  using s = asking();
  bind(s);
  const dev = s.host.link.get("eth0");
  dev.setCarrier(false);
  dev.setCarrier(true);
  s.t.machine.advance(1e6);
  const { m } = s.server.one("REQUEST");
  assertEquals([s.client.state("eth0"), s.host.addr.list("eth0")], ["REBOOTING", ["10.0.0.50/24"]]);
  s.server.answer("NAK", m, "0.0.0.0");
  assertEquals(s.host.addr.list("eth0"), []);
});

Deno.test("a firewall does not keep it from an address, as it has none to filter yet; what has one goes through it", () => {
  using s = asking();
  const drop = { name: "drop", priority: 0, fn: () => NF_DROP };
  using _in = nfRegisterNetHook(s.host.net, { ...drop, hook: NF_INET_LOCAL_IN });
  using _out = nfRegisterNetHook(s.host.net, { ...drop, hook: NF_INET_LOCAL_OUT });
  bind(s);
  s.client.renew("eth0");
  s.t.machine.advance(1e9);
  assertEquals(s.server.heard(), []);
});

Deno.test("INFORM: what there is to know, for who has an address of its own; null where nobody answers", () => {
  using s = asking({ auto: false });
  assertEquals(s.server.heard(), []);
  s.host.addr.add("eth0", "10.0.0.40/24");
  const got: unknown[] = [];
  s.client.inform("eth0", (config) => got.push(config?.dns ?? null));
  s.t.machine.advance(1e6);
  const { m } = s.server.one("INFORM");
  assertEquals([m.ciaddr, m.options.has(50)], [ip("10.0.0.40"), false]);
  s.server.answer("ACK", m, "0.0.0.0", { 6: ips("10.0.0.9") }, { ciaddr: m.ciaddr });
  assertEquals(got, [["10.0.0.9"]]);
  s.client.inform("eth0", (config) => got.push(config));
  assertEquals(sent(s, 70).map(([what]) => what), Array(4).fill("INFORM"));
  assertEquals([got.at(-1), s.host.addr.list("eth0")], [null, ["10.0.0.40/24"]]);
});

Deno.test("the promise: a lease, a timeout, an abort, a device that has no client", async () => {
  using s = asking();
  const waiting = leased(s.host.net, "eth0");
  bind(s);
  assertEquals((await waiting).address, "10.0.0.50");
  assertEquals((await leased(s.host.net, "eth0")).address, "10.0.0.50");
  s.client.release("eth0");
  const gone = leased(s.host.net, "eth0");
  s.client.start("eth0");
  s.t.machine.advance(200e9);
  const error = await assertRejects(() => gone, DhcpError, "Cannot get an address for eth0: no DHCP server answered");
  assertEquals([error.code, error.name], ["ETIMEDOUT", "TimedOut"]);
  const abort = new AbortController();
  const aborted = leased(s.host.net, "eth0", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  const stopped = leased(s.host.net, "eth0");
  s.client.start("eth0");
  s.host.link.down("eth0");
  await assertRejects(() => stopped, DhcpError, "the device is down");
  await assertRejects(() => leased(s.host.net, "eth9"), TypeError, "there are those of eth0");
});

Deno.test("20 hosts of our own get 20 addresses from our own server, and keep them for an hour", () => {
  using shared = link(0);
  shared.server.net.use(
    dhcpServer({ dev: "eth0", range: ["10.0.0.100", "10.0.0.199"], router: "10.0.0.1", leaseTime: 600 }),
  );
  const hosts = Array.from({ length: 20 }, (_, i) => {
    const host = createHost({ machine: shared.machine, plugins: [dhcpClient({ dev: "eth0", hostname: `h${i}` })] });
    shared.plug(host, `02:00:00:00:01:${(i + 16).toString(16)}`);
    return host;
  });
  shared.machine.advance(30e9);
  const addresses = (): string[] => hosts.map((h) => h.addr.list("eth0").join());
  const first = addresses();
  assertEquals(new Set(first).size, 20);
  assertEquals(first.includes(""), false);
  shared.machine.advance(3600e9);
  assertEquals(addresses(), first);
  const { stats } = shared.server.net.get(DHCP_SERVER);
  assertEquals([stats.sent.NAK, stats.conflicts, stats.malformed], [0, 0, 0]);
  assert(stats.received.REQUEST >= 20 * 11, `${stats.received.REQUEST}`);
});

Deno.test("the device may come later; it is brought up; options that make no sense are errors", () => {
  using machine = new TestMachine();
  const cable = wire(machine);
  const host = createHost({ machine, plugins: [dhcpClient({ dev: ["eth0", "eth1"] })] });
  const client = host.net.get(DHCP_CLIENT);
  assertThrows(() => client.state("eth0"), TypeError, "Cannot find device eth0");
  assertThrows(() => client.lease("eth2"), TypeError, "there are those of eth0, eth1");
  nic(host.net, "eth0", { wire: cable });
  machine.advance(2e6);
  assertEquals([client.state("eth0"), client.lease("eth1")], ["SELECTING", null]);
  const bad = (options: Partial<DhcpClientOptions>, message: string): void =>
    void assertThrows(() => dhcpClient({ dev: "eth0", ...options }), Error, message);
  bad({ probe: -1 }, "probe -1");
  bad({ retry: 0 }, "retry 0");
  bad({ clientId: Uint8Array.of(1) }, "a client id of length 1");
  bad({ hostname: "a b" }, '"a b"');
  bad({ address: "x" }, 'Cannot use address to ask for "x"');
});
