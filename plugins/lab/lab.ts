/**
 * A lab: many hosts and switches on one clock, virtual unless it gets a real platform, joined by wires. `createLab()` makes
 * one in code; `loadLab()` from a file.
 */
import { createHost, type Host, Machine, type MachineOptions, type Plugin } from "../../mod.ts";
import { createNet, type Net } from "../../mod.ts";
import { type Nic, nic, type NicOptions, type Wire, wire, type WireOptions } from "../device/nic/mod.ts";
import { PcapBuffer, pcapTap } from "../device/pcap/mod.ts";
import { type Bridge, bridge, bridgeDevice, type BridgeOptions } from "../link/bridge/mod.ts";
import { ethernet } from "../link/ethernet/mod.ts";
import { qdisc } from "../link/qdisc/mod.ts";
import { parsePercent, parseRate, parseTime } from "../link/qdisc/mod.ts";
import { type Journey, journey } from "../observe/journey/mod.ts";
import { sleep, virtualClock } from "./clock.ts";

/** What a link does to frames, in tc's words: `{ delay: "10ms", loss: "1%" }`. */
export interface LinkOptions {
  /** Time under way. */
  delay?: string | undefined;
  /** The delay is off by up to so much. */
  jitter?: string | undefined;
  /** Frames lost. */
  loss?: string | undefined;
  /** Losses in bursts, by Gilbert and Elliott: p, r, 1-h, 1-k. */
  gemodel?: readonly string[] | undefined;
  /** Frames that overtake. */
  reorder?: string | undefined;
  /** Frames that arrive twice. */
  duplicate?: string | undefined;
  /** Frames of which a bit is flipped. */
  corrupt?: string | undefined;
  /** Bits per second, each way. */
  rate?: string | undefined;
  /** Frames under way at most. */
  limit?: number | undefined;
}

/** What a lab is made of. */
export interface LabOptions extends Omit<MachineOptions, "autoAdvance"> {
  /** Seed: one seed, one course of events. Default 1. Nothing on a real platform. */
  seed?: number;
}

/** What a host of a lab is made of. */
export interface LabHostOptions {
  /** Plugins beside the standard ones. */
  plugins?: readonly Plugin[];
  /** Forwards packets. Default false. */
  forwarding?: boolean;
}

/** A link. */
export interface LabLink {
  /** The cable. */
  readonly wire: Wire;
  /** The NICs at its ends. */
  readonly ends: readonly [Nic, Nic];
}

/** A switch. */
export interface LabSwitch {
  /** Its net: no addresses, only the bridge. */
  readonly net: Net;
  /** The bridge. */
  readonly bridge: Bridge;
}

/** See the top of the file. */
export class Lab implements Disposable {
  /** The machine that all of it runs on. */
  readonly machine: Machine;
  /** Hosts by name. */
  readonly hosts: Map<string, Host> = new Map();
  /** Switches by name. */
  readonly switches: Map<string, LabSwitch> = new Map();
  /** Links in order of making. */
  readonly links: LabLink[] = [];
  #nextLink = 0;

  /** Use {@linkcode createLab}. */
  constructor(options: LabOptions = {}) {
    this.machine = new Machine(options);
  }

  /** Adds a host, or gives the one that has the name. */
  host(name: string, options: LabHostOptions = {}): Host {
    const known = this.hosts.get(name);
    if (known !== undefined) return known;
    const made = createHost({
      machine: this.machine,
      name,
      plugins: options.plugins ?? [],
      forwarding: options.forwarding ?? false,
    });
    this.hosts.set(name, made);
    return made;
  }

  /** Adds a switch: a net with a bridge and nothing above it. */
  switch(name: string, options: BridgeOptions = {}): LabSwitch {
    const known = this.switches.get(name);
    if (known !== undefined) return known;
    const net = createNet({ machine: this.machine, name, plugins: [ethernet(), qdisc(), bridge()] });
    const made = { net, bridge: bridgeDevice(net, "br0", options) };
    this.switches.set(name, made);
    return made;
  }

  /**
   * A cable between two ends like `a:eth0`; an end without a NIC gets the next free one, ethN on hosts and portN on
   * switches. Hosts without an address there get one of 10.0.N.0/24.
   */
  link(
    left: string,
    right: string,
    options: LinkOptions = {},
    nics: readonly [NicOptions, NicOptions] = [{}, {}],
  ): LabLink {
    const cable = wire(this.machine, wireOptions(options));
    const no = this.#nextLink++;
    const ends = [left, right].map((end, i) => this.#plug(end, cable, nics[i])) as [Nic, Nic];
    const made = { wire: cable, ends };
    this.links.push(made);
    for (const [i, end] of ends.entries()) {
      const host = this.hosts.get(end.net.name);
      if (host === undefined) continue;
      if (host.addr.list(end.dev.name).length === 0 && !left.includes(":") && !right.includes(":")) {
        host.addr.add(end.dev.name, `10.0.${no}.${i + 1}/24`);
      }
    }
    return made;
  }

  #plug(end: string, cable: Wire, options: NicOptions): Nic {
    const [owner, name] = end.split(":");
    const sw = this.switches.get(owner);
    const net = sw?.net ?? this.host(owner).net;
    const stem = sw === undefined ? "eth" : "port";
    const taken = net.devices.filter((d) => d.name.startsWith(stem)).length;
    const made = nic(net, name ?? `${stem}${taken}`, { ...options, wire: cable });
    made.dev.open();
    if (sw !== undefined) sw.bridge.addPort(made.dev);
    return made;
  }

  /** Captures a device like `a:eth0`; `bytes()` of the result is the file so far. */
  capture(end: string): PcapBuffer {
    const [owner, name = "eth0"] = end.split(":");
    const net = this.switches.get(owner)?.net ?? this.host(owner).net;
    const dev = net.device(name);
    if (dev === undefined) throw new TypeError(`Cannot capture ${end}: there is no device ${name}`);
    const buffer = new PcapBuffer();
    pcapTap(dev, buffer);
    return buffer;
  }

  /** Records every packet's way until it is disposed. */
  trace(): Journey {
    return journey(this.machine);
  }

  /** Moves virtual time by `ns`, running all that falls due. */
  advance(ns: number): void {
    this.machine.advance(ns);
  }

  /** Runs the next timer. False: nothing is left that keeps time running. */
  step(): boolean {
    return this.machine.step();
  }

  /** Runs until nothing is left to do, for at most `limitNs`. */
  runUntilIdle(limitNs?: number): void {
    this.machine.runUntilIdle(limitNs);
  }

  /** Resolves `ns` later, in virtual time. */
  sleep(ns: number): Promise<void> {
    return sleep(this.machine, ns);
  }

  /** Runs `fn` with `setTimeout`, `setInterval` and `Date` on the virtual clock. */
  async run<T>(fn: (lab: Lab) => Promise<T> | T): Promise<T> {
    using _clock = virtualClock(this.machine);
    return await fn(this);
  }

  /** Ends all of it. */
  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

/**
 * A lab in code.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createLab } from "@netpath/stack/lab";
 *
 * using lab = createLab({ seed: 1 });
 * lab.link("a", "b", { delay: "10ms" });
 * await lab.host("a").ping("10.0.0.2"); // the first one waits for ARP, too
 * const reply = await lab.host("a").ping("10.0.0.2");
 * assertEquals(reply.timeNs, 20e6);
 * ```
 */
export function createLab(options: LabOptions = {}): Lab {
  return new Lab(options);
}

/** A wire's options from a link's. */
export function wireOptions(o: LinkOptions): WireOptions {
  const out: WireOptions = {};
  const time = (value: string | undefined, what: string): number | undefined =>
    value === undefined ? undefined : parseTime(value, what);
  const share = (value: string | undefined, what: string): number | undefined =>
    value === undefined ? undefined : parsePercent(value, what);
  const set = (key: keyof WireOptions, value: number | undefined): void => {
    if (value !== undefined) Object.assign(out, { [key]: value });
  };
  set("delayNs", time(o.delay, "delay"));
  set("jitterNs", time(o.jitter, "jitter"));
  set("loss", share(o.loss, "loss"));
  if (o.gemodel !== undefined) out.gemodel = o.gemodel.map((v) => parsePercent(v, "gemodel"));
  set("reorder", share(o.reorder, "reorder"));
  set("duplicate", share(o.duplicate, "duplicate"));
  set("corrupt", share(o.corrupt, "corrupt"));
  set("rateBps", o.rate === undefined ? undefined : parseRate(o.rate, "rate"));
  set("limit", o.limit);
  return out;
}
