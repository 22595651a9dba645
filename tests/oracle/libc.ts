/**
 * The few libc calls that the oracle's kernel half needs, through FFI: a TAP and plain UDP sockets, all non-blocking.
 *
 * @module
 */

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  recvfrom: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
});

const c = libc.symbols;

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_RCVBUF = 8;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;

function errno(): number {
  const at = c.__errno_location();
  return at === null ? 0 : new Deno.UnsafePointerView(at).getInt32();
}

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`Cannot ${what}: errno ${errno()}`);
  return result;
}

function sockaddr(address: string, port: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(16);
  new DataView(out.buffer).setUint16(0, AF_INET, true);
  new DataView(out.buffer).setUint16(2, port);
  out.set(address.split(".").map(Number), 4);
  return out;
}

const scratch = new Uint8Array(1 << 17);

/** A TAP device, one frame per call. */
export class Tap {
  readonly fd: number;

  constructor(name: string) {
    this.fd = must(c.open(new TextEncoder().encode("/dev/net/tun\0"), O_RDWR | O_NONBLOCK), "open /dev/net/tun");
    const request = new Uint8Array(40);
    request.set(new TextEncoder().encode(name));
    new DataView(request.buffer).setUint16(16, IFF_TAP | IFF_NO_PI, true);
    must(c.ioctl(this.fd, BigInt(TUNSETIFF), request), `make the TAP ${name}`);
  }

  /** Hands a frame to the kernel; 0, or the errno. */
  write(frame: Uint8Array): number {
    return c.write(this.fd, frame as Uint8Array<ArrayBuffer>, BigInt(frame.length)) < 0 ? errno() : 0;
  }

  /** The next frame from the kernel, or undefined. */
  read(): Uint8Array | undefined {
    const length = c.read(this.fd, scratch, BigInt(scratch.length));
    if (length >= 0) return scratch.slice(0, length);
    const code = errno();
    if (code !== EAGAIN) throw new Error(`Cannot read from the TAP: errno ${code}`);
    return undefined;
  }

  close(): void {
    c.close(this.fd);
  }
}

/** A file read without waiting: for tracefs's `trace_pipe`, whose plain read blocks. */
export class PipeFile {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = must(c.open(new TextEncoder().encode(`${path}\0`), O_NONBLOCK), `open ${path}`);
  }

  /** What is there, as text. */
  take(): string {
    let text = "";
    for (;;) {
      const length = c.read(this.#fd, scratch, BigInt(scratch.length));
      if (length <= 0) return text;
      text += new TextDecoder().decode(scratch.subarray(0, length));
    }
  }

  close(): void {
    c.close(this.#fd);
  }
}

/** A UDP socket. */
export class UdpSocket {
  readonly fd: number;
  readonly #from = new Uint8Array(16);
  readonly #length = new Uint32Array(1);
  readonly #int = new Int32Array(1);

  constructor(options: { bind: string; port: number; connect?: { address: string; port: number }; reuse?: boolean }) {
    this.fd = must(c.socket(AF_INET, SOCK_DGRAM | O_NONBLOCK, 0), "open a socket");
    this.#set(SO_RCVBUF, 1 << 20);
    if (options.reuse) this.#set(SO_REUSEADDR, 1);
    must(c.bind(this.fd, sockaddr(options.bind, options.port), 16), `bind to ${options.bind}:${options.port}`);
    const peer = options.connect;
    if (peer) {
      must(c.connect(this.fd, sockaddr(peer.address, peer.port), 16), `connect to ${peer.address}:${peer.port}`);
    }
  }

  #set(option: number, value: number): void {
    this.#int[0] = value;
    must(c.setsockopt(this.fd, SOL_SOCKET, option, new Uint8Array(this.#int.buffer), 4), `set socket option ${option}`);
  }

  /** The next datagram, or undefined. Call {@linkcode error} first: a pending error would be eaten here. */
  receive(): { from: string; port: number; bytes: Uint8Array } | undefined {
    this.#length[0] = 16;
    const length = c.recvfrom(
      this.fd,
      scratch,
      BigInt(scratch.length),
      MSG_DONTWAIT,
      this.#from,
      new Uint8Array(this.#length.buffer),
    );
    if (length < 0) return undefined;
    const port = new DataView(this.#from.buffer).getUint16(2);
    return { from: this.#from.subarray(4, 8).join("."), port, bytes: scratch.slice(0, length) };
  }

  /** Takes the pending error: errno, or 0. */
  error(): number {
    this.#length[0] = 4;
    const [int, length] = [new Uint8Array(this.#int.buffer), new Uint8Array(this.#length.buffer)];
    must(c.getsockopt(this.fd, SOL_SOCKET, SO_ERROR, int, length), "read SO_ERROR");
    return this.#int[0];
  }

  close(): void {
    c.close(this.fd);
  }
}
