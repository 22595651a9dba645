/**
 * The capture itself: a tap that serialises each frame at once, while the packet's bytes are what they are.
 *
 * @module
 */
import {
  ARPHRD_NONE,
  type CopyLedger,
  copyToUser,
  type Machine,
  type NetDevice,
  type SkBuff,
} from "../../../core/mod.ts";
import type { PcapOptions, PcapSink } from "./contract.ts";
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  PCAP_FILE_HEADER,
  PCAP_MAGIC_MICRO,
  PCAP_MAGIC_NANO,
  PCAP_RECORD_HEADER,
  PCAP_SNAPLEN,
  putFileHeader,
  putRecordHeader,
} from "./header.ts";

const CHUNK = 1 << 18;

/** A running capture of one device. */
export class PcapTap implements Disposable {
  /** Frames captured so far. */
  frames = 0;
  /** On the machine's ready list: the sink gets what was captured at the outermost exit. */
  ready = false;
  readonly #machine: Machine;
  readonly #ledger: CopyLedger;
  readonly #site: number;
  readonly #sink: PcapSink;
  readonly #tap: Disposable;
  readonly #snaplen: number;
  readonly #micro: boolean;
  /** Wall clock in ms at the machine's time 0. */
  readonly #epoch: number;
  #chunk: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #written = 0;
  #used = 0;
  #closed = false;

  /** Use `pcapTap()`. */
  constructor(dev: NetDevice, sink: PcapSink, options: PcapOptions) {
    const machine = dev.net.machine;
    this.#machine = machine;
    this.#ledger = machine.ledger;
    this.#site = machine.ledger.site("packet_rcv", "cpu");
    this.#sink = sink;
    this.#snaplen = options.snaplen ?? PCAP_SNAPLEN;
    this.#micro = options.precision === "micro";
    const platform = machine.platform;
    this.#epoch = Math.round(platform.wallClock() - platform.now() / 1e6);
    this.#chunk = new Uint8Array(CHUNK);
    this.#view = new DataView(this.#chunk.buffer);
    putFileHeader(
      this.#view,
      0,
      this.#micro ? PCAP_MAGIC_MICRO : PCAP_MAGIC_NANO,
      this.#snaplen,
      dev.type === ARPHRD_NONE ? LINKTYPE_RAW : LINKTYPE_ETHERNET,
    );
    this.#used = PCAP_FILE_HEADER;
    this.#tap = dev.addTap((skb, _dev, outgoing) => this.#capture(skb, outgoing));
    this.flush();
  }

  /** Gives the sink all that was captured. It happens by itself at the end of each entry. */
  flush(): void {
    if (this.#used === this.#written) return;
    this.#sink.write(new Uint8Array(this.#chunk.buffer, this.#written, this.#used - this.#written));
    this.#written = this.#used;
  }

  /** Used by the machine: the outermost exit. */
  wake(): void {
    if (!this.#closed) this.flush();
  }

  /** Ends the capture and closes the sink. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tap[Symbol.dispose]();
    this.flush();
    this.#sink.close?.();
  }

  /** Linux: tpacket_rcv(), net/packet/af_packet.c. Borrows `skb`. */
  #capture(skb: SkBuff, outgoing: boolean): void {
    const start = outgoing || skb.macHeader < 0 ? skb.data : skb.macHeader;
    const length = skb.len + skb.data - start;
    const kept = Math.min(length, this.#snaplen);
    if (this.#used + PCAP_RECORD_HEADER + kept > this.#chunk.length) this.#newChunk(PCAP_RECORD_HEADER + kept);
    // Whole seconds and the rest apart: ns since 1970 do not fit a double.
    const ns = (this.#epoch % 1000) * 1e6 + this.#machine.now;
    const seconds = Math.floor(this.#epoch / 1000) + Math.floor(ns / 1e9);
    const fraction = Math.floor(ns % 1e9);
    putRecordHeader(
      this.#view,
      this.#used,
      seconds,
      this.#micro ? Math.floor(fraction / 1000) : fraction,
      kept,
      length,
    );
    this.#used += PCAP_RECORD_HEADER;
    const end = this.#used + kept;
    this.#copy(skb, start, end);
    this.#used = end;
    this.frames++;
    this.#machine.wakeLater(this);
  }

  /** Copies from position `start` of the head on, up to position `end` of the chunk. Borrows `skb`. */
  #copy(skb: SkBuff, start: number, end: number): void {
    const chunk = this.#chunk;
    let n = Math.min(skb.tail - start, end - this.#used);
    copyToUser(this.#ledger, this.#site, skb.slab, start, chunk, this.#used, n);
    this.#used += n;
    for (let i = 0; i < skb.nrFrags && this.#used < end; i++) {
      const frag = skb.frags[i];
      n = Math.min(frag.size, end - this.#used);
      copyToUser(this.#ledger, this.#site, frag.slab, frag.offset, chunk, this.#used, n);
      this.#used += n;
    }
    for (let part = skb.fragList; part !== null && this.#used < end; part = part.next) this.#copy(part, part.data, end);
  }

  #newChunk(room: number): void {
    this.flush();
    this.#chunk = new Uint8Array(Math.max(CHUNK, room));
    this.#view = new DataView(this.#chunk.buffer);
    this.#used = this.#written = 0;
  }
}
