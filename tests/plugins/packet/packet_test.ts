/** Packet sockets: what they see, what they send, and what they cost nobody else. */
import { assert, assertEquals } from "@std/assert";
import { IFF_PROMISC, PACKET_BROADCAST, PACKET_HOST, PACKET_OUTGOING } from "../../../core/mod.ts";
import type { Host } from "../../../mod.ts";
import { needIp } from "../../../plugins/network/inet/mod.ts";
import {
  AF_PACKET,
  ETH_P_ALL,
  PACKET,
  PACKET_ADD_MEMBERSHIP,
  PACKET_DROP_MEMBERSHIP,
  PACKET_IGNORE_OUTGOING,
  PACKET_MR_PROMISC,
  PACKET_STATISTICS,
  SOL_PACKET,
} from "../../../plugins/transport/packet/mod.ts";
import { msgHdr, SOCK_DGRAM, SOCK_RAW, type SockaddrLl } from "../../../plugins/transport/sock/mod.ts";
import { arp, decode, eth, ipv4, udp } from "../../support/frames/build.ts";
import { routed, twoHosts, udpSocket } from "../../support/hosts.ts";

const [EAGAIN, ENXIO, ENODEV, EINVAL, EMSGSIZE, EOPNOTSUPP, ENOPROTOOPT, ENETDOWN] = [11, 6, 19, 22, 90, 95, 92, 100];
const [MAC_A, MAC_B] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
const IPV4 = 0x0800;
const ARP = 0x0806;

const ll = (fields: Partial<SockaddrLl> = {}): SockaddrLl => ({
  ...{ ifindex: 0, protocol: 0, hatype: 0, pkttype: 0, addrHi: 0, addrLo: 0 },
  ...fields,
});
const eth0 = (host: Host): number => host.net.device("eth0")!.ifindex;

function packetSocket(host: Host, type: number, protocol: number): number {
  const fd = host.sys.socket(AF_PACKET, type, protocol);
  assert(fd >= 0, `socket(): ${fd}`);
  return fd;
}

/** The next packet and its address, or a negative errno. */
function next(host: Host, fd: number): { bytes: Uint8Array; from: SockaddrLl } | number {
  const msg = { ...msgHdr(new Uint8Array(4096)), ll: ll() };
  const n = host.sys.recvmsg(fd, msg, 0);
  return n < 0 ? n : { bytes: msg.buf.slice(0, n), from: msg.ll };
}

function some(host: Host, fd: number): { bytes: Uint8Array; from: SockaddrLl } {
  const got = next(host, fd);
  if (typeof got === "number") throw new Error(`nothing came: ${got}`);
  return got;
}

function say(t: { a: Host }, port = 7): void {
  const tx = udpSocket(t.a, 0);
  t.a.sys.sendmsg(tx, { ...msgHdr(Uint8Array.of(1, 2, 3)), addr: needIp("10.0.0.2", "to"), port }, 0);
  t.a.sys.close(tx);
}

Deno.test("a frame is seen whole or from the network header on, with its address; the stack has it as well", () => {
  using t = twoHosts({ neigh: true });
  const [raw, cooked, arps] = [
    packetSocket(t.b, SOCK_RAW, IPV4),
    packetSocket(t.b, SOCK_DGRAM, IPV4),
    packetSocket(t.b, SOCK_RAW, ARP),
  ];
  const rx = udpSocket(t.b, 7);
  say(t);
  const frame = some(t.b, raw);
  assertEquals([frame.bytes.length, decode(frame.bytes).udp?.dport], [60, 7]);
  assertEquals(frame.from, {
    ifindex: eth0(t.b),
    protocol: IPV4,
    hatype: 1,
    pkttype: PACKET_HOST,
    addrHi: 0x0200,
    addrLo: 1,
  });
  const datagram = some(t.b, cooked);
  assertEquals([datagram.bytes[0], datagram.bytes.length], [0x45, 46]);
  assertEquals(next(t.b, arps), -EAGAIN);
  assertEquals(t.b.sys.recvmsg(rx, msgHdr(new Uint8Array(10)), 0), 3);
});

Deno.test("ETH_P_ALL sees both directions in order; PACKET_IGNORE_OUTGOING only what comes", () => {
  using t = twoHosts();
  const all = packetSocket(t.a, SOCK_RAW, ETH_P_ALL);
  const incoming = packetSocket(t.a, SOCK_DGRAM, ETH_P_ALL);
  assertEquals(t.a.sys.setsockopt(incoming, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1), 0);
  assertEquals(t.a.sys.getsockopt(incoming, SOL_PACKET, PACKET_IGNORE_OUTGOING), 1);
  udpSocket(t.b, 7);
  say(t);
  t.machine.runUntilIdle(1e9);
  const seen = Array.from({ length: 3 }, () => some(t.a, all));
  assertEquals(seen.map((s) => [s.from.protocol, s.from.pkttype]), [
    [ARP, PACKET_OUTGOING],
    [ARP, PACKET_HOST],
    [IPV4, PACKET_OUTGOING],
  ]);
  assertEquals(decode(seen[2].bytes).ipv4?.src, "10.0.0.1");
  const reply = some(t.a, incoming);
  assertEquals([reply.from.protocol, reply.bytes.slice(0, 2)], [ARP, Uint8Array.of(0, 1)]);
  assertEquals([next(t.a, incoming), next(t.a, all)], [-EAGAIN, -EAGAIN]);
});

Deno.test("frames of one's own: SOCK_RAW as they are, SOCK_DGRAM behind a header", () => {
  using t = twoHosts({ neigh: true });
  const rx = udpSocket(t.b, 7);
  const raw = packetSocket(t.a, SOCK_RAW, 0);
  const packet = ipv4({ src: "10.0.0.1", dst: "10.0.0.2" }, udp({ sport: 9, dport: 7 }, "raw"));
  const frame = eth({ src: MAC_A, dst: MAC_B }, packet);
  assertEquals(t.a.sys.sendmsg(raw, { ...msgHdr(frame), ll: ll({ ifindex: eth0(t.a) }) }, 0), frame.length);
  const cooked = packetSocket(t.a, SOCK_DGRAM, 0);
  const to = ll({ ifindex: eth0(t.a), protocol: IPV4, addrHi: 0x0200, addrLo: 2 });
  assertEquals(t.a.sys.sendmsg(cooked, { ...msgHdr(packet), ll: to }, 0), packet.length);
  const msg = msgHdr(new Uint8Array(10));
  assertEquals([t.b.sys.recvmsg(rx, msg, 0), t.b.sys.recvmsg(rx, msg, 0)], [3, 3]);
  assertEquals(t.machine.ledger.bytesAt("packet_sendmsg"), frame.length + packet.length);
});

Deno.test("a socket with protocol 0 hears nothing until it is bound; bound to a device it hears only that", () => {
  using t = routed();
  const { sys, net } = t.r;
  const fd = packetSocket(t.r, SOCK_DGRAM, 0);
  const tx = udpSocket(t.a, 0);
  const send = (): void => {
    t.a.sys.sendmsg(tx, { ...msgHdr(new Uint8Array(100)), addr: needIp("10.0.1.2", "to"), port: 7 }, 0);
    t.machine.runUntilIdle(1e9);
  };
  send();
  assertEquals(next(t.r, fd), -EAGAIN);
  assertEquals(sys.bind(fd, net.device("eth1")!.ifindex, IPV4), 0);
  send();
  // What comes back over eth1: b's port unreachable. What came over eth0 and was forwarded is not seen.
  assertEquals(some(t.r, fd).bytes[9], 1);
  assertEquals(next(t.r, fd), -EAGAIN);
  const name = { addr: 0, port: 0 };
  assertEquals([sys.getsockname(fd, name), name.addr, name.port], [0, net.device("eth1")!.ifindex, IPV4]);
  assertEquals(sys.bind(fd, 0, 0), 0);
  send();
  assertEquals(next(t.r, fd), -EAGAIN);
});

Deno.test("a forwarded packet that was seen is not changed for who saw it", () => {
  using t = routed();
  const fd = packetSocket(t.r, SOCK_DGRAM, IPV4);
  const rx = packetSocket(t.b, SOCK_DGRAM, IPV4);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.1.2", "to"), port: 7 });
  t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(100)), 0);
  t.machine.runUntilIdle(1e9);
  assertEquals([some(t.r, fd).bytes[8], some(t.b, rx).bytes[8]], [64, 63]);
});

Deno.test("promiscuous: a device sees what is for others while somebody wants it", () => {
  using t = twoHosts({ neigh: true });
  const dev = t.b.net.device("eth0")!;
  const fds = [packetSocket(t.b, SOCK_RAW, ETH_P_ALL), packetSocket(t.b, SOCK_RAW, ETH_P_ALL)];
  const want = (fd: number, on: boolean): number =>
    t.b.sys.setsockopt(
      fd,
      SOL_PACKET,
      on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP,
      PACKET_MR_PROMISC,
      dev.ifindex,
    );
  const promisc = (): boolean => (dev.flags & IFF_PROMISC) !== 0;
  assertEquals(fds.map((fd) => want(fd, true)), [0, 0]);
  assertEquals([promisc(), want(fds[0], false), promisc()], [true, 0, true]);
  assertEquals([want(fds[0], false), promisc()], [0, true], "one that it has not is nobody else's");
  assertEquals([t.b.sys.close(fds[1]), promisc()], [0, false]);
});

Deno.test("errnos, and a device that goes down", () => {
  using t = twoHosts({ neigh: true });
  const { sys } = t.a;
  const fd = packetSocket(t.a, SOCK_RAW, ETH_P_ALL);
  const to = (ifindex: number, n: number) => ({ ...msgHdr(new Uint8Array(n)), ll: ll({ ifindex }) });
  assertEquals(sys.sendmsg(fd, msgHdr(new Uint8Array(60)), 0), -ENXIO);
  assertEquals(sys.sendmsg(fd, to(99, 60), 0), -ENXIO);
  assertEquals(sys.sendmsg(fd, to(eth0(t.a), 13), 0), -EINVAL);
  assertEquals(sys.sendmsg(fd, to(eth0(t.a), 1515), 0), -EMSGSIZE);
  assertEquals(sys.bind(fd, 99, ETH_P_ALL), -ENODEV);
  assertEquals(sys.bind(fd, eth0(t.a), ETH_P_ALL), 0);
  assertEquals(
    [sys.connect(fd, 1, 1), sys.listen(fd, 1), sys.accept(fd), sys.shutdown(fd, 0)],
    Array(4).fill(-EOPNOTSUPP),
  );
  assertEquals(sys.setsockopt(fd, SOL_PACKET, 999, 1), -ENOPROTOOPT);
  const cooked = packetSocket(t.a, SOCK_DGRAM, 0);
  assertEquals(sys.bind(cooked, eth0(t.a), IPV4), 0);
  assertEquals(sys.sendmsg(cooked, msgHdr(new Uint8Array(10)), 0), -EINVAL, "a link header without an address");
  t.a.link.set("eth0", { up: false });
  assertEquals(next(t.a, fd), -ENETDOWN);
  assertEquals(sys.sendmsg(fd, to(eth0(t.a), 60), 0), -ENETDOWN);
  t.a.link.set("eth0", { up: true });
  t.a.neigh.set("eth0", "10.0.0.2", MAC_B);
  say(t);
  assertEquals(some(t.a, fd).from.pkttype, PACKET_OUTGOING);
  assertEquals([sys.close(fd), sys.close(cooked), t.a.net.get(PACKET).count()], [0, 0, 0]);
});

Deno.test("the receive buffer bounds what waits; PACKET_STATISTICS counts and clears", () => {
  using t = twoHosts({ neigh: true });
  const fd = packetSocket(t.b, SOCK_RAW, IPV4);
  t.b.sys.setsockopt(fd, 1, 8, 2000);
  for (let i = 0; i < 20; i++) say(t);
  const sk = t.b.sys.sock(fd)!;
  const { packets, drops } = t.b.net.get(PACKET).statistics(sk);
  assertEquals([packets, drops, t.b.net.dropped("SOCKET_RCVBUFF")], [20, sk.drops, sk.drops]);
  assert(drops > 0);
  let got = 0;
  while (typeof next(t.b, fd) !== "number") got++;
  assertEquals([got, sk.rmemAlloc, t.b.sys.getsockopt(fd, SOL_PACKET, PACKET_STATISTICS)], [20 - drops, 0, 0]);
});

Deno.test("a broadcast is seen as one", () => {
  using t = twoHosts();
  const fd = packetSocket(t.b, SOCK_RAW, ETH_P_ALL);
  const tx = packetSocket(t.a, SOCK_RAW, 0);
  const question = eth({ src: MAC_A, dst: "ff:ff:ff:ff:ff:ff", type: ARP }, arp({ spa: "10.0.0.1", tpa: "10.0.0.9" }));
  t.a.sys.sendmsg(tx, { ...msgHdr(question), ll: ll({ ifindex: eth0(t.a) }) }, 0);
  assertEquals(some(t.b, fd).from.pkttype, PACKET_BROADCAST);
});
