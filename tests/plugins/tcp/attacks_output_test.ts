/** Attacks that TCP's sending half meets, by the rows of the list of attacks. */
import { assert, assertEquals } from "@std/assert";
import { NETIF_F_HW_CSUM, NETIF_F_TSO } from "../../../core/mod.ts";
import { SOL_TCP, TCP_CLOSE, TCP_NODELAY, TCP_USER_TIMEOUT } from "../../../plugins/transport/tcp/contract.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import { tcpFragment } from "../../../plugins/transport/tcp/retransmit.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, SACK_PERMITTED, sackOption, wscaleOption } from "../../support/tcp_peer.ts";

const S_MSS = mssOption(1460);

Deno.test("[A6] identification: 0 without a socket; a counter of the connection's own otherwise, other on a repetition", () => {
  using t = new RawPeer();
  // A RST for a closed port.
  t.port = 9;
  t.send({ seq: 0, flags: "S" });
  assertEquals(t.take().map((s) => [s.flags, s.id]), [["RA", 0]]);
  const fd = t.accept();
  t.host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
  for (let i = 0; i < 5; i++) t.write(fd, 10);
  const ids = [...t.take(), ...t.after(300)].map((s) => s.id);
  assert(ids.length >= 6);
  for (let i = 1; i < ids.length; i++) assertEquals(ids[i], (ids[i - 1] + 1) & 0xffff);
  // What one connection sends does not move the counter of another.
  using u = new RawPeer({ sport: 4001, seed: 2 });
  const other = u.accept();
  u.write(other, 10);
  const [mine] = u.take();
  assert(mine.id !== (ids[ids.length - 1] + 1 & 0xffff));
});

Deno.test("[A6] a SYN-ACK has identification 0", () => {
  using t = new RawPeer();
  const lis = t.host.sys.socket(2, 1, 0);
  t.host.sys.bind(lis, 0, 80);
  t.host.sys.listen(lis, 4);
  t.port = 80;
  t.send({ seq: 0, flags: "S", options: S_MSS });
  assertEquals(t.take().map((s) => [s.flags, s.id]), [["SA", 0]]);
});

Deno.test("[A30] a peer whose SACKs cut super-packets finds an end: twice the send buffer, then no more is cut", () => {
  using t = new RawPeer();
  t.dev.features |= NETIF_F_TSO | NETIF_F_HW_CSUM;
  const fd = t.accept({ window: 65535, options: concat(S_MSS, wscaleOption(8), SACK_PERMITTED) });
  const tp = t.tp(fd);
  // The window grows, until there are super-packets between the first and the last one in flight.
  for (let i = 0; i < 4; i++) {
    while (t.write(fd, 65536) > 0);
    t.send({ seq: 1, ack: (tp.sndNxt - t.isn) | 0, window: 65535 });
    t.take();
  }
  while (t.write(fd, 65536) > 0);
  const base = (tp.sndUna - t.isn) | 0;
  const rtx = tp.rtx!;
  const segments = tp.packetsOut;
  assert(segments > 60 && rtx.length < segments / 3, `${segments} segments in ${rtx.length} packets`);
  let cuts = 0;
  for (let from = 1460; from < (segments >> 1) * 1460; from += 2 * 1460, cuts++) {
    t.send({ seq: 1, ack: base, window: 65535, options: sackOption(t.isn, [base + from, base + from + 1460]) });
  }
  // A block makes two cuts at most, and never pieces smaller than a segment.
  assert(rtx.length <= segments, `${rtx.length} entries after ${cuts} blocks`);
  assertEquals(tp.sackedOut, cuts);
  const before = t.ext("TCPWqueueTooBig");
  let inner = 1;
  while (inner < rtx.length - 1 && rtx.at(inner).len <= 1460) inner++;
  assert(inner < rtx.length - 1, "a super-packet is left in the middle");
  const queued = tp.wmemQueued;
  tp.wmemQueued = 4 * (tp.sk.sndbuf + 200_000);
  assertEquals(tcpFragment(tp, "rtx", rtx.at(inner), 1460, 1460), -12);
  assertEquals(tcpFragment(tp, "rtx", rtx.at(0), 700, 1460), 0);
  tp.wmemQueued += queued - 4 * (tp.sk.sndbuf + 200_000);
  assertEquals(t.ext("TCPWqueueTooBig"), before + 1);
});

Deno.test("[A31] a tiny MSS does not multiply segments: 48 bytes of payload at least", () => {
  for (const mss of [1, 8, 48]) {
    using t = new RawPeer();
    const fd = t.accept({ options: mssOption(mss) });
    t.write(fd, 480);
    assertEquals(t.take().map((s) => s.len), new Array(10).fill(48));
  }
});

Deno.test("[A37] connections whose peer holds the window at zero end: by TCP_USER_TIMEOUT, and after close() in any case", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 1000 });
  assertEquals(t.host.sys.setsockopt(fd, SOL_TCP, TCP_USER_TIMEOUT, 10_000), 0);
  const tp = t.tp(fd);
  t.write(fd, 3000);
  const deliver = (ms: number): void => {
    for (let i = 0; i < ms; i += 1000) {
      for (const s of t.after(1000)) if (s.flags !== "RA") t.send({ seq: 1, ack: 1001, window: 0 });
    }
  };
  t.take();
  t.send({ seq: 1, ack: 1001, window: 0 });
  deliver(30_000);
  assertEquals(tp.sk.state, TCP_CLOSE);
});

Deno.test("[A37] many orphans with a zero window are all gone in bounded time, whatever the peer answers", () => {
  using t = new RawPeer();
  const { sys, net } = t.host;
  const peers: { isn: number; port: number }[] = [];
  const fds: number[] = [];
  for (let i = 0; i < 200; i++) {
    fds.push(t.accept({ window: 500 }));
    peers.push({ isn: t.isn, port: t.port });
  }
  const answer = (p: { isn: number; port: number }, window: number) => {
    t.isn = p.isn;
    t.port = p.port;
    t.send({ seq: 1, ack: 501, window });
  };
  for (let i = 0; i < fds.length; i++) {
    t.write(fds[i], 2000);
    answer(peers[i], 0);
    sys.close(fds[i]);
  }
  assertEquals(net.get(TCP).counts().orphans, 200);
  t.take();
  let seconds = 0;
  for (; seconds < 3600 && net.get(TCP).counts().orphans > 0; seconds += 20) {
    const any = t.after(20_000).length > 0;
    if (any) { for (const p of peers) answer(p, 0); }
    t.take();
  }
  assertEquals(net.get(TCP).counts().orphans, 0);
  assert(seconds <= 1200, `gone after ${seconds} s`);
});

Deno.test("[A46] a window scale above 14 is 14", () => {
  for (const [told, taken] of [[13, 13], [14, 14], [15, 14], [255, 14]]) {
    using t = new RawPeer();
    const fd = t.accept({ options: concat(S_MSS, wscaleOption(told)) });
    assertEquals(t.tp(fd).sndWscale, taken);
    t.send({ seq: 1, ack: 1, window: 100 });
    assertEquals(t.tp(fd).sndWnd, 100 << taken);
  }
});

Deno.test("[A47] a window that is taken back: nothing is lost, nothing beyond it goes again, and the first is the probe", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 10_000 });
  t.write(fd, 6000);
  assertEquals(t.take().length, 5);
  t.send({ seq: 1, ack: 1, window: 20_000 });
  // Acknowledges the first, and leaves no room for those in flight.
  t.send({ seq: 1, ack: 1461, window: 0 });
  const again = t.after(1500);
  assert(again.length > 0);
  assert(again.every((s) => s.seq === 1461), "only what is first goes into a window of 0");
  t.send({ seq: 1, ack: 1461, window: 10_000 });
  t.after(5000);
  t.send({ seq: 1, ack: 6001, window: 10_000 });
  assertEquals([t.tp(fd).packetsOut, (t.tp(fd).sndUna - t.isn) | 0], [0, 6001]);
});

Deno.test("[A47] a window that opens by a few bytes is not used for tiny segments", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 8000 });
  t.write(fd, 8000);
  t.take();
  t.write(fd, 4000);
  t.send({ seq: 1, ack: 8001, window: 10 });
  assertEquals(t.take(), []);
  t.send({ seq: 1, ack: 8001, window: 1459 });
  assertEquals(t.take(), []);
  t.send({ seq: 1, ack: 8001, window: 1460 });
  assertEquals(t.take().map((s) => s.len), [1460]);
});
