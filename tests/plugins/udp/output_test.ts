import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  ERRNO,
  NETIF_F_HW_CSUM,
  skbChecksumHelp,
  type SkBuff,
} from "../../../core/mod.ts";
import { INET } from "../../../plugins/network/inet/contract.ts";
import { IP_PMTUDISC_DO } from "../../../plugins/network/ipv4/contract.ts";
import {
  IP_MTU_DISCOVER,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_RECVERR,
  IP_TOS,
  IP_TTL,
  MSG_ERRQUEUE,
  msgHdr,
  POLLOUT,
  SHUT_WR,
  SO_BROADCAST,
  SO_EE_ORIGIN_LOCAL,
  SO_NO_CHECK,
  SO_SNDBUF,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { ipv4, udp } from "../../support/frames/build.ts";
import { ip, recv, to, TwoHosts } from "../sock/fake_ip.ts";

const EAGAIN = -ERRNO.EAGAIN;

function bytesOf(skb: SkBuff, from: number): Uint8Array {
  return Uint8Array.from(skb.bytes.slice(skb.data + from, skb.tail));
}

Deno.test("[T1] [T2] [T3] sendmsg allocates one sk_buff, copies the payload once and charges the send buffer", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  const sk = t.sa.sock(fd)!;
  t.a.held = [];
  const live = t.machine.skbs.live;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "hello"), 0), 5);
  assertEquals(t.machine.skbs.live, live + 1);
  assertEquals(t.machine.ledger.bytesAt("udp_sendmsg"), 5);
  const [skb] = t.a.held;
  assertEquals(sk.wmemAlloc, skb.truesize);
  assert(skb.owner === sk.owner);
  skb.consume();
  assertEquals(sk.wmemAlloc, 0);
});

Deno.test("[T4] header and checksum are what the wire wants", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 65535 }), (payload, port) => {
    t.a.held = [];
    assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", port, payload), 0), payload.length);
    const [skb] = t.a.held;
    const want = ipv4({ src: "10.0.0.1", dst: "10.0.0.2" }, udp({ sport: 4000, dport: port }, payload));
    assertEquals(bytesOf(skb, 20), want.slice(20));
    assertEquals(skb.ipSummed, CHECKSUM_NONE);
    skb.consume();
  }));
});

Deno.test("a sum of zero is sent as all ones", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 5000, Uint8Array.of(0, 0)), 0);
  const probe = bytesOf(t.a.held[0], 20);
  const sum = (probe[6] << 8) | probe[7];
  // The checksum of a zero word is the word that makes it zero.
  t.sa.sendmsg(fd, to("10.0.0.2", 5000, Uint8Array.of(sum >> 8, sum)), 0);
  assertEquals(bytesOf(t.a.held[1], 20).slice(6, 8), Uint8Array.of(0xff, 0xff));
  for (const skb of t.a.held) skb.consume();
});

Deno.test("a device that checksums gets the pseudo header's sum, which completes to the same bytes", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.a.dev.features |= NETIF_F_HW_CSUM;
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 5000, "offload me"), 0);
  const [skb] = t.a.held;
  assertEquals(skb.ipSummed, CHECKSUM_PARTIAL);
  assert(skbChecksumHelp(skb));
  const want = ipv4({ src: "10.0.0.1", dst: "10.0.0.2" }, udp({ sport: 4000, dport: 5000 }, "offload me"));
  assertEquals(bytesOf(skb, 20), want.slice(20));
  skb.consume();
});

Deno.test("SO_NO_CHECK sends 0", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, 1);
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0);
  assertEquals(bytesOf(t.a.held[0], 26).slice(0, 2), Uint8Array.of(0, 0));
  t.a.held[0].consume();
});

Deno.test("[C1] 1 MiB through a socket pair: 1 MiB in, 1 MiB out, nothing between", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const tx = t.connected(t.sa, "10.0.0.2", 5000);
  const payload = Uint8Array.from({ length: 1024 }, (_, i) => i);
  const out = msgHdr(payload), into = msgHdr(new Uint8Array(2048));
  for (let i = 0; i < 1024; i++) {
    payload[0] = i;
    assertEquals(t.sa.sendmsg(tx, out, 0), 1024);
    assertEquals(t.sb.recvmsg(rx, into, 0), 1024);
    assertEquals(into.buf[0], i & 255);
  }
  assertEquals(into.buf.slice(1, 1024), payload.slice(1));
  const { ledger } = t.machine;
  assertEquals([ledger.bytesAt("udp_sendmsg"), ledger.bytesAt("udp_recvmsg")], [1 << 20, 1 << 20]);
  assertEquals(ledger.total("cpu"), 2 << 20);
});

Deno.test("part of a buffer is sent, from an offset", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const tx = t.connected(t.sa, "10.0.0.2", 5000);
  for (const len of [0, 1, 15, 16, 17, 40, 96, 97, 500]) {
    const msg = msgHdr(Uint8Array.from({ length: 1000 }, (_, i) => i));
    msg.off = 7;
    msg.len = len;
    assertEquals(t.sa.sendmsg(tx, msg, 0), len);
    const got = msgHdr(new Uint8Array(1000));
    got.off = 3;
    got.len = 900;
    assertEquals(t.sb.recvmsg(rx, got, 0), len);
    assertEquals(got.buf.slice(3, 3 + len), msg.buf.slice(7, 7 + len));
    assertEquals(got.buf[3 + len], 0);
  }
});

Deno.test("errors of sendmsg", () => {
  using t = new TwoHosts();
  const fd = t.sa.socket(2, 2, 0);
  const send = (msg: ReturnType<typeof to>, flags = 0) => t.sa.sendmsg(fd, msg, flags);
  assertEquals(send(msgHdr(Uint8Array.of(1))), -ERRNO.EDESTADDRREQ);
  assertEquals(send(to("10.0.0.2", 0, "x")), -ERRNO.EINVAL);
  assertEquals(send(to("192.168.0.1", 9, "x")), -ERRNO.ENETUNREACH);
  assertEquals(send(to("10.0.0.255", 9, "x")), -ERRNO.EACCES);
  assertEquals(send(to("10.0.0.2", 9, "x"), 1), -ERRNO.EOPNOTSUPP);
  assertEquals(send(to("10.0.0.2", 9, new Uint8Array(65508))), -ERRNO.EMSGSIZE);
  assertEquals(send(to("10.0.0.2", 9, new Uint8Array(70000))), -ERRNO.EMSGSIZE);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1);
  assertEquals(send(to("10.0.0.255", 9, "x")), 1);
  assertEquals(t.a.net.get(INET).mib.ip.OutNoRoutes, 1);
  assertEquals(send(to("10.0.0.2", 9, new Uint8Array(65507))), 65507);
  assertEquals(t.b.icmp, ["3/3"]);
});

Deno.test("0.0.0.0 is this host", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sa, 5000);
  const tx = t.sa.socket(2, 2, 0);
  assertEquals(t.sa.sendmsg(tx, to("0.0.0.0", 5000, "me"), 0), 2);
  assertEquals(recv(t.sa, rx), "me");
  assertEquals(t.sa.connect(tx, 0, 5000), 0);
  assertEquals([t.sa.sock(tx)!.daddr, t.sa.sock(tx)!.saddr], [ip("127.0.0.1"), ip("127.0.0.1")]);
});

Deno.test("[T3] a full send buffer is EAGAIN; the writer is woken when half of it is free", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  const sk = t.sa.sock(fd)!;
  t.sa.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, 5000);
  let wakes = 0;
  t.sa.onReady(fd, () => wakes++);
  const held: SkBuff[] = t.a.held = [];
  let sent = 0;
  while (t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0) === 1) sent++;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), EAGAIN);
  assert(sk.wmemAlloc >= 10_000 && sk.wmemAlloc < 10_000 + held[0].truesize);
  assertEquals(t.sa.poll(fd) & POLLOUT, 0);
  assertEquals(t.a.net.get(INET).mib.udp.SndbufErrors, 2);
  while (sk.wmemAlloc * 2 > sk.sndbuf) {
    assertEquals(wakes, 0);
    t.machine.batch(() => held.pop()!.consume());
  }
  assertEquals([wakes, t.sa.poll(fd) & POLLOUT], [1, POLLOUT]);
  for (const skb of held) skb.consume();
  assertEquals([sk.wmemAlloc, sent > 5], [0, true]);
});

Deno.test("what the queue below refuses is no error unless IP_RECVERR asks", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.a.sendResult = 1;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), 1);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), -ERRNO.ENOBUFS);
  t.a.sendResult = 2;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), 1);
  t.a.sendResult = -ERRNO.EPERM;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), -ERRNO.EPERM);
  const { OutDatagrams, SndbufErrors } = t.a.net.get(INET).mib.udp;
  assertEquals([OutDatagrams, SndbufErrors], [1, 1]);
});

Deno.test("no memory is ENOBUFS, and nothing leaks", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  const { skbs } = t.machine;
  const alloc = skbs.alloc;
  skbs.alloc = () => null;
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0), -ERRNO.ENOBUFS);
  skbs.alloc = alloc;
  assertEquals(t.sa.sock(fd)!.wmemAlloc, 0);
});

Deno.test("too big for a path that must not fragment: EMSGSIZE, and the MTU in the error queue", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.sa.setsockopt(fd, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  assertEquals(t.sa.sendmsg(fd, to("10.0.0.2", 5000, new Uint8Array(1473)), 0), -ERRNO.EMSGSIZE);
  const msg = msgHdr(new Uint8Array(10));
  msg.err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  assertEquals(t.sa.recvmsg(fd, msg, MSG_ERRQUEUE), 0);
  assertEquals([msg.err.errno, msg.err.origin, msg.err.info, msg.addr], [
    ERRNO.EMSGSIZE,
    SO_EE_ORIGIN_LOCAL,
    1500,
    ip("10.0.0.2"),
  ]);
  assertEquals([t.sa.sock(fd)!.err, t.sa.recvmsg(fd, msg, MSG_ERRQUEUE)], [0, EAGAIN]);
});

Deno.test("TOS, TTL, multicast TTL, interface and loop reach IP", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  const seen: [tos: number, ttl: number, saddr: number][] = [];
  const ipv4Record = t.a.net.get({ name: "netpath:ipv4" }) as { sendSkb: (skb: SkBuff, cork: Cork) => number };
  type Cork = { tos: number; ttl: number; saddr: number };
  const flags: number[] = [];
  ipv4Record.sendSkb = (skb, cork) => {
    seen.push([cork.tos, cork.ttl, cork.saddr]);
    flags.push(skb.flags);
    skb.consume();
    return 0;
  };
  t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0);
  t.sa.setsockopt(fd, SOL_IP, IP_TOS, 0x10);
  t.sa.setsockopt(fd, SOL_IP, IP_TTL, 9);
  t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0);
  t.sa.sendmsg(fd, to("239.1.1.1", 1, "x"), 0);
  assertEquals(t.sa.setsockopt(fd, SOL_IP, IP_MULTICAST_IF, ip("10.0.0.9")), -ERRNO.EADDRNOTAVAIL);
  assertEquals(t.sa.setsockopt(fd, SOL_IP, IP_MULTICAST_IF, ip("10.0.0.1")), 0);
  t.sa.setsockopt(fd, SOL_IP, IP_MULTICAST_LOOP, 0);
  t.sa.sendmsg(fd, to("239.1.1.1", 1, "x"), 0);
  const own = ip("10.0.0.1");
  assertEquals(seen, [[0, 0, own], [0x10, 9, own], [0x10, 1, own], [0x10, 1, own]]);
  assertEquals(flags, [0, 0, 0, 1]);
});

Deno.test("a connected socket keeps its route until it is obsolete", () => {
  using t = new TwoHosts();
  t.bound(t.sb, 5000);
  const fd = t.connected(t.sa, "10.0.0.2", 5000);
  const first = t.sa.sock(fd)!.dst!;
  t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0);
  assert(t.sa.sock(fd)!.dst === first);
  first.obsolete = true;
  t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0);
  const second = t.sa.sock(fd)!.dst!;
  assert(second !== first && !second.obsolete);
});

Deno.test("after SHUT_WR sending is EPIPE", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 5000);
  assertEquals(t.sa.shutdown(fd, SHUT_WR), 0);
  assertEquals(t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0), -ERRNO.EPIPE);
});

Deno.test("[A61] what is behind the payload is never sent: header and payload fill the packet", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.a.held = [];
  t.sa.sendmsg(fd, to("10.0.0.2", 5000, new Uint8Array(200).fill(0xaa)), 0);
  t.a.held.pop()!.consume();
  for (let n = 0; n < 60; n++) {
    t.sa.sendmsg(fd, to("10.0.0.2", 5000, new Uint8Array(n)), 0);
    const skb = t.a.held.pop()!;
    assertEquals([skb.len, skb.tail - skb.data], [28 + n, 28 + n]);
    assertEquals(bytesOf(skb, 28), new Uint8Array(n));
    skb.consume();
  }
});
