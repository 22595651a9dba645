/** RFC 9293 section 3.9.2: IP options of connections: source routes, record route, timestamps. */
import { assert, assertEquals } from "@std/assert";
import { ERRNO } from "../../../../core/mod.ts";
import type { Host } from "../../../../mod.ts";
import { devAddTap } from "../../../../core/mod.ts";
import { createLab, type Lab } from "../../../../plugins/lab/mod.ts";
import { AF_INET, IP_OPTIONS, msgHdr, SOCK_STREAM, SOL_IP } from "../../../../plugins/transport/sock/mod.ts";

const A = "10.0.0.1", R = "10.0.0.2", R2 = "10.0.1.2", B = "10.0.1.1";
const LSRR = 131, SSRR = 137, RR = 7, TS = 68, NOP = 1;

const num = (address: string): number => address.split(".").reduce((n, b) => (n << 8) | Number(b), 0);
const bytes = (address: string): number[] => address.split(".").map(Number);
/** A source route, and a NOP that fills the word. */
const route = (
  kind: number,
  ...hops: string[]
): number[] => [kind, 3 + 4 * hops.length, 4, ...hops.flatMap(bytes), NOP];

/** A host, a router that takes source routes, a host; what leaves each host, as bytes of IP. */
class Nets implements Disposable {
  readonly lab: Lab = createLab();
  readonly a: Host = this.lab.host("a");
  readonly b: Host = this.lab.host("b");
  readonly r: Host = this.lab.host("r", { forwarding: true });
  readonly sent: Record<string, number[][]> = { a: [], b: [] };

  constructor() {
    this.lab.link("a:eth0", "r:eth0");
    this.lab.link("b:eth0", "r:eth1");
    for (
      const [host, dev, address] of [[this.a, "eth0", A], [this.r, "eth0", R], [this.r, "eth1", R2], [
        this.b,
        "eth0",
        B,
      ]] as const
    ) {
      host.addr.add(dev, `${address}/24`);
    }
    this.a.route.add("default", { via: R });
    this.b.route.add("default", { via: R2 });
    for (const host of [this.a, this.b, this.r]) {
      for (const which of ["all", "eth0", "eth1"]) {
        if (host.net.sysctl.list().includes(`net.ipv4.conf.${which}.accept_source_route`)) {
          host.sysctl(`net.ipv4.conf.${which}.accept_source_route`, 1);
        }
      }
    }
    for (const host of [this.a, this.b]) {
      devAddTap(host.net, (skb, _dev, outgoing) => {
        const at = skb.networkHeader;
        const hlen = (skb.bytes[at] & 15) * 4;
        if (outgoing && skb.protocol === 0x0800) this.sent[host.net.name].push([...skb.bytes.slice(at, at + hlen)]);
      });
    }
  }

  socket(host: Host): number {
    return host.sys.socket(AF_INET, SOCK_STREAM, 0);
  }

  listen(port: number): number {
    const fd = this.socket(this.b);
    this.b.sys.bind(fd, 0, port);
    this.b.sys.listen(fd, 8);
    return fd;
  }

  set(host: Host, fd: number, options: number[]): number {
    return host.sys.setsockopt(fd, SOL_IP, IP_OPTIONS, Uint8Array.from(options));
  }

  get(host: Host, fd: number): number[] {
    return [...host.sys.getsockoptBytes(fd, SOL_IP, IP_OPTIONS) as Uint8Array];
  }

  /** A connection from a to b, with options of its own; the descriptors of both. */
  connect(options: number[], port: number = 80): [a: number, b: number] {
    const listener = this.listen(port);
    const fd = this.socket(this.a);
    assertEquals(this.set(this.a, fd, options), 0);
    this.a.sys.connect(fd, num(B), port);
    this.lab.runUntilIdle(1e9);
    const served = this.b.sys.accept(listener);
    assert(served >= 0, `accept: ${served}`);
    return [fd, served];
  }

  /** Moves `text` from one to the other, whole. */
  move(from: Host, fd: number, to: Host, other: number, n: number): void {
    const data = Uint8Array.from({ length: n }, (_, i) => i % 251);
    const out = Object.assign(msgHdr(), { buf: data, len: n });
    assertEquals(from.sys.sendmsg(fd, out, 0), n);
    this.lab.runUntilIdle(1e9);
    const into = Object.assign(msgHdr(), { buf: new Uint8Array(n), len: n });
    assertEquals(to.sys.recvmsg(other, into, 0), n);
    assertEquals(into.buf, data);
  }

  [Symbol.dispose](): void {
    this.lab[Symbol.dispose]();
  }
}

const to = (header: number[]): string => header.slice(16, 20).join(".");
const options = (header: number[]): number[] => header.slice(20);

for (const [name, kind] of [["loose", LSRR], ["strict", SSRR]] as const) {
  Deno.test(`[MUST-51] an application gives a ${name} source route: each segment goes to its first hop, the last place is the peer's`, () => {
    using t = new Nets();
    const given = route(kind, R);
    const [fd, served] = t.connect(given);
    t.move(t.a, fd, t.b, served, 5000);
    assert(t.sent.a.length >= 6);
    for (const header of t.sent.a) {
      assertEquals([to(header), options(header)], [R, [kind, 7, 4, ...bytes(B), NOP]]);
    }
    assertEquals(t.get(t.a, fd), given);
  });
}

Deno.test("[MUST-53] a passive open answers by the route that the SYN came, reversed, from the SYN-ACK on", () => {
  using t = new Nets();
  const [fd, served] = t.connect(route(LSRR, R));
  t.move(t.b, served, t.a, fd, 3000);
  assert(t.sent.b.length >= 4);
  // The router put the address that it sent from into the route.
  for (const header of t.sent.b) {
    assertEquals([to(header), options(header).slice(0, 7)], [R2, [LSRR, 7, 4, ...bytes(A)]]);
  }
  assertEquals(t.get(t.b, served).slice(0, 7), [LSRR, 7, 4, ...bytes(R2)]);
});

Deno.test("[MUST-52] a route that the application gave has precedence over one that came", () => {
  using t = new Nets();
  const given = route(LSRR, R);
  const [fd, served] = t.connect(given);
  // Every packet of b came with a route of its own; a's stays.
  assertEquals(t.get(t.a, fd), given);
  assertEquals(t.set(t.b, served, route(SSRR, R2)), 0);
  t.sent.b = [];
  t.move(t.b, served, t.a, fd, 100);
  t.move(t.a, fd, t.b, served, 100);
  assert(t.sent.b.length > 0);
  for (const header of t.sent.b) assertEquals([to(header), options(header)], [R2, [SSRR, 7, 4, ...bytes(A), NOP]]);
  assertEquals(t.set(t.b, served, []), 0);
  t.sent.b = [];
  t.move(t.b, served, t.a, fd, 100);
  assertEquals(t.sent.b.map((header) => [to(header), header.length]), [[A, 20]]);
});

Deno.test("[MAY-10] [MAY-11] record route and timestamp: each host on the way enters itself, the passive side answers with what came", () => {
  using t = new Nets();
  const record = [RR, 15, 4, ...Array(12).fill(0), NOP];
  const stamps = [TS, 12, 5, 0, ...Array(8).fill(0)];
  const [fd, served] = t.connect([...record, ...stamps]);
  t.move(t.a, fd, t.b, served, 100);
  t.move(t.b, served, t.a, fd, 100);
  const [first] = t.sent.a;
  assertEquals(options(first).slice(0, 7), [RR, 15, 8, ...bytes(A)]);
  assertEquals(options(first).slice(16, 20), [TS, 12, 9, 0]);
  // What b echoes has a, the router and b: as it was on arrival, and itself when it leaves.
  assertEquals(options(t.sent.b[0]).slice(0, 11), [RR, 15, 16, ...bytes(A), ...bytes(R2)]);
  assertEquals(t.get(t.a, fd), [...record, ...stamps]);
});

Deno.test("IP_OPTIONS: what is malformed is EINVAL, no bytes are no options, and segments are smaller by them", () => {
  using t = new Nets();
  const fd = t.socket(t.a);
  const bad: number[][] = [
    Array(41).fill(NOP),
    [LSRR],
    [LSRR, 2],
    [LSRR, 3, 4],
    route(LSRR, R).slice(0, 4),
    [LSRR, 7, 8, ...bytes(R)],
    [LSRR, 8, 4, ...bytes(R), 0],
    [...route(LSRR, R), ...route(SSRR, R)],
    [RR, 3, 3],
    [RR, 6, 4, 0, 0, 0],
    [TS, 4, 4, 0],
    [TS, 7, 5, 0, 0, 0, 0],
    [TS, 8, 5, 1, 0, 0, 0, 0],
    [148, 3, 0],
    [7, 1],
  ];
  for (const options of bad) assertEquals(t.set(t.a, fd, options), -ERRNO.EINVAL, options.join(" "));
  assertEquals(t.get(t.a, fd), []);
  assertEquals(t.set(t.a, fd, [NOP]), 0);
  assertEquals(t.get(t.a, fd), [NOP, 0, 0, 0]);
  assertEquals(t.set(t.a, fd, []), 0);
  assertEquals(t.get(t.a, fd), []);
  const [one, served] = t.connect(Array(8).fill(NOP));
  t.sent.a = [];
  t.move(t.a, one, t.b, served, 20_000);
  const lengths = t.sent.a.map((header) => (header[2] << 8) | header[3]);
  assertEquals(Math.max(...lengths), 1500);
  assert(t.sent.a.every((header) => header.length === 28));
});
