/**
 * Seeded frames for the oracle and the fuzzer: valid and mutated ARP, IPv4, ICMP, UDP and others, aimed at one host. The same seed and
 * addresses give the same frames.
 *
 * A frame's note is `class: what`; the class is what a comparison groups by.
 *
 * @module
 */

import { eth, ETH_P, fixChecksums, IPPROTO, ipv4, type Ipv4Fields } from "./build.ts";
import type { BytesLike } from "./bytes.ts";
import { Random } from "./random.ts";
import { arpRecipes } from "./generate_arp.ts";
import { fragmentRecipes } from "./generate_fragments.ts";
import { icmpRecipes } from "./generate_icmp.ts";
import { ipv4Recipes } from "./generate_ipv4.ts";
import { linkRecipes } from "./generate_link.ts";
import { udpRecipes } from "./generate_udp.ts";

/** The world the frames come from: the host under test and its surroundings. */
export interface Addresses {
  /** The host's MAC. */
  mac: string;
  /** The host's addresses on this link. */
  own: readonly string[];
  /** The link's broadcast and network address. */
  broadcast: string;
  network: string;
  /** Hosts on the link, that the frames come from. */
  peers: readonly { ip: string; mac: string }[];
  /** The host's default gateway: frames from far away come from its MAC. */
  gateway?: { ip: string; mac: string };
  /** Addresses on the link at which nobody is. */
  strangers: readonly string[];
  /** Addresses beyond the gateway. */
  far: readonly string[];
  /** Destinations to which the host forwards, or says that it does not. */
  beyond?: readonly string[];
  /** Open UDP ports, and connected ones. */
  open: readonly number[];
  connected: readonly { port: number; peer: string; peerPort: number }[];
  /** The largest frame the device takes; default 65,549. */
  maxFrame?: number;
  /** IP protocols to leave out, since only one side of the comparison knows them; default IGMP, TCP, PIM, UDP-Lite. */
  avoid?: readonly number[];
}

/** A generated frame. */
export interface GeneratedFrame {
  bytes: Uint8Array;
  note: string;
}

/** What a recipe works with. */
export class Kitchen {
  readonly random: Random;
  readonly addresses: Addresses;
  #id = 0;

  constructor(random: Random, addresses: Addresses) {
    this.random = random;
    this.addresses = addresses;
  }

  /** An IP id not used before in this run, for fragments that must not meet others by chance. */
  freshId(): number {
    this.#id = (this.#id + 1) & 0xffff;
    return this.#id;
  }

  /** One of the host's addresses. */
  own(): string {
    return this.random.pick(this.addresses.own);
  }

  /** A sender: a peer, as a rule, or someone far away behind the gateway, or someone whom nobody knows. */
  sender(): { ip: string; mac: string } {
    const { random, addresses } = this;
    const kind = random.int(20);
    if (kind === 0 && addresses.strangers.length > 0) {
      const ip = random.pick(addresses.strangers);
      return { ip, mac: `02:00:00:00:ee:${Number(ip.split(".")[3]).toString(16).padStart(2, "0")}` };
    }
    if (kind <= 3 && addresses.gateway && addresses.far.length > 0) {
      return { ip: random.pick(addresses.far), mac: addresses.gateway.mac };
    }
    return random.pick(addresses.peers);
  }

  /** An IPv4 frame to the host, from some sender, with the given fields changed. */
  ip(fields: Partial<Ipv4Fields>, payload: BytesLike, from: { ip: string; mac: string } = this.sender()): Uint8Array {
    const packet = ipv4({ src: from.ip, dst: this.own(), id: this.random.u16(), ...fields }, payload);
    return eth({ dst: this.addresses.mac, src: from.mac }, packet);
  }

  /** A payload length: mostly short, sometimes around an edge. */
  length(): number {
    return this.random.weighted<() => number>([
      [6, () => this.random.int(64)],
      [2, () => this.random.int(600)],
      [1, () => this.random.int(1473)],
      [1, () => this.random.pick([0, 1, 17, 18, 19, 507, 508, 519, 520, 521, 547, 548, 549, 1471, 1472])],
    ])();
  }
}

/** Makes one frame, or several that belong together and keep their order. The note goes without the class. */
export type Recipe = (kitchen: Kitchen) => GeneratedFrame | GeneratedFrame[];

/** Recipes by class, with weights. */
export type Recipes = readonly (readonly [weight: number, name: string, recipe: Recipe])[];

const RECIPES: Recipes = [
  ...arpRecipes,
  ...ipv4Recipes,
  ...icmpRecipes,
  ...udpRecipes,
  ...fragmentRecipes,
  ...linkRecipes,
];

const BY_WEIGHT = RECIPES.map(([weight, name, recipe]) => [weight, { name, recipe }] as const);

const TAP_LIMIT = 65_549;
const AVOIDED = [IPPROTO.IGMP, IPPROTO.TCP, 103, 136];

/** Every class of frame that {@linkcode generateFrames} makes, without the mutated ones. */
export const CLASSES: readonly string[] = RECIPES.map(([, name]) => name);

/** Makes `count` frames. */
export function generateFrames(seed: number, count: number, addresses: Addresses): GeneratedFrame[] {
  const random = new Random(seed);
  const kitchen = new Kitchen(random, addresses);
  const limit = addresses.maxFrame ?? TAP_LIMIT;
  const avoid = addresses.avoid ?? AVOIDED;
  const out: GeneratedFrame[] = [];
  // Up to three sequences are open at a time, so that fragments and exchanges meet other traffic.
  const open: GeneratedFrame[][] = [];
  while (out.length < count) {
    if (open.length === 0 || (open.length < 3 && random.chance(0.3))) {
      const { name, recipe } = random.weighted(BY_WEIGHT);
      const made = recipe(kitchen);
      const list = (Array.isArray(made) ? made : [made]).map(({ bytes, note }) => ({
        bytes,
        note: `${name}: ${note}`,
      }));
      const mutated = random.chance(0.2) ? list.map((frame) => mutate(frame, random)) : list;
      open.push(mutated.filter(({ bytes }) => bytes.length <= limit && !avoids(bytes, avoid)));
    }
    const at = random.int(open.length);
    const next = open[at].shift();
    if (next) out.push(next);
    if (open[at].length === 0) open.splice(at, 1);
  }
  return out;
}

function avoids(frame: Uint8Array, protocols: readonly number[]): boolean {
  // Behind VLAN tags too: Linux takes a tag with id 0 off.
  let at = 12;
  while (
    frame.length >= at + 6 &&
    ((frame[at] === 0x81 && frame[at + 1] === 0) || (frame[at] === 0x88 && frame[at + 1] === 0xa8))
  ) {
    at += 4;
  }
  const isIp = frame[at] === 0x08 && frame[at + 1] === 0;
  return isIp && frame.length > at + 11 && protocols.includes(frame[at + 11]);
}

/** Offsets of header fields in an Ethernet frame, by what they are: fields that a mutation replaces. */
const FIELDS: Record<number, readonly (readonly [name: string, at: number, size: number])[]> = {
  [ETH_P.ARP]: [
    ["htype", 14, 2],
    ["ptype", 16, 2],
    ["hlen", 18, 1],
    ["plen", 19, 1],
    ["op", 20, 2],
    ["sha", 22, 6],
    ["spa", 28, 4],
    ["tha", 32, 6],
    ["tpa", 38, 4],
  ],
  [ETH_P.IP]: [
    ["version and ihl", 14, 1],
    ["tos", 15, 1],
    ["tot_len", 16, 2],
    ["id", 18, 2],
    ["frag_off", 20, 2],
    ["ttl", 22, 1],
    ["protocol", 23, 1],
    ["checksum", 24, 2],
    ["l4 byte 0-1", 34, 2],
    ["l4 byte 2-3", 36, 2],
    ["l4 byte 4-5", 38, 2],
    ["l4 byte 6-7", 40, 2],
  ],
};

/** Bends a frame: bit flips, truncation, extension, field replacement; checksums repaired or left broken. */
export function mutate(frame: GeneratedFrame, random: Random): GeneratedFrame {
  const type = frame.bytes.length >= 14 ? (frame.bytes[12] << 8) | frame.bytes[13] : 0;
  let bytes = frame.bytes.slice();
  let what = "";
  switch (random.int(4)) {
    case 0: {
      const flips = random.pick([1, 1, 1, 2, 3, 8]);
      what = `${flips} bit flip(s)`;
      for (let i = 0; i < flips; i++) {
        // Three in four flips hit the headers.
        const end = random.chance(0.75) ? Math.min(bytes.length, 62) : bytes.length;
        const at = random.int(end);
        bytes[at] ^= 1 << random.int(8);
        what += ` @${at}`;
      }
      break;
    }
    case 1:
      bytes = bytes.slice(0, random.int(bytes.length + 1));
      what = `cut to ${bytes.length}`;
      break;
    case 2: {
      const more = random.pick([1, 2, 3, 4, 7, 8, 18, 40, 100]);
      const longer = new Uint8Array(bytes.length + more);
      longer.set(bytes);
      if (random.chance(0.5)) longer.set(random.bytes(more), bytes.length);
      bytes = longer;
      what = `${more} more`;
      break;
    }
    default: {
      const [name, at, size] = random.pick(FIELDS[type] ?? [["ethertype", 12, 2]]);
      if (at + size > bytes.length) break;
      const kind = random.int(4);
      for (let i = 0; i < size; i++) bytes[at + i] = kind === 0 ? 0 : kind === 1 ? 0xff : random.u8();
      what = `${name} := ${["0", "all ones", "random", "random"][kind]}`;
    }
  }
  const fixed = random.chance(0.6);
  if (fixed) fixChecksums(bytes);
  const [name] = frame.note.split("/", 1);
  return { bytes, note: `mutated ${name}: ${what}${fixed ? ", checksums repaired" : ""}; was ${frame.note}` };
}
