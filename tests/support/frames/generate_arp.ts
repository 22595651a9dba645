/** Recipes of ARP frames. */

import { arp, type ArpFields, BROADCAST_MAC, eth, icmpEcho, ipv4 } from "./build.ts";
import type { GeneratedFrame, Kitchen, Recipes } from "./generate.ts";

const ZERO_MAC = "00:00:00:00:00:00";

function frame(kitchen: Kitchen, note: string, fields: ArpFields, dst: string, src: string): GeneratedFrame {
  const pad = kitchen.random.chance(0.3) ? 60 : 0;
  return { bytes: eth({ dst, src, pad }, arp(fields)), note };
}

function requestOf({ addresses, random }: Kitchen, changes: ArpFields = {}): { fields: ArpFields; src: string } {
  const peer = addresses.gateway && random.chance(0.1) ? addresses.gateway : random.pick(addresses.peers);
  const fields = { op: 1, sha: peer.mac, spa: peer.ip, tpa: random.pick(addresses.own), ...changes };
  return { fields, src: peer.mac };
}

/** A request for one of the host's addresses, with fields changed, to broadcast or to the host. */
function odd(note: string, change: (kitchen: Kitchen) => ArpFields): (kitchen: Kitchen) => GeneratedFrame {
  return function makeOdd(kitchen) {
    const { fields, src } = requestOf(kitchen, change(kitchen));
    const reply = kitchen.random.chance(0.3);
    if (reply) Object.assign(fields, { op: fields.op === 1 ? 2 : fields.op, tha: kitchen.addresses.mac });
    const dst = reply || kitchen.random.chance(0.2) ? kitchen.addresses.mac : BROADCAST_MAC;
    return frame(kitchen, `${note}${reply ? " (reply)" : ""}`, fields, dst, src);
  };
}

const OWN_SENDERS = ["own IP, other MAC", "own IP, own MAC", "other IP, own MAC"] as const;

/** ARP, by class. */
export const arpRecipes: Recipes = [
  [8, "arp/request", odd("for an own address", () => ({}))],
  [
    2,
    "arp/request elsewhere",
    odd("for an address that is not ours", ({ random, addresses }) => ({
      tpa: random.pick([
        ...addresses.strangers,
        ...addresses.far,
        ...addresses.peers.map((peer) => peer.ip),
        addresses.broadcast,
        addresses.network,
        "0.0.0.0",
        "255.255.255.255",
        "127.0.0.1",
        "224.0.0.1",
      ]),
    })),
  ],
  [
    2,
    "arp/probe",
    odd(
      "sender 0.0.0.0",
      ({ random, addresses }) => random.chance(0.7) ? { spa: 0 } : { spa: 0, tpa: random.pick(addresses.strangers) },
    ),
  ],
  [
    3,
    "arp/gratuitous",
    odd("sender = target", ({ random, addresses }) => {
      const ip = random.chance(0.7) ? random.pick(addresses.peers).ip : random.pick(addresses.strangers);
      const sha = `02:00:00:00:dd:${random.int(100).toString(16).padStart(2, "0")}`;
      return { spa: ip, tpa: ip, sha, tha: random.pick([sha, ZERO_MAC, BROADCAST_MAC]) };
    }),
  ],
  [
    2,
    "arp/move",
    odd(
      "known IP, new MAC",
      ({ random }) => ({ sha: `02:00:00:00:cc:${random.int(100).toString(16).padStart(2, "0")}` }),
    ),
  ],
  [3, "arp/reply", function unsolicited(kitchen) {
    const { random, addresses } = kitchen;
    const ip = random.chance(0.5) ? random.pick(addresses.peers).ip : random.pick(addresses.strangers);
    const sha = `02:00:00:00:ee:${Number(ip.split(".")[3]).toString(16).padStart(2, "0")}`;
    const fields = { op: 2, sha, spa: ip, tha: addresses.mac, tpa: random.pick(addresses.own) };
    return frame(kitchen, "unsolicited", fields, random.chance(0.8) ? addresses.mac : BROADCAST_MAC, sha);
  }],
  [
    2,
    "arp/odd sender MAC",
    odd("zero, multicast, broadcast, own or not the frame's", ({ random, addresses }) => ({
      sha: random.pick([ZERO_MAC, "01:00:5e:00:00:01", BROADCAST_MAC, addresses.mac, "02:99:99:99:99:99"]),
      spa: random.pick(addresses.strangers),
    })),
  ],
  [2, "arp/own sender", function ownSender(kitchen) {
    const { random, addresses } = kitchen;
    const which = random.pick(OWN_SENDERS);
    const mac = which === "own IP, other MAC" ? "02:00:00:00:bb:01" : addresses.mac;
    const spa = which === "other IP, own MAC" ? random.pick(addresses.strangers) : random.pick(addresses.own);
    const { fields } = requestOf(kitchen, { sha: mac, spa, op: random.pick([1, 1, 2]) });
    return frame(kitchen, which, fields, random.pick([BROADCAST_MAC, addresses.mac]), mac);
  }],
  [
    2,
    "arp/odd sender IP",
    odd("broadcast, multicast, loopback, network, off-link", ({ random, addresses }) => ({
      spa: random.pick([
        addresses.broadcast,
        addresses.network,
        "255.255.255.255",
        "224.0.0.9",
        "127.0.0.1",
        "0.0.0.9",
        "240.0.0.1",
        ...addresses.far,
      ]),
    })),
  ],
  [
    2,
    "arp/bad htype",
    odd("hardware type", ({ random }) => ({ htype: random.pick([0, 2, 6, 7, 15, 24, 256, random.u16()]) })),
  ],
  [
    1,
    "arp/bad ptype",
    odd("protocol type", ({ random }) => ({ ptype: random.pick([0, 0x0806, 0x86dd, 0x0801, random.u16()]) })),
  ],
  [1, "arp/bad hlen", odd("hardware length", ({ random }) => ({ hlen: random.pick([0, 1, 4, 5, 7, 8, 20, 255]) }))],
  [1, "arp/bad plen", odd("protocol length", ({ random }) => ({ plen: random.pick([0, 1, 3, 5, 6, 16, 255]) }))],
  [1, "arp/bad op", odd("operation", ({ random }) => ({ op: random.pick([0, 3, 4, 5, 8, 9, 10, 25, 256, 65535]) }))],
  [2, "arp/truncated", function truncated(kitchen) {
    const { fields, src } = requestOf(kitchen);
    const length = kitchen.random.int(28);
    const pad = kitchen.random.chance(0.3) ? 60 : 0;
    const bytes = eth({ dst: BROADCAST_MAC, src, type: 0x0806, pad }, arp(fields).subarray(0, length));
    return { bytes, note: `${length} bytes${pad ? ", padded" : ""}` };
  }],
  [1, "arp/wrong destination", function wrongDestination(kitchen) {
    const { fields, src } = requestOf(kitchen);
    const dst = kitchen.random.pick(["02:77:77:77:77:77", "01:00:5e:00:00:01", "33:33:00:00:00:01"]);
    return frame(kitchen, `eth dst ${dst}`, fields, dst, src);
  }],
  [4, "arp/exchange", function exchange(kitchen) {
    // A ping from someone unknown, the answer parked; more pings; then the reply, or a request, that frees it.
    const { random, addresses } = kitchen;
    const ip = random.pick(addresses.strangers);
    const mac = `02:00:00:00:ee:${Number(ip.split(".")[3]).toString(16).padStart(2, "0")}`;
    const tpa = random.pick(addresses.own);
    const ping = (seq: number) => ({
      bytes: eth({ dst: addresses.mac, src: mac }, ipv4({ src: ip, dst: tpa }, icmpEcho({ id: 77, seq }, "exchange"))),
      note: `ping ${seq} from ${ip}`,
    });
    const answer = random.chance(0.6)
      ? frame(kitchen, `reply of ${ip}`, { op: 2, sha: mac, spa: ip, tha: addresses.mac, tpa }, addresses.mac, mac)
      : frame(kitchen, `request of ${ip}`, { op: 1, sha: mac, spa: ip, tpa }, BROADCAST_MAC, mac);
    const before = Array.from({ length: random.between(1, 4) }, (_, i) => ping(i));
    return [...before, answer, ping(100)];
  }],
];
