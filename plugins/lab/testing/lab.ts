/**
 * A lab for tests: it records, injects, breaks and asserts. See {@linkcode createLab}.
 */
import type { Host, Net, NetDevice } from "../../../mod.ts";
import type { BridgeOptions } from "../../link/bridge/mod.ts";
import { ETH_ZLEN } from "../../link/ethernet/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { type Journey, journey, type JourneyPacket, type JourneyRecord } from "../../observe/journey/mod.ts";
import { Lab, type LabHostOptions, type LabOptions, type LabSwitch } from "../mod.ts";
import { addToMessage, type Artifacts, artifactsText, LabAssertionError, leaveArtifacts } from "./failure.ts";
import { type Fault, type FaultOptions, type FaultStage, putFault } from "./fault.ts";
import { buildPacket } from "./build.ts";
import { differences, matches } from "./match.ts";
import type { PacketMatch, PacketSpec } from "./packet.ts";
import { pathDifference, type PathStep, wayText } from "./path.ts";
import { Recorder, Seen } from "./record.ts";

/** What a test lab is made of. */
export interface TestLabOptions extends LabOptions {
  /** Virtual time moves by itself while the test waits. Default true; false: only by `advance`, `step` and expectations. */
  autoAdvance?: boolean;
  /** Folder in which a failure leaves its files. Default: the system's for temporary files. */
  artifacts?: string;
  /** Frames, and ten times as many events of the journey, that are remembered. Default 10,000. */
  limit?: number;
}

/** How long an expectation waits. */
export interface WaitOptions {
  /** Virtual time. Default 1s; 0: what has been seen already. */
  within?: string;
}

/** Options of {@linkcode TestLab.expectPacket}. */
export interface ExpectPacketOptions extends WaitOptions {
  /** Only frames that the device received, or sent. Default: both. */
  direction?: "in" | "out";
}

/** Options of {@linkcode TestLab.expectDrop}. */
export interface ExpectDropOptions extends WaitOptions {
  /** The host on which. Default: any. */
  on?: string;
  /** Only packets that match. */
  match?: PacketMatch;
}

/** Turns of the event loop without an entry after which an application is taken to wait. */
const QUIET_TURNS = 3;
/** Frames that a failure lists. */
const LISTED = 8;

/** See {@linkcode createLab}. */
export class TestLab extends Lab {
  /** The journey of all packets. */
  readonly journey: Journey;
  readonly #options: TestLabOptions;
  readonly #recorder: Recorder;
  readonly #faults = new Set<Fault>();
  /** Where each expectation goes on: `seen` numbers by place. */
  readonly #cursors = new Map<string, number>();
  /** Drops that an expectation has used. */
  readonly #dropped = new Set<number>();
  #artifacts: Artifacts | null = null;
  #failed = false;
  #ended = false;

  /** Use {@linkcode createLab}. */
  constructor(options: TestLabOptions = {}) {
    super({ strict: true, debug: true, ...options });
    const { limit = 10_000 } = options;
    this.#options = options;
    this.journey = journey(this.machine, { limit: limit * 10 });
    this.#recorder = new Recorder(this.machine, limit);
  }

  /** See {@linkcode Lab.host}. */
  override host(name: string, options: LabHostOptions = {}): Host {
    const known = this.hosts.has(name);
    const host = super.host(name, options);
    if (!known) this.#recorder.watch(host.net);
    return host;
  }

  /** See {@linkcode Lab.switch}. */
  override switch(name: string, options: BridgeOptions = {}): LabSwitch {
    const known = this.switches.has(name);
    const made = super.switch(name, options);
    if (!known) this.#recorder.watch(made.net);
    return made;
  }

  // ---- packets

  /**
   * A packet comes in at a device, `b:eth0`, as if its link had brought it: it has been received when this returns. Unset
   * addresses are the device's own and its peer's. The frame.
   */
  inject(at: string, spec: PacketSpec): Uint8Array<ArrayBuffer> {
    const dev = this.#device(at);
    const frame = buildPacket(this.#complete(dev, spec));
    const nic = this.links.flatMap((l) => l.ends).find((end) => end.dev === dev);
    const ok = nic?.wire == null ? dev.receive(frame) : nic.wire.inject(nic, padded(frame));
    if (!ok) this.fail(`Cannot inject at ${at}: the device is down, or refused it`);
    return frame;
  }

  /** Fills in the addresses that are at the two ends of a link. */
  #complete(dev: NetDevice, spec: PacketSpec): PacketSpec {
    const link = this.links.find((l) => l.ends.some((end) => end.dev === dev));
    const peer = link?.ends.find((end) => end.dev !== dev)?.dev;
    const first = (of: NetDevice | undefined): string | undefined => {
      const host = of === undefined ? undefined : this.hosts.get(of.net.name);
      return host?.addr.list(of!.name)[0]?.split("/")[0];
    };
    const own = first(dev);
    const other = first(peer);
    const out: PacketSpec = { ...spec };
    if (dev.headerOps.hardHeaderLen !== 14) out.eth = null;
    else if (spec.eth !== null) {
      const toAll = spec.arp !== undefined && (spec.arp.op ?? 1) === 1;
      out.eth = { src: peer?.address ?? "02:00:00:00:00:fe", ...(toAll ? {} : { dst: dev.address }), ...spec.eth };
    }
    const ends = { ...(other === undefined ? {} : { src: other }), ...(own === undefined ? {} : { dst: own }) };
    if (spec.arp !== undefined) {
      const spa = ends.src === undefined ? {} : { spa: ends.src };
      out.arp = { sha: peer?.address ?? "02:00:00:00:00:fe", ...spa, ...(own ? { tpa: own } : {}), ...spec.arp };
    } else if (spec.ip ?? spec.udp ?? spec.tcp ?? spec.icmp) out.ip = { ...ends, ...spec.ip };
    return out;
  }

  /** All frames that were seen at `at` (`a`, `a:eth0`; default: anywhere) and match, oldest first; no drops. */
  packets(at = "", match: PacketMatch = {}): Seen[] {
    return this.#recorder.seen.filter((s) => s.direction !== "drop" && isAt(s, at) && matches(s.packet, match));
  }

  /** All packets that were dropped, for a reason by its name (default: any). */
  drops(reason = "", match: PacketMatch = {}): Seen[] {
    return this.#recorder.seen.filter((s) =>
      s.direction === "drop" && (reason === "" || s.reason === reason) && matches(s.packet, match)
    );
  }

  /**
   * The next frame at `at` (`b:eth0`, or `b` for any of its devices) that matches, behind the one that the expectation
   * before it found there. Moves virtual time where it must. None within the time: an {@linkcode LabAssertionError}.
   */
  async expectPacket(at: string, match: PacketMatch, options: ExpectPacketOptions = {}): Promise<Seen> {
    const { direction } = options;
    const from = this.#cursors.get(at) ?? 0;
    const here = (s: Seen): boolean =>
      s.index >= from && s.direction !== "drop" && isAt(s, at) &&
      (direction === undefined || s.direction === direction);
    const found = await this.#until(() => this.#find((s) => here(s) && matches(s.packet, match)), options);
    if (found !== undefined) {
      this.#cursors.set(at, found.index + 1);
      return found;
    }
    const others = this.#recorder.seen.filter(here);
    const list = others.slice(-LISTED).map((s) => `\n  ${s}\n      ${differences(s.packet, match).join("; ")}`);
    const none = others.length === 0
      ? `: nothing was seen there`
      : `; there were ${others.length} others${list.join("")}`;
    return this.fail(`No packet like ${matchText(match)} at ${at} within ${options.within ?? "1s"}${none}`);
  }

  /** No frame at `at` matches, from the last expectation there on and for the whole time. */
  async expectNoPacket(at: string, match: PacketMatch = {}, options: ExpectPacketOptions = {}): Promise<void> {
    const from = this.#cursors.get(at) ?? 0;
    const { direction } = options;
    const found = await this.#until(
      () =>
        this.#find((s) =>
          s.index >= from && s.direction !== "drop" && isAt(s, at) && matches(s.packet, match) &&
          (direction === undefined || s.direction === direction)
        ),
      options,
    );
    if (found !== undefined) this.fail(`A packet like ${matchText(match)} was seen:\n  ${found}`);
  }

  /** A packet is dropped for `reason`, `NO_SOCKET`; each drop serves one expectation. The packet. */
  async expectDrop(reason: string, options: ExpectDropOptions = {}): Promise<Seen> {
    if (this.machine.reasons.byName(reason) < 0) {
      throw new TypeError(`Cannot expect ${reason}: there is no such reason`);
    }
    const { on = "", match = {} } = options;
    const fits = (s: Seen): boolean => s.direction === "drop" && !this.#dropped.has(s.index) && isAt(s, on);
    const found = await this.#until(
      () => this.#find((s) => fits(s) && s.reason === reason && matches(s.packet, match)),
      options,
    );
    if (found !== undefined) {
      this.#dropped.add(found.index);
      return found;
    }
    const others = this.#recorder.seen.filter(fits).slice(-LISTED);
    const list = others.length === 0 ? "nothing was dropped" : `dropped were${others.map((s) => `\n  ${s}`).join("")}`;
    const what = Object.keys(match).length === 0 ? "" : ` like ${matchText(match)}`;
    return this.fail(`No packet${what} was dropped for ${reason}${on === "" ? "" : ` on ${on}`}: ${list}`);
  }

  #find(test: (s: Seen) => boolean): Seen | undefined {
    return this.#recorder.seen.find(test);
  }

  // ---- paths

  /**
   * A packet went this way: `["a:ip_output", "b:ip_rcv", "b:drop NO_SOCKET"]`. `what` says which: a frame that an expectation
   * gave, or a match; then one of those that match must have gone it. A step is `[NET:]POINT`, with POINT a Linux function,
   * a tracepoint, a hook's or device's name (`filter ACCEPT`), `drop` or `drop REASON`; other points may lie between.
   * `! POINT`: it does not come there.
   */
  assertPath(what: Seen | PacketMatch, steps: readonly PathStep[]): void {
    const ids = what instanceof Seen ? [what.id] : this.#ids(what);
    const name = what instanceof Seen ? packetName(what) : `a packet like ${matchText(what)}`;
    if (ids.length === 0) this.fail(`Cannot follow ${name}: none was seen`);
    const ways = this.#ways(ids);
    if (ways.length === 0) this.fail(`Cannot follow ${name}: the journey does not have it any more`);
    const wrong = ways.map((records) => pathDifference(records, steps));
    if (wrong.includes("")) return;
    const text = ways.slice(0, 3).map((records, i) => `\n${wrong[i]}; its way:\n${indent(wayText(records))}`);
    this.fail(`${name[0].toUpperCase()}${name.slice(1)} does not go ${steps.join(" > ")}:${text.join("")}`);
  }

  #ids(match: PacketMatch): number[] {
    return [...new Set(this.#recorder.seen.filter((s) => matches(s.packet, match)).map((s) => s.id))];
  }

  #ways(ids: readonly number[]): (readonly JourneyRecord[])[] {
    const out: (readonly JourneyRecord[])[] = [];
    const walk = (list: readonly JourneyPacket[]): void => {
      for (const p of list) {
        if (ids.includes(p.id)) out.push(p.records);
        walk(p.children);
      }
    };
    walk(this.journey.packets());
    return out;
  }

  // ---- faults

  /**
   * Breaks a stage: `lab.fault("b:eth0", "ingress", { match, effect: "corrupt" })`, `lab.fault("a", "sys_sendmsg", { errno:
   * "ENOBUFS", times: 1 })`, `lab.fault("", "alloc_skb", { after: 10 })`. What a link does is changed by its wire:
   * `lab.links[0].wire.change({ loss: 0.1 })`. Dispose to mend it.
   */
  fault(at: string, stage: FaultStage, options: FaultOptions = {}): Fault {
    const dev = at.includes(":") ? this.#device(at) : null;
    const net = dev?.net ?? (at === "" ? null : this.#net(at));
    const fault = putFault(this.machine, net, dev, stage, options);
    this.#faults.add(fault);
    fault.onEnd({ [Symbol.dispose]: () => void this.#faults.delete(fault) });
    return fault;
  }

  // ---- time

  /** Lets applications go on until they wait for time or for packets; no virtual time passes by this. */
  async settle(): Promise<void> {
    const { machine } = this;
    using _still = machine.hold();
    for (let quiet = 0, seen = machine.activity; quiet < QUIET_TURNS; quiet++) {
      await new Promise<void>((resolve) => machine.platform.nextTurn(resolve));
      if (machine.activity !== seen) quiet = -1;
      seen = machine.activity;
    }
  }

  /** What `find` finds, within virtual time. */
  async #until<T>(find: () => T | undefined, { within = "1s" }: WaitOptions): Promise<T | undefined> {
    const { machine } = this;
    const end = machine.now + parseTime(within, "within");
    for (let found = find();; found = find()) {
      if (found !== undefined) return found;
      await this.settle();
      found = find();
      if (found !== undefined || machine.now >= end) return found;
      const next = machine.nextTimer(true);
      machine.advance(Math.min(next, end) - machine.now);
    }
  }

  // ---- the end

  /** Fails the test: capture and journey are left, their paths are in the message. */
  fail(message: string): never {
    this.#leave();
    throw new LabAssertionError(message + artifactsText(this.#artifacts), this.#artifacts);
  }

  /** Where a failure left its files; null: there was none. */
  get artifacts(): Artifacts | null {
    return this.#artifacts;
  }

  #leave(): void {
    this.#failed = true;
    this.#artifacts ??= leaveArtifacts(this.machine, this.#recorder, this.journey, this.#options.artifacts);
  }

  /**
   * Runs a test: `setTimeout`, `setInterval` and `Date` are on the virtual clock, and whatever it throws leaves capture and
   * journey, with their paths in its message.
   */
  override async run<T>(fn: (lab: this) => Promise<T> | T): Promise<T> {
    try {
      return await super.run(() => fn(this));
    } catch (error) {
      if (!(error instanceof LabAssertionError)) {
        this.#leave();
        if (error instanceof Error) addToMessage(error, artifactsText(this.#artifacts));
      }
      throw error;
    }
  }

  /**
   * Ends all of it. A packet that nobody freed, one that was freed twice, or a drop that gives no reason is an
   * {@linkcode LabAssertionError}, where the test has not failed before.
   */
  override [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const fault of [...this.#faults]) fault[Symbol.dispose]();
    const unexplained = this.drops("NOT_SPECIFIED");
    super[Symbol.dispose]();
    this.journey[Symbol.dispose]();
    this.#recorder[Symbol.dispose]();
    if (this.#failed) return;
    const { skbs } = this.machine;
    const faults = skbs.faults().map((f) => `\n  ${f.kind}: ${f.site}`);
    if (unexplained.length > 0) this.fail(`A drop has no reason:\n  ${unexplained[0]}`);
    if (skbs.live !== 0 || faults.length > 0) {
      this.fail(`Packets were not freed once: ${skbs.live} live at the end${faults.slice(0, LISTED).join("")}`);
    }
  }

  #net(name: string): Net {
    const net = this.hosts.get(name)?.net ?? this.switches.get(name)?.net;
    if (net !== undefined) return net;
    const names = [...this.hosts.keys(), ...this.switches.keys()].join(", ") || "none";
    throw new TypeError(`Cannot find host ${name}: there are ${names}`);
  }

  #device(at: string): NetDevice {
    const [owner, name = "eth0"] = at.split(":");
    const net = this.#net(owner);
    const dev = net.device(name);
    if (dev !== undefined) return dev;
    throw new TypeError(`Cannot find device ${at}: ${owner} has ${net.devices.map((d) => d.name).join(", ")}`);
  }
}

/**
 * A lab for tests: {@linkcode Lab} with memory, expectations and faults. The machine is strict: what a plugin throws on the
 * path fails the test.
 *
 * @example A datagram that nobody waits for
 * ```ts
 * import { createLab } from "@netpath/stack/testing";
 *
 * using lab = createLab({ seed: 1 });
 * lab.link("a", "b");
 * lab.inject("b:eth0", { udp: { sport: 4096, dport: 9 }, payload: "hello" });
 * const lost = await lab.expectDrop("NO_SOCKET", { on: "b", match: { udp: { dport: 9 } } });
 * lab.assertPath(lost, ["b:ip_rcv", "b:udp_rcv", "b:drop NO_SOCKET"]);
 * await lab.expectPacket("b:eth0", {
 *   ip: { dst: "10.0.0.1" },
 *   icmp: { type: 3, code: 3, quoted: { udp: { dport: 9 } } },
 * }, { direction: "out" });
 * ```
 */
export function createLab(options: TestLabOptions = {}): TestLab {
  return new TestLab(options);
}

/** What a NIC would send: 60 bytes at least. */
function padded(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (frame.length >= ETH_ZLEN) return frame;
  const out = new Uint8Array(ETH_ZLEN);
  out.set(frame);
  return out;
}

function isAt(s: Seen, at: string): boolean {
  return at === "" || s.net === at || `${s.net}:${s.dev}` === at;
}

function packetName(s: Seen): string {
  return `packet #${s.id} (${s.toString().replace(/^\S+ /, "")})`;
}

function indent(text: string): string {
  return text.split("\n").map((line) => `  ${line}`).join("\n");
}

/** A match in few words: `{ udp: { dport: 7 } }`. */
function matchText(match: PacketMatch): string {
  const show = (value: unknown): string => {
    if (typeof value === "function") return value.name || value.toString();
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
    const fields = Object.entries(value).map(([k, v]) => `${k}: ${show(v)}`);
    return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
  };
  return show(match);
}
