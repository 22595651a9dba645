/**
 * The server's sockets: UDP and TCP on each address of the host, so that every answer leaves from the address that was
 * asked. RFC 1035 section 4.2, RFC 6891, RFC 7766, RFC 8482.
 */
import { ERRNO, errnoName, type Net } from "../../../core/mod.ts";
import { DEVINET, inDevGet } from "../../network/devinet/contract.ts";
import { ipToString } from "../../network/inet/contract.ts";
import {
  AF_INET,
  type MsgHdr,
  msgHdr,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import { SYSCALL, type Syscalls } from "../syscall/contract.ts";
import { DNS_RCODE, type DnsServerStats } from "./contract.ts";
import { DNS_AA, DNS_CD, DNS_HLEN, DNS_QR, DNS_RD, DNS_TC } from "./header.ts";
import { decodeMessage, type DnsMessage, dnsMessage, encodeMessage } from "./message.ts";
import { DnsStream } from "./stream.ts";
import type { Zones } from "./zone.ts";

/** Bytes of a datagram to who says nothing (RFC 1035 section 2.3.4). */
const MIN_UDP = 512;
/** Bytes of the largest datagram: no fragments on any link of today (DNS flag day 2020). */
export const MAX_UDP = 1232;
const TYPE_ANY = 255, TYPE_AXFR = 252, TYPE_IXFR = 251;
const CLASS_IN = 1;
/** Connections at a time, and ms after which an idle one is closed (RFC 7766 section 6.2.3). */
const MAX_CONNECTIONS = 128, IDLE_MS = 10_000;

/** What there is on one address. */
interface Listener {
  readonly udp: number;
  readonly tcp: number;
}

/** The sockets of a server. */
export class ServerSockets implements Disposable {
  /** Counts. */
  readonly stats: DnsServerStats = {
    queries: 0,
    tcpQueries: 0,
    rcodes: [],
    truncated: 0,
    ignored: 0,
    tcpRefused: 0,
  };
  /** Addresses where the port was taken: the errno's name by address. */
  readonly failed: Map<string, string> = new Map();
  readonly #net: Net;
  readonly #sys: Syscalls;
  readonly #zones: Zones;
  readonly #port: number;
  readonly #only: ReadonlySet<number> | null;
  readonly #listeners = new Map<number, Listener>();
  readonly #streams = new Set<DnsStream>();
  readonly #rx: MsgHdr = msgHdr(new Uint8Array(0xffff));
  readonly #tx: MsgHdr = msgHdr();
  #chains: readonly Disposable[] = [];

  /** On `port` of the addresses `only`, null: all that the net has and will have. */
  constructor(net: Net, zones: Zones, port: number, only: ReadonlySet<number> | null) {
    this.#net = net;
    this.#sys = net.get(SYSCALL);
    this.#zones = zones;
    this.#port = port;
    this.#only = only;
  }

  /** Listens. */
  open(): void {
    const net = this.#net;
    // After fib, which makes the route without which nobody can be bound to an address; it does for one of a device that
    // is down when that comes up.
    const addresses = net.get(DEVINET).chain.register(({ kind, ifa }) => {
      if (kind === "NETDEV_DOWN") this.#close(ifa.local);
      else this.#open(ifa.local);
    }, -20);
    const devices = net.netdevChain.register(({ kind, dev }) => {
      if (kind === "NETDEV_UP") { for (const ifa of inDevGet(dev)?.ifaList ?? []) this.#open(ifa.local); }
    }, -20);
    this.#chains = [addresses, devices];
    for (const dev of net.devices) for (const ifa of inDevGet(dev)?.ifaList ?? []) this.#open(ifa.local);
  }

  #open(addr: number): void {
    if (this.#net.disposed || this.#listeners.has(addr) || (this.#only !== null && !this.#only.has(addr))) return;
    const udp = this.#bound(SOCK_DGRAM, 17, addr);
    if (udp < 0) return this.#fails(addr, udp);
    const tcp = this.#bound(SOCK_STREAM, 6, addr);
    if (tcp < 0) {
      this.#sys.close(udp);
      return this.#fails(addr, tcp);
    }
    this.failed.delete(ipToString(addr));
    this.#listeners.set(addr, { udp, tcp });
    this.#sys.onReady(udp, () => this.#receive(udp));
    this.#sys.onReady(tcp, () => this.#accept(tcp));
  }

  #bound(type: number, protocol: number, addr: number): number {
    const sys = this.#sys;
    const fd = sys.socket(AF_INET, type, protocol);
    if (fd < 0) return fd;
    if (type === SOCK_STREAM) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    let err = sys.bind(fd, addr, this.#port);
    if (err === 0 && type === SOCK_STREAM) err = sys.listen(fd, 64);
    if (err === 0) return fd;
    sys.close(fd);
    return err;
  }

  #fails(addr: number, errno: number): void {
    // It may be gone again.
    if (errno !== -ERRNO.EADDRNOTAVAIL) this.failed.set(ipToString(addr), errnoName(errno));
  }

  #close(addr: number): void {
    const at = this.#listeners.get(addr);
    if (at === undefined) return;
    this.#listeners.delete(addr);
    for (const fd of [at.udp, at.tcp]) {
      this.#sys.onReady(fd, null);
      this.#sys.close(fd);
    }
  }

  #receive(fd: number): void {
    const { buf } = this.#rx;
    for (;;) {
      const rx = this.#rx;
      rx.len = buf.length;
      const n = this.#sys.recvmsg(fd, rx, 0);
      if (n === -ERRNO.EAGAIN || n === -ERRNO.EBADF) return;
      // What ICMP says of an answer of ours is read, and forgotten.
      if (n < 0) continue;
      const { addr, port } = rx;
      const answer = this.#answer(new Uint8Array(buf.buffer, 0, n), false);
      if (answer === null || port === 0) continue;
      const tx = this.#tx;
      Object.assign(tx, { addr, port, buf: answer, len: answer.length });
      this.#sys.sendmsg(fd, tx, 0);
    }
  }

  #accept(fd: number): void {
    for (let conn = this.#sys.accept(fd); conn >= 0; conn = this.#sys.accept(fd)) {
      if (this.#streams.size >= MAX_CONNECTIONS) {
        this.stats.tcpRefused++;
        this.#sys.close(conn);
        continue;
      }
      const stream: DnsStream = new DnsStream(this.#net, this.#sys, conn, IDLE_MS, {
        message: (bytes) => {
          const answer = this.#answer(bytes, true);
          if (answer !== null) stream.send(answer);
        },
        closed: () => void this.#streams.delete(stream),
      });
      this.#streams.add(stream);
      stream.run();
    }
  }

  /** The bytes of the answer; null: there is none, lest two servers answer each other for ever. */
  #answer(bytes: Uint8Array, tcp: boolean): Uint8Array | null {
    const { stats } = this;
    if (bytes.length < DNS_HLEN || (bytes[2] & DNS_QR >>> 8) !== 0) {
      stats.ignored++;
      return null;
    }
    stats.queries++;
    if (tcp) stats.tcpQueries++;
    const query = decodeMessage(bytes);
    const answer = typeof query === "string" ? malformed(bytes) : this.#respond(query);
    stats.rcodes[answer.rcode] = (stats.rcodes[answer.rcode] ?? 0) + 1;
    const theirs = typeof query === "string" || query.edns === null ? MIN_UDP : query.edns.udpSize;
    const limit = tcp ? 0xffff : Math.min(Math.max(theirs, MIN_UDP), MAX_UDP);
    const out = encodeMessage(answer, limit);
    if ((out[2] & DNS_TC >>> 8) !== 0) stats.truncated++;
    return out;
  }

  #respond(query: DnsMessage): DnsMessage {
    const { id, opcode, questions, edns } = query;
    const answer = dnsMessage({ id, opcode, flags: DNS_QR | query.flags & (DNS_RD | DNS_CD) });
    // Several would be no answer to any, and may be longer than the answer may be.
    if (questions.length === 1) answer.questions = questions;
    if (edns !== null) answer.edns = { udpSize: MAX_UDP, version: 0, dnssec: edns.dnssec };
    const refuse = (rcode: number): DnsMessage => Object.assign(answer, { rcode });
    if (opcode !== 0) return refuse(DNS_RCODE.NOTIMP);
    if (edns !== null && edns.version !== 0) return refuse(DNS_RCODE.BADVERS);
    if (questions.length !== 1) return refuse(DNS_RCODE.FORMERR);
    const [{ name, type, class: klass }] = questions;
    // All records at once serve only who wants to flood others with them (RFC 8482).
    if (klass !== CLASS_IN || type === TYPE_ANY || type === TYPE_AXFR || type === TYPE_IXFR) {
      return refuse(DNS_RCODE.REFUSED);
    }
    const { authoritative, ...found } = this.#zones.answer(name, type);
    if (authoritative) answer.flags |= DNS_AA;
    return Object.assign(answer, found);
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    for (const chain of this.#chains) chain[Symbol.dispose]();
    for (const addr of [...this.#listeners.keys()]) this.#close(addr);
    for (const stream of this.#streams) stream.close();
    this.#streams.clear();
  }
}

/** What cannot be read is answered by its header alone. */
function malformed(bytes: Uint8Array): DnsMessage {
  return dnsMessage({
    id: bytes[0] << 8 | bytes[1],
    opcode: bytes[2] >>> 3 & 15,
    flags: DNS_QR | (bytes[2] << 8 & DNS_RD),
    rcode: DNS_RCODE.FORMERR,
  });
}
