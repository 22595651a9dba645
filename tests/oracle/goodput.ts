/**
 * The kernel as partner: how much a kernel sender and a netpath sender deliver over the same emulated link to the same kernel receiver,
 * and what a netpath receiver takes from a kernel sender. A run makes all three transfers at the same time, over links that lose the same
 * packets; a cell is the median of its runs. Root.
 *
 *     deno run -A tests/oracle/goodput.ts [--runs N] [--cells reno/10/1/0,cubic/...] [--parallel N] [--realtime] [--json FILE]
 *         [--write]
 *
 * `--cells` takes ALGORITHM/RTT/LOSS/REORDER, `*` for any. `--from FILE` prints, checks and writes what `--json` kept, without running.
 * `--realtime` runs them under SCHED_RR, for a machine that does something else as well: a link of 10 ms does not survive waits of 20.
 * Ends with 1 when netpath's Reno or CUBIC is more than 15 % away from the kernel's. `--write` puts the table into docs/goodput.md.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import type { Party } from "./goodput_link.ts";
import type { Delivered, Transfer } from "./goodput_worker.ts";

/** A link and a congestion control. */
export interface Cell {
  algorithm: string;
  rttMs: number;
  loss: number;
  reorder: number;
}

/** What a cell gave: per run one of each of {@linkcode LINKS}. */
export interface Measured extends Cell {
  seconds: number;
  runs: Delivered[][];
}

/** Sender and receiver of the three transfers of a run. The first is what the others are compared with. */
const LINKS: readonly (readonly [Party, Party])[] = [["kernel", "kernel"], ["netpath", "kernel"], [
  "kernel",
  "netpath",
]];
/** What netpath's sender may be away from the kernel's. */
export const BOUND = 0.15;
const RATE_MBIT = 20;
const LIMIT = 200;

/** All cells. */
export const CELLS: readonly Cell[] = ["reno", "cubic", "bbr"].flatMap((algorithm) =>
  [10, 100].flatMap((rttMs) =>
    [0, 5].flatMap((reorder) => [0, 0.1, 1, 3].map((loss) => ({ algorithm, rttMs, loss, reorder })))
  )
);

/** Where few losses decide, by chance, the time is longer. */
function secondsOf({ rttMs, loss, reorder }: Cell): number {
  const few = loss < 1 && (reorder > 0 || (loss > 0 && rttMs > 50));
  return (rttMs < 50 ? 5 : 10) * (few ? 2 : 1);
}

/**
 * One run of a cell, in namespaces of its own: all transfers at the same time, so that what else the machine does hits them alike. The seed
 * is that of the run: all of them lose the same packets. `first`: a command that runs the worker.
 */
export async function runOnce(
  cell: Cell,
  run: number,
  seconds: number,
  first: readonly string[] = [],
): Promise<Delivered[]> {
  const { algorithm, rttMs, loss, reorder } = cell;
  const link = { algorithm, rttMs, loss, reorder, rateMbit: RATE_MBIT, limit: LIMIT, seed: 1 + run, seconds };
  // Of links in one process the last is served first: each of them is the last one in turn.
  const order = LINKS.map((_, i) => (i + run) % LINKS.length);
  const transfers: Transfer[] = order.map((i) => ({ ...link, from: LINKS[i][0], to: LINKS[i][1] }));
  const worker = new URL("./goodput_worker.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command("timeout", {
    // Making namespaces takes long where others make many.
    args: [
      `${seconds + 60}`,
      ...first,
      ...["unshare", "-n", Deno.execPath(), "run", "--no-check", "-A", worker, JSON.stringify(transfers)],
    ],
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${nameOf(cell)}, run ${run}: ${text.decode(stderr).trim() || "it took too long"}`);
  const delivered = JSON.parse(text.decode(stdout).trim().split("\n").at(-1)!) as Delivered[];
  return LINKS.map((_, i) => delivered[order.indexOf(i)]);
}

function nameOf({ algorithm, rttMs, loss, reorder }: Cell): string {
  return `${algorithm}/${rttMs}/${loss}/${reorder}`;
}

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Median goodput of link `i`, Mbit/s. */
export function goodput(m: Measured, i: number): number {
  return median(m.runs.map((run) => run[i].mbit));
}

/** Netpath's sender over the kernel's, as a ratio of medians. */
export function ratio(m: Measured): number {
  return goodput(m, 1) / goodput(m, 0);
}

function wanted(patterns: string): Cell[] {
  const list = patterns.split(",").map((p) => p.split("/"));
  return CELLS.filter((cell) => {
    const parts = nameOf(cell).split("/");
    return list.some((p) => parts.every((part, i) => p[i] === undefined || p[i] === "*" || p[i] === part));
  });
}

/** Every cell once, then every cell again: what disturbs the machine for a while disturbs one run of many cells. */
async function measure(
  cells: readonly Cell[],
  runs: number,
  options: { parallel: number; realtime: boolean },
  keep: (all: readonly Measured[]) => void,
): Promise<Measured[]> {
  const all: Measured[] = cells.map((cell) => ({ ...cell, seconds: secondsOf(cell), runs: [] }));
  const jobs = Array.from({ length: runs }, (_, run) => all.map((m) => ({ m, run }))).flat();
  let done = 0;
  const lane = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const { m, run } = job;
      const delivered = await runOnce(m, run, m.seconds, options.realtime ? ["chrt", "-r", "10"] : []);
      m.runs.push(delivered);
      keep(all);
      const text = delivered.map(({ mbit }) => mbit.toFixed(2)).join(" ");
      console.error(`${++done}/${cells.length * runs} ${nameOf(m)} run ${run + 1}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, lane));
  return all;
}

/** The table of one algorithm, as Markdown. */
function tableOf(all: readonly Measured[]): string {
  const rows = all.map((m) => {
    const [kk, nk, kn] = LINKS.map((_, i) => goodput(m, i).toFixed(2));
    const spread = [0, 1].map((i) => {
      const list = m.runs.map((run) => run[i].mbit);
      return `${Math.min(...list).toFixed(1)} - ${Math.max(...list).toFixed(1)}`;
    });
    const off = `${ratio(m) >= 1 ? "+" : ""}${((ratio(m) - 1) * 100).toFixed(1)} %`;
    const receiver = `${((goodput(m, 2) / goodput(m, 0) - 1) * 100).toFixed(1)} %`;
    const away = receiver.startsWith("-") ? receiver : `+${receiver}`;
    return [`${m.rttMs} ms`, `${m.loss} %`, `${m.reorder} %`, kk, nk, off, kn, away, ...spread];
  });
  const head = [
    "RTT",
    "loss",
    "reorder",
    "kernel → kernel",
    "netpath → kernel",
    "sender",
    "kernel → netpath",
    "receiver",
    "range kernel",
    "range netpath",
  ];
  return [head, head.map((_, i) => i < 3 ? "---" : "---:"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** The cells that are further away than they may be. */
export function outside(all: readonly Measured[]): Measured[] {
  return all.filter((m) => Math.abs(ratio(m) - 1) > BOUND);
}

function summaryOf(all: readonly Measured[]): string {
  return Map.groupBy(all, ({ algorithm }) => algorithm).entries().map(([algorithm, list]) => {
    const worst = list.toSorted((a, b) => Math.abs(ratio(b) - 1) - Math.abs(ratio(a) - 1))[0];
    const off = list.map((m) => Math.abs(ratio(m) - 1));
    const { rttMs, loss, reorder } = worst;
    return `- ${algorithm}: ${list.length} cells, median distance ${(median(off) * 100).toFixed(1)} %, worst ` +
      `${((ratio(worst) - 1) * 100).toFixed(1)} % at ${rttMs} ms, ${loss} % loss, ${reorder} % reordering`;
  }).toArray().join("\n");
}

function runsOf(list: readonly Measured[]): string {
  const least = Math.min(...list.map(({ runs }) => runs.length));
  const more = list.filter(({ runs }) => runs.length > least).map((m) => `${nameOf(m)} has ${m.runs.length}`);
  return [`${least} runs per cell`, ...more].join("; ") + ".";
}

/** The page, without a date: it changes when the numbers do. */
function page(all: readonly Measured[]): string {
  const sections = Map.groupBy(all, ({ algorithm }) => algorithm).entries()
    .map(([algorithm, list]) => `## ${algorithm}\n\n${runsOf(list)}\n\n${tableOf(list)}\n`).toArray();
  const { release, cpus } = machine();
  return `# Goodput with the kernel as partner

The same emulated link under a kernel sender and under a netpath sender, to the same kernel receiver: how much of a TCP stream the
receiving application reads, in Mbit/s. And a kernel sender to a netpath receiver.

- The link is a netpath router on the real clock between TAP devices, with netem towards the receiver: \`rate ${RATE_MBIT}mbit limit ${LIMIT} delay RTT/2 loss ... reorder ...\`,
  and \`delay RTT/2\` back. MTU 1500, no super-packets.
- The three transfers of a run go at the same time, each over a link of its own with the same seed: the n-th packet has the same fate on
  all of them. A netpath end's packets go to the router as the kernel's do, through a TAP.
- A number is the median of the runs, each of 5 or 10 s (10 ms) or 10 or 20 s (100 ms; longer where few losses decide) from the
  handshake on, slow start included. *sender* and
  *receiver* say how far netpath's is from the kernel's.
- All parties are on one machine, each with its defaults but for \`tcp_no_metrics_save\`. Timers of an event loop make 10 ms about 12, for all.

Measured on Linux ${release} with ${cpus} CPUs, \`--realtime\`, beside other work. Again, as root, half
an hour: \`deno run -A tests/oracle/goodput.ts --realtime --write\`. Or some cells: \`--cells cubic/100/1/0 --runs 3\`. It fails when a sender of
netpath's is more than ${BOUND * 100} % from the kernel's. BBR was measured alone, three runs a cell.

${summaryOf(all)}

${sections.join("\n")}`;
}

function machine(): { release: string; cpus: number } {
  return { release: Deno.osRelease().split("-")[0], cpus: navigator.hardwareConcurrency };
}

async function main(): Promise<number> {
  const flags = parseArgs(Deno.args, {
    boolean: ["write", "realtime", "help"],
    string: ["cells", "json", "from"],
    default: { runs: 10, parallel: 2, cells: "*" },
  });
  if (flags.help === true) {
    console.log(
      "deno run -A tests/oracle/goodput.ts [--runs N] [--cells ALGORITHM/RTT/LOSS/REORDER,...] [--parallel N] " +
        "[--realtime] [--json FILE] [--from FILE] [--write]",
    );
    return 0;
  }
  const { json } = flags;
  const keep = (all: readonly Measured[]): void => {
    if (json !== undefined) {
      Deno.writeTextFileSync(json, `${JSON.stringify({ machine: machine(), cells: all }, null, 1)}\n`);
    }
  };
  const all = flags.from !== undefined
    ? flags.from.split(",").flatMap((file) => JSON.parse(Deno.readTextFileSync(file)).cells as Measured[])
    : await measure(wanted(flags.cells), Number(flags.runs), {
      parallel: Number(flags.parallel),
      realtime: flags.realtime,
    }, keep);
  if (all.length === 0) throw new TypeError(`No cell is like ${flags.cells}`);
  for (const [algorithm, list] of Map.groupBy(all, (m) => m.algorithm)) console.log(`${algorithm}\n${tableOf(list)}`);
  console.log(summaryOf(all));
  if (flags.write) {
    await Deno.writeTextFile(new URL("../../docs/goodput.md", import.meta.url), page(all));
    await new Deno.Command(Deno.execPath(), {
      args: ["fmt", "--quiet", new URL("../../docs/goodput.md", import.meta.url).pathname],
    }).output();
  }
  const bad = outside(all);
  for (const m of bad) console.log(`${nameOf(m)}: netpath's sender is ${((ratio(m) - 1) * 100).toFixed(1)} % away`);
  return bad.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
