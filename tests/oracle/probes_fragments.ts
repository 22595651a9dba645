/** Probes of reassembly. */

import {
  BROADCAST_MAC,
  eth,
  fragment,
  icmpEcho,
  ipOption,
  ipv4,
  type Ipv4Fields,
  pattern,
  udp,
} from "../support/frames/build.ts";
import { HOSTS, LINK, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

/** A piece of a message: from, to, more fragments, other fields. */
type Piece = readonly [from: number, to: number, mf: boolean, fields?: Partial<Ipv4Fields>];

const LINK_BROADCAST = { ...LINK, dst: BROADCAST_MAC };

class FragmentProbes extends Probes {
  #id = 0;
  readonly #echo = icmpEcho({ id: 1, seq: 1 }, pattern(92));
  readonly #udp = ipv4(HOSTS, udp({ sport: 4, dport: 5 }, pattern(92))).subarray(20);

  /** Pieces of a 100-byte message: an echo request, or a datagram to a closed port. */
  pieces(note: string, pieces: readonly Piece[], proto: 1 | 17 = 1): void {
    const id = ++this.#id;
    const message = proto === 1 ? this.#echo : this.#udp;
    pieces.forEach(([from, to, mf, fields], i) => {
      const packet = ipv4({ ...HOSTS, proto, id, offset: from, mf, ...fields }, message.subarray(from, to));
      this.add(`${note} ${i + 1}/${pieces.length}`, eth(LINK, packet));
    });
  }

  frames(note: string, frames: readonly Uint8Array[]): void {
    frames.forEach((bytes, i) => this.add(`${note} ${i + 1}/${frames.length}`, bytes));
  }
}

function overlaps(probes: FragmentProbes): void {
  const [head, tail] = [[0, 48, true] as const, [48, 100, false] as const];
  probes.pieces("overlap, partial", [head, [40, 100, false], tail]);
  probes.pieces("overlap, from before", [[48, 100, false], [0, 56, true], head]);
  probes.pieces("contained", [head, [8, 24, true], tail]);
  probes.pieces("contained in two", [[0, 24, true], [24, 48, true], [16, 32, true], tail]);
  probes.pieces("containing", [[8, 24, true], [0, 48, true], tail]);
  probes.pieces("same start, longer", [[0, 24, true], head, tail]);
  probes.pieces("same start, shorter", [head, [0, 24, true], tail]);
  probes.pieces("same end, shorter", [head, [24, 48, true], tail]);
  probes.pieces("duplicate last", [tail, tail, head]);
  probes.pieces("teardrop", [[0, 56, true], [24, 28, false], [56, 100, false]]);
  probes.pieces("end inside", [[0, 96, true], [48, 100, false]]);
  probes.pieces("two ends", [tail, [48, 88, false], head]);
  probes.pieces("beyond the end", [[48, 56, false], [56, 64, true], head]);
  probes.pieces("overlap over a gap", [[0, 16, true], [32, 48, true], [8, 40, true], [16, 32, true], tail]);
}

function lengths(probes: FragmentProbes): void {
  const [head, tail] = [[0, 48, true] as const, [48, 100, false] as const];
  probes.pieces("MF and 45 bytes", [[0, 45, true], tail, [40, 48, true]]);
  probes.pieces("MF and no bytes", [[0, 0, true], head, tail]);
  probes.pieces("MF and 7 bytes", [[0, 7, true], head, tail]);
  probes.pieces("last, no bytes", [head, [48, 48, false]]);
  probes.pieces("alone, MF", [[0, 96, true]]);
  probes.pieces("tiny first", [[0, 8, true], [8, 100, false]], 17);
  probes.pieces("ping of death", [head, [0, 100, false, { offset: 65528 }]]);
  probes.pieces("at the very end", [head, [0, 7, false, { offset: 65528 }]]);
  const data = pattern(65528);
  for (let from = 0; from < 65528; from += 1472) {
    const to = Math.min(from + 1472, 65528);
    probes.add(
      `too long when whole, ${from}`,
      eth(LINK, ipv4({ ...HOSTS, proto: 99, id: 900, offset: from, mf: true }, data.subarray(from, to))),
    );
  }
  probes.add("too long when whole, last", eth(LINK, ipv4({ ...HOSTS, proto: 99, id: 900, offset: 65528 }, pattern(7))));
}

function fields(probes: FragmentProbes): void {
  const both = (note: string, first: Partial<Ipv4Fields>, last: Partial<Ipv4Fields>, cut = 48) => {
    probes.pieces(note, [[0, cut, true, first], [cut, 100, false, last]], 17);
    probes.pieces(`${note}, reversed`, [[cut, 100, false, last], [0, cut, true, first]], 17);
  };
  both("tos and ttl", { tos: 8, ttl: 7 }, { tos: 0, ttl: 99 });
  both("DF on the first, smaller", { df: true }, {});
  both("DF on the last, bigger", {}, { df: true });
  both("DF on the first, bigger", { df: true }, {}, 80);
  both("DF on both", { df: true }, { df: true });
  both("evil bit", { reserved: true }, {});
  both("options in the first", { options: ipOption.recordRoute(2) }, {});
  both("options in the last", {}, { options: ipOption.recordRoute(2) });
  for (const [a, b] of [[2, 3], [3, 2], [0, 3], [2, 1], [0, 2], [3, 3], [1, 1]]) {
    both(`ECN ${a} and ${b}`, { tos: a }, { tos: b });
  }
  const message = ipv4(HOSTS, udp({ sport: 4, dport: 5 }, pattern(92))).subarray(20);
  const two = (id: number) => [
    ipv4({ ...HOSTS, proto: 17, id, mf: true }, message.subarray(0, 48)),
    ipv4({ ...HOSTS, proto: 17, id, offset: 48 }, message.subarray(48)),
  ];
  const [a, b] = two(501);
  probes.frames("first in a broadcast frame", [eth(LINK_BROADCAST, a), eth(LINK, b)]);
  const [c, d] = two(502);
  probes.frames("last in a broadcast frame", [eth(LINK, c), eth(LINK_BROADCAST, d)]);
  probes.pieces("another protocol", [[0, 48, true], [48, 100, false, { proto: 98 }], [48, 100, false]]);
  probes.pieces("another source", [[0, 48, true], [48, 100, false, { src: "10.9.0.3" }], [48, 100, false]]);
  probes.pieces("unknown protocol", [[0, 48, true, { proto: 99 }], [48, 100, false, { proto: 99 }]]);
  probes.pieces("to broadcast", [[0, 48, true, { dst: "10.9.0.255" }], [48, 100, false, { dst: "10.9.0.255" }]], 17);
}

/** Reassembly. */
export function fragmentProbes(): Step[] {
  const probes = new FragmentProbes("probe fragments");
  const whole = (id: number, more: Partial<Ipv4Fields> = {}) => {
    const packet = ipv4({ ...HOSTS, id, ...more }, icmpEcho({ id: 1, seq: id }, pattern(200)));
    return fragment(packet, 100).map((piece) => eth(LINK, piece));
  };
  probes.frames("in order", whole(1001));
  probes.frames("reversed", whole(1002).reverse());
  const [first, second, ...rest] = whole(1003);
  probes.frames("duplicates", [first, first, second, second, first, ...rest]);
  probes.frames(
    "link padding",
    fragment(ipv4({ ...HOSTS, id: 1004 }, icmpEcho({}, pattern(40))), 36).map((piece) =>
      eth({ ...LINK, pad: 60 }, piece)
    ),
  );
  overlaps(probes);
  lengths(probes);
  fields(probes);
  return probes.steps;
}
