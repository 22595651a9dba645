/**
 * What every command that runs a lab needs: its file, Ctrl-C, progress, files that are written whole or not at all.
 */
import { nearest } from "../../../core/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { type LabResult, type LoadedLab, loadLab, type RunOptions } from "../file/mod.ts";
import { type CliOutput, UsageError } from "./command.ts";

/** Ctrl-C: what was begun is undone, the exit code is {@linkcode INTERRUPTED}. */
export class Interrupted extends Error {}

/** Exit code after Ctrl-C: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;

// A lab that runs puts its own clock in their place.
const realInterval = globalThis.setInterval;
const realClear = globalThis.clearInterval;

const QUIET_MS = 1000;
const EVERY_MS = 200;

/** The file's text; one that cannot be read is a {@linkcode UsageError}. */
export function readLab(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw new UsageError(`Cannot read ${file}: ${osMessage(error)}`);
  }
}

/** A file as a URL; paths are relative to the current folder. */
export function urlOf(file: string): URL {
  return new URL(file, `file://${Deno.cwd()}/`);
}

/** The same lab with another seed; without one, as it is. */
export function withSeed(text: string, seed: string | undefined): string {
  if (seed === undefined) return text;
  if (!/^\d+$/.test(seed)) throw new UsageError(`Cannot use --seed "${seed}": a whole number`);
  return /^seed:.*$/m.test(text) ? text.replace(/^seed:.*$/m, `seed: ${seed}`) : `${text}\nseed: ${seed}\n`;
}

function osMessage(error: unknown): string {
  return (error as Error).message.split(" (os error")[0];
}

/** Writes a file whole or not at all: under another name first, which then takes the place. */
export function writeWhole(file: URL, bytes: Uint8Array): void {
  const draft = new URL(`${file.href}.part`);
  try {
    Deno.writeFileSync(draft, bytes);
    Deno.renameSync(draft, file);
  } catch (error) {
    try {
      Deno.removeSync(draft);
    } catch { /* it was never made */ }
    throw new UsageError(`Cannot write ${file.pathname}: ${osMessage(error)}`);
  }
}

/**
 * Loads a lab and works with it; it ends with the work, and on Ctrl-C at once: then that is an {@linkcode Interrupted}.
 * `signal` is aborted by Ctrl-C: what still runs then must write nothing more.
 */
export async function withLab<T>(
  file: string,
  text: string,
  work: (loaded: LoadedLab, signal: AbortSignal) => Promise<T> | T,
): Promise<T> {
  const stop = new AbortController();
  let loaded: LoadedLab | null = null;
  const interrupted = Promise.withResolvers<never>();
  const onSignal = (): void => {
    stop.abort();
    loaded?.[Symbol.dispose]();
    interrupted.reject(new Interrupted(`${file} was interrupted`));
  };
  const run = async (): Promise<T> => {
    loaded = await loadLab(file, text, urlOf(file));
    if (stop.signal.aborted) loaded[Symbol.dispose]();
    return await work(loaded, stop.signal);
  };
  Deno.addSignalListener("SIGINT", onSignal);
  try {
    return await Promise.race([run(), interrupted.promise]);
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    (loaded as LoadedLab | null)?.[Symbol.dispose]();
  }
}

/** Runs a lab; on a terminal, runs over a second show how far they are. */
export async function runLab(loaded: LoadedLab, io: CliOutput, options: RunOptions = {}): Promise<LabResult> {
  const { machine } = loaded.lab;
  const { progress } = io;
  if (progress === undefined) return await loaded.run(options);
  const start = performance.now();
  const width = Math.max(20, io.width - 1);
  let shown = 0;
  const clear = (): void => {
    if (shown > 0) progress(`\r${" ".repeat(shown)}\r`);
    shown = 0;
  };
  const show = (): void => {
    const seconds = (performance.now() - start) / 1000;
    if (seconds * 1000 < QUIET_MS) return;
    const text = `${loaded.name}: ${(machine.now / 1e9).toFixed(3)} s of virtual time after ${seconds.toFixed(1)} s`;
    progress(`\r${text.slice(0, width).padEnd(shown)}`);
    shown = Math.max(shown, Math.min(text.length, width));
  };
  const timer = realInterval(show, EVERY_MS);
  try {
    return await loaded.run({
      ...options,
      // Both may be the same terminal.
      onOutcome: (outcome) => {
        clear();
        options.onOutcome?.(outcome);
      },
    });
  } finally {
    realClear(timer);
    clear();
  }
}

/** Says on stderr what did not hold; the exit code: 0 all holds, 1 something does not. */
export function verdict(result: LabResult, io: CliOutput): number {
  for (const o of result.outcomes) if (!o.ok) io.error(`Expectation does not hold: ${o.what}: ${o.found}`);
  for (const error of result.errors) io.error(`An application failed: ${error.message}`);
  return result.ok ? 0 : 1;
}

/** The one of `names` that is `word`; another is a {@linkcode UsageError} with the nearest. */
export function named(what: string, word: string, names: readonly string[]): string {
  if (names.includes(word)) return word;
  const [near] = nearest(word, names);
  const hint = near === undefined || word.length < 2 ? `there are ${names.join(", ")}` : `did you mean "${near}"?`;
  throw new UsageError(`Cannot find ${what} "${word}": ${hint}`);
}

/** A point in the lab's time, ns, from one like `10ms`; without one, undefined. Another is a {@linkcode UsageError}. */
export function timeOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseTime(text, flag);
  } catch {
    throw new UsageError(`Cannot use ${flag} "${text}": expected a time like 10ms, 200us or 1s`);
  }
}

/** The one lab file of a command line that takes one, and what stands behind it. */
export function labAndRest(args: readonly (string | number)[]): [file: string, ...rest: string[]] {
  const [file, ...rest] = args.map(String);
  if (file === undefined) throw new UsageError("Cannot go on without a lab file");
  return [file, ...rest];
}
