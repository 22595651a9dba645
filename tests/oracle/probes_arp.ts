/** Probes of ARP, for a host that knows nobody. */

import {
  arp,
  type ArpFields,
  BROADCAST_MAC,
  eth,
  type EthFields,
  icmpEcho,
  ipv4,
  pattern,
} from "../support/frames/build.ts";
import { HOST_MAC, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

const ZERO = "00:00:00:00:00:00";
const GROUP = "01:00:5e:00:00:01";
const TO_HOST = { dst: HOST_MAC };

class ArpProbes extends Probes {
  /** A request from 10.9.0.50 for 10.9.0.1, broadcast, with fields changed. */
  request(note: string, fields: ArpFields = {}, link: EthFields = {}, length = 28): void {
    const packet = arp({ sha: macOf(50), spa: "10.9.0.50", tpa: "10.9.0.1", ...fields });
    this.add(note, eth({ dst: BROADCAST_MAC, src: macOf(50), type: 0x0806, ...link }, packet.subarray(0, length)));
  }

  /** A reply from 10.9.0.n to the host, with fields changed. */
  reply(n: number, note: string, fields: ArpFields = {}, link: EthFields = TO_HOST): void {
    this.request(`reply of .${n}${note}`, { op: 2, sha: macOf(n), spa: `10.9.0.${n}`, tha: HOST_MAC, ...fields }, link);
  }

  /** A ping from 10.9.0.n: what comes back shows the neighbour entry. */
  ping(n: number, size = 3): void {
    const packet = ipv4({ src: `10.9.0.${n}`, dst: "10.9.0.1" }, icmpEcho({ id: n, seq: 1 }, pattern(size)));
    this.add(`ping from .${n}`, eth({ dst: HOST_MAC, src: macOf(n) }, packet));
  }
}

function requests(probes: ArpProbes): void {
  probes.request("request");
  probes.ping(50);
  probes.request("request, unicast", {}, TO_HOST);
  probes.request("request, multicast frame", {}, { dst: GROUP });
  probes.request("request, another's frame", {}, { dst: macOf(77) });
  probes.request("request, padded", {}, { pad: 60 });
  probes.request("request for .11", { tpa: "10.9.0.11" });
  probes.request("request, target MAC set", { tha: macOf(99) });
  probes.request("request, group source MAC in the frame", {}, { src: "03:00:00:00:00:01" });
  for (
    const tpa of [
      "10.9.0.99",
      "127.0.0.1",
      "224.0.0.1",
      "10.9.0.255",
      "10.9.0.0",
      "0.0.0.0",
      "255.255.255.255",
      "8.8.8.8",
    ]
  ) {
    probes.request(`request for ${tpa}`, { tpa });
  }
  probes.request("probe", { spa: 0 });
  probes.request("probe, unicast", { spa: 0 }, TO_HOST);
  probes.request("probe for .99", { spa: 0, tpa: "10.9.0.99" });
  const senders: [number, string, string][] = [
    [51, "not the frame's", macOf(51)],
    [52, "zero", ZERO],
    [53, "multicast", GROUP],
    [54, "broadcast", BROADCAST_MAC],
    [55, "ours", HOST_MAC],
  ];
  for (const [n, name, sha] of senders) {
    probes.request(`sender MAC ${name}`, { sha, spa: `10.9.0.${n}` });
    probes.ping(n);
  }
  probes.request("sender IP ours", { spa: "10.9.0.1", sha: macOf(56) });
  probes.request("sender IP ours, reply", { spa: "10.9.0.1", sha: macOf(56), op: 2, tha: HOST_MAC }, TO_HOST);
  probes.request("sender IP .11, ours", { spa: "10.9.0.11", sha: macOf(56) });
  probes.request("sender all ours", { spa: "10.9.0.1", sha: HOST_MAC }, { src: HOST_MAC });
  for (
    const spa of [
      "10.9.0.255",
      "255.255.255.255",
      "224.0.0.5",
      "127.0.0.1",
      "8.8.8.8",
      "0.0.0.7",
      "10.9.0.0",
      "240.0.0.1",
    ]
  ) {
    probes.request(`sender IP ${spa}`, { spa, sha: macOf(57) });
  }
}

function learning(probes: ArpProbes): void {
  probes.reply(60, ", unsolicited");
  probes.ping(60);
  for (const [n, op] of [[61, 1], [62, 2]]) {
    const ip = `10.9.0.${n}`;
    probes.request(`gratuitous op ${op} of .${n}, unknown`, { op, spa: ip, tpa: ip, sha: macOf(n), tha: macOf(n) });
    probes.ping(n);
  }
  probes.ping(70);
  probes.ping(70);
  probes.reply(70, "");
  probes.ping(70);
  probes.request("gratuitous request moves .70", { spa: "10.9.0.70", tpa: "10.9.0.70", sha: macOf(71) });
  probes.ping(70);
  probes.ping(72);
  probes.reply(72, ", broadcast frame", {}, { dst: BROADCAST_MAC });
  probes.ping(72);
  probes.request("request for us moves .72", { spa: "10.9.0.72", sha: macOf(73) });
  probes.ping(72);
  probes.reply(72, " moves it", { sha: macOf(74) });
  probes.ping(72);
  for (const [name, tha] of [["= sender's", macOf(75)], ["zero", ZERO], ["broadcast", BROADCAST_MAC]]) {
    probes.request(`gratuitous reply moves .72, target MAC ${name}`, {
      op: 2,
      spa: "10.9.0.72",
      tpa: "10.9.0.72",
      sha: macOf(75),
      tha,
    });
    probes.ping(72);
  }
  probes.request("request for .99 moves .72", { spa: "10.9.0.72", sha: macOf(79), tpa: "10.9.0.99" });
  probes.ping(72);
}

function resolving(probes: ArpProbes): void {
  const resolved = (n: number, note: string, fields: ArpFields, link: EthFields = {}) => {
    probes.ping(n);
    probes.request(`${note} of .${n}`, { spa: `10.9.0.${n}`, sha: macOf(n), ...fields }, link);
    probes.ping(n);
  };
  const reply = { op: 2, tha: HOST_MAC };
  resolved(80, "request", {});
  resolved(81, "gratuitous request", { tpa: "10.9.0.81" });
  resolved(82, "request for .99", { tpa: "10.9.0.99" });
  resolved(83, "reply to .99", { ...reply, tpa: "10.9.0.99" }, TO_HOST);
  resolved(84, "reply to .11", { ...reply, tpa: "10.9.0.11" }, TO_HOST);
  resolved(85, "reply, MAC zero", { ...reply, sha: ZERO }, TO_HOST);
  resolved(86, "reply, MAC multicast", { ...reply, sha: GROUP }, TO_HOST);
  resolved(87, "reply, MAC broadcast", { ...reply, sha: BROADCAST_MAC }, TO_HOST);
  resolved(88, "reply, htype 6", { ...reply, htype: 6 }, TO_HOST);
  resolved(89, "reply, another's frame", reply, { dst: macOf(77) });
  for (let i = 0; i < 3; i++) {
    const packet = ipv4({ src: `8.8.8.${i}`, dst: "10.9.0.1" }, icmpEcho({ id: i, seq: 1 }, "abc"));
    probes.add(`ping from 8.8.8.${i}`, eth({ dst: HOST_MAC, src: macOf(254) }, packet));
  }
  probes.reply(254, ", the gateway");
  for (let i = 0; i < 5; i++) probes.ping(90, 1400);
  probes.reply(90, "");
}

/** ARP. */
export function arpProbes(): Step[] {
  const probes = new ArpProbes("probe arp");
  requests(probes);
  learning(probes);
  resolving(probes);
  for (const htype of [0, 2, 6, 15]) probes.request(`htype ${htype}`, { htype });
  for (const ptype of [0, 0x0806, 0x86dd]) probes.request(`ptype ${ptype}`, { ptype });
  for (const hlen of [0, 5, 7, 20]) probes.request(`hlen ${hlen}`, { hlen });
  for (const plen of [0, 3, 6, 16]) probes.request(`plen ${plen}`, { plen });
  for (const op of [0, 3, 4, 5, 8, 9, 255, 65535]) probes.request(`op ${op}`, { op });
  for (const length of [0, 8, 20, 27]) probes.request(`${length} bytes`, {}, {}, length);
  for (const length of [20, 24, 27]) probes.request(`${length} bytes, padded`, {}, { pad: 60 }, length);
  probes.request("RARP", {}, { type: 0x8035 });
  return probes.steps;
}
