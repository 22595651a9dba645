// An application for scale_test.ts: accepts connections and reads them to their end, and sends `bytes` over one connection
// to each of `to`, `atOnce` at a time; `start` milliseconds after the lab. What was read is checked byte by byte.
import type { Host } from "../../../mod.ts";

/** What the test gives. */
export interface FlowOptions {
  /** Port of the listener. */
  port: number;
  /** Where to. */
  to: string[];
  /** Bytes of each flow. */
  bytes: number;
  /** Flows at once. */
  atOnce: number;
  /** Milliseconds. */
  start: number;
}

/** What all hosts of the running lab did, for the test. */
export const flows: { sent: number; received: number; wrong: number; onSent: ((sent: number) => void) | null } = {
  sent: 0,
  received: 0,
  wrong: 0,
  onSent: null,
};

const CHUNK = Uint8Array.from({ length: 16384 }, (_, i) => i % 251);

export default async (
  host: Host,
  { options, signal }: { options: FlowOptions; signal: AbortSignal },
): Promise<void> => {
  const listener = host.listen({ port: options.port });
  signal.addEventListener("abort", () => listener.close());
  void accept(listener);
  await new Promise((done) => setTimeout(done, options.start));
  const left = [...options.to];
  const one = async (): Promise<void> => {
    for (let to = left.shift(); to !== undefined; to = left.shift()) await send(host, to, options);
  };
  await Promise.all(Array.from({ length: options.atOnce }, one));
};

async function accept(listener: ReturnType<Host["listen"]>): Promise<void> {
  for await (const conn of listener) void read(conn);
}

async function read(conn: Awaited<ReturnType<Host["connect"]>>): Promise<void> {
  using _end = conn;
  const buf = new Uint8Array(8192);
  let at = 0;
  for (let n = await conn.read(buf); n !== null; n = await conn.read(buf)) {
    for (let i = 0; i < n; i += 97) if (buf[i] !== ((at + i) % CHUNK.length) % 251) flows.wrong++;
    at += n;
  }
  flows.received += at;
}

async function send(host: Host, to: string, { port, bytes }: FlowOptions): Promise<void> {
  using conn = await host.connect({ hostname: to, port });
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    await conn.write(CHUNK.subarray(0, Math.min(left, CHUNK.length)));
  }
  await conn.closeWrite();
  // The peer's FIN says that it has read all.
  await conn.read(new Uint8Array(1));
  flows.onSent?.(++flows.sent);
}
