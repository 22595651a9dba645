/**
 * The hosts that the oracle compares.
 *
 * @module
 */

import type { Addresses } from "../support/frames/generate.ts";
import type { Scenario } from "./scenario.ts";

/** An hour: longer than any run. Timers set to it do not fire, so that only the order of frames decides, not their speed. */
const NEVER_MS = 3_600_000;

/** Neighbour entries do not age and an entry once learnt is not overridden by the clock (`locktime`). */
const STILL_NEIGHBOURS: Scenario["sysctls"] = {
  "ipv4.neigh.DEV.base_reachable_time_ms": NEVER_MS,
  "ipv4.neigh.DEV.retrans_time_ms": NEVER_MS,
  "ipv4.neigh.DEV.delay_first_probe_time": NEVER_MS / 1000,
  "ipv4.neigh.DEV.gc_stale_time": NEVER_MS / 1000,
  "ipv4.neigh.DEV.locktime": NEVER_MS / 10,
  "ipv4.ipfrag_time": NEVER_MS / 1000,
};

const SOCKETS: Scenario["sockets"] = [
  { bind: "0.0.0.0", port: 7 },
  { bind: "10.9.0.1", port: 9 },
  { bind: "0.0.0.0", port: 4000, connect: { address: "10.9.0.2", port: 4001 } },
  { bind: "0.0.0.0", port: 4500, reuse: true },
  { bind: "0.0.0.0", port: 4500, reuse: true },
  { bind: "10.9.0.255", port: 4600 },
];

/** One host, one device; the peers and the gateway are permanent neighbours: what is above ARP is compared without it. */
export const STATIC: Scenario = {
  name: "static",
  devices: [{
    name: "tap0",
    mac: "02:00:00:00:09:01",
    mtu: 1500,
    addresses: ["10.9.0.1/24", "10.9.0.11/24"],
    neighbours: [
      ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ ip: `10.9.0.${n}`, mac: `02:00:00:00:09:0${n}` })),
      { ip: "10.9.0.254", mac: "02:00:00:00:09:fe" },
    ],
  }],
  routes: [{ to: "default", via: "10.9.0.254" }],
  sockets: SOCKETS,
  sysctls: {
    "ipv4.ip_forward": 0,
    "ipv4.conf.all.rp_filter": 0,
    "ipv4.conf.DEV.rp_filter": 0,
    "ipv4.conf.DEV.arp_ignore": 0,
    ...STILL_NEIGHBOURS,
  },
};

/** The same host without a single known neighbour: ARP is part of what is compared. */
export const ARP: Scenario = {
  ...STATIC,
  name: "arp",
  devices: STATIC.devices.map((device) => ({ ...device, neighbours: [] })),
};

/** The same host with strict reverse path filtering and no default route. */
export const STRICT: Scenario = {
  ...STATIC,
  name: "strict",
  routes: [],
  sysctls: { ...STATIC.sysctls, "ipv4.conf.all.rp_filter": 1, "ipv4.conf.DEV.rp_filter": 1 },
};

/** A router between two networks, with every kind of route. */
export const ROUTER: Scenario = {
  name: "router",
  devices: [
    STATIC.devices[0],
    {
      name: "tap1",
      mac: "02:00:00:00:0a:01",
      mtu: 1000,
      addresses: ["10.10.0.1/24"],
      neighbours: [{ ip: "10.10.0.2", mac: "02:00:00:00:0a:02" }, { ip: "10.10.0.3", mac: "02:00:00:00:0a:03" }],
    },
  ],
  routes: [
    { to: "10.20.0.0/16", via: "10.10.0.2" },
    { to: "10.21.0.0/16", via: "10.10.0.3", mtu: 600 },
    { to: "10.66.0.0/16", type: "unreachable" },
    { to: "10.67.0.0/16", type: "prohibit" },
    { to: "10.68.0.0/16", type: "blackhole" },
  ],
  sockets: SOCKETS,
  sysctls: {
    "ipv4.ip_forward": 1,
    "ipv4.conf.all.rp_filter": 0,
    "ipv4.conf.DEV.rp_filter": 0,
    "ipv4.conf.all.send_redirects": 0,
    "ipv4.conf.DEV.send_redirects": 0,
    ...STILL_NEIGHBOURS,
  },
};

/** The router with Linux's own timers, some shortened to a second: what happens when time passes. Steps wait in multiples of 700 ms. */
export const TIMERS: Scenario = {
  ...ROUTER,
  name: "timers",
  devices: ROUTER.devices.map((device) => ({ ...device, neighbours: device.neighbours.slice(0, 2) })),
  sysctls: {
    ...ROUTER.sysctls,
    "ipv4.neigh.DEV.retrans_time_ms": 1000,
    "ipv4.neigh.DEV.delay_first_probe_time": 1,
    "ipv4.neigh.DEV.locktime": 100,
    "ipv4.ipfrag_time": 1,
  },
};

/** All of them by name. */
export const SCENARIOS: Record<string, Scenario> = {
  static: STATIC,
  arp: ARP,
  strict: STRICT,
  router: ROUTER,
  timers: TIMERS,
};

/** The scenarios for seeded frames: those in which time does not matter. */
export const SEEDED: readonly string[] = ["static", "arp", "strict", "router"];

/** What {@linkcode generateFrames} has to know of a scenario's first device. */
export function addressesOf(scenario: Scenario): Addresses {
  const [device] = scenario.devices;
  const isRouter = scenario.devices.length > 1;
  return {
    mac: device.mac,
    own: scenario.devices.flatMap(({ addresses }) => addresses.map((address) => address.split("/")[0])),
    broadcast: "10.9.0.255",
    network: "10.9.0.0",
    peers: [2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ ip: `10.9.0.${n}`, mac: `02:00:00:00:09:0${n}` })),
    gateway: { ip: "10.9.0.254", mac: "02:00:00:00:09:fe" },
    strangers: Array.from({ length: 16 }, (_, i) => `10.9.0.${100 + i}`),
    far: ["8.8.8.8", "1.2.3.4", "192.0.2.9", "10.99.0.1", "172.16.5.5"],
    // Routes of type unreachable and prohibit, and no route at all, answer five times per source and then once a second, whatever the
    // sysctls say (the limit of ip_error()): they are in the probes, not here.
    beyond: isRouter ? ["10.20.0.5", "10.20.7.7", "10.21.0.1", "10.10.0.2", "10.10.0.77", "10.68.0.1"] : ["10.20.0.5"],
    open: [7, 9, 4500, 4600],
    connected: [{ port: 4000, peer: "10.9.0.2", peerPort: 4001 }],
  };
}
