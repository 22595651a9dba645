/**
 * The packet lines of a script.
 *
 * @module
 */
import type { Scan } from "./scan.ts";
import type { IcmpLine, IpNotes, PacketLine, TcpLine, TcpOption } from "./script.ts";

/** TCP header bits by their letter. */
export const FLAG_LETTERS: Readonly<Record<string, number>> = {
  F: 0x01,
  S: 0x02,
  R: 0x04,
  P: 0x08,
  ".": 0x10,
  U: 0x20,
  E: 0x40,
  W: 0x80,
  A: 0x100,
};

const FLAGS = /[SFRPUEWA.]*[0-7]?[SFRPUEWA.]*(?=\s)|-(?=\s)/y;
const SEQ = /(\d+):(\d+)\((\d+)\)/y;
const HEX = /[0-9a-fA-F]+/y;

/** The packet behind `<` (`inbound`) or `>`. */
export function packetLine(scan: Scan, inbound: boolean): PacketLine {
  const ip = ipNotes(scan);
  if (scan.match(/icmp\b/y) !== null) return icmpLine(scan, ip);
  const ports = scan.match(/(\d+)\s*>\s*(\d+)\s*:/y);
  const between: [number, number] | null = ports === null ? null : [Number(ports[1]), Number(ports[2])];
  if (scan.match(/udp\b/y) !== null) {
    scan.need("(");
    const len = scan.number();
    scan.need(")");
    return { proto: "udp", ip, len, ports: between };
  }
  const other = scan.match(/(?:ipv4|ipv6|gre|mpls|sctp|udplite|raw|encap|psp)\b/y);
  if (other !== null) scan.lacks(`packets of ${other[0]}`);
  return tcpLine(scan, ip, between, inbound);
}

/** `[ect0]`, `[tos 0x10, ttl 63]`. */
function ipNotes(scan: Scan): IpNotes {
  const notes = { ecn: null as number | null, anyEct: false, tos: null as number | null, ttl: null as number | null };
  const end = scan.take("[") ? "]" : scan.take("(") ? ")" : "";
  if (end === "") return notes;
  do {
    const word = scan.name();
    if (word === "noecn") notes.ecn = 0;
    else if (word === "ect1") notes.ecn = 1;
    else if (word === "ect0") notes.ecn = 2;
    else if (word === "ce") notes.ecn = 3;
    else if (word === "ect01") notes.anyEct = true;
    else if (word === "tos") notes.tos = scan.number();
    else if (word === "ttl") notes.ttl = scan.number();
    else if (word === "flowlabel") scan.lacks("flow labels: the stack is IPv4");
    else scan.fail(`"${word}" is not known in the notes about IP`);
  } while (scan.take(","));
  scan.need(end);
  return notes;
}

function tcpLine(scan: Scan, ip: IpNotes, ports: [number, number] | null, inbound: boolean): TcpLine {
  const flags = scan.match(FLAGS);
  if (flags === null || flags[0] === "") scan.fail("TCP flags expected");
  const seq = scan.match(SEQ);
  if (seq === null) scan.fail("seq:end(length) expected");
  const len = Number(seq[3]);
  const from = Number(seq[1]);
  if ((from + len - Number(seq[2])) >>> 0 !== 0) scan.fail(`${from} and ${len} bytes do not end at ${seq[2]}`);
  const ack = scan.match(/ack\b/y) === null ? 0 : scan.number();
  const win = scan.match(/win\b/y) === null ? null : scan.number();
  const urg = scan.match(/urg\b/y) === null ? 0 : scan.number();
  if (inbound && win === null) scan.fail("an injected segment needs a window");
  const options = tcpOptions(scan);
  if (inbound && options === null) scan.fail("<...> in an injected segment");
  return { proto: "tcp", ip, flags: flagBits(flags[0]), seq: from, len, ack, win, urg, options, ports };
}

/** Letters to bits; a digit is the ACE field: AE, CWR, ECE from high to low. */
export function flagBits(text: string): number {
  let bits = 0;
  for (const c of text) {
    if (c >= "0" && c <= "7") bits |= (Number(c) & 3) << 6 | (Number(c) & 4) << 6;
    else bits |= FLAG_LETTERS[c] ?? 0;
  }
  return bits;
}

function tcpOptions(scan: Scan): TcpOption[] | null {
  // `<` begins the options only on the line's own packet: the next event begins with a time.
  if (!scan.take("<")) return [];
  if (scan.take("...")) {
    scan.need(">");
    return null;
  }
  const out: TcpOption[] = [];
  if (scan.take(">")) return out;
  do out.push(tcpOption(scan)); while (scan.take(","));
  scan.need(">");
  return out;
}

function tcpOption(scan: Scan): TcpOption {
  const kind = scan.name();
  switch (kind) {
    case "eol":
    case "nop":
    case "sackOK":
      return { kind };
    case "mss":
    case "wscale":
      return { kind, value: scan.number() };
    case "TS": {
      scan.need("val");
      const val = scan.number();
      scan.need("ecr");
      return { kind, val, ecr: scan.number() };
    }
    case "sack": {
      const blocks: [number, number][] = [];
      for (let m = scan.match(/(\d+):(\d+)/y); m !== null; m = scan.match(/(\d+):(\d+)/y)) {
        blocks.push([Number(m[1]), Number(m[2])]);
      }
      return { kind, blocks };
    }
    case "md5":
    case "FO":
    case "FOEXP": {
      const hex = scan.match(HEX)?.[0] ?? "";
      // An odd number of digits loses the last one in packetdrill's own reading, byte by byte.
      return { kind, hex: (hex.length % 2 === 0 ? hex : hex.slice(0, -1)).toLowerCase() };
    }
    case "ECN": {
      const fields: [string, number][] = [];
      for (let m = scan.match(/(e0b|e1b|ceb)\b/y); m !== null; m = scan.match(/(e0b|e1b|ceb)\b/y)) {
        fields.push([m[1], scan.number()]);
      }
      return { kind, fields };
    }
    default:
      return scan.fail(`TCP option "${kind}" is not known`);
  }
}

/** `unreachable host_unreachable [1:1001(1000)]`, `packet_too_big mtu 1400`. */
function icmpLine(scan: Scan, ip: IpNotes): IcmpLine {
  const type = scan.name();
  const code = scan.match(/(?!(?:mtu|id)\b)[a-z_][a-z_0-9]*/y)?.[0] ?? "";
  const mtu = scan.match(/mtu\b/y) === null ? 0 : scan.number();
  const id = scan.match(/id\b/y) === null ? 0 : scan.number();
  let quoted: IcmpLine["quoted"] = null;
  if (scan.take("[")) {
    if (scan.match(/(?:udp|raw)\b/y) !== null) {
      scan.need("(");
      quoted = { seq: 0, len: scan.number(), udp: true };
      scan.need(")");
    } else {
      const m = scan.match(SEQ);
      if (m === null) scan.fail("seq:end(length) of the quoted segment expected");
      quoted = { seq: Number(m[1]), len: Number(m[3]), udp: false };
    }
    scan.need("]");
  }
  return { proto: "icmp", ip, type, code, mtu, id, quoted };
}
