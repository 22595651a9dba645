/** Segments by the hundred thousand: one packet is built once, then only numbers and checksums change. */
import type { NetDevice } from "../../core/mod.ts";
import { SkbRing } from "../../plugins/transport/tcp/skb_ring.ts";
import { SkbTiers } from "../../plugins/transport/tcp/skb_tiers.ts";
import { type BytesLike, ipv4, tcp, type TcpFields } from "./frames/build.ts";

const SEQ = 24, ACK = 28, CHECKSUM = 36, TCP_AT = 20;

/** Sends one kind of segment to a device of IP packets, as fast as can be. */
export class Blast {
  readonly #packet: Uint8Array;
  readonly #view: DataView;
  readonly #dev: NetDevice;
  /** Sum of all but the numbers. */
  readonly #sum: number;

  /** From `src` to `dst`; sequence and acknowledgement number are told by {@linkcode send}. */
  constructor(dev: NetDevice, hosts: { src: string; dst: string }, fields: TcpFields, payload: BytesLike) {
    this.#dev = dev;
    const segment = tcp({ ...fields, seq: 0, ack: 0, checksum: 0 }, payload);
    this.#packet = ipv4({ ...hosts, ttl: 64, df: true }, segment);
    this.#view = new DataView(this.#packet.buffer, this.#packet.byteOffset, this.#packet.length);
    this.#view.setUint16(CHECKSUM, 0);
    let sum = 6 + this.#packet.length - TCP_AT;
    // The addresses of the pseudo header stand right before.
    for (let at = 12; at < this.#packet.length; at += 2) {
      sum += at + 1 < this.#packet.length ? this.#view.getUint16(at) : this.#packet[at] << 8;
    }
    this.#sum = sum;
  }

  /** One segment with these numbers, absolute. */
  send(seq: number, ack: number): void {
    const view = this.#view;
    view.setInt32(SEQ, seq | 0);
    view.setInt32(ACK, ack | 0);
    let sum = this.#sum + (seq >>> 16) + (seq & 0xffff) + (ack >>> 16) + (ack & 0xffff);
    while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
    view.setUint16(CHECKSUM, ~sum & 0xffff);
    this.#dev.receive(this.#packet);
  }
}

/** How often `body` looks at a segment in a queue that is sorted: those in flight, and those that came out of order. */
export function looks(body: () => void): number {
  const kept = [SkbRing.prototype, SkbTiers.prototype].map((proto) => ({ proto, at: proto.at }));
  let n = 0;
  for (const { proto, at } of kept) {
    proto.at = function (i: number) {
      n++;
      return at.call(this as never, i);
    };
  }
  try {
    body();
  } finally {
    for (const { proto, at } of kept) proto.at = at;
  }
  return n;
}
