/** The tables of connections, listeners and ports against a list that is searched from its start. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { virtualPlatform } from "../../../core/mod.ts";
import { createHost } from "../../../mod.ts";
import { AF_INET, SOCK_STREAM } from "../../../plugins/transport/sock/mod.ts";
import { isTimewait, type TcpEntry, TcpTables } from "../../../plugins/transport/tcp/table.ts";
import { tcpSk, type TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import { TcpTimewaitSock } from "../../../plugins/transport/tcp/timewait.ts";
import { TestMachine } from "../../support/hosts.ts";

interface Tuple {
  saddr: number;
  sport: number;
  daddr: number;
  dport: number;
  dev: number;
  reuseport: boolean;
}

/** TCP sockets of a host, in no table of the host's. */
class Sockets implements Disposable {
  readonly machine = new TestMachine();
  readonly list: TcpSock[];

  constructor(n: number) {
    const { sys } = createHost({ machine: this.machine });
    this.list = Array.from({ length: n }, () => tcpSk(sys.sock(sys.socket(AF_INET, SOCK_STREAM, 0))!));
  }

  [Symbol.dispose](): void {
    // The host does not know of the test's tables.
    for (const tp of this.list) tp.ehash = tp.bind = null;
    this.machine[Symbol.dispose]();
  }
}

function place(tp: TcpSock, t: Tuple): void {
  Object.assign(tp.sk, { saddr: t.saddr, sport: t.sport, daddr: t.daddr, dport: t.dport });
  tp.sk.boundDevIf = t.dev;
  tp.sk.reuseport = t.reuseport;
}

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const tuple: fc.Arbitrary<Tuple> = fc.record({
  saddr: small(2),
  sport: small(2),
  daddr: small(2),
  dport: small(2),
  dev: small(2),
  reuseport: fc.boolean(),
});

Deno.test("a look-up finds what a search of all entries finds, whatever came and went", () => {
  using made = new Sockets(24);
  const socks = made.list;
  const step = fc.record({ at: small(23), kind: fc.constantFrom("hash", "listen", "unhash"), tuple });
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { maxLength: 120 }), fc.array(tuple), (seed, steps, probes) => {
      const tables = new TcpTables(virtualPlatform(seed));
      // Newest first.
      const established: TcpSock[] = [];
      const listening: TcpSock[] = [];
      const drop = (list: TcpSock[], tp: TcpSock): void => {
        if (list.includes(tp)) list.splice(list.indexOf(tp), 1);
      };
      for (const s of steps) {
        const tp = socks[s.at];
        tables.unhash(tp);
        drop(established, tp);
        drop(listening, tp);
        assertEquals(tp.ehash, null);
        if (s.kind === "unhash") continue;
        place(tp, s.tuple);
        if (s.kind === "hash") {
          tables.hash(tp);
          established.unshift(tp);
        } else {
          tables.listen(tp);
          listening.unshift(tp);
        }
      }
      assertEquals([tables.connections, tables.listeners], [established.length, listening.length]);
      for (const p of [...probes, ...steps.map((s) => s.tuple)]) {
        // A segment is from their end to ours.
        const found = tables.lookup(p.daddr, p.dport, p.saddr, p.sport, p.dev);
        const mine = established.filter(({ sk }) =>
          sk.saddr === p.saddr && sk.sport === p.sport && sk.daddr === p.daddr && sk.dport === p.dport &&
          (sk.boundDevIf === 0 || sk.boundDevIf === p.dev)
        );
        if (mine.length > 0) assert(found === mine[0]);
        else assertListener(listening, p, found);
        assert(tables.lookupEstablished(p.daddr, p.dport, p.saddr, p.sport, p.dev) === (mine[0] ?? null));
      }
      for (const tp of socks) tables.unhash(tp);
      assertEquals([tables.connections, tables.listeners, tables.specificListeners], [0, 0, 0]);
      assertEquals([tables.established.used, tables.listening.used], [0, 0]);
    }),
    { numRuns: 300 },
  );
});

/** The best listener, or one of its group. */
function assertListener(listening: readonly TcpSock[], p: Tuple, found: TcpEntry | null): void {
  const fits = listening.filter(({ sk }) => sk.sport === p.sport && (sk.boundDevIf === 0 || sk.boundDevIf === p.dev));
  const exact = fits.filter(({ sk }) => sk.saddr === p.saddr && p.saddr !== 0);
  const set = exact.length > 0 ? exact : fits.filter(({ sk }) => sk.saddr === 0);
  // As Linux walks: the newest first, a device beats none, and a group ends the search.
  let best: TcpSock | null = null;
  for (const tp of set) {
    const { sk } = tp;
    if (best !== null && (best.sk.boundDevIf !== 0 || sk.boundDevIf === 0)) continue;
    best = tp;
    if (!sk.reuseport) continue;
    const group = set.filter((o) => o.sk.reuseport && o.sk.boundDevIf === sk.boundDevIf);
    return assert(group.includes(found as TcpSock));
  }
  assert(found === best);
}

Deno.test("owners of a port: what all of them set, until the last that bound it has gone", () => {
  using made = new Sockets(3);
  const [a, b, c] = made.list;
  const tables = a.st.tables;
  tables.bindPort(a, 80);
  tables.setFast(80, 1, 0);
  tables.bindPort(b, 80);
  assertEquals([tables.fastreuse(80), tables.fastreuseport(80), tables.owners], [1, 0, 2]);
  tables.setFast(80, 0, 1);
  assertEquals([tables.fastreuse(80), tables.fastreuseport(80)], [0, 1]);
  assertEquals([tables.fastreuse(81), tables.fastreuseport(81)], [-1, -1]);
  // connect() chose it: it counts as an owner, not as one that bound it.
  c.sk.userlocks = 16;
  tables.bindPort(c, 80);
  assertEquals([...owners(tables, 80)], [a, b, c]);
  tables.putPort(a);
  tables.putPort(b);
  assertEquals([tables.fastreuse(80), tables.fastreuseport(80), tables.owners], [-1, -1, 1]);
  tables.putPort(c);
  tables.putPort(c);
  assertEquals([tables.owners, tables.portOwners(80)], [0, null]);
});

function* owners(tables: TcpTables, port: number): Generator<TcpEntry> {
  for (let n = tables.portOwners(port); n !== null; n = n.next) yield n.up;
}

Deno.test("SO_REUSEPORT: flows are spread over the group, and one flow stays with one member", () => {
  using made = new Sockets(4);
  const socks = made.list;
  const tables = new TcpTables(virtualPlatform(1));
  for (const tp of socks) {
    place(tp, { saddr: 0, sport: 80, daddr: 0, dport: 0, dev: 0, reuseport: true });
    tables.listen(tp);
  }
  const hits = new Map<TcpEntry | null, number>();
  for (let i = 0; i < 4000; i++) {
    const found = tables.lookup(i, 1000 + i, 7, 80, 1);
    assert(found === tables.lookup(i, 1000 + i, 7, 80, 1));
    hits.set(found, (hits.get(found) ?? 0) + 1);
  }
  assertEquals(hits.size, 4);
  for (const n of hits.values()) assert(n > 800 && n < 1200, `${n}`);
  tables.unhash(socks[0]);
  for (let i = 0; i < 100; i++) assert(tables.lookup(i, 1000 + i, 7, 80, 1) !== socks[0]);
});

Deno.test("a TIME-WAIT record among the entries is told apart", () => {
  using made = new Sockets(1);
  const [tp] = made.list;
  const tables = new TcpTables(virtualPlatform(1));
  const tw = new TcpTimewaitSock();
  tables.established.add(tw.ehash, 1, 2, (80 << 16) | 5, true);
  place(tp, { saddr: 1, sport: 80, daddr: 2, dport: 5, dev: 0, reuseport: false });
  const user = tables.tupleUser(tp, 80);
  assert(user === tw && isTimewait(user) && !isTimewait(tp));
  assertEquals(tables.tupleUser(tp, 81), null);
  assert(tables.lookup(2, 5, 1, 80, 3) === tw);
});

/** Slots that a look-up of each key visits in a table of `n` keys: 1 is the least. */
function visits(n: number, key: (i: number) => [number, number, number], seed: number): number {
  const hash = new TcpTables(virtualPlatform(seed)).established;
  // What SockHash does, with the visits counted.
  let slots = 16;
  while (3 * (n + 1) > 2 * (slots - 1)) slots *= 2;
  const taken = new Uint8Array(slots);
  let visited = 0;
  for (let i = 0; i < n; i++) {
    let at = hash.hash(...key(i)) & (slots - 1);
    visited++;
    while (taken[at] === 1) at = (at + 1) & (slots - 1), visited++;
    taken[at] = 1;
  }
  return visited / n;
}

Deno.test("[A51] 100,000 tuples that a peer chooses: a look-up visits as many slots as with random ones", () => {
  const choices: Record<string, (i: number) => [number, number, number]> = {
    "ports that differ in the high bits": (i) => [1, 2, i << 15],
    "all ports of two addresses": (i) => [1, i & 1, i >> 1],
    "addresses that differ by the table's size": (i) => [1, i << 17 | i >> 15, 80],
    "addresses and ports that cancel each other": (i) => [1, i, (80 << 16) | (i ^ 0x5555)],
  };
  for (const [what, key] of Object.entries(choices)) {
    const mean = visits(100_000, key, 1);
    assert(mean < 2, `${what}: ${mean} slots`);
  }
});
