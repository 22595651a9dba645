import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { virtualPlatform } from "../../../core/mod.ts";
import {
  AF_INET,
  SO_BINDTODEVICE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { UDP } from "../../../plugins/transport/udp/mod.ts";
import { HashNode, SockHash } from "../../../plugins/transport/sock/contract.ts";
import type { UdpSock } from "../../../plugins/transport/udp/state.ts";
import { ip, recv, to, TwoHosts } from "../sock/fake_ip.ts";

const chain = (hash: SockHash<UdpSock>, a: number, b: number, c: number): HashNode<UdpSock>[] => {
  const out = [];
  for (let n = hash.find(a, b, c); n !== null; n = n.next) out.push(n);
  return out;
};

Deno.test("the hash table does what a Map of lists does", () => {
  const key = fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 }));
  const step = fc.record({ add: fc.boolean(), front: fc.boolean(), at: fc.nat(63), by: fc.nat(63), key });
  fc.assert(fc.property(fc.integer(), fc.array(step, { maxLength: 300 }), (seed, steps) => {
    const hash = new SockHash<UdpSock>(virtualPlatform(seed));
    const nodes = Array.from({ length: 64 }, () => new HashNode({} as UdpSock));
    const model = new Map<string, HashNode<UdpSock>[]>();
    for (const s of steps) {
      const node = nodes[s.at];
      if (!s.add) {
        hash.remove(node);
        for (const list of model.values()) if (list.includes(node)) list.splice(list.indexOf(node), 1);
        continue;
      }
      const other = nodes[s.by];
      if (node.linked) {
        // A place is handed over: the chain keeps its order.
        if (other.linked) continue;
        hash.replace(node, other);
        for (const list of model.values()) if (list.includes(node)) list[list.indexOf(node)] = other;
        assert(!node.linked && other.linked);
        continue;
      }
      const [a, b, c] = s.key;
      hash.add(node, a, b, c, s.front);
      const list = model.get(`${a},${b},${c}`) ?? [];
      if (s.front) list.unshift(node);
      else list.push(node);
      model.set(`${a},${b},${c}`, list);
    }
    for (const [k, list] of model) {
      const [a, b, c] = k.split(",").map(Number);
      assert(chain(hash, a, b, c).every((n, i) => n === list[i]));
      assertEquals(chain(hash, a, b, c).length, list.length);
    }
    assertEquals(hash.used, [...model.values()].filter((l) => l.length > 0).length);
  }));
});

Deno.test("[R21] the four-tuple finds the socket: connected before bound before any", () => {
  using t = new TwoHosts();
  const options = (fd: number) => t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const make = (addr: number): number => {
    const fd = t.sb.socket(AF_INET, SOCK_DGRAM, 0);
    options(fd);
    assertEquals(t.sb.bind(fd, addr, 5000), 0);
    return fd;
  };
  const any = make(0);
  const bound = make(ip("10.0.0.2"));
  const connected = make(0);
  assertEquals(t.sb.connect(connected, ip("10.0.0.1"), 7000), 0);
  const lookup = (saddr: string, sport: number, daddr: string) =>
    t.b.net.get(UDP).lookup(ip(saddr), sport, ip(daddr), 5000, t.b.dev.ifindex);
  assertEquals(lookup("10.0.0.1", 7000, "10.0.0.2"), t.sb.sock(connected));
  assertEquals(lookup("10.0.0.1", 7001, "10.0.0.2"), t.sb.sock(bound));
  assertEquals(lookup("10.0.0.9", 7000, "10.0.0.2"), t.sb.sock(bound));
  assertEquals(lookup("10.0.0.1", 7000, "127.0.0.1"), t.sb.sock(any));
  assertEquals(t.b.net.get(UDP).lookup(ip("10.0.0.1"), 7000, ip("10.0.0.2"), 5001, 1), null);
  t.sb.close(connected);
  assertEquals(lookup("10.0.0.1", 7000, "10.0.0.2"), t.sb.sock(bound));
  t.sb.close(bound);
  assertEquals(lookup("10.0.0.1", 7000, "10.0.0.2"), t.sb.sock(any));
  t.sb.close(any);
  assertEquals(lookup("10.0.0.1", 7000, "10.0.0.2"), null);
  assertEquals(t.b.net.get(UDP).count(), 0);
});

Deno.test("among equals the last one bound wins; a device that matches beats none", () => {
  using t = new TwoHosts();
  const make = (dev: number): number => {
    const fd = t.sb.socket(AF_INET, SOCK_DGRAM, 0);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev);
    assertEquals(t.sb.bind(fd, 0, 5000), 0);
    return fd;
  };
  const lookup = (dif: number) => t.b.net.get(UDP).lookup(1, 1, ip("10.0.0.2"), 5000, dif);
  const onDev = make(t.b.dev.ifindex);
  make(0);
  const last = make(0);
  assertEquals(lookup(t.b.dev.ifindex), t.sb.sock(onDev));
  assertEquals(lookup(99), t.sb.sock(last));
});

Deno.test("SO_REUSEPORT spreads flows over a group, and keeps each flow at one socket", () => {
  using t = new TwoHosts();
  const make = (): number => {
    const fd = t.sb.socket(AF_INET, SOCK_DGRAM, 0);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    assertEquals(t.sb.bind(fd, 0, 5000), 0);
    return fd;
  };
  const fds = [make(), make(), make(), make()];
  const lookup = (sport: number) => t.b.net.get(UDP).lookup(ip("10.0.0.1"), sport, ip("10.0.0.2"), 5000, 1);
  const counts = new Map(fds.map((fd) => [t.sb.sock(fd), 0]));
  for (let sport = 1; sport <= 4000; sport++) {
    const sk = lookup(sport);
    assertEquals(lookup(sport), sk);
    counts.set(sk, counts.get(sk)! + 1);
  }
  for (const n of counts.values()) assert(n > 800 && n < 1200, `${n} of 4000 flows`);
  // One that connects leaves the group.
  assertEquals(t.sb.connect(fds[0], ip("10.0.0.1"), 1), 0);
  for (let sport = 2; sport < 500; sport++) assert(lookup(sport) !== t.sb.sock(fds[0]));
  assertEquals(lookup(1), t.sb.sock(fds[0]));
  for (const fd of fds) t.sb.close(fd);
  assertEquals(lookup(1), null);
});

Deno.test("ten thousand sockets: each datagram finds its own", () => {
  using t = new TwoHosts();
  const hub = t.bound(t.sb, 9000);
  const fds: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const fd = t.sb.socket(AF_INET, SOCK_DGRAM, 0);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // Half of them on ports of their own, half connected from one port.
    if (i % 2 === 0) assertEquals(t.sb.bind(fd, 0, 10_000 + i), 0);
    else {
      assertEquals(t.sb.bind(fd, 0, 8000), 0);
      assertEquals(t.sb.connect(fd, ip("10.0.0.1"), i), 0);
    }
    fds.push(fd);
  }
  const udp = t.b.net.get(UDP);
  assertEquals(udp.count(), 10_001);
  for (let i = 0; i < 10_000; i++) {
    const sk = i % 2 === 0
      ? udp.lookup(ip("10.0.0.7"), 1, ip("10.0.0.2"), 10_000 + i, 1)
      : udp.lookup(ip("10.0.0.1"), i, ip("10.0.0.2"), 8000, 1);
    assertEquals(sk === t.sb.sock(fds[i]), true, `${i}`);
  }
  const tx = t.bound(t.sa, 77);
  t.sa.sendmsg(tx, to("10.0.0.2", 9000, "hub"), 0);
  assertEquals(recv(t.sb, hub), "hub");
  for (const fd of fds) t.sb.close(fd);
  assertEquals(udp.count(), 1);
});

Deno.test("bind conflicts as Linux has them", () => {
  using t = new TwoHosts();
  const EADDRINUSE = -98;
  const make = (...options: number[]): number => {
    const fd = t.sa.socket(AF_INET, SOCK_DGRAM, 0);
    for (const o of options) t.sa.setsockopt(fd, SOL_SOCKET, o, 1);
    return fd;
  };
  const own = ip("10.0.0.1");
  assertEquals(t.sa.bind(make(), own, 5000), 0);
  assertEquals(t.sa.bind(make(), own, 5000), EADDRINUSE);
  assertEquals(t.sa.bind(make(), 0, 5000), EADDRINUSE);
  assertEquals(t.sa.bind(make(SO_REUSEADDR), own, 5000), EADDRINUSE);
  assertEquals(t.sa.bind(make(), ip("127.0.0.1"), 5000), 0);
  assertEquals(t.sa.bind(make(SO_REUSEPORT), own, 6000), 0);
  assertEquals(t.sa.bind(make(), own, 6000), EADDRINUSE);
  assertEquals(t.sa.bind(make(SO_REUSEADDR), own, 6000), EADDRINUSE);
  assertEquals(t.sa.bind(make(SO_REUSEPORT), own, 6000), 0);
  assertEquals(t.sa.bind(make(SO_REUSEADDR), own, 7000), 0);
  assertEquals(t.sa.bind(make(SO_REUSEADDR), 0, 7000), 0);
});

Deno.test("a free port is chosen from ip_local_port_range; when all are taken it is EADDRINUSE", () => {
  using t = new TwoHosts();
  t.a.net.sysctl.set("net.ipv4.ip_local_port_range", [40000, 40003]);
  const ports = [];
  for (let i = 0; i < 4; i++) {
    const fd = t.sa.socket(AF_INET, SOCK_DGRAM, 0);
    assertEquals(t.sa.bind(fd, 0, 0), 0);
    ports.push(t.sa.sock(fd)!.sport);
  }
  assertEquals(ports.sort(), [40000, 40001, 40002, 40003]);
  const fd = t.sa.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals(t.sa.bind(fd, 0, 0), -98);
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0), -11);
});
