/** Recipes of Ethernet frames: other EtherTypes, 802.3, VLAN tags, runts, giants, other people's MACs. */

import { arp, BROADCAST_MAC, eth, icmpEcho, ipv4, llc, vlan } from "./build.ts";
import { anyPayload } from "./generate_ipv4.ts";
import type { Kitchen, Recipes } from "./generate.ts";

function ipPacket(kitchen: Kitchen): { packet: Uint8Array; name: string; src: string } {
  const { payload, name } = anyPayload(kitchen);
  const peer = kitchen.random.pick(kitchen.addresses.peers);
  return { packet: ipv4({ src: peer.ip, dst: kitchen.own() }, payload), name, src: peer.mac };
}

const OTHER_TYPES = [
  0x0600,
  0x0805,
  0x8035,
  0x8137,
  0x86dd,
  0x8847,
  0x8863,
  0x888e,
  0x88cc,
  0x9000,
  0x0801,
  0xffff,
  0x0807,
];

/** Frames, by class. */
export const linkRecipes: Recipes = [
  [2, "eth/other type", function otherType(kitchen) {
    const { random, addresses } = kitchen;
    const type = random.pick(OTHER_TYPES);
    const { packet, src } = ipPacket(kitchen);
    const payload = random.chance(0.5) ? packet : random.bytes(random.int(100));
    const dst = random.pick([addresses.mac, BROADCAST_MAC]);
    return { bytes: eth({ dst, src, type }, payload), note: `0x${type.toString(16)}` };
  }],
  [2, "eth/802.3", function ieee(kitchen) {
    const { random, addresses } = kitchen;
    const { packet, src } = ipPacket(kitchen);
    const kind = random.int(4);
    const body = kind === 0
      ? llc({ snap: { type: 0x0800 } }, packet)
      : kind === 1
      ? llc({}, random.bytes(random.int(60)))
      : kind === 2
      ? llc({ dsap: 0xe0, ssap: 0xe0 }, random.bytes(30))
      : llc({ dsap: 0xff, ssap: 0xff }, random.bytes(30));
    const dst = random.pick([addresses.mac, BROADCAST_MAC, "01:80:c2:00:00:00"]);
    const type = random.chance(0.2) ? { type: random.int(1536) } : {};
    return {
      bytes: eth({ dst, src, ...type, pad: random.chance(0.5) ? 60 : 0 }, body),
      note: ["SNAP IP", "STP", "IPX", "raw"][kind],
    };
  }],
  [1, "eth/vlan", function tagged(kitchen) {
    const { random, addresses } = kitchen;
    const { packet, name, src } = ipPacket(kitchen);
    const id = random.pick([0, 0, 1, 5, 4095]);
    const tpid = random.pick([0x8100, 0x8100, 0x88a8]);
    const twice = random.chance(0.2);
    const inner = vlan({ id, priority: random.int(8) }, packet);
    const body = twice
      ? vlan({ id: random.pick([0, 7]), tpid }, inner)
      : vlan({ id, priority: random.int(8), tpid }, packet);
    return {
      bytes: eth({ dst: addresses.mac, src }, body),
      note: `id ${id} tpid 0x${tpid.toString(16)}${twice ? " twice" : ""} (${name})`,
    };
  }],
  [2, "eth/runt", function runt(kitchen) {
    const { packet, src } = ipPacket(kitchen);
    const length = kitchen.random.int(36);
    return { bytes: eth({ dst: kitchen.addresses.mac, src }, packet).subarray(0, length), note: `${length} bytes` };
  }],
  [1, "eth/giant", function giant(kitchen) {
    const { random, addresses } = kitchen;
    const peer = random.pick(addresses.peers);
    const length = random.pick([1515, 1600, 9000, 16000, 30000, 65000, 65535, 65549]);
    const room = length - 14 - 20 - 8;
    const real = random.chance(0.5);
    const data = random.bytes(Math.min(real ? room : 20, 65535 - 28));
    const frame = eth(
      { dst: addresses.mac, src: peer.mac, pad: length },
      ipv4({ src: peer.ip, dst: kitchen.own() }, icmpEcho({ id: 4 }, data)),
    );
    return { bytes: frame, note: `${length} bytes, ${real ? "full" : "mostly padding"}` };
  }],
  [2, "eth/wrong destination", function wrongDestination(kitchen) {
    const { packet, name, src } = ipPacket(kitchen);
    const dst = kitchen.random.pick([
      "02:77:77:77:77:77",
      "00:00:00:00:00:00",
      kitchen.random.pick(kitchen.addresses.peers).mac,
    ]);
    return { bytes: eth({ dst, src }, packet), note: `${dst} (${name})` };
  }],
  [1, "eth/odd source", function oddSource(kitchen) {
    const { packet, name } = ipPacket(kitchen);
    const { addresses, random } = kitchen;
    const src = random.pick([addresses.mac, "00:00:00:00:00:00", BROADCAST_MAC, "01:00:5e:00:00:01"]);
    return { bytes: eth({ dst: addresses.mac, src }, packet), note: `${src} (${name})` };
  }],
  [1, "eth/type swapped", function swapped(kitchen) {
    const { random, addresses } = kitchen;
    const { packet, src } = ipPacket(kitchen);
    const bytes = random.chance(0.5) ? eth({ dst: addresses.mac, src, type: 0x0806 }, packet) : eth(
      { dst: addresses.mac, src, type: 0x0800 },
      arp({ sha: src, spa: addresses.peers[0].ip, tpa: addresses.own[0] }),
    );
    return { bytes, note: "ARP as IP or IP as ARP" };
  }],
  [1, "eth/random", function garbage(kitchen) {
    const { random, addresses } = kitchen;
    const type = random.pick([0x0800, 0x0806, 0x0800, random.u16()]);
    return {
      bytes: eth({ dst: addresses.mac, src: "02:00:00:00:aa:aa", type }, random.bytes(random.int(200))),
      note: "random bytes",
    };
  }],
];
