/**
 * The kernel's side of the TAP rows: plain sockets of this namespace's kernel through libc, so that the peer is not the
 * bottleneck. `tap_peer.ts rr|flood|tcp_rr|tcp_send|tcp_read:ROUNDS KERNEL NETPATH`. Bounded in time.
 */
const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  sendmmsg: { parameters: ["i32", "pointer", "u32", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
});
const c = libc.symbols;

function connected(to: string, type: number): number {
  const fd = c.socket(2, type, 0);
  const address = new Uint8Array(16);
  address[0] = 2;
  address[3] = 7;
  to.split(".").forEach((part, i) => address[4 + i] = Number(part));
  if (c.connect(fd, address, 16) !== 0) throw new Error(`connect to ${to} failed`);
  // SO_RCVTIMEO of 200 ms, so that a lost datagram does not hang the row.
  c.setsockopt(fd, 1, 20, new Uint8Array(new BigInt64Array([0n, 200_000n]).buffer), 16);
  return fd;
}

function rr(fd: number, rounds: number): number[] {
  const one = new Uint8Array([1]), into = new Uint8Array(64);
  const burst = (ms: number): number => {
    let n = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      c.send(fd, one, 1, 0);
      if (c.recv(fd, into, 64, 0) === 1) n++;
    }
    return n / ((performance.now() - start) / 1000);
  };
  burst(500);
  return Array.from({ length: rounds }, () => burst(200));
}

function flood(fd: number, rounds: number): void {
  const batch = 32;
  const payload = new Uint8Array(64);
  const at = (b: BufferSource): bigint => BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(b)));
  const iov = new BigUint64Array(2).fill(0n);
  iov[0] = at(payload);
  iov[1] = 64n;
  const headers = new BigUint64Array(8 * batch);
  for (let i = 0; i < batch; i++) {
    headers[8 * i + 2] = at(iov);
    headers[8 * i + 3] = 1n;
  }
  const pointer = Deno.UnsafePointer.of(headers);
  const end = performance.now() + 1500 + rounds * 220;
  while (performance.now() < end) for (let i = 0; i < 64; i++) c.sendmmsg(fd, pointer, batch, 0);
}

/** Until the other side has measured: `call` moves some bytes. */
function move(rounds: number, call: () => number): void {
  const end = performance.now() + 2000 + rounds * 220;
  while (performance.now() < end) for (let i = 0; i < 16; i++) call();
}

const [what, , netpath] = Deno.args;
const [mode, rounds] = what.split(":");
const n = Number(rounds);
const fd = connected(netpath, mode.startsWith("tcp_") ? 1 : 2);
const bytes = new Uint8Array(1 << 18);
// TCP_NODELAY.
if (mode === "tcp_rr") c.setsockopt(fd, 6, 1, new Uint8Array([1, 0, 0, 0]), 4);
if (mode === "rr" || mode === "tcp_rr") console.log(JSON.stringify(rr(fd, n)));
else if (mode === "tcp_send") move(n, () => c.send(fd, bytes, bytes.length, 0x4000));
else if (mode === "tcp_read") move(n, () => c.recv(fd, bytes, bytes.length, 0));
else flood(fd, n);
Deno.exit(0);
