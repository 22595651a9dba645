/**
 * The command line.
 *
 *     deno run jsr:@netpath/stack/cli demo
 *
 * `demo` needs no permission, no root and no network. Colour on a terminal; plain in a pipe and with NO_COLOR.
 * Exit codes: 0 fine, 1 it failed, 2 the command line makes no sense.
 *
 * @module
 */
import { nearest } from "./core/mod.ts";
import {
  checkCommand,
  type CliOutput,
  type Command,
  demoCommand,
  graphCommand,
  runCommand,
  UsageError,
} from "./plugins/lab/cli/mod.ts";

export type { CliOutput } from "./plugins/lab/cli/mod.ts";

const COMMANDS: readonly Command[] = [demoCommand, runCommand, checkCommand, graphCommand];

const USAGE = `netpath: the Linux network path as TypeScript plugins

usage: netpath COMMAND [OPTIONS]

commands:
${COMMANDS.map((c) => `  ${c.name.padEnd(12)}${c.about}`).join("\n")}

  netpath COMMAND --help   shows the options of a command
  netpath --help           shows this
  netpath --version        shows the version
`;

/** Runs a command line; the result is the exit code: 0 fine, 1 it failed, 2 the command line makes no sense. */
export async function main(args: readonly string[], io: CliOutput = terminal()): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.log(USAGE);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-V") {
    io.log("netpath 0.1.0");
    return 0;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) {
    const [near] = nearest(name, COMMANDS.map((c) => c.name));
    const hint = near === undefined
      ? `there are: ${COMMANDS.map((c) => c.name).join(", ")}`
      : `did you mean "${near}"?`;
    io.error(`Cannot run "${name}": unknown command; ${hint} (netpath --help)`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.log(command.help);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.error(`${error.message} (netpath ${name} --help)`);
    return 2;
  }
}

/** Prints to this process's terminal or pipe. */
function terminal(): CliOutput {
  const isTerminal = Deno.stdout.isTerminal();
  return {
    log: (text) => console.log(text),
    error: (text) => console.error(text),
    color: isTerminal && !Deno.noColor,
    width: isTerminal ? Deno.consoleSize().columns : 140,
  };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
