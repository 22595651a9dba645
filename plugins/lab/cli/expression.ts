/**
 * Expressions that choose packets, in the words of pcap-filter(7): `tcp and port 80 and not host 10.0.0.2`.
 *
 * A recursive descent over words:
 *
 *     expression = factor { ("and" | "&&" | "or" | "||") factor }
 *     factor     = ("not" | "!") factor | "(" expression ")" | primitive
 *     primitive  = [protocol] [direction] kind value | protocol | "ip" "proto" name
 *                | "less" number | "greater" number | value
 *
 * As in pcap-filter(7), `and` and `or` bind alike, from left to right, and a value alone takes the words before it:
 * `port 80 or 443`. Own additions: where an address is expected, a host of the lab may be named, and
 * either of them may stand alone from the start.
 */
import { nearest } from "../../../core/mod.ts";
import { makeMask, parseIp } from "../../network/inet/mod.ts";
import { UsageError } from "./command.ts";
import type { PacketFacts } from "./facts.ts";

/** Whether a packet is meant. */
export type PacketTest = (p: PacketFacts) => boolean;

/** The addresses (int32) of a host by its name; null: no such host. */
export interface HostNames {
  /** All names. */
  readonly names: readonly string[];
  /** Addresses of one. */
  addresses(name: string): readonly number[] | null;
}

/** An expression that cannot be read: column, what was expected, what stands there. */
export class ExpressionError extends UsageError {
  /** Of the first letter that is wrong, from 1. */
  readonly column: number;

  /** `expected` says what should stand at `column` of `text`, `found` what does. */
  constructor(text: string, column: number, expected: string, found: string, hint: string) {
    const end = hint === "" ? "" : `; did you mean "${hint}"?`;
    super(
      `Cannot use the expression, column ${column}: expected ${expected}, not ${found}${end}\n` +
        `  ${text}\n  ${" ".repeat(column - 1)}^\n`,
    );
    this.name = "ExpressionError";
    this.column = column;
  }
}

const ETHER_TYPES: Readonly<Record<string, number>> = { ip: 0x0800, arp: 0x0806, ip6: 0x86dd };
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17 };
const DIRECTIONS = ["src", "dst"];
const KINDS = ["host", "net", "port", "portrange"];
const LENGTHS = ["less", "greater"];
/** Names of ports that labs use, from the IANA's registry. */
const SERVICES: Readonly<Record<string, number>> = {
  echo: 7,
  discard: 9,
  ssh: 22,
  domain: 53,
  http: 80,
  ntp: 123,
  https: 443,
};
const PRIMITIVES = [
  ...Object.keys(ETHER_TYPES),
  ...Object.keys(PROTOCOLS),
  ...DIRECTIONS,
  ...KINDS,
  ...LENGTHS,
  "not",
];
const A_PRIMITIVE =
  "a protocol (tcp, udp, icmp, ip, arp), host, net, port, portrange, src, dst, less, greater, not or (";

interface Word {
  readonly text: string;
  /** From 1. */
  readonly column: number;
}

/** The words in front of a value: `tcp src port`. */
interface Qualifiers {
  readonly protocol: Word | null;
  /** `src`, `dst`, `or` (either) or `and` (both). */
  readonly direction: string;
  readonly kind: string;
}

/** Reads an expression; an empty one means every packet. What is wrong is an {@linkcode ExpressionError}. */
export function parseExpression(text: string, hosts: HostNames): PacketTest {
  return new Parser(text, hosts).parse();
}

function wordsOf(text: string): Word[] {
  return [...text.matchAll(/&&|\|\||[()!]|[^\s()!&|]+|[&|]/g)].map((m) => ({ text: m[0], column: m.index + 1 }));
}

class Parser {
  readonly #text: string;
  readonly #hosts: HostNames;
  readonly #words: readonly Word[];
  #at = 0;
  /** What a value alone goes on with. */
  #last: Qualifiers | null = null;

  constructor(text: string, hosts: HostNames) {
    this.#text = text;
    this.#hosts = hosts;
    this.#words = wordsOf(text);
  }

  parse(): PacketTest {
    if (this.#words.length === 0) return () => true;
    const test = this.#expression();
    if (this.#peek !== "") this.#fail('"and", "or" or the end', ["and", "or", ...KINDS, ...DIRECTIONS]);
    return test;
  }

  get #peek(): string {
    return this.#words[this.#at]?.text ?? "";
  }

  /** The next word is not what it should be. `words`: what may have been meant. */
  #fail(expected: string, words: readonly string[], at: Word | undefined = this.#words[this.#at]): never {
    const column = at?.column ?? this.#text.trimEnd().length + 1;
    const found = at === undefined ? "the end" : `"${at.text}"`;
    // Of one letter, every short word is near.
    const [near] = at === undefined || at.text.length < 2
      ? []
      : nearest(at.text, words).filter((w) => w[0] === at.text[0] || at.text.length > 3);
    throw new ExpressionError(this.#text, column, expected, found, near ?? "");
  }

  #take(): Word {
    return this.#words[this.#at++];
  }

  /** Takes the next word where it is one of `words`. */
  #accept(...words: string[]): boolean {
    const hit = words.includes(this.#peek);
    if (hit) this.#at++;
    return hit;
  }

  #expression(): PacketTest {
    let test = this.#factor();
    for (;;) {
      const left = test;
      if (this.#accept("and", "&&")) {
        const right = this.#factor();
        test = (p) => left(p) && right(p);
      } else if (this.#accept("or", "||")) {
        const right = this.#factor();
        test = (p) => left(p) || right(p);
      } else return test;
    }
  }

  #factor(): PacketTest {
    if (this.#accept("not", "!")) {
      const test = this.#factor();
      return (p) => !test(p);
    }
    if (this.#accept("(")) {
      const test = this.#expression();
      if (!this.#accept(")")) this.#fail('")", "and" or "or"', ["and", "or"]);
      return test;
    }
    return this.#primitive();
  }

  #primitive(): PacketTest {
    const word = this.#peek;
    if (this.#accept(...LENGTHS)) {
      const n = this.#number(`a number of bytes after "${word}"`, 0xffffffff);
      return word === "less" ? (p) => p.len <= n : (p) => p.len >= n;
    }
    if (word in ETHER_TYPES || word in PROTOCOLS) return this.#protocol();
    if (DIRECTIONS.includes(word) || KINDS.includes(word)) return this.#qualified(null);
    // tcp[13] and the like would need an arithmetic of their own.
    if (word.includes("[")) this.#fail("no bytes by number: only the words of --help", []);
    if (this.#last !== null && this.#looksLikeValue(this.#last.kind)) return this.#value(this.#last);
    if (parseIp(word) !== null || this.#hosts.addresses(word) !== null) {
      return this.#value({ protocol: null, direction: "or", kind: "host" });
    }
    return this.#fail(A_PRIMITIVE, [...PRIMITIVES, ...this.#hosts.names]);
  }

  #protocol(): PacketTest {
    const word = this.#take();
    const alone = protocolTest(word.text);
    const next = this.#peek;
    if (word.text === "ip" && this.#accept("proto")) return this.#ipProto();
    if (!DIRECTIONS.includes(next) && !KINDS.includes(next)) return alone;
    const test = this.#qualified(word);
    return (p) => alone(p) && test(p);
  }

  #ipProto(): PacketTest {
    const number = PROTOCOLS[this.#peek];
    if (number !== undefined) {
      this.#at++;
      return (p) => p.protocol === number;
    }
    const n = this.#number('tcp, udp, icmp or a number up to 255 after "proto"', 255);
    return (p) => p.protocol === n;
  }

  #qualified(protocol: Word | null): PacketTest {
    const direction = this.#direction();
    const kind = this.#peek;
    // "src 10.0.0.1" is "src host 10.0.0.1".
    if (!this.#accept(...KINDS)) {
      if (direction === "or" || !this.#looksLikeValue("host")) {
        this.#fail(`host, net, port or portrange after "${this.#before}"`, [...KINDS, ...this.#hosts.names]);
      }
      return this.#value({ protocol, direction, kind: "host" });
    }
    const ports = kind === "port" || kind === "portrange";
    const allowed = ports ? ["tcp", "udp"] : ["ip", "arp"];
    if (protocol !== null && !allowed.includes(protocol.text)) {
      this.#fail(
        `${allowed.join(" or ")} in front of "${kind}" ("${protocol.text} and ${kind} ..." asks for both)`,
        [],
        protocol,
      );
    }
    return this.#value({ protocol, direction, kind });
  }

  /** `src`, `dst`, `src or dst`, `src and dst`; without any of them: either. */
  #direction(): string {
    const first = this.#peek;
    if (!this.#accept(...DIRECTIONS)) return "or";
    const join = this.#peek;
    const second = this.#words[this.#at + 1]?.text;
    const other = first === "src" ? "dst" : "src";
    if ((join !== "or" && join !== "and") || second !== other) return first;
    // "src or dst port 80" is one primitive; "src host a and dst host b" has a kind between.
    this.#at += 2;
    return join;
  }

  get #before(): string {
    return this.#words[this.#at - 1]?.text ?? "";
  }

  #looksLikeValue(kind: string): boolean {
    const word = this.#peek;
    if (kind === "port") return /^\d+$/.test(word) || word in SERVICES;
    if (kind === "portrange") return /^\d+-\d+$/.test(word);
    if (kind === "net") return /^\d+(\.\d+){0,3}(\/\d+)?$/.test(word);
    return parseIp(word) !== null || this.#hosts.addresses(word) !== null;
  }

  #value(q: Qualifiers): PacketTest {
    this.#last = q;
    if (q.kind === "host") return addressTest(q.direction, this.#host());
    if (q.kind === "net") return this.#net(q.direction);
    const [low, high] = q.kind === "port" ? this.#port() : this.#portRange();
    const protocol = q.protocol === null ? () => true : protocolTest(q.protocol.text);
    const test = sides(q.direction, (p) => p.sport >= low && p.sport <= high, (p) => p.dport >= low && p.dport <= high);
    return (p) => p.sport >= 0 && protocol(p) && test(p);
  }

  #host(): readonly number[] {
    const word = this.#peek;
    const addr = parseIp(word);
    const known = addr === null ? this.#hosts.addresses(word) : [addr];
    if (known === null) this.#fail(`an address or a host's name after "${this.#before}"`, this.#hosts.names);
    this.#at++;
    return known;
  }

  /** `10.0.0.0/24`, `10.0.0` or `10.0.0.0 mask 255.255.255.0`. */
  #net(direction: string): PacketTest {
    const word = this.#words[this.#at];
    const [text, length] = (word?.text ?? "").split("/");
    const octets = text.split(".");
    const addr = octets.length > 4 ? null : parseIp([...octets, ...["0", "0", "0"]].slice(0, 4).join("."));
    const good = addr !== null && (length === undefined || (/^\d{1,2}$/.test(length) && Number(length) <= 32));
    if (!good) this.#fail(`a network like 10.0.0.0/24 after "${this.#before}"`, []);
    this.#at++;
    let mask = makeMask(length === undefined ? 8 * octets.length : Number(length));
    if (length === undefined && this.#accept("mask")) {
      const given = parseIp(this.#peek);
      if (given === null) this.#fail('a mask like 255.255.255.0 after "mask"', []);
      this.#at++;
      mask = given;
    }
    if ((addr & ~mask) !== 0) this.#fail("a network: no bits behind its prefix", [], word);
    return addressTest(direction, [addr], mask);
  }

  #port(): [number, number] {
    const number = SERVICES[this.#peek];
    if (number !== undefined) this.#at++;
    const port = number ??
      this.#number(`a port from 0 to 65535 after "${this.#before}"`, 65535, Object.keys(SERVICES));
    return [port, port];
  }

  #portRange(): [number, number] {
    const m = /^(\d{1,5})-(\d{1,5})$/.exec(this.#peek);
    const [low, high] = [Number(m?.[1]), Number(m?.[2])];
    if (!(low <= high && high <= 65535)) this.#fail(`ports like 8000-8080 after "${this.#before}"`, []);
    this.#at++;
    return [low, high];
  }

  #number(expected: string, max: number, words: readonly string[] = []): number {
    const text = this.#peek;
    if (!/^\d+$/.test(text) || Number(text) > max) this.#fail(expected, words);
    this.#at++;
    return Number(text);
  }
}

function protocolTest(word: string): PacketTest {
  const type = ETHER_TYPES[word];
  if (type !== undefined) return (p) => p.etherType === type;
  const number = PROTOCOLS[word];
  return (p) => p.protocol === number;
}

function addressTest(direction: string, addresses: readonly number[], mask: number = -1): PacketTest {
  const hit = (addr: number): boolean => addresses.some((a) => ((addr ^ a) & mask) === 0);
  return sides(direction, (p) => p.hasAddresses && hit(p.src), (p) => p.hasAddresses && hit(p.dst));
}

function sides(direction: string, src: PacketTest, dst: PacketTest): PacketTest {
  if (direction === "src") return src;
  if (direction === "dst") return dst;
  return direction === "and" ? (p) => src(p) && dst(p) : (p) => src(p) || dst(p);
}
