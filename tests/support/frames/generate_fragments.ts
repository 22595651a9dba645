/** Recipes of IPv4 fragments: whole datagrams in pieces, and everything that attackers did to them. */

import { BROADCAST_MAC, eth, fragment, icmpEcho, ipv4, type Ipv4Fields, udp } from "./build.ts";
import type { GeneratedFrame, Kitchen, Recipe, Recipes } from "./generate.ts";

interface Whole {
  /** Makes the piece from `from` to `to` (bytes of the IP payload). */
  piece(from: number, to: number, mf: boolean, fields?: Partial<Ipv4Fields>): Uint8Array;
  /** Bytes of the IP payload. */
  length: number;
  packet: Uint8Array;
  name: string;
  frame(packet: Uint8Array): Uint8Array;
}

function whole(kitchen: Kitchen, minimum = 64): Whole {
  const { random, addresses } = kitchen;
  const peer = random.pick(addresses.peers);
  const hosts = { src: peer.ip, dst: kitchen.own() };
  const data = random.bytes(random.between(minimum, minimum + 200));
  const [name, message] = random.pick(
    [
      ["echo", icmpEcho({ id: random.u16(), seq: random.u16() }, data)],
      ["udp open", udp({ sport: 5, dport: random.pick(addresses.open) }, data)],
      ["udp closed", udp({ sport: 5, dport: 23456 }, data)],
      ["protocol 99", data],
    ] as const,
  );
  const id = kitchen.freshId();
  const common = { ...hosts, id, ...(name === "protocol 99" ? { proto: 99 } : {}) };
  const packet = ipv4(common, message);
  const payload = packet.subarray(20);
  const proto = packet[9];
  return {
    packet,
    name,
    length: payload.length,
    piece: (from, to, mf, fields = {}) =>
      ipv4({ ...common, proto, offset: from, mf, ...fields }, payload.subarray(from, to)),
    frame: (packet) => eth({ dst: addresses.mac, src: peer.mac, pad: random.chance(0.2) ? 60 : 0 }, packet),
  };
}

function numbered(made: Whole, packets: readonly Uint8Array[], what: string): GeneratedFrame[] {
  return packets.map((packet, i) => ({
    bytes: made.frame(packet),
    note: `${what} ${i + 1}/${packets.length} (${made.name})`,
  }));
}

/** Cuts at random multiples of eight. */
function cuts({ random }: Kitchen, length: number, pieces: number): number[] {
  const points = new Set([0, length]);
  for (let i = 1; i < pieces; i++) points.add(8 * random.between(1, Math.max(1, (length - 1) >> 3)));
  return [...points].filter((point) => point <= length).sort((a, b) => a - b);
}

function pieces(kitchen: Kitchen, made: Whole, count: number): Uint8Array[] {
  const points = cuts(kitchen, made.length, count);
  return points.slice(0, -1).map((from, i) => made.piece(from, points[i + 1], points[i + 1] < made.length));
}

const inOrder: Recipe = function inOrder(kitchen) {
  const made = whole(kitchen);
  return numbered(made, pieces(kitchen, made, kitchen.random.between(2, 6)), "in order");
};

const shuffled: Recipe = function shuffled(kitchen) {
  const made = whole(kitchen);
  const list = pieces(kitchen, made, kitchen.random.between(2, 6));
  return numbered(made, kitchen.random.chance(0.3) ? list.reverse() : kitchen.random.shuffle(list), "shuffled");
};

const duplicates: Recipe = function duplicates(kitchen) {
  const made = whole(kitchen);
  const list = pieces(kitchen, made, 4);
  const again = kitchen.random.pick(list);
  return numbered(made, kitchen.random.shuffle([...list, again, again]), "with duplicates");
};

/** One piece more than needed, somewhere: contained, partial, beyond, at either side. */
const overlap: Recipe = function overlap(kitchen) {
  const { random } = kitchen;
  const made = whole(kitchen);
  const list = pieces(kitchen, made, 3);
  const units = Math.floor(made.length / 8);
  const from = 8 * random.int(units);
  const to = Math.min(made.length, from + 8 * random.between(1, 6));
  const extra = made.piece(from, to, random.chance(0.9));
  const at = random.int(list.length + 1);
  list.splice(at, 0, extra);
  return numbered(made, random.chance(0.5) ? random.shuffle(list) : list, `overlap ${from}-${to}`);
};

const SHAPES = [
  [16, 48], // the first piece's tail is at 48
  [40, 56],
  [0, 48],
  [0, 56],
  [8, 40],
  [40, 48],
  [48, 56],
  [24, 28],
] as const;

/** Teardrop and its family: the second piece lies inside or over the edge of the first. */
const teardrop: Recipe = function teardrop(kitchen) {
  const made = whole(kitchen);
  const [from, to] = kitchen.random.pick(SHAPES);
  const mf = kitchen.random.chance(0.5);
  const list = [made.piece(0, 48, true), made.piece(from, to, mf), made.piece(48, made.length, false)];
  return numbered(
    made,
    kitchen.random.chance(0.3) ? kitchen.random.shuffle(list) : list,
    `shape ${from}-${to}${mf ? "+" : ""}`,
  );
};

const incomplete: Recipe = function incomplete(kitchen) {
  const made = whole(kitchen);
  const list = pieces(kitchen, made, 3);
  list.splice(kitchen.random.int(list.length), 1);
  return numbered(made, list, "one missing");
};

const tooBig: Recipe = function tooBig(kitchen) {
  const { random } = kitchen;
  const made = whole(kitchen, 200);
  const offset = random.pick([65528, 65520, 65512, 65400]);
  const length = random.pick([7, 8, 15, 100, 136]);
  const last = made.piece(0, length, random.chance(0.3), { offset });
  return numbered(made, random.shuffle([made.piece(0, 48, true), last]), `ping of death ${offset}+${length}`);
};

const tiny: Recipe = function tiny(kitchen) {
  const made = whole(kitchen);
  const first = kitchen.random.pick([8, 16, 24]);
  return numbered(made, [made.piece(0, first, true), made.piece(first, made.length, false)], `first of ${first}`);
};

const odd: Recipe = function odd(kitchen) {
  const { random } = kitchen;
  const made = whole(kitchen);
  const length = random.pick([0, 1, 7, 9, 45, 47]);
  const list = [made.piece(0, length, true), made.piece(length & ~7, 48, true), made.piece(48, made.length, false)];
  return numbered(made, random.chance(0.5) ? list : random.shuffle(list), `MF and ${length} bytes`);
};

const ends: Recipe = function ends(kitchen) {
  const { random } = kitchen;
  const made = whole(kitchen);
  const list = [
    made.piece(48, 64, false),
    made.piece(48, random.pick([56, 60, 64, 72]), false),
    made.piece(64, 72, random.chance(0.5)),
    made.piece(0, 48, true),
  ];
  return numbered(made, random.chance(0.5) ? list : random.shuffle(list), "two ends");
};

/** Header fields that differ between the pieces. */
const mixed: Recipe = function mixed(kitchen) {
  const { random } = kitchen;
  const made = whole(kitchen);
  const fields = () => ({
    tos: random.pick([0, 1, 2, 3, 0x10, 0xb8, 0xbb]),
    ttl: random.between(1, 255),
    df: random.chance(0.4),
    reserved: random.chance(0.1),
    ...(random.chance(0.2) ? { options: Uint8Array.of(7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0) } : {}),
  });
  const cut = 8 * random.between(1, 7);
  const list = [made.piece(0, cut, true, fields()), made.piece(cut, made.length, false, fields())];
  return numbered(made, random.chance(0.5) ? list : list.reverse(), "mixed fields");
};

/** Same id, but another protocol, source or destination: not the same datagram. */
const strangers: Recipe = function strangers(kitchen) {
  const { random, addresses } = kitchen;
  const made = whole(kitchen);
  const other = random.pick<Partial<Ipv4Fields>>([
    { proto: 98 },
    { src: random.pick(addresses.peers).ip },
    { dst: random.pick(addresses.own) },
  ]);
  const list = [made.piece(0, 48, true), made.piece(48, made.length, false, other), made.piece(48, made.length, false)];
  return numbered(made, list, "another's piece");
};

const big: Recipe = function big(kitchen) {
  const { random, addresses } = kitchen;
  const peer = random.pick(addresses.peers);
  const length = random.pick([2000, 4000, 8000, 20000]);
  const data = random.bytes(length);
  const message = random.chance(0.6)
    ? icmpEcho({ id: 3, seq: length }, data)
    : udp({ sport: 5, dport: random.pick([random.pick(addresses.open), 23456]) }, data);
  const packet = ipv4({ src: peer.ip, dst: kitchen.own(), id: kitchen.freshId() }, message);
  const list = fragment(packet, random.pick([576, 1000, 1500]));
  const order = random.chance(0.6) ? list : random.shuffle(list);
  return order.map((piece, i) => ({
    bytes: eth({ dst: addresses.mac, src: peer.mac }, piece),
    note: `${length} bytes, ${i + 1}/${list.length}`,
  }));
};

const toBroadcast: Recipe = function toBroadcast(kitchen) {
  const made = whole(kitchen);
  const dst = kitchen.addresses.broadcast;
  return [made.piece(0, 48, true, { dst }), made.piece(48, made.length, false, { dst })].map((packet, i) => ({
    bytes: eth({ dst: BROADCAST_MAC, src: kitchen.addresses.peers[0].mac }, packet),
    note: `${i + 1}/2 (${made.name})`,
  }));
};

const rose: Recipe = function rose(kitchen) {
  const made = whole(kitchen);
  const piece = made.piece(0, 48, true);
  return numbered(made, Array.from({ length: 12 }, () => piece), "identical");
};

/** Fragments, by class. */
export const fragmentRecipes: Recipes = [
  [2, "fragments/in order", inOrder],
  [2, "fragments/shuffled", shuffled],
  [1, "fragments/duplicates", duplicates],
  [2, "fragments/overlap", overlap],
  [2, "fragments/teardrop", teardrop],
  [1, "fragments/incomplete", incomplete],
  [1, "fragments/too big", tooBig],
  [1, "fragments/tiny", tiny],
  [1, "fragments/odd length", odd],
  [1, "fragments/two ends", ends],
  [2, "fragments/mixed fields", mixed],
  [1, "fragments/strangers", strangers],
  [1, "fragments/big", big],
  [1, "fragments/to broadcast", toBroadcast],
  [0.2, "fragments/rose", rose],
];
