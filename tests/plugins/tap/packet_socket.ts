/** A packet socket on a kernel interface: the other end of a TAP, for tests. Source: packet(7). */

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  recvfrom: { parameters: ["i32", "buffer", "u32", "i32", "buffer", "buffer"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
}).symbols;

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_QDISC_BYPASS = 20;
const PACKET_OUTGOING = 4;

function swap(type: number): number {
  return ((type & 0xff) << 8) | (type >>> 8);
}

/** Sends and receives whole frames. */
export class PacketSocket {
  readonly #fd: number;
  readonly #type: number;
  readonly #buffer = new Uint8Array(70_000);

  constructor(device: string, options: { type?: number; vnet?: boolean } = {}) {
    this.#type = options.type ?? 3;
    this.#fd = libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK, swap(this.#type));
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, this.#type);
    view.setInt32(4, libc.if_nametoindex(new TextEncoder().encode(`${device}\0`)), true);
    if (options.vnet) this.#option(SOL_PACKET, PACKET_VNET_HDR, 1);
    if (libc.bind(this.#fd, address, 20) < 0) throw new Error(`Cannot bind a packet socket to ${device}`);
    this.#option(SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    this.#option(SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20);
    this.#option(SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20);
  }

  #option(level: number, name: number, value: number): void {
    libc.setsockopt(this.#fd, level, name, new Uint8Array(Int32Array.of(value).buffer), 4);
  }

  /** Sends a frame out of the interface: the TAP reads it. */
  send(frame: Uint8Array): void {
    libc.send(this.#fd, frame as Uint8Array<ArrayBuffer>, frame.length, 0);
  }

  /** Sends a TCP super-packet, checksum partial, segments of `size`. The socket was made with `vnet`. */
  sendTso(payload: Uint8Array, size: number, link: { dst: string; src: string }): void {
    const frame = new Uint8Array(10 + 54 + payload.length);
    const view = new DataView(frame.buffer);
    const mac = (text: string): number[] => text.split(":").map((x) => parseInt(x, 16));
    frame.set([1, 1]);
    view.setUint16(2, 54, true);
    view.setUint16(4, size, true);
    view.setUint16(6, 34, true);
    view.setUint16(8, 16, true);
    frame.set([...mac(link.dst), ...mac(link.src), 8, 0], 10);
    frame.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6], 24);
    view.setUint16(26, 40 + payload.length);
    frame.set([10, 1, 0, 1, 10, 1, 0, 2], 36);
    view.setUint16(44, 1);
    view.setUint16(46, 2);
    frame.set([0x50, 0x10, 0xff, 0xff], 56);
    frame.set(payload, 64);
    if (libc.send(this.#fd, frame, frame.length, 0) < 0) throw new Error("Cannot send a super-packet");
  }

  /** What came in since the last call; not what was sent. */
  receiveAll(): Uint8Array[] {
    const out: Uint8Array[] = [];
    const from = new Uint8Array(20);
    for (;;) {
      const length = new Uint8Array(Uint32Array.of(20).buffer);
      const n = libc.recvfrom(this.#fd, this.#buffer, this.#buffer.length, 0, from, length);
      if (n < 0) return out;
      if (from[10] !== PACKET_OUTGOING) out.push(this.#buffer.slice(0, n));
    }
  }

  close(): void {
    libc.close(this.#fd);
  }
}
