/**
 * `netpath bench`: the bench of the repository, each row in a process of its own.
 */
import { parseArgs } from "@std/cli";
import { type CliOutput, type Command, unknownFlag, whole } from "./command.ts";
import { Interrupted } from "./session.ts";

const HELP = `usage: netpath bench [OPTIONS] [ROW or PREFIX...]

Measures throughput and cost of the stack on this machine, each row in a process of its own: the median, the extremes,
and, with --json, its ratio to the yardsticks (memcpy, the kernel's loopback) that run beside it. Rows over a TAP need
root and run in a network namespace of their own. The rows are files of the repository: it takes a checkout, not the
package.

options:
  --json FILE      writes machine and rows as JSON
  --rounds N       rounds of each row, 1 to 1000 (default 9)
  --list           names of the rows
  --help           shows this

exit code: 0 all rows ran or were skipped, 1 one failed, 2 there is no such row, 130 Ctrl-C

examples:
  netpath bench --list
  netpath bench udp.64 tcp.bulk
  netpath bench --json bench.json --rounds 5
`;

/** `netpath bench`. */
export const benchCommand: Command = {
  name: "bench",
  about: "measures throughput and cost on this machine",
  help: HELP,
  run: bench,
};

async function bench(args: string[], io: CliOutput): Promise<number> {
  const flags = parseArgs(args, {
    string: ["json", "rounds", "_"],
    boolean: ["list"],
    unknown: unknownFlag(["json", "rounds", "list"]),
  });
  const rounds = whole("--rounds", flags.rounds, 9, 1, 1000);
  const script = new URL("../../../tests/bench/main.ts", import.meta.url);
  if (!isThere(script)) {
    io.error(
      "Cannot bench: the rows are files of the repository, and this is the package alone; " +
        "in a checkout: deno task bench",
    );
    return 1;
  }
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      script.pathname,
      `--rounds=${rounds}`,
      ...(flags.json === undefined ? [] : [`--json=${flags.json}`]),
      ...(flags.list ? ["--list"] : []),
      ...flags._.map(String),
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    // A process group of its own: Ctrl-C ends the rows' processes, too, and what they hold goes with them.
    detached: true,
  }).spawn();
  return await followed(child, io);
}

function isThere(file: URL): boolean {
  try {
    return file.protocol === "file:" && Deno.statSync(file).isFile;
  } catch {
    return false;
  }
}

/** Prints what the process prints, line by line; its exit code. */
async function followed(child: Deno.ChildProcess, io: CliOutput): Promise<number> {
  let interrupted = false;
  const onSignal = (): void => {
    interrupted = true;
    try {
      Deno.kill(-child.pid, "SIGTERM");
    } catch { /* it has ended */ }
  };
  const began = performance.now();
  let done = 0;
  let width = 0;
  const clear = (): void => {
    if (width > 0) io.progress?.(`\r${" ".repeat(width)}\r`);
    width = 0;
  };
  const show = (): void => {
    const text = `bench: ${done} rows after ${((performance.now() - began) / 1000).toFixed(0)} s`;
    io.progress?.(`\r${text}`);
    width = text.length;
  };
  const line = (print: (text: string) => void) => (text: string): void => {
    clear();
    done++;
    print(text);
  };
  const timer = io.progress === undefined ? undefined : setInterval(show, 500);
  Deno.addSignalListener("SIGINT", onSignal);
  try {
    const [status] = await Promise.all([
      child.status,
      eachLine(child.stdout, line((text) => io.log(text))),
      eachLine(child.stderr, line((text) => io.error(text))),
    ]);
    if (interrupted) throw new Interrupted("The bench was interrupted");
    return status.code;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    clearInterval(timer);
    clear();
  }
}

async function eachLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>, print: (text: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) print(line);
  }
  if (rest !== "") print(rest);
}
