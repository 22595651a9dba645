/**
 * The command line.
 *
 *     deno run jsr:@netpath/stack/cli demo
 *
 * `demo` needs no permission, no root and no network; what reads a lab file needs `--allow-read`. Colour and progress on a
 * terminal; plain in a pipe and with NO_COLOR. Exit codes: 0 fine, 1 it failed, 2 the command line or a file makes no sense,
 * 130 Ctrl-C.
 *
 * @example From a program of your own
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { main } from "@netpath/stack/cli";
 *
 * const lines: string[] = [];
 * const io = { log: (text: string) => lines.push(text), error: console.error, color: false, width: 100 };
 * assertEquals(await main(["demo", "--json"], io), 0);
 * const steps = lines.join("\n").split("\n").map((line) => JSON.parse(line));
 * assert(steps.some((step) => step.point === "udp:udp_rcv"));
 * ```
 *
 * @module
 */
import { nearest } from "./core/mod.ts";
import {
  benchCommand,
  checkCommand,
  type CliOutput,
  type Command,
  demoCommand,
  graphCommand,
  INTERRUPTED,
  Interrupted,
  livelockCommand,
  pluginsCommand,
  procCommand,
  runCommand,
  traceCommand,
  UsageError,
  VERSION,
} from "./plugins/lab/cli/mod.ts";
import { LabFileError } from "./plugins/lab/mod.ts";
import { packetdrillCommand } from "./plugins/lab/packetdrill/mod.ts";
import { relayCommand } from "./plugins/lab/relay/mod.ts";

export type { CliOutput } from "./plugins/lab/cli/mod.ts";

const COMMANDS: readonly Command[] = [
  demoCommand,
  runCommand,
  checkCommand,
  graphCommand,
  traceCommand,
  procCommand,
  pluginsCommand,
  packetdrillCommand,
  livelockCommand,
  benchCommand,
  relayCommand,
];

const NAMES = COMMANDS.map((c) => c.name);

const USAGE = `netpath: the Linux network path as TypeScript plugins

usage: netpath COMMAND [OPTIONS]

commands:
${COMMANDS.map((c) => `  ${c.name.padEnd(12)}${c.about}`).join("\n")}

  netpath COMMAND --help   shows the options of a command, with examples
  netpath --help           shows this
  netpath --version        shows the version

exit code: 0 fine, 1 it failed, 2 the command line or a file makes no sense, 130 Ctrl-C
NO_COLOR, or a pipe: no colours

examples:
  netpath demo
  netpath run examples/labs/*.yaml
  netpath trace examples/labs/router.yaml --drops-only
  netpath proc examples/labs/router.yaml router ip route
`;

/**
 * Runs a command line; the result is the exit code: 0 fine, 1 it failed, 2 the command line or a file makes no sense,
 * 130 Ctrl-C.
 */
export async function main(args: readonly string[], io: CliOutput = terminal()): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h") {
    io.log(USAGE);
    return name === undefined ? 2 : 0;
  }
  if (name === "help") return main(rest.length === 0 ? ["--help"] : [rest[0], "--help"], io);
  if (name === "--version" || name === "-V") {
    io.log(`netpath ${VERSION}`);
    return 0;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) {
    io.error(unknownCommand(name));
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.log(command.help);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof Interrupted) {
      io.error(error.message);
      return INTERRUPTED;
    }
    if (error instanceof LabFileError) {
      io.error(error.message);
      return 2;
    }
    if (!(error instanceof UsageError)) throw error;
    io.error(`${error.message}${error.message.endsWith("\n") ? "" : " "}(netpath ${name} --help)`);
    return 2;
  }
}

function unknownCommand(name: string): string {
  const flag = name.startsWith("-");
  const [near] = flag ? nearest(name.replace(/^-+/, ""), ["help", "version"]) : nearest(name, NAMES);
  const hint = near !== undefined ? `did you mean "${flag ? "--" : ""}${near}"?` : `there are: ${NAMES.join(", ")}`;
  return `Cannot run "${name}": unknown ${flag ? "option" : "command"}; ${hint} (netpath --help)`;
}

/** Prints to this process's terminal or pipe. */
function terminal(): CliOutput {
  const isTerminal = Deno.stdout.isTerminal();
  const out: CliOutput = {
    log: (text) => console.log(text),
    error: (text) => console.error(text),
    color: isTerminal && !Deno.noColor,
    // A terminal that does not know its size says 0.
    width: isTerminal && Deno.consoleSize().columns > 0 ? Deno.consoleSize().columns : 140,
  };
  if (!Deno.stderr.isTerminal()) return out;
  const encoder = new TextEncoder();
  return { ...out, progress: (text) => void Deno.stderr.writeSync(encoder.encode(text)) };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
