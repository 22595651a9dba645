/** The server: who gets which address, for how long, and who gets none. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, PluginError } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { ipToString } from "../../../plugins/network/inet/mod.ts";
import {
  DHCP_CLIENT,
  DHCP_INFINITE,
  DHCP_OPTION,
  DHCP_SERVER,
  dhcpClient,
  dhcpServer,
  type DhcpSubnetOptions,
  encodeDhcp,
} from "../../../plugins/socket/dhcp/mod.ts";
import { optIp, optIps, optRoutes, optText, optU32 } from "../../../plugins/socket/dhcp/options.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { TestMachine, udpSocket } from "../../support/hosts.ts";
import { HandClient, ip, ips, kind, type Link, link, make, u32 } from "./kit.ts";

const RANGE: DhcpSubnetOptions = { dev: "eth0", range: ["10.0.0.100", "10.0.0.103"], leaseTime: 100, ping: 0 };

function serving(options: Partial<DhcpSubnetOptions> = {}, hosts = 1): Link {
  const t = link(hosts);
  t.server.net.use(dhcpServer({ ...RANGE, ...options }));
  return t;
}
const bindings = (t: Link): string[] =>
  t.server.net.get(DHCP_SERVER).bindings().map((b) => `${b.address} ${b.mac.slice(-2)} ${b.state} ${b.left}`);
const stats = (t: Link) => t.server.net.get(DHCP_SERVER).stats;
const SERVER = ips("10.0.0.1");

Deno.test("an offer, an address, and all that was configured; only what was asked for where a list is given", () => {
  using t = serving({
    router: ["10.0.0.1", "10.0.0.2"],
    dns: "10.0.0.3",
    domain: "lab",
    search: ["lab"],
    routes: [{ to: "10.1.0.0/16", via: "10.0.0.2" }],
    ntp: "10.0.0.4",
    mtu: 1400,
    options: { 43: Uint8Array.of(1) },
  });
  const client = new HandClient(t);
  const { address, ack } = client.lease({ 12: new TextEncoder().encode("box") });
  assertEquals([ack.op, ack.xid, ack.haLo, ack.siaddr], [2, 7, 0x11, 0]);
  assert(address >= ip("10.0.0.100") && address <= ip("10.0.0.103"));
  assertEquals([...ack.options.keys()].sort((a, b) => a - b), [1, 3, 6, 15, 26, 42, 43, 51, 53, 54, 58, 59, 119, 121]);
  assertEquals([optU32(ack, 51), optU32(ack, 58), optU32(ack, 59)], [100, 50, 87]);
  assertEquals([optIp(ack, 1), optIp(ack, 54)], [ip("255.255.255.0"), ip("10.0.0.1")]);
  assertEquals(optIps(ack, 3).map(ipToString), ["10.0.0.1", "10.0.0.2"]);
  assertEquals([optText(ack, 15), optRoutes(ack)], ["lab", [{ to: "10.1.0.0/16", via: "10.0.0.2" }]]);
  assertEquals(bindings(t), [`${ipToString(address)} 11 bound 100`]);
  assertEquals(t.server.net.get(DHCP_SERVER).bindings()[0].hostname, "box");
  const [few] = client.send("DISCOVER", { 55: Uint8Array.of(28, 6) });
  assertEquals([...few.options.keys()].sort((a, b) => a - b), [1, 6, 28, 51, 53, 54, 58, 59]);
  assertEquals(optIp(few, 28), ip("10.0.0.255"));
});

Deno.test("a client keeps its address, through its release and a new server too, as long as nobody else has it", () => {
  using t = serving();
  const client = new HandClient(t);
  const { address } = client.lease();
  assertEquals(client.lease().address, address);
  client.send("RELEASE", { 54: SERVER }, { ciaddr: address });
  assertEquals(bindings(t), []);
  assertEquals(client.lease().address, address);
  using again = serving();
  assertEquals(new HandClient(again).lease().address, address);
});

Deno.test("an identifier is who it is, whatever its hardware address; it is repeated", () => {
  using t = serving();
  const [a, b] = [new HandClient(t, t.hosts[0], 0x21), new HandClient(t, t.hosts[0], 0x22)];
  const id = Uint8Array.of(0, 1, 2, 3);
  const first = a.lease({ 61: id });
  assertEquals(first.ack.options.get(61), id);
  b.close();
  a.close();
  const c = new HandClient(t, t.hosts[0], 0x22);
  assertEquals(c.lease({ 61: id }).address, first.address);
  assert(c.lease().address !== first.address);
  assertEquals(bindings(t).length, 2);
});

Deno.test("all are given: the next gets nothing, until one has run out", () => {
  using t = serving();
  const addresses = [1, 2, 3, 4].map((n) => {
    const client = new HandClient(t, t.hosts[0], n);
    const { address } = client.lease();
    client.close();
    return address;
  });
  assertEquals(new Set(addresses).size, 4);
  assertEquals(t.server.net.get(DHCP_SERVER).free(), 0);
  const late = new HandClient(t, t.hosts[0], 5);
  assertEquals([late.send("DISCOVER"), stats(t).exhausted], [[], 1]);
  t.machine.advance(100e9);
  assertEquals(t.server.net.get(DHCP_SERVER).free(), 4);
  assertEquals(kind(late.send("DISCOVER")[0]), "OFFER");
  assertEquals(bindings(t).length, 1);
});

Deno.test("an offer that is not taken is kept for a minute, or until another server's is taken", () => {
  using t = serving();
  const client = new HandClient(t);
  client.send("DISCOVER");
  assertEquals(bindings(t)[0].slice(-10), "offered 60");
  t.machine.advance(60e9);
  assertEquals(bindings(t), []);
  const [offer] = client.send("DISCOVER");
  assertEquals(client.send("REQUEST", { 50: u32(offer.yiaddr), 54: ips("10.0.0.99") }), []);
  assertEquals(bindings(t), []);
});

Deno.test("the address that a client wants, where it can have it; its reservation before all", () => {
  using t = serving({ reservations: { "02:00:00:00:00:77": "10.0.0.7", "02:00:00:00:00:78": "10.0.0.101" } });
  const offered = (mac: number, wanted: string): string => {
    const client = new HandClient(t, t.hosts[0], mac);
    const [offer] = client.send("DISCOVER", { 50: ips(wanted) });
    client.close();
    return ipToString(offer.yiaddr);
  };
  assertEquals(offered(1, "10.0.0.103"), "10.0.0.103");
  assert(offered(2, "10.0.0.103") !== "10.0.0.103");
  for (const wrong of ["10.0.0.101", "10.0.0.7", "10.0.0.50", "192.0.2.1", "10.0.0.1"]) {
    assert(["10.0.0.100", "10.0.0.102", "10.0.0.103"].includes(offered(2, wrong)), wrong);
  }
  assertEquals([offered(0x77, "10.0.0.100"), offered(0x78, "10.0.0.100")], ["10.0.0.7", "10.0.0.101"]);
});

Deno.test("our own address, the network's and its broadcast address are given to nobody", () => {
  using t = link();
  t.server.net.use(dhcpServer({ ...RANGE, range: ["10.0.0.0", "10.0.0.2"] }));
  assertEquals(t.server.net.get(DHCP_SERVER).free(), 1);
  assertEquals(ipToString(new HandClient(t).lease().address), "10.0.0.2");
});

Deno.test("[RFC 2131 4.3.2] REQUEST: selecting, rebooting, renewing, rebinding; who is wrong hears NAK", () => {
  using t = serving();
  const client = new HandClient(t);
  const { address } = client.lease();
  const one = (options: Record<number, Uint8Array>, fields = {}): string => {
    const [m, more] = client.send("REQUEST", options, fields);
    assertEquals(more, undefined);
    return m === undefined ? "nothing" : `${kind(m)} ${ipToString(m.yiaddr)}`;
  };
  const own = ipToString(address);
  // Rebooting: with the address that it had, with one that is free, of another subnet, of somebody else.
  assertEquals(one({ 50: u32(address) }), `ACK ${own}`);
  assertEquals(one({ 50: ips("192.0.2.9") }), "NAK 0.0.0.0");
  assertEquals(one({ 50: ips("10.0.0.250") }), "NAK 0.0.0.0");
  // Renewing.
  t.machine.advance(50e9);
  assertEquals(bindings(t)[0].split(" ")[3], "50");
  // Answers to its address are heard by who has it: here the packet socket does.
  t.server.neigh.set("eth0", own, "02:00:00:00:00:11");
  assertEquals(one({}, { ciaddr: address }), `ACK ${own}`);
  assertEquals(bindings(t)[0].split(" ")[3], "100");
  assertEquals(one({}, { ciaddr: ip("10.0.0.250") }), "NAK 0.0.0.0");
  // Selecting an address that was not offered.
  assertEquals(one({ 50: ips("10.0.0.1"), 54: SERVER }), "NAK 0.0.0.0");
  assertEquals(one({ 54: SERVER }), "NAK 0.0.0.0");
});

Deno.test("who is not alone on the link says nothing of what it does not know", () => {
  using t = serving({ authoritative: false });
  const client = new HandClient(t);
  for (const address of ["10.0.0.100", "192.0.2.1"]) assertEquals(client.send("REQUEST", { 50: ips(address) }), []);
  const { address } = client.lease();
  assertEquals(client.send("REQUEST", { 50: u32(address) }).map(kind), ["ACK"]);
});

Deno.test("a NAK goes to all; an answer to who has no address yet to its hardware address, or to all where it says so", () => {
  using t = serving({}, 2);
  const [asks, sees] = [new HandClient(t, t.hosts[0]), new HandClient(t, t.hosts[1])];
  asks.send("DISCOVER");
  assertEquals(sees.heard(), []);
  assertEquals(asks.send("DISCOVER", {}, { broadcast: true }).length, 1);
  assertEquals(sees.heard().length, 1);
  assertEquals(asks.send("REQUEST", { 50: ips("192.0.2.1") }).map(kind), ["NAK"]);
  assertEquals(sees.heard().map(kind), ["NAK"]);
});

Deno.test("DECLINE: nobody gets the address for ten minutes; only who was offered it may say so", () => {
  using t = serving({ range: ["10.0.0.100", "10.0.0.100"] });
  const [client, liar] = [new HandClient(t), new HandClient(t, t.hosts[0], 0x66)];
  liar.close();
  client.lease();
  liar.send("DECLINE", { 50: ips("10.0.0.100"), 54: SERVER });
  assertEquals(bindings(t), ["10.0.0.100 11 bound 100"]);
  client.send("DECLINE", { 50: ips("10.0.0.100"), 54: ips("10.0.0.9") });
  assertEquals(bindings(t), ["10.0.0.100 11 bound 100"]);
  client.send("DECLINE", { 50: ips("10.0.0.100"), 54: SERVER });
  assertEquals(bindings(t), ["10.0.0.100 00 declined 600"]);
  assertEquals(client.send("DISCOVER"), []);
  assertEquals(client.send("REQUEST", { 50: ips("10.0.0.100") }).map(kind), ["NAK"]);
  t.machine.advance(600e9);
  assertEquals(client.send("DISCOVER").map(kind), ["OFFER"]);
});

Deno.test("RELEASE of what somebody else has is nothing", () => {
  using t = serving();
  const { address } = new HandClient(t).lease();
  const other = new HandClient(t, t.hosts[0], 0x66);
  other.send("RELEASE", { 54: SERVER }, { ciaddr: address });
  assertEquals([bindings(t).length, stats(t).ignored], [1, 1]);
});

Deno.test("INFORM: options without an address or its time, to a host of the subnet and to no other", () => {
  using t = serving({ dns: "10.0.0.3" });
  const [host] = t.hosts;
  host.addr.add("eth0", "10.0.0.50/24");
  t.machine.advance(1e9);
  const client = new HandClient(t);
  const [ack] = client.send("INFORM", {}, { ciaddr: ip("10.0.0.50") });
  assertEquals([kind(ack), ack.yiaddr, ack.ciaddr, optIps(ack, 6).length], ["ACK", 0, ip("10.0.0.50"), 1]);
  assertEquals([ack.options.has(51), ack.options.has(1), bindings(t)], [false, true, []]);
  const sent = stats(t).sent.ACK;
  for (const ciaddr of [0, -1, ip("192.0.2.1"), ip("224.0.0.1")]) client.send("INFORM", {}, { ciaddr });
  assertEquals(stats(t).sent.ACK, sent);
});

Deno.test("before a new address is offered it is pinged: one that answers is left alone", () => {
  using t = link(2);
  t.server.net.use(dhcpServer({ ...RANGE, range: ["10.0.0.100", "10.0.0.101"], ping: 200 }));
  t.hosts[1].addr.add("eth0", "10.0.0.100/24");
  t.hosts[1].addr.add("eth0", "10.0.0.101/24");
  t.machine.advance(1e9);
  const client = new HandClient(t);
  client.send("DISCOVER");
  t.machine.advance(3e9);
  assertEquals([client.heard(), stats(t).conflicts, stats(t).exhausted], [[], 2, 1]);
  t.hosts[1].addr.del("eth0", "10.0.0.101/24");
  t.machine.advance(600e9);
  assertEquals(client.send("DISCOVER"), []);
  client.send("DISCOVER"); // meanwhile
  t.machine.advance(450e6);
  assertEquals(client.heard().map((m) => ipToString(m.yiaddr)), ["10.0.0.101"]);
  // Offered already: at once.
  assertEquals(client.send("DISCOVER").map(kind), ["OFFER"]);
});

Deno.test("times: a lease that does not end has no T1 and T2", () => {
  using t = serving({ leaseTime: Infinity });
  const { ack } = new HandClient(t).lease();
  assertEquals([optU32(ack, 51), ack.options.has(58), ack.options.has(59)], [DHCP_INFINITE, false, false]);
  assertEquals(t.server.net.get(DHCP_SERVER).bindings()[0].left, DHCP_INFINITE);
});

Deno.test("an answer is no longer than the client takes, and than the link does", () => {
  using t = serving({ options: { 200: new Uint8Array(250), 201: new Uint8Array(250), 202: new Uint8Array(250) } });
  const size = (m: Parameters<typeof encodeDhcp>[0]): number =>
    [...m.options.values()].reduce((n, v) => n + v.length, 0);
  const client = new HandClient(t);
  const [small] = client.send("DISCOVER", { 57: Uint8Array.of(0, 0) });
  const [large] = client.send("DISCOVER", { 57: Uint8Array.of(5, 220) });
  assert(size(small) < 548 && size(large) > 750, `${size(small)} ${size(large)}`);
});

Deno.test("what is malformed, from nobody, or of another kind is counted and not answered", () => {
  using t = serving();
  const client = new HandClient(t);
  const m = encodeDhcp(make("DISCOVER", client.fields));
  assertEquals(client.bytes(m.slice(0, 200)), []);
  assertEquals(stats(t).malformed, 1);
  for (const fields of [{ haHi: 0, haLo: 0 }, { haHi: 0x0100 }, { op: 2 }, { giaddr: ip("192.0.2.1") }]) {
    assertEquals(client.send("DISCOVER", {}, fields), []);
  }
  assertEquals(client.send("OFFER"), []);
  assertEquals(client.send("DISCOVER", { 53: Uint8Array.of(99) }), []);
  assertEquals(stats(t).ignored, 6);
  t.server.addr.del("eth0", "10.0.0.1/24");
  assertEquals(client.send("DISCOVER"), []);
  t.server.addr.add("eth0", "10.0.0.1/24");
  assertEquals(client.send("DISCOVER").map(kind), ["OFFER"]);
});

Deno.test("over a relay: the subnet is the relay's, the answer goes to it, and what it says is repeated", () => {
  using machine = new TestMachine();
  const cable = wire(machine);
  const options: DhcpSubnetOptions = { ...RANGE, subnet: "10.9.0.0/24", range: ["10.9.0.50", "10.9.0.60"] };
  const server = createHost({ machine, plugins: [dhcpServer(RANGE, options)] });
  const relay = createHost({ machine });
  nic(server.net, "eth0", { wire: cable });
  nic(relay.net, "eth0", { wire: cable });
  server.addr.add("eth0", "10.0.0.1/24");
  relay.addr.add("eth0", "10.0.0.2/24");
  relay.addr.add("lo", "10.9.0.1/24");
  server.route.add("10.9.0.0/24", { via: "10.0.0.2" });
  const fd = relay.sys.socket(2, 2, 17);
  relay.sys.bind(fd, 0, 67);
  const agent = Uint8Array.of(1, 2, 9, 9);
  const said = (type: "DISCOVER" | "REQUEST", more: Record<number, Uint8Array>, giaddr: string) => {
    const m = make(type, { xid: 5, haHi: 2, haLo: 3, hops: 1, giaddr: ip(giaddr) }, { 82: agent, ...more });
    relay.sys.sendmsg(fd, { ...msgHdr(encodeDhcp(m)), addr: ip("10.0.0.1"), port: 67 }, 0);
    machine.advance(1e9);
    const rx = msgHdr(new Uint8Array(1500));
    const n = relay.sys.recvmsg(fd, rx, 0);
    return n < 0 ? null : rx.buf.slice(0, n);
  };
  const offer = said("DISCOVER", {}, "10.9.0.1");
  assert(offer !== null);
  const yiaddr = new DataView(offer.buffer).getInt32(16);
  assertEquals(ipToString(yiaddr).slice(0, 7), "10.9.0.");
  assertEquals([...offer].join().includes([82, 4, ...agent].join()), true);
  const nak = said("REQUEST", { 50: ips("10.0.0.100") }, "10.9.0.1");
  assert(nak !== null);
  assertEquals(nak[10], 0x80); // the relay tells all
  assertEquals(said("DISCOVER", {}, "10.8.0.1"), null);
});

Deno.test("the device may come later, go, and come again", () => {
  using machine = new TestMachine();
  const cable = wire(machine);
  const server = createHost({ machine, plugins: [dhcpServer(RANGE)] });
  const host = createHost({ machine, plugins: [dhcpClient({ dev: "eth0", probe: 0 })] });
  for (let i = 0; i < 2; i++) {
    nic(server.net, "eth0", { wire: cable });
    server.addr.add("eth0", "10.0.0.1/24");
    nic(host.net, "eth0", { wire: cable, address: "02:00:00:00:00:11" });
    machine.advance(10e9);
    assertEquals(host.net.get(DHCP_CLIENT).state("eth0"), "BOUND");
    server.link.del("eth0");
    host.link.del("eth0");
  }
});

Deno.test("a port that is taken is told, until it is free and the device comes up again", () => {
  using t = link();
  const taken = udpSocket(t.server, 67);
  t.server.net.use(dhcpServer(RANGE));
  const { failed } = t.server.net.get(DHCP_SERVER);
  assertEquals([...failed], [["eth0", "EADDRINUSE"]]);
  t.server.sys.close(taken);
  t.server.link.down("eth0");
  t.server.link.up("eth0");
  assertEquals([failed.size, kind(new HandClient(t).send("DISCOVER")[0])], [0, "OFFER"]);
});

Deno.test("a flood of 300 new clients: at most 64 addresses are pinged at a time, and each gets its answer", () => {
  using t = link();
  t.server.net.use(dhcpServer({ ...RANGE, range: ["10.0.0.2", "10.0.0.250"], ping: 500 }));
  const client = new HandClient(t, t.hosts[0], 1);
  let offers = 0;
  for (let i = 0; i < 300; i++) offers += client.send("DISCOVER", {}, { haLo: i + 100 }).length;
  assertEquals(t.server.sys.sock(200), null);
  t.machine.advance(1e9);
  assertEquals(offers + client.heard().length, 249);
  assert(stats(t).exhausted >= 51);
});

Deno.test("options that make no sense are errors at once; a swap is refused, as who has what would be lost", () => {
  const bad = (options: Partial<DhcpSubnetOptions>, message: string): void =>
    void assertThrows(() => dhcpServer({ ...RANGE, ...options }), Error, message);
  bad({ range: ["10.0.0.9", "10.0.0.1"] }, "from 10.0.0.9 to 10.0.0.1");
  bad({ range: ["10.0.0.0", "10.1.0.0"] }, "1 to 65536 addresses");
  bad({ range: ["10.0.0", "10.1.0.0"] }, 'end of the range on eth0 "10.0.0"');
  bad({ leaseTime: 9 }, "leaseTime 9, it takes a whole number from 10");
  bad({ reservations: { "02:00": "10.0.0.1" } }, '"02:00" is no hardware address');
  bad(
    { reservations: { "02:00:00:00:00:01": "10.0.0.7", "02:00:00:00:00:02": "10.0.0.7" } },
    "10.0.0.7 is reserved twice",
  );
  bad({ router: "224.0.0.1" }, "224.0.0.1 is no router");
  bad({ domain: "a..b" }, 'search domain "a..b"');
  bad({ routes: [{ to: "10.0.0.0/40", via: "10.0.0.1" }] }, "10.0.0.0/40");
  bad({ options: { 53: Uint8Array.of(1) } }, "option 53 cannot be given by hand");
  bad({ subnet: "10.0.0.0/33" }, "10.0.0.0/33");
  bad({ mtu: 67 }, "mtu 67");
  assertThrows(() => dhcpServer(), TypeError, "name a subnet");
  using t = serving();
  assertThrows(() => t.server.net.swap("dhcp_server", dhcpServer(RANGE)), PluginError, "it keeps private state");
  assertEquals(DHCP_OPTION.SERVER_ID, 54);
});
