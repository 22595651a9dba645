/**
 * The command line.
 *
 *     deno run jsr:@netpath/stack/cli demo
 *
 * `demo` needs no permission, no root and no network. Colour on a terminal; plain in a pipe and with NO_COLOR.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import {
  createHost,
  type Host,
  Machine,
  NF_ACCEPT,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  nfRegisterNetHook,
} from "./mod.ts";
import { type Nic, nic, wire } from "./plugins/device/nic/mod.ts";
import { type Journey, journey, REMARKS } from "./plugins/observe/journey/mod.ts";

/** Where output goes, and how it looks. */
export interface CliOutput {
  /** Prints a line, or several. */
  log(text: string): void;
  /** Prints an error. */
  error(text: string): void;
  /** ANSI colours. */
  readonly color: boolean;
  /** Columns. */
  readonly width: number;
}

/** A command line that makes no sense: printed without a stack, exit code 2. */
class UsageError extends Error {}

interface Command {
  readonly name: string;
  readonly about: string;
  readonly help: string;
  run(args: string[], io: CliOutput): number | Promise<number>;
}

const USAGE = `netpath: the Linux network path as TypeScript plugins

usage: netpath COMMAND [OPTIONS]

commands:
  demo    a ping and a UDP datagram between two hosts: their journey, and every byte that was copied

  netpath COMMAND --help   shows the options of a command
  netpath --help           shows this
  netpath --version        shows the version
`;

const DEMO_HELP = `usage: netpath demo [OPTIONS]

Two hosts with a NIC each on one wire, in one process on virtual time. A ping and a UDP datagram go down the sender
and up the receiver; every step is printed with its Linux function, its context and the buffer it works on.

options:
  --seed N         seed of the virtual machine, a whole number (default 1); one seed, one output
  --size N         payload bytes of the datagram, 0 to 1472 (default 32)
  --json           one JSON object a line instead: the recorded events
  --width N        columns, 60 to 300 (default: the terminal's, or 140)
  --no-remarks     leaves out where textbook and kernel differ
  --color          ANSI colours although this is no terminal
  --help           shows this

examples:
  netpath demo
  netpath demo --size 1000 --no-remarks
  netpath demo --json | jq -r 'select(.drop) | .drop.name'
`;

const COMMANDS: readonly Command[] = [
  { name: "demo", about: "a ping and a UDP datagram between two hosts", help: DEMO_HELP, run: demoCommand },
];

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
    const near = nearest(name, COMMANDS.map((c) => c.name));
    const hint = near === null ? `there are: ${COMMANDS.map((c) => c.name).join(", ")}` : `did you mean "${near}"?`;
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

/** The nearest name within two edits, or null. */
function nearest(word: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let least = 3;
  for (const name of names) {
    const d = name.startsWith(word) && word !== "" ? 1 : distance(word, name);
    if (d < least) {
      least = d;
      best = name;
    }
  }
  return best;
}

/** Edits between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

// ---------------------------------------------------------------------------------------------------------------------
// demo

interface DemoOptions {
  readonly seed: number;
  readonly size: number;
  readonly json: boolean;
  readonly width: number;
  readonly remarks: boolean;
  readonly color: boolean;
}

const DEMO_FLAGS = ["seed", "size", "json", "width", "remarks", "color", "no-remarks", "no-color"];

function demoOptions(args: string[], io: CliOutput): DemoOptions {
  const flags = parseArgs(args, {
    string: ["seed", "size", "width"],
    boolean: ["json", "remarks", "color"],
    negatable: ["remarks", "color"],
    default: { remarks: true, color: io.color },
    unknown: (arg) => {
      const word = arg.replace(/^-+/, "").split("=")[0];
      const near = arg.startsWith("-") ? nearest(word, DEMO_FLAGS) : null;
      throw new UsageError(`Cannot use "${arg}": ${near === null ? "unknown option" : `did you mean --${near}?`}`);
    },
  });
  return {
    seed: whole("--seed", flags.seed, 1, 0, 0x7fffffff),
    size: whole("--size", flags.size, 32, 0, 1472),
    json: flags.json,
    width: whole("--width", flags.width, Math.min(300, Math.max(60, io.width)), 60, 300),
    remarks: flags.remarks,
    color: flags.color,
  };
}

function whole(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`Cannot use ${name} "${text}": a whole number from ${min} to ${max}`);
  }
  return value;
}

/** The two hosts of the demo, on one wire. */
interface Lab {
  readonly machine: Machine;
  readonly a: Host;
  readonly b: Host;
  readonly nics: readonly Nic[];
}

function lab(seed: number): Lab {
  const machine = new Machine({ seed });
  const cable = wire(machine);
  const a = createHost({ machine, name: "a" });
  const b = createHost({ machine, name: "b" });
  const nics = [
    nic(a.net, "eth0", { wire: cable, address: "02:00:00:00:00:0a" }),
    nic(b.net, "eth0", { wire: cable, address: "02:00:00:00:00:0b" }),
  ];
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  for (const { net } of [a, b]) {
    // A rule at each point that accepts: hooks cost nothing where there are none, and would not show.
    for (const hook of [NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING]) {
      nfRegisterNetHook(net, { name: "demo", hook, fn: () => NF_ACCEPT });
    }
  }
  return { machine, a, b, nics };
}

async function demoCommand(args: string[], io: CliOutput): Promise<number> {
  const options = demoOptions(args, io);
  const hosts = lab(options.seed);
  const { machine, a, b } = hosts;
  using _end = machine;
  machine.runUntilIdle();
  machine.ledger.reset();
  using trace = journey(machine);
  const tell = teller(io, options, trace);
  if (!options.json) intro(tell);

  tell.section("1", "ping 10.0.0.2 from a: an ICMP echo, with ARP resolving on the way");
  const reply = await a.ping("10.0.0.2");
  tell.journey();
  tell.text(
    `${reply.bytes} bytes from ${reply.from}: seq=${reply.seq} ttl=${reply.ttl} time=${reply.timeNs} ns (virtual)\n`,
  );

  using server = b.listenDatagram({ port: 7, hostname: "10.0.0.2" });
  using client = a.listenDatagram({ port: 4096, hostname: "10.0.0.1" });
  trace.clear();
  const reading = server.receive();
  tell.section("2", `a UDP datagram of ${options.size} bytes from a to b; b waits in receive()`);
  const payload = Uint8Array.from({ length: options.size }, (_, i) => 0x61 + i % 26);
  await client.send(payload, { transport: "udp", hostname: "10.0.0.2", port: 7 });
  const [data] = await reading;
  tell.journey();
  if (!options.json) {
    tell.text(`b received ${data.length} bytes, the same bytes: ${String.fromCharCode(...data.slice(0, 40))}\n`);
    closing(tell, hosts);
  }
  return 0;
}

/** Prints parts of the demo: text for people, or JSON lines. */
interface Teller {
  section(number: string, title: string): void;
  journey(): void;
  text(text: string): void;
  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void;
  /** A word and what is said about it, in as many lines as it takes. */
  entry(word: string, text: string): void;
  bold(text: string): string;
  context(name: string): string;
}

const CONTEXT_COLORS: Readonly<Record<string, number>> = { process: 32, hardirq: 31, softirq: 33, ksoftirqd: 35 };

function teller(io: CliOutput, options: DemoOptions, trace: Journey): Teller {
  const { color, width, remarks } = options;
  const sgr = (code: number, text: string): string => color ? `\x1b[${code}m${text}\x1b[0m` : text;
  const tell: Teller = {
    bold: (text) => sgr(1, text),
    context: (name) => sgr(CONTEXT_COLORS[name] ?? 0, name),
    text: (text) => {
      if (!options.json) io.log(text);
    },
    section: (number, title) => tell.text(`${sgr(7, ` ${number}. ${title} `)}\n`),
    journey: () => {
      if (options.json) io.log(trace.jsonLines().trimEnd());
      else io.log(trace.render({ color, width, remarks }));
    },
    entry: (word, text) => {
      const lines = text.match(new RegExp(`.{1,${width - 12}}(?: |$)`, "gm")) ?? [];
      const indented = lines.map((l, i) => `${i === 0 ? `  ${word.padEnd(10)}` : " ".repeat(12)}${l}`.trimEnd());
      tell.text(indented.join("\n").replace(word, sgr(2, word)) + (text.endsWith("\n") ? "\n" : ""));
    },
    table: (head, rows) => {
      const text = [head, ...rows].map((row) => row.map(String));
      const widths = head.map((_, i) => Math.max(...text.map((row) => row[i].length)));
      const numeric = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
      text.forEach((row, n) => {
        const cells = row.map((c, i) => numeric[i] ? c.padStart(widths[i]) : c.padEnd(widths[i]));
        const one = `  ${cells.join("  ")}`.trimEnd();
        tell.text(n === 0 ? sgr(2, one) : one);
      });
      tell.text("");
    },
  };
  return tell;
}

function intro(tell: Teller): void {
  const context = ["process", "hardirq", "softirq", "ksoftirqd"].map((name) => tell.context(name)).join(", ");
  tell.text(`${tell.bold("netpath demo")}: two hosts, one wire, one process, virtual time

   host a  10.0.0.1                                                    host b  10.0.0.2
  ┌────────────────────────────┐                                    ┌────────────────────────────┐
  │ socket ▼ udp ▼ ipv4 ▼ eth0 │═══ TX ring ══ wire ══ RX ring ═══▶ │ eth0 ▲ ipv4 ▲ udp ▲ socket │
  └────────────────────────────┘                                    └────────────────────────────┘

${tell.bold("How to read it.")} One line is one step: ▼ towards the wire, ▲ towards the reader, · the machine itself.
  context   who runs it: ${context}
  buffer    its bytes, 4 a character (8 where it is narrow): ${tell.bold("E")} Ethernet, ${tell.bold("I")} IPv4, ${
    tell.bold("U")
  } transport, ${tell.bold("A")} ARP, ▒ payload, · headroom;
            small letters are headers that were stripped: still in memory, in front of data
  data, len bytes from the start of the buffer to data (its headroom), and the packet's length for this layer
  ≡         bytes that were really moved, by whom, at which place
  R7, T12   the claim of the description of Linux (SOURCE.md) that the step shows
`);
}

function closing(tell: Teller, { machine, a, b, nics }: Lab): void {
  tell.section("3", "the copy ledger: every byte that was moved since the start of the demo");
  const rows = machine.ledger.snapshot().filter((s) => s.calls > 0);
  tell.table(["site", "who", "moves", "bytes"], rows.map((s) => [s.name, s.kind, s.calls, s.bytes]));
  const { ledger } = machine;
  tell.text(
    `  by the CPU ${ledger.total("cpu")} bytes, by DMA ${ledger.total("dma")} bytes, ` +
      `headers into private heads ${ledger.total("header")} bytes.\n` +
      "  The payload of a datagram is copied once in and once out; between them only data moved.\n",
  );

  tell.section("4", "drops");
  const drops = [a, b].flatMap((h) => Object.entries(h.net.dropTable()).map(([name, n]) => [h.net.name, name, n]));
  if (drops.length === 0) tell.text("  none\n");
  else tell.table(["net", "reason", "packets"], drops);

  tell.section("5", "interrupts, NAPI, softirqs");
  tell.table(
    ["net", "irq", "line", "handled", "found it masked", "masked now"],
    nics.flatMap((n) =>
      [n.rxIrq, n.txIrq].map((
        l,
      ) => [n.net.name, String(l.irq), l.name, l.count, l.suppressed, l.masked ? "yes" : "no"])
    ),
  );
  tell.table(
    ["net", "device", "NAPI polls", "packets in", "packets out", "missed", "doorbells"],
    nics.map(({ net, dev, napi, counters }) => [
      net.name,
      dev.name,
      napi.polls,
      dev.stats.rxPackets,
      dev.stats.txPackets,
      dev.stats.rxMissed,
      counters.doorbells,
    ]),
  );
  tell.table(
    ["cpu", "processed", "softirq runs", "time_squeeze", "ksoftirqd woken"],
    machine.cpus.map((c) => [c.id, c.processed, c.softirqRuns, c.timeSqueeze, c.ksoftirqdWakes]),
  );

  tell.section("6", "where the textbook and the kernel differ");
  for (const r of REMARKS) {
    tell.entry("textbook", `${r.textbook}  [${r.claims.join(", ")}]`);
    tell.entry("kernel", `${r.kernel}\n`);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
