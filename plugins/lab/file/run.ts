/** Runs a lab file from beginning to end: applications start, links change, expectations are tried, captures are written. */
import { HrTimer } from "../../../core/mod.ts";
import type { PcapBuffer } from "../../device/pcap/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { virtualClock } from "../clock.ts";
import type { Lab, LabOptions } from "../lab.ts";
import { buildLab, type Loaded, loadModules, type Source } from "./build.ts";
import { type Outcome, tryExpectation } from "./expect.ts";
import { parseLab } from "./load.ts";
import type { ParsedExpect, ParsedLab } from "./schema.ts";

/** A lab file that is loaded and stands. */
export interface LoadedLab extends Disposable {
  /** The lab. */
  readonly lab: Lab;
  /** `name` of the file, or the file's. */
  readonly name: string;
  /** How many links it has, those into switches too. */
  readonly links: number;
  /** How many expectations it has. */
  readonly expectations: number;
  /** Runs it once. */
  run(options?: RunOptions): Promise<LabResult>;
  /** Starts its applications and lets them be, for a lab on the real clock: nothing is expected or captured. */
  start(): LabService;
}

/** The applications of a lab that was started; disposed, they are told to stop. */
export interface LabService extends Disposable {
  /** What applications threw so far. */
  readonly errors: readonly Error[];
}

/** How a lab is run. */
export interface RunOptions {
  /** Told of each outcome as it is found. */
  onOutcome?: (outcome: Outcome) => void;
  /** Where captures go; without it they stay in {@linkcode LabResult.captures}. Paths are as in the file. */
  writeCapture?: (file: string, bytes: Uint8Array) => void;
  /** Ends the run at this time, ns, whatever the file says; what was not tried by then is not told. */
  until?: number;
  /** Called at the end, when all was tried and before applications are told to stop. */
  onEnd?: () => void;
}

/** What a run came to. */
export interface LabResult {
  /** Every expectation holds, and no application failed. */
  readonly ok: boolean;
  /** By expectation, in order. */
  readonly outcomes: readonly Outcome[];
  /** What applications threw. */
  readonly errors: readonly Error[];
  /** Virtual time that passed, ns. */
  readonly timeNs: number;
  /** Capture files by name. */
  readonly captures: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Reads a lab file; `text` is its content, and `options` what is not in it: a real platform, say. Throws
 * {@linkcode LabFileError} with all that is wrong.
 */
export async function loadLab(file: string, text: string, base: URL, options: LabOptions = {}): Promise<LoadedLab> {
  const source: Source = { file, text };
  const parsed = parseLab(text, file);
  const loaded = await loadModules(parsed, source, base);
  const lab = buildLab(parsed, loaded, source, options);
  return {
    lab,
    name: parsed.name ?? file,
    links: (parsed.links ?? []).length + Object.values(parsed.switches ?? {}).flatMap((sw) => sw.ports).length,
    expectations: parsed.expect?.length ?? 0,
    run: (options = {}) => run(lab, parsed, loaded, options),
    start: () => serve(lab, loaded),
    [Symbol.dispose]: () => lab[Symbol.dispose](),
  };
}

function serve(lab: Lab, loaded: Loaded): LabService {
  const end = new AbortController();
  const errors: Error[] = [];
  for (const app of loaded.apps) void start(lab, app, end.signal, errors);
  return { errors, [Symbol.dispose]: () => end.abort() };
}

async function run(lab: Lab, file: ParsedLab, loaded: Loaded, options: RunOptions): Promise<LabResult> {
  using _clock = virtualClock(lab.machine);
  const end = new AbortController();
  const errors: Error[] = [];
  const outcomes: Outcome[] = [];
  const captures = (file.captures ?? []).map((c): [string, PcapBuffer] => [c.file, lab.capture(c.on)]);
  const running = loaded.apps.map((a) => start(lab, a, end.signal, errors));
  const tell = (outcome: Outcome): void => {
    if (end.signal.aborted) return;
    outcomes.push(outcome);
    options.onOutcome?.(outcome);
  };
  const course = tryAll(lab, file, running, tell);
  if (options.until === undefined) await course;
  else await lab.sleep(Math.max(0, options.until - lab.machine.now));
  options.onEnd?.();
  end.abort();
  const files = new Map(captures.map(([name, buffer]) => [name, buffer.bytes()]));
  for (const [name, bytes] of files) options.writeCapture?.(name, bytes);
  return {
    ok: errors.length === 0 && outcomes.every((o) => o.ok),
    outcomes,
    errors,
    timeNs: lab.machine.now,
    captures: files,
  };
}

/** Tries what is expected, in order; then the lab runs until it stops; what counts packets is asked last. */
async function tryAll(
  lab: Lab,
  file: ParsedLab,
  running: readonly Promise<void>[],
  tell: (outcome: Outcome) => void,
): Promise<void> {
  const last = (e: ParsedExpect): boolean => "dropped" in e || "no-drops" in e;
  const all = file.expect ?? [];
  const first = all.filter((e) => !last(e));
  for (const e of first) tell(await tryExpectation(lab, e));
  const stop = file.stop === undefined ? 0 : parseTime(file.stop, "stop") - lab.machine.now;
  if (stop > 0) await lab.sleep(stop);
  else if (first.length === 0) await Promise.all(running);
  for (const e of all.filter(last)) tell(await tryExpectation(lab, e));
}

/** Starts an application at its time; resolves when it returned. */
function start(lab: Lab, a: Loaded["apps"][number], signal: AbortSignal, errors: Error[]): Promise<void> {
  return new Promise((resolve) => {
    const begin = async (): Promise<void> => {
      try {
        await a.app(lab.host(a.host), { lab, options: a.options, signal });
      } catch (error) {
        if (!signal.aborted) errors.push(error instanceof Error ? error : new Error(String(error)));
      }
      resolve();
    };
    if (a.at === 0) void begin();
    // It runs in its own turn, as a process does, and not inside the timer interrupt.
    else {lab.machine.batch(() =>
        lab.machine.hrtimers.start(new HrTimer(() => queueMicrotask(begin)), lab.machine.now + a.at)
      );}
  });
}
