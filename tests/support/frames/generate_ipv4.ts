/** Recipes of IPv4 headers: fields, lengths, addresses, options, protocols. */

import { BROADCAST_MAC, concat, eth, icmpEcho, ipOption, ipOptionBytes, ipv4, type Ipv4Fields, udp } from "./build.ts";
import type { GeneratedFrame, Kitchen, Recipes } from "./generate.ts";

/** A transport payload that the host would answer, or deliver: so that what the header does shows. */
export function anyPayload({ random, addresses }: Kitchen): { payload: Uint8Array; name: string } {
  const data = random.bytes(random.int(40));
  switch (random.int(4)) {
    case 0:
      return { payload: udp({ sport: random.u16(), dport: random.pick(addresses.open) }, data), name: "udp open" };
    case 1:
      return { payload: udp({ sport: random.u16(), dport: random.between(20000, 30000) }, data), name: "udp closed" };
    default:
      return { payload: icmpEcho({ id: random.u16(), seq: random.u16() }, data), name: "echo" };
  }
}

/** A frame whose IP header is `fields`, around an answerable payload. */
function header(note: string, change: (kitchen: Kitchen) => Partial<Ipv4Fields>): (kitchen: Kitchen) => GeneratedFrame {
  return function makeHeader(kitchen) {
    const { payload, name } = anyPayload(kitchen);
    const fields = change(kitchen);
    const shown = Object.entries(fields).map(([key, value]) =>
      `${key} ${value instanceof Uint8Array ? `[${value}]` : value}`
    );
    return { bytes: kitchen.ip(fields, payload), note: `${note} ${shown.join(" ")} (${name})` };
  };
}

/** One option, well formed or not. */
function randomOption({ random, addresses }: Kitchen): Uint8Array {
  const hop = () => random.pick([...addresses.peers.map((peer) => peer.ip), ...addresses.own, ...addresses.far]);
  const slots = random.int(6);
  const pointer = random.chance(0.5) ? 4 : random.chance(0.8) ? 4 + 4 * random.int(slots + 2) : random.u8();
  switch (random.int(16)) {
    case 0:
      return ipOption.nop();
    case 1:
      return ipOption.end();
    case 2:
    case 3:
    case 4:
      return ipOption.recordRoute(slots, pointer);
    case 5:
    case 6:
    case 7: {
      const flag = random.pick([0, 0, 1, 1, 3, 3, 2, random.int(16)]);
      const words = random.int(7);
      const data = flag === 3 && words >= 2
        ? concat(...Array.from({ length: words >> 1 }, () => concat(ipBytesOf(hop()), [0, 0, 0, 0])))
        : new Uint8Array(words * 4);
      const at = random.chance(0.5) ? 5 : random.chance(0.8) ? 5 + 4 * random.int(words + 2) : random.u8();
      return ipOption.timestamp(flag, data, at, random.pick([0, 0, 1, 14, 15]));
    }
    case 8:
      return ipOption.looseRoute(Array.from({ length: random.int(4) }, hop), pointer);
    case 9:
      return ipOption.strictRoute(Array.from({ length: random.int(4) }, hop), pointer);
    case 10:
      return random.chance(0.7)
        ? ipOption.routerAlert(random.pick([0, 0, 1, 65535]))
        : ipOptionBytes(148, random.bytes(random.int(4)));
    case 11:
      return random.pick([ipOption.security(), ipOption.streamId(7), ipOptionBytes(134, [0, 0, 0, 1])]);
    case 12:
      return ipOptionBytes(random.u8(), random.bytes(random.int(8)));
    case 13:
      // A length that lies.
      return ipOptionBytes(
        random.pick([7, 68, 131, 137, 148, 130, 99, 0xf0]),
        random.bytes(random.int(6)),
        random.pick([0, 1, 2, 3, 4, 39, 40, 255]),
      );
    case 14:
      // A kind and no length.
      return Uint8Array.of(random.pick([7, 68, 131, 148, 99]));
    default:
      return random.bytes(random.int(8));
  }
}

function ipBytesOf(ip: string): Uint8Array {
  return Uint8Array.from(ip.split("."), Number);
}

/** A header's worth of options: at most 40 bytes. */
function randomOptions(kitchen: Kitchen): Uint8Array {
  let out = new Uint8Array(0);
  const count = kitchen.random.pick([1, 1, 1, 2, 3, 5]);
  for (let i = 0; i < count; i++) {
    const next = concat(out, randomOption(kitchen));
    if (next.length > 40) break;
    out = Uint8Array.from(next);
  }
  return out;
}

/** Sources that nobody may have. */
const MARTIANS = [
  "127.0.0.1",
  "127.255.255.254",
  "0.0.0.0",
  "0.0.0.1",
  "224.0.0.1",
  "239.255.255.250",
  "255.255.255.255",
  "240.0.0.1",
];

/** IPv4, by class. */
export const ipv4Recipes: Recipes = [
  [2, "ipv4/version", header("", ({ random }) => ({ version: random.pick([0, 1, 3, 5, 6, 15]) }))],
  [2, "ipv4/ihl", header("", ({ random }) => ({ ihl: random.int(16) }))],
  [
    3,
    "ipv4/tot_len",
    header(
      "",
      ({ random }) => ({ totalLength: random.pick([0, 1, 19, 20, 21, 27, 28, 29, random.int(120), 1500, 65535]) }),
    ),
  ],
  [2, "ipv4/checksum", header("", ({ random }) => ({ checksum: random.pick([0, 0xffff, random.u16()]) }))],
  [2, "ipv4/ttl", header("", ({ random }) => ({ ttl: random.pick([0, 1, 2, 255]) }))],
  [2, "ipv4/tos", header("", ({ random }) => ({ tos: random.u8() }))],
  [
    1,
    "ipv4/flags",
    header("", ({ random }) => ({ reserved: random.chance(0.5), df: random.chance(0.5) })),
  ],
  [14, "ipv4/options", header("", (kitchen) => ({ options: randomOptions(kitchen) }))],
  [
    2,
    "ipv4/options and tos",
    header("", (kitchen) => ({ options: randomOptions(kitchen), tos: kitchen.random.u8(), ttl: kitchen.random.u8() })),
  ],
  [
    1,
    "ipv4/options to broadcast",
    header("", (kitchen) => ({ options: randomOptions(kitchen), dst: kitchen.addresses.broadcast })),
  ],
  [3, "ipv4/martian source", header("", ({ random }) => ({ src: random.pick(MARTIANS) }))],
  [2, "ipv4/own source", header("", (kitchen) => ({ src: kitchen.own() }))],
  [
    1,
    "ipv4/broadcast source",
    header("", ({ random, addresses }) => ({ src: random.pick([addresses.broadcast, addresses.network]) })),
  ],
  [
    2,
    "ipv4/own source and destination",
    header("LAND", ({ addresses }) => ({ src: addresses.own[0], dst: addresses.own[0] })),
  ],
  [
    3,
    "ipv4/other destination",
    header("", ({ random, addresses }) => ({
      dst: random.pick([
        ...addresses.strangers,
        ...addresses.far,
        ...addresses.peers.map((peer) => peer.ip),
        addresses.network,
        "0.0.0.0",
        "0.0.0.1",
        "127.0.0.1",
        "240.0.0.1",
      ]),
    })),
  ],
  [3, "ipv4/broadcast destination", function toBroadcast(kitchen) {
    const { payload, name } = anyPayload(kitchen);
    const { random, addresses } = kitchen;
    const peer = random.pick(addresses.peers);
    const dst = random.pick([addresses.broadcast, "255.255.255.255", addresses.network]);
    const src = random.chance(0.1) ? "0.0.0.0" : peer.ip;
    const mac = random.pick([BROADCAST_MAC, BROADCAST_MAC, addresses.mac]);
    return {
      bytes: eth({ dst: mac, src: peer.mac }, ipv4({ src, dst }, payload)),
      note: `${src} to ${dst} in ${mac} (${name})`,
    };
  }],
  [2, "ipv4/multicast destination", function toMulticast(kitchen) {
    const { payload, name } = anyPayload(kitchen);
    const { random, addresses } = kitchen;
    const peer = random.pick(addresses.peers);
    const dst = random.pick(["224.0.0.1", "224.0.0.1", "224.0.0.2", "224.0.0.251", "239.1.2.3"]);
    const low = dst.split(".").slice(1).map((part) => (Number(part) & 127).toString(16).padStart(2, "0")).join(":");
    const mac = random.pick([`01:00:5e:${low}`, `01:00:5e:${low}`, addresses.mac, BROADCAST_MAC]);
    return {
      bytes: eth({ dst: mac, src: peer.mac }, ipv4({ src: peer.ip, dst }, payload)),
      note: `${dst} in ${mac} (${name})`,
    };
  }],
  [2, "ipv4/unicast in group frame", function inGroupFrame(kitchen) {
    const { payload, name } = anyPayload(kitchen);
    const peer = kitchen.random.pick(kitchen.addresses.peers);
    const mac = kitchen.random.pick([BROADCAST_MAC, "01:00:5e:00:00:01", "33:33:00:00:00:01"]);
    return {
      bytes: eth({ dst: mac, src: peer.mac }, ipv4({ src: peer.ip, dst: kitchen.own() }, payload)),
      note: `${mac} (${name})`,
    };
  }],
  [3, "ipv4/protocol", function protocol(kitchen) {
    const proto = kitchen.random.u8();
    const length = kitchen.length();
    return { bytes: kitchen.ip({ proto }, kitchen.random.bytes(length)), note: `protocol ${proto}, ${length} bytes` };
  }],
  [1, "ipv4/header only", function headerOnly(kitchen) {
    const proto = kitchen.random.pick([0, 1, 17, 99]);
    return { bytes: kitchen.ip({ proto }, []), note: `protocol ${proto}` };
  }],
  [2, "ipv4/trailer", function trailer(kitchen) {
    const { payload, name } = anyPayload(kitchen);
    const frame = kitchen.ip({}, payload);
    const more = kitchen.random.pick([1, 4, 26, 100, 1000]);
    return { bytes: concat(frame, kitchen.random.bytes(more)), note: `${more} bytes behind (${name})` };
  }],
  [4, "ipv4/beyond", function beyond(kitchen) {
    // To be forwarded, where the host forwards.
    const { random, addresses } = kitchen;
    const { payload, name } = anyPayload(kitchen);
    const dst = random.pick(addresses.beyond ?? addresses.far);
    const ttl = random.pick([0, 1, 1, 2, 64]);
    const long = random.chance(0.3);
    const body = long ? udp({ dport: 9 }, random.bytes(random.between(500, 1400))) : payload;
    const fields = {
      dst,
      ttl,
      df: random.chance(0.4),
      mf: random.chance(0.05),
      tos: random.chance(0.3) ? random.u8() : 0,
      ...(random.chance(0.3) ? { options: randomOptions(kitchen) } : {}),
    };
    const dstMac = random.chance(0.05) ? BROADCAST_MAC : addresses.mac;
    const peer = random.pick(addresses.peers);
    const packet = ipv4({ src: peer.ip, id: random.u16(), ...fields }, body);
    return {
      bytes: eth({ dst: dstMac, src: peer.mac }, packet),
      note: `to ${dst} ttl ${ttl}${fields.df ? " DF" : ""} ${long ? "long" : name}`,
    };
  }],
];
