/** Probes of IPv4 input: header checks, addresses, options. */

import {
  BROADCAST_MAC,
  type BytesLike,
  concat,
  eth,
  icmp,
  icmpEcho,
  icmpError,
  ipOption,
  ipv4,
  pattern,
  udp,
} from "../support/frames/build.ts";
import { echo, HOST_MAC, HOSTS, ip, LINK, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

const SOURCES = [
  "0.0.0.0",
  "0.0.0.5",
  "0.1.2.3",
  "127.0.0.1",
  "127.9.9.9",
  "224.0.0.1",
  "239.1.1.1",
  "240.0.0.1",
  "255.255.255.255",
  "10.9.0.1",
  "10.9.0.11",
  "10.9.0.255",
  "10.9.0.0",
  "10.9.0.77",
  "8.8.8.8",
  "169.254.1.1",
];

const DESTINATIONS = [
  "0.0.0.0",
  "0.1.2.3",
  "127.0.0.1",
  "10.9.0.0",
  "10.9.0.11",
  "10.9.0.2",
  "10.9.0.78",
  "8.8.8.8",
  "10.9.0.255",
  "255.255.255.255",
  "224.0.0.1",
  "224.0.0.2",
  "239.1.1.1",
  "240.0.0.1",
  "10.255.255.255",
];

function closed(): Uint8Array {
  return udp({ sport: 4, dport: 5 }, "xy");
}

function open(): Uint8Array {
  return udp({ sport: 4, dport: 7 }, "xy");
}

/** Header checks, addresses, protocols. */
export function ipv4Probes(): Step[] {
  const probes = new Probes("probe ipv4");
  const add = (note: string, bytes: Uint8Array) => probes.add(note, bytes);
  for (const version of [0, 3, 5, 6]) add(`version ${version}`, ip({ version }));
  for (const ihl of [0, 4, 6, 15]) add(`ihl ${ihl}, no options`, ip({ ihl }));
  for (const totalLength of [0, 19, 20, 27, 28, 29, 35, 37, 1000, 65535]) {
    add(`tot_len ${totalLength} of 36`, ip({ totalLength }));
  }
  for (const checksum of [0, 1, 0xffff]) add(`checksum ${checksum}`, ip({ checksum }));
  for (const ttl of [0, 1, 255]) add(`ttl ${ttl}`, ip({ ttl }));
  add("evil bit", ip({ reserved: true }));
  add("DF", ip({ df: true }));
  add("padding behind", eth({ ...LINK, pad: 60 }, ipv4(HOSTS, icmpEcho({}, "abc"))));
  for (const length of [0, 1, 19, 20]) add(`${length} bytes of IP`, ip({}).subarray(0, 14 + length));
  add("header alone, protocol 0", ip({}, []));
  for (const tos of [1, 2, 3, 0x10, 0x1e, 0x20, 0xe0, 0xff]) {
    add(`tos ${tos} echo`, ip({ tos }));
    add(`tos ${tos} closed port`, ip({ tos }, closed()));
  }
  for (const src of SOURCES) {
    add(`source ${src} echo`, ip({ src }));
    add(`source ${src} closed port`, ip({ src }, closed()));
    add(`source ${src} to broadcast`, ip({ src, dst: "255.255.255.255" }, open()));
  }
  for (const dst of DESTINATIONS) {
    add(`destination ${dst} echo`, ip({ dst }));
    add(`destination ${dst} closed port`, ip({ dst }, closed()));
    add(`destination ${dst} open port`, ip({ dst }, open()));
    add(`destination ${dst} protocol 99`, ip({ dst, proto: 99 }, "abc"));
  }
  for (const mac of [BROADCAST_MAC, "01:00:5e:00:00:01", "02:00:00:00:09:77"]) {
    const link = { ...LINK, dst: mac };
    add(`eth dst ${mac} echo`, eth(link, ipv4(HOSTS, echo())));
    add(`eth dst ${mac} closed port`, eth(link, ipv4(HOSTS, closed())));
    add(`eth dst ${mac} open port`, eth(link, ipv4(HOSTS, open())));
    add(`eth dst ${mac} protocol 99`, eth(link, ipv4({ ...HOSTS, proto: 99 }, "x")));
    add(`eth dst ${mac} to 239.1.1.1`, eth(link, ipv4({ ...HOSTS, dst: "239.1.1.1" }, open())));
  }
  for (const src of ["03:00:00:00:09:77", "00:00:00:00:00:00", HOST_MAC]) {
    add(`eth src ${src}`, eth({ ...LINK, src }, ipv4(HOSTS, echo())));
  }
  for (const proto of [0, 3, 4, 41, 47, 50, 51, 58, 89, 94, 99, 108, 112, 115, 132, 254, 255]) {
    add(`protocol ${proto}`, ip({ proto }, pattern(24)));
  }
  for (const size of [500, 519, 520, 521, 547, 548, 549, 1472]) {
    add(`protocol 99, ${size} bytes`, ip({ proto: 99 }, pattern(size)));
  }
  return probes.steps;
}

function ts(flag: number, data: BytesLike, pointer = 5, overflow = 0): Uint8Array {
  return ipOption.timestamp(flag, data, pointer, overflow);
}

function zeros(length: number): Uint8Array {
  return new Uint8Array(length);
}

const HOP = "10.9.0.3";

/** Options by name. A list of numbers is the option as bytes. */
function optionCases(): Record<string, BytesLike> {
  const { recordRoute, looseRoute, strictRoute, routerAlert, security, streamId } = ipOption;
  const cases: Record<string, BytesLike> = {
    "rr len 2": [7, 2, 1, 1],
    "rr len 3 ptr 4": [7, 3, 4, 0],
    "rr len 3 ptr 3": [7, 3, 3, 0],
    "rr len 1": [7, 1, 4, 0],
    "rr len 0": [7, 0, 4, 0],
    "rr len 5": [7, 5, 4, 0, 0, 0, 0, 0],
    "rr len 6": [7, 6, 4, 0, 0, 0, 0, 0],
    "rr overrun": [7, 11, 4, 0, 0, 0, 0, 0],
    "rr twice": concat(recordRoute(1), [1], recordRoute(1)),
    "rr kind in the last byte": [1, 1, 1, 7],
    "rr behind nops": [1, 1, 7, 3, 4, 0, 0, 0],
    "ts0 full": ts(0, zeros(8), 13),
    "ts0 full, overflow 14": ts(0, zeros(8), 13, 14),
    "ts0 full, overflow 15": ts(0, zeros(8), 13, 15),
    "ts1 8 bytes": ts(1, zeros(8)),
    "ts1 4 bytes": ts(1, zeros(4)),
    "ts1 12 bytes": ts(1, zeros(12)),
    "ts1 12 bytes ptr 9": ts(1, zeros(12), 9),
    "ts3 own": ts(3, concat([10, 9, 0, 1], zeros(4))),
    "ts3 own, second address": ts(3, concat([10, 9, 0, 11], zeros(4))),
    "ts3 own, then own": ts(3, concat([10, 9, 0, 1], zeros(4), [10, 9, 0, 11], zeros(4))),
    "ts3 other": ts(3, concat([10, 9, 0, 2], zeros(4))),
    "ts3 far": ts(3, concat([8, 9, 0, 2], zeros(4))),
    "ts3 4 bytes": ts(3, [10, 9, 0, 1]),
    "ts3 full": ts(3, concat([10, 9, 0, 1], zeros(4)), 13),
    "ts3 full, overflow 15": ts(3, concat([10, 9, 0, 1], zeros(4)), 13, 15),
    "ts1 full, overflow 15": ts(1, zeros(8), 13, 15),
    "ts flag 2 full, overflow 15": ts(2, zeros(8), 13, 15),
    "ts len 2": [68, 2, 5, 0],
    "ts len 3": [68, 3, 5, 0],
    "ts len 4": [68, 4, 5, 0],
    "ts len 4 overflow 15": [68, 4, 5, 0xf0],
    "ts len 5": [68, 5, 5, 0, 0, 0, 0, 0],
    "ts len 7": [68, 7, 5, 0, 0, 0, 0, 0],
    "ts twice": concat(ts(0, zeros(4)), ts(0, zeros(4))),
    "lsrr one hop": looseRoute([HOP]),
    "lsrr exhausted": looseRoute([HOP], 8),
    "ssrr one hop": strictRoute([HOP]),
    "ssrr exhausted": strictRoute([HOP, "10.9.0.4"], 12),
    "lsrr len 2": [131, 2, 4, 0],
    "lsrr len 3": [131, 3, 4, 0],
    "lsrr len 6": [131, 6, 4, 0, 0, 0, 0, 0],
    "lsrr ptr 3": looseRoute([HOP], 3),
    "lsrr ptr 5": looseRoute([HOP], 5),
    "lsrr ptr 255": looseRoute([HOP], 255),
    "lsrr twice": concat(looseRoute([HOP], 8), [1], looseRoute([HOP], 8)),
    "lsrr and ssrr": concat(looseRoute([HOP], 8), [1], strictRoute([HOP], 8)),
    "router alert": routerAlert(),
    "router alert 1": routerAlert(1),
    "router alert len 2": [148, 2, 0, 0],
    "router alert len 3": [148, 3, 0, 0],
    "router alert len 5": [148, 5, 0, 0, 0, 0, 0, 0],
    "cipso": [134, 6, 0, 0, 0, 1, 0, 0],
    "cipso len 7": [134, 7, 0, 0, 0, 1, 1, 0],
    "cipso len 8": [134, 8, 0, 0, 0, 1, 1, 2],
    "cipso len 12": [134, 12, 0, 0, 0, 1, 1, 6, 0, 0, 0, 0],
    "cipso twice": [134, 6, 0, 0, 0, 1, 134, 6, 0, 0, 0, 1],
    "cipso overrun": [134, 6, 0, 0],
    "cipso len 2": [134, 2, 0, 0],
    "security": security(),
    "security len 2": [130, 2, 0, 0],
    "stream id": streamId(7),
    "stream id len 3": [136, 3, 0, 0],
    "unknown 99": [99, 4, 1, 2],
    "unknown 99 len 0": [99, 0, 1, 2],
    "unknown 99 len 1": [99, 1, 1, 2],
    "unknown 99 len 2": [99, 2, 1, 1],
    "unknown 99 overrun": [99, 5, 1, 2],
    "unknown 99 in the last byte": [1, 1, 1, 99],
    "unknown copied": [0xf3, 4, 1, 2],
    "nops": [1, 1, 1, 1],
    "40 nops": zeros(40).fill(1),
    "end, then rubbish": [0, 7, 7, 7],
    "end": [0, 0, 0, 0],
    "rr, ts1 and router alert": concat(recordRoute(2), [1], ts(1, zeros(8)), routerAlert()),
    "ts0, then rr": concat(ts(0, zeros(8)), recordRoute(2)),
    "rr full, then ts0 full": concat(recordRoute(1, 8), ts(0, zeros(4), 9), [1]),
    "rr, then bad rr": concat(recordRoute(1), [7, 2, 0, 0]),
  };
  for (const [slots, pointer] of [[1, 4], [3, 4], [9, 4], [3, 8], [3, 12], [3, 16]]) {
    cases[`rr ${slots} slots ptr ${pointer}`] = recordRoute(slots, pointer);
  }
  for (const pointer of [0, 1, 3, 5, 11, 13, 14, 15, 17, 255]) {
    cases[`rr 3 slots ptr ${pointer}`] = recordRoute(3, pointer);
  }
  for (const flag of [0, 1, 2, 3, 4, 15]) cases[`ts flag ${flag}`] = ts(flag, zeros(16));
  for (const pointer of [0, 4, 9, 10, 11, 12, 14, 255]) cases[`ts0 8 bytes ptr ${pointer}`] = ts(0, zeros(8), pointer);
  return cases;
}

/** Every option well formed and not, in an echo request and in a datagram to a closed port; and what keeps an error back. */
export function optionProbes(): Step[] {
  const probes = new Probes("probe options");
  for (const [name, options] of Object.entries(optionCases())) {
    probes.add(`${name} (echo)`, ip({ options }));
    probes.add(`${name} (closed port)`, ip({ options }, closed()));
  }
  const bad = [7, 2, 4, 0];
  const add = (note: string, bytes: Uint8Array) => probes.add(`bad option ${note}`, bytes);
  add("to another host", ip({ dst: "10.9.0.77", options: bad }));
  add("in a broadcast frame", eth({ ...LINK, dst: BROADCAST_MAC }, ipv4({ ...HOSTS, options: bad }, echo())));
  add("to the broadcast address", ip({ dst: "10.9.0.255", options: bad }));
  add("from far", eth({ ...LINK, src: macOf(254) }, ipv4({ ...HOSTS, src: "8.8.8.8", options: bad }, echo())));
  add("from a martian", ip({ src: "127.0.0.1", options: bad }));
  add("in a first fragment", ip({ mf: true, options: bad }));
  add("in a later fragment", ip({ offset: 64, options: bad }));
  add("around an ICMP error", ip({ options: bad }, icmpError({ type: 3 }, ipv4(HOSTS, closed()))));
  add("around an echo reply", ip({ options: bad }, icmpEcho({ reply: true })));
  for (const type of [4, 5, 9, 13, 17, 18, 19, 30, 42, 255]) {
    add(`around ICMP type ${type}`, ip({ options: bad }, icmp({ type })));
  }
  add("around no ICMP", ip({ proto: 1, options: bad }, []));
  add("for another MAC", eth({ ...LINK, dst: macOf(77) }, ipv4({ ...HOSTS, options: bad }, echo())));
  probes.add(
    "long datagram, 40 bytes of record route",
    ip({ options: ipOption.recordRoute(9) }, udp({ sport: 4, dport: 5 }, pattern(1000))),
  );
  return probes.steps;
}
