/**
 * Receive-side scaling: which queue a received frame goes to. The hardware hashes addresses and ports with Toeplitz's
 * function and looks the queue up in an indirection table. Linux: Documentation/networking/scaling.rst, ethtool -x, -X;
 * the function: Microsoft's "RSS hashing functions", which every NIC follows.
 *
 * Differs from most hardware: an entry of the table moves to another queue only when the old one holds none of its frames
 * any more, so that a flow keeps its order while the table changes.
 *
 * @module
 */
import * as ethernetHeader from "../../link/ethernet/header.ts";
import * as ipv4Header from "../../network/ipv4/header.ts";
import type { Machine } from "../../../core/mod.ts";
import type { NicRssOptions, NicRxfh, NicRxFlow } from "./contract.ts";
import type { NicQueue } from "./queue.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, VLAN_HLEN } = ethernetHeader;
const { IP_HLEN, IP_MF, IP_OFFSET, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR } = ipv4Header;

/** Bytes of the key. */
export const RSS_KEY_LEN = 40;
/** Entries of the indirection table. */
export const RSS_INDIR_SIZE = 128;

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
/** Bytes that are hashed at most: two addresses, two ports. */
const TUPLE = 12;

/**
 * Toeplitz's hash: the sum, without carry, of the 32 bits of the key that stand at each bit of the input that is set.
 * The key has at least four bytes more than the input; a shorter one is a RangeError.
 *
 * @example Microsoft's first vector
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { RSS_MICROSOFT_KEY, toeplitz } from "@netpath/stack/nic";
 *
 * // 66.9.149.187:2794 -> 161.142.100.80:1766
 * const input = Uint8Array.of(66, 9, 149, 187, 161, 142, 100, 80, 2794 >> 8, 2794 & 255, 1766 >> 8, 1766 & 255);
 * assertEquals(toeplitz(RSS_MICROSOFT_KEY, input) >>> 0, 0x51ccc178);
 * ```
 */
export function toeplitz(key: Uint8Array, input: Uint8Array): number {
  if (key.length < input.length + 4) {
    throw new RangeError(`Cannot hash ${input.length} bytes with a key of ${key.length}: it takes ${input.length + 4}`);
  }
  let hash = 0;
  for (let bit = 0; bit < input.length * 8; bit++) {
    if ((input[bit >>> 3] & (0x80 >>> (bit & 7))) !== 0) hash ^= window32(key, bit);
  }
  return hash;
}

/** The 32 bits of the key from bit `at` on. */
function window32(key: Uint8Array, at: number): number {
  const i = at >>> 3;
  const word = (key[i] << 24) | (key[i + 1] << 16) | (key[i + 2] << 8) | key[i + 3];
  const shift = at & 7;
  return shift === 0 ? word : (word << shift) | (key[i + 4] >>> (8 - shift));
}

/** The key of Microsoft's verification suite. */
export const RSS_MICROSOFT_KEY: Readonly<Uint8Array> = Uint8Array.of(
  ...[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0],
  ...[0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c],
  ...[0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa],
);

/** The hardware's part of steering, one per NIC. */
export class Rss {
  /** Hash of the frame that was classified last; 0: it has none and belongs to queue 0. */
  hash = 0;
  /** Its entry of the table, -1: none. */
  entry: number = -1;
  /** The user chose the table: it stays when the number of queues changes. Linux: netif_is_rxfh_configured(). */
  configured = false;
  readonly #machine: Machine;
  readonly #key = new Uint8Array(RSS_KEY_LEN);
  /** There is a key: a random one is drawn when it is first needed, so that one queue takes nothing from the seed. */
  #keyed = false;
  /** Hash of each byte at each place of the tuple. */
  readonly #bytes = new Int32Array(TUPLE * 256);
  /** The table as it was set. */
  readonly #indir = new Int32Array(RSS_INDIR_SIZE);
  /** The table as frames see it: an entry follows when its old queue is done. */
  readonly #now = new Int32Array(RSS_INDIR_SIZE);
  /** Cursor of its queue's ring behind the last frame of an entry. */
  readonly #tail = new Int32Array(RSS_INDIR_SIZE);
  #tcpPorts = true;
  #udpPorts = true;
  /** The tuple that was hashed last, and its hash: frames of a flow come in bursts. Without a key all are 0. */
  #saddr = 0;
  #daddr = 0;
  #ports = 0;
  #last = 0;
  /** A change of key or fields that waits until no ring holds a frame. */
  #waiting: (() => void) | null = null;

  /** With the options' key and table, or Linux's defaults: a random key, queues in turn. Wrong ones are RangeErrors. */
  constructor(machine: Machine, queues: number, options: NicRssOptions) {
    this.#machine = machine;
    this.reset(queues);
    this.set(options, queues, []);
  }

  /** The table's default: queues in turn. Linux: ethtool_rxfh_indir_default(). */
  reset(queues: number): void {
    this.configured = false;
    for (let e = 0; e < RSS_INDIR_SIZE; e++) this.#indir[e] = e % queues;
  }

  /** The rings of `queues` queues are new: no frame is under way. */
  restart(queues: number): void {
    if (queues > 1) this.#needKey();
    this.#now.set(this.#indir);
    this.#tail.fill(0);
    this.#applyWaiting();
  }

  /** The highest queue of the table. */
  get highest(): number {
    return Math.max(...this.#indir);
  }

  /** What `ethtool -x` shows. */
  get settings(): NicRxfh {
    this.#needKey();
    const fields = (ports: boolean): "sd" | "sdfn" => ports ? "sdfn" : "sd";
    return {
      key: Uint8Array.from(this.#key),
      indir: [...this.#indir],
      rxFlowHash: { tcp4: fields(this.#tcpPorts), udp4: fields(this.#udpPorts) },
    };
  }

  /** Changes what is named; nothing, if one of it is wrong: a RangeError. */
  set(options: NicRssOptions, queues: number, rings: readonly NicQueue[]): void {
    const table = tableOf(options, queues);
    const { key } = options;
    if (key !== undefined && key.length !== RSS_KEY_LEN) {
      throw new RangeError(`Cannot set a key of ${key.length} bytes: it takes ${RSS_KEY_LEN}`);
    }
    if (table !== null) {
      this.#indir.set(table);
      this.configured = true;
    } else if (options.default === true) this.reset(queues);
    const flows = Object.entries(options.rxFlowHash ?? {}) as [NicRxFlow, "sd" | "sdfn"][];
    const before = this.#waiting;
    this.#waiting = () => {
      before?.();
      if (key !== undefined) this.#setKey(key);
      for (const [flow, fields] of flows) {
        if (flow === "tcp4") this.#tcpPorts = fields === "sdfn";
        else this.#udpPorts = fields === "sdfn";
      }
    };
    this.#settle(rings);
  }

  /** Linux: netdev_rss_key_fill(). */
  #needKey(): void {
    if (!this.#keyed) this.#setKey(Uint8Array.from(this.#key, () => this.#machine.platform.random() & 0xff));
  }

  #setKey(key: ArrayLike<number>): void {
    this.#keyed = true;
    // The hash of nothing is 0, whatever the key.
    this.#saddr =
      this.#daddr =
      this.#ports =
      this.#last =
        0;
    for (let i = 0; i < RSS_KEY_LEN; i++) this.#key[i] = key[i];
    for (let place = 0; place < TUPLE; place++) {
      for (let byte = 1; byte < 256; byte++) {
        const low = 31 - Math.clz32(byte & -byte);
        const rest = this.#bytes[(place << 8) | (byte & (byte - 1))];
        this.#bytes[(place << 8) | byte] = rest ^ window32(this.#key, (place << 3) + 7 - low);
      }
    }
  }

  /** A flow may change its queue by a new key: only while nothing is under way. */
  #settle(queues: readonly NicQueue[]): void {
    for (const q of queues) if (q.rx.done !== 0) return;
    this.#applyWaiting();
  }

  #applyWaiting(): void {
    const apply = this.#waiting;
    this.#waiting = null;
    apply?.();
  }

  /**
   * The queue of a frame of whose `len` bytes at `at` the headers are read; `more`: it goes on elsewhere. Sets
   * {@linkcode hash} and {@linkcode entry}. -1: the headers go on elsewhere, too.
   */
  choose(queues: readonly NicQueue[], view: DataView, at: number, len: number, more: boolean): number {
    if (this.#waiting !== null) this.#settle(queues);
    if (!this.#classify(view, at, len)) {
      if (more) return -1;
      this.entry = -1;
    }
    const e = this.entry;
    if (e < 0) return 0;
    const q = this.#now[e];
    const wanted = this.#indir[e];
    if (q === wanted || ((queues[q].rx.nextToClean - this.#tail[e]) | 0) < 0) return q;
    this.#now[e] = wanted;
    return wanted;
  }

  /** The frame that was classified last has been written into the ring of `q`. */
  placed(q: NicQueue): void {
    if (this.entry >= 0) this.#tail[this.entry] = q.rx.nextToDevice;
  }

  /** False: the headers are not whole. */
  #classify(view: DataView, at: number, len: number): boolean {
    this.hash = 0;
    this.entry = -1;
    let ip = at + ETH_HLEN;
    const end = at + len;
    if (ip > end) return false;
    let type = view.getUint16(ip - 2);
    while (type === ETH_P_8021Q || type === ETH_P_8021AD) {
      ip += VLAN_HLEN;
      if (ip > end) return false;
      type = view.getUint16(ip - 2);
    }
    if (type !== ETH_P_IP) return true;
    if (ip + IP_HLEN > end) return false;
    const first = view.getUint8(ip);
    if (first >>> 4 !== 4) return true;
    const l4 = ip + ((first & 15) << 2);
    let ports = 0;
    if (this.#hasPorts(view.getUint8(ip + IPH_PROTOCOL), view.getUint16(ip + IPH_FRAG_OFF))) {
      if (l4 + 4 > end) return false;
      ports = view.getInt32(l4);
    }
    const saddr = view.getInt32(ip + IPH_SADDR);
    const daddr = view.getInt32(ip + IPH_DADDR);
    if (saddr !== this.#saddr || daddr !== this.#daddr || ports !== this.#ports) {
      this.#last = this.#hash(saddr, daddr, ports);
      this.#saddr = saddr;
      this.#daddr = daddr;
      this.#ports = ports;
    }
    this.hash = this.#last;
    this.entry = this.hash & (RSS_INDIR_SIZE - 1);
    return true;
  }

  /** The parts of a datagram share no ports: all of it goes by its addresses. */
  #hasPorts(protocol: number, fragment: number): boolean {
    if ((fragment & (IP_MF | IP_OFFSET)) !== 0) return false;
    return (protocol === IPPROTO_TCP && this.#tcpPorts) || (protocol === IPPROTO_UDP && this.#udpPorts);
  }

  /** Bits that are not set add nothing: without ports it is the hash of the addresses. */
  #hash(saddr: number, daddr: number, ports: number): number {
    const t = this.#bytes;
    return t[saddr >>> 24] ^ t[256 | ((saddr >>> 16) & 255)] ^ t[512 | ((saddr >>> 8) & 255)] ^ t[768 | (saddr & 255)] ^
      t[1024 | (daddr >>> 24)] ^ t[1280 | ((daddr >>> 16) & 255)] ^ t[1536 | ((daddr >>> 8) & 255)] ^
      t[1792 | (daddr & 255)] ^ t[2048 | (ports >>> 24)] ^ t[2304 | ((ports >>> 16) & 255)] ^
      t[2560 | ((ports >>> 8) & 255)] ^ t[2816 | (ports & 255)];
  }
}

/** The table that the options ask for, or null: none. */
function tableOf(options: NicRssOptions, queues: number): number[] | null {
  const { equal, weight, indir } = options;
  const asked = [equal, weight, indir, options.default || undefined].filter((o) => o !== undefined);
  if (asked.length > 1) throw new RangeError("Cannot set the indirection table: one of equal, weight, indir, default");
  if (equal !== undefined) {
    if (!(Number.isInteger(equal) && equal >= 1 && equal <= queues)) {
      throw new RangeError(`Cannot spread over ${equal} queues: there are ${queues}`);
    }
    return Array.from({ length: RSS_INDIR_SIZE }, (_, e) => e % equal);
  }
  if (weight !== undefined) return byWeight(weight, queues);
  if (indir === undefined) return null;
  const wrong = indir.find((q) => !(Number.isInteger(q) && q >= 0 && q < queues));
  if (indir.length === RSS_INDIR_SIZE && wrong === undefined) return [...indir];
  throw new RangeError(
    wrong === undefined
      ? `Cannot set an indirection table of ${indir.length} entries: it has ${RSS_INDIR_SIZE}`
      : `Cannot send flows to queue ${wrong}: there are 0 to ${queues - 1}`,
  );
}

/** Shares of the entries, in order of the queues, as `ethtool -X weight` lays them out. */
function byWeight(weight: readonly number[], queues: number): number[] {
  const sum = weight.reduce((a, b) => a + b, 0);
  if (weight.length > queues || sum <= 0 || weight.some((w) => !(Number.isInteger(w) && w >= 0))) {
    throw new RangeError(
      `Cannot set weights ${weight.join(" ")}: whole numbers from 0, not all 0, at most ${queues} of them`,
    );
  }
  const table: number[] = [];
  let partial = 0;
  weight.forEach((w, q) => {
    partial += w;
    while (table.length < Math.floor(RSS_INDIR_SIZE * partial / sum)) table.push(q);
  });
  return table;
}
