/** A temporary copy of the tree without its trace lines, for the row `trace.off`. */

/** Matches a whole statement `if ((... bus.mask & G_X) !== 0) ...;`, which may span lines. */
const TRACE = /^[ \t]*if \(\([\w.!#?]*bus\.mask & \w+\) !== 0\)\s*(?:\{[^{}]*\}|[\s\S]*?;)[ \t]*$/gm;

/** The text without its trace statements, and how many there were. */
export function stripTrace(text: string): { text: string; count: number } {
  let count = 0;
  const stripped = text.replace(TRACE, () => {
    count++;
    return "";
  });
  return { text: stripped, count };
}

/** Copies core, plugins, mod.ts and the bench into a new folder; dispose to remove it. */
export function strippedCopy(): Disposable & { path: string; count: number } {
  const root = new URL("../../", import.meta.url).pathname;
  const path = Deno.makeTempDirSync({ prefix: "netpath-bench-" });
  let count = 0;
  const copy = (rel: string): void => {
    const info = Deno.statSync(root + rel);
    if (info.isDirectory) {
      Deno.mkdirSync(`${path}/${rel}`, { recursive: true });
      for (const entry of Deno.readDirSync(root + rel)) copy(`${rel}/${entry.name}`);
    } else if (rel.endsWith(".ts") && (rel.startsWith("core/") || rel.startsWith("plugins/"))) {
      const result = stripTrace(Deno.readTextFileSync(root + rel));
      count += result.count;
      Deno.writeTextFileSync(`${path}/${rel}`, result.text);
    } else Deno.copyFileSync(root + rel, `${path}/${rel}`);
  };
  Deno.mkdirSync(`${path}/tests`);
  for (const rel of ["core", "plugins", "mod.ts", "deno.json", ".jsr", "tests/bench", "tests/support"]) copy(rel);
  return { path, count, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}
