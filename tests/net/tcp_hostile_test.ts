/**
 * TCP over a wire that loses, reorders, duplicates and corrupts. Some seeds of 10 MB here; a hundred, and more sessions, with
 * `deno test -A tests/net/tcp_hostile_test.ts -- --full`.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { PcapBuffer, pcapTap } from "../../plugins/device/pcap/mod.ts";
import type { WireOptions } from "../../plugins/device/nic/mod.ts";
import { session } from "../fuzz/tcp_session.ts";
import { twoHosts } from "../support/hosts.ts";
import { assertNothingLeft, tcpConnection } from "../support/tcp.ts";

const FULL = Deno.args.includes("--full");
const MS = 1e6;
const MB = 1_000_000;

/** 1 % loss, 5 % reordering, 1 % duplicates, 0.5 % corruption. */
const HOSTILE: WireOptions = {
  delayNs: 2 * MS,
  jitterNs: 200_000,
  loss: 0.01,
  reorder: 0.05,
  duplicate: 0.01,
  corrupt: 0.005,
};

interface Moved {
  /** Retransmissions and drops, to see that the wire was hostile. */
  checksums: number;
  lost: number;
  seconds: number;
}

/** Moves `bytes` from a to b (and a tenth of it back), both checked to the byte; nothing is left afterwards. */
function move(seed: number, bytes: number, capture?: PcapBuffer): Moved {
  using t = twoHosts({ neigh: true, seed, wire: HOSTILE, machine: { slabBytes: 64 << 20 } });
  const tap = capture && pcapTap(t.b.link.get("eth0"), capture);
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2", seed });
  const start = t.machine.now;
  const back = Math.floor(bytes / 10);
  client.run(bytes);
  server.run(back);
  for (let i = 0; i < 600 && !(client.eof && server.eof); i++) t.machine.runUntilIdle(1e9);
  const seconds = (t.machine.now - start) / 1e9;
  assertEquals([server.received, client.received, client.errno, server.errno], [bytes, back, 0, 0], `seed ${seed}`);
  assertEquals([server.eof, client.eof], [true, true], `seed ${seed}`);
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
  tap?.[Symbol.dispose]();
  const checksums = t.b.net.dropped("TCP_CSUM") + t.a.net.dropped("TCP_CSUM") + t.b.net.dropped("IP_CSUM");
  return { checksums, lost: t.wire.counters![0].lost, seconds };
}

const SEEDS = FULL ? 100 : 5;

Deno.test(`10 MB arrive intact over a hostile wire (${SEEDS} seeds)`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { checksums, lost, seconds } = move(seed, 10 * MB);
    assert(checksums > 5 && lost > 30, `seed ${seed}: ${checksums} bad checksums, ${lost} lost`);
    assert(seconds < 300, `seed ${seed} took ${seconds} s`);
  }
});

Deno.test("the same seed gives byte-identical captures twice, another seed others", () => {
  const capture = (seed: number): Uint8Array => {
    const file = new PcapBuffer();
    move(seed, 1 * MB, file);
    return file.bytes();
  };
  const [first, second, other] = [capture(11), capture(11), capture(12)];
  assertEquals(first.length, second.length);
  assert(first.every((byte, i) => byte === second[i]));
  assert(first.length > 1 * MB);
  assertNotEquals(first.length, other.length);
});

const SESSIONS = FULL ? 1000 : 300;

Deno.test(`random reads, writes, half-closes and aborts: a prefix arrives, and all after an orderly close (${SESSIONS} seeds)`, () => {
  const seen = { orderly: 0, aborted: 0, bytes: 0 };
  for (let seed = 1; seed <= SESSIONS; seed++) {
    const { orderly, bytes } = session(seed);
    if (orderly) seen.orderly++;
    else seen.aborted++;
    seen.bytes += bytes;
  }
  // Neither kind of end may be missing from the sample.
  assert(seen.orderly >= SESSIONS / 5 && seen.aborted >= SESSIONS / 10, JSON.stringify(seen));
  assert(seen.bytes > SESSIONS * 1000, JSON.stringify(seen));
});
