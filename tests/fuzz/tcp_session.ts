/**
 * Two nets, a hostile wire, and two applications that read, write, half-close, close and abort at random.
 *
 *     deno run -A tests/fuzz/tcp_session.ts [--seed N] [--seeds N]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { assertEquals } from "@std/assert";
import type { WireOptions } from "../../plugins/device/nic/mod.ts";
import { Random } from "../support/frames/random.ts";
import { twoHosts } from "../support/hosts.ts";
import { assertNothingLeft, tcpConnection, type TcpEnd } from "../support/tcp.ts";

const MS = 1e6;

/** What became of a session. */
export interface SessionEnd {
  /** Both sides closed their halves after all was sent, and nobody gave up. */
  orderly: boolean;
  /** Bytes delivered, both ways. */
  bytes: number;
}

function wireOf(random: Random): WireOptions {
  return {
    delayNs: random.pick([100_000, 1 * MS, 20 * MS]),
    loss: random.pick([0, 0.01, 0.05]),
    reorder: random.pick([0, 0.05, 0.2]),
    duplicate: random.pick([0, 0.01, 0.1]),
    corrupt: random.pick([0, 0.005, 0.02]),
    ...(random.chance(0.3) ? { rateBps: random.pick([1_000_000, 10_000_000]), limit: random.pick([20, 1000]) } : {}),
  };
}

/** One act of one application. True: it aborted. */
function act(end: TcpEnd, random: Random): boolean {
  const size = random.pick([1, 10, 1000, 1460, 20_000, 200_000]);
  switch (random.weighted([[8, "write"], [8, "read"], [1, "shutdown"], [0.15, "close"], [0.15, "abort"]])) {
    case "write":
      if (!end.closed) end.write(end.sent + size, random.pick([1, 100, 65536]) * 1 + 1000);
      break;
    case "read":
      end.read(size);
      break;
    case "shutdown":
      if (!end.finished && random.chance(0.3)) end.shutdown();
      break;
    case "close": {
      const early = !end.closed && !end.eof;
      end.close();
      return early;
    }
    case "abort":
      if (end.closed) break;
      end.abort();
      return true;
  }
  return false;
}

/** What arrived is a prefix of what was sent: the ends check each byte, this checks the length. */
function assertPrefix(from: TcpEnd, to: TcpEnd, seed: number): void {
  if (to.received > from.sent) throw new Error(`seed ${seed}: ${to.received} bytes came of ${from.sent}`);
}

/** One session. Throws when a byte is wrong, when an orderly close loses one, or when anything is left behind. */
export function session(seed: number): SessionEnd {
  const random = new Random(`session ${seed}`);
  using t = twoHosts({ neigh: true, seed, wire: wireOf(random) });
  const { client, server } = tcpConnection(t.machine, t.a, t.b, { address: "10.0.0.2", seed });
  let rude = false;
  const acts = random.between(20, 200);
  for (let i = 0; i < acts; i++) {
    const [one, other] = random.chance(0.5) ? [client, server] : [server, client];
    if (act(one, random)) rude = true;
    assertPrefix(one, other, seed);
    assertPrefix(other, one, seed);
    if (random.chance(0.7)) t.machine.advance(random.pick([0, 10_000, 1 * MS, 30 * MS, 300 * MS]));
  }
  // Who is still there says goodbye, and reads what is left.
  const bound = 4000;
  for (let i = 0; i < bound; i++) {
    let idle = true;
    for (const end of [client, server]) {
      if (end.closed) continue;
      if (!end.finished) end.shutdown();
      end.read();
      if (!end.eof && end.errno === 0) idle = false;
    }
    if (idle) break;
    t.machine.advance(1000 * MS);
  }
  assertPrefix(client, server, seed);
  assertPrefix(server, client, seed);
  const orderly = !rude && client.errno === 0 && server.errno === 0;
  if (!rude) assertEquals([client.errno, server.errno], [0, 0], `seed ${seed}: an error without an abort`);
  if (orderly) {
    assertEquals([server.received, client.received], [client.sent, server.sent], `seed ${seed}`);
    assertEquals([server.eof, client.eof], [true, true], `seed ${seed}`);
  }
  client.close();
  server.close();
  assertNothingLeft(t.machine, [t.a, t.b]);
  return { orderly, bytes: client.received + server.received };
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { string: ["seed", "seeds"] });
  const first = Number(args.seed ?? 1);
  const count = Number(args.seeds ?? 300);
  let orderly = 0, bytes = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      const end = session(seed);
      if (end.orderly) orderly++;
      bytes += end.bytes;
    } catch (error) {
      console.error(
        `tcp_session: seed ${seed} failed; repeat with: deno run -A tests/fuzz/tcp_session.ts --seed ${seed} --seeds 1`,
      );
      throw error;
    }
  }
  console.log(`tcp_session: ${count} sessions, ${orderly} orderly, ${bytes} bytes, nothing lost, nothing left`);
}
