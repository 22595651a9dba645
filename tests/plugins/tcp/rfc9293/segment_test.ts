/** RFC 9293 sections 3.1, 3.2 and 3.7.1: window, checksum, options, maximum segment size. */
import { assert, assertEquals } from "@std/assert";
import { FIB } from "../../../../plugins/network/fib/mod.ts";
import { INET } from "../../../../plugins/network/inet/mod.ts";
import { SOL_TCP, TCP_CLOSE, TCP_ESTABLISHED, TCP_MAXSEG } from "../../../../plugins/transport/tcp/contract.ts";
import { type BytesLike, concat } from "../../../support/frames/bytes.ts";
import { twoHosts } from "../../../support/hosts.ts";
import { tcpConnection } from "../../../support/tcp.ts";
import { mssOption, RawPeer, SACK_PERMITTED, type Seen, wscaleOption } from "../../../support/tcp_peer.ts";
import { tsOption } from "../../../support/tcp_tun.ts";

/** Kinds and lengths of options as they stand: of NOP and EOL there is the kind alone. Asserts that they fit. */
function kindsOf(hex: string): number[] {
  const at = (i: number): number => parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  const kinds: number[] = [];
  for (let i = 0; i < hex.length / 2;) {
    const kind = at(i);
    kinds.push(kind);
    if (kind <= 1) {
      i++;
      continue;
    }
    const length = at(i + 1);
    assert(length >= 2 && i + length <= hex.length / 2, `kind ${kind} of ${length} bytes at ${i} of ${hex}`);
    i += length;
  }
  return kinds;
}

/** Every segment of a life: handshake, data both ways, a gap, an end. With the options that the peer agrees to. */
function life(options: BytesLike, ts: boolean, active: boolean): Seen[] {
  using t = new RawPeer();
  const seen: Seen[] = [];
  const keep = t.take.bind(t);
  t.take = () => {
    const taken = keep();
    seen.push(...taken);
    return taken;
  };
  const echo = ts ? { options: tsOption(2) } : {};
  const fd = active ? t.accept({ options }) : t.connect({ options });
  t.write(fd, 5000);
  t.take();
  t.send({ seq: 1, ack: 5001, flags: "PA", ...echo }, new Uint8Array(100));
  t.send({ seq: 301, ack: 5001, flags: "PA", ...echo }, new Uint8Array(100));
  t.send({ seq: 501, ack: 5001, flags: "PA", ...echo }, new Uint8Array(100));
  t.after(300);
  t.host.sys.shutdown(fd, 1);
  t.after(300);
  t.host.sys.close(fd);
  t.after(300);
  return seen;
}

Deno.test("[MUST-1] a window of 65,535 is large, not negative, in both directions", () => {
  using t = new RawPeer();
  const fd = t.accept({ window: 65_535 });
  t.write(fd, 400_000);
  // Acknowledges all that is in flight, until the congestion window is larger than the peer's.
  let most = 0;
  for (let una = 1, flight = t.take(); flight.length > 0; flight = t.take()) {
    const sent = flight.reduce((sum, s) => sum + s.len, 0);
    most = Math.max(most, sent);
    una += sent;
    t.send({ seq: 1, ack: una, window: 65_535 });
    if (una < 400_000) t.write(fd, 200_000);
  }
  assertEquals(t.tp(fd).sndWnd, 65_535);
  assert(most > 60_000 && most <= 65_535, `${most} bytes in flight`);
  // And ours: the peer may send into all of it.
  using u = new RawPeer();
  const other = u.connect({ rcvbuf: 1 << 20 });
  for (let seq = 1; seq < 58_000; seq += 1450) u.send({ seq, ack: 1, flags: "PA" }, new Uint8Array(1450));
  let read = 0;
  for (let n = u.read(other, 65_536); n > 0; n = u.read(other, 65_536)) read += n;
  assertEquals(read, 58_000);
  assert(u.after(100).every((s) => s.window > 0 && s.window <= 65_535));
});

Deno.test("[MUST-2] every segment leaves with the right checksum, whoever computes it", () => {
  // RawPeer asserts it of each: the stack computes, for its device does not.
  for (const active of [false, true]) {
    const flags = new Set(life(concat(mssOption(1460), SACK_PERMITTED), false, active).map((s) => s.flags));
    assert(flags.has("PA") && flags.has("A") && flags.has("FA"), `${[...flags]}`);
  }
  // The card computes it, of each segment or of what it cuts from a super-packet; the other side verifies.
  for (const offloads of [{ txCsum: false }, { txCsum: true }, { txCsum: true, sg: true, gso: true }]) {
    using t = twoHosts({ neigh: true, nic: { offloads } });
    const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2" });
    client.run(50_000);
    server.run(50_000);
    t.machine.advance(2e9);
    assertEquals([client.received, server.received], [50_000, 50_000]);
    assertEquals([t.a, t.b].map((h) => h.net.get(INET).mib.tcp.InCsumErrors), [0, 0]);
    client.close();
    server.close();
    t.machine.runUntilIdle(120e9);
  }
});

Deno.test("[MUST-3] a segment with a wrong checksum is dropped, whatever it is, and counted", () => {
  using t = new RawPeer();
  const fd = t.connect();
  const counts = t.host.net.get(INET).mib.tcp;
  const bad = ["PA", "R", "FA", "S", "A"];
  for (const flags of bad) {
    t.send({ seq: 1, ack: 1, flags, checksum: 0x1234 }, flags === "PA" ? [1, 2, 3] : []);
    assertEquals([t.take(), t.read(fd, 10), t.tp(fd).sk.state], [[], -11, TCP_ESTABLISHED], flags);
  }
  assertEquals([counts.InCsumErrors, counts.InErrs], [bad.length, bad.length]);
  t.send({ seq: 1, ack: 1, flags: "PA" }, [1, 2, 3]);
  assertEquals(t.read(fd, 10), 3);
});

Deno.test("[MUST-4] end of list, no-operation and MSS are understood, in any order and number", () => {
  const lists: [number[], number][] = [
    [[2, 4, 2, 0], 512],
    [[1, 1, 1, 2, 4, 2, 0, 0], 512],
    [[2, 4, 2, 0, 0, 0, 0, 0], 512],
    // Behind the end nothing counts.
    [[0, 2, 4, 2, 0, 0, 0, 0], 536],
    [[1, 0, 2, 4, 2, 0, 0, 0], 536],
  ];
  for (const [options, mss] of lists) {
    using t = new RawPeer();
    const fd = t.connect({ options });
    t.write(fd, 3000);
    assertEquals(Math.max(...t.take().map((s) => s.len)), mss, `${options}`);
  }
});

Deno.test("[MUST-5] options come in any segment: SYN, ACK, data, FIN, RST, with and without a connection", () => {
  const options = concat([1, 1], tsOption(5), [253, 4, 1, 2]);
  using t = new RawPeer();
  const fd = t.connect({ options: concat(mssOption(1460), options) });
  t.send({ seq: 1, ack: 1, flags: "PA", options }, [1, 2, 3]);
  assertEquals([t.read(fd, 10), t.tp(fd).rcvNxt & 0xffff], [3, 4]);
  t.send({ seq: 4, ack: 1, options });
  t.send({ seq: 4, ack: 1, flags: "FA", options });
  assertEquals(t.read(fd, 10), 0);
  t.send({ seq: 5, flags: "R", options });
  assertEquals(t.tp(fd).sk.state, TCP_CLOSE);
  t.take();
  t.send({ seq: 5, ack: 1, options });
  assertEquals(t.take().map((s) => s.flags), ["R"]);
});

Deno.test("[MUST-6] options that nobody knows are passed over by their length, and what follows them counts", () => {
  for (const kind of [6, 7, 20, 29, 31, 66, 127, 200, 253, 254]) {
    for (const length of [2, 3, 4, 7, 10]) {
      using t = new RawPeer();
      const unknown = new Uint8Array(length).fill(kind, 2);
      unknown.set([kind, length]);
      const fd = t.connect({ options: concat(unknown, mssOption(700)) });
      assertEquals(t.tp(fd).mssCache, 700, `kind ${kind} of ${length}`);
      t.send({ seq: 1, ack: 1, flags: "PA", options: unknown }, [1]);
      assertEquals(t.read(fd, 10), 1);
    }
  }
});

Deno.test("[MUST-7] lengths of 0, 1, and beyond the header: what comes before them counts, and the connection lives", () => {
  for (const kind of [2, 3, 4, 5, 8, 34, 253]) {
    for (const length of [0, 1, 13, 40, 255]) {
      using t = new RawPeer();
      const fd = t.connect({ options: concat(mssOption(700), [kind, length, 0, 0]) });
      assertEquals(t.tp(fd).mssCache, 700, `kind ${kind} of ${length}`);
      t.send({ seq: 1, ack: 1, flags: "PA", options: [kind, length, 0, 0] }, [1, 2]);
      assertEquals([t.read(fd, 10), t.tp(fd).sk.state], [2, TCP_ESTABLISHED]);
    }
  }
});

Deno.test("[MUST-64] options at odd places are read", () => {
  for (let shift = 0; shift < 8; shift++) {
    using t = new RawPeer();
    const nops = new Uint8Array(shift).fill(1);
    const fd = t.connect({ options: concat(nops, [3, 3, 5], mssOption(700), [4, 2], [8, 10, 0, 0, 0, 9, 0, 0, 0, 0]) });
    const tp = t.tp(fd);
    assertEquals([tp.mssCache + 12, tp.sndWscale, tp.sackOk, tp.tsRecent], [700, 5, true, 9], `${shift} before`);
  }
});

Deno.test("[MUST-65] MSS is told in SYN and SYN-ACK alone, and believed there alone", () => {
  const all = concat(mssOption(1460), SACK_PERMITTED, tsOption(1), wscaleOption(7));
  for (const [options, ts] of [[all, true], [mssOption(1460), false]] as const) {
    for (const active of [false, true]) {
      for (const s of life(options, ts, active)) {
        assertEquals(kindsOf(s.options).includes(2), s.flags.includes("S"), `${s.flags} ${s.options}`);
      }
    }
  }
  using t = new RawPeer();
  const fd = t.connect({ options: mssOption(1000) });
  t.send({ seq: 1, ack: 1, options: mssOption(200) });
  t.write(fd, 2000);
  assertEquals(t.take().map((s) => s.len), [1000, 1000]);
});

Deno.test("[MUST-68] [MUST-69] options of every segment have their lengths and fill the header to its end", () => {
  const kinds = new Set<number>();
  for (const options of [mssOption(1460), concat(mssOption(1460), SACK_PERMITTED, tsOption(1), wscaleOption(7))]) {
    for (const active of [false, true]) {
      for (const s of life(options, options.length > 4, active)) for (const k of kindsOf(s.options)) kinds.add(k);
    }
  }
  // No end of list: so that nothing is behind it.
  assertEquals([...kinds].toSorted((a, b) => a - b), [1, 2, 3, 4, 5, 8]);
});

Deno.test("[MUST-69] what stands behind the end of the list is not looked at", () => {
  using t = new RawPeer();
  const fd = t.connect({ options: concat([0], mssOption(100), [3, 3, 9]) });
  assertEquals([t.tp(fd).mssCache, t.tp(fd).sndWscale], [536, 0]);
});

Deno.test("[MUST-14] [SHLD-5] [MAY-3] each SYN and SYN-ACK tells an MSS, also one of 536, and obeys the peer's", () => {
  for (const [mtu, told] of [[1500, 1460], [9000, 8960], [576, 536], [1000, 960]]) {
    const hex = `0204${told.toString(16).padStart(4, "0")}`;
    using t = new RawPeer({ mtu });
    const fd = t.host.sys.socket(2, 1, 0);
    t.host.sys.connect(fd, 0x0a000002, t.sport);
    assert(t.take()[0].options.startsWith(hex), `SYN, MTU ${mtu}`);
    t.send({ seq: 0, ack: 1, flags: "SA", options: mssOption(300) });
    t.write(fd, 900);
    assertEquals(t.take().map((s) => s.len), [0, 300, 300, 300]);
    using u = new RawPeer({ mtu });
    const lis = u.host.sys.socket(2, 1, 0);
    u.host.sys.bind(lis, 0, 80);
    u.host.sys.listen(lis, 4);
    u.port = 80;
    u.send({ seq: 0, flags: "S", options: mssOption(300) });
    assertEquals(u.take()[0].options.slice(0, 8), hex, `SYN-ACK, MTU ${mtu}`);
  }
});

Deno.test("[MUST-15] without an MSS option segments carry 536 bytes, in both kinds of open", () => {
  for (const active of [false, true]) {
    using t = new RawPeer();
    const fd = active ? t.accept({ options: [] }) : t.connect({ options: [] });
    t.write(fd, 2000);
    assertEquals(t.take().map((s) => s.len), [536, 536, 536, 392]);
  }
});

Deno.test("[MUST-16] a segment is the smallest of the peer's MSS, our MTU and TCP_MAXSEG, less its options", () => {
  const largest = (mtu: number, mss: number, own: number, ts: boolean): number => {
    using t = new RawPeer({ mtu });
    const { sys } = t.host;
    const fd = sys.socket(2, 1, 0);
    if (own !== 0) assertEquals(sys.setsockopt(fd, SOL_TCP, TCP_MAXSEG, own), 0);
    sys.connect(fd, 0x0a000002, t.sport);
    const stamp = /080a(.{8})/.exec(t.take()[0].options)![1];
    const options = ts ? concat(mssOption(mss), tsOption(1, parseInt(stamp, 16))) : mssOption(mss);
    t.send({ seq: 0, ack: 1, flags: "SA", options });
    t.write(fd, 30_000);
    return Math.max(...t.take().map((s) => s.len));
  };
  assertEquals(largest(1500, 1460, 0, false), 1460);
  assertEquals(largest(1500, 9000, 0, false), 1460);
  assertEquals(largest(1500, 1000, 0, false), 1000);
  assertEquals(largest(800, 1460, 0, false), 760);
  assertEquals(largest(1500, 1460, 600, false), 600);
  assertEquals(largest(1500, 1000, 0, true), 988);
});

Deno.test("[MUST-67] the MSS that is told is the MTU of the route less 40", () => {
  for (const mtu of [576, 1280, 1500, 4352, 9000]) {
    using t = new RawPeer({ mtu });
    const told = (): number => {
      const fd = t.host.sys.socket(2, 1, 0);
      t.host.sys.connect(fd, 0x0a000002, t.sport);
      const [syn] = t.take();
      t.send({ seq: 0, ack: 1, flags: "RA" });
      t.host.sys.close(fd);
      return parseInt(syn.options.slice(4, 8), 16);
    };
    assertEquals(told(), mtu - 40);
    // As in Linux also what is known of the path counts, though it is about the other direction.
    t.host.net.get(FIB).updatePmtu(0x0a000002, 560);
    assertEquals(told(), 520);
  }
});
