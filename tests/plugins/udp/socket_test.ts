import { assertEquals, assertNotEquals } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import {
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_MULTICAST_ALL,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_RECVERR,
  IP_TOS,
  IP_TTL,
  msgHdr,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { ip, recv, to, TwoHosts } from "../sock/fake_ip.ts";

const EAGAIN = -ERRNO.EAGAIN;

function name(t: TwoHosts, fd: number): [number, number] {
  const out = { addr: 0, port: 0 };
  assertEquals(t.sa.getsockname(fd, out), 0);
  return [out.addr, out.port];
}

Deno.test("bind takes own, broadcast and group addresses only, once", () => {
  using t = new TwoHosts();
  const bind = (addr: string, port: number) => {
    const fd = t.sa.socket(2, 2, 0);
    return { fd, err: t.sa.bind(fd, ip(addr), port) };
  };
  assertEquals(bind("10.0.0.9", 80).err, -ERRNO.EADDRNOTAVAIL);
  assertEquals(bind("0.0.0.1", 80).err, -ERRNO.EADDRNOTAVAIL);
  assertEquals(bind("10.0.0.1", 65536).err, -ERRNO.EINVAL);
  const { fd, err } = bind("10.0.0.1", 80);
  assertEquals([err, name(t, fd)], [0, [ip("10.0.0.1"), 80]]);
  assertEquals(t.sa.bind(fd, 0, 81), -ERRNO.EINVAL);
  const group = bind("239.1.1.1", 80);
  assertEquals([group.err, name(t, group.fd)], [0, [ip("239.1.1.1"), 80]]);
  const subnet = bind("10.0.0.255", 80);
  assertEquals([subnet.err, name(t, subnet.fd)], [0, [ip("10.0.0.255"), 80]]);
  // Neither is a source address.
  assertEquals([t.sa.sock(group.fd)!.srcAddr, t.sa.sock(subnet.fd)!.srcAddr], [0, 0]);
});

Deno.test("a socket that sends without a port gets one", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const tx = t.sa.socket(2, 2, 0);
  assertEquals(name(t, tx), [0, 0]);
  t.sa.sendmsg(tx, to("10.0.0.2", 5000, "x"), 0);
  const [addr, port] = name(t, tx);
  assertEquals([addr, port >= 32768 && port <= 60999], [0, true]);
  const msg = msgHdr(new Uint8Array(10));
  t.sb.recvmsg(rx, msg, 0);
  assertEquals([msg.addr, msg.port], [ip("10.0.0.1"), port]);
  // What recvmsg filled answers the sender.
  msg.len = 1;
  assertEquals(t.sb.sendmsg(rx, msg, 0), 1);
  assertEquals(recv(t.sa, tx), "x");
});

Deno.test("connect chooses a source address, hears only the peer, and disconnect undoes what it chose", () => {
  using t = new TwoHosts();
  const fd = t.sa.socket(2, 2, 0);
  assertEquals(t.sa.getpeername(fd, { addr: 0, port: 0 }), -ERRNO.ENOTCONN);
  assertEquals(t.sa.connect(fd, ip("10.0.0.2"), 5000), 0);
  const [addr, port] = name(t, fd);
  assertEquals(addr, ip("10.0.0.1"));
  const peer = { addr: 0, port: 0 };
  assertEquals([t.sa.getpeername(fd, peer), peer.addr, peer.port], [0, ip("10.0.0.2"), 5000]);
  const stranger = t.bound(t.sb, 6000), friend = t.bound(t.sb, 5000);
  t.sb.sendmsg(stranger, to("10.0.0.1", port, "stranger"), 0);
  t.sb.sendmsg(friend, to("10.0.0.1", port, "friend"), 0);
  assertEquals([recv(t.sa, fd), recv(t.sa, fd)], ["friend", EAGAIN]);
  // Another peer.
  assertEquals(t.sa.connect(fd, ip("10.0.0.2"), 6000), 0);
  t.sb.sendmsg(stranger, to("10.0.0.1", port, "stranger"), 0);
  assertEquals(recv(t.sa, fd), "stranger");
  assertEquals(t.sa.disconnect(fd), 0);
  assertEquals([name(t, fd), t.sa.getpeername(fd, peer)], [[0, 0], -ERRNO.ENOTCONN]);
});

Deno.test("disconnect keeps what the user chose", () => {
  using t = new TwoHosts();
  const both = t.bound(t.sa, 7000, ip("10.0.0.1")), port = t.bound(t.sa, 7001);
  t.sa.setsockopt(both, SOL_SOCKET, SO_BINDTODEVICE, t.a.dev.ifindex);
  for (const fd of [both, port]) {
    t.sa.connect(fd, ip("10.0.0.2"), 5000);
    assertEquals(name(t, fd)[0], ip("10.0.0.1"));
    t.sa.disconnect(fd);
  }
  assertEquals([name(t, both), name(t, port)], [[ip("10.0.0.1"), 7000], [0, 7001]]);
  assertEquals(t.sa.getsockopt(both, SOL_SOCKET, SO_BINDTODEVICE), 0);
  const tx = t.bound(t.sb, 1);
  t.sb.sendmsg(tx, to("10.0.0.1", 7000, "a"), 0);
  t.sb.sendmsg(tx, to("10.0.0.1", 7001, "b"), 0);
  assertEquals([recv(t.sa, both), recv(t.sa, port)], ["a", "b"]);
});

Deno.test("connect refuses what cannot be reached", () => {
  using t = new TwoHosts();
  const fd = t.sa.socket(2, 2, 0);
  assertEquals(t.sa.connect(fd, ip("192.168.0.1"), 1), -ERRNO.ENETUNREACH);
  assertEquals(t.sa.connect(fd, ip("10.0.0.255"), 1), -ERRNO.EACCES);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1);
  assertEquals(t.sa.connect(fd, ip("10.0.0.255"), 1), 0);
  // To port 0: a peer without a name, to which nothing can be sent but datagrams to port 0.
  assertEquals(t.sa.connect(fd, ip("10.0.0.2"), 0), 0);
  assertEquals(t.sa.getpeername(fd, { addr: 0, port: 0 }), -ERRNO.ENOTCONN);
  assertEquals(t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0), 1);
});

Deno.test("listen and accept are not for datagrams", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1);
  assertEquals([t.sa.listen(fd, 1), t.sa.accept(fd)], [-ERRNO.EOPNOTSUPP, -ERRNO.EOPNOTSUPP]);
});

Deno.test("shutdown: halves, poll bits, and what is queued stays readable", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 5000);
  const peer = t.bound(t.sb, 5000);
  assertEquals(t.sa.shutdown(fd, 5), -ERRNO.EINVAL);
  let wakes = 0;
  t.sa.onReady(fd, () => wakes++);
  assertEquals([t.sa.shutdown(fd, SHUT_RD), wakes], [0, 1]);
  assertEquals(t.sa.poll(fd), POLLIN | POLLOUT | POLLRDHUP);
  t.sb.sendmsg(peer, to("10.0.0.1", name(t, fd)[1], "late"), 0);
  assertEquals([recv(t.sa, fd), recv(t.sa, fd)], ["late", EAGAIN]);
  assertEquals(t.sa.shutdown(fd, SHUT_WR), 0);
  assertEquals(t.sa.poll(fd), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
  const alone = t.bound(t.sa, 1);
  assertEquals(t.sa.shutdown(alone, SHUT_RDWR), -ERRNO.ENOTCONN);
  assertEquals(t.sa.poll(alone) & POLLHUP, POLLHUP);
});

Deno.test("IP options: defaults, limits, and what they refuse", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1);
  const get = (o: number) => t.sa.getsockopt(fd, SOL_IP, o);
  const set = (o: number, v: number) => t.sa.setsockopt(fd, SOL_IP, o, v);
  const { EINVAL, ENOPROTOOPT, ENOTCONN } = ERRNO;
  const options = [IP_TOS, IP_TTL, IP_MTU_DISCOVER, IP_RECVERR, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL];
  assertEquals(options.map(get), [0, 64, 1, 0, 1, 1, 1]);
  assertEquals([0, 256].map((v) => set(IP_TTL, v)), [-EINVAL, -EINVAL]);
  assertEquals([set(IP_TTL, 255), get(IP_TTL), set(IP_TTL, -1), get(IP_TTL)], [0, 255, 0, 64]);
  assertEquals([set(IP_TOS, 259), get(IP_TOS)], [0, 3]);
  assertEquals([-1, 6, 5].map((v) => set(IP_MTU_DISCOVER, v)), [-EINVAL, -EINVAL, 0]);
  assertEquals([256, 0].map((v) => set(IP_MULTICAST_TTL, v)), [-EINVAL, 0]);
  assertEquals([set(999, 1), get(999)], [-ENOPROTOOPT, -ENOPROTOOPT]);
  assertEquals(get(IP_MTU), -ENOTCONN);
  t.sa.connect(fd, ip("10.0.0.2"), 1);
  assertEquals(get(IP_MTU), 1500);
});

Deno.test("group membership: errors, one per socket, shared by the device", () => {
  using t = new TwoHosts();
  const a = t.bound(t.sa, 1), b = t.bound(t.sa, 2);
  const group = ip("239.1.1.1");
  const join = (fd: number, g: number, ifaddr = 0) => t.sa.setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, g, ifaddr);
  const leave = (fd: number, g: number, ifaddr = 0) => t.sa.setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, g, ifaddr);
  assertEquals(join(a, ip("10.0.0.1")), -ERRNO.EINVAL);
  assertEquals(join(a, group, ip("10.99.0.1")), -ERRNO.ENODEV);
  assertEquals([join(a, group), join(b, group, ip("10.0.0.1")), join(a, group)], [0, 0, -ERRNO.EADDRINUSE]);
  assertEquals([...t.a.groups], [[group, 2]]);
  assertEquals([leave(a, group), leave(a, group)], [0, -ERRNO.EADDRNOTAVAIL]);
  t.sa.close(b);
  assertEquals(t.a.groups.size, 0);
  for (let i = 0; i < 20; i++) assertEquals(join(a, group + i), 0);
  assertEquals(join(a, group + 20), -ERRNO.ENOBUFS);
});

Deno.test("poll tells of errors", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 1);
  t.sa.sock(fd)!.err = ERRNO.ECONNREFUSED;
  assertEquals(t.sa.poll(fd), POLLOUT | POLLERR);
  assertEquals([recv(t.sa, fd), recv(t.sa, fd)], [-ERRNO.ECONNREFUSED, EAGAIN]);
  assertEquals(t.sa.poll(fd), POLLOUT);
});

Deno.test("two sockets never share an ephemeral port, closed ones give theirs back", () => {
  using t = new TwoHosts();
  const ports = new Set<number>();
  for (let i = 0; i < 500; i++) {
    const fd = t.sa.socket(2, 2, 0);
    t.sa.bind(fd, 0, 0);
    ports.add(name(t, fd)[1]);
  }
  assertEquals(ports.size, 500);
  assertNotEquals([...ports], [...ports].sort());
});
