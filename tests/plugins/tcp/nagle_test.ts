import { assertEquals } from "@std/assert";
import { MSG_MORE } from "../../../plugins/transport/sock/mod.ts";
import { SOL_TCP, TCP_CORK, TCP_NODELAY } from "../../../plugins/transport/tcp/contract.ts";
import { RawPeer } from "../../support/tcp_peer.ts";

const lens = (seen: { len: number }[]): number[] => seen.map((s) => s.len);

Deno.test("Nagle: a second small write waits until the first is acknowledged, and goes with what came meanwhile", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 10);
  assertEquals(lens(t.take()), [10]);
  t.write(fd, 20);
  t.write(fd, 30);
  assertEquals(lens(t.take()), []);
  t.send({ seq: 1, ack: 11 });
  assertEquals(lens(t.take()), [50]);
});

Deno.test("Nagle as Minshall has it: the tail of a long write goes, unless a small segment is in flight", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 1460 + 10);
  assertEquals(lens(t.take()), [1460, 10]);
  t.write(fd, 1460 + 20);
  assertEquals(lens(t.take()), [1460]);
  t.send({ seq: 1, ack: 1471 });
  assertEquals(lens(t.take()), [20]);
});

Deno.test("TCP_NODELAY: small writes go at once, and what waits goes when it is set", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 10);
  t.write(fd, 20);
  assertEquals(lens(t.take()), [10]);
  assertEquals(t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1), 0);
  assertEquals(lens(t.take()), [20]);
  t.write(fd, 30);
  assertEquals(lens(t.take()), [30]);
});

Deno.test("TCP_CORK: only full segments go; the rest when the cork is pulled, or after 200 ms", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
  assertEquals(t.host.sys.setsockopt(fd, SOL_TCP, TCP_CORK, 1), 0);
  t.write(fd, 1000);
  assertEquals(lens(t.take()), []);
  t.write(fd, 1000);
  assertEquals(lens(t.take()), [1460]);
  assertEquals(t.host.sys.setsockopt(fd, SOL_TCP, TCP_CORK, 0), 0);
  assertEquals(lens(t.take()), [540]);
  t.send({ seq: 1, ack: 2001 });
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_CORK, 1);
  t.write(fd, 100);
  assertEquals(lens(t.after(190)), []);
  assertEquals(lens(t.after(20)), [100]);
});

Deno.test("MSG_MORE holds one write back as the cork does; the next one without it pushes both", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 100, MSG_MORE);
  assertEquals(lens(t.take()), []);
  t.write(fd, 100);
  const seen = t.take();
  assertEquals([lens(seen), seen[0].flags], [[200], "PA"]);
});

Deno.test("a FIN takes what Nagle held with it", () => {
  using t = new RawPeer();
  const fd = t.accept();
  t.write(fd, 10);
  t.write(fd, 20);
  t.take();
  t.host.sys.shutdown(fd, 1);
  assertEquals(t.take().map((s) => [s.flags, s.seq, s.len]), [["FPA", 11, 20]]);
});

Deno.test("PSH: at the end of a write, and where half of the window is unpushed", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 8 * 1460 });
  t.write(fd, 6 * 1460);
  const flags = t.take().map((s) => s.flags);
  assertEquals(flags.length, 6);
  assertEquals(flags[5], "PA");
  // Half of 8 segments: the fifth is behind more than four.
  assertEquals(flags.filter((f) => f === "PA").length, 2);
});
