import { assert, assertEquals } from "@std/assert";
import {
  compare,
  findScripts,
  mutateScripts,
  parseReference,
  parseScript,
  runScript,
} from "../../../plugins/lab/packetdrill/mod.ts";

/** Scripts of others, beside the repository: data for the interpreter, no part of it. */
const SHARED = new URL("../../../../shared/packetdrill", import.meta.url).pathname;
const REFERENCE = "reference-linux-6.18.44.tsv";
/** Scripts that pass, of those that pass on the reference kernel: what is listed in tests/scripts/KNOWN_FAILURES.md fails. */
const FLOOR = 238;
const FLOOR_STATES = 85;

function has(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

const there = has(SHARED);

function sharedTest(name: string, fn: () => void): void {
  Deno.test({ name: `${name}${there ? "" : " [needs ../shared/packetdrill]"}`, ignore: !there, fn });
}

sharedTest("every script of the public suites parses", () => {
  const wrong: string[] = [];
  for (const file of findScripts([SHARED])) {
    try {
      parseScript(file, Deno.readTextFileSync(file));
    } catch (error) {
      wrong.push(String(error));
    }
  }
  assertEquals(wrong, []);
});

sharedTest("scripts that Linux 6.18 passes pass; what does not is a known failure, with its cause", () => {
  const known = Deno.readTextFileSync(new URL("../../scripts/KNOWN_FAILURES.md", import.meta.url));
  const results = findScripts([SHARED]).map((file) => runScript(file, Deno.readTextFileSync(file)));
  const rows = compare(results, parseReference(Deno.readTextFileSync(`${SHARED}/${REFERENCE}`)));
  const missing = rows.flatMap((row) => row.missing.map((script) => `${row.suite}/${script}`));
  assertEquals(missing.filter((script) => !known.includes(`\`${script}\``)), [], "not in KNOWN_FAILURES.md");
  const passed = rows.reduce((sum, row) => sum + row.passed, 0);
  assert(passed >= FLOOR, `${passed} pass`);
  const states = rows.find((row) => row.suite === "freebsd-linuxified");
  assert(states !== undefined && states.passed >= FLOOR_STATES, `${states?.passed} state x event scripts pass`);
  // A failure that the reference has too is listed as well: with its cause, not by count.
  const failing = results.filter((r) => r.result !== "pass").map((r) => r.file.slice(SHARED.length + 1));
  assertEquals(failing.filter((file) => !known.includes(`\`${file}\``)), [], "not in KNOWN_FAILURES.md");
});

sharedTest("a script with one thing changed fails", () => {
  // Every fourth: all of them take a while, and `deno task packetdrill DIR --mutate 1` runs them.
  const sources = findScripts([SHARED]).filter((_, i) => i % 4 === 0)
    .map((file) => ({ file, source: Deno.readTextFileSync(file) }));
  const outcome = mutateScripts(sources, 1);
  assert(outcome.mutants >= 50, `${outcome.mutants} mutants`);
  assert(outcome.ratio >= 0.95, JSON.stringify(outcome.survivors));
});
