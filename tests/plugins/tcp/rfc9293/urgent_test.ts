/** RFC 9293 section 3.8.5: the urgent mechanism, sent and received. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../../core/mod.ts";
import { MSG_OOB, msgHdr, POLLPRI, SO_OOBINLINE, SOL_SOCKET } from "../../../../plugins/transport/sock/mod.ts";
import { TCP } from "../../../../plugins/transport/tcp/mod.ts";
import { TCP_CLOSE } from "../../../../plugins/transport/tcp/contract.ts";
import { RawPeer } from "../../../support/tcp_peer.ts";

const SIOCATMARK = 0x8905, SIOCINQ = 0x541b;

/** What an ioctl() says of a socket. */
function ioctl(t: RawPeer, fd: number, request: number): number {
  return t.host.net.get(TCP).ioctl(t.host.sys.sock(fd)!, request);
}

Deno.test("[MUST-30] urgent data goes out and comes in, beside the stream or in it", () => {
  for (const inline of [0, 1]) {
    using t = new RawPeer();
    const fd = t.connect();
    assertEquals(t.host.sys.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, inline), 0);
    assertEquals(t.write(fd, Uint8Array.of(1, 2, 3), MSG_OOB), 3);
    const [out] = t.take();
    assert(out.flags.includes("U") && out.payload === "010203", JSON.stringify(out));
    t.send({ seq: 1, ack: 4, flags: "PUA", urgent: 3 }, [65, 66, 67, 68]);
    if (inline === 0) assertEquals([t.read(fd, 10), t.read(fd, 10), t.read(fd, 10)], [2, 1, -11]);
    else assertEquals([t.read(fd, 10), t.read(fd, 10), t.read(fd, 10)], [2, 2, -11]);
  }
});

Deno.test("[MUST-62] the pointer that is sent points behind the last urgent byte, from each segment that it is ahead of", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 1000 });
  assertEquals(t.write(fd, 1200, MSG_OOB), 1200);
  t.write(fd, 300);
  const seen = t.take();
  t.send({ seq: 1, ack: 1001, window: 65_535 });
  seen.push(...t.take());
  assert(seen.length >= 3);
  for (const s of seen) {
    if (s.seq < 1201) assertEquals([s.seq + s.urgent, s.flags.includes("U")], [1201, true], JSON.stringify(s));
    else assertEquals([s.urgent, s.flags.includes("U")], [0, false]);
  }
  // Sent again it still does, and once it is acknowledged no more.
  t.send({ seq: 1, ack: 1501, window: 65_535 });
  t.write(fd, 10);
  assertEquals(t.take().map((s) => [s.urgent, s.flags]), [[0, "PA"]]);
});

Deno.test("[MUST-62] the pointer that comes points behind the last urgent byte", () => {
  for (const urgent of [1, 2, 3, 4]) {
    using t = new RawPeer();
    const fd = t.connect();
    t.send({ seq: 1, ack: 1, flags: "PUA", urgent }, [10, 11, 12, 13]);
    const msg = new Uint8Array(1);
    assertEquals(t.host.sys.recvmsg(fd, msgHdr(msg), MSG_OOB), 1);
    assertEquals(msg[0], 9 + urgent);
  }
});

Deno.test("[MUST-31] urgent data of 1 to 200,000 bytes: the mark is at its end, and all of it is in the stream", () => {
  for (const total of [1, 2, 1460, 5000, 200_000]) {
    using t = new RawPeer();
    const fd = t.connect();
    assertEquals(t.host.sys.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, 1), 0);
    let read = 0;
    for (let sent = 0; sent < total;) {
      const n = Math.min(1460, total - sent);
      // Farther than 16 bits: as far as they go (RFC 6093).
      const urgent = Math.min(total - sent, 65_535);
      t.send({ seq: 1 + sent, ack: 1, flags: "PUA", urgent }, new Uint8Array(n).fill(85));
      sent += n;
      if (sent < total) { for (let got = t.read(fd, 4096); got > 0; got = t.read(fd, 4096)) read += got; }
      t.take();
    }
    // Up to the last byte there is a mark ahead; the reader stops in front of it.
    for (let got = t.read(fd, 4096); got > 0 && read + got < total; got = t.read(fd, 4096)) {
      read += got;
      if (ioctl(t, fd, SIOCATMARK) === 1) break;
    }
    assertEquals([read, ioctl(t, fd, SIOCATMARK)], total === 1 ? [0, 0] : [total - 1, 1], `${total}`);
    if (total > 1) assertEquals(t.read(fd, 10), 1);
  }
});

Deno.test("[MUST-31] a sender's urgent data may be longer than a pointer reaches: the pointer comes into reach", () => {
  using t = new RawPeer();
  const fd = t.accept();
  let una = 1;
  const urgent = 100_001;
  let wrote = 0;
  let marked = 0;
  while (una < urgent) {
    const left = urgent - 1 - wrote;
    if (left > 0) wrote += Math.max(0, t.write(fd, Math.min(left, 20_000), MSG_OOB));
    for (const s of t.after(1)) {
      if (s.len === 0) continue;
      assert(s.flags.includes("U") && s.urgent > 0 && s.urgent <= 65_535, JSON.stringify({ ...s, payload: "" }));
      if (s.seq + s.urgent === urgent) marked++;
      una = Math.max(una, s.seq + s.len);
    }
    t.send({ seq: 1, ack: una, window: 65_535 });
  }
  assert(marked > 10, `${marked} segments point at the end`);
});

Deno.test("[MUST-32] the application is woken, and poll() has POLLPRI, when urgent data comes and when the pointer moves on", () => {
  using t = new RawPeer();
  const fd = t.connect();
  const { sys } = t.host;
  let woken = 0;
  sys.onReady(fd, () => woken++);
  const oob = (): number => sys.recvmsg(fd, msgHdr(new Uint8Array(1)), MSG_OOB);
  assertEquals(sys.poll(fd) & POLLPRI, 0);
  let seq = 1;
  for (let i = 1; i <= 3; i++) {
    const before = woken;
    t.send({ seq, ack: 1, flags: "PUA", urgent: 2 }, [1, 2]);
    seq += 2;
    assert(woken > before, `pointer ${i}`);
    assertEquals([sys.poll(fd) & POLLPRI, oob()], [POLLPRI, 1]);
    // It was taken: nothing is pending until the pointer moves.
    assertEquals([sys.poll(fd) & POLLPRI, errnoName(oob())], [0, "EINVAL"]);
  }
  // Announced, and not here yet: a reader is told to wait.
  t.send({ seq, ack: 1, flags: "UA", urgent: 5 });
  assertEquals(errnoName(oob()), "EAGAIN");
  t.send({ seq, ack: 1, flags: "PUA", urgent: 5 }, [1, 2, 3, 4, 5]);
  assertEquals([sys.poll(fd) & POLLPRI, oob()], [POLLPRI, 1]);
  seq += 5;
  // Behind a gap, where nothing can be read: the urgent byte is told all the same.
  while (t.read(fd, 100) > 0);
  const before = woken;
  t.send({ seq: seq + 100, ack: 1, flags: "PUA", urgent: 2 }, [1, 2]);
  assertEquals([woken - before, t.read(fd, 100)], [1, -11]);
  assertEquals([sys.poll(fd) & POLLPRI, oob()], [POLLPRI, 1]);
});

Deno.test("[MUST-33] SIOCATMARK and SIOCINQ tell whether, and how far, there is urgent data ahead", () => {
  using t = new RawPeer();
  const fd = t.connect();
  t.send({ seq: 1, ack: 1, flags: "PUA", urgent: 6 }, [1, 2, 3, 4, 5, 6, 7, 8]);
  // Five bytes to the urgent one.
  assertEquals([ioctl(t, fd, SIOCINQ), ioctl(t, fd, SIOCATMARK)], [5, 0]);
  assertEquals(t.read(fd, 3), 3);
  assertEquals([ioctl(t, fd, SIOCINQ), ioctl(t, fd, SIOCATMARK)], [2, 0]);
  // A read ends at the mark, however much is asked for.
  assertEquals(t.read(fd, 100), 2);
  assertEquals(ioctl(t, fd, SIOCATMARK), 1);
  assertEquals([t.read(fd, 100), ioctl(t, fd, SIOCATMARK), ioctl(t, fd, SIOCINQ)], [2, 0, 0]);
});

Deno.test("[MUST-66] with a receive window of zero a RST ends the connection, and an urgent pointer is taken", () => {
  for (const what of ["URG", "RST"]) {
    using t = new RawPeer();
    const fd = t.connect({ rcvbuf: 4096 });
    let seq = 1;
    let window = 65_535;
    for (let i = 0; i < 100 && window > 0; i++) {
      const n = Math.min(500, window);
      t.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(n));
      for (const s of t.after(250)) [seq, window] = [s.ack, s.window];
    }
    assertEquals(window, 0);
    const tp = t.tp(fd);
    if (what === "RST") {
      t.send({ seq, flags: "R" });
      assertEquals([tp.sk.state, tp.sk.err], [TCP_CLOSE, 104]);
      continue;
    }
    const oob = (): string => errnoName(t.host.sys.recvmsg(fd, msgHdr(new Uint8Array(1)), MSG_OOB));
    assertEquals(oob(), "EINVAL");
    t.send({ seq, ack: 1, flags: "UA", urgent: 3 });
    assertEquals(oob(), "EAGAIN");
    // Also under data that there is no room for: the data waits for its retransmission, the pointer counts.
    t.send({ seq, ack: 1, flags: "PUA", urgent: 3 }, [1, 2, 3]);
    assertEquals([oob(), tp.rcvNxt & 0xffff], ["EAGAIN", seq]);
  }
});
