/** Many connections: at once, one after another, and ended in the middle. Nothing is left of any. */
import { assert, assertEquals } from "@std/assert";
import type { Host } from "../../mod.ts";
import { TCP } from "../../plugins/transport/tcp/mod.ts";
import { Random } from "../support/frames/random.ts";
import { type TwoHosts, twoHosts } from "../support/hosts.ts";
import { Stream } from "../support/stream.ts";
import { assertNothingLeft, EAGAIN, tcpConnect, TcpEnd, tcpListen } from "../support/tcp.ts";

const MS = 1e6;
const up = new Stream(1), down = new Stream(2);

function hosts(): TwoHosts {
  const t = twoHosts({ neigh: true, wire: { delayNs: 100_000 }, machine: { slabBytes: 64 << 20 } });
  for (const host of [t.a, t.b]) {
    host.sysctl("net.core.somaxconn", 16_384);
    host.sysctl("net.ipv4.tcp_max_syn_backlog", 16_384);
    host.sysctl("net.ipv4.tcp_max_tw_buckets", 65_536);
  }
  return t;
}

/** A server that reads all and answers with `answer` bytes when the peer's half is closed. */
class Server {
  readonly host: Host;
  readonly lis: number;
  readonly ends: TcpEnd[] = [];
  readonly #answer: number;

  constructor(host: Host, answer: number) {
    this.host = host;
    this.#answer = answer;
    this.lis = tcpListen(host, 80, 16_384);
    host.sys.onReady(this.lis, () => this.#accept());
  }

  #accept(): void {
    for (let fd = this.host.sys.accept(this.lis); fd !== -EAGAIN; fd = this.host.sys.accept(this.lis)) {
      assert(fd >= 0, `accept() gave ${fd}`);
      const end = new TcpEnd(this.host, fd, down, up);
      this.ends.push(end);
      end.run(this.#answer);
    }
  }
}

/** `n` clients that each send `bytes`, null: nothing yet; a hundred begin in each millisecond, as a ring holds no more. */
function clients(t: TwoHosts, n: number, bytes: number | null): TcpEnd[] {
  return Array.from({ length: n }, (_, i) => {
    if (i % 100 === 99) t.machine.advance(1 * MS);
    const end = new TcpEnd(t.a, tcpConnect(t.a, "10.0.0.2", 80), up, down);
    if (bytes !== null) end.run(bytes);
    return end;
  });
}

function established(t: TwoHosts): number {
  return t.b.net.get(TCP).counts().established;
}

/** Lets time pass until all `ends` have seen the end of the stream. */
function settle(t: TwoHosts, ends: readonly TcpEnd[], seconds: number): void {
  for (let i = 0; i < seconds * 10 && !ends.every((end) => end.eof || end.errno !== 0); i++) {
    t.machine.advance(100 * MS);
  }
}

function assertWhole(ends: readonly TcpEnd[], sent: number, received: number): void {
  for (const end of ends) {
    if (end.sent === sent && end.received === received && end.errno === 0 && end.eof) continue;
    assertEquals([end.sent, end.received, end.errno, end.eof], [sent, received, 0, true]);
  }
}

Deno.test("10,000 connections at once open, move 3,000 bytes and 1,000 back, and close: nothing is left", () => {
  using t = hosts();
  const n = 10_000;
  const server = new Server(t.b, 1000);
  const all = clients(t, n, null);
  t.machine.advance(100 * MS);
  assertEquals([established(t), server.ends.length], [n, n]);
  for (const [i, end] of all.entries()) {
    end.run(3000);
    if (i % 100 === 99) t.machine.advance(1 * MS);
  }
  settle(t, [...all, ...server.ends], 60);
  assertWhole(all, 3000, 1000);
  assertWhole(server.ends, 1000, 3000);
  for (const end of [...all, ...server.ends]) end.close();
  t.machine.advance(100 * MS);
  // Who closed first has them in TIME-WAIT, a minute long: records of their own, no socket and no packet.
  const counts = [t.a, t.b].map(({ net }) => net.get(TCP).counts());
  assertEquals(counts.map(({ established, orphans }) => established + orphans), [0, 0]);
  assertEquals(counts[0].timeWait + counts[1].timeWait, n);
  assertEquals(t.machine.skbs.live, 0);
  t.b.sys.close(server.lis);
  assertNothingLeft(t.machine, [t.a, t.b]);
});

Deno.test("10,000 connections one after another, 100 at a time: the tables and the memory stay as small as for the first", () => {
  using t = hosts();
  const server = new Server(t.b, 10);
  // The rings are full of buffers.
  const before = t.machine.pages.slotsInUse();
  let slots = 0;
  for (let round = 0; round < 100; round++) {
    const all = clients(t, 100, 100);
    settle(t, [...all, ...server.ends], 10);
    assertWhole(all, 100, 10);
    for (const end of [...all, ...server.ends.splice(0)]) end.close();
    t.machine.advance(1 * MS);
    assertEquals([established(t), t.machine.skbs.live], [0, 0]);
    // What is kept to be used again: the page that is being filled, a head or two.
    slots = Math.max(slots, t.machine.pages.slotsInUse() - before);
    if (round % 50 === 49) t.machine.advance(61_000 * MS);
  }
  assert(slots <= 4, `${slots} slots are in use between the rounds`);
  t.b.sys.close(server.lis);
  assertNothingLeft(t.machine, [t.a, t.b]);
});

/** How a connection ends in the middle. */
const ENDS: Record<string, (end: TcpEnd) => void> = {
  abort: (end) => end.abort(),
  close: (end) => end.close(),
};

for (const [how, stop] of Object.entries(ENDS)) {
  for (const who of ["client", "server", "both"] as const) {
    Deno.test(`1,000 connections in the middle of 50,000 bytes each way end by ${how} of ${who}: nothing is left`, () => {
      using t = twoHosts({
        neigh: true,
        seed: 7,
        wire: { delayNs: 2 * MS, jitterNs: 500_000, loss: 0.01, reorder: 0.05, duplicate: 0.01, corrupt: 0.005 },
        machine: { slabBytes: 64 << 20 },
      });
      for (const host of [t.a, t.b]) host.sysctl("net.core.somaxconn", 4096);
      const random = new Random(`${how} ${who}`);
      const server = new Server(t.b, 50_000);
      const all = clients(t, 1000, 50_000);
      // In all states: some are still connecting, some are done before their turn comes.
      const order = random.shuffle([...all]);
      for (let i = 0; i < order.length; i += 100) {
        t.machine.advance(random.int(4) * MS);
        for (const end of order.slice(i, i + 100)) if (who !== "server") stop(end);
        if (who !== "client") { for (const end of server.ends) if (random.chance(0.2)) stop(end); }
      }
      t.machine.advance(300 * MS);
      for (const end of [...all, ...server.ends]) stop(end);
      t.b.sys.close(server.lis);
      assertNothingLeft(t.machine, [t.a, t.b]);
      assertEquals([t.machine.skbs.live, t.a.net.dropped("NOT_SPECIFIED")], [0, 0]);
    });
  }
}
