/**
 * `netpath run`, `check` and `graph`: what a lab file says, tried or drawn.
 */
import { parseArgs } from "@std/cli";
import { graphOf, LabFileError, type LoadedLab, loadLab, parseLab } from "../file/mod.ts";
import { type CliOutput, type Command, many, unknownFlag, UsageError } from "./command.ts";
import { readLab, runLab, urlOf, withLab, withSeed, writeWhole } from "./session.ts";

const RUN_HELP = `usage: netpath run [OPTIONS] LAB.yaml...

Runs lab files in virtual time and tries what they expect. Captures are written where the file says, beside it.

options:
  --json           one JSON object a line: each outcome, then the file's result
  --seed N         another seed than the file's
  --no-captures    writes no capture files
  --help           shows this

exit code: 0 all that was expected holds, 1 something does not, 2 a file cannot be used, 130 Ctrl-C

examples:
  netpath run examples/labs/two_hosts.yaml
  netpath run --json examples/labs/*.yaml | jq -r 'select(.ok == false)'
`;

const CHECK_HELP = `usage: netpath check LAB.yaml...

Reads lab files and says all that is wrong with them, each with file, line, path and what was expected. Nothing runs.

options:
  --help           shows this

exit code: 0 all can be used, 2 one cannot

examples:
  netpath check examples/labs/*.yaml
`;

const GRAPH_HELP = `usage: netpath graph LAB.yaml

Prints the lab as a mermaid graph, for a Markdown page.

options:
  --help           shows this

exit code: 0 fine, 2 the file cannot be used

examples:
  netpath graph examples/labs/router.yaml > lab.mmd
`;

/** `netpath run`. */
export const runCommand: Command = {
  name: "run",
  about: "runs lab files and tries what they expect",
  help: RUN_HELP,
  run: runFiles,
};

/** `netpath check`. */
export const checkCommand: Command = {
  name: "check",
  about: "says all that is wrong with lab files",
  help: CHECK_HELP,
  run: checkFiles,
};

/** `netpath graph`. */
export const graphCommand: Command = {
  name: "graph",
  about: "draws a lab file as a mermaid graph",
  help: GRAPH_HELP,
  run: graphFile,
};

function files(args: readonly (string | number)[]): string[] {
  if (args.length === 0) throw new UsageError("Cannot go on without a lab file");
  return args.map(String);
}

async function runFiles(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, {
    string: ["seed"],
    boolean: ["json", "captures"],
    negatable: ["captures"],
    default: { captures: true },
    unknown: unknownFlag(["json", "seed", "no-captures"]),
  });
  let code = 0;
  for (const file of files(flags._)) {
    const options = { json: flags.json, captures: flags.captures };
    try {
      const ok = await withLab(
        file,
        withSeed(readLab(file), flags.seed),
        (loaded, signal) => runOne(loaded, file, options, io, signal),
      );
      if (!ok) code = Math.max(code, 1);
    } catch (error) {
      if (!(error instanceof LabFileError)) throw error;
      io.error(error.message);
      code = 2;
    }
  }
  return code;
}

async function runOne(
  loaded: LoadedLab,
  file: string,
  options: { json: boolean; captures: boolean },
  io: CliOutput,
  signal: AbortSignal,
): Promise<boolean> {
  const paint = (code: number, text: string): string => io.color ? `\x1b[${code}m${text}\x1b[0m` : text;
  if (!options.json) io.log(`${paint(1, loaded.name)} (${file})`);
  const result = await runLab(loaded, io, {
    onOutcome: (o) => {
      if (signal.aborted) return;
      if (options.json) io.log(JSON.stringify({ file, ...o }));
      else io.log(`  ${o.ok ? paint(32, "ok    ") : paint(31, "FAILED")} ${o.what}: ${o.found}`);
    },
    ...(options.captures
      ? { writeCapture: (name, bytes) => signal.aborted || writeWhole(new URL(name, urlOf(file)), bytes) }
      : {}),
  });
  for (const error of result.errors) io.error(`  an application failed: ${error.message}`);
  const held = result.outcomes.filter((o) => o.ok).length;
  const seconds = result.timeNs / 1e9;
  if (options.json) io.log(JSON.stringify({ file, ok: result.ok, held, of: result.outcomes.length, seconds }));
  else io.log(`  ${held} of ${result.outcomes.length} hold, after ${seconds.toFixed(3)} s of virtual time`);
  return result.ok;
}

async function checkFiles(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, { unknown: unknownFlag([]) });
  let code = 0;
  for (const file of files(flags._)) {
    try {
      using loaded = await loadLab(file, readLab(file), urlOf(file));
      const { lab, links, expectations } = loaded;
      const parts = [
        many(lab.hosts.size, "host"),
        many(lab.switches.size, "switch", "es"),
        many(links, "link"),
        many(expectations, "expectation"),
      ];
      io.log(`${file}: ${parts.join(", ")}`);
    } catch (error) {
      if (!(error instanceof LabFileError)) throw error;
      io.error(error.message);
      code = 2;
    }
  }
  return code;
}

function graphFile(args: string[], io: CliOutput): number {
  const flags = parseArgs(args, { unknown: unknownFlag([]) });
  const [file] = files(flags._);
  try {
    io.log(graphOf(parseLab(readLab(file), file)));
    return 0;
  } catch (error) {
    if (!(error instanceof LabFileError)) throw error;
    io.error(error.message);
    return 2;
  }
}
