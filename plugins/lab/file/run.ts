/** Runs a lab file from beginning to end: applications start, links change, expectations are tried, captures are written. */
import { HrTimer } from "../../../core/mod.ts";
import type { PcapBuffer } from "../../device/pcap/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { virtualClock } from "../clock.ts";
import type { Lab } from "../lab.ts";
import { buildLab, type Loaded, loadModules, type Source } from "./build.ts";
import { type Outcome, tryExpectation } from "./expect.ts";
import { parseLab } from "./load.ts";
import type { ParsedLab } from "./schema.ts";

/** A lab file that is loaded and stands. */
export interface LoadedLab extends Disposable {
  /** The lab. */
  readonly lab: Lab;
  /** `name` of the file, or the file's. */
  readonly name: string;
  /** How many expectations it has. */
  readonly expectations: number;
  /** Runs it once. */
  run(options?: RunOptions): Promise<LabResult>;
}

/** How a lab is run. */
export interface RunOptions {
  /** Told of each outcome as it is found. */
  onOutcome?: (outcome: Outcome) => void;
  /** Where captures go; without it they stay in {@linkcode LabResult.captures}. Paths are as in the file. */
  writeCapture?: (file: string, bytes: Uint8Array) => void;
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

/** Reads a lab file; `text` is its content. Throws {@linkcode LabFileError} with all that is wrong. */
export async function loadLab(file: string, text: string, base: URL): Promise<LoadedLab> {
  const source: Source = { file, text };
  const parsed = parseLab(text, file);
  const loaded = await loadModules(parsed, source, base);
  const lab = buildLab(parsed, loaded, source);
  return {
    lab,
    name: parsed.name ?? file,
    expectations: parsed.expect?.length ?? 0,
    run: (options = {}) => run(lab, parsed, loaded, options),
    [Symbol.dispose]: () => lab[Symbol.dispose](),
  };
}

async function run(lab: Lab, file: ParsedLab, loaded: Loaded, options: RunOptions): Promise<LabResult> {
  using _clock = virtualClock(lab.machine);
  const end = new AbortController();
  const errors: Error[] = [];
  const outcomes: Outcome[] = [];
  const captures = (file.captures ?? []).map((c): [string, PcapBuffer] => [c.file, lab.capture(c.on)]);
  const running = loaded.apps.map((a) => start(lab, a, end.signal, errors));
  const immediate = (file.expect ?? []).filter((e) => !("dropped" in e) && !("no-drops" in e));
  const tell = (outcome: Outcome): void => {
    outcomes.push(outcome);
    options.onOutcome?.(outcome);
  };
  for (const e of immediate) tell(await tryExpectation(lab, e));
  const stop = file.stop === undefined ? 0 : parseTime(file.stop, "stop") - lab.machine.now;
  if (stop > 0) await lab.sleep(stop);
  else if (immediate.length === 0) await Promise.all(running);
  // What counts packets is asked last.
  for (const e of file.expect ?? []) if ("dropped" in e || "no-drops" in e) tell(await tryExpectation(lab, e));
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
    else lab.machine.batch(() => lab.machine.hrtimers.start(new HrTimer(() => void begin()), a.at));
  });
}
