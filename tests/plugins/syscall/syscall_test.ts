import { assertEquals } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import { AF_INET, type MsgHdr, msgHdr, POLLIN, POLLOUT, SOCK_DGRAM } from "../../../plugins/transport/sock/mod.ts";
import { POLLNVAL, SYSCALL, syscall } from "../../../plugins/socket/syscall/mod.ts";
import { recv, to, TwoHosts } from "../sock/fake_ip.ts";

const EAGAIN = -ERRNO.EAGAIN;

Deno.test("descriptors: the lowest free one, from 3", () => {
  using t = new TwoHosts();
  const open = () => t.sa.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals([open(), open(), open(), open()], [3, 4, 5, 6]);
  t.sa.close(5);
  t.sa.close(4);
  assertEquals([open(), open(), open()], [4, 5, 7]);
  // Another net has its own.
  assertEquals(t.sb.socket(AF_INET, SOCK_DGRAM, 0), 3);
});

Deno.test("a descriptor that is not open is EBADF, one that is no socket ENOTSOCK", () => {
  using t = new TwoHosts();
  const calls: ((fd: number) => number)[] = [
    (fd) => t.sa.bind(fd, 0, 1),
    (fd) => t.sa.listen(fd, 1),
    (fd) => t.sa.accept(fd),
    (fd) => t.sa.connect(fd, 1, 1),
    (fd) => t.sa.disconnect(fd),
    (fd) => t.sa.sendmsg(fd, msgHdr(), 0),
    (fd) => t.sa.sendmmsg(fd, [msgHdr()], 1, 0),
    (fd) => t.sa.recvmsg(fd, msgHdr(), 0),
    (fd) => t.sa.recvmmsg(fd, [msgHdr()], 1, 0),
    (fd) => t.sa.shutdown(fd, 0),
    (fd) => t.sa.setsockopt(fd, 1, 2, 1),
    (fd) => t.sa.getsockopt(fd, 1, 2),
    (fd) => t.sa.getsockname(fd, { addr: 0, port: 0 }),
    (fd) => t.sa.getpeername(fd, { addr: 0, port: 0 }),
    (fd) => t.sa.onReady(fd, null),
  ];
  const fd = t.sa.socket(AF_INET, SOCK_DGRAM, 0);
  assertEquals([t.sa.close(fd), t.sa.close(fd), t.sa.close(-1), t.sa.close(99)], [0, -9, -9, -9]);
  for (const call of calls) {
    assertEquals([call(fd), call(-1), call(99), call(0), call(2)], [-9, -9, -9, -88, -88], `${call}`);
  }
  assertEquals([t.sa.poll(fd), t.sa.sock(fd), t.sa.sock(1)], [POLLNVAL, null, null]);
});

Deno.test("a record that points outside its buffer is EFAULT", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  for (const [off, len] of [[0, 11], [5, 6], [-1, 2], [0, -1], [11, 0]]) {
    const msg = { ...to("10.0.0.2", 1, new Uint8Array(10)), off, len };
    assertEquals([t.sa.sendmsg(fd, msg, 0), t.sa.recvmsg(fd, msg, 0)], [-ERRNO.EFAULT, -ERRNO.EFAULT]);
    assertEquals(t.sa.sendmmsg(fd, [msg], 1, 0), -ERRNO.EFAULT);
    assertEquals(t.sa.recvmmsg(fd, [msg], 1, 0), -ERRNO.EFAULT);
  }
});

Deno.test("[T1] each call is one entry of the machine", () => {
  using t = new TwoHosts();
  const fd = t.bound(t.sa, 4000);
  const { machine } = t;
  let depth = -1;
  const { sendmsg } = t.sa.sock(fd)!.ops;
  const ops = t.sa.sock(fd)!.ops;
  ops.sendmsg = (sk, msg, flags) => {
    depth = machine.depth;
    return sendmsg(sk, msg, flags);
  };
  const before = machine.activity;
  t.sa.sendmsg(fd, to("10.0.0.2", 1, "x"), 0);
  assertEquals([depth, machine.depth, machine.activity - before], [1, 0, 1]);
});

Deno.test("sendmmsg sends many with one exit, and stops at the first that fails", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const fd = t.bound(t.sa, 4000);
  let wakes = 0;
  t.sb.onReady(rx, () => wakes++);
  const before = t.machine.activity;
  const msgs = ["a", "b", "c"].map((s) => to("10.0.0.2", 5000, s));
  assertEquals(t.sa.sendmmsg(fd, msgs, 3, 0), 3);
  assertEquals([t.machine.activity - before, wakes], [1, 1]);
  assertEquals([recv(t.sb, rx), recv(t.sb, rx), recv(t.sb, rx)], ["a", "b", "c"]);
  const bad = [to("10.0.0.2", 5000, "d"), to("10.0.0.2", 0, "e"), to("10.0.0.2", 5000, "f")];
  assertEquals(t.sa.sendmmsg(fd, bad, 3, 0), 1);
  assertEquals(t.sa.sendmmsg(fd, bad.slice(1), 2, 0), -ERRNO.EINVAL);
  assertEquals([recv(t.sb, rx), recv(t.sb, rx)], ["d", EAGAIN]);
  assertEquals(t.sa.sendmmsg(fd, bad, 0, 0), 0);
});

Deno.test("recvmmsg receives what is there, with the length in each record", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const fd = t.bound(t.sa, 4000);
  for (const s of ["a", "bb", ""]) t.sa.sendmsg(fd, to("10.0.0.2", 5000, s), 0);
  const msgs: MsgHdr[] = Array.from({ length: 5 }, () => msgHdr(new Uint8Array(8)));
  assertEquals(t.sb.recvmmsg(rx, msgs, 5, 0), 3);
  assertEquals(msgs.map((m) => [m.len, m.port]), [[1, 4000], [2, 4000], [0, 4000], [8, 0], [8, 0]]);
  assertEquals(t.sb.recvmmsg(rx, msgs, 5, 0), EAGAIN);
});

Deno.test("onReady is called at the outermost exit, and no more after null or close", () => {
  using t = new TwoHosts();
  const rx = t.bound(t.sb, 5000);
  const fd = t.bound(t.sa, 4000);
  const polls: number[] = [];
  t.sb.onReady(rx, () => polls.push(t.sb.poll(rx)));
  const send = () => t.sa.sendmsg(fd, to("10.0.0.2", 5000, "x"), 0);
  send();
  send();
  assertEquals(polls, [POLLIN | POLLOUT, POLLIN | POLLOUT]);
  t.sb.onReady(rx, null);
  send();
  t.sb.onReady(rx, () => polls.push(-1));
  t.machine.batch(() => {
    send();
    t.sb.close(rx);
  });
  assertEquals(polls.length, 2);
});

Deno.test("calls may be made from a wake-up: an echo server of three lines", () => {
  using t = new TwoHosts();
  const server = t.bound(t.sb, 7), client = t.bound(t.sa, 4000);
  const msg = msgHdr(new Uint8Array(100));
  t.sb.onReady(server, () => {
    for (let n; (msg.len = 100, n = t.sb.recvmsg(server, msg, 0)) >= 0;) {
      msg.len = n;
      t.sb.sendmsg(server, msg, 0);
    }
  });
  t.sa.sendmmsg(client, ["a", "b"].map((s) => to("10.0.0.2", 7, s)), 2, 0);
  assertEquals([recv(t.sa, client), recv(t.sa, client), recv(t.sa, client)], ["a", "b", EAGAIN]);
});

Deno.test("descriptors outlive a swap of the plugin", () => {
  using t = new TwoHosts();
  const sys = t.a.net.get(SYSCALL);
  const fd = t.bound(t.sa, 4000);
  t.a.net.swap("syscall", syscall());
  assertEquals([sys.sock(fd)!.sport, sys.socket(AF_INET, SOCK_DGRAM, 0), sys.close(fd)], [4000, 4, 0]);
});
