/**
 * Directed frames: one behaviour each, by name. What the kernel answers to them is written up in FINDINGS.md; the oracle runs them before the
 * seeded frames, since a difference here says at once what is wrong.
 *
 * @module
 */

import { fragmentProbes } from "./probes_fragments.ts";
import { arpProbes } from "./probes_arp.ts";
import { icmpProbes } from "./probes_icmp.ts";
import { linkProbes } from "./probes_link.ts";
import { ipv4Probes, optionProbes } from "./probes_ipv4.ts";
import { routerProbes } from "./probes_router.ts";
import { timerProbes } from "./probes_timers.ts";
import { udpProbes } from "./probes_udp.ts";
import type { Step } from "./scenario.ts";

/** A list of directed steps, and the name of the scenario (see `scenarios.ts`) that they are for. */
export interface ProbeSet {
  name: string;
  scenario: string;
  steps: Step[];
}

/** Every set of probes. */
export function probeSets(): ProbeSet[] {
  return [
    { name: "ipv4", scenario: "static", steps: ipv4Probes() },
    { name: "ipv4, rp_filter 1, no default route", scenario: "strict", steps: ipv4Probes() },
    { name: "link", scenario: "static", steps: linkProbes() },
    { name: "options", scenario: "static", steps: optionProbes() },
    { name: "icmp", scenario: "static", steps: icmpProbes() },
    { name: "udp", scenario: "static", steps: udpProbes() },
    { name: "fragments", scenario: "static", steps: fragmentProbes() },
    { name: "arp", scenario: "arp", steps: arpProbes() },
    { name: "router", scenario: "router", steps: routerProbes() },
    { name: "timers", scenario: "timers", steps: timerProbes() },
  ];
}
