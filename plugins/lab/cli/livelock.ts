/**
 * `netpath livelock`: what an application reads while more and more is offered, by what an interrupt does.
 */
import { parseArgs } from "@std/cli";
import {
  type CostModel,
  livelock,
  LIVELOCK_LOADS,
  LIVELOCK_MODES,
  type LivelockMode,
  type LivelockOptions,
  plot,
  SERVER_CORE,
  svg,
  table,
} from "../livelock/mod.ts";
import { type CliOutput, type Command, oneOf, unknownOption, UsageError, whole } from "./command.ts";

const FLAGS = ["load", "mode", "cost", "cards", "usecs", "ms", "seed", "svg"] as const;

const HELP = `usage: netpath livelock [OPTIONS]

Receive livelock: a host reads datagrams, and a card offers it more than it can read. With an interrupt for each frame the
CPU does nothing but take interrupts in the end; with NAPI it polls, and what is too much is lost in the ring, at no cost.
All of it in virtual time: the same seed gives the same numbers on every machine.

options:
  --load N         datagrams per second that are offered; again for another load, or with commas (default: 25,000 to 2 M)
  --mode MODE      interrupt, napi or moderated; again for another one (default: all)
  --cost NAME=NS   what work takes in ns: ${Object.entries(SERVER_CORE).map(([k, v]) => `${k}=${v}`).join(" ")}
  --cards N        cards that share the load and the CPU, 1 to 64 (default 1); from 5 on a run can use its budget up
  --usecs N        moderation: how long an interrupt waits for more frames, in us (default 50)
  --ms N           virtual milliseconds that are measured, 1 to 10000 (default 10)
  --seed N         another seed (default 1)
  --json           the rows as JSON, one a line
  --svg FILE       writes the plot as SVG, too (takes --allow-write)
  --help           shows this

exit code: 0 fine, 1 FILE cannot be written, 2 the command line makes no sense

examples:
  netpath livelock
  netpath livelock --svg livelock.svg
  netpath livelock --mode napi --cards 8 --load 200000,600000,2000000
  netpath livelock --mode interrupt --cost irq=5000 --json
`;

/** `netpath livelock`. */
export const livelockCommand: Command = {
  name: "livelock",
  about: "what interrupts cost: goodput against offered load, with and without NAPI",
  help: HELP,
  run,
};

function run(args: string[], io: CliOutput): number {
  const flags = parseArgs(args, {
    string: FLAGS,
    boolean: ["json"],
    collect: ["load", "mode", "cost"],
    unknown: unknownOption([...FLAGS, "json"]),
  });
  const modes = flags.mode.map((m) => oneOf("--mode", m, LIVELOCK_MODES) as LivelockMode);
  const options: LivelockOptions = {
    modes: modes.length > 0 ? LIVELOCK_MODES.filter((m) => modes.includes(m)) : LIVELOCK_MODES,
    loads: loads(flags.load),
    cost: costs(flags.cost),
    cards: whole("--cards", flags.cards, 1, 1, 64),
    rxUsecs: whole("--usecs", flags.usecs, 50, 0, 1_000_000),
    seconds: whole("--ms", flags.ms, 10, 1, 10_000) / 1000,
    seed: whole("--seed", flags.seed, 1, 0, 2 ** 31 - 1),
  };
  const rows = livelock(options);
  if (flags.json) { for (const row of rows) io.log(JSON.stringify(row)); }
  else io.log(`${plot(rows, { width: Math.min(io.width, 100), color: io.color })}\n\n${table(rows)}`);
  return flags.svg === undefined ? 0 : save(flags.svg, svg(rows), io);
}

function loads(texts: readonly string[]): readonly number[] {
  const words = texts.flatMap((t) => t.split(","));
  if (words.length === 0) return LIVELOCK_LOADS;
  return words.map((w) => whole("--load", w, 0, 1, 100_000_000)).sort((a, b) => a - b);
}

function costs(texts: readonly string[]): Partial<CostModel> {
  const names = Object.keys(SERVER_CORE) as (keyof CostModel)[];
  const model: Partial<CostModel> = {};
  for (const text of texts) {
    const [name, ns] = text.split("=");
    const key = oneOf("--cost", name, names) as keyof CostModel;
    if (!/^\d+(\.\d+)?$/.test(ns ?? "")) throw new UsageError(`Cannot use --cost "${text}": NAME=NS, like irq=2000`);
    model[key] = Number(ns);
  }
  return model;
}

function save(file: string, text: string, io: CliOutput): number {
  try {
    Deno.writeTextFileSync(file, text);
    return 0;
  } catch (error) {
    io.error(`Cannot write ${file}: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}
