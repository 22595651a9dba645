/** What the parts of a lab file say of each other: names that must be there, ends that are taken, values that clash. */
import { createHost, Machine, standardPlugins } from "../../../mod.ts";
import type { Path } from "./locate.ts";
import type { Problems } from "./load.ts";
import { didYouMean } from "./problem.ts";
import type { ParsedLab, ParsedNic } from "./schema.ts";

/** `a:eth0` taken apart; without a NIC, "" for it. */
export function splitEnd(end: string): [host: string, nic: string] {
  const [host, nic = ""] = end.split(":");
  return [host, nic];
}

/** Adds what is wrong to `problems`. */
export function crossCheck(lab: ParsedLab, problems: Problems): void {
  const hosts = Object.keys(lab.hosts);
  if (hosts.length === 0) problems.add(["hosts"], "expected at least one host");
  for (const sw of Object.keys(lab.switches ?? {})) {
    if (hosts.includes(sw)) problems.add(["switches", sw], `a host has this name already`);
  }
  const needHost = (path: Path, name: string): boolean => {
    if (hosts.includes(name)) return true;
    problems.add(path, `there is no host "${name}"${didYouMean(name, hosts) || `; there are ${hosts.join(", ")}`}`);
    return false;
  };
  checkEnds(lab, problems, needHost);
  checkVeths(lab, problems);
  checkAddresses(lab, problems);
  checkHosts(lab, problems);
  checkExpectations(lab, problems, needHost);
  (lab.captures ?? []).forEach((capture, i) => {
    const [host, nic] = splitEnd(capture.on);
    if (needHost(["captures", i, "on"], host)) needNic(lab, problems, ["captures", i, "on"], host, nic);
  });
}

/** Every NIC has at most one cable; a NIC that is named must be there where the host lists its NICs. */
function checkEnds(lab: ParsedLab, problems: Problems, needHost: (path: Path, name: string) => boolean): void {
  const taken = new Map<string, string>();
  const plug = (path: Path, end: string, by: string): void => {
    const [host, nic] = splitEnd(end);
    if (!needHost(path, host)) return;
    needNic(lab, problems, path, host, nic);
    if (nic === "") return;
    const other = taken.get(end);
    if (other !== undefined) problems.add(path, `${end} is plugged into ${other} already`);
    else taken.set(end, by);
  };
  (lab.links ?? []).forEach((link, i) => {
    const ends = Array.isArray(link) ? link : link.endpoints;
    const path = Array.isArray(link) ? ["links", i] : ["links", i, "endpoints"];
    ends.forEach((end, k) => plug([...path, k], end, `links[${i}]`));
    if (ends[0] === ends[1]) problems.add(path, "expected two different ends");
  });
  for (const [name, sw] of Object.entries(lab.switches ?? {})) {
    sw.ports.forEach((port, i) => {
      const end = typeof port === "string" ? port : port.to;
      const path = ["switches", name, "ports", i, ...(typeof port === "string" ? [] : ["to"])];
      const [host] = splitEnd(end);
      // A switch may be plugged into another.
      if (lab.switches?.[host] === undefined) plug(path, end, `switch ${name}`);
      else if (host === name) problems.add(path, "a switch cannot be plugged into itself");
    });
  }
}

const IMPAIRMENTS = [
  "delay",
  "jitter",
  "loss",
  "gemodel",
  "reorder",
  "duplicate",
  "corrupt",
  "rate",
  "limit",
  "changes",
];

/** A veth pair is two devices and nothing between them. */
function checkVeths(lab: ParsedLab, problems: Problems): void {
  const driver = (end: string): string => nicAt(lab, end)?.driver ?? "nic";
  const pair = (path: Path, ends: readonly string[], options: object, toSwitch: boolean): void => {
    const veth = ends.find((end) => driver(end) === "veth");
    if (veth === undefined) return;
    const other = toSwitch ? undefined : ends.find((end) => driver(end) !== "veth");
    if (other !== undefined) {
      problems.add(
        ["hosts", splitEnd(veth)[0], "nics", splitEnd(veth)[1], "driver"],
        `${other} is no veth: a pair is of two`,
      );
    }
    for (const key of IMPAIRMENTS.filter((key) => key in options)) {
      problems.add([...path, key], "a veth pair has no wire that could do this; the driver nic has one");
    }
  };
  (lab.links ?? []).forEach((link, i) =>
    pair(["links", i], Array.isArray(link) ? link : link.endpoints, Array.isArray(link) ? {} : link, false)
  );
  for (const [name, sw] of Object.entries(lab.switches ?? {})) {
    sw.ports.forEach((port, i) =>
      pair(["switches", name, "ports", i], [typeof port === "string" ? port : port.to], Object(port), true)
    );
  }
  for (const [host, h] of Object.entries(lab.hosts)) {
    for (const [nic, n] of Object.entries(h?.nics ?? {})) {
      if (n.driver !== "veth") continue;
      const path = ["hosts", host, "nics", nic];
      for (const key of ["ring", "coalesce", "queues"] as const) {
        if (n[key] !== undefined) problems.add([...path, key], "a veth has none");
      }
      const set = new Set(HARDWARE.map((key) => n.offloads?.[key]));
      if (set.size > 1) problems.add([...path, "offloads"], `a veth has all of ${HARDWARE.join(", ")} or none`);
    }
  }
}

const HARDWARE = ["sg", "tx-checksum", "rx-checksum", "gso"] as const;

function nicAt(lab: ParsedLab, end: string): ParsedNic | undefined {
  const [host, nic] = splitEnd(end);
  return lab.hosts[host]?.nics?.[nic];
}

function needNic(lab: ParsedLab, problems: Problems, path: Path, host: string, nic: string): void {
  const nics = Object.keys(lab.hosts[host]?.nics ?? {});
  if (nic === "" || nics.length === 0 || nics.includes(nic)) return;
  const vlans = Object.values(lab.hosts[host]?.nics ?? {}).flatMap((n) => Object.keys(n.vlans ?? {}));
  if (vlans.includes(nic)) return;
  problems.add(path, `${host} has no NIC "${nic}"${didYouMean(nic, nics) || `; it has ${nics.join(", ")}`}`);
}

function checkAddresses(lab: ParsedLab, problems: Problems): void {
  const seen = new Map<string, string>();
  const macs = new Map<string, string>();
  for (const [host, h] of Object.entries(lab.hosts)) {
    for (const [nic, n] of Object.entries(h?.nics ?? {})) {
      const path = ["hosts", host, "nics", nic];
      const note = (where: Path, cidr: string): void => {
        const ip = cidr.split("/")[0];
        const other = seen.get(ip);
        if (other !== undefined) problems.add(where, `${other} has the address ${ip} already`);
        else seen.set(ip, `${host}:${nic}`);
      };
      (n.addresses ?? []).forEach((a, i) => note([...path, "addresses", i], a));
      for (const [v, vlan] of Object.entries(n.vlans ?? {})) {
        (vlan.addresses ?? []).forEach((a, i) => note([...path, "vlans", v, "addresses", i], a));
      }
      const mac = n.macaddress?.toLowerCase();
      if (mac === undefined) continue;
      if (macs.has(mac)) problems.add([...path, "macaddress"], `${macs.get(mac)} has this address already`);
      else macs.set(mac, `${host}:${nic}`);
      if ((parseInt(mac.slice(0, 2), 16) & 1) !== 0) {
        problems.add([...path, "macaddress"], "a group's address is no NIC's");
      }
    }
  }
}

/** Sysctls, plugins, qdiscs and rings, held against a host as it is made. */
function checkHosts(lab: ParsedLab, problems: Problems): void {
  using machine = new Machine({ slabBytes: 1 << 20 });
  const scratch = createHost({ machine, name: "scratch" });
  const qdiscs = [...scratch.net.qdiscs.keys()];
  const plugins = standardPlugins().map((p) => p.name);
  for (const [host, h] of Object.entries(lab.hosts)) {
    for (const [name, value] of Object.entries(h?.sysctls ?? {})) {
      // Those of a device are set when it is there.
      if (/^net\.ipv4\.(conf|neigh)\.(?!all\.|default\.)/.test(name)) continue;
      try {
        scratch.net.sysctl.set(name, value);
      } catch (error) {
        problems.add(["hosts", host, "sysctls", name], (error as Error).message);
      }
    }
    (h?.plugins ?? []).forEach((p, i) => {
      const use = typeof p === "string" ? p : p.use;
      const path = ["hosts", host, "plugins", i];
      if (/^(\.{1,2}\/|\/|jsr:|npm:|https?:|file:)/.test(use) || OPTIONAL_PLUGINS.includes(use)) return;
      if (plugins.includes(use)) return problems.add(path, `"${use}" is in every host already`);
      const hint = didYouMean(use, OPTIONAL_PLUGINS);
      problems.add(
        path,
        `no plugin "${use}"; expected one of ${OPTIONAL_PLUGINS.join(", ")}, ./FILE.ts, jsr: or npm:${hint}`,
      );
    });
    for (const [nic, n] of Object.entries(h?.nics ?? {})) {
      const path = ["hosts", host, "nics", nic];
      for (const side of ["rx", "tx"] as const) {
        const ring = n.ring?.[side];
        if (ring === undefined || (ring >= 8 && ring <= 65536 && (ring & (ring - 1)) === 0)) continue;
        problems.add([...path, "ring", side], `expected a power of two from 8 to 65536, not ${ring}`);
      }
      if (n.qdisc !== undefined && !qdiscs.includes(n.qdisc.kind)) {
        const hint = didYouMean(n.qdisc.kind, qdiscs) || `; there are ${qdiscs.join(", ")}`;
        problems.add([...path, "qdisc", "kind"], `no queue discipline "${n.qdisc.kind}"${hint}`);
      }
    }
  }
}

/** Plugins that a host has only when asked. */
export const OPTIONAL_PLUGINS: readonly string[] = ["vlan", "bridge", "filter"];

function checkExpectations(
  lab: ParsedLab,
  problems: Problems,
  needHost: (path: Path, name: string) => boolean,
): void {
  using machine = new Machine({ slabBytes: 1 << 20 });
  createHost({ machine, name: "scratch" });
  const ownPlugins = Object.values(lab.hosts).some((h) => (h?.plugins ?? []).length > 0);
  const reasons = machine.reasons.list().map((r) => r.name);
  (lab.expect ?? []).forEach((e, i) => {
    const path = ["expect", i];
    if ("ping" in e) needHost([...path, "ping", "from"], e.ping.from);
    if ("http" in e) needHost([...path, "http", "from"], e.http.from);
    if ("throughput" in e) {
      for (const side of ["from", "to"] as const) needHost([...path, "throughput", side], e.throughput[side]);
    }
    if ("dropped" in e) {
      if (lab.switches?.[e.dropped.on] === undefined) needHost([...path, "dropped", "on"], e.dropped.on);
      // Plugins register reasons of their own: with some, it is asked when they are there.
      if (!reasons.includes(e.dropped.reason) && !ownPlugins) {
        problems.add(
          [...path, "dropped", "reason"],
          `no drop reason "${e.dropped.reason}"${didYouMean(e.dropped.reason, reasons)}`,
        );
      }
    }
    if ("no-drops" in e && e["no-drops"]?.on !== undefined) needHost([...path, "no-drops", "on"], e["no-drops"].on);
  });
}
