/**
 * The test command: runs `deno test`, streams what it prints and closes with
 * `N passed, N failed, N skipped` alone on the last line.
 *
 *     deno task test [PATH...] [--filter TEXT] [--sanitize] [--serial] [-- flags for deno test]
 *
 * Types are checked once, for all. Then tests run in parallel; small files share isolates. Those under tests/oracle make
 * network namespaces, mostly wait for kernel timers, and run afterwards, three files at a time. A test counts once,
 * however many steps it has. A run that ends without a summary (the types do not hold, a module cannot be loaded, the
 * process dies) counts as one failure.
 */
import { pathToFileURL } from "node:url";

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const ORACLE = "tests/oracle";
/** Its files that run at a time. */
const LANES = 3;
/** Files that share an isolate, as many as {@linkcode SHARE}: one for each, with cold code, took twice the time. */
const SHARED = /^tests\/(core|contracts|plugins)\//;
const SHARE = 20;
/** But not those: they measure what code takes that has seen nothing else, or wait for long. */
const ALONE =
  /\/(dns\/hostile|http\/stack|lab\/labs|lab\/scale|node\/portable|relay\/relay|tap\/tap|udp\/path)_test\.ts$/;
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

function colors(): Record<string, string> {
  return Deno.stdout.isTerminal() && !Deno.noColor ? { FORCE_COLOR: "1" } : { NO_COLOR: "1" };
}

/** Whether the types of all of it hold: once, as each process would check the same modules again. */
async function typesHold(paths: readonly string[]): Promise<boolean> {
  const files = paths.filter((path) => /\.[cm]?[jt]sx?$/.test(path) || isDirectory(path));
  if (files.length === 0) return true;
  const args = ["check", "--quiet", ...files];
  const { success } = await new Deno.Command(Deno.execPath(), { args, stdin: "null", env: colors() }).spawn().status;
  return success;
}

async function denoTest(args: string[], late = false): Promise<Counts> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--permit-no-files", "--no-check", ...args.filter((arg) => arg !== "--no-check")],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: colors(),
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

/** Whether there is such a file or folder; patterns and URLs are for `deno test` to look up. */
function isThere(path: string): boolean {
  if (/[*?{[]|:\/\//.test(path)) return true;
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The test files of folders and of those inside, in order; a file stays itself. */
function filesOf(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!isDirectory(path)) return [path];
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    return entries.flatMap(({ name, isDirectory }) => {
      const inside = path === "." ? name : `${path}/${name}`;
      if (isDirectory) return name.startsWith(".") || name === "node_modules" ? [] : filesOf([inside]);
      return name.endsWith("_test.ts") ? [inside] : [];
    });
  });
}

/**
 * What `deno test` shall load for these files: those of {@linkcode SHARED} by modules in `dir` that import
 * {@linkcode SHARE} of them, the others themselves.
 */
function modulesOf(files: readonly string[], dir: string): string[] {
  const shared = files.filter((file) => SHARED.test(file) && !ALONE.test(file));
  if (shared.length < 2) return [...files];
  const n = Math.ceil(shared.length / SHARE);
  const modules = Array.from({ length: n }, (_, i) => {
    const some = shared.filter((_, at) => at % n === i);
    const path = `${dir}/group_${i + 1}_test.ts`;
    Deno.writeTextFileSync(path, some.map((file) => `import "${pathToFileURL(file)}";\n`).join(""));
    return path;
  });
  return [...files.filter((file) => !shared.includes(file)), ...modules];
}

/** Each file in a process of its own, `n` at a time. */
async function eachAlone(files: readonly string[], flags: readonly string[], n: number): Promise<Counts[]> {
  const all: Counts[] = [];
  const rest = files.values();
  await Promise.all(Array.from({ length: n }, async () => {
    for (const file of rest) all.push(await denoTest([...flags, file], true));
  }));
  return all;
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

  const missing = paths.filter((p) => !isThere(p));
  if (missing.length > 0) {
    for (const p of missing) console.error(`Cannot run ${p}: there is no such file or folder in ${Deno.cwd()}`);
    console.log(format({ passed: 0, failed: missing.length, skipped: 0 }));
    return 1;
  }

  const oracle = paths.filter((p) => p === ORACLE || p.startsWith(`${ORACLE}/`));
  const rest = paths.filter((p) => !oracle.includes(p));
  if (rest.some((p) => p === "tests" || p === ".") && isDirectory(ORACLE)) oracle.push(ORACLE);

  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const add = (c: Counts) => {
    total.passed += c.passed;
    total.failed += c.failed;
    total.skipped += c.skipped;
  };
  if (!await typesHold(flags.includes("--no-check") ? [] : [...rest, ...oracle])) total.failed++;
  else {
    const parallel = serial ? [] : ["--parallel"];
    const files = filesOf(rest).filter((file) => !file.startsWith(`${ORACLE}/`));
    const dir = Deno.makeTempDirSync();
    try {
      if (files.length > 0) add(await denoTest([...parallel, ...flags, ...modulesOf(files, dir)]));
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
    for (const counts of await eachAlone(filesOf(oracle), flags, serial ? 1 : LANES)) add(counts);
  }
  console.log(format(total));
  return total.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
