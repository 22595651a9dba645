/**
 * The connections of a script: whose packet is it, and what do its numbers mean on the wire. Sequence numbers in a
 * script count from the initial ones; time stamps that the stack sent are known by the name that the script gave them.
 *
 * @module
 */
import type { TcpLine, TcpOption } from "./script.ts";
import { encodeOptions, type WirePacket } from "./wire.ts";

/** TCP header bits. */
export const FIN = 0x01;
/** TCP header bits. */
export const SYN = 0x02;
/** TCP header bits. */
export const RST = 0x04;
/** TCP header bits. */
export const PSH = 0x08;
/** TCP header bits. */
export const ACK = 0x10;
/** TCP header bits. */
export const CWR = 0x80;

/** How far a connection is, as far as its numbers are concerned. */
export type ConnState = "new" | "listening" | "syn-received" | "synack-sent" | "connecting" | "syn-sent" | "open";

/** One socket of a script. */
export class Conn {
  /** IPPROTO_TCP or IPPROTO_UDP. */
  readonly protocol: number;
  /** Script's descriptor, -1: none (yet, or any more). */
  fd = -1;
  state: ConnState = "new";
  localIp = 0;
  localPort = 0;
  remoteIp = 0;
  remotePort = 0;
  /** What the script calls the initial sequence numbers. */
  scriptLocalIsn = 0;
  scriptRemoteIsn = 0;
  /** What they are. */
  localIsn = 0;
  remoteIsn = 0;
  /** The name in the script of a time stamp that the stack sent, to the time stamp. */
  readonly stamps = new Map<number, number>();
  /** The first one: name and value. */
  firstStamp: { readonly script: number; readonly live: number } | null = null;

  /** Of a protocol. */
  constructor(protocol: number) {
    this.protocol = protocol;
  }

  /** connect() begins; after a disconnect it is another connection, from a port that its SYN tells. */
  connects(ip: number, port: number): void {
    if (this.state !== "new") {
      this.localPort = 0;
      this.stamps.clear();
      this.firstStamp = null;
    }
    this.state = "connecting";
    this.remoteIp = ip;
    this.remotePort = port;
  }

  /** Whether the stack sent `p` on this connection. */
  sent(p: WirePacket): boolean {
    return p.protocol === this.protocol && this.localPort !== 0 && p.sport === this.localPort &&
      p.dport === this.remotePort && p.daddr === this.remoteIp && (this.localIp === 0 || p.saddr === this.localIp);
  }

  /** From the script's sequence number of ours to the wire's. */
  localSeq(seq: number, syn: boolean): number {
    return (seq + this.localIsn - (syn ? this.scriptLocalIsn : 0)) >>> 0;
  }

  /** From the script's sequence number of the peer's to the wire's. */
  remoteSeq(seq: number, syn: boolean): number {
    return (seq + this.remoteIsn - (syn ? this.scriptRemoteIsn : 0)) >>> 0;
  }

  /** From the wire's sequence number of ours to the script's. */
  scriptLocal(seq: number, syn: boolean): number {
    return (seq - this.localIsn + (syn ? this.scriptLocalIsn : 0)) >>> 0;
  }

  /** From the wire's sequence number of the peer's to the script's. */
  scriptRemote(seq: number, syn: boolean): number {
    return (seq - this.remoteIsn + (syn ? this.scriptRemoteIsn : 0)) >>> 0;
  }

  /** Options of a segment that is injected: SACK blocks and the echoed time stamp are ours. */
  inboundOptions(options: readonly TcpOption[], scaled: boolean): TcpOption[] {
    return options.map((o) => {
      if (o.kind === "sack") {
        return {
          kind: "sack",
          blocks: o.blocks.map(([a, b]) => [this.localSeq(a, false), this.localSeq(b, false)] as const),
        };
      }
      if (o.kind !== "TS") return o;
      return { kind: "TS", val: o.val, ecr: this.#liveStamp(o.ecr, scaled) };
    });
  }

  #liveStamp(script: number, scaled: boolean): number {
    if (scaled && this.firstStamp !== null) return (script - this.firstStamp.script + this.firstStamp.live) >>> 0;
    return this.stamps.get(script) ?? script;
  }

  /** Remembers what a time stamp is called; its value in the script's counting. */
  learnStamp(script: number, live: number): number {
    this.stamps.set(script, live);
    this.firstStamp ??= { script, live };
    return (live - this.firstStamp.live + this.firstStamp.script) >>> 0;
  }

  /** Options of a segment that was sent, in the script's numbers; time stamps as they are. */
  outboundOptions(options: readonly TcpOption[]): TcpOption[] {
    return options.map((o) => {
      if (o.kind !== "sack") return o;
      return {
        kind: "sack",
        blocks: o.blocks.map(([a, b]) => [this.scriptRemote(a, false), this.scriptRemote(b, false)] as const),
      };
    });
  }
}

/** The numbers of a segment of a script on the wire. */
export function liveTcp(conn: Conn, line: TcpLine, scaled: boolean): {
  seq: number;
  ack: number;
  flags: number;
  win: number;
  urg: number;
  options: Uint8Array;
} {
  const syn = (line.flags & SYN) !== 0;
  return {
    seq: conn.remoteSeq(line.seq, syn),
    ack: (line.flags & ACK) !== 0 ? conn.localSeq(line.ack, false) : line.ack,
    flags: line.flags,
    win: line.win ?? 0,
    urg: line.urg,
    options: encodeOptions(conn.inboundOptions(line.options ?? [], scaled)),
  };
}
