/** Recipes of ICMP messages. */

import { icmp, icmpEcho, icmpError, type IcmpErrorFields, ipv4, type Ipv4Fields, udp } from "./build.ts";
import type { Kitchen, Recipes } from "./generate.ts";

/** A packet that the host may have sent, to be quoted in an error. */
function quotable(kitchen: Kitchen): { packet: Uint8Array; name: string } {
  const { random, addresses } = kitchen;
  const fields: Ipv4Fields = { src: kitchen.own(), dst: random.pick(addresses.peers).ip, id: random.u16() };
  const data = random.bytes(random.int(24));
  const connected = random.pick(addresses.connected);
  switch (random.int(6)) {
    case 0:
      return {
        packet: ipv4(
          { ...fields, src: addresses.own[0], dst: connected.peer },
          udp({ sport: connected.port, dport: connected.peerPort }, data),
        ),
        name: "connected udp",
      };
    case 1:
      return {
        packet: ipv4(fields, udp({ sport: random.pick(addresses.open), dport: random.u16() }, data)),
        name: "open udp",
      };
    case 2:
      return { packet: ipv4(fields, udp({ sport: random.u16(), dport: random.u16() }, data)), name: "udp of nobody" };
    case 3:
      return { packet: ipv4(fields, icmpEcho({ id: 9 }, data)), name: "echo" };
    case 4:
      return { packet: ipv4(fields, icmpEcho({ id: 9, reply: true }, data)), name: "echo reply" };
    default:
      return { packet: ipv4({ ...fields, proto: random.pick([0, 99, 47]) }, data), name: "other protocol" };
  }
}

function errorFields({ random, addresses }: Kitchen): IcmpErrorFields {
  switch (random.int(6)) {
    case 0:
      return { type: 3, code: 4, mtu: random.pick([0, 67, 68, 551, 552, 576, 1000, 1400, 1499, 1500, 1501, 65535]) };
    case 1:
      return { type: 11, code: random.pick([0, 1, 2, 255]) };
    case 2:
      return { type: 12, code: random.pick([0, 1, 2, 3]), pointer: random.u8() };
    case 3:
      return random.chance(0.5)
        ? { type: 4, code: random.int(3) }
        : { type: 5, code: random.int(6), gateway: random.pick(addresses.peers).ip };
    default:
      return { type: 3, code: random.pick([0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 255]) };
  }
}

const BIG_ECHOES = [1465, 1472, 1473, 1480, 1481, 2951, 2952, 2953, 3000, 8000, 20000];

/** ICMP, by class. */
export const icmpRecipes: Recipes = [
  [8, "icmp/echo", function echo(kitchen) {
    const length = kitchen.length();
    const { random } = kitchen;
    const code = random.chance(0.1) ? random.u8() : 0;
    const fields = { tos: random.chance(0.3) ? random.u8() : 0, ttl: random.between(1, 255), df: random.chance(0.5) };
    const message = icmpEcho({ id: random.u16(), seq: random.u16(), code }, random.bytes(length));
    return { bytes: kitchen.ip(fields, message), note: `${length} bytes, code ${code}, tos ${fields.tos}` };
  }],
  [2, "icmp/big echo", function bigEcho(kitchen) {
    const length = kitchen.random.pick(BIG_ECHOES);
    return {
      bytes: kitchen.ip({}, icmpEcho({ id: 5, seq: length }, kitchen.random.bytes(length))),
      note: `${length} bytes`,
    };
  }],
  [2, "icmp/bad checksum", function badChecksum(kitchen) {
    const { random } = kitchen;
    const type = random.pick([0, 3, 8, 8, 8, 11, 13]);
    return {
      bytes: kitchen.ip({}, icmp({ type, checksum: random.u16() }, random.bytes(random.int(40)))),
      note: `type ${type}`,
    };
  }],
  [2, "icmp/truncated", function truncated(kitchen) {
    const { random } = kitchen;
    const length = random.int(8);
    const type = random.pick([0, 3, 8, 13, 255]);
    // With a checksum that is right over what is there.
    const words = [type << 8, 0, random.u16(), 0];
    const sum = words.slice(0, (length + 1) >> 1).reduce((total, word, i) => {
      return total + (i * 2 + 1 === length ? word & 0xff00 : word);
    }, 0);
    const folded = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    const bytes = Uint8Array.of(type, 0, folded >> 8, folded, words[2] >> 8, words[2], 0).subarray(0, length);
    return { bytes: kitchen.ip({ proto: 1 }, bytes), note: `type ${type}, ${length} bytes` };
  }],
  [4, "icmp/any type", function anyType(kitchen) {
    const { random } = kitchen;
    const type = random.chance(0.7) ? random.int(50) : random.u8();
    const code = random.chance(0.5) ? 0 : random.int(20);
    const length = random.int(80);
    const fields = random.chance(0.1) ? { dst: kitchen.addresses.broadcast } : {};
    return {
      bytes: kitchen.ip(fields, icmp({ type, code, rest: random.u32() }, random.bytes(length))),
      note: `type ${type} code ${code}, ${length} bytes`,
    };
  }],
  [2, "icmp/timestamp", function timestamp(kitchen) {
    const { random } = kitchen;
    const length = random.pick([12, 12, 12, 0, 3, 4, 8, 11, 13, 20, 100]);
    const message = icmp({ type: 13, code: random.int(2), rest: random.u32() }, random.bytes(length));
    const fields = random.chance(0.1) ? { dst: kitchen.addresses.broadcast } : { tos: random.pick([0, 0x10, 0xff]) };
    return { bytes: kitchen.ip(fields, message), note: `${length} bytes` };
  }],
  [1, "icmp/address mask", function addressMask(kitchen) {
    const type = kitchen.random.pick([17, 18]);
    return { bytes: kitchen.ip({}, icmp({ type, rest: 0x10001 }, [0, 0, 0, 0])), note: `type ${type}` };
  }],
  [8, "icmp/error", function error(kitchen) {
    const { packet, name } = quotable(kitchen);
    const fields = errorFields(kitchen);
    const bytes = kitchen.ip({}, icmpError(fields, packet));
    const shown = Object.entries(fields).map(([key, value]) => `${key} ${value}`).join(" ");
    return { bytes, note: `${shown} quoting ${name}` };
  }],
  [3, "icmp/error quoting short", function shortQuote(kitchen) {
    const { packet, name } = quotable(kitchen);
    const length = kitchen.random.int(Math.min(packet.length, 30));
    const fields = errorFields(kitchen);
    return {
      bytes: kitchen.ip({}, icmpError(fields, packet.subarray(0, length))),
      note: `type ${fields.type} code ${fields.code} quoting ${length} bytes of ${name}`,
    };
  }],
  [3, "icmp/error quoting bad", function badQuote(kitchen) {
    const { packet, name } = quotable(kitchen);
    const { random } = kitchen;
    const bent = packet.slice();
    const at = random.int(Math.min(28, bent.length));
    bent[at] = random.u8();
    const fields = errorFields(kitchen);
    return {
      bytes: kitchen.ip({}, icmpError(fields, bent)),
      note: `type ${fields.type} code ${fields.code} quoting ${name} with byte ${at} := ${bent[at]}`,
    };
  }],
  [1, "icmp/error about an error", function errorAboutError(kitchen) {
    const { packet } = quotable(kitchen);
    const inner = ipv4(
      { src: kitchen.own(), dst: kitchen.random.pick(kitchen.addresses.peers).ip },
      icmpError({ type: 3, code: 1 }, packet),
    );
    return { bytes: kitchen.ip({}, icmpError({ type: 3, code: 1 }, inner)), note: "3/1 quoting 3/1" };
  }],
  [2, "icmp/echo to broadcast", function smurf(kitchen) {
    const { random, addresses } = kitchen;
    const dst = random.pick([addresses.broadcast, "255.255.255.255", "224.0.0.1"]);
    return { bytes: kitchen.ip({ dst }, icmpEcho({ id: 1 }, "smurf")), note: dst };
  }],
];
