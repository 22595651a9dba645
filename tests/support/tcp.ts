/** TCP between test hosts at the system-call level: ends that pump streams and check them. */
import { assertEquals } from "@std/assert";
import type { Host } from "../../mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SO_ERROR, SO_LINGER, SOCK_STREAM, SOL_SOCKET } from "../../plugins/transport/sock/mod.ts";
import { TCP, type TcpCounts } from "../../plugins/transport/tcp/mod.ts";
import type { TestMachine } from "./hosts.ts";
import { Stream } from "./stream.ts";

/** An errno that says "later". */
export const EAGAIN = 11;
/** A connect() that is under way. */
export const EINPROGRESS = 115;
const SHUT_WR = 1;

/** One end of a connection. It writes what it is told to, and checks what it reads. */
export class TcpEnd {
  readonly host: Host;
  readonly fd: number;
  /** Bytes that send() took. */
  sent = 0;
  /** Bytes that came, all of them right. */
  received = 0;
  /** The peer's half is closed. */
  eof = false;
  /** The first errno of a read or write that was no EAGAIN. */
  errno = 0;
  /** Our half is closed, or all. */
  finished = false;
  closed = false;
  readonly #out: Stream;
  readonly #in: Stream;
  readonly #msg = msgHdr(new Uint8Array(1 << 16));

  constructor(host: Host, fd: number, out: Stream, into: Stream) {
    this.host = host;
    this.fd = fd;
    this.#out = out;
    this.#in = into;
  }

  /** Writes until `total` bytes are sent, or the buffer is full. */
  write(total: number, chunk = 1 << 16): void {
    const { sys } = this.host;
    const msg = { ...msgHdr() };
    while (this.sent < total && this.errno === 0 && !this.finished) {
      const bytes = this.#out.at(this.sent, Math.min(chunk, total - this.sent));
      msg.buf = bytes;
      msg.len = bytes.length;
      const n = sys.sendmsg(this.fd, msg, 0);
      if (n === -EAGAIN) return;
      if (n < 0) {
        this.errno = -n;
        return;
      }
      this.sent += n;
      if (n < bytes.length) return;
    }
  }

  /** Reads up to `most` bytes, and checks them. */
  read(most = Infinity): void {
    const { sys } = this.host;
    const msg = this.#msg;
    while (most > 0 && !this.eof && this.errno === 0 && !this.closed) {
      msg.len = Math.min(msg.buf.length, most);
      const n = sys.recvmsg(this.fd, msg, 0);
      if (n === -EAGAIN) return;
      if (n < 0) {
        this.errno = -n;
        return;
      }
      if (n === 0) {
        this.eof = true;
        return;
      }
      if (!this.#in.holds(msg.buf, n, this.received)) {
        throw new Error(`${this.host.net.name}: wrong bytes among the ${n} from ${this.received} on`);
      }
      this.received += n;
      most -= n;
    }
  }

  /** Writes `total` bytes, then closes its half; reads all that comes. Runs by itself as the machine's time passes. */
  run(total: number): void {
    let [busy, again] = [false, false];
    const go = (): void => {
      // A call wakes readers when it ends: also this one, in the middle of a read or a write.
      again = true;
      if (busy) return;
      busy = true;
      while (again && !this.closed) {
        again = false;
        this.read();
        this.write(total);
        if (this.sent === total && !this.finished) this.shutdown();
      }
      busy = false;
    };
    this.host.sys.onReady(this.fd, go);
    go();
  }

  shutdown(): number {
    this.finished = true;
    return this.host.sys.shutdown(this.fd, SHUT_WR);
  }

  close(): void {
    if (this.closed) return;
    this.closed = this.finished = true;
    assertEquals(this.host.sys.close(this.fd), 0);
  }

  /** A RST, and no more. */
  abort(): void {
    if (this.closed) return;
    assertEquals(this.host.sys.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, 1, 0), 0);
    this.close();
  }

  error(): number {
    return this.host.sys.getsockopt(this.fd, SOL_SOCKET, SO_ERROR);
  }
}

/** A listener. */
export function tcpListen(host: Host, port: number, backlog = 128): number {
  const fd = host.sys.socket(AF_INET, SOCK_STREAM, 0);
  assertEquals(host.sys.bind(fd, 0, port), 0);
  assertEquals(host.sys.listen(fd, backlog), 0);
  return fd;
}

/** A socket on its way to `address`. */
export function tcpConnect(host: Host, address: string, port: number): number {
  const fd = host.sys.socket(AF_INET, SOCK_STREAM, 0);
  const result = host.sys.connect(fd, needIp(address, "connect"), port);
  if (result !== 0) assertEquals(result, -EINPROGRESS);
  return fd;
}

/** A connection: both ends, from `client` to `server` (at `address`). */
export function tcpConnection(
  machine: TestMachine,
  client: Host,
  server: Host,
  options: { address: string; port?: number; seed?: number },
): { client: TcpEnd; server: TcpEnd } {
  const { address, port = 80, seed = 1 } = options;
  const [up, down] = [new Stream(seed * 2), new Stream(seed * 2 + 1)];
  const listener = tcpListen(server, port);
  const a = tcpConnect(client, address, port);
  let b = -EAGAIN;
  // A hostile wire may lose the handshake for a while.
  for (let i = 0; i < 600 && b === -EAGAIN; i++) {
    b = server.sys.accept(listener);
    if (b === -EAGAIN) machine.advance(100e6);
  }
  if (b < 0) throw new Error(`Cannot accept: errno ${-b}`);
  assertEquals(server.sys.close(listener), 0);
  return { client: new TcpEnd(client, a, up, down), server: new TcpEnd(server, b, down, up) };
}

const NOTHING: TcpCounts = {
  established: 0,
  timeWait: 0,
  orphans: 0,
  requests: 0,
  listeners: 0,
  bound: 0,
  memory: 0,
};

/** When TIME-WAIT is over, nothing is left: no socket, no timer of TCP's, no packet, no byte charged. */
export function assertNothingLeft(machine: TestMachine, hosts: readonly Host[]): void {
  machine.runUntilIdle(1200e9);
  for (const { net } of hosts) assertEquals({ net: net.name, ...net.get(TCP).counts() }, { net: net.name, ...NOTHING });
  assertEquals({ timers: machine.timers.armed, hrtimers: machine.hrtimers.armed }, { timers: 0, hrtimers: 0 });
}
