import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { CHECKSUM_UNNECESSARY, ERRNO } from "../../../core/mod.ts";
import { INET, IPPROTO_UDP } from "../../../plugins/network/inet/contract.ts";
import {
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_ALL,
  MSG_PEEK,
  MSG_TRUNC,
  msgHdr,
  POLLIN,
  POLLOUT,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { concat, fixIpv4Checksum, ipv4, udp } from "../../support/frames/build.ts";
import { ip, recv, TwoHosts } from "../sock/fake_ip.ts";

const HOSTS = { src: "10.0.0.1", dst: "10.0.0.2" };
const EAGAIN = -ERRNO.EAGAIN;

function mib(t: TwoHosts) {
  return t.b.net.get(INET).mib.udp;
}

Deno.test("[R22] the payload waits in the receive buffer, charged by truesize", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  const sk = t.sb.sock(fd)!;
  assertEquals(t.sb.poll(fd), POLLOUT);
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, "hello")));
  assertEquals(t.sb.poll(fd), POLLIN | POLLOUT);
  assertEquals(sk.receiveQueue.qlen, 1);
  const skb = sk.receiveQueue.head!;
  assertEquals(skb.len, 5);
  assertEquals(sk.rmemAlloc, skb.truesize);
  assertEquals(recv(t.sb, fd), "hello");
  assertEquals([sk.rmemAlloc, sk.receiveQueue.qlen], [0, 0]);
});

Deno.test("[R23] recvmsg copies once, exactly the payload, and names the sender", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  t.b.inject(ipv4({ ...HOSTS, ttl: 33 }, udp({ sport: 7, dport: 5000 }, "hello")));
  assertEquals(t.machine.ledger.bytesAt("udp_recvmsg"), 0);
  const msg = msgHdr(new Uint8Array(100));
  msg.ttl = 0;
  msg.off = 10;
  msg.len = 90;
  assertEquals(t.sb.recvmsg(fd, msg, 0), 5);
  assertEquals([msg.addr, msg.port, msg.flags, msg.ttl], [ip("10.0.0.1"), 7, 0, 33]);
  assertEquals(msg.buf.slice(8, 17), Uint8Array.of(0, 0, 104, 101, 108, 108, 111, 0, 0));
  assertEquals(t.machine.ledger.bytesAt("udp_recvmsg"), 5);
  assertEquals(mib(t).InDatagrams, 1);
  assertEquals(t.sb.recvmsg(fd, msg, 0), EAGAIN);
});

Deno.test("MSG_PEEK leaves it there, MSG_TRUNC tells the length, what does not fit is cut", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  const datagram = ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, "hello"));
  for (let i = 0; i < 3; i++) t.b.inject(datagram);
  assertEquals(recv(t.sb, fd, 2048, MSG_PEEK), "hello");
  assertEquals(recv(t.sb, fd, 2048, MSG_PEEK), "hello");
  assertEquals(t.sb.sock(fd)!.receiveQueue.qlen, 3);
  const small = msgHdr(new Uint8Array(2));
  assertEquals(t.sb.recvmsg(fd, small, 0), 2);
  assertEquals([small.buf, small.flags], [Uint8Array.of(104, 101), MSG_TRUNC]);
  assertEquals(t.sb.recvmsg(fd, small, MSG_TRUNC), 5);
  assertEquals(t.sb.recvmsg(fd, msgHdr(), MSG_TRUNC | MSG_PEEK), 5);
  assertEquals(recv(t.sb, fd), "hello");
  assertEquals(mib(t).InDatagrams, 3);
});

Deno.test("an empty datagram is a datagram", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000 })));
  assertEquals(t.sb.poll(fd) & POLLIN, POLLIN);
  assertEquals(recv(t.sb, fd), "");
  assertEquals(recv(t.sb, fd), EAGAIN);
});

Deno.test("[A12] lengths that lie: dropped and counted, or cut, never a throw", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  for (let claimed = 0; claimed <= 40; claimed++) {
    for (let real = 0; real <= 24; real++) {
      const errors = mib(t).InErrors;
      const body = udp({ sport: 7, dport: 5000, length: claimed, checksum: 0 }, new Uint8Array(Math.max(0, real - 8)));
      t.b.inject(ipv4({ ...HOSTS, proto: IPPROTO_UDP }, body.slice(0, real)));
      const good = real >= 8 && claimed >= 8 && claimed <= real;
      assertEquals(mib(t).InErrors - errors, good ? 0 : 1, `claimed ${claimed}, real ${real}`);
      const got = recv(t.sb, fd);
      assertEquals(typeof got === "string" ? got.length : got, good ? claimed - 8 : EAGAIN);
    }
  }
  assertEquals(Object.keys(t.b.net.dropTable()), ["PKT_TOO_SMALL"]);
});

Deno.test("[A53] bad checksums never reach the reader: no wake, no data, no port unreachable", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  let wakes = 0;
  t.sb.onReady(fd, () => wakes++);
  const bad = ipv4(HOSTS, udp({ sport: 7, dport: 5000, checksum: 0x1234 }, "evil"));
  const closed = ipv4(HOSTS, udp({ sport: 7, dport: 9, checksum: 0x1234 }, "evil"));
  for (let i = 0; i < 5000; i++) {
    t.b.inject(bad);
    t.b.inject(closed);
  }
  assertEquals([wakes, t.sb.poll(fd), recv(t.sb, fd)], [0, POLLOUT, EAGAIN]);
  assertEquals(recv(t.sb, fd, 2048, MSG_PEEK), EAGAIN);
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, "good")));
  assertEquals([wakes, recv(t.sb, fd)], [1, "good"]);
  assertEquals([mib(t).InCsumErrors, mib(t).InErrors, mib(t).NoPorts], [10_000, 10_000, 0]);
  assertEquals(t.b.net.dropTable(), { UDP_CSUM: 10_000 });
  assertEquals(t.b.icmp, []);
});

Deno.test("checksums of any payload: right ones pass, every flipped bit is found", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (payload, at) => {
      const packet = ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, payload));
      t.b.inject(packet);
      assertEquals(t.sb.recvmsg(fd, msgHdr(new Uint8Array(256)), 0), payload.length);
      const bit = at % (payload.length * 8 + 32);
      const byte = 20 + (bit >> 3) + (bit >> 3 >= 4 ? 4 : 0);
      packet[byte] ^= 1 << (bit & 7);
      t.b.inject(packet);
      assertEquals(recv(t.sb, fd), EAGAIN);
    }),
    { numRuns: 200 },
  );
});

Deno.test("checksum 0 is none; a checksum that the device verified is not computed again", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000, checksum: 0 }, "none")));
  assertEquals(recv(t.sb, fd), "none");
  const deliver = t.b.deliver.bind(t.b);
  t.b.deliver = (skb) => {
    skb.ipSummed = CHECKSUM_UNNECESSARY;
    deliver(skb);
  };
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000, checksum: 0x1234 }, "offloaded")));
  assertEquals(recv(t.sb, fd), "offloaded");
});

Deno.test("a closed port: NoPorts and an ICMP port unreachable", () => {
  using t = new TwoHosts();
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 9 }, "x")));
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 0 }, "x")));
  assertEquals(t.b.icmp, ["3/3", "3/3"]);
  assertEquals(mib(t).NoPorts, 2);
  assertEquals(t.b.net.dropTable(), { NO_SOCKET: 2 });
});

Deno.test("[A10] broadcast and multicast to a closed port is silent", () => {
  using t = new TwoHosts();
  for (const dst of ["10.0.0.255", "255.255.255.255", "224.0.0.1"]) {
    t.b.inject(ipv4({ src: "10.0.0.1", dst }, udp({ sport: 7, dport: 9 }, "x")));
  }
  assertEquals(t.b.icmp, []);
  assertEquals([mib(t).IgnoredMulti, mib(t).NoPorts], [3, 0]);
});

Deno.test("a broadcast reaches every socket on the port that wants it", () => {
  using t = new TwoHosts();
  const reuse = (addr: number) => {
    const fd = t.sb.socket(2, 2, 0);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    assertEquals(t.sb.bind(fd, addr, 5000), 0);
    return fd;
  };
  const any1 = reuse(0), any2 = reuse(0), own = reuse(ip("10.0.0.2")), subnet = reuse(ip("10.0.0.255"));
  const peer = reuse(0);
  t.sb.connect(peer, ip("10.0.0.9"), 7);
  const all = [any1, any2, own, subnet, peer];
  t.b.inject(ipv4({ src: "10.0.0.1", dst: "10.0.0.255" }, udp({ sport: 7, dport: 5000 }, "bc")));
  assertEquals(all.map((fd) => recv(t.sb, fd)), ["bc", "bc", EAGAIN, "bc", EAGAIN]);
  t.b.inject(ipv4({ src: "10.0.0.1", dst: "255.255.255.255" }, udp({ sport: 7, dport: 5000 }, "bc")));
  assertEquals(all.map((fd) => recv(t.sb, fd)), ["bc", "bc", EAGAIN, EAGAIN, EAGAIN]);
  t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, "uni")));
  assertEquals(all.map((fd) => recv(t.sb, fd)), [EAGAIN, EAGAIN, "uni", EAGAIN, EAGAIN]);
});

Deno.test("multicast: members, and by default whoever is bound", () => {
  using t = new TwoHosts();
  const make = () => {
    const fd = t.sb.socket(2, 2, 0);
    t.sb.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    assertEquals(t.sb.bind(fd, 0, 5000), 0);
    return fd;
  };
  const member = make(), other = make();
  const group = ip("239.1.1.1");
  assertEquals(t.sb.setsockopt(member, SOL_IP, IP_ADD_MEMBERSHIP, group), 0);
  const packet = ipv4({ src: "10.0.0.1", dst: "239.1.1.1" }, udp({ sport: 7, dport: 5000 }, "mc"));
  t.b.inject(packet);
  assertEquals([recv(t.sb, member), recv(t.sb, other)], ["mc", "mc"]);
  assertEquals(t.sb.setsockopt(other, SOL_IP, IP_MULTICAST_ALL, 0), 0);
  t.b.inject(packet);
  assertEquals([recv(t.sb, member), recv(t.sb, other)], ["mc", EAGAIN]);
  assertEquals([...t.b.groups], [[group, 1]]);
  t.sb.close(member);
  assertEquals([...t.b.groups], []);
});

Deno.test("the receive buffer is bounded by truesize; one datagram always fits", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  const sk = t.sb.sock(fd)!;
  const packet = ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, new Uint8Array(1000)));
  t.sb.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 10_000);
  for (let i = 0; i < 50; i++) t.b.inject(packet);
  const size = sk.receiveQueue.head!.truesize;
  const fits = Math.floor(20_000 / size);
  assertEquals([sk.receiveQueue.qlen, sk.rmemAlloc, sk.drops], [fits, fits * size, 50 - fits]);
  assertEquals([mib(t).RcvbufErrors, mib(t).InErrors], [50 - fits, 50 - fits]);
  assertEquals(t.b.net.dropTable(), { SOCKET_RCVBUFF: 50 - fits });
  // A read makes room for one more.
  recv(t.sb, fd);
  t.b.inject(packet);
  assertEquals(sk.receiveQueue.qlen, fits);
  t.sb.close(fd);
  // Larger than the whole buffer.
  const small = t.bound(t.sb, 5000);
  t.sb.setsockopt(small, SOL_SOCKET, SO_RCVBUF, 0);
  const large = ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, new Uint8Array(5000)));
  t.b.inject(large);
  t.b.inject(large);
  assertEquals(t.sb.sock(small)!.receiveQueue.qlen, 1);
});

Deno.test("closing drops what nobody read, by name", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  for (let i = 0; i < 3; i++) t.b.inject(ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, "x")));
  t.sb.close(fd);
  assertEquals(t.b.net.dropTable(), { SOCKET_CLOSE: 3 });
  assertEquals(t.machine.skbs.live, 0);
});

Deno.test("a datagram in frags and on a fragment list is verified and copied whole", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sb, 5000);
  const payload = Uint8Array.from({ length: 3001 }, (_, i) => i * 7);
  const packet = ipv4(HOSTS, udp({ sport: 7, dport: 5000 }, payload));
  const { skbs } = t.machine;
  for (const shape of ["frags", "list"]) {
    const skb = skbs.alloc(256)!;
    skb.reserve(128);
    skb.bytes.set(packet.slice(0, 24), skb.put(24));
    if (shape === "frags") {
      for (const [from, end] of [[24, 1001], [1001, 3029]]) {
        skbs.addPage(skb, end - from);
        const frag = skb.frags[skb.nrFrags - 1];
        frag.slab.bytes.set(packet.slice(from, end), frag.offset);
      }
    } else {
      const first = skbs.alloc(2000)!, second = skbs.alloc(2000)!;
      first.bytes.set(packet.slice(24, 1501), first.put(1477));
      second.bytes.set(packet.slice(1501), second.put(1528));
      first.next = second;
      skb.fragList = first;
      skb.len += 3005;
      skb.dataLen += 3005;
    }
    t.machine.enter();
    t.b.deliver(skb);
    t.machine.exit();
    const msg = msgHdr(new Uint8Array(4000));
    assertEquals(t.sb.recvmsg(fd, msg, 0), 3001, shape);
    assertEquals(msg.buf.slice(0, 3001), payload);
  }
});

Deno.test("[A12] random bytes where a datagram should be: no throw, no leak", () => {
  using t = new TwoHosts();
  t.bound(t.sb, 0x0101);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (body) => {
      const packet = concat(ipv4({ ...HOSTS, proto: IPPROTO_UDP }), body);
      fixIpv4Checksum(packet);
      t.b.inject(packet);
    }),
    { numRuns: 500 },
  );
  assertEquals(t.b.net.dropped("NOT_SPECIFIED"), 0);
});
