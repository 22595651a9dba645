import { assertEquals } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import { INET, parseIp } from "../../../plugins/network/inet/mod.ts";
import {
  AF_INET,
  IP_RECVERR,
  IP_TTL,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  type MsgHdr,
  msgHdr,
  POLLIN,
  SO_PROTOCOL,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { PING } from "../../../plugins/transport/ping/mod.ts";
import { Pair } from "../sock/hosts.ts";

const IPPROTO_ICMP = 1;
const EAGAIN = -ERRNO.EAGAIN;
const ip = (text: string) => parseIp(text)!;

function echo(to: string | null, seq: number, data: string | Uint8Array = "", type = 8, code = 0): MsgHdr {
  const payload = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const msg = msgHdr(Uint8Array.of(type, code, 0x99, 0x99, 0x12, 0x34, seq >> 8, seq, ...payload));
  if (to !== null) msg.addr = ip(to);
  return msg;
}

Deno.test("an echo request goes out with identifier and checksum filled in, and the reply comes whole", () => {
  using t = new Pair();
  const { sys } = t.a;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  assertEquals(sys.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_ICMP);
  assertEquals(sys.sendmsg(fd, echo("10.0.0.2", 7, "data"), 0), 12);
  const id = sys.sock(fd)!.sport;
  assertEquals(sys.poll(fd) & POLLIN, POLLIN);
  const msg = msgHdr(new Uint8Array(100));
  msg.ttl = 0;
  assertEquals(sys.recvmsg(fd, msg, MSG_PEEK), 12);
  assertEquals(sys.recvmsg(fd, msg, 0), 12);
  const view = new DataView(msg.buf.buffer);
  assertEquals([view.getUint16(0), view.getUint16(4), view.getUint16(6)], [0, id, 7]);
  assertEquals(new TextDecoder().decode(msg.buf.slice(8, 12)), "data");
  assertEquals([msg.addr, msg.port, msg.flags, msg.ttl], [ip("10.0.0.2"), 0, 0, 64]);
  assertEquals(sys.recvmsg(fd, msg, 0), EAGAIN);
  const { icmp } = t.a.net.get(INET).mib;
  assertEquals([icmp.OutEchos, icmp.InEchoReps, t.b.net.get(INET).mib.icmp.InEchos], [1, 1, 1]);
  assertEquals(t.machine.ledger.bytesAt("ping_sendmsg"), 4);
});

Deno.test("only echo requests can be sent, with their whole header", () => {
  using t = new Pair();
  const { sys } = t.a;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  const send = (msg: MsgHdr) => sys.sendmsg(fd, msg, 0);
  assertEquals(send(echo("10.0.0.2", 1, "", 0)), -ERRNO.EINVAL);
  assertEquals(send(echo("10.0.0.2", 1, "", 13)), -ERRNO.EINVAL);
  assertEquals(send(echo("10.0.0.2", 1, "", 8, 1)), -ERRNO.EINVAL);
  const short = echo("10.0.0.2", 1);
  short.len = 7;
  assertEquals(send(short), -ERRNO.EINVAL);
  assertEquals(send(echo(null, 1)), -ERRNO.EDESTADDRREQ);
  assertEquals(send(echo("10.0.0.255", 1)), -ERRNO.EACCES);
  assertEquals(send(echo("192.168.0.1", 1)), -ERRNO.ENETUNREACH);
  assertEquals(send(echo("10.0.0.2", 1, new Uint8Array(65508))), -ERRNO.EMSGSIZE);
  assertEquals(send(echo("10.0.0.2", 1, new Uint8Array(8000))), 8008);
  assertEquals(sys.recvmsg(fd, msgHdr(new Uint8Array(9000)), 0), 8008);
});

Deno.test("identifiers are ports: bound, shared, the last one gets the reply", () => {
  using t = new Pair();
  const { sys } = t.a;
  const make = () => sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  const a = make(), b = make(), c = make();
  assertEquals(sys.bind(a, ip("10.0.0.1"), 777), 0);
  assertEquals(sys.bind(a, 0, 1), -ERRNO.EINVAL);
  assertEquals(sys.bind(b, 0, 777), 0);
  assertEquals(sys.setsockopt(c, SOL_SOCKET, SO_REUSEADDR, 0), 0);
  assertEquals(sys.bind(c, 0, 777), -ERRNO.EADDRINUSE);
  assertEquals(sys.bind(c, ip("10.0.0.9"), 0), -ERRNO.EADDRNOTAVAIL);
  assertEquals(sys.bind(c, ip("10.0.0.255"), 0), -ERRNO.EADDRNOTAVAIL);
  assertEquals(t.a.net.get(PING).lookup(777, ip("10.0.0.1"), 1), sys.sock(b));
  sys.sendmsg(a, echo("10.0.0.2", 1), 0);
  assertEquals(sys.recvmsg(b, msgHdr(new Uint8Array(20)), 0), 8);
  sys.close(b);
  assertEquals(t.a.net.get(PING).lookup(777, ip("10.0.0.1"), 1), sys.sock(a));
  assertEquals(t.a.net.get(PING).lookup(777, ip("10.0.0.3"), 1), null);
  sys.close(a);
  assertEquals(t.a.net.get(PING).count(), 0);
});

Deno.test("connect, disconnect, truncation", () => {
  using t = new Pair();
  const { sys } = t.a;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  assertEquals(sys.connect(fd, ip("10.0.0.2"), 99), 0);
  const peer = { addr: 0, port: 0 };
  sys.getpeername(fd, peer);
  assertEquals(peer, { addr: ip("10.0.0.2"), port: 99 });
  assertEquals(sys.sendmsg(fd, echo(null, 1, "0123456789"), 0), 18);
  const msg = msgHdr(new Uint8Array(10));
  assertEquals(sys.recvmsg(fd, msg, MSG_TRUNC), 18);
  assertEquals(msg.flags, MSG_TRUNC);
  assertEquals(sys.disconnect(fd), 0);
  assertEquals(sys.sock(fd)!.sport, 0);
  assertEquals(sys.sendmsg(fd, echo(null, 1), 0), -ERRNO.EDESTADDRREQ);
  assertEquals([sys.listen(fd, 1), sys.accept(fd)], [-ERRNO.EOPNOTSUPP, -ERRNO.EOPNOTSUPP]);
});

Deno.test("an empty ping_group_range lets nobody in", () => {
  using t = new Pair();
  t.a.net.sysctl.set("net.ipv4.ping_group_range", [1, 0]);
  assertEquals(t.a.sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), -ERRNO.EACCES);
});

Deno.test("socket(AF_INET, SOCK_DGRAM, 0) is UDP, whichever plugin came first", () => {
  using t = new Pair();
  const fd = t.a.sys.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals(t.a.sys.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL), 17);
});

Deno.test("a host that does not answer ARP is EHOSTUNREACH for who asks for errors", () => {
  using t = new Pair();
  const { sys } = t.a;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  sys.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  assertEquals(sys.sendmsg(fd, echo("10.0.0.9", 1), 0), 8);
  t.machine.runUntilIdle(10e9);
  const msg = msgHdr(new Uint8Array(100));
  msg.err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  assertEquals(sys.recvmsg(fd, msg, 0), -ERRNO.EHOSTUNREACH);
  assertEquals(sys.recvmsg(fd, msg, MSG_ERRQUEUE), 8);
  assertEquals([msg.err.errno, msg.err.type, msg.err.code], [ERRNO.EHOSTUNREACH, 3, 1]);
  assertEquals(msg.err.offender, ip("10.0.0.1"));
});

Deno.test("TTL 1 reaches a host on the link", () => {
  using t = new Pair();
  const { sys } = t.a;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  sys.setsockopt(fd, SOL_IP, IP_TTL, 1);
  assertEquals(sys.sendmsg(fd, echo("10.0.0.2", 1), 0), 8);
  assertEquals(sys.recvmsg(fd, msgHdr(new Uint8Array(20)), 0), 8);
});
