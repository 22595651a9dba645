/**
 * A host behind a device that takes and gives IP packets: any number of peers, none of which is a TCP. Sequence numbers are
 * absolute.
 */
import { assert, assertEquals } from "@std/assert";
import { IFF_NOARP, type NetDevice } from "../../core/mod.ts";
import { createHost, type Host } from "../../mod.ts";
import { INET } from "../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SOCK_STREAM } from "../../plugins/transport/sock/mod.ts";
import { TCP, type TcpCounts } from "../../plugins/transport/tcp/mod.ts";
import { tcpSk, type TcpSock } from "../../plugins/transport/tcp/tcp_sock.ts";
import { type BytesLike, concat, ipv4, tcp, type TcpFields } from "./frames/build.ts";
import { TestMachine } from "./hosts.ts";

/** 10.0.0.1 */
export const HOST_IP = 0x0a000001;
/** Port that {@linkcode Tun.listen} takes. */
export const PORT = 80;

/** A segment that the host sent. */
export interface Sent {
  /** `"SA"`. */
  flags: string;
  src: number;
  dst: number;
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  window: number;
  /** IP identification. */
  id: number;
  /** Of the whole packet. */
  bytes: number;
  /** Of payload. */
  len: number;
  options: string;
  /** When, ms. */
  at: number;
}

/** Where a segment is from, and what it is. */
export interface Segment extends TcpFields {
  /** `10.0.0.2` where it is left out. */
  src?: string;
  dst?: string;
  payload?: BytesLike;
}

/** Dotted. */
export function dotted(ip: number): string {
  return [ip >>> 24, ip >>> 16 & 255, ip >>> 8 & 255, ip & 255].join(".");
}

/** See the top. */
export class Tun implements Disposable {
  readonly machine: TestMachine;
  readonly host: Host;
  readonly dev: NetDevice;
  /** What was sent and not taken yet. */
  readonly out: Sent[] = [];
  /** Packets that left, and their bytes. */
  packets = 0;
  bytes = 0;
  /** False: nothing is kept in {@linkcode out}. */
  keep = true;

  constructor(options: { seed?: number } = {}) {
    this.machine = new TestMachine({ seed: options.seed ?? 1 });
    this.host = createHost({ machine: this.machine, name: "host" });
    this.dev = this.host.net.registerNetdev("tun0", {
      startXmit: (skb) => {
        this.packets++;
        this.bytes += skb.len;
        if (this.keep) {
          const parts = [skb.bytes.slice(skb.data, skb.tail)];
          for (let i = 0; i < skb.nrFrags; i++) {
            const f = skb.frags[i];
            parts.push(f.slab.bytes.slice(f.offset, f.offset + f.size));
          }
          this.#saw(concat(...parts));
        }
        skb.consume();
        return 0;
      },
    }, { type: 0xfffe, flags: IFF_NOARP, txQueueLen: 0 });
    this.host.addr.add("tun0", "10.0.0.1/8");
    this.machine.runUntilIdle(1e9);
  }

  #saw(packet: Uint8Array): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    if (packet[9] !== 6) return;
    const at = (packet[0] & 15) * 4;
    const hlen = (packet[at + 12] >> 4) * 4;
    let flags = "";
    for (let bit = 0; bit < 8; bit++) if (packet[at + 13] & (1 << bit)) flags += "FSRPAUEC"[bit];
    this.out.push({
      flags,
      src: view.getInt32(12),
      dst: view.getInt32(16),
      sport: view.getUint16(at),
      dport: view.getUint16(at + 2),
      seq: view.getInt32(at + 4),
      ack: view.getInt32(at + 8),
      window: view.getUint16(at + 14),
      id: view.getUint16(4),
      bytes: packet.length,
      len: packet.length - at - hlen,
      options: [...packet.subarray(at + 20, at + hlen)].map((b) => b.toString(16).padStart(2, "0")).join(""),
      at: Math.floor(this.machine.now / 1e6),
    });
  }

  /** A segment comes in. */
  send(segment: Segment): void {
    const { src = "10.0.0.2", dst = "10.0.0.1", payload = [], ...fields } = segment;
    const wire: TcpFields = { sport: 4000, dport: PORT, ...fields };
    if (wire.seq !== undefined) wire.seq = wire.seq >>> 0;
    if (wire.ack !== undefined) wire.ack = wire.ack >>> 0;
    this.dev.receive(ipv4({ src, dst, ttl: 64, df: true }, tcp(wire, payload)));
  }

  /** What was sent since the last call. */
  take(): Sent[] {
    return this.out.splice(0);
  }

  /** The same after `ms` of virtual time. */
  after(ms: number): Sent[] {
    this.machine.advance(ms * 1e6);
    return this.take();
  }

  /** The one segment that answers. */
  ask(segment: Segment): Sent {
    this.take();
    this.send(segment);
    const answers = this.take();
    assertEquals(answers.length, 1, `one answer, not ${JSON.stringify(answers)}`);
    return answers[0];
  }

  /** Flags of all answers. */
  flags(segment: Segment): string[] {
    this.take();
    this.send(segment);
    return this.take().map((s) => s.flags);
  }

  /** A listener on {@linkcode PORT}. */
  listen(backlog = 128, port = PORT): number {
    const { sys } = this.host;
    const fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    assertEquals([sys.bind(fd, 0, port), sys.listen(fd, backlog)], [0, 0]);
    return fd;
  }

  /** A SYN with sequence number 1000 and its answer. */
  syn(segment: Segment = {}): Sent {
    return this.ask({ seq: 1000, flags: "S", ...segment });
  }

  /** A whole handshake with a listener: what the SYN-ACK was. */
  handshake(segment: Segment = {}): Sent {
    const synack = this.syn(segment);
    assertEquals(synack.flags, "SA");
    const { options: _, ...fields } = segment;
    this.send({ ...fields, seq: 1001, ack: synack.seq + 1, flags: "A" });
    return synack;
  }

  /** The accepted descriptor of a fresh connection. */
  accepted(lis: number, segment: Segment = {}): { fd: number; synack: Sent } {
    const synack = this.handshake(segment);
    const fd = this.host.sys.accept(lis);
    assert(fd > 0, `accept() gave ${fd}`);
    return { fd, synack };
  }

  counts(): TcpCounts {
    return this.host.net.get(TCP).counts();
  }

  /** A counter of TcpExt. */
  ext(name: string): number {
    return (this.host.net.get(INET).mib.tcpExt as Record<string, number>)[name];
  }

  /** A counter of Tcp. */
  mib(name: string): number {
    return (this.host.net.get(INET).mib.tcp as Record<string, number>)[name];
  }

  tp(fd: number): TcpSock {
    return tcpSk(this.host.sys.sock(fd)!);
  }

  read(fd: number, n: number, flags = 0): number {
    return this.host.sys.recvmsg(fd, msgHdr(new Uint8Array(n)), flags);
  }

  write(fd: number, n: number, flags = 0): number {
    return this.host.sys.sendmsg(fd, msgHdr(new Uint8Array(n).fill(7)), flags);
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

/** Timestamps: NOP, NOP, TS. */
export function tsOption(tsval: number, tsecr = 0): Uint8Array {
  const out = new Uint8Array(12);
  const view = new DataView(out.buffer);
  out.set([1, 1, 8, 10]);
  view.setUint32(4, tsval >>> 0);
  view.setUint32(8, tsecr >>> 0);
  return out;
}

/** TSval of a segment with the option first behind two NOPs, or anywhere. */
export function tsvalOf(sent: Sent): number {
  const at = sent.options.indexOf("080a");
  assert(at >= 0, "no timestamp");
  return parseInt(sent.options.slice(at + 4, at + 12), 16) | 0;
}
