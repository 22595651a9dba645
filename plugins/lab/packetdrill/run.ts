/**
 * Runs one script against a stack of its own, in virtual time.
 *
 * @module
 */
import { createHost, type Host } from "../../../mod.ts";
import { Machine, type Plugin } from "../../../core/mod.ts";
import { bbr, dctcp } from "../../transport/tcp/mod.ts";
import { Mismatch, numberOf } from "./args.ts";
import { type Attempt, beginCall } from "./calls.ts";
import { CodeError, runCode, type Value } from "./code.ts";
import { type CommandBench, HOLE, runCommand } from "./commands.ts";
import { type Config, configOf, Unsupported } from "./config.ts";
import { CODE_NAMES, ERRNOS } from "./constants.ts";
import { elapsed, type SocketFile, sockOf } from "./files.ts";
import { inject } from "./inject.ts";
import { expectPacket, expectText } from "./expect.ts";
import { parseScript } from "./parse.ts";
import type { Deadline } from "./poll.ts";
import { type Script, ScriptError, type ScriptEvent } from "./script.ts";
import { apiOf, SCRIPTED_TCP } from "./tcp_api.ts";
import { Tun } from "./tun.ts";
import { addressText, IPPROTO_TCP } from "./wire.ts";

/** What became of a script. */
export type Verdict = "pass" | "fail" | "unsupported";

/** One script's result. */
export interface ScriptResult {
  /** The file. */
  readonly file: string;
  /** What became of it. */
  readonly result: Verdict;
  /** Seconds of real time. */
  readonly seconds: number;
  /** Line where it ended, 0: it has none. */
  readonly line: number;
  /** Why it ended there, empty: it passed. */
  readonly error: string;
  /** The line itself. */
  readonly event: string;
  /** What was expected and what came, in the script's language; empty: not about a packet. */
  readonly expected: string;
  /** See {@linkcode expected}. */
  readonly actual: string;
  /** Largest distance of an event from its time, microseconds. */
  readonly slip: number;
  /** Events that ran. */
  readonly events: number;
  /** What the script asked for and got otherwise. */
  readonly notes: readonly string[];
}

/** How scripts are run. */
export interface RunOptions {
  /** Seed of the stack's randomness. Default 1. */
  readonly seed?: number;
  /** Plugins beside the standard ones, or in their place: the stack under test. */
  readonly plugins?: () => readonly Plugin[];
  /** `NAME` stands for a value in the script. */
  readonly defines?: Readonly<Record<string, string>>;
  /** Told of every event, packet and print, with the time. */
  readonly trace?: (line: string) => void;
  /** Changes the script before it runs. */
  readonly edit?: (script: Script) => Script;
}

/** Microseconds that a packet may be late before it is called missing. */
export const PATIENCE_USECS = 2e6;
/** Microseconds that a `*` line waits. */
export const FOREVER_USECS = 1000e6;
/** Microseconds between the packet before and one that is injected "at once". */
const REACTION_USECS = 5;
/** ns of virtual time before a script: no clock of the stack stands at 0, which often means "not set". */
const HEAD_START_NS = 10e9;

/** Where and why a script ended. */
export class ScriptFailure extends Error {
  /** See {@linkcode ScriptResult}. */
  readonly expected: string;
  /** See {@linkcode ScriptResult}. */
  readonly actual: string;

  /** With both sides, where it is about a packet. */
  constructor(message: string, expected = "", actual = "") {
    super(message);
    this.name = "ScriptFailure";
    this.expected = expected;
    this.actual = actual;
  }
}

/**
 * Runs a script's text.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { runScript } from "@netpath/stack/packetdrill";
 *
 * const result = runScript("echo.pkt", `
 *   0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
 *  +0 bind(3, ..., ...) = 0
 *  +0 connect(3, ..., ...) = 0
 *  +0 write(3, ..., 100) = 100
 *  +0 > udp (100)
 * +.1 < udp (20)
 *  +0 read(3, ..., 1000) = 20
 * `);
 * assertEquals(result.result, "pass", result.error);
 * ```
 */
export function runScript(file: string, source: string, options: RunOptions = {}): ScriptResult {
  const began = performance.now();
  let runner: Runner | null = null;
  let error: unknown = null;
  try {
    let script = parseScript(file, source, options.defines);
    if (options.edit !== undefined) script = options.edit(script);
    runner = new Runner(script, configOf(script), options);
    runner.run();
  } catch (e) {
    error = e;
  }
  const result = resultOf(file, runner, error, began);
  try {
    runner?.end();
  } catch (e) {
    if (error === null) return resultOf(file, runner, e, began);
  }
  return result;
}

function resultOf(file: string, runner: Runner | null, error: unknown, began: number): ScriptResult {
  const event = runner?.current ?? null;
  const base = {
    file,
    seconds: (performance.now() - began) / 1000,
    slip: runner?.slip ?? 0,
    events: runner?.done ?? 0,
    notes: runner?.notes ?? [],
    expected: "",
    actual: "",
  };
  if (error === null) return { ...base, result: "pass", line: 0, error: "", event: "" };
  const message = error instanceof Error ? error.message : String(error);
  const line = error instanceof ScriptError ? error.line : event?.line ?? 0;
  const at = { ...base, line, error: message, event: event?.text ?? "" };
  if (error instanceof Unsupported) return { ...at, result: "unsupported", line: error.line || line };
  if (error instanceof ScriptFailure) return { ...at, result: "fail", expected: error.expected, actual: error.actual };
  if (error instanceof Mismatch || error instanceof CodeError || error instanceof ScriptError) {
    return { ...at, result: "fail" };
  }
  return { ...at, result: "fail", error: `${error instanceof Error ? error.name : "error"}: ${message}` };
}

/** A blocking call that waits. */
interface Blocked {
  readonly event: ScriptEvent;
  readonly attempt: Attempt & Deadline;
  /** Microseconds since the script began at which it must return. */
  readonly end: number;
  /** Microseconds that it may be off. */
  readonly tolerance: number;
}

/** One run of one script. */
export class Runner implements CommandBench {
  readonly script: Script;
  readonly config: Config;
  readonly options: RunOptions;
  readonly machine: Machine;
  readonly host: Host;
  readonly net: Host["net"];
  readonly sys: Host["sys"];
  readonly tun: Tun;
  readonly tcp: CommandBench["tcp"];
  readonly files: CommandBench["files"] = new Map();
  readonly disk = new Map<string, number>();
  readonly conns: CommandBench["conns"] = [];
  readonly counted = new Map<string, number>();
  readonly names = new Map<string, Value>(Object.entries(CODE_NAMES));
  readonly notes: string[] = [];
  underTest: CommandBench["underTest"] = null;
  startNs = 0;
  nextPort = 40000;
  /** The event that runs. */
  current: ScriptEvent | null = null;
  /** Events that ran. */
  done = 0;
  /** Largest distance of an event from its time, microseconds. */
  slip = 0;
  /** When the last event happened, microseconds since the script began. */
  last = 0;
  #blocked: Blocked | null = null;

  /** Makes the stack; runs nothing yet. */
  constructor(script: Script, config: Config, options: RunOptions) {
    this.script = script;
    this.config = config;
    this.options = options;
    this.machine = new Machine({ seed: options.seed ?? 1, autoAdvance: false, strict: true });
    this.host = createHost({
      machine: this.machine,
      name: "packetdrill",
      plugins: withControls(options.plugins?.() ?? []),
    });
    this.net = this.host.net;
    this.sys = this.host.sys;
    this.tcp = apiOf(this.net, SCRIPTED_TCP);
    this.net.registerQdisc(HOLE);
    this.tun = new Tun(this.net, config.mtu);
    this.host.addr.add("tun0", `${addressText(config.localIp)}/${config.prefix}`);
    this.host.route.add(`${addressText(config.remoteIp)}/32`, { via: addressText(config.gatewayIp), dev: "tun0" });
    this.machine.advance(HEAD_START_NS);
  }

  /** Records what was left out. */
  note(text: string): void {
    this.notes.push(text);
    this.trace(`note: ${text}`);
  }

  /** Tells the caller, with the time. */
  trace(line: string): void {
    this.options.trace?.(`${(elapsed(this) / 1e6).toFixed(6)} ${line}`);
  }

  /** Runs all events. Throws what ends the script early. */
  run(): void {
    this.startNs = this.machine.now;
    if (this.script.init !== "") {
      this.current = commandEvent(this.script);
      runCommand(this, this.script.init);
      this.startNs = this.machine.now;
    }
    for (const event of this.script.events) {
      this.current = event;
      this.#step(event);
      this.done++;
    }
    this.#awaitBlocked();
    if (this.script.cleanup !== "") runCommand(this, this.script.cleanup);
  }

  /** Ends the stack; a plugin's error that nobody saw surfaces. */
  end(): void {
    this.machine[Symbol.dispose]();
  }

  #step(event: ScriptEvent): void {
    const { time, action } = event;
    const base = time.kind === "relative" ? this.last : 0;
    const from = base + time.from;
    const to = base + time.to;
    this.trace(event.text);
    if (action.kind === "expect") return this.#expect(event, from, to);
    // A call waits for the one that blocks: scripts have one thread for such calls.
    if (action.kind === "call") this.#awaitBlocked();
    this.current = event;
    // What comes from outside is an answer to what was seen, and that took a moment.
    const seen = action.kind === "inject" ? this.last + REACTION_USECS : 0;
    if (time.kind !== "any") this.advanceTo(Math.max(from, seen));
    const now = elapsed(this);
    if (time.kind !== "any") this.checkTime(event, from, to, now);
    this.last = now;
    switch (action.kind) {
      case "inject":
        inject(this, action.packet);
        this.#retry();
        return;
      case "call":
        return this.#call(event, base);
      case "command":
        runCommand(this, action.text);
        return;
      case "code":
        runCode(action.text, this.#codeNames(), (line) => this.trace(`print: ${line}`));
    }
  }

  /** Fails when an event is off its time by more than the tolerance. */
  checkTime(event: ScriptEvent, from: number, to: number, at: number): void {
    const off = at < from ? from - at : at > to ? at - to : 0;
    const tolerance = this.tolerance(from);
    if (off > tolerance) {
      const want = from === to ? seconds(from) : `${seconds(from)} to ${seconds(to)}`;
      const late = at < from ? "early" : "late";
      throw new ScriptFailure(
        `${off.toFixed(0)} usec ${late}: expected at ${want} sec, happened at ${seconds(at)} sec, ` +
          `tolerance ${tolerance.toFixed(0)} usec`,
        `${seconds(from)} ${expectText(event)}`,
        `${seconds(at)}`,
      );
    }
    if (off > this.slip) this.slip = off;
  }

  /** Microseconds that an event may be off. */
  tolerance(at: number): number {
    return Math.max(this.config.toleranceUsecs, (at - this.last) * this.config.tolerancePercent / 100);
  }

  #expect(event: ScriptEvent, from: number, to: number): void {
    this.last = expectPacket(this, event, from, to);
  }

  /** Runs until a packet was sent or `limit` is reached; false: none was. Microseconds since the script began. */
  awaitPacket(limit: number): boolean {
    while (this.tun.queue.length === 0) {
      if (!this.#runNext(limit)) return false;
    }
    return true;
  }

  /** Moves the clock to a time, trying what waits whenever something happened. */
  advanceTo(at: number): void {
    while (this.#runNext(at));
    const left = this.startNs + at * 1000 - this.machine.now;
    if (left > 0) this.machine.advance(left);
    this.#retry();
  }

  /** The next timer of the stack, or the time-out of a call that waits; false: nothing before `limit`. */
  #runNext(limit: number): boolean {
    const deadline = this.#blocked?.attempt.deadline ?? Infinity;
    const next = Math.min(this.machine.nextTimer(true), deadline > this.machine.now ? deadline : Infinity);
    if (next > this.startNs + limit * 1000) return false;
    this.machine.advance(Math.max(0, next - this.machine.now));
    this.#retry();
    return true;
  }

  // ---- system calls

  #call(event: ScriptEvent, base: number): void {
    const action = event.action;
    if (action.kind !== "call") return;
    const attempt = beginCall(this, action.call) as Attempt & Deadline;
    const now = elapsed(this);
    const end = event.end === null ? now : base + event.end;
    const waiting: Blocked = { event, attempt, end, tolerance: this.tolerance(end) };
    this.#blocked = waiting;
    this.#retry();
    // A call that is not written as a blocking one holds the script up until it returns.
    if (event.end === null) this.#awaitBlocked();
  }

  /** Tries the call that waits. */
  #retry(): void {
    const waiting = this.#blocked;
    if (waiting === null) return;
    this.#blocked = null;
    const before = this.current;
    this.current = waiting.event;
    const result = waiting.attempt();
    if (result === null) this.#blocked = waiting;
    else this.#returned(waiting, result);
    this.current = before;
  }

  #returned(waiting: Blocked, result: number): void {
    const action = waiting.event.action;
    if (action.kind !== "call") return;
    this.trace(`${action.call.name}() = ${result}`);
    const { call } = action;
    const at = elapsed(this);
    if (call.result !== null) checkResult(numberOf(call.result), call.errno, result);
    const off = Math.abs(at - waiting.end);
    if (off > waiting.tolerance) {
      throw new Mismatch(`${call.name}() returned at ${seconds(at)} sec, expected at ${seconds(waiting.end)} sec`);
    }
    if (off > this.slip) this.slip = off;
  }

  /** Runs until the call that waits has returned. */
  #awaitBlocked(): void {
    const waiting = this.#blocked;
    if (waiting === null) return;
    const limit = waiting.end + waiting.tolerance + PATIENCE_USECS;
    while (this.#blocked === waiting && this.#runNext(limit));
    if (this.#blocked !== waiting) return;
    this.#blocked = null;
    this.current = waiting.event;
    const name = waiting.event.action.kind === "call" ? waiting.event.action.call.name : "";
    throw new Mismatch(`${name}() waits; it should have returned at ${seconds(waiting.end)} sec`);
  }

  // ---- asserts

  #codeNames(): Map<string, Value> {
    for (const name of [...this.names.keys()]) if (/^(tcpi_|SK_MEMINFO_)/.test(name)) this.names.delete(name);
    const conn = this.underTest;
    const file = conn === null || conn.fd < 0 ? undefined : this.files.get(conn.fd);
    if (file === undefined || file.kind !== "socket") return this.names;
    const sk = sockOf(this, file as SocketFile);
    if (sk === null) return this.names;
    if (conn!.protocol === IPPROTO_TCP) {
      if (this.tcp?.info === undefined) throw new Unsupported("TCP_INFO: TCP has no info()");
      const info = this.tcp.info(sk) as Readonly<Record<string, number>> | null;
      for (const [name, value] of Object.entries(info ?? {})) this.names.set(name, value);
    }
    this.names.set("SK_MEMINFO_RMEM_ALLOC", sk.rmemAlloc);
    this.names.set("SK_MEMINFO_RCVBUF", sk.rcvbuf);
    this.names.set("SK_MEMINFO_WMEM_ALLOC", sk.wmemAlloc);
    this.names.set("SK_MEMINFO_SNDBUF", sk.sndbuf);
    this.names.set("SK_MEMINFO_DROPS", sk.drops);
    return this.names;
  }
}

/** The congestion controls that scripts choose by name, where the caller brings none of that name. */
function withControls(plugins: readonly Plugin[]): Plugin[] {
  return [...[bbr(), dctcp()].filter((c) => !plugins.some((p) => p.name === c.name)), ...plugins];
}

function commandEvent(script: Script): ScriptEvent {
  return {
    line: script.initLine,
    text: `\`${script.init.trim().replace(/\s+/g, " ")}\``,
    time: { kind: "absolute", from: 0, to: 0, range: false },
    end: null,
    action: { kind: "command", text: script.init },
  };
}

/** Fails unless a call gave what its line says; a negative result is a failed call. */
function checkResult(expected: number, errno: string, actual: number): void {
  const text = (n: number): string => n < 0 ? `-1 ${errnoText(-n)}` : String(n);
  if (expected >= 0) {
    if (actual !== expected) throw new Mismatch(`the call gave ${text(actual)}, not ${expected}`);
    return;
  }
  if (actual >= 0) throw new Mismatch(`the call gave ${actual}, not -1 ${errno}`);
  if (expected < -1) throw new Mismatch(`the call gave ${text(actual)}, not ${expected}`);
  if (errno === "") return;
  const want = ERRNOS[errno];
  if (want === undefined) throw new Unsupported(`the errno ${errno}`);
  if (-actual !== want) throw new Mismatch(`the call gave ${text(actual)}, not -1 ${errno}`);
}

function errnoText(n: number): string {
  return Object.keys(ERRNOS).find((name) => ERRNOS[name] === n) ?? `errno ${n}`;
}

/** Microseconds as seconds. */
export function seconds(usecs: number): string {
  return (usecs / 1e6).toFixed(6);
}
