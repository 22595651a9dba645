/**
 * Everything that must hold before a commit, one line a step. A step that fails prints what it said.
 *
 *     deno task ok [--fast]        --fast leaves the tests out
 */

import { parseSummary } from "./run_tests.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const config = JSON.parse(await Deno.readTextFile(ROOT + "deno.json")) as {
  exports: Record<string, string>;
  publish: { include: string[] };
};

interface Result {
  ok: boolean;
  output: string;
  note?: string;
}

async function run(cmd: string, args: string[], cwd: string = ROOT): Promise<Result> {
  const { success, stdout, stderr } = await new Deno.Command(cmd, {
    args,
    cwd,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const decode = (b: Uint8Array) => new TextDecoder().decode(b);
  return { ok: success, output: decode(stdout) + decode(stderr) };
}

const deno = (...args: string[]): Promise<Result> => run(Deno.execPath(), args);

/** The files of the work tree: tracked ones and new ones that are not ignored; without git, all but dot folders. */
async function workTree(): Promise<string[]> {
  const git = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).catch(() => null);
  if (git?.ok) return git.output.split("\0").filter((f) => f !== "" && exists(ROOT + f));
  const files: string[] = [];
  const walk = (dir: string): void => {
    for (const e of Deno.readDirSync(ROOT + dir)) {
      if (e.isDirectory && (e.name === ".jsr" || !/^\.|^node_modules$/.test(e.name))) walk(`${dir}${e.name}/`);
      else if (e.isFile) files.push(dir + e.name);
    }
  };
  walk("");
  return files;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The published files that hold examples; `deno test --doc` would load each of the others as well. */
async function documented(): Promise<string[]> {
  const inside = (f: string) => config.publish.include.some((i) => i.endsWith("/") ? f.startsWith(i) : f === i);
  const hasExample = (f: string) => /^[ *]*```(ts|js)\b/m.test(Deno.readTextFileSync(ROOT + f));
  return (await workTree()).filter((f) => inside(f) && /\.(ts|md)$/.test(f) && hasExample(f));
}

/** In a copy, with .jsr beside it: what is linked from inside the package would be published. */
async function publish(): Promise<Result> {
  const dir = await Deno.makeTempDir({ prefix: "netpath-publish-" });
  try {
    for (const file of await workTree()) {
      const to = file.startsWith(".jsr/") ? `${dir}/${file}` : `${dir}/stack/${file}`;
      await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
      await Deno.copyFile(ROOT + file, to);
    }
    return await run(Deno.execPath(), ["publish", "--dry-run", "--allow-dirty"], `${dir}/stack`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function tests(): Promise<Result> {
  const result = await deno("run", "--allow-all", "tests/support/run_tests.ts", "--sanitize");
  return { ...result, note: result.output.split("\n").findLast((l) => /^\d+ passed, /.test(l)) ?? "" };
}

async function architecture(): Promise<Result> {
  const result = await deno("test", "--allow-all", "tests/architecture_test.ts");
  const counts = parseSummary(result.output);
  return { ...result, note: counts ? `${counts.passed} rules` : "" };
}

const steps: Array<[string, () => Promise<Result>]> = [
  ["fmt", () => deno("fmt", "--check")],
  ["lint", () => deno("lint")],
  ["check", () => deno("check", ".")],
  ["doc lint", () => deno("doc", "--lint", ...Object.values(config.exports))],
  ["doc examples", async () => deno("test", "--doc", "--parallel", "--allow-all", ...await documented())],
  ["architecture", architecture],
  ["tests", tests],
  ["publish dry run", publish],
];

const fast = Deno.args.includes("--fast");
let failed = 0;
for (const [name, step] of steps) {
  if (name === "tests" && fast) continue;
  const start = performance.now();
  const { ok, output, note } = await step();
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6);
  if (!ok) {
    failed++;
    console.log(output.trimEnd());
  }
  console.log(`${ok ? "ok    " : "FAILED"} ${name.padEnd(16)}${seconds} s${note ? `  ${note}` : ""}`);
}
console.log(failed === 0 ? "ok: every step holds" : `ok: ${failed} of ${steps.length - (fast ? 1 : 0)} steps failed`);
Deno.exit(failed === 0 ? 0 : 1);
