/**
 * The server side of iperf3's protocol for TCP, on the Deno-like face: one test at a time, either direction. The control
 * connection carries state bytes and JSON behind a length of four bytes; each connection opens with a cookie of 37 bytes.
 *
 * @module
 */

import type { TcpConn, TcpListener } from "../../plugins/socket/deno/mod.ts";

const COOKIE = 37;
const TEST_START = 1;
const TEST_RUNNING = 2;
const TEST_END = 4;
const PARAM_EXCHANGE = 9;
const CREATE_STREAMS = 10;
const EXCHANGE_RESULTS = 13;
const DISPLAY_RESULTS = 14;
const IPERF_DONE = 16;
const CHUNK = 131_072;

interface Params {
  parallel?: number;
  reverse?: boolean;
  len?: number;
}

async function readAll(conn: TcpConn, length: number): Promise<Uint8Array> {
  const out = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = await conn.read(out.subarray(at));
    if (n === null) throw new Error(`the peer closed ${length - at} bytes early`);
    at += n;
  }
  return out;
}

async function writeAll(conn: TcpConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function readJson(conn: TcpConn): Promise<unknown> {
  const head = await readAll(conn, 4);
  const body = await readAll(conn, new DataView(head.buffer).getUint32(0));
  return JSON.parse(new TextDecoder().decode(body));
}

async function writeJson(conn: TcpConn, value: unknown): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const out = new Uint8Array(4 + body.length);
  new DataView(out.buffer).setUint32(0, body.length);
  out.set(body, 4);
  await writeAll(conn, out);
}

async function state(conn: TcpConn, value: number): Promise<void> {
  await writeAll(conn, Uint8Array.of(value));
}

/** Moves bytes on one stream until told to stop, or the peer closes; counts them. */
async function stream(conn: TcpConn, send: boolean, count: { bytes: number; running: boolean }): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  try {
    while (count.running || !send) {
      const n = send ? await conn.write(buffer) : await conn.read(buffer);
      if (n === null) break;
      count.bytes += n;
    }
  } catch {
    // The client closes its streams as it likes when the time is over.
  }
  // At once: after its TEST_END the client drains one stream after the other, a whole block each, or up to the end.
  if (send) conn.close();
}

/** Serves one test. Returns the bytes moved. */
export async function iperf3Once(listener: TcpListener): Promise<number> {
  const control = await listener.accept();
  await readAll(control, COOKIE);
  await state(control, PARAM_EXCHANGE);
  const params = await readJson(control) as Params;
  await state(control, CREATE_STREAMS);
  const conns: TcpConn[] = [];
  for (let i = 0; i < (params.parallel ?? 1); i++) {
    const conn = await listener.accept();
    await readAll(conn, COOKIE);
    conns.push(conn);
  }
  await state(control, TEST_START);
  await state(control, TEST_RUNNING);
  const start = performance.now();
  const counts = conns.map(() => ({ bytes: 0, running: true }));
  const streams = conns.map((conn, i) => stream(conn, params.reverse ?? false, counts[i]));
  const [end] = await readAll(control, 1);
  if (end !== TEST_END) throw new Error(`the client said ${end}, not TEST_END`);
  for (const count of counts) count.running = false;
  const seconds = (performance.now() - start) / 1000;
  if (params.reverse) await Promise.all(streams);
  await state(control, EXCHANGE_RESULTS);
  await readJson(control);
  const results = counts.map(({ bytes }, i) => ({
    id: i === 0 ? 1 : i + 2,
    bytes,
    retransmits: -1,
    jitter: 0,
    errors: 0,
    packets: 0,
    start_time: 0,
    end_time: seconds,
  }));
  const cpu = { cpu_util_total: 0, cpu_util_user: 0, cpu_util_system: 0 };
  await writeJson(control, { ...cpu, sender_has_retransmits: 0, streams: results });
  await state(control, DISPLAY_RESULTS);
  const [done] = await readAll(control, 1);
  if (done !== IPERF_DONE) throw new Error(`the client said ${done}, not IPERF_DONE`);
  if (!params.reverse) {
    // What the client sent is read to the end.
    await Promise.all(streams);
    for (const conn of conns) conn.close();
  }
  control.close();
  return counts.reduce((sum, { bytes }) => sum + bytes, 0);
}
