/**
 * `deno task packetdrill FILE-OR-DIR... [--json FILE] [--verbose] [--mutate N]`.
 *
 * @module
 */
import { nearest } from "../../../core/mod.ts";
import { type CliOutput, type Command, UsageError } from "../cli/mod.ts";
import { mutateScripts, mutationText } from "./mutate.ts";
import { compare, comparisonText, parseReference, report, resultText, totalText } from "./report.ts";
import { runScript, type ScriptResult } from "./run.ts";

const USAGE = `Runs packetdrill scripts against the stack, in virtual time; no root, no device.

Usage: packetdrill FILE-OR-DIR... [options]

  --json FILE          writes the results as JSON
  --verbose            tells every event and packet
  --mutate N           changes one expected thing per run, N times per passing script: the run must fail
  --reference FILE     compares with a kernel's results (suite, script, variant, result)
  --filter TEXT        only scripts whose path has TEXT in it
  --define NAME=VALUE  NAME stands for VALUE in scripts
  --seed N             seed of the stack's randomness (default 1)
  --quiet              only failures and totals
  --help               this text

Examples:
  packetdrill ../shared/packetdrill --json results.json
  packetdrill my-tests/handshake.pkt --verbose
`;

const NAMES = ["json", "verbose", "mutate", "reference", "filter", "define", "seed", "quiet"];

/** What the command line says. */
interface Arguments {
  readonly paths: string[];
  readonly defines: Record<string, string>;
  json: string;
  reference: string;
  filter: string;
  verbose: boolean;
  quiet: boolean;
  mutate: number;
  seed: number;
}

function parseArguments(args: readonly string[]): Arguments {
  const out: Arguments = {
    paths: [],
    defines: {},
    json: "",
    reference: "",
    filter: "",
    verbose: false,
    quiet: false,
    mutate: 0,
    seed: 1,
  };
  for (let i = 0; i < args.length; i++) {
    const named = /^(--[a-z]+)(?:=(.*))?$/s.exec(args[i]);
    const name = named === null ? args[i] : named[1];
    const inline = named?.[2];
    const value = (): string => inline ?? args[++i] ?? "";
    if (!name.startsWith("--")) out.paths.push(args[i]);
    else if (name === "--json") out.json = value();
    else if (name === "--reference") out.reference = value();
    else if (name === "--filter") out.filter = value();
    else if (name === "--verbose") out.verbose = true;
    else if (name === "--quiet") out.quiet = true;
    else if (name === "--mutate" || name === "--seed") {
      const n = Number(value());
      if (!Number.isInteger(n) || n < 0) throw new UsageError(`Cannot use ${name}: it takes a whole number`);
      if (name === "--mutate") out.mutate = n;
      else out.seed = n;
    } else if (name === "--define") {
      const [key, ...rest] = value().split("=");
      out.defines[key] = rest.join("=");
    } else {
      const near = nearest(name.slice(2), NAMES)[0];
      throw new UsageError(`Cannot use ${name}: ${near === undefined ? "unknown option" : `did you mean --${near}?`}`);
    }
  }
  if (out.paths.length === 0) throw new UsageError("Cannot run: no script and no folder given");
  return out;
}

/** All scripts of files and folders, sorted. */
export function findScripts(paths: readonly string[]): string[] {
  const out: string[] = [];
  const walk = (path: string): void => {
    if (!Deno.statSync(path).isDirectory) return void out.push(path);
    for (const entry of [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1)) {
      const inside = `${path.replace(/\/$/, "")}/${entry.name}`;
      if (entry.isDirectory) walk(inside);
      else if (entry.name.endsWith(".pkt")) out.push(inside);
    }
  };
  for (const path of paths) walk(path);
  return out;
}

/** The reference beside the scripts, where nobody names one. */
function findReference(paths: readonly string[]): string {
  for (const path of paths) {
    try {
      for (const entry of Deno.readDirSync(path)) {
        if (/^reference-.*\.tsv$/.test(entry.name)) return `${path.replace(/\/$/, "")}/${entry.name}`;
      }
    } catch { /* a file, or not there: findScripts() says so */ }
  }
  return "";
}

/** The command `packetdrill` of the command line. */
export const packetdrillCommand: Command = {
  name: "packetdrill",
  about: "Runs packetdrill scripts against the stack, in virtual time",
  help: USAGE,
  run(args: string[], io: CliOutput): number {
    const options = parseArguments(args);
    let files: string[];
    try {
      files = findScripts(options.paths).filter((f) => f.includes(options.filter));
    } catch (error) {
      throw new UsageError(`Cannot read the scripts: ${error instanceof Error ? error.message : error}`);
    }
    if (files.length === 0) throw new UsageError(`Cannot run: no script (*.pkt) in ${options.paths.join(", ")}`);
    return options.mutate > 0 ? runMutations(files, options, io) : runAll(files, options, io);
  },
};

/** Runs a command line; its exit code: 0 all passes, 1 something does not, 2 the command line makes no sense. */
export function main(args: readonly string[], io: CliOutput = PLAIN): number {
  if (args.includes("--help") || args.includes("-h")) {
    io.log(USAGE);
    return 0;
  }
  try {
    return packetdrillCommand.run([...args], io) as number;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
}

const PLAIN: CliOutput = {
  log: (text) => console.log(text),
  error: (text) => console.error(text),
  color: false,
  width: 140,
};

function runAll(files: readonly string[], options: Arguments, io: CliOutput): number {
  const began = performance.now();
  const results: ScriptResult[] = [];
  for (const file of files) {
    const result = runScript(file, Deno.readTextFileSync(file), {
      defines: options.defines,
      seed: options.seed,
      ...(options.verbose ? { trace: (line: string) => io.log(`    ${line}`) } : {}),
    });
    results.push(result);
    if (!options.quiet || result.result !== "pass") io.log(resultText(result));
  }
  const all = report(results, (performance.now() - began) / 1000);
  const reference = options.reference || findReference(options.paths);
  if (reference !== "") {
    io.log(comparisonText(compare(results, parseReference(Deno.readTextFileSync(reference)))));
  }
  io.log(totalText(all));
  if (options.json !== "") Deno.writeTextFileSync(options.json, `${JSON.stringify(all, null, 1)}\n`);
  return all.failed + all.unsupported === 0 ? 0 : 1;
}

function runMutations(files: readonly string[], options: Arguments, io: CliOutput): number {
  const sources = files.map((file) => ({ file, source: Deno.readTextFileSync(file) }));
  const outcome = mutateScripts(sources, options.mutate, { defines: options.defines, seed: options.seed });
  io.log(mutationText(outcome, !options.quiet));
  if (options.json !== "") Deno.writeTextFileSync(options.json, `${JSON.stringify(outcome, null, 1)}\n`);
  return outcome.ratio >= 0.95 ? 0 : 1;
}

if (import.meta.main) Deno.exit(main(Deno.args));
