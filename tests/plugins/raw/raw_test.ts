/** Raw sockets: clones on the way in, headers on the way out, errors, options. */
import { assertEquals } from "@std/assert";
import { ICMP_FILTER, IP_HDRINCL, RAW, SOL_RAW } from "../../../plugins/transport/raw/mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import { AF_INET, type MsgHdr, msgHdr, SOCK_DGRAM, SOCK_RAW, SOL_IP } from "../../../plugins/transport/sock/mod.ts";
import type { Host } from "../../../mod.ts";
import { icmpEcho, ipv4, udp } from "../../support/frames/build.ts";
import { routed, twoHosts, udpSocket } from "../../support/hosts.ts";

const [A, B] = [needIp("10.0.0.1", "a"), needIp("10.0.0.2", "b")];
const [EAGAIN, EPROTONOSUPPORT, EADDRNOTAVAIL, EDESTADDRREQ, EMSGSIZE, EINVAL, EOPNOTSUPP, ENOPROTOOPT, EHOSTUNREACH] =
  [
    ...[11, 93, 99, 89, 90, 22, 95, 92, 113],
  ];
const ICMP = 1;
const RECVERR = 11;
const MSG_ERRQUEUE = 0x2000;

const rawSocket = (host: Host, protocol: number): number => {
  const fd = host.sys.socket(AF_INET, SOCK_RAW, protocol);
  if (fd < 0) throw new Error(`Cannot open a raw socket: ${fd}`);
  return fd;
};
const to = (addr: number, bytes: Uint8Array): MsgHdr => ({ ...msgHdr(bytes), addr });

/** The next packet as bytes; a negative errno. */
function next(host: Host, fd: number, size = 2048): Uint8Array | number {
  const msg = msgHdr(new Uint8Array(size));
  const n = host.sys.recvmsg(fd, msg, 0);
  return n < 0 ? n : msg.buf.slice(0, n);
}

Deno.test("a packet reaches every raw socket of its protocol as a clone, header and all, and its protocol as well", () => {
  using t = twoHosts({ neigh: true });
  const raws = [rawSocket(t.b, 17), rawSocket(t.b, 17)];
  const [other, bound, elsewhere] = [rawSocket(t.b, ICMP), rawSocket(t.b, 17), rawSocket(t.b, 17)];
  assertEquals(t.b.sys.bind(bound, B, 0), 0);
  assertEquals(t.b.sys.connect(elsewhere, needIp("10.0.0.9", "peer"), 0), 0);
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 4096);
  t.a.sys.sendmsg(tx, { ...msgHdr(Uint8Array.of(1, 2, 3)), addr: B, port: 7 }, 0);
  for (const fd of [...raws, bound]) {
    const packet = next(t.b, fd) as Uint8Array;
    assertEquals([packet.length, packet[0], packet[9], [...packet.slice(28)]], [31, 0x45, 17, [1, 2, 3]]);
    assertEquals(next(t.b, fd), -EAGAIN);
  }
  assertEquals([next(t.b, other), next(t.b, elsewhere)], [-EAGAIN, -EAGAIN]);
  assertEquals((next(t.b, rx) as Uint8Array).length, 3);
  assertEquals(t.machine.ledger.bytesAt("raw_recvmsg"), 3 * 31);
});

Deno.test("a protocol that only a raw socket knows is no unknown one: no ICMP error", () => {
  using t = twoHosts({ neigh: true });
  const rx = rawSocket(t.b, 253);
  const tx = rawSocket(t.a, 253);
  const errors = rawSocket(t.a, ICMP);
  assertEquals(t.a.sys.sendmsg(tx, to(B, Uint8Array.of(9)), 0), 1);
  assertEquals((next(t.b, rx) as Uint8Array).length, 21);
  assertEquals(next(t.a, errors), -EAGAIN);
  t.b.sys.close(rx);
  t.a.sys.sendmsg(tx, to(B, Uint8Array.of(9)), 0);
  const error = next(t.a, errors) as Uint8Array;
  assertEquals([...error.slice(20, 22)], [3, 2]);
});

Deno.test("IP_HDRINCL: the caller's header goes out; source, id, length and checksum are filled in", () => {
  using t = twoHosts({ neigh: true });
  const rx = rawSocket(t.b, 17);
  const tx = rawSocket(t.a, 255);
  assertEquals(t.a.sys.getsockopt(tx, SOL_IP, IP_HDRINCL), 1);
  const mine = ipv4(
    { src: "0.0.0.0", dst: "10.0.0.2", ttl: 9, tos: 4, checksum: 1, totalLength: 5 },
    udp({ sport: 1, dport: 2 }, "x"),
  );
  assertEquals(t.a.sys.sendmsg(tx, to(B, mine), 0), mine.length);
  const got = next(t.b, rx) as Uint8Array;
  assertEquals([got.length, got[8], got[1], got[2] << 8 | got[3]], [29, 9, 4, 29]);
  assertEquals([...got.slice(12, 16)], [10, 0, 0, 1]);
  assertEquals((got[4] << 8 | got[5]) > 0, true);
  const spoofed = ipv4({ src: "10.0.0.77", dst: "10.0.0.2", id: 7 }, udp({ sport: 1, dport: 2 }, "x"));
  t.a.sys.sendmsg(tx, to(B, spoofed), 0);
  const second = next(t.b, rx) as Uint8Array;
  assertEquals([[...second.slice(12, 16)], second[5]], [[10, 0, 0, 77], 7]);
  assertEquals(next(t.a, tx), -EAGAIN, "such a socket receives nothing");
  for (const [bytes, errno] of [[mine.slice(0, 19), EINVAL], [new Uint8Array(1501).fill(0x45), EMSGSIZE]] as const) {
    assertEquals(t.a.sys.sendmsg(tx, to(B, bytes), 0), -errno);
  }
  const long = mine.slice();
  long[0] = 0x4f;
  assertEquals(t.a.sys.sendmsg(tx, to(B, long), 0), -EINVAL, "a header that is longer than the packet");
});

Deno.test("a large packet is sent in fragments, and received whole", () => {
  using t = twoHosts({ neigh: true });
  const rx = rawSocket(t.b, 253);
  const tx = rawSocket(t.a, 253);
  const bytes = Uint8Array.from({ length: 4000 }, (_, i) => i * 7);
  assertEquals(t.a.sys.sendmsg(tx, to(B, bytes), 0), 4000);
  const got = next(t.b, rx, 8192) as Uint8Array;
  assertEquals([got.length, got.slice(20)], [4020, bytes]);
});

Deno.test("ping and traceroute of one's own: ICMP_FILTER, IP_TTL, errors in the queue", () => {
  using t = routed();
  const [far, router] = [needIp("10.0.1.2", "b"), needIp("10.0.0.1", "r")];
  const fd = rawSocket(t.a, ICMP);
  // Everything but echo replies and time exceeded.
  assertEquals(t.a.sys.setsockopt(fd, SOL_RAW, ICMP_FILTER, ~((1 << 0) | (1 << 11))), 0);
  const echo = (ttl: number): [number, number] | number => {
    assertEquals(t.a.sys.setsockopt(fd, SOL_IP, 2, ttl), 0);
    assertEquals(t.a.sys.sendmsg(fd, to(far, icmpEcho({ id: 77, seq: ttl }, "abc")), 0), 11);
    t.machine.runUntilIdle(1e9);
    const msg = msgHdr(new Uint8Array(200));
    const n = t.a.sys.recvmsg(fd, msg, 0);
    return n < 0 ? n : [msg.addr, msg.buf[20]];
  };
  assertEquals([echo(1), echo(2)], [[router, 11], [far, 0]]);
  assertEquals(t.a.sys.setsockopt(fd, SOL_RAW, ICMP_FILTER, -1), 0);
  assertEquals(echo(2), -EAGAIN);
  assertEquals(t.a.sys.setsockopt(fd, SOL_IP, RECVERR, 1), 0);
  assertEquals(echo(1), -EHOSTUNREACH, "the pending error, once");
  const err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  const msg = { ...msgHdr(new Uint8Array(200)), err };
  assertEquals(t.a.sys.recvmsg(fd, msg, MSG_ERRQUEUE), 11);
  assertEquals([err.type, err.code, err.errno, err.offender, msg.addr], [11, 0, EHOSTUNREACH, router, far]);
});

Deno.test("errnos are Linux's", () => {
  using t = twoHosts({ neigh: true });
  const { sys } = t.a;
  assertEquals(sys.socket(AF_INET, SOCK_RAW, 0), -EPROTONOSUPPORT);
  const fd = rawSocket(t.a, 253);
  assertEquals(sys.sendmsg(fd, msgHdr(new Uint8Array(1)), 0), -EDESTADDRREQ);
  assertEquals(sys.sendmsg(fd, to(B, new Uint8Array(65536)), 0), -EMSGSIZE);
  assertEquals(sys.sendmsg(fd, to(B, new Uint8Array(1)), 1), -EOPNOTSUPP);
  assertEquals(sys.bind(fd, needIp("10.0.0.99", "bind"), 0), -EADDRNOTAVAIL);
  assertEquals(sys.bind(fd, A, 5), 0);
  assertEquals([sys.listen(fd, 1), sys.accept(fd)], [-EOPNOTSUPP, -EOPNOTSUPP]);
  assertEquals(sys.setsockopt(fd, SOL_RAW, ICMP_FILTER, 1), -EOPNOTSUPP);
  assertEquals(sys.setsockopt(fd, SOL_RAW, 2, 1), -ENOPROTOOPT);
  assertEquals(sys.setsockopt(fd, 6, 1, 1), -ENOPROTOOPT);
  assertEquals(sys.connect(fd, B, 0), 0);
  assertEquals(sys.sendmsg(fd, msgHdr(new Uint8Array(1)), 0), 1);
  assertEquals(sys.bind(fd, A, 0), -EINVAL);
  assertEquals(t.a.net.get(RAW).count(), 1);
  assertEquals([sys.close(fd), t.a.net.get(RAW).count()], [0, 0]);
  assertEquals(sys.socket(AF_INET, SOCK_DGRAM, 253), -EPROTONOSUPPORT);
});

Deno.test("the receive buffer bounds what waits; drops are counted", () => {
  using t = twoHosts({ neigh: true });
  const rx = rawSocket(t.b, 253);
  t.b.sys.setsockopt(rx, 1, 8, 2000);
  const tx = rawSocket(t.a, 253);
  for (let i = 0; i < 20; i++) t.a.sys.sendmsg(tx, to(B, new Uint8Array(1000)), 0);
  const sk = t.b.sys.sock(rx)!;
  assertEquals(sk.drops > 0, true);
  assertEquals(t.b.net.dropped("SOCKET_RCVBUFF"), sk.drops);
  let got = 0;
  while (typeof next(t.b, rx) !== "number") got++;
  assertEquals([got + sk.drops, sk.rmemAlloc], [20, 0]);
});
