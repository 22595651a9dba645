/**
 * The links that come with the stream device.
 *
 * @module
 */
import type { DuplexStream, StreamLink, StreamPort } from "./contract.ts";

/** Bytes of frames in one write. */
const BATCH = 65_536;
/** Writes that are under way: one that is being done, and the next. */
const BATCHES_AHEAD = 2;
/** The same where each is one frame. */
const FRAMES_AHEAD = 32;
/** Chunks that are read before others get a turn. */
const CHUNKS_A_TURN = 256;
/** ms that what was sent has for arriving when the device ends. */
const CLOSE_MS = 1000;
/** Bytes that wait in a WebSocket before no more are given to it. */
const WEBSOCKET_AHEAD = 262_144;
/** ms between looks at a WebSocket that has its fill: it tells nobody when it has sent. */
const WEBSOCKET_LOOK = [2, 50] as const;

/** The next turn of the event loop. */
function nextTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (fn: () => void) => unknown };
  return new Promise((go) => void (setImmediate ?? setTimeout)(() => go()));
}

/** Resolves when `work` is done, failed, or took too long. */
function inTime(work: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    work.catch(() => {}).then(() => {
      clearTimeout(timer);
      done();
    });
  });
}

/** Over a pair of streams. */
class PairLink implements StreamLink {
  readonly name: string;
  readonly batch: number;
  readonly #pair: DuplexStream;
  readonly #ahead: number;
  #port: StreamPort | null = null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #writer: WritableStreamDefaultWriter<Uint8Array> | null = null;
  #underWay = 0;
  #closed = false;
  /** What the device has not taken yet, and from where on. */
  #rest: Uint8Array | null = null;
  #at = 0;
  #goOn: (() => void) | null = null;

  constructor(name: string, pair: DuplexStream, prefixed: boolean) {
    this.name = name;
    this.#pair = pair;
    this.batch = prefixed ? BATCH : 0;
    this.#ahead = prefixed ? BATCHES_AHEAD : FRAMES_AHEAD;
  }

  open(port: StreamPort): boolean {
    this.#port = port;
    this.#reader = this.#pair.readable.getReader();
    this.#writer = this.#pair.writable.getWriter();
    // A write that fails says so itself.
    this.#writer.closed.catch((error) => this.#end(error));
    this.#read(this.#reader).then(() => port.end(null), (error) => this.#end(error));
    return true;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#underWay++;
    this.#writer!.write(bytes).then(() => {
      if (this.#underWay-- === this.#ahead) this.#port!.writable();
    }, (error) => this.#end(error));
    return this.#underWay < this.#ahead;
  }

  resume(): void {
    if (this.#rest === null || !this.#give()) return;
    this.#goOn?.();
    this.#goOn = null;
  }

  async close(abort: boolean): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#goOn?.();
    // It may be refused before it was opened.
    const reader = this.#reader ?? this.#pair.readable.getReader();
    const writer = this.#writer ?? this.#pair.writable.getWriter();
    const ignore = (): void => {};
    if (!abort) await inTime(writer.close(), CLOSE_MS);
    // An abort may wait for a write that nobody takes, as that of a TransformStream does: it is not waited for.
    writer.abort().catch(ignore);
    reader.cancel().catch(ignore);
  }

  #end(error: unknown): void {
    if (this.#closed) return;
    this.#port!.end(error instanceof Error ? error.message : String(error ?? "the other end gave it up"));
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let chunks = 1; !this.#closed; chunks++) {
      // Streams of this process may always have something: timers and sockets get their turn all the same.
      if (chunks % CHUNKS_A_TURN === 0) await nextTurn();
      const { done, value } = await reader.read();
      if (done) return;
      this.#rest = value;
      this.#at = 0;
      if (!this.#give() && !this.#closed) await new Promise<void>((go) => this.#goOn = go);
    }
  }

  /** Gives the device what is left of the last chunk. False: it has no room for all of it, or for more. */
  #give(): boolean {
    const chunk = this.#rest!;
    if (this.batch === 0) {
      if (this.#at === 0 && !this.#port!.message(chunk)) {
        // It has this one; the next waits.
        this.#at = 1;
        return false;
      }
      this.#rest = null;
      return true;
    }
    this.#at = this.#port!.bytes(chunk, this.#at);
    if (this.#at < chunk.length) return false;
    this.#rest = null;
    return true;
  }
}

/**
 * QEMU's stream sockets (`-netdev stream`, `-netdev socket`, passt): frames in a stream of bytes, each behind its length
 * as 32 bits, big endian. A length of 0 or above {@linkcode STREAM_MAX_FRAME} ends the link. QEMU: net/stream.c.
 */
export function qemuLink(conn: DuplexStream): StreamLink {
  return new PairLink("qemu", conn, true);
}

/** A frame a chunk, each way. */
export function frameLink(pair: DuplexStream): StreamLink {
  return new PairLink("streams", pair, false);
}

/** A binary message is a frame; text is not understood and left out. */
class WebSocketLink implements StreamLink {
  readonly name = "websocket";
  readonly batch = 0;
  readonly #ws: WebSocket;
  #port: StreamPort | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
  }

  open(port: StreamPort): boolean {
    const ws = this.#ws;
    this.#port = port;
    let why: string | null = null;
    ws.addEventListener("open", () => port.up());
    ws.addEventListener("message", (e) => {
      if (e.data instanceof ArrayBuffer) port.message(new Uint8Array(e.data));
    });
    // An error comes before the close that it leads to.
    ws.addEventListener("error", (e) => why = (e as ErrorEvent).message || "the WebSocket failed");
    ws.addEventListener("close", () => {
      clearTimeout(this.#timer);
      port.end(why);
    });
    if (ws.readyState >= WebSocket.CLOSING) queueMicrotask(() => port.end("the WebSocket is closed"));
    return ws.readyState === WebSocket.OPEN;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#ws.send(bytes);
    if (this.#ws.bufferedAmount < WEBSOCKET_AHEAD) return true;
    this.#look(WEBSOCKET_LOOK[0]);
    return false;
  }

  /** What comes cannot be held back. */
  resume(): void {}

  close(): Promise<void> {
    clearTimeout(this.#timer);
    const ws = this.#ws;
    if (ws.readyState === WebSocket.CLOSED) return Promise.resolve();
    const closed = new Promise((done) => ws.addEventListener("close", done));
    ws.close();
    // A peer that does not answer the close is not waited for.
    return inTime(closed, CLOSE_MS);
  }

  #look(ms: number): void {
    this.#timer = setTimeout(() => {
      if (this.#ws.bufferedAmount <= WEBSOCKET_AHEAD / 2) this.#port!.writable();
      else this.#look(Math.min(2 * ms, WEBSOCKET_LOOK[1]));
    }, ms);
  }
}

/**
 * A WebSocket with an Ethernet frame in each binary message, as v86, jslinux and the relays for them speak. Nothing can hold
 * back what a WebSocket receives: frames that find the ring full are lost and counted as `rxMissed`.
 */
export function webSocketLink(ws: WebSocket): StreamLink {
  return new WebSocketLink(ws);
}

/** Options of {@linkcode portLink}. */
export interface PortLinkOptions {
  /**
   * Frames that may be under way, at most `rxLimit` of the other end; both ends must say so. Without it a port takes all that
   * is sent, and frames that find the other end's ring full are lost.
   */
  window?: number;
}

/** A message is a frame: a Uint8Array or an ArrayBuffer. A number says how many frames were taken. */
class PortLink implements StreamLink {
  readonly name = "port";
  readonly batch = 0;
  readonly #port: MessagePort;
  readonly #window: number;
  #underWay = 0;
  #owed = 0;
  #device: StreamPort | null = null;
  readonly #heard = (e: MessageEvent): void => this.#message(e.data);
  readonly #gone = (): void => this.#device!.end(null);

  constructor(port: MessagePort, window: number) {
    this.#port = port;
    this.#window = window;
  }

  open(device: StreamPort): boolean {
    this.#device = device;
    this.#port.addEventListener("message", this.#heard);
    this.#port.addEventListener("close", this.#gone);
    this.#port.start();
    return true;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#port.postMessage(bytes, [bytes.buffer]);
    return ++this.#underWay < this.#window;
  }

  resume(): void {
    if (this.#owed > 0) this.#port.postMessage(this.#owed);
    this.#owed = 0;
  }

  close(): void {
    this.#port.removeEventListener("message", this.#heard);
    this.#port.removeEventListener("close", this.#gone);
    this.#port.postMessage(null);
    this.#port.close();
  }

  #message(data: unknown): void {
    if (data === null) return this.#gone();
    if (typeof data === "number") {
      const full = this.#underWay >= this.#window;
      this.#underWay = Math.max(0, this.#underWay - data);
      if (full && this.#underWay < this.#window) this.#device!.writable();
      return;
    }
    const frame = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
    if (!(frame instanceof Uint8Array)) return;
    const more = this.#device!.message(frame);
    if (this.#window === Infinity) return;
    this.#owed++;
    if (more) this.resume();
  }
}

/**
 * A MessagePort, to a worker or within a process: a frame a message, whose memory moves with it. `null` says that the
 * sender has ended.
 */
export function portLink(port: MessagePort, options: PortLinkOptions = {}): StreamLink {
  const { window = Infinity } = options;
  if (!(window >= 1)) throw new RangeError(`Cannot use a window of ${window} frames: at least 1`);
  return new PortLink(port, window);
}
