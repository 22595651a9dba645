/**
 * Messages over TCP: a length of two bytes, then so many bytes. RFC 1035 section 4.2.2, RFC 7766.
 */
import { ERRNO, type Net, Timer } from "../../../core/mod.ts";
import { type MsgHdr, msgHdr, POLLERR, POLLHUP } from "../../transport/sock/contract.ts";
import type { Syscalls } from "../syscall/contract.ts";

const EAGAIN = -ERRNO.EAGAIN;
/** Responses that may wait for room before no more queries are read. */
const MAX_WAITING = 16;

/** What a stream tells. */
export interface DnsStreamEvents {
  /** A message, whole; the bytes are the receiver's. */
  message(bytes: Uint8Array): void;
  /** It is over: the peer closed, an error came, or nothing for too long. Not called after {@linkcode DnsStream.close}. */
  closed(): void;
}

/** Bytes on their way. */
interface Outgoing {
  readonly bytes: Uint8Array;
  at: number;
}

/** A connection that carries messages. It owns the descriptor. */
export class DnsStream {
  readonly #net: Net;
  readonly #sys: Syscalls;
  readonly #events: DnsStreamEvents;
  readonly #rx: MsgHdr = msgHdr();
  readonly #tx: MsgHdr = msgHdr();
  readonly #out: Outgoing[] = [];
  readonly #idle: Timer;
  readonly #idleMs: number;
  #fd: number;
  /** What is filled now: the two bytes of the length, or a message. */
  #into = new Uint8Array(2);
  #have = 0;
  #length = true;
  #running = false;
  #again = false;

  /** Around a descriptor that is connected or connecting; closed after `idleMs` without a byte. */
  constructor(net: Net, sys: Syscalls, fd: number, idleMs: number, events: DnsStreamEvents) {
    this.#net = net;
    this.#sys = sys;
    this.#fd = fd;
    this.#events = events;
    this.#idleMs = idleMs;
    // Nobody waits for it: a peer that is gone keeps no virtual time running.
    this.#idle = new Timer(() => this.#end(), true);
    net.machine.modTimer(this.#idle, idleMs);
    sys.onReady(fd, () => this.run());
  }

  /** Sends a message, as soon as there is room. */
  send(message: Uint8Array): void {
    if (this.#fd < 0) return;
    this.#out.push({ bytes: Uint8Array.of(message.length >>> 8, message.length), at: 0 }, { bytes: message, at: 0 });
    this.run();
  }

  /** Moves what can be moved. */
  run(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    while (this.#again && this.#fd >= 0) {
      this.#again = false;
      this.#write();
      if (this.#out.length < 2 * MAX_WAITING) this.#read();
    }
    this.#running = false;
  }

  #write(): void {
    for (let first = this.#out[0]; first !== undefined && this.#fd >= 0; first = this.#out[0]) {
      const tx = this.#tx;
      tx.buf = first.bytes;
      tx.off = first.at;
      tx.len = first.bytes.length - first.at;
      const n = this.#sys.sendmsg(this.#fd, tx, 0);
      if (n === EAGAIN) return;
      if (n < 0) {
        // Not connected yet is no error; what else it is, poll() says.
        if ((this.#sys.poll(this.#fd) & (POLLERR | POLLHUP)) !== 0) this.#end();
        return;
      }
      this.#touch();
      first.at += n;
      if (first.at === first.bytes.length) this.#out.shift();
    }
  }

  #read(): void {
    while (this.#fd >= 0 && this.#out.length < 2 * MAX_WAITING) {
      const rx = this.#rx;
      rx.buf = this.#into;
      rx.off = this.#have;
      rx.len = this.#into.length - this.#have;
      const n = this.#sys.recvmsg(this.#fd, rx, 0);
      if (n === EAGAIN) return;
      if (n <= 0) {
        if (n === 0 || (this.#sys.poll(this.#fd) & (POLLERR | POLLHUP)) !== 0) this.#end();
        return;
      }
      this.#touch();
      this.#have += n;
      if (this.#have === this.#into.length) this.#filled();
    }
  }

  /** A length or a message is whole. */
  #filled(): void {
    const bytes = this.#into;
    const length = this.#length ? bytes[0] << 8 | bytes[1] : 2;
    this.#have = 0;
    if (this.#length && length === 0) return this.#end();
    this.#into = new Uint8Array(length);
    this.#length = !this.#length;
    if (this.#length) this.#events.message(bytes);
  }

  #touch(): void {
    this.#net.machine.modTimer(this.#idle, this.#idleMs);
  }

  #end(): void {
    if (this.#fd < 0) return;
    this.close();
    this.#events.closed();
  }

  /** Closes it; nothing more is told. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#out.length = 0;
    this.#net.machine.delTimer(this.#idle);
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
  }
}
