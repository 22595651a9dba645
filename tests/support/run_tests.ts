/**
 * The test command: runs `deno test`, streams what it prints and closes with
 * `N passed, N failed, N skipped` alone on the last line.
 *
 *     deno task test [PATH...] [--filter TEXT] [--sanitize] [--serial] [-- flags for deno test]
 *
 * Tests run file by file in parallel, except those under tests/oracle: these make network namespaces, mostly wait for
 * kernel timers, and run afterwards in two processes of half the files each. A test counts once, however many steps it
 * has. A run that ends without a summary (the types do not check, a module cannot be loaded, the process dies) counts as
 * one failure.
 */

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const ORACLE = "tests/oracle";
// deno-lint-ignore no-control-regex
const ANSI = /\x1b\[[0-9;]*m/g;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored(?: \([^)]*\))?)?/;

/** The counts of the last summary line in what `deno test` printed, or null if it printed none. */
export function parseSummary(output: string): Counts | null {
  let found: Counts | null = null;
  for (const line of output.replace(ANSI, "").split("\n")) {
    const m = SUMMARY.exec(line);
    if (m) found = { passed: Number(m[1]), failed: Number(m[2]), skipped: Number(m[3] ?? 0) };
  }
  return found;
}

/** The line that programs read. */
export function format(c: Counts): string {
  return `${c.passed} passed, ${c.failed} failed, ${c.skipped} skipped`;
}

type Sink = { writeSync(p: Uint8Array): number };

function writeAll(to: Sink, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length;) at += to.writeSync(chunk.subarray(at));
}

/** Passes what comes on, at once or (`late`) when it ends, so that two processes do not talk at a time. */
async function drain(from: ReadableStream<Uint8Array>, to: Sink, late: boolean): Promise<string> {
  const decoder = new TextDecoder();
  const held: Uint8Array[] = [];
  let text = "";
  for await (const chunk of from) {
    if (late) held.push(chunk);
    else writeAll(to, chunk);
    // Only the end matters: the summary is the last thing printed.
    text = (text + decoder.decode(chunk, { stream: true })).slice(-65536);
  }
  for (const chunk of held) writeAll(to, chunk);
  return text;
}

async function denoTest(args: string[], late = false): Promise<Counts> {
  const env: Record<string, string> = {};
  if (Deno.stdout.isTerminal() && !Deno.noColor) env["FORCE_COLOR"] = "1";
  else env["NO_COLOR"] = "1";
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--permit-no-files", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env,
  }).spawn();
  const [out, , status] = await Promise.all([
    drain(child.stdout, Deno.stdout, late),
    drain(child.stderr, Deno.stderr, late),
    child.status,
  ]);
  const counts = parseSummary(out);
  if (!counts) return { passed: 0, failed: 1, skipped: 0 };
  // Some failures (a leak found at exit, a coverage threshold) show in the exit code only.
  if (!status.success && counts.failed === 0) counts.failed = 1;
  return counts;
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** The test files of a folder in two halves, every other file in each; a file stays alone. */
function lanes(paths: readonly string[]): string[][] {
  const files = paths.flatMap((path) => {
    if (!isDirectory(path)) return [path];
    const names = [...Deno.readDirSync(path)].map((e) => e.name).filter((name) => name.endsWith("_test.ts"));
    return names.sort().map((name) => `${path}/${name}`);
  });
  return [0, 1].map((lane) => files.filter((_, i) => i % 2 === lane)).filter((lane) => lane.length > 0);
}

/** Runs the tests and prints the last line; the result is the exit code. */
export async function main(argv: string[]): Promise<number> {
  const paths: string[] = [];
  const flags: string[] = [];
  let serial = false;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === "--") {
      flags.push(...argv.slice(i + 1));
      break;
    } else if (arg === "--sanitize") flags.push("--sanitize-ops", "--sanitize-resources");
    else if (arg === "--serial") serial = true;
    else if (arg === "--filter") flags.push(`--filter=${argv[++i] ?? ""}`);
    else if (arg.startsWith("-")) flags.push(arg);
    else paths.push(arg.replace(/^\.\//, "").replace(/\/+$/, ""));
  }
  if (paths.length === 0) paths.push("tests");

  const oracle = paths.filter((p) => p === ORACLE || p.startsWith(`${ORACLE}/`));
  const rest = paths.filter((p) => !oracle.includes(p));
  if (rest.some((p) => p === "tests" || p === ".") && isDirectory(ORACLE)) oracle.push(ORACLE);

  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const add = (c: Counts) => {
    total.passed += c.passed;
    total.failed += c.failed;
    total.skipped += c.skipped;
  };
  if (rest.length > 0) {
    add(await denoTest([...(serial ? [] : ["--parallel"]), `--ignore=${ORACLE}`, ...flags, ...rest]));
  }
  const runs = serial ? [oracle].filter((o) => o.length > 0) : lanes(oracle);
  for (const counts of await Promise.all(runs.map((lane, i) => denoTest([...flags, ...lane], i > 0)))) add(counts);
  console.log(format(total));
  return total.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
