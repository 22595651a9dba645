/** The stub resolver: whom it asks, what it believes, and for how long. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { ipToString, needIp } from "../../../plugins/network/inet/mod.ts";
import {
  decodeMessage,
  DNS_AA,
  DNS_QR,
  DNS_RD,
  DNS_TC,
  type DnsAnswer,
  type DnsMessage,
  dnsMessage,
  type DnsRecord,
  dnsServer,
  type DnsType,
  encodeMessage,
  lookup,
  lookupAll,
  nodeLookup,
  resolveDns,
  ResolveError,
  RESOLVER,
  resolver,
  type ResolverOptions,
  reverse,
} from "../../../plugins/socket/dns/mod.ts";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { type TwoHosts, twoHosts } from "../../support/hosts.ts";

/** Two hosts: a resolver on the first, on the second sockets that tests answer from. */
function asking(options: ResolverOptions = {}, servers = ["10.0.0.2"]): TwoHosts {
  const t = twoHosts({ neigh: true });
  t.a.net.use(resolver({ servers, ...options }));
  return t;
}

interface Query {
  readonly m: DnsMessage;
  readonly addr: number;
  readonly port: number;
}

/** A server by hand. */
class Hand {
  readonly #t: TwoHosts;
  readonly fd: number;

  constructor(t: TwoHosts, port = 53, addr = 0) {
    this.#t = t;
    this.fd = t.b.sys.socket(2, 2, 17);
    assertEquals(t.b.sys.bind(this.fd, addr, port), 0);
  }

  /** The queries that came. */
  queries(): Query[] {
    this.#t.machine.advance(1e6);
    const out: Query[] = [];
    const rx = msgHdr(new Uint8Array(4096));
    for (;;) {
      rx.len = 4096;
      const n = this.#t.b.sys.recvmsg(this.fd, rx, 0);
      if (n < 0) return out;
      const m = decodeMessage(rx.buf, n);
      assert(typeof m !== "string");
      out.push({ m, addr: rx.addr, port: rx.port });
    }
  }

  query(): Query {
    const all = this.queries();
    assertEquals(all.length, 1);
    return all[0];
  }

  bytes(to: { addr: number; port: number }, bytes: Uint8Array): void {
    this.#t.b.sys.sendmsg(this.fd, { ...msgHdr(bytes), addr: to.addr, port: to.port }, 0);
    this.#t.machine.advance(1e6);
  }

  answer(q: Query, fields: Partial<DnsMessage>): void {
    const { id, questions } = q.m;
    this.bytes(q, encodeMessage(dnsMessage({ id, questions, flags: DNS_QR | DNS_RD, ...fields })));
  }
}

/** Asks; the answers gather in the list. */
function resolve(t: TwoHosts, name: string, type: DnsType = "A"): DnsAnswer[] & { question?: Disposable } {
  const out: DnsAnswer[] & { question?: Disposable } = [];
  out.question = t.a.net.get(RESOLVER).resolve(name, type, (answer) => out.push(answer));
  return out;
}

const a = (name: string, data: string, ttl = 60): DnsRecord => ({ name, type: "A", ttl, data });
const cname = (name: string, data: string, ttl = 60): DnsRecord => ({ name, type: "CNAME", ttl, data });
const soa = (name: string, ttl: number, minimum: number): DnsRecord => ({
  name,
  type: "SOA",
  ttl,
  data: { mname: "ns", rname: "root", serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});
const brief = (answers: readonly DnsAnswer[]): unknown =>
  answers.map((x) => [x.code, x.records.map((r) => `${r.data} ${r.ttl}`), x.from]);

Deno.test("asks with recursion and EDNS, believes the answer, keeps it as long as its TTL says", () => {
  using t = asking();
  const server = new Hand(t);
  const first = resolve(t, "Web.Lab");
  const q = server.query();
  assertEquals(q.m.questions, [{ name: "web.lab", type: 1, class: 1 }]);
  assertEquals([q.m.flags, q.m.edns, ipToString(q.addr)], [
    DNS_RD,
    { udpSize: 1232, version: 0, dnssec: false },
    "10.0.0.1",
  ]);
  server.answer(q, { answers: [a("WEB.lab", "10.0.0.7", 60), a("web.lab", "10.0.0.8", 30)] });
  assertEquals(brief(first), [[null, ["10.0.0.7 60", "10.0.0.8 30"], "10.0.0.2"]]);
  t.machine.advance(29e9);
  assertEquals(brief(resolve(t, "web.lab")), [[null, ["10.0.0.7 31", "10.0.0.8 1"], "cache"]]);
  assertEquals(server.queries(), []);
  t.machine.advance(1e9);
  const again = resolve(t, "web.lab");
  assertEquals([brief(again), server.queries().length], [[], 1]);
  assertEquals(t.a.net.get(RESOLVER).stats.cacheHits, 1);
});

Deno.test("that there is none is kept as long as the SOA record says, and not at all without one", () => {
  using t = asking();
  const server = new Hand(t);
  const none = (name: string, rcode: number, authorities: DnsRecord[]): unknown => {
    const got = resolve(t, name);
    for (const q of server.queries()) server.answer(q, { rcode, authorities });
    return brief(got);
  };
  assertEquals(none("x.lab", 3, [soa("lab", 600, 20)]), [["ENOTFOUND", [], "10.0.0.2"]]);
  t.machine.advance(19e9);
  assertEquals(none("x.lab", 0, []), [["ENOTFOUND", [], "cache"]]);
  t.machine.advance(1e9);
  assertEquals(none("x.lab", 0, [soa("lab", 10, 600)]), [["ENODATA", [], "10.0.0.2"]]);
  assertEquals(none("y.lab", 3, []), [["ENOTFOUND", [], "10.0.0.2"]]);
  assertEquals(none("y.lab", 0, [soa("other", 99, 99)]), [["ENODATA", [], "10.0.0.2"]]);
  assertEquals(none("y.lab", 3, []), [["ENOTFOUND", [], "10.0.0.2"]]);
});

Deno.test("[Kaminsky] ids and ports are new for each query, and what does not fit all of them is ignored", () => {
  using t = asking({ timeout: 1000, attempts: 1 });
  const server = new Hand(t);
  const other = new Hand(t, 5353);
  const ids = new Set<number>(), ports = new Set<number>();
  for (let i = 0; i < 64; i++) {
    const got = resolve(t, `x${i}.lab`);
    const q = server.query();
    ids.add(q.m.id);
    ports.add(q.port);
    got.question![Symbol.dispose]();
  }
  assert(ids.size > 60 && ports.size > 60, `${ids.size} ids, ${ports.size} ports`);
  assert([...ports].every((port) => port >= 1024));

  const got = resolve(t, "web.lab");
  const q = server.query();
  const evil = { answers: [a("web.lab", "6.6.6.6")] };
  const forge = (hand: Hand, fields: Partial<DnsMessage>): void => hand.answer(q, { ...evil, ...fields });
  for (let id = 0; id < 65536; id += 257) if (id !== q.m.id) forge(server, { id });
  forge(other, {}); // all right, from another port
  forge(server, { flags: DNS_RD }); // no response
  forge(server, { opcode: 4 });
  forge(server, { questions: [] });
  forge(server, { questions: [{ name: "web2.lab", type: 1, class: 1 }] });
  forge(server, { questions: [{ name: "web.lab", type: 28, class: 1 }] });
  forge(server, { questions: [...q.m.questions, ...q.m.questions] });
  server.bytes(q, encodeMessage(dnsMessage({ id: q.m.id, ...evil })).slice(0, 30));
  server.bytes(
    { addr: q.addr, port: (q.port + 1) & 0xffff },
    encodeMessage(dnsMessage({ ...q.m, flags: DNS_QR, ...evil })),
  );
  assertEquals(brief(got), []);
  server.answer(q, { answers: [a("web.lab", "10.0.0.7")] });
  assertEquals(brief(got), [[null, ["10.0.0.7 60"], "10.0.0.2"]]);
  const { mismatched, malformed } = t.a.net.get(RESOLVER).stats;
  assertEquals([mismatched >= 250, malformed], [true, 1]);
  assertEquals(t.a.net.get(RESOLVER).stats.queries, 65);
});

Deno.test("[Kaminsky] records beside the question are not believed, nor kept", () => {
  using t = asking();
  const server = new Hand(t);
  const got = resolve(t, "www.lab");
  server.answer(server.query(), {
    answers: [a("bank.example", "6.6.6.6"), cname("www.lab", "web.lab"), a("web.lab", "10.0.0.7"), a("lab", "6.6.6.6")],
    authorities: [{ name: "example", type: "NS", ttl: 9, data: "evil.example" }],
    additionals: [a("evil.example", "6.6.6.6")],
  });
  assertEquals(got[0].records.map((r) => r.data), ["10.0.0.7"]);
  assertEquals(got[0].aliases, [cname("www.lab", "web.lab")]);
  for (const name of ["bank.example", "evil.example", "lab"]) resolve(t, name);
  assertEquals(server.queries().length, 3);
});

Deno.test("capital letters at random: an answer that does not repeat them is ignored", () => {
  using t = asking({ randomizeCase: true });
  const server = new Hand(t);
  const got = resolve(t, "a-long-name-of-many-letters.example");
  const q = server.query();
  const [asked] = q.m.questions;
  assertNotEquals(asked.name, asked.name.toLowerCase());
  assertEquals(asked.name.toLowerCase(), "a-long-name-of-many-letters.example");
  server.answer(q, { questions: [{ ...asked, name: asked.name.toLowerCase() }], answers: [a(asked.name, "6.6.6.6")] });
  assertEquals(brief(got), []);
  server.answer(q, { answers: [a(asked.name.toLowerCase(), "10.0.0.7")] });
  assertEquals(brief(got), [[null, ["10.0.0.7 60"], "10.0.0.2"]]);
});

Deno.test("who asks the same meanwhile gets the same answer: one query", () => {
  using t = asking();
  const server = new Hand(t);
  const many = Array.from({ length: 5 }, () => resolve(t, "web.lab"));
  many[2].question![Symbol.dispose]();
  server.answer(server.query(), { answers: [a("web.lab", "10.0.0.7")] });
  assertEquals(many.map((m) => m.length), [1, 1, 0, 1, 1]);
  assertEquals(t.a.net.get(RESOLVER).stats.joined, 4);
});

Deno.test("no answer: the next server after the timeout, then all again with twice of it; the socket goes", () => {
  using t = asking({ timeout: 1000, attempts: 2 }, ["10.0.0.2", "10.0.0.3"]);
  t.b.addr.add("eth0", "10.0.0.3/24");
  t.a.neigh.set("eth0", "10.0.0.3", "02:00:00:00:00:02");
  const server = new Hand(t);
  const start = t.machine.now;
  const got = resolve(t, "web.lab");
  const times: number[] = [];
  while (got.length === 0) {
    for (const _ of server.queries()) times.push(Math.round((t.machine.now - start) / 1e9));
    t.machine.advance(100e6);
  }
  assertEquals(times, [0, 1, 2, 4]);
  assertEquals([brief(got), Math.round((t.machine.now - start) / 1e9)], [[["ETIMEOUT", [], "10.0.0.2"]], 6]);
  assertEquals(t.a.net.get(RESOLVER).stats.retries, 3);
});

Deno.test("SERVFAIL, REFUSED and a port that nobody listens on: the next server at once", () => {
  using t = asking({}, ["10.0.0.3", "10.0.0.4", "10.0.0.2"]);
  for (const [address, mac] of [["10.0.0.3", 2], ["10.0.0.4", 2]] as const) {
    t.b.addr.add("eth0", `${address}/24`);
    t.a.neigh.set("eth0", address, `02:00:00:00:00:0${mac}`);
  }
  const [good, bad] = [new Hand(t, 53, needIp("10.0.0.2", "x")), new Hand(t, 53, needIp("10.0.0.4", "x"))];
  const got = resolve(t, "web.lab");
  bad.answer(bad.query(), { rcode: 2 });
  good.answer(good.query(), { answers: [a("web.lab", "10.0.0.7")] });
  assertEquals(brief(got), [[null, ["10.0.0.7 60"], "10.0.0.2"]]);
  const refused = resolve(t, "x.lab");
  for (let i = 0; i < 2; i++) {
    bad.answer(bad.query(), { rcode: 5 });
    good.answer(good.query(), { rcode: 5 });
  }
  assertEquals(brief(refused), [["EREFUSED", [], "10.0.0.3"]]);
});

Deno.test("a server that does not know EDNS is asked again without", () => {
  using t = asking();
  const server = new Hand(t);
  const got = resolve(t, "web.lab");
  server.answer(server.query(), { rcode: 1, questions: [] });
  const q = server.query();
  assertEquals(q.m.edns, null);
  server.answer(q, { answers: [a("web.lab", "10.0.0.7")] });
  assertEquals(brief(got), [[null, ["10.0.0.7 60"], "10.0.0.2"]]);
});

Deno.test("an answer that was cut is asked for over TCP; where nobody listens there, the next server is asked", () => {
  using t = asking();
  const texts = Array.from({ length: 30 }, (_, i) => ({ name: "big", type: "TXT" as const, data: `${i}`.padEnd(99) }));
  t.b.net.use(dnsServer({ zones: [{ name: "lab", records: texts }] }));
  const got = resolve(t, "big.lab", "TXT");
  t.machine.advance(100e6);
  assertEquals([got.length, got[0].records.length, t.a.net.get(RESOLVER).stats.tcpQueries], [1, 30, 1]);
  using u = asking({ attempts: 1 });
  const server = new Hand(u);
  const failed = resolve(u, "big.lab", "TXT");
  server.answer(server.query(), { flags: DNS_QR | DNS_TC });
  u.machine.advance(100e6);
  assertEquals(brief(failed), [["ECONNREFUSED", [], "10.0.0.2"]]);
});

Deno.test("the search list: short names with it first, longer ones as they are first, a dot at the end alone", () => {
  using t = asking({ search: ["lab", "far.lab."] });
  const server = new Hand(t);
  const tried = (name: string): string[] => {
    const got = resolve(t, name);
    const names: string[] = [];
    while (got.length === 0) {
      for (const q of server.queries()) {
        names.push(q.m.questions[0].name);
        server.answer(q, { rcode: 3 });
      }
    }
    assertEquals(got[0].code, "ENOTFOUND");
    return names;
  };
  assertEquals(tried("web"), ["web.lab", "web.far.lab", "web"]);
  assertEquals(tried("a.b"), ["a.b", "a.b.lab", "a.b.far.lab"]);
  assertEquals(tried("web."), ["web"]);
  // That a name is there with other records weighs more than that the last one is not.
  const got = resolve(t, "mixed");
  server.answer(server.query(), { answers: [] });
  for (let i = 0; i < 2; i++) server.answer(server.query(), { rcode: 3 });
  assertEquals(got[0].code, "ENODATA");
});

Deno.test("aliases: followed through servers that do not; those that lead round end", () => {
  using t = asking({ cache: 0 });
  const server = new Hand(t);
  const got = resolve(t, "www.lab");
  server.answer(server.query(), { flags: DNS_QR | DNS_AA, answers: [cname("www.lab", "web.far")] });
  const q = server.query();
  assertEquals(q.m.questions[0].name, "web.far");
  server.answer(q, { answers: [a("web.far", "10.0.0.7")] });
  assertEquals([brief(got), got[0].aliases.length], [[[null, ["10.0.0.7 60"], "10.0.0.2"]], 1]);
  const loop = (answers: (name: string) => DnsRecord[]): unknown => {
    const out = resolve(t, "x0.lab");
    let queries = 0;
    while (out.length === 0) {
      for (const query of server.queries()) {
        queries++;
        server.answer(query, { answers: answers(query.m.questions[0].name) });
      }
    }
    return [out[0].code, queries];
  };
  assertEquals(loop(() => [cname("x0.lab", "y.lab"), cname("y.lab", "x0.lab")]), ["ELOOP", 1]);
  assertEquals(loop(() => [cname("x0.lab", "x0.lab")]), ["ELOOP", 1]);
  assertEquals(loop((name) => [cname(name, name === "x0.lab" ? "y.lab" : "x0.lab")]), ["ELOOP", 2]);
  assertEquals(loop((name) => [cname(name, `x${Number(name.slice(1, -4)) + 1}.lab`)]), ["ELOOP", 9]);
  // An alias to a name that the server says has no records is an answer.
  const empty = resolve(t, "www.lab");
  server.answer(server.query(), { answers: [cname("www.lab", "web.lab")], authorities: [soa("lab", 9, 9)] });
  assertEquals(empty[0].code, "ENODATA");
});

Deno.test("hosts, localhost and addresses are never asked for; what is no name is told", async () => {
  using t = asking({ hosts: { "web.lab": ["10.0.0.7", "10.0.0.8"], db: "10.0.0.9" }, search: ["lab"] });
  const server = new Hand(t);
  assertEquals(brief(resolve(t, "WEB")), [[null, ["10.0.0.7 0", "10.0.0.8 0"], "hosts"]]);
  assertEquals(brief(resolve(t, "db.")), [[null, ["10.0.0.9 0"], "hosts"]]);
  assertEquals(brief(resolve(t, "db.", "TXT")), [["ENODATA", [], "hosts"]]);
  assertEquals(brief(resolve(t, "7.0.0.10.in-addr.arpa", "PTR")), [[null, ["web.lab 0"], "hosts"]]);
  assertEquals(brief(resolve(t, "localhost.")), [[null, ["127.0.0.1 0"], "hosts"]]);
  assertEquals(brief(resolve(t, "x.localhost.")), [[null, ["127.0.0.1 0"], "hosts"]]);
  for (const bad of ["", ".", "a..b", "x".repeat(64), "ü"]) assertEquals(resolve(t, bad)[0].code, "EBADNAME");
  assertEquals(await lookup(t.a.net, "192.0.2.1"), "192.0.2.1");
  assertEquals(await lookupAll(t.a.net, "web"), ["10.0.0.7", "10.0.0.8"]);
  assertEquals(await reverse(t.a.net, "10.0.0.9"), ["db"]);
  const all = await new Promise((done) => nodeLookup(t.a.net)("web", { all: true }, (_, list) => done(list)));
  assertEquals(all, [{ address: "10.0.0.7", family: 4 }, { address: "10.0.0.8", family: 4 }]);
  const error = await new Promise((done) => nodeLookup(t.a.net)("a..b", {}, (e) => done(e)));
  assert(error instanceof ResolveError && error.code === "EBADNAME");
  assertEquals(server.queries(), []);
});

Deno.test("the promise rejects with a code, aborts with its reason, and names another server", async () => {
  using t = asking({ timeout: 10, attempts: 1 });
  const server = new Hand(t);
  const { net } = t.a;
  const gone = resolveDns(net, "web.lab", "A");
  t.machine.advance(1e9);
  const error = await assertRejects(() => gone, ResolveError, "Cannot resolve web.lab A: no server answered");
  assertEquals([error.code, error.name, error.hostname], ["ETIMEOUT", "TimedOut", "web.lab"]);
  server.queries();
  const abort = new AbortController();
  const aborted = resolveDns(net, "web.lab", "A", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  await assertRejects(() => resolveDns(net, "web.lab", "A", { signal: abort.signal }), Error, "enough");
  await assertRejects(() => resolveDns(net, "x", "A", { nameServer: { ipAddr: "x" } }), TypeError, "DNS server");
  server.queries();
  t.b.addr.add("eth0", "10.0.0.9/24");
  t.a.neigh.set("eth0", "10.0.0.9", "02:00:00:00:00:02");
  const elsewhere = resolveDns(net, "mx.lab", "MX", { nameServer: { ipAddr: "10.0.0.9" } });
  const data = { preference: 1, exchange: "mail.lab" };
  const q = server.query();
  // A wildcard socket answers from the address of the route: not from where it was asked.
  const own = new Hand(t, 5354);
  t.b.sys.close(server.fd);
  t.b.sys.close(own.fd);
  const at = new Hand(t, 53, needIp("10.0.0.9", "x"));
  at.answer(q, { answers: [{ name: "mx.lab", type: "MX", ttl: 1, data }] });
  assertEquals(await elsewhere, [{ preference: 1, exchange: "mail.lab." }]);
});

Deno.test("servers and search lists come and go with who brings them; other servers mean other answers", () => {
  using t = asking({ search: ["own"] }, []);
  const r = t.a.net.get(RESOLVER);
  assertEquals(brief(resolve(t, "web")), [["ECONNREFUSED", [], "0.0.0.0"]]);
  r.configure("eth0", { servers: ["10.0.0.2", "10.0.0.3"], search: ["lab"] });
  r.configure("eth1", { servers: ["10.0.0.3", "10.0.0.4"] });
  assertEquals([r.servers, r.search], [["10.0.0.2", "10.0.0.3", "10.0.0.4"], ["own", "lab"]]);
  const server = new Hand(t);
  const answered = (): number => {
    resolve(t, "web.lab.");
    const all = server.queries();
    for (const q of all) server.answer(q, { answers: [a("web.lab", "10.0.0.7")] });
    return all.length;
  };
  assertEquals([answered(), answered()], [1, 0]);
  r.configure("eth1", null);
  assertEquals([r.servers, answered()], [["10.0.0.2", "10.0.0.3"], 1]);
  r.flush();
  assertEquals(answered(), 1);
  assertThrows(() => r.configure("x", { servers: ["nobody"] }), TypeError, 'Cannot use DNS server "nobody"');
  t.a.net.swap("resolver", resolver({ hosts: { a: "10.0.0.1" } }));
  assertEquals([r.servers, r.search], [["10.0.0.2", "10.0.0.3"], ["lab"]]);
});

Deno.test("the cache holds as many answers as it is told", () => {
  using t = asking({ cache: 3 });
  const server = new Hand(t);
  const asked = (name: string): number => {
    resolve(t, `${name}.lab`);
    const all = server.queries();
    for (const q of all) server.answer(q, { answers: [a(`${name}.lab`, "10.0.0.7")] });
    return all.length;
  };
  assertEquals(["a", "b", "c", "a", "d", "a", "b", "c"].map(asked), [1, 1, 1, 0, 1, 0, 1, 1]);
});

Deno.test("when the net ends, questions do; wrong options are errors", () => {
  const t = asking();
  const got = resolve(t, "web.lab");
  t.a.net[Symbol.dispose]();
  assertEquals(brief(got), [["ECANCELLED", [], ""]]);
  t[Symbol.dispose]();
  const bad = (options: ResolverOptions, message: string): void => {
    assertThrows(() => resolver(options), Error, message);
  };
  bad({ servers: ["x"] }, 'Cannot use DNS server "x"');
  bad({ search: ["a..b"] }, 'Cannot search in "a..b"');
  bad({ hosts: { "a..b": "10.0.0.1" } }, 'Cannot use host "a..b"');
  bad({ hosts: { a: "10.0" } }, 'address of host a "10.0"');
  bad({ timeout: 0 }, "timeout 0: it takes a whole number from 1");
  bad({ ndots: 16 }, "ndots 16");
});
