/**
 * A script as data.
 *
 * @module
 */

/** An argument, a result or a field's value. */
export type Expr =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "bytes"; readonly value: string }
  | { readonly kind: "ellipsis" }
  | { readonly kind: "list"; readonly items: readonly Expr[] }
  | { readonly kind: "struct"; readonly fields: readonly Field[] }
  | { readonly kind: "binary"; readonly op: string; readonly left: Expr; readonly right: Expr }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expr[] };

/** A field of a struct: `events=POLLIN`, `msg_iov(1)=[...]`, or a bare value. */
export interface Field {
  /** Its name, empty for a bare value. */
  readonly name: string;
  /** What stands in parentheses behind the name. */
  readonly of: Expr | null;
  /** Its value. */
  readonly value: Expr;
}

/** When an event happens. Microseconds. */
export interface EventTime {
  /** Since the script began, since the event before, or whenever. */
  readonly kind: "absolute" | "relative" | "any";
  /** Earliest. */
  readonly from: number;
  /** Latest of a range `a~b`; equal to `from` otherwise. */
  readonly to: number;
  /** A range was written. */
  readonly range: boolean;
}

/** One TCP option. */
export type TcpOption =
  | { readonly kind: "eol" | "nop" | "sackOK" }
  | { readonly kind: "mss" | "wscale"; readonly value: number }
  | { readonly kind: "TS"; readonly val: number; readonly ecr: number }
  | { readonly kind: "sack"; readonly blocks: readonly (readonly [number, number])[] }
  | { readonly kind: "md5" | "FO" | "FOEXP"; readonly hex: string }
  | { readonly kind: "ECN"; readonly fields: readonly (readonly [string, number])[] }
  | { readonly kind: "other"; readonly number: number; readonly hex: string };

/** What a packet's line says of the IP header; null: not written. */
export interface IpNotes {
  /** ECN field, 0 to 3. */
  readonly ecn: number | null;
  /** `ect01`: either of the two. */
  readonly anyEct: boolean;
  /** The whole TOS byte. */
  readonly tos: number | null;
  /** Time to live. */
  readonly ttl: number | null;
}

/** A TCP segment of a line. Sequence numbers as written. */
export interface TcpLine {
  /** TCP. */
  readonly proto: "tcp";
  /** Its IP header. */
  readonly ip: IpNotes;
  /** Header bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256. */
  readonly flags: number;
  /** Sequence number. */
  readonly seq: number;
  /** Payload bytes. */
  readonly len: number;
  /** Acknowledgement number, 0: not written. */
  readonly ack: number;
  /** Null: not written. */
  readonly win: number | null;
  /** Urgent pointer, 0: not written. */
  readonly urg: number;
  /** Null: `<...>`, any. */
  readonly options: readonly TcpOption[] | null;
  /** Ports, where written. */
  readonly ports: readonly [number, number] | null;
}

/** A UDP datagram of a line. */
export interface UdpLine {
  /** UDP. */
  readonly proto: "udp";
  /** Its IP header. */
  readonly ip: IpNotes;
  /** Payload bytes. */
  readonly len: number;
  /** Ports, where written. */
  readonly ports: readonly [number, number] | null;
}

/** An ICMP message of a line. */
export interface IcmpLine {
  /** ICMP. */
  readonly proto: "icmp";
  /** Its IP header. */
  readonly ip: IpNotes;
  /** `unreachable`, `packet_too_big`, ... as written. */
  readonly type: string;
  /** `frag_needed`, ..., empty if not written. */
  readonly code: string;
  /** Next-hop MTU, 0: none. */
  readonly mtu: number;
  /** Identifier of an echo, 0: none. */
  readonly id: number;
  /** What it quotes: a TCP segment or a datagram; null: the connection. */
  readonly quoted: { readonly seq: number; readonly len: number; readonly udp: boolean } | null;
}

/** A packet's line. */
export type PacketLine = TcpLine | UdpLine | IcmpLine;

/** A system call with what it must give. */
export interface CallLine {
  /** `connect`. */
  readonly name: string;
  /** Its arguments. */
  readonly args: readonly Expr[];
  /** What it must return; null: `?` or `...`, anything. */
  readonly result: Expr | null;
  /** The errno that must come with -1, empty: not written. */
  readonly errno: string;
}

/** What happens. */
export type Action =
  | { readonly kind: "inject"; readonly packet: PacketLine }
  | { readonly kind: "expect"; readonly packet: PacketLine }
  | { readonly kind: "call"; readonly call: CallLine }
  | { readonly kind: "command"; readonly text: string }
  | { readonly kind: "code"; readonly text: string };

/** One event. */
export interface ScriptEvent {
  /** Line in the file, from 1. */
  readonly line: number;
  /** Its text, on one line. */
  readonly text: string;
  /** When. */
  readonly time: EventTime;
  /** Of a blocking call: when it must return, microseconds on the same scale as `time`. */
  readonly end: number | null;
  /** What. */
  readonly action: Action;
}

/** A script. */
export interface Script {
  /** Its file, for messages. */
  readonly file: string;
  /** `--name=value` lines. */
  readonly options: ReadonlyMap<string, string>;
  /** Lines of the options. */
  readonly optionLines: ReadonlyMap<string, number>;
  /** The command before the first event, empty: none. */
  readonly init: string;
  /** Its line. */
  readonly initLine: number;
  /** The events. */
  readonly events: readonly ScriptEvent[];
  /** The command after the last event. */
  readonly cleanup: string;
}

/** A script that does not follow the language. */
export class ScriptError extends Error {
  /** File and line. */
  readonly line: number;

  /** At a line of a file. */
  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`);
    this.name = "ScriptError";
    this.line = line;
  }
}
