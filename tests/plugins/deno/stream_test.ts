/** The streams of the Deno face over the stack: 100 MB each way at once, BYOB, and what is held meanwhile. */
import { assert, assertEquals } from "@std/assert";
import { createLab, type Lab } from "../../../plugins/lab/mod.ts";
import { TCP } from "../../../plugins/transport/tcp/mod.ts";
import type { TcpConn } from "../../../plugins/socket/deno/mod.ts";

const TOTAL = 100_000_000;
const PIECE = 62_500;
const FAST = { offloads: { txCsum: true, rxCsum: true, gso: true, gro: true } };

/** Numbered pieces, made when they are asked for. */
function source(sent: (bytes: number) => void): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(PIECE).fill(at / PIECE));
      sent(at += PIECE);
      if (at === TOTAL) controller.close();
    },
  }, { highWaterMark: 0 });
}

/** Reads all with one buffer of the reader's own; bytes, and pieces that are not the right one. */
async function drain(conn: TcpConn, got: (bytes: number) => void): Promise<[number, number]> {
  const reader = conn.readable.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(65536);
  let n = 0;
  let wrong = 0;
  while (n < TOTAL) {
    const { value, done } = await reader.read(new Uint8Array(buffer));
    if (done) break;
    if (value[0] !== (Math.floor(n / PIECE) & 255)) wrong++;
    got(n += value.length);
    buffer = value.buffer;
  }
  reader.releaseLock();
  return [n, wrong];
}

async function connected(lab: Lab): Promise<[TcpConn, TcpConn, Disposable]> {
  lab.link("a", "b", {}, [FAST, FAST]);
  const listener = lab.host("b").listen({ port: 80 });
  const client = await lab.host("a").connect({ hostname: "10.0.0.2", port: 80 });
  return [client, await listener.accept(), listener];
}

Deno.test("100 MB each way at once by streams and BYOB readers; what is held is bounded by the socket buffers", async () => {
  using lab = createLab({ seed: 1, slabBytes: 64 << 20 });
  const [client, server, listener] = await connected(lab);
  const nets = [lab.host("a").net, lab.host("b").net];
  const at = { up: 0, down: 0 };
  const most = { ahead: 0, memory: 0, skbs: 0 };
  const sent = (way: keyof typeof at) => (bytes: number): void => {
    most.ahead = Math.max(most.ahead, bytes - at[way]);
    most.memory = Math.max(most.memory, nets.reduce((n, net) => n + net.get(TCP).counts().memory, 0));
    most.skbs = Math.max(most.skbs, lab.machine.skbs.live);
  };
  const pipe = (conn: TcpConn, way: keyof typeof at): Promise<void> =>
    source(sent(way)).pipeTo(conn.writable, { preventClose: true });
  const [up, down] = await Promise.all([
    drain(server, (n) => at.up = n),
    drain(client, (n) => at.down = n),
    pipe(client, "up"),
    pipe(server, "down"),
  ]);
  assertEquals([up, down], [[TOTAL, 0], [TOTAL, 0]]);
  // tcp_wmem and tcp_rmem allow 4 and 6 MB for each way.
  assert(most.ahead < 12e6 && most.memory < 40e6 && most.skbs < 20_000, JSON.stringify(most));
  for (const each of [client, server]) each.close();
  listener[Symbol.dispose]();
  lab.runUntilIdle();
  assertEquals(lab.machine.skbs.live, 0);
});
