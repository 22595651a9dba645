/**
 * What a test lab remembers: every frame of every device, in order, and every packet that was dropped.
 */
import { type Machine, type Net, type NetDevice, type SkBuff, TP_KFREE_SKB } from "../../../core/mod.ts";
import type { Packet } from "./packet.ts";
import { packetText, type ReadOptions, readPacket } from "./read.ts";

const CHECKSUM_PARTIAL = 3;

/** A frame that a device sent or received, or a packet that was dropped. */
export class Seen {
  /** Position among all that was seen, from 0. */
  readonly index: number;
  /** ns of the machine's clock. */
  readonly time: number;
  /** Name of the net. */
  readonly net: string;
  /** Name of the device; of a dropped packet that has none, "". */
  readonly dev: string;
  /** `in`: received, `out`: sent, `drop`: dropped. */
  readonly direction: "in" | "out" | "drop";
  /** `skb.id`: the same for all that is one packet. */
  readonly id: number;
  /** Why it was dropped, "": it was not. */
  readonly reason: string;
  /** Its bytes. */
  readonly bytes: Uint8Array;
  readonly #options: ReadOptions;
  #packet: Packet | null = null;

  /** Made by the recorder. */
  constructor(init: Omit<Seen, "packet" | "toString" | "options">, options: ReadOptions) {
    this.index = init.index;
    this.time = init.time;
    this.net = init.net;
    this.dev = init.dev;
    this.direction = init.direction;
    this.id = init.id;
    this.reason = init.reason;
    this.bytes = init.bytes;
    this.#options = options;
  }

  /** What it begins with. */
  get link(): "ethernet" | "ip" | "arp" {
    return this.#options.link ?? "ethernet";
  }

  /** It, read. */
  get packet(): Packet {
    return this.#packet ??= readPacket(this.bytes, this.#options);
  }

  /** `0.010000000 b:eth0 in  UDP 10.0.0.1:4096 > 10.0.0.2:7, "hello"`. */
  toString(): string {
    const where = this.dev === "" ? this.net : `${this.net}:${this.dev}`;
    const why = this.reason === "" ? "" : ` [${this.reason}]`;
    return `${(this.time / 1e9).toFixed(9)} ${where} ${this.direction.padEnd(4)} ${packetText(this.packet)}${why}`;
  }
}

/** Copies the bytes of a packet from position `start` of its head on. Borrows `skb`. */
export function bytesOf(skb: SkBuff, start: number): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const add = (from: Uint8Array, at: number, n: number): void => {
    parts.push(from.slice(at, at + n));
    length += n;
  };
  const walk = (part: SkBuff, from: number): void => {
    add(part.bytes, from, part.tail - from);
    for (let i = 0; i < part.nrFrags; i++) add(part.frags[i].slab.bytes, part.frags[i].offset, part.frags[i].size);
    for (let next = part.fragList; next !== null; next = next.next) walk(next, next.data);
  };
  walk(skb, start);
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Where a packet begins that may be anywhere in the stack, and with what; null: no header is known yet. */
function startOf(skb: SkBuff): { start: number; link: "ethernet" | "ip" | "arp" } | null {
  const inside = (at: number): boolean => at >= skb.head && at < skb.tail;
  const linked = skb.dev !== null && skb.dev.headerOps.hardHeaderLen === 14;
  if (linked && inside(skb.macHeader) && skb.networkHeader === skb.macHeader + 14) {
    return { start: skb.macHeader, link: "ethernet" };
  }
  const ip = skb.protocol === 0x0800;
  if (inside(skb.networkHeader) && (ip || skb.protocol === 0x0806)) {
    return { start: skb.networkHeader, link: ip ? "ip" : "arp" };
  }
  return linked && inside(skb.macHeader) ? { start: skb.macHeader, link: "ethernet" } : null;
}

/** The recorder. */
export class Recorder implements Disposable {
  /** All that was seen, oldest first. With more than the limit the oldest go. */
  readonly seen: Seen[] = [];
  /** Devices in order of appearance: `a:eth0`. */
  readonly devices: Map<string, NetDevice> = new Map();
  /** How many were forgotten. */
  forgotten = 0;
  readonly #machine: Machine;
  readonly #limit: number;
  readonly #ends: Disposable[];

  /** Starts. */
  constructor(machine: Machine, limit: number) {
    this.#machine = machine;
    this.#limit = limit;
    this.#ends = [
      machine.bus.on("skb:kfree_skb", (skb, reason, _b, net, id) => {
        if (id === TP_KFREE_SKB && skb !== null) this.#dropped(skb, reason, net as Net);
      }),
    ];
  }

  /** Watches the devices of a net, those to come too. */
  watch(net: Net): void {
    for (const dev of net.devices) this.#tap(dev);
    this.#ends.push(net.netdevChain.register(({ kind, dev }) => {
      if (kind === "NETDEV_REGISTER") this.#tap(dev);
    }));
  }

  /** Forgets what was seen. */
  clear(): void {
    this.forgotten += this.seen.length;
    this.seen.length = 0;
  }

  /** Ends. */
  [Symbol.dispose](): void {
    for (const end of this.#ends.splice(0)) end[Symbol.dispose]();
  }

  #tap(dev: NetDevice): void {
    this.devices.set(`${dev.net.name}:${dev.name}`, dev);
    const link = dev.headerOps.hardHeaderLen === 14 ? "ethernet" : "ip";
    this.#ends.push(dev.addTap((skb, _dev, outgoing) => {
      const start = outgoing || skb.macHeader < 0 ? skb.data : skb.macHeader;
      this.#add(skb, dev.net.name, dev.name, outgoing ? "out" : "in", "", start, link);
    }));
  }

  #dropped(skb: SkBuff, reason: number, net: Net): void {
    const at = startOf(skb) ?? { start: skb.data, link: "ethernet" as const };
    const { name } = this.#machine.reasons.get(reason);
    this.#add(skb, net.name, skb.dev?.name ?? "", "drop", name, at.start, at.link);
  }

  #add(
    skb: SkBuff,
    net: string,
    dev: string,
    direction: Seen["direction"],
    reason: string,
    start: number,
    link: "ethernet" | "ip" | "arp",
  ): void {
    const time = this.#machine.now;
    const index = this.forgotten + this.seen.length;
    const partial = skb.ipSummed === CHECKSUM_PARTIAL;
    const init = { index, time, net, dev, direction, id: skb.id, reason, bytes: bytesOf(skb, start), link };
    this.seen.push(new Seen(init, { link, partial }));
    // In blocks: taking the first of a long list away each time would be slow.
    if (this.seen.length > this.#limit * 1.25) {
      this.forgotten += this.seen.splice(0, this.seen.length - this.#limit).length;
    }
  }
}
