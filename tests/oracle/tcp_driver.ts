/**
 * Plays the remote peer of a TCP connection with raw frames, and writes down what the host under test answers, relative to the sequence
 * numbers that it chose. The same driver runs against the kernel (`tcp_kernel_host.ts`) and against netpath (`tcp_netpath.ts`).
 *
 * @module
 */

import {
  concat,
  eth,
  ETH_P,
  hex,
  internetChecksum,
  IPPROTO,
  ipText,
  ipv4,
  macText,
  pseudoSum,
  tcp,
  unhex,
} from "../support/frames/build.ts";
import type {
  TcpCallStep,
  TcpCase,
  TcpDamage,
  TcpOption,
  TcpPosition,
  TcpSegmentStep,
  TcpStep,
} from "../support/frames/generate_tcp.ts";

/** A socket of the host under test: counts, or negative errnos. */
export interface HostSocket {
  state(): number;
  read(into: Uint8Array<ArrayBuffer>): number;
  write(bytes: Uint8Array<ArrayBuffer>): number;
  shutdown(): number;
  close(): void;
  abort(): void;
  error(): number;
}

/** The host under test. It listens on {@linkcode LISTEN_PORT}, and nobody is at {@linkcode CLOSED_PORT}. */
export interface TcpHost {
  input(frame: Uint8Array): void;
  /** The frames since the last call. */
  output(): Uint8Array[];
  /** A case begins: the clock is at the start of a millisecond, so that the case is over within it. */
  begin(): void;
  /** Lets time pass. */
  wait(ms: number): void;
  /** The next connection of the listener. */
  accept(): HostSocket | undefined;
  connect(address: string, port: number): HostSocket;
  /** Milliseconds of the clock that timestamps are made of. */
  now(): number;
}

export const LISTEN_PORT = 80;
export const CLOSED_PORT = 81;
export const HOST_IP = "10.9.0.1";
export const HOST_MAC = "02:00:00:00:09:01";

/** Ports of a peer before the next peer's turn. */
const PORTS_PER_PEER = 20_000;
/** Longer than this a case must not take: a delayed ACK may have come in between. */
const SLOW_MS = 25;
const TRIES = 20;
/** Longer than this it should not take between its waits: the timer of the loss probe is as short. */
const OWN_MS = 2;
/** How often it is run again because it did, or because a millisecond ended in it: timestamps, and what hangs on them, change. */
const TICK_TRIES = 6;

/** A number of sequence space: as it is, and as the distance from what it may depend on. */
export interface SeqNumber {
  raw: number;
  /** From the host's first sequence number, int32. */
  rel: number;
}

/** A frame from the host. */
export interface TcpFrame {
  flags: string;
  seq: SeqNumber;
  ack: SeqNumber;
  window: number;
  urgent: number;
  /** As text, timestamps without their value. */
  options: string[];
  /** Payload bytes; their hex, or a hash of them. */
  length: number;
  payload: string;
  ip: string;
  checksums: boolean;
  /** A frame that is no TCP: all of it. */
  other?: string;
}

/** What the host did in one step. */
export interface TcpAnswer {
  frames: TcpFrame[];
  /** tcpi_state, where the socket is open. */
  state?: number;
  /** What a call returned. */
  result?: number;
  /** SO_ERROR and all that could be read, at the end of the case. */
  error?: number;
  read?: { length: number; hash: number };
}

/** Of the set-up, of each step, and of the end. */
export type TcpAnswers = TcpAnswer[];

/** MAC of a peer. */
export function peerMac(n: number): string {
  return `02:00:00:00:09:${n.toString(16).padStart(2, "0")}`;
}

const PEER_WINDOW = 501;
/** Payload up to here is shown as it is. */
const SHORT = 32;

/** Every combination of flags, as letters. */
const FLAG_TEXT: readonly string[] = Array.from({ length: 256 }, (_, bits) => {
  let text = "";
  for (let bit = 0; bit < 8; bit++) if (bits & (1 << bit)) text += "FSRPAUEC"[bit];
  return text;
});

/** FNV-1a, 32 bits. */
function fnv(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}

function byteAt(offset: number): number {
  return (offset * 7 + (offset >>> 8)) & 0xff;
}

/** The payload for stream offset `from`: every displacement shows. */
export function streamBytes(from: number, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = byteAt(from + i);
  return out;
}

/** One case against one host. */
class Exchange {
  readonly #host: TcpHost;
  readonly #case: TcpCase;
  readonly #peer: string;
  readonly #mac: string;
  readonly #port: number;
  #hostPort: number;
  socket: HostSocket | undefined;
  /** Our next byte in order; the host's next as we know it; what we acknowledged. */
  #own: number;
  #hostIsn: number | undefined;
  #hostNxt = 0;
  #una = 0;
  /** End of the window that the host announced. */
  #end: number;
  #hostScale = 0;
  #scaleAgreed = false;
  #tsVal = 1_000_000;
  #hostTs = 0;
  #hostWritten = 0;
  /** SYN-ACKs of ours are for a host that connects. */
  #active = false;

  constructor(host: TcpHost, spec: TcpCase, index: number) {
    const n = 2 + Math.floor(index / PORTS_PER_PEER);
    this.#host = host;
    this.#case = spec;
    this.#peer = `10.9.0.${n}`;
    this.#mac = peerMac(n);
    this.#port = 30_000 + (index % PORTS_PER_PEER);
    this.#hostPort = spec.setup === "closed" ? CLOSED_PORT : LISTEN_PORT;
    this.#own = spec.isn | 0;
    this.#end = spec.isn | 0;
    this.#scaleAgreed = spec.synOptions.some((option) => option.kind === "wscale");
  }

  // ---- what we send

  #seq({ base, off }: TcpPosition): number {
    switch (base) {
      case "end":
        return (this.#end + off) | 0;
      case "isn":
        return (this.#case.isn + off) | 0;
      case "zero":
        return off | 0;
      default:
        return (this.#own + off) | 0;
    }
  }

  #ack({ base, off }: TcpPosition): number {
    switch (base) {
      case "una":
        return (this.#una + off) | 0;
      case "isn":
        return ((this.#hostIsn ?? 0) + off) | 0;
      case "zero":
        return off | 0;
      default:
        return (this.#hostNxt + off) | 0;
    }
  }

  #option(option: TcpOption): Uint8Array {
    switch (option.kind) {
      case "mss":
        return Uint8Array.of(2, 4, option.value >> 8, option.value);
      case "wscale":
        return Uint8Array.of(3, 3, option.value);
      case "sackOk":
        return Uint8Array.of(4, 2);
      case "nop":
        return Uint8Array.of(1);
      case "end":
        return Uint8Array.of(0);
      case "raw":
        return unhex(option.hex);
      case "ts": {
        const out = new Uint8Array(10);
        const view = new DataView(out.buffer);
        out.set([8, 10]);
        view.setUint32(2, this.#tsVal + option.val);
        view.setUint32(6, option.rawEcr ?? this.#hostTs + (option.ecr ?? 0));
        if (option.val > 0 && option.val < 1000) this.#tsVal += option.val;
        return out;
      }
      case "sack": {
        const out = new Uint8Array(2 + option.blocks.length * 8);
        const view = new DataView(out.buffer);
        out.set([5, out.length]);
        option.blocks.flat().forEach((edge, i) => view.setUint32(2 + i * 4, (this.#hostIsn ?? 0) + edge));
        return out;
      }
    }
  }

  #options(options: readonly TcpOption[]): Uint8Array {
    const bytes = concat(...options.map((option) => this.#option(option)));
    return bytes.subarray(0, 40);
  }

  #frame(step: TcpSegmentStep): Uint8Array {
    const seq = this.#seq(step.seq);
    const payload = streamBytes((seq - this.#case.isn - 1) | 0, step.length);
    const damage: TcpDamage | undefined = step.damage;
    const body = tcp({
      sport: this.#port,
      dport: this.#hostPort,
      seq,
      ack: step.flags.includes("A") || step.ack.base === "zero" ? this.#ack(step.ack) : 0,
      flags: step.flags,
      window: step.window,
      urgent: step.urgent,
      options: this.#options(step.options),
      ...(damage?.kind === "doff" ? { dataOffset: damage.words } : {}),
    }, payload);
    let packet = ipv4({ src: this.#peer, dst: HOST_IP, df: true, id: 1 }, body);
    if (damage?.kind === "checksum") packet[36] ^= 0x5a;
    else if (damage?.kind === "cut") packet = resum(packet, 20 + Math.min(damage.length, body.length));
    else if (damage?.kind === "flip") {
      packet[20 + damage.at] ^= 1 << damage.bit;
      packet = resum(packet, packet.length);
    }
    return eth({ dst: HOST_MAC, src: this.#mac }, packet);
  }

  #send(step: TcpSegmentStep): void {
    const seq = this.#seq(step.seq);
    this.#host.input(this.#frame(step));
    if (step.damage) return;
    if (step.flags.includes("A") && !step.flags.includes("R")) {
      const ack = this.#ack(step.ack);
      if (((ack - this.#una) | 0) > 0 && ((ack - this.#hostNxt) | 0) <= 0) this.#una = ack;
    }
    const end = (seq + step.length + (step.flags.includes("S") ? 1 : 0) + (step.flags.includes("F") ? 1 : 0)) | 0;
    if (((seq - this.#own) | 0) <= 0 && ((end - this.#own) | 0) > 0 && !step.flags.includes("R")) this.#own = end;
  }

  // ---- what the host sends

  /** Reads a frame by itself, and fast: a probe timer of the host's may be two milliseconds away. */
  #learn(bytes: Uint8Array): TcpFrame | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const ihl = bytes.length < 34 ? 0 : (bytes[14] & 15) * 4;
    const end = bytes.length < 34 ? 0 : 14 + view.getUint16(16);
    const at = 14 + ihl;
    const doff = bytes.length < at + 20 ? 0 : (bytes[at + 12] >> 4) * 4;
    const whole = view.byteLength >= 54 && view.getUint16(12) === ETH_P.IP && bytes[14] >> 4 === 4 && ihl >= 20 &&
      end <= bytes.length && bytes[23] === IPPROTO.TCP && (view.getUint16(20) & 0x3fff) === 0 && doff >= 20 &&
      at + doff <= end;
    if (!whole) return { ...NOTHING, other: hex(bytes) };
    if (ipText(bytes, 30) !== this.#peer || view.getUint16(at + 2) !== this.#port) return undefined;
    const flags = FLAG_TEXT[bytes[at + 13]];
    const syn = flags.includes("S");
    const [seq, ack, window] = [view.getInt32(at + 4), view.getInt32(at + 8), view.getUint16(at + 14)];
    const options = this.#hostOptions(bytes.subarray(at + 20, at + doff), syn);
    // A second connection on the same ports has another first number.
    if (syn && this.#hostIsn !== seq) {
      this.#hostIsn = this.#hostNxt = this.#una = seq;
      if (this.#active) this.#hostPort = view.getUint16(at);
    }
    const payload = bytes.subarray(at + doff, end);
    this.#follow(flags, seq, ack, window, payload.length);
    const base = this.#hostIsn ?? 0;
    const good = macText(bytes, 0) === this.#mac && macText(bytes, 6) === HOST_MAC &&
      view.getUint16(at) === this.#hostPort && ipText(bytes, 26) === HOST_IP;
    const df = (view.getUint16(20) & 0x4000) !== 0;
    const pseudo = pseudoSum(bytes.subarray(26, 30), bytes.subarray(30, 34), IPPROTO.TCP, end - at);
    return {
      flags,
      seq: { raw: seq >>> 0, rel: (seq - base) | 0 },
      ack: { raw: ack >>> 0, rel: (ack - base) | 0 },
      window,
      urgent: view.getUint16(at + 18),
      options,
      length: payload.length,
      payload: payload.length <= SHORT ? hex(payload) : `${fnv(payload)}`,
      ip: `ttl${bytes[22]} tos${bytes[15]} id${view.getUint16(18) === 0 ? "0" : "n"}${df ? " DF" : ""}${
        ihl === 20 ? "" : " opt"
      }${good ? "" : " MISADDRESSED"}${bytes.length > end ? " TRAILER" : ""}`,
      checksums: internetChecksum(bytes, 14, at) === 0 && internetChecksum(bytes, at, end, pseudo) === 0,
    };
  }

  /** Where the host is now. */
  #follow(flags: string, seq: number, ack: number, window: number, length: number): void {
    if (flags.includes("R")) return;
    const syn = flags.includes("S");
    const end = (seq + length + (syn ? 1 : 0) + (flags.includes("F") ? 1 : 0)) | 0;
    if (((end - this.#hostNxt) | 0) > 0) this.#hostNxt = end;
    if (!flags.includes("A")) return;
    const scale = syn || !this.#scaleAgreed ? 0 : this.#hostScale;
    this.#end = (ack + window * 2 ** scale) | 0;
  }

  #hostOptions(data: Uint8Array, syn: boolean): string[] {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const out: string[] = [];
    for (let at = 0; at < data.length;) {
      const kind = data[at];
      if (kind < 2) {
        out.push(kind === 0 ? "end" : "nop");
        at++;
        continue;
      }
      const length = data[at + 1] ?? 0;
      if (length < 2 || at + length > data.length) {
        out.push(`broken ${hex(data.subarray(at))}`);
        break;
      }
      if (kind === 2 && length === 4) out.push(`mss ${view.getUint16(at + 2)}`);
      else if (kind === 3 && length === 3) {
        if (syn) this.#hostScale = data[at + 2];
        out.push(`wscale ${data[at + 2]}`);
      } else if (kind === 4 && length === 2) out.push("sackOk");
      else if (kind === 8 && length === 10) {
        this.#hostTs = view.getUint32(at + 2);
        out.push(`ts ecr ${view.getUint32(at + 6)}${this.#hostTs === 0 ? " val 0" : ""}`);
      } else if (kind === 5) {
        const edges: number[] = [];
        for (let k = at + 2; k + 4 <= at + length; k += 4) edges.push((view.getUint32(k) - this.#case.isn) | 0);
        out.push(`sack ${edges.join(" ")}`);
      } else out.push(`${kind} ${hex(data.subarray(at + 2, at + length))}`);
      at += length;
    }
    return out;
  }

  /** Everything the host has to say now, to this peer. */
  #drain(): TcpFrame[] {
    const out: TcpFrame[] = [];
    for (const bytes of this.#host.output()) {
      const frame = this.#learn(bytes);
      if (frame) out.push(frame);
    }
    return out;
  }

  #answer(result?: number): TcpAnswer {
    const answer: TcpAnswer = { frames: this.#drain() };
    this.socket ??= this.#active ? undefined : this.#host.accept();
    if (this.socket) answer.state = this.socket.state();
    if (result !== undefined) answer.result = result;
    return answer;
  }

  // ---- set-up

  #segment(flags: string, length = 0, options?: readonly TcpOption[]): void {
    const stamped = this.#case.synOptions.some((option) => option.kind === "ts");
    const usual: TcpOption[] = stamped ? [{ kind: "nop" }, { kind: "nop" }, { kind: "ts", val: 1, ecr: 0 }] : [];
    this.#send({
      kind: "segment",
      flags,
      seq: { base: "nxt", off: 0 },
      ack: { base: "nxt", off: 0 },
      window: flags.includes("S") ? this.#case.window : PEER_WINDOW,
      urgent: 0,
      options: [...(options ?? usual)],
      length,
    });
  }

  setup(): TcpAnswer {
    const { setup, synOptions, exchange } = this.#case;
    const frames: TcpFrame[] = [];
    const drain = () => frames.push(...this.#drain());
    if (setup === "closed" || setup === "listen") return { frames };
    if (setup === "synSent") {
      this.#active = true;
      this.socket = this.#host.connect(this.#peer, this.#port);
      return this.#answer();
    }
    this.#segment("S", 0, synOptions);
    drain();
    if (setup === "synRecv") return { frames };
    this.#segment("A");
    drain();
    const socket = this.#host.accept();
    if (!socket) return { frames, result: -1 };
    this.socket = socket;
    if (exchange[0] > 0) {
      this.#segment("PA", exchange[0]);
      drain();
      socket.read(new Uint8Array(1000));
      drain();
    }
    if (exchange[1] > 0) {
      this.#write(exchange[1]);
      drain();
      this.#segment("A");
      drain();
    }
    const closing = CLOSES[setup];
    for (const step of closing ?? []) {
      if (step === "shutdown") socket.shutdown();
      else if (step === "close") {
        socket.close();
        this.socket = undefined;
      } else if (step === "fin") this.#ackLess("FA");
      else this.#segment(step === "ack" ? "A" : "FA");
      drain();
    }
    const answer: TcpAnswer = { frames };
    if (this.socket) answer.state = this.socket.state();
    return answer;
  }

  /** A FIN that does not acknowledge the host's. */
  #ackLess(flags: string): void {
    const nxt = this.#hostNxt;
    this.#hostNxt = (nxt - 1) | 0;
    this.#segment(flags);
    this.#hostNxt = nxt;
  }

  #write(length: number): number {
    const bytes = streamBytes(this.#hostWritten, length);
    const sent = this.socket!.write(bytes);
    if (sent > 0) this.#hostWritten += sent;
    return sent;
  }

  // ---- steps

  step(step: TcpStep): TcpAnswer {
    if (step.kind === "segment") {
      this.#send(step);
      return this.#answer();
    }
    if (step.kind === "wait") {
      this.#host.wait(step.ms);
      return this.#answer();
    }
    return this.#answer(this.#call(step));
  }

  #call({ call, length }: TcpCallStep): number {
    const { socket } = this;
    if (!socket) return 0;
    switch (call) {
      case "read":
        return socket.read(new Uint8Array(length));
      case "write":
        return this.#write(length);
      case "shutdown":
        return socket.shutdown();
      case "close":
        socket.close();
        break;
      case "abort":
        socket.abort();
        break;
    }
    // Not undefined: the listener has no other connection of this peer.
    this.socket = undefined;
    this.#active = true;
    return 0;
  }

  /** What the socket has to tell, and its end; the next case shall not hear of this one. */
  finish(): TcpAnswer {
    const out: TcpAnswer = { frames: [] };
    const { socket } = this;
    if (socket) {
      out.error = socket.error();
      const into = new Uint8Array(1 << 17);
      let length = 0;
      for (;;) {
        const got = socket.read(into.subarray(length));
        if (got <= 0) {
          out.result = got;
          break;
        }
        length += got;
      }
      out.read = { length, hash: fnv(into.subarray(0, length)) };
      socket.abort();
    }
    // What is left of it (an embryo, an orphan, TIME-WAIT) ends by a RST at the very sequence number that it waits for.
    this.#host.output();
    for (const seq of [this.#own, this.#case.isn + 1]) {
      const body = tcp({ sport: this.#port, dport: this.#hostPort, seq: seq >>> 0, flags: "R", ack: 0, window: 0 });
      this.#host.input(eth({ dst: HOST_MAC, src: this.#mac }, ipv4({ src: this.#peer, dst: HOST_IP, df: true }, body)));
    }
    for (let late = this.#host.accept(); late; late = this.#host.accept()) late.abort();
    this.#host.output();
    return out;
  }
}

const CLOSES: Partial<Record<TcpCase["setup"], ("shutdown" | "close" | "ack" | "fin" | "finAck")[]>> = {
  finWait1: ["shutdown"],
  finWait2: ["shutdown", "ack"],
  closing: ["shutdown", "fin"],
  timeWait: ["shutdown", "ack", "finAck"],
  closeWait: ["finAck"],
  lastAck: ["finAck", "shutdown"],
  orphan: ["close", "ack"],
};

const NOTHING: TcpFrame = {
  flags: "",
  seq: { raw: 0, rel: 0 },
  ack: { raw: 0, rel: 0 },
  window: 0,
  urgent: 0,
  options: [],
  length: 0,
  payload: "",
  ip: "",
  checksums: false,
};

/** The packet cut to `length` with lengths and checksums repaired, as far as there are fields. */
function resum(packet: Uint8Array, length: number): Uint8Array {
  const segment = packet.slice(20, length);
  const view = new DataView(segment.buffer);
  if (segment.length >= 18) view.setUint16(16, 0);
  const src = packet.subarray(12, 16), dst = packet.subarray(16, 20);
  let sum = 6 + segment.length;
  for (const half of [src, dst, segment]) {
    for (let i = 0; i < half.length; i++) sum += i & 1 ? half[i] : half[i] << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  if (segment.length >= 18) view.setUint16(16, ~sum & 0xffff);
  return ipv4({ src, dst, df: true, id: 1, proto: 6 }, segment);
}

/** How long a case took, ms: in all but its waits, and more than they were to be. */
interface Duration {
  own: number;
  over: number;
  /** A millisecond of the clock ended in it. */
  ticked: boolean;
}

function play(host: TcpHost, exchange: Exchange, { steps }: TcpCase): { out: TcpAnswers; took: Duration } {
  host.output();
  host.begin();
  const start = host.now();
  const out: TcpAnswers = [exchange.setup()];
  let waited = 0, over = 0;
  for (const step of steps) {
    const before = host.now();
    out.push(exchange.step(step));
    if (step.kind !== "wait") continue;
    const took = host.now() - before;
    waited += took;
    over += Math.max(0, took - step.ms - step.ms / 10);
  }
  const end = host.now();
  out.push(exchange.finish());
  return {
    out,
    took: { own: end - start - waited, over, ticked: waited === 0 && Math.floor(start) !== Math.floor(end) },
  };
}

/**
 * Runs cases one after the other, the first from the peer and port number `index`. A case that took too long is run again, from
 * another port; `late`: cases in which a millisecond ended each time.
 */
export function runCases(
  host: TcpHost,
  cases: readonly TcpCase[],
  index = 0,
): { answers: TcpAnswers[]; repeats: number; late: number } {
  let repeats = 0, late = 0;
  const answers = cases.map((spec) => {
    for (let tries = 0;; tries++) {
      const { out, took } = play(host, new Exchange(host, spec, index++), spec);
      const slow = took.own + took.over >= SLOW_MS;
      const shaky = took.ticked || took.own >= OWN_MS;
      if (!(slow && tries < TRIES) && !(shaky && tries < TICK_TRIES)) {
        if (shaky) late++;
        return out;
      }
      repeats++;
    }
  });
  return { answers, repeats, late };
}
