/**
 * Is a packet what a test expects?
 */
import { flagBits, flagLetters, type Packet, type PacketMatch } from "./packet.ts";
import { packetText } from "./read.ts";

const LAYERS = ["eth", "vlan", "arp", "ip", "icmp", "udp", "tcp"] as const;

/**
 * What differs, as sentences; none: it matches. Only fields that `match` names count.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { buildPacket, differences, readPacket } from "@netpath/stack/testing";
 *
 * const packet = readPacket(buildPacket({ udp: { dport: 7 }, payload: "hello" }));
 * assertEquals(differences(packet, { udp: { dport: 7 }, ip: { ttl: (ttl) => ttl > 1 } }), []);
 * assertEquals(differences(packet, { udp: { dport: 8 } }), ["udp.dport is 7, not 8"]);
 * assertEquals(differences(packet, { tcp: {} }), ['no tcp: it is UDP 10.0.0.1:49152 > 10.0.0.2:7, "hello"']);
 * ```
 */
export function differences(packet: Packet, match: PacketMatch): string[] {
  const out: string[] = [];
  for (const name of LAYERS) {
    const expected = match[name];
    const layer = packet[name];
    if (expected === undefined) continue;
    if (expected === null) {
      if (layer !== null) out.push(`there is ${name}, expected none: it is ${packetText(packet)}`);
    } else if (layer === null) out.push(`no ${name}: it is ${packetText(packet)}`);
    else compareLayer(packet, name, layer as unknown as Fields, expected as Fields, out);
  }
  if (match.payload !== undefined) comparePayload(packet.payload, match.payload, out);
  return out;
}

/** Whether a packet is what `match` expects. */
export function matches(packet: Packet, match: PacketMatch): boolean {
  return differences(packet, match).length === 0;
}

type Fields = Readonly<Record<string, unknown>>;

function compareLayer(packet: Packet, name: string, layer: Fields, expected: Fields, out: string[]): void {
  for (const [key, want] of Object.entries(expected)) {
    if (want === undefined) continue;
    if (!(key in layer)) {
      throw new TypeError(`Cannot match ${name}.${key}: ${name} has ${Object.keys(layer).join(", ")}`);
    }
    const where = `${name}.${key}`;
    const found = key === "check" && typeof want === "number"
      ? packet.checks[name === "ip" ? "ip" : "transport"]
      : layer[key];
    if (key === "quoted") compareQuoted(found as Packet | null, want as PacketMatch | Uint8Array, out);
    else if (name === "tcp" && key === "flags" && typeof want === "string") compareFlags(String(found), want, out);
    else if (name === "tcp" && key === "options" && typeof want === "object") {
      for (const [option, value] of Object.entries(want as Fields)) {
        compareValue(`${where}.${option}`, (found as Fields)[option], value, out);
      }
    } else compareValue(where, found, want, out);
  }
}

function compareQuoted(quoted: Packet | null, want: PacketMatch | Uint8Array, out: string[]): void {
  if (quoted === null) out.push("icmp.quoted is missing");
  // As many of the bytes as were quoted.
  else if (want instanceof Uint8Array) comparePayload(quoted.bytes, want.subarray(0, quoted.bytes.length), out);
  else out.push(...differences(quoted, want).map((text) => `icmp.quoted: ${text}`));
}

function compareFlags(found: string, want: string, out: string[]): void {
  const letters = flagLetters(flagBits(want));
  if (found !== letters) out.push(`tcp.flags is ${found || "none"}, not ${letters || "none"}`);
}

function compareValue(where: string, found: unknown, want: unknown, out: string[]): void {
  if (typeof want === "function") {
    if (!want(found)) out.push(`${where} is ${text(found)}, which ${want.name || want.toString()} refuses`);
  } else if (!equal(found, want)) out.push(`${where} is ${text(found)}, not ${text(want)}`);
}

function comparePayload(found: Uint8Array, want: NonNullable<PacketMatch["payload"]>, out: string[]): void {
  if (typeof want === "function") {
    if (!want(found)) out.push(`payload of ${found.length} bytes, which ${want.name || want.toString()} refuses`);
    return;
  }
  const bytes = typeof want === "string" ? new TextEncoder().encode(want) : want;
  const at = bytes.findIndex((b, i) => b !== found[i]);
  if (bytes.length !== found.length) out.push(`payload has ${found.length} bytes, not ${bytes.length}`);
  else if (at >= 0) out.push(`payload byte ${at} is ${found[at]}, not ${bytes[at]}`);
}

function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => equal((a as Fields)[k], (b as Fields)[k]));
}

function text(value: unknown): string {
  return value === undefined ? "not there" : value instanceof Uint8Array ? `[${value}]` : JSON.stringify(value);
}
