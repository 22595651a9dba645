/** The rows of TCP: in one process over a NIC, over a veth pair with super-packets, and over a TAP against the kernel. */
import { createHost, type Host, Machine } from "../../mod.ts";
import type { TapOptions } from "../../plugins/device/tap/mod.ts";
import { nic, wire } from "../../plugins/device/nic/mod.ts";
import { vethPair } from "../../plugins/device/veth/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { type MsgHdr, msgHdr } from "../../plugins/transport/sock/mod.ts";
import { perSecond, ROUND_MS, WARM_MS } from "./measure.ts";
import type { Row } from "./row.ts";
import { peer, TAP_NETPATH, tapHost } from "./tap_rows.ts";

const IP_B = needIp("10.0.0.2", "address");
const PORT = 7;
const CHUNK = 65536;
const AF_INET = 2, SOCK_STREAM = 1;
const SOL_SOCKET = 1, SO_REUSEADDR = 2, SOL_TCP = 6, TCP_NODELAY = 1;
const EAGAIN = -11, EINPROGRESS = -115;
/** A connection more every so many ns of virtual time: what waits in TIME-WAIT stays below the number of ports. */
const CRR_PACE_NS = 10e6;

interface Pair {
  machine: Machine;
  a: Host;
  b: Host;
}

/** Two hosts joined by a device pair. Over the NIC both ends compute and verify all checksums in software. */
export function pair(device: "nic" | "veth"): Pair {
  const machine = new Machine({ seed: 1, autoAdvance: false });
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  if (device === "nic") {
    const cable = wire(machine);
    nic(a.net, "eth0", { wire: cable, rxRing: 512, txRing: 512 });
    nic(b.net, "eth0", { wire: cable, rxRing: 512, txRing: 512 });
  } else vethPair(a.net, "eth0", b.net, "eth0");
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  return { machine, a, b };
}

function listener(host: Host): number {
  const fd = host.sys.socket(AF_INET, SOCK_STREAM, 0);
  host.sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  host.sys.bind(fd, 0, PORT);
  if (host.sys.listen(fd, 4096) !== 0) throw new Error("listen() failed");
  return fd;
}

/** A connection from `a` to the listener `lis` of `b`: both descriptors. */
function connection(t: Pair, lis: number): { c: number; s: number } {
  const c = t.a.sys.socket(AF_INET, SOCK_STREAM, 0);
  const rc = t.a.sys.connect(c, IP_B, PORT);
  if (rc !== 0 && rc !== EINPROGRESS) throw new Error(`connect() gave ${rc}`);
  let s = t.b.sys.accept(lis);
  // The first one waits for ARP.
  for (let i = 0; s === EAGAIN && i < 100; i++) {
    t.machine.advance(1e6);
    s = t.b.sys.accept(lis);
  }
  if (s < 0) throw new Error(`accept() gave ${s}`);
  t.a.sys.setsockopt(c, SOL_TCP, TCP_NODELAY, 1);
  t.b.sys.setsockopt(s, SOL_TCP, TCP_NODELAY, 1);
  return { c, s };
}

/** Writes until the buffer is full, reads until it is empty: bytes of one turn. */
export function bulkWork(device: "nic" | "veth"): { work: () => number; t: Pair; packets: () => number } {
  const t = pair(device);
  const { a, b, machine } = t;
  const { c, s } = connection(t, listener(b));
  const payload = new Uint8Array(CHUNK).map((_, i) => i * 7 & 0xff);
  const out = msgHdr(payload);
  const into = msgHdr(new Uint8Array(4 * CHUNK));
  let sent = 0;
  const work = (): number => {
    let got = 0;
    for (let i = 0; i < 16; i++) {
      out.len = CHUNK;
      const n = a.sys.sendmsg(c, out, 0);
      if (n > 0) sent += n;
      into.len = into.buf.length;
      const m = b.sys.recvmsg(s, into, 0);
      if (m > 0) got += m;
      // Nothing moves before a timer fires: a delayed ACK.
      if (n < 0 && m < 0) machine.advance(1e6);
    }
    return got;
  };
  work();
  return { work, t, packets: () => a.net.devices.find((d) => d.name === "eth0")!.stats.txPackets };
}

/** A byte there, a byte back, `BATCH` times. */
export function rrWork(t: Pair, c: number, s: number): () => number {
  const { a, b } = t;
  const ask: MsgHdr = msgHdr(new Uint8Array([1]));
  const answer: MsgHdr = msgHdr(new Uint8Array([2]));
  const into: MsgHdr = msgHdr(new Uint8Array(64));
  return () => {
    for (let i = 0; i < 64; i++) {
      a.sys.sendmsg(c, ask, 0);
      into.len = 64;
      if (b.sys.recvmsg(s, into, 0) !== 1) throw new Error("the request did not arrive");
      b.sys.sendmsg(s, answer, 0);
      into.len = 64;
      if (a.sys.recvmsg(c, into, 0) !== 1) throw new Error("the response did not arrive");
    }
    return 64;
  };
}

/** Connects, accepts, closes at both ends; time goes on, so that TIME-WAIT ends. */
export function crrWork(): () => number {
  const t = pair("nic");
  const lis = listener(t.b);
  const first = connection(t, lis);
  t.a.sys.close(first.c);
  t.b.sys.close(first.s);
  return () => {
    for (let i = 0; i < 16; i++) {
      const c = t.a.sys.socket(AF_INET, SOCK_STREAM, 0);
      t.a.sys.connect(c, IP_B, PORT);
      const s = t.b.sys.accept(lis);
      if (s < 0) throw new Error(`accept() gave ${s}`);
      t.a.sys.close(c);
      t.b.sys.close(s);
    }
    // Once a batch: a real clock goes by itself.
    t.machine.advance(16 * CRR_PACE_NS);
    return 16;
  };
}

/** `n` connections that are idle, and one for the work. */
export function idle(n: number): { t: Pair; c: number; s: number } {
  const t = pair("nic");
  const lis = listener(t.b);
  for (let i = 0; i < n; i++) connection(t, lis);
  return { t, ...connection(t, lis) };
}

/** ns of a packet with `n` connections beside: a round trip of a request and a response is two packets. */
function connCost(rounds: number, n: number): number[] {
  const { t, c, s } = idle(n);
  return perSecond(rounds, rrWork(t, c, s)).map((rate) => 1e9 / rate / 2);
}

/** Bytes of JavaScript heap and of packet memory of an idle connection's one end. */
function connBytes(rounds: number): number[] {
  const collect = (globalThis as unknown as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error("conn.idle.bytes needs --expose-gc");
  const samples: number[] = [];
  const n = 4096;
  for (let i = 0; i < Math.min(3, rounds); i++) {
    const t = pair("nic");
    const lis = listener(t.b);
    for (let k = 0; k < 256; k++) connection(t, lis);
    collect();
    const before = Deno.memoryUsage();
    const slots = t.machine.pages.slotsInUse();
    for (let k = 0; k < n; k++) connection(t, lis);
    collect();
    const after = Deno.memoryUsage();
    if (t.machine.pages.slotsInUse() > slots) throw new Error("an idle connection holds packet memory");
    samples.push((after.heapUsed + after.external - before.heapUsed - before.external) / (2 * n));
    t.machine[Symbol.dispose]();
  }
  return samples;
}

/** Bytes of JavaScript heap per segment of a bulk transfer at steady state. */
function allocBulk(rounds: number): number[] {
  const { work, packets } = bulkWork("nic");
  for (let i = 0; i < 600; i++) work();
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const before = Deno.memoryUsage().heapUsed;
    const first = packets();
    for (let k = 0; k < 150; k++) work();
    samples.push(Math.max(0, Deno.memoryUsage().heapUsed - before) / (packets() - first));
  }
  return samples;
}

/** Awaited reads and writes of one byte through the Deno-like face. */
async function faceRr(rounds: number): Promise<number[]> {
  const { a, b, machine } = pair("nic");
  using lis = b.listen({ port: PORT });
  const accepting = lis.accept();
  const connecting = a.connect({ hostname: "10.0.0.2", port: PORT });
  machine.advance(1e6);
  using client = await connecting;
  using server = await accepting;
  client.setNoDelay(true);
  server.setNoDelay(true);
  let running = true;
  const echo = (async () => {
    const buf = new Uint8Array(64), answer = new Uint8Array(1);
    while (running) {
      if (await server.read(buf) === null) return;
      await server.write(answer);
    }
  })();
  const ask = new Uint8Array(1), into = new Uint8Array(64);
  const burst = async (ms: number): Promise<number> => {
    let n = 0;
    const start = performance.now();
    let now = start;
    while (now - start < ms) {
      for (let i = 0; i < 64; i++) {
        await client.write(ask);
        await client.read(into);
      }
      n += 64;
      now = performance.now();
    }
    return n / ((now - start) / 1000);
  };
  await burst(WARM_MS);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await burst(ROUND_MS));
  running = false;
  await client.closeWrite();
  machine.advance(1e6);
  await echo;
  return samples;
}

// ---- over a TAP

/** Samples of bytes per second as `count` grows. */
async function rateOf(rounds: number, count: () => number): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const before = count();
    await new Promise((r) => setTimeout(r, 200));
    samples.push((count() - before) / ((performance.now() - start) / 1000));
  }
  return samples;
}

/** A listener on the TAP's host; calls `fn` with the descriptor of the first connection. */
function acceptOne(host: Host, fn: (fd: number) => void): void {
  const lis = host.sys.socket(AF_INET, SOCK_STREAM, 0);
  host.sys.bind(lis, needIp(TAP_NETPATH, "address"), PORT);
  host.sys.listen(lis, 16);
  host.sys.onReady(lis, () => {
    const fd = host.sys.accept(lis);
    if (fd < 0) return;
    host.sys.onReady(lis, null);
    host.sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, 1);
    fn(fd);
  });
}

/** Waits for the first bytes, and for the transfer to have found its speed. */
async function started(count: () => number): Promise<void> {
  for (let i = 0; count() === 0; i++) {
    if (i > 500) throw new Error("the kernel's side did not begin");
    await new Promise((r) => setTimeout(r, 20));
  }
  await new Promise((r) => setTimeout(r, 600));
}

/** The kernel sends as fast as it can; Gbit/s read by us. */
async function tapRx(rounds: number, options: TapOptions = {}): Promise<number[]> {
  await using host = await tapHost(options);
  const into = msgHdr(new Uint8Array(1 << 20));
  let got = 0;
  acceptOne(host, (fd) => {
    const read = () => {
      for (;;) {
        into.len = into.buf.length;
        const n = host.sys.recvmsg(fd, into, 0);
        if (n <= 0) return;
        got += n;
      }
    };
    host.sys.onReady(fd, read);
    read();
  });
  const done = peer(`tcp_send:${rounds}`).output();
  await started(() => got);
  const samples = (await rateOf(rounds, () => got)).map((rate) => rate * 8 / 1e9);
  await done;
  return samples;
}

/** We send as fast as the buffer takes; Gbit/s. */
async function tapTx(rounds: number, options: TapOptions = {}): Promise<number[]> {
  await using host = await tapHost(options);
  const out = msgHdr(new Uint8Array(CHUNK));
  let sent = 0;
  acceptOne(host, (fd) => {
    const write = () => {
      for (;;) {
        out.len = CHUNK;
        const n = host.sys.sendmsg(fd, out, 0);
        if (n <= 0) return;
        sent += n;
      }
    };
    host.sys.onReady(fd, write);
    write();
  });
  const done = peer(`tcp_read:${rounds}`).output();
  await started(() => sent);
  const samples = (await rateOf(rounds, () => sent)).map((rate) => rate * 8 / 1e9);
  await done;
  return samples;
}

/** The kernel asks, we echo: what the peer counts is round trips. */
async function tapRr(rounds: number): Promise<number[]> {
  await using host = await tapHost();
  const msg = msgHdr(new Uint8Array(2048));
  acceptOne(host, (fd) => {
    const echo = () => {
      for (;;) {
        msg.len = 2048;
        const n = host.sys.recvmsg(fd, msg, 0);
        if (n <= 0) return;
        msg.len = n;
        host.sys.sendmsg(fd, msg, 0);
      }
    };
    host.sys.onReady(fd, echo);
    echo();
  });
  const { stdout } = await peer(`tcp_rr:${rounds}`).output();
  return JSON.parse(new TextDecoder().decode(stdout)) as number[];
}

const bulkRow = (device: "nic" | "veth"): Row => ({
  unit: "Gbit/s",
  device,
  run: (rounds) => perSecond(rounds, bulkWork(device).work).map((rate) => rate * 8 / 1e9),
});

const rrRow = (): Row => ({
  unit: "transactions/s",
  device: "nic",
  run: (rounds) => {
    const { t, c, s } = idle(0);
    return perSecond(rounds, rrWork(t, c, s));
  },
});

const costRow = (n: number): Row => ({ unit: "ns/packet", device: "nic", run: (rounds) => connCost(rounds, n) });

/** The rows by name. */
export const tcpRows: Record<string, Row> = {
  "tcp.bulk": bulkRow("nic"),
  "tcp.gso": bulkRow("veth"),
  "tcp.rr": rrRow(),
  "tcp.bulk.inline": bulkRow("nic"),
  "tcp.rr.inline": rrRow(),
  "face.tcp.rr": { unit: "transactions/s", device: "nic", run: faceRr },
  "tcp.crr": { unit: "connections/s", device: "nic", run: (rounds) => perSecond(rounds, crrWork()) },
  "conn.idle.bytes": { unit: "bytes", device: "none", run: connBytes },
  "conn.cost.1": costRow(0),
  "conn.cost.1000": costRow(1000),
  "conn.cost.10000": costRow(10_000),
  "alloc.tcp.bulk": { unit: "bytes/packet", device: "nic", run: allocBulk },
  "tap.tcp.rx": { unit: "Gbit/s", device: "tap", run: (rounds) => tapRx(rounds), namespace: true },
  "tap.tcp.tx": { unit: "Gbit/s", device: "tap", run: (rounds) => tapTx(rounds), namespace: true },
  "tap.tcp.rx.gso": {
    unit: "Gbit/s",
    device: "tap",
    run: (rounds) => tapRx(rounds, { offloads: true }),
    namespace: true,
  },
  "tap.tcp.tx.gso": {
    unit: "Gbit/s",
    device: "tap",
    run: (rounds) => tapTx(rounds, { offloads: true }),
    namespace: true,
  },
  "tap.tcp.rr": { unit: "transactions/s", device: "tap", run: tapRr, namespace: true },
};
