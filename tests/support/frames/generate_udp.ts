/** Recipes of UDP datagrams. */

import { concat, udp } from "./build.ts";
import type { Kitchen, Recipes } from "./generate.ts";

function closedPort({ random }: Kitchen): number {
  return random.between(20000, 30000);
}

/** UDP, by class. */
export const udpRecipes: Recipes = [
  [5, "udp/open", function open(kitchen) {
    const { random, addresses } = kitchen;
    const dport = random.pick(addresses.open);
    const length = kitchen.length();
    const sport = random.chance(0.1) ? 0 : random.u16();
    const fields = { tos: random.chance(0.2) ? random.u8() : 0, df: random.chance(0.5) };
    return {
      bytes: kitchen.ip(fields, udp({ sport, dport }, random.bytes(length))),
      note: `${sport} > ${dport}, ${length} bytes`,
    };
  }],
  [2, "udp/connected", function connected(kitchen) {
    const { random, addresses } = kitchen;
    const { port, peer, peerPort } = random.pick(addresses.connected);
    const from = random.chance(0.7) ? addresses.peers.find(({ ip }) => ip === peer) : undefined;
    const sport = random.chance(0.7) ? peerPort : random.u16();
    const datagram = udp({ sport, dport: port }, random.bytes(random.int(60)));
    return {
      bytes: kitchen.ip({}, datagram, from),
      note: `${from ? "from its peer" : "from another"}, ${sport} > ${port}`,
    };
  }],
  [6, "udp/closed", function closed(kitchen) {
    const { random } = kitchen;
    const length = kitchen.length();
    const dport = random.chance(0.1) ? 0 : closedPort(kitchen);
    const fields = { tos: random.chance(0.4) ? random.u8() : 0, ttl: random.u8(), df: random.chance(0.5) };
    const bytes = kitchen.ip(fields, udp({ sport: random.u16(), dport }, random.bytes(length)));
    return { bytes, note: `port ${dport}, ${length} bytes, tos ${fields.tos}` };
  }],
  [4, "udp/length", function length(kitchen) {
    const { random, addresses } = kitchen;
    const real = random.int(40);
    const claimed = random.pick([0, 1, 7, 8, 8 + real - 1, 8 + real + 1, 8 + random.int(60), 65535]);
    const dport = random.chance(0.6) ? random.pick(addresses.open) : closedPort(kitchen);
    const sum = random.chance(0.5) ? { checksum: 0 } : {};
    const datagram = udp({ sport: 5, dport, length: claimed, ...sum }, random.bytes(real));
    return {
      bytes: kitchen.ip({}, datagram),
      note: `claims ${claimed}, has ${8 + real}${sum.checksum === 0 ? ", no checksum" : ""}`,
    };
  }],
  [2, "udp/shorter than the packet", function shorter(kitchen) {
    // The length is smaller than what IP carries, the checksum right over that length.
    const { random, addresses } = kitchen;
    const datagram = udp({ sport: 5, dport: random.pick(addresses.open), checksum: 0 }, random.bytes(random.int(30)));
    const more = random.between(1, 20);
    return { bytes: kitchen.ip({ proto: 17 }, concat(datagram, random.bytes(more))), note: `${more} bytes behind` };
  }],
  [3, "udp/checksum", function checksum(kitchen) {
    const { random, addresses } = kitchen;
    const dport = random.chance(0.6) ? random.pick(addresses.open) : closedPort(kitchen);
    const sum = random.pick([0, 0, 0xffff, random.u16()]);
    const fields = random.chance(0.2) ? { dst: addresses.broadcast } : {};
    return {
      bytes: kitchen.ip(fields, udp({ sport: 5, dport, checksum: sum }, random.bytes(random.int(40)))),
      note: `${sum} to ${dport}`,
    };
  }],
  [2, "udp/truncated", function truncated(kitchen) {
    const length = kitchen.random.int(8);
    const datagram = udp({ sport: 5, dport: kitchen.random.pick(kitchen.addresses.open) }).subarray(0, length);
    return { bytes: kitchen.ip({ proto: 17 }, datagram), note: `${length} bytes` };
  }],
  [3, "udp/broadcast", function broadcast(kitchen) {
    const { random, addresses } = kitchen;
    const dport = random.chance(0.7) ? random.pick(addresses.open) : closedPort(kitchen);
    const dst = random.pick([addresses.broadcast, "255.255.255.255", "224.0.0.1"]);
    return { bytes: kitchen.ip({ dst }, udp({ sport: 5, dport }, random.bytes(20))), note: `${dst} port ${dport}` };
  }],
  [1, "udp/big", function big(kitchen) {
    const { random, addresses } = kitchen;
    const length = random.pick([1473, 4000, 9000, 30000]);
    const dport = random.chance(0.7) ? random.pick(addresses.open) : closedPort(kitchen);
    return {
      bytes: kitchen.ip({}, udp({ sport: 5, dport }, random.bytes(length))),
      note: `${length} bytes to ${dport}`,
    };
  }],
];
