/** The authoritative server: what zones say, and how it says it over UDP and TCP. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, type Host } from "../../../mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import {
  decodeMessage,
  DNS_AA,
  DNS_QR,
  DNS_RD,
  DNS_SERVER,
  DNS_TC,
  type DnsMessage,
  dnsMessage,
  type DnsRecord,
  dnsServer,
  type DnsServerOptions,
  type DnsType,
  dnsTypeNumber,
  encodeMessage,
  type ZoneOptions,
  type ZoneRecord,
} from "../../../plugins/socket/dns/mod.ts";
import { Zones } from "../../../plugins/socket/dns/zone.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { TestMachine, type TwoHosts, twoHosts, udpSocket } from "../../support/hosts.ts";

const ZONE: ZoneOptions = {
  name: "lab",
  ttl: 300,
  hosts: { web: ["10.0.0.2", "10.0.0.3"], "deep.er.host": "10.9.9.9" },
  records: [
    { name: "www", type: "CNAME", data: "web" },
    { name: "far", type: "CNAME", data: "example.org." },
    { name: "lost", type: "CNAME", data: "nobody" },
    { name: "a", type: "CNAME", data: "b" },
    { name: "b", type: "CNAME", data: "a" },
    { name: "_http._tcp", type: "SRV", data: { priority: 0, weight: 0, port: 80, target: "web" } },
    { name: "@", type: "MX", data: { preference: 5, exchange: "web" } },
    { name: "@", type: "TXT", data: "the lab", ttl: 7 },
    { name: "*.wild", type: "TXT", data: ["any", "name"] },
    { name: "there.wild", type: "A", data: "10.0.0.9" },
    ...Array.from({ length: 30 }, (_, i): ZoneRecord => ({ name: "big", type: "TXT", data: `${i}`.padEnd(100) })),
  ],
};

const serving = (options: DnsServerOptions = { zones: [ZONE] }): TwoHosts => {
  const t = twoHosts({ neigh: true });
  t.b.net.use(dnsServer(options));
  return t;
};

const question = (name: string, type: DnsType | number = "A", fields: Partial<DnsMessage> = {}): DnsMessage =>
  dnsMessage({
    id: 77,
    flags: DNS_RD,
    questions: [{ name, type: typeof type === "number" ? type : dnsTypeNumber(type), class: 1 }],
    ...fields,
  });

/** What comes back for bytes, from whom; null: nothing. */
function exchange(
  host: Host,
  bytes: Uint8Array,
  to = "10.0.0.2",
): { m: DnsMessage; length: number; from: number } | null {
  const fd = udpSocket(host, 0);
  host.sys.sendmsg(fd, { ...msgHdr(bytes), addr: needIp(to, "server"), port: 53 }, 0);
  (host.machine as TestMachine).advance(1e6);
  const rx = msgHdr(new Uint8Array(65536));
  const n = host.sys.recvmsg(fd, rx, 0);
  host.sys.close(fd);
  if (n < 0) return null;
  const m = decodeMessage(rx.buf, n);
  assert(typeof m !== "string", String(m));
  return { m, length: n, from: rx.addr };
}

function ask(t: TwoHosts, m: DnsMessage): DnsMessage {
  const got = exchange(t.a, encodeMessage(m));
  assert(got !== null, "no answer");
  assertEquals(got.from, needIp("10.0.0.2", "server"));
  return got.m;
}

const brief = (records: readonly DnsRecord[]): string[] => records.map((r) => `${r.name} ${r.ttl} ${r.type}`);

Deno.test("answers, aliases, additional addresses, and how long nothing holds", async (t) => {
  const zones = new Zones([ZONE]);
  const says = (name: string, type: DnsType): unknown => {
    const { rcode, authoritative, answers, authorities, additionals } = zones.answer(name, dnsTypeNumber(type));
    return [rcode, authoritative, brief(answers), brief(authorities), brief(additionals)];
  };
  const soa = ["lab 300 SOA"];
  const steps: [string, DnsType, number, string[], string[], string[]][] = [
    ["web.lab", "A", 0, ["web.lab 300 A", "web.lab 300 A"], [], []],
    ["WEB.lab", "A", 0, ["WEB.lab 300 A", "WEB.lab 300 A"], [], []],
    ["web.lab", "AAAA", 0, [], soa, []],
    ["www.lab", "A", 0, ["www.lab 300 CNAME", "web.lab 300 A", "web.lab 300 A"], [], []],
    ["www.lab", "CNAME", 0, ["www.lab 300 CNAME"], [], []],
    ["www.lab", "TXT", 0, ["www.lab 300 CNAME"], soa, []],
    ["far.lab", "A", 0, ["far.lab 300 CNAME"], [], []],
    ["lost.lab", "A", 3, ["lost.lab 300 CNAME"], soa, []],
    ["a.lab", "A", 2, [], [], []],
    ["nobody.lab", "A", 3, [], soa, []],
    ["er.host.lab", "A", 0, [], soa, []],
    ["_tcp.lab", "SRV", 0, [], soa, []],
    ["_http._tcp.lab", "SRV", 0, ["_http._tcp.lab 300 SRV"], [], ["web.lab 300 A", "web.lab 300 A"]],
    ["lab", "MX", 0, ["lab 300 MX"], [], ["web.lab 300 A", "web.lab 300 A"]],
    ["lab", "NS", 0, ["lab 300 NS"], [], []],
    ["lab", "TXT", 0, ["lab 7 TXT"], [], []],
    ["x.y.wild.lab", "TXT", 0, ["x.y.wild.lab 300 TXT"], [], []],
    ["x.wild.lab", "A", 0, [], soa, []],
    ["x.there.wild.lab", "TXT", 3, [], soa, []],
    ["2.0.0.10.in-addr.arpa", "PTR", 0, ["2.0.0.10.in-addr.arpa 300 PTR"], [], []],
    ["9.0.0.10.in-addr.arpa", "PTR", 3, [], ["0.0.10.in-addr.arpa 300 SOA"], []],
  ];
  for (const [name, type, rcode, answers, authorities, additionals] of steps) {
    await t.step(
      `${name} ${type}`,
      () => assertEquals(says(name, type), [rcode, true, answers, authorities, additionals]),
    );
  }
  await t.step("not ours", () => assertEquals(says("example.org", "A"), [5, false, [], [], []]));
});

Deno.test("over UDP: flags, the question, EDNS; refused, not known, malformed", () => {
  using t = serving();
  const m = ask(t, question("wWw.lab"));
  assertEquals([m.id, m.flags, m.rcode, m.edns], [77, DNS_QR | DNS_AA | DNS_RD, 0, null]);
  assertEquals(m.questions[0].name, "wWw.lab");
  assertEquals(brief(m.answers), ["wWw.lab 300 CNAME", "web.lab 300 A", "web.lab 300 A"]);
  const edns = { udpSize: 4096, version: 0, dnssec: true };
  assertEquals(ask(t, question("web.lab", "A", { edns })).edns, { udpSize: 1232, version: 0, dnssec: true });
  const rcode = (q: DnsMessage): number => ask(t, q).rcode;
  assertEquals([rcode(question("web.lab", 255)), rcode(question("lab", 252)), rcode(question("x.org"))], [5, 5, 5]);
  assertEquals(rcode(question("web.lab", "A", { opcode: 5 })), 4);
  assertEquals(rcode(question("web.lab", "A", { edns: { ...edns, version: 1 } })), 16);
  assertEquals(rcode(dnsMessage({ id: 1 })), 1);
  const two = question("web.lab");
  two.questions.push(...two.questions);
  assertEquals([rcode(two), ask(t, two).questions], [1, []]);
  assertEquals(rcode({ ...question("web.lab"), questions: [{ name: "web.lab", type: 1, class: 3 }] }), 5);
  const cut = exchange(t.a, encodeMessage(question("web.lab")).slice(0, 20));
  assertEquals([cut?.m.id, cut?.m.rcode, cut?.length], [77, 1, 12]);
  const { stats } = t.b.net.get(DNS_SERVER);
  assertEquals([stats.queries, stats.rcodes[0], stats.rcodes[1], stats.rcodes[5], stats.ignored], [12, 2, 4, 4, 0]);
});

Deno.test("responses are not answered, nor what has no header: two servers never talk to each other", () => {
  using t = serving();
  assertEquals(exchange(t.a, encodeMessage(question("web.lab", "A", { flags: DNS_QR }))), null);
  assertEquals(exchange(t.a, new Uint8Array(11)), null);
  assertEquals(t.b.net.get(DNS_SERVER).stats.ignored, 2);
});

Deno.test("what is too long for the asker says TC: 512 bytes without EDNS, 1,232 with at most", () => {
  using t = serving();
  const plain = exchange(t.a, encodeMessage(question("big.lab", "TXT")))!;
  assertEquals([(plain.m.flags & DNS_TC) !== 0, plain.m.answers.length, plain.length], [true, 0, 25]);
  const edns = { udpSize: 65535, version: 0, dnssec: false };
  const large = exchange(t.a, encodeMessage(question("big.lab", "TXT", { edns })))!;
  assertEquals([(large.m.flags & DNS_TC) !== 0, large.m.answers.length], [true, 0]);
  const small = { ...edns, udpSize: 1 };
  assertEquals(ask(t, question("www.lab", "A", { edns: small })).answers.length, 3);
  assertEquals(t.b.net.get(DNS_SERVER).stats.truncated, 2);
});

/** A TCP connection that sends bytes and gathers what comes. */
class Stream {
  readonly #host: Host;
  readonly fd: number;
  readonly got: number[] = [];
  ended = false;

  constructor(t: TwoHosts) {
    this.#host = t.a;
    this.fd = t.a.sys.socket(2, 1, 6);
    t.a.sys.connect(this.fd, needIp("10.0.0.2", "server"), 53);
    t.machine.advance(10e6);
  }

  send(bytes: Uint8Array): void {
    assertEquals(this.#host.sys.sendmsg(this.fd, msgHdr(bytes), 0), bytes.length);
    this.pump(10e6);
  }

  pump(ns: number): void {
    (this.#host.machine as TestMachine).advance(ns);
    const rx = msgHdr(new Uint8Array(65536));
    for (;;) {
      rx.len = 65536;
      const n = this.#host.sys.recvmsg(this.fd, rx, 0);
      if (n > 0) this.got.push(...rx.buf.slice(0, n));
      else {
        this.ended ||= n === 0 || n === -104;
        return;
      }
    }
  }

  messages(): DnsMessage[] {
    const out: DnsMessage[] = [];
    for (let at = 0; at + 2 <= this.got.length;) {
      const n = this.got[at] << 8 | this.got[at + 1];
      const m = decodeMessage(Uint8Array.from(this.got.slice(at + 2, at + 2 + n)));
      assert(typeof m !== "string");
      out.push(m);
      at += 2 + n;
    }
    return out;
  }
}
const framed = (m: Uint8Array): Uint8Array => Uint8Array.of(m.length >> 8, m.length, ...m);

Deno.test("over TCP: byte by byte, several at once, all that is too long for UDP; idle ones end", () => {
  using t = serving();
  const s = new Stream(t);
  for (const byte of framed(encodeMessage(question("big.lab", "TXT")))) s.send(Uint8Array.of(byte));
  assertEquals(s.messages().map((m) => [m.answers.length, m.flags & DNS_TC]), [[30, 0]]);
  const many = Array.from({ length: 40 }, (_, i) => framed(encodeMessage(question("big.lab", "TXT", { id: i }))));
  s.send(Uint8Array.from(many.flatMap((m) => [...m])));
  for (let i = 0; i < 20 && s.messages().length < 41; i++) s.pump(100e6);
  assertEquals(s.messages().slice(1).map((m) => m.id), Array.from({ length: 40 }, (_, i) => i));
  assertEquals(s.ended, false);
  t.machine.advance(10.1e9);
  s.pump(1e6);
  assertEquals(s.ended, true);
  t.a.sys.close(s.fd);
  // A length of 0 is no message; a peer that goes in the middle of one is forgotten.
  const zero = new Stream(t);
  zero.send(Uint8Array.of(0, 0));
  assertEquals(zero.ended, true);
  t.a.sys.close(zero.fd);
  const half = new Stream(t);
  half.send(Uint8Array.of(0, 40, 1, 2));
  t.a.sys.close(half.fd);
  t.machine.advance(200e9);
  assertEquals(t.b.net.get(TCP).counts().established, 0);
  assertEquals(t.b.net.get(DNS_SERVER).stats.tcpQueries, 41);
});

Deno.test("a peer that asks and does not read holds 16 answers, no more", () => {
  using t = serving();
  const s = new Stream(t);
  const one = framed(encodeMessage(question("big.lab", "TXT")));
  let taken = 0;
  for (let i = 0; i < 4_000; i++) {
    if (t.a.sys.sendmsg(s.fd, msgHdr(one), 0) === one.length) taken++;
    if (i % 100 === 0) t.machine.advance(1e6);
  }
  t.machine.advance(1e9);
  assert(t.b.net.get(DNS_SERVER).stats.queries < taken, `${taken} taken and all read`);
  t.a.sys.close(s.fd);
  t.machine.advance(1e9);
});

Deno.test("129 connections: the last is closed at once", () => {
  using t = serving();
  const streams = Array.from({ length: 129 }, () => new Stream(t));
  for (const s of streams) s.pump(0);
  assertEquals(streams.map((s) => s.ended).indexOf(true), 128);
  assertEquals(t.b.net.get(DNS_SERVER).stats.tcpRefused, 1);
});

Deno.test("it answers from the address that was asked; addresses come and go", () => {
  using t = serving();
  const asked = (to: string): string | null => {
    const got = exchange(t.a, encodeMessage(question("web.lab")), to);
    return got === null ? null : got.from === needIp(to, "to") ? "itself" : "another";
  };
  t.b.addr.add("eth0", "10.0.0.77/24");
  t.a.neigh.set("eth0", "10.0.0.77", "02:00:00:00:00:02");
  assertEquals([asked("10.0.0.2"), asked("10.0.0.77")], ["itself", "itself"]);
  t.b.addr.del("eth0", "10.0.0.77/24");
  assertEquals([asked("10.0.0.77"), asked("10.0.0.2")], [null, "itself"]);
  t.b.link.down("eth0");
  t.b.link.up("eth0");
  t.b.neigh.set("eth0", "10.0.0.1", "02:00:00:00:00:01");
  assertEquals(asked("10.0.0.2"), "itself");
});

Deno.test("`listen` keeps it to some addresses; a port that is taken is told", () => {
  using t = twoHosts({ neigh: true });
  const taken = udpSocket(t.b, 53);
  t.b.net.use(dnsServer({ zones: [ZONE], listen: ["127.0.0.1", "10.0.0.2"] }));
  const { failed } = t.b.net.get(DNS_SERVER);
  assertEquals([...failed], [["127.0.0.1", "EADDRINUSE"], ["10.0.0.2", "EADDRINUSE"]]);
  t.b.sys.close(taken);
  t.b.addr.del("eth0", "10.0.0.2/24");
  t.b.addr.add("eth0", "10.0.0.2/24");
  t.b.neigh.set("eth0", "10.0.0.1", "02:00:00:00:00:01");
  assertEquals([...failed.keys()], ["127.0.0.1"]);
  assertEquals(ask(t, question("web.lab")).answers.length, 2);
});

Deno.test("records are added and removed while it runs; names above vanish with the last below", () => {
  using t = serving();
  const server = t.b.net.get(DNS_SERVER);
  const rcode = (name: string): number => ask(t, question(name)).rcode;
  assertEquals(server.zones, ["0.0.10.in-addr.arpa", "9.9.10.in-addr.arpa", "lab"]);
  assertEquals([rcode("x.y.z.lab"), rcode("y.z.lab")], [3, 3]);
  server.add({ name: "X.y.z.lab", type: "A", ttl: 1, data: "10.0.0.8" });
  server.add({ name: "x.y.z.lab.", type: "A", ttl: 2, data: "10.0.0.8" });
  assertEquals(brief(ask(t, question("x.y.z.lab")).answers), ["x.y.z.lab 2 A"]);
  assertEquals([rcode("y.z.lab"), rcode("z.lab")], [0, 0]);
  assertEquals([server.remove("x.y.z.lab", "TXT"), server.remove("x.y.z.lab"), server.remove("x.y.z.lab")], [0, 1, 0]);
  assertEquals([rcode("x.y.z.lab"), rcode("z.lab"), rcode("lab")], [3, 3, 0]);
  assertEquals(server.remove("lab"), 2); // MX and TXT; never the zone itself
  assertEquals(brief(ask(t, question("lab", "SOA")).answers), ["lab 300 SOA"]);
  const bad = (record: DnsRecord, message: string): void => void assertThrows(() => server.add(record), Error, message);
  bad(
    { name: "x.org", type: "A", ttl: 1, data: "10.0.0.1" },
    "no zone here has that name; there are 0.0.10.in-addr.arpa",
  );
  bad({ name: "www.lab", type: "A", ttl: 1, data: "10.0.0.1" }, "an alias is the only record of its name");
  bad({ name: "web.lab", type: "CNAME", ttl: 1, data: "www.lab" }, "an alias is the only record of its name");
  bad({ name: "x.lab", type: "A", ttl: -1, data: "10.0.0.1" }, "ttl -1");
  bad({ name: "x.lab", type: "A", ttl: 1, data: "10.0.0" }, "it is no IPv4 address");
});

Deno.test("options that make no sense are errors at once", () => {
  const bad = (options: unknown, message: string): void =>
    void assertThrows(() => dnsServer(options as DnsServerOptions), Error, message);
  bad({ zones: [{ name: "lab" }, { name: "LAB." }] }, "Cannot make zone lab twice");
  bad({ zones: [{ name: "a..b" }] }, 'the name "a..b"');
  bad({ zones: [{ name: "lab", ttl: 0.5 }] }, "ttl 0.5");
  bad({ zones: [{ name: "lab", hosts: { x: "10.0.0" } }] }, 'Cannot use address of x.lab "10.0.0"');
  bad(
    { zones: [{ name: "lab", records: [{ name: "x", type: "HINFO", data: "" }] }] },
    'no type "HINFO"; there are A, NS',
  );
  bad({ zones: [], port: 0 }, "port 0");
  bad({ zones: [], listen: ["x"] }, 'Cannot use address to listen on "x"');
});

Deno.test("another server takes its place while queries come; it ends with its net", () => {
  using t = serving();
  assertEquals(ask(t, question("web.lab")).rcode, 0);
  t.b.net.swap("dns_server", dnsServer({ zones: [{ name: "new", hosts: { web: "10.0.0.5" } }] }));
  assertEquals([ask(t, question("web.lab")).rcode, ask(t, question("web.new")).answers.length], [5, 1]);
  using machine = new TestMachine();
  const alone = createHost({ machine, plugins: [dnsServer({ zones: [ZONE] })] });
  assertEquals(alone.net.get(DNS_SERVER).failed.size, 0);
});
