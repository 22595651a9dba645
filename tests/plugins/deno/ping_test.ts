import { assertEquals, assertRejects } from "@std/assert";
import {
  HostUnreachable,
  InvalidArgument,
  MessageTooLong,
  NetworkUnreachable,
  ping,
  TimedOut,
} from "../../../plugins/socket/deno/mod.ts";
import { PING } from "../../../plugins/transport/ping/mod.ts";
import { Pair } from "../sock/hosts.ts";

Deno.test("ping: sequence, TTL, bytes, who, and the time on the machine's clock", async () => {
  using t = new Pair();
  const reply = await ping(t.a.net, "10.0.0.2", { seq: 9, size: 100, tos: 0x10 });
  assertEquals(reply, { seq: 9, ttl: 64, timeNs: 0, bytes: 100, from: "10.0.0.2" });
  assertEquals((await ping(t.a.net, "127.0.0.1")).bytes, 56);
  assertEquals((await ping(t.a.net, "10.0.0.2", { size: 0 })).bytes, 0);
  assertEquals((await ping(t.a.net, "10.0.0.2", { size: 8000 })).bytes, 8000);
  assertEquals([t.a.net.get(PING).count(), t.a.sys.socket(2, 2, 0)], [0, 3]);
});

Deno.test("several pings at once keep apart", async () => {
  using t = new Pair();
  const replies = await Promise.all([1, 2, 3, 4].map((seq) => ping(t.a.net, "10.0.0.2", { seq, size: seq })));
  assertEquals(replies.map((r) => [r.seq, r.bytes]), [[1, 1], [2, 2], [3, 3], [4, 4]]);
});

Deno.test("no answer is TimedOut, after that time on the machine's clock", async () => {
  using t = new Pair();
  t.b.net.sysctl.set("net.ipv4.icmp_echo_ignore_all", 1);
  const start = t.machine.platform.now();
  const error = await assertRejects(() => ping(t.a.net, "10.0.0.2", { timeout: 250 }), TimedOut);
  assertEquals(error.message, "Cannot ping 10.0.0.2: connection timed out");
  assertEquals(Math.round((t.machine.platform.now() - start) / 1e6), 250);
  assertEquals(t.a.net.get(PING).count(), 0);
});

Deno.test("an ICMP error is the error, and says who sent it", async () => {
  using t = new Pair();
  const error = await assertRejects(() => ping(t.a.net, "10.0.0.9", { timeout: 60_000 }), HostUnreachable);
  assertEquals(error.message, "Cannot ping 10.0.0.9: no route to host");
  assertEquals(error.icmp, { from: "10.0.0.1", type: 3, code: 1 });
});

Deno.test("what cannot be sent is refused at once", async () => {
  using t = new Pair();
  await assertRejects(() => ping(t.a.net, "192.168.0.1"), NetworkUnreachable);
  await assertRejects(() => ping(t.a.net, "10.0.0.2", { ttl: 256 }), InvalidArgument);
  await assertRejects(() => ping(t.a.net, "10.0.0.2", { size: 3000, dontFragment: true }), MessageTooLong);
  await assertRejects(() => ping(t.a.net, "there"), TypeError, 'Cannot ping "there": expected an IPv4 address');
  assertEquals(t.a.net.get(PING).count(), 0);
});
