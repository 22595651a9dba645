/**
 * A capture as a device: its frames come in again, when they came then or as fast as the stack takes them.
 *
 * @module
 */
import {
  ARPHRD_ETHER,
  ARPHRD_NONE,
  copyFromUser,
  HrTimer,
  IFF_NOARP,
  IFF_UP,
  Napi,
  type Net,
  type NetDevice,
  netdevOps,
  type SkBuff,
} from "../../../core/mod.ts";
import type { PcapFile, PcapReplayOptions } from "./contract.ts";
import { readCapture } from "./file.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from "./header.ts";

/** LINKTYPE_IPV4, and DLT_RAW as BSDs number it: the packet begins with its IP header. */
const IP_LINKS: readonly number[] = [LINKTYPE_RAW, 228, 12, 14];
/** Room for another link header in front of an aligned network header. */
const HEADROOM = 34;

/** A capture that is played. Made by {@linkcode pcapReplay}. */
export class PcapReplay implements Disposable {
  /** The net. */
  readonly net: Net;
  /** The device. */
  readonly dev: NetDevice;
  /** Frames that came in so far, those that were refused too. */
  played = 0;
  /** Frames that the capture cut: they are played as they are, which the stack drops. */
  readonly cut: number;
  readonly #file: PcapFile;
  readonly #times: Float64Array;
  readonly #napi: Napi;
  readonly #timer: HrTimer;
  readonly #site: number;
  #playing = false;
  #due = 0;
  #base = 0;

  /** Use {@linkcode pcapReplay}. */
  constructor(net: Net, name: string, file: PcapFile, options: PcapReplayOptions) {
    const machine = net.machine;
    this.net = net;
    this.#file = file;
    this.cut = file.frames.filter((f) => f.bytes.length < f.length).length;
    this.#times = timesOf(file, options.speed ?? "recorded");
    const raw = IP_LINKS.includes(file.linkType);
    const longest = file.frames.reduce((most, f) => Math.max(most, f.bytes.length), 1500);
    this.#site = machine.ledger.site("pcap_replay", "dma");
    this.dev = net.registerNetdevice(name, {
      type: raw ? ARPHRD_NONE : ARPHRD_ETHER,
      mtu: Math.min(options.mtu ?? longest, 65535),
      ...(raw ? { flags: IFF_NOARP } : {}),
      ...(options.address === undefined ? {} : { address: options.address }),
      ops: netdevOps({ startXmit: (skb) => this.#xmit(skb), open: () => (this.#go(), 0), stop: () => this.#stop() }),
    });
    this.dev.priv = this;
    this.#napi = new Napi(machine, this.dev, (napi, budget) => this.#poll(napi, budget));
    this.dev.napis.push(this.#napi);
    this.#timer = new HrTimer(() => this.#tick());
  }

  /** Frames of the capture. */
  get length(): number {
    return this.#file.frames.length;
  }

  /** Everything was played. */
  get done(): boolean {
    return this.played === this.length;
  }

  /** Unregisters the device. */
  [Symbol.dispose](): void {
    this.net.unregisterNetdevice(this.dev);
  }

  /** Begins: now, or when the device comes up. */
  play(): void {
    if (this.#playing) return;
    this.#playing = true;
    if ((this.dev.flags & IFF_UP) !== 0) this.net.machine.batch(() => this.#go());
  }

  /** Begins, or goes on where it was when the device went down. */
  #go(): void {
    if (!this.#playing) return;
    this.#napi.enable();
    this.#due = this.played;
    this.#base = this.net.machine.now - (this.done ? 0 : this.#times[this.played]);
    this.#tick();
  }

  #stop(): void {
    this.net.machine.hrtimers.cancel(this.#timer);
    this.#napi.disable();
  }

  /** What is due by now is to be polled; the timer waits for the next. */
  #tick(): void {
    const { machine } = this.net;
    const now = machine.now - this.#base;
    while (this.#due < this.length && this.#times[this.#due] <= now) this.#due++;
    if (this.#due > this.played) this.#napi.schedule();
    if (this.#due < this.length) machine.hrtimers.start(this.#timer, this.#base + this.#times[this.#due]);
  }

  #poll(napi: Napi, budget: number): number {
    let work = 0;
    while (work < budget && this.played < this.#due) {
      this.#receive(this.#file.frames[this.played++].bytes);
      work++;
    }
    if (work < budget) napi.complete(work);
    return work;
  }

  #receive(frame: Uint8Array): void {
    const { net, dev } = this;
    const { skbs, ledger } = net.machine;
    const skb = frame.length > dev.mtu + 4 + dev.headerOps.hardHeaderLen
      ? null
      : skbs.alloc(frame.length + 2 * HEADROOM);
    if (skb === null) {
      dev.stats.rxDropped++;
      return;
    }
    skb.reserve(HEADROOM);
    skb.dev = dev;
    copyFromUser(ledger, this.#site, skb.slab, skb.put(frame.length), frame, 0, frame.length);
    dev.stats.rxPackets++;
    dev.stats.rxBytes += frame.length;
    const reason = dev.headerOps.parse(skb, dev);
    if (reason === 0) this.#napi.groReceive(skb);
    else {
      dev.stats.rxErrors++;
      net.drop(skb, reason);
    }
  }

  /** Nobody is at the other end: what the stack answers is counted and gone; a tap sees it. Takes ownership of `skb`. */
  #xmit(skb: SkBuff): number {
    this.dev.stats.txPackets++;
    this.dev.stats.txBytes += skb.len;
    skb.consume();
    return 0;
  }
}

/** When each frame comes, ns from the first; a clock that went back in the capture stands still here. */
function timesOf(file: PcapFile, speed: number | "recorded" | "full"): Float64Array {
  const factor = speed === "recorded" ? 1 : speed === "full" ? Infinity : speed;
  if (typeof factor !== "number" || !(factor > 0)) {
    throw new RangeError(`Cannot replay at speed ${speed}: it is "recorded", "full", or a factor over 0`);
  }
  const times = new Float64Array(file.frames.length);
  const [first] = file.frames;
  let last = 0;
  file.frames.forEach((f, i) => {
    const since = (f.seconds - first.seconds) * 1e9 + f.nanoseconds - first.nanoseconds;
    last = Math.max(last, Math.round(since / factor));
    times[i] = last;
  });
  return times;
}

/**
 * Adds a device, down, that plays a capture (pcap or pcapng) when it is up and told to. A file that is neither, a link
 * type that no device here has, or a wrong speed is an error.
 *
 * @example A recorded ping is answered again
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { pcapReplay, writePcap } from "@netpath/stack/pcap";
 *
 * const ping = Uint8Array.of(
 *   ...[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0x66, 0xdf, 10, 0, 0, 2, 10, 0, 0, 1], // from 10.0.0.2 to 10.0.0.1
 *   ...[8, 0, 0xf7, 0xff, 0, 0, 0, 0],
 * );
 * const file = writePcap([{ seconds: 0, nanoseconds: 0, length: 28, bytes: ping }], { linkType: 101 });
 *
 * using machine = new Machine();
 * const host = createHost({ machine });
 * const replay = pcapReplay(host.net, "replay0", file, { speed: "full" });
 * host.addr.add("replay0", "10.0.0.1/24");
 * replay.play();
 * machine.runUntilIdle();
 * assertEquals([replay.done, replay.dev.stats.txPackets], [true, 1]);
 * ```
 */
export function pcapReplay(
  net: Net,
  name: string,
  capture: Uint8Array<ArrayBuffer> | PcapFile,
  options: PcapReplayOptions = {},
): PcapReplay {
  const file = capture instanceof Uint8Array ? readCapture(capture) : capture;
  if (file.linkType !== LINKTYPE_ETHERNET && !IP_LINKS.includes(file.linkType)) {
    throw new TypeError(`Cannot replay link type ${file.linkType}: only Ethernet (1) and raw IP (101)`);
  }
  return new PcapReplay(net, name, file, options);
}
