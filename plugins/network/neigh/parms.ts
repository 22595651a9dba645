/** The parameters of the neighbour table, per device, and their sysctl names. Linux: struct neigh_parms, neigh_sysctl_table. */
import type { Platform, SysctlTree } from "../../../core/mod.ts";
import type { NeighParms } from "./contract.ts";

/** SKB_TRUESIZE of a full Ethernet frame: what `unres_qlen`, in packets, stands for in bytes. */
const FRAME_TRUESIZE = 2090;

/** One device's parameters. What was not set for the device follows the default. Times in ms. */
export class Parms implements NeighParms {
  /** See {@linkcode NeighParms}. */
  baseReachableTime = 30_000;
  /** See {@linkcode NeighParms}. */
  retransTime = 1_000;
  /** See {@linkcode NeighParms}. */
  gcStaletime = 60_000;
  /** See {@linkcode NeighParms}. */
  delayProbeTime = 5_000;
  /** See {@linkcode NeighParms}. */
  unresQlenBytes = 212_992;
  /** See {@linkcode NeighParms}. */
  mcastSolicit = 3;
  /** See {@linkcode NeighParms}. */
  ucastSolicit = 3;
  /** See {@linkcode NeighParms}. */
  appSolicit = 0;
  /** See {@linkcode NeighParms}. */
  locktime = 1_000;
  /** See {@linkcode NeighParms}. */
  mcastResolicit = 0;
  /** See {@linkcode NeighParms}. */
  proxyDelay = 800;
  /** See {@linkcode NeighParms}. */
  proxyQlen = 64;
  /** See {@linkcode NeighParms}. */
  reachableTime = 30_000;
  /** Fields that were set for this device. */
  readonly own: Set<ParmField> = new Set();

  /** Draws a new reachable time, uniform from 0.5 to 1.5 of the base. Linux: neigh_rand_reach_time(), RFC 4861 6.3.2. */
  randomize(platform: Platform): void {
    const base = this.baseReachableTime;
    this.reachableTime = base === 0 ? 0 : (base >>> 1) + (platform.random() >>> 0) % base;
  }
}

/** A field that a sysctl sets. */
type ParmField = Exclude<keyof NeighParms, "reachableTime">;

/** By sysctl name: the field, and how many of its units the name's unit is. */
const KNOBS: Readonly<Record<string, readonly [field: ParmField, scale: number]>> = {
  app_solicit: ["appSolicit", 1],
  base_reachable_time: ["baseReachableTime", 1000],
  base_reachable_time_ms: ["baseReachableTime", 1],
  delay_first_probe_time: ["delayProbeTime", 1000],
  gc_stale_time: ["gcStaletime", 1000],
  // These three count in USER_HZ, hundredths of a second.
  locktime: ["locktime", 10],
  proxy_delay: ["proxyDelay", 10],
  retrans_time: ["retransTime", 10],
  retrans_time_ms: ["retransTime", 1],
  mcast_resolicit: ["mcastResolicit", 1],
  mcast_solicit: ["mcastSolicit", 1],
  proxy_qlen: ["proxyQlen", 1],
  ucast_solicit: ["ucastSolicit", 1],
  unres_qlen: ["unresQlenBytes", FRAME_TRUESIZE],
  unres_qlen_bytes: ["unresQlenBytes", 1],
};

/** What the sysctl tree reads and writes: the part of the table's state that is about parameters. */
export interface ParmsOwner {
  /** Randomness. */
  readonly platform: Platform;
  /** `default`. */
  readonly defaults: Parms;
  /** Limits. */
  readonly gcThresh: [number, number, number];
  /** Seconds between collections, shown only: the collector follows the reachable time, as in Linux. */
  gcInterval: number;
  /** The parameters of a device by name, or null. */
  find(name: string): Parms | null;
  /** Names of all devices. */
  names(): string[];
}

/** Parameters of a new device. */
export function deviceParms(owner: ParmsOwner): Parms {
  const parms = new Parms();
  for (const [field] of Object.values(KNOBS)) parms[field] = owner.defaults[field];
  parms.randomize(owner.platform);
  return parms;
}

/** The tree `net.ipv4.neigh.`: `default` and a folder for each device. */
export function neighSysctl(owner: ParmsOwner): SysctlTree {
  const split = (rest: string): [where: string, knob: string] => {
    const dot = rest.lastIndexOf(".");
    return [rest.slice(0, dot), rest.slice(dot + 1)];
  };
  return {
    get(rest) {
      const [where, knob] = split(rest);
      const global = where === "default" ? globalKnob(owner, knob) : null;
      if (global !== null) return global.get();
      const parms = where === "default" ? owner.defaults : owner.find(where);
      const row = KNOBS[knob];
      return parms === null || row === undefined ? undefined : Math.trunc(parms[row[0]] / row[1]);
    },
    set(rest, value) {
      const [where, knob] = split(rest);
      const global = where === "default" ? globalKnob(owner, knob) : null;
      const parms = where === "default" ? owner.defaults : owner.find(where);
      const row = KNOBS[knob];
      if (global === null && (parms === null || row === undefined)) return false;
      if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
        throw new RangeError(`Cannot set net.ipv4.neigh.${rest} to ${value}: it takes a whole number from 0`);
      }
      if (global !== null) global.set(value);
      else setField(owner, parms!, row[0], value * row[1]);
      return true;
    },
    list() {
      const knobs = Object.keys(KNOBS);
      const global = ["gc_interval", "gc_thresh1", "gc_thresh2", "gc_thresh3"];
      return [...owner.names(), "default"]
        .flatMap((where) => (where === "default" ? [...knobs, ...global] : knobs).map((knob) => `${where}.${knob}`));
    },
  };
}

/** A knob of the whole table, or null. */
function globalKnob(owner: ParmsOwner, knob: string): { get(): number; set(value: number): void } | null {
  if (knob === "gc_interval") return { get: () => owner.gcInterval, set: (v) => void (owner.gcInterval = v) };
  const i = ["gc_thresh1", "gc_thresh2", "gc_thresh3"].indexOf(knob);
  return i < 0 ? null : { get: () => owner.gcThresh[i], set: (v) => void (owner.gcThresh[i] = v) };
}

/** Sets a field; a default reaches every device that has no value of its own. Linux: neigh_copy_dflt_parms(). */
function setField(owner: ParmsOwner, parms: Parms, field: ParmField, value: number): void {
  const change = (p: Parms): void => {
    p[field] = value;
    if (field === "baseReachableTime") p.randomize(owner.platform);
  };
  change(parms);
  if (parms !== owner.defaults) parms.own.add(field);
  else for (const p of owner.names().map((name) => owner.find(name))) if (p !== null && !p.own.has(field)) change(p);
}
