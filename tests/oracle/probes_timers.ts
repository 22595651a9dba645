/**
 * Probes of what happens when time passes: ARP retransmission and failure, STALE to PROBE, locktime, reassembly timeout. All timers are one
 * second, all waits 700 ms, so that nothing falls on an edge.
 */

import {
  arp,
  type ArpFields,
  BROADCAST_MAC,
  eth,
  icmpEcho,
  ipv4,
  type Ipv4Fields,
  pattern,
  udp,
} from "../support/frames/build.ts";
import { HOST_MAC, HOSTS, LINK, macOf, Probes } from "./probe_kit.ts";
import type { Step } from "./scenario.ts";

const WAIT_MS = 700;

function pass(probes: Probes, times: number): void {
  for (let i = 0; i < times; i++) probes.wait(WAIT_MS);
}

function pingFrom(probes: Probes, n: number, dst = "10.9.0.1"): void {
  const packet = ipv4({ src: `10.9.0.${n}`, dst, id: n }, icmpEcho({ id: n, seq: 1 }, "abc"));
  probes.add(`ping from .${n} to ${dst}`, eth({ dst: HOST_MAC, src: macOf(n) }, packet));
}

function arpFrom(probes: Probes, n: number, note: string, fields: ArpFields = {}): void {
  const reply = fields.op === 2;
  const packet = arp({
    sha: macOf(n),
    spa: `10.9.0.${n}`,
    tpa: "10.9.0.1",
    ...(reply ? { tha: HOST_MAC } : {}),
    ...fields,
  });
  probes.add(`${note} of .${n}`, eth({ dst: reply ? HOST_MAC : BROADCAST_MAC, src: macOf(n) }, packet));
}

function neighbours(probes: Probes): void {
  // Nobody answers: three requests, one second apart, then failure; the parked packets die.
  pingFrom(probes, 50);
  pingFrom(probes, 50);
  pingFrom(probes, 2, "10.10.0.77");
  pingFrom(probes, 3, "10.10.0.77");
  pass(probes, 6);
  pingFrom(probes, 50);
  pingFrom(probes, 2, "10.10.0.77");
  pass(probes, 1);
  arpFrom(probes, 50, "reply", { op: 2 });
  pass(probes, 1);
  // A STALE entry is used, and asked about by unicast a second later.
  arpFrom(probes, 60, "request");
  pass(probes, 3);
  pingFrom(probes, 60);
  pass(probes, 2);
  arpFrom(probes, 60, "reply", { op: 2 });
  pass(probes, 3);
  pingFrom(probes, 60);
  pass(probes, 1);
  arpFrom(probes, 61, "request");
  pingFrom(probes, 61);
  pass(probes, 7);
  pingFrom(probes, 61);
  pass(probes, 1);
}

function locktime(probes: Probes): void {
  arpFrom(probes, 70, "request");
  arpFrom(probes, 70, "reply, other MAC, at once", { op: 2, sha: macOf(71) });
  pingFrom(probes, 70);
  pass(probes, 2);
  arpFrom(probes, 70, "reply, other MAC, after 1.4 s", { op: 2, sha: macOf(72) });
  pingFrom(probes, 70);
}

function fragments(probes: Probes): void {
  const message = ipv4(HOSTS, udp({ sport: 4, dport: 5 }, pattern(92))).subarray(20);
  const piece = (
    note: string,
    id: number,
    from: number,
    to: number,
    fields: Partial<Ipv4Fields> = {},
    mac = HOST_MAC,
  ) => {
    const packet = ipv4({ ...HOSTS, proto: 17, id, offset: from, mf: to < 100, ...fields }, message.subarray(from, to));
    probes.add(`fragment ${note}`, eth({ ...LINK, dst: mac }, packet));
  };
  piece("first", 1, 0, 48);
  piece("first of three", 2, 0, 24, { tos: 0x10 });
  piece("second of three", 2, 24, 48);
  piece("last alone", 3, 48, 100);
  piece("first, protocol 99", 4, 0, 48, { proto: 99 });
  piece("first, in a broadcast frame", 5, 0, 48, {}, BROADCAST_MAC);
  piece("last, then first", 6, 56, 100);
  piece("last, then first", 6, 0, 48);
  const echo = icmpEcho({ id: 1 }, pattern(92)).subarray(0, 48);
  probes.add("fragment first, echo", eth(LINK, ipv4({ ...HOSTS, proto: 1, id: 7, mf: true }, echo)));
  probes.add(
    "fragment first, to broadcast",
    eth(LINK, ipv4({ ...HOSTS, proto: 17, id: 8, mf: true, dst: "10.9.0.255" }, message.subarray(0, 48))),
  );
  probes.wait(WAIT_MS);
  // The timer runs from the first fragment: a later one does not prolong it.
  piece("second of three, 700 ms later", 9, 0, 24);
  pass(probes, 1);
  piece("another, 1.4 s later", 9, 24, 48);
  pass(probes, 2);
}

/** Time. */
export function timerProbes(): Step[] {
  const probes = new Probes("probe timers");
  neighbours(probes);
  locktime(probes);
  fragments(probes);
  return probes.steps;
}
