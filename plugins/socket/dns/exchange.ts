/**
 * One question to the servers: over UDP, from a port that nobody can guess, with an id that nobody can guess; again and to
 * the next server where no answer comes; over TCP where it was cut. RFC 1035 section 4.2, RFC 5452, RFC 7766.
 */
import { ERRNO, HrTimer, type Net } from "../../../core/mod.ts";
import { AF_INET, type MsgHdr, msgHdr, SOCK_DGRAM, SOCK_STREAM } from "../../transport/sock/contract.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";
import { DNS_PORT, DNS_RCODE, type ResolveCode, type ResolverStats } from "./contract.ts";
import { DNS_RD, DNS_TC, nameKey } from "./header.ts";
import { decodeMessage, type DnsMessage, dnsMessage, encodeMessage, isResponse } from "./message.ts";
import { DnsStream } from "./stream.ts";

/** Bytes of the largest datagram that is asked for: as {@linkcode MAX_UDP} of a server. */
const UDP_SIZE = 1232;
/** The first port that questions come from. */
const FIRST_PORT = 1024;
/** Ports that are tried before the net chooses one. */
const PORT_TRIES = 16;

/** How questions are put. */
export interface ExchangeOptions {
  /** ms until the first servers have had their time; doubled each round. */
  readonly timeout: number;
  /** Rounds. */
  readonly attempts: number;
  /** Capital letters at random, which the answer must repeat. */
  readonly randomizeCase: boolean;
  /** Port of the servers. */
  readonly port: number;
}

/** A question on its way. */
export class Exchange {
  readonly #net: Net;
  readonly #sys: Syscalls;
  readonly #options: ExchangeOptions;
  readonly #stats: ResolverStats;
  readonly #servers: readonly number[];
  readonly #name: string;
  readonly #type: number;
  readonly #done: (response: DnsMessage | ResolveCode, server: number) => void;
  readonly #timer: HrTimer;
  readonly #rx: MsgHdr = msgHdr(new Uint8Array(UDP_SIZE));
  #asked = dnsMessage();
  #fd = -1;
  #stream: DnsStream | null = null;
  #round = 0;
  #at = 0;
  #edns = true;
  #over = false;
  /** What is said if nobody says anything better. */
  #code: ResolveCode = "ECONNREFUSED";

  /** Asks `servers`; `done` once: a response that is an answer (NOERROR, NXDOMAIN), or why there is none. */
  constructor(
    net: Net,
    options: ExchangeOptions,
    stats: ResolverStats,
    servers: readonly number[],
    name: string,
    type: number,
    done: (response: DnsMessage | ResolveCode, server: number) => void,
  ) {
    this.#net = net;
    this.#sys = net.get(SYSCALL);
    this.#options = options;
    this.#stats = stats;
    this.#servers = servers;
    this.#name = name;
    this.#type = type;
    this.#done = done;
    this.#timer = new HrTimer(() => this.#timedOut());
  }

  /** Begins. */
  start(): void {
    this.#send();
  }

  /** Forgets it. */
  cancel(): void {
    this.#over = true;
    this.#quiet();
  }

  #end(response: DnsMessage | ResolveCode): void {
    if (this.#over) return;
    this.cancel();
    this.#done(response, this.#servers[this.#at] ?? 0);
  }

  /** No more of what was under way with one server. */
  #quiet(): void {
    this.#net.machine.hrtimers.cancel(this.#timer);
    this.#stream?.close();
    this.#stream = null;
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
  }

  #timedOut(): void {
    this.#code = "ETIMEOUT";
    this.#next();
  }

  /** The next server, or the next round. */
  #next(): void {
    this.#quiet();
    this.#edns = true;
    if (++this.#at >= this.#servers.length) {
      this.#at = 0;
      if (++this.#round >= this.#options.attempts) return this.#end(this.#code);
    }
    this.#stats.retries++;
    this.#send();
  }

  #arm(): void {
    const { machine } = this.#net;
    const ms = this.#options.timeout * 2 ** this.#round;
    machine.enter();
    machine.hrtimers.start(this.#timer, machine.now + ms * 1e6);
    machine.exit();
  }

  /** Asks the server whose turn it is, with another id and from another port each time. */
  #send(): void {
    const { machine } = this.#net;
    if (this.#servers.length === 0) return this.#end("ECONNREFUSED");
    this.#asked = dnsMessage({
      id: machine.platform.random() & 0xffff,
      flags: DNS_RD,
      questions: [{ name: this.#spelling(), type: this.#type, class: 1 }],
      edns: this.#edns ? { udpSize: UDP_SIZE, version: 0, dnssec: false } : null,
    });
    const fd = this.#fd = this.#open();
    if (fd < 0) return this.#unreachable();
    const query = msgHdr(encodeMessage(this.#asked));
    this.#sys.onReady(fd, () => this.#receive());
    this.#arm();
    this.#stats.queries++;
    const rc = this.#sys.sendmsg(fd, query, 0);
    // EAGAIN: as lost as one that a router drops.
    if (rc < 0 && rc !== -ERRNO.EAGAIN) this.#unreachable();
    else this.#receive();
  }

  /** Asking is as good as done: at once the next one, but from a timer, so that many servers are no deep stack. */
  #unreachable(): void {
    const { machine } = this.#net;
    this.#code = this.#code === "ETIMEOUT" ? "ETIMEOUT" : "ECONNREFUSED";
    this.#quiet();
    machine.enter();
    machine.hrtimers.start(new HrTimer(() => this.#over || this.#next()), machine.now);
    machine.exit();
  }

  /** A socket that hears only this server, on a port out of 64,512 (RFC 5452 section 9.2). */
  #open(): number {
    const sys = this.#sys;
    const random = this.#net.machine.platform;
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 17);
    if (fd < 0) return fd;
    let err = -1;
    for (let i = 0; i <= PORT_TRIES && err !== 0; i++) {
      const port = FIRST_PORT + (random.random() >>> 0) % (0x10000 - FIRST_PORT);
      err = sys.bind(fd, 0, i === PORT_TRIES ? 0 : port);
    }
    if (err === 0) err = sys.connect(fd, this.#servers[this.#at], this.#options.port);
    if (err === 0) return fd;
    sys.close(fd);
    return err;
  }

  #spelling(): string {
    if (!this.#options.randomizeCase) return this.#name;
    let bits = 0, left = 0, text = "";
    for (const c of this.#name) {
      if (left-- === 0) [bits, left] = [this.#net.machine.platform.random(), 31];
      text += (bits & 1) === 0 ? c : c.toUpperCase();
      bits >>>= 1;
    }
    return text;
  }

  #receive(): void {
    const rx = this.#rx;
    while (!this.#over && this.#fd >= 0 && this.#stream === null) {
      rx.len = rx.buf.length;
      const n = this.#sys.recvmsg(this.#fd, rx, 0);
      if (n === -ERRNO.EAGAIN) return;
      if (n < 0) return this.#unreachable();
      this.#heard(new Uint8Array(rx.buf.buffer, 0, n), false);
    }
  }

  /** Is it the answer? What is not is as if it had not come: nobody can spoil a question by guessing wrong. */
  #heard(bytes: Uint8Array, tcp: boolean): void {
    const response = decodeMessage(bytes);
    if (typeof response === "string") {
      this.#stats.malformed++;
      return;
    }
    if (!this.#matches(response)) {
      this.#stats.mismatched++;
      return;
    }
    const { rcode } = response;
    if ((response.flags & DNS_TC) !== 0 && !tcp) return this.#overTcp();
    if (rcode === DNS_RCODE.NOERROR || rcode === DNS_RCODE.NXDOMAIN) return this.#end(response);
    if (this.#edns && (rcode === DNS_RCODE.FORMERR || rcode === DNS_RCODE.NOTIMP)) {
      // It does not know EDNS (RFC 6891 section 6.2.2).
      this.#quiet();
      this.#edns = false;
      this.#stats.retries++;
      return this.#send();
    }
    this.#code = rcode === DNS_RCODE.REFUSED ? "EREFUSED" : "ESERVFAIL";
    this.#next();
  }

  #matches(response: DnsMessage): boolean {
    const [asked] = this.#asked.questions;
    const [q] = response.questions;
    if (!isResponse(response) || response.id !== this.#asked.id || response.opcode !== 0) return false;
    // Who does not know EDNS may not repeat the question with the error.
    if (q === undefined) return response.rcode === DNS_RCODE.FORMERR || response.rcode === DNS_RCODE.NOTIMP;
    if (response.questions.length !== 1 || q.type !== asked.type || q.class !== 1) return false;
    return this.#options.randomizeCase ? q.name === asked.name : nameKey(q.name) === nameKey(asked.name);
  }

  #overTcp(): void {
    const sys = this.#sys;
    const server = this.#servers[this.#at];
    this.#quiet();
    const fd = sys.socket(AF_INET, SOCK_STREAM, 6);
    if (fd < 0) return this.#unreachable();
    const rc = sys.connect(fd, server, this.#options.port);
    if (rc < 0 && rc !== -ERRNO.EINPROGRESS) {
      sys.close(fd);
      return this.#unreachable();
    }
    this.#arm();
    this.#stats.tcpQueries++;
    const stream = this.#stream = new DnsStream(this.#net, sys, fd, 60_000, {
      message: (bytes) => this.#heard(bytes, true),
      closed: () => this.#unreachable(),
    });
    stream.send(encodeMessage(this.#asked));
  }
}

/** The port, and how long to wait: as resolv.conf(5) has it. */
export const EXCHANGE_DEFAULTS: ExchangeOptions = {
  timeout: 5000,
  attempts: 2,
  randomizeCase: false,
  port: DNS_PORT,
};
