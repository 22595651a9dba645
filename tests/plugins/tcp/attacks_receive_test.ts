/** Attacks on what receives: tiny segments in the worst orders, flags and options that make no sense, urgent pointers. */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../../core/mod.ts";
import {
  AF_INET,
  MSG_OOB,
  MSG_PEEK,
  msgHdr,
  SO_OOBINLINE,
  SO_RCVBUF,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../../plugins/transport/sock/mod.ts";
import { TCP_ESTABLISHED } from "../../../plugins/transport/tcp/mod.ts";
import { concat } from "../../support/frames/bytes.ts";
import { Random } from "../../support/frames/random.ts";
import { Blast, looks } from "../../support/tcp_blast.ts";
import { mssOption, SACK_PERMITTED, wscaleOption } from "../../support/tcp_peer.ts";
import { PORT, type Segment, tsOption, Tun } from "../../support/tcp_tun.ts";

/** `-- --full`: as many segments as the list of attacks names. */
const FULL = Deno.args.includes("--full");
const HOSTS = { src: "10.0.0.2", dst: "10.0.0.1" };
const OPTIONS = concat(mssOption(1460), SACK_PERMITTED, wscaleOption(7));

/** Numbers of `bits` bits in bit-reversed order: each falls into the middle of the largest gap. */
function reversed(i: number, bits: number): number {
  let out = 0;
  for (let b = 0; b < bits; b++) out |= ((i >> b) & 1) << (bits - 1 - b);
  return out;
}

/** Where in a window of `w` bytes segment `i` lies; never at its start. */
const ORDERS: Record<string, (i: number, w: number) => number> = {
  "ascending, with gaps": (i, w) => 2 + (2 * i) % (w - 2),
  "descending, with gaps": (i, w) => w - 1 - (2 * i) % (w - 2),
  "from the middle outwards": (i, w) => (w >> 1) + ((i & 1) !== 0 ? i % (w >> 1) : -(i % ((w >> 1) - 1))),
  "into the largest gap": (i, w) => 2 + 2 * (reversed(i & 0x3fff, 14) % ((w >> 1) - 1)),
  "neighbours, from behind": (i, w) => w - 2 - (3 * (i >> 1) + (i & 1)) % (w - 2),
  "random": (i, w) => 1 + (Math.imul(i, 0x9e3779b1) >>> 0) % (w - 2),
};

interface Cost {
  looks: number;
  moved: number;
  /** Most memory charged, and of slots in use; bytes. */
  charged: number;
  held: number;
  rcvbuf: number;
  /** Most entries. */
  entries: number;
}

/** `n` segments of one byte out of order, into a buffer of the default size or of `rmem` bytes. */
function segmentSmack(order: (i: number, w: number) => number, n: number, rmem: number): Cost {
  using t = new Tun();
  if (rmem !== 0) t.host.sysctl("net.ipv4.tcp_rmem", [4096, rmem, rmem]);
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis, { options: OPTIONS });
  const tp = t.tp(fd);
  const blast = new Blast(t.dev, HOSTS, { sport: 4000, dport: PORT, flags: "A" }, [1]);
  const [seq, ack] = [1001, synack.seq + 1];
  const cost: Cost = { looks: 0, moved: 0, charged: 0, held: 0, rcvbuf: 0, entries: 0 };
  t.keep = false;
  cost.looks = looks(() => {
    for (let i = 0; i < n; i++) {
      blast.send(seq + order(i, tp.rcvWup + tp.rcvWnd - tp.rcvNxt), ack);
      if (tp.sk.rmemAlloc > cost.charged) cost.charged = tp.sk.rmemAlloc;
      if (tp.ofo !== null && tp.ofo.length > cost.entries) cost.entries = tp.ofo.length;
      if (i % 1000 === 0) cost.held = Math.max(cost.held, t.machine.pages.slotsInUse() * 2048);
    }
  });
  t.keep = true;
  cost.moved = tp.ofo!.moved;
  cost.rcvbuf = tp.sk.rcvbuf;
  assertEquals([tp.rcvNxt, tp.sk.state], [seq, TCP_ESTABLISHED]);
  // The honest peer goes on: one byte at the right place is taken.
  blast.send(seq, ack);
  assertEquals([tp.rcvNxt > seq, t.read(fd, 1)], [true, 1]);
  t.send({ seq: tp.rcvNxt, flags: "R" });
  t.host.sys.close(fd);
  t.host.sys.close(lis);
  assertEquals([t.counts().memory, t.machine.skbs.live], [0, 0]);
  return cost;
}

for (const [rmem, sizes] of [[0, "the default buffer"], [FULL ? 33_554_432 : 6_291_456, "a large buffer"]] as const) {
  Deno.test(`[A32] SegmentSmack into ${sizes}: the work is n log n in the worst orders, the memory is the buffer`, () => {
    const n = FULL ? 100_000 : 8_000;
    for (const [what, order] of Object.entries(ORDERS)) {
      const cost = segmentSmack(order, n, rmem);
      const told = `${what}: ${JSON.stringify(cost)}`;
      const ideal = n * Math.log2(n);
      assert(cost.looks <= 3 * ideal, told);
      // To move an entry costs less than to look at one: a word is copied.
      assert(cost.moved <= 10 * ideal, told);
      // The last one may reach over the edge. A slot is 2,048 bytes where a driver of Linux has 704.
      assert(cost.charged <= cost.rcvbuf + 2048 && cost.rcvbuf <= Math.max(rmem, 1 << 20), told);
      assert(cost.held <= 3 * cost.charged + 65_536, told);
      assert(cost.entries <= cost.rcvbuf / 768, told);
    }
  });
}

Deno.test("[A32] a queue that is full of what cannot be packed is not searched again for each segment that finds it full", () => {
  using t = new Tun();
  const lis = t.listen();
  const { fd, synack } = t.accepted(lis, { options: OPTIONS });
  const tp = t.tp(fd);
  const blast = new Blast(t.dev, HOSTS, { sport: 4000, dport: PORT, flags: "A" }, [1]);
  t.keep = false;
  let at = 1003;
  for (; t.ext("TCPOFODrop") === 0; at += 2) blast.send(at, synack.seq + 1);
  const pruned = t.ext("PruneCalled");
  const n = 5000;
  const seen = looks(() => {
    for (let i = 0; i < n; i++) blast.send(at + 2 * i, synack.seq + 1);
  });
  t.keep = true;
  assertEquals(t.ext("PruneCalled") - pruned, n);
  assert(seen <= 2 * n, `${seen} looks for ${n} segments that were dropped`);
  // One that comes between two others makes a range of three: when the buffer is full again, there is something to pack.
  const collapsed = t.ext("TCPRcvCollapsed");
  const full = t.ext("PruneCalled") + 1;
  for (let i = 0; i < 10; i++) blast.send(1004 + 4 * i, synack.seq + 1);
  for (; t.ext("PruneCalled") <= full; at += 2) blast.send(at, synack.seq + 1);
  assert(t.ext("TCPRcvCollapsed") >= collapsed + 20, "packed");
  t.send({ seq: tp.rcvNxt, flags: "R" });
  t.host.sys.close(fd);
  t.host.sys.close(lis);
});

/** Bytes that were copied to pack segments. */
function collapsedBytes(t: Tun): number {
  return t.machine.ledger.snapshot().find((s) => s.name === "tcp_collapse")?.bytes ?? 0;
}

Deno.test("[A33] segments of one byte that nobody reads: memory stays at the buffer, and packing costs little per byte", () => {
  const n = FULL ? 1_000_000 : 25_000;
  for (const rcvbuf of [0, 16_384, 262_144]) {
    using t = new Tun();
    const lis = t.listen();
    if (rcvbuf !== 0) {
      t.host.sysctl("net.core.rmem_max", 1 << 20);
      assertEquals(t.host.sys.setsockopt(lis, SOL_SOCKET, SO_RCVBUF, rcvbuf / 2), 0);
    }
    const { fd, synack } = t.accepted(lis, { options: OPTIONS });
    const tp = t.tp(fd);
    const blast = new Blast(t.dev, HOSTS, { sport: 4000, dport: PORT, flags: "A" }, [1]);
    let [charged, held, queued] = [0, 0, 0];
    t.keep = false;
    for (let i = 0; i < n; i++) {
      blast.send(tp.rcvNxt, synack.seq + 1);
      charged = Math.max(charged, tp.sk.rmemAlloc);
      if (i % 100 !== 0) continue;
      held = Math.max(held, t.machine.pages.slotsInUse() * 2048);
      queued = Math.max(queued, tp.sk.receiveQueue.qlen);
    }
    t.keep = true;
    const got = tp.rcvNxt - 1001;
    const told = JSON.stringify({ rcvbuf, charged, held, queued, got, now: tp.sk.rcvbuf });
    if (rcvbuf !== 0) assertEquals(tp.sk.rcvbuf, rcvbuf);
    // A byte costs what its buffer costs: the buffer is full long before its bytes are. A page that was reserved is spent.
    assert(charged <= tp.sk.rcvbuf + 2 * 4096 && tp.sk.rcvbuf <= 33_554_432, told);
    assert(held <= 3 * charged + 65_536 && queued <= charged / 768, told);
    // What does not fit any more is dropped: by the window, or by the buffer.
    const dropped = t.ext("TCPRcvQDrop") + t.ext("TCPZeroWindowDrop") + t.ext("BeyondWindow");
    assertEquals(dropped, n - got, told);
    // The nearer the buffer is to its end, the more often what is in it is packed anew for one byte more.
    assert(collapsedBytes(t) <= Math.min(100 * got, 24 * n), `${collapsedBytes(t)} bytes were copied for ${got}`);
    // All that was acknowledged is there, byte by byte.
    let read = 0;
    for (let k = t.read(fd, 65_536); k > 0; k = t.read(fd, 65_536)) read += k;
    assertEquals(read, got);
    assertEquals(tp.sk.rmemAlloc, 0);
    t.send({ seq: tp.rcvNxt, flags: "R" });
    t.host.sys.close(fd);
    t.host.sys.close(lis);
    assertEquals([t.counts().memory, t.machine.skbs.live], [0, 0]);
  }
});

Deno.test("[A33] tcp_mem bounds all sockets together: 200 peers with full buffers, and one more can still talk", () => {
  using t = new Tun();
  t.host.sysctl("net.ipv4.tcp_mem", [200, 300, 400]);
  const lis = t.listen(300);
  const conns = Array.from({ length: 200 }, (_, i) => t.accepted(lis, { sport: 5000 + i, options: OPTIONS }));
  t.keep = false;
  let most = 0;
  for (let round = 0; round < 60; round++) {
    for (let i = 0; i < conns.length; i++) {
      const tp = t.tp(conns[i].fd);
      const payload = new Uint8Array(1000);
      t.send({ sport: 5000 + i, seq: tp.rcvNxt, ack: conns[i].synack.seq + 1, flags: "A", payload });
      most = Math.max(most, t.counts().memory);
    }
  }
  t.keep = true;
  // A socket below tcp_rmem[0] is served always: a page or two for each.
  assert(most <= 400 * 4096 + 200 * 2 * 4096, `${most} bytes`);
  assert(
    t.ext("TCPMemoryPressures") > 0 && t.ext("TCPRcvQDrop") + t.ext("TCPOFODrop") + t.ext("TCPZeroWindowDrop") > 0,
  );
  const late = t.accepted(lis, { sport: 4999 });
  t.send({ sport: 4999, seq: 1001, ack: late.synack.seq + 1, flags: "PA", payload: [1, 2, 3] });
  assertEquals(t.read(late.fd, 10), 3);
  for (const [i, { fd }] of [...conns.entries(), [-1, late] as const]) {
    t.send({ sport: 5000 + i, seq: t.tp(fd).rcvNxt, flags: "R" });
    t.host.sys.close(fd);
  }
  t.host.sys.close(lis);
  assertEquals(t.counts().memory, 0);
});

Deno.test("[A42] all 256 combinations of flags at a listener: only a SYN without RST, FIN and ACK is remembered", () => {
  for (let flags = 0; flags < 256; flags++) {
    using t = new Tun();
    const lis = t.listen();
    const answers = t.flags({ seq: 1000, ack: 5, flags, payload: [1] });
    const syn = (flags & 0x17) === 2;
    const ack = (flags & 0x14) === 0x10;
    // ECE and CWR ask for ECN.
    const synack = (flags & 0xc0) === 0xc0 ? "SAE" : "SA";
    assertEquals(answers, syn ? [synack] : ack ? ["R"] : [], `flags ${flags}`);
    assertEquals([t.counts().requests, t.counts().established], [syn ? 1 : 0, 0], `flags ${flags}`);
    t.host.sys.close(lis);
  }
});

Deno.test("[A42] null, FIN, xmas and SYN+FIN scans: silence from an open port, a RST from a closed one, and no state", () => {
  const scans: Record<string, [flags: string, open: string[], closed: string[]]> = {
    null: ["", [], ["RA"]],
    FIN: ["F", [], ["RA"]],
    xmas: ["FPU", [], ["RA"]],
    "SYN+FIN": ["SF", [], ["RA"]],
    "SYN+RST": ["SR", [], []],
    maimon: ["FA", ["R"], ["R"]],
    ACK: ["A", ["R"], ["R"]],
  };
  for (const [what, [flags, open, closed]] of Object.entries(scans)) {
    using t = new Tun();
    t.listen();
    assertEquals(t.flags({ seq: 7, ack: 9, flags }), open, `${what}, open`);
    assertEquals(t.flags({ seq: 7, ack: 9, flags, dport: 81 }), closed, `${what}, closed`);
    assertEquals([t.counts().requests, t.counts().established, t.machine.timers.armed], [0, 0, 0], what);
  }
});

Deno.test("[A42] all 256 combinations of flags inside a connection: what lacks ACK, SYN and RST is nothing, and data goes on", () => {
  for (let flags = 0; flags < 256; flags++) {
    using t = new Tun();
    const lis = t.listen();
    const { fd, synack } = t.accepted(lis);
    const tp = t.tp(fd);
    const before = tp.rcvNxt;
    t.send({ seq: 1001, ack: synack.seq + 1, flags, payload: [1] });
    const [rst, syn, ack] = [(flags & 4) !== 0, (flags & 2) !== 0, (flags & 16) !== 0];
    const taken = ack && !rst && !syn;
    const fin = taken && (flags & 1) !== 0 ? 1 : 0;
    assertEquals(tp.rcvNxt - before, taken ? 1 + fin : 0, `flags ${flags}`);
    if (rst) assertEquals([errnoName(t.read(fd, 1))], ["ECONNRESET"], `flags ${flags}`);
    else {
      t.send({ seq: tp.rcvNxt, ack: synack.seq + 1, flags: "PA", payload: [2, 3] });
      // Its byte is an urgent one where URG says so: not part of the stream.
      const urgent = taken && (flags & 32) !== 0 ? 1 : 0;
      assertEquals(t.read(fd, 10), (fin === 1 ? 1 : taken ? 3 : 2) - urgent, `flags ${flags}`);
    }
    t.send({ seq: tp.rcvNxt, flags: "R" });
    t.host.sys.close(fd);
    t.host.sys.close(lis);
    assertEquals([t.counts().established, t.machine.timers.armed], [0, 0]);
  }
});

/** Pointers around every edge that code could have, and some between; all there are with `--full`. */
const POINTERS: number[] = FULL ? Array.from({ length: 65_536 }, (_, i) => i) : [
  ...Array.from({ length: 20 }, (_, i) => i),
  ...[255, 256, 257, 1459, 1460, 1461, 32_766, 32_767, 32_768, 32_769, 65_533, 65_534, 65_535],
  ...Array.from({ length: 65 }, (_, i) => 1 + i * 1009),
];

/** Byte `i` of the stream. */
const byteAt = (i: number): number => (i * 7 + (i >> 8)) & 255;

for (const inline of [false, true]) {
  Deno.test(`[A43] urgent pointers 0 to 65,535 under 0 to 3 bytes, read, peeked and asked for${inline ? ", in line" : ""}: no loop, no byte twice`, () => {
    using t = new Tun();
    const { sys } = t.host;
    const lis = t.listen();
    const { fd, synack } = t.accepted(lis);
    assertEquals(sys.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, inline ? 1 : 0), 0);
    const tp = t.tp(fd);
    const random = new Random(43);
    const into = msgHdr(new Uint8Array(4096));
    let [calls, delivered, sent, asked] = [0, 0, 0, 0];
    // The place in the stream of the byte that was delivered last.
    let place = -1;
    const read = (len: number, flags: number): number => {
      calls++;
      into.len = len;
      const n = sys.recvmsg(fd, into, flags);
      assert(n <= len && (n >= 0 || ["EAGAIN", "EINVAL"].includes(errnoName(n))), `recvmsg() gave ${n}`);
      return n;
    };
    const deliver = (n: number): void => {
      for (let i = 0; i < n; i++) {
        // Urgent bytes are left out of the stream, so that places are skipped, but never taken back.
        do place++; while (place < sent && byteAt(place) !== into.buf[i]);
        assert(place < sent, "a byte that was not sent, or was delivered");
      }
      delivered += Math.max(0, n);
    };
    t.machine.ledger.reset();
    let peeked = 0;
    for (const urgent of POINTERS) {
      for (let len = 0; len <= 3; len++) {
        const payload = Uint8Array.from({ length: len }, (_, i) => byteAt(sent + i));
        t.send({ seq: 1001 + sent, ack: synack.seq + 1, flags: "PUA", urgent, payload });
        sent += len;
        for (const what of random.pick([["peek", "read"], ["oob", "read"], ["read"], ["peek", "oob"], []])) {
          const size = random.pick([0, 1, 2, 4096]);
          if (what === "peek") peeked += Math.max(0, read(size, MSG_PEEK));
          else if (what === "oob") asked += Math.max(0, read(1, MSG_OOB));
          else deliver(read(size, 0));
        }
        assert(((tp.rcvNxt - tp.copiedSeq) | 0) >= 0 && tp.copiedSeq - 1001 >= delivered);
      }
    }
    // A read ends at each mark: so many are needed at most.
    for (let i = 0; i < 1000 && ((tp.rcvNxt - tp.copiedSeq) | 0) > 0; i++) deliver(read(4096, 0));
    assertEquals([tp.copiedSeq, tp.rcvNxt], [1001 + sent, 1001 + sent]);
    const missing = sent - delivered;
    // In line nothing is missing; else what is missing was urgent, one byte for a pointer.
    assert(inline ? missing === 0 : missing > 0 && missing <= POINTERS.length * 4, `${missing} of ${sent} bytes`);
    assertEquals(inline ? asked : asked <= POINTERS.length * 4, inline ? 0 : true);
    const copied = t.machine.ledger.snapshot().find((s) => s.name === "tcp_recvmsg")!.bytes;
    assertEquals(copied, delivered + peeked, `${calls} calls`);
    t.send({ seq: tp.rcvNxt, flags: "R" });
    sys.close(fd);
    sys.close(lis);
    assertEquals(t.counts().memory, 0);
  });
}

Deno.test("[A43] urgent pointers on a SYN, a SYN-ACK, a FIN, a RST and out of order: the stream is what was sent", () => {
  for (const urgent of [0, 1, 2, 3, 4, 100, 32_768, 65_535]) {
    using t = new Tun();
    const { sys } = t.host;
    const lis = t.listen();
    const synack = t.syn({ flags: "SU", urgent, options: OPTIONS });
    assertEquals(synack.flags, "SA");
    const ack = synack.seq + 1;
    t.send({ seq: 1001, ack, flags: "AU", urgent });
    const fd = sys.accept(lis);
    assertEquals(sys.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, 1), 0);
    t.send({ seq: 1004, ack, flags: "PAU", urgent, payload: [4, 5, 6] });
    t.send({ seq: 1001, ack, flags: "PAU", urgent, payload: [1, 2, 3] });
    t.send({ seq: 1007, ack, flags: "FAU", urgent, payload: [7] });
    const got: number[] = [];
    const into = msgHdr(new Uint8Array(100));
    for (let i = 0; i < 20; i++) {
      into.len = 100;
      const n = sys.recvmsg(fd, into, 0);
      assert(n >= 0, `pointer ${urgent}: ${n}`);
      if (n === 0) break;
      got.push(...into.buf.subarray(0, n));
    }
    assertEquals(got, [1, 2, 3, 4, 5, 6, 7], `pointer ${urgent}`);
    // And as client.
    const out = sys.socket(AF_INET, SOCK_STREAM, 0);
    t.take();
    sys.connect(out, 0x0a000002, 9);
    const [syn] = t.take();
    t.send({ sport: 9, dport: syn.sport, seq: 1, ack: syn.seq + 1, flags: "SAU", urgent });
    assertEquals(t.tp(out).sk.state, TCP_ESTABLISHED);
    t.send({ sport: 9, dport: syn.sport, seq: 2, flags: "RU", urgent });
    for (const s of [fd, out, lis]) sys.close(s);
    t.send({ seq: 1009, flags: "R", ack });
    t.after(120_000);
    assertEquals([t.counts().established, t.counts().timeWait, t.machine.timers.armed], [0, 0, 0]);
  }
});

/** Kinds that mean something, some that do not; lengths around what is right, and all that lie. */
const KINDS = [...Array.from({ length: 40 }, (_, i) => i), 64, 127, 128, 200, 252, 253, 254, 255];
const LENGTHS = [...Array.from({ length: 42 }, (_, i) => i), 60, 127, 128, 254, 255];

/** Options of `size` bytes that begin with one of this kind and length. */
function optionOf(kind: number, length: number, size: number): Uint8Array {
  const options = new Uint8Array(size).fill(1);
  options.set([kind, length]);
  return options;
}

/**
 * Whether a segment with these options is for nobody: as long as a signature would fit, they must be readable to their end,
 * and none must be there. Linux: tcp_inbound_hash().
 */
function refusedFor(kind: number, length: number, size: number): boolean {
  if (size < 18 || kind === 0) return false;
  // Behind a NOP the length is a kind, whose length is 1.
  if (kind === 1) return length >= 2;
  return length < 2 || length > size || kind === 19;
}

Deno.test("[A44] every kind with every length in every kind of segment: the connection lives, and takes its data once", () => {
  for (const size of [12, 40]) {
    using t = new Tun();
    const lis = t.listen();
    const all = concat(mssOption(1460), SACK_PERMITTED, tsOption(5), wscaleOption(2));
    const { fd, synack } = t.accepted(lis, { options: all });
    const tp = t.tp(fd);
    const ack = synack.seq + 1;
    const mss = tp.mssCache;
    for (const kind of KINDS) {
      for (const length of LENGTHS) {
        const options = optionOf(kind, length, size);
        const seq = tp.rcvNxt;
        const forms: Segment[] = [
          { seq, ack, flags: "A" },
          { seq, flags: "" },
          { seq: seq + 9, ack, flags: "S" },
          { seq: seq + 9, flags: "R" },
          { seq: seq + 70_000, ack, flags: "FA" },
          { seq, ack, flags: "PA", payload: [7] },
        ];
        for (const form of forms) t.send({ ...form, options });
        const what = `kind ${kind}, length ${length} of ${size}`;
        assertEquals((tp.rcvNxt - seq) | 0, refusedFor(kind, length, size) ? 0 : 1, what);
        // The same byte without options: taken if it was not yet.
        t.send({ seq, ack, flags: "PA", payload: [7] });
        assertEquals((tp.rcvNxt - seq) | 0, 1, what);
      }
      assertEquals(t.read(fd, 4096), LENGTHS.length);
      t.take();
    }
    assertEquals([tp.sk.state, tp.mssCache, tp.sndWscale], [TCP_ESTABLISHED, mss, 2]);
    t.send({ seq: tp.rcvNxt, flags: "R" });
    t.host.sys.close(fd);
    t.host.sys.close(lis);
    assertEquals(t.counts().memory, 0);
  }
});

Deno.test("[A44] every kind with every length in a SYN and in the ACK of the handshake: a connection, or none, but no fault", () => {
  using t = new Tun();
  const lis = t.listen(64);
  for (const size of [12, 40]) {
    for (const kind of KINDS) {
      for (const length of LENGTHS) {
        const what = `kind ${kind}, length ${length} of ${size}`;
        const options = optionOf(kind, length, size);
        t.take();
        t.send({ seq: 1000, flags: "S", options });
        const [synack] = t.take();
        assertEquals(synack === undefined, refusedFor(kind, length, size), what);
        if (synack === undefined) continue;
        t.send({ seq: 1001, ack: synack.seq + 1, flags: "A", options });
        t.send({ seq: 1001, ack: synack.seq + 1, flags: "PA", payload: [1] });
        const fd = t.host.sys.accept(lis);
        // Also where the ACK echoed what was not sent: the data ended the handshake then.
        assert(fd >= 0, what);
        const { mssCache, sndWscale } = t.tp(fd);
        assert(mssCache >= 48 - 12 && mssCache <= 1460 && sndWscale <= 14, what);
        t.host.sys.close(fd);
        t.send({ seq: 1001, flags: "R" });
        t.send({ seq: 1002, flags: "R" });
      }
    }
  }
  t.host.sys.close(lis);
  t.after(120_000);
  assertEquals([t.counts().established, t.counts().requests, t.counts().memory], [0, 0, 0]);
});

Deno.test("[A45] the MSS of a SYN: none and 0 are 536, tiny ones 48, huge ones what our device carries", () => {
  for (
    const [options, mss] of [
      [[], 536],
      [mssOption(0), 536],
      [mssOption(1), 48],
      [mssOption(47), 48],
      [mssOption(48), 48],
      [mssOption(500), 500],
      [mssOption(65_535), 1460],
    ] as const
  ) {
    using t = new Tun();
    const lis = t.listen();
    const { fd } = t.accepted(lis, { options: Uint8Array.from(options) });
    assert(t.write(fd, 1460) > 0);
    const sent = t.take();
    assertEquals(Math.max(...sent.map((s) => s.len)), mss, `MSS ${mss}`);
    // Ten of them at most before an ACK, however small: bytes do not become packets without end.
    assert(sent.length <= 10, `${sent.length} segments`);
    t.send({ seq: 1001, flags: "R" });
    t.host.sys.close(fd);
    t.host.sys.close(lis);
  }
});
