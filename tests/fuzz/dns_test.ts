/** 100,000 seeded messages into DNS's parser, a server and a resolver: no throw, no hang, no leak, bounded work. */
import { assert, assertEquals } from "@std/assert";
import {
  decodeMessage,
  DNS_QR,
  DNS_SERVER,
  type DnsMessage,
  dnsMessage,
  type DnsRecord,
  dnsServer,
  type DnsType,
  dnsTypeNumber,
  encodeMessage,
  RESOLVER,
  resolver,
} from "../../plugins/socket/dns/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { TCP } from "../../plugins/transport/tcp/mod.ts";
import { Random } from "../support/frames/random.ts";
import { twoHosts, udpSocket } from "../support/hosts.ts";
import { spoil } from "./spoil.ts";

const TYPES: readonly DnsType[] = ["A", "AAAA", "CNAME", "NS", "PTR", "TXT", "MX", "SRV", "SOA"];
const NAMES = ["lab", "web.lab", "www.lab", "a.lab", "b.lab", "x.y.z.lab", "big.lab", "2.0.0.10.in-addr.arpa", "."];

function record(random: Random): DnsRecord {
  const name = random.pick(NAMES);
  const ttl = random.int(100);
  const other = random.pick(NAMES);
  const type = random.pick(TYPES);
  switch (type) {
    case "A":
      return { name, ttl, type, data: "10.0.0.9" };
    case "AAAA":
      return { name, ttl, type, data: "2001:db8::9" };
    case "TXT":
      return { name, ttl, type, data: ["x".repeat(random.int(200)), ""] };
    case "MX":
      return { name, ttl, type, data: { preference: 1, exchange: other } };
    case "SRV":
      return { name, ttl, type, data: { priority: 1, weight: 1, port: 1, target: other } };
    case "SOA":
      return {
        name,
        ttl,
        type,
        data: { mname: other, rname: name, serial: 1, refresh: 1, retry: 1, expire: 1, minimum: random.int(100) },
      };
    default:
      return { name, ttl, type, data: other };
  }
}

function message(random: Random, asked: DnsMessage | null): DnsMessage {
  const some = (most: number): DnsRecord[] => Array.from({ length: random.int(most + 1) }, () => record(random));
  const question = { name: random.pick(NAMES), type: dnsTypeNumber(random.pick(TYPES)), class: 1 };
  const answer = asked !== null && random.chance(0.8);
  return dnsMessage({
    id: answer ? asked.id : random.u16(),
    flags: (answer || random.chance(0.2) ? DNS_QR : 0) | random.pick([0, 0x100, 0x400, 0x700]),
    opcode: random.chance(0.9) ? 0 : random.int(16),
    rcode: random.pick([0, 0, 0, 3, 2, 5, 1]),
    questions: answer ? asked.questions : random.chance(0.9) ? [question] : [question, question],
    answers: answer || random.chance(0.3) ? some(4) : [],
    authorities: random.chance(0.3) ? some(2) : [],
    additionals: random.chance(0.2) ? some(2) : [],
    edns: random.chance(0.5) ? { udpSize: random.u16(), version: random.chance(0.9) ? 0 : 1, dnssec: false } : null,
  });
}

function fuzz(seed: number, count: number): { understood: number; answered: number; slowest: number } {
  using t = twoHosts({ seed, neigh: true });
  const random = new Random(seed);
  const records = Array.from(
    { length: 20 },
    (_, i) => ({ name: "big", type: "TXT" as const, data: `${i}`.padEnd(99) }),
  );
  const hosts = { web: "10.0.0.2", "x.y.z": "10.0.0.3" };
  t.b.net.use(dnsServer({ zones: [{ name: "lab", hosts, records }], port: 5353 }));
  t.a.net.use(resolver({ servers: ["10.0.0.2"], search: ["lab"], timeout: 50, attempts: 2, cache: 50 }));
  const forger = udpSocket(t.b, 53);
  const asker = udpSocket(t.a, 0);
  const rx = msgHdr(new Uint8Array(65536));
  let understood = 0, answered = 0, slowest = 0;
  let last: { m: DnsMessage; port: number } | null = null;
  for (let i = 0; i < count; i++) {
    if (random.chance(0.3)) {
      const done = (): void => void answered++;
      const question = t.a.net.get(RESOLVER).resolve(random.pick(NAMES).slice(random.int(3)), random.pick(TYPES), done);
      if (random.chance(0.1)) question[Symbol.dispose]();
    }
    rx.len = 65536;
    const n = t.b.sys.recvmsg(forger, rx, 0);
    if (n >= 0) {
      const m = decodeMessage(rx.buf, n);
      assert(typeof m !== "string", "our own query is malformed");
      last = { m, port: rx.port };
    }
    const forged = last !== null && random.chance(0.6);
    const bytes = spoil(encodeMessage(message(random, forged ? last!.m : null), 1400), random);
    const start = performance.now();
    const read = decodeMessage(bytes);
    if (typeof read !== "string") {
      understood++;
      // What was read can be written; what is written can be read. A text that was no UTF-8 may have become too long.
      const texts = [read.answers, read.authorities, read.additionals].flat().filter((r) => r.type === "TXT");
      if (!texts.some((r) => JSON.stringify(r.data).includes("\ufffd"))) {
        assertEquals(typeof decodeMessage(encodeMessage(read)), "object");
      }
    }
    if (forged) {
      t.b.sys.sendmsg(forger, { ...msgHdr(bytes), addr: needIp("10.0.0.1", "a"), port: last!.port }, 0);
    } else t.a.sys.sendmsg(asker, { ...msgHdr(bytes), addr: needIp("10.0.0.2", "b"), port: 5353 }, 0);
    slowest = Math.max(slowest, performance.now() - start);
    if (i % 8 === 0) {
      t.machine.advance(random.pick([1e6, 20e6, 200e6]));
      do rx.len = 65536; while (t.a.sys.recvmsg(asker, rx, 0) >= 0);
    }
    if (i % 50 === 0) tcp(t, bytes);
  }
  t.machine.advance(3600e9);
  do rx.len = 65536; while (t.b.sys.recvmsg(forger, rx, 0) >= 0);
  t.a.sys.close(forger);
  assert(t.b.net.get(DNS_SERVER).stats.queries > count / 10);
  // The two sockets above, and no other of a resolver that has nothing to ask.
  assertEquals(t.a.net.get(TCP).counts().established, 0);
  assertEquals([t.a.net.pluginErrors, t.b.net.pluginErrors, t.machine.faults], [[], [], []]);
  return { understood, answered, slowest };
}

/** The same bytes in a stream, behind a length that fits or not. */
function tcp(t: ReturnType<typeof twoHosts>, bytes: Uint8Array): void {
  const fd = t.a.sys.socket(2, 1, 6);
  t.a.sys.connect(fd, needIp("10.0.0.2", "b"), 5353);
  t.machine.advance(1e6);
  t.a.sys.sendmsg(fd, msgHdr(Uint8Array.of(bytes.length >> 8, bytes.length & 255, ...bytes, ...bytes)), 0);
  t.machine.advance(1e6);
  t.a.sys.close(fd);
}

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`[A63] 25,000 DNS messages of seed ${seed}, most of them spoilt: no throw, no hang, no leak`, () => {
    const { understood, answered, slowest } = fuzz(seed, 25_000);
    assert(understood > 5_000, `only ${understood} were understood`);
    assert(answered > 1_000, `only ${answered} questions ended`);
    assert(slowest < 500, `one took ${slowest} ms`);
  });
}
