/** From a checked lab file to a lab that stands: hosts, NICs, addresses, links, switches, routes, sysctls, plugins. */
import { type Plugin, PluginError } from "../../../mod.ts";
import { HrTimer, type Net, type NetDevice } from "../../../core/mod.ts";
import type { NicOptions, Wire } from "../../device/nic/mod.ts";
import { type VethOptions, vethPair } from "../../device/veth/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { bridge } from "../../link/bridge/mod.ts";
import { vlan, vlanDevice } from "../../link/vlan/mod.ts";
import { filter, type FilterOptions } from "../../network/filter/mod.ts";
import { Lab, type LabOptions, type LinkOptions, wireOptions } from "../lab.ts";
import { splitEnd } from "./check.ts";
import { lineOf, type Path } from "./locate.ts";
import { didYouMean, LabFileError, pathText } from "./problem.ts";
import type { ParsedLab, ParsedNic } from "./schema.ts";

/** An application of a lab file: gets its host when it starts. */
export type LabApp = (host: ReturnType<Lab["host"]>, context: LabAppContext) => unknown;

/** What an application gets beside its host. */
export interface LabAppContext {
  /** The lab. */
  readonly lab: Lab;
  /** `options` of the file. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Aborted when the lab ends. */
  readonly signal: AbortSignal;
}

/** What was loaded from other files. */
export interface Loaded {
  /** Plugins by host. */
  readonly plugins: ReadonlyMap<string, readonly Plugin[]>;
  /** Applications: which host, when (ns), what. */
  readonly apps: readonly { host: string; at: number; app: LabApp; options: Readonly<Record<string, unknown>> }[];
}

/** Where a problem of building is said to be. */
export interface Source {
  /** The file as it was named. */
  readonly file: string;
  /** Its text. */
  readonly text: string;
}

/** Runs one step of building; what it throws becomes a {@linkcode LabFileError} at `path`. */
function at<T>(source: Source, path: Path, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw problem(source, path, (error as Error).message);
  }
}

/** A {@linkcode LabFileError} with one problem. */
export function problem(source: Source, path: Path, message: string): LabFileError {
  return new LabFileError([{ file: source.file, line: lineOf(source.text, path), path: pathText(path), message }]);
}

/** Imports the plugins and applications that the file names; paths are relative to `base`. */
export async function loadModules(file: ParsedLab, source: Source, base: URL): Promise<Loaded> {
  const plugins = new Map<string, Plugin[]>();
  const apps: { host: string; at: number; app: LabApp; options: Readonly<Record<string, unknown>> }[] = [];
  for (const [name, host] of Object.entries(file.hosts)) {
    const own: Plugin[] = [];
    for (const [i, p] of (host?.plugins ?? []).entries()) {
      const { use, options = {} } = typeof p === "string" ? { use: p } : p;
      own.push(await pluginOf(use, options, source, ["hosts", name, "plugins", i], base));
    }
    const vlans = Object.values(host?.nics ?? {}).some((n) => n.vlans !== undefined);
    if (vlans && !own.some((p) => p.name === "vlan")) own.push(vlan());
    plugins.set(name, own);
    for (const [i, given] of (host?.apps ?? []).entries()) {
      const a = typeof given === "string" ? { app: given } : given;
      const path = ["hosts", name, "apps", i, ...(typeof given === "string" ? [] : ["app"])];
      const app = await importDefault(a.app, source, path, base) as LabApp;
      if (typeof app !== "function") throw problem(source, path, `${a.app} does not default-export a function`);
      apps.push({ host: name, at: a.at === undefined ? 0 : parseTime(a.at, "at"), app, options: a.options ?? {} });
    }
  }
  return { plugins, apps };
}

/** Plugins that a host has only when asked: {@linkcode OPTIONAL_PLUGINS}. */
const BY_NAME: Readonly<Record<string, (options: Readonly<Record<string, unknown>>) => Plugin>> = {
  vlan: () => vlan(),
  bridge: () => bridge(),
  filter: (options) => filter(options as unknown as FilterOptions),
};

async function pluginOf(
  use: string,
  options: Readonly<Record<string, unknown>>,
  source: Source,
  path: Path,
  base: URL,
): Promise<Plugin> {
  const own = BY_NAME[use];
  if (own !== undefined) {
    if (own.length === 0 && Object.keys(options).length > 0) throw problem(source, path, `${use} takes no options`);
    return at(source, path, () => own(options));
  }
  const factory = await importDefault(use, source, path, base);
  const made = typeof factory === "function" ? at(source, path, () => factory(options)) : factory;
  if (typeof made === "object" && made !== null && typeof (made as Plugin).setup === "function") return made as Plugin;
  throw problem(source, path, `${use} does not default-export a plugin, or a function that makes one`);
}

async function importDefault(specifier: string, source: Source, path: Path, base: URL): Promise<unknown> {
  const url = /^\.{0,2}\//.test(specifier) ? new URL(specifier, base).href : specifier;
  try {
    return (await import(url)).default;
  } catch (error) {
    throw problem(
      source,
      path,
      `cannot load ${specifier}: ${(error as Error).message.split("\n")[0].replace(/ "file:.*$/, "")}`,
    );
  }
}

/** Builds it. Nothing of it runs yet but what configuration sends. */
export function buildLab(file: ParsedLab, loaded: Loaded, source: Source, options: LabOptions = {}): Lab {
  const lab = new Lab({
    seed: file.seed ?? 1,
    ...(file.cpus === undefined ? {} : { cpus: file.cpus }),
    ...options,
  });
  try {
    fill(lab, file, loaded, source);
  } catch (error) {
    lab[Symbol.dispose]();
    throw error;
  }
  return lab;
}

function fill(lab: Lab, file: ParsedLab, loaded: Loaded, source: Source): void {
  for (const [name, h] of Object.entries(file.hosts)) {
    const plugins = loaded.plugins.get(name) ?? [];
    try {
      lab.host(name, { plugins, forwarding: h?.forwarding ?? false });
    } catch (error) {
      const which = error instanceof PluginError ? plugins.findIndex((p) => p.name === error.plugins[0]) : -1;
      const listed = which >= 0 && which < (h?.plugins ?? []).length;
      throw problem(source, ["hosts", name, ...(listed ? ["plugins", which] : [])], (error as Error).message);
    }
  }
  for (const [name, sw] of Object.entries(file.switches ?? {})) {
    at(source, ["switches", name], () =>
      lab.switch(name, {
        stp: sw.stp ?? false,
        vlanFiltering: sw["vlan-filtering"] ?? false,
        ...(sw.priority === undefined ? {} : { priority: sw.priority }),
        ...(sw["forward-delay"] === undefined
          ? {}
          : { forwardDelay: parseTime(sw["forward-delay"], "forward-delay") / 1e9 }),
      }));
  }
  (file.links ?? []).forEach((link, i) =>
    at(source, ["links", i], () => {
      const [ends, options, changes] = Array.isArray(link)
        ? [link, {}, []]
        : [link.endpoints, link as LinkOptions, link.changes ?? []];
      schedule(lab, connect(lab, file, ends[0], ends[1], options).wire, changes);
    })
  );
  for (const [name, sw] of Object.entries(file.switches ?? {})) {
    sw.ports.forEach((port, i) => at(source, ["switches", name, "ports", i], () => switchPort(lab, file, name, port)));
  }
  for (const name of Object.keys(file.hosts)) configure(lab, file, name, source);
  checkReasons(lab, file, source);
}

/** Plugins register reasons of their own: only now all are known. */
function checkReasons(lab: Lab, file: ParsedLab, source: Source): void {
  const names = lab.machine.reasons.list().map((r) => r.name);
  (file.expect ?? []).forEach((e, i) => {
    if (!("dropped" in e) || names.includes(e.dropped.reason)) return;
    const hint = didYouMean(e.dropped.reason, names);
    throw problem(source, ["expect", i, "dropped", "reason"], `no drop reason "${e.dropped.reason}"${hint}`);
  });
}

function switchPort(
  lab: Lab,
  file: ParsedLab,
  name: string,
  port: NonNullable<ParsedLab["switches"]>[string]["ports"][number],
): void {
  const p = typeof port === "string" ? { to: port } : port;
  const made = connect(lab, file, p.to, name, p as LinkOptions);
  const { bridge } = lab.switches.get(name)!;
  const dev = made.ends[1];
  if ("pvid" in p || "tagged" in p) bridge.setVlans(dev, { pvid: p.pvid ?? 1, tagged: p.tagged ?? [] });
  if ("cost" in p && p.cost !== undefined) bridge.setPathCost(dev, p.cost);
  schedule(lab, made.wire, "changes" in p ? p.changes ?? [] : []);
}

/** Plugs two ends together: NICs by a wire, the two of a veth pair (which has no wire) by nothing. */
function connect(
  lab: Lab,
  file: ParsedLab,
  left: string,
  right: string,
  options: LinkOptions,
): { wire: Wire | null; ends: [NetDevice, NetDevice] } {
  if (nicOf(file, left).driver !== "veth") {
    const made = lab.link(left, right, options, [nicOptions(file, left), nicOptions(file, right)]);
    return { wire: made.wire, ends: [made.ends[0].dev, made.ends[1].dev] };
  }
  const [a, b] = [endOf(lab, left), endOf(lab, right)];
  const peer = vethOptions(nicOf(file, right));
  const pair = vethPair(a.net, a.name, b.net, b.name, { ...vethOptions(nicOf(file, left)), peer });
  for (const [dev, end] of [[pair.a, left], [pair.b, right]] as const) {
    dev.open();
    lab.switches.get(splitEnd(end)[0])?.bridge.addPort(dev);
  }
  return { wire: null, ends: [pair.a, pair.b] };
}

/** Where a device of `a:eth0` or of a switch is made. */
function endOf(lab: Lab, end: string): { net: Net; name: string } {
  const [owner, name] = splitEnd(end);
  const net = lab.switches.get(owner)?.net;
  if (net === undefined) return { net: lab.host(owner).net, name };
  return { net, name: name || `port${net.devices.filter((d) => d.name.startsWith("port")).length}` };
}

function vethOptions(n: ParsedNic): VethOptions {
  const o = n.offloads ?? {};
  return {
    ...(n.macaddress === undefined ? {} : { address: n.macaddress }),
    ...(n.mtu === undefined ? {} : { mtu: n.mtu }),
    ...(o.sg === undefined ? {} : { offloads: o.sg }),
    ...(o.gro === undefined ? {} : { gro: o.gro }),
  };
}

/** Changes of a link at their times; a veth pair, which has no wire, has none. */
function schedule(
  lab: Lab,
  cable: Wire | null,
  changes: readonly ({ at: string; up?: boolean | undefined } & LinkOptions)[],
): void {
  if (cable === null) return;
  for (const change of changes) {
    const { at: when, up, ...options } = change;
    const timer = new HrTimer(() => {
      if (up !== undefined) cable.setUp(up);
      const wire = wireOptions(options);
      if (Object.keys(wire).length > 0) cable.change(wire);
    });
    lab.machine.hrtimers.start(timer, lab.machine.now + parseTime(when, "at"));
  }
}

function nicOf(file: ParsedLab, end: string): ParsedNic {
  const [host, nic] = splitEnd(end);
  return file.hosts[host]?.nics?.[nic] ?? {};
}

function nicOptions(file: ParsedLab, end: string): NicOptions {
  const n = nicOf(file, end);
  const c = n.coalesce;
  const o = n.offloads;
  return {
    ...(n.macaddress === undefined ? {} : { address: n.macaddress }),
    ...(n.mtu === undefined ? {} : { mtu: n.mtu }),
    ...(n.ring?.rx === undefined ? {} : { rxRing: n.ring.rx }),
    ...(n.ring?.tx === undefined ? {} : { txRing: n.ring.tx }),
    ...(n.queues === undefined ? {} : { queues: n.queues }),
    coalesce: {
      ...(c?.["rx-usecs"] === undefined ? {} : { rxUsecs: c["rx-usecs"] }),
      ...(c?.["rx-frames"] === undefined ? {} : { rxFrames: c["rx-frames"] }),
      ...(c?.["tx-usecs"] === undefined ? {} : { txUsecs: c["tx-usecs"] }),
      ...(c?.["tx-frames"] === undefined ? {} : { txFrames: c["tx-frames"] }),
    },
    offloads: {
      ...(o?.sg === undefined ? {} : { sg: o.sg }),
      ...(o?.["tx-checksum"] === undefined ? {} : { txCsum: o["tx-checksum"] }),
      ...(o?.["rx-checksum"] === undefined ? {} : { rxCsum: o["rx-checksum"] }),
      ...(o?.gso === undefined ? {} : { gso: o.gso }),
      ...(o?.gro === undefined ? {} : { gro: o.gro }),
    },
  };
}

/** Addresses, VLANs, queue disciplines, sysctls, routes of a host. */
function configure(lab: Lab, file: ParsedLab, name: string, source: Source): void {
  const host = lab.host(name);
  const h = file.hosts[name] ?? {};
  for (const [nic, n] of Object.entries(h.nics ?? {})) {
    const path = ["hosts", name, "nics", nic];
    at(source, path, () => {
      if (host.net.device(nic) === undefined) throw new TypeError(`no link is plugged into ${name}:${nic}`);
    });
    (n.addresses ?? []).forEach((a, i) => at(source, [...path, "addresses", i], () => host.addr.add(nic, a)));
    for (const [v, vlan] of Object.entries(n.vlans ?? {})) {
      at(source, [...path, "vlans", v], () => {
        vlanDevice(host.net, v, nic, { id: vlan.id }).open();
        for (const a of vlan.addresses ?? []) host.addr.add(v, a);
      });
    }
    if (n.qdisc === undefined) continue;
    const { kind, ...options } = n.qdisc;
    at(source, [...path, "qdisc"], () => host.net.setQdisc(host.link.get(nic), kind, options));
  }
  for (const [sysctl, value] of Object.entries(h.sysctls ?? {})) {
    at(source, ["hosts", name, "sysctls", sysctl], () => host.net.sysctl.set(sysctl, value));
  }
  (h.routes ?? []).forEach((r, i) =>
    at(source, ["hosts", name, "routes", i], () => {
      const { to, rto_min: rtoMin, fastopen_no_cookie: fastopenNoCookie, ...rest } = r;
      const given = Object.entries({ ...rest, rtoMin, fastopenNoCookie }).filter(([, value]) => value !== undefined);
      host.route.add(to, Object.fromEntries(given));
    })
  );
}
