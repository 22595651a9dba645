import { assert, assertEquals, assertThrows } from "@std/assert";
import { ERRNO, Machine } from "../../../core/mod.ts";
import {
  AF_INET,
  type ProtoOps,
  skbSetOwnerW,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_MARK,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TYPE,
  SOCK,
  sock,
  SOCK_DGRAM,
  SOCK_STREAM,
  sockRegister,
} from "../../../plugins/transport/sock/mod.ts";
import { IP_TOS, pickPort, SOL_IP, SOL_SOCKET } from "../../../plugins/transport/sock/contract.ts";
import { recv, to, TwoHosts } from "./fake_ip.ts";

const IPPROTO_UDP = 17;

Deno.test("socket() refuses as Linux does", () => {
  using t = new TwoHosts();
  const cases: [family: number, type: number, protocol: number, errno: number][] = [
    [77, SOCK_DGRAM, 0, ERRNO.EAFNOSUPPORT],
    [10, SOCK_DGRAM, 0, ERRNO.EAFNOSUPPORT],
    [AF_INET, SOCK_STREAM, 0, ERRNO.ESOCKTNOSUPPORT],
    [AF_INET, 4, 0, ERRNO.ESOCKTNOSUPPORT],
    [AF_INET, SOCK_DGRAM, 6, ERRNO.EPROTONOSUPPORT],
    [AF_INET, SOCK_DGRAM, 256, ERRNO.EPROTONOSUPPORT],
    [AF_INET, SOCK_DGRAM, 300, ERRNO.EINVAL],
    [AF_INET, SOCK_DGRAM, -1, ERRNO.EINVAL],
    [AF_INET, 11, 0, ERRNO.EINVAL],
  ];
  for (const [family, type, protocol, errno] of cases) {
    assertEquals(t.sa.socket(family, type, protocol), -errno, `${family} ${type} ${protocol}`);
  }
  assertEquals(t.sa.socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), 3);
  assertEquals(t.sa.socket(AF_INET, SOCK_DGRAM, 0), 4);
});

Deno.test("SO_RCVBUF and SO_SNDBUF are doubled, bounded below and by rmem_max", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  const both = (value: number) => {
    t.sa.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value);
    t.sa.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, value);
    return [t.sa.getsockopt(fd, SOL_SOCKET, SO_RCVBUF), t.sa.getsockopt(fd, SOL_SOCKET, SO_SNDBUF)];
  };
  assertEquals(both(0), [2304, 4608]);
  assertEquals(both(1152), [2304, 4608]);
  assertEquals(both(2000), [4000, 4608]);
  assertEquals(both(100000), [200000, 200000]);
  assertEquals(both(10_000_000), [8388608, 8388608]);
  assertEquals(both(-1), [8388608, 8388608]);
  t.a.net.sysctl.set("net.core.rmem_max", 50000);
  assertEquals(both(100000), [100000, 200000]);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, 100000);
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_RCVBUF), 200000);
});

Deno.test("a new socket takes net.core.rmem_default and wmem_default", () => {
  using t = new TwoHosts();
  assertEquals(t.sa.sock(t.bound(t.sa, 1))!.rcvbuf, 212992);
  t.a.net.sysctl.set("net.core.rmem_default", 4000);
  t.a.net.sysctl.set("net.core.wmem_default", 5000);
  const sk = t.sa.sock(t.bound(t.sa, 2))!;
  assertEquals([sk.rcvbuf, sk.sndbuf], [4000, 5000]);
});

Deno.test("SOL_SOCKET options", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  const get = (name: number) => t.sa.getsockopt(fd, SOL_SOCKET, name);
  const set = (name: number, value: number) => t.sa.setsockopt(fd, SOL_SOCKET, name, value);
  assertEquals([get(SO_TYPE), get(SO_DOMAIN), get(SO_PROTOCOL)], [SOCK_DGRAM, AF_INET, IPPROTO_UDP]);
  assertEquals(set(SO_TYPE, 1), -ERRNO.ENOPROTOOPT);
  assertEquals(set(SO_ERROR, 1), -ERRNO.ENOPROTOOPT);
  assertEquals([set(999, 1), get(999)], [-ERRNO.ENOPROTOOPT, -ERRNO.ENOPROTOOPT]);
  assertEquals(t.sa.getsockopt(fd, 999, 1), -ERRNO.EOPNOTSUPP);
  assertEquals(t.sa.setsockopt(fd, 999, 1, 1), -ERRNO.ENOPROTOOPT);
  for (const name of [SO_REUSEADDR, SO_REUSEPORT, SO_BROADCAST]) {
    assertEquals([get(name), set(name, 7), get(name)], [0, 0, 1]);
  }
  for (const name of [SO_PRIORITY, SO_MARK]) assertEquals([get(name), set(name, 6), get(name)], [0, 0, 6]);
  assertEquals(set(SO_BINDTODEVICE, 99), -ERRNO.ENODEV);
  assertEquals([set(SO_BINDTODEVICE, t.a.dev.ifindex), get(SO_BINDTODEVICE)], [0, t.a.dev.ifindex]);
  assertEquals(t.sa.setsockopt(fd, SOL_IP, IP_TOS, 0xff), 0);
  assertEquals(get(SO_PRIORITY), 4);
});

Deno.test("SO_ERROR gives the pending error once", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  t.sa.sock(fd)!.err = ERRNO.ECONNREFUSED;
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), ERRNO.ECONNREFUSED);
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), 0);
});

Deno.test("mark and priority of the socket are on what it sends; its truesize is charged until it is freed", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  const sk = t.sa.sock(fd)!;
  t.sa.setsockopt(fd, SOL_SOCKET, SO_MARK, 7);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_PRIORITY, 5);
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0);
  const [skb] = t.a.held;
  assertEquals([skb.mark, skb.priority, skb.owner === sk.owner], [7, 5, true]);
  assertEquals(sk.wmemAlloc, skb.truesize);
  assert(skb.truesize > 500);
  skb.consume();
  assertEquals(sk.wmemAlloc, 0);
});

Deno.test("a socket that is closed with packets on their way still accounts to the end", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  const sk = t.sa.sock(fd)!;
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0);
  t.sa.close(fd);
  assert(sk.wmemAlloc > 0);
  t.a.held[0].consume();
  assertEquals(sk.wmemAlloc, 0);
});

Deno.test("[R24] a reader is woken once for many packets, at the outermost exit", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const tx = t.connected(t.sa, "10.0.0.2", 5000);
  let wakes = 0;
  let queued = -1;
  t.sb.onReady(rx, () => {
    wakes++;
    queued = t.sb.sock(rx)!.receiveQueue.qlen;
  });
  t.machine.batch(() => {
    for (let i = 0; i < 10; i++) t.sa.sendmsg(tx, to("10.0.0.2", 5000, `${i}`), 0);
    assertEquals(wakes, 0);
  });
  assertEquals([wakes, queued], [1, 10]);
  for (let i = 0; i < 10; i++) assertEquals(recv(t.sb, rx), `${i}`);
});

Deno.test("a second plugin for the same protocol is refused; a swapped one takes its sockets over", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1000);
  const sk = t.sa.sock(fd)!;
  const row = { family: AF_INET, type: SOCK_DGRAM, protocol: IPPROTO_UDP };
  assertThrows(() => sockRegister(t.a.net, { ...row, ops: sk.ops }), TypeError, "Cannot register protocol UDP");
  const mine: ProtoOps = { ...sk.ops, sendmsg: () => 42 };
  t.a.net.swap("udp", {
    name: "udp",
    api: 1,
    provides: [{ name: "netpath:udp" }],
    setup: (net) => {
      net.provide({ name: "netpath:udp" }, {});
      sockRegister(net, { ...row, ops: mine });
    },
  });
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0), 42);
  assertEquals(t.sa.sock(fd), sk);
});

Deno.test("the end of a net frees what its sockets hold", () => {
  const machine = new Machine({ debug: true, strict: true });
  {
    using t = new TwoHosts();
    const rx = t.bound(t.sb, 5000);
    const tx = t.connected(t.sa, "10.0.0.2", 5000);
    for (let i = 0; i < 3; i++) t.sa.sendmsg(tx, to("10.0.0.2", 5000, "x"), 0);
    assertEquals(t.sb.sock(rx)!.receiveQueue.qlen, 3);
  }
  const net = machine.createNet({ plugins: [sock()] });
  assertEquals(net.get(SOCK).list().length, 0);
});

Deno.test("swapping the socket table and the system calls leaves descriptors and sockets alone", async () => {
  const { syscall } = await import("../../../plugins/socket/syscall/mod.ts");
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const tx = t.connected(t.sa, "10.0.0.2", 5000);
  t.sa.sendmsg(tx, to("10.0.0.2", 5000, "before"), 0);
  t.b.net.sysctl.set("net.core.rmem_default", 50000);
  t.b.net.swap("sock", sock());
  t.b.net.swap("syscall", syscall());
  t.sa.sendmsg(tx, to("10.0.0.2", 5000, "after"), 0);
  assertEquals([recv(t.sb, rx), recv(t.sb, rx)], ["before", "after"]);
  assertEquals(t.sb.socket(AF_INET, SOCK_DGRAM, 0), 4);
  assertEquals(t.sb.sock(4)!.rcvbuf, 50000);
});

Deno.test("a port is picked at random, from the range, and never twice in a row by rule", () => {
  const machine = new Machine({ seed: 7 });
  const picked = Array.from({ length: 200 }, () => pickPort(machine, 32768, 60999, () => true));
  assert(picked.every((p) => p >= 32768 && p <= 60999));
  const steps = new Set(picked.slice(1).map((p, i) => p - picked[i]));
  assert(steps.size > 190, "the next port does not follow from the last");
});

Deno.test("a port is found when one is left, and 0 says that none is", () => {
  const machine = new Machine();
  assertEquals(pickPort(machine, 1, 60000, (p) => p === 4242), 4242);
  assertEquals(pickPort(machine, 1, 60000, () => false), 0);
  assertEquals(pickPort(machine, 10, 9, () => true), 0);
});

Deno.test("skbSetOwnerW charges and orphan() returns", () => {
  using t = new TwoHosts();
  const sk = t.sa.sock(t.bound(t.sa, 1))!;
  const skb = t.machine.skbs.alloc(100)!;
  skbSetOwnerW(skb, sk);
  assertEquals(sk.wmemAlloc, skb.truesize);
  skb.orphan();
  assertEquals([sk.wmemAlloc, skb.owner], [0, null]);
  skb.consume();
});
