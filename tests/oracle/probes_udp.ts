/** Probes of UDP input: lengths, checksums, sockets, broadcast, port unreachable. */

import { BROADCAST_MAC, concat, eth, ipv4, pattern, udp } from "../support/frames/build.ts";
import { HOSTS, ip, LINK, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

/** UDP. Sockets: `*:7`, `10.9.0.1:9`, `*:4000` connected to 10.9.0.2:4001, `*:4500` twice, `10.9.0.255:4600`. */
export function udpProbes(): Step[] {
  const probes = new Probes("probe udp");
  const add = (note: string, bytes: Uint8Array) => probes.add(note, bytes);
  for (const length of [0, 7, 8, 9, 10, 11, 65535]) {
    add(`length ${length} of 10, closed`, ip({}, udp({ sport: 4, dport: 5, length }, "xy")));
    add(`length ${length} of 10, open, no checksum`, ip({}, udp({ sport: 4, dport: 7, length, checksum: 0 }, "xy")));
  }
  const short = ipv4(HOSTS, udp({ sport: 4, dport: 7 }, "x")).subarray(20);
  add("length 9 of 10, checksum over 9", ip({ proto: 17 }, concat(short, [9])));
  for (const [name, dport] of [["closed", 5], ["open", 7]] as const) {
    for (const checksum of [0, 0x1234, 0xffff]) {
      add(`checksum ${checksum}, ${name}`, ip({}, udp({ sport: 4, dport, checksum }, "xy")));
    }
  }
  add("wrong checksum to broadcast", ip({ dst: "10.9.0.255" }, udp({ sport: 4, dport: 7, checksum: 0x1234 }, "xy")));
  add("source port 0", ip({}, udp({ sport: 0, dport: 7 }, "xy")));
  add("destination port 0", ip({}, udp({ sport: 4, dport: 0 }, "xy")));
  for (const length of [0, 1, 7]) {
    add(`${length} bytes`, ip({ proto: 17 }, udp({ sport: 4, dport: 7 }).subarray(0, length)));
  }
  add("no payload", ip({}, udp({ sport: 4, dport: 7 })));
  add("to the connected socket, from its peer", ip({}, udp({ sport: 4001, dport: 4000 }, "xy")));
  add("to the connected socket, other port", ip({}, udp({ sport: 4002, dport: 4000 }, "xy")));
  add("to the connected socket, other host", ip({ src: "10.9.0.3" }, udp({ sport: 4001, dport: 4000 }, "xy")));
  add("bound to .1, sent to .11", ip({ dst: "10.9.0.11" }, udp({ sport: 4, dport: 9 }, "xy")));
  add("two sockets, unicast", ip({}, udp({ sport: 4, dport: 4500 }, "xy")));
  for (const dst of ["10.9.0.255", "255.255.255.255", "224.0.0.1"]) {
    for (const dport of [5, 7, 9, 4000, 4500, 4600]) {
      const link = { ...LINK, dst: BROADCAST_MAC };
      add(`${dst} port ${dport}`, eth(link, ipv4({ ...HOSTS, dst }, udp({ sport: 4, dport }, "xy"))));
    }
  }
  for (const size of [500, 519, 520, 521, 548, 549, 600, 1472]) {
    add(`closed, ${size} bytes`, ip({}, udp({ sport: 4, dport: 5 }, pattern(size))));
  }
  add("closed, link padding", eth({ ...LINK, pad: 60 }, ipv4(HOSTS, udp({ sport: 4, dport: 5 }))));
  add("closed, from far", ip({ src: "8.8.8.8" }, udp({ sport: 4, dport: 5 })));
  return probes.steps;
}
