/**
 * `listenDatagram()`: Deno's datagram socket over the system calls.
 */
import { ERRNO, type Net } from "../../../core/mod.ts";
import { ipToString } from "../../network/inet/contract.ts";
import {
  AF_INET,
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  MSG_PEEK,
  type MsgHdr,
  msgHdr,
  SO_BROADCAST,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOL_IP,
  SOL_SOCKET,
} from "../../transport/sock/contract.ts";
import type { Syscalls } from "../syscall/contract.ts";
import { attempt, needBytes, needPort, needTransport, resolveHost } from "./args.ts";
import type { DatagramConn, ListenDatagramOptions, MulticastMembership, UdpAddr } from "./contract.ts";
import { type Face, faceOf, Hold } from "./face.ts";
import { BadResource, Interrupted, NotSupported, socketError } from "./errors.ts";

const IPPROTO_UDP = 17;
const EAGAIN = -ERRNO.EAGAIN;

type Datagram = [Uint8Array<ArrayBuffer>, UdpAddr];

/** A receive() that waits for a datagram. */
interface Reader {
  into: Uint8Array | undefined;
  resolve(datagram: Datagram): void;
  reject(error: Error): void;
}

/** A send() that waits for room. */
interface Writer {
  bytes: Uint8Array;
  addr: number;
  port: number;
  resolve(bytes: number): void;
  reject(error: Error): void;
}

/**
 * A datagram socket of `net`, bound. Errors are those of {@linkcode socketError}: `AddrInUse`, `AddrNotAvailable`; a
 * port that is none is a RangeError.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { listenDatagram } from "@netpath/stack/deno";
 *
 * using machine = new Machine();
 * const net = machine.createNet();
 * assertThrows(() => listenDatagram(net, { port: 70000 }), RangeError, "Cannot listen on port 70000");
 * ```
 */
export function listenDatagram(net: Net, options: ListenDatagramOptions): DatagramConn {
  needTransport("listen", options, "udp");
  const { port = 0, hostname = "0.0.0.0", reuseAddress = false, loopback = false, broadcast = false } = options;
  needPort("listen on", port);
  const addr = resolveHost(hostname, "listen on");
  const face = faceOf(net);
  const sys = face.sys;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
  if (fd < 0) throw socketError(fd, "make a datagram socket");
  if (reuseAddress) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (broadcast) sys.setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1);
  sys.setsockopt(fd, SOL_IP, IP_MULTICAST_LOOP, loopback ? 1 : 0);
  const err = sys.bind(fd, addr, port);
  if (err < 0) {
    sys.close(fd);
    throw socketError(err, `bind ${hostname}:${port}`);
  }
  return new UdpConn(face, fd);
}

class UdpConn implements DatagramConn {
  readonly addr: UdpAddr;
  readonly #sys: Syscalls;
  readonly #rx: MsgHdr = msgHdr();
  readonly #tx: MsgHdr = msgHdr();
  readonly #readers: Reader[] = [];
  readonly #writers: Writer[] = [];
  #fd: number;
  #fromAddr = 0;
  #fromHost = "0.0.0.0";
  #toHost = "0.0.0.0";
  #toAddr = 0;
  /** poll() may have changed since a call began. */
  #woken = false;
  readonly #face: Face;
  readonly #hold: Hold;

  constructor(face: Face, fd: number) {
    const { sys } = face;
    this.#face = face;
    this.#sys = sys;
    this.#fd = fd;
    this.#hold = new Hold(face);
    const own = { addr: 0, port: 0 };
    sys.getsockname(fd, own);
    this.addr = { transport: "udp", hostname: ipToString(own.addr), port: own.port };
    sys.onReady(fd, () => this.#wake());
    // When the net ends, who waits is told.
    face.enter(this);
  }

  receive(p?: Uint8Array): Promise<Datagram> {
    if (this.#fd < 0) return Promise.reject(closed("receive"));
    if (p !== undefined && !(p instanceof Uint8Array)) return attempt(() => needBytes("receive into it", p) as never);
    if (this.#readers.length === 0) {
      this.#woken = false;
      let got = this.#take(p);
      // A datagram may have come at the call's own exit, before anybody waited for it.
      if (got === null && this.#woken) got = this.#take(p);
      if (got !== null) return got instanceof Error ? Promise.reject(got) : Promise.resolve(got);
    }
    this.#hold.waits = true;
    return new Promise((resolve, reject) => this.#readers.push({ into: p, resolve, reject }));
  }

  send(p: Uint8Array, addr: UdpAddr): Promise<number> {
    if (this.#fd < 0) return Promise.reject(closed("send"));
    let to: number;
    try {
      needBytes("send", p);
      needTransport("send", addr, "udp");
      needPort("send to", addr.port);
      to = this.#resolve(addr.hostname);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#writers.length === 0) {
      this.#woken = false;
      let sent = this.#put(p, to, addr.port);
      if (sent === EAGAIN && this.#woken) sent = this.#put(p, to, addr.port);
      if (sent >= 0) return Promise.resolve(sent);
      if (sent !== EAGAIN) return Promise.reject(sendError(sent, to, addr.port));
    }
    this.#hold.waits = true;
    return new Promise((resolve, reject) =>
      this.#writers.push({ bytes: p, addr: to, port: addr.port, resolve, reject })
    );
  }

  close(): void {
    if (this.#fd < 0) throw closed("close");
    const fd = this.#fd;
    this.#fd = -1;
    this.#hold.waits = false;
    this.#face.leave(this);
    this.#sys.onReady(fd, null);
    this.#sys.close(fd);
    for (const r of this.#readers.splice(0)) r.reject(new Interrupted("Cannot receive: the socket was closed"));
    for (const w of this.#writers.splice(0)) w.reject(new Interrupted("Cannot send: the socket was closed"));
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Datagram> {
    while (this.#fd >= 0) {
      try {
        yield await this.receive();
      } catch (error) {
        if (error instanceof Interrupted || error instanceof BadResource) return;
        throw error;
      }
    }
  }

  joinMulticastV4(address: string, networkInterface: string): Promise<MulticastMembership> {
    return attempt(() => {
      const group = resolveHost(address, "join group");
      const ifaddr = resolveHost(networkInterface, "join a group on interface");
      this.#option(`join group ${address}`, IP_ADD_MEMBERSHIP, group, ifaddr);
      const later = (what: string, name: number, value: number, value2 = 0): Promise<void> =>
        attempt(() => this.#option(what, name, value, value2));
      return {
        leave: () => later(`leave group ${address}`, IP_DROP_MEMBERSHIP, group, ifaddr),
        setLoopback: (on) => later("set multicast loopback", IP_MULTICAST_LOOP, on ? 1 : 0),
        setTTL: (ttl) => later(`set multicast TTL ${ttl}`, IP_MULTICAST_TTL, ttl),
      };
    });
  }

  joinMulticastV6(address: string): Promise<MulticastMembership> {
    return Promise.reject(new NotSupported(`Cannot join group ${address}: there is no IPv6`));
  }

  #option(what: string, name: number, value: number, value2: number): void {
    if (this.#fd < 0) throw closed(what);
    const err = this.#sys.setsockopt(this.#fd, SOL_IP, name, value, value2);
    if (err < 0) throw socketError(err, what);
  }

  /** At the outermost exit: serves those that wait, in order, as far as there are datagrams and room. */
  #wake(): void {
    this.#woken = true;
    while (this.#readers.length > 0) {
      const got = this.#take(this.#readers[0].into);
      if (got === null) break;
      const reader = this.#readers.shift()!;
      if (got instanceof Error) reader.reject(got);
      else reader.resolve(got);
    }
    while (this.#writers.length > 0) {
      const w = this.#writers[0];
      const sent = this.#put(w.bytes, w.addr, w.port);
      if (sent === EAGAIN) break;
      this.#writers.shift();
      if (sent < 0) w.reject(sendError(sent, w.addr, w.port));
      else w.resolve(sent);
    }
    this.#hold.waits = this.#readers.length + this.#writers.length > 0;
  }

  /** The next datagram, an error that waits, or null: none. */
  #take(into: Uint8Array | undefined): Datagram | Error | null {
    const next = this.#sys.sock(this.#fd)?.receiveQueue.head ?? null;
    const buf = into ?? new Uint8Array(next === null ? 0 : next.len);
    const msg = this.#rx;
    msg.buf = buf;
    msg.len = buf.length;
    // Where work takes time a datagram may come during the call, for which there is no room yet: it is only looked at.
    const blind = next === null && into === undefined;
    const n = this.#sys.recvmsg(this.#fd, msg, blind ? MSG_PEEK : 0);
    if (n === EAGAIN) return null;
    if (blind && n >= 0) return this.#take(into);
    if (n < 0) return socketError(n, "receive");
    if (msg.addr !== this.#fromAddr) {
      this.#fromAddr = msg.addr;
      this.#fromHost = ipToString(msg.addr);
    }
    const data = n === buf.length ? buf : new Uint8Array(buf.buffer, buf.byteOffset, n);
    return [data as Uint8Array<ArrayBuffer>, { transport: "udp", hostname: this.#fromHost, port: msg.port }];
  }

  #put(bytes: Uint8Array, addr: number, port: number): number {
    const msg = this.#tx;
    msg.addr = addr;
    msg.port = port;
    msg.buf = bytes;
    msg.len = bytes.length;
    return this.#sys.sendmsg(this.#fd, msg, 0);
  }

  #resolve(hostname: string): number {
    if (hostname !== this.#toHost) {
      this.#toAddr = resolveHost(hostname, "send to");
      this.#toHost = hostname;
    }
    return this.#toAddr;
  }
}

function closed(what: string): BadResource {
  return new BadResource(`Cannot ${what}: the socket is closed`);
}

function sendError(errno: number, addr: number, port: number): Error {
  return socketError(errno, `send to ${ipToString(addr)}:${port}`);
}
