/**
 * What `ip` of iproute2 prints: `ip link`, `ip -s link`, `ip addr`, `ip route`, `ip neigh`, to the space at the end of
 * their lines. tests/plugins/lab/cli_proc_kernel_test.ts holds it against the real one.
 */
import {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_MULTICAST,
  IFF_NOARP,
  IFF_POINTOPOINT,
  IFF_PROMISC,
  IFF_UP,
  macToString,
  type Net,
  type NetDevice,
} from "../../../../core/mod.ts";
import { BRIDGES } from "../../../link/bridge/mod.ts";
import { VLANS } from "../../../link/vlan/mod.ts";
import { inDevGet, type InIfaddr, RT_SCOPE_HOST, RT_SCOPE_LINK } from "../../../network/devinet/mod.ts";
import { FIB, type Route, type RouteMetric } from "../../../network/fib/mod.ts";
import { ipToString } from "../../../network/inet/mod.ts";
import { NEIGH, NUD_VALID } from "../../../network/neigh/mod.ts";

/** In the order in which iproute2 prints them. */
const LINK_FLAGS: readonly (readonly [number, string])[] = [
  [IFF_LOOPBACK, "LOOPBACK"],
  [IFF_BROADCAST, "BROADCAST"],
  [IFF_POINTOPOINT, "POINTOPOINT"],
  [IFF_MULTICAST, "MULTICAST"],
  [IFF_NOARP, "NOARP"],
  [IFF_PROMISC, "PROMISC"],
  [IFF_UP, "UP"],
];

const NUD_NAMES: Readonly<Record<number, string>> = {
  1: "INCOMPLETE",
  2: "REACHABLE",
  4: "STALE",
  8: "DELAY",
  16: "PROBE",
  32: "FAILED",
  128: "PERMANENT",
};

/** The devices of a net, or the one that is named. */
function devicesOf(net: Net, dev: string | undefined): NetDevice[] {
  return dev === undefined ? net.devices : net.devices.filter((d) => d.name === dev);
}

/** The line of a device and the one of its address; `mode DEFAULT` stands in `ip link` alone. */
function linkLines(net: Net, dev: NetDevice, mode: boolean): string[] {
  const up = (dev.flags & IFF_UP) !== 0;
  const flags = LINK_FLAGS.filter(([bit]) => (dev.flags & bit) !== 0).map(([, name]) => name);
  if (up && dev.carrier) flags.push("LOWER_UP");
  else if (up) flags.unshift("NO-CARRIER");
  const below = net.find(VLANS)?.realDev(dev) ?? null;
  const words = [
    `${dev.ifindex}: ${dev.name}${below === null ? "" : `@${below.name}`}:`,
    `<${flags.join(",")}>`,
    `mtu ${dev.mtu}`,
    `qdisc ${up ? dev.txq[0].qdisc?.ops.name ?? "noqueue" : "noop"}`,
    ...masterOf(net, dev),
    `state ${stateOf(dev, below, up)}`,
    ...(mode ? ["mode DEFAULT"] : []),
    "group default",
    ...(dev.txQueueLen === 0 ? [] : [`qlen ${dev.txQueueLen}`]),
  ];
  return [words.join(" "), addressLine(dev)];
}

/** Linux: IF_OPER_*, RFC 2863. */
function stateOf(dev: NetDevice, below: NetDevice | null, up: boolean): string {
  if (!up) return "DOWN";
  if (!dev.carrier) return below === null ? "DOWN" : "LOWERLAYERDOWN";
  return (dev.flags & IFF_LOOPBACK) !== 0 ? "UNKNOWN" : "UP";
}

function masterOf(net: Net, dev: NetDevice): string[] {
  const bridges = net.find(BRIDGES);
  const master = bridges === null
    ? undefined
    : net.devices.find((d) => bridges.get(d)?.ports().some((port) => port.dev === dev));
  return master === undefined ? [] : [`master ${master.name}`];
}

function addressLine(dev: NetDevice): string {
  if (dev.type === ARPHRD_LOOPBACK) return `    link/loopback ${dev.address} brd 00:00:00:00:00:00`;
  if (dev.type === ARPHRD_ETHER) return `    link/ether ${dev.address} brd ff:ff:ff:ff:ff:ff`;
  return "    link/none ";
}

/** `ip link`; `stats`: `ip -s link`. Of one device or of all. */
export function ipLink(net: Net, stats: boolean, dev?: string): string[] {
  return devicesOf(net, dev).flatMap((d) => [...linkLines(net, d, true), ...(stats ? statLines(d) : [])]);
}

/** `ip addr`, of one device or of all. */
export function ipAddr(net: Net, dev?: string): string[] {
  return devicesOf(net, dev).flatMap((d) => {
    const lines = (inDevGet(d)?.ifaList ?? []).flatMap((ifa) => inetLines(ifa));
    return [...linkLines(net, d, false), ...lines];
  });
}

function inetLines(ifa: InIfaddr): string[] {
  const peer = ifa.peer === ifa.local ? "" : ` peer ${ipToString(ifa.peer)}`;
  const broadcast = ifa.broadcast === 0 ? "" : ` brd ${ipToString(ifa.broadcast)}`;
  const scope = { 0: "global", [RT_SCOPE_LINK]: "link", [RT_SCOPE_HOST]: "host" }[ifa.scope] ?? ifa.scope;
  const secondary = ifa.secondary ? " secondary" : "";
  return [
    `    inet ${ipToString(ifa.local)}${peer}/${ifa.prefix}${broadcast} scope ${scope}${secondary} ${ifa.dev.name}`,
    "       valid_lft forever preferred_lft forever",
  ];
}

/** Least widths of the columns of `ip -s link`; the last one is for a word that only compressed links print. */
const STAT_WIDTHS = [10, 7, 6, 7, 7, 7, 10];

function statLines(dev: NetDevice): string[] {
  const s = dev.stats;
  const rx = [s.rxBytes, s.rxPackets, s.rxErrors, s.rxDropped, s.rxMissed, s.multicast];
  const tx = [s.txBytes, s.txPackets, s.txErrors, s.txDropped, 0, 0];
  const widths = STAT_WIDTHS.map((w, i) => Math.max(w, String(rx[i] ?? "").length, String(tx[i] ?? "").length));
  const head = (side: string, words: readonly string[]): string =>
    `    ${side}: ${words.map((w, i) => w.padStart(i === 0 ? widths[0] - 4 : widths[i])).join(" ")}${
      " ".repeat(1 + widths[6])
    }`;
  const numbers = (values: readonly number[]): string =>
    `    ${values.map((v, i) => `${String(v).padStart(widths[i])} `).join("")}`;
  return [
    head("RX", ["bytes", "packets", "errors", "dropped", "missed", "mcast"]),
    numbers(rx),
    head("TX", ["bytes", "packets", "errors", "dropped", "carrier", "collsns"]),
    numbers(tx),
  ];
}

/** `ip route`; table 255: `ip route show table local`. */
export function ipRoute(net: Net, table: number = 254): string[] {
  return (net.find(FIB)?.list(table) ?? []).map((r) => routeLine(net, r));
}

function routeLine(net: Net, r: Route): string {
  const dev = r.dev === undefined ? undefined : net.device(r.dev);
  const words: readonly (readonly [string, string | number | undefined])[] = [
    ["via", r.via],
    ["dev", r.dev],
    ["proto", r.protocol === "boot" ? undefined : r.protocol],
    ["scope", r.scope === "global" ? undefined : r.scope],
    ["src", r.src],
    ["metric", r.metric === 0 ? undefined : r.metric],
    ["", dev !== undefined && !dev.carrier && r.scope !== "host" ? "linkdown" : undefined],
    ["", r.onlink === true ? "onlink" : undefined],
    ...metricWords(r),
  ];
  const kind = r.type === undefined || r.type === "unicast" ? "" : `${r.type} `;
  const said = words.flatMap(([word, value]) => value === undefined ? [] : [word === "" ? value : `${word} ${value}`]);
  return `${kind}${[r.to, ...said].join(" ")} `;
}

/** What a route says about its paths, in the order of iproute2. */
function metricWords(r: Route): (readonly [string, string | undefined])[] {
  const number = (
    name: string,
    key: RouteMetric,
    value: number | undefined,
    unit = "",
  ): [string, string | undefined] => {
    const lock = r.lock?.includes(key) === true || key === "rtoMin" ? "lock " : "";
    return [name, value === undefined || value === 0 ? undefined : `${lock}${value}${unit}`];
  };
  return [
    number("mtu", "mtu", r.mtu),
    number("window", "window", r.window),
    number("rtt", "rtt", r.rtt, "ms"),
    number("rttvar", "rttvar", r.rttvar, "ms"),
    number("ssthresh", "ssthresh", r.ssthresh),
    number("cwnd", "cwnd", r.cwnd),
    number("advmss", "advmss", r.advmss),
    number("reordering", "reordering", r.reordering),
    number("hoplimit", "hoplimit", r.hoplimit),
    number("initcwnd", "initcwnd", r.initcwnd),
    [
      "features",
      r.features?.length ? `${r.lock?.includes("features") ? "lock " : ""}${r.features.join(" ")}` : undefined,
    ],
    number("rto_min", "rtoMin", r.rtoMin, "ms"),
    number("initrwnd", "initrwnd", r.initrwnd),
    number("quickack", "quickack", r.quickack === true ? 1 : 0),
    ["congctl", r.congctl === undefined ? undefined : `${r.lock?.includes("congctl") ? "lock " : ""}${r.congctl}`],
    number("fastopen_no_cookie", "fastopenNoCookie", r.fastopenNoCookie === true ? 1 : 0),
  ];
}

/** `ip neigh`, of one device or of all. */
export function ipNeigh(net: Net, dev?: string): string[] {
  const entries = net.find(NEIGH)?.list() ?? [];
  return entries.filter((n) => n.nudState in NUD_NAMES && (dev === undefined || n.dev.name === dev)).map((n) => {
    const lladdr = (n.nudState & NUD_VALID) === 0 ? "" : ` lladdr ${macToString(n.haHi, n.haLo)}`;
    return `${ipToString(n.primaryKey)} dev ${n.dev.name}${lladdr} ${NUD_NAMES[n.nudState]} `;
  });
}
