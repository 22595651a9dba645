/**
 * A peer for one host that is nobody's TCP: it shows each segment that the host sends, and sends what the test says. Its
 * sequence numbers and the host's are told relative to the initial ones.
 */
import { assert, assertEquals } from "@std/assert";
import { type NetDevice, netdevOps, NETIF_F_HW_CSUM, NETIF_F_SG } from "../../core/mod.ts";
import { createHost, type Host } from "../../mod.ts";
import { INET, needIp } from "../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SO_RCVBUF, SOCK_STREAM, SOL_SOCKET } from "../../plugins/transport/sock/mod.ts";
import { tcpSk, type TcpSock } from "../../plugins/transport/tcp/tcp_sock.ts";
import { eth, ipv4, type Ipv4Fields, tcp, type TcpFields } from "./frames/build.ts";
import { type BytesLike, concat } from "./frames/bytes.ts";
import { decode, type Decoded } from "./frames/decode.ts";
import { TestMachine } from "./hosts.ts";

const HOST_MAC = "02:00:00:00:00:01";
const PEER_MAC = "02:00:00:00:00:02";
/** The peer's initial sequence number. */
const ISN = 0x10000;
const EINPROGRESS = -115;

/** A segment that the host sent. */
export interface Seen {
  /** `"S"`, `"PA"`: letters in the order of {@linkcode Decoded}. */
  flags: string;
  /** Relative to our side's initial number. */
  seq: number;
  /** Relative to the peer's, 0 where there is no ACK. */
  ack: number;
  /** As on the wire. */
  window: number;
  /** Bytes of payload. */
  len: number;
  /** IP identification. */
  id: number;
  /** Options in hex. */
  options: string;
  /** When, ms of the virtual clock. */
  at: number;
  /** The payload in hex. */
  payload: string;
  /** The urgent pointer. */
  urgent: number;
  /** Type of service, time to live. */
  tos: number;
  ttl: number;
}

/** What {@linkcode RawPeer} offers in a handshake. */
export interface PeerOptions {
  /** Its window; default 65535. */
  window?: number;
  /** Options of its SYN or SYN-ACK; default: MSS 1460. */
  options?: BytesLike;
  /** SO_RCVBUF of the host's listener. */
  rcvbuf?: number;
}

/** MSS option. */
export function mssOption(mss: number): Uint8Array {
  return Uint8Array.of(2, 4, mss >> 8, mss & 255);
}

/** NOP and window scale. */
export function wscaleOption(shift: number): Uint8Array {
  return Uint8Array.of(1, 3, 3, shift);
}

/** NOP, NOP, SACK-permitted. */
export const SACK_PERMITTED: Uint8Array = Uint8Array.of(1, 1, 4, 2);

/** NOP, NOP, SACK with blocks of numbers as the host sends them (relative to its initial number `isn`). */
export function sackOption(isn: number, ...blocks: [number, number][]): Uint8Array {
  const out = new Uint8Array(4 + 8 * blocks.length);
  const view = new DataView(out.buffer);
  out.set([1, 1, 5, 2 + 8 * blocks.length]);
  blocks.forEach(([from, to], i) => {
    view.setUint32(4 + 8 * i, (isn + from) >>> 0);
    view.setUint32(8 + 8 * i, (isn + to) >>> 0);
  });
  return out;
}

/** See the top. */
export class RawPeer implements Disposable {
  readonly machine: TestMachine;
  readonly host: Host;
  readonly dev: NetDevice;
  /** What the host sent and the test did not take yet. */
  readonly out: Seen[] = [];
  /** The host's initial sequence number. */
  isn = 0;
  /** The host's port. */
  port = 0;
  /** Ours. */
  readonly sport: number;

  constructor(options: { seed?: number; mtu?: number; sport?: number } = {}) {
    this.machine = new TestMachine({ seed: options.seed ?? 1 });
    this.sport = options.sport ?? 4000;
    this.host = createHost({ machine: this.machine, name: "host" });
    this.dev = this.host.net.registerNetdevice("eth0", {
      ops: netdevOps({
        startXmit: (skb) => {
          const parts = [skb.bytes.slice(skb.data, skb.tail)];
          for (let i = 0; i < skb.nrFrags; i++) {
            const f = skb.frags[i];
            parts.push(f.slab.bytes.slice(f.offset, f.offset + f.size));
          }
          skb.consume();
          this.#saw(decode(concat(...parts)));
          return 0;
        },
      }),
      address: HOST_MAC,
      features: NETIF_F_SG,
      mtu: options.mtu ?? 1500,
    });
    this.host.addr.add("eth0", "10.0.0.1/24");
    this.host.neigh.set("eth0", "10.0.0.2", PEER_MAC);
    this.machine.runUntilIdle(1e9);
  }

  #saw(d: Decoded): void {
    if (d.tcp === undefined || d.ipv4 === undefined) return;
    const t = d.tcp;
    const partial = (this.dev.features & NETIF_F_HW_CSUM) !== 0;
    assert((partial || t.checksumOk) && d.ipv4.checksumOk, "a wrong checksum left the host");
    if (t.flags.includes("S")) {
      this.isn = t.seq;
      this.port = t.sport;
    }
    this.out.push({
      flags: t.flags,
      seq: (t.seq - this.isn) | 0,
      ack: t.flags.includes("A") ? (t.ack - ISN) | 0 : 0,
      window: t.window,
      len: (d.payload ?? "").length / 2,
      id: d.ipv4.id,
      options: t.options,
      at: Math.floor(this.machine.now / 1e6),
      payload: d.payload ?? "",
      urgent: t.urgent,
      tos: d.ipv4.tos,
      ttl: d.ipv4.ttl,
    });
  }

  /** Sends a segment: `seq` relative to the peer's initial number, `ack` to the host's; `ip`: other fields of IP. */
  send(
    fields: TcpFields & { seq: number; ack?: number },
    payload: BytesLike = [],
    ip: Partial<Ipv4Fields> = {},
  ): void {
    const segment = tcp({
      sport: this.sport,
      dport: this.port,
      flags: "A",
      ...fields,
      seq: (ISN + fields.seq) >>> 0,
      ...(fields.ack === undefined ? {} : { ack: (this.isn + fields.ack) >>> 0 }),
    }, payload);
    const packet = ipv4({ src: "10.0.0.2", dst: "10.0.0.1", ttl: 64, df: true, ...ip }, segment);
    this.dev.receive(eth({ dst: HOST_MAC, src: PEER_MAC, pad: 60 }, packet));
  }

  /** The host connects: the descriptor of an established connection, its handshake taken out of {@linkcode out}. */
  accept(options: PeerOptions = {}): number {
    const { sys } = this.host;
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    assertEquals(sys.connect(fd, needIp("10.0.0.2", "peer"), this.sport), EINPROGRESS);
    assertEquals(this.take().map((s) => s.flags), ["S"]);
    this.send({
      seq: 0,
      ack: 1,
      flags: "SA",
      window: options.window ?? 65535,
      options: options.options ?? mssOption(1460),
    });
    assertEquals(this.take().map((s) => s.flags), ["A"]);
    return fd;
  }

  /** The host listens on port 80 and the peer connects: the descriptor that accept() gave. */
  connect(options: PeerOptions = {}): number {
    const { sys } = this.host;
    const lis = sys.socket(AF_INET, SOCK_STREAM, 0);
    if (options.rcvbuf !== undefined) sys.setsockopt(lis, SOL_SOCKET, SO_RCVBUF, options.rcvbuf);
    assertEquals(sys.bind(lis, 0, 80), 0);
    assertEquals(sys.listen(lis, 16), 0);
    this.port = 80;
    this.send({ seq: 0, flags: "S", window: options.window ?? 65535, options: options.options ?? mssOption(1460) });
    assertEquals(this.take().map((s) => s.flags), ["SA"]);
    this.send({ seq: 1, ack: 1, window: options.window ?? 65535 });
    const fd = sys.accept(lis);
    assert(fd >= 0, `accept() gave ${fd}`);
    assertEquals(sys.close(lis), 0);
    return fd;
  }

  /** What was sent since the last call. */
  take(): Seen[] {
    return this.out.splice(0);
  }

  /** The same after `ms` of virtual time. */
  after(ms: number): Seen[] {
    this.machine.advance(ms * 1e6);
    return this.take();
  }

  /** Writes `n` bytes (or those given); what write() gave. */
  write(fd: number, data: number | Uint8Array, flags = 0): number {
    const buf = typeof data === "number" ? new Uint8Array(data).fill(7) : data;
    return this.host.sys.sendmsg(fd, msgHdr(buf), flags);
  }

  /** Reads up to `n` bytes; what read() gave. */
  read(fd: number, n: number): number {
    return this.host.sys.recvmsg(fd, msgHdr(new Uint8Array(n)), 0);
  }

  /** TCP's part of a descriptor. */
  tp(fd: number): TcpSock {
    return tcpSk(this.host.sys.sock(fd)!);
  }

  /** A counter of TcpExt. */
  ext(name: string): number {
    const found = (this.host.net.get(INET).mib.tcpExt as Record<string, number>)[name];
    assert(found !== undefined, `no counter ${name}`);
    return found;
  }

  /** Resets all connections that the test left open, then checks that nothing leaked. */
  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}
