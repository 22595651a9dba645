import { assertEquals } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import { INET } from "../../../plugins/network/inet/contract.ts";
import {
  IP_MTU_DISCOVER,
  IP_RECVERR,
  MSG_ERRQUEUE,
  MSG_TRUNC,
  msgHdr,
  POLLERR,
  SO_ERROR,
  SO_RCVBUF,
  SOL_IP,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { ipv4, udp } from "../../support/frames/build.ts";
import { ip, recv, TwoHosts } from "../sock/fake_ip.ts";

const EAGAIN = -ERRNO.EAGAIN;
const ROUTER = ip("10.0.0.254");

/** One of our datagrams as an error quotes it. */
function quoted(sport: number, payload: string | Uint8Array = "hello", src = "10.0.0.1", dport = 9): Uint8Array {
  return ipv4({ src, dst: "10.0.0.2" }, udp({ sport, dport }, payload));
}

function error(t: TwoHosts, type: number, code: number, packet: Uint8Array, info = 0): void {
  t.a.injectError(ROUTER, type, code, info, packet);
}

Deno.test("[A17] what a connected socket hears of each ICMP error", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 9);
  const sport = t.sa.sock(fd)!.sport;
  const hear = (type: number, code: number) => {
    error(t, type, code, quoted(sport), 1400);
    return t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR);
  };
  // As observed of Linux, by code of type 3.
  assertEquals(
    Array.from({ length: 18 }, (_, code) => hear(3, code)),
    [0, 0, 92, 111, 90, 0, 101, 112, 64, 101, 113, 0, 0, 113, 113, 113, 0, 0],
  );
  assertEquals([hear(12, 0), hear(12, 2)], [ERRNO.EPROTO, ERRNO.EPROTO]);
  // Soft, or not for sockets: time exceeded, source quench, redirect, unknown types.
  assertEquals([hear(11, 0), hear(11, 1), hear(4, 0), hear(5, 1), hear(42, 0)], [0, 0, 0, 0, 0]);
});

Deno.test("[A17] an unconnected socket hears of nothing without IP_RECVERR", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  for (let code = 0; code < 16; code++) error(t, 3, code, quoted(4000), 1400);
  error(t, 12, 0, quoted(4000));
  assertEquals([t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), recv(t.sa, fd)], [0, EAGAIN]);
});

Deno.test("[A17] errors about datagrams that no socket sent are counted and change nothing", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 9);
  const sport = t.sa.sock(fd)!.sport;
  error(t, 3, 3, quoted(sport + 1));
  error(t, 3, 3, quoted(sport, "x", "10.0.0.77"));
  error(t, 3, 3, quoted(sport, "x", "10.0.0.1", 10));
  error(t, 3, 4, quoted(sport + 1), 600);
  error(t, 5, 1, quoted(sport + 1), ROUTER);
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), 0);
  assertEquals(t.a.net.get(INET).mib.icmp.InErrors, 5);
  assertEquals([t.a.pmtu, t.a.redirects], [[], []]);
});

Deno.test("[A17] frag needed lowers the path MTU for any socket of ours, redirects reach the routes", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  error(t, 3, 4, quoted(4000), 1400);
  t.sa.setsockopt(fd, SOL_IP, IP_MTU_DISCOVER, 0);
  error(t, 3, 4, quoted(4000), 600);
  error(t, 5, 1, quoted(4000), ip("10.0.0.253"));
  error(t, 5, 9, quoted(4000), ip("10.0.0.253"));
  assertEquals(t.a.pmtu, [[ip("10.0.0.2"), 1400], [ip("10.0.0.2"), 600]]);
  assertEquals(t.a.redirects, [[ip("10.0.0.2"), ROUTER, ip("10.0.0.253")]]);
});

Deno.test("a refused datagram is the next call's ECONNREFUSED, once", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 9);
  const packet = quoted(t.sa.sock(fd)!.sport);
  let wakes = 0;
  t.sa.onReady(fd, () => wakes++);
  error(t, 3, 3, packet);
  assertEquals([wakes, t.sa.poll(fd) & POLLERR], [1, POLLERR]);
  assertEquals(t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0), -ERRNO.ECONNREFUSED);
  assertEquals(t.sa.sendmsg(fd, msgHdr(Uint8Array.of(1)), 0), 1);
  error(t, 3, 3, packet);
  assertEquals([recv(t.sa, fd), recv(t.sa, fd)], [-ERRNO.ECONNREFUSED, EAGAIN]);
});

Deno.test("IP_RECVERR: the error queue says who, what and about which bytes", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  error(t, 3, 3, quoted(4000, "hello"));
  error(t, 11, 0, quoted(4000, "world"));
  error(t, 3, 4, quoted(4000, "large"), 1400);
  const msg = msgHdr(new Uint8Array(100));
  msg.err = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
  const next = (room = 100) => {
    msg.len = room;
    const n = t.sa.recvmsg(fd, msg, MSG_ERRQUEUE);
    const { errno, origin, type, code, info, offender } = msg.err!;
    return n < 0 ? n : [n, msg.flags, errno, origin, type, code, info, offender === ROUTER, msg.port];
  };
  assertEquals(recv(t.sa, fd), -ERRNO.EMSGSIZE);
  assertEquals(next(), [5, MSG_ERRQUEUE, ERRNO.ECONNREFUSED, 2, 3, 3, 0, true, 9]);
  assertEquals(new TextDecoder().decode(msg.buf.slice(0, 5)), "hello");
  assertEquals(msg.addr, ip("10.0.0.2"));
  // Reading one leaves the next one's errno pending.
  assertEquals(t.sa.sock(fd)!.err, ERRNO.EHOSTUNREACH);
  assertEquals(next(2), [2, MSG_ERRQUEUE | MSG_TRUNC, ERRNO.EHOSTUNREACH, 2, 11, 0, 0, true, 9]);
  assertEquals(next(), [5, MSG_ERRQUEUE, ERRNO.EMSGSIZE, 2, 3, 4, 1400, true, 9]);
  assertEquals([next(), t.sa.sock(fd)!.err, t.sa.poll(fd) & POLLERR], [EAGAIN, 0, 0]);
  assertEquals(t.sa.sock(fd)!.rmemAlloc, 0);
});

Deno.test("the error queue is bounded by the receive buffer, and goes with IP_RECVERR and the socket", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  t.sa.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 5000);
  for (let i = 0; i < 100; i++) error(t, 3, 3, quoted(4000));
  const sk = t.sa.sock(fd)!;
  assertEquals([sk.rmemAlloc < 10_000, sk.errorQueue.qlen > 3], [true, true]);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 0);
  assertEquals([sk.rmemAlloc, sk.errorQueue.qlen], [0, 0]);
  t.sa.setsockopt(fd, SOL_IP, IP_RECVERR, 1);
  error(t, 3, 3, quoted(4000));
  t.sa.close(fd);
});

Deno.test("[A19] an error whose quote is cut at every length: no throw, no effect", () => {
  using t = new TwoHosts();
  const fd = t.connected(t.sa, "10.0.0.2", 9);
  const packet = quoted(t.sa.sock(fd)!.sport);
  for (let n = 20; n < 28; n++) error(t, 3, 3, packet.slice(0, n));
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), 0);
  const long = Uint8Array.from(packet);
  long[0] = 0x4f;
  error(t, 3, 3, long);
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), 0);
  error(t, 3, 3, packet.slice(0, 28));
  assertEquals(t.sa.getsockopt(fd, SOL_SOCKET, SO_ERROR), ERRNO.ECONNREFUSED);
  assertEquals(recv(t.sa, fd), EAGAIN);
});
